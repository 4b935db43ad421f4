"""The images of a Dockerfile: stages, sources, and what each FROM comes to.

Follows BuildKit: a stage's name masks images of the FROMs behind it and of every `from` in the file,
only the beginning of an instruction holds flags, and no variable is expanded in a `from`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from bot.dockerfile.arguments import MAX_DECLARATIONS, Arguments, outermost
from bot.dockerfile.instructions import (
    MAX_FLAGS,
    Directive,
    Flag,
    Instruction,
    Reader,
    flags,
    quoted_words,
    words,
)
from bot.dockerfile.patterns import Glob
from bot.dockerfile.uses import BROKEN, MAX_TROUBLE, MAX_USES, Use, Uses, is_template, templated, unclosed
from bot.dockerfile.words import UNKNOWN, Run, Traced, Value
from bot.model import ImageReference, SkipReason
from bot.reference import is_digest, parse_image

_KEYWORD = re.compile(
    "add|arg|cmd|copy|entrypoint|env|expose|healthcheck|label|maintainer|onbuild|run|shell|stopsignal|user|volume|"
    "workdir"
)
_TEMPLATES = ("{", "<", "@", "%", "$", "#")
_OFFICIAL = (b"docker/dockerfile", b"docker.io/docker/dockerfile")
_NUMBER = re.compile(rb"[+-]?[0-9]+")
_SURELY_IMAGE = re.compile(rb"[:@/]")
_SUGGESTION = (
    "A digest behind a variable makes overrides fail in silence: put the whole reference into one ARG, or write the "
    "tag here."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    uses: tuple[Use, ...]
    """By place; no two share one."""
    trouble: tuple[tuple[int, str], ...]
    """1-based line and detail of what could not be read."""
    arguments: frozenset[str]
    """Names of the build arguments that feed images."""


def scan(
    data: bytes, *, passed: Collection[str] = (), contexts: Collection[str] = (), buildah: bool = False
) -> Scan:
    """Return every reference to an image in a Dockerfile; never raises, in time linear in `data`.

    `passed` names build arguments given from outside, whose defaults are thus not what is used;
    `contexts` names build contexts, which mask images as stages do; `buildah` says that nothing else
    reads the file, so that `oci:1` is a folder and no image.
    """
    return _Scanner(data, frozenset(passed), frozenset(contexts), buildah=buildah).scan()


@dataclass(frozen=True, slots=True, kw_only=True)
class _From:
    """A FROM that is judged once all of them are known."""

    where: str
    word: Traced
    value: Value
    broken: str
    """Why no builder takes the line, in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """The `from` of COPY, ADD or a mount, judged once all stages are known."""

    where: str
    text: Traced
    trigger: bool
    unused: bool


class _Masks:
    """Names that stand for something else than an image: stages, and contexts from outside."""

    def __init__(self, contexts: frozenset[str]) -> None:
        self._stages: set[bytes] = set()
        self._contexts = contexts
        self._images = {_familiar(one) for name in contexts if (one := parse_image(name)) is not None}

    def __len__(self) -> int:
        return len(self._stages)

    def add(self, stage: bytes) -> None:
        self._stages.add(stage.lower())

    def __contains__(self, text: bytes) -> bool:
        if text.lower() in self._stages:
            return True
        if not self._contexts:
            return False
        name = text.decode("utf-8", "replace")
        image = parse_image(name)
        return name in self._contexts or (image is not None and _familiar(image) in self._images)

    def match(self, text: Traced) -> bool:
        """Return whether a stage's name could be `text`, whatever its unknown parts are."""
        tokens: list[int | None] = []
        for run in text.runs:
            tokens += [None] if run.origin == UNKNOWN else list(run.text.lower())
        glob = Glob(tokens)
        return any(glob.matches(name) for name in self._stages)


class _Scanner:
    """One pass over the instructions; the FROMs are judged behind it."""

    def __init__(
        self, data: bytes, passed: frozenset[str], contexts: frozenset[str], *, buildah: bool
    ) -> None:
        self._data = data
        self._passed = passed
        self._reader = Reader(data)
        self._arguments = Arguments(data, self._reader.escape)
        self._masks = _Masks(contexts)
        self._uses = Uses(data, buildah=buildah)
        self._froms: list[_From] = []
        self._origins: list[_Origin] = []
        self._cut = False
        self._staged = False
        self._after: list[Instruction] = []
        self._trouble: list[tuple[int, str]] = []
        self._strange = False

    def scan(self) -> Scan:
        if self._reader.syntax is not None:
            self._syntax(self._reader.syntax)
        for instruction in self._reader.instructions():
            self._instruction(instruction)
            if self._cut:
                self._arguments.budget.exceeded = True
                detail = f"It holds more than {MAX_USES} references and was read in part."
                self._trouble.append((instruction.line, detail))
                break
        for origin in self._origins:
            self._judge_origin(origin)
        for found in self._froms:
            self._judge(found)
        trouble = {*self._reader.trouble, *self._trouble, *self._uses.trouble}
        return Scan(
            uses=self._uses.all(),
            trouble=tuple(sorted(trouble)[:MAX_TROUBLE]),
            arguments=self._arguments.names,
        )

    # --- instructions ---------------------------------------------------------------------

    def _syntax(self, syntax: Directive) -> None:
        span = syntax.value
        text = Traced((Run(self._data[span.start : span.end], span.start),))
        overridden = "BUILDKIT_SYNTAX" in self._passed
        skip = SkipReason.OVERRIDDEN if overridden else None
        note = "BUILDKIT_SYNTAX is passed from outside." if overridden else ""
        where = "JSON syntax" if syntax.mark == "{" else f"{syntax.mark} syntax"
        self._uses.literal(where, text, skip, note)

    def _instruction(self, instruction: Instruction) -> None:
        keyword = instruction.keyword
        if keyword == "from":
            self._from(instruction)
            return
        if self._staged:
            self._after.append(instruction)
        if keyword == "arg":
            self._arg(instruction)
        elif keyword in ("copy", "add"):
            self._copy(instruction)
        elif keyword == "run":
            self._run(instruction)
        elif not self._strange and not _KEYWORD.fullmatch(keyword) and not self._custom(keyword):
            self._strange = True
            self._trouble.append((instruction.line, "This line begins with no instruction of a Dockerfile."))

    def _custom(self, keyword: str) -> bool:
        """Return whether another program gives the word its meaning: a template's or a frontend's."""
        syntax = self._reader.syntax
        if syntax is None:
            return keyword.startswith(_TEMPLATES)
        value = self._data[syntax.value.start : syntax.value.end]
        return syntax.mark != "#" or not value.startswith(_OFFICIAL) or keyword.startswith(_TEMPLATES)

    def _arg(self, instruction: Instruction) -> None:
        if instruction.trigger:
            return
        _, rest = flags(instruction.text)
        for word in quoted_words(rest, self._reader.escape):
            name, equals, _ = word.text.partition(b"=")
            called = name.decode("utf-8", "replace")
            if self._staged:
                if not equals:
                    self._arguments.take(called, instruction.end)
            elif equals and not self._arguments.declare(called, word.cut(len(name) + 1, len(word.text))):
                detail = f"More than {MAX_DECLARATIONS} build arguments have a default."
                self._trouble.append((instruction.line, detail))
                return

    def _from(self, instruction: Instruction) -> None:
        given, rest = flags(instruction.text)
        broken = ""
        for flag in given:
            if flag.value is None:
                broken = "A flag of FROM takes `=` and its value behind that."
            elif flag.name == b"platform":
                self._arguments.feed(self._arguments.expand(flag.value), None)
        self._staged = self._staged or not instruction.trigger
        end = templated(rest.text)
        found = [rest.cut(0, end), *words(rest.cut(end, len(rest.text)))] if end else list(words(rest))
        if not found:
            self._trouble.append((instruction.line, "FROM names no image."))
            return
        named = len(found) == 3 and found[1].text.lower() == b"as"
        if len(found) > 1 and not named:
            broken = broken or "FROM takes one image and `AS` with a name behind it."
        if is_template(rest.text):
            broken = ""
        if broken:
            self._trouble.append((instruction.line, broken))
        self._base("ONBUILD FROM" if instruction.trigger else "FROM", found[0], broken)
        if named and not instruction.trigger:
            self._masks.add(found[2].text)

    def _base(self, where: str, word: Traced, broken: str) -> None:
        value = self._arguments.expand(word)
        if self._is_stage(value):
            self._arguments.feed(value, None)
        elif self._room():
            known = value.pure and value.text.known and not broken
            self._arguments.feed(value, value.text.place if known else None)
            self._froms.append(_From(where=where, word=word, value=value, broken=broken))

    def _room(self) -> bool:
        """Return whether one more reference is told."""
        self._cut = self._cut or len(self._froms) + len(self._origins) >= MAX_USES
        return not self._cut

    def _is_stage(self, value: Value) -> bool:
        """Return whether a FROM takes a stage, a context or nothing at all."""
        if value.problem:
            return False
        text = value.text
        if text.known:
            return text.text == b"scratch" or text.text in self._masks
        return (
            value.literal and self._arguments.budget.spend(len(self._masks) * 8) and self._masks.match(text)
        )

    def _flags(self, instruction: Instruction) -> Iterator[Flag]:
        text = instruction.text
        if not text.text.startswith(b"--"):
            return
        found, rest = flags(text)
        for flag in found:
            yield flag
            if flag.value is not None and unclosed(flag.value.text):
                return  # what follows is still the template's
        if len(text.text) - len(rest.text) >= MAX_FLAGS - 1:
            self._trouble.append((instruction.line, f"The flags here take more than {MAX_FLAGS} bytes."))

    def _copy(self, instruction: Instruction) -> None:
        for flag in self._flags(instruction):
            if flag.name == b"from" and flag.value is not None:
                self._source(f"{instruction.keyword.upper()} --from", flag.value, instruction)

    def _run(self, instruction: Instruction) -> None:
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
        """Take the `from` of COPY, ADD or a mount."""
        name = text.text
        if not name or name == b"scratch" or _NUMBER.fullmatch(name) or name in self._masks:
            return
        if self._room():
            self._origins.append(_Origin(where=where, text=text, trigger=instruction.trigger, unused=unused))

    # --- judgement ------------------------------------------------------------------------

    def _judge_origin(self, origin: _Origin) -> None:
        name = origin.text.text
        if name in self._masks:
            return
        skip, note = None, ""
        if origin.unused:
            skip, note = SkipReason.UNSUPPORTED, "This mount takes no image from here."
        elif not _SURELY_IMAGE.search(name) and (origin.trigger or self._cut):
            skip = SkipReason.UNSUPPORTED
            note = "It may name a stage of the Dockerfile that builds on this image."
            if not origin.trigger:
                note = "It may name a stage in the part that was not read."
        where = f"ONBUILD {origin.where}" if origin.trigger else origin.where
        self._uses.literal(where, origin.text, skip, note)

    def _judge(self, found: _From) -> None:
        where, word, value = found.where, found.word, found.value
        if is_template(word.text):
            self._uses.template(where, word)
        elif found.broken:
            self._uses.unknown(where, word, SkipReason.INVALID, found.broken)
        elif value.problem:
            self._uses.unknown(where, word, SkipReason.VARIABLE, value.problem)
        elif value.literal and not value.text.known and _ends_in_digest(word.text):
            self._uses.pinned(where, word)
        elif not value.text.known:
            note = f"The file does not say what {self._arguments.untold(value)} is."
            if value.literal:
                self._uses.unknown(where, word, SkipReason.PARTIAL_VARIABLE, f"{note} {_SUGGESTION}")
            else:
                self._uses.unknown(where, word, SkipReason.VARIABLE, note)
        elif not value.names:
            place = value.text if value.text.place is not None else word
            skip = None if value.text.place is not None else SkipReason.ESCAPED
            self._uses.known(where, value.text, place, skip, BROKEN if skip else "")
        else:
            self._variable(where, word, value)

    def _variable(self, where: str, word: Traced, value: Value) -> None:
        """Judge a FROM whose variables all have a value in the file."""
        passed = sorted(value.names & self._passed)
        given = f"{passed[0]} is passed from outside." if passed else ""
        if not value.text.text:
            note = "With the defaults in this file it comes to nothing."
            self._uses.unknown(where, word, SkipReason.VARIABLE, note)
        elif not value.pure and passed:
            self._uses.unknown(where, word, SkipReason.PARTIAL_VARIABLE, f"{given} {_SUGGESTION}")
        elif not value.pure:
            self._uses.known(where, value.text, word, SkipReason.PARTIAL_VARIABLE, _SUGGESTION)
        elif value.text.place is None:
            note = "The default holds quotes or escapes."
            self._uses.known(where, value.text, word, SkipReason.ESCAPED, note)
        else:
            holder = self._arguments.holder(value)
            skip, note, argument = None, "", outermost(word)
            if holder is not None:
                shared, note = self._arguments.shared(holder, self._after)
                skip = SkipReason.SHARED_VARIABLE if shared else None
                argument = self._arguments.name(holder)
            if passed:
                skip, note = SkipReason.OVERRIDDEN, given
            self._uses.known(where, value.text, value.text, skip, note, argument)


def _ends_in_digest(text: bytes) -> bool:
    """Return whether a digest decides, whatever the variables before it come to."""
    _, at, digest = text.rpartition(b"@")
    return bool(at) and is_digest(digest.decode("latin-1"))


def _familiar(image: ImageReference) -> tuple[str, str, str | None, str | None]:
    return image.registry, image.repository, image.followed_tag, image.digest


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
