"""The policy: what each preset asks, whose floors hold, what rulings come to, and exceptions."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.config import AllowRule, Config, Floating, Unreachable, merge, parse
from bot.model import (
    Candidate,
    Cause,
    Decision,
    Evidence,
    Fact,
    Finding,
    Kind,
    Outcome,
    Reason,
    Reference,
    Resolution,
    Ruling,
    State,
    Status,
)
from bot.presets import DEMANDS, PRESETS, ROWS
from bot.reference import parse_git, parse_image
from bot.source import Source
from bot.trust import policy
from bot.trust.base import Demand

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def config(text: str) -> Config:
    return parse(".moorline.yml", text.encode())


def merged(server: str = "", owner: str = "", repository: str = "") -> Config:
    return merge(
        parse("server.yml", server.encode(), policy=True),
        parse("owner.yml", owner.encode(), policy=True),
        config(repository),
    )


def finding(value: str = "node:20", *, path: str = "Dockerfile", kind: Kind = Kind.IMAGE) -> Finding:
    reference: Reference | None = parse_image(value)
    if kind is not Kind.IMAGE:
        reference = parse_git(value, host="github.com")
    return Finding(
        format="x",
        kind=kind,
        where="x",
        location=Source(path, b"x").location(0, 1),
        value=value,
        reference=reference,
        state=State.FLOATING,
    )


def candidate(value: str = "node:20", cause: Cause = Cause.FIRST, *, path: str = "Dockerfile") -> Candidate:
    found = finding(value, path=path)
    assert found.reference is not None
    return Candidate(
        finding=found,
        current={Cause.FIRST: None, Cause.KEEP: NEW}.get(cause, OLD),
        target=NEW,
        resolution=Resolution(reference=found.reference, digest=NEW, source="x"),
        cause=cause,
    )


def evidence(check: str, *, status: Status = Status.VERIFIED, **facts: Fact) -> Evidence:
    return Evidence(check=check, digest=NEW, status=status, facts=facts, detail="because of that")


GOOD = {
    "digest-honesty": evidence("digest-honesty"),
    "registries": evidence("registries", registry="docker.io", repository="library/node"),
    "typosquat": evidence("typosquat"),
    "age": evidence("age", since="2026-01-01T00:00:00+00:00"),
}


def judged(
    one: Candidate, text: str = "", *, decisions: tuple[Decision, ...] = (), **changed: Evidence
) -> tuple[Outcome, tuple[Reason, ...]]:
    new = {**GOOD, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return policy.judge(one, {}, new, config(text), NOW, decisions)


# --- what is asked ------------------------------------------------------------------------

TABLE = {
    # check: first pin, then update, for relaxed, default and strict
    "digest-honesty": ("require require require", "require require require"),
    "registries": ("off warn require", "off warn require"),
    "typosquat": ("warn warn require", "warn warn require"),
    "git-refs": ("warn require require", "warn require require"),
    "nested-refs": ("off warn warn", "off warn warn"),
    "age": ("off off require", "require require require"),
}
DAYS = {  # first pin; update; update of a version tag
    "relaxed": (0, 1, 1),
    "default": (0, 7, 14),
    "strict": (3, 14, 14),
}


@pytest.mark.parametrize(("check", "number"), tuple(itertools.product(TABLE, range(3))))
def test_presets(check: str, number: int) -> None:
    preset = config(f"preset: {PRESETS[number]}")
    for cause in Cause:
        column = TABLE[check][0 if cause in (Cause.FIRST, Cause.KEEP) else 1]
        assert policy.rule(check, "x", cause, preset).demand == column.split()[number]


def test_the_table_here_knows_every_check() -> None:
    assert tuple(TABLE) == tuple(ROWS)


@pytest.mark.parametrize("preset", PRESETS)
def test_days(preset: str) -> None:
    options = policy.rule("age", "x", Cause.UPDATE, config(f"preset: {preset}")).options
    assert (options["first-days"], options["days"], options["version-tag-days"]) == DAYS[preset]


def test_only_what_has_something_to_say_is_asked() -> None:
    def names(one: Finding, cause: Cause, text: str = "") -> list[str]:
        return [check.name for check in policy.wanted(one, cause, config(text))]

    assert names(finding(), Cause.FIRST) == ["digest-honesty", "registries", "typosquat"]
    assert names(finding(), Cause.UPDATE) == ["digest-honesty", "registries", "typosquat", "age"]
    action = finding("actions/checkout@v4", kind=Kind.ACTION)
    assert names(action, Cause.FIRST) == ["typosquat", "git-refs", "nested-refs"]
    assert names(finding("acme/ci@v4", kind=Kind.INCLUDE), Cause.FIRST) == ["git-refs"]
    assert names(action, Cause.FIRST, "trust: {checks: {typosquat: off, nested-refs: off}}") == ["git-refs"]
    assert "age" not in names(finding(), Cause.KEEP, "preset: strict")
    assert "age" in names(finding(), Cause.FIRST, "preset: strict")


def test_settings_refine_the_preset() -> None:
    rule = policy.rule("age", "x", Cause.UPDATE, config("trust: {checks: {age: {days: 9}}}"))
    assert (rule.demand, rule.options["days"], rule.options["version-tag-days"]) == (Demand.REQUIRE, 9, 14)
    rule = policy.rule("age", "x", Cause.FIRST, config("trust: {checks: {age: {first-days: 9}}}"))
    assert rule.demand is Demand.OFF


def test_a_list_of_registries_wakes_the_check() -> None:
    text = "preset: relaxed\nregistries: {allow: [ghcr.io]}"
    rule = policy.rule("registries", "x", Cause.FIRST, config(text))
    assert rule.demand is Demand.WARN
    assert rule.options == {"allow": ("ghcr.io",)}
    rule = policy.rule("registries", "x", Cause.FIRST, config(text + "\ntrust: {checks: {registries: off}}"))
    assert rule.demand is Demand.OFF


ENVIRONMENTS = """
registries: {allow: [docker.io, ghcr.io]}
trust: {checks: {registries: warn}}
environments:
- {name: production, paths: [deploy/**], registries: {allow: [harbor.example.com]}, checks: {registries: require}}
- {name: eu, paths: [deploy/eu/**], registries: {allow: [eu.example.com, harbor.example.com]}}
- {name: play, paths: [play/**], checks: {registries: off}}
"""


def test_environments_take_the_place_of_what_is_general() -> None:
    def rule(path: str) -> tuple[str, list[Fact]]:
        made = policy.rule("registries", path, Cause.FIRST, config(ENVIRONMENTS))
        return made.demand.value, list(made.options.values())

    assert rule("Dockerfile") == ("warn", [("docker.io", "ghcr.io")])
    assert rule("deploy/x") == ("require", [("harbor.example.com",)])
    assert rule("play/x")[0] == "off"
    demand, lists = rule("deploy/eu/x")
    assert demand == "require"
    assert lists == [("harbor.example.com",), ("eu.example.com", "harbor.example.com")]


# --- floors -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "owner", "repository", "expected"),
    [
        ("", "", "trust: {checks: {typosquat: off}}", "off"),
        ("preset: default", "", "trust: {checks: {typosquat: off}}", "warn"),
        ("preset: default", "", "trust: {checks: {typosquat: require}}", "require"),
        ("preset: relaxed", "preset: strict", "trust: {checks: {typosquat: off}}", "require"),
        ("{preset: strict, delegate: [checks]}", "", "trust: {checks: {typosquat: off}}", "off"),
        ("{preset: strict, delegate: [checks.typosquat]}", "", "trust: {checks: {typosquat: off}}", "off"),
        ("{preset: strict, delegate: [checks.age]}", "", "trust: {checks: {typosquat: off}}", "require"),
        ("{preset: strict, delegate: [preset]}", "", "trust: {checks: {typosquat: off}}", "off"),
        (
            "{preset: strict, delegate: [checks]}",
            "preset: default",
            "trust: {checks: {typosquat: off}}",
            "warn",
        ),
        ("trust: {checks: {typosquat: warn}}", "", "trust: {checks: {typosquat: off}}", "warn"),
        ("trust: {checks: {typosquat: warn}}", "trust: {checks: {typosquat: off}}", "", "warn"),
        (
            "{preset: strict, trust: {checks: {typosquat: warn}}}",
            "",
            "trust: {checks: {typosquat: off}}",
            "warn",
        ),
        ("trust: {checks: {age: off}}", "", "trust: {checks: {typosquat: off}}", "off"),
        (
            "environments: [{name: all, paths: ['**'], checks: {typosquat: require}}]",
            "",
            "trust: {checks: {typosquat: off}}",
            "require",
        ),
        (
            "environments: [{name: d, paths: [deploy/**], checks: {typosquat: require}}]",
            "",
            "trust: {checks: {typosquat: off}}",
            "off",
        ),
        (
            "{environments: [{name: all, paths: ['**'], checks: {typosquat: require}}], delegate: [environments]}",
            "",
            "environments: [{name: all, paths: ['**'], checks: {typosquat: off}}]",
            "off",
        ),
        (
            "preset: strict",
            "",
            "environments: [{name: all, paths: ['**'], checks: {typosquat: off}}]",
            "require",
        ),
    ],
)
def test_floors_of_a_check(server: str, owner: str, repository: str, expected: str) -> None:
    made = policy.rule("typosquat", "Dockerfile", Cause.FIRST, merged(server, owner, repository))
    assert made.demand == expected


def test_floors_of_days() -> None:
    setting = "trust: {checks: {age: {days: %d}}}"
    for server, repository, expected in ((30, 3, 30), (3, 30, 30)):
        made = merged(setting % server, "", setting % repository)
        assert policy.rule("age", "x", Cause.UPDATE, made).options["days"] == expected
    made = merged("{" + setting % 30 + ", delegate: [checks.age]}", "", setting % 3)
    assert policy.rule("age", "x", Cause.UPDATE, made).options["days"] == 3


def test_a_repository_adds_no_names_to_a_floor() -> None:
    allow = "trust: {checks: {typosquat: {allow: [acme/mango]}}}"
    assert policy.rule("typosquat", "x", Cause.FIRST, merged("", "", allow)).options["allow"] == (
        "acme/mango",
    )
    assert (
        policy.rule("typosquat", "x", Cause.FIRST, merged("preset: strict", "", allow)).options["allow"] == ()
    )
    assert policy.rule("typosquat", "x", Cause.FIRST, merged(allow, "", "")).options["allow"] == (
        "acme/mango",
    )


def test_every_list_of_registries_holds() -> None:
    server, owner, own = (
        f"registries: {{allow: [{allow}]}}" for allow in ("ghcr.io", "ghcr.io/acme/**", "ghcr.io/**, quay.io")
    )
    made = policy.rule("registries", "x", Cause.FIRST, merged(server, owner, own))
    assert set(made.options.values()) == {("ghcr.io",), ("ghcr.io/acme/**",), ("ghcr.io/**", "quay.io")}
    delegated = merged(f"{{{server}, delegate: [registries]}}", "", own)
    made = policy.rule("registries", "x", Cause.FIRST, delegated)
    assert set(made.options.values()) == {("ghcr.io/**", "quay.io")}


def test_what_the_guard_takes() -> None:
    made = policy.guard(config(""))
    assert (made.floating, made.held, made.unreachable) == (Floating.FAIL, Floating.WARN, Unreachable.NEUTRAL)
    assert policy.guard(config("preset: strict")).unreachable is Unreachable.FAILURE
    assert policy.guard(config("guard: {floating: off}")).floating is Floating.OFF
    loose = "guard: {floating: off, unreachable: neutral}"
    assert policy.guard(merged("guard: {floating: warn}", "", loose)).floating is Floating.WARN
    assert policy.guard(merged("preset: strict", "", loose)).unreachable is Unreachable.FAILURE
    assert policy.guard(merged("{preset: strict, delegate: [guard]}", "", loose)).floating is Floating.OFF


_FILES = st.builds(
    lambda preset, demand, days, allow, delegate: "\n".join(
        filter(
            None,
            (
                f"preset: {preset}" if preset else "",
                f"trust: {{checks: {{typosquat: {demand}, age: {{demand: {demand}, days: {days}}}}}}}"
                if demand
                else "",
                f"registries: {{allow: [{allow}]}}" if allow else "",
                delegate,
            ),
        )
    ),
    st.sampled_from([None, *PRESETS]),
    st.sampled_from([None, *DEMANDS]),
    st.integers(0, 30),
    st.sampled_from([None, "ghcr.io", "quay.io"]),
    st.just(""),
)


@settings(max_examples=150, deadline=None)
@given(_FILES, _FILES, st.sampled_from(tuple(ROWS)), st.sampled_from(tuple(Cause)))
def test_a_repository_never_loosens_what_was_written_above(
    server: str, own: str, check: str, cause: Cause
) -> None:
    alone = policy.rule(check, "x", cause, merged(server))
    both = merged(server, "", own)
    made = policy.rule(check, "x", cause, both)
    said = parse("server.yml", server.encode(), policy=True)
    if "preset" in said.given or check in said.checks:
        assert DEMANDS.index(made.demand.value) >= DEMANDS.index(alone.demand.value)
        for option in ROWS[check].numbers if "preset" in said.given else ():
            least, now = alone.options[option], made.options[option]
            assert isinstance(least, int)
            assert isinstance(now, int)
            assert now >= least
    if check == "registries" and said.registries is not None:
        assert said.registries in made.options.values()


# --- what it comes to ---------------------------------------------------------------------

P, W, H, R = Outcome.PASS, Outcome.WARN, Outcome.HOLD, Outcome.REFUSE


@pytest.mark.parametrize(
    ("check", "demand", "ruling", "cause", "expected"),
    [
        ("digest-honesty", "off", "fail", "first", P),
        ("digest-honesty", "require", "pass", "first", P),
        ("digest-honesty", "require", "fail", "first", R),
        ("digest-honesty", "require", "unknown", "first", H),
        ("digest-honesty", "require", "unknown", "update", H),
        ("digest-honesty", "require", "unknown", "keep", W),
        ("digest-honesty", "require", "fail", "keep", R),
        ("digest-honesty", "warn", "fail", "update", W),
        ("digest-honesty", "warn", "unknown", "first", W),
        ("registries", "require", "fail", "update", R),
        ("typosquat", "require", "fail", "first", R),
        ("typosquat", "require", "unknown", "first", W),
        ("git-refs", "require", "fail", "first", R),
        ("age", "require", "fail", "update", H),
        ("age", "require", "unknown", "update", H),
        ("age", "require", "unknown", "first", H),
    ],
)
def test_the_arithmetic(check: str, demand: str, ruling: str, cause: str, expected: Outcome) -> None:
    assert policy.decide(ROWS[check], Demand(demand), Ruling(ruling), Cause(cause)) is expected


def test_good_evidence_passes_and_says_why() -> None:
    outcome, reasons = judged(candidate())
    assert outcome is P
    assert [one.check for one in reasons] == ["digest-honesty", "registries", "typosquat"]
    assert all(one.ruling is Ruling.PASS and one.text for one in reasons)
    assert reasons[0].demand == "require"


def test_the_worst_wins() -> None:
    squat = evidence("typosquat", like="node", strong=True)
    lies = evidence("digest-honesty", status=Status.INVALID)
    assert judged(candidate(), typosquat=squat)[0] is W
    assert judged(candidate(), typosquat=squat, digest_honesty=lies)[0] is R
    assert judged(candidate(), "preset: strict\nregistries: {allow: [docker.io]}", typosquat=squat)[0] is R


def test_an_update_must_earn_its_place() -> None:
    none = evidence("age", status=Status.ABSENT)
    assert judged(candidate(cause=Cause.FIRST), age=none)[0] is P
    assert judged(candidate(cause=Cause.UPDATE), age=none)[0] is H
    assert judged(candidate(cause=Cause.UPDATE))[0] is P
    young = evidence("age", since="2026-11-20T00:00:00+00:00")
    assert judged(candidate(cause=Cause.UPDATE), age=young)[0] is H
    assert judged(candidate(cause=Cause.UPDATE), "preset: relaxed", age=young)[0] is P
    # a version tag that moved waits longer than one that is meant to move
    week = evidence("age", since="2026-11-14T00:00:00+00:00")
    assert judged(candidate(cause=Cause.UPDATE), age=week)[0] is P
    assert judged(candidate("node:20.1.2", cause=Cause.UPDATE), age=week)[0] is H


def test_missing_or_foreign_evidence_is_unknown() -> None:
    outcome, reasons = policy.judge(candidate(), {}, {}, Config(), NOW)
    assert outcome is H
    assert {one.ruling for one in reasons} == {Ruling.UNKNOWN}
    other = Evidence(check="digest-honesty", digest=OLD, status=Status.VERIFIED)
    assert judged(candidate(), digest_honesty=other)[0] is H


def test_environments_count_by_the_file() -> None:
    assert judged(candidate(), ENVIRONMENTS)[0] is P
    assert judged(candidate(path="deploy/x"), ENVIRONMENTS)[0] is R
    assert judged(candidate(path="play/x"), ENVIRONMENTS)[0] is P


# --- exceptions ---------------------------------------------------------------------------

YOUNG = evidence("age", since="2026-11-22T00:00:00+00:00")
ALLOW = "allow: [{reference: %s, check: age, digest: '%s', until: %s, because: urgent}]"


@pytest.mark.parametrize(
    ("reference", "digest", "until", "expected"),
    [
        ("node", NEW, "2026-11-23", W),
        ("library/*", NEW, "2027-01-01", W),
        ("node", OLD, "2027-01-01", H),
        ("other", NEW, "2027-01-01", H),
        ("node", NEW, "2026-11-22", H),
    ],
)
def test_exceptions_in_the_configuration(reference: str, digest: str, until: str, expected: Outcome) -> None:
    outcome, reasons = judged(candidate(cause=Cause.UPDATE), ALLOW % (reference, digest, until), age=YOUNG)
    assert outcome is expected
    (age,) = (one for one in reasons if one.check == "age")
    assert age.ruling is Ruling.FAIL
    told = f"allowed by `allow` in .moorline.yml until {until}: urgent"
    assert (told in age.text) is (expected is W)


def test_an_exception_from_one_check_is_none_from_another() -> None:
    allow = ALLOW % ("node", NEW, "2027-01-01")
    lies = evidence("digest-honesty", status=Status.INVALID)
    assert judged(candidate(cause=Cause.UPDATE), allow, age=YOUNG, digest_honesty=lies)[0] is R


def test_an_exception_without_a_digest_is_for_names_alone() -> None:
    rule = AllowRule(reference="node", check="age", because="x")  # which no file can say
    loose = replace(config(""), allow=(rule,))
    new = {**GOOD, "age": YOUNG}
    assert policy.judge(candidate(cause=Cause.UPDATE), {}, new, loose, NOW)[0] is H


def test_names_are_excepted_without_a_digest() -> None:
    squat = evidence("typosquat", like="node", strong=True)
    text = "preset: strict\nregistries: {allow: [docker.io]}\n"
    allow = "allow: [{reference: node, check: typosquat, because: ours}]"
    assert judged(candidate(), text, typosquat=squat)[0] is R
    assert judged(candidate(), text + allow, typosquat=squat)[0] is W


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, W),
        ({"reference": "docker.io/library/node:20"}, W),
        ({"reference": "node:*"}, H),
        ({"reference": "node"}, H),
        ({"digest": OLD}, H),
        ({"digest": None}, H),
        ({"what": "ignore"}, H),
        ({"checks": ("registries",)}, H),
        ({"checks": ()}, H),  # as it was stored before checks were: nobody knows what was excused
        ({"until": None}, W),
        ({"until": datetime(2026, 11, 23, 11, tzinfo=UTC)}, H),
    ],
)
def test_decisions_of_people(changed: dict[str, object], expected: Outcome) -> None:
    values: dict[str, object] = {
        "by": "ada",
        "what": "allow",
        "reference": "node:20",
        "digest": NEW,
        "until": datetime(2026, 12, 1, tzinfo=UTC),
        "because": "urgent",
        "checks": ("registries", "age"),
        **changed,
    }
    decision = Decision(**values)  # type: ignore[arg-type]  # the table above changes one value at a time
    outcome, reasons = judged(candidate(cause=Cause.UPDATE), age=YOUNG, decisions=(decision,))
    assert outcome is expected
    assert any("allowed by ada" in one.text for one in reasons) is (expected is W)


def test_nobody_allows_a_lie() -> None:
    decision = Decision(
        by="ada",
        what="allow",
        reference="node:20",
        digest=NEW,
        until=None,
        because="x",
        checks=("digest-honesty",),
    )
    lies = evidence("digest-honesty", status=Status.INVALID)
    assert judged(candidate(), digest_honesty=lies, decisions=(decision,))[0] is R


def test_an_exception_leaves_a_pass_alone() -> None:
    decision = Decision(
        by="ada",
        what="allow",
        reference="node:20",
        digest=NEW,
        until=None,
        because="x",
        checks=("age",),
    )
    outcome, reasons = judged(candidate(), decisions=(decision,))
    assert outcome is P
    assert not any("allowed" in one.text for one in reasons if one.check != "registries")


def test_a_rulebook_says_what_the_rules_say() -> None:
    made = config(ENVIRONMENTS)
    book = policy.Rulebook(made)
    for path in ("Dockerfile", "deploy/Dockerfile", "deploy/prod/Dockerfile", "x/y.yml"):
        for cause in Cause:
            for _ in range(2):
                one = finding(path=path)
                assert book.rules(one, cause) == policy.rules(one, cause, made)
                assert book.wanted(one, cause) == policy.wanted(one, cause, made)
