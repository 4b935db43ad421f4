"""Who is alive: one row for each worker, by the database's own clock."""

from __future__ import annotations

from sqlalchemy import select

from bot.store.database import Database
from bot.store.tables import leases

ENDED = 0.0
"""When a worker was last seen that ended by itself: no clock says so."""


class SqlLeases:
    """`Leases` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def beat(self, worker: str, version: str) -> None:
        with self._database.write() as connection:
            seen = self._database.clock(connection)
            insert = self._database.insert(leases).values(worker=worker, version=version, seen=seen)
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=[leases.c.worker], set_={"version": version, "seen": seen}
                )
            )

    def expired(self, seconds: float) -> tuple[str, ...]:
        with self._database.read() as connection:
            before = self._database.clock(connection) - seconds
            query = select(leases.c.worker).where(leases.c.seen < before).order_by(leases.c.worker)
            return tuple(connection.execute(query).scalars())

    def ended(self) -> frozenset[str]:
        query = select(leases.c.worker).where(leases.c.seen == ENDED)
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())

    def versions(self, seconds: float) -> frozenset[str]:
        with self._database.read() as connection:
            before = self._database.clock(connection) - seconds
            query = select(leases.c.version).where(leases.c.seen >= before)
            return frozenset(connection.execute(query).scalars())

    def end(self, worker: str) -> None:
        with self._database.write() as connection:
            connection.execute(leases.update().where(leases.c.worker == worker).values(seen=ENDED))

    def drop(self, worker: str) -> None:
        with self._database.write() as connection:
            connection.execute(leases.delete().where(leases.c.worker == worker))
