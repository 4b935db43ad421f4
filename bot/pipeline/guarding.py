"""A report as a pipeline's guard takes it."""

from __future__ import annotations

from dataclasses import replace

from bot.config import Config, Floating, Guard, Unreachable
from bot.model import Cause, Finding, Kind, Outcome, Reason, Report, Ruling, SkipReason, State, Verdict
from bot.trust import policy


def guard(report: Report, config: Config) -> Report:
    """Return the report as a pipeline's guard takes it: what must not come in is refused."""
    rules = policy.guard(config)
    return replace(report, verdicts=tuple(_noted(_guarded(verdict, rules)) for verdict in report.verdicts))


def _guarded(verdict: Verdict, rules: Guard) -> Verdict:
    if verdict.outcome is Outcome.REFUSE:
        return verdict
    if verdict.unresolved is not None:
        return _unanswered(verdict, rules)
    held = verdict.outcome is Outcome.HOLD or _unvouched(verdict)
    if held and rules.held is Floating.FAIL:
        return _refused(verdict, "guard", "the policy fails on what is held")
    if held and rules.held is Floating.WARN:
        verdict = replace(verdict, outcome=Outcome.HOLD)
    finding = verdict.finding
    if _floats(finding):
        text = _UNPINNED[finding.kind] if finding.skip is None else _UNPINNABLE
        if finding.skip is SkipReason.PARTIAL_VARIABLE:
            text += _WHOLE
        if verdict.candidate is not None:
            text += f": {verdict.candidate.target}"
        return _by(rules.floating, verdict, text)
    if _is_open(finding):
        return _by(rules.held, verdict, _UNKNOWN)
    return verdict


def _noted(verdict: Verdict) -> Verdict:
    """Return a verdict that tells, too, what is known of why a reference stands as it does, and what would help."""
    finding = verdict.finding
    told = finding.skip is None or finding.skip in _OPEN - {SkipReason.VARIABLE, SkipReason.PARTIAL_VARIABLE}
    if verdict.outcome is Outcome.PASS or not told or not finding.note:
        return verdict
    reason = Reason(check="guard", ruling=Ruling.UNKNOWN, text=finding.note, demand="warn")
    return replace(verdict, reasons=(*_ended(verdict), reason))


def _ended(verdict: Verdict) -> tuple[Reason, ...]:
    """Return the reasons of a verdict that another one follows on the same line."""
    return tuple(replace(one, text=one.text.removesuffix(".")) for one in verdict.reasons)


def _unanswered(verdict: Verdict, rules: Guard) -> Verdict:
    if rules.unreachable is Unreachable.FAILURE:
        return _refused(verdict, "guard", "the policy fails on what cannot be looked up")
    if rules.floating is Floating.FAIL and _floats(verdict.finding):
        return _refused(verdict, "floating", _UNPINNED[verdict.finding.kind])  # which needs no answer
    return verdict


def _by(rule: Floating | None, verdict: Verdict, text: str) -> Verdict:
    if rule is Floating.FAIL:
        return _refused(verdict, "floating", text)
    if rule is Floating.WARN and verdict.outcome in (Outcome.PASS, Outcome.WARN):
        reason = Reason(check="floating", ruling=Ruling.FAIL, text=text, demand="warn")
        return replace(verdict, outcome=Outcome.WARN, reasons=(*_ended(verdict), reason))
    return verdict


_UNPINNED = {
    Kind.IMAGE: "it can be moved; pin it to a digest",
    Kind.ACTION: "it can be moved; pin it to a commit",
    Kind.INCLUDE: "it can be moved; pin it to a commit",
}
_UNPINNABLE = "it can be moved, and cannot be pinned as it is written"
_WHOLE = ": write the whole reference out, or keep all of it in one variable"
_UNKNOWN = "the files do not show what it comes to, so nobody can tell whether it can be moved"
_OPEN = frozenset(
    {
        SkipReason.VARIABLE,
        SkipReason.PARTIAL_VARIABLE,
        SkipReason.SHARED_VARIABLE,
        SkipReason.INVALID,
        SkipReason.ESCAPED,
        SkipReason.NO_PLACE,
        SkipReason.UNSUPPORTED,
    }
)
"""Why Moorline writes no pin although nothing says that it need not be one."""


def _floats(finding: Finding) -> bool:
    """Return whether somebody else can move what a reference leads to."""
    known = finding.skip is None or (finding.skip in _OPEN and finding.skip is not SkipReason.VARIABLE)
    return known and finding.state is State.FLOATING


def _is_open(finding: Finding) -> bool:
    """Return whether the files do not show what a reference leads to."""
    return finding.skip in _OPEN and finding.state is not State.PINNED and not _floats(finding)


def _unvouched(verdict: Verdict) -> bool:
    """Return whether a pin that stands there already has no word from a check that is required."""
    return (
        verdict.candidate is not None
        and verdict.candidate.cause is Cause.KEEP
        and any(one.demand == "require" and one.ruling is Ruling.UNKNOWN for one in verdict.reasons)
    )


def _refused(verdict: Verdict, check: str, text: str) -> Verdict:
    reason = Reason(check=check, ruling=Ruling.FAIL, text=text, demand="require")
    return replace(verdict, outcome=Outcome.REFUSE, reasons=(*_ended(verdict), reason))
