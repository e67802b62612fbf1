"""What observations say of a run: latencies, late answers, replicas. The same for a real run and a simulated one, so that the two
can be held against each other: a simulator knows every request, a journal only quantiles of windows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from policies.observation import Deployment, Traffic
from simulators.recorded.traffic import end_to_end, fresh

HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Of one deployment, or of several together. None: not known."""

    requests: int
    errors: int
    latency_mean_s: float | None
    latency_p95_s: float | None
    """Means over windows of their p95 and p99, weighted by requests."""
    latency_p99_s: float | None
    violation_rate: float | None
    """Mean over windows of the share of requests that came too late or not at all; see `late_share`."""
    replicas_mean: float | None
    replicas_max: int


def measured(rows: Sequence[tuple[float, Deployment]], slo_s: float | None) -> Measured:
    """`rows` are (moment, deployment) in order."""
    windows = end_to_end([seen for seen, _ in fresh(rows)])
    shares = [share for each in windows if slo_s is not None and (share := late_share(each, slo_s)) is not None]
    return Measured(
        requests=sum(each.requests for each in windows),
        errors=sum(each.errors for each in windows),
        latency_mean_s=_weighted(windows, "latency_mean_s"),
        latency_p95_s=_weighted(windows, "latency_p95_s"),
        latency_p99_s=_weighted(windows, "latency_p99_s"),
        violation_rate=sum(shares) / len(shares) if shares else None,
        replicas_mean=_replicas_mean(rows),
        replicas_max=max((len(each.running) for _, each in rows), default=0),
    )


def together(found: Mapping[str, Measured]) -> Measured:
    """The fleet: sums, latencies weighted by requests, the mean of the rates, as in `simulators.measures`."""
    rows = list(found.values())
    rates = [each.violation_rate for each in rows if each.violation_rate is not None]
    means = [each.replicas_mean for each in rows if each.replicas_mean is not None]
    return Measured(
        requests=sum(each.requests for each in rows),
        errors=sum(each.errors for each in rows),
        latency_mean_s=_weighted(rows, "latency_mean_s"),
        latency_p95_s=_weighted(rows, "latency_p95_s"),
        latency_p99_s=_weighted(rows, "latency_p99_s"),
        violation_rate=sum(rates) / len(rates) if rates else None,
        replicas_mean=sum(means) if means else None,
        replicas_max=sum(each.replicas_max for each in rows),
    )


def _weighted(rows: Sequence[Traffic] | Sequence[Measured], name: str) -> float | None:
    pairs = [(getattr(row, name), row.requests) for row in rows if getattr(row, name) is not None]
    total = sum(requests for _, requests in pairs)
    return sum(value * requests for value, requests in pairs) / total if total else None


def _replicas_mean(rows: Sequence[tuple[float, Deployment]]) -> float | None:
    spans = [(later_s - at_s, len(each.running)) for (at_s, each), (later_s, _) in pairwise(rows)]
    total_s = sum(span_s for span_s, _ in spans)
    return sum(span_s * running for span_s, running in spans) / total_s if total_s > 0 else None


def late_share(seen: Traffic, slo_s: float) -> float | None:
    """The share of a window's requests that failed or took longer than `slo_s`; None where no quantile was measured.

    Between known quantiles the share above a latency falls as a power of it (straight in logarithms), beyond the last one as
    before it; below the median it rises evenly to 1 at 0.
    """
    knots = _knots(seen)
    if not knots or not seen.requests:
        return None
    lost = seen.errors / seen.requests
    return lost + (1.0 - lost) * _above(slo_s, knots)


def _knots(seen: Traffic) -> list[tuple[float, float]]:
    """(latency, share above it), the latencies ascending."""
    found: list[tuple[float, float]] = []
    for latency_s, share in ((seen.latency_p50_s, 0.5), (seen.latency_p95_s, 0.05), (seen.latency_p99_s, 0.01)):
        if latency_s is not None and latency_s > (found[-1][0] if found else 0.0):
            found.append((latency_s, share))
    return found


def _above(slo_s: float, knots: Sequence[tuple[float, float]]) -> float:
    first_s, first = knots[0]
    if slo_s <= first_s:
        return 1.0 - (1.0 - first) * slo_s / first_s
    for (low_s, high), (high_s, low) in pairwise(knots):
        slope = math.log(low / high) / math.log(high_s / low_s)
        if slo_s <= high_s or high_s == knots[-1][0]:
            return high * (slo_s / low_s) ** slope
    return 0.0
