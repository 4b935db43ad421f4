"""What every finder offers.  A finder is a module that satisfies this protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from bot.model import Findings
from bot.source import Source


class Files(dict[str, bytes]):
    """A snapshot's files, which nobody changes any more: what is made of all of them may be kept for the next."""

    __slots__ = ("__weakref__",)


class Finder(Protocol):
    """Finds references in one kind of file.  It never writes, resolves, guesses or raises."""

    paths: tuple[str, ...]
    """Globs of the files it may claim, so that a forge can select without content.

    `**/` stands for any number of folders, none included; `*` stops at `/`; compared without
    regard to case only where the format's own tools do so.
    """

    def claims(self, path: str, head: bytes) -> bool:
        """Return whether the file at `path`, which begins with `head`, is of this format.

        `head` holds up to 4 KiB and is empty where only the path is known yet; then the answer
        is about the path alone.
        """

    def needs(self, source: Source) -> tuple[str, ...]:
        """Return the paths of other files of the repository that `find` wants beside this one.

        Normalised, relative to the repository's root, and never outside it.  One that holds `*` is
        a glob as `bot.globs` reads it and stands for all files that match: whoever reads the
        repository lists it, bounds how many are taken, and says what was not.
        """

    def find(self, source: Source, files: Mapping[str, bytes]) -> Findings:
        """Return everything in the file that looks like a reference.

        `files` holds the snapshot's files by path, those of `needs` included where they exist.  It is
        the same object of `Files` for every file of one snapshot.
        """
