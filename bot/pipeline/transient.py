"""Trouble with look-ups that another time may be over."""

from __future__ import annotations

from bot.errors import TransientError
from bot.model import Outcome, Proposal, Report, Status, UnresolvedReason, Verdict
from bot.visible import visible

_PASSING = frozenset(
    {
        UnresolvedReason.TIMEOUT,
        UnresolvedReason.UNREACHABLE,
        UnresolvedReason.SERVER_ERROR,
        UnresolvedReason.RATE_LIMITED,
        UnresolvedReason.DEFERRED,
    }
)
"""Trouble that another time may be over."""


def passing(report: Report) -> TransientError | None:
    """Return the trouble with look-ups that may be over soon, with the time that a server named."""
    failed = [one for one in report.verdicts if is_passing(one)]
    if not failed:
        return None
    place = failed[0].finding.location
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    waits = [one.unresolved.retry_after for one in failed if one.unresolved and one.unresolved.retry_after]
    return TransientError(
        f"Some look-ups failed and are tried again: {visible(place.path)}:{place.line}{more}.",
        retry_after=max(waits, default=None),
    )


def unpins(report: Report, published: Proposal) -> bool:
    """Return whether a proposal of this report would take back a pin for trouble that may be over soon."""
    pinned = {(edit.path, edit.expected) for edit in published.edits}
    return any(
        (one.finding.location.path, one.finding.value.encode("utf-8", "surrogateescape")) in pinned
        for one in report.verdicts
        if is_passing(one)
    )


def is_passing(verdict: Verdict) -> bool:
    if verdict.unresolved is not None:
        return verdict.unresolved.reason in _PASSING
    return verdict.outcome is Outcome.HOLD and any(one.status is Status.ERROR for one in verdict.evidence)
