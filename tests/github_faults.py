"""What goes wrong between a client and the GitHub stand-in, as far as a test wants it to."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(slots=True, kw_only=True)
class Fault:
    """A trouble for the next requests of a method and path; both are shell patterns."""

    method: str = "*"
    path: str = "*"
    """Below the base, without the query: `/repos/*/pulls`, `/graphql`."""
    times: int | None = 1
    """How often it strikes; None for ever."""
    after: bool = False
    """Whether what was asked is done first."""
    status: int = 0
    """What is answered; 0 hangs up."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    waits: bool = False
    """Whether it only keeps the request waiting."""
    struck: int = 0
    arrived: threading.Event = field(default_factory=threading.Event)
    """Set when a request came to wait."""
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let what waits go on."""
        self.released.set()

    def strikes(self, method: str, path: str) -> bool:
        """Return whether this request is struck, and count it."""
        if self.times is not None and self.struck >= self.times:
            return False
        if not (fnmatchcase(method, self.method) and fnmatchcase(path, self.path)):
            return False
        self.struck += 1
        return True


class HangUp(ConnectionAbortedError):  # noqa: N818  # what the server does, no error of its own
    """The connection is to be cut without an answer."""
