"""Whatever happens in whatever order: nothing wanted is lost, and a repository never has two runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.model import Job, Repository, Trigger
from bot.store.base import Claim, Delivery, Ending, Retry
from bot.store.sql import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RETRIES = (
    None,
    Retry(due=NOW, named=False),
    Retry(due=NOW, named=False, afresh=True),
    Retry(due=NOW + MINUTE, named=True),
)
_PLACE = (st.sampled_from("aab"), st.sampled_from("xxy"))
_PUSH = st.tuples(st.just("push"), *_PLACE)
_CLAIM = st.tuples(st.just("claim"), st.just(9), st.none())
_SETTLE = st.tuples(st.just("settle"), st.integers(0, 1), st.sampled_from(range(len(RETRIES))))
ACTS = st.one_of(
    # What happens most is said more often.
    _PUSH,
    _PUSH,
    _PUSH,
    _CLAIM,
    _CLAIM,
    _SETTLE,
    _SETTLE,
    st.tuples(st.just("release"), st.integers(0, 1), st.none()),
    st.tuples(st.just("cancel"), *_PLACE),
    st.tuples(st.just("retry"), *_PLACE),
    st.tuples(st.just("rename"), st.none(), st.none()),
)


@dataclass(slots=True)
class Queue:
    """A forge of its own in a store, and what must still be looked at."""

    store: Store
    forge: str
    numbers: Iterator[int]
    names: dict[str, str] = field(default_factory=lambda: {"a": "acme/a", "b": "acme/b"})
    owed: dict[tuple[str, str], str] = field(default_factory=dict)
    """The newest head by repository and ref, until a run that was claimed after it ended for good."""
    running: dict[str, Claim] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, name in self.names.items():
            self.store.repositories.record(self.forge, self.known(key, name), NOW)

    @staticmethod
    def known(key: str, name: str) -> Repository:
        return Repository(name=name, id=key, default_branch="x", head="")

    def push(self, key: str, ref: str) -> None:
        head = str(next(self.numbers))
        name = self.names[key]
        job = Job(forge=self.forge, repository=name, ref=ref, trigger=Trigger.PUSH, head=head)
        self.store.inbox.receive(Delivery(source=self.forge, id=head, jobs=(job,)), NOW)
        self.owed[name, ref] = head

    def claim(self, limit: int) -> None:
        taken = [one for one in self.store.backlog.claim("w", limit, NOW + 2 * MINUTE) if self.ours(one)]
        self.running |= {one.run: one for one in taken}

    def ours(self, claim: Claim) -> bool:
        return claim.job.forge == self.forge

    def settle(self, index: int, retry: Retry | None) -> None:
        if index < len(self.running):
            run = sorted(self.running)[index]
            ending = Ending.NOTHING if retry is None else Ending.POSTPONED
            place = self.place(run)
            claim = self.running.pop(run)
            assert self.store.backlog.settle(run, ending, "", NOW, retry=retry)
            if retry is None and self.owed.get(place) == claim.job.head:
                del self.owed[place]
            elif retry is not None and retry.afresh and self.owed.get(place) == claim.job.head:
                self.owed[place] = ""  # whatever is there is looked at

    def release(self, index: int) -> None:
        if index < len(self.running):
            run = sorted(self.running)[index]
            place, cancelled = self.place(run), self.found(run).cancelled
            claim = self.running.pop(run)
            self.store.backlog.release(run)
            if cancelled and self.owed.get(place) == claim.job.head:
                del self.owed[place]

    def cancel(self, key: str, ref: str) -> None:
        self.store.backlog.cancel(self.names[key], ref, NOW)
        for run in self.running:
            if self.place(run) == (self.names[key], ref):
                assert self.found(run).cancelled
        self.owed.pop((self.names[key], ref), None)

    def rename(self) -> None:
        old, new = self.names["a"], f"acme/{next(self.numbers)}"
        self.names["a"] = new
        self.store.repositories.record(self.forge, self.known("a", new), NOW)
        self.owed = {(new if name == old else name, ref): head for (name, ref), head in self.owed.items()}

    def found(self, run: str) -> Claim:
        claim = self.store.backlog.find(run)
        assert claim is not None
        return claim

    def place(self, run: str) -> tuple[str, str]:
        job = self.found(run).job
        return job.repository, job.ref

    def hold(self) -> None:
        """Assert what always holds."""
        busy = [one.job.repository for one in self.store.backlog.claimed() if self.ours(one)]
        assert len(busy) == len(set(busy)), "two runs of one repository"
        assert {one.run for one in self.store.backlog.claimed() if self.ours(one)} == set(self.running)

    def drain(self) -> None:
        """Let everything end, and assert that nothing was owed that did not come."""
        while self.running:
            self.settle(0, None)
        for _ in range(20):
            self.claim(99)
            if not self.running:
                break
            self.hold()
            while self.running:
                self.settle(0, None)
        assert self.owed == {}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path: Path = tmp_path_factory.mktemp("backlog") / "moorline.db"
    with Store(f"sqlite:///{path}") as opened:
        yield opened


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return count(1)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(acts=st.lists(ACTS, min_size=4, max_size=20))
def test_nothing_is_lost_and_nothing_overlaps(
    store: Store, numbers: Iterator[int], acts: list[tuple[str, object, object]]
) -> None:
    queue = Queue(store, f"forge{next(numbers)}", numbers)
    for what, one, other in acts:
        match what, one, other:
            case "push", str(), str():
                queue.push(one, other)
            case "claim", int(), _:
                queue.claim(one)
            case "settle", int(), int():
                queue.settle(one, RETRIES[other])
            case "release", int(), _:
                queue.release(one)
            case "cancel", str(), str():
                queue.cancel(one, other)
            case "retry", str(), str():
                store.backlog.retry(queue.names[one], other, NOW)
            case _:
                queue.rename()
        queue.hold()
    queue.drain()
