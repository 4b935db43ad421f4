"""What every trust check offers, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bot.model import Evidence, Fact, Finding, ImageReference, Kind, Ruling, Sighting, Subject
from bot.refs.base import GitRefs
from bot.registries.base import Images


class Demand(StrEnum):
    """How a policy takes a check.  Tighter ones last."""

    OFF = "off"
    WARN = "warn"
    REQUIRE = "require"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One check's part of a policy, worked out for one finding."""

    demand: Demand
    options: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    ruling: Ruling
    text: str
    """One sentence for a person: what was found, not what to do."""


class Ledger(Protocol):
    """What this installation saw each reference point to."""

    def sightings(self, reference: ImageReference) -> tuple[Sighting, ...]:
        """Return the sightings of a reference's name and tag in this scope, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where checks get their facts from."""

    images: Images
    refs: GitRefs
    ledger: Ledger | None = None


class Check(Protocol):
    """One question about one digest: gathered with I/O, judged without.

    A check whose row in `presets.ROWS` is `by_name` judges the reference alone: it asks its sources
    nothing, and has its answer for a subject whose digest is empty, such as a reference that nobody
    resolved.
    """

    name: str
    kinds: frozenset[Kind]
    """The kinds of reference it says anything about."""

    def gather(self, subject: Subject, sources: Sources) -> Evidence:
        """Return what can be known about one digest.  Never raises on what sources answer."""

    def judge(
        self, finding: Finding, old: Evidence | None, new: Evidence, rule: Rule, now: datetime
    ) -> Judgement:
        """Return the ruling on a candidate's new digest; `old` is None for a first pin.  Pure."""
