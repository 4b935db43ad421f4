"""What people settled in a conversation, and who we are on each forge."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from bot.model import Decision, Pinned
from bot.store.database import Database, clean
from bot.store.tables import accounts, decisions, declined

_LONGEST = 2000
_WHAT, _DIGEST = 32, 128
_MOST = 10_000


def columns(decision: Decision, now: datetime) -> dict[str, Any]:
    """Return a decision as a row holds it."""
    return {
        "by": _text(decision.by),
        "what": _text(decision.what)[:_WHAT],
        "reference": _text(decision.reference),
        "digest": None if decision.digest is None else _text(decision.digest)[:_DIGEST],
        "until": decision.until,
        "because": _text(decision.because),
        "checks": " ".join(map(_text, decision.checks)),
        "made": now,
    }


def settle(
    connection: Connection, forge: str, repository: str, made: Iterable[Decision], now: datetime
) -> None:
    """Write decisions down; of two words on one thing the later one counts."""
    for decision in made:
        digest = decisions.c.digest
        same = (
            _in(forge, repository),
            decisions.c.what == decision.what,
            decisions.c.reference == clean(decision.reference),
            digest == decision.digest if decision.digest is not None else digest.is_(None),
        )
        if decision.what == "allow":
            found = connection.execute(select(decisions).where(*same)).all()
            end(connection, forge, repository, decision.lines, found)
        else:
            connection.execute(decisions.delete().where(*same))
        connection.execute(
            decisions.insert().values(forge=forge, repository=clean(repository), **columns(decision, now))
        )


def end(
    connection: Connection,
    forge: str,
    repository: str,
    lines: Collection[Pinned],
    rows: Collection[Row[Any]] | None = None,
) -> None:
    """Let decisions end as far as some lines of a configuration would carry them on."""
    if rows is None:
        rows = connection.execute(select(decisions).where(_in(forge, repository))).all()
    for row in rows:
        decision = _decision(row)
        left = _without(decision, lines)
        this = decisions.c.number == row.number
        if left is None:
            connection.execute(decisions.delete().where(this))
        elif left != decision:
            connection.execute(decisions.update().where(this).values(checks=" ".join(left.checks)))


def _without(decision: Decision, lines: Collection[Pinned]) -> Decision | None:
    """Return what is left of a decision without some of the lines that carry it on, or None."""
    gone = [one in lines for one in decision.lines]
    if decision.what != "allow":
        return None if all(gone) else decision
    checks = tuple(check for check, ended in zip(decision.checks, gone, strict=True) if not ended)
    return replace(decision, checks=checks) if checks else None


def _decision(row: Row[Any]) -> Decision:
    return Decision(
        by=row.by,
        what=row.what,
        reference=row.reference,
        digest=row.digest,
        until=row.until,
        because=row.because,
        checks=tuple((row.checks or "").split()),
        stood=bool(row.stood),
    )


def _in(forge: str, repository: str) -> ColumnElement[bool]:
    return and_(decisions.c.forge == forge, decisions.c.repository == clean(repository))


def _holding(forge: str, repository: str, now: datetime) -> Select[Any]:
    # Of too many the newest count: the last word of a person is among them.
    return (
        select(decisions)
        .where(_in(forge, repository), or_(decisions.c.until.is_(None), decisions.c.until > now))
        .order_by(decisions.c.number.desc())
        .limit(_MOST)
    )


class SqlDecisions:
    """`Decisions` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, forge: str, repository: str, decision: Decision, now: datetime) -> None:
        with self._database.write() as connection:
            connection.execute(
                decisions.insert().values(forge=forge, repository=clean(repository), **columns(decision, now))
            )

    def stood(self, forge: str, repository: str, lines: Collection[Pinned]) -> None:
        with self._database.write() as connection:
            rows = connection.execute(select(decisions).where(_in(forge, repository))).all()
            for row in rows:
                if set(_decision(row).lines) <= set(lines):
                    this = decisions.c.number == row.number
                    connection.execute(decisions.update().where(this).values(stood=True))

    def end(self, forge: str, repository: str, lines: Collection[Pinned]) -> None:
        with self._database.write() as connection:
            end(connection, forge, repository, lines)

    def said(self, forge: str, repository: str, now: datetime) -> tuple[Decision, ...]:
        with self._database.read() as connection:
            rows = connection.execute(_holding(forge, repository, now)).all()
        return tuple(map(_decision, reversed(rows)))

    def of(self, forge: str, repository: str, now: datetime) -> tuple[Decision, ...]:
        query = _holding(forge, repository, now)
        # Whoever closed the proposal that would have kept a decision declined the decision.
        refused = select(declined.c.path, declined.c.where, declined.c.reference).where(
            declined.c.forge == forge,
            declined.c.repository == clean(repository),
            declined.c.where.in_(("allow", "ignore")),
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            lines = frozenset(
                Pinned(path=path, where=where, reference=reference)
                for path, where, reference in (connection.execute(refused) if rows else ())
            )
        left = (_without(_decision(row), lines) for row in reversed(rows))
        return tuple(one for one in left if one is not None)


class SqlAccounts:
    """`Accounts` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, forge: str, id: str, login: str) -> None:  # noqa: A002 - the field's own word
        insert = self._database.insert(accounts).values(forge=forge, id=id, login=clean(login))
        key = [accounts.c.forge, accounts.c.id]
        with self._database.write() as connection:
            connection.execute(
                insert.on_conflict_do_update(index_elements=key, set_={"login": insert.excluded.login})
            )

    def of(self, forge: str) -> frozenset[str]:
        query = select(accounts.c.id, accounts.c.login).where(accounts.c.forge == forge)
        with self._database.read() as connection:
            return frozenset(text for row in connection.execute(query) for text in row if text)


def _text(text: str) -> str:
    return clean(text)[:_LONGEST]
