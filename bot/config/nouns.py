"""What a configuration says, as nouns: what is chosen, and the whole of one file or of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from bot import cron, globs
from bot.model import Fact

KEEP_TAGS = ("slsa-framework/slsa-github-generator/.github/workflows/*",)
"""References whose tools verify the tag and refuse a commit, wherever they are used."""


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

    @property
    def subject(self) -> str:
        """Return what it is about, in a few words."""
        named = next(filter(None, (self.image, self.action, self.include)), "")
        where = ", ".join(self.paths)
        return f"{named} in {where}" if named and where else named or where or "everything"


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


class Updates(StrEnum):
    """Whether digests that are written already are refreshed.  More first."""

    ALWAYS = "always"
    AUTO = "auto"
    """Not where Renovate or Dependabot already do."""
    NEVER = "never"


class Grouping(StrEnum):
    """How many proposals there are for one base."""

    REPOSITORY = "repository"
    IMAGE = "image"
    """One for each image, action or include, whatever its tags."""
    DIRECTORY = "directory"
    """One for each folder that holds files to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When sweeps may propose here; each of several has to agree."""

    first: tuple[cron.Cron, ...] = (cron.WEEKLY,)
    """First pins."""
    refresh: tuple[cron.Cron, ...] = (cron.DAILY,)
    """Everything else."""

    def first_due(self, last: datetime | None, now: datetime) -> bool:
        """Return whether a sweep may propose first pins, where one last might at `last`; both with a zone."""
        return all(one.due(last, now) for one in self.first)

    def refresh_due(self, last: datetime | None, now: datetime) -> bool:
        """Return whether a sweep may refresh, where one last might at `last`; both with a zone."""
        return all(one.due(last, now) for one in self.refresh)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is proposed at most."""

    open: int = 10
    """Proposals open in the repository at once."""
    first_per_day: int = 10
    """Repositories of one owner that get their first proposal on one day, in UTC."""
    per_day: int = 100
    """Proposals opened for one owner on one day, in UTC."""


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
    issue: str = ""
    """The key of an issue that titles and messages name: `OPS-12`; empty for none."""
    group: Grouping = Grouping.REPOSITORY
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    """Names of people, or `team:` and the name of a team."""
    assignees: tuple[str, ...] = ()
    draft: bool = False
    squash: bool | None = None
    """GitLab: squash commits when merging; None leaves it to the project."""
    remove_source_branch: bool = True
    """GitLab: remove the proposal's branch when merging."""
    refs: tuple[str, ...] = ()
    """Globs of the branches that are looked after beside the default one."""
    updates: Updates = Updates.AUTO
    schedule: Schedule = Schedule()
    limits: Limits = Limits()
    guard: Guard = Guard()
    delegate: frozenset[str] = frozenset()
    """What those below may loosen; a server's or an owner's file alone has it."""
    floors: tuple[Config, ...] = ()
    """What the server and the owner insist on, without what they delegate."""
    overruled: tuple[str, ...] = ()
    """What a file says in vain, one sentence each."""

    def follows(self, branch: str, default: str) -> bool:
        """Return whether a branch is looked after: the default one, or one that `refs` names."""
        return branch == default or any(globs.matches(glob, branch) for glob in self.refs)

    def lapsed(self, today: date) -> tuple[str, ...]:
        """Return a sentence for each rule whose last day is over, so that it counts no more; `today` in UTC."""
        rules = (
            *(("ignore", one.subject, one.until) for one in self.ignore),
            *(("allow", f"{one.reference} ({one.check})", one.until) for one in self.allow),
        )
        return tuple(
            f"`{key}: {subject}` lapsed on {until}: it counts no more."
            for key, subject, until in rules
            if until is not None and today > until
        )
