"""`moorline config check`: what is wrong with a configuration, what it says in vain, what rules in the end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bot import wiring
from bot.config import CONFIG_PATHS, MAX_BYTES, PLACES, Config, load, merge, parse, problems
from bot.config.origins import Levels, Origin, origin, origins
from bot.errors import ConfigurationError
from bot.forges.directory import Directory
from bot.model import Cause
from bot.output.wrapping import wrapped
from bot.presets import ROWS
from bot.progress import columns
from bot.settings import Lookups
from bot.trust import policy
from bot.visible import visible

CLEAN, WRONG = 0, 2
_LONGEST = 2000
"""Characters of a value or a problem that a terminal is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One of the files: whose it is, where it stands, what it says and what is wrong with it."""

    whose: str
    path: str = ""
    """Empty where there is none."""
    config: Config = field(default_factory=Config)
    problems: tuple[ConfigurationError, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check found."""

    levels: tuple[Level, ...]
    """Most specific first."""
    overruled: tuple[str, ...] = ()
    lapsed: tuple[str, ...] = ()
    """Rules whose last day is over, a sentence each."""
    effective: tuple[Origin, ...] = ()
    """Nothing where a file is wrong."""

    @property
    def problems(self) -> tuple[ConfigurationError, ...]:
        """Return the problems of all files."""
        return tuple(one for level in self.levels for one in level.problems)


def check(path: Path, *, owner: Path | None, server: Path | None, format_: str) -> int:
    """Print what is found about the configuration in a folder, or in a file; return the exit code."""
    found = checked(path, owner=owner, server=server)
    text = _json(found) if format_ == "json" else "".join(f"{line}\n" for line in _lines(found, columns()))
    sys.stdout.write(text)
    return WRONG if found.problems else CLEAN


def checked(path: Path, *, owner: Path | None = None, server: Path | None = None) -> Checked:
    """Return what is found about the configuration in a folder, or in a file.

    Without `server`, the policy that the settings name counts.  Raises `UsageError` for a folder
    that is not there.
    """
    above = _policy("owner", owner)
    top = _policy("server", server) if server is not None else _set_policy()
    levels = (_repository(path, owner), above, top)
    if any(level.problems for level in levels):
        return Checked(levels=levels)
    own, middle, floor = (level.config for level in levels)
    merged = merge(floor, middle, own)
    return Checked(
        levels=levels,
        overruled=merged.overruled,
        lapsed=merged.lapsed(datetime.now(UTC).date()),
        effective=(*origins((own, middle, floor)), *_judged((own, middle, floor))),
    )


def _judged(levels: Levels) -> Iterator[Origin]:
    """Yield what the policy asks of each check outside of environments, and what makes the guard fail."""
    for name in ROWS:
        keys = ("preset", f"trust.checks.{name}", *(("registries.allow",) if name == "registries" else ()))
        yield origin(f"trust.checks.{name}", levels, partial(_asked, name), *keys)
    for name in ("floating", "held", "unreachable"):
        yield origin(f"guard.{name}", levels, partial(_guarded, name), "preset", f"guard.{name}")


def _asked(check: str, config: Config) -> dict[str, Any]:
    """Return what is asked of a first pin, of an update, and with which options."""
    first, update = (policy.rule(check, "", cause, config) for cause in (Cause.FIRST, Cause.UPDATE))
    return {"first": first.demand.value, "update": update.demand.value, **update.options}


def _guarded(part: str, config: Config) -> str:
    return str(getattr(policy.guard(config), part))


def _repository(path: Path, owner: Path | None) -> Level:
    if path.is_file():
        return _read("repository", path, policy=False)
    directory = Directory(path)
    if owner is not None and any(_same(owner, path / place) for place in PLACES):
        return Level(whose="repository")  # the owner's policy is the only one of the repository it stands in
    files = directory.read(CONFIG_PATHS)
    if not files:
        aside = tuple(
            ConfigurationError(
                f"the configuration is not read: {one.detail or one.reason.value}",
                path=one.path,
                expected="a regular file of the repository",
            )
            for one in directory.unread(CONFIG_PATHS)
        )
        return Level(whose="repository", path=aside[0].path if aside else "", problems=aside)
    there = next((place for place in PLACES if place in files), next(iter(files)))
    try:
        return Level(whose="repository", path=there, config=load(files))
    except ConfigurationError as error:
        inside = problems(error.path, files[error.path]) if error.path == there in PLACES else ()
        return Level(whose="repository", path=there, problems=inside or (error,))


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _policy(whose: str, file: Path | None) -> Level:
    return Level(whose=whose) if file is None else _read(whose, file, policy=True)


def _set_policy() -> Level:
    """Return the server's policy that the settings name, as every other command has it."""
    named = Lookups.from_environ(os.environ)
    try:
        config = wiring.policy(named)
    except ConfigurationError as error:
        return Level(whose="server", path=error.path, problems=(error,))
    return Level(whose="server", path=config.path, config=config)


def _read(whose: str, file: Path, *, policy: bool) -> Level:
    path = str(file)
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        wrong = ConfigurationError(f"cannot be read: {error.strerror}", path=path)
        return Level(whose=whose, path=path, problems=(wrong,))
    found = problems(path, data, policy=policy)
    if found:
        return Level(whose=whose, path=path, problems=found)
    return Level(whose=whose, path=path, config=parse(path, data, policy=policy))


# --- what is printed ----------------------------------------------------------------------


def _lines(found: Checked, width: int) -> Iterator[str]:
    for level in found.levels:
        yield f"{level.whose + ':':<12}{visible(level.path, _LONGEST) if level.path else 'has no file'}"
    if found.problems:
        yield ""
    for problem in found.problems:
        yield visible(problem.problem, _LONGEST)
        if problem.advice:
            yield f"  {visible(problem.advice)}"
    if found.overruled or found.lapsed:
        yield ""
        yield from (visible(text, _LONGEST) for text in (*found.overruled, *found.lapsed))
    if found.effective:
        yield ""
        yield from _table(found.effective, width)


def _table(rows: Sequence[Origin], width: int) -> Iterator[str]:
    """Yield keys, values and files side by side; where `width` is not 0 and too small, below each other."""
    key = max(len(row.key) for row in rows)
    cells = [(row.key, _shown(row), ", ".join(row.files) or "default") for row in rows]
    value = max(min(len(shown), 40) for _, shown, _ in cells)
    for name, shown, whence in cells:
        source = visible(whence, _LONGEST)
        if width and key + value + len(source) + 4 > width:
            yield name
            yield from wrapped(f"{shown}  ({source})", width, 4)
            continue
        yield f"{name:<{key}}  {shown:<{value}}  {visible(whence, _LONGEST)}"


def _shown(row: Origin) -> str:
    """Return a value on one line: text as it is, everything else as JSON, nothing as a dash."""
    if row.value is None or row.value in ("", [], {}):
        return "-"
    text = row.value if isinstance(row.value, str) else json.dumps(row.value, ensure_ascii=False)
    return visible(text, _LONGEST)


def _json(found: Checked) -> str:
    document = {
        "version": 1,
        "files": [{"whose": level.whose, "path": level.path or None} for level in found.levels],
        "problems": [
            {
                "path": one.path,
                "line": one.line,
                "key": one.key,
                "text": one.problem,
                "expected": one.expected,
                "advice": one.advice,
            }
            for one in found.problems
        ],
        "overruled": list(found.overruled),
        "lapsed": list(found.lapsed),
        "effective": [
            {"key": one["key"], "value": one["value"], "from": list(one["files"])}
            for one in map(asdict, found.effective)
        ],
    }
    return json.dumps(document, indent=2) + "\n"
