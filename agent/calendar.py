"""Cron expressions and freeze windows. Pure: the moment is an argument."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from apscheduler.triggers.cron import CronTrigger

from agent.settings import FreezeWindow

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""As cron counts them; APScheduler would count from Monday, and run what is for Sunday a day late."""


def cron(expression: str) -> CronTrigger:
    """When `expression` falls due: five fields as cron reads them, 0 and 7 are Sunday, UTC. Raises ValueError for any other.

    Where both a day of the month and a weekday are given, a day must be both.
    """
    *others, weekday = expression.split() or [""]
    if len(others) == 4 and weekday != "*":
        weekday = ",".join(dict.fromkeys(name for part in weekday.split(",") for name in _weekdays(part)))
    return CronTrigger.from_crontab(" ".join([*others, weekday]), timezone=UTC)


def _weekdays(part: str) -> Iterator[str]:
    """Names of the days in one part of a list: "1", "mon-fri", "*/2"."""
    span, _, step = part.partition("/")
    first, _, last = ("0-6" if span == "*" else span).partition("-")
    begin = _weekday(first)
    end = _weekday(last) if last else 6 if step else begin
    end += 7 if end == 0 < begin else 0  # a range may end on a Sunday
    if end < begin or (step and not step.isdecimal()):
        raise ValueError(f"{part!r} names no weekdays; expected such as 1-5, mon-fri or 0,6")
    return (WEEKDAYS[day % 7] for day in range(begin, end + 1, int(step or 1)))


def _weekday(word: str) -> int:
    if word.isdecimal() and int(word) <= 7:
        return int(word)
    if word.lower() in WEEKDAYS:
        return WEEKDAYS.index(word.lower())
    raise ValueError(f"{word!r} is no weekday; expected 0 to 7 (Sunday is 0 or 7) or sun to sat")


class FreezeCalendar:
    """Says whether a moment lies in one of the windows. Raises ValueError for a bad cron expression."""

    def __init__(self, windows: Sequence[FreezeWindow] = ()) -> None:
        self._windows = [(cron(window.start), timedelta(seconds=window.duration_s), window) for window in windows]

    def reason(self, at_s: float) -> str | None:
        """Why nothing may be changed at `at_s` (POSIX seconds, UTC), or None."""
        moment = datetime.fromtimestamp(at_s, tz=UTC)
        for trigger, duration, window in self._windows:
            # The window is open when it last started less than its duration ago.
            start = trigger.get_next_fire_time(None, moment - duration + timedelta(microseconds=1))
            if start is not None and start <= moment:
                return window.reason or f"freeze window {window.start!r}"
        return None
