"""The audit log on real databases: only ever added to, and tampering shows."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import click
import databases
import pytest
from commands import environment, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from sqlalchemy import text

from bot.cli import app
from bot.errors import StoreError, UsageError
from bot.model import Fact
from bot.store.audit import START
from bot.store.sql import Store
from webhooks.metrics import Metrics

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
EVIDENCE: Mapping[str, Fact] = {"digest": "sha256:1", "count": 3, "signed": True, "keys": ("a", "b\ud800\0")}


@pytest.fixture(params=databases.BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return databases.url(request.param, tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as opened:
        yield opened


def fill(store: Store, count: int = 5) -> None:
    for number in range(count):
        store.audit.add("moorline", "proposal.published", f"github acme/{number} main", EVIDENCE, NOW)


def unguarded(store: Store, *statements: str) -> None:
    """Do what an attacker does who may do anything to the database."""
    sqlite = store._database.dialect == "sqlite"
    triggers = (
        ("audit_log_no_update", "audit_log_no_delete", "audit_log_in_order")
        if sqlite
        else ("audit_log_no_change", "audit_log_no_truncate")
    )
    with store._database.write() as connection:
        for trigger in triggers:
            connection.execute(text(f"DROP TRIGGER {trigger}" + ("" if sqlite else " ON audit_log")))
        for statement in statements:
            connection.execute(text(statement))


def test_entries_come_back_in_order(store: Store) -> None:
    assert store.audit.head() == (0, START)
    assert store.audit.broken() is None
    first = store.audit.add("github:alice", "decision.added", "github acme/app main", EVIDENCE, NOW)
    second = store.audit.add("operator", "jobs.retried", "acme/app", {}, NOW - timedelta(days=1))
    assert store.audit.entries(0, 10) == (first, second)
    assert store.audit.entries(1, 10) == (second,)
    assert store.audit.entries(0, 1) == (first,)
    assert store.audit.head() == (2, second.hash)
    assert first.evidence["keys"] == ("a", "b?\N{REPLACEMENT CHARACTER}")
    assert first.at == NOW
    assert store.audit.broken() is None


def test_the_hash_is_what_is_documented(store: Store) -> None:
    """Anyone can check an export with a few lines of their own."""
    before = START
    fill(store, 3)
    for entry in store.audit.entries(0, 10):
        said = {
            "number": entry.number,
            "at": 1772366400123456,
            "who": "moorline",
            "what": "proposal.published",
            "subject": f"github acme/{entry.number - 1} main",
            "evidence": {
                "count": 3,
                "digest": "sha256:1",
                "keys": ["a", "b?\N{REPLACEMENT CHARACTER}"],
                "signed": True,
            },
        }
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
        before = hashlib.sha256(f"{before}\n{canonical}".encode()).hexdigest()
        assert entry.hash == before


def test_times_elsewhere_are_the_same_times(store: Store) -> None:
    entry = store.audit.add("a", "b", "c", {}, NOW.astimezone(timezone(timedelta(hours=5))))
    assert store.audit.entries(0, 1)[0].at == entry.at == NOW
    assert store.audit.broken() is None


FACTS = st.one_of(
    st.text(), st.integers(-(2**60), 2**60), st.booleans(), st.lists(st.text(), max_size=3).map(tuple)
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.text(),
    st.text(),
    st.dictionaries(st.text(), FACTS, max_size=4),
    st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants bounds without a zone
)
def test_whatever_is_said_holds(
    store: Store, who: str, subject: str, evidence: dict[str, Fact], at: datetime
) -> None:
    entry = store.audit.add(who, "x", subject, evidence, at)
    assert store.audit.entries(entry.number - 1, 1) == (entry,)
    assert store.audit.broken() is None


def test_what_is_said_is_bounded(store: Store) -> None:
    evidence: dict[str, Fact] = {f"{number:04}": ("x" * 9000,) * 500 for number in range(500)}
    entry = store.audit.add("w" * 9000, "x", "s" * 9000, evidence, NOW)
    assert len(entry.evidence) == 100
    assert max(len(entry.who), len(entry.subject)) == 2000
    assert store.audit.broken() is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET who = 'nobody'",
        "UPDATE audit_log SET who = who WHERE number = 2",
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE number = 5",
        "INSERT INTO audit_log SELECT number, at, 'nobody', what, subject, evidence, hash FROM audit_log",
    ],
)
def test_the_database_refuses_to_change_it(store: Store, statement: str) -> None:
    fill(store)
    with pytest.raises(StoreError), store._database.write() as connection:
        connection.execute(text(statement))
    assert store.audit.broken() is None
    assert store.audit.head()[0] == 5


def test_nor_by_replacing_or_emptying(store: Store) -> None:
    fill(store)
    statement = (
        "INSERT OR REPLACE INTO audit_log SELECT number, at, 'nobody', what, subject, evidence, hash"
        " FROM audit_log WHERE number = 3"
        if store._database.dialect == "sqlite"
        else "TRUNCATE audit_log"
    )
    with pytest.raises(StoreError), store._database.write() as connection:
        connection.execute(text(statement))
    assert store.audit.head()[0] == 5
    assert store.audit.broken() is None


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("UPDATE audit_log SET who = 'nobody' WHERE number = 3", 3),
        ("UPDATE audit_log SET what = 'proposal.closed' WHERE number = 1", 1),
        ("UPDATE audit_log SET subject = subject || ' ' WHERE number = 5", 5),
        ("UPDATE audit_log SET at = at + 1 WHERE number = 2", 2),
        ("UPDATE audit_log SET evidence = '{}' WHERE number = 4", 4),
        ("UPDATE audit_log SET evidence = evidence || ' ' WHERE number = 4", 4),
        ("UPDATE audit_log SET evidence = 'nonsense' WHERE number = 4", 4),
        ("UPDATE audit_log SET evidence = '[1]' WHERE number = 4", 4),
        ("UPDATE audit_log SET hash = (SELECT hash FROM audit_log WHERE number = 1) WHERE number = 2", 2),
        ("DELETE FROM audit_log WHERE number = 3", 3),
        ("DELETE FROM audit_log WHERE number = 1", 1),
        ("UPDATE audit_log SET number = number + 10 WHERE number = 5", 5),
    ],
)
def test_tampering_shows(store: Store, statement: str, number: int) -> None:
    fill(store)
    unguarded(store, statement)
    assert store.audit.broken() == number


def test_an_entry_put_in_between_shows(store: Store) -> None:
    fill(store)
    unguarded(
        store,
        "UPDATE audit_log SET number = number + 100 WHERE number > 2",
        "UPDATE audit_log SET number = number - 99 WHERE number > 100",
        "INSERT INTO audit_log SELECT 3, at, 'nobody', what, subject, evidence, hash FROM audit_log WHERE number = 1",
    )
    assert store.audit.broken() == 3


def test_threads_never_fork_the_chain(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.audit.add("w", "x", str(number), {}, NOW), range(60)))
    assert store.audit.head()[0] == 60
    assert store.audit.broken() is None
    assert {entry.subject for entry in store.audit.entries(0, 100)} == {str(number) for number in range(60)}


def test_processes_never_fork_the_chain(url: str) -> None:
    Store(url).close()
    code = (
        "import sys; from datetime import UTC, datetime; from bot.store.sql import Store\n"
        "with Store(sys.argv[1]) as store:\n"
        "    for number in range(25): store.audit.add('w', 'x', str(number), {}, datetime.now(UTC))\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, url], env=dict(os.environ)) for _ in range(2)]
    assert [process.wait(60) for process in started] == [0, 0]
    with Store(url) as store:
        assert store.audit.head()[0] == 50
        assert store.audit.broken() is None


def test_the_metrics_show_its_head(store: Store) -> None:
    def shown() -> str:
        return generate_latest(Metrics(store.inbox, store.proposals, audit=store.audit).registry).decode()

    assert f'moorline_audit_head_info{{hash="{START}",number="0"}} 1.0' in shown()
    fill(store, 3)
    assert "moorline_audit_entries 3.0\n" in shown()
    assert f'moorline_audit_head_info{{hash="{store.audit.head()[1]}",number="3"}} 1.0' in shown()


# --- the command --------------------------------------------------------------------------


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'moorline.db'}"
    monkeypatch.setenv("MOORLINE_DATABASE_URL", url)
    with Store(url) as store:
        fill(store)
        yield store


def audit(*arguments: str) -> int:
    """Run the command in this process; return its exit code."""
    return int(app(["audit", *arguments], standalone_mode=False))


def test_the_export_is_json_lines(logged: Store, tmp_path: Path) -> None:
    env = environment(tmp_path, MOORLINE_DATABASE_URL=f"sqlite:///{tmp_path / 'moorline.db'}")
    done = run("audit", "--format", "jsonl", "--since", "3", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["number"] for line in lines] == [4, 5]
    assert lines[1] == {
        "number": 5,
        "at": "2026-03-01T12:00:00.123456+00:00",
        "who": "moorline",
        "what": "proposal.published",
        "subject": "github acme/4 main",
        "evidence": {
            "count": 3,
            "digest": "sha256:1",
            "keys": ["a", "b?\N{REPLACEMENT CHARACTER}"],
            "signed": True,
        },
        "hash": logged.audit.head()[1],
    }


def test_the_table_shows_nothing_that_leads_astray(logged: Store, capsys: pytest.CaptureFixture[str]) -> None:
    logged.audit.add("github:\x1b[31mred", "x", "a\u202eb\nc", {"n": "\x07"}, NOW)
    assert audit() == 0
    shown = capsys.readouterr().out
    rows = shown.splitlines()
    assert len(rows) == 6
    assert rows[0].split("\t")[:3] == ["1", "2026-03-01 12:00:00Z", "moorline"]
    assert not any(unseen in shown for unseen in ("\x1b", "\u202e", "\x07"))


def test_the_newest_alone(logged: Store, capsys: pytest.CaptureFixture[str]) -> None:
    number, _ = logged.audit.head()
    for arguments, first in (
        (["--last", "2"], number - 1),
        (["--last", "999"], 1),
        (["--last", "3", "--since", str(number - 1)], number),
    ):
        assert audit(*arguments) == 0
        rows = capsys.readouterr().out.splitlines()
        assert [int(row.split("\t")[0]) for row in rows] == list(range(first, number + 1))
    assert audit("--since", str(number)) == 0
    assert capsys.readouterr().err == "moorline: The audit log has no such entry.\n"


def test_verify_holds_and_breaks(logged: Store, capsys: pytest.CaptureFixture[str]) -> None:
    number, digest = logged.audit.head()
    assert audit("--verify") == 0
    assert f"{number}:{digest}" in capsys.readouterr().out
    assert audit("--verify", "--head", f"{number}:{digest.upper()}") == 0
    fill(logged, 2)
    assert audit("--verify", "--head", f"{number}:{digest}") == 0
    unguarded(logged, "DELETE FROM audit_log WHERE number = 2")
    assert audit("--verify") == 1
    assert "Entry 2" in capsys.readouterr().out


@pytest.mark.parametrize("kept", [0, 3])
def test_a_rewritten_or_shortened_log_does_not_hold_a_noted_head(
    logged: Store, kept: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The chain alone says nothing of that: whoever can write can make another one."""
    noted = "{}:{}".format(*logged.audit.head())
    unguarded(logged, f"DELETE FROM audit_log WHERE number > {kept}")
    assert audit("--verify") == 0
    assert audit("--verify", "--head", noted) == 1
    for number in range(5 - kept):
        logged.audit.add("moorline", "rewritten", str(number), {}, NOW)
    assert audit("--verify") == 0
    capsys.readouterr()
    assert audit("--verify", "--head", noted) == 1
    assert "rewritten" in capsys.readouterr().out


@pytest.mark.parametrize("head", ["", "5", "x:y", "0:ab", "-1:ab", "5:", "٣:ab", f"{'9' * 30}:ab"])
def test_a_head_that_cannot_be_read_is_a_usage_error(logged: Store, head: str) -> None:
    assert logged.audit.head()[0] == 5
    with pytest.raises(UsageError):
        audit("--verify", "--head", head)


def test_a_head_without_verify_is_a_usage_error() -> None:
    with pytest.raises(click.UsageError):
        audit("--head", "1:a")


def test_a_missing_database_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    monkeypatch.setenv("MOORLINE_DATABASE_URL", f"sqlite:///{elsewhere}")
    with pytest.raises(StoreError, match="no database"):
        audit()
    assert not elsewhere.exists()
