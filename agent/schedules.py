"""Which schedules have fallen due. A schedule is taken once for all that fell due since it was taken last, also while no agent ran.

When each was taken stands in the journal, since the observation does that named it; the moments are civil, as cron means them.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from agent.cron import cron
from agent.journal.record import Entry, Kind
from agent.journal.warm_start import Readable

NOTE = "schedules_taken"


class Schedules:
    """`expressions` are cron's, by name; `taken_s` says when each was taken last, or from when on it counts.

    Where the clock was ahead when one was taken, and is right again, the next time that it falls due is the one that was taken; the time
    after that is another, however far ahead the clock was.
    """

    def __init__(self, expressions: Mapping[str, str], taken_s: Mapping[str, float]) -> None:
        self._expressions = dict(expressions)
        self._next_s = {name: after(each, taken_s[name]) for name, each in expressions.items()}
        self._looked_s = -math.inf

    def due(self, civil_s: float) -> tuple[str, ...]:
        """Names of those that fell due by `civil_s`, which are taken with that."""
        if civil_s < self._looked_s:
            for name, each in self._expressions.items():
                self._next_s[name] = min(self._next_s[name], after(each, after(each, civil_s)))
        self._looked_s = civil_s
        due = tuple(name for name, next_s in self._next_s.items() if next_s <= civil_s)
        self._next_s |= {name: after(self._expressions[name], civil_s) for name in due}
        return due


def after(expression: str, civil_s: float) -> float:
    """When `expression` falls due next after `civil_s`; never, where that is infinite."""
    if math.isinf(civil_s):
        return civil_s
    fires = cron(expression).get_next_fire_time(None, datetime.fromtimestamp(civil_s + 1e-3, tz=UTC))
    return math.inf if fires is None else float(fires.timestamp())


def taken(journal: Readable, expressions: Mapping[str, str], civil_s: float) -> dict[str, float]:
    """When each schedule was last taken as `journal` tells. One that the life before did not have counts from `civil_s` on.

    Raises JournalUnavailable.
    """
    counts: dict[str, tuple[str, float]] = {}
    for entry in journal.entries(kinds=(Kind.STARTED, Kind.NOTE)):
        with suppress(AttributeError, KeyError, TypeError, ValueError):  # of another version of the agent
            counts = _counts(counts, entry)
    return {name: _not_ahead_s(counts.get(name), expression, civil_s) for name, expression in expressions.items()}


def _counts(counts: Mapping[str, tuple[str, float]], entry: Entry) -> dict[str, tuple[str, float]]:
    """What each schedule is, and since when it counts, once `entry` was written."""
    if entry.kind == Kind.STARTED:
        wanted = entry.payload["settings"]["schedules"]
        return {n: (cron_, _since_s(counts.get(n), cron_, entry.at_s)) for n, cron_ in wanted.items()}
    if entry.payload.get("note") != NOTE:
        return dict(counts)
    taken_s = float(entry.payload["civil_s"])
    return {**counts, **{n: (counts[n][0], taken_s) for n in entry.payload["names"] if n in counts}}


def _not_ahead_s(known: tuple[str, float] | None, expression: str, civil_s: float) -> float:
    """Since when `expression` counts; where that lies ahead of a clock that was set back, from the next time that it falls due."""
    since_s = _since_s(known, expression, civil_s)
    return since_s if since_s <= civil_s else min(since_s, after(expression, civil_s))


def _since_s(known: tuple[str, float] | None, expression: str, else_s: float) -> float:
    """Since when `expression` counts: as is known of the schedule of that name, where that is the same one."""
    return known[1] if known is not None and known[0] == expression else else_s
