"""Compose files: images of services, contexts and volumes, and the Dockerfiles inside of them.

The compose specification, as docker compose, podman-compose and swarm stacks read it.  An image
that a variable names is found where its text stands: the default in the file, or the `.env` file
beside it.  A file that is reached by `extends` or `include` and has no compose file's name is
reported by the first compose file that leads to it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bot import dockerfile
from bot.finders.composefile import (
    EMPTY,
    Build,
    Include,
    Inline,
    Reading,
    Service,
    Slot,
    Value,
    is_remote,
    read,
)
from bot.interpolation import (
    Literal,
    Resolved,
    Setting,
    Settings,
    Template,
    Variable,
    dotenv,
    parse,
    resolve,
)
from bot.model import (
    BuildArgument,
    Built,
    Finding,
    Findings,
    GitReference,
    ImageReference,
    Kind,
    Location,
    Reference,
    SkipReason,
    Span,
    State,
    Unread,
    UnreadReason,
)
from bot.reference import is_commit, is_git_ref, parse_image
from bot.source import Source

FORMAT = "compose"
MAX_NEIGHBOURS = 64
"""Other files that are looked at for one; where more matter, nothing is taken for granted."""
MAX_READERS = 128
"""Files that could take a setting from one `.env` file."""
MAX_CHAIN = 16
"""Services that extend one another."""
MAX_CACHED = 64 * 1024
"""Bytes of a file whose reading is kept for the files beside it."""

paths: tuple[str, ...] = (
    "**/*compose*.yml",
    "**/*compose*.yaml",
    "**/*stack*.yml",
    "**/*stack*.yaml",
)

_SEPARATOR = re.compile(r"[._-]")
_SERVICES = re.compile(rb"(?:^|[{,\s])[\"']?services[\"']?[ \t]*:")
_TEMPLATE = re.compile(r"\{\{|\{%|<%")
_REMOTE_GIT = re.compile(
    r"(?:https://(?P<host>[A-Za-z0-9.-]+)/|git@(?P<scp>[A-Za-z0-9.-]+):|(?P<hub>github\.com)/)"
    r"(?P<repository>[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+?)(?:\.git)?(?:#(?P<ref>[^:#]*)(?::(?P<path>[^#]*))?)?"
)

_SHELL = "A value of {name} in the shell or in another --env-file goes before this one."
_WHOLE = (
    "Let one variable hold the whole reference, as in `${{IMAGE:-{example}}}`: its default can be pinned."
)
_SHARED = "{name} is used in other places too, which a digest would break."
_CROWDED = "Too many files lie beside this one to tell what else uses {name}."
_UNSET = "No value or default for {name} in the files."
_BUILT = "A service builds the image that this names; a digest would make that build fail."
_LOCAL = "It is never pulled, so that it is made where it runs."
_REPLACED = "The .env file sets {name}, so that this default is not used."
_ONLY_HERE = "{name} is used in other places too; only this default changes."
_INLINE = "Compose replaces its own variables in this line before the Dockerfile is read."
_FETCHED = "Fetched from elsewhere by compose itself; there is no pin to write."


def claims(path: str, head: bytes) -> bool:
    """Return whether a file is a compose file by its name; a stack file needs `services` in its head."""
    if not path.endswith((".yml", ".yaml")):
        return False
    name = path.rpartition("/")[2]
    if "compose" in name:
        return "compose" in _SEPARATOR.split(name)[:-1]
    if "stack" in name:
        return _is_stack(path) and (not head or _SERVICES.search(head) is not None)
    return False


def _is_stack(path: str) -> bool:
    parts = _SEPARATOR.split(path.rpartition("/")[2])[:-1]
    return "stack" in parts and "compose" not in parts


def needs(source: Source) -> tuple[str, ...]:
    """Return the `.env` files, bases and included files that the file leads to."""
    reading = _read(source.data)
    world = _World({source.path: source.data})
    unit = world.main(source.path)
    wanted = {path for path, _, _, _ in world.links(unit)}
    for one in reading.includes:
        wanted.update(world.environment(unit, one)[1])
    if (b"$" in source.data or wanted) and not _is_stack(source.path):
        wanted.add(_join(_folder(source.path), ".env") or ".env")
    return tuple(sorted(wanted - {source.path}))


def find(source: Source, files: Mapping[str, bytes]) -> Findings:
    """Return what compose would run, build and fetch because of this file."""
    reading = _read(source.data)
    if reading is EMPTY:
        return Findings()
    held = files if files.get(source.path) is source.data else {**files, source.path: source.data}
    return _Finder(source.path, _World(held)).findings()


# --- files and where they lead ------------------------------------------------------------


def _read(data: bytes) -> Reading:
    return _read_small(data) if len(data) <= MAX_CACHED else read(Source("", data))


@lru_cache(maxsize=256)
def _read_small(data: bytes) -> Reading:
    return read(Source("", data))


@lru_cache(maxsize=2)
def _named(names: tuple[str, ...]) -> tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]:
    """Return the paths that could be compose files: all of them in order, and by folder."""
    made: dict[str, list[str]] = {}
    every = tuple(path for path in sorted(names) if claims(path, b""))
    for path in every:
        made.setdefault(_folder(path), []).append(path)
    return every, {folder: tuple(held) for folder, held in made.items()}


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _join(folder: str, relative: str) -> str | None:
    """Return a path below the repository's root; None where it leads elsewhere or is absolute."""
    if not relative or relative.startswith(("/", "~")) or "\\" in relative or "\0" in relative:
        return None
    if len(relative) > 4096 or "://" in relative:
        return None
    joined = posixpath.normpath(posixpath.join(folder, relative))
    return None if joined == ".." or joined.startswith("../") else joined


@dataclass(frozen=True, slots=True)
class _Unit:
    """A compose file as a part of a project."""

    path: str
    base: str
    """The folder that its paths are relative to."""
    settings: Settings
    origins: Mapping[str, str]
    """The file of each setting."""
    extended: bool = False
    direct: bool = True
    """No other file with a compose file's name lies on the way to it."""


class _World:
    """The files of a snapshot, as compose leads from one to the other."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self._named = _named(tuple(files))
        self._readings: dict[str, Reading] = {}
        self._settings: dict[str, dict[str, Setting]] = {}
        self._projects: dict[str, tuple[_Unit, ...]] = {}

    def reading(self, path: str) -> Reading:
        if path not in self._readings:
            data = self.files.get(path)
            self._readings[path] = EMPTY if data is None else _read(data)
        return self._readings[path]

    def settings(self, path: str) -> dict[str, Setting]:
        if path not in self._settings:
            self._settings[path] = dotenv(self.files.get(path, b""))
        return self._settings[path]

    def claimed(self, path: str) -> bool:
        return claims(path, self.files.get(path, b"")[:4096])

    def beside(self, folder: str) -> tuple[str, ...]:
        """Return the compose files right in a folder, in order."""
        return tuple(path for path in self._named[1].get(folder, ()) if self.claimed(path))

    def mentioning(self, *texts: str) -> Iterator[str]:
        """Yield the compose files of the snapshot that hold one of some texts, in order."""
        wanted = [text.encode() for text in texts]
        for path in self._named[0]:
            data = self.files.get(path, b"")
            if any(text in data for text in wanted) and self.claimed(path):
                yield path

    def leading(self, path: str) -> tuple[str, ...]:
        """Return the names that a compose file mentions if it leads to one without such a name."""
        names = [path.rpartition("/")[2]]
        others = {
            other: data
            for other, data in self.files.items()
            if other.endswith((".yml", ".yaml")) and not claims(other, b"")
        }
        for name in names:  # grows while it is walked
            for other, data in others.items():
                found = other.rpartition("/")[2]
                if name.encode() in data and found not in names and len(names) < MAX_CHAIN:
                    names.append(found)
        return tuple(names)

    def main(self, path: str) -> _Unit:
        """Return a file as the one that compose is started with."""
        folder = _folder(path)
        env = _join(folder, ".env") or ".env"
        settings = {} if _is_stack(path) else self.settings(env)
        return _Unit(path, folder, settings, dict.fromkeys(settings, env))

    def project(self, path: str) -> tuple[_Unit, ...]:
        """Return a file and all that it leads to, itself first."""
        if path not in self._projects:
            units = [self.main(path)]
            later = self._follow(units, {path}, direct=True)
            if later:
                units += later
                self._follow(units, {unit.path for unit in units}, direct=False)
            self._projects[path] = tuple(units)
        return self._projects[path]

    def _follow(self, units: list[_Unit], seen: set[str], *, direct: bool) -> list[_Unit]:
        """Add what units lead to; return those with a name of their own, if they are to wait."""
        later: dict[str, _Unit] = {}
        for unit in units:  # grows while it is walked
            for target, base, extended, include in self.links(unit):
                if target in seen or target not in self.files or len(units) + len(later) >= MAX_NEIGHBOURS:
                    continue
                settings, origins = unit.settings, unit.origins
                if include is not None:
                    settings, origins = self._merged(unit, include)
                if direct and self.claimed(target):
                    later.setdefault(target, _Unit(target, base, settings, origins, extended, direct=False))
                    continue
                seen.add(target)
                units.append(_Unit(target, base, settings, origins, extended, direct))
        return list(later.values())

    def links(self, unit: _Unit) -> Iterator[tuple[str, str, bool, Include | None]]:
        """Yield path, base folder, whether it is extended, and the include of each file linked to."""
        reading = self.reading(unit.path)
        for service in reading.services:
            if service.extends is not None and service.extends[0]:
                path = self.locate(unit, service.extends[0])
                if path is not None:
                    yield path, _folder(path), True, None
        if unit.extended:
            return  # compose takes services alone from there
        for one in reading.includes:
            base = self.environment(unit, one)[0]
            for file in one.files:
                path = self.locate(unit, file)
                if path is not None:
                    yield path, base, False, one

    def locate(self, unit: _Unit, text: str) -> str | None:
        """Return the path in the repository that a text of a file means."""
        known = _expanded(text, unit.settings)
        return None if known is None else _join(unit.base, known)

    def environment(self, unit: _Unit, include: Include) -> tuple[str, tuple[str, ...]]:
        """Return an included file's project directory and `.env` files."""
        first = self.locate(unit, include.files[0])
        base = _folder(first) if first is not None else unit.base
        if include.project_directory:
            base = self.locate(unit, include.project_directory) or unit.base
        if include.env_files:
            return base, tuple(filter(None, (self.locate(unit, file) for file in include.env_files)))
        return base, (_join(base, ".env") or ".env",)

    def _merged(self, unit: _Unit, include: Include) -> tuple[Settings, Mapping[str, str]]:
        settings: dict[str, Setting] = {}
        origins: dict[str, str] = {}
        for path in self.environment(unit, include)[1]:
            own = self.settings(path)
            settings.update(own)
            origins.update(dict.fromkeys(own, path))
        return {**settings, **unit.settings}, {**origins, **unit.origins}


def _expanded(text: str, settings: Settings) -> str | None:
    template = parse(text)
    return None if template is None else resolve(template, settings).text


# --- one file's findings ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shown:
    """A slot as one unit of a project sees it."""

    unit: _Unit
    slot: Slot
    template: Template | None
    resolved: Resolved

    @property
    def setting(self) -> tuple[str, str] | None:
        """The `.env` file and the variable that hold the image."""
        if self.resolved.setting is None:
            return None
        name = self.resolved.setting.name
        return self.unit.origins[name], name


class _Finder:
    def __init__(self, path: str, world: _World) -> None:
        self._path = path
        self._world = world
        self._sources: dict[str, Source] = {}
        self._references: dict[tuple[str, Span], Finding] = {}
        self._built: list[Built] = []
        self._arguments: list[BuildArgument] = []
        self._unread: list[Unread] = []
        self._readers_of: dict[str, list[str]] = {}
        self._groups = _Groups(world, path)

    def findings(self) -> Findings:
        for unit in self._world.project(self._path):
            mine = unit.path == self._path or (unit.direct and self._owns_file(unit.path))
            if mine:
                self._file(unit)
            self._slots(unit, mine=mine)
        return Findings(
            references=tuple(
                sorted(self._references.values(), key=lambda one: (one.location.path, one.location.span))
            ),
            unread=tuple(self._unread),
            built=tuple(self._built),
            arguments=tuple(self._arguments),
        )

    def _file(self, unit: _Unit) -> None:
        reading = self._world.reading(unit.path)
        if reading.trouble is not None:
            reason = (
                UnreadReason.NOT_UTF8 if reading.trouble.detail == "not UTF-8" else UnreadReason.UNPARSABLE
            )
            self._unread.append(
                Unread(
                    path=unit.path, reason=reason, detail=reading.trouble.detail, line=reading.trouble.line
                )
            )
        for remote in reading.remotes:
            self._add(self._remote(unit, remote))
        for inline in reading.inlines:
            self._inline(unit, inline)
        for service in reading.services:
            if service.build is not None:
                self._build(unit, service, service.build)

    # --- slots ----------------------------------------------------------------------------

    def _slots(self, unit: _Unit, *, mine: bool) -> None:
        for shown in _shown(self._world, unit):
            built = self._groups.built(unit.path, shown.slot)
            if mine and built:
                self._name_built(unit, shown.slot)
            held = shown.setting
            if held is not None:
                self._in_settings(shown, held, mine=mine)
            if mine:
                self._in_file(shown, built=built)

    def _in_file(self, shown: _Shown, *, built: bool) -> None:
        value, resolved = shown.slot.value, shown.resolved
        if value.span is not None:
            for name, literal in resolved.unused:
                self._add_literal(
                    shown, literal, name, skip=SkipReason.OVERRIDDEN, note=_REPLACED.format(name=name)
                )
            if resolved.literal is not None and not _TEMPLATE.search(resolved.literal.text):
                self._add_literal(
                    shown, resolved.literal, resolved.argument, *self._local(shown, built=built)
                )
                return
        if resolved.setting is not None:
            return
        reference = parse_image(resolved.text or "")
        state = _state(reference)
        skip, note = self._local(shown, built=built)
        if skip is None:
            skip, note = _why_not(shown, reference)
        span = value.span if value.span is not None else value.raw
        argument = resolved.argument if len(shown.template or ()) == 1 else None
        self._add(
            self._finding(shown, self._at(shown.unit.path, span), reference, state, skip, note, argument)
        )

    def _add_literal(
        self,
        shown: _Shown,
        literal: Literal,
        argument: str | None,
        skip: SkipReason | None = None,
        note: str = "",
    ) -> None:
        value = shown.slot.value
        if value.span is None or not literal.text:
            return
        start = value.span.start + len(value.text[: literal.start].encode())
        span = Span(start, start + len(literal.text.encode()))
        reference = parse_image(literal.text)
        if skip is None:
            skip = _plain_skip(reference)
        if skip is None and argument in self._world.reading(shown.unit.path).partial:
            note = _ONLY_HERE.format(name=argument)
        location = self._at(shown.unit.path, span)
        self._add(self._finding(shown, location, reference, _state(reference), skip, note, argument))

    def _in_settings(self, shown: _Shown, held: tuple[str, str], *, mine: bool) -> None:
        setting = shown.resolved.setting
        if setting is None or setting.span is None:
            return
        path, name = held
        owner = self._owns_setting(held)
        if owner is False:
            return
        reference = parse_image(setting.value or "")
        skip, note = self._local(shown, built=self._feeds_build(held))
        if skip is None and self._is_shared(held):
            skip, note = SkipReason.SHARED_VARIABLE, _SHARED.format(name=name)
        if skip is None:
            skip, note = _plain_skip(reference), _SHELL.format(name=name)
            if skip is not None:
                note = ""
        location = self._at(path, setting.span)
        if owner is None:  # cannot be told: said at the use, so that no two files edit the setting
            if not mine or shown.slot.value.span is None:
                return
            location = self._at(shown.unit.path, shown.slot.value.span)
            skip, note = SkipReason.SHARED_VARIABLE, _CROWDED.format(name=name)
        self._add(self._finding(shown, location, reference, _state(reference), skip, note, name))

    def _local(self, shown: _Shown, *, built: bool) -> tuple[SkipReason | None, str]:
        if built:
            return SkipReason.BUILT_HERE, _BUILT
        if shown.slot.local:
            return SkipReason.BUILT_HERE, _LOCAL
        return None, ""

    def _finding(
        self,
        shown: _Shown,
        location: Location,
        reference: Reference | None,
        state: State,
        skip: SkipReason | None,
        note: str,
        argument: str | None,
    ) -> Finding:
        return Finding(
            format=FORMAT,
            kind=Kind.IMAGE,
            where=shown.slot.value.where,
            location=location,
            value=self._text(location),
            reference=reference,
            state=state,
            skip=skip,
            note=note,
            argument=argument,
        )

    # --- whose is it ----------------------------------------------------------------------

    def _owns_file(self, path: str) -> bool:
        """Return whether this file reports one without a compose file's name."""
        if self._world.claimed(path):
            return False
        for number, other in enumerate(self._world.mentioning(*self._world.leading(path))):
            if other >= self._path:
                break
            if number >= MAX_NEIGHBOURS:
                detail = "too many compose files mention it to tell which one it belongs to"
                self._unread.append(Unread(path=path, reason=UnreadReason.UNREADABLE, detail=detail))
                return False
            if any(unit.path == path and unit.direct for unit in self._world.project(other)):
                return False
        return True

    def _owns_setting(self, held: tuple[str, str]) -> bool | None:
        """Return whether this file reports a setting; None where that would take too long to tell."""
        for number, other in enumerate(self._readers(held[0])):
            if other >= self._path:
                break
            if number >= MAX_READERS:
                return None
            if held in self._held(other):
                return False
        return True

    def _readers(self, path: str) -> list[str]:
        """Return the compose files that could take settings from a file, in order."""
        if path not in self._readers_of:
            found = {*self._world.beside(_folder(path)), *self._world.mentioning("include"), self._path}
            self._readers_of[path] = sorted(found)
        return self._readers_of[path]

    def _held(self, path: str) -> set[tuple[str, str]]:
        """Return the settings that hold images of a project."""
        return {
            shown.setting
            for unit in self._world.project(path)
            for shown in _shown(self._world, unit)
            if shown.setting is not None
        }

    def _takers(self, held: tuple[str, str]) -> Iterator[_Unit]:
        """Yield each part of a project in which a variable has its value from a setting."""
        path, name = held
        for other in self._readers(path)[:MAX_READERS]:
            for unit in self._world.project(other):
                if unit.origins.get(name) == path and name.encode() in self._world.files[unit.path]:
                    yield unit

    def _is_shared(self, held: tuple[str, str]) -> bool:
        path, name = held
        if len(self._readers(path)) > MAX_READERS:
            return True
        for unit in self._takers(held):
            reading = self._world.reading(unit.path)
            if name in reading.partial:
                return True
            if reading.trouble is not None and _mentions(self._world.files[unit.path], name):
                return True
        stacks = (one for one in self._world.beside(_folder(path)) if _is_stack(one))
        if any(name in self._world.reading(one).partial for one in stacks):
            return True
        settings = {**self._world.settings(path), **self._world.main(self._path).settings}
        return any(name in setting.mentions for setting in settings.values())

    def _feeds_build(self, held: tuple[str, str]) -> bool:
        return any(
            shown.setting == held and self._groups.built(unit.path, shown.slot)
            for unit in self._takers(held)
            for shown in _shown(self._world, unit)
        )

    # --- builds ---------------------------------------------------------------------------

    def _name_built(self, unit: _Unit, slot: Slot) -> None:
        name, span = _name(slot.value, unit.settings), slot.value.span or slot.value.raw
        reference = parse_image(name)
        official = reference is not None and reference.repository.startswith("library/")
        if name and (not official or self._groups.builds_itself(unit.path, slot)):
            self._built.append(Built(name=name, location=self._at(unit.path, span)))

    def _build(self, unit: _Unit, service: Service, build: Build) -> None:
        for tag in build.tags:
            name = _name(tag, unit.settings)
            if name:
                self._built.append(Built(name=name, location=self._at(unit.path, tag.span or tag.raw)))
        if build.inline or not build.arguments:
            return
        dockerfiles = self._groups.dockerfiles(unit, service)
        for argument in build.arguments:
            location = self._at(unit.path, argument.span or argument.raw)
            self._arguments += [
                BuildArgument(name=argument.text, dockerfile=path, location=location) for path in dockerfiles
            ]

    def _inline(self, unit: _Unit, inline: Inline) -> None:
        replaced = _Replaced(inline.value.text, unit.settings)
        scan = dockerfile.scan(replaced.data, passed=inline.passed, contexts=inline.contexts)
        source = self._source(unit.path)
        for line, detail in scan.trouble:
            place = source.line_at(inline.value.raw.start)
            if inline.lines is not None and 0 < line <= len(inline.lines):
                place = source.line_at(inline.lines[line - 1])
            self._unread.append(
                Unread(path=unit.path, reason=UnreadReason.UNPARSABLE, detail=detail, line=place)
            )
        for use in scan.uses:
            original, untouched = replaced.original(use.span)
            span = None
            if inline.lines is not None:
                span = _in_lines(inline.value.text, inline.lines, original)
            skip, note = use.skip, use.note
            if span is None:
                span = self._search(unit.path, inline.value.raw, use.value)
                skip, note = skip or SkipReason.ESCAPED, note or "Write it as a literal block (`|`)."
            elif not untouched:
                skip, note = skip or SkipReason.PARTIAL_VARIABLE, _INLINE
            location = self._at(unit.path, span)
            self._add(
                Finding(
                    format=FORMAT,
                    kind=Kind.IMAGE,
                    where=f"{inline.value.where} {use.where}",
                    location=location,
                    value=self._text(location),
                    reference=use.reference,
                    state=use.state,
                    skip=skip,
                    note=note,
                    argument=use.argument,
                )
            )

    def _search(self, path: str, raw: Span, value: str) -> Span:
        """Return the one place of a text within a scalar as written, or all of its first line."""
        data = self._world.files[path][raw.start : raw.end]
        wanted = value.encode()
        if wanted and data.count(wanted) == 1:
            start = raw.start + data.index(wanted)
            return Span(start, start + len(wanted))
        return raw

    # --- remote files ---------------------------------------------------------------------

    def _remote(self, unit: _Unit, value: Value) -> Finding:
        location = self._at(unit.path, value.span or value.raw)
        reference, state = _remote_reference(value.text)
        return Finding(
            format=FORMAT,
            kind=Kind.INCLUDE,
            where=value.where,
            location=location,
            value=self._text(location),
            reference=reference,
            state=state,
            skip=SkipReason.PINNED if state is State.PINNED else SkipReason.UNSUPPORTED,
            note="" if state is State.PINNED else _FETCHED,
        )

    # --- places ---------------------------------------------------------------------------

    def _source(self, path: str) -> Source:
        if path not in self._sources:
            self._sources[path] = Source(path, self._world.files.get(path, b""))
        return self._sources[path]

    def _at(self, path: str, span: Span) -> Location:
        return self._source(path).location(span.start, span.end)

    def _text(self, location: Location) -> str:
        data = self._world.files.get(location.path, b"")
        return data[location.span.start : location.span.end].decode("utf-8", "replace")

    def _add(self, finding: Finding) -> None:
        """Keep one finding a place; one that is not edited goes before one that would be."""
        key = (finding.location.path, finding.location.span)
        known = self._references.get(key)
        if known is None or (known.skip is None and finding.skip is not None):
            self._references[key] = finding


def _shown(world: _World, unit: _Unit) -> Iterator[_Shown]:
    for slot in world.reading(unit.path).slots:
        template = slot.value.template
        found = Resolved(text=None) if template is None else resolve(template, unit.settings)
        yield _Shown(unit, slot, template, found)


def _mentions(data: bytes, name: str) -> bool:
    """Return whether an unparsable file seems to use a variable."""
    return re.search(rb"\$\{?" + re.escape(name).encode() + rb"\b", data) is not None


def _state(reference: Reference | None) -> State:
    if not isinstance(reference, ImageReference):
        return State.UNKNOWN
    return State.PINNED if reference.digest is not None else State.FLOATING


def _plain_skip(reference: ImageReference | None) -> SkipReason | None:
    if reference is None:
        return SkipReason.INVALID
    return SkipReason.PINNED if reference.digest is not None else None


def _why_not(shown: _Shown, reference: ImageReference | None) -> tuple[SkipReason, str]:
    """Return why a value that no one plain literal holds is not edited."""
    value, template = shown.slot.value, shown.template
    if template is None:
        return SkipReason.INVALID, "Compose refuses the `$` in it; a literal one is written `$$`."
    if _TEMPLATE.search(value.text):
        return SkipReason.VARIABLE, "A template is filled in before compose reads the file."
    variables = [piece for piece in template if isinstance(piece, Variable)]
    if not variables:
        if value.span is not None or reference is None:
            return SkipReason.INVALID, ""
        return SkipReason.ESCAPED, ""
    name = shown.resolved.argument or variables[0].name
    if len(template) == 1:
        if reference is None and shown.resolved.text:
            return SkipReason.INVALID, ""
        if shown.resolved.literal is not None:
            return SkipReason.ESCAPED, ""
        if reference is None:
            return SkipReason.VARIABLE, _UNSET.format(name=name)
        return SkipReason.PARTIAL_VARIABLE, f"The value of {name} is put together from other variables."
    example = str(reference) if reference is not None else "name:tag"
    return SkipReason.PARTIAL_VARIABLE, _WHOLE.format(example=example)


def _name(value: Value, settings: Settings) -> str:
    """Return an image's name with what is known of it, up to a tag that is not."""
    known = _expanded(value.text, settings)
    if known is not None:
        return known
    name = value.text.partition("$")[0]
    return name[:-1] if name.endswith(":") else value.text


def _remote_reference(text: str) -> tuple[Reference | None, State]:
    if text.startswith("oci:"):
        image = parse_image(text.removeprefix("oci:").removeprefix("//"))
        return image, _state(image)
    git = _REMOTE_GIT.fullmatch(text) if len(text) < 2048 else None
    if git is None:
        return None, State.UNKNOWN
    ref = git["ref"] or ""
    if ref and not is_git_ref(ref):
        return None, State.UNKNOWN
    reference = GitReference(
        host=git["host"] or git["scp"] or git["hub"],
        repository=git["repository"],
        ref=ref,
        path=(git["path"] or "").strip("/"),
    )
    return reference, State.PINNED if is_commit(ref) else State.FLOATING


# --- services of several files ------------------------------------------------------------


class _Groups:
    """Services that compose merges: of one name in files of one folder, and by `extends`."""

    def __init__(self, world: _World, path: str) -> None:
        self._world = world
        self._services: dict[tuple[str, str], Service] = {}
        files = [unit.path for unit in world.project(path)]
        files += world.beside(_folder(path))[:MAX_NEIGHBOURS]
        for number, other in enumerate(world.mentioning(path.rpartition("/")[2])):
            if number >= MAX_NEIGHBOURS:
                break
            if any(unit.path == path for unit in world.project(other)):
                files.append(other)
        for one in dict.fromkeys(files):
            for service in world.reading(one).services:
                self._services[one, service.name] = service
        self._building = self._find_building()
        self._marked = set(self._find_marked())

    def _chain(self, key: tuple[str, str]) -> list[tuple[str, str]]:
        """Return a service and what it extends, itself first."""
        made: list[tuple[str, str]] = []
        while key in self._services and key not in made and len(made) < MAX_CHAIN:
            made.append(key)
            extends = self._services[key].extends
            if extends is None:
                break
            path = key[0] if not extends[0] else _join(_folder(key[0]), extends[0])
            if path is None:
                break
            key = (path, extends[1])
        return made

    def _find_building(self) -> set[tuple[str, str]]:
        """Return folder and name of each service that some file builds."""
        made: set[tuple[str, str]] = set()
        for key in self._services:
            if any(self._services[one].build is not None for one in self._chain(key)):
                made.add((_folder(key[0]), key[1]))
        return made

    def _find_marked(self) -> Iterator[tuple[str, str]]:
        """Yield the services whose image is what a build makes."""
        for key in self._services:
            if (_folder(key[0]), key[1]) in self._building:
                holder = next((one for one in self._chain(key) if self._services[one].has_image), None)
                if holder is not None:
                    yield holder

    def built(self, path: str, slot: Slot) -> bool:
        return any((path, name) in self._marked for name in slot.services)

    def builds_itself(self, path: str, slot: Slot) -> bool:
        """Return whether a build stands right beside the image."""
        return any(
            (held := self._services.get((path, name))) is not None and held.build is not None
            for name in slot.services
        )

    def dockerfiles(self, unit: _Unit, service: Service) -> tuple[str | None, ...]:
        """Return the Dockerfiles that a service may build; None stands for one that is not known."""
        folder = _folder(unit.path)
        keys = [(unit.path, service.name)]
        keys += [key for key in self._services if key[1] == service.name and _folder(key[0]) == folder]
        contexts: dict[tuple[str, str], None] = {}
        names: dict[str, None] = {}
        for key in keys:
            for member in self._chain(key):
                build = self._services[member].build
                if build is None:
                    continue
                if build.context is not None:
                    contexts[self._world.main(member[0]).base, build.context] = None
                    if build.dockerfile is None and member == keys[0]:
                        names["Dockerfile"] = None
                if build.dockerfile is not None:
                    names[build.dockerfile] = None
        made = [
            self._dockerfile(unit, base, context, name)
            for base, context in contexts or {(unit.base, "."): None}
            for name in names or {"Dockerfile": None}
        ]
        return (None,) if len(made) > MAX_CHAIN else tuple(dict.fromkeys(made))

    def _dockerfile(self, unit: _Unit, base: str, context: str, name: str) -> str | None:
        folder, file = _expanded(context, unit.settings), _expanded(name, unit.settings)
        if folder is None or file is None or is_remote(folder):
            return None
        below = _join(base, folder)
        path = None if below is None else _join("" if below == "." else below, file)
        if path is not None and file == "Dockerfile" and path not in self._world.files:
            other = f"{path.removesuffix('Dockerfile')}Containerfile"
            return other if other in self._world.files else path
        return path


# --- Dockerfiles inside -------------------------------------------------------------------


class _Replaced:
    """A Dockerfile as compose hands it on, and the way back to the text as written."""

    def __init__(self, text: str, settings: Settings) -> None:
        pieces: list[str] = []
        self._marks: list[tuple[int, int, int, int, bool]] = []
        start = written = 0
        for number, piece in enumerate(parse(text, lenient=True) or ()):
            if isinstance(piece, Literal):
                known, same = piece.text, piece.plain
            else:
                value = resolve((piece,), settings).text
                same = False
                known = (
                    f"${{MOORLINE_{number}}}" if value is None or "\n" in value or "\r" in value else value
                )
            width, before = len(known.encode()), len(text[piece.start : piece.end].encode())
            self._marks.append((start, start + width, written, written + before, same))
            pieces.append(known)
            start += width
            written += before
        self.data = "".join(pieces).encode()

    def original(self, span: Span) -> tuple[Span, bool]:
        """Return the bytes as written that became a span, and whether they are the same."""
        first = last = None
        same = True
        for start, end, before, behind, kept in self._marks:
            if end <= span.start or start >= span.end:
                continue
            same = same and kept
            if first is None:
                first = before + (span.start - start if kept else 0)
            last = before + (span.end - start) if kept and span.end <= end else behind
        if first is None or last is None:
            return Span(0, 0), False
        return Span(first, last), same


def _in_lines(text: str, lines: Sequence[int], span: Span) -> Span | None:
    """Return the bytes in the file of a span of the text's bytes, which lies within one line."""
    data = text.encode()
    number = data.count(b"\n", 0, span.start)
    begin = data.rfind(b"\n", 0, span.start) + 1
    if number >= len(lines) or b"\n" in data[span.start : span.end]:
        return None
    start = lines[number] + span.start - begin
    return Span(start, start + span.end - span.start)
