"""What is looked at, what is left alone, and the reason that each one carries."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import goldens
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import finders, selection
from bot.built import BuiltNames, without_tag
from bot.config import Config, Places, load, merge, parse
from bot.model import (
    BuildArgument,
    BuildContext,
    Built,
    Candidate,
    Cause,
    Decision,
    Finding,
    GitReference,
    Kind,
    Resolution,
    SkipReason,
    State,
)
from bot.reference import parse_image
from bot.source import Source

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOWHERE = Source("x", b"x").location(0, 1)


def config(text: str) -> Config:
    return parse(".moorline.yml", text.encode())


def image(
    value: str,
    *,
    data: bytes | None = None,
    path: str = "compose.yml",
    kind: str = "compose",
    skip: SkipReason | None = None,
    argument: str | None = None,
) -> tuple[Finding, dict[str, bytes]]:
    """Return a finding of `value` where it stands in `data`, and the files that it is from."""
    data = f"image: {value}\n".encode() if data is None else data
    start = data.index(value.encode())
    finding = Finding(
        format=kind,
        kind=Kind.IMAGE,
        where="image",
        location=Source(path, data).location(start, start + len(value.encode())),
        value=value,
        reference=None if "$" in value else parse_image(value),
        state=State.UNKNOWN if "$" in value else State.FLOATING,
        skip=skip,
        argument=argument,
    )
    return finding, {path: data}


def git(
    repository: str,
    *,
    host: str = "github.com",
    path: str = "",
    kind: Kind = Kind.ACTION,
) -> tuple[Finding, dict[str, bytes]]:
    finding = Finding(
        format="github-actions",
        kind=kind,
        where="uses",
        location=NOWHERE,
        value=f"{repository}@v1",
        reference=GitReference(host=host, repository=repository, ref="v1", path=path),
        state=State.FLOATING,
    )
    return finding, {}


def settled(
    pair: tuple[Finding, dict[str, bytes]],
    text: str = "",
    *,
    built: tuple[str, ...] = (),
    arguments: tuple[BuildArgument, ...] = (),
    contexts: tuple[BuildContext, ...] = (),
    decisions: tuple[Decision, ...] = (),
    host: str = "github.com",
    owner: str = "acme/app",
    now: datetime = NOW,
) -> Finding:
    finding, files = pair
    (made,) = selection.select(
        [finding],
        config=config(text),
        built=[Built(name=name, location=NOWHERE) for name in built],
        arguments=arguments,
        contexts=contexts,
        files=files,
        host=host,
        owner=owner,
        now=now,
        decisions=decisions,
    )
    return made


def test_what_nothing_speaks_of_is_left_as_it_was() -> None:
    pair = image("node:20")
    assert settled(pair) is pair[0]


# --- inline marks -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "image: node:20 # moorline: ignore[on purpose]",
        "image: node:20  #moorline:ignore[on purpose]",
        "image: node:20\t# moorline: ignore[on purpose] and more",
        "image: 'node:20' # a # moorline: ignore[on purpose]",
        "# moorline: ignore[on purpose]\nimage: node:20",
        "  # moorline: ignore[ on purpose ]\r\nimage: node:20\r\n",
        "# moorline: ignore[on purpose]\rimage: node:20\r",
        "# moorline: ignore[on purpose]\n# hadolint ignore=DL3006\nimage: node:20",
        "\ufeff# moorline: ignore[on purpose]\nimage: node:20",
    ],
)
def test_inline_marks(text: str) -> None:
    made = settled(image("node:20", data=text.encode()))
    assert made.skip is SkipReason.IGNORED
    assert made.note.endswith(": on purpose")


@pytest.mark.parametrize(
    "text",
    [
        "# moorline: ignore[on purpose]\n\nimage: node:20",
        "other: x # moorline: ignore[on purpose]\nimage: node:20",
        "image: node:20\n# moorline: ignore[on purpose]",
        "image: node:20\nother: x # moorline: ignore[on purpose]",
        "image: node:20 x# moorline: ignore[on purpose]",
        'name: "# moorline: ignore[x]", image: node:20',
        '{name: "a # moorline: ignore[x]", image: node:20}',
    ],
)
def test_marks_elsewhere_do_not_count(text: str) -> None:
    made = settled(image("node:20", data=text.encode()))
    assert made.skip is None
    assert made.note == ""


@pytest.mark.parametrize(
    "mark",
    [
        "ignore",
        "ignore[]",
        "ignore[ ]",
        "ignore[never closed",
        "ignore(reason)",
        "ignroe[x]",
        "",
        "ignore[" + "x" * 301 + "]",
    ],
)
def test_marks_that_are_not_understood_are_told(mark: str) -> None:
    made = settled(image("node:20", data=f"a: b\nimage: node:20 # moorline: {mark}".encode()))
    assert made.skip is None
    assert made.note == "the mark in line 2 is not understood: write `# moorline: ignore[reason]`"


@pytest.mark.parametrize(
    "text",
    [
        "# moorline: ignore[x]\nFROM node:20",
        "# moorline: ignore[x]\nFROM --platform=linux/amd64 \\\n  node:20",
        "FROM --platform=linux/amd64 \\\n  # moorline: ignore[x]\n  node:20",
        "# moorline: ignore[x]\nRUN --mount=from=a \\\n\n # a comment\n  --mount=from=node:20 true",
        "# escape=`\n# moorline: ignore[x]\nFROM `\n  node:20",
        "# moorline: ignore[x]\r\nFROM \\\r\n  node:20\r\n",
        "# moorline: ignore[x]\nFROM \\   \n  node:20",
    ],
)
def test_marks_above_an_instruction_of_several_lines(text: str) -> None:
    made = settled(image("node:20", data=text.encode(), path="Dockerfile", kind="dockerfile"))
    assert made.skip is SkipReason.IGNORED


@pytest.mark.parametrize(
    "text",
    [
        "# moorline: ignore[x]\nRUN true\nFROM node:20",
        "RUN --mount=from=a \\\n  # moorline: ignore[x]\n  --mount=from=b \\\n  --mount=from=node:20 true",
        "# moorline: ignore[x]\nRUN a `\nFROM node:20",
        "# moorline: ignore[x]\n\nFROM \\\n node:20",
    ],
)
def test_marks_of_another_instruction_do_not_count(text: str) -> None:
    assert settled(image("node:20", data=text.encode(), path="Dockerfile", kind="dockerfile")).skip is None


def test_marks_stay_fast_on_hostile_files() -> None:
    data = (
        b"# " * 300_000 + b"\n" + b"#" * 300_000 + b"\n" + b"\\\n" * 3_000 + b"image: node:20 # moorline: x"
    )
    finding, files = image("node:20", data=data, kind="dockerfile")
    start = time.process_time()
    made = selection.select(
        [finding] * 1000,
        config=Config(),
        built=(),
        arguments=(),
        files=files,
        host="",
        owner="",
        now=NOW,
    )
    assert len(made) == 1000
    assert time.process_time() - start < 5


def test_one_endless_instruction_is_read_once() -> None:
    lines = [f"  --mount=from=node:20,n={n} \\\n" for n in range(20_000)]
    data = "# moorline: ignore[all of it]\nRUN \\\n" + "".join(lines) + "  true\n"
    source = Source("Dockerfile", data.encode())
    found = [
        replace(
            image("node:20", path="Dockerfile", kind="dockerfile")[0],
            location=source.location(start, start + 7),
        )
        for start in (source.starts[number] + 15 for number in range(2, 20_002))
    ]
    start = time.process_time()
    made = selection.select(
        found,
        config=Config(),
        built=(),
        arguments=(),
        files={"Dockerfile": data.encode()},
        host="",
        owner="",
        now=NOW,
    )
    assert time.process_time() - start < 5
    assert {one.skip for one in made} == {SkipReason.IGNORED}


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_marks_never_raise(before: bytes, after: bytes) -> None:
    data = before + b"moorline: node:20 # moorline: " + after
    for kind in ("dockerfile", "compose"):
        settled(image("node:20", data=data, kind=kind))


# --- configuration ------------------------------------------------------------------------


def test_a_disabled_format_wins_over_its_marks() -> None:
    made = settled(
        image("node:20", data=b"image: node:20 # moorline: ignore[x]"), "formats: {compose: false}"
    )
    assert made.skip is SkipReason.DISABLED
    assert "formats.compose" in made.note


@pytest.mark.parametrize(
    ("rule", "ignored"),
    [
        ("image: node", True),
        ("image: library/node", True),
        ("image: docker.io/library/node", True),
        ("image: node:20", True),
        ("image: node:2?", True),
        ("image: node:22", False),
        ("image: nod", False),
        ("action: '**'", False),
        ("action: '**', image: node", True),
        ("paths: [compose.yml]", True),
        ("paths: [deploy/**]", False),
        ("image: node, paths: [deploy/**]", False),
        ("image: node, until: 2026-11-23", True),
        ("image: node, until: 2026-11-22", False),
    ],
)
def test_ignore_rules(rule: str, ignored: bool) -> None:
    made = settled(image("node:20"), f"ignore: [{{{rule}, because: so it is}}]")
    assert (made.skip is SkipReason.IGNORED) is ignored
    assert ("so it is" in made.note) is ignored


def test_ignore_rules_for_actions_and_includes() -> None:
    rule = "ignore: [{action: other/*, because: x}]"
    assert settled(git("Other/tool"), rule).skip is SkipReason.IGNORED
    assert settled(git("other/tool", kind=Kind.INCLUDE), rule).skip is None
    rule = "ignore: [{include: other/*, because: x}]"
    assert settled(git("other/tool", kind=Kind.INCLUDE), rule).skip is SkipReason.IGNORED


def test_pinned_and_invalid_ones_keep_their_reason() -> None:
    for skip in (SkipReason.PINNED, SkipReason.INVALID, SkipReason.ESCAPED):
        assert settled(image("node:20", skip=skip), "formats: {compose: false}").skip is skip


def decision(
    what: str = "ignore",
    *,
    digest: str | None = None,
    until: datetime | None = None,
    reference: str = "node:20",
) -> Decision:
    return Decision(by="ada", what=what, reference=reference, digest=digest, until=until, because="we talked")


def test_decisions_to_ignore() -> None:
    pair = image("node:20")
    made = settled(pair, decisions=(decision(),))
    assert made.skip is SkipReason.IGNORED
    assert made.note == "ignored by ada: we talked"
    assert settled(pair, decisions=(decision(reference="docker.io/library/node:20"),)).skip
    assert settled(pair, decisions=(decision(reference="node:*"),)).skip is None
    assert settled(pair, decisions=(decision(until=datetime(2026, 11, 1, tzinfo=UTC)),)).skip is None
    assert settled(pair, decisions=(decision("allow"),)).skip is None
    assert settled(pair, decisions=(decision(digest="sha256:" + "a" * 64),)).skip is None


def test_a_decision_about_one_digest_declines_that_one() -> None:
    finding, _ = image("node:20")
    assert finding.reference is not None
    digest = "sha256:" + "a" * 64
    candidate = Candidate(
        finding=finding,
        current=None,
        target=digest,
        resolution=Resolution(reference=finding.reference, digest=digest, source="x"),
        cause=Cause.FIRST,
    )
    assert selection.declined(candidate, [decision(digest=digest)], NOW) == "ignored by ada: we talked"
    assert selection.declined(candidate, [decision(digest="sha256:" + "b" * 64)], NOW) is None
    assert selection.declined(candidate, [decision("allow", digest=digest)], NOW) is None


# --- built here ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("built", "value", "here"),
    [
        ("ghcr.io/acme/app:1", "ghcr.io/acme/app:2", True),
        ("ghcr.io/acme/app", "ghcr.io/acme/app@sha256:" + "a" * 64, True),
        ("app", "app:dev", True),
        ("app", "docker.io/library/app", True),
        ("app", "acme/app", False),
        ("acme/app", "ghcr.io/acme/app", False),
        ("node", "node:20", True),
        ("127.0.0.1:5000/app:x", "127.0.0.1:5000/app", True),
        ("ghcr.io/acme/app:${{ github.sha }}", "ghcr.io/acme/app:main", True),
        ("ghcr.io/acme/app:$TAG", "ghcr.io/acme/app:main", True),
        ("${REGISTRY}/acme/app:1", "ghcr.io/acme/app", True),
        ("${REGISTRY:-ghcr.io}/acme/app:1", "quay.io/acme/app", True),
        ("${A:-${B:-x}}/acme/app:1", "quay.io/acme/app", True),
        ("$REGISTRY/acme/app", "acme/app", True),
        ("$REGISTRY/app", "ghcr.io/acme/app", True),
        ("$REGISTRY/app", "acme/app", False),
        ("$REGISTRY/node", "node:20", False),
        ("$REGISTRY/library/node", "node:20", False),
        ("ghcr.io/acme/$NAME", "ghcr.io/acme/app", True),
        ("ghcr.io/acme/app-$NAME", "ghcr.io/acme/app-web:1", True),
        ("ghcr.io/acme/app-$NAME", "ghcr.io/acme/app", False),
        ("ghcr.io/$OWNER/app", "ghcr.io/acme/app", True),
        ("ghcr.io/$NAME", "ghcr.io/acme/app", False),
        ("acme/$NAME", "acme/app", True),
        ("acme/$NAME", "ghcr.io/acme/app", False),
        ("docker.io/library/$NAME", "node:20", False),
        ("node$X", "node:20", False),
        ("$IMAGE", "node:20", False),
        ("$IMAGE:1", "ghcr.io/acme/app", False),
        ("$A/$B", "ghcr.io/acme/app", False),
        ("$A/", "ghcr.io/acme/app", False),
        ("ghcr.io/acme/$X/base-$Y-slim", "ghcr.io/acme/t/base-1-slim", True),
        ("ghcr.io/acme/$X/base-$Y-slim", "ghcr.io/acme/t/other-1-slim", False),
        ("", "node", False),
        ("{{.Registry}}/acme/app", "ghcr.io/acme/app", True),
    ],
)
def test_images_that_are_built_here(built: str, value: str, here: bool) -> None:
    made = settled(image(value), built=(built,))
    assert (made.skip is SkipReason.BUILT_HERE) is here
    if here:
        assert made.note == "built by this repository, see x:1"


@pytest.mark.parametrize(
    ("built", "value", "here"),
    [
        ("ghcr.io/${{ github.repository_owner }}/app:1", "ghcr.io/acme/app", True),
        ("ghcr.io/${{ github.repository_owner }}/app:1", "ghcr.io/other/app", False),
        ("ghcr.io/${{github.repository_owner}}/${{ matrix.svc }}", "ghcr.io/acme/app", True),
        ("ghcr.io/${{github.repository_owner}}/${{ matrix.svc }}", "ghcr.io/other/app", False),
        ("ghcr.io/$GITHUB_REPOSITORY_OWNER/app", "ghcr.io/acme/app", True),
        ("ghcr.io/${GITHUB_REPOSITORY}", "ghcr.io/acme/shop", True),
        ("ghcr.io/${{ github.repository }}:latest", "ghcr.io/acme/shop:1", True),
        ("ghcr.io/${{ github.repository }}:latest", "ghcr.io/acme/base", False),
        ("ghcr.io/${{ github.repository }}/web", "ghcr.io/acme/shop/web", True),
        ("ghcr.io/${{ github.repository }}/web", "ghcr.io/acme/other/web", False),
        ("${{ github.repository_owner }}/app", "acme/app", True),
        ("${{ github.repository_owner }}/app", "node:20", False),
    ],
)
def test_images_that_are_built_here_by_their_owner(built: str, value: str, here: bool) -> None:
    names = BuiltNames([Built(name=built, location=NOWHERE)], "Acme", "Acme/shop")
    assert (names.find(image(value)[0]) is not None) is here
    written, _ = image(built, skip=SkipReason.VARIABLE)
    assert names.find(written) is not None


@pytest.mark.parametrize(
    "value",
    [
        "$CI_REGISTRY_IMAGE",
        "${CI_REGISTRY_IMAGE}/web:latest",
        "$CI_REGISTRY/$CI_PROJECT_PATH/web",
        "$CI_REGISTRY/${CI_PROJECT_NAMESPACE}/base:1",
        "ghcr.io/${{ github.repository }}:main",
        "ghcr.io/${{github.repository}}-cache/x",
        "ghcr.io/${{ github.repository_owner }}/base:1",
    ],
)
def test_the_forge_names_this_repository(value: str) -> None:
    assert settled(image(value, skip=SkipReason.VARIABLE)).skip is SkipReason.BUILT_HERE


@pytest.mark.parametrize(
    "value",
    [
        "evil:1${{ github.sha && '' }}",
        "evil/x:$CI_COMMIT_REF_NAME",
        "evil.example/$CI_PROJECT_PATH",
        "$CI_REGISTRY_IMAGE.evil.example/x",
        "$CI_REGISTRY/$CI_PROJECT_NAMESPACE-evil/x",
        "ghcr.io/${{ github.repository && 'evil/x' }}:1",
        "ghcr.io/${{ github.repository_owner }}-evil/x",
        "evil.example/${{ github.repository }}",
    ],
)
def test_what_only_mentions_this_repository_is_not_its_own(value: str) -> None:
    assert settled(image(value, skip=SkipReason.VARIABLE)).skip is SkipReason.VARIABLE


def test_equal_variables_are_equal() -> None:
    pair = image("${REG}/app:${TAG}", skip=SkipReason.VARIABLE)
    assert settled(pair, built=("${REG}/app:build",)).skip is SkipReason.BUILT_HERE
    assert settled(pair, built=("${REG2}/app:build",)).skip is SkipReason.VARIABLE


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a:1", "a"),
        ("h:5/a", "h:5/a"),
        ("h:5/a:1@sha256:x", "h:5/a"),
        ("${A:-b}/c", "${A:-b}/c"),
        ("${A:-b:1}:2", "${A:-b:1}"),
        ("a@sha256:x", "a"),
        ("", ""),
        ("}}:1", "}}"),
        ("x" * 1025, ""),
    ],
)
def test_names_without_tags(name: str, expected: str) -> None:
    assert without_tag(name) == expected


@settings(max_examples=150, deadline=None)
@given(st.text("ab/:$@{}()-.%`\0[", max_size=30), st.text("ab/:.-", max_size=12))
def test_hostile_build_names_never_raise_nor_claim_official_images(built: str, value: str) -> None:
    names = BuiltNames([Built(name=built, location=NOWHERE)])
    for one in (value, "node:20"):
        pair = image(one) if one and parse_image(one) else image("a")
        names.find(pair[0])
    assert names.find(image("node:20")[0]) is None


def test_many_hostile_build_names_stay_fast() -> None:
    names = BuiltNames([Built(name="$A{" * 300 + f"/a/{n}", location=NOWHERE) for n in range(2000)])
    finding, _ = image("ghcr.io/acme/app")
    start = time.process_time()
    for _ in range(500):
        names.find(finding)
    assert time.process_time() - start < 2


# --- own, tags that must stay, overridden arguments ---------------------------------------


@pytest.mark.parametrize(
    ("repository", "host", "own"),
    [
        ("acme/tool", "github.com", True),
        ("ACME/tool", "GitHub.com", True),
        ("acme/tool", "", True),
        ("acme/tool", "$CI_SERVER_FQDN", True),
        ("acme/sub/tool", "", True),
        ("acme2/tool", "github.com", False),
        ("acme/tool", "gitlab.com", False),
    ],
)
def test_own_references(repository: str, host: str, own: bool) -> None:
    assert (settled(git(repository, host=host)).skip is SkipReason.OWN) is own
    assert settled(git(repository, host=host), "own: pin").skip is None
    assert settled(git(repository, host=host), owner="").skip is None


def test_some_must_stay_tags() -> None:
    path = ".github/workflows/generator_container_slsa3.yml"
    generator = git("slsa-framework/slsa-github-generator", path=path)
    assert settled(generator).skip is SkipReason.MUST_STAY_TAG
    assert settled(git("slsa-framework/slsa-verifier", path="actions/installer")).skip is None
    assert settled(git("x/y"), "keep-tags: [x/*]").skip is SkipReason.MUST_STAY_TAG
    assert settled(image("x/y:1"), "keep-tags: [x/*]").skip is SkipReason.MUST_STAY_TAG
    assert settled(generator, "keep-tags: [x/*]").skip is SkipReason.MUST_STAY_TAG


@pytest.mark.parametrize(
    ("name", "dockerfile", "overridden"),
    [
        ("BASE", "app/Dockerfile", True),
        ("BASE", None, True),
        ("BASE", "other/Dockerfile", False),
        ("OTHER", None, False),
    ],
)
def test_overridden_arguments(name: str, dockerfile: str | None, overridden: bool) -> None:
    argument = BuildArgument(name=name, dockerfile=dockerfile, location=NOWHERE)
    pair = image("node:20", path="app/Dockerfile", kind="dockerfile", argument="BASE")
    made = settled(pair, arguments=(argument,))
    assert (made.skip is SkipReason.OVERRIDDEN) is overridden
    assert ("x:1 passes BASE" in made.note) is overridden


def test_an_argument_for_any_dockerfile_is_none_for_compose() -> None:
    argument = BuildArgument(name="TAG", dockerfile=None, location=NOWHERE)
    assert settled(image("node:20", argument="TAG"), arguments=(argument,)).skip is None


@pytest.mark.parametrize(
    ("value", "context", "dockerfile", "masked"),
    [
        ("node", "node", "app/Dockerfile", True),
        ("node", "node", None, True),
        ("node", "node", "other/Dockerfile", False),
        ("node:latest", "node", None, True),
        ("node", "docker.io/library/node:latest", None, True),
        ("docker.io/library/node:20", "node:20", None, True),
        ("node:20", "node", None, False),
        ("node", "node:20", None, False),
        ("ghcr.io/acme/node", "node", None, False),
        ("node", "no de", None, False),
    ],
)
def test_named_contexts_mask_images(value: str, context: str, dockerfile: str | None, masked: bool) -> None:
    passed = BuildContext(name=context, dockerfile=dockerfile, location=NOWHERE)
    made = settled(image(value, path="app/Dockerfile", kind="dockerfile"), contexts=(passed,))
    assert (made.skip is SkipReason.OVERRIDDEN) is masked
    assert (f"x:1 passes a build context named {context}" in made.note) is masked


def test_contexts_mask_nothing_but_images_of_dockerfiles() -> None:
    passed = BuildContext(name="node", dockerfile=None, location=NOWHERE)
    assert settled(image("node", kind="compose"), contexts=(passed,)).skip is None
    for where in ("# syntax", "// syntax", "JSON syntax"):
        syntax = replace(image("node", kind="dockerfile")[0], where=where)
        assert settled((syntax, {}), contexts=(passed,)).skip is None


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ('image: x:1 # {"$imagepolicy": "flux-system:app"}', "flux-system:app"),
        ('image: x:1 # {"$imagepolicy": "flux-system:app:tag"}', "flux-system:app"),
        ('image: x:1\t#{"$imagepolicy":"flux-system:app:name"}', "flux-system:app"),
        ('  # {"$imagepolicy": "a:b"}\nimage: x:1', "a:b"),
        ('# {"$imagepolicy": "a:b"}\r\nimage: x:1 # {"$imagepolicy": "c:d"}', "c:d"),
        ('image: y # {"$imagepolicy": "a:b"}\nimage: x:1', None),
        ('image: x:1\n# {"$imagepolicy": "a:b"}', None),
        ('# {"$imagepolicy": "a:b"}\n\nimage: x:1', None),
        ('image: x:1 # {"$imagepolicy": 1}', None),
        ('image: x:1 # the "$imagepolicy" mark', None),
    ],
)
def test_flux_image_policies(text: str, policy: str | None) -> None:
    made = settled(image("x:1", data=text.encode()))
    assert (made.skip is SkipReason.MUST_STAY_TAG) is (policy is not None)
    assert made.note == (f"Flux writes this tag, by its image policy {policy}" if policy else "")


# --- folders ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text", "out"),
    [
        ("Dockerfile", "", False),
        ("vendor/a/Dockerfile", "", True),
        ("a/node_modules/b/Dockerfile", "", True),
        ("a/testdata/compose.yml", "", True),
        ("test/fixtures/x/compose.yml", "", True),
        ("build/Dockerfile", "", False),
        ("vendor", "", False),
        ("vendors/Dockerfile", "", False),
        ("vendor/a/Dockerfile", "paths: {include: [vendor/a/**]}", False),
        ("vendor/b/Dockerfile", "paths: {include: [vendor/a/**]}", True),
        ("legacy/Dockerfile", "paths: {exclude: [legacy/]}", True),
        ("vendor/a/b/Dockerfile", "paths: {include: [vendor/**], exclude: [vendor/a/b/**]}", True),
    ],
)
def test_folders_left_out(path: str, text: str, out: bool) -> None:
    reason = selection.left_out(path, config(text))
    assert (reason is not None) is out


@pytest.mark.parametrize(
    ("path", "text", "note"),
    [
        ("vendor/a/base.yml", "", "its file is below a `vendor` folder, which is left out unless `paths.inc"),
        ("legacy/ci.yml", "paths: {exclude: [legacy/]}", "its file is left out by `paths.exclude`"),
        ("vendor/a/base.yml", "paths: {include: [vendor/**]}", ""),
        ("base.yml", "", ""),
    ],
)
def test_files_left_out_that_others_lead_to_are_left_alone(path: str, text: str, note: str) -> None:
    made = settled(image("node:20", path=path), text)
    assert made.skip is (SkipReason.IGNORED if note else None)
    assert made.note.startswith(note)


def test_whose_folders_count() -> None:
    upper = parse("owner.yml", b"paths: {include: [deploy/**], exclude: [old/]}", policy=True)
    loose = parse("owner.yml", b"{paths: {include: [deploy/**]}, delegate: [paths]}", policy=True)
    own = config("paths: {exclude: [deploy/], include: [old/]}")
    assert selection.left_out("deploy/Dockerfile", merge(Config(), upper, own)) is None
    assert selection.left_out("deploy/Dockerfile", merge(Config(), loose, own)) is not None
    assert selection.left_out("old/Dockerfile", merge(Config(), upper, own)) is None
    assert selection.left_out("old/Dockerfile", merge(Config(), upper, config(""))) is not None


# --- goldens ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", goldens.cases("selection"), ids=goldens.name)
def test_golden(case: Path) -> None:
    files = goldens.read_tree(case / "repo")
    settings_ = load(files)
    out = {path: selection.left_out(path, settings_) for path in files}
    files = {path: data for path, data in files.items() if out[path] is None}
    found = [findings for _, _, findings in finders.find(files)]
    chosen = selection.select(
        [one for findings in found for one in findings.references],
        config=settings_,
        built=[one for findings in found for one in findings.built],
        arguments=[one for findings in found for one in findings.arguments],
        contexts=[one for findings in found for one in findings.contexts],
        files=files,
        host="github.com",
        owner="acme",
        now=NOW,
    )
    made = {
        "left_out": {path: reason for path, reason in out.items() if reason is not None},
        "references": [
            {
                "place": f"{one.location.path}:{one.location.line}",
                "value": one.value,
                "skip": one.skip.value if one.skip else None,
                "note": one.note,
            }
            for one in chosen
        ],
    }
    goldens.compare_json(case / "expected.json", made)


@pytest.mark.parametrize(
    ("folder", "include", "entered"),
    [
        ("vendor/", (), False),
        ("a/node_modules/", (), False),
        ("src/", (), True),
        ("vendor/", ("vendor/ours/**",), True),
        ("vendor/ours/", ("vendor/ours/**",), True),
        ("vendor/theirs/", ("vendor/ours/**",), False),
        ("a/vendor/", ("**/Dockerfile",), True),
        ("vendor/", ("docs/**",), False),
    ],
)
def test_folders_are_entered_only_where_something_below_could_be_looked_at(
    folder: str, include: tuple[str, ...], entered: bool
) -> None:
    config = Config(places=(Places(include=include),))
    assert (selection.left_out(folder, config) is None) is entered


@pytest.mark.parametrize("pattern", ["legacy/**", "legacy/"])
def test_an_excluded_folder_is_not_entered(pattern: str) -> None:
    config = Config(places=(Places(exclude=(pattern,)),))
    assert selection.left_out("legacy/", config) is not None
    assert selection.left_out("legacy/a/", config) is not None
    assert selection.left_out("lega/", config) is None
