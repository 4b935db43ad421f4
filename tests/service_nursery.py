"""Processes of the real service that can be killed: forked from one that has imported everything already.

The nursery reads one JSON object a line: what the process is (`worker` or `web`), its environment, its pace,
and where it is to stand still.  It answers with the new process's id.  A process that stands still says so
in its events file and waits to be killed.  Run as a program it is the nursery; imported, it drives one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

from waiting import until

STAGES = (
    "before-plan",
    "after-inspect",
    "after-store",
    "before-publish",
    "after-commit",
    "after-ref",
    "after-labels",
    "before-settle",
)
"""Where a worker can be made to stand still; what is in a repository's name is where it does."""


# --- the test's side ----------------------------------------------------------------------


@dataclass(slots=True)
class Child:
    """A process of the service."""

    pid: int
    events: Path

    def said(self) -> list[str]:
        """Return what the process said so far: where it stands still, and its address."""
        return self.events.read_text().splitlines() if self.events.exists() else []

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def end(self, number: int = signal.SIGKILL) -> None:
        """Send a signal and wait until the process is gone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        until(lambda: not self.runs)


@dataclass(slots=True)
class Nursery:
    """Makes processes."""

    process: subprocess.Popen[str]
    folder: Path
    children: list[Child] = field(default_factory=list)

    def make(
        self,
        role: str,
        environ: Mapping[str, str],
        *,
        pace: Mapping[str, float] | None = None,
        holds: Sequence[str] = (),
    ) -> Child:
        """Return a new process, once it works or listens; it stands still at the stages of `holds`."""
        events = self.folder / f"events-{len(self.children)}"
        wanted = {
            "role": role,
            "environ": dict(environ),
            "pace": dict(pace or {}),
            "holds": list(holds),
            "events": str(events),
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        made = Child(int(self.process.stdout.readline()), events)
        self.children.append(made)
        until(lambda: made.said() or not made.runs, seconds=30)
        assert made.runs, self.log()
        return made

    def log(self) -> str:
        """Return everything that the processes logged."""
        return (self.folder / "log").read_text()


@contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    """Yield a nursery; its processes are ended, and none of them may have logged a traceback."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(Path(__file__).parent)},
        )
    made = Nursery(process, folder)
    try:
        yield made
    finally:
        for child in made.children:
            child.end()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(timeout=20)
        process.stdout.close()
    assert "Traceback" not in made.log(), made.log()
    assert "unexpected error" not in made.log(), made.log()


# --- the processes' side ------------------------------------------------------------------


class _Holds:
    """Stands still where it was told to."""

    def __init__(self, events: Path, stages: Sequence[str]) -> None:
        self._events = events
        self._stages = stages

    def say(self, words: str) -> None:
        with self._events.open("ab", buffering=0) as file:
            file.write(f"{words}\n".encode())

    def at(self, stage: str, repository: str) -> None:
        """Wait to be killed where a repository's name holds the stage."""
        if stage in self._stages and stage in repository:
            self.say(f"{stage} {repository}")
            threading.Event().wait()


def _after(done: Callable[..., Any], hold: Callable[..., None]) -> Callable[..., Any]:
    @wraps(done)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        answer = done(*arguments, **named)
        hold(*arguments, **named)
        return answer

    return wrapped


def _work(wanted: Mapping[str, Any], holds: _Holds, stop: threading.Event) -> None:
    from bot import pipeline
    from bot.jobs.base import Pace, Work
    from bot.jobs.worker import Worker
    from bot.model import Job
    from bot.service import Service
    from bot.service_settings import Settings
    from bot.settings import Lookups

    pipeline.inspect = _after(
        pipeline.inspect, lambda job, *_, **__: holds.at("after-inspect", job.repository)
    )

    class Held:
        """Work that stands still before and after its steps."""

        def __init__(self, work: Work) -> None:
            self._work = work
            self._names: dict[str, str] = {}

        def plan(self, job: Job) -> str | None:
            holds.at("before-plan", job.repository)
            planned = self._work.plan(job)
            self._names[planned or ""] = job.repository
            holds.at("after-store", job.repository)
            return planned

        def publish(self, proposal: str) -> None:
            name = self._names.get(proposal, "")
            holds.at("before-publish", name)
            self._work.publish(proposal)
            holds.at("before-settle", name)

    settings = Settings.from_environ(wanted["environ"])
    with Service(settings, Lookups.from_environ(wanted["environ"]), wrap=Held) as service:
        for forge in service.forges.values():
            wrote = forge.write

            def write(change: Any, intend: Callable[[str], None], wrote: Any = wrote) -> Any:
                def intended(commit: str) -> None:
                    intend(commit)
                    holds.at("after-commit", change.repository)

                answer = wrote(change, intended)
                holds.at("after-ref", change.repository)
                return answer

            forge.write = write  # type: ignore[method-assign,assignment]  # what a test does to the real thing
            if forge.hosting is not None:
                hosting: Any = forge.hosting
                hosting.open = _after(hosting.open, lambda name, *_: holds.at("after-labels", name))
        worker = Worker(service.store, service._work, Pace(**wanted["pace"]))
        holds.say("works")
        worker.run(stop, drain=10)


def _web(wanted: Mapping[str, Any], holds: _Holds, stop: threading.Event) -> None:
    from bot.service import Service
    from bot.service_settings import Settings
    from bot.settings import Lookups
    from bot.store.inbox import SqlInbox

    if "after-stored" in wanted["holds"]:

        def stored(*_: object) -> None:
            holds.say("after-stored")
            threading.Event().wait()

        SqlInbox.receive = _after(SqlInbox.receive, stored)  # type: ignore[method-assign]  # as above
    settings = Settings.from_environ(wanted["environ"])
    with Service(settings, Lookups.from_environ(wanted["environ"])) as service:
        service.receive(stop, port=0, worker=False, started=holds.say)


def _child(wanted: Mapping[str, Any]) -> None:
    from bot import logs

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(wanted["environ"])
    logs.configure(logs.LogFormat.JSON)
    holds = _Holds(Path(wanted["events"]), wanted["holds"])
    (_work if wanted["role"] == "worker" else _web)(wanted, holds, stop)


def main() -> None:
    """Fork a process for each line, until there are no more."""
    import bot.forges.git
    import bot.forges.github
    import bot.forges.gitlab
    import bot.jobs.worker
    import bot.registries.client
    import bot.service  # noqa: F401 - all of them so that a fork has nothing left to import

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever ends is gone at once
    for line in sys.stdin:
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                os.close(0)
                os.dup2(2, 1)  # the answers are the nursery's own
                _child(wanted)
            except BaseException:  # noqa: BLE001 - the end of a process: whoever reads the log sees it
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(0)
        print(pid, flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
