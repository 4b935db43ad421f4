"""What one GitLab CI file says: images, variables, includes and scripts, each with its place.

Nothing is linked here.  A file's facts hold no tree, so that those of a whole pipeline are small.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Given
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

from bot.finders import scripts
from bot.finders.gitlab_includes import FORMAT, includes, locals_of, steps
from bot.finders.gitlab_place import Place, key, marked, place
from bot.finders.gitlab_pointers import (
    MAX_NESTING,
    TAG,
    Origin,
    Pointer,
    Request,
    Role,
    is_reference,
    path_of,
)
from bot.finders.gitlab_text import TEMPLATED, mentions, whole
from bot.finders.yaml import unread
from bot.model import (
    BuildArgument,
    BuildContext,
    Built,
    Finding,
    Kind,
    SkipReason,
    State,
    Unread,
    UnreadReason,
)
from bot.source import Source
from bot.yamltree import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    Tree,
    Unparsable,
    compose,
    get,
    items,
    scalar,
    uncollected,
)

RESERVED = frozenset({
    "after_script", "before_script", "cache", "default", "image", "include", "services", "spec", "stages",
    "types", "variables", "workflow",
})  # fmt: skip
"""Root keys that are no jobs."""

_TAG = "tag:yaml.org,2002:"
_NO_IMAGE = frozenset({
    TAG, *(f"{_TAG}{kind}" for kind in ("null", "bool", "int", "float", "timestamp")),
})  # fmt: skip
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,14}")
_SCRIPTS = ("before_script", "script", "after_script")
_ACTIVE = frozenset({*_SCRIPTS, "coverage", "environment", "extends", "stage", "trigger"})
"""Keys of a hidden job whose text means something by itself; under others an anchor is merely kept."""
_KEPT = frozenset(
    {"artifacts", "cache", "hooks", "id_tokens", "needs", "release", "rules", "run", "secrets", "tags"}
)
"""Keys of a hidden job under which a reference means something by itself."""
_MAX_LISTS = 3
MAX_STEPS = 150_000
"""Entries that are looked at in one file, those that aliases bring counted each time."""
_REPORTED = frozenset({("image",), ("image", "name"), ("services",)})
"""Keys of a job behind which references are reported anyway."""
ALIKE = frozenset({"default", "parallel", "rules", "matrix", "trigger"})
"""Keys that mean the same wherever a reference puts them."""
STANDARD = frozenset({*ALIKE, "image", "services", "variables"})
"""Keys of a job that mean the same in another that is put together of it."""
_NO_MAPPING: Given[Request, int] = MappingProxyType({})


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
class Facts:
    """What one file says."""

    path: str
    unread: tuple[Unread, ...] = ()
    findings: tuple[Finding, ...] = ()
    """Includes and steps: they need no linking."""
    uses: tuple[Use, ...] = ()
    definitions: tuple[Definition, ...] = ()
    pointers: tuple[Pointer, ...] = ()
    asked: Given[Request, int] = field(default_factory=dict)
    """What `!reference` asks for, with how many references lead there; other files may hold it, too."""
    answered: frozenset[Request] = frozenset()
    forwards: frozenset[tuple[Request, Request]] = frozenset()
    """Requests that come to others."""
    taken: frozenset[str] = frozenset()
    """Key paths that a `!reference` puts where there is no image and no variable."""
    keys: frozenset[str] = frozenset()
    """Keys of the root, for the `!reference` of other files to point at."""
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


def facts(source: Source, wanted: Given[Request, int] = _NO_MAPPING) -> Facts:
    """Return what the file says; one that is no YAML has nothing but its `unread`.

    `wanted` are requests of other files, with how many references lead to each.
    """
    with uncollected():
        tree = compose(source)
        if isinstance(tree, Unparsable):
            return Facts(path=source.path, unread=(unread(source, tree),))
        return _Reader(tree).read(wanted)


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
        self.asked: dict[Request, int] = {}
        self.answered: set[Request] = set()
        self.forwards: set[tuple[Request, Request]] = set()
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
        self._roots: list[_Pairs] = []
        self._queue: deque[Request] = deque()
        self._behind: Request | None = None
        self._known: dict[int, _Pairs] = {}

    def read(self, wanted: Given[Request, int]) -> Facts:
        trouble: tuple[Unread, ...] = ()
        taken: set[str] = set()
        try:
            for document in self.tree.documents:
                fields = self._pairs(document)
                if "apiVersion" not in fields or "kind" not in fields:
                    self._roots.append(fields)  # no Kubernetes manifest that lies among pipelines
            for fields in self._roots:
                self._document(fields)
            for request, depth in wanted.items():
                self._ask(request, depth)
            while self._queue:
                self._look(self._queue.popleft())
            taken = self._taken()
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
            asked=self.asked,
            answered=frozenset(self.answered),
            forwards=frozenset(self.forwards),
            taken=frozenset(taken),
            keys=frozenset(name for fields in self._roots for name in fields),
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
        if not isinstance(node, Sequence) or str(node.tag) == TAG:
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
            elif isinstance(one, Sequence) and str(one.tag) != TAG:
                pending += reversed(one.value)
            elif isinstance(one, Mapping):
                pending += (found for pair in reversed(one.value) for found in reversed(pair))

    # --- the parts of a file --------------------------------------------------------------

    def _document(self, fields: _Pairs) -> None:
        self._spec(_node(fields, "spec"))
        self._variables(_node(fields, "variables"), "variables", None, Origin.VARIABLES)
        workflow = self._pairs(_node(fields, "workflow"))
        self._ruled(_node(workflow, "rules"), "workflow.rules", None, Role.RULES)
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
        if not isinstance(node, Mapping):
            return
        fields = self._pairs(node)
        if name.startswith("."):
            self._inert.update(holder for found, (holder, _) in fields.items() if found not in _ACTIVE)
        self._images(fields, where, job)
        trigger = _node(fields, "trigger")
        scope = None if trigger is not None else job  # a trigger job hands its variables down
        self._variables(_node(fields, "variables"), f"{where}.variables", scope, Origin.VARIABLES)
        self._ruled(_node(fields, "rules"), f"{where}.rules", scope, Role.RULES)
        self._parallel(_node(fields, "parallel"), f"{where}.parallel", scope)
        if (include := get(trigger, "include")) is not None:
            self._include(include, f"{where}.trigger.include")
        if (run := _node(fields, "run")) is not None:
            self._run(run, f"{where}.run")
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
                self._marker(node, where)
                return
            holder, node = fields["name"]
            where = f"{where}.name"
            self._marker(node, where)
        if isinstance(node, Sequence):
            self._refer(node, where, Request(target=path_of(node), role=Role.IMAGE, job=job))
        elif isinstance(node, Scalar) and node.value and str(node.tag) not in _NO_IMAGE:
            self._slot(_Slot(node=node, holder=holder, where=where, job=job))

    def _marker(self, node: Node, where: str) -> None:
        """Report a template's marker that is all of an image."""
        at = marked(self.tree, node, where)
        if at is not None and self._first(node, "marker"):
            self.findings.append(
                Finding(
                    format=FORMAT,
                    kind=Kind.IMAGE,
                    where=where,
                    location=at.location,
                    value=at.raw,
                    reference=None,
                    state=State.UNKNOWN,
                    skip=SkipReason.VARIABLE,
                    note=TEMPLATED,
                )
            )

    def _services(self, holder: _Holder, node: Node, where: str, job: str | None, depth: int = 0) -> None:
        if isinstance(node, Scalar) and whole(node.value) is not None:
            self._image(holder, node, where, job)
        if isinstance(node, Sequence) and is_reference(node):
            self._refer(node, where, Request(target=path_of(node), role=Role.SERVICES, job=job))
        elif depth < _MAX_LISTS:
            for number, (place_of_item, item) in enumerate(self._several(node)):
                here = f"{where}[{number}]"
                if isinstance(item, Sequence):
                    self._services(place_of_item, item, here, job, depth + 1)
                else:
                    self._image(place_of_item, item, here, job)

    def _slot(self, slot: _Slot) -> None:
        self._count(len(slot.node.value) // 64)
        self.slots.append(slot)

    # --- references -----------------------------------------------------------------------

    def _refer(self, node: Sequence, where: str, request: Request) -> None:
        """Ask for what a `!reference` names, and remember where it stands."""
        if not is_reference(node):
            return
        behind = self._behind
        depth = 1 if behind is None else self.asked[behind] + 1
        if self._first(node, "pointer"):
            span = self.tree.raw(node)
            data = self.tree.source.data[span.start : span.end].rstrip()
            location = self.tree.source.location(span.start, span.start + len(data))
            at = Place(where=where, location=location, raw=data.decode("utf-8"), plain=False)
            self.pointers.append(Pointer(place=at, request=request, depth=depth))
        if behind is not None:
            self.forwards.add((behind, request))
        self._ask(request, depth)

    def _ask(self, request: Request, depth: int) -> None:
        if depth > MAX_NESTING or not request.target or self.asked.get(request, depth + 1) <= depth:
            return
        self._count(1)
        self.asked[request] = depth
        self._queue.append(request)

    def _look(self, request: Request) -> None:
        """Take the nodes of this file that a request is for to be what it wants them for."""
        first, *names = request.target
        for fields in self._roots:
            if first not in fields:
                continue
            (holder, node), where = fields[first], key("", first)
            for number, name in enumerate(names):
                if isinstance(node, Sequence) and is_reference(node):
                    self._first(node, "pointer")
                    self._forward(request, (*path_of(node), *names[number:]), self.asked[request] + 1)
                    break
                below = self._below(node)
                if name not in below:
                    if number == 0:
                        for parent in self._parents_of(below):
                            self._forward(request, (parent, *names), self.asked[request])
                    break
                (holder, node), where = below[name], key(where, name)
            else:
                self._answer(request, holder, node, where)

    def _forward(self, request: Request, target: tuple[str, ...], depth: int) -> None:
        behind = replace(request, target=target)
        self.forwards.add((request, behind))
        self._ask(behind, depth)

    def _below(self, node: Node) -> _Pairs:
        if id(node) not in self._known:
            self._known[id(node)] = self._pairs(node)
        return self._known[id(node)]

    def _parents_of(self, fields: _Pairs) -> Iterator[str]:
        extended = _node(fields, "extends")
        if text := scalar(extended):
            yield text
        yield from (text for _, one in self._several(extended) if (text := scalar(one)))

    def _answer(self, request: Request, holder: _Holder, node: Node, where: str) -> None:
        first, *names = request.target
        reported = tuple(names) in _REPORTED and (first == "default" or first not in RESERVED)
        if is_reference(node) and not reported:
            pass  # answered by what it leads to
        elif str(node.tag) != f"{_TAG}null":
            self.answered.add(request)
        self._behind = request
        match request.role:
            case Role.IMAGE | Role.SERVICES:
                if not reported:
                    self._answer_image(request, holder, node, where)
            case Role.INCLUDE:
                self._include(node, where)
            case Role.STEPS:
                self._run(node, where)
            case _:
                self._answer_variables(request, holder, node, where)
        self._behind = None

    def _answer_image(self, request: Request, holder: _Holder, node: Node, where: str) -> None:
        if request.role is Role.SERVICES and isinstance(node, Sequence):
            self._services(holder, node, where, request.job)
        else:
            self._image(holder, node, where, request.job)

    def _answer_variables(self, request: Request, holder: _Holder, node: Node, where: str) -> None:
        match request.role:
            case Role.VALUE:
                self._variable(request, holder, node, where)
            case Role.VARIABLES:
                self._variables(node, where, request.job, request.origin)
            case Role.PARALLEL:
                self._parallel(node, where, request.job)
            case _:
                self._ruled(node, where, request.job, request.role)

    def _taken(self) -> set[str]:
        """Return the key paths that references put where nobody looks for an image.

        What a hidden entry holds means nothing by itself: a reference there counts once another
        takes it along.
        """
        taken: set[str] = set()
        if TAG.encode() not in self.tree.source.data:
            return taken
        dormant: dict[str, list[str]] = defaultdict(list)
        dormant_roots: dict[str, str] = {}
        for fields in self._roots:
            for name, (_, node) in fields.items():
                root = key("", name)
                parts = self._below(node) if name.startswith(".") else {}
                if parts:
                    for part, (_, below) in parts.items():
                        if part in _ACTIVE or part in _KEPT:
                            taken.update(self._put(below))
                        else:
                            where = key(root, part)
                            dormant[where] += self._put(below)
                            dormant_roots[where] = root
                elif name.startswith("."):
                    dormant[root] += self._put(node)
                else:
                    taken.update(self._put(node))
        return _woken(taken, dormant, dormant_roots)

    def _put(self, root: Node) -> Iterator[str]:
        """Yield the key paths that references below a node name and that nobody asked for."""
        for node in _sequences((root,)):
            if is_reference(node) and id(node) not in self._once["pointer"]:
                where = ""
                for name in path_of(node):
                    where = key(where, name)
                yield where

    # --- includes and inputs --------------------------------------------------------------

    def _run(self, node: Node, where: str) -> None:
        if is_reference(node):
            self._put_in_place(node, where, Role.STEPS)
        elif self._first(node, "run"):
            self.findings += steps(self.tree, node, where)
            for number, (_, item) in enumerate(self._several(node)):
                self._put_in_place(item, f"{where}[{number}]", Role.STEPS)

    def _put_in_place(self, node: Node, where: str, role: Role) -> None:
        """Ask for what belongs to no job's variables, if a node is a `!reference`."""
        if isinstance(node, Sequence) and is_reference(node):
            self._refer(node, where, Request(target=path_of(node), role=role, job=None))

    def _include(self, node: Node, where: str) -> None:
        if ".trigger." in where or self._behind is not None:
            self._put_in_place(node, where, Role.INCLUDE)
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
        if isinstance(node, Sequence):
            wanted = Request(target=path_of(node), role=Role.VARIABLES, job=job, origin=origin)
            self._refer(node, where, wanted)
        for name, (holder, value) in self._pairs(node).items():
            wanted = Request(target=(), role=Role.VALUE, job=job, name=name, origin=origin)
            self._variable(wanted, holder, value, key(where, name))

    def _variable(self, wanted: Request, holder: _Holder, value: Node, where: str) -> None:
        """Take a node for the value of a variable."""
        slot = partial(_Slot, job=wanted.job, name=wanted.name, origin=wanted.origin)
        if isinstance(value, Scalar):
            self._slot(slot(node=value, holder=holder, where=where, bound=wanted.bound))
        elif isinstance(value, Mapping):
            fields = self._pairs(value)
            if "value" in fields:
                bound = "options" if "options" in fields else ""
                self._variable(replace(wanted, bound=bound), *fields["value"], f"{where}.value")
        elif isinstance(value, Sequence) and is_reference(value):
            self._refer(value, where, replace(wanted, target=path_of(value)))
        elif wanted.origin is Origin.MATRIX:
            for number, (place_of_item, item) in enumerate(self._several(value)):
                if isinstance(item, Scalar):
                    self._slot(slot(node=item, holder=place_of_item, where=f"{where}[{number}]"))
                elif isinstance(item, Sequence) and is_reference(item):
                    self._refer(item, f"{where}[{number}]", replace(wanted, target=path_of(item)))

    def _parallel(self, node: Node | None, where: str, job: str | None) -> None:
        if isinstance(node, Sequence):
            self._refer(node, where, Request(target=path_of(node), role=Role.PARALLEL, job=job))
        self._ruled(get(node, "matrix"), f"{where}.matrix", job, Role.MATRIX)

    def _ruled(self, node: Node | None, where: str, job: str | None, role: Role, depth: int = 0) -> None:
        """Read the variables of rules, or of a matrix: a list that may hold lists, or one of its items."""
        if isinstance(node, Mapping):
            if role is Role.MATRIX:
                self._variables(node, where, job, Origin.MATRIX)
            else:
                self._variables(get(node, "variables"), f"{where}.variables", job, Origin.RULES)
        elif isinstance(node, Sequence) and is_reference(node):
            self._refer(node, where, Request(target=path_of(node), role=role, job=job))
        elif depth < _MAX_LISTS:
            for number, (_, item) in enumerate(self._several(node)):
                self._ruled(item, f"{where}[{number}]", job, role, depth + 1)

    def _extends(self, job: str, fields: _Pairs) -> None:
        extended = _node(fields, "extends")
        if text := scalar(extended):
            self.parents[job].add(text)
        self.parents[job].update(text for _, one in self._several(extended) if (text := scalar(one)))
        for _, value in fields.values():
            for one in (value, *(item for _, item in self._several(value))):
                if isinstance(one, Sequence) and str(one.tag) == TAG and one.value:
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


def _woken(taken: set[str], dormant: dict[str, list[str]], roots: dict[str, str]) -> set[str]:
    """Return what is taken, and what that takes along: `roots` tells which entry holds a dormant path."""
    below: dict[str, list[str]] = defaultdict(list)
    for where, root in roots.items():
        below[root].append(where)
    pending = list(taken)
    while pending:
        one = pending.pop()
        above = [one[:at] for at, character in enumerate(one) if at and character in ".["]
        for where in (*above, one, *below.pop(one, ())):
            fresh = set(dormant.pop(where, ())) - taken
            taken |= fresh
            pending += fresh
    return taken


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


def _sequences(documents: tuple[Node, ...]) -> Iterator[Sequence]:
    """Yield the sequences of a file, each once."""
    pending: list[Node] = list(documents)
    seen: set[int] = set()
    while pending:
        one = pending.pop()
        if isinstance(one, Scalar) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Sequence):
            yield one
            pending += one.value
        elif isinstance(one, Mapping):
            pending += (node for pair in one.value for node in pair)


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
