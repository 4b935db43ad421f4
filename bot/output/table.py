"""The table of a report, as rows of plain text that the edge may colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from bot.model import Outcome, Report, Ruling, SkipReason, State, UnreadReason, Verdict
from bot.visible import left_alone, named, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    path: str
    line: int
    value: str
    state: str
    note: str
    tone: str
    """`good`, `bad`, `dim` or `plain`."""

    @property
    def place(self) -> str:
        """Return `path:line`."""
        return f"{self.path}:{self.line}"


def rows(report: Report, *, everything: bool) -> Iterator[Row]:
    """Yield a row for each reference; those already pinned only if `everything` is wanted."""
    for verdict in report.verdicts:
        if verdict.finding.skip is SkipReason.PINNED and not everything and verdict.outcome is Outcome.PASS:
            continue
        yield _row(verdict)


def _row(verdict: Verdict) -> Row:
    finding = verdict.finding
    note = finding.note
    state, tone = finding.state.value, "plain"
    if verdict.outcome in (Outcome.HOLD, Outcome.REFUSE):
        state = "refused" if verdict.outcome is Outcome.REFUSE else "held"
        tone = "bad"
    elif finding.skip is SkipReason.PINNED:
        tone = "good"
    elif finding.skip is not None:
        note = left_alone(finding)
        tone = "dim"
    elif finding.state is State.FLOATING:
        tone = "bad"
    reasons = [why.text for why in verdict.reasons if why.ruling is not Ruling.PASS and why.demand != "off"]
    return Row(
        path=visible(finding.location.path),
        line=finding.location.line,
        value=visible(named(finding)),
        state=state,
        note=visible("; ".join(filter(None, [note, *reasons]))),
        tone=tone,
    )


def summary(report: Report) -> str:
    """Return the count of what was found, in one line."""
    states = Counter(
        verdict.finding.state.value if verdict.finding.skip in (None, SkipReason.PINNED) else "left as is"
        for verdict in report.verdicts
    )
    parts = [
        f"{states[state]} {state}"
        for state in ("floating", "pinned", "unknown", "left as is")
        if states[state]
    ]
    outcomes = Counter(verdict.outcome for verdict in report.verdicts)
    judged = [
        f"{outcomes[outcome]} {word}"
        for outcome, word in ((Outcome.REFUSE, "refused"), (Outcome.HOLD, "held"))
        if outcomes[outcome]
    ]
    found = "; ".join(filter(None, [", ".join(parts) or "no references", ", ".join(judged)]))
    return f"{_files(report)}: {found}"


def came_in(report: Report) -> str:
    """Return the same of a report on what came in since a revision."""
    found = summary(report).partition(": ")[2] if report.verdicts else "no references"
    stood = f"; {report.stood} floated before, and {_are(report.stood)} not judged" if report.stood else ""
    counts, _, judged = found.partition("; ")
    return f"{_files(report)}: {counts} came in{judged and f'; {judged}'}{stood}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _files(report: Report) -> str:
    return f"{report.files} file" if report.files == 1 else f"{report.files} files"


def unread(report: Report) -> Iterator[str]:
    """Yield a line for each file or folder that was not read, with the reason; notes come first.

    What is left out for one reason, a folder of the same name here and there, is one line.
    """
    yield from (visible(note, 1000) for note in report.notes)
    alike = Counter(one.detail for one in report.unread if one.reason is UnreadReason.LEFT_OUT)
    told: set[str] = set()
    for one in report.unread:
        place = f"{one.path}:{one.line}" if one.line else one.path
        if one.reason is UnreadReason.LEFT_OUT:
            if one.detail in told:
                continue
            told.add(one.detail)
            place += f" and {alike[one.detail] - 1} more" if alike[one.detail] > 1 else ""
        detail = f": {one.detail}" if one.detail else ""
        yield visible(f"{place}  not read ({one.reason.value}){detail}", 1000)
