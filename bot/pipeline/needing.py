"""The files that other files ask for: read within bounds, and what is not read is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bot import finders, globs
from bot.model import Snapshot, Unread, UnreadReason
from bot.pipeline.reading import Reading

_ROUNDS = 4
"""How deep files may ask for further files."""
_NEEDED = 200
"""How many further files a run reads."""
_ASKED = 2000
"""How many paths and globs of further files a run looks for; most that may exist do not."""
_MATCHED = 150
"""How many files a run reads for globs: what GitLab includes at most."""
_MATCHED_BYTES = 32 * 1024 * 1024


def with_needed(
    snapshot: Snapshot, reading: Reading, left_out: Callable[[str], str | None] = lambda _path: None
) -> tuple[Snapshot, tuple[str, ...]]:
    """Return the snapshot with the files that its files ask for, by path or by glob, and what they asked."""
    needed = _Needed(snapshot, reading, left_out)
    asked: set[str] = set()
    for _ in range(_ROUNDS):
        wanted = sorted(finders.needs(needed.files) - asked)
        asked.update(wanted)
        wanted = needed.bounded(wanted, _ASKED - len(asked) + len(wanted))
        if not wanted:
            break
        needed.read([one for one in wanted if "*" not in one])
        needed.match([one for one in wanted if "*" in one])
    unread = snapshot.unread + tuple(needed.unread[path] for path in sorted(needed.unread))
    return replace(snapshot, files=needed.files, unread=unread), tuple(sorted(asked))


class _Needed:
    """Files that other files ask for: bounded, and what is not read is said."""

    _BATCH = 50

    def __init__(self, snapshot: Snapshot, reading: Reading, left_out: Callable[[str], str | None]) -> None:
        self.files = dict(snapshot.files)
        self.unread: dict[str, Unread] = {}
        self._reading = reading
        self._left_out = left_out
        self._known = {one.path for one in snapshot.unread}
        self._room = _NEEDED
        self._matches = _MATCHED
        self._bytes = _MATCHED_BYTES
        self._listing: list[str] | None = None

    def read(self, paths: Sequence[str]) -> None:
        """Read files by path."""
        for start in range(0, len(paths), self._BATCH):
            found = self._reading.read(paths[start : start + self._BATCH])
            taken = self.bounded(sorted(found), self._room)
            self._room -= len(taken)
            self.files.update((path, found[path]) for path in taken)

    def match(self, patterns: Sequence[str]) -> None:
        """Read the files that globs stand for."""
        if not patterns:
            return
        if self._listing is None:
            self._listing = self._list()
        matched = {path for one in patterns for path in globs.select(one, self._listing)}
        fresh = sorted(path for path in matched if path not in self.files and path not in self._known)
        chosen = frozenset(self.bounded(fresh, self._matches))
        self._matches -= len(chosen)
        if not chosen:
            return
        made = self._reading.snapshot(lambda path, _head: path in chosen, self._left_out)
        for path, data in made.files.items():
            self._bytes -= len(data)
            if self._bytes >= 0:
                self.files[path] = data
            else:
                self._say(path, f"one of the files asked for that hold more than {_MATCHED_BYTES:,} bytes")
        self.unread.update((one.path, one) for one in made.unread if one.path in chosen)

    def bounded(self, wanted: list[str], room: int) -> list[str]:
        """Return as many as there is room for; the first of the others is said."""
        if len(wanted) > max(room, 0):
            rest = len(wanted) - max(room, 0)
            self._say(
                wanted[max(room, 0)], f"one of {rest} more files than are read for others that ask for them"
            )
        return wanted[: max(room, 0)]

    def _say(self, path: str, detail: str) -> None:
        self.unread[path] = Unread(path=path, reason=UnreadReason.UNREADABLE, detail=detail)

    def _list(self) -> list[str]:
        """Return the paths of all files, none of which is opened."""
        found: set[str] = set()

        def note(path: str, _head: bytes) -> bool:
            found.add(path)
            return False

        self._reading.snapshot(note, self._left_out)
        return sorted(found)
