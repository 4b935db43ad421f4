"""The inbox and the backlog: one row for each branch that is wanted, whoever asked and how often.

A row waits (`claim` is null), runs (`claim` equals `run`), or runs while something newer waits
(`claim` and `run` differ).  Nothing else is state: the engine may lose or repeat a run, and the
row still tells what is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    Table,
    and_,
    case,
    exists,
    func,
    null,
    or_,
    select,
    tuple_,
)

from bot.model import Job, Trigger
from bot.store.base import (
    CalledOff,
    Claim,
    Delivery,
    Ending,
    Receipt,
    Retry,
    Run,
    Waiting,
)
from bot.store.database import Database, clean
from bot.store.retention import forget
from bot.store.sweeps import postponed, settled
from bot.store.tables import deliveries, repositories, runs, scans, schema, tallies, wanted
from bot.store.wishes import is_row, job_in, key, new_id, want

_DETAIL = 2000
_EVENT = 200
_BATCH = 500


class SqlInbox:
    """`Inbox` and `Backlog` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ping(self) -> None:
        with self._database.write() as connection:
            # What changes nothing is written all the same: a full disk can be read.
            connection.execute(schema.update().values(version=schema.c.version))

    def receive(self, delivery: Delivery, now: datetime) -> Receipt:
        stored = self._database.insert(deliveries).values(
            source=delivery.source, id=delivery.id, event=clean(delivery.event)[:_EVENT], received=now
        )
        with self._database.write() as connection:
            # What came back, not the row count: on Postgres an insert has none.
            new = stored.on_conflict_do_nothing().returning(deliveries.c.id)
            if connection.execute(new).one_or_none() is None:
                return Receipt.DUPLICATE
            self._want(connection, delivery.jobs, now)
        return Receipt.STORED

    def want(self, jobs: tuple[Job, ...], now: datetime) -> None:
        for start in range(0, len(jobs), _BATCH):
            with self._database.write() as connection:
                self._want(connection, jobs[start : start + _BATCH], now)

    def _want(self, connection: Connection, jobs: Iterable[Job], now: datetime) -> None:
        # Everyone who locks several rows takes them in one order, or two would wait for each other.
        for job in sorted(jobs, key=key):
            want(self._database, connection, job, now)

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
            # Two branches of one repository are two rows, and so are two names of it: without this, two
            # workers could take one each.
            self._database.lock(connection, "claim")
            for row in sorted(rows, key=key):
                # Meanwhile another worker may have been quicker, or a newer head have come.
                taken = connection.execute(
                    wanted.update()
                    .where(is_row(row), wanted.c.claim.is_(None), ~_REPOSITORY_BUSY)
                    .values(claim=wanted.c.run, claimed=now, worker=worker, cancelled=False)
                    .returning(*wanted.c)
                ).one_or_none()
                if taken is not None:
                    claims.append(_claim(taken))
        order = {key(row): place for place, row in enumerate(rows)}
        return tuple(sorted(claims, key=lambda claim: order[key(claim.job)]))

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
                connection.execute(wanted.delete().where(is_row(row)))
            else:
                again = _again(row, retry, newer=newer)
                connection.execute(wanted.update().where(is_row(row)).values(again))
            self._record(connection, row, run, ending, detail, now, newer=newer)
            # Where something newer waits, its run is the one that a sweep wants to know about.
            if retry is not None and ending is Ending.POSTPONED:
                postponed(connection, row, detail)
            elif retry is None and not newer:
                settled(connection, row, ending, detail)
        return True

    def _record(
        self,
        connection: Connection,
        row: Row[Any],
        run: str,
        ending: Ending,
        detail: str,
        now: datetime,
        *,
        newer: bool = False,
    ) -> None:
        connection.execute(
            runs.insert().values(
                id=run,
                forge=row.forge,
                repository=row.repository,
                ref=row.ref,
                trigger=row.trigger,
                head="" if newer else row.head,  # the row tells of the newer one by now
                number=row.number,
                ending=ending.value,
                detail=clean(detail)[:_DETAIL],
                ended=now,
            )
        )
        tally = self._database.insert(tallies).values(ending=ending.value, number=1)
        more = {"number": tallies.c.number + 1}
        connection.execute(tally.on_conflict_do_update(index_elements=[tallies.c.ending], set_=more))

    def release(self, run: str) -> None:
        fresh = case((wanted.c.run == run, new_id()), else_=wanted.c.run)
        with self._database.write() as connection:
            connection.execute(
                wanted.delete().where(wanted.c.claim == run, wanted.c.run == run, wanted.c.cancelled)
            )
            connection.execute(
                wanted.update()
                .where(wanted.c.claim == run)
                .values(run=fresh, claim=null(), claimed=null(), worker=null(), cancelled=False)
            )

    def runs(self, limit: int) -> tuple[Run, ...]:
        query = select(runs).order_by(runs.c.ended.desc(), runs.c.id).limit(limit)
        with self._database.read() as connection:
            return tuple(map(_run, connection.execute(query)))

    def waits(self, limit: int) -> tuple[Waiting, ...]:
        running = wanted.c.claim.is_not(None)
        same = (runs.c.forge == wanted.c.forge, runs.c.repository == wanted.c.repository)
        last = select(runs.c.detail).where(*same, runs.c.ref == wanted.c.ref)
        last = last.order_by(runs.c.ended.desc(), runs.c.id).limit(1)
        query = select(wanted, last.scalar_subquery().label("detail")).order_by(
            case((running, 0), else_=1), wanted.c.priority, wanted.c.since, wanted.c.ref
        )
        with self._database.read() as connection:
            return tuple(map(_waiting, connection.execute(query.limit(limit))))

    def stuck(self, limit: int) -> tuple[Run, ...]:
        with self._database.read() as connection:
            return tuple(map(_run, connection.execute(_stuck().limit(limit))))

    def retry(self, repository: str, ref: str | None, now: datetime) -> int:
        with self._database.write() as connection:
            due = wanted.update().where(_WAITS, _among(wanted, repository, ref)).values(due=now)
            count = len(connection.execute(due.returning(wanted.c.run)).all())
            again = connection.execute(_stuck().where(_among(runs, repository, ref)).limit(_BATCH)).all()
            self._want(connection, map(_job_of_run, again), now)
        return count + len(again)

    def cancel(self, repository: str, ref: str | None, now: datetime) -> CalledOff:
        among = _among(wanted, repository, ref)
        with self._database.write() as connection:
            forgotten = wanted.delete().where(among, wanted.c.claim.is_(None)).returning(*wanted.c)
            rows = connection.execute(forgotten).all()
            for row in rows:
                self._record(connection, row, row.run, Ending.CANCELLED, "Called off before it began.", now)
                settled(connection, row, Ending.CANCELLED, "called off before it began")
            marked = (
                wanted.update()
                .where(among, wanted.c.claim.is_not(None))
                .values(run=wanted.c.claim, cancelled=True)
            )
            running = tuple(connection.execute(marked.returning(wanted.c.claim)).scalars())
        return CalledOff(waiting=len(rows), running=running)

    def forget(self, before: datetime) -> int:
        return forget(self._database, before)


_WAITS = or_(wanted.c.claim.is_(None), wanted.c.claim != wanted.c.run)
_other = wanted.alias("other")
# By name, and by the forge's own number: while it is renamed, a repository goes by two names.
_REPOSITORY_BUSY = or_(
    exists().where(
        _other.c.forge == wanted.c.forge,
        _other.c.repository == wanted.c.repository,
        _other.c.claim.is_not(None),
    ),
    tuple_(wanted.c.forge, wanted.c.identity).in_(
        select(_other.c.forge, _other.c.identity)
        .where(_other.c.claim.is_not(None), _other.c.identity != "")
        .correlate(None)
    ),
)


def _among(table: Table, repository: str, ref: str | None) -> ColumnElement[bool]:
    named = table.c.repository == repository
    return named if ref is None else and_(named, table.c.ref == ref)


def _stuck() -> Select[Any]:
    later = runs.alias("later")
    same = (later.c.forge == runs.c.forge, later.c.repository == runs.c.repository, _one_branch(later))
    again = (
        wanted.c.forge == runs.c.forge,
        wanted.c.repository == runs.c.repository,
        _one_branch(wanted),
    )
    return (
        select(runs)
        .where(
            runs.c.ending.in_((Ending.FAILED.value, Ending.PARKED.value)),
            ~exists().where(*same, later.c.ended > runs.c.ended),
            ~exists().where(*again),
        )
        .order_by(runs.c.ended.desc(), runs.c.id)
    )


def _one_branch(other: FromClause) -> ColumnElement[bool]:
    """Return the condition that a row is of a run's branch: no name means the default branch."""
    return or_(
        other.c.ref == runs.c.ref,
        and_(other.c.ref == "", _is_default(runs.c.ref)),
        and_(runs.c.ref == "", _is_default(other.c.ref)),
    )


def _is_default(ref: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that a ref is the default branch of a run's repository, as far as that is known.

    A forge that tells nothing of its repositories has one where only one branch was ever looked at.
    """
    scan, other = scans.alias("scan"), scans.alias("other_scan")
    # The run is two queries further out: what is not said to correlate would be a table of its own.
    named = exists().where(repositories.c.forge == runs.c.forge, repositories.c.name == runs.c.repository)
    told = named.where(repositories.c.default_branch == ref).correlate_except(repositories)
    untold = ~named.correlate_except(repositories)
    seen = exists().where(_scanned(scan), scan.c.ref == ref).correlate_except(scan)
    others = exists().where(_scanned(other), other.c.ref != ref).correlate_except(other)
    return or_(told, and_(untold, seen, ~others))


def _scanned(scan: FromClause) -> ColumnElement[bool]:
    return and_(scan.c.forge == runs.c.forge, scan.c.repository == runs.c.repository)


def _again(row: Row[Any], retry: Retry | None, *, newer: bool) -> dict[str, Any]:
    """Return what changes in a row that waits again after a run of it ended."""
    again: dict[str, Any] = {"claim": None, "claimed": None, "worker": None, "cancelled": False}
    if retry is None:
        return again | {"waits": 0}
    if retry.named or not newer:
        again["due"] = retry.due
    if retry.named:
        again["waits"] = row.waits + 1
    if newer:
        return again
    again["run"] = new_id()
    again["attempts"] = row.attempts + (0 if retry.named else 1)
    return again | ({"head": "", "before": "", "changed": None, "waits": 0} if retry.afresh else {})


def _job_of_run(row: Row[Any]) -> Job:
    return Job(
        forge=row.forge,
        repository=row.repository,
        ref=row.ref,
        trigger=Trigger(row.trigger),
        number=row.number,
    )


def _run(row: Row[Any]) -> Run:
    return Run(
        id=row.id,
        job=replace(_job_of_run(row), head=row.head),
        ending=Ending(row.ending),
        detail=row.detail,
        ended=row.ended,
    )


def _claim(row: Row[Any]) -> Claim:
    return Claim(
        run=row.claim,
        job=job_in(row),
        priority=row.priority,
        attempts=row.attempts,
        waits=row.waits,
        claimed=row.claimed,
        cancelled=row.cancelled,
    )


def _waiting(row: Row[Any]) -> Waiting:
    return Waiting(
        job=job_in(row),
        running=row.claim is not None,
        since=row.since,
        due=row.due,
        attempts=row.attempts,
        worker=row.worker or "",
        detail=(row.detail or "") if row.attempts or row.waits else "",
    )
