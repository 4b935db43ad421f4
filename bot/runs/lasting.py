"""Which decisions should stand in a repository's own configuration, and the proposal that puts them there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import unified_diff

from bot import globs
from bot.config import CONFIG_PATHS, Config, Mode
from bot.model import Decision, ImageReference, Pinned, Proposal, Reference, Report, Verdict
from bot.pipeline import Reading
from bot.proposals import lasting
from bot.proposals.answers import Promise
from bot.proposals.groups import short
from bot.proposals.lasting import Line
from bot.reference import is_commit
from bot.store.base import LastLook, Looked
from bot.trust import policy
from bot.visible import visible

_MOST = 100
"""Lines of one proposal."""
_WIDTH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A proposal for the configuration, and its diff for people."""

    proposal: Proposal
    diff: str


def keep(
    report: Report,
    reading: Reading,
    config: Config,
    base: str,
    decisions: Iterable[Decision],
    declined: Collection[Pinned],
    now: datetime,
) -> Kept | None:
    """Return the proposal that lets decisions last, or None where all of them stand there, or none can."""
    found = dict.fromkeys(
        line
        for decision in decisions
        if decision.until is None or now <= decision.until
        for verdict in report.verdicts
        for line in _lines(decision, verdict, config)
        if line.pinned not in declined
    )
    # Of two words on one thing the later one counts, be it the shorter.
    newest = {line.pinned: line for line in found}.values()
    lines = [line for line in newest if not line.is_in(config)][:_MOST]
    if not lines or report.commit is None:
        return None
    made = lasting.added(reading.read(CONFIG_PATHS), lines)
    if made is None:
        return None
    proposal = lasting.proposal(report.job.repository, base, report.commit, made, lines, config)
    return Kept(proposal=proposal, diff=_shown(made))


def carried(
    report: Report, config: Config, decisions: Iterable[Decision]
) -> tuple[frozenset[Pinned], frozenset[Pinned]]:
    """Return the lines of decisions that a configuration has, for whatever time, and those that it had and lost."""
    there: set[Pinned] = set()
    lost: set[Pinned] = set()
    for decision in decisions:
        for verdict in report.verdicts:
            reference = verdict.finding.reference
            if reference is None or decision.reference not in globs.spellings(reference):
                continue
            for line in _all_lines(decision, verdict.finding.kind.value, named(reference)):
                if line.is_named_in(config):
                    there.add(line.pinned)
                elif decision.stood:
                    lost.add(line.pinned)
    return frozenset(there), frozenset(lost)


def _all_lines(decision: Decision, kind: str, name: str) -> Iterable[Line]:
    until = decision.until.date() if decision.until is not None else None
    said = Line(
        key=decision.what,
        what=kind if decision.what == "ignore" else "reference",
        name=name,
        spelling=decision.reference,
        until=until,
        because=decision.because,
        by=decision.by,
    )
    if decision.what == "ignore":
        return (said,)
    return tuple(replace(said, check=check, digest=decision.digest or "") for check in decision.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where decisions of a repository last: the configuration of its default branch."""

    default: str
    config: Config
    files: Mapping[str, bytes]
    """The places where it may stand, by path."""
    holds_policy: bool


def promise(
    ground: Ground, look: LastLook | None, decisions: Sequence[Decision], *, paused: bool, room: bool
) -> Promise:
    """Return whether the next look at the default branch proposes lines for decisions.

    `look` is the last one at that branch; `room` says whether the limits leave any.
    """
    if ground.holds_policy:
        return Promise.POLICY
    if ground.config.mode is Mode.OBSERVE:
        return Promise.OBSERVED
    lines = dict.fromkeys(
        line
        for decision in decisions
        for one in (look.references if look is not None else ())
        if one.lasts_as and one.spelling == decision.reference
        for line in _all_lines(decision, one.kind, one.lasts_as)
        if _is_wanted(line, one)
    )
    if not lines:
        return Promise.ELSEWHERE
    missing = [line for line in lines if not line.is_in(ground.config)]
    if not missing:
        return Promise.STANDS
    if lasting.added(ground.files, missing) is None:
        return Promise.UNWRITABLE
    if paused or ground.config.mode is Mode.PAUSED:
        return Promise.PAUSED
    return Promise.FOLLOWS if room else Promise.ROOM


def _is_wanted(line: Line, one: Looked) -> bool:
    if line.key == "ignore":
        return True
    return line.digest == one.target and line.check in one.held_by and line.check not in one.insisted


def _shown(made: lasting.Lasting) -> str:
    """Return the unified diff of what is added, as text for people."""
    before, after = (
        [visible(line, _WIDTH) for line in data.decode("utf-8", "replace").splitlines()]
        for data in (made.before, made.after)
    )
    old = f"a/{made.path}" if made.before else "/dev/null"
    return "".join(f"{line}\n" for line in unified_diff(before, after, old, f"b/{made.path}", lineterm=""))


def _lines(decision: Decision, verdict: Verdict, config: Config) -> Iterable[Line]:
    """Yield what a decision about a reference comes to in the configuration."""
    finding = verdict.finding
    reference = finding.reference
    if reference is None or decision.reference not in globs.spellings(reference):
        return
    name = named(reference)
    if not name:
        return
    lines = _all_lines(decision, finding.kind.value, name)
    if decision.what == "ignore":
        yield from lines
        return
    candidate = verdict.candidate
    if candidate is None or candidate.target != decision.digest:
        return
    held = policy.held_by(verdict)
    yield from (
        one
        for one in lines
        if one.check in held and policy.may_except(one.check, finding.location.path, config)
    )


def named(reference: Reference) -> str:
    """Return how people name a reference in a configuration, its tag or ref included; empty where nothing does."""
    name = _name(reference)
    if set("*?[\\") & set(name) or globs.wrong(name) is not None or not globs.names(name, reference):
        return ""
    return name


def _name(reference: Reference) -> str:
    if isinstance(reference, ImageReference):
        plain = short(f"{reference.registry}/{reference.repository}")
        return f"{plain}:{reference.followed_tag}" if reference.followed_tag else plain
    place = f"{reference.repository}/{reference.path}" if reference.path else reference.repository
    return place if is_commit(reference.ref) or not reference.ref else f"{place}@{reference.ref}"
