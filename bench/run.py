"""Measure Moorline as whole processes, beside the floor and, where it is installed, Renovate.

    make bench                         all of the below, in some five minutes
    make bench ARGS=--peers            the command line beside the floor and Renovate
    make bench ARGS=--large            a tree of some 85,000 files
    make bench ARGS=--costs            what the service asks of GitHub and GitLab, request by request
    make bench ARGS=--load             2,000 deliveries to the service, on SQLite and on Postgres
    make figures                       the last two, written into docs/operations.md
    RENOVATE=/path/to/renovate make bench

Ends with 1 where something went wrong or a bound was missed; everything else is measured all the same.

Runs of two commands alternate, and the ratio is taken pair by pair, so that a machine whose speed
drifts does not favour one.  Requests are counted by the registry and asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import corpus
import registry

HERE = Path(__file__).parent
FIGURES = HERE.parent / "docs" / "operations.md"
MOORLINE = str(Path(sys.executable).with_name("moorline"))
ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Without what would have each run compile our modules again, as no installation does."""
PATIENCE = 120.0
"""Seconds after which a run is ended: then it shows as failed."""
MOST_HELP, MOST_MEMORY = 0.15, 60.0
"""Seconds that `moorline --help` may take, and MiB of the largest process of a scan of the large tree."""
PARTS = ("peers", "large", "costs", "load")


@dataclass(frozen=True, slots=True)
class Run:
    """One process's figures: seconds, seconds, MiB of its largest process."""

    wall: float
    cpu: float
    memory: float
    code: int


def run(
    command: Sequence[str], environ: Mapping[str, str], cwd: Path | None = None, log: Path | None = None
) -> Run:
    """Return the figures of one run, from the operating system's own accounting."""
    started = time.perf_counter()
    with open(log or os.devnull, "wb") as output:
        process = subprocess.Popen(
            command,
            env={**ENVIRON, **environ},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    bound = threading.Timer(PATIENCE, process.kill)
    bound.start()
    _, status, usage = os.wait4(process.pid, 0)
    bound.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode)


def median(runs: Sequence[Run]) -> Run:
    """Return the median of each figure."""
    return Run(
        statistics.median(one.wall for one in runs),
        statistics.median(one.cpu for one in runs),
        statistics.median(one.memory for one in runs),
        max(one.code for one in runs),
    )


def show(name: str, runs: Sequence[Run], more: str = "") -> None:
    """Print a row: medians, and the range of the wall time."""
    middle = median(runs)
    low, high = min(one.wall for one in runs), max(one.wall for one in runs)
    print(
        f"{name:<34} {middle.wall:7.3f} s ({low:.3f} to {high:.3f})  cpu {middle.cpu:7.3f} s  "
        f"{middle.memory:5.0f} MiB  {more}",
        flush=True,
    )


@contextmanager
def server(delay: float) -> Iterator[str]:
    """Run the registry in a process of its own and yield its host and port."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "registry.py"), str(corpus.TAGS), str(delay)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def counts(host: str) -> dict[str, int]:
    """Return what the registry was asked since the last time."""
    with urllib.request.urlopen(f"http://{host}/_counts") as answer:
        found: dict[str, int] = json.load(answer)
    return found


def look_ups(root: Path, delay: float, rounds: int, renovate: str | None) -> list[str]:
    """Measure `pin` on a corpus of 20 repositories against the floor and Renovate; return what was wrong."""
    wrong: list[str] = []
    with server(delay) as host:
        tree = root / f"delay{int(delay * 1000)}"
        truth = corpus.write(tree, host, registry.digests(corpus.TAGS), 20)
        print(
            f"\n{truth.files} files, {truth.relevant} relevant, {truth.floating} floating references to "
            f"{len(truth.tags)} tags, {truth.pinned} pinned; {delay * 1000:.0f} ms a request"
        )
        environ = {"MOORLINE_EGRESS_ALLOW": f"http://{host}"}
        pin = [MOORLINE, "pin", str(tree)]
        floor = [sys.executable, str(HERE / "floor.py"), str(tree), host]
        run(pin, environ)
        run(floor, {})
        counts(host)
        pins, floors, scans = [], [], []
        for _ in range(rounds):
            pins.append(run(pin, environ))
            asked = counts(host)
            if asked != {"HEAD by tag": len(truth.tags), "GET by digest": len(truth.tags)}:
                wrong.append(f"moorline pin asked for {asked}, with {len(truth.tags)} tags to look up")
            floors.append(run(floor, {}))
            counts(host)
            scans.append(run([MOORLINE, "scan", str(tree), "-f", "json"], {}))
        if any(one.code for one in pins + floors + scans):
            wrong.append(f"a run failed, with {delay * 1000:.0f} ms a request")
        show("moorline pin", pins, f"{len(truth.tags)} HEAD, {len(truth.tags)} GET")
        show("floor (find and look up)", floors, f"{len(truth.tags)} HEAD")
        show("moorline scan", scans, f"{truth.files / median(scans).wall:,.0f} files/s")
        ratio = statistics.median(ours.wall / theirs.wall for ours, theirs in zip(pins, floors, strict=True))
        print(f"pin / floor, pair by pair: {ratio:.2f}")
        if renovate:
            beside_renovate(renovate, tree, host, truth.floating, rounds)
    return wrong


def beside_renovate(command: str, tree: Path, host: str, floating: int, rounds: int) -> None:
    """Measure Renovate's look-up of the same tree in turn with `pin`, each run with nothing cached."""
    config = {
        "platform": "local",
        "dryRun": "lookup",
        "pinDigests": True,
        "onboarding": False,
        "requireConfig": "optional",
        "enabledManagers": ["dockerfile", "docker-compose", "gitlabci", "github-actions"],
        "ignorePaths": [],
        # Renovate takes each registry for https until a rule for that very address says otherwise
        "hostRules": [{"matchHost": f"https://{host}", "insecureRegistry": True}],
        "reportType": "file",
    }
    ours, theirs = [], []
    asked: dict[str, int] = {}
    found = 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="moorline-bench-renovate-") as folder:
            file, report, log = (Path(folder) / name for name in ("config.json", "report.json", "log.txt"))
            file.write_text(json.dumps({**config, "reportPath": str(report)}))
            environ = {"RENOVATE_CONFIG_FILE": str(file), "RENOVATE_BASE_DIR": folder, "LOG_LEVEL": "warn"}
            ours.append(run([MOORLINE, "pin", str(tree)], {"MOORLINE_EGRESS_ALLOW": f"http://{host}"}))
            counts(host)
            theirs.append(run([command], environ, tree, log))
            asked = counts(host)
            if theirs[-1].code or ours[-1].code:
                print(f"renovate failed, or did not finish within {PATIENCE:.0f} s: no comparison")
                print(log.read_text(errors="replace")[-2000:])
                return
            found = _proposed(report)
    show("renovate, look-up only", theirs, f"{found} of {floating} to pin, {sum(asked.values())} requests")
    show("moorline pin, in turn with it", ours)
    pairs = list(zip(ours, theirs, strict=True))
    walls = statistics.median(other.wall / own.wall for own, other in pairs)
    cpus = statistics.median(other.cpu / own.cpu for own, other in pairs)
    print(f"renovate / moorline pin, pair by pair: wall {walls:.1f}, cpu {cpus:.1f}", flush=True)


def _proposed(report: Path) -> int:
    """Return how many references Renovate's report would pin."""
    [held] = json.loads(report.read_text())["repositories"].values()
    return sum(
        update["updateType"] == "pinDigest"
        for files in held["packageFiles"].values()
        for file in files
        for dependency in file["deps"]
        for update in dependency.get("updates", ())
    )


def start_up(rounds: int) -> list[str]:
    """Measure `moorline --help`; return what was wrong."""
    run([MOORLINE, "--help"], {})
    runs = [run([MOORLINE, "--help"], {}) for _ in range(rounds * 2)]
    show("moorline --help", runs)
    return too_slow(median(runs))


def too_slow(helped: Run) -> list[str]:
    """Return which bounds a median run of `moorline --help` did not keep."""
    found = ["moorline --help failed"] if helped.code else []
    if helped.wall > MOST_HELP:
        found.append(f"moorline --help took more than {MOST_HELP * 1000:.0f} ms")
    return found


def large(root: Path) -> list[str]:
    """Measure `scan` on a tree of some 85,000 files; return what was wrong."""
    tree = root / "large"
    truth = corpus.write(tree, "registry.example.net", registry.digests(corpus.TAGS), 100)
    runs = [run([MOORLINE, "scan", str(tree), "-f", "json"], {}) for _ in range(3)]
    show(f"moorline scan, {truth.files:,} files", runs, f"{truth.files / median(runs).wall:,.0f} files/s")
    return too_big(runs)


def too_big(scans: Sequence[Run]) -> list[str]:
    """Return which bounds scans of the large tree did not keep."""
    found = ["a scan of the large tree failed"] if any(one.code for one in scans) else []
    if max(one.memory for one in scans) > MOST_MEMORY:
        found.append(f"a scan of the large tree took more than {MOST_MEMORY:.0f} MiB")
    return found


def apart(name: str, *, write: bool) -> list[str]:
    """Run another measurement and return what was wrong; told to write, put what it prints into its document.

    Where something was not as it should be, the figures go nowhere.
    """
    said = []
    process = subprocess.Popen(
        [sys.executable, str(HERE / f"{name}.py")], env=ENVIRON, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            print(line, end="", flush=True)
            said.append(line)
    if process.wait():
        return [f"bench/{name}.py ended with {process.returncode}; it says why above"]
    if write:
        filled = runpy.run_path(str(HERE.parent / "docs" / "readme.py"))["filled"]
        text = "".join(said).lstrip("\n")
        FIGURES.write_text(filled(FIGURES.read_text(encoding="utf-8"), name, text), encoding="utf-8")
    return []


def beside_others(rounds: int) -> list[str]:
    """Print the table of the command line beside others; return what was wrong."""
    renovate = os.environ.get("RENOVATE") or shutil.which("renovate")
    print("median wall (range), cpu and largest process; runs alternate")
    if not renovate:
        print("renovate is not compared: neither on PATH nor named by RENOVATE")
    with tempfile.TemporaryDirectory(prefix="moorline-bench-") as folder:
        wrong = start_up(rounds)
        for delay in (0.0, 0.03):
            wrong += look_ups(Path(folder), delay, rounds, renovate)
    return wrong


def measured(part: str, *, rounds: int, write: bool) -> list[str]:
    """Measure one of `PARTS`, and return what was wrong."""
    if part == "peers":
        return beside_others(rounds)
    if part == "large":
        with tempfile.TemporaryDirectory(prefix="moorline-bench-") as folder:
            return large(Path(folder))
    return apart(part, write=write)


def main() -> None:
    """Print the tables; end with 1 where something was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    for part in PARTS:
        parser.add_argument(f"--{part}", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    asked = [part for part in PARTS if getattr(options, part)]
    wrong = []
    for part in asked or PARTS:
        wrong += measured(part, rounds=options.rounds, write=options.write)
    for one in wrong:
        print(f"WRONG: {one}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
