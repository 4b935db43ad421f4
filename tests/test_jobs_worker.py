"""The worker on the real engine: in this process, and in others that are killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import databases
import pytest
import sqlalchemy
from dbos._sys_db import SystemDatabase
from waiting import until

from bot.errors import ConfigurationError, SupersededError, TransientError
from bot.jobs.base import WORKFLOW_VERSION, Pace
from bot.jobs.worker import Worker
from bot.model import Job, Trigger
from bot.store.base import Delivery, StoreUnavailableError
from bot.store.sql import Store

HERE = Path(__file__).parent
QUICK = Pace(poll=0.05, beat=0.2, lease=1.0, reconcile=0.5, backoff=0.05)
_ids = iter(range(10**9))


def push(store: Store, repository: str, ref: str = "main", trigger: Trigger = Trigger.PUSH) -> None:
    job = Job(forge="git", repository=repository, ref=ref, trigger=trigger)
    delivery = Delivery(source="git", id=str(next(_ids)), jobs=(job,))
    store.inbox.receive(delivery, datetime.now(UTC))


class Acted:
    """Work that calls back and remembers; a repository's name finds its act."""

    def __init__(self, acts: dict[str, Callable[[], None]] | None = None) -> None:
        self.acts = acts or {}
        self.planned: list[str] = []
        self.published: list[str] = []
        self.overlaps = 0
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()

    def plan(self, job: Job) -> str | None:
        with self._lock:
            self.planned.append(f"{job.repository} {job.ref}")
            self._running[job.repository] += 1
            self.overlaps += self._running[job.repository] > 1
        try:
            self.acts.get(job.repository, lambda: None)()
        finally:
            with self._lock:
                self._running[job.repository] -= 1
        return None if job.repository == "nothing" else f"proposal of {job.repository}"

    def publish(self, proposal: str) -> None:
        self.published.append(proposal.removeprefix("proposal of "))


@contextmanager
def working(worker: Worker, *, drain: float = 10) -> Iterator[list[bool]]:
    """Run a worker in a thread; yields where its answer will be."""
    stop, answers = threading.Event(), []

    def run() -> None:
        answers.append(worker.run(stop, drain=drain))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
        assert answers, "the worker died"


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that a worker ran on before: the engine takes a second to notice a new queue."""
    path = tmp_path_factory.mktemp("used") / "moorline.db"
    with Store(f"sqlite:///{path}") as store, working(worker := Worker(store, Acted(), QUICK)):
        until(worker.idle_seconds)
    with Store(f"sqlite:///{path}") as store:
        store.leases.drop(worker.name)
    return path


@pytest.fixture
def sqlite(used: Path, tmp_path: Path) -> str:
    shutil.copy(used, tmp_path / "x.db")
    return f"sqlite:///{tmp_path / 'x.db'}"


@pytest.fixture(params=databases.BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return databases.url(request.param, tmp_path)


def ends(store: Store, count: int) -> bool:
    return sum(store.inbox.tallies().values()) >= count


def test_runs_end_as_they_should(url: str) -> None:
    """Every ending, coalescing, no overlap within a repository, and what the engine stored."""
    limited = iter([TransientError("Limited.", retry_after=0.5)])
    secret = "hunter2-in-the-text"

    def fail(error: Exception | None) -> None:
        if error is not None:
            raise error

    acts: dict[str, Callable[[], None]] = {
        "limited": lambda: fail(next(limited, None)),
        "away": lambda: fail(TransientError("Away.")),
        "moved": lambda: fail(SupersededError("It moved.")),
        "broken": lambda: fail(ValueError(secret)),
    }
    work = Acted(acts)
    with Store(url) as store:
        for repository in ("plain", "nothing", "limited", "away", "moved", "broken"):
            push(store, repository)
        for ref in ("a", "b", "c"):
            push(store, "branches", ref)
        push(store, "plain")  # before its run: one and the same
        worker = Worker(store, work, QUICK)
        with working(worker) as answers:
            until(lambda: ends(store, 8 + 1 + 5 + 4))
        assert answers == [True]
        tallies = store.inbox.tallies()
        assert tallies == {
            "published": 1 + 1 + 3,  # plain, limited, three branches
            "nothing": 1,
            "superseded": 4,
            "failed": 1,
            "postponed": 1 + 4,
            "parked": 1 + 1,
        }
        assert Counter(work.published) == {"plain": 1, "limited": 1, "branches": 3}
        assert work.planned.count("away main") == 5
        assert work.overlaps == 0
        assert store.inbox.waiting() == 0
        assert store.backlog.claimed() == ()
        assert store.leases.expired(60) == (worker.name,)  # given back
        details = {run.job.repository: run.detail for run in store.backlog.runs(40)}
        assert details["broken"] == "Unexpected ValueError in plan; see the log."
    _engine_stored_only_json(url, secret)


def _engine_stored_only_json(url: str, secret: str) -> None:
    sqlite = url.startswith("sqlite")
    schema = "" if sqlite else "dbos."
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        with engine.connect() as connection:
            flows = connection.exec_driver_sql(
                f"SELECT inputs, output, error, serialization FROM {schema}workflow_status"
            ).all()
            steps = connection.exec_driver_sql(
                f"SELECT output, error, serialization FROM {schema}operation_outputs"
            ).all()
    finally:
        engine.dispose()
    assert len(flows) == 18
    assert len(steps) >= 2 * 18
    for *values, serialization in [*flows, *steps]:
        assert serialization == "portable_json"
        for value in values:
            assert secret not in (value or "")
            json.loads(value or "null")


def test_a_push_during_a_run_makes_one_more_and_holds_nobody_up(sqlite: str) -> None:
    hold, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert hold.wait(20)

    work = Acted({"slow": wait})
    with Store(sqlite) as store:
        worker = Worker(store, work, replace(QUICK, concurrency=2))
        assert worker.idle_seconds() is None
        with working(worker):
            push(store, "slow")
            worker.wake()
            assert begun.wait(20)
            assert worker.active == 1
            for _ in range(3):
                push(store, "slow")
                push(store, "slow", "other")
            for number in range(5):
                push(store, f"quick{number}", trigger=Trigger.SWEEP)
            until(lambda: ends(store, 5))
            assert work.planned.count("slow main") == 1
            idle = worker.idle_seconds()
            assert idle is not None
            assert idle < 10
            hold.set()
            until(lambda: ends(store, 8))
        assert Counter(work.planned)["slow main"] == 2
        assert Counter(work.planned)["slow other"] == 1
        assert work.overlaps == 0


def test_what_was_claimed_and_never_handed_over_is_done(sqlite: str) -> None:
    with Store(sqlite) as store:
        push(store, "app")
        assert store.backlog.claim("died right then", 1, datetime.now(UTC))
        with working(Worker(store, work := Acted(), QUICK)):
            until(lambda: ends(store, 1))
        assert work.published == ["app"]


def test_what_another_version_left_is_done_anew(sqlite: str) -> None:
    """Runs of a version that no living worker has would stay in the engine for ever."""
    with Store(sqlite) as store, left_running(store, "0") as old:
        new = Worker(store, work := Acted(), QUICK)
        with working(new):
            until(lambda: ends(store, 1))
            until(lambda: old.name not in store.leases.expired(-60))
        assert work.planned == ["app main"]
        assert store.inbox.tallies() == {"published": 1}


@contextmanager
def left_running(store: Store, version: str) -> Iterator[Worker]:
    """Yield a worker that stopped in the middle of planning `app`, its lease kept."""
    hold, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert hold.wait(20)

    worker = Worker(store, Acted({"app": wait}), QUICK, version=version)
    push(store, "app")
    with working(worker, drain=0) as answers:
        assert begun.wait(20)
    assert answers == [False]
    assert store.leases.expired(-60) == (worker.name,)
    try:
        yield worker
    finally:
        hold.set()
        until(lambda: worker.active == 0)


def test_finished_runs_are_forgotten_in_time(sqlite: str, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    later = timedelta(0)
    with Store(sqlite) as store:
        worker = Worker(store, Acted(), QUICK, clock=lambda: datetime.now(UTC) + later)
        with working(worker):
            push(store, "app")
            until(lambda: ends(store, 1))
            until(lambda: _ended(path))
            worker._forget()
            assert _rows(path, "workflow_status") == 1
            later = timedelta(days=31)
            worker._forget()
            assert _rows(path, "workflow_status") == 0
            assert _rows(path, "operation_outputs") == 0
            assert _rows(path, "deliveries") == 0


def _rows(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        connection.close()


def _ended(path: Path) -> bool:
    return _rows(path, "workflow_status WHERE status = 'SUCCESS'") == 1


def test_the_next_start_takes_up_what_stopping_cut_off(sqlite: str) -> None:
    with Store(sqlite) as store, left_running(store, WORKFLOW_VERSION):
        with working(Worker(store, work := Acted(), QUICK)):
            until(lambda: ends(store, 1))
        assert work.published == ["app"]


def test_what_is_called_off_is_not_published(sqlite: str) -> None:
    """By another process, which has no engine: the worker obeys before its next step."""
    hold, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert hold.wait(20)

    with Store(sqlite) as store, working(Worker(store, work := Acted({"slow": wait}), QUICK)):
        push(store, "slow")
        assert begun.wait(20)
        push(store, "slow")  # behind it
        push(store, "slow", "dev")
        with Store(sqlite) as other:
            off = other.backlog.cancel("slow", None, datetime.now(UTC))
        assert (off.waiting, len(off.running)) == (1, 1)
        hold.set()
        until(lambda: ends(store, 2))
        push(store, "quick")
        until(lambda: ends(store, 3))
    assert work.published == ["quick"]
    with Store(sqlite) as store:
        assert store.inbox.tallies() == {"cancelled": 2, "published": 1}
        assert store.backlog.waits(9) == ()


def test_the_urgent_goes_first_whatever_waits(sqlite: str) -> None:
    """Across repositories, too: the engine orders within one only."""
    hold, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert hold.wait(20)

    work = Acted({"slow": wait})
    with Store(sqlite) as store, working(Worker(store, work, replace(QUICK, concurrency=1))):
        push(store, "slow")
        assert begun.wait(20)
        for number in range(5):
            push(store, f"a{number}", trigger=Trigger.SWEEP)
        push(store, "pushed")
        push(store, "queued", trigger=Trigger.MERGE_QUEUE)
        hold.set()
        until(lambda: ends(store, 8))
    assert work.planned[1:3] == ["queued main", "pushed main"]


def test_the_audit_log_s_head_is_logged_when_it_grows(
    sqlite: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bot.jobs.worker._AUDIT_INTERVAL", 0.05)
    logged: list[str] = []

    def said(digest: str) -> bool:
        logged.append(capsys.readouterr().out)
        return digest in "".join(logged)

    with Store(sqlite) as store, working(Worker(store, Acted(), QUICK)):
        until(lambda: said("0" * 64))
        for number in range(2):
            head = store.audit.add("operator", "x", str(number), {}, datetime.now(UTC)).hash
            until(partial(said, head))
    lines = [line for line in "".join(logged).splitlines() if "audit log" in line]
    assert len(lines) == 3


def test_an_outage_is_logged_once_and_so_is_its_end(
    sqlite: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = iter([StoreUnavailableError("It is full.")] * 5 + [StoreUnavailableError("It is away.")] * 5)
    with Store(sqlite) as store:
        worker = Worker(store, Acted(), QUICK)
        dispatch = worker.dispatch

        def stumbling() -> None:
            error = next(failures, None)
            if error is not None:
                raise error
            dispatch()

        monkeypatch.setattr(worker, "dispatch", stumbling)
        with working(worker):
            until(worker.idle_seconds)
    logged = capsys.readouterr().out.splitlines()
    said = [line for line in logged if "look at the backlog" in line or "looked at again" in line]
    assert [("full" in line, "away" in line, "again" in line) for line in said] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_nobody_writes_once_it_has_stopped(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine writes its own word on a run after ours, and does not wait for that as it stops."""
    writing, stopped = threading.Event(), threading.Event()
    late: list[bool] = []
    write = SystemDatabase.update_workflow_outcome

    def slowly(*said: Any, **named: Any) -> Any:
        writing.set()
        late.append(stopped.wait(0.5))
        return write(*said, **named)

    monkeypatch.setattr(SystemDatabase, "update_workflow_outcome", slowly)
    with Store(sqlite) as store:
        push(store, "app")
        with working(Worker(store, Acted(), QUICK)) as answers:
            assert writing.wait(20)
        stopped.set()
        assert answers == [True]
    assert late == [False]
    assert not [one for one in threading.enumerate() if one.name.startswith("dbos-executor")]


def test_no_two_workers_have_one_name(sqlite: str) -> None:
    with Store(sqlite) as store:
        assert len({Worker(store, Acted(), QUICK).name for _ in range(50)}) == 50


def test_a_database_that_is_away_at_the_start_is_said_at_once(sqlite: str) -> None:
    with Store(sqlite) as store:
        away = AwayFrom(store, "postgresql://nobody:hunter2@127.0.0.1:1/x")
        worker, stop = Worker(away, Acted(), QUICK), threading.Event()
        with ThreadPoolExecutor(1) as pool, pytest.raises(StoreUnavailableError) as caught:
            pool.submit(worker.run, stop).result(timeout=30)
    assert "hunter2" not in str(caught.value)


class AwayFrom:
    """A store whose engine's part is somewhere else."""

    def __init__(self, store: Store, url: str) -> None:
        self.url = url
        self.backlog = store.backlog
        self.leases = store.leases
        self.audit = store.audit


def test_an_engine_that_would_report_to_a_service_is_refused(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBOS__CLOUD", "true")
    with (
        Store(sqlite) as store,
        pytest.raises(ConfigurationError, match="DBOS__CLOUD"),
    ):
        Worker(store, Acted())


# --- in processes of their own ------------------------------------------------------------


class Processes:
    """Workers that can be killed, and what they wrote."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, pace: Pace = QUICK, **options: object) -> subprocess.Popen[bytes]:
        options = {"name": name, "pace": asdict(pace), **options}
        command = [sys.executable, str(HERE / "worker_process.py"), self.url, str(self.folder / "events")]
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
        log = (self.folder / f"{name}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [*command, json.dumps(options)], env=environment, cwd=self.folder, stdout=log, stderr=log
            )
        self.started.append(process)
        return process

    def hold(self, step: str, held: bool) -> None:
        path = self.folder / f"hold-{step}"
        if held:
            path.touch()
        else:
            path.unlink()

    def events(self) -> list[str]:
        path = self.folder / "events"
        return path.read_text().splitlines() if path.exists() else []

    def count(self, *words: str) -> int:
        return sum(all(word in line.split() for word in words) for line in self.events())


@pytest.fixture
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Processes]:
    backend = getattr(request, "param", "sqlite")
    url = request.getfixturevalue("sqlite") if backend == "sqlite" else databases.url(backend, tmp_path)
    running = Processes(url, tmp_path)
    yield running
    for process in running.started:
        process.kill()
        process.wait(10)


@pytest.mark.parametrize(
    ("processes", "step", "before"),
    [("sqlite", "plan", False), ("sqlite", "publish", True), ("postgres", "publish", True)],
    indirect=["processes"],
)
def test_a_killed_worker_s_job_is_handled_by_the_next(
    processes: Processes, step: str, *, before: bool
) -> None:
    """Whether the next one is started then, or was there before and would never look for it."""
    with Store(processes.url) as store:
        processes.hold(step, held=True)
        push(store, "app")
        first = processes.start("first")
        until(lambda: processes.count("first", step, "begun"))
        second = processes.start("second") if before else None
        push(store, "app", "queued")
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        processes.hold(step, held=False)
        second = second or processes.start("second")
        until(lambda: ends(store, 2))
        second.terminate()
        assert second.wait(20) == 0
        assert store.inbox.tallies() == {"published": 2}
    # Taken up at the step that was interrupted: what was done before is not done again.
    events = [line.split()[1:] for line in processes.events()]
    plan, publish = ["plan", "app"], ["publish", "app"]
    whole = [[*plan, "begun"], [*plan, "done"], [*publish, "begun"], [*publish, "done"]]
    # The same repository's next job waits for it, even so.
    assert events == [
        *whole[: whole.index([step, "app", "begun"]) + 1],
        *whole[(2 if step == "publish" else 0) :],
        *whole,
    ]


def test_a_frozen_worker_is_replaced_and_does_nothing_more(processes: Processes) -> None:
    with Store(processes.url) as store:
        processes.hold("plan", held=True)
        push(store, "app")
        frozen = processes.start("frozen")
        until(lambda: processes.count("frozen", "plan", "begun"))
        frozen.send_signal(signal.SIGSTOP)
        other = processes.start("other")
        until(lambda: processes.count("other", "plan", "begun"))
        processes.hold("plan", held=False)
        frozen.send_signal(signal.SIGCONT)
        until(lambda: processes.count("frozen", "plan", "done"))
        until(lambda: ends(store, 1))
        for process in (frozen, other):
            process.terminate()
        assert frozen.wait(20) == 0
        assert other.wait(20) == 0
        assert store.inbox.tallies() == {"published": 1}
    assert processes.count("publish", "done") == 1


def test_a_run_that_kills_its_workers_is_parked(processes: Processes) -> None:
    with Store(processes.url) as store:
        push(store, "poison")
        push(store, "plain")
        pace = replace(QUICK, attempts=2, concurrency=1)
        for number in range(2):
            dying = processes.start(f"dying{number}", dies="poison", pace=pace)
            assert dying.wait(20) == 9
        assert processes.count("dying0", "poison") == 1
        last = processes.start("last", pace=pace)
        until(lambda: ends(store, 2))
        last.terminate()
        assert last.wait(20) == 0
        ended = {run.job.repository: run.ending.value for run in store.backlog.runs(9)}
        assert ended == {"poison": "parked", "plain": "published"}
    assert processes.count("last", "poison") == 0


def test_sigterm_lets_the_running_job_end(processes: Processes) -> None:
    with Store(processes.url) as store:
        processes.hold("plan", held=True)
        push(store, "app")
        worker = processes.start("w")
        until(lambda: processes.count("plan", "begun"))
        worker.terminate()
        push(store, "later")
        processes.hold("plan", held=False)
        assert worker.wait(20) == 0
        assert processes.count("app", "publish", "done") == 1
        assert processes.count("later") == 0
        assert store.inbox.waiting() == 1


def test_two_workers_on_one_file_share_the_work_and_never_overlap(processes: Processes) -> None:
    with Store(processes.url) as store:
        for number in range(60):
            push(store, f"r{number % 12}", f"b{number}")
        pace = replace(QUICK, concurrency=3)
        workers = [processes.start(name, pace) for name in ("one", "two")]
        until(lambda: ends(store, 60), seconds=40)
        for worker in workers:
            worker.terminate()
        assert [worker.wait(20) for worker in workers] == [0, 0]
        assert store.inbox.tallies() == {"published": 60}
    events = [line.split() for line in processes.events()]
    assert {name for name, *_ in events} == {"one", "two"}
    running: dict[str, str] = {}
    for name, step, repository, what in events:
        if what == "begun":
            assert repository not in running, f"{repository} overlaps"
            running[repository] = f"{name} {step}"
        else:
            assert running.pop(repository) == f"{name} {step}"
    assert processes.count("plan", "begun") == processes.count("publish", "done") == 60
