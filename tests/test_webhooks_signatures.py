"""Signatures and events: pure."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks.events import EventError, Irrelevant, Reason, delivery_id
from webhooks.git_events import Push, read_push
from webhooks.signatures import is_signed, sign

SECRET = "It's a Secret to Everybody"
A = "a" * 40


def test_github_s_documented_vector() -> None:
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert sign(SECRET, b"Hello, World!") == expected
    assert is_signed([SECRET], b"Hello, World!", expected)


@given(st.text(min_size=1), st.binary())
def test_a_signature_is_the_standard_library_s(secret: str, body: bytes) -> None:
    expected = hmac.new(secret.encode(errors="replace"), body, hashlib.sha256).hexdigest()
    if "\ud800" <= max(secret) <= "\udfff":
        return
    assert sign(secret, body) == f"sha256={expected}"


def test_any_of_several_secrets_may_have_signed() -> None:
    assert is_signed(["old secret", SECRET], b"x", sign(SECRET, b"x"))
    assert is_signed([SECRET, "new secret"], b"x", sign(SECRET, b"x"))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        sign("another secret", b"x"),
        sign(SECRET, b"y"),
        sign(SECRET, b"x").upper(),
        sign(SECRET, b"x").removeprefix("sha256="),
        sign(SECRET, b"x")[:-1],
        sign(SECRET, b"x") + " ",
        "sha1=" + hmac.new(SECRET.encode(), b"x", hashlib.sha1).hexdigest(),
        "sha256=\u00e9\ud800",
    ],
)
def test_anything_else_is_no_signature(header: str) -> None:
    assert not is_signed([SECRET], b"x", header)


def test_without_a_secret_nothing_is_signed() -> None:
    assert not is_signed([], b"x", sign("", b"x"))


def body(**changes: object) -> bytes:
    event = {"repository": "acme/app", "ref": "refs/heads/main", "before": "0" * 40, "after": A}
    return json.dumps({**event, **changes}).encode()


@pytest.mark.parametrize("branch", ["main", "feature/x", "f\u00fc", "v1.2"])
@pytest.mark.parametrize("commit", [A, "0" * 39 + "1", "b" * 64])
def test_a_push(branch: str, commit: str) -> None:
    push = read_push(body(ref=f"refs/heads/{branch}", after=commit, extra=[{}]))
    assert push == Push(repository="acme/app", branch=branch, head=commit)


def test_what_is_no_branch_and_what_is_gone() -> None:
    assert read_push(body(ref="refs/tags/v1")) == Irrelevant(reason=Reason.NO_BRANCH)
    assert read_push(body(ref="refs/notes/commits")) == Irrelevant(reason=Reason.NO_BRANCH)
    assert read_push(body(after="0" * 40)) == Irrelevant(reason=Reason.DELETED)
    assert read_push(body(after="0" * 64)) == Irrelevant(reason=Reason.DELETED)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"[" * 60_000,
        b'{"a":' * 12_000,
        b"1" * 10_000,
        b"{}",
        body(repository=None),
        body(repository=""),
        body(repository=1),
        body(repository="x" * 1025),
        body(repository="a\nb"),
        body(repository="a\0b"),
        body(repository="a\ud800b"),
        body(repository="a\u202eb"),
        body(ref="main"),
        body(ref=None),
        body(ref="refs/heads/"),
        body(ref="refs/heads/-x"),
        body(ref="refs/heads/a..b"),
        body(ref="refs/heads/a b"),
        body(ref="refs/heads/a\x7fb"),
        body(ref="refs/heads/" + "x" * 10_000),
        body(ref=["refs/heads/main"]),
        body(after="main"),
        body(after=A.upper()),
        body(after=A[:-1]),
        body(after=f"{A}\n"),
        body(after=None),
    ],
)
def test_other_shapes_are_refused(content: bytes) -> None:
    with pytest.raises(EventError):
        read_push(content)


@given(st.binary() | st.recursive(st.none() | st.text(), st.lists).map(lambda x: json.dumps(x).encode()))
def test_any_body_is_read_or_refused(content: bytes) -> None:
    with pytest.raises(EventError):
        read_push(content)


@given(st.text(), st.text(), st.text())
def test_any_texts_are_read_or_refused(repository: str, ref: str, after: str) -> None:
    try:
        push = read_push(body(repository=repository, ref=f"refs/heads/{ref}", after=after or A))
    except EventError:
        return
    if isinstance(push, Push):
        assert push.branch == ref
        assert push.repository.isprintable()


def test_a_delivery_s_id() -> None:
    assert delivery_id("7f3a-1", b"x") == "7f3a-1"
    assert delivery_id(None, b"x") == delivery_id(None, b"x") != delivery_id(None, b"y")
    assert delivery_id(None, b"x") == "body:" + hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize("header", ["", "a b", "x" * 129, "a\n", "\u00e9", "'"])
def test_other_ids_are_refused(header: str) -> None:
    with pytest.raises(EventError):
        delivery_id(header, b"x")
