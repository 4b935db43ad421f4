"""The audit log: append-only, each entry holding the hash of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from bot.model import Fact
from bot.store.base import Entry
from bot.store.database import Database, clean
from bot.store.tables import audit, microseconds

START = "0" * 64
"""Stands for the hash before the first entry."""
_LONGEST = 2000
_MOST_FACTS = 100
_BATCH = 1000


class SqlAudit:
    """`Audit` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, who: str, what: str, subject: str, evidence: Mapping[str, Fact], now: datetime) -> Entry:
        with self._database.write() as connection:
            return append(self._database, connection, who, what, subject, evidence, now)

    def head(self) -> tuple[int, str]:
        newest = select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(newest).one_or_none()
        return (0, START) if row is None else (row.number, row.hash)

    def entries(self, after: int, limit: int) -> tuple[Entry, ...]:
        query = select(audit).where(audit.c.number > after).order_by(audit.c.number).limit(limit)
        with self._database.read() as connection:
            return tuple(map(_read, connection.execute(query)))

    def broken(self) -> int | None:
        number, before = 0, START
        while True:
            query = select(audit).where(audit.c.number > number).order_by(audit.c.number).limit(_BATCH)
            with self._database.read() as connection:
                rows = connection.execute(query).all()
            if not rows:
                return None
            for row in rows:
                number += 1
                if row.number != number or not _holds(row, before):
                    return number
                before = row.hash


def append(
    database: Database,
    connection: Connection,
    who: str,
    what: str,
    subject: str,
    evidence: Mapping[str, Fact],
    now: datetime,
) -> Entry:
    """Append an entry within somebody's transaction and return it; nothing else is locked after it."""
    newest = select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)
    # Two who append at once would both follow the same entry.
    database.lock(connection, "audit")
    row = connection.execute(newest).one_or_none()
    number, before = (1, START) if row is None else (row.number + 1, row.hash)
    made = _entry(number, now, _text(who), _text(what), _text(subject), _kept(evidence), before)
    connection.execute(
        audit.insert().values(
            number=number,
            at=made.at,
            who=made.who,
            what=made.what,
            subject=made.subject,
            evidence=_canonical(made.evidence),
            hash=made.hash,
        )
    )
    return made


def digest(before: str, entry: Mapping[str, Any]) -> str:
    """Return the SHA-256 in hex over the hash before, a line feed, and the entry as canonical JSON.

    Canonical means keys in order, no blanks, ASCII only; `at` is in microseconds since 1970.
    """
    return hashlib.sha256(f"{before}\n{_canonical(entry)}".encode("ascii")).hexdigest()


def _holds(row: Row[Any], before: str) -> bool:
    """Return whether a row's hash follows from the one before; what cannot be read does not."""
    try:
        read = _read(row)
        made = _entry(read.number, read.at, read.who, read.what, read.subject, read.evidence, before)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return False
    # The text as well: the same facts written otherwise are not what was appended.
    return bool(made.hash == row.hash and _canonical(made.evidence) == row.evidence)


def _entry(
    number: int,
    at: datetime,
    who: str,
    what: str,
    subject: str,
    evidence: Mapping[str, Fact],
    before: str,
) -> Entry:
    said = {
        "number": number,
        "at": microseconds(at),
        "who": who,
        "what": what,
        "subject": subject,
        "evidence": evidence,
    }
    return Entry(
        number=number,
        at=at,
        who=who,
        what=what,
        subject=subject,
        evidence=evidence,
        hash=digest(before, said),
    )


def _read(row: Row[Any]) -> Entry:
    facts = json.loads(row.evidence)
    return Entry(
        number=row.number,
        at=row.at,
        who=row.who,
        what=row.what,
        subject=row.subject,
        evidence={name: tuple(fact) if isinstance(fact, list) else fact for name, fact in facts.items()},
        hash=row.hash,
    )


def _kept(evidence: Mapping[str, Fact]) -> dict[str, Fact]:
    """Return the evidence as it is kept: so many facts, each so long."""
    return {_text(name): _fact(fact) for name, fact in sorted(evidence.items())[:_MOST_FACTS]}


def _fact(fact: Fact) -> Fact:
    if isinstance(fact, tuple):
        return tuple(map(_text, fact[:_MOST_FACTS]))
    return _text(fact) if isinstance(fact, str) else fact


def _text(text: str) -> str:
    return clean(text)[:_LONGEST]


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
