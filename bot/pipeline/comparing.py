"""What a change brings in: the survey of a head without what its merge base has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cache, partial

from bot import finders, introduced, selection
from bot.model import Finding, State, Unread, UnreadReason
from bot.pipeline.looking import Survey
from bot.pipeline.reading import Reading
from bot.trust import policy

_FLUX = re.compile(rb'"\$imagepolicy"[ \t]*:[ \t]*"([^"\r\n]{1,600})')
"""Flux's own mark: which policy writes a tag is no exception of ours, where the base names it already."""


def unmarked(data: bytes) -> bytes:
    """Return a file without marks that speak to us, every other byte in its place."""
    return data.replace(b"moorline:", b"moorline ")


def heeded(base: Survey, since: Reading, rules: Reading) -> Callable[[bytes], bytes]:
    """Return what makes of a file of the head one whose marks count: those that the base has already."""

    @cache
    def written() -> frozenset[bytes]:
        files = base.snapshot.files
        if rules.commit != since.commit:
            files = rules.snapshot(finders.claims, partial(selection.left_out, config=base.config)).files
        return frozenset(name for data in files.values() for name in _FLUX.findall(data))

    def marks(data: bytes) -> bytes:
        return unmarked(data) if written().issuperset(_FLUX.findall(data)) else b""

    return marks


def came_in(head: Survey, base: Survey, reading: Reading, since: Reading) -> Survey:
    """Return the survey of a head without what its merge base has."""
    before = base.snapshot.files

    @cache
    def gone(path: str) -> bool:
        return not reading.read([path])

    def renamed(old: str, new: str) -> bool:
        alike = policy.environments(old, head.config) == policy.environments(new, head.config)
        return alike and new not in before and gone(old)

    came = introduced.findings(head.selected, base.selected, renamed=renamed)
    stayed = _stayed(head, base, reading, since)
    return replace(
        head,
        selected=came,
        stood=_floating(head.selected) - _floating(came),
        unread=introduced.unread(
            (_replacing(one, base) for one in head.unread),
            {(one.path, one.reason) for one in base.unread},
            stayed.__contains__,
        ),
    )


def _stayed(head: Survey, base: Survey, reading: Reading, since: Reading) -> frozenset[str]:
    """Return those paths of what is not read whose content is the same at the head and its merge base."""
    before, after = base.snapshot.files, head.snapshot.files
    was = {(one.path, one.reason): one.identity for one in base.unread}
    same: set[str] = set()
    differs: set[str] = set()
    unknown: set[str] = set()
    for one in head.unread:
        if (one.path, one.reason) not in was:
            continue
        if one.path in before or one.path in after:
            known = before.get(one.path) == after.get(one.path)
        elif one.identity or was[one.path, one.reason]:
            known = one.identity == was[one.path, one.reason]
        else:
            unknown.add(one.path)
            continue
        (same if known else differs).add(one.path)
    return frozenset((same | _alike(unknown - same, reading, since)) - differs)


def _alike(paths: AbstractSet[str], one: Reading, other: Reading) -> AbstractSet[str]:
    """Return those paths at which the same stands in both, for what no forge has told of."""
    if not paths:
        return paths
    files = one.read(sorted(paths)), other.read(sorted(paths))
    rest = {path for path in paths if path not in files[0] and path not in files[1]}
    asides = [
        {(it.path, it.identity) for it in side.unread(rest) if it.identity} if rest else set()
        for side in (one, other)
    ]
    odd = {path for path, _ in asides[0] ^ asides[1]}
    return {path for path in paths if files[0].get(path) == files[1].get(path)} - odd


def _replacing(one: Unread, base: Survey) -> Unread:
    """Return a submodule that stands where files were read before as what is not read any more."""
    if one.reason is not UnreadReason.SUBMODULE:
        return one
    inside = f"{one.path}/"
    there = {*base.snapshot.files, *(each.path for each in base.unread if each.reason is not one.reason)}
    if not any(path == one.path or path.startswith(inside) for path in there):
        return one
    detail = "another repository took the place of files that were looked at"
    return replace(one, reason=UnreadReason.UNREADABLE, detail=detail)


def _floating(findings: Iterable[Finding]) -> int:
    return sum(one.skip is None and one.state is State.FLOATING for one in findings)
