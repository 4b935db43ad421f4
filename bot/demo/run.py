"""`moorline demo` and `moorline serve --demo`: a push becomes a proposal, offline, before your eyes.

The service is the real one, with a registry and git hosts of its own in this process and everything
else in a temporary folder.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.demo import repository
from bot.demo.hosts import Hosts, sample_images, sample_repositories
from bot.errors import MoorlineError
from bot.jobs.base import Work
from bot.logs import LogFormat, configure
from bot.model import Job
from bot.proposals.markdown import WORD_JOINER
from bot.service import Service, stopping
from bot.service_settings import Settings
from bot.settings import Lookups
from bot.store.base import StoredProposal
from bot.visible import visible

_PATIENCE = 60.0
"""Seconds in which even a slow machine has made the proposal."""


def demo() -> int:
    """Run the demo once and return the exit code."""
    began = time.monotonic()
    with _running(None, 0) as run:
        run.tell(whole=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # everything is done: nothing is left to interrupt
    if run.stop.is_set() and not run.told:
        return 130
    _say(f"\nThat took {time.monotonic() - began:.1f} seconds and left nothing behind.")
    _say("Next: `moorline scan .` and `moorline pin .` in a repository of yours.")
    return 0


def serve(host: str | None, port: int | None) -> int:
    """Run the demo, leave it on the page until told to stop, and return the exit code.

    Of the settings those alone count that say where to listen.  Raises `ConfigurationError`.
    """
    said = {name: os.environ[name] for name in ("MOORLINE_HOST", "MOORLINE_PORT") if os.environ.get(name)}
    listens = Settings.from_environ(said)
    with _running(host or listens.host, listens.port if port is None else port) as run:
        run.tell(whole=False)
        if run.told:
            _say(f"\nLook at it on {run.url} until you press Ctrl-C.")
            run.stop.wait()
        _say("\nStopped.")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return 0


class _Watched:
    """The real work, which tells when a run is through."""

    def __init__(self, work: Work, done: threading.Event) -> None:
        self._work = work
        self._done = done

    def plan(self, job: Job) -> str | None:
        proposal = None
        try:
            proposal = self._work.plan(job)
        finally:
            if proposal is None:
                self._done.set()
        return proposal

    def publish(self, proposal: str) -> None:
        try:
            self._work.publish(proposal)
        finally:
            self._done.set()


@dataclass(slots=True)
class _Run:
    service: Service
    hosts: Hosts
    folder: Path
    commit: str
    count: int
    secret: str
    url: str
    done: threading.Event
    stop: threading.Event
    told: bool = False

    def tell(self, *, whole: bool) -> None:
        """Push, wait, and print what comes of it; without `whole` the page has the proposal's text."""
        _say("Moorline: a push becomes a proposal. All of this happens on this machine, offline.\n")
        _step(1, "A registry and two git hosts", f"{self.hosts.url} in this process, with made-up content")
        _step(
            2,
            "A git repository",
            f"{self.count} files: a service with Dockerfiles, compose, GitLab CI, workflows",
        )
        _step(3, "Moorline's service", f"{self.url} with a SQLite file")
        try:
            status = self._push()
        except OSError:
            if self.stop.is_set():
                return  # told to stop before it began
            raise
        _step(4, "A push to `main`", f"commit {self.commit[:12]}; the signed hook was answered with {status}")
        deadline = time.monotonic() + _PATIENCE
        while not self.done.wait(0.1):
            if self.stop.is_set():
                return
            if time.monotonic() > deadline:
                raise MoorlineError("The demo's run did not end.", advice="Please report this.")
        made = self.service.store.proposals.recent(1)
        if not made or not made[0].commits:
            raise MoorlineError("The demo's run made no proposal.", advice="Please report this.")
        self._show(made[0], whole=whole)
        self.told = True

    def _push(self) -> int:
        """Send what a post-receive hook sends."""
        push = {
            "repository": str(self.folder),
            "ref": f"refs/heads/{repository.BRANCH}",
            "after": self.commit,
        }
        body = json.dumps({**push, "before": "0" * 40}).encode()
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        request = urllib.request.Request(  # noqa: S310 - our own server, on loopback
            f"{self.url}/webhooks/git",
            data=body,
            headers={
                "Content-Type": "application/json",
                "X-Moorline-Delivery": secrets.token_hex(16),
                "X-Moorline-Signature-256": f"sha256={signature}",
            },
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_PATIENCE) as answer:
            return int(answer.status)

    def _show(self, stored: StoredProposal, *, whole: bool) -> None:
        made = stored.proposal
        _step(5, "The branch", f"{made.branch} at {stored.commits[0][:12]}")
        _step(6, "The proposal", made.title)
        _say("")
        _show_diff(stored.diff)
        lines = made.body.splitlines()
        if whole:
            _say("\nWhat the reviewer reads:\n")
        else:
            start, end = _section(lines, "### Held back")
            lines = lines[start:end]
            _say("")
        for line in lines:
            _say(f"  {visible(line.replace(WORD_JOINER, ''), 2000)}".rstrip())


@contextmanager
def _running(host: str | None, port: int | None) -> Iterator[_Run]:
    """Yield the demo with everything running; take it all down again at the end."""
    configure(LogFormat.CONSOLE, level=logging.CRITICAL)
    secret = secrets.token_hex(32)
    done = threading.Event()
    with (
        stopping() as stop,  # outermost: also while everything is taken down again
        _folder() as temporary,
        Hosts(sample_images(), sample_repositories()) as hosts,
    ):
        folder = Path(temporary) / "parcel.git"
        commit, count = repository.create(folder)
        settings = Settings.model_validate(
            {
                "database_url": f"sqlite:///{temporary}/moorline.db",
                "git_webhook_secret": (secret,),
                "git_roots": (temporary,),
                "pages": True,
            }
        )
        lookups = Lookups(
            registry_mirrors={"*": f"{hosts.url}/{{registry}}"},
            git_mirrors={"github.com": hosts.url, "gitlab.com": hosts.url},
            docker_config=Path(temporary) / "none",  # nobody's logins are any business of the demo
        )
        with (
            Service(settings, lookups, wrap=lambda work: _Watched(work, done)) as service,
            _served(service, stop, host, port) as url,
        ):
            yield _Run(service, hosts, folder, commit, count, secret, url, done, stop)


@contextmanager
def _folder() -> Iterator[str]:
    """Yield a folder that is gone afterwards, and with it whatever stands in it."""
    # Everybody who writes there has ended by then; one who did not must not end the demo in a trace.
    with tempfile.TemporaryDirectory(prefix="moorline-demo-", ignore_cleanup_errors=True) as folder:
        yield folder
    if Path(folder).exists():
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _served(service: Service, stop: threading.Event, host: str | None, port: int | None) -> Iterator[str]:
    """Yield the URL of the service, which runs in a thread until the end."""
    ready = threading.Event()
    urls: list[str] = []
    failed: list[BaseException] = []

    def started(url: str) -> None:
        urls.append(url)
        ready.set()

    def run() -> None:
        try:
            service.receive(stop, host=host, port=port, started=started)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            failed.append(error)
        finally:
            ready.set()
            stop.set()

    thread = threading.Thread(target=run, name="demo-service")
    thread.start()
    try:
        ready.wait()
        if urls:
            yield urls[0]
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def _say(text: str) -> None:
    print(text, flush=True)


def _step(number: int, what: str, detail: str) -> None:
    _say(f"{number}. {what:<30} {detail}")


_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def _section(lines: list[str], heading: str) -> tuple[int, int]:
    """Return where a section of the proposal's text begins and ends."""
    starts = [number for number, line in enumerate(lines) if line.startswith(heading)]
    if not starts:
        return 0, 0
    ends = [
        number for number in range(starts[0], len(lines)) if lines[number].startswith(("<details>", "---"))
    ]
    return starts[0], ends[0] if ends else len(lines)


def _show_diff(diff: str) -> None:
    lines = [visible(line, 2000) for line in diff.splitlines()]
    if not sys.stdout.isatty():
        for line in lines:
            _say(f"  {line}".rstrip())
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for line in lines:
        head = line.startswith(("--- ", "+++ "))
        console.print(Text(f"  {line}", style="bold" if head else _COLOURS.get(line[:1], "")), soft_wrap=True)
