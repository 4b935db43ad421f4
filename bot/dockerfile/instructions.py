"""The lines of a Dockerfile: directives, comments, continuations, heredocs and flags.

Follows BuildKit's parser (Dockerfile reference, "Format", "Parser directives", "Here-Documents").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bot.dockerfile.words import EMPTY, Run, Traced
from bot.model import Span
from bot.source import BOM

MAX_LINES = 10_000
"""Lines of one instruction, continuations included, that are read."""
MAX_JSON = 65_536
"""Bytes of a file that is looked at as JSON."""
MAX_FLAGS = 65_536
"""Bytes at the beginning of an instruction in which flags are looked for."""

_SPACE = rb"(?:[\t\n\v\f\r ]|\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80)*"
_LEADING = re.compile(_SPACE)
_DIRECTIVE = re.compile(rb"([A-Za-z][A-Za-z0-9]*)[\t\n\f\r ]*=")
_JSON_SYNTAX = re.compile(rb'"syntax"[\t\n\r ]*:[\t\n\r ]*"([^"\\]{1,1000})"')
_KEYWORD = re.compile(rb"[^\t\v\f\r ]+")
_UNREAD = re.compile(
    rb"(?i)(cmd|entrypoint|env|expose|healthcheck|label|maintainer|shell|stopsignal|user|volume|workdir)[\t\v\f\r ]"
)
_BLANK = b"\t\n\v\f\r "
_BLANKS = re.compile(rb"[\t\n\v\f\r ]*")
_IN_FLAG = re.compile(rb"[^\t\n\v\f\r '\"\\]+")
_WORD = re.compile(rb"[^\t\v\f\r ]+")
_ARG_PLAIN = re.compile(rb"[^\t\n\v\f\r '\"\\`]+")
_HEREDOC = re.compile(rb"[0-9]*<<(-?)([^<]+)")
_SHELL = re.compile(rb"\\.?|'|\"|\$\{|\}|[\t\n\v\f\r ]+|[^\\'\"${}\t\n\v\f\r ]+|[${]", re.DOTALL)
_SINGLE = re.compile(rb"[^']+|'")
_CLOSED_BY = {b"'": b"'", b'"': b'"', b"${": b"}"}
_DELIMITER = re.compile(rb"[A-Za-z_][\w.-]*")
_DELIMITER_END = re.compile(rb"[;|&<>()].*", re.DOTALL)
_QUOTED = re.compile(rb"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"|\\(.)", re.DOTALL)
_DIRECTIVES = frozenset({"syntax", "escape", "check"})
_WITH_HEREDOC = frozenset({"run", "copy", "add"})
_DEFAULT_ESCAPE = ord("\\")


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """A parser directive that BuildKit would take."""

    name: str
    mark: str
    """`#` or `//`, which introduce it; `{` where the file is JSON."""
    value: Span
    """Empty values are none."""
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    keyword: str
    """In lower case; `onbuild` is left off and told by `trigger`."""
    trigger: bool
    text: Traced
    """What follows the keyword, continuations joined; empty where no image can be named."""
    start: int
    end: int
    """Offset behind the last line, heredoc bodies included."""
    line: int
    heredoc: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    name: bytes
    value: Traced | None
    """Unquoted; None where there is no `=`."""


class Reader:
    """Reads one Dockerfile from its first line to its last."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = len(BOM) if data.startswith(BOM) else 0
        self._line = 0
        self._last: dict[bytes, int] | None = None
        self.trouble: list[tuple[int, str]] = []
        self.escape = _DEFAULT_ESCAPE
        self.syntax = _syntax(data)
        self._read_escape()

    def _read_escape(self) -> None:
        seen = set()
        for directive in _directives(self._data, self._at, mark=b"#", line=1, indented=True):
            if directive.name in seen:
                self.trouble.append((directive.line, f"The directive {directive.name} stands here again."))
                return
            seen.add(directive.name)
            value = self._data[directive.value.start : directive.value.end]
            if directive.name == "escape":
                if value in (b"\\", b"`"):
                    self.escape = value[0]
                else:
                    self.trouble.append((directive.line, "The escape directive takes ` or \\ alone."))

    def _next_line(self) -> Span | None:
        """Return the next line without its ending, or None at the end of the file."""
        start = self._at
        if start >= len(self._data):
            return None
        end = self._data.find(b"\n", start)
        self._at = len(self._data) if end < 0 else end + 1
        end = self._at if end < 0 else end
        while end > start and self._data[end - 1] in b"\r\n":
            end -= 1
        self._line += 1
        return Span(start, end)

    def _continued(self, start: int, end: int) -> int | None:
        """Return where the text of a line that goes on ends, or None where it does not go on."""
        while end > start and self._data[end - 1] in b" \t":
            end -= 1
        if end == start or self._data[end - 1] != self.escape:
            return None
        if end - 1 > start and self._data[end - 2] == self.escape:
            return None
        return end - 1

    def instructions(self) -> Iterator[Instruction]:
        """Yield the instructions in order; `trouble` is complete once all are taken."""
        data = self._data
        while (found := self._next_line()) is not None:
            begin = _skip(data, found.start, found.end)
            if begin == found.end or data[begin] == ord("#"):
                continue
            line, lines, runs = self._line, 1, []
            more = self._continued(begin, found.end)
            runs.append(Run(data[begin : found.end if more is None else more], begin))
            end = found.end
            while more is not None and (following := self._next_line()) is not None:
                lines += 1
                inner = _skip(data, following.start, following.end)
                if inner == following.end or data[inner] == ord("#"):
                    continue
                more = self._continued(following.start, following.end)
                end = following.end
                stop = following.end if more is None else more
                if len(runs) < MAX_LINES:
                    runs.append(Run(data[following.start : stop], following.start))
            if lines > MAX_LINES:
                self.trouble.append((line, f"This instruction has more than {MAX_LINES} lines."))
            plain = _UNREAD.match(runs[0].text)
            if plain is None:
                yield from self._instruction(Traced(runs), begin, end, line)
            else:
                keyword = plain.group(1).decode("ascii").lower()
                yield Instruction(keyword=keyword, trigger=False, text=EMPTY, start=begin, end=end, line=line)

    def _instruction(self, text: Traced, start: int, end: int, line: int) -> Iterator[Instruction]:
        keyword, rest = _keyword(text)
        trigger = keyword == "onbuild"
        if trigger:
            keyword, rest = _keyword(rest)
        if not keyword:
            return
        heredoc = False
        if keyword in _WITH_HEREDOC and b"<<" in text.text and not _is_json(rest):
            for name, strip in self._heredocs(text.text):
                heredoc = True
                if not self._skip_heredoc(name, strip=strip):
                    self.trouble.append(
                        (line, "A heredoc that begins here never ends; the rest was not read.")
                    )
                    self._at = len(self._data)
                    break
            end = self._at if heredoc else end
        yield Instruction(
            keyword=keyword, trigger=trigger, text=rest, start=start, end=end, line=line, heredoc=heredoc
        )

    def _heredocs(self, text: bytes) -> list[tuple[bytes, bool]]:
        words, sure = _shell_words(text)
        found = []
        for word in words:
            match = _HEREDOC.fullmatch(word)
            name = _unquoted(match.group(2)) if match else b""
            if match is None or not name:
                continue
            if not self._ends(name):
                # `<<EOF>file` and `<<EOF;` are no delimiters that BuildKit could find again.
                name = _DELIMITER_END.sub(b"", name)
                if not self._ends(name) and not (sure and _DELIMITER.fullmatch(name)):
                    continue
            found.append((name, match.group(1) == b"-"))
        return found

    def _ends(self, name: bytes) -> bool:
        """Return whether a line that could end the heredoc `name` is still to come."""
        if self._last is None:
            self._last = {}
            at = 0
            for line in self._data.split(b"\n"):
                self._last[line.rstrip(b"\r\n").lstrip(b"\t")] = at
                at += len(line) + 1
        return self._last.get(name.lstrip(b"\t"), -1) >= self._at

    def _skip_heredoc(self, name: bytes, *, strip: bool) -> bool:
        if not self._ends(name):
            return False
        while (found := self._next_line()) is not None:
            body = self._data[found.start : found.end]
            if (body.lstrip(b"\t") if strip else body) == name:
                return True
        return False


def _skip(data: bytes, start: int, end: int) -> int:
    found = _LEADING.match(data, start, end)
    return found.end() if found else start


def _directives(data: bytes, at: int, *, mark: bytes, line: int, indented: bool) -> Iterator[Directive]:
    """Yield the directives from `at` on, up to the first line that is none."""
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        start = _skip(data, at, end) if indented else at
        if not data.startswith(mark, start, end):
            return
        found = _DIRECTIVE.match(data, _skip(data, start + len(mark), end), end)
        if found is None or (name := found.group(1).decode("ascii").lower()) not in _DIRECTIVES:
            return
        value = data[found.end() : end]
        begin = end - len(value.lstrip(b"\t\n\f\r "))
        stop = begin + len(value.strip(b"\t\n\f\r "))
        if begin >= stop:
            return
        yield Directive(name=name, mark=mark.decode("ascii"), value=Span(begin, stop), line=line)
        at, line = end + 1, line + 1


def _syntax(data: bytes) -> Directive | None:
    """Return the first syntax directive, its value up to the first space.

    A first line `#!` is passed over, and `//` may stand for `#` where there is none with `#`; without
    either the file may be JSON (BuildKit's parser, "DetectSyntax").
    """
    at, line = (len(BOM) if data.startswith(BOM) else 0), 1
    if data.startswith(b"#!", at):
        end = data.find(b"\n", at)
        at, line = (len(data) if end < 0 else end + 1), 2
    for mark in (b"#", b"//"):
        for found in _directives(data, at, mark=mark, line=line, indented=False):
            if found.name == "syntax":
                start, end = found.value.start, found.value.end
                space = data.find(b" ", start, end)
                value = Span(start, end if space < 0 else space)
                return Directive(name=found.name, mark=found.mark, value=value, line=found.line)
    return _json_syntax(data, at)


def _json_syntax(data: bytes, at: int) -> Directive | None:
    """Return the `syntax` of a file that is one JSON object as a whole, if it is written plainly."""
    if len(data) > MAX_JSON or not data[at : at + 100].lstrip().startswith(b"{"):
        return None
    try:
        found = json.loads(data[at:].decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    value = found.get("syntax")
    written = list(_JSON_SYNTAX.finditer(data, at))
    if not isinstance(value, str) or len(written) != 1 or written[0].group(1).decode("utf-8") != value:
        return None
    span = Span(*written[0].span(1))
    return Directive(name="syntax", mark="{", value=span, line=data.count(b"\n", 0, span.start) + 1)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _keyword(text: Traced) -> tuple[str, Traced]:
    start = _skip(text.text, 0, len(text.text))
    found = _KEYWORD.match(text.text, start)
    if found is None:
        return "", text
    after = _BLANKS.match(text.text, found.end())
    begin = after.end() if after else found.end()
    keyword = found.group()[:64].decode("ascii", "replace").lower()
    return keyword, text.cut(begin, len(text.text))


def flags(text: Traced) -> tuple[list[Flag], Traced]:
    """Return the `--name=value` flags at the beginning of an instruction's text, and the rest."""
    data, at = text.text[:MAX_FLAGS], 0
    found: list[Flag] = []
    while True:
        while at < len(data) and data[at] in _BLANK:
            at += 1
        if not data.startswith(b"--", at):
            return found, text.cut(at, len(text.text))
        pieces, at = _flag_word(data, at)
        if at == len(data) < len(text.text):
            return found, text.cut(at, len(text.text))
        word = Traced([run for start, end in pieces for run in text.cut(start, end).runs])
        if word.text == b"--":
            return found, text.cut(at, len(text.text))
        equals = word.text.find(b"=")
        if equals < 0:
            found.append(Flag(name=word.text[2:], value=None))
        else:
            found.append(Flag(name=word.text[2:equals], value=word.cut(equals + 1, len(word.text))))


def _flag_word(data: bytes, at: int) -> tuple[list[tuple[int, int]], int]:
    """Return the ranges of a flag's word without quotes and escapes, and where it ends."""
    pieces: list[tuple[int, int]] = []
    quote = 0
    while at < len(data):
        byte = data[at]
        if byte == ord("\\"):
            if at + 1 < len(data):
                pieces.append((at + 1, at + 2))
            at += 2
        elif quote:
            end = at
            while end < len(data) and data[end] not in (quote, ord("\\")):
                end += 1
            pieces.append((at, end))
            at = end
            if at < len(data) and data[at] == quote:
                quote, at = 0, at + 1
        elif byte in b"'\"":
            quote, at = byte, at + 1
        elif byte in _BLANK:
            break
        else:
            plain = _IN_FLAG.match(data, at)
            end = plain.end() if plain else at + 1
            pieces.append((at, end))
            at = end
    return pieces, min(at, len(data))


def words(text: Traced) -> Iterator[Traced]:
    """Yield the words of an instruction that knows no quotes when it splits, such as FROM."""
    for found in _WORD.finditer(text.text):
        yield text.cut(found.start(), found.end())


def quoted_words(text: Traced, escape: int) -> Iterator[Traced]:
    """Yield the words of ARG: quotes and escapes keep blanks together and stay in the word."""
    data, at = text.text, 0
    while at < len(data):
        if data[at] in _BLANK:
            at += 1
            continue
        start, quote = at, 0
        while at < len(data) and (quote or data[at] not in _BLANK):
            byte = data[at]
            if byte == escape and quote != ord("'"):
                at += 2
            elif quote:
                quote = 0 if byte == quote else quote
                at += 1
            elif byte in b"'\"":
                quote, at = byte, at + 1
            else:
                plain = _ARG_PLAIN.match(data, at)
                at = plain.end() if plain else at + 1
        at = min(at, len(data))
        yield text.cut(start, at)


def _is_json(text: Traced) -> bool:
    _, rest = flags(text)
    if not rest.text.startswith(b"["):
        return False
    try:
        found = json.loads(rest.text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, list) and all(isinstance(one, str) for one in found)


def _shell_words(text: bytes) -> tuple[list[bytes], bool]:
    """Return the words of a shell command, quotes kept, and whether all quotes and braces close."""
    found: list[bytes] = []
    stack: list[bytes] = []
    start, at = -1, 0
    while at < len(text):
        token = (_SINGLE if stack and stack[-1] == b"'" else _SHELL).match(text, at)
        piece = token.group() if token else text[at:]
        if piece.isspace() and not stack:
            if start >= 0:
                found.append(text[start:at])
            start = -1
        elif start < 0:
            start = at
        if stack and piece == stack[-1]:
            stack.pop()
        elif piece in _CLOSED_BY and not (piece == b"'" and b'"' in stack[-1:]):
            stack.append(_CLOSED_BY[piece])
        at += len(piece)
    if stack:
        return text.split(), False
    if start >= 0:
        found.append(text[start:])
    return found, True


def _unquoted(word: bytes) -> bytes:
    return _QUOTED.sub(lambda found: found.group(1) or found.group(2) or found.group(3) or b"", word)
