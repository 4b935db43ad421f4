"""The JSON document of a report, version 1.

File names need not be UTF-8: `path` shows U+FFFD for each byte that is not, and `path_bytes`, which
is there for such names alone, holds the whole name's bytes in base64.
"""

from __future__ import annotations

import base64
import json
import re

from bot.model import Finding, GitReference, ImageReference, Outcome, Reference, Report, Unread, Verdict

_SURROGATE = re.compile(r"[\ud800-\udfff]")
"""What stands for a byte that is not UTF-8, as `os.fsdecode` has it."""


def dumps(report: Report) -> str:
    """Return the report as one JSON document, ASCII only, so that any terminal or pipe takes it."""
    return json.dumps(document(report), indent=1) + "\n"


def document(report: Report) -> dict[str, object]:
    """Return the report as JSON data; a `scan` has no `verdict` in its references."""
    return {
        "version": 1,
        "files": report.files,
        "references": [{**reference(one.finding), **verdict(one)} for one in report.verdicts],
        "unread": [unread(one) for one in report.unread],
        "notes": [_text(note) for note in report.notes],
    }


def reference(finding: Finding) -> dict[str, object]:
    """Return a finding as JSON data; line 1-based, column a 0-based byte offset in its line."""
    return {
        **_path(finding.location.path),
        "line": finding.location.line,
        "column": finding.location.column,
        "kind": finding.kind.value,
        "format": finding.format,
        "where": _text(finding.where),
        "value": _text(finding.value),
        "state": finding.state.value,
        "skip": finding.skip.value if finding.skip else None,
        "note": _text(finding.note),
        "reference": parts(finding.reference),
    }


def parts(of: Reference | None) -> dict[str, object] | None:
    """Return a reference's parts as JSON data, or None where it is none by its grammar."""
    match of:
        case ImageReference():
            return {
                "registry": of.registry,
                "repository": of.repository,
                "tag": of.tag,
                "digest": of.digest,
            }
        case GitReference():
            return {"host": of.host, "repository": of.repository, "path": of.path, "ref": of.ref}
        case None:
            return None


def verdict(one: Verdict) -> dict[str, object]:
    """Return what was looked up and judged, or nothing where nothing was and nothing is wrong."""
    made: dict[str, object] = {}
    if one.candidate is not None:
        made["target"] = one.candidate.target
        made["cause"] = one.candidate.cause.value
    if one.unresolved is not None:
        made["unresolved"] = {"reason": one.unresolved.reason.value, "detail": _text(one.unresolved.detail)}
    if made or one.outcome is not Outcome.PASS:
        made["outcome"] = one.outcome.value
        made["reasons"] = [
            {"check": why.check, "ruling": why.ruling.value, "demand": why.demand, "text": _text(why.text)}
            for why in one.reasons
        ]
    return {"verdict": made} if made else {}


def unread(one: Unread) -> dict[str, object]:
    """Return a file that was not read as JSON data."""
    return {
        **_path(one.path),
        "line": one.line,
        "reason": one.reason.value,
        "detail": _text(one.detail),
    }


def _path(path: str) -> dict[str, object]:
    shown = _text(path)
    if shown == path:
        return {"path": path}
    try:
        name = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # not a file's name, but what a forge calls one
        return {"path": shown}
    return {"path": shown, "path_bytes": base64.b64encode(name).decode("ascii")}


def _text(text: str) -> str:
    """Return text that JSON can carry."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
