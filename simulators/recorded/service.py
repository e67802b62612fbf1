"""The service time of a deployment, from latencies at low load, and how many requests one replica works on at a time.

1. Where replicas would be idle most of the time even if they worked on one request after the other, latency is service: that of the
   calmest windows is a first figure. Where it was never so calm, `policies.scaling.service_time` gives one: a low quantile of mean
   latencies, or what saturated replicas got through.
2. With it, the utilisation of every settled window without errors is known. The calmest are pooled, up to `CALM_UTILISATION`, or
   further until they hold `REQUESTS_WANTED` requests.
3. Even there some wait, since Serve looks at two replicas only. The mean wait of that (mean field of the power of two choices:
   Mitzenmacher, IEEE TPDS 12, 2001; of one replica: Erlang C) is taken off, times (1 + scv) / 2 as service times vary less or more
   than exponential ones (Allen and Cunneen).
4. The spread of latencies is that of a lognormal: ln(p95 / p50) / 1.645 and ln(p99 / p50) / 2.326, averaged. Of its variance that of
   the waits is taken off, as if those who wait do so for any part of one service time alike.
5. A replica that answers more requests in a second than fit one after the other works on several: the most that was seen of
   rate * service / replicas, rounded up. That is a lower bound.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from scipy.optimize import brentq

from policies.observation import Deployment, Traffic
from policies.queueing import erlang_c, mmc_wait_mean
from policies.scaling.service_time import CALM, ServiceTime

CALM_UTILISATION = 0.3
REQUESTS_WANTED = 1000
IDLE_MOSTLY = 0.5
"""Requests in a replica on average. One after the other that is a third of the time busy: u / (1 - u) of M/M/1."""
MORE_THAN_ONE = 1.15
"""Times one request at a time: what a wrong service time alone could give is less."""
Z95, Z99 = 1.6449, 2.3263
FOREVER_S = 1e6


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """`shape` is that of a lognormal, None where quantiles were not measured. `requests` were looked at, in windows whose replicas
    were busy for the part `utilisation_max` of the time at most."""

    mean_s: float
    shape: float | None
    concurrency: int
    requests: int
    utilisation_max: float


@dataclass(frozen=True, kw_only=True)
class _Window:
    seen: Traffic
    replicas: int
    mean_s: float

    def load(self, service_s: float) -> float:
        """Requests in service at a time on each replica (Little's law)."""
        return self.seen.requests * service_s / (self.seen.window_s * self.replicas)


def estimate(windows: Sequence[tuple[Traffic, Deployment]]) -> Estimate | None:
    """From all measurements of a deployment, in order; None where no latency was measured."""
    learned = ServiceTime(window=max(len(windows), 1))
    for _, deployment in windows:
        learned.see(deployment, "p99")
    first = learned.known
    good = [found for seen, deployment in windows if (found := _usable(seen, deployment)) is not None]
    if first is None or not good:
        return None
    quick = _quick(good)
    first_s = _latency_where_calm(quick) or first.mean_s
    at_once = max(_at_once(each, first_s) for each in good)
    limit = min((d.max_ongoing_requests for _, d in windows if d.max_ongoing_requests is not None), default=None)
    concurrency = min(at_once, limit) if limit is not None else at_once
    calm = _calm(quick, first_s, concurrency)
    requests = sum(each.seen.requests for each in calm)
    latency_s = sum(each.mean_s * each.seen.requests for each in calm) / requests
    spread = _shape([each.seen for each in calm])
    mean_s = _without_waiting(latency_s, calm, concurrency, spread)
    shape = None if spread is None else _shape_without_waiting(spread, latency_s, mean_s)
    worst = max(each.load(mean_s) / concurrency for each in calm)
    return Estimate(
        mean_s=mean_s, shape=shape, concurrency=concurrency, requests=requests, utilisation_max=min(worst, 1.0)
    )


def _usable(seen: Traffic, deployment: Deployment) -> _Window | None:
    running = len(deployment.running)
    settled = running == deployment.replicas_wanted == len(deployment.replicas)
    if not settled or not running or seen.errors or not seen.requests or not seen.latency_mean_s:
        return None
    return _Window(seen=seen, replicas=running, mean_s=seen.latency_mean_s)


def _quick(windows: Sequence[_Window]) -> list[_Window]:
    """Without those that answered what had queued before, as after a crash: few requests, many replicas, and long waits; and without
    those that a slow replica has given a long tail.
    """
    low_s = _low([each.mean_s for each in windows])
    tail_s = _low([each.seen.latency_p95_s for each in windows if each.seen.latency_p95_s is not None])
    return [
        each for each in windows if each.mean_s <= CALM * low_s and (each.seen.latency_p95_s or 0.0) <= CALM * tail_s
    ] or list(windows)


def _low(values: Sequence[float]) -> float:
    """The value that a tenth of all lie below; without values no limit."""
    return sorted(values)[(len(values) - 1) // 10] if values else math.inf


def _latency_where_calm(windows: Sequence[_Window]) -> float | None:
    """The mean latency of the calmest windows; None where requests in replicas were so many that some may have waited."""
    calmest = _calm(windows, 1e-9, 1, limit=0.0)
    requests = sum(each.seen.requests for each in calmest)
    latency_s = sum(each.mean_s * each.seen.requests for each in calmest) / requests
    replica_s = sum(each.seen.window_s * each.replicas for each in calmest)
    return latency_s if requests * latency_s < IDLE_MOSTLY * replica_s else None


def _at_once(window: _Window, service_s: float) -> int:
    load = window.load(service_s)
    return 1 if load <= MORE_THAN_ONE else math.ceil(load - (MORE_THAN_ONE - 1.0))


def _calm(
    windows: Sequence[_Window], service_s: float, concurrency: int, limit: float = CALM_UTILISATION
) -> list[_Window]:
    found: list[_Window] = []
    requests = 0
    for each in sorted(windows, key=lambda each: each.load(service_s)):
        if requests >= REQUESTS_WANTED and each.load(service_s) > limit * concurrency:
            break
        found.append(each)
        requests += each.seen.requests
    return found


def _shape(windows: Sequence[Traffic]) -> float | None:
    """Averaged over requests; None where fewer than two quantiles are known."""
    pairs: list[tuple[float, int]] = []
    for each in windows:
        if not each.latency_p50_s:
            continue
        tails = [
            math.log(max(tail / each.latency_p50_s, 1.0)) / z
            for tail, z in ((each.latency_p95_s, Z95), (each.latency_p99_s, Z99))
            if tail is not None
        ]
        if tails:
            pairs.append((fmean(tails), each.requests))
    total = sum(requests for _, requests in pairs)
    return sum(value * requests for value, requests in pairs) / total if total else None


def _without_waiting(latency_s: float, calm: Sequence[_Window], concurrency: int, shape: float | None) -> float:
    """The service time at which replicas of this rate have the latency that was measured."""
    requests = sum(each.seen.requests for each in calm)
    rates = [each.seen.requests / (each.seen.window_s * each.replicas) for each in calm]
    rate = sum(rate * each.seen.requests for rate, each in zip(rates, calm, strict=True)) / requests
    alone = all(each.replicas == 1 for each in calm)
    spread = (1.0 + (1.0 if shape is None else math.expm1(shape**2))) / 2.0

    def excess(service_s: float) -> float:
        return service_s + spread * _wait_s(rate, service_s, concurrency, alone) - latency_s

    return float(brentq(excess, 1e-9, latency_s)) if excess(latency_s) > 0 else latency_s


def _shape_without_waiting(shape: float, latency_s: float, mean_s: float) -> float:
    """A wait that is uniform over (0, s) and has the mean w, zeros included, has the variance 2/3 w s - w^2."""
    wait_s = latency_s - mean_s
    waiting = max(2.0 / 3.0 * wait_s * mean_s - wait_s**2, 0.0)
    variance = max(math.expm1(shape**2) * latency_s**2 - waiting, 0.0)
    return math.sqrt(math.log1p(variance / mean_s**2))


def _wait_s(rate: float, service_s: float, concurrency: int, alone: bool) -> float:
    """The mean wait at a replica that works on `concurrency` requests at a time and gets `rate` of them a second."""
    if alone:
        return min(float(mmc_wait_mean(concurrency, rate, service_s)), FOREVER_S)
    full = float(erlang_c(concurrency, rate * service_s))
    if full >= 1.0:
        return FOREVER_S
    # Of those that find both replicas busy, some find both with one waiting, and so on: u^2 + u^6 + u^14 ... for one at a time.
    return service_s / concurrency * sum(full ** (2**depth - 2) for depth in range(2, 12))
