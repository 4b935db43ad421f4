"""What to look at: configuration, inline marks and place settle each finding's `skip`.

An ignore mutes "floating" and nothing else: what policy refuses is refused all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import TypeAlias

from bot import globs
from bot.built import BuiltNames, names_this_project
from bot.config import Config, IgnoreRule, Own
from bot.marks import Marks
from bot.model import (
    BuildArgument,
    BuildContext,
    Built,
    Candidate,
    Decision,
    Finding,
    GitReference,
    ImageReference,
    Kind,
    Reference,
    SkipReason,
)
from bot.reference import parse_image

LEFT_OUT = frozenset(
    {
        # other people's code, copied in: a pin there is undone by the next copy
        *("vendor", "node_modules", "bower_components", "jspm_packages", "third_party", "third-party"),
        *("Godeps", "Pods", "Carthage", "site-packages"),
        # made by tools: what they make next overwrites the pin
        *(
            "__pycache__",
            ".git",
            ".hg",
            ".svn",
            ".venv",
            "venv",
            ".tox",
            ".nox",
            ".bundle",
            ".yarn",
            ".pnpm-store",
        ),
        *(".terraform", ".terragrunt-cache"),
        # read by tests, which compare them letter by letter
        *("testdata", "test-fixtures", "test_fixtures", "fixtures", "__fixtures__", "__snapshots__"),
    }
)
"""Folders that are left out at any depth unless `paths.include` names them.

`build`, `dist` and `target` are not among them: many repositories keep Dockerfiles there.
"""

_SOMETHING = "\uffff"
"""Stands for any name; no pattern spells it."""
_WILDCARD = re.compile(r"[*?\[]")
_Why: TypeAlias = tuple[SkipReason, str] | None
_Familiar: TypeAlias = tuple[str, str, str | None, str | None]
_DOCKERFILE = "dockerfile"
_SYNTAX = " syntax"
"""How it ends where the image of a frontend stands, which is there before any context is."""
_VARIABLES = frozenset({SkipReason.VARIABLE, SkipReason.PARTIAL_VARIABLE, SkipReason.SHARED_VARIABLE})


def left_out(path: str, config: Config) -> str | None:
    """Return why a file is not looked at, in one sentence, or None where it is.

    A path that ends in `/` is a folder's: the answer is about everything below it, so that it need
    not be looked into.
    """
    if path.endswith("/") and any(_leads_into(path, place.include) for place in config.places):
        return None
    for place in config.places:
        if place.binding and _in(path, place.include) and not _in(path, place.exclude):
            return None
    for place in config.places:
        if _excluded(path, place.exclude):
            return "left out by `paths.exclude`"
        if _in(path, place.include):
            return None
    for folder in path.split("/")[:-1]:
        if folder in LEFT_OUT:
            return f"below a `{folder}` folder, which is left out unless `paths.include` names it"
    return None


def _excluded(path: str, patterns: Iterable[str]) -> bool:
    if not path.endswith("/"):
        return _in(path, patterns)
    whole = (pattern for pattern in patterns if pattern.endswith(("/**", "/")))
    return _in(f"{path}{_SOMETHING}", whole)


def _leads_into(folder: str, patterns: Iterable[str]) -> bool:
    """Return whether a pattern could match something below a folder: by what it says before a wildcard."""
    starts = (_WILDCARD.split(pattern, maxsplit=1)[0] for pattern in patterns)
    return any(start.startswith(folder) or folder.startswith(start) for start in starts)


def _in(path: str, patterns: Iterable[str]) -> bool:
    return any(globs.matches(glob, path) for glob in patterns)


def select(
    findings: Iterable[Finding],
    *,
    config: Config,
    built: Iterable[Built],
    arguments: Iterable[BuildArgument],
    files: Mapping[str, bytes],
    host: str,
    owner: str,
    now: datetime,
    contexts: Iterable[BuildContext] = (),
    decisions: Iterable[Decision] = (),
    repository: str = "",
) -> tuple[Finding, ...]:
    """Return the findings in order, each with its final `skip` and the note that explains it.

    `host` is the forge's host, `owner` the owner or group of the repository and `repository` its
    `owner/name`; each is empty where it is not known.
    """
    place = _Selection(
        config=config,
        built=BuiltNames(built, _top(owner), repository),
        arguments=arguments,
        contexts=contexts,
        marks=Marks(files),
        host=host.lower(),
        owner=_top(owner),
        now=now,
        decisions=tuple(decisions),
    )
    return tuple(place.settle(finding) for finding in findings)


def declined(candidate: Candidate, decisions: Iterable[Decision], now: datetime) -> str | None:
    """Return who settled that exactly this target is not wanted, and why, or None."""
    for decision in decisions:
        if (
            decision.what == "ignore"
            and decision.digest == candidate.target
            and _lasts(decision, now)
            and _same(decision.reference, candidate.finding.reference)
        ):
            return f"ignored by {decision.by}: {decision.because}"
    return None


class _Selection:
    def __init__(
        self,
        *,
        config: Config,
        built: BuiltNames,
        arguments: Iterable[BuildArgument],
        contexts: Iterable[BuildContext],
        marks: Marks,
        host: str,
        owner: str,
        now: datetime,
        decisions: tuple[Decision, ...],
    ) -> None:
        self.config = config
        self.built = built
        self.arguments: dict[tuple[str, str | None], BuildArgument] = {}
        for one in arguments:
            self.arguments.setdefault((one.name, one.dockerfile), one)
        self.contexts: dict[tuple[_Familiar, str | None], BuildContext] = {}
        for context in contexts:
            image = parse_image(context.name)
            if image is not None:
                self.contexts.setdefault((_familiar(image), context.dockerfile), context)
        self.marks = marks
        self.host = host
        self.owner = owner
        self.now = now
        self.aside: dict[str, str | None] = {}
        self.decisions: dict[str, Decision] = {}
        for decision in decisions:
            if decision.what == "ignore" and decision.digest is None and _lasts(decision, now):
                self.decisions.setdefault(decision.reference, decision)

    def settle(self, finding: Finding) -> Finding:
        if finding.skip in _VARIABLES:
            return self._by(finding, self._built_here)
        if finding.skip is not None:
            return finding
        mark = self.marks.of(finding)
        if mark is not None and not mark.reason:
            finding = replace(
                finding, note=f"{finding.note}; {mark.trouble}" if finding.note else mark.trouble
            )
        elif mark is not None and self.config.formats.get(finding.format, True):
            return replace(
                finding, skip=SkipReason.IGNORED, note=f"ignored in line {mark.line}: {mark.reason}"
            )
        return self._by(
            finding,
            self._disabled,
            self._left_out,
            self._ignored,
            self._decided,
            self._stays_tag,
            self._built_here,
            self._own,
            self._overridden,
            self._masked,
        )

    @staticmethod
    def _by(finding: Finding, *questions: Callable[[Finding], _Why]) -> Finding:
        for question in questions:
            why = question(finding)
            if why is not None:
                return replace(finding, skip=why[0], note=why[1])
        return finding

    def _disabled(self, finding: Finding) -> _Why:
        if self.config.formats.get(finding.format, True):
            return None
        return SkipReason.DISABLED, f"`formats.{finding.format}` is switched off"

    def _left_out(self, finding: Finding) -> _Why:
        """Return why a file is left alone that another one led to, as an include or a base."""
        path = finding.location.path
        if path not in self.aside:
            self.aside[path] = left_out(path, self.config)
        reason = self.aside[path]
        return (SkipReason.IGNORED, f"its file is {reason}") if reason is not None else None

    def _ignored(self, finding: Finding) -> _Why:
        for rule in self.config.ignore:
            if _applies(rule, finding, self.now.date()):
                until = f" until {rule.until}" if rule.until else ""
                return SkipReason.IGNORED, f"ignored by the configuration{until}: {rule.because}"
        return None

    def _decided(self, finding: Finding) -> _Why:
        if not self.decisions or finding.reference is None:
            return None
        for text in globs.spellings(finding.reference):
            if text in self.decisions:
                decision = self.decisions[text]
                return SkipReason.IGNORED, f"ignored by {decision.by}: {decision.because}"
        return None

    def _stays_tag(self, finding: Finding) -> _Why:
        policy = self.marks.image_policy(finding) if finding.kind is Kind.IMAGE else None
        if policy is not None:
            return SkipReason.MUST_STAY_TAG, f"Flux writes this tag, by its image policy {policy}"
        reference = finding.reference
        if reference is None:
            return None
        for glob in self.config.keep_tags:
            if globs.names(glob, reference):
                return SkipReason.MUST_STAY_TAG, f"`{glob}` must stay a tag: its tool needs it"
        return None

    def _built_here(self, finding: Finding) -> _Why:
        if finding.kind is not Kind.IMAGE:
            return None
        if names_this_project(finding.value) and not _is_elsewhere(finding.reference):
            return SkipReason.BUILT_HERE, "an image of this repository, by the forge's own variables"
        built = self.built.find(finding)
        if built is None:
            return None
        place = built.location
        return SkipReason.BUILT_HERE, f"built by this repository, see {place.path}:{place.line}"

    def _own(self, finding: Finding) -> _Why:
        reference = finding.reference
        if not isinstance(reference, GitReference) or self.config.own is Own.PIN or not self.owner:
            return None
        host = reference.host.lower()
        here = host in ("", self.host) or host.startswith("$ci_server")
        if not here or _top(reference.repository) != self.owner:
            return None
        return SkipReason.OWN, f"belongs to {self.owner} as well; `own: pin` pins it"

    def _overridden(self, finding: Finding) -> _Why:
        if finding.argument is None:
            return None
        passed = self.arguments.get((finding.argument, finding.location.path))
        if passed is None and finding.format == _DOCKERFILE:
            passed = self.arguments.get((finding.argument, None))
        if passed is None:
            return None
        place = passed.location
        return (
            SkipReason.OVERRIDDEN,
            f"{place.path}:{place.line} passes {finding.argument}, so this default may not be used",
        )

    def _masked(self, finding: Finding) -> _Why:
        """Return whether a named build context takes an image's place: a pin would break the match."""
        reference = finding.reference
        if (
            finding.format != _DOCKERFILE
            or finding.where.endswith(_SYNTAX)
            or not isinstance(reference, ImageReference)
        ):
            return None
        name = _familiar(reference)
        passed = self.contexts.get((name, finding.location.path)) or self.contexts.get((name, None))
        if passed is None:
            return None
        place = passed.location
        return (
            SkipReason.OVERRIDDEN,
            f"{place.path}:{place.line} passes a build context named {passed.name} in its place",
        )


def _familiar(image: ImageReference) -> _Familiar:
    """Return what BuildKit compares of an image and a context's name: both completed, `latest` too."""
    return image.registry, image.repository, image.followed_tag, image.digest


def _is_elsewhere(reference: Reference | None) -> bool:
    """Return whether the files give the forge's own variable another value, as GitLab lets them."""
    return isinstance(reference, ImageReference) and "$" not in f"{reference.registry}{reference.repository}"


def _top(repository: str) -> str:
    return repository.split("/", maxsplit=1)[0].lower()


def _applies(rule: IgnoreRule, finding: Finding, today: date) -> bool:
    if rule.until is not None and today > rule.until:
        return False
    if rule.paths and not _in(finding.location.path, rule.paths):
        return False
    named = {Kind.IMAGE: rule.image, Kind.ACTION: rule.action, Kind.INCLUDE: rule.include}
    if all(glob is None for glob in named.values()):
        return True
    glob = named[finding.kind]
    return glob is not None and finding.reference is not None and globs.names(glob, finding.reference)


def _lasts(decision: Decision, now: datetime) -> bool:
    return decision.until is None or now <= decision.until


def _same(text: str, reference: Reference | None) -> bool:
    return reference is not None and text in globs.spellings(reference)
