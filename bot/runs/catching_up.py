"""What nobody told us, since nobody listened: deliveries that got lost, branches that moved, and fates.

Webhooks that do not call us are noticed on the way: they are logged, counted and tried.

First what the forge says that it could not deliver, under the ids that it has there, so that what did
arrive is not wanted again.  Its log is short, so then every head is compared with the one last looked
at.  Of requests a person may have closed one without moving anything: those are asked about where
their base moved, which is how a merge shows, and all of them once a week.  Nothing hangs on these
questions but numbers on a page and the limits: before anything is written, a request is looked at
anyway.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from bot.errors import ForgeError, MoorlineError, TransientError
from bot.forges.base import Forge, Hosting, Missed
from bot.model import NOWHERE, HookState, Job, Trigger, Webhook
from bot.runs.listing import Asked, Listed, Listing, branches, concerns_all
from bot.runs.memory import Memory
from bot.store.base import Delivery, Inbox, Webhooks

CATCH_UP_REF = "catch-up"
"""The ref of the job, without a repository, that catches up with a forge."""
_MARGIN = timedelta(hours=1)
"""Asked about twice, since clocks differ and an attempt may be under way."""
_LONGEST = timedelta(days=7)
"""No forge keeps its log for longer."""
_FIRST = timedelta(days=3)
_WEEK = timedelta(days=7)
_MOST_TESTS = 20
"""Webhooks of one look that the forge is asked to try."""

Reader = Callable[[str, Missed], Delivery | None]
"""Returns what a forge's delivery wants, or None where that is nothing; raises no `ValueError`."""


_log = logging.getLogger(__name__)


class Memories(Memory, Protocol):
    """The part of a store that catching up needs."""

    @property
    def webhooks(self) -> Webhooks:
        """Return what is known of webhooks that do not call."""

    @property
    def inbox(self) -> Inbox:
        """Return where deliveries go."""


class CatchingUp:
    """Catches up with forges.  Safe to repeat."""

    def __init__(
        self, memory: Memories, listing: Listing, read: Reader, clock: Callable[[], datetime]
    ) -> None:
        self._memory = memory
        self._listing = listing
        self._read = read
        self._clock = clock

    def run(self, forge: Forge) -> None:
        """Catch up with a forge; what fails does not keep the rest from being done, and is raised then."""
        hosting = forge.hosting
        if hosting is None:
            return
        failed: list[MoorlineError] = []
        for part in (self._introduce, self._deliver, self._listen, self._reconcile):
            try:
                part(forge, hosting)
            except ForgeError as error:
                failed.append(error)
        # What may pass goes first: only then is it tried again.
        if failed:
            raise min(failed, key=lambda one: not isinstance(one, TransientError))

    def _introduce(self, forge: Forge, hosting: Hosting) -> None:
        """Remember who we are, so that the receiver drops what we do ourselves."""
        account = hosting.account()
        if not {account.id, account.login} <= self._memory.accounts.of(forge.name):
            self._memory.accounts.record(forge.name, account.id, account.login)

    # --- deliveries -----------------------------------------------------------------------

    def _deliver(self, forge: Forge, hosting: Hosting) -> None:
        now = self._clock()
        name = f"missed {forge.name}"
        last = self._memory.schedules.last(name)
        since = now - _FIRST if last is None else max(last - _MARGIN, now - _LONGEST)
        for one in hosting.missed(since):
            delivery = self._read(forge.name, one)
            if delivery is not None:
                jobs = tuple(map(_doubted, delivery.jobs))
                self._memory.inbox.receive(replace(delivery, jobs=jobs), self._clock())
        self._memory.schedules.done(name, now)

    # --- webhooks -------------------------------------------------------------------------

    def _listen(self, forge: Forge, hosting: Hosting) -> None:
        """Notice which webhooks do not call us, and have those tried that never come back by themselves."""
        hooks = hosting.webhooks()
        self._tell(forge, hooks)
        stopped = [hook for hook in hooks if hook.state is HookState.DISABLED][:_MOST_TESTS]
        if sum(map(hosting.test, stopped)):
            self._tell(forge, hosting.webhooks())

    def _tell(self, forge: Forge, hooks: tuple[Webhook, ...]) -> None:
        changed = self._memory.webhooks.seen(forge.name, hooks, self._clock())
        for hook in hooks:
            said = {"forge": forge.name, "owner": hook.owner, "hook": hook.id}
            if hook.state is not HookState.CALLING:
                more = {"problem": hook.text, "advice": hook.advice}
                _log.warning("a webhook does not call us", extra={**said, **more})
            elif hook in changed:
                _log.info("a webhook calls us again", extra=said)

    # --- heads ----------------------------------------------------------------------------

    def _reconcile(self, forge: Forge, hosting: Hosting) -> None:
        now = self._clock()
        scanned = {place: head for place, (head, _) in self._memory.repositories.scans(forge.name).items()}
        followed = self._memory.sweeps.followed(forge.name)
        moved: set[tuple[str, str]] = set()
        unlisted: list[ForgeError] = []
        for page in self._listing.pages(forge, hosting, Asked(), now):
            jobs: list[Job] = []
            for one in page:
                if one.left_out is None:
                    jobs += self._moved(forge, one, scanned)
                    try:
                        jobs += self._branches(
                            forge, hosting, one, scanned, followed.get(one.repository.name, ())
                        )
                    except ForgeError as error:
                        if concerns_all(error):
                            raise
                        unlisted.append(error)
            self._memory.inbox.want(tuple(jobs), now)
            moved |= {(job.repository, job.ref) for job in jobs}
            # Last: whoever stops before it finds them moved the next time.
            for one in page:
                self._memory.repositories.record(forge.name, one.repository, now)
        self._fates(forge, moved, now)
        if unlisted:
            raise unlisted[0]

    def _moved(self, forge: Forge, one: Listed, scanned: Mapping[tuple[str, str], str]) -> Iterator[Job]:
        """Yield the job for a default branch that is not where it was last looked at, or wanted at."""
        there, before = one.repository, one.before
        head = scanned.get((there.name, there.default_branch))
        if there.head and head == there.head and not one.back:
            return
        last = self._memory.repositories.scan(forge.name, there.name, there.default_branch)
        if before is None and last is not None and last.head == there.head and not one.back:
            return  # it had another name until now
        if (
            before is not None
            and there.head
            and (before.repository.head, before.repository.default_branch)
            == (there.head, there.default_branch)
            and (last is None or last.at <= before.seen)
        ):
            return  # wanted before at this very commit, and ended as it did
        new = one.back or (before is None and last is None)
        yield Job(
            forge=forge.name,
            repository=there.name,
            ref=there.default_branch,
            trigger=Trigger.INSTALLED if new else Trigger.CATCH_UP,
            # Whatever was pushed to a new one meanwhile is newer than the list.
            head="" if new else there.head,
            identity=there.id,
        )

    def _branches(
        self,
        forge: Forge,
        hosting: Hosting,
        one: Listed,
        scanned: Mapping[tuple[str, str], str],
        followed: tuple[str, ...],
    ) -> Iterable[Job]:
        """Return jobs for further branches that moved, or that are gone and were proposed to."""
        if not followed:
            return ()
        name = one.repository.name
        heads = dict(branches(hosting, one.repository, followed))
        told = {branch for branch, head in heads.items() if scanned.get((name, branch)) != head}
        standing = {stored.proposal.base for stored in self._memory.proposals.standing(forge.name, name)}
        told |= standing - heads.keys() - {one.repository.default_branch}
        return [
            Job(
                forge=forge.name,
                repository=name,
                ref=branch,
                trigger=Trigger.CATCH_UP,
                head=heads.get(branch, ""),
                identity=one.repository.id,
            )
            for branch in sorted(told)
        ]

    # --- requests -------------------------------------------------------------------------

    def _fates(self, forge: Forge, moved: set[tuple[str, str]], now: datetime) -> None:
        name = f"fates {forge.name}"
        last = self._memory.schedules.last(name)
        weekly = last is None or last + _WEEK <= now
        jobs = tuple(
            Job(
                forge=forge.name,
                repository=repository,
                ref=f"refs/pull/{number}/head",
                # Not as a delivery would say it: nobody waits for this.
                trigger=Trigger.CATCH_UP,
                number=number,
                identity=self._identity(forge, repository),
            )
            for repository, base, number in self._memory.sweeps.requests(forge.name)
            if weekly or (repository, base) in moved
        )
        self._memory.inbox.want(jobs, now)
        if weekly:
            self._memory.schedules.done(name, now)

    def _identity(self, forge: Forge, repository: str) -> str:
        known = self._memory.repositories.get(forge.name, repository)
        return known.repository.id if known is not None else ""


def _doubted(job: Job) -> Job:
    """Return a job without the commits that it names: what came later may have arrived before it."""
    if job.trigger is Trigger.PUSH:
        return replace(job, head=NOWHERE if job.head == NOWHERE else "", before="", changed=None)
    return job
