"""What is done by the clock: when it was last done, exactly once for each time that comes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, select, update

from bot.cron import Cron
from bot.model import Job
from bot.store.base import Sweep, Turn
from bot.store.database import Database, clean
from bot.store.sweeps import begin
from bot.store.tables import ticks, turns
from bot.store.wishes import want


class SqlSchedules:
    """`Schedules` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def turn(self, forge: str, repository: str, ref: str) -> Turn:
        with self._database.read() as connection:
            row = connection.execute(select(turns).where(_of(forge, repository, ref))).one_or_none()
        if row is None:
            return Turn()
        first, refresh = json.loads(row.schedules)
        return Turn(
            first=row.first,
            refresh=row.refresh,
            first_waits=row.first_waits,
            refresh_waits=row.refresh_waits,
            schedule_first=tuple(first),
            schedule_refresh=tuple(refresh),
        )

    def take(self, forge: str, repository: str, ref: str, turn: Turn) -> None:
        said = {
            "first": turn.first,
            "refresh": turn.refresh,
            "first_waits": turn.first_waits,
            "refresh_waits": turn.refresh_waits,
            "schedules": json.dumps([turn.schedule_first, turn.schedule_refresh]),
        }
        place = {"forge": forge, "repository": clean(repository), "ref": clean(ref)}
        insert = self._database.insert(turns).values(**place, **said)
        key = [turns.c.forge, turns.c.repository, turns.c.ref]
        with self._database.write() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=key, set_=said))

    def last(self, name: str) -> datetime | None:
        with self._database.read() as connection:
            return connection.execute(select(ticks.c.at).where(ticks.c.name == name)).scalar_one_or_none()

    def done(self, name: str, at: datetime) -> None:
        insert = self._database.insert(ticks).values(name=name, at=at)
        with self._database.write() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=[ticks.c.name], set_={"at": at}))

    def tick(self, name: str, cron: Cron, job: Job, sweep: Sweep | None, now: datetime) -> bool:
        with self._database.write() as connection:
            at = datetime.fromtimestamp(self._database.clock(connection), UTC)
            known = select(ticks.c.at).where(ticks.c.name == name).with_for_update()
            last = connection.execute(known).scalar_one_or_none()
            if last is None:
                # Whoever is first says when counting began; the others find it.
                begun = self._database.insert(ticks).values(name=name, at=at)
                connection.execute(begun.on_conflict_do_nothing())
                return False
            if not cron.due(last, at):
                return False
            connection.execute(update(ticks).where(ticks.c.name == name).values(at=at))
            if sweep is not None:
                begin(self._database, connection, sweep, now)
            else:
                want(self._database, connection, job, now)
        return True


def _of(forge: str, repository: str, ref: str) -> ColumnElement[bool]:
    return and_(turns.c.forge == forge, turns.c.repository == repository, turns.c.ref == ref)
