"""How many requests each registry is asked in a while, by its own word and by ours.

Docker Hub counts a GET of a manifest and answers HEAD for free, as far as its documentation and
others' measurements tell; it says what is left in `ratelimit-remaining: 76;w=21600`.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

_LEFT = re.compile(r"[ \t]*([0-9]{1,9})[ \t]*(?:;[ \t]*w=([0-9]{1,9}))?")
_WINDOW = 21600.0
_LONGEST_PAUSE = 86400.0

DOCKER_HUB_API = "registry-1.docker.io"


class Budget:
    """What is left for each API host; shared by all clients of a process, safe for threads."""

    def __init__(
        self,
        *,
        limits: Mapping[str, int] | None = None,
        floor: int = 5,
        window: float = _WINDOW,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`limits` are GETs of manifests by API host in `window` seconds; hosts without one have none.

        At or under `floor` by the registry's own count we stop, so that people's pulls go on.
        """
        self._limits = dict(limits or {})
        self._floor = floor
        self._window = window
        self._clock = clock
        self._spent: dict[str, deque[float]] = {}
        self._closed: dict[str, float] = {}
        self._paused: dict[str, float] = {}
        self._lock = threading.Lock()

    def spend(self, host: str) -> float | None:
        """Count one GET, or return the seconds until the next one fits; None when it was counted."""
        now = self._clock()
        with self._lock:
            closed = self._closed.get(host, 0.0)
            if closed > now:
                return closed - now
            limit = self._limits.get(host)
            if limit is None:
                return None
            spent = self._spent.setdefault(host, deque())
            while spent and spent[0] <= now - self._window:
                spent.popleft()
            if len(spent) >= limit:
                return spent[0] + self._window - now if spent else self._window
            spent.append(now)
            return None

    def observe(self, host: str, remaining: str | None) -> None:
        """Take note of a `ratelimit-remaining` header; anything that is none is passed over."""
        match = _LEFT.match(remaining) if remaining else None
        if match is None:
            return
        with self._lock:
            if int(match[1]) <= self._floor:
                window = min(float(match[2] or self._window), _LONGEST_PAUSE)
                self._closed.setdefault(host, self._clock() + window)
                if self._closed[host] <= self._clock():
                    self._closed[host] = self._clock() + window
            else:
                self._closed.pop(host, None)

    def pause(self, host: str, seconds: float) -> None:
        """Ask `host` nothing at all for a while, after its 429."""
        until = self._clock() + min(seconds, _LONGEST_PAUSE)
        with self._lock:
            self._paused[host] = max(until, self._paused.get(host, 0.0))

    def paused(self, host: str) -> float | None:
        """Return for how many seconds `host` is not to be asked, None when it may be."""
        with self._lock:
            left = self._paused.get(host, 0.0) - self._clock()
        return left if left > 0 else None
