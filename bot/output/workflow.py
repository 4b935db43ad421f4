"""GitHub's workflow commands: annotations from a step's standard output."""

from __future__ import annotations

from bot.model import Report
from bot.output.problems import Level, problems
from bot.visible import visible

_COMMAND = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


def dumps(report: Report) -> str:
    """Return one annotation a line for each problem; text cannot start another command."""
    return "".join(
        f"::{_COMMAND[one.level]} file={_property(one.path)},line={one.line},"
        f"title={_property(one.rule.value)}::{_data(one.text)}\n"
        for one in problems(report)
    )


def _data(text: str) -> str:
    return visible(text, 1000).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
