"""Cron expressions, against the plainest reading of them: minute by minute."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import cron

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
"""A Monday."""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("daily", "2026-11-23 12:00", "2026-11-24 00:00"),
        ("weekly", "2026-11-23 12:00", "2026-11-29 00:00"),
        ("monthly", "2026-11-23 12:00", "2026-12-01 00:00"),
        ("0 4 * * 1", "2026-11-23 03:59", "2026-11-23 04:00"),
        ("0 4 * * 1", "2026-11-23 04:00", "2026-11-30 04:00"),
        ("0 4 * * 1", "2026-11-23 03:59:59", "2026-11-23 04:00"),
        ("0 4 * * mon", "2026-11-23 04:00:30", "2026-11-30 04:00"),
        ("0 4 * * 7", "2026-11-23 12:00", "2026-11-29 04:00"),
        ("0 4 * * fri-sun", "2026-11-28 12:00", "2026-11-29 04:00"),
        ("*/20 * * * *", "2026-11-23 12:01", "2026-11-23 12:20"),
        ("5-59/20 * * * *", "2026-11-23 12:26", "2026-11-23 12:45"),
        ("0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00"),
        ("0 0 31 * *", "2026-11-23 12:00", "2026-12-31 00:00"),
        ("30 23 31 DEC *", "2026-12-31 23:30", "2027-12-31 23:30"),
        # Where both kinds of day are restricted, either is enough.
        ("0 0 13 * 5", "2026-11-23 12:00", "2026-11-27 00:00"),
        ("0 0 13 * 5", "2026-11-27 12:00", "2026-12-04 00:00"),
        ("0 0 13 * 5", "2026-12-11 12:00", "2026-12-13 00:00"),
        # A step over everything restricts nothing in that sense.
        ("0 0 */2 * 5", "2026-11-23 12:00", "2026-11-27 00:00"),
        ("0 0 */2 * 5", "2026-11-27 12:00", "2026-12-11 00:00"),
        ("0 0 */31 2 1", "2021-02-02 00:00", "2027-02-01 00:00"),
        ("0 0 */31 2 1", "2094-02-02 00:00", "2100-02-01 00:00"),
    ],
)
def test_next(text: str, after: str, expected: str) -> None:
    assert cron.parse(text).next(at(after)) == at(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("hourly", "five fields"),
        ("@daily", "five fields"),
        ("Daily", "five fields"),
        ("60 * * * *", "minute that is not from 0 to 59"),
        ("* 24 * * *", "hour that is not from 0 to 23"),
        ("* * 0 * *", "day of the month that is not from 1 to 31"),
        ("* * * 13 *", "month that is not from 1 to 12"),
        ("* * * * 8", "day of the week that is not from 0 to 7"),
        ("* * * mon *", "month that is not"),
        ("* * * * jan", "day of the week that is not"),
        ("5-1 * * * *", "ends before it begins"),
        ("*/0 * * * *", "step of 0"),
        ("5/10 * * * *", "step in its minute without"),
        ("1,,2 * * * *", "no number"),
        ("-1 * * * *", "no number"),
        ("1- * * * *", "no number"),
        ("\u0661 * * * *", "no number"),
        ("? * * * *", "no number"),
        ("0 0 L * *", "no number"),
        ("H 0 * * *", "no number"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 feb,apr *", "never comes"),
        ("1" * 500, "more than 200"),
        ("* * * * *\n* * * * *", "five fields"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    trouble = cron.wrong(text)
    assert trouble is not None
    assert words in trouble


def test_it_shows_as_it_was_written() -> None:
    assert str(cron.parse(" 0  4 * * MON ")) == "0 4 * * MON"
    assert cron.wrong("0 4 * * MON") is None
    assert cron.parse("weekly") == cron.WEEKLY
    assert len({cron.parse("daily"), cron.DAILY, cron.WEEKLY}) == 2


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    spans = st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}")
    stepped = st.tuples(st.one_of(spans, st.just("*")), st.integers(1, 9)).map(lambda of: f"{of[0]}/{of[1]}")
    one = st.one_of(number.map(str), spans, stepped)
    return st.one_of(st.just("*"), one, st.lists(one, min_size=1, max_size=3).map(",".join))


FIELDS = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)).map(" ".join)
MOMENTS = st.datetimes(datetime(1999, 1, 1), datetime(2101, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


def plainly(text: str, moment: datetime) -> bool:
    """Return whether an expression means a minute, by looking at nothing but its text."""

    def holds(field: str, value: int, low: int, high: int) -> bool:
        for part in field.split(","):
            span, _, step = part.partition("/")
            first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
            if value in range(int(first), int(last or first) + 1, int(step or 1)):
                return True
        return False

    minute, hour, day, month, weekday = text.split()
    number = moment.isoweekday()
    in_week = holds(weekday, number % 7, 0, 7) or (number == 7 and holds(weekday, 7, 0, 7))
    in_month = holds(day, moment.day, 1, 31)
    both = not day.startswith("*") and not weekday.startswith("*")
    return (
        holds(minute, moment.minute, 0, 59)
        and holds(hour, moment.hour, 0, 23)
        and holds(month, moment.month, 1, 12)
        and (in_week or in_month if both else in_week and in_month)
    )


@settings(deadline=None)
@given(text=FIELDS, moment=MOMENTS)
def test_a_minute_matches_as_it_reads(text: str, moment: datetime) -> None:
    if cron.wrong(text) is None:
        assert cron.parse(text).matches(moment) is plainly(text, moment)


@settings(deadline=None, max_examples=60)
@given(text=FIELDS, moment=MOMENTS)
def test_next_is_the_first_that_matches(text: str, moment: datetime) -> None:
    trouble = cron.wrong(text)
    if trouble is not None:
        assert "never comes" in trouble
        return
    made = cron.parse(text)
    after = made.next(moment)
    assert after > moment
    assert made.matches(after)
    between = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(3000):
        if between >= after:
            break
        assert not plainly(text, between)
        between += timedelta(minutes=1)
    assert made.next(after - timedelta(seconds=1)) == after


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    if cron.wrong(text) is None:
        cron.parse(text).next(NOON)


def test_every_zone_is_read_as_utc() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    made = cron.parse("30 6 * * *")
    assert made.matches(NOON.replace(hour=6, minute=30).astimezone(there))
    assert made.next(NOON.astimezone(there)) == at("2026-11-24 06:30")
    assert made.next(NOON.astimezone(there)).tzinfo is UTC


def test_a_moment_without_a_zone_is_refused() -> None:
    for asked in (cron.DAILY.next, cron.DAILY.matches):
        with pytest.raises(ValueError, match="zone"):
            asked(NOON.replace(tzinfo=None))


# --- when it is time ----------------------------------------------------------------------


def test_a_moment_counts_from_when_it_comes_until_it_is_done() -> None:
    made = cron.parse("0 4 * * 1")
    assert made.due(None, NOON)
    assert not made.due(at("2026-11-23 04:00"), NOON)
    assert not made.due(at("2026-11-23 05:00"), at("2026-11-30 03:59"))
    assert made.due(at("2026-11-23 05:00"), at("2026-11-30 04:00"))
    assert made.due(at("2026-11-23 05:00"), at("2026-12-02 09:17"))  # nobody was there on Monday


def test_a_window_counts_while_it_lasts() -> None:
    made = cron.parse("* 1-4 * * 1-5")
    assert not made.due(None, NOON)
    assert not made.due(at("2026-11-01 00:00"), NOON)
    assert made.due(None, at("2026-11-23 01:00"))
    assert made.due(at("2026-11-23 01:00"), at("2026-11-23 04:59"))
    assert not made.due(at("2026-11-23 01:00"), at("2026-11-23 05:00"))
    assert not made.due(at("2026-11-20 01:00"), at("2026-11-22 02:00"))


def test_a_clock_that_was_set_back_is_waited_for() -> None:
    assert not cron.DAILY.due(NOON + timedelta(days=3), NOON)


def test_start_up_stays_light() -> None:
    code = "import sys; import bot.cron; print('croniter' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
