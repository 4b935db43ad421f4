"""Merge bases against what counting says, in histories whose commits may all be of one second."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.forges.githistory import is_ancestor, merge_bases

History = dict[bytes, tuple[int, list[bytes]]]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Return commits with their times and parents, children behind their parents."""
    made: History = {}
    time = 1000
    for number in range(draw(st.integers(2, 10))):
        time += draw(st.integers(0, 1))
        known = list(made)
        parents = draw(st.lists(st.sampled_from(known), max_size=3, unique=True)) if known else []
        made[b"%d" % number] = (time, parents)
    return made


def ancestors(history: History, commit: bytes) -> set[bytes]:
    """Return a commit and everything before it."""
    found: set[bytes] = set()
    waiting = [commit]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += history[one][1]
    return found


@settings(max_examples=150, deadline=None)
@given(histories())
def test_merge_bases_are_the_best_of_what_is_common(history: History) -> None:
    def parents(commit: bytes) -> tuple[int, Sequence[bytes]]:
        return history[commit]

    reach = {commit: ancestors(history, commit) for commit in history}
    for one, other in itertools.product(history, repeat=2):
        common = reach[one] & reach[other]
        best = {commit for commit in common if not any(commit in reach[c] for c in common - {commit})}
        assert set(merge_bases(one, other, parents)) == best
        assert is_ancestor(one, other, parents) is (one in reach[other])


def test_only_what_has_to_be_read_is_read() -> None:
    """A branch that is a little behind does not cost the whole history."""
    history: History = {b"%d" % n: (n, [b"%d" % (n - 1)] if n else []) for n in range(10_000)}
    history[b"side"] = (9_990, [b"9980"])
    asked = set()

    def parents(commit: bytes) -> tuple[int, Sequence[bytes]]:
        asked.add(commit)
        return history[commit]

    assert merge_bases(b"9999", b"side", parents) == [b"9980"]
    assert len(asked) < 40


def test_what_is_missing_is_said() -> None:
    with pytest.raises(KeyError):
        merge_bases(b"a", b"b", {b"a": (1, [b"gone"]), b"b": (1, [])}.__getitem__)
