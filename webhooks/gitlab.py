"""`POST /webhooks/gitlab` and `/webhooks/gitlab/<hook>`: project, group and system hooks.

GitLab switches a hook off that is answered 4xx or 5xx some times: only what is not signed, or too
large, is refused.
"""

from __future__ import annotations

from functools import partial

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from bot.store.base import Delivery
from webhooks.deliveries import Contexts, deliver
from webhooks.events import Irrelevant
from webhooks.intake import Intake, Result
from webhooks.signatures import is_signed_message, is_token
from webhooks.site import Site

SOURCE = "gitlab"
TOKEN = "X-Gitlab-Token"  # noqa: S105 - a header's name
HOOK = "X-Gitlab-Webhook-UUID"
SIGNATURE = "webhook-signature"


def blueprint(*, intake: Intake, site: Site, contexts: Contexts) -> Blueprint:
    """Return the hook's routes."""
    gitlab = Blueprint("gitlab", __name__)

    def read(body: bytes) -> Delivery | Irrelevant:
        return deliver(SOURCE, dict(request.headers), body, contexts(SOURCE))

    @gitlab.post("/webhooks/gitlab")
    @gitlab.post("/webhooks/gitlab/<hook>")
    def receive(hook: str = "") -> ResponseReturnValue:
        if not (site.gitlab_secrets or site.gitlab_signing):
            problem = (
                "This hook is off: neither MOORLINE_GITLAB_SIGNING_TOKEN nor "
                "MOORLINE_GITLAB_WEBHOOK_SECRET is set."
            )
            return intake.answer(SOURCE, 404, Result.OFF, problem)
        named = hook or request.headers.get(HOOK, "")
        return intake.receive(
            SOURCE,
            limit=site.max_body,
            proven=partial(_is_proven, intake, site, named),
            read=read,
            unproven=f"{SIGNATURE} or {TOKEN} is not what was agreed for this hook.",
            malformed=200,
        )

    return gitlab


def _is_proven(intake: Intake, site: Site, hook: str, body: bytes) -> bool:
    """Return whether a delivery comes from the hook that it names.

    Where a signing token is agreed on, a plain one proves nothing: whoever read one delivery knows it.
    """
    signing = site.gitlab_signing.of(hook)
    if signing:
        id_, at = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
        return is_signed_message(signing, id_, at, body, request.headers.get(SIGNATURE, ""), intake.now())
    # A plain token for any hook would open those that sign, under another name.
    tokens = site.gitlab_secrets.named(hook) if site.gitlab_signing else site.gitlab_secrets.of(hook)
    return is_token(tokens, request.headers.get(TOKEN, ""))
