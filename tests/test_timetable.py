"""What is wanted by the clock: at a start, at each tick once, and by settings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sweeping import Installation
from test_jobs_worker import QUICK, Acted
from test_runs import FLOATING, NAME
from test_store_sweeps import put_back
from test_sweeps import install
from waiting import until

from bot import cron
from bot.errors import ConfigurationError
from bot.jobs.worker import Worker
from bot.model import Trigger
from bot.runs.timetable import BY_CLOCK, Timetable
from bot.service_settings import Settings
from bot.store.sql import Store

YEARLY = cron.parse("0 0 1 1 *")
FORGES = {"github": True, "git": False}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Installation]:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        yield install(store)


def wanted(store: Store) -> list[str]:
    """Return what waits, but for the ids of sweeps."""
    return sorted(f"{one.job.forge} {one.job.ref.partition('/')[0]}" for one in store.backlog.waits(20))


def test_at_a_start_everybody_is_asked_what_was_missed(world: Installation) -> None:
    timetable = Timetable(world.store, FORGES, sweep=YEARLY, catch_up=YEARLY, clock=lambda: world.now)
    timetable()
    assert wanted(world.store) == ["github catch-up"]
    world.work()
    timetable()
    assert wanted(world.store) == []
    Timetable(world.store, FORGES, sweep=YEARLY, catch_up=YEARLY)()
    assert wanted(world.store) == ["github catch-up"], "another start"


def test_what_is_due_is_wanted_once_by_whichever_worker(world: Installation) -> None:
    workers = [Timetable(world.store, FORGES, sweep=YEARLY, catch_up=YEARLY) for _ in range(3)]
    for one in workers:
        one()
    world.work()
    for name in ("sweep github", "sweep git", "catch-up github"):
        put_back(world.store, name, days=400)
    for one in workers * 2:
        one()
    assert wanted(world.store) == ["git sweep", "github catch-up", "github sweep"]
    sweeps = world.store.sweeps.last(BY_CLOCK, 10)
    assert sorted((one.forge, one.trigger) for one in sweeps) == [
        ("git", Trigger.SCHEDULED),
        ("github", Trigger.SCHEDULED),
    ]


def test_what_is_off_is_never_done(world: Installation) -> None:
    timetable = Timetable(world.store, FORGES, sweep=None, catch_up=None)
    timetable()
    assert wanted(world.store) == []
    assert world.store.schedules.last("sweep github") is None


def test_a_sweep_of_the_clock_is_worked_through(world: Installation) -> None:
    world.forge.create(NAME, FLOATING)
    timetable = Timetable(world.store, {"github": True}, sweep=YEARLY, catch_up=None, clock=lambda: world.now)
    timetable()
    put_back(world.store, "sweep github", days=400)
    world.now = datetime.now(UTC)
    timetable()
    world.work()
    [sweep] = world.store.sweeps.last(BY_CLOCK, 5)
    assert world.summary(sweep) == {"proposed": 1}


def test_a_worker_does_its_chores_and_survives_their_trouble(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        done = threading.Event()
        timetable = Timetable(store, {"github": True}, sweep=None, catch_up=YEARLY)

        def chores() -> None:
            timetable()
            done.set()

        work = Acted()
        worker = Worker(store, work, QUICK, chores=chores)
        stop = threading.Event()
        thread = threading.Thread(target=worker.run, args=(stop,), kwargs={"drain": 5.0})
        thread.start()
        try:
            assert done.wait(20)
            until(lambda: work.planned == [" catch-up"])
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize(
    ("text", "expected"), [("off", None), ("daily", "daily"), (" 5 4 * * 1 ", "5 4 * * 1")]
)
def test_schedules_of_the_settings(text: str, expected: str | None) -> None:
    settings = Settings.from_environ({"MOORLINE_SWEEP_SCHEDULE": text, "MOORLINE_CATCH_UP_SCHEDULE": text})
    assert (settings.sweeps and str(settings.sweeps)) == expected
    assert (settings.catches_up and str(settings.catches_up)) == expected


@pytest.mark.parametrize("text", ["hourly", "* * * *", "61 * * * *", "never"])
def test_a_schedule_that_means_nothing_is_said(text: str) -> None:
    with pytest.raises(ConfigurationError, match="MOORLINE_SWEEP_SCHEDULE"):
        Settings.from_environ({"MOORLINE_SWEEP_SCHEDULE": text})


def test_unless_told_otherwise_it_is_daily_and_hourly() -> None:
    settings = Settings.from_environ({})
    assert settings.sweeps is not None
    assert settings.catches_up is not None
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert settings.sweeps.next(noon) - noon < timedelta(days=1)
    assert settings.catches_up.next(noon) - noon < timedelta(hours=1)
