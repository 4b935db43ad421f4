"""The operator's settings told to those who cannot set them: whom to ask, in their place."""

from __future__ import annotations

import re

_CLAUSE = re.compile(r"(?<=[.;]) ")
_SETTING = re.compile(r"^.*MOORLINE_[A-Z_]+", re.DOTALL)


def for_reviewers(text: str) -> str:
    """Return a reason with "ask whoever runs Moorline" in place of which setting would help."""
    if "MOORLINE_" not in text:
        return text
    made: list[str] = []
    for clause in _CLAUSE.split(text):
        begins = not made or made[-1].endswith(".")
        made.append(_SETTING.sub(f"{'A' if begins else 'a'}sk whoever runs Moorline", clause))
    return " ".join(made)
