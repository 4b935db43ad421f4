"""A worker in a process of its own, whose work only writes down what it does.

Called with the database's URL, a file for events, and options as JSON.  Plans and publishes wait
while the file `hold-plan` or `hold-publish` stands beside the events.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from bot.jobs.base import Pace
from bot.jobs.worker import Worker
from bot.model import Job
from bot.store.sql import Store


class Written:
    """Work that appends a line per step, begun and done."""

    def __init__(self, events: Path, name: str, dies: str) -> None:
        self._events = events
        self._name = name
        self._dies = dies

    def _write(self, *words: str) -> None:
        line = " ".join((self._name, *words)) + "\n"
        with self._events.open("ab", buffering=0) as file:
            file.write(line.encode())

    def _step(self, step: str, what: str) -> None:
        self._write(step, what, "begun")
        if self._dies == what:
            os._exit(9)
        deadline = time.monotonic() + 30
        while self._events.with_name(f"hold-{step}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self._write(step, what, "done")

    def plan(self, job: Job) -> str | None:
        self._step("plan", job.repository)
        return f"proposal-of-{job.repository}"

    def publish(self, proposal: str) -> None:
        self._step("publish", proposal.removeprefix("proposal-of-"))


def main() -> None:
    url, events, options = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    work = Written(events, options.get("name", "w"), options.get("dies", ""))
    with Store(url) as store:
        worker = Worker(store, work, Pace(**options.get("pace", {})))
        drained = worker.run(stop, drain=options.get("drain", 10))
    sys.exit(0 if drained else 3)


if __name__ == "__main__":
    main()
