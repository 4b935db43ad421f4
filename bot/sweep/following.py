"""Follows sweeps to their end: what living workers do, or what one in this process does."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import click

from bot.jobs.base import Pace
from bot.progress import progress
from bot.service import Service, stopping
from bot.store.base import PlaceState, Sweep, Sweeps
from bot.visible import visible

_POLL = 0.5
_ALIVE = 5.0
_SAY = 10.0
"""Seconds between two looks, two questions who lives, and two lines where nobody sees a bar."""
_SOON = timedelta(seconds=150)
"""What is tried again by then is waited for: all attempts after trouble are, a limit of a day is not."""
_WAITS = frozenset({PlaceState.WAITING, PlaceState.POSTPONED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """How following came to its end."""

    ended: bool
    """Everything ended that is not put off, rather than that somebody stopped us."""
    drained: bool
    """Nothing goes on in this process."""


def follow(service: Service, begun: Sequence[Sweep]) -> Followed:
    """Return when everything ended that is not put off, or when told to stop by a signal.

    Where no worker lives, one in this process works, on whatever is wanted.  Raises what that raises.
    """
    with stopping() as stop, progress() as report:
        worker = _Worker(service)
        said = asked = time.monotonic()
        told: set[str] = set()
        try:
            worker.needed()
            while _pending(service.store.sweeps, begun) and not stop.wait(_POLL) and not worker.failed:
                now = time.monotonic()
                if now - asked >= _ALIVE:
                    worker.needed()
                    asked = now
                done, total = _done(service.store.sweeps, begun)
                report("Sweeping", done, total)
                if not total:
                    _tell(service.store.sweeps, begun, told)
                if now - said >= _SAY and not sys.stderr.isatty():
                    click.echo(f"moorline: {done} of {total} looked at", err=True)
                    said = now
        finally:
            drained = worker.end()
        return Followed(ended=not stop.is_set(), drained=drained)


class _Worker:
    """A worker of our own, from when nobody else lives."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._drained = True
        self.failed: list[BaseException] = []

    def needed(self) -> None:
        """Begin to work if nobody does."""
        if self._thread is None and not self._service.store.leases.versions(Pace().lease):
            self._thread = threading.Thread(target=self._work, name="worker")
            self._thread.start()

    def _work(self) -> None:
        try:
            worker = self._service.worker(timetable=False)
            self._drained = worker.run(self._stop, drain=self._service.settings.drain_seconds)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self.failed.append(error)

    def end(self) -> bool:
        """Stop working, and return whether all that was begun ended; raises what the work raised."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self.failed:
            raise self.failed[0]
        return self._drained


def _pending(sweeps: Sweeps, begun: Sequence[Sweep]) -> bool:
    before = datetime.now(UTC) + _SOON
    return any(sweeps.pending(one.id, before) for one in begun)


def _tell(sweeps: Sweeps, begun: Sequence[Sweep], told: set[str]) -> None:
    """Say once why a list cannot be had yet."""
    for one in begun:
        for place in sweeps.places(one.id):
            why = f"{one.forge}: {visible(place.detail)}"
            if not place.repository and place.state is PlaceState.POSTPONED and why not in told:
                told.add(why)
                click.echo(f"moorline: The list of repositories is tried again. {why}", err=True)


def _done(sweeps: Sweeps, begun: Sequence[Sweep]) -> tuple[int, int]:
    """Return how many places are done, and how many there are so far."""
    counts: Counter[PlaceState] = Counter()
    for one in begun:
        counts.update(sweeps.counts(one.id))
    total = sum(counts.values())
    return total - sum(counts[state] for state in _WAITS), total
