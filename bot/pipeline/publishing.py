"""The third verb: the forge is made to match a proposal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bot.errors import ForgeError, SupersededError
from bot.forges.base import Check as CheckResult
from bot.forges.base import Conclusion, Forge, Hosting, Opened, Request, RequestState, Wish
from bot.model import Proposal, Published
from bot.pipeline.owning import Ours, aimed_elsewhere, by_number, change_of, fate, is_free, is_merged
from bot.proposals import notes as texts


def publish(
    proposal: Proposal,
    forge: Forge,
    ours: Ours,
    intend: Callable[[str], None] = lambda _commit: None,
    wish: Wish | None = None,
) -> Published:
    """Make the forge match a proposal, and return what was done.

    `intend` is called with a commit before the branch is moved to it.  With a wish, a forge that has
    requests gets one.  Safe to repeat: what is there already is left.  A branch whose head is none of
    ours is somebody else's and left alone, and so is a request that a person aimed at another base; a
    request that a person closed stays closed, and a branch that was merged whole is ours again.  Raises
    `SupersededError` where the base moved, and `ForgeError` where a rule forbids it.
    """
    standing = forge.standing(proposal.repository, proposal.base, proposal.branch)
    request = standing.request or by_number(proposal, forge, ours)
    if request is not None and request.state is not RequestState.OPEN:
        if not ours.settled(request.number):
            return fate(proposal, request)
        request = by_number(proposal, forge, ours) if request.number != ours.number else None
    if request is not None and request.base != proposal.base:
        return aimed_elsewhere(proposal, request)
    there = standing.branch
    change = change_of(proposal, there)
    # First of all: what was written before a crash is ours, and must be known as such ever after.
    if there is not None and (there in ours.these or forge.made(change, there)):
        commit, action = there, "unchanged"
    else:
        if there is not None and not is_free(there, proposal, standing, ours, forge):
            over = request is None and is_merged(standing)
            return Published(
                branch=proposal.branch,
                commit=there,
                action="left-over" if over else "left-alone",
                detail=f"its request was merged, and it holds commits that {proposal.base} does not"
                if over
                else "the branch holds a commit that Moorline did not make",
                url=request.url if request else "",
                number=request.number if request else 0,
            )
        if standing.base != proposal.commit:
            raise SupersededError(f"{proposal.base} moved to {standing.base} while the proposal was made")
        if standing.obstacles:
            raise ForgeError(
                f"{proposal.branch} cannot be written: {'; '.join(standing.obstacles)}.",
                advice="Change the rule, let Moorline pass it, or set another `branch-prefix`.",
            )
        commit = forge.write(change, intend)
        action = "created" if there is None else "updated"
    made = Published(branch=proposal.branch, commit=commit, action=action)
    if wish is None or forge.hosting is None:
        return made
    finished = request is not None and ours.finished(request.number)
    return _request(proposal, forge.hosting, made, request, wish, finished=finished)


def _request(
    proposal: Proposal,
    hosting: Hosting,
    made: Published,
    request: Request | None,
    wish: Wish,
    *,
    finished: bool,
) -> Published:
    """Return what was published, with the request that carries it."""
    paths = sorted({edit.path for edit in proposal.edits})
    notes = [note for note in (hosting.verified(proposal.repository, made.commit),) if note]
    wish = replace(
        wish, body=texts.noted(wish.body, notes, hosting.advise(proposal.repository, made.commit, paths))
    )
    if request is None or not finished:
        opened = hosting.open(proposal.repository, proposal.base, proposal.branch, wish)
    elif (request.title, request.body) == (wish.title, wish.body):
        opened = Opened(request=request)
    else:
        opened = hosting.edit(proposal.repository, request.number, wish)
    if request is None or not finished or made.action != "unchanged":
        title, summary = texts.own_check(proposal)
        check = CheckResult(
            conclusion=Conclusion.SUCCESS, title=title, summary=summary, url=opened.request.url
        )
        hosting.check(proposal.repository, made.commit, check)
    changed = request is None or opened.request is not request
    return replace(
        made,
        action="updated" if made.action == "unchanged" and changed and request is not None else made.action,
        url=opened.request.url,
        number=opened.request.number,
        detail="; ".join([*notes, *opened.notes]),
    )
