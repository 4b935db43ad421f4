"""When something recurs: cron expressions of five fields, in UTC.  Pure: no clock, moments are arguments.

The grammar is that of POSIX `crontab` with the customary steps and names: minute, hour, day of the
month, month, day of the week; `*`, numbers, `a-b`, `*/n`, `a-b/n`, lists with commas; `jan` to `dec`
and `sun` to `sat`, where both 0 and 7 are Sunday.  As in POSIX, a day has to match either of its two
fields where both are restricted.  `daily`, `weekly` and `monthly` are words for midnight of each
day, each Sunday and each first.  The library that the job engine brings along takes six and seven
fields, hashes and random values too, and 60 ms to import: what people write here is a fifth of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

WORDS: Final = {"daily": "0 0 * * *", "weekly": "0 0 * * 0", "monthly": "0 0 1 * *"}
MAX_TEXT: Final = 200
"""Characters of an expression."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAYS = 366 * 13
"""Days within which every possible expression comes: 29 February is at most eight years away, and the
first of a month on a given day of the week at most twelve."""
_PART = re.compile(r"(?:(\*)|([0-9]{1,3}|[a-z]{3})(?:-([0-9]{1,3}|[a-z]{3}))?)(?:/([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first: int = 0
    """The number of the first name."""


_KINDS = (
    _Kind(name="minute", low=0, high=59),
    _Kind(name="hour", low=0, high=23),
    _Kind(name="day of the month", low=1, high=31),
    _Kind(name="month", low=1, high=12, names=_MONTHS, first=1),
    _Kind(name="day of the week", low=0, high=7, names=_WEEKDAYS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """When something recurs.  Two are equal if they were written alike."""

    text: str
    """As it was written, blanks aside."""
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    either: bool
    """Both kinds of day are restricted, so that either is enough."""
    window: bool
    """The minute is `*`: it names a stretch of time rather than a moment."""

    def __str__(self) -> str:
        return self.text

    def matches(self, moment: datetime) -> bool:
        """Return whether the minute of a moment is one of those meant; raises `ValueError` for a naive one."""
        at = _utc(moment)
        return at.minute in self.minutes and at.hour in self.hours and self._on(at.date())

    def next(self, after: datetime) -> datetime:
        """Return the first minute meant that begins after a moment, in UTC.

        Raises `ValueError` for a naive moment, and `OverflowError` at the end of time.
        """
        start = _utc(after).replace(second=0, microsecond=0) + timedelta(minutes=1)
        earliest = (start.hour, start.minute)
        day = start.date()
        for _ in range(_DAYS):
            if self._on(day):
                for hour, minute in self._times(earliest):
                    return datetime.combine(day, time(hour, minute), UTC)
            day += timedelta(days=1)
            earliest = (0, 0)
        raise OverflowError(f"{self.text} does not come again")  # pragma: no cover - `parse` refuses those

    def due(self, last: datetime | None, now: datetime) -> bool:
        """Return whether it is time, where it was last done at `last`, or never.

        A moment counts from when it comes until it is done, however late.  A window counts while
        it lasts.  Raises `ValueError` for naive moments.
        """
        if self.window and not self.matches(now):
            return False
        return last is None or self.next(last) <= _utc(now)

    def _on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return in_month or in_week if self.either else in_month and in_week

    def _times(self, earliest: tuple[int, int]) -> Iterator[tuple[int, int]]:
        return (
            (hour, minute)
            for hour in self.hours
            if hour >= earliest[0]
            for minute in self.minutes
            if (hour, minute) >= earliest
        )


def parse(text: str) -> Cron:
    """Return the schedule that a cron expression or a word means; raises `ValueError` that says what is wrong."""
    shown = " ".join(text.split())
    if len(text) > MAX_TEXT:
        raise ValueError(f"has more than {MAX_TEXT} characters")
    fields = WORDS.get(shown, shown).lower().split(" ")
    if len(fields) != len(_KINDS):
        raise ValueError("is neither a cron expression of five fields nor a word such as `daily`")
    minutes, hours, days, months, weekdays = (
        _values(field, kind) for field, kind in zip(fields, _KINDS, strict=True)
    )
    free = [field.startswith("*") for field in fields]
    if not free[2] and free[4] and not any(day <= _LONGEST[month - 1] for day in days for month in months):
        raise ValueError("never comes: these months have no such day")
    return Cron(
        text=shown,
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(day % 7 for day in weekdays),
        either=not free[2] and not free[4],
        window=fields[0] == "*",
    )


def wrong(text: str) -> str | None:
    """Return what is wrong with an expression in a few words, or None."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None


def _values(field: str, kind: _Kind) -> set[int]:
    values: set[int] = set()
    for part in field.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(f"has a {kind.name} that is no number, range, step or list of them")
        star, first, last, step = found.groups()
        if step is not None and not star and last is None:
            raise ValueError(f"has a step in its {kind.name} without `*` or a range before it")
        low = kind.low if star else _number(first, kind)
        high = kind.high if star else _number(last, kind) if last is not None else low
        if last in kind.names[:1] and kind.high == 7 and low:
            high = 7  # `fri-sun`: Sunday ends the week as well as it begins it
        if low > high:
            raise ValueError(f"has a {kind.name} whose range ends before it begins")
        if step is not None and not int(step):
            raise ValueError(f"has a step of 0 in its {kind.name}")
        values.update(range(low, high + 1, int(step or 1)))
    return values


def _number(text: str, kind: _Kind) -> int:
    if text in kind.names:
        return kind.names.index(text) + kind.first
    if not text.isdecimal() or not kind.low <= int(text) <= kind.high:
        raise ValueError(f"has a {kind.name} that is not from {kind.low} to {kind.high}")
    return int(text)


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment needs its time zone")
    return moment.astimezone(UTC)


DAILY: Final = parse("daily")
WEEKLY: Final = parse("weekly")
