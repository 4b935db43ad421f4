"""Digest honesty: what a digest leads to is what it was said to be, and says it plainly.

By the OCI image specification (manifest, image index) and its Docker forerunners.  The client
has hashed the body already; here it is hashed again, read, and held against the look-up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

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
from bot.reference import is_digest
from bot.trust.base import Judgement, Rule, Sources

name = "digest-honesty"
kinds = frozenset({Kind.IMAGE})

INDEXES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
MANIFESTS = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
MAX_BODY = 4 * 1024 * 1024
"""Bytes; what the distribution specification asks registries to take."""
MAX_CHILDREN = 1000
_LIES = frozenset({UnresolvedReason.LYING, UnresolvedReason.INVALID, UnresolvedReason.TOO_LARGE})
_PLATFORM = ("os", "architecture", "variant", "os.version", "os.features")
"""What tells platforms apart by the specification; other keys do not."""
_SHOWN = 5


def gather(subject: Subject, sources: Sources) -> Evidence:
    """Return what the manifest behind a digest says of itself."""
    if not isinstance(subject.reference, ImageReference):
        return Evidence(check=name, digest=subject.digest, status=Status.UNSUPPORTED, detail="no image")
    answer = sources.images.manifest(subject.reference, subject.digest)
    if isinstance(answer, Unresolved):
        lies = answer.reason in _LIES
        return Evidence(
            check=name,
            digest=subject.digest,
            status=Status.INVALID if lies else Status.ERROR,
            detail=answer.detail,
        )
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
    try:
        body: Any = json.loads(manifest.body)
    except (ValueError, RecursionError):
        yield "the manifest is no JSON"
        return
    yield from _content(body, manifest)


def _content(body: Any, manifest: Manifest) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "the manifest is no JSON object"
        return
    if body.get("mediaType", manifest.media_type) != manifest.media_type:
        yield "the manifest names another media type than the registry"
    if "manifests" in body and ("layers" in body or "config" in body):
        yield "the manifest is an index and an image at once"
    elif manifest.is_index:
        yield from _children(body.get("manifests"))
    elif not isinstance(body.get("config"), dict) or not isinstance(body.get("layers"), list):
        yield "the manifest has no configuration or no layers"


def _children(listed: Any) -> Iterator[str]:
    if not isinstance(listed, list) or not listed:
        yield "the index is empty"
        return
    if len(listed) > MAX_CHILDREN:
        yield f"the index lists {len(listed)} manifests"
        return
    if not all(isinstance(one, dict) for one in listed):
        yield "the index lists something that is no descriptor"
        return
    if not all(isinstance(one.get("digest"), str) and is_digest(one["digest"]) for one in listed):
        yield "the index lists a malformed digest"
    if not all(_is_size(one.get("size")) for one in listed):
        yield "the index lists a manifest without a size"
    if any(str(one.get("mediaType")) in INDEXES for one in listed):
        yield "the index holds another index, and which image runs depends on the client"
    yield from _runnable([one for one in listed if str(one.get("mediaType")) not in INDEXES])


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _runnable(children: list[dict[str, Any]]) -> Iterator[str]:
    """Yield trouble with platforms; attestations call theirs `unknown/unknown`."""
    digests: dict[str, object] = {}
    twice = False
    named = 0
    for child in children:
        platform = child.get("platform")
        if platform is None:
            named += 1  # the specification leaves it to the image's configuration
            continue
        if not isinstance(platform, dict):
            yield "the index lists a platform that is none"
            return
        if platform.get("os") == "unknown" or platform.get("architecture") == "unknown":
            continue
        named += 1
        key = json.dumps([platform.get(part) for part in _PLATFORM])
        twice = twice or digests.setdefault(key, child.get("digest")) != child.get("digest")
    if twice:
        yield "the index lists two different manifests for the same platform"
    if children and not named:
        yield "the index lists no platform that runs"
