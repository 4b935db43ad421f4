"""Rules of rulesets that stand in the way of a branch of ours, as sentences for a person.

Only what GitHub says of itself is judged: a rule that cannot be told here, such as a pattern in another
language than ours, is left to GitHub, whose refusal is reported as it comes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from bot.errors import ForgeError, MissingError
from bot.forges.github_client import Client, RefusedError, repository_path
from bot.forges.github_transport import clean

_KEPT = 3600.0
"""Seconds for which rules are taken to be what they were: GitHub refuses by the present ones anyway."""
_MOST_KEPT = 2_000
_MOST_RULES = 200
_MOST_SETS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    type: str
    parameters: Mapping[str, Any]
    ruleset: int
    """0 where it does not say."""


class Rules:
    """Rules in force by repository and branch, remembered for a while."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], tuple[float, tuple[Rule, ...]]] = OrderedDict()

    def of(self, client: Client, repository: str, branch: str) -> tuple[Rule, ...]:
        """Return the rules for a branch, whether it exists or not; a plan without rulesets has none."""
        known = self.known(repository, branch)
        if known is not None:
            return known
        try:
            path = repository_path(repository, "rules", "branches", branch)
            said = list(_first(client.pages(path, most=2)))
        except MissingError:
            said = []
        except RefusedError as error:
            if error.status != 403:
                raise
            said = []  # a plan without rules says so
        made = tuple(rule for one in said if (rule := _rule(one)) is not None)
        with self._lock:
            self._known[repository.lower(), branch] = self._clock() + _KEPT, made
            if len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)
        return made

    def known(self, repository: str, branch: str) -> tuple[Rule, ...] | None:
        """Return the rules that are remembered."""
        with self._lock:
            until, made = self._known.get((repository.lower(), branch), (0.0, ()))
        return made if self._clock() < until else None

    def forget(self, repository: str, branch: str) -> None:
        """Ask for the rules again."""
        with self._lock:
            self._known.pop((repository.lower(), branch), None)


def obstacles(
    rules: Iterable[Rule], branch: str, *, exists: bool, client: Client, repository: str
) -> tuple[str, ...]:
    """Return what keeps a branch of ours from being created, or moved where it exists, one sentence each."""
    found = [(rule, text) for rule in rules if (text := _branch_obstacle(rule, branch, exists))]
    if not found:
        return ()
    passed = _passed(client, repository, sorted({rule.ruleset for rule, _ in found if rule.ruleset}))
    return tuple(dict.fromkeys(text for rule, text in found if rule.ruleset not in passed))


def refusals(rules: Iterable[Rule], message: str, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return what the rules have against a commit's message and files, one sentence each."""
    found: dict[str, None] = {}
    for rule in rules:
        found.update(dict.fromkeys(_commit_refusals(rule, message, files)))
    return tuple(found)


def _branch_obstacle(rule: Rule, branch: str, exists: bool) -> str:
    match rule.type:
        case "creation" if not exists:
            return "a rule lets nobody create branches of this name"
        case "update" if exists:
            return "a rule lets nobody move branches of this name"
        case "non_fast_forward" if exists:
            return "a rule forbids forced pushes to this branch, by which a proposal is updated"
        case "pull_request" if exists:
            return "a rule lets this branch be changed by pull requests only"
        case "merge_queue" if exists:
            return "a rule lets this branch be changed by its merge queue only"
        case "required_status_checks" | "required_deployments" | "workflows" if exists or (
            rule.type == "required_status_checks" and rule.parameters.get("do_not_enforce_on_create") is False
        ):
            return "a rule demands checks on this branch before anything is pushed to it"
        case "branch_name_pattern" if _violates(rule, branch):
            return f"a rule demands that branches' names {_wanted(rule)}"
    return ""


def _commit_refusals(rule: Rule, message: str, files: Mapping[str, bytes]) -> Iterable[str]:
    if rule.type == "commit_message_pattern" and _violates(rule, message):
        yield f"a rule demands that commit messages {_wanted(rule)}"
    for path, data in files.items():
        text = _file_refusal(rule, path, len(data))
        if text:
            yield text


def _file_refusal(rule: Rule, path: str, size: int) -> str:
    limit = rule.parameters
    match rule.type:
        case "file_path_restriction":
            restricted = _strings(limit.get("restricted_file_paths"))
            if any(one == path or _is_below(path, one) for one in restricted):
                return f"a rule lets nobody change {clean(path)}"
        case "file_extension_restriction":
            endings = {one.lstrip("*.").lower() for one in _strings(limit.get("restricted_file_extensions"))}
            if PurePosixPath(path).suffix.lstrip(".").lower() in endings - {""}:
                return f"a rule lets nobody push files such as {clean(path)}"
        case "max_file_path_length":
            most = limit.get("max_file_path_length")
            if isinstance(most, int) and len(path) > most:
                return f"a rule allows no path longer than {most} characters"
        case "max_file_size":
            most = limit.get("max_file_size")
            if isinstance(most, int) and size > most * 1024 * 1024:
                return f"a rule allows no file larger than {most} MB"
    return ""


def _strings(found: object) -> list[str]:
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _is_below(path: str, restricted: str) -> bool:
    """Tell whether a restricted path that names a whole folder covers a path; other globs are GitHub's."""
    folder = restricted.removesuffix("/**/*").removesuffix("/**").removesuffix("/")
    return folder != restricted and "*" not in folder and path.startswith(f"{folder}/")


def _violates(rule: Rule, text: str) -> bool:
    pattern, operator = rule.parameters.get("pattern"), rule.parameters.get("operator")
    if not isinstance(pattern, str):
        return False
    match operator:
        case "starts_with":
            holds = text.startswith(pattern)
        case "ends_with":
            holds = text.rstrip("\n").endswith(pattern)
        case "contains":
            holds = pattern in text
        case _:  # a regular expression of another dialect, which could take for ever
            return False
    return holds is (rule.parameters.get("negate") is True)


def _wanted(rule: Rule) -> str:
    does = {"starts_with": "start with", "ends_with": "end with", "contains": "contain"}
    verb = does.get(str(rule.parameters.get("operator")), "match")
    no = "do not " if rule.parameters.get("negate") is True else ""
    return f"{no}{verb} {clean(str(rule.parameters.get('pattern')))!a}"


def _passed(client: Client, repository: str, rulesets: Sequence[int]) -> set[int]:
    """Return the rulesets whose rules the App may pass."""
    found = set()
    for one in rulesets[:_MOST_SETS]:
        try:
            said = client.get(repository_path(repository, "rulesets", str(one))).json()
        except ForgeError:
            continue  # who may not know is not let through
        if isinstance(said, dict) and said.get("current_user_can_bypass") in ("always", "exempt"):
            found.add(one)
    return found


def _rule(said: object) -> Rule | None:
    if not isinstance(said, dict) or not isinstance(said.get("type"), str):
        return None
    parameters, ruleset = said.get("parameters"), said.get("ruleset_id")
    return Rule(
        type=said["type"],
        parameters=parameters if isinstance(parameters, dict) else {},
        ruleset=ruleset if isinstance(ruleset, int) else 0,
    )


def _first(items: Iterable[Any]) -> Iterable[Any]:
    for number, one in enumerate(items):
        if number >= _MOST_RULES:
            return
        yield one
