"""A burst of deliveries against `moorline serve`: how it is answered, when all is done, what memory is left.

    make bench ARGS=--load             on SQLite, and on Postgres where that is installed

The service, GitHub's stand-in and the registry are processes of their own; the clients are threads here.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import burst
import databases
import hub as hub_process

from bot.store.sql import Store

HERE = Path(__file__).parent
MOORLINE = str(Path(sys.executable).with_name("moorline"))
REPOSITORIES, PUSHES = 200, 5
PATIENCE = 900.0
"""Seconds after which what is not drained is not waited for any more."""
MOST_MEMORY, MOST_P99 = 200.0, 0.25
"""MiB, and seconds on SQLite: what the service is held to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a process has in memory, in MiB."""

    resident: float
    proportional: float
    """Pages that it shares counted by its share of them."""
    most: float
    """The most that was ever resident."""

    @classmethod
    def of(cls, process: int) -> Memory:
        """Return it as Linux tells it."""
        told = Path(f"/proc/{process}/smaps_rollup").read_text() + Path(f"/proc/{process}/status").read_text()
        kib = {
            name: int(rest.split()[0])
            for name, _, rest in (line.partition(":") for line in told.splitlines())
            if name in ("Rss", "Pss", "VmHWM")
        }
        return cls(resident=kib["Rss"] / 1024, proportional=kib["Pss"] / 1024, most=kib["VmHWM"] / 1024)


class Hub:
    """The stand-in's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        said = self._said()
        self.url, self.app, self.key = str(said["url"]), str(said["app"]), str(said["key"])

    def _said(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def _ask(self, **asked: int) -> Any:
        assert self._process.stdin is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return self._said()

    def pushed(self, wave: int, pushes: int) -> list[burst.Told]:
        """Let people push, and return what is to be delivered."""
        said = self._ask(wave=wave, pushes=pushes)
        return [burst.Told(headers=one["headers"], body=base64.b64decode(one["body"])) for one in said]

    def now(self) -> tuple[dict[str, burst.Standing], int]:
        """Return every repository as it is, and how many requests there were."""
        said = self._ask()
        return {
            name: burst.Standing(
                head=one["head"],
                wanted=base64.b64decode(one["wanted"]),
                proposed=tuple(base64.b64decode(each) for each in one["proposed"]),
            )
            for name, one in said["repositories"].items()
        }, said["requests"]


@contextmanager
def started(
    command: Sequence[str], environ: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a process with pipes, ended at the end."""
    with open(log or os.devnull, "w") as errors:
        process = subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if log is None else errors,
            stderr=None if log is None else errors,
            text=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()


def environment(folder: Path, hub: Hub, images: str, database: str, secret: str) -> dict[str, str]:
    """Return the service's variables: nothing of whoever measures, and every pace as it comes."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "MOORLINE_DATABASE_URL": database,
        "MOORLINE_GITHUB_URL": hub.url,
        "MOORLINE_GITHUB_APP_ID": hub.app,
        "MOORLINE_GITHUB_PRIVATE_KEY": hub.key,
        "MOORLINE_GITHUB_WEBHOOK_SECRET": secret,
        "MOORLINE_REGISTRY_MIRRORS": json.dumps({hub_process.REGISTRY: images}),
        "MOORLINE_LOG_FORMAT": "json",
    }


def listening(log: Path, process: subprocess.Popen[str]) -> tuple[str, int]:
    """Wait until the service listens, and return where."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if '"listening"' in line:
                parts = urlsplit(json.loads(line)["url"])
                return str(parts.hostname), int(parts.port or 0)
        time.sleep(0.02)  # between two looks at the log: the condition ends the wait, the deadline bounds it
    raise SystemExit(f"the service does not listen:\n{log.read_text()[-3000:]}")


class Clients:
    """Posts deliveries over a kept connection for each thread."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._local = threading.local()

    def post(self, told: burst.Told) -> int:
        """Return the status."""
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
        self._local.connection.request("POST", "/webhooks/github", told.body, dict(told.headers))
        with self._local.connection.getresponse() as answer:
            answer.read()
            return int(answer.status)


def drained(database: str, began: float) -> float | None:
    """Wait until nothing waits or runs; return the seconds since `began`, None where that takes too long."""
    with Store(database) as store:
        while time.perf_counter() - began < PATIENCE:
            if not store.backlog.waits(1):
                return time.perf_counter() - began
            time.sleep(0.25)  # between two looks at the backlog, so that looking is no part of the load
    return None


def measure(backend: str) -> bool:
    """Measure on one kind of database, print what was seen, and return whether all is as it should be."""
    secret = secrets.token_hex(16)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="moorline-bench-")))
        database = databases.url(backend, folder, durable=True)
        images = stack.enter_context(
            started([sys.executable, str(HERE / "registry.py"), str(hub_process.IMAGES), "0"])
        )
        assert images.stdout is not None
        port = int(images.stdout.readline())
        command = [sys.executable, str(HERE / "hub.py"), str(REPOSITORIES), secret]
        hub = Hub(stack.enter_context(started(command)))
        log = folder / "log"
        service = stack.enter_context(
            started(
                [MOORLINE, "serve", "--port", "0"],
                environment(folder, hub, f"http://127.0.0.1:{port}", database, secret),
                log,
            )
        )
        clients = Clients(*listening(log, service))
        fresh = Memory.of(service.pid)
        print(
            f"\n{backend}: {REPOSITORIES * PUSHES * burst.WAVES:,} deliveries of {REPOSITORIES} "
            f"repositories with {hub_process.FILES} files, in {burst.WAVES} waves, by {burst.CLIENTS} clients; "
            f"load average {_load()}",
            flush=True,
        )
        answers: list[burst.Answer] = []
        distinct: set[str] = set()
        seconds, began = 0.0, time.perf_counter()
        for wave in range(burst.WAVES):
            told = hub.pushed(wave, PUSHES)
            distinct |= {one.headers["X-GitHub-Delivery"] for one in told}
            said, lasted = burst.send(told, clients.post)
            answers, seconds = answers + said, seconds + lasted
        _show_answers(answers, seconds)
        took = drained(database, began)
        after = Memory.of(service.pid)
        repositories, requests = hub.now()
        faults = (
            _faults(database, answers, len(distinct), repositories) if took is not None else ["not drained"]
        )
        with Store(database) as store:
            endings = Counter(run.ending.value for run in store.backlog.runs(100_000))
        runs = ", ".join(f"{count} {ending}" for ending, count in endings.most_common())
        if took is not None:
            print(f"  drained {took:.1f} s after the first delivery; load average {_load()}")
        print(f"  {endings.total()} runs: {runs}; {requests:,} requests to GitHub")
        print(
            f"  memory of `moorline serve`: {after.resident:.0f} MiB resident, {after.proportional:.0f} MiB "
            f"proportional, {after.most:.0f} MiB at most; {fresh.resident:.0f} MiB before the first delivery",
            flush=True,
        )
        faults += missed(backend, answers, after.resident)
        for line in log.read_text().splitlines():
            if '"error"' in line or "Traceback" in line:
                faults.append(line[:300])
    if not faults:
        print("  each stored, each repository looked at and proposed at its newest head, once")
    for fault in faults[:10]:
        print(f"  WRONG: {fault}")
    return not faults


def missed(backend: str, answers: Sequence[burst.Answer], resident: float) -> list[str]:
    """Return which bounds were not kept: `resident` is in MiB."""
    found = []
    if backend == "sqlite" and _p99(answers) > MOST_P99:
        found.append(f"the 99th percentile of the answers is over {MOST_P99 * 1000:.0f} ms")
    if resident > MOST_MEMORY:
        found.append(f"more than {MOST_MEMORY:.0f} MiB of memory")
    return found


def _faults(
    database: str,
    answers: Sequence[burst.Answer],
    distinct: int,
    repositories: Mapping[str, burst.Standing],
) -> list[str]:
    found = []
    statuses = Counter(one.status for one in answers)
    if statuses != {202: distinct, 200: len(answers) - distinct}:
        found.append(f"answers {dict(statuses)}")
    with Store(database) as store:
        scans = store.repositories.scans("github")
    scanned = {name: head for (name, ref), (head, _) in scans.items() if ref == "main"}
    return found + burst.wrong(repositories, scanned)


def _show_answers(answers: Sequence[burst.Answer], seconds: float) -> None:
    took = sorted(one.seconds for one in answers)
    print(
        f"  {len(answers):,} answers, {len(answers) / seconds:,.0f} a second: median "
        f"{statistics.median(took) * 1000:.0f} ms, 99th percentile {_p99(answers) * 1000:.0f} ms, "
        f"longest {took[-1] * 1000:.0f} ms",
        flush=True,
    )


def _p99(answers: Sequence[burst.Answer]) -> float:
    return statistics.quantiles((one.seconds for one in answers), n=100)[98]


def _load() -> str:
    return " ".join(f"{one:.1f}" for one in os.getloadavg())


def main() -> None:
    """Print figures for each database; end with 1 where something was wrong, or not within its bounds."""
    good = measure("sqlite")
    if databases.BINARIES is None:
        print("\npostgres: not installed, not measured")
    else:
        good = measure("postgres") and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
