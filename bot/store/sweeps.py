"""Sweeps as rows: which branches they want looked at, and what became of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, and_, case, exists, func, or_, select, update

from bot.model import Job, Trigger
from bot.store.base import Ending, Look, Place, PlaceState, ProposalState, Sweep
from bot.store.database import Database, clean
from bot.store.tables import places, proposals, repositories, scans, sweeps, wanted
from bot.store.wishes import key, want

_DETAIL = 500
_NOT_WANTED = "nobody wants it looked at any more"
_WAITS = (PlaceState.WAITING.value, PlaceState.POSTPONED.value)
_ENDED = {
    Ending.FAILED: PlaceState.FAILED,
    Ending.PARKED: PlaceState.FAILED,
    Ending.CANCELLED: PlaceState.CANCELLED,
}
_LOOKED = {
    Look.UNCHANGED.value: PlaceState.UNCHANGED.value,
    Look.CHANGED.value: PlaceState.CHANGED.value,
}


class SqlSweeps:
    """`Sweeps` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, sweep: Sweep, now: datetime) -> None:
        with self._database.write() as connection:
            begin(self._database, connection, sweep, now)

    def get(self, id: str) -> Sweep | None:  # noqa: A002 - the field's own word
        with self._database.read() as connection:
            row = connection.execute(select(sweeps).where(sweeps.c.id == id)).one_or_none()
        return None if row is None else _sweep(row)

    def last(self, who: str, limit: int) -> tuple[Sweep, ...]:
        query = select(sweeps).where(sweeps.c.who == who).order_by(sweeps.c.started.desc(), sweeps.c.id)
        with self._database.read() as connection:
            return tuple(map(_sweep, connection.execute(query.limit(limit))))

    def add(self, id: str, jobs: Sequence[Job], left_out: Mapping[str, str], now: datetime) -> None:  # noqa: A002 - as above
        with self._database.write() as connection:
            sweep = connection.execute(select(sweeps).where(sweeps.c.id == id)).one_or_none()
            if sweep is None:
                return
            # As everyone who locks rows of what is wanted: in one order.
            for job in sorted(jobs, key=key):
                if self._put(connection, id, job, PlaceState.WAITING):
                    want(self._database, connection, job, now)
            for name, why in left_out.items():
                gone = Job(forge=sweep.forge, repository=name, ref="", trigger=Trigger(sweep.trigger))
                self._put(connection, id, gone, PlaceState.LEFT_OUT, why)

    def _put(self, connection: Connection, sweep: str, job: Job, state: PlaceState, detail: str = "") -> bool:
        return put(self._database, connection, sweep, job, state, detail)

    def listed(self, id: str, now: datetime) -> None:  # noqa: A002 - as above
        with self._database.write() as connection:
            connection.execute(update(sweeps).where(sweeps.c.id == id).values(listed=now))

    def places(self, id: str) -> tuple[Place, ...]:  # noqa: A002 - as above
        query = (
            select(places, wanted.c.run, wanted.c.due, wanted.c.claim)
            .select_from(places.outerjoin(wanted, _IS_WANTED))
            .where(places.c.sweep == id)
            .order_by(places.c.repository, places.c.ref)
        )
        with self._database.read() as connection:
            return tuple(map(_place, connection.execute(query)))

    def counts(self, id: str) -> Mapping[PlaceState, int]:  # noqa: A002 - as above
        lost = and_(places.c.state.in_(_WAITS), wanted.c.run.is_(None))
        state = case((lost, PlaceState.CANCELLED.value), else_=places.c.state).label("state")
        query = (
            select(state, func.count().label("number"))
            .select_from(places.outerjoin(wanted, _IS_WANTED))
            .where(places.c.sweep == id, places.c.repository != "")
            .group_by(state)
        )
        with self._database.read() as connection:
            return {PlaceState(row.state): row.number for row in connection.execute(query)}

    def pending(self, id: str, before: datetime) -> int:  # noqa: A002 - as above
        soon = or_(wanted.c.claim.is_not(None), wanted.c.due <= before)
        query = (
            select(func.count())
            .select_from(places.join(wanted, _IS_WANTED))
            .where(places.c.sweep == id, places.c.state.in_(_WAITS), soon)
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def note(
        self, forge: str, repository: str, ref: str, look: Look, *, held: int = 0, detail: str = ""
    ) -> None:
        waits = and_(_of(places, forge, repository, ref), places.c.state.in_(_WAITS))
        with self._database.read() as connection:
            if connection.execute(select(places.c.sweep).where(waits).limit(1)).first() is None:
                return  # mostly no sweep waits for it, and whoever writes keeps others waiting
        said = {"look": look.value, "held": held, "detail": clean(detail)[:_DETAIL]}
        with self._database.write() as connection:
            connection.execute(update(places).where(waits).values(said))

    # --- what a listing needs to know -----------------------------------------------------

    def followed(self, forge: str) -> Mapping[str, tuple[str, ...]]:
        query = select(scans.c.repository, scans.c.refs).where(scans.c.forge == forge, scans.c.refs != "[]")
        found: dict[str, dict[str, None]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query.order_by(scans.c.repository, scans.c.ref)):
                found.setdefault(row.repository, {}).update(dict.fromkeys(json.loads(row.refs)))
        return {name: tuple(globs) for name, globs in found.items()}

    def requests(self, forge: str) -> tuple[tuple[str, str, int], ...]:
        lost = exists().where(
            repositories.c.forge == proposals.c.forge,
            repositories.c.name == proposals.c.repository,
            repositories.c.gone,
        )
        query = select(proposals.c.repository, proposals.c.base, proposals.c.number).where(
            proposals.c.forge == forge,
            proposals.c.state == ProposalState.PUBLISHED.value,
            proposals.c.number > 0,
            ~lost,
        )
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(proposals.c.repository, proposals.c.number))
            return tuple((row.repository, row.base, row.number) for row in rows)


# --- within the transactions of others ----------------------------------------------------


def begin(database: Database, connection: Connection, sweep: Sweep, now: datetime) -> None:
    """Remember a sweep and want it listed."""
    connection.execute(
        sweeps.insert().values(
            id=sweep.id,
            forge=sweep.forge,
            trigger=sweep.trigger.value,
            owners=json.dumps([clean(one) for one in sweep.owners]),
            globs=json.dumps([clean(one) for one in sweep.globs]),
            who=clean(sweep.who),
            started=sweep.started,
            listed=sweep.listed,
        )
    )
    put(database, connection, sweep.id, sweep.job, PlaceState.WAITING)
    want(database, connection, sweep.job, now)


def put(
    database: Database, connection: Connection, sweep: str, job: Job, state: PlaceState, detail: str = ""
) -> bool:
    """Add a place to a sweep; return whether it was not there."""
    insert = database.insert(places).values(
        sweep=sweep,
        repository=clean(job.repository),
        ref=clean(job.ref),
        forge=job.forge,
        state=state.value,
        look="",
        held=0,
        detail=clean(detail)[:_DETAIL],
    )
    new = insert.on_conflict_do_nothing().returning(places.c.sweep)
    return connection.execute(new).one_or_none() is not None


def settled(connection: Connection, row: Row[Any], ending: Ending, detail: str) -> None:
    """Tell the sweeps that wait for a branch how its run ended: the last one, as far as it is known."""
    said: dict[str, Any] = {"state": _state(ending)}
    if detail:
        said["detail"] = clean(detail)[:_DETAIL]
    connection.execute(
        update(places)
        .where(_of(places, row.forge, row.repository, row.ref), places.c.state.in_(_WAITS))
        .values(said)
    )


def postponed(connection: Connection, row: Row[Any], detail: str) -> None:
    """Tell the sweeps that wait for a branch that it is tried again, and why."""
    connection.execute(
        update(places)
        .where(_of(places, row.forge, row.repository, row.ref), places.c.state.in_(_WAITS))
        .values(state=PlaceState.POSTPONED.value, detail=clean(detail)[:_DETAIL])
    )


def _state(ending: Ending) -> Any:
    """Return the state that a place comes to, by what the run said of it before it ended."""
    if ending in _ENDED:
        return _ENDED[ending].value
    if ending is Ending.PUBLISHED:
        # It may have closed one that had nothing left to say.
        proposes = places.c.look == Look.PROPOSES.value
        return case((proposes, PlaceState.PROPOSED.value), else_=PlaceState.CHANGED.value)
    return case(_LOOKED, value=places.c.look, else_=PlaceState.LEFT_OUT.value)


_IS_WANTED = and_(
    wanted.c.forge == places.c.forge,
    wanted.c.repository == places.c.repository,
    wanted.c.ref == places.c.ref,
)


def _of(table: Table, forge: str, repository: str, ref: str) -> Any:
    return and_(table.c.forge == forge, table.c.repository == repository, table.c.ref == ref)


def _sweep(row: Row[Any]) -> Sweep:
    return Sweep(
        id=row.id,
        forge=row.forge,
        trigger=Trigger(row.trigger),
        owners=tuple(json.loads(row.owners)),
        globs=tuple(json.loads(row.globs)),
        who=row.who,
        started=row.started,
        listed=row.listed,
    )


def _place(row: Row[Any]) -> Place:
    state, detail = PlaceState(row.state), row.detail
    waits = row.state in _WAITS
    if waits and row.run is None:
        state, detail = PlaceState.CANCELLED, detail or _NOT_WANTED
    return Place(
        repository=row.repository,
        ref=row.ref,
        state=state,
        held=row.held,
        detail=detail,
        due=row.due if waits and row.claim is None else None,
    )
