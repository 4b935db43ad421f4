"""The Flask application that forges talk to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry
from werkzeug.exceptions import HTTPException

from bot.errors import StoreError
from bot.store.base import Audit, Backlog, Inbox, Proposals, Webhooks
from webhooks import git, github, gitlab, health, pages
from webhooks.deliveries import Contexts
from webhooks.intake import Intake
from webhooks.metrics import Metrics
from webhooks.site import Site

__all__ = ["Site", "create_app"]

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_log = structlog.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


def _nothing() -> None:
    pass


def _nobody(_forge: str) -> frozenset[str]:
    return frozenset()


def create_app(
    *,
    inbox: Inbox,
    proposals: Proposals,
    site: Site,
    backlog: Backlog | None = None,
    registry: CollectorRegistry | None = None,
    worker: Callable[[], float | None] | None = None,
    stored: Callable[[], None] = _nothing,
    accounts: Callable[[str], frozenset[str]] = _nobody,
    audit: Audit | None = None,
    webhooks: Webhooks | None = None,
    clock: Callable[[], datetime] = _now,
) -> Flask:
    """Return the application.

    `backlog` adds the last runs to the page; `worker` is `Worker.idle_seconds` and `stored` its
    `wake` where one works in the same process; `accounts` is `Accounts.of`: what they do on a forge
    starts no work.  `audit` adds the head of its chain to the metrics, `webhooks` how
    many do not call us.
    """
    app = Flask("webhooks", static_folder=None, template_folder=None)
    # Hooks alone take a body: nobody may send more than they would read.
    app.config["MAX_CONTENT_LENGTH"] = site.largest_body
    app.config["MAX_FORM_MEMORY_SIZE"] = 1024
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    metrics = Metrics(inbox, proposals, registry, audit, webhooks)
    app.register_blueprint(health.blueprint(inbox=inbox, registry=metrics.registry, worker=worker))
    intake = Intake(inbox=inbox, deliveries=metrics.deliveries, clock=clock, stored=stored)
    contexts = Contexts(accounts, owners=site.owners, app=site.github_app)
    app.register_blueprint(git.blueprint(intake=intake, site=site))
    app.register_blueprint(github.blueprint(intake=intake, site=site, contexts=contexts))
    app.register_blueprint(gitlab.blueprint(intake=intake, site=site, contexts=contexts))
    if site.pages:
        app.register_blueprint(pages.blueprint(proposals=proposals, backlog=backlog, site=site))

    @app.after_request
    def guarded(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> ResponseReturnValue:
        return {"problem": error.description or error.name}, error.code or 500

    @app.errorhandler(StoreError)
    def away(error: StoreError) -> ResponseReturnValue:
        _log.error("the store failed a request", path=request.path, problem=str(error))
        return {"problem": "The database does not answer."}, 503, {"Retry-After": "10"}

    @app.errorhandler(Exception)
    def broken(error: Exception) -> ResponseReturnValue:
        _log.error("unexpected error in a request", path=request.path, exc_info=error)
        return {"problem": "An unexpected error; the log has it."}, 500

    return app
