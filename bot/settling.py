"""Which remarks that stand on a request are said again, where several lines of a file are equal.

A remark's topic tells what it is about, not on which of several equal lines.  A line is the same one as
before where all that is above it is the same, or all that is below it.  Where neither tells, the forge
knows on which line each thread is now; where it does not, the lines next to it tell, and their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bot.model import Remark, Spoken

_NEAR = 3
"""Lines above and below, empty ones left out, that are compared where there is nothing better."""
_FAR = 20
"""Lines among which they are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is said of a request beside what was said before."""

    kept: tuple[Spoken, ...]
    """Said before, and said again; each knows what is around it by now."""
    fresh: tuple[Remark, ...]
    gone: tuple[Spoken, ...]
    """Said before, and not any more."""
    certain: bool
    """Whether it is known which is which; else the lines of what stands there would tell."""


def settle(
    remarks: Sequence[Remark], before: Sequence[Spoken], lines: Mapping[Spoken, int | None] | None = None
) -> Settled:
    """Return which remarks stand there already, which are new, and what is said no more.

    `lines` tells of what stands there on which line of the newest file it begins now, None for on none; what
    it leaves out is not known.
    """
    known = lines or {}
    partner: dict[int, int] = {}
    certain = True
    for topic in dict.fromkeys(one.topic for one in remarks if one.topic):
        new = [place for place, one in enumerate(remarks) if one.topic == topic]
        old = [place for place, one in enumerate(before) if one.remark.topic == topic]
        pairs = _paired(remarks, before, new, old, known)
        partner |= pairs.found
        certain = certain and pairs.certain
    said = set(partner.values())
    return Settled(
        kept=tuple(
            replace(one, remark=replace(one.remark, around=remarks[partner[place]].around))
            for place, one in enumerate(before)
            if place in partner
        ),
        fresh=tuple(one for place, one in enumerate(remarks) if place not in said),
        gone=tuple(one for place, one in enumerate(before) if place not in partner),
        certain=certain,
    )


@dataclass(frozen=True, slots=True)
class _Pairs:
    found: dict[int, int]
    """Places in what is said now, by places in what was said before."""
    certain: bool


def _paired(
    remarks: Sequence[Remark],
    before: Sequence[Spoken],
    new: Sequence[int],
    old: Sequence[int],
    known: Mapping[Spoken, int | None],
) -> _Pairs:
    found: dict[int, int] = {}
    left, rest = list(new), list(old)

    def pair(one: int, other: int) -> None:
        found[one] = other
        rest.remove(one)
        left.remove(other)

    # Diffs leave out what is the same at the beginning first, and then what is at the end.
    for part in (_above, _below):
        for one in tuple(rest):
            side = part(before[one].remark)
            other = next((each for each in left if side and part(remarks[each]) == side), None)
            if other is not None:
                pair(one, other)
    certain = not (left and rest) or all(before[one] in known for one in rest)
    for one in tuple(rest):
        line = known.get(before[one])
        other = next((each for each in left if remarks[each].first == line), None)
        if other is not None:
            pair(one, other)
    # What the forge shows on no line, or on another one, is of a line that is gone.
    unknown = [one for one in rest if before[one] not in known]
    ranked = sorted(
        (-_likeness(before[one].remark, remarks[other]), abs(old.index(one) - new.index(other)), one, other)
        for one in unknown
        for other in left
    )
    for _, _, one, other in ranked:
        if one in rest and other in left:
            pair(one, other)
    return _Pairs(found, certain)


def around(lines: Sequence[bytes], first: int, last: int) -> str:
    """Return what is around lines of a file, 1-based, in few characters: all of it, and what is next to them."""
    above, below = lines[: first - 1], lines[last:]
    near = [
        [one for one in reversed(above[-_FAR:]) if one.strip()][:_NEAR],
        [one for one in below[:_FAR] if one.strip()][:_NEAR],
    ]
    return " ".join([_whole(above), _whole(below), *(",".join(map(_short, side)) for side in near)])


def _whole(lines: Sequence[bytes]) -> str:
    return hashlib.sha256(b"%d\n" % len(lines) + b"\n".join(lines)).hexdigest()[:20]


def _short(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[:8]


def _above(remark: Remark) -> str:
    return remark.around.partition(" ")[0]


def _below(remark: Remark) -> str:
    return remark.around.partition(" ")[2].partition(" ")[0]


def _likeness(one: Remark, other: Remark) -> int:
    """Return how many lines next to both are the same, nearest first."""
    count = 0
    for mine, theirs in zip(one.around.split(" ")[2:], other.around.split(" ")[2:], strict=False):
        for each, its in zip(mine.split(","), theirs.split(","), strict=False):
            if not each or each != its:
                break
            count += 1
    return count
