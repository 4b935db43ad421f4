"""The compose finder on what golden cases do not show: any bytes, many files, hostile sizes."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import replace

import goldens
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import candidates, edits
from bot.finders import compose, composefile, composeproject
from bot.model import Finding, Findings, ImageReference, Resolution, SkipReason, State, UnreadReason
from bot.source import Source

DIGEST = "sha256:" + "c3" * 32
CASES = {
    path.parent.name: goldens.read_tree(path) for path in (goldens.GOLDEN / "finders/compose").glob("*/repo")
}


def find(files: Mapping[str, bytes]) -> dict[str, Findings]:
    return {
        path: compose.find(Source(path, data), files)
        for path, data in sorted(files.items())
        if compose.claims(path, data[:4096])
    }


def references(files: Mapping[str, bytes]) -> list[Finding]:
    return [one for found in find(files).values() for one in found.references]


def only(text: str, **others: str) -> Finding:
    """Return the one finding of a compose file with one service."""
    files = {"compose.yml": f"services:\n  a:\n    image: {text}\n".encode()}
    files.update({path: data.encode() for path, data in others.items()})
    (found,) = references(files)
    return found


def check(files: Mapping[str, bytes]) -> None:
    """Hold everything that is found to what every finder promises."""
    found = references(files)
    places = [(one.location.path, one.location.span) for one in found]
    assert len(places) == len(set(places)), "two findings for one place"
    for one in found:
        span = one.location.span
        assert files[one.location.path][span.start : span.end] == one.value.encode()
        assert (
            Source(one.location.path, files[one.location.path]).location(span.start, span.end) == one.location
        )
        assert (one.skip is None) <= (one.state is State.FLOATING and one.reference is not None)
        assert (one.skip is SkipReason.PINNED) <= (one.state is State.PINNED)
        assert one.value
    pin(files, found)


def pin(files: Mapping[str, bytes], found: list[Finding]) -> None:
    """Pin all that can be, and find again."""
    chosen = [
        candidates.candidate(one, Resolution(reference=one.reference, digest=DIGEST, source="test"))
        for one in found
        if one.skip is None and one.reference is not None
    ]
    made = [edit for one in chosen for edit in candidates.edits(one)]
    pinned = {**files, **edits.apply(files, made)}
    again = references(pinned)
    targets = {one.finding.location: candidates.target_reference(one) for one in chosen}
    assert edits.confirm(found, again, targets, made) is None
    assert not [one for one in again if one.skip is None]


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_golden_repository_keeps_the_promises(name: str) -> None:
    check(CASES[name])


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_golden_repository_keeps_them_with_windows_lines_and_a_mark(name: str) -> None:
    check(
        {
            path: b"\xef\xbb\xbf" + data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            for path, data in CASES[name].items()
        }
    )


def test_windows_lines_change_nothing_but_offsets() -> None:
    for files in CASES.values():
        unix = {path: data.replace(b"\r\n", b"\n") for path, data in files.items()}
        windows = {path: data.replace(b"\n", b"\r\n") for path, data in unix.items()}
        for one, other in zip(references(unix), references(windows), strict=True):
            assert (one.location.path, one.location.line, one.value, one.skip, one.where) == (
                other.location.path,
                other.location.line,
                other.value,
                other.skip,
                other.where,
            )


# --- names ----------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from(["docker", "compose", "stack", "podman", "prod", "x"]), min_size=1, max_size=4),
    st.sampled_from("._-/"),
    st.sampled_from([".yml", ".yaml", ".json", "", ".yml.j2", ".yaml.sample"]),
)
def test_what_is_claimed_is_among_the_paths(parts: list[str], separator: str, end: str) -> None:
    name = separator.join(parts) + end
    if compose.claims(f"some/{name}", b""):
        assert any(
            fnmatch.fnmatchcase(f"some/{name}", glob.removeprefix("*"))
            or fnmatch.fnmatchcase(f"/some/{name}", glob.removeprefix("*"))
            for glob in compose.paths
        )


@pytest.mark.parametrize(
    "path",
    [
        *("compose.yml", "a/b/docker-compose.prod.yaml", "x-compose.yml", "stack.yml", "app-stack.prod.yml"),
        *("compose.yml.j2", "docker-compose.yml.example", "compose.prod.yaml.tpl", "stack.yml.dist"),
    ],
)
def test_claimed(path: str) -> None:
    assert compose.claims(path, b"")
    assert compose.claims(path, b"services:\n")
    assert compose.claims(path, b'{"services": {}}')


@pytest.mark.parametrize(
    "path",
    ["Compose.yml", "composer.yml", "compose.yml/x", "compose", "compose.j2", "stacks.yml", "yml", "app.yml"],
)
def test_not_claimed(path: str) -> None:
    assert not compose.claims(path, b"")


SERVICES = b"services:\n  web:\n    image: nginx:1\n"


@pytest.mark.parametrize("path", ["local.yml", "a/production.yaml", "compose/web.yml", "ci.yml.dist"])
def test_a_doubtful_name_is_claimed_by_what_the_file_begins_with(path: str) -> None:
    for head in (
        b"",
        SERVICES,
        b"# x\r\nservices: # y\r\n  web:\r\n    build: .\r\n",
        b"x-a: 1\n" + SERVICES,
    ):
        assert compose.claims(path, head)
    for head in (
        b"web:\n  image: nginx:1\n",
        b"services:\n  - docker\n",
        b"services:\n  web:\n    image:\n      repository: nginx\n",
        b"services:\n  App\\Web:\n    class: x\n",
        b"apiVersion: v1\n" + SERVICES,
        b"openapi: 3.1.0\n" + SERVICES,
        b"on: push\n" + SERVICES,
        b"stages: [a]\n" + SERVICES,
        b"- hosts: all\n" + SERVICES,
        b"a:\n  " + SERVICES.replace(b"\n", b"\n  "),
        b"#" * 4096,
    ):
        assert not compose.claims(path, head)


def test_a_stack_file_is_claimed_by_what_it_holds() -> None:
    assert not compose.claims("stack.yaml", b"resolver: lts-22.0\n")
    assert compose.claims("stack.yaml", b"#" * 4096)


# --- other files ----------------------------------------------------------------------------


def needs(path: str, text: str) -> tuple[str, ...]:
    return compose.needs(Source(path, text.encode()))


def test_what_a_file_needs() -> None:
    text = """
include:
  - sub/other.yml
  - {path: [team/a.yml, team/b.yml], project_directory: ., env_file: team/x.env}
  - https://example.org/x.yml
services:
  a: {extends: {file: ../base.yml, service: x}}
  b: {extends: {file: "${DIR:-dir}/base.yml", service: x}}
  c: {extends: {file: "${UNKNOWN}/base.yml", service: x}}
  d: {extends: a}
  e: {extends: {file: ../../outside.yml, service: x}}
  f: {extends: {file: /etc/passwd, service: x}}
  g: {extends: {file: "..\\\\..\\\\x.yml", service: x}}
"""
    assert needs("app/compose.yml", text) == (
        "app/.env",
        "app/dir/base.yml",
        "app/sub/.env",
        "app/sub/other.yml",
        "app/team/a.yml",
        "app/team/b.yml",
        "app/team/x.env",
        "base.yml",
    )


def test_nothing_is_needed_without_variables_and_links() -> None:
    assert needs("compose.yml", "services: {a: {image: x}}") == ()
    assert needs("compose.yml", "services: {a: {image: $X}}") == (".env",)
    assert needs("stack.yml", "services: {a: {image: $X}}") == ()


def test_needs_of_what_is_no_compose_file() -> None:
    assert needs("compose.yml", "services: [") == ()
    assert compose.needs(Source("compose.yml", b"\xff services: $")) == (".env",)


@given(st.text(alphabet="./a~\\:$", max_size=12))
def test_paths_never_leave_the_repository(file: str) -> None:
    text = f"services: {{a: {{extends: {{service: b, file: '{file}'}}}}}}"
    for path in needs("x/compose.yml", text):
        assert not path.startswith(("/", "../", "~"))
        assert ".." not in path.split("/")


def test_files_that_extend_and_include_each_other_end() -> None:
    files = {
        "a/compose.yml": b"include: [../b/compose.yml]\nservices: {x: {image: 'x:1', extends: x}}",
        "b/compose.yml": b"include: [../a/compose.yml, c.yml]\nservices: {y: {extends: {file: c.yml, service: z}}}",
        "b/c.yml": b"include: [c.yml]\nservices: {z: {image: 'z:1', extends: {file: compose.yml, service: y}}}",
    }
    check(files)
    assert [one.value for one in references(files)] == ["x:1", "z:1"]


def test_an_extended_file_is_reported_once_whoever_leads_to_it() -> None:
    base = b"services: {z: {image: '${Z:-z:1}'}}"
    files = {
        f"s{n:03}/compose.yml": b"services: {y: {extends: {file: ../b.yml, service: z}}}" for n in range(200)
    }
    found = find({**files, "b.yml": base})
    assert [path for path, one in found.items() if one.references] == ["s000/compose.yml"]


def test_a_setting_is_reported_once_however_many_overlays_use_it() -> None:
    files = {f"compose.{n:03}.yml": b"services: {a: {image: $IMAGE}}" for n in range(100)}
    (one,) = references({**files, ".env": b"IMAGE=x:1"})
    assert (one.location.path, one.skip) == (".env", None)


def test_where_too_many_files_lie_beside_nothing_is_taken_for_granted() -> None:
    files = {f"compose.{n:03}.yml": b"services: {a: {image: $IMAGE}}" for n in range(150)}
    (one,) = references({**files, ".env": b"IMAGE=x:1"})
    assert (one.location.path, one.skip) == (".env", SkipReason.SHARED_VARIABLE)


def test_a_large_file_is_read_for_itself_and_not_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    filler = b"# " + b"x" * composeproject.MAX_CACHED + b"\n"
    files = {
        "compose.a.yml": filler
        + b"services: {a: {image: 'a:1', extends: {file: base.yml, service: b}}, e: {image: $E}}",
        "compose.b.yml": filler + b"services: {a: {image: 'a:1'}, e: {image: $E}}",
        "compose.c.yml": b"services: {c: {image: 'c:1', extends: {file: big.yml, service: b}}, e: {image: $E}}",
        "base.yml": b"services: {b: {image: 'b:1'}}",
        "big.yml": filler + b"services: {b: {image: 'b:1'}}",
        ".env": b"E=e:1\n",
    }
    parsed: list[bytes] = []

    def counted(source: Source) -> composefile.Reading:
        parsed.append(source.data)
        return read(source)

    read = composefile.read
    monkeypatch.setattr(composeproject, "read", counted)
    composeproject._cached_small.cache_clear()
    check(files)
    parsed.clear()
    found = find(files)
    assert sorted(parsed) == sorted([files["compose.a.yml"], files["compose.b.yml"]])
    parsed.clear()
    assert compose.needs(Source("compose.b.yml", files["compose.b.yml"])) == (".env",)
    assert parsed == []
    assert compose.needs(Source("compose.a.yml", files["compose.a.yml"])) == (".env", "base.yml")
    assert parsed == [files["compose.a.yml"]]
    assert [(one.path, one.reason) for held in found.values() for one in held.unread] == [
        ("base.yml", UnreadReason.TOO_LARGE),
        ("big.yml", UnreadReason.TOO_LARGE),
    ]
    assert [(one.value, one.skip) for held in found.values() for one in held.references] == [
        ("a:1", None),
        ("a:1", None),
        ("e:1", SkipReason.SHARED_VARIABLE),
        ("c:1", None),
    ]


def test_a_setting_that_large_files_alone_use_is_told_at_its_use() -> None:
    filler = b"# " + b"x" * composeproject.MAX_CACHED + b"\n"
    files = {"compose.yml": filler + b"services: {e: {image: $E}}", ".env": b"E=e:1\n"}
    (one,) = references(files)
    assert (one.location.path, one.value, one.skip) == ("compose.yml", "$E", SkipReason.SHARED_VARIABLE)
    check(files)


def test_a_setting_that_a_build_makes_something_else_of_is_not_edited() -> None:
    files = {
        "compose.yml": b"services: {a: {image: $A}, b: {build: {context: ., args: [A, B]}}}",
        "compose.x.yml": b"services: {c: {extends: {file: base.yml, service: d}, build: {context: x}}}",
        "base.yml": b"services: {d: {build: {args: [B]}}}",
        ".env": b"A=a:1\nB=b:1\n",
        "Dockerfile": b"ARG A\nARG B\nFROM $B\nRUN echo $A\n",
        "x/Dockerfile": b"ARG B\nFROM $B\n",
    }
    check(files)
    assert {one.value: one.skip for one in references(files)} == {
        "a:1": SkipReason.SHARED_VARIABLE,
        "b:1": None,
    }
    files["compose.a.yml"] = b"services: {a: {build: {context: ., args: [A]}}}"
    check(files)
    assert {one.value for one in references(files)} == {"a:1", "b:1"}
    files["x/Dockerfile"] = b"ARG B\nFROM x:1\nRUN echo $B\n"
    assert {one.value: one.skip for one in references(files)}["b:1"] is SkipReason.SHARED_VARIABLE


def test_an_env_file_of_a_service_is_not_read() -> None:
    files = {
        "compose.yml": b"services: {a: {image: $IMAGE, env_file: app.env}}",
        "app.env": b"IMAGE=x:1",
    }
    (one,) = references(files)
    assert (one.value, one.state, one.skip) == ("$IMAGE", State.UNKNOWN, SkipReason.VARIABLE)


def test_an_env_file_that_is_not_text_sets_nothing() -> None:
    files = {"compose.yml": b"services: {a: {image: '${IMAGE:-x:1}'}}", ".env": b"IMAGE=\xff"}
    (one,) = references(files)
    assert (one.value, one.skip) == ("x:1", None)


@pytest.mark.parametrize("value", ["x:1", "'x:1'", '"x:1"', "x:1 # y"])
def test_quotes_of_a_setting_stay_as_they_are(value: str) -> None:
    one = only("$A", **{".env": f"A={value}\n"})
    assert (one.location.path, one.value, one.argument) == (".env", "x:1", "A")
    assert "shell" in one.note


def test_a_file_in_another_folder_shares_nothing() -> None:
    files = {
        "a/compose.yml": b"services: {a: {image: $A}}",
        "a/.env": b"A=x:1",
        "b/compose.yml": b"services: {a: {image: 'y:1', ports: [$A]}}",
    }
    assert [(one.location.path, one.skip) for one in references(files)] == [
        ("a/.env", None),
        ("b/compose.yml", None),
    ]


def test_an_included_file_shares_the_settings_of_the_one_that_includes_it() -> None:
    files = {
        "compose.yml": b"include: [b/compose.yml]\nservices: {a: {image: $A}}",
        ".env": b"A=x:1",
        "b/compose.yml": b"services: {a: {image: 'y:1', ports: [$A]}}",
    }
    assert [(one.location.path, one.skip) for one in references(files)] == [
        ("b/compose.yml", None),
        (".env", SkipReason.SHARED_VARIABLE),
    ]


# --- Dockerfiles inside ---------------------------------------------------------------------


def inline(text: str, **others: str) -> list[tuple[str, SkipReason | None]]:
    files = {"compose.yml": f"services:\n  a:\n    build:\n      dockerfile_inline: {text}\n".encode()}
    files.update({path: data.encode() for path, data in others.items()})
    check(files)
    return [(one.value, one.skip) for one in references(files)]


@pytest.mark.parametrize("header", ["|", "|-", "|+", "|2", "|2-", "|-2", "| # words", "&a |", "!!str |"])
def test_every_kind_of_literal_block(header: str) -> None:
    lines = "FROM a:1", "", "# ü", "COPY --from=b:2 /ü /ü"
    text = "\n".join(f"        {line}" if line else "" for line in lines)
    assert inline(f"{header}\n{text}") == [("a:1", None), ("b:2", None)]


@pytest.mark.parametrize("before", ["", "\n", "\n\n  \n"])
def test_blank_lines_around_the_only_line_of_a_block(before: str) -> None:
    assert inline(f"|+ # words\n{before}        FROM a:1\n\n\n") == [("a:1", None)]


def test_what_compose_replaces_is_not_edited() -> None:
    lines = "ARG X=b:2", "FROM node:$TAG", "FROM $BASE", "FROM a:1", "FROM $$X"
    text = "".join(f"\n        {line}" for line in lines)
    assert inline("|" + text, **{".env": "TAG=20\nBASE=python:3\n"}) == [
        ("b:2", None),
        ("node:$TAG", SkipReason.PARTIAL_VARIABLE),
        ("$BASE", SkipReason.PARTIAL_VARIABLE),
        ("a:1", None),
    ]


@given(
    st.text(alphabet="FROM a:1$\n\r{}X<E\\#é\t\u2028\x85", max_size=60),
    st.sampled_from(["|", "|-", ">", "|2"]),
)
def test_any_dockerfile_inside(text: str, header: str) -> None:
    body = "".join(f"\n        {line}" for line in ["FROM a:1", *text.split("\n"), "COPY --from=b:1 / /"])
    check({"compose.yml": f"services:\n  a:\n    build:\n      dockerfile_inline: {header}{body}\n".encode()})


# --- any bytes ------------------------------------------------------------------------------


WORDS = st.sampled_from(
    [
        *("services", "image", "build", "extends", "include", "file", "service", "args", "dockerfile_inline"),
        *(
            ":",
            ": ",
            "\n",
            "\n  ",
            "\n    ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            "&a ",
            "*a",
            "<<",
            "|",
            ">",
            "!x ",
            "'",
            '"',
        ),
        *("a", "node:20", "${A:-x:1}", "$A", "$$", "é", "\t", "\r", "\0", "---\n", "#", "\ufeff", "~"),
    ]
)


@settings(max_examples=200)
@given(st.lists(WORDS, max_size=40).map("".join))
def test_any_text(text: str) -> None:
    check({"compose.yml": f"services:\n  a:\n    image: {text}".encode(), ".env": b"A=x:1"})
    check({"compose.yml": text.encode(), ".env": text.encode()})


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    check({"compose.yml": data, ".env": data})
    check({"compose.yml": b"services: {a: {image: " + data + b"}}", ".env": b"A=" + data})


@settings(max_examples=150)
@given(st.data())
def test_real_files_with_damage(data: st.DataObject) -> None:
    files = dict(CASES[data.draw(st.sampled_from(["web-service", "inline", "include", "extends", "dotenv"]))])
    path = data.draw(st.sampled_from(sorted(files)))
    held = files[path]
    start = data.draw(st.integers(0, len(held)))
    end = data.draw(st.integers(start, min(len(held), start + 30)))
    files[path] = held[:start] + data.draw(st.binary(max_size=8)) + held[end:]
    check(files)


def test_no_bytes_beside_the_file_are_needed() -> None:
    found = compose.find(
        Source("compose.yml", b"services: {a: {image: '${A}', extends: {file: b.yml, service: c}}}"), {}
    )
    assert [one.value for one in found.references] == ["${A}"]


# --- hostile sizes --------------------------------------------------------------------------


def hostile() -> Iterator[tuple[str, bytes]]:
    bomb = b"x0: &x0 {image: 'a:1'}\n"
    for n in range(1, 40):
        bomb += b"x%d: &x%d {<<: [*x%d, *x%d], k: [*x%d, *x%d]}\n" % (n, n, n - 1, n - 1, n - 1, n - 1)
    yield "aliases", bomb + b"services: {a: {<<: *x39}}\n"
    yield "brackets", b"services: " + b"[" * 3000
    yield "braces", b"services: " + b"{a: " * 3000
    yield "line", b"services: {a: {image: '" + b"a" * 1_000_000 + b"'}}"
    yield "dollars", b"services: {a: {image: '" + b"${A:-" * 100_000 + b"'}}"
    yield "spaces", b'services: {a: {image: "' + b" " * 500_000 + b'"}}'
    yield (
        "services",
        b"services:\n"
        + b"".join(b"  s%d: {image: 'a:%d', extends: s%d}\n" % (n, n, n + 1) for n in range(5000)),
    )
    yield "uses", b"services:\n" + b"".join(b"  s%d: {image: $A%d}\n" % (n, n) for n in range(3000))
    yield "inline", b"services: {a: {build: {dockerfile_inline: '" + b"FROM $$A${B}" * 20_000 + b"'}}}"
    lines = b"".join(b"        FROM a:%d\n" % n for n in range(3000))
    yield "stages", b"services:\n  a:\n    build:\n      dockerfile_inline: |\n" + lines
    yield "includes", b"services: {}\ninclude:\n" + b"".join(b"- compose.%d.yml\n" % n for n in range(5000))
    yield "arguments", b"services: {a: {build: {args: [" + b"A," * 20_000 + b"]}}}"
    yield "itself", b"services: &s\n  a: *s\n  b: {<<: *s, image: 'a:1', extends: b}\n"
    yield "nul", b"services: {a: {image: 'a\0b'}}"
    yield "binary", bytes(range(256)) * 1000 + b"services"


@pytest.mark.parametrize(("name", "data"), list(hostile()), ids=[name for name, _ in hostile()])
def test_hostile_files_end(name: str, data: bytes) -> None:
    files = {"compose.yml": data, ".env": b"".join(b"A%d=x:1\n" % n for n in range(3000))}
    found = find(files)["compose.yml"]
    assert len(found.references) <= 6000, name
    for one in found.references:
        assert len(one.value) <= composefile.MAX_RAW


def test_an_alias_bomb_is_read_once() -> None:
    data = dict(hostile())["aliases"]
    assert [one.value for one in references({"compose.yml": data})] == ["a:1"]


def test_a_file_that_cannot_be_read_is_told_with_its_line() -> None:
    found = find(
        {"compose.yml": b"services:\n  a: {image: x\n  b: {\n", "b/compose.yml": b"# \n# \xff services\n"}
    )
    (one,), (other,) = found["compose.yml"].unread, found["b/compose.yml"].unread
    assert (one.path, one.reason) == ("compose.yml", UnreadReason.UNPARSABLE)
    assert one.line is not None
    assert (other.reason, other.line) == (UnreadReason.NOT_UTF8, 2)


def test_a_file_without_the_words_is_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composefile, "_Reader", None)
    assert find({"compose.yml": b"web:\n  command: x:1\n"})["compose.yml"] == Findings()


def test_a_broken_file_is_told_without_the_words() -> None:
    one, *others = find({"compose.yml": b"web:\n  command: [\n"})["compose.yml"].unread
    assert (one.path, one.reason, one.line) == ("compose.yml", UnreadReason.UNPARSABLE, 3)
    assert not others


def test_other_tools_stacks_and_templates_are_not_told_without_the_words() -> None:
    long = b"Resources: [\n" + b"# AWS\n" * 1000
    assert find({"app-stack.yml": long})["app-stack.yml"] == Findings()
    assert find({"app-stack.yml": long + b"# services"})["app-stack.yml"].unread
    for path, data in (("compose.yml", b"{% if x %}\na: [\n"), ("compose.yml.j2", b"a: [\n")):
        assert find({path: data})[path] == Findings()


@pytest.mark.parametrize(
    "text",
    [
        "web: {image: {repository: nginx}}",
        "web: {image: nginx}\nversion: '2'",
        "web: {image: nginx}\nother: {x: 1}",
        "web: {image: nginx}\nother: [1]",
        "web: {image: nginx}\n---\nweb: {image: nginx}",
        "volumes: {image: nginx}",
        "services: {image: nginx}",
        "- {image: nginx}",
    ],
)
def test_what_may_not_be_the_first_layout_holds_no_images(text: str) -> None:
    assert references({"docker-compose.yml": text.encode()}) == []


def test_overlays_are_parsed_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []

    def counted(source: Source) -> composefile.Reading:
        parsed.append(source.data)
        return read(source)

    read = composefile.read
    monkeypatch.setattr(composeproject, "read", counted)
    composeproject._cached_small.cache_clear()
    files = {f"compose.{n}.yml": b"services: {s%d: {image: $A}}" % n for n in range(50)}
    assert len(references({**files, ".env": b"A=x:1"})) == 1
    assert len(parsed) == 50


def test_findings_are_those_of_the_format() -> None:
    one = only("node:20")
    assert one == replace(one, format="compose", where="services.a.image", skip=None)
    assert one.reference == ImageReference(
        name="node", registry="docker.io", repository="library/node", tag="20"
    )


def test_golden_cases_are_there() -> None:
    assert len(CASES) > 20
