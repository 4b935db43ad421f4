"""What rules in the end, key by key, and which file it comes from.  Checks and the guard are the policy's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from operator import attrgetter
from typing import Any, TypeAlias

from bot.config.floors import counting, merge
from bot.config.nouns import CheckSetting, Config
from bot.config.table import FORMATS
from bot.cron import Cron

_CHOSEN = ("preset", "mode", "own", "updates")
_LIMITS = ("open", "first-per-day", "per-day")
_PROPOSAL = (
    *("branch-prefix", "title-prefix", "commit-prefix", "sign-off", "issue", "group", "labels", "reviewers"),
    *("assignees", "draft", "squash", "remove-source-branch"),
)


Levels: TypeAlias = tuple[Config, Config, Config]
"""The repository's file, the owner's, the server's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One key, what it comes to, and who says so."""

    key: str
    """Dotted, as in the file."""
    value: Any
    """As JSON has it: text, numbers, truth values, lists, mappings; None where nothing is set."""
    files: tuple[str, ...] = ()
    """The files that it comes from, most specific first; none for the default."""


def origin(key: str, levels: Levels, value: Callable[[Config], Any], *keys: str) -> Origin:
    """Return a key's value in what `merge` makes of three files; it comes from those without which it differs.

    Where each alone is enough, from those that have one of `keys`.
    """
    repository, owner, server = levels
    whole = value(merge(server, owner, repository))
    without = (
        merge(server, owner, Config()),
        merge(server, Config(), repository),
        merge(Config(), owner, repository),
    )
    files = [one.path for one, rest in zip(levels, without, strict=True) if value(rest) != whole]
    files = files or [one.path for one in levels if one.given.intersection(keys)]
    return Origin(key=key, value=_plain(whole), files=tuple(files))


def origins(levels: Levels) -> Iterator[Origin]:
    """Yield every key of what `merge` makes of three files, but for what the policy works out."""
    repository, owner, server = levels
    whole = merge(server, owner, repository)
    for key in _CHOSEN:
        yield _of(levels, key, attrgetter(key), getattr(whole, key))
    for name in FORMATS:
        on = whole.formats.get(name, True)
        said = [one.path for one in levels if one.formats.get(name) is on]
        yield Origin(key=f"formats.{name}", value=on, files=tuple(said[:1]))
    yield _joined(levels, "paths.include", [glob for one in whole.places for glob in one.include])
    yield _joined(levels, "paths.exclude", [glob for one in whole.places for glob in one.exclude])
    yield _joined(levels, "ignore", whole.ignore)
    yield Origin(
        key="allow",
        value=_plain(whole.allow),
        files=tuple(dict.fromkeys(rule.origin for rule in whole.allow)),
    )
    lists = [one.registries for one in counting(levels, "registries.allow")]
    yield _counted(levels, "registries.allow", lists if len(lists) > 1 else lists[0] if lists else None)
    there = [place for one in counting(levels, "environments") for place in one.environments]
    yield _counted(levels, "environments", there)
    yield _joined(levels, "keep-tags", whole.keep_tags)
    for name in _PROPOSAL:
        yield _last(levels, f"proposal.{name}", getattr(whole, name.replace("-", "_")))
    yield _counted(levels, "refs", whole.refs)
    yield _counted(levels, "schedule.first", whole.schedule.first)
    yield _counted(levels, "schedule.refresh", whole.schedule.refresh)
    for name in _LIMITS:
        field = name.replace("-", "_")
        yield _of(levels, f"limits.{name}", attrgetter(f"limits.{field}"), getattr(whole.limits, field))


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
