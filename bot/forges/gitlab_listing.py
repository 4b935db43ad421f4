"""What stands at each path at one commit, as GitLab's tree API lists it: names, modes and ids, no sizes."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from bot.errors import ForgeError
from bot.forges.gitlab_answers import Node, commit, text
from bot.forges.gitlab_api import Api
from bot.forges.gitlab_kept import Kept
from bot.forges.gitlab_session import OversizedError
from bot.forges.guard import is_git_folder

LINK, SUBMODULE, FOLDER = 0o120000, 0o160000, 0o040000
_MOST_PAGES = 1_500
"""150,000 entries, folders included."""
_KEPT = 100_000
"""Entries of listings that are kept for the next question."""
_MAX_DEPTH = 200
_MAX_PATH = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    path: str
    mode: int
    oid: str
    """The id of its content, 40 or 64 hex digits."""

    @property
    def regular(self) -> bool:
        """Whether it is a plain or executable file."""
        return stat.S_ISREG(self.mode)

    @property
    def nameable(self) -> bool:
        """Whether each part of its path is a name that a file may have."""
        parts = self.path.split("/")
        return len(parts) <= _MAX_DEPTH and not any(
            part in ("", ".", "..") or "\0" in part or is_git_folder(part) for part in parts
        )


class Listings:
    """Listings by project and commit; a commit never changes, so that one is asked for once."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._kept: Kept[tuple[int, str], Mapping[str, Entry]] = Kept(_KEPT, cost=lambda held: len(held) + 1)
        self._derived: Kept[tuple[int, str], Mapping[str, Entry]] = Kept(
            _KEPT, cost=lambda held: len(held) + 1
        )

    def known(self, project: int, at: str) -> bool:
        """Return whether a listing is at hand."""
        return any(one.get((project, at)) is not None for one in (self._kept, self._derived))

    def derive(self, project: int, since: str, at: str, changes: Mapping[str, Entry | None]) -> None:
        """Keep what a commit holds: what another one does, but for changes, None for what is gone.

        Folders are there under no true id, so that nothing is told of what they hold.
        """
        held = {path: one for path, one in self.at(project, since).items() if one.mode != FOLDER}
        held |= {path: one for path, one in changes.items() if one is not None}
        files = {path: one for path, one in held.items() if changes.get(path, one) is not None}
        above = {path[:place] for path in files for place, char in enumerate(path) if char == "/"}
        folders = {path: Entry(path, FOLDER, "") for path in above}
        self._derived.put((project, at), {**folders, **files})

    def at(self, project: int, at: str) -> Mapping[str, Entry]:
        """Return everything at a commit, folders included, by path.

        Raises `MissingError` where there is no such commit, `ForgeError` where there is too much.
        """
        found = self._kept.get((project, at)) or self._derived.get((project, at))
        if found is None:
            found = self._asked(project, at, "", recursive=True)
            self._kept.put((project, at), found)
        return found

    def folder(self, project: int, at: str, path: str) -> Mapping[str, Entry]:
        """Return what is in one folder at a commit itself, by full path; the empty path is the root."""
        whole = self._kept.get((project, at))
        if whole is None:
            return self._asked(project, at, path, recursive=False)
        prefix = f"{path}/" if path else ""
        return {
            name: entry
            for name, entry in whole.items()
            if name.startswith(prefix) and "/" not in name[len(prefix) :]
        }

    def _asked(self, project: int, at: str, path: str, *, recursive: bool) -> Mapping[str, Entry]:
        query: dict[str, object] = {"ref": at, "pagination": "keyset", "per_page": 100}
        if recursive:
            query["recursive"] = "true"
        if path:
            query["path"] = path
        try:
            rows = self._api.pages(f"/projects/{project}/repository/tree", query, most=_MOST_PAGES)
            return {entry.path: entry for row in rows if (entry := _entry(row)) is not None}
        except OversizedError:
            raise ForgeError(
                f"The commit {at} holds more than {_MOST_PAGES * 100:,} files and folders.",
                advice="Scan a checkout of it instead.",
            ) from None


def _entry(row: Node) -> Entry | None:
    path, oid, mode = text(row, "path"), commit(row, "id"), text(row, "mode")
    if not path or len(path) > _MAX_PATH or oid is None:
        return None
    try:
        return Entry(path, int(mode[:7], 8), oid)
    except ValueError:
        return None


def part(name: str) -> str:
    """Return a name as one part of a URL's path."""
    return quote(name, safe="")
