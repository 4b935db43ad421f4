"""Proposals as rows: what `plan` made and `publish` writes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Row, and_, case, exists, func, select

from bot.errors import StoreError
from bot.model import Edit, Looks, Pinned, Proposal, Span, line_of
from bot.store.base import ProposalState, StoredProposal
from bot.store.database import Database, clean
from bot.store.tables import RESERVED, commits, declined, openings, proposals

ALLOWING = line_of("allow", "")
"""Where a configuration has what is allowed."""
_MOST_STANDING = 1000
_DRAFTS = 5
_ACCEPTED = 200
"""Proposals of which it is remembered what people let be pinned."""
_TOLD_LATE = timedelta(hours=1)
"""How long before the deletion of a base is told its requests may have been found closed."""


_HASH = 24
_OPENED = ~openings.c.key.startswith(RESERVED)


class SqlProposals:
    """`Proposals` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def store(self, forge: str, proposal: Proposal, diff: str, now: datetime) -> str:
        place = _place(forge, proposal.repository, proposal.base, proposal.group)
        with self._database.write() as connection:
            waiting = connection.execute(
                select(proposals)
                .where(place, proposals.c.state == ProposalState.OPEN.value)
                .order_by(proposals.c.made.desc())
                .limit(1)
            ).one_or_none()
            if waiting is not None:
                if waiting.digest == proposal.digest and waiting.commit == proposal.commit:
                    return str(waiting.id)
                connection.execute(
                    proposals.update()
                    .where(place, proposals.c.state == ProposalState.OPEN.value)
                    .values(state=ProposalState.SUPERSEDED.value, changed=now)
                )
            id_ = uuid4().hex
            connection.execute(
                proposals.insert().values(
                    id=id_,
                    forge=forge,
                    repository=proposal.repository,
                    base=proposal.base,
                    group=proposal.group,
                    branch=proposal.branch,
                    commit=proposal.commit,
                    digest=proposal.digest,
                    title=clean(proposal.title),
                    body=clean(proposal.body),
                    message=clean(proposal.message),
                    edits=encode_edits(proposal.edits),
                    diff=clean(diff),
                    state=ProposalState.OPEN.value,
                    url="",
                    detail="",
                    made=now,
                    changed=now,
                    pins=encode_pins(proposal.pins),
                    looks=encode_looks(proposal.looks),
                )
            )
            return id_

    def get(self, id: str) -> StoredProposal | None:  # noqa: A002 - the field's own word
        with self._database.read() as connection:
            row = connection.execute(select(proposals).where(proposals.c.id == id)).one_or_none()
            return None if row is None else _stored(connection, row)

    def current(self, forge: str, repository: str, base: str, group: str) -> StoredProposal | None:
        place = _place(forge, repository, base, group)
        published = proposals.c.state == ProposalState.PUBLISHED.value
        with self._database.read() as connection:
            row = connection.execute(select(proposals).where(place, published)).one_or_none()
            return None if row is None else _stored(connection, row)

    def commits(self, forge: str, repository: str, branch: str) -> frozenset[str]:
        query = select(commits.c.commit).where(
            commits.c.forge == forge, commits.c.repository == repository, commits.c.branch == branch
        )
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())

    def intend(self, id: str, commit: str, now: datetime) -> None:  # noqa: A002 - as above
        with self._database.write() as connection:
            self._remember(connection, _existing(connection, id), commit, now)

    def withdraw(self, id: str, now: datetime) -> None:  # noqa: A002 - as above
        with self._database.write() as connection:
            connection.execute(
                proposals.update().where(proposals.c.id == id).values(closing=True, changed=now)
            )

    def mark(
        self,
        id: str,  # noqa: A002 - as above
        state: ProposalState,
        now: datetime,
        *,
        commit: str = "",
        url: str = "",
        detail: str = "",
        number: int = 0,
    ) -> None:
        with self._database.write() as connection:
            row = _existing(connection, id)
            if state is ProposalState.PUBLISHED:
                self._open(connection, row, number or row.number, now)
                connection.execute(
                    proposals.update()
                    .where(
                        _place(row.forge, row.repository, row.base, row.group),
                        proposals.c.state == ProposalState.PUBLISHED.value,
                        proposals.c.id != id,
                    )
                    .values(state=ProposalState.SUPERSEDED.value, changed=now)
                )
            connection.execute(
                proposals.update()
                .where(proposals.c.id == id)
                .values(
                    state=state.value,
                    changed=now,
                    url=clean(url) or proposals.c.url,
                    detail=clean(detail),
                    number=number or proposals.c.number,
                )
            )
            if commit:
                self._remember(connection, row, commit, now)
            if commit and state is ProposalState.PUBLISHED:
                # Its request is open: nobody closed it after all.
                connection.execute(proposals.update().where(proposals.c.id == id).values(closing=False))
            connection.execute(
                openings.delete().where(_reserved(row.forge, row.repository, row.base, row.group))
            )
            if state is ProposalState.PUBLISHED:
                forget(connection, [id])
            if state is ProposalState.CLOSED:
                connection.execute(declined.delete().where(declined.c.proposal == id))
            if state is ProposalState.CLOSED:
                _decline(connection, row, now)

    def _open(self, connection: Connection, row: Row[Any], number: int, now: datetime) -> None:
        """Count a request that is opened, or without requests a branch where none was published."""
        place = _place(row.forge, row.repository, row.base, row.group)
        published = proposals.c.state == ProposalState.PUBLISHED.value
        if not number and connection.execute(select(proposals.c.id).where(place, published)).first():
            return
        mine = and_(openings.c.forge == row.forge, openings.c.repository == row.repository)
        before = connection.execute(select(openings.c.key).where(mine, _OPENED).limit(1)).first()
        connection.execute(
            self._database.insert(openings)
            .values(
                forge=row.forge,
                repository=row.repository,
                key=str(number) if number else row.id,
                owner=row.repository.partition("/")[0],
                opened=now,
                first=before is None,
            )
            .on_conflict_do_nothing()
        )

    def _remember(self, connection: Connection, row: Row[Any], commit: str, now: datetime) -> None:
        connection.execute(
            self._database.insert(commits)
            .values(
                proposal=row.id,
                forge=row.forge,
                repository=row.repository,
                branch=row.branch,
                commit=commit,
                stored=now,
            )
            .on_conflict_do_nothing()
        )

    def by_number(self, forge: str, repository: str, number: int) -> StoredProposal | None:
        if number <= 0:
            return None
        query = (
            select(proposals)
            .where(
                proposals.c.forge == forge,
                proposals.c.repository == repository,
                proposals.c.number == number,
            )
            .order_by(
                case((proposals.c.state == ProposalState.PUBLISHED.value, 0), else_=1),
                proposals.c.made.desc(),
                proposals.c.changed.desc(),
                proposals.c.id,
            )
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else _stored(connection, row)

    def standing(self, forge: str, repository: str, base: str | None = None) -> tuple[StoredProposal, ...]:
        return self._in(ProposalState.PUBLISHED, forge, repository, base)

    def unpublished(self, forge: str, repository: str, base: str) -> tuple[StoredProposal, ...]:
        return self._in(ProposalState.OPEN, forge, repository, base)

    def _in(
        self, state: ProposalState, forge: str, repository: str, base: str | None
    ) -> tuple[StoredProposal, ...]:
        query = select(proposals).where(
            proposals.c.forge == forge,
            proposals.c.repository == repository,
            proposals.c.state == state.value,
        )
        if base is not None:
            query = query.where(proposals.c.base == base)
        query = query.order_by(proposals.c.base, proposals.c.group).limit(_MOST_STANDING)
        with self._database.read() as connection:
            return tuple(_stored(connection, row) for row in connection.execute(query).all())

    def drafts(self, forge: str, repository: str, branch: str) -> tuple[StoredProposal, ...]:
        query = (
            select(proposals)
            .where(
                proposals.c.forge == forge,
                proposals.c.repository == repository,
                proposals.c.branch == branch,
                proposals.c.state.in_((ProposalState.OPEN.value, ProposalState.SUPERSEDED.value)),
                ~exists().where(commits.c.proposal == proposals.c.id),
            )
            .order_by(proposals.c.made.desc(), proposals.c.id)
            .limit(_DRAFTS)
        )
        with self._database.read() as connection:
            return tuple(_stored(connection, row) for row in connection.execute(query).all())

    def declined(self, forge: str, repository: str, base: str) -> frozenset[Pinned]:
        query = (
            select(declined.c.path, declined.c.where, declined.c.reference)
            .where(declined.c.forge == forge, declined.c.repository == repository, declined.c.base == base)
            .distinct()
        )
        with self._database.read() as connection:
            rows = connection.execute(query)
            return frozenset(
                Pinned(path=path, where=where, reference=reference) for path, where, reference in rows
            )

    def accepted(self, forge: str, repository: str, base: str) -> frozenset[Pinned]:
        states = (ProposalState.PUBLISHED.value, ProposalState.MERGED.value)
        query = (
            select(proposals.c.pins)
            .where(
                proposals.c.forge == forge,
                proposals.c.repository == repository,
                proposals.c.base == base,
                proposals.c.state.in_(states),
            )
            .order_by(case((proposals.c.state == states[0], 0), else_=1), proposals.c.changed.desc())
            .limit(_ACCEPTED)
        )
        with self._database.read() as connection:
            return frozenset(pin for pins in connection.execute(query).scalars() for pin in decode_pins(pins))

    def ever(self, forge: str, repository: str) -> bool:
        query = select(openings.c.key).where(
            openings.c.forge == forge, openings.c.repository == repository, _OPENED
        )
        with self._database.read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def published_since(self, forge: str, owner: str, since: datetime) -> tuple[int, int]:
        with self._database.read() as connection:
            return _opened(connection, forge, owner, since)

    def reserve(
        self,
        forge: str,
        repository: str,
        base: str,
        groups: Sequence[str],
        now: datetime,
        *,
        since: datetime,
        per_day: int,
        first_per_day: int,
    ) -> int:
        owner = repository.partition("/")[0]
        mine = and_(openings.c.forge == forge, openings.c.repository == repository)
        with self._database.write() as connection:
            # Whoever counts waits for whoever counted before to say what that came to.
            self._database.lock(connection, f"openings {forge} {owner}")
            connection.execute(openings.delete().where(_reserved(forge, repository, base)))
            opened, firsts = _opened(connection, forge, owner, since)
            some = connection.execute(select(openings.c.key).where(mine).limit(1)).first() is not None
            if firsts >= first_per_day and not some:
                return 0
            rows = [
                {
                    "forge": forge,
                    "repository": repository,
                    "key": _reservation(base, group),
                    "owner": owner,
                    "opened": now,
                    "first": number == 0 and not some,
                }
                for number, group in enumerate(groups[: max(per_day - opened, 0)])
            ]
            if rows:
                connection.execute(openings.insert(), rows)
            return len(rows)

    def release(self, id: str) -> None:  # noqa: A002 - what every method here calls it
        with self._database.write() as connection:
            row = _existing(connection, id)
            connection.execute(
                openings.delete().where(_reserved(row.forge, row.repository, row.base, row.group))
            )

    def recent(self, limit: int) -> tuple[StoredProposal, ...]:
        order = (proposals.c.changed.desc(), proposals.c.made.desc(), proposals.c.id)
        query = select(proposals).order_by(*order).limit(limit)
        with self._database.read() as connection:
            return tuple(_stored(connection, row) for row in connection.execute(query).all())

    def counts(self) -> Mapping[str, int]:
        query = select(proposals.c.state, func.count().label("number")).group_by(proposals.c.state)
        with self._database.read() as connection:
            return {row.state: row.number for row in connection.execute(query)}


def orphan(connection: Connection, forge: str, repository: str, base: str, now: datetime) -> None:
    """Remember that a base was deleted: a forge may close requests along with it, which is nobody's refusal.

    Of what was found closed just before it was told nobody knows better.
    """
    here = and_(proposals.c.forge == forge, proposals.c.repository == repository, proposals.c.base == base)
    standing = and_(here, proposals.c.state == ProposalState.PUBLISHED.value, proposals.c.number > 0)
    connection.execute(proposals.update().where(standing).values(closing=True))
    closed = connection.execute(
        proposals.update()
        .where(
            here,
            proposals.c.state == ProposalState.CLOSED.value,
            proposals.c.changed > now - _TOLD_LATE,
        )
        .values(
            state=ProposalState.SUPERSEDED.value, closing=True, changed=now, detail="its base was deleted"
        )
        .returning(proposals.c.id)
    )
    forget(connection, closed.scalars().all())


def forget(connection: Connection, ids: Sequence[str]) -> None:
    """Forget what was declined along with some proposals, but for what they were to allow.

    Whoever may write can open a request again, or delete a branch: neither lets anything pass.
    """
    allows = and_(declined.c.path == ALLOWING.path, declined.c.where == ALLOWING.where)
    connection.execute(declined.delete().where(declined.c.proposal.in_(ids), ~allows))


def encode_edits(edits: tuple[Edit, ...]) -> str:
    """Return edits as JSON, each byte of their texts one character below 256."""
    return json.dumps(
        [
            [
                edit.path,
                edit.span.start,
                edit.span.end,
                edit.expected.decode("latin-1"),
                edit.replacement.decode("latin-1"),
            ]
            for edit in edits
        ]
    )


def decode_edits(text: str) -> tuple[Edit, ...]:
    """Return the edits that `encode_edits` wrote."""
    return tuple(
        Edit(
            path=path,
            span=Span(start, end),
            expected=expected.encode("latin-1"),
            replacement=replacement.encode("latin-1"),
        )
        for path, start, end, expected, replacement in json.loads(text)
    )


def encode_pins(pins: tuple[Pinned, ...]) -> str:
    """Return pins as JSON."""
    return json.dumps([[pin.path, pin.where, pin.reference] for pin in pins])


def decode_pins(text: str) -> tuple[Pinned, ...]:
    """Return the pins that `encode_pins` wrote."""
    return tuple(
        Pinned(path=path, where=where, reference=reference) for path, where, reference in json.loads(text)
    )


def encode_looks(looks: Looks) -> str:
    """Return how a request should look as JSON."""
    return json.dumps(asdict(looks))


def decode_looks(text: str) -> Looks:
    """Return what `encode_looks` wrote."""
    said = json.loads(text)
    return Looks(
        labels=tuple(said.get("labels", ())),
        reviewers=tuple(said.get("reviewers", ())),
        assignees=tuple(said.get("assignees", ())),
        draft=said.get("draft", False),
        squash=said.get("squash"),
        remove_branch=said.get("remove_branch", True),
    )


def _decline(connection: Connection, row: Row[Any], now: datetime) -> None:
    rows = [
        {
            "proposal": row.id,
            "forge": row.forge,
            "repository": row.repository,
            "base": row.base,
            "path": clean(pin.path),
            "where": clean(pin.where),
            "reference": clean(pin.reference),
            "at": now,
        }
        for pin in dict.fromkeys(decode_pins(row.pins))
    ]
    if rows:
        connection.execute(declined.insert(), rows)


def _opened(connection: Connection, forge: str, owner: str, since: datetime) -> tuple[int, int]:
    """Return how many were opened or reserved for an owner, and how many of them were first ones."""
    query = select(func.count(), func.coalesce(func.sum(case((openings.c.first, 1), else_=0)), 0)).where(
        openings.c.forge == forge, openings.c.owner == owner, openings.c.opened >= since
    )
    count, first = connection.execute(query).one()
    return int(count), int(first)


def _reservation(base: str, group: str | None = None) -> str:
    """Return the key of what is reserved; without a group, how those of a base begin."""
    parts = [clean(one).encode() for one in (base, group) if one is not None]
    return RESERVED + "".join(hashlib.sha256(one).hexdigest()[:_HASH] for one in parts)


def _reserved(forge: str, repository: str, base: str, group: str | None = None) -> ColumnElement[bool]:
    key = _reservation(base, group)
    same = openings.c.key == key if group is not None else openings.c.key.startswith(key)
    return and_(openings.c.forge == forge, openings.c.repository == repository, same)


def _place(forge: str, repository: str, base: str, group: str) -> ColumnElement[bool]:
    return and_(
        proposals.c.forge == forge,
        proposals.c.repository == repository,
        proposals.c.base == base,
        proposals.c.group == group,
    )


def _existing(connection: Connection, id_: str) -> Row[Any]:
    row = connection.execute(select(proposals).where(proposals.c.id == id_).with_for_update()).one_or_none()
    if row is None:
        raise StoreError("There is no such proposal.")
    return row


def _stored(connection: Connection, row: Row[Any]) -> StoredProposal:
    ours = select(commits.c.commit).where(commits.c.proposal == row.id).order_by(commits.c.number.desc())
    return StoredProposal(
        id=row.id,
        forge=row.forge,
        proposal=Proposal(
            repository=row.repository,
            base=row.base,
            commit=row.commit,
            group=row.group,
            branch=row.branch,
            title=row.title,
            body=row.body,
            message=row.message,
            edits=decode_edits(row.edits),
            digest=row.digest,
            pins=decode_pins(row.pins),
            looks=decode_looks(row.looks),
        ),
        diff=row.diff,
        state=ProposalState(row.state),
        commits=tuple(connection.execute(ours).scalars()),
        url=row.url,
        detail=row.detail,
        made=row.made,
        changed=row.changed,
        number=row.number,
        closing=row.closing,
    )
