"""What a change cannot talk the guard into, through the whole service on every forge that has requests."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from scenario_places import LINK, SUBMODULE, Can, Content, GitHubPlace, GitLabPlace
from scenarios import Repo, Scene
from test_scenarios import dockerfile, here, running

__all__ = ["here", "running"]

FAIL = b"guard: {floating: fail}\n"
OFF = b'guard: {floating: "off"}\n'
PAD = b"# pad pad pad pad pad pad pad pad pad pad pad pad pad\n" * 45_000
CLEAN = b"FROM scratch\n"


def ruled(here: Scene, files: Mapping[str, Content]) -> Repo:
    """Return a repository whose policy fails on what floats, and that was looked at."""
    here.needs(Can.REQUESTS)
    app = here.repository({"README": b"x\n", ".moorline.yml": FAIL, **files})
    app.push({"README": b"y\n"})
    return app


def judged(here: Scene, app: Repo, files: Mapping[str, Content], branch: str, start: str = "") -> str:
    """Return what is said of a change that somebody proposes from a branch."""
    head = app.push(files, branch, start=start)
    here.place.request(app.name, branch)
    here.rig.tell()
    return app.checks(head)[-1].state


def test_what_is_not_read_and_changes_is_no_success(here: Scene) -> None:
    image = dockerfile(here.image())
    app = ruled(
        here,
        {
            "large/Dockerfile": PAD,
            "odd/Dockerfile": b"\0",
            "link/Dockerfile": (LINK, b"../texts/a"),
            "texts/a": b"FROM scratch\n",
            "far/Dockerfile": (LINK, b"../bridge/a"),
            "bridge": (LINK, b"texts"),
            "sub/Dockerfile": CLEAN,
            "dangling/Dockerfile": (LINK, b"../missing/deep/a"),
        },
    )
    neither = ("success",)
    assert judged(here, app, {"large/Dockerfile": PAD + image}, "large") not in neither
    assert judged(here, app, {"odd/Dockerfile": b"#\0\n" + image}, "odd") not in neither
    moved: dict[str, Content] = {"link/Dockerfile": (LINK, b"../texts/b"), "texts/b": image}
    assert judged(here, app, moved, "moved") not in neither
    assert judged(here, app, {"texts/a": image}, "edited") not in neither
    there: dict[str, Content] = {"bridge": (LINK, b"elsewhere"), "elsewhere/a": image}
    assert judged(here, app, there, "bridged") not in neither
    assert judged(here, app, {"missing/deep/a": image}, "appeared") not in neither
    assert judged(here, app, {"sub": (SUBMODULE, b"a" * 40)}, "sub") not in neither
    # What stays as it is did not come in.
    assert judged(here, app, {"new/Dockerfile": CLEAN}, "new") == "success"


def test_the_policy_is_what_stands_now(here: Scene) -> None:
    image = dockerfile(here.image())
    here.needs(Can.REQUESTS)
    app = here.repository({"README": b"x\n", ".moorline.yml": OFF})
    loose = app.heads()["main"]
    app.push({"README": b"y\n", ".moorline.yml": FAIL})
    app.push({"README": b"z\n"})
    state = judged(here, app, {"Dockerfile": image}, "old", loose)
    assert state in ("failure", "failed")
    # What was decided since then helps what branched off before.
    excused = b"ignore: [{image: '**', because: we want it so}]\n"
    app.push({".moorline.yml": FAIL + excused})
    assert judged(here, app, {"web/Dockerfile": image}, "older", loose) == "success"


def test_a_commit_that_two_requests_propose_has_the_worse_check(here: Scene) -> None:
    app = ruled(here, {})
    app.push({"Dockerfile": dockerfile(here.image())}, "scratch")
    head = app.push({"more": b"1"}, "topic", start="scratch")
    first = here.place.request(app.name, "topic")
    here.rig.tell()
    bad = app.checks(head)[-1].state
    assert bad in ("failure", "failed")
    if isinstance(here.place, GitHubPlace):
        second = here.place.hub.open_pull(app.name, "topic", by="ann", base="scratch").number
    else:
        assert isinstance(here.place, GitLabPlace)
        second = here.place.request(app.name, "topic")
        here.place.project(app.name).merge_requests[second].target_branch = "scratch"
    here.rig.tell()
    made = app.checks(head)[-1]
    assert made.state == bad
    assert f"Request {first}: 1 refused; request {second}: " in made.text
    here.place.settle(app.name, first, "closed")
    here.rig.tell()
    assert "equest" not in app.checks(head)[-1].text
    if isinstance(here.place, GitHubPlace):  # the other stand-in compares with the target that was at first
        assert app.checks(head)[-1].state == "success"


def test_a_folder_that_becomes_another_repository_is_told_from_one_that_always_was(here: Scene) -> None:
    app = ruled(here, {"lib": (SUBMODULE, b"a" * 40)})
    files: dict[str, Content] = {"lib": (SUBMODULE, b"b" * 40), "Dockerfile": CLEAN}
    assert judged(here, app, files, "bumped") == "success"


@pytest.mark.parametrize("held", ["off", "warn", "fail"])
def test_what_is_held_fails_on_gitlab_unless_the_policy_lets_it_pass(here: Scene, held: str) -> None:
    app = ruled(here, {".moorline.yml": f'guard: {{held: "{held}"}}\n'.encode()})
    state = judged(here, app, {"compose.yml": b"a: [\n"}, "broken")
    if here.place.forge == "gitlab":
        assert state == {"off": "success", "warn": "failed", "fail": "failed"}[held]
    else:
        assert state == {"off": "neutral", "warn": "neutral", "fail": "failure"}[held]


@pytest.mark.parametrize("mode", ["observe", "propose"])
def test_a_status_names_what_it_is_about(here: Scene, mode: str) -> None:
    """GitLab shows nothing else of a check, and with `mode: observe` nothing is said on the lines."""
    rules = f"mode: {mode}\nguard: {{floating: fail}}\n".encode()
    app = ruled(here, {".moorline.yml": rules})
    tool, other = here.image(), here.image("other")
    state = judged(here, app, {"Dockerfile": dockerfile(tool), "api/Dockerfile": dockerfile(other)}, "topic")
    [check] = app.checks(app.heads()["topic"])
    if here.place.forge != "gitlab":
        assert (state, check.url) == ("failure", "")
        assert '"title": "2 refused"' in check.text
        return
    assert (state, check.text) == ("failed", f"2 refused: Dockerfile:1 {tool}, api/Dockerfile:1 {other}")
    if mode == "observe":
        assert check.url == ""
    else:
        assert check.url.endswith("/-/merge_requests/1")


def test_a_status_is_bounded_and_says_how_much_more_there_is(here: Scene) -> None:
    app = ruled(here, {})
    files: dict[str, Content] = {
        f"{'long' * 40}{at}/Dockerfile": f"FROM {here.image()}\n".encode() for at in range(5)
    }
    judged(here, app, files, "topic")
    [check] = app.checks(app.heads()["topic"])
    if here.place.forge == "gitlab":
        assert check.text.startswith("5 refused: long")
        assert check.text.endswith(", and 4 more")
        assert len(check.text) <= 255
