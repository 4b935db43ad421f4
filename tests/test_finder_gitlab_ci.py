"""The GitLab CI finder on what golden cases do not show: any bytes, many files, hostile sizes."""

from __future__ import annotations

import fnmatch
import gc
from collections.abc import Mapping

import goldens
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot import candidates, edits, finders, globs
from bot.finders import gitlab_ci, gitlab_facts, gitlab_includes, gitlab_link, gitlab_text, scripts
from bot.finders.base import Files
from bot.model import (
    Finding,
    Findings,
    GitReference,
    ImageReference,
    Kind,
    Resolution,
    SkipReason,
    State,
    UnreadReason,
)
from bot.source import Source

DIGEST = "sha256:" + "c3" * 32
COMMIT = "3c63f399ace12061db4b8b9a29f522f41a3d7f25"
NAME = ".gitlab-ci.yml"
CASES = {
    path.parent.name: goldens.read_tree(path)
    for path in sorted((goldens.GOLDEN / "finders/gitlab-ci").glob("*/repo"))
}


def find(files: Mapping[str, bytes]) -> dict[str, Findings]:
    files = Files(files)
    return {
        path: gitlab_ci.find(Source(path, data), files)
        for path, data in sorted(files.items())
        if gitlab_ci.claims(path, data[:4096])
    }


def references(files: Mapping[str, bytes]) -> list[Finding]:
    return [one for found in find(files).values() for one in found.references]


def only(text: str) -> Finding:
    """Return the one finding of a pipeline."""
    (found,) = references({NAME: text.encode()})
    return found


def image(text: str) -> ImageReference:
    found = only(f"image: {text}\n").reference
    assert isinstance(found, ImageReference)
    return found


def include(text: str) -> GitReference:
    found = only(f"include:\n  - {text}\n").reference
    assert isinstance(found, GitReference)
    return found


def check(files: Mapping[str, bytes]) -> None:
    """Hold everything that is found to what every finder promises."""
    found = references(files)
    places = [(one.location.path, one.location.span) for one in found]
    assert len(places) == len(set(places)), "two findings for one place"
    for one in found:
        span, path = one.location.span, one.location.path
        assert files[path][span.start : span.end] == one.value.encode()
        assert Source(path, files[path]).location(span.start, span.end) == one.location
        assert one.value
        assert (one.skip is None) <= (one.state is State.FLOATING and one.reference is not None)
        assert (one.skip is SkipReason.PINNED) == (one.state is State.PINNED)
    pin(files, found)


def pin(files: Mapping[str, bytes], found: list[Finding]) -> dict[str, bytes]:
    """Pin everything, and hold the files to having changed nowhere else."""
    chosen = [
        candidates.candidate(
            one,
            Resolution(
                reference=one.reference,
                digest=DIGEST if isinstance(one.reference, ImageReference) else COMMIT,
                source="test",
                version="v9.8.7",
            ),
        )
        for one in found
        if one.skip is None and one.reference is not None
    ]
    made = [edit for one in chosen for edit in candidates.edits(one)]
    changed = edits.apply(files, made)
    again = references({**files, **changed})
    targets = {one.finding.location: candidates.target_reference(one) for one in chosen}
    assert edits.confirm(found, again, targets, made) is None
    assert not [one for one in again if one.skip is None], "a second run proposes something"
    for path, data in changed.items():
        restored = data
        for edit in sorted((one for one in made if one.path == path), key=lambda one: one.span, reverse=True):
            shift = sum(
                len(one.replacement) - len(one.expected)
                for one in made
                if one.path == path and (one.span.end <= edit.span.start and one != edit)
            )
            start = edit.span.start + shift
            restored = restored[:start] + edit.expected + restored[start + len(edit.replacement) :]
        assert restored == files[path]
    return changed


# --- any bytes ----------------------------------------------------------------------------

FRAGMENTS = [
    "image: node:20\n", "image: $A\n", "  image: ", "services:\n", "  - ", "- &x postgres:16\n", "*x", "$A", "${B}",
    "variables:\n", "  A: node:20\n", "  B: $A\n", "  A: {value: a:1, options: [a:1]}\n", "job:\n", ".t: &t\n",
    "  <<: *t\n", "  extends: .t\n", "include:\n", "  - local: /a.yml\n", "  - project: a/b\n    ref: v1\n",
    "  - component: $CI_SERVER_FQDN/a/b/c@1.0.0\n", "  - remote: https://x.example/a/b/-/raw/main/c.yml\n",
    "!reference [.t, image]", "!reference [.t, A]", "!reference [variables, A]", ".t: {A: b:1}\n", "spec:\n  inputs:\n    x: {default: a:1}\n---\n", "$[[ inputs.x ]]", "\r\n", "\t",
    "'", '"', "{", "}", "[", "]", ": ", "\n", "# v1\n", "\ufeff", "é", "\U0001f680", "|\n", ">-\n", "\0", "@sha256:",
    "a" * 64, "  parallel: {matrix: [{A: [b:1, c:2]}]}\n", "  script: docker push a:1\n", "  rules: [{variables: {A: z}}]\n",
    "  run: [{step: a.b/c/d@e}]\n", "  trigger: {include: b.yml}\n",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300))
@example(data=b"image: \xff")
@example(data=b"image: \xed\xa0\x80")
@example(data=b"\xef\xbb\xbfimage: a:1")
def test_any_bytes(data: bytes) -> None:
    check({NAME: data})
    gitlab_ci.needs(Source(NAME, data))
    gitlab_ci.claims("templates/x.yml", data)


@settings(max_examples=250, deadline=None)
@given(pieces=st.lists(st.sampled_from(FRAGMENTS), max_size=14))
def test_any_fragments(pieces: list[str]) -> None:
    data = "".join(pieces).encode()
    check({NAME: data, "a.yml": b"x: {image: $A, script: y}\n"})


@settings(max_examples=120, deadline=None)
@given(draw=st.data())
def test_mutated_files(draw: st.DataObject) -> None:
    files = dict(CASES[draw.draw(st.sampled_from(sorted(CASES)))])
    path = draw.draw(st.sampled_from(sorted(files)))
    data = bytearray(files[path])
    for _ in range(draw.draw(st.integers(1, 3))):
        start = draw.draw(st.integers(0, len(data)))
        end = min(len(data), start + draw.draw(st.integers(0, 12)))
        other = draw.draw(st.one_of(st.sampled_from(FRAGMENTS).map(str.encode), st.binary(max_size=6)))
        data[start:end] = other
    files[path] = bytes(data)
    check(files)


@pytest.mark.parametrize("case", sorted(CASES))
def test_golden_files_hold_the_promises(case: str) -> None:
    check(CASES[case])


# --- names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        ".gitlab-ci.yml", "a/b/.gitlab-ci.yaml", "x.gitlab-ci.yml", "a/x.y.gitlab-ci.yaml", ".gitlab-ci-x.yml",
        ".gitlab-ci.x.yml", ".gitlab-ci_x.yml", "gitlab-ci.yml", ".gitlab-ci/x.yml", "a/.gitlab-ci/b/x.yaml",
        ".gitlab/ci/x.yml", "a/gitlab-ci/x.yml", "ci/gitlab/x.yml", "templates/x.yml", "templates/x/template.yml",
        "a/templates/x.yml", ".gitlab-ci.d/x.yml", "a/.gitlab-ci.d/b/x.yaml", ".gitlab/x.yml", "a/.gitlab/x.yaml",
        *(f"a/{name}{ending}" for name in (".gitlab-ci.yml", "x.gitlab-ci.yaml", ".gitlab-ci.d/x.yml")
          for ending in (".tpl", ".j2", ".jinja", ".jinja2", ".tmpl", ".dist", ".example")),
    ],
)  # fmt: skip
def test_claims(path: str) -> None:
    assert gitlab_ci.claims(path, b"")
    assert any(fnmatch.fnmatch(f"/{path}", f"*{glob.removeprefix('**')}") for glob in gitlab_ci.paths)


@pytest.mark.parametrize(
    "path",
    [
        "gitlab-ci", ".gitlab-ci.yml.bak", ".gitlab-ci.md", "not-gitlab-ci.yml", ".gitlab/agents/a/config.yaml",
        "templates/x.yaml", "templates/x/other.yml", "templates/a/b/template.yml", "mytemplates/x.yml", "ci/x.yml",
        "gitlab/ci/x.yml", "x.yml.tpl", "templates/x.yml.j2", ".gitlab-ci.yml.j2.bak", ".gitlab/x/y.yml", ".github/workflows/gitlab-ci/../x.json", "docker-compose.yml", "templates",
    ],
)  # fmt: skip
def test_does_not_claim(path: str) -> None:
    assert not gitlab_ci.claims(path, b"")


@pytest.mark.parametrize(
    ("head", "claimed"),
    [
        (b"spec:\n  inputs:\n    x:\n---\n", True),
        (b"spec: # header\r\n  component: [name]\r\n---\r\n", True),
        (b"job:\n  script: x\n", True),
        (b"# comment\n\n.job: &job\n    stage: a\n    script:\n", True),
        (b"job:\n  trigger: a/b\n", True),
        (b"job:\n  image: $[[ inputs.x ]]\n", True),
        (b"job:\n  image: $[[ inputs.x ]]\n  script: docker inspect -f '{{.Id}}'\n", True),
        (b"job:\n  rules:\n    script: x\n", False),
        (b"job:\n  - script: x\n", False),
        (b"script: x\n", False),
        (b"image:\n  repository: nginx\n", False),
        (b"apiVersion: v1\nkind: Pod\nspec:\n  inputs: 1\n", False),
        (b"job:\n  script: {{ .Values.x }}\n", False),
        (b"{{- if x }}\njob:\n  script: x\n", False),
        (b"steps:\n- script: x\njob:\n  script: x\n", False),
        (b"spec:\n  containers: []\n", False),
        (b"\xff\xfe", False),
    ],
)
def test_a_component_is_known_by_its_head(head: bytes, *, claimed: bool) -> None:
    assert gitlab_ci.claims("templates/x.yml", head) is claimed


@pytest.mark.parametrize(
    ("head", "claimed"),
    [
        (b"stages: [a]\n", True),
        (b"include: x.yml\n", True),
        (b"image: a:1\n", True),
        (b"# x\njob:\n  stage: a\n  image: a:1\n", True),
        (b"job: {image: a:1}\n", True),
        (b"job:\n  extends: .x\n", True),
        (b"- source: /x/\n  public: y\n", False),
        (b"categories:\n  added: Added\n", False),
        (b"charts:\n  title: image\n  query:\n    image: x\n", False),
        (b"apiVersion: v1\nkind: Pod\nimage: x\n", False),
    ],
)
def test_a_pipeline_in_gitlabs_folder_is_known_by_its_head(head: bytes, *, claimed: bool) -> None:
    assert gitlab_ci.claims(".gitlab/x.yml", head) is claimed


# --- local includes -----------------------------------------------------------------------


def test_needs() -> None:
    text = b"include: [/a.yml, {local: b/c.yaml}, {local: 'x/*.yml'}, {local: ../out.yml}, {local: d.txt}]\n"
    assert gitlab_ci.needs(Source(NAME, text)) == ("a.yml", "b/c.yaml", "x/*.yml")
    assert gitlab_ci.needs(Source("s/.gitlab-ci.yml", b"x: {trigger: {include: 'ci/**.yml'}}")) == (
        "ci/*.yml", "ci/*/**/*.yml", "s/ci/*.yml", "s/ci/*/**/*.yml",
    )  # fmt: skip
    assert gitlab_ci.needs(Source("s/t/x.gitlab-ci.yml", b"include: a.yml\n")) == (
        "a.yml", "s/a.yml", "s/t/a.yml",
    )  # fmt: skip
    assert gitlab_ci.needs(Source(NAME, b"include: .gitlab-ci.yml\n")) == ()
    assert gitlab_ci.needs(Source(NAME, b"image: a\n")) == ()
    assert gitlab_ci.needs(Source(NAME, b"include: [\n")) == ()
    assert gitlab_ci.needs(Source(NAME, b"x: {trigger: {include: child.yml}}\n")) == ("child.yml",)
    assert gitlab_ci.needs(
        Source(NAME, b"include: [{component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/x@$CI_COMMIT_SHA}]")
    ) == ("templates/x.yml", "templates/x/template.yml")


def test_what_an_included_file_includes_is_needed_too() -> None:
    files = {NAME: b"include: /ci/a.yml\n", "ci/a.yml": b"include: /ci/b.yml\n"}
    assert finders.needs({NAME: files[NAME]}) == {"ci/a.yml"}
    assert "ci/b.yml" in finders.needs(files)


def test_a_file_that_two_pipelines_include_is_reported_once() -> None:
    files = {
        f"{name}/{NAME}": b"include: /ci/common.yml\nx: {image: $IMAGE, script: y}\n"
        for name in ("a", "b", "c")
    }
    files["ci/common.yml"] = b"variables: {IMAGE: node:20}\ny: {image: alpine:3, script: y}\n"
    found = find(files)
    assert [one.value for one in found[f"a/{NAME}"].references] == ["node:20", "alpine:3"]
    assert not found[f"b/{NAME}"].references
    assert not found[f"c/{NAME}"].references
    check(files)


def test_what_was_found_before_does_not_answer_for_other_content() -> None:
    files = {NAME: b"include: /a.yml\n", "a.yml": b"x: {image: node:20, script: y}\n"}
    assert [one.value for one in references(files)] == ["node:20"]
    files["a.yml"] = b"x: {image: node:22, script: y}\n"
    assert [one.value for one in references(files)] == ["node:22"]
    del files["a.yml"]
    assert not references(files)


def test_the_file_counts_as_given_even_if_the_files_hold_another() -> None:
    found = gitlab_ci.find(Source(NAME, b"image: node:20\n"), {NAME: b"image: ruby:3\n"})
    assert [one.value for one in found.references] == ["node:20"]
    assert gitlab_ci.find(Source(NAME, b"image: node:20\n"), {}).references == found.references
    assert len(gitlab_ci.find(Source("any.yml", b"image: node:20\n"), {}).references) == 1


def test_no_more_files_than_gitlab_takes() -> None:
    files = {f"ci/{number:03}.yml": b"x%d: {image: $I, script: y}\n" % number for number in range(400)}
    files[NAME] = b"include: /ci/*.yml\nvariables: {I: node:20}\nz: {image: ruby:3, script: y}\n"
    found = find(files)[NAME]
    assert [(one.value, one.skip) for one in found.references] == [
        ("node:20", SkipReason.SHARED_VARIABLE),
        ("ruby:3", None),
    ]
    assert [one.reason for one in found.unread] == [UnreadReason.LEFT_OUT]
    check(files)


def test_a_chain_of_includes_ends() -> None:
    files = {
        f"ci/{n}.yml": b"include: /ci/%d.yml\nx: {image: a:1, script: y}\n" % (n + 1) for n in range(400)
    }
    files[NAME] = b"include: /ci/0.yml\n"
    found = find(files)[NAME]
    assert len(found.references) == gitlab_ci.MAX_FILES
    assert len(found.unread) == 1


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("ci/*.yml", "ci/a.yml", True),
        ("ci/*.yml", "ci/a/b.yml", False),
        ("ci/*.yml", "ci/.yml", True),
        ("ci/**.yml", "ci/a/b.yml", True),
        ("ci/**/*.yml", "ci/a/b/c.yml", True),
        ("ci/**/*.yml", "ci/c.yml", True),
        ("/ci/**/*.yml", "ci/a/c.yml", True),
        ("ci/**.yml", "ci/c.yml", True),
        ("ci/**.yml", "cj/c.yml", False),
        ("a**/b.yml", "ab.yml", True),
        ("a**/b.yml", "a/b.yml", True),
        ("a**/b.yml", "ac/d/b.yml", True),
        ("a**/b.yml", "acb.yml", False),
        ("**/b.yml", "b.yml", True),
        ("**.yml", "a.yml", True),
        ("**.yml", "x/y/a.yml", True),
        ("x**y**z.yml", "x1/2y3/4z.yml", True),
        ("a*b*c.yml", "aXbYc.yml", True),
        ("a*b*c.yml", "abc.yml", True),
        ("*/*.yml", "a/b/c.yml", False),
        ("ci/[ab].*.yml", "ci/a.x.yml", False),
        ("ci/*", "ci/a", False),
        ("../*.yml", "a.yml", False),
        ("$X/*.yml", "a/b.yml", False),
        ("*a" * 40 + ".yml", "a" * 400, False),
        ("**a" * 40 + ".yml", "a" * 400, False),
    ],
)
def test_globs_are_gitlabs(pattern: str, path: str, *, matches: bool) -> None:
    assert any(globs.matches(glob, path) for glob in gitlab_includes.wildcards(pattern)) is matches


# --- what a text refers to ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag"),
    [
        ("node", "docker.io", "library/node", None),
        ("${CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX}/node:20", "docker.io", "library/node", "20"),
        ("$CI_DEPENDENCY_PROXY_DIRECT_GROUP_IMAGE_PREFIX/a/b", "docker.io", "a/b", None),
        ("$CI_DEPENDENCY_PROXY_SERVER/g/dependency_proxy/containers/alpine:3", "docker.io", "library/alpine", "3"),
        ("gitlab.com/g/s/dependency_proxy/containers/a/b:3", "docker.io", "a/b", "3"),
        ("$CI_TEMPLATE_REGISTRY_HOST/security-products/semgrep:5", "registry.gitlab.com", "security-products/semgrep", "5"),
        ("$CI_REGISTRY/g/p:1", "$CI_REGISTRY", "g/p", "1"),
        ("${CI_SERVER_FQDN}/g/p", "$CI_SERVER_FQDN", "g/p", None),
        ("$CI_SERVER_HOST:5050/g/p:1", "$CI_SERVER_HOST:5050", "g/p", "1"),
    ],
)  # fmt: skip
def test_images(text: str, registry: str, repository: str, tag: str | None) -> None:
    found = image(text)
    assert (found.registry, found.repository, found.tag, found.digest) == (registry, repository, tag, None)
    assert str(found) == text
    pinned = image(f"{text}@{DIGEST}")
    assert (pinned.registry, pinned.repository, pinned.digest) == (registry, repository, DIGEST)


def test_every_predefined_prefix_has_a_registry_or_is_a_placeholder() -> None:
    for name, registry in gitlab_ci.PREDEFINED.items():
        assert registry in (f"${name}", "docker.io", "registry.gitlab.com")


@pytest.mark.parametrize(
    ("text", "host", "repository", "path", "ref"),
    [
        ("{project: a/b/c, ref: v1, file: /x/y.yml}", "", "a/b/c", "x/y.yml", "v1"),
        ("{project: a/b, ref: v1, file: [x.yml, y.yml]}", "", "a/b", "", "v1"),
        ("{project: a/b, file: x.yml}", "", "a/b", "x.yml", ""),
        ("component: $CI_SERVER_FQDN/a/b/c/name@1.0.0", "", "a/b/c", "name", "1.0.0"),
        ("component: GitLab.com/a/b/name@main", "gitlab.com", "a/b", "name", "main"),
        ("component: $CI_SERVER_HOST/a/b/name@~latest", "", "a/b", "name", "~latest"),
        ("https://gitlab.com/a/b/-/raw/v1/x/y.yml", "gitlab.com", "a/b", "x/y.yml", "v1"),
        ("remote: https://h.example:8443/a/b/c/-/raw/v1/x.yml", "h.example:8443", "a/b/c", "x.yml", "v1"),
        ("remote: https://raw.githubusercontent.com/a/b/refs/heads/m/x.yml", "github.com", "a/b", "x.yml", "refs/heads/m"),
        ("remote: https://github.com/a/b/raw/m/x.yml", "github.com", "a/b", "x.yml", "m"),
        ("remote: $CI_SERVER_URL/a/b/-/raw/m/x.yml", "", "a/b", "x.yml", "m"),
        (f"remote: https://codeberg.org/a/b/raw/commit/{COMMIT}/x.yml", "codeberg.org", "a/b", "x.yml", COMMIT),
    ],
)  # fmt: skip
def test_includes(text: str, host: str, repository: str, path: str, ref: str) -> None:
    assert include(text) == GitReference(host=host, repository=repository, path=path, ref=ref)
    assert only(f"include:\n  - {text}\n").kind is Kind.INCLUDE


def test_a_commit_in_upper_case_is_a_commit() -> None:
    found = only(f"include: {{project: a/b, ref: {COMMIT.upper()}, file: x.yml}}\n")
    assert (found.state, found.skip, found.reference) == (State.PINNED, SkipReason.PINNED, None)


def test_a_reference_without_a_list_is_no_image() -> None:
    assert not references({NAME: b"x: {image: !reference node, services: [!reference a, !reference [x]]}\n"})


def test_tokens_in_urls_are_not_shown() -> None:
    text = "include:\n  - remote: https://user:hidden@h.example/x.yml?private_token=hidden\n"
    assert only(text).value == "h.example/x.yml"
    text = "include:\n  - remote: https://user:hidden@h.example/a/b/-/raw/m/x.yml?private_token=hidden\n"
    found = only(text)
    assert (found.value, found.skip) == ("m", None)
    assert "hidden" not in repr(found)


def test_the_last_value_of_a_long_chain_is_found() -> None:
    lines = ["variables:", "  V0: node:20", *(f"  V{n}: $V{n - 1}" for n in range(1, 8)), "image: $V7", ""]
    found = only("\n".join(lines))
    assert (found.argument, found.value, found.skip) == ("V0", "node:20", None)


@pytest.mark.parametrize("unset", ["", '""', "~", "null"])
def test_an_empty_variable_is_no_value(unset: str) -> None:
    found = only(f"variables: {{I: {unset}}}\nimage: $I\n")
    assert (found.value, found.state, found.skip) == ("$I", State.UNKNOWN, SkipReason.VARIABLE)


def test_numbers_that_yaml_rewrites_have_no_value() -> None:
    assert gitlab_facts.facts(
        Source(NAME, b"variables: {A: 1.10, B: 010, C: 20, D: 1.5, E: '1.10'}")
    ).definitions
    for written, shown in (
        ("1.10", ""),
        ("010", ""),
        ("20", "`a:20`"),
        ("1.5", "`a:1.5`"),
        ("'1.10'", "`a:1.10`"),
    ):
        found = only(f"variables: {{V: {written}}}\nimage: a:$V\n")
        assert (shown in found.note) if shown else (found.state is State.UNKNOWN)


# --- scripts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "built"),
    [
        ("docker push a/b:1", ["a/b:1"]),
        ("docker push", []),
        ("docker push --all-tags a/b", ["a/b"]),
        ("docker push 'a/b:1' ; docker push \"$X/b\"", ["a/b:1", "$X/b"]),
        ("(docker push a/b)", ["a/b"]),
        ("docker pull a/b", []),
        ("git push origin main", []),
        ("helm push a.tgz oci://b", []),
        ("docker build -t", []),
        ("docker buildx build . -t=a/b", ["a/b"]),
        ("podman build --tag a/b -f C .", ["a/b"]),
        ("buildah bud -t a/b .", ["a/b"]),
        ("buildah push a/b docker://c/d:1", ["c/d:1"]),
        ("/kaniko/executor --destination=a/b --destination c/d", ["a/b", "c/d"]),
        ("crane push x.tar a/b:1", ["a/b:1"]),
        ("docker push $(cat name)", []),
        ("echo 'docker push a/b", []),
        ("docker push \\\n  a/b", ["a/b"]),
    ],
)
def test_what_scripts_build(script: str, built: list[str]) -> None:
    found = list(scripts.read(script).built)
    assert [name for name in found if not name.startswith(("$", "cat")) or name in built] == built


@settings(max_examples=200, deadline=None)
@given(script=st.text(max_size=200))
def test_any_script(script: str) -> None:
    scripts.read(script)
    scripts.read(f"docker build {script}")
    gitlab_text.mentions(script)
    gitlab_text.judge(script)


# --- hostile sizes ------------------------------------------------------------------------


def lines(count: int, line: str) -> str:
    return "".join(line.format(n=number) for number in range(count))


HOSTILE = {
    "alias bomb": "a: &a [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)).replace("*a0", "*a")
    + "image: node:20\nservices: *a59\nx: {script: *a59, services: *a59, variables: *a59, needs: *a59}\n",
    "brackets": "image: " + "[" * 3000,
    "long line": "image: " + "a" * 1_000_000,
    "long variable": "image: " + "$A" * 300_000,
    "long expression": "image: '" + "$[[ inputs.a | b " * 60_000 + "'",
    "long script": "x: {image: a, script: 'docker push " + "a " * 300_000 + "'}\n",
    "long quotes": 'x: {image: a, script: "docker push ' + "'a" * 200_000 + '"}\n',
    "long key": "a" * 500_000 + ": {image: node:20, script: x}\n",
    "aliased jobs": "x: &x\n  image: node:20\n" + lines(2000, "  k{n}: v\n") + lines(4000, "j{n}: *x\n"),
    "aliased variables": "v: &v\n" + lines(2000, "  k{n}: $k{n}\n") + lines(2000, "j{n}: {{image: $k1, variables: *v}}\n"),
    "aliased includes": "i: &i\n" + lines(2000, "  - {{project: a/b, ref: v{n}}}\n") + lines(2000, "j{n}: {{trigger: {{include: *i}}}}\n"),
    "aliased long image": "x: &x '" + "b" * 500_000 + "'\n" + lines(8000, "j{n}: {{image: *x}}\n"),
    "merges": "x: &x\n  image: node:20\n" + lines(3000, "  k{n}: v\n") + lines(3000, "j{n}: {{<<: *x}}\n"),
    "extends": lines(2000, ".j{n}: {{extends: [.j{n}, .base, .other], image: $V, variables: {{V: a:{n}}}}}\n"),
    "one variable": "image: $V\n" + lines(5000, "j{n}: {{variables: {{V: a:{n}}}, image: $V}}\n"),
    "doubling variables": "variables:\n  V0: aa\n" + "".join(f"  V{n}: $V{n - 1}$V{n - 1}\n" for n in range(1, 400)) + "image: $V399\n",
    "many values": lines(300, "j{n}: {{variables: {{A: a{n}, B: b{n}, C: $A$B$A$B}}, image: x:$C}}\n") + "y: {image: 'x:$A$B$C$A$B$C'}\n",
    "variables in circles": "variables:\n" + "".join(f"  V{n}: $V{(n * 7 + 1) % 3000}\n" for n in range(3000)) + "image: $V1\n",
    "matrix and needs": "x: {image: $V, parallel: {matrix: [{V: [" + ", ".join(f"a:{n}" for n in range(5000)) + "]}]}}\n"
    "y: {needs: [" + ", ".join(f"'b:{n}'" for n in range(5000)) + "]}\n",
    "globs": "include:\n" + lines(300, "  - local: '*a*b*c*d*e*{n}*.yml'\n"),
    "references": lines(5000, "j{n}: {{image: !reference [a, b]}}\n"),
    "reference chains": "x: {image: !reference [.j0, x]}\n" + lines(5000, ".j{n}: {{x: !reference [.j{n}, y], y: [!reference [.j{n}, x], *a]}}\n").replace(", *a", ""),
    "references in lists": ".l: {a: [" + "!reference [.l, a], " * 3000 + "]}\nx: {services: !reference [.l, a]}\n",
    "references to wide lists": ".l: {a: [" + "a:1, " * 3000 + "]}\n" + lines(3000, "j{n}: {{services: !reference [.l, a]}}\n"),
    "references elsewhere": lines(5000, ".k{n}: {{x: !reference [.k{n}, x]}}\n") + lines(5000, "j{n}: {{image: !reference [.l, a{n}], script: !reference [.k{n}, x]}}\n") + ".l:\n" + lines(5000, "  a{n}: b:{n}\n"),
    "references through extends": lines(3000, ".j{n}: {{extends: [.j{n}, .base, .k{n}]}}\n") + lines(3000, "x{n}: {{image: !reference [.j{n}, no]}}\n"),
    "documents": "---\nimage: a:1\n" * 5000,
    "comments": "include:\n" + lines(3000, "  - {{project: a/b, file: x}}\n") + "  - project: a/b\n    ref: v1 #" + " #v1" * 100_000 + "\n",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_files(name: str) -> None:
    data = HOSTILE[name].encode()
    files = {NAME: data, "ci/a.yml": b"x: {image: a:1, script: y}\n"}
    gitlab_ci.needs(Source(NAME, data))
    found = gitlab_ci.find(Source(NAME, data), files)
    places = {(one.location.path, one.location.span) for one in found.references}
    assert len(places) == len(found.references) <= 10_001


def test_what_aliases_multiply_is_bounded_and_said() -> None:
    facts = gitlab_facts.facts(Source(NAME, HOSTILE["aliased variables"].encode()))
    assert [one.reason for one in facts.unread] == [UnreadReason.UNPARSABLE]
    assert len(facts.definitions) <= gitlab_facts.MAX_STEPS


def test_expansion_is_bounded() -> None:
    found = only(HOSTILE["doubling variables"])
    assert (found.state, found.skip) == (State.UNKNOWN, SkipReason.PARTIAL_VARIABLE)
    for one in references({NAME: HOSTILE["many values"].encode()}):
        assert one.note.count("`") <= 2 * gitlab_link.MAX_VALUES


def test_the_work_for_many_pipelines_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counting(source: Source) -> gitlab_facts.Facts:
        read.append(source.path)
        return gitlab_facts.facts(source)

    monkeypatch.setattr(gitlab_ci, "facts", counting)
    monkeypatch.setattr(gitlab_ci, "_latest", gitlab_ci._Latest())
    files = {f"s{n}/{NAME}": b"include: /ci/common.yml\nx: {image: a:%d, script: y}\n" % n for n in range(60)}
    files["ci/common.yml"] = b"y: {image: b:1, script: y}\n"
    assert len(references(files)) == 61
    assert sorted(read) == sorted(files)
    assert sum(len(found.references) for _, _, found in finders.find(files)) == 61
    assert len(read) == 2 * len(files)


def test_a_repository_is_walked_once_whatever_number_of_files_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walked: list[int] = []

    def counting(files: Mapping[str, bytes]) -> dict[str, bytes]:
        walked.append(len(files))
        return dict(files)

    monkeypatch.setattr(gitlab_ci, "_yaml", counting)
    files = {f"s{n}/{NAME}": b"x: {image: a:%d, script: y}\n" % n for n in range(30)}
    assert len(list(finders.find(files))) == 30
    assert walked == [30]


def test_the_search_for_cycles_goes_on_after_a_file() -> None:
    assert gc.isenabled()
    references({NAME: b"image: a:1\n", "x.gitlab-ci.yml": b"image: [\n"})
    assert gc.isenabled()
    gc.disable()
    try:
        references({NAME: b"image: a:1\n"})
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_a_file_needs_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counting(source: Source) -> gitlab_facts.Facts:
        read.append(source.path)
        return gitlab_facts.facts(source)

    monkeypatch.setattr(gitlab_ci, "facts", counting)
    monkeypatch.setattr(gitlab_ci, "_needed", {})
    monkeypatch.setattr(gitlab_ci, "_MAX_NEEDED", 1)
    for name in (NAME, NAME, "x.gitlab-ci.yml", "x.gitlab-ci.yml"):
        assert gitlab_ci.needs(Source(name, b"include: a.yml\n")) == ("a.yml",)
    assert gitlab_ci.needs(Source("x.gitlab-ci.yml", b"include: b.yml\n")) == ("b.yml",)
    assert read == [NAME, "x.gitlab-ci.yml", "x.gitlab-ci.yml"]
