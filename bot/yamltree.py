"""YAML files as trees of nodes whose places in the file are known to the byte.

Two loaders, one result: PyYAML's C loader is some thirty times faster, ruamel.yaml's pure one
reads what the first refuses (YAML 1.2, U+0085 in plain scalars).  Only node graphs are made;
nothing is constructed, so tags of any kind (`!reference`) are harmless and aliases are shared
nodes rather than copies.
"""

from __future__ import annotations

import gc
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml
from yaml.composer import ComposerError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bot.model import Span, UnreadReason
from bot.source import Source, Text

__all__ = ["Mapping", "Node", "Scalar", "Sequence", "Tree", "Unparsable", "check", "compose"]

Scalar: TypeAlias = ScalarNode
Mapping: TypeAlias = MappingNode
Sequence: TypeAlias = SequenceNode

MAX_DEPTH = 200
"""Levels of nesting; real files stay under 30.  The C loader recurses on the C stack."""
SLOW_LIMIT = 256 * 1024
SLOW_TOTAL = 512 * 1024
"""Bytes that the slow loader, which takes some 12 seconds for a megabyte, tries within one `sparing`."""
"""Bytes up to which the slow loader has a try at what the fast one refuses."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_TAG_DIRECTIVES = 100
"""The C parser compares each `%TAG` with all before it: a megabyte of them takes ten seconds."""
MAX_MERGED = 100_000
"""Entries that merge keys may bring into mappings, all together; each walk pays for every one."""
_SLOW_WORK = 8 * SLOW_LIMIT
"""Bytes times levels of flow nesting: the slow scanner looks at every level for every token."""

_BREAK = r"\r\n\x85\u2028\u2029"
_LEAD = re.compile(rf"(?:\A|(?<=[{_BREAK}]))[\ufeff \t?:-]{{{MAX_DEPTH // 2},}}")
"""What nesting on the stack of the C loader needs: a block collection starts in a column behind
nothing but indentation and indicators, and no column starts more than two of them."""
_BRACKET = re.compile(r"[\[{\]}]")
_PROPERTIES = re.compile(r"(?:(?:&[^\s,\[\]{}]*|!<[^\s>]*>|![^\s,\[\]{}]*)[ \t]+)+")
_TRAILING = re.compile(r"[ \t]*(#[^\r\n]*)?")
_CONTROL = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML has no place for, not even quoted."""
_BLANKS = re.compile(r"(?:[\s\ufeff]|#[^\r\n]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unparsable:
    """Why a file is no YAML, and the 1-based line at which it ceased to be."""

    line: int | None
    detail: str
    reason: UnreadReason = UnreadReason.UNPARSABLE


_spent: ContextVar[list[int] | None] = ContextVar("spent", default=None)
"""Bytes that the slow loader was tried for in this look; None where nobody counts."""


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
        return self.source.line_at(self.text.offset(node.start_mark.index))

    def raw(self, node: Node) -> Span:
        """Return the bytes that a node takes in the file: quotes, anchors, tags and headers included."""
        start = node.start_mark.index
        length = len(self.text.text[start : node.end_mark.index].rstrip(" \t\r\n"))
        return Span(self.text.offset(start), self.text.offset(start + length))

    def behind(self, node: Node) -> tuple[Span, str] | None:
        """Return the comment behind a scalar on its line as span and text.

        The span is empty, right behind the scalar, where there is no comment; None where
        something else follows on the line or is glued to the scalar, within flow collections,
        and for block scalars.
        """
        if not isinstance(node, ScalarNode) or node.style in ("|", ">"):
            return None
        end = node.end_mark.index
        text = self.text.text
        found = _TRAILING.match(text, end)
        if found is None or (found.end() < len(text) and text[found.end()] not in "\r\n"):
            return None
        if found.start(1) == end or self._in_flow(found.end()):
            return None
        if found[1] is None:
            return Span(self.text.offset(end), self.text.offset(end)), ""
        return Span(self.text.offset(found.start(1)), self.text.offset(found.end(1))), found[1]

    def _in_flow(self, index: int) -> bool:
        """Return whether the next token from the end of a scalar's line on can only stand in flow."""
        text = self.text.text
        blanks = _BLANKS.match(text, index)
        return blanks is not None and text[blanks.end() : blanks.end() + 1] in {",", "]", "}"}


@contextmanager
def uncollected() -> Iterator[None]:
    """Return a context without the search for reference cycles, two thirds of the time that a large file takes.

    Nodes are many, and all of them are in use.  Where threads overlap, one of them searches early.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def sparing() -> Iterator[None]:
    """Return a context in which the slow loader is tried for `SLOW_TOTAL` bytes and no more.

    A repository of broken files must not keep anybody for long: behind that, what the fast loader
    refuses is refused.
    """
    token = _spent.set([0])
    try:
        yield
    finally:
        _spent.reset(token)


@uncollected()
def compose(source: Source) -> Tree | Unparsable:
    """Return the node graphs of all documents in a file, or why they cannot be had.

    Never raises on any bytes, and takes time linear in the file's size but for the slow
    loader's try at up to `SLOW_LIMIT` bytes.
    """
    text = _text(source)
    if isinstance(text, Unparsable):
        return text
    tree: Tree | None = None
    try:
        tree = Tree(source, text, tuple(yaml.compose_all(text.text, Loader=_Loader)))
    except yaml.YAMLError as error:
        fast = _unparsable(source, text, error)
    except RecursionError:
        return Unparsable(line=None, detail=f"nested deeper than {MAX_DEPTH} levels")
    except ValueError as error:  # PyYAML lets UnicodeEncodeError of lone surrogates through
        fast = Unparsable(line=None, detail=str(error))
    if tree is None:
        tree = _compose_slowly(source, text)
    if tree is None:
        return fast
    return _too_merged(tree) or tree


def check(source: Source) -> Unparsable | None:
    """Return why a file is no YAML, or None; never raises, on any bytes.

    For files of which nothing else is wanted: half the time of `compose`, and no memory to speak of.
    """
    text = _text(source)
    if isinstance(text, Unparsable):
        return text
    anchors: set[str] = set()
    try:
        for event in yaml.parse(text.text, Loader=_Loader):
            if isinstance(event, yaml.DocumentStartEvent):
                anchors.clear()
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in anchors:
                    mark: Any = event.start_mark  # the stubs tell the loaders' marks apart
                    raise ComposerError(None, None, "found undefined alias", mark)
            elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
                anchors.add(event.anchor)
    except yaml.YAMLError as error:
        fast = _unparsable(source, text, error)
    except ValueError as error:
        fast = Unparsable(line=None, detail=str(error))
    else:
        return None
    return None if _compose_slowly(source, text) is not None else fast


def _text(source: Source) -> Text | Unparsable:
    """Return a file's text, or why it must not reach the loaders."""
    try:
        text = Text(source.data)
    except UnicodeDecodeError as error:
        position = len(source.data) - len(error.object) + error.start
        return Unparsable(line=source.line_at(position), detail="not UTF-8", reason=UnreadReason.NOT_UTF8)
    return _too_much(source, text) or text


def _compose_slowly(source: Source, text: Text) -> Tree | None:
    if len(source.data) > SLOW_LIMIT or len(source.data) * _flow_depth(text.text) > _SLOW_WORK:
        return None
    spent = _spent.get()
    if spent is not None:
        if spent[0] + len(source.data) > SLOW_TOTAL:
            return None
        spent[0] += len(source.data)
    from ruamel.yaml import YAML  # noqa: PLC0415 - a third of the start-up, for one file in a thousand

    try:
        loader = YAML(typ="safe", pure=True)
        loader.composer.warn_double_anchors = False  # YAML allows them, and a warning goes nowhere
        documents = tuple(loader.compose_all(text.text))
        return Tree(source, text, tuple(_as_pyyaml(document) for document in documents))
    except Exception:  # noqa: BLE001 - hostile input: ruamel.yaml leaks IndexError, ValueError and others
        return None


def _flow_depth(text: str) -> int:
    """Return an upper bound for the nesting of flow collections: every bracket counts."""
    depth = deepest = 1
    for found in _BRACKET.finditer(text):
        depth += 1 if found[0] in "[{" else -1
        deepest = max(deepest, depth)
        depth = max(depth, 1)
    return deepest


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


def _unparsable(source: Source, text: Text, error: yaml.YAMLError) -> Unparsable:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = None
    if mark is not None:
        line = source.line_at(text.offset(min(mark.index, len(text.text))))
    elif isinstance(error, yaml.reader.ReaderError):
        control = _CONTROL.search(text.text)
        line = source.line_at(text.offset(control.start())) if control else None
    return Unparsable(line=line, detail=str(problem))


def _too_much(source: Source, text: Text) -> Unparsable | None:
    """Return why a file must not reach the loaders: what would crash or hang them."""
    if text.text.startswith("\ufeff"):
        return Unparsable(line=1, detail="a second byte order mark")
    if text.text.count("%TAG") > MAX_TAG_DIRECTIVES:
        return Unparsable(line=None, detail=f"more than {MAX_TAG_DIRECTIVES} tag directives")
    return _too_deep(source, text)


def _too_deep(source: Source, text: Text) -> Unparsable | None:
    """Return where nesting passes `MAX_DEPTH`; the events are counted only if it might."""
    if text.text.count("[") + text.text.count("{") < MAX_DEPTH and not _LEAD.search(text.text):
        return None
    depth = 0
    try:
        for event in yaml.parse(text.text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    mark = event.start_mark
                    line = source.line_at(text.offset(mark.index)) if mark else None
                    return Unparsable(line=line, detail=f"nested deeper than {MAX_DEPTH} levels")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except (yaml.YAMLError, ValueError):
        return None  # the loader meets the same error, no deeper than here
    return None


def _too_merged(tree: Tree) -> Unparsable | None:
    """Return which mapping brings the entries of merge keys past `MAX_MERGED`."""
    if "<<" not in tree.text.text:
        return None
    left = MAX_MERGED
    pending: list[Node] = list(tree.documents)
    seen: set[int] = set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, SequenceNode):
            pending += node.value
        elif isinstance(node, MappingNode):
            for key, value in node.value:
                pending += (key, value)
            for merged in _merges(node):
                left -= 1 + len(merged.value)
                if left < 0:
                    return Unparsable(
                        line=tree.line(node), detail=f"merge keys bring more than {MAX_MERGED} entries"
                    )
    return None


def _is_merge(key: Node) -> bool:
    return isinstance(key, ScalarNode) and key.value == "<<" and key.style not in ("'", '"')


def _merges(node: MappingNode) -> Iterator[MappingNode | SequenceNode]:
    """Yield what a mapping's merge keys lead to, sequences of mappings included, each once."""
    pending: deque[Node] = deque(value for key, value in node.value if _is_merge(key))
    seen = {id(node)}
    while pending:
        merged = pending.popleft()
        if id(merged) in seen:
            continue
        seen.add(id(merged))
        if isinstance(merged, SequenceNode):
            yield merged
            pending.extendleft(reversed(merged.value))
        elif isinstance(merged, MappingNode):
            yield merged
            pending.extend(value for key, value in merged.value if _is_merge(key))


def items(node: Node | None) -> Iterator[tuple[ScalarNode, Node]]:
    """Yield a mapping's scalar keys with their values, merge keys (`<<`) resolved.

    The mapping's own keys come first; merged ones only where not set already.  Anything that is
    no mapping yields nothing.
    """
    if not isinstance(node, MappingNode):
        return
    own = [
        (key, value)
        for key, value in node.value
        if isinstance(key, ScalarNode) and (key.value != "<<" or not _is_merge(key))
    ]
    yield from own
    if len(own) == len(node.value):
        return
    names = {key.value for key, _ in own}
    for merged in _merges(node):
        if isinstance(merged, SequenceNode):
            continue
        for key, value in merged.value:
            if isinstance(key, ScalarNode) and not _is_merge(key) and key.value not in names:
                names.add(key.value)
                yield key, value


def get(node: Node | None, name: str) -> Node | None:
    """Return the value under a key of a mapping, merge keys resolved; the last one of equal keys."""
    if not isinstance(node, MappingNode):
        return None
    found, merges = None, False
    for key, value in node.value:
        if isinstance(key, ScalarNode):
            if key.value == "<<" and _is_merge(key):
                merges = True
            elif key.value == name:
                found = value
    if found is None and merges:
        return next((value for key, value in items(node) if key.value == name), None)
    return found


def scalar(node: Node | None) -> str | None:
    """Return a scalar's text, or None where the node is no scalar."""
    return str(node.value) if isinstance(node, ScalarNode) else None
