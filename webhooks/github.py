"""`POST /webhooks/github`: the deliveries of a GitHub App."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from bot.store.base import Delivery
from webhooks.deliveries import Contexts, deliver
from webhooks.events import Irrelevant
from webhooks.intake import Intake, Result
from webhooks.signatures import is_signed
from webhooks.site import Site

SOURCE = "github"
SIGNATURE = "X-Hub-Signature-256"


def blueprint(*, intake: Intake, site: Site, contexts: Contexts) -> Blueprint:
    """Return the hook's route."""
    github = Blueprint("github", __name__)

    def read(body: bytes) -> Delivery | Irrelevant:
        return deliver(SOURCE, dict(request.headers), body, contexts(SOURCE))

    @github.post("/webhooks/github")
    def receive() -> ResponseReturnValue:
        if not site.github_secrets:
            problem = "This hook is off: MOORLINE_GITHUB_WEBHOOK_SECRET is not set."
            return intake.answer(SOURCE, 404, Result.OFF, problem)
        # The older X-Hub-Signature is SHA-1, and is not looked at.
        header = request.headers.get(SIGNATURE, "")
        return intake.receive(
            SOURCE,
            limit=site.max_body,
            proven=partial(_is_proven, site, header),
            read=read,
            unproven=f"{SIGNATURE} is not the signature of this body.",
            malformed=400,
        )

    return github


def _is_proven(site: Site, header: str, body: bytes) -> bool:
    return is_signed(site.github_secrets, body, header)
