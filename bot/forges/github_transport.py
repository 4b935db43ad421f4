"""One exchange with GitHub: PyGithub makes the request, and what may go wrong is ruled here.

PyGithub would send a POST again that has happened already, sleep in the worker for up to an hour, follow
redirects with the token, read answers of any size and log a token that it was just given.  So it is
handed a connection of our own that is used once, bounded in size and time, shows it no header that it
would act upon, and a logger that says nothing.
"""

from __future__ import annotations

import json
import logging
import os
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from github.Auth import Auth
from github.Requester import HTTPRequestsConnectionClass, Requester
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError, SSLError

from bot.errors import ConfigurationError, ForgeError, TransientError
from bot.forges.github_address import Address
from bot.visible import visible

JSON = "application/vnd.github+json"
RAW = "application/vnd.github.raw+json"
_VERSION = "2022-11-28"
_CONNECT, _READ = 5.0, 20.0
_WHOLE = 60.0
"""Seconds for one answer."""
_LARGEST = 32 * 1024 * 1024
"""Bytes of an answer: a tree of 100,000 entries has about 25 million."""
_CHUNK = 64 * 1024
_LONGEST_HEADER = 8192
_SECRET = re.compile(r"gh[a-z]_[A-Za-z0-9._-]{20,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9._-]{10,}")
"""Tokens, classic and long, and JSON web tokens."""
_LOOPBACK = ("127.", "localhost", "[::1]", "::1")


class AmbiguousError(TransientError):
    """The answer did not come, or was a server's failure: what was asked for may have happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the body's JSON; raises `AmbiguousError` where it is none, as a proxy's page is."""
        try:
            return json.loads(self.body) if self.body else None
        except (ValueError, RecursionError):
            raise AmbiguousError("GitHub's answer is no JSON.") from None

    @property
    def said(self) -> Mapping[str, Any]:
        """The body's JSON object; an empty one where it is something else."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def message(self) -> str:
        """What the server says went wrong, without secrets and on one line; empty where it says nothing."""
        said = self.said
        texts = [text for text in (said.get("message"),) if isinstance(text, str)]
        errors = said.get("errors")
        for one in errors[:5] if isinstance(errors, list) else ():
            text = one.get("message") or one.get("code") if isinstance(one, dict) else one
            if isinstance(text, str) and text not in texts:
                texts.append(f"{one['field']} {text}" if isinstance(one, dict) and one.get("field") else text)
        return clean("; ".join(texts))


def clean(text: str) -> str:
    """Return a server's text fit to be shown and stored: one line, bounded, without tokens."""
    return visible(_SECRET.sub("[secret]", text[:2000]), 400).rstrip(".")


class _Bearer(Auth):
    """A token or JWT as the scheme that the long format of tokens needs, and the classic one takes."""

    def __init__(self, token: str) -> None:
        self._value = token

    @property
    def token_type(self) -> str:
        return "Bearer"

    @property
    def token(self) -> str:
        return self._value


class _Quiet(Requester):
    """A requester without a logger: PyGithub's own shows whole answers, a new token's among them."""


_silence = logging.getLogger("bot.forges.github.silence")
_silence.setLevel(logging.CRITICAL + 1)
_Quiet.injectLogger(_silence)


class _Response:
    """What PyGithub is shown of an answer: nothing that would make it sleep, follow or stumble."""

    def __init__(self, answer: Answer) -> None:
        # PyGithub waits two seconds and asks again, without end, where a GET is answered with 202.
        self.status = 200 if answer.status == 202 else answer.status

    def getheaders(self) -> list[tuple[str, str]]:
        return []

    def read(self) -> str:
        return ""


class _Connection(HTTPRequestsConnectionClass):
    """One request over our own pool; used once."""

    def __init__(self, pool: urllib3.PoolManager, base: str, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._base = base
        self._clock = clock
        self.answer: Answer | None = None

    def request(
        self,
        verb: str,
        url: str,
        input: Any,  # noqa: A002  # PyGithub's name
        headers: dict[str, str],
        stream: bool = False,
    ) -> None:
        del stream
        self._asked = verb, url, input, headers

    def getresponse(self) -> Any:
        verb, url, body, headers = self._asked
        self.answer = self._exchange(verb, url, body, headers)
        return _Response(self.answer)

    def close(self) -> None:
        """Nothing is held."""

    def _exchange(self, verb: str, url: str, body: Any, headers: dict[str, str]) -> Answer:
        end = self._clock() + _WHOLE
        response = self._pool.request(
            verb,
            f"{self._base}{url}",
            body=body.encode("utf-8") if isinstance(body, str) else body,
            headers={**headers, "Accept-Encoding": "gzip"},
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=_CONNECT, read=_READ),
        )
        received = bytearray()
        trouble: ForgeError | None = None
        for chunk in response.stream(_CHUNK, decode_content=True):
            received += chunk
            if len(received) > _LARGEST:
                trouble = ForgeError(f"GitHub's answer is larger than {_LARGEST:,} bytes.")
            elif self._clock() > end:
                trouble = AmbiguousError("GitHub's answer takes too long.")
            if trouble is not None:
                response.close()  # what is left of it is no answer to another question
                raise trouble
        response.release_conn()
        found = {name.lower(): value[:_LONGEST_HEADER] for name, value in response.headers.items()}
        return Answer(status=response.status, headers=found, body=bytes(received))


class Transport:
    """Sends single requests to one server, nowhere else.  Knows no tokens of its own, never tries again."""

    def __init__(self, address: Address, *, ca_bundle: str | None = None) -> None:
        self.address = address
        parts = urlsplit(address.rest)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path
        self._pool = _pool(self._base, ca_bundle)

    def send(
        self,
        verb: str,
        path: str,
        token: str,
        *,
        parameters: Mapping[str, str | int] | None = None,
        body: Any = None,
        accept: str = JSON,
    ) -> Answer:
        """Return the answer to one request, whatever its status; `path` is below the REST base, or GraphQL's.

        Raises `AmbiguousError` where it is not known whether the request was carried out, `TransientError`
        where it was not, and `ForgeError` where TLS fails or the answer is too large.
        """
        requester = _Quiet(
            auth=_Bearer(token),
            base_url=self.address.rest,
            timeout=int(_READ),
            user_agent="moorline",
            per_page=100,
            verify=True,
            retry=None,
            pool_size=None,
            seconds_between_requests=None,
            seconds_between_writes=None,
            api_version=_VERSION,
        )
        connection = _Connection(self._pool, self._base, time.monotonic)
        try:
            requester.requestJson(
                verb,
                path,
                parameters=dict(parameters or {}),
                headers={"Accept": accept},
                input=body,
                cnx=connection,
            )
        except (ConnectTimeoutError, NewConnectionError, ProxyError):
            raise TransientError(
                f"{self.address.host} cannot be reached.",
                advice="Check its address, and the proxy if there is one.",
            ) from None
        except SSLError as error:
            raise ForgeError(
                f"The certificate of {self.address.host} is not accepted: {clean(str(error))}.",
                advice="Name your own authority's certificates in MOORLINE_CA_BUNDLE.",
            ) from None
        except UnicodeError:
            raise ForgeError("A name holds characters that no name on GitHub has.") from None
        except (HTTPError, OSError):
            raise AmbiguousError(f"The connection to {self.address.host} was cut or timed out.") from None
        if connection.answer is None:
            raise AmbiguousError(f"{self.address.host} gave no answer.")
        return connection.answer

    def relative(self, url: str) -> str | None:
        """Return the path and query, below the REST base, that a URL in an answer leads to.

        None where it leads to another server, which nothing is ever sent to.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        path = parts.path
        if parts.netloc and f"{parts.scheme}://{parts.netloc}".lower() != self._base.lower():
            return None
        if not path.startswith(f"{self._prefix}/") or ".." in unquote(path).split("/"):
            return None
        return path.removeprefix(self._prefix) + (f"?{parts.query}" if parts.query else "")


def _pool(base: str, ca_bundle: str | None) -> urllib3.PoolManager:
    parts = urlsplit(base)
    host = parts.hostname or ""
    settings: dict[str, Any] = {"maxsize": 32, "block": False}
    if parts.scheme == "https":
        settings["ssl_context"] = _certificates(ca_bundle)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    if not proxy or host.startswith(_LOOPBACK) or proxy_bypass(parts.netloc):
        return urllib3.PoolManager(**settings)
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        where = urlsplit(proxy)
        usable = where.scheme in ("http", "https") and bool(where.hostname) and where.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            "is not a proxy that can be used", key="HTTPS_PROXY", expected="http://host:port"
        )
    login = ""
    if where.username is not None:
        login = f"{unquote(where.username)}:{unquote(where.password or '')}"
    headers = urllib3.make_headers(proxy_basic_auth=login) if login else None
    place = where.netloc.rpartition("@")[2]
    return urllib3.ProxyManager(f"{where.scheme}://{place}", proxy_headers=cast(Any, headers), **settings)


def _certificates(bundle: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if bundle:
        try:
            context.load_verify_locations(cafile=os.fspath(bundle))
        except OSError:
            raise ConfigurationError(
                f"cannot read certificates from {bundle}",
                key="MOORLINE_CA_BUNDLE",
                expected="a file of PEM certificates",
            ) from None
    return context
