"""Serve's AutoscalingContext to our words. Pure: what one context says, as a Deployment; nothing that it does not say is made up.

A context carries the requests in the system, how many of them wait, and replica counts. It carries no rate and no latency, unless the
replicas record them (`ray_cluster.serve_stats`); without them these stay unknown, and policies that need them hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from policies.observation import Deployment, DeploymentStatus, Replica, ReplicaState, Traffic, known

REQUESTS, ERRORS, LATENCY = "homeostat_requests_total", "homeostat_errors_total", "homeostat_latency_s_total"
QUANTILES = {f"latency_{q}_s": f"homeostat_latency_{q}_s" for q in ("p50", "p95", "p99")}
STATS_OLD_AFTER_S = 30.0
"""Statistics older than this are none: replicas send theirs every 10 s."""


class Context(Protocol):
    """What is read of `ray.serve.config.AutoscalingContext` (Ray 2.60). Reading the two counts of requests makes Serve add them up."""

    app_name: str | None
    deployment_name: str
    target_num_replicas: int
    running_replicas: Sequence[Any]
    capacity_adjusted_min_replicas: int
    capacity_adjusted_max_replicas: int
    current_time: float | None

    @property
    def total_num_requests(self) -> float: ...
    @property
    def total_queued_requests(self) -> float: ...
    @property
    def raw_metrics(self) -> Mapping[str, Mapping[Any, Sequence[Any]]] | None: ...


def name(context: Context) -> str:
    """As everywhere, "application/deployment"."""
    return f"{context.app_name or 'default'}/{context.deployment_name}"


def deployment(
    context: Context, at_s: float, *, ongoing: float | None, slo_latency_s: float | None = None
) -> Deployment:
    """The deployment that `context` is about; `ongoing` is its count of requests, None where that is not to be believed.

    Serve does not say which replicas start; those that are wanted and do not run do.
    """
    running = tuple(_replica(each) for each in context.running_replicas)
    missing = max(0, context.target_num_replicas - len(running))
    starting = tuple(Replica(id=f"starting-{n}", state=ReplicaState.STARTING) for n in range(1, missing + 1))
    settled = len(running) == context.target_num_replicas
    return Deployment(
        name=name(context),
        status=DeploymentStatus.HEALTHY if settled else DeploymentStatus.UPDATING,
        replicas_wanted=context.target_num_replicas,
        replicas=running + starting,
        min_replicas=context.capacity_adjusted_min_replicas,
        max_replicas=max(1, context.capacity_adjusted_max_replicas),
        slo_latency_s=slo_latency_s,
        traffic=_traffic(context, at_s, ongoing),
    )


def _replica(replica: Any) -> Replica:
    return Replica(id=_id(replica), state=ReplicaState.RUNNING)


def _id(replica: Any) -> str:
    return str(getattr(replica, "unique_id", replica))


def _traffic(context: Context, at_s: float, ongoing: float | None) -> Traffic | None:
    recorded = _recorded(context.raw_metrics or {}, frozenset(map(_id, context.running_replicas)), at_s)
    if recorded is None:
        # A window of no length says that there is no rate. Without requests in the system either, nothing is known.
        recorded = Traffic(measured_at_s=at_s, window_s=0.0, requests=0) if ongoing is not None else None
    return recorded if recorded is None or ongoing is None else _counted(context, recorded, ongoing)


def _counted(context: Context, seen: Traffic, ongoing: float) -> Traffic:
    """`seen` with the requests in the system, and the time in the queue, queued / rate by Little's law, in its latencies."""
    queued = known(context.total_queued_requests)
    wait_s = queued / seen.rate_rps if queued is not None and seen.rate_rps else 0.0
    latencies = {
        each: latency_s + wait_s
        for each in ("latency_mean_s", *QUANTILES)
        if (latency_s := getattr(seen, each)) is not None
    }
    return replace(seen, ongoing=ongoing, queued=queued, **latencies)


def _recorded(
    metrics: Mapping[str, Mapping[Any, Sequence[Any]]], running: frozenset[str], at_s: float
) -> Traffic | None:
    """What replicas recorded over their look-back period, together.

    None where one that is `running` has no two fresh records, of requests or of errors where others have these: the sum over the others
    is not what the deployment does. So it is for up to two records after a replica has started.
    """
    spans = {
        replica: (series[0], series[-1])
        for replica, series in metrics.get(REQUESTS, {}).items()
        if len(series) > 1 and series[-1].timestamp > series[0].timestamp
        if at_s - series[-1].timestamp <= STATS_OLD_AFTER_S
    }
    if not spans or not running <= set(map(_id, spans)):
        return None
    errors = _risen(metrics[ERRORS], spans) if metrics.get(ERRORS) else 0.0
    if errors is None:
        return None
    window_s = max(last.timestamp - first.timestamp for first, last in spans.values())
    rates = {
        replica: _grown(first.value, last.value) / (last.timestamp - first.timestamp)
        for replica, (first, last) in spans.items()
    }
    requests = sum(rates.values()) * window_s
    latencies = {field: _weighted(metrics.get(metric, {}), rates, at_s) for field, metric in QUANTILES.items()}
    return Traffic(
        measured_at_s=max(last.timestamp for _, last in spans.values()),
        window_s=window_s,
        requests=round(requests),
        errors=round(errors),
        latency_mean_s=_ratio(_risen(metrics.get(LATENCY, {}), spans), _risen(metrics[REQUESTS], spans)),
        **latencies,
    )


def _risen(series: Mapping[Any, Sequence[Any]], replicas: Mapping[Any, Any]) -> float | None:
    """By how much counters rose, over all `replicas`; None where one of them has none."""
    if not all(series.get(each) for each in replicas):
        return None
    return known(sum(_grown(series[each][0].value, series[each][-1].value) for each in replicas))


def _grown(before: float, after: float) -> float:
    return after - before if after >= before else after


def _ratio(top: float | None, bottom: float | None) -> float | None:
    return known(top / bottom) if top is not None and bottom else None


def _weighted(series: Mapping[Any, Sequence[Any]], rates: Mapping[Any, float], at_s: float) -> float | None:
    """The rate-weighted mean of the newest values; None where a replica that answered has no fresh one."""
    newest = {replica: points[-1] for replica, points in series.items() if points}
    total, weighted = 0.0, 0.0
    for replica, rate in rates.items():
        if rate <= 0:
            continue
        point = newest.get(replica)
        if point is None or at_s - point.timestamp > STATS_OLD_AFTER_S:
            return None
        total, weighted = total + rate, weighted + rate * point.value
    return known(weighted / total) if total else None
