"""Globs over paths and over the names of references, matched in time linear in the text.

`*` stands for any run of characters but `/`, `?` for one character but `/`, and `**` as a whole
part for any number of parts: none included in front and in between, at least one at the end.
Everything else stands for itself; globs are anchored at both ends.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeAlias

from bot.model import GitReference, ImageReference, Reference
from bot.reference import DOCKER_HUB

MAX_GLOB = 300
"""Characters of a glob that a configuration may hold."""

_Part: TypeAlias = Callable[[str], object]
_WILD = re.compile(r"\*+|\?")


def wrong(glob: str) -> str | None:
    """Return what is wrong with a glob in a few words, or None."""
    if not glob or len(glob) > MAX_GLOB:
        return f"must have 1 to {MAX_GLOB} characters"
    if not glob.isprintable():
        return "must not hold control characters"
    if glob.startswith("!"):
        return "must not start with `!`; use the opposite key"
    if "{" in glob or "}" in glob:
        return "must not hold braces; write one glob for each name"
    if "\\" in glob:
        return "must use `/`, and has no escapes"
    parts = glob.split("/")
    if "" in parts[:-1] or parts[0] in (".", "..") or ".." in parts:
        return "must not start with `/` or `./`, and have no empty or `..` part"
    if any("**" in part and part != "**" for part in parts):
        return "`**` must stand alone between slashes"
    return None


def matches(glob: str, text: str) -> bool:
    """Return whether the whole of `text` matches; a glob that ends in `/` means all that is below."""
    return _matches(_compiled(glob), text.split("/"))


def select(glob: str, ordered: Sequence[str]) -> Iterator[str]:
    """Yield those of some sorted paths that match; only those that begin as the glob does are looked at."""
    wild = _WILD.search(glob)
    start = glob[: wild.start()] if wild else glob
    end = re.split(r"[*?]", glob)[-1]
    for at in range(bisect_left(ordered, start), len(ordered)):
        path = ordered[at]
        if not path.startswith(start):
            return
        if path.endswith(end) and matches(glob, path):
            yield path


@lru_cache(maxsize=4096)
def _compiled(glob: str) -> tuple[_Part | None, ...]:
    """Return a test for each part; None stands for `**`."""
    if glob.endswith("/"):
        glob += "**"
    made: list[_Part | None] = []
    for part in glob.split("/"):
        if part != "**":
            made.append(_part(part))
        elif not made or made[-1] is not None:  # a run of `**` means no more than one
            made.append(None)
    if made[-1] is None:
        made.append(bool)  # the end of a path is never empty: one part at least
    return tuple(made)


def _part(glob: str) -> _Part:
    if not _WILD.search(glob):
        return glob.__eq__
    if glob == "*":
        return bool
    return re.compile("".join(_expression(glob)), re.DOTALL).fullmatch


def _expression(glob: str) -> Iterator[str]:
    """Yield a regular expression that never goes back behind a `*`.

    What follows a `*` up to the next one is taken where it stands first, for good: a later
    place could not match more, since the next `*` takes whatever is between.
    """
    first, *rest = re.split(r"\*+", glob)
    yield _literal(first)
    if not rest:
        return
    for middle in rest[:-1]:
        yield f"(?>.*?{_literal(middle)})"
    yield f".*{_literal(rest[-1])}"


def _literal(text: str) -> str:
    return "".join("." if character == "?" else re.escape(character) for character in text)


def _matches(parts: tuple[_Part | None, ...], text: list[str]) -> bool:
    """Return whether parts match; the last `**` alone is ever gone back to."""
    at = here = 0
    star = mark = -1
    while here < len(text):
        part = parts[at] if at < len(parts) else _never
        if part is None:
            star, mark = at, here
            at += 1
        elif part(text[here]):
            at += 1
            here += 1
        elif star >= 0:
            mark += 1
            at, here = star + 1, mark
        else:
            return False
    return at == len(parts)


def _never(_text: str) -> bool:
    return False


# --- what a reference may be called -------------------------------------------------------


def names(glob: str, reference: Reference) -> bool:
    """Return whether a glob names a reference, by one of the forms that people write it in.

    Images: as written or normalised, Docker Hub's also without host and `library/`; git
    references: `owner/name` with or without path and host, in any case.  Tag and ref count only
    where the glob has them.
    """
    if isinstance(reference, ImageReference):
        return any(matches(glob, form) for form in _image_forms(reference))
    place, at, ref = glob.partition("@")
    if at and not matches(ref, reference.ref):
        return False
    return any(matches(place.lower(), form) for form in _git_forms(reference))


def spellings(reference: Reference) -> tuple[str, ...]:
    """Return the texts by which a person may name exactly this reference: as written, normalised."""
    if isinstance(reference, ImageReference):
        name = f"{reference.registry}/{reference.repository}"
        return (str(reference), str(replace(reference, name=name, digest=None)))
    return (str(reference),)


def forms(reference: Reference) -> tuple[str, ...]:
    """Return every text by which a person may name a reference or all of its tags, git ones in lower case.

    None of them is a glob, and no digest is in them.
    """
    if isinstance(reference, ImageReference):
        return tuple(dict.fromkeys((*_image_forms(reference), str(replace(reference, digest=None)))))
    plain = _git_forms(reference)
    return (*plain, *(f"{form}@{reference.ref.lower()}" for form in plain if reference.ref))


def _image_forms(image: ImageReference) -> tuple[str, ...]:
    forms = [image.name, f"{image.registry}/{image.repository}"]
    if image.registry == DOCKER_HUB:
        forms += [image.repository, image.repository.removeprefix("library/")]
    if image.followed_tag is not None:
        forms += [f"{form}:{image.followed_tag}" for form in forms]
    return tuple(dict.fromkeys(forms))


def _git_forms(git: GitReference) -> tuple[str, ...]:
    forms = [git.repository, f"{git.repository}/{git.path}" if git.path else git.repository]
    if git.host:
        forms += [f"{git.host}/{form}" for form in forms]
    return tuple(dict.fromkeys(form.lower() for form in forms))
