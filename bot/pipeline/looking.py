"""What finders and selection say of a repository, before anything is looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from bot import finders, selection
from bot.config import Config
from bot.marks import Marks
from bot.model import (
    BuildArgument,
    BuildContext,
    Built,
    Finding,
    GitReference,
    ImageReference,
    Job,
    Location,
    Reference,
    Report,
    SkipReason,
    Snapshot,
    Unread,
    Verdict,
)
from bot.pipeline.configuring import configuration
from bot.pipeline.needing import with_needed
from bot.pipeline.services import Ground
from bot.yamltree import sparing


@dataclass(frozen=True, slots=True, kw_only=True)
class Excuses:
    """What files say elsewhere that lets a reference float: built here, replaced or masked from outside."""

    built: tuple[Built, ...] = ()
    arguments: tuple[BuildArgument, ...] = ()
    contexts: tuple[BuildContext, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What is in a repository, before anything is looked up."""

    job: Job
    config: Config
    snapshot: Snapshot
    found: Mapping[str, tuple[Finding, ...]]
    selected: tuple[Finding, ...]
    unread: tuple[Unread, ...]
    asked: tuple[str, ...] = ()
    """Paths and globs that were asked for beside what finders claim."""
    stood: int = 0
    """How many of the references that float did not come in."""
    excuses: Excuses = Excuses()

    def report(self, verdicts: tuple[Verdict, ...], now: datetime) -> Report:
        """Return the report of this survey with its verdicts."""
        return Report(
            job=self.job,
            commit=self.snapshot.commit,
            files=len(self.found),
            verdicts=verdicts,
            unread=self.unread,
            made_at=now,
            snapshot=self.snapshot,
            found=self.found,
            notes=(*self.config.overruled, *self.config.lapsed(now.date())),
            asked=self.asked,
            stood=self.stood,
        )


@sparing()
def look(job: Job, ground: Ground, now: datetime) -> Survey:
    """Return what finders and selection say of a repository; no look-ups, no network but the forge's."""
    reading = ground.reading(job)
    config = configuration((ground.policy or ground.reading)(job), ground)
    left_out = partial(selection.left_out, config=config)
    snapshot, asked = with_needed(reading.snapshot(finders.claims, left_out), reading, left_out)
    found: dict[str, tuple[Finding, ...]] = {}
    unread = list(snapshot.unread)
    built: list[Built] = []
    arguments: list[BuildArgument] = []
    contexts: list[BuildContext] = []
    for path, _, findings in finders.find(snapshot.files):
        found[path] = found.get(path, ()) + findings.references
        unread += findings.unread
        built += findings.built
        arguments += findings.arguments
        contexts += findings.contexts
    excuses = Excuses(built=tuple(built), arguments=tuple(arguments), contexts=tuple(contexts))
    survey = Survey(
        job=job,
        config=config,
        snapshot=snapshot,
        found=found,
        selected=(),
        unread=tuple(unread),
        asked=asked,
        excuses=excuses,
    )
    selected = selected_by(survey, excuses, ground, now)
    if ground.marks is not None:
        selected = _unheeded(selected, Marks(snapshot.files))
    return replace(survey, selected=selected)


def selected_by(survey: Survey, excuses: Excuses, ground: Ground, now: datetime) -> tuple[Finding, ...]:
    """Return what selection says of the findings of a survey, in order, where these excuses count."""
    job = survey.job
    return selection.select(
        once(survey.found),
        config=survey.config,
        built=excuses.built,
        arguments=excuses.arguments,
        contexts=excuses.contexts,
        files=_marked(survey.snapshot.files, ground.marks),
        host=ground.host,
        owner=ground.owner,
        now=now,
        decisions=ground.decisions,
        repository=job.repository if ground.owner and job.repository.startswith(f"{ground.owner}/") else "",
    )


def _marked(files: Mapping[str, bytes], marks: Callable[[bytes], bytes] | None) -> Mapping[str, bytes]:
    """Return the files that marks are read from."""
    if marks is None:
        return files
    return {path: marks(data) for path, data in files.items() if b'"$imagepolicy"' in data}


def _unheeded(selected: Iterable[Finding], marks: Marks) -> tuple[Finding, ...]:
    """Return findings with a note where a mark would let them float, and does not yet."""
    return tuple(
        replace(one, note=f"the mark in line {mark.line} does not count before it is merged")
        if one.skip is None and not one.note and (mark := marks.of(one)) is not None and mark.reason
        else one
        for one in selected
    )


def once(found: Mapping[str, tuple[Finding, ...]]) -> list[Finding]:
    """Return the findings of all files in the order of their places, each place once."""
    places: dict[Location, Finding] = {}
    for references in found.values():
        for finding in references:
            places.setdefault(finding.location, finding)
    return sorted(places.values(), key=lambda one: (one.location.path, one.location.span))


def grounded(finding: Finding, ground: Ground) -> Finding:
    """Return the finding with the forge's own variables replaced by its hosts, as far as they are known."""
    match finding.reference:
        case ImageReference(registry=registry) as image if registry.startswith("$"):
            name, colon, port = registry.partition(":")
            host = ground.hosts.get(name)
            reference: Reference = replace(image, registry=f"{host}{colon}{port}") if host else image
        case GitReference(host=name) as git if not name or name.startswith("$"):
            host = ground.hosts.get(name) or ground.host
            reference = replace(git, host=host) if host else git
        case _:
            return finding
    if host:
        return replace(finding, reference=reference)
    if finding.skip is not None:
        return finding
    return replace(
        finding, skip=SkipReason.VARIABLE, note="which host this names is not known without the forge"
    )
