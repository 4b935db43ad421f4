"""GitHub's workflow commands: annotations from a step's standard output."""

from __future__ import annotations

from bot.model import Report
from bot.output.problems import Level, Problem, counted, problems
from bot.visible import visible

_COMMAND = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


_MOST = 10
"""Annotations of one kind that GitHub shows of one step; more stand in its log alone."""


def dumps(report: Report) -> str:
    """Return one annotation a line for the first ten problems of each level, and a last one on the rest.

    The rest stands before that as plain lines for the log.  Text cannot start another command.
    """
    kinds: dict[Level, list[Problem]] = {level: [] for level in Level}
    for one in problems(report):
        kinds[one.level].append(one)
    left = {level: len(found) - _MOST for level, found in kinds.items() if len(found) > _MOST}
    if left and len(kinds[Level.NOTE]) >= _MOST:  # the last annotation is a notice, too
        left[Level.NOTE] = len(kinds[Level.NOTE]) - _MOST + 1
    cut = {level: len(found) - left.get(level, 0) for level, found in kinds.items()}
    lines = [_annotation(one) for level, found in kinds.items() for one in found[: cut[level]]]
    if left:
        lines += [_plain(one) for level, found in kinds.items() for one in found[cut[level] :]]
        lines.append(f"::notice title=Moorline::Not annotated are {counted(left)}; they stand in the log.\n")
    return "".join(lines)


def _plain(one: Problem) -> str:
    line = f"{_COMMAND[one.level]}: {visible(one.path, 1000)}:{one.line}: {visible(one.text, 1000)}\n"
    return line.replace("##[", "## [")  # how commands began once, and still do anywhere in a line


def _annotation(one: Problem) -> str:
    place = f"file={_property(one.path)},line={one.line},title={_property(one.rule.value)}"
    return f"::{_COMMAND[one.level]} {place}::{_data(one.text)}\n"


def _data(text: str) -> str:
    return visible(text, 1000).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
