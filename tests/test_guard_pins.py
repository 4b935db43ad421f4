"""The guard looks at pins that a change brings in, and at nothing without knowing the policy."""

from __future__ import annotations

from pathlib import Path

import pytest
import reports
from answering import AnyImages, AnyRefs
from git_server import commit_files, make_repository, require_git

from bot import pipeline
from bot.config import Config
from bot.errors import ConfigurationError
from bot.forges.directory import Directory
from bot.forges.git import GitForge
from bot.model import Job, Outcome, Report, Resolution, Trigger
from bot.reference import parse_image
from bot.trust.base import Sources

JOB = Job(forge="directory", repository="", ref="", trigger=Trigger.COMMAND_LINE)
DIGEST = f"sha256:{'0' * 64}"
STRICT = "preset: strict\nregistries: {allow: [docker.io, ghcr.io]}\n"


def judged(folder: Path, config: str = STRICT, images: AnyImages | None = None) -> Report:
    (folder / ".moorline.yml").write_text(config)
    directory = Directory(folder)
    services = pipeline.Services(
        reading=lambda _job: directory,
        server=Config(),
        host="github.com",
        owner="acme",
        sources=Sources(images=images or AnyImages(), refs=AnyRefs()),
        pins=True,
    )
    report = pipeline.inspect(JOB, services, reports.NOW)
    return pipeline.guard(report, pipeline.configuration(directory, services))


@pytest.mark.parametrize(
    "reference",
    [
        f"evil.example/x/y:1@{DIGEST}",  # a registry that is not on the list
        f"gchr.io/nodejs:22@{DIGEST}",  # a look-alike
        f"node:22@{DIGEST}",  # a digest that the registry does not have
    ],
)
def test_a_pinned_image_is_judged_like_any_other(reference: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {reference}\n")
    [verdict] = judged(tmp_path).verdicts
    assert verdict.outcome is Outcome.REFUSE
    assert any(reason.text for reason in verdict.reasons)


def test_what_nobody_vouches_for_is_held_by_default(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM node:22@{DIGEST}\n")
    [verdict] = judged(tmp_path, "preset: default\n").verdicts
    assert verdict.outcome is Outcome.HOLD


def test_a_pin_that_holds_passes(tmp_path: Path) -> None:
    images = AnyImages()
    reference = parse_image("node:22")
    assert reference is not None
    answer = images.resolve(reference)
    assert isinstance(answer, Resolution)
    (tmp_path / "Dockerfile").write_text(f"FROM node:22@{answer.digest}\n")
    [verdict] = judged(tmp_path, images=images).verdicts
    assert verdict.outcome is Outcome.PASS


def test_a_policy_that_cannot_be_read_stops_everything(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM node:22\n")
    services = pipeline.Ground(reading=lambda _job: Directory(tmp_path), server=Config())
    policy = tmp_path / ".moorline.yml"

    (tmp_path / "real.yml").write_text("preset: strict\n")
    policy.symlink_to("real.yml")
    with pytest.raises(ConfigurationError, match=r"\.moorline\.yml: the configuration is not read"):
        pipeline.look(JOB, services, reports.NOW)
    policy.unlink()

    policy.write_bytes(b"preset: strict\n" + b"#" * 3_000_000)
    with pytest.raises(ConfigurationError, match=r"\.moorline\.yml"):
        pipeline.look(JOB, services, reports.NOW)
    policy.unlink()

    policy.mkdir()
    with pytest.raises(ConfigurationError, match="regular file"):
        pipeline.look(JOB, services, reports.NOW)


def test_nor_can_a_policy_in_git_be_a_link(tmp_path: Path) -> None:
    require_git()
    repository = make_repository(tmp_path / "app", {"Dockerfile": b"FROM node:22\n"}, bare=False)
    (tmp_path / "app" / ".moorline.yml").symlink_to("Dockerfile")
    commit_files(tmp_path / "app", {"other": b"x\n"}, "link")
    del repository
    forge = GitForge(roots=[str(tmp_path / "app")])
    _, commit = forge.head(str(tmp_path / "app"), "")
    reading = pipeline.AtCommit(forge, str(tmp_path / "app"), commit)
    with pytest.raises(ConfigurationError, match="regular file"):
        pipeline.configuration(reading, pipeline.Ground(reading=lambda _job: reading, server=Config()))


def test_an_ignore_mutes_that_it_floats_and_never_a_refusal(tmp_path: Path) -> None:
    mark = "# moorline: ignore[we know better]"
    (tmp_path / "Dockerfile").write_text(f"{mark}\nFROM evil.example/x/y:1\n{mark}\nFROM node:22\n")
    images = AnyImages()
    off_list, ours = judged(tmp_path, images=images).verdicts
    assert off_list.outcome is Outcome.REFUSE
    assert not off_list.writes
    assert ours.outcome is Outcome.PASS
    assert not images.heads
