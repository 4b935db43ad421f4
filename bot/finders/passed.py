"""What a Dockerfile makes of a build argument that compose or bake passes to it."""

from __future__ import annotations

import re
from functools import lru_cache

from bot import dockerfile
from bot.model import SkipReason

MAX_SIZE = 64 * 1024
"""Bytes of a Dockerfile that is read for the sake of others; a larger one tells nothing."""

FRONTEND = "BUILDKIT_SYNTAX"
"""The build argument that names the image which reads a Dockerfile, whatever its `# syntax=` says."""


def takes_image(data: bytes, name: str) -> bool:
    """Return whether a Dockerfile takes an argument for images alone, and whole."""
    if not name.isidentifier():
        return False
    uses = _uses(data)
    defaults = [use for use in uses if use.argument == name]
    if defaults:
        return all(use.skip in (None, SkipReason.PINNED) for use in defaults)
    exact = sum(use.value in (f"${name}", f"${{{name}}}") for use in uses)
    mentions = re.findall(rb"\$\{?" + name.encode() + rb"\b", data)
    return 0 < exact == len(mentions)


@lru_cache(maxsize=64)
def _uses(data: bytes) -> tuple[dockerfile.Use, ...]:
    """Return what a Dockerfile refers to with nothing passed to it; nothing of a large one."""
    return dockerfile.scan(data).uses if len(data) <= MAX_SIZE else ()
