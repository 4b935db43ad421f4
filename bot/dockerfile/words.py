"""Words of a Dockerfile: text that remembers where in the file it stands, and `${}` expansion.

The expansion is that of BuildKit's shell lexer (Dockerfile reference, "Environment replacement"):
quotes, escapes, `$V`, `${V}` and the operators `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/` `//`.
Every byte of a result still knows its place, so that a value can be edited where its literal stands.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bot.dockerfile.patterns import Glob, tokens
from bot.model import Span

COMPUTED = -1
"""Origin of text that stands nowhere in the file as it is."""
UNKNOWN = -2
"""Origin of a run that stands for text of which the file does not tell anything."""

MAX_LENGTH = 4096
"""Bytes that an expanded value may have; no reference is near as long."""
MAX_RUNS = 256
MAX_NAMES = 64
MAX_DEPTH = 32
"""Substitutions within substitutions; people write two."""

_TOO_MANY = "It is built from too many variables."

_SPECIAL = b"@*#?-$!0"
_NAME = re.compile(rb"[0-9]+|[A-Za-z_\x80-\xff][0-9A-Za-z_\x80-\xff]*")
_ACTIVE = re.compile(rb"[$'\"\\`]")
_PLAIN = re.compile(rb"[^$'\"\\`}/]+")
_PLAIN_QUOTED = re.compile(rb"[^$\"\\`]+")


class Run(NamedTuple):
    """Consecutive bytes, and the offset in the file at which the first of them stands."""

    text: bytes
    origin: int


class Traced:
    """Text and where in the file each run of it stands."""

    __slots__ = ("_starts", "runs", "text")

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs = tuple(runs)
        if len(self.runs) != 1 or not self.runs[0].text:
            self.runs = _merged(self.runs)
        self.text = self.runs[0].text if len(self.runs) == 1 else b"".join([run.text for run in self.runs])
        self._starts: list[int] | None = None

    def cut(self, start: int, end: int) -> Traced:
        """Return the text from `start` to `end`, each byte with its place."""
        if len(self.runs) == 1:
            if start == 0 and end >= len(self.text):
                return self
            return Traced((_part(self.runs[0], start, end),))
        if self._starts is None:
            self._starts, total = [], 0
            for run in self.runs:
                self._starts.append(total)
                total += len(run.text)
        found = []
        for index in range(max(bisect_right(self._starts, start) - 1, 0), len(self.runs)):
            base = self._starts[index]
            if base >= end:
                break
            run = self.runs[index]
            found.append(_part(run, max(start - base, 0), min(end - base, len(run.text))))
        return Traced(found)

    @property
    def known(self) -> bool:
        """Whether the file tells the whole text."""
        return not any(run.origin == UNKNOWN for run in self.runs)

    @property
    def place(self) -> Span | None:
        """The one span of the file that holds exactly this text, or None where there is none."""
        if len(self.runs) != 1 or self.runs[0].origin < 0:
            return None
        run = self.runs[0]
        return Span(run.origin, run.origin + len(run.text))


def _part(run: Run, start: int, end: int) -> Run:
    return Run(run.text[start:end], run.origin + start if run.origin >= 0 else run.origin)


def _merged(runs: Iterable[Run]) -> tuple[Run, ...]:
    merged: list[tuple[list[bytes], int, int]] = []
    for run in runs:
        if not run.text and run.origin != UNKNOWN:
            continue
        after = run.origin + len(run.text) if run.origin >= 0 else run.origin
        if merged and run.origin != UNKNOWN and merged[-1][2] == run.origin:
            texts, origin, _ = merged[-1]
            texts.append(run.text)
            merged[-1] = (texts, origin, after)
        else:
            merged.append(([run.text], run.origin, after))
    return tuple(Run(b"".join(texts), origin) for texts, origin, _ in merged)


EMPTY = Traced(())
NOT_TOLD = Traced((Run(b"", UNKNOWN),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What is known of a word once it is expanded."""

    text: Traced
    pure: bool = True
    """The text is one literal as it stands, reached through nothing but whole substitutions."""
    names: frozenset[str] = frozenset()
    """The variables that were asked on the way."""
    holders: frozenset[int] = frozenset()
    """The declarations, by number, whose defaults were asked on the way."""
    literal: bool = True
    """Some of the word stands outside of every substitution."""
    problem: str = ""
    """Why the word cannot be expanded, in one sentence."""


class Budget:
    """Work that expanding all words of one file may take; beyond it values count as unknown."""

    __slots__ = ("_left", "exceeded")

    def __init__(self, steps: int = 1_000_000) -> None:
        self._left = steps
        self.exceeded = False
        """Something was not followed to its end, so that nobody can say what all feeds what."""

    def spend(self, steps: int) -> bool:
        """Return whether there is work left for `steps` more."""
        self._left -= steps
        self.exceeded = self.exceeded or self._left < 0
        return self._left >= 0


class _BadWordError(Exception):
    pass


@dataclass(slots=True)
class _Part:
    runs: list[Run] = field(default_factory=list)
    size: int = 0
    literal: bool = False
    substitutions: int = 0
    pure: bool = True

    def add(self, runs: Iterable[Run]) -> None:
        for run in runs:
            self.runs.append(run)
            self.size += len(run.text)
        if self.substitutions and (self.size > MAX_LENGTH or len(self.runs) > MAX_RUNS):
            raise _BadWordError("Its variables make it too long.")

    def substitute(self, text: Traced, *, pure: bool) -> None:
        self.substitutions += 1
        self.pure = self.pure and pure
        self.add(text.runs)

    @property
    def whole(self) -> bool:
        if not self.substitutions:
            return True
        return self.pure and self.substitutions == 1 and not self.literal


def expand(word: Traced, values: Mapping[str, Value], *, escape: int, budget: Budget) -> Value:
    """Return what `word` becomes; a variable that is missing in `values` is one that is not set."""
    if not _ACTIVE.search(word.text):
        return Value(text=word)
    reader = _Reader(word, values, escape, budget)
    try:
        part = reader.sequence(None, raw=False, depth=0)
    except _BadWordError as bad:
        return Value(
            text=NOT_TOLD,
            pure=False,
            names=frozenset(reader.names) if len(reader.names) <= MAX_NAMES else frozenset(),
            holders=frozenset(reader.holders) if len(reader.names) <= MAX_NAMES else frozenset(),
            problem=str(bad),
        )
    return Value(
        text=Traced(part.runs),
        pure=part.whole,
        names=frozenset(reader.names),
        holders=frozenset(reader.holders),
        literal=part.literal,
    )


class _Reader:
    """One pass over one word."""

    def __init__(self, word: Traced, values: Mapping[str, Value], escape: int, budget: Budget) -> None:
        self.word = word
        self.text = word.text
        self.values = values
        self.escape = escape
        self.budget = budget
        self.at = 0
        self.names: set[str] = set()
        self.holders: set[int] = set()

    def sequence(self, stop: int | None, *, raw: bool, depth: int) -> _Part:
        """Read up to the byte `stop`, or to the end where there is none."""
        part = _Part()
        text = self.text
        while self.at < len(text):
            byte = text[self.at]
            if byte == stop:
                self.at += 1
                return part
            if byte == ord("$"):
                self._dollar(part, depth)
            elif byte == ord("'"):
                end = text.find(b"'", self.at + 1)
                if end < 0:
                    raise _BadWordError("A single quote is never closed.")
                self._literal(part, self.at + 1, end)
                self.at = end + 1
            elif byte == ord('"'):
                self._double(part, depth)
            elif byte == self.escape:
                start = self.at if raw else self.at + 1
                self.at += 2
                self._literal(part, start, min(self.at, len(text)))
            else:
                plain = _PLAIN.match(text, self.at)
                end = plain.end() if plain else self.at + 1
                self._literal(part, self.at, end)
                self.at = end
        if stop is not None:
            raise _BadWordError(f"A `{chr(stop)}` is missing.")
        return part

    def _literal(self, part: _Part, start: int, end: int) -> None:
        part.literal = part.literal or end > start
        part.add(self.word.cut(start, end).runs)

    def _double(self, part: _Part, depth: int) -> None:
        text = self.text
        self.at += 1
        while self.at < len(text):
            byte = text[self.at]
            if byte == ord('"'):
                self.at += 1
                return
            if byte == ord("$"):
                self._dollar(part, depth)
            elif byte == self.escape and text[self.at + 1 : self.at + 2] in (b'"', b"$", bytes((byte,))):
                self._literal(part, self.at + 1, self.at + 2)
                self.at += 2
            else:
                plain = _PLAIN_QUOTED.match(text, self.at)
                end = plain.end() if plain else self.at + 1
                self._literal(part, self.at, end)
                self.at = end
        raise _BadWordError("A double quote is never closed.")

    def _name(self) -> str:
        found = _NAME.match(self.text, self.at)
        if found:
            self.at = found.end()
            return found.group().decode("utf-8", "replace")
        special = self.text[self.at : self.at + 1]
        if special and special in _SPECIAL:
            self.at += 1
            return special.decode("ascii")
        return ""

    def _dollar(self, part: _Part, depth: int) -> None:
        start = self.at
        self.at += 1
        if self.text[self.at : self.at + 1] == b"{":
            self.at += 1
            self._braces(part, depth + 1)
            return
        name = self._name()
        if name:
            self._value(part, name)
        else:
            self._literal(part, start, start + 1)

    def _ask(self, name: str) -> Value | None:
        self.names.add(name)
        value = self.values.get(name)
        if value is not None:
            self.names |= value.names
            self.holders |= value.holders
            if not self.budget.spend(len(value.text.runs) + len(value.names)):
                raise _BadWordError(_TOO_MANY)
        if len(self.names) > MAX_NAMES:
            self.budget.exceeded = True
            raise _BadWordError(_TOO_MANY)
        return value

    def _value(self, part: _Part, name: str) -> None:
        value = self._ask(name)
        if value is None:
            part.substitute(NOT_TOLD, pure=False)
        else:
            part.substitute(value.text, pure=value.pure)

    def _braces(self, part: _Part, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _BadWordError("Its substitutions are nested too deep.")
        if self.text[self.at : self.at + 1] in (b"", b"{", b"}", b":"):
            raise _BadWordError("It holds a substitution without a name.")
        name = self._name()
        self._ask(name)
        operator = self.text[self.at : self.at + 1]
        self.at += 1
        if operator == b"}":
            self._value(part, name)
            return
        or_empty = operator == b":"
        if or_empty:
            operator = self.text[self.at : self.at + 1]
            self.at += 1
        if operator == b"/" and not or_empty:
            self._replace(part, name, depth)
        elif operator in (b"#", b"%"):
            self._trim(part, name, operator[0], depth)
        elif operator in (b"-", b"+", b"?"):
            self._choose(part, name, operator, depth, or_empty=or_empty)
        else:
            raise _BadWordError("It holds a substitution that a Dockerfile does not know.")

    def _choose(self, part: _Part, name: str, operator: bytes, depth: int, *, or_empty: bool) -> None:
        outside = self.names, self.holders
        self.names, self.holders = set(), set()
        word = self.sequence(ord("}"), raw=False, depth=depth)
        inside = self.names, self.holders
        self.names, self.holders = outside
        value = self.values.get(name)
        if value is not None and not value.text.known:
            self._value(part, name)
            return
        given = value is not None and not (or_empty and not value.text.text)
        if operator == b"?" and not given:
            raise _BadWordError(f"{name} has no value here and must be passed.")
        if given and operator != b"+":
            self._value(part, name)
            return
        if operator == b"+" and not given:
            part.substitute(EMPTY, pure=False)
            return
        self.names |= inside[0]
        self.holders |= inside[1]
        part.substitute(Traced(word.runs), pure=word.whole)

    def _trim(self, part: _Part, name: str, operator: int, depth: int) -> None:
        word = Traced(self.sequence(ord("}"), raw=True, depth=depth).runs)
        value = self._ask(name)
        if value is None or not value.text.known or not word.known:
            part.substitute(NOT_TOLD, pure=False)
            return
        pattern, text = word.text, value.text.text
        longest = pattern[:1] == bytes((operator,))
        glob = _glob(pattern[1:] if longest else pattern, reverse=operator == ord("%"))
        if not self.budget.spend(len(text)):
            raise _BadWordError(_TOO_MANY)
        if operator == ord("%"):
            size = glob.prefix(text[::-1], longest=longest)
            kept = text if size is None else text[: len(text) - size]
        else:
            size = glob.prefix(text, longest=longest)
            kept = text if size is None else text[size:]
        part.substitute(Traced((Run(kept, COMPUTED),)), pure=False)

    def _replace(self, part: _Part, name: str, depth: int) -> None:
        everywhere = self.text[self.at : self.at + 1] == b"/"
        self.at += everywhere
        pattern = Traced(self.sequence(ord("/"), raw=True, depth=depth).runs)
        replacement = Traced(self.sequence(ord("}"), raw=True, depth=depth).runs)
        value = self._ask(name)
        known = value is not None and value.text.known and pattern.known and replacement.known
        # BuildKit hands both to a regular expression: an empty pattern and a `$` mean other things there.
        if value is None or not known or not pattern.text or b"$" in replacement.text:
            part.substitute(NOT_TOLD, pure=False)
            return
        text = self._replaced(value.text.text, pattern.text, replacement.text, everywhere=everywhere)
        part.substitute(Traced((Run(text, COMPUTED),)), pure=False)

    def _replaced(self, text: bytes, pattern: bytes, replacement: bytes, *, everywhere: bool) -> bytes:
        glob = _glob(pattern, reverse=False)
        made, at = bytearray(), 0
        while at < len(text):
            if not self.budget.spend(len(text) - at):
                raise _BadWordError(_TOO_MANY)
            size = glob.prefix(text[at:], longest=True)
            if not size:
                made += text[at : at + 1]
                at += 1
                continue
            made += replacement
            at += size
            if not everywhere:
                break
        return bytes(made) + text[at:]


def _glob(pattern: bytes, *, reverse: bool) -> Glob:
    try:
        return Glob(tokens(pattern, reverse=reverse))
    except ValueError as bad:
        raise _BadWordError("It holds a pattern that a Dockerfile does not know.") from bad
