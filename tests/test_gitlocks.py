"""Locks of local repositories: what a killed process left is taken away, what is anybody else's never."""

from __future__ import annotations

import fcntl
import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dulwich.file import FileLocked
from dulwich.repo import Repo
from gitlab_git import GitRepository, Person

from bot.errors import ForgeError, SupersededError, TransientError
from bot.forges.base import Change
from bot.forges.git import GitForge
from bot.forges.gitlocks import WORKSHOP, beside, locked
from bot.model import Edit, Span

DIGEST = b"@sha256:" + b"0123456789abcdef" * 4
BRANCH = "moorline/pin/main"
MOVES = frozenset(
    {"open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "fcntl.flock"}
)


class Place:
    """A bare repository with one commit, and the forge that serves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = GitRepository(folder)
        person = Person(name="Ann", email="ann@example.com")
        self.commit = self.repository.commit_on(
            None, {"Dockerfile": b"FROM node:18\n"}, "first", author=person, when=1_770_000_000
        )
        self.repository.set_head("main", self.commit)
        times = itertools.count(1_770_000_001)
        self.forge = GitForge(roots=[str(folder)], clock=lambda: next(times))

    @property
    def lock(self) -> Path:
        return self.folder / "refs" / "heads" / f"{BRANCH}.lock"

    @property
    def head(self) -> str | None:
        return self.forge.branch(str(self.folder), BRANCH)

    def write(self) -> str:
        """Let our branch be at a commit that was never there before."""
        edit = Edit(path="Dockerfile", span=Span(5, 12), expected=b"node:18", replacement=b"node:18" + DIGEST)
        made = Change(
            repository=str(self.folder),
            base="main",
            parent=self.commit,
            branch=BRANCH,
            expected=self.head,
            message="Pin\n\nMoorline-Digest: abc\n",
            edits=(edit,),
        )
        return self.forge.write(made)

    def delete(self) -> None:
        head = self.head
        if head is not None:
            self.forge.delete(str(self.folder), BRANCH, head)

    def pack(self) -> None:
        with Repo(str(self.folder)) as repo:
            repo.refs.pack_refs(all=True)

    def locks(self) -> list[Path]:
        return sorted(self.folder.rglob("*.lock"))

    def workshop(self) -> list[Path]:
        return sorted((self.folder / WORKSHOP).iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "app.git")


def killed_at(number: int, act: Callable[[], object]) -> bool:
    """Do an act in a process that is killed just before it does the file system's `number`th thing.

    Return whether it got so far.
    """
    child = os.fork()
    if child == 0:
        left = itertools.count(-number)

        def watch(event: str, _arguments: tuple[object, ...]) -> None:
            if event in MOVES and next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        status = 1
        try:
            sys.addaudithook(watch)
            act()
            status = 0
        finally:
            os._exit(status)
    code = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(code) or code == 0, code
    return os.WIFSIGNALED(code)


def test_a_kill_at_any_moment_keeps_nobody_from_the_branch(place: Place) -> None:
    left = 0
    for number in itertools.count():
        if not killed_at(number, place.write):
            break
        left += place.lock.exists()
        head = place.write()
        assert place.head == head
        assert place.locks() == []
    assert left > 3  # it was killed while it held the lock, too
    assert place.workshop() == []


def test_a_kill_at_any_moment_brings_nothing_back(place: Place) -> None:
    """What is removed may stand in a file with others, which has a lock of its own."""
    left = 0
    for number in itertools.count():
        first = place.write()
        place.pack()
        second = place.write()
        if not killed_at(number, place.delete):
            break
        left += (place.folder / "packed-refs.lock").exists()
        assert place.head in (None, second)
        assert place.head != first
        place.delete()
        assert place.head is None
        assert place.forge.head(str(place.folder), "main")[1] == place.commit
        place.write()
        assert place.locks() == []
    assert left > 1
    place.write()
    assert place.workshop() == []


def test_others_wait_no_longer_for_a_lock_of_a_dead_one_than_until_we_move_anything(place: Place) -> None:
    place.write()
    place.pack()
    lock = place.folder / "packed-refs.lock"
    for number in itertools.count():
        assert killed_at(number, place.delete)
        if lock.exists():
            break
    place.lock.unlink()
    with Repo(str(place.folder)) as repo, pytest.raises(FileLocked):
        repo.refs.pack_refs(all=True)
    place.write()
    assert not lock.exists()


@pytest.mark.parametrize("content", [b"", b"a" * 40 + b"\n"])
def test_a_lock_of_another_program_is_never_removed(place: Place, content: bytes) -> None:
    place.write()
    for lock in (place.lock, place.folder / "packed-refs.lock"):
        place.pack()
        place.write()
        lock.write_bytes(content)
        os.utime(lock, (1, 1))
        with pytest.raises(TransientError) as caught:
            place.delete()
        # Whoever runs the server learns which file it is; the job waits and is not parked.
        assert ascii(str(lock)) in caught.value.problem
        assert "remove that file" in caught.value.advice
        assert caught.value.retry_after == 10
        assert lock.read_bytes() == content
        lock.unlink()
    place.delete()
    assert place.head is None


def test_a_lock_that_is_held_is_respected(place: Place) -> None:
    head = place.write()
    target = place.folder / "refs" / "heads" / BRANCH
    with locked(target, place.folder):
        with pytest.raises(TransientError, match=r"main\.lock"):
            place.write()
        assert place.lock.exists()
    assert place.head == head
    assert place.write() != head


def test_a_lock_is_let_go_of_whatever_happens(place: Place) -> None:
    target = place.folder / "refs" / "heads" / "x"
    with pytest.raises(ZeroDivisionError), locked(target, place.folder):
        _ = 1 / 0
    assert (place.locks(), place.workshop()) == ([], [])
    with locked(target, place.folder) as lock:
        lock.replace(b"1\n")
        beside(target).write_bytes(b"another's by now")
    assert target.read_bytes() == b"1\n"
    assert place.locks() == [beside(target)]


@pytest.mark.parametrize("missing", ["links", "flock", "a folder"])
def test_where_a_file_system_knows_less_locks_are_as_git_makes_them(
    place: Place, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    match missing:
        case "links":
            monkeypatch.setattr(os, "link", refuse)
        case "flock":
            monkeypatch.setattr(fcntl, "flock", refuse)
        case _:
            elsewhere = place.folder.parent / "elsewhere"
            elsewhere.mkdir()
            (elsewhere / ("a" * 32)).write_bytes(b"kept")
            (place.folder / WORKSHOP).symlink_to(elsewhere)
    head = place.write()
    assert place.head == head
    assert place.locks() == []
    if missing == "a folder":
        assert [one.name for one in place.workshop()] == ["a" * 32]
    place.lock.write_bytes(b"")
    with pytest.raises(TransientError, match=r"main\.lock"):
        place.delete()
    place.lock.unlink()
    place.delete()
    assert place.head is None


def test_other_refs_that_are_packed_stay_as_they_are(place: Place) -> None:
    place.write()
    place.pack()
    packed = place.folder / "packed-refs"
    before = packed.read_bytes()
    line = f"{place.head} refs/heads/{BRANCH}\n".encode()
    others = b"%s refs/tags/v1\n^%s\n" % (b"b" * 40, place.commit.encode())
    assert line in before
    packed.write_bytes(before.replace(line, line + b"^" + b"c" * 40 + b"\n") + others)
    place.delete()
    assert packed.read_bytes() == before.replace(line, b"") + others


def test_a_branch_that_is_elsewhere_is_left_there(place: Place) -> None:
    head = place.write()
    with pytest.raises(SupersededError):
        place.forge.delete(str(place.folder), BRANCH, place.commit)
    assert (place.head, place.locks()) == (head, [])
    (place.folder / "refs" / "heads" / "moorline" / "pin" / "main").unlink()
    (place.folder / "refs" / "heads" / "moorline" / "pin" / "main" / "empty").mkdir(parents=True)
    assert place.write() == place.head
    place.delete()
    (place.folder / "refs" / "heads" / "moorline").write_bytes(place.commit.encode() + b"\n")
    with pytest.raises(ForgeError, match="in the way"):
        place.write()
