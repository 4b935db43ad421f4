"""What a look found, kept for people who ask: names and verdicts, never contents."""

from __future__ import annotations

import logging
from datetime import datetime

from bot import globs, pipeline
from bot.config import Config
from bot.model import ImageReference, Report, Ruling, State, Verdict
from bot.runs import lasting
from bot.store.base import LastLook, Looked
from bot.trust import policy
from bot.visible import visible

_LONGEST = 300
_REASONS = 8
_NOTED = 10
_log = logging.getLogger(__name__)


def last_look(report: Report, config: Config, ended: datetime) -> LastLook:
    """Return what is remembered of a report, for `explain` and for whoever decides about an image.

    It is as old as its end: whoever spoke while registries were asked had not seen their answers.
    """
    _note(report)
    made = [one for verdict in report.verdicts if (one := _looked(verdict, config)) is not None]
    return LastLook(commit=report.commit or "", at=ended, references=tuple(made))


def _note(report: Report) -> None:
    """Log which settings would help: who reads an answer or a review is told to ask for them, not which they are."""
    told = [one.text for verdict in report.verdicts for one in verdict.reasons if "MOORLINE_" in one.text]
    job = report.job
    place = {"forge": job.forge, "repository": job.repository, "ref": job.ref}
    for text in tuple(dict.fromkeys(told))[:_NOTED]:
        _log.warning("a setting would help", extra={**place, "problem": visible(text, _LONGEST)})


def _looked(verdict: Verdict, config: Config) -> Looked | None:
    finding, candidate = verdict.finding, verdict.candidate
    reference = finding.reference
    if reference is None:
        return None
    held_by = policy.held_by(verdict)
    path = finding.location.path
    if isinstance(reference, ImageReference):
        written = reference.digest or ""
    else:
        written = reference.ref if finding.state is State.PINNED else ""
    told = [one.text for one in verdict.reasons if one.ruling is not Ruling.PASS and one.text]
    return Looked(
        path=path,
        line=finding.location.line,
        value=visible(finding.value, _LONGEST),
        spelling=globs.spellings(reference)[-1][:_LONGEST],
        names=tuple(one for one in globs.forms(reference) if len(one) <= _LONGEST),
        pinned=pipeline.pinned(verdict),
        kind=finding.kind.value,
        outcome=verdict.outcome.value,
        skip=finding.skip.value if finding.skip is not None else "",
        note=visible(finding.note, _LONGEST),
        reasons=tuple(visible(one, _LONGEST) for one in dict.fromkeys(told))[:_REASONS],
        written=written,
        target=candidate.target if candidate is not None else "",
        held_by=held_by,
        lasts_as=lasting.named(reference),
        insisted=tuple(name for name in held_by if not policy.may_except(name, path, config)),
    )
