"""The image: what its Dockerfile copies, installs and runs is there, and compose.yaml goes with it."""

from __future__ import annotations

import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from commands import ROOT

from bot.cli import app
from bot.dockerfile import scan
from bot.model import SkipReason
from bot.store.sql import Store
from webhooks import Site, create_app

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LINES = [line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def said(instruction: str) -> list[str]:
    """Return what stands behind each of an instruction, in order."""
    return [line.split(None, 1)[1] for line in LINES if line.split(None, 1)[0] == instruction]


def test_both_stages_begin_with_one_pinned_image() -> None:
    uses = scan(DOCKERFILE.encode()).uses
    pinned = {use.value for use in uses if use.where == "FROM"}
    assert len(pinned) == 1
    assert all(use.skip is SkipReason.PINNED for use in uses if use.where == "FROM")
    version = re.search(r"python:3\.([0-9]+)", pinned.pop())
    least = re.fullmatch(r">=3\.([0-9]+)", PROJECT["project"]["requires-python"])
    assert version is not None
    assert least is not None
    assert int(version[1]) >= int(least[1])


def test_all_that_is_copied_is_there_and_reaches_the_build() -> None:
    copied = [word for line in said("COPY") if "--from=" not in line for word in line.split()[:-1]]
    assert copied
    ignored = (ROOT / ".dockerignore").read_text().split()
    for name in copied:
        assert (ROOT / name).exists(), name
        last = [line for line in ignored if fnmatch(name, line.removeprefix("!"))][-1]
        assert last == f"!{name}"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-build.lock"])
def test_every_locked_package_has_hashes(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    locked = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert locked
    for line in locked:
        assert re.match(r"[A-Za-z0-9._\[\]-]+==\S+\s", line), line
        assert "--hash=sha256:" in line, line


def test_every_dependency_is_locked() -> None:
    def plain(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    for name, wanted in (
        ("requirements.lock", PROJECT["project"]["dependencies"]),
        ("requirements-build.lock", PROJECT["build-system"]["requires"]),
    ):
        text = (ROOT / name).read_text(encoding="utf-8")
        locked = {plain(one) for one in re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==", text, re.MULTILINE)}
        assert {plain(re.split(r"[^A-Za-z0-9._-]", one)[0]) for one in wanted} <= locked


def test_nothing_is_installed_that_is_not_locked_or_ours() -> None:
    for command in " && ".join(said("RUN")).split("&&"):
        words = shlex.split(command)
        if "install" in words:
            assert {"--require-hashes", "--no-deps"} & set(words), command
        if "wheel" in words:
            assert {"--no-deps", "--no-build-isolation"} <= set(words), command


def test_it_starts_a_command_that_exists() -> None:
    [entry], [command] = said("ENTRYPOINT"), said("CMD")
    assert yaml.safe_load(entry)[0] in PROJECT["project"]["scripts"]
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    started = [
        yaml.safe_load(command),
        *(one["command"] for one in compose["services"].values() if "build" in one),
    ]
    assert {words[0] for words in started} == {"serve", "web", "worker"}
    for words in started:
        with pytest.raises(SystemExit) as done:
            app([*words, "--help"])
        assert done.value.code == 0


def test_nobody_runs_as_root_and_the_key_is_for_whoever_does() -> None:
    [user] = said("USER")
    assert any(f"useradd --system --uid {user} " in line for line in said("RUN"))
    assert f"-o {user} " in (ROOT / "compose.yaml").read_text()


def test_the_database_is_kept_where_that_user_may_write() -> None:
    [volume] = said("VOLUME")
    assert f"MOORLINE_DATABASE_URL=sqlite:///{volume}/moorline.db" in DOCKERFILE
    assert f"--home-dir {volume} --create-home" in DOCKERFILE


def test_its_health_check_asks_what_is_served(tmp_path: Path) -> None:
    found = re.search(r"http://127\.0\.0\.1:([0-9]+)(/\w+)", said("HEALTHCHECK")[0])
    assert found is not None
    assert said("EXPOSE") == [found[1]]
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        web = create_app(inbox=store.inbox, proposals=store.proposals, site=Site())
        assert web.test_client().get(found[2]).status_code == 200
