"""Requests that wait for a replica: seen in the routers, added to what replicas see."""

import math
from dataclasses import replace

import pytest

from policies.observation import Deployment, Traffic
from policies.testing import deployment, replica
from ray_cluster.translate import Sample, Scrape, nothing_known, scrape
from ray_cluster.waiting import Waiting, doubt, waiting, with_waiting


def looked(at_s: float, queued: float, waited: tuple[float, float], count_to_100_ms: float, came: float = 50):
    """Two routers of one deployment share what waits."""
    labels = {"application": "a", "deployment": "D"}
    count, sum_ms = waited
    prefix = "ray_serve_request_router_fulfillment_time_ms"
    routers = [labels | {"handle": name} for name in ("h1", "h2")]
    return scrape(
        at_s,
        [
            sample
            for router in routers
            for sample in (
                Sample("ray_serve_deployment_queued_queries", router, queued / 2),
                Sample("ray_serve_num_router_requests_total", router, came / 2),
                Sample(f"{prefix}_count", router, count / 2),
                Sample(f"{prefix}_sum", router, sum_ms / 2),
                Sample(f"{prefix}_bucket", router | {"le": "100"}, count_to_100_ms / 2),
                Sample(f"{prefix}_bucket", router | {"le": "+Inf"}, count / 2),
            )
        ],
    )


def test_the_queue_is_averaged_and_waits_are_of_those_that_left_it() -> None:
    """Over all routers, between the first look and the last."""
    looks = [
        looked(1.0, 4.0, (10, 500.0), 10, came=14),
        looked(2.0, 9.0, (12, 600.0), 10, came=21),
        looked(3.0, 2.0, (20, 1500.0), 20, came=44),
    ]
    assert waiting(looks) == {
        "a/D": Waiting(
            measured_at_s=3.0, window_s=2.0, queued=5.0, queued_least=2.0, arrived=30, mean_s=pytest.approx(0.1),
            p50_s=pytest.approx(0.05), p95_s=pytest.approx(0.095), p99_s=pytest.approx(0.099),
        )
    }  # fmt: skip
    assert waiting([]) == {}


def test_a_queue_that_nobody_left_has_no_wait() -> None:
    """None, not zero: how long they wait is not known yet."""
    (found,) = waiting([looked(1.0, 4.0, (10, 500.0), 10), looked(2.0, 6.0, (10, 500.0), 10)]).values()
    assert (found.queued, found.mean_s, found.p99_s) == (5.0, None, None)


def test_a_router_that_began_anew_counts_from_there() -> None:
    """Never a negative wait; how many came is not known."""
    looks = [looked(1.0, 0.0, (10, 500.0), 10), looked(2.0, 0.0, (4, 80.0), 4, came=5)]
    (found,) = waiting(looks).values()
    assert (found.mean_s, found.arrived) == (pytest.approx(0.02), None)


WAITS = Waiting(measured_at_s=9.0, window_s=5.0, queued=6.0, arrived=70, mean_s=0.2, p50_s=0.1, p95_s=0.3, p99_s=0.4)


def test_what_waits_is_in_the_system_and_time_in_the_queue_is_latency() -> None:
    """Sum by sum; what is not known of the replicas stays unknown."""
    seen = Traffic(measured_at_s=9.0, window_s=5.0, requests=50, ongoing=2.0, latency_mean_s=0.1, latency_p95_s=0.15)
    (made, quiet) = (
        with_waiting(deployment(traffic=each), WAITS).traffic
        for each in (seen, replace(seen, requests=0, ongoing=None, latency_mean_s=None, latency_p95_s=None))
    )
    assert made == replace(
        seen, arrived=70, ongoing=8.0, queued=6.0, latency_mean_s=pytest.approx(0.3), latency_p95_s=pytest.approx(0.45)
    )
    assert (quiet.ongoing, quiet.queued, quiet.latency_mean_s, quiet.latency_p95_s) == (None, 6.0, None, None)
    assert (made.rate_rps, made.arrival_rps, seen.arrival_rps) == pytest.approx((10.0, 14.0, 10.0))


def test_without_a_replica_the_queue_is_all_there_is() -> None:
    """So that who was scaled to zero can be seen to be wanted."""
    asleep = deployment(replicas=0)
    assert with_waiting(asleep, WAITS).traffic == Traffic(
        measured_at_s=9.0, window_s=5.0, requests=0, arrived=70, ongoing=6.0, queued=6.0
    )


def gauge(at_s: float, queued: float, handle: str = "h", whole: bool = True) -> Scrape:
    labels = {"application": "a", "deployment": "D", "handle": handle, "actor_id": "p"}
    return replace(scrape(at_s, [Sample("ray_serve_deployment_queued_queries", labels, queued)]), whole=whole)


@pytest.mark.parametrize(
    "looks",
    [
        [gauge(0.0, math.nan)],
        [gauge(0.0, 3.0), gauge(9.0, math.inf)],
        [gauge(0.0, 3.0), gauge(9.0, -1.0)],
        [gauge(0.0, 3.0), gauge(9.0, 3.0, whole=False)],
        [gauge(0.0, 3.0), gauge(9.0, 3.0, handle="another")],
        [gauge(0.0, 3.0), Scrape(9.0)],
    ],
    ids=["NaN", "infinite", "negative", "an endpoint away", "a router gone", "all routers gone"],
)
def test_a_queue_that_is_half_read_is_not_known(looks: list[Scrape]) -> None:
    """Neither is the load, whatever the replicas say of themselves."""
    last_s = looks[-1].at_s
    assert waiting(looks) == {"a/D": Waiting(measured_at_s=last_s, window_s=last_s, queued=None)}
    seen = Traffic(measured_at_s=last_s, window_s=9.0, requests=50, ongoing=2.0, latency_mean_s=0.1)
    assert with_waiting(deployment(traffic=seen), waiting(looks)["a/D"]).traffic == nothing_known(last_s)


def test_an_endpoint_that_is_away_leaves_no_queue_known() -> None:
    """A router of any deployment may be behind it, also where none was ever read."""
    looks = [Scrape(0.0), Scrape(9.0, {("b/E", "r1"): 5.0}, whole=False)]
    assert waiting(looks) == {"b/E": Waiting(measured_at_s=9.0, window_s=9.0, queued=None)}


def held(ongoing: float | None, most: int | None = None) -> Deployment:
    """One replica with so many requests in it."""
    seen = Traffic(measured_at_s=9.0, window_s=10.0, requests=0, ongoing=ongoing)
    return deployment(replicas=(replica("r1", traffic=seen),), traffic=seen, max_ongoing_requests=most)


@pytest.mark.parametrize(
    ("one", "fields", "believed"),
    [
        (held(0.0), {}, False),
        (held(3.0, most=8), {}, False),
        (held(7.5, most=8), {}, True),
        (held(1.0), {}, True),
        (held(None), {}, True),
        (held(0.0), {"queued_least": 0.0}, True),
        (held(0.0), {"arrived": 100, "mean_s": 0.002}, False),
        (held(0.0), {"arrived": 10_000, "mean_s": 0.03}, True),
        (deployment(replicas=0), {}, True),
    ],
    ids=[
        "idle", "room", "full", "full by default", "room unknown", "empties", "short waits", "long waits", "none runs",
    ],
)  # fmt: skip
def test_a_queue_that_no_replica_with_room_takes_from_is_not_believed(
    one: Deployment, fields: dict[str, float], believed: bool
) -> None:
    """42 requests that wait for ever and that nobody takes would bring as many replicas as there may be."""
    stuck = Waiting(**({"measured_at_s": 9.0, "window_s": 10.0, "queued": 42.0, "queued_least": 42.0} | fields))
    assert (doubt(one, stuck) is None) == believed
    assert (with_waiting(one, stuck).traffic == nothing_known(9.0)) == (not believed)


def test_arrivals_are_counted_over_the_window_of_what_was_answered() -> None:
    """A probe and a router look over windows of their own; a rate is of one."""
    seen = Traffic(measured_at_s=9.0, window_s=10.0, requests=100, ongoing=2.0)
    assert with_waiting(deployment(traffic=seen), WAITS).traffic.arrived == 140


def test_without_a_router_nothing_is_added() -> None:
    """A replica that runs but was never asked has no traffic that is known, whatever waits."""
    assert with_waiting(deployment(), None) == deployment()
    assert with_waiting(deployment(), WAITS) == deployment()
