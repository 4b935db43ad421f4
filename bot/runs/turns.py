"""When a scheduled sweep may propose: what has its day is proposed, the rest waits and is said.

A sweep that a person asks for, a push and catching up propose at once.  What a proposal promises
already is never taken out of it again.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import datetime

from bot import cron, pipeline
from bot.config import Config
from bot.config.nouns import Schedule
from bot.model import Cause, Job, Pinned, Report, SkipReason, Trigger, Verdict
from bot.runs.memory import Memory
from bot.store.base import Turn

SWEPT = frozenset({Trigger.SWEEP, Trigger.SCHEDULED, Trigger.CATCH_UP})
"""Triggers that tell of a branch without knowing whether anything happened there."""


@dataclass(frozen=True, slots=True)
class Due:
    """What may be proposed now."""

    first: bool = True
    refresh: bool = True


class Turns:
    """The turns of every branch."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def calls(self, job: Job, base: str, now: datetime) -> bool:
        """Return whether something waits on a branch that did not change, and may be proposed now."""
        turn = self._memory.schedules.turn(job.forge, job.repository, base)
        match job.trigger:
            case Trigger.SWEEP:
                return turn.first_waits or turn.refresh_waits
            case Trigger.SCHEDULED:
                may = due(_schedule(turn), turn, now)
                return (turn.first_waits and may.first) or (turn.refresh_waits and may.refresh)
            case _:
                return False

    def passed(self, job: Job, base: str, now: datetime) -> None:
        """Remember that a sweep came by and found everything as it was."""
        if job.trigger is not Trigger.SCHEDULED:
            return
        turn = self._memory.schedules.turn(job.forge, job.repository, base)
        if turn.schedule_first or turn.schedule_refresh:
            self._take(job, base, turn, _over(turn, due(_schedule(turn), turn, now), now))

    def today(
        self, job: Job, base: str, report: Report, config: Config, now: datetime
    ) -> tuple[Report, Turn]:
        """Return the report without what waits for its day, and what is to be taken for the turn of it."""
        turn = self._memory.schedules.turn(job.forge, job.repository, base)
        scheduled = job.trigger is Trigger.SCHEDULED
        may = due(config.schedule, turn, now) if scheduled else Due()
        waits: list[Verdict] = []
        if may != Due():
            proposals, name = self._memory.proposals, job.repository
            promised = (
                *proposals.standing(job.forge, name, base),
                *proposals.unpublished(job.forge, name, base),
            )
            settled = proposals.declined(job.forge, name, base)
            settled |= {pin for one in promised for pin in one.proposal.pins}
            report, waits = masked(report, may, settled)
        turn = replace(
            _over(turn, may, now) if scheduled else turn,
            first_waits=any(map(_is_first, waits)),
            refresh_waits=not all(map(_is_first, waits)),
            schedule_first=tuple(map(str, config.schedule.first)),
            schedule_refresh=tuple(map(str, config.schedule.refresh)),
        )
        return report, turn

    def take(self, job: Job, base: str, turn: Turn) -> None:
        """Remember a turn."""
        self._take(job, base, self._memory.schedules.turn(job.forge, job.repository, base), turn)

    def _take(self, job: Job, base: str, before: Turn, turn: Turn) -> None:
        if turn != before:
            self._memory.schedules.take(job.forge, job.repository, base, turn)


def due(schedule: Schedule, turn: Turn, now: datetime) -> Due:
    """Return what a scheduled sweep may propose."""
    return Due(schedule.first_due(turn.first, now), schedule.refresh_due(turn.refresh, now))


def masked(report: Report, may: Due, settled: Container[Pinned]) -> tuple[Report, list[Verdict]]:
    """Return the report with what may not be proposed now skipped, and those verdicts as they were.

    What is among `settled` is left as it is.
    """
    waits: list[Verdict] = []
    kept: list[Verdict] = []
    for one in report.verdicts:
        allowed = may.first if _is_first(one) else may.refresh
        if allowed or not one.writes or pipeline.pinned(one) in settled:
            kept.append(one)
            continue
        waits.append(one)
        which = "first" if _is_first(one) else "refresh"
        note = f"waits for the day that schedule.{which} names"
        kept.append(replace(one, finding=replace(one.finding, skip=SkipReason.SCHEDULED, note=note)))
    return replace(report, verdicts=tuple(kept)), waits


def _is_first(verdict: Verdict) -> bool:
    return verdict.candidate is not None and verdict.candidate.cause is Cause.FIRST


def _over(turn: Turn, may: Due, now: datetime) -> Turn:
    """Return the turn after a scheduled sweep that might propose this much."""
    return replace(turn, first=now if may.first else turn.first, refresh=now if may.refresh else turn.refresh)


def _schedule(turn: Turn) -> Schedule:
    """Return the schedule that the last look found; the usual one where there was none."""
    if not (turn.schedule_first or turn.schedule_refresh):
        return Schedule()
    return Schedule(
        first=tuple(map(cron.parse, turn.schedule_first)),
        refresh=tuple(map(cron.parse, turn.schedule_refresh)),
    )
