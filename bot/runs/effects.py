"""What each command comes to: a function for each verb, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from difflib import get_close_matches
from functools import cached_property

from bot import cron, globs
from bot.commands import FORMS, Command, Verb, address, role_name
from bot.errors import MissingError
from bot.forges.base import Comment, Forge, Hosting, Request, RequestState, Role
from bot.model import Decision, Job, Pinned, Trigger, line_of
from bot.proposals.answers import MOST_ROWS, Kind, Open, Part, Promise, Row, Usage
from bot.proposals.lasting import CONFIGURATION
from bot.reference import is_commit, parse_image
from bot.runs import limits
from bot.runs.lasting import Ground, promise
from bot.runs.memory import Memory
from bot.store.base import LastLook, Looked, Override, Pause, ProposalState, StoredProposal

_OVER = "What it would keep was taken back, or is over; whoever may can say it again."
_PAUSES, _IGNORES, _CLOSES = "pause", "ignore *", "close"
"""Topics of words that are about more than one image or request."""
_MOST_IGNORED = 20
_MOST_SWEEPS = 1000
"""Sweeps of which it is asked whether they may propose: some weeks of hourly ones."""
_MOST_AGAIN = 5
"""Commands that are written out in one answer; each may be as long as its reason."""
_CLOSE = timedelta(seconds=1)
"""GitHub tells the time of a comment in whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one command comes to."""

    part: Part
    decisions: tuple[Decision, ...] = ()
    unignored: tuple[str, ...] = ()
    ended: tuple[Pinned, ...] = ()
    undeclined: tuple[Pinned, ...] = ()
    reopened: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    adopted: tuple[tuple[str, str], ...] = ()
    pause: Pause | None = None
    resumes: bool = False
    override: Override | None = None
    closes: str = ""
    words: tuple[str, ...] = ()
    """Topics on which this is a word: an older one that is heard later does not count."""
    jobs: tuple[Job, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Where a command was said, and by whom; what it needs is asked for once."""

    memory: Memory
    forge: Forge
    hosting: Hosting
    job: Job
    comment: Comment
    role: Role
    """Of whoever said it."""
    now: datetime
    overrides: bool
    sweeps: cron.Cron | None = None
    """When sweeps come, where that is known."""
    grounds: Callable[[], Ground | None]
    """Tells where decisions last; None where nobody knows."""
    earlier: list[Effect] = field(default_factory=list)
    """What the lines above in the same comment came to."""

    @property
    def who(self) -> str:
        """Whoever said it."""
        return self.comment.author.login

    @cached_property
    def proposal(self) -> StoredProposal | None:
        """Our proposal that it was said on, or None."""
        return self.memory.proposals.by_number(self.forge.name, self.job.repository, self.comment.number)

    @cached_property
    def request(self) -> Request:
        """The request that it was said on."""
        return self.hosting.request(self.job.repository, self.comment.number)

    @cached_property
    def base(self) -> str:
        """The branch that the request is for."""
        return self.proposal.proposal.base if self.proposal is not None else self.request.base

    @cached_property
    def look(self) -> LastLook | None:
        """What was last found in the request, and at its base."""
        mine, base = self._mine, self._at_base
        if mine is None or base is None:
            return mine or base
        there = {_place(one) for one in mine.references}
        rest = (one for one in base.references if _place(one) not in there)
        return replace(mine, references=(*mine.references, *rest))

    @property
    def decided(self) -> tuple[Decision, ...]:
        """What people settled here, as far as it still holds; the lines above in the same comment, too."""
        return decided(self.earlier, self._stored)

    @property
    def said(self) -> tuple[Decision, ...]:
        """What people settled here, be it declined since; the lines above in the same comment, too."""
        before = self.memory.decisions.said(self.forge.name, self.job.repository, self.now)
        return decided(self.earlier, before)

    @property
    def may_allow(self) -> bool:
        """Whether whoever said it may let something pass the checks."""
        return self.role >= FORMS[Verb.ALLOW].least

    @cached_property
    def _stored(self) -> tuple[Decision, ...]:
        return self.memory.decisions.of(self.forge.name, self.job.repository, self.now)

    @cached_property
    def _mine(self) -> LastLook | None:
        return self.judged if self.proposal is None else None

    @cached_property
    def _at_base(self) -> LastLook | None:
        return self.memory.conversations.look(self.forge.name, self.job.repository, self.base)

    def is_unseen(self, one: Looked) -> bool:
        """Return whether what a reference was found to point to came after the comment, or may have."""
        mine = self._mine
        # A look at the request that is too young may also have hidden what was seen there before.
        if mine is not None and (self._came_after(mine) or _place(one) in map(_place, mine.references)):
            return self._came_after(mine)
        return self._at_base is not None and self._came_after(self._at_base)

    def _came_after(self, look: LastLook) -> bool:
        return look.known >= self.comment.created + _CLOSE

    @property
    def pause(self) -> Pause | None:
        """The pause that holds, by the lines above in the same comment as well."""
        said = [one for one in self.earlier if one.pause is not None or one.resumes]
        return said[-1].pause if said else self._stored_pause

    @cached_property
    def _stored_pause(self) -> Pause | None:
        return self.memory.conversations.pause(self.forge.name, self.job.repository, self.now)

    @property
    def is_paused(self) -> bool:
        """Whether nothing is proposed here for now, by somebody's word."""
        return self.pause is not None

    def is_late(self, *topics: str) -> bool:
        """Return whether somebody said something on one of some topics after the comment, which was heard first."""
        return not self._later.isdisjoint(topics)

    @cached_property
    def _later(self) -> frozenset[str]:
        created = self.comment.created
        words = self.memory.conversations.words(self.forge.name, self.job.repository, created)
        return frozenset(topic for topic, said in words.items() if said > created)

    @property
    def judged(self) -> LastLook | None:
        """What was judged last of the request."""
        return self.memory.conversations.look(self.forge.name, self.job.repository, self._head_ref)

    @property
    def _head_ref(self) -> str:
        return f"refs/pull/{self.comment.number}/head"

    @property
    def jobs(self) -> tuple[Job, ...]:
        """What to look at again: the base, and a person's request as well."""
        job = Job(forge=self.forge.name, repository=self.job.repository, ref=self.base, trigger=Trigger.PUSH)
        return (job,) if self.proposal is not None else (job, self.request_job)

    @cached_property
    def _ground(self) -> Ground | None:
        return self.grounds()

    @property
    def role_to_allow(self) -> str:
        """What the forge calls the role that may say `allow`."""
        return role_name(FORMS[Verb.ALLOW].least, self.forge.name)

    @property
    def default(self) -> str:
        """The branch in whose configuration decisions last; empty where that is not known."""
        return self._ground.default if self._ground is not None else ""

    @property
    def deciding(self) -> tuple[Job, ...]:
        """What to look at again after a decision: where it lasts as well."""
        there = (replace(self.jobs[0], ref=self.default),) if self.default else ()
        return tuple(dict.fromkeys((*self.jobs, *there)))

    def promise(self, decisions: Sequence[Decision]) -> Promise:
        """Return whether a proposal for the configuration follows decisions."""
        ground, name, repository = self._ground, self.forge.name, self.job.repository
        if ground is None:
            return Promise.NOTHING
        look = self.memory.conversations.look(name, repository, ground.default)
        standing = self.memory.proposals.standing(name, repository)
        books = limits.Books(proposals=self.memory.proposals, forge=name, repository=repository, now=self.now)
        # What is allowed may be proposed, too, and goes before.
        more = 1 + sum(one.what == "allow" for one in decisions)
        stands = any(
            (one.proposal.base, one.proposal.group) == (ground.default, CONFIGURATION) for one in standing
        )
        room = stands or books.room(ground.config.limits, others=len(standing)) >= more
        return promise(ground, look, decisions, paused=self.is_paused, room=room)

    @property
    def request_job(self) -> Job:
        """The person's request, to be judged again."""
        return self._judging(self.comment.number)

    def _judging(self, number: int) -> Job:
        return Job(
            forge=self.forge.name,
            repository=self.job.repository,
            ref=f"refs/pull/{number}/head",
            trigger=Trigger.PULL_REQUEST,
            number=number,
        )

    def bringing(self, decisions: Sequence[Decision]) -> Iterator[Job]:
        """Yield the open requests, to be judged again, in which what decisions are about was found."""
        about = {(one.reference, one.digest) for one in decisions}
        name, repository = self.forge.name, self.job.repository
        for number in self.memory.checks.proposing(name, repository):
            look = self.memory.conversations.look(name, repository, f"refs/pull/{number}/head")
            if look is not None and any((one.spelling, one.target) in about for one in look.references):
                yield self._judging(number)

    def branch_head(self, proposal: StoredProposal) -> str | None:
        """Return where the branch of a proposal is now, None where it is gone."""
        try:
            return self.forge.head(self.job.repository, proposal.proposal.branch)[1]
        except MissingError:
            return None

    def foreign_head(self, proposal: StoredProposal) -> str | None:
        """Return the head of a proposal's branch where somebody else put it there, None where nobody did."""
        head = self.branch_head(proposal)
        return head if head is not None and not self.is_ours(proposal, head) else None

    def is_ours(self, proposal: StoredProposal, head: str) -> bool:
        """Return whether a commit on the proposal's branch is one that we put there."""
        branch = proposal.proposal.branch
        return head in self.memory.proposals.commits(self.forge.name, self.job.repository, branch)


def decided(effects: Iterable[Effect], before: Iterable[Decision] = ()) -> tuple[Decision, ...]:
    """Return what is settled after some effects, the later of which count, of what was settled before."""
    left = list(before)
    for effect in effects:
        ended = set(effect.ended)
        left = [
            one
            for one in left
            if not (one.lines and ended.issuperset(one.lines))
            and not (one.what == "ignore" and one.reference in effect.unignored)
        ]
        left += effect.decisions
    return tuple(left)


# --- what is told -------------------------------------------------------------------------


def _help(scene: Scene, _command: Command) -> Effect:
    who = {one.least: role_name(one.least, scene.forge.name) for one in FORMS.values()}
    who[Role.READ] = "whoever may read"
    usages = tuple(Usage(usage=one.usage, who=who[one.least], says=one.says) for one in FORMS.values())
    example = f"{address(scene.hosting.account().login)} {FORMS[Verb.EXPLAIN].example}"
    return Effect(part=Part(kind=Kind.HELP, usages=usages, example=example))


def _status(scene: Scene, _command: Command) -> Effect:
    name, repository = scene.forge.name, scene.job.repository
    pause = scene.pause
    standing = scene.memory.proposals.standing(name, repository)
    look = scene.memory.conversations.look(name, repository, scene.base)
    scan = scene.memory.repositories.scan(name, repository, scene.base)
    turn = scene.memory.schedules.turn(name, repository, scene.base)
    spoken = dict.fromkeys(map(_spoken, scene.decided))
    return Effect(
        part=Part(
            kind=Kind.STATUS,
            base=scene.base,
            who=pause.by if pause else "",
            day=pause.until if pause else None,
            open=tuple(
                Open(
                    number=one.number,
                    base=one.proposal.base,
                    references=len(one.proposal.pins),
                    note=one.detail,
                )
                for one in standing[:MOST_ROWS]
            ),
            held=scan.held if scan is not None else 0,
            since=look.at if look else None,
            commit=look.commit if look else "",
            ignored=tuple(spoken)[:_MOST_IGNORED],
            first=_next(turn.schedule_first, turn.first, scene),
            refresh=_next(turn.schedule_refresh, turn.refresh, scene),
        )
    )


def _spoken(one: Decision) -> str:
    excused = f" ({', '.join(one.checks)})" if one.checks else ""
    return f"{one.what} {one.reference}{excused}"


def _next(schedule: Sequence[str], last: datetime | None, scene: Scene) -> datetime | None:
    """Return when a sweep comes next at a time that all of a schedule agree with; None where none is near."""
    said = [cron.parse(one) for one in schedule if cron.wrong(one) is None]
    if scene.sweeps is None or not said:
        return max((one.next(scene.now) for one in said), default=None)
    at = scene.now
    for _ in range(_MOST_SWEEPS):
        at = scene.sweeps.next(at)
        if all(one.due(last, at) for one in said):
            return at
    return None


def _explain(scene: Scene, command: Command) -> Effect:
    look = scene.look
    if look is None:
        return _not_looked(command)
    if command.names:
        found = _found(command.names[0], look)
        if not found:
            return _unknown(command, look)
    else:
        found = [one for one in look.references if one.outcome in ("hold", "refuse")]
    return Effect(
        part=Part(
            kind=Kind.EXPLAINED,
            rows=tuple(map(_row, found[:MOST_ROWS])),
            more=max(len(found) - MOST_ROWS, 0),
            commit=look.commit,
            since=look.at,
        )
    )


_OUTCOMES = {
    "hold": "held",
    "refuse": "refused",
    "warn": "may be pinned, with a word",
    "pass": "may be pinned",
}


def _row(one: Looked) -> Row:
    if one.skip == "pinned":
        state = "pinned" if one.outcome in ("pass", "warn") else f"pinned, {_OUTCOMES[one.outcome]}"
    elif one.skip and one.outcome != "refuse":
        state = f"left as it is: {one.skip}"
    else:
        state = _OUTCOMES.get(one.outcome, one.outcome)
    why = [one.note] if one.note else []
    return Row(
        place=f"{one.path}:{one.line}",
        value=one.value,
        state=state,
        digest=one.target or one.written,
        why="; ".join([*why, *one.reasons]) or "nothing speaks against it",
    )


# --- what is decided ----------------------------------------------------------------------


def _ignore(scene: Scene, command: Command) -> Effect:
    return _muted(scene, command, Kind.IGNORED)


def _unpin(scene: Scene, command: Command) -> Effect:
    return _muted(scene, command, Kind.UNPINNED)


def _muted(scene: Scene, command: Command, kind: Kind) -> Effect:
    look = scene.look
    if look is None:
        return _not_looked(command)
    found = _found(command.names[0], look)
    if not found:
        return _unknown(command, look)
    # What nobody could look up yet has no digest that a decision could be bound to.
    named = _named(command)
    unseen = [one for one in found if scene.is_unseen(one)]
    if unseen and not named:
        return _unseen(command, unseen)
    found = [one for one in found if not scene.is_late(f"ignore {one.spelling}", _IGNORES)]
    if not found:
        return _late(command)
    bound = dict.fromkeys((one.spelling, named or one.target or None) for one in found)
    decisions = tuple(_decision(scene, command, "ignore", spelling, digest) for spelling, digest in bound)
    pinned = [one for one in found if one.written] if kind is Kind.UNPINNED else []
    return Effect(
        part=Part(
            kind=kind,
            names=_spellings(found),
            because=command.because,
            until=command.until,
            rows=tuple(map(_row, pinned[:MOST_ROWS])),
            promise=scene.promise(decisions),
            default=scene.default,
        ),
        decisions=decisions,
        undeclined=_lines(decisions),
        words=tuple(f"ignore {one.reference}" for one in decisions),
        jobs=scene.deciding,
    )


def _allow(scene: Scene, command: Command) -> Effect:
    look = scene.look
    if look is None:
        return _not_looked(command)
    found = _found(command.names[0], look)
    if not found:
        return _unknown(command, look)
    names = _spellings(found)
    named = _named(command)
    # What stands in the file is not what was judged where the tag has moved on.
    held = [one for one in found if one.held_by and one.target and named in ("", one.target)]
    if not held:
        floats = any(one.outcome == "refuse" and one.target and not one.written for one in found)
        return Effect(part=Part(kind=Kind.FLOATS if floats else Kind.NOT_HELD, names=names))
    free = [one for one in held if not one.insisted]
    if not free:
        return Effect(part=Part(kind=Kind.INSISTED, names=names))
    unseen = [one for one in free if scene.is_unseen(one)]
    if unseen and not named:
        return _unseen(command, unseen)
    free = [one for one in free if not scene.is_late(*_allowing(one.spelling, one.target))]
    if not free:
        return _late(command)
    # A check that comes to refuse the same digest later is none that anybody has read of.
    bound: dict[tuple[str, str], dict[str, None]] = {}
    for one in free:
        bound.setdefault((one.spelling, one.target), {}).update(dict.fromkeys(one.held_by))
    decisions = tuple(
        _decision(scene, command, "allow", spelling, digest, tuple(checks))
        for (spelling, digest), checks in bound.items()
    )
    return Effect(
        part=Part(
            kind=Kind.ALLOWED,
            names=_spellings(free),
            because=command.because,
            until=command.until,
            checks=tuple(dict.fromkeys(check for one in decisions for check in one.checks)),
            rows=tuple(_excused(one, bound[one.spelling, one.target]) for one in free[:MOST_ROWS]),
            more=max(len(free) - MOST_ROWS, 0),
            promise=scene.promise(decisions),
            default=scene.default,
        ),
        decisions=decisions,
        undeclined=_lines(decisions),
        words=tuple(f"allow {one.reference}@{one.digest}" for one in decisions),
        jobs=scene.deciding,
    )


def _allowing(reference: str, digest: str) -> tuple[str, str]:
    """Return the topics on which a word on one digest, or on all of a reference, is the last one."""
    return f"allow {reference}", f"allow {reference}@{digest}"


def _excused(one: Looked, checks: Iterable[str]) -> Row:
    return replace(_row(one), state=f"excused from {', '.join(checks)}")


def _disallow(scene: Scene, command: Command) -> Effect:
    # What was declined does not hold, and comes back once the proposal does.
    decided = [one for one in scene.said if one.what == "allow"]
    named = _named(command)
    meant = _meant(command.names[0], scene.look, decided)
    words = tuple(f"allow {one}@{named}" if named else f"allow {one}" for one in sorted(meant))
    those = [one for one in decided if one.reference in meant and named in ("", one.digest)]
    if not those:
        known = tuple(dict.fromkeys(f"{one.reference}@{one.digest}" for one in decided))
        part = Part(kind=Kind.NOT_ALLOWED, names=command.names, again=known[:_MOST_AGAIN])
        return Effect(part=part, words=words)
    taken = [one for one in those if not scene.is_late(*_allowing(one.reference, one.digest or ""))]
    if not taken:
        return _late(command)
    lines = _lines(taken)
    offer = _offer(scene, lines)
    return Effect(
        part=Part(
            kind=Kind.DISALLOWED,
            names=tuple(dict.fromkeys(f"{one.reference}@{one.digest}" for one in taken)),
            checks=tuple(dict.fromkeys(check for one in taken for check in one.checks)),
            number=offer.number if offer is not None else 0,
            waits=scene.is_paused,
            aside=offer is not None and scene.foreign_head(offer) is not None,
        ),
        ended=lines,
        words=words,
        jobs=tuple(dict.fromkeys((*scene.deciding, *scene.bringing(taken)))),
    )


def _meant(name: str, look: LastLook | None, decided: Sequence[Decision]) -> set[str]:
    """Return the references that a name means: of the last look, and of decisions on what is gone by now."""
    plain = name.partition("@sha256:")[0]
    found = {one.spelling for one in (_found(plain, look) if look is not None else ())}
    texts = {plain, plain.lower()}
    return found | {one.reference for one in decided if texts & _forms(one.reference)}


def _forms(reference: str) -> set[str]:
    """Return what people may call a reference of which a decision has kept the spelling alone."""
    image = parse_image(reference)
    if image is not None:
        return {reference, *globs.forms(image)}
    return {reference, reference.lower(), reference.lower().partition("@")[0]}


def _offer(scene: Scene, lines: Collection[Pinned]) -> StoredProposal | None:
    """Return an open proposal of ours that would keep one of some lines, or None."""
    standing = scene.memory.proposals.standing(scene.forge.name, scene.job.repository)
    return next((one for one in standing if set(lines) & set(one.proposal.pins)), None)


def _lines(decisions: Iterable[Decision]) -> tuple[Pinned, ...]:
    return tuple(dict.fromkeys(line for one in decisions for line in one.lines))


def _decision(
    scene: Scene,
    command: Command,
    what: str,
    reference: str,
    digest: str | None,
    checks: tuple[str, ...] = (),
) -> Decision:
    last = datetime.combine(command.until, time.max, UTC) if command.until is not None else None
    return Decision(
        by=scene.who,
        what=what,
        reference=reference,
        digest=digest,
        until=last,
        because=command.because,
        checks=checks,
    )


def _pin(scene: Scene, command: Command) -> Effect:
    look = scene.look
    if command.names and look is None:
        return _not_looked(command)
    found = [one for name in command.names for one in (_found(name, look) if look else ())]
    missing = [name for name in command.names if look is not None and not _found(name, look)]
    if missing and look is not None:
        return _unknown(command, look, missing)
    if not command.names and look is not None:
        found = list(look.references)
    wanted = [one for one in found if not scene.is_late(f"ignore {one.spelling}", _IGNORES)]
    if command.names and found and not wanted:
        return _late(command)
    if scene.proposal is None:
        scene.memory.reviews.again(scene.forge.name, scene.job.repository, scene.comment.number)
    words = {f"ignore {one.spelling}": None for one in wanted} if command.names else {_IGNORES: None}
    mine: tuple[Pinned, ...] = ()
    if scene.proposal is not None and not command.names:
        words[_fate(scene)] = None
        mine = scene.proposal.proposal.pins
    back = (*mine, *(one.pinned for one in wanted)) if not scene.is_late(_CLOSES, _fate(scene)) else ()
    barred = _barred(scene, scene.proposal) if mine and scene.proposal and not scene.may_allow else ()
    return Effect(
        part=Part(
            kind=Kind.PINNING,
            names=_spellings(wanted) if command.names else (),
            base=scene.base,
            request=scene.proposal is None,
            needs=scene.role_to_allow if barred else "",
            waits=scene.proposal is not None and scene.is_paused,
        ),
        unignored=tuple(dict.fromkeys(one.spelling for one in wanted)),
        undeclined=tuple(one for one in dict.fromkeys(back) if scene.may_allow or not _allows(one)),
        words=tuple(words),
        jobs=scene.jobs,
    )


# --- what is looked at again --------------------------------------------------------------


def _recheck(scene: Scene, _command: Command) -> Effect:
    request = scene.proposal is None
    return Effect(
        part=Part(
            kind=Kind.RECHECKING, base=scene.base, request=request, waits=not request and scene.is_paused
        ),
        jobs=(scene.request_job,) if request else scene.jobs,
    )


def _rebase(scene: Scene, command: Command) -> Effect:
    proposal = scene.proposal
    if proposal is None:
        return _not_ours(command)
    if proposal.state is not ProposalState.PUBLISHED:
        return _settled(command, proposal)
    head = scene.branch_head(proposal)
    if head is not None and not scene.is_ours(proposal, head):
        return Effect(part=Part(kind=Kind.ASIDE))
    newest = scene.forge.head(scene.job.repository, scene.base)[1]
    if head is not None and newest == proposal.proposal.commit:
        return Effect(part=Part(kind=Kind.NEWEST, base=scene.base, commit=newest))
    part = Part(kind=Kind.REBASING, base=scene.base, waits=scene.is_paused)
    return Effect(part=part, stale=(proposal.id,), jobs=scene.jobs)


def _recreate(scene: Scene, command: Command) -> Effect:
    proposal = scene.proposal
    if proposal is None:
        return _not_ours(command)
    if proposal.state is ProposalState.MERGED:
        return _settled(command, proposal)
    if scene.is_late(_fate(scene)):
        return _late(command)
    barred = _barred(scene, proposal)
    if proposal.state is not ProposalState.PUBLISHED and proposal.proposal.group == CONFIGURATION:
        back = _lines(scene.said)
        if not set(back) & set(proposal.proposal.pins):
            return Effect(part=Part(kind=Kind.SETTLED, verb=command.verb.value, problem=_OVER))
        if not scene.may_allow and barred and not set(back) & set(proposal.proposal.pins) - set(barred):
            return Effect(
                part=Part(
                    kind=Kind.REFUSED,
                    verb=command.verb.value,
                    needs=scene.role_to_allow,
                    has=role_name(scene.role, scene.forge.name),
                    lasting=True,
                )
            )
    foreign = scene.foreign_head(proposal)
    return Effect(
        part=Part(
            kind=Kind.RECREATING,
            base=scene.base,
            commit=foreign or "",
            needs=scene.role_to_allow if barred and not scene.may_allow else "",
            waits=scene.is_paused,
        ),
        words=(_fate(scene),),
        undeclined=barred if scene.may_allow else (),
        reopened=(proposal.id,) if proposal.state is ProposalState.CLOSED else (),
        stale=(proposal.id,),
        adopted=((proposal.id, foreign),) if foreign is not None else (),
        jobs=scene.jobs,
    )


def _barred(scene: Scene, proposal: StoredProposal) -> tuple[Pinned, ...]:
    """Return what a proposal was to allow, and somebody declined: only who may allow brings it back."""
    refused = scene.memory.proposals.declined(scene.forge.name, scene.job.repository, proposal.proposal.base)
    said = refused.intersection(_lines(scene.said))
    return tuple(one for one in proposal.proposal.pins if _allows(one) and one in said)


def _allows(line: Pinned) -> bool:
    allowing = line_of("allow", "")
    return (line.path, line.where) == (allowing.path, allowing.where)


def _close(scene: Scene, command: Command) -> Effect:
    proposal = scene.proposal
    if proposal is None:
        return _not_ours(command)
    if proposal.state is not ProposalState.PUBLISHED:
        return _settled(command, proposal)
    if scene.is_late(_fate(scene)):
        return _late(command)
    if scene.request.state is not RequestState.OPEN:
        # Somebody was faster, of which nobody told us yet.
        return replace(_settled(command, proposal), jobs=(scene.request_job,))
    keeps = proposal.proposal.group == CONFIGURATION
    # Whoever closes what would keep decisions declines them: what they let pass is looked at anew.
    return Effect(
        part=Part(kind=Kind.CLOSING, lasting=keeps),
        closes=proposal.id,
        words=(_fate(scene), _CLOSES),
        jobs=scene.jobs[:1] if keeps else (),
    )


# --- what holds for all of a repository ---------------------------------------------------


def _pause(scene: Scene, command: Command) -> Effect:
    if scene.is_late(_PAUSES):
        return _late(command)
    pause = Pause(by=scene.who, since=scene.now)
    return Effect(part=Part(kind=Kind.PAUSED), pause=pause, words=(_PAUSES,))


def _snooze(scene: Scene, command: Command) -> Effect:
    if scene.is_late(_PAUSES):
        return _late(command)
    until = scene.now + timedelta(days=command.days)
    pause = Pause(by=scene.who, since=scene.now, until=until)
    return Effect(part=Part(kind=Kind.SNOOZED, day=until), pause=pause, words=(_PAUSES,))


def _resume(scene: Scene, command: Command) -> Effect:
    if scene.is_late(_PAUSES):
        return _late(command)
    if not scene.is_paused:
        return Effect(part=Part(kind=Kind.NOT_PAUSED), words=(_PAUSES,))
    # What was asked for meanwhile waits on every base.
    standing = scene.memory.proposals.standing(scene.forge.name, scene.job.repository)
    bases = dict.fromkeys((scene.base, *(one.proposal.base for one in standing)))
    jobs = tuple(replace(scene.jobs[0], ref=base) for base in bases)
    return Effect(part=Part(kind=Kind.RESUMED, base=scene.base), resumes=True, words=(_PAUSES,), jobs=jobs)


def _override(scene: Scene, command: Command) -> Effect:
    if not scene.overrides:
        return Effect(part=Part(kind=Kind.NO_OVERRIDE))
    head = scene.request.head
    last = scene.judged
    told = scene.job.head
    moved = is_commit(told) and told != head
    # A commit that slipped in behind the admin's back, be it an older one, is none that the admin has seen.
    seen = last is not None and last.commit == head and last.known < scene.comment.created + _CLOSE
    if moved or not seen:
        return Effect(part=Part(kind=Kind.UNSEEN, commit=head))
    return Effect(
        part=Part(kind=Kind.OVERRIDDEN, commit=head, who=scene.who, because=command.because),
        override=Override(
            commit=head,
            number=scene.comment.number,
            base=scene.request.base,
            by=scene.who,
            because=command.because,
            at=scene.now,
        ),
        jobs=(scene.request_job,),
    )


# --- what cannot be done ------------------------------------------------------------------


def _unseen(command: Command, unseen: Sequence[Looked]) -> Effect:
    """Return the answer that names what a decision would be bound to that nobody may have seen yet."""
    plain = command.names[0].partition("@sha256:")[0]
    until = f"until {command.until.isoformat()} " if command.until is not None else ""
    targets = dict.fromkeys(one.target for one in unseen if one.target.startswith("sha256:"))
    return Effect(
        part=Part(
            kind=Kind.UNSEEN,
            verb=command.verb.value,
            names=_spellings(unseen),
            rows=tuple(map(_row, unseen[:MOST_ROWS])),
            more=max(len(unseen) - MOST_ROWS, 0),
            again=tuple(
                f"{command.verb.value} {plain}@{target} {until}because {command.because}"
                for target in list(targets)[:_MOST_AGAIN]
            ),
        )
    )


def _late(command: Command) -> Effect:
    return Effect(part=Part(kind=Kind.LATE, verb=command.verb.value, names=command.names))


def _fate(scene: Scene) -> str:
    """Return the topic of what is to become of the request."""
    return f"request {scene.comment.number}"


def _not_looked(command: Command) -> Effect:
    return Effect(part=Part(kind=Kind.NOT_LOOKED, verb=command.verb.value))


def _not_ours(command: Command) -> Effect:
    return Effect(part=Part(kind=Kind.NOT_OURS, verb=command.verb.value))


def _settled(command: Command, proposal: StoredProposal) -> Effect:
    closed = proposal.state is ProposalState.CLOSED
    advice = "Say recreate to bring it back." if closed and command.verb is not Verb.CLOSE else ""
    return Effect(part=Part(kind=Kind.SETTLED, verb=command.verb.value, problem=advice))


def _unknown(command: Command, look: LastLook, names: Sequence[str] = ()) -> Effect:
    missing = tuple(names or command.names)
    known = list(dict.fromkeys(one.value for one in look.references))
    near = get_close_matches(missing[0], known, n=1, cutoff=0.6)
    return Effect(part=Part(kind=Kind.UNKNOWN, names=missing, near=near[0] if near else ""))


def _found(name: str, look: LastLook) -> list[Looked]:
    """Return the references of the last look that a name means: a tag's, or those of all tags."""
    plain, _, digest = name.partition("@sha256:")
    wanted = {plain, plain.lower()}
    return [
        one
        for one in look.references
        if (wanted & {*one.names, one.spelling, one.value} or name == one.value)
        and (not digest or f"sha256:{digest}" in (one.target, one.written))
    ]


def _named(command: Command) -> str:
    """Return the digest that a command names, empty where it names none."""
    digest = command.names[0].partition("@sha256:")[2]
    return f"sha256:{digest}" if digest else ""


def _place(one: Looked) -> tuple[str, int, str]:
    return one.path, one.line, one.value


def _spellings(found: Sequence[Looked]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.value.partition("@sha256:")[0] for one in found))


EFFECTS: Mapping[Verb, Callable[[Scene, Command], Effect]] = {
    Verb.HELP: _help,
    Verb.STATUS: _status,
    Verb.EXPLAIN: _explain,
    Verb.PIN: _pin,
    Verb.RECHECK: _recheck,
    Verb.REBASE: _rebase,
    Verb.RECREATE: _recreate,
    Verb.IGNORE: _ignore,
    Verb.UNPIN: _unpin,
    Verb.ALLOW: _allow,
    Verb.DISALLOW: _disallow,
    Verb.SNOOZE: _snooze,
    Verb.PAUSE: _pause,
    Verb.RESUME: _resume,
    Verb.CLOSE: _close,
    Verb.OVERRIDE: _override,
}
