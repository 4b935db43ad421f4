"""What is an ancestor of what: the walk that git makes, by dates and with marks.

dulwich's own gives wrong answers where commits of one second are merged.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

Parents = Callable[[bytes], tuple[int, Sequence[bytes]]]
"""Returns of a commit its time and its parents; raises `KeyError` for one that is not there."""

_ONE, _OTHER, _STALE = 1, 2, 4


def merge_bases(one: bytes, other: bytes, parents: Parents) -> list[bytes]:
    """Return the best common ancestors of two commits, newest first; none where there is none.

    Best is what no other common ancestor comes after.  Raises what `parents` raises.
    """
    found = _common(one, other, parents)
    return [
        commit
        for commit in found
        if not any(commit != later and is_ancestor(commit, later, parents) for later in found)
    ]


def is_ancestor(one: bytes, other: bytes, parents: Parents) -> bool:
    """Return whether a commit is another one, or comes before it; raises what `parents` raises."""
    return one in _common(one, other, parents)


def _common(one: bytes, other: bytes, parents: Parents) -> list[bytes]:
    """Return the common ancestors that are met first, newest first; worse ones may be among them."""
    marks: dict[bytes, int] = {}
    times: dict[bytes, int] = {}
    queue: list[tuple[int, bytes]] = []
    waiting: set[bytes] = set()
    fresh = 0
    """How many in the queue may still lead to something new."""

    def mark(commit: bytes, more: int) -> None:
        nonlocal fresh
        before = marks.get(commit, 0)
        if before | more == before:
            return
        marks[commit] = before | more
        if commit not in times:
            times[commit] = parents(commit)[0]
        if commit not in waiting:
            waiting.add(commit)
            heapq.heappush(queue, (-times[commit], commit))
            fresh += not marks[commit] & _STALE
        elif not before & _STALE and more & _STALE:
            fresh -= 1

    mark(one, _ONE)
    mark(other, _OTHER)
    results: dict[bytes, None] = {}
    while fresh:
        _, commit = heapq.heappop(queue)
        waiting.discard(commit)
        flags = marks[commit]
        fresh -= not flags & _STALE
        if flags & (_ONE | _OTHER) == _ONE | _OTHER:
            if not flags & _STALE:
                results[commit] = None
            flags |= _STALE
        for parent in parents(commit)[1]:
            mark(parent, flags)
    return sorted(
        (commit for commit in results if not marks[commit] & _STALE), key=lambda found: -times[found]
    )
