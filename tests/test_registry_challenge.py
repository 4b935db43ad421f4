"""Reading `WWW-Authenticate`."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.registries.challenge import Challenge, parse_challenges


def challenge(scheme: str, **parameters: str) -> Challenge:
    return Challenge(scheme=scheme, parameters=parameters)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            [
                'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull"'
            ],
            [
                challenge(
                    "bearer",
                    realm="https://auth.docker.io/token",
                    service="registry.docker.io",
                    scope="repository:a:pull",
                )
            ],
        ),
        # Commas and escapes in quotes, odd case, blanks around `=`, a token for a value.
        (
            ['BEARER REALM = "https://a/t?x=1,2" , Scope="repository:a:pull,push",service=plain'],
            [challenge("bearer", realm="https://a/t?x=1,2", scope="repository:a:pull,push", service="plain")],
        ),
        (['Basic realm="say \\"hi\\", you"'], [challenge("basic", realm='say "hi", you')]),
        # Several in one header and in several headers.
        (
            ['Negotiate, Basic realm="a", Bearer realm="b",service="c"'],
            [
                challenge("negotiate"),
                challenge("basic", realm="a"),
                challenge("bearer", realm="b", service="c"),
            ],
        ),
        (
            ['Basic realm="a"', 'Bearer realm="b"'],
            [challenge("basic", realm="a"), challenge("bearer", realm="b")],
        ),
        (["Basic"], [challenge("basic")]),
        (["Negotiate YWJjZA=="], [challenge("negotiate", ywjjza="=")]),
        # The first of two realms counts, so that nothing behind it can replace it.
        (['Bearer realm="a",realm="b"'], [challenge("bearer", realm="a")]),
        # A quote that never ends is no value.
        (['Bearer realm="https://a'], [challenge("bearer")]),
        (['Bearer realm="a",junk="x, service="b"'], None),
        (['="x", Bearer realm="a"'], [challenge("bearer", realm="a")]),
        ([], []),
        ([""], []),
        ([",,, ,"], []),
    ],
)
def test_challenges(headers: list[str], expected: list[Challenge] | None) -> None:
    found = list(parse_challenges(headers))
    if expected is None:
        assert found[0].parameters["realm"] == "a"
    else:
        assert found == expected


@given(st.lists(st.text(), max_size=3))
def test_any_text_is_read(headers: list[str]) -> None:
    for found in parse_challenges(headers):
        assert found.scheme == found.scheme.lower()


@pytest.mark.parametrize("piece", ["a", "a ", "a=", 'a="', '\\"', ",", '"', "a b ", 'a="b"', " =", "= "])
def test_long_junk_is_read_in_no_time(piece: str) -> None:
    header = "Bearer " + piece * 400_000
    started = time.process_time()
    parse_challenges([header])
    assert time.process_time() - started < 1.0
