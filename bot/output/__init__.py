"""Reports as text: tables, JSON, SARIF, Code Quality, workflow commands, diffs.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bot.model import Report
from bot.output import codequality, document, sarif, workflow

FORMATS: Mapping[str, Callable[[Report], str]] = {
    "json": document.dumps,
    "sarif": sarif.dumps,
    "codequality": codequality.dumps,
    "github": workflow.dumps,
}
"""The formats that a report can be written in, beside the table."""
