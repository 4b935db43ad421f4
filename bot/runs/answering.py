"""What is said in a conversation: reactions, answers, and our one comment of a topic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from bot.errors import ForgeError, TransientError
from bot.forges.base import Account, Comment, Hosting, Reaction, RequestState, Role
from bot.runs.memory import Memory, somebody
from bot.store.base import ProposalState, StoredAnswer

_HOUR = timedelta(hours=1)
_log = logging.getLogger(__name__)


@contextmanager
def _tried() -> Iterator[None]:
    """Go on where the forge will never take what is said: the comment is gone, the conversation locked."""
    try:
        yield
    except TransientError:
        raise
    except ForgeError:
        return


def kept(per_hour: int) -> int:
    """Return how many answers of an hour are for people who may write: a quarter, and three or half of few."""
    return min(max(3, per_hour // 4), per_hour // 2)


class Answering:
    """Says what was planned; safe to repeat: what was said is not said again."""

    def __init__(self, memory: Memory, per_hour: int, clock: Callable[[], datetime]) -> None:
        self._memory = memory
        self._per_hour = per_hour
        self._clock = clock

    def say(self, stored: StoredAnswer, hosting: Hosting) -> None:
        """React at once, do what has to be done on the forge, and answer, within `publishing`."""
        if stored.ended is not None:
            return
        answer, talk = stored.answer, self._memory.conversations
        comment = Comment(
            ref=answer.ref,
            number=answer.number,
            author=Account(id=answer.asker_id, login=answer.asker),
            bot=False,
            text="",
            edited=False,
            created=stored.made,
            url=answer.url,
        )
        with _tried():  # it may be taken back by now; what it asked for is done all the same
            hosting.talk.react(answer.repository, comment, Reaction.SEEN)
        if answer.closes:
            self._close(stored, hosting)
        now = self._clock()
        if answer.body and (stored.begun is not None or self._may_speak(stored, comment, hosting, now)):
            talk.begin(stored.id, now)
            with _tried():
                hosting.talk.answer(answer.repository, comment, answer.body, maybe_since=stored.begun)
        with _tried():
            hosting.talk.react(answer.repository, comment, Reaction(answer.reaction))
        talk.end(stored.id, self._clock())

    def stick(
        self, hosting: Hosting, forge: str, repository: str, number: int, topic: str, body: str
    ) -> None:
        """Make our one comment of a topic on a request say this, within `publishing`; nothing takes it away."""
        talk = self._memory.conversations
        known = talk.sticky(forge, repository, number, topic)
        if not known and not body:
            return
        made = hosting.talk.sticky(repository, number, known, body)
        if made != known:
            talk.stuck(forge, repository, number, topic, made, self._clock())

    def _may_speak(self, stored: StoredAnswer, comment: Comment, hosting: Hosting, now: datetime) -> bool:
        """Return whether the hour has an answer left: the last ones are for people who may write here."""
        answer = stored.answer
        said = self._memory.conversations.said_since(answer.forge, answer.repository, now - _HOUR)
        if said < self._per_hour - kept(self._per_hour):
            return True
        told = {"forge": answer.forge, "repository": answer.repository, "comment": answer.ref, "said": said}
        if said < self._per_hour:
            with _tried():
                if hosting.talk.role(answer.repository, comment.author) >= Role.WRITE:
                    return True
        _log.warning("a comment gets no answer: enough were said within an hour", extra=told)
        return False

    def _close(self, stored: StoredAnswer, hosting: Hosting) -> None:
        """Close the request of a proposal that a person does not want, and remember that."""
        answer = stored.answer
        proposal = self._memory.proposals.get(answer.closes)
        if proposal is None or proposal.state is not ProposalState.PUBLISHED:
            return
        made = proposal.proposal
        hosting.close(made.repository, proposal.number, "")
        # Somebody may have merged it in the meantime, which the forge leaves as it is.
        there = hosting.request(made.repository, proposal.number)
        merged = there.state is RequestState.MERGED
        state = ProposalState.MERGED if merged else ProposalState.CLOSED
        now = self._clock()
        self._memory.proposals.mark(proposal.id, state, now, number=proposal.number)
        self._memory.audit.add(
            somebody(answer.forge, there.by) if merged else f"{answer.forge}:{answer.asker}",
            "proposal.merged" if merged else "proposal.declined",
            f"{answer.forge} {made.repository} {made.base}",
            {"proposal": proposal.id, "number": proposal.number},
            now,
        )
