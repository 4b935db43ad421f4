"""Texts: titles, bodies, commit messages, from templates and view objects.  Pure."""

from __future__ import annotations

from bot.model import Proposal
from bot.proposals.pins import GROUP, branch_name, pin, view

__all__ = ["GROUP", "Proposal", "branch_name", "pin", "view"]
