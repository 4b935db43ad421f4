"""What a run's end means: pure of the engine, on a real store."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from bot.errors import ForgeError, GuardError, SupersededError, TransientError
from bot.jobs.base import Pace
from bot.jobs.engine_log import OneLine
from bot.jobs.reaper import Reaper
from bot.jobs.steps import Outcome, Steps
from bot.model import Job, Trigger
from bot.store.base import Claim, Delivery, Ending
from bot.store.plain_jobs import decode_job, encode_job
from bot.store.sql import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOB = Job(forge="git", repository="acme/app", ref="main", trigger=Trigger.PUSH)


class Told:
    """Work that does as it is told."""

    def __init__(self, plan: Callable[[], str | None], publish: Callable[[], None]) -> None:
        self._plan = plan
        self._publish = publish

    def plan(self, job: Job) -> str | None:
        assert job == JOB
        return self._plan()

    def publish(self, proposal: str) -> None:
        assert proposal == "p1"
        self._publish()


def raising_text() -> str:
    raise AssertionError


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def steps(
    store: Store,
    plan: Callable[[], str | None] = lambda: "p1",
    publish: Callable[[], None] = lambda: None,
    now: datetime = NOW,
) -> Steps:
    return Steps(Told(plan, publish), store.backlog, Pace(), lambda: now)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'moorline.db'}") as opened:
        yield opened


def claimed(store: Store, when: datetime = NOW) -> Claim:
    store.inbox.receive(Delivery(source="git", id=when.isoformat(), jobs=(JOB,)), when)
    (claim,) = store.backlog.claim("w", 1, when)
    return claim


@pytest.mark.parametrize(
    "job",
    [
        JOB,
        replace(JOB, head="a" * 40, before="b" * 40, changed=("Dockerfile", "\ud800/x"), number=7),
        replace(JOB, changed=()),
    ],
)
def test_a_job_goes_through_json(job: Job) -> None:
    assert decode_job(json.loads(json.dumps(encode_job(job)))) == job


def test_the_good_ways(store: Store) -> None:
    run = claimed(store).run
    assert steps(store).plan(run, encode_job(JOB)) == {"proposal": "p1"}
    assert steps(store, plan=lambda: None).plan(run, encode_job(JOB)) == {"ending": "nothing"}
    assert steps(store).publish(run, "p1") == {"ending": "published"}


@pytest.mark.parametrize(
    ("trigger", "word"),
    [
        (Trigger.PUSH, "published"),
        (Trigger.COMMENT, "answered"),
        (Trigger.PULL_REQUEST, "checked"),
        (Trigger.MERGE_QUEUE, "checked"),
    ],
)
def test_the_log_says_what_was_written(
    store: Store, trigger: Trigger, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store.inbox.receive(Delivery(source="git", id="1", jobs=(replace(JOB, trigger=trigger),)), NOW)
    (claim,) = store.backlog.claim("w", 1, NOW)
    assert steps(store).settle(claim.run, {"ending": "published"}) == "published"
    assert f"ending={word}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SupersededError("It moved."), {"ending": "superseded", "detail": "It moved."}),
        (
            TransientError("Limited.", retry_after=30.0),
            {"ending": "postponed", "detail": "Limited.", "retry_after": 30.0},
        ),
        (TransientError("Away."), {"ending": "postponed", "detail": "Away.", "retry_after": None}),
        (
            ForgeError("No such branch.", advice="Look."),
            {"ending": "failed", "detail": "No such branch. Look."},
        ),
        (GuardError("Not a pin."), {"ending": "failed", "detail": "Not a pin."}),
    ],
)
def test_every_trouble_is_an_answer(store: Store, error: Exception, expected: Outcome) -> None:
    answer = steps(store, publish=raising(error)).publish(claimed(store).run, "p1")
    assert answer == expected
    json.dumps(answer)


def test_an_unexpected_error_keeps_its_text_to_itself(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "glpat-" + "x" * 20
    answer = steps(store, publish=raising(ValueError(f"token {secret}"))).publish(claimed(store).run, "p1")
    assert answer == {"ending": "failed", "detail": "Unexpected ValueError in publish; see the log."}
    assert "unexpected error in a run" in capsys.readouterr().out


def test_an_interrupt_is_no_answer(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        steps(store, publish=raising(KeyboardInterrupt())).publish(claimed(store).run, "p1")


def test_trouble_is_tried_again_ever_later_and_then_parked(store: Store) -> None:
    claim, now = claimed(store), NOW
    waits = []
    for _ in range(4):
        moment = steps(store, now=now)
        assert moment.settle(claim.run, {"ending": "postponed", "detail": "Away."}) == "postponed"
        wait = next(s for s in range(1, 9999) if store_due(store, now + timedelta(seconds=s)))
        waits.append(wait)
        now += timedelta(seconds=wait)
        (claim,) = store.backlog.claim("w", 1, now)
    assert waits == [15, 30, 60, 120]
    assert steps(store).settle(claim.run, {"ending": "postponed", "detail": "Away."}) == "parked"
    assert store.inbox.waiting() == 0
    assert store.inbox.tallies() == {"postponed": 4, "parked": 1}
    assert store.backlog.runs(1)[0].detail == "Away."


def store_due(store: Store, when: datetime) -> bool:
    """Return whether something could be claimed then, and leave it."""
    claims = store.backlog.claim("probe", 1, when)
    for claim in claims:
        store.backlog.release(claim.run)
    return bool(claims)


@pytest.mark.parametrize(
    ("named", "seconds"), [(30.0, 30), (0.0, 1), (-5.0, 1), (80000.0, 80000), (1e12, 24 * 3600)]
)
def test_a_named_time_is_kept_within_reason(store: Store, named: float, seconds: int) -> None:
    claim = claimed(store)
    outcome: Outcome = {"ending": "postponed", "detail": "", "retry_after": named}
    assert steps(store).settle(claim.run, outcome) == "postponed"
    assert not store_due(store, NOW + timedelta(seconds=seconds - 1))
    (again,) = store.backlog.claim("w", 1, NOW + timedelta(seconds=seconds))
    assert (again.attempts, again.waits) == (0, 1)


def test_named_times_end_too(store: Store) -> None:
    """A server that says "soon" for ever is asked ever more seldom, and given up after a month."""
    claim, made, waits, now = claimed(store), steps(store), 0, NOW
    while (retry := made._retry(replace(claim, waits=waits), 0.0, now)) is not None:
        now, waits = retry.due, waits + 1
        assert waits < 2000
        if waits == 100:
            assert timedelta(hours=1) < now - NOW < timedelta(hours=2)
    assert now - NOW > timedelta(days=30)
    outcome: Outcome = {"ending": "postponed", "detail": "", "retry_after": 0.0}
    assert made.settle(claim.run, outcome) == "postponed"


def test_the_last_wait_parks_the_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.jobs.steps._MOST_WAITS", 3)
    claim = claimed(store)
    outcome: Outcome = {"ending": "postponed", "detail": "", "retry_after": 0.0}
    for ending in ("postponed", "postponed", "parked"):
        assert steps(store).settle(claim.run, outcome) == ending
        for one in store.backlog.claim("w", 1, NOW + timedelta(days=1)):
            claim = one


def test_settling_what_is_settled_changes_nothing(store: Store) -> None:
    claim = claimed(store)
    assert steps(store).settle(claim.run, {"ending": "published"}) == "published"
    assert steps(store).settle(claim.run, {"ending": "published"}) == "published"
    assert store.inbox.tallies() == {"published": 1}
    assert [run.ending for run in store.backlog.runs(9)] == [Ending.PUBLISHED]


def test_an_old_word_is_never_the_last(store: Store) -> None:
    """A run that found its branch elsewhere looks again at once, at whatever is there."""
    told = replace(JOB, head="a" * 40, before="b" * 40, changed=("README.md",))
    store.inbox.receive(Delivery(source="git", id="old", jobs=(told,)), NOW)
    outcome: Outcome = {"ending": "superseded", "detail": "It moved."}
    for attempt in range(4):
        (claim,) = store.backlog.claim("w", 1, NOW)
        assert (claim.job, claim.attempts) == (told if attempt == 0 else JOB, attempt)
        assert steps(store).settle(claim.run, outcome) == "superseded"
    (claim,) = store.backlog.claim("w", 1, NOW)
    assert steps(store).settle(claim.run, outcome) == "parked"
    assert store.inbox.waiting() == 0
    assert store.inbox.tallies() == {"superseded": 4, "parked": 1}


def test_what_superseded_it_is_next_and_keeps_what_was_told(store: Store) -> None:
    claim = claimed(store)
    newer = replace(JOB, head="c" * 40, before="b" * 40, changed=("Dockerfile",))
    store.inbox.receive(Delivery(source="git", id="newer", jobs=(newer,)), NOW)
    assert steps(store).settle(claim.run, {"ending": "superseded", "detail": ""}) == "superseded"
    (claim,) = store.backlog.claim("w", 1, NOW)
    assert (claim.job, claim.attempts) == (newer, 0)


def test_what_is_called_off_begins_no_further_step(store: Store) -> None:
    claim = claimed(store)
    assert store.backlog.cancel("acme/app", None, NOW).running == (claim.run,)
    unasked = steps(store, plan=raising_text, publish=raising(AssertionError()))
    for outcome in (unasked.plan(claim.run, encode_job(JOB)), unasked.publish(claim.run, "p1")):
        assert outcome["ending"] == "cancelled"
    assert unasked.settle(claim.run, outcome) == "cancelled"
    assert store.inbox.tallies() == {"cancelled": 1}
    assert store.inbox.waiting() == 0


@pytest.mark.parametrize(
    ("ending", "becomes"),
    [("postponed", "cancelled"), ("superseded", "cancelled"), ("published", "published")],
)
def test_a_step_that_goes_on_ends_as_it_ends_and_is_not_tried_again(
    store: Store, ending: str, becomes: str
) -> None:
    claim = claimed(store)
    store.backlog.cancel("acme/app", "main", NOW)
    assert steps(store).settle(claim.run, {"ending": ending, "detail": ""}) == becomes
    assert store.backlog.claim("w", 1, NOW + timedelta(days=1)) == ()


def test_a_push_after_the_cancellation_is_a_new_wish(store: Store) -> None:
    claim = claimed(store)
    store.backlog.cancel("acme/app", None, NOW)
    store.inbox.receive(Delivery(source="git", id="after", jobs=(JOB,)), NOW)
    assert steps(store).settle(claim.run, {"ending": "cancelled"}) == "cancelled"
    (after,) = store.backlog.claim("w", 1, NOW)
    assert not after.cancelled
    assert steps(store).plan(after.run, encode_job(JOB)) == {"proposal": "p1"}


def test_a_run_that_was_settled_behind_its_back_does_nothing_more(store: Store) -> None:
    claim = claimed(store)
    store.backlog.settle(claim.run, Ending.FAILED, "", NOW)
    assert steps(store, publish=raising(AssertionError())).publish(claim.run, "p1")["ending"] == "cancelled"
    assert store.inbox.tallies() == {"failed": 1}


class Holding:
    """An engine that gives a dead worker's runs back in two goes."""

    def __init__(self) -> None:
        self.left = {"dead": [1, 0]}
        self.asked: list[str] = []

    def recover(self, worker: str) -> int:
        self.asked.append(worker)
        return self.left[worker].pop(0)


def test_the_engine_says_one_line_for_each_outage(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    logger = logging.getLogger("dbos.for-tests")
    short = OneLine(lambda: now[0])
    logger.addFilter(short)
    try:
        for at in (0, 1, 100, 200, 500):
            now[0] = float(at)
            logger.error("Error in (psycopg.OperationalError) refused\n\t(Background: https://sqlalche.me/e)")
            logger.warning("Something else\n\tand more", exc_info=KeyError("secret"))
    finally:
        logger.removeFilter(short)
    outage = "the job engine has trouble with the database, and tries again until it answers"
    said = [one.getMessage() for one in caplog.records]
    assert [one for one in said if one != "Something else"] == [outage, outage]
    assert said.count("Something else") == 5
    assert all(one.exc_info is None for one in caplog.records)


@pytest.mark.parametrize("ends", [True, False])
def test_only_who_died_is_said_to_be_gone(store: Store, ends: bool) -> None:
    queue = Holding()
    reaper = Reaper(store.leases, queue, "alive", "1", Pace(lease=8 if ends else -60))  # type: ignore[arg-type] # as below
    store.leases.beat("dead", "1")
    if ends:
        store.leases.end("dead")
    with structlog.testing.capture_logs() as logged:
        reaper.tick()
    word = "forgot a worker that had ended" if ends else "ended the lease of a worker that is gone"
    assert [(one["event"], one["log_level"]) for one in logged] == [(word, "debug" if ends else "info")]
    assert queue.asked == ["dead"], "either may have left something"


def test_the_reaper_asks_until_nothing_is_left(store: Store) -> None:
    queue = Holding()
    reaper = Reaper(store.leases, queue, "alive", "1", Pace(lease=-60))  # type: ignore[arg-type] # only `recover` may be asked
    store.leases.beat("dead", "1")
    for _ in range(4):
        reaper.tick()
    assert queue.asked == ["dead", "dead"]
    assert store.leases.expired(-60) == ("alive",)
