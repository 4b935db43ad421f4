"""One database behind everything that is remembered: connections, transactions, the schema.

SQLite runs in WAL with `synchronous=FULL`, and every writing transaction takes the write lock at
its start: a transaction that reads first and upgrades later fails at once where another writes.
"""

from __future__ import annotations

import os
import sqlite3
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
from bot.store.tables import SCHEMA_VERSION, metadata, schema

_READING = "moorline_reading"
_BUSY_MILLISECONDS = 5000  # forges give a receiver ten seconds
_SCHEMA_LOCK = 0x6D6F6F72  # any number, the same in every process


class Database:
    """An open database.  Safe to use from threads; `close` gives every connection back."""

    def __init__(self, url: str) -> None:
        """Open the database, making its tables where there are none.

        `url` is `sqlite:///file` or `postgresql://...`.  Raises `StoreError`.
        """
        parsed = _parse(url)
        self.dialect = parsed.get_backend_name()
        self._engine = _sqlite(parsed) if self.dialect == "sqlite" else _postgres(parsed)
        try:
            with self.write() as connection:
                _prepare(connection)
        except BaseException:
            self._engine.dispose()
            raise

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that may write, committed at the end."""
        with _translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that only reads."""
        with (
            _translated(),
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


def _parse(url: str) -> URL:
    # The text of the URL stays out of every message: it may hold a password.
    advice = "Set MOORLINE_DATABASE_URL to sqlite:///moorline.db or postgresql://user@host/name."
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


def _sqlite(url: URL) -> Engine:
    path = Path(url.database or "")
    try:
        # Ours alone: it holds parts of private repositories.  WAL files inherit the mode.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(
            f"The database file {path} cannot be opened: {error.strerror}.",
            advice="Make its folder and let this user write there.",
        ) from error
    engine = create_engine(url, pool_size=8, max_overflow=8, pool_timeout=_BUSY_MILLISECONDS / 1000)

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not behind our back
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
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


def _prepare(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _SCHEMA_LOCK})
    if inspect(connection).has_table(schema.name):
        found = connection.execute(select(schema.c.version)).scalar_one()
        if found > SCHEMA_VERSION:
            raise StoreError(
                f"The database has schema {found}, and this version of Moorline knows {SCHEMA_VERSION}.",
                advice="Run the newer version again, or start with another database.",
            )
        return
    metadata.create_all(connection)
    connection.execute(schema.insert().values(version=SCHEMA_VERSION))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise StoreUnavailableError(
            "The database does not answer.", advice="Look at MOORLINE_DATABASE_URL and its server."
        ) from error
    except IntegrityError as error:
        raise StoreError("The database refused a row that contradicts another.") from error
    except DBAPIError as error:
        raise StoreError("The database refused a statement.") from error
    except SQLAlchemyError as error:
        raise StoreError("The database gave an answer that cannot be read.") from error
