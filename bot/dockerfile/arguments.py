"""Global build arguments: their defaults, what each of them feeds, and whether one may be edited.

A global ARG feeds FROM; one behind a FROM belongs to its stage and never does (Dockerfile reference,
"Understand how ARG and FROM interact").
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass

from bot.dockerfile.instructions import Instruction
from bot.dockerfile.words import MAX_LENGTH, MAX_RUNS, NOT_TOLD, Budget, Traced, Value, expand
from bot.model import Span

PREDEFINED = frozenset(
    {
        *(f"{side}{part}" for side in ("BUILD", "TARGET") for part in ("PLATFORM", "OS", "ARCH", "VARIANT")),
        *("BUILDOSVERSION", "TARGETOSVERSION", "TARGETSTAGE", "SOURCE_DATE_EPOCH"),
        *(f"{what}_PROXY" for what in ("HTTP", "HTTPS", "FTP", "NO", "ALL")),
        *(f"{what}_proxy" for what in ("http", "https", "ftp", "no", "all")),
    }
)
"""Build arguments whose value every builder brings along; the file does not tell it."""

MAX_DECLARATIONS = 4096
"""Global build arguments with a default that are followed."""

_MENTIONS = 32
"""What share of a file's length looking for the further uses of one build argument costs."""
_NOT_PRINTED = re.compile(rb"[|>`]|\$\(")
_PRINTS = re.compile(rb"[\t ]*(?:echo|printf)[\t ]")
_COMMANDS = re.compile(rb"&&|\|\||;")
_VARIABLE = re.compile(rb"\$\{?([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declaration:
    name: str
    literal: Span | None
    """Where the default's text stands, if it is one plain literal within this declaration."""
    pure: bool
    holders: frozenset[int]


class Arguments:
    """The build arguments of one file.  Declarations are known by their number, in order."""

    def __init__(self, data: bytes, escape: int) -> None:
        self._data = data
        self._escape = escape
        self.budget = Budget()
        self._values: dict[str, Value] = dict.fromkeys(PREDEFINED, Value(text=NOT_TOLD, pure=False))
        self._declarations: list[_Declaration] = []
        self._declared: dict[str, int] = defaultdict(int)
        self._redeclared: dict[str, int] = {}
        self._outcomes: dict[int, set[Span | None]] = defaultdict(set)
        self._copies: dict[int, set[str]] = defaultdict(set)
        self._asked: set[str] = set()

    @property
    def names(self) -> frozenset[str]:
        """Names of the build arguments that feed images."""
        return frozenset(name for name in self._asked - PREDEFINED if name.isidentifier())

    def expand(self, word: Traced) -> Value:
        """Return what a word becomes with the defaults declared so far."""
        return expand(word, self._values, escape=self._escape, budget=self.budget)

    def declare(self, name: str, default: Traced) -> bool:
        """Take a global default; return whether there was still room for it."""
        if len(self._declarations) >= MAX_DECLARATIONS:
            self.budget.exceeded = True
            return False
        value = self.expand(default)
        number = len(self._declarations)
        place, own = value.text.place, default.place
        inside = place is not None and own is not None and own.start <= place.start and place.end <= own.end
        self._declared[name] += 1
        self._declarations.append(
            _Declaration(
                name=name,
                literal=place if value.pure and inside else None,
                pure=value.pure,
                holders=value.holders,
            )
        )
        for holder in value.holders:
            self._copies[holder].add(name)
            if not value.pure:
                self._outcomes[holder].add(None)
        if name not in PREDEFINED:
            too_long = len(value.text.text) > MAX_LENGTH or len(value.text.runs) > MAX_RUNS
            self._values[name] = Value(
                text=NOT_TOLD if too_long else value.text,
                pure=value.pure,
                names=value.names | {name},
                holders=value.holders | {number},
            )
        return True

    def take(self, name: str, offset: int) -> None:
        """Note that a stage takes a global build argument, from `offset` on."""
        self._redeclared.setdefault(name, offset)

    def feed(self, value: Value, place: Span | None) -> None:
        """Note that a FROM asks for `value` and takes the reference at `place`, or something else."""
        self._asked |= value.names
        for holder in value.holders:
            self._outcomes[holder].add(place)

    def untold(self, value: Value) -> str:
        """Return the name of a variable that keeps `value` from being known."""
        for name in sorted(value.names):
            known = self._values.get(name)
            if known is None or not known.text.known:
                return name
        return "its variable"

    def holder(self, value: Value) -> int | None:
        """Return the declaration whose default holds the text of `value` as it stands."""
        place = value.text.place
        for number in sorted(value.holders):
            if place is not None and self._declarations[number].literal == place:
                return number
        return None

    def name(self, number: int) -> str:
        """Return the name of a declaration."""
        return self._declarations[number].name

    def shared(self, number: int, after: list[Instruction]) -> tuple[bool, str]:
        """Return whether a declaration feeds more than one image, and what is to say about it.

        `after` holds the instructions of all stages.  Complete only once every FROM was fed.
        """
        name, place = self.name(number), self._declarations[number].literal
        if self._declared[name] > 1:
            return True, f"{name} is declared more than once."
        if self.budget.exceeded or self._outcomes[number] != {place}:
            return True, f"{name} feeds something else too."
        note = ""
        for copy in sorted((self._copies[number] | {name}) & self._redeclared.keys()):
            uses = self._further_uses(copy, self._redeclared[copy], after)
            if not all(uses):
                return True, f"A stage takes {copy} for something else too."
            note = f"A stage prints {copy}: the digest will show there." if uses else note
        return False, note

    def _further_uses(self, name: str, start: int, after: list[Instruction]) -> list[bool]:
        """Return of each instruction from `start` on that mentions a build argument if it only shows it."""
        if not self.budget.spend(len(self._data) // _MENTIONS):
            return [False]
        pattern = re.compile(rb"(?<![A-Za-z0-9_])" + re.escape(name.encode()) + rb"(?![A-Za-z0-9_])")
        starts = [one.start for one in after]
        shown: dict[int, bool] = {}
        for found in pattern.finditer(self._data, start):
            index = bisect_right(starts, found.start()) - 1
            if index < 0 or index in shown or found.start() >= after[index].end:
                continue
            if not _takes(after[index], pattern):
                shown[index] = _prints(after[index], pattern)
        return list(shown.values())


def outermost(word: Traced) -> str | None:
    """Return the name of the first variable of a word."""
    found = _VARIABLE.search(word.text)
    return found.group(1).decode("ascii") if found else None


def _takes(instruction: Instruction, pattern: re.Pattern[bytes]) -> bool:
    """Return whether an instruction only takes the variable that `pattern` finds into its stage."""
    if instruction.keyword != "arg" or instruction.trigger:
        return False
    return not any(b"=" in word and pattern.search(word) for word in instruction.text.text.split())


def _prints(instruction: Instruction, pattern: re.Pattern[bytes]) -> bool:
    """Return whether an instruction only shows the variable that `pattern` finds."""
    if instruction.trigger or instruction.heredoc:
        return False
    if instruction.keyword != "run":
        return instruction.keyword == "label"
    return all(
        _PRINTS.match(command) is not None and _NOT_PRINTED.search(command) is None
        for command in _COMMANDS.split(instruction.text.text)
        if pattern.search(command)
    )
