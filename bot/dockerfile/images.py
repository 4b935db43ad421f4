"""The images of a Dockerfile: stages, build arguments, and what each reference comes to.

Follows BuildKit: a global ARG feeds FROM and one behind a FROM never does, stage names mask images
from their line on, and no variable is expanded in a `from`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from bot.dockerfile.instructions import MAX_FLAGS, Flag, Instruction, Reader, flags, quoted_words, words
from bot.dockerfile.words import (
    MAX_LENGTH,
    MAX_RUNS,
    NOT_TOLD,
    UNKNOWN,
    Budget,
    Glob,
    Run,
    Traced,
    Value,
    expand,
)
from bot.model import ImageReference, SkipReason, Span, State
from bot.reference import parse_image

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

_KEYWORD = re.compile(
    "add|arg|cmd|copy|entrypoint|env|expose|healthcheck|label|maintainer|onbuild|run|shell|stopsignal|user|volume|"
    "workdir"
)

_TEMPLATE = re.compile(
    r"\{\{|\{%|<%|\$\(|(?<![A-Za-z0-9_])#\{|@[A-Za-z_][A-Za-z0-9_.-]*@|%%[A-Za-z_][A-Za-z0-9_]*%%"
)
_OPENINGS = {b"{{": b"}}", b"{%": b"%}", b"<%": b"%>"}
_NUMBER = re.compile(rb"[+-]?[0-9]+")
_NOT_PRINTED = re.compile(rb"[|>`]|\$\(")
_PRINTS = re.compile(rb"[\t ]*(?:echo|printf)[\t ]")
_COMMANDS = re.compile(rb"&&|\|\||;")
_MENTIONS = 32
"""Build arguments of one file whose further uses are looked at; the rest counts as shared."""
_TROUBLE = 20

_FILLED = "A template fills this in."
_BROKEN = "It is written with quotes, escapes or a line break inside."
_SUGGESTION = (
    "A digest behind a variable makes overrides fail in silence: put the whole reference into one ARG, or write the "
    "tag here."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One reference in a Dockerfile, offsets relative to the bytes that were given."""

    where: str
    """`FROM`, `COPY --from`, `ADD --from`, `RUN --mount from`, `# syntax`, each perhaps after `ONBUILD`."""
    span: Span
    """The bytes of `value`, on one physical line."""
    value: str
    """The exact text at the span."""
    reference: ImageReference | None
    state: State
    skip: SkipReason | None
    note: str = ""
    argument: str | None = None
    """The ARG whose default holds the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    uses: tuple[Use, ...]
    """By place; no two share one."""
    trouble: tuple[tuple[int, str], ...]
    """1-based line and detail of what could not be read."""
    arguments: frozenset[str]
    """Names of the build arguments that feed images."""


def scan(data: bytes, *, passed: Collection[str] = (), contexts: Collection[str] = ()) -> Scan:
    """Return every reference to an image in a Dockerfile; never raises, in time linear in `data`.

    `passed` names build arguments given from outside, whose defaults are thus not what is used;
    `contexts` names build contexts, which mask images as stages do.
    """
    return _Scanner(data, frozenset(passed), frozenset(contexts)).scan()


@dataclass(slots=True, kw_only=True)
class _Declaration:
    name: str
    literal: Span | None
    """Where the default's text stands, if it is one plain literal within this declaration."""
    pure: bool
    holders: frozenset[int]


@dataclass(slots=True, kw_only=True)
class _From:
    """A FROM that is judged once all of them are known."""

    where: str
    word: Traced
    value: Value


@dataclass(slots=True, kw_only=True)
class _Stages:
    names: set[str] = field(default_factory=set)

    def add(self, name: bytes) -> None:
        self.names.add(name.decode("utf-8", "replace").lower())

    def __contains__(self, text: bytes) -> bool:
        return text.decode("utf-8", "replace").lower() in self.names


class _Scanner:
    def __init__(self, data: bytes, passed: frozenset[str], contexts: frozenset[str]) -> None:
        self.data = data
        self.passed = passed
        self.contexts = contexts
        self.context_images = {_familiar(one) for name in contexts if (one := parse_image(name)) is not None}
        self.reader = Reader(data)
        self.budget = Budget()
        self.values: dict[str, Value] = dict.fromkeys(PREDEFINED, Value(text=NOT_TOLD, pure=False))
        self.declarations: list[_Declaration] = []
        self.declared: dict[str, int] = defaultdict(int)
        self.redeclared: dict[str, int] = {}
        self.stages = _Stages()
        self.staged = False
        self.froms: list[_From] = []
        self.outcomes: dict[int, set[Span | None]] = defaultdict(set)
        self.copies: dict[int, set[str]] = defaultdict(set)
        self.arguments: set[str] = set()
        self.uses: dict[Span, Use] = {}
        self.after: list[Instruction] = []
        self.trouble: list[tuple[int, str]] = []
        self.unknown_keyword = False

    def scan(self) -> Scan:
        self._syntax()
        for instruction in self.reader.instructions():
            self._instruction(instruction)
        self._derived()
        for found in self.froms:
            self._judge_from(found)
        trouble = sorted({*self.reader.trouble, *self.trouble})[:_TROUBLE]
        return Scan(
            uses=tuple(self.uses[span] for span in sorted(self.uses)),
            trouble=tuple(trouble),
            arguments=frozenset(name for name in self.arguments - PREDEFINED if name.isidentifier()),
        )

    # --- instructions ---------------------------------------------------------------------

    def _syntax(self) -> None:
        syntax = self.reader.syntax
        if syntax is None:
            return
        overridden = "BUILDKIT_SYNTAX" in self.passed
        span = syntax.value
        text = Traced((Run(self.data[span.start : span.end], span.start),))
        self._literal(f"{syntax.mark} syntax", text, overridden=overridden)

    def _instruction(self, instruction: Instruction) -> None:
        keyword = instruction.keyword
        if keyword == "from":
            self._from(instruction)
            return
        if self.staged:
            self.after.append(instruction)
        if keyword == "arg":
            self._arg(instruction)
        elif keyword in ("copy", "add"):
            self._copy(instruction)
        elif keyword == "run":
            self._run(instruction)
        elif not self.unknown_keyword and not _KEYWORD.fullmatch(keyword) and not self._custom(keyword):
            self.unknown_keyword = True
            self.trouble.append((instruction.line, "This line begins with no instruction of a Dockerfile."))

    def _custom(self, keyword: str) -> bool:
        """Return whether another program gives the word its meaning: a template's or a frontend's."""
        syntax = self.reader.syntax
        if syntax is not None:
            value = self.data[syntax.value.start : syntax.value.end]
            if syntax.mark == "//" or not value.startswith(
                (b"docker/dockerfile", b"docker.io/docker/dockerfile")
            ):
                return True
        return keyword.startswith(("{", "<", "@", "%", "$", "#"))

    def _arg(self, instruction: Instruction) -> None:
        _, rest = flags(instruction.text)
        for word in quoted_words(rest, self.reader.escape):
            name, equals, _ = word.text.partition(b"=")
            known_as = name.decode("utf-8", "replace")
            if self.staged:
                if not equals and not instruction.trigger:
                    self.redeclared.setdefault(known_as, instruction.end)
            elif len(self.declarations) >= MAX_DECLARATIONS:
                self.budget.exceeded = True
                self.trouble.append(
                    (instruction.line, f"More than {MAX_DECLARATIONS} build arguments have a default.")
                )
                return
            elif equals and not instruction.trigger:
                self._declare(known_as, word.cut(len(name) + 1, len(word.text)))

    def _declare(self, name: str, default: Traced) -> None:
        value = expand(default, self.values, escape=self.reader.escape, budget=self.budget)
        number = len(self.declarations)
        place = value.text.place
        own = default.place
        inside = place is not None and own is not None and own.start <= place.start and place.end <= own.end
        self.declared[name] += 1
        self.declarations.append(
            _Declaration(
                name=name,
                literal=place if value.pure and inside else None,
                pure=value.pure,
                holders=value.holders,
            )
        )
        too_long = len(value.text.text) > MAX_LENGTH or len(value.text.runs) > MAX_RUNS
        if name not in PREDEFINED:
            self.values[name] = Value(
                text=NOT_TOLD if too_long else value.text,
                pure=value.pure,
                names=value.names | {name},
                holders=value.holders | {number},
            )

    def _from(self, instruction: Instruction) -> None:
        given, rest = flags(instruction.text)
        for flag in given:
            if flag.name == b"platform" and flag.value is not None:
                self._feeds(self._expand(flag.value), None)
        found = list(words(rest))
        prefix = "ONBUILD " if instruction.trigger else ""
        if not found:
            self.trouble.append((instruction.line, "FROM names no image."))
        else:
            template = _templated(rest)
            word = rest.cut(0, template) if template else found[0]
            others = list(words(rest.cut(template, len(rest.text)))) if template else found[1:]
            named = len(others) == 2 and others[0].text.lower() == b"as"
            if others and not named and not _TEMPLATE.search(rest.text.decode("latin-1")):
                self.trouble.append(
                    (instruction.line, "FROM takes one image and `AS` with a name behind it.")
                )
            self._base(f"{prefix}FROM", word)
            if named and not instruction.trigger:
                self.stages.add(others[1].text)
        if not instruction.trigger:
            self.staged = True

    def _base(self, where: str, word: Traced) -> None:
        value = self._expand(word)
        if not value.problem and self._is_stage(value):
            self._feeds(value, None)
            return
        self._feeds(value, value.text.place if value.pure and value.text.known else None)
        self.froms.append(_From(where=where, word=word, value=value))

    def _expand(self, word: Traced) -> Value:
        return expand(word, self.values, escape=self.reader.escape, budget=self.budget)

    def _feeds(self, value: Value, place: Span | None) -> None:
        self.arguments |= value.names
        for holder in value.holders:
            self.outcomes[holder].add(place)

    def _is_stage(self, value: Value) -> bool:
        """Return whether a FROM takes a stage, a context or nothing at all."""
        text = value.text
        if text.known:
            return text.text == b"scratch" or self._masked(text.text)
        if not value.literal or not self.budget.spend(len(self.stages.names) * 8):
            return False
        tokens: list[int | None] = []
        for run in text.runs:
            tokens += [None] if run.origin == UNKNOWN else list(run.text.lower())
        glob = Glob(tokens)
        return any(glob.matches(name.encode()) for name in self.stages.names)

    def _masked(self, text: bytes) -> bool:
        if text in self.stages:
            return True
        if not self.contexts:
            return False
        name = text.decode("utf-8", "replace")
        image = parse_image(name)
        return name in self.contexts or (image is not None and _familiar(image) in self.context_images)

    def _copy(self, instruction: Instruction) -> None:
        if not instruction.text.text.startswith(b"--"):
            return
        for flag in self._flags(instruction):
            if flag.name == b"from" and flag.value is not None:
                self._source(f"{instruction.keyword.upper()} --from", flag.value, instruction)

    def _flags(self, instruction: Instruction) -> list[Flag]:
        found, rest = flags(instruction.text)
        if len(instruction.text.text) - len(rest.text) >= MAX_FLAGS - 1:
            self.trouble.append((instruction.line, f"The flags here take more than {MAX_FLAGS} bytes."))
        return found

    def _run(self, instruction: Instruction) -> None:
        if not instruction.text.text.startswith(b"--"):
            return
        for flag in self._flags(instruction):
            if flag.name == b"mount" and flag.value is not None:
                self._mount(flag.value, instruction)

    def _mount(self, mount: Traced, instruction: Instruction) -> None:
        sources, kind = [], b"bind"
        for option in _csv(mount):
            key, equals, value = option.text.partition(b"=")
            if key.lower() == b"from" and equals:
                sources.append(option.cut(len(key) + 1, len(option.text)))
            elif key.lower() == b"type":
                kind = value.lower()
        for source in sources:
            # The last `from` of one mount is the one that counts; the others are told all the same.
            unused = kind in (b"tmpfs", b"secret", b"ssh") or source is not sources[-1]
            self._source("RUN --mount from", source, instruction, unused=unused)

    def _source(self, where: str, text: Traced, instruction: Instruction, *, unused: bool = False) -> None:
        """Judge the `from` of COPY, ADD or a mount."""
        where = f"ONBUILD {where}" if instruction.trigger else where
        name = text.text
        if not name or name == b"scratch" or _NUMBER.fullmatch(name) or self._masked(name):
            return
        skip, note = None, ""
        if unused:
            skip, note = SkipReason.UNSUPPORTED, "This mount takes no image from here."
        elif instruction.trigger and not re.search(rb"[:@/]", name):
            skip = SkipReason.UNSUPPORTED
            note = "It may name a stage of the Dockerfile that builds on this image."
        self._literal(where, text, skip=skip, note=note)

    def _whole_template(self, text: Traced) -> Traced:
        """Return `text` up to the end of a template's expression that blanks cut off from it."""
        start = text.runs[0].origin
        for opening, closing in _OPENINGS.items():
            if text.text.rfind(opening) > text.text.rfind(closing):
                line = self.data.find(b"\n", start)
                end = self.data.find(closing, start, line if line >= 0 else len(self.data))
                if end >= 0:
                    return Traced((Run(self.data[start : end + len(closing)], start),))
        return text

    # --- judgement ------------------------------------------------------------------------

    def _literal(
        self,
        where: str,
        text: Traced,
        *,
        overridden: bool = False,
        skip: SkipReason | None = None,
        note: str = "",
    ) -> None:
        """Judge text in which no variable is expanded."""
        name = text.text.decode("utf-8", "replace")
        if _TEMPLATE.search(name):
            self._unknown(where, self._whole_template(text), SkipReason.VARIABLE, _FILLED)
        elif "$" in name[:-1]:
            self._unknown(
                where,
                text,
                SkipReason.VARIABLE,
                "No variable is expanded here: name a stage with FROM and take that."
                if where != "# syntax"
                else "No variable is expanded here.",
            )
        else:
            if overridden:
                skip = SkipReason.OVERRIDDEN
            self._known(where, text, text, skip, note)

    def _unknown(self, where: str, place: Traced, skip: SkipReason, note: str) -> None:
        self._add(where, place, None, State.UNKNOWN, skip, note)

    def _known(
        self,
        where: str,
        text: Traced,
        place: Traced,
        skip: SkipReason | None,
        note: str = "",
        argument: str | None = None,
    ) -> None:
        """Add the reference that `text` is, told at `place`."""
        name = text.text.decode("utf-8", "replace")
        reference = parse_image(name)
        if reference is None and _TEMPLATE.search(name):
            self._add(where, place, None, State.UNKNOWN, SkipReason.VARIABLE, _FILLED, argument)
        elif reference is None:
            self._add(where, place, None, State.UNKNOWN, SkipReason.INVALID, "", argument)
        elif reference.digest is not None:
            self._add(where, place, reference, State.PINNED, SkipReason.PINNED, "", argument)
        elif skip is None and place.place is None:
            self._add(where, place, reference, State.FLOATING, SkipReason.ESCAPED, _BROKEN, argument)
        else:
            self._add(where, place, reference, State.FLOATING, skip, note, argument)

    def _add(
        self,
        where: str,
        place: Traced,
        reference: ImageReference | None,
        state: State,
        skip: SkipReason | None,
        note: str,
        argument: str | None = None,
    ) -> None:
        run = place.runs[0]
        span = Span(run.origin, run.origin + len(run.text))
        if span in self.uses:
            return
        try:
            shown = run.text.decode("utf-8")
        except UnicodeDecodeError:
            if len(self.trouble) < _TROUBLE:
                line = self.data.count(b"\n", 0, run.origin) + 1
                self.trouble.append((line, f"The image of {where} is not UTF-8."))
            return
        self.uses[span] = Use(
            where=where,
            span=span,
            value=shown,
            reference=reference,
            state=state,
            skip=skip,
            note=note,
            argument=argument,
        )

    def _derived(self) -> None:
        """Note which declarations change with another one's default though no FROM asks for them."""
        for declaration in self.declarations:
            for holder in declaration.holders:
                self.copies[holder].add(declaration.name)
                if not declaration.pure:
                    self.outcomes[holder].add(None)

    def _judge_from(self, found: _From) -> None:
        where, word, value = found.where, found.word, found.value
        raw = word.text.decode("utf-8", "replace")
        passed = sorted(value.names & self.passed)
        if _TEMPLATE.search(raw):
            self._unknown(where, word, SkipReason.VARIABLE, _FILLED)
        elif value.problem:
            self._unknown(where, word, SkipReason.VARIABLE, value.problem)
        elif not value.text.known:
            self._untold(where, word, value)
        elif not value.names:
            if value.text.place is not None:
                self._known(where, value.text, value.text, None)
            else:
                self._known(where, value.text, word, SkipReason.ESCAPED, _BROKEN)
        elif not value.text.text:
            self._unknown(
                where, word, SkipReason.VARIABLE, "With the defaults in this file it comes to nothing."
            )
        elif not value.pure:
            if passed:
                note = f"{passed[0]} is passed from outside. {_SUGGESTION}"
                self._add(where, word, None, State.UNKNOWN, SkipReason.PARTIAL_VARIABLE, note)
            else:
                self._known(where, value.text, word, SkipReason.PARTIAL_VARIABLE, _SUGGESTION)
        elif value.text.place is None:
            self._known(where, value.text, word, SkipReason.ESCAPED, "The default holds quotes or escapes.")
        else:
            self._held(where, word, value, passed)

    def _untold(self, where: str, word: Traced, value: Value) -> None:
        untold = sorted(name for name in value.names if name not in self.values or not self._told(name))
        note = f"The file does not say what {untold[0] if untold else 'its variable'} is."
        if value.literal:
            self._unknown(where, word, SkipReason.PARTIAL_VARIABLE, f"{note} {_SUGGESTION}")
        else:
            self._unknown(where, word, SkipReason.VARIABLE, note)

    def _told(self, name: str) -> bool:
        return self.values[name].text.known

    def _held(self, where: str, word: Traced, value: Value, passed: list[str]) -> None:
        """Judge a FROM whose reference is one literal elsewhere: an ARG's default, or one in `${}`."""
        place = value.text.place
        holder = next(
            (
                number
                for number in sorted(value.holders)
                if place is not None and self.declarations[number].literal == place
            ),
            None,
        )
        skip, note, argument = None, "", _asked(word)
        if holder is not None:
            argument = self.declarations[holder].name
            skip, note = self._shared(holder, place)
        if passed:
            skip, note = SkipReason.OVERRIDDEN, f"{passed[0]} is passed from outside."
        self._known(where, value.text, value.text, skip, note, argument)

    def _shared(self, holder: int, place: Span | None) -> tuple[SkipReason | None, str]:
        name = self.declarations[holder].name
        if self.declared[name] > 1:
            return SkipReason.SHARED_VARIABLE, f"{name} is declared more than once."
        if self.budget.exceeded or self.outcomes[holder] != {place}:
            return SkipReason.SHARED_VARIABLE, f"{name} feeds something else too."
        note = ""
        for copy in sorted((self.copies[holder] | {name}) & self.redeclared.keys()):
            uses = self._further_uses(copy, self.redeclared[copy])
            if not all(printed for printed in uses):
                return SkipReason.SHARED_VARIABLE, f"A stage takes {copy} for something else too."
            note = f"A stage prints {copy}: the digest will show there." if uses else note
        return None, note

    def _further_uses(self, name: str, start: int) -> list[bool]:
        """Return of each instruction from `start` on that mentions a build argument if it only shows it."""
        if not self.budget.spend(len(self.data) // _MENTIONS):
            return [False]
        pattern = re.compile(rb"(?<![A-Za-z0-9_])" + re.escape(name.encode()) + rb"(?![A-Za-z0-9_])")
        starts = [one.start for one in self.after]
        shown: dict[int, bool] = {}
        for found in pattern.finditer(self.data, start):
            index = bisect_right(starts, found.start()) - 1
            if index < 0 or index in shown or found.start() >= self.after[index].end:
                continue
            if not _declares(self.after[index], pattern):
                shown[index] = _prints(self.after[index], pattern)
        return list(shown.values())


def _declares(instruction: Instruction, pattern: re.Pattern[bytes]) -> bool:
    """Return whether an instruction only takes the variable that `pattern` finds into its stage."""
    if instruction.keyword != "arg" or instruction.trigger:
        return False
    return not any(b"=" in word and pattern.search(word) for word in instruction.text.text.split())


def _prints(instruction: Instruction, pattern: re.Pattern[bytes]) -> bool:
    """Return whether an instruction only shows the variable that `pattern` finds."""
    text = instruction.text.text
    if instruction.trigger or instruction.heredoc:
        return False
    if instruction.keyword == "label":
        return True
    if instruction.keyword != "run":
        return False
    return all(
        _PRINTS.match(command) is not None and _NOT_PRINTED.search(command) is None
        for command in _COMMANDS.split(text)
        if pattern.search(command)
    )


def _asked(word: Traced) -> str | None:
    """Return the name of the outermost variable of a word that is one substitution."""
    found = re.search(rb"\$\{?([A-Za-z_][A-Za-z0-9_]*)", word.text)
    return found.group(1).decode("ascii") if found else None


def _familiar(image: ImageReference) -> tuple[str, str, str | None, str | None]:
    return image.registry, image.repository, image.followed_tag, image.digest


def _templated(text: Traced) -> int:
    """Return where a template's expression at the beginning of a FROM ends, or 0 where there is none."""
    for opening, closing in _OPENINGS.items():
        begin = text.text.find(opening)
        if begin < 0 or re.search(rb"[\t ]", text.text[:begin]):
            continue
        end = text.text.rfind(closing)
        as_name = re.search(rb"(?i)[\t ]as[\t ]+[^\t ]+[\t ]*\Z", text.text)
        stop = as_name.start() if as_name and end < as_name.start() else len(text.text)
        return len(text.text[:stop].rstrip(b"\t\v\f\r "))
    return 0


def _csv(text: Traced) -> Iterator[Traced]:
    """Yield the fields of one CSV record (RFC 4180, as BuildKit reads the options of a mount)."""
    data, at = text.text, 0
    while at <= len(data):
        if not data.startswith(b'"', at):
            end = data.find(b",", at)
            end = len(data) if end < 0 else end
            yield text.cut(at, end)
            at = end + 1
            continue
        runs: list[Run] = []
        at += 1
        while at < len(data):
            end = data.find(b'"', at)
            end = len(data) if end < 0 else end
            runs += text.cut(at, end).runs
            at = end + 1
            if not data.startswith(b'"', at):
                break
            runs += text.cut(at, at + 1).runs
            at += 1
        yield Traced(runs)
        end = data.find(b",", at)
        at = len(data) + 1 if end < 0 else end + 1
