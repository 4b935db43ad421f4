"""What a change brings in: the survey of a head without what its merge base has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache

from bot import introduced
from bot.marks import Marks
from bot.model import Finding, ImageReference, Location, SkipReason, State, Unread, UnreadReason
from bot.pipeline.feeding import fed
from bot.pipeline.looking import Survey, once, selected_by
from bot.pipeline.reading import Reading
from bot.pipeline.services import Ground
from bot.trust import policy

_EXCUSED = frozenset({SkipReason.BUILT_HERE, SkipReason.OVERRIDDEN})
"""What other lines of the files are the reason for."""


def unmarked(data: bytes) -> bytes:
    """Return a file without marks that speak to us, every other byte in its place."""
    return data.replace(b"moorline:", b"moorline ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backed:
    """A head whose references float as far as its base says that they may."""

    survey: Survey
    claims: frozenset[Location]
    """Where the head says of itself that a name is not what its registry has: built here, or not used."""


def backed(head: Survey, base: Survey, rules: Callable[[], Survey], ground: Ground, now: datetime) -> Backed:
    """Return a head where what lets a reference float elsewhere counts as far as its base says it, too.

    `rules` returns the survey of what the change is to be merged into, as it is now: its image policies count.
    """
    found = once(head.found)
    before = selected_by(head, base.excuses, ground, now)
    marks = Marks(head.snapshot.files)
    built = {(one.location.path, one.location.line) for one in head.excuses.built}
    claims: set[Location] = set()

    @cache
    def tracked() -> frozenset[tuple[str, str, str]]:
        return _tracked(rules())

    def settled(said: Finding, one: Finding, then: Finding) -> Finding:
        if one.skip is SkipReason.MUST_STAY_TAG and isinstance(one.reference, ImageReference):
            name, image = marks.image_policy(one), one.reference
            if name is None or (name, image.registry, image.repository) in tracked():
                return one
            return replace(one, skip=None, note=f"no image policy {name} wrote this image's tag before")
        if one.skip not in _EXCUSED:
            return one
        if then.skip is one.skip and said.skip is not one.skip:
            if one.skip is SkipReason.OVERRIDDEN:
                claims.add(one.location)  # whoever builds without what overrides it uses its name
            return one
        place = one.location.path, one.location.line
        if said.skip is one.skip or (one.skip is SkipReason.BUILT_HERE and place in built):
            claims.add(one.location)
            return one
        return replace(then, note=f"{one.note}; that does not count before it is merged")

    selected = tuple(map(settled, found, head.selected, before))
    return Backed(survey=replace(head, selected=selected), claims=frozenset(claims))


def _tracked(survey: Survey) -> frozenset[tuple[str, str, str]]:
    """Return which image policies write the tags of which images."""
    marks = Marks(survey.snapshot.files)
    return frozenset(
        (name, one.reference.registry, one.reference.repository)
        for one in survey.selected
        if isinstance(one.reference, ImageReference) and (name := marks.image_policy(one)) is not None
    )


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
    there = {(one.location, one.value) for one in came}
    after, before_it = fed(head), fed(base)
    # What its variables come to may be new although the reference reads as before.
    came += tuple(
        one for one in head.selected if (one.location, one.value) not in there and after(one) - before_it(one)
    )
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
