"""What deliveries come to: work that is wanted, or why there is none.  Pure.

Everything in a delivery is a hint from outside.  Addresses come from settings, commits from the forge.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bot.allowed_owners import AllowedOwners
from bot.model import Job

_DELIVERY = re.compile(r"[A-Za-z0-9._:@/+-]{1,128}")
_LARGE = 1024 * 1024
_PLAIN = bytes(range(0x80)) + b"\x7f" * 0x80
_MOST_VALUES = 1_000_000


class EventError(ValueError):
    """The body is not of the documented form; the text says what was expected, and repeats nothing."""


class Reason(StrEnum):
    """Why a delivery needs no look.  Closed: metrics show it."""

    PONG = "pong"
    """The forge asked whether anybody listens."""
    IRRELEVANT = "irrelevant"
    """A known event, and nothing in it concerns us."""
    UNKNOWN = "unknown"
    """An event that we never heard of."""
    TAG = "tag"
    NO_BRANCH = "no-branch"
    """A note or another ref that is neither branch nor tag."""
    DELETED = "deleted"
    QUEUE = "queue"
    """A push that a merge queue made: its own event tells of it."""
    OWN = "own"
    """We did it ourselves."""
    BOT = "bot"
    """A comment that a program wrote."""
    UNADDRESSED = "unaddressed"
    """A comment in which nobody speaks to us."""
    UNHEARD = "unheard"
    """A comment to us that nobody listens to: a program wrote it, or an App in a person's name."""
    CONFIDENTIAL = "confidential"
    NOT_SERVED = "not-served"
    """The owner is not among those that are served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Irrelevant:
    """A delivery that wants nothing."""

    reason: Reason
    event: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a delivery wants looked at."""

    jobs: tuple[Job, ...]
    """At least one; each repository and ref once."""
    event: str
    """Of a closed set, such as `pull_request.opened`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a reader has to know about us."""

    owners: AllowedOwners = field(default_factory=AllowedOwners)
    accounts: frozenset[str] = frozenset()
    """Ids and logins of our own accounts on this forge."""
    app: str = ""
    """Id or client id of our GitHub App; empty where it is not known."""


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is; raises `EventError`.

    A large body of very many small values is refused: they would take fifty times its size.  In a
    large one, every byte beyond ASCII is read as a character that no name, ref or path may hold: as
    it stands, one such character makes every other take four bytes.
    """
    if len(body) > _LARGE:
        if sum(body.count(mark) for mark in (b",", b"[", b"{")) > _MOST_VALUES:
            raise EventError("The body holds more values than any event.")
        body = body.translate(_PLAIN)
    try:
        event = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise EventError("The body is no JSON in UTF-8; the hook must send application/json.") from None
    if not isinstance(event, dict):
        raise EventError("The body is no JSON object.")
    return event


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
