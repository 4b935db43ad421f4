"""What is remembered, as protocols: the inbox, the backlog, proposals, leases, the ledger, sweeps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol

from bot.cron import Cron
from bot.errors import StoreError, TransientError
from bot.model import (
    CheckRun,
    Decision,
    Fact,
    ImageReference,
    Job,
    Pinned,
    Proposal,
    Repository,
    Review,
    Sighting,
    Spoken,
    Trigger,
    Webhook,
)


class StoreUnavailableError(StoreError, TransientError):
    """The database did not answer: whoever asked should try again later."""


class Priority(IntEnum):
    """What goes first; smaller first."""

    MERGE_QUEUE = 0
    """People wait for it, and the forge for no longer than some minutes."""
    PUSH = 1
    SWEEP = 10
    SCHEDULED = 11
    """Behind what a person asked for, whose trigger it does not replace either."""


def priority(trigger: Trigger) -> Priority:
    """Return how urgent a job is."""
    match trigger:
        case Trigger.MERGE_QUEUE | Trigger.PULL_REQUEST | Trigger.COMMENT:
            return Priority.MERGE_QUEUE
        case Trigger.SWEEP | Trigger.CATCH_UP | Trigger.REGISTRY:
            return Priority.SWEEP
        case Trigger.SCHEDULED:
            return Priority.SCHEDULED
        case _:
            return Priority.PUSH


class Receipt(StrEnum):
    STORED = "stored"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message from outside, and what it wants looked at."""

    source: str
    """Who sent it, such as `git`; ids are unique per source."""
    id: str
    jobs: tuple[Job, ...]
    """Each repository and ref once; empty for a message that is only to be remembered."""
    event: str = ""
    """What the sender calls it, such as `pull_request.opened`."""


class Inbox(Protocol):
    """Where the receiver puts what it is sent."""

    def receive(self, delivery: Delivery, now: datetime) -> Receipt:
        """Store a delivery and what it wants in one transaction; return whether it was new.

        A later delivery for the same branch replaces the head of an earlier one that waits, and
        adds the paths that changed where nothing lies between the two.
        Raises `StoreUnavailableError`, after which nothing is stored.
        """

    def want(self, jobs: tuple[Job, ...], now: datetime) -> None:
        """Want refs looked at without a delivery: a sweep, a person, a second look."""

    def waiting(self) -> int:
        """Return how many branches wait to be looked at, those being looked at left out."""

    def ping(self) -> None:
        """Return once something was written; raises `StoreError` where the database does not take it."""

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
    CANCELLED = "cancelled"
    """A person called it off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A wanted branch that was handed to the engine as one run."""

    run: str
    job: Job
    priority: int
    attempts: int
    """How many runs for this head ended in trouble that may pass."""
    waits: int
    """How many runs ended because a server named a time to come back."""
    claimed: datetime
    cancelled: bool = False
    """A person called it off: no further step of it is to begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The record of a run that ended."""

    id: str
    job: Job
    ending: Ending
    detail: str
    ended: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A wanted ref, for people."""

    job: Job
    running: bool
    since: datetime
    due: datetime
    attempts: int
    worker: str
    detail: str = ""
    """Why its last run was put off, where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When a postponed run is tried again."""

    due: datetime
    named: bool
    """A server named the time: what arrives meanwhile waits as well, and no attempt is counted."""
    afresh: bool = False
    """What was told of the branch turned out to be old: head and changed paths are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalledOff:
    """What a person called off."""

    waiting: int
    """How many refs waited only."""
    running: tuple[str, ...]
    """The runs that go on until their step ends."""


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

    def waits(self, limit: int) -> tuple[Waiting, ...]:
        """Return what waits or runs, most urgent first."""

    def stuck(self, limit: int) -> tuple[Run, ...]:
        """Return the last runs of refs that ended `failed` or `parked` and are not wanted again.

        Newest first.  A ref without a name is the default branch, as far as that is known.
        """

    def retry(self, repository: str, ref: str | None, now: datetime) -> int:
        """Let what waits be due now, and want again what ended `failed` or `parked`; return how many.

        `ref` of None means every ref of the repository.
        """

    def cancel(self, repository: str, ref: str | None, now: datetime) -> CalledOff:
        """Forget what waits; runs that go on begin no further step.  `ref` as for `retry`."""

    def forget(self, before: datetime) -> int:
        """Remove what piles up and ended before a time, deliveries and runs among it; return how much."""


class ProposalState(StrEnum):
    OPEN = "open"
    """Made, and not written to the forge yet."""
    PUBLISHED = "published"
    CLOSED = "closed"
    """A person declined it."""
    MERGED = "merged"
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
    number: int = 0
    """Of its pull or merge request, or 0."""
    closing: bool = False
    """Whether we close its request ourselves, or did: nobody declined it."""


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

    def withdraw(self, id: str, now: datetime) -> None:  # noqa: A002 - as above
        """Remember that we are about to close a request ourselves, should we die meanwhile."""

    def mark(
        self,
        id: str,  # noqa: A002 - as above
        state: ProposalState,
        now: datetime,
        *,
        commit: str = "",
        url: str = "",
        detail: str = "",
        number: int = 0,
    ) -> None:
        """Set the state; a published one supersedes the one published before for the same place.

        What a closed one pins is remembered as declined until it is published again, and forgotten
        with it; what was allowed stays declined until somebody says so.  Raises `StoreError` where there is
        no such id.
        """

    def by_number(self, forge: str, repository: str, number: int) -> StoredProposal | None:
        """Return the newest proposal that a request of that number carried, or None."""

    def standing(self, forge: str, repository: str, base: str | None = None) -> tuple[StoredProposal, ...]:
        """Return the published proposals of a repository, for one base or for all, by group."""

    def drafts(self, forge: str, repository: str, branch: str) -> tuple[StoredProposal, ...]:
        """Return the last proposals for a branch of which no commit is known, newest first.

        One of them may have been written by a process that died before it could say so.
        """

    def unpublished(self, forge: str, repository: str, base: str) -> tuple[StoredProposal, ...]:
        """Return the open proposals for a base: publishing them failed, or is still to be done."""

    def declined(self, forge: str, repository: str, base: str) -> frozenset[Pinned]:
        """Return what people declined to have pinned."""

    def accepted(self, forge: str, repository: str, base: str) -> frozenset[Pinned]:
        """Return what the proposals pin that are published, and those merged last."""

    def ever(self, forge: str, repository: str) -> bool:
        """Return whether a request was ever opened in a repository, or a branch written."""

    def published_since(self, forge: str, owner: str, since: datetime) -> tuple[int, int]:
        """Return how many requests were opened for an owner since then, and how many of them were the
        first in their repository."""

    def reserve(
        self,
        forge: str,
        repository: str,
        base: str,
        groups: Sequence[str],
        now: datetime,
        *,
        since: datetime,
        per_day: int,
        first_per_day: int,
    ) -> int:
        """Return how many of these groups may be opened now, in their order; they count from here on.

        `since` then at most `per_day` are opened for the repository's owner, and `first_per_day` in
        repositories that had none, whoever else asks at the same moment.  What was reserved for the base
        before is given back; what is reserved counts until it is opened, `release`d or not `since` any more.
        """

    def release(self, id: str) -> None:  # noqa: A002 - what every method here calls it
        """Give back what was reserved for a proposal: it could not be opened."""

    def recent(self, limit: int) -> tuple[StoredProposal, ...]:
        """Return the proposals that changed last, newest first."""

    def counts(self) -> Mapping[str, int]:
        """Return how many proposals there are in each state, by its value."""


class Leases(Protocol):
    """Which workers are alive, by the database's own clock."""

    def beat(self, worker: str, version: str) -> None:
        """Say that a worker lives, and which version of the workflow it runs."""

    def expired(self, seconds: float) -> tuple[str, ...]:
        """Return the workers that said nothing for so long, those that ended among them."""

    def ended(self) -> frozenset[str]:
        """Return the workers that let their lease run out themselves, and did not die."""

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


# --- checks -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheck:
    """What is to be said about a commit."""

    id: str
    forge: str
    repository: str
    commit: str
    check: CheckRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one request, or a merge queue, was told of a commit."""

    number: int
    """Of the request; 0 for a merge queue."""
    base: str
    """The branch that it is for; empty for a merge queue."""
    check: CheckRun


class Checks(Protocol):
    """Checks between the step that makes them and the one that reports them."""

    def judge(self, forge: str, repository: str, commit: str, judged: Judgement, now: datetime) -> None:
        """Remember what a request is told of a commit, in place of what it was told of it before."""

    def judgements(self, forge: str, repository: str, commit: str) -> tuple[Judgement, ...]:
        """Return what all that propose a commit were told of it, by their numbers."""

    def proposing(self, forge: str, repository: str) -> tuple[int, ...]:
        """Return the numbers of the requests that were judged and are open as far as we know, newest first."""

    def settle(self, forge: str, repository: str, number: int, head: str = "") -> tuple[str, ...]:
        """Note that a request proposes nothing but `head` any more; return what it proposed before.

        It may be asked again, and returns the same.
        """

    def store(self, forge: str, repository: str, commit: str, check: CheckRun, now: datetime) -> str:
        """Return the id under which a check waits to be reported."""

    def get(self, id: str) -> StoredCheck | None:  # noqa: A002 - the field's own word
        """Return a check, or None where there is no such id."""

    def any(self, forge: str, repository: str, commit: str, besides: str = "") -> bool:
        """Return whether anything was ever to be said about a commit, besides the check of one id."""


# --- reviews ------------------------------------------------------------------------------


class ReviewState(StrEnum):
    OPEN = "open"
    """Made, and not said yet."""
    BEGUN = "begun"
    """About to be said: where nobody came to say that it was, it may have been or not."""
    SAID = "said"
    COUNTED = "counted"
    """No review, but that one was said then: what stands is kept once, however often it was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReview:
    """What is to be said on a request, or was."""

    id: str
    forge: str
    repository: str
    number: int
    review: Review
    state: ReviewState
    spoken: tuple[Spoken, ...]
    """What stands on the request since it was said."""


class Reviews(Protocol):
    """Reviews between the step that makes them and the one that says them, and what of them stands."""

    def store(self, forge: str, repository: str, number: int, review: Review, now: datetime) -> str:
        """Return the id under which a review waits to be said."""

    def get(self, id: str) -> StoredReview | None:  # noqa: A002 - the field's own word
        """Return a review, or None where there is no such id."""

    def standing(self, forge: str, repository: str, number: int) -> StoredReview | None:
        """Return the review that was said last on a request, or None."""

    def begin(self, id: str) -> None:  # noqa: A002 - as above
        """Remember that a review is about to be said."""

    def begun(self, forge: str, repository: str, number: int) -> bool:
        """Return whether a review was about to be said on a request, and nobody came to say that it was."""

    def said(self, id: str, spoken: Sequence[Spoken], now: datetime) -> None:  # noqa: A002 - as above
        """Remember what stands on the request since a review was said; those before it are forgotten."""

    def said_since(self, forge: str, repository: str, since: datetime) -> int:
        """Return how many reviews said something new in a repository since then."""

    def again(self, forge: str, repository: str, number: int) -> None:
        """Let the next review say everything anew, whatever stands there."""


# --- repositories -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Referenced:
    """One reference of a repository, as the last scan of its default branch found it."""

    path: str
    line: int
    kind: str
    """As `model.Kind` spells it."""
    name: str
    """The image's or repository's name with its host, normalised: the same for everyone who means it."""
    version: str
    """Tag or ref; empty for none."""
    digest: str
    """What it pointed to then: a digest or commit; empty where it was not known."""
    pinned: bool
    """Whether the digest stands in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What was last seen of one branch."""

    head: str
    rules: str
    """Hash of everything that rules a scan beside the commit: configuration, version, decisions."""
    paths: tuple[str, ...]
    """The files that were read or asked for: a change of no other one matters."""
    references: tuple[Referenced, ...]
    refs: tuple[str, ...]
    """Globs of the branches besides the default one that are proposed to."""
    held: int
    """References that should be pinned and were held or refused."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A repository that we know."""

    forge: str
    repository: Repository
    gone: bool
    """Whether the forge does not show it to us any more."""
    seen: datetime


class Repositories(Protocol):
    """What is known of each repository."""

    def record(self, forge: str, repository: Repository, now: datetime) -> Known:
        """Remember what a forge says of a repository, and return it.

        Known by its id under another name, everything that was remembered goes along; a name that
        another id had before is taken from it, and nothing of that other one is believed any more.
        """

    def get(self, forge: str, name: str) -> Known | None:
        """Return what is known of a repository, or None."""

    def all(self, forge: str, owner: str = "") -> tuple[Known, ...]:
        """Return the repositories that we know and that are not gone, by name."""

    def gone(self, forge: str, name: str, now: datetime) -> None:
        """Remember that we cannot see a repository any more; its proposals stand as they are."""

    def scanned(self, forge: str, name: str, ref: str, scan: Scan) -> None:
        """Remember a scan of a branch, in place of the one before."""

    def scan(self, forge: str, name: str, ref: str) -> Scan | None:
        """Return the last scan of a branch, or None."""

    def scans(self, forge: str) -> Mapping[tuple[str, str], tuple[str, str]]:
        """Return head and rules of every branch that was scanned, by repository and branch."""

    def moved(self, forge: str, name: str, ref: str, before: str, head: str) -> bool:
        """Take a head for scanned if the scan was of `before`; return whether it was."""

    def where(self, name: str, version: str = "") -> tuple[tuple[str, str, Referenced], ...]:
        """Return forge, repository and place of everything that refers to an image or action."""


# --- decisions, accounts, the audit log ---------------------------------------------------


class Decisions(Protocol):
    """What people settled in a conversation."""

    def add(self, forge: str, repository: str, decision: Decision, now: datetime) -> None:
        """Remember a decision."""

    def of(self, forge: str, repository: str, now: datetime) -> tuple[Decision, ...]:
        """Return the decisions for a repository that still hold, oldest first.

        What somebody declined to keep in the configuration does not hold.
        """

    def said(self, forge: str, repository: str, now: datetime) -> tuple[Decision, ...]:
        """Return the decisions of `of`, whole, along with those that somebody declined."""

    def stood(self, forge: str, repository: str, lines: Collection[Pinned]) -> None:
        """Remember that the configuration carries on the decisions all of whose lines are among these."""

    def end(self, forge: str, repository: str, lines: Collection[Pinned]) -> None:
        """Let decisions end as far as these lines would carry them on."""


class Accounts(Protocol):
    """Who we are on each forge: the receiver drops what our own accounts do."""

    def record(self, forge: str, id: str, login: str) -> None:  # noqa: A002 - the field's own word
        """Remember an account of ours."""

    def of(self, forge: str) -> frozenset[str]:
        """Return ids and logins of our accounts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the audit log."""

    number: int
    at: datetime
    who: str
    """An account as `forge:login`, `moorline` for ourselves, `operator` for the command line."""
    what: str
    """A verb of a closed set, such as `proposal.published`."""
    subject: str
    """What it was done to: `github acme/app main`."""
    evidence: Mapping[str, Fact]
    hash: str
    """SHA-256 in hex over the hash before and this entry."""


class Audit(Protocol):
    """The append-only log of who did what on which evidence."""

    def add(self, who: str, what: str, subject: str, evidence: Mapping[str, Fact], now: datetime) -> Entry:
        """Append an entry and return it."""

    def head(self) -> tuple[int, str]:
        """Return number and hash of the last entry; 0 and zeros for an empty log."""

    def entries(self, after: int, limit: int) -> tuple[Entry, ...]:
        """Return entries with a greater number, in order."""

    def broken(self) -> int | None:
        """Return the number of the first entry whose hash is wrong or that is missing, or None."""


class Webhooks(Protocol):
    """Webhooks that do not call us."""

    def seen(self, forge: str, hooks: Sequence[Webhook], now: datetime) -> tuple[Webhook, ...]:
        """Remember the states of a forge's hooks, and return those that changed theirs since the last look.

        Each change is an entry of the audit log; that one is not shown to us any more is a change, too.
        """

    def silent(self) -> Mapping[str, int]:
        """Return how many hooks did not call us when they were last looked at, by forge."""


# --- sweeps -------------------------------------------------------------------------------


class PlaceState(StrEnum):
    """What became of one branch of a sweep.  Closed: summaries show it."""

    WAITING = "waiting"
    POSTPONED = "postponed"
    """It was tried, and is tried again later."""
    UNCHANGED = "unchanged"
    """Same commit, same rules, same digests: nothing was read."""
    CHANGED = "changed"
    """It was looked at, and there is nothing to propose."""
    PROPOSED = "proposed"
    """A proposal was made, or stands as it is."""
    FAILED = "failed"
    LEFT_OUT = "left-out"
    CANCELLED = "cancelled"
    """A person called it off."""


class Look(StrEnum):
    """What a run says of a branch before it ends."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    PROPOSES = "proposes"
    LEFT_OUT = "left-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One look at every repository of a forge."""

    id: str
    forge: str
    trigger: Trigger
    """`SWEEP` if a person asked for it, `SCHEDULED` if the clock did."""
    owners: tuple[str, ...]
    """Whose repositories; all where nobody is named."""
    globs: tuple[str, ...]
    """Which of them, by `owner/name`; all where there is none."""
    who: str
    started: datetime
    listed: datetime | None = None
    """When the last of its repositories was wanted; None before."""

    @property
    def job(self) -> Job:
        """The job that lists it."""
        return Job(forge=self.forge, repository="", ref=f"{SWEEP_REF}{self.id}", trigger=self.trigger)


SWEEP_REF = "sweep/"
"""Begins the ref of the job, without a repository, that lists a sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One branch of a sweep."""

    repository: str
    """Empty for the listing itself."""
    ref: str
    state: PlaceState
    held: int = 0
    """References that should be pinned and were held or refused."""
    detail: str = ""
    """Why it failed, waits or was left out."""
    due: datetime | None = None
    """When it is tried next, where it waits."""


class Sweeps(Protocol):
    """Sweeps, and what became of each branch that they want looked at."""

    def begin(self, sweep: Sweep, now: datetime) -> None:
        """Remember a sweep, and want it listed."""

    def get(self, id: str) -> Sweep | None:  # noqa: A002 - the field's own word
        """Return a sweep, or None."""

    def last(self, who: str, limit: int) -> tuple[Sweep, ...]:
        """Return the sweeps that somebody asked for, newest first."""

    def add(self, id: str, jobs: Sequence[Job], left_out: Mapping[str, str], now: datetime) -> None:  # noqa: A002 - as above
        """Want branches looked at and remember repositories that are left out, by why; each once.

        What was added before is left alone, whatever became of it.
        """

    def listed(self, id: str, now: datetime) -> None:  # noqa: A002 - as above
        """Remember that all of it is wanted."""

    def places(self, id: str) -> tuple[Place, ...]:  # noqa: A002 - as above
        """Return what became of everything, by name."""

    def counts(self, id: str) -> Mapping[PlaceState, int]:  # noqa: A002 - as above
        """Return how many places, the listing aside, are in each state."""

    def pending(self, id: str, before: datetime) -> int:  # noqa: A002 - as above
        """Return how many places run, or wait and are tried before a time; the listing is one of them."""

    def note(
        self, forge: str, repository: str, ref: str, look: Look, *, held: int = 0, detail: str = ""
    ) -> None:
        """Remember what a run found, for the sweeps that wait for that branch."""

    def followed(self, forge: str) -> Mapping[str, tuple[str, ...]]:
        """Return the globs of further branches of the repositories that have any, by repository."""

    def requests(self, forge: str) -> tuple[tuple[str, str, int], ...]:
        """Return repository, base and number of every request of ours that stands, as far as we know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """When scheduled sweeps last might propose for a branch, and what waits for the next time."""

    first: datetime | None = None
    refresh: datetime | None = None
    first_waits: bool = False
    """Whether something is to be pinned for the first time, and its day has not come."""
    refresh_waits: bool = False
    schedule_first: tuple[str, ...] = ()
    """The schedule as the last look found it, each as it was written."""
    schedule_refresh: tuple[str, ...] = ()


class Schedules(Protocol):
    """What is done by the clock."""

    def turn(self, forge: str, repository: str, ref: str) -> Turn:
        """Return what is remembered of a branch."""

    def take(self, forge: str, repository: str, ref: str, turn: Turn) -> None:
        """Remember it."""

    def last(self, name: str) -> datetime | None:
        """Return when something was last done, or None."""

    def done(self, name: str, at: datetime) -> None:
        """Remember when something was done."""

    def tick(self, name: str, cron: Cron, job: Job, sweep: Sweep | None, now: datetime) -> bool:
        """Want a job, and remember its sweep, if its time has come by the database's clock; return whether.

        Whoever asks first after a tick gets it, and nobody else.  Where nothing was done before, that
        counts from now.
        """


# --- conversations ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A repository in which nothing is proposed."""

    by: str
    since: datetime
    until: datetime | None = None
    """None until somebody resumes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One commit of one request whose check passes because somebody broke the glass."""

    commit: str
    number: int
    """Of the request."""
    base: str
    """The branch that the request was for."""
    by: str
    because: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One reference as the last look at a branch or request judged it."""

    path: str
    line: int
    value: str
    """As it is written."""
    spelling: str
    """By which a decision names it: normalised, without digest."""
    names: tuple[str, ...]
    """What people may call it, as `globs.forms` has it."""
    pinned: Pinned
    """What a person who declines it means."""
    kind: str
    outcome: str
    """As `model.Outcome` spells it."""
    skip: str
    """Why it is left alone, as `model.SkipReason` spells it; empty where it is not."""
    note: str
    reasons: tuple[str, ...]
    """What checks and look-ups said that was not plain sailing, one sentence each."""
    written: str
    """The digest or commit that stands in the file; empty for none."""
    target: str
    """What it points to; empty where that is not known."""
    held_by: tuple[str, ...]
    """The checks that hold or refuse it, or would if nobody had allowed it."""
    insisted: tuple[str, ...]
    """Those of them from which nobody in the repository may make an exception."""
    lasts_as: str = ""
    """As a line of the configuration names it; empty where none can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLook:
    """What was last found at a branch or request."""

    commit: str
    at: datetime
    references: tuple[Looked, ...]
    more: int = 0
    """How many references there were beside these."""
    verdict: str = ""
    """What the check on it came to."""
    since: datetime | None = None
    """When the same was found of the same commit first, as far as looks followed each other; None for `at`."""

    @property
    def known(self) -> datetime:
        """Return when somebody could first know of it."""
        return self.since or self.at


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is to be said to whoever commented."""

    forge: str
    repository: str
    ref: str
    """Of the comment: `comment/issue/9`."""
    number: int
    asker: str
    """The account's name."""
    asker_id: str
    url: str
    reaction: str
    body: str
    """Markdown; empty for a reaction alone."""
    closes: str = ""
    """The id of the proposal whose request is to be closed; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    id: str
    answer: Answer
    made: datetime
    begun: datetime | None
    """When somebody set out to say it."""
    ended: datetime | None
    """When it was said, or given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What the commands of one comment come to: done as a whole, and once."""

    answer: Answer
    decisions: tuple[Decision, ...] = ()
    unignored: tuple[str, ...] = ()
    """Spellings of references that nobody ignores any more."""
    ended: tuple[Pinned, ...] = ()
    """Lines that would carry decisions on which are taken back."""
    undeclined: tuple[Pinned, ...] = ()
    reopened: tuple[str, ...] = ()
    """Proposals that a person closed, which is forgotten but for what they allow."""
    stale: tuple[str, ...] = ()
    """Proposals that are made again from the newest commit."""
    adopted: tuple[tuple[str, str], ...] = ()
    """Proposals, and the commit of somebody else on the branch of each that may be overwritten."""
    pause: Pause | None = None
    resumes: bool = False
    override: Override | None = None
    words: tuple[str, ...] = ()
    """Topics on which this is the last word, unless a later one was heard."""
    said: datetime | None = None
    """When the comment was written, by the forge's clock."""
    jobs: tuple[Job, ...] = ()
    entries: tuple[tuple[str, Mapping[str, Fact]], ...] = ()
    """For the audit log: what was asked for, and what came of it."""


class Conversations(Protocol):
    """What people said to us, and what came of it."""

    def heard(self, forge: str, repository: str, ref: str) -> str | None:
        """Return the id of the answer to a comment that was dealt with before, or None."""

    def carry_out(self, deed: Deed, now: datetime) -> str:
        """Do it all in one transaction and return the answer's id; of a comment that was heard, nothing more."""

    def answer(self, id: str) -> StoredAnswer | None:  # noqa: A002 - the field's own word
        """Return an answer, or None where there is no such id."""

    def begin(self, id: str, now: datetime) -> None:  # noqa: A002 - as above
        """Remember that an answer is about to be said, unless that is remembered."""

    def end(self, id: str, now: datetime) -> None:  # noqa: A002 - as above
        """Remember that an answer was said, or is not said at all."""

    def said_since(self, forge: str, repository: str, since: datetime) -> int:
        """Return how many answers somebody set out to say since then."""

    def sticky(self, forge: str, repository: str, number: int, topic: str) -> str:
        """Return the id of our one comment of a topic on a request, empty where there is none."""

    def stuck(
        self, forge: str, repository: str, number: int, topic: str, comment: str, now: datetime
    ) -> None:
        """Remember that comment; an empty id forgets it."""

    def pause(self, forge: str, repository: str, now: datetime) -> Pause | None:
        """Return the pause that holds now, or None."""

    def words(self, forge: str, repository: str, since: datetime) -> Mapping[str, datetime]:
        """Return by topic when the last word on it was said, where that was since then."""

    def overrides(self, forge: str, repository: str, base: str) -> tuple[Override, ...]:
        """Return who let commits pass that were proposed for a branch, oldest first; of too many the newest."""

    def look(self, forge: str, repository: str, ref: str) -> LastLook | None:
        """Return what was last found at a branch, or at a request by `refs/pull/7/head`; or None."""

    def looked(self, forge: str, repository: str, ref: str, look: LastLook) -> None:
        """Remember what was found, in place of what was before."""
