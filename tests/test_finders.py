"""What all finders have in common: who is asked, and what a defect in one costs."""

from __future__ import annotations

import goldens
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import finders
from bot.model import UnreadReason

WORDS = st.sampled_from(
    [
        "Dockerfile",
        "dockerfile",
        "Containerfile",
        "DOCKERFILE",
        "ContainerFile",
        "\n",
        "api",
        "compose",
        "docker-compose",
        "stack",
        "bake",
        "docker-bake",
        ".gitlab-ci",
        "gitlab-ci",
        ".github",
        "workflows",
        "action",
        "templates",
        "template",
        ".gitlab",
        "ci",
        "prod",
        "override",
        ".",
        "-",
        "_",
        "/",
        "yml",
        "yaml",
        "hcl",
        "json",
        "j2",
        "x",
    ]
)


@given(st.lists(WORDS, max_size=8).map("".join))
def test_the_cheap_answer_never_hides_a_claim(path: str) -> None:
    if any(
        finder.claims(path, head) for finder in finders.FINDERS.values() for head in (b"", b"services:\n")
    ):
        assert finders.could_claim(path)


def test_the_cheap_answer_knows_every_golden_file() -> None:
    for case in goldens.cases():
        for path, data in goldens.read_tree(case / "repo").items():
            if any(finder.claims(path, data[: finders.HEAD]) for finder in finders.FINDERS.values()):
                assert finders.could_claim(path)


def test_a_defect_in_a_finder_costs_its_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(finders.FINDERS["compose"], "find", broken)
    files = {"Dockerfile": b"FROM node:20\n", "compose.yml": b"services: {a: {image: x}}\n"}
    found = {path: findings for path, _, findings in finders.find(files)}
    assert len(found["Dockerfile"].references) == 1
    [unread] = found["compose.yml"].unread
    assert unread.reason is UnreadReason.UNPARSABLE
    assert "report" in unread.detail
