"""What is said of what people propose: one review, changed when it has to be, and always a check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_runs import FLOATING, NAME, World

from bot.config import parse
from bot.errors import TransientError
from bot.forges.base import Request, RequestState, Said
from bot.jobs.base import Pace
from bot.jobs.steps import Outcome, Steps
from bot.model import CheckRun, Conclusion, Job, Review, Trigger, Unresolved, UnresolvedReason
from bot.reference import parse_image
from bot.store.base import Delivery, Ending, ReviewState
from bot.store.sql import Store

README = {"README": b"x\n"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        made = World(store)
        made.tag("alpine:3")
        yield made


def about(world: World, request: Request, ref: str = "") -> Job:
    return world.job(
        ref=ref or f"refs/pull/{request.number}/head",
        number=request.number,
        head=request.head,
        trigger=Trigger.PULL_REQUEST,
    )


def look(world: World, request: Request, ref: str = "") -> CheckRun:
    world.run(about(world, request, ref))
    return world.forge.projects[NAME].checks[world.forge.projects[NAME].requests[request.number].head]


def again(world: World, request: Request, files: dict[str, bytes], ref: str = "") -> CheckRun:
    """Push to a request and look at it."""
    project = world.forge.projects[NAME]
    head = world.forge.push(NAME, files, request.branch)
    project.requests[request.number] = replace(project.requests[request.number], head=head)
    return look(world, project.requests[request.number], ref)


def said(world: World, number: int = 1) -> list[Review]:
    return world.forge.projects[NAME].reviews.get(number, [])


def lines(world: World) -> list[list[tuple[str, int]]]:
    return [[(one.path, one.first) for one in review.remarks] for review in said(world)]


def test_a_review_is_said_once_and_changes_with_the_request(world: World) -> None:
    world.forge.create(NAME, README)
    request = world.forge.propose(NAME, {**README, **FLOATING})
    look(world, request)
    [review] = said(world)
    [remark] = review.remarks
    assert (remark.path, remark.first, review.commit) == ("Dockerfile", 1, request.head)
    assert remark.suggestion == f"FROM node:22@{world.images.resolutions['node:22'].digest}"  # type: ignore[union-attr]  # a resolution
    # The same again, elsewhere in the file, and with a tag that moved: nothing new is said.
    look(world, request)
    again(world, request, {**README, "Dockerfile": b"# a comment\n\nFROM node:22\n"})
    world.tag("node:22", "another")
    again(world, request, {"README": b"y\n", "Dockerfile": b"FROM node:22\n"})
    assert len(said(world)) == 1
    assert not world.forge.projects[NAME].settled
    # Another file: one more review, of the new one alone.
    again(world, request, {**README, **FLOATING, "api/Dockerfile": b"FROM alpine:3\n"})
    assert lines(world) == [[("Dockerfile", 1)], [("api/Dockerfile", 1)]]
    # One is settled: the other stands.
    pinned = {"Dockerfile": f"{remark.suggestion}\n".encode()}
    again(world, request, {**README, **pinned, "api/Dockerfile": b"FROM alpine:3\n"})
    assert [one.path for _, one in world.forge.projects[NAME].settled] == ["Dockerfile"]
    # All is settled, and comes back.
    check = again(world, request, {**README, **pinned})
    assert check.conclusion is Conclusion.SUCCESS
    assert [one.path for _, one in world.forge.projects[NAME].settled] == ["Dockerfile", "api/Dockerfile"]
    assert len(said(world)) == 2
    again(world, request, {**README, **FLOATING})
    assert len(said(world)) == 3


def test_nothing_is_said_of_a_clean_change(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    request = world.forge.propose(NAME, {**FLOATING, "main.py": b""})
    assert look(world, request).conclusion is Conclusion.SUCCESS
    assert not said(world)
    assert not world.forge.asked["review"]


def test_a_fork_is_reviewed_and_never_written_to(world: World) -> None:
    world.forge.create(NAME, README)
    request = world.forge.propose(NAME, FLOATING, fork=True)
    look(world, request)
    assert lines(world) == [[("Dockerfile", 1)]]
    assert not world.forge.asked["write"]


@pytest.mark.parametrize("mode", ["observe", "paused"])
def test_who_wants_no_proposals_wants_no_review(world: World, mode: str) -> None:
    world.forge.create(NAME, {".moorline.yml": f"mode: {mode}\n".encode()})
    request = world.forge.propose(NAME, {".moorline.yml": f"mode: {mode}\n".encode(), **FLOATING})
    assert look(world, request).conclusion is Conclusion.FAILURE
    assert not said(world)


def test_what_cannot_matter_passes_without_being_read(world: World) -> None:
    world.forge.create(NAME, {**FLOATING, **README})
    world.run()
    before = dict(world.forge.asked)
    request = world.forge.propose(NAME, {**FLOATING, "README": b"y\n"})
    check = look(world, request)
    assert check.conclusion is Conclusion.SUCCESS
    assert "can be pinned" in check.title
    for what in ("snapshot", "read", "merge_base", "head"):
        assert world.forge.asked[what] == before.get(what, 0), what


def test_what_a_forge_does_not_tell_of_might_matter(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a change that holds too much a forge leaves files out: what it lists alone settles nothing."""
    world.forge.create(NAME, {**FLOATING, **README})
    world.run()
    files = {**FLOATING, "README": b"y\n", "api/Dockerfile": b"FROM alpine:3\n"}
    request = world.forge.propose(NAME, files)
    changed = world.forge.changed
    monkeypatch.setattr(
        type(world.forge),
        "changed",
        lambda _self, *which: [one for one in changed(*which) if one.path == "README"],
    )
    assert look(world, request).conclusion is Conclusion.FAILURE


def test_what_another_file_asks_for_does_matter(world: World) -> None:
    files = {"compose.yml": b"services:\n  a: {image: $IMAGE}\n", ".env": b"IMAGE=node:22\n"}
    world.forge.create(NAME, files)
    world.run()
    request = world.forge.propose(NAME, {**files, ".env": b"IMAGE=alpine:3\n"})
    assert look(world, request).conclusion is not Conclusion.SUCCESS


def test_what_a_change_says_of_the_rules_is_shown_and_counts_for_nothing(world: World) -> None:
    strict = b"guard: {floating: fail}\n"
    world.forge.create(NAME, {".moorline.yml": strict})
    loose = b"# ```\nguard: {floating: off}\n"
    files = {".moorline.yml": loose, "Dockerfile": b"# moorline: ignore[because]\nFROM node:22\n"}
    check = look(world, world.forge.propose(NAME, files))
    assert check.conclusion is Conclusion.FAILURE
    assert "counts once it is merged" in check.summary
    assert "-guard: {floating: fail}" in check.summary
    assert "+guard: {floating: off}" in check.summary
    assert "+# moorline: ignore[because]" in check.summary
    assert "````diff" in check.summary
    quiet = look(world, world.forge.propose(NAME, {".moorline.yml": strict, "Dockerfile": b"FROM node:22\n"}))
    assert "counts once it is merged" not in quiet.summary.split("Judged by")[0]


def test_a_changed_base_is_judged_again(world: World) -> None:
    world.forge.create(NAME, README)
    head = world.forge.push(NAME, FLOATING, "other", "main")
    request = world.forge.propose(NAME, FLOATING)
    project = world.forge.projects[NAME]
    assert look(world, request).annotations
    project.parents[request.head] = head
    project.requests[request.number] = replace(request, base="other")
    assert not look(world, request).annotations
    assert [one.path for _, one in project.settled] == ["Dockerfile"]


def test_a_button_says_it_all_again(world: World) -> None:
    world.forge.create(NAME, README)
    request = world.forge.propose(NAME, FLOATING)
    check = look(world, request)
    assert [one.id for one in check.buttons] == ["pin", "explain"]
    assert all(len(one.label) <= 20 and len(one.description) <= 40 for one in check.buttons)
    look(world, request, "button/pin/1")
    assert len(said(world)) == 2
    assert len(world.forge.projects[NAME].settled) == 1
    look(world, request)
    assert len(said(world)) == 2


def test_a_button_explains(world: World) -> None:
    world.forge.create(NAME, README)
    request = world.forge.propose(NAME, FLOATING)
    assert "digest-honesty" not in look(world, request).summary
    explained = look(world, request, "button/explain/1")
    assert "digest-honesty" in explained.summary
    assert not any(line.startswith("/") for line in explained.summary.splitlines())
    assert len(said(world)) == 1


def test_a_review_whose_answer_got_lost_is_said_once(world: World) -> None:
    world.forge.create(NAME, README)
    request = world.forge.propose(NAME, FLOATING)

    def lost(what: str) -> None:
        if what == "review":
            raise TransientError("The answer got lost.")

    world.forge.fail = lost
    with pytest.raises(TransientError):
        look(world, request)
    world.forge.fail = lambda _what: None
    look(world, request)
    stored = world.store.reviews.standing("github", NAME, request.number)
    assert stored is not None
    assert stored.state is ReviewState.SAID
    assert len(stored.spoken) == 1


def test_what_may_have_been_said_by_a_run_that_was_lost_is_looked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle and never taken up again: the next review looks before it says anything."""
    world.forge.create(NAME, README)
    request = world.forge.propose(NAME, FLOATING)
    look(world, request)
    lost = world.store.reviews.store("github", NAME, request.number, said(world)[0], world.now)
    world.store.reviews.begin(lost)
    sure: list[bool] = []
    review = world.forge.review

    def noted(_self: object, *what: object, uncertain: bool) -> Said:
        sure.append(not uncertain)
        return review(*what, uncertain=uncertain)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(type(world.forge), "review", noted)
    again(world, request, {**FLOATING, "api/Dockerfile": b"FROM alpine:3\n"})
    again(
        world,
        request,
        {**FLOATING, "api/Dockerfile": b"FROM alpine:3\n", "web/Dockerfile": b"FROM alpine:3\n"},
    )
    assert sure == [False, True]


def test_a_step_that_is_repeated_says_nothing_twice(world: World) -> None:
    world.forge.create(NAME, README)
    job = about(world, world.forge.propose(NAME, FLOATING))
    plan = world.runs.plan(job)
    assert plan is not None
    world.runs.publish(plan)
    world.runs.publish(plan)
    assert len(said(world)) == 1


def test_what_a_person_put_on_our_branch_is_checked(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    ours = world.request
    mine = world.forge.projects[NAME].checks[ours.head]
    look(world, ours)
    assert world.forge.projects[NAME].checks[ours.head] is mine
    check = again(world, ours, {"Dockerfile": b"FROM alpine:3\n"})
    assert check.conclusion is Conclusion.FAILURE


# --- when nothing can be said -------------------------------------------------------------


def given_up(world: World, request: Request, why: str = "The registry exploded.") -> CheckRun | None:
    world.runs.give_up(about(world, request), why)
    return world.forge.projects[NAME].checks.get(request.head)


def test_a_head_that_is_given_up_is_told_and_blocks_nobody(world: World) -> None:
    world.forge.create(NAME, README)
    check = given_up(world, world.forge.propose(NAME, FLOATING))
    assert check is not None
    assert check.conclusion is Conclusion.NEUTRAL
    assert "The registry exploded." in check.summary


def test_the_operator_may_want_it_to_fail(world: World) -> None:
    world.server = parse("policy.yml", b"guard: {unreachable: failure}\n")
    world.forge.create(NAME, README)
    check = given_up(world, world.forge.propose(NAME, FLOATING))
    assert check is not None
    assert check.conclusion is Conclusion.FAILURE


def test_what_was_said_of_a_head_is_not_taken_back(world: World) -> None:
    world.forge.create(NAME, README)
    request = world.forge.propose(NAME, FLOATING)
    check = look(world, request)
    assert given_up(world, request) is check


def test_nobody_is_told_who_does_not_wait(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.runs.give_up(world.job(head="a" * 40), "It failed.")
    request = world.forge.propose(NAME, {**FLOATING, **README})
    world.forge.settle(NAME, request.number, RequestState.CLOSED)
    assert given_up(world, request) is None
    world.run()
    assert not [one for one in world.forge.projects[NAME].checks.values() if "explode" in one.summary]


def test_a_run_that_fails_for_good_ends_in_a_check(world: World) -> None:
    """From the failure of a step to the word on the head, as the engine goes."""
    world.forge.create(NAME, README)
    request = world.forge.propose(NAME, FLOATING)
    job = about(world, request)

    world.store.inbox.receive(Delivery(source="github", id="1", jobs=(job,)), world.now)
    [claim] = world.store.backlog.claim("w", 1, world.now)
    steps = Steps(world.runs, world.store.backlog, Pace(), lambda: world.now, world.runs.give_up)
    failed: Outcome = {"ending": Ending.FAILED.value, "detail": "The forge answers nonsense."}
    assert steps.settle(claim.run, failed) == Ending.FAILED.value
    assert "nonsense" in world.forge.projects[NAME].checks[request.head].summary


def test_a_registry_that_comes_back_is_heard(world: World) -> None:
    world.forge.create(NAME, {**README, ".moorline.yml": b"guard: {floating: warn}\n"})
    request = world.forge.propose(NAME, FLOATING)
    reference = parse_image("node:22")
    assert reference is not None
    there = dict(world.images.resolutions)
    down = Unresolved(reference=reference, reason=UnresolvedReason.TIMEOUT, detail="it did not answer")
    world.images.resolutions = {**there, "node:22": down}
    with pytest.raises(TransientError):
        look(world, request)
    assert world.forge.projects[NAME].checks[request.head].conclusion is Conclusion.NEUTRAL
    assert not said(world)
    world.images.resolutions = there
    look(world, request)
    assert lines(world) == [[("Dockerfile", 1)]]
