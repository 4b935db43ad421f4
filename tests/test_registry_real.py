"""The client against the real docker-registry, with skopeo as the oracle for digests."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import fakes
import pytest
from oci_images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Image,
    document,
    image,
    index,
    push,
)
from servers import PASSWORD, USER, DockerRegistry, docker_registry, skopeo_config, skopeo_digest
from tokens import IDENTITY_TOKEN, TokenServer, token_server

from bot.model import (
    ImageReference,
    Manifest,
    Platform,
    Resolution,
    Status,
    Subject,
    Unresolved,
    UnresolvedReason,
)
from bot.reference import parse_image
from bot.registries.client import RegistryClient
from bot.registries.credentials import Credentials, Scope
from bot.registries.egress import GuardedPool, guarded_pool
from bot.trust import digest_honesty

pytestmark = pytest.mark.servers

INDEX = index(
    [
        image("one", architecture="amd64"),
        image("two", architecture="arm64", variant="v8"),
        image(
            "att", architecture="unknown", system="unknown", annotations={"vnd.docker.reference.type": "x"}
        ),
    ]
)
LIST = index([image("d1", docker=True), image("d2", architecture="arm64", docker=True)], docker=True)
SINGLE = image("single")
DOCKER_SINGLE = image("docker single", docker=True)
IMAGES = {
    "index": (INDEX, OCI_INDEX),
    "list": (LIST, DOCKER_LIST),
    "single": (SINGLE, OCI_MANIFEST),
    "docker": (DOCKER_SINGLE, DOCKER_MANIFEST),
}


def reference(text: str) -> ImageReference:
    found = parse_image(text)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def pool() -> GuardedPool:
    return guarded_pool(environ={})


@pytest.fixture(scope="module")
def open_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with docker_registry(tmp_path_factory.mktemp("open")) as registry:
        for tag, (made, _) in IMAGES.items():
            push(registry.url, "library/app", made, tag)
        yield registry


def mirrored(registry: DockerRegistry, pool: GuardedPool, **more: object) -> RegistryClient:
    return RegistryClient(pool=pool, mirrors={"docker.io": registry.url}, **more)  # type: ignore[arg-type]  # keywords


@pytest.mark.parametrize("tag", IMAGES)
def test_tag_is_what_skopeo_gets(open_registry: DockerRegistry, pool: GuardedPool, tag: str) -> None:
    made, media_type = IMAGES[tag]
    client = mirrored(open_registry, pool)
    found = client.resolve(reference(f"app:{tag}"))
    assert isinstance(found, Resolution)
    assert found.digest == made.digest == skopeo_digest(open_registry, f"library/app:{tag}")
    assert found.media_type == media_type
    assert found.source == open_registry.host
    assert client.requests == {(open_registry.host, "HEAD"): 1}
    body = client.manifest(reference(f"app:{tag}"), found.digest)
    assert isinstance(body, Manifest)
    assert body.body == made.manifest.body
    assert body.is_index == (media_type in (OCI_INDEX, DOCKER_LIST))
    assert client.requests[open_registry.host, "GET"] == 1


def test_platforms_are_those_that_run(open_registry: DockerRegistry, pool: GuardedPool) -> None:
    found = mirrored(open_registry, pool).manifest(reference("app"), INDEX.digest)
    assert isinstance(found, Manifest)
    assert found.platforms == (
        Platform(os="linux", architecture="amd64"),
        Platform(os="linux", architecture="arm64", variant="v8"),
    )


@pytest.mark.parametrize(
    ("accept", "tag"),
    [(DOCKER_MANIFEST, "index"), (f"{DOCKER_LIST}, {DOCKER_MANIFEST}", "index"), (DOCKER_MANIFEST, "list")],
)
def test_a_shorter_accept_list_would_be_wrong(
    open_registry: DockerRegistry, pool: GuardedPool, accept: str, tag: str
) -> None:
    """The trap that the full list avoids: 404 for an OCI index, one platform for Docker's list."""
    import urllib3

    with urllib3.PoolManager() as plain:
        answer = plain.request(
            "HEAD", f"{open_registry.url}/v2/library/app/manifests/{tag}", headers={"Accept": accept}
        )
    assert answer.status == 404 or answer.headers["docker-content-digest"] != IMAGES[tag][0].digest
    found = mirrored(open_registry, pool).resolve(reference(f"app:{tag}"))
    assert isinstance(found, Resolution)
    assert found.digest == IMAGES[tag][0].digest


def test_a_digest_alone_is_itself_if_it_is_there(open_registry: DockerRegistry, pool: GuardedPool) -> None:
    client = mirrored(open_registry, pool)
    found = client.resolve(reference(f"app@{LIST.digest}"))
    assert isinstance(found, Resolution)
    assert found.digest == LIST.digest
    missing = client.resolve(reference("app@sha256:" + "0" * 64))
    assert isinstance(missing, Unresolved)
    assert missing.reason is UnresolvedReason.NOT_FOUND


def test_a_tag_beside_a_digest_is_followed(open_registry: DockerRegistry, pool: GuardedPool) -> None:
    found = mirrored(open_registry, pool).resolve(reference(f"app:single@{LIST.digest}"))
    assert isinstance(found, Resolution)
    assert found.digest == SINGLE.digest


@pytest.mark.parametrize(
    ("name", "what"), [("app:absent", "tag absent of "), ("nothing/here:1", "tag 1 of ")]
)
def test_missing(open_registry: DockerRegistry, pool: GuardedPool, name: str, what: str) -> None:
    found = mirrored(open_registry, pool).resolve(reference(name))
    assert isinstance(found, Unresolved)
    assert found.reason is UnresolvedReason.NOT_FOUND
    assert f"has no {what}" in found.detail
    assert found.detail.endswith(f"/{name.partition(':')[0]}; check its name and tag.")


def test_tags(open_registry: DockerRegistry, pool: GuardedPool) -> None:
    found = mirrored(open_registry, pool).tags(reference("app"))
    assert isinstance(found, tuple)
    assert sorted(found) == sorted(IMAGES)  # This registry gives them in no order.


def test_referrers_by_the_tag_that_stands_in(open_registry: DockerRegistry, pool: GuardedPool) -> None:
    artifact = document(
        OCI_MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": "application/vnd.example.signature",
            "config": SINGLE.blobs[0].descriptor,
            "layers": [SINGLE.blobs[1].descriptor],
            "subject": INDEX.manifest.descriptor,
        },
    )
    listed = {
        **artifact.descriptor,
        "artifactType": "application/vnd.example.signature",
        "annotations": {"a": "b"},
    }
    stand_in = document(OCI_INDEX, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed]})
    signed = Image(manifest=stand_in, children=(Image(manifest=artifact, blobs=SINGLE.blobs),))
    push(open_registry.url, "library/signed", INDEX, "1")
    push(open_registry.url, "library/signed", signed, INDEX.digest.replace(":", "-"))
    found = mirrored(open_registry, pool).referrers(reference("signed:1"), INDEX.digest)
    assert isinstance(found, tuple)
    assert [entry.digest for entry in found] == [artifact.digest]
    assert found[0].artifact_type == "application/vnd.example.signature"
    assert found[0].annotations == {"a": "b"}


def test_a_mirror_without_referrers_says_nothing(open_registry: DockerRegistry, pool: GuardedPool) -> None:
    found = mirrored(open_registry, pool).referrers(reference("app"), SINGLE.digest)
    assert isinstance(found, Unresolved)
    assert found.reason is UnresolvedReason.NOT_FOUND


def test_a_registry_without_referrers_has_none(open_registry: DockerRegistry) -> None:
    from bot.registries.egress import Allowed

    direct = guarded_pool(allowed=[Allowed.parse(open_registry.url)], environ={})
    client = RegistryClient(pool=direct)
    name = f"{open_registry.host}/library/app"
    assert client.referrers(reference(name), SINGLE.digest) == ()
    assert isinstance(client.resolve(reference(f"{name}:single")), Resolution)
    direct.clear()


def test_a_mirror_is_reachable_through_its_mapping_only(
    open_registry: DockerRegistry, pool: GuardedPool
) -> None:
    client = RegistryClient(pool=pool, mirrors={"docker.io": open_registry.url, "*": open_registry.url})
    assert isinstance(client.resolve(reference("app:single")), Resolution)
    assert isinstance(client.resolve(reference("registry.example/library/app:single")), Resolution)
    named = client.resolve(reference(f"{open_registry.host}/library/app:single"))
    assert isinstance(named, Unresolved)
    assert named.reason is UnresolvedReason.BLOCKED


# --- what clients pick --------------------------------------------------------------------

GOOD, EVIL = image("good", labels={"who": "good"}), image("evil", labels={"who": "evil"})


def entry(made: Image, **platform: str) -> dict[str, object]:
    return {**made.manifest.descriptor, "platform": {"os": "linux", "architecture": "amd64", **platform}}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("key", {"manifests": [entry(GOOD)], "Manifests": [entry(EVIL)]}),
        ("long-s", {"manifests": [entry(GOOD)], "manife\u017fts": [entry(EVIL)]}),
        ("digest", {"manifests": [{**entry(GOOD), "Digest": EVIL.digest, "Size": len(EVIL.manifest.body)}]}),
        (
            "platform",
            {
                "manifests": [
                    {**entry(GOOD), "Platform": {"os": "linux", "architecture": "arm64"}},
                    {
                        **entry(EVIL, architecture="arm64"),
                        "Platform": {"os": "linux", "architecture": "amd64"},
                    },
                ]
            },
        ),
    ],
)
def test_an_index_of_which_skopeo_takes_another_image(
    open_registry: DockerRegistry, pool: GuardedPool, name: str, content: Mapping[str, object]
) -> None:
    """Whoever minds the case of keys reads `good`; skopeo, written in Go as Docker is, takes `evil`."""
    body = document(OCI_INDEX, {"schemaVersion": 2, "mediaType": OCI_INDEX, **content})
    made = Image(manifest=body, children=(GOOD, EVIL))
    push(open_registry.url, "library/trap", made, name)
    assert json.loads(body.body)["manifests"][0]["digest"] == GOOD.digest
    assert skopeo_config(open_registry, f"library/trap:{name}")["config"]["Labels"] == {"who": "evil"}
    client = mirrored(open_registry, pool)
    found = client.resolve(reference(f"trap:{name}"))
    assert isinstance(found, Resolution)
    subject = Subject(reference=found.reference, digest=found.digest, resolution=found)
    evidence = digest_honesty.gather(subject, fakes.sources(images=client))
    assert evidence.status is Status.INVALID
    assert "depends on the client" in evidence.detail


@pytest.mark.parametrize("tag", IMAGES)
def test_plain_images_are_honest(open_registry: DockerRegistry, pool: GuardedPool, tag: str) -> None:
    client = mirrored(open_registry, pool)
    found = client.resolve(reference(f"app:{tag}"))
    assert isinstance(found, Resolution)
    subject = Subject(reference=found.reference, digest=found.digest, resolution=found)
    evidence = digest_honesty.gather(subject, fakes.sources(images=client))
    assert (evidence.status, evidence.detail) == (Status.VERIFIED, "")


# --- htpasswd -----------------------------------------------------------------------------


def docker_config(folder: Path, key: str, entry: dict[str, str]) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({"auths": {key: entry}}))
    return path


def basic(password: str = PASSWORD) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{USER}:{password}".encode()).decode()}


@pytest.fixture(scope="module")
def closed_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with docker_registry(tmp_path_factory.mktemp("htpasswd"), htpasswd=True) as registry:
        headers = {"Authorization": "Basic " + basic()["auth"]}
        push(registry.url, "team/app", INDEX, "1", headers=headers)
        push(registry.url, "other/app", SINGLE, "1", headers=headers)
        yield registry


def test_basic(closed_registry: DockerRegistry, pool: GuardedPool, tmp_path: Path) -> None:
    path = docker_config(tmp_path, closed_registry.host, basic())
    client = RegistryClient(
        pool=pool,
        mirrors={"registry.example": closed_registry.url},
        credentials=Credentials.from_docker_config(path, {}),
    )
    found = client.resolve(reference("registry.example/team/app:1"))
    assert isinstance(found, Resolution)
    assert found.digest == skopeo_digest(closed_registry, "team/app:1", login=f"{USER}:{PASSWORD}")
    assert client.requests == {(closed_registry.host, "HEAD"): 2}
    # The way is known now: one request.
    assert isinstance(client.resolve(reference("registry.example/other/app:1")), Resolution)
    assert client.requests == {(closed_registry.host, "HEAD"): 3}


@pytest.mark.parametrize(
    ("scope", "owners", "opens"),
    [
        (Scope(), None, True),
        (Scope(owner="acme"), None, True),
        (Scope(owner="Acme"), {"*": ["acme"]}, True),
        (Scope(owner="mallory"), {"*": ["acme"]}, False),
        (Scope(owner="acme", trusted=False), {"*": ["acme"]}, False),
        (Scope(trusted=False), None, False),
    ],
)
def test_a_login_is_for_its_owners(
    closed_registry: DockerRegistry,
    pool: GuardedPool,
    tmp_path: Path,
    scope: Scope,
    owners: dict[str, list[str]] | None,
    opens: bool,
) -> None:
    path = docker_config(tmp_path, closed_registry.host, basic())
    client = RegistryClient(
        pool=pool,
        mirrors={"registry.example": closed_registry.url},
        credentials=Credentials.from_docker_config(path, {}, owners=owners),
        scope=scope,
    )
    found = client.resolve(reference("registry.example/team/app:1"))
    assert isinstance(found, Resolution) == opens
    if isinstance(found, Unresolved):
        assert found.reason is UnresolvedReason.UNAUTHORIZED
        assert "wants credentials" in found.detail


def test_a_login_for_one_path_stays_there(
    closed_registry: DockerRegistry, pool: GuardedPool, tmp_path: Path
) -> None:
    path = docker_config(tmp_path, f"{closed_registry.host}/team", basic())
    client = RegistryClient(
        pool=pool,
        mirrors={"registry.example": closed_registry.url},
        credentials=Credentials.from_docker_config(path, {}),
    )
    assert isinstance(client.resolve(reference("registry.example/team/app:1")), Resolution)
    assert isinstance(client.resolve(reference("registry.example/other/app:1")), Unresolved)


def test_a_wrong_password_is_said_and_not_shown(
    closed_registry: DockerRegistry, pool: GuardedPool, tmp_path: Path
) -> None:
    path = docker_config(tmp_path, closed_registry.host, basic("not-the-password"))
    client = RegistryClient(
        pool=pool,
        mirrors={"registry.example": closed_registry.url},
        credentials=Credentials.from_docker_config(path, {}),
    )
    found = client.resolve(reference("registry.example/team/app:1"))
    assert isinstance(found, Unresolved)
    assert found.reason is UnresolvedReason.UNAUTHORIZED
    assert "does not accept the credentials" in found.detail
    assert "not-the-password" not in repr(found)


# --- bearer tokens ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    with token_server(tmp_path_factory.mktemp("tokens")) as server:
        yield server


@pytest.fixture(scope="module")
def token_registry(tmp_path_factory: pytest.TempPathFactory, tokens: TokenServer) -> Iterator[DockerRegistry]:
    with docker_registry(tmp_path_factory.mktemp("bearer"), tokens=tokens.authority) as registry:
        for name, made in (("public/app", INDEX), ("public/other", LIST), ("private/app", SINGLE)):
            token = tokens.token(f"repository:{name}:pull,push", known=True)
            push(registry.url, name, made, "1", "2", headers={"Authorization": f"Bearer {token}"})
        yield registry


def bearer(
    registry: DockerRegistry,
    tokens: TokenServer,
    pool: GuardedPool,
    credentials: Credentials | None = None,
    scope: Scope | None = None,
) -> RegistryClient:
    tokens.server.asked.clear()
    return RegistryClient(
        pool=pool,
        mirrors={"registry.example": registry.url},
        realms={registry.url: [tokens.server.url]},
        credentials=credentials,
        scope=scope,
    )


def test_an_anonymous_token(token_registry: DockerRegistry, tokens: TokenServer, pool: GuardedPool) -> None:
    client = bearer(token_registry, tokens, pool)
    first = client.resolve(reference("registry.example/public/app:1"))
    assert isinstance(first, Resolution)
    assert first.digest == INDEX.digest
    # One challenge, one token; the second tag of the repository needs neither.
    assert isinstance(client.resolve(reference("registry.example/public/app:2")), Resolution)
    assert client.requests == {(token_registry.host, "HEAD"): 3, (tokens.server.host, "GET"): 1}
    # Another repository needs its own token, and no challenge any more.
    assert isinstance(client.resolve(reference("registry.example/public/other:1")), Resolution)
    assert client.requests == {(token_registry.host, "HEAD"): 4, (tokens.server.host, "GET"): 2}
    assert tokens.server.secrets() == []
    denied = client.resolve(reference("registry.example/private/app:1"))
    assert isinstance(denied, Unresolved)
    assert denied.reason is UnresolvedReason.UNAUTHORIZED


@pytest.mark.parametrize(
    ("entry", "method"),
    [
        (basic(), "GET"),
        ({"username": USER, "password": PASSWORD}, "GET"),
        ({"identitytoken": IDENTITY_TOKEN}, "POST"),
    ],
)
def test_a_token_for_a_login(
    token_registry: DockerRegistry,
    tokens: TokenServer,
    pool: GuardedPool,
    tmp_path: Path,
    entry: dict[str, str],
    method: str,
) -> None:
    path = docker_config(tmp_path, token_registry.url, entry)
    client = bearer(token_registry, tokens, pool, Credentials.from_docker_config(path, {}))
    found = client.resolve(reference("registry.example/private/app:1"))
    assert isinstance(found, Resolution)
    assert found.digest == skopeo_digest(token_registry, "private/app:1", login=f"{USER}:{PASSWORD}")
    assert tokens.server.asked[0].method == method


def test_a_refused_login_is_not_tried_anonymously(
    token_registry: DockerRegistry, tokens: TokenServer, pool: GuardedPool, tmp_path: Path
) -> None:
    path = docker_config(tmp_path, token_registry.url, basic("wrong"))
    client = bearer(token_registry, tokens, pool, Credentials.from_docker_config(path, {}))
    found = client.resolve(reference("registry.example/public/app:1"))
    assert isinstance(found, Unresolved)
    assert found.reason is UnresolvedReason.UNAUTHORIZED
    assert tokens.server.count() == {"GET": 1}


def test_an_untrusted_scope_is_anonymous(
    token_registry: DockerRegistry, tokens: TokenServer, pool: GuardedPool, tmp_path: Path
) -> None:
    path = docker_config(tmp_path, token_registry.url, basic())
    credentials = Credentials.from_docker_config(path, {})
    client = bearer(token_registry, tokens, pool, credentials, Scope(owner="acme", trusted=False))
    assert isinstance(client.resolve(reference("registry.example/private/app:1")), Unresolved)
    assert isinstance(client.resolve(reference("registry.example/public/app:1")), Resolution)
    assert tokens.server.secrets() == []
