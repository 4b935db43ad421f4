"""The proposal that pins: what a reviewer sees, as data for the templates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.config import Config, Grouping, Updates
from bot.model import (
    Candidate,
    Cause,
    Edit,
    Finding,
    GitReference,
    Kind,
    Outcome,
    Proposal,
    Reference,
    Report,
    Ruling,
    SkipReason,
    State,
    Unread,
    Verdict,
)
from bot.proposals import web
from bot.proposals.asking import for_reviewers
from bot.proposals.groups import GROUP, belongs, branch_name, folder, grouping_of, short, subject
from bot.proposals.markdown import LONGEST, cut
from bot.proposals.render import render
from bot.visible import left_alone, named

_ROWS = 200
"""Rows of one table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    line: int
    where: str
    was: str
    now: str
    version: str
    """That the commit is of; empty for images, whose tag is in `was`."""
    page: str | None
    platforms: tuple[str, ...]
    source: str
    passed: tuple[str, ...]
    """The required checks that it passed."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    path: str
    why: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A reference or file that is not touched, and why."""

    place: str
    value: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What the first proposal in a repository says of the bot."""

    files: int
    references: int
    found: str
    """What of them floats, is pinned already or is left as it is; nothing of what there is none of."""
    base: str
    refs: tuple[str, ...]
    first: tuple[str, ...]
    """When sweeps pin what floats, each of which has to agree."""
    refresh: tuple[str, ...]
    updates: Updates
    per: str
    """What has a proposal of its own: `image`, `directory`, or empty for the repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    kind: str
    """What the group is of: `image`, `directory`, or empty for the whole repository."""
    name: str
    """Of the image or directory."""
    draft: bool
    address: str = ""
    """What a command to us begins with."""
    introduction: Introduction | None
    count: int
    files: int
    firsts: int
    updates: int
    images: int
    gits: int
    sections: tuple[Section, ...]
    held: tuple[Aside, ...]
    skipped: tuple[Aside, ...]
    unread: tuple[Aside, ...]
    more: int
    """How many asides did not fit."""
    commit: str
    made_at: datetime
    subjects: tuple[str, ...]
    """The things pinned, by names of a closed grammar: fit for a commit message."""


def pin(
    report: Report,
    written: Sequence[Verdict],
    edits: tuple[Edit, ...],
    unread: Iterable[Unread],
    config: Config,
    base: str,
    *,
    group: str = GROUP,
    introduces: bool = False,
    address: str = "",
) -> Proposal:
    """Return the proposal of a report for one of `groups`: branch, texts, edits and their content hash.

    `written` and `edits` are the group's.  With `introduces` it is the first one in the repository,
    and says who we are.  `address` is what a command to us begins with; empty where comments are not heard.
    """
    shown = replace(
        view(report, written, [*report.unread, *unread], group),
        draft=config.draft,
        address=address,
        introduction=_introduction(report, written, config, base) if introduces else None,
    )
    issue = f"{config.issue} " if config.issue else ""
    title = config.title_prefix + issue + render("title.txt.j2", shown).strip()
    body = render("body.md.j2", shown)
    if len(body) > LONGEST:
        body = cut(render("body_short.md.j2", shown), LONGEST)
    digest = content_hash(edits, report.snapshot.files)
    message = config.commit_prefix + issue + render("message.txt.j2", shown).strip()
    trailers = [f"Moorline-Digest: {digest}"]
    if config.sign_off:
        trailers.append(f"Signed-off-by: {config.sign_off}")
    return Proposal(
        repository=report.job.repository,
        base=base,
        commit=report.commit or "",
        group=group,
        branch=branch_name(base, config, group),
        title=title,
        body=body,
        message=message + "\n\n" + "\n".join(trailers) + "\n",
        edits=edits,
        digest=digest,
    )


def content_hash(edits: Sequence[Edit], files: Mapping[str, bytes]) -> str:
    """Return the hash of edits and of the files that they are for: equal where a branch still fits."""
    made = hashlib.sha256()
    for edit in sorted(edits, key=lambda one: (one.path, one.span)):
        for part in (edit.path.encode("utf-8", "surrogateescape"), edit.expected, edit.replacement):
            made.update(len(part).to_bytes(8, "big") + part)
    for path in sorted({edit.path for edit in edits}):
        made.update(hashlib.sha256(files.get(path, b"")).digest())
    return made.hexdigest()


def _introduction(report: Report, written: Sequence[Verdict], config: Config, base: str) -> Introduction:
    return Introduction(
        files=report.files,
        references=len(report.verdicts),
        found=_found(report, written),
        base=base,
        refs=config.refs,
        first=tuple(one.text for one in config.schedule.first),
        refresh=tuple(one.text for one in config.schedule.refresh),
        updates=config.updates,
        per="" if config.group is Grouping.REPOSITORY else config.group.value,
    )


def _found(report: Report, written: Sequence[Verdict]) -> str:
    """Return how many references float, and what becomes of them, are pinned already or left as they are."""
    floating = [
        one for one in report.verdicts if one.finding.skip is None and one.finding.state is State.FLOATING
    ]
    held = sum(one.outcome in (Outcome.HOLD, Outcome.REFUSE) for one in floating)
    here = sum(one.candidate is not None and one.candidate.cause is Cause.FIRST for one in written)
    others = len(floating) - here - held
    parts = []
    if floating:
        fates = [f"this pins {here}"]
        fates += [f"{held} {_are(held)} held back"] if held else []
        fates += [f"{others} {_are(others)} for other proposals"] if others > 0 else []
        told = f" ({', '.join(fates)})" if here != len(floating) else ""
        parts.append(f"{len(floating)} {'floats' if len(floating) == 1 else 'float'}{told}")
    pinned = sum(one.finding.skip is SkipReason.PINNED for one in report.verdicts)
    parts += [f"{pinned} {_are(pinned)} pinned already"] if pinned else []
    left = sum(one.finding.skip not in (None, SkipReason.PINNED) for one in report.verdicts)
    if left:
        as_is = "it is" if left == 1 else "they are"
        parts.append(
            f"{left} {_are(left)} left as {as_is}, with the reason below or in the proposals to come"
        )
    return ", ".join(parts)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _named(written: Sequence[Verdict], group: str) -> tuple[str, str]:
    """Return what a group is of, and the name of that as it is, which a group's own name need not be."""
    grouping = grouping_of(group)
    if grouping is Grouping.REPOSITORY:
        return "", ""
    if not written:
        return grouping.value, group.partition("/")[2]
    finding = written[0].finding
    if grouping is Grouping.DIRECTORY:
        return grouping.value, folder(finding.location.path)
    return grouping.value, short(subject(finding))


def view(report: Report, written: Sequence[Verdict], unread: Sequence[Unread], group: str = GROUP) -> View:
    kind, name = _named(written, group)
    whole = not kind
    verdicts = [one for one in report.verdicts if whole or belongs(one.finding, group)]
    troubles = [one for one in unread if whole or (kind == "directory" and folder(one.path) == name)]
    by_path: dict[str, list[Verdict]] = {}
    for verdict in written:
        by_path.setdefault(verdict.finding.location.path, []).append(verdict)
    made = [verdict.candidate for verdict in written if verdict.candidate]
    held = [_held(one) for one in verdicts if one.outcome in (Outcome.HOLD, Outcome.REFUSE)]
    skipped = [
        _skipped(one.finding)
        for one in verdicts
        if one.finding.skip is not None and one.finding.skip is not SkipReason.PINNED
    ]
    aside = [aside_of(one) for one in troubles]
    aside += [Aside(place="configuration", value="", why=note) for note in report.notes]
    rows = _ROWS // 4
    return View(
        kind=kind,
        name=name,
        draft=False,
        introduction=None,
        count=len(written),
        files=len(by_path),
        firsts=sum(one.cause is Cause.FIRST for one in made),
        updates=sum(one.cause is Cause.UPDATE for one in made),
        images=sum(one.finding.kind is Kind.IMAGE for one in made),
        gits=sum(one.finding.kind is not Kind.IMAGE for one in made),
        sections=tuple(_section(path, verdicts) for path, verdicts in by_path.items()),
        held=tuple(held[:rows]),
        skipped=tuple(skipped[:rows]),
        unread=tuple(aside[:rows]),
        more=sum(max(0, len(asides) - rows) for asides in (held, skipped, aside)),
        commit=report.commit or "",
        made_at=report.made_at,
        subjects=tuple(sorted({_subject(one) for one in made})),
    )


def _section(path: str, verdicts: Sequence[Verdict]) -> Section:
    reasons = dict.fromkeys(_why(verdict.finding) for verdict in verdicts)
    return Section(
        path=path,
        why=" ".join(reasons),
        rows=tuple(row_of(verdict, verdict.candidate) for verdict in verdicts if verdict.candidate),
    )


def row_of(verdict: Verdict, candidate: Candidate) -> Row:
    """Return what is shown of a reference that is pinned."""
    finding = verdict.finding
    resolution = candidate.resolution
    platforms: tuple[str, ...] = ()
    is_index = False
    for evidence in verdict.evidence:
        listed = evidence.facts.get("platforms")
        if isinstance(listed, tuple):
            platforms = listed
        is_index = is_index or evidence.facts.get("is_index") is True
    return Row(
        line=finding.location.line,
        where=finding.where,
        was=named(finding),
        now=candidate.target,
        version=resolution.version if isinstance(resolution.reference, GitReference) else "",
        page=web.page(resolution.reference, candidate.target, is_index=is_index),
        platforms=platforms,
        source=_origin(resolution.reference),
        passed=tuple(
            reason.check
            for reason in verdict.reasons
            if reason.ruling is Ruling.PASS and reason.demand == "require"
        ),
        notes=tuple(
            for_reviewers(reason.text)
            for reason in verdict.reasons
            if reason.ruling is not Ruling.PASS and reason.demand != "off"
        ),
    )


def _origin(reference: Reference) -> str:
    """Return where a reference comes from by its name; which mirror answered is the operator's affair."""
    return reference.host if isinstance(reference, GitReference) else reference.registry


def _why(finding: Finding) -> str:
    """Return why a moved reference matters where it stands."""
    where = finding.where.casefold()
    match finding.kind, finding.format:
        case Kind.ACTION, _:
            return "Actions run with this workflow's token and secrets."
        case Kind.INCLUDE, _:
            return "Included configuration becomes part of this pipeline, with its variables."
        case Kind.IMAGE, "github-actions" | "gitlab-ci":
            return "Jobs run inside these images, beside your source and the pipeline's secrets."
        case Kind.IMAGE, "dockerfile" if "syntax" in where:
            return "The syntax image is the program that reads this file and builds it."
        case Kind.IMAGE, "dockerfile" if "from" in where and ("copy" in where or "add" in where):
            return "Files are copied out of these images into yours."
        case Kind.IMAGE, "dockerfile":
            return "What is in these images becomes part of yours, or builds it."
        case Kind.IMAGE, "compose":
            return "These services run whatever the tag names at the time of the pull."
        case _:
            return "Whoever moves the tag decides what runs here."


def _held(verdict: Verdict) -> Aside:
    why = "; ".join(
        for_reviewers(reason.text)
        for reason in verdict.reasons
        if reason.ruling is not Ruling.PASS and reason.text
    )
    prefix = "refused" if verdict.outcome is Outcome.REFUSE else "held"
    return Aside(place=_place(verdict.finding), value=named(verdict.finding), why=f"{prefix}: {why}")


def _skipped(finding: Finding) -> Aside:
    return Aside(place=_place(finding), value=named(finding), why=left_alone(finding))


def aside_of(one: Unread) -> Aside:
    """Return why a file was not read, for people."""
    line = f" at line {one.line}" if one.line else ""
    detail = f": {one.detail}" if one.detail else ""
    return Aside(place=one.path, value="", why=f"{one.reason.value}{line}{detail}")


def _place(finding: Finding) -> str:
    return f"{finding.location.path}:{finding.location.line}"


def _subject(candidate: Candidate) -> str:
    reference = candidate.resolution.reference
    if isinstance(reference, GitReference):
        return reference.repository
    return f"{reference.name}:{reference.followed_tag}" if reference.followed_tag else reference.name
