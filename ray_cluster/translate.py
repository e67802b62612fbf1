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
from ray_cluster.capacity import bundles, resources
from ray_cluster.names import SERVER_DEPLOYMENT

STATUS = {
    "HEALTHY": DeploymentStatus.HEALTHY,
    "UPDATING": DeploymentStatus.UPDATING,
    "UPSCALING": DeploymentStatus.UPDATING,
    "DOWNSCALING": DeploymentStatus.UPDATING,
    "UNHEALTHY": DeploymentStatus.UNHEALTHY,
    "DEPLOY_FAILED": DeploymentStatus.DEPLOY_FAILED,
}
NEW_S = 30.0
"""So long after its start a replica may not have reported: Ray's workers export their metrics every 10 seconds by default."""
STILL_SERVICES = 3.0
"""Where nothing moves for so many mean times of service, what is said to be in the replicas is not believed."""
STATES = {
    "STARTING": ReplicaState.STARTING,
    "UPDATING": ReplicaState.STARTING,
    "RECOVERING": ReplicaState.STARTING,
    "PENDING_MIGRATION": ReplicaState.RUNNING,
    "RUNNING": ReplicaState.RUNNING,
    "STOPPING": ReplicaState.STOPPING,
}


def deployments(details: Mapping[str, Any], groups: Mapping[str, Resources] | None = None) -> dict[str, Deployment]:
    """All deployments in Serve's REST details, by "application/deployment".

    `groups` are the placement groups of replicas as Ray knows them: Serve 2.60 tells those of an application's configuration file only.
    """
    found: dict[str, Deployment] = {}
    for application, described in details.get("applications", {}).items():
        written = _written(described)
        for name, row in described.get("deployments", {}).items():
            full = f"{application}/{name}"
            reserved = _reserved(row.get("deployment_config")) or _reserved(written.get(name))
            reserved = reserved or (groups or {}).get(full)
            found[full] = _deployment(full, row, reserved, scalable=bool(described.get("external_scaler_enabled")))
    return found


def foreign(described: Mapping[str, Any], model: str) -> bool:
    """Whether an application in Serve's details is somebody else's, and not the server of `model`.

    Ours is known by the router that its requests go through; one of which no deployment is known yet may be ours.
    """
    rows = described.get("deployments") or {}
    if not rows:
        return False
    if SERVER_DEPLOYMENT not in rows:
        return True
    router = (rows[SERVER_DEPLOYMENT].get("deployment_config") or {}).get("request_router_config") or {}
    kwargs = router.get("request_router_kwargs")
    return kwargs is not None and dict(kwargs).get("model") != model


def _written(described: Mapping[str, Any]) -> Mapping[str, Any]:
    """The deployments in an application's configuration file, by name."""
    rows = (described.get("deployed_app_config") or {}).get("deployments") or ()
    return {str(row.get("name")): row for row in rows}


def _reserved(config: Any) -> Resources | None:
    config = config or {}
    return bundles(config.get("placement_group_bundles"), config.get("placement_group_strategy"))


def _deployment(name: str, row: Mapping[str, Any], reserved: Resources | None, *, scalable: bool) -> Deployment:
    config = row.get("deployment_config") or {}
    return Deployment(
        name=name,
        status=STATUS.get(str(row.get("status")), DeploymentStatus.UNKNOWN),
        replicas_wanted=int(row.get("target_num_replicas") or 0),
        replicas=tuple(_replica(each) for each in row.get("replicas", ())),
        max_ongoing_requests=config.get("max_ongoing_requests"),
        resources=reserved if reserved is not None else resources(row.get("required_resources") or {}),
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
class Counts:
    """What one replica has counted since its start."""

    requests: float = 0.0
    errors: float = 0.0
    latency_sum_ms: float = 0.0
    latency_buckets: Mapping[float, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scrape:
    """What Serve counted up to `at_s`, by (deployment, replica); queues, waits and arrivals by deployment, as routers count them.

    What is no finite number is left out, as if it had not been exported; only a queue that is none is kept, as NaN.
    """

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
    last_s: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """When each of those was last in one."""
    shifts: Mapping[tuple[str, str], Counts] = field(default_factory=dict)
    """What replicas had counted before their counters began anew; it is in their counts here."""
    routers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Who counted the queue of each deployment."""
    whole: bool = True
    """Whether every endpoint could be read. Where not, what is missing may be anything."""


REQUESTS = "ray_serve_deployment_request_counter_total"
ERRORS = "ray_serve_deployment_error_counter_total"
LATENCY_SUM = "ray_serve_deployment_processing_latency_ms_sum"
LATENCY_BUCKET = "ray_serve_deployment_processing_latency_ms_bucket"
ONGOING = "ray_serve_replica_processing_queries"
STARTS = "ray_serve_deployment_replica_starts_total"
QUEUED = "ray_serve_deployment_queued_queries"
ARRIVED = "ray_serve_num_router_requests_total"
WAIT_COUNT = "ray_serve_request_router_fulfillment_time_ms_count"
WAIT_SUM = "ray_serve_request_router_fulfillment_time_ms_sum"
WAIT_BUCKET = "ray_serve_request_router_fulfillment_time_ms_bucket"
COUNTED = {REQUESTS, ERRORS, LATENCY_SUM, ONGOING, STARTS, QUEUED, ARRIVED, WAIT_COUNT, WAIT_SUM}
BUCKETS = {LATENCY_BUCKET, WAIT_BUCKET}


def scrape(at_s: float, samples: Iterable[Sample]) -> Scrape:
    """Serve's own metrics among `samples`, summed over routes and routers."""
    counted: dict[str, dict[tuple[str, str], float]] = defaultdict(lambda: defaultdict(float))
    buckets: dict[str, dict[tuple[str, str], dict[float, float]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(float))
    )
    routers: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        deployment = f"{sample.labels.get('application', '')}/{sample.labels.get('deployment', '')}"
        key = (deployment, sample.labels.get("replica", ""))
        if sample.name in BUCKETS:
            buckets[sample.name][key][float(sample.labels["le"])] += sample.value
        elif sample.name in COUNTED:
            counted[sample.name][key] += sample.value
        if sample.name == QUEUED:
            routers[deployment].add(f"{sample.labels.get('actor_id', '')}/{sample.labels.get('handle', '')}")
    queued, kept = counted.pop(QUEUED, {}), {name: _finite(values) for name, values in counted.items()}
    started = kept.get(STARTS, {}).keys() | kept.get(ONGOING, {}).keys()
    return Scrape(
        at_s,
        # A replica that exports its start and has counted nothing was never asked; one that counts nonsense is not known.
        {key: 0.0 for key in started if key not in counted[REQUESTS]} | kept.get(REQUESTS, {}),
        kept.get(ERRORS, {}),
        kept.get(LATENCY_SUM, {}),
        {key: row for key, row in buckets[LATENCY_BUCKET].items() if _all_finite(row.values())},
        {key: 0.0 for key in started if key not in counted[ONGOING] and key not in counted[REQUESTS]}
        | kept.get(ONGOING, {}),
        {deployment: value for (deployment, _), value in queued.items()},
        {
            key[0]: Waits(count, kept.get(WAIT_SUM, {}).get(key, 0.0), buckets[WAIT_BUCKET].get(key, {}))
            for key, count in kept.get(WAIT_COUNT, {}).items()
            if key in kept.get(WAIT_SUM, {}) and _all_finite(buckets[WAIT_BUCKET].get(key, {}).values())
        },
        {deployment: value for (deployment, _), value in kept.get(ARRIVED, {}).items()},
        routers={deployment: frozenset(names) for deployment, names in routers.items()},
    )


def _finite(values: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    return {key: value for key, value in values.items() if _all_finite((value,))}


def _all_finite(values: Iterable[float]) -> bool:
    return all(known(value) is not None and value >= 0 for value in values)


def unbroken(before: Scrape, now: Scrape, keep_s: float) -> Scrape:
    """`now`, with the counts of replicas that are gone kept for `keep_s`, and counts that began anew going on from `before`.

    So the difference of two scrapes misses nothing of what lies between them but the last moments of a replica.
    """
    gone = {key: before.gone_since_s.get(key, now.at_s) for key in before.requests.keys() - now.requests.keys()}
    gone = {key: since_s for key, since_s in gone.items() if now.at_s - since_s <= keep_s}
    shifts = {key: before.shifts[key] for key in gone if key in before.shifts}
    shifts |= {key: shift for key in now.requests if (shift := _shift(before, now, key)) is not None}

    def kept(name: str) -> dict[tuple[str, str], float]:
        old, new = getattr(before, name), getattr(now, name)
        going_on = {key: value + (getattr(shifts[key], name) if key in shifts else 0.0) for key, value in new.items()}
        return {key: old[key] for key in gone if key in old} | going_on

    buckets = {key: before.latency_buckets[key] for key in gone if key in before.latency_buckets}
    for key, row in now.latency_buckets.items():
        old = shifts[key].latency_buckets if key in shifts else {}
        buckets[key] = {bound: value + old.get(bound, 0.0) for bound, value in row.items()}
    return replace(
        now,
        requests=kept("requests"),
        errors=kept("errors"),
        latency_sum_ms=kept("latency_sum_ms"),
        latency_buckets=buckets,
        gone_since_s=gone,
        last_s={key: before.last_s.get(key, before.at_s) for key in gone},
        shifts=shifts,
    )


def _shift(before: Scrape, now: Scrape, key: tuple[str, str]) -> Counts | None:
    """What is to be added to the counts of `now`; None where its counters never began anew."""
    shift = before.shifts.get(key)
    total = before.requests.get(key, 0.0)
    if now.requests[key] >= total - (shift.requests if shift is not None else 0.0):
        return shift
    return Counts(
        total, before.errors.get(key, 0.0), before.latency_sum_ms.get(key, 0.0), before.latency_buckets.get(key, {})
    )


def averaged(found: Mapping[tuple[str, str], Traffic], scrapes: Sequence[Scrape]) -> dict[tuple[str, str], Traffic]:
    """`found`, with the requests in each replica averaged over `scrapes` rather than as they were at the last one.

    What is not known at the last one, or is gone, stays unknown.
    """

    def mean(key: tuple[str, str], last: float | None) -> float | None:
        seen = [each.ongoing[key] for each in scrapes if key in each.ongoing]
        return known(sum(seen) / len(seen)) if last is not None and seen and key in scrapes[-1].ongoing else None

    return {key: replace(row, ongoing=mean(key, row.ongoing)) for key, row in found.items()}


def traffic(before: Scrape, after: Scrape) -> dict[tuple[str, str], Traffic]:
    """Traffic between two scrapes, by (deployment, replica); a counter that went back belongs to a new process.

    1. A replica that is gone from `after` was last measured when it was last there; one that is long gone has no traffic.
    2. One that was missing from `before` although it may have counted long since has none either: from when its count is, is not
       known. Where `before` is whole and never heard of it, it is new, and has counted from nothing.
    3. Where nothing comes, nothing is answered and the requests in the replicas stand still, what is in them is not known: a
       gauge that stopped looks the same as work that hangs, and neither is load.
    """
    still = _still(before, after)
    found = {}
    for key, total in after.requests.items():
        until_s = after.last_s.get(key, after.at_s)
        if until_s <= before.at_s or not _since_known(before, after, key):
            continue
        ongoing = known(after.ongoing.get(key))
        found[key] = _between(before, after, key, _grown(before.requests.get(key, 0.0), total), until_s)
        found[key] = replace(found[key], ongoing=None if ongoing and key[0] in still else ongoing)
    return found


def _since_known(before: Scrape, after: Scrape, key: tuple[str, str]) -> bool:
    if key in before.gone_since_s:
        return key in after.gone_since_s
    return key in before.requests or before.whole


def _still(before: Scrape, after: Scrape) -> set[str]:
    """Deployments in which nothing moves between two scrapes and nothing waits, for longer than their requests take."""
    moved = {deployment for deployment, value in after.queued.items() if value != 0}
    moved |= {deployment for deployment, value in after.arrived.items() if value != before.arrived.get(deployment)}
    requests: dict[str, float] = defaultdict(float)
    spent_s: dict[str, float] = defaultdict(float)
    for key in after.requests.keys() - after.gone_since_s.keys():
        looks = [(each.requests.get(key), each.errors.get(key), each.ongoing.get(key)) for each in (before, after)]
        if looks[0] != looks[1]:
            moved.add(key[0])
        requests[key[0]] += after.requests[key]
        spent_s[key[0]] += after.latency_sum_ms.get(key, 0.0) / 1e3
    window_s = after.at_s - before.at_s
    slow = {each for each, n in requests.items() if n and window_s < STILL_SERVICES * spent_s[each] / n}
    return requests.keys() - moved - slow


def _between(before: Scrape, after: Scrape, key: tuple[str, str], count: float, until_s: float) -> Traffic:
    rises = {
        bound: _grown(before.latency_buckets.get(key, {}).get(bound, 0.0), value)
        for bound, value in after.latency_buckets.get(key, {}).items()
    }
    spent_ms = after.latency_sum_ms.get(key)
    spent_ms = None if spent_ms is None else _grown(before.latency_sum_ms.get(key, 0.0), spent_ms)
    return Traffic(
        measured_at_s=until_s,
        window_s=until_s - before.at_s,
        requests=round(count),
        errors=round(_grown(before.errors.get(key, 0.0), after.errors.get(key, 0.0))),
        latency_mean_s=known(spent_ms / count / 1e3) if count and spent_ms is not None else None,
        latency_p50_s=quantile(rises, 0.5),
        latency_p95_s=quantile(rises, 0.95),
        latency_p99_s=quantile(rises, 0.99),
    )


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

    1. What a replica answered before it was stopped counts for the deployment as well, else its load would seem to fall with every
       scale-down; what was in it does not.
    2. The traffic of a deployment is known where that of each of its running replicas is: the sum over the others is not its load. A
       replica that began within the last NEW_S may not have reported yet, and has hardly answered anything.
    3. Where one of them does not say how many requests are in it, that sum is not known; where nothing was answered either, nothing is.
    """
    replicas = tuple(replace(each, traffic=_of_replica(each.id, by_replica)) for each in deployment.replicas)
    made = replace(deployment, replicas=replicas)
    there = {id(each.traffic) for each in replicas}
    parts = [row if id(row) in there else replace(row, ongoing=None) for row in by_replica.values()]
    whole = None if unread(made, _newest_s(by_replica)) else together(parts)
    return replace(made, traffic=None if whole is None else _with_ongoing(whole, made))


def nothing_known(at_s: float) -> Traffic:
    """That it was looked for at `at_s`, and that the load is not known."""
    return Traffic(measured_at_s=at_s, window_s=0.0, requests=0)


def _with_ongoing(whole: Traffic, deployment: Deployment) -> Traffic:
    rows = [each.traffic for each in deployment.running if each.traffic is not None]
    if any(row.ongoing is None for row in rows) or (deployment.running and not rows):
        return replace(whole, ongoing=None) if whole.requests else nothing_known(whole.measured_at_s)
    return whole if whole.ongoing is not None else replace(whole, ongoing=0.0)


def with_probe(deployment: Deployment, by_replica: Mapping[str, Traffic]) -> Deployment:
    """`deployment` with what a probe reports of its replicas, which is fresher and finer than what it shows already.

    A probe is silent of a replica that nobody asks, as of one that can not reach it; what Prometheus says of that one stands.
    """
    kept = {
        each.id: each.traffic
        for each in deployment.replicas
        if each.traffic is not None and _of_replica(each.id, by_replica) is None
    }
    return with_traffic(deployment, {**kept, **by_replica})


def unread(deployment: Deployment, newest_s: float) -> tuple[str, ...]:
    """Running replicas whose traffic is not known, or older than `newest_s`, although they began long enough before it."""
    return tuple(
        each.id
        for each in deployment.running
        if (each.traffic is None or each.traffic.measured_at_s < newest_s)
        and (each.started_at_s is None or each.started_at_s <= newest_s - NEW_S)
    )


def _newest_s(by_replica: Mapping[str, Traffic]) -> float:
    return max((row.measured_at_s for row in by_replica.values()), default=0.0)


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
