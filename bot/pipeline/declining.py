"""What people declined to have pinned is said, and not written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container
from dataclasses import replace

from bot.model import Cause, GitReference, ImageReference, Pinned, Report, SkipReason, Verdict

_DECLINED = "declined: a person closed the proposal for it"


def pinned(verdict: Verdict) -> Pinned:
    """Return what a person means who declines to have a finding pinned: its place and what it follows.

    Neither a digest nor a line: one that moved is not new.
    """
    finding = verdict.finding
    match finding.reference:
        case ImageReference() as image:
            name, version = f"{image.registry}/{image.repository}", image.followed_tag
        case GitReference() as git:
            follows = finding.comment.version if finding.comment else ""
            name, version = f"{git.host}/{git.repository}/{git.path}", follows or git.ref
        case _:
            name, version = finding.value, ""
    return Pinned(
        path=finding.location.path, where=finding.where, reference=f"{name}:{version}" if version else name
    )


def without(
    report: Report, declined: Collection[Pinned], accepted: Callable[[], Container[Pinned]] = frozenset
) -> Report:
    """Return the report without what people declined to have pinned: it is said, and not written.

    A place that is not there any more hands its fate on to another one of the same file that follows the
    same and floats, unless that one is `accepted`: people let it be pinned.
    """
    if not declined:
        return report
    places = [pinned(verdict) for verdict in report.verdicts]
    refused = {*places} & {*declined}
    lost = Counter((one.path, one.reference) for one in {*declined} - refused)
    heirs = dict.fromkeys(
        place
        for verdict, place in zip(report.verdicts, places, strict=True)
        if verdict.candidate is not None and verdict.candidate.cause is Cause.FIRST
        if place not in refused and lost[place.path, place.reference] > 0
    )
    known = accepted() if heirs else frozenset[Pinned]()
    for one in heirs:
        if one not in known and lost[one.path, one.reference] > 0:
            lost[one.path, one.reference] -= 1
            refused.add(one)
    return replace(
        report,
        verdicts=tuple(
            replace(verdict, finding=replace(verdict.finding, skip=SkipReason.DECLINED, note=_DECLINED))
            if verdict.writes and place in refused
            else verdict
            for verdict, place in zip(report.verdicts, places, strict=True)
        ),
    )
