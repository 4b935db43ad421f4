"""Reports made by hand, for tests of what is printed and proposed."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.model import (
    Candidate,
    Cause,
    Evidence,
    Finding,
    Job,
    Kind,
    Location,
    Outcome,
    Reason,
    Report,
    Resolution,
    Ruling,
    SkipReason,
    Snapshot,
    Span,
    State,
    Status,
    Trigger,
    Unread,
    UnreadReason,
    Unresolved,
    UnresolvedReason,
    Verdict,
)
from bot.reference import parse_image

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32


def finding(
    path: str = "Dockerfile",
    *,
    value: str = "node:20",
    line: int = 1,
    start: int = 5,
    state: State = State.FLOATING,
    skip: SkipReason | None = None,
    note: str = "",
    where: str = "FROM",
) -> Finding:
    """Return a finding of an image."""
    return Finding(
        format="dockerfile",
        kind=Kind.IMAGE,
        where=where,
        location=Location(
            path=path,
            span=Span(start, start + len(value.encode("utf-8", "surrogateescape"))),
            line=line,
            column=start,
        ),
        value=value,
        reference=parse_image(value),
        state=state,
        skip=skip,
        note=note,
    )


def pinned(found: Finding, digest: str = DIGEST, *, source: str = "docker.io", warning: str = "") -> Verdict:
    """Return the verdict that lets a finding be pinned."""
    assert found.reference is not None
    resolution = Resolution(reference=found.reference, digest=digest, source=source)
    evidence = Evidence(
        check="digest-honesty",
        digest=digest,
        status=Status.VERIFIED,
        facts={"platforms": ("linux/amd64", "linux/arm64"), "is_index": True},
    )
    reasons = (Reason(check="typosquat", ruling=Ruling.FAIL, text=warning, demand="warn"),) if warning else ()
    return Verdict(
        finding=found,
        outcome=Outcome.WARN if warning else Outcome.PASS,
        reasons=reasons,
        candidate=Candidate(
            finding=found, current=None, target=digest, resolution=resolution, cause=Cause.FIRST
        ),
        evidence=(evidence,),
    )


def unresolved(found: Finding, detail: str) -> Verdict:
    """Return the verdict on a finding that could not be looked up."""
    assert found.reference is not None
    trouble = Unresolved(reference=found.reference, reason=UnresolvedReason.NOT_FOUND, detail=detail)
    reason = Reason(check="look-up", ruling=Ruling.UNKNOWN, text=detail)
    return Verdict(finding=found, outcome=Outcome.HOLD, reasons=(reason,), unresolved=trouble)


def skipped(found: Finding) -> Verdict:
    """Return the verdict on a finding that is left as it is."""
    return Verdict(finding=found, outcome=Outcome.PASS)


def unread(path: str, detail: str, line: int | None = None) -> Unread:
    """Return a file that could not be parsed."""
    return Unread(path=path, reason=UnreadReason.UNPARSABLE, detail=detail, line=line)


def report(
    *verdicts: Verdict, files: dict[str, bytes] | None = None, trouble: tuple[Unread, ...] = ()
) -> Report:
    """Return a report of verdicts, with the files that they are about."""
    found: dict[str, tuple[Finding, ...]] = {}
    for one in verdicts:
        path = one.finding.location.path
        found[path] = (*found.get(path, ()), one.finding)
    return Report(
        job=Job(forge="git", repository="/srv/app.git", ref="main", trigger=Trigger.PUSH),
        commit="c" * 40,
        files=len(found),
        verdicts=verdicts,
        unread=trouble,
        made_at=NOW,
        snapshot=Snapshot(commit="c" * 40, files=files or {}),
        found=found,
    )
