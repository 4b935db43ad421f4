"""The bytes of files, many at a time by GraphQL, one at a time by REST where that does not do.

Nothing is believed before its bytes hash to the id that the listing names: GraphQL gives text, which the
server may have converted, and gives none for what it takes for binary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.errors import ForgeError, MissingError
from bot.forges.directory import MAX_FILE
from bot.forges.gitlab_answers import Node, below, commit, nodes, size, text
from bot.forges.gitlab_api import Api, NoGraphQLError, QueryError
from bot.forges.gitlab_kept import Kept
from bot.forges.gitlab_listing import Entry
from bot.forges.gitlab_session import OversizedError

_KEPT = 32 * 1024 * 1024
_MOST_PATHS = 100
"""Paths of one query: GitLab's own limit."""
_MOST_BYTES = 128 * 1024 * 1024
"""Of all the files of one question."""
_MOST_AHEAD = 16 * 1024 * 1024
"""Bytes that are read before anybody asks for them."""
_MOST_ODD = 3
"""Refusals of another kind than a query's cost, after which GraphQL is not asked any more."""
_PLAIN = frozenset({"100644", "100755"})
_QUERY = """
query($project: ID!, $paths: [String!]!, $ref: String) {
  project(fullPath: $project) {
    repository { blobs(paths: $paths, ref: $ref) { nodes { path mode oid size rawTextBlob } } }
  }
}
"""


@dataclass(frozen=True, slots=True)
class TooLarge:
    size: int
    """Bytes, 0 where that was not told."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The server has no such file, or other bytes than its id says."""


Content = bytes | TooLarge | Lost


def _cost(content: Content) -> int:
    return 100 + (len(content) if isinstance(content, bytes) else 0)


class Blobs:
    """Files' bytes by project and id, up to `MAX_FILE` of each."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._kept: Kept[tuple[int, str], Content] = Kept(_KEPT, cost=_cost)
        self._batch = _MOST_PATHS
        self._odd = 0
        self.graphql = True
        """Whether GraphQL is asked; a server or proxy that refuses it is served by REST alone."""

    def get(
        self, project: int, name: str, at: str, entries: Iterable[Entry], ahead: Iterable[Entry] = ()
    ) -> dict[str, Content]:
        """Return the contents of entries at a commit, by path, each asked for once.

        `name` is the project's full path.  What is `ahead` is read for later in the same queries, where
        there are queries and it is not too much.  Raises `TransientError` where the server cannot answer
        now, `ForgeError` where the entries are more than memory should hold.
        """
        wanted = list(entries)
        got: dict[str, Content] = {}
        missing: dict[str, Entry] = {}  # by id: equal files are read once
        for entry in wanted:
            kept = self._kept.get((project, entry.oid))
            if kept is None:
                missing[entry.oid] = entry
            else:
                got[entry.oid] = kept
        later = {
            one.oid: one
            for one in ahead
            if one.oid not in missing and self._kept.get((project, one.oid)) is None
        }
        if missing or later:
            for oid, content in self._by_query(project, name, at, missing, later):
                got[oid] = content
                _require_modest(got)
        for oid in missing.keys() - got.keys():
            got[oid] = self._by_id(project, oid)
            self._kept.put((project, oid), got[oid])
            _require_modest(got)
        return {entry.path: got[entry.oid] for entry in wanted}

    def entries(self, project: int, name: str, at: str, paths: Sequence[str]) -> dict[str, Entry]:
        """Return plain files at a commit by path, as far as one query tells; their bytes come with it."""
        if not self.graphql or not 0 < len(paths) <= self._batch:
            return {}
        try:
            data = self._api.graph(_QUERY, {"project": name, "paths": list(paths), "ref": at})
        except (NoGraphQLError, QueryError):
            return {}
        found: dict[str, Entry] = {}
        for row in nodes(below(data, "project", "repository", "blobs", "nodes")):
            oid, path, mode = commit(row, "oid"), text(row, "path"), text(row, "mode")
            if oid is not None and path in paths and mode in _PLAIN:
                found[path] = Entry(path, int(mode, 8), oid)
                self._keep(project, oid, row)
        return found

    def _keep(self, project: int, oid: str, row: Node) -> Content | None:
        """Return what a query told of a file, kept for later; None where it is not just what its id says."""
        made: Content
        if size(row, "size") > MAX_FILE:
            made = TooLarge(size(row, "size"))
        else:
            data = _encoded(text(row, "rawTextBlob"))
            if data is None or blob_id(data, len(oid)) != oid:
                return None
            made = data
        self._kept.put((project, oid), made)
        return made

    def _by_query(
        self, project: int, name: str, at: str, wanted: Mapping[str, Entry], later: Mapping[str, Entry]
    ) -> Iterator[tuple[str, Content]]:
        """Yield what GraphQL gives and is just what it should be, of what is wanted, by id."""
        entries = [*wanted.values(), *(one for one in later.values() if one.oid not in wanted)]
        pending = [entries[start : start + self._batch] for start in range(0, len(entries), self._batch)]
        left = _MOST_AHEAD
        while pending and self.graphql:
            batch = pending.pop(0)
            if left < 0 and not any(entry.oid in wanted for entry in batch):
                continue
            try:
                told = self._queried(project, name, at, batch)
            except NoGraphQLError:
                self.graphql = False
            except QueryError as error:
                if not error.costly:
                    self._odd += 1
                    self.graphql = self._odd < _MOST_ODD
                elif len(batch) > 1:
                    half = (len(batch) + 1) // 2
                    self._batch = min(self._batch, half)
                    pending[:0] = [batch[:half], batch[half:]]
            else:
                for oid, content in told.items():
                    if oid in wanted:
                        yield oid, content
                    else:
                        left -= _cost(content)

    def _queried(self, project: int, name: str, at: str, batch: Sequence[Entry]) -> dict[str, Content]:
        paths = [entry.path for entry in batch]
        data = self._api.graph(_QUERY, {"project": name, "paths": paths, "ref": at})
        told = {
            text(row, "path"): row for row in nodes(below(data, "project", "repository", "blobs", "nodes"))
        }
        got: dict[str, Content] = {}
        for entry in batch:
            row = told.get(entry.path)
            if row is None or text(row, "oid") != entry.oid:
                continue
            told_of = self._keep(project, entry.oid, row)
            if told_of is not None:
                got[entry.oid] = told_of
        return got

    def _by_id(self, project: int, oid: str) -> Content:
        try:
            data = self._api.raw(f"/projects/{project}/repository/blobs/{oid}/raw", MAX_FILE)
        except OversizedError as error:
            return TooLarge(error.size)
        except MissingError:
            return Lost()
        return data if blob_id(data, len(oid)) == oid else Lost()


def _require_modest(got: Mapping[str, Content]) -> None:
    """Raise `ForgeError` where a question brings more than memory should hold."""
    if sum(len(one) for one in got.values() if isinstance(one, bytes)) > _MOST_BYTES:
        raise ForgeError(
            f"The files to be read have more than {_MOST_BYTES:,} bytes.",
            advice="Leave some of them out by configuration, or scan a checkout instead.",
        )


def _encoded(given: str) -> bytes | None:
    try:
        return given.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair: no bytes at all
        return None


def blob_id(data: bytes, digits: int) -> str:
    """Return the git id of a file's bytes, SHA-1 for 40 digits and SHA-256 for 64."""
    algorithm = "sha256" if digits == 64 else "sha1"
    made = hashlib.new(algorithm, b"blob %d\0" % len(data), usedforsecurity=False)
    made.update(data)
    return made.hexdigest()
