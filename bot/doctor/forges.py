"""Forges as they see us: each examines itself."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from bot.doctor.findings import Finding, Findings, Part, Pen
from bot.errors import MoorlineError, TransientError

if TYPE_CHECKING:
    from bot.forges.base import Forge

_MOST = 50
"""Repositories of the git forge that are looked at one by one."""


def hosted(name: str, forge: Forge) -> Findings:
    """Yield what a forge with requests says of itself."""
    pen = Pen(Part(name))
    hosting = forge.hosting
    if hosting is None:
        return
    try:
        for symptom in hosting.examine():
            yield pen.of(symptom)
    except MoorlineError as error:
        yield pen.unknown("examination", error.problem, error.advice)


def served(forge: Forge, repositories: tuple[str, ...]) -> Findings:
    """Yield whether each repository of a plain git server can be read."""
    pen = Pen(Part.GIT)
    for address in islice(repositories, _MOST):
        yield _reached(pen, forge, address)
    if len(repositories) > _MOST:
        yield pen.note("repositories", f"Only the first {_MOST} were looked at.")


def _reached(pen: Pen, forge: Forge, address: str) -> Finding:
    try:
        branch, _commit = forge.head(address, "")
    except TransientError as error:
        return pen.unknown(address, error.problem, error.advice)
    except MoorlineError as error:
        return pen.trouble(address, error.problem, error.advice)
    return pen.ok(address, f"It can be read; its default branch is {branch}.")
