"""How fast a forge is written to: no faster than it asks for, and without sleeping."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

LONGEST = 6 * 3600.0
"""Seconds after which whoever was refused may come back at the latest."""


@dataclass(frozen=True, slots=True)
class Window:
    """No more than so many writes in any stretch of so many seconds."""

    most: int
    seconds: float


@dataclass(slots=True)
class _Book:
    times: deque[float]
    """When was written, oldest first."""
    promised: float = field(default=0.0)
    """The latest time that somebody was told to come back at."""


class Pacing:
    """Counts writes under names of the caller's, such as an installation's; safe for threads.

    Windows whose `most` is 0 limit nothing.  `clock` returns seconds since 1970; one that is set back forgets.
    """

    def __init__(self, clock: Callable[[], float], windows: Sequence[Window] = ()) -> None:
        self._clock = clock
        self._windows = tuple(one for one in windows if one.most > 0)
        self._longest = max((one.seconds for one in self._windows), default=0.0)
        self._lock = threading.Lock()
        self._books: dict[str, _Book] = {}

    def take(self, name: str) -> float | None:
        """Count a write and return None; where there is no room for it, return the seconds to wait."""
        with self._lock:
            now = self._clock()
            book = self._book(name, now)
            wait = self._wait(book, 1, now)
            if wait is None and self._windows:
                book.times.append(now)
            return wait

    def room(self, name: str, writes: int) -> float | None:
        """Return None where there is room for so many writes, else the seconds to wait; counts nothing.

        Those who ask one after the other are told times that lie as far apart as their writes take, so that
        hundreds of them neither come back at once nor again and again.
        """
        with self._lock:
            now = self._clock()
            return self._wait(self._book(name, now), writes, now, queues=True)

    def _book(self, name: str, now: float) -> _Book:
        book = self._books.setdefault(name, _Book(deque()))
        if (book.times and book.times[-1] > now) or book.promised > now + LONGEST:
            book = self._books[name] = _Book(deque())
        while book.times and book.times[0] <= now - self._longest:
            book.times.popleft()
        return book

    def _wait(self, book: _Book, writes: int, now: float, *, queues: bool = False) -> float | None:
        wait = apart = 0.0
        for one in self._windows:
            wanted = min(writes, one.most)
            first = bisect_right(book.times, now - one.seconds)
            over = len(book.times) - first + wanted - one.most
            if over <= 0:
                continue
            until = book.times[first + over - 1] + one.seconds
            if until - now > wait:
                wait, apart = until - now, wanted * one.seconds / one.most
        if not wait:
            return None
        if queues:
            wait = min(max(wait, book.promised + apart - now), LONGEST)
            book.promised = now + wait
        return max(wait, 1.0)
