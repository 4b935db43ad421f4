"""What runs do at the edges: limits, and a proposal whose branch or base is another one by now."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from test_runs import BRANCH, FLOATING, NAME, World

from bot.config import Config, parse
from bot.errors import ForgeError, MoorlineError, TransientError
from bot.forges.base import RequestState
from bot.model import Trigger
from bot.proposals import branch_name
from bot.runs.acts import Act, Verb, decode, encode
from bot.store.base import ProposalState
from bot.store.sql import Store

PER_IMAGE = b"proposal: {group: image}\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        made = World(store)
        for tag in ("a:1", "b:1", "c:1", "redis:7"):
            made.tag(tag)
        yield made


def dockerfile(*images: str, config: bytes = PER_IMAGE) -> dict[str, bytes]:
    return {".moorline.yml": config, "Dockerfile": "".join(f"FROM {one}\n" for one in images).encode()}


def limited(world: World, limits: str) -> None:
    world.server = parse("policy.yml", f"limits: {{{limits}}}".encode(), policy=True)


def opened(world: World) -> list[str]:
    """Return which images the open requests pin."""
    return sorted(
        name
        for one in world.forge.open_requests(NAME)
        for name in ("a", "b", "c", "node", "redis")
        if f"FROM {name}:".encode() in world.forge.projects[NAME].commits[one.head]["Dockerfile"]
        and any(
            line.startswith(f"FROM {name}:".encode()) and b"@sha256:" in line
            for line in world.forge.projects[NAME].commits[one.head]["Dockerfile"].splitlines()
        )
    )


def sweep(world: World, **said: object) -> None:
    head = world.forge.projects[NAME].branches["main"]
    world.run(world.job(**{"trigger": Trigger.SWEEP, "head": head, **said}))


def told(world: World, number: int) -> None:
    """Let a webhook tell of what a person did with a request."""
    world.run(world.job(ref=f"refs/pull/{number}/head", number=number, trigger=Trigger.PULL_REQUEST))


def test_plans_that_are_made_at_once_share_a_day(world: World) -> None:
    limited(world, "first-per-day: 1, per-day: 1")
    names = (NAME, "acme/two")
    for name in names:
        world.forge.create(name, dockerfile("a:1"))
    plan = world.runs.plan(world.job())
    assert plan is not None
    with pytest.raises(TransientError, match="as many proposals today"):
        world.runs.plan(world.job(repository=names[1]))
    # What could not be opened leaves its place to the next.
    world.forge.projects[NAME].obstacles = ("a rule",)
    with pytest.raises(ForgeError, match="cannot be written"):
        world.runs.publish(plan)
    world.run(world.job(repository=names[1]))
    assert [len(world.forge.open_requests(name)) for name in names] == [0, 1]


# --- limits.open --------------------------------------------------------------------------


def test_what_is_about_to_close_leaves_room(world: World) -> None:
    limited(world, "open: 2")
    world.forge.create(NAME, dockerfile("a:1", "b:1"))
    world.run()
    assert opened(world) == ["a", "b"]
    world.push(dockerfile("a:1", "b:1", config=b""), changed=(".moorline.yml",))
    assert len(world.forge.open_requests(NAME)) == 1
    assert b"a:1@sha256:" in world.proposed()
    assert b"b:1@sha256:" in world.proposed()


def test_a_group_that_vanishes_makes_room_for_another(world: World) -> None:
    limited(world, "open: 1")
    world.forge.create(NAME, dockerfile("a:1", "b:1"))
    world.run()
    assert opened(world) == ["a"]
    world.push(dockerfile("b:1"), changed=("Dockerfile",))
    assert opened(world) == ["b"]


def test_another_grouping_closes_only_what_others_took_the_place_of(world: World) -> None:
    limited(world, "per-day: 2")
    world.forge.create(NAME, dockerfile("a:1", "b:1", config=b""))
    world.run()
    with suppress(TransientError):
        world.push(dockerfile("a:1", "b:1"), changed=(".moorline.yml",))
    # Of the two that take its place one has to wait for tomorrow.
    assert [one.number for one in world.forge.open_requests(NAME)] == [1, 2]
    assert world.forge.projects[NAME].comments == []
    world.now += timedelta(days=1)
    world.run()
    assert [one.number for one in world.forge.open_requests(NAME)] == [2, 3]
    assert opened(world) == ["a", "b"]
    [(number, comment)] = world.forge.projects[NAME].comments
    assert number == 1
    assert "/pull/2, " in comment
    assert "/pull/3" in comment
    assert BRANCH not in world.forge.projects[NAME].branches


def test_another_grouping_at_the_end_of_a_day_closes_nothing(world: World) -> None:
    limited(world, "per-day: 1")
    world.forge.create(NAME, dockerfile("a:1", "b:1", config=b""))
    world.run()
    with suppress(TransientError):
        world.push(dockerfile("a:1", "b:1"), changed=(".moorline.yml",))
    assert [one.number for one in world.forge.open_requests(NAME)] == [1]


def test_another_grouping_on_branches_of_others_closes_nothing(world: World) -> None:
    world.forge.create(NAME, dockerfile("a:1", "b:1", config=b""))
    world.run()
    there = branch_name("main", Config(), "image/docker.io/library/a")
    theirs = world.forge.push(NAME, {"x": b"y"}, there, "main")
    with pytest.raises(ForgeError, match="left alone"):
        world.push(dockerfile("a:1", "b:1"), changed=(".moorline.yml",))
    assert [one.number for one in world.forge.open_requests(NAME)] == [1, 2]
    assert world.forge.projects[NAME].branches[there] == theirs
    del world.forge.projects[NAME].branches[there]
    world.run()
    assert [one.number for one in world.forge.open_requests(NAME)] == [2, 3]


def test_another_grouping_with_room_for_one_goes_on_with_one(world: World) -> None:
    limited(world, "open: 1")
    world.forge.create(NAME, dockerfile("a:1", "b:1", config=b""))
    world.run()
    world.push(dockerfile("a:1", "b:1"), changed=(".moorline.yml",))
    assert opened(world) == ["a"]


@pytest.mark.parametrize("trigger", [Trigger.SWEEP, Trigger.SCHEDULED])
def test_what_waits_for_room_is_found_by_the_next_sweep(world: World, trigger: Trigger) -> None:
    limited(world, "open: 1")
    world.forge.create(NAME, dockerfile("a:1", "b:1"))
    world.run()
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    told(world, 1)
    world.now += timedelta(days=8)
    sweep(world, trigger=trigger)
    assert opened(world) == ["b"]


def test_what_waits_for_room_is_found_by_any_push(world: World) -> None:
    limited(world, "open: 1")
    files = dockerfile("a:1", "b:1")
    world.forge.create(NAME, files)
    world.run()
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    told(world, 1)
    world.push({**files, "main.py": b""}, changed=("main.py",))
    assert opened(world) == ["b"]


def test_once_nothing_waits_a_sweep_costs_nothing_again(world: World) -> None:
    limited(world, "open: 1")
    world.forge.create(NAME, dockerfile("a:1", "b:1"))
    world.run()
    world.push(dockerfile("b:1"), changed=("Dockerfile",))
    world.forge.asked.clear()
    sweep(world)
    assert not world.forge.asked


def test_the_limit_is_the_repositorys_over_all_bases(world: World) -> None:
    limited(world, "open: 2")
    files = dockerfile("a:1", "b:1", config=PER_IMAGE + b"refs: [release/*]\n")
    world.forge.create(NAME, files)
    world.run()
    head = world.forge.push(NAME, files, "release/1")
    world.run(world.job(ref="release/1", head=head))
    assert [one.base for one in world.forge.open_requests(NAME)] == ["main", "main"]
    world.push(dockerfile("b:1", config=PER_IMAGE + b"refs: [release/*]\n"), changed=("Dockerfile",))
    world.run(world.job(ref="release/1", head=head, trigger=Trigger.SWEEP))
    assert [one.base for one in world.forge.open_requests(NAME)] == ["main", "release/1"]


# --- limits.per-day -----------------------------------------------------------------------


def postponed(world: World) -> float | None:
    """Run, and return for how long it is postponed."""
    try:
        world.run()
    except TransientError as error:
        return error.retry_after
    return None


def test_a_days_limit_lets_through_what_fits(world: World) -> None:
    limited(world, "open: 10, per-day: 2")
    world.forge.create(NAME, dockerfile("a:1", "b:1", "c:1"))
    assert postponed(world) == 12 * 3600
    assert opened(world) == ["a", "b"]
    assert postponed(world) == 12 * 3600
    assert opened(world) == ["a", "b"]
    world.now += timedelta(days=1)
    assert postponed(world) is None
    assert opened(world) == ["a", "b", "c"]
    assert postponed(world) is None


def test_a_days_limit_keeps_nobody_from_updating_and_closing(world: World) -> None:
    limited(world, "open: 10, per-day: 2")
    world.forge.create(NAME, dockerfile("a:1", "b:1"))
    world.run()
    before = {one.branch: one.head for one in world.forge.open_requests(NAME)}
    world.tag("a:1", "two")
    with pytest.raises(TransientError):
        world.push(dockerfile("a:1", "c:1"))
    assert opened(world) == ["a"]
    assert world.request.head != before[world.request.branch]


def test_a_schedules_turn_is_not_used_up_by_a_days_limit(world: World) -> None:
    limited(world, "open: 10, per-day: 1")
    world.forge.create(NAME, dockerfile("a:1", "b:1"))
    with pytest.raises(TransientError):
        sweep(world, trigger=Trigger.SCHEDULED)
    world.now += timedelta(days=1)
    sweep(world, trigger=Trigger.SCHEDULED)
    assert opened(world) == ["a", "b"]


def test_a_repository_that_waits_for_its_first_is_not_read_again(world: World) -> None:
    limited(world, "first-per-day: 1")
    world.forge.create("acme/other", FLOATING)
    world.run(world.job(repository="acme/other"))
    world.forge.create(NAME, FLOATING)
    assert postponed(world) == 12 * 3600
    world.forge.asked.clear()
    assert postponed(world) == 12 * 3600
    assert {*world.forge.asked} <= {"head", "repository"}
    # The owner's own configuration may have changed by then: a first one fits tomorrow.
    world.now += timedelta(days=1)
    assert postponed(world) is None
    assert world.request.number == 1


def test_a_repository_without_anything_to_propose_waits_for_nobody(world: World) -> None:
    limited(world, "first-per-day: 1")
    world.forge.create("acme/other", FLOATING)
    world.run(world.job(repository="acme/other"))
    world.forge.create(NAME, {"README": b""})
    assert postponed(world) is None


def test_a_plan_says_when_it_is_looked_at_again() -> None:
    acts = (
        Act(Verb.PUBLISH, "p1"),
        Act(Verb.CLOSE, "p2@c0ffee"),
        Act(Verb.CLOSE, "p3", "unfollowed"),
        Act(Verb.AGAIN, "limit", "60"),
        Act(Verb.AGAIN),
    )
    text = encode(acts)
    assert text is not None
    assert decode(text) == acts
    assert decode("p1 close:p2 again:") == (Act(Verb.PUBLISH, "p1"), Act(Verb.CLOSE, "p2"), Act(Verb.AGAIN))


# --- another branch -----------------------------------------------------------------------

MOVED = {**FLOATING, ".moorline.yml": b"proposal: {branch-prefix: bots/}\n"}


def test_another_prefix_moves_the_proposal(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.push(MOVED, changed=(".moorline.yml",))
    project = world.forge.projects[NAME]
    assert (world.request.number, world.request.branch) == (2, "bots/pin/main")
    [(number, text)] = project.comments
    assert number == 1
    assert "bots/pin/main" in text
    assert BRANCH not in project.branches
    assert world.store.proposals.declined("github", NAME, "main") == frozenset()
    told(world, 1)
    assert world.store.proposals.declined("github", NAME, "main") == frozenset()
    world.tag("node:22", "two")
    world.run()
    assert world.request.number == 2


@pytest.mark.parametrize("what", ["close", "delete", "write", "open"])
def test_another_prefix_and_a_crash_leave_one_request(world: World, what: str) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.forge.push(NAME, MOVED)

    def killed(done: str) -> None:
        if done == what:
            raise KeyboardInterrupt

    world.forge.fail = killed
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert len(world.forge.open_requests(NAME)) <= 1
    world.forge.fail = lambda _what: None
    world.run()
    assert world.request.branch == "bots/pin/main"


def test_another_prefix_leaves_what_a_person_committed_to(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.forge.push(NAME, {"theirs": b""}, BRANCH)
    with pytest.raises(ForgeError, match="left alone"):
        world.push(MOVED, changed=(".moorline.yml",))
    assert (world.request.number, world.request.branch) == (1, BRANCH)


@pytest.mark.parametrize("obstacle", ["rule", "squatted"])
def test_another_prefix_that_cannot_be_used_closes_nothing(world: World, obstacle: str) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    if obstacle == "rule":
        world.forge.projects[NAME].obstacles = ("branches must begin with feature/",)
    else:
        world.forge.push(NAME, {"theirs": b""}, "bots/pin/main")
    with pytest.raises(ForgeError):
        world.push(MOVED, changed=(".moorline.yml",))
    assert (world.request.number, world.request.branch) == (1, BRANCH)


# --- another base -------------------------------------------------------------------------


def test_a_base_that_is_followed_no_more_keeps_nothing_open(world: World) -> None:
    files = {**FLOATING, ".moorline.yml": b"refs: [release/*]\n"}
    world.forge.create(NAME, files)
    world.run()
    head = world.forge.push(NAME, files, "release/1")
    world.run(world.job(ref="release/1", head=head))
    world.push(FLOATING, changed=(".moorline.yml",))
    assert [one.base for one in world.forge.open_requests(NAME)] == ["main"]
    [(number, text)] = world.forge.projects[NAME].comments
    assert number == 2
    assert "release/1" in text
    # Its own configuration names it still: the default branch's has the word.
    world.run(world.job(ref="release/1", trigger=Trigger.SWEEP))
    assert [one.base for one in world.forge.open_requests(NAME)] == ["main"]


def test_a_base_that_does_not_name_itself_keeps_nothing_open(world: World) -> None:
    files = {**FLOATING, ".moorline.yml": b"refs: [release/*]\n"}
    world.forge.create(NAME, files)
    world.run()
    head = world.forge.push(NAME, files, "release/1")
    world.run(world.job(ref="release/1", head=head))
    head = world.forge.push(NAME, FLOATING, "release/1")
    world.run(world.job(ref="release/1", head=head))
    assert [one.base for one in world.forge.open_requests(NAME)] == ["main"]


@pytest.mark.parametrize("trigger", [Trigger.INSTALLED, Trigger.SWEEP])
def test_another_default_branch_takes_the_proposal_along(world: World, trigger: Trigger) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    project = world.forge.projects[NAME]
    head = world.forge.push(NAME, FLOATING, "trunk", "main")
    project.default = "trunk"
    world.store.repositories.record("github", world.forge.repository(NAME), world.now)
    world.run(world.job(ref="trunk", head=head, trigger=trigger))
    assert [one.base for one in world.forge.open_requests(NAME)] == ["trunk"]
    assert world.store.proposals.declined("github", NAME, "main") == frozenset()


def test_a_default_branch_that_was_followed_before_takes_the_word(world: World) -> None:
    """Nothing moved on it, and a sweep would call it unchanged."""
    files = {**FLOATING, ".moorline.yml": b"refs: [trunk]\n"}
    world.forge.create(NAME, files)
    world.run()
    head = world.forge.push(NAME, files, "trunk", "main")
    world.run(world.job(ref="trunk", head=head))
    world.forge.projects[NAME].default = "trunk"
    world.store.repositories.record("github", world.forge.repository(NAME), world.now)
    world.run(world.job(ref="trunk", head=head, trigger=Trigger.SWEEP))
    assert [one.base for one in world.forge.open_requests(NAME)] == ["trunk"]


def test_a_base_that_was_renamed_closes_what_the_forge_aimed_anew(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    project = world.forge.projects[NAME]
    project.branches["trunk"] = project.branches.pop("main")
    project.default = "trunk"
    project.requests[1] = replace(project.requests[1], base="trunk")
    world.run(world.job(ref="", trigger=Trigger.INSTALLED))
    assert [(one.number, one.base) for one in world.forge.open_requests(NAME)] == [(2, "trunk")]
    assert [number for number, _ in project.comments] == [1]


def test_a_request_that_a_person_aimed_elsewhere_is_left_alone_and_that_is_said_once(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    project = world.forge.projects[NAME]
    world.forge.push(NAME, FLOATING, "dev", "main")
    before = project.requests[1] = replace(project.requests[1], base="dev")
    told(world, 1)
    for content in ("two", "three"):
        world.tag("node:22", content)
        with pytest.raises(ForgeError, match="left alone"):
            world.run()
    assert world.forge.open_requests(NAME) == [before]
    assert [number for number, _ in project.sticky.values()] == [1]
    assert "dev" in world.store.proposals.standing("github", NAME)[0].detail
    project.requests[1] = replace(before, base="main")
    world.run()
    assert world.request.number == 1
    assert world.request.head != before.head
    assert not project.sticky


def test_a_request_that_was_aimed_elsewhere_and_closed_is_declined(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    project = world.forge.projects[NAME]
    world.forge.push(NAME, FLOATING, "dev", "main")
    project.requests[1] = replace(project.requests[1], base="dev", state=RequestState.CLOSED)
    world.tag("node:22", "two")
    world.run()
    assert world.forge.open_requests(NAME) == []


def test_nothing_left_does_not_close_what_a_person_aimed_elsewhere(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    project = world.forge.projects[NAME]
    world.forge.push(NAME, FLOATING, "dev", "main")
    project.requests[1] = replace(project.requests[1], base="dev")
    world.push({"README": b""}, changed=("Dockerfile",))
    assert world.request.base == "dev"
    assert BRANCH in project.branches


# --- what a person closed -----------------------------------------------------------------

WORKFLOW = b"jobs:\n  a:\n    runs-on: x\n    container: %s\n"


def compose(**images: str) -> dict[str, bytes]:
    lines = [f"  {name}:\n    image: {image}\n" for name, image in images.items()]
    return {"compose.yml": ("services:\n" + "".join(lines)).encode()}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            {".github/workflows/c.yml": WORKFLOW % b"node:22"},
            {".github/workflows/c.yml": WORKFLOW % b"{image: node:22}"},
        ),
        (compose(a="node:22"), compose(b="node:22")),
        (compose(a="node:22", b="node:22"), compose(b="node:22", c="node:22")),
        ({"Dockerfile": b"FROM node:22\n"}, {"Dockerfile": b"FROM node:22 AS a\n"}),
    ],
)
def test_what_was_closed_stays_closed_at_another_place_of_its_file(
    world: World, old: dict[str, bytes], new: dict[str, bytes]
) -> None:
    world.forge.create(NAME, old)
    world.run()
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    told(world, 1)
    world.push(new)
    assert world.forge.open_requests(NAME) == []


@pytest.mark.parametrize(
    "new",
    [
        compose(a="node:22", b="node:22"),
        compose(b="redis:7"),
        {**compose(a="node:22"), **FLOATING},
    ],
)
def test_what_is_new_is_proposed_although_something_was_closed(world: World, new: dict[str, bytes]) -> None:
    world.forge.create(NAME, compose(a="node:22"))
    world.run()
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    told(world, 1)
    world.push(new)
    assert world.request.number == 2


def test_a_place_with_a_fate_of_its_own_does_not_inherit_another(world: World) -> None:
    """One service was declined and went; the other one's pin was merged, and is missed again."""
    world.forge.create(NAME, compose(a="node:22"))
    world.run()
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    told(world, 1)
    world.push(compose(a="node:22", b="node:22"))
    world.forge.settle(NAME, 2, RequestState.MERGED)
    told(world, 2)
    world.push(compose(b="node:22"))
    assert world.request.number == 3


def test_an_open_proposal_does_not_inherit_what_was_declined(world: World) -> None:
    world.forge.create(NAME, compose(a="node:22"))
    world.run()
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    told(world, 1)
    world.push(compose(a="node:22", b="node:22"))
    world.push(compose(b="node:22"))
    assert world.request.number == 2


# --- a branch that was merged -------------------------------------------------------------


def test_a_merged_branch_that_was_kept_is_used_again(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    project = world.forge.projects[NAME]
    theirs = world.forge.push(NAME, {**FLOATING, "theirs": b""}, BRANCH)
    project.requests[1] = replace(project.requests[1], head=theirs, state=RequestState.MERGED)
    project.branches["main"] = theirs
    told(world, 1)
    world.push({"Dockerfile": b"FROM redis:7\n"}, changed=("Dockerfile",))
    assert world.request.number == 2
    assert b"redis:7@sha256:" in world.proposed()


def test_a_merged_branch_with_more_on_it_is_left_and_the_truth_is_said(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    theirs = world.forge.push(NAME, {**FLOATING, "theirs": b""}, BRANCH)
    world.forge.settle(NAME, 1, RequestState.MERGED)  # squashed: the branch's own commits are nowhere else
    told(world, 1)
    with pytest.raises(ForgeError, match=r"was merged.*Delete the branch"):
        world.push({"Dockerfile": b"FROM redis:7\n"}, changed=("Dockerfile",))
    assert world.forge.projects[NAME].branches[BRANCH] == theirs
    assert world.store.proposals.counts()[ProposalState.MERGED.value] == 1


def test_nothing_is_asked_by_number_where_all_is_as_it_was(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.tag("node:22", "two")
    world.run()
    with suppress(TransientError):
        sweep(world)
    assert world.forge.asked["request"] == 0


def test_whatever_people_move_there_is_one_open_request_at_most(world: World) -> None:
    """Every order of moving branches and bases about, with crashes between."""
    limited(world, "first-per-day: 1000, per-day: 10000")
    counted = itertools.count()
    moves = ("prefix", "aim", "close", "merge", "kill")
    seen: set[int] = set()
    for number, acts in enumerate(itertools.permutations(moves, 3)):
        name = f"acme/app{number}"
        world.forge.create(name, FLOATING)
        world.forge.push(name, FLOATING, "dev", "main")
        project = world.forge.projects[name]
        world.run(world.job(repository=name))
        for act in (*acts, "prefix", "aim back", "tag"):
            requests = world.forge.open_requests(name)
            match act:
                case "tag":
                    world.tag("node:22", str(next(counted)))
                case "prefix":
                    config = f"proposal: {{branch-prefix: b{next(counted)}/}}\n".encode()
                    world.forge.push(name, {**FLOATING, ".moorline.yml": config})
                case "aim" | "aim back" if requests:
                    base = "dev" if act == "aim" else "main"
                    project.requests[requests[0].number] = replace(requests[0], base=base)
                case "close" if requests:
                    world.forge.settle(name, requests[0].number, RequestState.CLOSED)
                case "merge" if requests:
                    world.forge.settle(name, requests[0].number, RequestState.MERGED)
                case "kill":
                    world.forge.fail = _killed
            with suppress(KeyboardInterrupt, MoorlineError):
                world.run(world.job(repository=name))
            world.forge.fail = lambda _what: None
            assert len(world.forge.open_requests(name)) <= 1, acts
        if "close" not in acts:
            assert len(world.forge.open_requests(name)) == 1, acts
        seen.add(max(project.requests))
    assert len(seen) > 1


def _killed(_what: str) -> None:
    raise KeyboardInterrupt
