"""GitLab's answers, taken apart: nothing in them is believed to have the shape that it should."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from bot.errors import ForgeError
from bot.reference import is_commit

Node = Mapping[str, object]
"""An object of an answer."""


def node(value: object) -> Node:
    """Return an object; raises `ForgeError` for anything else."""
    if not isinstance(value, dict):
        raise ForgeError(
            "GitLab's answer is not what its API gives.", advice="Look whether MOORLINE_GITLAB_URL is right."
        )
    return value


def nodes(value: object) -> Iterator[Node]:
    """Yield the objects of a list; what is none is left out."""
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            yield one


def below(start: object, *keys: str) -> object:
    """Return what is below the keys, one after the other; None where one of them is missing."""
    for key in keys:
        start = start.get(key) if isinstance(start, dict) else None
    return start


def text(start: object, *keys: str) -> str:
    """Return the text below the keys, empty where there is none."""
    found = below(start, *keys)
    return found if isinstance(found, str) else ""


def number(start: object, *keys: str) -> int:
    """Return the whole number below the keys, 0 where there is none."""
    found = below(start, *keys)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def size(start: object, *keys: str) -> int:
    """Return the size below the keys; GraphQL writes it as text.  0 where there is none."""
    written = text(start, *keys)
    plain = written.isascii() and written.isdigit() and len(written) < 19
    return int(written) if plain else number(start, *keys)


def flag(start: object, *keys: str) -> bool:
    """Return whether there is a true value below the keys."""
    return below(start, *keys) is True


def commit(start: object, *keys: str) -> str | None:
    """Return the object id below the keys, 40 or 64 hex digits, or None."""
    found = text(start, *keys)
    return found if is_commit(found) else None


def moment(written: str) -> datetime | None:
    """Return a time as GitLab writes it, UTC where it names no zone; None where it is none."""
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
