"""`POST /webhooks/git`: a plain signed hook that any git server can send (docs/git-hook.md)."""

from __future__ import annotations

import structlog
from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from bot.model import Job, Trigger
from bot.store.base import Delivery
from webhooks.events import Irrelevant, Reason, delivery_id
from webhooks.git_events import LARGEST_PUSH, read_push
from webhooks.intake import Intake, Result
from webhooks.signatures import is_signed
from webhooks.site import Site

SOURCE = "git"
SIGNATURE = "X-Moorline-Signature-256"
DELIVERY = "X-Moorline-Delivery"

_log = structlog.get_logger(__name__)


def blueprint(*, intake: Intake, site: Site) -> Blueprint:
    """Return the hook's route."""
    git = Blueprint("git", __name__)

    def proven(body: bytes) -> bool:
        return is_signed(site.git_secrets, body, request.headers.get(SIGNATURE, ""))

    def read(body: bytes) -> Delivery | Irrelevant:
        id_ = delivery_id(request.headers.get(DELIVERY), body)
        push = read_push(body)
        if isinstance(push, Irrelevant):
            # A tag, a note and a branch that is gone are one thing to whoever sends them.
            return Irrelevant(reason=Reason.IRRELEVANT)
        address = site.served.address(push.repository)
        if address is None:
            _log.warning("a push to a repository that is not served", repository=push.repository)
            return Irrelevant(reason=Reason.NOT_SERVED)
        job = Job(forge=SOURCE, repository=address, ref=push.branch, trigger=Trigger.PUSH, head=push.head)
        return Delivery(source=SOURCE, id=id_, jobs=(job,), event="push")

    @git.post("/webhooks/git")
    def receive() -> ResponseReturnValue:
        if not site.git_secrets:
            problem = "This hook is off: MOORLINE_GIT_WEBHOOK_SECRET is not set."
            return intake.answer(SOURCE, 404, Result.OFF, problem)
        return intake.receive(
            SOURCE,
            limit=min(LARGEST_PUSH, site.max_body),
            proven=proven,
            read=read,
            unproven=f"{SIGNATURE} is not the signature of this body.",
            malformed=400,
            not_served=(
                422,
                "This repository is not among MOORLINE_GIT_REPOSITORIES and MOORLINE_GIT_ROOTS.",
            ),
        )

    return git
