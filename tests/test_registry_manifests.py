"""Reading manifests that a hostile registry may have written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oci_images import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, image, index

from bot.model import Manifest, Platform, UnresolvedReason
from bot.registries.manifests import hash_of, read_json, read_manifest, read_referrers, read_tags
from bot.registries.trouble import TroubleError

ENTRY = image("x").manifest.descriptor
WINDOWS = {"os": "windows", "architecture": "amd64", "os.version": "10.0.17763.1"}


def read(document: Any, header_type: str = OCI_INDEX) -> Manifest:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_manifest(body, digest=hash_of(body), header_type=header_type, source="registry.example")


def entries(*platforms: dict[str, Any] | None) -> dict[str, Any]:
    listed = [{**ENTRY, "platform": platform} if platform is not None else ENTRY for platform in platforms]
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}


def refused(document: Any, header_type: str = OCI_INDEX) -> str:
    with pytest.raises(TroubleError) as caught:
        read(document, header_type)
    assert caught.value.reason is UnresolvedReason.INVALID
    return caught.value.detail


@pytest.mark.parametrize(
    ("made", "media_type", "is_index"),
    [
        (image("a"), OCI_MANIFEST, False),
        (image("a", docker=True), DOCKER_MANIFEST, False),
        (index([image("a")]), OCI_INDEX, True),
        (index([image("a", docker=True)], docker=True), DOCKER_LIST, True),
    ],
)
def test_the_four_kinds(made: Any, media_type: str, is_index: bool) -> None:
    found = read(made.manifest.body, media_type)
    assert (found.media_type, found.is_index, found.size) == (media_type, is_index, len(made.manifest.body))
    assert found.digest == made.digest
    # The header may be missing, or the body may leave it to the header.
    assert read(made.manifest.body, "").media_type == media_type
    document = json.loads(made.manifest.body)
    del document["mediaType"]
    assert read(document, media_type).media_type == media_type
    assert "no image manifest" in refused(document, "")


def test_platforms() -> None:
    attestation = {**ENTRY, "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    document = entries(
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm", "variant": "v7"},
        {"os": "linux", "architecture": "arm", "variant": "v6"},
        {"os": "unknown", "architecture": "unknown"},
        None,
        WINDOWS,
        {**WINDOWS, "os.version": "10.0.20348.1"},
    )
    document["manifests"].append({**attestation, "platform": {"os": "linux", "architecture": "s390x"}})
    assert read(document).platforms == (
        Platform(os="linux", architecture="amd64"),
        Platform(os="linux", architecture="arm", variant="v7"),
        Platform(os="linux", architecture="arm", variant="v6"),
        Platform(os="windows", architecture="amd64"),
        Platform(os="linux", architecture="s390x"),  # no client heeds the annotation
    )


@pytest.mark.parametrize(
    ("document", "header_type"),
    [
        (entries(), OCI_MANIFEST),
        (entries(), DOCKER_LIST),
        ({**entries(), "layers": []}, OCI_INDEX),
        ({**entries(), "config": {}}, OCI_INDEX),
        ({**json.loads(image("a").manifest.body), "manifests": []}, OCI_MANIFEST),
        ({**entries(), "manifests": None}, OCI_INDEX),
        ({**entries(), "manifests": {}}, OCI_INDEX),
        ({**entries(), "manifests": ["x"]}, OCI_INDEX),
        ({**entries(), "manifests": [{**ENTRY, "digest": "sha256:abc"}]}, OCI_INDEX),
        ({**entries(), "manifests": [{**ENTRY, "digest": "md5:" + "a" * 32}]}, OCI_INDEX),
        ({**entries(), "manifests": [{**ENTRY, "size": -1}]}, OCI_INDEX),
        ({**entries(), "manifests": [{**ENTRY, "size": True}]}, OCI_INDEX),
        ({**entries(), "manifests": [{**ENTRY, "annotations": ["x"]}]}, OCI_INDEX),
        ({**entries(), "manifests": [ENTRY] * 3000}, OCI_INDEX),
        (entries({"os": 1, "architecture": "amd64"}), OCI_INDEX),
        (entries({"os": "linux", "architecture": "a`b"}), OCI_INDEX),
        (entries({"os": "linux", "architecture": "x" * 100}), OCI_INDEX),
        ({**entries(), "schemaVersion": 3}, OCI_INDEX),
        ({**entries(), "mediaType": 7}, OCI_INDEX),
        ({**entries(), "mediaType": "text/html"}, ""),
        ({"schemaVersion": 2, "config": {}, "layers": []}, OCI_INDEX),
        ([], OCI_INDEX),
        (b"", OCI_INDEX),
        (b"<html>", OCI_INDEX),
        (b"<html>", "text/html"),
        (b"\xff\xfe{}", OCI_INDEX),
        ("{}".encode("utf-16"), OCI_INDEX),
        (b"\xef\xbb\xbf{}", OCI_INDEX),
        (b'{"schemaVersion": NaN}', OCI_INDEX),
        (b'{"schemaVersion": ' + b"9" * 10_000 + b"}", OCI_INDEX),
        # One key twice: readers differ in which they take.
        (json.dumps(entries()).encode()[:-1] + b', "mediaType": "' + OCI_INDEX.encode() + b'"}', OCI_INDEX),
    ],
)
def test_what_is_not_what_it_is_called(document: Any, header_type: str) -> None:
    assert refused(document, header_type)


@pytest.mark.parametrize(
    ("document", "header_type"),
    [
        ({"schemaVersion": 1, "name": "library/app", "fsLayers": []}, ""),
        ({"schemaVersion": 1}, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        ({"schemaVersion": 2}, "application/vnd.docker.distribution.manifest.v1+json"),
    ],
)
def test_schema_1_is_refused_by_name(document: Any, header_type: str) -> None:
    assert "schema 1" in refused(document, header_type)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 3000 + b"]" * 3000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b"[" * 4_000_000,
        b"[]" * 2_000_000,
        b'"' + b"\\" * 3_000_000 + b"[" * 100,
        b'{"a":"' + b"x" * 3_000_000 + b'","b":' + b"[" * 40 + b"]" * 40 + b"}",
    ],
)
def test_deep_json_is_refused_before_it_is_parsed(body: bytes) -> None:
    assert refused(body)


def test_brackets_in_strings_are_no_depth() -> None:
    assert read_json(b'{"a": "' + b"[{" * 500 + b'\\"["}', "r") == {"a": "[{" * 500 + '"['}


@given(
    st.binary()
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_body_is_read_or_refused(body: bytes) -> None:
    reasons = set()
    for attempt in (
        lambda: read(body),
        lambda: read_tags(body, "r"),
        lambda: read_referrers(body, header_type=OCI_INDEX, source="r"),
    ):
        try:
            attempt()
        except TroubleError as trouble:
            reasons.add(trouble.reason)
    assert reasons <= {UnresolvedReason.INVALID}


def test_tags_that_are_none_are_left_out() -> None:
    assert read_tags(b'{"tags": ["1", "a b", "", 3, null, "-x", "v1.0_x"]}', "r") == ("1", "v1.0_x")
    assert read_tags(b'{"name": "x", "tags": null}', "r") == ()
    with pytest.raises(TroubleError):
        read_tags(b'{"tags": {}}', "r")


def test_hashes() -> None:
    assert hash_of(b"").startswith("sha256:e3b0c442")
    assert hash_of(b"", "sha512:" + "0" * 128).startswith("sha512:cf83e135")
