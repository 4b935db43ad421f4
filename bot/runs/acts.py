"""What a plan comes to, as text for the engine: acts and ids of stored proposals, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verb(StrEnum):
    PUBLISH = "publish"
    CLOSE = "close"
    """The published proposal has nothing left to say."""
    CHECK = "check"
    """A stored check is reported."""
    REVIEW = "review"
    """A stored review is said."""
    ANSWER = "answer"
    """A comment is answered."""
    AGAIN = "again"
    """Nothing more is done now, but something failed or waits, and is tried again."""


UNFOLLOWED = "unfollowed"
"""Why a proposal is closed: its base is not looked after any more."""


_REPLACED = "by="


def replaced(by: Sequence[str]) -> str:
    """Return why a proposal is closed: those of these ids take its place, once they are published."""
    return _REPLACED + ",".join(by)


def replacing(why: str) -> tuple[str, ...]:
    """Return the ids that `replaced` was given; none for another reason."""
    return tuple(why.removeprefix(_REPLACED).split(",")) if why.startswith(_REPLACED) else ()


@dataclass(frozen=True, slots=True)
class Act:
    verb: Verb
    id: str = ""
    detail: str = ""
    """Why or when, in one word without a colon."""


def encode(acts: Sequence[Act]) -> str | None:
    """Return acts as text, or None where there are none."""
    return " ".join(map(_text, acts)) or None


def _text(act: Act) -> str:
    return f"{act.verb.value}:{act.id}" + (f":{act.detail}" if act.detail else "")


def decode(text: str) -> tuple[Act, ...]:
    """Return the acts that `encode` wrote; a bare id of an older plan is one to publish."""
    acts = []
    for part in text.split():
        verb, *said = part.split(":", 2)
        acts.append(Act(Verb(verb), *said) if said else Act(Verb.PUBLISH, verb))
    return tuple(acts)
