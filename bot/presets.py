"""What each preset asks of each trust check: the table of the policy, as data.

A new check is a row here beside its module and its line in `trust.CHECKS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from bot.model import Outcome

PresetName: TypeAlias = Literal["relaxed", "default", "strict"]
DemandName: TypeAlias = Literal["off", "warn", "require"]

PRESETS: tuple[PresetName, ...] = ("relaxed", "default", "strict")
"""Looser before tighter."""
DEMANDS: tuple[DemandName, ...] = ("off", "warn", "require")
"""Looser before tighter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One check.  Triples are for relaxed, default and strict."""

    summary: str
    first: tuple[DemandName, DemandName, DemandName]
    """How a first pin takes it."""
    update: tuple[DemandName, DemandName, DemandName]
    """How any other move takes it."""
    failed: Outcome = Outcome.REFUSE
    """What a required check does when it fails."""
    unknown: Outcome = Outcome.HOLD
    """What a required check does when it cannot tell."""
    by_name: bool = False
    """It judges the name alone, so that an exception need not name a digest."""
    moves_only: bool = False
    """It says nothing of a digest that is written already."""
    excepted: bool = True
    """Whether a person may allow what it fails."""
    numbers: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """Options that are whole numbers, more being tighter, and their defaults."""
    lists: tuple[str, ...] = ()
    """Options that are lists of globs which loosen the check."""


ROWS: Mapping[str, Row] = {
    "digest-honesty": Row(
        summary="The answer hashes to its digest and is what it calls itself.",
        first=("require", "require", "require"),
        update=("require", "require", "require"),
        excepted=False,
    ),
    "registries": Row(
        summary="The image comes from a registry on the list of `registries.allow`.",
        first=("off", "warn", "require"),
        update=("off", "warn", "require"),
        by_name=True,
    ),
    "typosquat": Row(
        summary="The name is not one that is easily taken for a well-known one.",
        first=("warn", "warn", "require"),
        update=("warn", "warn", "require"),
        # A name that merely resembles another is worth a word, never a stop.
        unknown=Outcome.WARN,
        by_name=True,
        lists=("allow",),
    ),
    "git-refs": Row(
        summary="The commit is named by an advertised tag or branch, and its version comment is true.",
        first=("warn", "require", "require"),
        update=("warn", "require", "require"),
    ),
    "nested-refs": Row(
        summary="The action or workflow refers to nothing mutable itself.",
        first=("off", "warn", "warn"),
        update=("off", "warn", "warn"),
    ),
    "age": Row(
        summary="This installation has seen the tag point there, without a break, for so many days.",
        first=("off", "off", "require"),
        update=("require", "require", "require"),
        failed=Outcome.HOLD,
        moves_only=True,
        numbers={"first-days": (0, 0, 3), "days": (1, 7, 14), "version-tag-days": (1, 14, 14)},
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRow:
    """How the guard takes what is no verdict on one digest.  Triples as above."""

    floating: tuple[str, str, str] = ("warn", "fail", "fail")
    held: tuple[str, str, str] = ("warn", "warn", "fail")
    unreachable: tuple[str, str, str] = ("neutral", "neutral", "failure")


GUARD = GuardRow()
