"""Who may be told which secret: credentials bound to a server, a path and the owners who may use them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.registries.docker_config import docker_logins
from bot.registries.helper import Secret
from bot.registries.rules import Allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """For whom a look-up is made."""

    owner: str = ""
    """The forge owner whose repository names the image; empty for a person at the command line."""
    trusted: bool = True
    """False for what forks and authors without write access ask for: they look up anonymously."""

    @property
    def key(self) -> tuple[str, ...]:
        """What tells this scope's answers from another's in caches and memos."""
        return ("owner", self.owner.casefold()) if self.trusted else ("anonymous",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A login and where it may be used."""

    origin: Allowed
    prefix: str
    """Repository path under which it is used; empty for the whole server."""
    secret: Callable[[], Secret | None] = field(repr=False)
    """Gives the secret when it is needed; None where a helper has none.  Raises `HelperError`."""
    owners: frozenset[str] | None = None
    """Case-folded owners who may use it; None for every trusted one."""

    def fits(self, origin: Allowed, repository: str, scope: Scope) -> bool:
        """Return whether this may be used for `repository` at `origin`, asked for by `scope`."""
        if not scope.trusted or origin != self.origin:
            return False
        if self.owners is not None and scope.owner and scope.owner.casefold() not in self.owners:
            return False
        return not self.prefix or repository == self.prefix or repository.startswith(f"{self.prefix}/")


class Credentials:
    """The logins of this installation."""

    def __init__(self, entries: Iterable[Credential] = ()) -> None:
        # The longest path that fits wins; among equals, the one that is given first.
        self._entries = sorted(entries, key=lambda entry: -len(entry.prefix))

    @classmethod
    def from_docker_config(
        cls,
        path: Path | None,
        environ: Mapping[str, str],
        *,
        owners: Mapping[str, Collection[str]] | None = None,
    ) -> Credentials:
        """Return the logins of a docker `config.json`; none where the file does not exist.

        Without `path` it is `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.  `owners` narrows
        who may use a login, by the key it has in the file; `*` stands for every other one.  Helpers are
        only run when their registry asks for credentials.  Raises `ConfigurationError` for a file that
        cannot be read.
        """
        bound = owners or {}
        return cls(
            Credential(
                origin=origin,
                prefix=login.prefix,
                secret=login.secret,
                owners=_folded(bound.get(login.key, bound.get("*"))),
            )
            for login in docker_logins(path, environ)
            for origin in login.origins
        )

    def find(self, origin: Allowed, repository: str, scope: Scope) -> Credential | None:
        """Return the login for `repository` at `origin` that `scope` may use, if there is one."""
        for entry in self._entries:
            if entry.fits(origin, repository, scope):
                return entry
        return None

    def __repr__(self) -> str:
        return f"Credentials({len(self._entries)} logins)"


def _folded(owners: Collection[str] | None) -> frozenset[str] | None:
    return None if owners is None else frozenset(owner.casefold() for owner in owners)
