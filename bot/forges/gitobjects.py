"""Git objects by id, on disk or fetched, none of them unfolded further than was granted.

What a header says is looked at before content is, and content that says more than its header is
damage: a few hundred kilobytes of a repository unfold to as much as anyone likes.  Nothing but
regular files is opened.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from dulwich.object_store import DiskObjectStore
from dulwich.objects import Commit, ObjectID, ShaFile

from bot.errors import ForgeError
from bot.packs import Head, OversizedError, PackError, entry_at, inflate, patched, patched_size
from bot.reference import is_commit

LARGEST = 64 * 1024 * 1024
"""Bytes of a commit, a tree or what a delta builds on."""
_LONGEST_CHAIN = 10_000
_HEAD = 256
_WINDOW = 65536
_REGULAR = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Objects(Protocol):
    """Where objects are, by their ids in hex digits."""

    id_size: int
    partial: bool
    """Whether blobs may be missing because they are too large to have been fetched."""

    def size(self, identity: bytes) -> int | None:
        """Return the size in bytes that an object says it has; None where it is not there."""

    def read(self, identity: bytes, limit: int) -> tuple[bytes, bytes]:
        """Return kind and content of an object.

        Raises `KeyError` where it is not there, `OversizedError` where it is, or is made from, more
        than `limit` bytes, and `PackError` where it is damaged.
        """


class Fetched:
    """Objects held in memory."""

    partial = True

    def __init__(self, objects: Mapping[bytes, tuple[bytes, bytes]] | None = None) -> None:
        self.held: dict[bytes, tuple[bytes, bytes]] = dict(objects or {})
        """Kind and content by binary id."""
        self.id_size = 20

    def add(self, objects: Mapping[bytes, tuple[bytes, bytes]]) -> None:
        """Hold these objects too."""
        self.held.update(objects)

    def size(self, identity: bytes) -> int | None:
        found = self.held.get(_binary(identity))
        return len(found[1]) if found is not None else None

    def read(self, identity: bytes, limit: int) -> tuple[bytes, bytes]:
        kind, content = self.held[_binary(identity)]
        if len(content) > limit:
            raise OversizedError("an object is larger than was granted")
        return kind, content


class OnDisk:
    """The objects of a repository on disk, those of its alternates included."""

    partial = False

    def __init__(self, store: DiskObjectStore) -> None:
        others = (one for one in store.alternates if isinstance(one, DiskObjectStore))
        self._stores = (store, *others)
        self.id_size = store.object_format.oid_length

    def size(self, identity: bytes) -> int | None:
        packed = self._packed(identity)
        if packed is None:
            return self._loose_size(identity)
        path, offset = packed
        with _opened(path) as descriptor:
            head = memoryview(os.pread(descriptor, _HEAD, offset))
        entry = entry_at(head, 0, self.id_size)
        if entry.base is None:
            return entry.size
        # The two lengths at its beginning, and no more of the delta.
        return patched_size(_beginning(bytes(head[entry.begin :])))

    def read(self, identity: bytes, limit: int) -> tuple[bytes, bytes]:
        deltas: list[bytes] = []
        left = LARGEST
        place = self._packed(identity)
        while place is not None:
            head, content = _entry(place, self.id_size, LARGEST if deltas else limit, left)
            if head.kind is not None:
                return head.kind, _made(content, deltas, limit)
            left -= len(content)
            deltas.append(content)
            if len(deltas) > _LONGEST_CHAIN:
                raise PackError("a chain of deltas without end")
            if isinstance(head.base, int):
                place = place[0], place[1] + head.base  # which is how far before this entry
            else:
                identity = (head.base or b"").hex().encode("ascii")
                place = self._packed(identity)
        kind, content = self._loose(identity, LARGEST if deltas else limit)
        return kind, _made(content, deltas, limit)

    def _packed(self, identity: bytes) -> tuple[Path, int] | None:
        for store in self._stores:
            for pack in store.packs:
                try:
                    return Path(pack.data.path), pack.index.object_offset(ObjectID(identity))
                except KeyError:
                    continue
        return None

    def _loose_size(self, identity: bytes) -> int | None:
        try:
            with self._loose_file(identity) as descriptor:
                return _loose_head(_beginning(os.read(descriptor, _HEAD)))[1]
        except KeyError:
            return None

    def _loose(self, identity: bytes, limit: int) -> tuple[bytes, bytes]:
        stream = zlib.decompressobj()
        with self._loose_file(identity) as descriptor:
            window = os.read(descriptor, _WINDOW)
            begun = _unfolded(stream, window, _HEAD)
            kind, size, begin = _loose_head(begun)
            if size > limit:
                raise OversizedError("an object is larger than was granted")
            pieces = [begun[begin:]]
            left = size + 1 - len(pieces[0])
            while not stream.eof and left > 0:
                window = stream.unconsumed_tail or os.read(descriptor, _WINDOW)
                if not window:
                    break
                pieces.append(_unfolded(stream, window, left))
                left -= len(pieces[-1])
        if not stream.eof or left != 1:
            raise PackError("an object's size differs from what it says")
        return kind, b"".join(pieces)

    @contextmanager
    def _loose_file(self, identity: bytes) -> Iterator[int]:
        name = identity.decode("ascii")
        for store in self._stores:
            path = Path(store.path) / name[:2] / name[2:]
            if path.exists():
                with _opened(path) as descriptor:
                    yield descriptor
                return
        raise KeyError(identity)


def commit_in(objects: Objects, identity: str) -> Commit:
    """Return a commit by its full id, or the one that a tag's object leads to.  Raises `ForgeError`."""
    if not is_commit(identity):
        raise ForgeError("That is no full commit id.")
    name = identity.encode("ascii")
    kind, content = objects.read(name, LARGEST)
    for _ in range(_LONGEST_CHAIN):
        if kind != b"tag":
            break
        name = content.partition(b"\n")[0].removeprefix(b"object ")
        kind, content = objects.read(name, LARGEST)
    found = ShaFile.from_raw_string(1, content, ObjectID(name)) if kind == b"commit" else None
    if not isinstance(found, Commit):
        raise ForgeError(f"{identity} is no commit.")
    return found


def _entry(place: tuple[Path, int], id_size: int, whole: int, delta: int) -> tuple[Head, bytes]:
    """Return the entry of a pack at an offset: what it says of itself, and its content."""
    path, offset = place
    if offset < 0:
        raise PackError("an offset before the beginning")
    with _opened(path) as descriptor:
        head = entry_at(memoryview(os.pread(descriptor, _HEAD, offset)), 0, id_size)
        if head.size > (delta if head.kind is None else whole):
            raise OversizedError("an object is larger than was granted")
        # Deflate makes nothing longer than this of so many bytes.
        longest = head.size + head.size // 500 + 1024
        body = memoryview(os.pread(descriptor, longest, offset + head.begin))
    return head, inflate(body, 0, head.size)[0]


def _made(base: bytes, deltas: list[bytes], limit: int) -> bytes:
    """Return what deltas, the last one first, make of a base."""
    for number in range(len(deltas) - 1, -1, -1):
        base = patched(base, deltas[number], LARGEST if number else limit)
    return base


def _loose_head(begun: bytes) -> tuple[bytes, int, int]:
    """Return kind, size and where the content begins (gitformat-loose)."""
    head, end, _ = begun[:64].partition(b"\0")
    kind, _, digits = head.partition(b" ")
    if not end or kind not in (b"blob", b"tree", b"commit", b"tag") or not digits.isdigit():
        raise PackError("a loose object without a header")
    return kind, int(digits), len(head) + 1


def _beginning(compressed: bytes) -> bytes:
    return _unfolded(zlib.decompressobj(), compressed, 64)


def _unfolded(stream: zlib._Decompress, compressed: bytes, limit: int) -> bytes:
    try:
        return stream.decompress(compressed, limit)
    except zlib.error as error:
        raise PackError("damaged data") from error


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, _REGULAR)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PackError("an object that is no regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _binary(identity: bytes) -> bytes:
    try:
        return bytes.fromhex(identity.decode("ascii"))
    except ValueError:
        raise KeyError(identity) from None
