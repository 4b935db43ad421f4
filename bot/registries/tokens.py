"""What to send as `Authorization`: Bearer tokens of the distribution specification, or Basic.

A token server may be named by whoever runs the registry.  It is asked through the guard like anything
else, and sees a login only where it is the registry itself or a known or configured server of it.
We always ask for `pull` on the one repository, whatever the challenge says.
"""

from __future__ import annotations

import base64
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from bot.errors import ConfigurationError
from bot.model import UnresolvedReason
from bot.registries.challenge import Challenge, parse_challenges
from bot.registries.credentials import Credentials, Scope
from bot.registries.helper import HelperError, Secret
from bot.registries.manifests import read_json
from bot.registries.memo import Memo
from bot.registries.mirrors import Endpoint
from bot.registries.realms import may_see_credentials
from bot.registries.rules import Allowed
from bot.registries.trouble import TroubleError, from_status, retry_after
from bot.registries.wire import Deadline, Wire, host_of

_LARGEST_TOKEN = 64 * 1024
_DEFAULT_LIFE = 60.0
"""Seconds that a token lives where its server does not say (distribution token specification)."""
_LONGEST_LIFE = 3600.0
_MARGIN = 0.8
_CLIENT = "moorline"
_BORROWED = 0.3
"""The share of a look-up's time that a way learned elsewhere may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    header: str = field(repr=False)
    life: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How a server wants to be told who asks."""

    scheme: str
    realm: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What a first request says of who asks."""

    header: str | None = field(default=None, repr=False)
    way: _Way | None = None
    """How the header was come by, or was not."""
    borrowed: bool = False
    """The way was learned from another repository of the server."""
    trouble: TroubleError | None = None
    """Why a borrowed way gave no header."""


class Authorizer:
    """Answers challenges for one scope; safe for threads.

    Each repository's own challenge decides.  A way that worked for one is tried for the others of its
    server, which spares them a challenge; that it fails there says nothing.
    """

    def __init__(
        self,
        *,
        wire: Wire,
        credentials: Credentials,
        scope: Scope,
        realms: Mapping[Allowed, frozenset[Allowed]],
        clock: Callable[[], float],
    ) -> None:
        self._wire = wire
        self._credentials = credentials
        self._scope = scope
        self._realms = realms
        self._ways: dict[tuple[Allowed, str], _Way] = {}
        self._worked: dict[Allowed, _Way] = {}
        self._tokens: Memo[_Token] = Memo(keep=lambda token: token.life, clock=clock)
        self._secrets: Memo[Secret | HelperError | None] = Memo(keep=lambda _: math.inf)
        self._lock = threading.Lock()

    def first(self, endpoint: Endpoint, deadline: Deadline) -> Attempt:
        """Return what to send with the first request to `endpoint`, as far as we have learned.

        Raises `TroubleError` where the repository has asked for what cannot be had.
        """
        with self._lock:
            own = self._ways.get((endpoint.origin, endpoint.repository))
            other = self._worked.get(endpoint.origin)
        if own is not None:
            return Attempt(header=self._by(own, endpoint, deadline), way=own)
        if other is None:
            return Attempt()
        try:
            header = self._by(other, endpoint, deadline.part(_BORROWED, endpoint.host))
        except TroubleError as trouble:
            if trouble.reason is not UnresolvedReason.UNAUTHORIZED:
                self._forget(endpoint, other)
            return Attempt(way=other, trouble=trouble)
        return Attempt(header=header, way=other, borrowed=header is not None)

    def answer(
        self, endpoint: Endpoint, challenges: Sequence[str], attempt: Attempt, deadline: Deadline
    ) -> str | None:
        """Return what to send after a 401 to `attempt`; None where nothing else can be sent.

        Raises `TroubleError`.
        """
        parsed = parse_challenges(challenges)
        way = _choose(parsed)
        if way is None:
            return None
        with self._lock:
            self._ways[endpoint.origin, endpoint.repository] = way
        if attempt.trouble is not None and way == attempt.way:
            raise attempt.trouble
        refused = attempt.header
        lacking = any(one.parameters.get("error") == "insufficient_scope" for one in parsed)
        header = self._by(way, endpoint, deadline)
        if header is not None and header == refused and way.scheme == "bearer" and not lacking:
            self._tokens.forget(self._key(way, endpoint))  # Expired before its time, or withdrawn.
            header = self._by(way, endpoint, deadline)
        return None if header == refused else header

    def asks(self, challenges: Sequence[str]) -> bool:
        """Return whether challenges hold one that can be answered."""
        return _choose(parse_challenges(challenges)) is not None

    def worked(self, endpoint: Endpoint) -> None:
        """Note that the way that a repository asked for opened it."""
        with self._lock:
            way = self._ways.get((endpoint.origin, endpoint.repository))
            if way is not None:
                self._worked[endpoint.origin] = way

    def _forget(self, endpoint: Endpoint, way: _Way) -> None:
        with self._lock:
            if self._worked.get(endpoint.origin) == way:
                del self._worked[endpoint.origin]

    def has_login(self, endpoint: Endpoint) -> bool:
        """Return whether there is a login that this scope may use there."""
        return self._credentials.find(endpoint.origin, endpoint.repository, self._scope) is not None

    def _by(self, way: _Way, endpoint: Endpoint, deadline: Deadline) -> str | None:
        if way.scheme == "basic":
            secret = self._secret(endpoint)
            return None if secret is None or not secret.password else _basic(secret)
        return self._tokens.get(self._key(way, endpoint), lambda: self._fetch(way, endpoint, deadline)).header

    def _key(self, way: _Way, endpoint: Endpoint) -> tuple[object, ...]:
        return (self._scope.key, endpoint.origin, way.realm, way.service, endpoint.repository)

    def _secret(self, endpoint: Endpoint) -> Secret | None:
        credential = self._credentials.find(endpoint.origin, endpoint.repository, self._scope)
        if credential is None:
            return None

        def ask() -> Secret | HelperError | None:
            try:
                return credential.secret()
            except HelperError as error:
                return error

        secret = self._secrets.get((credential.origin, credential.prefix), ask)
        if isinstance(secret, HelperError):
            raise TroubleError(UnresolvedReason.UNAUTHORIZED, f"No login for {endpoint.host}: {secret}")
        return secret

    def _fetch(self, way: _Way, endpoint: Endpoint, deadline: Deadline) -> _Token:
        realm = _origin(way.realm, endpoint)
        configured = self._realms.get(endpoint.origin, frozenset())
        seen = may_see_credentials(realm, endpoint.origin, configured)
        secret = self._secret(endpoint) if seen else None
        # Without a repository it is the base of the API that is to be opened.
        scope = f"repository:{endpoint.repository}:pull" if endpoint.repository else ""
        query = {name: value for name, value in (("service", way.service), ("scope", scope)) if value}
        headers = {"Accept": "application/json"}
        if secret is not None and secret.identity_token:
            method, url = "POST", way.realm
            grant = {"grant_type": "refresh_token", "refresh_token": secret.identity_token}
            body: bytes | None = urlencode({**grant, **query, "client_id": _CLIENT}).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        else:
            separator = "&" if urlsplit(way.realm).query else "?"
            method, url, body = "GET", f"{way.realm}{separator}{urlencode(query)}", None
            if secret is not None:
                headers["Authorization"] = _basic(secret)
        answer = self._wire.ask(
            endpoint.pool,
            method,
            url,
            headers=headers,
            limit=_LARGEST_TOKEN,
            deadline=deadline,
            body=body,
            follow=False,
        )
        host = host_of(way.realm)
        if answer.status in (401, 403) and not seen and self.has_login(endpoint):
            raise TroubleError(
                UnresolvedReason.UNAUTHORIZED,
                f"{endpoint.host} sends us to {host} for a token; that server is not known to belong to it, "
                "so the login was not sent.",
            )
        after = retry_after(answer.headers.get("retry-after"))
        if answer.status in (400, 401) or (answer.status == 403 and after is None):
            raise from_status(
                401,
                endpoint.host,
                what=f"image {endpoint.repository}" if endpoint.repository else "its API",
                hub=False,
                known=secret is not None,
                retry_after=None,
            )
        if answer.status != 200:
            raise from_status(answer.status, host, what="token", hub=False, known=False, retry_after=after)
        return _read_token(answer.body, host)


def _choose(challenges: Sequence[Challenge]) -> _Way | None:
    for challenge in challenges:
        realm = challenge.parameters.get("realm", "")
        if challenge.scheme == "bearer" and realm:
            return _Way(scheme="bearer", realm=realm, service=challenge.parameters.get("service", ""))
    return _Way(scheme="basic") if any(challenge.scheme == "basic" for challenge in challenges) else None


def _origin(realm: str, endpoint: Endpoint) -> Allowed:
    try:
        origin = Allowed.parse(realm)
        usable = realm.isascii() and realm.isprintable() and "#" not in realm and len(realm) <= 2048
    except ConfigurationError:
        usable = False
    if not usable:
        raise TroubleError(UnresolvedReason.INVALID, f"{endpoint.host} names a token server that is none.")
    if endpoint.origin.scheme == "https" and origin.scheme != "https":
        raise TroubleError(
            UnresolvedReason.BLOCKED, f"{endpoint.host} wants a token to be fetched without TLS."
        )
    return origin


def _basic(secret: Secret) -> str:
    return "Basic " + base64.b64encode(f"{secret.username}:{secret.password}".encode()).decode()


def _read_token(body: bytes, host: str) -> _Token:
    document = read_json(body, host)
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
        raise TroubleError(UnresolvedReason.INVALID, f"{host} answers with something that is no token.")
    life = document.get("expires_in")
    if not isinstance(life, int | float) or isinstance(life, bool) or not life > 0:
        life = _DEFAULT_LIFE
    return _Token(header=f"Bearer {token}", life=min(float(life), _LONGEST_LIFE) * _MARGIN)
