"""Shapes of a configuration file: each reads a YAML node strictly, and says the same as JSON Schema.

Nothing is constructed from YAML but what a shape asks for, the number of nodes that are read is
bounded whatever aliases say, and every refusal names line, key and what was expected.  Shapes are
plain classes: making a dataclass takes a millisecond, and every command reads a configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any, NoReturn, Protocol, TypeAlias

from bot.errors import ConfigurationError
from bot.yamltree import Mapping as MappingNode
from bot.yamltree import Node, Scalar, Tree
from bot.yamltree import Sequence as SequenceNode

MAX_NODES = 20_000
"""Nodes that one file may make us read, aliases counted each time."""
MAX_ITEMS = 1000
MAX_PROBLEMS = 100
"""How many problems of one file are told."""
_TAG = "tag:yaml.org,2002:"
_TAGS = frozenset(
    f"{_TAG}{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value")
)
"""What YAML itself makes of plain text; any other tag was written on purpose."""
_NUMBER = re.compile(r"[0-9]{1,6}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SHOWN = 60

Schema: TypeAlias = dict[str, Any]


class Reader:
    """One file being read."""

    __slots__ = ("_left", "_tree", "path", "problems")

    def __init__(self, path: str, tree: Tree) -> None:
        self.path = path
        self.problems: list[ConfigurationError] | None = None
        """Where problems are put, so that reading goes on; None raises the first of them."""
        self._tree = tree
        self._left = MAX_NODES

    def visit(self, node: Node, key: str) -> None:
        """Count a node; raises `ConfigurationError` beyond `MAX_NODES`, or for a tag."""
        self._left -= 1
        if self._left < 0:
            self.problems = None  # nothing more is read
            self.fail(node, key, "the file holds too much", expected=f"at most {MAX_NODES} values")
        if node.tag not in _TAGS:
            self.fail(node, key, f"the tag {shown(node.tag)} has no meaning here", expected="no tags")

    def fail(self, node: Node, key: str, problem: str, *, expected: str = "", advice: str = "") -> NoReturn:
        """Raise the `ConfigurationError` for a node."""
        raise ConfigurationError(
            problem,
            path=self.path,
            line=self._tree.line(node),
            key=key,
            expected=expected,
            advice=advice,
        )

    def note(self, problem: ConfigurationError) -> None:
        """Keep a problem, or raise it where they are not kept or are too many."""
        if self.problems is None or len(self.problems) >= MAX_PROBLEMS:
            raise problem
        self.problems.append(problem)


class Shape(Protocol):
    """What one value may be."""

    def read(self, node: Node, key: str, reader: Reader) -> Any:
        """Return the value; raises `ConfigurationError`."""

    def schema(self) -> Schema:
        """Return the JSON Schema of the value."""


def shown(text: str) -> str:
    """Return hostile text for a message: quoted, escaped and short."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


def _scalar(node: Node, key: str, reader: Reader, expected: str) -> Scalar:
    reader.visit(node, key)
    if isinstance(node, MappingNode):
        reader.fail(node, key, "is a mapping", expected=expected)
    if not isinstance(node, Scalar):
        reader.fail(node, key, "is a list", expected=expected)
    if node.tag == f"{_TAG}null":
        reader.fail(node, key, "is empty", expected=expected, advice="Leave the key out for its default.")
    return node


class Choice:
    """One of a few words; YAML's own reading of `off` does not matter."""

    __slots__ = ("options",)

    def __init__(self, options: Sequence[str]) -> None:
        self.options = options

    def read(self, node: Node, key: str, reader: Reader) -> str:
        """Return the word."""
        expected = ", ".join(self.options[:-1]) + " or " + self.options[-1] if self.options[1:] else ""
        text = str(_scalar(node, key, reader, expected or self.options[0]).value)
        if text == "false" and "off" in self.options:
            return "off"
        if text not in self.options:
            reader.fail(
                node, key, f"{shown(text)} is not known{meant(text, self.options)}", expected=expected
            )
        return text

    def schema(self) -> Schema:
        """Return an enumeration; `off` is a boolean to readers of YAML 1.1, so `false` goes too."""
        return {"enum": [*self.options, *([False] if "off" in self.options else [])]}


class Flag:
    """`true` or `false`."""

    def read(self, node: Node, key: str, reader: Reader) -> bool:
        """Return the truth value."""
        found = _scalar(node, key, reader, "true or false")
        if found.tag != f"{_TAG}bool" or found.value not in ("true", "false"):
            reader.fail(node, key, f"{shown(found.value)} is neither", expected="true or false")
        return bool(found.value == "true")

    def schema(self) -> Schema:
        """Return a boolean."""
        return {"type": "boolean"}


class Whole:
    """A whole number within bounds, both included."""

    __slots__ = ("high", "low")

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def read(self, node: Node, key: str, reader: Reader) -> int:
        """Return the number."""
        expected = f"a whole number from {self.low} to {self.high}"
        found = _scalar(node, key, reader, expected)
        if found.tag != f"{_TAG}int" or not _NUMBER.fullmatch(found.value):
            reader.fail(node, key, f"{shown(found.value)} is none", expected=expected)
        number = int(found.value)
        if not self.low <= number <= self.high:
            reader.fail(node, key, f"{number} is out of bounds", expected=expected)
        return number

    def schema(self) -> Schema:
        """Return a bounded integer."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


class Words:
    """Text on one line.

    `wrong` returns what is wrong with a text, or None; `pattern` is for JSON Schema and says what
    a regular expression can of the same.
    """

    __slots__ = ("expected", "limit", "pattern", "wrong")

    def __init__(
        self,
        *,
        expected: str = "text on one line",
        limit: int = 500,
        wrong: Callable[[str], str | None] | None = None,
        pattern: str | None = None,
    ) -> None:
        self.expected = expected
        self.limit = limit
        self.wrong = wrong
        self.pattern = pattern

    def read(self, node: Node, key: str, reader: Reader) -> str:
        """Return the text."""
        found = _scalar(node, key, reader, self.expected)
        text = str(found.value)
        if found.tag != f"{_TAG}str":
            kind = found.tag.removeprefix(_TAG)
            reader.fail(
                node,
                key,
                f"{shown(text)} is read as {kind}",
                expected=self.expected,
                advice="Put quotes around it.",
            )
        if not text.strip():
            reader.fail(node, key, "is empty", expected=self.expected)
        if len(text) > self.limit:
            reader.fail(node, key, f"is {len(text)} characters long", expected=f"at most {self.limit}")
        if not text.isprintable():
            reader.fail(node, key, "holds control characters or line breaks", expected=self.expected)
        trouble = self.wrong(text) if self.wrong is not None else None
        if trouble is not None:
            reader.fail(node, key, f"{shown(text)} {trouble}", expected=self.expected)
        return text

    def schema(self) -> Schema:
        """Return a bounded string."""
        made: Schema = {"type": "string", "minLength": 1, "maxLength": self.limit}
        if self.pattern is not None:
            made["pattern"] = self.pattern
        return made


class Day:
    """A day as `2027-01-31`, quoted or not."""

    def read(self, node: Node, key: str, reader: Reader) -> date:
        """Return the day."""
        expected = "a day such as 2027-01-31"
        text = str(_scalar(node, key, reader, expected).value)
        day = _day(text)
        if day is None:
            reader.fail(node, key, f"{shown(text)} is none", expected=expected)
        return day

    def schema(self) -> Schema:
        """Return a date as text."""
        return {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}


class ListOf:
    """A list of one shape."""

    __slots__ = ("item", "most")

    def __init__(self, item: Shape, *, most: int = MAX_ITEMS) -> None:
        self.item = item
        self.most = most

    def read(self, node: Node, key: str, reader: Reader) -> tuple[Any, ...]:
        """Return the items in order."""
        reader.visit(node, key)
        if not isinstance(node, SequenceNode):
            reader.fail(node, key, f"is {_kind(node)}", expected="a list")
        if len(node.value) > self.most:
            reader.fail(node, key, f"has {len(node.value)} items", expected=f"at most {self.most}")
        made: list[Any] = []
        for number, item in enumerate(node.value):
            try:
                made.append(self.item.read(item, f"{key}[{number}]", reader))
            except ConfigurationError as problem:
                reader.note(problem)
        return tuple(made)

    def schema(self) -> Schema:
        """Return an array."""
        return {"type": "array", "items": self.item.schema(), "maxItems": self.most}


class Field:
    """One key of a record, and in one sentence what it is for."""

    __slots__ = ("shape", "summary")

    def __init__(self, shape: Shape, summary: str) -> None:
        self.shape = shape
        self.summary = summary


class Record:
    """A mapping with known keys.

    At least one of `one_of` must be there.  `check` returns key, problem and what was expected
    where the values do not fit each other.  `elsewhere` holds keys that people may look for here,
    and where they belong; `forbidden` names those of `fields` that are none in this file.
    """

    __slots__ = ("check", "elsewhere", "fields", "forbidden", "one_of", "required")

    def __init__(
        self,
        *,
        fields: Mapping[str, Field],
        required: tuple[str, ...] = (),
        one_of: tuple[str, ...] = (),
        check: Callable[[Mapping[str, Any]], tuple[str, str, str] | None] | None = None,
        elsewhere: Mapping[str, str] = MappingProxyType({}),
        forbidden: tuple[str, ...] = (),
    ) -> None:
        self.fields = fields
        self.required = required
        self.one_of = one_of
        self.check = check
        self.elsewhere = elsewhere
        self.forbidden = forbidden

    def read(self, node: Node, key: str, reader: Reader) -> dict[str, Any]:
        """Return the values of the keys that are there."""
        reader.visit(node, key)
        if not isinstance(node, MappingNode):
            reader.fail(node, key, f"is {_kind(node)}", expected="a mapping of keys to values")
        made: dict[str, Any] = {}
        places: dict[str, Node] = {}
        for name_node, value in node.value:
            try:
                self._entry(name_node, value, key, reader, made, places)
            except ConfigurationError as problem:
                reader.note(problem)
        self._whole(node, key, reader, made, places)
        return made

    def _entry(
        self,
        name_node: Node,
        value: Node,
        key: str,
        reader: Reader,
        made: dict[str, Any],
        places: dict[str, Node],
    ) -> None:
        name = self._name(name_node, key, reader)
        full = f"{key}.{name}" if key else name
        if name in places:
            first = places[name].start_mark.line + 1
            reader.fail(name_node, full, f"stands twice, first in line {first}", expected="each key once")
        places[name] = name_node
        made[name] = self.fields[name].shape.read(value, full, reader)

    def _name(self, node: Node, key: str, reader: Reader) -> str:
        if not isinstance(node, Scalar):
            reader.fail(node, key, "has a key that is no text", expected="a key")
        name = str(node.value)
        if name == "<<":
            reader.fail(node, key, "merge keys have no meaning here", expected="plain keys")
        if name in self.elsewhere and (name not in self.fields or name in self.forbidden):
            reader.fail(node, f"{key}.{name}" if key else name, self.elsewhere[name])
        if name not in self.fields:
            known = [one for one in self.fields if one not in self.forbidden]
            reader.fail(
                node,
                key,
                f"unknown key {shown(name)}{meant(name, known)}",
                expected="one of " + ", ".join(known),
            )
        return name

    def _whole(
        self, node: Node, key: str, reader: Reader, made: Mapping[str, Any], places: Mapping[str, Node]
    ) -> None:
        for name in self.required:
            if name not in places:
                reader.fail(node, key, f"{name!r} is missing", expected=f"the key {name!r}")
        if self.one_of and not any(name in places for name in self.one_of):
            reader.fail(node, key, "says nothing", expected="at least one of " + ", ".join(self.one_of))
        trouble = self.check(made) if self.check is not None and made.keys() == places.keys() else None
        if trouble is not None:
            name, problem, expected = trouble
            reader.fail(places.get(name, node), f"{key}.{name}" if key else name, problem, expected=expected)

    def schema(self) -> Schema:
        """Return an object that takes no other keys."""
        made: Schema = {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                name: {"description": one.summary, **one.shape.schema()}
                for name, one in self.fields.items()
                if name not in self.forbidden
            },
        }
        if self.required:
            made["required"] = list(self.required)
        if self.one_of:
            made["anyOf"] = [{"required": [name]} for name in self.one_of]
        return made


class WordOrRecord:
    """One word, or a mapping where the word is not enough."""

    __slots__ = ("name", "record", "word")

    def __init__(self, word: Choice, name: str, record: Record) -> None:
        self.word = word
        self.name = name
        self.record = record

    def read(self, node: Node, key: str, reader: Reader) -> dict[str, Any]:
        """Return the record, with one key where there is just the word."""
        if isinstance(node, MappingNode):
            return self.record.read(node, key, reader)
        return {self.name: self.word.read(node, key, reader)}

    def schema(self) -> Schema:
        """Return both as alternatives."""
        return {"oneOf": [self.word.schema(), self.record.schema()]}


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def _kind(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    return "empty" if node.tag == f"{_TAG}null" else shown(str(node.value))


def meant(text: str, known: Sequence[str]) -> str:
    """Return `; did you mean ...?` where one of the known words is near, else nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 - only where something is wrong already

    wanted = text[:_SHOWN].strip().lower().replace("_", "-")
    near = get_close_matches(wanted, list(known), n=1, cutoff=0.6)
    return f"; did you mean {str(near[0])!r}?" if near else ""
