"""A memory that reads from a store and keeps to itself what it is told: plans without consequences.

Only what is named here reaches the store, and all of that reads; anything else fails loudly.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from bot.model import ImageReference, Proposal, Repository, Sighting
from bot.runs.memory import Memory
from bot.store.base import (
    Accounts,
    Audit,
    Checks,
    Conversations,
    Decisions,
    Known,
    Look,
    Proposals,
    ProposalState,
    Repositories,
    Reviews,
    Scan,
    Schedules,
    StoredProposal,
    Sweeps,
    Turn,
    WritableLedger,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a plan would have told a sweep."""

    look: Look
    held: int
    detail: str


class Rehearsal:
    """`Memory` for plans that nobody carries out.  Safe to use from threads."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._proposals = _Proposals(memory.proposals)
        self._repositories = _Repositories(memory.repositories)
        self._sweeps = _Sweeps(memory.sweeps)
        self._schedules = _Schedules(memory.schedules)

    def taken(self, forge: str, repository: str, ref: str) -> Taken | None:
        """Return what was told of a branch, by the ref that was asked for."""
        return self._sweeps.notes.get((forge, repository, ref))

    def made(self, forge: str, repository: str) -> tuple[Proposal, ...]:
        """Return the proposals that would be published in a repository."""
        return tuple(self._proposals.made.get((forge, repository), ()))

    @property
    def proposals(self) -> Proposals:
        """Return the proposals."""
        return cast("Proposals", self._proposals)

    @property
    def repositories(self) -> Repositories:
        """Return what is known of repositories."""
        return cast("Repositories", self._repositories)

    @property
    def decisions(self) -> Decisions:
        """Return what people settled."""
        return cast("Decisions", _Reading(self._memory.decisions, "of"))

    @property
    def accounts(self) -> Accounts:
        """Return who we are."""
        return cast("Accounts", _Reading(self._memory.accounts, "of"))

    @property
    def checks(self) -> Checks:
        """Return what is to be said about commits: nothing."""
        return cast("Checks", _Reading(self._memory.checks, "get", "judgements", "proposing"))

    @property
    def reviews(self) -> Reviews:
        """Return what is to be said on requests: nothing."""
        return cast("Reviews", _Reading(self._memory.reviews, "get", "standing", "said_since"))

    @property
    def conversations(self) -> Conversations:
        """Return what people said to us: nobody answers them."""
        return cast("Conversations", _Conversations(self._memory.conversations))

    @property
    def audit(self) -> Audit:
        """Return the audit log, to which nothing is added."""
        return cast("Audit", _Reading(self._memory.audit, "head", "entries"))

    @property
    def sweeps(self) -> Sweeps:
        """Return the sweeps."""
        return cast("Sweeps", self._sweeps)

    @property
    def schedules(self) -> Schedules:
        """Return what was done by the clock."""
        return cast("Schedules", self._schedules)

    def ledger(self, scope: str) -> WritableLedger:
        """Return the ledger of one scope, to which nothing is added."""
        return _Ledger(self._memory.ledger(scope))


class _Reading:
    """Lets through what is named."""

    def __init__(self, real: object, *reads: str) -> None:
        self._real = real
        self._reads = frozenset(reads)

    def __getattr__(self, name: str) -> Any:
        if name not in self._reads:
            raise AttributeError(f"nothing of {type(self._real).__name__}.{name} is done in a rehearsal")
        return getattr(self._real, name)


class _Proposals(_Reading):
    """What would be published counts for the limits."""

    def __init__(self, real: Proposals) -> None:
        super().__init__(real, "standing", "unpublished", "declined", "accepted", "by_number", "current")
        self._there = real
        self._opened: Counter[tuple[str, str]] = Counter()
        self._first: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self.made: defaultdict[tuple[str, str], list[Proposal]] = defaultdict(list)

    def store(self, forge: str, proposal: Proposal, diff: str, now: datetime) -> str:
        del diff, now
        repository = proposal.repository
        standing = self._there.current(forge, repository, proposal.base, proposal.group)
        with self._lock:
            if standing is None:
                owner = (forge, repository.partition("/")[0])
                self._opened[owner] += 1
                self._first[owner] += not self._has(forge, repository)
            made = self.made[forge, repository]
            made.append(proposal)
            return f"rehearsed-{len(made)}"

    def ever(self, forge: str, repository: str) -> bool:
        with self._lock:
            return self._has(forge, repository)

    def _has(self, forge: str, repository: str) -> bool:
        return (forge, repository) in self.made or self._there.ever(forge, repository)

    def published_since(self, forge: str, owner: str, since: datetime) -> tuple[int, int]:
        opened, firsts = self._there.published_since(forge, owner, since)
        with self._lock:
            return opened + self._opened[forge, owner], firsts + self._first[forge, owner]

    def reserve(
        self,
        forge: str,
        repository: str,
        _base: str,
        groups: Sequence[str],
        _now: datetime,
        *,
        since: datetime,
        per_day: int,
        first_per_day: int,
    ) -> int:
        opened, firsts = self.published_since(forge, repository.partition("/")[0], since)
        if firsts >= first_per_day and not self.ever(forge, repository):
            return 0
        return min(len(groups), max(per_day - opened, 0))

    def get(self, _id: str) -> StoredProposal | None:
        return None

    def mark(self, _id: str, _state: ProposalState, _now: datetime, **_said: object) -> None:
        """Change nothing."""


class _Repositories(_Reading):
    def __init__(self, real: Repositories) -> None:
        super().__init__(real, "all", "scan", "scans")
        self._there = real
        self._told: dict[tuple[str, str], Known] = {}

    def record(self, forge: str, repository: Repository, now: datetime) -> Known:
        known = Known(forge=forge, repository=repository, gone=False, seen=now)
        self._told[forge, repository.name] = known
        return known

    def get(self, forge: str, name: str) -> Known | None:
        return self._told.get((forge, name)) or self._there.get(forge, name)

    def gone(self, _forge: str, _name: str, _now: datetime) -> None:
        """Believe it for now."""

    def scanned(self, _forge: str, _name: str, _ref: str, _scan: Scan) -> None:
        """Forget it at once: the real one is to look for itself."""

    def moved(self, _forge: str, _name: str, _ref: str, _before: str, _head: str) -> bool:
        return False


class _Sweeps(_Reading):
    def __init__(self, real: Sweeps) -> None:
        super().__init__(real, "followed", "requests")
        self.notes: dict[tuple[str, str, str], Taken] = {}

    def note(
        self, forge: str, repository: str, ref: str, look: Look, *, held: int = 0, detail: str = ""
    ) -> None:
        self.notes[forge, repository, ref] = Taken(look=look, held=held, detail=detail)


class _Schedules(_Reading):
    def __init__(self, real: Schedules) -> None:
        super().__init__(real, "turn", "last")

    def take(self, _forge: str, _repository: str, _ref: str, _turn: Turn) -> None:
        """Take no turn."""


class _Conversations(_Reading):
    def __init__(self, real: Conversations) -> None:
        super().__init__(real, "heard", "said_since", "pause", "overrides", "checked", "look")

    def looked(self, _forge: str, _repository: str, _ref: str, _look: object) -> None:
        """Forget it at once."""


class _Ledger:
    def __init__(self, real: WritableLedger) -> None:
        self._there = real

    def sightings(self, reference: ImageReference) -> tuple[Sighting, ...]:
        """Return the sightings of a reference."""
        return self._there.sightings(reference)

    def record(self, reference: ImageReference, digest: str, now: datetime) -> None:
        """Forget it at once."""
