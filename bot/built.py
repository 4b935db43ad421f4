"""Which references name an image that this repository builds itself.

Names are compared normalised and without their tag.  Where a name holds variables its literal
parts are compared, if they say enough: a variable in front never claims an official image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bot.model import Built, Finding, ImageReference
from bot.reference import DOCKER_HUB, parse_image

_LIMIT = 1024
_HOLE = "\0"
_VARIABLE = re.compile(
    r"\$\{\{[^{}]*\}\}|\{\{[^{}]*\}\}|\$\{[^{}]*\}|\$\([^()]*\)|\$\[\[[^\[\]]*\]\]|\$[A-Za-z_][A-Za-z0-9_]*|%[A-Z_]+%|`[^`]*`"
)
_OWNER = re.compile(r"\$\{\{\s{0,20}github\.repository_owner\s{0,20}\}\}|\$\{?GITHUB_REPOSITORY_OWNER\b\}?")
_REPOSITORY = re.compile(r"\$\{\{\s{0,20}github\.repository\s{0,20}\}\}|\$\{?GITHUB_REPOSITORY\b\}?")
_DEPTH = 5
_THIS = re.compile(
    r"(?:\$CI_REGISTRY_IMAGE|\$\{CI_REGISTRY_IMAGE\}"
    r"|(?:\$CI_REGISTRY|\$\{CI_REGISTRY\})/(?:\$CI_PROJECT_PATH|\$\{CI_PROJECT_PATH\}))(?=[/:@]|$)"
    r"|(?:\$CI_REGISTRY|\$\{CI_REGISTRY\})/(?:\$CI_PROJECT(?:_ROOT)?_NAMESPACE|\$\{CI_PROJECT(?:_ROOT)?_NAMESPACE\})/"
    r"|ghcr\.io/\$\{\{\s{0,20}github\.repository\s{0,20}\}\}[\w.-]{0,200}(?=[/:@]|$)"
    r"|ghcr\.io/\$\{\{\s{0,20}github\.repository_owner\s{0,20}\}\}/"
)
"""What begins in this repository's own place of its forge's registry, whatever follows.

A forge's variable further behind says nothing: anybody can push a tag that is called like a commit or a branch.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    built: Built
    pieces: tuple[str, ...]
    """The literal parts around the variables, the first normalised; first and last may be empty."""

    def matches(self, image: ImageReference) -> bool:
        official = image.registry == DOCKER_HUB and image.repository.startswith("library/")
        first, last = self.pieces[0], self.pieces[-1]
        parts = last.strip("/").split("/")
        by_first = first.count("/") >= 2
        by_last = last.startswith("/") and bool(parts[0]) and (len(parts) > 1 or image.registry != DOCKER_HUB)
        if official or not (by_first or by_last):
            return False
        name = f"{image.registry}/{image.repository}"
        position = len(first)
        if not name.startswith(first) or not name.endswith(last):
            return False
        for piece in self.pieces[1:-1]:
            position = name.find(piece, position)
            if position < 0:
                return False
            position += len(piece)
        return position < len(name) and position <= len(name) - len(last)


class BuiltNames:
    """The names that a repository gives to what it builds."""

    __slots__ = ("_exact", "_patterns", "_written")

    def __init__(self, built: Iterable[Built], owner: str = "", repository: str = "") -> None:
        """`owner` and `repository`, an `owner/name`, are the repository's own, empty where not known."""
        self._exact: dict[tuple[str, str], Built] = {}
        self._written: dict[str, Built] = {}
        patterns: dict[tuple[str, ...], _Pattern] = {}
        for one in built:
            written = without_tag(one.name)
            name = _placed(written, owner, repository)
            pieces = _pieces(name)
            if not name or len(name) > _LIMIT:
                continue
            if name != written:
                self._written.setdefault(written, one)
            image = parse_image(name) if len(pieces) == 1 else None
            if image is not None:
                self._exact.setdefault((image.registry, image.repository), one)
            elif len(pieces) > 1 and any(piece.strip("/") for piece in pieces):
                self._written.setdefault(name, one)
                pieces = (_normalised(pieces[0]), *pieces[1:])
                patterns.setdefault(pieces, _Pattern(built=one, pieces=pieces))
        self._patterns = tuple(patterns.values())[:200]

    def find(self, finding: Finding) -> Built | None:
        """Return what builds the image that a finding names, or None."""
        if not (self._exact or self._written):
            return None
        match finding.reference:
            case ImageReference() as image:
                found = self._exact.get((image.registry, image.repository))
                if found is not None:
                    return found
                pattern = next((one for one in self._patterns if one.matches(image)), None)
                if pattern is not None:
                    return pattern.built
        return self._written.get(without_tag(finding.value))


def _placed(name: str, owner: str, repository: str) -> str:
    """Return a name with what GitHub's own expressions come to here, in lower case as registries have it."""
    if owner:
        name = _OWNER.sub(lambda _: owner.lower(), name)
    if repository:
        name = _REPOSITORY.sub(lambda _: repository.lower(), name)
    return name


def names_this_project(value: str) -> bool:
    """Return whether a value is in this very repository's place of a registry, by the forge's own variables."""
    return _THIS.match(value[:_LIMIT]) is not None


def without_tag(name: str) -> str:
    """Return an image's name without tag and digest; variables are not looked into."""
    if len(name) > _LIMIT:
        return ""
    depth = 0
    cut = len(name)
    for position, character in enumerate(name):
        if character in "{([":
            depth += 1
        elif character in "})]":
            depth = max(0, depth - 1)
        elif depth == 0 and character == "/":
            cut = len(name)
        elif depth == 0 and character == "@":
            return name[: min(cut, position)]
        elif depth == 0 and character == ":" and cut == len(name):
            cut = position
    return name[:cut]


def _pieces(name: str) -> tuple[str, ...]:
    for _ in range(_DEPTH):
        made = _VARIABLE.sub(_HOLE, name)
        if made == name:
            break
        name = made
    return tuple(re.split(f"{_HOLE}+", name))


def _normalised(first: str) -> str:
    """Return the literal beginning of a name with its host; empty where a variable comes first."""
    if not first:
        return ""
    host, slash, _ = first.partition("/")
    if slash and (any(mark in host for mark in ".:") or host == "localhost"):
        return first
    return f"{DOCKER_HUB}/{first}" if slash else f"{DOCKER_HUB}/library/{first}"
