"""Three files, one configuration: for every key of proposals, refs, schedules and limits, who may say what."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config import Config, Grouping, Limits, Schedule, Updates, load_owner, merge, parse
from bot.config.origins import origins
from bot.errors import ConfigurationError
from bot.trust import policy

PATH = ".moorline.yml"


def merged(server: str = "", owner: str = "", repository: str = "") -> Config:
    return merge(
        parse("server.yml", server.encode(), policy=True),
        parse("owner.yml", owner.encode(), policy=True),
        parse(PATH, repository.encode()),
    )


def texts(crons: Any) -> list[str]:
    return [one.text for one in crons]


# --- defaults -----------------------------------------------------------------------------


def test_defaults() -> None:
    config = merged()
    assert config.refs == config.labels == config.reviewers == config.assignees == ()
    assert config.updates is Updates.AUTO
    assert config.group is Grouping.REPOSITORY
    assert (config.draft, config.squash, config.remove_source_branch, config.issue) == (False, None, True, "")
    assert config.limits == Limits(open=10, first_per_day=10, per_day=100)
    assert (texts(config.schedule.first), texts(config.schedule.refresh)) == (["weekly"], ["daily"])
    assert config == merge(Config(), Config(), Config(path=PATH))


# --- proposals: the most specific file that has the key -------------------------------------

PROPOSAL = {
    "branch-prefix": ("a/", "b/", "c/"),
    "title-prefix": ("a: ", "b: ", "c: "),
    "commit-prefix": ("a: ", "b: ", "c: "),
    "sign-off": ("A <a@b>", "B <a@b>", "C <a@b>"),
    "issue": ("OPS-1", "OPS-2", "OPS-3"),
    "group": ("image", "directory", "repository"),
    "labels": (("a",), (), ("c",)),
    "reviewers": (("a",), ("team:b",), ()),
    "assignees": (("a",), ("b",), ("c", "d")),
    "draft": (True, False, True),
    "squash": (True, False, True),
    "remove-source-branch": (False, True, False),
}


@pytest.mark.parametrize("key", PROPOSAL)
@pytest.mark.parametrize("said", list(product((True, False), repeat=3)))
def test_of_proposals_the_most_specific_file_decides(key: str, said: tuple[bool, bool, bool]) -> None:
    values = PROPOSAL[key]
    files = [
        f"proposal: {{{key}: {json.dumps(value)}}}" if on else ""
        for value, on in zip(values, said, strict=True)
    ]
    config = merged(*files)
    there = [value for value, on in zip(values, said, strict=True) if on]
    field = key.replace("-", "_")
    assert getattr(config, field) == (there[-1] if there else getattr(Config(), field))
    assert config.overruled == ()


# --- refs: those of all files -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "owner", "repository", "expected"),
    [
        ("", "", "refs: [release/*]", {"release/*"}),
        ("refs: [a]", "refs: [b]", "refs: [c]", {"a", "b", "c"}),
        ("refs: [a]", "", "refs: []", {"a"}),
        ("refs: [a]", "", "", {"a"}),
        ("{refs: [a], delegate: [refs]}", "refs: [b]", "", {"b"}),
        ("{refs: [a], delegate: [refs]}", "", "", {"a"}),
        ("{refs: [a], delegate: [refs]}", "", "refs: []", set()),
        ("{refs: [a], delegate: [refs]}", "refs: [b]", "refs: [c]", {"b", "c"}),
        ("refs: [a]", "{refs: [b], delegate: [refs]}", "refs: [c]", {"a", "c"}),
        ("{refs: [a], delegate: [mode]}", "", "refs: [c]", {"a", "c"}),
    ],
)
def test_refs_add_up(server: str, owner: str, repository: str, expected: set[str]) -> None:
    assert set(merged(server, owner, repository).refs) == expected


@pytest.mark.parametrize(
    ("branch", "followed"),
    [
        ("main", True),
        ("release/1.2", True),
        ("release/1/2", False),
        ("stable", True),
        ("other", False),
        ("", False),
    ],
)
def test_the_default_branch_and_those_named_are_followed(branch: str, followed: bool) -> None:
    config = merged(repository="refs: [release/*, stable]")
    assert config.follows(branch, "main") is followed
    assert not Config().follows("stable", "main")


# --- updates: what does less ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "owner", "repository", "expected", "vain"),
    [
        ("", "", "updates: always", "always", 0),
        ("updates: never", "", "updates: always", "never", 1),
        ("updates: never", "", "", "never", 0),
        ("updates: always", "", "updates: never", "never", 0),
        ("updates: always", "updates: auto", "updates: always", "auto", 1),
        ("{updates: never, delegate: [updates]}", "", "updates: always", "always", 0),
        ("{updates: never, delegate: [updates]}", "updates: auto", "updates: always", "auto", 1),
        ("updates: never", "{updates: auto, delegate: [updates]}", "updates: always", "never", 1),
    ],
)
def test_updates(server: str, owner: str, repository: str, expected: str, vain: int) -> None:
    config = merged(server, owner, repository)
    assert config.updates == expected
    assert len(config.overruled) == vain


# --- schedules: all have to agree -------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "owner", "repository", "first", "refresh"),
    [
        ("", "", "schedule: {first: monthly}", ["monthly"], ["daily"]),
        ("schedule: {first: monthly}", "", "schedule: {first: daily}", ["daily", "monthly"], ["daily"]),
        ("schedule: {first: monthly}", "", "schedule: {first: monthly}", ["monthly"], ["daily"]),
        (
            "{schedule: {first: monthly}, delegate: [schedule]}",
            "",
            "schedule: {first: daily}",
            ["daily"],
            ["daily"],
        ),
        (
            "schedule: {refresh: weekly}",
            "schedule: {refresh: monthly}",
            'schedule: {refresh: "* 1-4 * * *"}',
            ["weekly"],
            ["* 1-4 * * *", "monthly", "weekly"],
        ),
        (
            "{schedule: {refresh: weekly}, delegate: [schedule]}",
            "",
            "schedule: {first: daily}",
            ["daily"],
            ["weekly"],
        ),
    ],
)
def test_schedules(server: str, owner: str, repository: str, first: list[str], refresh: list[str]) -> None:
    config = merged(server, owner, repository)
    assert texts(config.schedule.first) == first
    assert texts(config.schedule.refresh) == refresh


def test_a_sweep_proposes_when_all_agree() -> None:
    config = merged("schedule: {first: weekly}", "", 'schedule: {first: "* 1-4 * * *"}')
    last, sunday = datetime(2026, 11, 23, 2, tzinfo=UTC), datetime(2026, 11, 29, 2, tzinfo=UTC)
    assert not config.schedule.first_due(last, datetime(2026, 11, 24, 2, tzinfo=UTC))  # the server's week
    assert config.schedule.first_due(last, sunday)
    assert not config.schedule.first_due(last, sunday.replace(hour=5))  # the repository's window
    assert config.schedule.first_due(last, datetime(2026, 11, 30, 2, tzinfo=UTC))  # late, yet in the window
    assert config.schedule.refresh_due(last, datetime(2026, 11, 24, tzinfo=UTC))
    assert not config.schedule.refresh_due(last, datetime(2026, 11, 23, 23, tzinfo=UTC))
    assert Schedule().first_due(None, last)


# --- limits: the smaller number ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "owner", "repository", "expected", "vain"),
    [
        ("", "", "limits: {open: 50}", 50, 0),
        ("limits: {open: 20}", "", "limits: {open: 50}", 20, 1),
        ("limits: {open: 20}", "", "limits: {open: 5}", 5, 0),
        ("limits: {open: 20}", "limits: {open: 7}", "limits: {open: 50}", 7, 1),
        ("limits: {open: 7}", "limits: {open: 20}", "limits: {open: 50}", 7, 2),
        ("{limits: {open: 7}, delegate: [limits]}", "limits: {open: 20}", "limits: {open: 50}", 20, 1),
        ("{limits: {open: 7}, delegate: [limits]}", "", "", 7, 0),
        ("limits: {open: 20}", "", "", 20, 0),
        (
            "{limits: {open: 7}, delegate: [limits]}",
            "{limits: {open: 20}, delegate: [limits]}",
            "limits: {open: 50}",
            50,
            0,
        ),
    ],
)
def test_limits(server: str, owner: str, repository: str, expected: int, vain: int) -> None:
    config = merged(server, owner, repository)
    assert config.limits.open == expected
    assert len(config.overruled) == vain
    assert config.limits.per_day == 100


def test_limits_of_owners_are_the_server_s_and_the_owner_s() -> None:
    config = merged("limits: {first-per-day: 5, per-day: 30}", "limits: {first-per-day: 3, per-day: 40}")
    assert (config.limits.first_per_day, config.limits.per_day) == (3, 30)
    for key in ("first-per-day", "per-day"):
        with pytest.raises(ConfigurationError, match="owner's policy, not in a repository"):
            merged(repository=f"limits: {{{key}: 1}}")


NUMBERS = st.one_of(st.none(), st.integers(1, 30))


@given(server=NUMBERS, owner=NUMBERS, repository=NUMBERS)
def test_nobody_raises_a_limit_that_stands_above(
    server: int | None, owner: int | None, repository: int | None
) -> None:
    files = ["" if one is None else f"limits: {{open: {one}}}" for one in (server, owner, repository)]
    said = [one for one in (server, owner, repository) if one is not None]
    assert merged(*files).limits.open == min(said, default=10)


# --- the guard: what fails more ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "owner", "repository", "told"),
    [
        (
            "guard: {floating: fail}",
            "",
            "guard: {floating: off}",
            ["`guard.floating: off` server.yml `fail`"],
        ),
        ("guard: {floating: warn}", "", "guard: {floating: fail}", []),
        ("preset: strict", "", "guard: {held: warn}", ["`guard.held: warn` server.yml `fail`"]),
        (
            "preset: strict",
            "",
            "guard: {unreachable: neutral}",
            ["`guard.unreachable: neutral` server.yml `failure`"],
        ),
        ("{preset: strict, delegate: [preset]}", "", "guard: {held: warn}", []),
        ("{preset: strict, delegate: [guard]}", "", "guard: {held: warn}", []),
        (
            "guard: {held: fail}",
            "guard: {held: off}",
            "guard: {held: fail}",
            ["`guard.held: off` server.yml `fail`"],
        ),
        ("", "", "guard: {held: off}", []),
    ],
)
def test_what_is_said_of_the_guard_in_vain_is_told(
    server: str, owner: str, repository: str, told: list[str]
) -> None:
    config = merged(server, owner, repository)
    assert [
        re.sub(r" does not count: (\S+) says (\S+)\.", r" \1 \2", one) for one in config.overruled
    ] == told
    made = policy.guard(config)
    for one in told:
        name, floor = re.findall(r"guard\.(\w+).*`(\w+)`", one)[0]
        assert getattr(made, name) == floor


# --- the owner's file -------------------------------------------------------------------------


def test_the_owner_s_file_is_a_policy() -> None:
    config = load_owner(
        {"acme/.github": {}, "acme/moorline-config": {PATH: b"{limits: {per-day: 3}, delegate: [mode]}"}}
    )
    assert config.path == "acme/moorline-config/.moorline.yml"
    assert config.limits.per_day == 3
    assert config.delegate == {"mode"}
    assert load_owner({}) == load_owner({"acme/.github": {"README.md": b""}}) == Config()


@pytest.mark.parametrize("key", ["mirrors", "credentials", "templates"])
def test_the_owner_s_file_sets_nothing_that_is_the_server_s(key: str) -> None:
    with pytest.raises(ConfigurationError, match="set on the server") as caught:
        load_owner({"acme/.github": {PATH: f"mode: observe\n{key}: {{}}\n".encode()}})
    assert str(caught.value).startswith("acme/.github/.moorline.yml:2: ")


def test_the_owner_cannot_delegate_what_the_server_insists_on() -> None:
    config = merged("preset: strict", "{preset: strict, delegate: [preset]}", "preset: relaxed")
    assert config.preset == "strict"


def test_of_nested_groups_each_one_s_word_counts() -> None:
    """A group's policy is no way around that of the group it is in."""
    top, group = (
        parse(f"{name}.yml", text.encode(), policy=True)
        for name, text in (
            ("top", "{preset: strict, limits: {open: 3}, refs: [a]}"),
            ("group", "{preset: default, limits: {open: 5}, refs: [b], proposal: {labels: [g]}}"),
        )
    )
    config = merge(Config(), (group, top), parse(PATH, b"{preset: relaxed, limits: {open: 9}}"))
    assert config.preset == "strict"
    assert config.limits.open == 3
    assert set(config.refs) == {"a", "b"}
    assert config.labels == ("g",)
    assert [one.path for one in config.floors] == ["top.yml", "group.yml"]
    assert "`limits.open: 9` does not count: group.yml says `5`." in config.overruled
    assert merge(Config(), (), Config()) == merge(Config(), Config(), Config())


def test_two_policies_of_an_owner_are_an_error_that_names_both() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_owner({"acme/.github": {PATH: b""}, "acme/moorline-config": {PATH: b""}})
    assert "acme/.github and acme/moorline-config" in str(caught.value)


@pytest.mark.parametrize("name", [".moorline.yaml", "moorline.yml", "moorline.yaml"])
def test_a_misnamed_policy_is_not_passed_over(name: str) -> None:
    with pytest.raises(ConfigurationError, match="this name is not read") as caught:
        load_owner({"acme/.github": {name: b""}})
    assert caught.value.expected == "acme/.github/.moorline.yml"


# --- who said so ------------------------------------------------------------------------------


def whence(key: str, server: str = "", owner: str = "", repository: str = "") -> tuple[Any, tuple[str, ...]]:
    files = (
        parse(PATH, repository.encode()),
        parse("owner.yml", owner.encode(), policy=True),
        parse("server.yml", server.encode(), policy=True),
    )
    [found] = [one for one in origins(files) if one.key == key]
    return found.value, found.files


@pytest.mark.parametrize(
    ("key", "files", "value", "names"),
    [
        ("preset", ("", "", ""), "default", ()),
        ("preset", ("preset: strict", "", "preset: relaxed"), "strict", ("server.yml",)),
        ("preset", ("preset: default", "", "preset: strict"), "strict", (PATH,)),
        ("preset", ("preset: strict", "preset: strict", ""), "strict", ("owner.yml",)),
        ("limits.open", ("limits: {open: 3}", "", "limits: {open: 9}"), 3, ("server.yml",)),
        ("limits.open", ("", "", ""), 10, ()),
        ("limits.open", ("", "", "limits: {open: 10}"), 10, (PATH,)),
        ("proposal.labels", ("proposal: {labels: [a]}", "", "proposal: {labels: [b]}"), ["b"], (PATH,)),
        ("proposal.group", ("", "proposal: {group: image}", ""), "image", ("owner.yml",)),
        ("refs", ("refs: [a]", "", "refs: [b]"), ["b", "a"], (PATH, "server.yml")),
        ("schedule.first", ("", "schedule: {first: monthly}", ""), ["monthly"], ("owner.yml",)),
        ("schedule.refresh", ("", "schedule: {first: monthly}", ""), ["daily"], ()),
        (
            "formats.compose",
            ("formats: {compose: true}", "", "formats: {compose: false}"),
            True,
            ("server.yml",),
        ),
        ("formats.compose", ("", "", "formats: {compose: false}"), False, (PATH,)),
        ("formats.compose", ("", "", "formats: {bake: false}"), True, ()),
        (
            "ignore",
            ("", "", "ignore: [{image: a, until: 2027-01-31, because: b}]"),
            [{"image": "a", "until": "2027-01-31", "because": "b"}],
            (PATH,),
        ),
        ("paths.exclude", ("paths: {exclude: [a]}", "", "paths: {include: [b]}"), ["a"], ("server.yml",)),
        ("proposal.squash", ("", "", ""), None, ()),
        ("registries.allow", ("", "", ""), None, ()),
        ("registries.allow", ("", "", "registries: {allow: [ghcr.io]}"), ["ghcr.io"], (PATH,)),
        (
            "registries.allow",
            ("registries: {allow: [quay.io]}", "", "registries: {allow: [ghcr.io]}"),
            [["ghcr.io"], ["quay.io"]],
            (PATH, "server.yml"),
        ),
        (
            "environments",
            ("environments: [{name: a, paths: [a/**]}]", "", "environments: [{name: b, paths: [b/**]}]"),
            [{"name": "b", "paths": ["b/**"]}, {"name": "a", "paths": ["a/**"]}],
            (PATH, "server.yml"),
        ),
    ],
)
def test_every_value_says_where_it_comes_from(
    key: str, files: tuple[str, str, str], value: Any, names: tuple[str, ...]
) -> None:
    assert whence(key, *files) == (value, names)
