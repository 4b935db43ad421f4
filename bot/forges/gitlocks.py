"""Git's lock files, made so that those of a process that was killed can be told from everybody else's.

Git locks `x` by making `x.lock`, and nobody takes away what a killed process left: whoever comes later cannot
know whether its maker lives.  Ours can be known.  Each is first made under a name of its own in
`moorline/` of the git folder, and held by `flock`, which the system lets go of when the process ends;
then it is linked to `x.lock`, which is one step and fails where that is there already.  So a lock that is the
same file as one of those, and that nobody holds, was made by a Moorline that is dead, and is removed.
One that is no such file is another program's, and is never touched.

Where a file system knows no hard links or no `flock` locks are made as git makes them.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bot.errors import TransientError

WORKSHOP = "moorline"
"""The folder within the git folder."""
_NAME = re.compile(r"[0-9a-f]{32}")
_MODE = 0o644
_MOST = 10_000
_TRIES = 3
_AGAIN = 10.0
"""Seconds after which a lock is looked at again: it is waited for, as long as it takes a person to notice."""
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""For writing, as NFS wants it of whoever would hold a file alone."""


class Lock:
    """A lock that is held."""

    def __init__(self, target: Path, descriptor: int) -> None:
        self._target = target
        self._descriptor = descriptor

    def replace(self, content: bytes) -> None:
        """Put `content` in place of the file that is locked, in one step; the lock is gone then."""
        left = memoryview(content)
        while left:
            left = left[os.write(self._descriptor, left) :]
        os.fsync(self._descriptor)
        beside(self._target).replace(self._target)


def beside(target: Path) -> Path:
    """Return where git expects the lock of a file."""
    return target.with_name(f"{target.name}.lock")


@contextmanager
def locked(target: Path, common: Path) -> Iterator[Lock]:
    """Lock a file of a repository whose common git folder is `common`; raises `TransientError` and `OSError`.

    Within the context `target` may be read, and replaced once.
    """
    made = _made(common / WORKSHOP)
    path = beside(target)
    if made is None:
        descriptor = _plain(path)
    else:
        own, descriptor = made
        try:
            linked = _linked(own, path)
        except BaseException:
            _let_go(own, descriptor)
            raise
        if not linked:
            _let_go(own, descriptor)
            made, descriptor = None, _plain(path)
    there = os.fstat(descriptor)
    try:
        yield Lock(target, descriptor)
    finally:
        # Once it has replaced what it locks, a lock of that name is somebody else's.
        if _is(path, there):
            path.unlink()
        if made is not None:
            _let_go(made[0], descriptor)
        else:
            os.close(descriptor)


def recover(target: Path, common: Path) -> None:
    """Take away the lock of a file where one of us was killed with it: other programs wait for that, too."""
    if beside(target).exists() and (common / WORKSHOP).is_dir():
        with suppress(OSError):
            _recovered(beside(target), common / WORKSHOP)


def _is(path: Path, file: os.stat_result) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (file.st_dev, file.st_ino)


def _plain(path: Path) -> int:
    try:
        return os.open(path, _MAKE, _MODE)
    except FileExistsError:
        raise _taken(path) from None


def _made(workshop: Path) -> tuple[Path, int] | None:
    """Return a new file that is held, None where the file system does not let us."""
    try:
        workshop.mkdir(exist_ok=True)
        if workshop.is_symlink():
            return None
        _tidy(workshop)
        for _ in range(_TRIES):
            own = workshop / secrets.token_hex(16)
            descriptor = os.open(own, _MAKE, _MODE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except BaseException:
                _let_go(own, descriptor)
                raise
            if _is(own, os.fstat(descriptor)):
                return own, descriptor
            os.close(descriptor)  # tidied away before it was held
    except OSError:
        return None
    return None


def _linked(own: Path, path: Path) -> bool:
    """Return whether a lock is ours now, False where there are no hard links; raises `TransientError`."""
    for _ in range(_TRIES):
        try:
            os.link(own, path, follow_symlinks=False)
        except FileExistsError:
            if not _recovered(path, own.parent):
                raise _taken(path) from None
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)  # git takes away folders that are empty
        except NotADirectoryError:
            raise
        except OSError:
            return False
        else:
            return True
    raise _taken(path)


def _recovered(path: Path, workshop: Path) -> bool:
    """Return whether a lock is gone: it was made by one of us, and nobody holds it any more."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return True
    for own in _entries(workshop):
        if not _is(own, there):
            continue
        with _abandoned(own) as abandoned:
            # Who holds it may unlink it, and that is us alone now.
            if not abandoned or not _is(path, there):
                return False
            path.unlink()
            own.unlink(missing_ok=True)
            return True
    return False


def _tidy(workshop: Path) -> None:
    """Remove what the dead left here, and what is no lock any more."""
    for own in _entries(workshop):
        with _abandoned(own) as abandoned, suppress(FileNotFoundError):
            if abandoned and own.lstat().st_nlink == 1:
                own.unlink()


def _entries(workshop: Path) -> Iterator[Path]:
    with os.scandir(workshop) as entries:
        for _, entry in zip(range(_MOST), entries, strict=False):
            if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                yield Path(entry.path)


@contextmanager
def _abandoned(own: Path) -> Iterator[bool]:
    """Yield whether nobody held a file, which we hold then."""
    try:
        descriptor = os.open(own, _LOOK)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield stat.S_ISREG(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _let_go(own: Path, descriptor: int) -> None:
    with suppress(OSError):
        own.unlink()
    os.close(descriptor)


def _taken(path: Path) -> TransientError:
    return TransientError(
        f"Another program moves a branch there, or was killed while it did: {str(path)!a} is in the way.",
        advice="If no git process works on that repository any more, remove that file; until then it is waited for.",
        retry_after=_AGAIN,
    )
