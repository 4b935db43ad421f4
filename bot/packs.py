"""A git pack read in memory, every size bounded before it is spent (gitformat-pack)."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from mmap import mmap

_KINDS = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}
_OFFSET_DELTA, _REFERENCE_DELTA = 6, 7
_MAX_OBJECTS = 250_000
_HEADER = 12
_FARTHEST = 2**48
_WINDOW = 65536
_PIECE = 1024 * 1024


class PackError(Exception):
    """The bytes are no pack, or one that is damaged or needs objects that it does not hold."""


class OversizedError(PackError):
    """The pack unfolds to more than was granted."""


@dataclass(frozen=True, slots=True)
class Head:
    """What an entry of a pack says of itself."""

    kind: bytes | None
    """None for a delta."""
    size: int
    """Bytes of the content, or of the delta, unfolded."""
    base: int | bytes | None
    """Offset or id of what a delta builds on."""
    begin: int
    """Where its compressed bytes are."""


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: bytes | None
    data: bytes
    base: int | bytes | None


def read_pack(
    data: bytes | mmap,
    *,
    limit: int,
    algorithm: str = "sha1",
    most: int = _MAX_OBJECTS,
    largest: int | None = None,
) -> dict[bytes, tuple[bytes, bytes]]:
    """Return kind and content of objects by their binary ids, each id computed from the content.

    `limit` bounds the sum of all contents in bytes, `most` their number.  Blobs of more than `largest`
    bytes, and what builds on one, are left out and never held, at most four times `limit` of them.
    Raises `PackError`.
    """
    trailer = hashlib.new(algorithm, usedforsecurity=False).digest_size
    view = memoryview(data)
    if len(view) < _HEADER + trailer or bytes(view[:8]) not in (b"PACK\0\0\0\2", b"PACK\0\0\0\3"):
        raise PackError("no pack")
    body = view[:-trailer]
    if hashlib.new(algorithm, body, usedforsecurity=False).digest() != view[-trailer:]:
        raise PackError("its checksum differs")
    count = int.from_bytes(view[8:12], "big")
    if count > most:
        raise OversizedError(f"{count} objects")
    entries = _entries(body, count, trailer, limit, largest)
    return _resolved(entries, limit, algorithm, largest)


def _entries(
    body: memoryview, count: int, id_size: int, limit: int, largest: int | None
) -> dict[int, _Entry]:
    entries: dict[int, _Entry] = {}
    position, total, passed_over = _HEADER, 0, 0
    for _ in range(count):
        start = position
        head = entry_at(body, start, id_size)
        kind, size, position = head.kind, head.size, head.begin
        if largest is not None and kind == b"blob" and size > largest:
            passed_over += size
            if passed_over > 4 * limit:
                raise OversizedError("its objects are larger than was granted")
            position = _passed(body, position, size)
            continue
        total += size
        if total > limit:
            raise OversizedError("its objects are larger than was granted")
        content, position = inflate(body, position, size)
        entries[start] = _Entry(kind, content, head.base)
    return entries


def entry_at(body: memoryview, start: int, id_size: int) -> Head:
    """Return what the entry that begins at `start` says of itself.  Raises `PackError`.

    A base by offset is counted from where `body` begins, and is negative where it is before that.
    """
    kind, size, position = _head(body, start)
    if kind == _OFFSET_DELTA:
        back, position = _offset(body, position)
        return Head(None, size, start - back, position)
    if kind == _REFERENCE_DELTA:
        end = position + id_size
        return Head(None, size, bytes(body[position:end]), end)
    if kind not in _KINDS:
        raise PackError("an object of no known kind")
    return Head(_KINDS[kind], size, None, position)


def _head(body: memoryview, position: int) -> tuple[int, int, int]:
    byte = _byte(body, position)
    kind, size, shift = (byte >> 4) & 7, byte & 15, 4
    while byte & 0x80:
        position += 1
        byte = _byte(body, position)
        size |= (byte & 0x7F) << shift
        shift += 7
        if shift > 63:
            raise PackError("a size without end")
    return kind, size, position + 1


def _offset(body: memoryview, position: int) -> tuple[int, int]:
    byte = _byte(body, position)
    value = byte & 0x7F
    while byte & 0x80:
        position += 1
        byte = _byte(body, position)
        value = ((value + 1) << 7) | (byte & 0x7F)
        if value > _FARTHEST:
            raise PackError("an offset before the beginning")
    return value, position + 1


def _byte(body: bytes | memoryview, position: int) -> int:
    if position >= len(body):
        raise PackError("it ends too early")
    return body[position]


def inflate(body: memoryview, position: int, size: int) -> tuple[bytes, int]:
    """Return the content that begins at `position` and where it ends, unfolding no more than `size`."""
    pieces: list[bytes] = []
    end = _unfolded(body, position, size, pieces.append)
    return b"".join(pieces), end


def _passed(body: memoryview, position: int, size: int) -> int:
    """Return where the content that begins at `position` ends, holding no more than a window of it."""
    return _unfolded(body, position, size, len)


def _unfolded(body: memoryview, position: int, size: int, take: Callable[[bytes], object]) -> int:
    stream = zlib.decompressobj()
    left = size + 1
    step = min(size + 128, _WINDOW)
    try:
        while not stream.eof and left > 0:
            window: bytes | memoryview = stream.unconsumed_tail
            if not window:
                window = body[position : position + step]
                position += len(window)
                step = _WINDOW
                if not window:
                    break
            piece = stream.decompress(window, min(left, _PIECE))
            left -= len(piece)
            take(piece)
    except zlib.error as error:
        raise PackError("damaged data") from error
    if not stream.eof or left != 1:
        raise PackError("an object's size differs from what it says")
    return position - len(stream.unused_data)


def _resolved(
    entries: dict[int, _Entry], limit: int, algorithm: str, largest: int | None
) -> dict[bytes, tuple[bytes, bytes]]:
    objects: dict[bytes, tuple[bytes, bytes]] = {}
    waiting: dict[int | bytes, list[int]] = {}
    ready: list[tuple[int, bytes, bytes]] = []
    total = done = 0
    for offset, entry in entries.items():
        if entry.kind is not None:
            ready.append((offset, entry.kind, entry.data))
            total += len(entry.data)
        elif entry.base is not None:
            waiting.setdefault(entry.base, []).append(offset)
    while ready:
        offset, kind, content = ready.pop()
        done += 1
        header = b"%s %d\0" % (kind, len(content))
        identity = hashlib.new(algorithm, header + content, usedforsecurity=False).digest()
        objects[identity] = (kind, content)
        for child in (*waiting.pop(offset, ()), *waiting.pop(identity, ())):
            delta = entries[child].data
            if largest is not None and kind == b"blob" and patched_size(delta) > largest:
                continue
            made = patched(content, delta, limit - total)
            total += len(made)
            ready.append((child, kind, made))
    if done != len(entries) and largest is None:
        raise PackError("a delta builds on what is not there")
    return objects


def patched_size(delta: bytes) -> int:
    """Return the size in bytes of what a delta says it makes.  Raises `PackError`."""
    return _length(delta, _length(delta, 0)[1])[0]


def patched(base: bytes, delta: bytes, limit: int) -> bytes:
    """Return what a delta makes of its base (gitformat-pack, deltified representation).

    Raises `PackError`, `OversizedError` among it where that is more than `limit` bytes.
    """
    source, position = _length(delta, 0)
    target, position = _length(delta, position)
    if source != len(base):
        raise PackError("a delta for another base")
    if target > limit:
        raise OversizedError("its objects are larger than was granted")
    made = bytearray()
    while position < len(delta):
        code = delta[position]
        position += 1
        if code & 0x80:
            start, position = _scattered(delta, position, code, 4)
            size, position = _scattered(delta, position, code >> 4, 3)
            size = size or 0x10000
            if start + size > len(base):
                raise PackError("a delta copies what is not there")
            piece = base[start : start + size]
        elif code:
            piece = delta[position : position + code]
            position += code
        else:
            raise PackError("a delta with an unknown order")
        if len(made) + len(piece) > target:
            raise PackError("a delta makes more than it says")
        made += piece
    if len(made) != target:
        raise PackError("a delta makes less than it says")
    return bytes(made)


def _length(delta: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = _byte(delta, position)
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position
        if shift > 63:
            raise PackError("a size without end")


def _scattered(delta: bytes, position: int, code: int, count: int) -> tuple[int, int]:
    """Return the little-endian number of which `code` tells the bytes that are written."""
    value = 0
    for place in range(count):
        if code & (1 << place):
            value |= _byte(delta, position) << (8 * place)
            position += 1
    return value, position


def tree_entries(tree: bytes, id_size: int = 20) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield mode, name and binary id of each entry of a tree object.  Raises `PackError`."""
    position = 0
    while position < len(tree):
        space = tree.find(b" ", position, position + 8)
        end = tree.find(b"\0", space + 1)
        if space < 0 or end < 0 or end + 1 + id_size > len(tree):
            raise PackError("a damaged tree")
        yield tree[position:space], tree[space + 1 : end], tree[end + 1 : end + 1 + id_size]
        position = end + 1 + id_size
