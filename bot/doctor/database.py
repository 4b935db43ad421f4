"""The database: whether it answers, what it is at, who works on it, and what is stuck in it."""

from __future__ import annotations

import shutil
import stat
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.doctor.findings import Finding, Findings, Part, Pen
from bot.errors import StoreError
from bot.jobs.base import WORKFLOW_VERSION, Pace
from bot.store.base import Ending
from bot.store.database import sqlite_file
from bot.store.examining import KNOWN, Signs, signs
from bot.store.sql import Store
from bot.visible import visible

_GIB, _MIB = 1024**3, 1024**2
_LITTLE, _TOO_LITTLE = _GIB, 100 * _MIB
_LARGE_LOG = _GIB
_SKEW = 5.0
_LATE = timedelta(minutes=10)
_MOST = 1000
_pen = Pen(Part.DATABASE)
_settings = Pen(Part.SETTINGS)
"""For what is wrong with the address alone."""


def examine(url: str) -> Findings:
    """Yield what is seen of the database, which is neither made nor upgraded."""
    try:
        yield from _examined(url)
    except OSError as error:
        yield _pen.unknown("file", f"The database's file cannot be looked at: {error.strerror}.")


def _examined(url: str) -> Findings:
    try:
        file = sqlite_file(url)
    except StoreError as error:
        yield _settings.failed("database", error)
        return
    if file is not None and not file.exists():
        yield _absent(file)
        return
    try:
        seen = signs(url, Pace().lease)
    except StoreError as error:
        yield _pen.failed("connection", error)
        return
    if file is not None:
        yield from _file(file, seen)
    elif abs(seen.ahead) >= _SKEW:
        way = "ahead of" if seen.ahead > 0 else "behind"
        yield _pen.note(
            "clock",
            f"The clock here is {abs(seen.ahead):.0f} {'second' if round(abs(seen.ahead)) == 1 else 'seconds'} {way} the database's.",
            "Let both machines take the time by NTP.",
        )
    yield _schema(seen)
    if seen.schema != KNOWN:
        return
    try:
        with Store(url) as store:
            yield from _queue(store, seen)
    except StoreError as error:
        yield _pen.unknown("queue", error.problem, error.advice)


def _absent(file: Path) -> Finding:
    folder = file.parent
    if not folder.is_dir():
        return _settings.trouble(
            "database",
            f"There is no folder {folder} for the database.",
            "Make it, and let this user write there; or correct MOORLINE_DATABASE_URL.",
        )
    return _pen.note("file", f"There is no database {file} yet.", "The first start of the service makes it.")


def _file(file: Path, seen: Signs) -> Findings:
    if seen.journal != "wal":
        yield _pen.trouble(
            "file",
            f"SQLite does not keep a write-ahead log for {file} (mode {visible(seen.journal, 20)}).",
            "Keep the file on a local disk: network file systems cannot share its log.",
        )
    mode = file.stat().st_mode
    if mode & 0o077:
        yield _pen.note(
            "file",
            f"Others on this machine may read {file} ({stat.filemode(mode)[1:]}): it holds parts of repositories.",
            f"chmod 600 {file}*",
        )
    log = file.with_name(f"{file.name}-wal")
    logged = log.stat().st_size if log.exists() else 0
    if logged > _LARGE_LOG:
        yield _pen.note(
            "file",
            f"The write-ahead log has {_size(logged)}: a reader that never ends keeps it from shrinking.",
            "Look for a backup or a shell that holds the file open.",
        )
    free = shutil.disk_usage(file.parent).free
    text = f"{_size(file.stat().st_size + logged)} in {file}, {_size(free)} free on its disk."
    if free < _TOO_LITTLE:
        yield _pen.trouble("disk", text, "Make room now: without any, deliveries are refused.")
    elif free < _LITTLE:
        yield _pen.note("disk", text, "Make room, or lower MOORLINE_RETENTION_DAYS.")
    else:
        yield _pen.ok("disk", text)


def _schema(seen: Signs) -> Finding:
    if seen.schema is None:
        return _pen.note(
            "schema", "The database is empty.", "The first start of the service makes its tables."
        )
    if seen.schema > KNOWN:
        return _pen.trouble(
            "schema",
            f"The database has schema {seen.schema}, and this version of Moorline knows {KNOWN}.",
            "Run the newer version again, or restore the backup from before it.",
        )
    if seen.schema < KNOWN:
        return _pen.note(
            "schema",
            f"The database has schema {seen.schema}; this version works on {KNOWN}.",
            "Back it up, stop the older version, and start this one, which upgrades it.",
        )
    return _pen.ok("schema", f"It answers, and has schema {seen.schema}.")


def _queue(store: Store, seen: Signs) -> Findings:
    now = datetime.now(UTC)
    waits = [one for one in store.backlog.waits(_MOST) if not one.running]
    stuck = Counter(run.ending for run in store.backlog.stuck(_MOST))
    due = [one for one in waits if one.due <= now]
    yield _workers(seen, len(due))
    late = now - min((max(one.due, one.since) for one in due), default=now)
    text = f"{_refs(len(waits), _MOST)} {'waits' if len(waits) == 1 else 'wait'}."
    if late > _LATE:
        yield _pen.trouble(
            "queue",
            f"{text} The oldest could have been looked at {_long(late)} ago.",
            "See `moorline jobs list --waiting`, and the workers' logs; more workers help where all are busy.",
        )
    else:
        yield _pen.ok("queue", text)
    if stuck[Ending.PARKED]:
        yield _pen.trouble(
            "parked",
            f"Parked, since they failed as often as is sensible: {_refs(stuck[Ending.PARKED], _MOST)}.",
            "See why with `moorline jobs list --parked`; then `moorline jobs retry REPOSITORY`.",
        )
    if stuck[Ending.FAILED]:
        yield _pen.note(
            "failed",
            f"Cannot succeed as things are: {_refs(stuck[Ending.FAILED], _MOST)}.",
            "See why with `moorline jobs list --failed`.",
        )


def _workers(seen: Signs, due: int) -> Finding:
    if not seen.workers:
        advice = "Start `moorline serve`, or `moorline worker` beside `moorline web`."
        if due:
            return _pen.trouble("workers", "No worker lives, and there is work.", advice)
        return _pen.note("workers", "No worker lives.", advice)
    text = "1 worker lives." if len(seen.workers) == 1 else f"{len(seen.workers)} workers live."
    if seen.versions != {WORKFLOW_VERSION}:
        return _pen.note(
            "workers",
            f"{text} Some of another version than this one: what one has begun no other goes on with.",
            "Finish the upgrade: stop the workers of the older version.",
        )
    if seen.silent:
        return _pen.note("workers", f"{text} {seen.silent} ended without a word.", "The others take over.")
    return _pen.ok("workers", text)


def _refs(count: int, most: int) -> str:
    return "1 ref" if count == 1 else f"{count:,}{' or more' if count >= most else ''} refs"


def _long(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // 1440} days"


def _size(count: int) -> str:
    if count >= _GIB:
        return f"{count / _GIB:.1f} GiB"
    return f"{count / _MIB:.1f} MiB" if count >= _MIB else f"{count // 1024} KiB"
