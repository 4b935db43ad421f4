"""What every test has in common."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Properties are judged by what they find, never by the time they take.
settings.register_profile("moorline", deadline=None)
settings.load_profile("moorline")


def _is_configured() -> bool:
    module = sys.modules.get("structlog")
    return module is not None and bool(module.is_configured())


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
