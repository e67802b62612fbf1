"""What one arm of a rollout answered, from two snapshots of its kernel's counters."""

import numpy as np

from policies.observation import Arm, Moments
from simulators.request_counters import Counters
from simulators.sketch import FINE, lower_edges
from simulators.windows import window_quantiles

_EDGES = lower_edges(FINE)
_MIDDLES = (_EDGES[:-1] + _EDGES[1:]) / 2.0


def arm_between(before: Counters | None, now: Counters) -> Arm:
    """Requests, errors and latencies between two snapshots of one deployment; without `before` since its start.

    The mean latency is exact; variance and quantiles are read off the sketch, whose buckets are at most 0.4 % wide.
    """
    completed = now.completed - (before.completed if before else 0)
    ended = now.ended - (before.ended if before else 0)
    if completed == 0:
        return Arm(requests=ended, errors=ended)
    latency_s = now.latency_sum_s - (before.latency_sum_s if before else 0.0)
    old = before.sketch if before is not None else np.zeros_like(now.sketch)
    counts = (now.sketch - old).astype(float)
    middle_s = float(counts @ _MIDDLES) / completed
    spread = float(counts @ (_MIDDLES - middle_s) ** 2)
    p95_s, p99_s = window_quantiles(now.sketch, old, (0.95, 0.99))
    return Arm(
        requests=ended,
        errors=ended - completed,
        latency=Moments(n=completed, mean=latency_s / completed, variance=spread / max(1, completed - 1)),
        latency_p95_s=p95_s,
        latency_p99_s=p99_s,
    )
