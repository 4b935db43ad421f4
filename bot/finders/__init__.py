"""Finders: what in a repository refers to an image or to somebody else's pipeline code.

Pure: bytes in, findings with byte spans out.  A new format is one module here, one line in
`FINDERS` and one folder of golden cases.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import replace

from bot.finders import bake, compose, dockerfile, github_actions, gitlab_ci
from bot.finders.base import Finder
from bot.model import Findings, Unread, UnreadReason
from bot.source import Source

FINDERS: Mapping[str, Finder] = {
    "dockerfile": dockerfile,
    "compose": compose,
    "gitlab-ci": gitlab_ci,
    "github-actions": github_actions,
    "bake": bake,
}

HEAD = 4096
"""Bytes of a file that `claims` is shown."""
MAX_REFERENCES = 5_000
"""References of one file that are told; a long one written by people has fewer than 200."""


_ENDINGS = (".yml", ".yaml", ".hcl", ".json")


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
    """Return the paths that the finders want beside the files they claim.

    A finder is asked again of each file that it wanted, whoever else claims it: includes and bases
    form chains.
    """
    wanted: set[str] = set()
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
            elif (other, name) not in asked:
                asked.add((other, name))
                pending.append((other, name))
    return wanted


def find(
    files: Mapping[str, bytes], only: Container[str] | None = None
) -> Iterator[tuple[str, str, Findings]]:
    """Yield path, format and findings of every file that a finder claims, by path.

    `only` names the files to look at; the others still tell what variables and bases hold.
    """
    for path in sorted(files):
        if only is not None and path not in only:
            continue
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
        detail = f"a defect of Moorline, please report it: {type(error).__name__}"
        return Findings(unread=(Unread(path=source.path, reason=UnreadReason.UNPARSABLE, detail=detail),))


def _bounded(path: str, found: Findings) -> Findings:
    """Return findings of which no more references are told than anything behind here should carry."""
    if len(found.references) <= MAX_REFERENCES:
        return found
    detail = f"It holds more than {MAX_REFERENCES} references and was read in part."
    unread = Unread(path=path, reason=UnreadReason.UNPARSABLE, detail=detail)
    return replace(found, references=found.references[:MAX_REFERENCES], unread=(*found.unread, unread))
