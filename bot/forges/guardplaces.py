"""Where on a line a reference can stand, for the publish guard.

No finder: it knows no format, only what stands before a value in all of them, and refuses the words of
commands.  A line that goes on behind a backslash, or a backtick on Windows, is read as one.
"""

from __future__ import annotations

import re

SEPARATOR = re.compile(rb"([\s\"'`,;]+)")
"""What parts tokens."""
SYNTAX = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:#|//)\s*syntax\s*=\s*", re.IGNORECASE)
"""The directive that names a Dockerfile's own frontend, which is no comment."""
REF = re.compile(rb"(?:.*[{\[])?re[fv]:", re.DOTALL)
USES = re.compile(rb"(?:.*[{\[])?(?:uses|component|step|[A-Za-z]*\\[A-Za-z0-9\\]*):", re.DOTALL)
"""Keys of actions and components; an escape may spell one."""

_PROPERTY = re.compile(rb"[&!]|[|>][-+0-9]*\Z")
_MOST_LINES = 30
_MOST_BYTES = 16_384
_CONTINUED = {
    False: re.compile(rb"(?<!\\)\\[ \t]*\r?\n?\Z"),
    True: re.compile(rb"(?<!`)`[ \t]*\r?\n?\Z"),
}
_ESCAPE = re.compile(rb"\s*#\s*escape\s*=\s*`", re.IGNORECASE)
_DIRECTIVES = 5
"""Lines at a file's beginning that may say which character continues a line."""
_IDLE = re.compile(rb"\s*(?:#.*)?", re.DOTALL)
_INSTRUCTION = re.compile(rb"[^\x21-\x7f]*(?:ONBUILD\s+)?([A-Za-z]+)(?=\s|\Z)", re.IGNORECASE)
_FROM = re.compile(rb"FROM\s+(?:--\S+\s+)*[\"']?\Z", re.IGNORECASE)
_FROM_QUOTED = re.compile(rb"(?:[\"']|_inline\s*:\s+)FROM\s+(?:--\S+\s+)*\Z", re.IGNORECASE)
_MOUNTED = re.compile(rb"(?:\s--from=|[\s\"',=](?:from=))[\"']?\Z", re.IGNORECASE)
_MOUNTED_ALONE = re.compile(rb"\s*(?:--from=|(?:--mount=\S*)?from=)[\"']?\Z", re.IGNORECASE)
_SILENT = frozenset(
    b"CMD ENTRYPOINT ENV LABEL EXPOSE USER WORKDIR VOLUME SHELL STOPSIGNAL HEALTHCHECK MAINTAINER".split()
)
_COMMAND_KEY = re.compile(
    rb"(?:\A|[\s{\[\"',])(?:run|script|before_script|after_script|command|entrypoint)[\"']?\s{0,9}:[\s\"']*\Z"
)
_GIVEN = re.compile(rb"[&!][^\s\[\]{}]{0,100}\Z")
_MOST_GIVEN = 3
"""Anchors and tags before a value."""
_TAIL = 256
"""Bytes before a value that are looked at for what leads to it."""
_LED_ON = re.compile(rb"(?:[:\[{(,=?]|(?:\A|\s)-|[|>][-+0-9]{0,3}|[&!][^\s]{0,100})\Z")
_LEAD = re.compile(rb"(?:\xef\xbb\xbf)?(?:\[(?![0-9A-Fa-f]*:)|[{(]|-{0,2}[A-Za-z_][\w.:-]*=)*")


class Place:
    """One line before its change, and what can stand where on it."""

    def __init__(self, tokens: list[bytes], lines: list[bytes], index: int) -> None:
        """`tokens` are the line's, with what separates them between; `index` is its place among `lines`."""
        self._tokens = tokens
        self._lines = lines
        self._index = index
        self._above: bytes | None = None

    def holds_image(self, number: int) -> bool:
        """Return whether an image can stand in the token at an even place."""
        before = self._before(number) + self._lead(number)
        if SYNTAX.fullmatch(before):
            return True
        whole = self._continued() + before
        found = _INSTRUCTION.match(whole)
        word = found.group(1).upper() if found else b""
        if found and word == b"FROM":
            return _FROM.fullmatch(whole, found.start(1)) is not None
        if word in (b"RUN", b"COPY", b"ADD"):
            found = _MOUNTED.search(whole[-_TAIL:])
            return found is not None and (b"--from=" in found.group() or b" --mount=" in whole)
        if word in _SILENT:
            return False
        if _FROM_QUOTED.search(before[-_TAIL:]) or _MOUNTED_ALONE.fullmatch(before[:_MOST_BYTES]):
            return True
        return self._is_led(before)

    def holds_value(self, number: int) -> bool:
        """Return whether a whole value can stand in the token, a URL for instance."""
        return self._is_led(self._before(number) + self._lead(number))

    def holds(self, number: int, key: re.Pattern[bytes]) -> bool:
        """Return whether the token is the value of a key that is matched, on its line or above."""
        before = _words(self._tokens[:number:2])
        index = self._index
        while (not before or before == [b":"]) and index > 0:
            index -= 1
            above = SEPARATOR.split(self._lines[index])
            before = _words(above[: comment_start(above) : 2]) + before
        if not before:
            return False
        if before[-1] == b":":
            return before[-2:-1] != [] and key.fullmatch(before[-2] + b":") is not None
        return key.fullmatch(before[-1]) is not None

    def _is_led(self, before: bytes) -> bool:
        if len(before) > _MOST_BYTES or _is_command(before):
            return False
        start = before.removeprefix(b"\xef\xbb\xbf").rstrip(b" \t\r\n\"'")
        for _ in range(_MOST_GIVEN):
            found = _GIVEN.search(start[-_TAIL:])
            start = start[: len(start) - len(found.group())].rstrip() if found else start
        if not start.strip(b"[{( \t"):
            return bool(start) or self._is_led_from_above()
        if start.endswith(b","):
            return any(one in start for one in (b"[", b"{", b"(", b"="))
        return start.endswith((b":", b"=", b"?", b"[", b"{", b"(", b" -", b"\t-")) or start == b"-"

    def _is_led_from_above(self) -> bool:
        for index in range(self._index - 1, max(-1, self._index - _MOST_LINES), -1):
            above = self._lines[index]
            if not _IDLE.fullmatch(above):
                plain = above.partition(b" #")[0].rstrip()
                return len(above) <= _MOST_BYTES and _LED_ON.search(plain[-_TAIL:]) is not None
        return False

    def _before(self, number: int) -> bytes:
        return b"".join(self._tokens[:number])

    def _lead(self, number: int) -> bytes:
        found = _LEAD.match(self._tokens[number])
        return found.group() if found else b""

    def _continued(self) -> bytes:
        """Return the lines that this one goes on from."""
        if self._above is None:
            continued = _CONTINUED[any(_ESCAPE.match(line) for line in self._lines[:_DIRECTIVES])]
            pieces: list[bytes] = []
            for index in range(self._index - 1, max(-1, self._index - _MOST_LINES), -1):
                above = self._lines[index]
                if _IDLE.fullmatch(above):
                    continue
                found = continued.search(above[-200:])
                if found is None or len(above) > _MOST_BYTES:
                    break
                pieces.append(above[: len(above) - len(found.group())] + b" ")
            self._above = b"".join(reversed(pieces))
        return self._above


def _is_command(before: bytes) -> bool:
    """Return whether what follows is what a key runs, or in a list of that."""
    opened = before.rfind(b"[")
    key = before[:opened] if opened > before.rfind(b"]") else before
    return any(_COMMAND_KEY.search(text[-_TAIL:]) is not None for text in (before, key))


def comment_start(tokens: list[bytes]) -> int | None:
    """Return the place of the token that begins a comment: `#` at the start or behind white space."""
    for place in range(0, len(tokens), 2):
        if tokens[place].startswith(b"#") and (place == 0 or tokens[place - 1][-1:].isspace()):
            return place
    return None


def _words(tokens: list[bytes]) -> list[bytes]:
    return [token for token in tokens if token and not _PROPERTY.match(token)]
