"""What every test has in common."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

# Properties are judged by what they find, never by the time they take.
settings.register_profile("moorline", deadline=None)
settings.load_profile("moorline")

_SHARED = re.compile(
    r"(?:.*/)?(test_(?:scenarios|reviewing_scenarios|conversations)\.py)::.*\[(git|github|github-enterprise|gitlab)"
    r"(?:-(?!enterprise)[^\[]*)?\]$"
)
"""Modules with one service for each place, which is the first of a test's parameters."""


def _is_configured() -> bool:
    module = sys.modules.get("structlog")
    return module is not None and bool(module.is_configured())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many runs were killed, and what became of all heads, after the tests of faults."""
    told = [
        value
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "faults" and isinstance(value, dict)
    ]
    if not told:
        return
    terminalreporter.section("faults")
    for one in told if terminalreporter.verbosity >= 0 else ():
        terminalreporter.line(str(one["text"]))
    sums = [f"{sum(one[what] for one in told)} {what}" for what in ("killed runs", "heads", "proposals")]
    terminalreporter.line(f"{len(told)} faults: {', '.join(sums)}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the processes that `-n auto` means: a third of the time is spent waiting for servers."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let one process run all tests that share a service: `--dist loadgroup` by what their names say.

    The plug-in's own groups are written into a field that pytest 9 reads no more.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]  # xdist ships no types

    made = LoadGroupScheduling(config, log)
    made._split_scope = lambda nodeid: service(nodeid) or nodeid
    return made


def service(nodeid: str) -> str:
    """Return the name of the service that a test shares with others; empty where it shares none."""
    found = _SHARED.match(nodeid)
    return f"{found[1]}[{found[2]}]" if found else ""


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Take back what a test configured of the log, which is one for the whole process."""
    root = logging.getLogger()
    handlers, level, configured = root.handlers[:], root.level, _is_configured()
    yield
    for handler in root.handlers[:]:
        if handler not in handlers and type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    root.setLevel(level)
    if _is_configured() and not configured:
        sys.modules["structlog"].reset_defaults()
