"""YAML files as trees of nodes whose places in the file are known to the byte.

Two loaders, one result: PyYAML's C loader is some thirty times faster, ruamel.yaml's pure one
reads what the first refuses (YAML 1.2, U+0085 in plain scalars).  Only node graphs are made;
nothing is constructed, so tags of any kind (`!reference`) are harmless and aliases are shared
nodes rather than copies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bot.model import Span
from bot.source import Source, Text

__all__ = ["Mapping", "Node", "Scalar", "Sequence", "Tree", "Unparsable", "compose"]

Scalar: TypeAlias = ScalarNode
Mapping: TypeAlias = MappingNode
Sequence: TypeAlias = SequenceNode

MAX_DEPTH = 200
"""Levels of nesting; real files stay under 30.  The C loader recurses on the C stack."""
SLOW_LIMIT = 256 * 1024
"""Bytes up to which the slow loader has a try at what the fast one refuses."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LEAD = re.compile(r"^[ \t?:-]{100,}", re.MULTILINE)
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*[ \t]+)+")
_TRAILING = re.compile(r"[ \t]*(#[^\r\n]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unparsable:
    """Why a file is no YAML, and the 1-based line at which it ceased to be."""

    line: int | None
    detail: str


class Tree:
    """The documents of one YAML file, and the byte span of each scalar's value."""

    __slots__ = ("documents", "source", "text")

    def __init__(self, source: Source, text: Text, documents: tuple[Node, ...]) -> None:
        self.source = source
        self.text = text
        self.documents = documents

    def span(self, node: Node) -> Span | None:
        """Return the bytes of a scalar's value, without quotes, anchors and tags.

        None where the file does not hold the value letter by letter on one line: escapes,
        folded lines, values of several lines.
        """
        if not isinstance(node, ScalarNode) or not node.value:
            return None
        start, end = node.start_mark.index, node.end_mark.index
        raw = self.text.text[start:end]
        if node.style in ("|", ">"):
            return self._block_span(node, start, raw)
        found = _PROPERTIES.match(raw)
        if found:
            start += found.end()
            raw = raw[found.end() :]
        if node.style in ("'", '"'):
            if len(raw) < 2 or raw[0] != node.style or raw[-1] != node.style:
                return None
            start += 1
            raw = raw[1:-1]
        if raw != node.value:
            return None
        return Span(self.text.offset(start), self.text.offset(start + len(raw)))

    def _block_span(self, node: ScalarNode, start: int, raw: str) -> Span | None:
        value = node.value.strip("\n")
        if not value or "\n" in value:
            return None
        header = raw.find("\n")
        body = raw[header + 1 :] if header >= 0 else ""
        at = body.find(value)
        if at < 0 or body[:at].strip(" \n") or body[at + len(value) :].strip(" \r\n"):
            return None
        start += header + 1 + at
        return Span(self.text.offset(start), self.text.offset(start + len(value)))

    def line(self, node: Node) -> int:
        """Return the 1-based line at which a node starts."""
        return int(node.start_mark.line) + 1

    def behind(self, node: Node) -> tuple[Span, str] | None:
        """Return the comment behind a scalar on its line as span and text.

        The span is empty, right behind the scalar, where there is no comment; None where
        something else follows on the line, or where the scalar is a block scalar.
        """
        if not isinstance(node, ScalarNode) or node.style in ("|", ">"):
            return None
        end = node.end_mark.index
        text = self.text.text
        found = _TRAILING.match(text, end)
        if found is None or (found.end() < len(text) and text[found.end()] not in "\r\n"):
            return None
        if found[1] is None or found.start(1) == end:
            return Span(self.text.offset(end), self.text.offset(end)), ""
        return Span(self.text.offset(found.start(1)), self.text.offset(found.end(1))), found[1]


def compose(source: Source) -> Tree | Unparsable:
    """Return the node graphs of all documents in a file, or why they cannot be had.

    Never raises on any bytes, and takes time linear in the file's size but for the slow
    loader's try at up to `SLOW_LIMIT` bytes.
    """
    try:
        text = Text(source.data)
    except UnicodeDecodeError as error:
        return Unparsable(line=source.line_at(error.start), detail="not UTF-8")
    if (deep := _too_deep(text.text)) is not None:
        return deep
    try:
        return Tree(source, text, tuple(yaml.compose_all(text.text, Loader=_Loader)))
    except yaml.YAMLError as error:
        fast = _unparsable(error)
    except RecursionError:
        return Unparsable(line=None, detail=f"nested deeper than {MAX_DEPTH} levels")
    except ValueError as error:  # PyYAML lets UnicodeEncodeError of lone surrogates through
        fast = Unparsable(line=None, detail=str(error))
    if len(source.data) > SLOW_LIMIT:
        return fast
    return _compose_slowly(source, text) or fast


def _compose_slowly(source: Source, text: Text) -> Tree | None:
    from ruamel.yaml import YAML  # noqa: PLC0415 - a third of the start-up, for one file in a thousand

    try:
        documents = tuple(YAML(typ="safe", pure=True).compose_all(text.text))
        return Tree(source, text, tuple(_as_pyyaml(document) for document in documents))
    except Exception:  # noqa: BLE001 - hostile input: ruamel.yaml leaks IndexError, ValueError and others
        return None


def _as_pyyaml(root: Any) -> Node:
    """Return a ruamel.yaml graph as PyYAML's node classes: shared nodes stay shared."""
    made: dict[int, Node] = {}

    def convert(node: Any) -> Node:
        if id(node) in made:
            return made[id(node)]
        fresh: Node
        start, end = node.start_mark, node.end_mark
        if node.id == "scalar":
            fresh = ScalarNode(str(node.tag), node.value, start, end, style=node.style)
            made[id(node)] = fresh
        elif node.id == "sequence":
            fresh = SequenceNode(str(node.tag), [], start, end, flow_style=node.flow_style)
            made[id(node)] = fresh
            fresh.value.extend(convert(item) for item in node.value)
        else:
            fresh = MappingNode(str(node.tag), [], start, end, flow_style=node.flow_style)
            made[id(node)] = fresh
            fresh.value.extend((convert(key), convert(value)) for key, value in node.value)
        return fresh

    return convert(root)


def _unparsable(error: yaml.YAMLError) -> Unparsable:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    return Unparsable(line=mark.line + 1 if mark else None, detail=str(problem))


def _too_deep(text: str) -> Unparsable | None:
    """Return where nesting passes `MAX_DEPTH`; the events are counted only if it might."""
    if text.count("[") + text.count("{") < MAX_DEPTH and not _LEAD.search(text):
        return None
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    mark = event.start_mark
                    return Unparsable(
                        line=mark.line + 1 if mark else None, detail=f"nested deeper than {MAX_DEPTH} levels"
                    )
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except (yaml.YAMLError, ValueError):
        return None  # the loader meets the same error, no deeper than here
    return None


def items(node: Node | None) -> Iterator[tuple[ScalarNode, Node]]:
    """Yield a mapping's scalar keys with their values, merge keys (`<<`) resolved.

    The mapping's own keys come first; merged ones only where not set already.  Anything that is
    no mapping yields nothing.
    """
    if not isinstance(node, MappingNode):
        return
    own = [(key, value) for key, value in node.value if isinstance(key, ScalarNode)]
    names = {key.value for key, _ in own}
    yield from ((key, value) for key, value in own if key.value != "<<")
    pending = [value for key, value in own if key.value == "<<"]
    seen = {id(node)}
    while pending:
        merged = pending.pop(0)
        if id(merged) in seen:
            continue
        seen.add(id(merged))
        if isinstance(merged, SequenceNode):
            pending[:0] = merged.value
        elif isinstance(merged, MappingNode):
            for key, value in merged.value:
                if not isinstance(key, ScalarNode):
                    continue
                if key.value == "<<":
                    pending.append(value)
                elif key.value not in names:
                    names.add(key.value)
                    yield key, value


def get(node: Node | None, name: str) -> Node | None:
    """Return the value under a key of a mapping, merge keys resolved; the last one of equal keys."""
    found = None
    for key, value in items(node):
        if key.value == name:
            found = value
    return found


def scalar(node: Node | None) -> str | None:
    """Return a scalar's text, or None where the node is no scalar."""
    return str(node.value) if isinstance(node, ScalarNode) else None
