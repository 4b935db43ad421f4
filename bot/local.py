"""Runs on a folder, as the command line asks for them: look, print, and say by the exit code how it was."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bot import introduced, output, pipeline, wiring
from bot.config import Grouping, Mode
from bot.errors import UsageError
from bot.forges.directory import Directory
from bot.model import Job, Outcome, Report, SkipReason, State, Trigger, UnreadReason, Verdict
from bot.output import diff as diffs
from bot.output import table
from bot.pipeline.reading import Below, Reading
from bot.progress import columns, progress
from bot.runs import remember
from bot.settings import Lookups
from bot.visible import visible

if TYPE_CHECKING:
    from rich.console import Console

    from bot.store.base import WritableLedger

CLEAN, FOUND, INCOMPLETE = 0, 1, 3
"""Exit codes of a run that came to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Printing:
    """How a report is printed."""

    format_: str
    output: Path | None
    everything: bool
    quiet: bool


def scan(path: Path, printing: Printing, *, fail: bool, staged: bool = False) -> int:
    """Print what is in a folder, or staged of it; return the exit code."""
    directory = Directory(path)
    with progress(quiet=printing.quiet):
        ground = wiring.ground(directory, Lookups.from_environ(os.environ))
        if staged:
            index, _ = wiring.staged(directory)
            ground = replace(ground, reading=lambda _job: index)
        survey = pipeline.look(_job(path), ground, _now())
    found = [pipeline.grounded(one, ground) for one in survey.selected]
    report = survey.report(tuple(Verdict(finding=one, outcome=Outcome.PASS) for one in found), _now())
    _print(report, printing)
    floats = any(one.skip is None and one.state is State.FLOATING for one in found)
    return FOUND if fail and floats else CLEAN


def pin(
    path: Path, printing: Printing, *, write: bool, branch: str | None, ledger: Path | None, diff: bool
) -> int:
    """Print, write or commit what pinning a folder comes to; return the exit code."""
    directory = Directory(path)
    now = _now()
    with (
        progress(quiet=printing.quiet) as shown,
        wiring.remembering(ledger, directory) as memory,
        wiring.looking(directory, ledger=memory, progress=shown) as services,
    ):
        if branch is not None:
            return _pin_branch(directory, services, printing, branch, memory, now)
        report = pipeline.inspect(_job(path), services, now)
        if memory is not None:
            remember(report, memory, now)
    confirmed = pipeline.confirm(report)
    report = replace(report, unread=report.unread + confirmed.unread)
    old, new = report.snapshot.files, confirmed.files(report)
    if write and new:
        directory.write({name: (old[name], data) for name, data in new.items()})
    if printing.format_ != "table":
        _print(report, printing)
    elif diff:
        _print_diff(old, new, printing)
    if not printing.quiet:
        _say(_pinned(report, confirmed.written, written=write))
        _say_trouble(report, printing)
    return _complete(report)


def _pin_branch(
    directory: Directory,
    services: pipeline.Services,
    printing: Printing,
    branch: str,
    memory: WritableLedger | None,
    now: datetime,
) -> int:
    forge = wiring.git_forge(directory.root)
    repository = str(directory.root)
    base, commit = forge.head(repository, "")
    if branch.removeprefix("refs/heads/") == base:
        raise UsageError(f"{base} is what is checked out.", advice="Name another branch.")
    job = Job(forge="git", repository=repository, ref=base, trigger=Trigger.COMMAND_LINE)
    tree = Below(pipeline.AtCommit(forge, repository, commit), directory.start)
    at_head = replace(services, reading=lambda _job: tree)
    report = pipeline.inspect(job, at_head, now)
    if memory is not None:
        remember(report, memory, now)
    config = pipeline.configuration(at_head.reading(job), at_head)
    # One branch was asked for, so everything goes onto it.
    made = pipeline.propose(report, replace(config, group=Grouping.REPOSITORY), base)
    proposal = made[0] if made else None
    left = False
    if config.mode is not Mode.PROPOSE:
        _say(f"nothing is written: the configuration's mode is {config.mode.value}")
    elif proposal is None:
        _say("nothing to pin")
    else:
        proposal = replace(proposal, branch=branch)
        published = pipeline.publish(proposal, forge, pipeline.Ours(commits=forge.ours(repository, branch)))
        left = published.action == "left-alone"
        _say(visible(f"{published.branch} {published.action}: {published.detail or published.commit}"))
    report = replace(report, unread=report.unread + pipeline.confirm(report).unread)
    if printing.format_ != "table":
        _print(report, printing)
    if not printing.quiet:
        _say_trouble(report, printing)
    if left:
        return FOUND
    return _complete(report)


def guard(path: Path, printing: Printing, *, base: str | None, staged: bool = False) -> int:
    """Print what the policy refuses in a folder, or in what came in since `base`; return the exit code.

    What is staged is held against the last commit if nothing else is said; before the first one all of it
    comes in.

    A file that cannot be read is no clean one: without `base` the look was incomplete, and with it
    the change made the file unreadable.
    """
    directory = Directory(path)
    job = _job(path)
    with progress(quiet=printing.quiet) as shown, wiring.looking(directory, progress=shown) as services:
        there: Reading = directory
        begun = True
        if staged:
            there, begun = wiring.staged(directory)
            base = base or "HEAD"
        before = None if base is None or not begun else wiring.before(directory.root, base)
        judging = replace(services, pins=True, reading=lambda _job: there)
        report = pipeline.inspect(job, judging, _now(), before)
        config = pipeline.configuration(before.rules if before else there, services)
    judged = pipeline.guard(report, config)
    unread = introduced.unread(judged.unread)
    _print(judged, printing, table.summary if before is None else table.came_in)
    if unread:
        _say(f"nothing vouches for {_counted(len(unread), 'file')} that could not be read")
    if (unread and before) or any(one.outcome is Outcome.REFUSE for one in judged.verdicts):
        return FOUND
    return INCOMPLETE if unread or _missing(judged) else CLEAN


def explain(reference: str, path: Path, *, as_json: bool) -> int:
    """Print what a reference points to and how it is judged; return the exit code."""
    from bot.output import explanation

    with wiring.looking(Directory(path)) as services:
        verdict = pipeline.explain(reference, services, _now())
    if as_json:
        print(explanation.dumps(verdict), end="")
    else:
        for line in explanation.lines(verdict, columns()):
            print(line)
    if verdict.unresolved is not None:
        return INCOMPLETE
    return FOUND if verdict.outcome in (Outcome.HOLD, Outcome.REFUSE) else CLEAN


# --- printing -----------------------------------------------------------------------------


def _now() -> datetime:
    return datetime.now(UTC)


def _job(path: Path) -> Job:
    return Job(forge="directory", repository=str(path), ref="", trigger=Trigger.COMMAND_LINE)


def _complete(report: Report) -> int:
    unconfirmed = any(one.reason is UnreadReason.UNCONFIRMED for one in report.unread)
    return INCOMPLETE if unconfirmed or _missing(report) else CLEAN


def _missing(report: Report) -> bool:
    return any(one.unresolved is not None for one in report.verdicts)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _print(report: Report, printing: Printing, summary: Callable[[Report], str] = table.summary) -> None:
    if printing.format_ == "table":
        _print_table(report, printing, summary)
        return
    text = output.FORMATS[printing.format_](report)
    if printing.output is None:
        sys.stdout.write(text)
    else:
        _write(printing.output, text.encode())
        if not printing.quiet:
            _say(f"{summary(report)}; written to {visible(str(printing.output))}")


def _write(file: Path, data: bytes) -> None:
    try:
        file.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{visible(str(file))} cannot be written: {error.strerror}.") from error


def _print_table(report: Report, printing: Printing, summary: Callable[[Report], str]) -> None:
    rows = list(table.rows(report, everything=printing.everything))
    if printing.output is not None:
        lines = [f"{row.place}\t{row.value}\t{row.state}\t{row.note}\n" for row in rows]
        _write(printing.output, "".join(lines).encode())
    elif sys.stdout.isatty():
        _print_groups(rows)
    else:
        place = max((len(row.place) for row in rows), default=0)
        value = max((min(len(row.value), 60) for row in rows), default=0)
        for row in rows:
            print(f"{row.place:<{place}}  {row.value:<{value}}  {row.state:<8}  {row.note}".rstrip())
    if not printing.quiet:
        for line in table.unread(report):
            _say(line)
        _say(summary(report))


def _console() -> Console:
    from rich.console import Console as Made

    return Made(highlight=False)


_WIDE = 70
"""Columns of a terminal from which on notes stand below the value, not below the line's number."""
_TONES = {"good": "green", "bad": "bold yellow", "dim": "dim", "plain": ""}


def _print_groups(rows: Iterable[table.Row]) -> None:
    """Print rows by file, each with its note below it: for a terminal of any width."""
    from rich.padding import Padding
    from rich.text import Text

    console = _console()
    path = None
    for row in rows:
        if row.path != path:
            path = row.path
            console.print(Text(path, style="bold"), soft_wrap=True)
        line = Text.assemble(f"{row.line:>6}  ", (f"{row.state:<8}  {row.value}", _TONES[row.tone]))
        console.print(line, soft_wrap=True)
        if row.note:
            indent = 18 if console.width >= _WIDE else 8
            console.print(Padding(Text(row.note, style="dim"), (0, 0, 0, indent)))


_PARTS = {
    diffs.Part.FILE: "bold",
    diffs.Part.HUNK: "cyan",
    diffs.Part.OLD: "red",
    diffs.Part.NEW: "green",
    diffs.Part.SAME: "",
}


def _print_diff(old: Mapping[str, bytes], new: Mapping[str, bytes], printing: Printing) -> None:
    if printing.output is not None or not sys.stdout.isatty():
        patch = b"".join(diffs.patch(name, old[name], new[name]) for name in sorted(new))
        if printing.output is not None:
            _write(printing.output, patch)
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(patch)
        return
    from rich.text import Text

    console = _console()
    for name in sorted(new):
        for line in diffs.diff(name, old[name], new[name]):
            console.print(Text(line.text, style=_PARTS[line.part]), soft_wrap=True)


def _pinned(report: Report, chosen: Iterable[Verdict], *, written: bool) -> str:
    count = len(tuple(chosen))
    done = "pinned" if written else "would be pinned"
    counts = Counter(one.outcome for one in report.verdicts)
    parts = [f"{_counted(count, 'reference')} {done}"]
    already = sum(one.finding.skip is SkipReason.PINNED for one in report.verdicts)
    left = sum(one.finding.skip not in (None, SkipReason.PINNED) for one in report.verdicts)
    parts += [f"{already} pinned already"] if already else []
    parts += [f"{left} left as is"] if left else []
    parts += [f"{counts[Outcome.REFUSE]} refused"] if counts[Outcome.REFUSE] else []
    parts += [f"{counts[Outcome.HOLD]} held"] if counts[Outcome.HOLD] else []
    return "; ".join(parts)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _say_trouble(report: Report, printing: Printing) -> None:
    """Say why something was not pinned: nothing is skipped in silence."""
    for row in table.rows(report, everything=printing.everything):
        if row.tone in ("bad", "dim") and row.note:
            _say(f"  {row.place}  {row.value}: {row.note}")
    for line in table.unread(report):
        _say(f"  {line}")
