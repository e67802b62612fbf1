"""Paced: the same world in another unit of time."""

from dataclasses import replace

import pytest

from policies.action import Evidence, Proposal, Scale
from policies.observation import Observation
from policies.pace import Paced
from policies.registry import build
from policies.scaling.target_utilization import TargetUtilization
from policies.testing import PolicyChecks, deployment, observation, replica, traffic


class Shown:
    """Keeps what it was shown, and wants one replica more, with evidence."""

    seen: list[Observation]

    def __init__(self) -> None:
        self.seen = []

    def propose(self, seen: Observation) -> list[Proposal]:
        self.seen.append(seen)
        because = (
            Evidence(name="latency_s", value=120.0, threshold=60.0, window_s=300.0),
            Evidence(name="rate_rps", value=2.0),
            Evidence(name="utilization", value=0.5, threshold=0.7),
        )
        return [Proposal(action=Scale(deployment="app/model", replicas=3), because=because)]


def test_times_are_longer_and_rates_lower_by_the_factor_and_evidence_is_told_in_our_time() -> None:
    """Nothing else is another; what is unknown stays so."""
    shown = Shown()
    seen = traffic(10.0, 50, window_s=5.0, latency_mean_s=0.1, latency_p50_s=None, latency_p95_s=0.2, latency_p99_s=0.3)
    model = deployment(
        replicas=(replica(started_at_s=4.0, traffic=seen), replica("r2")), traffic=seen, slo_latency_s=0.5
    )
    (wanted,) = Paced(policy=shown, factor=12.0).propose(observation(10.0, model))
    longer = replace(
        seen, measured_at_s=120.0, window_s=60.0, latency_mean_s=pytest.approx(1.2), latency_p95_s=pytest.approx(2.4),
        latency_p99_s=pytest.approx(3.6),
    )  # fmt: skip
    slower = replace(
        model, slo_latency_s=6.0, traffic=longer,
        replicas=(replica(started_at_s=48.0, traffic=longer), replica("r2")),
    )  # fmt: skip
    assert shown.seen == [observation(120.0, slower)]
    assert shown.seen[0].deployments["app/model"].traffic.rate_rps == pytest.approx(10.0 / 12)
    assert wanted.because == (
        Evidence(name="latency_s", value=10.0, threshold=5.0, window_s=25.0),
        Evidence(name="rate_rps", value=24.0),
        Evidence(name="utilization", value=0.5, threshold=0.7),
    )


@pytest.mark.parametrize("factor", [0.25, 1.0, 16.0])
def test_a_policy_whose_parameters_are_scaled_with_it_decides_the_same(factor: float) -> None:
    """A change of the unit changes nothing. (Powers of two, so that no rounding does either.)"""
    plain = TargetUtilization(up_window_s=15.0, down_window_s=60.0, start_patience_s=30.0)
    inner = TargetUtilization(
        up_window_s=15.0 * factor, down_window_s=60.0 * factor, start_patience_s=30.0 * factor,
        stale_after_s=60.0 * factor,
    )  # fmt: skip
    paced = Paced(policy=inner, factor=factor)
    for at_s, requests in [(0.0, 100), (10.0, 600), (20.0, 600), (40.0, 900), (60.0, 10), (130.0, 10)]:
        seen = observation(at_s, deployment(traffic=traffic(at_s, requests, window_s=10.0)))
        assert [each.action for each in paced.propose(seen)] == [each.action for each in plain.propose(seen)]


def test_a_factor_that_is_none_is_refused() -> None:
    """Time does not stand still, nor run back."""
    with pytest.raises(ValueError, match="factor must be above 0, got 0"):
        Paced(policy=Shown(), factor=0.0)


def test_it_is_known_by_name() -> None:
    """With a policy inside, as other wrappers."""
    made = build("paced", {"factor": 12, "policy": {"use": "target_utilization"}})
    assert isinstance(made, Paced)


class TestPaced(PolicyChecks):
    def make(self) -> Paced:
        return Paced(policy=TargetUtilization(), factor=12.0)
