"""Answers kept for a while, and equal questions asked once even by many threads at a time."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class _Pending(Generic[Value]):
    """A question that one thread is asking."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: list[Value] = []


class Memo(Generic[Value]):
    """A bounded dictionary with an age for each answer; the least used goes first.

    `keep` tells for how many seconds an answer is good: 0 keeps none, `math.inf` keeps for good.
    `weigh` tells its share of `capacity`.
    """

    def __init__(
        self,
        *,
        capacity: int = 10_000,
        keep: Callable[[Value], float] = lambda _: math.inf,
        weigh: Callable[[Value], int] = lambda _: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity = capacity
        self._seconds = keep
        self._weigh = weigh
        self._clock = clock
        self._weight = 0
        self._known: OrderedDict[Hashable, tuple[float, int, Value]] = OrderedDict()
        self._pending: dict[Hashable, _Pending[Value]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, ask: Callable[[], Value]) -> Value:
        """Return the answer that is known for `key`, or that `ask` gives now; raises what `ask` raises.

        Threads that come while another asks wait for its answer; if that one failed, the next asks.
        """
        while True:
            with self._lock:
                known = self._known.get(key)
                if known is not None:
                    if known[0] > self._clock():
                        self._known.move_to_end(key)
                        return known[2]
                    self._remove(key)
                pending = self._pending.get(key)
                if pending is None:
                    mine = self._pending[key] = _Pending[Value]()
                    break
            pending.done.wait()
            if pending.answer:
                return pending.answer[0]
        try:
            answer = ask()
            mine.answer.append(answer)
            self._store(key, answer)
            return answer
        finally:
            with self._lock:
                del self._pending[key]
            mine.done.set()

    def known(self, key: Hashable) -> Value | None:
        """Return the answer that is known for `key`, None where there is none."""
        with self._lock:
            kept = self._known.get(key)
            if kept is None or kept[0] <= self._clock():
                return None
            self._known.move_to_end(key)
            return kept[2]

    def keep(self, key: Hashable, answer: Value) -> None:
        """Know `answer` for `key` from now on."""
        self._store(key, answer)

    def forget(self, key: Hashable) -> None:
        """Drop what is known for `key`, if anything."""
        with self._lock:
            if key in self._known:
                self._remove(key)

    def __len__(self) -> int:
        return len(self._known)

    def _store(self, key: Hashable, answer: Value) -> None:
        seconds, weight = self._seconds(answer), self._weigh(answer)
        if seconds <= 0 or weight > self._capacity:
            return
        with self._lock:
            if key in self._known:
                self._remove(key)
            self._known[key] = (self._clock() + seconds, weight, answer)
            self._weight += weight
            while self._weight > self._capacity:
                self._remove(next(iter(self._known)))

    def _remove(self, key: Hashable) -> None:
        self._weight -= self._known.pop(key)[1]
