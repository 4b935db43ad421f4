"""The service's parts in this process: retries, several repositories, settings that cannot be used."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from commands import World, environment, run
from git_server import git, make_repository, require_git
from serving import SECRET, heads
from waiting import until

from bot import service
from bot.demo.hosts import Environ, Hosts, Images, Repositories, StartResponse
from bot.errors import UsageError
from bot.jobs.base import Pace
from bot.model import Job, Trigger
from bot.service import Service
from bot.service_settings import Settings
from bot.settings import Lookups
from bot.store.base import Delivery, Ending

BRANCH = "moorline/pin/main"


@dataclass(slots=True)
class Flaky(Images):
    """A registry of which some repositories fail a number of times."""

    failures: dict[str, int] = field(default_factory=dict)

    def answer(self, environ: Environ, start: StartResponse) -> list[bytes]:
        name = environ["PATH_INFO"].removeprefix("/v2/").partition("/manifests/")[0]
        if self.failures.get(name, 0) > 0:
            self.failures[name] -= 1
            start("503 Service Unavailable", [("Content-Length", "0")])
            return []
        return Images.answer(self, environ, start)


@contextmanager
def working(folder: Path, images: Images, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Yield a service that works, with no pauses to speak of between its attempts."""
    monkeypatch.setattr(service, "Pace", lambda **said: replace(Pace(**said), backoff=0.05, poll=0.05))
    settings = Settings.model_validate(
        {
            "database_url": f"sqlite:///{folder}/moorline.db",
            "git_webhook_secret": (SECRET,),
            "git_roots": (str(folder),),
        }
    )
    with Hosts(images, Repositories()) as hosts:
        world = World(images=images, repositories=Repositories(), url=hosts.url)
        lookups = Lookups.from_environ({**world.settings(), "HOME": str(folder)})
        stop = threading.Event()
        with Service(settings, lookups) as made:
            worker = made.worker()
            thread = threading.Thread(target=worker.run, args=(stop,), kwargs={"drain": 5.0})
            thread.start()
            try:
                yield made
            finally:
                stop.set()
                thread.join()


def want(made: Service, repository: Path, number: int = 1) -> None:
    job = Job(forge="git", repository=str(repository), ref="main", trigger=Trigger.PUSH)
    made.store.inbox.receive(
        Delivery(source="git", id=f"{repository}-{number}", jobs=(job,)), datetime.now(UTC)
    )


def endings(made: Service) -> list[Ending]:
    return [one.ending for one in reversed(made.store.backlog.runs(100))]


@pytest.fixture
def images() -> Flaky:
    made = Flaky()
    made.add("docker.io/library/node", "22")
    made.add("docker.io/library/redis", "7")
    return made


def repository(folder: Path, name: str, text: bytes) -> Path:
    require_git()
    make_repository(folder / name, {"Dockerfile": text})
    return folder / name


def test_a_registry_that_comes_back_is_asked_again(
    tmp_path: Path, images: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = repository(tmp_path, "app.git", b"FROM node:22\n")
    images.failures["docker.io/library/node"] = 8
    with working(tmp_path, images, monkeypatch) as made:
        want(made, app)
        until(lambda: Ending.PUBLISHED in endings(made), seconds=40)
        assert set(endings(made)) == {Ending.POSTPONED, Ending.PUBLISHED}
    assert BRANCH in heads(app)


def test_what_can_be_looked_up_is_proposed_and_the_rest_follows(
    tmp_path: Path, images: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = repository(tmp_path, "app.git", b"FROM node:22 AS a\nFROM redis:7\n")
    images.failures["docker.io/library/redis"] = 5
    with working(tmp_path, images, monkeypatch) as made:
        want(made, app)
        until(lambda: Ending.PUBLISHED in endings(made), seconds=40)
        assert endings(made)[0] is Ending.POSTPONED
        assert "the others are proposed" in list(made.store.backlog.runs(100))[-1].detail
    text = git("show", f"{BRANCH}:Dockerfile", cwd=app)
    assert text.count("@sha256:") == 2
    assert git("rev-list", "--count", f"main..{BRANCH}", cwd=app) == "1"


def test_a_registry_that_stays_down_is_not_asked_for_ever(
    tmp_path: Path, images: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = repository(tmp_path, "app.git", b"FROM node:22\n")
    images.failures["docker.io/library/node"] = 10**9
    with working(tmp_path, images, monkeypatch) as made:
        want(made, app)
        until(lambda: Ending.PARKED in endings(made), seconds=40)
        assert endings(made) == [Ending.POSTPONED] * 4 + [Ending.PARKED]
    assert set(heads(app)) == {"main"}


def test_one_bad_repository_does_not_hold_up_another(
    tmp_path: Path, images: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = repository(tmp_path, "good.git", b"FROM node:22\n")
    bad = repository(tmp_path, "bad.git", b"FROM node:22\n")
    for one in (bad / "objects").rglob("*"):
        if one.is_file():
            one.chmod(0o644)
            one.write_bytes(b"damaged")
    with working(tmp_path, images, monkeypatch) as made:
        want(made, bad)
        want(made, tmp_path / "gone.git")
        want(made, good)
        until(lambda: len(endings(made)) >= 3)
        runs = {Path(one.job.repository).name: one for one in made.store.backlog.runs(10)}
    assert runs["good.git"].ending is Ending.PUBLISHED
    assert runs["bad.git"].ending is Ending.FAILED
    assert runs["gone.git"].ending is Ending.FAILED
    assert "Unexpected" not in runs["bad.git"].detail + runs["gone.git"].detail
    assert BRANCH in heads(good)


def test_the_ledger_holds_updates_back_for_a_week(
    tmp_path: Path, images: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = f"FROM node:22@sha256:{'0' * 64}\n".encode()
    app = repository(tmp_path, "app.git", old)
    with working(tmp_path, images, monkeypatch) as made:
        want(made, app)
        until(lambda: endings(made))
        assert endings(made) == [Ending.NOTHING]
    assert set(heads(app)) == {"main"}


# --- what it refuses to start with --------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "settings", "says"),
    [
        ("serve", {"MOORLINE_GIT_WEBHOOK_SECRET": "hunter2"}, "MOORLINE_GIT_WEBHOOK_SECRET"),
        ("serve", {"MOORLINE_GIT_ROOTS": "relative"}, "MOORLINE_GIT_ROOTS"),
        ("serve", {"MOORLINE_GITHUB_WEBHOOK_SECRET": "hunter2 " * 4}, "MOORLINE_GITHUB_APP_ID"),
        ("worker", {"MOORLINE_GITHUB_APP_ID": "7"}, "MOORLINE_GITHUB_PRIVATE_KEY: is not set"),
        ("sweep", {"MOORLINE_GITLAB_WEBHOOK_SECRET": "hunter2 " * 4 + "x"}, "MOORLINE_GITLAB_TOKEN"),
        ("web", {"MOORLINE_PORT": "99999"}, "MOORLINE_PORT"),
        ("web", {"MOORLINE_DATABASE_URL": "mysql://root:hunter2@x/y"}, "database"),
        (
            "worker",
            {"MOORLINE_DATABASE_URL": "sqlite:////no/such/folder/x.db", "MOORLINE_GIT_ROOTS": "/srv"},
            "database",
        ),
        ("worker", {}, "no forge is configured"),
        ("worker", {"MOORLINE_REGISTRY_MIRRORS": "hunter2"}, "MOORLINE_REGISTRY_MIRRORS"),
    ],
)
def test_a_wrong_setting_ends_it_with_2(
    tmp_path: Path, command: str, settings: dict[str, str], says: str
) -> None:
    done = run(command, cwd=tmp_path, env=environment(tmp_path, **settings))
    assert done.returncode == 2, done.stderr
    assert says.lower() in done.stderr.lower()
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_where_the_port_is_taken_no_worker_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.model_validate({"database_url": f"sqlite:///{tmp_path}/moorline.db"})
    with socket.create_server(("127.0.0.1", 0)) as taken, Service(settings, Lookups()) as made:
        monkeypatch.setattr(made, "worker", lambda: pytest.fail("a worker is made"))
        with pytest.raises(UsageError, match="Cannot listen"):
            made.receive(threading.Event(), host="127.0.0.1", port=taken.getsockname()[1])
        assert made.store.leases.versions(60) == frozenset()


def test_a_second_signal_says_that_it_cuts_off(capsys: pytest.CaptureFixture[str]) -> None:
    with service.stopping() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert "cut off" in capsys.readouterr().out


def test_a_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "moorline.toml"
    file.write_text('git_webhook_secret = "hunter2 hunter2 hunter2"\nprot = 8000\n')
    done = run("serve", "--settings", str(file), cwd=tmp_path, env=environment(tmp_path))
    assert done.returncode == 2
    assert "moorline.toml" in done.stderr
    assert "prot" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
