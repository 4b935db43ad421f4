"""What is kept in memory for the next question, the least recently used forgotten first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def _one(_value: object) -> int:
    return 1


class Kept(Generic[K, V]):
    """Values by key, of a bounded cost in all and for a bounded time; safe for threads."""

    def __init__(
        self,
        most: int,
        *,
        cost: Callable[[V], int] = _one,
        seconds: float = float("inf"),
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._most = most
        self._cost = cost
        self._seconds = seconds
        self._clock = clock
        self._held: OrderedDict[K, tuple[V, int, float]] = OrderedDict()
        self._spent = 0
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return a value that is not too old, or None."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                return None
            if not 0 <= self._clock() - found[2] <= self._seconds:
                self._drop(key)
                return None
            self._held.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V) -> None:
        """Keep a value; one that costs more than all may is kept alone."""
        cost = self._cost(value)
        with self._lock:
            self._drop(key)
            self._held[key] = (value, cost, self._clock())
            self._spent += cost
            while self._spent > self._most and len(self._held) > 1:
                self._drop(next(iter(self._held)))

    def pop(self, key: K) -> V | None:
        """Return a value as `get` does, and forget it."""
        found = self.get(key)
        with self._lock:
            self._drop(key)
        return found

    def _drop(self, key: K) -> None:
        found = self._held.pop(key, None)
        if found is not None:
            self._spent -= found[1]
