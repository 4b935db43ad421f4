"""Where links lead, and what the content of files that are not read is known by: alike everywhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from git_server import commit_files, git, make_repository, require_git
from hypothesis import given
from hypothesis import strategies as st

from bot.forges.directory import Directory
from bot.forges.git import GitForge
from bot.forges.links import LINK, NOWHERE, OUT, follow
from bot.model import Unread, UnreadReason

FILE, FOLDER = stat.S_IFREG | 0o644, stat.S_IFDIR
Tree = dict[str, str | None]
"""Paths with what is written in a link; None for a file.  Folders are there by what is in them."""


def at(tree: Tree, path: str) -> tuple[int, str] | None:
    if path in tree:
        text = tree[path]
        return (FILE, f"of-{path}") if text is None else (LINK, f"to-{text}")
    return (FOLDER, "") if any(one.startswith(f"{path}/") for one in tree) else None


def led(tree: Tree, path: str = "link") -> tuple[str, str, str, tuple[str, ...]]:
    made = follow(path, lambda place: at(tree, place), lambda place, _oid: (tree[place] or "").encode())
    return made.target, made.why, made.identity, made.leads


def test_a_link_is_known_by_all_that_it_leads_through() -> None:
    tree: Tree = {"link": "way/./a", "way": "far//deep", "far/deep/a": "../b", "far/b": None}
    target, why, identity, leads = led(tree)
    assert (target, why) == ("far/b", "")
    assert leads == ("way", "far/deep/a", "far/b")
    assert identity == (
        "link link to-way/./a > way link to-far//deep > far/deep/a link to-../b > far/b file of-far/b"
    )


def test_a_link_that_leads_to_nothing_leads_to_what_may_come() -> None:
    assert led({"link": "gone/deep/a"})[3] == ("gone/**",)
    assert led({"link": "gone"})[3] == ("gone",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("/etc/passwd", OUT),
        ("../x", OUT),
        ("a/../../x", OUT),
        ("nothing", NOWHERE),
        ("link", NOWHERE),
        ("file/below", NOWHERE),
        ("file/", NOWHERE),
        ("folder", NOWHERE),
        ("folder/..", NOWHERE),
        ("x" * 5000, OUT),
        ("", NOWHERE),
    ],
)
def test_links_that_lead_to_no_file(text: str, why: str) -> None:
    tree: Tree = {"link": text, "file": None, "folder/a": None, "a/b": None}
    target, said, identity, _ = led(tree)
    assert (target, said) == ("", why)
    assert identity.startswith("link link to-")


@given(
    st.dictionaries(
        st.sampled_from(["link", "a", "b", "c/d", "c/e"]),
        st.none() | st.lists(st.sampled_from(["a", "b", "c", "d", "..", ".", ""]), max_size=4).map("/".join),
    )
)
def test_following_ends_and_agrees_with_itself(tree: Tree) -> None:
    target, why, _, leads = led(tree)
    assert bool(target) != bool(why)
    if target and target != "link":
        assert leads[-1] == target
        assert tree[target] is None


def test_a_folder_and_a_repository_know_files_by_the_same(tmp_path: Path) -> None:
    require_git()
    root = tmp_path / "app"
    make_repository(root, {"README": b"x\n"}, bare=False)
    for name in ("large", "binary", "link", "out", "none", "chain", "real"):
        (root / name).mkdir()
    (root / "large/Dockerfile").write_bytes(b"# x\n" * 700_000)
    (root / "large/Dockerfile").chmod(0o755)
    (root / "binary/Dockerfile").write_bytes(b"FROM a\0b\n")
    (root / "real/a.txt").write_bytes(b"FROM a\n")
    (root / "way").symlink_to("real")
    for name, text in {
        "link": "../real/a.txt",
        "out": "../../x",
        "none": "nothing",
        "chain": "../way/a.txt",
    }.items():
        (root / name / "Dockerfile").symlink_to(text)
    commit_files(root, {}, "all of it")
    commit = git("rev-parse", "HEAD", cwd=root).strip()

    def claims(path: str, _head: bytes) -> bool:
        return path.endswith("Dockerfile")

    there = GitForge(roots=[str(root)]).snapshot(str(root), commit, claims).unread
    here = Directory(root).snapshot(claims).unread
    assert {one.path: (one.reason, one.identity, one.leads) for one in here} == {
        one.path: (one.reason, one.identity, one.leads) for one in there
    }
    assert len(here) == 6
    assert len({one.identity for one in here}) == 6
    assert {one.path: one.leads for one in here if one.leads} == {
        "link/Dockerfile": ("real/a.txt",),
        "chain/Dockerfile": ("way", "real/a.txt"),
        "none/Dockerfile": ("none/nothing",),
    }
    oid = git("rev-parse", "HEAD:large/Dockerfile", cwd=root).strip()
    assert f"file {oid}" in {one.identity for one in here}


def test_what_cannot_be_known_is_not_known(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "Dockerfile")
    (tmp_path / "web").mkdir()
    with (tmp_path / "web/Dockerfile").open("wb") as file:
        file.truncate(65 * 1024 * 1024)
        file.seek(0)
        file.write(b"FROM a\n")
    found = Directory(tmp_path).snapshot(lambda path, _head: path.endswith("Dockerfile")).unread
    assert [(one.path, one.reason, one.identity) for one in found] == [
        ("Dockerfile", UnreadReason.UNREADABLE, ""),
        ("web/Dockerfile", UnreadReason.BINARY, ""),
    ]
    assert all(isinstance(one, Unread) for one in found)
