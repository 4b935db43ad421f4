"""Our own webhooks: which there are, whether GitLab still calls them, and what they could not deliver."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from bot.errors import ForgeError, MissingError
from bot.forges.base import Missed
from bot.forges.gitlab_answers import Node, below, moment, number, text
from bot.forges.gitlab_api import Api, RefusedError
from bot.forges.gitlab_kept import Kept
from bot.forges.gitlab_listing import part
from bot.forges.gitlab_projects import Project, Projects
from bot.forges.gitlab_rules import MAINTAINER
from bot.forges.gitlab_session import OversizedError
from bot.model import HookState, Webhook

_FRESH = 1800.0
_MOST_PROJECTS = 500
_MOST_EVENTS = 2_000
"""Deliveries of one look."""
_MOST_EVENT_PAGES = 25
"""Of 20 events each, which is what GitLab gives at most, for one hook."""
_TESTABLE = re.compile(r"/(?:projects|groups)/[^/]{1,1000}/hooks/[0-9]{1,19}")
"""Of these GitLab disables some; never the system's."""
_UNANSWERED = "internal error"
_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One webhook that calls us."""

    place: str
    """Its path in the API: `/projects/1/hooks/2`."""
    owner: str
    """The project or group that it is for, by full path; empty for a system hook, which is for all."""
    said: Node


class Hooks:
    """Finds the hooks that call `url`: in projects where we are Maintainer, in their groups, and the system's."""

    def __init__(
        self,
        api: Api,
        projects: Projects,
        url: str,
        owners: frozenset[str],
        clock: Callable[[], float],
        admin: Callable[[], bool],
    ) -> None:
        self._admin = admin
        self._api = api
        self._kept: Kept[str, list[Hook]] = Kept(1, seconds=_FRESH, clock=clock)
        self._projects = projects
        self._url = _plain(url)
        self._owners = owners

    def _known(self) -> list[Hook]:
        """Return the hooks that call us, as they were some time ago at most: to look costs many questions."""
        found = self._kept.get(self._url)
        if found is None:
            found = list(self.ours())
            self._kept.put(self._url, found)
        return found

    def ours(self) -> Iterator[Hook]:
        """Yield hooks that call us as they are now, those of groups first."""
        if not self._url:
            return
        if self._admin():
            yield from self._in("/hooks", "")
        live = [one for one in self._projects.all() if not one.archived]
        groups = set(self._owners) | {above for one in live for above in _above(one.name)}
        covered: set[str] = set()
        for group in sorted(groups):
            if any(group.startswith(f"{one}/") for one in covered):
                continue
            for hook in self._in(f"/groups/{part(group)}/hooks", group):
                covered.add(group)
                yield hook
        for project in live[:_MOST_PROJECTS]:
            yield from self.of(project)

    def of(self, project: Project) -> Iterator[Hook]:
        """Yield a project's own hooks that call us; none where we may not see them."""
        if project.access >= MAINTAINER:
            yield from self._in(f"/projects/{project.id}/hooks", project.name)

    def _in(self, place: str, owner: str) -> Iterator[Hook]:
        try:
            rows = list(self._api.pages(place, {}, most=3))
        except (MissingError, RefusedError, OversizedError):
            return  # no such group, no licence for group hooks, or not for our role
        for row in rows:
            if number(row, "id") and self._is_ours(_plain(text(row, "url"))):
                yield Hook(place=f"{place}/{number(row, 'id')}", owner=owner, said=row)

    def _is_ours(self, url: str) -> bool:
        """Return whether an address is the hooks' common one, or that of a hook which names itself below it."""
        return url == self._url or (url.startswith(f"{self._url}/") and "/" not in url[len(self._url) + 1 :])

    def webhooks(self) -> tuple[Webhook, ...]:
        """Return the hooks that call us, as they were half an hour ago at most."""
        return tuple(map(webhook, self._known()))

    def test(self, place: str) -> bool:
        """Return whether a hook, tried with an event that GitLab makes up, was answered well: that enables it.

        https://docs.gitlab.com/user/project/integrations/webhooks/#re-enable-disabled-webhooks
        """
        if _TESTABLE.fullmatch(place) is None:
            return False
        try:
            self._api.send("post", f"{place}/test/push_events")
        except ForgeError:
            return False  # an older GitLab, an empty project, too many tests, or we did not answer
        finally:
            self._kept.pop(self._url)
        return True

    def missed(self, since: datetime) -> Iterator[Missed]:
        """Yield what our hooks could not deliver since then, oldest first, each once.

        GitLab keeps it for seven days, and tells of nothing while a hook has disabled itself.
        """
        found: dict[str, _Failed] = {}
        left = _MOST_BYTES
        for hook in self._known():
            for one in self._failed(hook, since) if left > 0 else ():
                earlier = found.get(one.key)
                if earlier is not None and earlier.order <= one.order:
                    continue
                left -= len(one.missed.body)
                if len(found) >= _MOST_EVENTS or left < 0:
                    left = 0
                    break
                found[one.key] = one
        yield from (one.missed for one in sorted(found.values(), key=lambda one: one.order))

    def _failed(self, hook: Hook, since: datetime) -> Iterator[_Failed]:
        """Yield a hook's failures, some of them twice.

        Most versions of GitLab count what nobody answered (`internal error`) among the server's failures.
        Where none of those is told, all deliveries are looked through, until the successful ones from
        before.
        """
        unanswered = False
        for row in self._events(hook, {"status": "client_failure,server_failure"}, since):
            unanswered = unanswered or text(row, "response_status") == _UNANSWERED
            made = self._made(hook, row, since)
            if made is not None:
                yield made
        if not unanswered:
            for row in self._events(hook, {}, since):
                if not text(row, "response_status").startswith("2"):
                    made = self._made(hook, row, since)
                    if made is not None:
                        yield made

    def _events(self, hook: Hook, query: Mapping[str, object], since: datetime) -> Iterator[Node]:
        following: Mapping[str, object] | None = {**query, "per_page": 20}
        for _ in range(_MOST_EVENT_PAGES):
            if following is None:
                return
            try:
                rows, following = self._api.page(f"{hook.place}/events", following)
            except (MissingError, RefusedError):
                return  # GitLab before 17.3
            yield from rows
            times = [at for row in rows if (at := _time(row)) is not None]
            if times and max(times) < since:
                return  # the newest come first

    def _made(self, hook: Hook, row: Node, since: datetime) -> _Failed | None:
        at = _time(row) or datetime.fromtimestamp(self._api.now(), UTC)
        body = _body(below(row, "request_data"))
        if at < since or body is None:
            return None
        headers = _headers(below(row, "request_headers"))
        said = {name.lower(): value for name, value in headers.items()}
        return _Failed(
            key=said.get("idempotency-key") or f"{hook.place} {number(row, 'id')}",
            order=(at, number(row, "id")),
            missed=Missed(headers=headers, body=body, delivered=at),
        )


def webhook(hook: Hook) -> Webhook:
    """Return a hook with the state that GitLab tells of, what is wrong with it, and what to do."""
    status, until = text(hook.said, "alert_status"), moment(text(hook.said, "disabled_until"))
    if status == "disabled":
        return Webhook(
            id=hook.place,
            owner=hook.owner,
            state=HookState.DISABLED,
            text="It has disabled itself for good, after forty failures: nothing is delivered.",
            advice="See what GitLab got from us in the hook's recent events, then send a test event, which enables it.",
        )
    if status == "temporarily_disabled":
        when = f" until {until:%Y-%m-%d %H:%M} UTC" if until is not None else ""
        return Webhook(
            id=hook.place,
            owner=hook.owner,
            state=HookState.PAUSED,
            text=f"It has disabled itself{when}, after failures in a row: nothing is delivered meanwhile.",
            advice="See what GitLab got from us in the hook's recent events; a test event that succeeds enables it.",
        )
    return Webhook(id=hook.place, owner=hook.owner, state=HookState.CALLING)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    key: str
    """Equal for every attempt at one delivery."""
    order: tuple[datetime, int]
    missed: Missed


def _time(row: Node) -> datetime | None:
    """Return when a delivery was tried, None where GitLab does not tell: not every version does."""
    at = moment(text(row, "created_at"))
    if at is not None:
        return at
    said = below(row, "request_headers")
    for name, value in said.items() if isinstance(said, dict) else ():
        if str(name).lower() == "webhook-timestamp" and re.fullmatch(r"[0-9]{1,11}", str(value)):
            return datetime.fromtimestamp(int(str(value)), UTC)
    return None


def _body(data: object) -> bytes | None:
    """Return a payload as it was sent, but for the blanks between its parts."""
    if isinstance(data, str):
        return data.encode("utf-8", "replace")
    if not isinstance(data, dict):
        return None
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _headers(said: object) -> dict[str, str]:
    if not isinstance(said, dict):
        return {}
    return {
        name: value
        for name, value in said.items()
        if isinstance(value, str) and len(name) < 200 and len(value) < 8_000
    }


def _above(name: str) -> Iterator[str]:
    """Yield the groups around a project, the outermost first."""
    parts = name.split("/")[:-1]
    for end in range(1, len(parts) + 1):
        yield "/".join(parts[:end])


def _plain(url: str) -> str:
    """Return a hook's address in one spelling, empty for none."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{parts.hostname}:{port or usual}{parts.path.rstrip('/')}"


def events_of(hook: Node) -> dict[str, bool]:
    """Return which of the events that we live by a hook is set to tell."""
    return {key: hook.get(f"{key}_events") is True for key in ("push", "tag_push", "merge_requests", "note")}
