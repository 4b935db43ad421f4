"""The guard on what people propose: what a change brings in, judged by the policy that stands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from bot import introduced, pipeline, proposals
from bot.config import CONFIG_PATHS, Config, Floating, Mode, Unreachable
from bot.errors import ConfigurationError
from bot.forges.base import ChangedFile, Forge
from bot.model import Annotation, Button, CheckRun, Conclusion, Job, Level, Outcome, Report, Review
from bot.output import explanation, problems
from bot.pipeline import AtCommit, Services
from bot.proposals import Standing, checks
from bot.proposals.asking import for_reviewers
from bot.store.base import Judgement
from bot.trust import policy
from bot.visible import visible

_ANNOTATIONS = 500
_EXPLAINED = 40
_LEVELS = {
    problems.Level.ERROR: Level.FAILURE,
    problems.Level.WARNING: Level.WARNING,
    problems.Level.NOTE: Level.NOTICE,
}
PIN, EXPLAIN = "pin", "explain"
_BUTTONS = (
    Button(id=PIN, label="Pin these", description="Suggest every pin anew, on its line"),
    Button(id=EXPLAIN, label="Explain", description="Show what is behind each verdict"),
)
_MARK = b"moorline:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What a review needs to know of the request that it is for."""

    changed: Callable[[], Iterable[ChangedFile]]
    """Tells which lines a remark may stand on."""
    known: Sequence[ChangedFile] = ()
    """What is known of that already: of files that were added, all of it."""
    since: str = ""
    """Where the head branched off, if that is known."""
    link: str = ""
    """Where our own proposal for the same base is."""
    rules_alone: bool = False
    """Whether it changes nothing but the configuration."""
    explains: bool = False
    """Whether somebody wants to know all that is behind the verdicts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """What the guard says of a head."""

    check: CheckRun
    again: bool
    """Whether something could not be looked up that may be there later."""
    review: Review | None = None
    """What is said on the request; None where nothing is to be changed about what was said."""
    report: Report | None = None
    """What it was judged by; None where the policy cannot be read."""
    config: Config | None = None
    """The policy that stands."""


def guard(
    job: Job,
    forge: Forge,
    base: str,
    head: str,
    services: Services,
    now: datetime,
    merge_base: Callable[[str, str], str],
    asking: Asking | None = None,
) -> Guarded:
    """Return the check on what `head` brings in since it branched off `base`, both commits.

    Policy and exceptions are read at `base`, which is to be where its branch is now: what its policy was
    when the change branched off, anybody can choose.  Raises what the forge raises.
    """
    since = pipeline.AtCommit(forge, job.repository, merge_base(base, head))
    rules = pipeline.AtCommit(forge, job.repository, base)
    reading = pipeline.AtCommit(forge, job.repository, head)
    services = replace(services, reading=lambda _job: reading, pins=True, updates=False)
    try:
        report = pipeline.inspect(job, services, now, pipeline.Before(since=since, rules=rules))
        config = pipeline.configuration(rules, services)
    except pipeline.BrokenError as error:
        return Guarded(
            check=_broken(error, base, head, asking is not None and asking.rules_alone), again=False
        )
    judged = pipeline.guard(report, config)
    review = None
    if asking is not None and config.mode is Mode.PROPOSE:
        review = _review(report, judged, since, asking)
    return Guarded(
        check=_explained(
            _check(judged, config, base, _rules(since, reading, report), review),
            judged if asking is not None and asking.explains else None,
        ),
        again=pipeline.passing(judged) is not None,
        review=review,
        report=judged,
        config=config,
    )


def undecided(why: str, server: Config) -> CheckRun:
    """Return the check of a head that could not be judged: what the server says of what cannot be known."""
    title, summary = checks.undecided(why)
    fails = policy.guard(server).unreachable is Unreachable.FAILURE
    conclusion = Conclusion.FAILURE if fails else Conclusion.NEUTRAL
    return CheckRun(
        conclusion=conclusion, title=title, summary=summary, brief=checks.brief_because(title, why)
    )


def broken(mistakes: Sequence[ConfigurationError], commit: str, server: Config) -> CheckRun:
    """Return the check of a commit at the head of a branch whose configuration is broken."""
    title, summary = checks.broken(mistakes, commit, "branch")
    return replace(
        undecided("", server),
        title=title,
        summary=summary,
        annotations=_of_configuration(mistakes),
        brief="",
    )


def mended() -> CheckRun:
    """Return the check that takes the place of `broken` where the same commit is not broken any more."""
    title, summary = checks.mended()
    return CheckRun(conclusion=Conclusion.SUCCESS, title=title, summary=summary)


def overridden(check: CheckRun, by: str, because: str) -> CheckRun:
    """Return a check that passes since somebody broke the glass; what it would have said stays below."""
    if check.conclusion is Conclusion.SUCCESS:
        return check
    title, summary = checks.overridden(check.title, check.summary, by, because)
    return replace(
        check,
        conclusion=Conclusion.SUCCESS,
        title=title,
        summary=summary,
        held=False,
        brief=checks.brief_because(title, f"{by}, because {because}"),
    )


Failure: TypeAlias = tuple[str, str, str]
"""A path, a rule and what it is about."""


def failures(check: CheckRun) -> frozenset[Failure]:
    """Return what fails a check, so that it is known again in another commit; empty where nothing does.

    Lines and digests that tags point to may differ.  Where more fails than a check holds, nothing is known
    again.
    """
    if check.conclusion is not Conclusion.FAILURE:
        return frozenset()
    if len(check.annotations) >= _ANNOTATIONS:
        return frozenset({("", check.summary, "")})
    found = frozenset(
        (one.path, one.title, one.message.partition(" is refused: ")[0])
        for one in check.annotations
        if one.level is Level.FAILURE or one.title == problems.Rule.UNREAD.value
    )
    return found or frozenset({("", check.title, "")})


_WORST = (Conclusion.FAILURE, Conclusion.NEUTRAL, Conclusion.SUCCESS)


def together(judged: Sequence[Judgement]) -> CheckRun:
    """Return the one check of a commit that several propose, who are told different things: the worst.

    What one of them brings in another may have at its base already.
    """
    if len(judged) == 1:
        return judged[0].check
    ranked = sorted(
        judged, key=lambda one: (_WORST.index(one.check.conclusion), not one.check.held, one.number)
    )
    worst = ranked[0].check
    shares = [
        checks.Share(number=one.number, base=one.base, title=one.check.title, summary=one.check.summary)
        for one in ranked
    ]
    title, summary = checks.shared(shares)
    about = worst.brief.removeprefix(worst.title).removeprefix(": ")
    annotations = dict.fromkeys(each for one in ranked for each in one.check.annotations)
    buttons = dict.fromkeys(each for one in ranked for each in one.check.buttons)
    return replace(
        worst,
        title=title,
        summary=summary,
        annotations=tuple(annotations)[:_ANNOTATIONS],
        buttons=tuple(one for one in _BUTTONS if one in buttons),
        held=any(one.check.held for one in judged),
        brief=checks.brief_because(title, f"first {about}" if about else ""),
    )


def irrelevant(files: int) -> CheckRun:
    """Return the check of a change that cannot bring anything in."""
    title, summary = checks.irrelevant(files)
    return CheckRun(conclusion=Conclusion.SUCCESS, title=title, summary=summary)


def left_out(check: CheckRun, remarks: int) -> CheckRun:
    """Return a check that says how many remarks it tells alone, since no review is said now."""
    return replace(check, summary=checks.left_out(check.summary, remarks)) if remarks else check


def _explained(check: CheckRun, report: Report | None) -> CheckRun:
    """Return a check with everything that is known of each reference below its summary."""
    if report is None:
        return check
    texts = ["\n".join(explanation.lines(one)) for one in report.verdicts[:_EXPLAINED]]
    summary = checks.explained(check.summary, texts, len(report.verdicts) - len(texts))
    return replace(check, summary=summary)


def _review(report: Report, judged: Report, since: AtCommit, asking: Asking) -> Review:
    def changed(paths: Collection[str]) -> Iterable[ChangedFile]:
        before = since.read(paths)
        sure = {
            path: proposals.sure(path, data, report.snapshot.files.get(path, b""))
            for path, data in before.items()
        }
        # Of a file that is new every line is shown.
        sure |= {one.path: one for one in asking.known if one.path in paths and one.hunks}
        spoken_of = [one.finding.location for one in judged.verdicts if one.finding.location.path in paths]
        for place in spoken_of:
            known = sure.get(place.path)
            if known is None or not any(first <= place.line <= last for first, last in known.hunks):
                return asking.changed()
        return sure.values()  # nobody has to be asked what any diff shows

    return pipeline.review(report, judged, changed, Standing(count=report.stood, link=asking.link))


def _rules(since: AtCommit, reading: AtCommit, report: Report) -> tuple[checks.Rules, ...]:
    """Return the files in which rules may differ between the two: the configuration, and inline marks."""
    marked = {path: _marks(data) for path, data in report.snapshot.files.items() if _MARK in data}
    before = {path: _marks(data) for path, data in since.read(sorted(marked)).items()}
    return (
        checks.Rules(before=since.read(CONFIG_PATHS), after=reading.read(CONFIG_PATHS)),
        checks.Rules(before=before, after=marked),
    )


def _marks(data: bytes) -> bytes:
    """Return the lines of a file that speak to us."""
    return b"\n".join(line.strip() for line in data.splitlines() if _MARK in line)


def _check(
    report: Report, config: Config, base: str, rules: tuple[checks.Rules, ...], review: Review | None
) -> CheckRun:
    unread = introduced.unread(report.unread)
    outcomes = {verdict.outcome for verdict in report.verdicts}
    if Outcome.REFUSE in outcomes or (unread and policy.guard(config).held is Floating.FAIL):
        conclusion = Conclusion.FAILURE
    elif unread or outcomes & {Outcome.HOLD, Outcome.WARN}:
        conclusion = Conclusion.NEUTRAL
    else:
        conclusion = Conclusion.SUCCESS
    title, summary = checks.guard(report, unread, base, rules)
    suggests = review is not None and any(one.suggestion is not None for one in review.remarks)
    offered = review is not None and conclusion is not Conclusion.SUCCESS
    buttons = tuple(one for one in _BUTTONS if offered and (suggests or one.id != PIN))
    return CheckRun(
        conclusion=conclusion,
        title=title,
        summary=summary,
        annotations=_annotations(replace(report, unread=unread)),
        buttons=buttons,
        held=bool(unread) and policy.guard(config).held is not Floating.OFF,
        brief=checks.brief(title, report, unread),
    )


def _annotations(report: Report) -> tuple[Annotation, ...]:
    made = [
        Annotation(
            path=one.path,
            line=one.line,
            level=_LEVELS[one.level],
            title=one.rule.value,
            message=visible(for_reviewers(one.text), 2000),
        )
        for one in problems.problems(report)
    ]
    # The worst first: what does not fit is at least the least.
    made.sort(key=lambda one: list(_LEVELS.values()).index(one.level))
    return tuple(made[:_ANNOTATIONS])


def _broken(error: pipeline.BrokenError, base: str, head: str, rules_alone: bool) -> CheckRun:
    """Return the check where no policy can be read: only a change that mends it, and nothing else, may pass."""
    whose, commit = ("change", head) if error.brought else ("base", base)
    title, summary = checks.broken(error.mistakes, commit, whose, mended=error.mended)
    return CheckRun(
        conclusion=Conclusion.NEUTRAL if error.mended and rules_alone else Conclusion.FAILURE,
        title=title,
        summary=summary,
        # Lines of another commit are none of this one's.
        annotations=_of_configuration(error.mistakes) if error.brought else (),
    )


def _of_configuration(mistakes: Sequence[ConfigurationError]) -> tuple[Annotation, ...]:
    return tuple(
        Annotation(
            path=one.path,
            line=one.line,
            level=Level.FAILURE,
            title="configuration",
            message=visible(for_reviewers(str(one)), 2000),
        )
        for one in mistakes[:_ANNOTATIONS]
        if one.path and one.line
    )
