"""What replicas do not see: requests that wait in Serve's routers for a replica with room. Pure.

Serve's replicas count and time a request from when they get it; under load most of a request's life passes before. Without it a deployment
with a full queue looks calm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from policies.observation import Deployment, Traffic, known
from ray_cluster.translate import Scrape, Waits, nothing_known, quantile

QUEUE_TIMES_MAX = 2.0
"""A queue may be so many times what arrivals and measured waits make of it; both are measured at moments of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Requests that waited on average over a window, and how many came in it; how long those waited that left, None where none did."""

    measured_at_s: float
    window_s: float
    queued: float | None
    """None where it is not known: a router that was there could not be read, or says what is no number."""
    queued_least: float | None = None
    """The smallest that the queue was at any look; None where it is not known."""
    arrived: int | None = None
    mean_s: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None


def waiting(scrapes: Sequence[Scrape]) -> dict[str, Waiting]:
    """Of every deployment with a queue, from the scrapes of one window, oldest first; empty without scrapes.

    Where an endpoint can not be read, or a router is gone that was there before, the sum over the others is not the queue. Routers may be
    anywhere, so that an endpoint that can not be read leaves no deployment's queue known.
    """
    if not scrapes:
        return {}
    found = {deployment: _waiting(deployment, scrapes) for each in scrapes for deployment in each.queued}
    if all(each.whole for each in scrapes):
        return found
    after = scrapes[-1]
    unknown = Waiting(measured_at_s=after.at_s, window_s=after.at_s - scrapes[0].at_s, queued=None)
    return dict.fromkeys(found.keys() | {deployment for deployment, _ in after.requests}, unknown)


def _waiting(deployment: str, scrapes: Sequence[Scrape]) -> Waiting:
    before, after = scrapes[0], scrapes[-1]
    window_s = after.at_s - before.at_s
    routers = frozenset().union(*(each.routers.get(deployment, frozenset()) for each in scrapes))
    lengths = [known(each.queued[deployment]) for each in scrapes if deployment in each.queued]
    whole = [length for length in lengths if length is not None and length >= 0]
    if routers != after.routers.get(deployment, frozenset()) or len(whole) < len(lengths):
        return Waiting(measured_at_s=after.at_s, window_s=window_s, queued=None)
    waits = _between(before.waits.get(deployment, Waits()), after.waits.get(deployment, Waits()))
    return Waiting(
        measured_at_s=after.at_s,
        window_s=window_s,
        queued=sum(whole) / len(whole),
        queued_least=min(whole),
        arrived=_arrived(before.arrived.get(deployment, 0.0), after.arrived.get(deployment)),
        mean_s=waits.sum_ms / waits.count / 1e3 if waits.count else None,
        p50_s=quantile(waits.buckets, 0.5),
        p95_s=quantile(waits.buckets, 0.95),
        p99_s=quantile(waits.buckets, 0.99),
    )


def with_waiting(deployment: Deployment, waits: Waiting | None) -> Deployment:
    """`deployment` with the requests and the time in its queue added to what its replicas answered.

    1. Quantiles are added to quantiles, as if the longest wait met the longest work: exact where only one of the two varies, else
       too high rather than too low.
    2. Where no replica runs, the queue is all there is.
    3. Where the queue is not known, or not believed, neither is the load: see `doubt`.
    """
    if waits is None:
        return deployment
    if doubt(deployment, waits) is not None:
        return replace(deployment, traffic=nothing_known(waits.measured_at_s))
    seen = deployment.traffic
    queued = waits.queued or 0.0
    if not deployment.running:
        plain = Traffic(measured_at_s=waits.measured_at_s, window_s=waits.window_s, requests=0)
        asleep = replace(seen or plain, arrived=waits.arrived, ongoing=queued, queued=queued)
        return replace(deployment, traffic=asleep)
    return replace(deployment, traffic=_waited(seen, waits, queued)) if seen is not None else deployment


def doubt(deployment: Deployment, waits: Waiting) -> str | None:
    """Why the queue is not known, or None where it is.

    Routers give a waiting request to a replica as soon as one has room. A queue that never empties although every replica has room all
    the time, and that is longer than arrivals and measured waits make it (Little's law), is a gauge that nobody takes back: of callers
    that went away, of a router that died.
    """
    if waits.queued is None:
        return "the requests that wait in its routers can not be read"
    least = waits.queued_least or 0.0
    if least < 1.0 or not _has_room(deployment):
        return None
    expected = (waits.arrived or 0) / waits.window_s * (waits.mean_s or 0.0) if waits.window_s > 0 else 0.0
    if least < 1.0 + QUEUE_TIMES_MAX * expected:
        return None
    return f"its routers report {least:g} requests that wait all the time, although its replicas have room for them"


def _has_room(deployment: Deployment) -> bool:
    """Whether every replica that runs has had room for one request more, on average over the window."""
    most = deployment.max_ongoing_requests or 1
    ongoing = [None if each.traffic is None else each.traffic.ongoing for each in deployment.running]
    return bool(ongoing) and all(each is not None and each + 1.0 <= most for each in ongoing)


def _waited(seen: Traffic, waits: Waiting, queued: float) -> Traffic:
    arrived = waits.arrived
    if arrived is not None and waits.window_s > 0:  # over the window of what was answered, whose rate it stands beside
        arrived = round(arrived * seen.window_s / waits.window_s)
    return replace(
        seen,
        arrived=arrived,
        queued=queued,
        ongoing=None if seen.ongoing is None else seen.ongoing + queued,
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
