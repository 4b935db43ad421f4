"""The command line as a person meets it: help, mistakes, terminals, pipes, interruptions, start-up."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import commands
import pytest
from click.testing import CliRunner
from commands import MOORLINE, SAMPLE, World, environment, run
from goldens import GOLDEN, REWRITE
from sockets import listening

from bot import local
from bot.cli import app, main
from bot.progress import progress

COMMANDS = sorted(app.commands)
COMMAND_HELP = [[], *([name] for name in COMMANDS)]
ESCAPE = "\x1b"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the sample, where it is no part of our own repository."""
    return Path(shutil.copytree(SAMPLE, tmp_path_factory.mktemp("sample") / "parcel"))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with commands.world() as made:
        made.images.add("docker.io/library/node", "22")
        yield made


@pytest.fixture
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which every look-up ends at once, since nothing listens."""
    nowhere = "http://127.0.0.1:9"
    return environment(
        tmp_path_factory.mktemp("home"),
        MOORLINE_REGISTRY_MIRRORS=json.dumps({"*": nowhere}),
        MOORLINE_GIT_MIRRORS=json.dumps({"github.com": nowhere, "gitlab.com": nowhere}),
    )


# --- help ---------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [100, 50])
@pytest.mark.parametrize("command", COMMAND_HELP, ids=" ".join)
def test_golden_help(command: list[str], width: int) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"], prog_name="moorline", terminal_width=width)
    assert shown.exit_code == 0
    place = GOLDEN / "help" / f"{'-'.join(['moorline', *command])}.{width}.txt"
    if REWRITE:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(shown.output)
    assert shown.output == place.read_text(), f"{place} differs; `make golden` rewrites it"
    assert ESCAPE not in shown.output


def examples() -> list[str]:
    """Return every example line of every epilog, without its comment."""
    return [
        re.split(r"\s{2,}|\s\|\s", line.strip())[0]
        for command in app.commands.values()
        for line in (command.epilog or "").splitlines()
        if line.strip().startswith("moorline ")
    ]


def test_every_command_has_an_example() -> None:
    assert {line.split()[1] for line in examples()} == set(COMMANDS)


@pytest.mark.parametrize("line", sorted(set(examples())))
def test_examples_parse(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moorline.toml").write_text("port = 8000\n")
    _, name, *arguments = shlex.split(line)
    app.commands[name].make_context(name, arguments)  # raises where it does not parse


def test_short_h_and_no_arguments_help() -> None:
    assert CliRunner().invoke(app, ["-h"]).output == CliRunner().invoke(app, ["--help"]).output
    assert "Commands:" in CliRunner().invoke(app, []).output


def test_version(tmp_path: Path, env: Mapping[str, str]) -> None:
    done = run("--version", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"moorline \d+\.\d+\.\d+\S*\n", done.stdout)


# --- mistakes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["scan", "--nonsense"], "No such option"),
        (["scan", "--format", "xml", "."], "is not one of 'table', 'json'"),
        (["scan", ".", "."], "unexpected extra argument"),
        (["scan", "nowhere"], "There is no 'nowhere'"),
        (["scan", "/dev/null"], "neither a folder nor a regular file"),
        (["scan", "-o", "no/folder/file", "."], "no/folder/file cannot be written"),
        (["scan", "-o", ".", "."], "is a directory"),
        (["pin", "--write", "--branch", "x", "."], "choose one"),
        (["pin", "--branch", "x", "."], "no git repository"),
        (["pin", "--ledger", "no/folder/file", "."], "no/folder"),
        (["guard", "--base", "main", "."], "no git repository"),
        (["explain"], "Missing argument 'REFERENCE'"),
        (["explain", "Not A Reference"], "neither an image nor an action"),
        (["explain", "node:22", "--path", "nowhere"], "There is no 'nowhere'"),
        (["serve", "--port", "70000"], "70000 is not in the range"),
        (["serve", "--settings", "nowhere.toml"], "does not exist"),
        (["worker", "--port", "1"], "No such option"),
        (["demo", "now"], "unexpected extra argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_with_2_and_a_sentence(
    tmp_path: Path, env: Mapping[str, str], arguments: list[str], says: str
) -> None:
    done = run(*arguments, cwd=tmp_path, env=env)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MOORLINE_REGISTRY_MIRRORS", "{secret"),
        ("MOORLINE_REGISTRY_MIRRORS", '{"docker.io": "ftp://secret"}'),
        ("MOORLINE_CA_BUNDLE", "/no/such/file"),
        ("MOORLINE_EGRESS_ALLOW", "secret"),
        ("MOORLINE_GITHUB_URL", "secret"),
    ],
)
def test_a_wrong_setting_ends_with_2_and_is_named(
    tmp_path: Path, env: Mapping[str, str], name: str, value: str
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM node:22\n")
    done = run("pin", cwd=tmp_path, env={**env, name: value})
    assert done.returncode == 2
    assert name in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_docker_login_is_told_without_its_text(tmp_path: Path, env: dict[str, str]) -> None:
    config = Path(env["HOME"], ".docker", "config.json")
    config.parent.mkdir()
    config.write_text('{"auths": {"x": hunter2')
    (tmp_path / "Dockerfile").write_text("FROM node:22\n")
    done = run("pin", cwd=tmp_path, env=env)
    assert done.returncode in (2, 3)
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_defect_does_not_look_like_findings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> int:
        raise RuntimeError("made up")

    monkeypatch.setattr(local, "scan", broken)
    monkeypatch.setattr(sys, "argv", ["moorline", "scan"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 70
    err = capsys.readouterr().err
    assert "RuntimeError: made up" in err
    assert "Please report it" in err


# --- pipes, files, no terminal ------------------------------------------------------------


def test_no_escapes_without_a_terminal(tmp_path: Path, world: World, sample: Path) -> None:
    env = environment(tmp_path, TERM="xterm-256color", FORCE_COLOR="", **world.settings())
    for arguments in (["scan"], ["pin"], ["guard"], ["explain", "node:22"], ["--help"]):
        done = run(*arguments, cwd=sample, env=env)
        assert done.stdout
        assert ESCAPE not in done.stdout + done.stderr, arguments


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, env: Mapping[str, str]) -> None:
    many = "".join(f"FROM node:{number}\n" for number in range(20_000))
    (tmp_path / "Dockerfile").write_text(many)
    for arguments in ("scan .", "scan -f json .", "scan -f github ."):
        script = f"set -o pipefail; {shlex.quote(MOORLINE)} {arguments} | head -1"
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=dict(env), capture_output=True, check=False, timeout=60
        )
        assert done.returncode == 141, done.stderr
        assert len(done.stdout.splitlines()) == 1
        assert b"Error" not in done.stderr
        assert b"Exception" not in done.stderr


def test_a_closed_standard_output_is_no_crash(tmp_path: Path, env: Mapping[str, str]) -> None:
    (tmp_path / "Dockerfile").write_text("FROM node:22\n")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [MOORLINE, "scan", "."],
        cwd=tmp_path,
        env=dict(env),
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(writing)
    assert done.returncode == 141
    assert b"Error" not in done.stderr
    assert b"Exception" not in done.stderr


@pytest.mark.parametrize("arguments", ["scan .", "scan -f json .", "--help", "--version", "pin -h"])
def test_output_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, env: Mapping[str, str], arguments: str
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM node:22\n" * 2000)
    script = f"{shlex.quote(MOORLINE)} {arguments} > /dev/full"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=dict(env), capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1] == b"moorline: The output cannot be written: No space left on device."
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


def test_errors_that_cannot_be_written_are_no_crash(tmp_path: Path, env: Mapping[str, str]) -> None:
    (tmp_path / "Dockerfile").write_text("FROM node:22\n")
    script = f"{shlex.quote(MOORLINE)} scan . 2> /dev/full"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=dict(env), check=False, timeout=60)
    assert done.returncode == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_knows_few_characters_is_no_crash(
    tmp_path: Path, env: Mapping[str, str], encoding: str
) -> None:
    place = tmp_path / "caf\u00e9 \u6e2f"
    place.mkdir()
    (place / "Dockerfile").write_text(f"FROM node:22\nFROM {'x' * 400}\n")
    done = run("scan", cwd=tmp_path, env={**env, "PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr
    assert "node:22" in done.stdout


def test_an_interrupted_look_up_ends_at_once(tmp_path: Path, env: Mapping[str, str]) -> None:
    """Servers that never answer: nobody waits for them after Ctrl-C."""
    asked = threading.Semaphore(0)

    def silent(connection: socket.socket) -> None:
        asked.release()
        connection.settimeout(60)
        while connection.recv(65536):
            pass

    for number in range(4):
        (tmp_path / f"{number}.Dockerfile").write_text(
            f"FROM r{number}.example/app:1\nFROM x{number}.example/a:1\n"
        )
    with listening(silent) as host:
        settings = {**env, "MOORLINE_REGISTRY_MIRRORS": json.dumps({"*": f"http://{host}"})}
        process = subprocess.Popen(
            [MOORLINE, "pin", "."],
            cwd=tmp_path,
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            assert asked.acquire(timeout=30)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=5)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in err


# --- terminals ----------------------------------------------------------------------------


def on_terminal(*arguments: str, cwd: Path, env: Mapping[str, str], columns: int = 160) -> tuple[int, bytes]:
    """Run the command on a terminal of its own; return its exit code and what it drew there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        [MOORLINE, *arguments],
        cwd=cwd,
        env={"TERM": "xterm-256color", **env},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while piece := os.read(ours, 65536):
            drawn += piece
    os.close(ours)
    return process.wait(timeout=60), drawn


def test_a_terminal_gets_colours_and_a_progress_bar(tmp_path: Path, world: World, sample: Path) -> None:
    env = environment(tmp_path, **world.settings())
    code, drawn = on_terminal("pin", str(sample), cwd=tmp_path, env=env)
    assert code == 0
    assert re.search(rb"\x1b\[32m\+[^\x1b]*@sha256:", drawn), "an added line in green"
    assert re.search(rb"\x1b\[31m-", drawn), "a removed line in red"
    assert "\u2501".encode() in drawn, "a bar"
    assert re.search(rb"Looking up|Checking|Reading", drawn)
    assert drawn.count(b"\x1b[?25l") == drawn.count(b"\x1b[?25h"), "the cursor is given back"


def test_a_narrow_terminal_gets_lines_that_fit(tmp_path: Path, world: World) -> None:
    env = environment(tmp_path, NO_COLOR="1", **world.settings())
    (tmp_path / "Dockerfile").write_text("ARG V=22\nFROM node:${V}\nFROM node:${W}\n")
    for arguments in (["config", "check", "."], ["explain", "node:22"], ["scan", "-q", "."]):
        _, drawn = on_terminal(*arguments, cwd=tmp_path, env=env, columns=40)
        lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip() for line in drawn.decode().splitlines()]
        # What is one word, a digest for instance, stays one.
        assert all(len(line) <= 40 or len(line.split()) < 3 for line in lines), (arguments, lines)


def test_one_bar_for_each_stage_whoever_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many threads begin a stage at once, and tell late what they counted early."""
    from rich.progress import Progress

    added: list[str] = []
    shown: list[float] = []
    add, update = Progress.add_task, Progress.update
    begin = threading.Barrier(8)

    def adding(bar: Progress, description: str, **said: Any) -> Any:
        added.append(description)
        time.sleep(0.01)  # another thread gets its turn
        return add(bar, description, **said)

    def updating(bar: Progress, task: Any, **said: Any) -> None:
        if said.get("completed"):
            shown.append(said["completed"])
        update(bar, task, **said)

    monkeypatch.setattr(Progress, "add_task", adding)
    monkeypatch.setattr(Progress, "update", updating)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress() as report:

        def tell(number: int) -> None:
            begin.wait(timeout=30)
            report("Checking", number, 8)

        threads = [threading.Thread(target=tell, args=(8 - number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert added == ["Reading", "Checking"]
    assert shown == sorted(shown)
    assert shown[-1] == 8


def test_no_color_is_respected(tmp_path: Path, world: World, sample: Path) -> None:
    env = environment(tmp_path, NO_COLOR="1", **world.settings())
    code, drawn = on_terminal("pin", "-q", str(sample), cwd=tmp_path, env=env)
    assert code == 0
    assert b"@sha256:" in drawn
    assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m", drawn)


def test_a_quiet_terminal_gets_no_bar(tmp_path: Path, world: World, sample: Path) -> None:
    env = environment(tmp_path, **world.settings())
    code, drawn = on_terminal("scan", "-q", str(sample), cwd=tmp_path, env=env)
    assert code == 0
    assert "\u2501".encode() not in drawn
    assert b"Reading" not in drawn


HOSTILE_NAMES = [
    b"esc\x1b]0;owned\x07\x1b[2J",
    b"new\nline",
    b"return\rover",
    "right\u202eleft".encode(),
    "zero\u200bwidth".encode(),
    b"not-utf-8-\xff\xfe",
    b"c1-\xc2\x9b31m",
    b"[bold red]markup[/]",
]
HOSTILE_TEXTS = [
    b"FROM node:22\x1b[2J\x1b]0;owned\x07\n",
    b"FROM node:22 AS a\n# \x1b[31m\x1b]8;;http://x\x07 \xe2\x80\xae\nFROM node:22\n",
    b"FROM node:22\n#\x9b\xff\x00\n",
    b"FROM [bold]node:22[/bold]\nFROM node:22\n",
]


@pytest.mark.parametrize("command", ["scan", "pin", "guard"])
def test_nothing_from_a_repository_steers_the_terminal(tmp_path: Path, world: World, command: str) -> None:
    folder = os.fsencode(tmp_path / "hostile")
    for number, name in enumerate(HOSTILE_NAMES):
        place = os.path.join(folder, name)  # noqa: PTH118  # bytes, as file systems have them
        os.makedirs(place)  # noqa: PTH103  # the same
        Path(os.fsdecode(place), "Dockerfile").write_bytes(HOSTILE_TEXTS[number % len(HOSTILE_TEXTS)])
    env = environment(tmp_path, **world.settings())
    code, drawn = on_terminal(command, "--all", os.fsdecode(folder), cwd=tmp_path, env=env)
    assert code in (0, 1, 3)
    allowed = re.sub(rb"\x1b\[[0-9;]*[mKA]|\x1b\[\?25[lh]|\r", b"", drawn)  # colours, and the bar's own
    assert ESCAPE.encode() not in allowed
    text = allowed.decode("utf-8")
    for character in ("\x07", "\x9b", "\u202e", "\u200b", "\x00", "\udcff"):
        assert character not in text, repr(character)
    assert b"[bold red]markup[/]" in drawn.replace(b"\r\n", b"") or command == "guard"


# --- start-up -----------------------------------------------------------------------------

HEAVY = (
    *("pydantic", "sqlalchemy", "flask", "dbos", "structlog", "rich", "jinja2", "dulwich", "ruamel"),
    *("dockerfile_parse", "github", "gitlab", "waitress", "prometheus_client"),
)
_LOADED = f"""
import sys
sys.argv[0] = "moorline"
from bot.cli import main
try:
    main()
except SystemExit as done:
    print(done.code or 0, *(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (["--help"], ""),
        (["scan", "."], ""),
        (["pin", "."], " dockerfile_parse"),  # a millisecond, once a Dockerfile is edited
        (["pin", "--help"], ""),
    ],
)
def test_start_up_loads_nothing_heavy(
    tmp_path: Path, world: World, sample: Path, arguments: list[str], loaded: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, *arguments],
        cwd=sample,
        env=environment(tmp_path, **world.settings()),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr.splitlines()[-1] == f"0{loaded}", done.stderr


def test_help_names_the_group_and_its_commands_in_order() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    places = [text.index(f"\n  {name} ") for name in ("scan", "pin", "guard", "explain", "demo", "serve")]
    assert places == sorted(places)
    assert isinstance(app, click.Group)
