"""Rules of a project that forbid our branch, told before they are met: protected branches and push rules.

Both lists are for Maintainers (push rules for Premium, too).  Where we may not see them they are not asked
for, and GitLab's own refusal of a write is shown instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bot.errors import MissingError
from bot.forges.gitlab_answers import Node, flag, nodes, number, text
from bot.forges.gitlab_api import Api, RefusedError
from bot.forges.gitlab_kept import Kept
from bot.forges.gitlab_projects import Project
from bot.visible import visible

MAINTAINER = 40
"""Who may see rules and hooks."""
_FRESH = 600.0
_PLAIN_RULE = re.compile(r"[\w /.^$|()\[\]\\+*?#:-]{1,300}", re.ASCII)
_QUANTIFIER = re.compile(r"(?<!\\)[*+?{]")
_REPEATED_GROUP = re.compile(r"(?<!\\)\)[*+?{]")


class Rules:
    """Rules by project, remembered for some minutes; what may not be seen is remembered as none."""

    def __init__(self, api: Api, clock: Callable[[], float]) -> None:
        self._api = api
        self._kept: Kept[int, tuple[tuple[Node, ...], str]] = Kept(2_000, seconds=_FRESH, clock=clock)

    def obstacles(
        self, project: Project, account: int, branch: str, *, there: Node | None
    ) -> tuple[str, ...]:
        """Return why a branch may not be made, or not be moved where it is `there`, one sentence each."""
        if there is not None and not flag(there, "protected"):
            return ()
        if project.access and project.access < MAINTAINER and there is None:
            return ()
        protections, rule = self._asked(project.id)
        shown = visible(branch, 100)
        found: list[str] = []
        # GitLab lets who any one of the matching rules lets; force needs all of them.
        matching = [one for one in protections if _matches(text(one, "name"), branch)]
        if there is not None and there.get("can_push") is False:
            found.append(f"The branch {shown} is protected, and our account may not push to it.")
        elif there is None and matching and not any(_lets(one, project, account) for one in matching):
            name = visible(text(matching[0], "name"), 100)
            found.append(f"The protected branches `{name}` keep our account from making {shown}.")
        elif matching and not all(flag(one, "allow_force_push") for one in matching):
            name = visible(text(matching[0], "name"), 100)
            found.append(
                f"The protected branches `{name}` allow no force push: {shown} could not be updated."
            )
        if there is None and rule and _forbids(rule, branch):
            found.append(f"The push rule `{visible(rule, 200)}` does not allow a branch named {shown}.")
        return tuple(found)

    def _asked(self, project: int) -> tuple[tuple[Node, ...], str]:
        kept = self._kept.get(project)
        if kept is None:
            try:
                rows = tuple(self._api.pages(f"/projects/{project}/protected_branches", {}, most=5))
            except (MissingError, RefusedError):
                rows = ()
            try:
                rule = text(self._api.get(f"/projects/{project}/push_rule"), "branch_name_regex")
            except (MissingError, RefusedError):
                rule = ""
            kept = rows, rule
            self._kept.put(project, kept)
        return kept


def _matches(pattern: str, branch: str) -> bool:
    """Return whether a protected branch's name, in which `*` stands for anything, is this branch's."""
    first, *others = pattern.split("*")
    if not others:
        return pattern == branch
    if not branch.startswith(first) or len(branch) < len(first) + len(others[-1]):
        return False
    if not branch.endswith(others[-1]):
        return False
    rest = branch[len(first) : len(branch) - len(others[-1])]
    for piece in others[:-1]:
        at = rest.find(piece)
        if at < 0:
            return False
        rest = rest[at + len(piece) :]
    return True


def _lets(protection: Node, project: Project, account: int) -> bool:
    levels = list(nodes(protection.get("push_access_levels")))
    if not levels:
        return True
    for level in levels:
        if number(level, "user_id"):
            if number(level, "user_id") == account:
                return True
        elif number(level, "group_id"):
            return True  # whether we are in that group is not told here
        elif number(level, "access_level") > 0 and (
            not project.access or project.access >= number(level, "access_level")
        ):
            return True
    return False


def _forbids(rule: str, branch: str) -> bool:
    """Return whether a rule surely does not match; one that could take long to try is not tried.

    GitLab's expressions are RE2's, which take linear time; Python's do not where repetitions nest.
    """
    if (
        not _PLAIN_RULE.fullmatch(rule)
        or len(_QUANTIFIER.findall(rule)) > 2
        or _REPEATED_GROUP.search(rule)
        or len(branch) > 255
    ):
        return False
    try:
        return re.search(rule, branch) is None
    except (re.error, RecursionError):
        return False
