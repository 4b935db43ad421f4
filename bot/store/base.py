"""What is remembered, as protocols: the inbox, the backlog, proposals, leases and the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol

from bot.errors import StoreError, TransientError
from bot.model import ImageReference, Job, Proposal, Sighting


class StoreUnavailableError(StoreError, TransientError):
    """The database did not answer: whoever asked should try again later."""


class Priority(IntEnum):
    """What goes first; smaller first."""

    PUSH = 1
    SWEEP = 10


class Receipt(StrEnum):
    STORED = "stored"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message from outside that wants a branch looked at."""

    source: str
    """Who sent it, such as `git`; ids are unique per source."""
    id: str
    job: Job
    head: str = ""
    """The commit it speaks of: a hint, since the run looks at the branch itself."""
    priority: Priority = Priority.PUSH


class Inbox(Protocol):
    """Where the receiver puts what it is sent."""

    def receive(self, delivery: Delivery, now: datetime) -> Receipt:
        """Store a delivery and what it wants in one transaction; return whether it was new.

        A later delivery for the same branch replaces the head of an earlier one that waits.
        Raises `StoreUnavailableError`, after which nothing is stored.
        """

    def waiting(self) -> int:
        """Return how many branches wait to be looked at, those being looked at left out."""

    def ping(self) -> None:
        """Return when the database answers; raises `StoreError` where it does not."""

    def tallies(self) -> Mapping[str, int]:
        """Return how many runs ever ended in each `Ending`, by its value."""


class Ending(StrEnum):
    """How a run ended.  Closed: pages and metrics show it."""

    PUBLISHED = "published"
    NOTHING = "nothing"
    """There was nothing to propose."""
    SUPERSEDED = "superseded"
    """The branch moved meanwhile; a newer run takes over."""
    POSTPONED = "postponed"
    """Something outside was not ready: it is tried again later."""
    FAILED = "failed"
    """It cannot succeed as things are."""
    PARKED = "parked"
    """It was tried as often as is sensible, or killed its worker each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A wanted branch that was handed to the engine as one run."""

    run: str
    job: Job
    head: str
    priority: int
    attempts: int
    """How many runs for this head ended in trouble that may pass."""
    waits: int
    """How many runs ended because a server named a time to come back."""
    claimed: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The record of a run that ended."""

    id: str
    job: Job
    ending: Ending
    detail: str
    ended: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When a postponed run is tried again."""

    due: datetime
    named: bool
    """A server named the time: what arrives meanwhile waits as well, and no attempt is counted."""


class Backlog(Protocol):
    """Where workers take what is wanted and say how it went.

    A branch has at most one run at a time and a repository at most one branch; what arrives
    meanwhile waits in one row and makes exactly one more run.
    """

    def claim(self, worker: str, limit: int, now: datetime) -> tuple[Claim, ...]:
        """Mark and return wanted branches whose time has come, most urgent first.

        As many as it takes for this worker to hold `limit` of them.
        """

    def claimed(self) -> tuple[Claim, ...]:
        """Return everything claimed and not settled, by whichever worker."""

    def find(self, run: str) -> Claim | None:
        """Return a claimed branch by its run, or None where that is settled or unknown."""

    def settle(
        self, run: str, ending: Ending, detail: str, now: datetime, *, retry: Retry | None = None
    ) -> bool:
        """Record how a run ended; return False where that was done before.

        Forgets the branch, unless something newer waits for it; with `retry` it waits again, as
        another run.
        """

    def release(self, run: str) -> None:
        """Give a claimed branch back as another run, since its engine will never run this one."""

    def runs(self, limit: int) -> tuple[Run, ...]:
        """Return the runs that ended last, newest first."""

    def forget(self, before: datetime) -> int:
        """Remove deliveries and ended runs from before a time; return how many."""


class ProposalState(StrEnum):
    OPEN = "open"
    """Made, and not written to the forge yet."""
    PUBLISHED = "published"
    CLOSED = "closed"
    """A person declined it."""
    SUPERSEDED = "superseded"
    """A newer one took its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProposal:
    id: str
    forge: str
    proposal: Proposal
    diff: str
    """Unified diff, as text for people."""
    state: ProposalState
    commits: tuple[str, ...]
    """Our commits on its branch, newest first: the branch is ours while its head is one of them."""
    url: str
    detail: str
    made: datetime
    changed: datetime


class Proposals(Protocol):
    """Proposals, by the id that `plan` returns and `publish` takes."""

    def store(self, forge: str, proposal: Proposal, diff: str, now: datetime) -> str:
        """Return the id of the proposal, stored as open; the same id for the same one made again.

        Another open one for the same repository, base and group becomes superseded.
        """

    def get(self, id: str) -> StoredProposal | None:  # noqa: A002 - the field's own word
        """Return a proposal, or None where there is no such id."""

    def current(self, forge: str, repository: str, base: str, group: str) -> StoredProposal | None:
        """Return the published proposal for a repository, base and group, if there is one."""

    def commits(self, forge: str, repository: str, branch: str) -> frozenset[str]:
        """Return every commit that we ever stored as ours on a branch."""

    def intend(self, id: str, commit: str, now: datetime) -> None:  # noqa: A002 - as above
        """Remember a commit before it is written, so that it is ours should we die meanwhile."""

    def mark(
        self,
        id: str,  # noqa: A002 - as above
        state: ProposalState,
        now: datetime,
        *,
        commit: str = "",
        url: str = "",
        detail: str = "",
    ) -> None:
        """Set the state; a published one supersedes the one published before for the same place.

        Raises `StoreError` where there is no such id.
        """

    def recent(self, limit: int) -> tuple[StoredProposal, ...]:
        """Return the proposals that changed last, newest first."""

    def counts(self) -> Mapping[str, int]:
        """Return how many proposals there are in each state, by its value."""


class Leases(Protocol):
    """Which workers are alive, by the database's own clock."""

    def beat(self, worker: str, version: str) -> None:
        """Say that a worker lives, and which version of the workflow it runs."""

    def expired(self, seconds: float) -> tuple[str, ...]:
        """Return the workers that said nothing for so long."""

    def versions(self, seconds: float) -> frozenset[str]:
        """Return the workflow versions of the workers that spoke within that time."""

    def end(self, worker: str) -> None:
        """Let a worker's lease run out now: it does nothing more, and may have left something."""

    def drop(self, worker: str) -> None:
        """Forget a worker that has nothing left."""


class WritableLedger(Protocol):
    """A `bot.trust.base.Ledger` that can be added to."""

    def sightings(self, reference: ImageReference) -> tuple[Sighting, ...]:
        """Return the sightings of a reference's name and tag in this scope, oldest first."""

    def record(self, reference: ImageReference, digest: str, now: datetime) -> None:
        """Remember what a reference points to: lengthens the current reign or begins another."""
