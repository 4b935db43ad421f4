"""A server that is not installed is a skip for a person, and a failure for continuous integration."""

from __future__ import annotations

import pytest
import servers


@pytest.mark.parametrize("required", [False, True])
def test_a_missing_program(monkeypatch: pytest.MonkeyPatch, required: bool) -> None:
    monkeypatch.setattr(servers, "REQUIRED", required)
    expected = pytest.fail.Exception if required else pytest.skip.Exception
    with pytest.raises(expected, match="no-such-program is not installed"):
        servers.program("no-such-program")


def test_a_program_that_is_there() -> None:
    assert servers.program("sh").endswith("/sh")
