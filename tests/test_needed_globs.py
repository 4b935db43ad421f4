"""Files that other files ask for by glob: found in a folder and at a commit, bounded, and never in silence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from git_server import make_repository, require_git

from bot import pipeline, wiring
from bot.config import Config
from bot.forges.directory import Directory
from bot.model import Job, Trigger, UnreadReason
from bot.pipeline import Reading, needing

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
JOB = Job(forge="directory", repository="", ref="", trigger=Trigger.COMMAND_LINE)
JOB_FILE = b"j%d: {image: 'alpine:%d', script: x}\n"
FILES: Mapping[str, bytes] = {
    ".gitlab-ci.yml": b"include: [ci/*.yml, {local: 'deep/**/*.yml'}]\nx: {trigger: {include: child/*.yml}}\n",
    "ci/a.yml": b"include: more/*.yml\na: {image: 'node:20', script: x}\n",
    "ci/below/b.yml": b"b: {image: 'never:1', script: x}\n",
    "ci/c.txt": b"image: never:2\n",
    "deep/d.yml": b"d: {image: 'debian:12', script: x}\n",
    "deep/er/and/e.yml": b"e: {image: 'erlang:27', script: x}\n",
    "more/f.yml": b"f: {image: 'golang:1.23', script: x}\n",
    "child/g.yml": b"g: {image: 'ghost:5', script: x}\n",
    "child/node_modules/x.yml": b"x: {image: 'never:3', script: x}\n",
}


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def look(reading: Reading) -> pipeline.Survey:
    ground = pipeline.Ground(reading=lambda _job: reading, server=Config())
    return pipeline.look(JOB, ground, NOW)


def at_commit(folder: Path, files: Mapping[str, bytes]) -> pipeline.AtCommit:
    require_git()
    place = folder / "repository.git"
    return pipeline.AtCommit(wiring.git_forge(place), str(place), make_repository(place, files))


@pytest.mark.parametrize("kind", ["folder", "commit"])
def test_what_wildcards_include_is_found(tmp_path: Path, kind: str) -> None:
    reading: Reading
    reading = Directory(write(tmp_path, FILES)) if kind == "folder" else at_commit(tmp_path, FILES)
    survey = look(reading)
    assert {one.value: one.location.path for one in survey.selected} == {
        "node:20": "ci/a.yml",
        "debian:12": "deep/d.yml",
        "erlang:27": "deep/er/and/e.yml",
        "golang:1.23": "more/f.yml",
        "ghost:5": "child/g.yml",
    }


def test_more_files_than_are_read_are_said(tmp_path: Path) -> None:
    files = {f"ci/{number:03}.yml": JOB_FILE % (number, number) for number in range(200)}
    files[".gitlab-ci.yml"] = b"include: ci/*.yml\n"
    survey = look(Directory(write(tmp_path, files)))
    assert len(survey.selected) == needing._MATCHED
    [unread] = survey.unread
    assert (unread.path, unread.reason) == ("ci/150.yml", UnreadReason.UNREADABLE)
    assert "50 more files" in unread.detail


def test_more_bytes_than_are_read_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needing, "_MATCHED_BYTES", 100)
    files = {f"ci/{number}.yml": JOB_FILE % (number, number) for number in range(4)}
    files[".gitlab-ci.yml"] = b"include: ci/*.yml\n"
    survey = look(Directory(write(tmp_path, files)))
    assert [one.value for one in survey.selected] == ["alpine:0", "alpine:1"]
    assert [(one.path, one.reason) for one in survey.unread] == [
        ("ci/2.yml", UnreadReason.UNREADABLE),
        ("ci/3.yml", UnreadReason.UNREADABLE),
    ]


def test_what_matches_and_cannot_be_read_is_said(tmp_path: Path) -> None:
    files = {
        ".gitlab-ci.yml": b"include: [ci/*.yml, none/*.yml]\n",
        "ci/binary.yml": b"image: a\0",
        "ci/large.yml": b"#" * (2 * 1024 * 1024 + 1),
        "ci/a.yml": JOB_FILE % (1, 1),
    }
    write(tmp_path, files)
    (tmp_path / "ci/link.yml").symlink_to("/nowhere")
    survey = look(Directory(tmp_path))
    assert [one.value for one in survey.selected] == ["alpine:1"]
    assert {(one.path, one.reason) for one in survey.unread} == {
        ("ci/binary.yml", UnreadReason.BINARY),
        ("ci/large.yml", UnreadReason.TOO_LARGE),
        ("ci/link.yml", UnreadReason.SYMLINK),
        (".gitlab-ci.yml", UnreadReason.LEFT_OUT),
    }


def test_paths_without_end_are_bounded_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needing, "_ASKED", 3)
    files = {f"ci/{number}.yml": JOB_FILE % (number, number) for number in range(5)}
    files[".gitlab-ci.yml"] = b"include: [" + b", ".join(name.encode() for name in sorted(files)) + b"]\n"
    survey = look(Directory(write(tmp_path, files)))
    assert [one.value for one in survey.selected] == ["alpine:0", "alpine:1", "alpine:2"]
    assert [(one.path, one.reason) for one in survey.unread] == [("ci/3.yml", UnreadReason.UNREADABLE)]


def test_files_that_are_read_are_bounded_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needing, "_NEEDED", 2)
    files = {f"ci/{number}.yml": JOB_FILE % (number, number) for number in range(3)}
    files[".gitlab-ci.yml"] = b"include: [none.yml, " + b", ".join(name.encode() for name in files) + b"]\n"
    survey = look(Directory(write(tmp_path, files)))
    assert [one.value for one in survey.selected] == ["alpine:0", "alpine:1"]
    assert [one.path for one in survey.unread] == ["ci/2.yml"]


def test_the_tree_is_listed_for_globs_alone(tmp_path: Path) -> None:
    asked: list[str] = []

    class Counting(Directory):
        def snapshot(self, *arguments: object, **named: object) -> object:  # type: ignore[override]  # counts only
            asked.append("snapshot")
            return super().snapshot(*arguments, **named)  # type: ignore[arg-type]  # as they came

    write(tmp_path, {".gitlab-ci.yml": b"include: ci/a.yml\n", "ci/a.yml": JOB_FILE % (1, 1)})
    look(Counting(tmp_path))  # type: ignore[arg-type]  # as above
    assert len(asked) == 1
