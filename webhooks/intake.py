"""What every hook does alike: bounds the body, stores what is wanted, answers and counts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import structlog
from flask import request
from prometheus_client import Counter

from bot.errors import StoreError
from bot.store.base import Delivery, Inbox, Receipt
from bot.visible import visible
from webhooks.events import EventError, Irrelevant, Reason

Answer: TypeAlias = tuple[dict[str, str], int] | tuple[dict[str, str], int, dict[str, str]]


class Result(StrEnum):
    """What became of a delivery, besides `Receipt` and `Reason`.  Closed: metrics show it."""

    OFF = "off"
    TOO_LARGE = "too-large"
    ENCODED = "encoded"
    UNSIGNED = "unsigned"
    MALFORMED = "malformed"
    UNAVAILABLE = "unavailable"


_RETRY_AFTER = {"Retry-After": "10"}
_NAMED = ("X-GitHub-Delivery", "Webhook-Id", "Idempotency-Key", "X-Gitlab-Event-UUID", "X-Moorline-Delivery")
"""Headers that name a delivery, one for each kind of sender."""
_LONGEST_NAME = 80
_LARGE = 1024 * 1024
_PATIENCE = 5.0
_log = structlog.get_logger(__name__)


class Intake:
    """Where a hook brings what it was sent."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        deliveries: Counter,
        clock: Callable[[], datetime],
        stored: Callable[[], None],
    ) -> None:
        """`stored` is called after something new was stored."""
        self._inbox = inbox
        self._deliveries = deliveries
        self._stored = stored
        # One thread, so that memory for one large body is all that they ever take: what an allocator
        # gave a thread it rarely gives back to another.
        self._large = ThreadPoolExecutor(1, thread_name_prefix="large-delivery")
        self.now = clock

    def answer(
        self, source: str, status: int, result: Result | Reason | Receipt, problem: str = ""
    ) -> Answer:
        """Return an answer, and count it."""
        self._deliveries.labels(source, result.value).inc()
        said = {"result": result.value} | ({"problem": problem} if problem else {})
        return (said, status, dict(_RETRY_AFTER)) if status == 503 else (said, status)

    def receive(
        self,
        source: str,
        *,
        limit: int,
        proven: Callable[[bytes], bool],
        read: Callable[[bytes], Delivery | Irrelevant],
        unproven: str,
        malformed: int,
        not_served: tuple[int, str] = (200, ""),
    ) -> Answer:
        """Take the request's body, and return the answer to it.

        `proven` tells whether the sender is who it says; before that nothing in the body is looked
        at.  `malformed` is the status for a body that `read` raises `EventError` for, `not_served`
        status and text for what is none of ours to look after.
        """
        if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            return self.answer(source, 415, Result.ENCODED, "The body must not be compressed.")
        request.max_content_length = limit
        if (request.content_length or 0) > limit:
            return self.answer(source, 413, Result.TOO_LARGE, f"A delivery is no larger than {limit} bytes.")

        def look() -> Delivery | Irrelevant | Answer:
            return self._look(source, proven, read, unproven, malformed)

        found = look() if (request.content_length or 0) <= _LARGE else self._in_turn(source, look)
        if isinstance(found, Irrelevant):
            if found.reason is Reason.UNHEARD:
                # Whoever wonders why nothing happens finds it said.
                _log.warning("a command that nobody listens to", source=source, event_name=found.event)
            status, problem = not_served if found.reason is Reason.NOT_SERVED else (200, "")
            return self.answer(source, status, found.reason, problem)
        return self.store(found) if isinstance(found, Delivery) else found

    def _look(
        self,
        source: str,
        proven: Callable[[bytes], bool],
        read: Callable[[bytes], Delivery | Irrelevant],
        unproven: str,
        malformed: int,
    ) -> Delivery | Irrelevant | Answer:
        """Return what the body says, or the answer where it may not be read; nothing of it is kept."""
        body = request.get_data(cache=False)
        if not proven(body):
            # Whoever may not be believed chose it: as it is looked for in the forge's own list, and bounded.
            named = next(filter(None, map(request.headers.get, _NAMED)), "")
            _log.warning(
                "a delivery without the right signature",
                source=source,
                delivery=visible(named, _LONGEST_NAME),
            )
            return self.answer(source, 401, Result.UNSIGNED, unproven)
        try:
            return read(body)
        except EventError as error:
            _log.warning("a delivery of another form", source=source, problem=str(error))
            return self.answer(source, malformed, Result.MALFORMED, str(error))
        except StoreError as error:
            _log.error("a delivery could not be read", source=source, problem=str(error))
            return self.answer(source, 503, Result.UNAVAILABLE, "Not stored: send it again.")

    def _in_turn(
        self, source: str, look: Callable[[], Delivery | Irrelevant | Answer]
    ) -> Delivery | Irrelevant | Answer:
        """Return what comes of a large body: there is one at a time in memory, and one waits for some seconds."""
        turn = self._large.submit(copy_context().run, look)
        try:
            return turn.result(_PATIENCE)
        except TimeoutError:
            if not turn.cancel():
                return turn.result()
        problem = "Too many large deliveries at once: send it again."
        return self.answer(source, 503, Result.UNAVAILABLE, problem)

    def store(self, delivery: Delivery) -> Answer:
        """Store a delivery, and return the answer to it."""
        try:
            receipt = self._inbox.receive(delivery, self.now())
        except StoreError as error:
            _log.error("a delivery could not be stored", delivery=delivery.id, problem=str(error))
            return self.answer(delivery.source, 503, Result.UNAVAILABLE, "Not stored: send it again.")
        first = delivery.jobs[0]
        _log.info(
            "delivery",
            source=delivery.source,
            delivery=delivery.id,
            receipt=receipt.value,
            event_name=delivery.event,
            repository=first.repository,
            ref=first.ref,
            jobs=len(delivery.jobs),
        )
        if receipt is Receipt.DUPLICATE:
            return self.answer(delivery.source, 200, receipt)
        self._stored()
        return self.answer(delivery.source, 202, receipt)
