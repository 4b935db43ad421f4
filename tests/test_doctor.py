"""`moorline doctor` against stand-ins of everything it looks at, healthy and not."""

from __future__ import annotations

import base64
import json
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import databases
import pytest
from commands import environment, run
from github_standin import GitHub, github
from gitlab_standin import GitLab, Level, gitlab
from scripted import Asked, Reply, Scripted, scripted
from werkzeug.serving import make_server

from bot.doctor import command
from bot.doctor.findings import Mark, Part
from bot.errors import StoreError
from bot.jobs.base import WORKFLOW_VERSION
from bot.model import Job, Trigger
from bot.registries.docker_config import docker_logins
from bot.registries.examining import targets
from bot.registries.rules import Allowed
from bot.store import examining
from bot.store.base import Ending
from bot.store.refusals import refusal
from bot.store.sql import Store
from webhooks import Site, create_app
from webhooks.site import Secrets

SECRET = "c6a1f0e55d1b4f0f9c2f8d0b7a3e9d41"
SIGNING = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
PASSWORD = "a password of nobody's"
NOW = datetime.now(UTC)


@dataclass
class Ward:
    """A folder with a database, settings, and a look by the doctor."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder / 'moorline.db'}"

    def look(self, *, forge: str | None = None, file: Path | None = None) -> Look:
        for name in [one for one in os.environ if one.startswith("MOORLINE_")]:
            self.monkeypatch.delenv(name)
        self.monkeypatch.setenv("HOME", str(self.folder))
        self.monkeypatch.setenv("MOORLINE_DATABASE_URL", self.database)
        for name, value in self.settings.items():
            self.monkeypatch.setenv(name, value)
        code = command.examine(file, forge=forge, as_json=True)
        text = self.capsys.readouterr().out
        document = json.loads(text)
        assert (document["version"], document["exit_code"]) == (1, code)
        return Look(code=code, text=text, findings=document["findings"])


@dataclass
class Look:
    code: int
    text: str
    findings: list[dict[str, str]]

    def of(self, part: str, subject: str = "", mark: str = "") -> list[str]:
        """Return the texts of findings."""
        return [
            one["text"]
            for one in self.findings
            if one["part"] == part and one["subject"].startswith(subject) and mark in ("", one["mark"])
        ]

    def bad(self) -> list[tuple[str, str, str]]:
        """Return part, subject and text of what is not fine."""
        return [(one["part"], one["subject"], one["text"]) for one in self.findings if one["mark"] != "ok"]


@pytest.fixture
def registry() -> Iterator[Scripted]:
    """A registry that answers; its mirror entry keeps the doctor from asking the real Docker Hub."""
    with scripted() as server:
        server.routes["GET /v2/"] = Reply(headers=[("RateLimit-Remaining", "76;w=21600")])
        yield server


@pytest.fixture
def ward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], registry: Scripted
) -> Ward:
    made = Ward(tmp_path, monkeypatch, capsys)
    made.settings = {
        "MOORLINE_REGISTRY_MIRRORS": json.dumps({"*": registry.url}),
        "MOORLINE_GIT_WEBHOOK_SECRET": SECRET,
        "MOORLINE_GIT_ROOTS": str(tmp_path),
        "MOORLINE_PUBLIC_URL": "",
    }
    with Store(made.database) as store:
        store.leases.beat("a worker", WORKFLOW_VERSION)
    return made


@contextmanager
def receiver(store: Store) -> Iterator[str]:
    """Run our own web application, and yield its address."""
    site = Site(github_secrets=(SECRET,), gitlab_secrets=Secrets({"": (SECRET,)}), git_secrets=(SECRET,))
    app = create_app(inbox=store.inbox, proposals=store.proposals, site=site)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hub(ward: Ward) -> Iterator[GitHub]:
    with github() as standin:
        standin.repository("acme/app", {"Dockerfile": b"FROM node:22\n"})
        standin.install("acme")
        key = ward.folder / "app.pem"
        key.write_text(standin.private_key)
        key.chmod(0o600)
        ward.settings |= {
            "MOORLINE_GITHUB_URL": standin.url,
            "MOORLINE_GITHUB_APP_ID": str(standin.app_id),
            "MOORLINE_GITHUB_PRIVATE_KEY": str(key),
            "MOORLINE_GITHUB_WEBHOOK_SECRET": f"github {SECRET}",
        }
        yield standin


@pytest.fixture
def lab(ward: Ward) -> Iterator[GitLab]:
    with gitlab() as standin:
        bot = standin.user("moorline", bot=True)
        standin.join("acme", bot, Level.MAINTAINER)
        standin.project("acme/web", {"Dockerfile": b"FROM node:22\n"})
        ward.settings |= {
            "MOORLINE_GITLAB_URL": standin.url,
            "MOORLINE_GITLAB_TOKEN": standin.token(bot),
            "MOORLINE_GITLAB_SIGNING_TOKEN": SIGNING,
        }
        yield standin


def hooked(lab: GitLab, url: str, **more: Any) -> None:
    events: dict[str, Any] = dict.fromkeys(
        ("push_events", "tag_push_events", "merge_requests_events", "note_events"), True
    )
    (project,) = lab.world.projects.values()
    lab.hook(project, url, signing_token=SIGNING, **events, **more)


class TestHealthy:
    def test_everything_is_looked_at_and_fine(self, ward: Ward, hub: GitHub, lab: GitLab) -> None:
        with Store(ward.database) as store, receiver(store) as url:
            ward.settings["MOORLINE_PUBLIC_URL"] = url
            hub.world.hook_url = f"{url}/webhooks/github"
            hooked(lab, f"{url}/webhooks/gitlab")
            seen = ward.look()
        # A stand-in on loopback has no https.
        assert [one[:2] for one in seen.bad()] == [("github", "hook")]
        assert seen.code == command.OK
        assert {one["part"] for one in seen.findings} == {
            "settings", "database", "receiver", "registries", "github", "gitlab",
        }  # fmt: skip
        assert seen.of("receiver", "hook") == [
            f"/webhooks/{one} is there." for one in ("git", "github", "gitlab")
        ]
        assert seen.of("registries") == ["It answers without a login; 76 pulls are left."]
        assert seen.of("database", "workers") == ["1 worker lives."]
        assert seen.of("github", "clock", "ok")
        assert seen.of("gitlab", "token expiry", "ok")

    def test_nothing_is_changed(self, ward: Ward, hub: GitHub, lab: GitLab) -> None:
        before = (ward.folder / "moorline.db").read_bytes()
        ward.look()
        assert lab.writes() == []
        assert {one.method for one in hub.requests} <= {"GET", "POST"}
        posts = [one for one in hub.asked() if one.startswith("POST")]
        assert set(posts) <= {"POST /app/installations/{installation_id}/access_tokens"}
        assert (ward.folder / "moorline.db").read_bytes() == before

    def test_one_forge_alone(self, ward: Ward, hub: GitHub, lab: GitLab) -> None:
        seen = ward.look(forge="gitlab")
        assert seen.of("gitlab")
        assert not seen.of("github")
        assert hub.asked() == []
        assert lab.requests

    def test_a_forge_that_is_not_configured(self, ward: Ward) -> None:
        seen = ward.look(forge="github")
        assert seen.code == command.CONFIGURATION
        assert seen.of("settings", "github", "trouble") == ["The forge github is not configured."]


class TestSettings:
    def test_one_that_cannot_be_used(self, ward: Ward) -> None:
        ward.settings["MOORLINE_PORT"] = "seven"
        seen = ward.look()
        assert seen.code == command.CONFIGURATION
        assert [(one["part"], one["mark"]) for one in seen.findings] == [("settings", "trouble")]
        assert "MOORLINE_PORT" in seen.text
        assert "seven" not in seen.text

    def test_a_secret_that_is_too_short(self, ward: Ward) -> None:
        ward.settings["MOORLINE_GITHUB_WEBHOOK_SECRET"] = "short and bad"
        seen = ward.look()
        assert seen.code == command.CONFIGURATION
        assert "MOORLINE_GITHUB_WEBHOOK_SECRET" in seen.text
        assert "short and bad" not in seen.text

    @pytest.mark.parametrize(
        ("change", "subject", "mark", "says"),
        [
            ({"MOORLINE_GITHUB_APP_ID": "7"}, "github", "trouble", "no private key"),
            ({"MOORLINE_GITHUB_PRIVATE_KEY": "/nowhere"}, "github", "trouble", "no App that it is for"),
            ({"MOORLINE_GITHUB_WEBHOOK_SECRET": "g" + SECRET}, "github", "trouble", "no App to work"),
            (
                {"MOORLINE_GITHUB_APP_ID": "7", "MOORLINE_GITHUB_PRIVATE_KEY": "/nowhere"},
                "github",
                "trouble",
                "cannot be read: No such file",
            ),
            ({"MOORLINE_GITLAB_SIGNING_TOKEN": SIGNING}, "gitlab", "trouble", "no account"),
            (
                {"MOORLINE_GITLAB_SIGNING_TOKEN": SIGNING, "MOORLINE_GITLAB_WEBHOOK_SECRET": "l" + SECRET},
                "gitlab",
                "note",
                "counts for nothing",
            ),
            (
                {
                    "MOORLINE_GITLAB_SIGNING_TOKEN": json.dumps({"acme": SIGNING}),
                    "MOORLINE_GITLAB_WEBHOOK_SECRET": json.dumps({"acme": "l" + SECRET}),
                },
                "gitlab",
                "note",
                "hook acme has both",
            ),
            ({"MOORLINE_PUBLIC_URL": "http://moorline.invalid"}, "address", "trouble", "plain http"),
            ({"MOORLINE_PUBLIC_URL": ""}, "address", "note", "not set"),
            (
                {"MOORLINE_PUBLIC_URL": "https://moorline.invalid", "MOORLINE_PAGES": "true"},
                "pages",
                "note",
                "Everybody",
            ),
            ({"MOORLINE_GIT_WEBHOOK_SECRET": "0123456789abcdef"}, "secrets", "note", "short or repeats"),
            ({"MOORLINE_GIT_WEBHOOK_SECRET": "ab" * 30}, "secrets", "note", "short or repeats"),
            ({"MOORLINE_GITHUB_WEBHOOK_SECRET": SECRET}, "secrets", "note", "hold the same secret"),
            ({"MOORLINE_GIT_ROOTS": "/nowhere/at/all"}, "git", "trouble", "no folder"),
            ({"MOORLINE_GIT_ROOTS": "/" + "a" * 300}, "git", "trouble", "no folder"),
            ({"MOORLINE_GIT_ROOTS": ""}, "git", "trouble", "no repository"),
            ({"MOORLINE_GIT_WEBHOOK_SECRET": ""}, "git", "note", "hook is off"),
            (
                {"MOORLINE_GITHUB_APP_ID": "7", "MOORLINE_GITHUB_PRIVATE_KEY": "/nowhere"},
                "github",
                "trouble",
                "no secret here: `serve` and `web` will not start",
            ),
            (
                {"MOORLINE_GITLAB_TOKEN": f"glpat-{SECRET}"},
                "gitlab",
                "trouble",
                "no secret here: `serve` and `web` will not start",
            ),
            ({"MOORLINE_GITHUB_URI": "x"}, "names", "note", "MOORLINE_GITHUB_URL"),
            (
                {"MOORLINE_GIT_WEBHOOK_SECRET": "", "MOORLINE_GIT_ROOTS": ""},
                "forges",
                "trouble",
                "No forge is configured",
            ),
        ],
    )
    def test_what_is_missing_or_contradicts_itself(
        self, ward: Ward, change: Mapping[str, str], subject: str, mark: str, says: str
    ) -> None:
        ward.settings |= change
        seen = ward.look(forge="git")
        found = seen.of("settings", subject, mark)
        assert [one for one in found if says in one], seen.bad()
        assert seen.code == command.CONFIGURATION or mark == "note"
        assert SECRET not in seen.text
        assert SIGNING not in seen.text

    @pytest.mark.usefixtures("hub")
    def test_files_that_others_may_read(self, ward: Ward) -> None:
        file = ward.folder / "moorline.env"
        file.write_text("MOORLINE_CONCURRENCY=2\n")
        for one in (file, ward.folder / "app.pem"):
            one.chmod(0o644)
        found = ward.look(forge="git", file=file).of("settings", "files", "note")
        assert ["private key" in one for one in found] == [True, False]
        assert "rw-r--r--" in found[0]
        file.chmod(0o600)
        assert len(ward.look(forge="git", file=file).of("settings", "files", "note")) == 1

    def test_a_policy_that_is_none(self, ward: Ward) -> None:
        policy = ward.folder / "policy.yml"
        ward.settings["MOORLINE_POLICY"] = str(policy)
        policy.write_text("presett: strict\n")
        seen = ward.look(forge="git")
        assert seen.code == command.CONFIGURATION
        assert seen.of("policy", mark="trouble")
        policy.write_text("preset: strict\n")
        assert ward.look(forge="git").of("policy", mark="ok")

    @pytest.mark.usefixtures("lab")
    def test_another_forge_is_looked_at_where_one_is_set_wrongly(self, ward: Ward) -> None:
        ward.settings |= {"MOORLINE_GITHUB_APP_ID": "7", "MOORLINE_GITHUB_PRIVATE_KEY": "/nowhere"}
        seen = ward.look()
        assert seen.of("gitlab", "account", "ok")
        assert seen.of("github", "settings", "unknown")


class TestDatabase:
    def test_one_that_is_not_there_is_not_made(self, ward: Ward) -> None:
        (ward.folder / "moorline.db").unlink()
        for rest in ("-wal", "-shm"):
            (ward.folder / f"moorline.db{rest}").unlink(missing_ok=True)
        seen = ward.look(forge="git")
        assert seen.of("database", "file", "note")
        assert not list(ward.folder.glob("moorline.db*"))

    def test_one_in_a_folder_that_is_not_there(self, ward: Ward) -> None:
        ward.settings["MOORLINE_DATABASE_URL"] = "sqlite:////nowhere/at/all.db"
        seen = ward.look(forge="git")
        assert seen.code == command.CONFIGURATION
        assert seen.of("settings", "database", "trouble") == [
            "There is no folder /nowhere/at for the database."
        ]

    @pytest.mark.parametrize("url", ["mysql://x", "sqlite:///:memory:", "postgresql"])
    def test_an_address_that_is_none(self, ward: Ward, url: str) -> None:
        ward.settings["MOORLINE_DATABASE_URL"] = url
        seen = ward.look(forge="git")
        assert seen.code == command.CONFIGURATION
        [advice] = [one["advice"] for one in seen.findings if one["subject"] == "database"]
        assert "postgresql://host/name" in advice
        assert "[redacted]" not in advice
        assert SECRET not in seen.text

    def test_an_address_that_cannot_be_split_shows_no_password(self, ward: Ward) -> None:
        ward.settings["MOORLINE_DATABASE_URL"] = f"postgresql://u:{SECRET}@["
        seen = ward.look(forge="git")
        assert seen.of("database", "connection", "trouble")
        assert SECRET not in seen.text

    def test_a_path_that_no_file_system_has(self, ward: Ward) -> None:
        ward.settings["MOORLINE_DATABASE_URL"] = f"sqlite:////{'a' * 300}/moorline.db"
        seen = ward.look(forge="git")
        assert seen.of("database", "file", "unknown") == [
            "The database's file cannot be looked at: File name too long."
        ]
        assert seen.code == command.UNKNOWN

    def test_a_file_that_is_none(self, ward: Ward) -> None:
        for one in ward.folder.glob("moorline.db*"):
            one.unlink()
        (ward.folder / "moorline.db").write_bytes(b"no database, whatever its name says" * 200)
        seen = ward.look(forge="git")
        [text] = seen.of("database", "connection", "trouble")
        assert text == f"{ward.folder / 'moorline.db'} is not a SQLite database."
        assert seen.code == command.TROUBLE
        with pytest.raises(StoreError, match="is not a SQLite database") as caught:
            Store(ward.database)
        assert "Restore a backup" in caught.value.advice

    @pytest.mark.parametrize(("ahead", "mark"), [(1, "trouble"), (-1, "note")])
    def test_another_schema_is_said_and_left_alone(
        self, ward: Ward, monkeypatch: pytest.MonkeyPatch, ahead: int, mark: str
    ) -> None:
        monkeypatch.setattr("bot.doctor.database.KNOWN", examining.KNOWN - ahead)
        seen = ward.look(forge="git")
        assert seen.of("database", "schema", mark)
        assert not seen.of("database", "queue")

    def test_a_file_that_others_may_read(self, ward: Ward) -> None:
        (ward.folder / "moorline.db").chmod(0o644)
        assert "rw-r--r--" in ward.look(forge="git").of("database", "file", "note")[0]

    @pytest.mark.parametrize(("free", "mark"), [(10**12, "ok"), (5 * 10**8, "note"), (10**7, "trouble")])
    def test_room(self, ward: Ward, monkeypatch: pytest.MonkeyPatch, free: int, mark: str) -> None:
        class Usage:
            def __init__(self, _path: Path) -> None:
                self.free = free

        monkeypatch.setattr("shutil.disk_usage", Usage)
        assert ward.look(forge="git").of("database", "disk", mark)

    def test_no_worker(self, ward: Ward) -> None:
        with Store(ward.database) as store:
            store.leases.drop("a worker")
        assert ward.look(forge="git").of("database", "workers", "note") == ["No worker lives."]
        with Store(ward.database) as store:
            store.inbox.want((job("acme/app"),), NOW)
        seen = ward.look(forge="git")
        assert seen.of("database", "workers", "trouble") == ["No worker lives, and there is work."]
        assert seen.code == command.TROUBLE

    def test_workers_of_another_version_and_silent_ones(self, ward: Ward) -> None:
        with Store(ward.database) as store:
            store.leases.beat("a second one", WORKFLOW_VERSION)
            store.leases.beat("one that ended", WORKFLOW_VERSION)
            store.leases.end("one that ended")
        with closing(sqlite3.connect(ward.folder / "moorline.db")) as database, database:
            database.execute("UPDATE worker_leases SET seen = 1 WHERE worker = 'a worker'")
        [text] = ward.look(forge="git").of("database", "workers", "note")
        assert text == "1 worker lives. 1 ended without a word."
        with Store(ward.database) as store:
            store.leases.beat("an old one", "0")
        [text] = ward.look(forge="git").of("database", "workers", "note")
        assert text.startswith("2 workers live. Some of another version")

    def test_what_is_late_or_stuck(self, ward: Ward) -> None:
        with Store(ward.database) as store:
            for name, ending in (("acme/parked", Ending.PARKED), ("acme/failed", Ending.FAILED)):
                store.inbox.want((job(name),), NOW)
                [claim] = store.backlog.claim("a worker", 9, NOW)
                store.backlog.settle(claim.run, ending, f"It {ending.value}.", NOW)
            # Counted from now: the module may have been read minutes ago.
            store.inbox.want((job("acme/app"),), datetime.now(UTC) - timedelta(minutes=45))
        seen = ward.look(forge="git")
        assert seen.of("database", "queue", "trouble")[0].startswith(
            "1 ref waits. The oldest could have been"
        )
        assert "45 minutes ago" in seen.of("database", "queue")[0]
        assert seen.of("database", "parked", "trouble")[0].endswith(": 1 ref.")
        assert seen.of("database", "failed", "note")[0].endswith(": 1 ref.")
        assert seen.code == command.TROUBLE

    def test_postgres(self, ward: Ward) -> None:
        url = databases.url("postgres", ward.folder)
        ward.settings["MOORLINE_DATABASE_URL"] = url
        assert ward.look(forge="git").of("database", "schema", "note") == ["The database is empty."]
        with Store(url) as store:
            store.leases.beat("a worker", WORKFLOW_VERSION)
        assert ward.look(forge="git").of("database", "workers", "ok")

    @pytest.mark.parametrize(
        ("user", "name", "says"),
        [
            ("moorline", "nosuch", "no database of that name"),
            ("nobody", "postgres", "does not let this user in"),
        ],
    )
    def test_a_server_that_lets_nobody_in(self, ward: Ward, user: str, name: str, says: str) -> None:
        place = urlsplit(databases.url("postgres", ward.folder)).netloc.rpartition("@")[2]
        url = f"postgresql://{user}:{SECRET}@{place}/{name}"
        ward.settings["MOORLINE_DATABASE_URL"] = url
        seen = ward.look(forge="git")
        [text] = seen.of("database", "connection", "trouble")
        assert says in text
        with pytest.raises(StoreError, match=says) as caught:
            Store(url)
        assert "MOORLINE_DATABASE_URL" in caught.value.advice
        assert SECRET not in seen.text + str(caught.value)

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            ('FATAL:  password authentication failed for user "x"', "the password"),
            ("fe_sendauth: no password supplied", "the password"),
            ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "x"', "this user"),
            ("FATAL:  the database system is starting up", "is starting"),
            ("Connection refused", "refuses the connection"),
            ("failed to resolve host 'nosuch': [Errno -2] Name or service not known", "no such host"),
            ("connection timeout expired", "for too long"),
            ("something else", None),
        ],
    )
    def test_what_a_server_says(self, words: str, says: str | None) -> None:
        said = refusal(RuntimeError(f"connection failed: {words}"))
        assert said is None if says is None else said is not None and says in said[0]

    def test_a_server_that_is_away(self, ward: Ward) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        ward.settings["MOORLINE_DATABASE_URL"] = f"postgresql://moorline:{SECRET}@127.0.0.1:{port}/moorline"
        seen = ward.look(forge="git")
        assert seen.code == command.TROUBLE
        [text] = seen.of("database", "connection", "trouble")
        assert text == (
            "The database does not answer: its server refuses the connection: nothing listens there."
        )
        with pytest.raises(StoreError, match="refuses the connection") as caught:
            Store(ward.settings["MOORLINE_DATABASE_URL"])
        assert SECRET not in seen.text + str(caught.value)

    def test_what_sqlite_says(self, ward: Ward) -> None:
        path = ward.folder / "small.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("CREATE TABLE t (x)")
            database.execute("PRAGMA max_page_count = 2")
            with pytest.raises(sqlite3.OperationalError) as full:
                database.execute("INSERT INTO t VALUES (zeroblob(100000))")
            database.execute("PRAGMA query_only = 1")
            with pytest.raises(sqlite3.OperationalError) as readonly:
                database.execute("DELETE FROM t")
        assert refusal(full.value, str(path)) == (
            f"The database {path} cannot grow: its disk is full.",
            "Make room there: what is refused meanwhile is caught up with.",
        )
        problem, _ = refusal(readonly.value, str(path)) or ("", "")
        assert problem == f"The database {path} may only be read."
        assert refusal(sqlite3.OperationalError("no such table: t")) is None


class TestReceiver:
    def test_nobody_there(self, ward: Ward) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        ward.settings["MOORLINE_PUBLIC_URL"] = f"http://127.0.0.1:{port}"
        seen = ward.look(forge="git")
        assert seen.of("receiver", "address", "unknown")
        assert seen.code == command.UNKNOWN

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(status=502, body=b"<h1>Bad gateway</h1>"),
            Reply(body=b"<title>Log in</title>"),
            Reply(status=302, headers=[("Location", "https://login.invalid/")]),
        ],
    )
    def test_somebody_else(self, ward: Ward, reply: Reply) -> None:
        with scripted() as proxy:
            proxy.routes["GET /healthz"] = reply
            ward.settings["MOORLINE_PUBLIC_URL"] = proxy.url
            seen = ward.look(forge="git")
            assert {one.path for one in proxy.asked} == {"/healthz"}
        assert seen.of("receiver", "address", "trouble")
        assert seen.code == command.TROUBLE

    def test_a_proxy_that_does_not_lead_to_the_hooks(self, ward: Ward) -> None:
        with scripted() as proxy:
            proxy.routes["GET /healthz"] = Reply(body=b'{"status": "ok"}')
            ward.settings["MOORLINE_PUBLIC_URL"] = proxy.url
            seen = ward.look(forge="git")
        assert seen.of("receiver", "hook", "trouble")


class TestRegistries:
    def login(self, ward: Ward, *keys: str) -> None:
        folder = ward.folder / ".docker"
        folder.mkdir()
        auth = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        document = {"auths": {key: {"auth": auth} for key in keys}}
        (folder / "config.json").write_text(json.dumps(document))

    def asking(self, registry: Scripted, accepted: str) -> Callable[[Asked], Reply]:
        challenge = f'Bearer realm="{registry.url}/token",service="s"'

        def answer(asked: Asked) -> Reply:
            if asked.headers.get("authorization") == accepted:
                return Reply()
            return Reply(status=401, headers=[("WWW-Authenticate", challenge)])

        return answer

    def test_a_token_is_fetched_with_the_login(self, ward: Ward, registry: Scripted) -> None:
        self.login(ward, f"{registry.url}/team")
        registry.routes["GET /v2/"] = self.asking(registry, "Bearer t0ken")
        registry.routes["GET /token"] = Reply(body=b'{"token": "t0ken"}')
        seen = ward.look(forge="git")
        assert seen.of("registries", mark="ok") == ["It answers with its login."]
        [token] = [one for one in registry.asked if one.path.startswith("/token")]
        assert "scope" not in token.path
        assert token.headers["authorization"].startswith("Basic ")
        assert PASSWORD not in seen.text

    def test_a_login_that_is_not_taken(self, ward: Ward, registry: Scripted) -> None:
        self.login(ward, registry.url)
        registry.routes["GET /v2/"] = self.asking(registry, "Bearer t0ken")
        registry.routes["GET /token"] = Reply(status=401, body=PASSWORD.encode())
        seen = ward.look(forge="git")
        assert seen.code == command.TROUBLE
        [text] = seen.of("registries", mark="trouble")
        assert "does not accept the credentials" in text
        assert PASSWORD not in seen.text

    def test_a_registry_that_wants_a_login(self, ward: Ward, registry: Scripted) -> None:
        registry.routes["GET /v2/"] = Reply(status=401, headers=[("WWW-Authenticate", 'Basic realm="r"')])
        assert "wants a login" in ward.look(forge="git").of("registries", mark="trouble")[0]

    def test_a_server_that_is_no_registry(self, ward: Ward, registry: Scripted) -> None:
        del registry.routes["GET /v2/"]
        assert "no registry's answer" in ward.look(forge="git").of("registries", mark="trouble")[0]

    @pytest.mark.parametrize("status", [429, 503])
    def test_one_that_cannot_be_asked_now(self, ward: Ward, registry: Scripted, status: int) -> None:
        registry.routes["GET /v2/"] = Reply(status=status, headers=[("Retry-After", "3600")])
        seen = ward.look(forge="git")
        assert seen.of("registries", mark="unknown")
        assert seen.code == command.UNKNOWN

    def test_few_pulls_are_left(self, ward: Ward, registry: Scripted) -> None:
        headers = [("RateLimit-Limit", "100;w=21600"), ("RateLimit-Remaining", "9;w=21600")]
        registry.routes["GET /v2/"] = Reply(headers=headers)
        seen = ward.look(forge="git")
        assert seen.of("registries", mark="note") == ["It answers without a login; 9 of 100 pulls are left."]

    def test_a_login_opens_no_way_through_the_guard(self, ward: Ward) -> None:
        with scripted() as inside:
            self.login(ward, inside.url)
            seen = ward.look(forge="git")
            assert inside.asked == []
        assert "egress guard" in seen.of("registries", mark="trouble")[0]

    def test_docker_hub_is_asked_where_no_mirror_stands_for_it(self, tmp_path: Path) -> None:
        logins = docker_logins(tmp_path / "none.json", {})
        hub = Allowed(scheme="https", host="registry-1.docker.io", port=443)
        assert [one.origin for one in targets({}, logins, ())] == [hub]
        assert [one.origin for one in targets({"quay.io": "https://m.example"}, logins, ())] == [
            Allowed(scheme="https", host="m.example", port=443),
            hub,
        ]
        for name in ("*", "docker.io", "index.docker.io"):
            assert hub not in [one.origin for one in targets({name: "https://m.example"}, logins, ())]
        (tmp_path / "one.json").write_text(json.dumps({"auths": {"docker.io": {"auth": "bTpw"}}}))
        [target] = targets({}, docker_logins(tmp_path / "one.json", {}), ())
        assert target.origin == hub
        assert target.login is not None


class TestForges:
    def test_a_permission_and_an_event_that_are_missing(self, ward: Ward, hub: GitHub) -> None:
        del hub.world.app.permissions["workflows"]
        hub.world.app.events.remove("push")
        seen = ward.look(forge="github")
        assert "workflows cannot be pinned" in seen.of("github", "permission workflows", "trouble")[0]
        assert seen.of("github", "event push", "trouble")
        assert seen.code == command.TROUBLE

    def test_an_app_that_calls_somebody_else(self, ward: Ward, hub: GitHub) -> None:
        ward.settings["MOORLINE_PUBLIC_URL"] = "https://moorline.invalid"
        hub.world.hook_url = "https://old.example/webhooks/github"
        seen = ward.look(forge="github")
        [text] = seen.of("github", "hook address", "trouble")
        assert not seen.of("github", "hook", "ok")
        assert text == (
            "The webhook calls https://old.example/webhooks/github, and not https://moorline.invalid/webhooks/github."
        )
        for same in (
            "https://MOORLINE.invalid:443/webhooks/github/",
            "https://moorline.invalid/webhooks/github",
        ):
            hub.world.hook_url = same
            assert not ward.look(forge="github").of("github", "hook address")

    @pytest.mark.parametrize(("seconds", "mark"), [(60, "note"), (600, "trouble")])
    def test_a_clock_that_is_wrong(self, ward: Ward, lab: GitLab, seconds: int, mark: str) -> None:
        lab.world.clock = lambda: datetime.now(UTC) + timedelta(seconds=seconds)
        [text] = ward.look(forge="gitlab").of("gitlab", "clock", mark)
        assert str(seconds) in text or str(seconds - 1) in text

    @pytest.mark.usefixtures("hub")
    def test_a_key_of_another_app(self, ward: Ward) -> None:
        ward.settings["MOORLINE_GITHUB_APP_ID"] = "99"
        seen = ward.look(forge="github")
        assert seen.of("github", "key", "trouble")
        assert seen.code == command.TROUBLE

    def test_a_token_that_ends_soon(self, ward: Ward, lab: GitLab) -> None:
        [bot] = [one for one in lab.world.users.values() if one.username == "moorline"]
        ward.settings["MOORLINE_GITLAB_TOKEN"] = token = lab.token(bot, days=5)
        seen = ward.look(forge="gitlab")
        assert "ends in 5 days" in seen.of("gitlab", "token expiry", "note")[0]
        assert token not in seen.text

    def test_a_hook_that_names_itself_is_ours(self, ward: Ward, lab: GitLab) -> None:
        ward.settings["MOORLINE_PUBLIC_URL"] = "https://moorline.invalid"
        hooked(lab, "https://moorline.invalid/webhooks/gitlab/acme")
        assert ward.look(forge="gitlab").of("gitlab", "hook of", "ok")

    @pytest.mark.parametrize("path", ["/webhooks/gitlabs", "/webhooks/gitlab/acme/x", "/webhooks"])
    def test_hooks_of_others_are_not(self, ward: Ward, lab: GitLab, path: str) -> None:
        ward.settings["MOORLINE_PUBLIC_URL"] = "https://moorline.invalid"
        hooked(lab, f"https://moorline.invalid{path}")
        assert "No hook there calls us" in ward.look(forge="gitlab").of("gitlab", "hook of", "note")[0]

    def test_a_server_that_is_away(self, ward: Ward, lab: GitLab) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        ward.settings["MOORLINE_GITLAB_URL"] = f"http://127.0.0.1:{port}"
        seen = ward.look(forge="gitlab")
        assert seen.code == command.TROUBLE
        assert lab.requests == []

    def test_repositories_of_a_git_server(self, ward: Ward) -> None:
        ward.settings["MOORLINE_GIT_REPOSITORIES"] = json.dumps({"acme/app": str(ward.folder / "none.git")})
        seen = ward.look(forge="git")
        assert seen.of("git", mark="trouble")
        assert seen.code == command.TROUBLE


class TestCommand:
    @pytest.mark.usefixtures("hub")
    def test_words_where_nobody_looks(self, ward: Ward) -> None:
        env = environment(ward.folder, MOORLINE_DATABASE_URL=ward.database, **ward.settings)
        done = run("doctor", "--forge", "github", cwd=ward.folder, env=env)
        assert done.returncode == command.OK, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        assert done.stdout.isascii()
        assert {line.split()[0] for line in lines if not line.startswith(" ")} <= {
            *(one.value for one in Mark),
            lines[-1].split()[0],
        }
        assert lines[-1].endswith(" 0 wrong, 0 not looked at")
        assert "        Set MOORLINE_PUBLIC_URL to the address that they call." in lines

    def test_signs_on_a_terminal(
        self, ward: Ward, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ward.settings["MOORLINE_GIT_ROOTS"] = "/nowhere/at/all"
        ward.look(forge="git")
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        code = command.examine(None, forge="git", as_json=False)
        shown = capsys.readouterr().out
        assert code == command.CONFIGURATION
        for sign in ("✓", "!", "✗"):
            assert f"{sign} " in shown
        assert "1 wrong" in shown

    @pytest.mark.parametrize(("encoding", "knows"), [("utf-8", True), ("ascii", False), ("latin-1", False)])
    def test_a_terminal_that_knows_no_signs_is_shown_words(self, encoding: str, *, knows: bool) -> None:
        assert command._knows_signs(encoding) is knows

    def test_hostile_texts_are_made_fit(self, ward: Ward, registry: Scripted) -> None:
        ward.settings["MOORLINE_GIT_REPOSITORIES"] = json.dumps(
            [f"{registry.url}/a\N{RIGHT-TO-LEFT OVERRIDE}b"]
        )
        assert ward.look().code == command.CONFIGURATION
        assert "\\u202e" not in ward.look().text

    def test_parts_and_marks_are_closed(self) -> None:
        assert [one.value for one in Part][:3] == ["settings", "policy", "database"]
        assert {one.value for one in Mark} == {"ok", "note", "trouble", "unknown"}


def job(repository: str) -> Job:
    return Job(forge="github", repository=repository, ref="main", trigger=Trigger.PUSH)
