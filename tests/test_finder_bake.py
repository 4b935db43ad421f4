"""The bake finder on what golden cases do not show: any bytes, folders, hostile sizes."""

from __future__ import annotations

from collections.abc import Mapping

import goldens
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import candidates, edits
from bot.finders import bake
from bot.model import Findings, ImageReference, Resolution, SkipReason, State
from bot.source import Source

DIGEST = "sha256:" + "c3" * 32
NAME = "docker-bake.hcl"
CASES = {
    f"{path.parent.name}/{name}": (name, data, files)
    for path in sorted((goldens.GOLDEN / "finders/bake").glob("*/repo"))
    for files in [goldens.read_tree(path)]
    for name, data in files.items()
    if bake.claims(name, b"")
}


def find(text: str | bytes, path: str = NAME, **others: str) -> Findings:
    data = text.encode() if isinstance(text, str) else text
    files = {path: data, **{name: other.encode() for name, other in others.items()}}
    return bake.find(Source(path, data), files)


def check(path: str, data: bytes, files: Mapping[str, bytes]) -> None:
    """Hold everything that is found to what every finder promises."""
    files = {**files, path: data}
    found = bake.find(Source(path, data), files).references
    places = [one.location.span for one in found]
    assert len(places) == len(set(places)), "two findings for one place"
    chosen = []
    for one in found:
        assert one.location.path == path
        assert data[one.location.span.start : one.location.span.end] == one.value.encode()
        assert one.value
        assert (one.skip is SkipReason.PINNED) == (one.state is State.PINNED)
        if one.skip is None:
            assert isinstance(one.reference, ImageReference)
            assert one.state is State.FLOATING
            chosen.append(
                candidates.candidate(
                    one, Resolution(reference=one.reference, digest=DIGEST, source="registry")
                )
            )
    made = [edit for candidate in chosen for edit in candidates.edits(candidate)]
    again_data = edits.apply({path: data}, made).get(path, data)
    again = bake.find(Source(path, again_data), {**files, path: again_data}).references
    targets = {one.finding.location: candidates.target_reference(one) for one in chosen}
    assert edits.confirm(found, again, targets, made) is None


@pytest.mark.parametrize(
    ("path", "claimed"),
    [
        ("docker-bake.hcl", True),
        ("a/b/docker-bake.override.hcl", True),
        ("docker-bake.json", True),
        ("docker-bake.override.json", True),
        ("ci/release.bake.hcl", True),
        ("bake.hcl", True),
        ("docker-bake-dev.hcl", True),
        ("bake.json", True),
        ("x.bake.json", True),
        ("a\nb.bake.json", True),
        ("docker-bake.a\nb.json", True),
        ("docker-bake", False),
        ("bake/main.hcl", False),
        ("baker.hcl", False),
        ("bakery.json", False),
        ("half-bake.json", False),
        ("docker-bake.yml", False),
    ],
)
def test_claims(path: str, claimed: bool) -> None:
    assert bake.claims(path, b"") is claimed
    assert bake.claims(path, b'target "a" {}') is claimed


def test_needs_nothing() -> None:
    assert bake.needs(Source(NAME, b'target "a" { context = "x" }')) == ()


@pytest.mark.parametrize(
    ("fields", "files", "dockerfile"),
    [
        ("", {}, "sub/Dockerfile"),
        ("", {"Dockerfile": ""}, "Dockerfile"),
        ("", {"Dockerfile": "", "sub/Dockerfile": ""}, "Dockerfile sub/Dockerfile"),
        ('context = "x"', {}, "sub/x/Dockerfile"),
        ('context = "../x"', {}, "x/Dockerfile"),
        ('context = "../../x"', {}, ""),
        ('context = "/x"', {}, ""),
        ('context = "x"\n dockerfile = "y/z"', {}, "sub/x/y/z"),
        ('context = "cwd://x"', {}, "sub/x/Dockerfile"),
        ('context = "x"\n dockerfile = "cwd://y"', {}, "sub/y"),
        ('dockerfile = "/y"', {}, ""),
        ('context = "https://github.com/a/b.git"', {}, ""),
        ('context = "git@github.com:a/b"', {}, ""),
        ('dockerfile-inline = "FROM scratch"', {}, ""),
        ("context = upper(X)", {}, "?"),
        ('context = "${X}"', {}, "?"),
        ("context = D", {}, "sub/d/Dockerfile"),
        ('dockerfile = "${D}.Dockerfile"', {}, "sub/d.Dockerfile"),
        ('inherits = ["none"]', {}, "sub/Dockerfile"),
        ('inherits = ["base"]', {}, "sub/base"),
        ('inherits = ["base", "late"]', {}, "sub/late"),
        ('inherits = ["a"]', {}, "sub/Dockerfile"),
    ],
)
def test_which_dockerfile_is_meant(fields: str, files: dict[str, str], dockerfile: str) -> None:
    text = (
        'variable "D" { default = "d" }\n'
        'target "base" { dockerfile = "base" }\ntarget "late" { dockerfile = "late" }\n'
        f'target "a" {{\n args = {{ A = "1" }}\n{fields}\n}}\n'
    )
    found = find(text, "sub/docker-bake.hcl", **files)
    assert " ".join(sorted(one.dockerfile or "?" for one in found.arguments)) == dockerfile


def test_arguments_of_an_expression() -> None:
    found = find('target "a" { args = merge({ BASE = "x" }, MORE) }')
    assert {("BASE", "Dockerfile"), ("MORE", "Dockerfile")} <= {
        (one.name, one.dockerfile) for one in found.arguments
    }


def test_targets_that_inherit_from_each_other() -> None:
    found = find('target "a" { inherits = ["b"]\nargs = { A = "1" } }\ntarget "b" { inherits = ["a"] }')
    assert [(one.name, one.dockerfile) for one in found.arguments] == [("A", "Dockerfile")]


def test_variables_that_stand_for_themselves() -> None:
    found = find('A = B\nB = "${A}x"\ntarget "a" { context = A\n args = { X = "1" }\n tags = ["x/${A}"] }')
    assert [one.dockerfile for one in found.arguments] == [None]
    assert [one.name for one in found.built] == ["x/${A}"]


def test_a_broken_file_is_told_without_targets() -> None:
    assert [(one.line, one.detail) for one in find("x = 1\ny = [").unread] == [(2, "a `]` is missing")]
    assert find('x = ["{% y %}"') == find("x = 1") == Findings()


@pytest.mark.parametrize("case", CASES, ids=str)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_mutated_files(case: str, data: st.DataObject) -> None:
    path, whole, files = CASES[case]
    check(path, whole, files)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 30)))
    put = data.draw(
        st.one_of(
            st.binary(max_size=6),
            st.sampled_from([b'"', b"}", b"{", b"\n", b"${", b"docker-image://x:1", b"]", b"<<E\n"]),
        )
    )
    check(path, whole[:start] + put + whole[end:], files)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for path in (NAME, "docker-bake.json"):
        check(path, b"target " + data, {})
        check(path, b'target "a" { contexts = { a = "docker-image://' + data, {})


HOSTILE = {
    "many targets": "".join(f'target "t{n}" {{ inherits = ["t{n + 1}"]\nargs = ALL }}\n' for n in range(3000))
    + "ALL = {"
    + ", ".join(f"A{n} = 1" for n in range(5000))
    + "}",
    "variables that double": "".join(f'V{n} = "${{V{n + 1}}}${{V{n + 1}}}"\n' for n in range(200))
    + 'V200 = "x"\ntarget "a" { tags = ["${V0}"]\n context = V0\n args = { A = V0 } }',
    "one long string": 'target "a" { tags = ["' + "${V}" * 100_000 + '"] }\nV = "xx"',
    "functions": "".join(
        f'function "f{n}" {{ result = g(f{n + 1}(f{n + 2}("x/y"))) }}\n' for n in range(2000)
    )
    + 'target "a" { tags = f0(1) }',
    "a matrix": 'target "a" { matrix = { '
    + ", ".join(f"m{n} = [{', '.join(['1'] * 50)}]" for n in range(500))
    + ' }\ndockerfile = "${m1}${m2}"\nargs = { A = 1 } }',
    "contexts": 'target "a" { contexts = {\n'
    + "".join(f'c{n} = "docker-image://x:{n}"\n' for n in range(20_000))
    + "} }",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_sizes(name: str) -> None:
    found = find(HOSTILE[name], **{"a/Dockerfile": "FROM $A"})
    assert len(found.arguments) <= bake.MAX_FACTS
    assert len(found.contexts) <= bake.MAX_FACTS
    assert len(found.built) <= bake.MAX_FACTS


def test_targets_beyond_a_bound_are_told() -> None:
    each = 'target "t{}" {{ contexts = {{ a = "docker-image://a:1" }} }}\n'
    text = "".join(each.format(number) for number in range(bake.MAX_TARGETS))
    assert find(text).unread == ()
    found = find(text + each.format("more"))
    assert len(found.references) == bake.MAX_TARGETS
    assert ["read in part" in one.detail for one in found.unread] == [True]


@pytest.mark.parametrize(("folders", "places"), [(0, 1), (1, 2), (16, 17), (17, 17), (2000, 17)])
def test_bake_may_be_started_above_its_file(folders: int, places: int) -> None:
    source = Source("a/" * folders + NAME.rpartition("/")[2], b'target "a" { dockerfile = "x" }')
    found = bake.dockerfiles(source, {source.path: source.data})
    assert (len(found), found[0], found[-1]) == (places, "a/" * folders + "x", "x")
