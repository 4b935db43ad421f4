"""Which files are read for the sake of others, and by whom they are asked for more."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot import finders, pipeline
from bot.config import Config
from bot.finders import compose, dockerfile
from bot.forges.directory import Directory
from bot.model import Job, Trigger
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
