"""What two forges have in common in reviewing: how a suggestion is fenced, and where a diff has room for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bot.model import ChangedFile, Remark

SETTLED = "Settled: nothing on this line is to be said any more."
"""Takes the place of a remark where a forge lets nobody resolve or hide it."""
_BACKTICKS = re.compile(r"`+")
_HUNK = re.compile(r"^@@ -\d{1,9}(?:,\d{1,9})? \+(\d{1,9})(?:,(\d{1,9}))? @@", re.MULTILINE)
"""No other line of a hunk begins so: each has a sign before it."""


def composed(remark: Remark, language: str) -> str:
    """Return a remark's Markdown with its suggestion, whose code block nothing in it ends."""
    if remark.suggestion is None:
        return remark.body
    longest = max((len(run) for run in _BACKTICKS.findall(remark.suggestion)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{remark.body}\n\n{fence}{language}\n{remark.suggestion}\n{fence}"


def hunks(patch: str) -> tuple[tuple[int, int], ...]:
    """Return the hunks of a file's unified diff as lines of the new file, those without lines left out."""
    found = []
    for match in _HUNK.finditer(patch):
        first, count = int(match[1]), int(match[2]) if match[2] is not None else 1
        if count:
            found.append((first, first + count - 1))
    return tuple(found)


def placed(remarks: Sequence[Remark], files: Iterable[ChangedFile]) -> tuple[list[Remark], list[Remark]]:
    """Return the remarks that lie within one hunk of a diff, and the others."""
    shown = {one.path: one.hunks for one in files}
    inside: list[Remark] = []
    outside: list[Remark] = []
    for one in remarks:
        fits = any(first <= one.first and one.last <= last for first, last in shown.get(one.path, ()))
        (inside if fits else outside).append(one)
    return inside, outside


def same(there: str, text: str) -> bool:
    """Return whether a comment holds a text, whatever a forge made of its line endings."""
    return there.replace("\r\n", "\n").strip() == text.replace("\r\n", "\n").strip()
