"""GitHub Actions: what the golden cases do not show."""

from __future__ import annotations

import random
from collections.abc import Iterator

import goldens
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_finders_golden import resolve

from bot import candidates, edits
from bot.finders import github_actions, github_builds, github_inputs, github_matrix
from bot.finders.base import Finder
from bot.finders.version_comments import _versions
from bot.forges import guard
from bot.model import Finding, Findings, GitReference, SkipReason, State, UnreadReason
from bot.source import Source
from bot.yamltree import Tree, compose

PATH = ".github/workflows/ci.yml"
COMMIT = "8f4b7f84864484a7bf31766abe9204da3cbe65b3"
FINDER: Finder = github_actions


def find(data: bytes | str, path: str = PATH) -> Findings:
    return FINDER.find(Source(path, data if isinstance(data, bytes) else data.encode()), {})


def steps(*lines: str) -> str:
    return "jobs:\n  a:\n    steps:\n" + "".join(f"      - {line}\n" for line in lines)


def only(data: str, path: str = PATH) -> Finding:
    (one,) = find(data, path).references
    return one


def samples() -> Iterator[bytes]:
    for path in sorted((goldens.GOLDEN / "finders" / "github-actions").rglob("repo/**/*.y*ml")):
        yield path.read_bytes()


SAMPLES = list(samples())


def test_there_are_samples_to_mutate() -> None:
    assert len(SAMPLES) > 40


# --- which files ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "claimed"),
    [
        (".github/workflows/ci.yml", True),
        (".github/workflows/ci.yaml", True),
        (".github/workflows/action.yml", True),
        ("a/b/c/.github/workflows/ci.yml", True),
        (".gitea/workflows/ci.yml", True),
        (".forgejo/workflows/ci.yaml", True),
        ("workflow-templates/ci.yml", True),
        ("action.yml", True),
        ("action.yaml", True),
        ("deep/er/action.yml", True),
        (".github/actions/setup/action.yml", True),
        (".github/workflows/sub/ci.yml", False),
        (".github/workflows/ci.YML", False),
        (".github/workflows/ci.yml.j2", True),
        (".github/ci.yml", False),
        (".GITHUB/workflows/ci.yml", False),
        ("x.github/workflows/ci.yml", False),
        ("my-workflow-templates/ci.yml", False),
        ("Action.yml", False),
        ("reaction.yml", False),
        ("action.yml/x", False),
        ("", False),
    ],
)
def test_claims(path: str, claimed: bool) -> None:
    assert FINDER.claims(path, b"") is claimed
    assert FINDER.claims(path, b"\x00\xff") is claimed


def test_needs_nothing() -> None:
    assert FINDER.needs(Source(PATH, b"jobs: [")) == ()


def test_workflow_without_a_telling_word_is_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(github_actions, "_TABLE", None)
    assert find("jobs: {a: {runs-on: x}}\n") == Findings()


@pytest.mark.parametrize("text", ["jobs: [\n", "jobs: [uses\n", "jobs: [ # ${{ github.ref }}\n"])
def test_broken_workflow_is_told_with_or_without_a_telling_word(text: str) -> None:
    assert find(text).unread[0].line == 2


@pytest.mark.parametrize("text", ["{{- if .x }}\njobs: [\n", "jobs: [\n  - {% x %}\n", "a: {{ b }} c\n"])
def test_template_without_a_telling_word_is_not_told(text: str) -> None:
    assert find(text) == Findings()
    assert find(text + "# uses").unread


@pytest.mark.parametrize(
    ("path", "data", "reported"),
    [
        ("action.yml", b"runs:\n  steps: [uses\n", True),
        ("action.yml", b"image: {{ uses }\n", False),
        ("workflow-templates/a.yml", b"jobs:\n  a: [uses\n", True),
        ("workflow-templates/a.yml", b"spec:\n  a: [uses\n", False),
        ("action.yml", "runs: {image: 'docker://a'}".encode("utf-16"), True),
        ("action.yml", b"# \xff uses\n", False),
    ],
)
def test_unparsable_file_is_reported_where_it_would_be_ours(path: str, data: bytes, reported: bool) -> None:
    found = find(data, path)
    assert found.references == ()
    assert bool(found.unread) is reported


# --- references ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uses", "host", "repository", "path", "ref"),
    [
        ("actions/checkout@v4", "github.com", "actions/checkout", "", "v4"),
        ("acme/x/a/b@release/v1", "github.com", "acme/x", "a/b", "release/v1"),
        ("acme/x/.github/workflows/a.yml@main", "github.com", "acme/x", ".github/workflows/a.yml", "main"),
        ("https://Code.Forgejo.org/a/b/c@v1", "code.forgejo.org", "a/b", "c", "v1"),
        ("HTTP://git.example.com:3000/a/b@v1", "git.example.com:3000", "a/b", "", "v1"),
    ],
)
def test_git_references(uses: str, host: str, repository: str, path: str, ref: str) -> None:
    one = only(steps(f"uses: {uses}"))
    assert one.reference == GitReference(host=host, repository=repository, path=path, ref=ref)
    assert (one.state, one.skip, one.value) == (State.FLOATING, None, uses)


def test_forgejo_takes_plain_names_from_its_own_default() -> None:
    one = only(steps("uses: actions/checkout@v4"), ".forgejo/workflows/ci.yml")
    assert isinstance(one.reference, GitReference)
    assert one.reference.host == "data.forgejo.org"
    assert "DEFAULT_ACTIONS_URL" in one.note


@pytest.mark.parametrize(
    "uses",
    ["https://a:b@example.com/a/b@v1", "https:///a/b@v1", "https://example.com/a/b@v1?x", "@v1", "a@v1"],
)
def test_odd_addresses_are_invalid(uses: str) -> None:
    one = only(steps(f"uses: '{uses}'"))
    assert (one.reference, one.state, one.skip) == (None, State.UNKNOWN, SkipReason.INVALID)


# --- version comments ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("comment", "version"),
    [
        ("# v4", "v4"),
        ("#v4.2.1", "v4.2.1"),
        ("##  v4.2.1  ", "v4.2.1"),
        ("# V4", "V4"),
        ("# tag=v4.2.1", "v4.2.1"),
        ("# tag = v4", "v4"),
        ("# tag=v4 for now", ""),
        ("# ratchet:actions/checkout@v4", "v4"),
        ("# ratchet:actions/checkout/sub@main", "main"),
        ("# ratchet:exclude", ""),
        ("# actions/checkout@v4.2.1", "v4.2.1"),
        ("# pin@v4", "v4"),
        ("# pin @v4", "v4"),
        ("# pin v4", "v4"),
        ("# pin v4 until v5 works", ""),
        ("# pinned to v4.1", ""),
        ("# pinned to v1.2.3 because v2 breaks", ""),
        ("# see actions/checkout@v4", ""),
        ("# actions/checkout@v4 broke us", ""),
        ("# ratchet:actions/checkout@v4 (old)", ""),
        ("# pin this one", ""),
        ("# @v4", "v4"),
        ("# 4.2.1", "4.2.1"),
        ("# 4", "4"),
        ("# 4 retries", ""),
        ("# 4.2 or so", ""),
        ("# v4.2.1 (latest)", "v4.2.1"),
        ("# v4, newest", ""),
        ("# v4 (see (1))", ""),
        ("# v4 (latest) of them", ""),
        ("# v1.2.3-rc.1+b.2", "v1.2.3-rc.1+b.2"),
        ("# version: 4.2.1", ""),
        ("# release notes", ""),
        ("# renovate: tag=v4", "v4"),
        ("# renovate: pin @v4", "v4"),
        ("# renovate: datasource=github-tags depName=a/b", ""),
        ("# main", "main"),
        ("# ref: main", ""),
        ("# release/v1", "release/v1"),
        ("# codeql-bundle-v2.1", "codeql-bundle-v2.1"),
        ("# checkout", ""),
        ("# check out", ""),
        ("# noqa", ""),
        ("# prettier-ignore", ""),
        (f"# {COMMIT}", ""),
        ("# see v4", ""),
        ("# vX", ""),
        ("# zizmor: ignore[unpinned-uses]", ""),
        ("# moorline: ignore[why v4]", ""),
        ("# yamllint disable-line", ""),
        ("# v4 # zizmor: ignore[x]", "v4"),
        ("# zizmor: ignore[x] # v4", "v4"),
        ("#", ""),
        ("# ", ""),
        ("", ""),
    ],
)
def test_version_that_a_comment_names(comment: str, version: str) -> None:
    found = next(_versions(comment, COMMIT), None)
    assert (found.text if found else "") == version
    assert found is None or comment[found.start :].startswith(version)


def test_a_lone_word_counts_behind_a_commit_or_where_it_is_the_ref() -> None:
    assert list(_versions("# main", "v4")) == []
    assert [(one.start, one.text) for one in _versions("# main", "main")] == [(2, "main")]
    assert [(one.start, one.text) for one in _versions("# main", COMMIT)] == [(2, "main")]


@pytest.mark.parametrize(
    ("comment", "made"),
    [
        ("# v4", "# v4.9.1"),
        ("# v4.9 (latest)", "# v4.9.1 (latest)"),
        ("# v4.2.0", "# v4.9.1"),
        ("# pinned to v1.2.3 because v2 breaks", "# v4.9.1 # pinned to v1.2.3 because v2 breaks"),
        ("# ratchet:a/b@v4", "# ratchet:a/b@v4"),
        ("# ratchet:a/b@v3", "# ratchet:a/b@v4"),
        ("# ratchet:a/b@v4.2", "# ratchet:a/b@v4.9"),
        ("# ratchet:a/b@4", "# ratchet:a/b@v4"),
        ("# ratchet:a/b@v4.2.1", "# ratchet:a/b@v4.9.1"),
        ("# renovate: tag=v4", "# renovate: tag=v4"),
        ("# tag=v4", "# tag=v4"),
        ("# pin@v3.1", "# pin@v4.9"),
        ("# pin v4", "# pin v4"),
        ("# @v4", "# @v4"),
        ("# pin@main", "# pin@v4.9.1"),
    ],
)
def test_a_version_that_another_tool_reads_stays_as_exact_as_it_was(comment: str, made: str) -> None:
    text = steps(f"uses: a/b@v4 {comment}")
    one = only(text)
    assert one.reference is not None
    pins = candidates.edits(candidates.candidate(one, resolve(one.reference)))
    guard.judge(pins, {PATH: text.encode()})
    assert edits.apply({PATH: text.encode()}, pins)[PATH].decode().rstrip().endswith(f" {made}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("uses: a/b@v1 # yamllint disable-line rule:line-length", None),
        ("uses: v1/b@v1 # ratchet:v1/b@v1", None),
        ("{uses: a/b@v1}", None),
        ("uses: a/b@v1", (""," ")),
        ("uses: 'a/b@v1' # why", ("", "' #")),
    ],
)  # fmt: skip
def test_place_of_the_comment(line: str, expected: tuple[str, str] | None) -> None:
    text = steps(line)
    comment = only(text).comment
    if expected is None:
        assert comment is None
        return
    assert comment is not None
    assert (comment.text, comment.version, comment.span.start) == ("", "", comment.span.end)
    assert text[: comment.span.start].rstrip("'").endswith("@v1")


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("- {uses: a/b@v1} # v1", "v1"),
        ("- {uses: a/b@v1, with: {x: 1}} # v1.2", "v1.2"),
        ("- { name: x, uses: 'a/b@v1' }  # tag=v1", "v1"),
        ("- {uses: a/b@v1} # why", None),
        ("- {uses: a/b@v1}# v1", None),
        ("- {uses: a/b@v1, with: {x: 'y'}} # v1", None),
        ("- {uses: a/b@v1, env: {mail: a@b}} # v1", None),
        ("- {name: a@b, uses: a/b@v1} # v1", None),
    ],
)
def test_comment_behind_brackets_is_kept_in_step(line: str, version: str | None) -> None:
    text = f"jobs:\n  a:\n    steps:\n      {line}\n"
    comment = only(text).comment
    assert (comment.version if comment else None) == version
    hold(text.encode())
    if version is not None:
        data = text.encode()
        (one,) = find(data).references
        assert one.reference is not None
        made = candidates.edits(candidates.candidate(one, resolve(one.reference)))
        guard.judge(made, {PATH: data})
        ending = b"# tag=v1" if "tag" in line else b"v1.9.1"
        assert edits.apply({PATH: data}, made)[PATH].rstrip().endswith(ending)


@pytest.mark.parametrize("value", ["null", "~", "", "false", "''", "[]", "{}"])
def test_left_out_images_are_no_references(value: str) -> None:
    assert (
        find(f"jobs: {{a: {{container: {value}, services: {{b: {value}, c: {{image: {value}}}}}}}}}\n")
        == Findings()
    )
    matrix = f"strategy: {{matrix: {{image: [{value or '~'}, node:20]}}}}"
    one = only(f"jobs: {{a: {{{matrix}, container: '${{{{ matrix.image }}}}'}}}}\n")
    assert one.value == "node:20"


# --- properties ----------------------------------------------------------------------------


def hold(data: bytes, path: str = PATH) -> None:
    """Check what must be true of any bytes: spans, honest states, and pinning once and for all."""
    found = find(data, path)
    places = [one.location.span for one in found.references]
    assert len(set(places)) == len(places)
    for one in found.references:
        span = one.location.span
        assert data[span.start : span.end] == one.value.encode()
        assert one.value
        assert (one.state is State.PINNED) == (one.skip is SkipReason.PINNED)
        assert one.skip is not None or one.reference is not None
        if one.comment is not None:
            place = one.comment.span
            assert data[place.start : place.end] == one.comment.text.encode()
    chosen = [
        candidates.candidate(one, resolve(one.reference))
        for one in found.references
        if one.skip is None and one.reference is not None
    ]
    made = [edit for one in chosen for edit in candidates.edits(one)]
    after = edits.apply({path: data}, made).get(path, data)
    again = find(after, path).references
    targets = {one.finding.location: candidates.target_reference(one) for one in chosen}
    assert edits.confirm(found.references, again, targets, made) is None
    assert not [one for one in again if one.skip is None]


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_what_is_written_passes_the_publish_guard(number: int) -> None:
    data = SAMPLES[number]
    made = [
        edit
        for one in find(data).references
        if one.skip is None and one.reference is not None
        for edit in candidates.edits(candidates.candidate(one, resolve(one.reference)))
    ]
    guard.judge(made, {PATH: data})


@given(st.binary(max_size=300), st.sampled_from([PATH, "action.yml", "workflow-templates/a.yml"]))
@settings(max_examples=150, deadline=None)
def test_any_bytes(data: bytes, path: str) -> None:
    hold(data, path)


PIECES = [
    "jobs:\n", "  a:\n", "    steps:\n", "      - uses: ", "actions/checkout@v4", "a/b@", COMMIT, " # v4", "\n",
    "\r\n", "    container: ", "node:20", "docker://", "{image: ", "}", "[", "]", "'", '"', "    services:\n",
    "      db: ", "&a ", "*a", "${{ matrix.image }}", "    strategy: {matrix: {image: [node:20]}}\n", ">-\n        ",
    "\\x41", "🚢", "\t", " ", "#", "\ufeff", "\x85", "\u2028", "runs: {using: docker, image: docker://a}\n", "<<: ",
    "@sha256:" + "a" * 64, "    name: ${{ matrix.image }}\n", "? ", ": ", ",", "---\n", "      - run: docker push a\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=40))
@settings(max_examples=250, deadline=None)
def test_any_pieces(pieces: list[str]) -> None:
    hold("".join(pieces).encode())


@given(st.integers(0, len(SAMPLES) - 1), st.integers(0, 2**32), st.integers(1, 6))
@settings(max_examples=200, deadline=None)
def test_mutated_files(number: int, seed: int, times: int) -> None:
    shuffled = random.Random(seed)
    data = bytearray(SAMPLES[number])
    for _ in range(times):
        place = shuffled.randrange(len(data) + 1)
        what = shuffled.randrange(4)
        if what == 0:
            data[place : place + shuffled.randrange(1, 20)] = b""
        elif what == 1:
            data[place:place] = shuffled.choice(PIECES).encode()
        elif what == 2:
            data[place : place + 1] = bytes([shuffled.randrange(256)])
        else:
            other = shuffled.choice(SAMPLES)
            start = shuffled.randrange(len(other) + 1)
            data[place:place] = other[start : start + 80]
    hold(bytes(data))


# --- hostile input -------------------------------------------------------------------------


def test_key_of_a_megabyte_is_not_repeated_in_every_place() -> None:
    text = f"jobs:\n  ? {'k' * 1_000_000}\n  : steps:\n" + "      - uses: a/b@v1\n" * 2_000
    found = find(text)
    assert len(found.references) == 2_000
    assert max(len(one.where) for one in found.references) < 200


def test_line_of_a_megabyte() -> None:
    found = find(
        steps(
            f"uses: {'a' * 1_000_000}@v1",
            "uses: a/b@v1 #" + " v" * 500_000,
            f"uses: docker://{'a/' * 500_000}b",
        )
    )
    assert [one.skip for one in found.references] == [SkipReason.INVALID, None, SkipReason.INVALID]


def test_expressions_without_an_end_are_read_once() -> None:
    text = "${{" * 100_000
    assert sum(len(piece) for piece in github_matrix.expressions(text)) < len(text)
    strategy = "    strategy: {matrix: {image: [node:20]}}\n    container: ${{ matrix.image }}\n"
    found = find(f"jobs:\n  a:\n{strategy}    steps:\n      - run: '{text}'\n")
    assert [one.skip for one in found.references] == [None]


def test_aliases_do_not_multiply_the_work_on_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(github_matrix, "MAX_NODES", 3_000)
    big = "x: &x\n" + "".join(f"  s{number}: {{image: a}}\n" for number in range(500))
    jobs = "".join(
        f"  j{number}:\n    services: *x\n    strategy: {{matrix: {{image: [node:{number}]}}}}\n"
        "    container: ${{ matrix.image }}\n"
        for number in range(100)
    )
    found = find(f"{big}jobs:\n{jobs}").references
    by_skip = [one.skip for one in found if "node" in one.value or "matrix" in one.value]
    assert len(by_skip) == 100
    assert SkipReason.VARIABLE in by_skip, "what is behind the budget is not edited"


def test_aliases_do_not_multiply_the_work_on_builds() -> None:
    tags = "t: &t |\n" + "".join(f"  acme/i{number}:1\n" for number in range(5_000))
    step = "uses: docker/build-push-action@v6\n        with: {tags: *t, build-args: *t}"
    tree = compose(Source(PATH, f"{tags}{steps(*[step] * 500)}".encode()))
    assert isinstance(tree, Tree)
    facts = github_builds.facts(tree)
    assert len(facts.built) == 5_000
    assert len(facts.seen) < 1_100


def test_variables_do_not_grow_without_bound() -> None:
    env = f"env: {{X: {'y' * 490}, Z: {'z' * 9_999}}}\n"
    text = env + steps(
        "run: docker push " + "${{ env.X }}" * 5_000,
        "run: docker push a/${{ env.Z }}",
        "run: docker push a/$X",
    )
    assert [one.name for one in find(text).built] == ["a/${{ env.Z }}", "a/" + "y" * 490]


def test_builds_by_name() -> None:
    text = steps(
        "uses: docker/build-push-action@v6\n        with: {tags: 'acme/a:1, acme/b'}",
        "uses: depot/build-push-action@v1\n        with: {tags: acme/c}",
        "run: docker push ${{ env.NOWHERE }}/d",
        "run: docker push ghcr.io/${{ github.repository }}:${{ inputs.a || '1' }} && docker push $X:1",
        "run: docker push ${{ steps.a.outputs.b }}:${{ github.sha }}",
        "run: docker build -t ${{5}} -f ${{ env.NOWHERE }}/Dockerfile --build-arg A=${{ env.B }} .",
        "run: docker push acme/$'{{9}}'",
    )
    found = find(text)
    assert [one.name for one in found.built] == [
        "acme/a:1",
        "acme/b",
        "acme/c",
        "${{ env.NOWHERE }}/d",
        "ghcr.io/${{ github.repository }}:${{ inputs.a || '1' }}",
        "acme/${{9}}",
    ]
    assert [(one.name, one.dockerfile) for one in found.arguments] == [("A", None)]
    line = text[: found.built[1].location.span.start].count("\n") + 1
    assert found.built[1].location.line == line
    assert text[found.built[1].location.span.start :].startswith("acme/b")


@pytest.mark.parametrize(
    ("inputs", "dockerfile"),
    [
        ("", "Dockerfile"),
        ("context: .", "Dockerfile"),
        ("context: ./a/", "a/Dockerfile"),
        ("context: a, file: b/c.Dockerfile", "b/c.Dockerfile"),
        ("file: ./Dockerfile.dev", "Dockerfile.dev"),
        ("context: '{{defaultContext}}'", "Dockerfile"),
        ("context: '{{defaultContext}}:a/b'", "a/b/Dockerfile"),
        ("context: '${{ github.workspace }}/a'", "a/Dockerfile"),
        ("context: '${{ env.WHERE }}'", "here/Dockerfile"),
        ("context: '${{ matrix.where }}'", None),
        ("context: https://github.com/acme/x.git", None),
        ("context: 'git@github.com:acme/x.git'", None),
        ("file: ../x/Dockerfile", None),
        ("file: /etc/Dockerfile", None),
    ],
)
def test_dockerfile_that_an_argument_is_passed_to(inputs: str, dockerfile: str | None) -> None:
    step = f"uses: docker/build-push-action@v6\n        with: {{build-args: BASE=x, {inputs}}}"
    (argument,) = find("env: {WHERE: here}\n" + steps(step)).arguments
    assert (argument.name, argument.dockerfile) == ("BASE", dockerfile)


def test_unread_file_says_what_is_wrong() -> None:
    (one,) = find(b"jobs:\n  a: # uses\n    \xff: 1\n").unread
    assert (one.path, one.reason, one.line) == (PATH, UnreadReason.NOT_UTF8, 3)


# --- inputs of workflows -------------------------------------------------------------------

CALLED = b"""on: {workflow_call: {inputs: {image: {default: "node:20"}}}}
jobs: {a: {container: "${{ inputs.image }}"}}
"""
CALLED_PATH = ".github/workflows/called.yml"
CALLER = b"""jobs: {a: {uses: ./.github/workflows/called.yml, with: {image: "node:22"}}}
"""


@pytest.mark.parametrize(
    ("callers", "skip"),
    [
        ([], None),
        ([CALLER], SkipReason.OVERRIDDEN),
        ([CALLER.replace(b"image:", b"other:")], None),
        ([CALLER.replace(b"called.yml", b"other.yml")], None),
        ([b"# see ./.github/workflows/called.yml"], None),
        ([b"# ./.github/workflows/called.yml\n[" * 5], None),
        ([CALLER + b"#" * github_inputs.MAX_FILE], SkipReason.OVERRIDDEN),
        ([CALLER.replace(b"image:", b"other:")] * (github_inputs.MAX_CALLERS + 1), SkipReason.OVERRIDDEN),
    ],
)
def test_a_default_that_a_workflow_of_the_repository_replaces(
    callers: list[bytes], skip: SkipReason | None
) -> None:
    files = {f".github/workflows/{number:03}.yml": data for number, data in enumerate(callers)}
    (one,) = github_actions.find(Source(CALLED_PATH, CALLED), {**files, CALLED_PATH: CALLED}).references
    assert (one.value, one.skip) == ("node:20", skip)


@pytest.mark.parametrize("called", [b"", b"[", CALLED + b"#" * github_inputs.MAX_FILE, b"inputs: 1"])
def test_what_is_passed_to_a_workflow_that_is_not_read_is_no_image(called: bytes) -> None:
    assert github_actions.find(Source(PATH, CALLER), {CALLED_PATH: called}) == Findings()


def test_what_is_passed_is_an_image_where_the_called_workflow_runs_it() -> None:
    (one,) = github_actions.find(Source(PATH, CALLER), {CALLED_PATH: CALLED}).references
    assert (one.value, one.skip, one.where) == ("node:22", None, "jobs.a.with.image")
