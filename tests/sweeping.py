"""Runs, errands and a backlog over an in-memory forge: the engine's work, one run after the other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from hosted import Hosted
from test_runs import FLOATING, World

from bot.forges.base import Missed
from bot.jobs.base import Pace
from bot.jobs.steps import Steps
from bot.model import Trigger
from bot.runs import Runs
from bot.runs.errands import ForgeErrands
from bot.runs.timetable import new_sweep
from bot.store.base import Delivery, PlaceState, Sweep
from bot.store.plain_jobs import encode_job

WHO = "operator"


class Loose(Hosted):
    """A forge whose answers a test may replace."""


@dataclass
class Installation(World):
    """A world whose sweeps are listed, and worked through."""

    forge: Hosted = field(default_factory=Loose)
    delivered: dict[str, Delivery] = field(default_factory=dict)
    """What the bodies of missed deliveries want."""

    def __post_init__(self) -> None:
        super().__post_init__()
        errands = ForgeErrands(
            self.store,
            self.served,
            self._read,
            addresses={"git": {"acme/app": "/srv/app.git", "acme/old": "/srv/old.git"}},
            clock=lambda: self.now,
        )
        self.runs = Runs(
            self.store,
            {"github": self.forge},
            self.services,
            served=self.served,
            errands=errands,
            clock=lambda: self.now,
        )

    def _read(self, _forge: str, one: Missed) -> Delivery | None:
        return self.delivered.get(one.body.decode())

    def populate(self, count: int) -> list[str]:
        """Make so many repositories, all alike."""
        names = [f"acme/app{number:03}" for number in range(count)]
        for name in names:
            self.forge.create(name, FLOATING)
        return names

    def begin(
        self,
        trigger: Trigger = Trigger.SWEEP,
        *,
        owners: tuple[str, ...] = (),
        globs: tuple[str, ...] = (),
        forge: str = "github",
    ) -> Sweep:
        sweep = new_sweep(forge, trigger, WHO, self.now, owners=owners, globs=globs)
        self.store.sweeps.begin(sweep, self.now)
        return sweep

    def work(self, most: int = 10_000) -> int:
        """Work through what is due, and return how many runs that took."""
        steps = Steps(self.runs, self.store.backlog, Pace(), lambda: self.now)
        done = 0
        while done < most:
            claims = self.store.backlog.claim("w", 1, self.now)
            if not claims:
                break
            for claim in claims:
                outcome = steps.plan(claim.run, encode_job(claim.job))
                proposal = outcome.get("proposal")
                if isinstance(proposal, str):
                    outcome = steps.publish(claim.run, proposal)
                steps.settle(claim.run, outcome)
                done += 1
        return done

    def sweep(
        self,
        trigger: Trigger = Trigger.SWEEP,
        *,
        owners: tuple[str, ...] = (),
        globs: tuple[str, ...] = (),
    ) -> dict[str, int]:
        """Sweep everything to its end, and return how many places are in which state."""
        sweep = self.begin(trigger, owners=owners, globs=globs)
        self.work()
        return self.summary(sweep)

    def summary(self, sweep: Sweep) -> dict[str, int]:
        return {state.value: number for state, number in self.store.sweeps.counts(sweep.id).items()}

    def states(self, sweep: Sweep) -> dict[str, PlaceState]:
        return {f"{one.repository} {one.ref}": one.state for one in self.store.sweeps.places(sweep.id)}

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    def catch_up(self) -> int:
        job = self.job(repository="", ref="catch-up", trigger=Trigger.CATCH_UP)
        self.store.inbox.want((replace(job),), self.now)
        return self.work()
