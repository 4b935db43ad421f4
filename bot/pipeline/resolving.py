"""From references to candidates: what is looked up, once each, and what it comes to."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bot import candidates
from bot.model import (
    Candidate,
    Cause,
    Finding,
    GitReference,
    ImageReference,
    Reference,
    Resolution,
    SkipReason,
    Unresolved,
    UnresolvedReason,
)
from bot.pipeline.services import Services
from bot.reference import is_commit


def question(finding: Finding, services: Services) -> Reference | None:
    """Return the reference to look up for a finding, or None where there is nothing to ask."""
    reference = finding.reference
    if finding.skip is None:
        return reference
    if finding.skip is not SkipReason.PINNED:
        return None
    if services.pins:
        return reference
    match reference:
        case GitReference() as git if finding.comment and finding.comment.version:
            return git  # its comment names a version: does it tell the truth?
        case ImageReference(tag=tag) as image if (
            services.updates and tag is not None and not services.refreshed(finding)
        ):
            return replace(image, digest=None)
        case _:
            return None


def resolutions(
    findings: Sequence[Finding], services: Services
) -> Mapping[Reference, Resolution | Unresolved]:
    asked = {
        reference: None for finding in findings if (reference := question(finding, services)) is not None
    }
    wanted = [one for one in asked if _fixed(one) is None]
    done = itertools.count(1)  # of which threads may ask at once

    def resolve(reference: Reference) -> Resolution | Unresolved:
        if isinstance(reference, ImageReference):
            answer = services.sources.images.resolve(reference)
        else:
            answer = services.sources.refs.resolve(reference)
        services.progress("Looking up", next(done), len(wanted))
        return answer

    answers: dict[Reference, Resolution | Unresolved] = dict(
        zip(wanted, services.spread(resolve, wanted), strict=True)
    )
    for reference in asked:
        if (digest := _fixed(reference)) is not None:
            answers[reference] = Resolution(reference=reference, digest=digest, source="the reference")
    return answers


def _fixed(reference: Reference) -> str | None:
    """Return the digest or commit that a reference names itself, or None where it has to be asked for."""
    if isinstance(reference, ImageReference):
        return reference.digest
    return reference.ref if is_commit(reference.ref) else None


def candidate_of(
    finding: Finding, resolved: Mapping[Reference, Resolution | Unresolved]
) -> Candidate | Unresolved | None:
    reference = finding.reference
    answer: Resolution | Unresolved | None = None
    if reference is not None:
        answer = resolved.get(reference)
        if answer is None and isinstance(reference, ImageReference) and reference.digest:
            answer = resolved.get(replace(reference, digest=None))
    if answer is None or isinstance(answer, Unresolved):
        return answer
    made = candidates.candidate(finding, answer)
    if made.cause is not Cause.KEEP and not candidates.fits(made):
        return Unresolved(
            reference=answer.reference,
            reason=UnresolvedReason.INVALID,
            detail=f"what {answer.source} answered cannot be written here",
        )
    return made
