"""Durable work, as protocols: what a run does, and what it may tell the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bot.model import Job

WORKFLOW_VERSION = "2"
"""Changes with the order or the meaning of a run's steps, not with the package.

A worker takes up only runs of its own version; what an older one left behind is handed over anew
once no worker of that version lives.
"""


class Work(Protocol):
    """The two steps of a run.  Each may be repeated after a crash; only `publish` writes.

    Raise `TransientError` for what may pass, `SupersededError` where the branch moved, and any
    other `MoorlineError` for what cannot succeed: their text is stored, so it holds no secret.
    """

    def plan(self, job: Job) -> str | None:
        """Return the id of the stored proposal, or None where there is nothing to publish."""

    def publish(self, proposal: str) -> None:
        """Make the forge match the stored proposal; safe to repeat."""


class Queue(Protocol):
    """The engine that runs claimed branches: durable, at least once, one per repository."""

    def submit(self, run: str, job: Job, priority: int) -> None:
        """Hand a run over; handing the same one over again changes nothing."""

    def statuses(self, runs: tuple[str, ...]) -> dict[str, Standing]:
        """Return how the engine stands to runs; those that it does not know are left out."""

    def abandon(self, run: str) -> None:
        """Make sure that the engine never begins another step of a run."""

    def recover(self, worker: str) -> int:
        """Give a dead worker's runs to the living; return how many it still holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the engine stands to one run."""

    unfinished: bool
    version: str
    """The workflow version that the run was handed over with, the only one that takes it up."""
    killed: bool = False
    """Given up after it took its workers with it time and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a worker works.  Times are in seconds."""

    concurrency: int = 4
    """Runs at a time."""
    poll: float = 0.25
    """Between two looks at what is wanted, and at the engine's queue."""
    beat: float = 2.0
    lease: float = 8.0
    """A worker that was silent for so long is dead, and the others take its runs."""
    reconcile: float = 15.0
    """Between two comparisons of what is claimed with what the engine knows."""
    backoff: float = 15.0
    """Before the second attempt; doubled before each further one, up to an hour."""
    attempts: int = 5
    """Runs of one head that may end in trouble before it is parked."""
    retention: float = 30 * 86400.0
    """How long deliveries and ended runs are kept."""
