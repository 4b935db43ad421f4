"""One database behind everything that is remembered: connections, transactions, the schema.

SQLite runs in WAL with `synchronous=FULL`, and every writing transaction takes the write lock at
its start: a transaction that reads first and upgrades later fails at once where another writes.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql.schema import Table

from bot.errors import StoreError
from bot.store.base import StoreUnavailableError
from bot.store.refusals import refusal
from bot.store.tables import SCHEMA_VERSION, metadata, schema, stamp
from bot.visible import visible

_READING = "moorline_reading"
_BUSY_SECONDS = 5.0  # forges give a receiver ten seconds
_MIGRATION_SECONDS = 900.0
_SILENT = ("The database does not answer.", "Look at MOORLINE_DATABASE_URL and its server.")
_SCHEMA_LOCK = 0x6D6F6F72  # any number, the same in every process


class Database:
    """An open database.  Safe to use from threads; `close` gives every connection back."""

    def __init__(self, url: str) -> None:
        """Open the database, making its tables where there are none and upgrading those of an older version.

        `url` is `sqlite:///file` or `postgresql://...`.  Raises `StoreError`.
        """
        self._engine = make_engine(url)
        self.dialect = self._engine.dialect.name
        self._place = place(self._engine.url)
        self._writing = threading.Lock()
        try:
            self._prepare(url)
        except BaseException:
            self._engine.dispose()
            raise

    def _prepare(self, url: str) -> None:
        with self.write() as connection:
            old = _prepare(connection)
        if not old:
            return
        _migrate(url)
        with self.write() as connection:
            old = _prepare(connection)
        if old:
            raise StoreError("The database was upgraded, and is as old as before.")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that may write, committed at the end."""
        with self._turn(), _translated(self._place), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait among our threads for a turn to write.

        SQLite lets whoever asks at the right moment go first: of eight, one would wait for most of a second.
        """
        if self.dialect != "sqlite":
            yield
            return
        if not self._writing.acquire(timeout=_BUSY_SECONDS):
            raise StoreUnavailableError("The database is busy.")
        try:
            yield
        finally:
            self._writing.release()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that only reads."""
        with (
            _translated(self._place),
            self._engine.connect().execution_options(**{_READING: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return an insert that knows `ON CONFLICT`, which both databases spell alike."""
        return sqlite.insert(table) if self.dialect == "sqlite" else postgresql.insert(table)

    def clock(self, connection: Connection) -> float:
        """Return the database's own time in seconds since 1970: workers' clocks may differ."""
        now = (
            "SELECT (julianday('now') - 2440587.5) * 86400.0"
            if self.dialect == "sqlite"
            else "SELECT extract(epoch FROM clock_timestamp())"
        )
        return float(connection.execute(text(now)).scalar_one())

    def lock(self, connection: Connection, name: str) -> None:
        """Hold `name` against other transactions until this one ends; SQLite has one writer anyway."""
        if self.dialect == "postgresql":
            lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
            connection.execute(lock, {"name": name})

    def close(self) -> None:
        """Give every connection back."""
        self._engine.dispose()


def clean(value: str) -> str:
    """Return `value` as both databases can hold it: no NUL, no lone surrogate."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite URL, or None for another database; raises `StoreError`."""
    parsed = _parse(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def place(url: URL) -> str:
    """Return how messages name SQLite's file; empty for a server, whose address may hold a password."""
    return visible(url.database or "", 200) if url.get_backend_name() == "sqlite" else ""


def _parse(url: str) -> URL:
    # The text of the URL stays out of every message: it may hold a password.
    # And the advice holds no user either: whatever looks like a login is redacted where it is shown.
    advice = (
        "Set MOORLINE_DATABASE_URL to sqlite:///moorline.db or postgresql://host/name; "
        "user and password go before the host."
    )
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError("The database URL cannot be read.", advice=advice) from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise StoreError("The database must be SQLite or Postgres.", advice=advice)
    if parsed.drivername == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreError("A database in memory forgets what it was given.", advice=advice)
    return parsed


def make_engine(url: str, *, patience: float = _BUSY_SECONDS) -> Engine:
    """Return an engine for a URL; `patience` is how many seconds it waits for a busy SQLite file.

    Raises `StoreError`.
    """
    parsed = _parse(url)
    return _sqlite(parsed, patience) if parsed.get_backend_name() == "sqlite" else _postgres(parsed)


def _sqlite(url: URL, patience: float) -> Engine:
    path = Path(url.database or "")
    try:
        # Ours alone: it holds parts of private repositories.  WAL files inherit the mode.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(
            f"The database file {path} cannot be opened: {error.strerror}.",
            advice="Make its folder and let this user write there.",
        ) from error
    engine = create_engine(url, pool_size=8, max_overflow=8, pool_timeout=patience)

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not behind our back
        connection.execute(f"PRAGMA busy_timeout={int(patience * 1000)}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        reading = connection.get_execution_options().get(_READING, False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _postgres(url: URL) -> Engine:
    return create_engine(
        url,
        pool_size=8,
        max_overflow=8,
        pool_timeout=5,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "application_name": "moorline"},
    )


def hold_schema(connection: Connection) -> None:
    """Hold the schema against everyone who would change it until this transaction ends.

    SQLite needs nothing for it: a transaction that may write is the only one.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _SCHEMA_LOCK})


def found_schema(connection: Connection) -> int | None:
    """Return the version of the schema that is there, or None."""
    if not inspect(connection).has_table(schema.name):
        return None
    return int(connection.execute(select(schema.c.version)).scalar_one())


def _prepare(connection: Connection) -> bool:
    """Make the tables where there are none; return whether those that are there are older ones."""
    hold_schema(connection)
    found = found_schema(connection)
    if found is None:
        metadata.create_all(connection)
        connection.execute(schema.insert().values(version=SCHEMA_VERSION))
        stamp.create(connection)
        connection.execute(stamp.insert().values(version_num=str(SCHEMA_VERSION)))
        return False
    if found > SCHEMA_VERSION:
        raise StoreError(
            f"The database has schema {found}, and this version of Moorline knows {SCHEMA_VERSION}.",
            advice="Run the newer version again, or start with another database.",
        )
    return found < SCHEMA_VERSION


def _migrate(url: str) -> None:
    # `-P`: whoever scans a repository may stand in it, and its modules are not ours.
    command = [sys.executable, "-P", "-m", "bot.store.migrate"]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, input=url, capture_output=True, text=True, timeout=_MIGRATION_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(
            f"The database could not be upgraded to schema {SCHEMA_VERSION}: {type(error).__name__}."
        ) from None
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2][:300]
        raise StoreError(
            f"The database could not be upgraded to schema {SCHEMA_VERSION}: {why or 'no reason given'}.",
            advice="It is as it was. Stop the processes of the older version and try again.",
        )


@contextmanager
def _translated(file: str) -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        problem, advice = refusal(getattr(error, "orig", None), file) or _SILENT
        raise StoreUnavailableError(problem, advice=advice) from error
    except IntegrityError as error:
        raise StoreError("The database refused a row that contradicts another.") from error
    except DBAPIError as error:
        problem, advice = refusal(error.orig, file) or ("The database refused a statement.", "")
        raise StoreError(problem, advice=advice) from error
    except SQLAlchemyError as error:
        raise StoreError("The database gave an answer that cannot be read.") from error
