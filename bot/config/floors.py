"""Several files at once: whose word counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from bot import globs
from bot.config.nouns import (
    AllowRule,
    CheckSetting,
    Config,
    Floating,
    Guard,
    Limits,
    Mode,
    Own,
    Places,
    Preset,
    Schedule,
    Unreachable,
    Updates,
)
from bot.cron import Cron
from bot.presets import DEMANDS, GUARD, PRESETS, ROWS, DemandName

_DEMAND_NAMES: tuple[str, ...] = DEMANDS
_GUARDED: Mapping[str, tuple[str, ...]] = {
    "floating": tuple(Floating),
    "held": tuple(Floating),
    "unreachable": tuple(Unreachable),
}
"""The parts of the guard, each with its words, looser first."""
K = TypeVar("K", bound=str)


def merge(server: Config, owner: Config | Sequence[Config], repository: Config) -> Config:
    """Return the configuration that rules a repository; of nested groups there are several owners, nearest first.

    The most specific file decides.  What the server or the owner wrote down is a floor: those
    below tighten it, and loosen only what it delegates; what they say in vain is in `overruled`.
    """
    owners = (owner,) if isinstance(owner, Config) else tuple(owner)
    levels = (repository, *owners, server)
    vain: list[str] = []
    allow = _exceptions(levels, vain)
    _settings_in_vain(levels, vain)
    _guard_in_vain(levels, vain)
    last = _LastWord(levels)
    return Config(
        path=repository.path,
        given=frozenset().union(*(one.given for one in levels)),
        preset=_tightest(levels, "preset", tuple(Preset), vain),
        mode=_tightest(levels, "mode", tuple(Mode), vain),
        own=_tightest(levels, "own", tuple(Own), vain),
        formats=_formats(levels, vain),
        places=_places(levels),
        ignore=tuple(rule for one in levels for rule in one.ignore),
        allow=allow,
        registries=last.of("registries.allow").registries,
        environments=last.of("environments").environments,
        checks=_joined(levels),
        keep_tags=tuple(dict.fromkeys(glob for one in levels for glob in one.keep_tags)),
        branch_prefix=last.of("proposal.branch-prefix").branch_prefix,
        title_prefix=last.of("proposal.title-prefix").title_prefix,
        commit_prefix=last.of("proposal.commit-prefix").commit_prefix,
        sign_off=last.of("proposal.sign-off").sign_off,
        guard=Guard(
            floating=last.of("guard.floating").guard.floating,
            held=last.of("guard.held").guard.held,
            unreachable=last.of("guard.unreachable").guard.unreachable,
        ),
        issue=last.of("proposal.issue").issue,
        group=last.of("proposal.group").group,
        labels=last.of("proposal.labels").labels,
        reviewers=last.of("proposal.reviewers").reviewers,
        assignees=last.of("proposal.assignees").assignees,
        draft=last.of("proposal.draft").draft,
        squash=last.of("proposal.squash").squash,
        remove_source_branch=last.of("proposal.remove-source-branch").remove_source_branch,
        refs=tuple(dict.fromkeys(glob for one in counting(levels, "refs") for glob in one.refs)),
        updates=_tightest(levels, "updates", tuple(Updates), vain),
        schedule=_schedule(levels),
        limits=_limits(levels, vain),
        floors=tuple(_insisted(one) for one in (server, *reversed(owners)) if one.given),
        overruled=tuple(vain),
    )


class _LastWord:
    """The most specific of several files that has a key."""

    def __init__(self, levels: Sequence[Config]) -> None:
        self._levels = levels

    def of(self, key: str) -> Config:
        return next((one for one in self._levels if key in one.given), self._levels[-1])


def _tightest(levels: Sequence[Config], key: str, order: Sequence[K], vain: list[str]) -> K:
    chosen: K | None = None
    for one in levels:
        if key not in one.given:
            continue
        value: K = getattr(one, key)
        if chosen is None:
            chosen = value
        elif key not in one.delegate and order.index(value) > order.index(chosen):
            vain.append(f"`{key}: {chosen}` does not count: {_whose(one)} says `{value}`.")
            chosen = value
    default: K = getattr(Config(), key)
    return default if chosen is None else chosen


def counting(levels: Sequence[Config], key: str) -> list[Config]:
    """Return those of several files, most specific first, whose word on a key counts beside the others'.

    That is the most specific one that has the key, and each above that does not delegate it.
    """
    made: list[Config] = []
    for one in levels:
        if key in one.given and not (made and key.partition(".")[0] in one.delegate):
            made.append(one)
    return made


def _schedule(levels: Sequence[Config]) -> Schedule:
    first = [cron for one in counting(levels, "schedule.first") for cron in one.schedule.first]
    refresh = [cron for one in counting(levels, "schedule.refresh") for cron in one.schedule.refresh]
    default = Schedule()
    return Schedule(first=_agreeing(first) or default.first, refresh=_agreeing(refresh) or default.refresh)


def _agreeing(crons: Sequence[Cron]) -> tuple[Cron, ...]:
    return tuple(dict.fromkeys(crons))


def _limits(levels: Sequence[Config], vain: list[str]) -> Limits:
    made: dict[str, int] = {}
    for name in ("open", "first-per-day", "per-day"):
        field = name.replace("-", "_")
        for one in counting(levels, f"limits.{name}"):
            value: int = getattr(one.limits, field)
            if value < made.setdefault(field, value):
                vain.append(f"`limits.{name}: {made[field]}` does not count: {_whose(one)} says `{value}`.")
                made[field] = value
    return Limits(**made)


def _formats(levels: Sequence[Config], vain: list[str]) -> Mapping[str, bool]:
    made: dict[str, bool] = {}
    for one in levels:
        for name, on in one.formats.items():
            if not made.setdefault(name, on) and on and "formats" not in one.delegate:
                vain.append(f"`formats.{name}: false` does not count: {_whose(one)} says `true`.")
                made[name] = True
    return MappingProxyType(made)


def _joined(levels: Sequence[Config]) -> Mapping[str, CheckSetting]:
    made: dict[str, CheckSetting] = {}
    for one in reversed(levels):
        for name, setting in one.checks.items():
            before = made.get(name, CheckSetting())
            made[name] = CheckSetting(
                demand=setting.demand or before.demand,
                options=MappingProxyType({**before.options, **setting.options}),
            )
    return MappingProxyType(made)


def _places(levels: Sequence[Config]) -> tuple[Places, ...]:
    return tuple(
        replace(place, binding=one is not levels[0] and "paths" not in one.delegate)
        for one in levels
        for place in one.places
    )


def _exceptions(levels: Sequence[Config], vain: list[str]) -> tuple[AllowRule, ...]:
    made: list[AllowRule] = []
    for number, one in enumerate(levels):
        for rule in one.allow:
            against = [
                upper
                for upper in levels[number + 1 :]
                if "allow" not in upper.delegate and binds(_insisted(upper), rule.check)
            ]
            if against:
                vain.append(
                    f"the exception of {rule.reference!r} from {rule.check} does not count: "
                    f"{_whose(against[0])} does not delegate `allow`."
                )
            else:
                made.append(rule)
    return tuple(made)


def _settings_in_vain(levels: Sequence[Config], vain: list[str]) -> None:
    """Tell of settings that a floor overrules wherever they apply; the policy works the rest out."""
    for number, one in enumerate(levels):
        for name, setting in one.checks.items():
            if setting.demand is None:
                continue
            for upper in levels[number + 1 :]:
                least = _least(_insisted(upper), name)
                if least is not None and DEMANDS.index(least) > _DEMAND_NAMES.index(setting.demand):
                    vain.append(
                        f"`trust.checks.{name}: {setting.demand}` does not count: {_whose(upper)} says `{least}`."
                    )
                    break


def _guard_in_vain(levels: Sequence[Config], vain: list[str]) -> None:
    """Tell of what a file says of the guard although a floor says more."""
    for number, one in enumerate(levels):
        for name, order in _GUARDED.items():
            said: str | None = getattr(one.guard, name)
            for upper in levels[number + 1 :]:
                least = _least_guarded(upper, name)
                if said is not None and least is not None and order.index(least) > order.index(said):
                    vain.append(f"`guard.{name}: {said}` does not count: {_whose(upper)} says `{least}`.")
                    break


def _least_guarded(floor: Config, name: str) -> str | None:
    """Return how the guard takes something at least, as a floor has it."""
    if "guard" in floor.delegate:
        return None
    said: str | None = getattr(floor.guard, name)
    if said is None and "preset" in _insisted(floor).given:
        rows: tuple[str, ...] = getattr(GUARD, name)
        return rows[PRESETS.index(floor.preset.value)]
    return said


def _least(floor: Config, check: str) -> DemandName | None:
    """Return what a floor asks of a check at least, whatever is done and wherever."""
    if not binds(floor, check):
        return None
    said = floor.checks.get(check)
    if said is not None and said.demand is not None:
        return DEMANDS[_DEMAND_NAMES.index(said.demand)]
    if "preset" not in floor.given:
        return None
    row, at = ROWS[check], PRESETS.index(floor.preset.value)
    return min(row.first[at], row.update[at], key=DEMANDS.index)


def _whose(one: Config) -> str:
    return one.path or "the server's policy"


def _insisted(one: Config) -> Config:
    """Return a server's or owner's file without what it delegates."""
    gone = set(one.delegate)
    checks = {
        name: setting for name, setting in one.checks.items() if not gone & {"checks", f"checks.{name}"}
    }
    given = {key for key in one.given if key.split(".")[0] not in gone}
    return replace(
        one,
        given=frozenset(given),
        checks=MappingProxyType(checks),
        registries=None if "registries" in gone else one.registries,
        environments=() if "environments" in gone else one.environments,
        guard=Guard() if "guard" in gone else one.guard,
    )


def binds(floor: Config, check: str, path: str | None = None) -> bool:
    """Return whether a floor says anything of a check, for one file or for any."""
    if floor.delegate & {"checks", f"checks.{check}"}:
        return False
    if "preset" in floor.given or check in floor.checks:
        return True
    if check == "registries" and floor.registries is not None:
        return True
    return any(
        check in one.checks or (check == "registries" and one.registries is not None)
        for one in floor.environments
        if path is None or any(globs.matches(glob, path) for glob in one.paths)
    )
