"""Connections that go to vetted addresses only, and whose answers are bounded in time and size."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.response import HTTPResponse

from bot.errors import ConfigurationError
from bot.registries.addresses import literal
from bot.registries.dial import (
    Bounds,
    Lookup,
    TimedSocket,
    TimedTLSSocket,
    connect,
    system_lookup,
    timed_lookup,
)
from bot.registries.memo import Memo
from bot.registries.rules import Rules

_KEEP_ADDRESSES = 60.0
"""Seconds for which vetted addresses are used for further connections."""
_KEEP_FAILURES = 10.0
"""Seconds for which a name that does not resolve is not asked again: behind a proxy that is every name."""
_MOST_HOSTS = 4096


class Resolver:
    """Names to addresses, each name once a minute whoever asks."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._known: Memo[Sequence[str] | OSError] = Memo(capacity=_MOST_HOSTS, keep=_age)

    def addresses(self, host: str, timeout: float) -> Sequence[str]:
        """Return the literal addresses of `host`; raises `OSError`."""
        address = literal(host)
        if address is not None:
            return (str(address),)
        found = self._known.get(host, lambda: self._ask(host, timeout))
        if isinstance(found, OSError):
            raise type(found)(*found.args)
        return found

    def _ask(self, host: str, timeout: float) -> Sequence[str] | OSError:
        try:
            return timed_lookup(self._lookup, host, timeout)
        except OSError as error:
            return error.with_traceback(None)


def _age(found: Sequence[str] | OSError) -> float:
    return _KEEP_FAILURES if isinstance(found, OSError) else _KEEP_ADDRESSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one request and its answer."""

    connect: float = 5.0
    """Seconds to resolve, connect and agree on TLS."""
    response: float = 15.0
    """Seconds for a whole answer, headers and body."""
    headers: int = 128 * 1024
    """Received bytes before the body; what is buffered of the body with them counts too."""
    body: int = 64 * 1024 * 1024
    """Received bytes of a body; callers set their own, smaller limits on what they read."""
    redirects: int = 5


@dataclass(slots=True, kw_only=True)
class Dialer:
    rules: Rules | None
    """None for connections to a proxy, which is the operator's."""
    resolver: Resolver
    limits: Limits

    def open(self, connection: HTTPConnection, scheme: str) -> TimedSocket:
        host, port = connection.host, connection.port
        timeout = connection.timeout or self.limits.connect
        started = time.monotonic()
        try:
            addresses = self.resolver.addresses(host, timeout)
            if self.rules is not None:
                self.rules.vet_addresses(scheme, host, port, addresses)
            return connect(addresses, port, max(0.0, timeout - (time.monotonic() - started)))
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, f"Connection to {host} timed out.") from error
        except OSError as error:
            if isinstance(error, socket.gaierror):
                raise NameResolutionError(host, connection, error) from error
            raise NewConnectionError(connection, f"Connection to {host} failed: {error.strerror}.") from error


class _Plain(HTTPConnection):
    dialer: Dialer

    def _new_conn(self) -> socket.socket:
        return self.dialer.open(self, "http")

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3's own class
        bounds = _bounds(self)
        response = super().getresponse()
        bounds.bound(size=self.dialer.limits.body)
        return response


class _Secure(HTTPSConnection):
    dialer: Dialer

    def _new_conn(self) -> socket.socket:
        return self.dialer.open(self, "https")

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3's own class
        bounds = _bounds(self)
        response = super().getresponse()
        bounds.bound(size=self.dialer.limits.body)
        return response


def _bounds(connection: _Plain | _Secure) -> Bounds:
    """Return the bounds of a connection's socket, set for an answer's headers and its whole time."""
    sock = connection.sock
    # TLS to a proxy and within it TLS to the host: urllib3's own object, with its read timeouts only.
    bounds = sock if isinstance(sock, Bounds) else Bounds()
    limits = connection.dialer.limits
    # urllib3 has put its read timeout there: for us it bounds the whole answer, not each read.
    bounds.bound(seconds=connection.timeout or limits.response, size=limits.headers)
    return bounds


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain
    dialer: Dialer

    def _new_conn(self) -> _Plain:
        made = cast(_Plain, super()._new_conn())  # by `ConnectionCls`
        made.dialer = self.dialer
        return made


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure
    dialer: Dialer

    def _new_conn(self) -> _Secure:
        made = cast(_Secure, super()._new_conn())  # by `ConnectionCls`
        made.dialer = self.dialer
        return made


class Certificates:
    """The one `SSLContext` of a family of pools, made when the first TLS connection needs it."""

    def __init__(self, bundle: str | None) -> None:
        self._bundle = bundle
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    def context(self) -> ssl.SSLContext:
        """Return the context: the system's authorities and those of the bundle."""
        with self._lock:
            if self._context is None:
                made = ssl.create_default_context()
                if self._bundle is not None:
                    try:
                        made.load_verify_locations(cafile=self._bundle)
                    except OSError as error:  # `SSLError` too
                        raise ConfigurationError(
                            f"cannot read certificates from {self._bundle}",
                            key="MOORLINE_CA_BUNDLE",
                            expected="a file of PEM certificates",
                        ) from error
                made.sslsocket_class = TimedTLSSocket
                self._context = made
            return self._context


POOL_CLASSES = {"http": _PlainPool, "https": _SecurePool}


def with_context(
    request_context: dict[str, Any] | None, scheme: str, certificates: Certificates
) -> dict[str, Any] | None:
    if request_context is not None and scheme == "https":
        request_context["ssl_context"] = certificates.context()
    return request_context


def guarded(pool: HTTPConnectionPool, dialer: Dialer) -> HTTPConnectionPool:
    if isinstance(pool, _PlainPool | _SecurePool):
        pool.dialer = dialer
    return pool
