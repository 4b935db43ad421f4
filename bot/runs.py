"""The work of the service: the two durable steps of a run, made of the pipeline's verbs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from bot import pipeline
from bot.config import Mode
from bot.errors import ForgeError, TransientError
from bot.forges.base import Forge
from bot.model import ImageReference, Job, Proposal, Report
from bot.output import diff
from bot.proposals import GROUP, branch_name
from bot.store.base import Proposals, ProposalState, StoredProposal, WritableLedger

_CLOSE = "close:"
"""Before the id of a published proposal that has nothing left to say."""
_AGAIN = "again:"
"""Before the id of a proposal that lacks what could not be looked up for now."""


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
        config = pipeline.configuration(reading, services)
        if config.mode is Mode.PAUSED or base.startswith(branch_name("", config)):
            return None  # a branch of ours is no base: what we propose is not proposed to
        report = pipeline.inspect(job, services, now)
        remember(report, self._memory.ledger(services.scope), now)
        if config.mode is not Mode.PROPOSE:
            return None
        proposal = pipeline.propose(report, config, base)
        trouble = pipeline.passing(report)
        current = self._memory.proposals.current(self._forge.name, job.repository, base, GROUP)
        if trouble is not None and current is not None and pipeline.unpins(report, current.proposal):
            raise trouble  # what was proposed stands until the registry says otherwise
        if proposal is not None:
            identity = self._store(proposal, current, shown(report), now)
            return f"{_AGAIN}{identity}" if trouble else identity
        if trouble:
            raise trouble  # a registry that is down says nothing about what is left to pin
        return f"{_CLOSE}{current.id}" if current is not None else None

    def _store(self, proposal: Proposal, current: StoredProposal | None, diff: str, now: datetime) -> str:
        if current is not None:
            there = current.proposal
            if (there.commit, there.digest) == (proposal.commit, proposal.digest):
                return current.id
        return self._memory.proposals.store(self._forge.name, proposal, diff, now)

    def publish(self, proposal: str) -> None:
        """Make the forge match the stored proposal; safe to repeat.

        Raises what forges raise; `ForgeError` where the branch is somebody else's by now, and
        `TransientError` after publishing what could be looked up while something could not.
        """
        kind, identity = _kind(proposal)
        stored = self._memory.proposals.get(identity)
        if stored is None:
            raise ForgeError(f"The proposal {identity} is not in the store any more.")
        if kind == _CLOSE:
            self._close(identity, stored.proposal)
            return
        made = stored.proposal
        ours = self._memory.proposals.commits(self._forge.name, made.repository, made.branch)
        published = pipeline.publish(
            made,
            self._forge,
            ours,
            lambda commit: self._memory.proposals.intend(identity, commit, self._clock()),
        )
        left = published.action == "left-alone"
        self._memory.proposals.mark(
            identity,
            ProposalState.CLOSED if left else ProposalState.PUBLISHED,
            self._clock(),
            commit="" if left else published.commit,
            url=published.url,
            detail=published.detail,
        )
        if left:
            raise ForgeError(f"{published.branch} is left alone: {published.detail}.")
        if kind == _AGAIN:
            raise TransientError("Some look-ups failed and are tried again; the others are proposed.")

    def _close(self, identity: str, made: Proposal) -> None:
        """Take the branch of a proposal away that has nothing left to say, if it is still ours."""
        head = self._forge.branch(made.repository, made.branch)
        ours = self._memory.proposals.commits(self._forge.name, made.repository, made.branch)
        if head is not None and head in ours:
            self._forge.delete(made.repository, made.branch, head)
        self._memory.proposals.mark(
            identity, ProposalState.SUPERSEDED, self._clock(), detail="nothing is left to pin"
        )


def _kind(proposal: str) -> tuple[str, str]:
    """Return what is to be done with a stored proposal, and its id."""
    for kind in (_CLOSE, _AGAIN):
        if proposal.startswith(kind):
            return kind, proposal.removeprefix(kind)
    return "", proposal


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
