"""How often something is said: floods of comments and of pushes get what an hour has for them, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import linking
import pytest
from conversing import NAME, World

from bot.forges.base import Reaction, Role
from bot.model import Conclusion
from bot.runs import Manners
from bot.runs.answering import kept
from bot.store.sql import Store

FLOATING = {"Dockerfile": b"FROM node:22\nFROM redis:7\n"}


@pytest.fixture(params=["github", "gitlab"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        made = World(store, name=request.param, manners=Manners(answers_per_hour=12, reviews_per_hour=3))
        made.create(FLOATING)
        yield made


# --- answers ------------------------------------------------------------------------------


@pytest.mark.parametrize(("per_hour", "of_them"), [(0, 0), (1, 0), (2, 1), (4, 2), (8, 3), (12, 3), (60, 15)])
def test_a_quarter_is_kept(per_hour: int, of_them: int) -> None:
    assert kept(per_hour) == of_them


def test_strangers_cannot_use_up_what_is_kept_for_people_who_write(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    crowd = [f"rae{number}" for number in range(5)]
    world.forge.projects[NAME].roles.update(dict.fromkeys(crowd, Role.READ))
    flood = [world.say("@moorline status", crowd[number % 5]) for number in range(40)]
    assert [len(one.answers) for one in flood] == [1] * 9 + [0] * 31
    # What was not said is not lost on anybody: the command ran, and the reaction tells.
    assert all(one.reactions == [Reaction.SEEN, Reaction.DONE] for one in flood)
    assert len([one for one in caplog.records if "gets no answer" in one.message]) == 31
    for who in ("wes", "mia", "ada"):
        assert len(world.say("@moorline status", who).answers) == 1
    assert world.say("@moorline status", "ada").answers == []
    assert len(world.say("@moorline pause", "wes").reactions) == 2
    assert world.store.conversations.pause(world.name, NAME, world.now) is not None
    world.now += timedelta(hours=1)
    assert len(world.say("@moorline status", crowd[0]).answers) == 1


def test_whoever_writes_no_more_is_a_stranger_when_the_answer_is_due(world: World) -> None:
    for _ in range(9):
        world.say("@moorline status", "rae")
    world.forge.projects[NAME].roles["wes"] = Role.READ
    assert world.say("@moorline status", "wes").answers == []


def test_people_who_write_have_all_of_the_hour_for_themselves(world: World) -> None:
    assert [len(world.say("@moorline status").answers) for _ in range(14)] == [1] * 12 + [0] * 2


# --- reviews ------------------------------------------------------------------------------


def test_a_flood_of_pushes_gets_a_check_each_and_a_bounded_number_of_reviews(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    project = world.forge.projects[NAME]
    asked = world.forge.propose(NAME, FLOATING)
    for number in range(10):
        world.tag(f"node:{number}")
        head = world.forge.push(NAME, {"other/Dockerfile": f"FROM node:{number}\n".encode()}, asked.branch)
        project.requests[asked.number] = replace(project.requests[asked.number], head=head)
        world.judge(asked.number)
        check = project.checks[head]
        assert f"`node:{number}`" in check.summary
        assert check.conclusion is not Conclusion.SUCCESS
        assert ("No review says this" in check.summary) == (number >= 3)
        linking.is_harmless(check.summary, ("@moorline help", "@moorline ignore IMAGE"))
    assert len(project.reviews[asked.number]) == 3
    # Of what stands, all that is said no more is settled.
    assert len(project.settled) == 3
    assert len([one for one in caplog.records if "a review is left out" in one.message]) == 7
    world.now += timedelta(hours=1, seconds=1)
    world.judge(asked.number)
    assert len(project.reviews[asked.number]) == 4
    assert "No review says this" not in project.checks[project.requests[asked.number].head].summary


def test_the_hour_is_that_of_a_repository_and_a_person_may_ask(world: World) -> None:
    project = world.forge.projects[NAME]
    for number in range(5):
        world.tag(f"node:{number}")
        files = {"other/Dockerfile": f"FROM node:{number}\n".encode()}
        asked = world.forge.propose(NAME, {**FLOATING, **files})
        world.judge(asked.number)
    assert sum(map(len, project.reviews.values())) == 3
    since = world.now - timedelta(hours=1)
    assert world.store.reviews.said_since(world.name, NAME, since) == 3
    assert world.store.reviews.said_since(world.name, "acme/other", since) == 0
    # A look that says nothing new counts for nothing.
    world.judge(project.requests[2].number)
    assert world.store.reviews.said_since(world.name, NAME, since) == 3
    world.run(world.job(ref=f"button/pin/{asked.number}", number=asked.number))
    assert sum(map(len, project.reviews.values())) == 4


def test_what_was_counted_is_forgotten(world: World) -> None:
    world.tag("node:9")
    files = {**FLOATING, "other/Dockerfile": b"FROM node:9\n"}
    asked = world.forge.propose(NAME, files)
    world.judge(asked.number)
    assert world.store.reviews.said_since(world.name, NAME, world.now) == 1
    world.now += timedelta(days=2)
    other = world.forge.propose(NAME, files)
    world.judge(other.number)
    assert world.store.reviews.said_since(world.name, NAME, world.now - timedelta(days=9)) == 1
