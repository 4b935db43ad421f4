"""Faults of the GitLab stand-in: what goes wrong, where, and how often."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from gitlab_http import Headers, Reply


class Cut(Exception):  # noqa: N818  # no error of ours
    """The connection ends without an answer."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """What goes wrong with requests of a method and path (a glob over the decoded path), so many times."""

    method: str
    path: str
    times: int
    reply: Reply | None = None
    """The answer in place of the real one; None to cut the connection, or to be slow only."""
    cut: bool = False
    done: bool = False
    """Whether what was asked happens all the same."""
    gate: threading.Event | None = None
    """Waited for before anything else."""
    reached: threading.Event = field(default_factory=threading.Event)
    """Set once a request has met the fault."""

    def meets(self, method: str, path: str) -> bool:
        """Return whether a request is hit."""
        return self.times > 0 and self.method in ("*", method) and fnmatchcase(path, self.path)


def limits(observed: int, limit: int, now: datetime) -> Headers:
    """Return the headers that every answer of GitLab.com has."""
    reset = int(now.timestamp()) // 60 * 60 + 60
    return (
        ("RateLimit-Limit", str(limit)),
        ("RateLimit-Name", "throttle_authenticated_api"),
        ("RateLimit-Observed", str(observed)),
        ("RateLimit-Remaining", str(max(0, limit - observed))),
        ("RateLimit-Reset", str(reset)),
    )


def too_many(retry_after: int, limit: int, now: datetime) -> Reply:
    """Return a 429 as GitLab writes it: plain text."""
    reset = int(now.timestamp()) + retry_after
    when = datetime.fromtimestamp(reset, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return Reply(
        status=429,
        body=b"Retry later\n",
        headers=(
            ("Content-Type", "text/plain"),
            ("Retry-After", str(retry_after)),
            ("RateLimit-Limit", str(limit)),
            ("RateLimit-Name", "throttle_authenticated_api"),
            ("RateLimit-Observed", str(limit + 1)),
            ("RateLimit-Remaining", "0"),
            ("RateLimit-Reset", str(reset)),
            ("RateLimit-ResetTime", when),
        ),
    )


BAD_GATEWAY = Reply(
    status=502,
    body=b"<html><body><h1>502 Bad Gateway</h1>GitLab is not responding.</body></html>",
    headers=(("Content-Type", "text/html"),),
)
