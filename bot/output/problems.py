"""What of a report is a problem, in one sentence each: the ground of the linters' formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bot.model import Finding, Kind, Outcome, Report, Ruling, SkipReason, State, Unread, Verdict


class Rule(StrEnum):
    FLOATING = "floating-reference"
    UNKNOWN = "unknown-reference"
    HELD = "held-reference"
    REFUSED = "refused-reference"
    UNRESOLVED = "unresolved-reference"
    UNREAD = "unread-file"


class Level(StrEnum):
    """How bad a problem is, worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


HELP = {
    Rule.FLOATING: "A reference that can be moved to other code without a commit here.",
    Rule.UNKNOWN: "A reference whose value the files do not show.",
    Rule.HELD: "A reference that is not pinned for lack of evidence.",
    Rule.REFUSED: "A reference to something that the policy refuses.",
    Rule.UNRESOLVED: "A reference that could not be looked up.",
    Rule.UNREAD: "A file that could hold references and was not read.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    rule: Rule
    level: Level
    path: str
    line: int
    start: int | None
    """Byte offset in the file, or None where the whole file is meant."""
    length: int
    text: str


def problems(report: Report) -> Iterator[Problem]:
    """Yield the problems of a report in the order of its findings, unread files last."""
    for verdict in report.verdicts:
        yield from _of(verdict)
    for one in report.unread:
        yield _unread(one)


def worst(found: Iterable[Problem], limit: int) -> tuple[list[Problem], dict[Level, int]]:
    """Return at most `limit` problems, the worst, in their order, and how many of which level are left out."""
    every = list(found)
    ranks = {level: rank for rank, level in enumerate(Level)}
    kept = sorted(sorted(range(len(every)), key=lambda one: ranks[every[one].level])[:limit])
    all_, shown = Counter(one.level for one in every), Counter(every[one].level for one in kept)
    left = {level: all_[level] - shown[level] for level in Level if all_[level] > shown[level]}
    return [every[one] for one in kept], left


def counted(left: Mapping[Level, int]) -> str:
    """Return how many of which level, in words: `3 errors, 1 warning and 2 notes`."""
    parts = [f"{count:,} {level.value}{'' if count == 1 else 's'}" for level, count in left.items()]
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _of(verdict: Verdict) -> Iterator[Problem]:
    finding = verdict.finding
    why = "; ".join(reason.text for reason in verdict.reasons if reason.ruling is not Ruling.PASS)
    if verdict.outcome is Outcome.REFUSE:
        yield _problem(finding, Rule.REFUSED, Level.ERROR, f"{finding.value} is refused: {why}")
    elif verdict.unresolved is not None:
        yield _problem(finding, Rule.UNRESOLVED, Level.WARNING, f"{finding.value} was not looked up: {why}")
    elif verdict.outcome is Outcome.HOLD:
        yield _problem(finding, Rule.HELD, Level.WARNING, f"{finding.value} is held: {why}")
    elif finding.state is State.FLOATING and finding.skip is None:
        what = "digest" if finding.kind is Kind.IMAGE else "commit"
        text = f"{finding.value} can be moved; pin it to a {what}"
        if verdict.candidate is not None:
            text += f": {verdict.candidate.target}"
        yield _problem(finding, Rule.FLOATING, Level.WARNING, text)
    elif finding.state is State.UNKNOWN or finding.skip not in (None, SkipReason.PINNED, SkipReason.IGNORED):
        text = f"{finding.value} is left as it is ({finding.skip.value if finding.skip else 'unknown'})"
        yield _problem(finding, Rule.UNKNOWN, Level.NOTE, f"{text}: {finding.note}" if finding.note else text)


def _problem(finding: Finding, rule: Rule, level: Level, text: str) -> Problem:
    span = finding.location.span
    return Problem(
        rule=rule,
        level=level,
        path=finding.location.path,
        line=finding.location.line,
        start=span.start,
        length=span.end - span.start,
        text=text,
    )


def _unread(one: Unread) -> Problem:
    return Problem(
        rule=Rule.UNREAD,
        level=Level.NOTE,
        path=one.path,
        line=one.line or 1,
        start=None,
        length=0,
        text=f"not read ({one.reason.value}): {one.detail}"
        if one.detail
        else f"not read ({one.reason.value})",
    )
