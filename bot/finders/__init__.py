"""Finders: what in a repository refers to an image or to somebody else's pipeline code.

Pure: bytes in, findings with byte spans out.  A new format is one module here, one line in
`FINDERS` and one folder of golden cases.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, replace

from bot import globs
from bot.finders import bake, compose, dockerfile, github_actions, gitlab_ci, templated
from bot.finders.base import Files, Finder
from bot.model import Findings, Unread, UnreadReason
from bot.source import Source

FINDERS: Mapping[str, Finder] = {
    "dockerfile": dockerfile,
    "compose": compose,
    "gitlab-ci": gitlab_ci,
    "github-actions": github_actions,
    "bake": bake,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """How files of one format name the Dockerfiles that they have built."""

    keys: re.Pattern[bytes]
    """A cheap test, and what a value's bytes are if it is plain."""
    dockerfiles: Callable[[Source, Mapping[str, bytes]], tuple[str, ...]]
    """Returns paths in the repository, there or not."""


_VALUE = rb"[\"']?[ \t]*[:=][ \t]*[\"']?([^\s\"'#,{}\[\]]{0,300})"
POINTERS: Mapping[str, Pointer] = {
    "compose": Pointer(keys=re.compile(rb"dockerfile" + _VALUE), dockerfiles=compose.dockerfiles),
    "github-actions": Pointer(
        keys=re.compile(
            rb"\b(?:file|(?:docker|container)files)" + _VALUE + rb"|using[\"']?[ \t]*:[ \t]*[\"']?docker"
        ),
        dockerfiles=github_actions.dockerfiles,
    ),
    "bake": Pointer(keys=re.compile(rb"dockerfile" + _VALUE), dockerfiles=bake.dockerfiles),
}
"""Formats that lead to Dockerfiles whose own names do not say what they are."""
MAX_POINTED = 200
"""Such Dockerfiles of one repository."""
_CROWDED = (
    f"More than {MAX_POINTED} Dockerfiles have unusual names; some that are built from here were not read."
)

HEAD = 4096
"""Bytes of a file that `claims` is shown."""
MAX_REFERENCES = 5_000
"""References of one file that are told; a long one written by people has fewer than 200."""


_ENDINGS = (".yml", ".yaml", ".hcl", ".json", *templated.YAML)


def could_claim(path: str) -> bool:
    """Return False where no finder claims the path: a cheap answer for nearly every file of a tree."""
    if path.endswith(_ENDINGS):
        return True
    name = path.lower()
    return "dockerfile" in name or "containerfile" in name


def claims(path: str, head: bytes) -> bool:
    """Return whether any finder claims the file; an empty `head` asks about the path alone."""
    return could_claim(path) and any(finder.claims(path, head) for finder in FINDERS.values())


def needs(files: Mapping[str, bytes]) -> set[str]:
    """Return the paths, and globs of paths, that the finders want beside the files they claim.

    A finder is asked again of each file that it wanted, whoever else claims it: includes and bases
    form chains.  A glob is returned whatever there is already: nobody here knows what it stands for.
    """
    wanted: set[str] = set()
    ordered = sorted(files)
    pending = [
        (path, name)
        for path, data in files.items()
        for name, finder in FINDERS.items()
        if finder.claims(path, data[:HEAD])
    ]
    asked = set(pending)
    while pending:
        path, name = pending.pop()
        for other in FINDERS[name].needs(Source(path, files[path])):
            if other not in files:
                wanted.add(other)
            matched = globs.select(other, ordered) if "*" in other else (other,)
            for one in matched:
                if one in files and (one, name) not in asked:
                    asked.add((one, name))
                    pending.append((one, name))
    return wanted | {path for path in _pointed(files).paths if path not in files}


@dataclass(frozen=True, slots=True)
class _Pointed:
    """Dockerfiles that other files have built, and whose names say nothing."""

    paths: dict[str, None]
    trouble: list[tuple[str, str, Findings]]
    """What kept some of them from being known, as `find` yields it."""


def _pointed(files: Mapping[str, bytes]) -> _Pointed:
    made = _Pointed({}, [])
    for path, data in files.items():
        for name, pointer in POINTERS.items():
            if not FINDERS[name].claims(path, data[:HEAD]) or all(
                _is_usual(value) for value in set(pointer.keys.findall(data))
            ):
                continue
            if len(made.paths) >= MAX_POINTED:
                made.trouble.append((path, name, _unparsable(path, _CROWDED)))
                return made
            try:
                found = pointer.dockerfiles(Source(path, data), files)
            except Exception as error:  # noqa: BLE001 - a defect costs its one file; the others must go on
                made.trouble.append((path, name, _defect(path, error)))
                continue
            unusual = [one for one in found if one not in made.paths and not claims(one, b"")]
            room = MAX_POINTED - len(made.paths)
            made.paths.update(dict.fromkeys(unusual[:room]))
            if len(unusual) > room:
                made.trouble.append((path, name, _unparsable(path, _CROWDED)))
    return made


def _is_usual(value: bytes) -> bool:
    """Return whether a plain value is a path that the Dockerfile finder claims anyway."""
    return dockerfile.claims(value.decode("utf-8", "replace"), b"")


def find(
    files: Mapping[str, bytes], only: Container[str] | None = None
) -> Iterator[tuple[str, str, Findings]]:
    """Yield path, format and findings of every file that a finder claims, by path.

    `only` names the files to look at; the others still tell what variables and bases hold.
    """
    files = Files(files)
    pointed = _pointed(files)
    yield from (one for one in pointed.trouble if only is None or one[0] in only)
    for path in sorted(files):
        if only is not None and path not in only:
            continue
        if path in pointed.paths and dockerfile.is_one(files[path]):
            yield path, dockerfile.FORMAT, _found(dockerfile, Source(path, files[path]), files)
        if not could_claim(path):
            continue
        data = files[path]
        for name, finder in FINDERS.items():
            if finder.claims(path, data[:HEAD]):
                yield path, name, _found(finder, Source(path, data), files)


def _found(finder: Finder, source: Source, files: Mapping[str, bytes]) -> Findings:
    """Return what a finder says; a defect in it costs its one file, and is said."""
    try:
        return _bounded(source.path, finder.find(source, files))
    except Exception as error:  # noqa: BLE001 - finders promise not to raise; the other files must go on
        return _defect(source.path, error)


def _defect(path: str, error: Exception) -> Findings:
    return _unparsable(path, f"a defect of Moorline, please report it: {type(error).__name__}")


def _unparsable(path: str, detail: str) -> Findings:
    return Findings(unread=(Unread(path=path, reason=UnreadReason.UNPARSABLE, detail=detail),))


def _bounded(path: str, found: Findings) -> Findings:
    """Return findings of which no more references are told than anything behind here should carry."""
    if len(found.references) <= MAX_REFERENCES:
        return found
    detail = f"It holds more than {MAX_REFERENCES} references and was read in part."
    unread = (*found.unread, *_unparsable(path, detail).unread)
    return replace(found, references=found.references[:MAX_REFERENCES], unread=unread)
