"""What became of sweeps, for people and for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import Any

from bot.store.base import Place, PlaceState, Sweep
from bot.visible import visible

_MOST = 50
"""Lines of one kind; the document has all of them."""
_WORDS = {
    PlaceState.PROPOSED: "proposed",
    PlaceState.CHANGED: "with nothing to propose",
    PlaceState.UNCHANGED: "unchanged",
    PlaceState.FAILED: "failed",
    PlaceState.POSTPONED: "postponed",
    PlaceState.WAITING: "waiting",
    PlaceState.CANCELLED: "called off",
    PlaceState.LEFT_OUT: "left out",
}
_NO_LIST = (PlaceState.FAILED, PlaceState.POSTPONED)
_TOLD = (PlaceState.FAILED, PlaceState.POSTPONED, PlaceState.CANCELLED)
"""What is told one by one, beside what is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One forge's part."""

    forge: str
    places: tuple[Place, ...]
    sweep: Sweep | None = None
    """None for one that was only rehearsed."""
    dry: bool = False
    requests: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """Addresses of the requests that stand, by repository and branch."""

    @property
    def seen(self) -> tuple[Place, ...]:
        """The branches and repositories, without the listing itself."""
        return tuple(one for one in self.places if one.repository)

    @property
    def failed(self) -> bool:
        """Whether something failed, or there is no list."""
        return bool(self.unlisted) or any(one.state is PlaceState.FAILED for one in self.places)

    @property
    def unlisted(self) -> tuple[Place, ...]:
        """The listing, where it failed or is put off."""
        return tuple(one for one in self.places if not one.repository and one.state in _NO_LIST)

    @property
    def counts(self) -> Counter[PlaceState]:
        """How many are in each state."""
        return Counter(one.state for one in self.seen)

    @property
    def held(self) -> int:
        """How many references should be pinned, and were held or refused."""
        return sum(one.held for one in self.seen)


def document(shown: Sequence[Summary]) -> str:
    """Return the summaries as one JSON document."""
    return json.dumps({"version": 1, "sweeps": [_plain(one) for one in shown]}, indent=2)


def _plain(one: Summary) -> dict[str, Any]:
    return {
        "forge": one.forge,
        "dry_run": one.dry,
        "id": one.sweep.id if one.sweep else None,
        "started": one.sweep.started.isoformat() if one.sweep else None,
        "repositories": len({place.repository for place in one.seen}),
        "seen": len(one.seen),
        **{state.value.replace("-", "_"): one.counts[state] for state in PlaceState},
        "held": one.held,
        "listing": one.unlisted[0].detail if one.unlisted else "",
        "places": [
            {
                "repository": place.repository,
                "ref": place.ref,
                "state": place.state.value,
                "held": place.held,
                "detail": place.detail,
                "due": place.due and place.due.isoformat(),
                "requests": list(_requests(one, place)),
            }
            for place in one.seen
        ],
    }


def text(shown: Sequence[Summary]) -> str:
    """Return the summaries for people."""
    return "\n".join(line for one in shown for line in _lines(one))


def _lines(one: Summary) -> list[str]:
    repositories = len({place.repository for place in one.seen})
    would = "would be " if one.dry else ""
    parts = [f"{repositories} repositories seen" if repositories != 1 else "1 repository seen"]
    for state, words in _WORDS.items():
        if one.counts[state] or state is PlaceState.PROPOSED:
            parts.append(f"{one.counts[state]} {would if state is PlaceState.PROPOSED else ''}{words}")
    if one.held:
        parts.append(f"{one.held} held")
    lines = [f"{one.forge}: {', '.join(parts)}."]
    lines += [
        f"  listing {_WORDS[place.state]}: {visible(place.detail)}{_due(place)}" for place in one.unlisted
    ]
    for state in _TOLD:
        lines += _told(_WORDS[state], [place for place in one.seen if place.state is state])
    proposed = [place for place in one.seen if place.state is PlaceState.PROPOSED]
    if one.dry:
        lines += _told("would propose", proposed)
    else:
        lines += _told(
            "proposed",
            [replace(place, detail=", ".join(_requests(one, place)) or place.detail) for place in proposed],
        )
    settled = (*_TOLD, PlaceState.PROPOSED) if one.dry else _TOLD
    lines += _told("held", [place for place in one.seen if place.held and place.state not in settled])
    reasons = Counter(place.detail for place in one.seen if place.state is PlaceState.LEFT_OUT)
    lines += [f"  left out: {count} {visible(why)}" for why, count in reasons.most_common(_MOST)]
    return lines


def _told(word: str, places: Sequence[Place]) -> list[str]:
    lines = [f"  {word}: {_place(one)}" for one in places[:_MOST]]
    if len(places) > _MOST:
        lines.append(f"  {word}: {len(places) - _MOST} more; --format json has them all")
    return lines


def _requests(one: Summary, place: Place) -> tuple[str, ...]:
    proposed = place.state is PlaceState.PROPOSED
    return one.requests.get((place.repository, place.ref), ()) if proposed else ()


def _due(one: Place) -> str:
    return f" (looked at again at {one.due.astimezone(UTC):%Y-%m-%d %H:%M}Z)" if one.due else ""


def _place(one: Place) -> str:
    why = f": {visible(one.detail)}" if one.detail else ""
    return f"{visible(one.repository)} {visible(one.ref)}".rstrip() + why + _due(one)
