"""What is said on a request about what it brings in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from bot import candidates, proposals
from bot.model import ChangedFile, Outcome, Report, Review
from bot.pipeline.confirming import confirm
from bot.pipeline.transient import is_passing


def review(
    report: Report,
    judged: Report,
    changed: Callable[[Collection[str]], Iterable[ChangedFile]],
    standing: proposals.Standing,
) -> Review:
    """Return what is said on a request about a report of what it brings in.

    `judged` is the same as the guard takes it, and `changed` tells of files which of their lines a remark
    may stand on; it is not asked where there is nothing to say.
    """
    pins = [
        proposals.Pin(one, candidates.edits(one.candidate))
        for one in confirm(report).written
        if one.candidate is not None
    ]
    settled = {one.verdict.finding.location for one in pins}
    troubles = [
        one
        for one in judged.verdicts
        if one.outcome in (Outcome.HOLD, Outcome.REFUSE)
        and one.finding.location not in settled
        and not is_passing(one)  # another look may end otherwise: the check alone says it
    ]
    paths = {one.verdict.finding.location.path for one in pins}
    paths |= {one.finding.location.path for one in troubles}
    return proposals.review(report, pins, troubles, changed(paths) if paths else (), standing)
