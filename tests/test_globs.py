"""Globs: what they mean, and that no glob or text makes them slow."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import globs
from bot.model import GitReference
from bot.reference import parse_image


@pytest.mark.parametrize(
    ("glob", "text", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("*", "a", True),
        ("*", "a/b", False),
        ("*", "", False),
        ("**", "a/b/c", True),
        ("a/**", "a/b", True),
        ("a/**", "a/b/c/d", True),
        ("a/**", "a", False),
        ("a/", "a/b/c", True),
        ("a/", "a", False),
        ("**/Dockerfile", "Dockerfile", True),
        ("**/Dockerfile", "x/y/Dockerfile", True),
        ("**/Dockerfile", "x/Dockerfile/y", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**/**/z", "a/b/z", True),
        ("**/a/**/b", "x/a/y/a/z/b", True),
        ("**/a/*/b", "a/a/x/b", True),
        ("*.yml", "a.yml", True),
        ("*.yml", "a.yaml", False),
        ("*.yml", "a/b.yml", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "aXbYbZc", True),
        ("a*bc*c", "abc", False),
        ("?b", "ab", True),
        ("?b", "b", False),
        ("*?", "", False),
        ("a.b", "axb", False),
        ("[a]", "[a]", True),
        ("[a]", "a", False),
        ("*", "a\nb", True),
    ],
)
def test_meaning(glob: str, text: str, expected: bool) -> None:
    assert globs.matches(glob, text) is expected


def _slowly(glob: str) -> str:
    """Return the glob as a regular expression that goes back as it likes."""
    made = ""
    parts = glob.split("/")
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            made += ".+" if last else "(?:[^/]+/)*"
        else:
            one = "".join("[^/]*" if c == "*" else "[^/]" if c == "?" else re.escape(c) for c in part)
            made += ("(?=[^/])" + one if part == "*" else one) + ("" if last else "/")
    return made


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.one_of(st.just("**"), st.text("ab*?", min_size=1, max_size=4)), min_size=1, max_size=4),
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=5),
)
def test_agrees_with_a_slow_matcher(parts: list[str], text: list[str]) -> None:
    glob, path = "/".join(parts), "/".join(text)
    if globs.wrong(glob) is None:
        assert globs.matches(glob, path) is bool(re.fullmatch(_slowly(glob), path))


@pytest.mark.parametrize(
    ("glob", "text"),
    [
        ("*a" * 140 + "b", "a" * 20_000),
        ("a*" * 140 + "b", "a" * 20_000),
        ("**/" + "*a" * 90 + "b/c", "/".join(["a" * 200] * 100)),
        ("/".join(["**", "a"] * 50) + "/b", "/".join(["a"] * 5_000)),
        ("?" * 290 + "*b", "a" * 20_000),
    ],
)
def test_hostile_globs_are_fast(glob: str, text: str) -> None:
    assert globs.wrong(glob) is None
    start = time.process_time()
    assert globs.matches(glob, text) is False
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "glob",
    ["", "a" * 301, "/a", "./a", "../a", "a/../b", "a//b", "!a", "a{b,c}", "a\\b", "a\nb", "a**", "a/**b"],
)
def test_wrong_globs(glob: str) -> None:
    assert globs.wrong(glob)


@pytest.mark.parametrize(
    ("glob", "image", "expected"),
    [
        ("node", "node:20", True),
        ("node:20", "node:20", True),
        ("node:2*", "node:20", True),
        ("node:20", "node:22", False),
        ("node:latest", "node", True),
        ("docker.io/library/node", "node:20", True),
        ("library/node", "node:20", True),
        ("node", "docker.io/library/node:20", True),
        ("acme/*", "acme/tool:1", True),
        ("acme/*", "docker.io/acme/tool:1", True),
        ("acme/*", "ghcr.io/acme/tool:1", False),
        ("ghcr.io/acme/*", "ghcr.io/acme/tool:1", True),
        ("ghcr.io/acme/*", "ghcr.io/acme/a/b:1", False),
        ("ghcr.io/**", "ghcr.io/acme/a/b:1", True),
        ("*", "ghcr.io/acme/a", False),
        ("**", "ghcr.io/acme/a", True),
    ],
)
def test_names_of_images(glob: str, image: str, expected: bool) -> None:
    reference = parse_image(image)
    assert reference is not None
    assert globs.names(glob, reference) is expected


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("acme/tools", True),
        ("ACME/Tools", True),
        ("acme/tools/sub", True),
        ("acme/*", True),
        ("github.com/acme/**", True),
        ("acme/tools@v1", True),
        ("acme/tools@v*", True),
        ("acme/tools@V1", False),
        ("acme/tools@v2", False),
        ("acme", False),
    ],
)
def test_names_of_git_references(glob: str, expected: bool) -> None:
    reference = GitReference(host="github.com", repository="Acme/tools", ref="v1", path="sub")
    assert globs.names(glob, reference) is expected
