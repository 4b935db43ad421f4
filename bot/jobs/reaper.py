"""The reaper: workers lend themselves a lease, and take over the runs of one that let it lapse.

The engine never gives a dead process's runs to another one by itself, and each of them would
block its repository for good.
"""

from __future__ import annotations

import threading
from functools import partial

import structlog

from bot.errors import MoorlineError
from bot.jobs.base import Pace, Queue
from bot.jobs.outages import Outage
from bot.store.base import Leases

_log = structlog.get_logger(__name__)


class Reaper:
    """Keeps this worker's lease and ends those of the dead."""

    def __init__(self, leases: Leases, queue: Queue, worker: str, version: str, pace: Pace) -> None:
        self._leases = leases
        self._queue = queue
        self._worker = worker
        self._version = version
        self._pace = pace

    def tick(self) -> None:
        """Renew our lease, then recover the runs of workers whose lease ran out."""
        self._leases.beat(self._worker, self._version)
        expired = self._leases.expired(self._pace.lease)
        ended = self._leases.ended() if expired else frozenset()
        for dead in expired:
            if dead == self._worker:
                continue
            left = self._queue.recover(dead)
            if dead in ended:
                _log.debug("forgot a worker that had ended", worker=dead, left=left)
            else:
                _log.info("ended the lease of a worker that is gone", worker=dead, left=left)
            # Kept until nothing is left: a database that stumbles half way is asked again.
            if not left:
                self._leases.drop(dead)

    def run(self, stop: threading.Event) -> None:
        """Tick until told to stop."""
        away = Outage(
            partial(_log.warning, "cannot renew the lease"), partial(_log.info, "the lease is renewed again")
        )
        while not stop.wait(self._pace.beat):
            try:
                self.tick()
                away.over()
            except MoorlineError as error:
                away.because(str(error))
