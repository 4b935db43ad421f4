"""What was fetched from remotes and may be asked for again: a bounded number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from bot.forges.gitobjects import Fetched

_OVERHEAD = 300
"""Bytes that an object takes besides its content."""


class Shelf:
    """Objects by repository, those least recently used given up first; safe for threads."""

    def __init__(self, capacity: int) -> None:
        """`capacity` is in bytes of content: what is larger is not kept."""
        self._capacity = capacity
        self._kept: OrderedDict[Hashable, tuple[Fetched, int]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, key: Hashable) -> Iterator[Fetched]:
        """Yield a repository's objects for one call, whose additions are kept where there is room."""
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
        fetched = Fetched(known[0].held if known else None)
        before = len(fetched.held)
        yield fetched
        if len(fetched.held) != before:
            self._put(key, fetched)

    def _put(self, key: Hashable, fetched: Fetched) -> None:
        size = sum(len(content) + _OVERHEAD for _, content in fetched.held.values())
        with self._lock:
            self._kept.pop(key, None)
            if size > self._capacity:
                return
            self._kept[key] = fetched, size
            total = sum(size for _, size in self._kept.values())
            while total > self._capacity:
                total -= self._kept.popitem(last=False)[1][1]
