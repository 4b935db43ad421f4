"""Inline marks: `# moorline: ignore[reason]` on a reference's line or in the comment above it.

Flux has marks of its own, `# {"$imagepolicy": "namespace:name"}` behind the image that it keeps up to date.
In a Dockerfile the comment may also stand above an instruction that goes on over several lines;
the reference's own line cannot hold one there, unless it is a shell's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bot.model import Finding
from bot.source import Source

_MARK = re.compile(rb"(?<![^\s\xbf])#[ \t]*moorline:[ \t]*([^\r\n]{0,400})")
_IGNORE = re.compile(rb"ignore\[([^\[\]]{1,300})\]")
_COMMENT = re.compile(rb"[ \t]*(?:\xef\xbb\xbf)?#")
_POLICY = re.compile(rb'#[^\r\n"]{0,40}"\$imagepolicy"[ \t]{0,20}:[ \t]{0,20}"([A-Za-z0-9._:-]{1,512})"')
_LINES = 500
"""Lines that an instruction is followed upwards."""
_FORM = "write `# moorline: ignore[reason]`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One comment that speaks to us."""

    line: int
    start: int
    """Byte offset of its `#`."""
    alone: bool
    reason: str
    """Why the reference is ignored; empty where the mark is not understood."""

    @property
    def trouble(self) -> str:
        """What is wrong with a mark that is not understood, for people."""
        return f"the mark in line {self.line} is not understood: {_FORM}"


class Marks:
    """The marks of a snapshot's files, each file read once and only if asked for."""

    __slots__ = ("_files", "_known", "_policies")

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._known: dict[str, _Marked | None] = {}
        self._policies: dict[str, dict[int, str]] = {}

    def of(self, finding: Finding) -> Mark | None:
        """Return the mark that speaks of a finding."""
        path = finding.location.path
        if path not in self._known:
            data = self._files.get(path, b"")
            self._known[path] = _Marked(path, data) if b"moorline:" in data else None
        marked = self._known[path]
        return marked.of(finding) if marked is not None else None

    def image_policy(self, finding: Finding) -> str | None:
        """Return the Flux image policy that writes the tag of a finding, `namespace:name`, or None.

        Flux reads its mark behind a value and in the comment line above.
        """
        path = finding.location.path
        if path not in self._policies:
            data = self._files.get(path, b"")
            self._policies[path] = _policies(path, data) if b'"$imagepolicy"' in data else {}
        return self._policies[path].get(finding.location.line)


def _policies(path: str, data: bytes) -> dict[int, str]:
    """Return the image policies that a file's marks name, by the line that each speaks of."""
    source = Source(path, data)
    behind: dict[int, str] = {}
    above: dict[int, str] = {}
    for found in _POLICY.finditer(data):
        line = source.line_at(found.start())
        name = ":".join(found[1].decode("ascii").split(":")[:2])
        if _COMMENT.match(data, source.starts[line - 1]):
            above[line + 1] = name
        else:
            behind[line] = name
    return above | behind


class _Marked:
    def __init__(self, path: str, data: bytes) -> None:
        self._source = Source(path, data)
        self._by_line = {mark.line: mark for mark in map(self._mark, _MARK.finditer(data))}
        self._first: dict[int, int] = {}
        head = data[:400].splitlines()[:4]
        self._escape = b"`" if any(b"escape=`" in line.replace(b" ", b"") for line in head) else b"\\"

    def _mark(self, found: re.Match[bytes]) -> Mark:
        line = self._source.line_at(found.start())
        text = _IGNORE.match(found[1])
        return Mark(
            line=line,
            start=found.start(),
            alone=self._is_comment(line),
            reason=text[1].decode("utf-8", "replace").strip() if text else "",
        )

    def of(self, finding: Finding) -> Mark | None:
        if not self._by_line:
            return None
        line = finding.location.line
        here = self._by_line.get(line)
        if here is not None and here.start >= finding.location.span.end:
            return here
        above = self._above(line)
        if above is None and finding.format == "dockerfile":
            first = self._first_line(line)
            return self._above(first) if first != line else None
        return above

    def _above(self, line: int) -> Mark | None:
        for number in range(line - 1, max(0, line - _LINES), -1):
            if not self._is_comment(number):
                return None
            found = self._by_line.get(number)
            if found is not None:
                return found
        return None

    def _first_line(self, line: int) -> int:
        """Return the line at which a Dockerfile's instruction begins; each line is looked at once."""
        first, passed = line, [line]
        for number in range(line - 1, 0, -1):
            if number in self._first:
                if self._goes_on(number):
                    first = self._first[number]
                break
            end = self._end(number)
            if end and not self._is_comment(number):
                if not end.endswith(self._escape):
                    break
                first = number
                passed.append(number)
        self._first.update(dict.fromkeys(passed, first))
        return first

    def _goes_on(self, line: int) -> bool:
        return self._end(line).endswith(self._escape)

    def _is_comment(self, line: int) -> bool:
        return _COMMENT.match(self._source.data, self._source.starts[line - 1]) is not None

    def _end(self, line: int) -> bytes:
        starts, data = self._source.starts, self._source.data
        end = starts[line] if line < len(starts) else len(data)
        return data[max(starts[line - 1], end - 200) : end].rstrip()
