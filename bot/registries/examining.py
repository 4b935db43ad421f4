"""Whether registries answer us: one question to the base of each one's API, and what is left of its limit.

The base (`/v2/`) tells by OCI's distribution specification whether a server is a registry and takes a
login; a token for it names no repository.  Docker Hub tells what is left of its limit only with a
manifest: the HEAD of the image that it keeps for this purpose counts as no pull.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bot.model import UnresolvedReason
from bot.reference import DOCKER_HUB
from bot.registries.budget import DOCKER_HUB_API, Budget
from bot.registries.credentials import Credential, Credentials, Scope
from bot.registries.docker_config import Login
from bot.registries.egress import GuardedPool
from bot.registries.manifests import ACCEPT
from bot.registries.mirrors import Endpoint
from bot.registries.rules import Allowed
from bot.registries.tokens import Authorizer
from bot.registries.trouble import TroubleError
from bot.registries.wire import Answer, Deadline, Wire

_SECONDS = 20.0
_LARGEST = 256 * 1024
_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", DOCKER_HUB_API})
_HUB_TEST = "ratelimitpreview/test"
_COUNT = re.compile(r"[ \t]*([0-9]{1,9})")
_PASSING = frozenset(
    {
        UnresolvedReason.TIMEOUT,
        UnresolvedReason.UNREACHABLE,
        UnresolvedReason.SERVER_ERROR,
        UnresolvedReason.RATE_LIMITED,
        UnresolvedReason.DEFERRED,
    }
)


class Reply(StrEnum):
    """What a registry made of our question."""

    FINE = "fine"
    REFUSED = "refused"
    """It is there, and does not let us in, or is no registry; or the guard does not let us out."""
    AWAY = "away"
    """It gave no answer that says anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A registry to be asked, with a login or without one."""

    origin: Allowed
    serves: tuple[str, ...] = ()
    """The registries that it is a mirror of."""
    login: Login | None = None

    @property
    def host(self) -> str:
        """Host, and port unless it is the scheme's own."""
        return str(self.origin).partition("://")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was seen of one target."""

    target: Target
    reply: Reply
    detail: str = ""
    """Why it is not fine, in a sentence."""
    left: int | None = None
    """Pulls that are left of its limit, where it says so."""
    limit: int | None = None


def targets(
    mirrors: Mapping[str, str], logins: Iterable[Login], allowed: Collection[Allowed]
) -> tuple[Target, ...]:
    """Return each mirror and each login once, and Docker Hub where no mirror stands for it.

    `allowed` are the servers that the guard lets through by plain http, too.  Raises
    `ConfigurationError` for a mirror that is no URL.
    """
    serves: dict[Allowed, list[str]] = {}
    for name, url in mirrors.items():
        serves.setdefault(Allowed.parse(url), []).append(name)
    found: dict[tuple[Allowed, str], Target] = {}
    for login in logins:
        fitting = [one for one in login.origins if one in serves or one in allowed]
        for origin in fitting or login.origins[:1]:
            names = tuple(serves.get(origin, ()))
            found[origin, login.key] = Target(origin=origin, serves=names, login=login)
    known = {origin for origin, _ in found}
    for origin, listed in serves.items():
        if origin not in known:
            found[origin, ""] = Target(origin=origin, serves=tuple(listed))
    hub = Allowed(scheme="https", host=DOCKER_HUB_API, port=443)
    if hub not in known and not ({"*", *_HUB_NAMES} & {name.lower() for name in mirrors}):
        found[hub, ""] = Target(origin=hub)
    return tuple(found.values())


def examine(
    found: Iterable[Target], *, pool: GuardedPool, realms: Mapping[str, Collection[str]]
) -> Iterator[Looked]:
    """Yield what each target answers; raises `ConfigurationError` for realms that are no URLs."""
    parsed = {
        Allowed.parse(origin): frozenset(map(Allowed.parse, servers)) for origin, servers in realms.items()
    }
    for target in found:
        yield _Look(target, pool, parsed).looked()


class _Look:
    def __init__(
        self, target: Target, pool: GuardedPool, realms: Mapping[Allowed, frozenset[Allowed]]
    ) -> None:
        self._target = target
        # A mirror is the operator's own word; a login alone opens no way through the guard.
        ours = {target.origin} if target.serves else set()
        self._pool = pool.extended(ours | realms.get(target.origin, frozenset()))
        self._wire = Wire(budget=Budget(), most_hosts=10)
        self._authorizer = Authorizer(
            wire=self._wire,
            credentials=Credentials(self._credentials()),
            scope=Scope(),
            realms=realms,
            clock=time.monotonic,
        )

    def _credentials(self) -> Iterator[Credential]:
        if self._target.login is not None:
            # For the whole server, whatever path it is for: the base of the API is asked.
            yield Credential(origin=self._target.origin, prefix="", secret=self._target.login.secret)

    def looked(self) -> Looked:
        target = self._target
        try:
            answer = self._ask("GET", self._endpoint(""), f"{target.origin}/v2/")
            if answer.status == 200 and target.host == DOCKER_HUB_API:
                endpoint = self._endpoint(_HUB_TEST)
                answer = self._ask("HEAD", endpoint, endpoint.url("manifests/latest"))
        except TroubleError as trouble:
            reply = Reply.AWAY if trouble.reason in _PASSING else Reply.REFUSED
            return Looked(target=target, reply=reply, detail=trouble.detail)
        left, limit = _count(answer, "ratelimit-remaining"), _count(answer, "ratelimit-limit")
        reply, detail = self._judged(answer.status)
        return Looked(target=target, reply=reply, detail=detail, left=left, limit=limit)

    def _judged(self, status: int) -> tuple[Reply, str]:
        host = self._target.host
        if status == 200:
            return Reply.FINE, ""
        if status in (401, 403):
            what = "does not accept the login" if self._target.login else "wants a login"
            return Reply.REFUSED, f"{host} {what}."
        if status == 429 or status >= 500:
            return Reply.AWAY, f"{host} answers {status}."
        return Reply.REFUSED, f"{host} answers {status} for /v2/: that is no registry's answer."

    def _endpoint(self, repository: str) -> Endpoint:
        mirror = bool(self._target.serves)
        return Endpoint(origin=self._target.origin, repository=repository, pool=self._pool, mirror=mirror)

    def _ask(self, method: str, endpoint: Endpoint, url: str) -> Answer:
        deadline = Deadline(_SECONDS)
        attempt = self._authorizer.first(endpoint, deadline)
        answer = self._send(method, url, attempt.header, deadline)
        if answer.status != 401 or answer.redirected:
            return answer
        challenges = answer.headers.getlist("www-authenticate")
        header = self._authorizer.answer(endpoint, challenges, attempt, deadline)
        return answer if header is None else self._send(method, url, header, deadline)

    def _send(self, method: str, url: str, header: str | None, deadline: Deadline) -> Answer:
        headers = {"Accept": ACCEPT if method == "HEAD" else "application/json"}
        if header is not None:
            headers["Authorization"] = header
        return self._wire.ask(self._pool, method, url, headers=headers, limit=_LARGEST, deadline=deadline)


def _count(answer: Answer, name: str) -> int | None:
    """Return the number that begins a header such as `76;w=21600`, None without one."""
    match = _COUNT.match(answer.headers.get(name, ""))
    return int(match[1]) if match else None
