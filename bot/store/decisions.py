"""What people settled in a conversation, and who we are on each forge."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from bot.model import Decision
from bot.store.database import Database, clean
from bot.store.tables import accounts, decisions

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
        "made": now,
    }


class SqlDecisions:
    """`Decisions` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, forge: str, repository: str, decision: Decision, now: datetime) -> None:
        with self._database.write() as connection:
            connection.execute(
                decisions.insert().values(forge=forge, repository=clean(repository), **columns(decision, now))
            )

    def of(self, forge: str, repository: str, now: datetime) -> tuple[Decision, ...]:
        # Of too many the newest count: the last word of a person is among them.
        query = (
            select(decisions)
            .where(
                decisions.c.forge == forge,
                decisions.c.repository == repository,
                or_(decisions.c.until.is_(None), decisions.c.until > now),
            )
            .order_by(decisions.c.number.desc())
            .limit(_MOST)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(
            Decision(
                by=row.by,
                what=row.what,
                reference=row.reference,
                digest=row.digest,
                until=row.until,
                because=row.because,
            )
            for row in reversed(rows)
        )


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
