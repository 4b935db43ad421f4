"""What is left as it is stays so, even where the same reference is pinned elsewhere."""

from __future__ import annotations

from pathlib import Path

import goldens
import pytest
from answering import AnyImages, AnyRefs
from reports import NOW

from bot import pipeline
from bot.config import Config
from bot.forges.directory import Directory
from bot.model import Job, Report, Span, Trigger
from bot.trust.base import Sources

JOB = Job(forge="directory", repository="", ref="", trigger=Trigger.COMMAND_LINE)


def inspect(folder: Path) -> Report:
    directory = Directory(folder)
    services = pipeline.Services(
        reading=lambda _job: directory,
        server=Config(),
        host="github.com",
        owner="acme",
        hosts={"": "gitlab.com", "$CI_REGISTRY": "registry.gitlab.com"},
        sources=Sources(images=AnyImages(), refs=AnyRefs()),
    )
    return pipeline.inspect(JOB, services, NOW)


def edited(report: Report) -> set[tuple[str, Span]]:
    """Return the places of values that are edited; version comments are left out."""
    confirmed = pipeline.confirm(report)
    assert confirmed.unread == ()
    return {
        (edit.path, edit.span)
        for edit in confirmed.edits
        if edit.expected and not edit.expected.startswith(b"#")
    }


def free(report: Report) -> set[tuple[str, Span]]:
    """Return the places that nothing speaks against editing."""
    places = (one.finding.location for one in report.verdicts if one.finding.skip is None)
    return {(one.path, one.span) for one in places}


CASES = {
    "an inline mark": {
        "Dockerfile": "FROM node:20\n",
        "sub/Dockerfile": "# moorline: ignore[legacy]\nFROM node:20\n",
    },
    "an action's mark": {
        ".github/workflows/a.yml": "on: push\njobs:\n  a:\n    steps:\n      - uses: a/b@v1\n"
        "      - uses: a/b@v1 # moorline: ignore[keep]\n",
    },
    "a rule of the configuration": {
        "Dockerfile": "FROM node:20\n",
        "sub/Dockerfile": "FROM node:20\n",
        ".moorline.yml": "ignore: [{paths: [sub/**], because: legacy}]\n",
    },
    "a shared variable": {
        "compose.yml": "services:\n  a: {image: '${IMG:-nginx:1}'}\n"
        "  b:\n    image: ${IMG2:-nginx:1}\n    environment: ['X=${IMG2}']\n",
    },
    "an argument that compose passes": {
        "api/Dockerfile": "ARG BASE=node:20\nFROM $BASE\n",
        "web/Dockerfile": "FROM node:20\n",
        "compose.yml": "services:\n  api:\n    build: {context: api, args: {BASE: 'node:22'}}\n",
    },
    "a Flux policy": {
        "a/compose.yml": 'services:\n  a:\n    image: node:20 # {"$imagepolicy": "flux-system:node"}\n',
        "b/compose.yml": "services:\n  a:\n    image: node:20\n",
    },
    "an image that is never pulled": {
        "a/compose.yml": "services:\n  a: {image: acme/app:1, pull_policy: never}\n",
        "b/Dockerfile": "FROM acme/app:1\n",
    },
    "a part of a variable": {
        ".gitlab-ci.yml": 'variables: {V: "20"}\na: {image: "node:$V", script: x}\nb: {image: node:20, script: x}\n',
    },
}


@pytest.mark.parametrize("files", CASES.values(), ids=CASES.keys())
def test_only_what_has_no_skip_is_edited(files: dict[str, str], tmp_path: Path) -> None:
    for path, text in files.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    report = inspect(tmp_path)
    assert edited(report) == free(report)
    left = [one for one in report.verdicts if one.finding.skip is not None]
    assert left
    assert all(one.candidate is None and one.unresolved is None for one in left)


@pytest.mark.parametrize("case", goldens.cases("repositories"), ids=lambda case: case.name)
def test_whole_repositories(case: Path) -> None:
    report = inspect(case / "repo")
    assert edited(report) == free(report)
