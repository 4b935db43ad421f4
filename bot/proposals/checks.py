"""The check on what a change brings in: title and summary of a report that the guard has judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bot.model import Outcome, Report, Ruling, Unread, Verdict
from bot.proposals.pins import Aside, aside_of
from bot.proposals.render import render
from bot.visible import named

_ROWS = 100
_VERDICTS = {Outcome.REFUSE: "refused", Outcome.HOLD: "held", Outcome.WARN: "noted"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    place: str
    value: str
    verdict: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    trouble: str
    rows: tuple[_Row, ...]
    unread: tuple[Aside, ...]
    more: int
    base: str


def guard(report: Report, unread: Sequence[Unread], base: str) -> tuple[str, str]:
    """Return title (plain) and summary (Markdown) of what a guard says of a change since a commit."""
    told = sorted(
        (one for one in report.verdicts if one.outcome is not Outcome.PASS),
        key=lambda one: (
            list(_VERDICTS).index(one.outcome),
            one.finding.location.path,
            one.finding.location.line,
        ),
    )
    view = _View(
        trouble="",
        rows=tuple(_row(one) for one in told[:_ROWS]),
        unread=tuple(aside_of(one) for one in unread[:_ROWS]),
        more=max(len(told) - _ROWS, 0) + max(len(unread) - _ROWS, 0),
        base=base,
    )
    return _title(told, unread), render("check.md.j2", view)


def undecided(why: str) -> tuple[str, str]:
    """Return title and summary of a check that could not be made, and why."""
    view = _View(trouble=why, rows=(), unread=(), more=0, base="")
    return "Moorline cannot decide", render("check.md.j2", view)


def _title(told: Sequence[Verdict], unread: Sequence[Unread]) -> str:
    counts = Counter(_VERDICTS[one.outcome] for one in told)
    parts = [f"{counts[word]} {word}" for word in _VERDICTS.values() if counts[word]]
    parts += [f"{len(unread)} unread"] if unread else []
    return ", ".join(parts).capitalize() if parts else "Nothing floats that this change brings in"


def _row(verdict: Verdict) -> _Row:
    place = verdict.finding.location
    reasons = [one.text for one in verdict.reasons if one.ruling is not Ruling.PASS and one.text]
    return _Row(
        place=f"{place.path}:{place.line}",
        value=named(verdict.finding),
        verdict=_VERDICTS[verdict.outcome],
        why="; ".join(dict.fromkeys(reasons)),
    )
