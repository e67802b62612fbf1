"""What replicas do not see: requests that wait in Serve's routers for a replica with room. Pure.

Serve's replicas count and time a request from when they get it; under load most of a request's life passes before. Without it a deployment
with a full queue looks calm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from policies.observation import Deployment, Traffic
from ray_cluster.translate import Scrape, Waits, quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Requests that waited on average over a window, and how many came in it; how long those waited that left, None where none did."""

    measured_at_s: float
    window_s: float
    queued: float
    arrived: int | None = None
    mean_s: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None


def waiting(scrapes: Sequence[Scrape]) -> dict[str, Waiting]:
    """Of every deployment with a queue, from the scrapes of one window, oldest first; empty without scrapes."""
    if not scrapes:
        return {}
    before, after = scrapes[0], scrapes[-1]
    found = {}
    for deployment in after.queued:
        lengths = [each.queued[deployment] for each in scrapes if deployment in each.queued]
        waits = _between(before.waits.get(deployment, Waits()), after.waits.get(deployment, Waits()))
        found[deployment] = Waiting(
            measured_at_s=after.at_s,
            window_s=after.at_s - before.at_s,
            queued=sum(lengths) / len(lengths),
            arrived=_arrived(before.arrived.get(deployment, 0.0), after.arrived.get(deployment)),
            mean_s=waits.sum_ms / waits.count / 1e3 if waits.count else None,
            p50_s=quantile(waits.buckets, 0.5),
            p95_s=quantile(waits.buckets, 0.95),
            p99_s=quantile(waits.buckets, 0.99),
        )
    return found


def with_waiting(deployment: Deployment, waits: Waiting | None) -> Deployment:
    """`deployment` with the requests and the time in its queue added to what its replicas answered.

    1. Quantiles are added to quantiles, as if the longest wait met the longest work: exact where only one of the two varies, else
       too high rather than too low.
    2. Where no replica runs, the queue is all there is.
    """
    if waits is None:
        return deployment
    seen = deployment.traffic
    if not deployment.running:
        plain = Traffic(measured_at_s=waits.measured_at_s, window_s=waits.window_s, requests=0)
        asleep = replace(seen or plain, arrived=waits.arrived, ongoing=waits.queued, queued=waits.queued)
        return replace(deployment, traffic=asleep)
    return replace(deployment, traffic=_waited(seen, waits)) if seen is not None else deployment


def _waited(seen: Traffic, waits: Waiting) -> Traffic:
    return replace(
        seen,
        arrived=waits.arrived,
        queued=waits.queued,
        ongoing=None if seen.ongoing is None else seen.ongoing + waits.queued,
        latency_mean_s=_sum(seen.latency_mean_s, waits.mean_s),
        latency_p50_s=_sum(seen.latency_p50_s, waits.p50_s),
        latency_p95_s=_sum(seen.latency_p95_s, waits.p95_s),
        latency_p99_s=_sum(seen.latency_p99_s, waits.p99_s),
    )


def _arrived(before: float, after: float | None) -> int | None:
    """None where no router counts, or one began anew: what it had counted before is lost."""
    return round(after - before) if after is not None and after >= before else None


def _between(before: Waits, after: Waits) -> Waits:
    """What was counted since `before`; all of `after` where a router began anew."""
    if after.count < before.count:
        return after
    grown: Mapping[float, float] = {
        bound: max(0.0, value - before.buckets.get(bound, 0.0)) for bound, value in after.buckets.items()
    }
    return Waits(after.count - before.count, after.sum_ms - before.sum_ms, grown)


def _sum(latency_s: float | None, wait_s: float | None) -> float | None:
    return latency_s if latency_s is None or wait_s is None else latency_s + wait_s
