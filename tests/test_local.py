"""The commands on folders, in this process: what they print, write and return."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import commands
import jsonschema
import pytest
from certificates import Authority
from commands import SAMPLE, World
from git_server import commit_files, git, make_repository, require_git
from scripted import Reply, scripted
from sockets import listening

from bot import config_check, local
from bot.errors import ConfigurationError, ForgeError, StoreError, UsageError
from bot.local import Printing
from bot.registries import egress
from bot.registries.connections import Limits

PRINTING = Printing(format_="table", output=None, everything=False, quiet=False)
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def shared_world() -> Iterator[World]:
    with commands.world() as made:
        yield made


@pytest.fixture
def world(
    shared_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> World:
    """Lead every look-up of this process to made-up hosts."""
    for name in list(os.environ):
        if name.startswith("MOORLINE_") or name.lower().endswith("_proxy") or name == "DOCKER_CONFIG":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    for name, value in shared_world.settings().items():
        monkeypatch.setenv(name, value)
    return shared_world


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "parcel"))


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


def printing(format_: str = "table", **said: object) -> Printing:
    made = {"format_": format_, "output": None, "everything": False, "quiet": False, **said}
    return Printing(**made)  # type: ignore[arg-type]  # keywords of one kind each


def scan(path: Path, shown: Printing = PRINTING, *, fail: bool = False) -> int:
    return local.scan(path, shown, fail=fail)


def pin(path: Path, shown: Printing = PRINTING, **said: object) -> int:
    made = {"write": False, "branch": None, "ledger": None, **said}
    made.setdefault("diff", not made["write"])
    return local.pin(path, shown, **made)  # type: ignore[arg-type]  # the same


# --- scan ---------------------------------------------------------------------------------


def test_scan_shows_a_line_for_each_reference(sample: Path, capsys: Captured) -> None:
    assert scan(sample) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^api/Dockerfile:2 +python:3\.13-slim +floating$", out, re.MULTILINE)
    assert re.search(r"^compose\.yaml:23 +redis:7 +floating +ignored by the configuration", out, re.MULTILINE)
    assert "@sha256:" not in out
    assert err == "8 files: 22 floating, 2 pinned, 6 left as is\n"


def test_scan_all_shows_what_is_pinned(sample: Path, capsys: Captured) -> None:
    assert scan(sample, printing(everything=True)) == 0
    assert "@sha256:" in capsys.readouterr().out


def test_scan_quiet_has_no_summary(sample: Path, capsys: Captured) -> None:
    assert scan(sample, printing(quiet=True)) == 0
    assert capsys.readouterr().err == ""


def test_scan_fails_only_for_what_floats(tmp_path: Path) -> None:
    folder = write(tmp_path, {"Dockerfile": f"FROM node:22@sha256:{'a' * 64}\nFROM scratch\n"})
    assert scan(folder, fail=True) == 0
    write(tmp_path, {"sub/Dockerfile": "FROM node:22\n"})
    assert scan(folder, fail=True) == 1
    assert scan(folder, fail=False) == 0


def test_scan_of_an_ignored_reference_does_not_fail(tmp_path: Path) -> None:
    folder = write(
        tmp_path, {"Dockerfile": "FROM node:22 AS a\n# moorline: ignore[we like it]\nFROM node:20\n"}
    )
    assert scan(folder, fail=True) == 1
    write(tmp_path, {"Dockerfile": "# moorline: ignore[we like it]\nFROM node:22\n"})
    assert scan(folder, fail=True) == 0


def test_scan_of_one_file(sample: Path, capsys: Captured) -> None:
    assert scan(sample / "web" / "Dockerfile", printing("json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["files"] == 1
    assert {one["path"] for one in document["references"]} == {"Dockerfile"}


def test_scan_of_one_file_that_nobody_reads_says_so(tmp_path: Path, capsys: Captured) -> None:
    for name, content in {"web.txt": "FROM node:22\n", "values.yml": "a: 1\n"}.items():
        (tmp_path / name).write_text(content)
        assert scan(tmp_path / name) == 0
        assert f"{name}  not read (left-out): no finder reads a file of this name" in capsys.readouterr().err


def test_what_is_left_out_for_one_reason_is_one_line(tmp_path: Path, capsys: Captured) -> None:
    files = {f"{number}/__pycache__/a": "" for number in range(20)}
    write(tmp_path, {**files, ".venv/bin/a": "", "Dockerfile": "FROM node:22\n"})
    scan(tmp_path)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0].startswith(".venv  not read (left-out)")
    assert said[1].startswith("0/__pycache__ and 19 more  not read (left-out)")


def test_a_rule_that_lapsed_is_told(tmp_path: Path, capsys: Captured) -> None:
    rules = "ignore:\n  - {image: node, until: 2020-01-01, because: x}\n  - {image: nginx, until: 2999-01-01, because: y}\n"
    write(tmp_path, {".moorline.yml": rules, "Dockerfile": "FROM node:22\n"})
    told = "`ignore: node` lapsed on 2020-01-01: it counts no more."
    scan(tmp_path)
    assert told in capsys.readouterr().err
    pin(tmp_path)
    err = capsys.readouterr().err
    assert told in err
    assert "nginx" not in err
    config_check.check(tmp_path, owner=None, server=None, format_="table")
    assert told in capsys.readouterr().out
    config_check.check(tmp_path, owner=None, server=None, format_="json")
    assert json.loads(capsys.readouterr().out)["lapsed"] == [told]


def test_scan_of_one_file_in_a_repository_keeps_its_path(sample: Path, capsys: Captured) -> None:
    (sample / ".git").mkdir()
    assert scan(sample / ".github" / "workflows" / "ci.yml", printing("json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert {one["path"] for one in document["references"]} == {".github/workflows/ci.yml"}


def test_scan_of_a_folder_below(sample: Path, capsys: Captured) -> None:
    assert scan(sample / "api", printing("json")) == 0
    assert {one["path"] for one in json.loads(capsys.readouterr().out)["references"]} == {"Dockerfile"}


def test_scan_of_a_folder_below_in_a_repository_is_by_its_policy_and_paths(
    sample: Path, capsys: Captured
) -> None:
    (sample / ".git").mkdir()
    assert scan(sample / "api", printing("json")) == 0
    assert {one["path"] for one in json.loads(capsys.readouterr().out)["references"]} == {"api/Dockerfile"}
    (sample / ".moorline.yml").write_text('ignore: [{paths: ["api/**"], because: frozen}]\n')
    assert scan(sample / "api", printing("json"), fail=True) == 0


def test_scan_of_nothing(tmp_path: Path, capsys: Captured) -> None:
    assert scan(tmp_path, fail=True) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "0 files: no references\n")


def test_scan_of_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no"):
        scan(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("preset: default\nmoed: observe\n", ["moorline.yml:2", "moed", "expected"]),
        ("preset: soft\n", ["moorline.yml:1", "preset", "strict"]),
        ("ignore:\n  - image: x\n", ["moorline.yml:2", "because"]),
        ("preset: [\n", ["moorline.yml:"]),
    ],
)
def test_a_broken_configuration_names_line_key_and_expectation(
    tmp_path: Path, world: World, text: str, says: list[str]
) -> None:
    del world
    folder = write(tmp_path, {"Dockerfile": "FROM node:22\n", ".moorline.yml": text})
    commands_: tuple[Callable[[], int], ...] = (
        lambda: scan(folder),
        lambda: pin(folder),
        lambda: local.guard(folder, PRINTING, base=None),
        lambda: local.explain("node:22", folder, as_json=False),
    )
    for command in commands_:
        with pytest.raises(ConfigurationError) as caught:
            command()
        assert caught.value.exit_code == 2
        for word in says:
            assert word in str(caught.value)


_REFERENCE = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        *("path", "line", "column", "kind", "format", "where", "value", "state", "skip", "note", "reference")
    ],
    "properties": {
        "path": {"type": "string"},
        "line": {"type": "integer", "minimum": 1},
        "column": {"type": "integer", "minimum": 0},
        "kind": {"enum": ["image", "action", "include"]},
        "format": {"type": "string"},
        "where": {"type": "string"},
        "value": {"type": "string"},
        "state": {"enum": ["floating", "pinned", "unknown"]},
        "skip": {"type": ["string", "null"]},
        "note": {"type": "string"},
        "reference": {"type": ["object", "null"]},
    },
}
_DOCUMENT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "files", "references", "unread", "notes"],
    "properties": {
        "version": {"const": 1},
        "files": {"type": "integer"},
        "references": {"type": "array", "minItems": 20, "items": _REFERENCE},
        "unread": {"type": "array"},
        "notes": {"type": "array", "items": {"type": "string"}},
    },
}


def test_the_json_document_is_as_documented(sample: Path, capsys: Captured) -> None:
    scan(sample, printing("json"))
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, _DOCUMENT)
    for one in document["references"]:
        line = (sample / one["path"]).read_bytes().split(b"\n")[one["line"] - 1]
        assert line[one["column"] :].startswith(one["value"].encode()), one
    docker = next(one for one in document["references"] if one["value"] == "aquasec/trivy:latest")
    assert (docker["kind"], docker["state"], docker["skip"]) == ("image", "floating", None)
    assert docker["reference"] == {
        "registry": "docker.io",
        "repository": "aquasec/trivy",
        "tag": "latest",
        "digest": None,
    }
    unknown = next(one for one in document["references"] if one["value"].startswith("$CI_REGISTRY_IMAGE"))
    assert (unknown["state"], unknown["skip"]) == ("unknown", "built-here")


@pytest.mark.parametrize("format_", ["json", "sarif", "codequality", "github"])
def test_every_format_goes_to_a_file_alike(
    sample: Path, tmp_path: Path, capsys: Captured, format_: str
) -> None:
    scan(sample, printing(format_))
    shown = capsys.readouterr().out
    scan(sample, printing(format_, output=tmp_path / "out"))
    assert (tmp_path / "out").read_text() == shown
    out, err = capsys.readouterr()
    assert out == ""
    assert "written to" in err
    if format_ == "github":
        assert shown.startswith("::warning file=.env,line=2,title=floating-reference::")
    else:
        assert json.loads(shown)


def test_a_table_goes_to_a_file_with_tabs(sample: Path, tmp_path: Path) -> None:
    scan(sample, printing(output=tmp_path / "out"))
    rows = [line.split("\t") for line in (tmp_path / "out").read_text().splitlines()]
    assert ["api/Dockerfile:2", "python:3.13-slim", "floating", ""] in rows


@pytest.mark.parametrize("format_", ["table", "json"])
def test_an_output_that_cannot_be_written(sample: Path, tmp_path: Path, world: World, format_: str) -> None:
    del world
    nowhere = printing(format_, output=tmp_path / "no" / "folder")
    with pytest.raises(UsageError, match="cannot be written"):
        scan(sample, nowhere)
    with pytest.raises(UsageError, match="cannot be written"):
        pin(sample, nowhere)


# --- pin ----------------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(one.relative_to(folder)): one.read_bytes()
        for one in sorted(folder.rglob("*"))
        if one.is_file() and ".git" not in one.relative_to(folder).parts
    }


ODD = {
    "crlf/Dockerfile": b"FROM node:22 AS a\r\nRUN\ttrue\r\nFROM a\r\n",
    "no-end/Dockerfile": b"# x\nFROM node:22",
    "tabs/Dockerfile": b"FROM\tnode:22\tAS a\n\tRUN echo \x1b[31m\n",
    "latin/Dockerfile": b"# caf\xe9\nFROM node:22\n# \xff\xfe\n",
    "form\u00e9 d/Dockerfile": b"FROM node:22\n",
    'quo"te/Dockerfile': b"FROM node:22\n\n\n\n\n\n\n\n\nFROM node:22\n",
}


@pytest.mark.parametrize("program", [["git", "apply", "-p1"], ["patch", "-p1", "--binary", "-s"]])
def test_the_diff_applies_and_gives_what_write_gives(
    sample: Path, world: World, capsys: Captured, tmp_path: Path, program: list[str]
) -> None:
    if shutil.which(program[0]) is None:
        if program[0] == "git":
            require_git()
        pytest.skip(f"{program[0]} is not installed")
    world.images.add("docker.io/library/node", "22")
    write(sample, ODD)
    before = tree(sample)
    pin(sample, printing(output=tmp_path / "a.patch"))
    assert tree(sample) == before
    copy = Path(shutil.copytree(sample, tmp_path / "copy"))
    pin(sample, write=True)
    capsys.readouterr()
    done = subprocess.run(
        program, cwd=copy, input=(tmp_path / "a.patch").read_bytes(), capture_output=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    after = tree(copy)
    assert after == tree(sample)
    for name in ODD:
        assert after[name] != before[name], name


def test_the_diff_goes_to_standard_output_when_no_file_is_named(
    sample: Path, world: World, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    del world
    pin(sample, printing(quiet=True))
    shown = capfdbinary.readouterr().out
    pin(sample, printing(quiet=True, output=tmp_path / "a.patch"))
    assert shown == (tmp_path / "a.patch").read_bytes()
    assert shown.startswith(b"--- a/.env\n+++ b/.env\n@@ -1,3 +1,3 @@\n")


def test_write_changes_references_and_nothing_else(sample: Path, world: World, capsys: Captured) -> None:
    os.chmod(sample / "api" / "Dockerfile", 0o755)  # noqa: PTH101  # the mode is what is tested
    before = tree(sample)
    code = pin(sample, write=True)
    err = capsys.readouterr().err
    assert code == 0
    assert "21 references pinned; 2 pinned already; 6 left as is; 1 refused" in err
    assert "compose.yaml:27  registry.example.net/search/engine:8" in err
    digest = world.images.tags["docker.io/library/python", "3.13-slim"]
    text = (sample / "api" / "Dockerfile").read_text()
    assert f"ARG PYTHON_IMAGE=python:3.13-slim@{digest}\n" in text
    assert stat.S_IMODE((sample / "api" / "Dockerfile").stat().st_mode) == 0o755
    changed = {name for name, data in tree(sample).items() if data != before[name]}
    assert "README.md" not in changed
    for name, data in tree(sample).items():
        lines = zip(before[name].split(b"\n"), data.split(b"\n"), strict=True)
        assert all(
            old == new or re.search(rb"@(sha256:[0-9a-f]{64}|[0-9a-f]{40} # v)|ref: [0-9a-f]{40}", new)
            for old, new in lines
        )
    assert not list(sample.rglob("*.tmp"))


def test_a_second_run_has_nothing_to_do(sample: Path, world: World, capsys: Captured) -> None:
    del world
    pin(sample, write=True)
    capsys.readouterr()
    after = tree(sample)
    assert pin(sample, write=True) == 0
    assert tree(sample) == after
    assert "0 references pinned" in capsys.readouterr().err
    assert pin(sample, printing(quiet=True)) == 0
    assert capsys.readouterr().out == ""


def test_a_link_out_of_the_tree_is_not_followed(tmp_path: Path, world: World, capsys: Captured) -> None:
    world.images.add("docker.io/library/node", "22")
    outside = write(tmp_path / "outside", {"Dockerfile": "FROM node:22\n"})
    folder = write(tmp_path / "in", {"b/Dockerfile": "FROM node:22\n"})
    (folder / "Dockerfile").symlink_to(outside / "Dockerfile")
    (folder / "linked").symlink_to(outside)
    assert pin(folder, write=True) == 0
    assert (outside / "Dockerfile").read_text() == "FROM node:22\n"
    assert (folder / "Dockerfile").is_symlink()
    assert "@sha256:" in (folder / "b" / "Dockerfile").read_text()
    assert "leads out of the tree" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["new\nline", "back\\slash", "right\u202eleft"])
def test_a_file_with_a_name_made_to_confuse_does_not_hold_up_the_others(
    tmp_path: Path, world: World, capsys: Captured, name: str
) -> None:
    world.images.add("docker.io/library/node", "22")
    folder = write(tmp_path, {"a/Dockerfile": "FROM node:22\n", f"{name}/Dockerfile": "FROM node:22\n"})
    assert pin(folder, write=True) == 3
    assert "@sha256:" in (folder / "a" / "Dockerfile").read_text()
    assert (folder / name / "Dockerfile").read_text() == "FROM node:22\n"
    err = capsys.readouterr().err
    assert "its name is not one that is written to" in err
    assert "\u202e" not in err


def test_json_of_pin_has_the_targets(sample: Path, world: World, capsys: Captured) -> None:
    pin(sample, printing("json", quiet=True))
    document = json.loads(capsys.readouterr().out)
    python = next(one for one in document["references"] if one["value"] == "python:3.13-slim")
    assert python["verdict"]["target"] == world.images.tags["docker.io/library/python", "3.13-slim"]
    assert python["verdict"]["outcome"] in ("pass", "warn")
    lie = next(one for one in document["references"] if one["value"].startswith("registry.example.net"))
    assert lie["verdict"]["outcome"] == "refuse"


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no server take longer than a moment."""
    limits = Limits(connect=2.0, response=1.5)
    monkeypatch.setattr(egress, "guarded_pool", partial(egress.guarded_pool, limits=limits))


def slow(connection: socket.socket) -> None:
    connection.settimeout(30)
    while connection.recv(65536):
        pass


def test_each_trouble_has_its_own_reason_and_the_rest_is_pinned(
    tmp_path: Path,
    world: World,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    impatient(monkeypatch)
    world.images.add("docker.io/library/node", "22")
    world.images.lie("lying.example/app", "1")
    certificate = Authority(tmp_path_factory.mktemp("authority")).context("127.0.0.1")
    with (
        scripted() as server,
        scripted() as busy,
        scripted(certificate) as tls,
        listening(slow) as silent,
    ):
        server.routes["* /v2/"] = Reply(status=200)
        server.routes["* /v2/private/manifests/1"] = Reply(status=401)
        server.routes["* /v2/forbidden/manifests/1"] = Reply(status=403)
        server.routes["* /v2/broken/manifests/1"] = Reply(status=500)
        busy.routes["* /v2/limited/manifests/1"] = Reply(status=429, headers=[("Retry-After", "3600")])
        big = b'{"schemaVersion":2,"x":"' + b"x" * (9 * 1024 * 1024) + b'"}'
        server.manifest("big", "1", big, None, "application/vnd.oci.image.index.v1+json")
        registries = {
            "bad.example": server.url,
            "busy.example": busy.url,
            "tls.example": tls.url,
            "slow.example": f"http://{silent}",
            "dead.example": "http://127.0.0.1:9",
        }
        for name, value in world.settings(registries).items():
            monkeypatch.setenv(name, value)
        names = {
            "good": "node:22",
            "unknown": "nobody/knows:1",
            "private": "bad.example/private:1",
            "forbidden": "bad.example/forbidden:1",
            "broken": "bad.example/broken:1",
            "limited": "busy.example/limited:1",
            "big": "bad.example/big:1",
            "tls": "tls.example/app:1",
            "slow": "slow.example/app:1",
            "dead": "dead.example/app:1",
            "lying": "lying.example/app:1",
        }
        folder = write(tmp_path, {f"{name}/Dockerfile": f"FROM {image}\n" for name, image in names.items()})
        code = pin(folder, printing("json", quiet=True), write=True)
    document = json.loads(capsys.readouterr().out)
    assert code == 3
    reasons = {
        one["path"].partition("/")[0]: one["verdict"].get("unresolved", {}).get("reason")
        for one in document["references"]
    }
    details = {one["path"].partition("/")[0]: one["verdict"]["reasons"] for one in document["references"]}
    assert reasons == {
        "good": None,
        "unknown": "not-found",
        "private": "unauthorized",
        "forbidden": "forbidden",
        "broken": "server-error",
        "limited": "rate-limited",
        "big": "too-large",
        "tls": "tls",
        "slow": "timeout",
        "dead": "unreachable",
        "lying": None,
    }, details
    assert any("hash" in one["text"] or "differ" in one["text"] for one in details["lying"]), details["lying"]
    for name, image in names.items():
        text = (folder / name / "Dockerfile").read_text()
        if name == "good":
            assert text == f"FROM node:22@{world.images.tags['docker.io/library/node', '22']}\n"
        else:
            assert text == f"FROM {image}\n"


# --- pin --branch -------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path, world: World) -> Path:
    """A repository with one commit and one reference, and a file that is changed and not committed."""
    require_git()
    world.images.add("docker.io/library/node", "22")
    folder = tmp_path / "repository"
    make_repository(folder, {"Dockerfile": b"FROM node:22\n", "notes": b"old\n"}, bare=False)
    write(folder, {"notes": "new\n", "untracked": "x\n"})
    return folder


def state(folder: Path) -> tuple[str, str, dict[str, bytes]]:
    return git("status", "--porcelain", cwd=folder), git("rev-parse", "HEAD", cwd=folder), tree(folder)


def test_branch_leaves_working_tree_and_index_alone(repository: Path, world: World, capsys: Captured) -> None:
    before = state(repository)
    assert pin(repository, branch="moorline/pins") == 0
    assert state(repository) == before
    assert "moorline/pins created" in capsys.readouterr().err
    pinned = git("show", "moorline/pins:Dockerfile", cwd=repository)
    assert pinned == f"FROM node:22@{world.images.tags['docker.io/library/node', '22']}"
    assert git("rev-list", "--count", "main..moorline/pins", cwd=repository) == "1"
    assert git("fsck", "--strict", cwd=repository) == ""
    assert git("diff", "--stat", "main", "moorline/pins", cwd=repository).splitlines()[-1].strip() == (
        "1 file changed, 1 insertion(+), 1 deletion(-)"
    )


def test_branch_again_is_unchanged_and_follows_the_base(repository: Path, capsys: Captured) -> None:
    pin(repository, branch="moorline/pins")
    first = git("rev-parse", "moorline/pins", cwd=repository)
    assert pin(repository, branch="moorline/pins") == 0
    assert git("rev-parse", "moorline/pins", cwd=repository) == first
    assert "moorline/pins unchanged" in capsys.readouterr().err
    base = commit_files(repository, {"other": b"more\n"}, "second")
    assert pin(repository, branch="moorline/pins") == 0
    assert "moorline/pins updated" in capsys.readouterr().err
    assert git("rev-parse", "moorline/pins^", cwd=repository) == base
    assert git("rev-list", "--count", "main..moorline/pins", cwd=repository) == "1"


def test_a_branch_with_somebody_elses_commit_is_left_alone(repository: Path, capsys: Captured) -> None:
    pin(repository, branch="moorline/pins")
    git("stash", "-u", "-q", cwd=repository)
    git("switch", "-q", "moorline/pins", cwd=repository)
    theirs = commit_files(repository, {"theirs": b"x\n"}, "theirs")
    git("switch", "-q", "main", cwd=repository)
    commit_files(repository, {"Dockerfile": b"FROM node:22 AS one\n"}, "new base")
    capsys.readouterr()
    assert pin(repository, branch="moorline/pins") == 1
    assert git("rev-parse", "moorline/pins", cwd=repository) == theirs
    assert "left-alone: the branch holds a commit that Moorline did not make" in capsys.readouterr().err


def test_branch_with_nothing_to_pin(repository: Path, capsys: Captured) -> None:
    commit_files(repository, {"Dockerfile": b"FROM scratch\n"}, "nothing")
    assert pin(repository, branch="moorline/pins") == 0
    assert "nothing to pin" in capsys.readouterr().err
    assert git("branch", "--list", "moorline/*", cwd=repository) == ""


def test_branch_says_that_the_configuration_lets_it_only_look(repository: Path, capsys: Captured) -> None:
    commit_files(repository, {".moorline.yml": b"mode: observe\n"}, "observe")
    assert pin(repository, branch="moorline/pins") == 0
    assert "mode is observe" in capsys.readouterr().err
    assert git("branch", "--list", "moorline/*", cwd=repository) == ""


def test_branch_of_a_bare_repository_and_of_a_folder_below(
    repository: Path, tmp_path: Path, world: World
) -> None:
    digest = world.images.tags["docker.io/library/node", "22"]
    commit_files(repository, {"sub/Dockerfile": b"FROM node:22\n"}, "below")
    assert pin(repository / "sub", branch="moorline/pins") == 0
    assert git("show", "moorline/pins:sub/Dockerfile", cwd=repository) == f"FROM node:22@{digest}"
    assert git("show", "moorline/pins:Dockerfile", cwd=repository) == "FROM node:22"
    commit_files(repository, {".moorline.yml": b"mode: observe\n"}, "the policy of all of it")
    assert pin(repository / "sub", branch="moorline/more") == 0
    assert git("branch", "--list", "moorline/more", cwd=repository) == ""
    commit_files(repository, {".moorline.yml": b"mode: propose\n"}, "and back")
    assert pin(repository / "Dockerfile", branch="moorline/one") == 0
    assert git("show", "moorline/one:sub/Dockerfile", cwd=repository) == "FROM node:22"
    bare = tmp_path / "bare.git"
    git("clone", "-q", "--bare", str(repository), str(bare), cwd=tmp_path)
    assert pin(bare, branch="moorline/all") == 0
    assert git("show", "moorline/all:Dockerfile", cwd=bare) == f"FROM node:22@{digest}"


@pytest.mark.parametrize("name", ["main", "no..dots", "-x", "a b", "refs/heads/main", ""])
def test_branch_names_that_will_not_do(repository: Path, name: str) -> None:
    with pytest.raises((ForgeError, UsageError)):
        pin(repository, branch=name)
    assert git("for-each-ref", "--format=%(refname)", cwd=repository) == "refs/heads/main"


def test_branch_of_a_detached_head(repository: Path) -> None:
    git("checkout", "-q", "--detach", cwd=repository)
    with pytest.raises(ForgeError, match="detached"):
        pin(repository, branch="moorline/pins")


def test_branch_where_there_is_no_repository(sample: Path, world: World) -> None:
    del world
    with pytest.raises(ForgeError, match="no git repository"):
        pin(sample, branch="moorline/pins")


# --- pin --ledger -------------------------------------------------------------------------


def test_an_update_waits_for_its_week(
    tmp_path: Path, world: World, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.images.add("docker.io/library/node", "22", ["linux/amd64"])
    folder = write(tmp_path / "app", {"Dockerfile": "FROM node:22\n"})
    ledger = tmp_path / "ledger.db"
    start = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def run(after: timedelta) -> tuple[int, str, str]:
        monkeypatch.setattr(local, "_now", lambda: start + after)
        code = pin(folder, write=True, ledger=ledger)
        return code, (folder / "Dockerfile").read_text(), capsys.readouterr().err

    code, text, err = run(timedelta())
    assert (code, text) == (0, f"FROM node:22@{first}\n"), err
    second = world.images.add("docker.io/library/node", "22", ["linux/amd64", "linux/arm64", "linux/s390x"])
    for age in (timedelta(days=1), timedelta(days=7, hours=23)):
        code, text, err = run(age)
        assert text == f"FROM node:22@{first}\n"
        assert "1 held" in err
        assert "Dockerfile:1" in err
    assert ledger.is_file()
    code, text, err = run(timedelta(days=15, hours=1))
    assert (code, text) == (0, f"FROM node:22@{second}\n"), err


def test_without_a_ledger_what_is_pinned_stays(tmp_path: Path, world: World) -> None:
    old = f"FROM node:22@sha256:{'0' * 64}\n"
    world.images.add("docker.io/library/node", "22")
    folder = write(tmp_path, {"Dockerfile": old})
    assert pin(folder, write=True) == 0
    assert (folder / "Dockerfile").read_text() == old


def test_a_ledger_with_an_odd_name(tmp_path: Path, world: World, sample: Path) -> None:
    del world
    for name in ("a b.db", "100%20#\u00e9.db", "a?b.db"):
        assert pin(sample, printing(quiet=True), ledger=tmp_path / name) == 0
        assert (tmp_path / name).is_file()
    assert not (tmp_path / "a").exists()


def test_a_ledger_that_cannot_be_opened(sample: Path, world: World, tmp_path: Path) -> None:
    del world
    write(tmp_path, {"file": "not a database, but long enough to be taken for the head of one" * 20})
    for place in (tmp_path / "file", tmp_path / "no" / "folder"):
        with pytest.raises((StoreError, UsageError)):
            pin(sample, ledger=place)


# --- explain ------------------------------------------------------------------------------


def test_explain(tmp_path: Path, world: World, capsys: Captured) -> None:
    digest = world.images.add("docker.io/library/node", "22")
    assert local.explain("node:22", tmp_path, as_json=False) == 0
    out = capsys.readouterr().out
    assert digest in out
    assert "linux/amd64, linux/arm64" in out
    assert out.splitlines()[-1].startswith("verdict: may be pinned")
    assert local.explain(f"node@{digest}", tmp_path, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["reference"]["digest"] == digest
    assert local.explain("actions/checkout@v4", tmp_path, as_json=False) == 0
    assert world.repositories.by_path["/actions/checkout"].head().decode() in capsys.readouterr().out


def test_explain_of_what_is_not_there(tmp_path: Path, world: World, capsys: Captured) -> None:
    del world
    for text in ("nobody/knows:1", "nobody/knows@v1"):
        assert local.explain(text, tmp_path, as_json=False) == 3, text
        assert "not known" in capsys.readouterr().out
    assert local.explain(f"nobody/knows@sha256:{'0' * 64}", tmp_path, as_json=False) == 1
    assert "verdict: held" in capsys.readouterr().out


def test_explain_of_a_liar(tmp_path: Path, world: World, capsys: Captured) -> None:
    world.images.lie("lying.example/app", "1")
    assert local.explain("lying.example/app:1", tmp_path, as_json=False) == 1
    assert "verdict: refused" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "Not An Image", "node:22:23", "\x1b[31m", "a" * 5000])
def test_explain_of_no_reference(tmp_path: Path, world: World, text: str) -> None:
    del world
    with pytest.raises(UsageError) as caught:
        local.explain(text, tmp_path, as_json=False)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 1000
