"""The work of the service: the two durable steps of a run, made of the pipeline's verbs.

`planning` reads and decides what is to be done, `publishing` makes the forge match it.  Between the
two there are only ids of stored proposals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from bot.forges.base import Forge
from bot.model import Job
from bot.runs.commanding import Manners
from bot.runs.memory import Memory, remember, shown
from bot.runs.owners import Owners
from bot.runs.planning import Errands, Lending, Planning, Served
from bot.runs.publishing import Publishing

__all__ = ["Lending", "Manners", "Memory", "Runs", "Served", "remember", "shown"]


def _now() -> datetime:
    return datetime.now(UTC)


class Runs:
    """Plans and publishes for the repositories of every forge."""

    def __init__(
        self,
        memory: Memory,
        forges: Mapping[str, Forge],
        services: Lending,
        *,
        served: Served | None = None,
        errands: Errands | None = None,
        manners: Manners | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        """Take what serves a job by its forge's name; `errands` does what concerns a whole forge."""
        manners = manners or Manners()
        self._planning = Planning(
            memory,
            forges,
            services,
            Owners(),
            served or Served(),
            errands=errands,
            manners=manners,
            clock=clock,
        )
        self._publishing = Publishing(memory, forges, manners, clock)

    def plan(self, job: Job) -> str | None:
        """Return what is to be published, or None where there is nothing; raises what the pipeline raises."""
        return self._planning.plan(job)

    def publish(self, proposal: str) -> None:
        """Make the forge match what was planned; safe to repeat.

        Raises what forges raise; `ForgeError` where a branch is somebody else's by now, and
        `TransientError` after publishing what could be looked up while something could not.
        """
        self._publishing.publish(proposal)

    def give_up(self, job: Job, why: str) -> None:
        """Say on a head that somebody may wait for why it is not judged, once nothing more is tried.

        Raises what forges raise.
        """
        plan = self._planning.undecided(job, why)
        if plan is not None:
            self._publishing.publish(plan)
