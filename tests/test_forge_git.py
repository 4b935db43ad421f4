"""The git forge: local and remote repositories, their writes, and repositories made to mislead."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import urllib3
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.pack import pack_objects_to_data
from dulwich.repo import Repo
from git_server import GitServer, commit_files, git, make_repository, require_git

from bot import wiring
from bot.errors import ForgeError, GuardError, SupersededError, TransientError
from bot.forges import FORGES, forge_class, gitobjects, gitremote, gittree
from bot.forges.base import Change, Forge
from bot.forges.git import GitForge
from bot.forges.gitremote import address, is_remote
from bot.forges.logins import Logins
from bot.model import Edit, Snapshot, Span, UnreadReason
from bot.registries import egress
from bot.registries.egress import Limits
from bot.settings import Lookups

pytestmark = pytest.mark.servers

DIGEST = "@sha256:" + "0123456789abcdef" * 4
OLD = b"FROM node:18\n"
NEW = f"FROM node:18{DIGEST}\n".encode()
FILES = {"Dockerfile": OLD, "svc/Dockerfile": OLD, "svc/deep/maybe": OLD, "README.md": b"# x\n"}


def claims(path: str, head: bytes) -> bool:
    name = path.rpartition("/")[2]
    return name == "Dockerfile" or (name == "maybe" and (not head or head.startswith(b"FROM")))


def edit(path: str, expected: bytes = b"node:18", start: int = 5) -> Edit:
    return Edit(
        path=path,
        span=Span(start, start + len(expected)),
        expected=expected,
        replacement=expected + DIGEST.encode(),
    )


def change(repository: str, parent: str, **other: object) -> Change:
    made = Change(
        repository=repository,
        base="main",
        parent=parent,
        branch="moorline/pins",
        expected=None,
        message="Pin\n\nWhy.\n\nMoorline-Digest: abc\n",
        edits=(edit("svc/Dockerfile"),),
    )
    return replace(made, **other)  # type: ignore[arg-type]  # the fields' own types


def reasons(snapshot: Snapshot) -> dict[str, UnreadReason]:
    return {one.path: one.reason for one in snapshot.unread}


class Place:
    """A repository with one commit, and the forge that reaches it."""

    def __init__(self, forge: GitForge, name: str, folder: Path, commit: str) -> None:
        self.forge = forge
        self.name = name
        self.folder = folder
        self.commit = commit


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path) as made:
        yield made


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False, timeout=10) as made:
        yield made


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Make the repository once, bare and not; tests copy it."""
    require_git()
    root = tmp_path_factory.mktemp("templates")
    commit = make_repository(root / "work", FILES, bare=False)
    git("clone", "-q", "--bare", "work", "bare", cwd=root)
    git("config", "http.receivepack", "true", cwd=root / "bare")
    return root, commit


@pytest.fixture(params=["working-tree", "bare", "remote", "remote-forgetful", "remote-oldest"])
def place(request: pytest.FixtureRequest, tmp_path: Path, templates: tuple[Path, str]) -> Place:
    kind: str = request.param
    folder = tmp_path / "app.git"
    root, commit = templates
    shutil.copytree(root / ("work" if kind == "working-tree" else "bare"), folder)
    if not kind.startswith("remote"):
        return Place(GitForge(roots=[str(tmp_path)]), str(folder), folder, commit)
    server = request.getfixturevalue("server")
    server.protocol = kind != "remote-oldest"
    pool = request.getfixturevalue("pool")
    forge = GitForge(pool=pool, keep=0) if kind == "remote-forgetful" else GitForge(pool=pool)
    return Place(forge, f"{server.url}/app.git", folder, commit)


# --- reading ------------------------------------------------------------------------------


def test_head_and_branch(place: Place) -> None:
    assert place.forge.head(place.name, "") == ("main", place.commit)
    assert place.forge.head(place.name, "main") == ("main", place.commit)
    assert place.forge.head(place.name, "refs/heads/main") == ("main", place.commit)
    assert place.forge.branch(place.name, "main") == place.commit
    assert place.forge.branch(place.name, "moorline/pins") is None
    with pytest.raises(ForgeError, match="no branch"):
        place.forge.head(place.name, "absent")


def test_snapshot_and_read(place: Place) -> None:
    found = place.forge.snapshot(place.name, place.commit, claims)
    assert found.commit == place.commit
    assert found.files == {name: data for name, data in FILES.items() if name != "README.md"}
    assert list(found.files) == sorted(found.files)
    assert found.unread == ()
    paths = ["README.md", "absent", "svc", "svc/Dockerfile", "../x", "", "/etc/passwd", "svc//Dockerfile"]
    read = place.forge.read(place.name, place.commit, paths)
    assert read == {"README.md": b"# x\n", "svc/Dockerfile": OLD}


def test_the_protocol_is_satisfied() -> None:
    forge: Forge = GitForge()
    assert forge.name == "git"
    assert isinstance(forge_class("git")(), GitForge)
    assert all(callable(forge_class(name)) for name in FORGES)


# --- writing ------------------------------------------------------------------------------


def test_a_change_becomes_a_commit(place: Place) -> None:
    wanted = change(place.name, place.commit)
    commit = place.forge.write(wanted)
    assert place.forge.branch(place.name, "moorline/pins") == commit
    assert git("rev-parse", "refs/heads/moorline/pins", cwd=place.folder) == commit
    assert git("rev-parse", "main", cwd=place.folder) == place.commit
    assert git("rev-parse", f"{commit}^", cwd=place.folder) == place.commit
    assert git("diff", "--name-status", place.commit, commit, cwd=place.folder) == "M\tsvc/Dockerfile"
    assert git("show", f"{commit}:svc/Dockerfile", cwd=place.folder) == NEW.decode().strip()
    shown = git("log", "-1", "--format=%an <%ae>|%cn <%ce>|%B", commit, cwd=place.folder)
    me = "Moorline <moorline@localhost>"
    assert shown == f"{me}|{me}|Pin\n\nWhy.\n\nMoorline-Digest: abc"
    git("fsck", "--strict", cwd=place.folder)
    assert place.forge.made(wanted, commit)
    assert place.forge.ours(place.name, "moorline/pins") == {commit}
    assert place.forge.trailer(place.name, commit) == {"Moorline-Digest": "abc"}
    assert place.forge.read(place.name, commit, ["svc/Dockerfile"]) == {"svc/Dockerfile": NEW}


def test_a_rerun_replaces_its_own_commit(place: Place) -> None:
    first = place.forge.write(change(place.name, place.commit))
    both = change(
        place.name, place.commit, expected=first, edits=(edit("svc/Dockerfile"), edit("Dockerfile"))
    )
    second = place.forge.write(both)
    assert git("rev-list", "--count", "moorline/pins", cwd=place.folder) == "2"
    assert place.forge.branch(place.name, "moorline/pins") == second
    assert not place.forge.made(both, first)
    assert place.forge.made(both, second)


def test_only_the_expected_branch_is_moved(place: Place) -> None:
    first = place.forge.write(change(place.name, place.commit))
    for expected in (None, place.commit, "1" * 40):
        with pytest.raises(SupersededError, match="Nothing was written"):
            place.forge.write(change(place.name, place.commit, expected=expected))
        if expected is not None:
            with pytest.raises(SupersededError):
                place.forge.delete(place.name, "moorline/pins", expected)
    with pytest.raises(SupersededError):
        place.forge.write(change(place.name, place.commit, branch="moorline/other", expected=first))
    assert place.forge.branch(place.name, "moorline/pins") == first
    place.forge.delete(place.name, "moorline/pins", first)
    assert place.forge.branch(place.name, "moorline/pins") is None
    with pytest.raises(SupersededError):
        place.forge.delete(place.name, "moorline/pins", first)


def test_one_of_many_at_once_wins(place: Place) -> None:
    def write(number: int) -> str | None:
        try:
            return place.forge.write(change(place.name, place.commit, message=f"Pin {number}\n"))
        except (SupersededError, TransientError):
            return None

    with ThreadPoolExecutor(4) as threads:
        made = [one for one in threads.map(write, range(4)) if one]
    assert len(made) == 1
    assert place.forge.branch(place.name, "moorline/pins") == made[0]


def test_the_guard_stands_before_every_write(place: Place) -> None:
    good = edit("svc/Dockerfile")
    refused: list[tuple[Edit, ...]] = [
        (),
        (replace(good, replacement=b"evil:1" + DIGEST.encode()),),
        (good, replace(edit("Dockerfile"), replacement=b"node:18\nRUN id")),
        (replace(good, path="../svc/Dockerfile"),),
        (replace(good, path=".git/config"),),
        (replace(good, path="absent"),),
        (replace(good, expected=b"node:19"),),
        (good, good),
    ]
    for edits in refused:
        with pytest.raises(GuardError):
            place.forge.write(change(place.name, place.commit, edits=edits))
    with pytest.raises(GuardError):
        place.forge.write(change(place.name, place.commit, message="a\0b"))
    assert place.forge.branch(place.name, "moorline/pins") is None


def test_the_base_and_the_default_branch_are_never_written(place: Place) -> None:
    for branch in ("main", "refs/heads/main"):
        with pytest.raises(ForgeError):
            place.forge.write(change(place.name, place.commit, branch=branch, expected=place.commit))
        with pytest.raises(ForgeError):
            place.forge.write(
                change(place.name, place.commit, branch=branch, base="x", expected=place.commit)
            )
        with pytest.raises(ForgeError):
            place.forge.delete(place.name, branch, place.commit)
    assert place.forge.head(place.name, "") == ("main", place.commit)


@pytest.mark.parametrize(
    "branch", ["", "-x", "a..b", "a b", "a\nb", "../x", "x.lock", "/x", "a//b", ".x", "a@{b"]
)
def test_a_branch_has_a_plain_name(local: Place, branch: str) -> None:
    with pytest.raises(ForgeError):
        local.forge.write(change(local.name, local.commit, branch=branch))
    with pytest.raises(ForgeError):
        local.forge.branch(local.name, branch)


def test_what_others_made_is_not_ours(place: Place) -> None:
    work = place.folder.parent / "other"
    git("clone", "-q", str(place.folder), str(work), cwd=place.folder.parent)
    git("checkout", "-q", "-b", "moorline/pins", cwd=work)
    commit = commit_files(work, {"svc/Dockerfile": NEW}, "Pin\n\nMoorline-Digest: abc")
    git("push", "-q", "origin", "moorline/pins", cwd=work)
    assert place.forge.branch(place.name, "moorline/pins") == commit
    assert not place.forge.made(change(place.name, place.commit), commit)
    assert place.forge.ours(place.name, "moorline/pins") == frozenset()
    assert place.forge.trailer(place.name, commit) == {}
    assert place.forge.ours(place.name, "absent") == frozenset()


NOT_ONLY_PINS: dict[str, tuple[dict[str, bytes], bool]] = {
    "a pin": ({"svc/Dockerfile": NEW}, True),
    "nothing": ({}, False),
    "a new file": ({"svc/Dockerfile": NEW, "notes.md": b"work of a week\n"}, False),
    "a new file in a folder": ({"svc/Dockerfile": NEW, "svc/deep/more": b"x"}, False),
    "another edit": ({"svc/Dockerfile": NEW, "README.md": b"# y\n"}, False),
    "a line more": ({"svc/Dockerfile": NEW + b"RUN make\n"}, False),
    "its configuration": ({".moorline.yml": b"mode: observe\n"}, False),
    "a large file": ({"svc/Dockerfile": NEW + b"#" * 3_000_000}, False),
}


@pytest.mark.parametrize(("files", "ours"), NOT_ONLY_PINS.values(), ids=NOT_ONLY_PINS)
def test_a_trailer_alone_makes_no_commit_ours(local: Place, files: dict[str, bytes], ours: bool) -> None:
    git("checkout", "-q", "-b", "moorline/pins", cwd=local.folder)
    imitate(local.folder, files)
    assert bool(local.forge.ours(local.name, "moorline/pins")) is ours


def imitate(work: Path, files: Mapping[str, bytes]) -> str:
    """Commit as Moorline would sign it."""
    for name, data in files.items():
        (work / name).write_bytes(data)
    git("add", "-A", cwd=work)
    me = {"GIT_AUTHOR_NAME": "Moorline", "GIT_AUTHOR_EMAIL": "moorline@localhost"}
    me |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in me.items()}
    subprocess.run(
        ["git", "commit", "-q", "--allow-empty", "-m", "Pin\n\nMoorline-Digest: abc"],
        cwd=work,
        env={**os.environ, **me},
        check=True,
    )
    return git("rev-parse", "HEAD", cwd=work)


def test_other_ways_to_lose_what_others_made(local: Place) -> None:
    work = local.folder
    git("checkout", "-q", "-b", "moorline/pins", cwd=work)
    # Two commits: the pin above hides the work below, which stays in the branch's history only.
    imitate(work, {"notes.md": b"work\n"})
    top = imitate(work, {"svc/Dockerfile": NEW})
    assert local.forge.ours(local.name, "moorline/pins") == frozenset()
    git("checkout", "-q", "-B", "moorline/pins", "main", cwd=work)
    (work / "svc/Dockerfile").chmod(0o755)
    imitate(work, {"svc/Dockerfile": NEW})
    assert local.forge.ours(local.name, "moorline/pins") == frozenset(), "a mode"
    git("checkout", "-q", "main", cwd=work)
    made = local.forge.write(change(local.name, local.commit, branch="moorline/x"))
    commit_files(work, {"more": b"x"}, "the base moves on")
    assert local.forge.ours(local.name, "moorline/x") == {made}
    git("checkout", "-q", "moorline/x", cwd=work)
    assert local.forge.ours(local.name, "moorline/x") == {made}
    git("checkout", "-q", "-B", "moorline/pins", "main", cwd=work)
    git("merge", "-q", "--no-ff", "-s", "ours", "-m", "x", top, cwd=work)
    git("checkout", "-q", "--orphan", "fresh", cwd=work)
    imitate(work, {})
    git("branch", "-f", "moorline/pins", "fresh", cwd=work)
    assert local.forge.ours(local.name, "moorline/pins") == frozenset(), "no parent"


def test_modes_are_kept(place: Place) -> None:
    work = place.folder.parent / "other"
    git("clone", "-q", str(place.folder), str(work), cwd=place.folder.parent)
    (work / "svc/Dockerfile").chmod(0o755)
    git("checkout", "-q", "-b", "next", cwd=work)
    parent = commit_files(work, {}, "executable")
    git("push", "-q", "origin", "next", cwd=work)
    commit = place.forge.write(change(place.name, parent, base="next"))
    assert git("ls-tree", commit, "svc/Dockerfile", cwd=place.folder).startswith("100755 blob")


# --- local repositories -------------------------------------------------------------------


@pytest.fixture
def local(tmp_path: Path, templates: tuple[Path, str]) -> Place:
    folder = tmp_path / "app"
    root, commit = templates
    shutil.copytree(root / "work", folder)
    git("update-index", "--refresh", cwd=folder)
    return Place(GitForge(roots=[str(tmp_path)]), str(folder), folder, commit)


def test_neither_hooks_nor_the_working_tree_are_touched(local: Place) -> None:
    mark = local.folder.parent / "mark"
    for name in ("pre-commit", "commit-msg", "post-commit", "reference-transaction", "update", "pre-push"):
        hook = local.folder / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
        hook.chmod(0o755)
    (local.folder / "Dockerfile").write_bytes(b"FROM mine\n")
    before = git("status", "--porcelain", cwd=local.folder)
    index = (local.folder / ".git/index").read_bytes()
    local.forge.write(change(local.name, local.commit))
    assert (local.folder / ".git/index").read_bytes() == index
    assert git("status", "--porcelain", cwd=local.folder) == before
    assert not mark.exists()


def test_a_branch_that_is_checked_out_in_another_work_tree(local: Place) -> None:
    git("worktree", "add", "-q", "-b", "moorline/pins", str(local.folder.parent / "w"), cwd=local.folder)
    with pytest.raises(ForgeError, match="checked out"):
        local.forge.write(change(local.name, local.commit, expected=local.commit))
    tree = str(local.folder.parent / "w")
    assert local.forge.head(tree, "") == ("moorline/pins", local.commit)
    assert local.forge.write(change(tree, local.commit, branch="moorline/x"))


def test_a_symbolic_branch_does_not_carry_the_write_elsewhere(local: Place) -> None:
    git("branch", "precious", cwd=local.folder)
    git("symbolic-ref", "refs/heads/moorline/pins", "refs/heads/precious", cwd=local.folder)
    with pytest.raises(ForgeError, match="stands for another"):
        local.forge.write(change(local.name, local.commit, expected=local.commit))
    with pytest.raises(ForgeError, match="stands for another"):
        local.forge.delete(local.name, "moorline/pins", local.commit)
    assert git("rev-parse", "precious", cwd=local.folder) == local.commit


def test_a_branch_in_the_way(local: Place) -> None:
    git("branch", "moorline", cwd=local.folder)
    with pytest.raises(ForgeError, match="in the way"):
        local.forge.write(change(local.name, local.commit))
    git("pack-refs", "--all", cwd=local.folder)
    with pytest.raises(ForgeError, match="in the way"):
        local.forge.write(change(local.name, local.commit, expected=None))


def test_a_lock_left_behind(local: Place) -> None:
    (local.folder / ".git/refs/heads/moorline").mkdir()
    (local.folder / ".git/refs/heads/moorline/pins.lock").write_bytes(b"")
    with pytest.raises(TransientError, match=r"\.lock"):
        local.forge.write(change(local.name, local.commit))


def test_packed_refs(local: Place) -> None:
    first = local.forge.write(change(local.name, local.commit))
    git("pack-refs", "--all", cwd=local.folder)
    git("gc", "-q", cwd=local.folder)
    with pytest.raises(SupersededError):
        local.forge.write(change(local.name, local.commit))
    second = local.forge.write(change(local.name, local.commit, expected=first, message="again\n"))
    git("pack-refs", "--all", cwd=local.folder)
    local.forge.delete(local.name, "moorline/pins", second)
    assert local.forge.branch(local.name, "moorline/pins") is None


def test_only_what_is_below_the_roots_is_served(tmp_path: Path) -> None:
    require_git()
    inside, outside = tmp_path / "in", tmp_path / "out"
    make_repository(outside / "a", FILES, bare=False)
    make_repository(inside / "b", FILES, bare=False)
    (inside / "link").symlink_to(outside / "a")
    (inside / "empty").mkdir()
    forge = GitForge(roots=[str(inside)])
    assert forge.head(str(inside / "b"), "")[0] == "main"
    assert forge.head(f"file://{inside / 'b'}", "")[0] == "main"
    for name in (
        outside / "a",
        inside / "link",
        inside / "../out/a",
        "/",
        tmp_path,
        f"{inside}x",
        inside / "empty",
    ):
        with pytest.raises(ForgeError):
            forge.head(str(name), "")
    with pytest.raises(ForgeError):
        forge.head(str(inside / "b/svc"), "")
    with pytest.raises(ForgeError):
        GitForge().head(str(inside / "b"), "")


def test_a_root_may_be_a_folder_of_a_repository(local: Place) -> None:
    folder = local.folder / "svc"
    forge = GitForge(roots=[str(folder)])
    found = forge.snapshot(str(folder), local.commit, claims)
    assert found.files == {"Dockerfile": OLD, "deep/maybe": OLD}
    assert forge.read(str(folder), local.commit, ["Dockerfile", "../Dockerfile"]) == {"Dockerfile": OLD}
    wanted = change(str(folder), local.commit, edits=(edit("Dockerfile"),))
    commit = forge.write(wanted)
    assert forge.made(wanted, commit)
    assert git("diff", "--name-only", local.commit, commit, cwd=local.folder) == "svc/Dockerfile"


def test_revisions_and_their_common_ancestor(local: Place) -> None:
    git("checkout", "-q", "-b", "topic", cwd=local.folder)
    topic = commit_files(local.folder, {"a": b"a"}, "topic")
    git("checkout", "-q", "main", cwd=local.folder)
    second = commit_files(local.folder, {"b": b"b"}, "second")
    git("tag", "-a", "-m", "x", "v1", local.commit, cwd=local.folder)
    git("update-ref", "refs/remotes/origin/main", second, cwd=local.folder)
    for text, expected in {
        "HEAD": second,
        "main": second,
        "topic": topic,
        "v1": local.commit,
        "HEAD~1": local.commit,
        "main^": local.commit,
        "origin/main": second,
        second: second,
        second[:10]: second,
    }.items():
        assert local.forge.revision(local.name, text) == expected, text
    assert local.forge.merge_base(local.name, "HEAD", "topic") == local.commit
    for text in ("absent", "", "--all", "1" * 40, "HEAD~9", "\0"):
        with pytest.raises(ForgeError):
            local.forge.revision(local.name, text)


def test_a_shallow_clone_says_what_to_do(local: Place) -> None:
    git("checkout", "-q", "-b", "topic", cwd=local.folder)
    commit_files(local.folder, {"a": b"a"}, "topic")
    git("checkout", "-q", "main", cwd=local.folder)
    commit_files(local.folder, {"b": b"b"}, "second")
    shallow = local.folder.parent / "shallow"
    git(
        "clone",
        "-q",
        "--depth=1",
        "--no-single-branch",
        f"file://{local.folder}",
        str(shallow),
        cwd=local.folder,
    )
    with pytest.raises(ForgeError, match="fetch more history"):
        local.forge.merge_base(str(shallow), "HEAD", "origin/topic")
    assert local.forge.head(str(shallow), "")[0] == "main"


def test_a_detached_head_and_an_empty_repository(local: Place) -> None:
    git("checkout", "-q", "--detach", cwd=local.folder)
    with pytest.raises(ForgeError, match="Name the branch"):
        local.forge.head(local.name, "")
    assert local.forge.head(local.name, "main") == ("main", local.commit)
    assert local.forge.revision(local.name, "HEAD") == local.commit
    empty = local.folder.parent / "empty"
    empty.mkdir()
    git("init", "-q", cwd=empty)
    with pytest.raises(ForgeError, match="no branch"):
        local.forge.head(str(empty), "")


def test_links_submodules_and_odd_files(local: Place) -> None:
    work = local.folder
    (work / "links").mkdir()
    for name, target in {
        "same": "../svc/Dockerfile",
        "out": "../../etc/passwd",
        "absolute": "/etc/passwd",
        "other": "../README.md",
        "dangling": "nowhere",
        "folder": "../svc",
    }.items():
        (work / "links" / name).mkdir()
        (work / "links" / name / "Dockerfile").symlink_to(f"../{target}" if target[0] != "/" else target)
    (work / "README.lnk").symlink_to("/etc/passwd")
    files = {
        "binary/Dockerfile": b"FROM x\0",
        "large/Dockerfile": b"#" * (2 * 1024 * 1024 + 1),
        "other/maybe": b"no",
        "\udcff/Dockerfile": OLD,
    }
    git("update-index", "--add", "--cacheinfo", f"160000,{local.commit},sub", cwd=work)
    commit = commit_files(work, files, "odd")
    git("update-index", "--add", "--cacheinfo", f"160000,{local.commit},sub", cwd=work)
    git("commit", "-q", "-m", "sub", cwd=work)
    commit = git("rev-parse", "HEAD", cwd=work)
    for packed in (False, True):
        if packed:
            git("gc", "-q", cwd=work)
        found = local.forge.snapshot(local.name, commit, claims)
        assert reasons(found) == {
            "binary/Dockerfile": UnreadReason.BINARY,
            "large/Dockerfile": UnreadReason.TOO_LARGE,
            "sub": UnreadReason.SUBMODULE,
            **{
                f"links/{name}/Dockerfile": UnreadReason.SYMLINK
                for name in ("out", "absolute", "other", "dangling", "folder")
            },
        }
        assert "\udcff/Dockerfile" in found.files
        assert "other/maybe" not in found.files
        assert (
            local.forge.read(local.name, commit, ["links/same/Dockerfile", "large/Dockerfile", "sub"]) == {}
        )
        with pytest.raises(GuardError):
            local.forge.write(change(local.name, commit, edits=(edit("links/same/Dockerfile"),)))


def test_the_size_is_known_before_a_blob_is_unfolded(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    base = os.urandom(3_000_000)
    commit_files(local.folder, {"large/Dockerfile": base}, "large")
    commit = commit_files(local.folder, {"delta/Dockerfile": base + b"x"}, "and one like it")
    read = gitobjects.OnDisk.read
    read_sizes: list[int] = []

    def watched(self: gitobjects.OnDisk, identity: bytes, limit: int) -> tuple[bytes, bytes]:
        kind, data = read(self, identity, limit)
        read_sizes.append(len(data))
        return kind, data

    for packed in (False, True):
        if packed:
            git("repack", "-adfq", cwd=local.folder)
        with monkeypatch.context() as patch:
            patch.setattr(gitobjects.OnDisk, "read", watched)
            found = local.forge.snapshot(local.name, commit, claims)
        assert reasons(found) == {
            "large/Dockerfile": UnreadReason.TOO_LARGE,
            "delta/Dockerfile": UnreadReason.TOO_LARGE,
        }
        assert {one.detail for one in found.unread} == {
            "3,000,000 bytes, the limit is 2,097,152",
            "3,000,001 bytes, the limit is 2,097,152",
        }
        assert max(read_sizes) < 1000


@contextmanager
def held_less_than(limit: int) -> Iterator[None]:
    """Fail where Python held more bytes at a time than the limit."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit


def loose(folder: Path, identity: str) -> Path:
    path = folder / ".git/objects" / identity[:2] / identity[2:]
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        path.chmod(0o644)
    return path


@pytest.mark.parametrize("what", ["HEAD:svc/Dockerfile", "HEAD:svc", "HEAD"])
@pytest.mark.parametrize("head", [b"%s 10\0", b"%s 60000000\0"], ids=["lies", "is true"])
def test_a_loose_object_that_unfolds_to_much(local: Place, what: str, head: bytes) -> None:
    path = loose(local.folder, git("rev-parse", what, cwd=local.folder))
    kind = {"HEAD:svc/Dockerfile": b"blob", "HEAD:svc": b"tree", "HEAD": b"commit"}[what]
    path.write_bytes(zlib.compress(head % kind + bytes(60_000_000)))
    honest = kind == b"blob" and b"6" in head
    with held_less_than(10_000_000 if kind == b"blob" or b"10" in head else 200_000_000):
        if honest:
            found = local.forge.snapshot(local.name, local.commit, claims)
            # All of them are the same blob.
            equal = ("Dockerfile", "svc/Dockerfile", "svc/deep/maybe")
            assert reasons(found) == dict.fromkeys(equal, UnreadReason.TOO_LARGE)
            assert local.forge.read(local.name, local.commit, equal) == {}
        else:
            with pytest.raises(ForgeError, match="damaged"):
                local.forge.snapshot(local.name, local.commit, claims)


def test_a_tree_of_any_size_is_not_unfolded(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gittree, "LARGEST", 1000)
    path = loose(local.folder, git("rev-parse", "HEAD:svc", cwd=local.folder))
    path.write_bytes(zlib.compress(b"tree 30000000\0" + bytes(30_000_000)))
    with held_less_than(5_000_000), pytest.raises(ForgeError, match="too large"):
        local.forge.snapshot(local.name, local.commit, claims)


def test_objects_are_read_as_git_reads_them(local: Place) -> None:
    work = local.folder
    text = b"".join(b"%d\n" % number for number in range(2000))
    for number in range(6):
        commit_files(work, {"big.txt": text.replace(b"77", b"7%d7" % number), "a": b"%d" % number}, "more")
    git("tag", "-a", "-m", "x", "v1", cwd=work)
    for packing in ((), ("gc", "-q"), ("repack", "-adfq", "--depth=50", "--window=50")):
        if packing:
            git(*packing, cwd=work)
        listed = git("cat-file", "--batch-all-objects", "--batch-check", cwd=work).splitlines()
        with Repo(str(work)) as repo:
            objects = gitobjects.OnDisk(repo.object_store)
            for line in listed:
                name, kind, size = line.split()
                content = repo.object_store[ObjectID(name.encode())].as_raw_string()
                assert objects.size(name.encode()) == int(size) == len(content)
                assert objects.read(name.encode(), 10**6) == (kind.encode(), content)
            assert objects.size(b"1" * 40) is None
            with pytest.raises(KeyError):
                objects.read(b"1" * 40, 10)


def hand_made(repo: Repo, tree: Tree) -> str:
    commit = Commit()
    commit.tree = tree.id
    commit.author = commit.committer = b"A <a@example.com>"
    commit.author_time = commit.commit_time = 0
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = b"x"
    repo.object_store.add_object(tree)
    repo.object_store.add_object(commit)
    return commit.id.decode()


def test_trees_made_by_hand(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gittree, "_MAX_ENTRIES", 5000)
    with Repo(local.name) as repo:
        blob = Blob.from_string(OLD)
        repo.object_store.add_object(blob)
        inner = Tree()
        inner.add(b"Dockerfile", 0o100644, blob.id)
        repo.object_store.add_object(inner)
        tree = Tree()
        for name in (b"..", b".", b".git", b".GIT", b"a/b", b"good"):
            tree.add(name, 0o040000, inner.id)
        tree.add(b"missing", 0o040000, ObjectID(b"1" * 40))
        mean = hand_made(repo, tree)
        # A tree of a few hundred bytes that holds 10 to the power of 12 files.
        bomb = inner
        for _ in range(12):
            wider = Tree()
            for letter in "abcdefghij":
                wider.add(letter.encode(), 0o040000, bomb.id)
            repo.object_store.add_object(wider)
            bomb = wider
        many = hand_made(repo, bomb)
        deep = inner
        for _ in range(300):
            outer = Tree()
            outer.add(b"a", 0o040000, deep.id)
            repo.object_store.add_object(outer)
            deep = outer
        well = hand_made(repo, deep)
    with pytest.raises(ForgeError, match="damaged"):
        local.forge.snapshot(local.name, mean, claims)
    for path in ("../Dockerfile", ".git/Dockerfile", "a/b/Dockerfile"):
        assert local.forge.read(local.name, mean, [path]) == {}
    assert local.forge.read(local.name, mean, ["good/Dockerfile"]) == {"good/Dockerfile": OLD}
    with pytest.raises(ForgeError, match="5,000 entries"):
        local.forge.snapshot(local.name, many, claims)
    found = local.forge.snapshot(local.name, well, claims)
    assert [one.reason for one in found.unread] == [UnreadReason.UNREADABLE]


def test_names_that_no_file_may_have_are_reported(local: Place) -> None:
    with Repo(local.name) as repo:
        blob = Blob.from_string(OLD)
        repo.object_store.add_object(blob)
        tree = Tree()
        tree.add(b"..", 0o100644, blob.id)
        tree.add(b"Dockerfile", 0o100644, blob.id)
        commit = hand_made(repo, tree)
    found = local.forge.snapshot(local.name, commit, claims)
    assert (found.files, reasons(found)) == ({"Dockerfile": OLD}, {"..": UnreadReason.UNREADABLE})


@pytest.mark.parametrize(
    "name",
    [
        *(
            "HEAD",
            "config",
            "packed-refs",
            "commondir",
            "shallow",
            "refs/heads/main",
            "refs/heads/moorline/x",
        ),
        *("logs/refs/heads/moorline/x", "objects/info/alternates", "objects/pack/pack-1.idx", "objects/11/x"),
        *("worktrees/w/HEAD", "borrowed/pack/x", "../.git"),
    ],
)
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "device"])
def test_what_blocks_whoever_opens_it_is_refused(local: Place, name: str, kind: str) -> None:
    if name.startswith("borrowed/"):
        (local.folder / ".git/objects/info").mkdir(exist_ok=True)
        (local.folder / ".git/objects/info/alternates").write_text("../borrowed\n")
    path = local.folder / ".git" / name
    if name == "../.git":
        (local.folder / ".git").rename(local.folder / "moved")
        path = local.folder / ".git"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(local.folder / "pipe")
        path.symlink_to(local.folder / "pipe")
    raised: list[BaseException] = []

    def look() -> None:
        try:
            local.forge.write(change(local.name, local.commit, branch="moorline/x"))
        except BaseException as error:  # noqa: BLE001  # whatever it is, the test looks at it
            raised.append(error)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it hangs"
    assert isinstance(raised[0], ForgeError)
    assert "pipe or a device" in str(raised[0])


def test_folders_that_are_links_and_borrowed_objects_are_fine(local: Place) -> None:
    git_folder = local.folder / ".git"
    (git_folder / "refs").rename(local.folder.parent / "refs")
    (git_folder / "refs").symlink_to(local.folder.parent / "refs")
    (git_folder / "refs/loop").symlink_to(local.folder.parent / "refs")
    (git_folder / "dangling").symlink_to("nowhere")
    borrower = local.folder.parent / "borrower"
    git("clone", "-q", "--shared", "-b", "main", str(local.folder), str(borrower), cwd=local.folder)
    for name in (local.name, str(borrower)):
        assert local.forge.head(name, "") == ("main", local.commit)
        assert local.forge.snapshot(name, local.commit, claims).files["svc/Dockerfile"] == OLD


def test_a_bomb_of_equal_folders_is_soon_refused(local: Place) -> None:
    with Repo(local.name) as repo:
        blob = Blob.from_string(OLD)
        repo.object_store.add_object(blob)
        bomb = Tree()
        bomb.add(b"Dockerfile", 0o100644, blob.id)
        repo.object_store.add_object(bomb)
        for _ in range(9):
            wider = Tree()
            for letter in "abcdefghij":
                wider.add(letter.encode(), 0o040000, bomb.id)
            repo.object_store.add_object(wider)
            bomb = wider
        commit = hand_made(repo, bomb)
    asked: list[str] = []

    def counted(path: str, _head: bytes) -> bool:
        asked.append(path)
        return False

    with pytest.raises(ForgeError, match="equal folders"):
        local.forge.snapshot(local.name, commit, counted)
    assert len(asked) <= 100_000


def test_a_look_ends_in_time(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gittree, "_MAX_SECONDS", -1.0)
    with pytest.raises(ForgeError, match="seconds"):
        local.forge.snapshot(local.name, local.commit, claims)


def test_damage_is_a_forge_error(local: Place) -> None:
    name = git("rev-parse", "HEAD:svc", cwd=local.folder)
    loose = local.folder / ".git/objects" / name[:2] / name[2:]
    loose.chmod(0o644)
    loose.write_bytes(b"rubbish")
    with pytest.raises(ForgeError, match="damaged"):
        local.forge.snapshot(local.name, local.commit, claims)
    for commit in ("1" * 40, "main", "", "../x", git("rev-parse", "HEAD:README.md", cwd=local.folder)):
        with pytest.raises(ForgeError):
            local.forge.snapshot(local.name, commit, claims)
    (local.folder / ".git/config").write_text(
        "[extensions]\n\tpartialclone = origin\n[core]\nrepositoryformatversion = 1\n"
    )
    with pytest.raises(ForgeError, match="not supported"):
        local.forge.head(local.name, "")


def test_a_repository_with_long_ids_is_read_and_not_written(tmp_path: Path) -> None:
    require_git()
    folder = tmp_path / "long"
    folder.mkdir()
    git("init", "-q", "--object-format=sha256", cwd=folder)
    commit = commit_files(folder, FILES, "first")
    assert len(commit) == 64
    forge = GitForge(roots=[str(folder)])
    assert forge.head(str(folder), "") == ("main", commit)
    assert forge.snapshot(str(folder), commit, claims).files["svc/Dockerfile"] == OLD
    with pytest.raises(ForgeError, match="SHA-256"):
        forge.write(change(str(folder), commit))


def test_a_user_without_a_name_and_without_git(local: Place) -> None:
    code = (
        "import sys; from bot.forges.git import GitForge; from bot.forges.base import Change;"
        "from bot.model import Edit, Span; root, parent = sys.argv[1:];"
        "edit = Edit(path='Dockerfile', span=Span(5, 12), expected=b'node:18',"
        f" replacement=b'node:18{DIGEST}');"
        "print(GitForge(roots=[root]).write(Change(repository=root, base='main', parent=parent,"
        " branch='moorline/x', expected=None, message='x', edits=(edit,))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, local.name, local.commit],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
        env={"PATH": "/nonexistent", "HOME": "/nonexistent"},
    )
    assert git("rev-parse", "moorline/x", cwd=local.folder) == done.stdout.strip()


# --- remotes ------------------------------------------------------------------------------


def test_one_commit_is_fetched_once_and_without_history(
    server: GitServer, pool: urllib3.PoolManager, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    make_repository(work, FILES, bare=False)
    commit = commit_files(work, {"large/Dockerfile": os.urandom(3_000_000)}, "second")
    git("clone", "-q", "--bare", str(work), str(tmp_path / "app.git"), cwd=tmp_path)
    git("config", "uploadpack.allowFilter", "true", cwd=tmp_path / "app.git")
    url = f"{server.url}/app.git"
    forge = GitForge(pool=pool)
    found = forge.snapshot(url, commit, claims)
    assert reasons(found) == {"large/Dockerfile": UnreadReason.TOO_LARGE}
    before = len(server.requests)
    assert forge.snapshot(url, commit, claims) == found
    assert forge.read(url, commit, ["svc/Dockerfile"]) == {"svc/Dockerfile": OLD}
    assert len(server.requests) == before, "a commit never changes"
    assert GitForge(pool=pool).snapshot(url, commit, claims) == found


def test_a_blob_of_zeros_is_never_held(server: GitServer, pool: urllib3.PoolManager, tmp_path: Path) -> None:
    work = tmp_path / "work"
    make_repository(work, FILES, bare=False)
    commit = commit_files(work, {"large/Dockerfile": bytes(60_000_000)}, "zeros")
    git("clone", "-q", "--bare", str(work), str(tmp_path / "app.git"), cwd=tmp_path)
    forge = GitForge(pool=pool)
    with held_less_than(10_000_000):
        found = forge.snapshot(f"{server.url}/app.git", commit, claims)
    assert reasons(found) == {"large/Dockerfile": UnreadReason.TOO_LARGE}
    assert found.files["svc/Dockerfile"] == OLD


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("MAX_RECEIVED", 10_000, "it sends more than 0 MiB"),
        ("MAX_UNFOLDED", 20_000, "its objects are larger"),
        ("MAX_LISTED", 100, "more than any repository needs"),
    ],
)
def test_a_repository_that_is_too_large(
    server: GitServer,
    pool: urllib3.PoolManager,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: int,
    what: str,
) -> None:
    commit = make_repository(tmp_path / "app.git", {**FILES, "noise": os.urandom(50_000)})
    monkeypatch.setattr(gitremote, name, value)
    with pytest.raises(ForgeError, match=what) as caught:
        GitForge(pool=pool).snapshot(f"{server.url}/app.git", commit, claims)
    assert not isinstance(caught.value, TransientError), "it would be tried again"
    assert caught.value.advice


def test_the_guarded_pool_lets_a_large_pack_through(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = os.urandom(400_000)
    commit = make_repository(tmp_path / "app.git", {**FILES, "noise": noise})
    url = f"{server.url}/app.git"
    tight = functools.partial(egress.guarded_pool, limits=Limits(body=100_000, response=0.001))
    monkeypatch.setattr(egress, "guarded_pool", tight)
    with wiring.Network(Lookups()) as network:
        forge = wiring.served_git([], {"app": url}, network)
        assert forge.read(url, commit, ["noise"]) == {"noise": noise}


def test_requests_end_in_time(tmp_path: Path) -> None:
    require_git()
    timeouts: list[urllib3.Timeout] = []

    class Watched(urllib3.PoolManager):
        def request(self, *words: Any, **more: Any) -> urllib3.BaseHTTPResponse:
            timeouts.append(more["timeout"])
            assert more["headers"]["Accept-Encoding"] == "identity"
            return super().request(*words, **more)

    commit = make_repository(tmp_path / "app.git", FILES)
    with GitServer(tmp_path) as server, Watched() as pool:
        GitForge(pool=pool).snapshot(f"{server.url}/app.git", commit, claims)
    assert {one.connect_timeout for one in timeouts} == {5.0}
    assert [one.read_timeout for one in timeouts] == [30.0, 30.0, 300.0]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-git-upload-pack-advertisement", "Content-Encoding": "gzip"},
        {"Content-Type": "text/plain"},
    ],
    ids=["folded", "the dumb protocol"],
)
def test_only_plain_answers_of_the_smart_protocol_are_read(
    server: GitServer, pool: urllib3.PoolManager, headers: dict[str, str]
) -> None:
    server.statuses["/"] = (200, headers)
    with pytest.raises(ForgeError, match="breaks git's protocol"):
        GitForge(pool=pool).head(f"{server.url}/app.git", "")
    assert len(server.requests) == 1


def test_a_bounded_number_of_bytes_is_kept(
    server: GitServer, pool: urllib3.PoolManager, tmp_path: Path
) -> None:
    commits = {
        name: make_repository(tmp_path / name, {"noise": os.urandom(40_000)}) for name in ("a", "b", "c")
    }
    forge = GitForge(pool=pool, keep=100_000)

    def fetched(name: str) -> bool:
        before = len(server.requests)
        forge.snapshot(f"{server.url}/{name}", commits[name], claims)
        return len(server.requests) > before

    assert [fetched(name) for name in "abacbab"] == [True, True, False, True, True, True, False]


def test_credentials(server: GitServer, pool: urllib3.PoolManager, tmp_path: Path) -> None:
    commit = make_repository(tmp_path / "app.git", FILES)
    server.password = "s3cret"
    plain = f"{server.url}/app.git"
    with pytest.raises(ForgeError, match="credentials") as caught:
        GitForge(pool=pool).head(plain, "")
    wrong = plain.replace("http://", "http://bot:wr0ng@")
    with pytest.raises(ForgeError, match="credentials") as caught:
        GitForge(pool=pool).head(wrong, "")
    assert "wr0ng" not in str(caught.value)
    assert "wr0ng" not in repr(address(wrong))
    right = plain.replace("http://", "http://bot:s3cret@")
    assert GitForge(pool=pool).head(right, "") == ("main", commit)
    asked: list[str] = []

    def login(url: str) -> tuple[str, str]:
        asked.append(url)
        return "bot", "s3cret"

    forge = GitForge(pool=pool, login=login)
    assert forge.write(change(plain, commit))
    assert set(asked) == {plain}


def test_credentials_do_not_follow_a_redirect(server: GitServer, tmp_path: Path) -> None:
    make_repository(tmp_path / "app.git", FILES)
    with GitServer(tmp_path) as elsewhere, urllib3.PoolManager() as pool:
        server.redirects["/app.git"] = f"{elsewhere.url}/app.git"
        GitForge(pool=pool).head(f"{server.url}/app.git".replace("://", "://bot:s3cret@"), "main")
        assert elsewhere.requests
        assert {authorization for _, _, authorization in elsewhere.requests} == {""}


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("https://git.example/acme/app.git", "acme"),
        ("https://GIT.example:443/acme/app.git", "acme"),
        ("https://git.example/acme", "acme"),
        ("https://git.example/acme/inner/app.git", "inner"),
        ("https://git.example/acme/inner-other/app.git", "acme"),
        ("https://git.example/acme-evil/app.git", "any"),
        ("https://git.example/other/app.git", "any"),
        ("http://git.example/acme/app.git", None),
        ("https://git.example:8443/acme/app.git", "port"),
        ("https://git.example.evil.example/acme/app.git", None),
        ("https://evil.example/git.example/acme/app.git", None),
        ("ssh://git.example/acme/app.git", None),
    ],
)
def test_the_longest_prefix_gives_the_login(url: str, user: str | None) -> None:
    entries = (
        ("https://git.example/acme/", "acme", "1"),
        ("https://git.example/acme/inner", "inner", "2"),
        ("https://git.example", "any", "3"),
        ("https://git.example:8443/", "port", "4"),
    )
    found = Logins(entries=entries).login(url)
    assert (found[0] if found else None) == user


def test_a_served_repository_gets_its_login_and_nobody_else_does(
    server: GitServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    commit = make_repository(tmp_path / "acme/app.git", FILES)
    make_repository(tmp_path / "moved/app.git", FILES)
    server.password = "hunter2"
    url = f"{server.url}/acme/app.git"
    for said, fits in ((f"{server.url}/acme", True), (f"{server.url}/acm", False), ("https://h", False)):
        lookups = Lookups.from_environ({"MOORLINE_GIT_CREDENTIALS": json.dumps({said: "bot:hunter2"})})
        with wiring.Network(lookups) as network:
            forge = wiring.served_git([], {"app": url}, network)
            if fits:
                assert forge.head(url, "") == ("main", commit)
                assert forge.write(change(url, commit))
            else:
                with pytest.raises(ForgeError, match="credentials") as caught:
                    forge.head(url, "")
                assert "hunter2" not in f"{caught.value}{caught.value.__cause__}"
    assert "hunter2" not in caplog.text
    # On the same server, at another place.
    server.password = ""
    server.redirects["/acme/"] = f"{server.url}/moved/"
    server.requests.clear()
    lookups = Lookups.from_environ({"MOORLINE_GIT_CREDENTIALS": json.dumps({server.url: "bot:hunter2"})})
    with wiring.Network(lookups) as network:
        forge = wiring.served_git([], {"app": url}, network)
        assert forge.head(url, "")[0] == "main"
    sent = {bool(authorization) for _, path, authorization in server.requests if path.startswith("/moved/")}
    assert sent == {False}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, ForgeError), (403, ForgeError), (404, ForgeError), (429, TransientError), (502, TransientError)],
)
def test_statuses(server: GitServer, pool: urllib3.PoolManager, status: int, kind: type[ForgeError]) -> None:
    server.statuses["/"] = (status, {})
    with pytest.raises(ForgeError) as caught:
        GitForge(pool=pool).head(f"{server.url}/app.git", "")
    assert type(caught.value) is kind
    assert caught.value.advice


def test_a_server_that_is_down(pool: urllib3.PoolManager, tmp_path: Path) -> None:
    with GitServer(tmp_path) as server:
        url = f"{server.url}/app.git"
    with pytest.raises(TransientError):
        GitForge(pool=pool).head(url, "")


def test_what_the_pool_refuses() -> None:
    class RefusedError(urllib3.exceptions.HTTPError):
        pass

    class Guarded(urllib3.PoolManager):
        def request(self, *_: object, **__: object) -> urllib3.BaseHTTPResponse:
            raise RefusedError("The guard refuses 169.254.169.254.")

    forge = GitForge(pool=Guarded(), blocked=(RefusedError,))
    with pytest.raises(ForgeError, match="may not be reached") as caught:
        forge.head("http://169.254.169.254/a", "")
    assert not isinstance(caught.value, TransientError)


def test_a_push_that_the_server_refuses(server: GitServer, pool: urllib3.PoolManager, tmp_path: Path) -> None:
    commit = make_repository(tmp_path / "app.git", FILES)
    hook = tmp_path / "app.git/hooks/update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(ForgeError, match="refuses the branch"):
        GitForge(pool=pool).write(change(f"{server.url}/app.git", commit))
    git("config", "http.receivepack", "false", cwd=tmp_path / "app.git")
    with pytest.raises(ForgeError, match="forbids"):
        GitForge(pool=pool).write(change(f"{server.url}/app.git", commit))


def test_a_branch_that_moves_in_the_last_moment(
    server: GitServer, pool: urllib3.PoolManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = make_repository(tmp_path / "app.git", FILES)
    forge = GitForge(pool=pool)
    url = f"{server.url}/app.git"
    first = forge.write(change(url, commit))
    pack = pack_objects_to_data
    moved = threading.Event()

    def meddling(objects: object) -> object:
        git("update-ref", "refs/heads/moorline/pins", commit, cwd=tmp_path / "app.git")
        moved.set()
        return pack(objects)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(gitremote, "pack_objects_to_data", meddling)
    with pytest.raises(SupersededError):
        forge.write(change(url, commit, expected=first, message="again\n"))
    assert moved.is_set()
    assert forge.branch(url, "moorline/pins") == commit


@pytest.mark.parametrize(
    ("name", "remote"),
    [
        ("https://h/a", True),
        ("git@h.example:a/b.git", True),
        ("h.example:a/b", True),
        ("ssh://h/a", True),
        ("ext::sh -c id", True),
        ("/srv/git/a", False),
        ("./a:b", False),
        ("~/a", False),
        ("a/b", False),
        ("file:///srv/a", False),
    ],
)
def test_which_names_are_remote(name: str, remote: bool) -> None:
    assert is_remote(name) is remote


@pytest.mark.parametrize(
    "name",
    [
        "ssh://-oProxyCommand=id/a",
        "-oProxyCommand=id:a",
        "git@-oProxyCommand=id:a",
        "ssh://-l@h/a",
        "-l@h:a",
        "ssh://h/-upload",
        "h:-upload",
        "ssh://h/a'b",
        "h:a b",
        "h:a;id",
        "h:$(id)",
        "ssh://user:password@h/a",
        "ext::sh -c id",
        "git://h/a",
        "ftp://h/a",
        "https://h//evil/a",
        "https://h/../a",
        "https://h/a/../b",
        "https://h/a?x=y",
        "https://h/a#x",
        "https:///a",
        "https://h",
        "https://h:99999/a",
        "https://[h/a",
        "https://h/a\nb",
        "https://h/%2e%2e/a",
    ],
)
def test_addresses_that_are_refused(name: str) -> None:
    forge = GitForge(pool=urllib3.PoolManager(), ssh=True)
    with pytest.raises(ForgeError):
        forge.head(name, "")


def test_ssh_is_off_until_it_is_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ForgeError, match="not enabled"):
        GitForge().head("git@h.example:a", "")
    require_git()
    commit = make_repository(tmp_path / "app.git", FILES)
    # Stands in for ssh: writes its arguments down and runs the last one here.
    fake = tmp_path / "bin/ssh"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/arguments\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    forge = GitForge(ssh=True)
    url = f"ssh://git@h.example:2222{tmp_path}/app.git"
    assert forge.head(url, "") == ("main", commit)
    assert forge.snapshot(url, commit, claims).files["Dockerfile"] == OLD
    made = forge.write(change(url, commit))
    assert git("rev-parse", "moorline/pins", cwd=tmp_path / "app.git") == made
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert {"-oBatchMode=yes", "git@h.example", "2222"} <= set(arguments)
