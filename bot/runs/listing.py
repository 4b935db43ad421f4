"""What a forge lets us see, page by page, and which of it is looked after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice

from bot import globs
from bot.config import Config
from bot.errors import ForgeError, MissingError, MovedError, TransientError
from bot.forges.base import Forge, Hosting
from bot.model import Repository
from bot.runs.planning import Served
from bot.store.base import Known, Repositories

PAGE = 100
"""Repositories that are remembered and wanted at a time."""
_MOST_MISSING = 500
"""Repositories that are asked for one by one, since a list that should name them does not."""


class LeftOut(StrEnum):
    """Why a repository is not looked at."""

    NOT_SERVED = "its owner is not served"
    ARCHIVED = "archived"
    FORK = "a fork"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which repositories are asked for."""

    owners: tuple[str, ...] = ()
    """All where nobody is named."""
    globs: tuple[str, ...] = ()
    """By `owner/name`, or by the name alone where there is no slash; all where there is none."""

    @property
    def names(self) -> tuple[str, ...]:
        """The repositories, where each is named: then nobody has to list the others."""
        plain = all("/" in one and not {"*", "?"} & {*one} for one in self.globs)
        return tuple(filter(self.owns, self.globs)) if plain else ()

    def owns(self, name: str) -> bool:
        """Return whether a repository belongs to one of the owners."""
        folded = name.casefold()
        return not self.owners or any(folded.startswith(f"{one.casefold()}/") for one in self.owners)

    def wants(self, name: str) -> bool:
        """Return whether a repository is asked for; case does not matter, as on the forges."""
        return self.owns(name) and (not self.globs or any(_matches(one, name) for one in self.globs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One repository of a list."""

    repository: Repository
    before: Known | None
    """What was known of it under this name, or None."""
    left_out: LeftOut | None
    back: bool = False
    """Whether it was gone: what was proposed then stands no more, though nothing changed."""


class Listing:
    """Lists, with what is remembered of each repository."""

    def __init__(self, repositories: Repositories, served: Served) -> None:
        self._repositories = repositories
        self._served = served

    def pages(self, forge: Forge, hosting: Hosting, asked: Asked, now: datetime) -> Iterator[list[Listed]]:
        """Yield what is asked for; what we knew and nobody lists any more is asked for by name.

        What is gone is remembered as gone, and what has another name goes on under it.  Raises what
        the forge raises.
        """
        seen: set[str] = set()
        told = self._told(hosting, asked)
        while found := list(islice(told, PAGE)):
            fresh = [one for one in found if one.name not in seen]
            seen.update(one.name for one in fresh)
            yield self._known(forge, fresh, now)
        if not asked.names:
            yield from self._missing(forge, hosting, asked, seen, now)

    def _told(self, hosting: Hosting, asked: Asked) -> Iterator[Repository]:
        if asked.names:
            yield from (found for name in asked.names if (found := _found(hosting, name)) is not None)
            return
        for owner in asked.owners or ("",):
            yield from (one for one in hosting.repositories(owner) if asked.wants(one.name))

    def _known(self, forge: Forge, found: Iterable[Repository], now: datetime) -> list[Listed]:
        listed = []
        for one in found:
            before = self._repositories.get(forge.name, one.name)
            back = before is not None and before.gone
            if before is None or before.gone or before.repository.id not in ("", one.id):
                # A name may be new and the repository not: everything that is known of it goes along.
                # Its head is left for later: who stops here has not wanted it yet.
                self._repositories.record(forge.name, replace(one, head=""), now)
                before = None
            listed.append(Listed(repository=one, before=before, left_out=self._why(forge, one), back=back))
        return listed

    def _why(self, forge: Forge, one: Repository) -> LeftOut | None:
        if not self._served.owners.serves(forge.name, one.name):
            return LeftOut.NOT_SERVED
        if one.archived:
            return LeftOut.ARCHIVED
        if one.fork and not self._served.forks:
            return LeftOut.FORK
        return None if one.default_branch else LeftOut.EMPTY

    def _missing(
        self, forge: Forge, hosting: Hosting, asked: Asked, seen: set[str], now: datetime
    ) -> Iterator[list[Listed]]:
        """Yield what was known and is not listed, if it is there: a list may leave out what it cannot tell.

        What an account that suspended us owns is not there for us, so that it is gone as well.
        """
        lost = [
            one.repository.name
            for one in self._repositories.all(forge.name)
            if one.repository.name not in seen
            and asked.wants(one.repository.name)
            # Who is not served any more is not asked about either.
            and self._served.owners.serves(forge.name, one.repository.name)
        ]
        for name in lost[:_MOST_MISSING]:
            try:
                found = _found(hosting, name)
            except ForgeError as error:
                if concerns_all(error):
                    raise
                continue  # it stays as it is known, and is asked for the next time
            if found is None:
                self._repositories.gone(forge.name, name, now)
                continue
            if found.name not in seen:
                seen.add(found.name)
                yield self._known(forge, [found], now)


def concerns_all(error: ForgeError) -> bool:
    """Return whether a forge asks to be left alone for a while, rather than that one thing failed."""
    return isinstance(error, TransientError) and error.retry_after is not None


def branches(hosting: Hosting, one: Repository, followed: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the branches beside the default one that a configuration names, with their heads."""
    if not followed:
        return
    config = Config(refs=tuple(followed))
    for name, head in hosting.branches(one.name):
        if name != one.default_branch and config.follows(name, one.default_branch):
            yield name, head


def _matches(glob: str, name: str) -> bool:
    text = name if "/" in glob else name.rpartition("/")[2]
    return globs.matches(glob.casefold(), text.casefold())


def _found(hosting: Hosting, name: str) -> Repository | None:
    """Return a repository, be it under another name, or None where it is not there for us."""
    try:
        try:
            return hosting.repository(name)
        except MovedError as moved:
            return hosting.repository(moved.name)
    except (MissingError, MovedError):
        return None
