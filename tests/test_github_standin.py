"""The GitHub stand-in does what GitHub documents: without it, tests of the bot would prove nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from contract_checks import ContractError, contract
from dulwich.objects import Commit, ObjectID, Tag
from github import Auth, Github, GithubIntegration
from github.InputGitTreeElement import InputGitTreeElement
from github_access import key_pair
from github_call import Answer, Call, Route
from github_client import Client, app_jwt
from github_git import EXECUTABLE, LINK, SUBMODULE, Content, File
from github_standin import ROUTES, GitHub, github
from github_world import Installation

REPO = "/repos/acme/app"
EVERYTHING = (
    "metadata",
    "contents",
    "pull_requests",
    "issues",
    "checks",
    "statuses",
    "workflows",
    "administration",
)
FILES: dict[str, Content] = {
    "Dockerfile": b"FROM node:20\n",
    "bin/run.sh": File(b"#!/bin/sh\n", EXECUTABLE),
    "deploy/compose.yml": b"image: nginx:1\n",
    ".github/workflows/ci.yml": b"on: push\n",
}


@pytest.fixture
def hub() -> Iterator[GitHub]:
    with github() as standin:
        standin.repository("acme/app", FILES, roles={"ann": "write", "tim": "triage"})
        yield standin


@pytest.fixture
def installation(hub: GitHub) -> Installation:
    return hub.install("acme")


@pytest.fixture
def app(hub: GitHub) -> Client:
    """The App itself."""
    return Client(hub, app_jwt(hub))


@pytest.fixture
def bot(hub: GitHub, installation: Installation) -> Client:
    """The App with an installation's token."""
    return Client(hub, hub.token(installation).value)


def narrowed(hub: GitHub, installation: Installation, **permissions: str) -> Client:
    return Client(hub, hub.token(installation, permissions=permissions).value)


def propose(
    hub: GitHub, bot: Client, branch: str = "moorline/pins", content: str = "FROM node:20@sha256:1\n"
) -> str:
    """Write a commit onto a new branch as the bot does; return it."""
    head = hub.head("acme/app")
    entry = {"path": "Dockerfile", "mode": "100644", "type": "blob", "content": content}
    tree = bot("POST", f"{REPO}/git/trees", {"base_tree": base_tree(hub), "tree": [entry]}).json["sha"]
    made = bot("POST", f"{REPO}/git/commits", {"tree": tree, "parents": [head], "message": "Pin node"}).json
    answer = bot("POST", f"{REPO}/git/refs", {"ref": f"refs/heads/{branch}", "sha": made["sha"]})
    assert answer.status == 201, answer.data
    return str(made["sha"])


def base_tree(hub: GitHub) -> str:
    git = hub["acme/app"].git
    tree = git.tree_of(git.branch("main") or "")
    assert tree is not None
    return tree


def open_one(hub: GitHub, bot: Client, branch: str = "moorline/pins") -> int:
    propose(hub, bot, branch)
    asked = {"title": "Pin node", "head": branch, "base": "main", "body": "Why"}
    return int(bot("POST", f"{REPO}/pulls", asked).json["number"])


# --- the contract


def test_every_operation_that_is_served_stands_in_githubs_contract() -> None:
    assert not ROUTES.keys() - contract("github").operations()
    assert not ROUTES.keys() - contract("github-enterprise").operations()


@pytest.mark.parametrize(
    ("path", "template", "name", "value"),
    [
        ("/repos/a/b/git/ref/heads/x/y", "/repos/{owner}/{repo}/git/ref/{ref}", "ref", "heads/x/y"),
        ("/repos/a/b/contents/", "/repos/{owner}/{repo}/contents/{path}", "path", ""),
        ("/repos/a/b/compare/x/y...z/w", "/repos/{owner}/{repo}/compare/{basehead}", "basehead", "x/y...z/w"),
        ("/repos/a/b/commits/x/y/check-runs", "/repos/{owner}/{repo}/commits/{ref}/check-runs", "ref", "x/y"),
        ("/repos/a/b/pulls/7", "/repos/{owner}/{repo}/pulls/{pull_number}", "pull_number", "7"),
    ],
)
def test_an_operation_is_found_with_slashes_in_its_path(
    path: str, template: str, name: str, value: str
) -> None:
    found = contract("github").find("GET", path)
    assert found is not None
    assert (found.template, found.parameters[name]) == (template, value)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{REPO}/git/refs", {"ref": 7, "sha": "a" * 40}),
        ("POST", f"{REPO}/pulls", {"base": "main", "title": "No head"}),
        ("PATCH", f"{REPO}/pulls/1", {"state": "ajar"}),
        ("GET", f"{REPO}/pulls?state=ajar", None),
        ("GET", f"{REPO}/no/such/operation", None),
        ("POST", "/graphql", {"query": '{ repository(owner: "acme", name: "app") { noSuchField } }'}),
        ("POST", "/graphql", {"query": '{ repository(owner: "acme") { id } }'}),
    ],
)
def test_a_request_against_the_contract_fails_the_test(method: str, path: str, body: object) -> None:
    with pytest.raises(ContractError):
        violate(method, path, body)


def violate(method: str, path: str, body: object = None) -> None:
    with github() as standin:
        standin.repository("acme/app", FILES)
        client = Client(standin, standin.token(standin.install("acme")).value)
        assert client(method, path, body).status == 500
        assert len(standin.violations) == 1


def test_an_answer_against_the_contract_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Route(handler=lambda _call: Answer({"sha": 7}))
    monkeypatch.setitem(ROUTES, "GET /repos/{owner}/{repo}/git/commits/{commit_sha}", broken)
    with pytest.raises(ContractError, match="is a required property"):
        violate("GET", f"{REPO}/git/commits/{'0' * 40}")


# --- who may ask


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 200),
        ({"iss": "Iv23liMoorline"}, 200),
        ({"iss": "1"}, 404),
        ({"exp": -10}, 401),
        ({"exp": 660}, 401),
        ({"exp": 590}, 200),
        ({"iat": 120}, 401),
        ({"iat": None}, 401),
        ({"exp": None}, 401),
    ],
)
def test_the_apps_jwt_is_held_to_its_claims(hub: GitHub, claims: dict[str, Any], status: int) -> None:
    now = int(hub.world.clock.now())
    moved: dict[str, Any] = {
        name: now + value if isinstance(value, int) else value for name, value in claims.items()
    }
    assert Client(hub, app_jwt(hub, **moved))("GET", "/app").status == status


def test_a_jwt_by_another_key_or_as_a_token_is_refused(hub: GitHub) -> None:
    assert Client(hub, app_jwt(hub, key=key_pair(1)[0]))("GET", "/app").status == 401
    assert Client(hub, app_jwt(hub), "token")("GET", "/app").status == 401
    assert Client(hub)("GET", "/app").status == 401


def test_a_jwt_opens_no_repository_and_a_token_no_app(app: Client, bot: Client) -> None:
    assert app("GET", REPO).status == 401
    assert bot("GET", "/app").status == 401


def test_a_request_without_a_user_agent_is_forbidden(bot: Client) -> None:
    assert bot("GET", REPO, User_Agent="").status == 403


def test_an_installation_is_found_by_repository_organisation_and_person(hub: GitHub, app: Client) -> None:
    hub.repository("tom/dots", FILES, organization=False)
    hub.install("tom", organization=False)
    made = hub.install("acme")
    assert app("GET", f"{REPO}/installation").json["id"] == made.id
    assert app("GET", "/orgs/acme/installation").json["account"]["type"] == "Organization"
    assert app("GET", "/users/tom/installation").json["target_type"] == "User"
    assert app("GET", "/orgs/tom/installation").status == 404
    assert app("GET", "/repos/acme/none/installation").status == 404
    assert [one["id"] for one in app("GET", "/app/installations?per_page=1&page=2").json] == [made.id]


def test_a_token_is_narrowed_and_ends_after_an_hour(
    hub: GitHub, app: Client, installation: Installation
) -> None:
    hub.repository("acme/other", FILES)
    asked = {"repositories": ["app"], "permissions": {"contents": "read"}}
    made = app("POST", f"/app/installations/{installation.id}/access_tokens", asked)
    assert made.status == 201
    assert made.json["permissions"] == {"metadata": "read", "contents": "read"}
    assert [one["full_name"] for one in made.json["repositories"]] == ["acme/app"]
    client = Client(hub, made.json["token"])
    assert client("GET", f"{REPO}/git/ref/heads/main").status == 200
    assert client("GET", "/repos/acme/other").status == 404
    assert client("POST", f"{REPO}/git/blobs", {"content": "x"}).status == 403
    assert client("GET", "/installation/repositories").json["total_count"] == 1
    hub.world.clock.advance(3601)
    assert client("GET", REPO).status == 401


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"repositories": ["none"]}, 422),
        ({"repository_ids": [1]}, 422),
        ({"permissions": {"administration": "write"}}, 422),
        ({"permissions": {"issues": "write"}}, 422),
        ({}, 201),
    ],
)
def test_a_token_cannot_be_for_more_than_the_installation(
    app: Client, installation: Installation, asked: object, status: int
) -> None:
    assert app("POST", f"/app/installations/{installation.id}/access_tokens", asked).status == status


def test_tokens_come_in_two_formats(hub: GitHub, app: Client, installation: Installation) -> None:
    path = f"/app/installations/{installation.id}/access_tokens"
    classic = app("POST", path).json["token"]
    long = app("POST", path, X_GitHub_Stateless_S2S_Token="enabled").json["token"]
    assert len(classic) == 40
    assert long.startswith(f"ghs_{hub.app_id}_")
    assert long.count(".") == 2
    hub.switches.token_format = "long"
    assert "." in app("POST", path).json["token"]
    assert "." not in app("POST", path, X_GitHub_Stateless_S2S_Token="disabled").json["token"]
    for scheme in ("token", "Bearer"):
        assert Client(hub, long, scheme)("GET", REPO).status == 200


def test_a_suspended_or_removed_installation_opens_nothing(
    hub: GitHub, app: Client, bot: Client, installation: Installation
) -> None:
    hub.suspend(installation)
    assert bot("GET", REPO).status == 403
    assert app("POST", f"/app/installations/{installation.id}/access_tokens").status == 403
    assert app("GET", f"/app/installations/{installation.id}").json["suspended_at"]
    hub.unsuspend(installation)
    assert bot("GET", REPO).status == 200
    hub.uninstall(installation)
    assert bot("GET", REPO).status == 401
    assert app("GET", f"/app/installations/{installation.id}").status == 404


def test_selected_repositories_come_and_go(hub: GitHub) -> None:
    hub.repository("acme/other", FILES)
    installation = hub.install("acme", repositories=["acme/app"])
    client = Client(hub, hub.token(installation).value)
    assert client("GET", "/repos/acme/other").status == 404
    hub.select(installation, add=["acme/other"], remove=["acme/app"])
    assert client("GET", "/repos/acme/other").status == 200
    assert client("GET", REPO).status == 404
    events = [(one.event, one.action) for one in hub.queue]
    assert events[-2:] == [("installation_repositories", "added"), ("installation_repositories", "removed")]


def test_what_is_public_is_read_by_all_and_written_by_none(hub: GitHub, bot: Client) -> None:
    hub.repository("else/open", FILES, private=False)
    assert bot("GET", "/repos/else/open/contents/Dockerfile").status == 200
    assert bot("POST", "/repos/else/open/git/blobs", {"content": "x"}).status == 403
    assert bot("GET", "/repos/else/none").status == 404


def test_a_missing_permission_is_named(hub: GitHub, installation: Installation) -> None:
    client = narrowed(hub, installation, contents="read")
    refused = client("POST", f"{REPO}/git/blobs", {"content": "x"})
    assert (refused.status, refused.message) == (403, "Resource not accessible by integration")
    assert refused.headers["x-accepted-github-permissions"] == "contents=write"
    assert client("GET", f"{REPO}/pulls").status == 403


def test_workflow_files_need_a_permission_of_their_own(hub: GitHub, installation: Installation) -> None:
    client = narrowed(hub, installation, contents="write")
    asked = {
        "base_tree": base_tree(hub),
        "tree": [{"path": ".github/workflows/ci.yml", "mode": "100644", "type": "blob", "content": "on: []"}],
    }
    assert client("POST", f"{REPO}/git/trees", asked).status == 403
    # Nor by the way of a commit that somebody else made: a ref to it would bring the file in.
    made = hub.push("acme/app", {".github/workflows/new.yml": b"on: push\n"}, branch="side", by="ann")
    hub.move("acme/app", "side", None)
    refused = client("POST", f"{REPO}/git/refs", {"ref": "refs/heads/mine", "sha": made})
    assert refused.status == 403
    assert "without `workflows` permission" in refused.message
    # What the branches have already is no change.
    assert propose(hub, client)


# --- reading


def test_an_empty_repository_has_no_git_yet(hub: GitHub, bot: Client) -> None:
    hub.repository("acme/new")
    for method, path, body in (
        ("GET", "git/ref/heads/main", None),
        ("GET", "git/trees/main", None),
        ("POST", "git/trees", {"tree": []}),
        ("POST", "git/blobs", {"content": "x"}),
        ("POST", "git/refs", {"ref": "refs/heads/x", "sha": "0" * 40}),
    ):
        assert bot(method, f"/repos/acme/new/{path}", body).status == 409
    assert bot("GET", "/repos/acme/new/contents/").status == 404
    assert bot("GET", "/repos/acme/new/branches").json == []
    data = bot.graphql('{repository(owner:"acme",name:"new"){isEmpty defaultBranchRef{name}}}').json["data"]
    assert data["repository"] == {"isEmpty": True, "defaultBranchRef": None}


def test_trees_carry_gits_own_ids_and_modes(hub: GitHub, bot: Client) -> None:
    answer = bot("GET", f"{REPO}/git/trees/main?recursive=1").json
    listed = {one["path"]: (one["mode"], one["type"]) for one in answer["tree"]}
    assert listed["bin/run.sh"] == ("100755", "blob")
    assert listed["bin"] == ("040000", "tree")
    assert not answer["truncated"]
    sha = next(one["sha"] for one in answer["tree"] if one["path"] == "Dockerfile")
    assert sha == hashlib.sha1(b"blob 13\0FROM node:20\n").hexdigest()
    # `recursive` asks for everything below whatever its value is.
    assert bot("GET", f"{REPO}/git/trees/main?recursive=0").json == answer
    assert len(bot("GET", f"{REPO}/git/trees/main").json["tree"]) == 4
    hub.switches.tree_entries = 3
    cut = bot("GET", f"{REPO}/git/trees/main?recursive=1").json
    assert (cut["truncated"], len(cut["tree"])) == (True, 3)


def test_contents_follow_links_and_stop_at_their_limits(hub: GitHub, bot: Client) -> None:
    many = {f"many/{number:04}": b"" for number in range(1001)}
    hub.push(
        "acme/app",
        {
            "link": File(b"bin/../Dockerfile", LINK),
            "dangling": File(b"nowhere", LINK),
            "outside": File(b"../../etc/passwd", LINK),
            "module": File(b"1" * 40, SUBMODULE),
            "large": b"x" * 1_000_001,
            **many,
        },
    )
    followed = bot("GET", f"{REPO}/contents/link").json
    assert (followed["type"], base64.b64decode(followed["content"])) == ("file", b"FROM node:20\n")
    assert bot("GET", f"{REPO}/contents/dangling").json["type"] == "symlink"
    assert bot("GET", f"{REPO}/contents/outside").json["type"] == "symlink"
    assert bot("GET", f"{REPO}/contents/module").json["type"] == "submodule"
    large = bot("GET", f"{REPO}/contents/large").json
    assert (large["encoding"], large["content"], large["size"]) == ("none", "", 1_000_001)
    raw = bot("GET", f"{REPO}/contents/large", Accept="application/vnd.github.raw+json")
    assert raw.data == b"x" * 1_000_001
    assert len(bot("GET", f"{REPO}/contents/many").json) == 1000
    listed = {one["name"]: one["type"] for one in bot("GET", f"{REPO}/contents/").json}
    assert (listed["link"], listed["module"], listed["bin"]) == ("symlink", "file", "dir")
    assert bot("GET", f"{REPO}/contents/none").status == 404
    assert bot("GET", f"{REPO}/contents/Dockerfile?ref=none").status == 404


def test_blobs_are_read_and_written_byte_for_byte(hub: GitHub, bot: Client) -> None:
    data = b"\xef\xbb\xbf\xff\x00\r\n"
    made = bot(
        "POST", f"{REPO}/git/blobs", {"content": base64.b64encode(data).decode(), "encoding": "base64"}
    )
    sha = made.json["sha"]
    assert sha == hashlib.sha1(b"blob 7\0" + data).hexdigest()
    assert base64.b64decode(bot("GET", f"{REPO}/git/blobs/{sha}").json["content"]) == data
    assert bot("GET", f"{REPO}/git/blobs/{sha}", Accept="application/vnd.github.raw+json").data == data
    assert bot("GET", f"{REPO}/git/blobs/{'0' * 40}").status == 404
    assert bot("GET", f"{REPO}/git/blobs/{hub.head('acme/app')}").status == 404
    assert bot("GET", f"{REPO}/git/blobs/short").status == 422


def test_a_commit_is_peeled_by_its_media_type_and_known_by_its_id(hub: GitHub, bot: Client) -> None:
    head = hub.head("acme/app") or ""
    sha = "application/vnd.github.sha"
    assert bot("GET", f"{REPO}/commits/main", Accept=sha).data.decode() == head
    assert bot("GET", f"{REPO}/commits/main", Accept=sha, If_None_Match=f'"{head}"').status == 304
    assert bot("GET", f"{REPO}/commits/none").status == 422
    whole = bot("GET", f"{REPO}/commits/main").json
    assert {one["filename"] for one in whole["files"]} == set(FILES)


def test_a_comparison_tells_both_ways_and_stops_at_300_files(hub: GitHub, bot: Client) -> None:
    fork = hub.head("acme/app") or ""
    hub.push("acme/app", {f"new/{number}": b"" for number in range(301)}, branch="side", onto=fork)
    hub.push("acme/app", {"main": b"1"})
    found = bot("GET", f"{REPO}/compare/main...side").json
    assert (found["status"], found["ahead_by"], found["behind_by"]) == ("diverged", 1, 1)
    assert found["merge_base_commit"]["sha"] == fork
    assert len(found["files"]) == 300
    assert bot("GET", f"{REPO}/compare/main...main").json["status"] == "identical"
    assert bot("GET", f"{REPO}/compare/main...none").status == 404
    assert "files" in bot("GET", f"{REPO}/compare/main...side?page=2").json
    assert bot("GET", f"{REPO}/compare/main...side?page=2").json["files"] == []


def test_lists_come_in_pages_that_lead_on(hub: GitHub, bot: Client) -> None:
    for number in range(4):
        hub.repository(f"acme/r{number}")
    first = bot("GET", "/installation/repositories?per_page=2")
    assert first.json["total_count"] == 5
    assert set(first.links) == {"next", "last"}
    second = bot("GET", first.links["next"])
    assert set(second.links) == {"next", "last", "prev", "first"}
    last = bot("GET", first.links["last"])
    assert set(last.links) == {"prev", "first"}
    names = [one["name"] for page in (first, second, last) for one in page.json["repositories"]]
    assert names == ["app", "r0", "r1", "r2", "r3"]


def test_what_is_known_already_is_not_sent_and_not_counted(hub: GitHub, bot: Client) -> None:
    first = bot("GET", REPO)
    left = int(first.headers["x-ratelimit-remaining"])
    again = bot("GET", REPO, If_None_Match=first.headers["etag"])
    assert (again.status, again.data) == (304, b"")
    assert int(again.headers["x-ratelimit-remaining"]) == left
    hub.push("acme/app", {"x": b""})
    hub["acme/app"].pushed_at = "2030-01-01T00:00:00Z"
    assert bot("GET", REPO, If_None_Match=first.headers["etag"]).status == 200


# --- writing


def test_a_tree_keeps_what_is_not_named_and_takes_any_mode(hub: GitHub, bot: Client) -> None:
    entries = [
        {"path": "bin/run.sh", "mode": "100755", "type": "blob", "content": "new\n"},
        {"path": "a/b/c", "mode": "120000", "type": "blob", "content": "../x"},
        {"path": "module", "mode": "160000", "type": "commit", "sha": "1" * 40},
        {"path": "deploy/compose.yml", "mode": "100644", "type": "blob", "sha": None},
    ]
    made = bot("POST", f"{REPO}/git/trees", {"base_tree": base_tree(hub), "tree": entries})
    assert made.status == 201
    files = {path: entry.mode for path, entry in hub["acme/app"].git.files(made.json["sha"]).items()}
    assert files == {
        ".github/workflows/ci.yml": 0o100644,
        "Dockerfile": 0o100644,
        "a/b/c": LINK,
        "bin/run.sh": EXECUTABLE,
        "module": SUBMODULE,
    }


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"path": "none", "mode": "100644", "type": "blob", "sha": None}, "BadObjectState"),
        ({"path": "../x", "mode": "100644", "type": "blob", "content": ""}, "malformed path"),
        ({"path": "a//b", "mode": "100644", "type": "blob", "content": ""}, "malformed path"),
        ({"path": ".GIT/config", "mode": "100644", "type": "blob", "content": ""}, "malformed path"),
        ({"path": "x", "mode": "100644", "type": "blob", "sha": "0" * 40}, "is not a valid blob"),
        ({"path": "x", "type": "blob", "content": ""}, "tree.mode"),
        ({"path": "x", "mode": "100644", "type": "blob"}, "either tree.sha or tree.content"),
        ({"path": "", "mode": "100644", "type": "blob", "content": ""}, "can't be blank"),
    ],
)
def test_a_wrong_tree_entry_is_refused(hub: GitHub, bot: Client, entry: object, words: str) -> None:
    refused = bot("POST", f"{REPO}/git/trees", {"base_tree": base_tree(hub), "tree": [entry]})
    assert refused.status == 422
    assert words in refused.message


def test_a_tree_stands_on_a_tree(bot: Client) -> None:
    entry = {"path": "x", "mode": "100644", "type": "blob", "content": ""}
    assert bot("POST", f"{REPO}/git/trees", {"base_tree": "0" * 40, "tree": [entry]}).status == 422


@pytest.mark.parametrize(
    ("more", "verified"),
    [
        ({}, True),
        ({"author": {"name": "Bot", "email": "bot@example.com"}}, False),
        ({"committer": {"name": "Bot", "email": "bot@example.com"}}, False),
    ],
)
def test_a_commit_is_verified_only_where_the_app_names_nobody(
    hub: GitHub, bot: Client, more: dict[str, object], verified: bool
) -> None:
    asked = {"tree": base_tree(hub), "parents": [hub.head("acme/app")], "message": "No change", **more}
    made = bot("POST", f"{REPO}/git/commits", asked)
    assert made.status == 201
    assert made.json["verification"]["verified"] is verified
    again = bot("GET", f"{REPO}/git/commits/{made.json['sha']}").json
    assert again == made.json
    if verified:
        assert again["committer"]["name"] == "GitHub"
        assert again["author"]["name"] == hub.bot


def test_a_server_may_leave_commits_unsigned(hub: GitHub, bot: Client) -> None:
    hub.switches.drop_unverified = True
    sha = propose(hub, bot)
    verification = bot("GET", f"{REPO}/git/commits/{sha}").json["verification"]
    assert (verification["verified"], verification["reason"]) == (False, "unsigned")


def test_a_commit_needs_its_tree_and_parents(hub: GitHub, bot: Client) -> None:
    head = hub.head("acme/app")
    path = f"{REPO}/git/commits"
    assert bot("POST", path, {"tree": "0" * 40, "message": "x"}).message == "Tree SHA does not exist"
    refused = bot("POST", path, {"tree": base_tree(hub), "parents": ["0" * 40], "message": "x"})
    assert "Parent SHA does not exist" in refused.message
    assert bot("POST", path, {"tree": head, "message": "x"}).status == 422


def test_refs_are_made_moved_and_removed_as_git_has_it(hub: GitHub, bot: Client) -> None:
    sha, head = propose(hub, bot, "a/b"), hub.head("acme/app")
    refs = f"{REPO}/git/refs"
    assert bot("POST", refs, {"ref": "refs/heads/a/b", "sha": sha}).message == "Reference already exists"
    assert bot("POST", refs, {"ref": "refs/heads/a", "sha": sha}).message == "Reference update failed"
    assert bot("POST", refs, {"ref": "refs/heads/a/b/c", "sha": sha}).message == "Reference update failed"
    assert bot("POST", refs, {"ref": "refs/heads/x", "sha": "0" * 40}).message == "Object does not exist"
    assert "two slashes" in bot("POST", refs, {"ref": "main", "sha": sha}).message
    assert bot("POST", refs, {"ref": "refs/heads/x..y", "sha": sha}).status == 422
    assert bot("POST", refs, {"ref": "refs/heads/x", "sha": "abc"}).status == 422
    assert bot("GET", f"{REPO}/git/ref/heads/a/b").json["object"]["sha"] == sha
    assert bot("GET", f"{REPO}/git/ref/heads/a").status == 404
    assert [one["ref"] for one in bot("GET", f"{REPO}/git/matching-refs/heads/a").json] == ["refs/heads/a/b"]
    assert bot("GET", f"{REPO}/git/matching-refs/heads/none").json == []
    path = f"{refs}/heads/a/b"
    assert bot("PATCH", path, {"sha": head}).message == "Update is not a fast forward"
    assert bot("PATCH", path, {"sha": head, "force": True}).status == 200
    assert bot("PATCH", path, {"sha": sha}).status == 200
    assert bot("PATCH", f"{refs}/heads/none", {"sha": sha}).message == "Reference does not exist"
    assert bot("DELETE", path).status == 204
    assert bot("DELETE", path).message == "Reference does not exist"
    assert bot("DELETE", f"{refs}/heads/main").status == 422


@pytest.mark.parametrize(
    ("rule", "method"),
    [
        ({"type": "creation"}, "POST"),
        (
            {"type": "branch_name_pattern", "parameters": {"operator": "starts_with", "pattern": "feature/"}},
            "POST",
        ),
        (
            {"type": "commit_message_pattern", "parameters": {"operator": "contains", "pattern": "JIRA-"}},
            "POST",
        ),
        ({"type": "update"}, "PATCH"),
        ({"type": "non_fast_forward"}, "PATCH"),
        ({"type": "deletion"}, "DELETE"),
    ],
)
def test_rulesets_are_told_and_obeyed(hub: GitHub, bot: Client, rule: dict[str, Any], method: str) -> None:
    sha, head = propose(hub, bot, "there"), hub.head("acme/app")
    hub["acme/app"].rules["*"] = [rule]
    assert bot("GET", f"{REPO}/rules/branches/not/yet").json == [rule]
    refused = {
        "POST": lambda: bot("POST", f"{REPO}/git/refs", {"ref": "refs/heads/x", "sha": sha}),
        "PATCH": lambda: bot("PATCH", f"{REPO}/git/refs/heads/there", {"sha": head, "force": True}),
        "DELETE": lambda: bot("DELETE", f"{REPO}/git/refs/heads/there"),
    }[method]()
    assert refused.status == 422
    assert refused.message.startswith("Repository rule violations found")


def test_a_ruleset_may_be_passed_by_the_app(hub: GitHub, bot: Client) -> None:
    sha, one = propose(hub, bot), hub["acme/app"]
    one.rules["*"] = [{"type": "creation", "ruleset_id": 7}]
    asked = {"ref": "refs/heads/x", "sha": sha}
    assert bot("GET", f"{REPO}/rulesets/7").json["current_user_can_bypass"] == "never"
    assert bot("POST", f"{REPO}/git/refs", asked).status == 422
    one.bypassed.add(7)
    assert bot("GET", f"{REPO}/rulesets/7").json["current_user_can_bypass"] == "always"
    assert bot("POST", f"{REPO}/git/refs", asked).status == 201
    assert bot("GET", f"{REPO}/rulesets/8").status == 404


def test_required_signatures_let_the_forges_own_commits_pass(hub: GitHub, bot: Client) -> None:
    hub["acme/app"].rules["*"] = [{"type": "required_signatures"}]
    assert propose(hub, bot)
    hub.switches.drop_unverified = True
    head = hub.head("acme/app")
    asked = {"tree": base_tree(hub), "parents": [head], "message": "Unsigned"}
    sha = bot("POST", f"{REPO}/git/commits", asked).json["sha"]
    refused = bot("POST", f"{REPO}/git/refs", {"ref": "refs/heads/unsigned", "sha": sha})
    assert "verified signatures" in refused.message


def test_of_many_that_make_the_same_ref_one_succeeds(hub: GitHub, bot: Client) -> None:
    sha = propose(hub, bot)
    asked = {"ref": "refs/heads/raced", "sha": sha}
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: bot("POST", f"{REPO}/git/refs", asked).status, range(8)))
    assert sorted(statuses) == [201] + [422] * 7


def test_an_archived_repository_is_read_only(hub: GitHub, bot: Client) -> None:
    hub.archive("acme/app")
    assert bot("GET", REPO).json["archived"]
    refused = bot("POST", f"{REPO}/git/blobs", {"content": "x"})
    assert (refused.status, refused.message) == (403, "Repository was archived so is read-only.")


def test_a_file_is_put_only_over_what_was_seen(hub: GitHub, bot: Client) -> None:
    path, content = f"{REPO}/contents/Dockerfile", base64.b64encode(b"FROM x\n").decode()
    seen = bot("GET", path).json["sha"]
    asked = {"message": "Put", "content": content}
    assert bot("PUT", path, asked).status == 422
    assert bot("PUT", path, {**asked, "sha": "0" * 40}).status == 409
    assert bot("PUT", path, {**asked, "sha": seen}).status == 200
    assert hub.read("acme/app", "Dockerfile") == b"FROM x\n"


# --- pull requests


def test_a_pull_request_is_opened_once(hub: GitHub, bot: Client) -> None:
    propose(hub, bot)
    asked = {"title": "Pin node", "head": "moorline/pins", "base": "main", "body": "Why", "draft": True}
    made = bot("POST", f"{REPO}/pulls", asked)
    assert made.status == 201
    assert (made.json["number"], made.json["draft"], made.json["user"]["login"]) == (1, True, hub.bot)
    assert (made.json["commits"], made.json["changed_files"]) == (1, 1)
    assert "already exists for acme:moorline/pins" in bot("POST", f"{REPO}/pulls", asked).message
    bot("POST", f"{REPO}/git/refs", {"ref": "refs/heads/same", "sha": hub.head("acme/app")})
    refused = bot("POST", f"{REPO}/pulls", {**asked, "head": "same"})
    assert "No commits between main and same" in refused.message
    for wrong in ("head", "base"):
        refused = bot("POST", f"{REPO}/pulls", {**asked, wrong: "none"})
        assert (refused.status, refused.json["errors"][0]["field"]) == (422, wrong)
    assert "is too long" in bot("POST", f"{REPO}/pulls", {**asked, "body": "x" * 65537}).message


def test_pull_requests_are_filtered_by_head_only_with_its_owner(hub: GitHub, bot: Client) -> None:
    open_one(hub, bot, "one")
    open_one(hub, bot, "two")

    def listed(query: str) -> list[int]:
        return [one["number"] for one in bot("GET", f"{REPO}/pulls?{query}").json]

    assert listed("head=acme:one") == [1]
    assert listed("head=one") == [2, 1]
    assert listed("head=other:one") == []
    assert listed("base=none") == []
    hub.close_pull("acme/app", 1, by="ann")
    assert listed("") == [2]
    assert listed("state=closed") == [1]
    assert listed("state=all&per_page=1&page=2&direction=asc&sort=created") == [2]


def test_who_closed_it_stands_in_the_issue(hub: GitHub, bot: Client) -> None:
    number = open_one(hub, bot)
    hub.close_pull("acme/app", number, by="ann")
    issue = bot("GET", f"{REPO}/issues/{number}").json
    assert (issue["state"], issue["closed_by"]["login"]) == ("closed", "ann")
    assert bot("PATCH", f"{REPO}/pulls/{number}", {"state": "open"}).json["state"] == "open"
    bot("PATCH", f"{REPO}/pulls/{number}", {"state": "closed"})
    assert bot("GET", f"{REPO}/issues/{number}").json["closed_by"]["login"] == hub.bot


def test_without_its_branch_a_pull_request_is_closed_for_good(hub: GitHub, bot: Client) -> None:
    number = open_one(hub, bot)
    sha = hub.head("acme/app", "moorline/pins")
    path = f"{REPO}/pulls/{number}"
    assert bot("DELETE", f"{REPO}/git/refs/heads/moorline/pins").status == 204
    assert bot("GET", path).json["state"] == "closed"
    assert "has been deleted" in bot("PATCH", path, {"state": "open"}).message
    # A branch of the same name with other commits is not the branch that was proposed.
    propose(hub, bot, content="FROM node:22\n")
    assert "force-pushed or recreated" in bot("PATCH", path, {"state": "open"}).message
    hub.move("acme/app", "moorline/pins", sha)
    assert bot("PATCH", path, {"state": "open"}).status == 200


def test_a_pull_request_follows_its_branch(hub: GitHub, bot: Client) -> None:
    number = open_one(hub, bot)
    hub.queue.clear()
    pushed = hub.push("acme/app", {"x": b"1"}, branch="moorline/pins", by="ann")
    assert bot("GET", f"{REPO}/pulls/{number}").json["head"]["sha"] == pushed
    assert [(one.event, one.action) for one in hub.queue] == [("push", None), ("pull_request", "synchronize")]
    files = {one["filename"]: one["status"] for one in bot("GET", f"{REPO}/pulls/{number}/files").json}
    assert files == {"Dockerfile": "modified", "x": "added"}
    hub.move("acme/app", "moorline/pins", hub.head("acme/app"))
    assert bot("GET", f"{REPO}/pulls/{number}").json["state"] == "closed"


def test_a_merged_pull_request_stays_merged(hub: GitHub, bot: Client) -> None:
    number = open_one(hub, bot)
    hub.push("acme/app", {"other": b"1"})
    hub.merge_pull("acme/app", number, by="ann", delete_branch=True)
    assert hub.read("acme/app", "Dockerfile") == b"FROM node:20@sha256:1\n"
    assert hub.read("acme/app", "other") == b"1"
    got = bot("GET", f"{REPO}/pulls/{number}").json
    assert (got["merged"], got["state"], got["merged_by"]["login"]) == (True, "closed", "ann")
    assert bot("PATCH", f"{REPO}/pulls/{number}", {"state": "open"}).status == 422
    events = [(one.event, one.action) for one in hub.queue]
    assert events.count(("pull_request", "closed")) == 1


def test_a_squashed_pull_request_is_merged_by_a_commit_of_its_own(hub: GitHub, bot: Client) -> None:
    number = open_one(hub, bot)
    made = hub.merge_pull("acme/app", number, by="ann", squash=True)
    assert bot("GET", f"{REPO}/pulls/{number}").json["merge_commit_sha"] == made == hub.head("acme/app")
    assert hub.head("acme/app", "moorline/pins") not in hub["acme/app"].git.ancestors(made)


def test_drafts_are_not_for_every_plan(hub: GitHub, bot: Client) -> None:
    hub["acme/app"].drafts = False
    propose(hub, bot)
    asked = {"title": "Pin node", "head": "moorline/pins", "base": "main", "draft": True}
    refused = bot("POST", f"{REPO}/pulls", asked)
    assert (refused.status, "Draft pull requests" in refused.message) == (422, True)


def test_a_push_of_its_commits_to_the_base_merges_it_too(hub: GitHub, bot: Client) -> None:
    number = open_one(hub, bot)
    hub.move("acme/app", "main", hub.head("acme/app", "moorline/pins"))
    assert bot("GET", f"{REPO}/pulls/{number}").json["merged"]


def test_a_forks_pull_request_is_told_of_but_not_pushed_to(hub: GitHub, bot: Client) -> None:
    fork = hub.fork("acme/app", "eve")
    sha = hub.push("eve/app", {"Dockerfile": b"FROM x\n"}, branch="change")
    pull = hub.open_pull("acme/app", "change", head_repository="eve/app", by="eve")
    got = bot("GET", f"{REPO}/pulls/{pull.number}").json
    assert (got["head"]["repo"]["full_name"], got["head"]["label"]) == ("eve/app", "eve:change")
    assert bot("GET", f"/repos/{fork.full_name}").status == 404
    assert bot("POST", f"/repos/{fork.full_name}/git/blobs", {"content": "x"}).status == 404
    # One network of objects: the fork's commit is found through the parent.
    assert bot("GET", f"{REPO}/git/commits/{sha}").status == 200
    assert bot("GET", f"{REPO}/git/ref/pull/{pull.number}/head").json["object"]["sha"] == sha
    made = bot("POST", f"{REPO}/check-runs", {"name": "moorline", "head_sha": sha, "conclusion": "neutral"})
    assert made.json["pull_requests"] == []
    hub.remove("eve/app")
    assert bot("GET", f"{REPO}/pulls").json[0]["head"]["repo"] is None


def test_labels_reviewers_and_assignees(hub: GitHub, bot: Client) -> None:
    number = open_one(hub, bot)
    issue, pull = f"{REPO}/issues/{number}", f"{REPO}/pulls/{number}"
    # A label that is not there is made.
    assert [one["name"] for one in bot("POST", f"{issue}/labels", {"labels": ["new"]}).json] == ["new"]
    assert bot("POST", f"{REPO}/labels", {"name": "NEW"}).json["errors"][0]["code"] == "already_exists"
    assert bot("POST", f"{REPO}/labels", {"name": "x", "color": "red"}).status == 422
    asked = bot("POST", f"{pull}/requested_reviewers", {"reviewers": ["ann"]})
    assert [one["login"] for one in asked.json["requested_reviewers"]] == ["ann"]
    refused = bot("POST", f"{pull}/requested_reviewers", {"reviewers": ["tim", "stranger"]})
    assert "is not a collaborator of the acme/app repository" in refused.message
    assert [one["login"] for one in bot("GET", pull).json["requested_reviewers"]] == ["ann"]
    own = hub.open_pull("acme/app", "moorline/pins", base=open_base(hub), by="ann").number
    refused = bot("POST", f"{REPO}/pulls/{own}/requested_reviewers", {"reviewers": ["ann"]})
    assert "from pull request author" in refused.message
    assert bot("PATCH", issue, {"assignees": ["ann", "tim"]}).json["assignee"]["login"] == "ann"
    refused = bot("PATCH", issue, {"assignees": ["stranger"]})
    assert (refused.status, refused.json["errors"][0]["value"]) == (422, "stranger")


def open_base(hub: GitHub) -> str:
    hub.move("acme/app", "release", hub.head("acme/app"))
    return "release"


def test_comments_are_kept_in_order_and_edited(hub: GitHub, bot: Client, installation: Installation) -> None:
    number = open_one(hub, bot)
    path = f"{REPO}/issues/{number}/comments"
    made = [bot("POST", path, {"body": f"{at}"}).json for at in range(3)]
    hub.comment("acme/app", number, "@moorline rebase", by="ann")
    page = bot("GET", f"{path}?per_page=3")
    assert [one["body"] for one in page.json] == ["0", "1", "2"]
    (last,) = bot("GET", page.links["next"]).json
    assert (last["user"]["login"], last["author_association"]) == ("ann", "COLLABORATOR")
    bot("PATCH", f"{REPO}/issues/comments/{made[0]['id']}", {"body": "edited"})
    assert hub.comments("acme/app", number)[0].body == "edited"
    assert bot("POST", path, {"body": "x" * 65537}).status == 422
    assert bot("POST", path, {"body": " "}).status == 422
    assert bot("POST", f"{REPO}/issues/99/comments", {"body": "x"}).status == 404
    # A comment on a pull request needs its permission, one on an issue that of issues.
    hub.open_issue("acme/app", by="ann")
    assert bot("POST", f"{REPO}/issues/2/comments", {"body": "x"}).status == 403
    reader = narrowed(hub, installation, pull_requests="read")
    assert reader("POST", path, {"body": "x"}).status == 403


def test_one_bad_suggestion_fails_the_whole_review(hub: GitHub, bot: Client) -> None:
    hub.push("acme/app", {"long": b"".join(b"%d\n" % at for at in range(40))})
    lines = b"".join(b"%d%s\n" % (at, b"!" if at in (2, 35) else b"") for at in range(40))
    hub.push("acme/app", {"long": lines}, branch="side", by="ann")
    pull = hub.open_pull("acme/app", "side", by="ann")
    path = f"{REPO}/pulls/{pull.number}/reviews"
    good = {"path": "long", "line": 3, "side": "RIGHT", "body": "```suggestion\nx\n```"}
    for bad in ({"line": 20}, {"line": 36, "start_line": 3}, {"path": "none"}):
        refused = bot("POST", path, {"event": "COMMENT", "body": "", "comments": [good, {**good, **bad}]})
        assert refused.status == 422
    assert bot("GET", path).json == []
    assert bot("POST", path, {"event": "COMMENT", "body": "", "comments": [good]}).status == 200
    (comment,) = bot("GET", f"{REPO}/pulls/{pull.number}/comments").json
    assert (comment["line"], comment["user"]["login"]) == (3, hub.bot)
    answered = bot("POST", f"{REPO}/pulls/{pull.number}/comments/{comment['id']}/replies", {"body": "Yes"})
    assert answered.json["in_reply_to_id"] == comment["id"]


def test_a_check_run_grows_by_fifty_annotations_at_a_time(hub: GitHub, bot: Client) -> None:
    sha = hub.head("acme/app")
    note = {"path": "x", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}
    output = {"title": "t", "summary": "s", "annotations": [note] * 50}
    made = bot("POST", f"{REPO}/check-runs", {"name": "moorline", "head_sha": sha, "output": output})
    assert (made.status, made.json["status"], made.json["conclusion"]) == (201, "queued", None)
    path = f"{REPO}/check-runs/{made.json['id']}"
    more = bot("PATCH", path, {"conclusion": "success", "output": output})
    assert (more.json["status"], more.json["output"]["annotations_count"]) == ("completed", 100)
    output["annotations"] = [note] * 51
    assert bot("PATCH", path, {"output": output}).status == 422
    assert bot("POST", f"{REPO}/check-runs", {"name": "x", "head_sha": "0" * 40}).status == 422
    columns = {**note, "end_line": 2, "start_column": 1}
    assert bot("PATCH", path, {"output": {**output, "annotations": [columns]}}).status == 422
    listed = bot("GET", f"{REPO}/commits/main/check-runs?check_name=moorline").json
    assert listed["total_count"] == 1
    assert len(bot("GET", f"{path}/annotations?per_page=100").json) == 100


def test_statuses_are_combined_by_context(hub: GitHub) -> None:
    installation = hub.install("acme", permissions={"statuses": "write", "contents": "read"})
    bot, sha = Client(hub, hub.token(installation).value), hub.head("acme/app")
    for state, context in (("pending", "a"), ("success", "a"), ("failure", "b")):
        assert bot("POST", f"{REPO}/statuses/{sha}", {"state": state, "context": context}).status == 201
    combined = bot("GET", f"{REPO}/commits/main/status").json
    assert (combined["state"], combined["total_count"]) == ("failure", 2)


@pytest.mark.parametrize(
    ("login", "permission", "role"),
    [
        ("ann", "write", "write"),
        ("tim", "read", "triage"),
        ("acme", "admin", "admin"),
        ("eve", "none", "none"),
    ],
)
def test_permissions_of_people(hub: GitHub, bot: Client, login: str, permission: str, role: str) -> None:
    hub.account("eve")
    got = bot("GET", f"{REPO}/collaborators/{login}/permission").json
    assert (got["permission"], got["role_name"]) == (permission, role)
    assert bot("GET", f"{REPO}/collaborators/nobody/permission").status == 404


# --- names that changed


@pytest.mark.parametrize("how", ["renamed", "transferred"])
def test_an_old_name_leads_to_the_number(hub: GitHub, bot: Client, how: str) -> None:
    number = hub["acme/app"].id
    if how == "renamed":
        hub.rename("acme/app", "ship")
    else:
        hub.transfer("acme/app", "umbrella")
        hub.install("umbrella")
        bot = Client(hub, hub.token(hub.install("umbrella")).value)
    moved = bot("GET", f"{REPO}/pulls?state=all")
    assert moved.status == 301
    assert moved.headers["location"] == f"{hub.url}/repositories/{number}/pulls?state=all"
    assert bot("GET", moved.headers["location"]).json == []
    assert bot("POST", f"{REPO}/git/blobs", {"content": "x"}).status == 307
    written = bot("POST", f"/repositories/{number}/git/blobs", {"content": "x"})
    assert written.status == 201
    found = bot.graphql('{repository(owner:"acme",name:"app"){databaseId}}').json["data"]
    assert found["repository"]["databaseId"] == number
    query = '{repository(owner:"acme",name:"app",followRenames:false){databaseId}}'
    assert bot.graphql(query).json["errors"][0]["type"] == "NOT_FOUND"
    # Another repository of that name ends it.
    hub.repository("acme/app", FILES)
    assert bot("GET", f"{REPO}/pulls").status == (200 if how == "renamed" else 404)


# --- GraphQL


def blob(bot: Client, path: str) -> Any:
    query = (
        'query($at: String!){repository(owner:"acme",name:"app"){object(expression:$at){'
        "oid ... on Blob{byteSize isBinary isTruncated text}}}}"
    )
    return bot.graphql(query, at=f"main:{path}").json["data"]["repository"]["object"]


def test_files_of_several_repositories_are_read_in_one_query(hub: GitHub, bot: Client) -> None:
    hub.repository("acme/other", {"a/Dockerfile": b"FROM b\n", "a/run": File(b"x", EXECUTABLE)})
    head = hub.head("acme/app")
    got = bot.graphql(
        """
        query($head: String!) {
          one: repository(owner: "acme", name: "app") {
            nameWithOwner isArchived isFork isEmpty isPrivate owner { login }
            defaultBranchRef { name target { oid ... on Commit { tree { oid } } } }
            file: object(expression: $head) { ... on Blob { text oid } }
            none: object(expression: "main:none") { oid }
            gone: object(expression: "none:Dockerfile") { oid }
          }
          two: repository(owner: "acme", name: "other") {
            object(expression: "main:a") { ... on Tree { entries { name mode type object { ... on Blob { text } } } } }
          }
        }
        """,
        head=f"{head}:Dockerfile",
    ).json
    assert "errors" not in got
    one, two = got["data"]["one"], got["data"]["two"]
    assert one["file"] == {
        "text": "FROM node:20\n",
        "oid": hashlib.sha1(b"blob 13\0FROM node:20\n").hexdigest(),
    }
    assert (one["none"], one["gone"]) == (None, None)
    assert one["defaultBranchRef"]["target"] == {"oid": head, "tree": {"oid": base_tree(hub)}}
    assert [(each["name"], each["mode"]) for each in two["object"]["entries"]] == [
        ("Dockerfile", 0o100644),
        ("run", 0o100755),
    ]


@pytest.mark.parametrize(
    ("data", "text", "binary", "truncated"),
    [
        (b"plain\r\n", "plain\r\n", False, False),
        (b"\xef\xbb\xbfFROM x\n", "FROM x\n", False, False),
        (b"caf\xe9\n", "caf\ufffd\n", False, False),
        (b"\x00\x01", None, True, False),
        (b"x" * 512_000, "x" * 512_000, False, False),
        (b"x" * 511_999 + "é".encode(), "x" * 511_999, False, True),
    ],
    ids=["plain", "bom", "latin-1", "binary", "longest", "truncated"],
)
def test_text_is_decoded_and_cut(
    hub: GitHub, bot: Client, data: bytes, text: str | None, binary: bool, truncated: bool
) -> None:
    hub.push("acme/app", {"file": data})
    got = blob(bot, "file")
    assert (got["text"], got["isBinary"], got["isTruncated"]) == (text, binary, truncated)
    assert got["byteSize"] == len(data)


def test_what_may_not_be_seen_is_an_error_beside_the_data(
    hub: GitHub, bot: Client, installation: Installation
) -> None:
    hub.repository("else/secret", FILES)
    got = bot.graphql(
        '{a: repository(owner:"acme",name:"app"){name} b: repository(owner:"else",name:"secret"){name}}'
    )
    assert got.status == 200
    assert got.json["data"] == {"a": {"name": "app"}, "b": None}
    (error,) = got.json["errors"]
    assert (error["type"], error["path"]) == ("NOT_FOUND", ["b"])
    reader = narrowed(hub, installation, pull_requests="read")
    got = reader.graphql('{repository(owner:"acme",name:"app"){name object(expression:"HEAD:"){oid}}}')
    assert got.json["data"] == {"repository": {"name": "app", "object": None}}
    assert got.json["errors"][0]["type"] == "FORBIDDEN"


def test_pull_requests_are_listed_in_pages(hub: GitHub, bot: Client) -> None:
    for name in ("one", "two", "three"):
        open_one(hub, bot, name)
    hub.close_pull("acme/app", 2, by="ann")
    query = """query($after: String) { repository(owner: "acme", name: "app") {
      pullRequests(first: 1, after: $after, states: [OPEN]) {
        totalCount nodes { number state headRefName author { login } } pageInfo { hasNextPage endCursor } } } }"""
    first = bot.graphql(query).json["data"]["repository"]["pullRequests"]
    assert (first["totalCount"], first["nodes"][0]["number"]) == (2, 1)
    second = bot.graphql(query, after=first["pageInfo"]["endCursor"]).json["data"]["repository"][
        "pullRequests"
    ]
    assert (second["nodes"][0]["headRefName"], second["pageInfo"]["hasNextPage"]) == ("three", False)
    for page, kind in (("", "MISSING_PAGINATION_BOUNDARIES"), ("(first: 101)", "EXCESSIVE_PAGINATION")):
        query = f'{{repository(owner:"acme",name:"app"){{pullRequests{page}{{totalCount}}}}}}'
        assert bot.graphql(query).json["errors"][0]["type"] == kind


def test_a_query_for_too_much_times_out(hub: GitHub, bot: Client) -> None:
    hub.switches.graphql_objects = 2
    objects = " ".join(f'f{at}: object(expression: "main:x{at}") {{ oid }}' for at in range(3))
    got = bot.graphql(f'{{repository(owner:"acme",name:"app"){{{objects}}}}}')
    assert (got.status, got.json["data"]) == (502, None)
    assert blob(bot, "Dockerfile")["text"] == "FROM node:20\n"


@pytest.mark.parametrize("status", [403, 404])
def test_graphql_can_be_refused(hub: GitHub, bot: Client, status: int) -> None:
    hub.switches.graphql = status
    assert bot.graphql("{rateLimit{cost}}").status == status


def test_graphql_needs_an_installations_token(hub: GitHub, app: Client) -> None:
    assert app.graphql("{rateLimit{cost}}").status == 401
    assert Client(hub).graphql("{rateLimit{cost}}").status == 401


def test_refs_are_moved_together_from_where_they_were(hub: GitHub, bot: Client) -> None:
    sha, head = propose(hub, bot), hub.head("acme/app")
    query = "mutation($input: UpdateRefsInput!) { updateRefs(input: $input) { clientMutationId } }"
    node = bot("GET", REPO).json["node_id"]

    def update(name: str, before: str, after: str, *, force: bool = False) -> Any:
        one = {"name": f"refs/heads/{name}", "beforeOid": before, "afterOid": after, "force": force}
        return bot.graphql(query, input={"repositoryId": node, "refUpdates": [one]}).json

    assert update("moorline/pins", str(head), str(head), force=True)["errors"]
    assert hub.head("acme/app", "moorline/pins") == sha
    assert "errors" not in update("moorline/pins", sha, str(head), force=True)
    assert hub.head("acme/app", "moorline/pins") == head
    assert "errors" not in update("fresh", "0" * 40, sha)
    assert update("fresh", "0" * 40, sha)["errors"]
    assert "errors" not in update("fresh", sha, "0" * 40)
    assert hub.head("acme/app", "fresh") is None


def test_a_commit_on_a_branch_is_locked_verified_and_flattens_modes(hub: GitHub, bot: Client) -> None:
    hub.move("acme/app", "side", hub.head("acme/app"))
    query = """mutation($input: CreateCommitOnBranchInput!) {
      createCommitOnBranch(input: $input) { commit { oid signature { isValid } } } }"""
    asked = {
        "branch": {"repositoryNameWithOwner": "acme/app", "branchName": "side"},
        "message": {"headline": "Pin"},
        "expectedHeadOid": hub.head("acme/app"),
        "fileChanges": {
            "additions": [{"path": "bin/run.sh", "contents": base64.b64encode(b"#!\n").decode()}]
        },
    }
    made = bot.graphql(query, input=asked).json["data"]["createCommitOnBranch"]["commit"]
    assert made["signature"]["isValid"]
    assert hub.mode("acme/app", "bin/run.sh", "side") == 0o100644
    assert bot.graphql(query, input=asked).json["errors"][0]["type"] == "STALE_DATA"


# --- limits and faults


@pytest.mark.parametrize("status", [403, 429])
def test_an_exhausted_limit_refuses_until_its_reset(hub: GitHub, bot: Client, status: int) -> None:
    hub.exhaust(600, status=status)
    refused = bot("GET", REPO)
    assert refused.status == status
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert "retry-after" not in refused.headers
    wait = int(refused.headers["x-ratelimit-reset"]) - hub.world.clock.now()
    assert 598 < wait < 602
    got = bot.graphql("{rateLimit{cost}}")
    assert (got.status, got.json["errors"][0]["type"]) == (200, "RATE_LIMITED")
    # Asking what is left costs nothing.
    assert bot("GET", "/rate_limit").json["resources"]["core"]["remaining"] == 0
    hub.world.clock.advance(601)
    assert bot("GET", REPO).status == 200


def test_rest_and_graphql_have_budgets_of_their_own(hub: GitHub, bot: Client) -> None:
    hub.exhaust(600, resource="graphql")
    assert bot("GET", REPO).status == 200
    assert bot.graphql("{rateLimit{cost}}").json["errors"]


def test_a_secondary_limit_names_a_time_or_not(hub: GitHub, bot: Client) -> None:
    hub.secondary_limit("POST", "/repos/*/pulls", status=429, retry_after=7)
    assert bot("GET", f"{REPO}/pulls").status == 200
    refused = bot("POST", f"{REPO}/pulls", {"head": "x", "base": "main", "title": "x"})
    assert (refused.status, refused.headers["retry-after"]) == (429, "7")
    assert "secondary rate limit" in refused.message
    hub.secondary_limit(retry_after=None)
    assert "retry-after" not in bot("GET", REPO).headers


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("how", ["502", "cut"])
def test_a_write_may_have_happened_or_not(hub: GitHub, bot: Client, how: str, done: bool) -> None:
    number = open_one(hub, bot)
    path = f"{REPO}/issues/{number}/comments"
    if how == "cut":
        fault = hub.cut("POST", "/repos/*/comments", done=done)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            bot("POST", path, {"body": "x"})
    else:
        fault = hub.fail("POST", "/repos/*/comments", done=done)
        assert bot("POST", path, {"body": "x"}).status == 502
    assert fault.struck == 1
    assert len(hub.comments("acme/app", number)) == int(done)
    assert bot("POST", path, {"body": "y"}).status == 201


def test_an_answer_waits_until_it_is_released(hub: GitHub, bot: Client) -> None:
    fault = hub.slow("GET", "/repos/acme/app")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bot, "GET", REPO)
        assert fault.arrived.wait(10)
        # Nobody else waits for it.
        assert bot("GET", f"{REPO}/branches").status == 200
        assert not waiting.done()
        fault.release()
        assert waiting.result(10).status == 200


def test_requests_are_counted_by_kind_and_token(hub: GitHub, app: Client, bot: Client) -> None:
    app("GET", "/app")
    bot("GET", f"{REPO}/git/ref/heads/main")
    bot.graphql("{rateLimit{cost}}")
    bot("GET", f"{REPO}/git/ref/heads/none")
    assert hub.count() == 4
    assert hub.count("GET", "/repos/{owner}/{repo}/git/ref/{ref}") == 2
    assert hub.count(kind="app") == 1
    assert hub.count("POST", "/graphql", "installation") == 1
    assert [one.status for one in hub.requests] == [200, 200, 200, 404]
    assert {one.token for one in hub.requests} == {app.token, bot.token}
    hub.forget()
    assert hub.asked() == []


# --- webhooks


def test_the_signature_is_that_of_githubs_own_example() -> None:
    with github(secret="It's a Secret to Everybody") as standin:
        made = standin.hooks._headers("ping", "guid", b"Hello, World!")
    expected = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert made["X-Hub-Signature-256"] == f"sha256={expected}"


def test_a_push_is_told_with_its_commits(hub: GitHub, installation: Installation) -> None:
    before = hub.head("acme/app")
    after = hub.push("acme/app", {"Dockerfile": b"FROM x\n", "new": b"", "bin/run.sh": None}, by="ann")
    (_, made) = hub.queue
    assert made.headers["X-GitHub-Event"] == "push"
    key = b"a secret for tests only"
    signature = hmac.new(key, made.body, hashlib.sha256).hexdigest()
    assert made.headers["X-Hub-Signature-256"] == f"sha256={signature}"
    told = json.loads(made.body)
    assert (told["ref"], told["before"], told["after"]) == ("refs/heads/main", before, after)
    assert (told["created"], told["deleted"], told["forced"]) == (False, False, False)
    (commit,) = told["commits"]
    assert (commit["added"], commit["removed"], commit["modified"]) == (
        ["new"],
        ["bin/run.sh"],
        ["Dockerfile"],
    )
    assert (told["installation"]["id"], told["sender"]["login"]) == (installation.id, "ann")
    hub.push("acme/app", {"x": b""}, branch="main", onto=before, force=True)
    assert json.loads(hub.queue[-1].body)["forced"]
    hub.move("acme/app", "side", after)
    assert json.loads(hub.queue[-1].body)["created"]
    hub.move("acme/app", "side", None)
    gone = json.loads(hub.queue[-1].body)
    assert (gone["deleted"], gone["after"], gone["head_commit"], gone["commits"]) == (
        True,
        "0" * 40,
        None,
        [],
    )


def test_the_bots_own_deeds_are_told_as_the_bots(hub: GitHub, bot: Client) -> None:
    hub.queue.clear()
    number = open_one(hub, bot)
    bot("POST", f"{REPO}/issues/{number}/comments", {"body": "x"})
    told = [(one.event, one.action, one.payload["sender"]["login"]) for one in hub.queue]
    assert told == [
        ("push", None, hub.bot),
        ("pull_request", "opened", hub.bot),
        ("issue_comment", "created", hub.bot),
    ]


def test_nobody_is_told_of_what_is_not_installed(hub: GitHub, installation: Installation) -> None:
    hub.queue.clear()
    hub.repository("else/where", FILES)
    hub.push("else/where", {"x": b""})
    hub.suspend(installation)
    hub.push("acme/app", {"x": b""})
    assert [(one.event, one.action) for one in hub.queue] == [("installation", "suspend")]


@pytest.mark.parametrize(
    ("event", "action", "keys"),
    [
        ("ping", "", {"zen", "hook_id", "hook"}),
        ("push", "", {"ref", "before", "after", "commits", "head_commit", "pusher", "compare"}),
        ("create", "", {"ref", "ref_type", "master_branch", "pusher_type"}),
        ("delete", "", {"ref", "ref_type", "pusher_type"}),
        ("pull_request", "opened", {"action", "number", "pull_request"}),
        ("pull_request", "synchronize", {"action", "number", "pull_request", "before", "after"}),
        ("issue_comment", "created", {"action", "issue", "comment"}),
        ("pull_request_review", "submitted", {"action", "pull_request", "review"}),
        ("pull_request_review", "edited", {"action", "pull_request", "review", "changes"}),
        ("pull_request_review", "dismissed", {"action", "pull_request", "review"}),
        ("pull_request_review_comment", "created", {"action", "pull_request", "comment"}),
        ("merge_group", "checks_requested", {"action", "merge_group"}),
        ("merge_group", "destroyed", {"action", "merge_group", "reason"}),
        ("check_run", "rerequested", {"action", "check_run"}),
        ("check_run", "requested_action", {"action", "check_run", "requested_action"}),
        ("check_suite", "rerequested", {"action", "check_suite"}),
        ("repository", "renamed", {"action", "changes"}),
        ("installation", "created", {"action", "installation", "repositories"}),
        ("installation_repositories", "added", {"action", "repositories_added", "repositories_removed"}),
    ],
)
def test_every_event_has_its_documented_shape(
    hub: GitHub, bot: Client, installation: Installation, event: str, action: str, keys: set[str]
) -> None:
    number, head = open_one(hub, bot), hub.head("acme/app") or ""
    pull = hub["acme/app"].pulls[number]
    bot("POST", f"{REPO}/check-runs", {"name": "moorline", "head_sha": head})
    bot(
        "POST",
        f"{REPO}/pulls/{number}/reviews",
        {"comments": [{"path": "Dockerfile", "line": 1, "body": "x"}]},
    )
    subjects: dict[str, dict[str, Any]] = {
        "push": {"ref": "refs/heads/main", "before": None, "after": head},
        "create": {"ref": "refs/tags/v1"},
        "delete": {"ref": "refs/heads/side"},
        "pull_request": {"pull": pull, "before": head, "after": pull.head_sha},
        "issue_comment": {"pull": pull, "comment": hub.comment("acme/app", number, "x", by="ann")},
        "pull_request_review": {
            "pull": pull,
            "review": hub.review("acme/app", number, "x", by="ann", state="APPROVED"),
        },
        "pull_request_review_comment": {
            "pull": pull,
            "comment": next(iter(hub["acme/app"].review_comments.values())),
        },
        "merge_group": {
            "head_sha": pull.head_sha,
            "head_ref": "refs/heads/gh-readonly-queue/main/pr-1",
            "base_sha": head,
        },
        "check_run": {"check": hub.checks("acme/app")[0], "identifier": "fix"},
        "check_suite": {"head_sha": head},
        "repository": {"before": "old"},
        "installation_repositories": {"added": [hub["acme/app"]]},
    }
    whole = event in ("ping", "installation", "installation_repositories")
    headers, body = hub.payload(
        event,
        action,
        repository="" if whole else "acme/app",
        installation=installation if whole and event != "ping" else None,
        **subjects.get(event, {}),
    )
    told = json.loads(body)
    assert keys <= told.keys()
    assert {"sender"} <= told.keys()
    assert whole or {"repository", "installation", "organization"} <= told.keys()
    assert headers["X-GitHub-Event"] == event
    assert hub.world.deliveries[-1].guid == headers["X-GitHub-Delivery"]


def test_what_happens_to_repositories_is_told(hub: GitHub, installation: Installation) -> None:
    hub.repository("tom/dots", FILES, organization=False)
    hub.install("tom", organization=False)
    hub.queue.clear()
    hub.rename("acme/app", "ship")
    hub.archive("acme/ship")
    hub.archive("acme/ship", archived=False)
    hub.transfer("tom/dots", "acme")
    hub.transfer("acme/ship", "tom", organization=False)
    hub.remove("acme/dots")
    hub.grant(installation, statuses="write")
    hub.uninstall(installation)
    assert [(one.event, one.action) for one in hub.queue] == [
        ("repository", "renamed"),
        ("repository", "archived"),
        ("repository", "unarchived"),
        ("repository", "transferred"),
        ("repository", "transferred"),
        ("repository", "deleted"),
        ("installation", "new_permissions_accepted"),
        ("installation", "deleted"),
    ]


def test_people_comment_on_lines_queue_and_ask_again(hub: GitHub, bot: Client) -> None:
    number = open_one(hub, bot)
    run = bot("POST", f"{REPO}/check-runs", {"name": "moorline", "head_sha": hub.head("acme/app")}).json
    hub.queue.clear()
    hub.review_comment("acme/app", number, "Dockerfile", 1, "Why?", by="ann")
    group = hub.merge_group("acme/app", number, by="ann")
    hub.rerequest("acme/app", run["id"], by="ann")
    told = [(one.event, one.action) for one in hub.queue]
    assert told == [
        ("pull_request_review_comment", "created"),
        ("push", None),
        ("merge_group", "checks_requested"),
        ("check_run", "rerequested"),
    ]
    said = hub.queue[2].payload["merge_group"]
    assert (said["head_sha"], said["base_sha"]) == (group, hub.head("acme/app"))
    assert said["head_ref"].startswith(f"refs/heads/gh-readonly-queue/main/pr-{number}-")
    assert hub.read("acme/app", "Dockerfile", group) == b"FROM node:20@sha256:1\n"
    assert bot("GET", f"{REPO}/pulls/{number}").json["state"] == "open"


def test_what_breaks_in_the_stand_in_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_call: Call) -> Answer:
        raise KeyError("the stand-in's own mistake")

    monkeypatch.setitem(ROUTES, "GET /repos/{owner}/{repo}", Route(handler=broken))
    with pytest.raises(ContractError, match="own mistake"):
        violate("GET", REPO)


def test_a_payload_against_the_contract_fails_the_test() -> None:
    def tell() -> None:
        with github() as standin:
            standin.payload("repository", "eaten", repository=standin.repository("acme/app", FILES).full_name)

    with pytest.raises(ContractError, match="webhook repository-eaten"):
        tell()


def test_failed_deliveries_are_listed_read_and_tried_again(hub: GitHub, app: Client) -> None:
    for at in range(5):
        hub.payload("ping", status_code=(202, 0, 502, 202, 500)[at])
    first = app("GET", "/app/hook/deliveries?status=failure&per_page=2")
    assert [one["status_code"] for one in first.json] == [500, 502]
    assert "cursor=v1_" in first.links["next"]
    assert "status=failure" in first.links["next"]
    second = app("GET", first.links["next"])
    assert [one["status_code"] for one in second.json] == [0]
    assert "next" not in second.links
    assert len(app("GET", "/app/hook/deliveries?status=success").json) == 2
    one = second.json[0]
    whole = app("GET", f"/app/hook/deliveries/{one['id']}").json
    assert whole["request"]["payload"]["zen"]
    assert whole["request"]["headers"]["X-GitHub-Delivery"] == one["guid"]
    assert app("POST", f"/app/hook/deliveries/{one['id']}/attempts").status == 202
    received: list[str] = []

    def receive(headers: Any, _body: bytes) -> int:
        received.append(headers["X-GitHub-Delivery"])
        return 202

    (again,) = hub.deliver(receive)
    assert received == [one["guid"]]
    assert (again.redelivery, again.ok) == (True, True)
    assert app("GET", "/app/hook/deliveries?per_page=1").json[0]["redelivery"]
    # What is older than three days is gone.
    hub.world.clock.advance(3 * 86400 + 2)
    assert Client(hub, app_jwt(hub))("GET", "/app/hook/deliveries").json == []


def test_what_nobody_received_stands_in_the_log(hub: GitHub, app: Client, installation: Installation) -> None:
    def unreachable(_headers: Any, _body: bytes) -> int:
        raise ConnectionRefusedError

    hub.deliver(None)
    hub.push("acme/app", {"x": b""})
    hub.deliver(unreachable)
    listed = app("GET", "/app/hook/deliveries?status=failure").json
    assert [(one["event"], one["status_code"]) for one in listed] == [("push", 0), ("installation", 0)]
    assert {one["installation_id"] for one in listed} == {installation.id}
    assert hub.queue == []


# --- other clients, other places


@pytest.mark.parametrize("enterprise", [False, True])
def test_everything_that_can_be_read_is_answered_by_the_contract(enterprise: bool) -> None:
    with github(enterprise=enterprise, permissions=dict.fromkeys(EVERYTHING, "write")) as standin:
        one = standin.repository("acme/app", FILES, roles={"ann": "write"})
        installation = standin.install("acme")
        one.releases.append({"id": 1, "tag_name": "v1"})
        one.rules["v1"] = [{"type": "deletion", "ruleset_id": 7}]
        bot, app = Client(standin, standin.token(installation).value), Client(standin, app_jwt(standin))
        number, head = open_one(standin, bot), standin.head("acme/app")
        tag = Tag()
        tag.name, tag.object, tag.message = b"v1", (Commit, ObjectID(str(head).encode())), b"One"
        tag.tagger, tag.tag_time, tag.tag_timezone = b"Ann <ann@example.com>", 1, 0
        standin.move("acme/app", "refs/tags/v1", one.git.add(tag))
        review = {"comments": [{"path": "Dockerfile", "line": 1, "body": "x"}]}
        assert bot("POST", f"{REPO}/pulls/{number}/reviews", review).status == 200
        bot("POST", f"{REPO}/issues/{number}/comments", {"body": "x"})
        note = {"path": "x", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}
        output = {"title": "t", "summary": "s", "annotations": [note]}
        run = {"name": "moorline", "head_sha": head, "output": output}
        check = bot("POST", f"{REPO}/check-runs", run).json["id"]
        standin.payload("ping")
        values = {
            "owner": "acme",
            "repo": "app",
            "org": "acme",
            "username": "ann",
            "branch": "main",
            "tag": "v1",
            "path": "Dockerfile",
            "basehead": "main...moorline/pins",
            "tree_sha": "main",
            "tag_sha": tag.id.decode(),
            "commit_sha": head,
            "file_sha": one.git.add_blob(b"FROM node:20\n"),
            "pull_number": number,
            "issue_number": number,
            "comment_id": next(iter(one.review_comments)),
            "review_id": next(iter(one.reviews)),
            "check_run_id": check,
            "installation_id": installation.id,
            "ruleset_id": 7,
            "delivery_id": standin.world.deliveries[-1].id,
        }
        for name, route in ROUTES.items():
            if not name.startswith("GET "):
                continue
            ref = "tags/v1" if "/git/" in name else "main"
            if "/issues/comments/" in name:
                values["comment_id"] = next(iter(one.comments))
            got = (app if route.by_app else bot)("GET", name[4:].format(**values, ref=ref))
            values["comment_id"] = next(iter(one.review_comments))
            # A person has no installation here.
            assert got.status == (404 if name == "GET /users/{username}/installation" else 200), (name, got)
            if isinstance(got.json, list) and "hook" not in name and "rules" not in name:
                assert got.json, name


def test_githubs_usual_python_client_gets_along(hub: GitHub, installation: Installation) -> None:
    auth = Auth.AppAuth(hub.app_id, hub.private_key)
    integration = GithubIntegration(
        auth=auth, base_url=hub.url, seconds_between_requests=0, seconds_between_writes=0
    )
    assert [one.id for one in integration.get_installations()] == [installation.id]
    token = integration.get_access_token(
        installation.id, permissions={"contents": "write", "pull_requests": "write"}
    )
    client = Github(
        auth=Auth.Token(token.token),
        base_url=hub.url,
        seconds_between_requests=0,
        seconds_between_writes=0,
        retry=None,
    )
    with client:
        repository = client.get_repo("acme/app")
        head = repository.get_branch("main").commit
        element = InputGitTreeElement("Dockerfile", "100644", "blob", content="FROM pinned\n")
        tree = repository.create_git_tree([element], head.commit.tree)
        commit = repository.create_git_commit("Pin", tree, [head.commit])
        assert commit.verification.verified
        repository.create_git_ref("refs/heads/moorline/pins", commit.sha)
        pull = repository.create_pull("main", "moorline/pins", title="Pin", body="Why", draft=False)
        pull.add_to_labels("dependencies")
        pull.create_issue_comment("Hello")
        pull.create_review_request(reviewers=["ann"])
        assert [one.filename for one in pull.get_files()] == ["Dockerfile"]
        assert [one.number for one in repository.get_pulls(head="acme:moorline/pins")] == [pull.number]
        pull.edit(state="closed")
        assert repository.get_pull(pull.number).state == "closed"
    integration.close()


def test_enterprise_server_has_other_places_and_habits() -> None:
    with github(enterprise=True) as standin:
        standin.repository("acme/app", FILES)
        bot = Client(standin, standin.token(standin.install("acme")).value)
        assert standin.url.endswith("/api/v3")
        assert standin.graphql_url.endswith("/api/graphql")
        answer = bot("GET", REPO)
        assert answer.json["url"] == f"{standin.url}{REPO}"
        assert "x-ratelimit-limit" not in answer.headers
        assert answer.headers["x-github-enterprise-version"].startswith("3.19")
        assert bot("GET", "/rate_limit").status == 404
        assert bot("GET", standin.url.removesuffix("/api/v3") + REPO).status == 404
        assert blob(bot, "Dockerfile")["text"] == "FROM node:20\n"
        # Web commit signing is off unless somebody set it up.
        sha = propose(standin, bot)
        assert not bot("GET", f"{REPO}/git/commits/{sha}").json["verification"]["verified"]
        headers, _ = standin.payload("ping")
        assert "X-GitHub-Enterprise-Host" in headers


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_repositories_on_disk_are_gits_own(tmp_path: Path) -> None:
    with github(folder=tmp_path) as standin:
        standin.repository("acme/app", FILES)
        bot = Client(standin, standin.token(standin.install("acme")).value)
        sha = propose(standin, bot)
        standin.fork("acme/app", "eve")
        forked = standin.push("eve/app", {"x": b""}, branch="side")
        pull = standin.open_pull("acme/app", "side", head_repository="eve/app", by="eve").number

    def git(*command: str, at: str = "acme/app.git") -> str:
        run = subprocess.run(
            ["git", "-C", str(tmp_path / at), *command],
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout.strip()

    git("fsck", "--strict", "--no-dangling")
    git("fsck", "--strict", "--no-dangling", at="eve/app.git")
    assert git("rev-parse", f"refs/pull/{pull}/head") == forked
    assert git("rev-parse", "refs/heads/moorline/pins") == sha
    assert git("show", f"{sha}:Dockerfile") == "FROM node:20@sha256:1"
    assert git("ls-tree", "main", "bin/run.sh").startswith("100755")


def test_the_app_manifest_is_exchanged_once(hub: GitHub) -> None:
    hub.world.manifests["code"] = {"pem": "key", "webhook_secret": "s", "client_secret": "c"}
    nobody = Client(hub)
    assert nobody("POST", "/app-manifests/code/conversions").json["pem"] == "key"
    assert nobody("POST", "/app-manifests/code/conversions").status == 404


def test_servers_in_threads_keep_apart(hub: GitHub) -> None:
    with github() as other:
        other.repository("acme/app", {"only": b"here"})
        assert hub.url != other.url
        bot = Client(other, other.token(other.install("acme")).value)
        assert bot("GET", f"{REPO}/contents/only").status == 200
        assert bot("GET", f"{REPO}/contents/Dockerfile").status == 404
