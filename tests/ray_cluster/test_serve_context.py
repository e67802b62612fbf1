"""Serve's AutoscalingContext as our Deployment: recorded contexts, translated without a Ray."""

from dataclasses import replace
from typing import NamedTuple

import pytest
from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from policies.observation import Deployment, DeploymentStatus, Replica, ReplicaState, Traffic
from ray_cluster.serve_context import ERRORS, LATENCY, QUANTILES, REQUESTS, deployment

AT_S = 1000.0
RANKER = DeploymentID(name="Model", app_name="ranker")


class Point(NamedTuple):
    """Ray's TimeStampedValue."""

    timestamp: float
    value: float


def context(running: int = 2, target: int = 2, total: float | None = 3.0, queued: float = 0.0, **fields):
    """As Serve makes it (Ray 2.60, `DeploymentAutoscalingState.get_autoscaling_context`); the counts of requests are callables there."""
    plain = {
        "deployment_id": RANKER, "deployment_name": "Model", "app_name": "ranker", "current_num_replicas": running,
        "target_num_replicas": target, "running_replicas": [ReplicaID(f"r{n}", RANKER) for n in range(1, running + 1)],
        "total_num_requests": lambda: total, "total_queued_requests": lambda: queued, "aggregated_metrics": dict,
        "raw_metrics": dict, "capacity_adjusted_min_replicas": 1, "capacity_adjusted_max_replicas": 5,
        "policy_state": {}, "last_scale_up_time": None, "last_scale_down_time": None, "current_time": AT_S,
        "config": AutoscalingConfig(max_replicas=5),
    }  # fmt: skip
    return AutoscalingContext(**(plain | fields))


def test_a_context_without_statistics_knows_requests_in_the_system_and_nothing_else() -> None:
    """No rate, no latency: unknown, not zero. What is wanted and does not run is starting."""
    assert deployment(context(2, 3, 7.5, 4.0), AT_S, ongoing=7.5, slo_latency_s=0.5) == Deployment(
        name="ranker/Model",
        status=DeploymentStatus.UPDATING,
        replicas_wanted=3,
        replicas=(
            Replica(id="r1", state=ReplicaState.RUNNING),
            Replica(id="r2", state=ReplicaState.RUNNING),
            Replica(id="starting-1", state=ReplicaState.STARTING),
        ),
        min_replicas=1,
        max_replicas=5,
        slo_latency_s=0.5,
        traffic=Traffic(measured_at_s=AT_S, window_s=0.0, requests=0, ongoing=7.5, queued=4.0),
    )
    seen = deployment(context(), AT_S, ongoing=3.0)
    assert (seen.status, seen.traffic.rate_rps, seen.traffic.latency_mean_s) == (DeploymentStatus.HEALTHY, None, None)


def test_requests_that_are_not_known_are_no_traffic() -> None:
    """A policy then holds, rather than to see a calm deployment."""
    assert deployment(context(), AT_S, ongoing=None).traffic is None
    assert deployment(context(queued=float("nan")), AT_S, ongoing=3.0).traffic.queued is None


def recorded(at_s: float = AT_S) -> dict:
    """Two replicas over ten seconds: 10 requests/s of 0.1 s, and 5 of 0.4 s."""
    replicas = [ReplicaID(f"r{n}", RANKER) for n in (1, 2)]

    def counter(*ends: float) -> dict:
        return {r: [Point(at_s - 10, 50.0), Point(at_s, 50.0 + end)] for r, end in zip(replicas, ends, strict=True)}

    return {
        REQUESTS: counter(100, 50),
        ERRORS: counter(0, 3),
        LATENCY: counter(10.0, 20.0),
        QUANTILES["latency_p95_s"]: {r: [Point(at_s, v)] for r, v in zip(replicas, (0.2, 0.8), strict=True)},
    }


def test_recorded_statistics_give_rate_errors_and_latencies_with_the_time_in_the_queue() -> None:
    """Counters by their rise, quantiles weighed by rate; 6 queued at 15 requests/s have waited 0.4 s."""
    seen = deployment(context(queued=6.0, raw_metrics=recorded), AT_S, ongoing=12.0).traffic
    assert seen == Traffic(
        measured_at_s=AT_S, window_s=10.0, requests=150, errors=3, ongoing=12.0, queued=6.0,
        latency_mean_s=pytest.approx(0.2 + 0.4), latency_p95_s=pytest.approx(0.4 + 0.4),
    )  # fmt: skip


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {REQUESTS: {"r1": [Point(AT_S, 5.0)]}},
        {REQUESTS: {"r1": [Point(AT_S - 100, 5.0), Point(AT_S - 60, 50.0)]}},
        {"another": {"r1": [Point(AT_S - 10, 5.0), Point(AT_S, 50.0)]}},
    ],
    ids=["none", "one point", "old", "of somebody else"],
)
def test_statistics_that_say_no_rate_are_none(metrics: dict) -> None:
    """One record is no rate, and an old one no news."""
    seen = deployment(context(raw_metrics=lambda: metrics), AT_S, ongoing=3.0).traffic
    assert seen == Traffic(measured_at_s=AT_S, window_s=0.0, requests=0, ongoing=3.0, queued=0.0)


def without(metrics: dict, name: str, *, keep: int = 0) -> dict:
    """`metrics` in which the second replica has only `keep` records of `name`."""
    second = list(metrics[REQUESTS])[1]
    left = metrics[name][second][-keep:] if keep else None
    others = {replica: points for replica, points in metrics[name].items() if replica != second}
    return metrics | {name: others if left is None else others | {second: left}}


@pytest.mark.parametrize(("name", "keep"), [(REQUESTS, 0), (REQUESTS, 1), (ERRORS, 0)])
def test_the_sum_over_some_of_the_replicas_that_run_is_no_rate(name: str, keep: int) -> None:
    """One has no records, or too few: what the deployment does is unknown, and only Serve's own count is told."""
    metrics = without(recorded(), name, keep=keep)
    seen = deployment(context(raw_metrics=lambda: metrics), AT_S, ongoing=3.0).traffic
    assert seen == Traffic(measured_at_s=AT_S, window_s=0.0, requests=0, ongoing=3.0, queued=0.0)
    assert deployment(context(raw_metrics=lambda: metrics), AT_S, ongoing=None).traffic is None


def test_records_of_a_replica_that_no_longer_runs_count_and_none_of_it_is_waited_for() -> None:
    """It answered requests in the window."""
    metrics = recorded()
    assert deployment(context(1, 1, raw_metrics=lambda: metrics), AT_S, ongoing=None).traffic.requests == 150
    assert (
        deployment(context(1, 1, raw_metrics=lambda: without(metrics, REQUESTS)), AT_S, ongoing=None).traffic.requests
        == 100
    )


@pytest.mark.parametrize("age_s", [None, 60.0])
def test_a_quantile_without_that_of_a_replica_that_answered_is_unknown(age_s: float | None) -> None:
    """Or with one that is old."""
    metrics = recorded()
    p95 = QUANTILES["latency_p95_s"]
    second = list(metrics[p95])[1]
    metrics = without(metrics, p95)
    if age_s is not None:
        metrics[p95][second] = [Point(AT_S - age_s, 0.1)]
    assert deployment(context(raw_metrics=lambda: metrics), AT_S, ongoing=None).traffic == replace(
        deployment(context(raw_metrics=recorded), AT_S, ongoing=None).traffic, latency_p95_s=None
    )


def test_recorded_statistics_stay_where_requests_in_the_system_are_not_known() -> None:
    """What is known is not thrown away with what is not."""
    seen = deployment(context(raw_metrics=recorded), AT_S, ongoing=None).traffic
    assert (seen.requests, seen.ongoing, seen.latency_mean_s) == (150, None, pytest.approx(0.2))


def test_without_requests_there_is_no_latency() -> None:
    """None, not zero; a replica that misses a counter makes the sum unknown."""
    idle = {REQUESTS: {"r1": [Point(AT_S - 10, 5.0), Point(AT_S, 5.0)]}}
    seen = deployment(context(1, 1, raw_metrics=lambda: idle), AT_S, ongoing=0.0).traffic
    assert seen == Traffic(measured_at_s=AT_S, window_s=10.0, requests=0, ongoing=0.0, queued=0.0)
    partial = recorded()
    partial[LATENCY] = dict(list(partial[LATENCY].items())[:1])
    assert deployment(context(raw_metrics=lambda: partial), AT_S, ongoing=None).traffic == replace(
        deployment(context(raw_metrics=recorded), AT_S, ongoing=None).traffic, latency_mean_s=None
    )
