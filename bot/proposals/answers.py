"""What is answered to a command: one part for each, as data for a template.  Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from bot.proposals.markdown import LONGEST, Markdown, cut
from bot.proposals.render import render

MOST_ROWS = 20
"""Rows of one table in an answer."""


class Kind(StrEnum):
    """What became of a command.  Closed: the audit log shows it."""

    HELP = "help"
    STATUS = "status"
    EXPLAINED = "explained"
    NOT_LOOKED = "not-looked"
    """Nothing was looked at here yet."""
    UNKNOWN = "unknown"
    """No such image in the last look."""
    MISTAKEN = "mistaken"
    REFUSED = "refused"
    IGNORED = "ignored"
    UNPINNED = "unpinned"
    ALLOWED = "allowed"
    NOT_HELD = "not-held"
    FLOATS = "floats"
    """It is refused because it floats, which no check says."""
    INSISTED = "insisted"
    DISALLOWED = "disallowed"
    NOT_ALLOWED = "not-allowed"
    """Nobody's word lets it pass, so that there is none to take back."""
    PINNING = "pinning"
    RECHECKING = "rechecking"
    REBASING = "rebasing"
    NEWEST = "newest"
    """It is made from the newest commit already."""
    ASIDE = "aside"
    """Somebody committed to the branch."""
    RECREATING = "recreating"
    SETTLED = "settled"
    """Merged, or closed."""
    NOT_OURS = "not-ours"
    CLOSING = "closing"
    PAUSED = "paused"
    SNOOZED = "snoozed"
    RESUMED = "resumed"
    NOT_PAUSED = "not-paused"
    OVERRIDDEN = "overridden"
    UNSEEN = "unseen"
    """What it is about came after the comment, or was not checked before it."""
    NO_OVERRIDE = "no-override"
    LATE = "late"
    """A later word was heard before it."""
    STAYS = "stays"
    """It was to be closed, and a later line of the comment takes that back."""
    UNSURE = "unsure"
    """Nobody says whether the comment is as its author wrote it."""


class Promise(StrEnum):
    """Whether a proposal for the configuration follows, or why none does."""

    NOTHING = ""
    """Nothing is known of it, and nothing said."""
    FOLLOWS = "follows"
    STANDS = "stands"
    """The file says it already, and for as long."""
    PAUSED = "paused"
    ROOM = "room"
    """It follows when the limits leave room."""
    OBSERVED = "observed"
    """Nothing is proposed here."""
    ELSEWHERE = "elsewhere"
    """The default branch has no such reference yet."""
    POLICY = "policy"
    """It holds the policy of others, and has none of its own."""
    UNWRITABLE = "unwritable"
    """No line can be added without writing the file anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One command, for the table of them."""

    usage: str
    who: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One reference."""

    place: str
    value: str
    state: str
    digest: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """One proposal of ours that is open."""

    number: int
    base: str
    references: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is said of one command."""

    kind: Kind
    verb: str = ""
    said: str = ""
    """What was written, where that was not understood."""
    problem: str = ""
    usage: str = ""
    example: str = ""
    needs: str = ""
    has: str = ""
    usages: tuple[Usage, ...] = ()
    names: tuple[str, ...] = ()
    near: str = ""
    rows: tuple[Row, ...] = ()
    more: int = 0
    open: tuple[Open, ...] = ()
    held: int = 0
    ignored: tuple[str, ...] = ()
    who: str = ""
    because: str = ""
    until: date | None = None
    day: datetime | None = None
    since: datetime | None = None
    first: datetime | None = None
    """When a sweep may next propose first pins."""
    refresh: datetime | None = None
    base: str = ""
    commit: str = ""
    checks: tuple[str, ...] = ()
    """Those that are excused, or are not any more."""
    number: int = 0
    """Of a proposal that would keep what is taken back; 0 for none."""
    request: bool = False
    """Whether it was asked on a request that is not ours."""
    promise: Promise = Promise.NOTHING
    default: str = ""
    """The branch whose configuration a promise is about."""
    lasting: bool = False
    """Whether it is about a proposal that would keep decisions."""
    waits: bool = False
    """Whether that waits until a pause is over."""
    aside: bool = False
    """Whether somebody committed to the branch of that proposal."""
    again: tuple[str, ...] = ()
    """What may be said instead, as commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    parts: tuple[Part, ...]
    mark: Markdown


def answer(parts: Sequence[Part], *, mark: Literal["#", "!"] = "#") -> str:
    """Return the Markdown of an answer; nothing in it that somebody else wrote is read as markup.

    `mark` is what the forge writes before the number of a request.
    """
    made = render("answer.md.j2", _View(parts=tuple(parts), mark=Markdown(mark)))
    return cut(re.sub(r"\n{3,}", "\n\n", made).strip() + "\n", LONGEST)
