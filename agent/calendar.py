"""Freeze windows. Pure: the moment is an argument."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from agent.cron import cron
from agent.settings import FreezeWindow


class FreezeCalendar:
    """Says whether a moment lies in one of the windows."""

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
