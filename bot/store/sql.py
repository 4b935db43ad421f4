"""The store: everything that is remembered, in one SQLite file or one Postgres database."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from bot.store.audit import SqlAudit
from bot.store.checks import SqlChecks
from bot.store.conversations import SqlConversations
from bot.store.database import Database
from bot.store.decisions import SqlAccounts, SqlDecisions
from bot.store.inbox import SqlInbox
from bot.store.leases import SqlLeases
from bot.store.ledger import SqlLedger
from bot.store.proposals import SqlProposals
from bot.store.repositories import SqlRepositories
from bot.store.reviews import SqlReviews
from bot.store.schedules import SqlSchedules
from bot.store.sweeps import SqlSweeps
from bot.store.webhooks import SqlWebhooks


class Store:
    """An open store.  Safe to use from threads; close it, or use it in a `with`."""

    def __init__(self, url: str) -> None:
        """Open `sqlite:///file` or `postgresql://...`, making what is missing; raises `StoreError`."""
        self.url = url
        self._database = Database(url)
        self.inbox = SqlInbox(self._database)
        self.proposals = SqlProposals(self._database)
        self.leases = SqlLeases(self._database)
        self.repositories = SqlRepositories(self._database)
        self.decisions = SqlDecisions(self._database)
        self.accounts = SqlAccounts(self._database)
        self.audit = SqlAudit(self._database)
        self.checks = SqlChecks(self._database)
        self.reviews = SqlReviews(self._database)
        self.sweeps = SqlSweeps(self._database)
        self.schedules = SqlSchedules(self._database)
        self.webhooks = SqlWebhooks(self._database)
        self.conversations = SqlConversations(self._database)

    def __repr__(self) -> str:
        return f"Store({self._database.dialect})"  # the URL may hold a password

    @property
    def backlog(self) -> SqlInbox:
        """The worker's side of the inbox."""
        return self.inbox

    def ledger(self, scope: str) -> SqlLedger:
        """Return the ledger of one scope: a forge owner and its trust."""
        return SqlLedger(self._database, scope)

    def close(self) -> None:
        """Give every connection back."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
