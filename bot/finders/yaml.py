"""The walker of YAML formats: a format is a table of paths plus its exceptions.

A path is written `jobs.*.container.image`: `*` stands for any key, `[]` for each item of a
sequence.  Merge keys are followed, so that what an anchor holds is found where it is used, and
reported once, at the place where it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bot.model import Unread
from bot.source import Source
from bot.yamltree import Node, Sequence, Tree, Unparsable, items

MAX_KEY = 100
"""Characters of a key that `where` shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A node that a path of the table leads to."""

    path: str
    """The table's path."""
    where: str
    """The path with the file's own keys: `jobs.build.container.image`."""
    node: Node
    parent: Node
    """The mapping or sequence that holds the node."""


class _Step:
    __slots__ = ("ends", "next")

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.next: dict[str, _Step] = {}


class Table:
    """Paths, ready to be walked."""

    __slots__ = ("_root",)

    def __init__(self, paths: Iterable[str]) -> None:
        self._root = _Step()
        for path in paths:
            step = self._root
            for part in path.replace("[]", ".[]").strip(".").split("."):
                step = step.next.setdefault(part, _Step())
            step.ends.append(path)

    def walk(self, tree: Tree) -> Iterator[Hit]:
        """Yield each node that a path leads to, once a path, in the order of the file's tree."""
        seen: set[tuple[int, int]] = set()
        for document in tree.documents:
            yield from self._descend(document, document, self._root, "", seen)

    def _descend(
        self, node: Node, parent: Node, step: _Step, where: str, seen: set[tuple[int, int]]
    ) -> Iterator[Hit]:
        mark = (id(node), id(step))
        if mark in seen:
            return
        seen.add(mark)
        for path in step.ends:
            yield Hit(path=path, where=where, node=node, parent=parent)
        if not step.next:
            return
        if isinstance(node, Sequence):
            below = step.next.get("[]")
            if below is not None:
                for number, item in enumerate(node.value):
                    yield from self._descend(item, node, below, f"{where}[{number}]", seen)
            return
        any_key = step.next.get("*")
        for key, value in items(node):
            name = str(key.value)
            for below in (step.next.get(name), any_key):
                if below is not None:
                    place = f"{where}.{shown(name)}" if where else shown(name)
                    yield from self._descend(value, node, below, place, seen)


def shown(name: str) -> str:
    """Return a key as `where` shows it: printable, and bounded since every place below repeats it."""
    if len(name) > MAX_KEY:
        name = f"{name[:MAX_KEY]}..."
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")


def unread(source: Source, trouble: Unparsable) -> Unread:
    """Return the report of a file that is no YAML."""
    return Unread(path=source.path, reason=trouble.reason, detail=trouble.detail, line=trouble.line)
