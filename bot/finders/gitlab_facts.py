"""What one GitLab CI file says: images, variables, includes and scripts, each with its place.

Nothing is linked here.  A file's facts hold no tree, so that those of a whole pipeline are small.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TypeAlias

from bot.finders import scripts
from bot.finders.gitlab_includes import includes, locals_of, steps
from bot.finders.gitlab_place import Place, key, place
from bot.finders.gitlab_text import mentions, whole
from bot.finders.yaml import unread
from bot.model import BuildArgument, BuildContext, Built, Finding, Unread, UnreadReason
from bot.source import Source
from bot.yamltree import Mapping, Node, Scalar, Sequence, Tree, Unparsable, compose, get, items, scalar

RESERVED = frozenset({
    "after_script", "before_script", "cache", "default", "image", "include", "services", "spec", "stages",
    "types", "variables", "workflow",
})  # fmt: skip
"""Root keys that are no jobs."""

_TAG = "tag:yaml.org,2002:"
_NO_IMAGE = frozenset({
    "!reference", *(f"{_TAG}{kind}" for kind in ("null", "bool", "int", "float", "timestamp")),
})  # fmt: skip
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,14}")
_SCRIPTS = ("before_script", "script", "after_script")
_ACTIVE = frozenset({*_SCRIPTS, "coverage", "environment", "extends", "stage", "trigger"})
"""Keys of a hidden job whose text means something by itself; under others an anchor is merely kept."""
_MAX_SERVICES_DEPTH = 3
MAX_STEPS = 150_000
"""Entries that are looked at in one file, those that aliases bring counted each time."""
_REFERENCE = "!reference"


class Origin(StrEnum):
    """Where a variable or input gets a value."""

    VARIABLES = "variables"
    RULES = "rules"
    """`rules: variables`, which replaces what `variables` says."""
    MATRIX = "matrix"
    DEFAULT = "default"
    """The default of an input."""
    PASSED = "passed"
    """`inputs` of an include."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A scalar and its value, None where YAML reads a number that is written another way."""

    value: str | None
    place: Place
    foreign: bool
    """Whether the same node also stands where there is no image and no variable, by an alias."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """An `image` or service as written."""

    text: Text
    job: str | None
    """None at the root and under `default`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A value that a variable or input is given."""

    name: str
    text: Text
    origin: Origin
    job: str | None
    """None where it holds for all jobs."""
    bound: str = ""
    """`options` or `regex` where one of them must accept the value."""
    targets: tuple[str, ...] = ()
    """PASSED: the local files whose input it is, as written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """A `!reference` in place of an image or among services."""

    place: Place
    target: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one file says."""

    path: str
    unread: tuple[Unread, ...] = ()
    findings: tuple[Finding, ...] = ()
    """Includes and steps: they need no linking."""
    uses: tuple[Use, ...] = ()
    definitions: tuple[Definition, ...] = ()
    pointers: tuple[Pointer, ...] = ()
    keys: frozenset[tuple[str, ...]] = frozenset()
    """Jobs and their keys, for `!reference` to point at."""
    parents: dict[str, frozenset[str]] = field(default_factory=dict)
    """The jobs that a job extends or refers to."""
    locals: tuple[str, ...] = ()
    """Local includes as written, child pipelines' too."""
    variables_elsewhere: frozenset[str] = frozenset()
    """Variables that anything but a whole image or variable makes use of."""
    inputs_elsewhere: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    """Texts and keys under `needs`, which must go on naming the jobs of a matrix."""
    built: tuple[Built, ...] = ()
    arguments: tuple[BuildArgument, ...] = ()
    contexts: tuple[BuildContext, ...] = ()


def facts(source: Source) -> Facts:
    """Return what the file says; one that is no YAML has nothing but its `unread`."""
    tree = compose(source)
    if isinstance(tree, Unparsable):
        return Facts(path=source.path, unread=(unread(source, tree),))
    return _Reader(tree).read()


_Holder: TypeAlias = int | tuple[int, int]
"""A position in the graph: the id of a pair's key, or of a sequence with an index."""
_Pairs: TypeAlias = dict[str, tuple[_Holder, Node]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    """A scalar that is an image or a variable's value."""

    node: Scalar
    holder: _Holder
    where: str
    job: str | None
    name: str = ""
    origin: Origin | None = None
    bound: str = ""
    targets: tuple[str, ...] = ()


class _TooMuchError(Exception):
    """The file, or what aliases make of it, is more than is ever written by hand."""


class _Reader:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.slots: list[_Slot] = []
        self.findings: list[Finding] = []
        self.pointers: list[Pointer] = []
        self.keys: set[tuple[str, ...]] = set()
        self.parents: dict[str, set[str]] = defaultdict(set)
        self.locals: dict[str, None] = {}
        self.needed: set[str] = set()
        self.built: list[Built] = []
        self.arguments: list[BuildArgument] = []
        self.contexts: list[BuildContext] = []
        self._steps = 0
        self._once: dict[str, set[int]] = defaultdict(set)
        self._places: dict[int, Place] = {}
        self._inert: set[_Holder] = set()

    def read(self) -> Facts:
        trouble: tuple[Unread, ...] = ()
        try:
            for document in self.tree.documents:
                self._document(document)
        except _TooMuchError:
            trouble = (
                Unread(
                    path=self.tree.source.path,
                    reason=UnreadReason.UNPARSABLE,
                    detail=f"more than {MAX_STEPS} entries: read in part",
                ),
            )
        roles: dict[int, set[_Holder]] = defaultdict(set)
        for slot in self.slots:
            roles[id(slot.node)].add(slot.holder)
        variables, inputs, foreign = self._elsewhere(roles)
        uses: list[Use] = []
        definitions: list[Definition] = []
        for slot in self.slots:
            text = Text(
                value=_value(slot.node),
                place=self._place(slot.node, slot.where),
                foreign=id(slot.node) in foreign,
            )
            if slot.origin is None:
                uses.append(Use(text=text, job=slot.job))
            else:
                definitions.append(
                    Definition(
                        name=slot.name,
                        text=text,
                        origin=slot.origin,
                        job=slot.job,
                        bound=slot.bound,
                        targets=slot.targets,
                    )
                )
        return Facts(
            path=self.tree.source.path,
            unread=trouble,
            findings=tuple(self.findings),
            uses=tuple(uses),
            definitions=tuple(definitions),
            pointers=tuple(self.pointers),
            keys=frozenset(self.keys),
            parents={name: frozenset(found) for name, found in self.parents.items()},
            locals=tuple(self.locals),
            variables_elsewhere=frozenset(variables),
            inputs_elsewhere=frozenset(inputs),
            needed=frozenset(self.needed),
            built=tuple(self.built),
            arguments=tuple(self.arguments),
            contexts=tuple(self.contexts),
        )

    def _distinct(self) -> Iterable[_Slot]:
        """Return one slot for each node."""
        return {id(slot.node): slot for slot in self.slots}.values()

    def _place(self, node: Scalar, where: str) -> Place:
        """Return a node's place; a long text that a hundred aliases share is cut out once."""
        if id(node) not in self._places:
            self._places[id(node)] = place(self.tree, node, where)
        return replace(self._places[id(node)], where=where)

    # --- walking, with a bound on what aliases multiply -----------------------------------

    def _count(self, steps: int) -> None:
        self._steps += steps + 1
        if self._steps > MAX_STEPS:
            raise _TooMuchError

    def _pairs(self, node: Node | None) -> _Pairs:
        """Return a mapping's keys, merge keys resolved, with their holders; the last of equal ones."""
        made: _Pairs = {found.value: (id(found), value) for found, value in items(node)}
        self._count(len(made))
        return made

    def _several(self, node: Node | None) -> list[tuple[_Holder, Node]]:
        """Return the items of a sequence that is no `!reference`, with their holders."""
        if not isinstance(node, Sequence) or str(node.tag) == _REFERENCE:
            return []
        self._count(len(node.value))
        return [((id(node), number), item) for number, item in enumerate(node.value)]

    def _rules(self, node: Node | None, where: str) -> Iterator[tuple[Mapping, str]]:
        for number, (_, rule) in enumerate(self._several(node)):
            if isinstance(rule, Mapping):
                yield rule, f"{where}[{number}]"

    def _first(self, node: Node, purpose: str) -> bool:
        """Return whether a node is met for the first time for a purpose."""
        seen = self._once[purpose]
        if id(node) in seen:
            return False
        seen.add(id(node))
        return True

    def _scalars(self, node: Node | None, purpose: str) -> Iterator[Scalar]:
        """Yield the scalars below a node, each once in the file for a purpose, in their order."""
        pending = [node] if node is not None else []
        while pending:
            one = pending.pop()
            if not self._first(one, purpose):
                continue
            if isinstance(one, Scalar):
                yield one
            elif isinstance(one, Sequence) and str(one.tag) != _REFERENCE:
                pending += reversed(one.value)
            elif isinstance(one, Mapping):
                pending += (found for pair in reversed(one.value) for found in reversed(pair))

    # --- the parts of a file --------------------------------------------------------------

    def _document(self, root: Node) -> None:
        fields = self._pairs(root)
        if "apiVersion" in fields and "kind" in fields:
            return  # a Kubernetes manifest that lies among pipelines
        self._spec(_node(fields, "spec"))
        self._variables(_node(fields, "variables"), "variables", None, Origin.VARIABLES)
        workflow = self._pairs(_node(fields, "workflow"))
        for rule, where in self._rules(_node(workflow, "rules"), "workflow.rules"):
            self._variables(get(rule, "variables"), f"{where}.variables", None, Origin.RULES)
        self._images(fields, "", None)
        if (include := _node(fields, "include")) is not None:
            self._include(include, "include")
        for name, (holder, node) in fields.items():
            if name.startswith("."):
                self._inert.add(holder)
            if name == "default":
                self._job(node, name, None)
            elif name not in RESERVED:
                self._job(node, name, name)

    def _job(self, node: Node, name: str, job: str | None) -> None:
        where = key("", name)
        self.keys.add((name,))
        if not isinstance(node, Mapping):
            return
        fields = self._pairs(node)
        self.keys.update((name, found) for found in fields)
        if name.startswith("."):
            self._inert.update(holder for found, (holder, _) in fields.items() if found not in _ACTIVE)
        self._images(fields, where, job)
        trigger = _node(fields, "trigger")
        scope = None if trigger is not None else job  # a trigger job hands its variables down
        self._variables(_node(fields, "variables"), f"{where}.variables", scope, Origin.VARIABLES)
        for rule, place_of_rule in self._rules(_node(fields, "rules"), f"{where}.rules"):
            self._variables(get(rule, "variables"), f"{place_of_rule}.variables", scope, Origin.RULES)
        matrix = get(_node(fields, "parallel"), "matrix")
        for rule, place_of_rule in self._rules(matrix, f"{where}.parallel.matrix"):
            self._variables(rule, place_of_rule, scope, Origin.MATRIX)
        if (include := get(trigger, "include")) is not None:
            self._include(include, f"{where}.trigger.include")
        run = _node(fields, "run")
        if run is not None and self._first(run, "run"):
            self.findings += steps(self.tree, run, f"{where}.run")
        for one in ("needs", "dependencies"):
            self.needed.update(found.value for found in self._scalars(_node(fields, one), "needs"))
        if job is not None:
            self._extends(job, fields)

    def _images(self, fields: _Pairs, where: str, job: str | None) -> None:
        if "image" in fields:
            self._image(*fields["image"], key(where, "image"), job)
        if "services" in fields:
            self._services(*fields["services"], key(where, "services"), job)
        for name in _SCRIPTS:
            self._script(_node(fields, name))
        self._script(get(_node(fields, "hooks"), "pre_get_sources_script"))

    def _image(self, holder: _Holder, node: Node, where: str, job: str | None) -> None:
        if isinstance(node, Mapping):
            fields = self._pairs(node)
            if "name" not in fields:
                return
            holder, node = fields["name"]
            where = f"{where}.name"
        if isinstance(node, Sequence):
            self._pointer(node, where)
        elif isinstance(node, Scalar) and node.value and str(node.tag) not in _NO_IMAGE:
            self._slot(_Slot(node=node, holder=holder, where=where, job=job))

    def _services(self, holder: _Holder, node: Node, where: str, job: str | None, depth: int = 0) -> None:
        if isinstance(node, Scalar) and whole(node.value) is not None:
            self._image(holder, node, where, job)
        if isinstance(node, Sequence) and str(node.tag) == _REFERENCE:
            self._pointer(node, where)
        elif depth < _MAX_SERVICES_DEPTH:
            for number, (place_of_item, item) in enumerate(self._several(node)):
                here = f"{where}[{number}]"
                if isinstance(item, Sequence):
                    self._services(place_of_item, item, here, job, depth + 1)
                else:
                    self._image(place_of_item, item, here, job)

    def _slot(self, slot: _Slot) -> None:
        self._count(len(slot.node.value) // 64)
        self.slots.append(slot)

    def _pointer(self, node: Sequence, where: str) -> None:
        if str(node.tag) != _REFERENCE or not self._first(node, "pointer"):
            return
        span = self.tree.raw(node)
        data = self.tree.source.data[span.start : span.end].rstrip()
        location = self.tree.source.location(span.start, span.start + len(data))
        self.pointers.append(
            Pointer(
                place=Place(where=where, location=location, raw=data.decode("utf-8"), plain=False),
                target=tuple(scalar(item) or "" for item in node.value[:10]),
            )
        )

    def _include(self, node: Node, where: str) -> None:
        if not self._first(node, "include"):
            return
        self.findings += includes(self.tree, node, where)
        self.locals.update(dict.fromkeys(locals_of(node)))
        for number, item in enumerate(node.value if isinstance(node, Sequence) else (node,)):
            targets = tuple(locals_of(item)) if isinstance(item, Mapping) else ()
            here = f"{where}[{number}]" if isinstance(node, Sequence) else where
            passed = self._pairs(get(item, "inputs")) if targets else {}
            for name, (holder, value) in passed.items():
                if isinstance(value, Scalar):
                    self._slot(
                        _Slot(
                            node=value,
                            holder=holder,
                            where=key(f"{here}.inputs", name),
                            job=None,
                            name=name,
                            origin=Origin.PASSED,
                            targets=targets,
                        )
                    )

    def _spec(self, node: Node | None) -> None:
        if (include := get(node, "include")) is not None and self._first(include, "include"):
            self.findings += includes(self.tree, include, "spec.include")
        for name, (_, node_of_input) in self._pairs(get(node, "inputs")).items():
            where = key("spec.inputs", name)
            declared = self._pairs(node_of_input)
            bound = "regex" if "regex" in declared else "options" if "options" in declared else ""
            self._default(name, declared, where, bound)
            for rule, place_of_rule in self._rules(_node(declared, "rules"), f"{where}.rules"):
                ruled = self._pairs(rule)
                self._default(name, ruled, place_of_rule, "options" if "options" in ruled else bound)

    def _default(self, name: str, declared: _Pairs, where: str, bound: str) -> None:
        if "default" not in declared:
            return
        holder, node = declared["default"]
        slot = partial(_Slot, job=None, name=name, origin=Origin.DEFAULT, bound=bound)
        if isinstance(node, Scalar):
            self._slot(slot(node=node, holder=holder, where=f"{where}.default"))
        for number, (place_of_item, item) in enumerate(self._several(node)):
            here = f"{where}.default[{number}]"
            if isinstance(item, Scalar):
                self._slot(slot(node=item, holder=place_of_item, where=here))
            place_of_name, name_of_item = self._pairs(item).get("name", (holder, node))
            if isinstance(name_of_item, Scalar):
                self._slot(slot(node=name_of_item, holder=place_of_name, where=f"{here}.name"))

    def _variables(self, node: Node | None, where: str, job: str | None, origin: Origin) -> None:
        for name, (holder, value) in self._pairs(node).items():
            slot = partial(_Slot, job=job, name=name, origin=origin)
            here = key(where, name)
            if isinstance(value, Scalar):
                self._slot(slot(node=value, holder=holder, where=here))
            elif isinstance(value, Mapping):
                fields = self._pairs(value)
                place_of_value, one = fields.get("value", (holder, value))
                if isinstance(one, Scalar):
                    bound = "options" if "options" in fields else ""
                    self._slot(slot(node=one, holder=place_of_value, where=f"{here}.value", bound=bound))
            elif origin is Origin.MATRIX:
                for number, (place_of_item, item) in enumerate(self._several(value)):
                    if isinstance(item, Scalar):
                        self._slot(slot(node=item, holder=place_of_item, where=f"{here}[{number}]"))

    def _extends(self, job: str, fields: _Pairs) -> None:
        extended = _node(fields, "extends")
        if text := scalar(extended):
            self.parents[job].add(text)
        self.parents[job].update(text for _, one in self._several(extended) if (text := scalar(one)))
        for _, value in fields.values():
            for one in (value, *(item for _, item in self._several(value))):
                if isinstance(one, Sequence) and str(one.tag) == _REFERENCE and one.value:
                    self.parents[job].add(scalar(one.value[0]) or "")

    # --- scripts and mentions -------------------------------------------------------------

    def _script(self, node: Node | None) -> None:
        for one in self._scalars(node, "script"):
            if not _MAKES.search(one.value):
                continue
            shell = scripts.read(one.value)
            span = self.tree.raw(one)
            location = self.tree.source.location(span.start, span.end)
            self.built += (Built(name=name, location=location) for name in shell.built)
            self.arguments += (
                BuildArgument(name=name, dockerfile=path, location=location) for name, path in shell.arguments
            )
            self.contexts += (
                BuildContext(name=name, dockerfile=path, location=location) for name, path in shell.contexts
            )

    def _elsewhere(self, roles: dict[int, set[_Holder]]) -> tuple[set[str], set[str], set[int]]:
        """Return the variables and inputs that other texts mention, and the slots that stand elsewhere too.

        A whole variable as an image or as another variable's value is no mention: linking
        follows it.
        """
        variables: set[str] = set()
        inputs: set[str] = set()
        foreign: set[int] = set()
        met: set[int] = set()
        forwarding = {id(slot.node) for slot in self._distinct() if whole(slot.node.value) is not None}
        for holder, child in _positions(self.tree.documents):
            if holder in roles.get(id(child), ()):
                if id(child) in forwarding:
                    continue
            elif id(child) in roles:
                if holder in self._inert:
                    continue
                foreign.add(id(child))
            if id(child) in met:
                continue
            met.add(id(child))
            named, entered = mentions(child.value)
            variables |= named
            inputs |= entered
        return variables, inputs, foreign


_MAKES = re.compile(r"build|push|executor|kaniko|copy|crane|bud\b")


def _node(fields: _Pairs, name: str) -> Node | None:
    found = fields.get(name)
    return None if found is None else found[1]


def _value(node: Scalar) -> str | None:
    """Return the text that a variable gets, None where YAML makes another one of a number."""
    tag, written = str(node.tag), str(node.value)
    if tag in (f"{_TAG}int", f"{_TAG}float"):
        return written if _NUMBER.fullmatch(written) or _is_plain_float(written) else None
    return None if tag == f"{_TAG}null" else written


def _is_plain_float(written: str) -> bool:
    try:
        return str(float(written)) == written
    except ValueError:
        return False


def _positions(documents: tuple[Node, ...]) -> Iterator[tuple[_Holder, Scalar]]:
    """Yield every scalar of a file for each position at which it stands, keys included."""
    pending: list[Node] = list(reversed(documents))
    seen: set[int] = set()
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Sequence):
            for at, node in enumerate(one.value):
                if isinstance(node, Scalar):
                    yield (id(one), at), node
                else:
                    pending.append(node)
        elif isinstance(one, Mapping):
            for found, value in one.value:
                if isinstance(found, Scalar):
                    yield -1, found
                else:
                    pending.append(found)
                if isinstance(value, Scalar):
                    yield id(found), value
                else:
                    pending.append(value)
