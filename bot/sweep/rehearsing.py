"""A sweep that writes nothing: every repository is planned for, and nothing of it is kept."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from bot.errors import ForgeError, MoorlineError, TransientError
from bot.forges.base import Forge
from bot.model import Job, Pinned, Trigger
from bot.progress import progress
from bot.runs import Runs
from bot.runs.listing import Asked, Listed, Listing, branches, concerns_all
from bot.runs.rehearsal import Rehearsal
from bot.service import Service
from bot.store.base import Look, Place, PlaceState
from bot.visible import visible

_STATES = {
    Look.UNCHANGED: PlaceState.UNCHANGED,
    Look.CHANGED: PlaceState.CHANGED,
    Look.PROPOSES: PlaceState.PROPOSED,
    Look.LEFT_OUT: PlaceState.LEFT_OUT,
}


def rehearse(
    service: Service, name: str, owners: tuple[str, ...], globs: tuple[str, ...]
) -> tuple[Place, ...]:
    """Return what would become of every branch of a forge; raises what listing them raises."""
    forge = service.forges[name]
    memory = Rehearsal(service.store)
    runs = Runs(memory, service.forges, service.services, served=service.served)
    places: list[Place] = []
    jobs: list[Job] = []
    with progress() as report:
        for found in _jobs(service, forge, memory, Asked(owners=owners, globs=globs)):
            places += [found] if isinstance(found, Place) else []
            jobs += [found] if isinstance(found, Job) else []
            report("Listing", len(jobs), len(jobs))
        lock, done = threading.Lock(), 0

        def plan(job: Job) -> Place:
            nonlocal done
            made = _planned(runs, memory, job)
            with lock:
                done += 1
                report("Sweeping", done, len(jobs))
            return made

        pool = ThreadPoolExecutor(service.settings.concurrency, thread_name_prefix="sweep")
        try:
            places += pool.map(plan, jobs)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return tuple(sorted(places, key=lambda one: (one.repository, one.ref)))


def _jobs(service: Service, forge: Forge, memory: Rehearsal, asked: Asked) -> list[Job | Place]:
    hosting = forge.hosting
    if hosting is None:
        known = service.settings.git_repositories
        chosen = dict.fromkeys(address for name, address in known.items() if asked.wants(name))
        return [Job(forge=forge.name, repository=one, ref="", trigger=Trigger.SWEEP) for one in chosen]
    found: list[Job | Place] = []
    followed = memory.sweeps.followed(forge.name)
    listing = Listing(memory.repositories, service.served)
    for page in listing.pages(forge, hosting, asked, datetime.now(UTC)):
        for one in page:
            if one.left_out is not None:
                found.append(_left_out(one, one.left_out.value))
                continue
            there = one.repository
            memory.repositories.record(forge.name, there, datetime.now(UTC))
            found.append(_job(forge, one, there.default_branch, there.head))
            try:
                more = branches(hosting, there, followed.get(there.name, ()))
                found += [_job(forge, one, branch, head) for branch, head in more]
            except ForgeError as error:
                if concerns_all(error):
                    raise
                found.append(_left_out(one, f"its other branches cannot be listed: {error.problem}"))
    return found


def _job(forge: Forge, one: Listed, branch: str, head: str) -> Job:
    return Job(
        forge=forge.name,
        repository=one.repository.name,
        ref=branch,
        trigger=Trigger.SWEEP,
        head=head,
        identity=one.repository.id,
    )


def _left_out(one: Listed, why: str) -> Place:
    return Place(repository=one.repository.name, ref="", state=PlaceState.LEFT_OUT, detail=why)


def _planned(runs: Runs, memory: Rehearsal, job: Job) -> Place:
    def place(state: PlaceState, detail: str = "", held: int = 0) -> Place:
        return Place(repository=job.repository, ref=job.ref, state=state, detail=detail, held=held)

    try:
        runs.plan(job)
    except TransientError as error:
        return place(PlaceState.POSTPONED, str(error))
    except MoorlineError as error:
        return place(PlaceState.FAILED, str(error))
    taken = memory.taken(job.forge, job.repository, job.ref)
    if taken is None:
        return place(PlaceState.LEFT_OUT)
    made = memory.made(job.forge, job.repository)
    titles = [
        f"{visible(one.title)} ({_pins(one.pins)})" for one in made if not job.ref or one.base == job.ref
    ]
    return place(_STATES[taken.look], "; ".join([*titles, *filter(None, [taken.detail])]), taken.held)


def _pins(pins: Sequence[Pinned]) -> str:
    return ", ".join(visible(f"{one.path}: {one.reference}") for one in pins)
