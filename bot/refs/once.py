"""Equal questions asked once: answers kept for a while, threads that ask the same wait for the first."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Answers by key, the oldest dropped where their weights come to more than `capacity`."""

    def __init__(
        self,
        *,
        capacity: int,
        weigh: Callable[[T], int],
        keep: Callable[[T], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity = capacity
        self._weigh = weigh
        self._keep = keep
        self._clock = clock
        self._weight = 0
        self._lock = threading.Lock()
        self._pending: dict[Hashable, Future[T]] = {}
        self._known: OrderedDict[Hashable, tuple[T, float, int]] = OrderedDict()

    def get(self, key: Hashable, ask: Callable[[], T]) -> T:
        """Return the answer that is kept for `key`, or what `ask` returns or raises."""
        with self._lock:
            if (known := self._known.get(key)) is not None:
                if self._clock() < known[1]:
                    self._known.move_to_end(key)
                    return known[0]
                self._drop(key)
            if (pending := self._pending.get(key)) is None:
                mine = self._pending[key] = Future()
        if pending is not None:
            return pending.result()
        try:
            answer = ask()
        except BaseException as error:
            with self._lock:
                del self._pending[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._pending[key]
            self._put(key, answer)
        mine.set_result(answer)
        return answer

    def _put(self, key: Hashable, answer: T) -> None:
        weight = self._weigh(answer)
        self._known[key] = (answer, self._clock() + self._keep(answer), weight)
        self._weight += weight
        while self._weight > self._capacity and len(self._known) > 1:
            self._drop(next(iter(self._known)))

    def _drop(self, key: Hashable) -> None:
        self._weight -= self._known.pop(key)[2]
