"""The engine's log in our words: one line for each outage of the database, and one line for anything else."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

_OUTAGE = re.compile(
    r"OperationalError|InterfaceError|psycopg|sqlalche|[Dd]atabase|[Cc]onnection|poll|[Nn]otifi"
)
_QUIET = 120.0
"""Seconds without a word of trouble after which the next is another outage's."""
_LONGEST = 300


class OneLine(logging.Filter):
    """Shortens what the engine logs, and holds back what it repeats while the database is away.

    The engine tells of each failed attempt of each of its threads, with links and traces.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last = -float("inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record to one line; return whether it is to be logged."""
        said = record.getMessage()
        kind = record.exc_info[0] if record.exc_info else None
        if record.levelno >= logging.WARNING and _OUTAGE.search(
            f"{said[:8000]} {kind.__module__ if kind else ''}"
        ):
            now = self._clock()
            new = now - self._last >= _QUIET
            self._last = now
            if not new:
                return False
            said = "the job engine has trouble with the database, and tries again until it answers"
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg = said.strip().partition("\n")[0][:_LONGEST]
        record.args = None
        record.exc_info = record.exc_text = record.stack_info = None
        return True
