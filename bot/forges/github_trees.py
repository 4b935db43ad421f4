"""What stands at a commit on GitHub: every path with its mode and object, by one request as a rule."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.errors import ForgeError
from bot.forges.github_client import Client, repository_path
from bot.forges.guard import is_git_folder
from bot.forges.links import known_by
from bot.model import Unread, UnreadReason
from bot.reference import is_commit

FOLDER, LINK, SUBMODULE = 0o040000, 0o120000, 0o160000
_FILES = frozenset({0o100644, 0o100755, 0o100664, 0o100600})
_MOST_ENTRIES = 1_000_000
_MOST_ASKED = 500
"""Trees that are asked for where one answer could not hold them all."""
_MAX_DEPTH = 200
_MOST_RECKONED = 20_000
"""Files of a tree that is reckoned rather than asked for."""
_KEPT = 100_000
"""Entries of all trees that are remembered."""


@dataclass(frozen=True, slots=True)
class Entry:
    mode: int
    oid: str
    size: int

    @property
    def regular(self) -> bool:
        """Whether it is a file, neither a link nor another repository."""
        return self.mode in _FILES


@dataclass
class Listing:
    """The whole tree of one commit."""

    oid: str
    """What the server calls it: the tree's id, or the commit's."""
    files: Mapping[str, Entry]
    """Files, links and submodules by path."""
    folders: Mapping[str, Entry]
    unread: tuple[Unread, ...]
    """Names that cannot be used."""
    read_ahead: bool = False
    """Whether what is going to be asked for was brought along already."""

    def at(self, path: str) -> tuple[int, str] | None:
        """Return the mode and object of what stands at a path, folders included; None for nothing."""
        found = self.files.get(path) or self.folders.get(path)
        return None if found is None else (found.mode, found.oid)

    def _children(self) -> Mapping[str, list[tuple[str, Entry]]]:
        made: dict[str, list[tuple[str, Entry]]] = {}
        for entries in (self.files, self.folders):
            for path, entry in entries.items():
                folder, _, name = path.rpartition("/")
                made.setdefault(folder, []).append((name, entry))
        return made

    def with_files(self, written: Mapping[str, tuple[int, bytes]]) -> str | None:
        """Return the id of the tree with these files in it, as git reckons it: path to mode and content.

        None where it cannot be reckoned, since a name is not known to the byte.
        """
        if self.unread:
            return None
        paths = [tuple(path.split("/")) for path in written]
        blobs = {
            path: Entry(mode, blob_id(data, self.oid), len(data))
            for path, (mode, data) in zip(paths, written.values(), strict=True)
        }
        return self._tree("", blobs, self._children())

    def altered(self, changes: Mapping[str, Entry | None], oid: str) -> Listing | None:
        """Return this tree with files changed, added, or (by None) gone; None unless that is the tree `oid`."""
        if self.unread or len(self.files) > _MOST_RECKONED:
            return None
        files = {path: entry for path, entry in self.files.items() if path not in changes}
        files |= {path: entry for path, entry in changes.items() if entry is not None and _is_path(path)}
        below: dict[str, dict[str, Entry]] = {"": {}}
        for path, entry in files.items():
            folder, _, name = path.rpartition("/")
            below.setdefault(folder, {})[name] = entry
        for folder in list(below):
            while folder:
                folder = folder.rpartition("/")[0]  # noqa: PLW2901 - upwards to the root
                below.setdefault(folder, {})
        folders: dict[str, Entry] = {}
        root = ""
        for folder in sorted(below, key=lambda path: -path.count("/") - (path != "")):
            made = _hash("tree", _packed(below[folder]), oid)
            above, _, name = folder.rpartition("/")
            if not folder:
                root = made
            elif name in below[above]:
                return None  # a file where a folder is
            else:
                below[above][name] = folders[folder] = Entry(FOLDER, made, 0)
        return Listing(oid, files, folders, ()) if root == oid else None

    def _tree(
        self,
        folder: str,
        changed: Mapping[tuple[str, ...], Entry],
        children: Mapping[str, list[tuple[str, Entry]]],
    ) -> str:
        entries = dict(children.get(folder, ()))
        below: dict[str, dict[tuple[str, ...], Entry]] = {}
        for (name, *rest), entry in changed.items():
            if rest:
                below.setdefault(name, {})[tuple(rest)] = entry
            else:
                entries[name] = entry
        for name, inner in below.items():
            path = f"{folder}/{name}" if folder else name
            entries[name] = Entry(FOLDER, self._tree(path, inner, children), 0)
        return _hash("tree", _packed(entries), self.oid)


class Trees:
    """Trees by repository and commit, the latest ones remembered."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], Listing] = OrderedDict()
        self._count = 0

    def at(self, client: Client, repository: str, commit: str) -> Listing:
        """Return the tree of a commit.  Raises `ForgeError` where it is larger than anyone would read."""
        key = (repository.lower(), commit)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        made = _Reading(client, repository).whole(commit)
        self.put(repository, commit, made)
        return made

    def known(self, repository: str, commit: str) -> Listing | None:
        """Return the tree of a commit if it is remembered."""
        with self._lock:
            return self._known.get((repository.lower(), commit))

    def put(self, repository: str, commit: str, made: Listing) -> None:
        """Remember the tree of a commit."""
        key = (repository.lower(), commit)
        with self._lock:
            if key not in self._known:
                self._known[key] = made
                self._count += len(made.files) + len(made.folders) + 1
            while self._count > self._kept and len(self._known) > 1:
                _, gone = self._known.popitem(last=False)
                self._count -= len(gone.files) + len(gone.folders) + 1


class _Reading:
    """One tree as it is read; the folders of one that is truncated are asked for one by one."""

    def __init__(self, client: Client, repository: str) -> None:
        self._client = client
        self._repository = repository
        self._asked = 0
        self._files: dict[str, Entry] = {}
        self._folders: dict[str, Entry] = {}
        self._unread: dict[str, Unread] = {}

    def whole(self, commit: str) -> Listing:
        oid = self._folder(commit, "", 0)
        return Listing(oid, self._files, self._folders, tuple(self._unread.values()))

    def _folder(self, oid: str, prefix: str, depth: int) -> str:
        said = self._ask(oid, recursive=True)
        found = said.get("sha")
        below: list[tuple[str, Entry]] = []
        if said.get("truncated") is True:
            # A part of what is below, and not said which: one level is told in full, and then the next.
            said = self._ask(oid, recursive=False)
            if said.get("truncated") is True or depth > _MAX_DEPTH:
                raise self._too_much()
            below = self._add(said["tree"], prefix)
        else:
            self._add(said["tree"], prefix)
        for path, entry in below:
            self._folder(entry.oid, f"{path}/", depth + 1)
        return found if isinstance(found, str) and is_commit(found) else oid

    def _ask(self, oid: str, *, recursive: bool) -> dict[str, Any]:
        self._asked += 1
        if self._asked > _MOST_ASKED:
            raise self._too_much()
        path = repository_path(self._repository, "git", "trees", oid)
        # Any value asks for all that is below, `0` and `false` too.
        said = (self._client.get(path, recursive=1) if recursive else self._client.get(path)).json()
        if not isinstance(said, dict) or not isinstance(said.get("tree"), list):
            raise ForgeError("GitHub's answer is no tree.")
        return said

    def _add(self, entries: list[Any], prefix: str) -> list[tuple[str, Entry]]:
        """Take entries in, and return the folders among them."""
        folders = []
        for one in entries:
            entry, name = _entry(one), one.get("path") if isinstance(one, dict) else None
            if entry is None or not isinstance(name, str):
                raise ForgeError("GitHub's answer is no tree.")
            path = prefix + name
            if not _is_path(path):
                self._unread[path] = Unread(
                    path=path,
                    reason=UnreadReason.UNREADABLE,
                    detail="a name that no file may have",
                    identity=known_by(entry.mode, entry.oid),
                )
            elif entry.mode == FOLDER:
                self._folders[path] = entry
                folders.append((path, entry))
            else:
                self._files[path] = entry
        if len(self._files) + len(self._folders) > _MOST_ENTRIES:
            raise self._too_much()
        return folders

    def _too_much(self) -> ForgeError:
        return ForgeError(
            "The repository holds more files than GitHub lists.", advice="Scan a checkout of it instead."
        )


def blob_id(data: bytes, alike: str) -> str:
    """Return git's id of a file's content, of the kind (SHA-1 or SHA-256) that `alike` is."""
    return _hash("blob", data, alike)


def _hash(kind: str, data: bytes, alike: str) -> str:
    made = hashlib.sha256() if len(alike) == 64 else hashlib.sha1(usedforsecurity=False)
    made.update(b"%s %d\0" % (kind.encode(), len(data)))
    made.update(data)
    return made.hexdigest()


def _packed(entries: Mapping[str, Entry]) -> bytes:
    """Return a tree as git stores it: folders sort as if their names ended in a slash."""
    rows: Iterable[tuple[bytes, bytes]] = (
        (
            name.encode("utf-8") + (b"/" if entry.mode == FOLDER else b""),
            b"%o %s\0%s" % (entry.mode, name.encode("utf-8"), bytes.fromhex(entry.oid)),
        )
        for name, entry in entries.items()
    )
    return b"".join(row for _, row in sorted(rows))


def _entry(one: object) -> Entry | None:
    if not isinstance(one, dict):
        return None
    mode, oid, size = one.get("mode"), one.get("sha"), one.get("size")
    if not isinstance(mode, str) or not isinstance(oid, str) or not is_commit(oid):
        return None
    try:
        return Entry(int(mode, 8), oid, size if isinstance(size, int) else 0)
    except ValueError:
        return None


def _is_path(path: str) -> bool:
    """Return whether a path is one that git makes and JSON can carry: a name that is no UTF-8 is replaced."""
    parts = path.split("/")
    return (
        "\N{REPLACEMENT CHARACTER}" not in path
        and "\0" not in path
        and not any(part in ("", ".", "..") or is_git_folder(part) for part in parts)
        and not any("\ud800" <= character <= "\udfff" for character in path)
    )
