"""The policy: what is asked of each finding, and what the rulings come to.

A first pin may be unverified, since holding it leaves the tag floating, which is worse; a required
check passes only on a pass.  The server's and the owner's settings are floors, worked out check by
check and file by file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from bot import globs
from bot.config import (
    AllowRule,
    CheckSetting,
    Config,
    Environment,
    Floating,
    Guard,
    Preset,
    Unreachable,
    binds,
)
from bot.model import (
    Candidate,
    Cause,
    Decision,
    Evidence,
    Fact,
    Finding,
    Outcome,
    Reason,
    Ruling,
    Status,
    Verdict,
)
from bot.presets import GUARD, ROWS, Row
from bot.trust import CHECKS
from bot.trust.base import Check, Demand, Judgement, Rule

_REGISTRIES = "registries"
_PRESETS = tuple(Preset)
_DEMANDS = tuple(Demand)
_OUTCOMES = tuple(Outcome)
_DEMAND_NAMES = frozenset(one.value for one in Demand)
_FIRST = frozenset({Cause.FIRST, Cause.KEEP})
T = TypeVar("T", bound=str)


# --- what is asked ------------------------------------------------------------------------


def wanted(finding: Finding, cause: Cause, config: Config) -> tuple[Check, ...]:
    """Return the checks that have something to say of a finding, and whose word is asked for."""
    return tuple(CHECKS[name] for name in rules(finding, cause, config))


class Rulebook:
    """The rules of one configuration, worked out once for findings that are alike."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._places = tuple(one for each in (config, *config.floors) for one in each.environments)
        self._made: dict[tuple[object, ...], Mapping[str, Rule]] = {}

    def rules(self, finding: Finding, cause: Cause) -> Mapping[str, Rule]:
        """Return what `rules` returns for a finding."""
        path = finding.location.path
        here = tuple(any(globs.matches(glob, path) for glob in one.paths) for one in self._places)
        key = (finding.kind, cause, here)
        if key not in self._made:
            self._made[key] = rules(finding, cause, self._config)
        return self._made[key]

    def of_names(self, finding: Finding) -> Mapping[str, Rule]:
        """Return the rules of the checks that judge a name alone: they count for what is ignored, too."""
        made = self.rules(finding, Cause.FIRST)
        return {name: one for name, one in made.items() if ROWS[name].by_name}

    def wanted(self, finding: Finding, cause: Cause) -> tuple[Check, ...]:
        """Return what `wanted` returns for a finding."""
        return tuple(CHECKS[name] for name in self.rules(finding, cause))


def rules(finding: Finding, cause: Cause, config: Config) -> Mapping[str, Rule]:
    """Return by name the rule of each check that is asked for."""
    made: dict[str, Rule] = {}
    for name, check in CHECKS.items():
        if finding.kind not in check.kinds or (cause is Cause.KEEP and ROWS[name].moves_only):
            continue
        made[name] = rule(name, finding.location.path, cause, config)
    return {name: one for name, one in made.items() if one.demand is not Demand.OFF}


def rule(check: str, path: str, cause: Cause, config: Config) -> Rule:
    """Return how one check is taken for one file, floors included."""
    made = _stated(check, path, cause, config, preset=True)
    for floor in config.floors:
        if binds(floor, check, path):
            least = _stated(check, path, cause, floor, preset="preset" in floor.given)
            made = _tighter(check, made, least)
    return made


def environments(path: str, config: Config) -> frozenset[str]:
    """Return the names of the environments that a file belongs to, those of floors included."""
    return frozenset(
        one.name
        for each in (config, *config.floors)
        for one in each.environments
        if any(globs.matches(glob, path) for glob in one.paths)
    )


def _stated(check: str, path: str, cause: Cause, config: Config, *, preset: bool) -> Rule:
    """Return what one configuration says by itself; without `preset` only what is written down."""
    row = ROWS[check]
    made = Rule(demand=Demand.OFF)
    if preset:
        at = _PRESETS.index(config.preset)
        column = row.first if cause in _FIRST else row.update
        numbers: dict[str, Fact] = {name: days[at] for name, days in row.numbers.items()}
        made = Rule(demand=Demand(column[at]), options=numbers)
    made = _refined(made, config.checks.get(check), config.registries if check == _REGISTRIES else None)
    here = [one for one in config.environments if any(globs.matches(glob, path) for glob in one.paths)]
    if not here:
        return made
    in_each = [_in_environment(check, made, one) for one in here]
    first, *others = in_each
    for other in others:
        first = _tighter(check, first, other)
    return first


def _in_environment(check: str, base: Rule, environment: Environment) -> Rule:
    registries = environment.registries if check == _REGISTRIES else None
    return _refined(base, environment.checks.get(check), registries)


def _refined(base: Rule, setting: CheckSetting | None, registries: tuple[str, ...] | None) -> Rule:
    options = dict(base.options)
    demand = base.demand
    if registries is not None:
        options["allow"] = registries
        if demand is Demand.OFF:
            demand = Demand.WARN  # whoever writes a list wants to hear of what is not on it
    if setting is not None:
        options.update(setting.options)
        demand = Demand(setting.demand) if setting.demand is not None else demand
    return Rule(demand=demand, options=options)


def _tighter(check: str, one: Rule, floor: Rule) -> Rule:
    """Return what satisfies both rules."""
    row = ROWS[check]
    options = dict(one.options)
    for name in row.numbers:
        both = [value for value in (one.options.get(name), floor.options.get(name)) if isinstance(value, int)]
        if both:
            options[name] = max(both)
    for name in row.lists:
        options[name] = floor.options.get(name, ())  # those below let no further name pass
    if check == _REGISTRIES:
        lists = [value for key, value in sorted(one.options.items()) if key.startswith("allow")]
        lists += [value for key, value in sorted(floor.options.items()) if key.startswith("allow")]
        distinct = dict.fromkeys(lists)
        options = {f"allow-{number}" if number else "allow": value for number, value in enumerate(distinct)}
    demand = max(one.demand, floor.demand, key=_DEMANDS.index)
    return Rule(demand=demand, options=options)


def guard(config: Config) -> Guard:
    """Return what makes the guard fail, every part of it said."""
    made = _guard(config)
    for floor in config.floors:
        if "guard" in floor.delegate:
            continue
        least = _guard(floor) if "preset" in floor.given else floor.guard
        made = Guard(
            floating=_later(made.floating, least.floating, tuple(Floating)),
            held=_later(made.held, least.held, tuple(Floating)),
            unreachable=_later(made.unreachable, least.unreachable, tuple(Unreachable)),
        )
    return made


def _guard(config: Config) -> Guard:
    at = _PRESETS.index(config.preset)
    said = config.guard
    return Guard(
        floating=said.floating or Floating(GUARD.floating[at]),
        held=said.held or Floating(GUARD.held[at]),
        unreachable=said.unreachable or Unreachable(GUARD.unreachable[at]),
    )


def _later(one: T | None, other: T | None, order: tuple[T, ...]) -> T | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=order.index)


# --- what it comes to ---------------------------------------------------------------------


def judge(
    candidate: Candidate,
    old: Mapping[str, Evidence],
    new: Mapping[str, Evidence],
    config: Config,
    now: datetime,
    decisions: Iterable[Decision] = (),
    asked: Mapping[str, Rule] | None = None,
) -> tuple[Outcome, tuple[Reason, ...]]:
    """Return the outcome for a candidate, and a reason for each check that was asked.

    `asked` are the candidate's rules, where they are worked out already.
    """
    asked = rules(candidate.finding, candidate.cause, config) if asked is None else asked
    settled = tuple(decisions)
    worst = Outcome.PASS
    reasons: list[Reason] = []
    for name, one in asked.items():
        judgement = _judgement(name, candidate, old, new, one, now)
        outcome = decide(ROWS[name], one.demand, judgement.ruling, candidate.cause)
        text = judgement.text
        if outcome in (Outcome.HOLD, Outcome.REFUSE) and ROWS[name].excepted:
            words = settled if may_except(name, candidate.finding.location.path, config) else ()
            exception = _exception(name, candidate, config.allow, words, now)
            if exception is not None:
                outcome, text = Outcome.WARN, f"{text}; {exception}"
        reasons.append(Reason(check=name, ruling=judgement.ruling, text=text, demand=one.demand.value))
        worst = max(worst, outcome, key=_OUTCOMES.index)
    return worst, tuple(reasons)


def may_except(check: str, path: str, config: Config) -> bool:
    """Return whether those who look after a repository may make exceptions from a check for a file.

    Where the server or the owner insists on the check and does not delegate `allow`, nobody may.
    """
    return ROWS[check].excepted and not any(
        "allow" not in floor.delegate and binds(floor, check, path) for floor in config.floors
    )


def held_by(verdict: Verdict) -> tuple[str, ...]:
    """Return the checks that hold or refuse a verdict, or would if nobody had made an exception."""
    candidate = verdict.candidate
    if candidate is None:
        return ()
    return tuple(
        one.check
        for one in verdict.reasons
        if one.check in ROWS
        and one.demand in _DEMAND_NAMES
        and decide(ROWS[one.check], Demand(one.demand), one.ruling, candidate.cause)
        in (Outcome.HOLD, Outcome.REFUSE)
    )


def decide(row: Row, demand: Demand, ruling: Ruling, cause: Cause) -> Outcome:
    """Return what one ruling comes to: the whole of the policy's arithmetic."""
    if demand is Demand.OFF or ruling is Ruling.PASS:
        return Outcome.PASS
    if demand is Demand.WARN:
        return Outcome.WARN
    if ruling is Ruling.FAIL:
        return row.failed
    if cause is Cause.KEEP:
        return Outcome.WARN  # nothing is written: there is nothing to hold
    return row.unknown


def _judgement(
    name: str,
    candidate: Candidate,
    old: Mapping[str, Evidence],
    new: Mapping[str, Evidence],
    one: Rule,
    now: datetime,
) -> Judgement:
    evidence = new.get(name)
    if evidence is None or evidence.digest != candidate.target:
        return Judgement(ruling=Ruling.UNKNOWN, text="nothing was gathered")
    before = None if candidate.cause in _FIRST else old.get(name)
    if candidate.cause not in _FIRST and before is None and candidate.current is not None:
        before = Evidence(check=name, digest=candidate.current, status=Status.ABSENT)
    return CHECKS[name].judge(candidate.finding, before, evidence, one, now)


def _exception(
    check: str,
    candidate: Candidate,
    allowed: Iterable[AllowRule],
    decisions: Iterable[Decision],
    now: datetime,
) -> str | None:
    """Return who allowed this, until when and why, or None."""
    reference = candidate.finding.reference
    if reference is None:
        return None
    for one in allowed:
        if (
            one.check == check
            and (one.digest == candidate.target or (one.digest is None and ROWS[check].by_name))
            and (one.until is None or now.date() <= one.until)
            and globs.names(one.reference, reference)
        ):
            return _by(f"`allow` in {one.origin or 'the configuration'}", one.until, one.because)
    for decision in decisions:
        if (
            decision.what == "allow"
            and check in decision.checks
            and decision.digest == candidate.target
            and (decision.until is None or now <= decision.until)
            and decision.reference in globs.spellings(reference)
        ):
            return _by(decision.by, decision.until.date() if decision.until else None, decision.because)
    return None


def _by(who: str, until: object | None, because: str) -> str:
    limit = f" until {until}" if until is not None else ""
    return f"allowed by {who}{limit}: {because}"
