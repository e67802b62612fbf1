"""What of a trace a run plays: whether anything of it falls into the run, and when the last has come."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulators.arrival_traces import CountTrace, StampTrace, load_trace
from simulators.data_files import data_path
from simulators.settings import ScenarioSettings, TraceSettings

EARLY_S = 60.0
"""A trace that ends less than this before the run does is as long as the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What a run plays of a trace whose first request comes at `first_s` of its own time."""

    first_s: float
    ends_s: float
    """Seconds of the run after which nothing comes."""
    missed: bool = False
    """Whether the run lies where the trace has nothing to say: before its first time, or after its end."""


def span(trace: CountTrace | StampTrace, traffic: TraceSettings, duration_s: float) -> Span:
    """What a run of `duration_s` plays of `trace`. ValueError: it has no such column."""
    if isinstance(trace, StampTrace):
        return _of_stamps(trace, traffic, duration_s)
    first, last = bins(trace, traffic)
    counts = trace.series(traffic.column or trace.names[0])
    played = counts[first:last]
    width_s = trace.bin_s * traffic.stretch
    busy = np.flatnonzero(counts)
    first_s = float(busy[0]) * trace.bin_s if len(busy) else 0.0
    return Span(first_s=first_s, ends_s=len(played) * width_s, missed=len(played) == 0 < len(counts))


def bins(trace: CountTrace, traffic: TraceSettings) -> tuple[int, int | None]:
    """From which bin of a trace, and until which, its requests are played."""
    last = None if traffic.until_s is None else math.ceil(traffic.until_s / trace.bin_s)
    return int(traffic.from_s // trace.bin_s), last


def _of_stamps(trace: StampTrace, traffic: TraceSettings, duration_s: float) -> Span:
    until_s = math.inf if traffic.until_s is None else traffic.until_s
    kept = trace.times_s[(trace.times_s >= traffic.from_s) & (trace.times_s < until_s)]
    times_s = (kept - traffic.from_s) * traffic.stretch
    some = len(trace.times_s) > 0
    return Span(
        first_s=float(trace.times_s[0]) if some else 0.0,
        ends_s=float(times_s[-1]) if len(times_s) else 0.0,
        missed=some and (len(times_s) == 0 or times_s[0] >= duration_s),
    )


def ends_s(settings: ScenarioSettings, folder: Path) -> Mapping[str, float]:
    """When the traffic of each model has ended, where all of it is traces that end before the run does. Raises as `load_trace`."""
    return dict(_early(settings, folder))


def _early(settings: ScenarioSettings, folder: Path) -> Iterator[tuple[str, float]]:
    for name, model in settings.models.items():
        traces = [each for each in model.traffic if isinstance(each, TraceSettings)]
        if len(traces) < len(model.traffic):
            continue
        loaded = [(load_trace(data_path(each.path, folder, "trace")), each) for each in traces]
        last_s = max(span(trace, each, settings.duration_s).ends_s for trace, each in loaded)
        if last_s + EARLY_S <= settings.duration_s:
            yield name, last_s
