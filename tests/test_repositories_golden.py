"""Whole repositories of several kinds, from the files to the confirmed edits.

Everything is looked up in registries and git hosts that have whatever they are asked for, but for
one image.  `report.json` is the report, `pinned/` the files as they are written.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import goldens
import pytest
from answering import AnyImages, AnyRefs
from reports import NOW

from bot import pipeline
from bot.config import Config
from bot.forges.directory import Directory
from bot.model import Job, Kind, Report, Trigger
from bot.output import document
from bot.trust.base import Sources

SAMPLE = Path(__file__).parent.parent / "bot" / "demo" / "sample"
JOB = Job(forge="directory", repository="", ref="", trigger=Trigger.COMMAND_LINE)
HOSTS = {
    "": "gitlab.com",
    "$CI_SERVER_FQDN": "gitlab.com",
    "$CI_SERVER_HOST": "gitlab.com",
    "$CI_REGISTRY": "registry.gitlab.com",
}


def services(folder: Path, images: AnyImages) -> pipeline.Services:
    directory = Directory(folder)
    return pipeline.Services(
        reading=lambda _job: directory,
        server=Config(),
        host="github.com",
        owner="acme",
        hosts=HOSTS,
        sources=Sources(images=images, refs=AnyRefs()),
    )


def inspect(folder: Path, images: AnyImages) -> Report:
    return pipeline.inspect(JOB, services(folder, images), NOW)


def apart(case: Path, folder: Path) -> Path:
    """Return a copy of a case's repository, where it is no part of ours."""
    return Path(shutil.copytree(case if case == SAMPLE else case / "repo", folder / "repo"))


def cases() -> list[Path]:
    return [*goldens.cases("repositories"), SAMPLE]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_golden(case: Path, tmp_path: Path) -> None:
    expected = goldens.GOLDEN / "repositories" / case.name if case == SAMPLE else case
    folder = apart(case, tmp_path)
    images = AnyImages(gone=frozenset({"axllent/mailpit", "koalaman/shellcheck"}))
    report = inspect(folder, images)
    confirmed = pipeline.confirm(report)
    assert confirmed.unread == ()
    goldens.compare_json(expected / "report.json", json.loads(document.dumps(report)))
    written = confirmed.files(report)
    goldens.compare_tree(expected / "pinned", written)

    # A second run over what was written proposes nothing.
    for path, data in {**goldens.read_tree(folder), **written}.items():
        target = tmp_path / "again" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    again = inspect(tmp_path / "again", images)
    assert pipeline.confirm(again).edits == ()
    assert len(again.verdicts) == len(report.verdicts)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_each_tag_and_digest_is_asked_for_once(case: Path, tmp_path: Path) -> None:
    images = AnyImages()
    report = inspect(apart(case, tmp_path), images)
    looked_up = {
        str(one.candidate.resolution.reference)
        for one in report.verdicts
        if one.candidate and one.finding.kind is Kind.IMAGE
    }
    assert images.heads == dict.fromkeys(looked_up, 1)
    digests = {
        one.candidate.target for one in report.verdicts if one.candidate and ":" in one.candidate.target
    }
    assert images.gets == dict.fromkeys(digests, 1)
