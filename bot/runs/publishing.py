"""The second step of a run: the forge is made to match what was planned."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import datetime

from bot import pipeline
from bot.commands import address
from bot.errors import ForgeError, GuardError, MissingError, MoorlineError, SupersededError, TransientError
from bot.forges.base import Forge, Wish
from bot.model import Conclusion, Fact, Proposal, Published
from bot.proposals.lasting import CONFIGURATION
from bot.proposals.notes import (
    NOTHING_LEFT,
    NOTHING_TO_KEEP,
    STAYS_DECLINED,
    continues,
    hears,
    replaced,
    stands_back,
    taken_over,
    unfollowed,
)
from bot.runs import limits, reviewing
from bot.runs.acts import UNFOLLOWED, Act, Verb, decode, replacing
from bot.runs.answering import Answering
from bot.runs.commanding import Manners
from bot.runs.memory import Memory, somebody
from bot.settings import FORGE_VARIABLES
from bot.store.base import ProposalState, StoredProposal

_SETTLED = frozenset({ProposalState.CLOSED, ProposalState.MERGED})
"""What became of a request is known; of a superseded proposal it is only where we closed it ourselves."""


_OF_PEOPLE = frozenset({"proposal.declined", "proposal.merged"})
"""What a person did on the forge."""
_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}|(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")
_MOST_PINS = 50


class Publishing:
    """Publishes stored proposals.  Safe to repeat: what is there already is left."""

    def __init__(
        self,
        memory: Memory,
        forges: Mapping[str, Forge],
        manners: Manners,
        clock: Callable[[], datetime],
    ) -> None:
        self._memory = memory
        self._forges = forges
        self._clock = clock
        self._answering = Answering(memory, manners.answers_per_hour, clock)
        self._introduced: set[str] = set()

    def publish(self, plan: str) -> None:
        """Carry out a plan; one act that fails does not keep the others from being done."""
        failed: list[MoorlineError] = []
        for act in decode(plan):
            try:
                self._do(act)
            except (ForgeError, GuardError) as error:
                failed.append(error)
        # What may pass goes first: only then is everything tried again.
        if failed:
            raise min(failed, key=_hopeless)

    def _do(self, act: Act) -> None:
        if act.verb is Verb.AGAIN:
            raise limits.again(act)
        if act.verb is Verb.CHECK:
            self._report(act.id)
            return
        if act.verb is Verb.REVIEW:
            self._say(act.id)
            return
        if act.verb is Verb.ANSWER:
            self._answer(act.id)
            return
        id_, _, planned = act.id.partition("@")
        stored = self._memory.proposals.get(id_)
        if stored is None:
            raise ForgeError(f"The proposal {id_} is not in the store any more.")
        forge = self._forge(stored.forge)
        self._introduce(forge)
        with forge.publishing(stored.proposal.repository):
            if act.verb is Verb.CLOSE:
                self._close(stored, forge, planned, act.detail)
            else:
                try:
                    self._publish(stored, forge)
                except MoorlineError:
                    self._memory.proposals.release(stored.id)  # whoever tries again reserves again
                    raise

    def _forge(self, name: str) -> Forge:
        if name in self._forges:
            return self._forges[name]
        needed = FORGE_VARIABLES.get(name, "the variables of docs/settings.md")
        raise ForgeError(f"The forge {name} is not configured any more.", advice=f"Set {needed} again.")

    def _introduce(self, forge: Forge) -> None:
        """Let the receiver know who we are, before we do anything that it will hear of."""
        if forge.hosting is None or forge.name in self._introduced:
            return
        account = forge.hosting.account()
        self._memory.accounts.record(forge.name, account.id, account.login)
        self._introduced.add(forge.name)

    def _report(self, id_: str) -> None:
        """Report a check on its commit, where the forge has such a thing."""
        stored = self._memory.checks.get(id_)
        if stored is None:
            raise ForgeError(f"The check {id_} is not in the store any more.")
        forge = self._forge(stored.forge)
        if forge.hosting is not None:
            self._introduce(forge)
            with forge.publishing(stored.repository):
                told = self._memory.checks.any(stored.forge, stored.repository, stored.commit, besides=id_)
                check = stored.check
                if check.conclusion is not Conclusion.SUCCESS:
                    check = replace(check, summary=hears(check.summary, _called(forge)))
                forge.hosting.check(stored.repository, stored.commit, check, first=not told)

    def _say(self, id_: str) -> None:
        """Say a review on its request."""
        stored = self._memory.reviews.get(id_)
        if stored is None:
            raise ForgeError(f"The review {id_} is not in the store any more.")
        forge = self._forge(stored.forge)
        self._introduce(forge)
        with forge.publishing(stored.repository):
            review = replace(stored.review, body=hears(stored.review.body, _called(forge)))
            reviewing.say(self._memory, forge, replace(stored, review=review), self._clock())

    def _answer(self, id_: str) -> None:
        """Answer a comment."""
        stored = self._memory.conversations.answer(id_)
        if stored is None:
            raise ForgeError(f"The answer {id_} is not in the store any more.")
        forge = self._forge(stored.answer.forge)
        if forge.hosting is not None:
            self._introduce(forge)
            with forge.publishing(stored.answer.repository):
                self._answering.say(stored, forge.hosting)

    def _publish(self, stored: StoredProposal, forge: Forge) -> None:
        made = stored.proposal
        if stored.state is ProposalState.SUPERSEDED:
            raise SupersededError("A newer proposal took the place of this one.")
        self._leave(stored, forge)
        try:
            published = pipeline.publish(
                made,
                forge,
                self._ours(stored),
                lambda commit: self._memory.proposals.intend(stored.id, commit, self._clock()),
                _wish(stored) if forge.hosting is not None else None,
            )
        except SupersededError:
            if stored.state is ProposalState.PUBLISHED:
                # It would still fit, but its branch is gone: what comes next is made anew.
                detail = "its branch is gone"
                self._memory.proposals.mark(stored.id, ProposalState.SUPERSEDED, self._clock(), detail=detail)
            raise
        if published.action in _STANDS_BACK:
            self._left_alone(stored, published)
        if self._settle(stored, published):
            raise SupersededError(f"{published.url or published.branch}: {published.action}")
        first = stored.state is not ProposalState.PUBLISHED
        self._mark(stored, ProposalState.PUBLISHED, published)
        if forge.hosting is not None and published.number:
            self._answering.stick(forge.hosting, stored.forge, made.repository, published.number, ASIDE, "")
        if first or published.action != "unchanged":
            self._log(stored, "proposal.published", published)

    def _ours(self, stored: StoredProposal) -> pipeline.Ours:
        made, memory = stored.proposal, self._memory.proposals

        def settled(number: int) -> bool:
            known = memory.by_number(stored.forge, made.repository, number)
            return known is not None and (known.closing or known.state in _SETTLED)

        def drafts() -> list[Proposal]:
            found = memory.drafts(stored.forge, made.repository, made.branch)
            return [one.proposal for one in found if one.id != stored.id]

        current = memory.current(stored.forge, made.repository, made.base, made.group)
        return pipeline.Ours(
            number=current.number if current is not None else 0,
            drafts=drafts,
            commits=memory.commits(stored.forge, made.repository, made.branch),
            these=frozenset(stored.commits),
            settled=settled,
            finished=lambda number: memory.by_number(stored.forge, made.repository, number) is not None,
        )

    def _left_alone(self, stored: StoredProposal, published: Published) -> None:
        """Stand back: what is published stays as it is, what is new is not published."""
        made = stored.proposal
        current = self._memory.proposals.current(stored.forge, made.repository, made.base, made.group)
        place = current or stored
        state = ProposalState.PUBLISHED if current is not None else ProposalState.SUPERSEDED
        said = place.detail == published.detail
        called = _called(self._forges[stored.forge])
        foreign = published.action == "left-alone"
        is_open = published.number and published.action != "left-over"
        self._memory.proposals.mark(place.id, state, self._clock(), detail=published.detail)
        if not said:
            self._log(stored, "proposal.left-alone", published)
            hosting = self._forges[stored.forge].hosting
            if hosting is not None and published.number:
                self._answering.stick(
                    hosting,
                    stored.forge,
                    made.repository,
                    published.number,
                    ASIDE,
                    stands_back(called) if foreign else _AIMED_ELSEWHERE,
                )
        raise ForgeError(
            f"{published.branch} is left alone: {published.detail}.",
            # Where no request is open nobody declines anything.
            advice=(taken_over(called) if foreign else _GO_ON) if is_open else _FREE_IT,
        )

    def _settle(self, stored: StoredProposal, published: Published) -> bool:
        """Remember what a person did with a request; return whether somebody did."""
        match published.action:
            case "declined":
                state, what = ProposalState.CLOSED, "proposal.declined"
            case "merged":
                state, what = ProposalState.MERGED, "proposal.merged"
            case _:
                return False
        made = stored.proposal
        known = self._memory.proposals.by_number(stored.forge, made.repository, published.number)
        if known is None:
            known = self._memory.proposals.current(stored.forge, made.repository, made.base, made.group)
        self._mark(known or stored, state, published)
        if known is not None and known.id != stored.id and stored.state is ProposalState.OPEN:
            self._memory.proposals.mark(stored.id, ProposalState.SUPERSEDED, self._clock())
        self._log(known or stored, what, published)
        return True

    def _close(self, stored: StoredProposal, forge: Forge, planned: str, why: str) -> None:
        """Close a proposal that has nothing left to say, if its base is where that was seen."""
        if stored.state is not ProposalState.PUBLISHED:
            return
        comment = NOTHING_TO_KEEP if stored.proposal.group == CONFIGURATION else NOTHING_LEFT
        detail = "nothing is left to pin"
        made, memory = stored.proposal, self._memory.proposals
        if made.group == CONFIGURATION and memory.declined(
            stored.forge, made.repository, made.base
        ).intersection(made.pins):
            comment, detail = STAYS_DECLINED, "what it allows was declined"
        if why == UNFOLLOWED:
            comment, detail = unfollowed(stored.proposal.base), "its base is not looked after any more"
        heirs = [self._memory.proposals.get(one) for one in replacing(why)]
        if heirs:
            there = [one.url for one in heirs if one is not None and one.state is ProposalState.PUBLISHED]
            if len(there) < len(heirs):
                return  # what could not be published has said why; what stands is better than nothing
            comment, detail = replaced([one for one in there if one]), "others took its place"
        try:
            published = self._withdraw(stored, forge, comment, planned)
        except MissingError:
            published = Published(branch=stored.proposal.branch, commit="", action="closed")
        if self._settle(stored, published):
            return
        # What a person aimed elsewhere still holds our branch: it keeps its place.
        keeps = published.action == "retargeted" and why != UNFOLLOWED
        state = ProposalState.PUBLISHED if keeps else ProposalState.SUPERSEDED
        self._memory.proposals.mark(stored.id, state, self._clock(), detail=published.detail or detail)
        if not keeps:
            self._log(stored, "proposal.closed", published)

    def _withdraw(self, stored: StoredProposal, forge: Forge, comment: str, planned: str) -> Published:
        return pipeline.withdraw(
            stored.proposal,
            forge,
            self._ours(stored),
            comment,
            planned=planned,
            intend=lambda: self._memory.proposals.withdraw(stored.id, self._clock()),
        )

    def _leave(self, stored: StoredProposal, forge: Forge) -> None:
        """Withdraw what stands for the same on another branch, before it goes on here: never two at once."""
        made = stored.proposal
        current = self._memory.proposals.current(stored.forge, made.repository, made.base, made.group)
        if current is None or current.proposal.branch == made.branch:
            return
        if not pipeline.may_write(made, forge, self._ours(stored)):
            return  # what stands is better than nothing: publishing says what is in the way
        published = self._withdraw(current, forge, continues(made.branch), made.commit)
        if self._settle(current, published):
            raise SupersededError(f"{published.url or published.branch}: {published.action}")
        if published.action != "closed":
            self._left_alone(stored, published)
        detail = f"continues on {made.branch}"
        self._memory.proposals.mark(current.id, ProposalState.SUPERSEDED, self._clock(), detail=detail)
        self._log(current, "proposal.closed", replace(published, detail=detail))

    def _mark(self, stored: StoredProposal, state: ProposalState, published: Published) -> None:
        self._memory.proposals.mark(
            stored.id,
            state,
            self._clock(),
            commit=published.commit if state is ProposalState.PUBLISHED else "",
            url=published.url,
            detail=published.detail,
            number=published.number,
        )

    def _log(self, stored: StoredProposal, what: str, published: Published) -> None:
        made = stored.proposal
        self._memory.audit.add(
            somebody(stored.forge, published.by) if what in _OF_PEOPLE else "moorline",
            what,
            f"{stored.forge} {made.repository} {made.base}",
            {
                "proposal": stored.id,
                "group": made.group,
                "branch": made.branch,
                "commit": published.commit,
                "digest": made.digest,
                "number": published.number,
                "detail": published.detail,
                **(_pinned(made) if published.commit and what not in _OF_PEOPLE else {}),
            },
            self._clock(),
        )


ASIDE = "aside"
"""The topic of our one comment on a branch that people commit to."""
_FREE_IT = "Delete the branch, and Moorline goes on."
_GO_ON = "Aim it where it was, and Moorline goes on. Closing it declines what it pins."
_AIMED_ELSEWHERE = f"Somebody aimed this at another branch, so Moorline stands back: it changes nothing here any more. {_GO_ON}"
_STANDS_BACK = frozenset({"left-alone", "retargeted", "left-over"})
"""What became of a branch that is left to people."""


def _called(forge: Forge) -> str:
    """Return what a command on a forge begins with, empty where comments are not heard."""
    return address(forge.hosting.account().login) if forge.hosting is not None else ""


def _hopeless(error: MoorlineError) -> bool:
    return not isinstance(error, TransientError | SupersededError)


def _wish(stored: StoredProposal) -> Wish:
    made = stored.proposal
    return Wish(title=made.title, body=made.body, **asdict(made.looks))


def _pinned(made: Proposal) -> dict[str, Fact]:
    """Return what a proposal pins and to which digests and commits, as far as there is room for it."""
    pins = tuple(dict.fromkeys(f"{one.path}: {one.reference}" for one in made.pins))
    digests = dict.fromkeys(
        found.decode("ascii") for edit in made.edits for found in _DIGEST.findall(edit.replacement)
    )
    more = max(0, len(pins) - _MOST_PINS)
    return {"pins": pins[:_MOST_PINS], "digests": tuple(digests)[:_MOST_PINS], "more": more}
