"""The queue on DBOS: the only module that imports it.

DBOS keeps its tables in the same database.  What it does by default and must not do here: name
every process `local`, so that two of them run the same thing; pickle what it stores; tie runs
to a hash of the code; keep finished runs for ever; try a run that kills its worker a hundred times.
It has no telemetry unless configured, and no part of it is asked to connect anywhere.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetEnqueueOptions, SetWorkflowID

from bot.errors import ConfigurationError, MoorlineError
from bot.jobs.base import Pace, Standing
from bot.jobs.engine_log import OneLine
from bot.jobs.steps import Outcome, Steps
from bot.model import Job
from bot.store.base import StoreUnavailableError
from bot.store.plain_jobs import encode_job
from bot.store.refusals import refusal

_NAME = "moorline"
_QUEUE = "runs"
_UNFINISHED = frozenset({"ENQUEUED", "PENDING", "DELAYED"})
_KILLED = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
_FINISHED = ["SUCCESS", "ERROR", "CANCELLED", _KILLED]
_BATCH = 500
_PASSES = 20
_THREADS = "dbos-executor-"
"""How the names of the threads begin in which the engine runs runs."""
_REST = 10.0
"""Seconds in which the engine has written what it writes after a run."""


class DbosQueue:
    """`Queue` on DBOS.  One per process: DBOS itself is a singleton."""

    def __init__(self, url: str, steps: Steps, worker: str, pace: Pace, *, version: str) -> None:
        if os.environ.get("DBOS__CLOUD") == "true":
            raise ConfigurationError(
                "is set, and would make the engine report to a service",
                key="DBOS__CLOUD",
                expected="nothing",
            )
        self._steps = steps
        self._worker = worker
        self._pace = pace
        self._active = 0
        self._lock = threading.Lock()
        self._config: DBOSConfig = {
            "name": _NAME,
            "system_database_url": url,
            "application_version": version,
            "executor_id": worker,
            "serializer": DBOSPortableJSONSerializer(),
            "enable_otlp": False,
            "log_level": "WARNING",
            "max_executor_threads": pace.concurrency + 4,
            "notification_listener_polling_interval_sec": max(pace.poll, 0.1),
        }

    def start(self) -> None:
        """Begin to take up runs; raises `StoreUnavailableError`."""
        # With a handler of its own it prints nothing itself; what matters goes to our log.
        logger = logging.getLogger("dbos")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
        logger.propagate = True
        if not any(isinstance(one, OneLine) for one in logger.filters):
            logger.addFilter(OneLine())
        with _translated():
            DBOS(config=self._config)
            try:
                attempts = self._pace.attempts - 1  # DBOS counts those after the first

                @DBOS.workflow(name="run", max_recovery_attempts=attempts)
                def workflow(run: str, job: dict[str, Any]) -> str:
                    return self._run(run, job)

                self._workflow = workflow
                DBOS.launch()
                DBOS.register_queue(
                    _QUEUE,
                    worker_concurrency=self._pace.concurrency,
                    partition_concurrency=1,
                    polling_interval_sec=self._pace.poll,
                    on_conflict="always_update",
                )
            except BaseException:
                DBOS.destroy(destroy_registry=True)
                raise

    def stop(self, timeout: float) -> bool:
        """Take up nothing more, wait for what runs, and return whether all of it ended."""
        seconds = math.ceil(timeout) if self.active else 0  # else it would sleep for one anyway
        with _translated():
            DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=seconds)
        return self.active == 0 and _at_rest()

    @property
    def active(self) -> int:
        """How many runs go on in this process."""
        with self._lock:
            return self._active

    def _run(self, run: str, job: dict[str, Any]) -> str:
        # The workflow: after a crash it is replayed up to the step that was interrupted.
        with self._lock:
            self._active += 1
        try:
            outcome: Outcome = DBOS.run_step({"name": "plan"}, self._steps.plan, run, job)
            proposal = outcome.get("proposal")
            if isinstance(proposal, str):
                outcome = DBOS.run_step({"name": "publish"}, self._steps.publish, run, proposal)
            return DBOS.run_step({"name": "settle"}, self._steps.settle, run, outcome)
        finally:
            with self._lock:
                self._active -= 1

    def submit(self, run: str, job: Job, priority: int) -> None:
        partition = f"{job.forge} {job.repository}"
        # The engine counts from one.
        options = SetEnqueueOptions(queue_partition_key=partition, priority=priority + 1)
        with _translated(), SetWorkflowID(run), options:
            DBOS.enqueue_workflow(_QUEUE, self._workflow, run, encode_job(job))

    def statuses(self, runs: tuple[str, ...]) -> dict[str, Standing]:
        if not runs:
            return {}
        with _translated():
            found = DBOS.list_workflows(workflow_ids=list(runs), load_input=False, load_output=False)
        return {
            status.workflow_id: Standing(
                unfinished=status.status in _UNFINISHED,
                version=status.app_version or "",
                killed=status.status == _KILLED,
            )
            for status in found
        }

    def abandon(self, run: str) -> None:
        with _translated():
            DBOS.cancel_workflow(run)

    def recover(self, worker: str) -> int:
        with _translated():
            # The public `resume_workflows` would take a run from a living worker too and forget
            # how often it was tried; this one checks the owner as it writes.
            DBOS._recover_pending_workflows([worker])  # noqa: SLF001 - see above; a test holds it
            pending = DBOS.list_workflows(
                status="PENDING", executor_id=worker, load_input=False, load_output=False
            )
        return len(pending)

    def forget(self, before: datetime) -> int:
        """Remove runs that ended and were handed over before a time; return how many."""
        limit = before.astimezone(UTC).isoformat()
        count = 0
        for _ in range(_PASSES):
            with _translated():
                old = DBOS.list_workflows(
                    status=_FINISHED, end_time=limit, limit=_BATCH, load_input=False, load_output=False
                )
                if not old:
                    break
                DBOS.delete_workflows([status.workflow_id for status in old])
            count += len(old)
        return count


def _at_rest() -> bool:
    """Wait until the engine's threads are gone, and return whether they are.

    It does not wait for them itself: after our last word on a run they write its own, and would open the
    database anew once everybody else has closed it.
    """
    deadline = time.monotonic() + _REST
    threads = [one for one in threading.enumerate() if one.name.startswith(_THREADS)]
    for one in threads:
        one.join(max(0.0, deadline - time.monotonic()))
    return not any(one.is_alive() for one in threads)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except MoorlineError:
        raise
    except Exception as error:
        # DBOS raises its own errors, SQLAlchemy's and plain ones; each means the same to us.
        problem, advice = refusal(getattr(error, "orig", None)) or (
            "The job engine's part of the database does not answer.",
            "Look at MOORLINE_DATABASE_URL.",
        )
        raise StoreUnavailableError(problem, advice=advice) from error
