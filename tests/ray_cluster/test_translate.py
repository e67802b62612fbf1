"""Ray's words to ours: Serve's details and metrics as deployments and traffic."""

import math
from dataclasses import replace

import pytest

from policies.observation import Deployment, DeploymentStatus, Replica, ReplicaState, Resources, Traffic
from ray_cluster.translate import (
    ARRIVED,
    ERRORS,
    LATENCY_BUCKET,
    LATENCY_SUM,
    ONGOING,
    REQUESTS,
    STARTS,
    WAIT_BUCKET,
    WAIT_COUNT,
    WAIT_SUM,
    Sample,
    Scrape,
    averaged,
    deployments,
    nothing_known,
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
    idle = Traffic(measured_at_s=1.0, window_s=5.0, requests=0, ongoing=0.0)
    made = with_traffic(deployments(DETAILS)["fraud/Fraud"], {"r1": stays, "r2": idle, "r0": gone})
    assert made.traffic == Traffic(measured_at_s=1.0, window_s=5.0, requests=7, ongoing=1.0)


PAIR = replace(
    deployments(DETAILS)["fraud/Fraud"],
    replicas=tuple(Replica(id=name, state=ReplicaState.RUNNING, started_at_s=5.0) for name in ("r1", "r2")),
)


def row(measured_at_s: float, requests: int = 3, ongoing: float | None = 1.0) -> Traffic:
    return Traffic(measured_at_s=measured_at_s, window_s=5.0, requests=requests, ongoing=ongoing)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({"r1": row(100.0)}, None),
        ({"r1": row(100.0), "r2": row(95.0)}, None),
        ({"r1": row(20.0)}, row(20.0)),
        ({"r1": row(100.0), "r2": row(100.0)}, row(100.0, requests=6, ongoing=2.0)),
        ({"r1": row(100.0), "r2": row(100.0, ongoing=None)}, row(100.0, requests=6, ongoing=None)),
        ({"r1": row(100.0, 0), "r2": row(100.0, 0, ongoing=None)}, nothing_known(100.0)),
        ({}, None),
    ],
    ids=["one missing", "one old", "one too new to report", "both", "one gauge missing", "nothing moves", "none"],
)
def test_the_load_of_a_deployment_is_known_where_that_of_each_replica_is(
    rows: dict[str, Traffic], expected: Traffic | None
) -> None:
    """The sum over those that could be read is the load of some, and a policy would take the rest away."""
    assert with_traffic(PAIR, rows).traffic == expected


def test_without_a_replica_nothing_is_in_them() -> None:
    """What was answered by one that is gone counts, and nobody holds a request."""
    asleep = replace(PAIR, replicas=())
    assert with_traffic(asleep, {"r0": row(9.0)}).traffic == row(9.0, ongoing=0.0)


def exported(name: str, replica: str, value: float, **labels: str) -> Sample:
    return Sample(name, {"application": "a", "deployment": "D", "replica": replica} | labels, value)


def test_a_replica_that_was_never_asked_exports_its_start_and_has_nothing_in_it() -> None:
    """So that an idle replica is told from one whose endpoint is silent."""
    found = scrape(1.0, [exported(STARTS, "r1", 1.0), exported(ONGOING, "r2", 2.0)])
    assert (found.requests, found.ongoing) == (
        {("a/D", "r1"): 0.0, ("a/D", "r2"): 0.0},
        {("a/D", "r1"): 0.0, ("a/D", "r2"): 2.0},
    )


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -math.inf, -1.0])
def test_what_is_no_count_was_not_exported(nonsense: float) -> None:
    """Neither a zero nor an error: the replica's requests, what is in it and its latency are not known."""
    names = (REQUESTS, ERRORS, LATENCY_SUM, ONGOING, WAIT_COUNT, ARRIVED)
    samples = [exported(STARTS, "r1", 1.0), *(exported(name, "r1", nonsense) for name in names)]
    samples += [exported(LATENCY_BUCKET, "r1", nonsense, le="10"), exported(LATENCY_BUCKET, "r1", 5.0, le="+Inf")]
    assert scrape(1.0, samples) == Scrape(1.0)


def test_a_histogram_of_waits_with_nonsense_is_no_wait() -> None:
    """Count and sum may be right; what they belong to is not known."""
    samples = [exported(WAIT_COUNT, "", 3.0), exported(WAIT_SUM, "", 9.0), exported(WAIT_BUCKET, "", math.nan, le="1")]
    assert scrape(1.0, samples).waits == {}


def looked(at_s: float, requests: float, ongoing: float, sum_ms: float = 0.0, whole: bool = True) -> Scrape:
    key = ("a/D", "r1")
    return Scrape(at_s, {key: requests}, latency_sum_ms={key: sum_ms}, ongoing={key: ongoing}, whole=whole)


@pytest.mark.parametrize(
    ("before", "after", "ongoing"),
    [
        (looked(0.0, 100, 12.0, 7e3), looked(10.0, 100, 12.0, 7e3), None),
        (looked(0.0, 100, 12.0, 7e3), looked(10.0, 101, 12.0, 7e3), 12.0),
        (looked(0.0, 100, 11.0, 7e3), looked(10.0, 100, 12.0, 7e3), 12.0),
        (looked(0.0, 100, 0.0, 7e3), looked(10.0, 100, 0.0, 7e3), 0.0),
        (looked(0.0, 100, 12.0, 3e6), looked(10.0, 100, 12.0, 3e6), 12.0),
        (looked(0.0, 100, 12.0), replace(looked(10.0, 100, 12.0), queued={"a/D": 1.0}), 12.0),
        (looked(0.0, 100, 12.0), replace(looked(10.0, 100, 12.0), arrived={"a/D": 1.0}), 12.0),
    ],
    ids=["stands still", "answers", "moves", "idle", "slow requests", "a queue", "arrivals"],
)
def test_requests_that_stand_still_while_nothing_comes_or_goes_are_not_load(
    before: Scrape, after: Scrape, ongoing: float | None
) -> None:
    """A gauge that froze and work that hangs look alike, and no replica more would help either."""
    assert traffic(before, after)[("a/D", "r1")].ongoing == ongoing


def test_a_replica_that_comes_back_into_the_metrics_has_no_rate_until_a_window_has_passed() -> None:
    """What it counted while nobody could read it would look like a burst."""
    gone = unbroken(looked(0.0, 100, 1.0), Scrape(10.0), keep_s=3600.0)
    back, later = (unbroken(gone, looked(at_s, 100 + at_s * 10, 1.0), keep_s=3600.0) for at_s in (20.0, 30.0))
    assert traffic(gone, back) == {}
    assert traffic(back, later)[("a/D", "r1")].requests == 100


def test_a_replica_that_was_never_read_counts_from_nothing_only_where_all_was_read_before() -> None:
    """Behind an endpoint that was away it may have counted for days."""
    after = looked(10.0, 900, 1.0)
    assert traffic(Scrape(0.0), after)[("a/D", "r1")].requests == 900
    assert traffic(Scrape(0.0, whole=False), after) == {}


def test_a_replica_that_is_gone_was_measured_when_it_was_last_there() -> None:
    """Not now: its counts stand still because nobody reads them. After a window there is nothing left to say."""
    first, second = looked(0.0, 100, 1.0), looked(4.0, 140, 1.0)
    gone = unbroken(second, Scrape(8.0), keep_s=3600.0)
    (last,) = traffic(first, gone).values()
    assert (last.measured_at_s, last.window_s, last.requests, last.ongoing) == (4.0, 4.0, 40, None)
    assert traffic(second, gone) == {}


def test_a_counter_that_began_anew_is_shifted_once() -> None:
    """Not again at each look, as if it began anew for ever."""
    looks = [counted(10.0, 100, 1000.0)]
    for at_s, requests in ((11.0, 8), (12.0, 10), (13.0, 13)):
        looks.append(unbroken(looks[-1], counted(at_s, requests, requests * 10.0), keep_s=60.0))
    assert [each.requests[("a/D", "r1")] for each in looks] == [100, 108, 110, 113]
    assert [each.latency_sum_ms[("a/D", "r1")] for each in looks] == [1000.0, 1080.0, 1100.0, 1130.0]


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
