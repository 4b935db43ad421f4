"""The edits of a report, confirmed by finding again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bot import candidates, edits, finders
from bot.dockerfile import second_reader
from bot.finders import dockerfile
from bot.model import Edit, Finding, Report, Unread, UnreadReason, Verdict
from bot.pipeline.looking import once
from bot.yamltree import sparing


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The edits that finding again has confirmed, and the files that they would not fit."""

    edits: tuple[Edit, ...]
    written: tuple[Verdict, ...]
    """The verdicts whose candidates the edits carry out."""
    unread: tuple[Unread, ...] = ()

    def files(self, report: Report) -> dict[str, bytes]:
        """Return the new bytes of each file that is touched."""
        return edits.apply(report.snapshot.files, self.edits)


@sparing()
def confirm(report: Report) -> Confirmed:
    """Return the edits of a report, each file's confirmed by finding again.

    A file that cannot be confirmed is left untouched and reported.
    """
    by_path: dict[str, list[Verdict]] = {}
    for verdict in report.verdicts:
        if verdict.writes:
            by_path.setdefault(verdict.finding.location.path, []).append(verdict)
    # One such name must not keep the guard from letting everything else through.
    odd = [path for path in by_path if not edits.is_plain(path)]
    unread = [
        Unread(path=path, reason=UnreadReason.UNCONFIRMED, detail="its name is not one that is written to")
        for path in odd
    ]
    for path in odd:
        del by_path[path]
    chosen = [verdict for verdicts in by_path.values() for verdict in verdicts]
    if not chosen or trouble_with(report, chosen) is None:
        return Confirmed(edits=edits_of(chosen), written=tuple(chosen), unread=tuple(unread))
    good: list[Verdict] = []
    for path, verdicts in by_path.items():
        trouble = trouble_with(report, verdicts)
        if trouble is None and trouble_with(report, [*good, *verdicts]) is None:
            good += verdicts
        else:
            unread.append(Unread(path=path, reason=UnreadReason.UNCONFIRMED, detail=trouble or "conflict"))
    return Confirmed(edits=edits_of(good), written=tuple(good), unread=tuple(unread))


def edits_of(verdicts: Iterable[Verdict]) -> tuple[Edit, ...]:
    """Return the edits that carry out the candidates of verdicts."""
    return tuple(
        edit for verdict in verdicts if verdict.candidate for edit in candidates.edits(verdict.candidate)
    )


def trouble_with(report: Report, verdicts: Sequence[Verdict]) -> str | None:
    """Return what is wrong with the edits of verdicts as finding again sees them, or None."""
    try:
        made = edits_of(verdicts)
        changed = edits.apply(report.snapshot.files, made)
    except ValueError as error:
        return str(error)
    touched = {
        path
        for path, references in report.found.items()
        if path in changed or any(one.location.path in changed for one in references)
    }
    files = {**report.snapshot.files, **changed}
    after: dict[str, tuple[Finding, ...]] = {}
    for path, _, findings in finders.find(files, touched):
        after[path] = after.get(path, ()) + findings.references
    before = once({path: report.found[path] for path in touched})
    raw = {finding.location: finding for finding in before}
    targets = {
        place: candidates.target_reference(
            replace(verdict.candidate, finding=raw.get(place, verdict.finding))
        )
        for verdict in verdicts
        if verdict.candidate is not None
        for place in [verdict.finding.location]
    }
    return edits.confirm(before, once(after), targets, made) or _objection(report, changed, made)


def _objection(report: Report, changed: Mapping[str, bytes], made: Sequence[Edit]) -> str | None:
    """Return what a second reader has against edits of the formats that it knows, or None."""
    known = {
        one.location.path
        for references in report.found.values()
        for one in references
        if one.format == dockerfile.FORMAT and one.location.path in changed
    }
    for path in sorted(known):
        edited = [one for one in made if one.path == path]
        said = second_reader.objection(report.snapshot.files[path], changed[path], edited)
        if said is not None:
            return said
    return None
