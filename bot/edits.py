"""Edits, and the proof that they do what was meant: splice, find again, compare."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from bot.model import Edit, Finding, Location, Reference, State
from bot.source import splice

_MAX_PATH = 4096


def apply(files: Mapping[str, bytes], edits: Iterable[Edit]) -> dict[str, bytes]:
    """Return the new bytes of each file that the edits touch.

    Raises `ValueError` where an edit does not fit its file.
    """
    by_path: dict[str, list[Edit]] = defaultdict(list)
    for edit in edits:
        by_path[edit.path].append(edit)
    return {path: splice(files[path], made) for path, made in by_path.items()}


def is_plain(path: str) -> bool:
    """Return whether a path is one that the publish guard lets be written."""
    unseen = any(unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") for character in path)
    return not unseen and "\\" not in path and len(path) <= _MAX_PATH


def confirm(
    before: Sequence[Finding],
    after: Sequence[Finding],
    targets: Mapping[Location, Reference],
    edits: Iterable[Edit],
) -> str | None:
    """Return None where finding again shows exactly what was meant, else what is wrong.

    Each finding must stand where the edits moved it, in the same order; an edited one must be
    pinned to its target and any other one must be as it was.
    """
    moved = _Moves(edits)
    if len(before) != len(after):
        return f"{len(after)} references instead of {len(before)} after the edit"
    for old, new in zip(sorted(before, key=_place), sorted(after, key=_place), strict=True):
        start = old.location.span.start
        if (new.location.path, new.location.span.start) != (
            old.location.path,
            moved.position(old.location.path, start),
        ):
            return f"a reference moved from byte {start} to {new.location.span.start} of {new.location.path}"
        target = targets.get(old.location)
        if target is None and (old.value, old.state, old.skip) != (new.value, new.state, new.skip):
            return f"{old.value!r} became {new.value!r}, which was not meant"
        if target is not None and (new.reference != target or new.state is not State.PINNED):
            return f"{old.value!r} became {new.value!r} instead of {target}"
    return None


def _place(finding: Finding) -> tuple[str, int, int, str]:
    span = finding.location.span
    return finding.location.path, span.start, span.end, finding.where


class _Moves:
    """Where a byte offset before the edits is after them."""

    def __init__(self, edits: Iterable[Edit]) -> None:
        by_path: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for edit in edits:
            # In halves of a byte: what is put in right at an offset moves only what is behind it.
            place = 2 * edit.span.end + (edit.span.start == edit.span.end)
            by_path[edit.path].append((place, len(edit.replacement) - len(edit.expected)))
        self._places: dict[str, list[int]] = {}
        self._sums: dict[str, list[int]] = {}
        for path, moves in by_path.items():
            moves.sort()
            self._places[path] = [place for place, _ in moves]
            self._sums[path] = list(accumulate((moved for _, moved in moves), initial=0))

    def position(self, path: str, offset: int) -> int:
        if path not in self._places:
            return offset
        return offset + self._sums[path][bisect_right(self._places[path], 2 * offset)]
