"""The first verb: everything from a job down to its report.  Reads only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from bot import peers
from bot.config import Updates
from bot.model import Finding, Job, Report
from bot.pipeline.comparing import backed, came_in, unmarked
from bot.pipeline.configuring import foresee
from bot.pipeline.judging import judge
from bot.pipeline.looking import Survey, grounded, look
from bot.pipeline.reading import Reading
from bot.pipeline.services import Services

BESIDE = frozenset(peers.PEER_PATHS)
"""Files that no finder claims and that rule what is proposed, beside our own configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a change is held against."""

    since: Reading
    """The merge base: what is there already did not come in."""
    rules: Reading
    """What the change is to be merged into, as it is now: its policy counts, and nothing older."""


def inspect(job: Job, services: Services, now: datetime, before: Before | None = None) -> Report:
    """Return what is in a repository, where it should go and what is known about it.

    With `before`, what came in since then, by the policy that stands now; an inline mark does not count
    then, since whoever brings a reference in can bring its mark, too.  Reads only.
    Raises `ConfigurationError` for a broken configuration, a `BrokenError` with `before`, and `ForgeError`
    where files cannot be read.
    """
    if before is None:
        survey = look(job, services, now)
    else:
        since, rules = before.since, before.rules
        foresee(services.reading(job), since, rules, services)
        services = replace(services, policy=lambda _job: rules, marks=unmarked)
        base = look(job, replace(services, reading=lambda _job: since), now)
        head = look(job, services, now)

        def target() -> Survey:
            if rules.commit == since.commit:
                return base
            return look(job, replace(services, reading=lambda _job: rules), now)

        made = backed(head, base, target, services, now)
        survey = came_in(made.survey, base, services.reading(job), since)
        services = replace(services, doubted=lambda one: one.location in made.claims)
    chosen = [grounded(one, services) for one in survey.selected]
    if services.updates:
        services = replace(services, refreshed=_refreshed(job, services, survey))
    return survey.report(judge(chosen, survey.config, services, now), now)


def _refreshed(job: Job, services: Services, survey: Survey) -> Callable[[Finding], bool]:
    """Return whether somebody else keeps a pinned reference up to date, or nobody should."""
    match survey.config.updates:
        case Updates.NEVER:
            return lambda _finding: True
        case Updates.ALWAYS:
            return lambda _finding: False
        case Updates.AUTO:
            found = peers.refreshed(services.reading(job).read(peers.PEER_PATHS))

            def refreshed(one: Finding) -> bool:
                data = survey.snapshot.files.get(one.location.path, b"")
                return peers.refreshes(found, one, data, job.ref, default=services.default) is not None

            return refreshed
