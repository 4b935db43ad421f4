"""Bytes, lines and spans of one file: where a thing stands, and putting another in its place."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.model import Edit, Location, Span

BOM = b"\xef\xbb\xbf"
_NEWLINE = re.compile(rb"\r\n|\n|\r")


class Source:
    """One file as stored.  Lines end at LF, CRLF or a lone CR, as YAML has them."""

    __slots__ = ("_starts", "data", "path")

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data
        self._starts: list[int] | None = None

    @property
    def starts(self) -> Sequence[int]:
        """Byte offsets at which lines start, the first being 0."""
        if self._starts is None:
            self._starts = [0, *(found.end() for found in _NEWLINE.finditer(self.data))]
        return self._starts

    def line_at(self, offset: int) -> int:
        """Return the 1-based number of the line that holds the byte at `offset`."""
        return bisect_right(self.starts, offset)

    def location(self, start: int, end: int) -> Location:
        """Return the place of the bytes from `start` to `end`."""
        line = self.line_at(start)
        return Location(
            path=self.path, span=Span(start, end), line=line, column=start - self.starts[line - 1]
        )


@dataclass(frozen=True, slots=True)
class Literal:
    """Text in a template that stands for itself; `start` and `end` count what the template counts."""

    text: str
    start: int
    end: int

    @property
    def plain(self) -> bool:
        """Whether the text stands there letter by letter."""
        return len(self.text) == self.end - self.start


class Text:
    """A file's text, and for each position in it the byte offset in the file.

    A byte order mark is not part of the text and is counted in the offsets.
    Raises `UnicodeDecodeError` where the bytes are not UTF-8.
    """

    __slots__ = ("_ascii", "_marks", "_skew", "text")

    _STEP = 512

    def __init__(self, data: bytes) -> None:
        self._skew = len(BOM) if data.startswith(BOM) else 0
        self.text = data[self._skew :].decode("utf-8")
        self._ascii = self.text.isascii()
        self._marks: list[int] | None = None

    def offset(self, index: int) -> int:
        """Return the byte offset of the character at `index`."""
        if self._ascii:
            return index + self._skew
        if self._marks is None:
            marks, total = [self._skew], self._skew
            for start in range(0, len(self.text), self._STEP):
                total += len(self.text[start : start + self._STEP].encode("utf-8"))
                marks.append(total)
            self._marks = marks
        step = index // self._STEP
        start = step * self._STEP
        return self._marks[step] + len(self.text[start:index].encode("utf-8"))


def splice(data: bytes, edits: Iterable[Edit]) -> bytes:
    """Return `data` with each edit's span replaced.

    Raises `ValueError` where edits overlap or the bytes that an edit expects do not stand there.
    """
    ordered = sorted(edits, key=lambda edit: (edit.span.start, edit.span.end))
    pieces: list[bytes] = []
    position = 0
    for edit in ordered:
        if edit.span.start < position or edit.span.end > len(data):
            raise ValueError(f"edits of {edit.path} overlap or leave the file at byte {edit.span.start}")
        if data[edit.span.start : edit.span.end] != edit.expected:
            raise ValueError(f"{edit.path} does not hold the expected bytes at {edit.span.start}")
        pieces += (data[position : edit.span.start], edit.replacement)
        position = edit.span.end
    pieces.append(data[position:])
    return b"".join(pieces)
