"""Cron expressions, as cron reads them. Pure: the moment is an argument."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from agent.settings import FreezeWindow
from agent.yaml_nodes import Fault

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""As cron counts them; APScheduler would count from Monday, and run what is for Sunday a day late."""
SOME_YEARS = datetime(2000, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
"""Every date that there is, on every weekday that it can have, comes in these years."""


def cron(expression: str) -> BaseTrigger:
    """When `expression` falls due: five fields as cron reads them, 0 and 7 are Sunday, UTC.

    Where both a day of the month and a weekday are given, it falls due on either (crontab(5)); a field that begins with a star gives
    none. What never falls due, as the 30th of February, is an expression too, which `faults` refuses. Raises ValueError for what is none.
    """
    fields = expression.split()
    if len(fields) != 5:
        raise ValueError(f"found {len(fields)} fields; expected minute, hour, day of the month, month and weekday")
    minute, hour, day, month, weekday = fields
    if weekday != "*":
        weekday = ",".join(dict.fromkeys(name for part in weekday.split(",") for name in _weekdays(part)))
    if day.startswith("*") or fields[4].startswith("*"):
        return _trigger(minute, hour, day, month, weekday)
    return OrTrigger([_trigger(minute, hour, day, month, "*"), _trigger(minute, hour, "*", month, weekday)])


def faults(schedules: Mapping[str, str], windows: Iterable[FreezeWindow]) -> Iterator[Fault]:
    """What is wrong with the expressions of a file, by the keys `schedules` and `guards.freeze_windows`."""
    for name, expression in schedules.items():
        if told := _fault(expression):
            yield ("schedules", name), told
    for index, window in enumerate(windows):
        if told := _fault(window.start):
            yield ("guards", "freeze_windows", index, "start"), told


def _fault(expression: str) -> str | None:
    try:
        trigger = cron(expression)
    except ValueError as error:
        return f"found {expression!r}; expected a cron expression of five fields: {error}"
    if trigger.get_next_fire_time(None, SOME_YEARS[0]) is None:
        return f"found {expression!r}, which never falls due; expected a day that its months have"
    return None


def _trigger(*fields: str) -> CronTrigger:
    """A trigger that is asked for a date that never comes would look through eight thousand years; this one has ended at once."""
    trigger = CronTrigger.from_crontab(" ".join(fields), timezone=UTC)
    begin, trigger.end_date = SOME_YEARS
    if trigger.get_next_fire_time(None, begin) is None:
        trigger.end_date = begin
    else:
        trigger.end_date = None
    return trigger


def _weekdays(part: str) -> Iterator[str]:
    """Names of the days in one part of a list: "1", "mon-fri", "*/2"."""
    span, _, step = part.partition("/")
    first, _, last = ("0-6" if span == "*" else span).partition("-")
    begin = _weekday(first)
    end = _weekday(last) if last else 6 if step else begin
    end += 7 if end == 0 < begin else 0  # a range may end on a Sunday
    if end < begin or (step and not (step.isdecimal() and int(step) > 0)):
        raise ValueError(f"{part!r} names no weekdays; expected such as 1-5, mon-fri or 0,6")
    return (WEEKDAYS[day % 7] for day in range(begin, end + 1, int(step or 1)))


def _weekday(word: str) -> int:
    if word.isdecimal() and int(word) <= 7:
        return int(word)
    if word.lower() in WEEKDAYS:
        return WEEKDAYS.index(word.lower())
    raise ValueError(f"{word!r} is no weekday; expected 0 to 7 (Sunday is 0 or 7) or sun to sat")
