"""Cron expressions, as crontab(5) has them. Pure: the moment is an argument."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from agent.settings import FreezeWindow
from agent.yaml_nodes import Fault

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""As cron counts them; APScheduler would count from Monday, and run what is for Sunday a day late."""
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One of the five fields: numbers from `low` to `high`, or `words` for them from the first number on."""

    what: str
    low: int
    high: int
    words: tuple[str, ...] = ()

    def number(self, word: str) -> int:
        """Raises ValueError for what is no such number."""
        if _DIGITS.fullmatch(word) and self.low <= int(word) <= self.high:
            return int(word)
        if word.lower() in self.words:
            return self.low + self.words.index(word.lower())
        raise ValueError(f"{word!r} is no {self.what}; expected {self.expected}")

    @property
    def expected(self) -> str:
        """What may stand there, in words."""
        named = f", or {self.words[0]} to {self.words[-1]}" if self.words else ""
        sunday = " (Sunday is 0 or 7)" if self.words == WEEKDAYS else ""
        return f"{self.low} to {self.high}{sunday}{named}"


_DIGITS = re.compile(r"[0-9]{1,2}")
MINUTE = Field(what="minute", low=0, high=59)
HOUR = Field(what="hour", low=0, high=23)
DAY = Field(what="day of the month", low=1, high=31)
MONTH = Field(what="month", low=1, high=12, words=MONTHS)
WEEKDAY = Field(what="weekday", low=0, high=7, words=WEEKDAYS)
FIELDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)
SOME_YEARS = datetime(2000, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
"""Every date that there is, on every weekday that it can have, comes in these years."""


def cron(expression: str) -> BaseTrigger:
    """When `expression` falls due: five fields as crontab(5) has them, in UTC, and nothing beyond.

    A field is a star or a list of numbers and ranges, each with a step or without: "*", "*/15", "1-5", "1,15", "8-18/2". Months and
    weekdays may be named by their first three letters; Sunday is 0 and 7. Where both a day of the month and a weekday are given, it
    falls due on either; a field that begins with a star gives none. What never falls due, as the 30th of February, is an expression
    too, which `faults` refuses. Raises ValueError for what is none.
    """
    written = expression.split()
    if len(written) != len(FIELDS):
        raise ValueError(f"found {len(written)} fields; expected minute, hour, day of the month, month and weekday")
    minute, hour, day, month, weekday = (_plain(field, text) for field, text in zip(FIELDS, written, strict=True))
    if weekday != "*":
        weekday = ",".join(dict.fromkeys(WEEKDAYS[int(number) % 7] for number in weekday.split(",")))
    if written[2].startswith("*") or written[4].startswith("*"):
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


def _plain(field: Field, text: str) -> str:
    """The same field as a star, or as the numbers that it stands for: nothing in it is left for APScheduler to read in its own way."""
    if text == "*":
        return text
    return ",".join(str(number) for part in text.split(",") for number in _numbers(field, part))


def _numbers(field: Field, part: str) -> range:
    """The numbers of one part of a list: "1", "mon-fri", "*/2"."""
    span, slash, step = part.partition("/")
    first, dash, last = span.partition("-")
    highest = 6 if field is WEEKDAY else field.high
    begin = field.low if span == "*" else field.number(first)
    end = highest if span == "*" or (slash and not dash) else field.number(last) if dash else begin
    end += 7 if field is WEEKDAY and end == 0 < begin else 0  # a range may end on a Sunday
    if end < begin:
        raise ValueError(f"{part!r} goes back; expected the earlier {field.what} first")
    if slash and not (_DIGITS.fullmatch(step) and int(step) > 0):
        raise ValueError(f"{part!r} has no step; expected a whole number above 0 after /")
    return range(begin, end + 1, int(step or 1))
