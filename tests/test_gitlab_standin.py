"""The GitLab stand-in is held to GitLab's documented behaviour, by python-gitlab and by plain requests.

Its contract is derived from clients' types and documentation, not GitLab's own document: weaker evidence
than GitHub's.  What is asserted here is what GitLab's documentation or source says of each operation.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import gitlab as python_gitlab
import pytest
import requests
from gitlab_git import EXECUTABLE, Content
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


def forgive(site: Site, *words: str) -> None:
    """Take from the violations those that the test made on purpose, one for each of the words."""
    for word in words:
        found = [one for one in site.lab.violations if word in one]
        assert found, (word, site.lab.violations)
        site.lab.violations.remove(found[0])


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
