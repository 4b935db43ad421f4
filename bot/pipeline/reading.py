"""A repository as it is read: at a commit of a forge, or any other way that satisfies `Reading`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from bot.forges.base import Forge
from bot.model import Snapshot, Unread, UnreadReason


class Reading(Protocol):
    """A repository at one place in its history, or a folder."""

    @property
    def commit(self) -> str | None:
        """Return the commit that is read, or None for a working tree."""

    def snapshot(
        self, claims: Callable[[str, bytes], bool], left_out: Callable[[str], str | None]
    ) -> Snapshot:
        """Return the files that `claims` says yes to, but for those that `left_out` has a reason for."""

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return those of `paths` that exist as regular files."""

    def unread(self, paths: Collection[str]) -> tuple[Unread, ...]:
        """Return why those of `paths` that exist are not read: links, folders, too large ones."""


@dataclass(frozen=True, slots=True)
class AtCommit:
    """A forge's repository at one commit."""

    forge: Forge
    repository: str
    commit: str | None

    def snapshot(
        self, claims: Callable[[str, bytes], bool], left_out: Callable[[str], str | None]
    ) -> Snapshot:
        """Return the files that `claims` says yes to; what is left out is reported, not read."""
        aside: dict[str, Unread] = {}

        def chosen(path: str, head: bytes) -> bool:
            if not claims(path, head):
                return False
            reason = left_out(path)
            if reason is not None:
                aside[path] = Unread(path=path, reason=UnreadReason.LEFT_OUT, detail=reason)
            return reason is None

        made = self.forge.snapshot(self.repository, self.commit or "", chosen)
        return Snapshot(
            commit=made.commit,
            files=made.files,
            unread=(*made.unread, *(aside[path] for path in sorted(aside))),
        )

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return those of `paths` that exist as regular files."""
        return self.forge.read(self.repository, self.commit or "", paths)

    def unread(self, paths: Collection[str]) -> tuple[Unread, ...]:
        """Return why those of `paths` that exist are not read."""
        made = self.forge.snapshot(self.repository, self.commit or "", lambda path, _head: path in paths)
        return tuple(one for one in made.unread if one.path in paths)


@dataclass(frozen=True, slots=True)
class Below:
    """The part of a repository that is one folder or one file, by the paths of the whole."""

    whole: Reading
    place: str
    """Empty for everything."""

    @property
    def commit(self) -> str | None:
        """Return the commit that is read."""
        return self.whole.commit

    def snapshot(
        self, claims: Callable[[str, bytes], bool], left_out: Callable[[str], str | None]
    ) -> Snapshot:
        """Return the files of this part that `claims` says yes to."""
        made = self.whole.snapshot(lambda path, head: self._holds(path) and claims(path, head), left_out)
        return replace(made, unread=tuple(one for one in made.unread if self._holds(one.path)))

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return those of `paths` that exist as regular files, wherever in the repository."""
        return self.whole.read(paths)

    def unread(self, paths: Collection[str]) -> tuple[Unread, ...]:
        """Return why those of `paths` that exist are not read, wherever in the repository."""
        return self.whole.unread(paths)

    def _holds(self, path: str) -> bool:
        return not self.place or f"{path}/".startswith(f"{self.place}/")
