"""Which repositories the plain git hook may speak of, and where they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from bot.forges.places import folder, one_name


class Served:
    """The operator's repositories: those named one by one, and every one below some folders."""

    def __init__(self, repositories: Mapping[str, str], roots: Iterable[str] = ()) -> None:
        """`repositories` are addresses by name, `roots` absolute folders of bare repositories."""
        named = {name: one_name(address) for name, address in repositories.items()}
        asked = {address: one_name(address) for address in repositories.values()}
        self._addresses = {**{address: address for address in named.values()}, **asked, **named}
        self._roots = tuple(Path(root).resolve() for root in roots)

    def address(self, name: str) -> str | None:
        """Return the one path or URL of the repository that a hook calls `name`, or None.

        A path is answered only where it is a folder that really lies below a root, symbolic
        links followed.
        """
        if name in self._addresses:
            return self._addresses[name]
        if "\0" in name:
            return None
        for root in self._roots:
            try:
                path = folder(root / name)
                found = path != root and path.is_relative_to(root) and path.is_dir()
            except (OSError, RuntimeError, ValueError):
                continue  # a loop of links, or a name that no file system has
            if found:
                return str(path)
        return None
