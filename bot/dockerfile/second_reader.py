"""An edited Dockerfile as a second, independent reader sees it: dockerfile-parse.

What it gets wrong, it gets wrong before and after an edit alike.  So neither reading is believed, only
their difference: the same instructions in the same lines, and in each no more words that changed than
edits were made in it.  It is imported where there is something to read.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from bot.model import Edit

MAX_BYTES = 64 * 1024
"""The second reader joins continued lines in time that grows with their square; what is larger it does not see."""
MAX_LINES = 4_000

_WORD = re.compile(r"\S+")


class _Instruction(NamedTuple):
    first: int
    """Its first and last line, counted from 0."""
    last: int
    words: tuple[str, ...]
    """Its name among them: behind an empty line it takes what goes on for a new instruction."""


def objection(before: bytes, after: bytes, edits: Sequence[Edit]) -> str | None:
    """Return what an edited file says to the second reader that was not meant, or None.

    None, too, where it cannot tell: in a file that is too large for it, or after an edit across lines.
    """
    if any(b"\n" in one.expected or b"\n" in one.replacement for one in edits):
        return None
    if max(len(before), len(after)) > MAX_BYTES or before.count(b"\n") > MAX_LINES:
        return None
    old, new = _read(before), _read(after)
    if [one[:2] for one in old] != [one[:2] for one in new]:
        return "a second reader of Dockerfiles sees other instructions after the edit"
    lines = Counter(before.count(b"\n", 0, one.span.start) for one in edits)
    for was, now in zip(old, new, strict=True):
        if was.words == now.words:
            continue
        room = sum(lines[line] for line in range(was.first, was.last + 1))
        if len(was.words) != len(now.words) or sum(map(str.__ne__, was.words, now.words)) > room:
            return f"a second reader of Dockerfiles sees more than the edit in line {was.first + 1}"
    return None


def _read(data: bytes) -> list[_Instruction]:
    from dockerfile_parse import DockerfileParser  # noqa: PLC0415 - start-up does without it

    # Bytes that are no UTF-8 would stop it, wherever they stand.
    text = io.BytesIO(data.decode("utf-8", "replace").encode("utf-8"))
    return [
        _Instruction(one["startline"], one["endline"], (one["instruction"], *_WORD.findall(one["value"])))
        for one in DockerfileParser(fileobj=text).structure
    ]
