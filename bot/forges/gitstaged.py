"""What is staged for the next commit, read from an index as the tree of a commit that nobody made.

Nothing is written: the trees are held in memory, the files are those that `git add` stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dulwich.index import EXTENDED_FLAG_INTEND_TO_ADD, ConflictedIndexEntry, Index, commit_tree
from dulwich.object_store import MemoryObjectStore
from dulwich.objects import Commit, ObjectID
from dulwich.repo import Repo

from bot.errors import ForgeError
from bot.forges.gitobjects import Objects

_FOLDER = 0o040000
_MOST = 1_000_000
_LARGEST = 512 * 1024 * 1024
"""Bytes of an index."""


class Staged:
    """Objects on disk, and before them the trees that an index comes to."""

    def __init__(self, repo: Repo, objects: Objects, index: Path | None) -> None:
        """Read the index of a repository, or the one that git made for one commit.

        Raises `ForgeError` where it holds conflicts, or says where its entries are instead of them.
        """
        self._objects = objects
        self.id_size, self.partial = objects.id_size, objects.partial
        place = index or Path(repo.index_path())
        if any(place.parent.glob("sharedindex.*")):
            raise _unusable(
                "shares its entries with another", "Join them: `git update-index --no-split-index`."
            )
        if place.exists() and place.stat().st_size > _LARGEST:
            raise _unusable("is too large", "Judge the last commit: leave out --staged.")
        self._held = MemoryObjectStore(object_format=repo.object_format)
        self.commit = Commit()
        entries = _entries(Index(place, object_format=repo.object_format))
        self.commit.tree = commit_tree(self._held, entries, repo.object_format)
        self.commit.parents = []
        self.commit.author = self.commit.committer = b"nobody <>"
        self.commit.author_time = self.commit.commit_time = 0
        self.commit.author_timezone = self.commit.commit_timezone = 0
        self.commit.message = b""

    def size(self, identity: bytes) -> int | None:
        """Return the size in bytes that an object says it has; None where it is not there."""
        held = self._tree(identity)
        return self._objects.size(identity) if held is None else len(held)

    def read(self, identity: bytes, limit: int) -> tuple[bytes, bytes]:
        """Return kind and content of an object; raises as those on disk do."""
        held = self._tree(identity)
        return self._objects.read(identity, limit) if held is None else (b"tree", held)

    def _tree(self, identity: bytes) -> bytes | None:
        name = ObjectID(identity)
        return self._held[name].as_raw_string() if name in self._held else None


def _entries(index: Index) -> Iterator[tuple[bytes, ObjectID, int]]:
    for number, (path, entry) in enumerate(index.items()):
        if isinstance(entry, ConflictedIndexEntry):
            raise _unusable("holds conflicts", "Resolve them, and add what is resolved.")
        if entry.mode == _FOLDER:
            raise _unusable("is sparse", "Write it in full: `git sparse-checkout init --no-sparse-index`.")
        if number >= _MOST:
            raise _unusable(f"holds more than {_MOST:,} files", "Judge the last commit: leave out --staged.")
        if not entry.extended_flags & EXTENDED_FLAG_INTEND_TO_ADD:
            yield path, entry.sha, entry.mode


def _unusable(what: str, advice: str) -> ForgeError:
    return ForgeError(f"The index of the repository {what}.", advice=advice)
