"""The Dockerfile finder on what golden cases do not show: names, any bytes, and pinning twice."""

from __future__ import annotations

import subprocess
import sys

import goldens
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import candidates, edits
from bot.finders import dockerfile
from bot.globs import matches
from bot.model import Candidate, Cause, Findings, ImageReference, Resolution, SkipReason, State, UnreadReason
from bot.source import Source

DIGEST = "sha256:" + "d0" * 32
FILES = {
    f"{case.name}/{path}": data
    for case in goldens.cases("finders", "dockerfile")
    for path, data in goldens.read_tree(case / "repo").items()
}


def find(data: bytes) -> Findings:
    return dockerfile.find(Source("Dockerfile", data), {})


# --- names --------------------------------------------------------------------------------

CLAIMED = [
    *("Dockerfile", "dockerfile", "Containerfile", "containerfile", "a/b/c/Dockerfile"),
    *("Dockerfile.dev", "Dockerfile.prod.alpine", "Containerfile.rhel", "web.Dockerfile", "web.dockerfile"),
    *("api.v2.Containerfile", "Dockerfile-alpine", "Dockerfile_test", "Containerfile-x", "base-Dockerfile"),
    *(
        "Dockerfile.j2",
        "Dockerfile.tmpl",
        "web.Dockerfile.j2",
        "Dockerfile.in",
        "Dockerfile.1.2",
        "Dockerfile.txt",
    ),
    *("Dockerfile.go", "Dockerfile.py", "Dockerfile.bat"),
    *("DOCKERFILE", "DockerFile", "app.DockerFile", "DockerFile.dev", "ContainerFile", "CONTAINERFILE-x"),
    *("Dockerfile.a\nb", "a\nb.Dockerfile", "a\n-Dockerfile"),
]
NOT_CLAIMED = [
    *(
        "Dockerfile.dockerignore",
        "web.Dockerfile.dockerignore",
        "Containerfile.containerignore",
        ".dockerignore",
    ),
    *(
        "dockerfile.py",
        "dockerfile.go",
        "Dockerfile.md",
        "dockerfile.MD",
        "Dockerfile.json",
        "dockerfile-x.go",
    ),
    *(
        "Dockerfile/main.go",
        "DockerfileX",
        "mydockerfile",
        "docker-compose.yml",
        "README.md",
        "",
        "a/",
        "file",
    ),
    *("Makefile", "Dockerfiles", "test_dockerfile.rb", "Dockerfile.d/README.md", "DOCKERFILE.MD"),
    *("DockerFileParser.cs", "MyDockerFile", "DOCKERFILES"),
]


@pytest.mark.parametrize("path", CLAIMED)
def test_claimed_by_name(path: str) -> None:
    assert dockerfile.claims(path, b"")
    assert dockerfile.claims(f"deep/er/{path}", b"")
    assert dockerfile.claims(path, b"# why\n\nARG A=b\nFROM $A\n")


@pytest.mark.parametrize("path", NOT_CLAIMED)
def test_not_claimed_by_name(path: str) -> None:
    assert not dockerfile.claims(path, b"")
    assert not dockerfile.claims(path, b"FROM alpine\n")


@pytest.mark.parametrize(
    ("path", "head", "claimed"),
    [
        ("Dockerfile.go", b"package main\n\n// FROM here\n", False),
        ("Dockerfile.py", b"# FROM\nfrom\tos import path\n", True),
        ("Dockerfile.js", b"module.exports = {}\n", False),
        ("Dockerfile.go", b"\xef\xbb\xbf# syntax=x\narg A\n  from golang\n", True),
        ("dockerfile-lint", b"#!/bin/sh\nexit 0\n", False),
        ("Dockerfile-x", b"# x\nFROM alpine\n", True),
        ("DockerFile.java", b"package a;\n\npublic class DockerFile {\n", False),
        ("Dockerfile-x", b"#" * 4096, False),
        ("Dockerfile", b"nothing of the kind", True),
    ],
)
def test_claimed_by_content_where_the_name_leaves_a_doubt(path: str, head: bytes, *, claimed: bool) -> None:
    assert dockerfile.claims(path, head) is claimed


@pytest.mark.parametrize("path", CLAIMED)
def test_the_patterns_cover_every_name(path: str) -> None:
    assert any(matches(glob, path) for glob in dockerfile.paths)
    assert any(matches(glob, f"deep/er/{path}") for glob in dockerfile.paths)


@given(st.text(), st.binary(max_size=100))
def test_any_path_is_answered(path: str, head: bytes) -> None:
    assert dockerfile.claims(path, head) <= dockerfile.claims(path, b"")


def test_long_heads_are_read_in_linear_time() -> None:
    assert not dockerfile.claims("Dockerfile.go", b"arg \n" * 200_000)
    assert not dockerfile.claims("Dockerfile.go", b"\n " * 200_000)
    assert not dockerfile.claims("Dockerfile-x", b" " * 1_000_000)


# --- findings -----------------------------------------------------------------------------


def test_a_dockerfile_needs_no_other_file() -> None:
    assert dockerfile.needs(Source("Dockerfile", b"FROM ${A}\n")) == ()


def test_trouble_is_told_with_its_line() -> None:
    found = find(b"FROM alpine\nRUN <<EOF\n")
    assert [(one.path, one.reason, one.line) for one in found.unread] == [
        ("Dockerfile", UnreadReason.UNPARSABLE, 2)
    ]
    assert len(found.references) == 1


def check(data: bytes) -> None:
    """Hold one file's findings against the file, and pin it twice."""
    found = find(data).references
    for one in found:
        span = one.location.span
        assert data[span.start : span.end] == one.value.encode()
        assert (one.skip is SkipReason.PINNED) == (one.state is State.PINNED)
        assert one.skip is not SkipReason.NO_PLACE
    chosen = [
        Candidate(
            finding=one,
            current=None,
            target=DIGEST,
            resolution=Resolution(reference=one.reference, digest=DIGEST, source="test"),
            cause=Cause.FIRST,
        )
        for one in found
        if one.skip is None and isinstance(one.reference, ImageReference)
    ]
    assert len(chosen) == sum(one.skip is None for one in found)
    made = [edit for candidate in chosen for edit in candidates.edits(candidate)]
    pinned = edits.apply({"Dockerfile": data}, made).get("Dockerfile", data)
    again = find(pinned).references
    targets = {one.finding.location: candidates.target_reference(one) for one in chosen}
    assert edits.confirm(found, again, targets, made) is None
    assert not [one for one in again if one.skip is None]
    assert pinned.replace(f"@{DIGEST}".encode(), b"").replace(b":latest", b"") == data.replace(
        b":latest", b""
    )


@pytest.mark.parametrize("path", sorted(FILES))
def test_pinning_realistic_files(path: str) -> None:
    check(FILES[path])


@settings(max_examples=200)
@given(st.data())
def test_mutated_files_are_still_told_exactly(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([one for one in FILES.values() if one]))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    junk = data.draw(
        st.one_of(
            st.binary(max_size=6),
            st.sampled_from(
                [b"\n", b"\\\n", b'"', b"'", b"${", b"}", b"<<EOF\n", b"ARG ", b"FROM ", b" AS x"]
            ),
        )
    )
    check(text[:start] + junk + text[end:])


# --- start-up -----------------------------------------------------------------------------


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, bot.dockerfile; print(*{'dockerfile_parse', 'yaml'} & set(sys.modules))"
    root = goldens.GOLDEN.parent.parent
    made = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root, timeout=60
    )
    assert made.stdout.split() == []
