"""Images that a job takes from its matrix: `container: ${{ matrix.image }}`.

A literal in the matrix may be pinned in place where nothing but whole images is made of it;
where a name, a cache key or a script holds it too, a digest would show up there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeAlias

from bot.finders import github_steps
from bot.finders.yaml import Table, shown
from bot.model import SkipReason
from bot.yamltree import Mapping, Node, Scalar, Sequence, Tree, get, items, scalar

MAX_VALUES = 64
"""Values of one name that are put into what is built."""
MAX_VALUE = 200
"""Characters of such a value."""
MAX_NODES = 200_000
"""Nodes of one file that are searched for other uses; behind them every value counts as shared."""

_SLOTS = Table(("container", "container.image", "services.*", "services.*.image"))
_NAME = r"(?:\s*\.\s*[A-Za-z_][\w-]*|\s*\[\s*'[^']*'\s*\])"
_WHOLE = re.compile(rf"\s*\$\{{\{{\s*matrix(?P<path>{_NAME}+)\s*\}}\}}\s*", re.IGNORECASE)
_USE = re.compile(rf"(?<![\w.-])matrix(?![\w-])(?P<path>{_NAME}*)", re.IGNORECASE)
_PART = re.compile(r"\.\s*([A-Za-z_][\w-]*)|\[\s*'([^']*)'\s*\]")

_Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """One value in a matrix that becomes an image."""

    node: Scalar
    where: str
    argument: str
    """How expressions name it: `matrix.image`."""
    shared: str
    """Why a digest must not be written into it; empty where it may."""
    skip: SkipReason = SkipReason.SHARED_VARIABLE
    """What `shared` comes to."""
    note: str = ""


@dataclass(slots=True)
class Fed:
    """What the matrices of one file feed."""

    literals: list[Literal] = field(default_factory=list)
    slots: set[int] = field(default_factory=set)
    """Ids of the nodes whose every value is among the literals."""


def fed(tree: Tree) -> Fed:
    """Return the literals that matrices feed to containers, services and steps as whole images."""
    made = Fed()
    budget = Budget()
    found: dict[int, Literal] = {}
    open_slots: set[int] = set()
    jobs = {id(job): (key, job) for document in tree.documents for key, job in items(get(document, "jobs"))}
    if "matrix" in tree.text.text:
        for key, job in jobs.values():
            matrix = get(get(job, "strategy"), "matrix")
            for path, slots in _by_path(tree, job, budget).items():
                place = f"jobs.{shown(key.value)}.strategy.matrix"
                literals = list(_literals(matrix, path, place)) if budget.bears(matrix) else []
                (made.slots if literals else open_slots).update(id(slot) for slot in slots)
                if not literals:
                    continue
                shared = _shared(job, matrix, path, literals, slots, budget)
                note = "" if shared else _shown_in_name(job)
                for where, node in literals:
                    known = found.get(id(node))
                    if known is None:
                        found[id(node)] = Literal(
                            node=node, where=where, argument=_named(path), shared=shared, note=note
                        )
                    elif shared and not known.shared:
                        found[id(node)] = replace(known, shared=shared, note="")
    made.slots -= open_slots
    made.literals.extend(found.values())
    return made


class Budget:
    """How many nodes may still be looked at: aliases let few bytes stand for many nodes."""

    def __init__(self) -> None:
        self._left = MAX_NODES

    def bears(self, node: Node | None, depth: int = 4) -> bool:
        """Return whether a node and what is a few levels below it may be looked at, and count them."""
        pending = [(node, depth)]
        while pending and self._left >= 0:
            one, below = pending.pop()
            self._left -= 1
            if below and isinstance(one, Sequence):
                pending += ((item, below - 1) for item in one.value[: self._left + 1])
            elif below and isinstance(one, Mapping):
                pending += ((value, below - 1) for _, value in one.value[: self._left + 1])
        return self._left >= 0


class Values:
    """The literals that expressions of the matrix can come to, in the jobs of one file."""

    def __init__(self) -> None:
        self._budget = Budget()
        self._known: dict[tuple[int, _Path], tuple[str, ...]] = {}

    def of(self, matrix: Node | None, expression: str) -> tuple[str, ...]:
        """Return what `${{ matrix.name }}` can be; empty where the file does not show it, or too much."""
        whole = _WHOLE.fullmatch(expression)
        if whole is None or matrix is None:
            return ()
        key = (id(matrix), _parts(whole["path"]))
        if key not in self._known:
            borne = self._budget.bears(matrix)
            nodes = list(islice(_literals(matrix, key[1], ""), MAX_VALUES + 1)) if borne else []
            made = tuple(dict.fromkeys(node.value for _, node in nodes))
            whole_literals = all(0 < len(value) <= MAX_VALUE and "$" not in value for value in made)
            self._known[key] = made if whole_literals and len(nodes) <= MAX_VALUES else ()
        return self._known[key]


def _by_path(tree: Tree, job: Node, budget: Budget) -> dict[_Path, list[Scalar]]:
    """Return a job's containers, services and inputs of steps that are one whole expression, by its path."""
    paths: dict[_Path, list[Scalar]] = defaultdict(list)
    if not all(budget.bears(get(job, name), 2) for name in ("container", "services", "steps")):
        return paths
    nodes = [hit.node for hit in _SLOTS.walk(Tree(tree.source, tree.text, (job,)))]
    nodes += [one.node for one in github_steps.of_steps(get(job, "steps"), "", set()) if not one.listed]
    for node in nodes:
        if isinstance(node, Scalar) and (whole := _WHOLE.fullmatch(node.value)):
            paths[_parts(whole["path"])].append(node)
    return paths


def _parts(path: str) -> _Path:
    return tuple((bare or quoted).lower() for bare, quoted in _PART.findall(path))


def _named(path: _Path) -> str:
    return ".".join(("matrix", *path))


def _literals(matrix: Node | None, path: _Path, where: str) -> Iterator[tuple[str, Scalar]]:
    """Yield place and node of each value that a path into the matrix can have."""
    for key, values in items(matrix):
        if key.value.lower() == path[0] and isinstance(values, Sequence):
            for number, item in enumerate(values.value):
                yield from _below(item, path[1:], f"{where}.{shown(key.value)}[{number}]")
    included = get(matrix, "include")
    if isinstance(included, Sequence):
        for number, item in enumerate(included.value):
            yield from _below(item, path, f"{where}.include[{number}]")


def _below(node: Node, path: _Path, where: str) -> Iterator[tuple[str, Scalar]]:
    if not path:
        if isinstance(node, Mapping):  # a whole `container`
            node, where = get(node, "image") or node, f"{where}.image"
        if isinstance(node, Scalar) and node.value:
            yield where, node
        return
    for key, value in items(node):
        if key.value.lower() == path[0]:
            yield from _below(value, path[1:], f"{where}.{shown(key.value)}")


def _shared(
    job: Node,
    matrix: Node | None,
    path: _Path,
    literals: list[tuple[str, Scalar]],
    slots: list[Scalar],
    budget: Budget,
) -> str:
    name = _named(path)
    for used in _uses(job, {id(matrix), *(id(slot) for slot in slots)}, budget):
        if used[: len(path)] == path[: len(used)]:
            return f"The job uses {name} for more than images: a digest would show up there too."
    excluded = get(matrix, "exclude")
    if isinstance(excluded, Sequence) and any(
        key.value.lower() == path[0] for item in excluded.value for key, _ in items(item)
    ):
        return f"An entry of the matrix's `exclude` is compared with {name}."
    listed = {node.value for where, node in literals if not _in_include(where)}
    if any(_in_include(where) and node.value in listed for where, node in literals):
        return f"An entry of the matrix's `include` is matched by {name}."
    return ""


def _in_include(where: str) -> bool:
    return ".strategy.matrix.include[" in where


def _uses(job: Node, apart: set[int], budget: Budget) -> Iterator[_Path]:
    """Yield the path of each use of the matrix in a job's expressions; empty where it is used whole."""
    pending: list[tuple[Node, bool]] = [(job, False)]
    seen = set(apart)
    while pending:
        node, bare = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if not budget.bears(node, 0):
            yield ()
            return
        if isinstance(node, Sequence):
            pending += ((item, False) for item in node.value)
        elif isinstance(node, Mapping):
            for key, value in node.value:
                pending += ((key, False), (value, scalar(key) == "if"))
        elif isinstance(node, Scalar):
            for expression in [node.value] if bare else expressions(node.value):
                yield from (_parts(use["path"]) for use in _USE.finditer(expression))


def expressions(text: str) -> Iterator[str]:
    """Yield what stands between each `${{` and its `}}`."""
    for piece in text.split("${{")[1:]:
        yield piece.partition("}}")[0]


def _shown_in_name(job: Node) -> str:
    name = scalar(get(job, "name")) or ""
    if any(_USE.search(expression) for expression in expressions(name)):
        return ""
    return "GitHub puts this value into the job's name: a required status check of that name has to follow."
