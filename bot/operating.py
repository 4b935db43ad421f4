"""What operators ask of the store on the command line: the queue, and the audit log."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.errors import StoreError, UsageError
from bot.model import Fact, Job
from bot.progress import columns
from bot.settings import variables
from bot.visible import visible

if TYPE_CHECKING:
    from bot.store.base import Audit, Entry, Run, Waiting
    from bot.store.sql import Store

OK, WRONG = 0, 1
OPERATOR = "operator"
"""Who the audit log names for what is done here."""
_WHOLE = "the forge itself"
"""What the jobs are of that have no repository: sweeps, and what catches up."""
_MOST = 10_000
_BATCH = 1000
_WIDE = 120
"""Columns of a terminal that the audit log fits as a table."""


class Shown(StrEnum):
    """Which part of the queue is listed."""

    WAITING = "waiting"
    """What waits or runs."""
    FAILED = "failed"
    PARKED = "parked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One ref in the list."""

    state: str
    """`running`, `waiting`, `failed` or `parked`."""
    job: Job
    since: datetime
    """When it was wanted; of a run that ended, when that was."""
    due: datetime | None
    attempts: int | None
    detail: str
    """Why it is stuck or was put off, or who works on it."""

    def plain(self) -> dict[str, Any]:
        """Return the line as JSON has it."""
        return {
            "state": self.state,
            "forge": self.job.forge,
            "repository": self.job.repository,
            "ref": self.job.ref,
            "trigger": self.job.trigger.value,
            "head": self.job.head,
            "since": self.since.isoformat(),
            "due": self.due and self.due.isoformat(),
            "attempts": self.attempts,
            "detail": self.detail,
        }


# --- the queue ----------------------------------------------------------------------------


def list_jobs(
    settings: Path | None, shown: frozenset[Shown], *, repositories: tuple[str, ...] = (), as_json: bool
) -> int:
    """Print what waits, runs or is stuck, of some repositories or of all; return the exit code.

    `repositories` are globs as `moorline sweep` takes them.
    """
    from bot.runs.listing import Asked

    shown = shown or frozenset(Shown)
    asked = Asked(globs=repositories)
    with _opened(settings) as store:
        lines = [
            line
            for line in _lines(store, shown)
            if not repositories or (line.job.repository and asked.wants(line.job.repository))
        ]
    if not lines:
        of = f" of {' '.join(map(visible, repositories))}" if repositories else ""
        print(f"moorline: Nothing{of} {_states(shown)}.", file=sys.stderr)
    if as_json:
        document = {"version": 1, "jobs": [line.plain() for line in lines]}
        print(json.dumps(document, indent=2))
    else:
        _print_jobs(lines)
    return OK


def retry(settings: Path | None, repository: str, ref: str | None) -> int:
    """Let what waits be due, and want again what is stuck; return 1 where there is nothing of it."""
    now = datetime.now(UTC)
    with _opened(settings) as store:
        count = store.backlog.retry(repository, ref, now)
        if count:
            _write_down(store.audit, "jobs.retried", repository, ref, {"refs": count}, now)
    if not count:
        return _nothing(repository, ref, "waits or is stuck")
    print(f"{_refs(count)} of {visible(_named(repository, ref))} will be looked at next.")
    return OK


def cancel(settings: Path | None, repository: str, ref: str | None) -> int:
    """Forget what waits and call off what runs; return 1 where there is nothing of it.

    No worker is needed for it: one that works on it stops before its next step.
    """
    now = datetime.now(UTC)
    with _opened(settings) as store:
        off = store.backlog.cancel(repository, ref, now)
        count = off.waiting + len(off.running)
        if count:
            evidence: dict[str, Fact] = {"refs": count, "running": off.running}
            _write_down(store.audit, "jobs.cancelled", repository, ref, evidence, now)
    if not count:
        return _nothing(repository, ref, "waits or runs")
    print(f"{_refs(count)} of {visible(_named(repository, ref))} called off.")
    if off.running:
        print(f"{len(off.running)} in work: what is being done ends, and nothing more is begun.")
    return OK


def _states(shown: frozenset[Shown]) -> str:
    if shown == frozenset(Shown):
        return "waits, runs or is stuck"
    said = {Shown.WAITING: "waits or runs", Shown.FAILED: "failed", Shown.PARKED: "is parked"}
    return " or ".join(said[one] for one in Shown if one in shown)


def _lines(store: Store, shown: frozenset[Shown]) -> list[Line]:
    lines: list[Line] = []
    if Shown.WAITING in shown:
        lines += map(_line_of_waiting, store.backlog.waits(_MOST))
    if shown & {Shown.FAILED, Shown.PARKED}:
        stuck = map(_line_of_run, store.backlog.stuck(_MOST))
        lines += (line for line in stuck if Shown(line.state) in shown)
    return lines


def _line_of_waiting(one: Waiting) -> Line:
    return Line(
        state="running" if one.running else "waiting",
        job=one.job,
        since=one.since,
        due=None if one.running else one.due,
        attempts=one.attempts,
        detail=one.worker if one.running else one.detail,
    )


def _line_of_run(run: Run) -> Line:
    return Line(
        state=run.ending.value, job=run.job, since=run.ended, due=None, attempts=None, detail=run.detail
    )


def _print_jobs(lines: list[Line]) -> None:
    rows = [
        (
            line.state,
            f"{line.job.forge} {line.job.repository}".rstrip(),
            line.job.ref or "(default)",
            line.job.trigger.value,
            _moment(line.since),
            _moment(line.due) if line.due else "",
            str(line.attempts) if line.attempts else "",
            line.detail,
        )
        for line in lines
    ]
    _print_table(("state", "repository", "ref", "trigger", "since", "due", "attempts", "detail"), rows)


def _write_down(
    log: Audit, what: str, repository: str, ref: str | None, evidence: Mapping[str, Fact], now: datetime
) -> None:
    log.add(OPERATOR, what, _named(repository, ref), evidence, now)


def _nothing(repository: str, ref: str | None, what: str) -> int:
    print(f"moorline: Nothing of {visible(_named(repository, ref))} {what}.", file=sys.stderr)
    return WRONG


def _named(repository: str, ref: str | None) -> str:
    named = repository or _WHOLE
    return named if ref is None else f"{named} {ref}".rstrip()


def _refs(count: int) -> str:
    return "1 ref" if count == 1 else f"{count} refs"


# --- the audit log ------------------------------------------------------------------------


def audit(settings: Path | None, *, since: int, last: int | None = None, as_lines: bool) -> int:
    """Print the entries with a greater number than `since`, or the newest `last` of them; return the exit code."""
    with _opened(settings) as store:
        number, _ = store.audit.head()
        entries = _entries(store.audit, since if last is None else max(since, number - last))
        if as_lines:
            for entry in entries:
                print(json.dumps(_plain(entry), ensure_ascii=True))
        else:
            _print_entries(entries, empty=not number)
    return OK


def verify(settings: Path | None, *, head: str | None) -> int:
    """Check the chain of hashes, and that it holds a head that was noted before (`number:hash`).

    Returns 1 where an entry was changed or removed.
    """
    noted = None if head is None else _noted(head)
    with _opened(settings) as store:
        broken = store.audit.broken()
        number, digest = store.audit.head()
        there = noted and store.audit.entries(noted[0] - 1, 1)
    if broken is not None:
        print(f"Entry {broken} was changed or removed, or the one before it.")
        return WRONG
    if noted and (not there or (there[0].number, there[0].hash) != noted):
        print(f"Entry {noted[0]} is not the one whose hash was noted: the log was rewritten or cut off.")
        return WRONG
    print(f"{number} entries, each following from the one before. The last: {number}:{digest}")
    return OK


def _noted(head: str) -> tuple[int, str]:
    number, _, digest = head.partition(":")
    if not (number.isascii() and number.isdecimal() and len(number) < 19 and int(number) > 0 and digest):
        raise UsageError("The noted head must be a number and a hash, such as 42:9f86d081...")
    return int(number), digest.lower()


def _entries(log: Audit, after: int) -> Iterator[Entry]:
    while batch := log.entries(after, _BATCH):
        yield from batch
        after = batch[-1].number


def _plain(entry: Entry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "at": entry.at.isoformat(),
        "who": entry.who,
        "what": entry.what,
        "subject": entry.subject,
        "evidence": entry.evidence,
        "hash": entry.hash,
    }


def _print_entries(entries: Iterator[Entry], *, empty: bool) -> None:
    rows = [
        (
            str(entry.number),
            _moment(entry.at),
            entry.who,
            entry.what,
            entry.subject,
            ", ".join(f"{name}={_fact(fact)}" for name, fact in entry.evidence.items()),
        )
        for entry in entries
    ]
    if not rows:
        said = "is empty" if empty else "has no such entry"
        print(f"moorline: The audit log {said}.", file=sys.stderr)
    if 0 < columns() < _WIDE:
        _print_blocks(rows, columns())
    else:
        _print_table(("number", "at", "who", "what", "subject", "evidence"), rows)


def _print_blocks(rows: Sequence[tuple[str, ...]], width: int) -> None:
    """Print entries one below the other: six columns are no words any more where the terminal is narrow."""
    wrapping = textwrap.TextWrapper(
        width,
        initial_indent="    ",
        subsequent_indent="      ",
        break_long_words=False,  # a digest is to be copied
        break_on_hyphens=False,
    )
    for number, *first, subject, evidence in rows:
        print(f"{number}  " + "  ".join(map(visible, first)))
        for text in filter(None, (subject, evidence)):
            print("\n".join(wrapping.wrap(visible(text))))


def _fact(fact: Fact) -> str:
    return " ".join(fact) if isinstance(fact, tuple) else str(fact)


# --- both ---------------------------------------------------------------------------------


@contextmanager
def _opened(file: Path | None) -> Iterator[Store]:
    """Yield the store that the settings name; it must be there."""
    from bot.service_settings import Settings
    from bot.store.database import sqlite_file
    from bot.store.sql import Store

    url = Settings.from_environ(variables(os.environ, file)).database_url.get_secret_value()
    path = sqlite_file(url)
    if path is not None and not path.exists():
        # Opening it would make an empty one, in which nothing ever waits.
        raise StoreError(
            f"There is no database {visible(str(path))}.",
            advice="Set MOORLINE_DATABASE_URL, or name the service's settings with --settings.",
        )
    with Store(url) as store:
        yield store


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _print_table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table for people; where nobody looks, a line each with tabs between."""
    shown = [tuple(visible(cell) for cell in row) for row in rows]
    if not sys.stdout.isatty():
        for row in shown:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in shown:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
