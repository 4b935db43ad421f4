"""The service: receiver and worker on one database, in one process or in several."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, Self

import structlog

from bot import logs, wiring
from bot.errors import ConfigurationError
from bot.forges.base import Missed
from bot.jobs.base import Pace, Work
from bot.model import Job, Trigger
from bot.pipeline import Ground, Services
from bot.runs import Manners, Runs, Served
from bot.runs.errands import ForgeErrands
from bot.runs.timetable import Timetable
from bot.service_settings import Settings
from bot.settings import Lookups, unknown, variables
from bot.store.base import Delivery
from bot.store.sql import Store
from webhooks import create_app
from webhooks.deliveries import READERS, Contexts, deliver
from webhooks.events import EventError
from webhooks.server import listen
from webhooks.server import serve as serve_http
from webhooks.site import Site

if TYPE_CHECKING:
    from bot.jobs.worker import Worker

_log = structlog.get_logger(__name__)


def configured(file: Path | None) -> bool:
    """Return whether any forge may send something; raises `ConfigurationError`."""
    return Settings.from_environ(variables(os.environ, file)).receives


def serve(file: Path | None, *, host: str | None = None, port: int | None = None, worker: bool = True) -> int:
    """Receive, and unless told otherwise work, until a signal says stop; return the exit code."""
    settings, lookups = read(file)
    settings.check_whole(receives=True, works=worker)
    if not settings.receives:
        _log.warning(
            "no forge may send anything: set MOORLINE_GITHUB_WEBHOOK_SECRET, MOORLINE_GITLAB_SIGNING_TOKEN or "
            "MOORLINE_GIT_WEBHOOK_SECRET, and what docs/settings.md names beside it; or try `moorline demo`"
        )
    with Service(settings, lookups) as service, stopping() as stop:
        drained = service.receive(stop, host=host, port=port, worker=worker)
    return 0 if drained else _cut_off()


def work(file: Path | None) -> int:
    """Work on what was received until a signal says stop; return the exit code."""
    settings, lookups = read(file)
    settings.check_whole(receives=False, works=True)
    if not settings.works:
        raise ConfigurationError(
            "no forge is configured, so that there is nothing to work on",
            key="MOORLINE_GITHUB_APP_ID, MOORLINE_GITLAB_TOKEN, MOORLINE_GIT_REPOSITORIES or MOORLINE_GIT_ROOTS",
            expected="one of them",
        )
    with Service(settings, lookups) as service, stopping() as stop:
        drained = service.worker().run(stop, drain=settings.drain_seconds)
    return 0 if drained else _cut_off()


def _cut_off() -> NoReturn:
    """End at once: a step that did not end in time would keep the process; another start recovers it."""
    _log.warning("stopped before everything ended; the next start goes on with it")
    logging.shutdown()
    os._exit(1)


def read(file: Path | None, *, level: int = logging.INFO) -> tuple[Settings, Lookups]:
    """Return what the settings say, and send the log where they say.

    Raises `ConfigurationError`.
    """
    said = variables(os.environ, file)
    settings = Settings.from_environ(said)
    logs.configure(settings.log_format, secrets=settings.secrets(), level=level)
    for sentence in unknown(os.environ):
        _log.warning(sentence)
    lookups = Lookups.from_environ(said)
    wiring.policy(lookups)  # a broken one is said at the start, not at the first push
    for root in settings.git_roots:
        if not Path(root).is_dir():
            raise ConfigurationError(f"there is no folder {root}", key="MOORLINE_GIT_ROOTS")
    return settings, lookups


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set; a second signal ends the process at once."""
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            _log.warning("cut off; the next start goes on with it")
            raise KeyboardInterrupt
        _log.info("stopping", signal=signal.Signals(number).name)
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Service:
    """The parts of the service, opened together and closed together."""

    def __init__(
        self,
        settings: Settings,
        lookups: Lookups,
        *,
        ground: Callable[[Job, Lookups], Ground] = wiring.job_ground,
        wrap: Callable[[Work], Work] = lambda work: work,
    ) -> None:
        """Raise `StoreError` where the database cannot be used, `ConfigurationError` for settings."""
        self.settings = settings
        self._stack = ExitStack()
        with ExitStack() as opening:
            self.store = opening.enter_context(Store(settings.database_url.get_secret_value()))
            network = opening.enter_context(wiring.Network(lookups))

            def services(job: Job, *, trusted: bool = True) -> Services:
                base = ground(job, lookups)
                swept = job.trigger in (Trigger.SWEEP, Trigger.SCHEDULED)
                ledger = self.store.ledger(wiring.scope(base, trusted=trusted))
                return network.services(base, ledger=ledger, trusted=trusted, swept=swept)

            def identity(forge: str, name: str) -> str:
                known = self.store.repositories.get(forge, name)
                return known.repository.id if known is not None and not known.gone else ""

            self.forges = wiring.forges(settings, lookups, network, identity)
            self.served = served = Served(owners=settings.owners, forks=settings.forks)
            self.services = services
            self._contexts = Contexts(
                self.store.accounts.of, owners=settings.owners, app=settings.github_app_id
            )
            addresses = {"git": settings.git_repositories}
            errands = ForgeErrands(self.store, served, self.read_missed, addresses=addresses)
            manners = Manners(
                answers_per_hour=settings.answers_per_hour,
                reviews_per_hour=settings.reviews_per_hour,
                overrides=settings.break_glass,
                sweeps=settings.sweeps,
            )
            runs = Runs(self.store, self.forges, services, served=served, errands=errands, manners=manners)
            self._work = wrap(runs)
            self._gave_up = runs.give_up
            self._stack = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def worker(self, *, timetable: bool = True) -> Worker:
        """Return a worker; the engine comes with it, so that a process that only receives has none.

        With a timetable it also wants what is due by the clock.
        """
        from bot.jobs.worker import Worker

        pace = Pace(concurrency=self.settings.concurrency, retention=self.settings.retention_days * 86400)
        chores = self._timetable() if timetable else lambda: None
        return Worker(self.store, self._work, pace, chores=chores, gave_up=self._gave_up)

    def _timetable(self) -> Timetable:
        forges = {name: forge.hosting is not None for name, forge in self.forges.items()}
        settings = self.settings
        return Timetable(self.store, forges, sweep=settings.sweeps, catch_up=settings.catches_up)

    def read_missed(self, forge: str, one: Missed) -> Delivery | None:
        """Return what a delivery wants that did not reach us; the forge itself says that it sent it."""
        if forge not in READERS:
            return None
        try:
            found = deliver(forge, one.headers, one.body, self._contexts(forge))
        except EventError as error:
            _log.warning("cannot read what was not delivered", forge=forge, problem=str(error))
            return None
        return found if isinstance(found, Delivery) else None

    def receive(
        self,
        stop: threading.Event,
        *,
        host: str | None = None,
        port: int | None = None,
        worker: bool = True,
        started: Callable[[str], None] | None = None,
    ) -> bool:
        """Serve until `stop` is set; with `worker`, work as well, and return whether all work ended.

        Raises `UsageError` where the address cannot be listened on, and what the worker raised.
        """
        # First of all: a second `serve` must not work beside the first, and then find the port taken.
        listening = listen(host or self.settings.host, self.settings.port if port is None else port)
        with closing(listening):
            working = self.worker() if worker else None
            app = create_app(
                inbox=self.store.inbox,
                proposals=self.store.proposals,
                backlog=self.store.backlog,
                audit=self.store.audit,
                webhooks=self.store.webhooks,
                site=Site.of(self.settings),
                accounts=self.store.accounts.of,
                worker=working.idle_seconds if working else None,
                stored=working.wake if working else lambda: None,
            )
            ended: list[bool] = []
            with self._working(working, stop, ended) if working else ExitStack():
                serve_http(app, listening, stop, started=started)
        return all(ended)

    @contextmanager
    def _working(self, worker: Worker, stop: threading.Event, ended: list[bool]) -> Iterator[None]:
        """Work in a thread meanwhile; say at the end whether everything that was begun ended."""
        failed: list[BaseException] = []

        def work() -> None:
            try:
                ended.append(worker.run(stop, drain=self.settings.drain_seconds))
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                failed.append(error)
            finally:
                stop.set()

        thread = threading.Thread(target=work, name="worker")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if failed:
            raise failed[0]
