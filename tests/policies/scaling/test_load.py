"""What is not known of the load is held against, by every policy that reads it."""

from dataclasses import replace

import pytest

from policies.action import Evidence, Hold
from policies.observation import Deployment, Traffic
from policies.registry import build
from policies.scaling.lateness import lateness
from policies.scaling.load import ongoing, readable
from policies.testing import deployment, observation, traffic

READING = {
    "queue_length": {"downscale_delay_s": 0.0},
    "target_utilization": {"down_window_s": 0.0},
    "panic": {},
    "aiad": {"down_after_s": 0.0},
    "one_shot": {"down_after_s": 0.0},
    "mark": {},
    "faro_sum": {"budget": 10},
    "faro_fair_sum": {"budget": 10},
    "joint": {"budget": 10, "idle_before_zero_s": 60.0},
}


def busy(at_s: float) -> Deployment:
    """Four replicas that are needed: 40 requests/s of 80 ms."""
    seen = traffic(
        at_s, requests=400, window_s=10.0, ongoing=3.2, latency_mean_s=0.08, latency_p50_s=0.08, latency_p99_s=0.2
    )
    return deployment(replicas=4, min_replicas=0, max_replicas=10, slo_latency_s=0.3, traffic=seen)


@pytest.mark.parametrize("unknown", [None, Traffic(measured_at_s=0.0, window_s=0.0, requests=0)], ids=["none", "empty"])
@pytest.mark.parametrize("use", READING)
def test_while_the_load_is_not_known_every_policy_holds(use: str, unknown: Traffic | None) -> None:
    """For ten minutes, each time with a word why: neither less nor, asked for nothing, asleep; and when it is back it is busy still."""
    policy = build(use, READING[use])
    for n in range(60):
        list(policy.propose(observation(10.0 * n, busy(10.0 * n))))
    for n in range(60, 120):
        seen = unknown and replace(unknown, measured_at_s=10.0 * n)
        blind = replace(busy(0.0), traffic=seen)
        wanted = list(policy.propose(observation(10.0 * n, blind)))
        assert [each.action for each in wanted if not isinstance(each.action, Hold)] == []
    asked = policy.propose(observation(1200.0, busy(1200.0)))
    assert [each.action for each in asked if each.action.kind == "scale" and each.action.replicas == 0] == []


NOTHING = Traffic(measured_at_s=10.0, window_s=0.0, requests=0)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (None, Evidence(name="traffic", note="there is no traffic to read")),
        (NOTHING, Evidence(name="traffic", note="nothing of the load is known")),
        (
            replace(NOTHING, measured_at_s=-51.0, ongoing=1.0),
            Evidence(name="traffic_age_s", value=61.0, threshold=60.0, note="the traffic is stale"),
        ),
        (replace(NOTHING, ongoing=1.0), replace(NOTHING, ongoing=1.0)),
        (replace(NOTHING, window_s=10.0), replace(NOTHING, window_s=10.0)),
    ],
    ids=["none", "nothing", "stale", "gauge only", "idle"],
)
def test_traffic_is_readable_where_it_says_something_of_now(seen: Traffic | None, expected: Traffic | Evidence) -> None:
    """A window of no length with a gauge is something; without one it is nothing, and no zero."""
    assert readable(seen, 10.0, 60.0) == expected


def test_a_latency_of_nothing_is_not_known() -> None:
    """Neither late nor early, while nothing of the load is."""
    blind = deployment(slo_latency_s=0.5, traffic=NOTHING)
    why = Evidence(name="traffic", note="nothing of the load is known")
    assert (lateness(blind, 10.0, 60.0, "mean", None), ongoing(blind, 10.0, 60.0)) == (why, why)
