"""The built wheel, run from a foreign folder: everything that the code reads at run time is inside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import ROOT, SAMPLE, environment

_BUILD = """
import sys
from hatchling.build import build_wheel
print(build_wheel(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    [made] = folder.glob("*.whl")
    return made


def test_it_holds_what_is_read_at_run_time_and_no_more(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    if shutil.which("git") is not None and (ROOT / ".git").exists():
        listed = ["git", "ls-files", "-z", "bot", "webhooks"]
        tracked = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True)
        expected = set(tracked.stdout.decode().split("\0")) - {""}
        assert {name for name in expected if (ROOT / name).exists()} <= names
    for file in SAMPLE.rglob("*"):
        if file.is_file():
            assert file.relative_to(ROOT).as_posix() in names
    assert "bot/demo/sample/.github/workflows/ci.yml" in names
    assert not [one for one in names if not one.startswith(("bot/", "webhooks/", "moorline-"))]
    assert not [one for one in names if "__pycache__" in one or one.endswith(".pyc")]
    assert any(one.endswith("licenses/LICENSE") for one in names)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return an environment whose `moorline` is the wheel's, with the dependencies of this one behind it."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    here = folder / "home"
    here.mkdir()
    return environment(here, PYTHONPATH=str(folder))


_RUN = """
import sys
sys.path = [one for one in sys.path if one not in ("", {root!r})]
import bot, webhooks
assert bot.__file__.startswith({site!r}), bot.__file__
assert webhooks.__file__.startswith({site!r}), webhooks.__file__
from importlib.metadata import entry_points
[script] = [one for one in entry_points(group="console_scripts", name="moorline")][:1]
sys.argv[0] = "moorline"
script.load()()
"""


def run(installed: Mapping[str, str], *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = _RUN.format(root=str(ROOT), site=installed["PYTHONPATH"])
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd,
        env=dict(installed),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_the_demo_runs_from_it(installed: Mapping[str, str], tmp_path: Path) -> None:
    done = run(installed, "demo", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "left nothing behind" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_scan_and_version_run_from_it(installed: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM node:22\n")
    done = run(installed, "scan", "--fail", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "Dockerfile:1  node:22  floating\n")
    assert run(installed, "--version", cwd=tmp_path).stdout.startswith("moorline ")


def test_pages_and_their_assets_are_inside(installed: Mapping[str, str], tmp_path: Path) -> None:
    program = """
from importlib.resources import files
for name in ("templates/index.html", "templates/proposal.html", "static/moorline.css"):
    assert files("webhooks.pages").joinpath(name).is_file(), name
assert sum(one.name.endswith(".j2") for one in files("bot.proposals").joinpath("templates").iterdir()) > 3
print(files("webhooks.pages"))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env=dict(installed),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(installed["PYTHONPATH"] + os.sep)
