"""What is to be said about commits: made by one step of a run, and reported by the next."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from uuid import uuid4

from sqlalchemy import delete, select, update

from bot.model import Annotation, Button, CheckRun, Conclusion, Level
from bot.store.base import Judgement, StoredCheck
from bot.store.database import Database, clean
from bot.store.tables import checks, judgements

_MOST = 500


class SqlChecks:
    """`Checks` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def store(self, forge: str, repository: str, commit: str, check: CheckRun, now: datetime) -> str:
        id_ = uuid4().hex
        with self._database.write() as connection:
            connection.execute(
                checks.insert().values(
                    id=id_,
                    forge=forge,
                    repository=clean(repository),
                    commit=commit,
                    said=clean(json.dumps(asdict(check))),
                    made=now,
                )
            )
        return id_

    def any(self, forge: str, repository: str, commit: str, besides: str = "") -> bool:
        wanted = (
            checks.c.forge == forge,
            checks.c.repository == clean(repository),
            checks.c.commit == commit,
            checks.c.id != besides,
        )
        with self._database.read() as connection:
            return connection.execute(select(checks.c.id).where(*wanted).limit(1)).first() is not None

    def get(self, id: str) -> StoredCheck | None:  # noqa: A002 - the field's own word
        with self._database.read() as connection:
            row = connection.execute(select(checks).where(checks.c.id == id)).one_or_none()
        if row is None:
            return None
        return StoredCheck(
            id=row.id,
            forge=row.forge,
            repository=row.repository,
            commit=row.commit,
            check=_check(row.said),
        )

    def judge(self, forge: str, repository: str, commit: str, judged: Judgement, now: datetime) -> None:
        key = {
            "forge": forge,
            "repository": clean(repository),
            "commit": commit,
            "number": judged.number,
        }
        with self._database.write() as connection:
            connection.execute(delete(judgements).where(*(judgements.c[name] == key[name] for name in key)))
            connection.execute(
                judgements.insert().values(
                    **key,
                    base=clean(judged.base),
                    said=clean(json.dumps(asdict(judged.check))),
                    stands=True,
                    at=now,
                )
            )

    def judgements(self, forge: str, repository: str, commit: str) -> tuple[Judgement, ...]:
        wanted = (
            judgements.c.forge == forge,
            judgements.c.repository == clean(repository),
            judgements.c.commit == commit,
            judgements.c.stands,
        )
        with self._database.read() as connection:
            rows = connection.execute(select(judgements).where(*wanted).order_by(judgements.c.number)).all()
        return tuple(Judgement(number=row.number, base=row.base, check=_check(row.said)) for row in rows)

    def proposing(self, forge: str, repository: str) -> tuple[int, ...]:
        query = (
            select(judgements.c.number)
            .where(
                judgements.c.forge == forge,
                judgements.c.repository == clean(repository),
                judgements.c.number > 0,
                judgements.c.stands,
            )
            .distinct()
            .order_by(judgements.c.number.desc())
            .limit(_MOST)
        )
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalars())

    def settle(self, forge: str, repository: str, number: int, head: str = "") -> tuple[str, ...]:
        past = (
            judgements.c.forge == forge,
            judgements.c.repository == clean(repository),
            judgements.c.number == number,
            judgements.c.commit != head,
        )
        with self._database.write() as connection:
            connection.execute(update(judgements).where(*past).values(stands=False))
            found = connection.execute(select(judgements.c.commit).where(*past).order_by(judgements.c.at))
            return tuple(found.scalars().all())


def _check(text: str) -> CheckRun:
    said = json.loads(text)
    return CheckRun(
        conclusion=Conclusion(said["conclusion"]),
        title=said["title"],
        summary=said["summary"],
        annotations=tuple(Annotation(**{**one, "level": Level(one["level"])}) for one in said["annotations"]),
        url=said["url"],
        buttons=tuple(Button(**one) for one in said.get("buttons", ())),
        held=said.get("held", False),
        brief=said.get("brief", ""),
    )
