"""Looks at a git folder before anything in it is opened: what blocks or never ends is no part of one.

A pipe where a ref should be holds whoever opens it for good, and a device may have no end.  A folder
that came in an archive, or that others write to, can hold both.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bot.errors import ForgeError

_MAX_ENTRIES = 2_000_000
_MAX_POINTER = 4096
_MAX_ALTERNATES = 64 * 1024
_MOST_ALTERNATES = 20
_BELOW = frozenset({"refs", "objects", "logs", "worktrees", "info"})
"""Folders of a git folder that are looked into to every depth."""
_REGULAR = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def require_plain(repository: Path) -> None:
    """Return where a repository's git folder holds files and folders only, alternates included.

    Raises `ForgeError` where it does not, or holds more than can be looked at.
    """
    look = _Look()
    control = repository / ".git"
    if not _exists(control):
        control = repository
    elif not control.is_dir():
        look.require(control)
        text = _read(control, _MAX_POINTER).removeprefix("gitdir:").strip()
        control = repository / text
    look.git_folder(control)
    common = control / "commondir"
    if _exists(common):
        control /= _read(common, _MAX_POINTER).strip()
        look.git_folder(control)
    waiting = [control / "objects"]
    while waiting:
        objects = waiting.pop()
        listed = objects / "info" / "alternates"
        if _exists(listed):
            for line in _read(listed, _MAX_ALTERNATES).splitlines():
                if line.strip() and not line.startswith("#"):
                    waiting.append(objects / line.strip())
                    look.alternate(waiting[-1])


class _Look:
    def __init__(self) -> None:
        self._left = _MAX_ENTRIES
        self._seen: set[tuple[int, int]] = set()
        self._alternates = 0

    def git_folder(self, folder: Path) -> None:
        """Look at what is in a git folder, and to every depth at what has objects and refs."""
        if folder.is_dir():
            for path in self._entries(folder):
                if Path(path).name in _BELOW:
                    self._walk(path)

    def alternate(self, folder: Path) -> None:
        self._alternates += 1
        if self._alternates > _MOST_ALTERNATES:
            raise ForgeError(
                "The repository borrows objects from too many others.", advice="Clone it in full."
            )
        if folder.is_dir():
            self._walk(os.fspath(folder))

    def require(self, path: Path) -> None:
        """Return where a path is no pipe and no device."""
        mode = os.stat(path).st_mode  # noqa: PTH116  # one call for paths and names alike
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise ForgeError(
                f"{path.name[:100]!a} in the repository's git folder is a pipe or a device.",
                advice="Remove it: git makes none.",
            )

    def _walk(self, folder: str) -> None:
        waiting = [folder]
        while waiting:
            waiting += self._entries(Path(waiting.pop()))

    def _entries(self, folder: Path) -> list[str]:
        """Return the folders in a folder that were not looked at before."""
        found = folder.stat()
        if (found.st_dev, found.st_ino) in self._seen:
            return []
        self._seen.add((found.st_dev, found.st_ino))
        folders = []
        with os.scandir(folder) as entries:
            for entry in entries:
                self._left -= 1
                if self._left < 0:
                    raise ForgeError(f"The git folder holds more than {_MAX_ENTRIES:,} files.")
                if entry.is_file(follow_symlinks=False):
                    continue
                if entry.is_dir():
                    folders.append(entry.path)
                elif _exists(Path(entry.path)):
                    self.require(Path(entry.path))
        return folders


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _read(path: Path, limit: int) -> str:
    """Return the text of a file, its end cut off where it is longer than anyone writes."""
    descriptor = os.open(path, _REGULAR)
    with os.fdopen(descriptor, "rb") as file:
        return os.fsdecode(file.read(limit))
