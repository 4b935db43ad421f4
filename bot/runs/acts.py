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
    """Nothing more is done now, but some look-ups failed and are tried again."""


@dataclass(frozen=True, slots=True)
class Act:
    verb: Verb
    id: str = ""


def encode(acts: Sequence[Act]) -> str | None:
    """Return acts as text, or None where there are none."""
    return " ".join(f"{act.verb.value}:{act.id}" for act in acts) or None


def decode(text: str) -> tuple[Act, ...]:
    """Return the acts that `encode` wrote; a bare id of an older plan is one to publish."""
    acts = []
    for part in text.split():
        verb, colon, id_ = part.partition(":")
        acts.append(Act(Verb(verb), id_) if colon else Act(Verb.PUBLISH, verb))
    return tuple(acts)
