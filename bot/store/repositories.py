"""What is known of each repository, by the forge's id for it: names are reused, ids are not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, select, update

from bot.model import Fact, Job, Repository, Trigger
from bot.store.audit import append
from bot.store.base import Known, ProposalState, Referenced, Scan
from bot.store.database import Database, clean
from bot.store.renaming import AWAY, away, carry
from bot.store.tables import proposals, referenced, repositories, scans
from bot.store.wishes import want

_MOST_PATHS = 20_000
_MOST_REFERENCES = 20_000
_MOST_REFS = 1000
_LONGEST = 4096
_MOST_PLACES = 10_000
_COMMIT = 64
_FRESH = timedelta(hours=1)


class SqlRepositories:
    """`Repositories` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- names and ids --------------------------------------------------------------------

    def record(self, forge: str, repository: Repository, now: datetime) -> Known:
        name = clean(repository.name)
        known = self.get(forge, name)
        if known is not None and _unchanged(known, repository, now):
            return known  # a sweep tells of every repository, and of most of them nothing new
        with self._database.write() as connection:
            # Two workers that hear of one rename, or of a swap of names, take turns.
            self._database.lock(connection, f"repositories {forge}")
            holder = connection.execute(select(repositories).where(_named(forge, name))).one_or_none()
            identity = repository.id or (holder.id if holder is not None else "")
            replaced = ""
            if holder is not None and holder.id and holder.id != identity:
                # Whoever had the name goes by another one now, and brings its memory along when it is heard of.
                self._take_away(connection, holder, now)
                replaced = holder.id
                holder = None
            before = self._by_id(connection, forge, identity)
            if before is not None and before != name:
                carry(self._database, connection, forge, before, name, now)
                connection.execute(delete(repositories).where(_named(forge, name)))
                connection.execute(update(repositories).where(_named(forge, before)).values(name=name))
            back = self._is_gone(connection, forge, name)
            self._put(connection, forge, name, identity, repository, now)
            if back:
                self._look_again(connection, forge, name, identity, now)
            row = connection.execute(select(repositories).where(_named(forge, name))).one()
            # Last: nothing else is locked after the audit log.
            if replaced:
                said = {"id": identity, "before": replaced}
                self._log(connection, "repository.replaced", forge, name, said, now)
            if before is not None and before != name:
                old = "" if before.startswith(AWAY) else before
                given = bool(old) and old.rpartition("/")[0] != name.rpartition("/")[0]
                what = "repository.transferred" if given else "repository.renamed"
                self._log(connection, what, forge, name, {"id": identity, "before": old}, now)
        return _known(row)

    def _is_gone(self, connection: Connection, forge: str, name: str) -> bool:
        query = select(repositories.c.gone).where(_named(forge, name))
        return bool(connection.execute(query).scalar_one_or_none())

    def _look_again(
        self, connection: Connection, forge: str, name: str, identity: str, now: datetime
    ) -> None:
        """Want every branch looked at that we looked at or proposed to: nobody told us what happened there."""
        here = and_(proposals.c.forge == forge, proposals.c.repository == name)
        standing = select(proposals.c.base).where(here, proposals.c.state == ProposalState.PUBLISHED.value)
        looked = select(scans.c.ref).where(scans.c.forge == forge, scans.c.repository == name)
        # Those first on which something of ours stands.
        refs = [
            *connection.execute(standing).scalars(),
            *connection.execute(looked.limit(_MOST_REFS)).scalars(),
        ]
        for ref in sorted(dict.fromkeys(refs[:_MOST_REFS])):
            job = Job(forge=forge, repository=name, ref=ref, trigger=Trigger.PUSH, identity=identity)
            want(self._database, connection, job, now)

    def _log(
        self,
        connection: Connection,
        what: str,
        forge: str,
        name: str,
        evidence: Mapping[str, Fact],
        now: datetime,
    ) -> None:
        append(self._database, connection, "moorline", what, f"{forge} {name}", evidence, now)

    def _take_away(self, connection: Connection, holder: Row[Any], now: datetime) -> None:
        carry(self._database, connection, holder.forge, holder.name, away(holder.id), now)
        connection.execute(
            update(repositories)
            .where(_named(holder.forge, holder.name))
            .values(name=away(holder.id), gone=True)
        )

    def _by_id(self, connection: Connection, forge: str, identity: str) -> str | None:
        if not identity:
            return None
        query = select(repositories.c.name).where(
            repositories.c.forge == forge, repositories.c.id == identity
        )
        return connection.execute(query).scalar_one_or_none()

    def _put(
        self,
        connection: Connection,
        forge: str,
        name: str,
        identity: str,
        repository: Repository,
        now: datetime,
    ) -> None:
        said = {
            "id": identity,
            "default_branch": clean(repository.default_branch),
            "head": _commit(repository.head),
            "archived": repository.archived,
            "fork": repository.fork,
            "private": repository.private,
            "gone": False,
            "seen": now,
        }
        insert = self._database.insert(repositories).values(forge=forge, name=name, **said)
        key = [repositories.c.forge, repositories.c.name]
        connection.execute(insert.on_conflict_do_update(index_elements=key, set_=said))

    def get(self, forge: str, name: str) -> Known | None:
        with self._database.read() as connection:
            row = connection.execute(select(repositories).where(_named(forge, name))).one_or_none()
        return None if row is None else _known(row)

    def all(self, forge: str, owner: str = "") -> tuple[Known, ...]:
        query = select(repositories).where(repositories.c.forge == forge, ~repositories.c.gone)
        if owner:
            query = query.where(repositories.c.name.startswith(f"{owner}/", autoescape=True))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(repositories.c.name)).all()
        known = (_known(row) for row in rows)
        # What LIKE compares depends on the database: SQLite's knows no case.
        return tuple(one for one in known if not owner or one.repository.name.startswith(f"{owner}/"))

    def gone(self, forge: str, name: str, now: datetime) -> None:
        name = clean(name)
        lost = Repository(name=name, id="", default_branch="", head="")
        with self._database.write() as connection:
            self._database.lock(connection, f"repositories {forge}")
            known = update(repositories).where(_named(forge, name)).values(gone=True, seen=now)
            if not connection.execute(known.returning(repositories.c.name)).all():
                self._put(connection, forge, name, "", lost, now)
                connection.execute(known)

    # --- scans ----------------------------------------------------------------------------

    def scanned(self, forge: str, name: str, ref: str, scan: Scan) -> None:
        place = {"forge": forge, "repository": clean(name), "ref": clean(ref)}
        whole = (
            len(scan.paths) <= _MOST_PATHS
            and len(scan.references) <= _MOST_REFERENCES
            and len(scan.refs) <= _MOST_REFS
            and len(scan.head) <= _COMMIT
        )
        with self._database.write() as connection:
            connection.execute(delete(referenced).where(_scan_of(referenced, **place)))
            connection.execute(delete(scans).where(_scan_of(scans, **place)))
            if not whole:
                return  # half a memory would call something unchanged that is not: looked at anew each time
            said = {
                "head": clean(scan.head),
                "rules": clean(scan.rules),
                "paths": json.dumps(scan.paths),
                "refs": json.dumps(scan.refs),
                "held": scan.held,
                "at": scan.at,
            }
            insert = self._database.insert(scans).values(**place, **said)
            key = [scans.c.forge, scans.c.repository, scans.c.ref]
            connection.execute(insert.on_conflict_do_update(index_elements=key, set_=said))
            rows = [place | _row(one) for one in scan.references]
            if rows:
                connection.execute(referenced.insert(), rows)

    def scan(self, forge: str, name: str, ref: str) -> Scan | None:
        with self._database.read() as connection:
            row = connection.execute(select(scans).where(_scan_of(scans, forge, name, ref))).one_or_none()
            if row is None:
                return None
            found = connection.execute(
                select(referenced).where(_scan_of(referenced, forge, name, ref)).order_by(referenced.c.number)
            ).all()
        return Scan(
            head=row.head,
            rules=row.rules,
            paths=tuple(json.loads(row.paths)),
            references=tuple(map(_referenced, found)),
            refs=tuple(json.loads(row.refs)),
            held=row.held,
            at=row.at,
        )

    def scans(self, forge: str) -> Mapping[tuple[str, str], tuple[str, str]]:
        query = select(scans.c.repository, scans.c.ref, scans.c.head, scans.c.rules)
        query = query.where(scans.c.forge == forge, ~scans.c.repository.startswith(AWAY, autoescape=True))
        with self._database.read() as connection:
            rows = connection.execute(query)
            return {(row.repository, row.ref): (row.head, row.rules) for row in rows}

    def moved(self, forge: str, name: str, ref: str, before: str, head: str) -> bool:
        if not before or not head or len(head) > _COMMIT:
            return False
        same = and_(_scan_of(scans, forge, name, ref), scans.c.head == before)
        with self._database.write() as connection:
            done = update(scans).where(same).values(head=head).returning(scans.c.head)
            return bool(connection.execute(done).all())

    def where(self, name: str, version: str = "") -> tuple[tuple[str, str, Referenced], ...]:
        lost = exists().where(
            repositories.c.forge == referenced.c.forge,
            repositories.c.name == referenced.c.repository,
            repositories.c.gone,
        )
        place = (referenced.c.forge, referenced.c.repository, referenced.c.path, referenced.c.line)
        kinds = (referenced.c.kind, referenced.c.name, referenced.c.version, referenced.c.digest)
        query = select(*place, *kinds, referenced.c.pinned).distinct()
        query = query.where(referenced.c.name == name, ~lost)
        if version:
            query = query.where(referenced.c.version == version)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(*place).limit(_MOST_PLACES)).all()
        return tuple((row.forge, row.repository, _referenced(row)) for row in rows)


def _unchanged(known: Known, repository: Repository, now: datetime) -> bool:
    return known.repository == repository and not known.gone and known.seen <= now < known.seen + _FRESH


def _named(forge: str, name: str) -> ColumnElement[bool]:
    return and_(repositories.c.forge == forge, repositories.c.name == name)


def _scan_of(table: Any, forge: str, repository: str, ref: str) -> ColumnElement[bool]:
    return and_(table.c.forge == forge, table.c.repository == repository, table.c.ref == ref)


def _commit(text: str) -> str:
    return clean(text) if len(text) <= _COMMIT else ""


def _row(one: Referenced) -> dict[str, Any]:
    return {
        "path": clean(one.path)[:_LONGEST],
        "line": one.line,
        "kind": one.kind,
        "name": clean(one.name)[:_LONGEST],
        "version": clean(one.version)[:_LONGEST],
        "digest": clean(one.digest)[:128],
        "pinned": one.pinned,
    }


def _referenced(row: Any) -> Referenced:
    return Referenced(
        path=row.path,
        line=row.line,
        kind=row.kind,
        name=row.name,
        version=row.version,
        digest=row.digest,
        pinned=row.pinned,
    )


def _known(row: Row[Any]) -> Known:
    return Known(
        forge=row.forge,
        repository=Repository(
            name=row.name,
            id=row.id,
            default_branch=row.default_branch,
            head=row.head,
            archived=row.archived,
            fork=row.fork,
            private=row.private,
        ),
        gone=row.gone,
        seen=row.seen,
    )
