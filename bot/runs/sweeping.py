"""A sweep is listed: every repository is wanted, or left out for a reason.  The runs do the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from bot.errors import ForgeError
from bot.forges.base import Forge, Hosting
from bot.model import Job, Trigger
from bot.runs.listing import Asked, Listed, Listing, branches, concerns_all
from bot.runs.memory import Memory
from bot.store.base import Sweep


class Sweeping:
    """Lists sweeps.  Safe to repeat: what was wanted for a sweep is not wanted again."""

    def __init__(
        self,
        memory: Memory,
        listing: Listing,
        addresses: Mapping[str, Mapping[str, str]],
        clock: Callable[[], datetime],
    ) -> None:
        """`addresses` are the repositories of a forge that cannot list them, by their names."""
        self._memory = memory
        self._listing = listing
        self._addresses = addresses
        self._clock = clock

    def run(self, sweep: Sweep, forge: Forge) -> None:
        """Want every repository that a sweep asks for; raises what the forge raises."""
        if sweep.listed is not None:
            return
        asked = Asked(owners=sweep.owners, globs=sweep.globs)
        if forge.hosting is None:
            known = self._addresses.get(forge.name, {})
            chosen = [address for name, address in known.items() if asked.wants(name)]
            jobs = [
                Job(forge=forge.name, repository=one, ref="", trigger=sweep.trigger)
                for one in dict.fromkeys(chosen)
            ]
            self._memory.sweeps.add(sweep.id, jobs, {}, self._clock())
        else:
            followed = self._memory.sweeps.followed(forge.name)
            for page in self._listing.pages(forge, forge.hosting, asked, self._clock()):
                self._want(sweep, forge.hosting, page, followed)
        self._memory.sweeps.listed(sweep.id, self._clock())

    def _want(
        self, sweep: Sweep, hosting: Hosting, page: list[Listed], followed: Mapping[str, tuple[str, ...]]
    ) -> None:
        jobs: list[Job] = []
        left_out = {one.repository.name: one.left_out.value for one in page if one.left_out is not None}
        for one in page:
            if one.left_out is None:
                made, why = _jobs(sweep, hosting, one, followed.get(one.repository.name, ()))
                jobs += made
                if why:
                    left_out[one.repository.name] = why
        self._memory.sweeps.add(sweep.id, jobs, left_out, self._clock())
        for one in page:
            self._memory.repositories.record(sweep.forge, one.repository, self._clock())


def _jobs(sweep: Sweep, hosting: Hosting, one: Listed, followed: tuple[str, ...]) -> tuple[list[Job], str]:
    """Return the branches to look at, and why not all of them."""
    there = one.repository

    def job(branch: str, head: str) -> Job:
        return Job(
            forge=sweep.forge,
            repository=there.name,
            ref=branch,
            # What was gone is looked at as a new one: its proposals went with it.
            trigger=Trigger.INSTALLED if one.back else sweep.trigger,
            head="" if one.back else head,
            identity=there.id,
        )

    jobs = [job(there.default_branch, there.head)]
    try:
        jobs += (job(name, head) for name, head in branches(hosting, there, followed))
    except ForgeError as error:
        if concerns_all(error):
            raise
        return jobs, f"its other branches cannot be listed: {error.problem}"
    return jobs, ""
