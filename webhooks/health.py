"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from bot.errors import StoreError
from bot.store.base import Inbox

SILENCE = 60.0
"""Seconds without a look at the backlog after which the worker in this process is not ready."""


def blueprint(
    *, inbox: Inbox, registry: CollectorRegistry, worker: Callable[[], float | None] | None
) -> Blueprint:
    """Return the routes; `worker` tells how long ago the one in this process last looked."""
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    def alive() -> ResponseReturnValue:
        return {"status": "ok"}

    @health.get("/readyz")
    def ready() -> ResponseReturnValue:
        parts = {"database": "ok"}
        try:
            inbox.ping()
        except StoreError:
            parts["database"] = "unavailable"
        if worker is not None:
            idle = worker()
            parts["worker"] = "ok" if idle is not None and idle < SILENCE else "unavailable"
        return parts, 200 if set(parts.values()) == {"ok"} else 503

    @health.get("/metrics")
    def metrics() -> ResponseReturnValue:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    return health
