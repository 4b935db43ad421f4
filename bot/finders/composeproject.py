"""Compose files of one snapshot, and where they lead from one to the other.

Files of one folder may overlay each other; `extends`, `include` and `.env` lead further.  Paths
are normalised, relative to the repository's root, and never outside of it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from bot.finders import templated
from bot.finders.composefile import EMPTY, Build, Include, Reading, Service, Slot, is_remote, read
from bot.interpolation import Setting, Settings, dotenv, parse, resolve
from bot.source import Source

MAX_NEIGHBOURS = 64
"""Other files that are looked at for one; where more matter, nothing is taken for granted."""
MAX_SERVICES = 4096
"""Services of several files that are looked at together."""
MAX_CHAIN = 16
"""Services that extend one another, Dockerfiles that one service may build."""
MAX_DOUBTFUL = 64
"""Files with names of others too; where there are more, each is taken for itself."""
MAX_SEARCHED = 4 * 1024 * 1024
"""Bytes of all YAML files that are searched for what leads to such a file."""
MAX_CACHED = 64 * 1024
"""Bytes of a file whose reading is kept for the files beside it."""

HEAD = 4096
"""Bytes of a file that tell what it is; a longer one may say so further down."""

NAMES = frozenset({
    "local", "production", "staging", "dev", "development", "prod", "test", "testing", "ci", "base", "override",
})  # fmt: skip
"""Names without an ending that compose files have beside others."""
FOLDERS = frozenset({"compose", "docker", "docker-compose"})
"""Folders in which any YAML file may be a compose file."""

_ENDINGS = (".yml", ".yaml", *templated.YAML)
_TOP_SERVICES = re.compile(rb"^services:[ \t]*(?:#[^\n]*)?\r?$", re.MULTILINE)
_RUNS = re.compile(rb"^[ ]{2,40}(?:image:[ \t]+[^\s#]|build:)", re.MULTILINE)
_FOREIGN = re.compile(
    rb"^(?:-[ \t]|[\"']?(?:apiVersion|kind|openapi|swagger|paths|stages|script|before_script|default|workflow|on"
    rb"|jobs|steps|pipeline|hosts|tasks|parameters|provider|functions)[\"']?[ \t]*:)",
    re.MULTILINE,
)
"""What other tools' files say at the top: Kubernetes, OpenAPI, GitLab, GitHub, Ansible, Symfony, Serverless."""
_SEPARATOR = re.compile(r"[._-]")
_SERVICES = re.compile(rb"(?:^|[{,\s])[\"']?services[\"']?[ \t]*:")


def is_compose(path: str, head: bytes) -> bool:
    """Return whether a file is a compose file by its name; by a name of others too, it must show that it is.

    An empty `head` asks about the path alone.
    """
    if not path.endswith(_ENDINGS):
        return False
    place, _, name = templated.plain(path).rpartition("/")
    if "compose" in name and "compose" in _SEPARATOR.split(name)[:-1]:
        return True
    if "stack" in name and is_stack(path):
        return not 0 < len(head) < HEAD or _SERVICES.search(head) is not None
    if _is_doubtful(place, name):
        return not head or _shows_services(head)
    return False


def is_doubtful(path: str) -> bool:
    """Return whether a path that may be a compose file's is one of other files too."""
    place, _, name = templated.plain(path).rpartition("/")
    parts = _SEPARATOR.split(name)[:-1]
    return _is_doubtful(place, name) and "compose" not in parts and "stack" not in parts


def _is_doubtful(place: str, name: str) -> bool:
    return name.rpartition(".")[0] in NAMES or place.rpartition("/")[2] in FOLDERS


def _shows_services(head: bytes) -> bool:
    """Return whether a file's beginning is a compose file's beyond doubt."""
    found = _TOP_SERVICES.search(head)
    return found is not None and bool(_RUNS.search(head, found.end())) and not _FOREIGN.search(head)


def is_stack(path: str) -> bool:
    """Return whether a file is for `docker stack deploy`, which reads no `.env`."""
    parts = _SEPARATOR.split(templated.plain(path).rpartition("/")[2])[:-1]
    return "stack" in parts and "compose" not in parts


def cached(data: bytes) -> Reading:
    """Return what a file says; of small files, the last ones are kept."""
    return _cached_small(data) if len(data) <= MAX_CACHED else read(Source("", data))


@lru_cache(maxsize=256)
def _cached_small(data: bytes) -> Reading:
    return read(Source("", data))


@lru_cache(maxsize=2)
def _named(names: tuple[str, ...]) -> tuple[tuple[str, ...], Mapping[str, tuple[str, ...]], int]:
    """Return the paths that could be compose files in order, the same by folder, and how many are doubtful."""
    made: dict[str, list[str]] = {}
    every = tuple(path for path in sorted(names) if is_compose(path, b""))
    for path in every:
        made.setdefault(folder_of(path), []).append(path)
    return every, {folder: tuple(held) for folder, held in made.items()}, sum(map(is_doubtful, every))


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def join(folder: str, relative: str) -> str | None:
    """Return a path below the repository's root; None where it leads elsewhere or is absolute."""
    if not relative or relative.startswith(("/", "~")) or "\\" in relative or "\0" in relative:
        return None
    if len(relative) > 4096 or "://" in relative:
        return None
    joined = posixpath.normpath(posixpath.join(folder, relative))
    return None if joined == ".." or joined.startswith("../") else joined


@dataclass(frozen=True, slots=True)
class Unit:
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


class World:
    """The files of a snapshot, as compose leads from one to the other."""

    def __init__(self, files: Mapping[str, bytes], path: str, reading: Reading | None = None) -> None:
        """`reading` is what the file at `path` says, the one that is looked at, if that is known."""
        self.files = files
        self._path = path
        self._named = _named(tuple(files))
        self._readings: dict[str, Reading] = {}
        self._readings[path] = cached(files.get(path, b"")) if reading is None else reading
        self._settings: dict[str, dict[str, Setting]] = {}
        self._projects: dict[str, tuple[Unit, ...]] = {}
        self._led_to: dict[str, bool] = {}

    def reading(self, path: str) -> Reading:
        """Return what a file says; of a large one nothing, unless it is the one that is looked at."""
        if path not in self._readings:
            data = self.files.get(path)
            self._readings[path] = EMPTY if data is None or self.is_large(path) else cached(data)
        return self._readings[path]

    def is_large(self, path: str) -> bool:
        """Return whether a file is too large to be read for the sake of others, again and again."""
        return len(self.files.get(path, b"")) > MAX_CACHED

    def settings(self, path: str) -> dict[str, Setting]:
        if path not in self._settings:
            self._settings[path] = dotenv(self.files.get(path, b""))
        return self._settings[path]

    def claimed(self, path: str) -> bool:
        return is_compose(path, self.files.get(path, b"")[:HEAD])

    def is_named(self, path: str) -> bool:
        """Return whether a file is a compose file whose name leaves no doubt."""
        return not is_doubtful(path) and self.claimed(path)

    def stands_alone(self, path: str) -> bool:
        """Return whether a compose file is reported by itself: no other leads to it, or its name is one."""
        if path not in self._led_to:
            self._led_to[path] = is_doubtful(path) and self._is_led_to(path)
        return self.claimed(path) and not self._led_to[path]

    def _is_led_to(self, path: str) -> bool:
        if self._named[2] > MAX_DOUBTFUL:
            return False
        if sum(len(data) for name, data in self.files.items() if name.endswith(_ENDINGS)) > MAX_SEARCHED:
            return False
        for number, other in enumerate(self.mentioning(*self.leading(path))):
            if number >= MAX_NEIGHBOURS:
                return False
            if self.is_named(other) and any(unit.path == path for unit in self.project(other) if unit.direct):
                return True
        return False

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
            if other.endswith(_ENDINGS) and not self.is_named(other)
        }
        for name in names:  # grows while it is walked
            for other, data in others.items():
                found = other.rpartition("/")[2]
                if name.encode() in data and found not in names and len(names) < MAX_CHAIN:
                    names.append(found)
        return tuple(names)

    def main(self, path: str) -> Unit:
        """Return a file as the one that compose is started with."""
        folder = folder_of(path)
        env = join(folder, ".env") or ".env"
        settings = {} if is_stack(path) else self.settings(env)
        return Unit(path, folder, settings, dict.fromkeys(settings, env))

    def project(self, path: str) -> tuple[Unit, ...]:
        """Return a file and all that it leads to, itself first."""
        if path not in self._projects:
            units = [self.main(path)]
            later = self._follow(units, {path}, direct=True)
            if later:
                units += later
                self._follow(units, {unit.path for unit in units}, direct=False)
            self._projects[path] = tuple(units)
        return self._projects[path]

    def _follow(self, units: list[Unit], seen: set[str], *, direct: bool) -> list[Unit]:
        """Add what units lead to; return those with a name of their own, if they are to wait."""
        later: dict[str, Unit] = {}
        for unit in units:  # grows while it is walked
            for target, base, extended, include in self.links(unit):
                if target in seen or target not in self.files or len(units) + len(later) >= MAX_NEIGHBOURS:
                    continue
                settings, origins = unit.settings, unit.origins
                if include is not None:
                    settings, origins = self._merged(unit, include)
                if direct and self.is_named(target):
                    later.setdefault(target, Unit(target, base, settings, origins, extended, direct=False))
                    continue
                seen.add(target)
                units.append(Unit(target, base, settings, origins, extended, direct))
        return list(later.values())

    def links(self, unit: Unit) -> Iterator[tuple[str, str, bool, Include | None]]:
        """Yield path, base folder, whether it is extended, and the include of each file linked to."""
        reading = self.reading(unit.path)
        for service in reading.services:
            if service.extends is not None and service.extends[0]:
                path = self.locate(unit, service.extends[0])
                if path is not None:
                    yield path, folder_of(path), True, None
        if unit.extended:
            return  # compose takes services alone from there
        for one in reading.includes:
            base = self.environment(unit, one)[0]
            for file in one.files:
                path = self.locate(unit, file)
                if path is not None:
                    yield path, base, False, one

    def locate(self, unit: Unit, text: str) -> str | None:
        """Return the path in the repository that a text of a file means."""
        known = expanded(text, unit.settings)
        return None if known is None else join(unit.base, known)

    def environment(self, unit: Unit, include: Include) -> tuple[str, tuple[str, ...]]:
        """Return an included file's project directory and `.env` files."""
        first = self.locate(unit, include.files[0])
        base = folder_of(first) if first is not None else unit.base
        if include.project_directory:
            base = self.locate(unit, include.project_directory) or unit.base
        if include.env_files:
            return base, tuple(filter(None, (self.locate(unit, file) for file in include.env_files)))
        return base, (join(base, ".env") or ".env",)

    def _merged(self, unit: Unit, include: Include) -> tuple[Settings, Mapping[str, str]]:
        settings: dict[str, Setting] = {}
        origins: dict[str, str] = {}
        for path in self.environment(unit, include)[1]:
            own = self.settings(path)
            settings.update(own)
            origins.update(dict.fromkeys(own, path))
        return {**settings, **unit.settings}, {**origins, **unit.origins}


def expanded(text: str, settings: Settings) -> str | None:
    template = parse(text)
    return None if template is None else resolve(template, settings).text


class Groups:
    """Services that compose merges: of one name in files of one folder, and by `extends`."""

    def __init__(self, world: World, path: str) -> None:
        self._world = world
        self._services: dict[tuple[str, str], Service] = {}
        files = [unit.path for unit in world.project(path)]
        files += world.beside(folder_of(path))[:MAX_NEIGHBOURS]
        for number, other in enumerate(world.mentioning(path.rpartition("/")[2])):
            if number >= MAX_NEIGHBOURS:
                break
            if any(unit.path == path for unit in world.project(other)):
                files.append(other)
        for one in dict.fromkeys(files):
            for service in world.reading(one).services[: MAX_SERVICES - len(self._services)]:
                self._services[one, service.name] = service
        self._namesakes: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for key in self._services:
            self._namesakes.setdefault((folder_of(key[0]), key[1]), []).append(key)
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
            path = key[0] if not extends[0] else join(folder_of(key[0]), extends[0])
            if path is None:
                break
            key = (path, extends[1])
        return made

    def _find_building(self) -> set[tuple[str, str]]:
        """Return folder and name of each service that some file builds."""
        made: set[tuple[str, str]] = set()
        for key in self._services:
            if any(self._services[one].build is not None for one in self._chain(key)):
                made.add((folder_of(key[0]), key[1]))
        return made

    def _find_marked(self) -> Iterator[tuple[str, str]]:
        """Yield the services whose image is what a build makes."""
        for key in self._services:
            if (folder_of(key[0]), key[1]) in self._building:
                holder = next((one for one in self._chain(key) if self._services[one].has_image), None)
                if holder is not None:
                    yield holder

    def knows(self, path: str, service: str) -> bool:
        """Return whether a service is among those that were looked at."""
        return (path, service) in self._services

    def built(self, path: str, slot: Slot) -> bool:
        return any((path, name) in self._marked for name in slot.services)

    def builds_itself(self, path: str, slot: Slot) -> bool:
        """Return whether a build stands right beside the image."""
        return any(
            (held := self._services.get((path, name))) is not None and held.build is not None
            for name in slot.services
        )

    def builds(self, path: str, service: str) -> list[tuple[str, Build]]:
        """Return what makes up a service's build, overlays included, its own first, each with its file."""
        keys = [(path, service), *self._namesakes.get((folder_of(path), service), ())]
        members = dict.fromkeys(member for key in keys for member in self._chain(key))
        return [(key[0], build) for key in members if (build := self._services[key].build) is not None]

    def inherited(self, path: str, service: str) -> list[tuple[str, Build]]:
        """Return a service's own build and those that it extends, each with its file."""
        members = self._chain((path, service))
        return [(key[0], build) for key in members if (build := self._services[key].build) is not None]

    def dockerfiles(self, unit: Unit, service: Service) -> tuple[str | None, ...]:
        """Return the Dockerfiles that a service may build; None stands for one that is not known."""
        contexts: dict[tuple[str, str], None] = {}
        names: dict[str, None] = {}
        for path, build in self.builds(unit.path, service.name):
            if build.context is not None:
                contexts[self._world.main(path).base, build.context] = None
                if build is service.build and build.dockerfile is None:
                    names["Dockerfile"] = None
            if build.dockerfile is not None:
                names[build.dockerfile] = None
        made = [
            self._dockerfile(unit, base, context, name)
            for base, context in contexts or {(unit.base, "."): None}
            for name in names or {"Dockerfile": None}
        ]
        return (None,) if len(made) > MAX_CHAIN else tuple(dict.fromkeys(made))

    def _dockerfile(self, unit: Unit, base: str, context: str, name: str) -> str | None:
        folder, file = expanded(context, unit.settings), expanded(name, unit.settings)
        if folder is None or file is None or is_remote(folder):
            return None
        below = join(base, folder)
        path = None if below is None else join("" if below == "." else below, file)
        if path is not None and file == "Dockerfile" and path not in self._world.files:
            other = f"{path.removesuffix('Dockerfile')}Containerfile"
            return other if other in self._world.files else path
        return path
