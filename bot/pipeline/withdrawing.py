"""The way back: a proposal that has nothing left to say is closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bot.errors import SupersededError
from bot.forges.base import Forge, RequestState
from bot.model import Proposal, Published
from bot.pipeline.owning import Ours, aimed_elsewhere, by_number, fate, is_ours


def withdraw(
    proposal: Proposal,
    forge: Forge,
    ours: Ours,
    comment: str,
    *,
    planned: str = "",
    intend: Callable[[], None] = lambda: None,
) -> Published:
    """Close a proposal that has nothing left to say: its request with a comment, and its branch.

    What a person merged, closed or committed to is left as it is.  Safe to repeat.  `planned` is the
    commit of the base at which nothing was left, if there is one: raises `SupersededError` where the base
    is elsewhere.  `intend` is called before the request is closed.
    """
    standing = forge.standing(proposal.repository, proposal.base, proposal.branch)
    if planned and standing.base != planned:
        raise SupersededError(f"{proposal.base} moved to {standing.base} while nothing seemed to be left")
    request = standing.request or by_number(proposal, forge, ours)
    elsewhere = request is not None and request.base != proposal.base and standing.base is not None
    if request is not None and elsewhere and request.state is RequestState.OPEN:
        return aimed_elsewhere(proposal, request)
    made = Published(branch=proposal.branch, commit=standing.branch or "", action="closed")
    if request is not None and request.state is not RequestState.OPEN and not ours.settled(request.number):
        # A forge closes what is for a branch that is deleted: only where the base stands did a person do it.
        if request.state is RequestState.MERGED or standing.base is not None:
            made = fate(proposal, request)
        else:
            intend()
            made = replace(made, url=request.url, number=request.number)
    mine = standing.branch is not None and is_ours(standing.branch, ours, forge)
    if request is not None and request.state is RequestState.OPEN and (mine or standing.branch is None):
        if forge.hosting is not None:
            intend()
            forge.hosting.close(proposal.repository, request.number, comment)
        made = replace(made, url=request.url, number=request.number)
    if standing.branch is not None:
        if mine:
            forge.delete(proposal.repository, proposal.branch, standing.branch)
        elif made.action == "closed":
            return replace(
                made,
                action="left-alone",
                detail="the branch holds a commit that Moorline did not make",
                url=request.url if request else "",
                number=request.number if request else 0,
            )
    return made
