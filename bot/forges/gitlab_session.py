"""The HTTP session below python-gitlab: bounded answers, no redirects, no cookies, our certificates.

requests would send `PRIVATE-TOKEN` on to any host that a redirect names: it knows only `Authorization`
as secret.  So nothing is followed here, and whoever asked sees the redirect.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from bot.errors import ConfigurationError, ForgeError

_SECONDS = 120.0
"""The whole of one answer; the timeout of a request is for each piece of it."""


class OversizedError(ForgeError):
    """An answer is larger than was asked for; `size` is what the server says it has, 0 where it does not."""

    def __init__(self, problem: str, *, size: int = 0) -> None:
        super().__init__(problem)
        self.size = size


class _Bounded:
    """The bytes of one answer, unpacked, up to a limit and a time."""

    def __init__(self, raw: Any, limit: int, size: int) -> None:
        self._raw = raw
        self._limit = limit
        self._size = size

    def stream(self, amount: int, *, decode_content: bool = True) -> Iterator[bytes]:
        """Yield the bytes; raises `OversizedError`, and `requests.Timeout` where it takes too long."""
        end = time.monotonic() + _SECONDS
        left = self._limit
        for piece in self._raw.stream(min(amount, 65536), decode_content=decode_content):
            left -= len(piece)
            if left < 0:
                raise OversizedError(f"GitLab's answer has more than {self._limit:,} bytes.", size=self._size)
            if time.monotonic() > end:
                raise requests.Timeout(f"more than {_SECONDS:.0f} seconds for one answer")
            yield piece

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()

    def release_conn(self) -> None:
        """Give the connection back."""
        self._raw.release_conn()


class _Trusting(HTTPAdapter):
    """Trusts the system's authorities and those of a bundle."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool with our context."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return a proxy's pool with our context."""
        return super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)


class Session(requests.Session):
    """One thread's connections to GitLab."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self.limit = 0
        """The most bytes of the next answer."""
        self.answered: requests.Response | None = None
        """The latest answer: python-gitlab's exceptions carry no headers."""
        self.headers["Accept-Encoding"] = "identity"
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        if context is not None:
            self.mount("https://", _Trusting(context))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Return the answer to one request, its body not yet read."""
        self.answered = None
        answer = super().send(request, **{**kwargs, "stream": True})
        said = answer.headers.get("Content-Length", "")
        size = int(said) if said.isascii() and said.isdigit() and len(said) < 16 else 0
        answer.raw = _Bounded(answer.raw, self.limit, size)
        self.answered = answer
        return answer

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  # the base's name
        """Return None: a redirect is an answer like any other."""
        return


def trusting(bundle: str | None) -> ssl.SSLContext:
    """Return what to trust: the system's authorities and those of a file; raises `ConfigurationError`."""
    context = ssl.create_default_context()
    if bundle is not None:
        try:
            context.load_verify_locations(cafile=bundle)
        except OSError as error:  # `SSLError` too
            raise ConfigurationError(
                f"cannot read certificates from {bundle}",
                key="MOORLINE_CA_BUNDLE",
                expected="a file of PEM certificates",
            ) from error
    return context
