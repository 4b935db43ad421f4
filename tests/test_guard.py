"""The publish guard: pins pass, everything else is refused, whoever made the change."""

from __future__ import annotations

import json
import time
from pathlib import Path

import goldens
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import candidates
from bot.errors import GuardError
from bot.forges import guard
from bot.model import (
    Candidate,
    Cause,
    Comment,
    Edit,
    Finding,
    GitReference,
    ImageReference,
    Kind,
    Resolution,
    Span,
    State,
)
from bot.reference import parse_git, parse_image
from bot.source import Source, splice

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"
COMMIT = HEX[:40]
OTHER = "f" * 40


@pytest.mark.parametrize("case", list(goldens.cases("guard")), ids=goldens.name)
def test_golden(case: Path) -> None:
    """`repo/` is before, `after/` holds what changed, `verdict.json` says how it is judged."""
    before = goldens.read_tree(case / "repo")
    after = goldens.read_tree(case / "after")
    changes = {path: (before.get(path, b""), data) for path, data in after.items()}
    try:
        guard.compare(changes)
        verdict = None
    except GuardError as error:
        verdict = error.problem
    assert (verdict is None) == case.parent.name.startswith("accepted"), verdict
    goldens.compare_json(case / "verdict.json", {"refused": verdict})


ACCEPTED = [
    *(
        (f"- uses: a/b@{OTHER} # {old}", f"- uses: a/b@{COMMIT} # {new}")
        for old, new in [
            ("main", "v4"),
            ("release/v1", "release/v2"),
            ("cargo-udeps-v0.1.44", "cargo-udeps-v0.1.45"),
            ("pin@main", "pin@v4"),
            ("renovate: tag=stable", "renovate: tag=v4"),
            ("ratchet:a/b@main", "ratchet:a/b@v4"),
            ("pin v4 (why)", "pin v5 (why)"),
            ("version: 4", "version: 5"),
            ("v4 # zizmor: ignore[x]", "v5 # zizmor: ignore[x]"),
            ("zizmor: ignore[x] # v4", "zizmor: ignore[x] # v5"),
            ("@v4", "@v5"),
            ("4.1.0 (latest)", "4.2.0 (latest)"),
        ]
    ),
    ("- uses: a/b@odd # odd", f"- uses: a/b@{COMMIT} # v4"),
    ("image:\n  # why\n  node:18", f"image:\n  # why\n  node:18@{DIGEST}"),
    ("uses: >-\n  a/b@v1", f"uses: >-\n  a/b@{COMMIT}"),
    ("? uses\n: a/b@v1", f"? uses\n: a/b@{COMMIT}"),
    ("FROM \\\n # why\n  node:18", f"FROM \\\n # why\n  node:18@{DIGEST}"),
    (
        "RUN a \\\n  --mount=type=bind,from=node:18 x",
        f"RUN a \\\n  --mount=type=bind,from=node:18@{DIGEST} x",
    ),
    ("export A=node:18", f"export A=node:18@{DIGEST}"),
    ("services: [\n  node:18,\n  redis:7,\n]", f"services: [\n  node:18,\n  redis:7@{DIGEST},\n]"),
    ("FROM node\n", f"FROM node:latest@{DIGEST}\n"),
    ("FROM node:18\n", f"FROM node:18@{DIGEST}\n"),
    ("FROM node:18", f"FROM node:18@{DIGEST}"),
    ("FROM node:18\r\nRUN x\r\n", f"FROM node:18@{DIGEST}\r\nRUN x\r\n"),
    ("FROM node:18", f"FROM node:20-alpine@{DIGEST}"),
    (f"FROM node:18@sha256:{'0' * 64} AS a", f"FROM node:18@{DIGEST} AS a"),
    (f"FROM node@sha256:{'0' * 64}", f"FROM node@{DIGEST}"),
    (f"FROM node@sha512:{'0' * 128}", f"FROM node@{DIGEST}"),
    ("FROM localhost:5000/a", f"FROM localhost:5000/a:latest@{DIGEST}"),
    ("FROM [::1]:5000/a:1", f"FROM [::1]:5000/a:1@{DIGEST}"),
    ("ARG IMAGE=node:18", f"ARG IMAGE=node:18@{DIGEST}"),
    ('ARG A="node:18" B=x', f'ARG A="node:18@{DIGEST}" B=x'),
    ("COPY --from=node:18 /a /b", f"COPY --from=node:18@{DIGEST} /a /b"),
    (
        "RUN --mount=type=bind,from=a:1,target=/a --mount=from=b x",
        f"RUN --mount=type=bind,from=a:1@{DIGEST},target=/a --mount=from=b:latest@{DIGEST} x",
    ),
    ("# syntax=docker/dockerfile:1", f"# syntax=docker/dockerfile:1@{DIGEST}"),
    ("#  Syntax = docker/dockerfile:1", f"#  Syntax = docker/dockerfile:1@{DIGEST}"),
    ("image: ${TAG:-node:18}", f"image: ${{TAG:-node:18@{DIGEST}}}"),
    ("image: ${TAG:-node}", f"image: ${{TAG:-node:latest@{DIGEST}}}"),
    ("image: $CI_REGISTRY/a:1", f"image: $CI_REGISTRY/a:1@{DIGEST}"),
    ("image: ${A}/${B}", f"image: ${{A}}/${{B}}:latest@{DIGEST}"),
    ("image: {name: node:18, entrypoint: ['']}", f"image: {{name: node:18@{DIGEST}, entrypoint: ['']}}"),
    ("- uses: docker://a/b:1", f"- uses: docker://a/b:1@{DIGEST}"),
    ("- uses: a/b@v4", f"- uses: a/b@{COMMIT}"),
    ("- uses: a/b@v4", f"- uses: a/b@{COMMIT} # v4.2.1"),
    ("- uses: a/b@v4", f"- uses: a/b@{HEX} # v4.2.1"),
    ('- uses: "a/b/c@v4"  ', f'- uses: "a/b/c@{COMMIT}" # v4.2.1  '),
    ("- uses: a/b@v4 # kept for x", f"- uses: a/b@{COMMIT} # v4.2.1 # kept for x"),
    (f"- uses: a/b@{OTHER} # v4.1.0", f"- uses: a/b@{COMMIT} # v4.2.1"),
    (f"- uses: a/b@{OTHER} #v4.1.0", f"- uses: a/b@{COMMIT} #v4.2.1"),
    (f"- uses: a/b@{OTHER} # tag=v4 (pin)", f"- uses: a/b@{COMMIT} # tag=v4.2.1 (pin)"),
    (f"- uses: a/b@{COMMIT} # v4.1.0", f"- uses: a/b@{COMMIT} # v4.2.1"),
    (f"- {{uses: a/b@{OTHER}, id: x}} # v1", f"- {{uses: a/b@{COMMIT}, id: x}} # v2"),
    ("- component: $CI_SERVER_FQDN/a/b/c@1.0", f"- component: $CI_SERVER_FQDN/a/b/c@{COMMIT}"),
    ("- component: gitlab.com/a/b/c@~latest", f"- component: gitlab.com/a/b/c@{COMMIT}"),
    ("- remote: 'https://h/a/b/-/raw/main/x.yml'", f"- remote: 'https://h/a/b/-/raw/{COMMIT}/x.yml' # main"),
    ("- https://h/a/b/refs/heads/main/x.yml", f"- https://h/a/b/{COMMIT}/x.yml"),
    (
        "- remote: $CI_SERVER_URL/a/b/-/raw/v1/x.yml?a=b",
        f"- remote: $CI_SERVER_URL/a/b/-/raw/{COMMIT}/x.yml?a=b",
    ),
    (f"- remote: https://h/a/raw/{OTHER}/x # v1", f"- remote: https://h/a/raw/{COMMIT}/x # v2"),
    ("- {project: a/b, ref: v5}", f"- {{project: a/b, ref: {COMMIT}}} # v5"),
    ("   rev: main", f"   rev: {COMMIT} # main"),
    ("- uses: a/b@überzweig", f"- uses: a/b@{COMMIT}"),
    ("    ref: main", f"    ref: {COMMIT} # main"),
    ("    'ref': \"main\"", f"    'ref': \"{COMMIT}\""),
    ("  - {project: a/b, ref: v1}", f"  - {{project: a/b, ref: {COMMIT}}}"),
    ("  - {ref: v1, project: a/b}", f"  - {{ref: {COMMIT}, project: a/b}}"),
    ("    ref: &r !!str main", f"    ref: &r !!str {COMMIT}"),
    ("    ref: # why\n      main", f"    ref: # why\n      {COMMIT}"),
]

REFUSED = [
    # What is no reference, or cannot be told from a word of a command.
    ("RUN echo hello", f"RUN echo hello:latest@{DIGEST}"),
    ("RUN echo 'hello'", f"RUN echo 'hello:latest@{DIGEST}'"),
    ("RUN echo from=hello", f"RUN echo from=hello:latest@{DIGEST}"),
    ("RUN A=hello make", f"RUN A=hello:latest@{DIGEST} make"),
    ("RUN echo \\\n  hello", f"RUN echo \\\n  hello:latest@{DIGEST}"),
    ("RUN echo \\\n\n # why\n  hello", f"RUN echo \\\n\n # why\n  hello:latest@{DIGEST}"),
    ("RUN <<EOF\nhello\nEOF", f"RUN <<EOF\nhello:latest@{DIGEST}\nEOF"),
    ('CMD ["node", "a:1"]', f'CMD ["node:latest@{DIGEST}", "a:1"]'),
    ('ENTRYPOINT ["node"]', f'ENTRYPOINT ["node:latest@{DIGEST}"]'),
    ("ENV A=node:18", f"ENV A=node:18@{DIGEST}"),
    ("LABEL a=node:18", f"LABEL a=node:18@{DIGEST}"),
    ("ONBUILD USER node", f"ONBUILD USER node:latest@{DIGEST}"),
    ("COPY a:1 /b", f"COPY a:1@{DIGEST} /b"),
    ("COPY --from=a:1 b /c", f"COPY --from=a:1 b:latest@{DIGEST} /c"),
    ("FROM node:18 AS base", f"FROM node:18 AS base:latest@{DIGEST}"),
    ("FROM node:18 AS base", f"FROM node:18 AS:latest@{DIGEST} base"),
    ("# syntax=a/b:1 and more", f"# syntax=a/b:1 and:latest@{DIGEST} more"),
    ("    docker run hello", f"    docker run hello:latest@{DIGEST}"),
    ("run: docker pull a:1", f"run: docker pull a:1@{DIGEST}"),
    ("- run: make", f"- run: make:latest@{DIGEST}"),
    ("  - {name: x, run: make}", f"  - {{name: x, run: make:latest@{DIGEST}}}"),
    ('script: ["make", "node:1"]', f'script: ["make:latest@{DIGEST}", "node:1"]'),
    ("entrypoint: node", f"entrypoint: node:latest@{DIGEST}"),
    ("hello", f"hello:latest@{DIGEST}"),
    ("a: b\nhello", f"a: b\nhello:latest@{DIGEST}"),
    ("PW=a/b@secret", f"PW=a/b@{COMMIT}"),
    ("password: a/b@secret", f"password: a/b@{COMMIT}"),
    ("- run: git push a/b@main", f"- run: git push a/b@{COMMIT}"),
    ("mail a/b@example", f"mail a/b@{COMMIT}"),
    ("RUN curl https://h/a/main/x", f"RUN curl https://h/a/{COMMIT}/x"),
    ("- run: curl https://h/a/main/x", f"- run: curl https://h/a/{COMMIT}/x"),
    # Words of comments that are no versions.
    *(
        (f"- uses: a/b@{OTHER} # {old}", f"- uses: a/b@{COMMIT} # {new}")
        for old, new in [
            ("zizmor: ignore[x]", "zizmor: disable[x]"),
            ("moorline: ignore[x]", "moorline: xgnore[x]"),
            ("moorline: ignore[v1]", "moorline: ignore[v2]"),
            ("noqa", "v1"),
            ("nosec", "main"),
            ("moorline: ignore[x]", "moorline: v1[x]"),
            ("zizmor: ignore", "zizmor: v1"),
            ("todo-1", "v1"),
            ("check out the code", "check out the v1"),
            ("main branch of it", "v1 branch of it"),
            ("word", "v4"),
            ("v4 then v5", "v6 then v7"),
            ("v4 # v5", "v5 # v6"),
        ]
    ),
    ("FROM node:18", "FROM node:20"),
    ("FROM node:18", "FROM node@" + DIGEST),
    ("FROM node", "FROM node@" + DIGEST),
    ("FROM node:18", f"FROM evil:18@{DIGEST}"),
    ("FROM a/node:18", f"FROM b/node:18@{DIGEST}"),
    ("FROM node:18", f"FROM node:18@{DIGEST}0"),
    ("FROM node:18", f"FROM node:18@{DIGEST[:-1]}"),
    ("FROM node:18", f"FROM node:18@{DIGEST.upper()}"),
    ("FROM node:18", f"FROM node:18@sha512:{HEX}{HEX}"),
    ("FROM node:18", f"FROM node:$(id)@{DIGEST}"),
    ("FROM node:18", f"FROM node:{'a' * 129}@{DIGEST}"),
    ("FROM node:18", f"FROM node:18@{DIGEST} "),
    ("FROM node:18", f"FROM node:18@{DIGEST}\n"),
    ("FROM node:18\r\n", f"FROM node:18@{DIGEST}\n"),
    ("FROM node:18", f"FROM node:18@{DIGEST}\nRUN id"),
    ("FROM node:18", f"FROM node:18@{DIGEST} # v1"),
    ("FROM node:18", f"FROM node:18\0@{DIGEST}"),
    (f"FROM node:18@{DIGEST}", "FROM node:18"),
    ("FROM node:18 AS a", f"FROM node:18@{DIGEST} AS b"),
    ("image: '${A:-node:18}'", f"image: '${{A:-node:18}}@{DIGEST}'"),
    ("image: {name: node:18}", f"image: {{name: node:18@{DIGEST}}}}}"),
    ("- uses: a/b@v4", f"- uses: c/b@{COMMIT}"),
    ("- uses: a/b@v4", f"- uses: a/b/../c@{COMMIT}"),
    ("- uses: a/b@v4", f"- uses: a/b@{COMMIT[:39]}"),
    ("- uses: a/b@v4", f"- uses: a/b@{COMMIT}0"),
    ("- uses: a/b@v4", f"- uses: a/b@{COMMIT.upper()}"),
    ("- uses: a/b@v4", "- uses: a/b@v5"),
    ("- uses: a/b@v4", "- uses: a/b@v4 # v4.2.1"),
    ("- uses: a/b@v4", f"- uses: a/b@{COMMIT} # v4 v5"),
    ("- uses: a/b@v4", f"- uses: a/b@{COMMIT} #v4"),
    ("- uses: a/b@v4", f"- uses: a/b@{COMMIT}  # v4"),
    ("- uses: a/b@v4", f"- uses: a/b@{COMMIT} # $(id)"),
    ("- uses: a/b@v4", f"- uses: a/b@{COMMIT} # é"),
    ("- uses: a/b@v4", f"- uses: a/b@{COMMIT} # -x"),
    ("- uses: a/b@v4", f"- uses: a/b@{COMMIT} # {'v' * 101}"),
    ("- uses: a/b@v4", f"- uses: a/b@{COMMIT} # v4\x85run: id"),
    ("- {uses: a/b@v4, id: x}", f"- {{uses: a/b@{COMMIT} # v4, id: x}}"),
    ("- {uses: a/b@v4 , id: x}", f"- {{uses: a/b@{COMMIT} # v4 , id: x}}"),
    ("- uses: a/b@v4 # x", "- uses: a/b@v4 # y"),
    (f"- uses: a/b@{OTHER} # v4 x", f"- uses: a/b@{COMMIT} # v5 y z"),
    ("# uses: a/b@v4", f"# uses: a/b@{COMMIT}"),
    ("# FROM node:18", f"# FROM node:18@{DIGEST}"),
    ("- remote: https://h/a/raw/main/x", f"- remote: https://evil/a/raw/{COMMIT}/x"),
    ("- remote: https://h/a/raw/main/x", f"- remote: https://h/a/raw/{COMMIT}/y"),
    ("- remote: https://h/a/raw/main/x", f"- remote: https://h/b/raw/{COMMIT}/x"),
    ("- remote: https://h/a/raw/main/x", "- remote: https://h/a/raw/v1/x"),
    ("- remote: https://h/x", f"- remote: https://h/{COMMIT}/x"),
    ("cp a/main/x b", f"cp a/{COMMIT}/x b"),
    (f"FROM a@sha256:{HEX}", f"FROM a@sha256:{HEX} # v1"),
    ("run: make", f"run: {COMMIT}"),
    ("image: node", f"image: {COMMIT}"),
    ("ref: main", "ref: other"),
    ("ref:\nrun: main", f"ref:\nrun: {COMMIT}"),
    ("a\nb\n", "b\na\n"),
    ("a\n", "a\nb\n"),
    ("a\nb\n", "a\n"),
    ("a", ""),
    ("", "a"),
]


@pytest.mark.parametrize(("old", "new"), ACCEPTED)
def test_pins_pass(old: str, new: str) -> None:
    guard.compare({"x/Dockerfile": (old.encode(), new.encode())})


@pytest.mark.parametrize(("old", "new"), REFUSED)
def test_anything_else_is_refused(old: str, new: str) -> None:
    with pytest.raises(GuardError) as caught:
        guard.compare({"x/Dockerfile": (old.encode(), new.encode())})
    assert "Nothing was written" in caught.value.advice


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "a//b",
        "a/",
        "./a",
        "a/../b",
        "..",
        ".git/config",
        "a/.git/hooks/pre-commit",
        ".GIT/config",
        ".git./config",
        ".git /config",
        ".git::$INDEX_ALLOCATION/config",
        "git~1/config",
        ".g\u200cit/config",
        "a\\b",
        "a\nb",
        "a\0b",
        "a\x1b[31m",
        "a\u202eb",
        "a\x85b",
        "a" * 5000,
    ],
)
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(GuardError):
        guard.compare({path: (b"FROM node:18", f"FROM node:18@{DIGEST}".encode())})


@pytest.mark.parametrize(
    "path", ["Dockerfile", "a/b c/Dockerfile", ".github/workflows/ä.yml", ".gitlab-ci.yml"]
)
def test_a_plain_path_passes(path: str) -> None:
    guard.check_path(path)


OWN = ".moorline.yml"


def test_own_configuration_travels_alone() -> None:
    pin = (b"FROM node:18", f"FROM node:18@{DIGEST}".encode())
    guard.compare({OWN: (b"", b"ignore:\n  - docs/**\n")})
    for other in ("Dockerfile", ".github/.moorline.yml"):
        with pytest.raises(GuardError, match="travels alone"):
            guard.compare({OWN: (b"", b"a: 1\n"), other: pin})


@pytest.mark.parametrize("text", [b"\xff", b"a: \x1b[31m", b"\0", b"#" * 300_000])
def test_own_configuration_is_plain_text(text: bytes) -> None:
    with pytest.raises(GuardError):
        guard.compare({OWN: (b"", text)})


def edit(path: str, start: int, expected: bytes, replacement: bytes) -> Edit:
    return Edit(
        path=path, span=Span(start, start + len(expected)), expected=expected, replacement=replacement
    )


def test_edits_must_fit_the_file() -> None:
    files = {"Dockerfile": b"FROM node:18\n"}
    good = edit("Dockerfile", 5, b"node:18", f"node:18@{DIGEST}".encode())
    guard.judge([good], files)
    guard.judge([], files)
    for bad in (
        [edit("Dockerfile", 4, b"node:18", good.replacement)],
        [edit("Other", 5, b"node:18", good.replacement)],
        [good, good],
        [edit("Dockerfile", 500, b"", b"x")],
        [good, edit("Dockerfile", 13, b"", b"RUN id\n")],
    ):
        with pytest.raises(GuardError):
            guard.judge(bad, files)
    guard.judge([edit(OWN, 0, b"", b"version: 1\n")], files)


def test_the_refusal_shows_no_control_characters() -> None:
    with pytest.raises(GuardError) as caught:
        guard.check_path("a\x1b]0;x\x07\n")
    assert str(caught.value).isprintable()


# --- what the candidates make, the guard accepts ------------------------------------------

NAMES = st.sampled_from(
    ["node", "library/node", "ghcr.io/acme/app", "localhost:5000/a/b", "127.0.0.1:5077/x", "[::1]:9/a"]
)
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda made: f"sha256:{made}")
COMMITS = st.text("0123456789abcdef", min_size=40, max_size=40)
REFS = st.from_regex(r"v?[0-9]{1,2}(\.[0-9]){0,2}|main|releases/v[0-9]|[a-z]{1,8}", fullmatch=True)
IMAGE_CONTEXTS = st.sampled_from(
    [
        "FROM {}\n",
        "FROM --platform=linux/amd64 {} AS a\r\n",
        "COPY --from={} /a /b",
        "RUN --mount=type=bind,from={},target=/a make\n",
        "# syntax={}\n",
        "ARG IMAGE={}\n",
        "a:\n  image: {}\n",
        "  image: '{}' # why\n",
        '{{"image": "{}"}}',
        "services: [{}, x]\n",
        "- uses: docker://{}\n",
        "image: ${{IMAGE:-{}}}\n",
    ]
)
GIT_CONTEXTS = st.sampled_from(
    ["- uses: {}\n", "- uses: '{}'\r\n", '- uses: "{}"', "  uses: {}  \n", "  uses : {}"]
)


def finding(
    data: str, value: str, reference: ImageReference | GitReference, state: State, comment: Comment | None
) -> Finding:
    start = data.encode().index(value.encode())
    location = Source("f.yml", data.encode()).location(start, start + len(value.encode()))
    return Finding(
        format="x",
        kind=Kind.IMAGE if isinstance(reference, ImageReference) else Kind.ACTION,
        where="x",
        location=location,
        value=value,
        reference=reference,
        state=state,
        comment=comment,
    )


def judged(data: str, found: Finding, target: str, version: str = "") -> bytes:
    reference = found.reference
    assert reference is not None
    made = candidates.edits(
        Candidate(
            finding=found,
            current=None,
            target=target,
            resolution=Resolution(reference=reference, digest=target, source="x", version=version),
            cause=Cause.FIRST,
        )
    )
    guard.judge(made, {"f.yml": data.encode()})
    return splice(data.encode(), made)


@given(NAMES, st.none() | TAGS, st.none() | DIGESTS, DIGESTS, IMAGE_CONTEXTS)
def test_image_candidates_pass(
    name: str, tag: str | None, digest: str | None, target: str, context: str
) -> None:
    value = name + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    reference = parse_image(value)
    assert reference is not None
    data = context.format(value)
    state = State.PINNED if digest else State.FLOATING
    assert target.encode() in judged(data, finding(data, value, reference, state, None), target)


@given(
    REFS | COMMITS, COMMITS, GIT_CONTEXTS, st.sampled_from(["", "v4", "v4.2.1", "4.2.1+a/b"]), st.booleans()
)
def test_git_candidates_pass(ref: str, target: str, context: str, version: str, flow: bool) -> None:
    value = f"acme/tools/sub@{ref}"
    reference = parse_git(value, host="github.com")
    assert reference is not None
    data = context.format(value)
    behind = data.index(value) + len(value) + (1 if "'" in data or '"' in data else 0)
    comment = None if flow else Comment(span=Span(behind, behind))
    made = judged(data, finding(data, value, reference, State.FLOATING, comment), target, version)
    assert target.encode() in made


@given(
    COMMITS, COMMITS, st.sampled_from(["# v4", "#v4", "# tag=v4", "# ratchet:acme/tools@v4", "# pin v4 x"])
)
def test_comments_in_step_pass(ref: str, target: str, text: str) -> None:
    value = f"acme/tools@{ref}"
    data = f"- uses: {value} {text}\n"
    reference = parse_git(value, host="github.com")
    assert reference is not None
    start = data.index("#")
    comment = Comment(span=Span(start, start + len(text)), text=text, version="v4")
    judged(data, finding(data, value, reference, State.PINNED, comment), target, "v4.2.1")


# --- and nothing else ---------------------------------------------------------------------

SAMPLE = (
    b"# a comment\nFROM node:18 AS a\nCOPY --from=b/c:1 /x /y\n"
    b"jobs:\n  x:\n    - uses: a/b@v4\n    - ref: main\n    - run: echo 'hi' # why\n"
)
PIN = SAMPLE.replace(b"node:18", b"node:18@" + DIGEST.encode()).replace(
    b"@v4", f"@{COMMIT} # v4.2.1".encode()
)


@given(st.data())
def test_edits_without_a_pin_are_refused(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(SAMPLE)))
    end = data.draw(st.integers(start, min(len(SAMPLE), start + 20)))
    replacement = data.draw(st.binary(max_size=38) | st.text("v4.1 #@:-/\n", max_size=30).map(str.encode))
    made = SAMPLE[:start] + replacement + SAMPLE[end:]
    if made == SAMPLE:
        guard.compare({"f": (SAMPLE, made)})
        return
    with pytest.raises(GuardError):
        guard.compare({"f": (SAMPLE, made)})


@given(st.integers(0, len(PIN)), st.sampled_from([bytes([one]) for one in b"\n\r\t \0;$`&|<>\\'\"\x85\xff"]))
def test_a_pin_with_one_byte_slipped_in_is_refused(place: int, extra: bytes) -> None:
    guard.compare({"f": (SAMPLE, PIN)})
    with pytest.raises(GuardError):
        guard.compare({"f": (SAMPLE, PIN[:place] + extra + PIN[place:])})


@given(st.binary(max_size=200), st.binary(max_size=200))
@settings(max_examples=60)
def test_any_bytes_are_judged_without_another_error(old: bytes, new: bytes) -> None:
    if old == new:
        return
    with pytest.raises(GuardError):
        guard.compare({"f": (old, new)})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"#" + b"a" * 1_000_000 + b"!", b"#" + b"a" * 1_000_000 + b"?"),
        (b"x" + b"}" * 1_000_000 + b"!", b"x" + b"}" * 1_000_000 + b"?"),
        (b"/" * 1_000_000 + b"a", b"/" * 1_000_000 + b"b"),
        (b"a " * 500_000, (COMMIT.encode() + b" # v1 ") * 20_000),
        (b"\n" * 1_000_000 + b"a", b"\n" * 1_000_000 + b"b" * 40),
        *(
            (start + b" run: node", start + f" run: node:1@{DIGEST}".encode())
            for start in (
                b"[" * 16_000,
                b"script: [" * 1700,
                b"&a " * 5000,
                b"--mount=from=" * 1200,
                b": # " * 4000,
            )
        ),
        (b"x: [" + b"a=b:1, " * 3000, b"x: [" + f"a=b:1@{DIGEST}, ".encode() * 2999 + b"a=b:2, "),
        (
            b"uses: a/b@v1 # " + b"tag v1 " * 2000 + b"x",
            f"uses: a/b@{COMMIT} # ".encode() + b"tag v1 " * 2000 + b"y",
        ),
    ],
    ids=[
        *("comment", "closers", "slashes", "comments", "lines", "brackets", "scripts", "anchors", "mounts"),
        *("remarks", "images", "versions"),
    ],
)
def test_hostile_lines_take_linear_time(old: bytes, new: bytes) -> None:
    start = time.process_time()
    with pytest.raises(GuardError):
        guard.compare({"f": (old, new)})
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    "case", [*goldens.cases("finders"), *goldens.cases("repositories")], ids=goldens.name
)
def test_what_the_finders_lead_to_passes(case: Path) -> None:
    before, after = goldens.read_tree(case / "repo"), goldens.read_tree(case / "pinned")
    guard.compare({path: (before[path], data) for path, data in after.items()})


def test_golden_cases_exist() -> None:
    names = {case.parent.name for case in goldens.cases("guard")}
    assert names == {"accepted", "refused"}
    assert all(json.loads((case / "verdict.json").read_bytes()) for case in goldens.cases("guard"))


@pytest.mark.parametrize("number", ["12", "4.1"])
def test_an_issue_s_number_in_a_comment_does_not_change(number: str) -> None:
    commit = "a" * 40
    old = f"      - uses: actions/checkout@v4 # see #{number}\n".encode()
    new = f"      - uses: actions/checkout@{commit} # see #v4.3.1\n".encode()
    with pytest.raises(GuardError):
        guard.compare({".github/workflows/a.yml": (old, new)})
    kept = f"      - uses: actions/checkout@{commit} # v4.3.1 # see #{number}\n".encode()
    guard.compare({".github/workflows/a.yml": (old, kept)})
