"""Allowed registries: an image comes from where the repository's owner lets images come from."""

from __future__ import annotations

from datetime import datetime

from bot import globs
from bot.model import Evidence, Fact, Finding, ImageReference, Kind, Ruling, Status, Subject
from bot.trust.base import Demand, Judgement, Rule, Sources

name = "registries"
kinds = frozenset({Kind.IMAGE})

ALLOW = "allow"
"""Options that begin so hold lists of globs, each of which must have one that matches."""


def gather(subject: Subject, _sources: Sources) -> Evidence:
    """Return where a reference says that its image is; mirrors do not count."""
    reference = subject.reference
    if not isinstance(reference, ImageReference):
        return Evidence(check=name, digest=subject.digest, status=Status.UNSUPPORTED, detail="no image")
    facts: dict[str, Fact] = {"registry": reference.registry, "repository": reference.repository}
    return Evidence(check=name, digest=subject.digest, status=Status.VERIFIED, facts=facts)


def judge(_finding: Finding, _old: Evidence | None, new: Evidence, rule: Rule, _now: datetime) -> Judgement:
    """Return a fail for an image that some list does not name, unknown where a list is missing."""
    registry, repository = str(new.facts.get("registry", "")), str(new.facts.get("repository", ""))
    if new.status is not Status.VERIFIED:
        return Judgement(ruling=Ruling.UNKNOWN, text="the registry is not known")
    lists = [value for key, value in rule.options.items() if key.startswith(ALLOW)]
    if not lists:
        if rule.demand is Demand.REQUIRE:
            text = "no registries are allowed yet; name them under `registries.allow`"
            return Judgement(ruling=Ruling.UNKNOWN, text=text)
        return Judgement(ruling=Ruling.PASS, text="any registry is allowed")
    for allowed in lists:
        if not isinstance(allowed, tuple) or not any(_holds(glob, registry, repository) for glob in allowed):
            return Judgement(
                ruling=Ruling.FAIL, text=f"{registry}/{repository} is not among the allowed registries"
            )
    return Judgement(ruling=Ruling.PASS, text=f"{registry} is allowed")


def _holds(glob: str, registry: str, repository: str) -> bool:
    if "/" not in glob:
        return globs.matches(glob, registry)
    return globs.matches(glob, f"{registry}/{repository}")
