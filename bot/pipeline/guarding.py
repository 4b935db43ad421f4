"""A report as a pipeline's guard takes it."""

from __future__ import annotations

from dataclasses import replace

from bot.config import Config, Floating, Guard, Unreachable
from bot.model import Cause, Kind, Outcome, Reason, Report, Ruling, State, Verdict
from bot.trust import policy


def guard(report: Report, config: Config) -> Report:
    """Return the report as a pipeline's guard takes it: what must not come in is refused."""
    rules = policy.guard(config)
    return replace(report, verdicts=tuple(_guarded(verdict, rules) for verdict in report.verdicts))


def _guarded(verdict: Verdict, rules: Guard) -> Verdict:
    finding = verdict.finding
    if verdict.outcome is Outcome.REFUSE:
        return verdict
    if verdict.unresolved is not None:
        if rules.unreachable is not Unreachable.FAILURE:
            return verdict
        return _refused(verdict, "guard", "the policy fails on what cannot be looked up")
    held = verdict.outcome is Outcome.HOLD or _unvouched(verdict)
    if held and rules.held is Floating.FAIL:
        return _refused(verdict, "guard", "the policy fails on what is held")
    if held and rules.held is Floating.WARN:
        verdict = replace(verdict, outcome=Outcome.HOLD)
    if finding.skip is not None or finding.state is not State.FLOATING:
        return verdict
    what = "digest" if finding.kind is Kind.IMAGE else "commit"
    text = f"it can be moved; pin it to a {what}"
    if verdict.candidate is not None:
        text += f": {verdict.candidate.target}"
    if rules.floating is Floating.FAIL:
        return _refused(verdict, "floating", text)
    if rules.floating is Floating.WARN:
        reason = Reason(check="floating", ruling=Ruling.FAIL, text=text, demand="warn")
        return replace(verdict, outcome=Outcome.WARN, reasons=(*verdict.reasons, reason))
    return verdict


def _unvouched(verdict: Verdict) -> bool:
    """Return whether a pin that stands there already has no word from a check that is required."""
    return (
        verdict.candidate is not None
        and verdict.candidate.cause is Cause.KEEP
        and any(one.demand == "require" and one.ruling is Ruling.UNKNOWN for one in verdict.reasons)
    )


def _refused(verdict: Verdict, check: str, text: str) -> Verdict:
    reason = Reason(check=check, ruling=Ruling.FAIL, text=text, demand="require")
    return replace(verdict, outcome=Outcome.REFUSE, reasons=(*verdict.reasons, reason))
