"""Typosquats: names that are easily taken for well-known ones, before a pin makes the slip last.

A name that stands for another one (`library/nodejs`, `gchr.io/...`) fails.  One that merely
resembles another (`acme/mango`) may well be meant: that is unknown, and worth a warning at most.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from typing import NamedTuple

from bot import globs
from bot.model import (
    Evidence,
    Fact,
    Finding,
    GitReference,
    ImageReference,
    Kind,
    Reference,
    Ruling,
    Status,
    Subject,
)
from bot.reference import DOCKER_HUB
from bot.trust.base import Judgement, Rule, Sources
from bot.trust.well_known import (
    ACTIONS,
    ALIASES,
    ELSEWHERE,
    NAMESPACES,
    OFFICIAL_IMAGES,
    REGISTRIES,
)

name = "typosquat"
kinds = frozenset({Kind.IMAGE, Kind.ACTION})

SHORTEST = 4
"""Letters from which on a single slip is told from another name."""
SHORTEST_OWNER = 5
"""The same for namespaces and owners, which are anybody's to choose."""
_LONGEST = 100
_SIMILAR = str.maketrans("0135", "oles", "-_.")
_DIGITS = re.compile(r"[0-9.]+\Z")
_OWNERS = frozenset(action.partition("/")[0] for action in ACTIONS)


class Likeness(NamedTuple):
    """What a name resembles, and whether it can hardly be meant."""

    like: str
    why: str
    strong: bool


def gather(subject: Subject, _sources: Sources) -> Evidence:
    """Return what well-known name the reference resembles; nothing is asked of anybody."""
    found = likeness(subject.reference)
    facts: dict[str, Fact] = {}
    detail = ""
    if found is not None:
        facts = {"like": found.like, "strong": found.strong}
        detail = found.why
    return Evidence(check=name, digest=subject.digest, status=Status.VERIFIED, facts=facts, detail=detail)


def judge(finding: Finding, _old: Evidence | None, new: Evidence, rule: Rule, _now: datetime) -> Judgement:
    """Return a fail for a name that stands for another, unknown for one that resembles another."""
    if "like" not in new.facts:
        return Judgement(ruling=Ruling.PASS, text="resembles no well-known name")
    allowed = rule.options.get("allow", ())
    reference = finding.reference
    if reference is not None and isinstance(allowed, tuple):
        for glob in allowed:
            if globs.names(glob, reference):
                return Judgement(ruling=Ruling.PASS, text=f"{glob} is allowed by name")
    ruling = Ruling.FAIL if new.facts.get("strong") is True else Ruling.UNKNOWN
    return Judgement(ruling=ruling, text=new.detail)


def likeness(reference: Reference) -> Likeness | None:
    """Return what a reference's name resembles, or None."""
    if isinstance(reference, ImageReference):
        return _image(reference)
    return _action(reference) if reference.host in ("", "github.com") else None


def _image(image: ImageReference) -> Likeness | None:
    if image.registry != DOCKER_HUB:
        near = None if image.registry in REGISTRIES else _near(image.registry, REGISTRIES)
        if near is None:
            return None
        return Likeness(near, f"the registry {image.registry} looks like {near}", strong=True)
    namespace, _, rest = image.repository.partition("/")
    if namespace == "library":
        return _official(rest)
    return _namespaced(namespace, rest)


def _official(base: str) -> Likeness | None:
    if base in OFFICIAL_IMAGES:
        return None
    meant = ALIASES.get(base) or _without_digits(base, OFFICIAL_IMAGES) or _near(base, OFFICIAL_IMAGES)
    if meant is None:
        return None  # Docker alone can publish there: an official image that is newer than our list
    return Likeness(meant, f"{base} is no official image; {meant} is", strong=True)


def _namespaced(namespace: str, rest: str) -> Likeness | None:
    if namespace in NAMESPACES:
        return None
    near = _near(namespace, NAMESPACES, SHORTEST_OWNER)
    if near is not None and namespace not in OFFICIAL_IMAGES:
        return Likeness(near, f"the namespace {namespace} looks like {near}", strong=_known(rest))
    base = rest.rpartition("/")[2]
    if namespace != base and namespace.startswith(base) and base in OFFICIAL_IMAGES | ELSEWHERE:
        return Likeness(
            base,
            f"the namespace {namespace} borrows the name of {base}, which is published elsewhere",
            strong=True,
        )
    if base in OFFICIAL_IMAGES or _without_digits(base, OFFICIAL_IMAGES):
        return None  # everybody's own nginx: told apart by its namespace
    near = _near(base, OFFICIAL_IMAGES)
    if near is None:
        return None
    return Likeness(near, f"{namespace}/{rest} looks like the official image {near}", strong=False)


def _known(rest: str) -> bool:
    """Return whether an image is one that the namespaces next door are known for."""
    base = rest.rpartition("/")[2]
    return base in OFFICIAL_IMAGES or base in NAMESPACES or base in ELSEWHERE


def _action(git: GitReference) -> Likeness | None:
    repository = git.repository.lower()
    if repository in ACTIONS:
        return None
    owner, _, _ = repository.partition("/")
    near = _near(repository, ACTIONS)
    if near is not None:
        return Likeness(near, f"{git.repository} looks like {near}", strong=True)
    if owner in _OWNERS:
        return None
    near = _near(owner, _OWNERS, SHORTEST_OWNER)
    if near is None:
        return None
    return Likeness(near, f"the owner {owner} looks like {near}", strong=False)


def _without_digits(base: str, known: frozenset[str]) -> str | None:
    """Return the known name that a version was glued to: `python39`, `node-20`."""
    short = _DIGITS.sub("", base).rstrip("-_.")
    return short if short != base and short in known else None


def _near(text: str, known: frozenset[str], shortest: int = SHORTEST) -> str | None:
    """Return the known name that looks the same or is one slip away, one as long as the text first.

    A slip is a letter too many, too few, exchanged or swapped with its neighbour.
    """
    if len(text) > _LONGEST:
        return None
    from rapidfuzz.distance import DamerauLevenshtein  # noqa: PLC0415 - only where a name is not known

    skeleton = _skeleton(text)
    near = [
        one
        for one, other in _with_skeletons(known)
        if one != text
        and (
            (other == skeleton and len(skeleton) >= 3)
            or (
                min(len(text), len(one)) >= shortest
                and abs(len(text) - len(one)) <= 1
                and DamerauLevenshtein.distance(text, one, score_cutoff=1) <= 1
            )
        )
    ]
    return min(near, key=lambda one: abs(len(one) - len(text)), default=None)


@cache
def _with_skeletons(known: frozenset[str]) -> tuple[tuple[str, str], ...]:
    return tuple((one, _skeleton(one)) for one in sorted(known))


def _skeleton(text: str) -> str:
    """Return a name as the eye has it: without separators, lookalikes as one letter."""
    return text.translate(_SIMILAR).replace("rn", "m").replace("vv", "w").replace("i", "l")
