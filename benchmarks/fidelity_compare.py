"""How far apart the two sides of `benchmarks.fidelity` are. Pure."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.fidelity_load import Answer
from benchmarks.fidelity_sim import Side

P50, P95, THROUGHPUT, VIOLATIONS, EVENTS_S = 0.10, 0.15, 0.05, 0.03, 1.0
"""What a simulated figure may be off below saturation: relative, but for the violation rate (a share) and the replicas' moments."""
LAG_MAX_S = 0.015
"""A client whose 99th percentile is later than this has measured itself."""


def real_side(answers: Sequence[Answer], duration_s: float, slo_s: float, events: Sequence[tuple[float, int]]) -> Side:
    """The figures of what was answered. A request that failed is a violation, and its latency does not count.

    Raises ValueError where nothing was answered.
    """
    good_s = np.array([each.latency_s for each in answers if each.ok])
    if len(good_s) == 0:
        raise ValueError(f"none of {len(answers)} requests was answered")
    p50, p95, p99 = (np.quantile(good_s, [0.5, 0.95, 0.99]) * 1e3).tolist()
    in_time = sum(each.ok and each.latency_s <= slo_s for each in answers)
    by_then = sum(each.ok and each.request.due_s + each.latency_s <= duration_s for each in answers)
    return Side(
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        throughput_rps=by_then / duration_s,
        violation_rate=1.0 - in_time / len(answers),
        failed=sum(not each.ok for each in answers),
        events=tuple(events),
    )


def errors(real: Side, simulated: Side) -> dict[str, Any]:
    """simulated against real: relative errors, points of the violation rate, and the furthest moment of the replicas in seconds.

    `events_s` is None where the replica counts took another course.
    """
    courses = [[count for _, count in side.events] for side in (real, simulated)]
    apart_s = [abs(a - b) for (a, _), (b, _) in zip(real.events, simulated.events, strict=False)]
    return {
        "p50": simulated.p50_ms / real.p50_ms - 1.0,
        "p95": simulated.p95_ms / real.p95_ms - 1.0,
        "p99": simulated.p99_ms / real.p99_ms - 1.0,
        "throughput": simulated.throughput_rps / real.throughput_rps - 1.0,
        "violations": simulated.violation_rate - real.violation_rate,
        "events_s": max(apart_s, default=0.0) if courses[0] == courses[1] else None,
    }


def middle_error(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each of `errors` over plays of one case, with its sign; a play in which the counts took another course is the worst."""
    middle = {name: float(np.median([each[name] for each in found])) for name in found[0] if name != "events_s"}
    apart_s = float(np.median([math.inf if each["events_s"] is None else each["events_s"] for each in found]))
    return {**middle, "events_s": apart_s if math.isfinite(apart_s) else None}


def within(found: dict[str, Any]) -> bool:
    """Whether all of `errors` are as small as they are to be below saturation."""
    near = (("p50", P50), ("p95", P95), ("throughput", THROUGHPUT), ("violations", VIOLATIONS))
    return all(abs(found[name]) <= most for name, most in near) and (
        found["events_s"] is not None and found["events_s"] <= EVENTS_S
    )


def medians(cases: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Median absolute errors over the cases that count: measurable, below saturation."""
    counted = [each["error"] for each in cases if each["measurable"] and not each["saturated"]]
    return {name: float(np.median([abs(e[name]) for e in counted])) if counted else None for name in ("p50", "p95")}
