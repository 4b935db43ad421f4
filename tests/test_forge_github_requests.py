"""The GitHub forge opens, edits and closes pull requests and reports checks: once, whatever gets lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from github_forging import BRANCH, OLD, REPOSITORY, Place, both
from github_standin import github

from bot.errors import ForgeError, MissingError, TransientError
from bot.forges.base import Annotation, Conclusion, Level, Opened, RequestState, Wish
from bot.forges.base import Check as Report
from bot.forges.github import GitHubForge

WISH = Wish(title="Pin images", body="Because.")
PLAIN = Report(conclusion=Conclusion.NEUTRAL, title="Nothing to pin", summary="All is well.")


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with github(enterprise=getattr(request, "param", False)) as standin:
        roles = {"ann": "write", "bob": "write", "eve": "read"}
        standin.repository(REPOSITORY, {"Dockerfile": OLD}, roles=roles)
        standin.install("acme")
        yield Place(standin)


@pytest.fixture
def forge(place: Place) -> GitHubForge:
    """A forge for a branch that is written."""
    made = place.forge()
    place.published(made)
    place.github.forget()
    return made


def opened(forge: GitHubForge, wish: Wish = WISH) -> Opened:
    with forge.publishing(REPOSITORY):
        return forge.open(REPOSITORY, "main", BRANCH, wish)


# --- opening --------------------------------------------------------------------------------


@both
def test_opens_a_request(place: Place, forge: GitHubForge) -> None:
    made = opened(forge)
    assert made.notes == ()
    request = made.request
    assert (request.state, request.branch, request.base) == (RequestState.OPEN, BRANCH, "main")
    assert (request.title, request.body, request.ours, request.fork) == (
        "Pin images",
        "Because.",
        True,
        False,
    )
    assert request.head == place.github.head(REPOSITORY, BRANCH)
    assert forge.request(REPOSITORY, request.number) == request
    assert forge.standing(REPOSITORY, "main", BRANCH).request == request
    place.github.switches.graphql = 404
    assert forge.standing(REPOSITORY, "main", BRANCH).request == request


@pytest.mark.parametrize("graphql", [True, False])
def test_who_ended_a_request_is_told_along(place: Place, forge: GitHubForge, *, graphql: bool) -> None:
    number = opened(forge).request.number
    if not graphql:
        place.github.switches.graphql = 404
    assert forge.request(REPOSITORY, number).by == ""
    place.github.close_pull(REPOSITORY, number, by="ann")
    # REST tells of issues alone who closed them, and would have to be asked once more.
    assert forge.request(REPOSITORY, number).by == ("ann" if graphql else "")
    place.github.reopen_pull(REPOSITORY, number, by="ann")
    assert forge.request(REPOSITORY, number).by == ""
    place.github.merge_pull(REPOSITORY, number, by="ann")
    assert forge.request(REPOSITORY, number).by == "ann"


def test_what_was_looked_at_a_moment_ago_is_not_looked_at_again(place: Place, forge: GitHubForge) -> None:
    forge.standing(REPOSITORY, "main", BRANCH)
    place.github.forget()
    opened(forge)
    assert place.github.count("GET", "*/pulls") == 0
    place.github.close_pull(REPOSITORY, 1)
    forge.standing(REPOSITORY, "main", BRANCH)
    place.github.world.clock.advance(121)
    place.github.forget()
    opened(forge)
    assert place.github.count("GET", "*/pulls") == 1


@pytest.mark.parametrize("looked", [True, False])
def test_one_that_is_open_is_edited(place: Place, forge: GitHubForge, looked: bool) -> None:
    if looked:
        forge.standing(REPOSITORY, "main", BRANCH)
    place.github.open_pull(REPOSITORY, BRANCH, by=place.github.bot, title="Old", body="old")
    made = opened(forge)
    assert (made.request.number, made.request.title, made.request.body) == (1, "Pin images", "Because.")
    assert len(place.github.pulls(REPOSITORY)) == 1


def test_somebody_else_s_request_is_left_alone(place: Place, forge: GitHubForge) -> None:
    forge.standing(REPOSITORY, "main", BRANCH)
    place.github.open_pull(REPOSITORY, BRANCH, by="ann", title="Hers")
    with pytest.raises(ForgeError):
        opened(forge)
    assert [pull.title for pull in place.github.pulls(REPOSITORY)] == ["Hers"]


@pytest.mark.parametrize("how", ["fail", "cut"])
def test_a_lost_answer_makes_no_second_request(place: Place, forge: GitHubForge, how: str) -> None:
    act: Callable[..., object] = getattr(place.github, how)
    act("POST", "*/pulls", done=True)
    made = opened(forge, replace(WISH, labels=("pins",)))
    assert made.request.number == 1
    assert len(place.github.pulls(REPOSITORY)) == 1
    assert place.github.count("POST", "*/pulls") == 1
    assert place.github.count("POST", "*/labels") == 1


def test_a_lost_request_is_told(place: Place, forge: GitHubForge) -> None:
    place.github.fail("POST", "*/pulls", done=False)
    with pytest.raises(TransientError):
        opened(forge)
    assert place.github.pulls(REPOSITORY) == []
    assert place.github.count("POST", "*/pulls") == 1


def test_what_cannot_be_opened_is_said(forge: GitHubForge) -> None:
    with forge.publishing(REPOSITORY), pytest.raises(ForgeError, match=r"would not open.*head"):
        forge.open(REPOSITORY, "main", "nowhere", WISH)


def test_a_fork_s_branch_of_the_same_name_is_not_ours(place: Place, forge: GitHubForge) -> None:
    place.github.fork(REPOSITORY, "eve")
    place.github.push("eve/app", {"x": b"evil"}, branch=BRANCH, by="eve")
    theirs = place.github.open_pull(REPOSITORY, BRANCH, by="eve", head_repository="eve/app")
    found = forge.request(REPOSITORY, theirs.number)
    assert (found.ours, found.fork) == (False, True)
    for graphql in (200, 404):
        place.github.switches.graphql = graphql
        assert forge.standing(REPOSITORY, "main", BRANCH).request is None
    assert opened(forge).request.number != theirs.number


def test_a_person_called_as_we_are_is_not_us(place: Place, forge: GitHubForge) -> None:
    place.github.account("moorline")
    place.github.open_pull(REPOSITORY, BRANCH, by="moorline")
    for graphql in (200, 404):
        place.github.switches.graphql = graphql
        assert forge.standing(REPOSITORY, "main", BRANCH).request is None


@pytest.mark.parametrize("graphql", [200, 404])
def test_the_newest_of_several_is_told(place: Place, forge: GitHubForge, graphql: int) -> None:
    place.github.switches.graphql = graphql
    place.github.push(REPOSITORY, {"x": b""}, branch="release")
    opened(forge)
    place.github.close_pull(REPOSITORY, 1)
    closed = forge.standing(REPOSITORY, "main", BRANCH).request
    assert closed is not None
    assert (closed.number, closed.state) == (1, RequestState.CLOSED)
    assert forge.standing(REPOSITORY, "release", BRANCH).request is None
    opened(forge)
    place.github.merge_pull(REPOSITORY, 2)
    merged = forge.standing(REPOSITORY, "main", BRANCH).request
    assert merged is not None
    assert (merged.number, merged.state) == (2, RequestState.MERGED)


# --- how it looks ---------------------------------------------------------------------------


def test_labels_reviewers_and_assignees(place: Place, forge: GitHubForge) -> None:
    wish = replace(WISH, labels=("pins", "ci"), reviewers=("ann", "bob"), assignees=("ann",))
    assert opened(forge, wish).notes == ()
    [pull] = place.github.pulls(REPOSITORY)
    assert {label.name for label in pull.labels} == {"pins", "ci"}
    assert {one.login for one in pull.reviewers} == {"ann", "bob"}
    assert [one.login for one in pull.assignees] == ["ann"]


def test_unknown_names_become_notes(place: Place, forge: GitHubForge) -> None:
    wish = replace(WISH, reviewers=("ann", "nobody", "team:acme/ghosts"), assignees=("bob", "stranger"))
    notes = opened(forge, wish).notes
    assert len(notes) == 3, notes
    assert any("'nobody'" in note for note in notes)
    assert any("No team called 'acme/ghosts'" in note for note in notes)
    assert any("'stranger' cannot be assigned" in note for note in notes)
    [pull] = place.github.pulls(REPOSITORY)
    assert [one.login for one in pull.reviewers] == ["ann"]
    assert [one.login for one in pull.assignees] == ["bob"]


def test_a_plan_without_drafts_gets_an_ordinary_request(place: Place, forge: GitHubForge) -> None:
    body = {"message": "Draft pull requests are not supported in this repository.", "documentation_url": ""}
    place.github.fail("POST", "*/pulls", status=422, body=json.dumps(body).encode())
    made = opened(forge, replace(WISH, draft=True))
    assert [note for note in made.notes if "Drafts" in note]
    [pull] = place.github.pulls(REPOSITORY)
    assert not pull.draft


def test_a_draft_where_the_plan_has_them(place: Place, forge: GitHubForge) -> None:
    assert opened(forge, replace(WISH, draft=True)).notes == ()
    assert place.github.pulls(REPOSITORY)[0].draft


def test_long_texts_are_cut(forge: GitHubForge) -> None:
    made = opened(forge, replace(WISH, title="t" * 300 + "\nx", body="b" * 70_000))
    assert len(made.request.title) == 256
    assert len(made.request.body) == 65_536
    assert made.request.body.endswith("no longer text)*")


def test_people_s_labels_and_reviewers_are_left(place: Place, forge: GitHubForge) -> None:
    opened(forge, replace(WISH, labels=("pins",), reviewers=("ann",)))
    [pull] = place.github.pulls(REPOSITORY)
    pull.labels.clear()
    with forge.publishing(REPOSITORY):
        made = forge.edit(REPOSITORY, 1, replace(WISH, title="New", labels=("pins",), reviewers=("bob",)))
    assert (made.request.title, made.notes) == ("New", ())
    assert not pull.labels
    assert [one.login for one in pull.reviewers] == ["ann"]


# --- closing and commenting -----------------------------------------------------------------


def test_closes_with_a_word(place: Place, forge: GitHubForge) -> None:
    opened(forge)
    with forge.publishing(REPOSITORY):
        forge.close(REPOSITORY, 1, "Nothing is left to pin.")
        forge.close(REPOSITORY, 1, "Nothing is left to pin.")
    [comment] = place.github.comments(REPOSITORY, 1)
    assert (comment.body, comment.author.login) == ("Nothing is left to pin.", place.github.bot)
    assert forge.request(REPOSITORY, 1).state is RequestState.CLOSED


def test_what_a_person_closed_is_left_without_a_word(place: Place, forge: GitHubForge) -> None:
    opened(forge)
    place.github.close_pull(REPOSITORY, 1, by="ann")
    with forge.publishing(REPOSITORY):
        forge.close(REPOSITORY, 1, "Nothing is left to pin.")
    assert place.github.comments(REPOSITORY, 1) == []


def test_a_close_that_was_interrupted_says_it_once(place: Place, forge: GitHubForge) -> None:
    opened(forge)
    place.github.fail("PATCH", "*/pulls/1", done=False, times=3)
    with forge.publishing(REPOSITORY):
        with pytest.raises(TransientError):
            forge.close(REPOSITORY, 1, "Nothing is left\nto pin.")
        forge.close(REPOSITORY, 1, "Nothing is left\nto pin.")
    assert len(place.github.comments(REPOSITORY, 1)) == 1
    assert forge.request(REPOSITORY, 1).state is RequestState.CLOSED


@pytest.mark.parametrize("how", ["fail", "cut"])
@pytest.mark.parametrize("done", [True, False])
def test_a_comment_is_never_made_twice(place: Place, forge: GitHubForge, how: str, done: bool) -> None:
    opened(forge)
    act: Callable[..., object] = getattr(place.github, how)
    act("POST", "*/comments", done=done)
    with forge.publishing(REPOSITORY):
        if done:
            forge.comment(REPOSITORY, 1, "Hello")
        else:
            with pytest.raises(TransientError):
                forge.comment(REPOSITORY, 1, "Hello")
    assert len(place.github.comments(REPOSITORY, 1)) == int(done)
    assert place.github.count("POST", "*/comments") == 1


def test_a_request_that_is_not_there(forge: GitHubForge) -> None:
    with pytest.raises(MissingError):
        forge.request(REPOSITORY, 99)
    with forge.publishing(REPOSITORY), pytest.raises(MissingError):
        forge.comment(REPOSITORY, 99, "x")


# --- checks ---------------------------------------------------------------------------------


def remarks(count: int) -> tuple[Annotation, ...]:
    return tuple(
        Annotation(
            path="Dockerfile", line=number + 1, level=Level.WARNING, title="floating", message=f"{number}"
        )
        for number in range(count)
    )


def checked(forge: GitHubForge, commit: str, check: Report) -> None:
    with forge.publishing(REPOSITORY):
        forge.check(REPOSITORY, commit, check)


@both
def test_reports_on_a_commit(place: Place, forge: GitHubForge) -> None:
    commit = place.github.head(REPOSITORY) or ""
    checked(forge, commit, replace(PLAIN, url="https://bot.example/runs/1"))
    [run] = place.github.checks(REPOSITORY, commit)
    assert (run.name, run.conclusion, run.status) == ("moorline", "neutral", "completed")
    assert run.output["title"] == "Nothing to pin"


def test_a_commit_of_our_own_needs_no_look(place: Place, forge: GitHubForge) -> None:
    checked(forge, place.github.head(REPOSITORY, BRANCH) or "", PLAIN)
    assert place.github.count("GET", "*/check-runs") == 0
    assert place.github.count("POST", "*/check-runs") == 1


@pytest.mark.parametrize("same", [True, False], ids=["same process", "another process"])
def test_reports_in_place_of_what_was_said(place: Place, forge: GitHubForge, same: bool) -> None:
    commit = place.github.head(REPOSITORY) or ""
    checked(forge, commit, PLAIN)
    again = forge if same else place.forge()
    checked(again, commit, replace(PLAIN, conclusion=Conclusion.SUCCESS, title="Better"))
    [run] = place.github.checks(REPOSITORY, commit)
    assert (run.conclusion, run.output["title"]) == ("success", "Better")


def test_another_app_s_check_is_not_touched(place: Place, forge: GitHubForge) -> None:
    commit = place.github.head(REPOSITORY) or ""
    checked(forge, commit, PLAIN)
    [theirs] = place.github.checks(REPOSITORY, commit)
    theirs.name = "other"
    checked(place.forge(), commit, PLAIN)
    assert {run.name for run in place.github.checks(REPOSITORY, commit)} == {"other", "moorline"}


@pytest.mark.parametrize(("count", "requests"), [(1, 1), (50, 1), (51, 2), (120, 3), (700, 10)])
def test_annotations_come_in_fifties(place: Place, forge: GitHubForge, count: int, requests: int) -> None:
    commit = place.github.head(REPOSITORY) or ""
    checked(forge, commit, replace(PLAIN, annotations=remarks(count)))
    [run] = place.github.checks(REPOSITORY, commit)
    assert len(run.annotations) == min(count, 500)
    assert place.github.count("P*", "*/check-runs*") == requests
    assert ("200 further remarks" in run.output["summary"]) is (count == 700)


def test_annotations_of_before_are_not_added_to(place: Place, forge: GitHubForge) -> None:
    """A run only ever gains annotations: one that has some is followed by a new one."""
    commit = place.github.head(REPOSITORY) or ""
    for one in (forge, forge, place.forge()):
        checked(one, commit, replace(PLAIN, annotations=remarks(2)))
    newest = place.github.checks(REPOSITORY, commit)[-1]
    assert len(newest.annotations) == 2


@pytest.mark.parametrize("how", ["fail", "cut"])
def test_a_lost_answer_makes_no_second_run(place: Place, forge: GitHubForge, how: str) -> None:
    commit = place.github.head(REPOSITORY) or ""
    act: Callable[..., object] = getattr(place.github, how)
    act("POST", "*/check-runs", done=True)
    checked(forge, commit, PLAIN)
    checked(forge, commit, PLAIN)
    assert len(place.github.checks(REPOSITORY, commit)) == 1


def test_long_summaries_are_cut(place: Place, forge: GitHubForge) -> None:
    commit = place.github.head(REPOSITORY) or ""
    checked(forge, commit, replace(PLAIN, title="t" * 300, summary="s" * 70_000, annotations=remarks(501)))
    [run] = place.github.checks(REPOSITORY, commit)
    assert len(run.output["summary"]) == 65_535
    assert run.output["summary"].endswith("1 further remarks have no place here.")


def test_only_commits_are_reported_on(forge: GitHubForge) -> None:
    with pytest.raises(ForgeError, match="full id"):
        checked(forge, "main", PLAIN)
    assert forge.advise(REPOSITORY, "a" * 40, ["Dockerfile"]) == ""
