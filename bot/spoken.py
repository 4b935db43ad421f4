"""Which lines of a comment are plain text at their beginnings: no code, quote, comment or list.  Pure.

CommonMark as far as it matters here.  Where it is doubtful what a line is, it is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_FENCE = re.compile(r"[ \t]*(?:(?:[-*+]|[0-9]{1,9}[.)])[ \t]+)*(`{3,}|~{3,})([^\n]*)")
_CLOSES = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*\Z")
_QUOTE = re.compile(r" {0,3}>")
_COMMENT = re.compile(r" *<!--")
_LEFT_OUT = re.compile(r" {0,3}(?:[ \t]\t|\t| {4}|(?:[-*+]|[0-9]{1,9}[.)])[ \t])|    ")
"""Four blanks make code, and a mark makes a list: neither is a line of plain text."""
_HIDDEN = re.compile(
    r" {0,3}<(pre|script|style|textarea|blockquote|code|samp|kbd|template)(?=[\s>/]|\Z)", re.IGNORECASE
)
_INLINE = re.compile(r"\\.|`+|<!--", re.DOTALL)


def spoken(text: str, limit: int) -> Iterator[str]:
    """Yield the lines, of the first `limit` characters, that are plain text at their beginnings.

    Never raises, and takes time linear in the text.
    """
    cut = len(text) > limit
    lines = text[: limit + 1].replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if cut:
        lines.pop()  # the rest of it is not there
    reader = _Reader()
    for line in lines:
        yield from reader.take(line)
    yield from reader.end()


class _Reader:
    """Knows in which block a line stands."""

    def __init__(self) -> None:
        self._paragraph: list[str] = []
        self._fence = ""
        """What began the code block that goes on."""
        self._hidden = ""
        """What ends the comment or element that goes on, in lower case."""
        self._quoted = False

    def take(self, line: str) -> Iterator[str]:
        """Yield the lines of the paragraph that ends with this one, if one does."""
        if self._fence:
            closing = _CLOSES.match(line)
            if closing is not None and closing[1].startswith(self._fence):
                self._fence = ""
        elif self._hidden:
            self._hide(line, self._hidden)
        elif self._begins_block(line):
            yield from self.end()
            self._begin(line)
        elif not self._quoted:  # else it goes on with the quote, as Markdown has it
            self._paragraph.append(line)

    def end(self) -> Iterator[str]:
        """Yield the lines of the paragraph that begin outside of code spans and comments."""
        text = "\n".join(self._paragraph)
        covered, self._hidden = _covered(text)
        at = 0
        spans = iter(covered)
        start, stop = next(spans, _NOWHERE)
        for line in self._paragraph:
            while stop <= at:
                start, stop = next(spans, _NOWHERE)
            if start > at and not _LEFT_OUT.match(line):
                yield line
            at += len(line) + 1
        self._paragraph = []

    @staticmethod
    def _begins_block(line: str) -> bool:
        return (
            not line.strip()
            or _QUOTE.match(line) is not None
            or _fence(line) != ""
            or _COMMENT.match(line) is not None
            or _HIDDEN.match(line) is not None
        )

    def _begin(self, line: str) -> None:
        if self._hidden:  # a comment within the paragraph goes on
            self._hide(line, self._hidden)
            return
        if not line.strip():
            self._quoted = False
            return
        if _QUOTE.match(line):
            self._quoted = True
        if self._quoted:
            return
        self._fence = _fence(line)
        element = _HIDDEN.match(line)
        if self._fence:
            return
        if element is not None:
            self._hide(line, f"</{element[1].casefold()}")
        elif comment := _COMMENT.match(line):
            self._hide(line[comment.end() :], "-->")

    def _hide(self, line: str, until: str) -> None:
        self._hidden = "" if until in line.casefold() else until


_NOWHERE = (1 << 62, 1 << 62)


def _fence(line: str) -> str:
    """Return what a line opens a code block with, empty where it opens none."""
    found = _FENCE.match(line)
    if found is None or (found[1][0] == "`" and "`" in found[2]):
        return ""
    return found[1]


def _covered(text: str) -> tuple[list[tuple[int, int]], str]:
    """Return where code spans and comments are, in order, and what ends a comment that does not end here."""
    runs: dict[int, list[int]] = {}
    for run in re.finditer(r"`+", text):
        runs.setdefault(run.end() - run.start(), []).append(run.start())
    for places in runs.values():
        places.reverse()  # the next one is taken from the end
    made: list[tuple[int, int]] = []
    at = 0
    while (found := _INLINE.search(text, at)) is not None:
        sign, start, at = found[0], found.start(), found.end()
        if sign[0] == "\\":
            at = start + 2  # a run of backticks behind an escaped one is shorter by that
        elif sign[0] == "`":
            places = runs.get(len(sign), [])
            while places and places[-1] < at:
                places.pop()
            if places:
                at = places.pop() + len(sign)
                made.append((start, at))
        else:
            end = text.find("-->", at)
            if end < 0:
                return [*made, (start, _NOWHERE[0])], "-->"
            at = end + 3
            made.append((start, at))
    return made, ""
