"""A repository's own configuration, and whose word counts: the server's, its owner's, its own.

One table says what may stand in the file; it reads the file and is published as JSON Schema in
`docs/moorline.schema.json`.  docs/configuration.md explains every key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

from bot import globs
from bot.config_schema import (
    Choice,
    Day,
    Field,
    Flag,
    ListOf,
    Reader,
    Record,
    Schema,
    Shape,
    Whole,
    WordOrRecord,
    Words,
)
from bot.errors import ConfigurationError
from bot.model import Fact
from bot.presets import DEMANDS, PRESETS, ROWS, DemandName
from bot.reference import is_commit, is_digest, is_git_ref
from bot.source import Source
from bot.yamltree import Scalar, Unparsable, compose

PLACES = (".moorline.yml", ".github/.moorline.yml", ".gitlab/.moorline.yml")
"""Where a repository's configuration may stand: in one of these places."""
MISNAMED = (
    *(".moorline.yaml", ".github/.moorline.yaml", ".gitlab/.moorline.yaml"),
    *(".github/moorline.yml", ".github/moorline.yaml", ".gitlab/moorline.yml", ".gitlab/moorline.yaml"),
)
"""Names that people may give it by mistake: an error, rather than a file that nobody reads."""
CONFIG_PATHS = (*PLACES, *MISNAMED)
"""What `load` wants to see of a repository."""
MAX_BYTES = 64 * 1024

FORMATS = ("dockerfile", "compose", "gitlab-ci", "github-actions", "bake")
"""Names of the finders, as `finders.FINDERS` has them."""
KEEP_TAGS = ("slsa-framework/slsa-github-generator/.github/workflows/*",)
"""References whose tools verify the tag and refuse a commit, wherever they are used."""

_DEMAND_NAMES: tuple[str, ...] = DEMANDS
K = TypeVar("K", bound=str)


class Preset(StrEnum):
    """Looser first."""

    RELAXED = "relaxed"
    DEFAULT = "default"
    STRICT = "strict"


class Mode(StrEnum):
    """What the bot may do.  More first."""

    PROPOSE = "propose"
    OBSERVE = "observe"
    """Report and check only."""
    PAUSED = "paused"


class Own(StrEnum):
    """What becomes of references to the same owner's actions, workflows and includes."""

    REPORT = "report"
    PIN = "pin"


class Floating(StrEnum):
    """How the guard takes a floating reference or a held one.  Looser first."""

    OFF = "off"
    WARN = "warn"
    FAIL = "fail"


class Unreachable(StrEnum):
    """How the guard takes a registry that does not answer.  Looser first."""

    NEUTRAL = "neutral"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSetting:
    """What a file says of one check; None and missing options are left to the preset."""

    demand: str | None = None
    """`off`, `warn` or `require`."""
    options: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Files that rule something more important, and what is asked of them instead."""

    name: str
    paths: tuple[str, ...]
    registries: tuple[str, ...] | None = None
    checks: Mapping[str, CheckSetting] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreRule:
    """References that may float, and why.  What is not said matches everything."""

    image: str | None = None
    action: str | None = None
    include: str | None = None
    paths: tuple[str, ...] = ()
    until: date | None = None
    """The last day, in UTC, on which it counts."""
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowRule:
    """An exception: what a check fails is written nevertheless, with a warning."""

    reference: str
    check: str
    digest: str | None = None
    """The digest or commit that it is bound to; None for checks of the name alone."""
    until: date | None = None
    """The last day, in UTC, on which it counts."""
    because: str
    origin: str = ""
    """The file that says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Globs of one file that say where to look."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    binding: bool = False
    """Whether what is included here cannot be excluded by those below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What makes the guard fail; None is left to the preset."""

    floating: Floating | None = None
    held: Floating | None = None
    unreachable: Unreachable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One file, or what several come to; without any, the defaults."""

    path: str = ""
    given: frozenset[str] = frozenset()
    """The keys that were written down, dotted; all others hold defaults."""
    preset: Preset = Preset.DEFAULT
    mode: Mode = Mode.PROPOSE
    own: Own = Own.REPORT
    formats: Mapping[str, bool] = field(default_factory=dict)
    """Formats switched on or off by name; those not named are on."""
    places: tuple[Places, ...] = ()
    """Most specific file first."""
    ignore: tuple[IgnoreRule, ...] = ()
    allow: tuple[AllowRule, ...] = ()
    registries: tuple[str, ...] | None = None
    """Globs of allowed registries and repositories; None where nobody made a list."""
    environments: tuple[Environment, ...] = ()
    checks: Mapping[str, CheckSetting] = field(default_factory=dict)
    keep_tags: tuple[str, ...] = KEEP_TAGS
    branch_prefix: str = "moorline/"
    title_prefix: str = ""
    commit_prefix: str = ""
    sign_off: str = ""
    """`Name <address>` of a `Signed-off-by` trailer; empty for none."""
    guard: Guard = Guard()
    delegate: frozenset[str] = frozenset()
    """What those below may loosen; a server's or an owner's file alone has it."""
    floors: tuple[Config, ...] = ()
    """What the server and the owner insist on, without what they delegate."""
    overruled: tuple[str, ...] = ()
    """What a file says in vain, one sentence each."""


# --- the table ----------------------------------------------------------------------------


def _glob(expected: str) -> Words:
    return Words(expected=expected, limit=globs.MAX_GLOB, wrong=globs.wrong)


def _wrong_registry(text: str) -> str | None:
    host = text.split("/", maxsplit=1)[0]
    if any(mark in host for mark in ".:*") or host == "localhost":
        return globs.wrong(text)
    return "does not start with a registry's host"


def _wrong_branch(text: str) -> str | None:
    if text.endswith(("/", "-")) and text[0] not in "/-." and is_git_ref(f"{text}pin"):
        return None
    return "is no beginning of a branch's name that ends in `/` or `-`"


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


_CHECKS = Record(fields={name: Field(_check_shape(name), row.summary) for name, row in ROWS.items()})
_REGISTRIES = Record(
    fields={"allow": Field(ListOf(_REGISTRY), "Registries and repositories that images may come from.")}
)
_SELECTORS = ("image", "action", "include")
_IGNORE = Record(
    fields={
        "image": Field(_glob("an image such as `acme/*`"), "Glob of the images that may float."),
        "action": Field(_glob("an action such as `acme/*`"), "Glob of the actions that may float."),
        "include": Field(_glob("a project such as `acme/ci`"), "Glob of the includes that may float."),
        "paths": Field(_PATHS, "Only in these files."),
        "until": Field(Day(), "The last day on which it counts."),
        "because": Field(_BECAUSE, "Why; shown in reports."),
    },
    required=("because",),
    one_of=(*_SELECTORS, "paths"),
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
_SERVER_ALONE = "is set on the server, never in a repository"
_DELEGABLE = (
    *("preset", "mode", "own", "formats", "paths", "allow", "registries", "environments", "guard", "checks"),
    *(f"checks.{name}" for name in ROWS),
)


@cache
def _table(*, policy: bool) -> Record:
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
            "proposal": Field(
                Record(
                    fields={
                        "branch-prefix": Field(
                            Words(expected="such as `moorline/`", limit=60, wrong=_wrong_branch),
                            "How the bot's branches begin.",
                        ),
                        "title-prefix": Field(Words(limit=60), "What titles begin with."),
                        "commit-prefix": Field(Words(limit=60), "What commit messages begin with."),
                        "sign-off": Field(
                            Words(expected="`Name <address>`", limit=200, wrong=_wrong_person),
                            "Whom the Signed-off-by trailer names.",
                        ),
                    }
                ),
                "What proposals look like.",
            ),
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
            "delegate": "belongs in the server's or the owner's policy, not in a repository",
            "checks": "belongs under `trust:`",
            "mirrors": _SERVER_ALONE,
            "credentials": _SERVER_ALONE,
            "templates": _SERVER_ALONE,
        },
        forbidden=() if policy else ("delegate",),
    )


def json_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of a repository's configuration."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Moorline: a repository's configuration",
        **_table(policy=False).schema(),
        "type": ["object", "null"],
    }


# --- one file -----------------------------------------------------------------------------


def load(files: Mapping[str, bytes]) -> Config:
    """Return the configuration among a repository's files; the defaults where there is none.

    Raises `ConfigurationError` for a broken file, for a misnamed one, and where two places hold one.
    """
    for path in MISNAMED:
        if path in files:
            meant = f"{path.rpartition('/')[0]}/.moorline.yml".removeprefix("/")
            raise ConfigurationError(
                "this name is not read", path=path, expected=meant, advice="Rename the file."
            )
    there = [path for path in PLACES if path in files]
    if len(there) > 1:
        raise ConfigurationError(
            f"configuration stands in {' and '.join(there)}",
            path=there[1],
            expected="one file",
            advice=f"Move everything into {there[0]} and remove the other.",
        )
    return parse(there[0], files[there[0]]) if there else Config()


def parse(path: str, data: bytes, *, policy: bool = False) -> Config:
    """Return the configuration that a file holds; an empty one gives the defaults.

    With `policy` the file is a server's or an owner's, and may delegate.  Raises
    `ConfigurationError` with path, line, key and what was expected.
    """
    if len(data) > MAX_BYTES:
        raise ConfigurationError(
            f"the file has {len(data)} bytes", path=path, line=1, expected=f"at most {MAX_BYTES}"
        )
    tree = compose(Source(path, data))
    if isinstance(tree, Unparsable):
        raise ConfigurationError(
            f"not readable as YAML: {tree.detail}",
            path=path,
            line=tree.line,
            expected="UTF-8" if tree.detail == "not UTF-8" else "YAML",
            advice="Put quotes around a glob that begins with `*`." if b"*" in data else "",
        )
    reader = Reader(path, tree)
    if len(tree.documents) > 1:
        reader.fail(tree.documents[1], "", "a second document begins", expected="one document")
    if not tree.documents:
        return Config(path=path)
    root = tree.documents[0]
    if isinstance(root, Scalar) and root.tag.endswith(":null"):
        return Config(path=path)
    return _config(path, _table(policy=policy).read(root, "", reader))


def _config(path: str, said: Mapping[str, Any]) -> Config:
    where, look, guard = said.get("proposal", {}), said.get("paths", {}), said.get("guard", {})
    checks = said.get("trust", {}).get("checks", {})
    return Config(
        path=path,
        given=frozenset(_keys(said)),
        preset=Preset(said.get("preset", Preset.DEFAULT)),
        mode=Mode(said.get("mode", Mode.PROPOSE)),
        own=Own(said.get("own", Own.REPORT)),
        formats=MappingProxyType(dict(said.get("formats", {}))),
        places=(Places(**look),) if look else (),
        ignore=tuple(IgnoreRule(**one) for one in said.get("ignore", ())),
        allow=tuple(AllowRule(**one, origin=path) for one in said.get("allow", ())),
        registries=said.get("registries", {}).get("allow"),
        environments=tuple(_environment(one) for one in said.get("environments", ())),
        checks=_settings(checks),
        keep_tags=tuple(dict.fromkeys((*KEEP_TAGS, *said.get("keep-tags", ())))),
        branch_prefix=where.get("branch-prefix", "moorline/"),
        title_prefix=_spaced(where.get("title-prefix", "")),
        commit_prefix=_spaced(where.get("commit-prefix", "")),
        sign_off=where.get("sign-off", ""),
        guard=Guard(
            floating=Floating(guard["floating"]) if "floating" in guard else None,
            held=Floating(guard["held"]) if "held" in guard else None,
            unreachable=Unreachable(guard["unreachable"]) if "unreachable" in guard else None,
        ),
        delegate=frozenset(said.get("delegate", ())),
    )


def _spaced(prefix: str) -> str:
    """Return a prefix that stands apart from what follows: `chore:` becomes `chore: `."""
    return f"{prefix.strip()} " if prefix else ""


def _environment(said: Mapping[str, Any]) -> Environment:
    return Environment(
        name=said["name"],
        paths=said["paths"],
        registries=said.get("registries", {}).get("allow"),
        checks=_settings(said.get("checks", {})),
    )


def _settings(said: Mapping[str, Mapping[str, Any]]) -> Mapping[str, CheckSetting]:
    return MappingProxyType(
        {
            name: CheckSetting(
                demand=one.get("demand"),
                options=MappingProxyType({key: value for key, value in one.items() if key != "demand"}),
            )
            for name, one in said.items()
        }
    )


def _keys(said: Mapping[str, Any], before: str = "") -> Iterable[str]:
    for key, value in said.items():
        yield f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{before}{key}.")


# --- several files ------------------------------------------------------------------------


def merge(server: Config, owner: Config, repository: Config) -> Config:
    """Return the configuration that rules a repository.

    The most specific file decides.  What the server or the owner wrote down is a floor: those
    below tighten it, and loosen only what it delegates; what they say in vain is in `overruled`.
    """
    levels = (repository, owner, server)
    vain: list[str] = []
    allow = _exceptions(levels, vain)
    _settings_in_vain(levels, vain)
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
        floors=tuple(_insisted(one) for one in (server, owner) if one.given),
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
