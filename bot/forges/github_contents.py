"""Files of one commit on GitHub, as bytes that hash to what the tree says they are.

Many by one query where GraphQL is served, one by one by REST where it is not, or where what it says is
not the file: text that was cut at 512,000 bytes, that lost its byte order mark, that is no UTF-8.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice

from bot.errors import ForgeError, MissingError
from bot.forges.directory import HEAD, MAX_FILE, too_large
from bot.forges.github_client import Client, NoGraphQLError, QueryError, repository_path
from bot.forges.github_transport import RAW, AmbiguousError
from bot.forges.github_trees import LINK, SUBMODULE, Entry, Listing, Trees, blob_id
from bot.forges.links import follow, known_by, unread_link
from bot.model import Snapshot, Unread, UnreadReason
from bot.reference import is_commit

_BATCH = 80
"""Files of one query."""
_BATCH_BYTES = 3_000_000
_MOST_FAILED = 8
"""Queries that may fail before what is left is asked for by REST: enough to find one file among eighty."""
_CUT = 512_000
"""Bytes at which GraphQL cuts a file's text."""
_BINARY_HEAD = 8192
_MOST_AHEAD = 300
_MOST_AHEAD_BYTES = 6_000_000
"""Files and bytes that are read before anybody asked for them."""
_MOST_FILES = 5_000
_MOST_BYTES = 128 * 1024 * 1024
"""Files and bytes of one snapshot."""
_MOST_EXPECTED = 200
_KEPT = 24 * 1024 * 1024
"""Bytes of files that are remembered."""

Claims = Callable[[str, bytes], bool]


class Blobs:
    """Contents by repository and object id, the latest ones remembered; never on a disk."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._bytes = 0

    def get(self, repository: str, oid: str) -> bytes | None:
        """Return what is remembered.  Who may not read a repository learns nothing of it by an id."""
        key = (repository.lower(), oid)
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
            return found

    def put(self, repository: str, oid: str, data: bytes) -> None:
        key = (repository.lower(), oid)
        with self._lock:
            if key not in self._known:
                self._known[key] = data
                self._bytes += len(data) + 200
            while self._bytes > self._kept and len(self._known) > 1:
                _, gone = self._known.popitem(last=False)
                self._bytes -= len(gone) + 200


class Contents:
    """Reads repositories at commits."""

    def __init__(self, trees: Trees, blobs: Blobs, prefetch: Claims) -> None:
        """`prefetch` says by path alone what is going to be asked for; the first question brings it, too."""
        self._trees = trees
        self._blobs = blobs
        self._prefetch = prefetch
        self._lock = threading.Lock()
        self._expected: OrderedDict[tuple[str, str], tuple[str, tuple[str, ...]]] = OrderedDict()

    def expect(self, repository: str, commit: str, before: str, paths: Iterable[str]) -> None:
        """Remember that a commit differs from another one in some files alone, as somebody says."""
        with self._lock:
            self._expected[repository.lower(), commit] = (before, tuple(paths))
            if len(self._expected) > _MOST_EXPECTED:
                self._expected.popitem(last=False)

    def snapshot(self, client: Client, repository: str, commit: str, claims: Claims) -> Snapshot:
        """Return the files at `commit` that `claims` says yes to, first asked by path alone."""
        listing = self._at(client, repository, commit)
        unread = list(listing.unread)
        wanted = _wanted(listing, claims, unread)
        loaded = self._load(client, repository, listing, list(wanted.values()))
        files: dict[str, bytes] = {}
        for path, entry in wanted.items():
            data = loaded.get(entry.oid)
            if data is None:
                unread.append(_unread(path, entry, UnreadReason.UNREADABLE, "GitHub would not give it"))
            elif entry.mode == LINK:
                led = follow(path, listing.at, partial(self._link, client, repository, listing))
                unread += filter(None, (unread_link(path, led, claims),))
            elif b"\0" in data[:_BINARY_HEAD]:
                unread.append(
                    _unread(path, entry, UnreadReason.BINARY, "holds a NUL byte near its beginning")
                )
            elif claims(path, data[:HEAD]):
                files[path] = data
        return Snapshot(
            commit=commit, files=files, unread=tuple(sorted(unread, key=lambda one: (one.path, one.reason)))
        )

    def read(self, client: Client, repository: str, commit: str, paths: Iterable[str]) -> dict[str, bytes]:
        """Return those of `paths` that are regular files at `commit` and within the size limit."""
        listing = self._at(client, repository, commit)
        wanted = {
            path: entry
            for path in paths
            if (entry := listing.files.get(path)) is not None and entry.regular and entry.size <= MAX_FILE
        }
        loaded = self._load(client, repository, listing, list(wanted.values()))
        return {path: loaded[entry.oid] for path, entry in wanted.items() if entry.oid in loaded}

    def _link(self, client: Client, repository: str, listing: Listing, path: str, oid: str) -> bytes | None:
        """Return what is written in a link; as a rule it was read already."""
        entry = listing.files[path]
        return self._load(client, repository, listing, [entry]).get(oid) if entry.size <= MAX_FILE else None

    def _at(self, client: Client, repository: str, commit: str) -> Listing:
        """Return the tree of a commit: asked for, or that of another one with what is said to differ.

        The latter is believed only where git's own arithmetic says so, and brings the files along.
        """
        with self._lock:
            expected = self._expected.pop((repository.lower(), commit), None)
        if expected is not None and client.graphql_served and self._trees.known(repository, commit) is None:
            before, paths = expected
            made = self._altered(
                client, repository, commit, self._trees.at(client, repository, before), paths
            )
            if made is not None:
                self._trees.put(repository, commit, made)
                return made
        return self._trees.at(client, repository, commit)

    def _altered(
        self, client: Client, repository: str, commit: str, before: Listing, paths: Sequence[str]
    ) -> Listing | None:
        names = [f"p{number}" for number in range(len(paths))]
        whole = " isBinary isTruncated text"
        fields = " ".join(
            f"{name}: file(path: ${name}) {{ mode oid object {{ ... on Blob"
            f" {{ oid byteSize{whole if self._prefetch(path, b'') else ''} }} }} }}"
            for name, path in zip(names, paths, strict=True)
        )
        declared = "".join(f", ${name}: String!" for name in names)
        owner, _, name_ = repository.partition("/")
        text = (
            f"query($owner: String!, $name: String!, $commit: GitObjectID!{declared})"
            " { repository(owner: $owner, name: $name)"
            f" {{ object(oid: $commit) {{ ... on Commit {{ tree {{ oid }} {fields} }} }} }} }}"
        )
        variables = {"owner": owner, "name": name_, "commit": commit, **dict(zip(names, paths, strict=True))}
        try:
            place = client.query(text, variables, patient=False).get("repository")
        except (NoGraphQLError, QueryError, AmbiguousError):
            return None
        found = place.get("object") if isinstance(place, dict) else None
        tree = found.get("tree") if isinstance(found, dict) else None
        root = tree.get("oid") if isinstance(tree, dict) else None
        if not isinstance(found, dict) or not isinstance(root, str) or not is_commit(root):
            return None
        changes: dict[str, Entry | None] = {}
        for name, path in zip(names, paths, strict=True):
            said = found.get(name)
            entry = None
            if said is not None:
                entry = self._entry(repository, said)
                if entry is None:
                    return None
            changes[path] = entry
        return before.altered(changes, root)

    def _entry(self, repository: str, said: object) -> Entry | None:
        """Return an entry as a query tells of it, and remember its content; None where it is none."""
        mode, oid = (said.get("mode"), said.get("oid")) if isinstance(said, dict) else (None, None)
        if not isinstance(said, dict) or not isinstance(mode, int) or not isinstance(oid, str):
            return None
        if not is_commit(oid):
            return None
        blob = said.get("object")
        data = _content(blob, oid)
        if data is not None:
            self._blobs.put(repository, oid, data)
        size = blob.get("byteSize") if isinstance(blob, dict) else None
        return Entry(mode, oid, size if isinstance(size, int) else 0)

    def _load(
        self, client: Client, repository: str, listing: Listing, entries: Sequence[Entry]
    ) -> dict[str, bytes]:
        """Return contents by id; with the first question at a commit comes what is going to be asked for."""
        found: dict[str, bytes] = {}
        missing: dict[str, int] = {}
        for entry in (*entries, *(self._ahead(listing) if client.graphql_served else ())):
            data = self._blobs.get(repository, entry.oid)
            if data is not None:
                found[entry.oid] = data
            else:
                missing[entry.oid] = entry.size
        if not missing:
            return found
        for oid, data in _Fetch(client, repository).all(missing, {entry.oid for entry in entries}):
            found[oid] = data
            self._blobs.put(repository, oid, data)
        return found

    def _ahead(self, listing: Listing) -> Iterable[Entry]:
        if listing.read_ahead:
            return ()
        listing.read_ahead = True
        chosen = (
            entry
            for path, entry in listing.files.items()
            if ((entry.regular and entry.size < _CUT) or entry.mode == LINK) and self._prefetch(path, b"")
        )
        found, room = [], _MOST_AHEAD_BYTES
        for entry in islice(chosen, _MOST_AHEAD):
            room -= entry.size
            if room < 0:
                break
            found.append(entry)
        return found


def _wanted(listing: Listing, claims: Claims, unread: list[Unread]) -> dict[str, Entry]:
    """Return what is to be read, and note what is not."""
    wanted: dict[str, Entry] = {}
    room = _MOST_BYTES
    for path, entry in sorted(listing.files.items()):
        if entry.mode == SUBMODULE:
            unread.append(_unread(path, entry, UnreadReason.SUBMODULE, "another repository"))
        elif not claims(path, b""):
            continue
        elif entry.mode != LINK and not entry.regular:
            unread.append(_unread(path, entry, UnreadReason.UNREADABLE, "not a regular file"))
        elif entry.size > MAX_FILE:
            unread.append(_unread(path, entry, UnreadReason.TOO_LARGE, too_large(entry.size, MAX_FILE)))
        elif len(wanted) >= _MOST_FILES or entry.size > room:
            unread.append(_unread(path, entry, UnreadReason.TOO_LARGE, "more files than are read at once"))
        else:
            room -= entry.size
            wanted[path] = entry
    return wanted


class _Fetch:
    """Contents by id from one repository."""

    def __init__(self, client: Client, repository: str) -> None:
        self._client = client
        self._repository = repository
        self._failed = 0

    def all(self, wanted: Mapping[str, int], needed: set[str]) -> Iterable[tuple[str, bytes]]:
        """Yield ids and contents; what is not needed is left out where it does not come with the rest."""
        alone = [oid for oid, size in wanted.items() if size >= _CUT]
        for batch in _batches({oid: size for oid, size in wanted.items() if size < _CUT}):
            for oid, data in self._several(batch).items():
                if data is not None:
                    yield oid, data
                else:
                    alone.append(oid)
        for oid in alone:
            if oid in needed:
                data = self._one(oid)
                if data is not None:
                    yield oid, data

    def _several(self, oids: Sequence[str]) -> dict[str, bytes | None]:
        """Return contents by one query, by its halves where it is too much; None for what it cannot say."""
        if not self._client.graphql_served or self._failed >= _MOST_FAILED:
            return dict.fromkeys(oids)
        fields = " ".join(
            f'b{number}: object(oid: "{oid}") {{ ... on Blob {{ oid isBinary isTruncated text }} }}'
            for number, oid in enumerate(oids)
        )
        owner, _, name = self._repository.partition("/")
        text = f"query($owner: String!, $name: String!) {{ repository(owner: $owner, name: $name) {{ {fields} }} }}"
        try:
            data = self._client.query(text, {"owner": owner, "name": name}, patient=False)
        except NoGraphQLError:
            return dict.fromkeys(oids)
        except (AmbiguousError, QueryError) as error:
            self._failed += 1
            if len(oids) == 1 or not _too_much(error) or self._failed >= _MOST_FAILED:
                return dict.fromkeys(oids)
            middle = len(oids) // 2
            return {**self._several(oids[:middle]), **self._several(oids[middle:])}
        place = data.get("repository")
        if not isinstance(place, dict):
            raise MissingError("GitHub knows no such repository, or shows it to nobody like us.")
        return {oid: _content(place.get(f"b{number}"), oid) for number, oid in enumerate(oids)}

    def _one(self, oid: str) -> bytes | None:
        path = repository_path(self._repository, "git", "blobs", oid)
        try:
            data = self._client.get(path, accept=RAW).body
        except MissingError:
            return None
        if blob_id(data, oid) != oid:
            raise ForgeError(f"GitHub's answer is not the file {oid}: nothing is built on it.")
        return data


def _too_much(error: AmbiguousError | QueryError) -> bool:
    """Tell whether a query may have failed for its size."""
    if isinstance(error, AmbiguousError):
        return True
    return any("LIMIT" in kind for kind in error.kinds) or "complex" in error.message.lower()


def _batches(wanted: Mapping[str, int]) -> Iterable[list[str]]:
    batch: list[str] = []
    room = _BATCH_BYTES
    for oid, size in wanted.items():
        if batch and (len(batch) >= _BATCH or size > room):
            yield batch
            batch, room = [], _BATCH_BYTES
        batch.append(oid)
        room -= size
    if batch:
        yield batch


def _content(said: object, oid: str) -> bytes | None:
    """Return a file's content where GraphQL says it to the byte, else None."""
    if not isinstance(said, dict) or said.get("isTruncated") is not False or said.get("isBinary") is True:
        return None
    text = said.get("text")
    if not isinstance(text, str):
        return None
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        return None
    if blob_id(data, oid) == oid:
        return data
    # GitHub leaves a byte order mark out; nothing else that it changes can be guessed.
    marked = b"\xef\xbb\xbf" + data
    return marked if blob_id(marked, oid) == oid else None


def _unread(path: str, entry: Entry, reason: UnreadReason, detail: str) -> Unread:
    return Unread(path=path, reason=reason, detail=detail, identity=known_by(entry.mode, entry.oid))
