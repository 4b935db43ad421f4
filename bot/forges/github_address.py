"""Where a GitHub server is: github.com, a company's own part of it, or an Enterprise Server."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from bot.errors import ConfigurationError

_EXPECTED = "https://github.com, https://COMPANY.ghe.com or https://github.example"
_PREFIX = "/api/v3"
_PUBLIC = frozenset({"github.com", "www.github.com", "api.github.com"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The interfaces of one server.  They come from settings alone, never from a payload or an answer."""

    rest: str
    """The base URL of the REST interface, without a slash at its end."""
    graphql: str
    host: str
    """The host that people and git know, with its port where that is no usual one."""


def address(url: str) -> Address:
    """Return the interfaces of the server at `url`; http is for this machine only.

    A path of `/api/v3` says Enterprise Server, as does any host of https that is none of GitHub's own.
    Raises `ConfigurationError`.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise _unusable() from None
    path = parts.path.rstrip("/")
    plain = host and "@" not in parts.netloc and not parts.query and not parts.fragment
    if not plain or port == 0 or path not in ("", _PREFIX) or not url.strip().isprintable():
        raise _unusable()
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise _unusable()
    if host in _PUBLIC and port in (None, 443) and not path:
        return Address(
            rest="https://api.github.com", graphql="https://api.github.com/graphql", host="github.com"
        )
    if host.endswith(".ghe.com") and port in (None, 443) and not path:
        company = host.removeprefix("api.")
        return Address(rest=f"https://api.{company}", graphql=f"https://api.{company}/graphql", host=company)
    shown = f"[{host}]" if ":" in host else host
    place = shown if port is None else f"{shown}:{port}"
    base = f"{parts.scheme}://{place}"
    if parts.scheme == "http" and not path:
        return Address(rest=base, graphql=f"{base}/graphql", host=place)
    return Address(rest=f"{base}{_PREFIX}", graphql=f"{base}/api/graphql", host=place)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _unusable() -> ConfigurationError:
    return ConfigurationError("is no server of GitHub's", key="MOORLINE_GITHUB_URL", expected=_EXPECTED)
