"""`moorline sweep`: in this process over an in-memory forge, with real look-ups, and as it is installed."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from commands import World, environment, run
from git_server import make_repository, require_git
from hosted import Hosted
from serving import heads
from sweeping import Loose
from waiting import until

from bot import service, sweep, wiring
from bot.demo.hosts import Environ, Hosts, Images, Repositories, StartResponse
from bot.errors import ConfigurationError, ForgeError, TransientError, UsageError
from bot.jobs.base import Pace
from bot.store.base import Ending
from bot.store.sql import Store
from bot.sweep import Asked, following
from bot.sweep.following import Followed

FORGES = wiring.forges
FILES = {"Dockerfile": b"FROM node:22\nFROM redis:7\n"}


@dataclass(slots=True)
class Counted(Images):
    """A registry that counts what it is asked."""

    asked: Counter[str] = field(default_factory=Counter)

    def answer(self, environ: Environ, start: StartResponse) -> list[bytes]:
        self.asked[f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"] += 1
        return Images.answer(self, environ, start)


@dataclass
class Place:
    """Where a sweep is commanded."""

    folder: Path
    forge: Hosted
    images: Counted

    @property
    def database(self) -> Path:
        return self.folder / "moorline.db"

    def store(self) -> Store:
        return Store(f"sqlite:///{self.database}")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    images = Counted()
    images.add("docker.io/library/node", "22")
    images.add("docker.io/library/redis", "7")
    forge = Loose()
    with Hosts(images, Repositories()) as hosts:
        world = World(images=images, repositories=Repositories(), url=hosts.url)
        for name in [name for name in environment(tmp_path) if name.startswith("MOORLINE_")]:
            monkeypatch.delenv(name)
        for name, value in world.settings().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MOORLINE_DATABASE_URL", f"sqlite:///{tmp_path}/moorline.db")
        monkeypatch.setenv("MOORLINE_CONCURRENCY", "1")  # the forge takes one writer at a time
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setattr(wiring, "forges", lambda *_: {"github": forge})
        monkeypatch.setattr(service, "Pace", lambda **said: replace(Pace(**said), backoff=0.05, poll=0.02))
        monkeypatch.setattr(following, "_POLL", 0.05)
        yield Place(tmp_path, forge, images)


def populate(place: Place, *names: str) -> None:
    for name in names:
        place.forge.create(name, FILES)


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    [one] = json.loads(capsys.readouterr().out)["sweeps"]
    assert isinstance(one, dict)
    return one


def test_it_works_itself_where_nobody_does(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    populate(place, "acme/app", "acme/api", "other/app")
    place.forge.create("acme/old", FILES)
    place.forge.projects["acme/old"].archived = True
    assert sweep.sweep(None, Asked()) == 0
    assert (
        capsys.readouterr().out == "github: 4 repositories seen, 3 proposed, 1 left out.\n"
        "  proposed: acme/api main: https://forge.example/acme/api/pull/1\n"
        "  proposed: acme/app main: https://forge.example/acme/app/pull/1\n"
        "  proposed: other/app main: https://forge.example/other/app/pull/1\n"
        "  left out: 1 archived\n"
    )
    assert len(place.forge.open_requests("acme/app")) == 1
    # One look-up for every reference of all repositories, whoever owns them.
    tags = {path: number for path, number in place.images.asked.items() if "sha256:" not in path}
    assert set(tags.values()) == {1}, tags
    assert len(tags) == 2
    with place.store() as store:
        assert [one.what for one in store.audit.entries(0, 1)] == ["sweep.began"]
        assert store.schedules.last("sweep github") is None, "it is no service"


def test_a_second_one_costs_its_list(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    populate(place, *(f"acme/app{number}" for number in range(5)))
    sweep.sweep(None, Asked())
    capsys.readouterr()
    place.forge.asked.clear()
    assert sweep.sweep(None, Asked(as_json=True)) == 0
    shown = printed(capsys)
    assert (shown["repositories"], shown["unchanged"], shown["proposed"], shown["failed"]) == (5, 5, 0, 0)
    # A new process asks once what the owner says of its repositories.
    assert place.forge.asked - Counter({"head": 2}) == {"repositories": 1}


def test_what_failed_is_told_and_is_the_exit_code(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    populate(place, "acme/app")
    place.forge.create("acme/broken", {**FILES, ".moorline.yml": b"mode: what\n"})
    assert sweep.sweep(None, Asked()) == 3
    out = capsys.readouterr().out
    assert "2 repositories seen, 1 proposed, 1 failed" in out
    assert "  failed: acme/broken main: .moorline.yml" in out


def test_a_list_that_cannot_be_had(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_owner: str = "") -> Iterator[object]:
        raise ForgeError("The App is suspended.")

    place.forge.repositories = refuse  # type: ignore[method-assign, assignment]  # a forge that refuses
    assert sweep.sweep(None, Asked()) == 3
    assert "listing failed: The App is suspended." in capsys.readouterr().out


def test_a_list_that_cannot_be_had_yet_is_explained_and_given_up(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(_owner: str = "") -> Iterator[object]:
        raise TransientError("git.example cannot be reached.", advice="Check its address.")

    place.forge.repositories = away  # type: ignore[method-assign, assignment]  # a forge that is away
    assert sweep.sweep(None, Asked()) == 3
    said = capsys.readouterr()
    why = "github: git.example cannot be reached. Check its address.\n"
    lines = [line for line in said.err.splitlines(keepends=True) if line.startswith("moorline: ")]
    assert lines == [f"moorline: The list of repositories is tried again. {why}"]
    assert "listing failed: git.example cannot be reached. Check its address." in said.out


def test_a_list_that_is_put_off_for_hours_is_said(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    def limited(_owner: str = "") -> Iterator[object]:
        raise TransientError("GitHub asks to wait.", retry_after=9000.0)

    place.forge.repositories = limited  # type: ignore[method-assign, assignment]  # a forge that is busy
    assert sweep.sweep(None, Asked()) == 3
    out = capsys.readouterr().out
    assert "  listing postponed: GitHub asks to wait. (looked at again at 20" in out


@pytest.mark.parametrize("dry", [False, True])
def test_what_matches_nothing_is_said(place: Place, capsys: pytest.CaptureFixture[str], dry: bool) -> None:
    populate(place, "acme/app")
    ask = sweep.rehearse if dry else sweep.sweep
    assert ask(None, Asked(repositories=("zzz",))) == 0
    assert "moorline: No repository matches zzz." in capsys.readouterr().err


def test_git_roots_are_not_swept_and_it_says_so(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOORLINE_GIT_ROOTS", str(place.folder))
    monkeypatch.setattr(wiring, "forges", FORGES)
    assert sweep.sweep(None, Asked()) == 0
    said = capsys.readouterr()
    assert said.out.startswith("git: 0 repositories seen")
    assert "looked at when its hook calls" in said.err


def test_only_what_is_asked_for(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    populate(place, "acme/app", "acme/api", "other/app")
    sweep.sweep(None, Asked(owners=("acme",), repositories=("app",), as_json=True))
    assert [one["repository"] for one in printed(capsys)["places"]] == ["acme/app"]


def test_a_forge_that_is_not_configured(place: Place) -> None:
    with pytest.raises(UsageError, match="gitlab"):
        sweep.sweep(None, Asked(forges=("gitlab",)))
    assert place.forge.asked == {}


def test_nothing_to_go_on_with(place: Place) -> None:
    with pytest.raises(UsageError, match="no sweep"):
        sweep.resume(None, Asked())
    assert place.forge.asked == {}


def test_without_a_forge_there_is_nothing_to_sweep(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "forges", lambda *_: {})
    with pytest.raises(ConfigurationError, match="no forge"):
        sweep.sweep(None, Asked())
    assert place.forge.asked == {}


def test_it_stops_at_a_signal_and_goes_on_where_it_was(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever was begun ends; nobody is looked at again that was."""
    names = [f"acme/app{number}" for number in range(8)]
    populate(place, *names)
    snapshot = place.forge.snapshot
    looked: Counter[str] = Counter()
    lock = threading.Lock()

    def counted(repository: str, *rest: Any) -> Any:
        with lock:
            looked[repository] += 1
            if sum(looked.values()) == 3:
                signal.raise_signal(signal.SIGINT)
        return snapshot(repository, *rest)

    place.forge.snapshot = counted  # type: ignore[method-assign, assignment]  # to count, and to interrupt
    assert sweep.sweep(None, Asked(owners=("acme",))) == 130
    shown = capsys.readouterr()
    assert "waiting" in shown.out
    assert "moorline sweep --resume" in shown.err
    assert "No repository matches" not in shown.err
    assert sweep.resume(None, Asked(as_json=True)) == 0
    assert printed(capsys)["proposed"] == len(names)
    assert len(looked) == len(names)
    assert len(set(looked.values())) == 1, looked


def test_one_that_is_stopped_before_the_list_is_there_says_nothing_of_what_matches(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "follow", lambda *_: Followed(ended=False, drained=True))
    assert sweep.sweep(None, Asked(owners=("acme",))) == 130
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("{")]  # the log's
    assert said == ["moorline: Stopped. Go on with `moorline sweep --resume`."]
    assert place


def test_it_follows_a_worker_that_lives(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """It does no work of its own then."""
    populate(place, "acme/app")
    with place.store() as store:
        store.leases.beat("somebody", "1")
        settled = threading.Event()

        def somebody() -> None:
            """List nothing, slowly."""
            [claim] = until(lambda: store.backlog.claim("somebody", 1, datetime.now(UTC)))
            store.backlog.settle(claim.run, Ending.NOTHING, "", datetime.now(UTC))
            settled.set()

        thread = threading.Thread(target=somebody)
        thread.start()
        assert sweep.sweep(None, Asked()) == 0
        thread.join()
        assert settled.is_set()
    assert capsys.readouterr().out == "github: 0 repositories seen, 0 proposed.\n"
    assert place.forge.asked == {}


# --- a rehearsal --------------------------------------------------------------------------


def contents(database: Path) -> list[str]:
    """Return everything that a database holds."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return list(connection.iterdump())


def test_a_rehearsal_says_what_would_be_done_and_writes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    populate(place, "acme/app", "other/app")
    place.forge.create("acme/broken", {**FILES, ".moorline.yml": b"mode: what\n"})
    place.forge.create("acme/held", {**FILES, ".moorline.yml": b"preset: strict\n"})
    place.forge.create("acme/copy", FILES)
    place.forge.projects["acme/copy"].fork = True
    with place.store():
        pass
    before = contents(place.database)
    assert sweep.rehearse(None, Asked()) == 3
    out = capsys.readouterr().out
    assert out.startswith("github: 5 repositories seen, 2 would be proposed, 1 with nothing to propose")
    assert "would propose: acme/app main: " in out
    assert "Dockerfile: docker.io/library/node:22" in out
    assert "held: acme/held main: Dockerfile:1 node:22: " in out
    assert "failed: acme/broken main: .moorline.yml" in out
    assert "left out: 1 a fork" in out
    assert contents(place.database) == before
    assert not {"write", "open", "check", "comment"} & place.forge.asked.keys()
    assert {number for path, number in place.images.asked.items() if "sha256:" not in path} == {1}


def test_a_rehearsal_needs_no_database_and_makes_none(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    populate(place, "acme/app")
    assert sweep.rehearse(None, Asked(as_json=True)) == 0
    shown = printed(capsys)
    assert (shown["dry_run"], shown["proposed"], shown["id"]) == (True, 1, None)
    assert not place.database.exists()


def test_a_rehearsal_knows_what_stands_and_what_the_limits_are(
    place: Place, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.yml"
    policy.write_text("limits: {first-per-day: 2}\n")
    monkeypatch.setenv("MOORLINE_POLICY", str(policy))
    populate(place, "acme/app")
    sweep.sweep(None, Asked())
    populate(place, "acme/one", "acme/two")
    capsys.readouterr()
    before = contents(place.database)
    sweep.rehearse(None, Asked(as_json=True))
    shown = printed(capsys)
    assert (shown["unchanged"], shown["proposed"], shown["postponed"]) == (1, 1, 1)
    assert contents(place.database) == before


# --- as it is installed -------------------------------------------------------------------


def test_the_command_sweeps_what_the_operator_names(tmp_path: Path) -> None:
    require_git()
    images = Images()
    images.add("docker.io/library/node", "22")
    images.add("docker.io/library/redis", "7")
    make_repository(tmp_path / "app.git", FILES)
    with Hosts(images, Repositories()) as hosts:
        world = World(images=images, repositories=Repositories(), url=hosts.url)
        env = environment(
            tmp_path,
            MOORLINE_GIT_REPOSITORIES=json.dumps({"acme/app": str(tmp_path / "app.git")}),
            **world.settings(),
        )
        dry = run("sweep", "--dry-run", "--repo", "acme/*", cwd=tmp_path, env=env)
        assert (dry.returncode, dry.stderr) == (0, "")
        assert "1 would be proposed" in dry.stdout
        assert set(heads(tmp_path / "app.git")) == {"main"}
        assert not (tmp_path / "moorline.db").exists()
        done = run("sweep", "--format", "json", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    [shown] = json.loads(done.stdout)["sweeps"]
    assert (shown["forge"], shown["proposed"]) == ("git", 1)
    assert "moorline/pin/main" in heads(tmp_path / "app.git")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--resume", "--dry-run"), "--resume"),
        (("--repo", "a/../b"), "--repo must not"),
        (("--forge", "github"), "no forge is configured"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run("sweep", *arguments, cwd=tmp_path, env=environment(tmp_path))
    assert done.returncode == 2
    assert said in done.stderr
