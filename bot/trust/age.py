"""Age: how long this installation has seen the tag point to the digest without a break.

Dates inside an image are its publisher's word; the ledger is our own.  The days start again when
the tag goes elsewhere and comes back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from bot.model import Evidence, Fact, Finding, ImageReference, Kind, Ruling, Sighting, Status, Subject
from bot.trust.base import Judgement, Rule, Sources

name = "age"
kinds = frozenset({Kind.IMAGE})

_VERSION = re.compile(r"v?[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}(?:[.+_-][A-Za-z0-9._+-]*)?")
"""A tag that names one version, and that nobody expects to move."""
_DAY = 24 * 60 * 60
_NO_LEDGER = (
    "there is no ledger to tell its age (on the command line, `moorline pin --ledger FILE` keeps one)"
)


def gather(subject: Subject, sources: Sources) -> Evidence:
    """Return since when the digest has been seen, as `since` in ISO 8601, if it has been."""
    if sources.ledger is None or not isinstance(subject.reference, ImageReference):
        return Evidence(
            check=name,
            digest=subject.digest,
            status=Status.ABSENT,
            detail=_NO_LEDGER,
        )
    sightings = sources.ledger.sightings(subject.reference)
    since = reign(sightings, subject.digest)
    facts: dict[str, Fact] = {"digests": len({one.digest for one in sightings})}
    if since is not None:
        facts["since"] = since.isoformat()
    return Evidence(check=name, digest=subject.digest, status=Status.VERIFIED, facts=facts, source="ledger")


def reign(sightings: Sequence[Sighting], digest: str) -> datetime | None:
    """Return when the unbroken reign of a digest began, or None where it does not reign.

    One that left and came back begins at the first sighting after its return; where its sightings
    are kept as one, at the last of them.
    """
    others = [one for one in sightings if one.digest != digest]
    broken = max((one.last for one in others), default=None)
    own = [one for one in sightings if one.digest == digest and (broken is None or one.last > broken)]
    if not own:
        return None
    unbroken = [one.first for one in own if broken is None or one.first > broken]
    return min(unbroken) if unbroken else max(one.last for one in own)


def judge(finding: Finding, old: Evidence | None, new: Evidence, rule: Rule, now: datetime) -> Judgement:
    """Return a fail for a digest that is too young, unknown where nobody kept count."""
    days = _days(finding, old, rule)
    if days <= 0:
        return Judgement(ruling=Ruling.PASS, text="no age is asked for")
    if new.status is not Status.VERIFIED:
        return Judgement(ruling=Ruling.UNKNOWN, text=new.detail or "its age is not known")
    since = _moment(new.facts.get("since"))
    seconds = max(0.0, (now - since).total_seconds()) if since is not None else 0.0
    if seconds >= days * _DAY:
        return Judgement(ruling=Ruling.PASS, text=f"seen for {_plural(int(seconds // _DAY))}")
    seen = "seen now for the first time" if since is None else f"seen for {_plural(int(seconds // _DAY))}"
    return Judgement(ruling=Ruling.FAIL, text=f"{seen}; asked for: {_plural(days)}")


def _plural(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def _days(finding: Finding, old: Evidence | None, rule: Rule) -> int:
    if old is None:
        return _whole(rule, "first-days")
    reference = finding.reference
    tag = reference.followed_tag if isinstance(reference, ImageReference) else None
    version = _whole(rule, "version-tag-days") if tag is not None and _VERSION.fullmatch(tag) else 0
    return max(_whole(rule, "days"), version)


def _whole(rule: Rule, option: str) -> int:
    value = rule.options.get(option, 0)
    return value if isinstance(value, int) else 0


def _moment(value: Fact | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None
