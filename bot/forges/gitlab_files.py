"""Files at one commit, as the rest of Moorline wants them: what is claimed, and why something is not read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

from bot.errors import MissingError
from bot.forges.directory import HEAD, MAX_FILE, too_large
from bot.forges.gitlab_api import Api
from bot.forges.gitlab_blobs import Blobs, Content, Lost, TooLarge, blob_id
from bot.forges.gitlab_kept import Kept
from bot.forges.gitlab_listing import FOLDER, LINK, SUBMODULE, Entry, Listings
from bot.forges.links import follow, known_by, unread_link
from bot.model import Snapshot, Unread, UnreadReason

_BINARY_HEAD = 8192
_AHEAD = 300
"""Files that are read together with the first one that is asked for; where there are more, none is."""

Claims = Callable[[str, bytes], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """A commit as another one with some files changed."""

    since: str
    there: frozenset[str]
    """The paths of what was added or changed."""
    gone: frozenset[str]
    """The paths of what is not there any more."""


class Files:
    """Reads repositories by project id, full path and commit.

    `prefetch` tells by its path whether a file will be asked for: the first question at a commit brings
    them all in the same queries.
    """

    def __init__(self, api: Api, prefetch: Claims) -> None:
        self.listings = Listings(api)
        self.blobs = Blobs(api)
        self._prefetch = prefetch
        self._grown: Kept[tuple[int, str], Grown] = Kept(1_000)

    def grew(self, project: int, at: str, grown: Grown) -> None:
        """Remember what a commit is made of, for when somebody asks what it holds."""
        self._grown.put((project, at), grown)

    def holds(self, project: int, at: str, paths: Iterable[str]) -> bool:
        """Return whether all of these are plain files at a commit; False where that would have to be asked."""
        if not self.listings.known(project, at):
            return False
        entries = self.listings.at(project, at)
        return all((one := entries.get(path)) is not None and one.regular for path in paths)

    def _at(self, project: int, name: str, at: str) -> Mapping[str, Entry]:
        """Return everything at a commit by path: from what it differs by, where that is known."""
        grown = None if self.listings.known(project, at) else self._grown.pop((project, at))
        if grown is not None:
            found = self.blobs.entries(project, name, at, sorted(grown.there))
            if found.keys() == grown.there:
                changes: dict[str, Entry | None] = dict.fromkeys(grown.gone)
                self.listings.derive(project, grown.since, at, changes | found)
        return self.listings.at(project, at)

    def snapshot(self, project: int, name: str, at: str, claims: Claims) -> Snapshot:
        """Return the files at a commit that `claims` says yes to, first asked by path alone."""
        entries = self._at(project, name, at)
        wanted: list[Entry] = []
        unread: list[Unread] = []
        for entry in entries.values():
            if entry.mode == FOLDER:
                continue
            if not entry.nameable:
                unread.append(_unread(entry, UnreadReason.UNREADABLE, "a name that no file may have"))
            elif entry.mode == SUBMODULE:
                unread.append(_unread(entry, UnreadReason.SUBMODULE, "another repository"))
            elif claims(entry.path, b""):
                wanted.append(entry)
        contents = self.blobs.get(
            project, name, at, (one for one in wanted if one.regular or one.mode == LINK)
        )
        files: dict[str, bytes] = {}
        loaded: bytes | Unread | None
        for entry in wanted:
            if entry.mode == LINK:
                text = partial(self._link, project, name, at, entries)
                loaded = unread_link(
                    entry.path, follow(entry.path, partial(_entry_at, entries), text), claims
                )
            else:
                loaded = _loaded(entry, contents.get(entry.path, Lost()), claims)
            if isinstance(loaded, bytes):
                files[entry.path] = loaded
            elif loaded is not None:
                unread.append(loaded)
        return Snapshot(
            commit=at,
            files=dict(sorted(files.items())),
            unread=tuple(sorted(unread, key=lambda one: (one.path, one.reason))),
        )

    def _link(
        self, project: int, name: str, at: str, entries: Mapping[str, Entry], path: str, _oid: str
    ) -> bytes | None:
        """Return what is written in a link; as a rule it was read already."""
        found = self.blobs.get(project, name, at, [entries[path]])[path]
        return found if isinstance(found, bytes) else None

    def read(self, project: int, name: str, at: str, paths: Iterable[str]) -> dict[str, bytes]:
        """Return those of `paths` that are regular files at a commit and within the size limit."""
        first = not self.listings.known(project, at)
        entries = self._at(project, name, at)
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


def _entry_at(entries: Mapping[str, Entry], path: str) -> tuple[int, str] | None:
    found = entries.get(path)
    return None if found is None else (found.mode, found.oid)


def _loaded(entry: Entry, content: Content, claims: Claims) -> bytes | Unread | None:
    if not entry.regular:
        return _unread(entry, UnreadReason.UNREADABLE, "not a regular file")
    if isinstance(content, TooLarge):
        size = content.size
        detail = too_large(size, MAX_FILE) if size > MAX_FILE else f"more than {MAX_FILE:,} bytes"
        return _unread(entry, UnreadReason.TOO_LARGE, detail)
    if isinstance(content, Lost):
        return _unread(entry, UnreadReason.UNREADABLE, "GitLab does not give its bytes")
    if b"\0" in content[:_BINARY_HEAD]:
        return _unread(entry, UnreadReason.BINARY, "holds a NUL byte near its beginning")
    return content if claims(entry.path, content[:HEAD]) else None


def _unread(entry: Entry, reason: UnreadReason, detail: str) -> Unread:
    identity = known_by(entry.mode, entry.oid)
    return Unread(path=entry.path, reason=reason, detail=detail, identity=identity)
