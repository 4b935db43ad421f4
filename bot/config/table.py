"""The one table of what may stand in a configuration: it reads the file, and is the JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from bot import cron, globs
from bot.config.nouns import Floating, Grouping, Mode, Own, Unreachable, Updates
from bot.config_schema import (
    Choice,
    Day,
    Field,
    Flag,
    ListOf,
    Record,
    Schema,
    Shape,
    Whole,
    WordOrRecord,
    Words,
)
from bot.presets import DEMANDS, PRESETS, ROWS
from bot.reference import is_commit, is_digest, is_git_ref

FORMATS = ("dockerfile", "compose", "gitlab-ci", "github-actions", "bake")
"""Names of the finders, as `finders.FINDERS` has them."""


def _glob(expected: str) -> Words:
    return Words(expected=expected, limit=globs.MAX_GLOB, wrong=globs.wrong)


def _wrong_registry(text: str) -> str | None:
    host = text.split("/", maxsplit=1)[0]
    if any(mark in host for mark in ".:*") or host == "localhost":
        return globs.wrong(text)
    return "does not start with a registry's host"


_RESERVED = ("refs", "heads", "tags", "remotes", "gh-readonly-queue")
"""What git takes for a kind of refs, and what GitHub keeps for its merge queues."""
_BRANCHES = rf"^(?!(?:{'|'.join(_RESERVED)})/)[^/.-].*[/-]$"


def _wrong_branch(text: str) -> str | None:
    first = text.partition("/")[0]
    if first.casefold() in _RESERVED and "/" in text:
        # `refs/heads/` names the branch to one forge, and begins another branch's name on the next.
        return f"begins with `{first}/`, which is no part of a branch's name; leave it out"
    if text.endswith(("/", "-")) and text[0] not in "/-." and is_git_ref(f"{text}pin"):
        return None
    return "is no beginning of a branch's name that ends in `/` or `-`"


def _wrong_ref(text: str) -> str | None:
    if text.startswith("refs/"):
        return "is no branch's name; leave `refs/heads/` out"
    return globs.wrong(text)


def _wrong_person(text: str) -> str | None:
    return None if re.fullmatch(_PERSON, text) else "is no name with an address"


def _wrong_digest(text: str) -> str | None:
    return None if is_digest(text) or is_commit(text) else "is no digest"


_PERSON = r"[^<>@\n]{1,100} <[^<>@\s]{1,100}@[^<>@\s]{1,100}>"
_PATHS = ListOf(_glob("a path with `*` and `**`, such as `deploy/**`"))
_REGISTRY = Words(
    expected="a registry, with or without path: `ghcr.io/acme/**`",
    limit=globs.MAX_GLOB,
    wrong=_wrong_registry,
)
_BECAUSE = Words(expected="the reason, for whoever reads this next", limit=500)
_NAME = r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}"
_FAIL = Choice(tuple(Floating))
_PERSON_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
_ISSUE = r"[A-Z][A-Z0-9_]{0,19}-[0-9]{1,10}"
_LABELS, _REVIEWERS, _ASSIGNEES, _REFS = 20, 15, 10, 20
"""How many there may be: GitHub takes no more reviewers and assignees, and each ref is a sweep."""
_ABOVE = "belongs in the server's or the owner's policy, not in a repository"


def _check_shape(name: str) -> Shape:
    row = ROWS[name]
    demand = Choice(DEMANDS)
    fields = {"demand": Field(demand, "How the policy takes the check.")}
    for option in row.numbers:
        fields[option] = Field(Whole(0, 365), "Days.")
    for option in row.lists:
        fields[option] = Field(ListOf(_glob("a name such as `acme/mango`")), "Names that always pass.")
    return WordOrRecord(demand, "demand", Record(fields=fields))


def _fitting_allow(made: Mapping[str, Any]) -> tuple[str, str, str] | None:
    check = made["check"]
    if "digest" in made or ROWS[check].by_name:
        return None
    return "check", f"an exception from {check!r} is bound to one digest", "`digest` beside it"


def _fitting_ignore(made: Mapping[str, Any]) -> tuple[str, str, str] | None:
    if "registry" in made and "image" in made:
        return "registry", "an image's glob names its registry, too", "`image` or `registry`"
    return None


def _wrong_label(text: str) -> str | None:
    if "," in text:
        return "holds a comma, which GitLab takes for two labels"
    return None if text == text.strip() else "begins or ends with a blank"


def _like(pattern: str, expected: str, problem: str, limit: int) -> Words:
    return Words(
        expected=expected,
        limit=limit,
        wrong=lambda text: None if re.fullmatch(pattern, text) else problem,
        pattern=f"^(?:{pattern})$",
    )


def _schedule() -> Words:
    return Words(
        expected="daily, weekly, monthly or a cron expression of five fields such as `0 4 * * 1`",
        limit=cron.MAX_TEXT,
        wrong=cron.wrong,
    )


_CHECKS = Record(fields={name: Field(_check_shape(name), row.summary) for name, row in ROWS.items()})
_REGISTRIES = Record(
    fields={"allow": Field(ListOf(_REGISTRY), "Registries and repositories that images may come from.")}
)
_SELECTORS = ("image", "registry", "action", "include")
_IGNORE = Record(
    fields={
        "image": Field(_glob("an image such as `acme/*`"), "Glob of the images that may float."),
        "registry": Field(_REGISTRY, "Registry, or a place in one, whose images may float."),
        "action": Field(_glob("an action such as `acme/*`"), "Glob of the actions that may float."),
        "include": Field(_glob("a project such as `acme/ci`"), "Glob of the includes that may float."),
        "paths": Field(_PATHS, "Only in these files."),
        "until": Field(Day(), "The last day on which it counts."),
        "because": Field(_BECAUSE, "Why; shown in reports."),
    },
    required=("because",),
    one_of=(*_SELECTORS, "paths"),
    check=_fitting_ignore,
)
_ALLOW = Record(
    fields={
        "reference": Field(_glob("an image or action such as `acme/tool:1.2`"), "Glob of the reference."),
        "check": Field(
            Choice(tuple(name for name, row in ROWS.items() if row.excepted)),
            "The check it is excepted from.",
        ),
        "digest": Field(
            Words(
                expected="`sha256:` and 64 hex digits, or a commit's 40",
                limit=135,
                wrong=_wrong_digest,
                pattern="^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}|[0-9a-f]{40}|[0-9a-f]{64})$",
            ),
            "The digest or commit that the exception is bound to.",
        ),
        "until": Field(Day(), "The last day on which it counts."),
        "because": Field(_BECAUSE, "Why; shown with every warning."),
    },
    required=("reference", "check", "because"),
    check=_fitting_allow,
)
_ENVIRONMENT = Record(
    fields={
        "name": Field(
            Words(
                expected="letters, digits, blanks, `.`, `_` and `-`",
                limit=64,
                wrong=lambda text: None if re.fullmatch(_NAME, text) else "is no such name",
                pattern="^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$",
            ),
            "For people.",
        ),
        "paths": Field(_PATHS, "The files that belong to it."),
        "registries": Field(_REGISTRIES, "Where its images may come from, in place of the general list."),
        "checks": Field(_CHECKS, "What is asked of its references, in place of the general settings."),
    },
    required=("name", "paths"),
)
_PROPOSAL = Record(
    fields={
        "branch-prefix": Field(
            Words(expected="such as `moorline/`", limit=60, wrong=_wrong_branch, pattern=_BRANCHES),
            "How the bot's branches begin.",
        ),
        "title-prefix": Field(Words(limit=60), "What titles begin with."),
        "commit-prefix": Field(Words(limit=60), "What commit messages begin with."),
        "sign-off": Field(
            Words(expected="`Name <address>`", limit=200, wrong=_wrong_person),
            "Whom the Signed-off-by trailer names.",
        ),
        "issue": Field(
            _like(_ISSUE, "an issue's key such as `OPS-12`", "is no such key", 31),
            "The issue that titles and commit messages name.",
        ),
        "group": Field(Choice(tuple(Grouping)), "What goes into one proposal."),
        "labels": Field(
            ListOf(
                Words(expected="a label of at most 50 characters", limit=50, wrong=_wrong_label), most=_LABELS
            ),
            "Labels of a proposal.",
        ),
        "reviewers": Field(
            ListOf(
                _like(
                    rf"(?:team:)?{_PERSON_NAME}",
                    "a name as the forge has it, without `@`, or `team:` and a team's",
                    "is no such name",
                    105,
                ),
                most=_REVIEWERS,
            ),
            "Who is asked to review.",
        ),
        "assignees": Field(
            ListOf(
                _like(_PERSON_NAME, "a name as the forge has it, without `@`", "is no such name", 100),
                most=_ASSIGNEES,
            ),
            "Whom a proposal is assigned to.",
        ),
        "draft": Field(Flag(), "Whether proposals are opened as drafts."),
        "squash": Field(Flag(), "GitLab: whether commits are squashed when merging."),
        "remove-source-branch": Field(Flag(), "GitLab: whether merging removes the proposal's branch."),
    }
)
_SCHEDULE = Record(
    fields={
        "first": Field(_schedule(), "When sweeps may propose first pins, in UTC."),
        "refresh": Field(_schedule(), "When sweeps may refresh what is pinned, in UTC."),
    }
)
_SERVER_ALONE = "is set on the server, never in a repository"
_DELEGABLE = (
    *("preset", "mode", "own", "formats", "paths", "allow", "registries", "environments", "guard", "checks"),
    *("refs", "updates", "schedule", "limits"),
    *(f"checks.{name}" for name in ROWS),
)


def _limits(*, policy: bool) -> Record:
    above = ("first-per-day", "per-day")
    return Record(
        fields={
            "open": Field(Whole(1, 1000), "Proposals open in one repository at once."),
            "first-per-day": Field(
                Whole(1, 10_000), "Repositories of an owner that get their first in a day."
            ),
            "per-day": Field(Whole(1, 100_000), "Proposals opened for an owner in a day."),
        },
        elsewhere=dict.fromkeys(above, _ABOVE),
        forbidden=() if policy else above,
    )


@cache
def table(*, policy: bool) -> Record:
    return Record(
        fields={
            "preset": Field(Choice(PRESETS), "The policy that everything else refines."),
            "mode": Field(Choice(tuple(Mode)), "Propose changes, only observe, or pause."),
            "own": Field(Choice(tuple(Own)), "Whether references to the same owner are pinned."),
            "formats": Field(
                Record(fields={name: Field(Flag(), f"Look at {name} files.") for name in FORMATS}),
                "Formats switched on or off.",
            ),
            "paths": Field(
                Record(
                    fields={
                        "include": Field(_PATHS, "Look here even where it is left out by default."),
                        "exclude": Field(_PATHS, "Do not look here."),
                    }
                ),
                "Where to look.",
            ),
            "ignore": Field(ListOf(_IGNORE), "References that may float."),
            "allow": Field(ListOf(_ALLOW), "Exceptions from trust checks."),
            "registries": Field(_REGISTRIES, "Where images may come from."),
            "environments": Field(ListOf(_ENVIRONMENT), "Files for which other rules hold."),
            "trust": Field(
                Record(fields={"checks": Field(_CHECKS, "Settings by check.")}),
                "What is asked before anything is pinned.",
            ),
            "keep-tags": Field(
                ListOf(_glob("an action or image such as `acme/builder/**`")),
                "References that must stay tags, beside those that are known.",
            ),
            "proposal": Field(_PROPOSAL, "What proposals look like."),
            "refs": Field(
                ListOf(
                    Words(expected="a branch such as `release/*`", limit=globs.MAX_GLOB, wrong=_wrong_ref),
                    most=_REFS,
                ),
                "Branches that are looked after, beside the default one.",
            ),
            "updates": Field(Choice(tuple(Updates)), "Whether digests that are written are refreshed."),
            "schedule": Field(_SCHEDULE, "When sweeps may propose."),
            "limits": Field(_limits(policy=policy), "How much is proposed at most."),
            "guard": Field(
                Record(
                    fields={
                        "floating": Field(_FAIL, "How a new floating reference is taken."),
                        "held": Field(_FAIL, "How a reference is taken that cannot be vouched for."),
                        "unreachable": Field(Choice(tuple(Unreachable)), "How a silent registry is taken."),
                    }
                ),
                "What makes the guard fail.",
            ),
            "delegate": Field(ListOf(Choice(_DELEGABLE)), "What those below may loosen."),
        },
        elsewhere={
            "delegate": _ABOVE,
            "checks": "belongs under `trust:`",
            "mirrors": _SERVER_ALONE,
            "credentials": _SERVER_ALONE,
            "templates": _SERVER_ALONE,
        },
        forbidden=() if policy else ("delegate",),
    )


def json_schema(*, policy: bool = False) -> Schema:
    """Return the JSON Schema (draft 2020-12) of a repository's configuration, or of a policy above it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Moorline: a policy above repositories"
        if policy
        else "Moorline: a repository's configuration",
        **table(policy=policy).schema(),
        "type": ["object", "null"],
    }
