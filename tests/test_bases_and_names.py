"""What nobody may take for a person's word: a base that went away, a name that passed on, a repository out of sight."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import databases
import pytest
from scenario_places import Can
from scenarios import Repo, Rig, Scene, rig, scene
from test_runs import FLOATING, NAME, World

from bot.forges.base import RequestState
from bot.model import NOWHERE, Job, Trigger
from bot.runs.errands import ForgeErrands
from bot.store.base import Ending, ProposalState
from bot.store.sql import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        yield World(store)


@pytest.fixture(scope="module", params=["github", "gitlab"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture
def here(running: Rig) -> Iterator[Scene]:
    with scene(running) as made:
        yield made


def dockerfile(*images: str | bytes) -> bytes:
    names = [one.encode() if isinstance(one, str) else one for one in images]
    return b"".join(b"FROM %s\n" % name for name in names)


# --- a base that went away ----------------------------------------------------------------


@pytest.mark.parametrize("told", ["at once", "backwards"])
def test_a_base_that_was_made_again_before_anybody_looked_declines_nothing(here: Scene, told: str) -> None:
    tool = here.image()
    app = here.repository({"Dockerfile": dockerfile(tool), ".moorline.yml": b"refs: [rel]\n"})
    app.push({"README": b"x\n"}, "rel")
    here.place.drop(app.name, "rel")
    here.place.push(app.name, {"Dockerfile": dockerfile(tool) + b"USER 1\n"}, "rel", start="main")
    if told == "backwards":
        here.place.turn_round()
    here.rig.tell(in_turn=told == "backwards")
    app.push({"Dockerfile": dockerfile(tool) + b"USER 2\n"}, "rel")
    assert app.proposal.base == "rel"
    assert app.proposed().endswith(b"USER 2\n")
    # What a person closes from then on is that person's word.
    app.settle(app.proposal, "closed")
    here.move(tool)
    app.push({"Dockerfile": dockerfile(tool) + b"USER 3\n"}, "rel")
    assert app.open() == []


def test_a_push_and_the_deletion_of_its_branch_told_together(world: World) -> None:
    files = {".moorline.yml": b"refs: [release]\n", **FLOATING}
    world.forge.create(NAME, files)
    world.run()
    world.run(world.job(ref="release", head=world.forge.push(NAME, files, "release", "main")))
    assert len(world.forge.open_requests(NAME)) == 2
    head = world.forge.push(NAME, {**files, "Dockerfile.x": b"FROM scratch\n"}, "release")
    del world.forge.projects[NAME].branches["release"]
    world.run(world.job(ref="release", head=head))
    assert [one.base for one in world.forge.open_requests(NAME)] == ["main"]


def test_a_deletion_takes_the_place_of_a_push_that_waits(world: World) -> None:
    world.store.inbox.want((world.job(ref="rel", head="a" * 40, changed=()),), NOW)
    world.store.inbox.want((world.job(ref="rel", head=NOWHERE),), NOW)
    [waits] = world.store.backlog.waits(9)
    assert (waits.job.head, waits.job.changed) == ("", None)


@pytest.mark.parametrize(("minutes", "declined"), [(5, False), (90, True)])
def test_a_refusal_just_before_its_base_went_away_is_none(world: World, minutes: int, declined: bool) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    world.run(world.job(ref="refs/pull/1/head", number=1, trigger=Trigger.PULL_REQUEST))
    assert world.store.proposals.declined("github", NAME, "main")
    world.store.inbox.want((world.job(head=NOWHERE),), world.now + timedelta(minutes=minutes))
    assert bool(world.store.proposals.declined("github", NAME, "main")) is declined
    world.run()
    assert (world.forge.open_requests(NAME) == []) is declined


# --- what a branch that is left alone can be done about ------------------------------------


@pytest.mark.parametrize("how", ["closed", "merged"])
def test_what_is_advised_about_a_branch_that_is_left_alone_is_true(here: Scene, how: str) -> None:
    tool, other = here.image(), here.image("other")
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    mine = app.proposal
    app.push({"theirs": b"x\n"}, mine.branch)
    app.push({"Dockerfile": dockerfile(tool) + b"USER 1\n"})
    [comment] = app.comments(mine)
    advice = re.search(
        r"Merge it, or say `@[A-Za-z0-9_.-]+ recreate` on it: Moorline takes over again and drops those commits\. "
        r"Closing it declines what it pins\.",
        comment,
    )
    assert advice is not None
    assert advice[0] in app.details()[-1]  # both places say the same
    if how == "merged":
        app.push({"Dockerfile": dockerfile(tool)})
    app.settle(mine, how)
    app.push({"Dockerfile.b": dockerfile(tool, other)})
    if how == "closed":  # their commit is still in the way of what is new
        assert "Delete the branch, and Moorline goes on." in app.details()[-1]
        app.drop(mine.branch)
        app.push({"Dockerfile.b": dockerfile(tool, other) + b"USER 2\n"})
    assert app.proposed("Dockerfile.b").startswith(dockerfile(here.pin(tool), here.pin(other)))
    unpinned = how == "closed"
    assert (app.proposed() == dockerfile(tool) + b"USER 1\n") is unpinned
    assert (here.pin(tool) in app.proposed()) is not unpinned


# --- a name that passed on ----------------------------------------------------------------


@pytest.mark.parametrize("backend", databases.BACKENDS)
def test_a_repository_with_two_names_runs_once_at_a_time(tmp_path: Path, backend: str) -> None:
    def wants(name: str, identity: str, ref: str = "main") -> Job:
        return Job(forge="github", repository=name, ref=ref, trigger=Trigger.PUSH, identity=identity)

    with Store(databases.url(backend, tmp_path)) as store:
        jobs = (wants("acme/old", "7"), wants("acme/new", "7"), wants("acme/x", ""), wants("acme/y", ""))
        store.inbox.want(jobs, NOW)
        first = store.backlog.claim("one", 9, NOW)
        assert sorted(one.job.repository for one in first) == ["acme/new", "acme/x", "acme/y"]
        assert store.backlog.claim("two", 9, NOW) == ()
        [mine] = [one for one in first if one.job.identity]
        store.backlog.settle(mine.run, Ending.NOTHING, "", NOW)
        assert [one.job.repository for one in store.backlog.claim("two", 9, NOW)] == ["acme/old"]


@pytest.mark.parametrize("ours", [True, False])
def test_what_nobody_told_of_is_not_believed_of_another_repository(world: World, *, ours: bool) -> None:
    """Two repositories swapped their names, and the weekly question about fates comes first."""
    forge = world.forge
    other = "acme/other"
    forge.create(NAME, FLOATING)
    world.run()
    forge.create(other, FLOATING if ours else {"README": b"x"})
    if ours:
        world.run(world.job(repository=other))
    else:
        assert forge.propose(other, {"README": b"y"}).number == world.request.number
    forge.settle(other, 1, RequestState.CLOSED)
    forge.projects[NAME], forge.projects[other] = forge.projects[other], forge.projects[NAME]
    world.run(world.job(ref="refs/pull/1/head", trigger=Trigger.CATCH_UP, number=1, identity="1"))
    for name in (NAME, other, NAME):
        world.run(world.job(repository=name, ref="", trigger=Trigger.INSTALLED))
    assert not world.store.proposals.declined("github", other, "main")
    [mine] = world.store.proposals.standing("github", other)
    assert mine.number == 1


def test_the_question_about_a_fate_says_whose(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    errands = ForgeErrands(world.store, world.served, lambda *_: None, clock=lambda: world.now)
    errands.run(Job(forge="github", repository="", ref="catch-up", trigger=Trigger.CATCH_UP), world.forge)
    [asked] = [one.job for one in world.store.backlog.waits(9) if one.job.number]
    assert asked.identity == world.forge.projects[NAME].id


def test_a_push_that_got_lost_under_a_new_name_is_caught_up_with(world: World) -> None:
    forge, new = world.forge, "acme/new"
    forge.create(NAME, {"README": b""})
    world.run()
    forge.rename(NAME, new)
    forge.push(new, FLOATING)
    request = forge.propose(new, {**FLOATING, "x": b""})
    ref = f"refs/pull/{request.number}/head"
    world.run(world.job(ref=ref, trigger=Trigger.PULL_REQUEST, number=request.number))
    world.now += timedelta(hours=2)
    errands = ForgeErrands(world.store, world.served, lambda *_: None, clock=lambda: world.now)
    errands.run(Job(forge="github", repository="", ref="catch-up", trigger=Trigger.CATCH_UP), forge)
    assert (new, "main") in {(one.job.repository, one.job.ref) for one in world.store.backlog.waits(9)}


# --- out of sight -------------------------------------------------------------------------


@pytest.fixture
def app(here: Scene) -> Repo:
    """A repository with two images, and another one that keeps the installation alive."""
    here.needs(Can.INSTALLS)
    here.repository({"README": b""}, "keep")
    made = here.repository({"Dockerfile": dockerfile(here.image("a"), here.image("b"))})
    made.push({"README": b"x\n"})
    return made


def away(here: Scene, app: Repo, files: Mapping[str, bytes], branch: str = "main") -> None:
    """Take a repository out of sight while somebody pushes, and show it again."""
    hub = here.place.hub  # type: ignore[attr-defined]  # only where installations are narrowed
    installation = hub.world.installation_of(hub[app.name])
    here.place.hide(app.name)
    here.rig.tell()
    here.place.push(app.name, files, branch)
    here.place.forget()
    hub.select(installation, add=[app.name])
    here.rig.tell()


def test_what_was_pinned_by_hand_while_we_were_away_is_closed(here: Scene, app: Repo) -> None:
    away(here, app, {"Dockerfile": dockerfile(here.pin(here.image("a")), here.pin(here.image("b")))})
    assert app.open() == []
    assert app.states() == [ProposalState.SUPERSEDED]


@pytest.mark.parametrize(
    ("config", "count"), [(b"proposal: {group: image}\n", 2), (b"proposal: {branch-prefix: pins/}\n", 1)]
)
def test_what_was_configured_while_we_were_away_moves_what_stands(
    here: Scene, app: Repo, config: bytes, count: int
) -> None:
    away(here, app, {".moorline.yml": config})
    assert len(app.open()) == count


def test_other_branches_are_looked_at_again_as_well(here: Scene, app: Repo) -> None:
    app.push({".moorline.yml": b"refs: [rel]\n"})
    app.push({"README": b"y\n"}, "rel")
    [found] = [one for one in app.open() if one.base == "rel"]
    away(here, app, {"Dockerfile": dockerfile(here.image("a"), here.image("b")) + b"USER 1\n"}, "rel")
    [again] = [one for one in app.open() if one.base == "rel"]
    assert (again.number, again.head == found.head) == (found.number, False)
