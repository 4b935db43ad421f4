"""What the tests of the GitHub forge have in common: a stand-in, a forge that talks to it, and changes to write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from github_standin import GitHub

from bot.forges.base import Change
from bot.forges.github import GitHubForge
from bot.model import Edit, Span

DIGEST = b"@sha256:" + b"0123456789abcdef" * 4
OLD = b"FROM node:18\nRUN make\n"
NEW = b"FROM node:18" + DIGEST + b"\nRUN make\n"
REPOSITORY = "acme/app"
BRANCH = "moorline/pins"
both = pytest.mark.parametrize("place", [False, True], ids=["github.com", "enterprise"], indirect=True)
"""Runs a test against a stand-in for github.com and one for Enterprise Server."""


def claims(path: str, head: bytes) -> bool:
    """Claim Dockerfiles, and files called `maybe` that begin as one."""
    name = path.rpartition("/")[2]
    return name == "Dockerfile" or (name == "maybe" and (not head or head.startswith(b"FROM")))


@dataclass(slots=True)
class Place:
    """A stand-in with the App installed for `acme`, and a forge."""

    github: GitHub
    paused: list[float] = field(default_factory=list)
    """Every pause that the forge made, in seconds; none is really made."""

    def forge(self, **wanted: Any) -> GitHubForge:
        return GitHubForge(
            **{
                "url": self.github.url,
                "app_id": str(self.github.app_id),
                "private_key": self.github.private_key,
                "prefetch": claims,
                "clock": self.github.world.clock.now,
                "pause": self.paused.append,
                **wanted,
            }
        )

    def change(self, *paths: str, expected: str | None = None, message: str = "Pin", **wanted: Any) -> Change:
        """Return a change that pins the first line of Dockerfiles."""
        head = self.github.head(REPOSITORY)
        assert head is not None
        return Change(
            **{
                "repository": REPOSITORY,
                "base": "main",
                "parent": head,
                "branch": BRANCH,
                "expected": expected,
                "message": message,
                "edits": tuple(pin(path) for path in paths or ("Dockerfile",)),
                **wanted,
            }
        )

    def published(self, forge: GitHubForge, change: Change | None = None) -> str:
        """Return the commit of a change that is written."""
        with forge.publishing(REPOSITORY):
            return forge.write(change or self.change())


def pin(path: str, start: int = 5) -> Edit:
    """Return the edit that pins `node:18`."""
    return Edit(path=path, span=Span(start, start + 7), expected=b"node:18", replacement=b"node:18" + DIGEST)


def only(wanted: str) -> Callable[[str, bytes], bool]:
    """Return what claims one path."""
    return lambda path, _head: path == wanted
