"""The documents against the code: commands, output, links, settings."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from urllib.parse import unquote

import pytest
from commands import ROOT

from bot import settings
from bot.cli import app
from bot.service_settings import Settings

README = (ROOT / "README.md").read_text(encoding="utf-8")
_HIDDEN = (".venv", ".git", "node_modules", "golden", "sample")
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part in _HIDDEN or part.startswith(".") for part in path.relative_to(ROOT).parts)
)
_SHELL = re.compile(r"^\$ (moorline .*?)(?:\s{2,}#.*)?$", re.MULTILINE)
_LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
_VARIABLE = re.compile(r"\bMOORLINE_[A-Z_]+[A-Z]\b")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_are_documents() -> None:
    assert {"README.md", "CHANGELOG.md", "docs/configuration.md"} <= {name(path) for path in DOCUMENTS}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_commands_in_documents_parse(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moorline.env").touch()  # the service's settings, as documents call them
    text = path.read_text(encoding="utf-8")
    for line in _SHELL.findall(text):
        _, command, *arguments = shlex.split(line)
        assert command in app.commands, line
        app.commands[command].make_context(command, arguments)
    for command in re.findall(r"`moorline ([a-z]+)\b", text):
        assert command in app.commands, command


def test_the_readme_shows_commands() -> None:
    assert {line.split()[1] for line in _SHELL.findall(README)} >= {
        "scan",
        "pin",
        "guard",
        "explain",
        "serve",
    }
    for target in re.findall(r"^\$ make ([a-z]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_the_readme_shows_true_output() -> None:
    """`make readme` rewrites it."""
    made = runpy.run_path(str(ROOT / "docs" / "readme.py"))
    assert made["filled"](README, "scan", made["scanned"]()) == README


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_relative_links_lead_somewhere(path: Path) -> None:
    for target in _LINK.findall(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = unquote(target).partition("#")
        place = (path.parent / file).resolve() if file else path
        assert place.exists(), f"{name(path)} links to {target}"
        if anchor and place.suffix == ".md":
            assert anchor in _anchors(place), f"{name(path)} links to {target}"


def _anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as forges make them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_setting_is_documented_and_nothing_else() -> None:
    read = settings.KNOWN | {f"{settings.PREFIX}{field.upper()}" for field in Settings.model_fields}
    documented = set(_VARIABLE.findall((ROOT / "docs" / "settings.md").read_text(encoding="utf-8")))
    assert documented - {"MOORLINE_NAME"} == read


def test_the_code_reads_no_other_variable() -> None:
    """What the code names is what a settings file may hold."""
    for folder in ("bot", "webhooks"):
        for path in (ROOT / folder).rglob("*.py"):
            named = set(_VARIABLE.findall(path.read_text(encoding="utf-8")))
            assert named <= settings.KNOWN | {"MOORLINE_NAME"}, name(path)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_variables_in_documents_exist(path: Path) -> None:
    named = set(_VARIABLE.findall(path.read_text(encoding="utf-8")))
    own = {"MOORLINE_NAME", "MOORLINE_TEST_REQUIRE_SERVERS", "MOORLINE_GOLDEN"}
    later = {"MOORLINE_TEST_POSTGRES"}
    assert named <= settings.KNOWN | own | later, name(path)


def test_exit_codes_are_as_documented() -> None:
    from bot import local
    from bot.errors import MoorlineError

    assert (local.CLEAN, local.FOUND, MoorlineError.exit_code, local.INCOMPLETE) == (0, 1, 2, 3)
    said = "0 clean, 1 findings, 2 usage or configuration, 3 some look-ups failed"
    assert said in " ".join(README.split())
    assert said in (app.epilog or "")
