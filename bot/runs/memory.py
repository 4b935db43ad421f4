"""What runs need of a store, and what they write down of a report."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Protocol

from bot import finders, globs, pipeline
from bot.config import CONFIG_PATHS, Config
from bot.model import (
    GitReference,
    ImageReference,
    Outcome,
    Reference,
    Report,
    SkipReason,
    Verdict,
)
from bot.output import diff
from bot.pipeline import Services
from bot.store.base import (
    Accounts,
    Audit,
    Checks,
    Conversations,
    Decisions,
    Proposals,
    Referenced,
    Repositories,
    Reviews,
    Scan,
    Schedules,
    Sweeps,
    WritableLedger,
)
from bot.visible import named, visible

RULES = "2"
"""Changes when a finder or a check learns something: what was scanned before is scanned again."""
_PATHS = 5000
_TOLD = 3
_REFERENCES = 5000
_LONGEST_LOGIN = 255


def somebody(forge: str, login: str) -> str:
    """Return whom the audit log names for what a person did on a forge, which may not tell who it was."""
    return f"{forge}:{visible(login, _LONGEST_LOGIN)}" if login else "somebody"


class Memory(Protocol):
    """The part of a store that runs need."""

    @property
    def proposals(self) -> Proposals:
        """Return the proposals."""

    @property
    def repositories(self) -> Repositories:
        """Return what is known of repositories."""

    @property
    def decisions(self) -> Decisions:
        """Return what people settled."""

    @property
    def accounts(self) -> Accounts:
        """Return who we are."""

    @property
    def checks(self) -> Checks:
        """Return what is to be said about commits."""

    @property
    def reviews(self) -> Reviews:
        """Return what is to be said on requests, and what stands there."""

    @property
    def audit(self) -> Audit:
        """Return the audit log."""

    @property
    def conversations(self) -> Conversations:
        """Return what people said to us."""

    @property
    def sweeps(self) -> Sweeps:
        """Return the sweeps, and what became of each branch."""

    @property
    def schedules(self) -> Schedules:
        """Return what is done by the clock."""

    def ledger(self, scope: str) -> WritableLedger:
        """Return the ledger of one scope."""


def remember(report: Report, ledger: WritableLedger, now: datetime) -> None:
    """Record in the ledger what each image that was looked up points to."""
    for verdict in report.verdicts:
        candidate = verdict.candidate
        if candidate is None:
            continue
        reference = candidate.resolution.reference
        if isinstance(reference, ImageReference) and reference.digest is None:
            ledger.record(reference, candidate.target, now)


def shown(report: Report) -> str:
    """Return the unified diff of what a report's edits come to."""
    files = pipeline.confirm(report).files(report)
    return "".join(
        f"{line.text}\n"
        for path in sorted(files)
        for line in diff.diff(path, report.snapshot.files[path], files[path])
    )


def rules(services: Services) -> str:
    """Return a hash of everything that rules a scan beside the commit itself."""
    made = hashlib.sha256()
    parts = (services.server, services.owner_configs, services.decisions, services.scope)
    for part in (RULES, *map(repr, parts)):
        made.update(part.encode("utf-8", "backslashreplace") + b"\0")
    return made.hexdigest()


def matters(path: str, scan: Scan) -> bool:
    """Return whether a change of a file can change what a scan finds."""
    if path in CONFIG_PATHS or path in pipeline.BESIDE or finders.claims(path, b""):
        return True
    return any(path == one or ("*" in one and globs.matches(one, path)) for one in scan.paths)


def scan(report: Report, config: Config, ruled: str) -> Scan:
    """Return what is remembered of a report: names, never contents."""
    leads = (path for one in report.unread for path in one.leads)
    paths = dict.fromkeys([*report.snapshot.files, *report.asked, *leads])
    crowded = len(paths) > _PATHS
    return Scan(
        head=report.commit or "",
        rules=ruled,
        # Where there are too many, every path matters.
        paths=("**",) if crowded else tuple(path for path in paths if not finders.claims(path, b"")),
        references=tuple(
            made for verdict in report.verdicts[:_REFERENCES] if (made := _referenced(verdict)) is not None
        ),
        refs=config.refs,
        held=sum(_is_unsettled(verdict) for verdict in report.verdicts),
        at=report.made_at,
    )


def held(report: Report) -> str:
    """Return for people what a scan held or refused, and why; empty for nothing."""
    those = [one for one in report.verdicts if _is_unsettled(one)]
    said = [
        f"{visible(one.finding.location.path)}:{one.finding.location.line} {named(one.finding)}: "
        f"{one.reasons[-1].text if one.reasons else one.outcome.value}"
        for one in those[:_TOLD]
    ]
    more = len(those) - len(said)
    return "; ".join([*said, *([f"and {more} more"] if more else [])])


def _is_unsettled(verdict: Verdict) -> bool:
    """Return whether another look may end otherwise although nothing moved: time, or a server that is back."""
    return verdict.unresolved is not None or verdict.outcome in (Outcome.HOLD, Outcome.REFUSE)


def _referenced(verdict: Verdict) -> Referenced | None:
    finding = verdict.finding
    reference = finding.reference
    if reference is None:
        return None
    name, version = _spelt(reference)
    target = verdict.candidate.target if verdict.candidate else ""
    written = reference.digest or "" if isinstance(reference, ImageReference) else ""
    return Referenced(
        path=finding.location.path,
        line=finding.location.line,
        kind=finding.kind.value,
        name=name,
        version=version,
        digest=target or written,
        pinned=finding.skip is SkipReason.PINNED,
    )


def _spelt(reference: Reference) -> tuple[str, str]:
    if isinstance(reference, GitReference):
        return f"{reference.host}/{reference.repository}", reference.ref
    return f"{reference.registry}/{reference.repository}", reference.followed_tag or ""
