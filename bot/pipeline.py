"""The verbs: inspect, propose, publish.  The only place that joins the stages.

    Job -> Snapshot -> Findings -> Selection -> Resolutions -> Candidates -> Evidence -> Verdicts
        = Report -> Edits, Proposal -> Published

Everything down to the report reads; only `publish` writes.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, partial
from typing import Protocol, TypeAlias, TypeVar

from bot import candidates, edits, finders, globs, introduced, peers, proposals, selection
from bot.config import CONFIG_PATHS, Config, Floating, Guard, Mode, Unreachable, Updates, load, merge
from bot.errors import (
    ConfigurationError,
    ForgeError,
    MissingError,
    SupersededError,
    TransientError,
    UsageError,
)
from bot.forges.base import (
    Change,
    Conclusion,
    Forge,
    Hosting,
    Opened,
    Request,
    RequestState,
    Standing,
    Wish,
)
from bot.forges.base import Check as CheckResult
from bot.marks import Marks
from bot.model import (
    BuildArgument,
    BuildContext,
    Built,
    Candidate,
    Cause,
    ChangedFile,
    Decision,
    Edit,
    Evidence,
    Finding,
    GitReference,
    ImageReference,
    Job,
    Kind,
    Location,
    Looks,
    Outcome,
    Pinned,
    Proposal,
    Published,
    Reason,
    Reference,
    Report,
    Resolution,
    Review,
    Ruling,
    SkipReason,
    Snapshot,
    Span,
    State,
    Status,
    Subject,
    Trigger,
    Unread,
    UnreadReason,
    Unresolved,
    UnresolvedReason,
    Verdict,
)
from bot.proposals import notes as texts
from bot.reference import is_commit, parse_git, parse_image
from bot.trust import CHECKS, policy
from bot.trust.base import Check, Sources
from bot.visible import visible
from bot.yamltree import sparing

T = TypeVar("T")
R = TypeVar("R")

_FLUX = re.compile(rb'"\$imagepolicy"[ \t]*:[ \t]*"([^"\r\n]{1,600})')
"""Flux's own mark: which policy writes a tag is no exception of ours, where the base names it already."""
BESIDE = frozenset(peers.PEER_PATHS)
"""Files that no finder claims and that rule what is proposed, beside our own configuration."""
_DECLINED = "declined: a person closed the proposal for it"
_ROUNDS = 4
"""How deep files may ask for further files."""
_PASSING = frozenset(
    {
        UnresolvedReason.TIMEOUT,
        UnresolvedReason.UNREACHABLE,
        UnresolvedReason.SERVER_ERROR,
        UnresolvedReason.RATE_LIMITED,
        UnresolvedReason.DEFERRED,
    }
)
"""Trouble that another time may be over."""
_NEEDED = 200
"""How many further files a run reads."""
_ASKED = 2000
"""How many paths and globs of further files a run looks for; most that may exist do not."""
_MATCHED = 150
"""How many files a run reads for globs: what GitLab includes at most."""
_MATCHED_BYTES = 32 * 1024 * 1024


class Reading(Protocol):
    """A repository at one place in its history, or a folder."""

    @property
    def commit(self) -> str | None:
        """Return the commit that is read, or None for a working tree."""

    def snapshot(
        self, claims: Callable[[str, bytes], bool], left_out: Callable[[str], str | None]
    ) -> Snapshot:
        """Return the files that `claims` says yes to, but for those that `left_out` has a reason for."""

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return those of `paths` that exist as regular files."""

    def unread(self, paths: Collection[str]) -> tuple[Unread, ...]:
        """Return why those of `paths` that exist are not read: links, folders, too large ones."""


@dataclass(frozen=True, slots=True)
class AtCommit:
    """A forge's repository at one commit."""

    forge: Forge
    repository: str
    commit: str | None

    def snapshot(
        self, claims: Callable[[str, bytes], bool], left_out: Callable[[str], str | None]
    ) -> Snapshot:
        """Return the files that `claims` says yes to; what is left out is reported, not read."""
        aside: dict[str, Unread] = {}

        def chosen(path: str, head: bytes) -> bool:
            if not claims(path, head):
                return False
            reason = left_out(path)
            if reason is not None:
                aside[path] = Unread(path=path, reason=UnreadReason.LEFT_OUT, detail=reason)
            return reason is None

        made = self.forge.snapshot(self.repository, self.commit or "", chosen)
        return Snapshot(
            commit=made.commit,
            files=made.files,
            unread=(*made.unread, *(aside[path] for path in sorted(aside))),
        )

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return those of `paths` that exist as regular files."""
        return self.forge.read(self.repository, self.commit or "", paths)

    def unread(self, paths: Collection[str]) -> tuple[Unread, ...]:
        """Return why those of `paths` that exist are not read."""
        made = self.forge.snapshot(self.repository, self.commit or "", lambda path, _head: path in paths)
        return tuple(one for one in made.unread if one.path in paths)


def at_once(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return the results of `work` one after the other; the plainest `Services.spread`."""
    return [work(item) for item in items]


class Spread(Protocol):
    """Runs a function over items, several at a time, and keeps their order."""

    def __call__(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return the results in the order of the items."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What it takes to look at a repository.  Nothing here is global, nothing asks the network."""

    reading: Callable[[Job], Reading]
    server: Config
    """The server's configuration: the floor of every other."""
    owner_configs: tuple[Config, ...] = ()
    """The owner's; with groups within groups each of them, nearest first."""
    holds_policy: bool = False
    """Whether the repository's own place for a configuration holds its owner's instead."""
    default: bool = True
    """Whether the job's ref is the default branch, as far as other bots are asked about it."""
    policy: Callable[[Job], Reading] | None = None
    """Where the configuration stands, if not beside the files: at a merge base."""
    host: str = ""
    """The forge's host, for references of its own: `github.com`."""
    owner: str = ""
    """The owner or group whose actions, workflows and includes are the repository's own."""
    principal: str = ""
    """On whose behalf logins are used and sightings remembered: `host/owner`; empty is a person here."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """What a forge's own variables stand for: `$CI_REGISTRY` to a registry's host."""
    decisions: tuple[Decision, ...] = ()
    marks: Callable[[bytes], bytes] | None = None
    """Returns of a file what marks are read from; None for the file itself.

    Those that a change brings along do not count.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Services(Ground):
    """What a run is given to look things up."""

    sources: Sources
    spread: Spread = at_once
    progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None
    scope: str = ""
    """Whose look-ups these are: the forge owner, and whether the author is trusted."""
    updates: bool = False
    """Whether references that are pinned already are looked up for something newer."""
    refreshed: Callable[[Finding], bool] = lambda _finding: False
    """Which of those are not: somebody else keeps them up to date."""
    pins: bool = False
    """Whether what is pinned already is judged, too: a guard lets nobody bring in a bad pin."""


# --- inspect ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a change is held against."""

    since: Reading
    """The merge base: what is there already did not come in."""
    rules: Reading
    """What the change is to be merged into, as it is now: its policy counts, and nothing older."""


def inspect(job: Job, services: Services, now: datetime, before: Before | None = None) -> Report:
    """Return what is in a repository, where it should go and what is known about it.

    With `before`, what came in since then, by the policy that stands now; an inline mark does not count
    then, since whoever brings a reference in can bring its mark, too.  Reads only.
    Raises `ConfigurationError` for a broken configuration and `ForgeError` where files cannot be read.
    """
    if before is None:
        survey = look(job, services, now)
    else:
        configuration(services.reading(job), services)  # a broken one would rule nothing once it is merged
        since, rules = before.since, before.rules
        services = replace(services, policy=lambda _job: rules, marks=_unmarked)
        base = look(job, replace(services, reading=lambda _job: since), now)

        @cache
        def written() -> frozenset[bytes]:
            files = base.snapshot.files
            if rules.commit != since.commit:
                files = rules.snapshot(finders.claims, partial(selection.left_out, config=base.config)).files
            return frozenset(name for data in files.values() for name in _FLUX.findall(data))

        def marks(data: bytes) -> bytes:
            return _unmarked(data) if written().issuperset(_FLUX.findall(data)) else b""

        head = look(job, replace(services, marks=marks), now)
        survey = _came_in(head, base, services.reading(job), since)
    chosen = [grounded(one, services) for one in survey.selected]
    if services.updates:
        services = replace(services, refreshed=_refreshed(job, services, survey.config))
    return survey.report(judge(chosen, survey.config, services, now), now)


def _refreshed(job: Job, services: Services, config: Config) -> Callable[[Finding], bool]:
    """Return whether somebody else keeps a pinned reference up to date, or nobody should."""
    match config.updates:
        case Updates.NEVER:
            return lambda _finding: True
        case Updates.ALWAYS:
            return lambda _finding: False
        case Updates.AUTO:
            found = peers.refreshed(services.reading(job).read(peers.PEER_PATHS))

            def refreshed(one: Finding) -> bool:
                place = one.location.path
                by = peers.refreshes(found, one.format, one.kind, place, job.ref, default=services.default)
                return by is not None

            return refreshed


def _unmarked(data: bytes) -> bytes:
    """Return a file without marks that speak to us, every other byte in its place."""
    return data.replace(b"moorline:", b"moorline ")


def _came_in(head: Survey, base: Survey, reading: Reading, since: Reading) -> Survey:
    """Return the survey of a head without what its merge base has."""
    before = base.snapshot.files

    @cache
    def gone(path: str) -> bool:
        return not reading.read([path])

    def renamed(old: str, new: str) -> bool:
        alike = policy.environments(old, head.config) == policy.environments(new, head.config)
        return alike and new not in before and gone(old)

    came = introduced.findings(head.selected, base.selected, renamed=renamed)
    stayed = _stayed(head, base, reading, since)
    return replace(
        head,
        selected=came,
        stood=_floating(head.selected) - _floating(came),
        unread=introduced.unread(
            (_replacing(one, base) for one in head.unread),
            {(one.path, one.reason) for one in base.unread},
            stayed.__contains__,
        ),
    )


def _stayed(head: Survey, base: Survey, reading: Reading, since: Reading) -> frozenset[str]:
    """Return those paths of what is not read whose content is the same at the head and its merge base."""
    before, after = base.snapshot.files, head.snapshot.files
    was = {(one.path, one.reason): one.identity for one in base.unread}
    same: set[str] = set()
    differs: set[str] = set()
    unknown: set[str] = set()
    for one in head.unread:
        if (one.path, one.reason) not in was:
            continue
        if one.path in before or one.path in after:
            known = before.get(one.path) == after.get(one.path)
        elif one.identity or was[one.path, one.reason]:
            known = one.identity == was[one.path, one.reason]
        else:
            unknown.add(one.path)
            continue
        (same if known else differs).add(one.path)
    return frozenset((same | _alike(unknown - same, reading, since)) - differs)


def _alike(paths: AbstractSet[str], one: Reading, other: Reading) -> AbstractSet[str]:
    """Return those paths at which the same stands in both, for what no forge has told of."""
    if not paths:
        return paths
    files = one.read(sorted(paths)), other.read(sorted(paths))
    rest = {path for path in paths if path not in files[0] and path not in files[1]}
    asides = [
        {(it.path, it.identity) for it in side.unread(rest) if it.identity} if rest else set()
        for side in (one, other)
    ]
    odd = {path for path, _ in asides[0] ^ asides[1]}
    return {path for path in paths if files[0].get(path) == files[1].get(path)} - odd


def _replacing(one: Unread, base: Survey) -> Unread:
    """Return a submodule that stands where files were read before as what is not read any more."""
    if one.reason is not UnreadReason.SUBMODULE:
        return one
    inside = f"{one.path}/"
    there = {*base.snapshot.files, *(each.path for each in base.unread if each.reason is not one.reason)}
    if not any(path == one.path or path.startswith(inside) for path in there):
        return one
    detail = "another repository took the place of files that were looked at"
    return replace(one, reason=UnreadReason.UNREADABLE, detail=detail)


def _floating(findings: Iterable[Finding]) -> int:
    return sum(one.skip is None and one.state is State.FLOATING for one in findings)


def judge(
    chosen: Sequence[Finding], config: Config, services: Services, now: datetime
) -> tuple[Verdict, ...]:
    """Return the verdicts on findings: looked up, checked, and weighed by the policy."""
    resolved = _resolve(chosen, services)
    # Only what was asked about gets an answer: another place may ask about the same reference.
    paired = [
        _candidate(finding, resolved) if _asked(finding, services) is not None else None for finding in chosen
    ]
    rulebook = policy.Rulebook(config)
    evidence = _gather([one for one in paired if isinstance(one, Candidate)], rulebook, services)
    return tuple(
        _verdict(finding, one, evidence, config, rulebook, services, now)
        for finding, one in zip(chosen, paired, strict=True)
    )


def explain(text: str, services: Services, now: datetime) -> Verdict:
    """Return the verdict on one reference that a person asks about, as for a first pin.

    Raises `UsageError` where the text is no reference.
    """
    finding = asked_about(text)
    job = Job(forge="directory", repository="", ref="", trigger=Trigger.COMMAND_LINE)
    config = configuration(services.reading(job), services)
    [verdict] = judge([grounded(finding, services)], config, services, now)
    return verdict


def asked_about(text: str) -> Finding:
    """Return the finding of a reference on the command line: an image, or an action of GitHub's."""
    reference: Reference | None = parse_image(text) or parse_git(text, host="github.com")
    if reference is None:
        raise UsageError(
            f"{visible(text)!r} is neither an image nor an action.",
            advice="Examples: node:22, ghcr.io/acme/app:1.4, actions/checkout@v4.",
        )
    kind = Kind.IMAGE if isinstance(reference, ImageReference) else Kind.ACTION
    return Finding(
        format="command-line",
        kind=kind,
        where="command line",
        location=Location(path="command line", span=Span(0, len(text)), line=1, column=0),
        value=text,
        reference=reference,
        state=State.FLOATING,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What is in a repository, before anything is looked up."""

    job: Job
    config: Config
    snapshot: Snapshot
    found: Mapping[str, tuple[Finding, ...]]
    selected: tuple[Finding, ...]
    unread: tuple[Unread, ...]
    asked: tuple[str, ...] = ()
    """Paths and globs that were asked for beside what finders claim."""
    stood: int = 0
    """How many of the references that float did not come in."""

    def report(self, verdicts: tuple[Verdict, ...], now: datetime) -> Report:
        """Return the report of this survey with its verdicts."""
        return Report(
            job=self.job,
            commit=self.snapshot.commit,
            files=len(self.found),
            verdicts=verdicts,
            unread=self.unread,
            made_at=now,
            snapshot=self.snapshot,
            found=self.found,
            notes=(*self.config.overruled, *self.config.lapsed(now.date())),
            asked=self.asked,
            stood=self.stood,
        )


@sparing()
def look(job: Job, ground: Ground, now: datetime) -> Survey:
    """Return what finders and selection say of a repository; no look-ups, no network but the forge's."""
    reading = ground.reading(job)
    config = configuration((ground.policy or ground.reading)(job), ground)
    left_out = partial(selection.left_out, config=config)
    snapshot, asked = _with_needed(reading.snapshot(finders.claims, left_out), reading, left_out)
    found: dict[str, tuple[Finding, ...]] = {}
    unread = list(snapshot.unread)
    built: list[Built] = []
    arguments: list[BuildArgument] = []
    contexts: list[BuildContext] = []
    for path, _, findings in finders.find(snapshot.files):
        found[path] = found.get(path, ()) + findings.references
        unread += findings.unread
        built += findings.built
        arguments += findings.arguments
        contexts += findings.contexts
    selected = selection.select(
        once(found),
        config=config,
        built=built,
        arguments=arguments,
        contexts=contexts,
        files=_marked(snapshot.files, ground.marks),
        host=ground.host,
        owner=ground.owner,
        now=now,
        decisions=ground.decisions,
        repository=job.repository if ground.owner and job.repository.startswith(f"{ground.owner}/") else "",
    )
    if ground.marks is not None:
        selected = _unheeded(selected, Marks(snapshot.files))
    return Survey(
        job=job,
        config=config,
        snapshot=snapshot,
        found=found,
        selected=selected,
        unread=tuple(unread),
        asked=asked,
    )


def _marked(files: Mapping[str, bytes], marks: Callable[[bytes], bytes] | None) -> Mapping[str, bytes]:
    """Return the files that marks are read from."""
    if marks is None:
        return files
    return {path: marks(data) for path, data in files.items() if b'"$imagepolicy"' in data}


def _unheeded(selected: Iterable[Finding], marks: Marks) -> tuple[Finding, ...]:
    """Return findings with a note where a mark would let them float, and does not yet."""
    return tuple(
        replace(one, note=f"the mark in line {mark.line} does not count before it is merged")
        if one.skip is None and not one.note and (mark := marks.of(one)) is not None and mark.reason
        else one
        for one in selected
    )


def configuration(reading: Reading, ground: Ground) -> Config:
    """Return the configuration that rules a repository: the server's, its owner's, its own."""
    files = reading.read(CONFIG_PATHS)
    for one in () if files else reading.unread(CONFIG_PATHS):
        raise ConfigurationError(
            f"the configuration is not read: {one.detail or one.reason.value}",
            path=one.path,
            expected="a regular file of the repository",
            advice="Nothing is done without knowing what the repository wants.",
        )
    return merge(ground.server, ground.owner_configs, Config() if ground.holds_policy else load(files))


def _with_needed(
    snapshot: Snapshot, reading: Reading, left_out: Callable[[str], str | None] = lambda _path: None
) -> tuple[Snapshot, tuple[str, ...]]:
    """Return the snapshot with the files that its files ask for, by path or by glob, and what they asked."""
    needed = _Needed(snapshot, reading, left_out)
    asked: set[str] = set()
    for _ in range(_ROUNDS):
        wanted = sorted(finders.needs(needed.files) - asked)
        asked.update(wanted)
        wanted = needed.bounded(wanted, _ASKED - len(asked) + len(wanted))
        if not wanted:
            break
        needed.read([one for one in wanted if "*" not in one])
        needed.match([one for one in wanted if "*" in one])
    unread = snapshot.unread + tuple(needed.unread[path] for path in sorted(needed.unread))
    return replace(snapshot, files=needed.files, unread=unread), tuple(sorted(asked))


class _Needed:
    """Files that other files ask for: bounded, and what is not read is said."""

    _BATCH = 50

    def __init__(self, snapshot: Snapshot, reading: Reading, left_out: Callable[[str], str | None]) -> None:
        self.files = dict(snapshot.files)
        self.unread: dict[str, Unread] = {}
        self._reading = reading
        self._left_out = left_out
        self._known = {one.path for one in snapshot.unread}
        self._room = _NEEDED
        self._matches = _MATCHED
        self._bytes = _MATCHED_BYTES
        self._listing: list[str] | None = None

    def read(self, paths: Sequence[str]) -> None:
        """Read files by path."""
        for start in range(0, len(paths), self._BATCH):
            found = self._reading.read(paths[start : start + self._BATCH])
            taken = self.bounded(sorted(found), self._room)
            self._room -= len(taken)
            self.files.update((path, found[path]) for path in taken)

    def match(self, patterns: Sequence[str]) -> None:
        """Read the files that globs stand for."""
        if not patterns:
            return
        if self._listing is None:
            self._listing = self._list()
        matched = {path for one in patterns for path in globs.select(one, self._listing)}
        fresh = sorted(path for path in matched if path not in self.files and path not in self._known)
        chosen = frozenset(self.bounded(fresh, self._matches))
        self._matches -= len(chosen)
        if not chosen:
            return
        made = self._reading.snapshot(lambda path, _head: path in chosen, self._left_out)
        for path, data in made.files.items():
            self._bytes -= len(data)
            if self._bytes >= 0:
                self.files[path] = data
            else:
                self._say(path, f"one of the files asked for that hold more than {_MATCHED_BYTES:,} bytes")
        self.unread.update((one.path, one) for one in made.unread if one.path in chosen)

    def bounded(self, wanted: list[str], room: int) -> list[str]:
        """Return as many as there is room for; the first of the others is said."""
        if len(wanted) > max(room, 0):
            rest = len(wanted) - max(room, 0)
            self._say(
                wanted[max(room, 0)], f"one of {rest} more files than are read for others that ask for them"
            )
        return wanted[: max(room, 0)]

    def _say(self, path: str, detail: str) -> None:
        self.unread[path] = Unread(path=path, reason=UnreadReason.UNREADABLE, detail=detail)

    def _list(self) -> list[str]:
        """Return the paths of all files, none of which is opened."""
        found: set[str] = set()

        def note(path: str, _head: bytes) -> bool:
            found.add(path)
            return False

        self._reading.snapshot(note, self._left_out)
        return sorted(found)


def once(found: Mapping[str, tuple[Finding, ...]]) -> list[Finding]:
    """Return the findings of all files in the order of their places, each place once."""
    places: dict[Location, Finding] = {}
    for references in found.values():
        for finding in references:
            places.setdefault(finding.location, finding)
    return sorted(places.values(), key=lambda one: (one.location.path, one.location.span))


def grounded(finding: Finding, ground: Ground) -> Finding:
    """Return the finding with the forge's own variables replaced by its hosts, as far as they are known."""
    match finding.reference:
        case ImageReference(registry=registry) as image if registry.startswith("$"):
            name, colon, port = registry.partition(":")
            host = ground.hosts.get(name)
            reference: Reference = replace(image, registry=f"{host}{colon}{port}") if host else image
        case GitReference(host=name) as git if not name or name.startswith("$"):
            host = ground.hosts.get(name) or ground.host
            reference = replace(git, host=host) if host else git
        case _:
            return finding
    if host:
        return replace(finding, reference=reference)
    if finding.skip is not None:
        return finding
    return replace(
        finding, skip=SkipReason.VARIABLE, note="which host this names is not known without the forge"
    )


def _asked(finding: Finding, services: Services) -> Reference | None:
    """Return the reference to look up for a finding, or None where there is nothing to ask."""
    reference = finding.reference
    if finding.skip is None:
        return reference
    if finding.skip is not SkipReason.PINNED:
        return None
    if services.pins:
        return reference
    match reference:
        case GitReference() as git if finding.comment and finding.comment.version:
            return git  # its comment names a version: does it tell the truth?
        case ImageReference(tag=tag) as image if (
            services.updates and tag is not None and not services.refreshed(finding)
        ):
            return replace(image, digest=None)
        case _:
            return None


def _resolve(findings: Sequence[Finding], services: Services) -> Mapping[Reference, Resolution | Unresolved]:
    asked = {reference: None for finding in findings if (reference := _asked(finding, services)) is not None}
    wanted = [one for one in asked if _fixed(one) is None]
    done = itertools.count(1)  # of which threads may ask at once

    def resolve(reference: Reference) -> Resolution | Unresolved:
        if isinstance(reference, ImageReference):
            answer = services.sources.images.resolve(reference)
        else:
            answer = services.sources.refs.resolve(reference)
        services.progress("Looking up", next(done), len(wanted))
        return answer

    answers: dict[Reference, Resolution | Unresolved] = dict(
        zip(wanted, services.spread(resolve, wanted), strict=True)
    )
    for reference in asked:
        if (digest := _fixed(reference)) is not None:
            answers[reference] = Resolution(reference=reference, digest=digest, source="the reference")
    return answers


def _fixed(reference: Reference) -> str | None:
    """Return the digest or commit that a reference names itself, or None where it has to be asked for."""
    if isinstance(reference, ImageReference):
        return reference.digest
    return reference.ref if is_commit(reference.ref) else None


def _candidate(
    finding: Finding, resolved: Mapping[Reference, Resolution | Unresolved]
) -> Candidate | Unresolved | None:
    reference = finding.reference
    answer: Resolution | Unresolved | None = None
    if reference is not None:
        answer = resolved.get(reference)
        if answer is None and isinstance(reference, ImageReference) and reference.digest:
            answer = resolved.get(replace(reference, digest=None))
    if answer is None or isinstance(answer, Unresolved):
        return answer
    made = candidates.candidate(finding, answer)
    if made.cause is not Cause.KEEP and not candidates.fits(made):
        return Unresolved(
            reference=answer.reference,
            reason=UnresolvedReason.INVALID,
            detail=f"what {answer.source} answered cannot be written here",
        )
    return made


_Gathered: TypeAlias = Mapping[tuple[Reference, str], Mapping[str, Evidence]]
"""Evidence by check, of a reference's digest."""


def _gather(made: Sequence[Candidate], rulebook: policy.Rulebook, services: Services) -> _Gathered:
    """Return the evidence on each digest, new and old alike, gathered once."""
    asked: dict[tuple[str, Reference, str], tuple[Check, Subject]] = {}
    for one in made:
        reference = one.resolution.reference
        for check in rulebook.wanted(one.finding, one.cause):
            for digest in filter(None, {one.target, one.current}):
                key = (check.name, reference, digest)
                if key not in asked:
                    answer = one.resolution if digest == one.target else None
                    asked[key] = (check, Subject(reference=reference, digest=digest, resolution=answer))
    parts = Counter(subject.reference for _, subject in asked.values())
    ended = {reference: itertools.count(1) for reference in parts}
    done = itertools.count(1)

    def gather(pair: tuple[Check, Subject]) -> Evidence:
        check, subject = pair
        evidence = check.gather(subject, services.sources)
        if next(ended[subject.reference]) == parts[subject.reference]:
            services.progress("Checking", next(done), len(parts))
        return evidence

    found: dict[tuple[Reference, str], dict[str, Evidence]] = {}
    for (name, reference, digest), evidence in zip(
        asked, services.spread(gather, list(asked.values())), strict=True
    ):
        found.setdefault((reference, digest), {})[name] = evidence
    return found


def _by_name(
    finding: Finding, config: Config, rulebook: policy.Rulebook, services: Services, now: datetime
) -> Verdict:
    """Return the verdict on what was not looked up: an ignore mutes that it floats, never a refusal."""
    asked = rulebook.of_names(finding) if finding.skip is SkipReason.IGNORED else {}
    if finding.reference is not None and asked:
        subject = Subject(reference=finding.reference, digest="")
        known = {name: CHECKS[name].gather(subject, services.sources) for name in asked}
        nowhere = Resolution(reference=finding.reference, digest="", source="")
        named = Candidate(finding=finding, current=None, target="", resolution=nowhere, cause=Cause.FIRST)
        outcome, reasons = policy.judge(named, {}, known, config, now, services.decisions, asked)
        if outcome is Outcome.REFUSE:
            return Verdict(finding=finding, outcome=outcome, reasons=reasons)
    return Verdict(finding=finding, outcome=Outcome.PASS)


def _verdict(
    finding: Finding,
    one: Candidate | Unresolved | None,
    evidence: _Gathered,
    config: Config,
    rulebook: policy.Rulebook,
    services: Services,
    now: datetime,
) -> Verdict:
    if one is None:
        return _by_name(finding, config, rulebook, services, now)
    if isinstance(one, Unresolved):
        reason = Reason(check="look-up", ruling=Ruling.UNKNOWN, text=one.detail)
        return Verdict(finding=finding, outcome=Outcome.HOLD, reasons=(reason,), unresolved=one)
    reference = one.resolution.reference
    new = evidence.get((reference, one.target), {})
    old = evidence.get((reference, one.current), {}) if one.current else {}
    asked = rulebook.rules(finding, one.cause)
    outcome, reasons = policy.judge(one, old, new, config, now, services.decisions, asked)
    muted = selection.declined(one, services.decisions, now)
    if muted is not None and one.cause is not Cause.KEEP:
        # What it floats to is not wanted; what policy refuses is refused all the same.
        finding = replace(finding, skip=SkipReason.IGNORED, note=muted)
    return Verdict(
        finding=finding, outcome=outcome, reasons=reasons, candidate=one, evidence=tuple(new.values())
    )


# --- propose ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The edits that finding again has confirmed, and the files that they would not fit."""

    edits: tuple[Edit, ...]
    written: tuple[Verdict, ...]
    """The verdicts whose candidates the edits carry out."""
    unread: tuple[Unread, ...] = ()

    def files(self, report: Report) -> dict[str, bytes]:
        """Return the new bytes of each file that is touched."""
        return edits.apply(report.snapshot.files, self.edits)


@sparing()
def confirm(report: Report) -> Confirmed:
    """Return the edits of a report, each file's confirmed by finding again.

    A file that cannot be confirmed is left untouched and reported.
    """
    by_path: dict[str, list[Verdict]] = {}
    for verdict in report.verdicts:
        if verdict.writes:
            by_path.setdefault(verdict.finding.location.path, []).append(verdict)
    # One such name must not keep the guard from letting everything else through.
    odd = [path for path in by_path if not edits.is_plain(path)]
    unread = [
        Unread(path=path, reason=UnreadReason.UNCONFIRMED, detail="its name is not one that is written to")
        for path in odd
    ]
    for path in odd:
        del by_path[path]
    chosen = [verdict for verdicts in by_path.values() for verdict in verdicts]
    if not chosen or _trouble(report, chosen) is None:
        return Confirmed(edits=_edits(chosen), written=tuple(chosen), unread=tuple(unread))
    good: list[Verdict] = []
    for path, verdicts in by_path.items():
        trouble = _trouble(report, verdicts)
        if trouble is None and _trouble(report, [*good, *verdicts]) is None:
            good += verdicts
        else:
            unread.append(Unread(path=path, reason=UnreadReason.UNCONFIRMED, detail=trouble or "conflict"))
    return Confirmed(edits=_edits(good), written=tuple(good), unread=tuple(unread))


def _edits(verdicts: Iterable[Verdict]) -> tuple[Edit, ...]:
    return tuple(
        edit for verdict in verdicts if verdict.candidate for edit in candidates.edits(verdict.candidate)
    )


def _trouble(report: Report, verdicts: Sequence[Verdict]) -> str | None:
    try:
        made = _edits(verdicts)
        changed = edits.apply(report.snapshot.files, made)
    except ValueError as error:
        return str(error)
    touched = {
        path
        for path, references in report.found.items()
        if path in changed or any(one.location.path in changed for one in references)
    }
    files = {**report.snapshot.files, **changed}
    after: dict[str, tuple[Finding, ...]] = {}
    for path, _, findings in finders.find(files, touched):
        after[path] = after.get(path, ()) + findings.references
    before = once({path: report.found[path] for path in touched})
    raw = {finding.location: finding for finding in before}
    targets = {
        place: candidates.target_reference(
            replace(verdict.candidate, finding=raw.get(place, verdict.finding))
        )
        for verdict in verdicts
        if verdict.candidate is not None
        for place in [verdict.finding.location]
    }
    return edits.confirm(before, once(after), targets, made)


def propose(report: Report, config: Config, base: str, *, introduces: bool = False) -> tuple[Proposal, ...]:
    """Return the proposals that a report leads to, one for each of the configuration's groups.

    There are none where nothing is to be written, or where the configuration lets Moorline only look.
    The first of them introduces Moorline where asked to.
    """
    if config.mode is not Mode.PROPOSE or report.commit is None:
        return ()
    confirmed = confirm(report)
    looks = Looks(
        labels=config.labels,
        reviewers=config.reviewers,
        assignees=config.assignees,
        draft=config.draft,
        squash=config.squash,
        remove_branch=config.remove_source_branch,
    )
    made: list[Proposal] = []
    for group, verdicts in proposals.groups(confirmed.written, config):
        # Confirmed together is not confirmed alone, and alone is how it is merged.
        if len(verdicts) < len(confirmed.written) and _trouble(report, verdicts) is not None:
            continue
        text = proposals.pin(
            report,
            verdicts,
            _edits(verdicts),
            confirmed.unread,
            config,
            base,
            group=group,
            introduces=introduces and not made,
        )
        made.append(replace(text, pins=tuple(map(pinned, verdicts)), looks=looks))
    return tuple(made)


def pinned(verdict: Verdict) -> Pinned:
    """Return what a person means who declines to have a finding pinned: its place and what it follows.

    Neither a digest nor a line: one that moved is not new.
    """
    finding = verdict.finding
    match finding.reference:
        case ImageReference() as image:
            name, version = f"{image.registry}/{image.repository}", image.followed_tag
        case GitReference() as git:
            follows = finding.comment.version if finding.comment else ""
            name, version = f"{git.host}/{git.repository}/{git.path}", follows or git.ref
        case _:
            name, version = finding.value, ""
    return Pinned(
        path=finding.location.path, where=finding.where, reference=f"{name}:{version}" if version else name
    )


def without(
    report: Report,
    declined: Collection[Pinned],
    accepted: Callable[[], Container[Pinned]] = frozenset,
) -> Report:
    """Return the report without what people declined to have pinned: it is said, and not written.

    A place that is not there any more hands its fate on to another one of the same file that follows the
    same and floats, unless that one is `accepted`: people let it be pinned.
    """
    if not declined:
        return report
    places = [pinned(verdict) for verdict in report.verdicts]
    refused = {*places} & {*declined}
    lost = Counter((one.path, one.reference) for one in {*declined} - refused)
    heirs = dict.fromkeys(
        place
        for verdict, place in zip(report.verdicts, places, strict=True)
        if verdict.candidate is not None and verdict.candidate.cause is Cause.FIRST
        if place not in refused and lost[place.path, place.reference] > 0
    )
    known = accepted() if heirs else frozenset[Pinned]()
    for one in heirs:
        if one not in known and lost[one.path, one.reference] > 0:
            lost[one.path, one.reference] -= 1
            refused.add(one)
    return replace(
        report,
        verdicts=tuple(
            replace(verdict, finding=replace(verdict.finding, skip=SkipReason.DECLINED, note=_DECLINED))
            if verdict.writes and place in refused
            else verdict
            for verdict, place in zip(report.verdicts, places, strict=True)
        ),
    )


def passing(report: Report) -> TransientError | None:
    """Return the trouble with look-ups that may be over soon, with the time that a server named."""
    failed = [one for one in report.verdicts if _passing(one)]
    if not failed:
        return None
    place = failed[0].finding.location
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    waits = [one.unresolved.retry_after for one in failed if one.unresolved and one.unresolved.retry_after]
    return TransientError(
        f"Some look-ups failed and are tried again: {visible(place.path)}:{place.line}{more}.",
        retry_after=max(waits, default=None),
    )


def unpins(report: Report, published: Proposal) -> bool:
    """Return whether a proposal of this report would take back a pin for trouble that may be over soon."""
    pinned = {(edit.path, edit.expected) for edit in published.edits}
    return any(
        (one.finding.location.path, one.finding.value.encode("utf-8", "surrogateescape")) in pinned
        for one in report.verdicts
        if _passing(one)
    )


def _passing(verdict: Verdict) -> bool:
    if verdict.unresolved is not None:
        return verdict.unresolved.reason in _PASSING
    return verdict.outcome is Outcome.HOLD and any(one.status is Status.ERROR for one in verdict.evidence)


# --- publish ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What we remember of a branch, without which nothing on it is believed to be ours."""

    commits: Container[str] = ()
    """What we put on the branch, or meant to."""
    these: Container[str] = ()
    """Those of them that carry out this very proposal."""
    drafts: Callable[[], Iterable[Proposal]] = tuple
    """Earlier proposals of which no commit is known: one may have been written just before a crash."""
    settled: Callable[[int], bool] = lambda _number: False
    """Whether what became of a request of ours was reckoned with before."""
    finished: Callable[[int], bool] = lambda _number: True
    """Whether a request of ours is remembered: else whoever opened it was stopped before it was all done."""
    number: int = 0
    """Of the request that carries the proposal as far as we remember; 0 for none."""


def publish(
    proposal: Proposal,
    forge: Forge,
    ours: Ours,
    intend: Callable[[str], None] = lambda _commit: None,
    wish: Wish | None = None,
) -> Published:
    """Make the forge match a proposal, and return what was done.

    `intend` is called with a commit before the branch is moved to it.  With a wish, a forge that has
    requests gets one.  Safe to repeat: what is there already is left.  A branch whose head is none of
    ours is somebody else's and left alone, and so is a request that a person aimed at another base; a
    request that a person closed stays closed, and a branch that was merged whole is ours again.  Raises
    `SupersededError` where the base moved, and `ForgeError` where a rule forbids it.
    """
    standing = forge.standing(proposal.repository, proposal.base, proposal.branch)
    request = standing.request or _by_number(proposal, forge, ours)
    if request is not None and request.state is not RequestState.OPEN:
        if not ours.settled(request.number):
            return _fate(proposal, request)
        request = _by_number(proposal, forge, ours) if request.number != ours.number else None
    if request is not None and request.base != proposal.base:
        return _elsewhere(proposal, request)
    there = standing.branch
    change = _change(proposal, there)
    # First of all: what was written before a crash is ours, and must be known as such ever after.
    if there is not None and (there in ours.these or forge.made(change, there)):
        commit, action = there, "unchanged"
    else:
        if there is not None and not _is_free(there, proposal, standing, ours, forge):
            over = request is None and _is_merged(standing)
            return Published(
                branch=proposal.branch,
                commit=there,
                action="left-over" if over else "left-alone",
                detail=f"its request was merged, and it holds commits that {proposal.base} does not"
                if over
                else "the branch holds a commit that Moorline did not make",
                url=request.url if request else "",
                number=request.number if request else 0,
            )
        if standing.base != proposal.commit:
            raise SupersededError(f"{proposal.base} moved to {standing.base} while the proposal was made")
        if standing.obstacles:
            raise ForgeError(
                f"{proposal.branch} cannot be written: {'; '.join(standing.obstacles)}.",
                advice="Change the rule, let Moorline pass it, or set another `branch-prefix`.",
            )
        commit = forge.write(change, intend)
        action = "created" if there is None else "updated"
    made = Published(branch=proposal.branch, commit=commit, action=action)
    if wish is None or forge.hosting is None:
        return made
    finished = request is not None and ours.finished(request.number)
    return _request(proposal, forge.hosting, made, request, wish, finished=finished)


def _change(proposal: Proposal, expected: str | None) -> Change:
    return Change(
        repository=proposal.repository,
        base=proposal.base,
        parent=proposal.commit,
        branch=proposal.branch,
        expected=expected,
        message=proposal.message,
        edits=proposal.edits,
    )


def may_write(proposal: Proposal, forge: Forge, ours: Ours) -> bool:
    """Return whether nothing is in the way of a proposal's branch: no rule, and nobody's commits."""
    standing = forge.standing(proposal.repository, proposal.base, proposal.branch)
    if standing.obstacles:
        return False
    return standing.branch is None or _is_free(standing.branch, proposal, standing, ours, forge)


def _is_free(there: str, proposal: Proposal, standing: Standing, ours: Ours, forge: Forge) -> bool:
    """Return whether a branch may be written: its head is ours, or its base has all that is on it."""
    if _is_ours(there, ours, forge):
        return True
    if standing.base is None or not _is_merged(standing):
        return False
    try:
        return forge.merge_base(proposal.repository, standing.base, there) == there
    except TransientError:
        raise
    except ForgeError:
        return False  # they have nothing in common


def _is_merged(standing: Standing) -> bool:
    return standing.request is not None and standing.request.state is RequestState.MERGED


def _by_number(proposal: Proposal, forge: Forge, ours: Ours) -> Request | None:
    """Return the request that we remember, where it is not from its branch to its base any more."""
    if not ours.number or forge.hosting is None:
        return None
    try:
        request = forge.hosting.request(proposal.repository, ours.number)
    except MissingError:
        return None
    return request if request.branch == proposal.branch else None


def _elsewhere(proposal: Proposal, request: Request) -> Published:
    return Published(
        branch=proposal.branch,
        commit=request.head,
        action="retargeted",
        detail=f"a person aimed {request.url or request.number} at {visible(request.base)}",
        url=request.url,
        number=request.number,
    )


def _is_ours(commit: str, ours: Ours, forge: Forge) -> bool:
    """Return whether a branch's head is a commit of ours, remembered or told by what is in it."""
    if commit in ours.commits:
        return True
    return any(forge.made(_change(draft, None), commit) for draft in ours.drafts())


def _fate(proposal: Proposal, request: Request) -> Published:
    merged = request.state is RequestState.MERGED
    return Published(
        branch=proposal.branch,
        commit=request.head,
        action="merged" if merged else "declined",
        url=request.url,
        number=request.number,
        detail="" if merged else f"a person closed {request.url or request.number}",
    )


def _request(
    proposal: Proposal,
    hosting: Hosting,
    made: Published,
    request: Request | None,
    wish: Wish,
    *,
    finished: bool,
) -> Published:
    """Return what was published, with the request that carries it."""
    paths = sorted({edit.path for edit in proposal.edits})
    notes = [note for note in (hosting.verified(proposal.repository, made.commit),) if note]
    wish = replace(
        wish, body=texts.noted(wish.body, notes, hosting.advise(proposal.repository, made.commit, paths))
    )
    if request is None or not finished:
        opened = hosting.open(proposal.repository, proposal.base, proposal.branch, wish)
    elif (request.title, request.body) == (wish.title, wish.body):
        opened = Opened(request=request)
    else:
        opened = hosting.edit(proposal.repository, request.number, wish)
    if request is None or not finished or made.action != "unchanged":
        title, summary = texts.own_check(proposal)
        check = CheckResult(
            conclusion=Conclusion.SUCCESS, title=title, summary=summary, url=opened.request.url
        )
        hosting.check(proposal.repository, made.commit, check)
    changed = request is None or opened.request is not request
    return replace(
        made,
        action="updated" if made.action == "unchanged" and changed and request is not None else made.action,
        url=opened.request.url,
        number=opened.request.number,
        detail="; ".join([*notes, *opened.notes]),
    )


def withdraw(
    proposal: Proposal,
    forge: Forge,
    ours: Ours,
    comment: str,
    *,
    planned: str = "",
    intend: Callable[[], None] = lambda: None,
) -> Published:
    """Close a proposal that has nothing left to say: its request with a comment, and its branch.

    What a person merged, closed or committed to is left as it is.  Safe to repeat.  `planned` is the
    commit of the base at which nothing was left, if there is one: raises `SupersededError` where the base
    is elsewhere.  `intend` is called before the request is closed.
    """
    standing = forge.standing(proposal.repository, proposal.base, proposal.branch)
    if planned and standing.base != planned:
        raise SupersededError(f"{proposal.base} moved to {standing.base} while nothing seemed to be left")
    request = standing.request or _by_number(proposal, forge, ours)
    elsewhere = request is not None and request.base != proposal.base and standing.base is not None
    if request is not None and elsewhere and request.state is RequestState.OPEN:
        return _elsewhere(proposal, request)
    made = Published(branch=proposal.branch, commit=standing.branch or "", action="closed")
    if request is not None and request.state is not RequestState.OPEN and not ours.settled(request.number):
        # A forge closes what is for a branch that is deleted: only where the base stands did a person do it.
        if request.state is RequestState.MERGED or standing.base is not None:
            made = _fate(proposal, request)
        else:
            intend()
            made = replace(made, url=request.url, number=request.number)
    mine = standing.branch is not None and _is_ours(standing.branch, ours, forge)
    if request is not None and request.state is RequestState.OPEN and (mine or standing.branch is None):
        if forge.hosting is not None:
            intend()
            forge.hosting.close(proposal.repository, request.number, comment)
        made = replace(made, url=request.url, number=request.number)
    if standing.branch is not None:
        if mine:
            forge.delete(proposal.repository, proposal.branch, standing.branch)
        elif made.action == "closed":
            return replace(
                made,
                action="left-alone",
                detail="the branch holds a commit that Moorline did not make",
                url=request.url if request else "",
                number=request.number if request else 0,
            )
    return made


# --- review ----------------------------------------------------------------------------


def review(
    report: Report,
    judged: Report,
    changed: Callable[[Collection[str]], Iterable[ChangedFile]],
    standing: proposals.Standing,
) -> Review:
    """Return what is said on a request about a report of what it brings in.

    `judged` is the same as the guard takes it, and `changed` tells of files which of their lines a remark
    may stand on; it is not asked where there is nothing to say.
    """
    pins = [
        proposals.Pin(one, candidates.edits(one.candidate))
        for one in confirm(report).written
        if one.candidate is not None
    ]
    settled = {one.verdict.finding.location for one in pins}
    troubles = [
        one
        for one in judged.verdicts
        if one.outcome in (Outcome.HOLD, Outcome.REFUSE)
        and one.finding.location not in settled
        and not _passing(one)  # another look may end otherwise: the check alone says it
    ]
    paths = {one.verdict.finding.location.path for one in pins}
    paths |= {one.finding.location.path for one in troubles}
    return proposals.review(report, pins, troubles, changed(paths) if paths else (), standing)


# --- guard --------------------------------------------------------------------------------


def guard(report: Report, config: Config) -> Report:
    """Return the report as a pipeline's guard takes it: what must not come in is refused."""
    rules = policy.guard(config)
    return replace(report, verdicts=tuple(_guarded(verdict, rules) for verdict in report.verdicts))


def _guarded(verdict: Verdict, rules: Guard) -> Verdict:
    finding = verdict.finding
    if verdict.outcome is Outcome.REFUSE:
        return verdict
    if verdict.unresolved is not None:
        if rules.unreachable is not Unreachable.FAILURE:
            return verdict
        return _refused(verdict, "guard", "the policy fails on what cannot be looked up")
    held = verdict.outcome is Outcome.HOLD or _unvouched(verdict)
    if held and rules.held is Floating.FAIL:
        return _refused(verdict, "guard", "the policy fails on what is held")
    if held and rules.held is Floating.WARN:
        verdict = replace(verdict, outcome=Outcome.HOLD)
    if finding.skip is not None or finding.state is not State.FLOATING:
        return verdict
    what = "digest" if finding.kind is Kind.IMAGE else "commit"
    text = f"it can be moved; pin it to a {what}"
    if verdict.candidate is not None:
        text += f": {verdict.candidate.target}"
    if rules.floating is Floating.FAIL:
        return _refused(verdict, "floating", text)
    if rules.floating is Floating.WARN:
        reason = Reason(check="floating", ruling=Ruling.FAIL, text=text, demand="warn")
        return replace(verdict, outcome=Outcome.WARN, reasons=(*verdict.reasons, reason))
    return verdict


def _unvouched(verdict: Verdict) -> bool:
    """Return whether a pin that stands there already has no word from a check that is required."""
    return (
        verdict.candidate is not None
        and verdict.candidate.cause is Cause.KEEP
        and any(one.demand == "require" and one.ruling is Ruling.UNKNOWN for one in verdict.reasons)
    )


def _refused(verdict: Verdict, check: str, text: str) -> Verdict:
    reason = Reason(check=check, ruling=Ruling.FAIL, text=text, demand="require")
    return replace(verdict, outcome=Outcome.REFUSE, reasons=(*verdict.reasons, reason))
