"""What is to be said about commits: made by one step of a run, and reported by the next."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from uuid import uuid4

from sqlalchemy import select

from bot.model import Annotation, Button, CheckRun, Conclusion, Level
from bot.store.base import StoredCheck
from bot.store.database import Database, clean
from bot.store.tables import checks


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
        said = json.loads(row.said)
        return StoredCheck(
            id=row.id,
            forge=row.forge,
            repository=row.repository,
            commit=row.commit,
            check=CheckRun(
                conclusion=Conclusion(said["conclusion"]),
                title=said["title"],
                summary=said["summary"],
                annotations=tuple(
                    Annotation(**{**one, "level": Level(one["level"])}) for one in said["annotations"]
                ),
                url=said["url"],
                buttons=tuple(Button(**one) for one in said.get("buttons", ())),
                held=said.get("held", False),
            ),
        )
