"""Digest honesty: what a digest leads to is what it was said to be, and says it plainly.

By the OCI image specification (manifest, image index) and its Docker forerunners.  The client
has hashed the body already; here it is hashed again, read, and held against the look-up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime

from bot.model import (
    Evidence,
    Fact,
    Finding,
    ImageReference,
    Kind,
    Manifest,
    Ruling,
    Status,
    Subject,
    Unresolved,
    UnresolvedReason,
)
from bot.trust import manifest_content, unanswered
from bot.trust.base import Judgement, Rule, Sources
from bot.trust.manifest_content import INDEXES, MANIFESTS, MAX_CHILDREN

name = "digest-honesty"
kinds = frozenset({Kind.IMAGE})

MAX_BODY = 4 * 1024 * 1024
"""Bytes; what the distribution specification asks registries to take."""
_LIES = frozenset({UnresolvedReason.LYING, UnresolvedReason.INVALID, UnresolvedReason.TOO_LARGE})
_SHOWN = 5


def gather(subject: Subject, sources: Sources) -> Evidence:
    """Return what the manifest behind a digest says of itself."""
    if not isinstance(subject.reference, ImageReference):
        return Evidence(check=name, digest=subject.digest, status=Status.UNSUPPORTED, detail="no image")
    answer = sources.images.manifest(subject.reference, subject.digest)
    if isinstance(answer, Unresolved):
        return unanswered.evidence(name, subject, answer, _LIES)
    said = subject.resolution.media_type if subject.resolution is not None else ""
    problems = tuple(_problems(answer, subject.digest, said))
    facts: dict[str, Fact] = {
        "media_type": answer.media_type,
        "is_index": answer.is_index,
        "platforms": tuple(str(platform) for platform in answer.platforms[:MAX_CHILDREN]),
        "size": answer.size,
    }
    return Evidence(
        check=name,
        digest=subject.digest,
        status=Status.INVALID if problems else Status.VERIFIED,
        facts=facts,
        detail="; ".join(problems[:_SHOWN]),
        source=answer.source,
    )


def judge(_finding: Finding, old: Evidence | None, new: Evidence, _rule: Rule, _now: datetime) -> Judgement:
    """Return a fail for what contradicts itself, unknown for what could not be read."""
    if new.status is Status.INVALID:
        return Judgement(ruling=Ruling.FAIL, text=new.detail or "the answer contradicts itself")
    if new.status is not Status.VERIFIED:
        return Judgement(ruling=Ruling.UNKNOWN, text=new.detail or "the manifest could not be read")
    before = old.facts if old is not None and old.status is Status.VERIFIED else {}
    if before.get("is_index") is True and new.facts.get("is_index") is False:
        text = "an index of several platforms became the manifest of a single one"
        return Judgement(ruling=Ruling.UNKNOWN, text=text)
    lost = sorted(_platforms(before) - _platforms(new.facts))
    text = "the manifest hashes to its digest"
    if lost:
        text += f"; no longer for {', '.join(lost[:_SHOWN])}"
    return Judgement(ruling=Ruling.PASS, text=text)


def _platforms(facts: Mapping[str, Fact]) -> set[str]:
    made = facts.get("platforms")
    return set(made) if isinstance(made, tuple) else set()


def _problems(manifest: Manifest, digest: str, said: str) -> Iterator[str]:
    """Yield what is wrong with an answer, in words that hold no text of the answer's own."""
    if manifest.digest != digest:
        yield "the answer is for another digest than was asked for"
    if len(manifest.body) > MAX_BODY:
        yield f"the manifest has {len(manifest.body)} bytes"
        return
    if manifest.size != len(manifest.body):
        yield f"the manifest has {len(manifest.body)} bytes and was announced with {manifest.size}"
    algorithm, _, expected = digest.partition(":")
    hashed = hashlib.sha512(manifest.body) if algorithm == "sha512" else hashlib.sha256(manifest.body)
    if hashed.hexdigest() != expected:
        yield "the body does not hash to the digest"
    if said and said != manifest.media_type:
        yield "the look-up and the download name different media types"
    if manifest.media_type not in INDEXES | MANIFESTS:
        yield "the media type is no image's and no index's"
    elif manifest.is_index != (manifest.media_type in INDEXES):
        yield "index and media type do not agree"
    yield from manifest_content.problems(manifest.body, manifest.media_type, is_index=manifest.is_index)
