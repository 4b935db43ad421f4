"""What rules in the end, key by key, and which file it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from operator import attrgetter
from typing import Any

from bot.config.floors import counting, merge
from bot.config.nouns import CheckSetting, Config
from bot.config.table import FORMATS
from bot.cron import Cron
from bot.presets import GUARD, PRESETS

_CHOSEN = ("preset", "mode", "own", "updates")
_LIMITS = ("open", "first-per-day", "per-day")
_PROPOSAL = (
    *("branch-prefix", "title-prefix", "commit-prefix", "sign-off", "issue", "group", "labels", "reviewers"),
    *("assignees", "draft", "squash", "remove-source-branch"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One key, what it comes to, and who says so."""

    key: str
    """Dotted, as in the file."""
    value: Any
    """As JSON has it: text, numbers, truth values, lists, mappings; None where nothing is set."""
    files: tuple[str, ...] = ()
    """The files that it comes from, most specific first; none for the default."""


def origins(server: Config, owner: Config, repository: Config) -> Iterator[Origin]:
    """Yield every key of what `merge` makes of three files."""
    levels = (repository, owner, server)
    whole = merge(server, owner, repository)
    for key in _CHOSEN:
        yield _of(levels, key, attrgetter(key), getattr(whole, key))
    for name in FORMATS:
        on = whole.formats.get(name, True)
        there = [one.path for one in levels if one.formats.get(name) is on]
        yield Origin(key=f"formats.{name}", value=on, files=tuple(there[:1]))
    yield _joined(levels, "paths.include", [glob for one in whole.places for glob in one.include])
    yield _joined(levels, "paths.exclude", [glob for one in whole.places for glob in one.exclude])
    yield _joined(levels, "ignore", whole.ignore)
    yield Origin(
        key="allow",
        value=_plain(whole.allow),
        files=tuple(dict.fromkeys(rule.origin for rule in whole.allow)),
    )
    yield _last(levels, "registries.allow", whole.registries)
    yield _last(levels, "environments", whole.environments)
    for name, setting in whole.checks.items():
        yield _joined(levels, f"trust.checks.{name}", _setting(setting))
    yield _joined(levels, "keep-tags", whole.keep_tags)
    for name in _PROPOSAL:
        yield _last(levels, f"proposal.{name}", getattr(whole, name.replace("-", "_")))
    yield _counted(levels, "refs", whole.refs)
    yield _counted(levels, "schedule.first", whole.schedule.first)
    yield _counted(levels, "schedule.refresh", whole.schedule.refresh)
    for name in _LIMITS:
        field = name.replace("-", "_")
        yield _of(levels, f"limits.{name}", attrgetter(f"limits.{field}"), getattr(whole.limits, field))
    for name in ("floating", "held", "unreachable"):
        said = getattr(whole.guard, name)
        by_preset = getattr(GUARD, name)[PRESETS.index(whole.preset.value)]
        yield _last(levels, f"guard.{name}", by_preset if said is None else said)


def _of(levels: Sequence[Config], key: str, value: Callable[[Config], Any], chosen: Any) -> Origin:
    """Return a key that one file decides: the most specific that says what was chosen."""
    there = [one.path for one in levels if key in one.given and value(one) == chosen]
    return Origin(key=key, value=_plain(chosen), files=tuple(there[:1]))


def _last(levels: Sequence[Config], key: str, value: Any) -> Origin:
    there = [one.path for one in levels if key in one.given]
    return Origin(key=key, value=_plain(value), files=tuple(there[:1]))


def _counted(levels: Sequence[Config], key: str, value: Any) -> Origin:
    return Origin(key=key, value=_plain(value), files=tuple(one.path for one in counting(levels, key)))


def _joined(levels: Sequence[Config], key: str, value: Any) -> Origin:
    return Origin(key=key, value=_plain(value), files=tuple(one.path for one in levels if key in one.given))


def _setting(setting: CheckSetting) -> dict[str, Any]:
    demand = {} if setting.demand is None else {"demand": setting.demand}
    return {**demand, **setting.options}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; what is None or empty in a rule is left out."""
    if isinstance(value, Cron):
        return value.text
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, CheckSetting):
        return _plain(_setting(value))
    if is_dataclass(value):
        said = {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
        return {name: text for name, text in said.items() if text not in (None, [], {}, "")}
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, str) else value
