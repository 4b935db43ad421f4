"""Sweeps, turns and ticks on real databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import databases
import pytest
from sqlalchemy import text

from bot import cron
from bot.model import Job, Pinned, Repository, Trigger
from bot.store.base import (
    Ending,
    Look,
    Place,
    PlaceState,
    Priority,
    ProposalState,
    Retry,
    Scan,
    Sweep,
    Turn,
)
from bot.store.sql import Store
from bot.store.tables import microseconds

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SWEEP = Sweep(
    id="s1", forge="github", trigger=Trigger.SWEEP, owners=("acme",), globs=(), who="operator", started=NOW
)
JOB = Job(forge="github", repository="acme/app", ref="main", trigger=Trigger.SWEEP, head="a" * 40)


@pytest.fixture(params=databases.BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with Store(databases.url(request.param, tmp_path)) as opened:
        yield opened


def begun(store: Store, *jobs: Job, sweep: Sweep = SWEEP, left_out: Mapping[str, str] | None = None) -> None:
    """Begin a sweep that is listed already."""
    store.sweeps.begin(sweep, NOW)
    run(store, Ending.NOTHING, sweep.job)
    store.sweeps.add(sweep.id, jobs, left_out or {}, NOW)
    store.sweeps.listed(sweep.id, NOW)


def run(
    store: Store, ending: Ending, job: Job = JOB, *, retry: Retry | None = None, detail: str = ""
) -> None:
    """Let the next run be one of a job, and end."""
    [claim] = store.backlog.claim("w", 1, NOW)
    assert (claim.job.repository, claim.job.ref) == (job.repository, job.ref)
    assert store.backlog.settle(claim.run, ending, detail, NOW, retry=retry)


def place(store: Store) -> Place:
    [one] = [one for one in store.sweeps.places("s1") if one.repository and one.ref]
    return one


def test_what_is_stored_comes_back(store: Store) -> None:
    store.sweeps.begin(SWEEP, NOW)
    assert store.sweeps.get("s1") == SWEEP
    assert store.sweeps.get("s2") is None
    store.sweeps.listed("s1", NOW)
    later = replace(SWEEP, id="s2", started=NOW + timedelta(hours=1))
    store.sweeps.begin(later, NOW)
    store.sweeps.begin(replace(SWEEP, id="s3", who="the schedule"), NOW)
    assert store.sweeps.last("operator", 5) == (later, replace(SWEEP, listed=NOW))


def test_a_sweep_wants_its_listing_and_knows_when_that_failed(store: Store) -> None:
    store.sweeps.begin(SWEEP, NOW)
    assert store.sweeps.pending("s1", NOW) == 1
    [claim] = store.backlog.claim("w", 5, NOW)
    assert claim.job == SWEEP.job
    store.backlog.settle(claim.run, Ending.FAILED, "No such token.", NOW)
    [listing] = store.sweeps.places("s1")
    assert (listing.repository, listing.state, listing.detail) == ("", PlaceState.FAILED, "No such token.")
    assert store.sweeps.counts("s1") == {}
    assert store.sweeps.pending("s1", NOW) == 0


def test_adding_again_changes_nothing(store: Store) -> None:
    begun(store, JOB, left_out={"acme/old": "archived"})
    run(store, Ending.NOTHING)
    store.sweeps.add("s1", [JOB], {"acme/old": "archived", "acme/app": "archived"}, NOW)
    assert store.inbox.waiting() == 0
    assert store.sweeps.counts("s1")[PlaceState.LEFT_OUT] == 3  # the last one has another ref
    store.sweeps.add("unknown", [JOB], {}, NOW)
    assert store.inbox.waiting() == 0


@pytest.mark.parametrize(
    ("look", "ending", "state"),
    [
        (Look.UNCHANGED, Ending.NOTHING, PlaceState.UNCHANGED),
        (Look.CHANGED, Ending.NOTHING, PlaceState.CHANGED),
        (Look.LEFT_OUT, Ending.NOTHING, PlaceState.LEFT_OUT),
        (None, Ending.NOTHING, PlaceState.LEFT_OUT),
        (Look.PROPOSES, Ending.PUBLISHED, PlaceState.PROPOSED),
        (Look.CHANGED, Ending.PUBLISHED, PlaceState.CHANGED),
        (Look.PROPOSES, Ending.FAILED, PlaceState.FAILED),
        (None, Ending.PARKED, PlaceState.FAILED),
        (Look.PROPOSES, Ending.CANCELLED, PlaceState.CANCELLED),
    ],
)
def test_how_a_run_ends_is_what_becomes_of_a_place(
    store: Store, look: Look | None, ending: Ending, state: PlaceState
) -> None:
    begun(store, JOB)
    if look is not None:
        store.sweeps.note("github", "acme/app", "main", look, held=3, detail="why")
    run(store, ending, detail="the run's")
    assert place(store).state is state
    assert place(store).held == (3 if look else 0)
    assert place(store).detail == "the run's"
    store.sweeps.note("github", "acme/app", "main", Look.CHANGED, held=9)
    assert place(store).held == (3 if look else 0), "what ended is told nothing more"


def test_a_place_waits_while_its_branch_is_tried_again(store: Store) -> None:
    begun(store, JOB)
    due = NOW + timedelta(hours=1)
    run(store, Ending.POSTPONED, retry=Retry(due=due, named=True), detail="Too many.")
    assert place(store) == Place(
        repository="acme/app", ref="main", state=PlaceState.POSTPONED, detail="Too many.", due=due
    )
    assert store.sweeps.pending("s1", NOW) == 0
    assert store.sweeps.pending("s1", due) == 1
    # Asked for once more, it goes on waiting for the time that the server named.
    begun(store, JOB, sweep=replace(SWEEP, id="s2"))
    assert store.sweeps.pending("s2", NOW) == 0
    assert store.sweeps.counts("s2") == {PlaceState.WAITING: 1}


def test_a_branch_that_moved_meanwhile_still_waits(store: Store) -> None:
    begun(store, JOB)
    run(store, Ending.SUPERSEDED, retry=Retry(due=NOW, named=False, afresh=True))
    assert place(store).state is PlaceState.WAITING


def test_a_run_that_began_before_the_sweep_does_not_answer_for_it(store: Store) -> None:
    store.inbox.want((replace(JOB, trigger=Trigger.PUSH),), NOW)
    [before] = store.backlog.claim("w", 1, NOW)
    store.sweeps.begin(SWEEP, NOW)
    store.sweeps.add("s1", [JOB], {}, NOW)
    store.backlog.settle(before.run, Ending.PUBLISHED, "", NOW)
    assert place(store).state is PlaceState.WAITING


def test_what_a_person_calls_off_is_cancelled(store: Store) -> None:
    begun(store, JOB)
    store.backlog.cancel("acme/app", None, NOW)
    assert place(store).state is PlaceState.CANCELLED


def test_what_nobody_wants_any_more_does_not_wait_for_ever(store: Store) -> None:
    begun(store, JOB)
    [claim] = store.backlog.claim("w", 1, NOW)
    store.backlog.cancel("acme/app", None, NOW)
    store.backlog.release(claim.run)
    assert place(store).state is PlaceState.CANCELLED
    assert store.sweeps.counts("s1") == {PlaceState.CANCELLED: 1}
    assert store.sweeps.pending("s1", NOW) == 0


def test_places_and_turns_go_along_with_a_name(store: Store) -> None:
    old = Repository(name="acme/app", id="7", default_branch="main", head="")
    store.repositories.record("github", old, NOW)
    begun(store, JOB, replace(JOB, repository="acme/new"))
    store.schedules.take("github", "acme/app", "main", Turn(first=NOW))
    store.schedules.take("github", "acme/app", "release", Turn(refresh=NOW))
    store.schedules.take("github", "acme/new", "main", Turn())
    store.repositories.record("github", replace(old, name="acme/new"), NOW)
    assert store.schedules.turn("github", "acme/new", "main") == Turn()
    assert store.schedules.turn("github", "acme/new", "release") == Turn(refresh=NOW)
    assert place(store).repository == "acme/new"


def test_sweeps_are_forgotten_with_their_places(store: Store) -> None:
    begun(store, JOB)
    run(store, Ending.NOTHING)
    store.backlog.forget(NOW + timedelta(days=1))
    assert store.sweeps.get("s1") is None
    assert store.sweeps.places("s1") == ()


def test_people_go_before_the_clock(store: Store) -> None:
    by_clock = replace(JOB, trigger=Trigger.SCHEDULED)
    for first, second in ((by_clock, JOB), (JOB, by_clock)):
        store.inbox.want((first,), NOW)
        store.inbox.want((second,), NOW)
        [claim] = store.backlog.claim("w", 1, NOW)
        assert (claim.job.trigger, claim.priority) == (Trigger.SWEEP, Priority.SWEEP)
        store.backlog.settle(claim.run, Ending.NOTHING, "", NOW)


def test_what_a_listing_says_of_a_head_never_outdoes_a_push(store: Store) -> None:
    push = replace(JOB, trigger=Trigger.PUSH, head="b" * 40)
    for first, second in ((push, JOB), (JOB, push)):
        store.inbox.want((first,), NOW)
        store.inbox.want((second,), NOW)
        [claim] = store.backlog.claim("w", 1, NOW)
        assert (claim.job.trigger, claim.job.head) == (Trigger.PUSH, "b" * 40)
        store.backlog.settle(claim.run, Ending.NOTHING, "", NOW)
    store.inbox.want((replace(push, head=""),), NOW)  # nobody knows
    store.inbox.want((JOB,), NOW)
    [claim] = store.backlog.claim("w", 1, NOW)
    assert claim.job.head == ""


def test_catching_up_does_not_take_a_person_s_place(store: Store) -> None:
    store.inbox.want((JOB,), NOW)
    store.inbox.want((replace(JOB, trigger=Trigger.CATCH_UP, head="b" * 40),), NOW)
    [claim] = store.backlog.claim("w", 1, NOW)
    assert (claim.job.trigger, claim.job.head) == (Trigger.SWEEP, "b" * 40)


def test_which_repositories_follow_further_branches(store: Store) -> None:
    for name, refs in (("acme/app", ("release/*",)), ("acme/plain", ())):
        made = Scan(head="a", rules="r", paths=(), references=(), refs=refs, held=0, at=NOW)
        store.repositories.scanned("github", name, "main", made)
    assert store.sweeps.followed("github") == {"acme/app": ("release/*",)}


def test_what_stands_and_what_is_still_to_be_published(store: Store) -> None:
    from test_store import proposal

    pins = [Pinned(path="Dockerfile", where="FROM", reference=name) for name in ("node:22", "redis:7", "x:1")]
    ids = [
        store.proposals.store(
            "github", replace(proposal(one.reference), group=one.reference, pins=(one,)), "", NOW
        )
        for one in pins
    ]
    store.proposals.mark(ids[1], ProposalState.PUBLISHED, NOW, number=4)
    store.proposals.mark(ids[2], ProposalState.CLOSED, NOW, number=5)
    assert [one.id for one in store.proposals.unpublished("github", "acme/app", "main")] == ids[:1]
    assert store.sweeps.requests("github") == (("acme/app", "main", 4),)


# --- the clock ----------------------------------------------------------------------------

YEARLY = cron.parse("0 0 1 1 *")


def put_back(store: Store, name: str, **ago: float) -> None:
    """Let something have been done so long ago."""
    with store._database.write() as connection:
        at = microseconds(datetime.now(UTC) - timedelta(**ago))
        connection.execute(
            text("UPDATE schedule_ticks SET at = :at WHERE name = :name"), {"at": at, "name": name}
        )


def test_a_tick_is_taken_once_whatever_was_missed(store: Store) -> None:
    job = Job(forge="github", repository="", ref="catch-up", trigger=Trigger.CATCH_UP)
    assert not store.schedules.tick("one", YEARLY, job, None, NOW), "counting begins"
    assert not store.schedules.tick("one", YEARLY, job, None, NOW)
    put_back(store, "one", days=400)
    assert store.schedules.tick("one", YEARLY, job, None, NOW)
    assert not store.schedules.tick("one", YEARLY, job, None, NOW)
    assert store.inbox.waiting() == 1
    last = store.schedules.last("one")
    assert last is not None
    assert abs(datetime.now(UTC) - last) < timedelta(minutes=1)


def test_of_many_workers_one_takes_a_tick(store: Store) -> None:
    begin = threading.Barrier(6)
    taken: list[bool] = []
    store.schedules.tick("sweep", YEARLY, SWEEP.job, SWEEP, NOW)
    put_back(store, "sweep", days=400)

    def ask(number: int) -> None:
        mine = replace(SWEEP, id=f"s{number}")
        begin.wait()
        taken.append(store.schedules.tick("sweep", YEARLY, mine.job, mine, NOW))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(taken) == [False] * 5 + [True]
    assert len(store.sweeps.last("operator", 10)) == 1
    assert store.inbox.waiting() == 1


def test_what_was_done_is_remembered(store: Store) -> None:
    assert store.schedules.last("missed github") is None
    store.schedules.done("missed github", NOW)
    store.schedules.done("missed github", NOW + timedelta(hours=1))
    assert store.schedules.last("missed github") == NOW + timedelta(hours=1)


def test_a_turn_comes_back(store: Store) -> None:
    assert store.schedules.turn("github", "acme/app", "main") == Turn()
    turn = Turn(
        first=NOW, first_waits=True, schedule_first=("weekly", "* * * * 1-5"), schedule_refresh=("daily",)
    )
    store.schedules.take("github", "acme/app", "main", Turn())
    store.schedules.take("github", "acme/app", "main", turn)
    assert store.schedules.turn("github", "acme/app", "main") == turn
