"""When cron schedules fall due in simulated time, whose zero is the first moment of 1970, a Thursday, UTC."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from agent.cron import cron


def due_s(expression: str, until_s: float) -> Iterator[float]:
    """Every moment before `until_s` at which `expression` (cron) falls due, ascending. Raises ValueError for what is no cron."""
    trigger = cron(expression)
    moment = datetime.fromtimestamp(0.0, tz=UTC)
    while (fires := trigger.get_next_fire_time(None, moment)) is not None and fires.timestamp() < until_s:
        yield fires.timestamp()
        moment = fires + timedelta(microseconds=1)
