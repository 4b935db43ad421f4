"""What deliveries say: raw bodies in, plain values out, or why not.  Pure.

Everything in a body is a hint from outside.  Addresses come from settings, commits from the forge.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum

from bot.reference import is_git_ref

LARGEST_PUSH = 64 * 1024
"""Bytes of a push's body: it is three short texts."""

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_DELIVERY = re.compile(r"[A-Za-z0-9._:@/+-]{1,128}")
_LONGEST_REPOSITORY = 1024


class EventError(ValueError):
    """The body is not of the documented form; the text says what was expected."""


class Irrelevant(StrEnum):
    """Why a push needs no look."""

    DELETED = "deleted"
    NO_BRANCH = "no-branch"
    """A tag, a note or another ref that is no branch."""


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
    try:
        event = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise EventError("The body is no JSON in UTF-8.") from None
    if not isinstance(event, dict):
        raise EventError("The body is no JSON object.")
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
        return Irrelevant.NO_BRANCH
    # A short name that is another branch's full one would be taken for that.
    if not is_git_ref(branch) or branch.startswith("refs/"):
        raise EventError('"ref" names no branch, or one whose own name begins with "refs/": rename it.')
    if not after.strip("0"):
        return Irrelevant.DELETED
    return Push(repository=repository, branch=branch, head=after)


def delivery_id(header: str | None, body: bytes) -> str:
    """Return the id that a delivery is known by; raises `EventError`.

    Without a header it is made of the body, so that the same body counts once: a sender that may
    say the same thing twice and mean it must send ids.
    """
    if header is None:
        return f"body:{hashlib.sha256(body).hexdigest()}"
    if not _DELIVERY.fullmatch(header):
        raise EventError("The delivery's id must be 1 to 128 letters, digits and ._:@/+-")
    return header
