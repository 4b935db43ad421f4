"""Whether what forges call is us: the public address, asked from here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.doctor.findings import Findings, Part, Pen
from bot.model import UnresolvedReason
from bot.registries.budget import Budget
from bot.registries.trouble import TroubleError
from bot.registries.wire import Answer, Deadline, Wire

if TYPE_CHECKING:
    from bot.registries.egress import GuardedPool
    from bot.service_settings import Settings

_SECONDS = 15.0
_LARGEST = 64 * 1024
_OFTEN_FROM_INSIDE = frozenset({UnresolvedReason.TIMEOUT, UnresolvedReason.UNREACHABLE})
"""Many networks do not lead their own public address back to themselves."""
_pen = Pen(Part.RECEIVER)


def examine(settings: Settings, pool: GuardedPool) -> Findings:
    """Yield what the public address answers; `pool` may reach it.  Nothing without an address."""
    if not settings.public_url or not settings.receives:
        return
    try:
        alive = _ask(pool, f"{settings.public_url}/healthz")
    except TroubleError as trouble:
        mark = _pen.unknown if trouble.reason in _OFTEN_FROM_INSIDE else _pen.trouble
        yield mark(
            "address",
            trouble.detail,
            f"See whether it answers from elsewhere: curl {settings.public_url}/healthz",
        )
        return
    if alive.status != 200 or not _is_ours(alive.body):
        yield _pen.trouble(
            "address",
            f"{settings.public_url}/healthz answers {alive.status}, and not as Moorline does.",
            "Look at the proxy in front of `moorline web`: does it lead here, with the path as it is?",
        )
        return
    yield _pen.ok("address", f"{settings.public_url} leads to Moorline.")
    for path in _hooks(settings):
        yield from _hook(settings.public_url, path, pool)


def _hook(base: str, path: str, pool: GuardedPool) -> Findings:
    try:
        # A hook takes a POST alone: asked like this it says 405, and counts and stores nothing.
        status = _ask(pool, f"{base}{path}").status
    except TroubleError as trouble:
        yield _pen.unknown("hook", trouble.detail)
        return
    if status == 405:
        yield _pen.ok("hook", f"{path} is there.")
    else:
        yield _pen.trouble(
            "hook",
            f"{base}{path} answers {status}, and not as Moorline's hook does.",
            "Let the proxy lead everything below /webhooks/ to `moorline web`, with no login before it.",
        )


def _hooks(settings: Settings) -> Iterator[str]:
    if settings.git_webhook_secret:
        yield "/webhooks/git"
    if settings.github_webhook_secret:
        yield "/webhooks/github"
    if settings.gitlab_webhook_secret or settings.gitlab_signing_token:
        yield "/webhooks/gitlab"


def _ask(pool: GuardedPool, url: str) -> Answer:
    wire = Wire(budget=Budget(), most_hosts=1)
    headers = {"Accept": "application/json"}
    return wire.ask(
        pool, "GET", url, headers=headers, limit=_LARGEST, deadline=Deadline(_SECONDS), follow=False
    )


def _is_ours(body: bytes) -> bool:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("status") == "ok"
