"""Files at one commit, as the rest of Moorline wants them: what is claimed, and why something is not read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

from bot.errors import MissingError
from bot.forges.directory import HEAD, MAX_FILE, too_large
from bot.forges.gitlab_api import Api
from bot.forges.gitlab_blobs import Blobs, Content, Lost, TooLarge, blob_id
from bot.forges.gitlab_listing import FOLDER, LINK, SUBMODULE, Entry, Listings
from bot.model import Snapshot, Unread, UnreadReason

_BINARY_HEAD = 8192
_AHEAD = 300
"""Files that are read together with the first one that is asked for; where there are more, none is."""
_MAX_LINK = 4096

Claims = Callable[[str, bytes], bool]


class Files:
    """Reads repositories by project id, full path and commit.

    `prefetch` tells by its path whether a file will be asked for: the first question at a commit brings
    them all in the same queries.
    """

    def __init__(self, api: Api, prefetch: Claims) -> None:
        self.listings = Listings(api)
        self.blobs = Blobs(api)
        self._prefetch = prefetch

    def snapshot(self, project: int, name: str, at: str, claims: Claims) -> Snapshot:
        """Return the files at a commit that `claims` says yes to, first asked by path alone."""
        entries = self.listings.at(project, at)
        wanted: list[Entry] = []
        unread: list[Unread] = []
        for entry in entries.values():
            if entry.mode == FOLDER:
                continue
            if not entry.nameable:
                unread.append(_unread(entry.path, UnreadReason.UNREADABLE, "a name that no file may have"))
            elif entry.mode == SUBMODULE:
                unread.append(_unread(entry.path, UnreadReason.SUBMODULE, "another repository"))
            elif claims(entry.path, b""):
                wanted.append(entry)
        contents = self.blobs.get(
            project, name, at, (one for one in wanted if one.regular or one.mode == LINK)
        )
        files: dict[str, bytes] = {}
        for entry in wanted:
            loaded = _loaded(entry, contents.get(entry.path, Lost()), entries, claims)
            if isinstance(loaded, bytes):
                files[entry.path] = loaded
            elif loaded is not None:
                unread.append(loaded)
        return Snapshot(
            commit=at,
            files=dict(sorted(files.items())),
            unread=tuple(sorted(unread, key=lambda one: (one.path, one.reason))),
        )

    def read(self, project: int, name: str, at: str, paths: Iterable[str]) -> dict[str, bytes]:
        """Return those of `paths` that are regular files at a commit and within the size limit."""
        first = not self.listings.known(project, at)
        entries = self.listings.at(project, at)
        asked = {
            path: entry
            for path in paths
            if (entry := entries.get(path)) is not None and entry.regular and entry.nameable
        }
        ahead: list[Entry] = []
        if first:
            ahead = [
                entry
                for entry in entries.values()
                if (entry.regular or entry.mode == LINK)
                and entry.nameable
                and self._prefetch(entry.path, b"")
            ]
        contents = self.blobs.get(project, name, at, asked.values(), ahead if len(ahead) <= _AHEAD else ())
        return {path: data for path in asked if isinstance(data := contents[path], bytes)}

    def differs_by(self, project: int, parent: str, at: str, new: Mapping[str, bytes]) -> bool:
        """Return whether a commit's tree is its parent's with just these files' bytes, modes kept.

        Folders that are no file's are known as equal by their ids, so that only those on the way are asked for.
        """
        folders = {""} | {
            str(above) for path in new for above in PurePosixPath(path).parents if str(above) != "."
        }
        made: set[str] = set()
        for folder in folders:
            was = self._folder(project, parent, folder)
            now = self._folder(project, at, folder)
            if was.keys() - now.keys() or now.keys() - was.keys() - new.keys() - folders:
                return False
            for path, entry in now.items():
                before = was.get(path)
                if path in new:
                    made.add(path)
                    mode = before.mode if before is not None else 0o100644
                    equal = (entry.mode, entry.oid) == (mode, blob_id(new[path], len(entry.oid)))
                elif path in folders:
                    equal = entry.mode == FOLDER
                else:
                    equal = entry == before
                if not equal:
                    return False
        return made == new.keys()

    def _folder(self, project: int, at: str, path: str) -> Mapping[str, Entry]:
        try:
            return self.listings.folder(project, at, path)
        except MissingError:  # GitLab's word for a folder that is not there
            if not path:
                raise
            return {}


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _loaded(
    entry: Entry, content: Content, entries: Mapping[str, Entry], claims: Claims
) -> bytes | Unread | None:
    path = entry.path
    if entry.mode == LINK:
        return _linked(path, content, entries, claims)
    if not entry.regular:
        return _unread(path, UnreadReason.UNREADABLE, "not a regular file")
    if isinstance(content, TooLarge):
        size = content.size
        detail = too_large(size, MAX_FILE) if size > MAX_FILE else f"more than {MAX_FILE:,} bytes"
        return _unread(path, UnreadReason.TOO_LARGE, detail)
    if isinstance(content, Lost):
        return _unread(path, UnreadReason.UNREADABLE, "GitLab does not give its bytes")
    if b"\0" in content[:_BINARY_HEAD]:
        return _unread(path, UnreadReason.BINARY, "holds a NUL byte near its beginning")
    return content if claims(path, content[:HEAD]) else None


def _linked(path: str, content: Content, entries: Mapping[str, Entry], claims: Claims) -> Unread | None:
    """Return why a symbolic link is not read, None where what it leads to is found where it really is."""
    given = content if isinstance(content, bytes) and len(content) <= _MAX_LINK else b"/"
    target = _target(_parent(path), given.decode("utf-8", "surrogateescape"))
    if target is None:
        return _unread(path, UnreadReason.SYMLINK, "leads out of the tree")
    led = entries.get(target)
    if led is None or not led.regular:
        return _unread(path, UnreadReason.SYMLINK, "leads to no regular file")
    if claims(target, b""):
        return None
    return _unread(path, UnreadReason.SYMLINK, "leads to a file that has another kind of name")


def _target(folder: str, link: str) -> str | None:
    """Return where a link in a folder leads, None where that is out of the tree."""
    if link.startswith("/"):
        return None
    parts = folder.split("/") if folder else []
    for part in link.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _unread(path: str, reason: UnreadReason, detail: str) -> Unread:
    return Unread(path=path, reason=reason, detail=detail)
