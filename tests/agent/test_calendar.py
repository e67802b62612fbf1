"""Cron as cron means it, and windows in which nothing is changed."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.calendar import FreezeCalendar
from agent.cron import cron, faults
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


def dates(expression: str, count: int, begin: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> list[str]:
    """The first days on which it falls due."""
    trigger, moment, found = cron(expression), begin, []
    while len(found) < count:
        moment = trigger.get_next_fire_time(None, moment)
        found.append(moment.strftime("%a %d %b"))
        moment += timedelta(microseconds=1)
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 3 1 * 1", ["Thu 01 Jan", "Mon 05 Jan", "Mon 12 Jan", "Mon 19 Jan", "Mon 26 Jan", "Sun 01 Feb"]),
        ("0 0 1,15 * 1", ["Thu 01 Jan", "Mon 05 Jan", "Mon 12 Jan", "Thu 15 Jan", "Mon 19 Jan"]),
        ("0 3 13 * 5", ["Fri 02 Jan", "Fri 09 Jan", "Tue 13 Jan", "Fri 16 Jan"]),
        ("0 3 1 6 1", ["Mon 01 Jun", "Mon 08 Jun", "Mon 15 Jun"]),
        ("0 3 30 2 1", ["Mon 02 Feb", "Mon 09 Feb"]),
        ("0 3 * * 1", ["Mon 05 Jan", "Mon 12 Jan"]),
        ("0 3 13 * *", ["Tue 13 Jan", "Fri 13 Feb"]),
        ("0 3 */10 * 1", ["Mon 11 May", "Mon 01 Jun"]),
        ("0 3 29 2 *", ["Tue 29 Feb", "Sun 29 Feb"]),
    ],
)
def test_a_day_of_the_month_or_a_weekday(expression: str, expected: list[str]) -> None:
    """Either, where both are given; both, where one of them begins with a star, as cron has it."""
    assert dates(expression, len(expected)) == expected


@pytest.mark.parametrize("expression", ["0 3 30 2 *", "0 3 31 2,4,6,9,11 *", "0 3 30-31 feb */2", "* * 31 6 *"])
def test_a_date_that_never_comes_is_known_at_once(expression: str) -> None:
    """It never falls due, without a look through the years, and a file that asks for it is refused."""
    assert cron(expression).get_next_fire_time(None, MONDAY) is None
    window = FreezeWindow(start=expression, duration_s=60.0)
    assert FreezeCalendar([window]).reason(MONDAY.timestamp()) is None
    told = f"found {expression!r}, which never falls due; expected a day that its months have"
    assert list(faults({"nightly": expression}, [window])) == [
        (("schedules", "nightly"), told),
        (("guards", "freeze_windows", 0, "start"), told),
    ]


def test_a_window_of_a_day_of_the_month_or_a_weekday_is_open_on_either() -> None:
    """The 13th and every Friday."""
    calendar = FreezeCalendar([FreezeWindow(start="0 0 13 * 5", duration_s=86_400.0, reason="unlucky")])
    told = [calendar.reason(datetime(2026, 1, day, 12, tzinfo=UTC).timestamp()) for day in (8, 9, 12, 13)]
    assert told == [None, "unlucky", None, "unlucky"]


@pytest.mark.parametrize(
    "expression", ["0 3 * * 8", "0 3 * * fri-mon", "0 3 * *", "", "0 3 * * 1/x", "0 3 * * */0", "61 3 * * 1"]
)
def test_what_is_no_cron_is_refused(expression: str) -> None:
    """With a ValueError that the settings turn into file, line and key."""
    with pytest.raises(ValueError, match=r".+"):
        cron(expression)


OF_OTHER_DIALECTS = {
    "0 3 last * *": "'last' is no day of the month; expected 1 to 31",
    "0 3 L * *": "'L' is no day of the month; expected 1 to 31",
    "0 3 last_fri * *": "'last_fri' is no day of the month; expected 1 to 31",
    "0 3 15W * *": "'15W' is no day of the month; expected 1 to 31",
    "0 3 ? * 1": "'?' is no day of the month; expected 1 to 31",
    "0 3 * * 5L": "'5L' is no weekday; expected 0 to 7 (Sunday is 0 or 7), or sun to sat",
    "0 3 * * fri#2": "'fri#2' is no weekday; expected 0 to 7 (Sunday is 0 or 7), or sun to sat",
    "0 3 * * friday": "'friday' is no weekday; expected 0 to 7 (Sunday is 0 or 7), or sun to sat",
    "0 3 * january *": "'january' is no month; expected 1 to 12, or jan to dec",
    "0 3 * 13 *": "'13' is no month; expected 1 to 12, or jan to dec",
    "0 3 * mar-jan *": "'mar-jan' goes back; expected the earlier month first",
    "0 24 * * *": "'24' is no hour; expected 0 to 23",
    "60 3 * * *": "'60' is no minute; expected 0 to 59",
    "30-10 3 * * *": "'30-10' goes back; expected the earlier minute first",
    "٣ 3 * * *": "'٣' is no minute; expected 0 to 59",
    "*/٣ 3 * * *": "'*/٣' has no step; expected a whole number above 0 after /",
    "*/0 3 * * *": "'*/0' has no step; expected a whole number above 0 after /",
    "*-5 3 * * *": "'*' is no minute; expected 0 to 59",
    "1,,2 3 * * *": "'' is no minute; expected 0 to 59",
    "H 3 * * *": "'H' is no minute; expected 0 to 59",
    "@daily": "found 1 fields; expected minute, hour, day of the month, month and weekday",
    "0 0 3 * * *": "found 6 fields; expected minute, hour, day of the month, month and weekday",
}


@pytest.mark.parametrize(("expression", "told"), OF_OTHER_DIALECTS.items(), ids=OF_OTHER_DIALECTS)
def test_words_of_other_dialects_are_refused(expression: str, told: str) -> None:
    """Those of schedulers that know more than crontab(5): what another reader of the file would not understand is not understood here."""
    wanted = f"found {expression!r}; expected a cron expression of five fields: {told}"
    assert list(faults({"nightly": expression}, [])) == [(("schedules", "nightly"), wanted)]


def test_months_and_steps_are_those_of_cron() -> None:
    """By name or number, in any capitals; a range with a step, and a number with one that goes on to the end."""
    assert dates("0 3 1 Jan-MAR/2 *", 3) == ["Thu 01 Jan", "Sun 01 Mar", "Fri 01 Jan"]
    assert dates("0 3 20/5 6 *", 4) == ["Sat 20 Jun", "Thu 25 Jun", "Tue 30 Jun", "Sun 20 Jun"]


def test_a_window_is_open_from_its_start_for_its_duration() -> None:
    """Saturday 22:00 for two hours; the reason is the one that was given."""
    calendar = FreezeCalendar([FreezeWindow(start="0 22 * * 6", duration_s=7200.0, reason="peak")])
    opens_s = (MONDAY + timedelta(days=5, hours=22)).timestamp()
    told = [calendar.reason(opens_s + after_s) for after_s in (-1.0, 0.0, 7199.0, 7200.0)]
    assert told == [None, "peak", "peak", None]
