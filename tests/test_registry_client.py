"""The client against registries that are wrong, slow, hostile or merely unusual."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from oci_images import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, image, index
from scripted import Asked, Reply, Scripted, scripted
from sockets import raw_server

from bot.errors import ConfigurationError
from bot.model import ImageReference, Manifest, Resolution, Unresolved, UnresolvedReason
from bot.reference import parse_image
from bot.registries.base import Images
from bot.registries.budget import DOCKER_HUB_API, Budget
from bot.registries.client import LARGEST_MANIFEST, Bounds, RegistryClient
from bot.registries.credentials import Credential, Credentials, Scope
from bot.registries.egress import Allowed, GuardedPool, Limits, guarded_pool
from bot.registries.helper import Secret
from bot.registries.manifests import ACCEPT, hash_of
from bot.registries.memos import Memos
from bot.registries.mirrors import Mirrors

MADE = index([image("one"), image("two", architecture="arm64")])
BODY, DIGEST = MADE.manifest.body, MADE.digest
OTHER = "sha256:" + "0" * 64
USER, PASSWORD = "moor", "correct-horse-battery"
PATH = "/v2/acme/app/manifests/1"


def reference(text: str = "registry.example/acme/app:1") -> ImageReference:
    found = parse_image(text)
    assert found is not None
    return found


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as made:
        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def client_for(server: Scripted, limits: Limits | None = None, **more: Any) -> RegistryClient:
    pool = more.pop("pool", None) or guarded_pool(environ={}, limits=limits)
    return RegistryClient(pool=pool, mirrors={"registry.example": server.url}, **more)


def login(folder: Path, *keys: str, **entry: str) -> Credentials:
    path = folder / "config.json"
    encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    path.write_text(json.dumps({"auths": {key: entry or {"auth": encoded} for key in keys}}))
    return Credentials.from_docker_config(path, {})


def trouble(found: object, reason: UnresolvedReason) -> Unresolved:
    assert isinstance(found, Unresolved), found
    assert found.reason is reason, found
    # One sentence or two for a person, and no Python in it.
    assert found.detail.endswith((".", "?"))
    assert "object at" not in found.detail
    return found


def serve(server: Scripted, **headers: str) -> None:
    """Serve the index under its tag and digest, with other headers where given."""
    sent = {"Content-Type": OCI_INDEX, "Docker-Content-Digest": DIGEST}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    reply = Reply(headers=[(name, value) for name, value in sent.items() if value], body=BODY)
    server.routes[f"* {PATH}"] = reply
    server.routes[f"* /v2/acme/app/manifests/{DIGEST}"] = reply


def test_it_is_what_the_pipeline_asks_for(server: Scripted) -> None:
    images: Images = client_for(server)
    images.close()


# --- one HEAD -----------------------------------------------------------------------------


def test_one_head_with_every_media_type(server: Scripted) -> None:
    serve(server)
    found = client_for(server).resolve(reference())
    assert found == Resolution(reference=reference(), digest=DIGEST, source=server.host, media_type=OCI_INDEX)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("HEAD", PATH)
    assert asked.headers["accept"] == ACCEPT
    assert ACCEPT.count("application/") == 4
    assert asked.headers["accept-encoding"] == "identity"
    assert "authorization" not in asked.headers


@pytest.mark.parametrize("status", [405, 501])
def test_a_registry_that_knows_no_head_is_asked_for_the_body(server: Scripted, status: int) -> None:
    serve(server)
    server.routes[f"HEAD {PATH}"] = Reply(status=status)
    found = client_for(server).resolve(reference())
    assert isinstance(found, Resolution)
    assert found.digest == DIGEST
    assert server.count()["GET"] == 1


def test_without_a_digest_in_the_header_the_body_is_hashed(server: Scripted) -> None:
    serve(server, Docker_Content_Digest="")
    found = client_for(server).resolve(reference())
    assert isinstance(found, Resolution)
    assert (found.digest, found.media_type) == (DIGEST, OCI_INDEX)
    assert server.count() == {"HEAD": 1, "GET": 1}


def test_a_body_that_differs_from_its_header_is_a_lie(server: Scripted) -> None:
    serve(server, Docker_Content_Digest=OTHER)
    server.routes[f"HEAD {PATH}"] = Reply(status=405)
    trouble(client_for(server).resolve(reference()), UnresolvedReason.LYING)


@pytest.mark.parametrize(
    "digest",
    ["sha256:abc", DIGEST.upper(), "sha256:" + "g" * 64, f"{DIGEST} ", "md5:" + "0" * 32, f"x{DIGEST}"],
)
def test_a_header_that_is_no_digest(server: Scripted, digest: str) -> None:
    serve(server, Docker_Content_Digest=digest)
    found = client_for(server).resolve(reference())
    if digest.strip() == DIGEST:
        assert isinstance(found, Resolution)  # Blanks around a header's value do not belong to it.
    else:
        trouble(found, UnresolvedReason.INVALID)


@pytest.mark.parametrize("second", [OTHER, DIGEST])
def test_two_digests(server: Scripted, second: str) -> None:
    server.routes[f"* {PATH}"] = Reply(
        headers=[
            ("Content-Type", OCI_INDEX),
            ("Docker-Content-Digest", DIGEST),
            ("docker-content-digest", second),
        ],
        body=BODY,
    )
    found = client_for(server).resolve(reference())
    if second == DIGEST:
        assert isinstance(found, Resolution)
    else:
        trouble(found, UnresolvedReason.LYING)


@pytest.mark.parametrize(
    ("media_type", "says"),
    [
        ("text/html", "container registry"),
        ("application/json", "container registry"),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
    ],
)
def test_an_answer_of_another_kind(server: Scripted, media_type: str, says: str) -> None:
    serve(server, Content_Type=media_type)
    client = client_for(server)
    assert says in trouble(client.resolve(reference()), UnresolvedReason.INVALID).detail
    trouble(client.manifest(reference(), DIGEST), UnresolvedReason.INVALID)


def test_a_media_type_may_have_parameters(server: Scripted) -> None:
    serve(server, Content_Type=f"{OCI_INDEX.upper()}; charset=utf-8")
    client = client_for(server)
    assert isinstance(client.resolve(reference()), Resolution)
    assert isinstance(client.manifest(reference(), DIGEST), Manifest)


def test_a_digest_that_answers_with_another(server: Scripted) -> None:
    server.manifest("acme/app", DIGEST, BODY, OTHER, OCI_INDEX)
    client = client_for(server)
    pinned = reference(f"registry.example/acme/app@{DIGEST}")
    trouble(client.resolve(pinned), UnresolvedReason.LYING)


# --- one GET ------------------------------------------------------------------------------


def test_the_body_is_hashed_whatever_the_header_says(server: Scripted) -> None:
    server.manifest("acme/app", OTHER, BODY, OTHER, OCI_INDEX)
    client = client_for(server)
    found = trouble(client.manifest(reference(), OTHER), UnresolvedReason.LYING)
    assert "nothing is pinned" in found.detail


def test_a_header_that_lies_about_a_right_body(server: Scripted) -> None:
    serve(server, Docker_Content_Digest=OTHER)
    trouble(client_for(server).manifest(reference(), DIGEST), UnresolvedReason.LYING)


def test_sha512(server: Scripted) -> None:
    longer = hash_of(BODY, "sha512:")
    # Some registries name their own digest of what was asked for by another.
    server.manifest("acme/app", longer, BODY, DIGEST, OCI_INDEX)
    server.manifest("acme/app", "sha512:" + "0" * 128, BODY, None, OCI_INDEX)
    client = client_for(server)
    found = client.manifest(reference(), longer)
    assert isinstance(found, Manifest)
    assert found.digest == longer
    trouble(client.manifest(reference(), "sha512:" + "0" * 128), UnresolvedReason.LYING)


@pytest.mark.parametrize("digest", ["", "latest", "sha256:abc", "../../../etc", f"{DIGEST}?x"])
def test_what_is_no_digest_is_not_asked(server: Scripted, digest: str) -> None:
    trouble(client_for(server).manifest(reference(), digest), UnresolvedReason.INVALID)
    assert server.asked == []


def test_a_manifest_called_by_two_names(server: Scripted) -> None:
    serve(server, Content_Type=DOCKER_MANIFEST)
    trouble(client_for(server).manifest(reference(), DIGEST), UnresolvedReason.INVALID)


def padded(size: int) -> bytes:
    document = json.loads(BODY)
    document["annotations"] = {"x": ""}
    document["annotations"]["x"] = "y" * (size - len(json.dumps(document)))
    return json.dumps(document).encode()


@pytest.mark.parametrize("length", [True, False])
def test_the_largest_manifest(server: Scripted, length: bool) -> None:
    for size, fits in ((LARGEST_MANIFEST, True), (LARGEST_MANIFEST + 1, False)):
        body = padded(size)
        assert len(body) == size
        digest = hash_of(body)
        server.routes[f"GET /v2/acme/app/manifests/{digest}"] = Reply(
            headers=[("Content-Type", OCI_INDEX)], body=body, length=length
        )
        found = client_for(server).manifest(reference(), digest)
        if fits:
            assert isinstance(found, Manifest)
        else:
            trouble(found, UnresolvedReason.TOO_LARGE)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x"])
def test_a_compressed_answer_is_refused(server: Scripted, encoding: str) -> None:
    """200 kB on the wire that would be 200 MB."""
    bomb = gzip.compress(b"\0" * 200_000_000, compresslevel=1) if encoding == "gzip" else BODY
    serve(server, Content_Encoding=encoding)
    server.routes[f"GET /v2/acme/app/manifests/{DIGEST}"] = Reply(
        headers=[("Content-Type", OCI_INDEX), ("Content-Encoding", encoding)], body=bomb
    )
    client = client_for(server)
    trouble(client.resolve(reference()), UnresolvedReason.INVALID)
    trouble(client.manifest(reference(), DIGEST), UnresolvedReason.INVALID)


def raw_head(*lines: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Type: {OCI_INDEX}", *lines, "", ""]).encode()


@pytest.mark.parametrize(
    ("chunks", "endless", "reason"),
    [
        ((raw_head("Content-Length: -5"), BODY), b"", UnresolvedReason.INVALID),
        ((raw_head("Content-Length: x"), BODY), b"", UnresolvedReason.INVALID),
        ((raw_head("Content-Length: 5", "Content-Length: 6"), BODY), b"", UnresolvedReason.INVALID),
        ((raw_head("Transfer-Encoding: chunked"), b"zz\r\n"), b"", UnresolvedReason.UNREACHABLE),
        ((raw_head("Transfer-Encoding: chunked"), b"-5\r\n"), b"", UnresolvedReason.INVALID),
        ((raw_head("Transfer-Encoding: chunked"), b"-1\r\n"), b"y" * 65536, UnresolvedReason.TOO_LARGE),
        (
            (raw_head("Transfer-Encoding: chunked"),),
            b"10000\r\n" + b"y" * 65536 + b"\r\n",
            UnresolvedReason.TOO_LARGE,
        ),
        ((raw_head(),), b"y" * 65536, UnresolvedReason.TOO_LARGE),
        ((b"HTTP/1.1 200 OK\r\n",), b"X: " + b"y" * 60_000 + b"\r\n", UnresolvedReason.TOO_LARGE),
        ((b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",), b"", UnresolvedReason.INVALID),
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), b"", UnresolvedReason.INVALID),
        ((b"\x16\x03\x01\x00\x00\r\n",), b"", UnresolvedReason.INVALID),
        ((raw_head(),), b"y", UnresolvedReason.TIMEOUT),
        ((raw_head("Content-Length: 100000"),), b"y", UnresolvedReason.TIMEOUT),
        ((b"HTTP/1.1 200 OK\r\nX: ",), b"y", UnresolvedReason.TIMEOUT),
        ((), b"", UnresolvedReason.TIMEOUT),
    ],
)
def test_servers_that_do_not_speak_http_as_they_should(
    chunks: Sequence[bytes], endless: bytes, reason: UnresolvedReason
) -> None:
    pause = 0.02 if len(endless) == 1 else 0.0
    with raw_server(*chunks, endless=endless, pause=pause) as server:
        client = client_for(server, Limits(response=0.4 if reason is UnresolvedReason.TIMEOUT else 10.0))
        started = time.monotonic()
        found = trouble(client.manifest(reference(), DIGEST), reason)
        assert time.monotonic() - started < 5.0
        assert server.host in found.detail


def test_a_look_up_ends_however_often_it_is_led_on(server: Scripted) -> None:
    """Redirects, tokens and second tries share the time of one look-up."""
    over = threading.Event()

    def slow(_: Asked) -> Reply:
        over.wait(0.3)
        return Reply(status=307, headers=[("Location", PATH)])

    server.routes[f"* {PATH}"] = slow
    client = client_for(server, bounds=Bounds(lookup=0.5))
    started = time.monotonic()
    trouble(client.resolve(reference()), UnresolvedReason.TIMEOUT)
    assert time.monotonic() - started < 3.0
    assert len(server.asked) < 5
    over.set()


def test_deep_json(server: Scripted) -> None:
    body = b'{"schemaVersion":2,"mediaType":"%s","manifests":%s}' % (
        OCI_INDEX.encode(),
        b"[" * 100_000 + b"]" * 100_000,
    )
    server.manifest("acme/app", hash_of(body), body, None, OCI_INDEX)
    trouble(client_for(server).manifest(reference(), hash_of(body)), UnresolvedReason.INVALID)


# --- statuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason", "requests"),
    [
        (401, UnresolvedReason.UNAUTHORIZED, 1),
        (403, UnresolvedReason.FORBIDDEN, 1),
        (404, UnresolvedReason.NOT_FOUND, 1),
        (410, UnresolvedReason.NOT_FOUND, 1),
        (429, UnresolvedReason.RATE_LIMITED, 1),
        (500, UnresolvedReason.SERVER_ERROR, 2),
        (502, UnresolvedReason.SERVER_ERROR, 2),
        (503, UnresolvedReason.SERVER_ERROR, 2),
        (505, UnresolvedReason.SERVER_ERROR, 1),
        (204, UnresolvedReason.INVALID, 1),
        (304, UnresolvedReason.INVALID, 1),
        (418, UnresolvedReason.INVALID, 1),
    ],
)
def test_statuses(server: Scripted, status: int, reason: UnresolvedReason, requests: int) -> None:
    server.routes[f"HEAD {PATH}"] = Reply(status=status)
    trouble(client_for(server).resolve(reference()), reason)
    assert len(server.asked) == requests


def test_a_server_that_stumbles_once_is_asked_again(server: Scripted) -> None:
    serve(server)
    good = server.routes[f"* {PATH}"]
    for stumble in (Reply(status=503), Reply(raw=b""), Reply(status=429, headers=[("Retry-After", "0")])):
        replies: Iterator[Any] = iter([stumble, good])
        server.routes[f"HEAD {PATH}"] = lambda _, replies=replies: next(replies)  # type: ignore[misc]  # bound
        assert isinstance(client_for(server).resolve(reference()), Resolution)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("3", 3.0),
        ("in ten minutes", 600.0),
        ("99999999999999999999", 86400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400.0),
        ("soon", None),
        ("-5", None),
        ("\u0664", None),
    ],
)
def test_a_limit_is_passed_on_and_not_slept_through(
    server: Scripted, header: str, seconds: float | None
) -> None:
    if header == "in ten minutes":
        header = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    encoded = header.encode().decode("latin-1")
    server.routes[f"HEAD {PATH}"] = Reply(status=429, headers=[("Retry-After", encoded)])
    client = client_for(server)
    started = time.monotonic()
    found = trouble(client.resolve(reference()), UnresolvedReason.RATE_LIMITED)
    assert time.monotonic() - started < 1.5
    if seconds is None:
        assert found.retry_after is None
    else:
        assert found.retry_after == pytest.approx(seconds, abs=60)
    # The server is left alone until then, whatever else is asked of it.
    other = trouble(client.resolve(reference("registry.example/acme/app:2")), UnresolvedReason.RATE_LIMITED)
    assert other.retry_after is not None
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [403, 429])
def test_a_limit_on_tokens_and_manifests_is_passed_on(server: Scripted, status: int) -> None:
    limited = Reply(status=status, headers=[("Retry-After", "77")])
    serve(server)
    server.routes[f"* /v2/acme/app/manifests/{DIGEST}"] = limited
    found = trouble(client_for(server).manifest(reference(), DIGEST), UnresolvedReason.RATE_LIMITED)
    assert found.retry_after == 77.0
    challenging(server, f"{server.url}/token")
    server.routes["* /token"] = limited
    found = trouble(client_for(server).resolve(reference()), UnresolvedReason.RATE_LIMITED)
    assert found.retry_after == 77.0


def test_a_short_limit_is_waited_for_once(server: Scripted) -> None:
    server.routes[f"HEAD {PATH}"] = Reply(status=429, headers=[("Retry-After", "1")])
    trouble(client_for(server).resolve(reference()), UnresolvedReason.RATE_LIMITED)
    assert len(server.asked) == 2


def test_closing_ends_a_wait(server: Scripted) -> None:
    arrived = threading.Event()

    def limited(_: Asked) -> Reply:
        arrived.set()
        return Reply(status=429, headers=[("Retry-After", "2")])

    server.routes[f"HEAD {PATH}"] = limited
    client = client_for(server)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client.resolve, reference())
        assert arrived.wait(10)
        started = time.monotonic()
        client.close()
        trouble(asked.result(10), UnresolvedReason.RATE_LIMITED)
        assert time.monotonic() - started < 1.5
    trouble(client.resolve(reference("registry.example/acme/app:2")), UnresolvedReason.DEFERRED)


# --- servers that are not there -----------------------------------------------------------


def test_nobody_listens() -> None:
    gone = Scripted(host="127.0.0.1:1", scheme="http")
    client = client_for(gone)
    assert "accept connections" in trouble(client.resolve(reference()), UnresolvedReason.UNREACHABLE).detail


def test_a_name_that_is_none() -> None:
    def unknown(_: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    client = RegistryClient(pool=guarded_pool(environ={}, lookup=unknown))
    found = trouble(client.resolve(reference()), UnresolvedReason.UNREACHABLE)
    assert "registry.example does not resolve" in found.detail


def test_a_certificate_of_nobodys(authority: Authority) -> None:
    with scripted(authority.context("127.0.0.1")) as server:
        serve(server)
        found = trouble(client_for(server).resolve(reference()), UnresolvedReason.TLS)
        assert "MOORLINE_CA_BUNDLE" in found.detail
        pool = guarded_pool(environ={}, ca_bundle=str(authority.bundle))
        client = client_for(server, pool=pool)
        assert isinstance(client.resolve(reference()), Resolution)
        client.close()


def test_a_server_that_is_down_is_not_asked_by_every_reference() -> None:
    with raw_server() as server:
        client = client_for(server, Limits(response=0.1))
        for number in range(20):
            found = client.resolve(reference(f"registry.example/acme/app:{number}"))
            trouble(found, UnresolvedReason.TIMEOUT)
        assert client.requests == {(server.host, "HEAD"): 3}


# --- what is not to be reached ------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("127.0.0.1:{port}/acme/app:1", "localhost:{port}/acme/app:1", "127.1:{port}/acme/app:1"),
        *("0x7f000001:{port}/acme/app:1", "2130706433:{port}/acme/app:1", "[::1]:{port}/acme/app:1"),
        *("[::ffff:127.0.0.1]:{port}/acme/app:1", "169.254.169.254/latest/meta-data:1", "8.8.8.8/a/b:1"),
        *("metadata.google.internal/a/b:1", "10.0.0.5:5000/a/b:1", "registry.example:22/a/b:1"),
        *("0.0.0.0:{port}/a/b:1", "[64:ff9b::7f00:1]:{port}/a/b:1", "registry:5000/a/b:1"),
    ],
)
@pytest.mark.parametrize("mirror", ["docker.io", "*"])
def test_names_that_lead_inside(server: Scripted, name: str, mirror: str) -> None:
    serve(server)
    found = parse_image(name.format(port=server.host.rpartition(":")[2]))
    if found is None:
        return  # Not even a reference.
    client = RegistryClient(pool=guarded_pool(environ={}), mirrors={mirror: server.url})
    result = client.resolve(found)
    if isinstance(result, Resolution):
        # A public name with an odd port is asked at the mirror for everything, by its path there.
        assert (mirror, found.registry) == ("*", "registry.example:22")
    else:
        assert result.reason in (UnresolvedReason.BLOCKED, UnresolvedReason.NOT_FOUND)
        assert (result.reason is UnresolvedReason.BLOCKED) == (server.asked == [])


def test_a_configured_exception_is_asked_directly(server: Scripted) -> None:
    serve(server)
    pool = guarded_pool(allowed=[Allowed.parse(server.url)], environ={})
    found = RegistryClient(pool=pool).resolve(reference(f"{server.host}/acme/app:1"))
    assert isinstance(found, Resolution)
    pool.clear()


def test_a_redirect_gets_no_secrets(server: Scripted, tmp_path: Path) -> None:
    with scripted() as elsewhere:
        elsewhere.routes["* /blob"] = Reply(
            headers=[("Content-Type", OCI_INDEX), ("Docker-Content-Digest", DIGEST)], body=BODY
        )

        def guarded(asked: Asked) -> Reply:
            if "authorization" not in asked.headers:
                return Reply(status=401, headers=[("WWW-Authenticate", "Basic")])
            return Reply(
                status=307, headers=[("Location", f"{elsewhere.url}/blob"), ("Set-Cookie", "session=s3cret")]
            )

        server.routes[f"* /v2/acme/app/manifests/{DIGEST}"] = guarded
        pool = guarded_pool(allowed=[Allowed.parse(elsewhere.url)], environ={})
        client = client_for(server, pool=pool, credentials=login(tmp_path, server.url))
        found = client.manifest(reference(), DIGEST)
        assert isinstance(found, Manifest)
        assert elsewhere.secrets() == []
        assert len(elsewhere.asked) == 1
        assert all(not secret.startswith("session") for secret in server.secrets())
        client.close()
        pool.clear()


def test_a_challenge_after_a_redirect_is_not_answered(server: Scripted, tmp_path: Path) -> None:
    with scripted() as elsewhere:
        elsewhere.routes["* /blob"] = Reply(status=401, headers=[("WWW-Authenticate", 'Basic realm="x"')])
        server.routes[f"* {PATH}"] = Reply(status=302, headers=[("Location", f"{elsewhere.url}/blob")])
        pool = guarded_pool(allowed=[Allowed.parse(elsewhere.url)], environ={})
        client = client_for(server, pool=pool, credentials=login(tmp_path, server.url, elsewhere.url))
        trouble(client.resolve(reference()), UnresolvedReason.UNAUTHORIZED)
        assert elsewhere.secrets() == server.secrets() == []
        pool.clear()


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", UnresolvedReason.BLOCKED),
        ("https://169.254.169.254/", UnresolvedReason.BLOCKED),
        ("http://127.0.0.1:1/", UnresolvedReason.BLOCKED),
        ("http://[::1]/", UnresolvedReason.BLOCKED),
        ("file:///etc/passwd", UnresolvedReason.INVALID),
        ("gopher://registry.example/", UnresolvedReason.INVALID),
        ("https://user:pass@registry.example/", UnresolvedReason.INVALID),
        ("http://[", UnresolvedReason.INVALID),
        (PATH, UnresolvedReason.INVALID),
    ],
)
def test_redirects_to_where_nothing_is_to_be_had(
    server: Scripted, target: str, reason: UnresolvedReason
) -> None:
    server.routes[f"* {PATH}"] = Reply(status=307, headers=[("Location", target)])
    trouble(client_for(server).resolve(reference()), reason)
    assert len(server.asked) == (6 if target == PATH else 1)


# --- tokens -------------------------------------------------------------------------------


def challenging(server: Scripted, realm: str, token: str = "t0ken") -> None:
    """Let `server` ask for a bearer token from `realm`."""
    serve(server)
    granted = server.routes[f"* {PATH}"]
    assert isinstance(granted, Reply)

    def guarded(asked: Asked) -> Reply:
        if asked.headers.get("authorization") == f"Bearer {token}":
            return granted
        scope = "repository:secret/private:pull,push"
        header = f'Bearer realm="{realm}",service="registry, of the tests",scope="{scope}"'
        return Reply(status=401, headers=[("WWW-Authenticate", header)])

    server.routes[f"* {PATH}"] = guarded


def granting(server: Scripted, token: str = "t0ken", **more: object) -> None:
    server.routes["* /token"] = Reply(body=json.dumps({"token": token, **more}).encode())


def test_a_token_is_asked_for_pull_on_the_one_repository(server: Scripted) -> None:
    challenging(server, f"{server.url}/token?tenant=1")
    granting(server)
    assert isinstance(client_for(server).resolve(reference()), Resolution)
    assert [asked.method for asked in server.asked] == ["HEAD", "GET", "HEAD"]
    query = "tenant=1&service=registry%2C+of+the+tests&scope=repository%3Aacme%2Fapp%3Apull"
    assert server.asked[1].path == f"/token?{query}"


def test_credentials_never_go_to_a_foreign_realm(server: Scripted, tmp_path: Path) -> None:
    with scripted() as foreign:
        challenging(server, f"{foreign.url}/token")
        granting(foreign)
        pool = guarded_pool(allowed=[Allowed.parse(foreign.url)], environ={})
        for entry in ({}, {"identitytoken": PASSWORD}):
            client = client_for(
                server, pool=pool, credentials=login(tmp_path, server.url, foreign.url, **entry)
            )
            # It may give an anonymous token, which is worth what it is worth.
            assert isinstance(client.resolve(reference()), Resolution)
        foreign.routes["* /token"] = Reply(status=401)
        client = client_for(server, pool=pool, credentials=login(tmp_path, server.url))
        found = trouble(client.resolve(reference()), UnresolvedReason.UNAUTHORIZED)
        assert "the login was not sent" in found.detail
        assert foreign.secrets() == []
        assert {asked.method for asked in foreign.asked} == {"GET"}
        assert all(not secret.startswith("Basic") for secret in server.secrets())
        pool.clear()


def test_credentials_go_to_the_registrys_own_realm_and_a_configured_one(
    server: Scripted, tmp_path: Path
) -> None:
    with scripted() as configured:
        for realm in (server, configured):
            challenging(server, f"{realm.url}/token")
            granting(realm)
            client = client_for(
                server, credentials=login(tmp_path, server.url), realms={server.url: [configured.url]}
            )
            assert isinstance(client.resolve(reference()), Resolution)
            assert [secret for secret in realm.secrets() if secret.startswith("Basic ")]


@pytest.mark.parametrize(
    ("realm", "reason"),
    [
        ("http://169.254.169.254/token", UnresolvedReason.BLOCKED),
        ("https://169.254.169.254/token", UnresolvedReason.BLOCKED),
        ("https://localhost/token", UnresolvedReason.BLOCKED),
        ("https://10.0.0.1/token", UnresolvedReason.BLOCKED),
        ("http://registry.example/token", UnresolvedReason.BLOCKED),
        ("https://registry.example:25/token", UnresolvedReason.BLOCKED),
        ("https://user:pass@registry.example/token", UnresolvedReason.INVALID),
        ("https://registry.example/token#x", UnresolvedReason.INVALID),
        ("file:///etc/passwd", UnresolvedReason.INVALID),
        ("token", UnresolvedReason.INVALID),
        ("https://registry.example/" + "x" * 3000, UnresolvedReason.INVALID),
    ],
)
def test_realms_that_lead_elsewhere(
    server: Scripted, tmp_path: Path, realm: str, reason: UnresolvedReason
) -> None:
    challenging(server, realm)
    client = client_for(server, credentials=login(tmp_path, server.url))
    trouble(client.resolve(reference()), reason)
    assert server.secrets() == []


def test_a_realm_without_tls_for_a_registry_with_it(authority: Authority, server: Scripted) -> None:
    with scripted(authority.context("127.0.0.1")) as secure:
        challenging(secure, f"{server.url}/token")
        granting(server)
        pool = guarded_pool(allowed=[Allowed.parse(server.url)], environ={}, ca_bundle=str(authority.bundle))
        client = client_for(secure, pool=pool)
        trouble(client.resolve(reference()), UnresolvedReason.BLOCKED)
        assert server.asked == []
        client.close()


def test_a_token_server_that_redirects_is_not_followed(server: Scripted, tmp_path: Path) -> None:
    with scripted() as elsewhere:
        challenging(server, f"{server.url}/token")
        server.routes["* /token"] = Reply(status=307, headers=[("Location", f"{elsewhere.url}/token")])
        granting(elsewhere)
        pool = guarded_pool(allowed=[Allowed.parse(elsewhere.url)], environ={})
        for entry in ({}, {"identitytoken": PASSWORD}):
            client = client_for(server, pool=pool, credentials=login(tmp_path, server.url, **entry))
            trouble(client.resolve(reference()), UnresolvedReason.INVALID)
        assert elsewhere.asked == []
        pool.clear()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"token": ""}',
        b'{"token": 5}',
        b'{"token": "a b"}',
        b'{"token": "a\\r\\nX-Injected: 1"}',
        b'{"token": "\\u00e4"}',
        b"[" * 50_000,
        b'{"token": "' + b"x" * 100_000 + b'"}',
    ],
)
def test_tokens_that_are_none(server: Scripted, body: bytes) -> None:
    challenging(server, f"{server.url}/token")
    server.routes["* /token"] = Reply(body=body)
    found = client_for(server).resolve(reference())
    trouble(found, UnresolvedReason.TOO_LARGE if len(body) > 65536 else UnresolvedReason.INVALID)


@pytest.mark.parametrize("life", [None, 0, -5, "300", 1e400, True, 10, 300, 10**9])
def test_a_token_is_used_for_as_long_as_it_lives(server: Scripted, life: Any) -> None:
    now = [1000.0]
    challenging(server, f"{server.url}/token")
    body = json.dumps({"access_token": "t0ken", "expires_in": life})
    server.routes["* /token"] = Reply(body=body.replace("Infinity", "1e400").encode())
    granted = server.routes[f"* {PATH}"]
    server.routes["* /v2/acme/app/manifests/2"] = server.routes["* /v2/acme/app/manifests/3"] = granted
    client = client_for(server, clock=lambda: now[0])
    expected = min(float(life), 3600.0) if life in (10, 300, 10**9, 1e400) and life is not True else 60.0
    assert isinstance(client.resolve(reference()), Resolution)
    now[0] += expected * 0.75
    assert isinstance(client.resolve(reference("registry.example/acme/app:2")), Resolution)
    assert client.requests[server.host, "GET"] == 1
    now[0] += expected * 0.1
    assert isinstance(client.resolve(reference("registry.example/acme/app:3")), Resolution)
    assert client.requests[server.host, "GET"] == 2


def test_a_token_that_was_withdrawn_is_fetched_anew_once(server: Scripted) -> None:
    challenging(server, f"{server.url}/token")
    granting(server)
    client = client_for(server)
    assert isinstance(client.resolve(reference()), Resolution)
    challenging(server, f"{server.url}/token", token="newer")
    granting(server, token="newer")
    server.routes["* /v2/acme/app/manifests/2"] = server.routes[f"* {PATH}"]
    assert isinstance(client.resolve(reference("registry.example/acme/app:2")), Resolution)
    assert client.requests == {(server.host, "HEAD"): 4, (server.host, "GET"): 2}


def test_many_threads_fetch_one_token(server: Scripted) -> None:
    challenging(server, f"{server.url}/token")
    granting(server)
    for number in range(40):
        server.routes[f"* /v2/acme/app/manifests/{number}"] = server.routes[f"* {PATH}"]
    client = client_for(server)
    names = [reference(f"registry.example/acme/app:{number}") for number in range(40)]
    with ThreadPoolExecutor(16) as threads:
        assert all(isinstance(found, Resolution) for found in threads.map(client.resolve, names))
    assert client.requests[server.host, "GET"] == 1


# --- one repository's challenge is its own -----------------------------------------------


def closed(server: Scripted, repository: str, realm: str, token: str = "t0ken") -> None:
    """Let one repository ask for a bearer token from `realm`."""
    granted = Reply(headers=[("Content-Type", OCI_INDEX), ("Docker-Content-Digest", DIGEST)], body=BODY)
    asking = Reply(status=401, headers=[("WWW-Authenticate", f'Bearer realm="{realm}",service="r"')])

    def guarded(asked: Asked) -> Reply:
        return granted if asked.headers.get("authorization") == f"Bearer {token}" else asking

    server.routes[f"* /v2/{repository}/manifests/1"] = guarded


def lookup(client: RegistryClient, repository: str) -> Resolution | Unresolved:
    return client.resolve(reference(f"registry.example/{repository}:1"))


def paths(server: Scripted) -> list[str]:
    return [f"{asked.method} {asked.path.partition('?')[0].removeprefix('/v2')}" for asked in server.asked]


@pytest.mark.parametrize(
    "bogus",
    [
        Reply(status=403),
        Reply(status=500),
        Reply(status=429),
        Reply(body=b"no token"),
        Reply(body=b'{"token": "useless"}'),
        Reply(raw=b"junk"),
        Reply(raw=b""),
    ],
)
def test_a_private_repository_does_not_close_the_others(server: Scripted, bogus: Reply) -> None:
    """Whatever its token server answers; the server is on the registry's own host, or on another."""
    with scripted() as elsewhere:
        elsewhere.routes["* /bogus"] = bogus
        closed(server, "acme/private", f"{elsewhere.url}/bogus")
        closed(server, "acme/tokens", f"{server.url}/token")
        granting(server)
        serve(server)
        client = client_for(server, realms={server.url: [elsewhere.url]})
        assert isinstance(lookup(client, "acme/private"), Unresolved)
        server.asked.clear()
        assert isinstance(lookup(client, "acme/app"), Resolution)
        assert isinstance(lookup(client, "acme/tokens"), Resolution)
        head = "HEAD /acme/tokens/manifests/1"
        assert paths(server) == ["HEAD /acme/app/manifests/1", head, "GET /token", head]


@pytest.mark.parametrize("realm", ["ftp://x/y", "http://10.0.0.1/token", "nonsense"])
def test_a_realm_that_leads_nowhere_is_one_repositorys(server: Scripted, realm: str) -> None:
    closed(server, "acme/private", realm)
    serve(server)
    client = client_for(server)
    assert isinstance(lookup(client, "acme/private"), Unresolved)
    assert isinstance(lookup(client, "acme/app"), Resolution)


def test_a_way_that_worked_spares_the_others_a_challenge(server: Scripted) -> None:
    for repository in ("acme/a", "acme/b"):
        closed(server, repository, f"{server.url}/token")
    granting(server)
    client = client_for(server)
    for repository in ("acme/a", "acme/b"):
        assert isinstance(lookup(client, repository), Resolution)
    first, second = (f"HEAD /acme/{name}/manifests/1" for name in "ab")
    assert paths(server) == [first, "GET /token", first, "GET /token", second]


def test_a_way_that_fails_for_another_repository_is_not_asked_twice(server: Scripted) -> None:
    for repository in ("acme/a", "acme/private"):
        closed(server, repository, f"{server.url}/token")

    def grant(asked: Asked) -> Reply:
        return Reply(status=403) if "private" in asked.path else Reply(body=b'{"token": "t0ken"}')

    server.routes["* /token"] = grant
    serve(server)
    client = client_for(server)
    assert isinstance(lookup(client, "acme/a"), Resolution)
    server.asked.clear()
    trouble(lookup(client, "acme/private"), UnresolvedReason.UNAUTHORIZED)
    assert paths(server) == ["GET /token", "HEAD /acme/private/manifests/1"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_brought_along_may_be_what_is_refused(server: Scripted, status: int) -> None:
    closed(server, "acme/a", f"{server.url}/token")
    granting(server)
    serve(server)
    granted = server.routes[f"* {PATH}"]
    assert isinstance(granted, Reply)
    server.routes[f"* {PATH}"] = lambda asked: (
        Reply(status=status) if "authorization" in asked.headers else granted
    )
    client = client_for(server)
    assert isinstance(lookup(client, "acme/a"), Resolution)
    assert isinstance(lookup(client, "acme/app"), Resolution)
    server.routes["* /v2/acme/shut/manifests/1"] = Reply(status=403)
    trouble(lookup(client, "acme/shut"), UnresolvedReason.FORBIDDEN)


def test_a_token_server_that_dies_closes_nothing_that_is_open(server: Scripted) -> None:
    with scripted() as elsewhere:
        closed(server, "acme/a", f"{elsewhere.url}/token")
        granting(elsewhere)
        serve(server)
        client = client_for(server, realms={server.url: [elsewhere.url]})
        assert isinstance(lookup(client, "acme/a"), Resolution)
        elsewhere.routes["* /token"] = Reply(raw=b"")
        assert isinstance(lookup(client, "acme/app"), Resolution)
        asked = len(elsewhere.asked)
        trouble(lookup(client, "acme/none"), UnresolvedReason.NOT_FOUND)
        assert len(elsewhere.asked) == asked  # It is not asked in vain again.


def test_a_helper_that_fails_is_said(server: Scripted, tmp_path: Path) -> None:
    serve(server)
    server.routes[f"* {PATH}"] = Reply(status=401, headers=[("WWW-Authenticate", "Basic")])
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"credHelpers": {server.host: "missing"}}))
    client = client_for(server, credentials=Credentials.from_docker_config(path, {"PATH": str(tmp_path)}))
    found = trouble(client.resolve(reference()), UnresolvedReason.UNAUTHORIZED)
    assert "docker-credential-missing" in found.detail


def test_secrets_are_nowhere(server: Scripted, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not in what is returned, logged or shown, whatever goes wrong with them in hand."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="urllib3")
    token = "t0ken-that-nobody-sees"
    shown: list[str] = []
    for last in (
        Reply(status=500),
        Reply(status=403),
        Reply(raw=b"HTTP/1.1 junk\r\n\r\n"),
        Reply(status=401),
    ):
        challenging(server, f"{server.url}/token")
        granting(server, token=token)
        challenge = server.routes[f"* {PATH}"]
        assert callable(challenge)

        def guarded(asked: Asked, challenge: Any = challenge, last: Reply = last) -> Reply:
            return last if "authorization" in asked.headers else challenge(asked)

        server.routes[f"* {PATH}"] = guarded
        credentials = login(tmp_path, server.url)
        client = client_for(server, credentials=credentials)
        found = client.resolve(reference())
        assert isinstance(found, Unresolved)
        shown += [
            repr(found),
            repr(credentials),
            repr(client),
            repr(vars(client)),
            repr(client._authorizer._tokens),
        ]
        shown.append(repr(list(client._authorizer._tokens._known.values())))
    assert any(token in secret for secret in server.secrets())
    encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    text = "\n".join([*shown, caplog.text])
    assert "urllib3" in caplog.text
    for secret in (PASSWORD, encoded, token):
        assert secret not in text


# --- once ---------------------------------------------------------------------------------


def test_equal_questions_are_asked_once_by_many_threads(server: Scripted) -> None:
    serve(server)
    for number in range(30):
        server.routes[f"* /v2/acme/app/manifests/{number}"] = server.routes[f"* {PATH}"]
    client = client_for(server)
    names = [reference(f"registry.example/acme/app:{number}") for number in range(40)] * 16
    random.Random(1).shuffle(names)
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(client.resolve, names))
    assert Counter(type(answer) for answer in answers) == {Resolution: 30 * 16, Unresolved: 10 * 16}
    assert Counter(asked.path for asked in server.asked).most_common(1)[0][1] == 1
    assert client.requests == {(server.host, "HEAD"): 40}
    assert all(answer.reference == name for answer, name in zip(answers, names, strict=True))


def test_the_same_image_by_two_names_is_one_question(server: Scripted) -> None:
    serve(server)
    server.routes["* /v2/library/node/manifests/20"] = server.routes[f"* {PATH}"]
    client = RegistryClient(pool=guarded_pool(environ={}), mirrors={"docker.io": server.url})
    for name in (
        "node:20",
        "docker.io/library/node:20",
        "index.docker.io/library/node:20",
        f"node:20@{OTHER}",
    ):
        found = client.resolve(reference(name))
        assert isinstance(found, Resolution)
        assert found.reference == reference(name)
    assert len(server.asked) == 1


def test_what_runs_share_carries_the_scope(server: Scripted) -> None:
    serve(server)
    memo = Memos.shared()

    def ask(scope: Scope) -> list[str]:
        """Return the requests that a run of this scope sends."""
        server.asked.clear()
        client = client_for(server, scope=scope, memo=memo)
        for _ in range(2):  # equal questions of a run are asked once
            assert isinstance(client.resolve(reference()), Resolution)
            found = client.manifest(reference(), DIGEST)
            assert isinstance(found, Manifest)
            assert found.body == BODY
        return [request.method for request in server.asked]

    assert ask(Scope(owner="acme")) == ["HEAD", "GET"]
    assert ask(Scope(owner="ACME")) == ["HEAD", "HEAD"]  # The body is known, and that it is there asked.
    assert ask(Scope(owner="mallory")) == ["HEAD", "GET"]
    assert ask(Scope(owner="acme", trusted=False)) == ["HEAD", "GET"]
    assert ask(Scope(owner="mallory", trusted=False)) == ["HEAD", "HEAD"]


def test_a_tag_that_moved_is_seen_by_the_next_run(server: Scripted) -> None:
    """However soon: a withdrawn image must not be pinned from memory."""
    memo = Memos.shared()
    bad, good = index([image("bad")]), index([image("good")])
    for made in (bad, good):
        server.manifest("acme/app", "1", made.manifest.body, made.digest, OCI_INDEX)
        found = client_for(server, memo=memo).resolve(reference())
        assert isinstance(found, Resolution)
        assert found.digest == made.digest


def test_a_manifest_that_was_deleted_is_seen_by_the_next_run(server: Scripted) -> None:
    serve(server)
    memo = Memos.shared()
    client = client_for(server, memo=memo)
    assert isinstance(client.manifest(reference(), DIGEST), Manifest)
    server.routes.clear()
    assert isinstance(client.manifest(reference(), DIGEST), Manifest)  # the same run
    trouble(client_for(server, memo=memo).manifest(reference(), DIGEST), UnresolvedReason.NOT_FOUND)


def test_a_known_body_does_not_hide_what_the_registry_says_of_it_now(server: Scripted) -> None:
    serve(server)
    memo = Memos.shared()
    assert isinstance(client_for(server, memo=memo).manifest(reference(), DIGEST), Manifest)
    serve(server, Content_Type=DOCKER_MANIFEST)
    trouble(client_for(server, memo=memo).manifest(reference(), DIGEST), UnresolvedReason.INVALID)
    serve(server, Docker_Content_Digest=OTHER)
    trouble(client_for(server, memo=memo).manifest(reference(), DIGEST), UnresolvedReason.LYING)
    serve(server)
    server.routes[f"HEAD /v2/acme/app/manifests/{DIGEST}"] = Reply(status=405)
    server.asked.clear()
    assert isinstance(client_for(server, memo=memo).manifest(reference(), DIGEST), Manifest)
    assert server.count() == {"HEAD": 1, "GET": 1}


def test_known_bodies_cost_no_budget(server: Scripted) -> None:
    serve(server)
    memo, budget = Memos.shared(), Budget(limits={server.host: 1}, window=600.0)
    for _ in range(3):
        client = client_for(server, memo=memo, budget=budget)
        assert isinstance(client.manifest(reference(), DIGEST), Manifest)


def test_tags_and_referrers_are_asked_anew_by_each_run(server: Scripted) -> None:
    memo = Memos.shared()
    for tags in (["1"], ["1", "2"]):
        server.routes["GET /v2/acme/app/tags/list"] = Reply(body=json.dumps({"tags": tags}).encode())
        server.routes[f"GET /v2/acme/app/referrers/{DIGEST}"] = Reply(
            headers=[("Content-Type", OCI_INDEX)], body=referrers_body(*[OTHER] * (len(tags) - 1))
        )
        client = client_for(server, memo=memo)
        assert client.tags(reference()) == tuple(tags)
        referrers = client.referrers(reference(), DIGEST)
        assert isinstance(referrers, tuple)
        assert len(referrers) == len(tags) - 1


def test_trouble_is_known_for_the_run_only(server: Scripted) -> None:
    memo = Memos.shared()
    client = client_for(server, memo=memo)
    for _ in range(3):
        trouble(client.resolve(reference()), UnresolvedReason.NOT_FOUND)
    assert len(server.asked) == 1
    serve(server)
    trouble(client.resolve(reference()), UnresolvedReason.NOT_FOUND)
    assert isinstance(client_for(server, memo=memo).resolve(reference()), Resolution)


# --- budgets and bounds -------------------------------------------------------------------


def test_gets_are_budgeted_and_heads_are_not(server: Scripted) -> None:
    serve(server)
    client = client_for(server, budget=Budget(limits={server.host: 1}, window=600.0))
    assert isinstance(client.manifest(reference(), DIGEST), Manifest)
    found = trouble(client.manifest(reference(), OTHER), UnresolvedReason.DEFERRED)
    assert found.retry_after == pytest.approx(600.0, abs=30)
    assert isinstance(client.resolve(reference()), Resolution)


def test_what_the_registry_says_is_left_is_heeded(server: Scripted) -> None:
    serve(server, RateLimit_Remaining="3;w=900")
    client = client_for(server, budget=Budget(floor=3))
    assert isinstance(client.resolve(reference()), Resolution)
    found = trouble(client.manifest(reference(), DIGEST), UnresolvedReason.DEFERRED)
    assert found.retry_after == pytest.approx(900.0, abs=30)
    assert server.count() == {"HEAD": 1}


def test_a_run_asks_so_many_hosts_and_questions(server: Scripted) -> None:
    serve(server)
    with scripted() as second:
        mirrors = {"a.example": server.url, "b.example": second.url}
        client = RegistryClient(pool=guarded_pool(environ={}), mirrors=mirrors, bounds=Bounds(hosts=1))
        assert isinstance(client.resolve(reference("a.example/acme/app:1")), Resolution)
        trouble(client.resolve(reference("b.example/acme/app:1")), UnresolvedReason.DEFERRED)
        assert second.asked == []
    client = client_for(server, bounds=Bounds(lookups=2))
    found = [client.resolve(reference(f"registry.example/acme/app:{number}")) for number in (1, 2, 3, 1)]
    assert [getattr(answer, "reason", None) for answer in found] == [
        None,
        UnresolvedReason.NOT_FOUND,
        UnresolvedReason.DEFERRED,
        None,
    ]


# --- tags and referrers -------------------------------------------------------------------


def paged(server: Scripted, pages: Sequence[Sequence[str]], link: str) -> None:
    """Serve tags in pages, as the real registry of the tests does not."""

    def page(asked: Asked) -> Reply:
        number = int(asked.path.partition("page=")[2] or 0)
        headers = [("Content-Type", "application/json")]
        if number + 1 < len(pages):
            headers.append(("Link", link.format(number=number + 1)))
        return Reply(headers=headers, body=json.dumps({"tags": pages[number]}).encode())

    server.routes["GET /v2/acme/app/tags/list"] = page


@pytest.mark.parametrize(
    "link",
    [
        '</v2/acme/app/tags/list?n=1000&page={number}>; rel="next"',
        "</v2/acme/app/tags/list?page={number}>; rel=next",
        '<?page={number}>; title="x"; REL="NEXT"',
        '</first>; rel="first", <?page={number}>; rel="next"',
        # Only the query counts: the next page is asked where the first one was.
        '<http://169.254.169.254/v2/acme/app/tags/list?page={number}>; rel="next"',
        '<https://evil.example/elsewhere?page={number}>; rel="next"',
    ],
)
def test_pages_of_tags(server: Scripted, link: str) -> None:
    paged(server, [["1", "2"], ["3"], ["2", "4"]], link)
    assert client_for(server).tags(reference()) == ("1", "2", "3", "4")
    assert len(server.asked) == 3
    assert {asked.path.partition("?")[0] for asked in server.asked} == {"/v2/acme/app/tags/list"}


def test_pages_end(server: Scripted) -> None:
    paged(server, [[str(number)] for number in range(100)], '<?page={number}>; rel="next"')
    found = client_for(server, bounds=Bounds(pages=7)).tags(reference())
    assert isinstance(found, tuple)
    assert (len(found), len(server.asked)) == (7, 7)
    few = client_for(server, bounds=Bounds(entries=4)).tags(reference())
    assert few == ("0", "1", "2", "3")
    server.routes["GET /v2/acme/app/tags/list"] = Reply(
        headers=[("Link", '<?page=1>; rel="next"')], body=b'{"tags": ["x"]}'
    )
    server.asked.clear()
    assert client_for(server).tags(reference()) == ("x",)
    assert len(server.asked) == 2


def test_tags_that_cannot_be_had(server: Scripted) -> None:
    trouble(client_for(server).tags(reference()), UnresolvedReason.NOT_FOUND)
    server.routes["GET /v2/acme/app/tags/list"] = Reply(body=b"<html>")
    trouble(client_for(server).tags(reference()), UnresolvedReason.INVALID)


def referrers_body(*digests: str) -> bytes:
    entries = [{"mediaType": OCI_MANIFEST, "digest": digest, "size": 5} for digest in digests]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


def test_referrers_by_their_api(server: Scripted) -> None:
    def page(asked: Asked) -> Reply:
        if asked.path.endswith("?n=2"):
            return Reply(headers=[("Content-Type", OCI_INDEX)], body=referrers_body(DIGEST, OTHER))
        link = ("Link", f'</v2/acme/app/referrers/{DIGEST}?n=2>; rel="next"')
        return Reply(headers=[("Content-Type", OCI_INDEX), link], body=referrers_body(OTHER))

    server.routes[f"GET /v2/acme/app/referrers/{DIGEST}"] = page
    found = client_for(server).referrers(reference(), DIGEST)
    assert isinstance(found, tuple)
    assert [entry.digest for entry in found] == [OTHER, DIGEST]


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_referrers_that_are_refused_are_not_absent(server: Scripted, status: int) -> None:
    server.routes[f"GET /v2/acme/app/referrers/{DIGEST}"] = Reply(status=status)
    found = client_for(server).referrers(reference(), DIGEST)
    assert isinstance(found, Unresolved)
    assert found.reason is not UnresolvedReason.NOT_FOUND


@pytest.mark.parametrize(
    "reply",
    [
        Reply(headers=[("Content-Type", "text/html")], body=b"<html>"),
        Reply(headers=[("Content-Type", OCI_MANIFEST)], body=referrers_body()),
        Reply(headers=[("Content-Type", OCI_INDEX)], body=image("x").manifest.body),
        Reply(headers=[("Content-Type", OCI_INDEX)], body=referrers_body("sha256:abc")),
        Reply(headers=[("Content-Type", OCI_INDEX)], body=b"{}"),
    ],
)
def test_referrers_that_are_none(server: Scripted, reply: Reply) -> None:
    server.routes[f"GET /v2/acme/app/referrers/{DIGEST}"] = reply
    trouble(client_for(server).referrers(reference(), DIGEST), UnresolvedReason.INVALID)


def test_a_stand_in_tag_that_lies(server: Scripted) -> None:
    tag = DIGEST.replace(":", "-")
    server.manifest("acme/app", tag, referrers_body(DIGEST), OTHER, OCI_INDEX)
    trouble(client_for(server).referrers(reference(), DIGEST), UnresolvedReason.LYING)


# --- mirrors and the API's host -----------------------------------------------------------


def routed(mapping: dict[str, str], name: str, *allowed: str) -> str:
    pool = guarded_pool(allowed=[Allowed.parse(url) for url in allowed], environ={})
    return Mirrors(mapping, pool=pool, realms={}, body=1000).route(reference(name)).url("manifests/1")


@pytest.mark.parametrize(
    ("mapping", "name", "url"),
    [
        ({}, "node", "https://registry-1.docker.io/v2/library/node/manifests/1"),
        ({}, "ghcr.io/acme/app", "https://ghcr.io/v2/acme/app/manifests/1"),
        ({}, "r.example:5000/a/b", "https://r.example:5000/v2/a/b/manifests/1"),
        ({"docker.io": "http://127.0.0.1:5000"}, "node", "http://127.0.0.1:5000/v2/library/node/manifests/1"),
        ({"Index.Docker.io": "http://m:5000/"}, "node", "http://m:5000/v2/library/node/manifests/1"),
        ({"docker.io": "http://m:5000"}, "ghcr.io/a/b", "https://ghcr.io/v2/a/b/manifests/1"),
        ({"*": "https://m.example"}, "ghcr.io/a/b", "https://m.example/v2/a/b/manifests/1"),
        (
            {"*": "https://m.example/x", "ghcr.io": "https://n.example"},
            "ghcr.io/a/b",
            "https://n.example/v2/a/b/manifests/1",
        ),
        (
            {"*": "https://m.example/hub/cache/"},
            "node",
            "https://m.example/v2/hub/cache/library/node/manifests/1",
        ),
        (
            {"*": "https://m.example/{registry}"},
            "ghcr.io/a/b",
            "https://m.example/v2/ghcr.io/a/b/manifests/1",
        ),
        (
            {"*": "https://m.example/c/{registry}"},
            "node",
            "https://m.example/v2/c/docker.io/library/node/manifests/1",
        ),
        ({"*": "https://m.example"}, "127.0.0.1:5000/a/b", "https://127.0.0.1:5000/v2/a/b/manifests/1"),
        (
            {"127.0.0.1:5000": "https://m.example"},
            "127.0.0.1:5000/a/b",
            "https://m.example/v2/a/b/manifests/1",
        ),
    ],
)
def test_where_a_registry_is_asked(mapping: dict[str, str], name: str, url: str) -> None:
    assert routed(mapping, name) == url


def test_an_exception_says_the_scheme() -> None:
    assert routed({}, "r.example/a/b", "http://r.example:80").startswith("http://r.example/v2/")
    assert routed({}, "r.example:5000/a/b", "http://r.example:80").startswith("https://r.example:5000/v2/")
    both = routed({}, "r.example:5000/a/b", "http://r.example:5000", "https://r.example:5000")
    assert both.startswith("https://")


@pytest.mark.parametrize(
    "url",
    [
        *("", "m.example", "ftp://m.example", "https://user:pw@m.example", "https://m.example?x=1"),
        *(
            "https://m.example/#x",
            "https://m.example/../x",
            "https://m.example/a b",
            "https://m.example/{host}",
        ),
        *("https://m.example:99999", "https://m.example/A", "https://user:pw@m.example:99999", "https://m:0"),
    ],
)
def test_mirrors_that_are_none(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RegistryClient(pool=guarded_pool(environ={}), mirrors={"docker.io": url})
    assert "user:pw" not in str(caught.value)


def test_docker_hub_has_no_public_image_of_that_name(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker Hub answers 401, with a token in hand, for what does not exist."""
    from bot.registries import connections
    from bot.registries.dial import connect

    with scripted(authority.context(DOCKER_HUB_API, "auth.docker.io")) as server:
        port = int(server.host.rpartition(":")[2])
        monkeypatch.setattr(connections, "connect", lambda *_: connect(["127.0.0.1"], port, 5))
        header = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"'
        server.routes["HEAD /v2/library/nonesuch/manifests/1"] = Reply(
            status=401, headers=[("WWW-Authenticate", header)]
        )
        granting(server)
        pool = guarded_pool(environ={}, ca_bundle=str(authority.bundle), lookup=lambda _: ["93.184.215.14"])
        found = RegistryClient(pool=pool).resolve(reference("nonesuch:1"))
        assert "is private or does not exist" in trouble(found, UnresolvedReason.UNAUTHORIZED).detail
        assert [asked.headers["host"] for asked in server.asked] == [
            DOCKER_HUB_API,
            "auth.docker.io",
            DOCKER_HUB_API,
        ]
        pool.clear()


def test_replacing_the_reference_keeps_the_rest(server: Scripted) -> None:
    client = client_for(server)
    first = trouble(client.resolve(reference()), UnresolvedReason.NOT_FOUND)
    pinned = reference(f"registry.example/acme/app:1@{OTHER}")
    assert client.resolve(pinned) == replace(first, reference=pinned)


def test_a_pool_serves_many_clients(server: Scripted) -> None:
    serve(server)
    pool: GuardedPool = guarded_pool(environ={})
    for _ in range(3):
        client = client_for(server, pool=pool)
        assert isinstance(client.resolve(reference()), Resolution)
        client.close()


def test_a_tag_that_is_none_is_not_asked(server: Scripted) -> None:
    client = client_for(server)
    for tag in ("", "a/../b", "a?b", "a b", "../../token"):
        trouble(client.resolve(replace(reference(), tag=tag)), UnresolvedReason.INVALID)
    assert server.asked == []


def test_a_sweep_asks_for_all_owners_at_once_what_anybody_is_told(server: Scripted) -> None:
    """Who has a login may be told something else, and keeps that to themselves."""
    serve(server)
    answers = Memos.of_one_sweep(600, 60)
    login = Credential(
        origin=Allowed.parse(server.url),
        prefix="",
        secret=lambda: Secret(username="robot", password="hunter2hunter2"),
        owners=frozenset({"acme"}),
    )

    def ask(scope: Scope) -> int:
        """Return how many requests a run of this scope sends."""
        server.asked.clear()
        client = client_for(server, scope=scope, answers=answers, credentials=Credentials([login]))
        assert isinstance(client.resolve(reference()), Resolution)
        return len(server.asked)

    assert ask(Scope(owner="mallory")) == 1
    assert ask(Scope(owner="other")) == 0
    assert ask(Scope(owner="acme", trusted=False)) == 0
    assert ask(Scope(owner="acme")) == 1
    assert ask(Scope(owner="acme")) == 0


def test_what_one_run_asked_too_much_the_next_run_of_a_sweep_asks(server: Scripted) -> None:
    serve(server)
    server.routes["* /v2/acme/app/manifests/2"] = server.routes[f"* {PATH}"]
    answers = Memos.of_one_sweep(600, 60)
    two = reference("registry.example/acme/app:2")
    one_each = Bounds(lookups=1)
    first = client_for(server, answers=answers, bounds=one_each)
    assert isinstance(first.resolve(reference()), Resolution)
    trouble(first.resolve(two), UnresolvedReason.DEFERRED)
    assert isinstance(client_for(server, answers=answers, bounds=one_each).resolve(two), Resolution)
