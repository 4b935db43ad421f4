"""What the plain git hook says: a body in, a push out, or why not.  Pure (docs/git-hook.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.reference import is_git_ref
from webhooks.events import EventError, Irrelevant, Reason, read_object

LARGEST_PUSH = 64 * 1024
"""Bytes of a push's body: it is three short texts."""

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LONGEST_REPOSITORY = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A branch that moved."""

    repository: str
    branch: str
    head: str


def read_push(body: bytes) -> Push | Irrelevant:
    """Return the push that a plain post-receive hook tells of; raises `EventError`.

    A JSON object with `repository`, `ref` (`refs/heads/main`) and `after` (40 or 64 lower-case hex
    digits, zeros for a branch that is gone); anything else in it is passed over.
    """
    event = read_object(body)
    repository, ref, after = (event.get(key) for key in ("repository", "ref", "after"))
    if not isinstance(repository, str) or not 0 < len(repository) <= _LONGEST_REPOSITORY:
        raise EventError('"repository" must be a text of 1 to 1024 characters.')
    if not repository.isprintable():
        raise EventError('"repository" holds what cannot be printed.')
    if (
        not isinstance(ref, str)
        or not ref.startswith("refs/")
        or not ref.isprintable()
        or not is_git_ref(ref)
    ):
        raise EventError('"ref" must be a full ref such as "refs/heads/main".')
    if not isinstance(after, str) or not _COMMIT.fullmatch(after):
        raise EventError('"after" must be a full commit id in lower-case hex digits.')
    branch = ref.removeprefix("refs/heads/")
    if branch == ref:
        return Irrelevant(reason=Reason.NO_BRANCH)
    # A short name that is another branch's full one would be taken for that.
    if not is_git_ref(branch) or branch.startswith("refs/"):
        raise EventError('"ref" names no branch, or one whose own name begins with "refs/": rename it.')
    if not after.strip("0"):
        return Irrelevant(reason=Reason.DELETED)
    return Push(repository=repository, branch=branch, head=after)
