"""Where a scalar of a GitLab file stands, and the exact text there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bot.model import Location, Span
from bot.yamltree import Mapping, Node, Scalar, Tree

MAX_KEY = 100
"""Characters of a key that `where` shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A scalar's value in its file; `raw` is the text of exactly those bytes."""

    where: str
    location: Location
    raw: str
    plain: bool
    """Whether the value stands there letter by letter."""

    def part(self, start: int, end: int) -> Place:
        """Return the place of some characters of a plain value."""
        before = len(self.raw[:start].encode())
        length = len(self.raw[start:end].encode())
        at = self.location
        return replace(
            self,
            raw=self.raw[start:end],
            location=Location(
                path=at.path,
                span=Span(at.span.start + before, at.span.start + before + length),
                line=at.line,
                column=at.column + before,
            ),
        )


def place(tree: Tree, node: Scalar, where: str) -> Place:
    """Return where a scalar's value stands; all of its text where there is no plain span."""
    span = tree.span(node)
    plain = span is not None
    span = span or tree.raw(node)
    return Place(
        where=where,
        location=tree.source.location(span.start, span.end),
        raw=tree.source.data[span.start : span.end].decode("utf-8"),
        plain=plain,
    )


def marked(tree: Tree, node: Node, where: str) -> Place | None:
    """Return where a template's `{{ name }}` stands that YAML reads as a mapping in a mapping, else None."""
    if not isinstance(node, Mapping) or len(node.value) != 1 or not isinstance(node.value[0][0], Mapping):
        return None
    span = tree.raw(node)
    location = tree.source.location(span.start, span.end)
    raw = tree.source.data[span.start : span.end].decode("utf-8")
    return Place(where=where, location=location, raw=raw, plain=False)


def key(where: str, name: str) -> str:
    """Return a key path one level down; long and unprintable keys are cut and escaped."""
    if len(name) > MAX_KEY:
        name = f"{name[:MAX_KEY]}..."
    if not name.isprintable():
        name = name.encode("unicode_escape").decode("ascii")
    return f"{where}.{name}" if where else name
