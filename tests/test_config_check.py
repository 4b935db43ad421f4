"""`moorline config check`: what is wrong, what is said in vain, what rules and why, and by which exit code."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from commands import environment, run

from bot.cli import app
from bot.config_check import checked
from bot.errors import ConfigurationError


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MOORLINE_POLICY", raising=False)
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def check(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["config", "check", *arguments], standalone_mode=False)


def document(*arguments: str) -> Any:
    return json.loads(check(*arguments, "--format", "json").output)


def value(found: Any, key: str) -> tuple[Any, list[str]]:
    [row] = [one for one in found["effective"] if one["key"] == key]
    return row["value"], row["from"]


def test_without_a_file_the_defaults_rule(repository: Path) -> None:
    done = check()
    assert done.return_value == 0
    lines = done.output.splitlines()
    assert lines[:3] == ["repository: has no file", "owner:      has no file", "server:     has no file"]
    assert any(line.split() == ["mode", "propose", "default"] for line in lines)
    assert document(str(repository))["files"][0] == {"whose": "repository", "path": None}


def test_every_problem_is_printed_as_place_key_and_expectation(repository: Path) -> None:
    (repository / ".github").mkdir()
    (repository / ".github/.moorline.yml").write_text("mode: observ\nlimits: {open: 0}\n")
    done = check(".")
    assert done.return_value == 2
    expected = "(expected propose, observe or paused)"
    assert [line for line in done.output.splitlines() if line.startswith(".github/")] == [
        f".github/.moorline.yml:1: mode: 'observ' is not known; did you mean 'observe'? {expected}",
        ".github/.moorline.yml:2: limits.open: 0 is out of bounds (expected a whole number from 1 to 1000)",
    ]
    found = document()
    assert [(one["line"], one["key"]) for one in found["problems"]] == [(1, "mode"), (2, "limits.open")]
    assert found["problems"][1]["expected"] == "a whole number from 1 to 1000"
    assert found["effective"] == found["overruled"] == []


def test_advice_stands_below_its_problem(repository: Path) -> None:
    (repository / ".moorline.yml").write_text("schedule: {first: * 1 * * *}\n")
    lines = check().output.splitlines()
    [at] = [number for number, line in enumerate(lines) if line.startswith(".moorline.yml:1: ")]
    assert lines[at + 1].startswith("  Put quotes")


def test_what_rules_and_who_says_so(repository: Path) -> None:
    (repository / ".moorline.yml").write_text("preset: relaxed\nproposal: {labels: [a]}\nrefs: [release/*]\n")
    owner, server = repository.parent / "owner.yml", repository.parent / "server.yml"
    owner.write_text("limits: {per-day: 7}\nproposal: {labels: [b], group: image}\n")
    server.write_text("preset: strict\nlimits: {per-day: 9}\nrefs: [stable]\n")
    arguments = ("--owner", str(owner), "--server", str(server))
    found = document(*arguments)
    assert found["version"] == 1
    assert [one["path"] for one in found["files"]] == [".moorline.yml", str(owner), str(server)]
    assert value(found, "preset") == ("strict", [str(server)])
    assert value(found, "limits.per-day") == (7, [str(owner)])
    assert value(found, "proposal.labels") == (["a"], [".moorline.yml"])
    assert value(found, "proposal.group") == ("image", [str(owner)])
    assert value(found, "refs") == (["release/*", "stable"], [".moorline.yml", str(server)])
    assert value(found, "own") == ("report", [])
    assert found["overruled"] == [f"`preset: relaxed` does not count: {server} says `strict`."]
    done = check(*arguments)
    assert done.return_value == 0
    assert found["overruled"][0] in done.output
    [line] = [line for line in done.output.splitlines() if line.startswith("refs ")]
    assert line.split(maxsplit=1)[1].startswith('["release/*", "stable"]')
    assert line.endswith(f".moorline.yml, {server}")


def test_checks_and_the_guard_are_what_the_policy_makes_of_all_files(repository: Path) -> None:
    own = "preset: relaxed\ntrust: {checks: {typosquat: off, age: {days: 3}}}\nguard: {held: off}\n"
    (repository / ".moorline.yml").write_text(own)
    server = repository.parent / "server.yml"
    server.write_text("trust: {checks: {typosquat: require}}\nguard: {floating: fail}\n")
    found = document("--server", str(server))
    typosquat, files = value(found, "trust.checks.typosquat")
    assert (typosquat["first"], typosquat["update"], files) == ("require", "require", [str(server)])
    age, files = value(found, "trust.checks.age")
    assert (age["first"], age["update"], age["days"], files) == ("off", "require", 3, [".moorline.yml"])
    assert value(found, "guard.floating") == ("fail", [str(server)])
    assert value(found, "guard.held") == ("off", [".moorline.yml"])
    assert value(found, "guard.unreachable") == ("neutral", [".moorline.yml"])  # by its preset
    assert value(found, "trust.checks.digest-honesty")[0]["update"] == "require"


@pytest.mark.parametrize("option", ["--owner", "--server"])
def test_a_broken_policy_is_named(repository: Path, option: str) -> None:
    policy = repository.parent / "policy.yml"
    policy.write_text("delegate: [presets]\ncredentials: {}\n")
    found = document(option, str(policy))
    assert [(one["path"], one["line"]) for one in found["problems"]] == [(str(policy), 1), (str(policy), 2)]
    assert check(option, str(policy)).return_value == 2


def test_a_policy_may_delegate_and_a_repository_may_not(repository: Path) -> None:
    policy = repository.parent / "policy.yml"
    policy.write_text("delegate: [mode]\n")
    assert check("--owner", str(policy)).return_value == 0
    assert check(str(policy)).return_value == 2  # as a repository's own


def test_the_policy_of_the_settings_counts_unless_another_is_named(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, other = repository.parent / "policy.yml", repository.parent / "other.yml"
    policy.write_text("mode: observe\n")
    other.write_text("mode: paused\n")
    monkeypatch.setenv("MOORLINE_POLICY", str(policy))
    assert value(document(), "mode") == ("observe", [str(policy)])
    assert value(document("--server", str(other)), "mode") == ("paused", [str(other)])
    monkeypatch.setenv("MOORLINE_POLICY", str(repository.parent / "none.yml"))
    assert check().return_value == 2


def test_the_owner_s_repository_has_no_other_file(repository: Path) -> None:
    policy = repository / ".moorline.yml"
    policy.write_text("mode: observe\ndelegate: [mode]\n")
    found = document(".", "--owner", str(policy))
    assert found["problems"] == []
    assert value(found, "mode") == ("observe", [str(policy)])


@pytest.mark.parametrize("name", [".moorline.yaml", ".github/moorline.yml"])
def test_a_misnamed_file_is_a_problem(repository: Path, name: str) -> None:
    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).write_text("mode: observe\n")
    done = check()
    assert done.return_value == 2
    assert f"{name}: this name is not read" in done.output


def test_two_files_are_a_problem(repository: Path) -> None:
    (repository / ".github").mkdir()
    for name in (".moorline.yml", ".github/.moorline.yml"):
        (repository / name).write_text("mode: observe\n")
    assert "stands in .moorline.yml and .github/.moorline.yml" in check().output
    (repository / ".moorline.yml").write_text("mode: observ\n")
    assert check().return_value == 2


def test_a_link_is_not_followed(repository: Path) -> None:
    (repository / ".moorline.yml").symlink_to("/etc/passwd")
    done = check()
    assert done.return_value == 2
    assert "is not read" in done.output
    assert "root" not in done.output


def test_a_file_may_be_named_itself(repository: Path) -> None:
    file = repository / "draft.yml"
    file.write_text("mode: observe\n")
    assert value(document(str(file)), "mode") == ("observe", [str(file)])


def test_a_policy_that_cannot_be_read_is_a_problem(repository: Path) -> None:
    (repository / ".moorline.yml").write_text("mode: observe\n")
    gone = repository.parent / "gone.yml"
    [problem] = checked(repository, owner=gone).problems
    assert (problem.path, problem.line) == (str(gone), None)
    assert "cannot be read: No such file" in str(problem)


def test_a_huge_file_is_not_read_to_its_end(repository: Path) -> None:
    file = repository / "draft.yml"
    file.write_bytes(b"#" * 10_000_000)
    [problem] = checked(file).problems
    assert isinstance(problem, ConfigurationError)
    assert "at most" in str(problem)


def test_hostile_text_stays_on_its_line(repository: Path) -> None:
    (repository / ".moorline.yml").write_text('proposal: {title-prefix: "::error::x"}\n"\\e[31mx\\ny": 1\n')
    done = check()
    assert "\x1b" not in done.output
    assert len(done.output.splitlines()) == 5
    (repository / ".moorline.yml").write_text("ignore: [{image: a, because: '| \u00ab%s'}]\n" % ("x" * 400))
    assert check().return_value == 0


def test_the_command_ends_with_its_exit_code(repository: Path) -> None:
    env = environment(repository.parent)
    assert run("config", "check", cwd=repository, env=env).returncode == 0
    (repository / ".moorline.yml").write_text("mode: observ\n")
    assert run("config", "check", cwd=repository, env=env).returncode == 2
    gone = run("config", "check", "nowhere", cwd=repository, env=env)
    assert gone.returncode == 2
    assert "Traceback" not in gone.stderr


def test_golden_help_and_its_examples(repository: Path) -> None:
    shown = CliRunner().invoke(app, ["config", "check", "--help"], prog_name="moorline", terminal_width=100)
    assert "Exit codes: 0 nothing wrong, 2 something is." in shown.output
    examples = [
        line.strip() for line in shown.output.splitlines() if line.strip().startswith("moorline config")
    ]
    assert len(examples) == 3
    (repository / "policy.yml").write_text("")
    command = app.commands["config"]
    assert isinstance(command, click.Group)
    for line in examples:
        _, _, name, *rest = shlex.split(line.split("   ")[0])
        assert name == "check"
        command.commands[name].make_context(name, rest)  # raises where it does not parse
