"""Git's pkt-lines, read from a stream that nobody vouches for (gitprotocol-common)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum

_LENGTH = re.compile(rb"[0-9a-fA-F]{4}")
_LONGEST = 65520


class Mark(Enum):
    """The lines without content."""

    FLUSH = b"0000"
    DELIMITER = b"0001"
    END = b"0002"


class PktError(Exception):
    """The stream is not made of pkt-lines, ends within one, or holds more than was granted."""


class OversizedError(PktError):
    """The stream holds more than was granted."""


def pkt(content: bytes) -> bytes:
    """Return one pkt-line."""
    return b"%04x" % (len(content) + 4) + content


class Reader:
    """Pkt-lines from `read`, which gives some bytes at each call and none at the end."""

    def __init__(self, read: Callable[[], bytes], *, limit: int) -> None:
        self._read = read
        self._left = limit
        self._buffer = bytearray()
        self._position = 0

    def lines(self) -> Iterator[bytes | Mark]:
        """Yield each line's content, line feed included, or the mark it is.  Raises `PktError`."""
        while True:
            head = self._take(4, optional=True)
            if not head:
                return
            if not _LENGTH.fullmatch(head):
                raise PktError("a length that is no number")
            length = int(head, 16)
            if length < 3:
                yield (Mark.FLUSH, Mark.DELIMITER, Mark.END)[length]
                continue
            if not 4 <= length <= _LONGEST:
                raise PktError("a length that no line has")
            yield self._take(length - 4)

    def _take(self, length: int, *, optional: bool = False) -> bytes:
        while len(self._buffer) - self._position < length:
            piece = self._read()
            if not piece:
                if optional and self._position == len(self._buffer):
                    return b""
                raise PktError("the end in the middle of a line")
            self._left -= len(piece)
            if self._left < 0:
                raise OversizedError("more than was granted")
            del self._buffer[: self._position]
            self._buffer += piece
            self._position = 0
        start = self._position
        self._position += length
        return bytes(self._buffer[start : self._position])
