"""The work of the service: the two durable steps of a run, made of the pipeline's verbs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from bot import pipeline
from bot.errors import ForgeError
from bot.forges.base import Forge
from bot.model import ImageReference, Job, Proposal, Report
from bot.output import diff
from bot.proposals import GROUP
from bot.store.base import Proposals, ProposalState, WritableLedger

_CLOSE = "close:"
"""Before the id of a published proposal that has nothing left to say."""


class Memory(Protocol):
    """The part of a store that runs need."""

    @property
    def proposals(self) -> Proposals:
        """Return the proposals."""

    def ledger(self, scope: str) -> WritableLedger:
        """Return the ledger of one scope."""


def _now() -> datetime:
    return datetime.now(UTC)


class Runs:
    """Plans and publishes for the repositories of one forge."""

    def __init__(
        self,
        memory: Memory,
        forge: Forge,
        services: Callable[[Job], pipeline.Services],
        *,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._memory = memory
        self._forge = forge
        self._services = services
        self._clock = clock

    def plan(self, job: Job) -> str | None:
        """Return the id of the stored proposal, or None where there is nothing to publish.

        Raises what the pipeline raises.
        """
        now = self._clock()
        base, commit = self._forge.head(job.repository, job.ref)
        reading = pipeline.AtCommit(self._forge, job.repository, commit)
        services = replace(self._services(job), reading=lambda _job: reading)
        report = pipeline.inspect(job, services, now)
        remember(report, self._memory.ledger(services.scope), now)
        config = pipeline.configuration(reading, services)
        proposal = pipeline.propose(report, config, base)
        if proposal is not None:
            return self._memory.proposals.store(self._forge.name, proposal, shown(report), now)
        current = self._memory.proposals.current(self._forge.name, job.repository, base, GROUP)
        return f"{_CLOSE}{current.id}" if current is not None else None

    def publish(self, proposal: str) -> None:
        """Make the forge match the stored proposal; safe to repeat.  Raises what forges raise."""
        closing = proposal.startswith(_CLOSE)
        identity = proposal.removeprefix(_CLOSE)
        stored = self._memory.proposals.get(identity)
        if stored is None:
            raise ForgeError(f"The proposal {identity} is not in the store any more.")
        if closing:
            self._close(identity, stored.proposal)
            return
        made = stored.proposal
        ours = self._memory.proposals.commits(self._forge.name, made.repository, made.branch)
        published = pipeline.publish(made, self._forge, ours)
        left = published.action == "left-alone"
        self._memory.proposals.mark(
            identity,
            ProposalState.CLOSED if left else ProposalState.PUBLISHED,
            self._clock(),
            commit="" if left else published.commit,
            url=published.url,
            detail=published.detail,
        )

    def _close(self, identity: str, made: Proposal) -> None:
        """Take the branch of a proposal away that has nothing left to say, if it is still ours."""
        head = self._forge.branch(made.repository, made.branch)
        ours = self._memory.proposals.commits(self._forge.name, made.repository, made.branch)
        if head is not None and head in ours:
            self._forge.delete(made.repository, made.branch, head)
        self._memory.proposals.mark(
            identity, ProposalState.SUPERSEDED, self._clock(), detail="nothing is left to pin"
        )


def remember(report: Report, ledger: WritableLedger, now: datetime) -> None:
    """Record in the ledger what each image that was looked up points to."""
    for verdict in report.verdicts:
        candidate = verdict.candidate
        if candidate is None:
            continue
        reference = candidate.resolution.reference
        if isinstance(reference, ImageReference) and reference.digest is None:
            ledger.record(reference, candidate.target, now)


def shown(report: Report) -> str:
    """Return the unified diff of what a report's edits come to."""
    files = pipeline.confirm(report).files(report)
    return "".join(
        f"{line.text}\n"
        for path in sorted(files)
        for line in diff.diff(path, report.snapshot.files[path], files[path])
    )
