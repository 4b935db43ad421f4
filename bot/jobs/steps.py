"""What happens inside a run: each step answers with plain JSON and never raises to the engine.

An engine stores whatever a step returns or raises, word for word.  So adapters' errors become
their one safe sentence here, and of an unexpected one only its name is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import structlog

from bot.errors import MoorlineError, SupersededError, TransientError
from bot.jobs.base import Pace, Work
from bot.model import Job, Trigger
from bot.store.base import Backlog, Claim, Ending, Retry
from bot.store.plain_jobs import decode_job

Outcome: TypeAlias = dict[str, str | float | None]

_HOUR = 3600.0
_LONGEST_WAIT = 24 * _HOUR
"""Limits of a day name the next one."""
_OFTEN = 100
"""Waits that somebody named, after which a run is tried no more than hourly."""
_MOST_WAITS = 1000
"""Waits after which a run is parked: more than a month of hours, and none of the forge's limits lasts so long."""
_UNSETTLED = frozenset({Ending.POSTPONED, Ending.SUPERSEDED})
"""Endings after which a run is tried again."""
_CALLED_OFF: Outcome = {"ending": Ending.CANCELLED.value, "detail": "Called off by a person."}
_DONE = {
    Trigger.COMMENT: "answered",
    Trigger.PULL_REQUEST: "checked",
    Trigger.MERGE_QUEUE: "checked",
}
"""What the log calls runs that published, and no proposal of ours."""
_log = structlog.get_logger(__name__)


class Steps:
    """The steps of a run around some work, and what their ends mean for the backlog."""

    def __init__(
        self,
        work: Work,
        backlog: Backlog,
        pace: Pace,
        clock: Callable[[], datetime],
        gave_up: Callable[[Job, str], None] = lambda _job, _why: None,
    ) -> None:
        """`gave_up` hears of a run that failed for good, and why: somebody may wait for its word."""
        self._work = work
        self._backlog = backlog
        self._pace = pace
        self._clock = clock
        self._gave_up = gave_up

    def plan(self, run: str, job: dict[str, Any]) -> Outcome:
        """Return `{"proposal": id}`, or how the run ends."""

        def planned() -> Outcome:
            if not self._wanted(run):
                return _CALLED_OFF
            proposal = self._work.plan(decode_job(job))
            return {"ending": Ending.NOTHING.value} if proposal is None else {"proposal": proposal}

        return _guarded("plan", planned)

    def publish(self, run: str, proposal: str) -> Outcome:
        """Return how the run ends."""

        def published() -> Outcome:
            if not self._wanted(run):
                return _CALLED_OFF
            self._work.publish(proposal)
            return {"ending": Ending.PUBLISHED.value}

        return _guarded("publish", published)

    def _wanted(self, run: str) -> bool:
        """Return whether a run may go on: nobody called it off, and nobody settled it behind its back."""
        claim = self._backlog.find(run)
        return claim is not None and not claim.cancelled

    def settle(self, run: str, outcome: Outcome) -> str:
        """Write down how a run ended and when it is tried again; return its ending."""
        ending = Ending(str(outcome["ending"]))
        detail = str(outcome.get("detail") or "")
        claim = self._backlog.find(run)
        if claim is None:
            return ending.value
        now = self._clock()
        retry = None
        if ending in _UNSETTLED and claim.cancelled:
            ending = Ending.CANCELLED
        elif ending is Ending.POSTPONED:
            named = outcome.get("retry_after")
            retry = self._retry(claim, None if named is None else float(named), now)
        elif ending is Ending.SUPERSEDED:
            retry = self._afresh(claim, now)
        if ending in _UNSETTLED and retry is None:
            ending = Ending.PARKED
        if ending in (Ending.FAILED, Ending.PARKED):
            self.give_up(claim.job, detail)
        self._backlog.settle(run, ending, detail, now, retry=retry)
        _log.info(
            "run ended",
            run=run,
            forge=claim.job.forge,
            repository=claim.job.repository,
            ref=claim.job.ref,
            ending=_DONE.get(claim.job.trigger, ending.value) if ending is Ending.PUBLISHED else ending.value,
            detail=detail,
        )
        return ending.value

    def give_up(self, job: Job, why: str) -> None:
        """Let whoever waits know that nothing more is tried; raises nothing."""
        try:
            self._gave_up(job, why)
        except MoorlineError as error:
            _log.warning("nobody could be told that a run was given up", problem=str(error))
        except Exception:  # noqa: BLE001 - an edge: the run ends all the same
            _log.exception("unexpected error while giving up a run")

    def _afresh(self, claim: Claim, now: datetime) -> Retry | None:
        """Return another try at once: the branch moved, and whoever tells of it may have told us before.

        Deliveries come in any order.  Where a newer one waits its run is next, and this changes nothing.
        """
        if claim.attempts + 1 >= self._pace.attempts:
            return None
        return Retry(due=now, named=False, afresh=True)

    def _retry(self, claim: Claim, named: float | None, now: datetime) -> Retry | None:
        if named is not None:
            if claim.waits + 1 >= _MOST_WAITS:
                return None
            # A server that says "at once" and means "never" must not keep us busy.
            least = float(claim.waits) if claim.waits < _OFTEN else _HOUR
            seconds = min(max(named, 1.0, least), _LONGEST_WAIT)
            return Retry(due=now + timedelta(seconds=seconds), named=True)
        if claim.attempts + 1 >= self._pace.attempts:
            return None
        seconds = min(self._pace.backoff * 2**claim.attempts, _HOUR)
        return Retry(due=now + timedelta(seconds=seconds), named=False)


def _guarded(step: str, work: Callable[[], Outcome]) -> Outcome:
    try:
        return work()
    except SupersededError as error:
        return {"ending": Ending.SUPERSEDED.value, "detail": str(error)}
    except TransientError as error:
        return {
            "ending": Ending.POSTPONED.value,
            "detail": str(error),
            "retry_after": error.retry_after,
        }
    except MoorlineError as error:
        return {"ending": Ending.FAILED.value, "detail": str(error)}
    except Exception as error:  # noqa: BLE001 - an edge: the run ends, the worker goes on
        _log.exception("unexpected error in a run", step=step)
        name = type(error).__name__
        return {"ending": Ending.FAILED.value, "detail": f"Unexpected {name} in {step}; see the log."}
