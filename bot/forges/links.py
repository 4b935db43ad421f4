"""Where a symbolic link of a tree leads, and what tells the content of two places apart.

Nothing is opened here: a forge says what stands at a path, and what is written in a link.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass

from bot.model import Unread, UnreadReason

LINK, SUBMODULE = 0o120000, 0o160000
_MOST_LINKS = 40
"""Links on the way of one, as Linux has it."""
_LONGEST = 4096
"""Bytes of a link."""
OUT = "leads out of the tree"
NOWHERE = "leads to no regular file"
OTHERWISE = "leads to a file that has another kind of name"

At = Callable[[str], tuple[int, str] | None]
"""Returns the mode and the id of what stands at a path whose folders are no links; None for nothing."""
Text = Callable[[str, str], bytes | None]
"""Returns what is written in the link at a path, by its id, too; None where that cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Led:
    """Where a link leads."""

    target: str
    """The path of a regular file that is no link itself; empty where it leads to none."""
    why: str
    """Why it leads to none."""
    identity: str
    """What every link on the way and the file at its end are known by."""
    leads: tuple[str, ...]
    """The paths on the way, the last one included, the link's own left out; a glob for what is not there."""


def known_by(mode: int, oid: str) -> str:
    """Return what identifies a content by mode and git's id; whether a file may be run is no content."""
    if stat.S_ISREG(mode):
        return f"file {oid}"
    return {LINK: f"link {oid}", SUBMODULE: f"submodule {oid}"}.get(mode, f"{mode:o}")


def follow(path: str, at: At, text: Text) -> Led:
    """Return where the link at `path` leads within its tree, through other links and linked folders."""
    walk = _Walk(path, at, text)
    why = None
    while why is None and walk.left:
        why = walk.step()
    if why is None:
        why = "" if stat.S_ISREG(walk.mode) else NOWHERE
    return Led(
        target="" if why else "/".join(walk.here),
        why=why,
        identity=" > ".join(walk.known),
        leads=tuple(dict.fromkeys(one for one in walk.seen if one != path)),
    )


class _Walk:
    """A way through a tree, name by name."""

    def __init__(self, path: str, at: At, text: Text) -> None:
        self.left = path.split("/")[::-1]
        self.here: list[str] = []
        self.known: list[str] = []
        self.seen: list[str] = []
        self.mode = stat.S_IFDIR
        self._at = at
        self._text = text
        self._links = 0

    def step(self) -> str | None:
        """Go on by one name; return why that is not possible, else None."""
        part = self.left.pop()
        if part in ("", "."):
            return None
        if part == "..":
            if not self.here:
                return OUT
            self.here.pop()
            self.mode = stat.S_IFDIR
            return None
        self.here.append(part)
        place = "/".join(self.here)
        found = self._at(place)
        if found is None:
            # What comes to stand there, or below, is what it leads to.
            self.seen.append(f"{place}/**" if self.left else place)
            return NOWHERE
        self.mode, oid = found
        if self.mode == LINK:
            return self._linked(place, oid)
        if stat.S_ISDIR(self.mode):
            return None
        if self.left:
            return NOWHERE
        self._note(place, oid)
        return None

    def _linked(self, place: str, oid: str) -> str | None:
        self._note(place, oid)
        self._links += 1
        written = self._text(place, oid)
        if written is None or len(written) > _LONGEST or written.startswith(b"/"):
            return OUT
        if self._links > _MOST_LINKS:
            return NOWHERE
        self.here.pop()
        self.left += written.decode("utf-8", "surrogateescape").split("/")[::-1]
        return None

    def _note(self, place: str, oid: str) -> None:
        self.seen.append(place)
        self.known.append(f"{place} {known_by(self.mode, oid)}")


def unread_link(path: str, led: Led, claims: Callable[[str, bytes], bool]) -> Unread | None:
    """Return why what a link leads to is not read; None where it is found where it really is."""
    if led.target and claims(led.target, b""):
        return None
    return Unread(
        path=path,
        reason=UnreadReason.SYMLINK,
        detail=led.why or OTHERWISE,
        identity=led.identity,
        leads=led.leads,
    )
