"""Which remark stands on which of several equal lines, whatever an author does to them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import example, given
from hypothesis import strategies as st
from moving_lines import followed

from bot.model import Remark, Spoken
from bot.settling import around, settle

FLOATING, OTHER, PINNED = b"FROM node:22", b"FROM alpine:3", b"FROM node:22@sha256:0"
_ABOUT = {FLOATING: "node", OTHER: "alpine"}
_FILES = st.lists(st.sampled_from([FLOATING, OTHER, PINNED, b"RUN a", b"RUN b", b""]), max_size=8)


def remarks(lines: list[bytes]) -> list[Remark]:
    """Return what is said of a file: one remark for each line that floats."""
    return [
        Remark(
            path="Dockerfile",
            first=number,
            last=number,
            body="Pin it.",
            topic=_ABOUT[line],
            around=around(lines, number, number),
        )
        for number, line in enumerate(lines, 1)
        if line in _ABOUT
    ]


@dataclass(slots=True)
class Forge:
    """Follows the lines of what was said, as forges do."""

    lines: list[bytes]
    standing: dict[Spoken, int | None]
    """On which line each stands."""
    said: int = 0

    def push(self, lines: list[bytes]) -> None:
        moved = followed(b"".join(one + b"\n" for one in self.lines), b"".join(one + b"\n" for one in lines))
        self.standing = {
            one: None if line is None else moved.get(line) for one, line in self.standing.items()
        }
        self.lines = lines

    def review(self) -> None:
        """Say what there is to say, asking where things stand only if that is not clear."""
        made = settle(remarks(self.lines), tuple(self.standing))
        if not made.certain:
            made = settle(remarks(self.lines), tuple(self.standing), self.standing)
            assert made.certain
        places = {one.place: line for one, line in self.standing.items()}
        self.standing = {one: places[one.place] for one in made.kept}
        for one in made.fresh:
            self.said += 1
            self.standing[Spoken(remark=one, place=str(self.said))] = one.first


@given(st.lists(_FILES, min_size=1, max_size=6))
@example([[FLOATING, b"RUN a", FLOATING], [PINNED, b"RUN a", FLOATING]])
@example([[FLOATING, FLOATING], [FLOATING]])
@example([[FLOATING, b"RUN a"], [PINNED, b"RUN a", FLOATING]])
@example([[FLOATING], [FLOATING, b"RUN a", FLOATING], [b"RUN b", FLOATING, PINNED]])
def test_what_is_open_stands_on_just_the_lines_that_float(files: list[list[bytes]]) -> None:
    forge = Forge([], {})
    for lines in files:
        forge.push(lines)
        before = dict(forge.standing)
        forge.review()
        floating = [number for number, line in enumerate(lines, 1) if line in _ABOUT]
        assert sorted(line or 0 for line in forge.standing.values()) == floating
        # What still stands on a line that floats is neither settled nor said again.
        kept = {one.place for one in forge.standing}
        assert {one.place for one, line in before.items() if line in floating} <= kept


@given(_FILES, _FILES)
def test_without_a_word_of_the_forge_as_many_stay_as_there_are_lines(
    first: list[bytes], second: list[bytes]
) -> None:
    before = tuple(Spoken(remark=one, place=str(one.first)) for one in remarks(first))
    now = remarks(second)
    made = settle(now, before)
    for topic in set(_ABOUT.values()):
        old, new = (sum(one.topic == topic for one in each) for each in ([one.remark for one in before], now))
        assert sum(one.remark.topic == topic for one in made.kept) == min(old, new)
        assert sum(one.topic == topic for one in made.fresh) == new - min(old, new)
    assert len(made.kept) + len(made.gone) == len(before)


@given(_FILES)
def test_a_file_that_stays_is_not_asked_about(lines: list[bytes]) -> None:
    before = tuple(Spoken(remark=one, place=str(one.first)) for one in remarks(lines))
    made = settle(remarks(lines), before)
    assert (made.kept, made.fresh, made.gone, made.certain) == (before, (), (), True)


def test_what_was_fixed_is_known_by_its_neighbours() -> None:
    """A forge that does not tell lines: the first of two is fixed, and what is above and below changes too."""
    lines = [b"a:", FLOATING, b"b:", FLOATING, b""]
    before = tuple(Spoken(remark=one, place=str(one.first)) for one in remarks(lines))
    now = remarks([b"# new", b"a:", PINNED, b"b:", FLOATING, b"", b"# more"])
    made = settle(now, before)
    assert [one.place for one in made.kept] == ["4"]
    assert [one.place for one in made.gone] == ["2"]


def test_what_is_about_nothing_is_said_no_more() -> None:
    [one, *_] = remarks([FLOATING])
    before = (Spoken(remark=replace(one, topic=""), place="1"),)
    made = settle([one], before)
    assert (made.kept, made.fresh, made.gone) == ((), (one,), before)
