"""Which files are read for the sake of others, and by whom they are asked for more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot import candidates, finders, pipeline
from bot.config import Config
from bot.finders import compose, dockerfile
from bot.forges.directory import Directory
from bot.model import ImageReference, Job, Outcome, Resolution, Trigger, Verdict
from bot.source import Source

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
JOB = Job(forge="directory", repository="", ref="", trigger=Trigger.COMMAND_LINE)
EXTENDS = "services: {{a: {{extends: {{file: {}, service: a}}}}}}\n"


def values(folder: Path, files: dict[str, str]) -> dict[str, str]:
    """Return each value that is found in files, with its path."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    ground = pipeline.Ground(reading=lambda _job: Directory(folder), server=Config())
    return {one.value: one.location.path for one in pipeline.look(JOB, ground, NOW).selected}


def test_bases_of_bases_are_read(tmp_path: Path) -> None:
    found = values(
        tmp_path,
        {
            "app/compose.yml": EXTENDS.format("../base/one.yml"),
            "base/one.yml": EXTENDS.format("two/two.yml"),
            "base/two/two.yml": "services: {a: {image: '${IMAGE:-redis:8}'}}\n",
            "other.yml": "services: {a: {image: busybox}}\n",
        },
    )
    assert found == {"redis:8": "base/two/two.yml"}


def test_includes_of_includes_are_read(tmp_path: Path) -> None:
    found = values(
        tmp_path,
        {
            ".gitlab-ci.yml": "include: {local: /ci/one.yml}\n",
            "ci/one.yml": "include: /ci/two.yml\n",
            "ci/two.yml": "include: /ci/three.yml\n",
            "ci/three.yml": "job: {image: 'alpine:3', script: x}\n",
        },
    )
    assert found == {"alpine:3": "ci/three.yml"}


def test_a_file_is_asked_by_who_wanted_it_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def needs(name: str, wanted: dict[str, tuple[str, ...]]) -> None:
        def record(source: Source) -> tuple[str, ...]:
            asked.append((name, source.path))
            return wanted.get(source.path, ())

        monkeypatch.setattr(finders.FINDERS[name], "needs", record)

    for name in finders.FINDERS:
        needs(name, {})
    needs("compose", {"compose.yml": ("base.yml", "Dockerfile"), "base.yml": ("compose.yml", "more.yml")})
    files = {"compose.yml": b"x", "base.yml": b"x", "Dockerfile": b"FROM x\n"}
    assert finders.needs(files) == {"more.yml"}
    assert sorted(asked) == [
        ("compose", "Dockerfile"),
        ("compose", "base.yml"),
        ("compose", "compose.yml"),
        ("dockerfile", "Dockerfile"),
    ]


def test_a_loop_of_bases_ends() -> None:
    files = {
        "compose.yml": EXTENDS.format("a.yml").encode(),
        "a.yml": EXTENDS.format("b.yml").encode(),
        "b.yml": EXTENDS.format("a.yml").encode(),
    }
    assert finders.needs(files) == {".env"}
    assert not dockerfile.claims("a.yml", b"")
    assert not compose.claims("a.yml", b"")


POINTED = {
    "compose.yml": "services: {a: {build: {context: '${WHERE}', dockerfile: a.build}}}\n",
    ".env": "WHERE=deep/er\n",
    "deep/er/a.build": "FROM node:20\nFROM alpine:3\n",
    ".github/workflows/x.yml": "jobs: {a: {steps: [{uses: docker/build-push-action@v6, with: {file: b.build}}]}}\n",
    "b.build": "FROM redis:8\n",
    "act/action.yml": "runs: {using: docker, image: c.build}\n",
    "act/c.build": "FROM busybox:1\n",
    "bake/docker-bake.json": '{"target": {"a": {"dockerfile": "d.build"}}}',
    "d.build": "FROM debian:12\n",
    "vendor/compose.yml": "services: {a: {build: {context: ., dockerfile: e.build}}}\n",
    "vendor/e.build": "FROM nobody:1\n",
    "f.build": "FROM nobody:1\n",
}


def test_dockerfiles_are_read_by_whatever_name_others_build_them(tmp_path: Path) -> None:
    found = values(tmp_path, POINTED)
    assert found == {
        "node:20": "deep/er/a.build",
        "alpine:3": "deep/er/a.build",
        "redis:8": "b.build",
        "docker/build-push-action@v6": ".github/workflows/x.yml",
        "busybox:1": "act/c.build",
        "debian:12": "d.build",
    }


def test_what_is_built_under_another_name_is_edited(tmp_path: Path) -> None:
    values(tmp_path, POINTED)
    ground = pipeline.Ground(reading=lambda _job: Directory(tmp_path), server=Config())
    survey = pipeline.look(JOB, ground, NOW)
    digest = "sha256:" + "0" * 64
    verdicts = tuple(
        Verdict(
            finding=one,
            outcome=Outcome.PASS,
            candidate=candidates.candidate(
                one, Resolution(reference=one.reference, digest=digest, source="x")
            ),
        )
        for one in survey.selected
        if isinstance(one.reference, ImageReference) and one.skip is None
    )
    report = survey.report(verdicts, NOW)
    confirmed = pipeline.confirm(report)
    assert confirmed.unread == ()
    assert confirmed.files(report)["deep/er/a.build"] == (
        f"FROM node:20@{digest}\nFROM alpine:3@{digest}\n".encode()
    )
    assert confirmed.files(report).keys() == {"deep/er/a.build", "b.build", "act/c.build", "d.build"}


@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {build: {context: ., dockerfile: ../x.build}}}\n",
        "services: {a: {build: {context: .., dockerfile: x.build}}}\n",
        "services: {a: {build: {context: ., dockerfile: /x.build}}}\n",
        "services: {a: {build: {context: 'https://example.com/a.git', dockerfile: x.build}}}\n",
        "services: {a: {build: {context: ., dockerfile: '$X.build'}}}\n",
        "services: {a: {build: {context: ., dockerfile: Dockerfile.dev}}}\n",
        "services: {a: {build: {context: ., dockerfile: sub/web.Dockerfile}}}\n",
        "services: {a: {build: .}}\n",
        "services: {a: {build: {dockerfile: compose.yml}}}\n",
    ],
)
def test_no_dockerfile_is_asked_for_outside_or_by_the_usual_name(text: str) -> None:
    assert {one for one in finders.needs({"compose.yml": text.encode()}) if one != ".env"} == set()


def test_a_pointer_makes_no_dockerfile_of_anything_else() -> None:
    text = b"services: {a: {build: {context: ., dockerfile: x.txt}}}\n"
    assert finders.needs({"compose.yml": text}) == {"x.txt"}
    for data, count in ((b"what\nFROM a:1\n", 0), (b"", 0), (b"\0", 0), (b"# x\nfrom a:1\n", 1)):
        found = list(finders.find({"compose.yml": text, "x.txt": data}))
        assert sum(len(findings.references) for path, _, findings in found if path == "x.txt") == count


def test_a_defect_in_what_points_costs_no_other_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> tuple[str, ...]:
        raise ZeroDivisionError

    pointer = replace(finders.POINTERS["compose"], dockerfiles=broken)
    monkeypatch.setattr(finders, "POINTERS", {"compose": pointer})
    files = {"compose.yml": b"services: {a: {build: {dockerfile: x}}}\n", "Dockerfile": b"FROM node:20\n"}
    assert finders.needs(files) == set()
    found = list(finders.find(files))
    assert ["report" in one.detail for _, _, findings in found for one in findings.unread] == [True]
    assert sum(len(findings.references) for _, _, findings in found) == 1


def test_pointers_are_bounded() -> None:
    services = "".join(f"  s{n}: {{build: {{context: ., dockerfile: d/{n}.build}}}}\n" for n in range(5000))
    files = {f"{n}/compose.yml": f"services:\n{services}".encode() for n in range(2)}
    assert len(finders.needs(files)) == finders.MAX_POINTED
    told = [(one.path, one.detail) for _, _, found in finders.find(files) for one in found.unread]
    assert [path for path, detail in told if "unusual names" in detail] == ["0/compose.yml", "1/compose.yml"]
