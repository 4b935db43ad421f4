"""What operators are given: `app.yml`, `compose.yaml`, the example settings, and the documents beside them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import databases
import pytest
import yaml
from commands import ROOT, environment, run
from gitlab_standin import Level, gitlab
from scripted import Reply, scripted
from servers import program
from sqlalchemy import make_url

from bot.cli import app
from bot.forges import github_doctor
from bot.jobs.base import WORKFLOW_VERSION
from bot.local import CLEAN
from bot.model import Job, Trigger
from bot.service_settings import Settings
from bot.settings import KNOWN, Lookups, variables
from bot.store.base import Ending, ProposalState
from bot.store.sql import Store
from webhooks import Site, create_app
from webhooks import github_events as on_github
from webhooks import gitlab_events as on_gitlab
from webhooks.events import Reason
from webhooks.intake import Result

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "5a0c8b1f4e7d9236a1c4e8f70b2d6395"
APP = yaml.safe_load((ROOT / "app.yml").read_text())
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
EXAMPLE = ROOT / "examples" / "moorline.env"


def document(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the tables below a heading, their own headings left out."""
    part = re.split(rf"^## {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    part = re.split(r"^## ", part, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    made = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [
        row
        for row, following in zip(made, [*made[1:], [""]], strict=True)
        if not row[0].startswith("---") and not following[0].startswith("---")
    ]


class TestApp:
    def test_it_asks_for_what_the_doctor_demands_and_no_more(self) -> None:
        assert APP["default_permissions"] == {
            name: level for name, (level, _) in github_doctor.NEEDED.items()
        }
        assert set(APP["default_events"]) == set(github_doctor.EVENTS)
        assert len(APP["default_events"]) == len(github_doctor.EVENTS)
        assert APP["public"] is False

    def test_github_knows_each_of_them(self) -> None:
        contracts = Path(__file__).parent / "contracts"
        known = json.loads((contracts / "github.json").read_text())["components"]["schemas"][
            "app-permissions"
        ]
        for name, level in APP["default_permissions"].items():
            assert level in known["properties"][name]["enum"], name
        webhooks = json.loads((contracts / "github-webhooks.json").read_text())["webhooks"]
        told = {one.replace("-", "_") for one in webhooks}
        for event in APP["default_events"]:
            assert any(one == event or one.startswith(f"{event}_") for one in told), event

    def test_it_can_be_made_into_a_manifest(self) -> None:
        """A manifest with `hook_attributes` needs their `url`, which only whoever makes the App knows."""
        assert set(APP) == {
            "name",
            "description",
            "url",
            "public",
            "default_permissions",
            "default_events",
        }

    def test_each_has_its_reason(self) -> None:
        lines = (ROOT / "app.yml").read_text().splitlines()
        names = [*APP["default_permissions"], *APP["default_events"]]
        for name in names:
            [line] = [one for one in lines if re.match(rf"  (- )?{name}\b", one)]
            assert re.search(r"\S +# \S", line), line

    def test_the_document_says_the_same(self) -> None:
        table = rows(document("github.md"), "Permissions, and why")
        assert {row[2].strip("`") for row in table} == {
            f"{name}: {level}" for name, level in APP["default_permissions"].items()
        }
        for name, access, code, why in table:
            assert name.lower().replace(" ", "_") == code.strip("`").partition(":")[0]
            assert ("write" in access) == code.endswith("write`")
            assert why

    def test_the_document_names_every_event(self) -> None:
        table = rows(document("github.md"), "Events, and what they start")
        subscribed = {one for row in table if row[1] == "yes" for one in re.findall(r"`(\w+)`", row[0])}
        assert subscribed == set(APP["default_events"])
        told = {one for row in table for one in re.findall(r"`(\w+)`", row[0])}
        assert told == set(on_github._READERS)

    def test_only_events_that_can_be_subscribed_to(self) -> None:
        own = {"installation", "installation_repositories", "installation_target", "github_app_authorization"}
        assert not own & set(APP["default_events"])
        assert set(APP["default_events"]) <= set(on_github._READERS)


def test_the_gitlab_document_names_every_event() -> None:
    told = " ".join(row[0] for row in rows(document("gitlab.md"), "Events, and what they start"))
    words = {
        "push": "push",
        "tag_push": "tag push",
        "merge_request": "merge request",
        "note": "comment",
        "repository_update": "repository update",
        "project_create": "project created",
        "project_rename": "renamed",
        "project_transfer": "transferred",
        "project_destroy": "removed",
        "group_rename": "group renamed",
    }
    assert set(words) | {"project_update"} == set(on_gitlab._READERS)
    for word in words.values():
        assert word in told


class TestExample:
    def said(self, *, everything: bool) -> Mapping[str, str]:
        lines = EXAMPLE.read_text().splitlines()
        pattern = r"#?(MOORLINE_[A-Z_]+=.*)" if everything else r"(MOORLINE_[A-Z_]+=.*)"
        found = [match[1] for line in lines if (match := re.fullmatch(pattern, line))]
        return dict(line.split("=", 1) for line in found)

    def test_every_variable_exists(self) -> None:
        assert set(self.said(everything=True)) <= KNOWN
        assert len(self.said(everything=True)) > 10

    def test_it_can_be_read_as_it_is(self) -> None:
        assert dict(variables({}, EXAMPLE)) == self.said(everything=False)
        Settings.from_environ(self.said(everything=False))

    def test_every_value_in_it_can_be_used(self) -> None:
        said = self.said(everything=True)
        Settings.from_environ(said)
        Lookups.from_environ({**said, "HOME": ""})

    def test_it_holds_no_secret(self) -> None:
        for name, value in self.said(everything=True).items():
            if name.endswith(("_TOKEN", "_SECRET")):
                assert not value


class TestCompose:
    def test_moorline_calls_it_pinned(self) -> None:
        done = run(
            "scan", "--format", "json", "-a", str(ROOT / "compose.yaml"), cwd=ROOT, env=environment(ROOT)
        )
        assert done.returncode == CLEAN
        found = json.loads(done.stdout)["references"]
        assert found
        assert {one["state"] for one in found} == {"pinned"}
        images = {one["image"] for one in COMPOSE["services"].values() if "image" in one}
        assert {one["value"] for one in found} == images

    def test_its_services(self) -> None:
        services = COMPOSE["services"]
        assert set(services) == {"web", "worker", "database"}
        assert services["web"]["command"] == ["web"]
        assert services["worker"]["command"] == ["worker"]
        assert services["worker"]["deploy"]["replicas"] == 2

    @pytest.mark.parametrize("name", list(COMPOSE["services"]))
    def test_none_has_more_rights_than_it_needs(self, name: str) -> None:
        service = COMPOSE["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        assert service.get("user", "10001").split(":")[0] not in ("0", "root")
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")

    def test_the_database_is_within_alone(self) -> None:
        assert COMPOSE["services"]["database"]["networks"] == ["inside"]
        assert COMPOSE["networks"]["inside"]["internal"] is True
        assert "ports" not in COMPOSE["services"]["database"]

    def test_every_variable_exists_and_can_be_used(self) -> None:
        for name in ("web", "worker"):
            said: dict[str, str] = COMPOSE["services"][name]["environment"]
            assert set(said) <= KNOWN
            url = re.sub(r"\$\{POSTGRES_PASSWORD:\?[^}]*\}", SECRET, said["MOORLINE_DATABASE_URL"])
            settings = Settings.from_environ({**said, "MOORLINE_DATABASE_URL": url})
            parsed = make_url(settings.database_url.get_secret_value())
            database = COMPOSE["services"]["database"]["environment"]
            assert (parsed.host, parsed.username, parsed.database, parsed.password) == (
                "database",
                database["POSTGRES_USER"],
                database["POSTGRES_DB"],
                SECRET,
            )

    def test_what_it_mounts_is_what_it_names(self) -> None:
        names = {one for service in COMPOSE["services"].values() for one in service.get("secrets", [])}
        assert names == set(COMPOSE["secrets"])
        key = variables_of_example()["MOORLINE_GITHUB_PRIVATE_KEY"]
        assert key.removeprefix("/run/secrets/") in names
        volumes = COMPOSE["services"]["database"]["volumes"]
        assert {one.partition(":")[0] for one in volumes} == set(COMPOSE["volumes"])

    def test_it_waits_for_runs_to_end(self) -> None:
        grace = int(COMPOSE["services"]["worker"]["stop_grace_period"].removesuffix("s"))
        assert grace > Settings.model_fields["drain_seconds"].default
        assert "drain_seconds" in Settings.model_fields

    def test_its_health_check_asks_what_is_served(self, tmp_path: Path) -> None:
        with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
            web = create_app(inbox=store.inbox, proposals=store.proposals, site=Site())
            command = COMPOSE["services"]["web"]["healthcheck"]["test"]
            path = re.search(r"http://127\.0\.0\.1:8000(/\w+)", command[-1])
            assert path is not None
            assert web.test_client().get(path[1]).status_code == 200

    def test_secrets_beside_it_are_not_committed(self) -> None:
        ignored = (ROOT / ".gitignore").read_text().split()
        assert {"/moorline.env", "/.env", "/*.pem"} <= set(ignored)


def variables_of_example() -> Mapping[str, str]:
    return TestExample().said(everything=True)


# --- operations.md ------------------------------------------------------------------------

OPERATIONS = document("operations.md")


def test_every_metric_is_documented(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        store.audit.add("somebody", "something.done", "to something", {}, NOW)
        web = create_app(
            inbox=store.inbox,
            proposals=store.proposals,
            site=Site(github_secrets=(SECRET,)),
            audit=store.audit,
            webhooks=store.webhooks,
        )
        client = web.test_client()
        client.post("/webhooks/github", data=b"{}")
        text = client.get("/metrics").get_data(as_text=True)
    samples = dict(re.findall(r"^(moorline_\w+)(\{.*\})? \S+$", text, re.MULTILINE))
    shown = {
        name: frozenset(re.findall(r"(\w+)=", labels))
        for name, labels in samples.items()
        if not name.endswith("_created")
    }
    documented = {
        match[1]: frozenset(re.findall(r"\w+", match[2] or ""))
        for row in rows(OPERATIONS, "Metrics")
        if (match := re.fullmatch(r"`(moorline_\w+)(\{[^}]*\})?`", row[0]))
    }
    assert documented == shown
    for match in re.findall(r"\bmoorline_[a-z_]+", OPERATIONS):
        assert match in shown, match
    results = {one.value for kind in (Reason, Result) for one in kind} | {"stored", "duplicate"}
    named = re.search(r"what became of them: (.*?), \.\.\.", OPERATIONS)
    assert named is not None
    assert set(re.findall(r"`([\w-]+)`", named[1])) <= results
    for kind in (Ending, ProposalState):
        assert all(f"`{one.value}`" in OPERATIONS for one in kind)


@pytest.mark.parametrize("name", ["operations.md", "github.md", "gitlab.md"])
def test_results_of_deliveries_are_named_rightly(name: str) -> None:
    results = {one.value for kind in (Reason, Result) for one in kind}
    for label in re.findall(r'result="([\w-]+)"', document(name)):
        assert label in results
    for cell in re.findall(r"`result` says why: (.*) \|", document(name)):
        assert set(re.findall(r"`([\w-]+)`", cell)) <= results


def test_events_in_the_log_exist() -> None:
    told = {one for row in rows(OPERATIONS, "Logs") for one in re.findall(r"`([a-z ]+)`", row[0])}
    assert told
    code = "\n".join(
        path.read_text() for folder in ("bot", "webhooks") for path in (ROOT / folder).rglob("*.py")
    )
    for event in told:
        assert f'"{event}"' in code, event


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder with the settings and the database that the document's commands expect."""
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        for name, ending in (("acme/parked", Ending.PARKED), ("acme/failed", Ending.FAILED)):
            store.inbox.want((job(name),), NOW)
            [claim] = store.backlog.claim("a worker", 9, NOW)
            store.backlog.settle(claim.run, ending, "Why it is stuck.", NOW)
        store.inbox.want((job("acme/app"),), NOW)
        store.leases.beat("a worker", WORKFLOW_VERSION)
        for number in range(3):
            store.audit.add("moorline", "proposal.published", "github acme/app main", {"number": number}, NOW)
    with scripted() as registry:
        registry.routes["GET /v2/"] = Reply()
        lines = {
            "MOORLINE_DATABASE_URL": f"sqlite:///{tmp_path}/moorline.db",
            "MOORLINE_REGISTRY_MIRRORS": json.dumps({"*": registry.url}),
            "MOORLINE_GIT_WEBHOOK_SECRET": SECRET,
            "MOORLINE_GIT_ROOTS": str(tmp_path),
        }
        settings = tmp_path / "moorline.env"
        settings.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        settings.chmod(0o600)
        yield tmp_path


def alone(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in the folder, with nothing set that whoever runs the tests has."""
    for name in [one for one in os.environ if one.startswith("MOORLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(site))
    monkeypatch.chdir(site)


def test_every_command_in_it_runs(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone(site, monkeypatch)
    commands = re.findall(r"^\$ moorline (.*)$", OPERATIONS, re.MULTILINE)
    assert len(commands) > 8
    codes = {line: app.main(shlex.split(line), standalone_mode=False) for line in commands}
    assert {code for line, code in codes.items() if not line.startswith("doctor")} == {0}, codes
    # The job that is parked is wrong; of a forge that is not configured the settings are.
    assert [code for line, code in codes.items() if line.startswith("doctor")] == [1, 2, 1]


def test_the_head_of_the_audit_log_is_verified_as_shown(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone(site, monkeypatch)
    [line] = re.findall(r"^moorline (audit .* --head \S+)$", OPERATIONS, re.MULTILINE)
    *arguments, shown = shlex.split(line)
    assert re.fullmatch(r"[0-9]+:[0-9a-f]{64}", shown)
    with Store(f"sqlite:///{site}/moorline.db") as store:
        number, digest = store.audit.head()
    assert app.main([*arguments, f"{number}:{digest}"], standalone_mode=False) == 0
    assert app.main([*arguments, shown], standalone_mode=False) == 1


class TestBackup:
    def test_a_sqlite_file_is_copied_while_it_is_written(
        self, site: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(site)
        [shell] = re.findall(r"^\$ (sqlite3 .*)$", OPERATIONS, re.MULTILINE)
        [statement] = re.findall(r'^\$ python -m sqlite3 moorline\.db "(.*)"$', OPERATIONS, re.MULTILINE)
        copy = site / "moorline-backup.db"
        with Store(f"sqlite:///{site}/moorline.db") as store:
            store.audit.add("somebody", "last.before", "the backup", {}, NOW)
            head = store.audit.head()
            with closing(sqlite3.connect(site / "moorline.db")) as connection:
                connection.execute(statement)
            self.holds(copy, head)
            copy.unlink()
            if shutil.which("sqlite3"):
                subprocess.run(shlex.split(shell), cwd=site, check=True, timeout=30)
                self.holds(copy, head)

    def holds(self, copy: Path, head: tuple[int, str]) -> None:
        with Store(f"sqlite:///{copy}") as store:
            assert store.audit.head() == head
            assert store.audit.broken() is None
            assert [one.job.repository for one in store.backlog.waits(9)] == ["acme/app"]

    def test_postgres_comes_back_whole(self, tmp_path: Path) -> None:
        url = databases.url("postgres", tmp_path)
        assert databases.BINARIES is not None
        parsed = make_url(url)
        at = [f"--host={parsed.host}", f"--port={parsed.port}"]
        lines = re.findall(r"exec -T database (pg_\w+ .*?) [<>] ", OPERATIONS)
        dump, restore = (
            [
                word.replace("=moorline", "=postgres") if "dbname" in word else word
                for word in shlex.split(line)
            ]
            for line in lines
        )
        dump[-1] = "postgres"
        with Store(url) as store:
            store.audit.add("somebody", "last.before", "the backup", {}, NOW)
            head = store.audit.head()
        kept = subprocess.run(
            [databases.BINARIES / dump[0], *at, *dump[1:]], check=True, capture_output=True, timeout=60
        ).stdout
        with Store(url) as store:
            store.audit.add("somebody", "first.after", "the backup", {}, NOW)
        subprocess.run(
            [databases.BINARIES / restore[0], *at, *restore[1:]],
            input=kept,
            check=True,
            capture_output=True,
            timeout=60,
        )
        with Store(url) as store:
            assert store.audit.head() == head
            assert store.audit.broken() is None


def test_the_doctor_s_words_are_as_shown(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The document shows a part of what it says of this."""
    shown = re.search(r"<!-- doctor:begin -->\n```text\n(.*?)```\n<!-- doctor:end -->", OPERATIONS, re.DOTALL)
    assert shown is not None, "nothing is shown"
    alone(site, monkeypatch)
    with gitlab() as lab:
        bot = lab.user("moorline", bot=True)
        lab.join("acme", bot, Level.MAINTAINER)
        lab.project("acme/web", {"Dockerfile": b"FROM node:22\n"})
        monkeypatch.setenv("MOORLINE_GITLAB_URL", lab.url)
        monkeypatch.setenv("MOORLINE_GITLAB_TOKEN", lab.token(bot, days=9))
        monkeypatch.setenv("MOORLINE_GITLAB_SIGNING_TOKEN", "whsec_" + "A" * 43 + "=")
        monkeypatch.setenv("MOORLINE_PUBLIC_URL", "http://127.0.0.1:9")
        end = datetime.now(UTC).date() + timedelta(days=9)
        app.main(["doctor", "--settings", "moorline.env", "--forge", "gitlab"], standalone_mode=False)
    said = capsys.readouterr().out
    said = said.replace(end.isoformat(), "2026-03-10").replace(
        "http://127.0.0.1:9", "https://moorline.example"
    )
    for line in shown[1].splitlines():
        assert line in said.splitlines(), f"{line}\n\n{said}"


def job(repository: str) -> Job:
    return Job(forge="github", repository=repository, ref="main", trigger=Trigger.PUSH)


def test_programs_that_documents_name_are_known(tmp_path: Path) -> None:
    """What is not ours in a console block is something that operators have."""
    known = {"openssl", "install", "echo", "cp", "docker", "sqlite3", "python", "moorline", "umask"}
    for name in ("operations.md", "github.md", "gitlab.md"):
        for line in re.findall(r"^\$ (\S+)", document(name), re.MULTILINE):
            assert line in known, line
    made: Any = subprocess.run(
        [program("openssl"), "rand", "-hex", "32"], capture_output=True, check=True, cwd=tmp_path
    )
    assert Settings.from_environ({"MOORLINE_GITHUB_WEBHOOK_SECRET": made.stdout.decode().strip()}).receives
