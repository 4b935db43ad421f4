"""How much is proposed at most: what fits now, and until when the rest waits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.config import Config, merge
from bot.config.nouns import Limits
from bot.errors import TransientError
from bot.model import Proposal
from bot.pipeline import Services
from bot.runs.acts import Act, Verb
from bot.store.base import Proposals, Scan

_WAITS = "waits"
"""In place of the rules of a scan: no rules have this hash."""
_LIMIT = "limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """The proposals that there is room for, and what of the others."""

    made: tuple[Proposal, ...]
    waits: int = 0
    """Proposals that there is no room for."""
    seconds: float | None = None
    """When there will be, where a day's limit keeps them waiting; None where a proposal has to go first."""

    @property
    def said(self) -> str:
        """Return for people what waits; empty for nothing."""
        if not self.waits:
            return ""
        which = "limits.open" if self.seconds is None else "its owner's limits of a day"
        return f"{self.waits} more waiting: {which}"

    @property
    def again(self) -> tuple[Act, ...]:
        """Return the act that comes back for what waits for another day."""
        return () if self.seconds is None else (Act(Verb.AGAIN, _LIMIT, f"{self.seconds:.0f}"),)

    @property
    def trouble(self) -> TransientError | None:
        """Return what a run ends with that can do nothing but come back another day."""
        return None if self.seconds is None else _postponed(self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What was opened in a repository and for its owner, at one moment."""

    proposals: Proposals
    forge: str
    repository: str
    now: datetime

    def fits(
        self,
        made: Sequence[Proposal],
        limits: Limits,
        *,
        standing: Collection[str],
        others: int,
        paced: bool,
    ) -> Fits:
        """Return what of the proposals made for one base fits the limits.

        Those of the groups that are `standing` are updated anyway.  `others` are the proposals that stay
        open beside those made here: on other bases, or since nobody can say yet whether they are still
        needed.  `paced` says whether the owner's day counts, too: then what fits is reserved.
        """
        goes_on = sum(one.group in standing for one in made)
        fresh = [one for one in made if one.group not in standing]
        room = fresh[: max(limits.open - others - goes_on, 0)]
        today = room[: self._reserve(room, limits)] if paced and room else room
        return Fits(
            made=tuple(one for one in made if one.group in standing or one in today),
            waits=len(fresh) - len(today),
            seconds=self._until_midnight if len(today) < len(room) else None,
        )

    def room(self, limits: Limits, others: int) -> int:
        """Return how many more proposals may be opened now, where so many are open."""
        return min(max(limits.open - others, 0), self._left_today(limits))

    def vain(self, services: Services, last: Scan | None) -> TransientError | None:
        """Return why it is vain to read the repository now: it waits for another day since it was read.

        Only where nothing stands, which may need to be updated.  Both limits are the owner's and the
        server's.
        """
        if last is None or last.rules != _WAITS or self.proposals.standing(self.forge, self.repository):
            return None
        limits = merge(services.server, services.owner_configs, Config()).limits
        return None if self._left_today(limits) else _postponed(self._until_midnight)

    def _reserve(self, room: Sequence[Proposal], limits: Limits) -> int:
        """Return how many of these, which are for one base, may be opened today; nobody else takes their place."""
        return self.proposals.reserve(
            self.forge,
            self.repository,
            room[0].base,
            [one.group for one in room],
            self.now,
            since=self._midnight,
            per_day=limits.per_day,
            first_per_day=limits.first_per_day,
        )

    def _left_today(self, limits: Limits) -> int:
        """Return how many more proposals may be opened in the repository today."""
        owner = self.repository.partition("/")[0]
        opened, firsts = self.proposals.published_since(self.forge, owner, self._midnight)
        if firsts >= limits.first_per_day and not self.proposals.ever(self.forge, self.repository):
            return 0
        return max(limits.per_day - opened, 0)

    @property
    def _midnight(self) -> datetime:
        return self.now.replace(hour=0, minute=0, second=0, microsecond=0)

    @property
    def _until_midnight(self) -> float:
        return (self._midnight + timedelta(days=1) - self.now).total_seconds()


def waiting(scan: Scan) -> Scan:
    """Return a scan of which something waits: neither a push nor a sweep takes it for settled."""
    return replace(scan, rules=_WAITS, paths=("**",))


def again(why: Act) -> TransientError:
    """Return the trouble that an act of trying again stands for."""
    if why.id == _LIMIT:
        return _postponed(float(why.detail))
    return TransientError("Some look-ups failed and are tried again; the others are proposed.")


def _postponed(seconds: float) -> TransientError:
    return TransientError(
        "Its owner has got as many proposals today as the limits let it have.",
        advice="The rest follows tomorrow; `limits` in the configuration says how many.",
        retry_after=seconds,
    )
