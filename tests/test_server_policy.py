"""The server's own policy: a file that the operator names, and the floor of every repository's."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot import pipeline, wiring
from bot.errors import ConfigurationError
from bot.forges.directory import Directory
from bot.model import Job, Trigger
from bot.output import table
from bot.settings import Lookups, unknown, variables


def test_the_server_s_policy_is_a_floor(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yml"
    policy.write_text("preset: strict\n")
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM node:20\n")
    (folder / ".moorline.yml").write_text("preset: relaxed\n")
    lookups = Lookups.from_environ({"MOORLINE_POLICY": str(policy)})
    made = wiring.ground(Directory(folder), lookups)
    job = Job(forge="directory", repository="", ref="", trigger=Trigger.COMMAND_LINE)
    survey = pipeline.look(job, made, datetime(2026, 3, 1, tzinfo=UTC))
    report = survey.report((), datetime(2026, 3, 1, tzinfo=UTC))
    assert any("preset" in note for note in report.notes)
    assert list(table.unread(report)) == list(report.notes)


def test_a_policy_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"MOORLINE_POLICY.*cannot be read"):
        wiring.policy(Lookups.from_environ({"MOORLINE_POLICY": str(tmp_path / "none.yml")}))


def test_a_misspelt_variable_is_named_with_the_nearest_one() -> None:
    said = unknown({"MOORLINE_REGISTRY_MIRROR": "x", "MOORLINE_POLICY": "y", "OTHER": "z"})
    assert said == ["MOORLINE_REGISTRY_MIRROR is not a setting; the nearest is MOORLINE_REGISTRY_MIRRORS."]


def test_a_variable_that_is_near_none_is_named_without_a_guess(tmp_path: Path) -> None:
    """What all settings begin with makes none of them near."""
    assert unknown({"MOORLINE_COLOUR_SCHEME": "x"}) == ["MOORLINE_COLOUR_SCHEME is not a setting."]
    file = tmp_path / "m.env"
    for line, said in {
        "MOORLINE_COLOUR_SCHEME=x": "m.env:1: MOORLINE_COLOUR_SCHEME: is not a setting",
        "MOORLINE_PROT=x": "m.env:1: MOORLINE_PROT: is not a setting (expected MOORLINE_PORT=value)",
    }.items():
        file.write_text(line)
        with pytest.raises(ConfigurationError) as caught:
            variables({}, file)
        assert caught.value.problem.endswith(said)
        assert "docs/settings.md" in caught.value.advice
