"""Whom this installation serves: names of owners, groups or repositories.  Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedOwners:
    """Who is served; everybody where nobody is named."""

    entries: tuple[str, ...] = ()
    """`acme`, `group/sub` or `acme/app`, with `github:` or `gitlab:` before it for one forge alone."""

    def serves(self, forge: str, repository: str) -> bool:
        """Return whether a repository, or everything of an owner, is served."""
        name = repository.casefold()
        paths = self._paths(forge)
        return not self.entries or any(name == path or name.startswith(f"{path}/") for path in paths)

    def touches(self, forge: str, owner: str) -> bool:
        """Return whether something of an owner is served."""
        beneath = f"{owner.casefold()}/"
        return self.serves(forge, owner) or any(path.startswith(beneath) for path in self._paths(forge))

    def _paths(self, forge: str) -> tuple[str, ...]:
        split = [entry.casefold().rpartition(":") for entry in self.entries]
        return tuple(path for only, _, path in split if only in ("", forge))
