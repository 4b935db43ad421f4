"""The GitHub Action, the GitLab component and the hooks for pre-commit: their shell is run as it stands."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import commands
import pytest
import yaml
from commands import MOORLINE, ROOT, World, environment
from git_server import commit_files, git, make_repository, require_git

from bot.cli import app

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_INPUT = re.compile(r"\$\[\[\s*inputs\.([\w-]+)\s*\]\]")
_STRICT = "guard: {floating: fail}\n"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with commands.world() as made:
        made.images.add("docker.io/library/node", "22")
        yield made


@pytest.fixture
def env(world: World, tmp_path: Path) -> dict[str, str]:
    """An environment of a runner's: the command is where the first step would have put it."""
    require_git()
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    home = tmp_path / "home"
    (tmp_path / "runner").mkdir()
    home.mkdir()
    (tmp_path / "runner" / "moorline").symlink_to(Path(MOORLINE).parents[1])
    (tmp_path / "output").touch()
    return {
        **environment(home, **world.settings()),
        "PATH": f"{Path(MOORLINE).parent}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(tmp_path / "runner"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A shallow clone of a change that brings in what floats, on top of a history that is not in it."""
    require_git()
    origin = make_repository(
        tmp_path / "origin",
        {".moorline.yml": _STRICT.encode(), "old/Dockerfile": b"FROM node:20\n"},
        bare=False,
    )
    del origin
    folder = tmp_path / "origin"
    git("switch", "-q", "-c", "topic", cwd=folder)
    commit_files(folder, {"Dockerfile": b"FROM node:22\n"}, "topic")
    commit_files(folder, {"README": b"x\n"}, "more")
    made = tmp_path / "clone"
    git("clone", "-q", "--depth", "1", "--branch", "topic", f"file://{folder}", str(made), cwd=tmp_path)
    return made


def base(clone: Path) -> str:
    """Return the commit that the change branched off, which the clone may not have."""
    return git("rev-parse", "main", cwd=clone.parent / "origin").strip()


def bash(script: str, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=cwd,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- the action ---------------------------------------------------------------------------

ACTION: Any = yaml.safe_load((ROOT / "action" / "action.yml").read_text())
INSTALL, GUARD = ACTION["runs"]["steps"]


def test_the_action_calls_nothing_that_can_move() -> None:
    assert ACTION["runs"]["using"] == "composite"
    for step in ACTION["runs"]["steps"]:
        assert "uses" not in step or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"])
        assert step["shell"] == "bash"
        # Whatever is in an input is never read as shell.
        assert not _EXPRESSION.search(step["run"])


def test_the_action_uses_every_input_and_no_other() -> None:
    text = json.dumps(ACTION["runs"])
    used = {
        found.removeprefix("inputs.") for found in _EXPRESSION.findall(text) if found.startswith("inputs.")
    }
    assert used == set(ACTION["inputs"])
    for found in _EXPRESSION.findall(json.dumps(ACTION)):
        assert found.startswith(("inputs.", "github.", "steps.guard.outputs.")), found
    for one in ACTION["inputs"].values():
        assert one["description"]


def guarded(clone: Path, env: Mapping[str, str], **inputs: str) -> tuple[int, str, str]:
    """Run the guarding step with inputs; return its exit code, what it prints, and what it puts out."""
    given = {name: str(one["default"]) for name, one in ACTION["inputs"].items()} | {"base": base(clone)}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}
    variables = {
        name: _EXPRESSION.sub(lambda found: given[found[1].removeprefix("inputs.")], value)
        for name, value in GUARD["env"].items()
    }
    done = bash(GUARD["run"], clone, {**env, **variables})
    return done.returncode, done.stdout + done.stderr, Path(env["GITHUB_OUTPUT"]).read_text()


def test_the_action_fails_on_what_comes_in_and_says_where(clone: Path, env: dict[str, str]) -> None:
    code, said, put_out = guarded(clone, env)
    assert (code, put_out) == (1, "exit-code=1\n"), said
    assert "::error file=Dockerfile,line=1" in said
    assert "old/Dockerfile" not in said


def test_the_action_passes_what_brings_nothing_in(clone: Path, env: dict[str, str]) -> None:
    head = git("rev-parse", "HEAD", cwd=clone).strip()
    code, said, put_out = guarded(clone, env, base=head)
    assert (code, put_out) == (0, "exit-code=0\n"), said


def test_the_action_writes_a_report(clone: Path, env: dict[str, str]) -> None:
    code, said, _ = guarded(clone, env, format="sarif", output="made.sarif")
    assert code == 1, said
    assert json.loads((clone / "made.sarif").read_text())["version"] == "2.1.0"


@pytest.mark.parametrize(
    "hostile", ["--upload-pack=touch ran", "$(touch ran)", "`touch ran`", "; touch ran", "x y"]
)
@pytest.mark.parametrize("where", ["base", "path", "format", "output"])
def test_an_input_is_no_shell(clone: Path, env: dict[str, str], where: str, hostile: str) -> None:
    guarded(clone, env, **{where: hostile})
    assert not list(clone.parent.rglob("ran"))


@pytest.mark.parametrize(("strict", "expected"), [("false", 0), ("true", 3)])
def test_the_action_says_when_look_ups_failed(
    clone: Path, env: dict[str, str], strict: str, expected: int
) -> None:
    (clone / ".moorline.yml").write_text("guard: {floating: off}\n")
    nowhere = {"MOORLINE_REGISTRY_MIRRORS": json.dumps({"*": "http://127.0.0.1:1"})}
    code, said, put_out = guarded(clone, {**env, **nowhere}, base="", fail_on_incomplete=strict)
    assert (code, put_out) == (expected, "exit-code=3\n"), said
    assert ("::warning::Some look-ups failed" in said) is (expected == 0)


def test_the_action_installs_what_the_lock_says(tmp_path: Path, env: dict[str, str]) -> None:
    """What pip is told is written down in place of being done."""
    stub = tmp_path / "python"
    stub.write_text(
        '#!/bin/bash\necho "$0 $*" >> "$RUNNER_TEMP/told"\n'
        'if [ "$3" = venv ]; then mkdir -p "$4/bin" "$4/dist" && cp "$0" "$4/bin/python"; touch "$4/dist/moorline-1.whl"; fi\n'
    )
    stub.chmod(0o755)
    (Path(env["RUNNER_TEMP"]) / "moorline").unlink()
    variables = {"MOORLINE_ACTION_PYTHON": str(stub), "MOORLINE_ACTION_SOURCE": str(ROOT)}
    done = bash(INSTALL["run"], tmp_path, {**env, **variables})
    assert done.returncode == 0, done.stderr
    told = (Path(env["RUNNER_TEMP"]) / "told").read_text().splitlines()
    for line in told:
        if "pip install" in line or "pip wheel" in line:
            assert "--require-hashes" in line or "--no-deps" in line, line
    for lock in ("requirements.lock", "requirements-build.lock"):
        assert any(f"--require-hashes -r {ROOT / lock}" in line for line in told)
        assert "--hash=sha256:" in (ROOT / lock).read_text()


# --- what a change could do to them -------------------------------------------------------

_RAN = "import posix\ntry:\n    posix.mkdir(posix.environ[b'PLANTED'])\nexcept FileExistsError:\n    pass\n"
"""Needs nothing that is imported, so that it tells of itself even as the first module of all."""
_OURS = (
    "bot",
    "click",
    "pip",
    "setuptools",
    "urllib3",
    "dulwich",
    "ruamel",
    "rich",
    "tokenizer",
    "_distutils_hack",
)
_SITE = ("sitecustomize", "usercustomize")


def plant(folder: Path) -> None:
    """Fill a folder with whatever Python or git could be brought to import, run or obey."""
    names = {*sys.stdlib_module_names, *_OURS, *_SITE} - {"antigravity", "this"}
    for name in names:
        (folder / f"{name}.py").write_text(_RAN)
    for name in ("pip", "ensurepip", "venv", "bot", "encodings"):
        (folder / name).mkdir()
        for file in ("__init__.py", "__main__.py"):
            (folder / name / file).write_text(_RAN)
    (folder / "evil.pth").write_text(f"import os; exec({_RAN!r})\n")
    (folder / "pyvenv.cfg").write_text(f"home = {folder}\ninclude-system-site-packages = true\n")
    (folder / "pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:1/\n")
    (folder / "setup.py").write_text(_RAN)
    for name in ("python", "python3", "moorline"):
        (folder / "bin" / name).parent.mkdir(exist_ok=True)
        (folder / "bin" / name).write_text('#!/bin/sh\nmkdir -p "$PLANTED"\n')
        (folder / "bin" / name).chmod(0o755)
    (folder / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (folder / "CDPATH").mkdir()


def obeyed(folder: Path) -> dict[str, str]:
    """Return variables of Python's that lead into a folder, as a workflow may have them for its own tests."""
    return {
        "PLANTED": str(folder.parent / "planted"),
        "PYTHONPATH": f".:{folder}",
        "PYTHONSTARTUP": str(folder / "site.py"),
        "PYTHONUSERBASE": str(folder),
        "PYTHONPYCACHEPREFIX": str(folder),
        "PYTHONWARNINGS": "error::venv.Warned",
        "CDPATH": f"{folder}/CDPATH",
    }


def planted(folder: Path) -> bool:
    return (folder.parent / "planted").exists()


def test_what_is_planted_would_run(tmp_path: Path, env: dict[str, str]) -> None:
    """The tests below could not fail otherwise."""
    head = tmp_path / "head"
    head.mkdir()
    (head / "venv.py").write_text(_RAN)
    variables = {**env, "PLANTED": str(tmp_path / "planted")}
    subprocess.run([sys.executable, "-m", "venv", "x"], cwd=head, env=variables, check=False, timeout=60)
    assert planted(head)


BACKEND = """
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{folder}/moorline-1-py3-none-any.whl", "w") as made:
        made.writestr("made.py", "def main():\\n    print('made of the source')\\n")
        info = "moorline-1.dist-info"
        made.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: moorline\\nVersion: 1\\n")
        made.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        made.writestr(f"{info}/entry_points.txt", "[console_scripts]\\nmoorline = made:main\\n")
        made.writestr(f"{info}/RECORD", "")
    return "moorline-1-py3-none-any.whl"
"""


def test_the_action_installs_nothing_of_the_change(tmp_path: Path, env: dict[str, str]) -> None:
    """The steps run where the change is checked out, and make real environments."""
    source, head = tmp_path / "source", tmp_path / "head"
    source.mkdir()
    head.mkdir()
    for lock in ("requirements.lock", "requirements-build.lock"):
        (source / lock).touch()
    (source / "backend.py").write_text(BACKEND)
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (source / "pyproject.toml").write_text(f'{system}[project]\nname = "moorline"\nversion = "1"\n')
    plant(head)
    home = Path(env["RUNNER_TEMP"]) / "moorline"
    home.unlink()
    variables = {"MOORLINE_ACTION_PYTHON": sys.executable, "MOORLINE_ACTION_SOURCE": f"{source}/action/.."}
    (source / "action").mkdir()
    done = bash(INSTALL["run"], head, {**env, **obeyed(head), **variables, "PIP_NO_INDEX": "1"})
    assert (done.returncode, planted(head)) == (0, False), done.stderr
    said = subprocess.run(
        [home / "bin" / "moorline"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout == "made of the source\n"


def test_the_action_imports_nothing_of_the_change(clone: Path, env: dict[str, str]) -> None:
    plant(clone)
    code, said, _ = guarded(clone, {**env, **obeyed(clone)})
    assert (code, planted(clone)) == (1, False), said
    assert "::error file=Dockerfile,line=1" in said


def test_the_action_obeys_no_repository_that_the_change_plants(clone: Path, env: dict[str, str]) -> None:
    """A bare repository can be committed like any folder, and its configuration names programs."""
    sub = clone / "sub"
    bare = clone.parent / "bare"
    git("clone", "-q", "--bare", "--depth", "1", f"file://{clone}", str(bare), cwd=clone.parent)
    shutil.copytree(bare, sub)
    (sub / "Dockerfile").write_text("FROM node:22\n")
    run = f"mkdir -p {clone.parent}/planted"
    with (sub / "config").open("a") as file:
        file.write(f"[core]\n\tfsmonitor = {run}\n\tsshCommand = {run}; false\n")
        file.write(f'[remote "origin"]\n\turl = ssh://git@127.0.0.1/x\n\tuploadpack = {run}\n')
    asked = ["git", "-C", "sub", "ls-remote", "origin"]
    subprocess.run(asked, cwd=clone, env=env, capture_output=True, check=False, timeout=60)
    if not planted(clone):
        pytest.skip("this git obeys none of itself")
    (clone.parent / "planted").rmdir()
    code, said, _ = guarded(clone, env, path="sub")
    assert (code, planted(clone)) == (1, False), said
    assert "::error file=sub/Dockerfile,line=1" in said


def test_the_action_runs_no_hooks_of_the_change(clone: Path, env: dict[str, str]) -> None:
    """Where somebody's tools led git to hooks in the tree."""
    git("config", "core.hooksPath", ".hooks", cwd=clone)
    (clone / ".hooks").mkdir()
    hook = clone / ".hooks" / "reference-transaction"
    hook.write_text(f"#!/bin/sh\nmkdir -p {clone.parent}/planted\n")
    hook.chmod(0o755)
    commit_files(clone.parent / "origin", {"README": b"y\n"}, "something to fetch")
    code, said, _ = guarded(clone, env)
    assert (code, planted(clone)) == (1, False), said


def test_a_file_s_name_is_no_command_to_the_runner(clone: Path, env: dict[str, str]) -> None:
    (clone / "::warning ::x").mkdir()
    (clone / "::warning ::x" / "Dockerfile").write_text("FROM node:22\n")
    code, said, _ = guarded(clone, env, format="table")
    lines = said.splitlines()
    [begin] = [number for number, line in enumerate(lines) if line.startswith("::stop-commands::")]
    token = lines[begin].removeprefix("::stop-commands::")
    assert re.fullmatch("[0-9a-f]{32}", token)
    inside = lines[begin + 1 : lines.index(f"::{token}::")]
    assert code == 1
    assert any(line.startswith("::warning") for line in inside)
    assert sum(line.startswith("::") for line in lines) == len([one for one in inside if one[:2] == "::"]) + 2


# --- the component ------------------------------------------------------------------------

COMPONENT = (ROOT / "templates" / "guard" / "template.yml").read_text()
IMAGE = f"registry.example/moorline@sha256:{'a' * 64}"


def rendered(**inputs: str) -> dict[str, Any]:
    """Return the job of the component as GitLab makes it of inputs."""
    spec, _, job = COMPONENT.partition("\n---\n")
    declared = yaml.safe_load(spec)["spec"]["inputs"]
    assert set(_INPUT.findall(job)) == set(declared)
    values = {name: one.get("default") for name, one in declared.items()} | inputs
    for name, one in declared.items():
        assert values[name] is not None, f"{name} is wanted"
        if "regex" in one:
            assert re.search(one["regex"], values[name]), name
    made: dict[str, Any] = yaml.safe_load(_INPUT.sub(lambda found: values[found[1]], job))
    [(name, one)] = made.items()
    assert name == values["job"]
    return dict(one)


def test_the_component_wants_an_image_that_cannot_move() -> None:
    assert rendered(image=IMAGE)["image"] == {"name": IMAGE, "entrypoint": [""]}
    with pytest.raises(AssertionError):
        rendered(image="registry.example/moorline:latest")
    with pytest.raises(AssertionError, match="image is wanted"):
        rendered()


def test_the_component_s_job_makes_the_report_that_it_names(clone: Path, env: dict[str, str]) -> None:
    job = rendered(image=IMAGE)
    git("fetch", "-q", "--unshallow", cwd=clone)  # as GIT_DEPTH says
    assert job["variables"]["GIT_DEPTH"] == "0"
    variables = {**job["variables"], "CI_MERGE_REQUEST_DIFF_BASE_SHA": base(clone)}
    [script] = job["script"]
    done = bash(script, clone, {**env, **variables})
    assert done.returncode == 1, done.stderr
    report = json.loads((clone / job["artifacts"]["reports"]["codequality"]).read_text())
    assert [(one["location"]["path"], one["severity"]) for one in report] == [("Dockerfile", "critical")]
    assert {"description", "check_name", "fingerprint"} <= report[0].keys()
    assert job["artifacts"]["when"] == "always"
    assert job["allow_failure"] == {"exit_codes": [3]}


def test_the_component_imports_nothing_of_the_change(clone: Path, env: dict[str, str]) -> None:
    git("fetch", "-q", "--unshallow", cwd=clone)
    plant(clone)
    job = rendered(image=IMAGE)
    variables = {**job["variables"], "CI_MERGE_REQUEST_DIFF_BASE_SHA": base(clone)}
    done = subprocess.run(
        ["sh", "-e", "-c", *job["script"]],
        cwd=clone,
        env={**env, **obeyed(clone), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, planted(clone)) == (1, False), done.stderr
    assert (clone / job["artifacts"]["reports"]["codequality"]).exists()


# --- the hooks ----------------------------------------------------------------------------

HOOKS: Any = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_is_a_command(hook: dict[str, Any]) -> None:
    program, command, *arguments = shlex.split(hook["entry"])
    assert program == "moorline"
    app.commands[command].make_context(command, arguments)
    assert (hook["language"], hook["pass_filenames"]) == ("python", False)
    assert hook["name"]
    assert hook["description"]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_stops_what_floats_and_nothing_else(
    hook: dict[str, Any], clone: Path, env: dict[str, str]
) -> None:
    entry = shlex.split(hook["entry"])
    # The guard judges what is about to be committed, the scan everything.
    (clone / "new").mkdir()
    (clone / "new" / "Dockerfile").write_text("FROM node:22\n")

    def run() -> int:
        return subprocess.run(
            entry, cwd=clone, env=env, capture_output=True, timeout=60, check=False
        ).returncode

    if "guard" not in hook["entry"]:
        git("rm", "-q", "Dockerfile", "old/Dockerfile", cwd=clone)
    assert run() == 0, "what is not added is not committed"
    git("add", "new", cwd=clone)
    assert run() == 1
    (clone / "new" / "Dockerfile").write_text("FROM scratch\n")
    assert run() == 1, "what is added is"
    git("add", "new", cwd=clone)
    assert run() == 0


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_judges_what_git_commits(hook: dict[str, Any], tmp_path: Path, env: dict[str, str]) -> None:
    """The first commit of all, parts of what was changed, and another working tree."""
    folder = tmp_path / "new"
    folder.mkdir()
    git("init", "-q", ".", cwd=folder)
    script = folder / ".git" / "hooks" / "pre-commit"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/sh\nexec {hook['entry']}\n")
    script.chmod(0o755)
    named = ["-c", "user.name=a", "-c", "user.email=a@example.com"]

    def commit(*arguments: str, cwd: Path = folder) -> bool:
        asked = ["git", *named, "commit", "-q", "-m", "x", *arguments]
        done = subprocess.run(asked, cwd=cwd, env=env, capture_output=True, timeout=60, check=False)
        return done.returncode == 0

    (folder / ".moorline.yml").write_text(_STRICT)
    (folder / "Dockerfile").write_text("FROM node:22\n")
    git("add", ".", cwd=folder)
    assert not commit(), "everything comes in with the first commit"
    (folder / "Dockerfile").write_text("FROM scratch\n")
    git("add", ".", cwd=folder)
    assert commit()
    (folder / "web.Dockerfile").write_text("FROM node:22\n")
    (folder / "notes").write_text("x\n")
    git("add", "notes", cwd=folder)
    assert commit(), "nobody added the other file"
    git("add", "--intent-to-add", "web.Dockerfile", cwd=folder)
    (folder / "notes").write_text("y\n")
    assert commit("notes")
    assert not commit("-a")
    git("add", "web.Dockerfile", cwd=folder)
    (folder / "notes").write_text("z\n")
    assert commit("notes"), "of what is staged only that"
    assert not commit()
    git("worktree", "add", "-q", "-b", "other", "../tree", cwd=folder)
    (tmp_path / "tree" / "Dockerfile").write_text("FROM node:22\n")
    assert not commit("-a", cwd=tmp_path / "tree")
    (tmp_path / "tree" / "Dockerfile").write_text("FROM scratch AS a\n")
    assert commit("-a", cwd=tmp_path / "tree")
