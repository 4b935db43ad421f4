"""A git pack read in memory, every size bounded before it is spent (gitformat-pack)."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_KINDS = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}
_OFFSET_DELTA, _REFERENCE_DELTA = 6, 7
_MAX_OBJECTS = 250_000
_HEADER = 12
_WINDOW = 65536


class PackError(Exception):
    """The bytes are no pack, or one that is damaged or needs objects that it does not hold."""


class OversizedError(PackError):
    """The pack unfolds to more than was granted."""


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: int
    data: bytes
    base: int | bytes | None
    """Offset or id of what a delta builds on."""


def read_pack(data: bytes, *, limit: int, algorithm: str = "sha1") -> dict[bytes, tuple[bytes, bytes]]:
    """Return kind and content of every object by its binary id, each id computed from the content.

    `limit` bounds the sum of all contents in bytes.  Raises `PackError`.
    """
    trailer = hashlib.new(algorithm, usedforsecurity=False).digest_size
    if len(data) < _HEADER + trailer or data[:4] != b"PACK" or data[4:8] not in (b"\0\0\0\2", b"\0\0\0\3"):
        raise PackError("no pack")
    body = data[:-trailer]
    if hashlib.new(algorithm, body, usedforsecurity=False).digest() != data[-trailer:]:
        raise PackError("its checksum differs")
    count = int.from_bytes(data[8:12], "big")
    if count > _MAX_OBJECTS:
        raise OversizedError(f"{count} objects")
    entries = _entries(body, count, trailer, limit)
    return _resolved(entries, limit, algorithm)


def _entries(body: bytes, count: int, id_size: int, limit: int) -> dict[int, _Entry]:
    entries: dict[int, _Entry] = {}
    position, total = _HEADER, 0
    for _ in range(count):
        start = position
        kind, size, position = _head(body, position)
        base: int | bytes | None = None
        if kind == _OFFSET_DELTA:
            back, position = _offset(body, position)
            base = start - back
        elif kind == _REFERENCE_DELTA:
            base = body[position : position + id_size]
            position += id_size
        elif kind not in _KINDS:
            raise PackError("an object of no known kind")
        total += size
        if total > limit:
            raise OversizedError("its objects are larger than was granted")
        content, position = _inflate(body, position, size)
        entries[start] = _Entry(kind, content, base)
    return entries


def _head(body: bytes, position: int) -> tuple[int, int, int]:
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


def _offset(body: bytes, position: int) -> tuple[int, int]:
    byte = _byte(body, position)
    value = byte & 0x7F
    while byte & 0x80:
        position += 1
        byte = _byte(body, position)
        value = ((value + 1) << 7) | (byte & 0x7F)
        if value > len(body):
            raise PackError("an offset before the beginning")
    return value, position + 1


def _byte(body: bytes, position: int) -> int:
    if position >= len(body):
        raise PackError("it ends too early")
    return body[position]


def _inflate(body: bytes, position: int, size: int) -> tuple[bytes, int]:
    """Return the content that begins at `position` and where it ends, unfolding no more than `size`."""
    stream = zlib.decompressobj()
    pieces: list[bytes] = []
    left = size + 1
    step = min(size + 128, _WINDOW)
    try:
        while not stream.eof and left > 0:
            window = stream.unconsumed_tail or body[position : position + step]
            step = _WINDOW
            if not window:
                break
            if not stream.unconsumed_tail:
                position += len(window)
            piece = stream.decompress(window, left)
            left -= len(piece)
            pieces.append(piece)
    except zlib.error as error:
        raise PackError("damaged data") from error
    content = b"".join(pieces)
    if not stream.eof or len(content) != size:
        raise PackError("an object's size differs from what it says")
    return content, position - len(stream.unused_data)


def _resolved(entries: dict[int, _Entry], limit: int, algorithm: str) -> dict[bytes, tuple[bytes, bytes]]:
    objects: dict[bytes, tuple[bytes, bytes]] = {}
    waiting: dict[int | bytes, list[int]] = {}
    ready: list[tuple[int, bytes, bytes]] = []
    total = done = 0
    for offset, entry in entries.items():
        if entry.base is None:
            ready.append((offset, _KINDS[entry.kind], entry.data))
            total += len(entry.data)
        else:
            waiting.setdefault(entry.base, []).append(offset)
    while ready:
        offset, kind, content = ready.pop()
        done += 1
        header = b"%s %d\0" % (kind, len(content))
        identity = hashlib.new(algorithm, header + content, usedforsecurity=False).digest()
        objects[identity] = (kind, content)
        for child in (*waiting.pop(offset, ()), *waiting.pop(identity, ())):
            made = _patched(content, entries[child].data, limit - total)
            total += len(made)
            ready.append((child, kind, made))
    if done != len(entries):
        raise PackError("a delta builds on what is not there")
    return objects


def _patched(base: bytes, delta: bytes, limit: int) -> bytes:
    """Return what a delta makes of its base (gitformat-pack, deltified representation)."""
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
