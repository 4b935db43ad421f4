"""A number behind a hash in the middle of a comment is an issue's, not a version."""

from __future__ import annotations

import pytest

from bot.finders import github_actions
from bot.source import Source


@pytest.mark.parametrize(
    "comment", ["# see #12", "# v4, see #12", "# v4; fixes #4.1", "# #12", "# check out (#12)", "#12 is why"]
)
def test_issue_numbers_are_no_versions(comment: str) -> None:
    text = f"on: push\njobs:\n  a:\n    steps:\n      - uses: actions/checkout@v4 {comment}\n"
    source = Source(".github/workflows/a.yml", text.encode())
    [found] = github_actions.find(source, {source.path: source.data}).references
    assert found.comment is not None
    assert found.comment.text == ""  # ours goes before it, and it stays


@pytest.mark.parametrize(
    ("comment", "version"),
    [("# v4", "v4"), ("#v4", "v4"), ("# v4.2.1 # why", "v4.2.1"), ("# why # v4", "v4")],
)
def test_versions_are(comment: str, version: str) -> None:
    text = f"on: push\njobs:\n  a:\n    steps:\n      - uses: actions/checkout@v4 {comment}\n"
    source = Source(".github/workflows/a.yml", text.encode())
    [found] = github_actions.find(source, {source.path: source.data}).references
    assert found.comment is not None
    assert found.comment.version == version
