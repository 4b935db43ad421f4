"""How large an object of a local repository is, read from its header: a bomb is not unfolded to know."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dulwich.object_store import DiskObjectStore
from dulwich.objects import ObjectID

if TYPE_CHECKING:
    from dulwich.object_store import BaseObjectStore

_OFFSET_DELTA, _REFERENCE_DELTA = 6, 7
_HEAD = 256


def object_size(store: BaseObjectStore, identity: ObjectID) -> int | None:
    """Return the size in bytes of an object on disk, alternates included; None where it is not there.

    None too for a store in memory, which holds every object unfolded anyway.
    """
    for place in _stores(store):
        found = _in_packs(place, identity)
        if found is None:
            found = _loose(place, identity)
        if found is not None:
            return found
    return None


def _stores(store: BaseObjectStore) -> Iterator[DiskObjectStore]:
    if isinstance(store, DiskObjectStore):
        yield store
        yield from (one for one in store.alternates if isinstance(one, DiskObjectStore))


def _in_packs(store: DiskObjectStore, identity: ObjectID) -> int | None:
    """Read the header of a pack's entry (gitformat-pack)."""
    for pack in store.packs:
        try:
            offset = pack.index.object_offset(identity)
        except KeyError:
            continue
        with Path(pack.data.path).open("rb") as file:
            file.seek(offset)
            head = file.read(_HEAD)
        kind, size, position = _entry(head)
        if kind not in (_OFFSET_DELTA, _REFERENCE_DELTA):
            return size
        if kind == _REFERENCE_DELTA:
            position += store.object_format.oid_length
        else:
            while head[position] & 0x80:
                position += 1
            position += 1
        delta = zlib.decompressobj().decompress(head[position:], 40)
        _, position = _length(delta, 0)
        return _length(delta, position)[0]
    return None


def _entry(head: bytes) -> tuple[int, int, int]:
    kind, size, shift, position = (head[0] >> 4) & 7, head[0] & 15, 4, 0
    while head[position] & 0x80:
        position += 1
        size |= (head[position] & 0x7F) << shift
        shift += 7
    return kind, size, position + 1


def _length(delta: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = delta[position]
        value |= (byte & 0x7F) << shift
        shift += 7
        position += 1
        if not byte & 0x80:
            return value, position


def _loose(store: DiskObjectStore, identity: ObjectID) -> int | None:
    name = identity.decode("ascii")
    try:
        with (Path(store.path) / name[:2] / name[2:]).open("rb") as file:
            head = zlib.decompressobj().decompress(file.read(_HEAD), 64)
    except FileNotFoundError:
        return None
    _, _, size = head.partition(b"\0")[0].partition(b" ")
    return int(size)
