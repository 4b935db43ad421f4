"""The egress guard: the one pool through which everything goes that an untrusted text can name.

A request is vetted by its scheme, host and port; then the host is resolved once, every address it
has is vetted, and the connection goes to an address that was vetted, with the name kept for `Host`,
SNI and the certificate.  Nothing else is resolved, so a name cannot change its mind in between.
Behind a proxy the name is the proxy's to resolve: it is vetted as a name, and by the addresses it
has here, if any.  What the operator configured (mirrors, exceptions, proxies) is exempt, exactly.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

import urllib3
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import LocationParseError
from urllib3.response import BaseHTTPResponse
from urllib3.util import parse_url

from bot.errors import ConfigurationError
from bot.registries.connections import (
    POOL_CLASSES,
    Certificates,
    Dialer,
    Limits,
    Resolver,
    guarded,
    with_context,
)
from bot.registries.dial import Lookup, system_lookup
from bot.registries.proxies import Proxies
from bot.registries.rules import PORTS, Allowed, BlockedError, Rules

__all__ = ["Allowed", "BlockedError", "GuardedPool", "Limits", "guarded_pool", "next_hop", "without_secrets"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LOCAL_LOOKUP = 1.0
"""Seconds to resolve here what a proxy will resolve itself."""
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


class _ProxyPool(urllib3.ProxyManager):
    """Connections to one proxy, and tunnels through it."""

    def __init__(self, url: str, *, dialer: Dialer, certificates: Certificates, **settings: Any) -> None:
        parts = parse_url(url)
        headers = urllib3.make_headers(proxy_basic_auth=unquote(parts.auth)) if parts.auth else None
        secure = certificates.context() if parts.scheme == "https" else None
        bare = parts._replace(auth=None).url
        super().__init__(bare, proxy_headers=headers, proxy_ssl_context=secure, **settings)
        self.pool_classes_by_scheme = POOL_CLASSES
        self._dialer = dialer
        self._certificates = certificates

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> HTTPConnectionPool:
        return guarded(
            super()._new_pool(scheme, host, port, with_context(request_context, scheme, self._certificates)),
            self._dialer,
        )


class GuardedPool(urllib3.PoolManager):
    """A urllib3 pool on which every connection is vetted; safe for threads.

    Requests raise urllib3's errors, `BlockedError` among them; `Oversized` where an answer is too large.
    The read timeout of a request bounds its whole answer.
    """

    def __init__(
        self,
        *,
        rules: Rules,
        resolver: Resolver,
        proxies: Proxies,
        limits: Limits,
        certificates: Certificates,
        maxsize: int,
    ) -> None:
        self._settings: dict[str, Any] = {
            "num_pools": 64,
            "maxsize": maxsize,
            "retries": False,
            "timeout": urllib3.Timeout(connect=limits.connect, read=limits.response),
        }
        super().__init__(**self._settings)
        self.pool_classes_by_scheme = POOL_CLASSES
        self.rules = rules
        self.limits = limits
        self._resolver = resolver
        self._proxies = proxies
        self._certificates = certificates
        self._maxsize = maxsize
        self._dialer = Dialer(rules=rules, resolver=resolver, limits=limits)
        self._proxy_pools: dict[str, _ProxyPool] = {}
        self._extended: dict[tuple[Rules, Limits], GuardedPool] = {}
        self._lock = threading.Lock()

    def extended(self, allowed: Iterable[Allowed] = (), *, body: int | None = None) -> GuardedPool:
        """Return a pool like this one that may reach some servers more, such as one mirror.

        `body` is the most bytes that it takes of an answer.  Equal calls return the same pool, so that
        its connections outlive a run; `clear` of this one clears it too.
        """
        rules = Rules(allowed=self.rules.allowed | frozenset(allowed))
        limits = self.limits if body is None else replace(self.limits, body=body)
        with self._lock:
            made = self._extended.get((rules, limits))
            if made is None:
                made = GuardedPool(
                    rules=rules,
                    resolver=self._resolver,
                    proxies=self._proxies,
                    limits=limits,
                    certificates=self._certificates,
                    maxsize=self._maxsize,
                )
                self._extended[rules, limits] = made
            return made

    def urlopen(  # type: ignore[override]  # as urllib3's own pool differs from its base
        self, method: str, url: str, redirect: bool = True, **kw: Any
    ) -> BaseHTTPResponse:
        """Return the answer to a request, redirects followed unless told otherwise.

        Every hop is vetted, goes without secrets, and never from https to http.
        """
        kw.setdefault("headers", self.headers)
        for _ in range(self.limits.redirects + 1):
            response = self._once(method, url, kw)
            target = next_hop(url, response) if redirect and method in ("GET", "HEAD") else None
            if target is None:
                if response.url is not None and redirect:
                    response.url = url
                return response
            response.drain_conn()
            url = target
            kw["headers"] = without_secrets(kw["headers"])
        raise BlockedError(f"More than {self.limits.redirects} redirects.")

    def _once(self, method: str, url: str, kw: dict[str, Any]) -> BaseHTTPResponse:
        parts = parse_url(url)
        if parts.scheme not in PORTS or not parts.host or parts.auth:
            raise LocationParseError("a request needs an http or https URL without user and password")
        host = parts.host.removeprefix("[").removesuffix("]")
        port = parts.port or PORTS[parts.scheme]
        proxy = self._proxies.choose(parts.scheme, host, port)
        if not proxy:
            # urllib3's own method would parse the URL anew and follow redirects without us.
            direct = self.connection_from_host(host, port, parts.scheme)
            return direct.urlopen(method, parts.request_uri, redirect=False, assert_same_host=False, **kw)
        self.rules.vet(parts.scheme, host, port)
        try:
            known = self._resolver.addresses(host, min(_LOCAL_LOOKUP, self.limits.connect))
        except OSError:
            known = ()  # Only the proxy can resolve it.
        self.rules.vet_addresses(parts.scheme, host, port, known)
        return self._through(proxy).urlopen(method, url, redirect=False, **kw)

    def _through(self, proxy: str) -> _ProxyPool:
        with self._lock:
            pool = self._proxy_pools.get(proxy)
            if pool is None:
                dialer = Dialer(rules=None, resolver=self._resolver, limits=self.limits)
                pool = _ProxyPool(proxy, dialer=dialer, certificates=self._certificates, **self._settings)
                self._proxy_pools[proxy] = pool
            return pool

    def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: dict[str, Any] | None = None,
    ) -> HTTPConnectionPool:
        chosen = (scheme or "http").lower()
        bare = (host or "").removeprefix("[").removesuffix("]")
        self.rules.vet(chosen, bare, port or PORTS.get(chosen, 0))
        return super().connection_from_host(host, port, chosen, pool_kwargs)

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> HTTPConnectionPool:
        return guarded(
            super()._new_pool(scheme, host, port, with_context(request_context, scheme, self._certificates)),
            self._dialer,
        )

    def clear(self) -> None:
        """Close every idle connection, those to proxies and of extended pools too."""
        super().clear()
        with self._lock:
            pools = [*self._proxy_pools.values(), *self._extended.values()]
        for pool in pools:
            pool.clear()


def next_hop(url: str, response: BaseHTTPResponse) -> str | None:
    """Return where the answer to a request for `url` redirects to, None if it does not.

    Raises `BlockedError` where it leads from https to http, `LocationParseError` where it is no URL.
    """
    location = response.headers.get("location") if response.status in _REDIRECTS else None
    if not location:
        return None
    try:
        target = urljoin(url, location)
    except ValueError as error:
        raise LocationParseError("the target of a redirect") from error
    if url.startswith("https:") and not target.startswith("https:"):
        raise BlockedError("The egress guard refuses a redirect from https to something else.")
    return target


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that may follow a redirect."""
    return {name: value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}


def guarded_pool(
    *,
    allowed: Iterable[Allowed] = (),
    ca_bundle: str | None = None,
    proxy: str | None = None,
    environ: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    maxsize: int = 32,
    lookup: Lookup = system_lookup,
) -> GuardedPool:
    """Return a pool that reaches the public Internet by https, and `allowed`.

    `ca_bundle` names a file of PEM certificates that are trusted besides the system's; `proxy` is used
    for everything, without it those of `environ` (the process's).  `maxsize` is how many idle connections
    are kept to each host.  Raises `ConfigurationError`.
    """
    proxies = (
        Proxies.only(proxy) if proxy else Proxies.from_environ(os.environ if environ is None else environ)
    )
    if ca_bundle is not None and not Path(ca_bundle).is_file():
        raise ConfigurationError(f"there is no file {ca_bundle}", key="MOORLINE_CA_BUNDLE")
    return GuardedPool(
        rules=Rules(allowed=frozenset(allowed)),
        resolver=Resolver(lookup),
        proxies=proxies,
        limits=limits or Limits(),
        certificates=Certificates(ca_bundle),
        maxsize=maxsize,
    )
