"""Texts: titles, bodies, commit messages, from templates and view objects.  Pure."""

from __future__ import annotations

from bot.model import Proposal
from bot.proposals.groups import GROUP, branch_name, groups
from bot.proposals.pins import pin, view

__all__ = ["GROUP", "Proposal", "branch_name", "groups", "pin", "view"]
