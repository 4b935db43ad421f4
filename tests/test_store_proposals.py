"""Requests and their fate: numbers, what people declined, and how many a day brought."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import databases
import pytest

from bot.model import Edit, Pinned, Proposal, Span
from bot.store.base import ProposalState
from bot.store.sql import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
NODE = Pinned(path="Dockerfile", where="FROM", reference="node:22")
REDIS = Pinned(path="compose.yaml", where="services.cache.image", reference="redis:7")


@pytest.fixture(params=databases.BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with Store(databases.url(request.param, tmp_path)) as opened:
        yield opened


def stored(
    store: Store,
    digest: str,
    *,
    repository: str = "acme/app",
    base: str = "main",
    group: str = "all",
    pins: tuple[Pinned, ...] = (NODE,),
) -> str:
    proposal = Proposal(
        repository=repository,
        base=base,
        commit="c" * 40,
        group=group,
        branch=f"moorline/{base}/{group}",
        title="Pin 1 image",
        body="Body",
        message="Pin",
        edits=(Edit(path="Dockerfile", span=Span(5, 9), expected=b"node", replacement=b"node"),),
        digest=digest,
        pins=pins,
    )
    return store.proposals.store("github", proposal, "", NOW)


def published(
    store: Store, digest: str, number: int, at: datetime = NOW, repository: str = "acme/app"
) -> str:
    id_ = stored(store, digest, repository=repository)
    store.proposals.mark(id_, ProposalState.PUBLISHED, at, number=number)
    return id_


def declined(store: Store) -> frozenset[Pinned]:
    return store.proposals.declined("github", "acme/app", "main")


class TestNumbers:
    def test_a_request_leads_to_its_newest_proposal(self, store: Store) -> None:
        assert store.proposals.by_number("github", "acme/app", 7) is None
        published(store, "d1", 7)
        second = published(store, "d2", 7, NOW + MINUTE)
        found = store.proposals.by_number("github", "acme/app", 7)
        assert found is not None
        assert (found.id, found.number, found.proposal.pins) == (second, 7, (NODE,))
        assert store.proposals.by_number("gitlab", "acme/app", 7) is None
        assert store.proposals.by_number("github", "acme/app", 0) is None

    def test_a_number_that_is_not_said_again_is_kept(self, store: Store) -> None:
        id_ = published(store, "d1", 7)
        store.proposals.mark(id_, ProposalState.MERGED, NOW)
        found = store.proposals.by_number("github", "acme/app", 7)
        assert found is not None
        assert found.state is ProposalState.MERGED

    def test_what_stands_by_base_and_group(self, store: Store) -> None:
        ids = {}
        for base, group in (("main", "b"), ("main", "a"), ("dev", "a"), ("main", "c")):
            ids[base, group] = stored(store, "d", base=base, group=group)
            if group != "c":
                store.proposals.mark(ids[base, group], ProposalState.PUBLISHED, NOW)
        standing = store.proposals.standing("github", "acme/app", "main")
        assert [one.id for one in standing] == [ids["main", "a"], ids["main", "b"]]
        assert len(store.proposals.standing("github", "acme/app")) == 3
        assert store.proposals.standing("github", "acme/other") == ()


class TestDeclined:
    def test_what_a_person_closed_is_remembered_by_place_and_reference(self, store: Store) -> None:
        id_ = stored(store, "d1", pins=(NODE, REDIS, NODE))
        assert declined(store) == frozenset()
        store.proposals.mark(id_, ProposalState.CLOSED, NOW)
        store.proposals.mark(id_, ProposalState.CLOSED, NOW)
        assert declined(store) == {NODE, REDIS}
        assert store.proposals.declined("github", "acme/app", "dev") == frozenset()
        assert store.proposals.declined("gitlab", "acme/app", "main") == frozenset()

    def test_what_is_reopened_is_forgotten_and_only_that(self, store: Store) -> None:
        first, second = stored(store, "d1", pins=(NODE, REDIS)), stored(store, "d2", pins=(REDIS,))
        for id_ in (first, second):
            store.proposals.mark(id_, ProposalState.CLOSED, NOW)
        store.proposals.mark(first, ProposalState.PUBLISHED, NOW)
        assert declined(store) == {REDIS}
        store.proposals.mark(second, ProposalState.PUBLISHED, NOW)
        assert declined(store) == frozenset()

    @pytest.mark.parametrize("state", [ProposalState.MERGED, ProposalState.SUPERSEDED])
    def test_other_ends_decline_nothing(self, store: Store, state: ProposalState) -> None:
        id_ = published(store, "d1", 7)
        store.proposals.mark(id_, state, NOW)
        assert declined(store) == frozenset()

    def test_a_newer_proposal_does_not_make_it_forgotten(self, store: Store) -> None:
        store.proposals.mark(stored(store, "d1"), ProposalState.CLOSED, NOW)
        published(store, "d2", 8)
        assert declined(store) == {NODE}


class TestOpened:
    def count(self, store: Store, since: datetime = NOW, owner: str = "acme") -> tuple[int, int]:
        return store.proposals.published_since("github", owner, since)

    def test_requests_are_counted_once_by_owner_and_time(self, store: Store) -> None:
        published(store, "d1", 7)
        published(store, "d2", 7, NOW + MINUTE)
        assert self.count(store) == (1, 1)
        published(store, "d3", 8, NOW + MINUTE)
        published(store, "d1", 1, NOW + DAY, repository="acme/other")
        published(store, "d1", 1, NOW + DAY, repository="acme-2/other")
        assert self.count(store) == (3, 2)
        assert self.count(store, NOW + DAY) == (1, 1)
        assert self.count(store, owner="acme-2") == (1, 1)
        assert self.count(store, NOW + 2 * DAY) == (0, 0)

    def test_without_requests_a_branch_that_was_not_there_counts(self, store: Store) -> None:
        first = published(store, "d1", 0)
        second = published(store, "d2", 0)
        store.proposals.mark(second, ProposalState.PUBLISHED, NOW)
        assert self.count(store) == (1, 1)
        store.proposals.mark(second, ProposalState.SUPERSEDED, NOW)
        published(store, "d3", 0)
        assert self.count(store) == (2, 1)
        assert first != second

    def test_what_is_not_published_does_not_count(self, store: Store) -> None:
        store.proposals.mark(stored(store, "d1"), ProposalState.CLOSED, NOW)
        assert self.count(store) == (0, 0)


class TestReserved:
    def reserve(
        self, store: Store, name: str = "app", groups: tuple[str, ...] = ("all",), base: str = "main"
    ) -> int:
        return store.proposals.reserve(
            "github", f"acme/{name}", base, groups, NOW, since=NOW, per_day=12, first_per_day=10
        )

    def test_whoever_asks_at_once_is_counted_all_the_same(self, store: Store) -> None:
        with ThreadPoolExecutor(8) as pool:
            granted = list(pool.map(lambda number: self.reserve(store, f"app{number}"), range(30)))
        assert sum(granted) == 10
        assert store.proposals.published_since("github", "acme", NOW) == (10, 10)

    def test_what_is_opened_counts_once(self, store: Store) -> None:
        assert self.reserve(store, groups=("all", "other")) == 2
        assert not store.proposals.ever("github", "acme/app")
        assert store.proposals.published_since("github", "acme", NOW) == (2, 1)
        published(store, "d1", 7)
        assert store.proposals.ever("github", "acme/app")
        assert store.proposals.published_since("github", "acme", NOW) == (2, 1)

    def test_asking_again_reserves_nothing_more(self, store: Store) -> None:
        for _ in range(3):
            assert self.reserve(store) == 1
        assert self.reserve(store, base="release") == 1
        assert store.proposals.published_since("github", "acme", NOW) == (2, 1)

    def test_a_day_has_an_end(self, store: Store) -> None:
        assert self.reserve(store, groups=tuple(map(str, range(20)))) == 12
        assert self.reserve(store, "other") == 0

    def test_what_could_not_be_opened_is_given_back(self, store: Store) -> None:
        assert self.reserve(store, groups=("all", "other")) == 2
        store.proposals.release(stored(store, "d1"))
        assert store.proposals.published_since("github", "acme", NOW) == (1, 0)
        store.proposals.mark(stored(store, "d2", group="other"), ProposalState.SUPERSEDED, NOW)
        assert store.proposals.published_since("github", "acme", NOW) == (0, 0)
