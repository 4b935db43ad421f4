"""Says once what goes wrong many times a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Say(Protocol):
    """Logs a line."""

    def __call__(self, *, problem: str) -> None: ...


class Outage:
    """Tells of the first failure, of each that has another reason, and of the end."""

    def __init__(self, begins: Say, ends: Callable[[], None]) -> None:
        self._begins = begins
        self._ends = ends
        self._why: str | None = None

    def because(self, why: str) -> None:
        """Note a failure; it is said where it is news."""
        if why != self._why:
            self._begins(problem=why)
        self._why = why

    def over(self) -> None:
        """Note that it went well."""
        if self._why is not None:
            self._ends()
        self._why = None
