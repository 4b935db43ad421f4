"""The GitLab forge on the stand-in: reading at one commit, branches, and its one write.

The stand-in is held to a contract derived from clients' types: weaker evidence than GitLab itself.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from gitlab_git import EXECUTABLE, LINK, SUBMODULE, Content
from gitlab_http import Reply
from gitlab_standin import GitLab, Level, Project, User, gitlab
from waiting import until

from bot.errors import (
    ForgeError,
    GuardError,
    MissingError,
    MovedError,
    SupersededError,
    TransientError,
)
from bot.forges import FORGES, forge_class, gitlab_blobs, gitlab_listing
from bot.forges.base import Change, Forge, Hosting, RequestState, Wish
from bot.forges.gitlab import GitLabForge
from bot.model import Edit, Span, UnreadReason

DIGEST = "@sha256:" + "0123456789abcdef" * 4
OTHER = "@sha256:" + "f" * 64
OLD = b"FROM node:18\n"
BRANCH = "moorline/pins"
FILES: dict[str, Content] = {
    "Dockerfile": OLD,
    "svc/Dockerfile": (EXECUTABLE, OLD),
    "svc/deep/maybe": OLD,
    "README.md": b"# x\n",
    ".gitlab-ci.yml": b"build:\n  image: node:18\n  script: [make]\n",
    ".moorline.yml": b"mode: propose\n",
}


def claims(path: str, head: bytes) -> bool:
    name = path.rpartition("/")[2]
    return name in ("Dockerfile", ".gitlab-ci.yml") or (
        name == "maybe" and (not head or head.startswith(b"FROM"))
    )


def pin(path: str, digest: str = DIGEST) -> Edit:
    return Edit(path=path, span=Span(5, 12), expected=b"node:18", replacement=b"node:18" + digest.encode())


class Site:
    """A stand-in with one project, a bot that is Developer in it, and the forge that it uses."""

    def __init__(self, lab: GitLab) -> None:
        self.lab = lab
        self.bot: User = lab.user("moorline", "Moorline", bot=True)
        self.ada = lab.user("ada", "Ada")
        lab.join("acme", self.bot, Level.DEVELOPER)
        lab.join("acme", self.ada, Level.MAINTAINER)
        self.project: Project = lab.project("acme/web", FILES)
        self.token = lab.token(self.bot)
        self.pauses: list[float] = []
        self.forge = self.made()

    def made(self, **more: Any) -> GitLabForge:
        settings: dict[str, Any] = {"prefetch": claims, "pause": self.pauses.append, **more}
        return GitLabForge(self.lab.url, settings.pop("token", self.token), **settings)

    @property
    def main(self) -> str:
        head = self.lab.head(self.project)
        assert head is not None
        return head

    @property
    def branch(self) -> str | None:
        return self.lab.head(self.project, BRANCH)

    def change(self, **other: Any) -> Change:
        made = Change(
            repository="acme/web",
            base="main",
            parent=self.main,
            branch=BRANCH,
            expected=None,
            message="Pin\n\nWhy.\n\nMoorline-Digest: abc\n",
            edits=(pin("svc/Dockerfile"),),
        )
        return replace(made, **other)

    def asked(self) -> list[str]:
        """Return what was asked since the last call, without what is asked once for all."""
        told = [f"{one.method} {one.template.removeprefix('/api/v4')}" for one in self.lab.requests]
        self.lab.requests.clear()
        return [one for one in told if one not in ("GET /user", "GET /projects/{id}")]


@pytest.fixture
def site() -> Iterator[Site]:
    with gitlab() as lab:
        yield Site(lab)


def reasons(site: Site, at: str) -> dict[str, UnreadReason]:
    return {one.path: one.reason for one in site.forge.snapshot("acme/web", at, claims).unread}


def test_the_class_is_in_the_table(site: Site) -> None:
    assert forge_class("gitlab") is GitLabForge
    assert FORGES["gitlab"] == "bot.forges.gitlab:GitLabForge"
    forge: Forge = site.forge
    hosting: Hosting | None = forge.hosting
    assert hosting is site.forge


# --- what a push changed ------------------------------------------------------------------


def test_two_commits_differ_where_their_trees_do(site: Site) -> None:
    """Whatever lies between them: one that was thrown away, too."""
    first = site.main
    gone = site.lab.push(site.project, {"svc/Dockerfile": b"FROM scratch\n", "new": b"1"})
    there = site.lab.push(site.project, {"README.md": b"y"}, "main", start=first, force=True)
    assert site.forge.differing("acme/web", gone, there) == frozenset({"svc/Dockerfile", "new", "README.md"})
    assert site.forge.differing("acme/web", there, first) == frozenset({"README.md"})
    assert site.forge.differing("acme/web", there, there) == frozenset()
    assert site.forge.differing("acme/web", "e" * 40, there) is None


def test_a_path_that_passed_to_another_project_is_asked_for_again(site: Site) -> None:
    """Once whoever else works on it has seen that: what is remembered here is of some minutes ago."""
    seen: dict[str, str] = {}
    forge = site.made(identity=lambda name: seen.get(name, ""))
    assert forge.head("acme/web", "main")[1] == site.main
    site.lab.rename(site.project, "acme/old")
    other = site.lab.project("acme/web", {"x": b"y"})
    head = site.lab.head(other)
    assert head is not None
    seen["acme/web"] = str(other.id)
    assert forge.head("acme/web", "main")[1] == head
    assert forge.standing("acme/web", "main", BRANCH).base == head
    site.asked()
    forge.standing("acme/web", "main", BRANCH)
    assert "GET /projects/{id}" not in [
        f"{one.method} {one.template.removeprefix('/api/v4')}" for one in site.lab.requests
    ]


# --- heads --------------------------------------------------------------------------------


def test_heads_of_branches(site: Site) -> None:
    site.lab.push(site.project, {"x": b"x"}, "feature/a b%2Fc+#?é".replace(" ", "-").replace("?", ""))
    name = "feature/a-b%2Fc+#é"
    assert site.forge.head("acme/web", "") == ("main", site.main)
    assert site.forge.head("acme/web", "main") == ("main", site.main)
    assert site.forge.head("acme/web", "refs/heads/main") == ("main", site.main)
    assert site.forge.head("acme/web", name) == (name, site.lab.head(site.project, name))
    assert site.forge.head("acme/web", site.main) == (site.main, site.main)
    with pytest.raises(MissingError):
        site.forge.head("acme/web", "gone")
    with pytest.raises(MissingError):
        site.forge.head("acme/web", "0" * 40)
    with pytest.raises(MissingError):
        site.forge.head("acme/web", "../../user")


def test_one_question_finds_a_head_once_the_project_is_known(site: Site) -> None:
    site.forge.head("acme/web", "")
    site.lab.requests.clear()
    assert site.forge.head("acme/web", "") == ("main", site.main)
    assert len(site.lab.requests) == 1


def test_every_branch_is_listed(site: Site) -> None:
    for number in range(120):
        site.lab.push(site.project, {"x": b"%d" % number}, f"release/{number}", start="main")
    found = dict(site.forge.branches("acme/web"))
    assert len(found) == 121
    assert found["main"] == site.main
    assert found["release/7"] == site.lab.head(site.project, "release/7")


def test_another_default_branch_is_noticed_at_once(site: Site) -> None:
    site.forge.head("acme/web", "")
    site.lab.push(site.project, {"x": b"x"}, "trunk")
    site.project.default_branch = "trunk"
    site.project.repository.set_default("trunk")
    assert site.forge.head("acme/web", "") == ("trunk", site.lab.head(site.project, "trunk"))


def test_the_head_of_a_request(site: Site) -> None:
    commit = site.forge.write(site.change())
    opened = site.forge.open("acme/web", "main", BRANCH, Wish(title="t", body="b"))
    ref = f"refs/pull/{opened.request.number}/head"
    assert site.forge.head("acme/web", ref) == (ref, commit)
    with pytest.raises(MissingError):
        site.forge.head("acme/web", "refs/pull/99/head")


def test_a_renamed_project_says_its_name(site: Site) -> None:
    site.lab.rename(site.project, "acme/front/web")
    with pytest.raises(MovedError) as caught:
        site.forge.head("acme/web", "")
    assert caught.value.name == "acme/front/web"
    assert site.forge.head("acme/front/web", "")[0] == "main"


def test_a_project_has_one_spelling(site: Site) -> None:
    with pytest.raises(MovedError) as caught:
        site.forge.head("Acme/Web", "")
    assert caught.value.name == "acme/web"


def test_a_rename_is_noticed_at_once(site: Site) -> None:
    site.forge.head("acme/web", "")
    site.lab.rename(site.project, "acme/front")
    for ref in ("", "main"):
        with pytest.raises(MovedError) as caught:
            site.forge.head("acme/web", ref)
        assert caught.value.name == "acme/front"
    # What was begun under the old name is finished by number.
    assert site.forge.read("acme/web", site.main, ["Dockerfile"]) == {"Dockerfile": OLD}


def test_a_new_project_in_the_old_ones_place(site: Site) -> None:
    site.forge.head("acme/web", "")
    site.lab.rename(site.project, "acme/front")
    site.lab.world.moved.clear()
    new = site.lab.project("acme/web", {"Dockerfile": b"FROM new\n"})
    assert site.forge.head("acme/web", "main") == ("main", site.lab.head(new))


@pytest.mark.parametrize("name", ["web", "acme/../web", "acme/web?x=1", "acme/w b", "", "acme//web", "a/\n"])
def test_what_is_no_name_is_not_asked_for(site: Site, name: str) -> None:
    with pytest.raises(MissingError):
        site.forge.head(name, "")
    assert not site.lab.requests


def test_a_private_project_of_others_is_missing(site: Site) -> None:
    site.lab.project("other/secret", FILES)
    with pytest.raises(MissingError):
        site.forge.head("other/secret", "")


def test_an_empty_project_has_no_head(site: Site) -> None:
    site.lab.project("acme/empty")
    with pytest.raises(MissingError):
        site.forge.head("acme/empty", "")
    assert (site.forge.repository("acme/empty").default_branch, site.forge.repository("acme/empty").head) == (
        "",
        "",
    )


# --- reading ------------------------------------------------------------------------------


def test_a_snapshot_has_what_is_claimed(site: Site) -> None:
    made = site.forge.snapshot("acme/web", site.main, claims)
    assert made.commit == site.main
    assert made.files == {
        ".gitlab-ci.yml": FILES[".gitlab-ci.yml"],
        "Dockerfile": OLD,
        "svc/Dockerfile": OLD,
        "svc/deep/maybe": OLD,
    }
    assert made.unread == ()


def test_the_head_of_a_file_is_asked_about_too(site: Site) -> None:
    at = site.lab.push(site.project, {"svc/deep/maybe": b"something else\n"})
    assert "svc/deep/maybe" not in site.forge.snapshot("acme/web", at, claims).files


def test_the_first_question_brings_everything(site: Site) -> None:
    site.forge.head("acme/web", "")
    site.asked()
    config = site.forge.read("acme/web", site.main, [".moorline.yml", ".gitlab/.moorline.yml"])
    assert config == {".moorline.yml": FILES[".moorline.yml"]}
    assert site.asked() == ["GET /projects/{id}/repository/tree", "POST /api/graphql"]
    site.forge.snapshot("acme/web", site.main, claims)
    site.forge.read("acme/web", site.main, ["Dockerfile", ".moorline.yml"])
    assert site.asked() == []


def test_a_later_commit_asks_for_what_is_new_alone(site: Site) -> None:
    site.forge.snapshot("acme/web", site.main, claims)
    at = site.lab.push(site.project, {"new/Dockerfile": b"FROM alpine:3\n"})
    site.asked()
    assert site.forge.snapshot("acme/web", at, claims).files["new/Dockerfile"] == b"FROM alpine:3\n"
    assert site.asked() == ["GET /projects/{id}/repository/tree", "POST /api/graphql"]


def test_a_tree_of_several_pages_and_batches(site: Site) -> None:
    many: dict[str, Content] = {f"d{n % 7}/s{n}/Dockerfile": b"FROM node:%d\n" % n for n in range(230)}
    at = site.lab.push(site.project, many)
    site.asked()
    files = site.forge.snapshot("acme/web", at, claims).files
    assert {path: files[path] for path in many} == many
    asked = site.asked()
    assert asked.count("POST /api/graphql") == 3
    assert asked.count("GET /projects/{id}/repository/tree") == 5


def test_links_modules_and_what_is_too_large_are_told(site: Site) -> None:
    big = b"#" * (2 * 1024 * 1024 + 1)
    at = site.lab.push(
        site.project,
        {
            "big/Dockerfile": big,
            "bin/Dockerfile": b"FROM a\0b\n",
            "out/Dockerfile": (LINK, b"../../etc/passwd"),
            "root/Dockerfile": (LINK, b"/etc/passwd"),
            "none/Dockerfile": (LINK, b"nowhere"),
            "same/Dockerfile": (LINK, b"../Dockerfile"),
            "plain/Dockerfile": (LINK, b"../README.md"),
            "lib": (SUBMODULE, b"1" * 40),
        },
    )
    assert reasons(site, at) == {
        "big/Dockerfile": UnreadReason.TOO_LARGE,
        "bin/Dockerfile": UnreadReason.BINARY,
        "out/Dockerfile": UnreadReason.SYMLINK,
        "root/Dockerfile": UnreadReason.SYMLINK,
        "none/Dockerfile": UnreadReason.SYMLINK,
        "plain/Dockerfile": UnreadReason.SYMLINK,
        "lib": UnreadReason.SUBMODULE,
    }
    unread = site.forge.snapshot("acme/web", at, claims).unread
    [large] = [one.detail for one in unread if one.path == "big/Dockerfile"]
    assert "2,097,153" in large
    known = {one.path: one.identity for one in unread}
    plain = {one.path: one.leads for one in unread}["plain/Dockerfile"]
    assert known["bin/Dockerfile"] == "file " + gitlab_blobs.blob_id(b"FROM a\0b\n", 40)
    assert known["lib"].startswith("submodule ")
    assert known["plain/Dockerfile"].startswith("plain/Dockerfile link ")
    assert known["plain/Dockerfile"].partition(" > ")[2].startswith(f"{plain[-1]} file ")
    assert len(set(known.values())) == len(known)
    paths = ["big/Dockerfile", "out/Dockerfile", "lib", "svc", "gone", "bin/Dockerfile"]
    assert site.forge.read("acme/web", at, paths) == {"bin/Dockerfile": b"FROM a\0b\n"}


def test_text_that_graphql_alters_is_read_byte_by_byte(site: Site) -> None:
    latin = "FROM node:18 # caf\xe9\n".encode("latin-1")
    odd: dict[str, Content] = {
        "latin/Dockerfile": latin,
        "bom/Dockerfile": b"\xef\xbb\xbfFROM a\r\nRUN b\r",
        "empty/Dockerfile": b"",
    }
    at = site.lab.push(site.project, odd)
    site.asked()
    files = site.forge.snapshot("acme/web", at, claims).files
    assert {path: files[path] for path in odd} == odd
    assert site.asked().count("GET /projects/{id}/repository/blobs/{sha}/raw") == 1


def test_a_file_of_another_id_than_listed_is_not_believed(site: Site) -> None:
    wrong = b'{"data": {"project": {"repository": {"blobs": {"nodes": ['
    wrong += b'{"path": "Dockerfile", "oid": "%s", "size": "4", "rawTextBlob": "evil"}]}}}}}'
    oid = gitlab_blobs.blob_id(OLD, 40).encode()
    reply = Reply(body=wrong % oid, headers=(("Content-Type", "application/json"),))
    site.lab.fail("POST", "/api/graphql", reply=reply)
    assert site.forge.read("acme/web", site.main, ["Dockerfile"]) == {"Dockerfile": OLD}


def test_bytes_that_rest_alters_are_unreadable(site: Site) -> None:
    site.lab.world.graphql_status = 404
    site.lab.fail("GET", "*/raw", times=50, reply=Reply(body=b"evil"))
    made = site.forge.snapshot("acme/web", site.main, claims)
    assert made.files == {}
    assert {one.reason for one in made.unread} == {UnreadReason.UNREADABLE}


@pytest.mark.parametrize("most", [0, 1, 3, 60])
def test_a_query_that_costs_too_much_is_halved(site: Site, most: int) -> None:
    many: dict[str, Content] = {f"s{n}/Dockerfile": b"FROM node:%d\n" % n for n in range(20)}
    at = site.lab.push(site.project, many)
    site.lab.world.graphql_blobs = most
    files = site.forge.snapshot("acme/web", at, claims).files
    assert {path: files[path] for path in many} == many
    raw = site.lab.count("GET", "*/raw")
    assert (raw > 0) == (most == 0)
    site.lab.requests.clear()
    later = site.lab.push(site.project, {f"t{n}/Dockerfile": b"FROM b:%d\n" % n for n in range(3)})
    site.forge.snapshot("acme/web", later, claims)
    # What is too much is known by now.
    assert site.lab.count("POST", "/api/graphql") == {0: 3, 1: 3, 3: 1, 60: 1}[most]


@pytest.mark.parametrize("status", [403, 404, 405])
def test_rest_alone_where_graphql_is_refused(site: Site, status: int) -> None:
    site.lab.world.graphql_status = status
    assert site.forge.snapshot("acme/web", site.main, claims).files["Dockerfile"] == OLD
    first = site.lab.count("POST", "/api/graphql")
    at = site.lab.push(site.project, {"Dockerfile": b"FROM b\n"})
    assert site.forge.snapshot("acme/web", at, claims).files["Dockerfile"] == b"FROM b\n"
    assert site.lab.count("POST", "/api/graphql") == first == 1


def test_no_such_commit(site: Site) -> None:
    with pytest.raises(MissingError):
        site.forge.snapshot("acme/web", "1" * 40, claims)
    with pytest.raises(MissingError):
        site.forge.read("acme/web", "main", ["Dockerfile"])


# --- where things stand -------------------------------------------------------------------


def test_standing_in_two_questions(site: Site) -> None:
    commit = site.forge.write(site.change())
    opened = site.forge.open("acme/web", "main", BRANCH, Wish(title="t", body="b"))
    site.asked()
    standing = site.forge.standing("acme/web", "main", BRANCH)
    assert (standing.base, standing.branch, standing.obstacles) == (site.main, commit, ())
    assert standing.request == opened.request
    assert site.asked() == ["GET /projects/{id}/repository/branches", "GET /projects/{id}/merge_requests"]


def test_standing_before_there_is_anything(site: Site) -> None:
    standing = site.forge.standing("acme/web", "main", BRANCH)
    assert (standing.base, standing.branch, standing.request) == (site.main, None, None)
    assert site.forge.standing("acme/web", "gone", BRANCH).base is None


def test_the_newest_request_of_ours_and_of_nobody_else(site: Site) -> None:
    site.forge.write(site.change())
    first = site.forge.open("acme/web", "main", BRANCH, Wish(title="one", body="b")).request
    site.forge.close("acme/web", first.number, "done")
    second = site.forge.open("acme/web", "main", BRANCH, Wish(title="two", body="b")).request
    found = site.forge.standing("acme/web", "main", BRANCH).request
    assert found is not None
    assert (found.number, found.title, found.state) == (second.number, "two", RequestState.OPEN)
    other = site.made(token=site.lab.token(site.ada))
    assert other.standing("acme/web", "main", BRANCH).request is None


def test_many_branches_on_a_gitlab_that_knows_no_expression(site: Site) -> None:
    for number in range(120):
        site.project.repository.set_head(f"a{number}", site.main)
    commit = site.forge.write(site.change())
    standing = site.forge.standing("acme/web", "main", BRANCH)
    assert (standing.base, standing.branch) == (site.main, commit)


def test_protected_branches_are_an_obstacle(site: Site) -> None:
    site.lab.join("acme", site.bot, Level.MAINTAINER)
    site.lab.protect(site.project, "moorline/*", push=0)
    [said] = site.forge.standing("acme/web", "main", BRANCH).obstacles
    assert "moorline/*" in said
    site.asked()
    site.forge.standing("acme/web", "main", BRANCH)
    assert len(site.asked()) == 2  # rules are remembered for some minutes


def test_a_protected_branch_that_is_there_allows_no_force(site: Site) -> None:
    site.lab.join("acme", site.bot, Level.MAINTAINER)
    site.forge.write(site.change())
    site.lab.protect(site.project, "moorline/*", push=Level.DEVELOPER)
    [said] = site.forge.standing("acme/web", "main", BRANCH).obstacles
    assert "force" in said


def test_push_rules_are_an_obstacle(site: Site) -> None:
    site.lab.join("acme", site.bot, Level.MAINTAINER)
    site.project.push_rule["branch_name_regex"] = "^(feature|fix)/"
    [said] = site.forge.standing("acme/web", "main", BRANCH).obstacles
    assert "feature" in said


def test_rules_that_we_may_not_see_are_no_obstacle(site: Site) -> None:
    for place in ("*/protected_branches", "*/push_rule"):
        site.lab.fail("GET", place, reply=Reply(status=403, body=b'{"message": "403 Forbidden"}'))
    assert site.forge.standing("acme/web", "main", BRANCH).obstacles == ()


# --- writing ------------------------------------------------------------------------------


def test_one_call_makes_branch_and_commit(site: Site) -> None:
    main, heard = site.main, list[str]()
    site.forge.snapshot("acme/web", main, claims)
    site.asked()
    commit = site.forge.write(site.change(), heard.append)
    assert site.asked() == ["POST /projects/{id}/repository/commits"]
    assert heard == [commit] == [site.branch]
    info = site.project.repository.info(commit)
    assert [parent.decode() for parent in info.parents] == [main]
    assert info.message == b"Pin\n\nWhy.\n\nMoorline-Digest: abc\n"
    assert site.lab.read(site.project, "svc/Dockerfile", BRANCH) == f"FROM node:18{DIGEST}\n".encode()
    assert site.lab.mode(site.project, "svc/Dockerfile", BRANCH) == EXECUTABLE
    assert set(site.project.repository.changed(main, commit)) == {"svc/Dockerfile"}


def test_neither_author_nor_committer_is_sent(site: Site) -> None:
    site.forge.write(site.change())
    [body] = [one.json for one in site.lab.writes()]
    assert isinstance(body, Mapping)
    assert body.keys() == {"branch", "commit_message", "actions", "stats", "start_sha"}


def test_a_rebuild_is_forced_from_the_head_that_we_stored(site: Site) -> None:
    first = site.forge.write(site.change())
    main = site.lab.push(site.project, {"README.md": b"# y\n"})
    second = site.forge.write(site.change(expected=first, edits=(pin("Dockerfile", OTHER),)))
    assert site.branch == second
    info = site.project.repository.info(second)
    assert [parent.decode() for parent in info.parents] == [main]
    assert set(site.project.repository.changed(main, second)) == {"Dockerfile"}
    assert len(site.lab.merge_requests(site.project)) == 0


def test_a_branch_elsewhere_is_superseded(site: Site) -> None:
    first = site.forge.write(site.change())
    theirs = site.lab.push(site.project, {"theirs": b"x"}, BRANCH, user=site.ada)
    with pytest.raises(SupersededError):
        site.forge.write(site.change(expected=first, edits=(pin("Dockerfile"),)))
    with pytest.raises(SupersededError):
        site.forge.write(site.change(edits=(pin("Dockerfile"),)))
    assert site.branch == theirs


def test_a_branch_that_is_gone_is_superseded(site: Site) -> None:
    first = site.forge.write(site.change())
    site.lab.delete_branch(site.project, BRANCH)
    with pytest.raises(SupersededError):
        site.forge.write(site.change(expected=first))
    assert site.branch is None


def test_a_branch_at_its_base_goes_forward_under_lock(site: Site) -> None:
    main = site.main
    site.project.repository.set_head(BRANCH, main)
    commit = site.forge.write(site.change(expected=main))
    assert site.branch == commit
    [body] = [one.json for one in site.lab.writes()]
    assert isinstance(body, Mapping)
    assert "force" not in body
    assert "start_sha" not in body
    assert body["actions"][0]["last_commit_id"] == main


def test_what_is_pushed_while_going_forward_is_not_lost(site: Site) -> None:
    main = site.main
    site.project.repository.set_head(BRANCH, main)
    waiting = site.lab.slow("POST", "*/repository/commits")

    def push() -> None:
        assert waiting.reached.wait(20)
        site.lab.push(site.project, {"theirs": b"x"}, BRANCH, user=site.ada)
        assert waiting.gate is not None
        waiting.gate.set()

    thread = threading.Thread(target=push)
    thread.start()
    with pytest.raises(SupersededError):
        site.forge.write(site.change(expected=main))
    thread.join()
    assert site.lab.read(site.project, "theirs", BRANCH) == b"x"


def test_the_guard_judges_first(site: Site) -> None:
    evil = Edit(path="Dockerfile", span=Span(0, 0), expected=b"", replacement=b"RUN evil\n")
    for edits in ((evil,), (), (replace(pin("Dockerfile"), path="../x"),), (pin("gone/Dockerfile"),)):
        with pytest.raises(GuardError):
            site.forge.write(site.change(edits=edits))
    with pytest.raises(GuardError):
        site.forge.write(site.change(message="a\0b"))
    assert not site.lab.writes()


@pytest.mark.parametrize("branch", ["main", "refs/heads/main", "a..b", ""])
def test_base_and_default_are_never_written(site: Site, branch: str) -> None:
    with pytest.raises(ForgeError):
        site.forge.write(site.change(branch=branch))
    with pytest.raises(ForgeError):
        site.forge.delete("acme/web", branch, site.main)
    assert not site.lab.writes()


def test_a_change_is_made_on_a_commit_and_on_no_name(site: Site) -> None:
    with pytest.raises(MissingError):
        site.forge.write(site.change(parent="main"))
    assert not site.lab.writes()


def test_a_configuration_file_is_made(site: Site) -> None:
    text = b"mode: observe\n"
    edit = Edit(path=".gitlab/.moorline.yml", span=Span(0, 0), expected=b"", replacement=text)
    change = site.change(edits=(edit,))
    commit = site.forge.write(change)
    assert site.lab.read(site.project, ".gitlab/.moorline.yml", BRANCH) == text
    assert site.forge.made(change, commit)


def test_no_line_of_a_message_is_a_command(site: Site) -> None:
    change = site.change(message="Pin\n\n/tag v1\n\r/merge\n")
    commit = site.forge.write(change)
    message = site.project.repository.info(commit).message.decode()
    assert not any(line.startswith("/") for line in message.replace("\r", "").splitlines())
    assert site.forge.made(change, commit)


@pytest.mark.parametrize("cut", [False, True])
def test_a_write_that_happened_in_spite_of_an_error_is_adopted(site: Site, cut: bool) -> None:
    if cut:
        site.lab.cut("POST", "*/repository/commits", done=True)
    else:
        site.lab.bad_gateway("POST", "*/repository/commits", done=True)
    heard: list[str] = []
    commit = site.forge.write(site.change(), heard.append)
    assert heard == [commit] == [site.branch]
    assert site.lab.count("POST", "*/repository/commits") == 1


def test_a_rebuild_that_happened_in_spite_of_an_error_is_adopted(site: Site) -> None:
    first = site.forge.write(site.change())
    site.lab.bad_gateway("POST", "*/repository/commits", done=True)
    second = site.forge.write(site.change(expected=first, edits=(pin("Dockerfile"),)))
    assert second not in (first, site.main)
    assert second == site.branch
    assert site.lab.count("POST", "*/repository/commits") == 2


def test_a_write_that_did_not_happen_is_not_sent_again(site: Site) -> None:
    site.lab.bad_gateway("POST", "*/repository/commits", done=False)
    with pytest.raises(TransientError):
        site.forge.write(site.change())
    assert site.branch is None
    assert site.lab.count("POST", "*/repository/commits") == 1


def test_a_write_that_is_done_after_we_gave_up_is_known_as_ours(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.forges.gitlab_api._TIMEOUT", 0.3)
    change, forge = site.change(), site.made()
    waiting = site.lab.slow("POST", "*/repository/commits")
    with pytest.raises(TransientError):
        forge.write(change)
    assert waiting.gate is not None
    waiting.gate.set()
    until(lambda: site.branch)
    monkeypatch.undo()
    assert site.forge.made(change, site.branch or "")
    with pytest.raises(SupersededError):
        site.forge.write(change)
    assert site.lab.count("POST", "*/repository/commits") == 2


def test_a_commit_of_ours_is_known_by_what_it_is(site: Site) -> None:
    change = site.change()
    commit = site.forge.write(change)
    fresh = site.made()
    assert fresh.made(change, commit)
    assert not fresh.made(replace(change, message="Another\n"), commit)
    assert not fresh.made(replace(change, edits=(pin("svc/Dockerfile", OTHER),)), commit)
    assert not fresh.made(replace(change, edits=(pin("svc/Dockerfile"), pin("Dockerfile"))), commit)
    assert not fresh.made(change, site.main)
    assert not fresh.made(change, "1" * 40)
    later = site.lab.push(site.project, {"x": b"x"})
    assert not fresh.made(replace(change, parent=later), commit)


@pytest.mark.parametrize(
    "more",
    [
        {"extra": b"x"},
        {"svc/extra": b"x"},
        {"new/extra": b"x"},
        {"README.md": None},
        {"svc/deep/maybe": b"else\n"},
        {"Dockerfile": (EXECUTABLE, OLD)},
        {"svc/Dockerfile": (0o100644, f"FROM node:18{DIGEST}\n".encode())},
        {"svc/Dockerfile": (LINK, b"../Dockerfile")},
    ],
)
def test_a_commit_with_anything_else_in_it_is_not_ours(site: Site, more: dict[str, Content | None]) -> None:
    new: dict[str, Content | None] = {"svc/Dockerfile": f"FROM node:18{DIGEST}\n".encode()}
    change = site.change()
    site.lab.push(site.project, new | more, BRANCH, user=site.bot, message=change.message)
    assert not site.forge.made(change, site.branch or "")


def test_an_equal_commit_of_somebody_else_is_not_ours(site: Site) -> None:
    new: dict[str, Content | None] = {"svc/Dockerfile": f"FROM node:18{DIGEST}\n".encode()}
    change = site.change()
    site.lab.push(site.project, new, BRANCH, user=site.ada, message=change.message)
    assert not site.forge.made(change, site.branch or "")
    site.lab.push(site.project, new, "again", user=site.bot, message=change.message, start="main")
    assert site.forge.made(change, site.lab.head(site.project, "again") or "")


def test_a_branch_is_removed_where_it_should_be(site: Site) -> None:
    commit = site.forge.write(site.change())
    with pytest.raises(SupersededError):
        site.forge.delete("acme/web", BRANCH, site.main)
    assert site.branch == commit
    site.lab.bad_gateway("DELETE", done=True)
    site.forge.delete("acme/web", BRANCH, commit)
    assert BRANCH not in site.project.repository.branches()
    site.forge.delete("acme/web", BRANCH, commit)  # gone already


def test_a_removal_that_did_not_happen(site: Site) -> None:
    commit = site.forge.write(site.change())
    site.lab.bad_gateway("DELETE", done=False)
    with pytest.raises(TransientError):
        site.forge.delete("acme/web", BRANCH, commit)
    assert site.lab.count("DELETE") == 1


def test_an_archived_project_says_what_is_needed(site: Site) -> None:
    site.lab.archive(site.project)
    with pytest.raises(ForgeError) as caught:
        site.forge.write(site.change())
    assert "403" in caught.value.problem


def test_a_reporter_is_told_the_role_that_is_needed(site: Site) -> None:
    site.lab.join("acme", site.bot, Level.REPORTER)
    with pytest.raises(ForgeError) as caught:
        site.forge.write(site.change())
    assert "Developer" in caught.value.advice


def test_a_push_rule_refuses_in_gitlabs_words(site: Site) -> None:
    site.project.push_rule["commit_message_regex"] = "^JIRA-"
    with pytest.raises(ForgeError) as caught:
        site.forge.write(site.change())
    assert "JIRA-" in caught.value.problem
    assert not isinstance(caught.value, TransientError | SupersededError)


# --- what is read ahead, and by several threads -------------------------------------------


def test_only_what_is_asked_for_is_read_by_rest(site: Site) -> None:
    site.lab.world.graphql_status = 404
    site.forge.read("acme/web", site.main, [".moorline.yml"])
    assert site.lab.count("GET", "*/raw") == 1


def test_nothing_is_read_ahead_of_too_much(site: Site) -> None:
    many: dict[str, Content] = {f"s{n}/Dockerfile": b"FROM node:%d\n" % n for n in range(301)}
    at = site.lab.push(site.project, many)
    site.asked()
    assert site.forge.read("acme/web", at, [".moorline.yml"]) == {".moorline.yml": FILES[".moorline.yml"]}
    assert site.asked().count("POST /api/graphql") == 1


def test_reading_ahead_ends_where_it_is_much(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gitlab_blobs, "_MOST_AHEAD", 1000)
    many: dict[str, Content] = {f"s{n}/Dockerfile": b"FROM node:%d\n" % n for n in range(250)}
    at = site.lab.push(site.project, many)
    site.asked()
    site.forge.read("acme/web", at, [".moorline.yml"])
    assert site.asked().count("POST /api/graphql") == 1
    assert site.forge.snapshot("acme/web", at, claims).files["s249/Dockerfile"] == b"FROM node:249\n"


def test_more_than_memory_should_hold(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gitlab_blobs, "_MOST_BYTES", 20)
    with pytest.raises(ForgeError) as caught:
        site.forge.snapshot("acme/web", site.main, claims)
    assert "Leave some of them out" in caught.value.advice
    site.lab.world.graphql_status = 404
    with pytest.raises(ForgeError):
        site.made().snapshot("acme/web", site.main, claims)


def test_a_listing_without_end_is_too_much(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gitlab_listing, "_MOST_PAGES", 1)
    at = site.lab.push(site.project, {f"d/{n}": b"x" for n in range(120)})
    with pytest.raises(ForgeError) as caught:
        site.forge.snapshot("acme/web", at, claims)
    assert "more than 100 files" in caught.value.problem


def test_several_threads_share_a_forge(site: Site) -> None:
    pushed = [site.lab.push(site.project, {"Dockerfile": b"FROM a:%d\n" % n}) for n in range(8)]

    def read(number: int) -> bytes:
        return site.forge.snapshot("acme/web", pushed[number], claims).files["Dockerfile"]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(8))) == [b"FROM a:%d\n" % n for n in range(8)]


@pytest.mark.parametrize(
    ("name", "email", "ours"), [("Else", None, True), ("Moorline", "x@y.example", False)]
)
def test_our_address_says_who_we_are(site: Site, name: str, email: str | None, *, ours: bool) -> None:
    change = site.change()
    commit = site.forge.write(change)
    place = f"/projects/{site.project.id}/repository/commits/{commit}"
    said = site.made()._api.get(place, {"stats": "false"})
    assert isinstance(said, dict)
    said |= {"author_name": name}
    if email is not None:
        said |= {"author_email": email}
    body = json.dumps(said).encode()
    reply = Reply(body=body, headers=(("Content-Type", "application/json"),))
    site.lab.fail("GET", f"*/commits/{commit}", reply=reply)
    assert site.forge.made(change, commit) is ours
