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
    """`expressions` are cron's, by name; `taken_s` says when each was taken last, or from when on it counts."""

    def __init__(self, expressions: Mapping[str, str], taken_s: Mapping[str, float]) -> None:
        self._triggers = {name: cron(expression) for name, expression in expressions.items()}
        self._next_s = {name: self._after(name, taken_s[name]) for name in expressions}

    def due(self, civil_s: float) -> tuple[str, ...]:
        """Names of those that fell due by `civil_s`, which are taken with that."""
        due = tuple(name for name, next_s in self._next_s.items() if next_s <= civil_s)
        self._next_s |= {name: self._after(name, civil_s) for name in due}
        return due

    def _after(self, name: str, civil_s: float) -> float:
        """When it falls due next after `civil_s`."""
        fires = self._triggers[name].get_next_fire_time(None, datetime.fromtimestamp(civil_s + 1e-3, tz=UTC))
        return math.inf if fires is None else float(fires.timestamp())


def taken(journal: Readable, expressions: Mapping[str, str], civil_s: float) -> dict[str, float]:
    """When each schedule was last taken as `journal` tells. One that the life before did not have counts from `civil_s` on.

    Raises JournalUnavailable.
    """
    counts: dict[str, tuple[str, float]] = {}
    for entry in journal.entries(kinds=(Kind.STARTED, Kind.NOTE)):
        with suppress(AttributeError, KeyError, TypeError, ValueError):  # of another version of the agent
            counts = _counts(counts, entry)
    return {
        name: min(civil_s, _since_s(counts.get(name), expression, civil_s)) for name, expression in expressions.items()
    }


def _counts(counts: Mapping[str, tuple[str, float]], entry: Entry) -> dict[str, tuple[str, float]]:
    """What each schedule is, and since when it counts, once `entry` was written."""
    if entry.kind == Kind.STARTED:
        wanted = entry.payload["settings"]["schedules"]
        return {n: (cron_, _since_s(counts.get(n), cron_, entry.at_s)) for n, cron_ in wanted.items()}
    if entry.payload.get("note") != NOTE:
        return dict(counts)
    taken_s = float(entry.payload["civil_s"])
    return {**counts, **{n: (counts[n][0], taken_s) for n in entry.payload["names"] if n in counts}}


def _since_s(known: tuple[str, float] | None, expression: str, else_s: float) -> float:
    """Since when `expression` counts: as is known of the schedule of that name, where that is the same one."""
    return known[1] if known is not None and known[0] == expression else else_s
