"""From headers and a verified body to what the inbox stores: for the receiver and for catching up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from bot.allowed_owners import AllowedOwners
from bot.store.base import Delivery
from webhooks import github_events, gitlab_events
from webhooks.events import Context, Irrelevant, Wanted


class Reader(Protocol):
    """How one forge's deliveries are read; names of headers are in lower case."""

    def identify(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the id that all attempts at a delivery share; raises `EventError`."""

    def read(self, headers: Mapping[str, str], body: bytes, context: Context) -> Wanted | Irrelevant:
        """Return what a delivery wants; raises `EventError`."""


READERS: Mapping[str, Reader] = {"github": github_events, "gitlab": gitlab_events}

_MINUTE = 60.0


def deliver(source: str, headers: Mapping[str, str], body: bytes, context: Context) -> Delivery | Irrelevant:
    """Return what is to be stored of a delivery, or why nothing is; raises `EventError`.

    `source` is a key of `READERS`.  That the forge sent it was seen to before.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    reader = READERS[source]
    id_ = reader.identify(lowered, body)
    found = reader.read(lowered, body, context)
    if isinstance(found, Irrelevant):
        return found
    return Delivery(source=source, id=id_, jobs=found.jobs, event=found.event)


class Contexts:
    """What readers have to know about us; who we are is asked for once a minute."""

    def __init__(
        self,
        accounts: Callable[[str], frozenset[str]],
        *,
        owners: AllowedOwners | None = None,
        app: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`accounts` is `Accounts.of`; `app` is the GitHub App's id."""
        self._accounts = accounts
        self._owners = owners or AllowedOwners()
        self._app = app
        self._clock = clock
        self._known: dict[str, tuple[float, Context]] = {}

    def __call__(self, forge: str) -> Context:
        """Return the context for a forge; raises `StoreError` where nobody could say who we are."""
        until, known = self._known.get(forge, (0.0, None))
        now = self._clock()
        if known is not None and now < until:
            return known
        accounts = self._accounts(forge) - {""}  # an id that a forge would not tell
        context = Context(owners=self._owners, accounts=accounts, app=self._app)
        # While we do not know who we are, it is asked every time.
        if accounts:
            self._known[forge] = (now + _MINUTE, context)
        return context
