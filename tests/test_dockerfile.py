"""The grammar of Dockerfiles: what is an image, where it stands, and what keeps it from being edited."""

from __future__ import annotations

import io
import itertools
import re
import time
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.dockerfile import Scan, Use, scan
from bot.dockerfile.patterns import ANY, Glob
from bot.dockerfile.uses import MAX_USES
from bot.dockerfile.words import COMPUTED, Budget, Run, Traced, Value, expand
from bot.model import SkipReason, State

DIGEST = "sha256:" + "0123456789abcdef" * 4


def told(use: Use) -> str:
    """Return a use in one line: `where value` and, behind a bar, why it is not edited."""
    skip = f" | {use.skip}" if use.skip else ""
    held = f" ({use.argument})" if use.argument else ""
    return f"{use.where} {use.value}{held}{skip}"


def check(text: str | bytes, *expected: str, **options: Any) -> Scan:
    """Hold the uses of a Dockerfile against lines as `told` writes them."""
    data = text.encode() if isinstance(text, str) else text
    found = scan(data, **options)
    for use in found.uses:
        assert data[use.span.start : use.span.end] == use.value.encode()
        assert b"\n" not in data[use.span.start : use.span.end]
    assert [told(use) for use in found.uses] == list(expected)
    return found


# --- FROM ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("FROM node", "FROM node"),
        ("from node:20", "FROM node:20"),
        ("  \tFrom\tnode:20\tAs\tx", "FROM node:20"),
        ("FROM --platform=linux/amd64 node:20 AS x", "FROM node:20"),
        ("FROM --platform=$BUILDPLATFORM node:20", "FROM node:20"),
        ('FROM --platform="linux/amd64" node:20', "FROM node:20"),
        ('FROM "node:latest"', "FROM node:latest"),
        ("FROM 'node:latest' AS x", "FROM node:latest"),
        ("FROM localhost:5000/x", "FROM localhost:5000/x"),
        ("FROM registry:5000/x:1", "FROM registry:5000/x:1"),
        (
            "FROM mcr.microsoft.com/windows/servercore:ltsc2022",
            "FROM mcr.microsoft.com/windows/servercore:ltsc2022",
        ),
        (f"FROM node@{DIGEST}", f"FROM node@{DIGEST} | pinned"),
        (f"FROM node:20@{DIGEST}", f"FROM node:20@{DIGEST} | pinned"),
        (f"FROM node@{DIGEST.upper()}", f"FROM node@{DIGEST.upper()} | invalid"),
        ("FROM node@sha256:0123", "FROM node@sha256:0123 | invalid"),
        ("FROM Node:20", "FROM Node:20 | invalid"),
        (f"FROM {DIGEST}", f"FROM {DIGEST} | invalid"),
        (f"FROM {DIGEST[7:]}", f"FROM {DIGEST[7:]} | invalid"),
        ("FROM BASEIMAGE", "FROM BASEIMAGE | invalid"),
        ("FROM nöde:20", "FROM nöde:20 | invalid"),
        ('FROM node:"20"', 'FROM node:"20" | escaped'),
        ("FROM no\\de:20", "FROM no\\de:20 | escaped"),
        ('FROM ""', 'FROM "" | invalid'),
        ("FROM scratch:latest", "FROM scratch:latest"),
        ("FROM Scratch", "FROM Scratch | invalid"),
    ],
)
def test_from(line: str, expected: str) -> None:
    check(line, expected)
    check(f"{line}\r\nRUN true\r\n", expected)
    check(f"\ufeff# a comment\n\n{line}", expected)


def test_scratch_is_no_image() -> None:
    check(
        "FROM scratch\nCOPY --from=scratch a b\nFROM scratch AS x\nRUN --mount=from=scratch,target=/x true\n"
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# only\n# comments\n", "\ufeff", "ARG A=node:20\n", "RUN a\n"])
def test_nothing_to_find(text: str) -> None:
    assert check(text).trouble == ()


def test_platform_alone_is_trouble_and_no_image() -> None:
    assert check("\nFROM --platform=x\nFROM\n").trouble == (
        (2, "FROM names no image."),
        (3, "FROM names no image."),
    )


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("FROM node:20 # why", "node:20"),
        ("FROM node:20 AS", "node:20"),
        ("FROM node:20 AS a b", "node:20"),
        ("FROM node:20 IS a", "node:20"),
        ("FROM $A # why", "$A"),
        (f"FROM node@{DIGEST} # why", f"node@{DIGEST}"),
        ("FROM --platform linux/amd64 node:20", "linux/amd64"),
        ("FROM --platform linux/amd64", "linux/amd64"),
        ("FROM --platform linux/amd64 AS x", "linux/amd64"),
        ("FROM --pull node:20 AS x", "node:20"),
    ],
)
def test_lines_that_no_builder_takes_are_trouble_and_not_edited(line: str, value: str) -> None:
    found = check(f"ARG A=alpine:3\n{line}\n", f"FROM {value} | invalid")
    assert [line for line, _ in found.trouble] == [2]
    assert found.uses[0].state is State.UNKNOWN
    assert found.uses[0].note


def test_what_a_broken_line_feeds_is_shared() -> None:
    check(
        "ARG A=alpine:3\nFROM $A # why\nFROM $A\n",
        "FROM alpine:3 (A) | shared-variable",
        "FROM $A | invalid",
    )


def test_scratch_with_words_behind_it_is_trouble_alone() -> None:
    assert [line for line, _ in check("FROM scratch # why\n").trouble] == [1]


def test_a_template_may_put_anything_behind_the_image() -> None:
    assert check("FROM node:20 {{ x }} {{ y }}\n", "FROM node:20").trouble == ()


def test_unknown_instructions_are_told_once() -> None:
    assert [line for line, _ in check("FROM a\nFORM b\nFORM c\n", "FROM a").trouble] == [2]


@pytest.mark.parametrize(
    "text", ["# syntax=example.com/dialect:1\nFROM a\nINCLUDE+ b\n", "FROM a\n{% if x %}\n{{ y }}\n"]
)
def test_other_dialects_may_have_other_instructions(text: str) -> None:
    assert scan(text.encode()).trouble == ()


# --- lines --------------------------------------------------------------------------------


def test_continuations_comments_and_empty_lines() -> None:
    check(
        "FROM \\\n  # a comment \\\n\n   node:20 \\\n\t# FROM no:1\n AS x\nRUN true \\\n# FROM no:2\n && echo \\ \n\nFROM no:3\n",
        "FROM node:20",
    )


def test_a_word_broken_by_a_continuation_is_escaped() -> None:
    found = check("FROM no\\\n# comment\nde:\\\n20\n", "FROM no | escaped")
    assert str(found.uses[0].reference) == "node:20"
    assert found.uses[0].state is State.FLOATING


def test_a_doubled_escape_continues_nothing() -> None:
    check("FROM a\nCOPY x c:\\\\\nFROM b\n", "FROM a", "FROM b")
    check("FROM a\nCOPY x c:\\\nFROM b\n", "FROM a")


def test_a_comment_continues_nothing() -> None:
    check("FROM a\n# comment \\\nFROM b\n", "FROM a", "FROM b")


@pytest.mark.parametrize(
    "directives",
    ["# escape=`\n", "#escape=`\n", "# check=skip=all\n#\tEscape = ` \r\n", "\ufeff  # escape=`\n"],
)
def test_the_escape_directive(directives: str) -> None:
    check(
        f"{directives}FROM `\nnode:20\nCOPY x c:\\\nFROM b\nFROM c`\n`\nd\n",
        "FROM node:20",
        "FROM b",
        "FROM c | escaped",
    )


@pytest.mark.parametrize("before", ["\n", "# a comment\n", "# other=x\n", "FROM x\n"])
def test_directives_stand_before_everything_else(before: str) -> None:
    found = scan(f"{before}# escape=`\n# syntax=a/b:1\nFROM \\\nnode:20\n".encode())
    assert [use.value for use in found.uses if use.value != "x"] == ["node:20"]


def test_heredoc_bodies_are_no_instructions() -> None:
    check(
        """FROM a
RUN <<EOF
FROM no:1
EOF
RUN <<-"E O F" cat && true
FROM no:2
		E O F
RUN 3<<A cat <<'B' > "$x" 2>&1
FROM no:3
A
FROM no:4
B
COPY --from=b <<one <<two /x/
FROM no:5
one
COPY --from=no:6 x y
two
ADD <<\\EOF /x
FROM no:7
EOF
ONBUILD RUN <<EOF
FROM no:8
EOF
RUN cat \\
  # comment
  <<EOF
FROM no:9 \\
EOF
FROM c
""",
        "FROM a",
        "COPY --from b",
        "FROM c",
    )


@pytest.mark.parametrize(
    "line",
    [
        'RUN echo "<<EOF"',
        "RUN echo '<<EOF'",
        "RUN cat <<< EOF",
        "RUN cat <<<EOF",
        "RUN echo $((1<<EOF))",
        'RUN ["cat", "<<EOF"]',
        "ENV A=<<EOF",
        "RUN echo \\<<EOF",
        "RUN x=${A:-<<EOF}",
        "RUN cat << EOF",
        "RUN echo $((1 <<2))",
    ],
)
def test_what_is_no_heredoc(line: str) -> None:
    assert "no:1" in [use.value for use in scan(f"FROM a\n{line}\nFROM no:1\nEOF\n".encode()).uses]


@pytest.mark.parametrize(
    "line", ["RUN echo don't <<EOF", "RUN echo ${A^^} <<EOF", "RUN cat <<EOF>x", "RUN cat <<EOF;true"]
)
def test_heredocs_in_lines_that_do_not_add_up(line: str) -> None:
    check(f"FROM a\n{line}\nFROM no:1\nEOF\nFROM b\n", "FROM a", "FROM b")


def test_a_heredoc_without_end_ends_the_reading() -> None:
    found = check("FROM a\nRUN <<EOF\nFROM no:1\n EOF\n", "FROM a")
    assert found.trouble == ((2, "A heredoc that begins here never ends; the rest was not read."),)


def test_heredoc_terminators_keep_their_tabs_without_a_dash() -> None:
    check("FROM a\nRUN <<EOF\n\tEOF\nFROM no:1\nEOF\r\nFROM b", "FROM a", "FROM b")


# --- syntax -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# syntax=docker/dockerfile:1", "# syntax docker/dockerfile:1"),
        ("#syntax=docker/dockerfile", "# syntax docker/dockerfile"),
        ("#\tSYNTAX =\tdocker/dockerfile:1  \r", "# syntax docker/dockerfile:1"),
        ("# escape=`\n# check=skip=all\n# syntax=docker/dockerfile:1", "# syntax docker/dockerfile:1"),
        ("\ufeff# syntax=docker/dockerfile:1 with options", "# syntax docker/dockerfile:1"),
        ("#!/usr/bin/env x\n# syntax=docker/dockerfile:1", "# syntax docker/dockerfile:1"),
        ("// syntax=example.com/a/b:1", "// syntax example.com/a/b:1"),
        (f"# syntax=docker/dockerfile:1@{DIGEST}", f"# syntax docker/dockerfile:1@{DIGEST} | pinned"),
        ("# syntax=Docker/Dockerfile", "# syntax Docker/Dockerfile | invalid"),
        ("# syntax={{ x }}", "# syntax {{ x }} | variable"),
        ("# syntax=$X", "# syntax $X | variable"),
    ],
)
def test_syntax(text: str, expected: str) -> None:
    check(f"{text}\nFROM a\n", expected, "FROM a")


@pytest.mark.parametrize(
    "text", [" # syntax=a", "# syntax=", "# x\n# syntax=a", "\n# syntax=a", "FROM x\n# syntax=a"]
)
def test_what_is_no_syntax(text: str) -> None:
    assert not [use for use in scan(f"{text}\n".encode()).uses if "syntax" in use.where]


def test_only_the_first_syntax_counts() -> None:
    assert check("# syntax=a\n# syntax=b\n", "# syntax a").trouble[0][0] == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"syntax": "docker/dockerfile:1"}', "JSON syntax docker/dockerfile:1"),
        ('\ufeff#!/x\n {\n "a": [1],\n "syntax" :\t"a/b:1"\n}\n', "JSON syntax a/b:1"),
        (f'{{"syntax":"a/b@{DIGEST}"}}', f"JSON syntax a/b@{DIGEST} | pinned"),
        ('{"syntax":"a b"}', "JSON syntax a b | invalid"),
    ],
)
def test_syntax_of_a_file_that_is_json(text: str, expected: str) -> None:
    assert check(text, expected).trouble == ()


@pytest.mark.parametrize(
    "text",
    [
        '{"syntax": "docker/dockerfile:1"}\nFROM scratch\n',
        '{"syntax": "a"',
        '{"syntax": 1}',
        '{"Syntax": "a"}',
        '{"x": {"syntax": "a"}}',
        '["syntax"]',
        '{"syntax": "a", "x": NaN}',
        '{"syntax": "a\\/b"}',
        '{"syntax": "a", "syntax": "b"}',
        '{"syntax": ""}',
        '{"x": {"syntax": "a"}, "syntax": "\\ud800"}',
        "{" * 5000,
    ],
)
def test_what_is_no_syntax_of_a_json_file(text: str) -> None:
    check(text)


def test_syntax_replaced_from_outside() -> None:
    check("# syntax=a\n", "# syntax a | overridden", passed=["BUILDKIT_SYNTAX"])


# --- COPY, ADD, RUN, ONBUILD --------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY --from=node:20 a b", "COPY --from node:20"),
        ("copy --chown=$USER --from=node:latest /a /b", "COPY --from node:latest"),
        ("COPY --chmod=u+x --from=node:latest /a /b", "COPY --from node:latest"),
        ("COPY --exclude=*.md --from=node:latest /a /b", "COPY --from node:latest"),
        ("COPY --link --parents --from=node:latest --chown=1:1 /a /b", "COPY --from node:latest"),
        ('COPY --from="node:latest" ["a", "b"]', "COPY --from node:latest"),
        ("COPY --from='node:latest' a b", "COPY --from node:latest"),
        ("COPY --chown='a b' --from=node a b", "COPY --from node"),
        ("COPY \\\n  --link \\\n  # why\n  --from=node:20 \\\n  a b", "COPY --from node:20"),
        ('COPY --from=no"de:20" a b', "COPY --from no | escaped"),
        ("COPY --from=no\\de a b", "COPY --from no | escaped"),
        ("COPY --from=$X a b", "COPY --from $X | variable"),
        ("COPY --from=${X:-node} a b", "COPY --from ${X:-node} | variable"),
        ("COPY --from={{x}} a b", "COPY --from {{x}} | variable"),
        ("COPY --from=a:{{ x }} a b", "COPY --from a:{{ x }} | variable"),
        ("COPY --from={{ x a b", "COPY --from {{ | variable"),
        (f"COPY --from=a@{DIGEST} a b", f"COPY --from a@{DIGEST} | pinned"),
        ("ADD --from=node:20 a b", "ADD --from node:20"),
        ("ONBUILD COPY --from=node:latest a b", "ONBUILD COPY --from node:latest"),
        ("onbuild add --from=node:latest a b", "ONBUILD ADD --from node:latest"),
        ("ONBUILD RUN --mount=from=node:latest,target=/n true", "ONBUILD RUN --mount from node:latest"),
        ("ONBUILD COPY --from=builder a b", "ONBUILD COPY --from builder | unsupported"),
        ("ONBUILD FROM node:20", "ONBUILD FROM node:20"),
        ("RUN --mount=from=node:20,target=/x true", "RUN --mount from node:20"),
        ("RUN --network=none --mount=target=/x,type=cache,from=node:20 true", "RUN --mount from node:20"),
        ("RUN --mount=type=bind,FROM=node:20 true", "RUN --mount from node:20"),
        ('RUN --mount=type=bind,"from=node:20" true', "RUN --mount from node:20"),
        ("RUN --mount='type=bind,\"from=node:20\",target=/x' true", "RUN --mount from node:20"),
        ('RUN --mount=\'type=bind,"from=no""de"\' true', "RUN --mount from no | invalid"),
        ('RUN --mount=type=bind,from="node:20" ["x"]', "RUN --mount from node:20"),
        ("RUN --mount=type=bind,from=$X true", "RUN --mount from $X | variable"),
        ("RUN --mount=type=tmpfs,from=node true", "RUN --mount from node | unsupported"),
        ("RUN --mount=from=node:20,type=secret true", "RUN --mount from node:20 | unsupported"),
    ],
)
def test_sources(line: str, expected: str) -> None:
    check(f"FROM scratch\n{line}\n", expected)


def test_flags_within_a_template_are_the_templates() -> None:
    check(
        "FROM scratch\nCOPY --from={{ --from=node:20 }} a b\n", "COPY --from {{ --from=node:20 }} | variable"
    )


def test_every_mount_is_seen() -> None:
    check(
        "FROM scratch\n"
        "RUN --mount=type=cache,target=/c --mount=from=node:latest,target=/n \\\n"
        "    --mount=type=bind,from=golang:1.22,target=/go --mount=type=bind,from=node:20,target=/m true\n",
        "RUN --mount from node:latest",
        "RUN --mount from golang:1.22",
        "RUN --mount from node:20",
    )


@pytest.mark.parametrize(
    "line",
    [
        "COPY a --from=node b",
        "COPY -- --from=node b",
        "COPY --from= a b",
        "COPY --from a b",
        "COPY --fromage=node a b",
        "COPY --from=0 a b",
        "RUN --mount=from=0,target=/x true",
        "RUN true --mount=from=node",
        "RUN --mount=type=cache,id=from=node true",
        "RUN echo FROM node && echo 'COPY --from=node'",
        "ENV X='\\\nFROM no'",
        "LABEL a=\\\nFROM",
    ],
)
def test_what_names_no_image(line: str) -> None:
    check(f"FROM scratch\n{line}\n")


def test_stages_mask_images_of_from_behind_them_and_of_sources_everywhere() -> None:
    check(
        """FROM nginx AS Base
COPY --from=base a b
COPY --from=later a b
ADD --from=LATER a b
RUN --mount=from=BASE,target=/x --mount=from=nginx,target=/y true
ONBUILD COPY --from=later a b
FROM later
FROM base AS later
FROM later
COPY --from=later a b
COPY --from=caddy a b
FROM ${S:-base}
FROM nginx AS nginx
FROM nginx
""",
        "FROM nginx",
        "FROM later",
        "COPY --from caddy",
        "FROM nginx",
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("FROM docker://quay.io/a/b:1", "FROM quay.io/a/b:1"),
        ("FROM docker://quay.io/a/b", "FROM quay.io/a/b"),
        ('FROM "docker://quay.io/a/b:1"', "FROM quay.io/a/b:1"),
        (f"FROM docker://quay.io/a/b@{DIGEST} AS x", f"FROM quay.io/a/b@{DIGEST} | pinned"),
        ('FROM docker://quay.io/"a"/b', 'FROM quay.io/"a"/b | escaped'),
        ("FROM docker:///b", "FROM docker:///b | invalid"),
        ("FROM docker://", "FROM docker:// | invalid"),
        ("ARG B=docker://quay.io/a/b:1\nFROM $B", "FROM quay.io/a/b:1 (B)"),
        ("ARG B=b\nFROM docker://a/$B", "FROM a/$B | partial-variable"),
        ("FROM a\nCOPY --from=docker://quay.io/a/b:1 a b", "FROM a\nCOPY --from quay.io/a/b:1"),
        ("FROM oci-archive:x.tar", "FROM oci-archive:x.tar | unsupported"),
        ("FROM oci-archive:/x/Y.tar", "FROM oci-archive:/x/Y.tar | unsupported"),
        ("FROM docker-archive:x.tar:node:20", "FROM docker-archive:x.tar:node:20 | unsupported"),
        ("FROM docker-daemon:node:20", "FROM docker-daemon:node:20 | unsupported"),
        ("FROM containers-storage:foo", "FROM containers-storage:foo | unsupported"),
        ("FROM containers-storage:localhost/a:1", "FROM containers-storage:localhost/a:1 | unsupported"),
        ("ARG B=oci-archive:x.tar\nFROM $B", "FROM oci-archive:x.tar (B) | unsupported"),
        (
            "FROM a\nCOPY --from=containers-storage:foo a b",
            "FROM a\nCOPY --from containers-storage:foo | unsupported",
        ),
        ("FROM oci:./layout:v1", "FROM oci:./layout:v1 | unsupported"),
        ("FROM oci:layout:v1", "FROM oci:layout:v1 | unsupported"),
        ("FROM dir:/srv/image", "FROM dir:/srv/image | unsupported"),
        ("FROM DIR:/srv/image", "FROM DIR:/srv/image | invalid"),
        ("FROM node:a:b", "FROM node:a:b | invalid"),
        ("FROM oci/a:1", "FROM oci/a:1"),
        ("FROM oci-archive", "FROM oci-archive"),
    ],
)
def test_the_transports_of_buildah(line: str, expected: str) -> None:
    check(f"{line}\n", *expected.split("\n"))
    check(f"{line}\n", *expected.split("\n"), buildah=True)


@pytest.mark.parametrize("text", ["oci:1", "dir:x"])
def test_what_could_be_an_image_is_a_transport_where_buildah_alone_reads(text: str) -> None:
    check(f"FROM {text}\n", f"FROM {text}")
    found = check(f"FROM {text}\n", f"FROM {text} | unsupported", buildah=True)
    assert found.uses[0].note


def test_stages_through_build_arguments() -> None:
    check(
        """ARG STAGE=one
ARG OTHER=three
FROM a AS one
FROM ${STAGE} AS two
FROM $OTHER AS three
FROM b AS target-amd64
FROM c AS target-arm64
FROM target-$TARGETARCH
FROM target-${TARGETARCH}${TARGETVARIANT}
FROM img-$TARGETARCH
""",
        "FROM three (OTHER)",
        "FROM a",
        "FROM b",
        "FROM c",
        "FROM img-$TARGETARCH | partial-variable",
    )


def test_named_contexts_mask_images() -> None:
    check(
        "FROM node:20\nFROM docker.io/library/alpine\nFROM alpine:3\nCOPY --from=assets a b\nFROM busybox\n",
        "FROM alpine:3",
        "FROM busybox",
        contexts=["node:20", "alpine", "assets"],
    )


# --- build arguments ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ARG A=node:20\nFROM $A", ["FROM node:20 (A)"]),
        ("ARG A=node:20\nFROM ${A}\nFROM $A AS x", ["FROM node:20 (A)"]),
        ('ARG A="node:20"\nFROM "$A"', ["FROM node:20 (A)"]),
        ("ARG A='node:20' B=\"x\"\nFROM $A", ["FROM node:20 (A)"]),
        (
            "ARG X=1 A=node:20 \\\n  B=alpine:3\nFROM $A\nFROM $B",
            ["FROM node:20 (A)", "FROM alpine:3 (B)"],
        ),
        ("arg A=node:20\nFROM ${A:-x}", ["FROM node:20 (A)"]),
        ("ARG A=node:20\nFROM ${A-x}", ["FROM node:20 (A)"]),
        ("ARG A=node:20\nFROM ${A:?must}", ["FROM node:20 (A)"]),
        ("ARG A=node:20\nFROM ${A?}", ["FROM node:20 (A)"]),
        ("ARG A=node:20\nARG B=$A\nFROM $B", ["FROM node:20 (A)"]),
        ('ARG A=node:20\nARG B=${A}\nARG C="$B"\nFROM $C\nFROM $A', ["FROM node:20 (A)"]),
        ("ARG A=node:20\nARG A\nFROM $A", ["FROM node:20 (A)"]),
        (
            f"ARG A=node@{DIGEST}\nFROM $A\nFROM x$A",
            [f"FROM node@{DIGEST} (A) | pinned", "FROM x$A | pinned"],
        ),
        ("ARG A=Node\nFROM $A", ["FROM Node (A) | invalid"]),
        ("ARG A=scratch\nFROM $A", []),
        ("FROM ${A:-node:20}", ["FROM node:20 (A)"]),
        ("FROM ${A-node:20}", ["FROM node:20 (A)"]),
        ("ARG A\nFROM ${A:-node:20}", ["FROM node:20 (A)"]),
        ("ARG A=\nFROM ${A:-node:20}", ["FROM node:20 (A)"]),
        ("ARG A=\nFROM ${A-node:20}", ["FROM ${A-node:20} | variable"]),
        ('FROM ${A:-"node:20"}', ["FROM node:20 (A)"]),
        ('FROM "${A:-node:20}" AS x', ["FROM node:20 (A)"]),
        ("FROM ${A:-${B:-node:20}}", ["FROM node:20 (A)"]),
        ("ARG B=node:20\nFROM ${A:-$B}", ["FROM node:20 (B)"]),
        ("ARG B=${A:-node:20}\nFROM $B", ["FROM node:20 (B)"]),
        (
            "ARG B=${A:-node:20}\nFROM $B\nFROM $B-slim",
            ["FROM node:20 (B) | shared-variable", "FROM $B-slim | partial-variable"],
        ),
        ("ARG A=1\nFROM ${A:+node:20}", ["FROM node:20 (A)"]),
        ("FROM ${A:+node:20}", ["FROM ${A:+node:20} | variable"]),
        ("ARG A=\nFROM ${A+node:20}", ["FROM node:20 (A)"]),
        ("FROM ${A:?}", ["FROM ${A:?} | variable"]),
        ("FROM $A", ["FROM $A | variable"]),
        ("ARG A\nFROM $A", ["FROM $A | variable"]),
        ("FROM a\nARG A=node:20\nFROM $A", ["FROM a", "FROM $A | variable"]),
        ("ARG TARGETARCH=amd64\nFROM a/$TARGETARCH", ["FROM a/$TARGETARCH | partial-variable"]),
        ("FROM ${HTTP_PROXY:-node}", ["FROM ${HTTP_PROXY:-node} | variable"]),
        ("ARG V=20\nFROM node:${V}", ["FROM node:${V} | partial-variable"]),
        ("FROM node:${V}", ["FROM node:${V} | partial-variable"]),
        ("FROM node:20${S}", ["FROM node:20${S} | partial-variable"]),
        ("FROM node:20${S:+-$S}", ["FROM node:20${S:+-$S} | partial-variable"]),
        ("ARG R=ghcr.io\nFROM ${R}/node:20", ["FROM ${R}/node:20 | partial-variable"]),
        ("FROM ${R:-ghcr.io}/node:20", ["FROM ${R:-ghcr.io}/node:20 | partial-variable"]),
        ("ARG V=20\nARG A=node:$V\nFROM $A", ["FROM $A | partial-variable"]),
        ("ARG A=node:20\nFROM ${A#x}", ["FROM ${A#x} | partial-variable"]),
        ("ARG A=node:20\nFROM ${A%%:*}", ["FROM ${A%%:*} | partial-variable"]),
        ("ARG A=node:20\nFROM ${A/20/22}", ["FROM ${A/20/22} | partial-variable"]),
        ("ARG A=node:20\nFROM ${A:-x${B}}", ["FROM node:20 (A)"]),
        ("ARG B=\nFROM ${A:-node:20${B}}", ["FROM ${A:-node:20${B}} | partial-variable"]),
        ("FROM \\$A", ["FROM $A | invalid"]),
        ("FROM '$A'", ["FROM $A | invalid"]),
        ("ARG A='$B'\nFROM $A", ["FROM $B (A) | invalid"]),
        ("FROM $", ["FROM $ | invalid"]),
        ("FROM ${}", ["FROM ${} | variable"]),
        ("FROM ${A", ["FROM ${A | variable"]),
        ("FROM ${A^^}", ["FROM ${A^^} | variable"]),
        ('FROM "$A', ['FROM "$A | variable']),
        ('ARG A=no"de"\nFROM $A', ["FROM $A | escaped"]),
        ("ARG A=node:20\\\n-slim\nFROM $A", ["FROM $A | escaped"]),
        ("ARG A={{x}}\nFROM $A", ["FROM {{x}} (A) | variable"]),
    ],
)
def test_build_arguments(text: str, expected: list[str]) -> None:
    check(text, *expected)


@pytest.mark.parametrize(
    "rest",
    [
        "FROM $A\nFROM $A-slim\n",
        "FROM $A\nFROM x/$A\n",
        "FROM $A\nFROM ${A%:*}\n",
        "FROM $A\nFROM ${A:+b}\n",
        "FROM $A\nFROM ${A^^}\n",
        "FROM $A\nFROM --platform=$A b\n",
        "ARG A=node:22\nFROM $A\n",
        "ARG KEY=$A-v1\nFROM $A\n",
        "FROM $A\nARG A\nENV BASE=$A\n",
        "FROM $A\nARG A\nRUN test $A = x\n",
        "FROM $A\nARG A\nRUN echo $A > /base\n",
        "FROM $A\nARG A\nRUN echo $A | tee /base\n",
        "FROM $A\nARG A\nRUN <<EOF\necho $A\nEOF\n",
        "FROM $A\nARG A\nARG B=$A\n",
        "FROM $A\nARG A\nCOPY --from=$A a b\n",
        "ARG C=$A\nFROM $C\nARG C\nENV BASE=$C\n",
    ],
)
def test_a_variable_that_feeds_more_than_one_thing(rest: str) -> None:
    found = scan(f"ARG A=node:20\n{rest}".encode()).uses
    held = [use for use in found if use.value.startswith("node:2")]
    assert {use.skip for use in held} == {SkipReason.SHARED_VARIABLE}
    assert all(use.note for use in held)


def test_a_variable_that_names_an_image_and_then_a_stage() -> None:
    check("ARG A=node\nFROM $A AS node\nFROM $A\n", "FROM node (A) | shared-variable")


@pytest.mark.parametrize(
    "rest",
    [
        "ARG A\nLABEL base=$A\nRUN echo ${A} && true\n",
        "ARG A\nRUN true \\\n && printf '%s' \"$A\"\n",
        "ARG A\nRUN true\nENV AB=1\n# A\n",
        "ENV X=$A\n",
        "ARG A=other\nENV X=$A\n",
        "ARG A\nFROM $A\nARG A\n",
    ],
)
def test_a_variable_that_a_stage_only_prints(rest: str) -> None:
    assert told(scan(f"ARG A=node:20\nFROM $A\n{rest}".encode()).uses[0]) == "FROM node:20 (A)"


def test_arguments_that_are_passed() -> None:
    check("ARG A=node:20\nFROM $A\n", "FROM node:20 (A) | overridden", passed=["A"])
    check("ARG A=node:20\nARG B=$A\nFROM $B\n", "FROM node:20 (A) | overridden", passed=["B"])
    check("FROM ${A:-node:20}\n", "FROM node:20 (A) | overridden", passed=["A"])
    check(f"ARG A=node@{DIGEST}\nFROM $A\n", f"FROM node@{DIGEST} (A) | pinned", passed=["A"])
    partial = check("ARG V=20\nFROM node:$V\n", "FROM node:$V | partial-variable", passed=["V"]).uses[0]
    assert (partial.state, partial.reference) == (State.UNKNOWN, None)
    check("ARG A=node:20\nFROM $A\n", "FROM node:20 (A)", passed=["X"])


def test_the_arguments_that_feed_images_are_named() -> None:
    found = scan(b"ARG A=a\nARG B=$A\nARG C=c\nFROM $B\nFROM ${D:-x}\nFROM x:$TARGETARCH\nARG E=e\nRUN $E\n")
    assert found.arguments == {"A", "B", "D"}


def test_a_partial_reference_shows_what_it_comes_to() -> None:
    use = scan(b"ARG R=ghcr.io\nARG V=20\nFROM ${R}/acme/node:$V\n").uses[0]
    assert str(use.reference) == "ghcr.io/acme/node:20"
    assert use.state is State.FLOATING
    assert "ARG" in use.note


# --- templates ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("FROM {{ base }}", "{{ base }}"),
        ("FROM {{ base }}:{{ tag }} AS x", "{{ base }}:{{ tag }}"),
        ("FROM node:{{ tag }}", "node:{{ tag }}"),
        ("FROM {{.Base}}", "{{.Base}}"),
        ("FROM <%= base %>", "<%= base %>"),
        ("FROM @BASE@", "@BASE@"),
        ("FROM acme/@BASE@:1", "acme/@BASE@:1"),
        ("FROM %%BASE%%", "%%BASE%%"),
        ("FROM $(BASE)", "$(BASE)"),
        ("FROM {% if x %}a{% else %}b{% endif %}", "{% if x %}a{% else %}b{% endif %}"),
    ],
)
def test_templates_are_unknown(line: str, value: str) -> None:
    check(line, f"FROM {value} | variable")


# --- `${}` as the shell lexer reads it ----------------------------------------------------


def expanded(word: str, **values: str) -> str | None:
    """Return what a word becomes, or None where it cannot be told."""
    known = {name: Value(text=Traced((Run(value.encode(), COMPUTED),))) for name, value in values.items()}
    found = expand(Traced((Run(word.encode(), 0),)), known, escape=ord("\\"), budget=Budget())
    return found.text.text.decode() if found.text.known else None


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("$V", "foobarbaz"),
        ("${V}x", "foobarbazx"),
        ("$Vx", None),
        ("${V:-d}${E:-d}${E-d}", "foobarbazd"),
        ("${N:-${E:-deep}}", "deep"),
        ("${V:+x}${E:+x}${E+x}${N+x}", "xx"),
        ("${V:?e}${E?e}", "foobarbaz"),
        ("${E:?e}", None),
        ("${V#f*b}", "arbaz"),
        ("${V##f*b}", "az"),
        ("${V%b*}", "foobar"),
        ("${V%%b*}", "foo"),
        ("${V#nope}", "foobarbaz"),
        ("${V##*}", ""),
        ("${V#?}", "oobarbaz"),
        ("${V/ba/fo}", "fooforbaz"),
        ("${V//ba/fo}", "fooforfoz"),
        ("${V/b*/}", "foo"),
        ("${V//?/x}", "xxxxxxxxx"),
        ("${S//\\//-}", "a-b-c*"),
        ("${S%\\*}", "a/b/c"),
        ("${V//}", None),
        ("\\$V'$V'\"$V\"", "$V$Vfoobarbaz"),
        ('"\\$V\\"\\x"', '$V"\\x'),
        ("a'b\"c'", 'ab"c'),
        ("$", "$"),
        ("a$.b", "a$.b"),
        ("$1x", None),
        ("${V#a\\b}", None),
        ("${V:/a/b}", None),
        ("${V", None),
        ("${V:-$", None),
    ],
)
def test_expansion(word: str, expected: str | None) -> None:
    assert expanded(word, V="foobarbaz", E="", S="a/b/c*") == expected


@given(st.text("ab*?", max_size=6), st.text("ab", max_size=8))
def test_globs_agree_with_regular_expressions(pattern: str, text: str) -> None:
    tokens = [{"*": None, "?": ANY}.get(one, ord(one)) for one in pattern]
    for longest, star in ((True, ".*"), (False, ".*?")):
        found = re.match(pattern.replace("?", ".").replace("*", star), text)
        assert Glob(tokens).prefix(text.encode(), longest=longest) == (found.end() if found else None)


# --- properties ---------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *("FROM ", "from\t", "ARG ", "COPY --from=", "RUN --mount=from=", "ONBUILD ", "RUN ", "# syntax="),
        *("A=", "B=$A", "$A", "${A:-", "${B%", "}", "node:20", "alpine", "scratch", " AS x", "x", " ", "\n"),
        *("\\\n", "`\n", '"', "'", "\\", "$", "${", "<<EOF", "<<-'A B'\n", "\nEOF\n", ",", "type=cache", "#"),
        *("\ufeff", "é", "\x00", "\udcff", "@sha256:", "0" * 64, "--platform=", "--", "\t", "/", ":", "\r\n"),
        *("# escape=`\n", "{{ a }}"),
    ]
)


def files() -> st.SearchStrategy[bytes]:
    """Return Dockerfiles as nobody would write them."""
    made = st.lists(PIECES, max_size=40).map("".join)
    return st.one_of(st.binary(max_size=300), made.map(lambda text: text.encode("utf-8", "surrogateescape")))


@settings(max_examples=400)
@given(files(), st.sets(st.sampled_from(["A", "B"])), st.sets(st.sampled_from(["x", "node:20"])))
@example(b"FROM \xff", set(), set())
@example(b"ARG A=\xff\nFROM $A", set(), set())
@example(b"FROM a\xc3\\\n\xa9", set(), set())
def test_any_bytes_are_read_and_told_exactly(data: bytes, passed: set[str], contexts: set[str]) -> None:
    found = scan(data, passed=passed, contexts=contexts)
    spans = [use.span for use in found.uses]
    assert spans == sorted(set(spans))
    for before, after in itertools.pairwise(spans):
        assert before.end <= after.start
    for use in found.uses:
        assert data[use.span.start : use.span.end] == use.value.encode()
        assert (use.skip is SkipReason.PINNED) == (use.state is State.PINNED)
        if use.skip is None:
            assert use.reference is not None
            assert str(use.reference) == use.value
    for line, detail in found.trouble:
        assert 1 <= line <= data.count(b"\n") + 1
        assert detail


@settings(max_examples=300)
@given(files())
def test_pinning_everything_leaves_nothing_to_pin(data: bytes) -> None:
    before = scan(data)
    made = data
    for use in reversed(before.uses):
        if use.skip is None:
            assert use.reference is not None
            tag = "" if use.reference.tag else ":latest"
            made = made[: use.span.end] + f"{tag}@{DIGEST}".encode() + made[use.span.end :]
    after = scan(made)
    assert [use.skip or SkipReason.PINNED for use in before.uses] == [use.skip for use in after.uses]
    assert [use.where for use in before.uses] == [use.where for use in after.uses]
    assert before.trouble == after.trouble


NAMES = st.sampled_from(["node", "alpine:3.18", "ghcr.io/acme/app:1", "localhost:5000/x", f"debian@{DIGEST}"])
FILLING = st.sampled_from(["RUN a \\\n  # FROM x\n  && b", "# FROM y", "ENV A=b", "", "USER x"])


@st.composite
def plain(draw: st.DrawFn) -> str:
    """Return a Dockerfile without anything that dockerfile-parse gets wrong."""
    names = draw(st.lists(st.sampled_from(["ONE", "TWO"]), unique=True))
    lines = [f"ARG {name}={draw(NAMES)}" for name in names]
    for _ in range(draw(st.integers(1, 4))):
        image = draw(st.one_of(NAMES, st.sampled_from([f"${name}" for name in names] or ["node"])))
        word = draw(st.sampled_from(["FROM", "from"]))
        flag = draw(st.sampled_from(["", "--platform=linux/amd64 "]))
        lines.append(f"{word} {flag}{image}")
        lines += draw(st.lists(FILLING, max_size=3))
    return "\n".join(lines)


@settings(max_examples=60)
@given(plain())
def test_dockerfile_parse_agrees_on_plain_files(text: str) -> None:
    parser = DockerfileParser(fileobj=io.BytesIO(text.encode()))
    ours = {str(use.reference) for use in scan(text.encode()).uses}
    assert set(parser.parent_images) == ours


# --- hostile ------------------------------------------------------------------------------

MILLION = 1_000_000


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"FROM " + b"a" * MILLION, id="one word"),
        pytest.param(b"FROM a" + b" " * MILLION, id="blanks"),
        pytest.param(b"FROM a\nRUN " + b"x " * (MILLION // 2), id="one line"),
        pytest.param(b"FROM a" + b"\\\na" * 100_000, id="continuations in a word"),
        pytest.param(b"FROM a\nRUN --mount=from=b,\\\n" + b"x=1,\\\n" * 100_000, id="continuations"),
        pytest.param(b"FROM a\nRUN " + b"<<A " * 100_000, id="heredocs"),
        pytest.param(b"FROM a\n" + b"RUN ' <<A\n" * 50_000, id="heredocs that do not add up"),
        pytest.param(b"FROM " + b"${A:-" * 100_000 + b"}" * 100_000, id="nested substitutions"),
        pytest.param(b"FROM a\nRUN " + b"[" * MILLION + b"<<A\nA\n", id="nested JSON"),
        pytest.param(b"FROM a\nRUN " + b"--mount=from=b " * 60_000, id="mounts"),
        pytest.param(b"FROM a\nCOPY --from=" + b"\\a" * 300_000, id="escapes"),
        pytest.param(b"#a" + b" " * MILLION + b"x\nFROM a", id="a directive of blanks"),
        pytest.param(b"FROM {{" + b" as" * 300_000, id="a template"),
        pytest.param(b"\x00" * MILLION, id="NULs"),
        pytest.param(b"".join(b"ARG A%d=$A%dx\n" % (n + 1, n) for n in range(50_000)), id="ARGs on ARGs"),
        pytest.param(b"".join(b"ARG A%d=$A%d\n" % (n + 1, n) for n in range(50_000)), id="copies of ARGs"),
        pytest.param(b"".join(b"FROM b-$Q AS a%d\n" % n for n in range(10_000)), id="patterns of stages"),
        pytest.param(b"ARG V=" + b"a" * 4000 + b"\n" + b"FROM ${V//a*a*b/x}\n" * 2000, id="patterns"),
    ],
)
def test_hostile_files_take_linear_time(data: bytes) -> None:
    started = time.process_time()
    scan(data)
    assert time.process_time() - started < 20, "a generous guard against hanging; these take about a second"


def test_arguments_that_double_are_given_up_on() -> None:
    doubled = b"".join(b"ARG A%d=$A%d$A%d\n" % (n + 1, n, n) for n in range(60))
    found = scan(b"ARG A0=xy\n" + doubled + b"FROM $A60\nFROM node\n").uses
    assert [(use.state, use.skip) for use in found] == [
        (State.UNKNOWN, SkipReason.VARIABLE),
        (State.FLOATING, None),
    ]


def test_a_chain_too_long_to_follow_makes_nothing_editable() -> None:
    chain = b"".join(b"ARG A%d=$A%d\n" % (n + 1, n) for n in range(100))
    found = scan(b"ARG A0=node:20\n" + chain + b"FROM $A0\nFROM x$A100\n").uses
    assert [use.skip for use in found] == [SkipReason.SHARED_VARIABLE, SkipReason.PARTIAL_VARIABLE]


def test_references_beyond_a_bound_are_not_read() -> None:
    lines = b"ARG A=node:20\nFROM $A\nCOPY --from=stage a b\nCOPY --from=a/b a b\n" + b"FROM a:1\n" * MAX_USES
    found = scan(lines + b"FROM $A AS stage\n")
    assert len(found.uses) == MAX_USES
    assert [(line, "read in part" in detail) for line, detail in found.trouble] == [(MAX_USES + 2, True)]
    # What was not read may use the variable and may be the stage.
    assert [use.skip for use in found.uses[:3]] == [SkipReason.SHARED_VARIABLE, SkipReason.UNSUPPORTED, None]


def test_more_of_everything_than_anybody_writes_is_told() -> None:
    assert "lines" in scan(b"RUN a" + b"\\\na" * 10_001).trouble[0][1]
    assert "flags" in scan(b"FROM a\nRUN " + b"--mount=from=b " * 10_000 + b"x").trouble[0][1]
    assert "build arguments" in scan(b"ARG A=b\n" * 5000).trouble[0][1]
