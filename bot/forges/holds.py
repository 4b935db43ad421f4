"""Until when limits keep us from asking, so that nobody asks a forge that has said to wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LONGEST = 3600.0
"""Seconds for which nobody asks at most, whatever a limit names."""
UNTOLD = 60.0
"""Seconds to stay away where a limit names no time; doubled while it is met again."""


@dataclass(slots=True)
class _Hold:
    until: float = 0.0
    untold: float = 0.0
    """The latest wait that no limit named, 0 where none was."""


class Holds:
    """Times not to ask before, each under a name of the caller's; safe for threads.

    `clock` returns seconds since 1970.  A clock that is set back ends what it makes longer than `LONGEST`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, _Hold] = {}

    def left(self, name: str) -> float | None:
        """Return the seconds for which nobody may ask under a name, None where one may."""
        with self._lock:
            held = self._held.get(name)
            left = held.until - self._clock() if held is not None else 0.0
        return left if 0 < left <= LONGEST + 1 else None

    def hold(self, names: Sequence[str], seconds: float | None) -> float:
        """Return for how many seconds nobody asks under these names from now on.

        None is for a limit that names no time.  Such a one that comes while one is on was met by who asked
        before it: only one that comes after the end, and within an hour of it, doubles the wait.
        """
        with self._lock:
            now = self._clock()
            self._held = {
                name: one for name, one in self._held.items() if abs(one.until - now) <= LONGEST + 1
            }
            holds = [self._held.setdefault(name, _Hold()) for name in names]
            wait = min(seconds, LONGEST) if seconds is not None else _untold(holds, now)
            for one in holds:
                one.until = max(one.until, now + wait)
                if seconds is None:
                    one.untold = max(one.untold, wait)
        return wait


def _untold(holds: Sequence[_Hold], now: float) -> float:
    before = max(one.untold for one in holds)
    left = max(one.until for one in holds) - now
    if before and left > 0:
        return left
    return min(2 * before, LONGEST) if before else UNTOLD
