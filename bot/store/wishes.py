"""The rows of what is wanted: how a job is kept in one, and what becomes of it when more is wanted."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Row, and_, select

from bot.model import NOWHERE, Job, Trigger
from bot.store.base import StoreUnavailableError, priority
from bot.store.coalescing import bounded, merged
from bot.store.database import Database, clean
from bot.store.plain_jobs import decode_job, encode_job
from bot.store.proposals import orphan
from bot.store.tables import wanted

_COMMIT = _IDENTITY = 64
_BRANCH = 1024
_GREATEST = 2**31 - 1
_TRIES = 20


def want(database: Database, connection: Connection, job: Job, now: datetime) -> None:
    """Make a row for a job, or add the job to the row that is there."""
    job = _kept(job)
    if job.trigger is Trigger.PUSH and job.head == NOWHERE:
        # Now: what is told of the branch later may take the place of this in its row.
        orphan(connection, job.forge, job.repository, job.ref, now)
    insert = database.insert(wanted).values(
        **_columns(job), since=now, due=now, attempts=0, waits=0, run=new_id()
    )
    for _ in range(_TRIES):
        new = connection.execute(insert.on_conflict_do_nothing().returning(wanted.c.run)).one_or_none()
        if new is not None:
            return
        row = connection.execute(select(wanted).where(is_row(job)).with_for_update()).one_or_none()
        if row is not None:
            connection.execute(wanted.update().where(is_row(job)).values(_newest(row, job, now)))
            return
        # It was settled between the two statements.
    raise StoreUnavailableError("A branch was wanted and settled over and over.")


def rename(database: Database, connection: Connection, forge: str, old: str, new: str, now: datetime) -> None:
    """Give what is wanted of `old` to `new`, runs included.

    A plain look at what waited is left under the old name: whoever asked may have meant another
    repository that has that name by now.
    """
    rows = select(wanted).where(wanted.c.forge == forge, wanted.c.repository == old)
    for row in connection.execute(rows.order_by(wanted.c.ref).with_for_update()).all():
        job = replace(job_in(row), repository=new)
        there = connection.execute(select(wanted).where(is_row(job)).with_for_update()).one_or_none()
        waits = row.claim != row.run
        if there is None:
            connection.execute(wanted.update().where(is_row(row)).values(repository=new))
        elif row.claim is None:
            connection.execute(wanted.delete().where(is_row(row)))
            connection.execute(wanted.update().where(is_row(there)).values(_joined(row, job, there)))
        elif there.claim is None:
            newer = merged(job, job_in(there)) if waits else job_in(there)
            connection.execute(wanted.delete().where(is_row(there)))
            values = _columns(newer) | {"run": new_id(), "since": there.since, "due": there.due}
            connection.execute(wanted.update().where(is_row(row)).values(values))
        else:
            continue  # both run: each ends by itself, and what waits behind the old name finds it gone
        if waits:
            want(database, connection, forgetting(replace(job, repository=old)), now)


def doubt(connection: Connection, forge: str, repository: str) -> None:
    """Forget what was told of the branches that wait: it was of another repository of that name."""
    mine = and_(wanted.c.forge == forge, wanted.c.repository == repository)
    connection.execute(
        wanted.update().where(mine).values(head="", before="", changed=None, default_branch="")
    )


def forgetting(job: Job) -> Job:
    """Return the job without what was told of its branch."""
    return replace(job, head="", before="", changed=None, default_branch="")


def _joined(row: Row[Any], job: Job, there: Row[Any]) -> dict[str, Any]:
    """Return what changes in a row when it takes over what waits in another one."""
    since, due = row.since, max(row.due, there.due)
    if there.claim == there.run:
        return _columns(job) | {"run": new_id(), "since": since, "due": row.due, "attempts": 0}
    return _columns(merged(job, job_in(there))) | {
        "run": new_id(),
        "since": min(since, there.since),
        "due": due,
    }


def _kept(job: Job) -> Job:
    """Return the job as a row can hold it: what is told of it is a hint, and cut where it is too long."""
    return bounded(
        replace(
            job,
            repository=clean(job.repository),
            ref=clean(job.ref),
            head=clean(job.head) if len(job.head) <= _COMMIT else "",
            before=clean(job.before) if len(job.before) <= _COMMIT else "",
            number=job.number if 0 < job.number <= _GREATEST else 0,
            identity=clean(job.identity)[:_IDENTITY],
            default_branch=clean(job.default_branch) if len(job.default_branch) <= _BRANCH else "",
        )
    )


def key(row: Row[Any] | Job) -> tuple[str, str, str]:
    return row.forge, row.repository, row.ref


def _columns(job: Job) -> dict[str, Any]:
    changed = None if job.changed is None else json.dumps(job.changed)
    head = "" if job.head == NOWHERE else job.head
    return encode_job(job) | {"head": head, "changed": changed, "priority": int(priority(job.trigger))}


def _newest(row: Row[Any], job: Job, now: datetime) -> dict[str, Any]:
    """Return what changes in a row when one more job wants it."""
    newest: dict[str, Any] = {"run": new_id(), "attempts": 0}
    # A server that named a time meant every request.
    newest["due"] = row.due if row.waits > 0 else now
    if row.claim == row.run:
        return newest | _columns(job) | {"since": now}  # behind a run nothing waited yet
    # What came first keeps its place.
    return newest | _columns(merged(job_in(row), job))


def job_in(row: Row[Any]) -> Job:
    changed = None if row.changed is None else json.loads(row.changed)
    return decode_job(row._asdict() | {"changed": changed})


def is_row(row: Row[Any] | Job) -> ColumnElement[bool]:
    """Return the condition that a row is the one for this forge, repository and ref."""
    return and_(wanted.c.forge == row.forge, wanted.c.repository == row.repository, wanted.c.ref == row.ref)


def new_id() -> str:
    """Return an id for a run, never used before."""
    return uuid4().hex
