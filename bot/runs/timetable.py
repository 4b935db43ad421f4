"""What is wanted by the clock: sweeps, and catching up.  Asked every few seconds, and asks the store alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol
from uuid import uuid4

from bot.cron import Cron
from bot.model import Job, Trigger
from bot.runs.catching_up import CATCH_UP_REF
from bot.store.base import Inbox, Schedules, Sweep

BY_CLOCK = "schedule"
"""Who asked for a sweep that nobody asked for."""


class Book(Protocol):
    """The part of a store that a timetable needs."""

    @property
    def inbox(self) -> Inbox:
        """Return where jobs are wanted."""

    @property
    def schedules(self) -> Schedules:
        """Return what was done by the clock."""


def _now() -> datetime:
    return datetime.now(UTC)


class Timetable:
    """The schedules of the installation, for every forge.  Each tick is taken once, by whichever worker."""

    def __init__(
        self,
        book: Book,
        forges: Mapping[str, bool],
        *,
        sweep: Cron | None,
        catch_up: Cron | None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        """`forges` says by name whether one can be caught up with; a schedule of None is off."""
        self._book = book
        self._forges = forges
        self._sweep = sweep
        self._catch_up = catch_up
        self._clock = clock
        self._started = False

    def __call__(self) -> None:
        """Want what is due; raises `StoreError`, after which it may be asked again."""
        now = self._clock()
        if not self._started:
            # Whatever happened while nobody listened; several that start at once make one job of it.
            self._book.inbox.want(tuple(self._catching_up()), now)
            self._started = True
        for name in sorted(self._forges):
            if self._sweep is not None and self._may(f"sweep {name}", self._sweep, now):
                made = new_sweep(name, Trigger.SCHEDULED, BY_CLOCK, now)
                self._book.schedules.tick(f"sweep {name}", self._sweep, made.job, made, now)
        for job in self._catching_up():
            if self._catch_up is not None and self._may(f"catch-up {job.forge}", self._catch_up, now):
                self._book.schedules.tick(f"catch-up {job.forge}", self._catch_up, job, None, now)

    def _may(self, name: str, cron: Cron, now: datetime) -> bool:
        """Return whether it is worth asking for the tick: the database's own clock decides."""
        last = self._book.schedules.last(name)
        return last is None or cron.due(last, now)

    def _catching_up(self) -> list[Job]:
        return [
            Job(forge=name, repository="", ref=CATCH_UP_REF, trigger=Trigger.CATCH_UP)
            for name, hosts in sorted(self._forges.items())
            if hosts and self._catch_up is not None
        ]


def new_sweep(
    forge: str,
    trigger: Trigger,
    who: str,
    now: datetime,
    *,
    owners: tuple[str, ...] = (),
    globs: tuple[str, ...] = (),
) -> Sweep:
    """Return a sweep that nobody began yet."""
    return Sweep(
        id=uuid4().hex, forge=forge, trigger=trigger, owners=owners, globs=globs, who=who, started=now
    )
