"""Unified diffs from edits.  An edit never adds or removes a line, so no search is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from bot.visible import visible

_CONTEXT = 3
_WIDTH = 2_000


class Part(StrEnum):
    FILE = "file"
    HUNK = "hunk"
    OLD = "old"
    NEW = "new"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Line:
    part: Part
    text: str


def diff(path: str, old: bytes, new: bytes) -> Iterator[Line]:
    """Yield the lines of a unified diff; control characters are shown as U+FFFD.

    Raises `ValueError` where the two have not as many lines.
    """
    before, after = _lines(old), _lines(new)
    changed = [number for number, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    if not changed:
        return
    name = visible(path, _WIDTH)
    yield Line(Part.FILE, f"--- a/{name}")
    yield Line(Part.FILE, f"+++ b/{name}")
    for first, last in _hunks(changed, len(before)):
        length = last - first
        yield Line(Part.HUNK, f"@@ -{first + 1},{length} +{first + 1},{length} @@")
        yield from _hunk(before[first:last], after[first:last])


def _hunk(before: list[bytes], after: list[bytes]) -> Iterator[Line]:
    olds: list[Line] = []
    news: list[Line] = []
    for old, new in zip(before, after, strict=True):
        if old == new:
            yield from olds
            yield from news
            olds, news = [], []
            yield Line(Part.SAME, " " + _shown(old))
        else:
            olds.append(Line(Part.OLD, "-" + _shown(old)))
            news.append(Line(Part.NEW, "+" + _shown(new)))
    yield from olds
    yield from news


def _hunks(changed: list[int], total: int) -> Iterator[tuple[int, int]]:
    first, last = max(0, changed[0] - _CONTEXT), changed[0] + _CONTEXT + 1
    for number in changed[1:]:
        if number - _CONTEXT <= last:
            last = number + _CONTEXT + 1
        else:
            yield first, min(last, total)
            first, last = number - _CONTEXT, number + _CONTEXT + 1
    yield first, min(last, total)


def _lines(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def _shown(line: bytes) -> str:
    text = line.removesuffix(b"\r").decode("utf-8", "replace")
    return visible(text.replace("\t", "    "), _WIDTH)
