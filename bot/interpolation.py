"""Compose's variable interpolation and its `.env` grammar, each with the places of literals.

The compose specification's "Interpolation" and "Env file" chapters, as compose-go reads them.
Positions in a template count characters of its text; a setting's span counts bytes of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from bot.model import Span
from bot.source import Literal, Text

MAX_DEPTH = 16
"""Levels of `${A:-${B:-...}}`; what is deeper is no template."""
MAX_VALUE = 4096
"""Characters that pieces may come to together; settings that double each time end here."""
MAX_SETTINGS = 10_000
"""Settings of one file that are read."""

_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_TOKEN = re.compile(rf"\$(?:(?P<dollar>\$)|(?P<bare>{_NAME})|\{{(?P<braced>{_NAME})(?P<operator>:?[-+?])?)?")
_BRACE = re.compile(r"\$\{|\}")


@dataclass(frozen=True, slots=True)
class Variable:
    """`$NAME`, `${NAME}` or `${NAME<operator>word}`."""

    name: str
    operator: str
    word: Template
    start: int
    end: int


Template: TypeAlias = tuple[Literal | Variable, ...]


def parse(text: str, *, lenient: bool = False) -> Template | None:
    """Return the template that `text` is, or None where compose would refuse it.

    With `lenient` a `$` that begins nothing stands for itself.
    """
    if "$" not in text:
        return (Literal(text, 0, len(text)),) if text else ()
    closing: dict[int, int] = {}
    opened: list[int] = []
    for found in _BRACE.finditer(text):
        if found[0] == "}":
            if opened:
                closing[opened.pop()] = found.start()
        else:
            opened.append(found.start())
    return _Parser(text, closing, lenient=lenient).template(0, len(text), 0)


class _Parser:
    def __init__(self, text: str, closing: Mapping[int, int], *, lenient: bool) -> None:
        self._text = text
        self._closing = closing
        self._lenient = lenient

    def template(self, start: int, end: int, depth: int) -> Template | None:
        if depth > MAX_DEPTH:
            return None
        made: list[Literal | Variable] = []
        position = start  # where the literal before the next token starts
        at = self._text.find("$", start, end)
        while at >= 0:
            piece = self._piece(at, end, depth)
            if piece is None:
                if not self._lenient:
                    return None
                at = self._text.find("$", at + 1, end)
                continue
            if at > position:
                made.append(Literal(self._text[position:at], position, at))
            made.append(piece)
            position = piece.end
            at = self._text.find("$", position, end)
        if position < end:
            made.append(Literal(self._text[position:end], position, end))
        return tuple(made)

    def _piece(self, at: int, end: int, depth: int) -> Literal | Variable | None:
        token = _TOKEN.match(self._text, at, end)
        if token is None or token.end() == at + 1:
            return None
        if token["dollar"]:
            return Literal("$", at, at + 2)
        if token["bare"]:
            return Variable(token["bare"], "", (), at, token.end())
        close = self._closing.get(at)
        if close is None or close >= end:
            return None
        if not token["operator"]:
            return Variable(token["braced"], "", (), at, close + 1) if token.end() == close else None
        word = self.template(token.end(), close, depth + 1)
        return None if word is None else Variable(token["braced"], token["operator"], word, at, close + 1)


def names(template: Template) -> Iterator[str]:
    """Yield the variables that a template mentions, those inside of words included."""
    for piece in template:
        if isinstance(piece, Variable):
            yield piece.name
            yield from names(piece.word)


def wholes(template: Template) -> Iterator[str]:
    """Yield the variables whose value may be the whole result."""
    if len(template) == 1 and isinstance(template[0], Variable):
        variable = template[0]
        if not variable.operator.endswith("+"):
            yield variable.name
        if variable.operator.endswith("-"):
            yield from wholes(variable.word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a `.env` file says of one variable."""

    name: str
    value: str | None
    """None where it cannot be told from the file."""
    span: Span | None
    """The bytes of the value without quotes; None where they are not the value letter by letter."""
    mentions: frozenset[str] = frozenset()


Settings: TypeAlias = Mapping[str, Setting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a template comes to where only the given settings are set."""

    text: str | None
    """None where that cannot be told: a variable without value and default."""
    literal: Literal | None = None
    """The literal of the template that is the whole text."""
    setting: Setting | None = None
    """The setting whose value is the whole text."""
    argument: str | None = None
    """The variable whose default or setting holds the whole text."""
    unused: tuple[tuple[str, Literal], ...] = field(default=())
    """Defaults that a setting replaces, each with its variable."""


UNKNOWN = Resolved(text=None)


def resolve(template: Template, settings: Settings) -> Resolved:
    """Return what a template comes to, and which one literal or setting holds all of it."""
    if len(template) == 1:
        piece = template[0]
        if isinstance(piece, Literal):
            return Resolved(text=piece.text, literal=piece if piece.plain else None)
        return _resolve(piece, settings)
    text = ""
    for piece in template:
        part = piece.text if isinstance(piece, Literal) else _resolve(piece, settings).text
        if part is None or len(text) + len(part) > MAX_VALUE:
            return UNKNOWN
        text += part
    return Resolved(text=text)


def _resolve(variable: Variable, settings: Settings) -> Resolved:
    name, operator, word = variable.name, variable.operator, variable.word
    setting = settings.get(name)
    absent = setting is None or (operator.startswith(":") and setting.value == "")
    if operator.endswith("+"):
        if setting is not None and setting.value is None:
            return UNKNOWN
        return Resolved(text="" if absent else resolve(word, settings).text)
    if operator.endswith("-") and absent:
        found = resolve(word, settings)
        return Resolved(
            text=found.text,
            literal=found.literal,
            setting=found.setting,
            argument=found.argument or name,
            unused=found.unused,
        )
    if setting is None or absent or setting.value is None:
        return Resolved(text=None, argument=name)
    unused: tuple[tuple[str, Literal], ...] = ()
    if operator.endswith("-"):
        default = resolve(word, {})
        if default.literal is not None:
            unused = ((default.argument or name, default.literal),)
    return Resolved(
        text=setting.value,
        setting=setting if setting.span is not None else None,
        argument=name,
        unused=unused,
    )


_BLANK = " \t\v\f\r\x85\xa0"
_STATEMENT = re.compile(
    rf"(?:export[{_BLANK}]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.\[\]-]*)[{_BLANK}]*(?:[=:][{_BLANK}]*|(?P<bare>\n|\Z))"
)
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SINGLE = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_AFTER = re.compile(rf"[{_BLANK}]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def dotenv(data: bytes) -> dict[str, Setting]:
    """Return the settings of a `.env` file in UTF-8 by name; the last of equal names counts.

    A line that is no setting is passed over; nothing is set where the file is not UTF-8.
    """
    try:
        text = Text(data)
    except UnicodeDecodeError:
        return {}
    whole = text.text
    made: dict[str, Setting] = {}
    position = 0
    while position < len(whole) and len(made) < MAX_SETTINGS:
        position = _skip(whole, position)
        statement = _STATEMENT.match(whole, position)
        if statement is None:
            position = _line_end(whole, position)
            continue
        position = statement.end()
        if statement["bare"] is not None:
            continue  # taken over from the environment
        name = statement["name"]
        if whole[position : position + 1] in ("'", '"'):
            quoted = (_DOUBLE if whole[position] == '"' else _SINGLE).match(whole, position)
            if quoted is None:
                made[name] = Setting(name=name, value=None, span=None)
                break  # compose refuses the file from here on
            position = quoted.end()
            value, start = quoted[1], quoted.start(1)
            clean = _AFTER.match(whole, position) is not None
            if not clean:
                position = _line_end(whole, position)
            made[name] = _setting(name, value, start, quoted[0][0], text, made, clean=clean)
            continue
        end = _line_end(whole, position)
        value = whole[position:end].partition(" #")[0].rstrip()
        made[name] = _setting(name, value, position, "", text, made, clean=True)
        position = end
    return made


def _skip(text: str, position: int) -> int:
    """Return where the next statement starts, behind blanks and comments."""
    while position < len(text):
        if text[position] == "#":
            position = _line_end(text, position)
        elif text[position].isspace():
            position += 1
        else:
            break
    return position


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _setting(
    name: str, raw: str, start: int, quote: str, text: Text, before: Settings, *, clean: bool
) -> Setting:
    value: str | None = raw
    mentions: frozenset[str] = frozenset()
    if quote:
        value = _ESCAPE.sub(lambda found: _unescaped(found, quote), raw)
    if quote != "'":
        template = parse(value or "")
        value = None if template is None else resolve(template, before).text
        mentions = frozenset(names(template)) if template else frozenset()
    if not clean:
        value = None
    plain = value is not None and value == raw and bool(raw) and "\n" not in raw
    span = Span(text.offset(start), text.offset(start + len(raw))) if plain else None
    return Setting(name=name, value=value, span=span, mentions=mentions)


def _unescaped(found: re.Match[str], quote: str) -> str:
    letter = found[1]
    if letter == quote:
        return letter
    if quote == "'":
        return found[0]
    return _ESCAPES.get(letter, letter if letter in "\\$" else found[0])
