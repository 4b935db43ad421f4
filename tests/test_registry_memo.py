"""Memos: ages, bounds, and one question at a time."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.registries.budget import Budget
from bot.registries.memo import Memo


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_is_known_until_it_is_old() -> None:
    clock = Clock()
    memo: Memo[int] = Memo(keep=lambda _: 10.0, clock=clock)
    answers = iter(range(10))
    assert [memo.get("a", lambda: next(answers)) for _ in range(3)] == [0, 0, 0]
    clock.now += 10.0
    assert memo.get("a", lambda: next(answers)) == 1
    memo.forget("a")
    memo.forget("never known")
    assert memo.get("a", lambda: next(answers)) == 2


def test_what_is_not_kept_is_asked_again() -> None:
    memo: Memo[int] = Memo(keep=lambda answer: 0.0 if answer < 1 else 5.0)
    answers = iter(range(10))
    assert [memo.get("a", lambda: next(answers)) for _ in range(3)] == [0, 1, 1]


def test_failures_are_raised_and_not_kept() -> None:
    memo: Memo[int] = Memo()

    def fail() -> int:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            memo.get("a", fail)
    assert memo.get("a", lambda: 1) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=60))
def test_a_memo_stays_within_its_capacity(asked: list[tuple[int, int]]) -> None:
    memo: Memo[int] = Memo(capacity=12, weigh=lambda answer: answer + 1)
    for key, answer in asked:
        memo.get(key, lambda answer=answer: answer)  # type: ignore[misc]  # a default binds the loop's value
        kept = [value for _, _, value in memo._known.values()]
        assert sum(value + 1 for value in kept) == memo._weight <= 12


def test_the_least_used_goes_first() -> None:
    memo: Memo[str] = Memo(capacity=2)
    for key in ("a", "b", "a", "c"):
        memo.get(key, lambda key=key: key)  # type: ignore[misc]  # a default binds the loop's value
    assert list(memo._known) == ["a", "c"]


def test_equal_questions_of_many_threads_are_asked_once() -> None:
    memo: Memo[int] = Memo()
    asked: Counter[int] = Counter()
    lock = threading.Lock()
    together = threading.Barrier(16)

    def ask(key: int) -> int:
        with lock:
            asked[key] += 1
        return key * 2

    def work(seed: int) -> None:
        together.wait()
        keys = list(range(200))
        random.Random(seed).shuffle(keys)
        for key in keys:
            assert memo.get(key, lambda key=key: ask(key)) == key * 2  # type: ignore[misc]  # bound by default

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, range(16)))
    assert asked == Counter(dict.fromkeys(range(200), 1))
    assert not memo._pending


def test_who_waited_for_a_failure_asks_for_itself() -> None:
    memo: Memo[int] = Memo()
    started, may_fail = threading.Event(), threading.Event()

    def fail() -> int:
        started.set()
        assert may_fail.wait(10)
        raise ValueError("no")

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(memo.get, "a", fail)
        assert started.wait(10)
        second = threads.submit(memo.get, "a", lambda: 7)
        may_fail.set()
        with pytest.raises(ValueError, match="no"):
            first.result(10)
        assert second.result(10) == 7


# --- budgets ------------------------------------------------------------------------------

HUB = "registry-1.docker.io"


def test_a_budget_is_spent_and_comes_back() -> None:
    clock = Clock()
    budget = Budget(limits={HUB: 3}, window=60.0, clock=clock)
    assert [budget.spend(HUB) for _ in range(3)] == [None] * 3
    clock.now += 20.0
    assert budget.spend(HUB) == 40.0
    assert budget.spend("ghcr.io") is None
    clock.now += 40.0
    assert budget.spend(HUB) is None


def test_the_registrys_own_count_is_believed() -> None:
    clock = Clock()
    budget = Budget(floor=5, clock=clock)
    budget.observe(HUB, "76;w=21600")
    assert budget.spend(HUB) is None
    budget.observe(HUB, "5;w=3600")
    assert budget.spend(HUB) == 3600.0
    clock.now += 600.0
    budget.observe(HUB, "0;w=3600")  # Further answers do not put the end off.
    assert budget.spend(HUB) == 3000.0
    budget.observe(HUB, "50;w=3600")
    assert budget.spend(HUB) is None
    budget.observe(HUB, "0")
    assert budget.spend(HUB) == 21600.0
    clock.now += 21600.0
    assert budget.spend(HUB) is None


@given(st.text())
def test_any_count_is_read(text: str) -> None:
    budget = Budget()
    budget.observe(HUB, text)
    budget.observe(HUB, None)


def test_a_pause_ends() -> None:
    clock = Clock()
    budget = Budget(clock=clock)
    assert budget.paused(HUB) is None
    budget.pause(HUB, 30.0)
    budget.pause(HUB, 10.0)
    assert budget.paused(HUB) == 30.0
    clock.now += 30.0
    assert budget.paused(HUB) is None
