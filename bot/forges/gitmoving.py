"""Moves and removes refs of a local repository, and writes objects, so that a kill at any moment does no harm.

What git does with the files of a repository (gitrepository-layout(5)) by our own locks: a ref is read while
it is locked, logged, and replaced in one step; one that is removed leaves `packed-refs` first.  Objects are
written under names of the kind that `git prune` removes.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from dulwich.file import adjust_shared_perm
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import DiskRefsContainer, Ref
from dulwich.repo import Repo

from bot.forges.gitlocks import locked, recover

_PACKED = "packed-refs"
_READ_ONLY = 0o444


def move(
    repo: Repo, name: str, expected: str | None, commit: Commit | None, new: Iterable[Blob | Tree], who: bytes
) -> bool:
    """Return whether a ref was moved from `expected` to a commit, or removed for None; else it is elsewhere.

    Raises `TransientError` where it is locked, and what dulwich and the system raise.
    """
    ref = Ref(name.encode("utf-8"))
    old = ObjectID(expected.encode("ascii")) if expected is not None else None
    for made in (*new, *([commit] if commit is not None else ())):
        _add(repo, made)
    refs = repo.refs
    if not isinstance(refs, DiskRefsContainer):  # refs in tables have locks of their own
        return _by_dulwich(repo, ref, old, commit, who)

    common = Path(repo.commondir())
    recover(common / _PACKED, common)

    def log() -> None:
        refs._log(  # noqa: SLF001 - dulwich has no public way to its log
            ref,
            old,
            commit.id if commit is not None else None,
            committer=who,
            timestamp=int(time.time()),
            timezone=0,
            message=b"moorline",
        )

    if commit is None:
        return _removed(refs, ref, old, common, log)
    return _set(refs, ref, old, commit.id, common, log)


def _by_dulwich(repo: Repo, ref: Ref, old: ObjectID | None, commit: Commit | None, who: bytes) -> bool:
    now = int(time.time())
    if commit is None:
        return repo.refs.remove_if_equals(
            ref, old, committer=who, timestamp=now, timezone=0, message=b"moorline"
        )
    if old is None:
        return repo.refs.add_if_new(
            ref, commit.id, committer=who, timestamp=now, timezone=0, message=b"moorline"
        )
    return repo.refs.set_if_equals(
        ref, old, commit.id, committer=who, timestamp=now, timezone=0, message=b"moorline"
    )


def _at(refs: DiskRefsContainer, ref: Ref) -> bytes | None:
    """Return what a ref holds."""
    loose = refs.read_loose_ref(ref)
    return loose if loose is not None else refs.get_packed_refs().get(ref)


def _set(
    refs: DiskRefsContainer,
    ref: Ref,
    old: ObjectID | None,
    new: ObjectID,
    common: Path,
    log: Callable[[], None],
) -> bool:
    target = Path(os.fsdecode(refs.refpath(ref)))
    packed = refs.get_packed_refs()
    above = [bytes(ref).rsplit(b"/", count)[0] for count in range(1, bytes(ref).count(b"/") + 1)]
    if any(Ref(one) in packed for one in above):
        raise NotADirectoryError(target)
    if any(bytes(one).startswith(bytes(ref) + b"/") for one in packed):
        raise IsADirectoryError(target)
    _make(target.parent)
    with locked(target, common) as lock:
        if _at(refs, ref) != old:
            return False
        if target.is_dir():
            _clear(target)
        log()
        lock.replace(bytes(new) + b"\n")
    return True


def _removed(
    refs: DiskRefsContainer, ref: Ref, old: ObjectID | None, common: Path, log: Callable[[], None]
) -> bool:
    target = Path(os.fsdecode(refs.refpath(ref)))
    _make(target.parent)
    with locked(target, common):
        if _at(refs, ref) != old:
            return False
        # What is packed shows as soon as the file is gone: a kill in between must not bring an old one back.
        if ref in refs.get_packed_refs():
            packed = common / _PACKED
            with locked(packed, common) as held:
                held.replace(_without(packed.read_bytes(), bytes(ref)))
        target.unlink(missing_ok=True)
        log()
    for folder in target.parents:
        if folder.name == "heads":
            break
        try:
            folder.rmdir()
        except OSError:
            break
    return True


def _without(packed: bytes, ref: bytes) -> bytes:
    """Return the file of packed refs without one of them, and without what that one leads to."""
    kept: list[bytes] = []
    skips = False
    for line in packed.splitlines(keepends=True):
        if line.startswith(b"^") and skips:
            continue
        skips = not line.startswith(b"#") and line.rstrip(b"\r\n").partition(b" ")[2] == ref
        if not skips:
            kept.append(line)
    return b"".join(kept)


def _make(folder: Path) -> None:
    """Make a folder for refs; raises `NotADirectoryError` where a branch is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(folder) from None


def _clear(folder: Path) -> None:
    """Remove a folder in which there are folders alone, as git leaves them behind."""
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(path).rmdir()


def _add(repo: Repo, made: Blob | Tree | Commit) -> None:
    """Write a loose object; one that is there gets a new time, so that it is not pruned."""
    store = repo.object_store
    name = made.id.decode("ascii")
    folder = Path(os.fsdecode(store.path)) / name[:2]
    path = folder / name[2:]
    try:
        os.utime(path)
    except (FileNotFoundError, PermissionError):
        pass
    else:
        return
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)
        adjust_shared_perm(folder, store.shared_perm)
    own = folder / f"tmp_obj_{secrets.token_hex(8)}"
    try:
        with own.open("xb") as file:
            file.write(made.as_legacy_object())
            file.flush()
            os.fsync(file.fileno())
        own.chmod(_READ_ONLY)
        adjust_shared_perm(own, store.shared_perm)
        own.replace(path)
    except BaseException:
        own.unlink(missing_ok=True)
        raise
