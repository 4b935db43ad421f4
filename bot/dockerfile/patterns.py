"""Shell patterns in `${V#pattern}` and its like, matched in linear time.

BuildKit knows `*`, `?` and a backslash before either, and no brackets.
"""

from __future__ import annotations

from collections.abc import Iterable

ANY = 256
"""The token of `?`."""


def tokens(pattern: bytes, *, reverse: bool) -> list[int | None]:
    """Return a shell pattern's bytes with `?` as `ANY` and `*` as None.

    Raises `ValueError` where a backslash stands before anything but `*`, `?`, `\\`, `}` and `/`.
    """
    made: list[int | None] = []
    at = 0
    while at < len(pattern):
        byte = pattern[at]
        at += 1
        if byte == ord("*"):
            made.append(None)
        elif byte == ord("?"):
            made.append(ANY)
        elif byte == ord("\\"):
            after = pattern[at : at + 1]
            if after not in (b"*", b"?", b"\\", b"}", b"/"):
                raise ValueError("the pattern holds an escape that has no meaning in it")
            made.append(after[0])
            at += 1
        else:
            made.append(byte)
    return made[::-1] if reverse else made


class Glob:
    """Tokens as `tokens` makes them, matched in one pass: bit i of a set says that i tokens are matched."""

    __slots__ = ("_any", "_by_byte", "_end", "_stars")

    def __init__(self, tokens: Iterable[int | None]) -> None:
        self._by_byte: dict[int, int] = {}
        self._any = self._stars = 0
        index, star = 0, False
        for token in tokens:
            bit = 1 << index
            if token is None:
                if star:
                    continue
                self._stars |= bit
            elif token == ANY:
                self._any |= bit
            else:
                self._by_byte[token] = self._by_byte.get(token, 0) | bit
            star = token is None
            index += 1
        self._end = 1 << index

    def prefix(self, text: bytes, *, longest: bool) -> int | None:
        """Return the length of the shortest or longest beginning of `text` that matches."""
        found = None
        states = 1
        for size in range(len(text) + 1):
            states |= (states & self._stars) << 1
            if states & self._end:
                found = size
                if not longest:
                    return found
            if size == len(text) or not states:
                break
            moved = (states & (self._any | self._by_byte.get(text[size], 0))) << 1
            states = moved | (states & self._stars)
        return found

    def matches(self, text: bytes) -> bool:
        """Return whether the whole of `text` matches."""
        return self.prefix(text, longest=True) == len(text)
