"""When somebody is there: days of the week with their times, but for holidays.

A time is the clock's on the wall of the place meant, so a day on which the clock is put back or forth needs no thought.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Self

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60

_SPAN = re.compile(
    r"(?P<days>[a-z]{3,9}(?:[-,][a-z]{3,9})*) +(?P<h1>\d\d?):(?P<m1>\d\d) *- *(?P<h2>\d\d?):(?P<m2>\d\d)"
)
_HOLIDAY = re.compile(r"(?:(?P<year>\d{4})-)?(?P<month>\d\d)-(?P<day>\d\d)")


@dataclass(frozen=True, slots=True)
class Span:
    """From one time to another on some days of the week; over midnight it ends on the next."""

    days: frozenset[int]
    """0 is Monday."""
    begins: int
    """Minutes after midnight."""
    ends: int
    """The first minute that is no more part of it."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``mon-fri 09:00-18:00``, ``sat,sun 10:00-14:00``, ``daily 22:00-06:00``.

        :raises ValueError: with what was expected.
        """
        match = _SPAN.fullmatch(text.strip().lower())
        if match is None:
            raise ValueError("days and times, such as mon-fri 09:00-18:00, sat,sun 10:00-14:00 or daily 22:00-06:00")
        begins, ends = (_minutes(match[hour], match[minute]) for hour, minute in (("h1", "m1"), ("h2", "m2")))
        return cls(_read_days(match["days"]), begins, ends if ends > begins else ends + DAY_MINUTES)


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day on which nobody is there."""

    month: int
    day: int
    year: int | None = None
    """``None`` for every year."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``2026-04-03``, or ``12-25`` for every year.

        :raises ValueError: with what was expected.
        """
        match = _HOLIDAY.fullmatch(text.strip())
        try:
            if match is None:
                raise ValueError
            year = int(match["year"]) if match["year"] else None
            found = date(year or 2000, int(match["month"]), int(match["day"]))  # 2000 has every day there is
        except ValueError:
            raise ValueError("a day, such as 2026-04-03, or 12-25 for every year") from None
        return cls(found.month, found.day, year)

    def is_on(self, day: date) -> bool:
        """Whether it is that day."""
        return (day.month, day.day) == (self.month, self.day) and self.year in (None, day.year)


@dataclass(frozen=True, slots=True)
class Hours:
    """When somebody is there."""

    spans: tuple[Span, ...]
    holidays: tuple[Holiday, ...] = ()
    """Days on which none of the spans begins."""
    zone: tzinfo | None = None
    """Where the clock hangs; ``None`` is the place of this machine."""

    def include(self, moment: datetime) -> bool:
        """Whether somebody is there.

        :param moment: with its timezone.
        """
        local = moment.astimezone(self.zone)
        minute = 60 * local.hour + local.minute
        return any(self._covers(local.date() - timedelta(days=ago), minute + ago * DAY_MINUTES) for ago in (0, 1))

    def _covers(self, day: date, minute: int) -> bool:
        """Whether a span that began on that day is under way so many minutes after its midnight."""
        if any(holiday.is_on(day) for holiday in self.holidays):
            return False
        return any(day.weekday() in span.days and span.begins <= minute < span.ends for span in self.spans)


def _minutes(hour: str, minute: str) -> int:
    minutes = 60 * int(hour) + int(minute)
    if int(minute) > 59 or minutes > DAY_MINUTES:
        raise ValueError("times from 00:00 to 24:00")
    return minutes


def _read_days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        if part == "daily":
            days.update(range(7))
            continue
        first, _, last = part.partition("-")
        begin, end = _read_day(first), _read_day(last or first)
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(days)


def _read_day(name: str) -> int:
    if name[:3] not in DAYS:
        raise ValueError(f"days by their English names, or {', '.join(DAYS)}, or daily")
    return DAYS.index(name[:3])
