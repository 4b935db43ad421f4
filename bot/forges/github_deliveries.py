"""Deliveries that did not arrive, from GitHub's own log of them: three days of it, seven on Enterprise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.errors import MissingError
from bot.forges.base import Missed
from bot.forges.github_app import moment
from bot.forges.github_client import Client, RefusedError
from bot.forges.github_transport import clean
from bot.model import HookState, Webhook

_PATH = "/app/hook/deliveries"
_MOST_PAGES = 100
_MOST_FETCHED = 1_000
_ENOUGH = 3
"""Attempts without success, the newest, by which a hook counts as failing."""
_SLACK = 5.0
"""Seconds: the log and the clock of an answer know whole ones only."""
UNSIGNED = 401
"""What we answer to a delivery whose signature is not right."""
REFUSED = (
    "GitHub reached it and was refused: the secret in the App's settings is not MOORLINE_GITHUB_WEBHOOK_SECRET.",
    "Give both the same secret; where they are, see that the proxy passes the body as it is.",
)
"""What is wrong then, and what to do."""
_UNVERIFIABLE = frozenset({"x-hub-signature", "x-hub-signature-256"})
"""Headers that tell of bytes which the log does not keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt to deliver, as the log lists it."""

    id: int
    guid: str
    """What all attempts of one delivery have in common."""
    at: float
    event: str
    status: str
    code: int

    @property
    def arrived(self) -> bool:
        return self.status == "OK" or 200 <= self.code < 300

    @property
    def answered(self) -> bool:
        """Whether it was refused by whoever took it, and not by a proxy before nobody."""
        return 400 <= self.code < 500


def missed(client: Client, since: datetime) -> Iterator[Missed]:
    """Yield what no attempt since then could deliver, oldest first, each once.

    A body is the payload's JSON as we write it: what GitHub signed is not kept by it.
    """
    try:
        failures = _attempts(client, since.timestamp(), "failure")
    except MissingError:
        return  # an App without a webhook has no log
    if not failures:
        return
    oldest = min(one.at for one in failures)
    arrived = {one.guid for one in _attempts(client, oldest, "success") if one.arrived}
    first: dict[str, Attempt] = {}
    for one in failures:
        if (
            one.guid not in arrived
            and not one.arrived
            and (one.guid not in first or one.at < first[one.guid].at)
        ):
            first[one.guid] = one
    for one in sorted(first.values(), key=lambda each: (each.at, each.id))[:_MOST_FETCHED]:
        made = _fetched(client, one)
        if made is not None:
            yield made


def webhook(client: Client, url: str, began: float) -> tuple[Webhook, ...]:
    """Return the App's webhook, failing where none of its newest attempts arrived; none where it has none.

    GitHub never disables it.  `url` is where it should call us, as far as that is known.  What nobody took
    before `began`, seconds since 1970 by GitHub's clock, counts where nothing ever arrived: we were not there.
    """
    try:
        tried = list(filter(None, map(_attempt, client.pages(_PATH, most=1))))
    except MissingError:
        return ()
    arrives = any(one.arrived for one in tried)
    counted = [one for one in tried if one.arrived or one.answered or one.at >= began - _SLACK or not arrives]
    newest = counted[:_ENOUGH]
    if len(newest) < _ENOUGH or any(one.arrived for one in newest):
        return (Webhook(id=_PATH, owner="", state=HookState.CALLING),)
    why = clean(newest[0].status) or str(newest[0].code)
    text = f"None of the newest {_ENOUGH} deliveries arrived, the last for `{why}`."
    advice = f"See *Advanced*, *Recent deliveries* in the App's settings, and that GitHub can reach {clean(url) or 'us'}."
    if newest[0].code == UNSIGNED:
        text, advice = REFUSED
    return (Webhook(id=_PATH, owner="", state=HookState.FAILING, text=text, advice=advice),)


def newest(client: Client) -> Attempt | None:
    """Return the newest attempt of all; raises `ForgeError`."""
    return next(filter(None, map(_attempt, client.pages(_PATH, most=1))), None)


def attempts(client: Client, since: float, status: str = "") -> list[Attempt]:
    """Return what the log tells of attempts since a time, newest first."""
    found = []
    for said in client.pages(_PATH, most=_MOST_PAGES, status=status):
        one = _attempt(said)
        if one is None:
            continue
        if one.at < since:
            break
        found.append(one)
    return found


def _attempts(client: Client, since: float, status: str) -> list[Attempt]:
    try:
        return attempts(client, since, status)
    except RefusedError as error:
        if error.status not in (400, 422):
            raise
        return attempts(client, since)  # an older server does not know the filter


def _fetched(client: Client, one: Attempt) -> Missed | None:
    try:
        said = client.get(f"{_PATH}/{one.id}").json()
    except MissingError:
        return None  # it has left the log
    request = said.get("request") if isinstance(said, dict) else None
    payload = request.get("payload") if isinstance(request, dict) else None
    if not isinstance(request, dict) or not isinstance(payload, dict):
        return None
    headers = _headers(request.get("headers"))
    headers = {name: value for name, value in headers.items() if name.lower() not in _UNVERIFIABLE}
    for name, value in (("X-GitHub-Event", one.event), ("X-GitHub-Delivery", one.guid)):
        headers = {key: kept for key, kept in headers.items() if key.lower() != name.lower()}
        headers[name] = value
    body = json.dumps(payload, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    return Missed(headers=headers, body=body, delivered=datetime.fromtimestamp(one.at, UTC))


def _headers(said: object) -> dict[str, str]:
    found: Mapping[Any, Any] = said if isinstance(said, dict) else {}
    return {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, str)}


def _attempt(said: object) -> Attempt | None:
    if not isinstance(said, dict):
        return None
    number, guid, event = said.get("id"), said.get("guid"), said.get("event")
    at = moment(said.get("delivered_at"))
    if not isinstance(number, int) or not isinstance(guid, str) or not isinstance(event, str) or not at:
        return None
    code = said.get("status_code")
    return Attempt(
        id=number,
        guid=guid,
        at=at,
        event=event,
        status=str(said.get("status") or ""),
        code=code if isinstance(code, int) else 0,
    )
