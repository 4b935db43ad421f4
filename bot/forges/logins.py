"""The operator's logins for remote repositories, by URL prefix.  Nothing here shows one."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Logins:
    """Users and passwords, each bound to a scheme, host, port and beginning of a path."""

    entries: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)
    """URL prefix, user and password."""

    def login(self, url: str) -> tuple[str, str] | None:
        """Return user and password for a repository's URL: those of the longest prefix, or None.

        A prefix ends between the names of a path: `https://h/acme` is none of `https://h/acme-evil`.
        """
        server, path = _parts(url)
        best = -1
        found: tuple[str, str] | None = None
        for prefix, user, password in self.entries:
            its_server, start = _parts(prefix)
            if its_server == server and path[: len(start)] == start and len(start) > best:
                best, found = len(start), (user, password)
        return found


def _parts(url: str) -> tuple[tuple[str, str, int | None], list[str]]:
    """Return scheme, host and port, and the names that the path is made of."""
    parts = urlsplit(url)
    server = (parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme))
    return server, [name for name in parts.path.split("/") if name]
