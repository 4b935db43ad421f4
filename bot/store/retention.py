"""What is forgotten in time, so that no table grows for ever.

Kept for good: the audit log, the ledger, what people declined, and our commits, by which a branch is
known as ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, Table, and_, delete, exists, or_, select, tuple_

from bot.store.base import ProposalState
from bot.store.database import Database
from bot.store.tables import (
    RESERVED,
    answers,
    checks,
    decisions,
    deliveries,
    heard,
    judgements,
    looks,
    openings,
    overrides,
    pauses,
    places,
    proposals,
    referenced,
    repositories,
    reviews,
    runs,
    scans,
    stickies,
    sweeps,
    turns,
    words,
)

_BATCH = 1000


def forget(database: Database, before: datetime) -> int:
    """Remove what ended, arrived or was lost before a time; return how many rows."""
    return sum(_remove(database, table, old) for table, old in _old(before))


def _old(before: datetime) -> Iterator[tuple[Table, ColumnElement[bool]]]:
    yield deliveries, deliveries.c.received < before
    yield runs, runs.c.ended < before
    yield checks, checks.c.made < before
    yield reviews, reviews.c.made < before
    # An open request may be as old as it likes: what it was told holds.
    settled = or_(~judgements.c.stands, judgements.c.number == 0)
    yield judgements, and_(settled, judgements.c.at < before)
    superseded = proposals.c.state == ProposalState.SUPERSEDED.value
    yield proposals, and_(superseded, proposals.c.changed < before)
    # That a repository had its first one is remembered.
    passed = or_(~openings.c.first, openings.c.key.startswith(RESERVED))
    yield openings, and_(passed, openings.c.opened < before)
    yield decisions, decisions.c.until < before
    # Older comments are not listened to anyway.
    yield heard, heard.c.at < before
    yield words, words.c.said < before
    yield answers, answers.c.made < before
    yield pauses, pauses.c.until < before
    yield stickies, stickies.c.at < before
    yield overrides, overrides.c.at < before
    yield looks, and_(looks.c.ref.startswith("refs/pull/"), looks.c.at < before)
    yield sweeps, sweeps.c.started < before
    yield places, ~exists().where(sweeps.c.id == places.c.sweep)
    for table in (referenced, scans, turns, looks, judgements):
        lost = exists().where(
            repositories.c.forge == table.c.forge,
            repositories.c.name == table.c.repository,
            repositories.c.gone,
            repositories.c.seen < before,
        )
        yield table, lost


def _remove(database: Database, table: Table, old: ColumnElement[bool]) -> int:
    """Remove rows in small transactions: a receiver waits for each of them."""
    key = tuple_(*table.primary_key.columns)
    some = delete(table).where(key.in_(select(*table.primary_key.columns).where(old).limit(_BATCH)))
    count = 0
    while True:
        with database.write() as connection:
            removed = connection.execute(some).rowcount
        count += removed
        if removed < _BATCH:
            return count
