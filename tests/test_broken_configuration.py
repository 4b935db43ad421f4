"""A configuration that is broken: whose fault it is, and where people see it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scenario_places import Can
from scenarios import Scene
from test_runs import FLOATING, NAME, World, world
from test_scenarios import dockerfile, here, running

from bot.config import parse
from bot.errors import ConfigurationError
from bot.model import CheckRun, Conclusion, Trigger
from bot.store.base import Ending

__all__ = ["here", "running", "world"]

CONFIG = ".moorline.yml"
BROKEN = {CONFIG: b"mode: propse\n"}
SOUND = {CONFIG: b"mode: propose\n"}
TWICE = {CONFIG: b"mode: propse\nguard:\n  floating: maybe\n"}


def judged(world: World, number: int) -> CheckRun:
    world.run(world.job(ref=f"refs/pull/{number}/head", number=number, trigger=Trigger.PULL_REQUEST))
    project = world.forge.projects[NAME]
    return project.checks[project.requests[number].head]


def proposed(world: World, files: dict[str, bytes]) -> CheckRun:
    return judged(world, world.forge.propose(NAME, files).number)


# --- changes ------------------------------------------------------------------------------


def test_a_configuration_that_was_mended_since_fails_nobody(world: World) -> None:
    """Git merges what a change left alone into what stands now."""
    world.forge.create(NAME, BROKEN)
    request = world.forge.propose(NAME, {**BROKEN, "README": b"x\n"})
    world.forge.push(NAME, SOUND)
    check = judged(world, request.number)
    assert check.conclusion is Conclusion.SUCCESS
    assert "broken" not in check.title


def test_what_floats_is_judged_by_what_mended_the_configuration(world: World) -> None:
    world.forge.create(NAME, BROKEN)
    request = world.forge.propose(NAME, {**BROKEN, **FLOATING})
    world.forge.push(NAME, {CONFIG: b"guard: {floating: fail}\n"})
    check = judged(world, request.number)
    assert (check.conclusion, check.title) == (Conclusion.FAILURE, "1 refused")


@pytest.mark.parametrize("before", [SOUND, BROKEN, {"README": b""}])
def test_a_change_that_breaks_the_configuration_is_told_all_of_it(
    world: World, before: dict[str, bytes]
) -> None:
    world.forge.create(NAME, before)
    request = world.forge.propose(NAME, TWICE)
    world.forge.push(NAME, SOUND)
    check = judged(world, request.number)
    assert check.conclusion is Conclusion.FAILURE
    assert check.title.startswith(
        "Configuration broken in this change: .moorline.yml:1: mode: 'propse' is not "
    )
    assert check.title.endswith("(and 1 more)")
    assert [(one.path, one.line) for one in check.annotations] == [(CONFIG, 1), (CONFIG, 3)]
    assert "as this change has it" in check.summary
    assert request.head[:12] in check.summary
    assert "maybe" in check.summary


def test_two_files_that_meet_in_a_merge_are_told_before(world: World) -> None:
    world.forge.create(NAME, {"README": b""})
    request = world.forge.propose(NAME, {"README": b"", ".github/.moorline.yml": b"mode: propose\n"})
    assert judged(world, request.number).conclusion is Conclusion.SUCCESS
    world.forge.push(NAME, SOUND)
    check = judged(world, request.number)
    assert check.conclusion is Conclusion.FAILURE
    assert "stands in .moorline.yml and .github/.moorline.yml" in check.title


def test_a_base_that_is_broken_is_no_fault_of_a_change(world: World) -> None:
    base = world.forge.create(NAME, BROKEN)
    check = proposed(world, {**BROKEN, **FLOATING})
    assert check.conclusion is Conclusion.FAILURE
    assert check.title.startswith("Configuration broken where this is to be merged: .moorline.yml:1: ")
    assert "no fault of this change" in check.summary
    assert base[:12] in check.summary
    assert check.annotations == ()


def test_what_mends_the_configuration_alone_may_be_merged(world: World) -> None:
    world.forge.create(NAME, BROKEN)
    check = proposed(world, SOUND)
    assert check.conclusion is Conclusion.NEUTRAL
    assert "This change mends it" in check.summary
    along = proposed(world, {**SOUND, **FLOATING})
    assert along.conclusion is Conclusion.FAILURE
    assert "merge what mends it by itself" in along.summary


# --- branches -----------------------------------------------------------------------------


def looked_at(world: World, trigger: Trigger = Trigger.PUSH) -> None:
    """Look at the default branch in vain, and give up as the engine does."""
    job = world.job(trigger=trigger)
    with pytest.raises(ConfigurationError) as caught:
        world.run(job)
    world.runs.give_up(job, str(caught.value))


@pytest.mark.parametrize(("unreachable", "expected"), [("neutral", "neutral"), ("failure", "failure")])
def test_a_branch_says_at_its_head_what_is_wrong(world: World, unreachable: str, expected: str) -> None:
    world.server = parse("server.yml", f"guard: {{unreachable: {unreachable}}}\n".encode())
    head = world.forge.create(NAME, {**FLOATING, **TWICE})
    looked_at(world)
    check = world.forge.projects[NAME].checks[head]
    assert check.conclusion.value == expected
    assert check.title.startswith("Configuration broken here: .moorline.yml:1: mode: 'propse' is not ")
    assert [(one.path, one.line) for one in check.annotations] == [(CONFIG, 1), (CONFIG, 3)]
    assert "nothing is looked at here" in check.summary
    asked = world.forge.asked["check"]
    looked_at(world, Trigger.SCHEDULED)
    assert world.forge.asked["check"] == asked  # it stands there


def test_a_branch_whose_configuration_is_in_order_has_no_check(world: World) -> None:
    head = world.forge.create(NAME, {**FLOATING, **TWICE})
    looked_at(world)
    mended = world.push({**FLOATING, **SOUND})
    checks = world.forge.projects[NAME].checks
    assert mended not in checks
    assert checks[head].conclusion is not Conclusion.SUCCESS


def test_what_is_in_order_after_all_is_taken_back(world: World) -> None:
    """A newer Moorline knows more than the one that failed."""
    head = world.forge.create(NAME, {**FLOATING, **TWICE})
    looked_at(world)
    world.forge.projects[NAME].commits[head] = {**FLOATING, **SOUND}
    world.run()
    assert world.forge.projects[NAME].checks[head].conclusion is Conclusion.SUCCESS


def test_a_branch_that_nobody_looks_after_is_left_alone(world: World) -> None:
    head = world.forge.create(NAME, FLOATING)
    world.run()
    other = world.forge.push(NAME, {**FLOATING, **TWICE}, "other", "main")
    job = world.job(ref="other", head=other)
    world.run(job)
    world.runs.give_up(job, "x")
    assert {head, other}.isdisjoint(world.forge.projects[NAME].checks)


def test_a_commit_that_is_proposed_elsewhere_says_both(world: World) -> None:
    head = world.forge.create(NAME, {**FLOATING, **TWICE})
    looked_at(world)
    project = world.forge.projects[NAME]
    request = world.forge.propose(NAME, {**FLOATING, **TWICE})
    project.requests[request.number] = replace(request, head=head)
    check = judged(world, request.number)
    assert "the branch main" in check.title.lower()
    assert "merge queue" not in check.summary


def test_people_see_a_broken_configuration_at_the_commit(here: Scene) -> None:
    app = here.repository({"Dockerfile": dockerfile(here.image()), **TWICE})
    head = app.push({"README": b"x\n"})
    assert app.last() is Ending.FAILED
    if Can.REQUESTS not in here.place.can:
        return
    [check] = app.checks(head)
    assert "Configuration broken here: .moorline.yml:1" in check.text
