"""A repository's configuration: what it says, what is wrong with it, and whose word counts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import goldens
import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import finders, globs
from bot.config import (
    CONFIG_PATHS,
    FORMATS,
    KEEP_TAGS,
    MAX_BYTES,
    MISNAMED,
    PLACES,
    AllowRule,
    Config,
    Floating,
    Grouping,
    IgnoreRule,
    Limits,
    Mode,
    Own,
    Preset,
    Unreachable,
    Updates,
    json_schema,
    load,
    merge,
    parse,
    problems,
)
from bot.config_schema import MAX_PROBLEMS
from bot.errors import ConfigurationError
from bot.presets import ROWS
from bot.reference import parse_image
from bot.trust import CHECKS

DOCS = Path(__file__).parent.parent / "docs"
PATH = ".moorline.yml"
DIGEST = "sha256:" + "a" * 64


def read(text: str, *, policy: bool = False) -> Config:
    return parse(PATH, text.encode(), policy=policy)


def refused(text: str | bytes, *, policy: bool = False) -> ConfigurationError:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(ConfigurationError) as caught:
        parse(PATH, data, policy=policy)
    assert caught.value.path == PATH
    return caught.value


WHOLE = f"""\
preset: strict
mode: observe
own: pin
formats: {{compose: false, dockerfile: true}}
paths:
  include: [vendor/ours/**]
  exclude: [legacy/]
ignore:
  - image: acme/*
    paths: [old/**]
    until: 2027-01-31
    because: moves away
allow:
  - {{reference: acme/mango, check: typosquat, until: "2027-02-01", because: ours}}
  - reference: acme/tool:1
    check: age
    digest: {DIGEST}
    because: urgent
registries:
  allow: [docker.io/library/*, ghcr.io]
environments:
  - name: production
    paths: [deploy/**]
    registries: {{allow: [harbor.example.com/**]}}
    checks: {{registries: require}}
trust:
  checks:
    age: {{demand: warn, days: 3}}
    typosquat: off
keep-tags: [acme/builder/**]
proposal:
  branch-prefix: pins/
  title-prefix: "chore:"
  commit-prefix: "chore(deps):"
  sign-off: Pin Bot <bot@example.com>
  issue: OPS-12
  group: image
  labels: [dependencies, "scope::ci", dependencies]
  reviewers: [alice, "team:platform"]
  assignees: [bob_corp]
  draft: true
  squash: false
  remove-source-branch: false
refs: [release/*]
updates: never
schedule: {{first: monthly, refresh: "* 1-4 * * mon-fri"}}
limits: {{open: 3}}
guard: {{floating: warn, held: "off", unreachable: failure}}
"""


def test_everything() -> None:
    config = read(WHOLE)
    assert (config.preset, config.mode, config.own) == (Preset.STRICT, Mode.OBSERVE, Own.PIN)
    assert config.formats == {"compose": False, "dockerfile": True}
    assert config.places[0].include == ("vendor/ours/**",)
    assert config.places[0].exclude == ("legacy/",)
    assert config.ignore == (
        IgnoreRule(image="acme/*", paths=("old/**",), until=date(2027, 1, 31), because="moves away"),
    )
    assert config.allow == (
        AllowRule(
            reference="acme/mango", check="typosquat", until=date(2027, 2, 1), because="ours", origin=PATH
        ),
        AllowRule(reference="acme/tool:1", check="age", digest=DIGEST, because="urgent", origin=PATH),
    )
    assert config.registries == ("docker.io/library/*", "ghcr.io")
    assert config.environments[0].registries == ("harbor.example.com/**",)
    assert config.environments[0].checks["registries"].demand == "require"
    assert config.checks["age"].demand == "warn"
    assert config.checks["age"].options == {"days": 3}
    assert config.checks["typosquat"].demand == "off"
    assert config.keep_tags == (*KEEP_TAGS, "acme/builder/**")
    assert config.branch_prefix == "pins/"
    assert config.title_prefix == "chore: "
    assert config.commit_prefix == "chore(deps): "
    assert config.sign_off == "Pin Bot <bot@example.com>"
    assert config.issue == "OPS-12"
    assert config.group is Grouping.IMAGE
    assert config.labels == ("dependencies", "scope::ci")
    assert config.reviewers == ("alice", "team:platform")
    assert config.assignees == ("bob_corp",)
    assert (config.draft, config.squash, config.remove_source_branch) == (True, False, False)
    assert config.refs == ("release/*",)
    assert config.updates is Updates.NEVER
    assert [one.text for one in config.schedule.first] == ["monthly"]
    assert [one.text for one in config.schedule.refresh] == ["* 1-4 * * mon-fri"]
    assert config.limits == Limits(open=3)
    assert config.guard.floating is Floating.WARN
    assert config.guard.held is Floating.OFF
    assert config.guard.unreachable is Unreachable.FAILURE
    assert {"preset", "guard.held", "trust.checks.age.days", "limits.open", "refs"} <= config.given


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing\n", "---\n", "~", "{}", "\ufeff", "\ufeff# a byte order mark", "---\n...\n"]
)
def test_nothing_gives_the_defaults(text: str) -> None:
    config = read(text)
    assert config == Config(path=PATH)
    assert merge(Config(), Config(), config).preset is Preset.DEFAULT


def test_crlf_and_byte_order_mark() -> None:
    assert read("\ufeffpreset: strict\r\nmode: paused\r\n").mode is Mode.PAUSED


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ("mode: propose\npreset: lax\n", 2, "preset", "'lax' is not known|relaxed, default or strict"),
        ("preset: Strict", 1, "preset", "did you mean 'strict'"),
        ("presett: strict", 1, "", "'presett'; did you mean 'preset'|one of preset, mode"),
        ("keep_tags: []", 1, "", "did you mean 'keep-tags'"),
        ("mode: propose\nmode: observe\n", 2, "mode", "stands twice, first in line 1"),
        ("paths:\n  exclude:\n    - ok\n    - /abs\n", 4, "paths.exclude[1]", "must not start with `/`"),
        ("paths: {exclude: legacy}", 1, "paths.exclude", "'legacy'|a list"),
        ("paths: {exclude: ['a{b,c}']}", 1, "paths.exclude[0]", "braces"),
        ("paths:\n", 1, "paths", "is empty|mapping"),
        ("mode:\n", 1, "mode", "is empty"),
        ("- preset\n", 1, "", "is a list|mapping"),
        ("strict\n", 1, "", "mapping"),
        ("? [a]\n: b\n", 1, "", "no text"),
        ("x: &a {preset: strict}\n<<: *a\n", 1, "", "unknown key 'x'"),
        ("<<: {preset: strict}\n", 1, "", "merge keys"),
        ("preset: strict\n---\nmode: paused\n", 3, "", "second document"),
        ("preset: !!python/object:os.system strict\n", 1, "preset", "tag"),
        ("preset: !x strict\n", 1, "preset", "the tag '!x'"),
        ("ignore:\n- image: a/*\n", 2, "ignore[0]", "'because' is missing"),
        ("ignore:\n- because: so\n", 2, "ignore[0]", "says nothing|at least one of image"),
        ("ignore:\n- {image: a, because: ' '}\n", 2, "ignore[0].because", "is empty"),
        ("ignore:\n- {image: a, because: so, until: 2027-02-30}\n", 2, "ignore[0].until", "2027-02-30"),
        ("ignore:\n- {image: a, because: so, until: 31.1.2027}\n", 2, "ignore[0].until", "a day such as"),
        ("ignore:\n- {image: a, because: so, until: 20270131}\n", 2, "ignore[0].until", "a day such as"),
        ("ignore:\n- {image: 1.5, because: so}\n", 2, "ignore[0].image", "read as float|quotes"),
        ("ignore:\n- image: *\n", 2, "", "quotes around a glob"),
        ("allow:\n- {reference: a, check: age, because: so}\n", 2, "allow[0].check", "one digest|`digest`"),
        (
            f"allow:\n- {{reference: a, check: digest-honesty, digest: '{DIGEST}', because: so}}\n",
            2,
            "allow[0].check",
            "'digest-honesty' is not known",
        ),
        (
            "allow:\n- {reference: a, check: age, digest: 'sha256:12', because: so}\n",
            2,
            "allow[0].digest",
            "no digest",
        ),
        ("registries: {allow: [acme/*]}", 1, "registries.allow[0]", "host"),
        ("environments:\n- {name: p}\n", 2, "environments[0]", "'paths' is missing"),
        ("environments:\n- {name: '<b>', paths: [a]}\n", 2, "environments[0].name", "letters"),
        ("trust: {checks: {agee: off}}", 1, "trust.checks", "did you mean 'age'"),
        ("trust: {checks: {age: maybe}}", 1, "trust.checks.age", "off, warn or require"),
        ("trust: {checks: {age: {days: -1}}}", 1, "trust.checks.age.days", "0 to 365"),
        ("trust: {checks: {age: {days: 400}}}", 1, "trust.checks.age.days", "out of bounds"),
        ("trust: {checks: {age: {days: '4'}}}", 1, "trust.checks.age.days", "whole number"),
        ("trust: {checks: {age: {days: 0x10}}}", 1, "trust.checks.age.days", "whole number"),
        ("trust: {checks: {registries: {days: 4}}}", 1, "trust.checks.registries", "unknown key 'days'"),
        ("checks: {age: off}", 1, "checks", "belongs under `trust:`"),
        ("formats: {compose: off}", 1, "formats.compose", "true or false"),
        ("formats: {composse: true}", 1, "formats", "did you mean 'compose'"),
        ("proposal: {branch-prefix: main}", 1, "proposal.branch-prefix", "no beginning"),
        ("proposal: {branch-prefix: -x/}", 1, "proposal.branch-prefix", "no beginning"),
        ("proposal: {branch-prefix: a..b/}", 1, "proposal.branch-prefix", "no beginning"),
        ("proposal: {branch-prefix: 'a b/'}", 1, "proposal.branch-prefix", "no beginning"),
        ("proposal: {branch-prefix: /a/}", 1, "proposal.branch-prefix", "no beginning"),
        ("proposal: {branch-prefix: a//}", 1, "proposal.branch-prefix", "no beginning"),
        ("proposal: {branch-prefix: .a/}", 1, "proposal.branch-prefix", "no beginning"),
        ("proposal: {branch-prefix: a/.b/}", 1, "proposal.branch-prefix", "no beginning"),
        ("proposal: {branch-prefix: a.lock/}", 1, "proposal.branch-prefix", "no beginning"),
        ("proposal: {branch-prefix: 'a@{-'}", 1, "proposal.branch-prefix", "no beginning"),
        ("proposal: {branch-prefix: 'a\\b/'}", 1, "proposal.branch-prefix", "no beginning"),
        ('proposal: {branch-prefix: "a\\x7fb/"}', 1, "proposal.branch-prefix", "control"),
        ("proposal: {branch-prefix: refs/heads/}", 1, "proposal.branch-prefix", "`refs/`|leave it out"),
        ("proposal: {branch-prefix: refs/heads/bot/}", 1, "proposal.branch-prefix", "`refs/`"),
        ("proposal: {branch-prefix: refs/}", 1, "proposal.branch-prefix", "`refs/`"),
        ("proposal: {branch-prefix: Refs/x-}", 1, "proposal.branch-prefix", "`Refs/`"),
        ("proposal: {branch-prefix: heads/}", 1, "proposal.branch-prefix", "`heads/`"),
        ("proposal: {branch-prefix: remotes/origin/}", 1, "proposal.branch-prefix", "`remotes/`"),
        ("proposal: {branch-prefix: tags/}", 1, "proposal.branch-prefix", "`tags/`"),
        ("proposal: {branch-prefix: gh-readonly-queue/}", 1, "proposal.branch-prefix", "`gh-readonly"),
        ("proposal: {sign-off: true}", 1, "proposal.sign-off", "read as bool"),
        ("proposal: {sign-off: Bot}", 1, "proposal.sign-off", "address"),
        ('proposal: {sign-off: "a <b@c>\\nX: y <d@e>"}', 1, "proposal.sign-off", "line breaks"),
        ('proposal: {title-prefix: "a\\u202eb"}', 1, "proposal.title-prefix", "control"),
        ("proposal: {issue: ops-12}", 1, "proposal.issue", "no such key|OPS-12"),
        ("proposal: {issue: 'OPS-12 [skip ci]'}", 1, "proposal.issue", "no such key"),
        ("proposal: {issue: 12}", 1, "proposal.issue", "read as int|quotes"),
        ("proposal: {group: images}", 1, "proposal.group", "did you mean 'image'"),
        ("proposal: {labels: dependencies}", 1, "proposal.labels", "a list"),
        ("proposal: {labels: ['a,b']}", 1, "proposal.labels[0]", "comma"),
        ("proposal: {labels: [' a']}", 1, "proposal.labels[0]", "blank"),
        (f"proposal: {{labels: [{'x' * 51}]}}", 1, "proposal.labels[0]", "at most 50"),
        (f"proposal: {{labels: [{', '.join('abcdefghijklmnopqrstu')}]}}", 1, "proposal.labels", "at most 20"),
        ("proposal: {reviewers: ['@alice']}", 1, "proposal.reviewers[0]", "without `@`"),
        ("proposal: {reviewers: ['team:']}", 1, "proposal.reviewers[0]", "no such name"),
        ("proposal: {reviewers: ['group:x']}", 1, "proposal.reviewers[0]", "no such name"),
        ("proposal: {reviewers: ['a/b']}", 1, "proposal.reviewers[0]", "no such name"),
        ("proposal: {reviewers: [7]}", 1, "proposal.reviewers[0]", "quotes"),
        ("proposal: {assignees: ['team:x']}", 1, "proposal.assignees[0]", "no such name"),
        ("proposal: {draft: 1}", 1, "proposal.draft", "true or false"),
        ("proposal: {remove_source_branch: true}", 1, "proposal", "did you mean 'remove-source-branch'"),
        ("refs: main", 1, "refs", "a list"),
        ("refs: ['/main']", 1, "refs[0]", "must not start with `/`"),
        ("refs: [refs/heads/main]", 1, "refs[0]", "leave `refs/heads/` out"),
        ("updates: off", 1, "updates", "always, auto or never"),
        ("schedule: daily", 1, "schedule", "mapping"),
        ("schedule: {first: hourly}", 1, "schedule.first", "five fields|daily, weekly, monthly"),
        ("schedule: {first: '61 * * * *'}", 1, "schedule.first", "minute that is not from 0 to 59"),
        ("schedule: {first: * 1 * * *}", 1, "", "quotes around a glob or a schedule"),
        ("schedule: {refreshes: daily}", 1, "schedule", "did you mean 'refresh'"),
        ("limits: {open: 0}", 1, "limits.open", "1 to 1000"),
        ("limits: {open: -3}", 1, "limits.open", "whole number"),
        ("limits: {per-day: 3}", 1, "limits.per-day", "not in a repository"),
        ("limits: {first-per-day: 3}", 1, "limits.first-per-day", "not in a repository"),
        ("ignore:\n- {registry: acme, because: so}\n", 2, "ignore[0].registry", "host"),
        ("ignore:\n- {registry: ghcr.io, image: a, because: so}\n", 2, "ignore[0].registry", "`registry`"),
        ("delegate: [preset]", 1, "delegate", "not in a repository"),
        ("mirrors: {}", 1, "mirrors", "set on the server"),
        ("credentials: {}", 1, "credentials", "set on the server"),
        ("templates: {}", 1, "templates", "set on the server"),
        ("a: [", 1, "", "not readable as YAML"),
        ("a: b: c\n", 1, "", "not readable as YAML"),
        ("preset: strict\n\tmode: x\n", 2, "", "not readable as YAML"),
    ],
)
def test_what_is_wrong_is_named(text: str, line: int, key: str, words: str) -> None:
    error = refused(text)
    assert error.line == line
    assert error.key == key
    assert str(error).startswith(f"{PATH}:{line}: ")
    for word in words.split("|"):
        assert word in str(error), str(error)


def test_bytes_that_are_no_text() -> None:
    error = refused(b"preset: strict\nmode: \xff\n")
    assert error.line == 2
    assert "UTF-8" in str(error)
    assert "at most" in str(refused(b"#" * (MAX_BYTES + 1)))
    refused(b"preset: \x00strict")


def test_messages_do_not_repeat_hostile_text_at_length() -> None:
    error = refused("preset: " + "x" * 10_000)
    assert len(str(error)) < 300
    error = refused('"' + "\\e[31m" * 50 + '": 1')
    assert "\x1b" not in str(error)


def test_alias_bombs_are_small() -> None:
    bomb = "paths:\n  exclude: &a [" + ", ".join(["x"] * 999) + "]\n"
    bomb += "environments:\n" + "".join(f"- {{name: n{n}, paths: *a}}\n" for n in range(500))
    start = time.process_time()
    assert "too much" in str(refused(bomb))
    assert time.process_time() - start < 2
    laughs = "a: &a [x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )
    refused(laughs)
    refused("paths: &p\n  include: *p\n")


def test_an_alias_is_fine() -> None:
    config = read("paths: {include: &a [x/**]}\nenvironments:\n- {name: n, paths: *a}\n")
    assert config.environments[0].paths == ("x/**",)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_configuration_or_a_clear_error(data: bytes) -> None:
    trouble = None
    try:
        parse(PATH, data)
    except ConfigurationError as error:
        trouble = error
    assert trouble is None or trouble.path == PATH


_KEYS = st.sampled_from(
    ["preset", "mode", "paths", "ignore", "allow", "trust", "guard", "exclude", "checks", "x"]
)
_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.sampled_from(["strict", "off"])
)
_TREES = st.recursive(
    _LEAVES, lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(_KEYS, below, max_size=3))
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_KEYS, _TREES, max_size=4))
def test_any_tree_gives_a_configuration_or_names_its_place(tree: dict[str, Any]) -> None:
    trouble = None
    try:
        parse(PATH, yaml.safe_dump(tree).encode())
    except ConfigurationError as error:
        trouble = error
    assert trouble is None or trouble.line is not None


# --- all that is wrong --------------------------------------------------------------------

WRONG = """\
presett: strict
mode: observ
mode: paused
ignore:
- {image: a}
- 3
- {image: [], because: so}
limits: {open: 0, per-day: 3}
trust: {checks: {agee: off, age: {days: -1, first-days: x}}}
"""


def test_all_that_is_wrong_is_told_in_order() -> None:
    found = problems(PATH, WRONG.encode())
    assert [(one.line, one.key) for one in found] == [
        (1, ""),
        (2, "mode"),
        (3, "mode"),
        (5, "ignore[0]"),
        (6, "ignore[1]"),
        (7, "ignore[2].image"),
        (8, "limits.open"),
        (8, "limits.per-day"),
        (9, "trust.checks"),
        (9, "trust.checks.age.days"),
        (9, "trust.checks.age.first-days"),
    ]
    assert str(refused(WRONG)) == str(found[0])


@pytest.mark.parametrize("text", ["", WHOLE, "~", "preset: strict"])
def test_nothing_is_wrong(text: str) -> None:
    assert problems(PATH, text.encode()) == ()


@pytest.mark.parametrize("data", [b"a: [", b"\xff", b"#" * (MAX_BYTES + 1), b"a: 1\n---\nb: 2\n", b"- a\n"])
def test_a_file_that_cannot_be_read_has_one_problem(data: bytes) -> None:
    [found] = problems(PATH, data)
    assert str(found) == str(refused(data))


def test_problems_are_bounded() -> None:
    many = "ignore:\n" + "- x\n" * 900
    assert len(problems(PATH, many.encode())) == MAX_PROBLEMS + 1
    bomb = "paths:\n  exclude: &a [" + ", ".join(["x"] * 999) + "]\n"
    bomb += "environments:\n" + "".join(f"- {{name: n{n}, paths: *a}}\n" for n in range(500))
    [found] = problems(PATH, bomb.encode())
    assert "too much" in str(found)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_KEYS, _TREES, max_size=4))
def test_the_first_problem_is_the_one_that_is_raised(tree: dict[str, Any]) -> None:
    data = yaml.safe_dump(tree).encode()
    found = problems(PATH, data)
    if not found:
        parse(PATH, data)
        return
    with pytest.raises(ConfigurationError) as caught:
        parse(PATH, data)
    assert str(caught.value) in {str(one) for one in found}


# --- registries that are ignored ----------------------------------------------------------


@pytest.mark.parametrize(
    ("registry", "image", "ignored"),
    [
        ("ghcr.io", "ghcr.io/acme/app:1", True),
        ("ghcr.io", "ghcr.io/acme/deep/app:1", True),
        ("ghcr.io", "node:20", False),
        ("ghcr.io", "ghcr.io.example.com/app", False),
        ("docker.io", "node:20", True),
        ("docker.io/library/*", "acme/app", False),
        ("*.example.com", "harbor.example.com/acme/app", True),
        ("localhost:5000", "localhost:5000/app", True),
        ("localhost:5000", "localhost:5001/app", False),
        ("ghcr.io/acme/**", "ghcr.io/acme/app", True),
        ("ghcr.io/acme/**", "ghcr.io/other/app", False),
    ],
)
def test_a_registry_is_all_of_its_images(registry: str, image: str, ignored: bool) -> None:
    [rule] = read(f"ignore: [{{registry: {registry!r}, because: so}}]").ignore
    reference = parse_image(image)
    assert reference is not None
    assert rule.image is not None
    assert globs.names(rule.image, reference) is ignored


# --- places -------------------------------------------------------------------------------


def test_load_takes_the_one_that_is_there() -> None:
    for path in PLACES:
        assert load({path: b"preset: strict", "README.md": b""}).path == path
    assert load({}) == Config()


def test_two_files_are_an_error_that_names_both() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(dict.fromkeys(PLACES[:2], b""))
    for path in PLACES[:2]:
        assert path in str(caught.value)


@pytest.mark.parametrize("path", MISNAMED)
def test_a_misnamed_file_is_not_passed_over(path: str) -> None:
    assert path in CONFIG_PATHS
    with pytest.raises(ConfigurationError) as caught:
        load({path: b""})
    assert caught.value.expected in PLACES
    assert caught.value.path == path


# --- whose word counts --------------------------------------------------------------------


def merged(server: str = "", owner: str = "", repository: str = "") -> Config:
    return merge(
        parse("server.yml", server.encode(), policy=True),
        parse("owner.yml", owner.encode(), policy=True),
        read(repository),
    )


@pytest.mark.parametrize(
    ("server", "owner", "repository", "expected"),
    [
        ("", "", "", "default"),
        ("", "", "preset: relaxed", "relaxed"),
        ("preset: default", "", "preset: relaxed", "default"),
        ("preset: default", "", "preset: strict", "strict"),
        ("preset: strict", "preset: relaxed", "", "strict"),
        ("{preset: strict, delegate: [preset]}", "preset: relaxed", "", "relaxed"),
        ("{preset: strict, delegate: [preset]}", "preset: default", "preset: relaxed", "default"),
        ("preset: default", "{preset: strict, delegate: [preset]}", "preset: relaxed", "default"),
        ("{preset: strict, delegate: [mode]}", "", "preset: relaxed", "strict"),
    ],
)
def test_presets_are_floors(server: str, owner: str, repository: str, expected: str) -> None:
    assert merged(server, owner, repository).preset == expected


def test_what_is_said_in_vain_is_told() -> None:
    config = merged("preset: strict\nmode: observe", "", "preset: relaxed\nmode: propose")
    assert config.mode is Mode.OBSERVE
    assert len(config.overruled) == 2
    assert "`preset: relaxed` does not count: server.yml says `strict`." in config.overruled


@pytest.mark.parametrize(
    ("server", "own", "told"),
    [
        ("preset: strict", "typosquat: warn", True),
        ("preset: strict", "typosquat: require", False),
        ("preset: default", "typosquat: warn", False),
        ("preset: default", "age: off", False),  # a first pin asks for none: for an update the policy does
        ("trust: {checks: {typosquat: warn}}", "typosquat: off", True),
        ("trust: {checks: {age: {days: 3}}}", "age: off", False),
        ("{preset: strict, delegate: [checks.typosquat]}", "typosquat: off", False),
        ("", "typosquat: off", False),
    ],
)
def test_settings_in_vain_are_told(server: str, own: str, told: bool) -> None:
    config = merged(server, "", f"trust: {{checks: {{{own}}}}}")
    assert any("trust.checks" in text and "server.yml" in text for text in config.overruled) is told


def test_a_repository_may_always_do_less() -> None:
    assert merged("mode: propose", "mode: observe", "mode: paused").mode is Mode.PAUSED


def test_own_and_formats_are_floors() -> None:
    config = merged("own: pin\nformats: {compose: true}", "", "own: report\nformats: {compose: false}")
    assert config.own is Own.PIN
    assert config.formats["compose"] is True
    config = merged(
        "{own: pin, formats: {compose: true}, delegate: [own, formats]}",
        "",
        "own: report\nformats: {compose: false}",
    )
    assert config.own is Own.REPORT
    assert config.formats["compose"] is False
    assert merged("", "formats: {compose: false}", "formats: {compose: true}").formats["compose"] is True


def test_lists_add_up_and_names_are_the_most_specific() -> None:
    config = merged(
        "proposal: {branch-prefix: a/, title-prefix: s}\nkeep-tags: [x/**]",
        "ignore: [{image: a, because: owner}]\nproposal: {branch-prefix: b/}",
        "ignore: [{image: b, because: repository}]\nkeep-tags: [y/**]",
    )
    assert config.branch_prefix == "b/"
    assert config.title_prefix == "s "
    assert {rule.because for rule in config.ignore} == {"owner", "repository"}
    assert set(config.keep_tags) == {*KEEP_TAGS, "x/**", "y/**"}


EXCEPTION = "allow: [{reference: acme/mango, check: typosquat, because: ours}]"


@pytest.mark.parametrize(
    ("server", "counts"),
    [
        ("", True),
        ("mode: observe", True),
        ("preset: default", False),
        ("{preset: default, delegate: [allow]}", True),
        ("trust: {checks: {typosquat: require}}", False),
        ("trust: {checks: {age: require}}", True),
        ("{trust: {checks: {typosquat: require}}, delegate: [checks.typosquat]}", True),
        ("environments: [{name: p, paths: [a/**], checks: {typosquat: require}}]", False),
    ],
)
def test_exceptions_count_where_nobody_above_insists(server: str, counts: bool) -> None:
    config = merged(server, "", EXCEPTION)
    assert bool(config.allow) is counts
    assert bool(config.overruled) is not counts


def test_the_server_may_except_what_it_insists_on() -> None:
    assert merged("preset: strict\n" + EXCEPTION).allow


def test_settings_of_a_check_join() -> None:
    config = merged("trust: {checks: {age: {days: 30}}}", "", "trust: {checks: {age: {first-days: 2}}}")
    assert config.checks["age"].options == {"days": 30, "first-days": 2}


def test_unknown_delegations_are_refused() -> None:
    assert "did you mean 'preset'" in str(refused("delegate: [presets]", policy=True))


# --- one table ----------------------------------------------------------------------------


def test_tables_agree() -> None:
    assert tuple(finders.FINDERS) == FORMATS
    assert tuple(ROWS) == tuple(CHECKS)
    for name, check in CHECKS.items():
        assert check.name == name


def test_published_schema() -> None:
    goldens.compare_json(DOCS / "moorline.schema.json", json_schema())
    goldens.compare_json(DOCS / "moorline-policy.schema.json", json_schema(policy=True))


def test_the_schema_of_policies_takes_what_policies_may_say() -> None:
    text = "{delegate: [mode, limits], limits: {first-per-day: 3, per-day: 9}, preset: strict}"
    read(text, policy=True)
    jsonschema.Draft202012Validator(json_schema(policy=True)).validate(yaml.safe_load(text))
    assert not _valid(text)


def _valid(text: str) -> bool:
    validator = jsonschema.Draft202012Validator(json_schema())
    return bool(
        validator.is_valid(
            yaml.load(text, Loader=yaml.BaseLoader) if "until" in text else yaml.safe_load(text)
        )
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "preset: strict",
        "ignore: [{image: a, because: b, until: 2027-01-31}]",
        "trust: {checks: {age: {days: 3}, typosquat: off}}",
        EXCEPTION,
        "environments: [{name: p, paths: [a/**], registries: {allow: [ghcr.io]}}]",
        "guard: {held: off}",
        "proposal: {group: image, labels: [a], reviewers: ['team:x', y], assignees: [z], draft: true, issue: A-1}",
        "proposal: {squash: true, remove-source-branch: false}",
        "{refs: [release/*], updates: always, limits: {open: 3}}",
        "schedule: {first: weekly, refresh: '0 4 * * 1'}",
        "ignore: [{registry: ghcr.io, because: b}]",
    ],
)
def test_schema_takes_what_we_take(text: str) -> None:
    read(text)
    assert _valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "presett: strict",
        "preset: lax",
        "paths: {exclude: x}",
        "ignore: [{image: a}]",
        "ignore: [{because: a}]",
        "trust: {checks: {age: {days: 999}}}",
        "trust: {checks: {agee: off}}",
        "delegate: [preset]",
        "environments: [{name: p}]",
        "[]",
        "formats: {compose: maybe}",
        "proposal: {group: all}",
        "proposal: {issue: ops}",
        "proposal: {reviewers: ['@a']}",
        "proposal: {assignees: ['team:a']}",
        "limits: {open: 0}",
        "limits: {per-day: 3}",
        "schedule: daily",
        "updates: sometimes",
    ],
)
def test_schema_refuses_what_we_refuse(text: str) -> None:
    refused(text)
    assert not _valid(text)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def _examples() -> list[str]:
    return re.findall(
        r"^```yaml\n(.*?)^```", (DOCS / "configuration.md").read_text(), re.DOTALL | re.MULTILINE
    )


@pytest.mark.parametrize("text", _examples())
def test_examples_in_the_documentation_hold(text: str) -> None:
    read(text, policy="delegate:" in text)


def test_documentation_names_every_key_and_check() -> None:
    text = (DOCS / "configuration.md").read_text()

    def names(schema: dict[str, Any]) -> set[str]:
        found: set[str] = set()
        for name, below in schema.get("properties", {}).items():
            found |= {name} | names(below)
        for part in (schema.get("items"), *schema.get("oneOf", [])):
            found |= names(part) if part else set()
        return found

    missing = {name for name in names(json_schema()) if not re.search(rf"\b{re.escape(name)}\b", text)}
    assert not missing


def test_start_up_stays_light() -> None:
    code = (
        "import sys; import bot.config; "
        "print([m for m in ('difflib', 'jsonschema', 'pydantic', 'ruamel.yaml', 'rapidfuzz', 'json') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=DOCS.parent
    )
    assert json.loads(done.stdout.replace("'", '"')) == []
