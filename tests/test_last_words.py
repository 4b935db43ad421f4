"""The later word counts: whichever is heard first, and of two in one comment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conversing import NAME, World
from hosted import Hosted

from bot import cron
from bot.config import parse
from bot.forges.base import Comment, Reaction, RequestState
from bot.runs import Manners
from bot.store.base import ProposalState
from bot.store.sql import Store

FLOATING = {"Dockerfile": b"FROM node:22\nFROM redis:7\n"}
DELEGATED = (
    b"delegate: [allow]\nregistries:\n  allow: [quay.io]\ntrust:\n  checks:\n    registries: require\n"
)
ALLOW = "@moorline allow node:22 until 2026-04-01 because x"


@pytest.fixture(params=["github", "gitlab"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        made = World(store, name=request.param)
        made.create(FLOATING)
        yield made


@pytest.fixture(params=["github", "gitlab"])
def choosy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A server whose registries are few, and a request of a person's on which exceptions are asked for."""
    with Store(f"sqlite:///{tmp_path}/choosy.db") as store:
        world = World(store, name=request.param, server=parse("policy.yml", DELEGATED, policy=True))
        world.create(FLOATING)
        world.forge.propose(NAME, {**FLOATING, "more": b"x\n"})
        yield world


def lost(world: World, text: str, by: str = "wes", number: int = 1) -> Comment:
    """Let somebody say what nobody tells of for now."""
    comment = world.forge.say(NAME, number, text, by)
    world.now += timedelta(minutes=5)
    return comment


def found(world: World, comment: Comment) -> str:
    """Catch up with what was lost; return the answer."""
    world.run(world.heard(comment))
    [answer] = world.forge.projects[NAME].heard[comment.ref].answers
    return answer


def is_late(world: World, comment: Comment) -> bool:
    answer = found(world, comment)
    confused = world.forge.projects[NAME].heard[comment.ref].reactions[-1] is Reaction.CONFUSED
    return confused and "after a later word" in answer


def kinds(world: World) -> list[str]:
    return [one.what for one in world.store.decisions.of(world.name, NAME, world.now)]


def test_a_late_allow_does_not_undo_disallow(choosy: World) -> None:
    [number] = [one.number for one in choosy.forge.open_requests(NAME) if not one.ours]
    late = lost(choosy, ALLOW, "mia", number)
    choosy.say("@moorline disallow node:22", "mia", number)
    assert is_late(choosy, late)
    assert kinds(choosy) == []
    choosy.say(ALLOW, "mia", number)  # whoever means it says it again
    assert kinds(choosy) == ["allow"]


def test_a_late_disallow_does_not_undo_allow(choosy: World) -> None:
    [number] = [one.number for one in choosy.forge.open_requests(NAME) if not one.ours]
    late = lost(choosy, "@moorline disallow node:22", "mia", number)
    choosy.say(ALLOW, "mia", number)
    assert is_late(choosy, late)
    assert kinds(choosy) == ["allow"]


@pytest.mark.parametrize("word", ["pause", "snooze 7d", "resume"])
def test_a_late_pause_is_none(world: World, word: str) -> None:
    late = lost(world, f"@moorline {word}")
    for later in ("pause", "resume") if word != "resume" else ("pause",):
        world.say(f"@moorline {later}")
    before = world.store.conversations.pause(world.name, NAME, world.now)
    assert is_late(world, late)
    assert world.store.conversations.pause(world.name, NAME, world.now) == before
    assert (before is None) is (word != "resume")


def test_a_word_that_is_late_for_nothing_counts(world: World) -> None:
    late = lost(world, "@moorline pause")
    world.say("@moorline ignore node:22 because x")
    assert "I propose nothing" in found(world, late)


@pytest.mark.parametrize("later", ["pin", "pin node:22"])
def test_a_late_ignore_does_not_undo_pin(world: World, later: str) -> None:
    late = lost(world, "@moorline ignore node:22 because x")
    world.say(f"@moorline {later}")
    assert is_late(world, late)
    assert kinds(world) == []


def test_a_late_pin_does_not_undo_ignore(world: World) -> None:
    named, every = lost(world, "@moorline pin node:22"), lost(world, "@moorline pin")
    world.say("@moorline ignore node:22 because x")
    assert is_late(world, named)
    found(world, every)
    assert kinds(world) == ["ignore"]


def test_a_late_close_does_not_undo_recreate_nor_the_other_way(world: World) -> None:
    close = lost(world, "@moorline close")
    world.say("@moorline recreate")
    assert is_late(world, close)
    assert [one.number for one in world.open] == [1]
    recreate, pin = lost(world, "@moorline recreate"), lost(world, "@moorline pin")
    world.say("@moorline close")
    assert is_late(world, recreate)
    found(world, pin)
    assert world.open == []


# --- in one comment -----------------------------------------------------------------------


@pytest.mark.parametrize("later", ["recreate", "pin", "pin all", "pin node:22", "rebase"])
def test_what_is_wanted_again_in_the_same_comment_stays_open(world: World, later: str) -> None:
    [answer] = world.say(f"@moorline close\n@moorline {later}").answers
    assert "a later line of your comment wants it" in answer
    assert [one.number for one in world.open] == [1]
    world.say(f"@moorline {later}\n@moorline close")
    assert world.open == []


def test_a_close_for_what_another_line_does_not_want_counts(world: World) -> None:
    world.say("@moorline close\n@moorline status")
    assert world.open == []


def test_of_pause_and_resume_the_later_counts(world: World) -> None:
    world.say("@moorline pause\n@moorline resume")
    assert world.store.conversations.pause(world.name, NAME, world.now) is None
    world.say("@moorline resume\n@moorline pause")
    assert world.store.conversations.pause(world.name, NAME, world.now) is not None


# --- what an answer promises --------------------------------------------------------------


@pytest.mark.parametrize("word", ["rebase", "recreate", "pin", "recheck"])
def test_during_a_pause_nothing_is_promised_for_now(world: World, word: str) -> None:
    world.say("@moorline pause")
    files = {"Dockerfile": b"FROM node:22\nFROM redis:7\nFROM alpine:3\n"}
    world.tag("alpine:3")
    world.forge.push(NAME, files, "main")
    other = world.forge.propose(NAME, {**files, "more": b"x\n"})
    [answer] = world.say(f"@moorline {word}").answers
    assert "I am paused here" in answer
    assert b"alpine:3@" not in world.proposed()
    world.say("@moorline resume", number=other.number)
    assert b"alpine:3@" in world.proposed()
    [answer] = world.say(f"@moorline {word}").answers
    assert "I am paused here" not in answer


def test_whoever_disallows_is_told_of_a_branch_that_is_somebody_s(choosy: World) -> None:
    world = choosy
    [number] = [one.number for one in world.forge.open_requests(NAME) if not one.ours]
    world.say(ALLOW, "mia", number)
    [kept] = [one for one in world.open if "configuration" in one.branch]
    project = world.forge.projects[NAME]
    head = world.forge.push(NAME, {**project.commits[kept.head], "note": b"x\n"}, kept.branch)
    project.requests[kept.number] = replace(kept, head=head)
    [answer] = world.say("@moorline disallow node:22", "mia", number).answers
    mark = "!" if world.name == "gitlab" else "#"
    assert f"do not merge {mark}{kept.number}" in answer
    assert "take it out there, or close it" in answer
    assert kinds(world) == []


@pytest.mark.parametrize("when", ["before it runs", "while it runs"])
def test_what_was_merged_before_it_is_closed_is_merged(
    world: World, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    comment = world.forge.say(NAME, 1, "@moorline close", "wes")
    plan = None
    if when == "while it runs":
        plan = world.runs.plan(world.heard(comment))
        monkeypatch.setattr(Hosted, "close", lambda *_: None)  # as forges do with what is merged
    world.forge.settle(NAME, 1, RequestState.MERGED)
    if plan is not None:
        world.runs.publish(plan)
    else:
        assert "not open any more" in found(world, comment)
    stored = world.store.proposals.by_number(world.name, NAME, 1)
    assert stored is not None
    assert stored.state is ProposalState.MERGED
    assert not world.store.proposals.declined(world.name, NAME, "main")


def test_what_is_refused_because_it_floats_is_said_so(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/strict.db") as store:
        policy = parse("policy.yml", b"guard:\n  floating: fail\n", policy=True)
        world = World(store, server=policy)
        world.create({"README": b"x\n"})
        asked = world.forge.propose(NAME, FLOATING)
        world.judge(asked.number)
        [answer] = world.say(ALLOW, "mia", asked.number).answers
        assert "is refused because it floats, and no check says more" in answer
        assert "`ignore IMAGE because ...`" in answer


def test_status_tells_when_a_sweep_comes_that_may_propose(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/sweeps.db") as store:
        world = World(store, manners=Manners(sweeps=cron.parse("30 5 * * *")))
        world.create(FLOATING)
        [answer] = world.say("@moorline status").answers
        assert world.now < datetime(2026, 3, 2, 5, 30, tzinfo=UTC)
        assert "first pins next on 2026-03-02 05:30 UTC, refreshes on 2026-03-02 05:30 UTC" in answer
