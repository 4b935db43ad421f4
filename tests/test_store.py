"""The store on real databases: SQLite always, Postgres where its server is installed."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import databases
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import StoreError, TransientError
from bot.model import Edit, Job, Proposal, Span, Trigger
from bot.reference import parse_image
from bot.store.base import Delivery, Ending, Priority, ProposalState, Receipt, Retry, StoreUnavailableError
from bot.store.proposals import decode_edits, encode_edits
from bot.store.sql import Store
from bot.store.tables import SCHEMA_VERSION

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture(params=databases.BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with Store(databases.url(request.param, tmp_path)) as opened:
        yield opened


def job(
    repository: str = "acme/app", ref: str = "main", head: str = "", trigger: Trigger = Trigger.PUSH
) -> Job:
    return Job(forge="git", repository=repository, ref=ref, trigger=trigger, head=head)


def delivery(
    id_: str,
    repository: str = "acme/app",
    ref: str = "main",
    head: str = "",
    trigger: Trigger = Trigger.PUSH,
) -> Delivery:
    return Delivery(source="git", id=id_, jobs=(job(repository, ref, head, trigger),))


def proposal(digest: str = "d1", *, commit: str = "c" * 40, base: str = "main") -> Proposal:
    return Proposal(
        repository="acme/app",
        base=base,
        commit=commit,
        group="all",
        branch=f"moorline/{base}/all",
        title="Pin 1 image",
        body="Body",
        message="Pin",
        edits=(Edit(path="Dockerfile", span=Span(5, 9), expected=b"node", replacement=b"n\xff\0"),),
        digest=digest,
    )


class TestInbox:
    def test_a_delivery_is_stored_once(self, store: Store) -> None:
        assert store.inbox.receive(delivery("1"), NOW) is Receipt.STORED
        assert store.inbox.receive(delivery("1"), NOW) is Receipt.DUPLICATE
        assert store.inbox.waiting() == 1

    def test_a_duplicate_wants_nothing_even_after_its_run(self, store: Store) -> None:
        store.inbox.receive(delivery("1"), NOW)
        (claim,) = store.backlog.claim("w", 5, NOW)
        store.backlog.settle(claim.run, Ending.NOTHING, "", NOW)
        assert store.inbox.receive(delivery("1"), NOW) is Receipt.DUPLICATE
        assert store.inbox.waiting() == 0

    def test_the_newest_head_wins_and_the_oldest_time_keeps_the_place(self, store: Store) -> None:
        store.inbox.receive(delivery("1", head="a"), NOW)
        store.inbox.receive(delivery("2", repository="acme/other"), NOW + MINUTE)
        store.inbox.receive(delivery("3", head="b"), NOW + 2 * MINUTE)
        first, second = store.backlog.claim("w", 5, NOW + 3 * MINUTE)
        assert (first.job.repository, first.job.head) == ("acme/app", "b")
        assert second.job.repository == "acme/other"

    def test_a_delivery_and_its_wish_are_one_transaction(self, tmp_path: Path) -> None:
        with Store(f"sqlite:///{tmp_path / 'x.db'}") as store:
            with sqlite3.connect(tmp_path / "x.db") as other:
                other.execute("ALTER TABLE wanted RENAME TO elsewhere")
            other.close()
            with pytest.raises(StoreError):
                store.inbox.receive(delivery("1"), NOW)
            with sqlite3.connect(tmp_path / "x.db") as other:
                other.execute("ALTER TABLE elsewhere RENAME TO wanted")
            other.close()
            # What failed left no trace: sent again under the same id it counts.
            assert store.inbox.receive(delivery("1"), NOW) is Receipt.STORED

    def test_threads_store_everything_once(self, store: Store) -> None:
        ids = [str(number % 100) for number in range(200)]
        with ThreadPoolExecutor(8) as pool:
            receipts = list(pool.map(lambda i: store.inbox.receive(delivery(i, f"acme/{i}"), NOW), ids))
        assert receipts.count(Receipt.STORED) == 100
        assert store.inbox.waiting() == 100

    def test_a_pushed_branch_goes_before_a_swept_one(self, store: Store) -> None:
        store.inbox.receive(delivery("1", "acme/swept", trigger=Trigger.SWEEP), NOW)
        store.inbox.receive(delivery("2", "acme/pushed"), NOW + MINUTE)
        (claim,) = store.backlog.claim("w", 1, NOW + MINUTE)
        assert claim.job.repository == "acme/pushed"

    def test_a_push_lifts_a_waiting_sweep(self, store: Store) -> None:
        store.inbox.receive(delivery("1", "acme/a", trigger=Trigger.SWEEP), NOW)
        store.inbox.receive(delivery("2", "acme/b"), NOW)
        store.inbox.receive(delivery("3", "acme/a"), NOW)
        store.inbox.receive(delivery("4", "acme/a", trigger=Trigger.SWEEP), NOW)
        assert {claim.priority for claim in store.backlog.claim("w", 5, NOW)} == {Priority.PUSH}


class TestBacklog:
    def test_one_run_at_a_time_for_a_repository(self, store: Store) -> None:
        store.inbox.receive(delivery("1", ref="main"), NOW)
        store.inbox.receive(delivery("2", ref="dev"), NOW + MINUTE)
        (main,) = store.backlog.claim("w1", 5, NOW + MINUTE)
        assert main.job.ref == "main"
        assert store.backlog.claim("w2", 5, NOW + MINUTE) == ()
        store.backlog.settle(main.run, Ending.PUBLISHED, "", NOW)
        (dev,) = store.backlog.claim("w2", 5, NOW + MINUTE)
        assert dev.job.ref == "dev"

    def test_pushes_during_a_run_make_exactly_one_more(self, store: Store) -> None:
        store.inbox.receive(delivery("1", head="a"), NOW)
        (first,) = store.backlog.claim("w", 5, NOW)
        for number in range(3):
            store.inbox.receive(delivery(f"x{number}", head=f"b{number}"), NOW + MINUTE)
        assert store.backlog.claim("w", 5, NOW + MINUTE) == ()
        assert store.inbox.waiting() == 1
        assert store.backlog.settle(first.run, Ending.SUPERSEDED, "", NOW + MINUTE)
        (second,) = store.backlog.claim("w", 5, NOW + MINUTE)
        assert (second.job.head, second.run != first.run) == ("b2", True)
        assert store.backlog.settle(second.run, Ending.NOTHING, "", NOW)
        assert store.inbox.waiting() == 0
        assert store.backlog.claimed() == ()

    def test_settling_twice_counts_once(self, store: Store) -> None:
        store.inbox.receive(delivery("1"), NOW)
        (claim,) = store.backlog.claim("w", 5, NOW)
        assert store.backlog.settle(claim.run, Ending.PUBLISHED, "fine\0", NOW)
        assert not store.backlog.settle(claim.run, Ending.FAILED, "", NOW)
        assert store.inbox.tallies() == {"published": 1}
        (run,) = store.backlog.runs(10)
        assert (run.ending, run.job, run.ended) == (Ending.PUBLISHED, claim.job, NOW)
        assert "\0" not in run.detail

    def test_a_postponed_run_waits_for_its_time_and_counts_the_attempt(self, store: Store) -> None:
        store.inbox.receive(delivery("1"), NOW)
        (claim,) = store.backlog.claim("w", 5, NOW)
        again = Retry(due=NOW + MINUTE, named=False)
        store.backlog.settle(claim.run, Ending.POSTPONED, "", NOW, retry=again)
        assert store.backlog.claim("w", 5, NOW) == ()
        (second,) = store.backlog.claim("w", 5, NOW + MINUTE)
        assert (second.attempts, second.waits, second.run != claim.run) == (1, 0, True)

    def test_a_new_head_does_not_wait_for_trouble_but_does_for_a_named_time(self, store: Store) -> None:
        for repository, named in (("acme/trouble", False), ("acme/limited", True)):
            store.inbox.receive(delivery(f"1 {repository}", repository), NOW)
            (claim,) = store.backlog.claim("w", 5, NOW)
            again = Retry(due=NOW + DAY, named=named)
            store.backlog.settle(claim.run, Ending.POSTPONED, "", NOW, retry=again)
            store.inbox.receive(delivery(f"2 {repository}", repository, head="b"), NOW + MINUTE)
        (claim,) = store.backlog.claim("w", 5, NOW + MINUTE)
        assert (claim.job.repository, claim.attempts) == ("acme/trouble", 0)
        (late,) = store.backlog.claim("w", 5, NOW + DAY)
        assert (late.job.repository, late.job.head, late.waits) == ("acme/limited", "b", 1)

    def test_a_head_that_arrived_during_a_limited_run_waits_too(self, store: Store) -> None:
        store.inbox.receive(delivery("1"), NOW)
        (claim,) = store.backlog.claim("w", 5, NOW)
        store.inbox.receive(delivery("2", head="b"), NOW)
        store.backlog.settle(claim.run, Ending.POSTPONED, "", NOW, retry=Retry(due=NOW + DAY, named=True))
        assert store.backlog.claim("w", 5, NOW + MINUTE) == ()
        assert store.backlog.claim("w", 5, NOW + DAY)[0].job.head == "b"

    def test_a_released_branch_becomes_another_run(self, store: Store) -> None:
        store.inbox.receive(delivery("1"), NOW)
        (claim,) = store.backlog.claim("w", 5, NOW)
        store.backlog.release(claim.run)
        (again,) = store.backlog.claim("w", 5, NOW)
        assert again.job == claim.job
        assert again.run != claim.run
        assert not store.backlog.settle(claim.run, Ending.PUBLISHED, "", NOW)

    def test_two_workers_never_get_the_same_branch(self, store: Store) -> None:
        for number in range(40):
            store.inbox.receive(delivery(str(number), f"acme/{number % 20}", f"b{number}"), NOW)
        start = threading.Barrier(4)

        def take(worker: str) -> list[str]:
            start.wait()
            return [claim.job.repository for claim in store.backlog.claim(worker, 10, NOW)]

        with ThreadPoolExecutor(4) as pool:
            taken = [repository for part in pool.map(take, "abcd") for repository in part]
        assert len(taken) == len({claim.run for claim in store.backlog.claimed()})
        # Who lost a race comes back later.
        taken += [claim.job.repository for claim in store.backlog.claim("e", 20, NOW)]
        assert len(taken) == 20
        assert set(taken) == {f"acme/{number}" for number in range(20)}

    def test_a_worker_takes_only_what_it_has_room_for(self, store: Store) -> None:
        for number in range(5):
            store.inbox.receive(delivery(str(number), f"acme/{number}"), NOW + number * MINUTE)
        later = NOW + DAY
        first = store.backlog.claim("w1", 2, later)
        assert [claim.job.repository for claim in first] == ["acme/0", "acme/1"]
        assert store.backlog.claim("w1", 2, later) == ()
        assert len(store.backlog.claim("w2", 2, later)) == 2
        assert store.backlog.find(first[0].run) == first[0]
        store.backlog.settle(first[0].run, Ending.NOTHING, "", NOW)
        assert store.backlog.find(first[0].run) is None
        assert [claim.job.repository for claim in store.backlog.claim("w1", 2, later)] == ["acme/4"]

    def test_old_deliveries_and_runs_are_forgotten(self, store: Store) -> None:
        store.inbox.receive(delivery("old"), NOW)
        (claim,) = store.backlog.claim("w", 5, NOW)
        store.backlog.settle(claim.run, Ending.NOTHING, "", NOW)
        store.inbox.receive(delivery("new"), NOW + 2 * DAY)
        assert store.backlog.forget(NOW + DAY) == 2
        assert store.backlog.runs(10) == ()
        assert store.inbox.receive(delivery("new"), NOW) is Receipt.DUPLICATE
        assert store.inbox.waiting() == 1


class TestProposals:
    def test_what_was_stored_comes_back(self, store: Store) -> None:
        id_ = store.proposals.store("git", proposal(), "-a\0\n+b\ud800\n", NOW)
        stored = store.proposals.get(id_)
        assert stored is not None
        assert stored.proposal == proposal()
        assert (stored.state, stored.made, stored.commits) == (ProposalState.OPEN, NOW, ())
        assert stored.diff == "-a\N{REPLACEMENT CHARACTER}\n+b?\n"
        assert store.proposals.get("nothing") is None

    def test_the_same_plan_twice_is_one_proposal(self, store: Store) -> None:
        first = store.proposals.store("git", proposal(), "", NOW)
        assert store.proposals.store("git", proposal(), "", NOW + MINUTE) == first
        other = store.proposals.store("git", proposal(commit="d" * 40), "", NOW + MINUTE)
        assert other != first
        assert _state(store, first) is ProposalState.SUPERSEDED
        assert store.proposals.counts() == {"open": 1, "superseded": 1}

    def test_a_published_one_replaces_the_one_before(self, store: Store) -> None:
        first = store.proposals.store("git", proposal("d1"), "", NOW)
        elsewhere = store.proposals.store("git", proposal("d1", base="dev"), "", NOW)
        store.proposals.mark(first, ProposalState.PUBLISHED, NOW, commit="1" * 40, url="https://x/1")
        store.proposals.mark(elsewhere, ProposalState.PUBLISHED, NOW, commit="3" * 40)
        second = store.proposals.store("git", proposal("d2"), "", NOW + MINUTE)
        current = store.proposals.current("git", "acme/app", "main", "all")
        assert current is not None
        assert (current.id, current.commits, current.url) == (first, ("1" * 40,), "https://x/1")
        store.proposals.mark(second, ProposalState.PUBLISHED, NOW + MINUTE, commit="2" * 40)
        current = store.proposals.current("git", "acme/app", "main", "all")
        assert current is not None
        assert current.id == second
        assert _state(store, first) is ProposalState.SUPERSEDED
        assert _state(store, elsewhere) is ProposalState.PUBLISHED
        ours = store.proposals.commits("git", "acme/app", "moorline/main/all")
        assert ours == {"1" * 40, "2" * 40}
        assert [stored.id for stored in store.proposals.recent(1)] == [second]

    def test_an_intended_commit_is_ours_before_it_is_written(self, store: Store) -> None:
        id_ = store.proposals.store("git", proposal(), "", NOW)
        store.proposals.intend(id_, "1" * 40, NOW)
        store.proposals.intend(id_, "2" * 40, NOW)
        store.proposals.intend(id_, "1" * 40, NOW)
        stored = store.proposals.get(id_)
        assert stored is not None
        assert stored.commits == ("2" * 40, "1" * 40)

    def test_marking_nothing_is_an_error(self, store: Store) -> None:
        with pytest.raises(StoreError, match="no such proposal"):
            store.proposals.mark("nothing", ProposalState.CLOSED, NOW)

    @given(st.lists(st.tuples(st.text(), st.integers(0, 9), st.binary(), st.binary())))
    def test_edits_keep_their_bytes(self, parts: list[tuple[str, int, bytes, bytes]]) -> None:
        edits = tuple(
            Edit(path=path, span=Span(start, start + 1), expected=expected, replacement=replacement)
            for path, start, expected, replacement in parts
        )
        assert decode_edits(encode_edits(edits)) == edits


def _state(store: Store, id_: str) -> ProposalState:
    stored = store.proposals.get(id_)
    assert stored is not None
    return stored.state


class TestLedger:
    def test_reigns(self, store: Store) -> None:
        node = parse_image("node:22")
        assert node is not None
        ledger = store.ledger("acme")
        for day, digest in enumerate(["a", "a", "b", "a", "a"]):
            ledger.record(node, digest, NOW + day * DAY)
        reigns = [(s.digest, (s.first - NOW).days, (s.last - NOW).days) for s in ledger.sightings(node)]
        assert reigns == [("a", 0, 1), ("b", 2, 2), ("a", 3, 4)]

    def test_an_older_look_changes_nothing(self, store: Store) -> None:
        node = parse_image("node:22")
        assert node is not None
        ledger = store.ledger("acme")
        ledger.record(node, "b", NOW)
        ledger.record(node, "a", NOW - DAY)
        ledger.record(node, "b", NOW - DAY)
        assert [(s.digest, s.first, s.last) for s in ledger.sightings(node)] == [("b", NOW, NOW)]

    def test_names_of_one_image_share_a_ledger_and_scopes_do_not(self, store: Store) -> None:
        short, full, other = map(parse_image, ("node", "docker.io/library/node:latest", "node:22"))
        pinned = parse_image("node@sha256:" + "0" * 64)
        assert short is not None
        assert full is not None
        assert other is not None
        assert pinned is not None
        store.ledger("acme").record(short, "a", NOW)
        store.ledger("acme").record(pinned, "a", NOW)
        assert len(store.ledger("acme").sightings(full)) == 1
        assert store.ledger("acme").sightings(other) == ()
        assert store.ledger("acme").sightings(pinned) == ()
        assert store.ledger("other").sightings(short) == ()

    def test_racing_workers_see_one_reign(self, store: Store) -> None:
        node = parse_image("node:22")
        assert node is not None
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: store.ledger("acme").record(node, "a", NOW), range(32)))
        assert len(store.ledger("acme").sightings(node)) == 1


class TestLeases:
    def test_a_silent_worker_expires(self, store: Store) -> None:
        store.leases.beat("w1", "1")
        store.leases.beat("w1", "1")
        store.leases.beat("w2", "2")
        assert store.leases.expired(60) == ()
        assert store.leases.versions(60) == {"1", "2"}
        assert store.leases.expired(-60) == ("w1", "w2")
        assert store.leases.versions(-60) == frozenset()
        store.leases.end("w2")
        assert store.leases.expired(60) == ("w2",)
        store.leases.drop("w1")
        assert store.leases.expired(-60) == ("w2",)


class TestOpening:
    @pytest.mark.parametrize("backend", databases.BACKENDS)
    def test_a_newer_schema_is_refused(self, backend: str, tmp_path: Path) -> None:
        url = databases.url(backend, tmp_path)
        with Store(url) as store, store._database.write() as connection:
            connection.exec_driver_sql(f"UPDATE moorline_schema SET version = {SCHEMA_VERSION + 1}")
        with pytest.raises(StoreError, match=f"schema {SCHEMA_VERSION + 1}") as caught:
            Store(url)
        assert caught.value.advice

    @pytest.mark.parametrize("backend", databases.BACKENDS)
    def test_what_is_stored_is_there_after_reopening(self, backend: str, tmp_path: Path) -> None:
        url = databases.url(backend, tmp_path)
        with Store(url) as store:
            store.inbox.receive(delivery("1"), NOW)
        with Store(url) as store:
            assert store.inbox.waiting() == 1

    @pytest.mark.parametrize("backend", databases.BACKENDS)
    def test_many_may_open_an_empty_database_at_once(self, backend: str, tmp_path: Path) -> None:
        url = databases.url(backend, tmp_path)

        def use(number: int) -> Receipt:
            with Store(url) as store:
                return store.inbox.receive(delivery(str(number)), NOW)

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(use, range(4))) == {Receipt.STORED}

    def test_sqlite_is_durable_and_ours_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "moorline.db"
        with Store(f"sqlite:///{path}") as store, store._database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == 5000
            files = list(tmp_path.iterdir())
            assert len(files) >= 2
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}

    def test_a_write_takes_its_lock_at_once(self, tmp_path: Path) -> None:
        with Store(f"sqlite:///{tmp_path / 'x.db'}") as store, store._database.write():
            other = sqlite3.connect(tmp_path / "x.db", timeout=0, isolation_level=None)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            other.close()

    def test_a_reader_is_not_held_up_by_a_writer(self, tmp_path: Path) -> None:
        with Store(f"sqlite:///{tmp_path / 'x.db'}") as store, store._database.write():
            assert store.inbox.waiting() == 0

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "nonsense",
            "mysql://root:hunter2@h/x",
            "sqlite://",
            "sqlite:///:memory:",
            "postgresql://u:hunter2@[x",
        ],
    )
    def test_other_databases_are_refused_without_their_password(self, url: str) -> None:
        with pytest.raises(StoreError) as caught:
            Store(url)
        assert "MOORLINE_DATABASE_URL" in caught.value.advice
        assert "hunter2" not in str(caught.value)

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"missing/x\.db"):
            Store(f"sqlite:///{tmp_path}/missing/x.db")

    def test_a_file_that_is_no_database_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "x.db").write_bytes(b"not a database at all" * 100)
        with pytest.raises(StoreError):
            Store(f"sqlite:///{tmp_path / 'x.db'}")

    def test_a_database_that_is_away_is_worth_another_try(self) -> None:
        with pytest.raises(StoreUnavailableError) as caught:
            Store("postgresql://nobody:hunter2@127.0.0.1:1/x")
        assert isinstance(caught.value, TransientError)
        assert "hunter2" not in str(caught.value)

    def test_the_password_is_in_no_repr(self, store: Store) -> None:
        assert repr(store) in ("Store(sqlite)", "Store(postgresql)")

    def test_the_protocols_do_not_need_sqlalchemy(self) -> None:
        code = "import sys, bot.store.base; sys.exit('sqlalchemy' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
