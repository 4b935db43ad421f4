"""The GitLab stand-in is held to GitLab's documented behaviour, by python-gitlab and by plain requests.

Its contract is derived from clients' types and documentation, not GitLab's own document: weaker evidence
than GitHub's.  What is asserted here is what GitLab's documentation or source says of each operation.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gitlab as python_gitlab
import pytest
import requests
from contract_checks_gitlab import contract
from gitlab_git import EXECUTABLE, LINK, SUBMODULE, Content
from gitlab_http import Reply
from gitlab_quick_actions import extract
from gitlab_serving import ROUTES
from gitlab_standin import GitLab, Level, Project, gitlab

FILES: dict[str, Content] = {
    "Dockerfile": b"FROM nginx:latest\n",
    "ci/a b.yml": b"job:\n  script: [x]\n",
    ".gitlab-ci.yml": b"job:\n  image: alpine:3\n  script: [make]\n",
    "run.sh": (EXECUTABLE, b"#!/bin/sh\n"),
}


class Site:
    """A stand-in with one project and a bot that is a developer in it."""

    def __init__(self, lab: GitLab) -> None:
        self.lab = lab
        self.bot = lab.user("moorline", bot=True)
        self.ada = lab.user("ada", "Ada Example")
        lab.join("acme", self.bot, Level.DEVELOPER)
        lab.join("acme", self.ada, Level.MAINTAINER)
        self.project: Project = lab.project("acme/web", FILES)
        self.token = lab.token(self.bot)
        self.session = requests.Session()
        self.session.trust_env = False
        self.client = python_gitlab.Gitlab(
            lab.url, private_token=self.token, timeout=20, retry_transient_errors=False
        )
        self.client.session.trust_env = False

    def ask(self, method: str, path: str, *, token: str = "", **more: Any) -> requests.Response:
        """Ask by hand, `path` below the project unless it begins with a slash."""
        place = path if path.startswith("/") else f"/projects/{self.project.id}/{path}".rstrip("/")
        headers = {"PRIVATE-TOKEN": token or self.token, **more.pop("headers", {})}
        url = f"{self.lab.url}/api/v4{place}"
        return self.session.request(method, url, headers=headers, timeout=20, allow_redirects=False, **more)

    def query(self, query: str, **variables: Any) -> Any:
        """Ask by GraphQL."""
        url = f"{self.lab.url}/api/graphql"
        body: dict[str, Any] = {"query": query, "variables": variables}
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.session.post(url, json=body, headers=headers, timeout=20).json()

    def commit(self, branch: str, *actions: dict[str, Any], **more: Any) -> requests.Response:
        """Ask for a commit."""
        body = {"branch": branch, "commit_message": "m", "actions": list(actions), **more}
        return self.ask("POST", "repository/commits", json=body)

    def close(self) -> None:
        """Close both sessions."""
        self.session.close()
        self.client.session.close()


@pytest.fixture
def site() -> Iterator[Site]:
    with gitlab() as lab:
        made = Site(lab)
        try:
            yield made
        finally:
            made.close()


def forgive(lab: GitLab, word: str) -> None:
    """Take from the violations the only one, which the test made on purpose and which holds a word."""
    (found,) = lab.violations
    assert word in found
    lab.violations.clear()


def test_who_asks(site: Site) -> None:
    site.client.auth()
    assert site.client.user is not None
    assert (site.client.user.id, site.client.user.bot) == (site.bot.id, True)
    said = site.ask("GET", "/personal_access_tokens/self").json()
    assert said["scopes"] == ["api"]
    assert len(said["expires_at"]) == 10
    assert site.ask("GET", "/metadata").json()["version"] == site.lab.world.version
    assert site.ask("GET", "/users?username=ADA").json()[0]["id"] == site.ada.id


def test_projects_by_path_and_id(site: Site) -> None:
    project = site.client.projects.get("acme/web")
    assert project.id == site.project.id
    assert project.default_branch == "main"
    assert site.client.projects.get(project.id).path_with_namespace == "acme/web"


def test_tree_files_and_blobs(site: Site) -> None:
    project = site.client.projects.get(site.project.id)
    found = project.repository_tree(recursive=True, iterator=True, pagination="keyset", per_page=2)
    assert [one["path"] for one in found] == ["ci", ".gitlab-ci.yml", "Dockerfile", "ci/a b.yml", "run.sh"]
    file = project.files.get("ci/a b.yml", ref="main")
    assert file.decode() == FILES["ci/a b.yml"]
    assert file.content_sha256 == hashlib.sha256(file.decode()).hexdigest()
    assert project.files.raw("Dockerfile", ref="main") == FILES["Dockerfile"]
    assert project.repository_raw_blob(file.blob_id) == FILES["ci/a b.yml"]


def test_blobs_by_graphql(site: Site) -> None:
    said = site.query(
        """query($p: ID!, $paths: [String!]!, $ref: String) { project(fullPath: $p) { id archived
        repository { rootRef empty blobs(paths: $paths, ref: $ref) {
        nodes { path oid size mode rawBlob rawTextBlob } } } } }""",
        p="acme/web",
        paths=["Dockerfile", "gone", "ci", "run.sh"],
        ref="main",
    )
    repository = said["data"]["project"]["repository"]
    assert (repository["rootRef"], repository["empty"]) == ("main", False)
    first, second = repository["blobs"]["nodes"]
    assert first["path"] == "Dockerfile"
    assert first["rawBlob"] == "FROM nginx:latest\n"
    assert first["size"] == "18"
    assert second["mode"] == "100755"
    body = base64.b64decode(site.ask("GET", "repository/files/Dockerfile?ref=main").json()["content"])
    assert first["oid"] == hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def test_a_commit_a_merge_request_and_what_people_do_with_it(site: Site) -> None:
    head = site.lab.head(site.project)
    made = site.commit(
        "moorline/main",
        {"action": "update", "file_path": "Dockerfile", "content": "FROM nginx:latest@sha256:1\n"},
        {"action": "update", "file_path": "run.sh", "content": "eA==", "encoding": "base64"},
        start_sha=head,
    )
    assert made.status_code == 201, made.text
    assert made.json()["parent_ids"] == [head]
    assert made.json()["stats"] == {"additions": 2, "deletions": 2, "total": 4}
    assert site.lab.mode(site.project, "run.sh", "moorline/main") == EXECUTABLE
    project = site.client.projects.get(site.project.id)
    body = {
        "source_branch": "moorline/main",
        "target_branch": "main",
        "title": "Draft: Pin",
        "labels": "moorline, pins",
        "reviewer_ids": [site.ada.id, 12345],
        "squash": True,
        "remove_source_branch": True,
    }
    one = project.mergerequests.create(body)
    assert (one.iid, one.state, one.draft, one.labels) == (1, "opened", True, ["moorline", "pins"])
    assert [each["username"] for each in one.reviewers] == ["ada"]
    assert one.diff_refs == {"base_sha": head, "start_sha": head, "head_sha": made.json()["id"]}
    with pytest.raises(python_gitlab.GitlabCreateError) as conflict:
        project.mergerequests.create(body)
    assert conflict.value.response_code == 409
    (held,) = site.lab.merge_requests(site.project, "opened")
    site.lab.close(held, site.ada)
    assert project.mergerequests.get(1).closed_by["username"] == "ada"
    assert (
        project.mergerequests.list(state="closed", source_branch="moorline/main", get_all=False)[0].iid == 1
    )
    site.lab.reopen(held, site.ada)
    site.lab.merge(held, site.ada)
    merged = project.mergerequests.get(1)
    assert (merged.state, merged.merged_by["username"]) == ("merged", "ada")
    assert site.lab.read(site.project, "Dockerfile") == b"FROM nginx:latest@sha256:1\n"
    assert site.lab.head(site.project, "moorline/main") is None


def test_tokens_that_do_not_let_in(site: Site) -> None:
    lab = site.lab
    assert site.ask("GET", "/user", token="glpat-made-up").json() == {"message": "401 Unauthorized"}
    assert site.ask("GET", "", token="glpat-made-up").status_code == 401
    gone = lab.token(site.bot)
    lab.revoke(gone)
    url, headers = f"{lab.url}/api/graphql", {"Authorization": f"Bearer {gone}"}
    said = site.session.post(url, json={"query": "{ currentUser { id } }"}, headers=headers, timeout=20)
    assert (said.status_code, said.json()) == (401, {"errors": [{"message": "Invalid token"}]})
    assert site.ask("GET", "", token=gone).json()["error"] == "invalid_token"
    old = site.ask("GET", "", token=lab.token(site.bot, days=-1))
    assert (old.status_code, old.json()["error"]) == (401, "invalid_token")
    assert "expired" in old.json()["error_description"]
    site.bot.state = "blocked"
    assert site.ask("GET", "").status_code == 403


def test_a_token_that_only_reads(site: Site) -> None:
    reader = site.lab.token(site.bot, ("read_api",))
    assert site.ask("GET", "", token=reader).status_code == 200
    refused = site.ask("POST", "repository/branches", token=reader, json={"branch": "x", "ref": "main"})
    assert refused.status_code == 403
    assert refused.json()["error"] == "insufficient_scope"
    assert site.lab.head(site.project, "x") is None
    git_only = site.lab.token(site.bot, ("write_repository",))
    assert site.ask("GET", "", token=git_only).status_code == 403


def test_what_one_cannot_see_does_not_exist(site: Site) -> None:
    hidden = site.lab.project("other/hidden", {"a": b"a"})
    assert site.ask("GET", f"/projects/{hidden.id}").status_code == 404
    assert site.ask("GET", "/projects/other%2Fhidden").json() == {"message": "404 Project Not Found"}
    public = site.lab.project("other/open", {"a": b"a"}, visibility="public")
    assert site.ask("GET", f"/projects/{public.id}/repository/tree").status_code == 200
    url = f"{site.lab.url}/api/v4/projects/{public.id}/repository/files/a/raw"
    assert site.session.get(url, timeout=20).content == b"a"
    assert site.ask("POST", f"/projects/{public.id}/merge_requests", json=_request("x")).status_code == 403


def test_roles(site: Site) -> None:
    guest = site.lab.user("guest")
    site.lab.join(site.project, guest, Level.GUEST)
    token = site.lab.token(guest)
    assert "default_branch" not in site.ask("GET", "", token=token).json()
    assert site.ask("GET", "repository/tree", token=token).status_code == 403
    site.lab.join(site.project, guest, Level.REPORTER)
    assert site.ask("GET", "repository/tree", token=token).status_code == 200
    body = {"branch": "x", "ref": "main"}
    assert site.ask("POST", "repository/branches", token=token, json=body).status_code == 403
    assert site.ask("GET", "hooks").status_code == 403
    assert site.ask("GET", "hooks", token=site.lab.token(site.ada)).json() == []
    assert site.ask("GET", "/hooks").status_code == 403


def _request(source: str, **more: Any) -> dict[str, Any]:
    return {"source_branch": source, "target_branch": "main", "title": "Pin", **more}


def test_a_project_that_moved(site: Site) -> None:
    site.lab.rename(site.project, "elsewhere/site")
    site.lab.join("elsewhere", site.bot, Level.DEVELOPER)
    moved = site.ask("GET", "/projects/acme%2Fweb/repository/tree?recursive=true")
    assert moved.status_code == 301
    place = moved.headers["Location"]
    assert place == f"{site.lab.url}/api/v4/projects/{site.project.id}/repository/tree?recursive=true"
    assert site.client.projects.get("acme/web").path_with_namespace == "elsewhere/site"
    assert site.query(BLOBS, p="acme/web", paths=["Dockerfile"])["data"]["project"] is None
    refused = site.ask("POST", "/projects/acme%2Fweb/merge_requests", json=_request("x"))
    assert (refused.status_code, refused.json()["message"][:7]) == (405, "Non GET")


def test_projects_in_pages(site: Site) -> None:
    made = [site.lab.project(f"acme/deep/p{number}", {"a": b"a"}) for number in range(5)]
    site.lab.archive(made[0])
    site.lab.project("other/hidden", {"a": b"a"})
    asked = {"membership": True, "order_by": "id", "sort": "asc", "per_page": 2, "simple": True}
    found = site.client.projects.list(iterator=True, pagination="keyset", **asked)
    assert [one.id for one in found] == [site.project.id, *(one.id for one in made)]
    last = site.lab.requests[-1]
    assert (last.query["id_after"], site.lab.count("GET", "/api/v4/projects")) == (str(made[2].id), 3)
    assert not hasattr(found, "archived")
    query = "/projects?pagination=keyset&order_by=id&per_page=2&membership=true"
    first = site.ask("GET", query)
    assert "id_before" in first.headers["Link"]
    assert "X-Total" not in first.headers
    assert site.ask("GET", "/projects?pagination=keyset").status_code == 405
    live = site.ask("GET", "/projects?archived=false&per_page=2&page=2")
    assert (live.headers["X-Total"], live.headers["X-Next-Page"], live.headers["X-Page"]) == ("5", "3", "2")
    assert len(site.ask("GET", "/groups/acme/projects").json()) == 1
    assert len(site.ask("GET", "/groups/acme/projects?include_subgroups=true&archived=false").json()) == 5
    assert [one["full_path"] for one in site.ask("GET", "/groups").json()] == ["acme", "acme/deep"]
    assert site.ask("GET", "/groups/other/projects").status_code == 404


def test_an_empty_repository(site: Site) -> None:
    empty = site.lab.project("acme/empty")
    said = site.ask("GET", f"/projects/{empty.id}").json()
    assert (said["empty_repo"], said["default_branch"]) == (True, "main")
    assert site.ask("GET", f"/projects/{empty.id}/repository/tree").json()["message"] == "404 Tree Not Found"
    assert site.ask("GET", f"/projects/{empty.id}/repository/branches").json() == []
    text = '{ project(fullPath: "acme/empty") { repository { empty rootRef tree { lastCommit { sha } } } } }'
    nothing = {"empty": True, "rootRef": None, "tree": None}
    assert site.query(text)["data"]["project"]["repository"] == nothing


def test_what_is_no_file(site: Site) -> None:
    site.lab.push(site.project, {"link": (LINK, b"Dockerfile"), "module": (SUBMODULE, b"1" * 40)})
    rows = {one["path"]: one for one in site.ask("GET", "repository/tree?recursive=true").json()}
    assert (rows["link"]["mode"], rows["link"]["type"]) == ("120000", "blob")
    assert (rows["module"]["mode"], rows["module"]["type"]) == ("160000", "commit")
    assert (rows["ci"]["mode"], rows["ci"]["type"]) == ("040000", "tree")
    for path in ("module", "ci", "gone", "ci%2Fgone"):
        assert site.ask("GET", f"repository/files/{path}?ref=main").status_code == 404, path
    assert site.ask("GET", "repository/tree?path=gone").status_code == 404
    assert site.ask("GET", "repository/tree?path=Dockerfile").status_code == 404
    assert [one["path"] for one in site.ask("GET", "repository/tree?path=ci").json()] == ["ci/a b.yml"]
    assert site.ask("GET", "repository/tree?ref=gone").status_code == 404


def test_the_last_commit_of_a_file(site: Site) -> None:
    first = site.lab.head(site.project)
    second = site.lab.push(site.project, {"run.sh": b"other"})
    said = site.ask("GET", "repository/files/Dockerfile?ref=main").json()
    assert (said["commit_id"], said["last_commit_id"]) == (second, first)


def test_branches(site: Site) -> None:
    made = site.ask("POST", "repository/branches", json={"branch": "moorline/x", "ref": "main"})
    assert made.status_code == 201
    assert made.json()["commit"]["id"] == site.lab.head(site.project)
    again = site.ask("POST", "repository/branches", json={"branch": "moorline/x", "ref": "main"})
    assert (again.status_code, again.json()["message"]) == (400, "Branch already exists")
    assert site.ask("POST", "repository/branches", json={"branch": "y", "ref": "no"}).status_code == 400
    assert site.ask("POST", "repository/branches", json={"branch": "a..b", "ref": "main"}).status_code == 400
    assert "name is invalid" in site.commit("a b", _create("x"), start_branch="main").text
    found = site.ask("GET", "repository/branches?search=%5Emoorline/").json()
    assert [one["name"] for one in found] == ["moorline/x"]
    assert site.ask("GET", "repository/branches/main").json()["protected"]
    assert site.ask("DELETE", "repository/branches/moorline%2Fx").status_code == 204
    assert site.ask("DELETE", "repository/branches/moorline%2Fx").status_code == 404
    assert site.ask("DELETE", "repository/branches/main").status_code == 403


def test_a_branch_that_goes_leaves_its_merge_request_open(site: Site) -> None:
    site.lab.push(site.project, {"a": b"a"}, "side")
    assert site.ask("POST", "merge_requests", json=_request("side")).status_code == 201
    assert site.ask("DELETE", "repository/branches/side").status_code == 204
    said = site.ask("GET", "merge_requests/1").json()
    assert (said["state"], said["source_branch"]) == ("opened", "side")


def test_every_action_of_a_commit(site: Site) -> None:
    made = site.commit(
        "side",
        {"action": "create", "file_path": "new/é.txt", "content": "é"},
        {"action": "delete", "file_path": "Dockerfile"},
        {"action": "move", "file_path": "bin/run", "previous_path": "run.sh"},
        {"action": "chmod", "file_path": ".gitlab-ci.yml", "execute_filemode": True},
        start_branch="main",
        author_name="Somebody",
        author_email="some@example.com",
    )
    assert made.status_code == 201, made.text
    said = made.json()
    assert (said["author_name"], said["committer_name"]) == ("Somebody", "moorline")
    read, mode = site.lab.read, site.lab.mode
    assert read(site.project, "new/é.txt", "side") == "é".encode()
    assert read(site.project, "Dockerfile", "side") is None
    assert mode(site.project, "bin/run", "side") == EXECUTABLE
    assert mode(site.project, ".gitlab-ci.yml", "side") == EXECUTABLE
    assert site.ask("GET", f"repository/commits/{said['short_id']}").json()["id"] == said["id"]
    assert [one["id"] for one in site.ask("GET", "repository/commits?ref_name=main..side").json()] == [
        said["id"]
    ]


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        ([{"action": "create", "file_path": "Dockerfile", "content": "x"}], "already exists"),
        ([{"action": "create", "file_path": "ci", "content": "x"}], "directory with this name"),
        ([{"action": "create", "file_path": "Dockerfile/x", "content": "x"}], "already exists"),
        ([{"action": "update", "file_path": "gone", "content": "x"}], "doesn't exist"),
        ([{"action": "delete", "file_path": "gone"}], "doesn't exist"),
        ([{"action": "move", "file_path": "x"}], "original file path"),
        ([{"action": "create", "file_path": "../x", "content": "x"}], "directory traversal"),
        ([{"action": "update", "file_path": "Dockerfile", "content": "*", "encoding": "base64"}], "base64"),
    ],
)
def test_a_commit_is_all_or_nothing(site: Site, actions: list[dict[str, Any]], why: str) -> None:
    fine = {"action": "create", "file_path": "fine", "content": "x"}
    refused = site.commit("side", fine, *actions, start_branch="main")
    assert refused.status_code == 400
    assert why in refused.json()["message"]
    assert site.lab.head(site.project, "side") is None


def test_where_a_commit_starts(site: Site) -> None:
    fine = {"action": "create", "file_path": "fine", "content": "x"}
    head = str(site.lab.head(site.project))
    assert "on a branch" in site.commit("side", fine).json()["message"]
    assert site.commit("side", fine, start_sha=head, start_branch="main").status_code == 400
    assert "Cannot find" in site.commit("side", fine, start_sha="0" * 40).json()["message"]
    first = site.commit("side", fine, start_sha=head).json()["id"]
    taken = site.commit("side", fine, start_sha=head)
    assert (taken.status_code, "already exists" in taken.json()["message"]) == (400, True)
    assert site.lab.head(site.project, "side") == first
    other = {"action": "create", "file_path": "other", "content": "x"}
    on_top = site.commit("side", other).json()
    assert on_top["parent_ids"] == [first]
    anew = site.commit("side", other, start_sha=head, force=True).json()
    assert anew["parent_ids"] == [head]
    assert site.lab.head(site.project, "side") == anew["id"]
    assert site.lab.read(site.project, "fine", "side") is None


def test_a_lock_by_the_last_commit_of_a_file(site: Site) -> None:
    known = site.lab.head(site.project)
    site.lab.push(site.project, {"run.sh": b"other"}, "side")
    update = {"action": "update", "file_path": "Dockerfile", "content": "x", "last_commit_id": known}
    assert site.commit("side", update).status_code == 201, "another file changed, this one did not"
    refused = site.commit("side", update | {"content": "y"})
    assert refused.status_code == 400
    assert refused.json()["message"] == "The file has changed since you started editing it: Dockerfile"
    nothing = update | {"content": "z", "last_commit_id": "0" * 40}
    assert site.commit("side", nothing).status_code == 201, "an unknown commit locks nothing"


def test_a_first_commit(site: Site) -> None:
    empty = site.lab.project("acme/empty", protect=False)
    body = {"branch": "main", "commit_message": "m", "actions": [_create("a")]}
    made = site.ask("POST", f"/projects/{empty.id}/repository/commits", json=body)
    assert made.json()["parent_ids"] == []
    assert site.lab.read(empty, "a") == b"x"


def _create(path: str) -> dict[str, Any]:
    return {"action": "create", "file_path": path, "content": "x"}


def test_branches_and_projects_that_take_no_commit(site: Site) -> None:
    assert "not allowed to push" in site.commit("main", _create("x")).json()["message"]
    site.project.push_rule = {"branch_name_regex": "^(main|feature/)", "commit_message_regex": "."}
    assert "does not follow the pattern" in site.commit("side", _create("x"), start_branch="main").text
    assert site.commit("feature/x", _create("x"), start_branch="main").status_code == 201
    token = site.lab.token(site.ada)
    assert site.ask("GET", "push_rule", token=token).json()["branch_name_regex"] == "^(main|feature/)"
    site.lab.archive(site.project)
    assert site.commit("feature/y", _create("x"), start_branch="main").status_code == 403
    assert site.ask("POST", "merge_requests", json=_request("feature/x")).status_code == 403
    assert site.ask("GET", "repository/tree").status_code == 200
    site.lab.archive(site.project, archived=False)
    site.project.push_rule = {}
    assert site.ask("GET", "push_rule", token=token).json() is None
    site.lab.world.licensed = False
    assert site.ask("GET", "push_rule", token=token).status_code == 404
    assert site.ask("GET", "protected_branches/main").json()["push_access_levels"][0]["access_level"] == 40


def test_compare(site: Site) -> None:
    old = site.lab.head(site.project)
    one = site.lab.push(site.project, {"Dockerfile": b"FROM nginx:2\n"}, "side")
    site.lab.push(site.project, {"new": b"n"})
    said = site.ask("GET", "repository/compare?from=main&to=side").json()
    assert [each["id"] for each in said["commits"]] == [one]
    assert [each["new_path"] for each in said["diffs"]] == ["Dockerfile"]
    assert said["diffs"][0]["diff"] == "@@ -1 +1 @@\n-FROM nginx:latest\n+FROM nginx:2\n"
    straight = site.ask("GET", "repository/compare?from=main&to=side&straight=true").json()
    assert [each["new_path"] for each in straight["diffs"]] == ["Dockerfile", "new"]
    assert site.ask("GET", f"repository/compare?from={old}&to={old}").json()["compare_same_ref"]
    assert site.ask("GET", "repository/compare?from=gone&to=side").status_code == 404


def test_merge_base(site: Site) -> None:
    old = site.lab.head(site.project)
    side = site.lab.push(site.project, {"Dockerfile": b"FROM nginx:2\n"}, "side")
    site.lab.push(site.project, {"new": b"n"})
    assert site.ask("GET", "repository/merge_base?refs[]=main&refs[]=side").json()["id"] == old
    assert site.ask("GET", f"repository/merge_base?refs[]={side}&refs[]=side").json()["id"] == side
    assert site.ask("GET", "repository/merge_base?refs[]=gone&refs[]=side").status_code == 400
    assert site.ask("GET", "repository/merge_base?refs[]=side").status_code == 400


def test_statuses(site: Site) -> None:
    head = site.lab.head(site.project)
    body = {"state": "pending", "name": "moorline", "ref": "main", "description": "looking"}
    first = site.ask("POST", f"statuses/{head}", json=body)
    assert (first.status_code, first.json()["status"]) == (201, "pending")
    again = site.ask("POST", f"statuses/{head}", json=body)
    assert again.status_code == 400
    assert "Cannot transition status via :enqueue from :pending" in again.json()["message"]
    done = site.ask("POST", f"statuses/{head}", json=body | {"state": "success"}).json()
    assert (done["id"], done["status"]) == (first.json()["id"], "success")
    anew = site.ask("POST", f"statuses/{head}", json=body | {"state": "failed"}).json()
    assert anew["id"] != done["id"]
    listed = site.ask("GET", f"repository/commits/{head}/statuses").json()
    assert [one["status"] for one in listed] == ["failed"]
    assert len(site.ask("GET", f"repository/commits/{head}/statuses?all=true").json()) == 2
    assert site.ask("POST", f"statuses/{'0' * 40}", json=body).status_code == 404


def test_merge_requests_that_are_refused(site: Site) -> None:
    site.lab.push(site.project, {"a": b"a"}, "side")
    for body, status in (
        (_request("gone"), 400),
        (_request("main"), 422),
        (_request("side", title="x" * 255), 201),
        (_request("side"), 409),
    ):
        assert site.ask("POST", "merge_requests", json=body).status_code == status, body
    said = site.ask("POST", "merge_requests", json=_request("side")).json()
    assert said == {"message": ["Another open merge request already exists for this source branch: !1"]}
    (one,) = site.lab.merge_requests(site.project)
    site.lab.close(one)
    assert site.ask("POST", "merge_requests", json=_request("side")).json()["iid"] == 2
    assert site.ask("PUT", "merge_requests/1", json={"state_event": "reopen"}).status_code == 409
    assert site.ask("PUT", "merge_requests/9", json={"title": "x"}).status_code == 404
    outsider = site.lab.user("reporter")
    site.lab.join(site.project, outsider, Level.REPORTER)
    token = site.lab.token(outsider)
    assert site.ask("PUT", "merge_requests/1", token=token, json={"title": "x"}).status_code == 403


def test_changing_a_merge_request(site: Site) -> None:
    site.lab.push(site.project, {"a": b"a"}, "side")
    site.lab.push(site.project, {"b": b"b"}, "release")
    site.ask("POST", "merge_requests", json=_request("side", squash=True, remove_source_branch=True))
    body = {
        "title": "Draft: Pin",
        "labels": "one,two",
        "target_branch": "release",
        "assignee_ids": [site.ada.id],
    }
    said = site.ask("PUT", "merge_requests/1", json=body).json()
    assert (said["draft"], said["labels"], said["target_branch"]) == (True, ["one", "two"], "release")
    assert (said["squash"], said["force_remove_source_branch"]) == (True, True)
    assert said["assignees"][0]["username"] == "ada"
    assert said["diff_refs"]["start_sha"] == site.lab.head(site.project, "release")
    closed = site.ask("PUT", "merge_requests/1", json={"state_event": "close"}).json()
    assert (closed["state"], closed["closed_by"]["username"]) == ("closed", "moorline")
    assert site.ask("PUT", "merge_requests/1", json={"state_event": "reopen"}).json()["closed_by"] is None
    before = said["sha"]
    after = site.lab.push(site.project, {"a": b"c"}, "side", user=site.ada)
    assert before != site.ask("GET", "merge_requests/1").json()["sha"] == after
    assert [one["name"] for one in site.ask("GET", "labels").json()] == ["one", "two"]
    assert [one["id"] for one in site.ask("GET", "merge_requests/1/commits").json()] == [after, before]
    assert [one["new_path"] for one in site.ask("GET", "merge_requests/1/diffs").json()] == ["a"]


def test_a_merge_request_that_is_not_prepared_yet(site: Site) -> None:
    site.lab.push(site.project, {"a": b"a"}, "side")
    site.lab.world.prepares_at_once = False
    made = site.ask("POST", "merge_requests", json=_request("side")).json()
    assert (made["diff_refs"], made["detailed_merge_status"], made["prepared_at"]) == (
        None,
        "preparing",
        None,
    )
    later = site.ask("GET", "merge_requests/1").json()
    assert (later["diff_refs"]["head_sha"], later["detailed_merge_status"]) == (made["sha"], "mergeable")


def test_without_a_licence_one_reviewer_stays(site: Site) -> None:
    site.lab.push(site.project, {"a": b"a"}, "side")
    body = _request("side", reviewer_ids=[site.ada.id, site.bot.id])
    site.lab.world.licensed = False
    assert len(site.ask("POST", "merge_requests", json=body).json()["reviewers"]) == 1


def test_labels_and_members(site: Site) -> None:
    body = {"name": "moorline", "color": "#428BCA"}
    assert site.ask("POST", "labels", json=body).status_code == 201
    assert site.ask("POST", "labels", json=body).status_code == 409
    assert site.ask("GET", f"members/all/{site.ada.id}").json()["access_level"] == 40
    assert site.ask("GET", "members/all/1").status_code == 404


ORDERS = [
    ("Fine.\n/close", "close"),
    ("/merge now", "merge"),
    ("text\r\n/approve\r\n", "approve"),
    ("  /CLOSE", "close"),
    ("> quoted\n\n/label ~x", "label"),
    ("<details>\n\n/close\n\n</details>", "close"),
]
NO_ORDERS = [
    "a /close b",
    "```\n/close\n```",
    "~~~~\n/close\n~~~\n/merge\n~~~~",
    "\\/close",
    "/closed",
    "/etc/passwd",
    "    /close",
]


@pytest.mark.parametrize(("text", "command"), ORDERS)
def test_lines_that_gitlab_takes_for_orders(text: str, command: str) -> None:
    assert extract(text)[1][0][0] == command


@pytest.mark.parametrize("text", NO_ORDERS)
def test_lines_that_are_no_orders(text: str) -> None:
    assert extract(text) == (text, [])


def test_orders_are_carried_out(site: Site) -> None:
    site.lab.push(site.project, {"a": b"a"}, "side")
    site.ask("POST", "merge_requests", json=_request("side", description="Hello\n/label ~evil"))
    (one,) = site.lab.merge_requests(site.project)
    assert (one.description, one.labels) == ("Hello", ["evil"])
    kept = site.ask("POST", "merge_requests/1/notes", json={"body": "Hello\n/approve"})
    assert (kept.status_code, kept.json()["body"]) == (201, "Hello")
    only = site.ask("POST", "merge_requests/1/notes", json={"body": "/close"})
    assert only.status_code == 202
    assert one.state == "closed"
    site.lab.reopen(one)
    changed = {"body": "Now\n/merge"}
    site.ask("PUT", f"merge_requests/1/notes/{kept.json()['id']}", json=changed)
    assert one.state == "merged"
    done = [(each.where, each.command, each.user) for each in site.lab.executed]
    orders = [("description", "label"), ("note", "approve"), ("note", "close"), ("note", "merge")]
    assert done == [(*order, "moorline") for order in orders]


def test_notes(site: Site) -> None:
    site.lab.push(site.project, {"a": b"a"}, "side")
    site.ask("POST", "merge_requests", json=_request("side"))
    (one,) = site.lab.merge_requests(site.project)
    theirs = site.lab.comment(one, "What is this?", site.ada)
    mine = site.ask("POST", "merge_requests/1/notes", json={"body": "A pin."}).json()
    assert "bot" not in mine["author"]
    found = site.ask("GET", "merge_requests/1/notes?sort=asc").json()
    assert [(each["body"], each["author"]["username"]) for each in found] == [
        ("What is this?", "ada"),
        ("A pin.", "moorline"),
    ]
    assert site.ask("PUT", f"merge_requests/1/notes/{theirs.id}", json={"body": "x"}).status_code == 403
    assert (
        site.ask("PUT", f"merge_requests/1/notes/{mine['id']}", json={"body": "Pins."}).json()["body"]
        == "Pins."
    )
    assert site.ask("POST", "merge_requests/1/notes", json={"body": " "}).status_code == 400
    site.lab.close(one, site.ada)
    newest = site.ask("GET", "merge_requests/1/notes").json()[0]
    assert (newest["system"], newest["body"]) == (True, "closed")
    assert site.ask("DELETE", f"merge_requests/1/notes/{mine['id']}").status_code == 204
    assert site.ask("GET", f"merge_requests/1/notes/{mine['id']}").status_code == 404


def test_threads_stand_in_the_diff_only(site: Site) -> None:
    text = b"".join(b"line %d\n" % number for number in range(1, 30))
    site.lab.push(site.project, {"a": text})
    site.lab.push(site.project, {"a": text.replace(b"line 10\n", b"other\n")}, "side")
    refs = site.ask("POST", "merge_requests", json=_request("side")).json()["diff_refs"]
    place = {**refs, "position_type": "text", "new_path": "a", "old_path": "a"}

    def thread(**line: int) -> requests.Response:
        body = {"body": "```suggestion:-0+0\nx\n```", "position": {**place, **line}}
        return site.ask("POST", "merge_requests/1/discussions", json=body)

    assert thread(new_line=10).status_code == 201
    assert thread(new_line=10, old_line=10).status_code == 400, "an added line has no old number"
    assert thread(old_line=10).status_code == 201
    assert thread(new_line=9, old_line=9).status_code == 201
    assert thread(new_line=9).status_code == 400, "an unchanged line needs both numbers"
    assert thread(new_line=25, old_line=25).status_code == 400
    first = site.ask("GET", "merge_requests/1/discussions").json()[0]
    where = f"merge_requests/1/discussions/{first['id']}"
    assert site.ask("POST", f"{where}/notes", json={"body": "yes"}).status_code == 201
    said = site.ask("PUT", where, json={"resolved": True}).json()
    assert [each["resolved"] for each in said["notes"]] == [True, True]
    assert site.ask("GET", where).json() == said


def test_ci_lint(site: Site) -> None:
    fine = site.ask("GET", "ci/lint?content_ref=main").json()
    assert (fine["valid"], fine["errors"]) == (True, [])
    site.lab.push(site.project, {".gitlab-ci.yml": b"job:\n  image: a\n"}, "side")
    bad = site.ask("GET", "ci/lint?content_ref=side&dry_run=true&dry_run_ref=side").json()
    assert bad["errors"] == ["jobs:job config should implement the script:, run:, or trigger: keyword"]
    site.lab.push(site.project, {".gitlab-ci.yml": None}, "none")
    assert site.ask("GET", "ci/lint?content_ref=none").json()["errors"] == [
        "Please provide content of .gitlab-ci.yml"
    ]
    assert site.ask("POST", "ci/lint", json={"content": "a: [}"}).json()["valid"] is False
    site.lab.world.lint = {"valid": True, "errors": [], "warnings": ["careful"]}
    assert site.ask("GET", "ci/lint").json()["warnings"] == ["careful"]
    assert site.ask("GET", "ci/lint?content_ref=gone").status_code == 404
    empty = site.lab.project("acme/empty")
    assert site.ask("GET", f"/projects/{empty.id}/ci/lint").status_code == 404


BLOBS = """query($p: ID!, $paths: [String!]!) { project(fullPath: $p) { repository {
 blobs(paths: $paths) { nodes { path rawBlob rawTextBlob } pageInfo { hasNextPage endCursor } } } } }"""


def test_graphql_limits(site: Site) -> None:
    files: dict[str, Content] = {f"f{number}": b"x" * 100 for number in range(120)}
    many = site.lab.project("acme/many", files)
    paths = list(files)
    too_many = site.query(BLOBS, p=many.path, paths=paths)
    assert "exceeds max complexity" in too_many["errors"][0]["message"]
    site.lab.world.graphql_blobs = 1_000
    page = site.query(BLOBS, p=many.path, paths=paths)["data"]["project"]["repository"]["blobs"]
    assert (len(page["nodes"]), page["pageInfo"]["hasNextPage"]) == (100, True)
    site.lab.world.graphql_bytes = 5_000
    assert "exceeds" in site.query(BLOBS, p=many.path, paths=paths[:30])["errors"][0]["message"]
    site.lab.world.graphql_status = 403
    assert site.query(BLOBS, p=many.path, paths=["f1"])["message"].startswith("403")


def test_graphql_changes_what_is_no_utf_8(site: Site) -> None:
    odd = site.lab.project("acme/odd", {"latin": b"caf\xe9", "binary": b"\0\1"})
    nodes = site.query(BLOBS, p=odd.path, paths=["latin", "binary"])["data"]["project"]["repository"]["blobs"]
    first, second = nodes["nodes"]
    assert first["rawBlob"].encode() != b"caf\xe9"
    assert second["rawTextBlob"] is None


def test_graphql_hides_what_one_cannot_see(site: Site) -> None:
    hidden = site.lab.project("other/hidden", {"a": b"a"})
    assert site.query(BLOBS, p=hidden.path, paths=["a"]) == {"data": {"project": None}}


def test_heads_of_many_projects(site: Site) -> None:
    made = [site.lab.project(f"acme/p{number}", {"a": b"%d" % number}) for number in range(3)]
    hidden = site.lab.project("other/hidden", {"a": b"a"})
    text = """query($ids: [ID!], $first: Int) { projects(ids: $ids, first: $first) {
      nodes { id repository { rootRef tree { lastCommit { sha } } } } pageInfo { hasNextPage } } }"""
    ids = [f"gid://gitlab/Project/{one.id}" for one in (*made, hidden)]
    found = site.query(text, ids=ids, first=100)["data"]["projects"]["nodes"]
    heads = {one["id"]: one["repository"]["tree"]["lastCommit"]["sha"] for one in found}
    assert heads == {gid: site.lab.head(one) for gid, one in zip(ids, made, strict=False)}
    site.lab.world.graphql_projects = 2
    assert "complexity" in site.query(text, ids=ids, first=100)["errors"][0]["message"]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ('{ project(fullPath: "a/b") { secret } }', "Field 'secret' doesn't exist on type 'Project'"),
        ("{ project { id } }", "missing required arguments: fullPath"),
        ('{ project(fullPath: "acme/web", x: 1) { id } }', "doesn't accept argument 'x'"),
        ('{ project(fullPath: "acme/web") }', "must have selections"),
        ('{ project(fullPath: "acme/web") { id { x } } }', "can't have selections"),
        ('query($p: ID!) { project(fullPath: "acme/web") { id } }', "provided invalid value"),
        ("mutation { x }", "queries only"),
        ("{ project(fullPath: $p) { id } }", "not declared"),
        ("{", "end of file"),
    ],
)
def test_graphql_takes_what_the_schema_knows_only(site: Site, query: str, why: str) -> None:
    site.lab.project("a/b", {"a": b"a"}, visibility="public")
    assert why in site.query(query)["errors"][0]["message"]
    forgive(site.lab, why)


def test_rate_limits(site: Site) -> None:
    site.lab.rate_limit(path="*/repository/tree", retry_after=7)
    refused = site.ask("GET", "repository/tree")
    assert (refused.status_code, refused.text) == (429, "Retry later\n")
    assert refused.headers["Content-Type"] == "text/plain"
    assert refused.headers["Retry-After"] == "7"
    assert "RateLimit-ResetTime" in refused.headers
    fine = site.ask("GET", "repository/tree")
    assert fine.status_code == 200
    assert int(fine.headers["RateLimit-Remaining"]) == 2_000 - int(fine.headers["RateLimit-Observed"])


def test_a_limit_that_is_kept(site: Site) -> None:
    now = datetime(2026, 11, 1, 12, 0, 40, tzinfo=UTC)
    site.lab.world.clock = lambda: now
    site.lab.world.limit, site.lab.world.limited = 2, True
    assert [site.ask("GET", "").status_code for _ in range(3)] == [200, 200, 429]
    refused = site.ask("GET", "")
    assert (refused.headers["Retry-After"], refused.headers["RateLimit-Remaining"]) == ("20", "0")
    now += timedelta(seconds=20)
    assert site.ask("GET", "").headers["RateLimit-Observed"] == "1"


def test_an_instance_below_a_path() -> None:
    with gitlab(prefix="/git") as lab:
        site = Site(lab)
        try:
            assert lab.url.endswith("/git")
            assert site.client.projects.get("acme/web").web_url == f"{lab.url}/acme/web"
            found = site.client.projects.list(iterator=True, per_page=1, order_by="id", pagination="keyset")
            assert len(list(found)) == 1
            assert lab.count("GET", "/api/v4/projects/acme/web") == 1
        finally:
            site.close()


def test_a_502_that_did_happen_and_one_that_did_not(site: Site) -> None:
    body = {"branch": "side", "ref": "main"}
    site.lab.bad_gateway("POST", "*/repository/branches", done=False)
    assert site.ask("POST", "repository/branches", json=body).status_code == 502
    assert site.lab.head(site.project, "side") is None
    site.lab.bad_gateway("POST", "*/repository/branches", done=True)
    assert site.ask("POST", "repository/branches", json=body).status_code == 502
    assert site.lab.head(site.project, "side") is not None
    assert site.ask("POST", "repository/branches", json=body).status_code == 400


def test_a_connection_that_is_cut(site: Site) -> None:
    site.lab.cut("POST", "*/repository/branches", done=True)
    with pytest.raises(requests.ConnectionError):
        site.ask("POST", "repository/branches", json={"branch": "side", "ref": "main"})
    assert site.lab.head(site.project, "side") is not None
    assert site.lab.requests[-1].status == 0


def test_a_slow_answer(site: Site) -> None:
    fault = site.lab.slow("GET", "*/repository/tree")
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(site.ask("GET", "repository/tree").status_code))
    thread.start()
    assert fault.reached.wait(20)
    assert fault.gate is not None
    assert answers == []
    fault.gate.set()
    thread.join(20)
    assert answers == [200]


def test_another_answer_and_none_changed(site: Site) -> None:
    site.lab.fail("GET", "*/user", reply=Reply(status=503, body=b"down"))
    assert site.ask("GET", "/user").text == "down"
    tag = site.ask("GET", "/user").headers["ETag"]
    same = site.ask("GET", "/user", headers={"If-None-Match": tag})
    assert (same.status_code, same.content) == (304, b"")


def test_requests_are_counted(site: Site) -> None:
    site.ask("GET", "repository/tree")
    site.commit("side", _create("x"), start_branch="main")
    assert site.lab.count() == 2
    assert site.lab.count("GET", "*/repository/*") == 1
    assert site.lab.count("POST", "/api/v4/projects/{id}/repository/commits") == 1
    (write,) = site.lab.writes()
    assert (write.user, write.status, write.json["branch"]) == ("moorline", 201, "side")


@pytest.mark.parametrize(
    ("method", "path", "body", "why"),
    [
        ("GET", "repository/archive", None, "no such operation"),
        ("GET", "repository/tree?recursiv=true", None, "recursiv"),
        ("POST", "merge_requests", {"source_branch": "x"}, "required"),
        ("POST", "merge_requests", {**_request("x"), "lables": "x"}, "lables"),
        ("GET", "hooks/x", None, "integer"),
    ],
)
def test_what_breaks_the_contract_is_said_at_the_end(method: str, path: str, body: Any, why: str) -> None:
    def asked() -> None:
        with gitlab() as lab:
            site = Site(lab)
            try:
                assert site.ask(method, path, json=body).status_code in (400, 404)
            finally:
                site.close()

    with pytest.raises(AssertionError, match=why):
        asked()


def test_an_answer_that_breaks_the_contract_is_a_violation(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.bot, "username", 7)
    assert site.ask("GET", "/user").status_code == 200
    forgive(site.lab, "answer 200")


def test_the_stand_in_serves_every_operation_of_its_contract() -> None:
    served = {(route.method, route.template) for route in ROUTES}
    assert served == contract().operations()


def test_repositories_on_disk_are_bare_git_repositories(tmp_path: Path) -> None:
    with gitlab(tmp_path) as lab:
        project = lab.project("acme/web", FILES)
        folder = tmp_path / f"{project.id}.git"
        assert (folder / "refs/heads/main").read_text().strip() == lab.head(project)
        assert (folder / "HEAD").read_text() == "ref: refs/heads/main\n"


def test_forks_and_projects_that_go(site: Site) -> None:
    made = site.lab.fork(site.project, "acme/fork")
    said = site.ask("GET", f"/projects/{made.id}").json()
    assert said["forked_from_project"]["id"] == site.project.id
    assert site.lab.mode(made, "run.sh") == EXECUTABLE
    site.lab.destroy(made)
    assert site.ask("GET", f"/projects/{made.id}").status_code == 404
