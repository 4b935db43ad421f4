"""What people propose: the check on it, the review of it, and what is said where neither can be made."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from bot.config import CONFIG_PATHS, Config
from bot.errors import ConfigurationError, ForgeError, MissingError
from bot.forges.base import ChangedFile, Forge, Hosting, Request, RequestState
from bot.model import CheckRun, Job, Review, Spoken, Trigger
from bot.pipeline import Services
from bot.reference import is_commit
from bot.runs import guarding
from bot.runs.acts import Act, Verb
from bot.runs.looks import last_look
from bot.runs.memory import Memory, matters
from bot.runs.turns import SWEPT
from bot.settling import settle
from bot.store.base import Judgement, LastLook, Override, ReviewState, StoredReview

_BUTTON = re.compile(r"button/([a-z]{1,20})/[1-9][0-9]*")
_HOUR = timedelta(hours=1)
_OTHERS = 20
"""Requests with the same head that are asked for."""
_UNSURE = 1000
"""With so many changed files a forge may not have told of all of them."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """For what a merge queue made a commit."""

    base: str
    """The branch that it is for."""
    number: int
    """Of the last request in it."""


class Reviewing:
    """Plans what is said about heads that people propose."""

    def __init__(self, memory: Memory, clock: Callable[[], datetime], per_hour: int) -> None:
        """`per_hour` is how many reviews may say something new in one repository."""
        self._memory = memory
        self._clock = clock
        self._per_hour = per_hour

    def request(
        self, job: Job, forge: Forge, hosting: Hosting, request: Request, services: Services
    ) -> list[Act]:
        """Return what is said about the head of an open request: a check always, a review where it helps."""
        button = _BUTTON.fullmatch(job.ref)
        pressed = button[1] if button is not None else ""
        if pressed == guarding.PIN:
            self._memory.reviews.again(forge.name, job.repository, request.number)
        told = request.changed
        changed = told if told is not None else hosting.reviewing.changed(job.repository, request.number)
        if not self._concerns(forge, job, request, changed):
            check = guarding.irrelevant(len(changed))
            nothing = Review(commit=request.head, body="", remarks=())
            return [
                *self._judged(forge, hosting, job, request, check),
                *self._review(forge, job, request.number, nothing),
            ]
        base = request.onto or forge.head(job.repository, request.base)[1]
        asking = guarding.Asking(
            changed=lambda: (
                changed if told is None else hosting.reviewing.changed(job.repository, request.number)
            ),
            known=changed,
            since=request.since,
            link=self._proposed(forge, job, request),
            rules_alone=_whole(request, changed) and _rules_alone(changed),
            explains=pressed == guarding.EXPLAIN,
        )
        made = self._guarded(job, forge, base, request.head, services, asking)
        if made.report is not None and made.config is not None:
            look = last_look(made.report, made.config, self._clock())
        else:
            look = LastLook(commit=request.head, at=self._clock(), references=())
        look = replace(look, verdict=_verdict(made.check))
        self._memory.conversations.looked(
            forge.name, job.repository, f"refs/pull/{request.number}/head", look
        )
        check, review = made.check, made.review
        if review is not None and pressed != guarding.PIN:  # whoever presses that wants it now
            review, left = self._bounded(forge, job, request.number, review)
            check = guarding.left_out(check, left)
        if review is not None and review.remarks and forge.name != "github":
            check = replace(check, url=request.url)  # GitHub's check has a page of its own
        return [
            *self._judged(forge, hosting, job, request, check),
            *(self._review(forge, job, request.number, review) if review is not None else ()),
            *([Act(Verb.AGAIN)] if made.again else ()),
        ]

    def queued(
        self, job: Job, forge: Forge, hosting: Hosting, queue: Queue, base: str, services: Services
    ) -> list[Act]:
        """Return what is said about a commit that a merge queue made on top of a commit of its branch."""
        made = self._guarded(job, forge, base, job.head, services, None)
        check = self._carried(job, forge, hosting, queue, made.check)
        judged = Judgement(number=0, base="", check=check)
        self._memory.checks.judge(forge.name, job.repository, job.head, judged, self._clock())
        return [
            *self._check(forge, job, job.head),
            *([Act(Verb.AGAIN)] if made.again else ()),
        ]

    def _carried(self, job: Job, forge: Forge, hosting: Hosting, queue: Queue, check: CheckRun) -> CheckRun:
        """Return the check of a queue's commit, which passes where all that fails it was let pass before.

        A queue makes one commit of several requests, and squashes them.  So what fails is compared: each of
        it has to fail a head, too, that is proposed for the branch at this time and was let pass.  And the
        request for which the commit is made has to pass itself.
        """
        failed = guarding.failures(check)
        name, repository = forge.name, job.repository
        overrides = self._memory.conversations.overrides(name, repository, queue.base) if failed else ()
        excused: set[guarding.Failure] = set()
        used: list[Override] = []
        for one in overrides:
            told = self._told(name, repository, one.commit, one.number, queue.base)
            theirs = guarding.failures(told) if told is not None else frozenset()
            if not theirs & failed and one.number != queue.number:
                continue
            if _proposes(hosting, repository, one.number, one.commit):
                excused |= theirs
                used.append(one)
        if not used or not failed <= excused or not self._passes(job, forge, hosting, queue, used):
            return check
        self._memory.audit.add(
            "moorline",
            "override.followed",
            f"{name} {repository} {queue.number}",
            {"commit": job.head, "overridden": tuple(one.commit for one in used)},
            self._clock(),
        )
        people = dict.fromkeys(one.by for one in used)
        reasons = dict.fromkeys(one.because for one in used)
        return guarding.overridden(check, ", ".join(people), "; ".join(reasons))

    def _passes(
        self, job: Job, forge: Forge, hosting: Hosting, queue: Queue, used: Sequence[Override]
    ) -> bool:
        """Return whether the request for which a queue made a commit passes by itself, or was let pass."""
        if any(one.number == queue.number for one in used):
            return True
        try:
            request = hosting.request(job.repository, queue.number)
        except MissingError:
            return False
        told = self._told(forge.name, job.repository, request.head, queue.number, queue.base)
        return told is not None and not guarding.failures(told)

    def _told(self, forge: str, repository: str, commit: str, number: int, base: str) -> CheckRun | None:
        """Return what a request was told of a commit for a base, before anybody let it pass."""
        judged = self._memory.checks.judgements(forge, repository, commit)
        return next((one.check for one in judged if (one.number, one.base) == (number, base)), None)

    def _guarded(
        self,
        job: Job,
        forge: Forge,
        base: str,
        head: str,
        services: Services,
        asking: guarding.Asking | None,
    ) -> guarding.Guarded:
        merge_base: Callable[[str, str], str] = partial(forge.merge_base, job.repository)
        if asking is not None and asking.since:
            since = asking.since
            merge_base = lambda _base, _head: since  # noqa: E731 - what the forge told along
        return guarding.guard(job, forge, base, head, services, self._clock(), merge_base, asking)

    def _concerns(self, forge: Forge, job: Job, request: Request, changed: Sequence[ChangedFile]) -> bool:
        """Return whether a change may bring something in, by the paths of its files alone."""
        if not _whole(request, changed):
            return True
        known = self._memory.repositories.scan(forge.name, job.repository, request.base)
        if known is None:
            return True  # which files other ones ask for there is not known
        return any(matters(path, known) for one in changed for path in (one.path, one.old_path) if path)

    def _proposed(self, forge: Forge, job: Job, request: Request) -> str:
        """Return where our own proposal for a request's base is, empty for nowhere."""
        standing = self._memory.proposals.standing(forge.name, job.repository, request.base)
        return next((one.url for one in standing if one.url), "")

    def settled(self, job: Job, forge: Forge) -> list[Act]:
        """Return what is to be said of the commits that a request proposed, now that it is not open any more."""
        past = self._memory.checks.settle(forge.name, job.repository, job.number)
        return [act for commit in past for act in self._check(forge, job, commit)]

    def _judged(
        self, forge: Forge, hosting: Hosting, job: Job, request: Request, check: CheckRun
    ) -> list[Act]:
        """Return the saying of what a request is told, and of what others are whose head is or was the same."""
        checks, name, repository = self._memory.checks, forge.name, job.repository
        judged = Judgement(number=request.number, base=request.base, check=check)
        checks.judge(name, repository, request.head, judged, self._clock())
        others = [one.number for one in checks.judgements(name, repository, request.head) if one.number]
        for number in [one for one in others if one != request.number][:_OTHERS]:
            if not _proposes(hosting, repository, number, request.head):
                checks.settle(name, repository, number)  # what told of its end got lost
        past = checks.settle(name, repository, request.number, request.head)
        return [act for one in (request.head, *past) for act in self._check(forge, job, one)]

    def _check(self, forge: Forge, job: Job, commit: str) -> list[Act]:
        """Return the saying of what all that propose a commit are told; nothing where nobody does."""
        judged = self._memory.checks.judgements(forge.name, job.repository, commit)
        if not judged:
            return []
        check = _together(self._memory, forge, job, commit, judged)
        id_ = self._memory.checks.store(forge.name, job.repository, commit, check, self._clock())
        return [Act(Verb.CHECK, id_)]

    def _bounded(self, forge: Forge, job: Job, number: int, review: Review) -> tuple[Review, int]:
        """Return what of a review may be said now, and how many remarks of it may not.

        What stands is settled all the same, which tells nobody anything.
        """
        standing = self._memory.reviews.standing(forge.name, job.repository, number)
        fresh = settle(review.remarks, standing.spoken if standing is not None else ()).fresh
        since = self._clock() - _HOUR
        if not fresh or self._memory.reviews.said_since(forge.name, job.repository, since) < self._per_hour:
            return review, 0
        said = {"forge": forge.name, "repository": job.repository, "number": number, "remarks": len(fresh)}
        _log.warning("a review is left out: enough were said within an hour", extra=said)
        kept = tuple(one for one in review.remarks if all(one is not each for each in fresh))
        return replace(review, body="", remarks=kept), len(fresh)

    def _review(self, forge: Forge, job: Job, number: int, review: Review) -> list[Act]:
        """Return the saying of a review, where it says anything but what stands there."""
        standing = self._memory.reviews.standing(forge.name, job.repository, number)
        there = settle(review.remarks, standing.spoken if standing is not None else ())
        # Only the forge knows on which of several equal lines a thread is by now.
        if there.certain and not there.fresh and not there.gone:
            return []
        id_ = self._memory.reviews.store(forge.name, job.repository, number, review, self._clock())
        return [Act(Verb.REVIEW, id_)]


def _whole(request: Request, changed: Sequence[ChangedFile]) -> bool:
    """Return whether all files are known that a request changes: a forge leaves out what it holds for too much."""
    told = len(changed) if request.changed is not None else request.files
    return 0 < len(changed) < _UNSURE and told == len(changed)


def _rules_alone(changed: Sequence[ChangedFile]) -> bool:
    return all(path in CONFIG_PATHS for one in changed for path in (one.path, one.old_path) if path)


def _proposes(hosting: Hosting, repository: str, number: int, commit: str) -> bool:
    try:
        there = hosting.request(repository, number)
    except MissingError:
        return False
    return there.state is RequestState.OPEN and there.head == commit


def say(memory: Memory, forge: Forge, stored: StoredReview, now: datetime) -> None:
    """Say a stored review on its request, within `publishing`; one that was said is left."""
    if stored.state is ReviewState.SAID or forge.hosting is None:
        return
    before = memory.reviews.standing(stored.forge, stored.repository, stored.number)
    uncertain = memory.reviews.begun(stored.forge, stored.repository, stored.number)
    memory.reviews.begin(stored.id)
    said = forge.hosting.reviewing.review(
        stored.repository,
        stored.number,
        stored.review,
        before.spoken if before is not None else (),
        uncertain=uncertain,
    )
    # What has no place stands in the check; it is not tried again with every push.
    spoken = (*said.spoken, *(Spoken(remark=one, place="") for one in said.unplaced))
    memory.reviews.said(stored.id, spoken, now)
    memory.audit.add(
        "moorline",
        "review.said",
        f"{stored.forge} {stored.repository} {stored.number}",
        {
            "review": stored.id,
            "commit": stored.review.commit,
            "remarks": len(stored.review.remarks),
            "unplaced": len(said.unplaced),
        },
        now,
    )


def undecided(memory: Memory, forge: Forge, job: Job, why: str, server: Config, now: datetime) -> str | None:
    """Return the id of a check that says why nothing can be said of a head, None where nobody waits for one.

    A check may be required, and whoever waits for it would wait for ever.
    """
    if forge.hosting is None:
        return None
    if not job.number and (job.trigger is not Trigger.MERGE_QUEUE or not is_commit(job.head)):
        return None
    if job.trigger is Trigger.COMMENT:
        return None
    if job.number and memory.proposals.by_number(forge.name, job.repository, job.number) is not None:
        return None
    try:
        request = forge.hosting.request(job.repository, job.number) if job.number else None
    except ForgeError:
        return None  # gone, or the forge is down: whatever is said would not be heard
    if request is not None and (request.ours or request.state is not RequestState.OPEN):
        return None
    head = request.head if request is not None else job.head
    base = request.base if request is not None else ""
    told = memory.checks.judgements(forge.name, job.repository, head)
    if any((one.number, one.base) == (job.number, base) for one in told):
        return None  # what was said before says more
    if request is not None:
        # Whoever breaks the glass for a head that cannot be judged has seen which one that is.
        check = guarding.undecided(why, server)
        look = LastLook(commit=head, at=now, references=(), verdict=_verdict(check))
        memory.conversations.looked(forge.name, job.repository, f"refs/pull/{request.number}/head", look)
    made = Judgement(number=job.number, base=base, check=guarding.undecided(why, server))
    return _told(memory, forge, job, head, made, now)


def broken(
    memory: Memory,
    forge: Forge,
    job: Job,
    base: str,
    commit: str,
    mistakes: Sequence[ConfigurationError],
    server: Config,
    now: datetime,
) -> str | None:
    """Return the id of a check that says what is wrong with a branch's configuration; None where it was said."""
    check = guarding.broken(mistakes, commit, server)
    made = Judgement(number=0, base=base, check=check)
    if job.trigger in SWEPT and made in memory.checks.judgements(forge.name, job.repository, commit):
        return None
    return _told(memory, forge, job, commit, made, now)


def mended(memory: Memory, forge: Forge, job: Job, base: str, commit: str, now: datetime) -> str | None:
    """Return the id of a check that takes back what `broken` said of a commit; None where nothing was said."""
    there = memory.checks.judgements(forge.name, job.repository, commit)
    made = Judgement(number=0, base=base, check=guarding.mended())
    if made in there or not any((one.number, one.base) == (0, base) for one in there):
        return None
    return _told(memory, forge, job, commit, made, now)


def _told(memory: Memory, forge: Forge, job: Job, commit: str, made: Judgement, now: datetime) -> str:
    """Return the id of the check of a commit that one more thing is said of."""
    memory.checks.judge(forge.name, job.repository, commit, made, now)
    told = memory.checks.judgements(forge.name, job.repository, commit)
    check = _together(memory, forge, job, commit, told)
    return memory.checks.store(forge.name, job.repository, commit, check, now)


def _verdict(check: CheckRun) -> str:
    return f"{check.conclusion.value}: {check.title}"


def _together(memory: Memory, forge: Forge, job: Job, commit: str, judged: Sequence[Judgement]) -> CheckRun:
    """Return the one check of a commit; each request passes for which somebody broke the glass, and no other."""
    told = []
    for one in judged:
        overrides = memory.conversations.overrides(forge.name, job.repository, one.base)
        mine = [each for each in overrides if (each.commit, each.number) == (commit, one.number)]
        check = guarding.overridden(one.check, mine[-1].by, mine[-1].because) if mine else one.check
        told.append(replace(one, check=check))
    return guarding.together(told)
