"""`--staged`: what the next commit will hold is judged, not what lies around."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from commands import World
from git_server import commit_files, git, make_repository, require_git

from bot import local
from bot.errors import ForgeError
from bot.local import Printing

Captured = pytest.CaptureFixture[str]
SHOWN = Printing(format_="json", output=None, everything=False, quiet=True)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with commands.world() as made:
        made.images.add("docker.io/library/node", "22")
        yield made


@pytest.fixture
def repository(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    require_git()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in world.settings().items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "repository"
    make_repository(folder, {"a/Dockerfile": b"FROM node:20\n"}, bare=False)
    return folder


def stage(folder: Path, path: str, text: str) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)
    git("add", path, cwd=folder)


def found(capsys: Captured) -> list[tuple[str, str]]:
    return [(one["path"], one["value"]) for one in json.loads(capsys.readouterr().out)["references"]]


def test_what_is_staged_counts_and_what_lies_around_does_not(repository: Path, capsys: Captured) -> None:
    stage(repository, "b/Dockerfile", "FROM node:22\n")
    (repository / "b/Dockerfile").write_text("FROM scratch\n")
    (repository / "c.Dockerfile").write_text("FROM nodejs:1\n")
    local.guard(repository, SHOWN, base=None, staged=True)
    assert found(capsys) == [("b/Dockerfile", "node:22")]
    local.scan(repository, SHOWN, fail=False, staged=True)
    assert found(capsys) == [("a/Dockerfile", "node:20"), ("b/Dockerfile", "node:22")]
    local.scan(repository / "b", SHOWN, fail=False, staged=True)
    assert found(capsys) == [("b/Dockerfile", "node:22")]


def test_the_policy_is_that_of_the_last_commit_and_before_the_first_the_staged_one(
    repository: Path, tmp_path: Path
) -> None:
    strict, loose = "guard: {floating: fail}\n", "guard: {floating: off}\n"
    commit_files(repository, {".moorline.yml": strict.encode()}, "strict")
    stage(repository, ".moorline.yml", loose)
    stage(repository, "b/Dockerfile", "FROM node:22\n")
    assert local.guard(repository, SHOWN, base=None, staged=True) == 1
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    git("init", "-q", ".", cwd=fresh)
    stage(fresh, "Dockerfile", "FROM node:22\n")
    stage(fresh, ".moorline.yml", loose)
    (fresh / ".moorline.yml").write_text(strict)
    assert local.guard(fresh, SHOWN, base=None, staged=True) == 0
    stage(fresh, ".moorline.yml", strict)
    assert local.guard(fresh, SHOWN, base="HEAD", staged=True) == 1


def test_another_base_counts_what_came_in_since(repository: Path, capsys: Captured) -> None:
    git("switch", "-q", "-c", "topic", cwd=repository)
    commit_files(repository, {"b/Dockerfile": b"FROM node:22\n"}, "committed")
    stage(repository, "c/Dockerfile", "FROM node:22\n")
    local.guard(repository, SHOWN, base="main", staged=True)
    assert found(capsys) == [("b/Dockerfile", "node:22"), ("c/Dockerfile", "node:22")]


def test_links_are_judged_as_they_are_staged(repository: Path, capsys: Captured) -> None:
    (repository / "d").mkdir()
    (repository / "d/Dockerfile").symlink_to("/etc/hostname")
    git("add", "d", cwd=repository)
    assert local.guard(repository, SHOWN, base=None, staged=True) == 1
    [one] = json.loads(capsys.readouterr().out)["unread"]
    assert (one["path"], one["reason"]) == ("d/Dockerfile", "symlink")


def test_nothing_is_written(repository: Path) -> None:
    stage(repository, "b/c/Dockerfile", "FROM node:22\n")
    before = {one: one.read_bytes() for one in repository.rglob("*") if one.is_file()}
    local.guard(repository, SHOWN, base=None, staged=True)
    assert before == {one: one.read_bytes() for one in repository.rglob("*") if one.is_file()}


def test_an_index_with_conflicts_is_not_judged(repository: Path) -> None:
    git("switch", "-q", "-c", "topic", cwd=repository)
    commit_files(repository, {"a/Dockerfile": b"FROM node:22\n"}, "one")
    git("switch", "-q", "main", cwd=repository)
    commit_files(repository, {"a/Dockerfile": b"FROM node:24\n"}, "other")
    with pytest.raises(AssertionError):
        git("merge", "-q", "topic", cwd=repository)
    with pytest.raises(ForgeError, match="holds conflicts"):
        local.guard(repository, SHOWN, base=None, staged=True)


def test_an_index_that_is_shared_is_not_half_read(repository: Path) -> None:
    git("update-index", "--split-index", cwd=repository)
    with pytest.raises(ForgeError, match="shares its entries"):
        local.scan(repository, SHOWN, fail=False, staged=True)


@pytest.mark.parametrize(
    "data", [b"DIRC\0\0\0\x63\0\0\0\0" + bytes(20), b"x" * 100, b"DIRC\0\0\0\x02\xff\xff\xff\xff"]
)
def test_a_damaged_index_is_told(repository: Path, data: bytes) -> None:
    (repository / ".git/index").write_bytes(data)
    with pytest.raises(ForgeError):
        local.scan(repository, SHOWN, fail=False, staged=True)


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(ForgeError, match="no git repository"):
        local.scan(tmp_path, SHOWN, fail=False, staged=True)
