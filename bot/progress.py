"""A progress bar on standard error, where that is a terminal; else nothing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

Report = Callable[[str, int, int], None]
"""Called with the stage, how many are done and how many there are; safe from threads."""


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Show nothing."""


def columns() -> int:
    """Return how wide the terminal is that standard output leads to; 0 where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Report]:
    """Yield what shows one bar for the stage that goes on; the bar is gone at the end."""
    if quiet or not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console  # noqa: PLC0415 - a third of the start-up, for terminals only
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description:<11}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks = {"": bar.add_task("Reading", total=None)}
        counts: dict[str, int] = {}
        lock = Lock()

        def report(stage: str, done: int, total: int) -> None:
            with lock:
                if stage not in tasks:
                    for task in tasks.values():
                        bar.update(task, visible=False)
                    tasks[stage] = bar.add_task(stage, total=total)
                # Of two threads the one that counted less may come last.
                counts[stage] = max(done, counts.get(stage, 0))
                bar.update(tasks[stage], completed=counts[stage], total=total)

        yield report
