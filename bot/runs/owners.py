"""The owner's own configuration: read from the owner's repository, and kept for some minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from bot.config import OWNER_PATHS, OWNER_REPOSITORIES, Config, load_owner
from bot.config import holds_policy as _is_policy
from bot.errors import MissingError, MovedError
from bot.forges.base import Forge

_SECONDS = 300.0
_OWNERS = 2000


class Owners:
    """The configurations of owners and groups.  Safe to use from threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, Config | None]] = {}
        self._lock = threading.Lock()

    def configs(self, forge: Forge, repository: str) -> tuple[Config, ...]:
        """Return what the owner says, and with groups within groups each of them, nearest first.

        Raises `ConfigurationError` for a broken file, and what the forge raises: a policy that cannot
        be read is not the same as none.
        """
        if forge.hosting is None:
            return ()
        groups = repository.split("/")[:-1]
        found = (self._of(forge, "/".join(groups[:length])) for length in range(len(groups), 0, -1))
        return tuple(one for one in found if one is not None)

    def forget(self, forge: str, repository: str) -> None:
        """Read an owner's file again if that is what a repository holds."""
        if _is_policy(repository):
            with self._lock:
                self._known.pop((forge, repository.rpartition("/")[0]), None)

    def _of(self, forge: Forge, owner: str) -> Config | None:
        key = (forge.name, owner)
        with self._lock:
            known = self._known.get(key)
        if known is not None and known[0] > self._clock():
            return known[1]
        found = _read(forge, owner)
        with self._lock:
            if len(self._known) >= _OWNERS:
                self._known.clear()
            self._known[key] = (self._clock() + _SECONDS, found)
        return found


def holds_policy(forge: Forge, repository: str) -> bool:
    """Return whether a repository's own place for a configuration holds its owner's policy instead."""
    return forge.hosting is not None and _is_policy(repository) and not _is_impossible(forge, repository)


def _is_impossible(forge: Forge, repository: str) -> bool:
    """Return whether no repository of the forge can have such a name: GitLab's begin with no dot."""
    return forge.name != "github" and repository.rpartition("/")[2].startswith(".")


def _read(forge: Forge, owner: str) -> Config | None:
    found = {}
    for name in OWNER_REPOSITORIES:
        repository = f"{owner}/{name}"
        if _is_impossible(forge, repository):
            continue
        try:
            _, commit = forge.head(repository, "")
        except (MissingError, MovedError):
            continue  # or it is another owner's by now, whose word does not count here
        files = forge.read(repository, commit, OWNER_PATHS)
        if files:
            found[repository] = files
    return load_owner(found) if found else None
