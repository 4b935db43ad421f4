"""The ledger: what this installation saw each reference point to, reign by reign."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from bot.model import ImageReference, Sighting
from bot.store.database import Database
from bot.store.tables import sightings


class SqlLedger:
    """The sightings of one scope (a forge owner and its trust) on a database."""

    def __init__(self, database: Database, scope: str) -> None:
        self._database = database
        self._scope = scope

    def sightings(self, reference: ImageReference) -> tuple[Sighting, ...]:
        key = _key(reference)
        if key is None:
            return ()
        query = (
            select(sightings)
            .where(sightings.c.scope == self._scope, sightings.c.reference == key)
            .order_by(sightings.c.number)
        )
        with self._database.read() as connection:
            return tuple(
                Sighting(
                    scope=row.scope,
                    reference=row.reference,
                    digest=row.digest,
                    first=row.first,
                    last=row.last,
                )
                for row in connection.execute(query)
            )

    def record(self, reference: ImageReference, digest: str, now: datetime) -> None:
        key = _key(reference)
        if key is None:
            return
        newest = (
            select(sightings)
            .where(sightings.c.scope == self._scope, sightings.c.reference == key)
            .order_by(sightings.c.number.desc())
            .limit(1)
        )
        with self._database.write() as connection:
            self._database.lock(connection, f"{self._scope} {key}")
            reign = connection.execute(newest).one_or_none()
            if reign is not None and now < reign.last:
                return  # a slower worker's older look: what came after it is known already
            if reign is not None and reign.digest == digest:
                connection.execute(
                    sightings.update().where(sightings.c.number == reign.number).values(last=now)
                )
                return
            connection.execute(
                sightings.insert().values(
                    scope=self._scope, reference=key, digest=digest, first=now, last=now
                )
            )


def _key(reference: ImageReference) -> str | None:
    """Return the normalised name and tag, or None where only a digest is written: it cannot move."""
    if reference.followed_tag is None:
        return None
    return f"{reference.registry}/{reference.repository}:{reference.followed_tag}"
