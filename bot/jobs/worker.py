"""The worker: takes what is wanted, hands it to the engine, and keeps the two in agreement.

A claimed row and the engine's record of the same run are two facts in two transactions, so either
may be missing after a crash.  Both carry the run's id: handing over again changes nothing, and
`reconcile` settles or gives back whatever the engine ended, lost or cannot run.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

import structlog

from bot.errors import MoorlineError
from bot.jobs.base import WORKFLOW_VERSION, Pace, Standing, Work
from bot.jobs.dbos_queue import DbosQueue
from bot.jobs.outages import Outage
from bot.jobs.reaper import Reaper
from bot.jobs.steps import Steps
from bot.model import Job
from bot.store.base import Audit, Backlog, Claim, Ending, Leases

_RETENTION_INTERVAL = 3600.0
_AUDIT_INTERVAL = 5.0
_CHORES_INTERVAL = 5.0
_log = structlog.get_logger(__name__)
_heads = structlog.get_logger("moorline.audit")
"""Goes where `bot.logs` sends what is to be kept apart."""


class Memory(Protocol):
    """The part of a store that a worker needs."""

    url: str

    @property
    def backlog(self) -> Backlog: ...

    @property
    def leases(self) -> Leases: ...

    @property
    def audit(self) -> Audit: ...


def _now() -> datetime:
    return datetime.now(UTC)


def _none() -> None:
    """There are no chores."""


class Worker:
    """Works through the backlog of a store until told to stop."""

    def __init__(
        self,
        store: Memory,
        work: Work,
        pace: Pace | None = None,
        *,
        clock: Callable[[], datetime] = _now,
        version: str = WORKFLOW_VERSION,
        chores: Callable[[], None] = _none,
        gave_up: Callable[[Job, str], None] = lambda _job, _why: None,
    ) -> None:
        """`chores` is called every few seconds, and asks nobody but the store: it wants what is due.

        `gave_up` hears of each run that failed for good.
        """
        self.name = f"{socket.gethostname()[:64]}-{os.getpid()}-{secrets.token_hex(4)}"
        """Unique for every start: a name used twice makes two processes run the same thing."""
        self._pace = pace or Pace()
        self._backlog = store.backlog
        self._leases = store.leases
        self._audit = store.audit
        self._clock = clock
        self._version = version
        self._chores = chores
        self._steps = Steps(work, store.backlog, self._pace, clock, gave_up)
        self._queue = DbosQueue(store.url, self._steps, self.name, self._pace, version=version)
        self._wake = threading.Event()
        self._ticked: float | None = None
        self._told: tuple[int, str] | None = None

    @property
    def active(self) -> int:
        """How many runs go on in this process."""
        return self._queue.active

    def idle_seconds(self) -> float | None:
        """Return how long ago the worker last looked at the backlog, None before it first did."""
        return None if self._ticked is None else time.monotonic() - self._ticked

    def wake(self) -> None:
        """Look at the backlog now: for a receiver in the same process."""
        self._wake.set()

    def run(self, stop: threading.Event, *, drain: float = 20.0) -> bool:
        """Work until `stop` is set, then let runs end for up to `drain` seconds.

        Returns whether all of them ended; what did not is recovered by another worker or the next
        start.  Raises `StoreError` where the database cannot be used at the start.
        """
        self._leases.beat(self.name, self._version)
        self._queue.start()
        reaper = Reaper(self._leases, self._queue, self.name, self._version, self._pace)
        stop_reaper = threading.Event()
        beating = threading.Thread(target=reaper.run, args=(stop_reaper,), name="lease", daemon=True)
        beating.start()
        _log.info("worker started", worker=self.name)
        try:
            self._loop(stop)
        finally:
            active = self.active
            if active:
                many = "1 run goes on" if active == 1 else f"{active} runs go on"
                _log.warning(f"{many} for up to {drain:.0f} s; Ctrl-C or SIGTERM again to cut it off")
            # The lease is kept while runs end, or another worker would take them meanwhile.
            drained = self._queue.stop(drain)
            stop_reaper.set()
            beating.join()
            if drained:
                self._end_lease()
            _log.info("worker stopped", worker=self.name, drained=drained)
        return drained

    def _loop(self, stop: threading.Event) -> None:
        reconciled = forgotten = told = done = -float("inf")
        away = Outage(
            partial(_log.warning, "cannot look at the backlog"),
            partial(_log.info, "the backlog can be looked at again"),
        )
        while not stop.is_set():
            now = time.monotonic()
            try:
                if now - reconciled >= self._pace.reconcile:
                    self.reconcile()
                    reconciled = now
                if now - forgotten >= _RETENTION_INTERVAL:
                    self._forget()
                    forgotten = now
                if now - told >= _AUDIT_INTERVAL:
                    self._tell()
                    told = now
                if now - done >= _CHORES_INTERVAL:
                    self._chores()
                    done = now
                self.dispatch()
                self._ticked = time.monotonic()
                away.over()
            except MoorlineError as error:
                away.because(str(error))
            # Woken, or in a moment; and at once when told to stop, since stopping wakes nobody.
            self._wait(stop)

    def _wait(self, stop: threading.Event) -> None:
        end = time.monotonic() + self._pace.poll
        while not stop.is_set() and not self._wake.is_set():
            left = end - time.monotonic()
            if left <= 0:
                return
            self._wake.wait(min(left, 0.1))
        self._wake.clear()

    def dispatch(self) -> None:
        """Hand over as much of the backlog as this worker has room for."""
        for claim in self._backlog.claim(self.name, self._pace.concurrency, self._clock()):
            self._queue.submit(claim.run, claim.job, claim.priority)

    def reconcile(self) -> None:
        """Make what is claimed agree with what the engine knows."""
        claims = self._backlog.claimed()
        standings = self._queue.statuses(tuple(claim.run for claim in claims))
        alive = self._leases.versions(self._pace.lease) | {self._version}
        for claim in claims:
            self._agree(claim, standings.get(claim.run), alive)

    def _agree(self, claim: Claim, standing: Standing | None, alive: frozenset[str]) -> None:
        if standing is None:
            # Claimed by someone who died before handing over, or is just about to.
            self._queue.submit(claim.run, claim.job, claim.priority)
        elif standing.killed:
            detail = "It took its worker with it each time it was tried."
            self._steps.give_up(claim.job, detail)
            self._backlog.settle(claim.run, Ending.PARKED, detail, self._clock())
            _log.error("parked a run", run=claim.run, repository=claim.job.repository)
        elif standing.unfinished:
            if standing.version not in alive:
                _log.warning("handing a run of another version over anew", run=claim.run)
                self._queue.abandon(claim.run)
                self._backlog.release(claim.run)
        else:
            # It ended and could not say how: the database was away just then.  Unless it has
            # settled between our two looks; then this changes nothing.
            _log.warning("a run ended without a word", run=claim.run)
            detail = "The run ended without a word."
            self._steps.settle(claim.run, {"ending": Ending.POSTPONED.value, "detail": detail})

    def _forget(self) -> None:
        before = self._clock() - timedelta(seconds=self._pace.retention)
        count = self._backlog.forget(before) + self._queue.forget(before)
        _log.debug("forgot what is old", count=count)

    def _tell(self) -> None:
        """Log the audit log's head where it grew: whoever rewrites the database cannot rewrite this."""
        number, digest = self._audit.head()
        if (number, digest) != self._told:
            self._told = (number, digest)
            _heads.info("audit log", entries=number, hash=digest)

    def _end_lease(self) -> None:
        # Not dropped: the engine may have taken a run up and not begun it, and whoever works
        # next looks for that.
        try:
            self._leases.end(self.name)
        except MoorlineError as error:
            _log.warning("cannot give the lease back", problem=str(error))
