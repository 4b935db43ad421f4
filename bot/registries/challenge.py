"""`WWW-Authenticate` (RFC 9110, section 11.6.1) to challenges.  Pure; linear in the header's length."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_WORD}|[^\s",]+))')
_SCHEME = re.compile(rf"({_WORD})(?=[ \t,]|$)")
_BLANK = re.compile(r"[ \t,]+")
_ESCAPE = re.compile(r"\\(.)")
_LONGEST = 8192
_MOST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    scheme: str
    """Lower case: `bearer`, `basic`."""
    parameters: Mapping[str, str]
    """Names in lower case; the first wins where one is repeated."""


def parse_challenges(headers: Sequence[str]) -> tuple[Challenge, ...]:
    """Return the challenges in the values of `WWW-Authenticate`, in their order; junk is left out."""
    found: list[Challenge] = []
    for header in headers:
        found += _parse(header[:_LONGEST])
    return tuple(found[:_MOST])


def _parse(header: str) -> list[Challenge]:
    found: list[Challenge] = []
    parameters: dict[str, str] = {}
    position = 0
    while position < len(header):
        blank = _BLANK.match(header, position)
        if blank:
            position = blank.end()
            continue
        parameter = _PARAMETER.match(header, position)
        scheme = _SCHEME.match(header, position)
        if parameter and not (scheme and not _has_equals(header, scheme.end())):
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else _ESCAPE.sub(r"\1", quoted)
            parameters.setdefault(name.lower(), value)
            position = parameter.end()
        elif scheme:
            parameters = {}
            found.append(Challenge(scheme=scheme[1].lower(), parameters=parameters))
            position = scheme.end()
        else:
            position = _skip(header, position)
    return found


def _has_equals(header: str, position: int) -> bool:
    return header[position:].lstrip(" \t").startswith("=")


def _skip(header: str, position: int) -> int:
    comma = header.find(",", position)
    return len(header) if comma < 0 else comma + 1
