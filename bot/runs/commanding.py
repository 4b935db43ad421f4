"""Comments become deeds: read again by their ids, parsed, authorised, written down once.

Nothing is edited and nothing looked up here: a command stores what was decided, and wants jobs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from bot import commands
from bot.commands import FORMS, Mistake, Said, role_name
from bot.cron import Cron
from bot.errors import MissingError
from bot.forges.base import Comment, Forge, Hosting, Reaction, Role
from bot.model import Fact, Job
from bot.proposals import answers
from bot.proposals.answers import Kind, Part
from bot.runs.acts import Act, Verb
from bot.runs.effects import EFFECTS, Effect, Scene, decided
from bot.runs.lasting import Ground
from bot.runs.memory import Memory
from bot.store.base import Answer, Deed, StoredProposal

LONGEST_WAIT = timedelta(days=1)
"""An older comment is not acted on: whoever wrote it has long moved on."""
_CONFUSED = frozenset(
    {Kind.MISTAKEN, Kind.UNKNOWN, Kind.NOT_LOOKED, Kind.NOT_OURS, Kind.SETTLED, Kind.NOT_ALLOWED, Kind.LATE}
)
_REFUSED = frozenset({Kind.REFUSED, Kind.INSISTED, Kind.UNSEEN, Kind.NO_OVERRIDE, Kind.UNSURE})
_UNSURE = Effect(part=Part(kind=Kind.UNSURE))

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How the operator wants us to behave in conversations."""

    answers_per_hour: int = 60
    """In one repository; what is beyond gets a reaction alone."""
    reviews_per_hour: int = 30
    """In one repository; what is beyond is told by the check alone."""
    overrides: bool = True
    """Whether admins and owners may break the glass."""
    sweeps: Cron | None = None
    """When sweeps come; None where they do not, or nobody knows."""


class Commanding:
    """Plans what becomes of comments."""

    def __init__(
        self,
        memory: Memory,
        manners: Manners,
        clock: Callable[[], datetime],
        grounds: Callable[[Job, Forge], Ground | None],
    ) -> None:
        """`grounds` tells where the decisions of a repository last, None where nobody knows."""
        self._grounds = grounds
        self._memory = memory
        self._manners = manners
        self._clock = clock

    def plan(self, job: Job, forge: Forge, hosting: Hosting) -> list[Act]:
        """Return the answer to a comment; what it asks for is written down by then.

        Raises what the forge raises, after which nothing was written down.
        """
        heard = self._memory.conversations.heard(forge.name, job.repository, job.ref)
        if heard is not None:
            return [Act(Verb.ANSWER, heard)]
        now = self._clock()
        comment = self._said(job, hosting, now)
        if comment is None:
            return []
        login = hosting.account().login
        said = commands.parse(comment.text, login, slash=forge.name == "github", today=now.date())
        if not said:
            return []
        role = hosting.talk.role(job.repository, comment.author)
        if role < Role.READ:
            return []  # whoever may not even read here is not talked to
        scene = Scene(
            memory=self._memory,
            forge=forge,
            hosting=hosting,
            job=job,
            comment=comment,
            role=role,
            now=now,
            overrides=self._manners.overrides,
            sweeps=self._manners.sweeps,
            grounds=partial(self._grounds, job, forge),
        )
        for one in said:
            scene.earlier.append(_UNSURE if comment.unsure else self._effect(one, scene, role, login))
        id_ = self._memory.conversations.carry_out(_deed(scene, role, said, scene.earlier), now)
        return [Act(Verb.ANSWER, id_)]

    def _said(self, job: Job, hosting: Hosting, now: datetime) -> Comment | None:
        """Return a comment that may be listened to; what a delivery told of it is not believed."""
        try:
            comment = hosting.talk.said(job.repository, job.ref, job.number)
        except MissingError:
            return None
        ours = comment.author.id == hosting.account().id
        old = now - comment.created > LONGEST_WAIT
        if ours or comment.bot or comment.edited or old or not comment.number:
            why = "own" if ours else "bot" if comment.bot else "edited" if comment.edited else "old"
            told = {"forge": job.forge, "repository": job.repository, "comment": job.ref}
            _log.info("a comment is not listened to", extra={**told, "reason": why})
            return None
        return comment if comment.number == job.number else None

    @staticmethod
    def _effect(said: Said, scene: Scene, role: Role, login: str) -> Effect:
        if isinstance(said, Mistake):
            to = commands.address(login)
            form = FORMS[said.meant] if said.meant is not None else None
            return Effect(
                part=Part(
                    kind=Kind.MISTAKEN,
                    said=said.said,
                    problem=said.problem,
                    near=f"{to} {said.instead}" if said.instead else "",
                    usage=form.usage if form else "",
                    example=f"{to} {form.example if form else FORMS[commands.Verb.HELP].example}",
                )
            )
        least = FORMS[said.verb].least
        if role < least:
            return Effect(
                part=Part(
                    kind=Kind.REFUSED,
                    verb=said.verb.value,
                    needs=role_name(least, scene.forge.name),
                    has=role_name(role, scene.forge.name),
                )
            )
        return EFFECTS[said.verb](scene, said)


def _deed(scene: Scene, role: Role, said: tuple[Said, ...], made: list[Effect]) -> Deed:
    """Return what all commands of a comment come to; of two that contradict each other the later one counts."""
    comment, job = scene.comment, scene.job
    made = _reconciled(made, scene.proposal)
    kinds = {one.part.kind for one in made}
    reaction = Reaction.DONE
    if kinds & _CONFUSED:
        reaction = Reaction.CONFUSED
    if kinds & _REFUSED:
        reaction = Reaction.REFUSED
    pausing = [one for one in made if one.pause is not None or one.resumes]
    return Deed(
        answer=Answer(
            forge=job.forge,
            repository=job.repository,
            ref=comment.ref,
            number=comment.number,
            asker=comment.author.login,
            asker_id=comment.author.id,
            url=comment.url,
            reaction=reaction.value,
            body=answers.answer(
                [one.part for one in (made[:1] if comment.unsure else made)],
                mark="!" if job.forge == "gitlab" else "#",
            ),
            closes=next((one.closes for one in reversed(made) if one.closes), ""),
        ),
        decisions=decided(made),
        unignored=tuple(each for one in made for each in one.unignored),
        ended=tuple(each for one in made for each in one.ended),
        undeclined=tuple(each for one in made for each in one.undeclined),
        reopened=tuple(each for one in made for each in one.reopened),
        stale=tuple(each for one in made for each in one.stale),
        adopted=tuple(each for one in made for each in one.adopted),
        pause=pausing[-1].pause if pausing else None,
        resumes=pausing[-1].resumes if pausing else False,
        override=next((one.override for one in reversed(made) if one.override is not None), None),
        words=tuple(dict.fromkeys(each for one in made for each in one.words)),
        said=comment.created,
        jobs=tuple(dict.fromkeys(each for one in made for each in one.jobs)),
        entries=tuple(_entry(comment, role, one, effect) for one, effect in zip(said, made, strict=True)),
    )


def _reconciled(made: list[Effect], proposal: StoredProposal | None) -> list[Effect]:
    """Return effects without a `close` after which the same comment asks for what it closes."""
    if proposal is None:
        return made
    pins = set(proposal.proposal.pins)

    def wants(one: Effect) -> bool:
        return proposal.id in one.stale or one.part.kind is Kind.NEWEST or not pins.isdisjoint(one.undeclined)

    return [
        replace(one, part=Part(kind=Kind.STAYS), closes="")
        if one.closes and any(map(wants, made[number + 1 :]))
        else one
        for number, one in enumerate(made)
    ]


def _entry(comment: Comment, role: Role, said: Said, effect: Effect) -> tuple[str, dict[str, Fact]]:
    """Return what the audit log says of one command."""
    facts: dict[str, Fact] = {
        "comment": comment.ref,
        "account": comment.author.id,
        "role": role.name.lower(),
        "effect": effect.part.kind.value,
    }
    if isinstance(said, Mistake):
        return "command.mistaken", {**facts, "said": said.said}
    if said.names:
        facts["names"] = said.names
    if said.because:
        facts["because"] = said.because
    if said.until is not None:
        facts["until"] = said.until.isoformat()
    if said.days:
        facts["days"] = said.days
    bound = [f"{one.reference}@{one.digest}" if one.digest else one.reference for one in effect.decisions]
    if bound:
        facts["bound"] = tuple(bound)
    excused = tuple(dict.fromkeys(check for one in effect.decisions for check in one.checks))
    if excused:
        facts["checks"] = excused
    if effect.ended:
        facts["ended"] = tuple(one.reference for one in effect.ended)
    if effect.override is not None:
        facts["commit"] = effect.override.commit
    return f"command.{said.verb.value}", facts
