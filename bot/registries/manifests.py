"""What registries answer, read with suspicion.  Pure.

OCI image-spec (manifest, index, descriptor) and Docker's image manifest version 2, schema 2.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.model import Manifest, Platform, UnresolvedReason
from bot.reference import is_digest, is_tag
from bot.registries.trouble import TroubleError

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MEDIA_TYPES = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)
ACCEPT = ", ".join(MEDIA_TYPES)
"""All four, always: with fewer a registry answers 404, or one platform's digest instead of the index's."""
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"

_DEEPEST = 32
_MOST_BRACKETS = 100_000
_MOST_ENTRIES = 2_000
_LEXEME = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]')
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """An entry of an index or a list of referrers, as the registry gives it."""

    media_type: str
    digest: str
    size: int
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


def hash_of(body: bytes, like: str = "sha256:") -> str:
    """Return the digest of `body` with the algorithm of the digest `like`."""
    algorithm = like.partition(":")[0]
    hashed = hashlib.sha512(body) if algorithm == "sha512" else hashlib.sha256(body)
    return f"{algorithm}:{hashed.hexdigest()}"


def media_type_of(header: str | None) -> str:
    """Return a `Content-Type` without its parameters, in lower case."""
    return (header or "").partition(";")[0].strip().lower()


def check_media_type(media_type: str, host: str) -> None:
    """Raise `TroubleError` (INVALID) unless `media_type` is one that we asked for, or empty."""
    if media_type.startswith(_SCHEMA_1):
        raise _invalid(f"{host} answers with a manifest of Docker's abandoned schema 1; push the image anew.")
    if media_type and media_type not in MEDIA_TYPES:
        raise _invalid(f"{host} does not answer with a manifest; is it a container registry?")


def read_manifest(body: bytes, *, digest: str, header_type: str, source: str) -> Manifest:
    """Return the manifest or index in `body`, which hashes to `digest`; raises `TroubleError` (INVALID)."""
    check_media_type(header_type, source)
    document = read_json(body, source)
    if document.get("schemaVersion") == 1:
        raise _invalid(
            f"{source} answers with a manifest of Docker's abandoned schema 1; push the image anew."
        )
    said = document.get("mediaType", "")
    if not isinstance(said, str) or (said and header_type and said != header_type):
        # The same bytes read as two kinds of document mean two images: CVE-2021-41190.
        raise _invalid(f"{source} calls a manifest one thing in its header and another in its body.")
    media_type = said or header_type
    if media_type not in MEDIA_TYPES or document.get("schemaVersion") != 2:
        raise _invalid(f"{source} answers with something that is no image manifest.")
    entries, layers = document.get("manifests"), document.get("layers")
    is_index = media_type in INDEXES
    fits = (
        isinstance(entries, list) and layers is None and document.get("config") is None
        if is_index
        else isinstance(document.get("config"), dict) and isinstance(layers, list) and entries is None
    )
    if not fits:
        raise _invalid(f"{source} answers with a manifest whose content is not what it is called.")
    return Manifest(
        digest=digest,
        media_type=media_type,
        size=len(body),
        is_index=is_index,
        platforms=_platforms(entries, source) if is_index else (),
        body=body,
        source=source,
    )


def read_referrers(body: bytes, *, header_type: str, source: str) -> tuple[Descriptor, ...]:
    """Return the entries of a list of referrers; raises `TroubleError` (INVALID)."""
    document = read_json(body, source)
    entries = document.get("manifests")
    if header_type not in ("", OCI_INDEX) or document.get("mediaType", OCI_INDEX) != OCI_INDEX:
        raise _invalid(f"{source} answers with something that is no list of referrers.")
    return tuple(_descriptor(entry, source) for entry in _entries(entries, source))


def read_tags(body: bytes, source: str) -> tuple[str, ...]:
    """Return one page of tags, those that are none left out; raises `TroubleError` (INVALID)."""
    tags = read_json(body, source).get("tags")
    if tags is None:
        return ()
    if not isinstance(tags, list):
        raise _invalid(f"{source} answers with something that is no list of tags.")
    return tuple(tag for tag in tags if isinstance(tag, str) and is_tag(tag))


def read_json(body: bytes, source: str) -> dict[str, Any]:
    """Return the JSON object in `body`, of bounded depth, no key twice; raises `TroubleError` (INVALID)."""
    _check_depth(body, source)
    try:
        document = json.loads(body.decode(), object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _invalid(f"{source} answers with something that is no plain JSON.") from None
    if not isinstance(document, dict):
        raise _invalid(f"{source} answers with JSON that is no object.")
    return document


def _check_depth(body: bytes, source: str) -> None:
    brackets = body.count(b"[") + body.count(b"{")
    if brackets <= _DEEPEST:
        return
    depth = 0
    if brackets <= _MOST_BRACKETS:
        for lexeme in _LEXEME.finditer(body):
            first = lexeme[0]
            depth += (first in (b"[", b"{")) - (first in (b"]", b"}"))
            if depth > _DEEPEST:
                break
        else:
            return
    raise _invalid(f"{source} answers with JSON that is nested deeper than any manifest.")


def _no_key_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key twice")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _entries(entries: object, source: str) -> list[dict[str, Any]]:
    if not isinstance(entries, list) or len(entries) > _MOST_ENTRIES:
        raise _invalid(f"{source} answers with an index that is none, or is far too long.")
    for entry in entries:
        if not isinstance(entry, dict):
            raise _invalid(f"{source} answers with an index whose entries are none.")
    return entries


def _descriptor(entry: dict[str, Any], source: str) -> Descriptor:
    media_type, digest, size = entry.get("mediaType"), entry.get("digest"), entry.get("size")
    annotations = entry.get("annotations") or {}
    artifact_type = entry.get("artifactType") or ""
    if (
        not isinstance(media_type, str)
        or not isinstance(digest, str)
        or not is_digest(digest)
        or not isinstance(size, int)
        or isinstance(size, bool)
        or size < 0
        or not isinstance(annotations, dict)
        or not isinstance(artifact_type, str)
    ):
        raise _invalid(f"{source} answers with an index whose entries are none.")
    return Descriptor(
        media_type=media_type,
        digest=digest,
        size=size,
        artifact_type=artifact_type,
        annotations={key: value for key, value in annotations.items() if isinstance(value, str)},
    )


def _platforms(entries: object, source: str) -> tuple[Platform, ...]:
    found: dict[Platform, None] = {}
    for entry in _entries(entries, source):
        _descriptor(entry, source)
        platform = entry.get("platform")
        if not isinstance(platform, dict):
            continue
        parts = (platform.get("os"), platform.get("architecture"), platform.get("variant") or "")
        if not all(isinstance(part, str) and (not part or _WORD.fullmatch(part)) for part in parts):
            raise _invalid(f"{source} answers with an index that names impossible platforms.")
        system, architecture, variant = parts
        # BuildKit lists attestations as a platform that nothing runs on.  What calls itself one by its
        # annotations alone is run like anything else.
        if not system or not architecture or "unknown" in (system, architecture):
            continue
        found[Platform(os=system, architecture=architecture, variant=variant)] = None
    return tuple(found)


def _invalid(detail: str) -> TroubleError:
    return TroubleError(UnresolvedReason.INVALID, detail)
