"""The GitHub forge reads: branches, trees and files, by few requests, from github.com and Enterprise Server.

The stand-in holds every request and answer to GitHub's own contract; the git forge is the oracle for files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from github_forging import DIGEST, OLD, REPOSITORY, Place, both, claims, only
from github_git import Content, File
from github_standin import github

from bot.errors import ForgeError, MissingError, MovedError
from bot.forges import FORGES, forge_class
from bot.forges.base import Forge, Hosting
from bot.forges.git import GitForge
from bot.forges.github import GitHubForge
from bot.forges.github_trees import Trees
from bot.model import UnreadReason

LINK, SUBMODULE, EXECUTABLE = 0o120000, 0o160000, 0o100755
FILES = {
    "Dockerfile": OLD,
    "svc/Dockerfile": OLD,
    "svc/maybe": b"FROM a\n",
    "other/maybe": b"no image\n",
    "README.md": b"# x\n",
}


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    on_disk = "tmp_path" in request.fixturenames
    folder = request.getfixturevalue("tmp_path") if on_disk else None
    with github(enterprise=getattr(request, "param", False), folder=folder) as standin:
        standin.repository(REPOSITORY, FILES)
        standin.install("acme")
        yield Place(standin)


@pytest.fixture
def forge(place: Place) -> GitHubForge:
    return place.forge()


def head(place: Place) -> str:
    found = place.github.head(REPOSITORY)
    assert found is not None
    return found


def test_is_a_forge(forge: GitHubForge) -> None:
    as_forge: Forge = forge
    as_hosting: Hosting | None = as_forge.hosting
    assert as_hosting is forge
    assert FORGES["github"] == "bot.forges.github:GitHubForge"
    assert forge_class("github") is GitHubForge


# --- branches -------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("graphql", [200, 404, 403, 501])
def test_heads(place: Place, forge: GitHubForge, graphql: int) -> None:
    place.github.switches.graphql = graphql
    place.github.push(REPOSITORY, {"x": b""}, branch="feature/a#b%20c&d")
    place.github.push(REPOSITORY, {"y": b""}, branch="work")
    pull = place.github.open_pull(REPOSITORY, "work")
    assert forge.head(REPOSITORY, "") == ("main", head(place))
    assert forge.head(REPOSITORY, "main") == ("main", head(place))
    assert forge.head(REPOSITORY, "refs/heads/main") == ("main", head(place))
    name, commit = forge.head(REPOSITORY, "feature/a#b%20c&d")
    assert (name, commit) == ("feature/a#b%20c&d", place.github.head(REPOSITORY, "feature/a#b%20c&d"))
    ref = f"refs/pull/{pull.number}/head"
    assert forge.head(REPOSITORY, ref) == (ref, pull.head_sha)
    for missing in ("feature/a", "nowhere", "refs/pull/77/head"):
        with pytest.raises(MissingError):
            forge.head(REPOSITORY, missing)
    if graphql != 200:
        # A server or proxy that refused GraphQL once is not asked for it again.
        assert place.github.count("POST", "/graphql") == 1


def test_a_refusal_of_graphql_is_forgotten_after_an_hour(place: Place, forge: GitHubForge) -> None:
    place.github.switches.graphql = 404
    forge.head(REPOSITORY, "")
    place.github.switches.graphql = 200
    place.github.world.clock.advance(3601)
    place.github.forget()
    forge.head(REPOSITORY, "")
    assert place.github.count("POST", "/graphql") == 1


@pytest.mark.parametrize("graphql", [200, 404])
def test_an_empty_repository_has_no_head(place: Place, forge: GitHubForge, graphql: int) -> None:
    place.github.switches.graphql = graphql
    place.github.repository("acme/empty", None)
    found = forge.repository("acme/empty")
    assert (found.head, found.name) == ("", "acme/empty")
    for ref in ("", "main"):
        with pytest.raises(MissingError):
            forge.head("acme/empty", ref)


@pytest.mark.parametrize("graphql", [200, 404])
def test_tells_of_a_repository(place: Place, forge: GitHubForge, graphql: int) -> None:
    place.github.switches.graphql = graphql
    place.github.repository("acme/open", {"a": b""}, private=False, branch="trunk")
    fork = place.github.fork("acme/open", "acme", name="forked")
    place.github.archive("acme/open")
    found = forge.repository("ACME/Open")
    assert (found.name, found.default_branch) == ("acme/open", "trunk")
    assert (found.archived, found.fork, found.private) == (True, False, False)
    assert found.id == str(place.github["acme/open"].id)
    assert forge.repository(fork.full_name).fork
    assert forge.repository(REPOSITORY).private
    if graphql == 200:
        assert found.head == place.github.head("acme/open")


@both
@pytest.mark.parametrize("graphql", [200, 404])
def test_a_renamed_repository_says_its_new_name(place: Place, forge: GitHubForge, graphql: int) -> None:
    commit = head(place)
    place.github.switches.graphql = graphql
    forge.head(REPOSITORY, "")  # the installation is known by now
    place.github.rename(REPOSITORY, "renamed")
    for ask in (
        lambda: forge.head(REPOSITORY, "main"),
        lambda: forge.repository(REPOSITORY),
        lambda: forge.read(REPOSITORY, commit, ["Dockerfile"]),
        lambda: forge.standing(REPOSITORY, "main", "x"),
        lambda: forge.request(REPOSITORY, 1),
        lambda: forge.merge_base(REPOSITORY, commit, commit),
        lambda: place.forge().head(REPOSITORY, "main"),
    ):
        with pytest.raises(MovedError) as caught:
            ask()
        assert caught.value.name == "acme/renamed"


def test_a_transferred_repository_says_its_new_owner(place: Place, forge: GitHubForge) -> None:
    place.github.install("other")
    forge.head(REPOSITORY, "")
    place.github.transfer(REPOSITORY, "other")
    with pytest.raises(MovedError) as caught:
        place.forge().head(REPOSITORY, "main")
    assert caught.value.name == "other/app"


def test_a_repository_that_went_where_we_are_not_is_missing(place: Place, forge: GitHubForge) -> None:
    forge.head(REPOSITORY, "")
    place.github.transfer(REPOSITORY, "stranger")
    with pytest.raises(MissingError):
        forge.head(REPOSITORY, "main")


@pytest.mark.parametrize("name", ["app", "", "a/b/c", "acme/", "/app", "../app", "acme/.."])
def test_what_is_no_name_is_missing(place: Place, forge: GitHubForge, name: str) -> None:
    place.github.forget()
    with pytest.raises(MissingError):
        forge.head(name, "")
    assert not place.github.requests


def test_who_did_not_install_us_is_not_looked_at(place: Place, forge: GitHubForge) -> None:
    place.github.repository("stranger/app", FILES, private=False)
    with pytest.raises(MissingError, match="not installed"):
        forge.head("stranger/app", "")


def test_only_listed_owners_are_served(place: Place) -> None:
    place.github.install("other")
    place.github.repository("other/app", FILES)
    forge = place.forge(owners=frozenset({"Other"}))
    assert forge.head("other/app", "")[0] == "main"
    assert [one.name for one in forge.repositories()] == ["other/app"]
    place.github.forget()
    with pytest.raises(MissingError, match="served"):
        forge.head(REPOSITORY, "")
    assert not place.github.requests


@pytest.mark.parametrize("graphql", [200, 404])
def test_lists_branches(place: Place, forge: GitHubForge, graphql: int) -> None:
    place.github.switches.graphql = graphql
    commit = head(place)
    meant = {f"work/{number}" for number in range(105)} | {"main"}
    for name in ("tags/v1", *(f"heads/{name}" for name in meant)):
        place.github[REPOSITORY].git.set_ref(f"refs/{name}", commit)
    forge.head(REPOSITORY, "")
    place.github.forget()
    assert dict(forge.branches(REPOSITORY)) == dict.fromkeys(meant, commit)
    assert len(place.github.requests) == 2
    place.github.repository("acme/empty", None)
    assert list(forge.branches("acme/empty")) == []
    place.github.rename(REPOSITORY, "renamed")
    with pytest.raises(MovedError):
        list(forge.branches(REPOSITORY))
    with pytest.raises(MissingError):
        list(forge.branches("acme/none"))


# --- files ----------------------------------------------------------------------------------


@both
def test_one_request_for_paths_and_one_for_files(place: Place, forge: GitHubForge) -> None:
    commit = head(place)
    forge.head(REPOSITORY, "")
    place.github.forget()
    assert forge.read(REPOSITORY, commit, [".moorline.yml", ".github/moorline.yml"]) == {}
    made = forge.snapshot(REPOSITORY, commit, claims)
    assert dict(made.files) == {"Dockerfile": OLD, "svc/Dockerfile": OLD, "svc/maybe": b"FROM a\n"}
    assert forge.read(REPOSITORY, commit, ["Dockerfile", "other/maybe", "none"]) == {
        "Dockerfile": OLD,
        "other/maybe": b"no image\n",
    }
    assert place.github.asked() == ["GET /repos/{owner}/{repo}/git/trees/{tree_sha}", "POST /graphql"]


def test_what_did_not_change_is_not_read_again(place: Place, forge: GitHubForge) -> None:
    forge.snapshot(REPOSITORY, head(place), claims)
    place.github.push(REPOSITORY, {"README.md": b"changed"})
    place.github.forget()
    forge.snapshot(REPOSITORY, head(place), claims)
    assert place.github.asked() == ["GET /repos/{owner}/{repo}/git/trees/{tree_sha}"]


def test_a_file_is_not_known_from_another_repository(place: Place, forge: GitHubForge) -> None:
    place.github.repository("acme/other", {"Dockerfile": OLD})
    forge.snapshot(REPOSITORY, head(place), claims)
    place.github.forget()
    other = place.github.head("acme/other")
    assert other is not None
    forge.snapshot("acme/other", other, claims)
    assert place.github.count("POST", "/graphql") == 1


STRANGE: dict[str, Content] = {
    "bom/Dockerfile": b"\xef\xbb\xbfFROM node:18\r\n",
    "latin/Dockerfile": b"# caf\xe9\nFROM node:18\n",
    "nul/Dockerfile": b"FROM node:18\n\0",
    "late-nul/Dockerfile": b"FROM node:18\n" + b"#" * 9000 + b"\0",
    "empty/Dockerfile": b"",
    "cr/Dockerfile": b"FROM a\rFROM b\r\n\n",
    "large/Dockerfile": b"FROM node:18\n" + b"# filler\n" * 60_000,
    "huge/Dockerfile": b"FROM node:18\n" + b"#" * (2 * 1024 * 1024),
    "caf\u00e9/Dockerfile": OLD,
    "run/Dockerfile": File(OLD, EXECUTABLE),
    "link/Dockerfile": File(b"../Dockerfile", LINK),
    "away/Dockerfile": File(b"../../etc/passwd", LINK),
    "root/Dockerfile": File(b"/etc/passwd", LINK),
    "hidden/Dockerfile": File(b"../README.md", LINK),
    "nowhere/Dockerfile": File(b"none", LINK),
    "bridged/Dockerfile": File(b"../bridge/README.md", LINK),
    "bridge": File(b".", LINK),
    "lib": File(b"5" * 40, SUBMODULE),
    "astral/maybe": "FROM x # \U0001f433\n".encode(),
}


@both
@pytest.mark.parametrize("graphql", [200, 404])
def test_reads_what_git_holds(place: Place, forge: GitHubForge, tmp_path: Path, graphql: int) -> None:
    place.github.push(REPOSITORY, STRANGE)
    commit = head(place)
    place.github.switches.graphql = graphql
    oracle = GitForge(roots=[str(tmp_path)])
    folder = str(tmp_path / "acme" / "app.git")
    meant = oracle.snapshot(folder, commit, claims)
    made = forge.snapshot(REPOSITORY, commit, claims)
    assert dict(made.files) == dict(meant.files)
    assert [replace(one, detail="") for one in made.unread] == [
        replace(one, detail="") for one in meant.unread
    ]
    assert made.files["bom/Dockerfile"].startswith(b"\xef\xbb\xbf")
    assert len(made.files["large/Dockerfile"]) > 512_000
    paths = [*FILES, *STRANGE, "none", "svc"]
    assert forge.read(REPOSITORY, commit, paths) == oracle.read(folder, commit, paths)


def test_a_link_is_never_followed(place: Place, forge: GitHubForge) -> None:
    place.github.push(REPOSITORY, {"link/Dockerfile": File(b"../README.md", LINK)})
    made = forge.snapshot(REPOSITORY, head(place), only("link/Dockerfile"))
    assert not made.files
    assert [one.reason for one in made.unread] == [UnreadReason.SYMLINK]
    assert forge.read(REPOSITORY, head(place), ["link/Dockerfile"]) == {}


def test_too_many_files_for_one_query_are_halved(place: Place, forge: GitHubForge) -> None:
    many = {f"d{number}/Dockerfile": b"FROM a:%d\n" % number for number in range(70)}
    place.github.push(REPOSITORY, many)
    place.github.switches.graphql_objects = 20
    made = forge.snapshot(REPOSITORY, head(place), claims)
    assert len(made.files) == 73
    assert place.github.count("GET", "*/git/blobs/*") == 0


def test_files_are_read_in_batches(place: Place, forge: GitHubForge) -> None:
    many = {f"d{number}/Dockerfile": b"FROM a:%d\n" % number for number in range(200)}
    place.github.push(REPOSITORY, many)
    commit = head(place)
    forge.head(REPOSITORY, "")
    place.github.forget()
    assert len(forge.snapshot(REPOSITORY, commit, claims).files) == 203
    assert place.github.count("POST", "/graphql") == 3


@pytest.mark.parametrize("limit", [6, 9])
def test_truncated_trees_are_walked(place: Place, forge: GitHubForge, limit: int) -> None:
    place.github.push(
        REPOSITORY, {f"a/b{number}/c/Dockerfile": b"FROM x:%d\n" % number for number in range(4)}
    )
    commit = head(place)
    whole = forge.snapshot(REPOSITORY, commit, claims)
    place.github.switches.tree_entries = limit
    walked = place.forge().snapshot(REPOSITORY, commit, claims)
    assert walked == whole
    assert len(walked.files) == 7


def test_a_tree_beyond_all_bounds_is_an_error(place: Place, forge: GitHubForge) -> None:
    place.github.switches.tree_entries = 1
    with pytest.raises(ForgeError, match="more files"):
        forge.snapshot(REPOSITORY, head(place), claims)


def test_trees_are_reckoned_as_git_does(place: Place) -> None:
    place.github.push(REPOSITORY, STRANGE | {"a.b/x": b"1", "a/x": b"2", "a-b/x": b"3", "a0": b"4"})
    forge = place.forge()
    commit = head(place)
    listing = Trees().at(forge._app.reader(REPOSITORY), REPOSITORY, commit)
    git = place.github[REPOSITORY].git
    assert listing.with_files({}) == git.tree_of(commit) == listing.oid
    pushed = place.github.push(
        REPOSITORY, {"a/x": b"new", "run/Dockerfile": File(OLD + DIGEST, EXECUTABLE), "n/e/w": b"y"}
    )
    written = {
        "a/x": (0o100644, b"new"),
        "run/Dockerfile": (EXECUTABLE, OLD + DIGEST),
        "n/e/w": (0o100644, b"y"),
    }
    assert listing.with_files(written) == git.tree_of(pushed)


def test_only_full_commits_are_read(place: Place, forge: GitHubForge) -> None:
    place.github.forget()
    for text in ("main", "HEAD", "abc", "../x", ""):
        with pytest.raises(ForgeError, match="no full id"):
            forge.snapshot(REPOSITORY, text, claims)
        with pytest.raises(ForgeError, match="no full id"):
            forge.merge_base(REPOSITORY, text, "a" * 40)
    assert not place.github.requests


def test_a_commit_that_is_not_there_is_missing(forge: GitHubForge) -> None:
    with pytest.raises(MissingError):
        forge.snapshot(REPOSITORY, "d" * 40, claims)


@both
def test_merge_bases(place: Place, forge: GitHubForge) -> None:
    start = head(place)
    place.github.push(REPOSITORY, {"a": b"1"}, branch="work")
    place.github.push(REPOSITORY, {"b": b"1"})
    one, other = place.github.head(REPOSITORY, "work"), place.github.head(REPOSITORY)
    assert one is not None
    assert other is not None
    assert forge.merge_base(REPOSITORY, one, other) == start
    assert forge.merge_base(REPOSITORY, one, one) == one
    with pytest.raises(ForgeError, match="no common ancestor"):
        forge.merge_base(REPOSITORY, one, "d" * 40)


# --- the list -------------------------------------------------------------------------------


@both
def test_lists_what_is_installed(place: Place, forge: GitHubForge) -> None:
    place.github.repository("acme/empty", None)
    place.github.repository("acme/old", FILES, branch="trunk")
    place.github.archive("acme/old")
    place.github.repository("stranger/app", FILES)
    place.github.repository("other/in", FILES)
    place.github.repository("other/out", FILES)
    place.github.install("other", repositories=["other/in"])
    suspended = place.github.install("gone")
    place.github.repository("gone/app", FILES)
    place.github.suspend(suspended)
    found = {one.name: one for one in forge.repositories()}
    assert set(found) == {REPOSITORY, "acme/empty", "acme/old", "other/in"}
    assert found[REPOSITORY].head == head(place)
    assert found["acme/old"].archived
    assert (found["acme/old"].default_branch, found["acme/old"].head) == (
        "trunk",
        place.github.head("acme/old"),
    )
    assert (found["acme/empty"].default_branch, found["acme/empty"].head) == ("", "")
    assert [one.name for one in forge.repositories("OTHER")] == ["other/in"]


def test_listing_costs_one_query_for_a_hundred() -> None:
    with github(validates=False) as standin:
        standin.install("acme")
        for number in range(130):
            standin.repository(f"acme/r{number}", {"a": b""})
        found = list(Place(standin).forge().repositories())
        asked = standin.asked()
    assert len(found) == 130
    assert all(one.head for one in found)
    assert asked.count("GET /installation/repositories") == 2
    assert asked.count("POST /graphql") == 2
    assert len(asked) == 2 + 2 + 2  # the installations, and one token


def test_lists_without_heads_where_graphql_is_refused(place: Place, forge: GitHubForge) -> None:
    place.github.switches.graphql = 403
    assert [(one.name, one.default_branch, one.head) for one in forge.repositories()] == [
        (REPOSITORY, "main", "")
    ]


def test_the_list_halves_queries_that_are_too_much(place: Place, forge: GitHubForge) -> None:
    for number in range(6):
        place.github.repository(f"acme/r{number}", {"a": b""})
    fault = place.github.fail("POST", "/graphql", times=1)
    assert all(one.head for one in forge.repositories())
    assert fault.struck == 1
