"""Whole journeys: real repositories, real processes, signed hooks, and what is there in the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import commands
import pytest
from commands import World
from git_server import git, require_git
from servers import program
from serving import Site, heads, show, site
from waiting import until

from bot.demo.hosts import Environ, Hosts, Images, Repositories, StartResponse
from bot.store.base import Ending, ProposalState

BRANCH = "moorline/pin/main"
DOCKERFILE = b"FROM node:22\n"


@dataclass(slots=True)
class Gated(Images):
    """Images whose registry can be made to wait, to fail, and to count."""

    open: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    broken: bool = False

    def answer(self, environ: Environ, start: StartResponse) -> list[bytes]:
        self.asked.set()
        assert self.open.wait(60)
        if self.broken:
            start("503 Service Unavailable", [("Content-Length", "0")])
            return []
        return Images.answer(self, environ, start)


@pytest.fixture
def images() -> Gated:
    made = Gated()
    made.open.set()
    made.add("docker.io/library/node", "22")
    made.add("docker.io/library/redis", "7")
    return made


@pytest.fixture
def here(tmp_path: Path, images: Gated) -> Iterator[Site]:
    require_git()
    with Hosts(images, Repositories()) as hosts:
        world = World(images=images, repositories=Repositories(), url=hosts.url)
        try:
            with site(tmp_path, world.settings()) as made:
                yield made
        finally:
            images.open.set()


@pytest.fixture
def app(here: Site) -> Path:
    return here.repository("acme/app.git", {"Dockerfile": DOCKERFILE, "README": b"x\n"})


def pinned(images: Images, name: str = "node", tag: str = "22") -> str:
    return f"FROM {name}:{tag}@{images.tags[f'docker.io/library/{name}', tag]}"


def test_a_life_of_a_proposal(here: Site, app: Path, images: Gated) -> None:
    """Push, push again, the same again, somebody else's commit, and a merge."""
    server = here.start()
    base = heads(app)["main"]
    assert here.push(app, delivery="one") == 202
    [run] = here.ended(1)
    assert run.ending is Ending.PUBLISHED, run
    first = heads(app)[BRANCH]
    assert show(app, f"{BRANCH}:Dockerfile") == pinned(images)
    assert git("rev-parse", f"{BRANCH}^", cwd=app) == base
    assert "Moorline-Digest: " in git("log", "-1", "--format=%B", BRANCH, cwd=app)
    assert git("fsck", "--strict", cwd=app) == ""
    assert "node:22" in here.get("/") + here.get(f"/proposals/{_newest(here)}")

    # The same delivery again, and the same push told anew.
    assert here.push(app, delivery="one") == 200
    assert here.push(app) == 202
    here.ended(2)
    assert heads(app)[BRANCH] == first
    with here.store as store:
        assert store.proposals.counts() == {ProposalState.PUBLISHED.value: 1}

    # Another commit: one commit of ours on top of it.
    base = here.commit(app, {"cache/Dockerfile": b"FROM redis:7\n"})
    assert here.push(app) == 202
    assert here.ended(3)[-1].ending is Ending.PUBLISHED
    assert git("rev-parse", f"{BRANCH}^", cwd=app) == base
    assert git("rev-list", "--count", f"main..{BRANCH}", cwd=app) == "1"
    assert show(app, f"{BRANCH}:cache/Dockerfile") == pinned(images, "redis", "7")
    assert show(app, f"{BRANCH}:Dockerfile") == pinned(images)

    # Merged: nothing is left, and the branch goes.
    git("update-ref", "refs/heads/main", heads(app)[BRANCH], cwd=app)
    assert here.push(app) == 202
    here.ended(4)
    assert set(heads(app)) == {"main"}
    with here.store as store:
        assert ProposalState.PUBLISHED.value not in store.proposals.counts()

    # And what stays pinned stays.
    assert here.push(app) == 202
    assert here.ended(5)[-1].ending is Ending.NOTHING
    assert set(heads(app)) == {"main"}
    assert here.stop(server) == 0


def _newest(here: Site) -> str:
    with here.store as store:
        return store.proposals.recent(1)[0].id


def test_a_branch_with_somebody_elses_commit_is_left_alone(here: Site, app: Path) -> None:
    here.start()
    here.push(app)
    here.ended(1)
    theirs = here.commit(app, {"theirs": b"x\n"}, BRANCH)
    here.commit(app, {"other": b"x\n"})
    here.push(app)
    run = here.ended(2)[-1]
    assert heads(app)[BRANCH] == theirs
    assert run.ending is Ending.FAILED
    assert "left alone" in run.detail
    assert "left alone" in here.get("/")
    # A push to the proposal's own branch is no base for another proposal.
    here.push(app, BRANCH)
    assert here.ended(3)[-1].ending is Ending.NOTHING
    assert set(heads(app)) == {"main", BRANCH}


def test_a_tag_that_moves_before_the_merge(here: Site, app: Path, images: Gated) -> None:
    server = here.start()
    here.push(app)
    here.ended(1)
    before = pinned(images)
    images.add("docker.io/library/node", "22", ["linux/amd64"])
    assert pinned(images) != before
    here.stop(server)  # answers about tags are kept for minutes
    here.start()
    here.push(app)
    here.ended(2)
    assert show(app, f"{BRANCH}:Dockerfile") == pinned(images)
    assert git("rev-list", "--count", f"main..{BRANCH}", cwd=app) == "1"


def test_a_registry_that_is_down(here: Site, app: Path, images: Gated) -> None:
    images.broken = True
    here.start()
    here.push(app)
    [run] = here.ended(1)
    assert run.ending is Ending.POSTPONED
    assert "Dockerfile:1" in run.detail
    assert set(heads(app)) == {"main"}
    images.broken = False
    here.push(app)
    assert here.ended(2)[-1].ending is Ending.PUBLISHED
    # Down again: what is proposed stays.
    images.broken = True
    there = heads(app)
    here.stop(here.processes[-1])
    here.start()
    here.push(app)
    assert here.ended(3)[-1].ending is Ending.POSTPONED
    assert heads(app) == there


def test_a_burst_of_pushes_ends_with_the_newest_head(here: Site, app: Path, images: Gated) -> None:
    images.open.clear()
    here.start()
    here.push(app)
    assert images.asked.wait(30)
    for number in range(5):
        here.commit(app, {f"{number}/Dockerfile": DOCKERFILE})
        assert here.push(app) == 202
    images.open.set()
    runs = here.ended(2)
    until(lambda: heads(app).get(BRANCH) and git("rev-parse", f"{BRANCH}^", cwd=app) == heads(app)["main"])
    assert len(here.runs()) == 2
    assert runs[0].ending is Ending.SUPERSEDED
    assert show(app, f"{BRANCH}:4/Dockerfile") == pinned(images)


def test_terminating_drains(here: Site, app: Path, images: Gated) -> None:
    images.open.clear()
    server = here.start()
    here.push(app)
    assert images.asked.wait(30)
    server.send_signal(signal.SIGTERM)
    until(lambda: "stopping" in here.said())
    images.open.set()
    assert server.wait(timeout=30) == 0
    [run] = here.runs()
    assert run.ending is Ending.PUBLISHED
    assert show(app, f"{BRANCH}:Dockerfile") == pinned(images)


def test_killed_between_storing_and_working(here: Site, app: Path, images: Gated) -> None:
    receiver = here.start("web", "--port", "0")
    assert here.push(app, delivery="once") == 202
    assert here.stop(receiver, signal.SIGKILL) == -signal.SIGKILL
    server = here.start()
    [run] = here.ended(1)
    assert run.ending is Ending.PUBLISHED
    assert here.push(app, delivery="once") == 200
    assert show(app, f"{BRANCH}:Dockerfile") == pinned(images)
    assert here.stop(server) == 0
    assert len(here.runs()) == 1


def test_killed_while_working(here: Site, app: Path, images: Gated) -> None:
    images.open.clear()
    server = here.start()
    here.push(app)
    assert images.asked.wait(30)
    here.stop(server, signal.SIGKILL)
    images.open.set()
    assert set(heads(app)) == {"main"}
    here.start()
    [run] = here.ended(1, seconds=40)  # the dead worker's lease has to run out first
    assert run.ending is Ending.PUBLISHED
    assert git("rev-list", "--count", f"main..{BRANCH}", cwd=app) == "1"
    with here.store as store:
        assert store.proposals.counts() == {ProposalState.PUBLISHED.value: 1}


@pytest.mark.parametrize("mode", ["observe", "paused"])
def test_modes_that_write_nothing(here: Site, app: Path, mode: str) -> None:
    here.start()
    here.push(app)
    here.ended(1)
    there = heads(app)[BRANCH]
    here.commit(app, {".moorline.yml": f"mode: {mode}\n".encode(), "other/Dockerfile": b"FROM redis:7\n"})
    here.push(app)
    assert here.ended(2)[-1].ending is Ending.NOTHING
    assert heads(app)[BRANCH] == there, "neither moved nor taken away"


def test_a_broken_configuration_is_said_and_writes_nothing(here: Site, app: Path) -> None:
    here.start()
    here.commit(app, {".moorline.yml": b"preset: default\nmoed: paused\n"})
    here.push(app)
    [run] = here.ended(1)
    assert run.ending is Ending.FAILED
    assert set(heads(app)) == {"main"}
    for said in (run.detail, here.get("/"), here.said()):
        assert ".moorline.yml:2" in said
        assert "moed" in said


def test_each_branch_has_its_own_configuration_and_proposal(here: Site, app: Path, images: Gated) -> None:
    """The base's own file counts, not that of another branch."""
    git("update-ref", "refs/heads/stable", heads(app)["main"], cwd=app)
    here.commit(app, {".moorline.yml": b"mode: paused\n"}, "stable")
    here.start()
    here.push(app, "stable")
    here.ended(1)
    here.push(app, "main")
    here.ended(2)
    assert set(heads(app)) == {"main", "stable", BRANCH}
    here.commit(app, {".moorline.yml": b"proposal:\n  branch-prefix: bot/\n"}, "stable")
    here.push(app, "stable")
    here.ended(3)
    assert show(app, "bot/pin/stable:Dockerfile") == pinned(images)


def test_what_is_not_signed_or_not_served_does_nothing(here: Site, app: Path, tmp_path: Path) -> None:
    here.start()
    elsewhere = tmp_path / "elsewhere.git"
    git("clone", "-q", "--bare", str(app), str(elsewhere), cwd=tmp_path)
    assert here.push(app, sign="somebody else's secret") == 401
    assert here.push(elsewhere) == 422
    assert here.push(app, name=f"{app}/../../../elsewhere.git") == 422
    assert here.push(app) == 202
    here.ended(1)
    assert heads(elsewhere).keys() == {"main"}
    assert len(here.runs()) == 1


def test_web_and_worker_apart(here: Site, app: Path, images: Gated) -> None:
    web = here.start("web", "--port", "0")
    worker = here.start("worker")
    here.push(app)
    [run] = here.ended(1)
    assert run.ending is Ending.PUBLISHED
    assert show(app, f"{BRANCH}:Dockerfile") == pinned(images)
    assert here.stop(worker) == 0
    assert here.stop(web) == 0


def test_the_hook_that_ships(here: Site, app: Path, images: Gated) -> None:
    """A real push by git runs the example hook, which tells the service."""
    for needed in ("openssl", "curl"):
        program(needed)
    here.start()
    hook = app / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_bytes((commands.ROOT / "examples" / "post-receive").read_bytes())
    hook.chmod(0o755)
    secret = here.folder / "secret"
    secret.write_text("a secret for tests only\n")
    git("config", "moorline.url", f"{here.url}/webhooks/git", cwd=app)
    git("config", "moorline.secretfile", str(secret), cwd=app)
    here.commit(app, {"cache/Dockerfile": b"FROM redis:7\n"})
    [run] = here.ended(1)
    assert run.ending is Ending.PUBLISHED
    assert show(app, f"{BRANCH}:cache/Dockerfile") == pinned(images, "redis", "7")


def test_secrets_are_in_no_log(here: Site, app: Path) -> None:
    here.start()
    here.push(app, sign="somebody else's secret")
    here.push(app)
    here.ended(1)
    assert "a secret for tests only" not in here.said()
    arguments = Path(f"/proc/{here.processes[-1].pid}/cmdline")
    if arguments.exists():
        assert b"a secret for tests only" not in arguments.read_bytes()
