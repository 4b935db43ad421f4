"""What Renovate and Dependabot refresh already, by their configuration files."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.config import FORMATS
from bot.finders import FINDERS
from bot.model import Finding, Kind, Span
from bot.peer_forms import parses
from bot.peers import MAX_BYTES, PEER_PATHS, refreshed, refreshes
from bot.source import Source

ALL = {
    ("dockerfile", Kind.IMAGE),
    ("compose", Kind.IMAGE),
    ("gitlab-ci", Kind.IMAGE),
    ("github-actions", Kind.IMAGE),
    ("github-actions", Kind.ACTION),
}
IMAGES = {one for one in ALL if one[1] is Kind.IMAGE}
PLACES = {
    "dockerfile": "Dockerfile",
    "compose": "compose.yaml",
    "gitlab-ci": ".gitlab-ci.yml",
    "github-actions": ".github/workflows/ci.yml",
    "bake": "docker-bake.hcl",
}


DIGEST = "sha256:" + "0" * 64
WRITTEN = {
    ("dockerfile", Kind.IMAGE): f"FROM node:22@{DIGEST}\n",
    ("compose", Kind.IMAGE): f"services:\n  web:\n    image: node:22@{DIGEST}\n",
    ("gitlab-ci", Kind.IMAGE): f"job:\n  script: [make]\n  image: node:22@{DIGEST}\n",
    (
        "github-actions",
        Kind.IMAGE,
    ): f"on: push\njobs:\n  a:\n    container: node:22@{DIGEST}\n    steps: []\n",
    ("github-actions", Kind.ACTION): (
        f"on: push\njobs:\n  a:\n    steps:\n      - uses: actions/checkout@{'0' * 40} # v4.2.1\n"
    ),
    ("bake", Kind.IMAGE): f'target "a" {{\n  contexts = {{ base = "docker-image://node:22@{DIGEST}" }}\n}}\n',
}
"""By format and kind, a reference where everybody parses it who parses any."""


def found_in(format_: str, text: str, path: str = "") -> list[Finding]:
    """Return what a finder finds in a file."""
    path = path or PLACES[format_]
    source = Source(path, text.encode())
    return list(FINDERS[format_].find(source, {path: source.data}).references)


def who(files: dict[str, bytes], format_: str, path: str, kind: Kind = Kind.IMAGE) -> str:
    text = WRITTEN.get((format_, kind))
    if text is None:
        return ""
    [there] = found_in(format_, text)
    there = replace(there, location=replace(there.location, path=path))
    found = refreshes(refreshed(files), there, text.encode())
    return found.peer if found else ""


def seen_by(format_: str, text: str, path: str = "") -> dict[str, set[str]]:
    """Return who refreshes each reference of a file where both do what they can, by its line and value."""
    entries = ("docker", "docker-compose", "github-actions")
    both = {
        "Renovate": {"renovate.json": b"{}"},
        "Dependabot": dependabot(*(f"package-ecosystem: {one}, directory: /" for one in entries)),
    }
    return {
        f"{one.location.line} {one.value.partition('@')[0]}": {
            name for name, files in both.items() if refreshes(refreshed(files), one, text.encode())
        }
        for one in found_in(format_, text, path)
    }


def renovate(said: Any, path: str = "renovate.json") -> set[tuple[str, Kind]]:
    text = said if isinstance(said, str) else json.dumps(said)
    files = {path: text.encode()}
    return {
        (format_, kind)
        for format_, place in PLACES.items()
        for kind in Kind
        if who(files, format_, place, kind) == "Renovate"
    }


def dependabot(*entries: str) -> dict[str, bytes]:
    text = "version: 2\nupdates:\n" + "".join(f"- {{{entry}}}\n" for entry in entries)
    return {".github/dependabot.yml": text.encode()}


def test_formats_are_ours() -> None:
    assert set(PLACES) == set(FORMATS)
    assert {one.format for one in refreshed({"renovate.json": b"{}"})} <= set(FORMATS)


def test_nobody_is_there() -> None:
    assert refreshed({}) == ()
    assert refreshed({"README.md": b"{}"}) == ()


# --- Renovate -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", [path for path in PEER_PATHS if "renovate" in path])
def test_renovate_refreshes_what_it_knows(path: str) -> None:
    assert renovate({"extends": ["config:recommended"]}, path) == ALL
    [first, *_] = refreshed({path: b"{}"})
    assert first.path == path


def test_renovate_s_file_may_be_json5_under_any_name() -> None:
    said = "// ours\n{\n  extends: ['config:recommended',],\n  \"enabledManagers\": [/* one */ 'dockerfile',],\n}\n"
    for path in ("renovate.json", "renovate.json5", ".renovaterc"):
        assert renovate(said, path) == {("dockerfile", Kind.IMAGE)}


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ({}, ALL),
        ({"enabled": True}, ALL),
        ({"enabled": False}, set()),
        ({"enabled": None}, ALL),
        ({"mode": "silent"}, set()),
        ({"extends": [":disableRenovate"]}, set()),
        ({"extends": ["config:recommended", ":disableDigestUpdates"]}, set()),
        ({"extends": ["default:disableDigestUpdates"]}, set()),
        ({"extends": ["docker:disable"]}, ALL - IMAGES),
        ({"extends": "docker:disable"}, ALL - IMAGES),
        ({"docker": {"enabled": False}}, ALL - IMAGES),
        ({"digest": {"enabled": False}}, set()),
        ({"pinDigests": False}, ALL),  # what is pinned is refreshed all the same
        ({"enabledManagers": ["docker-compose", "npm"]}, {("compose", Kind.IMAGE)}),
        ({"enabledManagers": ["npm"]}, set()),
        ({"enabledManagers": []}, set()),
        ({"gitlabci": {"enabled": False}}, ALL - {("gitlab-ci", Kind.IMAGE)}),
        ({"gitlabci": {"digest": {"enabled": False}}}, ALL - {("gitlab-ci", Kind.IMAGE)}),
        (
            {"packageRules": [{"matchManagers": ["dockerfile"], "enabled": False}]},
            ALL - {("dockerfile", Kind.IMAGE)},
        ),
        ({"packageRules": [{"matchDatasources": ["docker"], "enabled": False}]}, ALL - IMAGES),
        ({"packageRules": [{"matchUpdateTypes": ["digest"], "enabled": False}]}, set()),
        ({"packageRules": [{"matchUpdateTypes": ["major"], "enabled": False}]}, ALL),
        ({"packageRules": [{"matchDatasources": ["docker"], "digest": {"enabled": False}}]}, ALL - IMAGES),
        (
            {
                "packageRules": [
                    {"matchManagers": ["dockerfile"], "matchPackageNames": ["node"], "enabled": False}
                ]
            },
            ALL,
        ),
        ({"packageRules": [{"matchPackageNames": ["*"], "enabled": False}]}, set()),
        ({"packageRules": [{"matchManagers": ["dockerfile"], "groupName": "x"}]}, ALL),
        ({"packageRules": ["x", 3, None, {}]}, ALL),
        ({"packageRules": "x", "extends": 3, "digest": [], "dockerfile": "x"}, ALL),
        ([], set()),
        ("x", set()),
        ("", set()),
        ("{", set()),
        ("\ufeff{}", ALL),
    ],
)
def test_what_renovate_is_told_counts(said: Any, left: set[tuple[str, Kind]]) -> None:
    assert renovate(said) == left


def test_renovate_s_first_file_is_the_one() -> None:
    files = {
        "renovate.json": b'{"enabled": false}',
        ".github/renovate.json": b"{}",
        "package.json": b'{"renovate": {}}',
    }
    assert refreshed(files) == ()
    assert who({"package.json": b'{"renovate": {}}'}, "compose", "compose.yaml") == "Renovate"
    assert refreshed({"package.json": b'{"name": "x"}'}) == ()
    assert refreshed({"package.json": b'{"renovate": true}'}) == ()


def test_renovate_s_paths_count() -> None:
    files = {
        "renovate.json": b'{"ignorePaths": ["old/**", "{a,b}/**"], "includePaths": ["web/**", "old/**"]}'
    }
    assert who(files, "dockerfile", "web/Dockerfile") == "Renovate"
    assert who(files, "dockerfile", "old/Dockerfile") == ""
    assert who(files, "dockerfile", "Dockerfile") == ""
    assert refreshed({"renovate.json": b'{"includePaths": ["{a,b}/**"]}'}) == ()  # not understood


# --- Dependabot ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "format_", "path", "covered"),
    [
        ("package-ecosystem: docker, directory: /", "dockerfile", "Dockerfile", True),
        ('package-ecosystem: "docker", directory: "/"', "dockerfile", "Dockerfile", True),
        ("package-ecosystem: docker, directory: /", "dockerfile", "web/Dockerfile", False),
        ("package-ecosystem: docker, directory: /web/", "dockerfile", "web/Dockerfile", True),
        ("package-ecosystem: docker, directory: web", "dockerfile", "web/Dockerfile", True),
        ("package-ecosystem: docker, directory: ./web", "dockerfile", "web/Dockerfile", True),
        ("package-ecosystem: docker, directory: /web", "dockerfile", "web/sub/Dockerfile", False),
        ("package-ecosystem: docker, directories: [/, /apps/*]", "dockerfile", "apps/a/Dockerfile", True),
        ("package-ecosystem: docker, directories: [/, /apps/*]", "dockerfile", "Dockerfile", True),
        ("package-ecosystem: docker, directories: [/apps/*]", "dockerfile", "apps/a/b/Dockerfile", False),
        ("package-ecosystem: docker, directories: ['**/*']", "dockerfile", "apps/a/b/Dockerfile", True),
        ("package-ecosystem: docker, directory: /", "compose", "compose.yaml", False),
        ("package-ecosystem: docker-compose, directory: /", "compose", "compose.yaml", True),
        ("package-ecosystem: npm, directory: /", "dockerfile", "Dockerfile", False),
        ("package-ecosystem: docker", "dockerfile", "Dockerfile", False),
        (
            "package-ecosystem: docker, directory: /, open-pull-requests-limit: 0",
            "dockerfile",
            "Dockerfile",
            False,
        ),
        (
            "package-ecosystem: docker, directory: /, open-pull-requests-limit: 5",
            "dockerfile",
            "Dockerfile",
            True,
        ),
        (
            "package-ecosystem: docker, directory: /, ignore: [{dependency-name: '*'}]",
            "dockerfile",
            "Dockerfile",
            False,
        ),
        (
            "package-ecosystem: docker, directory: /, ignore: [{dependency-name: '*', update-types: [x]}]",
            "dockerfile",
            "Dockerfile",
            True,
        ),
        (
            "package-ecosystem: docker, directory: /, ignore: [{dependency-name: node}]",
            "dockerfile",
            "Dockerfile",
            True,
        ),
        (
            "package-ecosystem: docker, directories: ['**/*'], exclude-paths: [old/**]",
            "dockerfile",
            "old/Dockerfile",
            False,
        ),
        ("package-ecosystem: [docker], directory: {a: b}", "dockerfile", "Dockerfile", False),
    ],
)
def test_dependabot_s_entries(entry: str, format_: str, path: str, covered: bool) -> None:
    assert (who(dependabot(entry), format_, path) == "Dependabot") is covered


def test_dependabot_follows_actions_and_no_images_of_workflows() -> None:
    files = dependabot("package-ecosystem: github-actions, directory: /")
    for path in (".github/workflows/ci.yml", "action.yml"):
        assert who(files, "github-actions", path, Kind.ACTION) == "Dependabot"
        assert who(files, "github-actions", path, Kind.IMAGE) == ""
    assert who(files, "github-actions", "tool/action.yml", Kind.ACTION) == ""
    files = dependabot("package-ecosystem: github-actions, directories: [/tool]")
    assert who(files, "github-actions", "tool/action.yml", Kind.ACTION) == "Dependabot"
    assert who(files, "github-actions", ".github/workflows/ci.yml", Kind.ACTION) == ""


@pytest.mark.parametrize(
    ("files", "branch", "default", "covered"),
    [
        (dependabot("package-ecosystem: docker, directory: /"), "main", True, True),
        (dependabot("package-ecosystem: docker, directory: /"), "", True, True),
        (dependabot("package-ecosystem: docker, directory: /"), "release/1", False, False),
        (dependabot("package-ecosystem: docker, directory: /, target-branch: next"), "main", True, False),
        (dependabot("package-ecosystem: docker, directory: /, target-branch: next"), "next", False, True),
        (dependabot("package-ecosystem: docker, directory: /, target-branch: main"), "main", True, True),
        ({"renovate.json": b"{}"}, "main", True, True),
        ({"renovate.json": b"{}"}, "release/1", False, False),
        ({"renovate.json": b'{"baseBranches": ["next"]}'}, "main", True, False),
        ({"renovate.json": b'{"baseBranches": ["next"]}'}, "next", False, True),
        ({"renovate.json": b'{"baseBranchPatterns": ["$default", "next"]}'}, "main", True, True),
        ({"renovate.json": b'{"baseBranchPatterns": ["/^release/"]}'}, "release/1", False, False),
    ],
)
def test_branches_count(files: dict[str, bytes], branch: str, default: bool, covered: bool) -> None:
    text = WRITTEN["dockerfile", Kind.IMAGE]
    [there] = found_in("dockerfile", text)
    found = refreshes(refreshed(files), there, text.encode(), branch, default=default)
    assert (found is not None) is covered


def test_dependabot_s_file_has_two_names_and_one_version() -> None:
    text = dependabot("package-ecosystem: docker, directory: /")[".github/dependabot.yml"]
    assert who({".github/dependabot.yaml": text}, "dockerfile", "Dockerfile") == "Dependabot"
    assert refreshed({".github/dependabot.yml": text.replace(b"2", b"1", 1)}) == ()
    assert refreshed({".github/dependabot.yml": b"a: ["}) == ()
    assert refreshed({".github/dependabot.yml": b"- x"}) == ()
    assert refreshed({".github/dependabot.yml": b""}) == ()


def test_both_may_be_there() -> None:
    files = {"renovate.json": b'{"enabledManagers": ["gitlabci"]}'} | dependabot(
        "package-ecosystem: docker, directory: /"
    )
    assert who(files, "gitlab-ci", ".gitlab-ci.yml") == "Renovate"
    assert who(files, "dockerfile", "Dockerfile") == "Dependabot"


# --- hostile files ------------------------------------------------------------------------


@settings(deadline=None)
@given(st.sampled_from(PEER_PATHS), st.binary(max_size=300))
def test_any_bytes_are_read_or_passed_over(path: str, data: bytes) -> None:
    for one in refreshed({path: data}):
        one.covers("a/b")


_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=6), st.sampled_from(["docker", "/", "*"])
)
_KEYS = st.sampled_from(
    [
        *(
            "version",
            "updates",
            "package-ecosystem",
            "directory",
            "directories",
            "ignore",
            "extends",
            "renovate",
        ),
        *(
            "packageRules",
            "matchManagers",
            "enabled",
            "dockerfile",
            "digest",
            "includePaths",
            "enabledManagers",
        ),
    ]
)
_TREES = st.recursive(
    _LEAVES, lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(_KEYS, below, max_size=4))
)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(PEER_PATHS), st.dictionaries(_KEYS, _TREES, max_size=5))
def test_any_tree_is_read_or_passed_over(path: str, tree: dict[str, Any]) -> None:
    for one in refreshed({path: json.dumps({"version": 2} | tree).encode()}):
        one.covers("a/b")


BOTH, RENOVATE, DEPENDABOT, NOBODY = {"Renovate", "Dependabot"}, {"Renovate"}, {"Dependabot"}, set[str]()


@pytest.mark.parametrize(
    ("line", "by"),
    [
        ("FROM node:22{}", BOTH),
        ("from --platform=$BUILDPLATFORM node:22{} AS build", BOTH),
        ("FROM registry.example/node:22{}", BOTH),
        ("FROM team/node:22{}", BOTH),
        ("FROM registry:5000/node:22{}", RENOVATE),
        ("FROM localhost/node:22{}", RENOVATE),
        ('FROM "node:22{}"', NOBODY),
        ("FROM \\\n node:22{}", NOBODY),
        ("FROM a\nCOPY --from=node:22{} /a /b", RENOVATE),
        ("FROM a\nCOPY --link --chown=a:b --from=node:22{} /a /b", RENOVATE),
        ("FROM a\nCOPY --chown=$USER --from=node:22{} /a /b", NOBODY),
        ("FROM a\nCOPY --chmod=u+x --from=node:22{} /a /b", NOBODY),
        ("FROM a\nADD --from=node:22{} /a /b", NOBODY),
        ("FROM a\nRUN --mount=type=bind,from=node:22{},target=/n true", RENOVATE),
        ("FROM a\nRUN --mount=type=cache,target=/c --mount=from=node:22{},target=/n true", NOBODY),
        ("FROM a\nONBUILD COPY --from=node:22{} /a /b", NOBODY),
        ("ONBUILD FROM node:22{}", NOBODY),
        ("ARG BASE=node:22{}\nFROM $BASE", RENOVATE),
        ("ARG OTHER=1 BASE=node:22{}\nFROM $BASE", NOBODY),
        ("# syntax=node:22{}\nFROM a", RENOVATE),
        ("# escape=`\n# syntax=node:22{}\nFROM a", NOBODY),
    ],
)
def test_a_form_of_a_dockerfile_that_a_peer_does_not_parse_is_not_refreshed_by_it(
    line: str, by: set[str]
) -> None:
    seen = seen_by("dockerfile", line.format(f"@{DIGEST}") + "\n")
    assert [who for place, who in seen.items() if "node" in place] == [by]


@pytest.mark.parametrize(
    ("service", "by"),
    [
        ("image: node:22{}", BOTH),
        ('{{image: "node:22{}"}}', BOTH),
        ("image: ${{IMAGE:-node:22{}}}", BOTH),
        ("image: registry.example/${{DIR:-node:22{}}}", NOBODY),
        ("image: registry:5000/node:22{}", RENOVATE),
        ("build: {{context: ., args: {{BASE: 'node:22{}'}}}}", NOBODY),
        ("build:\n      dockerfile_inline: |\n        FROM node:22{}\n", DEPENDABOT),
        ("build:\n      dockerfile_inline: |\n        FROM a\n        FROM node:22{}\n", NOBODY),
    ],
)
def test_a_form_of_compose_that_a_peer_does_not_parse_is_not_refreshed_by_it(
    service: str, by: set[str]
) -> None:
    text = f"services:\n  web:\n    {service}\n" if service[0] != "{" else f"services:\n  web: {service}\n"
    seen = seen_by("compose", text.format(f"@{DIGEST}"))
    assert [who for place, who in seen.items() if "node" in place] in ([by], [] if by == NOBODY else [by])


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ("image: node:22{}\n", RENOVATE),
        ("default:\n  image:\n    name: node:22{}\n", RENOVATE),
        ("job:\n  script: [make]\n  services: ['node:22{}']\n", RENOVATE),
        ("job:\n  script: [make]\n  services: [{{name: 'node:22{}'}}]\n", RENOVATE),
        ("variables:\n  BASE: node:22{}\njob:\n  script: [make]\n  image: $BASE\n", NOBODY),
        (
            "spec: {{inputs: {{base: {{default: 'node:22{}'}}}}}}\n---\na: {{image: '$[[ inputs.base ]]'}}\n",
            NOBODY,
        ),
    ],
)
def test_a_form_of_gitlab_ci_that_a_peer_does_not_parse_is_not_refreshed_by_it(
    text: str, by: set[str]
) -> None:
    seen = seen_by("gitlab-ci", text.format(f"@{DIGEST}"))
    assert [who for place, who in seen.items() if "node" in place] == [by]


@pytest.mark.parametrize(
    ("job", "by"),
    [
        (f"steps:\n      - uses: actions/node@{'0' * 40} # v4.2.1", BOTH),
        (f"steps:\n      - uses: actions/node@{'0' * 40}", DEPENDABOT),
        (f"uses: acme/node/.github/workflows/a.yml@{'0' * 40} # v1.0.0", BOTH),
        (f"steps:\n      - uses: docker://node:22@{DIGEST}", RENOVATE),
        (f"container: {{image: 'node:22@{DIGEST}'}}", RENOVATE),
        (f"services: {{db: {{image: 'node:22@{DIGEST}'}}}}", RENOVATE),
        (
            f"strategy: {{matrix: {{image: ['node:22@{DIGEST}']}}}}\n    container: ${{{{ matrix.image }}}}",
            NOBODY,
        ),
    ],
)
def test_a_form_of_workflows_that_a_peer_does_not_parse_is_not_refreshed_by_it(
    job: str, by: set[str]
) -> None:
    seen = seen_by("github-actions", f"on: push\njobs:\n  a:\n    {job}\n")
    assert list(seen.values()) == [by]


@given(
    st.binary(max_size=200),
    st.integers(-5, 300),
    st.sampled_from(["FROM", "a.image", "x.dockerfile_inline FROM"]),
)
def test_forms_are_told_of_any_bytes(data: bytes, start: int, where: str) -> None:
    [there] = found_in("dockerfile", "FROM node:22\n")
    place = replace(there.location, span=Span(start, start + 1), path="a.yml")
    for format_ in PLACES:
        for peer in BOTH:
            parses(peer, replace(there, format=format_, where=where, location=place), data)


def test_large_files_take_little_time() -> None:
    start = time.process_time()
    entry = b"- {package-ecosystem: docker, directories: [" + b"'*/*/*', " * 1000 + b"]}\n"
    found = refreshed({".github/dependabot.yml": b"version: 2\nupdates:\n" + entry * 20})
    [there] = found_in("dockerfile", "FROM node:22\n", "a/" * 500 + "Dockerfile")
    assert refreshes(found, there, b"FROM node:22\n") is None
    rules = [{"matchManagers": ["x"] * 100, "enabled": False}] * 300
    assert renovate({"packageRules": rules}) == ALL
    assert refreshed({"renovate.json": b"{}" + b" " * MAX_BYTES}) == ()
    assert time.process_time() - start < 2
