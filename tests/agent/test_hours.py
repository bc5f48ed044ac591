"""When somebody is there."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from sipagent.agent.hours import Holiday, Hours, Span

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


OFFICE = Hours(
    (Span.parse("mon-fri 09:00-18:00"), Span.parse("saturday 10:00-14:00")),
    (Holiday.parse("12-25"), Holiday.parse("2026-11-30")),
    BERLIN,
)
BAR = Hours((Span.parse("fri,sat 22:00-02:00"),), (Holiday.parse("2026-11-28"),), BERLIN)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-27 09:00", True),  # a Friday
        ("2026-11-27 08:59", False),
        ("2026-11-27 17:59", True),
        ("2026-11-27 18:00", False),
        ("2026-11-28 13:00", True),
        ("2026-11-29 13:00", False),
        ("2026-11-30 13:00", False),  # a Monday, once a holiday
        ("2027-11-30 13:00", True),
        ("2026-12-25 13:00", False),
        ("2028-12-25 13:00", False),
    ],
)
def test_days_times_and_holidays(moment: str, is_open: bool) -> None:
    assert OFFICE.include(at(moment)) is is_open


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-27 23:00", True),
        ("2026-11-28 01:59", True),  # what began on Friday ends on Saturday, a holiday
        ("2026-11-28 02:00", False),
        ("2026-11-28 23:00", False),
        ("2026-11-29 01:00", False),
        ("2026-12-05 23:00", True),
        ("2026-12-06 01:00", True),
    ],
)
def test_over_midnight(moment: str, is_open: bool) -> None:
    assert BAR.include(at(moment)) is is_open


def test_the_clock_is_that_of_the_place() -> None:
    assert OFFICE.include(datetime(2026, 11, 27, 8, 30, tzinfo=UTC))
    assert not OFFICE.include(datetime(2026, 7, 3, 16, 30, tzinfo=UTC))  # 18:30 in summer
    assert OFFICE.include(datetime(2026, 11, 27, 16, 30, tzinfo=UTC))  # 17:30 in winter


def test_a_whole_day_and_a_week_across_its_end() -> None:
    always = Hours((Span.parse("sat-mon 00:00-24:00"),), zone=UTC)
    assert [always.include(datetime(2026, 11, day, 23, 59, tzinfo=UTC)) for day in range(26, 32 - 1)] == [
        False, False, True, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "mon", "mon 9-18", "mon 09:60-18:00", "mon 09:00-24:01", "moo 09:00-18:00"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(ValueError, match=r"days|times"):
        Span.parse(text)


@pytest.mark.parametrize("text", ["", "13-01", "2026-02-29", "25.12.", "2026-1-1"])
def test_what_is_no_holiday(text: str) -> None:
    with pytest.raises(ValueError, match="a day, such as"):
        Holiday.parse(text)


def test_a_leap_day_is_a_holiday_in_leap_years() -> None:
    leap = Holiday.parse("02-29")
    assert leap.is_on(date(2028, 2, 29))
    assert not leap.is_on(date(2027, 3, 1))
