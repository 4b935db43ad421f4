"""The review of a change: what it brings in and should not float, said on its own lines.

A suggestion holds whole lines with the edits made in them, and nothing that a person does not see: where
the lines hold bytes that a comment would not keep, there is none, and the check says it alone.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bot.model import (
    ChangedFile,
    Edit,
    Outcome,
    Remark,
    Report,
    Review,
    Ruling,
    Span,
    Verdict,
)
from bot.proposals.asking import for_reviewers
from bot.proposals.pins import Row, row_of
from bot.proposals.render import render
from bot.settling import around
from bot.source import splice
from bot.visible import named, visible

MOST = 30
"""Remarks of one review."""
_LONGEST = 4_000
"""Characters of a suggestion."""
_ROWS = 10
"""References that one remark speaks of."""
_WORDS = {Outcome.REFUSE: "refused", Outcome.HOLD: "held"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What floated before the change."""

    count: int = 0
    link: str = ""
    """The address of our proposal that pins it, as our forge says it; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A verdict that is written, and the edits that write it."""

    verdict: Verdict
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    what: str
    word: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _RemarkView:
    pins: tuple[Row, ...]
    troubles: tuple[_Trouble, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    pins: int
    troubles: int
    aside: int
    standing: int
    link: str


@dataclass(slots=True, kw_only=True)
class _Place:
    """Lines of one file, and what is to be said of them."""

    path: str
    first: int
    last: int
    pins: list[Pin] = field(default_factory=list)
    troubles: list[Verdict] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.pins) + len(self.troubles)

    @property
    def worst(self) -> int:
        """What goes first where not all of it fits; smaller first."""
        if any(one.outcome is Outcome.REFUSE for one in self.troubles):
            return 0
        return 1 if self.pins else 2


def review(
    report: Report,
    pins: Iterable[Pin],
    troubles: Iterable[Verdict],
    changed: Iterable[ChangedFile],
    standing: Standing = Standing(),
) -> Review:
    """Return what is said on a request; nothing at all, body included, where its lines hold no trouble.

    `pins` are confirmed together, `troubles` are verdicts that are refused or held and that no pin settles.
    """
    files = report.snapshot.files
    lines = {path: _Lines(files[path]) for path in files}
    diff = {one.path: one for one in changed}
    places, aside = [], 0
    for place in _places(lines, pins, troubles):
        if _in_one_hunk(place, diff.get(place.path)):
            places.append(place)
        else:
            aside += place.count
    places.sort(key=lambda one: (one.worst, one.path, one.first))
    aside += sum(one.count for one in places[MOST:])
    remarks: list[Remark] = []
    pinned = held = 0
    for place in sorted(places[:MOST], key=lambda one: (one.path, one.first)):
        remark = _remark(place, lines[place.path])
        if remark is None:
            aside += place.count
            continue
        remarks.append(remark)
        pinned, held = pinned + len(place.pins), held + len(place.troubles)
    if not remarks:
        return Review(commit=report.commit or "", body="", remarks=())
    view = _View(
        pins=pinned,
        troubles=held,
        aside=aside,
        standing=standing.count,
        link=standing.link,
    )
    body = render("review.md.j2", view).strip()
    return Review(commit=report.commit or "", body=body, remarks=tuple(remarks))


def sure(path: str, old: bytes, new: bytes) -> ChangedFile:
    """Return the lines of a changed file that every diff must show as added: those that it did not have.

    Which of two equal lines is the new one is a matter of taste; one that was not there at all is not.
    """
    before = set(old.split(b"\n"))
    runs: list[tuple[int, int]] = []
    for number, line in enumerate(new.split(b"\n"), 1):
        if line in before:
            continue
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return ChangedFile(path=path, hunks=tuple(runs))


class _Lines:
    """A file's lines as forges count them: they end at LF alone."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.texts = data.split(b"\n")
        self._starts = [0]
        at = data.find(b"\n")
        while at >= 0:
            self._starts.append(at + 1)
            at = data.find(b"\n", at + 1)

    def of(self, span: Span) -> tuple[int, int]:
        """Return the first and last line that a span touches, 1-based."""
        first = bisect_right(self._starts, span.start)
        return first, max(first, bisect_right(self._starts, max(span.end - 1, span.start)))

    def span(self, first: int, last: int) -> Span:
        """Return the bytes of lines, without the LF at the end of the last one."""
        end = self._starts[last] - 1 if last < len(self._starts) else len(self.data)
        return Span(self._starts[first - 1], end)


def _places(
    lines: Mapping[str, _Lines], pins: Iterable[Pin], troubles: Iterable[Verdict]
) -> Sequence[_Place]:
    """Return the lines that something is said of, each line once."""
    found: list[_Place] = []
    for pin in pins:
        path = pin.edits[0].path
        touched = [lines[path].of(edit.span) for edit in pin.edits]
        first, last = min(one for one, _ in touched), max(one for _, one in touched)
        found.append(_Place(path=path, first=first, last=last, pins=[pin]))
    for verdict in troubles:
        where = verdict.finding.location
        if where.path in lines:
            first, last = lines[where.path].of(where.span)
            found.append(_Place(path=where.path, first=first, last=last, troubles=[verdict]))
    found.sort(key=lambda one: (one.path, one.first, one.last))
    made: list[_Place] = []
    for place in found:
        before = made[-1] if made else None
        if before is not None and before.path == place.path and place.first <= before.last:
            before.last = max(before.last, place.last)
            before.pins += place.pins
            before.troubles += place.troubles
        else:
            made.append(place)
    return made


def _in_one_hunk(place: _Place, changed: ChangedFile | None) -> bool:
    return changed is not None and any(
        first <= place.first and place.last <= last for first, last in changed.hunks
    )


def _remark(place: _Place, lines: _Lines) -> Remark | None:
    """Return what is said of a place; None where its suggestion could not be said as it is."""
    span = lines.span(place.first, place.last)
    there = lines.data[span.start : span.end]
    suggestion = None
    if place.pins:
        suggestion = _suggestion(there, span, place.pins)
        if suggestion is None:
            return None
    view = _RemarkView(
        pins=tuple(row for one in place.pins[:_ROWS] if (row := _row(one)) is not None),
        troubles=tuple(map(_trouble, place.troubles[:_ROWS])),
    )
    return Remark(
        path=place.path,
        first=place.first,
        last=place.last,
        body=render("remark.md.j2", view).strip(),
        suggestion=suggestion,
        topic=_topic(place, there),
        around=around(lines.texts, place.first, place.last),
    )


def _suggestion(there: bytes, span: Span, pins: Sequence[Pin]) -> str | None:
    moved = [
        replace(edit, span=Span(edit.span.start - span.start, edit.span.end - span.start))
        for pin in pins
        for edit in pin.edits
    ]
    old, new = _sayable(there), _sayable(splice(there, moved))
    # An edit neither adds nor takes a line away, so that each keeps the ending that it has.
    if old is None or new is None or old.count("\n") != new.count("\n"):
        return None
    return new


def _sayable(data: bytes) -> str | None:
    """Return lines as a comment can hold them, their endings LF; None where it would not keep them."""
    try:
        text = data.removesuffix(b"\r").replace(b"\r\n", b"\n").decode("utf-8")
    except UnicodeDecodeError:
        return None
    lines = text.split("\n")
    plain = text.replace("\t", " ").replace("\n", " ")
    if len(text) > _LONGEST or visible(plain, _LONGEST) != plain:
        return None
    # GitLab takes such a line for an order, wherever some versions look for them.
    if any(line.lstrip(" \t").startswith("/") for line in lines):
        return None
    return text


def _row(pin: Pin) -> Row | None:
    candidate = pin.verdict.candidate
    return row_of(pin.verdict, candidate) if candidate is not None else None


def _trouble(verdict: Verdict) -> _Trouble:
    reasons = [
        for_reviewers(one.text) for one in verdict.reasons if one.ruling is not Ruling.PASS and one.text
    ]
    return _Trouble(
        what=named(verdict.finding),
        word=_WORDS.get(verdict.outcome, "held"),
        why="; ".join(dict.fromkeys(reasons)) or "the check says why",
    )


def _topic(place: _Place, there: bytes) -> str:
    """Return what a remark is about: neither a line's number nor a digest, so that what moves is not new."""
    made = hashlib.sha256()
    parts = [place.path.encode("utf-8", "surrogateescape")]
    parts += [b"pin", there] if place.pins else []
    parts += [
        f"{one.outcome.value} {named(one.finding)}".encode("utf-8", "surrogateescape")
        for one in place.troubles
    ]
    for part in parts:
        made.update(len(part).to_bytes(8, "big") + part)
    return made.hexdigest()[:20]
