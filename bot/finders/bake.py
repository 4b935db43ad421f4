"""Bake files: what `docker buildx bake` builds, what it passes to Dockerfiles, and images among that.

Follows the bake file reference.  Bake reads the files of one folder together, merges targets of
one name and lets targets inherit from each other; a variable's default holds unless the
environment sets it.  Paths are relative to where bake is started, which is taken to be the file's
folder or, where no Dockerfile lies there, one above it.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from typing import TypeVar

from bot import dockerfile, hcl
from bot.finders import templated
from bot.finders.passed import FRONTEND, takes_image
from bot.finders.yaml import shown
from bot.hcl import Block, Document, Hole, Items, Name, Null, Other, Table, Template, Value
from bot.model import (
    BuildArgument,
    BuildContext,
    Built,
    Finding,
    Findings,
    ImageReference,
    Kind,
    Location,
    SkipReason,
    State,
    Unread,
    UnreadReason,
)
from bot.reference import is_digest, parse_image
from bot.source import Literal, Source, Text

T = TypeVar("T")

FORMAT = "bake"
DOCKER_IMAGE = "docker-image://"
MAX_FILES = 32
"""Bake files of one folder that are read together."""
MAX_FOLDERS = 16
"""Folders above a bake file in which bake may be started; the root is one more."""
MAX_TARGETS = 1000
MAX_CHAIN = 32
"""Targets that one target inherits from."""
MAX_ALTERNATIVES = 32
"""Values that a text may come to, by a matrix or by several definitions."""
MAX_DOCKERFILES = 64
"""Dockerfiles that one target's arguments may go to; of more, any may be meant."""
MAX_PIECES = 64
"""Pieces of a string that is put together."""
MAX_TEXT = 2000
"""Characters of what a string may come to."""
MAX_DEPTH = 12
"""Variables that stand for one another."""
MAX_FACTS = 5000
"""Arguments, contexts and names of one file."""
MAX_CHECKED = 16
"""Dockerfiles that are asked what they take an argument for."""
MAX_CHECKED_ARGUMENTS = 2000
"""Arguments of a folder's files that Dockerfiles are asked about."""
MAX_RAW = 300
"""Characters of a value that is not edited which a report shows."""

paths: tuple[str, ...] = ("**/*bake*.hcl", "**/*bake*.json")

_SEPARATOR = re.compile(r"[._-]")
_JSON = re.compile(r"docker-bake(?:[._-].*)?\.json|(?:.*\.)?bake\.json", re.DOTALL)
_ARGUMENT = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://|git@|target:|github\.com/")
_OUTPUT_NAME = re.compile(r"(?:^|[,\"])name=([^,\"]+)")
_CONCRETE = ("context", "dockerfile", "dockerfile-inline", "tags", "target", "matrix")
"""Fields that make a target more than a bundle of settings for others."""

_SHELL = "A value of {name} in the environment goes before this one."
_SHARED = "{name} is used in other places too, which a digest would break."
_SEVERAL = "{name} is set in several bake files."
_UNSET = "No plain value for {name} in the files."
_MATRIX = "A matrix or a function's caller sets {name}."
_WHOLE = "Let one variable hold the whole reference: its default can be pinned."
_INLINE = "Bake puts its own variables into this Dockerfile."


def claims(path: str, head: bytes) -> bool:
    """Return whether a file is a bake file by its name."""
    del head
    name = path[path.rfind("/") + 1 :]
    if "bake" not in name:
        return False
    if name.endswith(".hcl"):
        return "bake" in _SEPARATOR.split(name)[:-1]
    return _JSON.fullmatch(name) is not None


def needs(source: Source) -> tuple[str, ...]:
    """Return nothing: what a bake file is read with bears a bake file's name, too."""
    del source
    return ()


def dockerfiles(source: Source, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the paths at which Dockerfiles of the file's targets may lie, there or not."""
    try:
        _reading(source.path, source.data)
    except UnicodeDecodeError:
        return ()
    held = files if files.get(source.path) is source.data else {**files, source.path: source.data}
    return _Project(source.path, held).places(source.path)


def find(source: Source, files: Mapping[str, bytes]) -> Findings:
    """Return what bake builds and passes because of this file, and the images in it."""
    may_tell = b"target" in source.data or b"variable" in source.data
    try:
        read = _reading(source.path, source.data)
    except UnicodeDecodeError as error:
        line = source.line_at(len(source.data) - len(error.object) + error.start)
        trouble = Unread(path=source.path, reason=UnreadReason.NOT_UTF8, detail="not UTF-8", line=line)
        return Findings(unread=(trouble,))
    unread: tuple[Unread, ...] = ()
    if read.document.trouble is not None:
        at, why = read.document.trouble
        line = source.line_at(read.text.offset(min(at, len(read.text.text))))
        unread = (Unread(path=source.path, reason=UnreadReason.UNPARSABLE, detail=why, line=line),)
    if not may_tell:
        return Findings(unread=() if templated.is_template(source.path, source.data) else unread)
    held = files if files.get(source.path) is source.data else {**files, source.path: source.data}
    project = _Project(source.path, held)
    if source.path in project.cut:
        why = f"There are more than {MAX_TARGETS} targets; it was read in part."
        unread = (*unread, Unread(path=source.path, reason=UnreadReason.UNPARSABLE, detail=why))
    made = _File(source, read, project).findings()
    return Findings(
        references=made.references,
        unread=(*unread, *made.unread),
        built=made.built,
        arguments=made.arguments,
        contexts=made.contexts,
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    document: Document
    text: Text


def _reading(path: str, data: bytes) -> _Reading:
    return _read(data, path.endswith(".json"))


@lru_cache(maxsize=MAX_FILES)
def _read(data: bytes, json: bool) -> _Reading:
    text = Text(data)
    return _Reading((hcl.read_json if json else hcl.read)(text.text), text)


# --- the files of a folder ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Held:
    """Something with the file that it stands in."""

    path: str
    value: Value


@dataclass(frozen=True, slots=True)
class _Target:
    path: str
    block: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    """A value that is an image, or what comes behind the scheme that says so."""

    path: str
    where: str
    pieces: tuple[Literal | Hole, ...]
    start: int
    end: int
    matrix: frozenset[str] = frozenset()
    """Variables that the target's matrix or a function's caller sets."""

    @property
    def whole(self) -> str | None:
        """Return the variable that is the whole image, if one is."""
        if len(self.pieces) == 1 and isinstance(self.pieces[0], Hole):
            return self.pieces[0].name
        return None


class _Project:
    """The bake files of one folder, as bake merges them."""

    def __init__(self, path: str, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.folder = path.rpartition("/")[0]
        self.readings: dict[str, _Reading] = {}
        self.targets: dict[str, list[_Target]] = {}
        self.variables: dict[str, list[_Held]] = {}
        self.functions: dict[str, list[_Held]] = {}
        self.mentions: Counter[str] = Counter()
        self._known: dict[str, tuple[str, ...] | None] = {}
        self._matrices: dict[str, dict[str, tuple[str, ...]]] = {}
        beside = [one for one in sorted(files) if one.rpartition("/")[0] == self.folder and claims(one, b"")]
        self.cut: set[str] = set()
        """Files of which not all targets were taken."""
        for one in dict.fromkeys((path, *beside[:MAX_FILES])):
            try:
                self.readings[one] = _reading(one, files[one])
            except UnicodeDecodeError:
                continue
            self._take(one, self.readings[one].document)
        self._chains = {name: self._chain(name) for name in self.targets}
        self._heirs: dict[str, list[str]] = {}
        for name, ancestors in self._chains.items():
            for one in ancestors:
                self._heirs.setdefault(one, []).append(name)
        self._consumers: dict[str, tuple[str | None, ...]] = {}
        self._sources: dict[str, Source] = {}
        self._own: dict[str, tuple[str | None, ...]] = {}

    def _take(self, path: str, document: Document) -> None:
        self.mentions.update(document.mentions)
        for name, value in document.attributes.items():
            self.variables.setdefault(name, []).append(_Held(path, value))
        for block in document.blocks:
            name = block.labels[0] if block.labels else ""
            if block.kind == "variable":
                held = block.body.get("default", Template((), 0, 0))
                self.variables.setdefault(name, []).append(_Held(path, held))
            elif block.kind == "function" and "result" in block.body:
                self.functions.setdefault(name, []).append(_Held(path, block.body["result"]))
            elif block.kind == "target":
                if name in self.targets or len(self.targets) < MAX_TARGETS:
                    self.targets.setdefault(name, []).append(_Target(path, block))
                else:
                    self.cut.add(path)

    # --- what values come to --------------------------------------------------------------

    def texts(
        self, value: Value, local: Mapping[str, tuple[str, ...]], depth: int = 0
    ) -> tuple[str, ...] | None:
        """Return what a value may come to by the files alone, or None where they do not tell."""
        if isinstance(value, Name):
            return self._variable(value.name, local, depth)
        if not isinstance(value, Template) or len(value.pieces) > MAX_PIECES:
            return None
        made = [""]
        for piece in value.pieces:
            parts: tuple[str, ...] | None = None
            if isinstance(piece, Literal):
                parts = (piece.text,)
            elif piece.name is not None:
                parts = self._variable(piece.name, local, depth)
            if parts is None or len(parts) * len(made) > MAX_ALTERNATIVES:
                return None
            made = [before + part for before in made for part in parts]
            if max(map(len, made)) > MAX_TEXT:
                return None
        return tuple(dict.fromkeys(made))

    def _variable(
        self, name: str, local: Mapping[str, tuple[str, ...]], depth: int
    ) -> tuple[str, ...] | None:
        if name in local:
            return local[name] or None
        if name not in self._known:
            self._known[name] = None  # for a variable that stands for itself
            self._known[name] = self._defined(name, depth + 1)
        return self._known[name]

    def _defined(self, name: str, depth: int) -> tuple[str, ...] | None:
        held = self.variables.get(name, ())
        if depth > MAX_DEPTH or len(held) > MAX_ALTERNATIVES:
            return None
        found: dict[str, None] = {}
        for one in held:
            texts = self.texts(one.value, {}, depth)
            if texts is None:
                return None
            found.update(dict.fromkeys(texts))
        return tuple(found) or None

    def is_null(self, value: Value) -> bool:
        """Return whether a value is as if it were not given."""
        if isinstance(value, Name):
            held = self.variables.get(value.name, ())
            return bool(held) and all(isinstance(one.value, Null) for one in held)
        return isinstance(value, Null)

    def pairs(self, path: str, value: Value | None) -> Iterator[tuple[str, hcl.Pair]]:
        """Yield the pairs of an object, or of the objects that a variable is, each with its file."""
        held = [_Held(path, value)] if value is not None else []
        if isinstance(value, Name):
            held = self.variables.get(value.name, [])
        for one in held:
            if isinstance(one.value, Table):
                yield from ((one.path, pair) for pair in one.value.pairs)

    def matrix(self, name: str) -> dict[str, tuple[str, ...]]:
        """Return what a target's matrix sets, with the values that are plain text; else none."""
        if name not in self._matrices:
            made = self._matrices[name] = {}
            for target in self.targets.get(name, ()):
                for _, pair in self.pairs(target.path, target.block.body.get("matrix")):
                    if pair.key.text is not None:
                        made[pair.key.text] = _plain_items(pair.value)
        return self._matrices[name]

    def keys(self, name: str, field_name: str) -> set[str]:
        """Return the names of what a target passes or inherits: arguments or contexts."""
        return {
            text
            for one in self._chains[name]
            for target in self.targets[one]
            for _, pair in self.pairs(target.path, target.block.body.get(field_name))
            if (text := pair.key.text) is not None and not self.is_null(pair.value)
        }

    # --- where arguments go ---------------------------------------------------------------

    def _chain(self, name: str) -> tuple[str, ...]:
        """Return a target and those that it inherits from, in the order in which the first one counts."""
        made: dict[str, None] = {}
        pending = [name]
        while pending and len(made) < MAX_CHAIN:
            one = pending.pop()
            if one in made or one not in self.targets:
                continue
            made[one] = None
            local = self.matrix(one)
            for target in self.targets[one]:
                inherits = target.block.body.get("inherits")
                for item in inherits.items if isinstance(inherits, Items) else ():
                    pending += self.texts(item, local) or ()
        return tuple(made)

    def _field(self, name: str, field_name: str) -> tuple[str, ...] | None:
        """Return what a field of a target may be, nothing where it is not set; None if not told."""
        local = self.matrix(name)
        for one in self._chains[name]:
            held = [
                value
                for target in self.targets[one]
                if (value := target.block.body.get(field_name)) is not None and not self.is_null(value)
            ]
            if held:
                found: list[str] = []
                for value in held:
                    texts = self.texts(value, local)
                    if texts is None:
                        return None
                    found += texts
                return tuple(dict.fromkeys(found))
        return ()

    def _dockerfiles(self, name: str) -> tuple[str | None, ...]:
        """Return the Dockerfiles that a target may build; None stands for one that is not known."""
        if name not in self._own:
            self._own[name] = tuple(dict.fromkeys(self._find_dockerfiles(name)))
        return self._own[name]

    def places(self, path: str) -> tuple[str, ...]:
        """Return the paths at which Dockerfiles of one file's targets may lie, from near to far."""
        names = [name for name, targets in self.targets.items() if any(one.path == path for one in targets)]
        found = (one for name in names for one in self._written(name) if one is not None)
        return tuple(islice(dict.fromkeys(chain.from_iterable(map(self._places, found))), MAX_FACTS))

    def _find_dockerfiles(self, name: str) -> Iterator[str | None]:
        for relative in self._written(name):
            if relative is None:
                yield None
            else:
                made = self._places(relative)
                existing = [path for path in made if path in self.files]
                yield from existing or made[:1]

    def _written(self, name: str) -> Iterator[str | None]:
        """Yield the Dockerfiles of a target, each from the folder that bake is started in; None stands for any."""
        if any(
            "dockerfile-inline" in target.block.body
            for one in self._chains[name]
            for target in self.targets[one]
        ):
            return
        contexts, names = self._field(name, "context"), self._field(name, "dockerfile")
        if contexts is None or names is None:
            yield None
            return
        for context in contexts or (".",):
            for written in names or ("Dockerfile",):
                local = written.removeprefix("cwd://")
                folder = "" if local != written else context.removeprefix("cwd://")
                if not _REMOTE.match(folder) and not _REMOTE.match(local):
                    yield posixpath.join(folder, local)

    def _places(self, relative: str) -> list[str]:
        """Return where a path below the folder that bake is started in may lie."""
        if relative.startswith("/"):
            return []
        folders = self.folder.split("/") if self.folder else []
        made = []
        near = range(len(folders), max(len(folders) - MAX_FOLDERS, 0), -1)
        for depth in (*near, 0):
            path = posixpath.normpath("/".join((*folders[:depth], relative)))
            if not path.startswith(("/", "../")):
                made.append(path)
        return made

    def consumers(self, name: str) -> tuple[str | None, ...]:
        """Return the Dockerfiles that what a target's block says goes to."""
        if name not in self._consumers:
            heirs = [one for one in self._heirs[name] if not self._is_abstract(one)] or [name]
            found = tuple(dict.fromkeys(path for one in heirs for path in self._dockerfiles(one)))
            self._consumers[name] = found if len(found) <= MAX_DOCKERFILES else (None,)
        return self._consumers[name]

    def _is_abstract(self, name: str) -> bool:
        if len(self._heirs[name]) < 2:
            return False
        bodies = [target.block.body for target in self.targets[name]]
        return name.startswith("_") or not any(key in body for body in bodies for key in _CONCRETE)

    # --- images ---------------------------------------------------------------------------

    def slots(self) -> Iterator[_Slot]:
        """Yield the values of contexts and arguments that are images."""
        left = MAX_CHECKED_ARGUMENTS
        for name, results in self.functions.items():
            for held in results:
                pieces = held.value.pieces if isinstance(held.value, Template) else ()
                local = frozenset(piece.name for piece in pieces if isinstance(piece, Hole) and piece.name)
                yield from self._context(held.path, held.value, f"function.{shown(name)}.result", local)
        for name, targets in self.targets.items():
            matrix = frozenset(self.matrix(name))
            for target in targets:
                body, where = target.block.body, f"target.{shown(name)}"
                merged = body.get("contexts")
                if isinstance(merged, Other):
                    yield from self._context(target.path, merged, f"{where}.contexts", matrix)
                for path, pair in self.pairs(target.path, merged):
                    place = f"{where}.contexts.{shown(self.raw(path, pair.key))}"
                    yield from self._context(path, pair.value, place, matrix)
                for path, pair in islice(self.pairs(target.path, body.get("args")), left):
                    key, left = pair.key.text, left - 1
                    if key is not None and not self.is_null(pair.value) and self._is_image(name, key):
                        yield from _slot(path, pair.value, f"{where}.args.{shown(key)}", matrix)

    def _context(self, path: str, value: Value, where: str, matrix: frozenset[str]) -> Iterator[_Slot]:
        if isinstance(value, Template):
            cut = _cut(value)
            if cut is not None:
                yield from _slot(path, cut, where, matrix)
        elif isinstance(value, Name) and value.name not in matrix:
            held = self.variables.get(value.name, [])
            if any(isinstance(one.value, Template) and _cut(one.value) is not None for one in held):
                yield from _slot(path, value, where, matrix)
        elif isinstance(value, Other):
            for one in value.strings:
                yield from self._context(path, one, where, matrix)

    def _is_image(self, name: str, argument: str) -> bool:
        """Return whether the Dockerfiles that make use of an argument take it for images alone, and whole."""
        if argument == FRONTEND:
            return True
        places = self.consumers(name)
        if len(places) > MAX_CHECKED:
            return False
        held = [self.files.get(one) if one is not None else None for one in places]
        used = [data for data in held if data is None or argument.encode() in data]
        return bool(used) and all(data is not None and takes_image(data, argument) for data in used)

    def place(self, path: str, template: Template) -> Location:
        """Return where a string stands."""
        if path not in self._sources:
            self._sources[path] = Source(path, self.files[path])
        text = self.readings[path].text
        return self._sources[path].location(text.offset(template.start), text.offset(template.end))

    def raw(self, path: str, template: Template) -> str:
        """Return a string as it is written."""
        return self.readings[path].text.text[template.start : template.end]


def _plain_items(value: Value) -> tuple[str, ...]:
    """Return a list's texts; none where there are too many or one of them is no plain text."""
    items = value.items if isinstance(value, Items) else ()
    texts = [item.text if isinstance(item, Template) else None for item in items[: MAX_ALTERNATIVES + 1]]
    known = tuple(text for text in texts if text is not None)
    return known if len(known) == len(items) else ()


def _slot(path: str, value: Value, where: str, matrix: frozenset[str]) -> Iterator[_Slot]:
    pieces: tuple[Literal | Hole, ...] = ()
    if isinstance(value, Name):
        pieces = (Hole(value.name, value.start, value.end),)
    elif isinstance(value, Template):
        pieces = value.pieces
    if pieces and isinstance(value, Name | Template):
        yield _Slot(
            path=path, where=where, pieces=pieces, start=pieces[0].start, end=pieces[-1].end, matrix=matrix
        )


def _cut(template: Template) -> Template | None:
    """Return what comes behind the scheme of an image; None where there is no such scheme."""
    first = template.pieces[0] if template.pieces else None
    if not isinstance(first, Literal) or not first.text.startswith(DOCKER_IMAGE):
        return None
    text, start = first.text.removeprefix(DOCKER_IMAGE), first.start + len(DOCKER_IMAGE)
    rest = template.pieces[1:]
    if not first.plain:
        start, text = first.start, first.text.removeprefix(DOCKER_IMAGE)
    head = (Literal(text, start, first.end),) if text else ()
    return Template((*head, *rest), start, template.end, template.heredoc)


# --- one file's findings ------------------------------------------------------------------


@dataclass(slots=True)
class _File:
    source: Source
    read: _Reading
    project: _Project
    _references: dict[tuple[int, int], Finding] = field(default_factory=dict)
    _unread: list[Unread] = field(default_factory=list)

    def findings(self) -> Findings:
        mine = [
            (name, target.block)
            for name, targets in self.project.targets.items()
            for target in targets
            if target.path == self.source.path
        ]
        for name, block in mine:
            self._inline(name, block.body.get("dockerfile-inline"))
        self._images()
        built = {one.name: one for one in self._some(self._built(block) for _, block in mine)}
        arguments = self._some(self._arguments(name, block) for name, block in mine)
        contexts = self._some(self._contexts(name, block) for name, block in mine)
        return Findings(
            references=tuple(self._references[place] for place in sorted(self._references)),
            unread=tuple(self._unread),
            built=tuple(built.values()),
            arguments=tuple({(one.name, one.dockerfile): one for one in arguments}.values()),
            contexts=tuple({(one.name, one.dockerfile): one for one in contexts}.values()),
        )

    @staticmethod
    def _some(found: Iterable[Iterator[T]]) -> Iterator[T]:
        return islice(chain.from_iterable(found), MAX_FACTS)

    # --- facts ----------------------------------------------------------------------------

    def _built(self, block: Block) -> Iterator[Built]:
        for path, template in self._strings(block.body.get("tags")):
            for name in self._names(path, template):
                yield Built(name=name, location=self.project.place(path, template))
        for path, template in self._strings(block.body.get("output")):
            for found in _OUTPUT_NAME.finditer(self.project.raw(path, template)):
                yield Built(name=found[1], location=self.project.place(path, template))

    def _names(self, path: str, template: Template) -> Iterator[str]:
        raw = self.project.raw(path, template)
        known = self.project.texts(template, {}) or ()
        for name in known:
            if parse_image(name) is not None:
                yield name
        if raw not in known and "/" in raw and not any(mark in raw for mark in "\n\\ "):
            yield raw

    def _strings(self, value: Value | None) -> Iterator[tuple[str, Template]]:
        """Yield the strings that a list of tags or outputs may hold, each with its file.

        What an expression merely mentions counts where it looks like a name with a path.
        """
        pending = [(_Held(self.source.path, value), True)] if value is not None else []
        seen: set[str] = set()
        while pending:
            held, sure = pending.pop()
            one = held.value
            if isinstance(one, Template):
                if sure or "/" in self.project.raw(held.path, one)[1:]:
                    yield held.path, one
            elif isinstance(one, Items):
                pending += ((_Held(held.path, item), sure) for item in reversed(one.items))
            elif isinstance(one, Table):
                pending += (
                    (_Held(held.path, pair.value), sure) for pair in one.pairs if pair.key.text == "name"
                )
            elif isinstance(one, Name | Other):
                names = {one.name} if isinstance(one, Name) else one.names
                strings = one.strings if isinstance(one, Other) else ()
                pending += ((_Held(held.path, text), False) for text in strings)
                sure = sure and isinstance(one, Name)
                for name in sorted(names - seen):
                    pending += ((found, sure) for found in self.project.variables.get(name, ()))
                    pending += ((found, sure) for found in self.project.functions.get(name, ()))
                seen |= names

    def _arguments(self, target: str, block: Block) -> Iterator[BuildArgument]:
        merged = block.body.get("args")
        if isinstance(merged, Other):  # `merge({ A = 1 }, B)`: any of these names may be a key
            location = self.project.place(self.source.path, Template((), block.start, block.start))
            for mentioned in sorted(merged.names):
                for one in self.project.consumers(target):
                    yield BuildArgument(name=mentioned, dockerfile=one, location=location)
        for path, pair in self.project.pairs(self.source.path, block.body.get("args")):
            name = pair.key.text
            if name is not None and _ARGUMENT.fullmatch(name) and not self.project.is_null(pair.value):
                for one in self.project.consumers(target):
                    yield BuildArgument(
                        name=name, dockerfile=one, location=self.project.place(path, pair.key)
                    )

    def _contexts(self, target: str, block: Block) -> Iterator[BuildContext]:
        local = self.project.matrix(target)
        for path, pair in self.project.pairs(self.source.path, block.body.get("contexts")):
            for name in self.project.texts(pair.key, local) or ():
                for one in self.project.consumers(target):
                    yield BuildContext(name=name, dockerfile=one, location=self.project.place(path, pair.key))

    # --- images ---------------------------------------------------------------------------

    def _images(self) -> None:
        slots = tuple(self.project.slots())
        wholes: dict[str, set[tuple[str, int]]] = {}
        for slot in slots:
            if slot.whole is not None:
                wholes.setdefault(slot.whole, set()).add((slot.path, slot.start))
        for slot in slots:
            if slot.whole is not None:
                self._variable(slot, slot.whole, len(wholes[slot.whole]))
            elif slot.path == self.source.path:
                self._direct(slot)

    def _variable(self, slot: _Slot, name: str, uses: int) -> None:
        """Add the image that a variable holds, where it stands, or else its use."""
        held = () if name in slot.matrix else tuple(self.project.variables.get(name, ()))
        if not held or not all(_is_plain(one.value) for one in held):
            if slot.path == self.source.path:
                note = (_MATRIX if name in slot.matrix else _UNSET).format(name=name)
                self._add(slot.where, slot.start, slot.end, None, State.UNKNOWN, SkipReason.VARIABLE, note)
            return
        skip, note = None, "" if name in self.read.document.attributes else _SHELL.format(name=name)
        if len(held) > 1:
            skip, note = SkipReason.SHARED_VARIABLE, _SEVERAL.format(name=name)
        elif self.project.mentions[name] != uses:
            skip, note = SkipReason.SHARED_VARIABLE, _SHARED.format(name=name)
        for one in held:
            if one.path == self.source.path and isinstance(one.value, Template):
                self._literal(slot.where, _cut(one.value) or one.value, skip, note, name)

    def _direct(self, slot: _Slot) -> None:
        template = Template(slot.pieces, slot.start, slot.end)
        if template.text is not None:
            self._literal(slot.where, template, None, "", None)
            return
        texts = self.project.texts(template, dict.fromkeys(slot.matrix, ()))
        reference = parse_image(texts[0]) if texts is not None and len(texts) == 1 else None
        last = slot.pieces[-1]
        digested = isinstance(last, Literal) and is_digest(last.text.rpartition("@")[2])
        if digested or (reference is not None and reference.digest is not None):
            self._add(slot.where, slot.start, slot.end, reference, State.PINNED, SkipReason.PINNED, "")
            return
        state = State.UNKNOWN if reference is None else State.FLOATING
        self._add(slot.where, slot.start, slot.end, reference, state, SkipReason.PARTIAL_VARIABLE, _WHOLE)

    def _literal(
        self, where: str, template: Template, skip: SkipReason | None, note: str, argument: str | None
    ) -> None:
        reference = parse_image(template.text or "")
        if reference is None:
            self._add(where, template.start, template.end, None, State.UNKNOWN, SkipReason.INVALID, "")
            return
        state = State.FLOATING
        if reference.digest is not None:
            state, skip, note = State.PINNED, SkipReason.PINNED, ""
        elif not _is_plain(template):
            skip, note = SkipReason.ESCAPED, ""
        self._add(where, template.start, template.end, reference, state, skip, note, argument)

    def _inline(self, target: str, value: Value | None) -> None:
        if not isinstance(value, Template):
            return
        text, offset = self.read.text.text, self.read.text.offset
        inside = text[value.start : value.end]
        if not value.heredoc and "\\" in inside:
            return  # a whole Dockerfile on one line, its line breaks escaped
        start = offset(value.start)
        scan = dockerfile.scan(
            inside.encode("utf-8"),
            passed=self.project.keys(target, "args"),
            contexts=self.project.keys(target, "contexts"),
        )
        line = self.source.line_at(start)
        self._unread += (
            Unread(
                path=self.source.path, reason=UnreadReason.UNPARSABLE, detail=detail, line=line + number - 1
            )
            for number, detail in scan.trouble
        )
        filled = any(isinstance(piece, Hole) for piece in value.pieces)
        for use in scan.uses:
            skip, note = use.skip, use.note
            if skip is None and filled and use.argument is not None:
                skip, note = SkipReason.PARTIAL_VARIABLE, _INLINE
            place = (start + use.span.start, start + use.span.end)
            self._references[place] = Finding(
                format=FORMAT,
                kind=Kind.IMAGE,
                where=f"target.{shown(target)}.dockerfile-inline {use.where}",
                location=self.source.location(*place),
                value=use.value,
                reference=use.reference,
                state=use.state,
                skip=skip,
                note=note,
                argument=use.argument,
            )

    def _add(
        self,
        where: str,
        start: int,
        end: int,
        reference: ImageReference | None,
        state: State,
        skip: SkipReason | None,
        note: str,
        argument: str | None = None,
    ) -> None:
        """Keep one finding a place; one that is not edited goes before one that would be."""
        text = self.read.text
        if skip is not None:
            end = min(end, start + MAX_RAW)
            line = text.text.find("\n", start, end)
            end = end if line < 0 else line
        if start >= end:
            return
        place = (text.offset(start), text.offset(end))
        known = self._references.get(place)
        if known is None or (known.skip is None and skip is not None):
            self._references[place] = Finding(
                format=FORMAT,
                kind=Kind.IMAGE,
                where=where,
                location=self.source.location(*place),
                value=text.text[start:end],
                reference=reference,
                state=state,
                skip=skip,
                note=note,
                argument=argument,
            )


def _is_plain(value: Value) -> bool:
    """Return whether a value stands in the file letter by letter, on one line."""
    if not isinstance(value, Template) or value.heredoc or len(value.pieces) != 1:
        return False
    return isinstance(value.pieces[0], Literal) and value.pieces[0].plain
