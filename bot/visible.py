"""Outside text made fit to be shown: one line, nothing unseen, bounded."""

from __future__ import annotations

import re

from bot.model import Finding, GitReference

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_LIMIT = 300


def visible(text: str, limit: int = _LIMIT) -> str:
    """Return text on one line, without control, bidirectional and other unseen characters.

    Each is shown as U+FFFD, so that a terminal, a log or a reader cannot be led astray; text
    beyond `limit` characters is cut.
    """
    line = _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def named(finding: Finding) -> str:
    """Return a finding's value; where that is a mere ref, with the repository that it is a ref of."""
    reference = finding.reference
    if isinstance(reference, GitReference) and finding.value == reference.ref:
        return str(reference)
    return finding.value


def left_alone(finding: Finding) -> str:
    """Return why a finding is left as it is: its reason, and its note if that says more."""
    reason = finding.skip.value if finding.skip else ""
    first = reason.partition("-")[0]
    if finding.note.casefold().startswith(first):
        return finding.note
    return f"{reason}: {finding.note}" if finding.note else reason
