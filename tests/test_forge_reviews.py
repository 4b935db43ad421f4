"""Reviews on both forges: said once, in one go, and taken back when there is nothing left to say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from github_forging import REPOSITORY, Place, both
from github_standin import github
from gitlab_standin import GitLab, Level, Note, gitlab
from gitlab_world import MergeRequest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ForgeError, SupersededError, TransientError
from bot.forges.base import Remark, Review, Said
from bot.forges.github import GitHubForge
from bot.forges.gitlab import GitLabForge
from bot.forges.remarks import SETTLED, composed, hunks
from bot.model import Spoken

BASE = b"".join(b"# line %d\n" % number for number in range(1, 31))
HEAD = BASE.replace(b"# line 2\n", b"FROM node:22\n").replace(
    b"# line 20\n", b"FROM alpine:3\nFROM redis:7\n"
)
"""Two hunks: new lines 2, and 20 and 21."""


def remark(
    line: int, text: str = "Pin it.", suggestion: str | None = "FROM x@y", path: str = "Dockerfile"
) -> Remark:
    return Remark(
        path=path, first=line, last=line, body=text, suggestion=suggestion, topic=f"{path}:{line}:{text}"
    )


def test_a_suggestion_s_fence_is_longer_than_what_is_in_it() -> None:
    made = composed(remark(1, suggestion="a ```` b"), "suggestion")
    assert made == "Pin it.\n\n`````suggestion\na ```` b\n`````"
    assert composed(remark(1, suggestion=None), "suggestion") == "Pin it."


@given(st.text(max_size=300))
def test_any_patch_has_hunks(patch: str) -> None:
    for first, last in hunks(patch):
        assert 0 <= first <= last


def test_hunks_are_read_from_their_heads() -> None:
    assert hunks("@@ -1,4 +1,5 @@ x\n a\n+@@ -9 +9 @@\n@@ -9 +10 @@\n-x\n+y\n@@ -20,2 +0,0 @@") == (
        (1, 5),
        (10, 10),
    )


# --- GitHub -------------------------------------------------------------------------------


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with github(enterprise=getattr(request, "param", False)) as standin:
        standin.repository(REPOSITORY, {"Dockerfile": BASE}, roles={"ann": "write"})
        standin.install("acme")
        yield Place(standin)


@dataclass(slots=True)
class Pull:
    place: Place
    forge: GitHubForge
    number: int
    head: str

    def say(self, *remarks: Remark, before: tuple[Spoken, ...] = (), uncertain: bool = False) -> Said:
        review = Review(commit=self.head, body="About this change.", remarks=remarks)
        with self.forge.publishing(REPOSITORY):
            return self.forge.review(REPOSITORY, self.number, review, before, uncertain=uncertain)

    def push(self, files: dict[str, bytes]) -> None:
        self.head = self.place.github.push(REPOSITORY, files, branch="topic")

    @property
    def said(self) -> list[Any]:
        return list(self.place.github[REPOSITORY].review_comments.values())

    @property
    def reviews(self) -> list[Any]:
        return list(self.place.github[REPOSITORY].reviews.values())


@pytest.fixture
def pull(place: Place) -> Pull:
    head = place.github.push(REPOSITORY, {"Dockerfile": HEAD}, branch="topic")
    number = place.github.open_pull(REPOSITORY, head="topic", base="main").number
    forge = place.forge()
    forge.account()
    place.github.forget()
    return Pull(place=place, forge=forge, number=number, head=head)


@both
def test_github_says_a_review_in_one_request(pull: Pull) -> None:
    made = pull.say(remark(2), remark(20, suggestion=None))
    assert pull.place.github.count("POST", "*/reviews") == 1
    [review] = pull.reviews
    assert (review.state, review.body, review.commit) == ("COMMENTED", "About this change.", pull.head)
    assert [(one.path, one.line, one.body) for one in pull.said] == [
        ("Dockerfile", 2, "Pin it.\n\n```suggestion\nFROM x@y\n```"),
        ("Dockerfile", 20, "Pin it."),
    ]
    assert [one.remark.first for one in made.spoken] == [2, 20]
    assert made.unplaced == ()


def test_github_takes_several_lines_at_once(pull: Pull) -> None:
    both_lines = Remark(path="Dockerfile", first=20, last=21, body="Pin.", suggestion="a\nb", topic="t")
    pull.say(both_lines)
    [one] = pull.said
    assert (one.start_line, one.line) == (20, 21)


@both
def test_github_keeps_what_is_said_again_and_settles_the_rest(pull: Pull) -> None:
    first = pull.say(remark(2), remark(20))
    pull.place.github.forget()
    second = pull.say(remark(20), remark(21), before=first.spoken)
    assert [one.line for one in pull.said] == [2, 20, 21]
    assert [one.resolved for one in pull.said] == [True, False, False]
    assert len(pull.reviews) == 2
    assert not any(one.minimized for one in pull.reviews)
    pull.place.github.forget()
    third = pull.say(before=second.spoken)
    assert all(one.resolved for one in pull.said)
    assert [one.minimized for one in pull.reviews] == ["resolved", "resolved"]
    assert third.spoken == ()
    assert len(pull.place.github.requests) <= 5


def test_github_without_the_permission_to_resolve_hides_and_without_that_rewrites(pull: Pull) -> None:
    switches = pull.place.github.switches
    said = pull.say(remark(2), remark(20))
    switches.resolves = False
    pull.say(remark(20), before=said.spoken)
    assert [one.minimized for one in pull.said] == ["resolved", ""]
    switches.minimizes = False
    pull.say(before=said.spoken[1:])
    assert [one.body for one in pull.said][1] == SETTLED


def test_github_without_graphql_rewrites(pull: Pull) -> None:
    said = pull.say(remark(2))
    pull.place.github.switches.graphql = 404
    pull.say(before=said.spoken)
    assert [one.body for one in pull.said] == [SETTLED]


def test_github_is_not_led_to_touch_what_others_said(pull: Pull) -> None:
    """Somebody says just what we say, even in a thread that looks like ours."""
    said = pull.say(remark(2))
    text = pull.said[0].body
    pull.place.github.review_comment(REPOSITORY, pull.number, "Dockerfile", 2, text, by="ann")
    pull.say(before=said.spoken)
    assert [(one.author.login, one.resolved) for one in pull.said] == [
        (pull.place.github.bot, True),
        ("ann", False),
    ]


def test_github_leaves_out_what_is_not_in_the_diff(pull: Pull) -> None:
    made = pull.say(remark(2), remark(11), remark(2, path="other"), remark(20))
    assert [one.line for one in pull.said] == [2, 20]
    assert [(one.path, one.first) for one in made.unplaced] == [("Dockerfile", 11), ("other", 2)]
    assert len(pull.reviews) == 1


def test_github_says_nothing_where_nothing_has_a_place(pull: Pull) -> None:
    made = pull.say(remark(11))
    assert (made.spoken, len(made.unplaced), pull.reviews) == ((), 1, [])


def test_github_does_not_speak_of_a_head_that_moved_on(pull: Pull) -> None:
    before = pull.head
    pull.push({"Dockerfile": BASE + b"FROM x\n"})
    pull.head = before
    with pytest.raises(SupersededError):
        pull.say(remark(2))
    assert not pull.reviews


@pytest.mark.parametrize("done", [False, True])
def test_github_s_lost_answer_makes_no_second_review(pull: Pull, done: bool) -> None:
    pull.place.github.cut("POST", "*/reviews", done=done)
    if done:
        made = pull.say(remark(2), remark(20))
    else:
        with pytest.raises(TransientError):
            pull.say(remark(2), remark(20))
        made = pull.say(remark(2), remark(20), uncertain=True)
    assert len(pull.reviews) == 1
    again = pull.say(remark(2), remark(20), uncertain=True)
    assert len(pull.reviews) == 1
    assert [one.place for one in again.spoken] == [one.place for one in made.spoken]


def test_github_tells_what_is_changed(pull: Pull) -> None:
    pull.push({"Dockerfile": HEAD, "new": b"a\nb\n"})
    found = pull.forge.changed(REPOSITORY, pull.number)
    assert [(one.path, one.hunks) for one in found] == [
        ("Dockerfile", ((1, 5), (17, 24))),
        ("new", ((1, 2),)),
    ]


def test_github_comments_on_a_fork_and_writes_nothing_there(place: Place) -> None:
    fork = place.github.fork(REPOSITORY, "eve")
    head = place.github.push(fork.full_name, {"Dockerfile": HEAD}, branch="topic")
    number = place.github.open_pull(
        REPOSITORY, head="topic", base="main", by="eve", head_repository=fork.full_name
    ).number
    before = place.github.branches(fork.full_name)
    Pull(place=place, forge=place.forge(), number=number, head=head).say(remark(2))
    assert [one.line for one in place.github[REPOSITORY].review_comments.values()] == [2]
    assert place.github.branches(fork.full_name) == before


# --- GitLab -------------------------------------------------------------------------------


@dataclass(slots=True)
class Merge:
    lab: GitLab
    forge: GitLabForge
    one: MergeRequest

    def say(
        self, *remarks: Remark, before: tuple[Spoken, ...] = (), uncertain: bool = False, commit: str = ""
    ) -> Said:
        review = Review(commit=commit or self.one.sha or "", body="About this change.", remarks=remarks)
        with self.forge.publishing("acme/web"):
            return self.forge.review("acme/web", self.one.iid, review, before, uncertain=uncertain)

    @property
    def notes(self) -> list[Note]:
        return [one for one in self.one.notes if not one.system]


@pytest.fixture
def merge() -> Iterator[Merge]:
    with gitlab() as lab:
        bot, ada = lab.user("moorline", bot=True), lab.user("ada")
        for one, level in ((bot, Level.DEVELOPER), (ada, Level.MAINTAINER)):
            lab.join("acme", one, level)
        project = lab.project("acme/web", {"Dockerfile": BASE})
        lab.push(project, {"Dockerfile": HEAD}, branch="topic", user=ada)
        forge = GitLabForge(lab.url, lab.token(bot), pause=lambda _seconds: None)
        request = opened(lab, project, ada)
        forge.account()
        lab.requests.clear()
        yield Merge(lab=lab, forge=forge, one=request)


def opened(lab: GitLab, project: Any, user: Any) -> MergeRequest:
    """Return the merge request that a person opens."""
    import gitlab as client

    api = client.Gitlab(lab.url, private_token=lab.token(user))
    made = api.projects.get(project.id).mergerequests.create(
        {"source_branch": "topic", "target_branch": "main", "title": "A change"}
    )
    found: MergeRequest = project.merge_requests[made.iid]
    return found


def test_gitlab_says_one_remark_in_one_thread(merge: Merge) -> None:
    made = merge.say(remark(2))
    [note] = merge.notes
    assert note.body == "Pin it.\n\n```suggestion:-0+0\nFROM x@y\n```\n\nAbout this change."
    assert note.position is not None
    assert (note.position["new_line"], note.position.get("old_line")) == (2, None)
    assert made.spoken[0].place == note.discussion
    assert len(merge.lab.requests) <= 4


def test_gitlab_says_several_in_one_notification(merge: Merge) -> None:
    several = Remark(path="Dockerfile", first=20, last=21, body="Pin.", suggestion="a\nb", topic="t")
    made = merge.say(remark(2), several)
    assert merge.one.published == 1
    assert [one.body for one in merge.notes] == [
        "Pin it.\n\n```suggestion:-0+0\nFROM x@y\n```\n\nAbout this change.",
        "Pin.\n\n```suggestion:-0+1\na\nb\n```",
    ]
    assert {one.place for one in made.spoken} == {one.discussion for one in merge.notes}


def test_gitlab_speaks_of_unchanged_lines_by_both_numbers(merge: Merge) -> None:
    merge.say(remark(22, suggestion=None))
    [note] = merge.notes
    assert note.position is not None
    assert (note.position["new_line"], note.position["old_line"]) == (22, 21)


def test_gitlab_without_draft_notes_begins_thread_by_thread(merge: Merge) -> None:
    merge.lab.world.draft_notes = False
    made = merge.say(remark(2), remark(20))
    assert len(merge.notes) == len(made.spoken) == 2
    assert merge.one.published == 0
    assert merge.notes[0].body.endswith("About this change.")
    again = merge.say(remark(2), remark(20), uncertain=True)
    assert [one.place for one in again.spoken] == [one.place for one in made.spoken]


def test_gitlab_keeps_what_is_said_again_and_resolves_the_rest(merge: Merge) -> None:
    first = merge.say(remark(2), remark(20))
    second = merge.say(remark(20), remark(21), before=first.spoken)
    by_line = {one.position["new_line"]: one.resolved for one in merge.notes if one.position}
    assert by_line == {2: True, 20: False, 21: False}
    merge.say(before=second.spoken)
    assert all(one.resolved for one in merge.notes if one.position)


def test_gitlab_leaves_out_what_is_not_in_the_diff(merge: Merge) -> None:
    made = merge.say(remark(2), remark(11), remark(2, path="other"))
    assert [one.position["new_line"] for one in merge.notes if one.position] == [2]
    assert len(made.unplaced) == 2


def test_gitlab_does_not_speak_of_a_head_that_moved_on(merge: Merge) -> None:
    with pytest.raises(SupersededError):
        merge.say(remark(2), commit="a" * 40)
    assert not merge.notes


def test_nothing_that_is_said_is_an_order_to_gitlab(merge: Merge) -> None:
    merge.say(remark(2, "/close\n  /merge", "FROM x"), remark(20, "/approve", None))
    merge.say(remark(21, "/close", None))
    assert merge.lab.executed == []
    assert merge.one.state == "opened"


def _lost(merge: Merge) -> Iterator[Callable[[], None]]:
    for path in ("*/draft_notes", "*/draft_notes/bulk_publish", "*/discussions"):
        for done in (False, True):
            yield lambda path=path, done=done: merge.lab.cut("POST", path, done=done)  # type: ignore[misc]  # bound at once


def test_gitlab_s_lost_answers_say_nothing_twice(merge: Merge) -> None:
    for lose in _lost(merge):
        merge.one.notes.clear()
        merge.one.drafts.clear()
        lose()
        try:
            merge.say(remark(2), remark(20))
        except (TransientError, ForgeError):
            merge.say(remark(2), remark(20), uncertain=True)
        assert sorted(one.position["new_line"] for one in merge.notes if one.position) == [2, 20]
    for fault in list(merge.lab.application.faults):
        merge.lab.application.faults.remove(fault)


def test_a_crash_between_drafts_leaves_none_behind(merge: Merge) -> None:
    merge.lab.bad_gateway("POST", "*/bulk_publish", done=False)
    with pytest.raises(TransientError):
        merge.say(remark(2), remark(20))
    assert merge.one.drafts
    merge.say(remark(2), remark(20), uncertain=True)
    assert not merge.one.drafts
    assert len([one for one in merge.notes if one.position]) == 2


_EDITS: dict[str, dict[str, Any]] = {
    "edited": {"Dockerfile": b"FROM node:23\n"},
    "several edited": {"Dockerfile": b"FROM node:23\n", "api/Dockerfile": b"FROM redis:8\n"},
    "runnable": {"Dockerfile": (0o100755, HEAD)},
    "a link": {"Dockerfile": (0o120000, b"other")},
    "a submodule": {"api/Dockerfile": (0o160000, b"c" * 40)},
    "removed": {"Dockerfile": None},
    "its folder too": {"api/Dockerfile": None},
    "added": {"new/deep/Dockerfile": b"FROM redis:8\n"},
    "renamed": {"Dockerfile": None, "Containerfile": HEAD},
    "no text": {"Dockerfile": b"FROM \xff\n"},
    "empty": {"Dockerfile": b""},
}


@pytest.mark.parametrize("name", _EDITS)
@pytest.mark.parametrize("told", [False, True])
def test_gitlab_s_head_is_read_as_it_is_whatever_was_told_along(name: str, told: bool) -> None:
    """By what it differs in, or by its own listing: it comes to the same."""
    with gitlab() as lab:
        bot, ada = lab.user("moorline", bot=True), lab.user("ada")
        for one, level in ((bot, Level.DEVELOPER), (ada, Level.MAINTAINER)):
            lab.join("acme", one, level)
        project = lab.project(
            "acme/web", {"Dockerfile": HEAD, "api/Dockerfile": b"FROM redis:7\n", "x": b"x\n"}
        )
        lab.push(project, _EDITS[name], branch="topic", user=ada)
        merge = opened(lab, project, ada)
        knows, asks = (
            GitLabForge(
                lab.url, lab.token(bot), pause=lambda _seconds: None, prefetch=lambda path, _head: path != "x"
            )
            for _ in range(2)
        )
        claims = lambda path, _head: path != "x"  # noqa: E731 - both read by the same rule
        assert merge.base_sha is not None
        assert merge.sha is not None
        knows.snapshot("acme/web", merge.base_sha, claims)
        request = knows.request("acme/web", merge.iid)
        if not told:
            knows.changed("acme/web", merge.iid)
        assert (request.head, request.files) == (merge.sha, len(_EDITS[name]))
        assert request.onto == project.repository.head("main")
        assert knows.snapshot("acme/web", merge.sha, claims) == asks.snapshot("acme/web", merge.sha, claims)
        wanted = [*_EDITS[name], "Dockerfile", "x"]
        assert knows.read("acme/web", merge.sha, wanted) == asks.read("acme/web", merge.sha, wanted)


def test_gitlab_s_refusal_of_a_guessed_place_costs_nothing_but_requests(merge: Merge) -> None:
    """The line was there before, which only the diff tells: it is said all the same, and once."""
    assert merge.one.base_sha is not None
    merge.forge.snapshot("acme/web", merge.one.base_sha, lambda _path, _head: True)
    assert merge.forge.request("acme/web", merge.one.iid).changed is not None
    made = merge.say(remark(2), remark(22, suggestion=None), remark(11))
    assert sorted(one.position["new_line"] for one in merge.notes if one.position) == [2, 22]
    assert [one.first for one in made.unplaced] == [11]


def test_gitlab_without_graphql_is_asked_by_rest(merge: Merge) -> None:
    merge.lab.world.graphql_status = 404
    request = merge.forge.request("acme/web", merge.one.iid)
    assert (request.head, request.onto, request.files) == (merge.one.sha, "", 1)
    assert [one.path for one in merge.forge.changed("acme/web", merge.one.iid)] == ["Dockerfile"]


def test_gitlab_tells_what_is_changed(merge: Merge) -> None:
    assert [(one.path, one.hunks) for one in merge.forge.changed("acme/web", merge.one.iid)] == [
        ("Dockerfile", ((1, 5), (17, 24)))
    ]


def test_what_was_asked_holds_no_secret(merge: Merge) -> None:
    merge.say(remark(2))
    for asked in merge.lab.requests:
        assert "glpat" not in json.dumps(asked.body.decode("utf-8", "replace"))
