"""Conversations as rows: what was heard, what it came to, and what is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, func, or_, select, tuple_

from bot.model import Pinned
from bot.store.audit import append
from bot.store.base import Answer, Deed, LastLook, Looked, Override, Pause, StoredAnswer
from bot.store.database import Database, clean
from bot.store.decisions import end, settle
from bot.store.proposals import forget
from bot.store.tables import (
    answers,
    commits,
    decisions,
    declined,
    heard,
    looks,
    overrides,
    pauses,
    proposals,
    stickies,
    words,
)
from bot.store.wishes import key, want

_OVERRIDES = 200
_REFERENCES = 2000
"""Of one look; what is held or refused is kept before all else."""


class SqlConversations:
    """`Conversations` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def heard(self, forge: str, repository: str, ref: str) -> str | None:
        with self._database.read() as connection:
            found = connection.execute(_answer_of(forge, repository, ref)).scalar_one_or_none()
        return None if found is None else str(found)

    def carry_out(self, deed: Deed, now: datetime) -> str:
        answer = deed.answer
        forge, repository = answer.forge, clean(answer.repository)
        id_ = uuid4().hex
        mine = (
            self._database.insert(heard)
            .values(forge=forge, repository=repository, ref=answer.ref, answer=id_, at=now)
            .on_conflict_do_nothing()
            .returning(heard.c.answer)
        )
        with self._database.write() as connection:
            if connection.execute(mine).one_or_none() is None:
                return str(connection.execute(_answer_of(forge, repository, answer.ref)).scalar_one())
            connection.execute(
                answers.insert().values(
                    id=id_,
                    forge=forge,
                    repository=repository,
                    ref=answer.ref,
                    number=answer.number,
                    asker=clean(answer.asker),
                    asker_id=clean(answer.asker_id),
                    url=clean(answer.url),
                    reaction=answer.reaction,
                    body=clean(answer.body),
                    closes=answer.closes,
                    made=now,
                )
            )
            self._settle(connection, deed, now)
            self._last_words(connection, deed)
            self._propose(connection, deed, now)
            # Everyone who locks several rows takes them in one order.
            for job in sorted(deed.jobs, key=key):
                want(self._database, connection, job, now)
            for what, evidence in deed.entries:
                subject = f"{forge} {repository} {answer.number}"
                append(self._database, connection, f"{forge}:{answer.asker}", what, subject, evidence, now)
        return id_

    def _settle(self, connection: Connection, deed: Deed, now: datetime) -> None:
        """Write down what is decided, paused and overridden."""
        answer = deed.answer
        place = {"forge": answer.forge, "repository": clean(answer.repository)}
        if deed.unignored:
            connection.execute(
                decisions.delete().where(
                    _in(decisions, answer.forge, answer.repository),
                    decisions.c.what == "ignore",
                    decisions.c.reference.in_([clean(one) for one in deed.unignored]),
                )
            )
        if deed.ended:
            end(connection, answer.forge, answer.repository, deed.ended)
        settle(connection, answer.forge, answer.repository, deed.decisions, now)
        if deed.resumes or deed.pause is not None:
            connection.execute(pauses.delete().where(_in(pauses, answer.forge, answer.repository)))
        if deed.pause is not None:
            pause = deed.pause
            connection.execute(
                pauses.insert().values(**place, by=clean(pause.by), since=pause.since, until=pause.until)
            )
        if deed.override is not None:
            said = {
                "by": clean(deed.override.by),
                "because": clean(deed.override.because),
                "at": deed.override.at,
            }
            said["base"] = clean(deed.override.base)
            key = {**place, "commit": deed.override.commit, "number": deed.override.number}
            insert = self._database.insert(overrides).values(**key, **said)
            connection.execute(insert.on_conflict_do_update(index_elements=list(key), set_=said))

    def _last_words(self, connection: Connection, deed: Deed) -> None:
        """Remember when each topic was last spoken of: the later word counts, whichever is heard first."""
        if deed.said is None:
            return
        place = {"forge": deed.answer.forge, "repository": clean(deed.answer.repository)}
        insert = self._database.insert(words)
        for topic in sorted(set(map(clean, deed.words))):
            connection.execute(
                insert.values(**place, topic=topic, said=deed.said).on_conflict_do_update(
                    index_elements=[words.c.forge, words.c.repository, words.c.topic],
                    set_={"said": deed.said},
                    where=words.c.said < deed.said,
                )
            )

    def _propose(self, connection: Connection, deed: Deed, now: datetime) -> None:
        """Let the next plan take up again what was closed, moved or taken over."""
        answer = deed.answer
        if deed.undeclined:
            pins = [(clean(one.path), clean(one.where), clean(one.reference)) for one in deed.undeclined]
            connection.execute(
                declined.delete().where(
                    _in(declined, answer.forge, answer.repository),
                    tuple_(declined.c.path, declined.c.where, declined.c.reference).in_(pins),
                )
            )
        if deed.reopened:
            forget(connection, deed.reopened)
        stale = {*deed.stale, *(id_ for id_, _ in deed.adopted)}
        if stale:
            # No proposal hashes to nothing: the next one takes its place whatever it holds.
            connection.execute(
                proposals.update().where(proposals.c.id.in_(stale)).values(digest="", changed=now)
            )
        for id_, commit in deed.adopted:
            row = connection.execute(select(proposals).where(proposals.c.id == id_)).one_or_none()
            if row is not None:
                connection.execute(
                    self._database.insert(commits)
                    .values(
                        proposal=id_,
                        forge=row.forge,
                        repository=row.repository,
                        branch=row.branch,
                        commit=commit,
                        stored=now,
                    )
                    .on_conflict_do_nothing()
                )

    # --- answers --------------------------------------------------------------------------

    def answer(self, id: str) -> StoredAnswer | None:  # noqa: A002 - the field's own word
        with self._database.read() as connection:
            row = connection.execute(select(answers).where(answers.c.id == id)).one_or_none()
        if row is None:
            return None
        return StoredAnswer(
            id=row.id,
            answer=Answer(
                forge=row.forge,
                repository=row.repository,
                ref=row.ref,
                number=row.number,
                asker=row.asker,
                asker_id=row.asker_id,
                url=row.url,
                reaction=row.reaction,
                body=row.body,
                closes=row.closes,
            ),
            made=row.made,
            begun=row.begun,
            ended=row.ended,
        )

    def begin(self, id: str, now: datetime) -> None:  # noqa: A002 - as above
        with self._database.write() as connection:
            connection.execute(
                answers.update().where(answers.c.id == id, answers.c.begun.is_(None)).values(begun=now)
            )

    def end(self, id: str, now: datetime) -> None:  # noqa: A002 - as above
        with self._database.write() as connection:
            connection.execute(answers.update().where(answers.c.id == id).values(ended=now))

    def said_since(self, forge: str, repository: str, since: datetime) -> int:
        query = select(func.count()).where(_in(answers, forge, repository), answers.c.begun >= since)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def sticky(self, forge: str, repository: str, number: int, topic: str) -> str:
        with self._database.read() as connection:
            found = connection.execute(
                select(stickies.c.comment).where(_stuck(forge, repository, number, topic))
            ).scalar_one_or_none()
        return found or ""

    def stuck(
        self, forge: str, repository: str, number: int, topic: str, comment: str, now: datetime
    ) -> None:
        with self._database.write() as connection:
            connection.execute(stickies.delete().where(_stuck(forge, repository, number, topic)))
            if comment:
                connection.execute(
                    stickies.insert().values(
                        forge=forge,
                        repository=clean(repository),
                        number=number,
                        topic=topic,
                        comment=comment,
                        at=now,
                    )
                )

    # --- what holds -----------------------------------------------------------------------

    def pause(self, forge: str, repository: str, now: datetime) -> Pause | None:
        holds = or_(pauses.c.until.is_(None), pauses.c.until > now)
        with self._database.read() as connection:
            row = connection.execute(
                select(pauses).where(_in(pauses, forge, repository), holds)
            ).one_or_none()
        return None if row is None else Pause(by=row.by, since=row.since, until=row.until)

    def words(self, forge: str, repository: str, since: datetime) -> Mapping[str, datetime]:
        query = select(words.c.topic, words.c.said).where(
            _in(words, forge, repository), words.c.said >= since
        )
        with self._database.read() as connection:
            return {row.topic: row.said for row in connection.execute(query)}

    def overrides(self, forge: str, repository: str, base: str) -> tuple[Override, ...]:
        query = (
            select(overrides)
            .where(_in(overrides, forge, repository), overrides.c.base == clean(base))
            .order_by(overrides.c.at.desc())
            .limit(_OVERRIDES)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(
            Override(
                commit=row.commit, number=row.number, base=base, by=row.by, because=row.because, at=row.at
            )
            for row in reversed(rows)
        )

    # --- looks ----------------------------------------------------------------------------

    def look(self, forge: str, repository: str, ref: str) -> LastLook | None:
        query = select(looks).where(_in(looks, forge, repository), looks.c.ref == ref)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        said = json.loads(row.said)
        return LastLook(
            commit=row.commit,
            at=row.at,
            references=tuple(_looked(one) for one in said["references"]),
            more=said["more"],
            verdict=said.get("verdict", ""),
            since=datetime.fromisoformat(said["since"]) if said.get("since") else None,
        )

    def looked(self, forge: str, repository: str, ref: str, look: LastLook) -> None:
        # What somebody may ask about comes first, should there be too many.
        ranked = sorted(look.references, key=lambda one: (not one.held_by, one.skip != ""))[:_REFERENCES]
        kept = set(map(id, ranked))
        said = {
            "references": [asdict(one) for one in look.references if id(one) in kept],
            "more": look.more + len(look.references) - len(ranked),
            "verdict": look.verdict,
        }
        place = {"forge": forge, "repository": clean(repository), "ref": clean(ref)}
        with self._database.write() as connection:
            query = select(looks).where(_in(looks, forge, repository), looks.c.ref == clean(ref))
            row = connection.execute(query).one_or_none()
            if row is not None and row.commit == look.commit:
                before = json.loads(row.said)
                if _found(before) == _found(json.loads(clean(json.dumps(said)))):
                    said["since"] = before.get("since") or row.at.isoformat()
            values = {"commit": look.commit, "at": look.at, "said": clean(json.dumps(said))}
            insert = self._database.insert(looks).values(**place, **values)
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=[looks.c.forge, looks.c.repository, looks.c.ref], set_=values
                )
            )


_WORDS = frozenset({"reasons", "note"})


def _found(said: dict[str, Any]) -> tuple[object, ...]:
    """Return what a look found: not the words for it, in which days are counted."""
    found = [{name: one[name] for name in one if name not in _WORDS} for one in said["references"]]
    return found, said["more"], said.get("verdict", "")


def _looked(said: dict[str, object]) -> Looked:
    lists = {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    pinned = said["pinned"]
    return Looked(**{**said, **lists, "pinned": Pinned(**pinned)})  # type: ignore[arg-type]  # as it was kept


def _answer_of(forge: str, repository: str, ref: str) -> Select[tuple[str]]:
    return select(heard.c.answer).where(_in(heard, forge, repository), heard.c.ref == ref)


def _stuck(forge: str, repository: str, number: int, topic: str) -> ColumnElement[bool]:
    return and_(_in(stickies, forge, repository), stickies.c.number == number, stickies.c.topic == topic)


def _in(table: Table, forge: str, repository: str) -> ColumnElement[bool]:
    return and_(table.c.forge == forge, table.c.repository == clean(repository))
