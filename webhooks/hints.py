"""The few values of a payload that are looked at, each checked and bounded.  Pure.

Names, refs, commits, numbers and paths are taken; addresses never are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bot.model import Job, Trigger
from bot.reference import is_git_ref
from webhooks.events import EventError

SWEEP = "sweep"
"""The ref of a job for no repository: everything that we may see on the forge is wanted."""
MOST_JOBS = 100
"""Repositories or branches that one delivery makes jobs for; what names more makes one for all."""

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_COMMENT = re.compile(r"comment/[a-z]+/[0-9]+")
_MOST_PATHS = 1000
_LONGEST_PATH = 4096
_LARGEST_PATHS = 64 * 1024
_LARGEST_NUMBER = 2**31
_LARGEST_ID = 2**63


def at(value: Any, *keys: str) -> Any:
    """Return what stands below the keys, or None where something on the way is no object."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def action(event: Mapping[str, Any], known: Mapping[str, Any] | frozenset[str]) -> str | None:
    """Return the event's action where it is a known one, else None."""
    said = event.get("action")
    return said if isinstance(said, str) and said in known else None


def text(value: Any, what: str, form: re.Pattern[str]) -> str:
    """Return a text that matches `form` from end to end; raises `EventError`."""
    if not isinstance(value, str) or not form.fullmatch(value):
        raise EventError(f"{what} is missing or not of its form.")
    return value


def path_of(value: Any, what: str, name: re.Pattern[str], *, parts: tuple[int, int], longest: int) -> str:
    """Return a repository's full name, each part of it matching `name`; raises `EventError`."""
    if isinstance(value, str) and len(value) <= longest:
        names = value.split("/")
        fits = parts[0] <= len(names) <= parts[1]
        if fits and all(name.fullmatch(one) and one not in (".", "..") for one in names):
            return value
    raise EventError(f"{what} is missing or no full name of a repository.")


def branch(value: Any, what: str) -> str:
    """Return a branch's short name; raises `EventError`."""
    name = value.removeprefix("refs/heads/") if isinstance(value, str) else ""
    if not name.isprintable() or not is_git_ref(name) or name.startswith("refs/"):
        raise EventError(f"{what} names no branch.")
    if _COMMENT.fullmatch(name):
        raise EventError(f"{what} names a branch like a comment: rename it.")
    return name


def commit(value: Any, what: str) -> str:
    """Return a full commit id, or the empty text for one of zeros; raises `EventError`."""
    said = text(value, what, _COMMIT)
    return said if said.strip("0") else ""


def hinted_commit(value: Any) -> str:
    """Return a full commit id, or the empty text where there is none."""
    fits = isinstance(value, str) and _COMMIT.fullmatch(value) and value.strip("0")
    return value if fits else ""


def number(value: Any, what: str) -> int:
    """Return the number of a request; raises `EventError`."""
    if type(value) is not int or not 0 < value < _LARGEST_NUMBER:
        raise EventError(f"{what} is no number.")
    return value


def identity(value: Any, what: str) -> int:
    """Return the id of something on the forge; raises `EventError`."""
    if type(value) is not int or not 0 < value < _LARGEST_ID:
        raise EventError(f"{what} is no id.")
    return value


def identified(jobs: tuple[Job, ...], told: Any, name: str) -> tuple[Job, ...]:
    """Return jobs with what an event tells of the repository that they are about: its id, its default branch."""
    if not isinstance(told, dict):
        return jobs
    number, default = told.get("id"), told.get("default_branch")
    id_ = str(number) if type(number) is int and 0 < number < _LARGEST_ID else ""
    known = default if isinstance(default, str) and is_git_ref(default) else ""
    return tuple(
        replace(
            job,
            identity=id_ or job.identity,
            default_branch=known if job.trigger is Trigger.PUSH else job.default_branch,
        )
        if job.repository == told.get(name)
        else job
        for job in jobs
    )


def speaks_to_us(comment: Any, accounts: Iterable[str], *, slash: bool) -> bool:
    """Return whether a comment may hold a command: it names us, or a line begins with `/` and a name of ours.

    Also where nobody knows who we are, or the text is not told: a command is read again by its id, and this
    only spares the asking for all other comments.  Takes time linear in the text.
    """
    names = {re.escape(one.removesuffix("[bot]").casefold()) for one in accounts if one}
    if not isinstance(comment, str) or not names:
        return True
    text = comment.casefold()
    if re.search(f"@(?:{'|'.join(sorted(names))})", text):
        return True
    orders = "|".join(sorted({"moorline", *names}))
    return slash and re.search(rf"(?:\A|[\r\n]) {{0,3}}/(?:{orders})", text) is not None


def changed_paths(commits: Any, *, most_files: int) -> tuple[str, ...] | None:
    """Return every path that the commits of a push say they touched, or None where that may not be all.

    A commit without any path is taken for a merge whose paths were not told.
    """
    if not isinstance(commits, list):
        return None
    paths: dict[str, None] = {}
    files = size = 0
    for one in commits:
        told = [at(one, key) for key in ("added", "modified", "removed")]
        if not all(isinstance(some, list) for some in told) or not any(told):
            return None
        for path in (path for some in told for path in some):
            files += 1
            if not isinstance(path, str) or not 0 < len(path) <= _LONGEST_PATH or not path.isprintable():
                return None
            size += 0 if path in paths else len(path)
            paths[path] = None
            if files >= most_files or len(paths) > _MOST_PATHS or size > _LARGEST_PATHS:
                return None
    return tuple(paths) if paths else None


def installed(forge: str, names: Iterable[str]) -> tuple[Job, ...]:
    """Return a job for each repository to be looked up again, or one for all where they are too many."""
    each = tuple(dict.fromkeys(names))
    if len(each) > MOST_JOBS:
        return sweep(forge)
    return tuple(Job(forge=forge, repository=name, ref="", trigger=Trigger.INSTALLED) for name in each)


def sweep(forge: str) -> tuple[Job, ...]:
    """Return the job that has everything on the forge looked up again."""
    return (Job(forge=forge, repository="", ref=SWEEP, trigger=Trigger.CATCH_UP),)
