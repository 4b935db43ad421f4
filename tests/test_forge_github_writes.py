"""The GitHub forge writes: commits that are verified, branches that are ours, and never twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from github_forging import BRANCH, DIGEST, NEW, OLD, REPOSITORY, Place, both, claims, pin
from github_git import Content, File
from github_standin import github

from bot.errors import ForgeError, GuardError, MovedError, SupersededError, TransientError
from bot.forges.base import Check as Report
from bot.forges.base import Conclusion, Wish
from bot.forges.github import GitHubForge
from bot.model import Edit, Span

EXECUTABLE = 0o100755
WISH = Wish(title="Pin", body="Because.")
WORKFLOW = ".github/workflows/ci.yml"
RUN = b"jobs:\n  a:\n    container: node:18\n"
FILES: dict[str, Content] = {
    "Dockerfile": OLD,
    "run/Dockerfile": File(OLD, EXECUTABLE),
    WORKFLOW: RUN,
    "README.md": b"x",
}


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with github(enterprise=getattr(request, "param", False)) as standin:
        standin.repository(REPOSITORY, FILES)
        standin.install("acme")
        yield Place(standin)


@pytest.fixture
def forge(place: Place) -> GitHubForge:
    return place.forge()


def branch(place: Place) -> str | None:
    return place.github.head(REPOSITORY, BRANCH)


# --- what is written ------------------------------------------------------------------------


@both
def test_writes_a_commit_and_then_the_branch(place: Place, forge: GitHubForge) -> None:
    heard: list[tuple[str, str | None]] = []
    change = place.change("Dockerfile", "run/Dockerfile", message="Pin images\n\nBecause.\n")
    with forge.publishing(REPOSITORY):
        commit = forge.write(change, lambda one: heard.append((one, branch(place))))
    assert branch(place) == commit
    assert heard == [(commit, None)]
    assert place.github.read(REPOSITORY, "Dockerfile", commit) == NEW
    assert place.github.read(REPOSITORY, "run/Dockerfile", commit) == NEW
    assert place.github.mode(REPOSITORY, "run/Dockerfile", commit) == EXECUTABLE
    assert place.github.mode(REPOSITORY, "Dockerfile", commit) == 0o100644
    made = place.github[REPOSITORY].git.commit_at(commit)
    assert made is not None
    assert [parent.decode() for parent in made.parents] == [change.parent]
    assert made.message == b"Pin images\n\nBecause."
    [sent] = [one for one in place.github.requests if one.route.endswith("/git/commits")]
    assert set(json.loads(sent.body)) == {"message", "tree", "parents"}
    assert not forge.made(change, commit)
    if place.github.enterprise:
        assert "unsigned" not in forge.verified(REPOSITORY, commit)
        assert "web commit signing" in forge.verified(REPOSITORY, commit)
    else:
        assert forge.verified(REPOSITORY, commit) == ""


def test_a_proposal_costs_few_requests(place: Place, forge: GitHubForge) -> None:
    forge.head(REPOSITORY, "main")
    place.github.push(REPOSITORY, {"README.md": b"y"})
    commit = place.github.head(REPOSITORY)
    assert commit is not None
    place.github.forget()
    forge.read(REPOSITORY, commit, [".moorline.yml"])
    forge.snapshot(REPOSITORY, commit, claims)
    standing = forge.standing(REPOSITORY, "main", BRANCH)
    assert (standing.base, standing.branch, standing.request) == (commit, None, None)
    with forge.publishing(REPOSITORY):
        made = forge.write(place.change())
        opened = forge.open(REPOSITORY, "main", BRANCH, WISH)
        forge.check(REPOSITORY, made, Report(conclusion=Conclusion.SUCCESS, title="t", summary="s"))
    assert opened.request.head == made
    counted = [one for one in place.github.asked() if "access_tokens" not in one and one != "GET /app"]
    assert len(counted) <= 8, counted


def test_verified_says_why_not(place: Place, forge: GitHubForge) -> None:
    place.github.switches.drop_unverified = True
    commit = place.published(forge)
    said = forge.verified(REPOSITORY, commit)
    assert said.startswith("GitHub does not show the commit as verified: it carries no signature")
    assert "not show the commit as verified" in place.forge().verified(REPOSITORY, commit)
    signed = place.github.push(REPOSITORY, {"x": b""}, signed=True)
    assert place.forge().verified(REPOSITORY, signed) == ""


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + OLD,
        b"FROM node:18\r\nRUN caf\xc3\xa9\r\n",
        b"FROM node:18\n# caf\xe9\n",
        b"FROM node:18",
        b"FROM node:18\n# " + "\U0001f433\u2028".encode(),
    ],
    ids=["bom", "crlf", "latin-1", "no newline", "astral"],
)
def test_every_other_byte_stays(place: Place, forge: GitHubForge, data: bytes) -> None:
    place.github.push(REPOSITORY, {"Dockerfile": data})
    start = data.index(b"node:18")
    commit = place.published(forge, place.change(edits=(pin("Dockerfile", start),)))
    assert place.github.read(REPOSITORY, "Dockerfile", commit) == data.replace(
        b"node:18", b"node:18" + DIGEST
    )


def test_a_tree_that_was_not_meant_is_not_committed(place: Place, forge: GitHubForge) -> None:
    other = place.github[REPOSITORY].git.tree_of(place.github.head(REPOSITORY) or "")
    body = json.dumps({"sha": other, "url": "x", "tree": [], "truncated": False}).encode()
    place.github.fail("POST", "*/git/trees", status=201, body=body)
    with pytest.raises(ForgeError, match="another tree"):
        place.published(forge)
    assert place.github.count("POST", "*/git/commits") == 0
    assert branch(place) is None


def test_the_guard_stands_before_every_write(place: Place, forge: GitHubForge) -> None:
    script = Edit(path="Dockerfile", span=Span(13, 21), expected=b"RUN make", replacement=b"RUN evil")
    new = Edit(path="new", span=Span(0, 0), expected=b"", replacement=b"x")
    place.github.push(REPOSITORY, {"link": File(b"Dockerfile", 0o120000)})
    for edits in (
        (script,),
        (new,),
        (pin("../Dockerfile"),),
        (pin(".git/config"),),
        (pin("link"),),
        (pin("run"),),
        (replace(pin("Dockerfile"), expected=b"node:19"),),
        (),
    ):
        place.github.forget()
        with pytest.raises(GuardError):
            place.published(forge, place.change(edits=edits))
        assert place.github.count("POST", "/repos/*") == 0
    with pytest.raises(GuardError, match="NUL"):
        place.published(forge, place.change(message="a\0b"))
    assert branch(place) is None


def test_our_own_configuration_may_be_new(place: Place, forge: GitHubForge) -> None:
    text = b"mode: observe\n"
    edit = Edit(path=".moorline.yml", span=Span(0, 0), expected=b"", replacement=text)
    commit = place.published(forge, place.change(edits=(edit,)))
    assert place.github.read(REPOSITORY, ".moorline.yml", commit) == text
    assert place.github.mode(REPOSITORY, ".moorline.yml", commit) == 0o100644


@pytest.mark.parametrize("name", ["main", "trunk"])
def test_neither_base_nor_default_branch_is_written_to(place: Place, forge: GitHubForge, name: str) -> None:
    place.github.push(REPOSITORY, {"x": b""}, branch="trunk")
    before = place.github.branches(REPOSITORY)
    with pytest.raises(ForgeError, match="never written"):
        place.published(forge, place.change(branch=name, base="trunk", expected=before[name]))
    with forge.publishing(REPOSITORY), pytest.raises(ForgeError, match="never written"):
        forge.delete(REPOSITORY, "main", before["main"])
    assert place.github.branches(REPOSITORY) == before


# --- the branch moves only from where it was ------------------------------------------------

GRAPHQL = pytest.mark.parametrize("graphql", [200, 404], ids=["swap", "step"])


@GRAPHQL
def test_updates_from_the_head_that_was_stored(place: Place, forge: GitHubForge, graphql: int) -> None:
    place.github.switches.graphql = graphql
    first = place.published(forge)
    place.github.push(REPOSITORY, {"README.md": b"y"})
    second = place.published(forge, place.change("run/Dockerfile", expected=first))
    assert branch(place) == second != first


@GRAPHQL
@pytest.mark.parametrize("expected", [None, "b" * 40], ids=["new", "elsewhere"])
def test_a_branch_that_is_elsewhere_is_left(
    place: Place, forge: GitHubForge, graphql: int, expected: str | None
) -> None:
    place.github.switches.graphql = graphql
    place.github.push(REPOSITORY, {"x": b"theirs"}, branch=BRANCH)
    theirs = branch(place)
    with pytest.raises(SupersededError):
        place.published(forge, place.change(expected=expected))
    assert branch(place) == theirs


@GRAPHQL
def test_a_branch_that_is_gone_is_not_made_again(place: Place, forge: GitHubForge, graphql: int) -> None:
    place.github.switches.graphql = graphql
    first = place.published(forge)
    place.github.move(REPOSITORY, BRANCH, None)
    with pytest.raises(SupersededError):
        place.published(forge, place.change(expected=first))
    assert branch(place) is None


@GRAPHQL
def test_deletes_what_is_where_it_was(place: Place, forge: GitHubForge, graphql: int) -> None:
    place.github.switches.graphql = graphql
    first = place.published(forge)
    with forge.publishing(REPOSITORY):
        with pytest.raises(SupersededError):
            forge.delete(REPOSITORY, BRANCH, "b" * 40)
        assert branch(place) == first
        forge.delete(REPOSITORY, BRANCH, first)
        assert branch(place) is None
        with pytest.raises(SupersededError):
            forge.delete(REPOSITORY, BRANCH, first)


@GRAPHQL
@pytest.mark.parametrize("how", ["fail", "cut"])
def test_a_lost_answer_is_looked_for(place: Place, forge: GitHubForge, graphql: int, how: str) -> None:
    forge.head(REPOSITORY, "")
    place.github.switches.graphql = graphql
    act: Callable[..., object] = getattr(place.github, how)
    path = "*/git/refs" if graphql == 404 else "/graphql"
    change = place.change()
    forge.snapshot(
        REPOSITORY, change.parent, claims
    )  # what is read is read, and no query is to fail but ours
    place.github.forget()
    act("POST", path, done=True)
    commit = place.published(forge, change)
    assert branch(place) == commit
    assert place.github.count("POST", "*/git/commits") == 1
    place.github.push(REPOSITORY, {"README.md": b"y"})
    second = place.change(expected=commit)
    forge.snapshot(REPOSITORY, second.parent, claims)
    place.github.forget()
    act("PATCH" if graphql == 404 else "POST", "*/git/refs/*" if graphql == 404 else "/graphql", done=True)
    moved = place.published(forge, second)
    assert branch(place) == moved
    assert place.github.count("*", "*/git/refs/*") + place.github.count("POST", "/graphql") == 1


@GRAPHQL
def test_a_lost_request_is_not_sent_again(place: Place, forge: GitHubForge, graphql: int) -> None:
    forge.head(REPOSITORY, "")
    place.github.switches.graphql = graphql
    change = place.change()
    forge.snapshot(REPOSITORY, change.parent, claims)
    place.github.forget()
    place.github.fail("POST", "*/git/refs" if graphql == 404 else "/graphql", done=False)
    with pytest.raises(TransientError):
        place.published(forge, change)
    assert branch(place) is None
    assert place.github.count("POST", "*/git/refs") + place.github.count("POST", "/graphql") == 1


@GRAPHQL
def test_who_was_faster_wins(place: Place, forge: GitHubForge, graphql: int) -> None:
    """A push between the moment that we looked and the moment that we write."""
    place.github.switches.graphql = graphql
    first = place.published(forge)

    def race(_commit: str) -> None:
        place.github.push(REPOSITORY, {"x": b"theirs"}, branch=BRANCH)

    with forge.publishing(REPOSITORY), pytest.raises(SupersededError):
        forge.write(place.change("run/Dockerfile", expected=first), race)
    assert place.github.read(REPOSITORY, "x", BRANCH) == b"theirs"


def test_a_server_from_before_the_mutation_is_served_by_rest(place: Place, forge: GitHubForge) -> None:
    forge.head(REPOSITORY, "")
    change = place.change()
    forge.snapshot(REPOSITORY, change.parent, claims)
    body = {"errors": [{"message": "Field 'updateRefs' doesn't exist on type 'Mutation'"}]}
    place.github.fail("POST", "/graphql", status=200, body=json.dumps(body).encode())
    place.published(forge, change)
    assert place.github.count("POST", "*/git/refs") == 1


def test_a_branch_in_the_way_is_said(place: Place, forge: GitHubForge) -> None:
    body = {"errors": [{"type": "UNPROCESSABLE", "message": "Reference cannot be made"}]}
    forge.head(REPOSITORY, "")
    change = place.change()
    forge.snapshot(REPOSITORY, change.parent, claims)
    place.github.fail("POST", "/graphql", status=200, body=json.dumps(body).encode())
    with pytest.raises(ForgeError, match=r"Reference cannot be made.*may stand in the way"):
        place.published(forge, change)


# --- who may --------------------------------------------------------------------------------


def test_writes_only_while_publishing(place: Place, forge: GitHubForge) -> None:
    place.github.repository("acme/other", FILES)
    change = place.change()
    acts: list[Callable[[], object]] = [
        lambda: forge.write(change),
        lambda: forge.delete(REPOSITORY, BRANCH, "a" * 40),
        lambda: forge.open(REPOSITORY, "main", BRANCH, WISH),
        lambda: forge.edit(REPOSITORY, 1, WISH),
        lambda: forge.close(REPOSITORY, 1, "x"),
        lambda: forge.comment(REPOSITORY, 1, "x"),
        lambda: forge.check(
            REPOSITORY, "a" * 40, Report(conclusion=Conclusion.SUCCESS, title="", summary="")
        ),
    ]
    place.github.forget()
    for act in acts:
        with pytest.raises(ForgeError, match="not being published"):
            act()
    with forge.publishing("acme/other"):
        for act in acts:
            with pytest.raises(ForgeError, match="not being published"):
                act()
    assert place.github.count("POST", "/repos/*") == 0


def test_publishing_is_a_thread_s_own(place: Place, forge: GitHubForge) -> None:
    caught: list[Exception] = []

    def work() -> None:
        try:
            forge.write(place.change())
        except ForgeError as error:
            caught.append(error)

    with forge.publishing(REPOSITORY):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(caught) == 1


def test_tokens_reach_no_further_than_they_must(place: Place, forge: GitHubForge) -> None:
    place.published(forge)
    reading, writing = (json.loads(one.body) for one in place.github.requests if "access_tokens" in one.route)
    assert "repositories" not in reading
    assert set(reading["permissions"].values()) == {"read"}
    assert writing == {
        "repositories": ["app"],
        "permissions": {
            "metadata": "read",
            "contents": "write",
            "pull_requests": "write",
            "workflows": "write",
            "checks": "write",
            "issues": "read",
        },
    }
    tokens = {
        one.token for one in place.github.requests if one.kind == "installation" and one.method != "GET"
    }
    for one in place.github.requests:
        if one.method == "POST" and one.path.startswith("/repos/"):
            assert one.token in tokens
        assert one.headers["authorization"].startswith("Bearer ")


def test_a_token_for_writing_is_dropped(place: Place, forge: GitHubForge) -> None:
    first = place.published(forge)
    place.github.push(REPOSITORY, {"README.md": b"y"})
    place.github.forget()
    place.published(forge, place.change(expected=first))
    assert place.github.count("POST", "*/access_tokens") == 1
    with forge.publishing(REPOSITORY):
        pass  # nothing is written, and nothing is asked for
    assert place.github.count("POST", "*/access_tokens") == 1


def test_workflows_need_their_permission(place: Place) -> None:
    [installation] = place.github.world.installations.values()
    del installation.permissions["workflows"]
    forge = place.forge()
    edit = pin(WORKFLOW, RUN.index(b"node:18"))
    with pytest.raises(ForgeError, match="workflows: write"):
        place.published(forge, place.change(edits=(edit,)))
    assert place.github.count("POST", "*/git/trees") == 0
    place.published(forge)  # what is none is written all the same
    place.github.grant(installation, workflows="write")
    commit = place.published(forge, place.change(edits=(edit,), branch="moorline/other"))
    assert place.github.head(REPOSITORY, "moorline/other") == commit


def test_a_permission_that_was_taken_away_meanwhile_is_among_those_named(place: Place) -> None:
    [installation] = place.github.world.installations.values()
    forge = place.forge()
    first = place.published(forge)
    del installation.permissions["workflows"]
    with pytest.raises(
        ForgeError, match=r"installation for acme does not grant one of .*`workflows: write`"
    ) as caught:
        place.published(forge, place.change(expected=first))
    assert "moorline doctor" in caught.value.advice
    place.published(forge, place.change(expected=first))  # it is looked up again


def test_a_permission_that_is_missing_is_named(place: Place) -> None:
    [installation] = place.github.world.installations.values()
    installation.permissions["contents"] = "read"
    with pytest.raises(ForgeError, match=r"contents=write"):
        place.published(place.forge())
    assert branch(place) is None


@GRAPHQL
def test_an_archived_repository_is_not_written_to(place: Place, forge: GitHubForge, graphql: int) -> None:
    place.github.switches.graphql = graphql
    change = place.change()
    place.github.archive(REPOSITORY)
    with pytest.raises(ForgeError, match="archived"):
        place.published(forge, change)
    if graphql == 200:
        with pytest.raises(ForgeError, match="archived"):
            forge.standing(REPOSITORY, "main", BRANCH)


def test_a_repository_renamed_while_it_is_published(place: Place, forge: GitHubForge) -> None:
    forge.head(REPOSITORY, "")
    change = place.change()
    forge.snapshot(REPOSITORY, change.parent, claims)
    with forge.publishing(REPOSITORY):
        place.github.rename(REPOSITORY, "renamed")
        with pytest.raises((MovedError, ForgeError)):
            forge.write(change)
    assert place.github.head("acme/renamed", BRANCH) is None


# --- rules ----------------------------------------------------------------------------------


def rule(kind: str, **parameters: object) -> dict[str, object]:
    made: dict[str, object] = {
        "type": kind,
        "ruleset_source_type": "Repository",
        "ruleset_source": REPOSITORY,
        "ruleset_id": 7,
    }
    return {**made, "parameters": parameters} if parameters else made


@pytest.mark.parametrize(
    ("wanted", "new", "old"),
    [
        (rule("creation"), "create branches", ""),
        (rule("update", update_allows_fetch_and_merge=False), "", "move branches"),
        (rule("non_fast_forward"), "", "forced pushes"),
        (
            rule("branch_name_pattern", operator="starts_with", pattern="feature/"),
            "start with 'feature/'",
            "start",
        ),
        (
            rule("branch_name_pattern", operator="contains", pattern="moor", negate=True),
            "do not contain",
            "do not",
        ),
        (rule("branch_name_pattern", operator="starts_with", pattern="moorline/"), "", ""),
        (rule("branch_name_pattern", operator="regex", pattern="(a+)+$"), "", ""),
        (rule("required_signatures"), "", ""),
        (rule("required_linear_history"), "", ""),
        (rule("deletion"), "", ""),
        (rule("commit_message_pattern", operator="contains", pattern="x"), "", ""),
    ],
    ids=lambda one: one["type"] if isinstance(one, dict) else "",
)
def test_rules_are_asked_before_anything_is_pushed(
    place: Place, forge: GitHubForge, wanted: dict[str, object], new: str, old: str
) -> None:
    repository = place.github[REPOSITORY]
    repository.rules["*"] = [wanted]
    for told in (new, old):
        found = place.forge().standing(REPOSITORY, "main", BRANCH).obstacles
        assert len(found) == bool(told), found
        assert all(told in one for one in found)
        place.github.push(REPOSITORY, {"x": b""}, branch=BRANCH)
    repository.bypassed.add(7)
    assert forge.standing(REPOSITORY, "main", BRANCH).obstacles == ()


def test_where_there_are_no_rules_none_are_asked_for(place: Place, forge: GitHubForge) -> None:
    forge.standing(REPOSITORY, "main", BRANCH)
    assert place.github.count("GET", "*/rules/*") == 0


def test_a_server_that_counts_no_rulesets_is_asked_for_rules(place: Place, forge: GitHubForge) -> None:
    body = {"errors": [{"message": "Field 'rulesets' doesn't exist on type 'Repository'"}]}
    forge.head(REPOSITORY, "")
    place.github.fail("POST", "/graphql", status=200, body=json.dumps(body).encode())
    place.github.forget()
    for branch_name in (BRANCH, "moorline/other"):
        assert forge.standing(REPOSITORY, "main", branch_name).base == place.github.head(REPOSITORY)
    assert place.github.count("POST", "/graphql") == 3
    assert place.github.count("GET", "*/rules/*") == 2


def test_rules_are_asked_once_an_hour(place: Place, forge: GitHubForge) -> None:
    place.github[REPOSITORY].rules["*"] = [rule("required_signatures")]
    for _ in range(3):
        forge.standing(REPOSITORY, "main", BRANCH)
    assert place.github.count("GET", "*/rules/*") == 1
    place.github.world.clock.advance(3601)
    forge.standing(REPOSITORY, "main", BRANCH)
    assert place.github.count("GET", "*/rules/*") == 2


def test_a_rule_about_messages_stops_a_commit(place: Place, forge: GitHubForge) -> None:
    demand = rule("commit_message_pattern", operator="starts_with", pattern="PIN-")
    place.github[REPOSITORY].rules["*"] = [demand]
    assert forge.standing(REPOSITORY, "main", BRANCH).obstacles == ()
    with pytest.raises(ForgeError, match=r"commit messages start with 'PIN-'"):
        place.published(forge)
    assert place.github.count("POST", "*/git/*") == 0
    place.published(forge, place.change(message="PIN-1 Pin"))


def test_a_rule_that_only_github_can_tell_is_reported_in_its_words(place: Place, forge: GitHubForge) -> None:
    demand = rule("commit_message_pattern", operator="regex", pattern="^JIRA-[0-9]+")
    place.github[REPOSITORY].rules["*"] = [demand]
    with pytest.raises(ForgeError, match=r"A rule of the repository forbids.*must match the pattern"):
        place.published(forge)
    assert branch(place) is None
