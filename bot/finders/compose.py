"""Compose files: images of services, contexts and volumes, and the Dockerfiles inside of them.

The compose specification, as docker compose, podman-compose and swarm stacks read it.  An image
that a variable names is found where its text stands: the default in the file, or the `.env` file
beside it.  A file that is reached by `extends` or `include` and has no compose file's name is
reported by the first compose file that leads to it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from bot import dockerfile
from bot.finders import templated
from bot.finders.composefile import (
    EMPTY,
    MAX_RAW,
    Build,
    Inline,
    Service,
    Slot,
    Value,
    may_tell,
)
from bot.finders.composeproject import (
    FOLDERS,
    MAX_CACHED,
    MAX_NEIGHBOURS,
    NAMES,
    Groups,
    Unit,
    World,
    cached,
    expanded,
    folder_of,
    is_compose,
    is_stack,
    join,
)
from bot.finders.passed import FRONTEND, takes_image
from bot.finders.yaml import unread
from bot.interpolation import (
    UNKNOWN,
    Resolved,
    Settings,
    Template,
    Variable,
    parse,
    resolve,
    wholes,
)
from bot.model import (
    BuildArgument,
    BuildContext,
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
from bot.reference import is_commit, is_digest, is_git_ref, parse_image
from bot.source import Literal, Source

FORMAT = "compose"
MAX_READERS = 128
"""Files that could take a setting from one `.env` file."""
MAX_SLOTS = 20_000
"""Images that are looked at for the settings of one `.env` file."""
_HANDED_ON = 4
"""How many of these an argument counts for whose Dockerfiles are looked at too."""

paths: tuple[str, ...] = (
    "**/*compose*.yml",
    "**/*compose*.yaml",
    "**/*stack*.yml",
    "**/*stack*.yaml",
    *(f"**/*{name}*{ending}" for name in ("compose", "stack") for ending in templated.YAML),
    *(f"**/{name}{ending}" for name in sorted(NAMES) for ending in (".yml", ".yaml", *templated.YAML)),
    *(f"**/{name}/*{ending}" for name in sorted(FOLDERS) for ending in (".yml", ".yaml", *templated.YAML)),
)

_LINKS = (b"extends", b"include", b"\\")
"""Without one of these a file leads to no other; an escape may hide a key."""
_TEMPLATE = re.compile(r"\{\{|\{%|<%")
_NEWLINE = re.compile(rb"\n")
_MENTION = re.compile(rb"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_REMOTE_GIT = re.compile(
    r"(?:https://(?P<host>[A-Za-z0-9.-]+)/|git@(?P<scp>[A-Za-z0-9.-]+):|(?P<hub>github\.com)/)"
    r"(?P<repository>[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+?)(?:\.git)?(?:#(?P<ref>[^:#]*)(?::(?P<path>[^#]*))?)?"
)

_SHELL = "A value of {name} in the shell or in another --env-file goes before this one."
_WHOLE = (
    "Let one variable hold the whole reference, as in `${{IMAGE:-{example}}}`: its default can be pinned."
)
_SHARED = "{name} is used in other places too, which a digest would break."
_CROWDED = "The files here are too many or too large to tell what else uses {name}."
_UNSET = "No value or default for {name} in the files."
_NOTHING = "With the files alone {name} comes to nothing."
_BUILT = "A service builds the image that this names; a digest would make that build fail."
_LOCAL = "It is never pulled, so that it is made where it runs."
_REPLACED = "The .env file sets {name}, so that this default is not used."
_OTHERWISE = "{name} is used in other places too, which would not follow this default."
_INLINE = "Compose replaces its own variables in this line before the Dockerfile is read."
_FETCHED = "Fetched from elsewhere by compose itself; there is no pin to write."


def claims(path: str, head: bytes) -> bool:
    """Return whether a file is a compose file by its name, or by a doubtful name and what it begins with."""
    return is_compose(path, head)


def needs(source: Source) -> tuple[str, ...]:
    """Return the `.env` files, bases and included files that the file leads to."""
    wanted: set[str] = set()
    if any(word in source.data for word in _LINKS):
        reading = cached(source.data)
        world = World({source.path: source.data}, source.path, reading)
        unit = world.main(source.path)
        wanted.update(path for path, _, _, _ in world.links(unit))
        for one in reading.includes:
            wanted.update(world.environment(unit, one)[1])
    if (b"$" in source.data or wanted) and not is_stack(source.path):
        wanted.add(join(folder_of(source.path), ".env") or ".env")
    return tuple(sorted(wanted - {source.path}))


def find(source: Source, files: Mapping[str, bytes]) -> Findings:
    """Return what compose would run, build and fetch because of this file."""
    if is_stack(source.path) and not may_tell(source.data):
        return Findings()  # other tools have stacks, too: broken or not, nothing here is compose's
    reading = cached(source.data)
    if reading is EMPTY:
        return Findings()
    held = files if files.get(source.path) is source.data else {**files, source.path: source.data}
    return _Finder(source.path, World(held, source.path, reading)).findings()


def dockerfiles(source: Source, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the paths of the Dockerfiles that services of the file are built from, there or not."""
    reading = cached(source.data)
    if reading is EMPTY:
        return ()
    held = files if files.get(source.path) is source.data else {**files, source.path: source.data}
    world = World(held, source.path, reading)
    groups = Groups(world, source.path)
    found: dict[str | None, None] = {}
    for unit in world.project(source.path):
        for service in world.reading(unit.path).services:
            if service.build is not None and not service.build.inline:
                found.update(dict.fromkeys(groups.dockerfiles(unit, service)))
    return tuple(path for path in found if path is not None)


# --- one file's findings ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shown:
    """A slot as one unit of a project sees it."""

    unit: Unit
    slot: Slot
    resolved: Resolved

    @property
    def template(self) -> Template | None:
        return self.slot.template

    @property
    def setting(self) -> tuple[str, str] | None:
        """The `.env` file and the variable that hold the image."""
        if self.resolved.setting is None:
            return None
        name = self.resolved.setting.name
        return self.unit.origins[name], name


@dataclass(slots=True)
class _Survey:
    """What the compose files around make of the settings in one `.env` file."""

    complete: bool
    """Whether all of them were looked at."""
    first: dict[str, str] = field(default_factory=dict)
    """The first file in order in which a setting is a whole image, by the setting's name."""
    handed_on: dict[str, str] = field(default_factory=dict)
    """The same of the settings that builds get by name, for those that no service has as its image."""
    built: set[str] = field(default_factory=set)
    """Settings that name what a build makes."""
    partial: set[str] = field(default_factory=set)
    """Settings that are used in another way than as a whole image."""


class _Finder:
    def __init__(self, path: str, world: World) -> None:
        self._path = path
        self._world = world
        self._sources: dict[str, Source] = {}
        self._references: dict[tuple[str, Span], Finding] = {}
        self._built: list[Built] = []
        self._arguments: list[BuildArgument] = []
        self._contexts: list[BuildContext] = []
        self._unread: list[Unread] = []
        self._surveys: dict[str, _Survey] = {}
        self._groups = Groups(world, path)

    def findings(self) -> Findings:
        if self._world.claimed(self._path) and not self._world.stands_alone(self._path):
            return Findings()  # whoever leads to it says what it holds
        for unit in self._world.project(self._path):
            mine = unit.path == self._path or (unit.direct and self._owns_file(unit.path))
            if mine:
                self._file(unit)
            self._slots(unit, mine=mine)
            for shown, whole in self._handed_on(unit):
                held = shown.setting
                if whole and held is not None:
                    self._in_settings(shown, held, mine=mine)
        return Findings(
            references=tuple(
                sorted(self._references.values(), key=lambda one: (one.location.path, one.location.span))
            ),
            unread=tuple(self._unread),
            built=tuple(self._built),
            arguments=tuple(self._arguments),
            contexts=tuple(self._contexts),
        )

    def _file(self, unit: Unit) -> None:
        if unit.path != self._path and self._world.is_large(unit.path):
            detail = "too large for a file that others extend or include"
            self._unread.append(Unread(path=unit.path, reason=UnreadReason.TOO_LARGE, detail=detail))
        reading = self._world.reading(unit.path)
        if reading.trouble is not None:
            source = self._source(unit.path)
            if may_tell(source.data) or not templated.is_template(source.path, source.data):
                self._unread.append(unread(source, reading.trouble))
        for remote in reading.remotes:
            self._add(self._remote(unit, remote))
        for inline in reading.inlines:
            self._inline(unit, inline)
        for service in reading.services:
            if service.build is not None:
                self._build(unit, service, service.build)

    # --- slots ----------------------------------------------------------------------------

    def _slots(self, unit: Unit, *, mine: bool) -> None:
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
        if reference is None and _ends_in_digest(shown.template or ()):
            state = State.PINNED
        skip, note = self._local(shown, built=built)
        if skip is None:
            skip, note = _why_not(shown, reference)
        span = self._shortened(shown.unit.path, value.span if value.span is not None else value.raw)
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
        if reference is None:
            span = self._shortened(shown.unit.path, span)
        shared = self._shared_default(shown, literal) if skip is None else None
        if shared is not None:
            skip, note = SkipReason.SHARED_VARIABLE, _OTHERWISE.format(name=shared)
        location = self._at(shown.unit.path, span)
        self._add(self._finding(shown, location, reference, _state(reference), skip, note, argument))

    def _in_settings(self, shown: _Shown, held: tuple[str, str], *, mine: bool) -> None:
        setting = shown.resolved.setting
        if setting is None or setting.span is None:
            return
        path, name = held
        survey = self._survey(path)
        owner = survey.first.get(name) or survey.handed_on.get(name)
        if owner is not None and owner != self._path:
            return
        reference = parse_image(setting.value or "")
        skip, note = self._local(shown, built=name in survey.built)
        if skip is None and name in survey.partial:
            skip, note = SkipReason.SHARED_VARIABLE, _SHARED.format(name=name)
        if skip is None and not survey.complete:
            skip, note = SkipReason.SHARED_VARIABLE, _CROWDED.format(name=name)
        if skip is None:
            skip = _plain_skip(reference)
            note = _SHELL.format(name=name) if skip is None else ""
        location = self._at(path, self._shortened(path, setting.span))
        if owner is None:  # said at the use, so that no two files edit the setting
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
        if self._world.stands_alone(path):
            return False
        if self._world.is_large(self._path):
            detail = "the compose file that leads to it is too large"
            self._unread.append(Unread(path=path, reason=UnreadReason.TOO_LARGE, detail=detail))
            return False
        for number, other in enumerate(self._world.mentioning(*self._world.leading(path))):
            if other >= self._path:
                break
            if not self._world.stands_alone(other):
                continue
            if number >= MAX_NEIGHBOURS:
                detail = "too many compose files mention it to tell which one it belongs to"
                self._unread.append(Unread(path=path, reason=UnreadReason.UNREADABLE, detail=detail))
                return False
            if any(unit.path == path and unit.direct for unit in self._world.project(other)):
                return False
        return True

    def _survey(self, path: str) -> _Survey:
        """Return what every compose file that could take settings from a file makes of them."""
        if path not in self._surveys:
            world = self._world
            others = {*world.beside(folder_of(path)), *world.mentioning("include")}
            readers = sorted({*filter(world.stands_alone, others), self._path})
            made = self._surveys[path] = _Survey(complete=len(readers) <= MAX_READERS)
            left = MAX_SLOTS
            for reader in readers[:MAX_READERS]:
                if world.is_large(reader):
                    made.complete = False
                    continue
                for unit in world.project(reader):
                    reading = world.reading(unit.path)
                    left -= len(reading.slots) + _HANDED_ON * reading.handed_on
                    if left < 0:
                        made.complete = False
                        return made
                    self._survey_unit(made, path, reader, unit)
            for setting in {**world.settings(path), **world.main(self._path).settings}.values():
                made.partial |= setting.mentions
        return self._surveys[path]

    def _survey_unit(self, made: _Survey, path: str, reader: str, unit: Unit) -> None:
        reading = self._world.reading(unit.path)
        stack = is_stack(unit.path)  # reads no .env itself, yet is often fed from it by hand
        used = reading.partial
        if reading.trouble is not None:
            used = _mentioned(self._world.files[unit.path])
        made.partial.update(name for name in used if stack or unit.origins.get(name) == path)
        for shown in _shown(self._world, unit):
            if shown.setting is not None and shown.setting[0] == path:
                name = shown.setting[1]
                made.first.setdefault(name, reader)
                if self._groups.built(unit.path, shown.slot):
                    made.built.add(name)
        for shown, whole in self._handed_on(unit):
            if shown.setting is not None and shown.setting[0] == path:
                # What is whole depends on the file that is looked at; who says it must not.
                made.handed_on.setdefault(shown.setting[1], reader)
                if not whole:
                    made.partial.add(shown.setting[1])

    def _shared_default(self, shown: _Shown, literal: Literal) -> str | None:
        """Return a variable before this default that is used where it would not follow it, if any."""
        used = set(wholes(shown.template or ()))
        if not used:
            return None
        around = {unit.path for unit in self._world.project(self._path)}
        around.update(self._world.beside(folder_of(shown.unit.path)))
        if len(around) > MAX_READERS:
            return min(used)
        for path in sorted(around):
            reading = self._world.reading(path)
            partial = reading.partial
            if reading.trouble is not None:
                partial = _mentioned(self._world.files[path])
            if used & partial:
                return min(used & partial)
            for name in sorted(used & reading.defaults.keys()):
                if any(_undigested(text) != _undigested(literal.text) for text in reading.defaults[name]):
                    return name
        return None

    # --- builds ---------------------------------------------------------------------------

    def _name_built(self, unit: Unit, slot: Slot) -> None:
        name, span = _name(slot.value, unit.settings), slot.value.span or slot.value.raw
        reference = parse_image(name)
        official = reference is not None and reference.repository.startswith("library/")
        if name and (not official or self._groups.builds_itself(unit.path, slot)):
            self._built.append(Built(name=name, location=self._at(unit.path, span)))

    def _build(self, unit: Unit, service: Service, build: Build) -> None:
        for tag in build.tags:
            named = _name(tag, unit.settings)
            if named:
                self._built.append(Built(name=named, location=self._at(unit.path, tag.span or tag.raw)))
        if any(part.inline for _, part in self._groups.builds(unit.path, service.name)):
            return
        dockerfiles = self._groups.dockerfiles(unit, service)
        for path, part in self._groups.inherited(unit.path, service.name):
            for argument in part.arguments:
                name = argument.name
                location = self._at(path, name.span or name.raw)
                self._arguments += [
                    BuildArgument(name=name.text, dockerfile=one, location=location) for one in dockerfiles
                ]
                if path == unit.path and argument.value is not None:
                    self._argument(unit, name.text, argument.value, dockerfiles)
            for context in part.contexts:
                location = self._at(path, context.span or context.raw)
                known = expanded(context.text, unit.settings) or context.text
                self._contexts += [
                    BuildContext(name=known, dockerfile=one, location=location) for one in dockerfiles
                ]

    def _argument(self, unit: Unit, name: str, value: Value, dockerfiles: Iterable[str | None]) -> None:
        """Add the value of an argument that is an image in every Dockerfile it goes to."""
        frontend = name == FRONTEND  # of every build, whatever its Dockerfile says
        if not value.text or not (
            frontend or all(one is not None and self._is_image(one, name) for one in dockerfiles)
        ):
            return
        reference = parse_image(expanded(value.text, unit.settings) or "")
        skip, note = _plain_skip(reference), ""
        if "$" in value.text:
            skip, note = SkipReason.UNSUPPORTED, "Compose puts this build argument together from variables."
            if reference is None:
                skip, note = SkipReason.VARIABLE, "The files do not say what this build argument is."
        elif skip is None and value.span is None:
            skip = SkipReason.ESCAPED
        span = value.span if value.span is not None else value.raw
        location = self._at(unit.path, self._shortened(unit.path, span))
        self._add(
            Finding(
                format=FORMAT,
                kind=Kind.IMAGE,
                where=value.where,
                location=location,
                value=self._text(location),
                reference=reference,
                state=_state(reference),
                skip=skip,
                note=note,
            )
        )

    def _handed_on(self, unit: Unit) -> Iterator[tuple[_Shown, bool]]:
        """Yield the settings that builds get by name alone, and whether nothing but images is made of each."""
        reading = self._world.reading(unit.path)
        handed_on = reading.handed_on or any(service.extends for service in reading.services)
        for service in reading.services if unit.settings and handed_on else ():
            builds = self._groups.inherited(unit.path, service.name)
            if service.build is not None and not builds:
                builds = [(unit.path, service.build)]
            given = [
                argument.name
                for _, build in builds
                for argument in build.arguments
                if argument.value is None and argument.name.text in unit.settings
            ]
            if not given:
                continue
            known = self._groups.knows(unit.path, service.name) and not any(
                build.inline for _, build in builds
            )
            dockerfiles = self._groups.dockerfiles(unit, service) if known else (None,)
            for name in given:
                template = parse(f"${{{name.text}}}")
                if template is not None:
                    slot = Slot(value=name, template=template, services=())
                    whole = all(one is not None and self._is_image(one, name.text) for one in dockerfiles)
                    yield _Shown(unit, slot, resolve(template, unit.settings)), whole

    def _is_image(self, path: str, name: str) -> bool:
        """Return whether a Dockerfile takes an argument for images alone, and whole."""
        data = self._world.files.get(path, b"")
        return len(data) <= MAX_CACHED and _takes_image(data, name)

    def _inline(self, unit: Unit, inline: Inline) -> None:
        replaced = _Replaced(inline.value.text, unit.settings)
        builds = [
            build
            for name in inline.services[:MAX_NEIGHBOURS]
            for _, build in self._groups.builds(unit.path, name)
        ]
        scan = dockerfile.scan(
            replaced.data,
            passed={argument.name.text for build in builds for argument in build.arguments},
            contexts={context.text for build in builds for context in build.contexts},
        )
        lines = _Lines(inline)
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
            span = lines.span(original)
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

    def _remote(self, unit: Unit, value: Value) -> Finding:
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

    def _shortened(self, path: str, span: Span) -> Span:
        """Return a span, or its start where it is far longer than any reference."""
        if span.end - span.start <= MAX_RAW:
            return span
        data, end = self._world.files.get(path, b""), span.start + MAX_RAW
        while data[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        return Span(span.start, end)

    def _text(self, location: Location) -> str:
        data = self._world.files.get(location.path, b"")
        return data[location.span.start : location.span.end].decode("utf-8", "replace")

    def _add(self, finding: Finding) -> None:
        """Keep one finding a place; one that is not edited goes before one that would be."""
        key = (finding.location.path, finding.location.span)
        known = self._references.get(key)
        if known is None or (known.skip is None and finding.skip is not None):
            self._references[key] = finding


@lru_cache(maxsize=4096)
def _takes_image(data: bytes, name: str) -> bool:
    return takes_image(data, name)


def _shown(world: World, unit: Unit) -> Iterator[_Shown]:
    for slot in world.reading(unit.path).slots:
        found = UNKNOWN if slot.template is None else resolve(slot.template, unit.settings)
        yield _Shown(unit, slot, found)


def _mentioned(data: bytes) -> frozenset[str]:
    """Return the variables that an unparsable file seems to use."""
    return frozenset(found.decode() for found in _MENTION.findall(data))


def _ends_in_digest(template: Template) -> bool:
    """Return whether the text ends in a digest, whatever its variables come to."""
    last = template[-1] if template else None
    return isinstance(last, Literal) and is_digest(last.text.rpartition("@")[2]) and "@" in last.text


def _undigested(text: str) -> str:
    return text.partition("@")[0]


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
    if _TEMPLATE.search(value.text):
        return SkipReason.VARIABLE, "A template is filled in before compose reads the file."
    if template is None:
        return SkipReason.INVALID, "Compose refuses the `$` in it; a literal one is written `$$`."
    variables = [piece for piece in template if isinstance(piece, Variable)]
    if not variables:
        escaped = value.span is None and reference is not None
        return SkipReason.ESCAPED if escaped else SkipReason.INVALID, ""
    if reference is not None and reference.digest is not None:
        return SkipReason.PINNED, ""
    if len(template) == 1:
        return _why_not_variable(shown.resolved, variables[0].name, reference)
    if _ends_in_digest(template):
        return SkipReason.PINNED, ""  # whatever the variable says
    example = str(reference) if reference is not None else "name:tag"
    return SkipReason.PARTIAL_VARIABLE, _WHOLE.format(example=example)


def _why_not_variable(
    resolved: Resolved, first: str, reference: ImageReference | None
) -> tuple[SkipReason, str]:
    """Return why an image that one variable names is not edited at its use."""
    name = resolved.argument or first
    if resolved.text is None:
        return SkipReason.VARIABLE, _UNSET.format(name=name)
    if not resolved.text:
        return SkipReason.VARIABLE, _NOTHING.format(name=name)
    if reference is None:
        return SkipReason.INVALID, ""
    if resolved.literal is not None:
        return SkipReason.ESCAPED, ""
    return SkipReason.PARTIAL_VARIABLE, f"The value of {name} is put together from other variables."


def _name(value: Value, settings: Settings) -> str:
    """Return an image's name with what is known of it, up to a tag that is not."""
    known = expanded(value.text, settings)
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


# --- Dockerfiles inside -------------------------------------------------------------------


class _Replaced:
    """A Dockerfile as compose hands it on, and the way back to the text as written."""

    def __init__(self, text: str, settings: Settings) -> None:
        pieces: list[str] = []
        self._starts: list[int] = []
        self._marks: list[tuple[int, int, int, bool]] = []
        start = written = 0
        room = MAX_CACHED
        for number, piece in enumerate(parse(text, lenient=True) or ()):
            if isinstance(piece, Literal):
                known, same = piece.text, piece.plain
            else:
                value, same = resolve((piece,), settings).text, False
                if value is None or len(value) > room or "\n" in value or "\r" in value:
                    known = f"${{MOORLINE_{number}}}"
                else:
                    known, room = value, room - len(value)
            width, before = len(known.encode()), len(text[piece.start : piece.end].encode())
            self._starts.append(start)
            self._marks.append((start + width, written, written + before, same))
            pieces.append(known)
            start += width
            written += before
        self.data = "".join(pieces).encode()

    def original(self, span: Span) -> tuple[Span, bool]:
        """Return the bytes as written that became a span, and whether they are the same."""
        first = bisect_right(self._starts, span.start) - 1
        last = bisect_right(self._starts, max(span.start, span.end - 1)) - 1
        if first < 0:
            return Span(0, 0), False
        _, before, _, kept = self._marks[first]
        begin = before + (span.start - self._starts[first] if kept else 0)
        _, before, behind, kept_last = self._marks[last]
        end = before + span.end - self._starts[last] if kept_last else behind
        return Span(begin, end), all(mark[3] for mark in self._marks[first : last + 1])


class _Lines:
    """The lines of a Dockerfile inside, and the bytes at which they stand in the file."""

    def __init__(self, inline: Inline) -> None:
        self._data = inline.value.text.encode()
        self._begins = [0, *(found.end() for found in _NEWLINE.finditer(self._data))]
        self._lines = inline.lines

    def span(self, span: Span) -> Span | None:
        """Return the bytes in the file of a span that lies within one line; None where they differ."""
        number = bisect_right(self._begins, span.start) - 1
        if self._lines is None or number >= len(self._lines) or b"\n" in self._data[span.start : span.end]:
            return None
        start = self._lines[number] + span.start - self._begins[number]
        return Span(start, start + span.end - span.start)
