"""One question to one server: bounded, through the guard, redirects without secrets, asked twice at most."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException

from urllib3 import BaseHTTPResponse, HTTPHeaderDict, Timeout
from urllib3.exceptions import HTTPError

from bot.errors import ConfigurationError
from bot.model import UnresolvedReason
from bot.registries.budget import Budget
from bot.registries.egress import GuardedPool, next_hop, without_secrets
from bot.registries.rules import Allowed
from bot.registries.trouble import TroubleError, from_error, not_http, retry_after

_ERROR_BODY = 64 * 1024
_LONGEST_WAIT = 2.0
"""Seconds that a thread waits to ask again; beyond, a later run does."""
_BACKOFF = 0.2
_FAILURES = 3
"""After so many in a row a server is taken to be down for the rest of the run."""
_PAUSE = 30.0
"""Seconds for which a server that limits us without naming a time is left alone."""
_PASSING = frozenset({429, 500, 502, 503, 504})
_OUTAGES = frozenset({UnresolvedReason.TIMEOUT, UnresolvedReason.UNREACHABLE, UnresolvedReason.TLS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: HTTPHeaderDict
    body: bytes
    redirected: bool
    """Whether another place than the one we asked gave it."""

    def one(self, name: str) -> str | None:
        """Return a header's value; raises `TroubleError` (LYING) where it has two that differ."""
        values = dict.fromkeys(value.strip() for value in self.headers.getlist(name))
        if len(values) > 1:
            raise TroubleError(UnresolvedReason.LYING, f"The answer has two different {name} headers.")
        return next(iter(values), None)


class Deadline:
    """When a look-up must be over."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, host: str) -> float:
        """Return the seconds left; raises `TroubleError` (TIMEOUT) when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TroubleError(
                UnresolvedReason.TIMEOUT, f"{host} did not answer in time; a later run asks again."
            )
        return left

    def part(self, share: float, host: str) -> Deadline:
        """Return one after that share of the seconds left; raises `TroubleError` when there are none."""
        return Deadline(self.left(host) * share)


class Wire:
    """Asks servers on behalf of one client, and counts."""

    def __init__(self, *, budget: Budget, most_hosts: int) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        """Requests sent, by host and method."""
        self._budget = budget
        self._most_hosts = most_hosts
        self._hosts: set[str] = set()
        self._failures: dict[str, tuple[int, TroubleError]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def close(self) -> None:
        """End every wait; what is asked from now on is refused."""
        self._closed.set()

    def ask(
        self,
        pool: GuardedPool,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        limit: int,
        deadline: Deadline,
        body: bytes | None = None,
        follow: bool = True,
    ) -> Answer:
        """Return the answer to a request, whatever its status, its body at most `limit` bytes.

        A GET or HEAD that fails for what may pass at once is asked a second time.  Raises `TroubleError`.
        """
        host = host_of(url)
        self._admit(host)
        for last in (False, True):
            outcome = self._attempt(pool, method, url, headers, limit, deadline, body, follow)
            self._note(host, outcome)
            wait = None if last or method == "POST" else _wait(outcome)
            if wait is None or wait > min(_LONGEST_WAIT, deadline.left(host)) or self._closed.wait(wait):
                break
        if isinstance(outcome, TroubleError):
            raise outcome
        if outcome.status == 429:
            self._budget.pause(host, retry_after(outcome.one("retry-after")) or _PAUSE)
        return outcome

    def _admit(self, host: str) -> None:
        if self._closed.is_set():
            raise TroubleError(UnresolvedReason.DEFERRED, "The run ends; a later run asks.")
        paused = self._budget.paused(host)
        if paused is not None:
            raise TroubleError(
                UnresolvedReason.RATE_LIMITED,
                f"{host} limits our requests; a later run asks again.",
                retry_after=paused,
            )
        with self._lock:
            count, trouble = self._failures.get(host, (0, None))
            if trouble is not None and count >= _FAILURES:
                raise TroubleError(trouble.reason, trouble.detail)
            self._hosts.add(host)
            if len(self._hosts) > self._most_hosts:
                self._hosts.discard(host)
                raise TroubleError(
                    UnresolvedReason.DEFERRED,
                    f"{host} is not asked: one run asks no more than {self._most_hosts} servers.",
                )

    def _note(self, host: str, outcome: Answer | TroubleError) -> None:
        with self._lock:
            if isinstance(outcome, Answer):
                self._failures.pop(host, None)
            elif outcome.reason in _OUTAGES:
                self._failures[host] = (self._failures.get(host, (0, None))[0] + 1, outcome)

    def _attempt(
        self,
        pool: GuardedPool,
        method: str,
        url: str,
        headers: Mapping[str, str],
        limit: int,
        deadline: Deadline,
        body: bytes | None,
        follow: bool,
    ) -> Answer | TroubleError:
        host = host_of(url)
        sent = {"Accept-Encoding": "identity", "User-Agent": "moorline", **headers}
        try:
            for hop in range(pool.limits.redirects + 1):
                left = deadline.left(host)
                with self._lock:
                    self.requests[host, method] += 1
                response = pool.urlopen(
                    method,
                    url,
                    redirect=False,
                    headers=sent,
                    body=body,
                    preload_content=False,
                    decode_content=False,
                    timeout=Timeout(
                        connect=min(pool.limits.connect, left), read=min(pool.limits.response, left)
                    ),
                )
                with _closing(response):
                    target = next_hop(url, response)
                    if target is None or not follow:
                        return _read(response, host, limit, redirected=hop > 0)
                    _read(response, host, _ERROR_BODY, redirected=True)
                url, sent, host = target, without_secrets(sent), host_of(target)
                if hop < pool.limits.redirects:
                    self._admit(host)
        except HTTPError as error:
            return from_error(error, host)
        except (HTTPException, ValueError):
            # http.client lets a few pass, for a chunk of negative size for instance.
            return not_http(host)
        except TroubleError as trouble:
            return trouble
        return TroubleError(UnresolvedReason.INVALID, f"{host} redirects in circles.")


def host_of(url: str) -> str:
    """Return host and port of a URL, the port only where it is not the scheme's own.

    Raises `TroubleError` (INVALID) for what is no URL of ours to ask.
    """
    end = url.find("/", len("https://"))
    return _host_of(url if end < 0 else url[:end])


@lru_cache(maxsize=512)
def _host_of(origin: str) -> str:
    try:
        return str(Allowed.parse(origin)).partition("://")[2]
    except ConfigurationError:
        raise TroubleError(
            UnresolvedReason.INVALID, "The registry leads to something that is no URL."
        ) from None


def _wait(outcome: Answer | TroubleError) -> float | None:
    """Return the seconds after which asking again may help, None where it would not."""
    jittered = _BACKOFF * random.uniform(0.5, 1.5)  # noqa: S311  # spreads retries, guards nothing
    if isinstance(outcome, TroubleError):
        return jittered if outcome.passing else None
    if outcome.status not in _PASSING:
        return None
    named = retry_after(outcome.headers.get("retry-after"))
    if named is None:
        return None if outcome.status == 429 else jittered
    return named


@contextmanager
def _closing(response: BaseHTTPResponse) -> Iterator[None]:
    """Give the connection back to its pool, or close it where the answer was not read to its end."""
    try:
        yield
    except BaseException:
        response.close()
        raise
    finally:
        response.release_conn()


def _read(response: BaseHTTPResponse, host: str, limit: int, *, redirected: bool) -> Answer:
    """Return the answer with its body; raises `TroubleError` and urllib3's errors."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise TroubleError(
            UnresolvedReason.INVALID, f"{host} compresses an answer that we asked for as it is."
        )
    length = response.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise TroubleError(UnresolvedReason.INVALID, f"{host} names an impossible length.")
    failed = response.status >= 300
    limit = min(limit, _ERROR_BODY) if failed else limit
    # The length of an answer to HEAD is that of the body it does not send; read() knows.
    body = response.read(limit + 1, decode_content=False)
    if len(body) > limit:
        response.close()
        if not failed:
            raise TroubleError(
                UnresolvedReason.TOO_LARGE, f"{host} sends more than the {limit} bytes that it may."
            )
    return Answer(status=response.status, headers=response.headers, body=body, redirected=redirected)
