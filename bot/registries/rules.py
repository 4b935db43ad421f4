"""What may be connected to: the rules of the egress guard, and what the operator exempts from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError

from bot.errors import ConfigurationError
from bot.registries.addresses import denied_address, denied_name, denied_port, is_platform_address, literal

PORTS = {"http": 80, "https": 443}


class BlockedError(HTTPError):
    """The guard refuses a connection; the text says which and why, for people.

    A child of urllib3's base error, so that libraries on this pool treat it as a failed request.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """A server that the operator exempts from the guard: exactly this scheme, host and port."""

    scheme: str
    host: str
    """Lower case, without brackets."""
    port: int

    @classmethod
    def parse(cls, url: str) -> Allowed:
        """Return the origin of `url`; raises `ConfigurationError` where it has none."""
        # The URL itself stays out of the message: it may hold a password.
        unusable = ConfigurationError("a server's URL is not usable", expected="https://host:port, no user")
        try:
            parts = urlsplit(url)
            port = parts.port if parts.port is not None else PORTS.get(parts.scheme, 0)
        except ValueError:
            raise unusable from None
        if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc or port == 0:
            raise unusable
        return cls(scheme=parts.scheme, host=parts.hostname.lower(), port=port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS[self.scheme] else f":{self.port}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What may be connected to."""

    allowed: frozenset[Allowed]

    def vet(self, scheme: str, host: str, port: int) -> None:
        """Raise `BlockedError` unless this scheme, name and port may be asked."""
        if self.exempts(scheme, host, port):
            return
        if scheme != "https":
            raise BlockedError(f"The egress guard refuses {host}:{port}: only https leads outside.")
        reason = denied_name(host)
        if reason:
            raise BlockedError(f"The egress guard refuses {host}: it {reason}.")
        reason = denied_port(port)
        if reason:
            raise BlockedError(f"The egress guard refuses {host}:{port}: {port} {reason}.")

    def vet_addresses(self, scheme: str, host: str, port: int, addresses: Sequence[str]) -> None:
        """Raise `BlockedError` if any of the addresses that `host` resolves to is denied."""
        exempt = self.exempts(scheme, host, port)
        for text in addresses:
            address = literal(text)
            if address is None:
                raise BlockedError(f"The egress guard refuses {host}: it resolves to no plain address.")
            if exempt and (literal(host) == address or not is_platform_address(address)):
                continue
            reason = denied_address(address)
            if reason or exempt:
                raise BlockedError(
                    f"The egress guard refuses {host}: {address} {reason or 'is a platform address'}."
                )

    def exempts(self, scheme: str, host: str, port: int) -> bool:
        """Return whether the operator configured this very server."""
        return Allowed(scheme=scheme, host=host, port=port) in self.allowed
