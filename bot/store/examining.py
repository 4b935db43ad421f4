"""What can be seen of a database without making or upgrading anything."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from bot.errors import StoreError
from bot.store.base import StoreUnavailableError
from bot.store.database import found_schema, make_engine, place
from bot.store.leases import ENDED
from bot.store.refusals import refusal
from bot.store.tables import SCHEMA_VERSION, leases

KNOWN = SCHEMA_VERSION
"""The schema that this version of Moorline works on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What a database tells of itself."""

    dialect: str
    """`sqlite` or `postgresql`."""
    schema: int | None
    """The version of our tables; None where there are none."""
    journal: str
    """SQLite's journal mode, `wal` where it is as it should be; empty for Postgres."""
    ahead: float
    """Seconds by which our clock is ahead of the database's."""
    workers: tuple[str, ...]
    """Workers that said something within `lease` seconds."""
    silent: int
    """Workers that did not, did not end either, and that nobody has taken over from yet."""
    versions: frozenset[str]
    """Workflow versions of the living workers."""


def signs(url: str, lease: float) -> Signs:
    """Return what is seen of a database that exists.

    Raises `StoreUnavailableError` where it does not answer, and `StoreError` where it is none.
    """
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            return _seen(connection, lease)
    except OperationalError as error:
        refused = refusal(error.orig, place(engine.url))
        if refused is not None:
            raise StoreUnavailableError(refused[0], advice=refused[1]) from None
        # Drivers tell of host and user here, and of no password.
        why = str(error.orig).strip().partition("\n")[0][:300].rstrip(".")
        advice = "Look at MOORLINE_DATABASE_URL and its server."
        raise StoreUnavailableError(f"The database does not answer: {why}.", advice=advice) from None
    except SQLAlchemyError as error:
        problem, advice = refusal(getattr(error, "orig", None), place(engine.url)) or (
            f"The database cannot be read ({type(error).__name__}).",
            "",
        )
        raise StoreError(problem, advice=advice) from None
    finally:
        engine.dispose()


def _seen(connection: Connection, lease: float) -> Signs:
    dialect = connection.dialect.name
    journal = ""
    if dialect == "sqlite":
        journal = str(connection.execute(text("PRAGMA journal_mode")).scalar_one())
        now = time.time()  # SQLite has no other
    else:
        now = float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    ahead = time.time() - now
    schema = found_schema(connection)
    # Another version's tables may be others.
    rows = connection.execute(select(leases)).all() if schema == KNOWN else ()
    alive = [row for row in rows if row.seen >= now - lease]
    return Signs(
        dialect=dialect,
        schema=schema,
        journal=journal,
        ahead=ahead,
        workers=tuple(sorted(row.worker for row in alive)),
        silent=sum(row.seen != ENDED for row in rows) - len(alive),
        versions=frozenset(row.version for row in alive),
    )
