"""Trees of a git repository, read and rewritten in an object store.

Everything in a tree may have been made by hand: names are vetted, sizes are looked at before a
blob is read, and the number of entries is bounded, since a few kilobytes can name the same folder
a billion times.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from dulwich.objects import Blob, Commit, ObjectID, Tree

from bot.errors import ForgeError
from bot.forges.directory import HEAD, MAX_FILE, too_large
from bot.forges.gitobjects import LARGEST, Objects
from bot.forges.guard import is_git_folder
from bot.forges.links import follow, known_by, unread_link
from bot.model import Edit, Snapshot, Unread, UnreadReason
from bot.packs import OversizedError, tree_entries
from bot.source import splice

_BINARY_HEAD = 8192
_MAX_ENTRIES = 1_000_000
_MAX_REPEATED = 50_000
"""Entries of folders that were unfolded before: real repositories hold few, bombs little else."""
_MAX_SECONDS = 60.0
_MAX_KEPT = 200_000
"""Entries of trees that are kept unfolded."""
_MAX_DEPTH = 200
_MAX_CHANGED = 10_000
"""Files and folders by which a commit that could be ours differs from its parent."""
_MAX_LINK = 4096
_LINK, _SUBMODULE = 0o120000, 0o160000


_Child = tuple[bytes, int, ObjectID]
"""Name, mode and id of an entry of a tree."""


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    mode: int
    identity: ObjectID


class Trees:
    """The tree of one commit, or of a folder in it whose paths are then relative to that folder."""

    def __init__(
        self,
        objects: Objects,
        commit: Commit,
        prefix: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objects = objects
        self.commit = commit
        self._prefix = prefix
        self._clock = clock
        self._unfolded: dict[ObjectID, list[_Child]] = {}
        self._kept = 0

    # --- reading --------------------------------------------------------------------------

    def snapshot(self, claims: Callable[[str, bytes], bool], *, limit: int = MAX_FILE) -> Snapshot:
        """Return the files that `claims` says yes to, asked by path alone before a blob is read."""
        files: dict[str, bytes] = {}
        unread: list[Unread] = []
        for entry in self._entries(unread):
            if entry.mode == _SUBMODULE:
                unread.append(_unread(entry, UnreadReason.SUBMODULE, "another repository"))
            elif claims(entry.path, b""):
                loaded = self._load(entry, claims, limit)
                if isinstance(loaded, bytes):
                    files[entry.path] = loaded
                elif loaded is not None:
                    unread.append(loaded)
        return Snapshot(
            commit=self.commit.id.decode("ascii"),
            files=dict(sorted(files.items())),
            unread=tuple(sorted(unread, key=lambda one: (one.path, one.reason))),
        )

    def read(self, paths: Iterable[str], *, limit: int = MAX_FILE) -> dict[str, bytes]:
        """Return those of `paths` that are regular files within the size limit."""
        found: dict[str, bytes] = {}
        for path in paths:
            entry = self._at(path)
            if entry is not None and _is_regular(entry.mode):
                data = self._blob(entry.identity, limit)
                if isinstance(data, bytes):
                    found[path] = data
        return found

    def changes(self, parent: Trees) -> dict[str, tuple[bytes, bytes]] | None:
        """Return the bytes before and after of every file that differs from a parent's, by its full path.

        None where more differs than what is in files: a name, a mode, a link, what is too large to be
        read, or more than anyone would look through.
        """
        found: dict[str, tuple[bytes, bytes]] = {}
        stack = [("", ObjectID(parent.commit.tree), ObjectID(self.commit.tree))]
        left = _MAX_CHANGED
        while stack:
            prefix, before, after = stack.pop()
            was, now = parent._tree(before), self._tree(after)  # one of its own kind
            if [child[:2] for child in was] != [child[:2] for child in now]:
                return None
            for (name, mode, old), (_, _, new) in zip(was, now, strict=True):
                if old == new:
                    continue
                left -= 1
                path = prefix + name.decode("utf-8", "surrogateescape")
                if left < 0 or not _is_name(name):
                    return None
                if stat.S_ISDIR(mode):
                    stack.append((f"{path}/", old, new))
                    continue
                pair = parent._blob(old, MAX_FILE), self._blob(new, MAX_FILE)  # the same
                if not _is_regular(mode) or not isinstance(pair[0], bytes) or not isinstance(pair[1], bytes):
                    return None
                found[path] = pair[0], pair[1]
        return found

    def _load(self, entry: _Entry, claims: Callable[[str, bytes], bool], limit: int) -> bytes | Unread | None:
        if entry.mode == _LINK:
            return self._link(entry, claims)
        if not _is_regular(entry.mode):
            return _unread(entry, UnreadReason.UNREADABLE, "not a regular file")
        data = self._blob(entry.identity, limit)
        if data is None:
            if self._objects.partial:
                return _unread(entry, UnreadReason.TOO_LARGE, f"more than {limit:,} bytes")
            return _unread(entry, UnreadReason.UNREADABLE, "missing from the repository")
        if isinstance(data, int):
            return _unread(entry, UnreadReason.TOO_LARGE, too_large(data, limit))
        if b"\0" in data[:_BINARY_HEAD]:
            return _unread(entry, UnreadReason.BINARY, "holds a NUL byte near its beginning")
        return data if claims(entry.path, data[:HEAD]) else None

    def _link(self, entry: _Entry, claims: Callable[[str, bytes], bool]) -> Unread | None:
        def at(path: str) -> tuple[int, str] | None:
            found = self._at(path)
            return None if found is None else (found.mode, found.identity.decode("ascii"))

        def text(_path: str, oid: str) -> bytes | None:
            data = self._blob(ObjectID(oid.encode("ascii")), _MAX_LINK)
            return data if isinstance(data, bytes) else None

        return unread_link(entry.path, follow(entry.path, at, text), claims)

    def _entries(self, unread: list[Unread]) -> Iterator[_Entry]:
        left, repeated = _MAX_ENTRIES, _MAX_REPEATED
        end = self._clock() + _MAX_SECONDS
        seen: set[ObjectID] = set()
        root = self._root()
        stack = [("", root, 0)] if root is not None else []
        while stack:
            prefix, identity, depth = stack.pop()
            children = self._tree(identity)
            left -= len(children)
            if identity in seen:
                repeated -= len(children) + 1
            seen.add(identity)
            if left < 0 or repeated < 0:
                most = (
                    f"{_MAX_REPEATED:,} entries of equal folders"
                    if left >= 0
                    else f"{_MAX_ENTRIES:,} entries"
                )
                raise self._too_much(f"holds more than {most}")
            for name, mode, child in children:
                if self._clock() > end:
                    raise self._too_much(f"takes more than {_MAX_SECONDS:.0f} seconds to look through")
                path = prefix + name.decode("utf-8", "surrogateescape")
                if not _is_name(name):
                    entry = _Entry(path, mode, child)
                    unread.append(_unread(entry, UnreadReason.UNREADABLE, "a name that no file may have"))
                elif not stat.S_ISDIR(mode):
                    yield _Entry(path, mode, child)
                elif depth >= _MAX_DEPTH:
                    detail = f"more than {_MAX_DEPTH} folders deep"
                    unread.append(_unread(_Entry(path, mode, child), UnreadReason.UNREADABLE, detail))
                else:
                    stack.append((f"{path}/", child, depth + 1))

    def _root(self) -> ObjectID | None:
        if not self._prefix:
            return ObjectID(self.commit.tree)
        found = self._find(ObjectID(self.commit.tree), self._prefix)
        return found[1] if found is not None and stat.S_ISDIR(found[0]) else None

    def _at(self, path: str) -> _Entry | None:
        root = self._root()
        found = self._find(root, path) if root is not None else None
        return _Entry(path, *found) if found is not None else None

    def _find(self, tree: ObjectID, path: str) -> tuple[int, ObjectID] | None:
        mode, identity = stat.S_IFDIR, tree
        for part in path.encode("utf-8", "surrogateescape").split(b"/"):
            if not stat.S_ISDIR(mode) or not _is_name(part):
                return None
            try:
                mode, identity = next(child[1:] for child in self._tree(identity) if child[0] == part)
            except StopIteration:
                return None
        return mode, identity

    def _too_much(self, what: str) -> ForgeError:
        return ForgeError(
            f"The commit {self.commit.id.decode()} {what}.", advice="Scan a checkout of it instead."
        )

    def _tree(self, identity: ObjectID) -> list[_Child]:
        known = self._unfolded.get(identity)
        if known is not None:
            return known
        kind, content = self._objects.read(identity, LARGEST)
        if kind != b"tree":
            raise ForgeError(f"The repository is damaged: {identity.decode()} should be a tree.")
        children = [
            (name, int(mode, 8), ObjectID(child.hex().encode("ascii")))
            for mode, name, child in tree_entries(content, self._objects.id_size)
        ]
        if self._kept + len(children) <= _MAX_KEPT:
            self._kept += len(children) + 1
            self._unfolded[identity] = children
        return children

    def _blob(self, identity: ObjectID, limit: int) -> bytes | int | None:
        """Return a file's content; its size where that is over the limit; None where it is missing."""
        size = self._objects.size(identity)
        if size is None or size > limit:
            return size
        try:
            kind, content = self._objects.read(identity, limit)
        except OversizedError:
            return LARGEST  # what it is made from is
        if kind != b"blob":
            raise ForgeError(f"The repository is damaged: {identity.decode()} should be a file.")
        return content

    # --- rewriting ------------------------------------------------------------------------

    def edited(self, edits: Iterable[Edit]) -> tuple[ObjectID, list[Blob | Tree]]:
        """Return the tree with these edits made, and the objects it is new by.  Modes are kept.

        Raises `ForgeError` where an edit does not fit.
        """
        by_path: dict[str, list[Edit]] = {}
        for edit in edits:
            by_path.setdefault(edit.path, []).append(edit)
        old = self.read(by_path)
        changes: dict[tuple[bytes, ...], bytes] = {}
        for path, wanted in by_path.items():
            full = f"{self._prefix}/{path}" if self._prefix else path
            try:
                data = splice(old.get(path, b""), wanted)
            except ValueError as error:
                raise ForgeError(f"An edit does not fit {path[:200]!a}.") from error
            changes[tuple(full.encode("utf-8", "surrogateescape").split(b"/"))] = data
        made: list[Blob | Tree] = []
        return self._replaced(ObjectID(self.commit.tree), changes, made), made

    def _replaced(
        self, identity: ObjectID, changes: Mapping[tuple[bytes, ...], bytes], made: list[Blob | Tree]
    ) -> ObjectID:
        tree = Tree()
        for name, mode, child in self._tree(identity):
            tree[name] = (mode, child)
        below: dict[bytes, dict[tuple[bytes, ...], bytes]] = {}
        for (name, *rest), data in changes.items():
            below.setdefault(name, {})[tuple(rest)] = data
        for name, inner in below.items():
            mode, child = tree[name] if name in tree else (0, ObjectID(b""))
            if () in inner:
                if mode == 0:
                    mode = 0o100644
                elif not _is_regular(mode):
                    raise ForgeError(f"{name!r} is no regular file.", advice="Nothing was written.")
                blob = Blob.from_string(inner[()])
                made.append(blob)
                tree[name] = (mode, blob.id)
            elif mode == 0:
                raise ForgeError(f"There is no folder {name!r}.", advice="Nothing was written.")
            elif not stat.S_ISDIR(mode):
                raise ForgeError(f"{name!r} is no folder.", advice="Nothing was written.")
            else:
                tree[name] = (mode, self._replaced(child, inner, made))
        made.append(tree)
        return tree.id


def _is_name(name: bytes) -> bool:
    return (
        name not in (b"", b".", b"..")
        and b"/" not in name
        and b"\0" not in name
        and not is_git_folder(name.decode("utf-8", "surrogateescape"))
    )


def _is_regular(mode: int) -> bool:
    return stat.S_ISREG(mode)


def _unread(entry: _Entry, reason: UnreadReason, detail: str) -> Unread:
    identity = known_by(entry.mode, entry.identity.decode("ascii"))
    return Unread(path=entry.path, reason=reason, detail=detail, identity=identity)
