"""Unified diffs from edits.  An edit never adds or removes a line, so no search is needed."""

from __future__ import annotations

import re
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
        for part, line in _hunk(before[first:last], after[first:last]):
            yield Line(part, _SIGN[part] + _shown(line))


def patch(path: str, old: bytes, new: bytes) -> bytes:
    """Return the same change for programs: `git apply` and `patch` make exactly `new` of `old` with it.

    Nothing is replaced in it, so it is no text for a terminal.  Raises `ValueError` as `diff` does.
    """
    before, after = _ended(old), _ended(new)
    changed = [number for number, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    if not changed:
        return b""
    made = [b"--- " + _name(f"a/{path}"), b"+++ " + _name(f"b/{path}")]
    for first, last in _hunks(changed, len(before)):
        place = f"{first + 1},{last - first}"
        made.append(f"@@ -{place} +{place} @@\n".encode())
        for part, line in _hunk(before[first:last], after[first:last]):
            made.append(_SIGN[part].encode() + line)
            if not line.endswith(b"\n"):
                made.append(b"\n\\ No newline at end of file\n")
    return b"".join(made)


_SIGN = {Part.SAME: " ", Part.OLD: "-", Part.NEW: "+"}
_PLAIN = re.compile(rb"[ !#-\[\]-~]+")


def _name(path: str) -> bytes:
    """Return a line with a path as git writes it: quoted where a byte could be misread."""
    data = path.encode("utf-8", "surrogateescape")
    if _PLAIN.fullmatch(data):
        return data + (b"\t\n" if b" " in data else b"\n")  # the tab ends a name with blanks for `patch`
    quoted = "".join(chr(byte) if _PLAIN.fullmatch(bytes([byte])) else f"\\{byte:03o}" for byte in data)
    return f'"{quoted}"\n'.encode()


def _hunk(before: list[bytes], after: list[bytes]) -> Iterator[tuple[Part, bytes]]:
    olds: list[bytes] = []
    news: list[bytes] = []
    for old, new in zip(before, after, strict=True):
        if old != new:
            olds.append(old)
            news.append(new)
            continue
        yield from _replaced(olds, news)
        olds, news = [], []
        yield Part.SAME, old
    yield from _replaced(olds, news)


def _replaced(olds: list[bytes], news: list[bytes]) -> Iterator[tuple[Part, bytes]]:
    yield from ((Part.OLD, line) for line in olds)
    yield from ((Part.NEW, line) for line in news)


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


def _ended(data: bytes) -> list[bytes]:
    """Return the lines with their ends, of which only `\\n` is one here."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _shown(line: bytes) -> str:
    text = line.removesuffix(b"\r").decode("utf-8", "replace")
    return visible(text.replace("\t", "    "), _WIDTH)
