"""Real databases for tests: a SQLite file, and a throwaway Postgres cluster where one can be made."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy
from servers import REQUIRED


def _binaries() -> Path | None:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    return None


BINARIES = _binaries()
BACKENDS = ("sqlite", "postgres")
_numbers = itertools.count(1)


def url(backend: str, folder: Path, *, durable: bool = False) -> str:
    """Return the URL of an empty database; Postgres has one for all, emptied now.

    `durable` has it write through to the disk as operators do: for measuring.
    """
    if backend == "sqlite":
        return f"sqlite:///{folder / 'moorline.db'}"
    _require_postgres()
    server = _cluster(durable=durable)
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            # Emptying one database is ten times as fast as making another.
            for statement in (
                "DROP SCHEMA IF EXISTS dbos CASCADE",
                "DROP SCHEMA public CASCADE",
                "CREATE SCHEMA public",
            ):
                connection.execute(sqlalchemy.text(statement))
    finally:
        engine.dispose()
    return server.replace("postgresql+psycopg", "postgresql")


def _require_postgres() -> None:
    if BINARIES is None:
        reason = "Postgres is not installed: apt-get install --no-install-recommends postgresql"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def another() -> Iterator[str]:
    """Yield the URL of an empty Postgres database that nobody else empties, in the cluster of all.

    Skips the test where there is no Postgres, unless it is required.
    """
    _require_postgres()
    engine = sqlalchemy.create_engine(_cluster(durable=False), isolation_level="AUTOCOMMIT")
    made = f"moorline_{next(_numbers)}"
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {made} TEMPLATE template0"))
        yield str(
            engine.url.set(drivername="postgresql", database=made).render_as_string(hide_password=False)
        )
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE {made} WITH (FORCE)"))
    finally:
        engine.dispose()


def contents(url: str) -> Iterator[tuple[str, str, object]]:
    """Yield table, column and value of everything that stands in a database, the engine's tables included."""
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        inspector = sqlalchemy.inspect(engine)
        schemas = [one for one in inspector.get_schema_names() if one not in ("information_schema", "temp")]
        with engine.connect() as connection:
            for schema in schemas:
                for table in inspector.get_table_names(schema=schema):
                    quoted = f'"{schema}"."{table}"'
                    rows = connection.execute(sqlalchemy.text(f"SELECT * FROM {quoted}"))
                    for row in rows:
                        for column, value in row._mapping.items():
                            yield table, str(column), value
    finally:
        engine.dispose()


@functools.cache
def _cluster(*, durable: bool) -> str:
    assert BINARIES is not None
    folder = Path(tempfile.mkdtemp(prefix="moorline-pg-"))
    # The server refuses to run as root.
    user = "postgres" if os.getuid() == 0 else None
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, timeout=60)

    run(str(BINARIES / "initdb"), "-D", str(data), "-A", "trust", "-U", "moorline", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
    if not durable:
        options += " -c fsync=off"
    run(str(BINARIES / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")

    def stop() -> None:
        run(str(BINARIES / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)

    atexit.register(stop)
    return f"postgresql+psycopg://moorline@127.0.0.1:{port}/postgres"
