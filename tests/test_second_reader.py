"""The second reader of Dockerfiles: it lets every edit pass that stays where it was meant, and no other."""

from __future__ import annotations

import time
from pathlib import Path

import goldens
import pytest
from answering import AnyImages, AnyRefs
from hypothesis import given, settings
from hypothesis import strategies as st
from reports import NOW

from bot import pipeline
from bot.config import Config
from bot.dockerfile import scan, second_reader
from bot.dockerfile.second_reader import MAX_BYTES, MAX_LINES, objection
from bot.forges.directory import Directory
from bot.model import Edit, Job, Span, Trigger, UnreadReason
from bot.trust.base import Sources

DIGEST = "sha256:" + "0123456789abcdef" * 4
TWO = b"FROM node:20 AS a\nCOPY --from=busybox:1 /x /y\n"


def edit(data: bytes, old: bytes, new: bytes) -> Edit:
    start = data.index(old)
    return Edit(path="Dockerfile", span=Span(start, start + len(old)), expected=old, replacement=new)


def pinned(data: bytes) -> tuple[bytes, list[Edit]]:
    """Return a Dockerfile with everything pinned that can be, and the edits that did it."""
    made, edits = data, []
    for use in reversed(scan(data).uses):
        if use.skip is None and use.reference is not None:
            old = use.value.encode()
            new = old + (b"" if use.reference.tag else b":latest") + f"@{DIGEST}".encode()
            edits.append(Edit(path="Dockerfile", span=use.span, expected=old, replacement=new))
            made = made[: use.span.start] + new + made[use.span.end :]
    return made, edits


LINES = st.sampled_from(
    [
        *(
            "FROM node:20",
            "from alpine",
            "FROM --platform=$P ghcr.io/a/b:1 AS x",
            "FROM $A",
            "FROM ${A} as y",
        ),
        *(
            "FROM \\\n  # why\n\n  debian:12 \\\n AS z",
            "FROM redis:7\\\n  AS w",
            "ARG A=node:20",
            'ARG A="node"',
        ),
        *("ARG B=alpine:3 C=debian:12", "COPY --from=busybox:1 /x /y", "COPY --from=x a b", "FROM {{ a }}"),
        *(
            "RUN --mount=from=golang:1.22,target=/a \\\n --mount=type=bind,from=rust,target=/b true",
            "RUN a \\",
        ),
        *(
            "COPY <<A <<B /x/\nFROM fake:1\nA\nFROM fake:2 \\\nB",
            "RUN <<-'E'\n\tFROM fake\n\tE",
            "",
            "# FROM a:1",
        ),
        *(
            "ONBUILD FROM a:1",
            "ONBUILD COPY --from=busybox / /",
            "  \tFROM\tperl:5\t",
            "FROM a:1 # no comment",
        ),
        *(
            "LABEL a='b\\",
            "ENV X=node:20",
            "\ufeff",
            "\x0c\x85",
            "\x1f",
            "# escape=`",
            "FROM ruby:3 `",
            "USER",
        ),
    ]
)


@st.composite
def dockerfiles(draw: st.DrawFn) -> bytes:
    """Return Dockerfiles with everything that the second reader is known to get wrong."""
    first = draw(
        st.sampled_from(["", "# syntax=docker/dockerfile:1", "# escape=`", "#Syntax = a/b", "\ufeff"])
    )
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join([first, *draw(st.lists(LINES, max_size=8))]).replace("\r\n", "\n").replace("\n", end)
    junk = draw(st.sampled_from([b"", b"\n# caf\xe9", b"\nRUN a\x00\xff", b"\r"]))
    return text.encode() + junk


@settings(max_examples=300)
@given(dockerfiles())
def test_every_edit_of_ours_passes(data: bytes) -> None:
    after, edits = pinned(data)
    assert objection(data, after, edits) is None


def test_every_golden_dockerfile_passes() -> None:
    there = [one for one in goldens.GOLDEN.rglob("*ockerfile*") if one.is_file() and "/repo/" in str(one)]
    made = [(one.read_bytes(), *pinned(one.read_bytes())) for one in there]
    assert sum(bool(edits) for _, _, edits in made) > 20
    assert [objection(data, after, edits) for data, after, edits in made if edits] == [None] * sum(
        bool(edits) for _, _, edits in made
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"node:20", b"node:20@x y", "more than the edit in line 1"),
        (b"AS a", b"AS a\\", "other instructions"),
        (b"node:20", b"node:20 \\", "more than the edit in line 1"),
        (b"AS a\n", b"AS a\n#", None),
        (b"/x /y", b"/x#y", "more than the edit in line 2"),
        (b"COPY", b"#COPY x", "more than the edit in line 2"),
        (b"COPY", b"x\nCOPY", None),
        (b"busybox:1", b"busybox:1@x", None),
    ],
)
def test_what_is_more_than_the_edit_is_seen(old: bytes, new: bytes, said: str | None) -> None:
    made = edit(TWO, old, new)
    after = TWO.replace(old, new)
    heard = objection(TWO, after, [made])
    assert (heard is None) == (said is None)
    assert said is None or (heard is not None and said in heard)


def test_a_word_that_no_edit_was_meant_for_is_seen() -> None:
    after = TWO.replace(b"node:20", b"node:20@x").replace(b"busybox:1", b"busybox:2")
    made = edit(TWO, b"node:20", b"node:20@x")
    heard = objection(TWO, after, [made])
    assert heard == "a second reader of Dockerfiles sees more than the edit in line 2"


@pytest.mark.parametrize(
    "data", [b"FROM a:1\n" + b"#" * MAX_BYTES, b"FROM a:1\n" + b"\\\n" * (MAX_LINES + 1)]
)
def test_files_that_it_is_too_slow_for_are_not_shown_to_it(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_reader, "_read", lambda _data: pytest.fail("it was shown"))
    after, edits = pinned(data)
    assert edits
    assert objection(data, after, edits) is None


@pytest.mark.parametrize("line", [b"\\\n", b"a\\\n", b"#\n", b"RUN a \\\n", b"\n"])
def test_the_worst_that_it_is_shown_takes_no_second(line: bytes) -> None:
    data = b"FROM a:1 \\\n" + line * min(MAX_LINES - 1, (MAX_BYTES - 200) // len(line))
    after, edits = data.replace(b"a:1", b"a:1@x"), [edit(data, b"a:1", b"a:1@x")]
    started = time.process_time()
    assert objection(data, after, edits) is None
    assert time.process_time() - started < 5, "a generous guard; it takes a tenth of one"


def test_a_file_that_it_reads_otherwise_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Dockerfile").write_bytes(b"FROM node:20\n")
    (tmp_path / "compose.yaml").write_bytes(b"services:\n  a:\n    image: redis:7\n")
    directory = Directory(tmp_path)
    services = pipeline.Services(
        reading=lambda _job: directory,
        server=Config(),
        sources=Sources(images=AnyImages(), refs=AnyRefs()),
    )
    job = Job(forge="directory", repository="", ref="", trigger=Trigger.COMMAND_LINE)
    report = pipeline.inspect(job, services, NOW)
    assert len(pipeline.confirm(report).edits) == 2
    monkeypatch.setattr(second_reader, "objection", lambda *_: "it sees two stages")
    made = pipeline.confirm(report)
    assert [one.path for one in made.edits] == ["compose.yaml"]
    [left] = made.unread
    assert (left.path, left.reason, left.detail) == (
        "Dockerfile",
        UnreadReason.UNCONFIRMED,
        "it sees two stages",
    )
