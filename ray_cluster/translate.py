"""Ray's words to ours. Pure: what Serve's REST details and Prometheus samples say, as deployments and traffic."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from policies.observation import (
    Deployment,
    DeploymentStatus,
    Replica,
    ReplicaState,
    Resources,
    Traffic,
    known,
)

STATUS = {
    "HEALTHY": DeploymentStatus.HEALTHY,
    "UPDATING": DeploymentStatus.UPDATING,
    "UPSCALING": DeploymentStatus.UPDATING,
    "DOWNSCALING": DeploymentStatus.UPDATING,
    "UNHEALTHY": DeploymentStatus.UNHEALTHY,
    "DEPLOY_FAILED": DeploymentStatus.DEPLOY_FAILED,
}
STATES = {
    "STARTING": ReplicaState.STARTING,
    "UPDATING": ReplicaState.STARTING,
    "RECOVERING": ReplicaState.STARTING,
    "PENDING_MIGRATION": ReplicaState.RUNNING,
    "RUNNING": ReplicaState.RUNNING,
    "STOPPING": ReplicaState.STOPPING,
}


def deployments(details: Mapping[str, Any]) -> dict[str, Deployment]:
    """All deployments in Serve's REST details, by "application/deployment"."""
    found: dict[str, Deployment] = {}
    for application, described in details.get("applications", {}).items():
        for name, row in described.get("deployments", {}).items():
            full = f"{application}/{name}"
            found[full] = _deployment(full, row, scalable=bool(described.get("external_scaler_enabled")))
    return found


def _deployment(name: str, row: Mapping[str, Any], *, scalable: bool) -> Deployment:
    config = row.get("deployment_config") or {}
    return Deployment(
        name=name,
        status=STATUS.get(str(row.get("status")), DeploymentStatus.UNKNOWN),
        replicas_wanted=int(row.get("target_num_replicas") or 0),
        replicas=tuple(_replica(each) for each in row.get("replicas", ())),
        max_ongoing_requests=config.get("max_ongoing_requests"),
        resources=_resources(row.get("required_resources") or {}),
        scalable=scalable,
        message=str(row.get("message") or ""),
    )


def _replica(row: Mapping[str, Any]) -> Replica:
    return Replica(
        id=str(row["replica_id"]),
        state=STATES.get(str(row.get("state")), ReplicaState.STARTING),
        healthy=None,
        started_at_s=known(row.get("start_time_s")),
        node=row.get("node_id"),
    )


def _resources(row: Mapping[str, Any]) -> Resources:
    return Resources(
        cpus=float(row.get("CPU", 0.0)), gpus=float(row.get("GPU", 0.0)), memory_bytes=int(row.get("memory", 0))
    )


@dataclass(frozen=True)
class Sample:
    """One sample of Prometheus' text format."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Waits:
    """How long requests of one deployment waited for a replica, as its routers counted it: all of them, sum and buckets in ms."""

    count: float = 0.0
    sum_ms: float = 0.0
    buckets: Mapping[float, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scrape:
    """What Serve counted up to `at_s`, by (deployment, replica); queues, waits and arrivals by deployment, as routers count them."""

    at_s: float
    requests: Mapping[tuple[str, str], float] = field(default_factory=dict)
    errors: Mapping[tuple[str, str], float] = field(default_factory=dict)
    latency_sum_ms: Mapping[tuple[str, str], float] = field(default_factory=dict)
    latency_buckets: Mapping[tuple[str, str], Mapping[float, float]] = field(default_factory=dict)
    ongoing: Mapping[tuple[str, str], float] = field(default_factory=dict)
    queued: Mapping[str, float] = field(default_factory=dict)
    waits: Mapping[str, Waits] = field(default_factory=dict)
    arrived: Mapping[str, float] = field(default_factory=dict)
    gone_since_s: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Replicas that are not in it any more and whose counts were kept."""


REQUESTS = "ray_serve_deployment_request_counter_total"
ERRORS = "ray_serve_deployment_error_counter_total"
LATENCY_SUM = "ray_serve_deployment_processing_latency_ms_sum"
LATENCY_BUCKET = "ray_serve_deployment_processing_latency_ms_bucket"
ONGOING = "ray_serve_replica_processing_queries"
QUEUED = "ray_serve_deployment_queued_queries"
ARRIVED = "ray_serve_num_router_requests_total"
WAIT_COUNT = "ray_serve_request_router_fulfillment_time_ms_count"
WAIT_SUM = "ray_serve_request_router_fulfillment_time_ms_sum"
WAIT_BUCKET = "ray_serve_request_router_fulfillment_time_ms_bucket"
COUNTED = {REQUESTS, ERRORS, LATENCY_SUM, ONGOING, QUEUED, ARRIVED, WAIT_COUNT, WAIT_SUM}
BUCKETS = {LATENCY_BUCKET, WAIT_BUCKET}


def scrape(at_s: float, samples: Iterable[Sample]) -> Scrape:
    """Serve's own metrics among `samples`, summed over routes and routers."""
    counted: dict[str, dict[tuple[str, str], float]] = defaultdict(lambda: defaultdict(float))
    buckets: dict[str, dict[tuple[str, str], dict[float, float]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(float))
    )
    for sample in samples:
        deployment = f"{sample.labels.get('application', '')}/{sample.labels.get('deployment', '')}"
        key = (deployment, sample.labels.get("replica", ""))
        if sample.name in BUCKETS:
            buckets[sample.name][key][float(sample.labels["le"])] += sample.value
        elif sample.name in COUNTED:
            counted[sample.name][key] += sample.value
    return Scrape(
        at_s,
        counted[REQUESTS],
        counted[ERRORS],
        counted[LATENCY_SUM],
        buckets[LATENCY_BUCKET],
        counted[ONGOING],
        {deployment: value for (deployment, _), value in counted[QUEUED].items()},
        {
            key[0]: Waits(count, counted[WAIT_SUM].get(key, 0.0), buckets[WAIT_BUCKET].get(key, {}))
            for key, count in counted[WAIT_COUNT].items()
        },
        {deployment: value for (deployment, _), value in counted[ARRIVED].items()},
    )


def unbroken(before: Scrape, now: Scrape, keep_s: float) -> Scrape:
    """`now`, with the counts of replicas that are gone kept for `keep_s`, and counts that began anew going on from `before`.

    So the difference of two scrapes misses nothing of what lies between them but the last moments of a replica.
    """
    gone = {key: before.gone_since_s.get(key, now.at_s) for key in before.requests.keys() - now.requests.keys()}
    gone = {key: since_s for key, since_s in gone.items() if now.at_s - since_s <= keep_s}
    anew = {key for key, total in now.requests.items() if total < before.requests.get(key, 0.0)}

    def kept(
        old: Mapping[tuple[str, str], float], new: Mapping[tuple[str, str], float]
    ) -> dict[tuple[str, str], float]:
        going_on = {key: value + old.get(key, 0.0) if key in anew else value for key, value in new.items()}
        return {key: old[key] for key in gone if key in old} | going_on

    buckets = {key: before.latency_buckets[key] for key in gone if key in before.latency_buckets}
    for key, new in now.latency_buckets.items():
        old = before.latency_buckets.get(key, {}) if key in anew else {}
        buckets[key] = {bound: value + old.get(bound, 0.0) for bound, value in new.items()}
    return replace(
        now,
        requests=kept(before.requests, now.requests),
        errors=kept(before.errors, now.errors),
        latency_sum_ms=kept(before.latency_sum_ms, now.latency_sum_ms),
        latency_buckets=buckets,
        gone_since_s=gone,
    )


def averaged(found: Mapping[tuple[str, str], Traffic], scrapes: Sequence[Scrape]) -> dict[tuple[str, str], Traffic]:
    """`found`, with the requests in each replica averaged over `scrapes` rather than as they were at the last one."""

    def mean(key: tuple[str, str]) -> float | None:
        seen = [each.ongoing[key] for each in scrapes if key in each.ongoing]
        return known(sum(seen) / len(seen)) if seen and key in scrapes[-1].ongoing else None

    return {key: replace(row, ongoing=mean(key)) for key, row in found.items()}


def traffic(before: Scrape, after: Scrape) -> dict[tuple[str, str], Traffic]:
    """Traffic between two scrapes, by (deployment, replica); a counter that went back belongs to a new process."""
    found: dict[tuple[str, str], Traffic] = {}
    for key, total in after.requests.items():
        deployment, replica = key
        count = _grown(before.requests.get(key, 0.0), total)
        rises = {
            bound: _grown(before.latency_buckets.get(key, {}).get(bound, 0.0), value)
            for bound, value in after.latency_buckets.get(key, {}).items()
        }
        spent_ms = _grown(before.latency_sum_ms.get(key, 0.0), after.latency_sum_ms.get(key, 0.0))
        found[(deployment, replica)] = Traffic(
            measured_at_s=after.at_s,
            window_s=after.at_s - before.at_s,
            requests=round(count),
            errors=round(_grown(before.errors.get(key, 0.0), after.errors.get(key, 0.0))),
            ongoing=known(after.ongoing.get(key)),
            latency_mean_s=known(spent_ms / count / 1e3) if count else None,
            latency_p50_s=quantile(rises, 0.5),
            latency_p95_s=quantile(rises, 0.95),
            latency_p99_s=quantile(rises, 0.99),
        )
    return found


def quantile(buckets: Mapping[float, float], q: float) -> float | None:
    """Seconds, from cumulative counts by upper bound in milliseconds, linear within a bucket as Prometheus does; None without counts."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    rank, low_ms, below = q * total, 0.0, 0.0
    for bound_ms in bounds:
        upto = buckets[bound_ms]
        if upto >= rank:
            if bound_ms == float("inf"):
                return low_ms / 1e3
            share = (rank - below) / (upto - below) if upto > below else 1.0
            return (low_ms + (bound_ms - low_ms) * share) / 1e3
        low_ms, below = bound_ms, upto
    return low_ms / 1e3


def together(parts: Iterable[Traffic]) -> Traffic | None:
    """The traffic of a deployment from that of its replicas; quantiles are the request-weighted means of theirs."""
    rows = list(parts)
    if not rows:
        return None
    requests = sum(row.requests for row in rows)
    ongoing = [row.ongoing for row in rows if row.ongoing is not None]
    return Traffic(
        measured_at_s=max(row.measured_at_s for row in rows),
        window_s=max(row.window_s for row in rows),
        requests=requests,
        errors=sum(row.errors for row in rows),
        ongoing=sum(ongoing) if ongoing else None,
        latency_mean_s=_weighted(rows, "latency_mean_s"),
        latency_p50_s=_weighted(rows, "latency_p50_s"),
        latency_p95_s=_weighted(rows, "latency_p95_s"),
        latency_p99_s=_weighted(rows, "latency_p99_s"),
    )


def with_traffic(deployment: Deployment, by_replica: Mapping[str, Traffic]) -> Deployment:
    """`deployment` and its replicas with what they answered. Ids are matched whole, or by their end.

    What a replica answered before it was stopped counts for the deployment as well, else its load would seem to fall with every
    scale-down; what was in it does not.
    """
    replicas = tuple(replace(each, traffic=_of_replica(each.id, by_replica)) for each in deployment.replicas)
    there = {id(each.traffic) for each in replicas}
    parts = [row if id(row) in there else replace(row, ongoing=None) for row in by_replica.values()]
    return replace(deployment, replicas=replicas, traffic=together(parts))


def _of_replica(replica: str, by_replica: Mapping[str, Traffic]) -> Traffic | None:
    if replica in by_replica:
        return by_replica[replica]
    return next((row for name, row in by_replica.items() if name and name.endswith(replica)), None)


def _grown(before: float, after: float) -> float:
    return after - before if after >= before else after


def _weighted(rows: list[Traffic], name: str) -> float | None:
    pairs = [(row.requests, getattr(row, name)) for row in rows if getattr(row, name) is not None and row.requests]
    total = sum(count for count, _ in pairs)
    return sum(count * value for count, value in pairs) / total if total else None
