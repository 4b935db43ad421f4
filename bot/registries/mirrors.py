"""Where a reference's registry is asked: at its own host, or at the mirror that the operator mapped.

A mapping goes from a registry's name, or `*` for every public one, to a base URL: scheme, host, port
and, where the mirror keeps several registries apart, a path that is put before the repository
(`https://harbor.example/hub-cache`: `library/node` is asked as `hub-cache/library/node`).
`{registry}` in the path stands for the name of the registry (`https://cache.example/{registry}`).
A mirror is reachable through its mapping only, and an explicit mapping alone covers a registry that
the egress guard would refuse by its name: `*` does not turn `127.0.0.1:5000/x` into a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.errors import ConfigurationError
from bot.model import ImageReference
from bot.reference import DOCKER_HUB
from bot.registries.addresses import denied_name
from bot.registries.budget import DOCKER_HUB_API
from bot.registries.egress import GuardedPool
from bot.registries.rules import PORTS, Allowed

_HUB_NAMES = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_PREFIX = re.compile(r"(?:/[a-z0-9][a-z0-9._-]*)*/?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One repository at the server that is asked for it."""

    origin: Allowed
    repository: str
    """Its path at that server."""
    pool: GuardedPool
    mirror: bool

    @property
    def host(self) -> str:
        """Host, and port unless it is the scheme's own."""
        return str(self.origin).partition("://")[2]

    def url(self, rest: str) -> str:
        """Return the URL of something below the repository: `manifests/latest`."""
        return f"{self.origin}/v2/{self.repository}/{rest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mirror:
    origin: Allowed
    prefix: str
    """`/hub-cache`, `/{registry}` or empty."""
    pool: GuardedPool


class Mirrors:
    """The operator's mappings, each with a pool of its own that reaches that mirror."""

    def __init__(
        self,
        mapping: Mapping[str, str],
        *,
        pool: GuardedPool,
        realms: Mapping[Allowed, frozenset[Allowed]],
        body: int,
    ) -> None:
        """Raise `ConfigurationError` for a mapping that is none.

        `realms` are token servers by the registry or mirror that sends its clients there.  No answer may
        be larger than `body` bytes on the wire.
        """
        self._body = body
        self._pool = pool.extended(body=body)
        self._realms = realms
        self._mirrors = {_registry(name): self._parse(name, url) for name, url in mapping.items()}
        self._direct = {
            origin: pool.extended(token_servers, body=body) for origin, token_servers in realms.items()
        }

    def _parse(self, name: str, url: str) -> _Mirror:
        origin = Allowed.parse(url)
        parts = urlsplit(url)
        if parts.query or parts.fragment or not _PREFIX.fullmatch(parts.path.replace("{registry}", "r")):
            raise ConfigurationError(
                f"the mirror for {name!r} is not usable",
                key="MOORLINE_REGISTRY_MIRRORS",
                expected="http(s)://host:port and an optional path, with or without {registry}",
            )
        reachable = {origin, *self._realms.get(origin, ())}
        return _Mirror(
            origin=origin, prefix=parts.path.rstrip("/"), pool=self._pool.extended(reachable, body=self._body)
        )

    def route(self, reference: ImageReference) -> Endpoint:
        """Return where `reference` is asked."""
        mirror = self._mirrors.get(reference.registry)
        if mirror is None and "*" in self._mirrors and not denied_name(_split(reference.registry)[0]):
            mirror = self._mirrors["*"]
        if mirror is not None:
            prefix = mirror.prefix.replace("{registry}", reference.registry).removeprefix("/")
            path = f"{prefix}/{reference.repository}" if prefix else reference.repository
            return Endpoint(origin=mirror.origin, repository=path, pool=mirror.pool, mirror=True)
        origin = self._origin(reference.registry)
        pool = self._direct.get(origin, self._pool)
        return Endpoint(origin=origin, repository=reference.repository, pool=pool, mirror=False)

    def _origin(self, registry: str) -> Allowed:
        host, port = _split(DOCKER_HUB_API if registry == DOCKER_HUB else registry)
        plain = Allowed(scheme="http", host=host, port=port or PORTS["http"])
        secure = Allowed(scheme="https", host=host, port=port or PORTS["https"])
        exempt = self._pool.rules.allowed
        return plain if plain in exempt and secure not in exempt else secure


def _registry(name: str) -> str:
    lower = name.lower()
    return DOCKER_HUB if lower in _HUB_NAMES else lower


def _split(registry: str) -> tuple[str, int | None]:
    """Return host without brackets, and the port that is written, of `host:port`."""
    host, colon, port = registry.rpartition(":")
    if not colon or not port.isdigit():
        host, port = registry, ""
    return host.removeprefix("[").removesuffix("]"), int(port) if port else None
