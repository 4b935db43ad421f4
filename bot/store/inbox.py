"""The inbox and the backlog: one row for each branch that is wanted, whoever asked and how often.

A row waits (`claim` is null), runs (`claim` equals `run`), or runs while something newer waits
(`claim` and `run` differ).  Nothing else is state: the engine may lose or repeat a run, and the
row still tells what is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Row, and_, case, exists, func, null, or_, select

from bot.model import Job, Trigger
from bot.store.base import Claim, Delivery, Ending, Receipt, Retry, Run
from bot.store.database import Database, clean
from bot.store.tables import deliveries, runs, tallies, wanted

_DETAIL = 2000


class SqlInbox:
    """`Inbox` and `Backlog` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ping(self) -> None:
        with self._database.read() as connection:
            connection.execute(select(1)).scalar_one()

    def receive(self, delivery: Delivery, now: datetime) -> Receipt:
        job = delivery.job
        stored = self._database.insert(deliveries).values(
            source=delivery.source,
            id=delivery.id,
            forge=job.forge,
            repository=job.repository,
            ref=job.ref,
            head=delivery.head,
            received=now,
        )
        with self._database.write() as connection:
            # What came back, not the row count: on Postgres an insert has none.
            new = stored.on_conflict_do_nothing().returning(deliveries.c.id)
            if connection.execute(new).one_or_none() is None:
                return Receipt.DUPLICATE
            self._want(connection, job, delivery.head, delivery.priority, now)
        return Receipt.STORED

    def _want(self, connection: Connection, job: Job, head: str, priority: int, now: datetime) -> None:
        insert = self._database.insert(wanted).values(
            forge=job.forge,
            repository=job.repository,
            ref=job.ref,
            trigger=job.trigger.value,
            head=head,
            priority=priority,
            since=now,
            due=now,
            attempts=0,
            waits=0,
            run=_new_id(),
        )
        new, old = insert.excluded, wanted.c
        newest = {
            "trigger": new.trigger,
            "head": new.head,
            "run": new.run,
            "attempts": 0,
            "priority": case((old.priority < new.priority, old.priority), else_=new.priority),
            # Behind a run nothing waited yet; else what came first keeps its place.
            "since": case((old.claim == old.run, new.since), else_=old.since),
            # A server that named a time meant every request.
            "due": case((old.waits > 0, old.due), else_=new.due),
        }
        key = [old.forge, old.repository, old.ref]
        connection.execute(insert.on_conflict_do_update(index_elements=key, set_=newest))

    def waiting(self) -> int:
        count = select(func.count()).select_from(wanted)
        with self._database.read() as connection:
            return connection.execute(count.where(_WAITS)).scalar_one()

    def tallies(self) -> Mapping[str, int]:
        with self._database.read() as connection:
            rows = connection.execute(select(tallies.c.ending, tallies.c.number))
            return {row.ending: row.number for row in rows}

    def claim(self, worker: str, limit: int, now: datetime) -> tuple[Claim, ...]:
        turn = func.row_number().over(
            partition_by=(wanted.c.forge, wanted.c.repository),
            order_by=(wanted.c.priority, wanted.c.since, wanted.c.ref),
        )
        ready = (
            select(wanted, turn.label("turn"))
            .where(wanted.c.claim.is_(None), wanted.c.due <= now, ~_REPOSITORY_BUSY)
            .subquery()
        )
        urgent = select(ready).where(ready.c.turn == 1).order_by(ready.c.priority, ready.c.since)
        held = select(func.count()).select_from(wanted)
        held = held.where(wanted.c.worker == worker, wanted.c.claim.is_not(None))
        # Looked at without the write lock first: mostly there is nothing to do.
        with self._database.read() as connection:
            room = limit - connection.execute(held).scalar_one()
            rows = connection.execute(urgent.limit(room)).all() if room > 0 else []
        claims: list[Claim] = []
        if not rows:
            return ()
        with self._database.write() as connection:
            for row in rows:
                # Meanwhile another worker may have been quicker, or a newer head have come.
                taken = connection.execute(
                    wanted.update()
                    .where(_is_branch(row), wanted.c.claim.is_(None), ~_REPOSITORY_BUSY)
                    .values(claim=wanted.c.run, claimed=now, worker=worker)
                    .returning(*wanted.c)
                ).one_or_none()
                if taken is not None:
                    claims.append(_claim(taken))
        return tuple(claims)

    def claimed(self) -> tuple[Claim, ...]:
        query = select(wanted).where(wanted.c.claim.is_not(None)).order_by(wanted.c.claimed)
        with self._database.read() as connection:
            return tuple(_claim(row) for row in connection.execute(query))

    def find(self, run: str) -> Claim | None:
        with self._database.read() as connection:
            row = connection.execute(select(wanted).where(wanted.c.claim == run)).one_or_none()
            return None if row is None else _claim(row)

    def settle(
        self, run: str, ending: Ending, detail: str, now: datetime, *, retry: Retry | None = None
    ) -> bool:
        with self._database.write() as connection:
            row = connection.execute(
                select(wanted).where(wanted.c.claim == run).with_for_update()
            ).one_or_none()
            if row is None:
                return False
            newer = row.run != run
            if not newer and retry is None:
                connection.execute(wanted.delete().where(_is_branch(row)))
            else:
                again: dict[str, Any] = {"claim": None, "claimed": None, "worker": None}
                if retry is not None and (retry.named or not newer):
                    again["due"] = retry.due
                if retry is not None and retry.named:
                    again["waits"] = row.waits + 1
                elif retry is None:
                    again["waits"] = 0
                if retry is not None and not newer:
                    again["run"] = _new_id()
                    again["attempts"] = row.attempts + (0 if retry.named else 1)
                connection.execute(wanted.update().where(_is_branch(row)).values(again))
            connection.execute(
                runs.insert().values(
                    id=run,
                    forge=row.forge,
                    repository=row.repository,
                    ref=row.ref,
                    trigger=row.trigger,
                    ending=ending.value,
                    detail=clean(detail)[:_DETAIL],
                    ended=now,
                )
            )
            tally = self._database.insert(tallies).values(ending=ending.value, number=1)
            more = {"number": tallies.c.number + 1}
            connection.execute(tally.on_conflict_do_update(index_elements=[tallies.c.ending], set_=more))
        return True

    def release(self, run: str) -> None:
        fresh = case((wanted.c.run == run, _new_id()), else_=wanted.c.run)
        with self._database.write() as connection:
            connection.execute(
                wanted.update()
                .where(wanted.c.claim == run)
                .values(run=fresh, claim=null(), claimed=null(), worker=null())
            )

    def runs(self, limit: int) -> tuple[Run, ...]:
        query = select(runs).order_by(runs.c.ended.desc(), runs.c.id).limit(limit)
        with self._database.read() as connection:
            return tuple(
                Run(
                    id=row.id,
                    job=_job(row),
                    ending=Ending(row.ending),
                    detail=row.detail,
                    ended=row.ended,
                )
                for row in connection.execute(query)
            )

    def forget(self, before: datetime) -> int:
        with self._database.write() as connection:
            count = connection.execute(deliveries.delete().where(deliveries.c.received < before)).rowcount
            return count + connection.execute(runs.delete().where(runs.c.ended < before)).rowcount


_WAITS = or_(wanted.c.claim.is_(None), wanted.c.claim != wanted.c.run)
_other = wanted.alias("other")
_REPOSITORY_BUSY = exists().where(
    _other.c.forge == wanted.c.forge,
    _other.c.repository == wanted.c.repository,
    _other.c.claim.is_not(None),
)


def _is_branch(row: Row[Any]) -> ColumnElement[bool]:
    return and_(wanted.c.forge == row.forge, wanted.c.repository == row.repository, wanted.c.ref == row.ref)


def _job(row: Row[Any]) -> Job:
    return Job(forge=row.forge, repository=row.repository, ref=row.ref, trigger=Trigger(row.trigger))


def _claim(row: Row[Any]) -> Claim:
    return Claim(
        run=row.claim,
        job=_job(row),
        head=row.head,
        priority=row.priority,
        attempts=row.attempts,
        waits=row.waits,
        claimed=row.claimed,
    )


def _new_id() -> str:
    return uuid4().hex
