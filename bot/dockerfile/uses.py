"""References as they are told: where one stands, what it is, and what keeps it from being edited."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.dockerfile.words import Run, Traced
from bot.model import ImageReference, SkipReason, Span, State
from bot.reference import parse_image

MAX_USES = 5_000
"""References of one file that are told; a long one written by people has fewer than 200."""
MAX_TROUBLE = 20
"""Entries of trouble of one file; one would do to send a person there."""

BROKEN = "It is written with quotes, escapes or a line break inside."
_FILLED = "A template fills this in."
_TEMPLATE = re.compile(
    r"\{\{|\{%|<%|\$\(|(?<![A-Za-z0-9_])#\{|@[A-Za-z_][A-Za-z0-9_.-]*@|%%[A-Za-z_][A-Za-z0-9_]*%%"
)
_OPENINGS = {b"{{": b"}}", b"{%": b"%}", b"<%": b"%>"}
_AS_NAME = re.compile(rb"(?i)[\t ]as[\t ]+[^\t ]+[\t ]*\Z")
_BLANK = re.compile(rb"[\t ]")
_DOCKER = b"docker://"
_TRANSPORT = re.compile(rb"(?:oci-archive|docker-archive|docker-daemon|containers-storage):.*", re.DOTALL)
_TRANSPORT_OR_NAME = re.compile(rb"(?:oci|dir|sif|tarball|ostree):.*", re.DOTALL)
_ELSEWHERE = "Buildah takes this from a file or a local store, where there is no digest to pin."


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One reference in a Dockerfile, offsets relative to the bytes that were given."""

    where: str
    """`FROM`, `COPY --from`, `ADD --from`, `RUN --mount from`, each perhaps after `ONBUILD`; `# syntax`,
    `// syntax`, `JSON syntax`."""
    span: Span
    """The bytes of `value`, on one physical line."""
    value: str
    """The exact text at the span."""
    reference: ImageReference | None
    state: State
    skip: SkipReason | None
    note: str = ""
    argument: str | None = None
    """The ARG whose default holds the value, or the variable that it stands beside in `${V:-value}`."""


class Uses:
    """Collects the references of one file, one for each place."""

    def __init__(self, data: bytes, *, buildah: bool) -> None:
        self._data = data
        self._buildah = buildah
        self._by_span: dict[Span, Use] = {}
        self.trouble: list[tuple[int, str]] = []

    def all(self) -> tuple[Use, ...]:
        """Return the references by place."""
        return tuple(self._by_span[span] for span in sorted(self._by_span))

    def literal(self, where: str, text: Traced, skip: SkipReason | None, note: str) -> None:
        """Add text in which the builder expands no variable."""
        if is_template(text.text):
            self.template(where, self._whole_template(text))
        elif b"$" in text.text[:-1]:
            self.unknown(where, text, SkipReason.VARIABLE, "No variable is expanded here; FROM takes one.")
        else:
            self.known(where, text, text, skip, note)

    def template(self, where: str, place: Traced) -> None:
        """Add text that a template makes before any builder sees it."""
        self.unknown(where, place, SkipReason.VARIABLE, _FILLED)

    def unknown(self, where: str, place: Traced, skip: SkipReason, note: str) -> None:
        """Add a reference that the file does not tell."""
        self._add(where, place, None, State.UNKNOWN, skip, note)

    def pinned(self, where: str, place: Traced) -> None:
        """Add a reference whose name the file does not tell, and whose digest it does."""
        self._add(where, place, None, State.PINNED, SkipReason.PINNED, "")

    def known(
        self,
        where: str,
        text: Traced,
        place: Traced,
        skip: SkipReason | None,
        note: str = "",
        argument: str | None = None,
    ) -> None:
        """Add the reference that `text` is, told at `place`; `skip` counts where it is one and floats."""
        reference = _image(text.text)
        if reference is None and text.text.startswith(_DOCKER):  # as buildah may be told, too
            reference = _image(text.text[len(_DOCKER) :])
            if reference is not None and place.text.startswith(_DOCKER):
                place = place.cut(len(_DOCKER), len(place.text))
        state = State.FLOATING
        if self._is_elsewhere(text.text, reference):
            reference, state, skip, note = None, State.UNKNOWN, SkipReason.UNSUPPORTED, _ELSEWHERE
        elif reference is None:
            state, note = State.UNKNOWN, ""
            skip = SkipReason.INVALID
            if is_template(text.text):
                skip, note = SkipReason.VARIABLE, _FILLED
        elif reference.digest is not None:
            state, skip, note = State.PINNED, SkipReason.PINNED, ""
        elif skip is None and place.place is None:
            skip, note = SkipReason.ESCAPED, BROKEN
        self._add(where, place, reference, state, skip, note, argument)

    def _is_elsewhere(self, text: bytes, reference: ImageReference | None) -> bool:
        """Return whether text names one of buildah's transports (containers-transports(5)) and no image."""
        if reference is not None and reference.digest is not None:
            return False
        if _TRANSPORT.fullmatch(text):
            return True
        sure = self._buildah or reference is None
        return sure and not is_template(text) and _TRANSPORT_OR_NAME.fullmatch(text) is not None

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
        if span in self._by_span:
            return
        try:
            value = run.text.decode("utf-8")
        except UnicodeDecodeError:
            if len(self.trouble) < MAX_TROUBLE:
                line = self._data.count(b"\n", 0, run.origin) + 1
                self.trouble.append((line, f"The image of {where} is not UTF-8."))
            return
        self._by_span[span] = Use(
            where=where,
            span=span,
            value=value,
            reference=reference,
            state=state,
            skip=skip,
            note=note,
            argument=argument,
        )

    def _whole_template(self, text: Traced) -> Traced:
        """Return `text` up to the end of a template's expression that blanks cut off from it."""
        closing = unclosed(text.text)
        if closing is None:
            return text
        start = text.runs[0].origin
        line = self._data.find(b"\n", start)
        end = self._data.find(closing, start, line if line >= 0 else len(self._data))
        if end < 0:
            return text
        return Traced((Run(self._data[start : end + len(closing)], start),))


def _image(text: bytes) -> ImageReference | None:
    return parse_image(text.decode("utf-8", "replace"))


def is_template(text: bytes) -> bool:
    """Return whether text holds a mark that a template engine would replace."""
    return _TEMPLATE.search(text.decode("latin-1")) is not None


def unclosed(text: bytes) -> bytes | None:
    """Return what would end a template's expression that begins in `text` and does not end there."""
    for opening, closing in _OPENINGS.items():
        if text.rfind(opening) > text.rfind(closing):
            return closing
    return None


def templated(text: bytes) -> int:
    """Return where a template's expression at the beginning of a FROM ends, or 0 where there is none."""
    for opening, closing in _OPENINGS.items():
        begin = text.find(opening)
        if begin < 0 or _BLANK.search(text, 0, begin):
            continue
        name = _AS_NAME.search(text)
        stop = name.start() if name and text.rfind(closing) < name.start() else len(text)
        return len(text[:stop].rstrip(b"\t\v\f\r "))
    return 0
