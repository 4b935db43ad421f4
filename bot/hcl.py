"""A lenient reader of HCL, native and JSON: blocks, attributes and what their values say letter by letter.

Follows the HCL syntax specification as far as its values can be told without evaluating anything:
strings and heredocs with their `${}`, names, lists and objects.  Operators, functions and `for` are
`Other`, with the strings and names within.  Time is linear in the text, and depth is bounded.
Positions count characters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from bot.source import Literal

MAX_DEPTH = 50
"""Levels of blocks, brackets and interpolations; what is deeper ends the reading."""
MAX_TOKENS = 200_000
"""Words, strings and marks of one file; what comes behind them is not read."""

_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\ufeff]++|(?:\#|//)[^\n]*+|/\*(?s:.)*?(?:\*/|\Z))"
    r"|(?P<newline>\n)"
    r"|(?P<heredoc><<(?P<indented>-?)(?P<marker>[A-Za-z_][\w-]*+)[ \t\r]*+\n)"
    r'|(?P<quote>")'
    r"|(?P<word>[A-Za-z_][\w-]*+(?:\.[A-Za-z_][\w-]*+)*+)"
    r"|(?P<number>[0-9][\w.]*+)"
    r"|(?P<mark>=>|==|!=|<=|>=|&&|\|\||\.\.\.|.)"
)
_IN_STRING = re.compile(r'["\n\\]|\$\$\{|%%\{|[$%]\{')
_IN_HEREDOC = re.compile(r"\$\$\{|%%\{|[$%]\{")
_IN_HOLE = re.compile(r'["{}\\]|\$\$\{|%%\{|[$%]\{')
_WORD = re.compile(r"[A-Za-z_][\w-]*+")
_NAME = re.compile(r"\s*([A-Za-z_][\w-]*+)\s*")
_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([nrtbf"\\/]))')
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_OPENING = {"(": ")", "[": "]", "{": "}"}
_CLOSING = frozenset(_OPENING.values())


@dataclass(frozen=True, slots=True)
class Hole:
    """What `${}` puts into a string."""

    name: str | None
    """The variable, where it is nothing but one."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Template:
    """A string or heredoc."""

    pieces: tuple[Literal | Hole, ...]
    start: int
    """Of its text, quotes left out."""
    end: int
    heredoc: bool = False

    @property
    def text(self) -> str | None:
        """Return its text, or None where something is put into it."""
        literals = [piece.text for piece in self.pieces if isinstance(piece, Literal)]
        return "".join(literals) if len(literals) == len(self.pieces) else None


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, alone."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Null:
    """The value `null`, which is as if nothing were set."""


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    key: Template
    value: Value


@dataclass(frozen=True, slots=True)
class Table:
    """An object; keys may repeat."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """A value that cannot be told without evaluating it."""

    strings: tuple[Template, ...] = ()
    names: frozenset[str] = frozenset()


Value: TypeAlias = Template | Name | Null | Items | Table | Other


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    kind: str
    labels: tuple[str, ...]
    body: Mapping[str, Value]
    """Its attributes; of equal ones the last.  Blocks within are not kept."""
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    blocks: tuple[Block, ...] = ()
    attributes: Mapping[str, Value] = field(default_factory=dict)
    mentions: Mapping[str, int] = field(default_factory=dict)
    """How often values mention a variable, those in places that are not kept included."""
    trouble: tuple[int, str] | None = None
    """Where and why the reading ended early."""


def read(text: str) -> Document:
    """Return what a file in HCL's native syntax says; never raises."""
    reader = _Reader(text)
    blocks: list[Block] = []
    attributes: dict[str, Value] = {}
    trouble = None
    try:
        reader.start()
        for one in reader.body(0, top=True):
            if isinstance(one, Block):
                blocks.append(one)
            else:
                attributes[one[0]] = one[1]
    except _EndedError as ended:
        trouble = (ended.at, ended.why)
        blocks += reader.unfinished
    return Document(
        blocks=tuple(blocks), attributes=attributes, mentions=dict(reader.mentions), trouble=trouble
    )


def read_json(text: str) -> Document:
    """Return what a file in HCL's JSON syntax says; never raises.

    An object in an object is a block with a label where its name is that of a block; read with
    the native grammar, of whose expressions JSON is a part.
    """
    reader = _Reader(text)
    blocks: list[Block] = []
    attributes: dict[str, Value] = {}
    try:
        reader.start()
        root = reader.root()
    except _EndedError as ended:
        return Document(trouble=(ended.at, ended.why))
    for pair in root.pairs:
        kind = pair.key.text
        if kind is None:
            continue
        if not isinstance(pair.value, Table):
            attributes[kind] = pair.value
            continue
        for labelled in pair.value.pairs:
            label, body = labelled.key.text, labelled.value
            if label is not None and isinstance(body, Table):
                fields = {name: one.value for one in body.pairs if (name := one.key.text) is not None}
                blocks.append(Block(kind=kind, labels=(label,), body=fields, start=labelled.key.start))
    return Document(blocks=tuple(blocks), attributes=attributes, mentions=dict(reader.mentions))


class _EndedError(Exception):
    """The reading cannot go on: what is open is never closed, or it is more than is written by hand."""

    def __init__(self, at: int, why: str) -> None:
        super().__init__(why)
        self.at = at
        self.why = why


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """`newline`, `word`, `number`, `string`, `end`, or the mark itself."""
    start: int
    end: int
    template: Template | None = None


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.mentions: Counter[str] = Counter()
        self.unfinished: list[Block] = []
        self._tokens = self._lex()
        self._next = _Token("end", 0, 0)
        self._count = 0

    def start(self) -> None:
        """Read the first word or mark."""
        self._next = next(self._tokens)

    # --- words, strings and marks ---------------------------------------------------------

    def _lex(self) -> Iterator[_Token]:
        position, text = 0, self._text
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:  # cannot be: the last choice takes any character
                break
            position = found.end()
            kind = found.lastgroup or ""
            if kind == "blank":
                continue
            if kind == "quote":
                template, position = self._string(position)
                yield _Token("string", found.start(), position, template)
            elif found["heredoc"] is not None:
                template, position = self._heredoc(position, found["marker"])
                yield _Token("string", found.start(), position, template)
            else:
                yield _Token(found[0] if kind == "mark" else kind, found.start(), position)
        while True:
            yield _Token("end", len(text), len(text))

    def _string(self, start: int) -> tuple[Template, int]:
        """Return the string whose text starts at a position, and where it ends with its quote."""
        pieces: list[Literal | Hole] = []
        position = before = start
        while True:
            found = _IN_STRING.search(self._text, position)
            if found is None or found[0] == "\n":
                raise _EndedError(start - 1, "a string is not closed on its line")
            position = found.end()
            if found[0] == '"':
                self._literal(pieces, before, found.start(), escapes=True)
                return Template(tuple(pieces), start, found.start()), position
            if found[0] == "\\":
                position += 1
            elif len(found[0]) == 2:  # not the doubled mark, which stands for itself
                self._literal(pieces, before, found.start(), escapes=True)
                before = position = self._hole(pieces, found.start(), position)

    def _heredoc(self, start: int, marker: str) -> tuple[Template, int]:
        """Return the heredoc whose first line starts at a position, and where its last line's marker ends."""
        closing = re.compile(rf"^[ \t]*+{re.escape(marker)}(?=[ \t\r]*+(?:[\n,)\]}}]|\Z))", re.MULTILINE)
        last = closing.search(self._text, start)
        if last is None:
            raise _EndedError(start, f"the heredoc {marker} is not closed")
        pieces: list[Literal | Hole] = []
        position = before = start
        while True:
            found = _IN_HEREDOC.search(self._text, position, last.start())
            if found is None:
                break
            position = found.end()
            if len(found[0]) == 2:
                self._literal(pieces, before, found.start(), escapes=False)
                before = position = self._hole(pieces, found.start(), position)
                if position > last.start():
                    raise _EndedError(found.start(), f"the heredoc {marker} ends within `${{}}`")
        self._literal(pieces, before, last.start(), escapes=False)
        return Template(tuple(pieces), start, last.start(), heredoc=True), last.end()

    def _literal(self, pieces: list[Literal | Hole], start: int, end: int, *, escapes: bool) -> None:
        if start == end:
            return
        text = self._text[start:end]
        if escapes and "\\" in text:
            text = _ESCAPE.sub(_unescaped, text)
        pieces.append(Literal(text.replace("$${", "${").replace("%%{", "%{"), start, end))

    def _hole(self, pieces: list[Literal | Hole], start: int, inner: int) -> int:
        """Add the `${}` or `%{}` that opens at a position; return where it ends."""
        position, opened = inner, ["}"]
        while opened:
            found = (_IN_STRING if opened[-1] == '"' else _IN_HOLE).search(self._text, position)
            if found is None or found[0] == "\n":
                raise _EndedError(start, "`${` is not closed")
            position = found.end()
            mark = found[0]
            if mark == "\\":
                position += 1
            elif mark == opened[-1]:
                opened.pop()
            elif mark == '"' or (mark == "{" and opened[-1] == "}"):
                opened.append('"' if mark == '"' else "}")
            elif len(mark) == 2:
                opened.append("}")
            if len(opened) > MAX_DEPTH:
                raise _EndedError(start, f"more than {MAX_DEPTH} levels")
        inside = self._text[inner : position - 1]
        named = _NAME.fullmatch(inside) if self._text[start] == "$" else None
        self.mentions.update(_WORD.findall(inside))
        pieces.append(Hole(named[1] if named else None, start, position))
        return position

    def _take(self) -> _Token:
        token = self._next
        self._count += 1
        if self._count > MAX_TOKENS:
            raise _EndedError(token.start, f"more than {MAX_TOKENS} words and marks")
        self._next = next(self._tokens)
        return token

    def _skip_newlines(self) -> None:
        while self._next.kind == "newline":
            self._take()

    # --- bodies ---------------------------------------------------------------------------

    def body(self, depth: int, *, top: bool = False) -> Iterator[Block | tuple[str, Value]]:
        """Yield the attributes and blocks of a body up to its closing brace, which is taken."""
        if depth > MAX_DEPTH:
            raise _EndedError(self._next.start, f"more than {MAX_DEPTH} levels")
        while True:
            token = self._take()
            if token.kind == "end":
                if top:
                    return
                raise _EndedError(token.start, "a block is not closed")
            if token.kind == "}":
                if not top:
                    return
                raise _EndedError(token.start, "a `}` closes nothing")
            if token.kind in ("word", "string"):
                one = self._entry(token, depth)
                if one is not None:
                    yield one

    def _entry(self, token: _Token, depth: int) -> Block | tuple[str, Value] | None:
        """Return the attribute or block that begins with a token."""
        name = self._written(token)
        if self._next.kind == "=":
            self._take()
            return name, self._value(depth, ends=("newline",))
        return self._block(name, token.start, depth) if token.kind == "word" else None

    def _written(self, token: _Token) -> str:
        return self._text[token.start : token.end] if token.template is None else token.template.text or ""

    def _block(self, kind: str, start: int, depth: int) -> Block | None:
        labels: list[str] = []
        while self._next.kind in ("word", "string"):
            labels.append(self._written(self._take()))
        if self._next.kind != "{":
            return None
        self._take()
        body: dict[str, Value] = {}
        block = Block(kind=kind, labels=tuple(labels), body=body, start=start)
        try:
            for one in self.body(depth + 1):
                if not isinstance(one, Block):
                    body[one[0]] = one[1]
        except _EndedError:
            if depth == 0:
                self.unfinished.append(block)
            raise
        return block

    def root(self) -> Table:
        """Return the object that a JSON file is."""
        self._skip_newlines()
        if self._next.kind != "{":
            raise _EndedError(self._next.start, "expected an object")
        self._take()
        root = self._table(0)
        self._skip_newlines()
        if self._next.kind != "end":
            raise _EndedError(self._next.start, "something follows the object")
        return root

    # --- values ---------------------------------------------------------------------------

    def _value(self, depth: int, *, ends: tuple[str, ...]) -> Value:
        """Return the value up to one of `ends` or a closing bracket, which are not taken."""
        token = self._next
        value: Value
        if token.kind in ("end", *ends) or token.kind in _CLOSING:
            return Other()
        self._take()
        strings: list[Template] = []
        names: set[str] = set()
        if token.template is not None:
            value = token.template
            strings.append(token.template)
        elif token.kind == "word":
            value = self._word(token)
            if isinstance(value, Name):
                names.add(value.name)
                self.mentions[value.name] += 1
        elif token.kind in ("[", "{"):
            value = self._items(depth + 1) if token.kind == "[" else self._table(depth + 1)
            _gather(value, strings, names)
        elif token.kind == "(":
            self._rest(depth + 1, (), strings, names)
            self._close(")", token)
            value = Other()
        else:
            value = Other()
        if self._next.kind in ("end", *ends) or self._next.kind in _CLOSING:
            return value if not isinstance(value, Other) else Other(tuple(strings), frozenset(names))
        self._rest(depth, ends, strings, names)
        return Other(tuple(strings), frozenset(names))

    def _word(self, token: _Token) -> Value:
        word = self._text[token.start : token.end]
        if word == "null":
            return Null()
        if word in ("true", "false"):
            return Template((Literal(word, token.start, token.end),), token.start, token.end)
        return Name(word.partition(".")[0], token.start, token.end) if "." not in word else self._path(word)

    def _path(self, word: str) -> Other:
        first = word.partition(".")[0]
        self.mentions[first] += 1
        return Other(names=frozenset({first}))

    def _rest(self, depth: int, ends: tuple[str, ...], strings: list[Template], names: set[str]) -> None:
        """Take what is left of a value that is not told, and note its strings and names."""
        opened: list[_Token] = []
        while True:
            token = self._next
            if token.kind == "end" or (not opened and (token.kind in ends or token.kind in _CLOSING)):
                return
            self._take()
            if token.template is not None:
                strings.append(token.template)
            elif token.kind == "word":
                word = self._text[token.start : token.end].partition(".")[0]
                names.add(word)
                self.mentions[word] += 1
            elif token.kind in _OPENING:
                opened.append(token)
                if depth + len(opened) > MAX_DEPTH:
                    raise _EndedError(token.start, f"more than {MAX_DEPTH} levels")
            elif token.kind in _CLOSING:
                opened.pop()

    def _items(self, depth: int) -> Items:
        """Return the list whose opening bracket is taken."""
        opening = self._next
        self._deep(depth)
        made: list[Value] = []
        while True:
            self._skip_newlines()
            if self._next.kind == ",":
                self._take()
            elif self._next.kind in _CLOSING or self._next.kind == "end":
                break
            else:
                made.append(self._value(depth, ends=(",", "newline")))
        self._close("]", opening)
        return Items(tuple(made))

    def _table(self, depth: int) -> Table:
        """Return the object whose opening brace is taken."""
        opening = self._next
        self._deep(depth)
        made: list[Pair] = []
        while True:
            self._skip_newlines()
            token = self._next
            if token.kind in _CLOSING or token.kind == "end":
                break
            self._take()
            if token.kind in ("word", "string", "number") and self._next.kind in ("=", ":"):
                self._take()
                self._skip_newlines()
                key = token.template
                if key is None:
                    written = self._text[token.start : token.end]
                    key = Template((Literal(written, token.start, token.end),), token.start, token.end)
                made.append(Pair(key, self._value(depth, ends=(",", "newline"))))
            elif token.kind != ",":  # a key in parentheses, or a `for`: what it comes to cannot be told
                strings: list[Template] = [] if token.template is None else [token.template]
                if token.kind == "(":
                    self._rest(depth, (), strings, set())
                    self._close(")", token)
                self._rest(depth, (",", "newline"), strings, set())
        self._close("}", opening)
        return Table(tuple(made))

    def _deep(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _EndedError(self._next.start, f"more than {MAX_DEPTH} levels")

    def _close(self, mark: str, opening: _Token) -> None:
        if self._next.kind != mark:
            raise _EndedError(opening.start, f"a `{mark}` is missing")
        self._take()


def _gather(value: Value, strings: list[Template], names: set[str]) -> None:
    """Note the strings and names of a list or object, in case that more follows behind it."""
    pending: list[Value] = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, Template):
            strings.append(one)
        elif isinstance(one, Name):
            names.add(one.name)
        elif isinstance(one, Items):
            pending += reversed(one.items)
        elif isinstance(one, Table):
            pending += (pair.value for pair in reversed(one.pairs))
        elif isinstance(one, Other):
            strings += one.strings
            names |= one.names


def _unescaped(found: re.Match[str]) -> str:
    digits = found[1] or found[2]
    if digits:
        code = int(digits, 16)
        return chr(code) if code < 0x110000 else found[0]
    return _ESCAPES.get(found[3], found[3])
