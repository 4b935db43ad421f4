"""What is to be said on requests, and what of it stands there: made by one step of a run, said by the next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Row, delete, func, select, update

from bot.model import Remark, Review, Spoken
from bot.store.base import ReviewState, StoredReview
from bot.store.database import Database, clean
from bot.store.tables import reviews

_COUNTED = timedelta(days=1)
"""After which nobody counts a review."""


class SqlReviews:
    """`Reviews` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def store(self, forge: str, repository: str, number: int, review: Review, now: datetime) -> str:
        id_ = uuid4().hex
        with self._database.write() as connection:
            connection.execute(
                reviews.insert().values(
                    id=id_,
                    forge=forge,
                    repository=clean(repository),
                    number=number,
                    state=ReviewState.OPEN.value,
                    review=clean(json.dumps(asdict(review))),
                    spoken="[]",
                    made=now,
                )
            )
        return id_

    def get(self, id: str) -> StoredReview | None:  # noqa: A002 - the field's own word
        with self._database.read() as connection:
            row = connection.execute(select(reviews).where(reviews.c.id == id)).one_or_none()
        return None if row is None else _review(row)

    def standing(self, forge: str, repository: str, number: int) -> StoredReview | None:
        with self._database.read() as connection:
            row = connection.execute(
                select(reviews)
                .where(
                    reviews.c.forge == forge,
                    reviews.c.repository == clean(repository),
                    reviews.c.number == number,
                    reviews.c.state == ReviewState.SAID.value,
                )
                .order_by(reviews.c.made.desc(), reviews.c.id)
                .limit(1)
            ).one_or_none()
        return None if row is None else _review(row)

    def begin(self, id: str) -> None:  # noqa: A002 - as above
        with self._database.write() as connection:
            connection.execute(
                update(reviews)
                .where(reviews.c.id == id, reviews.c.state == ReviewState.OPEN.value)
                .values(state=ReviewState.BEGUN.value)
            )

    def begun(self, forge: str, repository: str, number: int) -> bool:
        wanted = (
            reviews.c.forge == forge,
            reviews.c.repository == clean(repository),
            reviews.c.number == number,
            reviews.c.state == ReviewState.BEGUN.value,
        )
        with self._database.read() as connection:
            return connection.execute(select(reviews.c.id).where(*wanted).limit(1)).first() is not None

    def said(self, id: str, spoken: Sequence[Spoken], now: datetime) -> None:  # noqa: A002 - as above
        with self._database.write() as connection:
            row = connection.execute(select(reviews).where(reviews.c.id == id)).one_or_none()
            if row is None:
                return
            here = (reviews.c.forge == row.forge, reviews.c.repository == row.repository)
            of_request = (*here, reviews.c.number == row.number)
            stood = connection.execute(
                select(reviews.c.spoken).where(*of_request, reviews.c.state == ReviewState.SAID.value)
            ).scalars()
            before = {one["place"] for each in stood for one in json.loads(each)}
            if {one.place for one in spoken if one.place} - before:
                connection.execute(
                    reviews.insert().values(
                        id=uuid4().hex,
                        forge=row.forge,
                        repository=row.repository,
                        number=row.number,
                        state=ReviewState.COUNTED.value,
                        review="{}",
                        spoken="[]",
                        made=now,
                    )
                )
            connection.execute(
                delete(reviews).where(
                    *of_request,
                    reviews.c.state.not_in([ReviewState.OPEN.value, ReviewState.COUNTED.value]),
                    reviews.c.id != id,
                )
            )
            counted = reviews.c.state == ReviewState.COUNTED.value
            connection.execute(delete(reviews).where(*here, counted, reviews.c.made < now - _COUNTED))
            connection.execute(
                update(reviews)
                .where(reviews.c.id == id)
                .values(
                    state=ReviewState.SAID.value,
                    spoken=clean(json.dumps([asdict(one) for one in spoken])),
                    made=now,
                )
            )

    def said_since(self, forge: str, repository: str, since: datetime) -> int:
        query = select(func.count()).where(
            reviews.c.forge == forge,
            reviews.c.repository == clean(repository),
            reviews.c.state == ReviewState.COUNTED.value,
            reviews.c.made >= since,
        )
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def again(self, forge: str, repository: str, number: int) -> None:
        found = self.standing(forge, repository, number)
        if found is None:
            return
        # What is about nothing is about nothing that a later review says.
        spoken = [replace(one, remark=replace(one.remark, topic="")) for one in found.spoken]
        with self._database.write() as connection:
            connection.execute(
                update(reviews)
                .where(reviews.c.id == found.id)
                .values(spoken=clean(json.dumps([asdict(one) for one in spoken])))
            )


def _review(row: Row[Any]) -> StoredReview:
    said = json.loads(row.review)
    return StoredReview(
        id=row.id,
        forge=row.forge,
        repository=row.repository,
        number=row.number,
        review=Review(commit=said["commit"], body=said["body"], remarks=tuple(map(_remark, said["remarks"]))),
        state=ReviewState(row.state),
        spoken=tuple(
            Spoken(remark=_remark(one["remark"]), place=one["place"]) for one in json.loads(row.spoken)
        ),
    )


def _remark(said: Mapping[str, Any]) -> Remark:
    return Remark(**said)
