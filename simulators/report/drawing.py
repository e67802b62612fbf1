"""From a result to what a page draws of it: series by model, faults, and every decision with its reason; plain lists and numbers.

A long run has more minutes than a screen has columns; then several are drawn as one: requests add up, of latencies the worst counts.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agent.reports.decisions import decisions, most_telling
from simulators.measures import Minute
from simulators.progress import clock
from simulators.run import Point, Result
from simulators.settings import ScenarioSettings

COLUMNS = 1440
"""So many moments are drawn at most: a day of minutes."""


def drawing_of(result: Result, settings: ScenarioSettings) -> dict[str, Any]:
    """All that the page of a run of this scenario shows, ready for JSON. Latencies in milliseconds, times in simulated seconds."""
    models = result.measures["models"]
    width = max(1, math.ceil(max((len(rows) for rows in result.minutes.values()), default=0) / COLUMNS))
    points = result.points[:: max(1, math.ceil(len(result.points) / COLUMNS))]
    found = decisions(result.entries, when=clock)
    told = most_telling(found)
    return {
        "minutes": width,
        "slo_ms": {name: 1000.0 * slo_s for name, slo_s in result.slos.items()},
        "models": {
            name: _requests(result.minutes[name], width) | _replicas(points, name) | {"measures": models[name]}
            for name in models
        },
        "faults": sorted(
            [*_faults(settings), *_people(settings), *_preemptions(result, settings), *_changes(settings)]
        ),
        "decisions": told,
        "left_out": len(found) - len(told),
    }


# -- what happens to the world -----------------------------------------------------------------------------------


def _faults(settings: ScenarioSettings) -> Iterator[list[Any]]:
    for fault in settings.faults:
        where = fault.model or fault.node
        lasts = f" for {fault.for_s:g} s" if fault.for_s is not None else ""
        yield [fault.at_s, f"{fault.kind}{f' of {where}' if where else ''}{lasts}"]


def _people(settings: ScenarioSettings) -> Iterator[list[Any]]:
    for person in settings.people:
        what = person.model or person.action
        yield [person.at_s, f"somebody says {person.says}{f' to {what}' if what else ''}"]


def _preemptions(result: Result, settings: ScenarioSettings) -> Iterator[list[Any]]:
    """Faults that chance has made, beside those that the scenario lists."""
    listed = {(fault.at_s, fault.kind) for fault in settings.faults}
    return ([round(at_s, 3), kind] for at_s, kind in result.faults if (at_s, kind) not in listed)


def _changes(settings: ScenarioSettings) -> Iterator[list[Any]]:
    for name, model in settings.models.items():
        for change in model.learning.changes if model.learning is not None else ():
            lasts = f" until {change.until_s:g} s" if change.until_s is not None else ""
            yield [change.at_s, f"the rows of {name} change: {change.kind}{lasts}"]


# -- series ------------------------------------------------------------------------------------------------------


def _requests(rows: Sequence[Minute], width: int) -> dict[str, list[Any]]:
    groups = [rows[n : n + width] for n in range(0, len(rows), width)]
    return {
        "begin_s": [group[0].begin_s for group in groups],
        "rate_rps": [_rounded(sum(each.arrived for each in group) / (60.0 * len(group))) for group in groups],
        "violations": [_share(sum(e.violations for e in group), sum(e.arrived for e in group)) for group in groups],
        "dropped": [sum(each.dropped for each in group) for group in groups],
        "failed": [sum(each.failed for each in group) for group in groups],
        **{
            f"{name}_ms": [_worst_ms(getattr(each, f"{name}_s") for each in group) for group in groups]
            for name in ("p50", "p95", "p99")
        },
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _worst_ms(latencies_s: Iterable[float]) -> float | None:
    """None where nothing arrived, or where the worst got no answer at all, which no axis can show."""
    worst_s = max((each for each in latencies_s if not math.isnan(each)), default=math.nan)
    return _rounded(1000.0 * worst_s)


def _replicas(points: Sequence[Point], name: str) -> dict[str, list[Any]]:
    return {
        "at_s": [each.at_s for each in points],
        "running": [each.running[name] for each in points],
        "wanted": [each.wanted[name] for each in points],
        "queued": [each.queued[name] for each in points],
        "loss": [_rounded(each.loss[name]) for each in points],
        "version": [each.version[name] for each in points],
    }


def _rounded(value: float | None) -> float | None:
    """Four figures are more than a screen shows."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
