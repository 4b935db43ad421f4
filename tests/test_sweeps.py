"""Sweeps: what is listed, what becomes of it, what it costs, and what waits for its day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hosted import Hosted
from sweeping import Installation
from test_runs import FLOATING, NAME

from bot.allowed_owners import AllowedOwners
from bot.config import parse
from bot.errors import ForgeError, TransientError
from bot.forges.base import RequestState
from bot.model import Job, Repository, SkipReason, Trigger
from bot.runs import Served
from bot.store.base import PlaceState
from bot.store.sql import Store

POLICY = b"limits: {first-per-day: 1000, per-day: 1000}\ntrust: {checks: {age: off}}\n"
SUNDAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def install(store: Store, **said: object) -> Installation:
    server = parse("policy.yml", POLICY, policy=True)
    return Installation(store, server=server, **said)  # type: ignore[arg-type]  # a test names the fields


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Installation]:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        yield install(store)


# --- what is listed -----------------------------------------------------------------------


def test_a_sweep_proposes_everywhere_and_says_what_became_of_it(world: Installation) -> None:
    world.populate(3)
    world.forge.create("acme/plain", {"README.md": b""})
    world.forge.create("acme/broken", {**FLOATING, ".moorline.yml": b"mode: what\n"})
    world.forge.create("acme/paused", {**FLOATING, ".moorline.yml": b"mode: paused\n"})
    for name, field in (("acme/old", "archived"), ("acme/copy", "fork")):
        world.forge.create(name, FLOATING)
        setattr(world.forge.projects[name], field, True)
    world.forge.create("acme/empty", FLOATING)
    world.forge.projects["acme/empty"].branches.clear()
    sweep = world.begin()
    world.work()
    assert world.summary(sweep) == {"proposed": 3, "changed": 1, "failed": 1, "left-out": 4}
    found = {one.repository: one.detail for one in world.store.sweeps.places(sweep.id)}
    assert found["acme/old"] == "archived"
    assert found["acme/copy"] == "a fork"
    assert found["acme/empty"] == "empty"
    assert found["acme/paused"] == "paused by its configuration"
    assert ".moorline.yml" in found["acme/broken"]
    assert world.store.sweeps.get(sweep.id).listed == world.now  # type: ignore[union-attr]  # it is there
    assert len(world.forge.open_requests("acme/app000")) == 1


def test_what_is_held_is_counted(world: Installation) -> None:
    world.forge.create(NAME, {**FLOATING, ".moorline.yml": b"preset: strict\n"})
    sweep = world.begin()
    world.work()
    [_, place] = world.store.sweeps.places(sweep.id)
    assert (place.held, place.state) == (1, PlaceState.CHANGED)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"owners": ("Acme",)}, {"acme/app000", "acme/tool"}),
        ({"globs": ("acme/app*",)}, {"acme/app000"}),
        ({"globs": ("tool",)}, {"acme/tool"}),
        ({"globs": ("TOOL", "other/*")}, {"acme/tool", "other/app"}),
        ({"owners": ("other",), "globs": ("*/app*",)}, {"other/app"}),
        ({"owners": ("nobody",)}, set()),
    ],
)
def test_what_is_asked_for(world: Installation, said: dict[str, tuple[str, ...]], expected: set[str]) -> None:
    world.populate(1)
    world.forge.create("acme/tool", FLOATING)
    world.forge.create("other/app", FLOATING)
    sweep = world.begin(owners=said.get("owners", ()), globs=said.get("globs", ()))
    world.work()
    assert {one.repository for one in world.store.sweeps.places(sweep.id)} - {""} == expected


def test_repositories_that_are_named_are_not_looked_for_in_a_list(world: Installation) -> None:
    world.populate(3)
    assert world.sweep(globs=("acme/app001", "acme/nowhere")) == {"proposed": 1}
    assert world.forge.asked["repositories"] == 0


def test_whoever_is_not_served_is_left_out(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        world = install(store, served=Served(owners=AllowedOwners(entries=("acme",))))
        world.populate(1)
        world.forge.create("other/app", FLOATING)
        sweep = world.begin()
        world.work()
        assert world.states(sweep)["other/app "] is PlaceState.LEFT_OUT
        assert world.forge.open_requests("other/app") == []


def test_what_its_owner_suspended_is_left_out_with_a_reason_and_looked_at_afterwards(
    world: Installation,
) -> None:
    world.populate(1)
    sweep = world.begin()
    world.work(1)  # it was listed
    world.forge.suspended.add("acme")
    world.work()
    [place] = [one for one in world.store.sweeps.places(sweep.id) if one.repository]
    assert (place.state, place.detail) == (PlaceState.LEFT_OUT, "suspended by its owner")
    world.forge.suspended.clear()
    assert world.sweep() == {"proposed": 1}


def test_further_branches_are_swept_where_the_configuration_names_them(world: Installation) -> None:
    files = {**FLOATING, ".moorline.yml": b"refs: [release/*]\n"}
    world.populate(1)
    world.forge.create(NAME, files)
    world.sweep()
    world.forge.push(NAME, files, "release/1")
    world.forge.push(NAME, files, "feature")
    world.forge.asked.clear()
    sweep = world.begin()
    world.work()
    assert world.states(sweep)[f"{NAME} release/1"] is PlaceState.PROPOSED
    assert f"{NAME} feature" not in world.states(sweep)
    assert world.forge.asked["branches"] == 1, "of the other one nobody said so"
    del world.forge.projects[NAME].branches["release/1"]
    world.run(Job(forge="github", repository=NAME, ref="release/1", trigger=Trigger.SWEEP, head="f" * 40))
    assert [one.base for one in world.forge.open_requests(NAME)] == ["main"]


def test_branches_that_cannot_be_listed_do_not_keep_the_rest(world: Installation) -> None:
    world.forge.create(NAME, {**FLOATING, ".moorline.yml": b"refs: [release/*]\n"})
    world.sweep()

    def refuse(_name: str) -> Iterator[tuple[str, str]]:
        raise ForgeError("Too many branches.")

    world.forge.branches = refuse  # type: ignore[method-assign, assignment]  # a forge that refuses
    sweep = world.begin()
    world.work()
    assert world.states(sweep)[f"{NAME} main"] is PlaceState.UNCHANGED
    [why] = [one.detail for one in world.store.sweeps.places(sweep.id) if not one.ref]
    assert why == "its other branches cannot be listed: Too many branches."


def test_a_rename_is_heard_of(world: Installation) -> None:
    world.forge.create(NAME, FLOATING)
    world.sweep()
    world.forge.rename(NAME, "acme/new")
    assert world.sweep() == {"unchanged": 1}
    assert [one.number for one in world.store.proposals.standing("github", "acme/new")] == [1]


def test_what_is_gone_is_asked_for_once(world: Installation) -> None:
    world.populate(2)
    world.sweep()
    del world.forge.projects["acme/app001"]
    world.forge.asked.clear()
    assert world.sweep() == {"unchanged": 1}
    known = world.store.repositories.get("github", "acme/app001")
    assert known is not None
    assert known.gone
    assert len(world.store.proposals.standing("github", "acme/app001")) == 1  # it may come back
    assert world.forge.asked["repository"] == 1
    world.sweep()
    assert world.forge.asked["repository"] == 1


@pytest.mark.parametrize("trouble", [ForgeError("Refused."), TransientError("Broken.")])
def test_who_cannot_be_asked_for_keeps_what_is_known(world: Installation, trouble: ForgeError) -> None:
    world.populate(2)
    world.sweep()
    del world.forge.projects["acme/app001"]

    def refuse(_name: str) -> Repository:
        raise trouble

    world.forge.repository = refuse  # type: ignore[method-assign, assignment]  # a forge that refuses
    sweep = world.begin()
    world.work()
    assert world.summary(sweep) == {"unchanged": 1}
    assert world.store.sweeps.get(sweep.id).listed is not None  # type: ignore[union-attr]  # it is there
    known = world.store.repositories.get("github", "acme/app001")
    assert known is not None
    assert not known.gone


def test_a_limit_ends_the_listing_until_it_is_over(world: Installation) -> None:
    world.populate(1)
    world.sweep()
    world.forge.projects.clear()

    def limited(_name: str) -> Repository:
        raise TransientError("Too many requests.", retry_after=60)

    world.forge.repository = limited  # type: ignore[method-assign, assignment]  # a forge that limits
    sweep = world.begin()
    world.work()
    [listing] = world.store.sweeps.places(sweep.id)
    assert (listing.state, listing.detail) == (PlaceState.POSTPONED, "Too many requests.")


def test_what_a_list_leaves_out_is_looked_at_all_the_same(world: Installation) -> None:
    world.populate(2)
    world.sweep()
    told = world.forge.repositories

    def some(owner: str = "") -> Iterator[object]:
        return (one for one in told(owner) if one.name != "acme/app001")

    world.forge.repositories = some  # type: ignore[method-assign, assignment]  # a list with a hole
    assert world.sweep() == {"unchanged": 2}
    assert world.forge.open_requests("acme/app001")


def test_a_list_that_cannot_be_had_fails_the_sweep_and_says_why(world: Installation) -> None:
    def refuse(_owner: str = "") -> Iterator[object]:
        raise ForgeError("The App is suspended.")

    world.forge.repositories = refuse  # type: ignore[method-assign, assignment]  # a forge that refuses
    sweep = world.begin()
    world.work()
    [listing] = world.store.sweeps.places(sweep.id)
    assert (listing.state, listing.detail) == (PlaceState.FAILED, "The App is suspended.")


def test_a_forge_without_a_list_is_swept_by_its_addresses(world: Installation) -> None:
    sweep = world.begin(forge="git", globs=("app",))
    git = Hosted(name="git")
    world.runs = type(world.runs)(  # the same store, another forge
        world.store,
        {"git": git},
        world.services,
        errands=world.runs._planning._errands,
        clock=lambda: world.now,
    )
    type(git).hosting, before = None, type(git).hosting  # type: ignore[assignment, method-assign]  # a plain git server
    try:
        world.work(1)
    finally:
        type(git).hosting = before  # type: ignore[method-assign]  # as it was
    assert {(one.job.repository, one.job.ref) for one in world.store.backlog.waits(9)} == {
        ("/srv/app.git", "")
    }
    assert world.states(sweep)["/srv/app.git "] is PlaceState.WAITING


# --- what it costs ------------------------------------------------------------------------


def test_a_sweep_of_what_did_not_change_costs_its_list_alone(world: Installation) -> None:
    names = world.populate(12)
    world.sweep()
    world.forge.asked.clear()
    world.images.asked.clear()
    assert world.sweep() == {"unchanged": len(names)}
    assert world.forge.asked == {"repositories": 1}


def test_a_branch_that_moved_is_asked_where_it_is(world: Installation) -> None:
    """A list is some minutes old when its last repository's turn comes."""
    world.populate(1)
    world.sweep()
    world.begin()
    world.work(1)
    listed = world.forge.projects["acme/app000"].branches["main"]
    head = world.forge.push("acme/app000", {"Dockerfile": b"FROM node:22 AS later\n"})
    world.run(Job(forge="github", repository="acme/app000", ref="main", trigger=Trigger.PUSH, head=head))
    assert listed != head
    world.work()
    scan = world.store.repositories.scan("github", "acme/app000", "main")
    assert scan is not None
    assert scan.head == head


@pytest.mark.parametrize("after", range(0, 12, 3))
def test_a_sweep_that_is_killed_goes_on_where_it_was(world: Installation, after: int) -> None:
    """Killed after so many pages and runs; what was wanted is not wanted again."""
    names = world.populate(12)
    told = world.forge.repositories
    planned: Counter[str] = Counter()
    plan = world.runs.plan

    def counted(job: Job) -> str | None:
        planned[job.repository] += 1
        return plan(job)

    world.runs.plan = counted  # type: ignore[method-assign]  # to count

    def killed(owner: str = "") -> Iterator[object]:
        for number, one in enumerate(told(owner)):
            if number == after:
                raise KeyboardInterrupt
            yield one

    sweep = world.begin()
    world.forge.repositories = killed  # type: ignore[method-assign, assignment]  # dies in the middle
    with pytest.raises(KeyboardInterrupt):
        world.work()
    # Another worker takes the listing up, and dies after some runs.
    world.forge.repositories = told  # type: ignore[method-assign]  # as it was
    [claim] = world.store.backlog.claimed()
    world.store.backlog.release(claim.run)
    world.work(1 + after)
    world.work()
    assert world.summary(sweep) == {"proposed": len(names)}
    assert all(planned[name] == 1 for name in names)
    assert planned[""] == 2


def test_listing_again_after_a_page_counts_nobody_twice(
    world: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.runs.listing.PAGE", 5)
    names = world.populate(12)
    told = world.forge.repositories

    def killed(owner: str = "") -> Iterator[object]:
        for number, one in enumerate(told(owner)):
            if number == 7:
                raise TransientError("Away.", retry_after=60)
            yield one

    sweep = world.begin()
    world.forge.repositories = killed  # type: ignore[method-assign, assignment]  # dies in the middle
    assert world.work() == 6
    assert world.summary(sweep) == {"proposed": 5}
    world.forge.repositories = told  # type: ignore[method-assign]  # as it was
    world.later(minutes=2)
    assert world.work() == 8
    assert world.summary(sweep) == {"proposed": len(names)}


# --- what waits for its day ---------------------------------------------------------------


def test_first_pins_come_weekly_and_refreshes_daily(world: Installation) -> None:
    """The first sweep may; what appears on Monday without a push waits for Sunday."""
    world.forge.create(NAME, FLOATING)
    assert world.sweep(Trigger.SCHEDULED) == {"proposed": 1}
    world.forge.settle(NAME, 1, RequestState.MERGED)
    world.later(days=1)
    assert world.sweep(Trigger.SCHEDULED) == {"changed": 1}
    # Nobody told of this one.
    world.tag("redis:7")
    pinned = world.forge.read(NAME, world.forge.head(NAME, "")[1], ["Dockerfile"])["Dockerfile"]
    world.forge.push(NAME, {"Dockerfile": pinned + b"FROM redis:7\n"})
    for day in range(1, 6):
        world.later(days=1)
        assert world.sweep(Trigger.SCHEDULED) == {"changed" if day == 1 else "unchanged": 1}, day
        assert world.forge.open_requests(NAME) == []
    world.later(days=1)
    assert world.now.weekday() == 6
    assert world.sweep(Trigger.SCHEDULED) == {"proposed": 1}
    [request] = world.forge.open_requests(NAME)
    assert b"redis:7@sha256:" in world.forge.projects[NAME].commits[request.head]["Dockerfile"]


def test_what_waits_is_said_in_what_is_proposed(world: Installation) -> None:
    world.forge.create(NAME, FLOATING)
    world.sweep(Trigger.SCHEDULED)
    world.forge.settle(NAME, 1, RequestState.MERGED)
    world.later(days=1)
    world.sweep(Trigger.SCHEDULED)
    world.tag("redis:7")
    world.tag("node:22", "two")
    pinned = world.forge.read(NAME, world.forge.head(NAME, "")[1], ["Dockerfile"])["Dockerfile"]
    world.forge.push(NAME, {"Dockerfile": pinned + b"FROM redis:7\n"})
    world.later(days=1)
    assert world.sweep(Trigger.SCHEDULED) == {"proposed": 1}
    [request] = world.forge.open_requests(NAME)
    assert b"\nFROM redis:7\n" in world.forge.projects[NAME].commits[request.head]["Dockerfile"]
    assert "schedule.first" in request.body
    assert SkipReason.SCHEDULED.value in request.body


def test_a_person_does_not_wait_for_a_day(world: Installation) -> None:
    world.forge.create(NAME, {"README.md": b""})
    world.sweep(Trigger.SCHEDULED)
    world.later(days=1)
    world.forge.push(NAME, FLOATING)
    assert world.sweep(Trigger.SCHEDULED) == {"changed": 1}
    assert world.sweep(Trigger.SCHEDULED) == {"unchanged": 1}
    assert world.sweep() == {"proposed": 1}
    world.later(days=1)
    assert world.sweep(Trigger.SCHEDULED) == {"unchanged": 1}


def test_a_proposal_that_stands_is_never_shrunk(world: Installation) -> None:
    """It was made on a push; its digest moves, and the day of first pins is far away."""
    world.forge.create(NAME, {"README.md": b""})
    world.sweep(Trigger.SCHEDULED)
    head = world.forge.push(NAME, FLOATING)
    world.run(world.job(head=head))
    before = world.proposed()
    world.later(days=1)
    world.tag("node:22", "two")
    assert world.sweep(Trigger.SCHEDULED) == {"proposed": 1}
    assert world.request.number == 1
    assert world.proposed() != before


def test_what_could_not_be_published_on_its_day_is_not_put_off_for_a_week(world: Installation) -> None:
    world.forge.create(NAME, FLOATING)

    def away(what: str) -> None:
        if what == "write":
            raise TransientError("Away.", retry_after=60)

    world.forge.fail = away
    sweep = world.begin(Trigger.SCHEDULED)
    world.work()
    assert world.summary(sweep) == {"postponed": 1}
    world.forge.fail = lambda _what: None
    world.later(minutes=2)
    world.work()
    assert world.summary(sweep) == {"proposed": 1}


def test_a_window_is_kept(world: Installation) -> None:
    config = b"schedule: {first: '* 9-17 * * 1-5', refresh: '* 9-17 * * 1-5'}\n"
    world.forge.create(NAME, {**FLOATING, ".moorline.yml": config})
    assert world.sweep(Trigger.SCHEDULED) == {"changed": 1}, "it is Sunday"
    world.later(hours=21, minutes=30)
    assert world.sweep(Trigger.SCHEDULED) == {"proposed": 1}


def test_refreshes_of_a_week_come_together(world: Installation) -> None:
    """A sweep that finds nothing new on its day has had its turn."""
    config = b"schedule: {refresh: weekly}\n"
    world.forge.create(NAME, {**FLOATING, ".moorline.yml": config})
    world.sweep(Trigger.SCHEDULED)
    world.forge.settle(NAME, 1, RequestState.MERGED)
    world.sweep(Trigger.SCHEDULED)
    world.later(days=7)
    assert world.sweep(Trigger.SCHEDULED) == {"unchanged": 1}
    world.later(days=1)
    world.tag("node:22", "two")
    assert world.sweep(Trigger.SCHEDULED) == {"changed": 1}
    world.later(days=1)
    assert world.sweep(Trigger.SCHEDULED) == {"unchanged": 1}
    world.later(days=5)
    assert world.sweep(Trigger.SCHEDULED) == {"proposed": 1}


# --- limits -------------------------------------------------------------------------------


def test_first_proposals_are_paced_and_the_rest_follows(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        world = Installation(store, server=parse("p.yml", b"limits: {first-per-day: 2}", policy=True))
        world.populate(5)
        sweep = world.begin()
        world.work()
        assert world.summary(sweep) == {"proposed": 2, "postponed": 3}
        soon = world.now.replace(hour=17)
        assert world.store.sweeps.pending(sweep.id, soon) == 0
        world.later(days=1)
        world.work()
        assert world.summary(sweep) == {"proposed": 4, "postponed": 1}
        world.later(days=1)
        world.work()
        assert world.summary(sweep) == {"proposed": 5}
