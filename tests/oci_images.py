"""Small images made by hand and pushed by plain HTTP, for the real registry."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Bytes, and what a descriptor says of them."""

    media_type: str
    body: bytes

    @property
    def digest(self) -> str:
        """`sha256:...`."""
        return f"sha256:{hashlib.sha256(self.body).hexdigest()}"

    @property
    def descriptor(self) -> dict[str, Any]:
        """The descriptor of these bytes."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A manifest or index with everything that it needs to be pushed."""

    manifest: Blob
    blobs: tuple[Blob, ...] = ()
    children: tuple[Image, ...] = ()
    platform: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return self.manifest.digest


def document(media_type: str, content: Mapping[str, Any]) -> Blob:
    """Return a JSON document as it would be pushed."""
    return Blob(media_type=media_type, body=json.dumps(content, separators=(",", ":")).encode())


def image(
    text: str,
    *,
    architecture: str = "amd64",
    system: str = "linux",
    variant: str = "",
    docker: bool = False,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """Return a runnable-looking image for one platform with one file that holds `text`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("greeting")
        entry.size = len(text.encode())
        archive.addfile(entry, io.BytesIO(text.encode()))
    platform = {"architecture": architecture, "os": system}
    if variant:
        platform["variant"] = variant
    unpacked = f"sha256:{hashlib.sha256(packed.getvalue()).hexdigest()}"
    config = document(
        "application/vnd.docker.container.image.v1+json"
        if docker
        else "application/vnd.oci.image.config.v1+json",
        {
            **platform,
            "config": {"Cmd": ["/greeting"], "Labels": dict(labels or {})},
            "rootfs": {"type": "layers", "diff_ids": [unpacked]},
            "history": [{"created_by": "by hand"}],
        },
    )
    layer = Blob(
        media_type="application/vnd.docker.image.rootfs.diff.tar.gzip"
        if docker
        else "application/vnd.oci.image.layer.v1.tar+gzip",
        body=gzip.compress(packed.getvalue(), mtime=0),
    )
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    manifest = document(
        media_type,
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config.descriptor,
            "layers": [layer.descriptor],
        },
    )
    return Image(manifest=manifest, blobs=(config, layer), platform=platform, annotations=annotations)


def index(children: Sequence[Image], *, docker: bool = False) -> Image:
    """Return an index (or Docker's manifest list) of images."""
    media_type = DOCKER_LIST if docker else OCI_INDEX
    entries = []
    for child in children:
        entry = dict(child.manifest.descriptor)
        if child.platform is not None:
            entry["platform"] = dict(child.platform)
        if child.annotations is not None:
            entry["annotations"] = dict(child.annotations)
        entries.append(entry)
    manifest = document(media_type, {"schemaVersion": 2, "mediaType": media_type, "manifests": entries})
    return Image(manifest=manifest, children=tuple(children))


def push(
    base: str, repository: str, made: Image, *tags: str, headers: Mapping[str, str] | None = None
) -> str:
    """Push an image with its children to the registry at `base`, and return its digest.

    Without tags it is pushed by digest alone.
    """
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=20)
    try:
        _push(connection, repository, made, tags, dict(headers or {}))
    finally:
        connection.close()
    return made.digest


def _push(
    connection: http.client.HTTPConnection,
    repository: str,
    made: Image,
    tags: Sequence[str],
    headers: dict[str, str],
) -> None:
    for child in made.children:
        _push(connection, repository, child, (), headers)
    for blob in made.blobs:
        started = _send(connection, "POST", f"/v2/{repository}/blobs/uploads/", b"", headers, 202)
        place = urlsplit(started)
        query = f"{place.query}&digest={blob.digest}" if place.query else f"digest={blob.digest}"
        octets = {**headers, "Content-Type": "application/octet-stream"}
        _send(connection, "PUT", f"{place.path}?{query}", blob.body, octets, 201)
    typed = {**headers, "Content-Type": made.manifest.media_type}
    for name in tags or (made.digest,):
        _send(connection, "PUT", f"/v2/{repository}/manifests/{name}", made.manifest.body, typed, 201)


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    expected: int,
) -> str:
    """Return the `Location` of the answer."""
    connection.request(method, path, body=body, headers=dict(headers))
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == expected, (method, path, answer.status, text)
    return answer.headers.get("Location", "")
