"""The guard on what people propose: what a change brings in, judged by the policy that stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from bot import introduced, pipeline
from bot.config import Config, Floating
from bot.errors import ConfigurationError
from bot.forges.base import Forge
from bot.model import Annotation, CheckRun, Conclusion, Job, Level, Outcome, Report
from bot.output import problems
from bot.pipeline import Services
from bot.proposals import checks
from bot.trust import policy
from bot.visible import visible

_ANNOTATIONS = 500
_LEVELS = {
    problems.Level.ERROR: Level.FAILURE,
    problems.Level.WARNING: Level.WARNING,
    problems.Level.NOTE: Level.NOTICE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """What the guard says of a head."""

    check: CheckRun
    again: bool
    """Whether something could not be looked up that may be there later."""


def guard(
    job: Job,
    forge: Forge,
    base: str,
    head: str,
    services: Services,
    now: datetime,
    merge_base: Callable[[str, str], str],
) -> Guarded:
    """Return the check on what `head` brings in since it branched off `base`, both commits.

    Policy and exceptions are read at the merge base.  Raises what the forge raises.
    """
    since_commit = merge_base(base, head)
    since = pipeline.AtCommit(forge, job.repository, since_commit)
    reading = pipeline.AtCommit(forge, job.repository, head)
    services = replace(services, reading=lambda _job: reading, pins=True, updates=False)
    try:
        report = pipeline.inspect(job, services, now, since)
        config = pipeline.configuration(since, services)
    except ConfigurationError as error:
        title, summary = checks.undecided(str(error))
        return Guarded(
            check=CheckRun(
                conclusion=Conclusion.FAILURE,
                title=title,
                summary=summary,
                annotations=_of_configuration(error),
            ),
            again=False,
        )
    judged = pipeline.guard(report, config)
    return Guarded(check=_check(judged, config, since_commit), again=pipeline.passing(judged) is not None)


def undecided(why: str) -> CheckRun:
    """Return the check of a head that could not be judged: neither passed nor failed."""
    title, summary = checks.undecided(why)
    return CheckRun(conclusion=Conclusion.NEUTRAL, title=title, summary=summary)


def _check(report: Report, config: Config, base: str) -> CheckRun:
    unread = introduced.unread(report.unread)
    outcomes = {verdict.outcome for verdict in report.verdicts}
    if Outcome.REFUSE in outcomes or (unread and policy.guard(config).held is Floating.FAIL):
        conclusion = Conclusion.FAILURE
    elif unread or outcomes & {Outcome.HOLD, Outcome.WARN}:
        conclusion = Conclusion.NEUTRAL
    else:
        conclusion = Conclusion.SUCCESS
    title, summary = checks.guard(report, unread, base)
    return CheckRun(
        conclusion=conclusion,
        title=title,
        summary=summary,
        annotations=_annotations(replace(report, unread=unread)),
    )


def _annotations(report: Report) -> tuple[Annotation, ...]:
    made = [
        Annotation(
            path=one.path,
            line=one.line,
            level=_LEVELS[one.level],
            title=one.rule.value,
            message=visible(one.text, 2000),
        )
        for one in problems.problems(report)
    ]
    # The worst first: what does not fit is at least the least.
    made.sort(key=lambda one: list(_LEVELS.values()).index(one.level))
    return tuple(made[:_ANNOTATIONS])


def _of_configuration(error: ConfigurationError) -> tuple[Annotation, ...]:
    if not error.path or not error.line:
        return ()
    message = visible(str(error), 2000)
    return (
        Annotation(
            path=error.path, line=error.line, level=Level.FAILURE, title="configuration", message=message
        ),
    )
