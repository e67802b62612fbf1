"""Ray's words to ours: Serve's details and metrics as deployments and traffic."""

import math

import pytest

from policies.observation import Deployment, DeploymentStatus, Replica, ReplicaState, Resources, Traffic
from ray_cluster.translate import (
    Sample,
    Scrape,
    averaged,
    deployments,
    quantile,
    scrape,
    together,
    traffic,
    unbroken,
    with_traffic,
)

DETAILS = {
    "applications": {
        "fraud": {
            "external_scaler_enabled": True,
            "deployments": {
                "Fraud": {
                    "status": "UPSCALING",
                    "message": "starting",
                    "target_num_replicas": 3,
                    "deployment_config": {"max_ongoing_requests": 8},
                    "required_resources": {"CPU": 0.5, "GPU": 0.25, "memory": 1024},
                    "replicas": [
                        {"replica_id": "r1", "state": "RUNNING", "start_time_s": 5.0, "node_id": "n1"},
                        {"replica_id": "r2", "state": "PENDING_MIGRATION", "start_time_s": None, "node_id": None},
                        {"replica_id": "r3", "state": "A_STATE_OF_TOMORROW"},
                    ],
                }
            },
        },
        "plain": {"deployments": {"Plain": {"status": "WORRIED"}}},
    }
}


def test_details_become_deployments() -> None:
    """States that are not known count as starting, a status that is not known as unknown; nothing is made up."""
    assert deployments(DETAILS) == {
        "fraud/Fraud": Deployment(
            name="fraud/Fraud",
            status=DeploymentStatus.UPDATING,
            replicas_wanted=3,
            replicas=(
                Replica(id="r1", state=ReplicaState.RUNNING, started_at_s=5.0, node="n1"),
                Replica(id="r2", state=ReplicaState.RUNNING),
                Replica(id="r3", state=ReplicaState.STARTING),
            ),
            max_ongoing_requests=8,
            resources=Resources(cpus=0.5, gpus=0.25, memory_bytes=1024),
            scalable=True,
            message="starting",
        ),
        "plain/Plain": Deployment(
            name="plain/Plain",
            status=DeploymentStatus.UNKNOWN,
            replicas_wanted=0,
            resources=Resources(cpus=0.0),
            scalable=False,
        ),
    }
    assert deployments({}) == {}


def counted(at_s: float, requests: float, sum_ms: float = 0.0, errors: float = 0.0):
    labels = {"application": "a", "deployment": "D", "replica": "r1"}
    prefix = "ray_serve_deployment_"
    return scrape(
        at_s,
        [
            Sample(f"{prefix}request_counter_total", labels | {"route": "/x"}, requests / 2),
            Sample(f"{prefix}request_counter_total", labels | {"route": "/y"}, requests / 2),
            Sample(f"{prefix}error_counter_total", labels, errors),
            Sample(f"{prefix}processing_latency_ms_sum", labels, sum_ms),
            Sample("ray_serve_replica_processing_queries", labels, 2.0),
            Sample("something_else", labels, 99.0),
        ],
    )


def test_traffic_is_what_was_counted_between_two_looks() -> None:
    """Summed over routes; means in seconds."""
    found = traffic(counted(10.0, 100, 1000.0), counted(20.0, 160, 4000.0, errors=3))
    assert found == {
        ("a/D", "r1"): Traffic(
            measured_at_s=20.0, window_s=10.0, requests=60, errors=3, ongoing=2.0, latency_mean_s=0.05
        )
    }


def test_a_counter_that_went_back_belongs_to_a_new_process() -> None:
    """What it counted since its start is what is new; never a negative rate."""
    (row,) = traffic(counted(10.0, 100, 1000.0), counted(20.0, 8, 80.0)).values()
    assert (row.requests, row.latency_mean_s) == (8, 0.01)


def test_no_requests_have_no_latency() -> None:
    """None, not zero."""
    (row,) = traffic(counted(10.0, 100, 1000.0), counted(20.0, 100, 1000.0)).values()
    assert (row.requests, row.latency_mean_s, row.latency_p95_s) == (0, None, None)


@pytest.mark.parametrize(
    ("buckets", "q", "expected"),
    [
        ({}, 0.5, None),
        ({10.0: 0.0, math.inf: 0.0}, 0.5, None),
        ({10.0: 10.0, 20.0: 10.0, math.inf: 10.0}, 0.5, 0.005),
        ({10.0: 5.0, 20.0: 10.0, math.inf: 10.0}, 0.75, 0.015),
        ({10.0: 5.0, 20.0: 5.0, math.inf: 10.0}, 0.99, 0.020),
    ],
)
def test_quantiles_are_linear_within_a_bucket(buckets: dict, q: float, expected: float | None) -> None:
    """As Prometheus' histogram_quantile; beyond the last bound that bound, and None without counts."""
    assert quantile(buckets, q) == (pytest.approx(expected) if expected is not None else None)


def test_a_deployment_sums_its_replicas_and_weighs_their_latencies() -> None:
    """By requests; a replica that says nothing takes nothing away."""
    quiet = Traffic(measured_at_s=1.0, window_s=5.0, requests=0)
    fast = Traffic(measured_at_s=2.0, window_s=5.0, requests=30, errors=1, ongoing=1.0, latency_mean_s=0.1)
    slow = Traffic(measured_at_s=2.0, window_s=5.0, requests=10, errors=2, ongoing=3.0, latency_mean_s=0.5)
    assert together([quiet, fast, slow]) == Traffic(
        measured_at_s=2.0, window_s=5.0, requests=40, errors=3, ongoing=4.0, latency_mean_s=pytest.approx(0.2)
    )
    assert together([]) is None


def test_a_replica_gets_the_traffic_of_its_own_id() -> None:
    """Serve's metrics call it by a longer name that ends in the id."""
    seen = Traffic(measured_at_s=1.0, window_s=5.0, requests=3)
    made = with_traffic(deployments(DETAILS)["fraud/Fraud"], {"fraud#Fraud#r2": seen})
    assert [each.traffic for each in made.replicas] == [None, seen, None]
    assert made.traffic == seen


def test_what_a_stopped_replica_answered_still_counts_for_its_deployment() -> None:
    """Else a scale-down would look like falling load, and bring the next one; what was in it is gone with it."""
    stays = Traffic(measured_at_s=1.0, window_s=5.0, requests=3, ongoing=1.0)
    gone = Traffic(measured_at_s=1.0, window_s=5.0, requests=4, ongoing=2.0)
    made = with_traffic(deployments(DETAILS)["fraud/Fraud"], {"r1": stays, "r0": gone})
    assert made.traffic == Traffic(measured_at_s=1.0, window_s=5.0, requests=7, ongoing=1.0)


def test_counts_go_on_where_a_replica_goes_and_where_a_counter_begins_anew() -> None:
    """What is gone is kept for a while, then forgotten; a counter that fell goes on from where it was."""
    first, anew = counted(10.0, 100, 1000.0), counted(11.0, 8, 80.0)
    empty = [scrape(at_s, []) for at_s in (12.0, 13.0, 80.0)]
    second = unbroken(first, anew, keep_s=60.0)
    assert (second.requests, second.latency_sum_ms) == ({("a/D", "r1"): 108}, {("a/D", "r1"): 1080.0})
    third = unbroken(unbroken(second, empty[0], 60.0), empty[1], 60.0)
    assert (third.requests, third.ongoing, third.gone_since_s) == ({("a/D", "r1"): 108}, {}, {("a/D", "r1"): 12.0})
    assert unbroken(third, empty[2], 60.0).requests == {}


def test_requests_in_a_replica_are_averaged_over_the_window() -> None:
    """A gauge says what is at one moment; a replica that is not there any more has none in it."""
    looks = [Scrape(at_s, ongoing={("a/D", "r1"): value}) for at_s, value in ((1.0, 1.0), (2.0, 3.0), (3.0, 2.0))]
    seen = Traffic(measured_at_s=3.0, window_s=2.0, requests=5, ongoing=2.0)
    found = averaged({("a/D", "r1"): seen, ("a/D", "r0"): seen}, looks)
    assert {key: row.ongoing for key, row in found.items()} == {("a/D", "r1"): 2.0, ("a/D", "r0"): None}
