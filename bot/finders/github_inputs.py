"""Images that a workflow takes from its inputs: `container: ${{ inputs.image }}`.

The default of such an input may be pinned where nothing but whole images is made of it, and so
may what a workflow of the same repository passes for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterator
from collections.abc import Mapping as Files
from dataclasses import dataclass, field, replace
from functools import lru_cache

from bot.finders import github_steps
from bot.finders.github_matrix import Fed, Literal, expressions
from bot.finders.yaml import Table, shown
from bot.model import SkipReason
from bot.source import Source
from bot.yamltree import Mapping, Node, Scalar, Sequence, Tree, Unparsable, compose, get, items, scalar

MAX_FILE = 64 * 1024
"""Bytes of another workflow that is read for the sake of this one; a larger one could pass anything."""
MAX_CALLERS = 64
"""Other workflows that are looked into."""

_SLOTS = Table(
    (
        "jobs.*.container",
        "jobs.*.container.image",
        "jobs.*.services.*",
        "jobs.*.services.*.image",
    )
)
_NAME = r"(?:\s*\.\s*([A-Za-z_][\w-]*)|\s*\[\s*'([^']*)'\s*\])"
_EVENT = r"(?:github\s*\.\s*event\s*\.\s*)?"
_WHOLE = re.compile(rf"\s*\$\{{\{{\s*{_EVENT}inputs{_NAME}\s*\}}\}}\s*", re.IGNORECASE)
_USE = re.compile(rf"(?<![\w-])inputs(?![\w-]){_NAME}?", re.IGNORECASE)
_EVENTS = {
    "workflow_call": "A workflow that calls this one may pass another value.",
    "workflow_dispatch": "Whoever starts this workflow may choose another value.",
}
_CHOICE = "Whoever starts this workflow chooses among `options` by their text."
_ALIAS = "Its anchor also feeds other places: a pin would show up there too."
_CROWDED = "Other workflows that call this one are too many or too large to tell what they pass."


@dataclass(slots=True)
class _Uses:
    """What a workflow makes of its inputs."""

    slots: dict[str, list[int]] = field(default_factory=dict)
    """Ids of the nodes that are one whole input, by the input's name in lower case."""
    others: set[str] = field(default_factory=set)
    """Inputs that are used in other places; empty text stands for all of them."""

    def shared(self, name: str) -> str:
        """Return why a digest must not be written into an input's value; empty where it may."""
        if self.others.isdisjoint((name, "")):
            return ""
        return f"inputs.{name} is used for more than images: a digest would show up there too."


def fed(tree: Tree, files: Files[str, bytes]) -> Fed:
    """Return the literals that inputs feed to images, as defaults here or as passed to a called workflow."""
    made = Fed()
    text = tree.text.text
    if "inputs" not in text and "./." not in text:
        return made
    found: dict[int, Literal] = {}
    uses = _uses(tree) if "inputs" in text else _Uses()
    declared: dict[str, list[_Declared]] = {}
    for one in _declared(tree, uses.slots):
        declared.setdefault(one.name, []).append(one)
    callers = _Callers(tree.source.path, files) if declared else None
    for name, given in declared.items():
        for one in given:
            if one.node is not None:
                literal = _default(one, one.node, uses.shared(name), callers)
                found.setdefault(id(one.node), literal)
        if all(one.node is not None for one in given):
            made.slots.update(uses.slots[name])
    for passed in _passed(tree, files):
        found.setdefault(id(passed.node), passed)
    aliased = _aliased(tree, found.keys())
    for key, literal in found.items():
        if key in aliased and not literal.shared:
            found[key] = replace(literal, shared=_ALIAS)
    made.literals.extend(found.values())
    return made


def _uses(tree: Tree) -> _Uses:
    made = _Uses()
    apart: set[int] = set()
    nodes = [hit.node for hit in _SLOTS.walk(tree)]
    nodes += [one.node for one in github_steps.inputs(tree) if not one.listed]
    for node in nodes:
        whole = _WHOLE.fullmatch(node.value) if isinstance(node, Scalar) else None
        if whole is not None and id(node) not in apart:
            apart.add(id(node))
            made.slots.setdefault((whole[1] or whole[2]).lower(), []).append(id(node))
    if made.slots:
        for use in _others(tree, apart):
            made.others.add(use)
    return made


def _others(tree: Tree, apart: Collection[int]) -> Iterator[str]:
    """Yield the input of each expression in a file, but for those in nodes of some ids."""
    pending: list[tuple[Node, bool]] = [(document, False) for document in tree.documents]
    seen = set(apart)
    while pending:
        node, bare = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Sequence):
            pending += ((item, False) for item in node.value)
        elif isinstance(node, Mapping):
            for key, value in node.value:
                pending += ((key, False), (value, scalar(key) == "if"))
        elif isinstance(node, Scalar) and "inputs" in node.value.lower():
            for expression in [node.value] if bare else expressions(node.value):
                yield from ((use[1] or use[2] or "").lower() for use in _USE.finditer(expression))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """One input of one event."""

    event: str
    name: str
    """In lower case."""
    where: str
    node: Scalar | None
    """Its default, if that is a literal."""
    choice: bool = False


def _declared(tree: Tree, names: Container[str]) -> Iterator[_Declared]:
    """Yield the inputs of some names, and what one may choose from as if it were another of that name."""
    for document in tree.documents:
        for event in _EVENTS:
            for key, given in items(get(get(get(document, "on"), event), "inputs")):
                name = str(key.value).lower()
                if name not in names:
                    continue
                where = f"on.{event}.inputs.{shown(str(key.value))}"
                options = get(given, "options")
                listed = options.value if isinstance(options, Sequence) else []
                places = [(f"{where}.default", get(given, "default"))]
                places += [(f"{where}.options[{number}]", option) for number, option in enumerate(listed)]
                for place, node in places:
                    yield _Declared(
                        event=event, name=name, where=place, node=_literal(node), choice=bool(listed)
                    )


def _literal(node: Node | None) -> Scalar | None:
    return node if isinstance(node, Scalar) and node.value and "${{" not in node.value else None


def _default(one: _Declared, node: Scalar, shared: str, callers: _Callers | None) -> Literal:
    skip, note = SkipReason.SHARED_VARIABLE, _EVENTS[one.event]
    if one.choice:
        shared = _CHOICE
    elif not shared and one.event == "workflow_call" and callers is not None:
        shared = callers.passing(one.name)
        skip = SkipReason.OVERRIDDEN if shared else skip
    return Literal(
        node=node, where=one.where, argument=f"inputs.{one.name}", shared=shared, skip=skip, note=note
    )


# --- workflows that call one another ---------------------------------------------------------


class _Callers:
    """The workflows of the repository that call the one at a path."""

    def __init__(self, path: str, files: Files[str, bytes]) -> None:
        wanted = f"./{path}".encode("utf-8", "surrogateescape")
        mentioning = [other for other in files if "/workflows/" in other and wanted in files[other]]
        self._path = path
        self._crowded = len(mentioning) > MAX_CALLERS or any(
            len(files[other]) > MAX_FILE for other in mentioning
        )
        self._calls = [(other, _calls(files[other])) for other in sorted(mentioning) if not self._crowded]

    def passing(self, name: str) -> str:
        """Return who passes an input, in one sentence; empty where no one does."""
        if self._crowded:
            return _CROWDED
        for other, calls in self._calls:
            line = calls.get((self._path, name))
            if line is not None:
                return f"{other}:{line} passes inputs.{name}, so this default may not be used."
        return ""


@lru_cache(maxsize=64)
def _calls(data: bytes) -> Files[tuple[str, str], int]:
    """Return the line of each input that a workflow passes, by the called workflow and the input's name."""
    tree = compose(Source("", data))
    if isinstance(tree, Unparsable):
        return {}
    return {(path, name): tree.line(node) for path, name, _, node in _called(tree)}


def _called(tree: Tree) -> Iterator[tuple[str, str, str, Node]]:
    """Yield called path, input's name, place and node of what jobs pass to workflows of this repository."""
    for document in tree.documents:
        for key, job in items(get(document, "jobs")):
            called = scalar(get(job, "uses")) or ""
            if called.startswith("./"):
                for name, value in items(get(job, "with")):
                    where = f"jobs.{shown(str(key.value))}.with.{shown(str(name.value))}"
                    yield called.removeprefix("./"), str(name.value).lower(), where, value


def _passed(tree: Tree, files: Files[str, bytes]) -> Iterator[Literal]:
    """Yield the literals that a workflow passes to another one for images."""
    for path, name, where, node in _called(tree):
        data, literal = files.get(path, b""), _literal(node)
        inputs = _inputs(data) if literal is not None and len(data) <= MAX_FILE else {}
        if literal is not None and name in inputs:
            yield Literal(node=literal, where=where, argument="", shared=inputs[name])


@lru_cache(maxsize=64)
def _inputs(data: bytes) -> Files[str, str]:
    """Return the inputs that a workflow makes images of, each with why a digest must not be passed for it."""
    tree = compose(Source("", data)) if b"inputs" in data else None
    if tree is None or isinstance(tree, Unparsable):
        return {}
    uses = _uses(tree)
    return {name: uses.shared(name) for name in uses.slots}


def _aliased(tree: Tree, nodes: Collection[int]) -> set[int]:
    """Return the ids of the nodes that stand below more than one other."""
    made: set[int] = set()
    if not nodes or "*" not in tree.text.text:
        return made
    pending: list[Node] = list(tree.documents)
    seen: set[int] = set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            if id(node) in nodes:
                made.add(id(node))
            continue
        seen.add(id(node))
        if isinstance(node, Sequence):
            pending += node.value
        elif isinstance(node, Mapping):
            pending += [value for _, value in node.value]
    return made
