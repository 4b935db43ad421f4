"""What every forge offers: objects and writes, never workflow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bot.model import Edit, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One commit to be written onto a branch of the bot's own."""

    repository: str
    base: str
    """The branch that it is meant for."""
    parent: str
    """The commit that it is made on."""
    branch: str
    expected: str | None
    """The commit that the branch must be at; None where it must not exist."""
    message: str
    edits: tuple[Edit, ...]


def _unheard(_commit: str) -> None:
    """Nobody wants to know."""


class Forge(Protocol):
    """A place that holds repositories.  Reads may be repeated, writes are compared first."""

    name: str

    def head(self, repository: str, ref: str) -> tuple[str, str]:
        """Return the branch's full short name and its commit; an empty `ref` is the default one.

        Raises `ForgeError` where there is no such branch.
        """

    def snapshot(self, repository: str, commit: str, claims: Callable[[str, bytes], bool]) -> Snapshot:
        """Return the files at `commit` that `claims` says yes to, first asked by path alone."""

    def read(self, repository: str, commit: str, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return those of `paths` that are regular files at `commit` and within the size limit."""

    def branch(self, repository: str, name: str) -> str | None:
        """Return the commit of a branch, or None where it does not exist."""

    def write(self, change: Change, intend: Callable[[str], None] = _unheard) -> str:
        """Return the commit that now is the branch's head; `intend` hears of it before it is.

        The publish guard judges the change first.  File modes are kept.  Raises `GuardError`, or
        `SupersededError` where the branch is not at `expected`; nothing is written then.
        """

    def made(self, change: Change, commit: str) -> bool:
        """Return whether `commit` is just what `write` makes of the change: parent, tree, message.

        After a crash between writing and remembering, this is how a branch is known as our own.
        """

    def delete(self, repository: str, branch: str, expected: str) -> None:
        """Remove a branch that is still at `expected`; raises `SupersededError` where it is not."""
