"""`POST /webhooks/git`: a plain signed hook that any git server can send (docs/git-hook.md)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog
from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from prometheus_client import Counter

from bot.errors import StoreError
from bot.model import Job, Trigger
from bot.store.base import Delivery, Inbox, Receipt
from webhooks.events import LARGEST_PUSH, EventError, Irrelevant, Push, delivery_id, read_push
from webhooks.signatures import is_signed
from webhooks.site import Site

SIGNATURE = "X-Moorline-Signature-256"
DELIVERY = "X-Moorline-Delivery"

_RETRY_AFTER = "10"
_log = structlog.get_logger(__name__)


def blueprint(
    *,
    inbox: Inbox,
    site: Site,
    deliveries: Counter,
    clock: Callable[[], datetime],
    stored: Callable[[], None],
) -> Blueprint:
    """Return the hook's route; `stored` is called after something new was stored."""
    git = Blueprint("git", __name__)
    hook = _Hook(inbox, site, deliveries, clock, stored)
    git.add_url_rule("/webhooks/git", view_func=hook.receive, methods=["POST"])
    return git


class _Hook:
    def __init__(
        self,
        inbox: Inbox,
        site: Site,
        deliveries: Counter,
        clock: Callable[[], datetime],
        stored: Callable[[], None],
    ) -> None:
        self._inbox = inbox
        self._site = site
        self._deliveries = deliveries
        self._clock = clock
        self._stored = stored
        self._limit = min(LARGEST_PUSH, site.max_body)

    def receive(self) -> ResponseReturnValue:
        if not self._site.git_secrets:
            return self._answer(404, "off", "This hook is off: MOORLINE_GIT_WEBHOOK_SECRET is not set.")
        request.max_content_length = self._limit
        if (request.content_length or 0) > self._limit:
            return self._answer(413, "too-large", f"A push is no larger than {self._limit} bytes.")
        # Nothing of it is looked at before its signature.
        body = request.get_data(cache=False)
        if not is_signed(self._site.git_secrets, body, request.headers.get(SIGNATURE, "")):
            return self._answer(401, "unsigned", f"{SIGNATURE} is not the signature of this body.")
        try:
            id_ = delivery_id(request.headers.get(DELIVERY), body)
            push = read_push(body)
        except EventError as error:
            return self._answer(400, "malformed", str(error))
        return self._answer(200, "irrelevant") if isinstance(push, Irrelevant) else self._take(id_, push)

    def _take(self, id_: str, push: Push) -> ResponseReturnValue:
        address = self._site.served.address(push.repository)
        if address is None:
            _log.warning("a push to a repository that is not served", repository=push.repository)
            problem = "This repository is not among MOORLINE_GIT_REPOSITORIES and MOORLINE_GIT_ROOTS."
            return self._answer(422, "not-served", problem)
        job = Job(forge="git", repository=address, ref=push.branch, trigger=Trigger.PUSH, head=push.head)
        delivery = Delivery(source="git", id=id_, jobs=(job,), event="push")
        try:
            receipt = self._inbox.receive(delivery, self._clock())
        except StoreError as error:
            _log.error("a delivery could not be stored", delivery=id_, problem=str(error))
            again = {"Retry-After": _RETRY_AFTER}
            return *self._answer(503, "unavailable", "Not stored: send it again."), again
        _log.info("delivery", delivery=id_, receipt=receipt.value, repository=address, ref=push.branch)
        if receipt is Receipt.DUPLICATE:
            return self._answer(200, receipt.value)
        self._stored()
        return self._answer(202, receipt.value)

    def _answer(self, status: int, result: str, problem: str = "") -> tuple[dict[str, str], int]:
        self._deliveries.labels("git", result).inc()
        return ({"result": result} | ({"problem": problem} if problem else {})), status
