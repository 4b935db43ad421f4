"""Threads that our own account began on a pull request, as GraphQL tells of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

THREADS = """
reviewThreads(first: 100, after: $after) {
  nodes {
    id isResolved line startLine originalLine
    comments(first: 1) {
      nodes {
        id fullDatabaseId isMinimized body path
        author { __typename login }
        pullRequestReview { id fullDatabaseId }
      }
    }
  }
  pageInfo { hasNextPage endCursor }
}
"""
"""What is asked of a pull request, with a variable `$after`."""
_MOST_KEPT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A thread that our own account began."""

    id: str
    resolved: bool
    comment: str
    """The node id of its first comment."""
    number: int
    """Its REST id."""
    path: str
    line: int
    """The line that it was begun on."""
    now: int | None
    """The first of the lines of the newest file that it stands on; None for none of them."""
    body: str
    review: int
    review_node: str


class Told:
    """Threads that were told along with a pull request, by repository and number, each set taken once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, int], tuple[str, tuple[Thread, ...]]] = OrderedDict()

    def put(self, repository: str, number: int, head: str, threads: tuple[Thread, ...]) -> None:
        """Keep what was told together with a head."""
        with self._lock:
            self._known[repository.lower(), number] = head, threads
            self._known.move_to_end((repository.lower(), number))
            if len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)

    def take(self, repository: str, number: int, head: str) -> tuple[Thread, ...] | None:
        """Return what was told together with a head, or None, and forget it."""
        with self._lock:
            found = self._known.pop((repository.lower(), number), None)
        return found[1] if found is not None and found[0] == head else None


def threads(connection: object, is_ours: Callable[[Mapping[str, Any]], bool]) -> Iterator[Thread]:
    """Yield the threads of a page that our account began."""
    for node in below(connection, "nodes") or ():
        one = _thread(node, is_ours)
        if one is not None:
            yield one


def following(connection: object) -> str | None:
    """Return where the next page begins, or None."""
    after = below(connection, "pageInfo", "endCursor")
    more = below(connection, "pageInfo", "hasNextPage") is True
    return after if more and isinstance(after, str) else None


def _thread(node: Any, is_ours: Callable[[Mapping[str, Any]], bool]) -> Thread | None:
    first = next(iter(below(node, "comments", "nodes") or ()), None)
    author = below(first, "author")
    if not isinstance(first, dict) or not isinstance(author, dict) or not is_ours(author):
        return None
    try:
        return Thread(
            id=str(node["id"]),
            resolved=bool(node["isResolved"]) or bool(first["isMinimized"]),
            comment=str(first["id"]),
            number=int(first["fullDatabaseId"]),
            path=str(first["path"]),
            line=int(node["originalLine"] or 0),
            now=first_line(node.get("startLine"), node.get("line")),
            body=str(first["body"]),
            review=int(below(first, "pullRequestReview", "fullDatabaseId") or 0),
            review_node=str(below(first, "pullRequestReview", "id") or ""),
        )
    except (KeyError, TypeError, ValueError):
        return None


def first_line(start: object, line: object) -> int | None:
    """Return the first line of a comment by what GitHub says of both ends; None for one that is outdated."""
    if not isinstance(line, int):
        return None
    return start if isinstance(start, int) else line


def below(start: Any, *keys: str) -> Any:
    """Return what is at the end of a way through mappings; None where it ends before."""
    for key in keys:
        start = start.get(key) if isinstance(start, dict) else None
    return start
