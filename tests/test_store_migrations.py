"""Schemas on real databases: what is made at once equals what is upgraded, and rows survive."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import databases
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from commands import environment, run
from sqlalchemy import Connection, inspect, text

from bot.errors import StoreError
from bot.model import Job, Trigger
from bot.reference import parse_image
from bot.store.base import Delivery, ProposalState, Receipt
from bot.store.database import make_engine
from bot.store.migrate import upgrade
from bot.store.sql import Store
from bot.store.tables import SCHEMA_VERSION, STAMP, metadata

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OURS = {*metadata.tables, STAMP}

ROWS = """\
INSERT INTO deliveries VALUES ('git', 'd1', 'git', 'acme/app', 'main', 'abc', 1772366400000000);
INSERT INTO wanted
VALUES ('git', 'acme/app', 'main', 'push', 'abc', 1, 1772366400000000, 1772366400000000, 2, 0, 'r2', NULL, NULL, NULL);
INSERT INTO runs VALUES ('r1', 'git', 'acme/app', 'main', 'push', 'parked', 'Away.', 1772366400000000);
INSERT INTO tallies VALUES ('parked', 7);
INSERT INTO proposals
VALUES ('p1', 'git', 'acme/app', 'main', 'pin', 'moorline/pin/main', 'c', 'd', 'Title', 'Body', 'Message', '[]', '',
        'published', 'https', '', 1772366400000000, 1772366400000000);
INSERT INTO proposal_commits VALUES (1, 'p1', 'git', 'acme/app', 'moorline/pin/main', 'e', 1772366400000000);
INSERT INTO sightings (scope, reference, digest, first, last)
VALUES ('acme', 'docker.io/library/node\\:22', 'sha256\\:1', 1772366400000000, 1772366400000000);
INSERT INTO worker_leases VALUES ('w', '1', 1.5)"""


@pytest.fixture(params=databases.BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return databases.url(request.param, tmp_path)


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def first_version(url: str) -> None:
    """Make a database as the first version did: no stamp, and rows in each table."""
    with connected(url) as connection:
        upgrade(connection, "1")
        connection.execute(text(f"DROP TABLE {STAMP}"))
        for statement in ROWS.split(";\n"):
            connection.execute(text(statement))


def shape(connection: Connection) -> dict[str, Any]:
    """Return everything about our tables that their makers decide."""
    inspector = inspect(connection)
    found: dict[str, Any] = {}
    for table in inspector.get_table_names():
        columns = {
            column["name"]: (str(column["type"]), column["nullable"], column["default"])
            for column in inspector.get_columns(table)
        }
        indexes = {
            str(index["name"]): (
                index["column_names"],
                bool(index["unique"]),
                {name: str(value) for name, value in index.get("dialect_options", {}).items()},
            )
            for index in inspector.get_indexes(table)
        }
        key = inspector.get_pk_constraint(table)["constrained_columns"]
        found[table] = (columns, key, indexes)
    query = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        if connection.dialect.name == "sqlite"
        else "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
    )
    triggers = {name: " ".join(sql.split()) for name, sql in connection.execute(text(query))}
    assert triggers
    return found | {"triggers": triggers}


def test_made_at_once_equals_upgraded_from_scratch(url: str, tmp_path: Path) -> None:
    Store(url).close()
    with connected(url) as connection:
        made = shape(connection)
        assert set(made) == {*OURS, "triggers"}
    again = (
        f"sqlite:///{tmp_path / 'other.db'}"
        if url.startswith("sqlite")
        else databases.url("postgres", tmp_path)
    )
    with connected(again) as connection:
        upgrade(connection)
        assert shape(connection) == made
        compared = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(compared, metadata) == []
        assert connection.execute(text("SELECT version FROM moorline_schema")).scalars().all() == [
            SCHEMA_VERSION
        ]
        assert connection.execute(text(f"SELECT version_num FROM {STAMP}")).scalars().all() == [
            str(SCHEMA_VERSION)
        ]
    Store(again).close()


def test_a_first_database_is_upgraded_with_its_rows(url: str) -> None:
    first_version(url)
    node = parse_image("node:22")
    assert node is not None
    with Store(url) as store:
        job = Job(forge="git", repository="acme/app", ref="main", trigger=Trigger.PUSH, head="abc")
        again = Delivery(source="git", id="d1", jobs=(job,))
        assert store.inbox.receive(again, NOW) is Receipt.DUPLICATE
        (claim,) = store.backlog.claim("w", 5, NOW)
        assert (claim.job, claim.attempts, claim.cancelled) == (job, 2, False)
        assert store.inbox.tallies() == {"parked": 7}
        assert [(run.id, run.detail) for run in store.backlog.runs(5)] == [("r1", "Away.")]
        stored = store.proposals.current("git", "acme/app", "main", "pin")
        assert stored is not None
        assert (stored.state, stored.commits, stored.number) == (ProposalState.PUBLISHED, ("e",), 0)
        assert stored.proposal.pins == ()
        assert len(store.ledger("acme").sightings(node)) == 1
        assert store.leases.expired(60) == ("w",)
        assert store.audit.head()[0] == 0
        store.audit.add("operator", "jobs.retried", "git acme/app", {}, NOW)
    with connected(url) as connection:
        assert connection.execute(text(f"SELECT version_num FROM {STAMP}")).scalars().all() == [
            str(SCHEMA_VERSION)
        ]


def test_many_may_open_an_old_database_at_once(url: str) -> None:
    first_version(url)

    def use(number: int) -> Receipt:
        job = Job(forge="git", repository=f"acme/{number}", ref="main", trigger=Trigger.PUSH)
        with Store(url) as store:
            return store.inbox.receive(Delivery(source="git", id=f"x{number}", jobs=(job,)), NOW)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(use, range(3))) == [Receipt.STORED] * 3


def test_an_upgrade_that_fails_leaves_everything_as_it_was(url: str) -> None:
    first_version(url)
    with connected(url) as connection:
        # In the way of what the upgrade makes at its very end.
        connection.execute(text("CREATE TABLE audit_log (number INTEGER)"))
        before = shape_of_tables(connection)
    with pytest.raises(StoreError, match="could not be upgraded") as caught:
        Store(url)
    assert caught.value.advice
    with connected(url) as connection:
        assert shape_of_tables(connection) == before
        assert connection.execute(text("SELECT version FROM moorline_schema")).scalar_one() == 1


def shape_of_tables(connection: Connection) -> dict[str, list[str]]:
    inspector = inspect(connection)
    return {
        table: sorted(column["name"] for column in inspector.get_columns(table))
        for table in inspector.get_table_names()
    }


def test_the_upgrade_s_problem_holds_no_password(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "bot.store.migrate"]
    url = "postgresql://nobody:hunter2@127.0.0.1:1/x"
    done = subprocess.run(command, input=url, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.strip()
    assert "hunter2" not in done.stdout + done.stderr


def test_opening_an_old_database_imports_no_migrations_and_runs_no_stranger_s_code(tmp_path: Path) -> None:
    """The process may stand in a repository that somebody else wrote."""
    url = f"sqlite:///{tmp_path / 'moorline.db'}"
    first_version(url)
    stranger = tmp_path / "stranger"
    for name in ("bot", "alembic", "sqlalchemy"):
        (stranger / name).mkdir(parents=True)
        (stranger / name / "__init__.py").write_text("open('ran', 'w').close()\n")
    code = (
        "import sys; from bot.store.sql import Store; Store(sys.argv[1]).close();"
        " sys.exit('alembic' in sys.modules or 'mako' in sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", code, url], check=True, cwd=stranger, env=dict(os.environ))
    assert not (stranger / "ran").exists()


def test_the_command_refuses_a_newer_database_with_advice(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'moorline.db'}"
    Store(url).close()
    with connected(url) as connection:
        connection.execute(text("UPDATE moorline_schema SET version = 99"))
    settings = environment(tmp_path, MOORLINE_DATABASE_URL=url, MOORLINE_GIT_ROOTS=str(tmp_path))
    done = run("worker", cwd=tmp_path, env=settings)
    assert done.returncode == 2
    assert "schema 99" in done.stderr
    assert "newer version" in done.stderr
