"""JSON5 as people write it in configuration: comments, trailing commas, single quotes, bare keys.

Read loosely, since other programs are the judges of it (https://spec.json5.org): numbers become
None, and what cannot be read at all is None as a whole.  Takes linear time and never raises.
"""

from __future__ import annotations

import re
from typing import TypeAlias

Value: TypeAlias = "dict[str, Value] | list[Value] | str | bool | None"

MAX_TEXT = 256 * 1024
MAX_DEPTH = 100

_TOKEN = re.compile(
    r"(?P<blank>[\s\ufeff]++|//[^\n\r\u2028\u2029]*+|/\*(?s:.*?)\*/)"
    r"|(?P<mark>[{}\[\]:,])"
    r'|(?P<text>"(?:[^"\\\n\r]|\\(?s:.))*+"|'
    r"'(?:[^'\\\n\r]|\\(?s:.))*+')"
    r"|(?P<word>[^\s{}\[\]:,\"'/]++)"
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(\r\n|(?s:.)))")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_CONTINUED = frozenset({"\n", "\r", "\r\n", "\u2028", "\u2029"})
_WORDS: dict[str, bool | None] = {"true": True, "false": False}


class _UnreadableError(Exception):
    """It is no JSON5, or too much of it."""


def loads(text: str) -> Value:
    """Return the value of a document, the last one of equal keys; None where it cannot be read."""
    if len(text) > MAX_TEXT:
        return None
    try:
        tokens = _tokens(text)
        value, end = _value(tokens, 0, MAX_DEPTH)
    except (_UnreadableError, IndexError):
        return None
    return value if end == len(tokens) else None


def _tokens(text: str) -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _UnreadableError
        at = found.end()
        if found.lastgroup != "blank":
            made.append((str(found.lastgroup), found[0]))
    return made


def _value(tokens: list[tuple[str, str]], at: int, depth: int) -> tuple[Value, int]:
    """Return the value that begins at a token, and where the next one stands."""
    kind, text = tokens[at]
    if kind == "text":
        return _text(text), at + 1
    if kind == "word":
        return _WORDS.get(text), at + 1
    if not depth or text not in ("{", "["):
        raise _UnreadableError
    return _object(tokens, at + 1, depth - 1) if text == "{" else _array(tokens, at + 1, depth - 1)


def _object(tokens: list[tuple[str, str]], at: int, depth: int) -> tuple[Value, int]:
    made: dict[str, Value] = {}
    while tokens[at] != ("mark", "}"):
        kind, key = tokens[at]
        if kind == "mark" or tokens[at + 1] != ("mark", ":"):
            raise _UnreadableError
        name = _text(key) if kind == "text" else key
        made[name], at = _value(tokens, at + 2, depth)
        at = _next(tokens, at, "}")
    return made, at + 1


def _array(tokens: list[tuple[str, str]], at: int, depth: int) -> tuple[Value, int]:
    made: list[Value] = []
    while tokens[at] != ("mark", "]"):
        value, at = _value(tokens, at, depth)
        made.append(value)
        at = _next(tokens, at, "]")
    return made, at + 1


def _next(tokens: list[tuple[str, str]], at: int, end: str) -> int:
    """Return where the next item or the end stands: behind a comma, if there is one."""
    if tokens[at] == ("mark", ","):
        return at + 1
    if tokens[at] != ("mark", end):
        raise _UnreadableError
    return at


def _text(quoted: str) -> str:
    return _ESCAPE.sub(_unescaped, quoted[1:-1])


def _unescaped(found: re.Match[str]) -> str:
    code, byte, plain = found.groups()
    if code or byte:
        return chr(int(code or byte, 16))
    return "" if plain in _CONTINUED else _ESCAPED.get(plain, plain)
