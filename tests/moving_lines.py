"""Where the lines of a file are after an edit, as both forges follow them for what was said on them."""

from __future__ import annotations

import difflib
from itertools import takewhile


def followed(old: bytes, new: bytes) -> dict[int, int]:
    """Return the new number of each old line that a diff leaves, both 1-based.

    As git does it, equal lines at the beginning are taken off first, and then those at the end.
    """
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    most = min(len(before), len(after))
    head = sum(1 for _ in takewhile(lambda place: before[place] == after[place], range(most)))
    tail = sum(1 for _ in takewhile(lambda place: before[-place] == after[-place], range(1, most - head + 1)))
    found = {place + 1: place + 1 for place in range(head)}
    found |= {len(before) - place: len(after) - place for place in range(tail)}
    middle = difflib.SequenceMatcher(
        a=before[head : len(before) - tail], b=after[head : len(after) - tail], autojunk=False
    )
    for one in middle.get_matching_blocks():
        found |= {head + one.a + place + 1: head + one.b + place + 1 for place in range(one.size)}
    return found
