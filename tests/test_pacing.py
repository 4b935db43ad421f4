"""How fast a forge is written to, by a clock of our own, and what becomes of what is beyond."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.forges.pacing import LONGEST, Pacing, Window

MINUTE, HOUR = Window(80, 60.0), Window(500, 3600.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_burst_is_let_through_and_what_is_beyond_waits(clock: Clock) -> None:
    pacing = Pacing(clock, (MINUTE, HOUR))
    for _ in range(80):
        assert pacing.take("acme") is None
        clock.now += 0.1
    # The first one leaves the minute after 60 s.
    assert pacing.take("acme") == pytest.approx(52.0)
    assert pacing.take("other") is None
    clock.now += 52.05
    assert pacing.take("acme") is None
    assert pacing.take("acme") == 1.0  # no less than that


def test_an_hour_is_counted_beside_the_minute(clock: Clock) -> None:
    pacing = Pacing(clock, (MINUTE, HOUR))
    for _ in range(500):
        assert pacing.take("acme") is None
        clock.now += 1.0
    assert pacing.take("acme") == pytest.approx(3100.0)
    clock.now += 3100.0
    assert pacing.take("acme") is None


@pytest.mark.parametrize("windows", [(), (Window(0, 60.0),)])
def test_without_a_limit_nothing_waits(clock: Clock, windows: tuple[Window, ...]) -> None:
    pacing = Pacing(clock, windows)
    assert {pacing.take("acme") for _ in range(1000)} == {None}
    assert pacing.room("acme", 1000) is None


def test_what_was_refused_does_not_count(clock: Clock) -> None:
    pacing = Pacing(clock, (Window(1, 60.0),))
    assert pacing.take("acme") is None
    for _ in range(10):
        assert pacing.take("acme") == pytest.approx(60.0)
    clock.now += 60.0
    assert pacing.take("acme") is None


def test_whoever_asks_for_more_than_there_ever_is_gets_it_all(clock: Clock) -> None:
    pacing = Pacing(clock, (Window(5, 60.0),))
    assert pacing.room("acme", 8) is None
    assert pacing.take("acme") is None
    assert pacing.room("acme", 8) == pytest.approx(60.0)


def test_hundreds_that_wait_come_back_one_after_the_other(clock: Clock) -> None:
    """Each is told its own time, as far from the next one's as its writes take."""
    pacing = Pacing(clock, (MINUTE, HOUR))
    for _ in range(500):
        pacing.take("acme")
        clock.now += 1.0
    waits = [pacing.room("acme", 8) for _ in range(600)]
    told = [wait for wait in waits if wait is not None]
    assert len(told) == 600
    apart = [after - before for before, after in pairwise(told)]
    assert apart[:100] == [pytest.approx(8 * 3600 / 500)] * 100
    assert max(told) == LONGEST
    clock.now += LONGEST
    assert pacing.room("acme", 8) is None


def test_a_sweep_of_hundreds_ends_after_few_tries(clock: Clock) -> None:
    """Three hundred proposals of four writes each: no window is ever overrun, and nobody tries often."""
    pacing = Pacing(clock, (MINUTE, HOUR))
    waiting: list[tuple[float, int]] = [(clock.now, number) for number in range(300)]
    tries = dict.fromkeys(range(300), 0)
    written: deque[float] = deque()
    while waiting:
        waiting.sort()
        due, number = waiting.pop(0)
        clock.now = max(clock.now, due)
        tries[number] += 1
        assert tries[number] < 10
        wait = pacing.room("acme", 5)
        if wait is not None:
            waiting.append((clock.now + wait, number))
            continue
        for _ in range(4):
            assert pacing.take("acme") is None
            written.append(clock.now)
            clock.now += 0.2
    assert len(written) == 1200
    for window in (MINUTE, HOUR):
        for index, at in enumerate(written):
            assert sum(at <= one < at + window.seconds for one in list(written)[index:]) <= window.most
    assert clock.now - 1_000_000.0 < 4 * 3600


@given(st.lists(st.floats(0, 30), max_size=200), st.integers(1, 9), st.floats(1, 100))
def test_no_window_is_ever_overrun(pauses: list[float], most: int, seconds: float) -> None:
    clock = Clock()
    pacing = Pacing(clock, (Window(most, seconds),))
    done: list[float] = []
    for pause in pauses:
        clock.now += pause
        wait = pacing.take("acme")
        if wait is None:
            done.append(clock.now)
        else:
            assert 1 <= wait <= seconds + 1
    for index, at in enumerate(done):
        assert sum(one - at < seconds - 1e-6 for one in done[index:]) <= most


def test_a_clock_that_is_set_back_forgets(clock: Clock) -> None:
    pacing = Pacing(clock, (Window(1, 60.0),))
    assert pacing.take("acme") is None
    assert pacing.room("acme", 1) is not None
    clock.now -= 10_000_000.0
    assert pacing.take("acme") is None


def test_threads_share_what_is_left(clock: Clock) -> None:
    pacing = Pacing(clock, (MINUTE,))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: pacing.take("acme"), range(200)))
    assert answers.count(None) == 80
