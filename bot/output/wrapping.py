"""Words in lines that fit a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

_LEAST = 20
"""Columns that words get even on the narrowest terminal."""


def wrapped(text: str, width: int, indent: int) -> Iterator[str]:
    """Yield text in lines of at most `width` columns, indented; a word that is longer stays whole."""
    yield from textwrap.wrap(
        text,
        max(width, indent + _LEAST),
        initial_indent=" " * indent,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
