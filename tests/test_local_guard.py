"""`moorline guard` on real histories: what came in since the common ancestor, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import commands
import pytest
from commands import World
from git_server import commit_files, git, make_repository, require_git

from bot import local
from bot.errors import ConfigurationError, ForgeError
from bot.local import Printing

Captured = pytest.CaptureFixture[str]
PINNED = f"@sha256:{'a' * 64}"


@pytest.fixture(scope="module")
def shared_world() -> Iterator[World]:
    with commands.world() as made:
        for tag in ("20", "22", "24"):
            made.images.add("docker.io/library/node", tag)
        made.images.lie("lying.example/app", "1")
        yield made


@pytest.fixture(autouse=True)
def world(
    shared_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> World:
    require_git()
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    for name, value in shared_world.settings().items():
        monkeypatch.setenv(name, value)
    return shared_world


@pytest.fixture
def history(tmp_path: Path) -> Callable[..., Path]:
    """Make a repository whose `main` holds some files and whose branch `topic` changes some of them."""

    def make(base: dict[str, str], head: dict[str, str | None]) -> Path:
        folder = tmp_path / "repository"
        make_repository(folder, {name: text.encode() for name, text in base.items()}, bare=False)
        git("switch", "-q", "-c", "topic", cwd=folder)
        for name, text in head.items():
            if text is None:
                (folder / name).unlink()
        commit_files(
            folder, {name: text.encode() for name, text in head.items() if text is not None}, "topic"
        )
        return folder

    return make


def guard(folder: Path, base: str | None = "main", format_: str = "json") -> int:
    shown = Printing(format_=format_, output=None, everything=False, quiet=False)
    return local.guard(folder, shown, base=base)


def judged(capsys: Captured) -> list[tuple[str, int, str]]:
    document = json.loads(capsys.readouterr().out)
    return [
        (one["path"], one["line"], one["value"])
        for one in document["references"]
        if one["skip"] is None and one["state"] == "floating"
    ]


def test_without_a_base_everything_counts(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "Dockerfile").write_text("FROM node:22\n")
    assert guard(tmp_path, None) == 1
    assert judged(capsys) == [("Dockerfile", 1, "node:22")]
    (tmp_path / "Dockerfile").write_text("# moorline: ignore[because]\nFROM node:22\n")
    assert guard(tmp_path, None) == 0


def test_only_what_came_in_counts(history: Callable[..., Path], capsys: Captured) -> None:
    folder = history(
        {"Dockerfile": "FROM node:20\nFROM node:22\n"},
        {"Dockerfile": "# moved down\n\nFROM node:22\nFROM node:24\nFROM node:20\n"},
    )
    assert guard(folder) == 1
    assert judged(capsys) == [("Dockerfile", 4, "node:24")]


def test_nothing_came_in(history: Callable[..., Path], capsys: Captured) -> None:
    folder = history({"Dockerfile": "FROM node:20\n"}, {"notes": "x\n", "Dockerfile": "\n\nFROM node:20\n"})
    assert guard(folder) == 0
    assert judged(capsys) == []


def test_the_summary_says_what_came_in(history: Callable[..., Path], capsys: Captured) -> None:
    folder = history({"Dockerfile": "FROM node:20\nFROM node:22\n", "a.txt": "1"}, {"a.txt": "2"})
    shown = Printing(format_="table", output=None, everything=False, quiet=False)
    assert local.guard(folder, shown, base="main") == 0
    assert capsys.readouterr().err == (
        "1 file: no references came in; 2 floated before, and are not judged\n"
    )
    (folder / "web.Dockerfile").write_text("FROM node:24\n")
    assert local.guard(folder, shown, base="main") == 1
    assert "2 files: 1 floating came in; 1 refused; 2 floated before" in capsys.readouterr().err


def test_a_further_one_of_the_same_counts(history: Callable[..., Path], capsys: Captured) -> None:
    folder = history({"Dockerfile": "FROM node:20\n"}, {"Dockerfile": "FROM node:20 AS a\nFROM node:20\n"})
    assert guard(folder) == 1
    assert len(judged(capsys)) == 1


def test_the_base_may_have_gone_on(history: Callable[..., Path], capsys: Captured) -> None:
    folder = history({"Dockerfile": "FROM node:20\n"}, {"notes": "x\n"})
    git("switch", "-q", "main", cwd=folder)
    commit_files(folder, {"Dockerfile": f"FROM node:20{PINNED}\n".encode()}, "pinned meanwhile")
    git("switch", "-q", "topic", cwd=folder)
    assert guard(folder) == 0
    assert judged(capsys) == []


def test_the_same_text_of_another_reference_counts(history: Callable[..., Path], capsys: Captured) -> None:
    """The text that an edit replaces is the ref alone here; the project before it is what changed."""
    before = "include:\n  - project: platform/pipelines\n    file: a.yml\n    ref: v3\n"
    folder = history({".gitlab-ci.yml": before}, {".gitlab-ci.yml": before.replace("platform", "evil")})
    assert guard(folder) != 0
    document = json.loads(capsys.readouterr().out)
    assert [one["reference"]["repository"] for one in document["references"]] == ["evil/pipelines"]


def test_a_mark_that_the_change_brings_along_does_not_count(
    history: Callable[..., Path], capsys: Captured
) -> None:
    folder = history(
        {"Dockerfile": "FROM node:20\n"},
        {"Dockerfile": "FROM node:20\nFROM node:24\n# moorline: ignore[trust me]\nFROM node:22\n"},
    )
    assert guard(folder) == 1
    document = json.loads(capsys.readouterr().out)
    notes = {one["value"]: one["note"] for one in document["references"]}
    assert notes["node:22"] == "the mark in line 3 does not count before it is merged"
    assert judged_values(document) == {"node:22", "node:24"}


def judged_values(document: dict[str, list[dict[str, object]]]) -> set[object]:
    return {one["value"] for one in document["references"] if one["skip"] is None}


def test_a_mark_that_was_there_stays_one(history: Callable[..., Path], capsys: Captured) -> None:
    marked = "# moorline: ignore[since ever]\nFROM node:20\n"
    folder = history({"Dockerfile": marked}, {"Dockerfile": f"# new\n\n{marked}"})
    assert guard(folder) == 0
    assert judged(capsys) == []


def test_a_tag_that_flux_moves_is_no_news_where_flux_moved_it_before(
    history: Callable[..., Path], capsys: Captured
) -> None:
    """A policy that the base names may write another tag; one that the change brings along may not."""
    flux = 'services:\n  app:\n    image: node:20 # {"$imagepolicy": "apps:node"}\n'
    folder = history({"compose.yaml": flux}, {"compose.yaml": flux.replace(":20", ":22")})
    assert guard(folder) == 0
    assert judged(capsys) == []
    commit_files(folder, {"compose.yaml": flux.replace("apps:node", "apps:mine").encode()}, "mine")
    (folder / "compose.yaml").write_text(flux.replace("apps:node", "apps:mine").replace(":20", ":24"))
    assert guard(folder) == 1
    assert judged(capsys) == [("compose.yaml", 3, "node:24")]


STRICT = """\
guard: {floating: fail}
registries: {allow: ["docker.io/library/*"]}
trust: {checks: {registries: require}}
"""
BUILDS = "services:\n  never:\n    profiles: [never]\n    build:\n      context: .\n"


@pytest.mark.parametrize(
    "brought",
    [
        pytest.param({"Dockerfile": "ARG V=1\nFROM ghcr.io/evil/x:${V}\n"}, id="a part is a variable"),
        pytest.param({"Dockerfile": "ARG V=22\nFROM node:${V}\n"}, id="the tag is a variable"),
        pytest.param(
            {"Dockerfile": "ARG A=ghcr.io/evil/x:1\nFROM ${A}\nFROM ${A}-y\n"}, id="a shared variable"
        ),
        pytest.param({"compose.yaml": "services: {a: {image: 'ghcr.io/evil/x:${V}'}}\n"}, id="no default"),
        pytest.param(
            {".gitlab-ci.yml": "a:\n  image: ghcr.io/evil/x:$CI_COMMIT_REF_NAME\n  script: [x]\n"},
            id="a tag that is called like a branch",
        ),
        pytest.param(
            {
                ".gitlab-ci.yml": (
                    "variables: {CI_REGISTRY_IMAGE: ghcr.io/evil/x}\n"
                    "a:\n  image: $CI_REGISTRY_IMAGE:1\n  script: [x]\n"
                )
            },
            id="the forge's variable with another value",
        ),
        pytest.param(
            {
                ".github/workflows/a.yml": (
                    "on: push\njobs:\n  a:\n    runs-on: x\n"
                    "    container: ghcr.io/evil/x:1${{ github.sha && '' }}\n    steps: []\n"
                )
            },
            id="an expression that is empty",
        ),
        pytest.param({"Dockerfile": "FROM down.example/evil:1\n"}, id="a registry that does not answer"),
        pytest.param(
            {
                "Dockerfile": "FROM ghcr.io/evil/x:1\n",
                "compose.yaml": f"{BUILDS}    image: ghcr.io/evil/x:1\n",
            },
            id="built here, it says",
        ),
        pytest.param(
            {
                ".github/workflows/a.yml": (
                    "on: push\njobs:\n  a:\n    runs-on: x\n    container: ghcr.io/evil/x:1\n"
                    "    steps: [{run: 'false && docker push ghcr.io/evil/x:1'}]\n"
                )
            },
            id="pushed here, it says",
        ),
        pytest.param(
            {
                "Dockerfile": "ARG IMAGE=ghcr.io/evil/x:1\nFROM $IMAGE\n",
                "compose.yaml": f"{BUILDS}      args: {{IMAGE: $NOTHING}}\n",
            },
            id="replaced from outside, it says",
        ),
        pytest.param(
            {
                "Dockerfile": "FROM ghcr.io/evil/x:1\n",
                "compose.yaml": f"{BUILDS}      additional_contexts: {{'ghcr.io/evil/x:1': ./no}}\n",
            },
            id="masked from outside, it says",
        ),
    ],
)
def test_a_change_brings_no_excuses_along(
    history: Callable[..., Path], brought: dict[str, str], world: World
) -> None:
    world.images.add("ghcr.io/evil/x", "1")
    folder = history({".moorline.yml": STRICT, "README": "x\n"}, dict(brought))
    assert guard(folder) == 1
    commit_files(folder, {"README": b"y\n"}, "once it is merged")
    assert guard(folder, "HEAD") == 0


def test_an_image_policy_of_flux_excuses_the_image_whose_tag_it_writes(
    history: Callable[..., Path], capsys: Captured
) -> None:
    mark = '# {"$imagepolicy": "apps:node"}\n'
    flux = f"services:\n  app:\n    image: node:20 {mark}"
    other = f"  other:\n    image: registry.example/app:1 {mark}"
    folder = history({"compose.yaml": flux}, {"compose.yaml": flux.replace(":20", ":22") + other})
    guard(folder)
    assert judged(capsys) == [("compose.yaml", 5, "registry.example/app:1")]


def test_a_default_that_a_base_overrides_is_held_by_its_name_at_most(
    history: Callable[..., Path], capsys: Captured
) -> None:
    """Whoever builds without what passes the argument builds upon the default."""
    passes = f"{BUILDS}      args: {{IMAGE: 'node:20{PINNED}'}}\n"
    folder = history(
        {".moorline.yml": STRICT, "compose.yaml": passes, "Dockerfile": "ARG IMAGE=node:20\nFROM $IMAGE\n"},
        {"Dockerfile": "ARG IMAGE=ghcr.io/evil/x:1\nFROM $IMAGE\n"},
    )
    assert guard(folder) == 0
    (one,) = json.loads(capsys.readouterr().out)["references"]
    assert (one["skip"], one["verdict"]["outcome"]) == ("overridden", "hold")


def workflow(matrix: str, name: str = "${{ matrix.v }}/x:1", more: str = "") -> str:
    return (
        f"on: push\njobs:\n  a:\n    runs-on: x\n    strategy:\n{matrix}"
        f"    container: {name}\n    steps: []\n{more}"
    )


@pytest.mark.parametrize(
    ("base", "brought"),
    [
        pytest.param(
            {"Dockerfile": "ARG R=docker.io/library\nFROM $R/x:1\n"},
            {"compose.yaml": f"{BUILDS}      args: {{R: ghcr.io/evil}}\n"},
            id="a build argument that is passed",
        ),
        pytest.param(
            {
                "Dockerfile": "ARG R=docker.io/library\nFROM $R/x:1\n",
                "compose.yaml": f"{BUILDS}      args:\n        R: docker.io/library\n",
            },
            {"compose.yaml": f"{BUILDS}      args:\n        R:\n          ghcr.io/evil\n"},
            id="a build argument with another value",
        ),
        pytest.param(
            {".github/workflows/a.yml": workflow("      matrix: {v: [docker.io/library]}\n")},
            {".github/workflows/a.yml": workflow("      matrix: {v: [ghcr.io/evil]}\n")},
            id="a matrix on one line",
        ),
        pytest.param(
            {".github/workflows/a.yml": workflow("      matrix:\n        v:\n        - docker.io/library\n")},
            {".github/workflows/a.yml": workflow("      matrix:\n        v:\n        - ghcr.io/evil\n")},
            id="a matrix on several",
        ),
        pytest.param(
            {".github/workflows/a.yml": workflow("      matrix:\n        v: [docker.io/library]\n")},
            {
                ".github/workflows/a.yml": workflow(
                    "      matrix:\n        v: [docker.io/library]\n        include:\n          - v: ghcr.io/evil\n"
                )
            },
            id="a matrix that includes more",
        ),
    ],
)
def test_other_values_of_its_variables_bring_a_reference_in(
    history: Callable[..., Path], base: dict[str, str], brought: dict[str, str]
) -> None:
    strict = STRICT.replace("floating: fail", "floating: fail, held: fail")
    folder = history({".moorline.yml": strict, **base}, dict(brought))
    assert guard(folder) == 1


def test_what_else_changes_beside_a_variable_brings_nothing_in(history: Callable[..., Path]) -> None:
    matrix = "      matrix:\n        v:\n        - docker.io/library\n        w: [1]\n"
    compose = f"{BUILDS}      args:\n        R: docker.io/library\n"
    base = {
        "Dockerfile": "ARG R=docker.io/library\nFROM $R/x:1\n",
        "compose.yaml": compose,
        ".github/workflows/a.yml": workflow(matrix),
    }
    more = "  b:\n    runs-on: x\n    steps: [{run: make}]\n"
    head = {
        "Dockerfile": f"# more\n{base['Dockerfile']}",
        "compose.yaml": f"# more\n{compose}",
        ".github/workflows/a.yml": workflow(matrix.replace("[1]", "[2]"), more=more),
    }
    strict = STRICT.replace("floating: fail", "floating: fail, held: fail")
    assert guard(history({".moorline.yml": strict, **base}, dict(head))) == 0


def test_what_a_base_builds_may_be_used_by_a_change(history: Callable[..., Path]) -> None:
    builds = f"{BUILDS}    image: acme/tools:dev\n"
    folder = history({"compose.yaml": builds}, {"Dockerfile": "FROM acme/tools:dev\n"})
    assert guard(folder) == 0


def test_what_a_change_builds_itself_is_held_by_its_name_at_most(
    history: Callable[..., Path], capsys: Captured
) -> None:
    """Where an image gets its name nothing is used: whoever adds a service is not failed for it."""
    builds = {"compose.yaml": f"{BUILDS}    image: acme/tools:dev\n"}
    assert guard(history({"README": "x\n"}, builds)) == 0
    (one,) = json.loads(capsys.readouterr().out)["references"]
    assert (one["skip"], "verdict" in one) == ("built-here", False)


def test_a_name_that_is_not_allowed_is_held_where_a_change_builds_it(
    history: Callable[..., Path], capsys: Captured
) -> None:
    builds = {"compose.yaml": f"{BUILDS}    image: acme/tools:dev\n"}
    assert guard(history({".moorline.yml": STRICT}, builds)) == 0
    (one,) = json.loads(capsys.readouterr().out)["references"]
    assert one["verdict"]["outcome"] == "hold"
    assert "not among the allowed" in "; ".join(why["text"] for why in one["verdict"]["reasons"])


def test_a_value_that_the_files_do_not_show_is_held_as_the_policy_says(
    history: Callable[..., Path], capsys: Captured
) -> None:
    folder = history({"README": "x\n"}, {"Dockerfile": "ARG BASE\nFROM $BASE\n"})
    assert guard(folder) == 0
    (one,) = json.loads(capsys.readouterr().out)["references"]
    assert one["verdict"]["outcome"] == "warn"
    git("switch", "-q", "main", cwd=folder)
    commit_files(folder, {".moorline.yml": b"guard: {held: fail}\n"}, "stricter")
    git("switch", "-q", "topic", cwd=folder)
    assert guard(folder) == 1


def test_a_version_comment_that_begins_to_lie_comes_in(
    history: Callable[..., Path], capsys: Captured
) -> None:
    step = f"on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n    - uses: acme/it@{'a' * 40} # v4\n"
    folder = history(
        {".github/workflows/a.yml": step}, {".github/workflows/a.yml": step.replace("v4", "v99")}
    )
    guard(folder)
    assert len(json.loads(capsys.readouterr().out)["references"]) == 1


def test_a_change_cannot_loosen_the_policy(history: Callable[..., Path], capsys: Captured) -> None:
    loose = 'guard:\n  floating: off\nignore:\n  - paths: ["**"]\n    because: trust me\npaths:\n  exclude: ["**"]\n'
    folder = history(
        {".moorline.yml": "preset: default\n", "Dockerfile": "FROM node:20\n"},
        {".moorline.yml": loose, "Dockerfile": "FROM node:22\n"},
    )
    assert guard(folder) == 1
    assert judged(capsys) == [("Dockerfile", 1, "node:22")]


def test_the_policy_at_the_revision_itself_counts(history: Callable[..., Path], capsys: Captured) -> None:
    """Where a change left its base is the choice of whoever makes it."""
    folder = history({".moorline.yml": "guard:\n  floating: off\n"}, {"Dockerfile": "FROM node:22\n"})
    git("switch", "-q", "main", cwd=folder)
    commit_files(folder, {".moorline.yml": b"guard:\n  floating: fail\n"}, "stricter")
    git("switch", "-q", "topic", cwd=folder)
    assert guard(folder) == 1
    git("switch", "-q", "main", cwd=folder)
    excused = b"ignore: [{image: node, because: we follow it}]\n"
    commit_files(folder, {".moorline.yml": b"guard:\n  floating: fail\n" + excused}, "a decision")
    git("switch", "-q", "topic", cwd=folder)
    capsys.readouterr()
    assert guard(folder) == 0


def test_a_policy_of_flux_that_is_gone_by_now_excuses_nothing(history: Callable[..., Path]) -> None:
    flux = 'services:\n  app:\n    image: node:20 # {"$imagepolicy": "apps:node"}\n'
    folder = history({"compose.yaml": flux}, {"compose.yaml": flux.replace(":20", ":22")})
    assert guard(folder) == 0
    git("switch", "-q", "main", cwd=folder)
    commit_files(
        folder, {"compose.yaml": f"services:\n  app:\n    image: node:20{PINNED}\n".encode()}, "pinned"
    )
    git("switch", "-q", "topic", cwd=folder)
    assert guard(folder) == 1


def test_what_is_not_read_is_told_apart_by_its_content(history: Callable[..., Path]) -> None:
    big = "# pad\n" * 400_000
    folder = history(
        {"Dockerfile": big, "web/Dockerfile": "FROM scratch\n"}, {"web/Dockerfile": "FROM scratch AS a\n"}
    )
    assert guard(folder) == 0
    (folder / "Dockerfile").write_text(big + "FROM node:22\n")
    assert guard(folder) == 1
    (folder / "Dockerfile").write_text(big)
    assert guard(folder) == 0
    (folder / "a.txt").write_text("FROM node:22\n")
    (folder / "web/Dockerfile").unlink()
    (folder / "web/Dockerfile").symlink_to("../a.txt")
    assert guard(folder) == 1
    commit_files(folder, {}, "a link")
    assert guard(folder, "HEAD") == 0
    (folder / "a.txt").write_text("FROM node:24\n")
    assert guard(folder, "HEAD") == 1


def test_the_policy_at_the_head_does_not_count(history: Callable[..., Path]) -> None:
    folder = history(
        {".moorline.yml": "guard:\n  floating: warn\n", "Dockerfile": "FROM node:20\n"},
        {".moorline.yml": "guard:\n  floating: fail\n", "Dockerfile": "FROM node:22\n"},
    )
    assert guard(folder) == 0
    assert guard(folder, None) == 1


def test_a_change_that_breaks_the_configuration_is_told_so(history: Callable[..., Path]) -> None:
    folder = history({"Dockerfile": "FROM node:20\n"}, {".moorline.yml": "presets: strict\n"})
    with pytest.raises(ConfigurationError, match=r"\.moorline\.yml:1: unknown key .presets."):
        guard(folder)


def test_what_is_refused_cannot_be_muted(history: Callable[..., Path]) -> None:
    folder = history(
        {".moorline.yml": "guard:\n  floating: off\n", "Dockerfile": "FROM node:20\n"},
        {"Dockerfile": "FROM lying.example/app:1\n"},
    )
    assert guard(folder) == 1


def test_a_renamed_file_brings_nothing_in(history: Callable[..., Path], capsys: Captured) -> None:
    text = "FROM node:20\nFROM node:22\n"
    folder = history({"Dockerfile": text}, {"Dockerfile": None, "app/Dockerfile": f"{text}FROM node:24\n"})
    assert guard(folder) == 1
    assert judged(capsys) == [("app/Dockerfile", 3, "node:24")]


def test_a_copied_file_brings_its_references_in(history: Callable[..., Path], capsys: Captured) -> None:
    folder = history({"Dockerfile": "FROM node:20\n"}, {"app/Dockerfile": "FROM node:20\n"})
    assert guard(folder) == 1
    assert judged(capsys) == [("app/Dockerfile", 1, "node:20")]


def test_a_file_that_is_renamed_into_an_environment_brings_its_references_in(
    history: Callable[..., Path], capsys: Captured
) -> None:
    config = 'environments:\n  - name: production\n    paths: ["production/**"]\n    registries:\n      allow: ["x.example"]\n'
    folder = history(
        {".moorline.yml": config, "staging/Dockerfile": "FROM node:20\n"},
        {"staging/Dockerfile": None, "production/Dockerfile": "FROM node:20\n"},
    )
    assert guard(folder) == 1
    assert judged(capsys) == [("production/Dockerfile", 1, "node:20")]


def test_what_loses_the_reason_to_float_comes_in(history: Callable[..., Path], capsys: Captured) -> None:
    built = "services:\n  app:\n    image: node:20\n    build: .\n"
    folder = history({"compose.yaml": built}, {"compose.yaml": built.replace("    build: .\n", "")})
    assert guard(folder) == 1
    assert judged(capsys) == [("compose.yaml", 3, "node:20")]


@pytest.mark.parametrize(
    "broken", ["services: [\n", "services: &a [*b\n", "services:\n  app:\n    image: node:20\n  app\n", "\0"]
)
def test_a_file_that_the_change_made_unreadable_is_not_clean(
    history: Callable[..., Path], capsys: Captured, broken: str
) -> None:
    folder = history({"compose.yaml": "services: {}\n"}, {"compose.yaml": broken})
    assert guard(folder) == 1
    out, err = capsys.readouterr()
    assert [one["path"] for one in json.loads(out)["unread"]] == ["compose.yaml"]
    assert "nothing vouches for 1 file" in err


def test_a_file_that_was_unreadable_before_is_no_news(history: Callable[..., Path], capsys: Captured) -> None:
    folder = history({"compose.yaml": "services: [\n"}, {"notes": "x\n"})
    assert guard(folder) == 0
    assert json.loads(capsys.readouterr().out)["unread"] == []
    commit_files(folder, {"compose.yaml": b"services: [ #\n"}, "still unreadable, and changed")
    assert guard(folder) == 1


def test_without_a_base_an_unreadable_file_is_incomplete(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: [\n")
    assert guard(tmp_path, None) == 3
    (tmp_path / "Dockerfile").write_text("FROM node:20\n")
    assert guard(tmp_path, None) == 1


def test_look_ups_that_fail_come_after_findings(history: Callable[..., Path]) -> None:
    config = {".moorline.yml": "guard:\n  floating: warn\n"}
    folder = history(config, {"Dockerfile": "FROM nobody/knows:1\n"})
    assert guard(folder) == 3
    commit_files(folder, {"a/Dockerfile": b"FROM lying.example/app:1\n"}, "and a lie")
    assert guard(folder) == 1


def test_the_table_says_what_is_wrong(history: Callable[..., Path], capsys: Captured) -> None:
    folder = history({}, {"Dockerfile": "FROM node:20\n"})
    assert guard(folder, format_="table") == 1
    out = capsys.readouterr().out
    assert out.startswith("Dockerfile:1  node:20  refused ")
    assert "it can be moved; pin it to a digest: sha256:" in out


def test_a_base_that_is_not_there(history: Callable[..., Path]) -> None:
    folder = history({}, {})
    for revision in ("origin/main", "0" * 40, "main~7", "--upload-pack=x", ""):
        with pytest.raises(ForgeError):
            guard(folder, revision)


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(ForgeError, match="no git repository"):
        guard(tmp_path)


def test_no_common_ancestor(history: Callable[..., Path]) -> None:
    folder = history({}, {})
    git("switch", "-q", "--orphan", "alone", cwd=folder)
    commit_files(folder, {"Dockerfile": b"FROM node:20\n"}, "alone")
    with pytest.raises(ForgeError, match="no common ancestor"):
        guard(folder)


def test_a_shallow_clone(history: Callable[..., Path], tmp_path: Path) -> None:
    folder = history({"Dockerfile": "FROM node:20\n"}, {"Dockerfile": "FROM node:20\nFROM node:22\n"})
    commit_files(folder, {"notes": b"x\n"}, "one more")
    git("switch", "-q", "main", cwd=folder)
    commit_files(folder, {"more": b"x\n"}, "main goes on")
    git("switch", "-q", "topic", cwd=folder)
    shallow = tmp_path / "shallow"
    url = folder.as_uri()
    git(
        "clone",
        "-q",
        "--depth",
        "1",
        "--no-single-branch",
        "--branch",
        "topic",
        url,
        str(shallow),
        cwd=tmp_path,
    )
    with pytest.raises(ForgeError) as caught:
        guard(shallow, "origin/main")
    assert "fetch" in caught.value.advice
    git("fetch", "-q", "--unshallow", cwd=shallow)
    assert guard(shallow, "origin/main") == 1


def test_what_is_not_committed_counts(history: Callable[..., Path], capsys: Captured) -> None:
    folder = history({"Dockerfile": "FROM node:20\n"}, {})
    (folder / "Dockerfile").write_text("FROM node:20\nFROM node:22\n")
    assert guard(folder, "HEAD") == 1
    assert judged(capsys) == [("Dockerfile", 2, "node:22")]


def test_one_file_of_a_repository(history: Callable[..., Path], capsys: Captured) -> None:
    base = {"a/Dockerfile": "FROM node:20\n", "b/Dockerfile": "FROM node:22\n"}
    folder = history(base, {"a/Dockerfile": "FROM node:24\n", "c/Dockerfile": "FROM node:22\n"})
    assert guard(folder / "a" / "Dockerfile") == 1
    assert judged(capsys) == [("a/Dockerfile", 1, "node:24")]
    assert guard(folder / "c" / "Dockerfile") == 1, "its text stands in a file that still exists"


QUAY = "registries: {allow: [quay.io]}\ntrust: {checks: {registries: require}}\n"
MINE = {"Dockerfile": "# the same name\nFROM scratch\n"}


@pytest.mark.parametrize("part", ["sub", "sub/deep", "sub/deep/Dockerfile"])
@pytest.mark.parametrize("base", ["main", None])
def test_a_part_of_a_repository_is_judged_by_the_policy_of_all_of_it(
    history: Callable[..., Path], capsys: Captured, world: World, part: str, base: str | None
) -> None:
    """Another file of that name stands at the root, and says nothing of it."""
    pinned = f"FROM node:22@{world.images.tags['docker.io/library/node', '22']}\n"
    folder = history({".moorline.yml": QUAY}, {**MINE, "sub/deep/Dockerfile": pinned})
    commit_files(folder, {"sub/.moorline.yml": b"guard: {floating: off}\n"}, "no place of a policy")
    assert guard(folder / part, base) == 1
    [one] = json.loads(capsys.readouterr().out)["references"]
    assert (one["path"], one["verdict"]["outcome"]) == ("sub/deep/Dockerfile", "refuse")
    assert guard(folder / part, base, "sarif") == 1
    [result] = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "sub/deep/Dockerfile"
    assert guard(folder / part, base, "codequality") == 1
    [entry] = json.loads(capsys.readouterr().out)
    assert entry["location"]["path"] == "sub/deep/Dockerfile"
    assert guard(folder / part, base, "github") == 1
    assert "file=sub/deep/Dockerfile,line=1," in capsys.readouterr().out
    assert guard(folder / part, base, "table") == 1
    assert capsys.readouterr().out.startswith("sub/deep/Dockerfile:1 ")


def test_globs_of_a_policy_begin_at_the_root_whatever_part_is_judged(history: Callable[..., Path]) -> None:
    excluded = "paths: {exclude: [sub/old/**]}\n"
    new = {"sub/old/Dockerfile": "FROM node:22\n", "old/Dockerfile": "FROM node:22\n"}
    folder = history({".moorline.yml": excluded}, new)
    assert guard(folder / "sub") == 0
    assert guard(folder / "old") == 1


def test_a_part_that_plants_a_repository_of_its_own_is_not_asked_for_the_policy(
    history: Callable[..., Path], capsys: Captured
) -> None:
    """The files of a bare repository can be committed like any other."""
    folder = history({".moorline.yml": QUAY}, {"sub/Dockerfile": "FROM node:22\n"})
    planted = folder.parent / "planted"
    make_repository(planted, {"README": b"x\n"}, bare=False)
    git("branch", "-f", "other", cwd=planted)
    shutil.copytree(planted / ".git", folder / "sub", dirs_exist_ok=True)
    git("add", "-A", cwd=folder)
    git("commit", "-q", "-m", "a repository in the repository", cwd=folder)
    assert guard(folder / "sub") == 1
    assert judged(capsys) == [("sub/Dockerfile", 1, "node:22")]


def test_writes_nothing(history: Callable[..., Path], tmp_path: Path) -> None:
    folder = history({"Dockerfile": "FROM node:20\n"}, {"Dockerfile": "FROM node:22\n"})
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    guard(folder)
    names = {one.relative_to(folder): one.read_bytes() for one in folder.rglob("*") if one.is_file()}
    assert names == {one.relative_to(copy): one.read_bytes() for one in copy.rglob("*") if one.is_file()}
