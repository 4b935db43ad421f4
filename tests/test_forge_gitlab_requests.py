"""The GitLab forge on the stand-in: merge requests, notes, statuses, lint, and what the token may see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from gitlab_http import Reply
from gitlab_standin import GitLab, Level, MergeRequest, Project, gitlab
from gitlab_world import Status

from bot.errors import ForgeError, MissingError, MovedError, TransientError
from bot.forges.base import Annotation, Change, Check, Conclusion, RequestState, Wish
from bot.forges.base import Level as Importance
from bot.forges.gitlab import GitLabForge
from bot.forges.gitlab_texts import bare_title, fenced, harmless, titled
from bot.model import Edit, Span

DIGEST = b"@sha256:" + b"0123456789abcdef" * 4
BRANCH = "moorline/pins"
WISH = Wish(title="Pin 1 image", body="Why.\n", labels=("pins", "a, b"), draft=False, squash=True)
GREEN = Check(conclusion=Conclusion.SUCCESS, title="All is pinned", summary="x", url="https://m.example/1")


class Site:
    """A stand-in with a project whose branch of ours is written already."""

    def __init__(self, lab: GitLab) -> None:
        self.lab = lab
        self.bot = lab.user("moorline", "Moorline", bot=True)
        self.ada = lab.user("ada", "Ada")
        self.bob = lab.user("bob", "Bob")
        for one, level in (
            (self.bot, Level.DEVELOPER),
            (self.ada, Level.MAINTAINER),
            (self.bob, Level.DEVELOPER),
        ):
            lab.join("acme", one, level)
        self.project: Project = lab.project(
            "acme/web", {"Dockerfile": b"FROM node:18\n", ".gitlab-ci.yml": b"a:\n  script: [x]\n"}
        )
        self.token = lab.token(self.bot)
        self.forge = self.made()
        self.commit = self.forge.write(self.change())
        lab.requests.clear()

    def made(self, **more: Any) -> GitLabForge:
        return GitLabForge(self.lab.url, self.token, pause=lambda _seconds: None, **more)

    def change(self) -> Change:
        edit = Edit(path="Dockerfile", span=Span(5, 12), expected=b"node:18", replacement=b"node:18" + DIGEST)
        return Change(
            repository="acme/web",
            base="main",
            parent=self.lab.head(self.project) or "",
            branch=BRANCH,
            expected=None,
            message="Pin\n",
            edits=(edit,),
        )

    def open(self, wish: Wish = WISH) -> MergeRequest:
        made = self.forge.open("acme/web", "main", BRANCH, wish)
        assert made.notes == ()
        return self.project.merge_requests[made.request.number]

    @property
    def statuses(self) -> list[Status]:
        return self.project.statuses


@pytest.fixture
def site() -> Iterator[Site]:
    with gitlab() as lab:
        yield Site(lab)


# --- merge requests -----------------------------------------------------------------------


def test_a_request_is_made_as_wished(site: Site) -> None:
    made = site.forge.open("acme/web", "main", BRANCH, WISH)
    one = site.project.merge_requests[made.request.number]
    assert made.notes == ()
    assert made.request.url == f"{site.lab.url}/acme/web/-/merge_requests/1"
    assert (made.request.state, made.request.ours, made.request.fork) == (RequestState.OPEN, True, False)
    assert (made.request.head, made.request.branch, made.request.base) == (site.commit, BRANCH, "main")
    assert (one.title, one.description, one.squash, one.remove_source) == (
        "Pin 1 image",
        "Why.\n",
        True,
        True,
    )
    assert sorted(one.labels) == ["a  b", "pins"]  # a comma would part a label in two


def test_what_is_not_wished_is_left_to_the_project(site: Site) -> None:
    one = site.open(replace(WISH, squash=None, remove_branch=False, labels=()))
    assert one.sent.keys() == {
        "source_branch",
        "target_branch",
        "title",
        "description",
        "remove_source_branch",
    }


def test_drafts_are_marked_and_titles_are_not(site: Site) -> None:
    made = site.forge.open("acme/web", "main", BRANCH, replace(WISH, draft=True))
    one = site.project.merge_requests[made.request.number]
    assert one.title == "Draft: Pin 1 image"
    assert made.request.title == "Pin 1 image"
    site.forge.edit("acme/web", one.iid, replace(WISH, draft=True))
    assert not [asked for asked in site.lab.writes() if asked.method == "PUT"]
    one.title = "Pin 1 image"  # a person said that it is ready
    site.forge.edit("acme/web", one.iid, replace(WISH, draft=True, title="Pin 2 images"))
    assert one.title == "Pin 2 images"


def test_an_open_request_is_edited_and_not_made_again(site: Site) -> None:
    one = site.open()
    one.labels.append("theirs")
    again = site.forge.open(
        "acme/web", "main", BRANCH, replace(WISH, title="Pin 2 images", body="Because.\n")
    )
    assert again.request.number == one.iid
    assert (one.title, one.description) == ("Pin 2 images", "Because.\n")
    assert sorted(one.labels) == ["a  b", "pins", "theirs"]
    assert len(site.lab.merge_requests(site.project)) == 1


def test_an_equal_request_is_left(site: Site) -> None:
    one = site.open()
    site.lab.requests.clear()
    assert site.forge.edit("acme/web", one.iid, WISH).request.number == one.iid
    assert [asked.method for asked in site.lab.requests] == ["GET"]


def test_the_look_of_a_moment_ago_is_the_look_before_the_write(site: Site) -> None:
    site.forge.standing("acme/web", "main", BRANCH)
    site.lab.requests.clear()
    site.open()
    assert [asked.method for asked in site.lab.requests] == ["POST"]


def test_a_request_that_came_in_between_is_adopted(site: Site) -> None:
    site.forge.standing("acme/web", "main", BRANCH)
    first = site.made().open("acme/web", "main", BRANCH, WISH).request
    made = site.forge.open("acme/web", "main", BRANCH, replace(WISH, title="Pin 2 images"))
    assert made.request.number == first.number
    assert made.request.title == "Pin 2 images"
    assert len(site.lab.merge_requests(site.project)) == 1


def test_a_request_of_somebody_else_is_left_as_it_is(site: Site) -> None:
    other = GitLabForge(site.lab.url, site.lab.token(site.ada))
    theirs = other.open("acme/web", "main", BRANCH, replace(WISH, title="Mine")).request
    made = site.forge.open("acme/web", "main", BRANCH, WISH)
    assert (made.request.number, made.request.ours) == (theirs.number, False)
    assert "somebody else" in made.notes[0]
    assert site.project.merge_requests[theirs.number].title == "Mine"


@pytest.mark.parametrize("cut", [False, True])
def test_a_request_that_was_made_in_spite_of_an_error_is_adopted(site: Site, cut: bool) -> None:
    if cut:
        site.lab.cut("POST", "*/merge_requests", done=True)
    else:
        site.lab.bad_gateway("POST", "*/merge_requests", done=True)
    made = site.forge.open("acme/web", "main", BRANCH, WISH)
    assert made.request.number == 1
    assert len(site.lab.merge_requests(site.project)) == 1
    assert site.lab.count("POST", "*/merge_requests") == 1


def test_a_request_that_was_not_made_is_not_sent_again(site: Site) -> None:
    site.lab.bad_gateway("POST", "*/merge_requests", done=False)
    with pytest.raises(TransientError):
        site.forge.open("acme/web", "main", BRANCH, WISH)
    assert site.lab.count("POST", "*/merge_requests") == 1
    assert site.forge.open("acme/web", "main", BRANCH, WISH).request.number == 1


def test_people_by_name(site: Site) -> None:
    wish = replace(WISH, reviewers=("ADA", "@bob", "nobody", "team:platform"), assignees=("bob",))
    made = site.forge.open("acme/web", "main", BRANCH, wish)
    one = site.project.merge_requests[made.request.number]
    assert {user.username for user in one.reviewers} == {"ada", "bob"}
    assert [user.username for user in one.assignees] == ["bob"]
    assert len(made.notes) == 2
    assert "nobody" in made.notes[0]
    assert "team" in made.notes[1]


def test_one_reviewer_on_free(site: Site) -> None:
    site.lab.world.licensed = False
    made = site.forge.open("acme/web", "main", BRANCH, replace(WISH, reviewers=("ada", "bob")))
    one = site.project.merge_requests[made.request.number]
    assert len(one.reviewers) == 1
    assert any("1 of 2 reviewers" in note for note in made.notes)


def test_people_that_are_refused_do_not_cost_the_request(site: Site) -> None:
    refusal = Reply(
        status=400, body=b'{"message": "too many"}', headers=(("Content-Type", "application/json"),)
    )
    site.lab.fail("POST", "*/merge_requests", reply=refusal)
    made = site.forge.open("acme/web", "main", BRANCH, replace(WISH, reviewers=("ada",)))
    assert made.request.number == 1
    assert "too many" in made.notes[0]


def test_an_edit_that_happened_in_spite_of_an_error(site: Site) -> None:
    one = site.open()
    site.lab.bad_gateway("PUT", done=True)
    assert site.forge.edit("acme/web", one.iid, replace(WISH, title="New")).request.title == "New"
    site.lab.bad_gateway("PUT", done=False)
    with pytest.raises(TransientError):
        site.forge.edit("acme/web", one.iid, replace(WISH, title="Newer"))
    assert site.lab.count("PUT") == 2


def test_a_closed_request_is_not_edited(site: Site) -> None:
    one = site.open()
    site.lab.close(one)
    made = site.forge.edit("acme/web", one.iid, replace(WISH, title="New"))
    assert (made.request.state, one.title) == (RequestState.CLOSED, "Pin 1 image")
    assert made.notes


def test_no_such_request(site: Site) -> None:
    with pytest.raises(MissingError):
        site.forge.request("acme/web", 9)


def test_states_of_requests(site: Site) -> None:
    one = site.open()
    assert site.forge.request("acme/web", one.iid).state is RequestState.OPEN
    site.lab.merge(one)
    assert site.forge.request("acme/web", one.iid).state is RequestState.MERGED


# --- notes --------------------------------------------------------------------------------


def test_a_request_is_closed_with_a_word(site: Site) -> None:
    one = site.open()
    site.forge.close("acme/web", one.iid, "Nothing is left.")
    assert one.state == "closed"
    assert [note.body for note in one.notes if not note.system] == ["Nothing is left."]
    site.forge.close("acme/web", one.iid, "Nothing is left.")
    assert len([note for note in one.notes if not note.system]) == 1


def test_the_word_is_said_once_though_closing_failed(site: Site) -> None:
    one = site.open()
    site.lab.bad_gateway("PUT", done=False)
    with pytest.raises(TransientError):
        site.forge.close("acme/web", one.iid, "Nothing is left.")
    site.lab.bad_gateway("PUT", done=True)
    site.forge.close("acme/web", one.iid, "Nothing is left.")
    assert one.state == "closed"
    assert len([note for note in one.notes if not note.system]) == 1


@pytest.mark.parametrize("done", [False, True])
def test_a_note_is_never_there_twice(site: Site, done: bool) -> None:
    one = site.open()
    site.lab.bad_gateway("POST", "*/notes", done=done)
    if done:
        site.forge.comment("acme/web", one.iid, "Hello")
    else:
        with pytest.raises(TransientError):
            site.forge.comment("acme/web", one.iid, "Hello")
    assert len(one.notes) == (1 if done else 0)
    assert site.lab.count("POST", "*/notes") == 1


def test_an_older_equal_note_is_not_taken_for_ours(site: Site) -> None:
    one = site.open()
    site.lab.comment(one, "Hello", site.bot)
    one.notes[0].created = one.notes[0].created.replace(year=2020)
    site.lab.bad_gateway("POST", "*/notes", done=False)
    with pytest.raises(TransientError):
        site.forge.comment("acme/web", one.iid, "Hello")


HOSTILE = "See:\n/merge\n\r/approve\n  /close\n```\nx\n```\r\n/assign me\n/label ~a"


def test_no_text_of_ours_is_an_order(site: Site) -> None:
    one = site.open(replace(WISH, body=HOSTILE))
    site.forge.comment("acme/web", one.iid, HOSTILE)
    site.forge.edit("acme/web", one.iid, replace(WISH, body=HOSTILE + "\n/merge"))
    site.forge.close("acme/web", one.iid, HOSTILE)
    assert site.lab.executed == []
    assert one.state == "closed"


@pytest.mark.parametrize("text", [HOSTILE, "/merge", "\r/merge", "a\r\r\n\r/merge", "\n\n/x", "```\n/x\n"])
def test_harmless(text: str) -> None:
    made = harmless(text)
    assert not any(line.lstrip(" \t").startswith("/") for line in made.replace("\r", "").split("\n"))
    assert made.replace("\u2060", "") == text.replace("\r\n", "\n").replace("\r", "\n")


def test_titles() -> None:
    assert titled("a\nb/c\u202e", draft=True) == "Draft: a\ufffdb/c\ufffd"
    assert len(titled("x" * 900, draft=True)) == 255
    assert titled("Draft: x", draft=False) == "x"
    assert [
        bare_title(one) for one in ("[Draft] x", "(draft) x", "draft: DRAFT: x", "drafty x", "Draft:")
    ] == [
        "x",
        "x",
        "x",
        "drafty x",
        "Draft:",
    ]


def test_a_fence_holds_what_it_is_given() -> None:
    made = fenced("a\n````\n/merge\n~~~\x1b[31m")
    assert made.startswith("`````text\n")
    assert made.endswith("\n`````\n")
    assert "\x1b" not in made
    assert "\n/merge" not in made


# --- statuses -----------------------------------------------------------------------------


def test_a_status_on_our_new_commit_is_one_request(site: Site) -> None:
    site.forge.check("acme/web", site.commit, GREEN)
    assert [asked.method for asked in site.lab.requests] == ["POST"]
    [status] = site.statuses
    assert (status.name, status.state, status.ref) == ("moorline", "success", BRANCH)
    assert (status.description, status.target_url) == ("All is pinned", "https://m.example/1")


def test_an_equal_status_is_not_said_twice(site: Site) -> None:
    site.forge.check("acme/web", site.commit, GREEN)
    site.forge.check("acme/web", site.commit, GREEN)
    site.made().check("acme/web", site.commit, GREEN)
    assert site.lab.count("POST", "*/statuses/*") == 1
    site.forge.check("acme/web", site.commit, replace(GREEN, title="Something else"))
    site.forge.check("acme/web", site.commit, replace(GREEN, conclusion=Conclusion.FAILURE))
    assert [one.state for one in site.statuses] == ["success", "success", "failed"]


def test_neutral_is_a_success_that_says_so(site: Site) -> None:
    said = Annotation(path="Dockerfile", line=1, level=Importance.WARNING, title="t", message="m")
    neutral = replace(GREEN, conclusion=Conclusion.NEUTRAL, annotations=(said,), title="x\x1b" * 300, url="")
    site.forge.check("acme/web", site.commit, neutral)
    [status] = site.statuses
    assert status.state == "success"
    assert (status.description or "").startswith("Neutral: x\ufffd")
    assert len(status.description or "") == 255
    assert status.target_url is None


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://m.example/" + "x" * 300])
def test_a_url_that_gitlab_would_refuse_is_left_out(site: Site, url: str) -> None:
    site.forge.check("acme/web", site.commit, replace(GREEN, url=url))
    assert site.statuses[0].target_url is None


def test_a_status_joins_the_pipeline_that_ran(site: Site) -> None:
    job = Status(
        id=900,
        sha=site.commit,
        ref="refs/merge-requests/1/head",
        name="build",
        state="success",
        author=site.ada,
        created=site.lab.world.clock(),
        description=None,
        target_url=None,
        pipeline=77,
    )
    site.statuses.append(job)
    site.made().check("acme/web", site.commit, GREEN)
    assert (site.statuses[-1].name, site.statuses[-1].pipeline) == ("moorline", 77)
    assert site.statuses[-1].ref == "refs/merge-requests/1/head"
    site.made().check("acme/web", site.commit, GREEN)
    assert len(site.statuses) == 2
    site.statuses.append(replace(job, id=1900, pipeline=99))
    site.made().check("acme/web", site.commit, GREEN)  # a newer pipeline shows no older one's statuses
    assert site.statuses[-1].pipeline == 99


def test_a_status_that_was_set_in_spite_of_an_error(site: Site) -> None:
    site.lab.bad_gateway("POST", "*/statuses/*", done=True)
    site.forge.check("acme/web", site.commit, GREEN)
    assert len(site.statuses) == 1
    site.lab.bad_gateway("POST", "*/statuses/*", done=False)
    with pytest.raises(TransientError):
        site.forge.check("acme/web", site.commit, replace(GREEN, title="Else"))
    assert site.lab.count("POST", "*/statuses/*") == 2


# --- lint ---------------------------------------------------------------------------------


def test_a_valid_configuration(site: Site) -> None:
    said = site.forge.advise("acme/web", site.commit, [".gitlab-ci.yml", "Dockerfile"])
    assert said == "GitLab's CI lint accepts the changed pipeline configuration.\n"


def test_the_lint_is_asked_where_its_file_changed(site: Site) -> None:
    site.forge.standing("acme/web", "main", BRANCH)
    site.lab.requests.clear()
    assert site.forge.advise("acme/web", site.commit, ["Dockerfile"]) == ""
    assert not site.lab.requests
    site.project.ci_config_path = "ci/main.yml"
    assert site.made().advise("acme/web", site.commit, [".gitlab-ci.yml"]) == ""
    assert site.lab.count("GET", "*/ci/lint") == 0


def test_what_the_lint_says_can_do_no_harm(site: Site) -> None:
    errors = ["jobs `x` @all\n/merge", "``````", "<img src=x>", *["more"] * 40]
    site.lab.world.lint = {"valid": False, "errors": errors, "warnings": ["w"], "merged_yaml": None}
    said = site.forge.advise("acme/web", site.commit, [".gitlab-ci.yml"])
    assert "**not**" in said
    fence = "`" * 7
    assert said.count(fence) == 2
    assert "... and 24 more" in said
    one = site.open(replace(WISH, body=said))
    site.forge.comment("acme/web", one.iid, said)
    assert site.lab.executed == []


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_lint_that_is_not_to_be_had_says_nothing(site: Site, status: int) -> None:
    site.lab.fail("GET", "*/ci/lint", reply=Reply(status=status, body=b"{}"))
    assert site.forge.advise("acme/web", site.commit, [".gitlab-ci.yml"]) == ""


# --- what we may see ----------------------------------------------------------------------


def test_who_we_are_is_asked_once(site: Site) -> None:
    forge = site.made()
    assert (forge.account().id, forge.account().login) == (str(site.bot.id), "moorline")
    assert site.lab.count("GET", "/api/v4/user") == 1


def test_repositories_with_heads_in_two_questions_for_a_hundred(site: Site) -> None:
    for number in range(119):
        site.lab.project(f"acme/p{number}", {"a": b"%d" % number})
    site.lab.world.projects[site.project.id].visibility = "public"
    site.lab.requests.clear()
    found = {one.name: one for one in site.forge.repositories()}
    assert len(found) == 120
    assert len(site.lab.requests) == 4
    assert found["acme/web"].head == site.lab.head(site.project)
    assert found["acme/web"].default_branch == "main"
    assert (found["acme/web"].private, found["acme/p7"].private) == (False, True)
    assert found["acme/web"].id == str(site.project.id)


def some(site: Site) -> None:
    site.lab.archive(site.lab.project("acme/old", {"a": b"a"}))
    site.lab.project("acme/empty")
    site.lab.fork(site.project, "acme/fork")
    site.lab.project("other/secret", {"a": b"a"})
    site.lab.project("open/source", {"a": b"a"}, visibility="public")


def test_archived_empty_and_forked_repositories(site: Site) -> None:
    some(site)
    found = {one.name: one for one in site.forge.repositories()}
    assert found.keys() == {"acme/web", "acme/old", "acme/empty", "acme/fork"}
    assert found["acme/old"].archived
    assert (found["acme/empty"].head, found["acme/empty"].default_branch) == ("", "")
    assert found["acme/fork"].fork
    assert not found["acme/web"].fork


def test_owners_that_are_served(site: Site) -> None:
    other = site.lab.project("beta/app", {"a": b"a"})
    site.lab.join(other, site.bot, Level.DEVELOPER)
    assert {one.name for one in site.forge.repositories()} == {"acme/web", "beta/app"}
    assert [one.name for one in site.forge.repositories("beta")] == ["beta/app"]
    assert [one.name for one in site.forge.repositories("bet")] == []
    served = site.made(owners=frozenset({"Beta"}))
    assert [one.name for one in served.repositories()] == ["beta/app"]


def test_heads_by_rest_alone(site: Site) -> None:
    some(site)
    site.lab.world.graphql_status = 404
    found = {one.name: one for one in site.forge.repositories()}
    assert found["acme/web"].head == site.lab.head(site.project)
    assert found["acme/empty"].head == ""
    assert site.lab.count("GET", "*/repository/branches/*") == 2


def test_one_repository(site: Site) -> None:
    found = site.forge.repository("acme/web")
    assert (found.name, found.head, found.owner) == ("acme/web", site.lab.head(site.project), "acme")
    site.lab.rename(site.project, "beta/web")
    site.lab.join("beta", site.bot)
    with pytest.raises(MovedError) as caught:
        site.forge.repository("acme/web")
    assert caught.value.name == "beta/web"
    site.lab.destroy(site.project)
    with pytest.raises(MissingError):
        site.forge.repository("beta/web")


def test_nothing_is_narrowed_or_verified(site: Site) -> None:
    with site.forge.publishing("acme/web"):
        assert site.forge.verified("acme/web", site.commit) == ""
    assert not site.lab.requests


def test_a_reader_may_not_propose(site: Site) -> None:
    site.lab.join("acme", site.bot, Level.REPORTER)
    with pytest.raises(ForgeError) as caught:
        site.forge.check("acme/web", site.lab.head(site.project) or "", GREEN)
    assert "Developer" in caught.value.advice


def test_a_whole_proposal_in_eight_requests(site: Site) -> None:
    """The table of issue 3, for GitLab: the project and our account are known to a service that runs."""
    site.lab.delete_branch(site.project, BRANCH)
    site.lab.push(site.project, {"Dockerfile": b"FROM node:18\n# new\n"})
    site.lab.requests.clear()

    def claims(path: str, _head: bytes) -> bool:
        return path == "Dockerfile"

    forge = site.made(prefetch=claims)
    forge.account()
    forge.head("acme/web", "main")
    site.lab.requests.clear()
    _, head = forge.head("acme/web", "main")
    forge.read("acme/web", head, [".moorline.yml"])
    forge.snapshot("acme/web", head, claims)
    standing = forge.standing("acme/web", "main", BRANCH)
    assert (standing.base, standing.branch) == (head, None)
    commit = forge.write(replace(site.change(), parent=head))
    request = forge.open("acme/web", "main", BRANCH, WISH).request
    forge.check("acme/web", commit, replace(GREEN, url=request.url))
    assert len(site.lab.requests) == 8
