"""What is wrong with the content of a manifest or index.  Pure.

By the OCI image specification (manifest, index, descriptor) and its Docker forerunners; held as
well against what clients make of a document that the specification leaves open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bot.reference import is_digest
from bot.trust import plain_json, same_platform

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
MAX_CHILDREN = 1000
_IMAGES = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
        # What early clients of Docker wrote, and what is still pulled.
        "application/octet-stream",
        "application/json",
        "text/html",
    }
)
"""Media types of the configuration of what a container runtime runs."""
_ARTIFACT = "the manifest is of an artifact, and of no image that runs"
_LARGEST = 2**63 - 1


def problems(body: bytes, media_type: str, *, is_index: bool) -> Iterator[str]:
    """Yield what is wrong with a manifest, in words that hold no text of its own."""
    try:
        document = plain_json.read(body)
    except plain_json.TwiceError:
        yield "the manifest has a key twice, and which one counts depends on the client"
        return
    except ValueError:
        yield "the manifest is no JSON"
        return
    if not isinstance(document, dict):
        yield "the manifest is no JSON object"
        return
    if plain_json.is_ambiguous(document):
        yield "the manifest has a key in another case than its own, and whether it counts depends on the client"
        return
    if document.get("mediaType", media_type) != media_type:
        yield "the manifest names another media type than the registry"
    if "manifests" in document and ("layers" in document or "config" in document):
        yield "the manifest is an index and an image at once"
    elif "fsLayers" in document:
        yield "the manifest is an image of Docker's abandoned schema 1 besides"
    elif is_index:
        yield from _index(document)
    else:
        yield from _image(document)


def _image(document: dict[str, Any]) -> Iterator[str]:
    config, layers = document.get("config"), document.get("layers")
    if not isinstance(config, dict) or not isinstance(layers, list):
        yield "the manifest has no configuration or no layers"
        return
    if not all(_is_descriptor(one) for one in (config, *layers)):
        yield "the manifest lists a configuration or layer that is no descriptor"
    elif document.get("artifactType") or config["mediaType"] not in _IMAGES:
        yield _ARTIFACT


def _index(document: dict[str, Any]) -> Iterator[str]:
    listed = document.get("manifests")
    if not isinstance(listed, list) or not listed:
        yield "the index is empty"
        return
    if len(listed) > MAX_CHILDREN:
        yield f"the index lists {len(listed)} manifests"
        return
    if not all(isinstance(one, dict) for one in listed):
        yield "the index lists something that is no descriptor"
        return
    if document.get("artifactType"):
        yield _ARTIFACT
    if not all(isinstance(one.get("digest"), str) and is_digest(one["digest"]) for one in listed):
        yield "the index lists a malformed digest"
    if not all(_is_size(one.get("size")) for one in listed):
        yield "the index lists a manifest without a size"
    if not all(_is_text(one.get("mediaType")) for one in listed):
        yield "the index lists a manifest without a media type"
        return
    if any(one["mediaType"] in INDEXES for one in listed):
        yield "the index holds another index, and which image runs depends on the client"
    yield from _children([one for one in listed if one["mediaType"] not in INDEXES])


def _children(children: list[dict[str, Any]]) -> Iterator[str]:
    """Yield trouble with platforms; attestations call theirs `unknown/unknown`.

    Some clients choose by the platform before they look at the media type: whatever names a
    platform counts where platforms are compared, and only images count as running.
    """
    chosen: dict[same_platform.Key, set[str]] = {}
    unnamed: set[str] = set()
    runs = False
    for child in children:
        platform, digest = child.get("platform"), str(child.get("digest"))
        is_image = child["mediaType"] in MANIFESTS and not child.get("artifactType")
        if platform is None:  # the specification leaves it to the image's configuration
            if is_image:
                unnamed.add(digest)
                runs = True
            continue
        key = same_platform.key_of(platform) if isinstance(platform, dict) else None
        if key is None:
            yield "the index lists a platform that is none"
            return
        if same_platform.runs_nowhere(key):
            continue
        chosen.setdefault(key, set()).add(digest)
        runs = runs or is_image
    if any(len(digests) > 1 for digests in chosen.values()):
        yield "the index lists two different manifests for the same platform"
    named = {digest for digests in chosen.values() for digest in digests}
    if len(unnamed) > 1 or (unnamed and named - unnamed):
        yield "the index lists manifests without a platform, and which one runs depends on the client"
    if children and not runs:
        yield "the index lists no platform that runs"


def _is_descriptor(value: Any) -> bool:
    if not isinstance(value, dict) or not _is_text(value.get("mediaType")) or not _is_size(value.get("size")):
        return False
    digest = value.get("digest")
    return isinstance(digest, str) and is_digest(digest)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST
