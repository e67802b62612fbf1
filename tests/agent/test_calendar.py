"""Cron as cron means it, and windows in which nothing is changed."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.calendar import FreezeCalendar, cron
from agent.settings import FreezeWindow

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def days(expression: str) -> list[str]:
    """The days of one week on which it falls due."""
    trigger, moment, found = cron(expression), MONDAY, []
    while (fires := trigger.get_next_fire_time(None, moment)) < MONDAY + timedelta(days=7):
        found.append(WEEK[fires.weekday()])
        moment = fires + timedelta(seconds=1)
    return found


@pytest.mark.parametrize(
    ("weekday", "expected"),
    [
        ("0", ["sun"]),
        ("7", ["sun"]),
        ("1-5", ["mon", "tue", "wed", "thu", "fri"]),
        ("5-7", ["fri", "sat", "sun"]),
        ("sat,sun", ["sat", "sun"]),
        ("fri-sun", ["fri", "sat", "sun"]),
        ("*/3", ["wed", "sat", "sun"]),
        ("0-2", ["mon", "tue", "sun"]),
        ("*", WEEK),
    ],
)
def test_weekdays_are_those_of_cron(weekday: str, expected: list[str]) -> None:
    """Sunday is 0 and 7: what people write for a Sunday night does not happen on Monday."""
    assert days(f"0 3 * * {weekday}") == expected


@pytest.mark.parametrize("expression", ["0 3 * * 8", "0 3 * * fri-mon", "0 3 * *", "", "0 3 * * 1/x", "61 3 * * 1"])
def test_what_is_no_cron_is_refused(expression: str) -> None:
    """With a ValueError that the settings turn into file, line and key."""
    with pytest.raises(ValueError, match=r".+"):
        cron(expression)


def test_a_window_is_open_from_its_start_for_its_duration() -> None:
    """Saturday 22:00 for two hours; the reason is the one that was given."""
    calendar = FreezeCalendar([FreezeWindow(start="0 22 * * 6", duration_s=7200.0, reason="peak")])
    opens_s = (MONDAY + timedelta(days=5, hours=22)).timestamp()
    told = [calendar.reason(opens_s + after_s) for after_s in (-1.0, 0.0, 7199.0, 7200.0)]
    assert told == [None, "peak", "peak", None]
