"""From candidates to verdicts: evidence is gathered once a digest, and the policy weighs it."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from bot import selection
from bot.built import without_tag
from bot.config import Config
from bot.model import (
    Candidate,
    Cause,
    Evidence,
    Finding,
    GitReference,
    ImageReference,
    Kind,
    Outcome,
    Reason,
    Reference,
    Resolution,
    Ruling,
    SkipReason,
    Subject,
    Unresolved,
    Verdict,
)
from bot.pipeline.resolving import candidate_of, question, resolutions
from bot.pipeline.services import Services
from bot.reference import parse_image
from bot.trust import CHECKS, policy
from bot.trust.base import Check


def judge(
    chosen: Sequence[Finding], config: Config, services: Services, now: datetime
) -> tuple[Verdict, ...]:
    """Return the verdicts on findings: looked up, checked, and weighed by the policy."""
    resolved = resolutions(chosen, services)
    # Only what was asked about gets an answer: another place may ask about the same reference.
    paired = [
        candidate_of(finding, resolved) if question(finding, services) is not None else None
        for finding in chosen
    ]
    rulebook = policy.Rulebook(config)
    evidence = _gather([one for one in paired if isinstance(one, Candidate)], rulebook, services)
    return tuple(
        _verdict(finding, one, evidence, config, rulebook, services, now)
        for finding, one in zip(chosen, paired, strict=True)
    )


_Gathered: TypeAlias = Mapping[tuple[Reference, str], Mapping[str, Evidence]]
"""Evidence by check, of a reference's digest."""


def _gather(made: Sequence[Candidate], rulebook: policy.Rulebook, services: Services) -> _Gathered:
    """Return the evidence on each digest, new and old alike, gathered once."""
    asked: dict[tuple[str, Reference, str], tuple[Check, Subject]] = {}
    for one in made:
        reference = one.resolution.reference
        for check in rulebook.wanted(one.finding, one.cause):
            for digest in filter(None, {one.target, one.current}):
                key = (check.name, reference, digest)
                if key not in asked:
                    answer = one.resolution if digest == one.target else None
                    asked[key] = (check, Subject(reference=reference, digest=digest, resolution=answer))
    parts = Counter(subject.reference for _, subject in asked.values())
    ended = {reference: itertools.count(1) for reference in parts}
    done = itertools.count(1)

    def gather(pair: tuple[Check, Subject]) -> Evidence:
        check, subject = pair
        evidence = check.gather(subject, services.sources)
        if next(ended[subject.reference]) == parts[subject.reference]:
            services.progress("Checking", next(done), len(parts))
        return evidence

    found: dict[tuple[Reference, str], dict[str, Evidence]] = {}
    for (name, reference, digest), evidence in zip(
        asked, services.spread(gather, list(asked.values())), strict=True
    ):
        found.setdefault((reference, digest), {})[name] = evidence
    return found


def _by_name(
    finding: Finding, config: Config, rulebook: policy.Rulebook, services: Services, now: datetime
) -> Verdict:
    """Return the verdict on what has no answer: what mutes that it floats never mutes a refusal."""
    doubted = services.doubted(finding)
    asked = rulebook.of_names(finding) if doubted or finding.skip in _NAMED else {}
    reference = _named(finding) if asked else None
    if reference is not None:
        subject = Subject(reference=reference, digest="")
        known = {name: CHECKS[name].gather(subject, services.sources) for name in asked}
        nowhere = Resolution(reference=reference, digest="", source="")
        named = Candidate(finding=finding, current=None, target="", resolution=nowhere, cause=Cause.FIRST)
        outcome, reasons = policy.judge(named, {}, known, config, now, services.decisions, asked)
        if outcome is Outcome.REFUSE:
            return Verdict(
                finding=finding, outcome=Outcome.HOLD if doubted else Outcome.REFUSE, reasons=reasons
            )
    return Verdict(finding=finding, outcome=Outcome.PASS)


_NAMED = frozenset(
    {
        None,
        SkipReason.IGNORED,
        SkipReason.OWN,
        SkipReason.VARIABLE,
        SkipReason.PARTIAL_VARIABLE,
        SkipReason.SHARED_VARIABLE,
        SkipReason.MUST_STAY_TAG,
        SkipReason.ESCAPED,
        SkipReason.NO_PLACE,
        SkipReason.UNSUPPORTED,
    }
)
"""What is used under its name all the same, so that the checks of names count for it."""


def _named(finding: Finding) -> Reference | None:
    """Return the reference of a finding as far as its name is written out, or None."""
    reference = finding.reference
    if reference is None and finding.kind is Kind.IMAGE:
        reference = parse_image(without_tag(finding.value))
    match reference:
        case ImageReference(registry=registry, repository=repository):
            name = f"{registry}/{repository}"
        case GitReference(host=host, repository=repository):
            name = f"{host}/{repository}"
        case None:
            return None
    return None if _VARYING.search(name) else reference


_VARYING = re.compile(r"[$%{}\[\]()`]")


def _verdict(
    finding: Finding,
    one: Candidate | Unresolved | None,
    evidence: _Gathered,
    config: Config,
    rulebook: policy.Rulebook,
    services: Services,
    now: datetime,
) -> Verdict:
    if one is None:
        return _by_name(finding, config, rulebook, services, now)
    if isinstance(one, Unresolved):
        reason = Reason(check="look-up", ruling=Ruling.UNKNOWN, text=one.detail)
        # Whoever owns a registry chooses whom it answers: what its name alone refuses stays refused.
        named = _by_name(finding, config, rulebook, services, now)
        outcome = Outcome.REFUSE if named.outcome is Outcome.REFUSE else Outcome.HOLD
        return Verdict(finding=finding, outcome=outcome, reasons=(reason, *named.reasons), unresolved=one)
    reference = one.resolution.reference
    new = evidence.get((reference, one.target), {})
    old = evidence.get((reference, one.current), {}) if one.current else {}
    asked = rulebook.rules(finding, one.cause)
    outcome, reasons = policy.judge(one, old, new, config, now, services.decisions, asked)
    muted = selection.declined(one, services.decisions, now)
    if muted is not None and one.cause is not Cause.KEEP:
        # What it floats to is not wanted; what policy refuses is refused all the same.
        finding = replace(finding, skip=SkipReason.IGNORED, note=muted)
    return Verdict(
        finding=finding, outcome=outcome, reasons=reasons, candidate=one, evidence=tuple(new.values())
    )
