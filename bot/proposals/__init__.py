"""Texts: titles, bodies, commit messages, from templates and view objects.  Pure."""

from __future__ import annotations

from bot.model import Proposal
from bot.proposals.groups import GROUP, branch_name, groups
from bot.proposals.pins import pin, view
from bot.proposals.review import Pin, Standing, review, sure

__all__ = [
    "GROUP",
    "Pin",
    "Proposal",
    "Standing",
    "branch_name",
    "groups",
    "pin",
    "review",
    "sure",
    "view",
]
