"""A repository goes by another name: everything that is remembered of it goes along."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, FromClause, Table, and_, delete, exists, select, update

from bot.store.base import ProposalState
from bot.store.database import Database
from bot.store.tables import (
    answers,
    checks,
    commits,
    decisions,
    declined,
    heard,
    judgements,
    looks,
    openings,
    overrides,
    pauses,
    places,
    proposals,
    referenced,
    reviews,
    runs,
    scans,
    stickies,
    turns,
    words,
)
from bot.store.wishes import doubt, rename

AWAY = "?"
"""Begins the name of a repository that lost its own and was not heard of since; no forge has such."""
_MOVED = (answers, checks, commits, decisions, declined, reviews, runs)
"""Tables whose rows may simply be renamed: nothing about them is unique to a repository."""


_ONE: tuple[tuple[Table, tuple[str, ...]], ...] = (
    (turns, ("ref",)),
    (places, ("sweep", "ref")),
    (heard, ("ref",)),
    (looks, ("ref",)),
    (judgements, ("commit", "number")),
    (overrides, ("commit", "number")),
    (pauses, ()),
    (stickies, ("number", "topic")),
    (words, ("topic",)),
)
"""Tables that have one row for these columns and a repository: the one under the new name is newer."""


def away(identity: str) -> str:
    """Return the name under which is kept what is remembered of a repository that lost its name."""
    return f"{AWAY}{identity}"


def carry(database: Database, connection: Connection, forge: str, old: str, new: str, now: datetime) -> None:
    """Move every row about `old` to `new`; where both have one, the one under the new name is newer."""
    for table in _MOVED:
        connection.execute(update(table).where(_of(table, forge, old)).values(repository=new))
    _carry_openings(connection, forge, old, new)
    _carry_rest(connection, forge, old, new)
    _carry_scans(connection, forge, old, new)
    _carry_proposals(connection, forge, old, new, now)
    if new.startswith(AWAY):
        doubt(connection, forge, old)
    else:
        rename(database, connection, forge, old, new, now)


def _carry_openings(connection: Connection, forge: str, old: str, new: str) -> None:
    keys = select(openings.c.key).where(_of(openings, forge, new)).scalar_subquery()
    connection.execute(delete(openings).where(_of(openings, forge, old), openings.c.key.in_(keys)))
    connection.execute(update(openings).where(_of(openings, forge, old)).values(repository=new))


def _carry_rest(connection: Connection, forge: str, old: str, new: str) -> None:
    """Move what there is one of: of each branch, commit or comment, or of the repository itself."""
    for table, keys in _ONE:
        there = table.alias("there")
        same = (there.c[name] == table.c[name] for name in keys)
        taken = exists().where(_of(there, forge, new), *same)
        connection.execute(delete(table).where(_of(table, forge, old), taken))
        connection.execute(update(table).where(_of(table, forge, old)).values(repository=new))


def _carry_scans(connection: Connection, forge: str, old: str, new: str) -> None:
    refs = select(scans.c.ref).where(_of(scans, forge, new))
    for ref in connection.execute(refs).scalars().all():
        for table in (scans, referenced):
            connection.execute(delete(table).where(_of(table, forge, old), table.c.ref == ref))
    for table in (scans, referenced):
        connection.execute(update(table).where(_of(table, forge, old)).values(repository=new))


def _carry_proposals(connection: Connection, forge: str, old: str, new: str, now: datetime) -> None:
    published = proposals.c.state == ProposalState.PUBLISHED.value
    there = select(proposals.c.base, proposals.c.group).where(_of(proposals, forge, new), published)
    for base, group in connection.execute(there).all():
        connection.execute(
            update(proposals)
            .where(
                _of(proposals, forge, old),
                published,
                proposals.c.base == base,
                proposals.c.group == group,
            )
            .values(state=ProposalState.SUPERSEDED.value, changed=now)
        )
    connection.execute(update(proposals).where(_of(proposals, forge, old)).values(repository=new))


def _of(table: FromClause, forge: str, repository: str) -> ColumnElement[bool]:
    return and_(table.c.forge == forge, table.c.repository == repository)
