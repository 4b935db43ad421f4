"""The grammar of references: what is one, what it comes to, and what is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.model import GitReference, ImageReference
from bot.reference import (
    is_commit,
    is_digest,
    is_git_ref,
    is_tag,
    parse_git,
    parse_image,
    pinned_git,
    pinned_image,
)

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


def known(text: str) -> ImageReference:
    """Return the image that a text is sure to name."""
    found = parse_image(text)
    assert found is not None
    return found


# --- images -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "registry", "repository"),
    [
        ("node", "docker.io", "library/node"),
        ("library/node", "docker.io", "library/node"),
        ("acme/app", "docker.io", "acme/app"),
        ("acme/team/app", "docker.io", "acme/team/app"),
        ("docker.io/node", "docker.io", "library/node"),
        ("docker.io/library/node", "docker.io", "library/node"),
        ("DOCKER.IO/node", "docker.io", "library/node"),
        ("index.docker.io/node", "docker.io", "library/node"),
        ("index.docker.io/acme/app", "docker.io", "acme/app"),
        ("registry-1.docker.io/library/node", "docker.io", "library/node"),
        ("registry.hub.docker.com/library/node", "docker.io", "library/node"),
        ("docker.io:443/node", "docker.io:443", "node"),
        ("ghcr.io/acme/app", "ghcr.io", "acme/app"),
        ("GHCR.io/acme/app", "ghcr.io", "acme/app"),
        ("localhost/app", "localhost", "app"),
        ("localhost:5000/app", "localhost:5000", "app"),
        ("registry:5000/app", "registry:5000", "app"),
        ("Registry/app", "registry", "app"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000", "app"),
        ("[::1]/app", "[::1]", "app"),
        ("[2001:DB8::1]:5000/acme/app", "[2001:db8::1]:5000", "acme/app"),
        ("a-b.example/app", "a-b.example", "app"),
        ("a.b/c.d_e__f-g--h/i", "a.b", "c.d_e__f-g--h/i"),
        ("sha256/app", "docker.io", "sha256/app"),
        (f"acme/{HEX}", "docker.io", f"acme/{HEX}"),
        (f"localhost/{HEX}", "localhost", HEX),
        (HEX[:63], "docker.io", f"library/{HEX[:63]}"),
        (f"{HEX}0", "docker.io", f"library/{HEX}0"),
        ("sha256", "docker.io", "library/sha256"),
    ],
)
def test_names(text: str, registry: str, repository: str) -> None:
    for tail, tag, digest in (("", None, None), (":1.2", "1.2", None), (f":1.2@{DIGEST}", "1.2", DIGEST)):
        found = known(f"{text}{tail}")
        assert (found.registry, found.repository) == (registry, repository)
        assert (found.name, found.tag, found.digest) == (text, tag, digest)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "node ", " node", "node\n", "a b", "nöde", "node\0", "\ufeffnode"),
        *("Node", "acme/App", "ghcr.io/Acme/app", "localhost/App", "node/App:1"),
        *("/node", "node/", "a//b", "/", "ghcr.io/", ".", "..", "../a", "a/../b", "a/./b"),
        *("-node", "node-", "_node", "node_", ".node", "node.", "a..b", "a___b", "a._b", "a-_b", "a.-b"),
        *("node:", "node::1", "node:1:2", "node:-1", "node:.1", "node:a/b:", f"node:{'a' * 129}"),
        *("node@", "@", f"@{DIGEST}", f":1@{DIGEST}", f"node@{HEX}", "node@sha256:", "node@sha256:0"),
        *(f"node@{DIGEST}0", f"node@{DIGEST[:-1]}", f"node@{DIGEST.upper()}", f"node@sha256:{HEX.upper()}"),
        *(f"node@{DIGEST}@{DIGEST}", f"node@md5:{HEX[:32]}", f"node@sha512:{HEX}", f"node@{DIGEST}\n"),
        *("registry:/a", "registry:port/a", "registry:123456/a", ":5000/a", "a.b:5000:5000/c"),
        *("[::1]", "[::1]:5000", "[::g]/a", "[::1/a", "::1/a", "[]/a", "[::1]5000/a", "[::1%eth0]/a"),
        *("-a.b/c", "a-.b/c", "a..b/c", ".a/c", "a./c", "a_b.c/d", "a_b:5/d"),
        *("https://ghcr.io/a", "docker://node", "user@ghcr.io/a", "user:word@ghcr.io/a", "a\\b", "a%2fb"),
        *("$IMAGE", "${IMAGE}:1", "node:${V}", "{{ image }}", "<image>", "node:$V"),
    ],
)
def test_what_is_no_image(text: str) -> None:
    assert parse_image(text) is None


@pytest.mark.parametrize("text", [HEX, DIGEST])
def test_what_docker_takes_for_the_id_of_an_image(text: str) -> None:
    assert parse_image(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *(f"acme/sha256:{HEX}", f"sha256:{HEX[:63]}", f"sha512:{HEX}", f"node:{HEX}"),
        *(f"{HEX}:1", f"{HEX}@{DIGEST}", f"sha256:{HEX}@{DIGEST}", f"sha256:{HEX.upper()}"),
    ],
)
def test_what_only_looks_like_an_id(text: str) -> None:
    assert parse_image(text) is not None


def test_lengths() -> None:
    assert parse_image("a" * 255) is not None
    assert parse_image("a" * 256) is None
    assert parse_image(f"ghcr.io/{'a' * 247}:{'b' * 128}@{DIGEST}") is not None
    assert parse_image(f"ghcr.io/{'a' * 248}") is None
    assert parse_image("a/" * 600 + "a") is None
    assert parse_image("a" * 10_000_000) is None


def test_a_digest_of_the_longer_kind() -> None:
    assert known(f"node@sha512:{HEX * 2}").digest == f"sha512:{HEX * 2}"


IMAGES = st.from_regex(
    re.compile(
        r"(?:(?:[a-zA-Z]{1,3}\.[a-z]{1,3}|localhost|\[::1?\])(?::[0-9]{1,5})?/[a-z]\.)?"
        r"[a-z0-9]{1,4}(?:[_/-][a-z0-9]{1,4}){0,3}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,8})?"
        r"(?:@sha256:[0-9a-f]{64})?"
    ),
    fullmatch=True,
)


@settings(max_examples=300)
@given(st.one_of(IMAGES, st.text(max_size=40), st.text("aA0.:/@-_[]", max_size=20)))
def test_an_image_is_written_as_it_was_read(text: str) -> None:
    found = parse_image(text)
    if found is None:
        return
    assert str(found) == text
    assert found.registry == found.registry.lower()
    assert found.repository == found.repository.lower()
    normal = parse_image(f"{found.registry}/{found.repository}")
    assert normal is not None
    assert (normal.registry, normal.repository) == (found.registry, found.repository)
    pinned = pinned_image(found, DIGEST)
    assert parse_image(str(pinned)) == pinned


@given(IMAGES)
def test_the_strategy_makes_images(text: str) -> None:
    assert parse_image(text) is not None


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("node", f"node:latest@{DIGEST}"),
        ("node:20", f"node:20@{DIGEST}"),
        (f"node@sha256:{'0' * 64}", f"node@{DIGEST}"),
        (f"node:20@sha256:{'0' * 64}", f"node:20@{DIGEST}"),
    ],
)
def test_pinned_images(text: str, pinned: str) -> None:
    assert str(pinned_image(known(text), DIGEST)) == pinned


# --- tags, digests, commits ---------------------------------------------------------------


@pytest.mark.parametrize("text", ["1", "_", "v1.2.3", "A-b_c.d", "a" * 128, "20-alpine", "latest-"])
def test_tags(text: str) -> None:
    assert is_tag(text)


@pytest.mark.parametrize("text", ["", ".", "-a", "a" * 129, "a/b", "a:b", "a b", "a\n", "ä", "a+b", "\u0661"])
def test_what_is_no_tag(text: str) -> None:
    assert not is_tag(text)


@pytest.mark.parametrize(
    "text",
    ["", HEX, f"{DIGEST}\n", DIGEST.upper(), f"SHA256:{HEX}", f"sha512:{HEX}", f" {DIGEST}", "sha256:"],
)
def test_what_is_no_digest(text: str) -> None:
    assert not is_digest(text)


def test_digests_and_commits() -> None:
    assert is_digest(DIGEST)
    assert is_digest(f"sha512:{HEX * 2}")
    assert is_commit(HEX)
    assert is_commit(HEX[:40])
    for text in ("", HEX[:39], HEX[:41], HEX.upper(), f"{HEX[:40]}\n", "g" * 40, DIGEST):
        assert not is_commit(text)


# --- git references -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "repository", "path", "ref"),
    [
        ("actions/checkout@v4", "actions/checkout", "", "v4"),
        ("Owner/Repo.name_x-y@main", "Owner/Repo.name_x-y", "", "main"),
        ("a/b/c/d.yml@release/1.x", "a/b", "c/d.yml", "release/1.x"),
        ("a/b/.github/workflows/x.yml@v1", "a/b", ".github/workflows/x.yml", "v1"),
        (f"a/b@{HEX[:40]}", "a/b", "", HEX[:40]),
        ("a/b@ümlaut", "a/b", "", "ümlaut"),
        ("a/b@refs/tags/v1", "a/b", "", "refs/tags/v1"),
    ],
)
def test_git_references(text: str, repository: str, path: str, ref: str) -> None:
    found = parse_git(text, host="github.com")
    assert found == GitReference(host="github.com", repository=repository, path=path, ref=ref)
    assert str(found) == text
    assert str(pinned_git(found, HEX[:40])) == f"{text.rpartition('@')[0]}@{HEX[:40]}"


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "a@v1", "a/b", "a/b@", "/b@v1", "a/@v1", "a//b@v1", "a/b/@v1", "./a/b@v1", "../a@v1"),
        *("a/../b@v1", "a/b/../../c@v1", "a/b/.@v1", "./../a@v1", "a b/c@v1", "a/b @v1", "ä/b@v1", "-a/b@v1"),
        *("https://host/a/b@v1", "git@host:a/b@v1", "a/b@x@y", f"a/{'b' * 256}@v1", "a/b\n@v1", "a\0/b@v1"),
        *("a/b@-x", "a/b@--upload-pack=x", "a/b@x y", "a/b@x\n", "a/b@..", "a/b@a..b", "a/b@/x", "a/b@x/"),
        *("a/b@x//y", "a/b@x.lock", "a/b@x.", "a/b@x~1", "a/b@x^", "a/b@x:y", "a/b@*", "a/b@?", "a/b@[x]"),
        *("a/b@x\\y", "a/b@x\x7f", "a/b@x\0", f"a/b@{'x' * 256}", "a/b@\t", "a/b@x\r"),
    ],
)
def test_what_is_no_git_reference(text: str) -> None:
    assert parse_git(text, host="github.com") is None


@pytest.mark.parametrize("ref", ["x@{1}", "@{u}", "a/.b", ".a", "a.lock/b", "@"])
def test_what_git_refuses_as_a_ref(ref: str) -> None:
    assert not is_git_ref(ref)


def test_refs_have_a_length() -> None:
    assert is_git_ref("x" * 255)
    assert not is_git_ref("x" * 256)
    assert not is_git_ref("")


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_git_reference_is_written_as_it_was_read(place: str, ref: str) -> None:
    for text in (f"{place}@{ref}", f"a/b/{place}@{ref}", f"a/b@{ref}"):
        found = parse_git(text, host="github.com")
        assert found is None or str(found) == text


@given(st.text())
def test_no_ref_can_be_taken_for_an_option_or_a_range(ref: str) -> None:
    if is_git_ref(ref):
        assert not ref.startswith("-")
        assert ".." not in ref
        assert not any(character <= " " or character == "\x7f" for character in ref)
