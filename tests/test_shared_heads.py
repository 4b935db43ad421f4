"""One commit, one check, and more than one request that proposes it: the worst of what they are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hosted import Hosted
from test_runs import FLOATING, NAME, World

from bot.errors import ForgeError
from bot.forges.base import Request, RequestState
from bot.model import CheckRun, Conclusion, Trigger
from bot.store.base import Judgement
from bot.store.sql import Store

FAIL = {"README": b"x\n", ".moorline.yml": b"guard: {floating: fail}\n"}
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        made = World(store)
        made.tag("alpine:3")
        yield made


def look(world: World, number: int, trigger: Trigger = Trigger.PULL_REQUEST, head: str = "") -> None:
    world.run(world.job(ref=f"refs/pull/{number}/head", number=number, trigger=trigger, head=head))


def check(world: World, commit: str) -> CheckRun:
    return world.forge.projects[NAME].checks[commit]


def two(world: World) -> tuple[Request, Request]:
    """Return a request onto `main`, and one of the same commit onto a branch that holds the bad file already."""
    world.forge.create(NAME, FAIL)
    project = world.forge.projects[NAME]
    files = {**FAIL, **FLOATING}
    bad = world.forge.push(NAME, files, "scratch", "main")
    first = world.forge.propose(NAME, {**files, "more": b"1"})
    project.parents[first.head] = bad
    second = replace(first, number=2, base="scratch", branch=first.branch)
    project.requests[2] = second
    return first, second


@pytest.mark.parametrize("order", [(1, 2), (2, 1), (1, 2, 1, 2)])
def test_the_worst_counts_whoever_comes_last(world: World, order: tuple[int, ...]) -> None:
    first, _ = two(world)
    for number in order:
        look(world, number)
    made = check(world, first.head)
    assert made.conclusion is Conclusion.FAILURE
    assert made.title.startswith("Request 1: 1 refused; request 2: nothing ")
    assert "### Request 1, onto `main`: 1 refused" in made.summary
    assert "### Request 2, onto `scratch`: " in made.summary
    assert [one.path for one in made.annotations] == ["Dockerfile"]


@pytest.mark.parametrize("state", [RequestState.CLOSED, RequestState.MERGED])
def test_the_end_of_one_is_told_to_the_other(world: World, state: RequestState) -> None:
    first, _ = two(world)
    look(world, 1)
    look(world, 2)
    project = world.forge.projects[NAME]
    project.requests[1] = replace(first, state=state)
    look(world, 1)
    assert check(world, first.head).conclusion is Conclusion.SUCCESS
    assert "request" not in check(world, first.head).title.lower()
    # A step may be done twice, and says the same.
    project.checks.clear()
    look(world, 1)
    assert check(world, first.head).conclusion is Conclusion.SUCCESS
    project.requests[1] = first
    look(world, 1)
    assert check(world, first.head).conclusion is Conclusion.FAILURE


def test_a_request_that_moves_on_leaves_its_commit_to_the_other(world: World) -> None:
    first, second = two(world)
    look(world, 1)
    look(world, 2)
    project = world.forge.projects[NAME]
    pinned = {"Dockerfile": b"FROM scratch\n"}
    head = world.forge.push(NAME, {**FAIL, **pinned}, first.branch)
    project.requests[1] = replace(first, head=head)
    look(world, 1)
    assert check(world, head).conclusion is Conclusion.SUCCESS
    assert check(world, second.head).conclusion is Conclusion.SUCCESS


def test_an_end_that_nobody_told_of_is_noticed(world: World) -> None:
    first, _ = two(world)
    look(world, 1)
    project = world.forge.projects[NAME]
    project.requests[1] = replace(first, state=RequestState.CLOSED)
    look(world, 2)
    assert check(world, first.head).conclusion is Conclusion.SUCCESS


def test_another_base_is_another_judgement(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = two(world)
    project = world.forge.projects[NAME]
    del project.requests[2]
    project.requests[1] = replace(first, base="scratch")
    look(world, 1)
    assert check(world, first.head).conclusion is Conclusion.SUCCESS
    project.requests[1] = first

    def fails(*_: object) -> str:
        raise ForgeError("There is too much of it.")

    monkeypatch.setattr(Hosted, "merge_base", fails)
    with pytest.raises(ForgeError):
        look(world, 1)
    job = world.job(ref="refs/pull/1/head", number=1, trigger=Trigger.PULL_REQUEST)
    world.runs.give_up(job, "There is too much of it.")
    assert check(world, first.head).title == "Moorline cannot decide"


def test_a_commit_of_a_merge_queue_keeps_what_the_queue_was_told(world: World) -> None:
    world.forge.create(NAME, FAIL)
    queued = world.forge.push(NAME, {**FAIL, **FLOATING}, "gh-readonly-queue/main/pr-1-" + "a" * 40, "main")
    ref = "gh-readonly-queue/main/pr-1-" + "a" * 40
    world.run(world.job(ref=ref, trigger=Trigger.MERGE_QUEUE, head=queued))
    assert check(world, queued).conclusion is Conclusion.FAILURE
    project = world.forge.projects[NAME]
    project.branches["copy"] = queued
    request = replace(world.forge.propose(NAME, FAIL), base="copy", head=queued)
    project.requests[request.number] = request
    look(world, request.number)
    assert check(world, queued).conclusion is Conclusion.FAILURE
    assert "The merge queue" in check(world, queued).summary


def test_what_a_store_remembers(tmp_path: Path) -> None:
    good = CheckRun(conclusion=Conclusion.SUCCESS, title="t", summary="s")
    bad = replace(good, conclusion=Conclusion.NEUTRAL, held=True)
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        checks = store.checks
        one, two_ = Judgement(number=1, base="main", check=good), Judgement(number=2, base="dev", check=bad)
        for judged in (two_, one, one):
            checks.judge("github", NAME, "a", judged, NOW)
        checks.judge("github", "acme/other", "a", one, NOW)
        checks.judge("github", NAME, "b", replace(one, base="dev"), NOW + timedelta(days=1))
        assert checks.judgements("github", NAME, "a") == (one, two_)
        for _ in range(2):
            assert checks.settle("github", NAME, 1, "b") == ("a",)
            assert checks.judgements("github", NAME, "a") == (two_,)
        assert checks.judgements("github", NAME, "b") == (replace(one, base="dev"),)
        assert checks.settle("github", NAME, 1) == ("a", "b")
        checks.judge("github", NAME, "a", one, NOW)
        assert checks.judgements("github", NAME, "a") == (one, two_)
