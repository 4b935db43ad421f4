"""Outside text made fit to be shown: one line, nothing unseen, bounded."""

from __future__ import annotations

import re

from bot.model import Finding, GitReference

_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Controls, formats, line separators, surrogates, blanks that are none, and what Unicode lets readers
leave out (`Default_Ignorable_Code_Point`): tags and variation selectors among them."""
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
