"""The first step of a run: reads, and decides what is to be published."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, TypeGuard

from bot import pipeline
from bot.allowed_owners import AllowedOwners
from bot.commands import address
from bot.config import CONFIG_PATHS, Config, Mode
from bot.errors import (
    ConfigurationError,
    ForgeError,
    MissingError,
    MovedError,
    SupersededError,
    SuspendedError,
)
from bot.forges.base import Forge, Hosting, Request, RequestState
from bot.model import (
    GitReference,
    ImageReference,
    Job,
    Kind,
    Proposal,
    Reference,
    Report,
    Repository,
    Resolution,
    Trigger,
)
from bot.pipeline import Services
from bot.proposals import branch_name
from bot.proposals.lasting import CONFIGURATION
from bot.reference import is_commit, parse_image
from bot.runs import acts, lasting, limits, reviewing
from bot.runs.acts import UNFOLLOWED, Act, Verb
from bot.runs.commanding import Commanding, Manners
from bot.runs.looks import last_look
from bot.runs.memory import Memory, held, matters, remember, rules, scan, shown, somebody
from bot.runs.owners import Owners, holds_policy
from bot.runs.turns import SWEPT, Turns
from bot.settings import FORGE_VARIABLES
from bot.store.base import Known, Look, ProposalState, Scan, StoredProposal, Turn


class Errands(Protocol):
    """What concerns a whole forge rather than one repository: sweeps, catching up."""

    def run(self, job: Job, forge: Forge) -> None:
        """Do what the job asks for; it may be asked again after a crash."""


class Lending(Protocol):
    """Gives a run what it looks things up with."""

    def __call__(self, job: Job, *, trusted: bool = True) -> Services:
        """Return services for a job; without trust, without anybody's logins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Whom the operator lets us work for."""

    owners: AllowedOwners = field(default_factory=AllowedOwners)
    forks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A branch at one commit, and what rules it."""

    forge: Forge
    job: Job
    base: str
    commit: str
    default: str
    """The default branch; the base itself where the forge has no more to say."""
    services: Services
    ruled: str
    """Hash of what rules a scan."""
    told: bool
    """Whether the commit is what somebody told of, rather than what the branch was asked for."""


class Planning:
    """Plans the runs of every forge."""

    def __init__(
        self,
        memory: Memory,
        forges: Mapping[str, Forge],
        services: Lending,
        owners: Owners,
        served: Served,
        *,
        errands: Errands | None,
        manners: Manners,
        clock: Callable[[], datetime],
    ) -> None:
        self._memory = memory
        self._forges = forges
        self._services = services
        self._owners = owners
        self._served = served
        self._errands = errands
        self._clock = clock
        self._turns = Turns(memory)
        self._commanding = Commanding(memory, manners, clock, self._ground)
        self._reviewing = reviewing.Reviewing(memory, clock, manners.reviews_per_hour)

    def plan(self, job: Job) -> str | None:
        """Return what is to be published as `acts.encode` writes it, or None where there is nothing."""
        forge = self._forges.get(job.forge)
        if forge is None:
            needed = FORGE_VARIABLES.get(job.forge, "the variables of docs/settings.md")
            raise ForgeError(f"The forge {job.forge} is not configured.", advice=f"Set {needed}.")
        if not job.repository:
            if self._errands is not None:
                self._errands.run(job, forge)
            return None
        try:
            return acts.encode(self._acts(job, forge))
        except MovedError as moved:
            return acts.encode(self._acts(self._renamed(job, forge, moved), forge))
        except SuspendedError as error:
            _log.info("left out", extra={"repository": job.repository, "problem": error.problem})
            return acts.encode(self._left_out(job, "suspended by its owner"))

    def _renamed(self, job: Job, forge: Forge, moved: MovedError) -> Job:
        """Return the job under the repository's present name, to which all that we know moves."""
        if forge.hosting is None:
            raise moved
        there = forge.hosting.repository(moved.name)
        self._record(forge.name, there)
        return replace(job, repository=there.name)

    def _acts(self, job: Job, forge: Forge) -> list[Act]:
        hosting = forge.hosting
        if hosting is None:
            return self._look(job, forge, None)
        if not self._served.owners.serves(job.forge, job.repository):
            return []
        self._owners.forget(forge.name, job.repository)
        self._recognise(job, hosting)
        if job.trigger is Trigger.COMMENT:
            return self._commanding.plan(job, forge, hosting)
        if job.number:
            return self._of_request(job, forge, hosting)
        if job.trigger is Trigger.PULL_REQUEST:
            return self._of_commit(job, forge, hosting)
        if job.trigger is Trigger.MERGE_QUEUE:
            return self._of_queue(job, forge, hosting)
        return self._of_branch(job, forge, hosting)

    def _of_branch(self, job: Job, forge: Forge, hosting: Hosting) -> list[Act]:
        """Return what is proposed for a branch, and for the default one where that is another one since."""
        switched = self._switched(job, hosting)
        if self._untouched(job, hosting):
            return []
        try:
            there = self._repository(job, forge, hosting)
        except MissingError:
            self._memory.repositories.gone(forge.name, job.repository, self._clock())
            return self._left_out(job, "gone")
        job = replace(job, repository=there.name)
        if there.archived or not there.default_branch or (there.fork and not self._served.forks):
            return self._left_out(job, "archived, empty or a fork")
        if not switched or job.ref == there.default_branch:
            return self._look(job, forge, there)
        now_default = replace(job, ref=there.default_branch, head="", before="", changed=None)
        return [*self._look(now_default, forge, there), *self._look(job, forge, there)]

    # --- before anything is asked ---------------------------------------------------------

    def _untouched(self, job: Job, hosting: Hosting) -> bool:
        """Return whether a push cannot matter, by what is remembered and what was told of it.

        It costs no request, or one where the forge does not tell whether a push was forced.
        """
        repositories = self._memory.repositories
        known = repositories.get(job.forge, job.repository)
        if not _is_known(known, job) or job.trigger is not Trigger.PUSH or not job.ref or not job.head:
            return False
        if self._memory.proposals.unpublished(job.forge, job.repository, job.ref):
            return False  # what a moved base kept from being published is looked at again
        default = known.repository.default_branch
        scanned = repositories.scan(job.forge, job.repository, default)
        if scanned is None:
            return False
        if job.ref != default and not Config(refs=scanned.refs).follows(job.ref, default):
            return True
        here = repositories.scan(job.forge, job.repository, job.ref)
        if here is None or job.changed is None or any(matters(path, here) for path in job.changed):
            return False
        if hosting.comparing is not None and job.before != job.head:
            if here.head != job.before:
                return False
            # What is taken for scanned is never looked at again: it has to be certain that it is the same.
            differing = hosting.comparing.differing(job.repository, job.before, job.head)
            if differing is None or any(matters(path, here) for path in differing):
                return False
        return repositories.moved(job.forge, job.repository, job.ref, job.before, job.head)

    def _recognise(self, job: Job, hosting: Hosting) -> None:
        """Ask again who has a name that was another repository's: neither its numbers nor its heads count."""
        known = self._memory.repositories.get(job.forge, job.repository)
        if known is not None and job.identity and known.repository.id not in ("", job.identity):
            self._record(job.forge, hosting.repository(job.repository))

    def _record(self, forge: str, there: Repository) -> Known:
        """Remember a repository, but for a new head: whoever remembers that has wanted it looked at."""
        known = self._memory.repositories.get(forge, there.name)
        same = known is not None and known.repository.id == there.id
        head = known.repository.head if known is not None and same else ""
        return self._memory.repositories.record(forge, replace(there, head=head), self._clock())

    def _switched(self, job: Job, hosting: Hosting) -> bool:
        """Ask again which branch is the default one where another is told of; return whether it is another."""
        known = self._memory.repositories.get(job.forge, job.repository)
        if not _is_known(known, job) or job.default_branch in ("", known.repository.default_branch):
            return False
        try:
            there = hosting.repository(job.repository)
        except MissingError:
            return False  # what follows finds it gone
        self._record(job.forge, there)
        return there.default_branch != known.repository.default_branch

    def _repository(self, job: Job, forge: Forge, hosting: Hosting) -> Repository:
        """Return what is known of a repository; asked for where it is new or was told to have changed."""
        known = self._memory.repositories.get(forge.name, job.repository)
        if _is_known(known, job) and job.trigger is not Trigger.INSTALLED:
            return known.repository
        return self._record(forge.name, hosting.repository(job.repository)).repository

    # --- a request ------------------------------------------------------------------------

    def _of_request(self, job: Job, forge: Forge, hosting: Hosting) -> list[Act]:
        """Return what is said about a person's request; of our own, remember what a person did with it."""
        stored = self._memory.proposals.by_number(forge.name, job.repository, job.number)
        request = None if stored and stored.closing else hosting.request(job.repository, job.number)
        if stored is not None and request is not None and not self._is_of(job, hosting, stored, request):
            stored = None
        if stored is not None and request is not None:
            if _is_orphan(stored, request, forge):
                return [Act(Verb.CLOSE, stored.id)]
            self._fate(job, forge, stored, request)
            if _declines(stored, request):
                # Whoever closes it declines the decisions in it: what they let pass is looked at anew.
                base = replace(job, ref=request.base, number=0, head="", before="", trigger=Trigger.PUSH)
                said = self._reviewing.settled(job, forge)
                return [*said, *self._look(base, forge, self._repository(base, forge, hosting))]
        if request is None or request.state is not RequestState.OPEN:
            return self._reviewing.settled(job, forge)
        if stored is not None and stored.state in (ProposalState.CLOSED, ProposalState.MERGED):
            # It was opened again, and what it is made from may be long past.
            base = replace(job, ref=request.base, number=0, head="", before="", trigger=Trigger.PUSH)
            return self._look(base, forge, self._repository(base, forge, hosting))
        if stored is not None or request.ours:
            commits = self._memory.proposals.commits(forge.name, job.repository, request.branch)
            if request.head in commits:
                return []  # what we wrote has its check already; what a person put on top has not
        # Whoever proposes from a fork may not have our logins used for what they name.
        services = self._ruled(job, forge, self._services(job, trusted=not request.fork))
        return self._reviewing.request(job, forge, hosting, request, services)

    def _is_of(self, job: Job, hosting: Hosting, stored: StoredProposal, request: Request) -> bool:
        """Return whether a request is the one of a proposal: its number is only as good as the name beside it.

        What nobody told of names the repository as we knew it, which may go by another name by now.
        """
        if not request.ours or request.branch != stored.proposal.branch:
            return False
        if job.trigger not in SWEPT or request.state is RequestState.OPEN:
            return True
        known = self._memory.repositories.get(job.forge, job.repository)
        there = self._record(job.forge, hosting.repository(job.repository)).repository
        return known is None or known.repository.id in ("", there.id)

    def _of_commit(self, job: Job, forge: Forge, hosting: Hosting) -> list[Act]:
        """Return what is said about the requests that propose a commit, as far as we judged them."""
        judged = self._memory.checks.judgements(forge.name, job.repository, job.head)
        found: list[Act] = []
        for number in [one.number for one in judged if one.number][:_MOST_REQUESTS]:
            ref = job.ref.removesuffix(job.head)
            ref = f"{ref}{number}" if ref.startswith("button/") else f"refs/pull/{number}/head"
            found += self._of_request(replace(job, ref=ref, number=number), forge, hosting)
        return found

    def _of_queue(self, job: Job, forge: Forge, hosting: Hosting) -> list[Act]:
        """Return the check on a commit of a merge queue, which is on top of the branch it is for."""
        found = _QUEUED.fullmatch(job.ref)
        if found is None or not is_commit(job.head):
            return []
        _, base = forge.head(job.repository, found[1])
        queue = reviewing.Queue(base=found[1], number=int(found[2]))
        services = self._ruled(job, forge, self._services(job))
        return self._reviewing.queued(job, forge, hosting, queue, base, services)

    def undecided(self, job: Job, why: str) -> str | None:
        """Return the saying of why a head is not judged, as `plan` does; None where nobody waits for it."""
        forge = self._forges.get(job.forge)
        if forge is None or not job.repository:
            return None
        if not job.number and job.trigger in (Trigger.PUSH, Trigger.INSTALLED, *SWEPT):
            id_ = self._broken(job, forge)
        else:
            server = self._services(job).server
            id_ = reviewing.undecided(self._memory, forge, job, why, server, self._clock())
        return acts.encode([Act(Verb.CHECK, id_)]) if id_ is not None else None

    def _broken(self, job: Job, forge: Forge) -> str | None:
        """Return the check on the head of a branch that is looked after, where its configuration is broken."""
        known = self._memory.repositories.get(forge.name, job.repository)
        if forge.hosting is None or not _is_known(known, job):
            return None
        try:
            place = self._place(job, forge, known.repository)
        except (ConfigurationError, MissingError):
            return None  # the owner's is broken, or the branch is gone
        name, repository, reading = forge.name, job.repository, place.services.reading(job)
        if place.base != place.default:
            default = self._memory.repositories.scan(name, repository, place.default)
            if default is None or not Config(refs=default.refs).follows(place.base, place.default):
                return None
        if place.commit in self._memory.proposals.commits(name, repository, place.base):
            return None  # ours, and no base of anything
        mistakes = pipeline.mistakes(reading, place.services)
        if not mistakes:
            return None  # it failed for another reason
        server = place.services.server
        now = self._clock()
        return reviewing.broken(self._memory, forge, job, place.base, place.commit, mistakes, server, now)

    def _mended(self, place: _Place, now: datetime) -> list[Act]:
        """Return the taking back of what was said of a configuration that is in order at the same commit."""
        id_ = reviewing.mended(self._memory, place.forge, place.job, place.base, place.commit, now)
        return [Act(Verb.CHECK, id_)] if id_ is not None else []

    def _ruled(self, job: Job, forge: Forge, services: Services) -> Services:
        """Return services with what the owner and people said."""
        return replace(
            services,
            owner_configs=self._owners.configs(forge, job.repository),
            holds_policy=holds_policy(forge, job.repository),
            decisions=(
                *services.decisions,
                *self._memory.decisions.of(forge.name, job.repository, self._clock()),
            ),
        )

    def _fate(self, job: Job, forge: Forge, stored: StoredProposal, request: Request) -> None:
        """Remember what a person did with a request of ours."""
        state = _STATES[request.state]
        if stored.state is ProposalState.SUPERSEDED and state is ProposalState.PUBLISHED:
            return  # another one may have taken its place
        if state is stored.state:
            return
        now = self._clock()
        self._memory.proposals.mark(stored.id, state, now, url=request.url, number=request.number)
        self._memory.audit.add(
            somebody(forge.name, request.by),
            f"proposal.{_FATES[request.state]}",
            f"{forge.name} {job.repository} {request.base}",
            {"proposal": stored.id, "number": request.number, "commit": request.head},
            now,
        )

    # --- a branch -------------------------------------------------------------------------

    def _look(self, job: Job, forge: Forge, there: Repository | None) -> list[Act]:
        now = self._clock()
        pause = self._memory.conversations.pause(forge.name, job.repository, now)
        if pause is not None:
            return self._left_out(job, f"paused by {pause.by}")
        try:
            place = self._place(job, forge, there)
        except MissingError:
            return self._gone(job, forge)
        if self._unchanged(place, now):
            self._turns.passed(job, place.base, now)
            self._note(job, Look.UNCHANGED)
            return []
        self._spare(place, now)
        reading = place.services.reading(job)
        config = pipeline.configuration(reading, place.services)
        mended = self._mended(place, now)
        if config.mode is Mode.PAUSED:
            return [*mended, *self._left_out(job, "paused by its configuration")]
        if place.base.startswith(branch_name("", config)):
            return []  # a branch of ours is no base: what we propose is not proposed to
        if there is not None and not self._follows(place, config):
            self._left_out(job, "not a branch that its configuration names")
            standing = self._memory.proposals.standing(forge.name, job.repository, place.base)
            return [*mended, *(Act(Verb.CLOSE, one.id, UNFOLLOWED) for one in standing)]
        report = pipeline.inspect(job, place.services, now)
        if self._ended(place, report, config, now):
            return self._look(job, forge, there)  # what they let pass is judged anew
        remember(report, self._memory.ledger(place.services.scope), now)
        report, turn = self._turns.today(job, place.base, report, config, now)
        if there is not None:
            look = last_look(report, config, self._clock())
            self._memory.conversations.looked(forge.name, job.repository, place.base, look)
        return [*mended, *self._concluded(place, report, config, turn, now)]

    def _concluded(
        self, place: _Place, report: Report, config: Config, turn: Turn, now: datetime
    ) -> list[Act]:
        """Return what a look comes to, once everything of it is remembered."""
        job = place.job
        fits, made = self._proposals(place, report, config, now)
        self._confirm(place)
        # Last, and only when everything before went well: what is remembered as scanned is not looked at again.
        scanned = scan(report, config, place.ruled)
        if pipeline.passing(report) is None:
            settled = limits.waiting(scanned) if fits.waits else scanned
            self._memory.repositories.scanned(job.forge, job.repository, place.base, settled)
            if fits.seconds is None:
                self._turns.take(job, place.base, turn)
            self._drop(job, place.base, made, now)
        if fits.trouble is not None and not made:
            raise fits.trouble
        proposes = any(act.verb is Verb.PUBLISH for act in made)
        look = Look.PROPOSES if proposes else Look.CHANGED
        detail = "; ".join(filter(None, [held(report), fits.said]))
        self._note(job, look, held=scanned.held, detail=detail)
        return [*made, *fits.again]

    def _spare(self, place: _Place, now: datetime) -> None:
        """Raise `TransientError` where reading is vain: what was found waits for another day."""
        if place.forge.hosting is not None:
            last = self._memory.repositories.scan(place.forge.name, place.job.repository, place.base)
            trouble = self._books(place, now).vain(place.services, last)
            if trouble is not None:
                raise trouble

    def _follows(self, place: _Place, config: Config) -> bool:
        """Return whether a branch is looked after; what the default branch says of it counts, too."""
        if not config.follows(place.base, place.default):
            return False
        default = self._memory.repositories.scan(place.forge.name, place.job.repository, place.default)
        return default is None or Config(refs=default.refs).follows(place.base, place.default)

    def _strays(self, place: _Place, refs: tuple[str, ...]) -> list[StoredProposal]:
        """Return what stands on bases that are followed no more, as the default branch says."""
        if place.forge.hosting is None or place.base != place.default:
            return []
        said, default = Config(refs=refs), place.default
        standing = self._memory.proposals.standing(place.forge.name, place.job.repository)
        return [one for one in standing if not said.follows(one.proposal.base, default)]

    def _books(self, place: _Place, now: datetime) -> limits.Books:
        return limits.Books(
            proposals=self._memory.proposals,
            forge=place.forge.name,
            repository=place.job.repository,
            now=now,
        )

    def _confirm(self, place: _Place) -> None:
        """Raise `SupersededError` where the branch is not at the commit that was told of.

        Publishing something new looks first; whoever closes, keeps or finds nothing would not.
        """
        name, repository = place.forge.name, place.job.repository
        fresh = self._memory.proposals.unpublished(name, repository, place.base)
        if not place.told or any(one.proposal.commit == place.commit for one in fresh):
            return
        try:
            _, head = place.forge.head(repository, place.base)
        except MissingError:
            raise SupersededError(f"{place.base} is gone.") from None
        if head != place.commit:
            raise SupersededError(f"{place.base} is at {head}, not at {place.commit} any more.")

    def _drop(self, job: Job, base: str, made: Sequence[Act], now: datetime) -> None:
        """Forget what was to be published before, and is not any more."""
        planned = {act.id for act in made}
        for one in self._memory.proposals.unpublished(job.forge, job.repository, base):
            if one.id not in planned:
                self._memory.proposals.mark(one.id, ProposalState.SUPERSEDED, now)

    def _note(self, job: Job, look: Look, *, held: int = 0, detail: str = "") -> None:
        """Tell the sweeps that wait for a branch what became of it."""
        self._memory.sweeps.note(job.forge, job.repository, job.ref, look, held=held, detail=detail)

    def _left_out(self, job: Job, why: str) -> list[Act]:
        self._note(job, Look.LEFT_OUT, detail=why)
        return []

    def _place(self, job: Job, forge: Forge, there: Repository | None) -> _Place:
        base, commit = job.ref, job.head
        # What a push names is read without asking where the branch is: before anything is written that
        # is looked up anyway, and a head that is old by then ends the run as superseded.
        told = there is not None and base != "" and is_commit(commit) and commit.strip("0") != ""
        if told and job.trigger in SWEPT:
            # What was listed may be older than a push that came since: believed where nothing seems to have moved.
            last = self._memory.repositories.scan(forge.name, job.repository, base)
            told = last is not None and last.head == commit
        if not told:
            base, commit = forge.head(job.repository, job.ref)
        reading = pipeline.AtCommit(forge, job.repository, commit)
        services = replace(
            self._ruled(job, forge, self._services(job)),
            reading=lambda _job: reading,
            default=there is None or base == there.default_branch,
        )
        return _Place(
            forge=forge,
            job=job,
            base=base,
            commit=commit,
            default=there.default_branch if there is not None else base,
            services=services,
            ruled=rules(services),
            told=told,
        )

    def _unchanged(self, place: _Place, now: datetime) -> bool:
        """Return whether a sweep would find what the last scan found: same commit, rules and digests."""
        job = place.job
        if job.trigger not in SWEPT:
            return False
        last = self._memory.repositories.scan(job.forge, job.repository, place.base)
        if last is None or last.held or (last.head, last.rules) != (place.commit, place.ruled):
            return False
        if self._memory.proposals.unpublished(job.forge, job.repository, place.base):
            return False  # planned then, and not written since
        if self._strays(place, last.refs):
            return False
        if self._turns.calls(job, place.base, now):
            return False
        return job.trigger is Trigger.CATCH_UP or _stands(last, place.services)

    def _gone(self, job: Job, forge: Forge) -> list[Act]:
        """Return what is left to do for a branch that is not there any more."""
        if job.trigger not in (Trigger.PUSH, *SWEPT) or not job.ref:
            raise MissingError(f"{job.repository} has no branch {job.ref or 'at all'}.")
        if job.head and job.trigger is Trigger.PUSH:
            raise SupersededError(f"{job.ref} is not at {job.head} any more.")
        standing = self._memory.proposals.standing(forge.name, job.repository, job.ref)
        return [Act(Verb.CLOSE, one.id) for one in standing]

    # --- proposals ------------------------------------------------------------------------

    def _proposals(
        self, place: _Place, report: Report, config: Config, now: datetime
    ) -> tuple[limits.Fits, list[Act]]:
        """Return what is to be closed and published for one base; proposals that it makes are stored."""
        if config.mode is not Mode.PROPOSE:
            return limits.Fits(made=()), []
        memory, name, repository = self._memory.proposals, place.forge.name, place.job.repository
        report = pipeline.without(
            report,
            memory.declined(name, repository, place.base),
            lambda: memory.accepted(name, repository, place.base),
        )
        standing = {one.proposal.group: one for one in memory.standing(name, repository, place.base)}
        trouble = pipeline.passing(report)
        if trouble is not None and any(pipeline.unpins(report, one.proposal) for one in standing.values()):
            raise trouble  # what was proposed stands until the registry says otherwise
        hosting = place.forge.hosting
        made = pipeline.propose(
            report,
            config,
            place.base,
            introduces=self._introduces(place, standing),
            address=address(hosting.account().login) if hosting is not None else "",
        )
        kept = self._kept(place, report, config, now)
        made = (*made, *([kept.proposal] if kept else ()))
        strays = self._strays(place, config.refs) if trouble is None else []
        # What closes leaves room; while look-ups fail nobody knows what closes.
        goes_on = {one.group for one in made} & standing.keys() if trouble is None else standing.keys()
        closes = len(strays) + len(standing.keys() - goes_on)
        fits = self._within(place, config, made, standing, closes, now)
        pins = shown(report)
        planned = [
            Act(
                Verb.PUBLISH,
                self._store(
                    place,
                    one,
                    standing.get(one.group),
                    kept.diff if kept is not None and one is kept.proposal else pins,
                    now,
                ),
            )
            for one in fits.made
        ]
        if trouble is not None:
            if not planned:
                raise trouble  # a registry that is down says nothing about what is left to pin
            return fits, [*planned, Act(Verb.AGAIN)]
        ids = {one.group: act.id for one, act in zip(fits.made, planned, strict=True)}
        over: list[Act] = []
        replaced: list[Act] = []
        for one in (one for group, one in standing.items() if group not in goes_on):
            heirs = [it.group for it in made if _shares(it, one.proposal)]
            by = [ids[group] for group in heirs if group in ids]
            if not heirs:
                over.append(Act(Verb.CLOSE, f"{one.id}@{place.commit}"))
            elif by and (fits.seconds is None or len(by) == len(heirs)):
                replaced.append(Act(Verb.CLOSE, f"{one.id}@{place.commit}", acts.replaced(by)))
            # What nothing takes the place of today is better than nothing.
        strayed = [Act(Verb.CLOSE, one.id, UNFOLLOWED) for one in strays]
        return fits, [*strayed, *over, *planned, *replaced]

    def _kept(self, place: _Place, report: Report, config: Config, now: datetime) -> lasting.Kept | None:
        """Return the proposal for the configuration that people's decisions lead to, on the default branch."""
        services = place.services
        if not self._keeps(place):
            return None
        name, repository = place.forge.name, place.job.repository
        decisions = self._memory.decisions.of(name, repository, now)
        if not decisions:
            return None
        declined = self._memory.proposals.declined(name, repository, place.base)
        reading = services.reading(place.job)
        return lasting.keep(report, reading, config, place.base, decisions, declined, now)

    def _ended(self, place: _Place, report: Report, config: Config, now: datetime) -> bool:
        """Return whether decisions came to their end: the configuration had them, and has them no more."""
        if not self._keeps(place):
            return False
        name, repository = place.forge.name, place.job.repository
        decisions = self._memory.decisions.of(name, repository, now)
        standing, gone = lasting.carried(report, config, decisions)
        if standing:
            self._memory.decisions.stood(name, repository, standing)
        if gone:
            self._memory.decisions.end(name, repository, gone)
            self._memory.audit.add(
                "moorline",
                "decision.ended",
                f"{name} {repository} {place.base}",
                {"commit": place.commit, "ended": tuple(sorted(one.reference for one in gone))},
                now,
            )
        return bool(gone)

    def _ground(self, job: Job, forge: Forge) -> lasting.Ground | None:
        """Return where decisions of a repository last, None where nothing is looked after, or it is broken."""
        known = self._memory.repositories.get(forge.name, job.repository)
        if not _is_known(known, job) or known.repository.archived:
            return None
        if known.repository.fork and not self._served.forks:
            return None
        services = self._ruled(job, forge, self._services(job))
        try:
            default, commit = forge.head(job.repository, known.repository.default_branch)
            reading = pipeline.AtCommit(forge, job.repository, commit)
            config = pipeline.configuration(reading, services)
        except (ConfigurationError, MissingError):
            return None
        return lasting.Ground(
            default=default,
            config=config,
            files={} if services.holds_policy else reading.read(CONFIG_PATHS),
            holds_policy=services.holds_policy,
        )

    @staticmethod
    def _keeps(place: _Place) -> bool:
        """Return whether the configuration of this branch is where decisions last."""
        hosted = place.forge.hosting is not None
        return hosted and place.base == place.default and not place.services.holds_policy

    def _introduces(self, place: _Place, standing: Mapping[str, StoredProposal]) -> bool:
        if place.forge.hosting is None or standing:
            return False
        return not self._memory.proposals.ever(place.forge.name, place.job.repository)

    def _within(
        self,
        place: _Place,
        config: Config,
        made: Sequence[Proposal],
        standing: Mapping[str, StoredProposal],
        closes: int,
        now: datetime,
    ) -> limits.Fits:
        """Return what the limits leave room for, when so many of the standing proposals close."""
        everywhere = self._memory.proposals.standing(place.forge.name, place.job.repository)
        goes_on = sum(one.group in standing for one in made)
        return self._books(place, now).fits(
            made,
            config.limits,
            standing=standing,
            others=len(everywhere) - closes - goes_on,
            paced=place.forge.hosting is not None,
        )

    def _store(
        self, place: _Place, made: Proposal, current: StoredProposal | None, diff: str, now: datetime
    ) -> str:
        if current is not None:
            there = current.proposal
            # The same edits of the same files: the branch merges as well from where it is, and nobody
            # is told anew.
            if (there.digest, there.branch) == (made.digest, made.branch):
                return current.id
        return self._memory.proposals.store(place.forge.name, made, diff, now)


def _is_known(known: Known | None, job: Job) -> TypeGuard[Known]:
    """Return whether what is remembered under a name is of the repository that a job is about.

    What had no branch is asked for again: what is told of it by now is its first push.
    """
    if known is None or known.gone or not known.repository.default_branch:
        return False
    return not job.identity or not known.repository.id or job.identity == known.repository.id


def _shares(made: Proposal, standing: Proposal) -> bool:
    """Return whether a proposal pins something that another one pins, wherever in its file."""
    return not {(one.path, one.reference) for one in made.pins}.isdisjoint(
        (one.path, one.reference) for one in standing.pins
    )


def _declines(stored: StoredProposal, request: Request) -> bool:
    """Return whether a person just closed the proposal that was to keep decisions."""
    closed = stored.state is ProposalState.PUBLISHED and request.state is RequestState.CLOSED
    return closed and stored.proposal.group == CONFIGURATION


def _is_orphan(stored: StoredProposal, request: Request, forge: Forge) -> bool:
    """Return whether the forge closed a request along with its base, so that no person declined it."""
    if stored.state is not ProposalState.PUBLISHED or request.state is not RequestState.CLOSED:
        return False
    try:
        forge.head(stored.proposal.repository, request.base)
    except MissingError:
        return True
    return False


_MOST_REQUESTS = 20
"""Requests that propose one commit, each of which is judged when that is asked for."""
_log = logging.getLogger(__name__)
_QUEUED = re.compile(r"gh-readonly-queue/(.+)/pr-([0-9]{1,9})-[0-9a-f]{40,64}")
_STATES = {
    RequestState.OPEN: ProposalState.PUBLISHED,
    RequestState.CLOSED: ProposalState.CLOSED,
    RequestState.MERGED: ProposalState.MERGED,
}
_FATES = {RequestState.OPEN: "reopened", RequestState.CLOSED: "declined", RequestState.MERGED: "merged"}


def _stands(last: Scan, services: Services) -> bool:
    """Return whether everything still points where it did when a branch was scanned."""
    expected: dict[Reference, str] = {}
    for one in last.references:
        if not one.digest:
            continue
        if one.kind == Kind.IMAGE.value:
            image = parse_image(f"{one.name}:{one.version}") if one.version else None
            if image is not None:
                expected[image] = one.digest
        elif not one.pinned:
            host, _, repository = one.name.partition("/")
            expected[GitReference(host=host, repository=repository, ref=one.version)] = one.digest

    def stands(reference: Reference) -> bool:
        if isinstance(reference, ImageReference):
            answer = services.sources.images.resolve(reference)
        else:
            answer = services.sources.refs.resolve(reference)
        return isinstance(answer, Resolution) and answer.digest == expected[reference]

    return all(services.spread(stands, list(expected)))
