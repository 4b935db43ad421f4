"""Whose a branch and its request are, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass

from bot.errors import ForgeError, MissingError, TransientError
from bot.forges.base import Change, Forge, Request, RequestState, Standing
from bot.model import Proposal, Published
from bot.visible import visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What we remember of a branch, without which nothing on it is believed to be ours."""

    commits: Container[str] = ()
    """What we put on the branch, or meant to."""
    these: Container[str] = ()
    """Those of them that carry out this very proposal."""
    drafts: Callable[[], Iterable[Proposal]] = tuple
    """Earlier proposals of which no commit is known: one may have been written just before a crash."""
    settled: Callable[[int], bool] = lambda _number: False
    """Whether what became of a request of ours was reckoned with before."""
    finished: Callable[[int], bool] = lambda _number: True
    """Whether a request of ours is remembered: else whoever opened it was stopped before it was all done."""
    number: int = 0
    """Of the request that carries the proposal as far as we remember; 0 for none."""


def change_of(proposal: Proposal, expected: str | None) -> Change:
    """Return the change that carries out a proposal, of a branch whose head is `expected`."""
    return Change(
        repository=proposal.repository,
        base=proposal.base,
        parent=proposal.commit,
        branch=proposal.branch,
        expected=expected,
        message=proposal.message,
        edits=proposal.edits,
    )


def may_write(proposal: Proposal, forge: Forge, ours: Ours) -> bool:
    """Return whether nothing is in the way of a proposal's branch: no rule, and nobody's commits."""
    standing = forge.standing(proposal.repository, proposal.base, proposal.branch)
    if standing.obstacles:
        return False
    return standing.branch is None or is_free(standing.branch, proposal, standing, ours, forge)


def is_free(there: str, proposal: Proposal, standing: Standing, ours: Ours, forge: Forge) -> bool:
    """Return whether a branch may be written: its head is ours, or its base has all that is on it."""
    if is_ours(there, ours, forge):
        return True
    if standing.base is None or not is_merged(standing):
        return False
    try:
        return forge.merge_base(proposal.repository, standing.base, there) == there
    except TransientError:
        raise
    except ForgeError:
        return False  # they have nothing in common


def is_merged(standing: Standing) -> bool:
    """Return whether the last request of a branch was merged."""
    return standing.request is not None and standing.request.state is RequestState.MERGED


def is_ours(commit: str, ours: Ours, forge: Forge) -> bool:
    """Return whether a branch's head is a commit of ours, remembered or told by what is in it."""
    if commit in ours.commits:
        return True
    return any(forge.made(change_of(draft, None), commit) for draft in ours.drafts())


def by_number(proposal: Proposal, forge: Forge, ours: Ours) -> Request | None:
    """Return the request that we remember, where it is not from its branch to its base any more."""
    if not ours.number or forge.hosting is None:
        return None
    try:
        request = forge.hosting.request(proposal.repository, ours.number)
    except MissingError:
        return None
    return request if request.branch == proposal.branch else None


def aimed_elsewhere(proposal: Proposal, request: Request) -> Published:
    """Return what is said of a request that a person aimed at another base."""
    return Published(
        branch=proposal.branch,
        commit=request.head,
        action="retargeted",
        detail=f"a person aimed {request.url or request.number} at {visible(request.base)}",
        url=request.url,
        number=request.number,
    )


def fate(proposal: Proposal, request: Request) -> Published:
    """Return what became of a request that is not open any more."""
    merged = request.state is RequestState.MERGED
    return Published(
        branch=proposal.branch,
        commit=request.head,
        action="merged" if merged else "declined",
        url=request.url,
        number=request.number,
        by=request.by,
        detail="" if merged else f"a person closed {request.url or request.number}",
    )
