"""What one compose file says of images, without regard to where it lies or what lies beside it.

The compose specification: services, build, extends, include and fragments.  Every value keeps
the bytes that it stands at, so that a reading of a file outlives the file's tree of nodes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from bot.finders.yaml import Table, shown
from bot.interpolation import Template, Variable, names, parse, resolve, wholes
from bot.model import Span
from bot.source import Source
from bot.yamltree import Mapping, Node, Scalar, Sequence, Tree, Unparsable, check, compose, get, items, scalar

DOCKER_IMAGE = "docker-image://"
MAX_RAW = 1024
"""Bytes of a value without plain span that a report shows; of a longer one the first line."""

Defaults: TypeAlias = dict[str, frozenset[str]]

_TABLE = Table(("services.*", "include", "include[]"))
_NULL = "tag:yaml.org,2002:null"
_HEADER = re.compile(r"(?:[&!][^\s]*\s+)*\|[-+0-9]*[ \t]*(?:#[^\r\n]*)?(?:\r\n|\n|\r|\Z)")
_BREAK = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A scalar's text and its place."""

    where: str
    text: str
    span: Span | None
    """The bytes that are the text letter by letter."""
    raw: Span
    """The bytes of the scalar as written, quotes and indicators included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A value that names an image."""

    value: Value
    template: Template | None
    """The value as compose interpolates it; None where compose would refuse it."""
    services: tuple[str, ...]
    """The services whose `image` it is; none for contexts and volumes."""
    local: bool = False
    """Some service says `pull_policy: never` beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """A build argument that a service passes."""

    name: Value
    value: Value | None
    """None where it is taken over from the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What a service says of its build."""

    context: str | None
    dockerfile: str | None
    inline: bool
    tags: tuple[Value, ...]
    arguments: tuple[Argument, ...]
    contexts: tuple[Value, ...]
    """Names of its additional contexts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    name: str
    has_image: bool
    build: Build | None
    extends: tuple[str, str] | None
    """File, empty for this one, and service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """A Dockerfile inside of the file."""

    value: Value
    lines: tuple[int, ...] | None
    """The byte at which each of its lines starts; None where they are not there letter by letter."""
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Include:
    files: tuple[str, ...]
    """The first decides the project directory, the others override it."""
    project_directory: str | None
    env_files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one file says; empty where it is no compose file."""

    trouble: Unparsable | None = None
    slots: tuple[Slot, ...] = ()
    inlines: tuple[Inline, ...] = ()
    services: tuple[Service, ...] = ()
    includes: tuple[Include, ...] = ()
    remotes: tuple[Value, ...] = ()
    """Files of other places that it includes or extends."""
    partial: frozenset[str] = frozenset()
    """Variables that are used in any other way."""
    handed_on: int = 0
    """How many build arguments are named without a value."""
    defaults: Defaults = field(default_factory=dict)
    """What images come to where such a variable is not set; empty where that is not told."""


EMPTY = Reading()
_WORDS = (b"services", b"include", b"image:", b"build:")
"""Without one of these there is nothing to find; the last two are enough for the first layout."""
_FIRST = frozenset({"image", "build", "extends"})


def read(source: Source) -> Reading:
    """Return what a file says; never raises, on any bytes."""
    if not may_tell(source.data):
        trouble = check(source)
        return EMPTY if trouble is None else Reading(trouble=trouble)
    tree = compose(source)
    if isinstance(tree, Unparsable):
        return Reading(trouble=tree)
    return _Reader(tree).reading()


def may_tell(data: bytes) -> bool:
    """Return False where the bytes alone show that there is nothing to find."""
    return any(word in data for word in _WORDS)


def is_remote(path: str) -> bool:
    """Return whether a path names something that compose fetches from elsewhere."""
    return "://" in path or path.startswith(("git@", "github.com/", "oci:"))


class _Reader:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._slots: dict[int, Slot] = {}
        self._inlines: dict[int, Inline] = {}
        self._services: list[Service] = []
        self._includes: list[Include] = []
        self._remotes: dict[int, Value] = {}

    def reading(self) -> Reading:
        for hit in _TABLE.walk(self._tree):
            if hit.path == "services.*":
                if isinstance(hit.node, Mapping):
                    self._service(hit.where, hit.node)
            elif not isinstance(hit.node, Sequence):
                self._include(hit.where, hit.node)
        for where, node in _first_layout(self._tree):
            self._service(where, node)
        partial: set[str] = set()
        defaults: dict[str, set[str]] = {}
        for slot in self._slots.values():
            template = slot.template or ()
            candidates = set(wholes(template))
            if len(template) == 1 and isinstance(template[0], Variable) and template[0].operator:
                default = resolve(template, {}).text
                for name in candidates:
                    defaults.setdefault(name, set()).add(default or "")
            partial |= set(names(template)) - candidates
        for text in _texts(self._tree, self._slots.keys()):
            partial.update(names(parse(text, lenient=True) or ()))
        return Reading(
            slots=tuple(self._slots.values()),
            inlines=tuple(self._inlines.values()),
            services=tuple(self._services),
            includes=tuple(self._includes),
            remotes=tuple(self._remotes.values()),
            partial=frozenset(partial),
            handed_on=sum(
                argument.value is None
                for service in self._services
                if service.build is not None
                for argument in service.build.arguments
            ),
            defaults={name: frozenset(held) for name, held in defaults.items()},
        )

    # --- services -------------------------------------------------------------------------

    def _service(self, where: str, node: Node) -> None:
        name = where.removeprefix("services.")
        held = _fields(node)
        local = scalar(held.get("pull_policy")) == "never"
        named = self._image(f"{where}.image", held.get("image"), name, local=local)
        if "volumes" in held:
            self._volumes(f"{where}.volumes", held["volumes"])
        self._services.append(
            Service(
                name=name,
                has_image=named,
                build=self._build(f"{where}.build", held.get("build"), name),
                extends=self._extends(f"{where}.extends", held.get("extends")),
            )
        )

    def _image(self, where: str, node: Node | None, service: str, *, local: bool) -> bool:
        if node is None or not _is_set(node):
            return False
        known = self._slots.get(id(node))
        value = known.value if known else self._value(where, node)
        self._slots[id(node)] = Slot(
            value=value,
            template=known.template if known else parse(value.text),
            services=(*(known.services if known else ()), service),
            local=local or (known is not None and known.local),
        )
        return True

    def _volumes(self, where: str, node: Node | None) -> None:
        if not isinstance(node, Sequence):
            return
        for number, volume in enumerate(node.value):
            if scalar(get(volume, "type")) != "image":
                continue
            held = get(volume, "source")
            if held is not None and _is_set(held):
                value = self._value(f"{where}[{number}].source", held)
                self._slots.setdefault(id(held), Slot(value=value, template=parse(value.text), services=()))

    def _extends(self, where: str, node: Node | None) -> tuple[str, str] | None:
        if isinstance(node, Scalar):
            return ("", node.value) if _is_set(node) else None
        service = scalar(get(node, "service"))
        if service is None:
            return None
        file = get(node, "file")
        if isinstance(file, Scalar) and is_remote(file.value):
            self._remotes.setdefault(id(file), self._value(f"{where}.file", file))
            return None
        return scalar(file) or "", service

    # --- builds ---------------------------------------------------------------------------

    def _build(self, where: str, node: Node | None, service: str) -> Build | None:
        if node is None or isinstance(node, Sequence) or not _is_set(node):
            return None
        if isinstance(node, Scalar):
            return Build(
                context=node.value,
                dockerfile=None,
                inline=False,
                tags=(),
                arguments=(),
                contexts=(),
            )
        arguments = tuple(self._arguments(f"{where}.args", get(node, "args")))
        contexts = self._contexts(f"{where}.additional_contexts", get(node, "additional_contexts"))
        inline = get(node, "dockerfile_inline")
        held = isinstance(inline, Scalar) and _is_set(inline)
        if isinstance(inline, Scalar) and held:
            known = self._inlines.get(id(inline))
            value = known.value if known else self._value(f"{where}.dockerfile_inline", inline)
            self._inlines[id(inline)] = Inline(
                value=replace(value, text=inline.value),  # with the blank lines around it
                lines=known.lines if known else self._lines(inline),
                services=(*(known.services if known else ()), service),
            )
        return Build(
            context=scalar(get(node, "context")),
            dockerfile=scalar(get(node, "dockerfile")),
            inline=held,
            tags=tuple(
                self._value(f"{where}.tags[{number}]", tag)
                for number, tag in enumerate(_listed(get(node, "tags")))
            ),
            arguments=arguments,
            contexts=contexts,
        )

    def _arguments(self, where: str, node: Node | None) -> Iterator[Argument]:
        """Yield the arguments of a map, or of a list of `NAME=value` and `NAME`."""
        if isinstance(node, Mapping):
            for key, held in items(node):
                place = f"{where}.{shown(str(key.value))}"
                value = self._value(place, held) if isinstance(held, Scalar) and _is_set(held) else None
                yield Argument(name=self._value(place, key), value=value)
        for item in _listed(node):
            whole = self._value(where, item)
            name, equals, _ = whole.text.partition("=")
            if name:
                place = f"{where}.{shown(name)}"
                value = _cut(whole, len(name) + 1, len(whole.text), place) if equals else None
                yield Argument(name=_cut(whole, 0, len(name), place), value=value)

    def _contexts(self, where: str, node: Node | None) -> tuple[Value, ...]:
        """Take in the images that named contexts are; return the contexts' names."""
        found: dict[str, Value] = {}
        pairs: list[tuple[Value, int, Node]] = []
        if isinstance(node, Mapping):
            pairs = [(self._value(where, key), 0, value) for key, value in items(node)]
        for item in _listed(node):
            whole = self._value(where, item)
            name, equals, _ = whole.text.partition("=")
            if equals:
                pairs.append((_cut(whole, 0, len(name), where), len(name) + 1, item))
        for key, start, held in pairs:
            found.setdefault(key.text, key)
            text = scalar(held) or ""
            if text.startswith(DOCKER_IMAGE, start):
                value = self._value(f"{where}.{shown(key.text)}", held)
                cut = _cut(value, start + len(DOCKER_IMAGE), len(text), value.where)
                self._slots.setdefault(id(held), Slot(value=cut, template=parse(cut.text), services=()))
        return tuple(found.values())

    # --- includes -------------------------------------------------------------------------

    def _include(self, where: str, node: Node) -> None:
        listed = [node] if isinstance(node, Scalar) else list(_one_or_more(get(node, "path")))
        files: list[str] = []
        for one in listed:
            if is_remote(one.value):
                self._remotes.setdefault(id(one), self._value(where, one))
            elif _is_set(one):
                files.append(one.value)
        if files:
            self._includes.append(
                Include(
                    files=tuple(files),
                    project_directory=scalar(get(node, "project_directory")),
                    env_files=tuple(one.value for one in _one_or_more(get(node, "env_file"))),
                )
            )

    # --- places ---------------------------------------------------------------------------

    def _value(self, where: str, node: Node) -> Value:
        text, offset = self._tree.text.text, self._tree.text.offset
        start, end = node.start_mark.index, node.end_mark.index
        written = text[start:end].rstrip()
        if len(written) > MAX_RAW:
            written = _BREAK.split(written, maxsplit=1)[0][:MAX_RAW].rstrip()
        raw = Span(offset(start), offset(start + len(written)))
        span = self._tree.span(node)
        known = scalar(node)
        if isinstance(node, Scalar) and node.style in ("|", ">") and span is not None:
            known = (known or "").strip("\n")
        return Value(where=where, text=written if known is None else known, span=span, raw=raw)

    def _lines(self, node: Scalar) -> tuple[int, ...] | None:
        """Return the byte at which each line of a literal block or of a one-line scalar starts."""
        plain = self._tree.span(node)
        if node.style != "|":
            return (plain.start,) if plain is not None and node.style != ">" else None
        whole = self._tree.text.text
        header = _HEADER.match(whole, node.start_mark.index, node.end_mark.index)
        if header is None:
            return None
        starts: list[int] = []
        position, indent = header.end(), None
        for line in node.value.split("\n"):
            found = _BREAK.search(whole, position)
            stop = found.start() if found else len(whole)
            if line:
                start = stop - len(line)
                if start < position or whole[start:stop] != line or whole[position:start].strip(" "):
                    return None
                if indent is None:
                    indent = start - position
                if start - position != indent:
                    return None
                position = start
            starts.append(self._tree.text.offset(position))
            position = found.end() if found else len(whole)
        return tuple(starts)


def _first_layout(tree: Tree) -> list[tuple[str, Mapping]]:
    """Return the services of a file in the layout of Fig and Compose 1: all at the root, and nothing else.

    Empty where any of it could be something else.
    """
    found: list[tuple[str, Mapping]] = []
    for key, node in items(tree.documents[0]) if len(tree.documents) == 1 else ():
        held = _fields(node)
        image = held.get("image")
        if not isinstance(node, Mapping) or not held.keys() & _FIRST or isinstance(image, Sequence | Mapping):
            return []
        found.append((shown(str(key.value)), node))
    named = {where for where, _ in found}
    return [] if named & {"services", "version", "include", "volumes", "networks"} else found


def _cut(value: Value, start: int, end: int, where: str) -> Value:
    """Return a part of a value by its characters."""
    span = value.span
    if span is not None:
        first = span.start + len(value.text[:start].encode())
        span = Span(first, first + len(value.text[start:end].encode()))
    return Value(where=where, text=value.text[start:end], span=span, raw=value.raw)


def _fields(node: Node) -> dict[str, Node]:
    """Return a mapping's values by key, merge keys resolved; the last one of equal keys."""
    return {key.value: value for key, value in items(node)}


def _is_set(node: Node) -> bool:
    """Return whether a node holds something: not null, not taken away by `!reset`."""
    if node.tag == "!reset":
        return False
    return not isinstance(node, Scalar) or bool(node.value and node.tag != _NULL)


def _listed(node: Node | None) -> list[Scalar]:
    if not isinstance(node, Sequence):
        return []
    return [item for item in node.value if isinstance(item, Scalar) and _is_set(item)]


def _one_or_more(node: Node | None) -> list[Scalar]:
    if isinstance(node, Scalar):
        return [node] if _is_set(node) else []
    return _listed(node)


def _texts(tree: Tree, without: Collection[int]) -> Iterator[str]:
    """Yield the text of each scalar value that may hold a variable, but for nodes of some identities."""
    seen: set[int] = set()
    pending: list[Node] = list(tree.documents)
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Scalar):
            if "$" in node.value and id(node) not in without:
                yield node.value
        elif isinstance(node, Sequence):
            pending += node.value
        elif isinstance(node, Mapping):
            pending += [value for _, value in node.value]
