"""What concerns a whole forge: listing a sweep, and catching up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from bot.errors import ForgeError
from bot.forges.base import Forge
from bot.model import Job
from bot.runs.catching_up import CATCH_UP_REF, CatchingUp, Memories, Reader
from bot.runs.listing import Listing
from bot.runs.planning import Served
from bot.runs.sweeping import Sweeping
from bot.store.base import SWEEP_REF

EVERYTHING_REF = "sweep"
"""The ref of the job by which a receiver wants more looked at than it can name: what is new, or gone."""


def _now() -> datetime:
    return datetime.now(UTC)


class ForgeErrands:
    """`Errands` by the ref of a job that has no repository."""

    def __init__(
        self,
        memory: Memories,
        served: Served,
        read: Reader,
        *,
        addresses: Mapping[str, Mapping[str, str]] | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        """`addresses` are the repositories of a forge that cannot list them, by their names."""
        listing = Listing(memory.repositories, served)
        self._memory = memory
        self._sweeping = Sweeping(memory, listing, addresses or {}, clock)
        self._catching_up = CatchingUp(memory, listing, read, clock)

    def run(self, job: Job, forge: Forge) -> None:
        """Do what a job asks for; raises what the forge raises, and `ForgeError` for what nobody knows."""
        if job.ref in (CATCH_UP_REF, EVERYTHING_REF):
            self._catching_up.run(forge)
            return
        if not job.ref.startswith(SWEEP_REF):
            raise ForgeError(f"Nobody knows what {job.ref!a} is.")
        sweep = self._memory.sweeps.get(job.ref.removeprefix(SWEEP_REF))
        if sweep is not None and sweep.forge == forge.name:
            self._sweeping.run(sweep, forge)
