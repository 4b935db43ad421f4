"""What all finders have in common: who is asked, and what a defect in one costs."""

from __future__ import annotations

import goldens
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import finders
from bot.model import UnreadReason

MORE = finders.MAX_REFERENCES + 1

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
        "sample",
        "local",
        "docker",
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


@pytest.mark.parametrize(
    ("path", "lead", "each"),
    [
        ("Dockerfile", "", "FROM a:1\n"),
        ("compose.yml", "services:\n", "  s{}: {{image: 'a:1'}}\n"),
        (".gitlab-ci.yml", "", "j{}: {{image: 'a:1', script: x}}\n"),
        (".github/workflows/x.yml", "jobs:\n  a:\n    steps:\n", "    - uses: a/b@v1\n"),
        ("docker-bake.hcl", 'target "a" {\n contexts = {\n', '  a{} = "docker-image://a:1"\n'),
    ],
)
def test_references_of_one_file_have_a_bound(path: str, lead: str, each: str) -> None:
    lines = [each.format(number) for number in range(MORE)]
    tail = "}}\n" if path.endswith(".hcl") else ""
    [(_, _, found)] = finders.find({path: (lead + "".join(lines) + tail).encode()})
    assert len(found.references) == finders.MAX_REFERENCES
    assert found.references[0].location.line <= found.references[-1].location.line
    assert [one.reason for one in found.unread] == [UnreadReason.UNPARSABLE]
    assert "read in part" in found.unread[0].detail
    assert found.unread[0].path == path
    [(_, _, found)] = finders.find({path: (lead + "".join(lines[1:]) + tail).encode()})
    assert (len(found.references), found.unread) == (finders.MAX_REFERENCES, ())
