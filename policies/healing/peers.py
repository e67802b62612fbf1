"""A replica beside its peers: is it far slower, or does it fail far more often? Medians and rates, nothing remembered."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from policies.action import Evidence
from policies.observation import Replica, Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far from its peers is too far."""

    slow_factor: float
    slow_factor_lone: float
    slow_floor_s: float
    error_factor: float
    error_floor: float


def answered(replica: Replica, at_s: float, *, min_requests: int, stale_after_s: float) -> Traffic | None:
    """The traffic of `replica` where it is fresh and enough to judge by, else None."""
    seen = replica.traffic
    if seen is None or at_s - seen.measured_at_s > stale_after_s or seen.requests < min_requests:
        return None
    return seen


def slower(one: Traffic, peers: Mapping[str, Traffic], limits: Limits) -> Evidence | None:
    """Why `one` is far slower than `peers`; None where it is not, or nothing is known of the latencies.

    Its latency is at least `slow_factor` times the median of theirs (`slow_factor_lone` where there is one peer only, which
    may itself be the odd one), and at least `slow_floor_s` above it. Medians (p50) are compared where all have them, else means.
    """
    name = "latency_p50_s"
    own_s, theirs_s = one.latency_p50_s, [each.latency_p50_s for each in peers.values()]
    if own_s is None or None in theirs_s:
        name = "latency_mean_s"
        own_s, theirs_s = one.latency_mean_s, [each.latency_mean_s for each in peers.values()]
    known_s = [each for each in theirs_s if each is not None]
    if own_s is None or not known_s:
        return None
    factor = limits.slow_factor if len(known_s) > 1 else limits.slow_factor_lone
    typical_s = median(known_s)
    allowed_s = max(factor * typical_s, typical_s + limits.slow_floor_s)
    if own_s < allowed_s:
        return None
    note = f"{own_s:.3g} s, {len(known_s)} peers {typical_s:.3g} s"
    return Evidence(name=name, value=own_s, threshold=allowed_s, window_s=one.window_s, n=one.requests, note=note)


def failing(one: Traffic, peers: Mapping[str, Traffic], limits: Limits) -> Evidence | None:
    """Why `one` fails far more often than its `peers` together: `error_factor` times as often and `error_floor` more."""
    requests, errors = (sum(getattr(each, name) for each in peers.values()) for name in ("requests", "errors"))
    own, theirs = one.error_rate, errors / requests if requests else None
    if own is None or theirs is None:
        return None
    allowed = max(limits.error_factor * theirs, theirs + limits.error_floor)
    if own < allowed:
        return None
    note = f"its error rate, {len(peers)} peers {theirs:.3g}"
    return Evidence(name="error_rate", value=own, threshold=allowed, window_s=one.window_s, n=one.requests, note=note)
