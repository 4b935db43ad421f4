"""Which proxy a request takes, by the conventional environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from urllib.parse import urlsplit

from bot.errors import ConfigurationError
from bot.registries.addresses import is_loopback, literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """The operator's proxies; their URLs may hold a password and are kept out of every text."""

    https: str = field(default="", repr=False)
    http: str = field(default="", repr=False)
    exempt: tuple[str, ...] = ()
    """The entries of `NO_PROXY`: a name and what is below it, `host:port`, an address, a network, `*`."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Proxies:
        """Return what `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, lower case first.

        Raises `ConfigurationError` for a proxy that is neither http nor https.
        """

        def read(name: str) -> str:
            return environ.get(name.lower()) or environ.get(name) or ""

        every = read("ALL_PROXY")
        return cls(
            https=_checked("HTTPS_PROXY", read("HTTPS_PROXY") or every),
            http=_checked("HTTP_PROXY", read("HTTP_PROXY") or every),
            exempt=tuple(entry.strip().lower() for entry in read("NO_PROXY").split(",") if entry.strip()),
        )

    @classmethod
    def only(cls, url: str) -> Proxies:
        """Return the one proxy `url` for everything."""
        checked = _checked("proxy", url)
        return cls(https=checked, http=checked)

    def choose(self, scheme: str, host: str, port: int) -> str:
        """Return the URL of the proxy for a request, empty for none; this machine needs none."""
        chosen = self.https if scheme == "https" else self.http
        if not chosen or is_loopback(host):
            return ""
        return "" if any(_matches(entry, host, port) for entry in self.exempt) else chosen


def _checked(name: str, url: str) -> str:
    if not url:
        return ""
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError("is not a proxy that can be used", key=name, expected="http://host:port")
    return url


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    address = literal(host)
    if address is not None:
        try:
            return address in ip_network(entry, strict=False)
        except ValueError:
            return entry in (f"{host}:{port}", f"[{address}]:{port}")
    name, colon, number = entry.partition(":")
    if colon and number != str(port):
        return False
    name = name.removeprefix("*").removeprefix(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))
