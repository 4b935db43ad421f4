"""Forges: where repositories live.  They expose objects and writes, never workflow.

The publish guard stands in this layer, before every write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

from bot.forges.base import Forge

FORGES: Mapping[str, str] = {
    "git": "bot.forges.git:GitForge",
    "github": "bot.forges.github:GitHubForge",
    "gitlab": "bot.forges.gitlab:GitLabForge",
}
"""Where each forge's class is, by the name that jobs carry; imported where used, since they are heavy."""


def forge_class(name: str) -> Callable[..., Forge]:
    """Return the class of a forge by its name; raises `KeyError` for an unknown one."""
    module, _, attribute = FORGES[name].partition(":")
    return cast("Callable[..., Forge]", getattr(import_module(module), attribute))
