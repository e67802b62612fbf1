"""Stories of Knative's own tests of its autoscaler, with its numbers."""

import pytest

from policies.action import Hold, Scale
from policies.scaling.panic import Panic, _Memory
from policies.testing import PolicyChecks, deployment, observation, traffic

D = "app/model"


class TestPanic(PolicyChecks):
    def make(self) -> Panic:
        return Panic()


def decide(policy: Panic, memory: _Memory, at_s: float, requests: float, running: int = 1) -> int:
    return policy.decide(running, requests, memory, at_s).replicas


@pytest.mark.parametrize(("before", "then"), [((50.0, 5), (100.0, 10)), ((100.0, 10), (50.0, 5))])
def test_stable_mode_follows_the_average(before, then):
    """Target 10: 50 requests are 5 replicas, 100 are 10."""
    policy, memory = Panic(target_ongoing_requests=10, panic_threshold=100), _Memory()
    assert decide(policy, memory, 0.0, before[0]) == before[1]
    assert decide(policy, memory, 60.0, then[0]) == then[1]


def test_no_traffic_wants_no_replica():
    """Zero is what it wants; the bounds of the deployment say whether it may."""
    policy, memory = Panic(target_ongoing_requests=10), _Memory()
    assert decide(policy, memory, 0.0, 1.0) == 1
    assert decide(policy, memory, 60.0, 0.0) == 0


def test_panic_follows_an_exponential_rise():
    """Six times as much at every step, and it stabilises at the last."""
    policy, memory = Panic(target_ongoing_requests=1), _Memory()
    at_s = 0.0
    for running, requests in ((1, 6.0), (6, 36.0), (36, 216.0), (216, 1296.0), (1296, 1296.0)):
        assert decide(policy, memory, at_s, requests, running) == requests
        at_s += 10.0


def test_it_does_not_go_down_until_it_has_been_calm_for_a_stable_window():
    """Panic at 1000 requests for 10 each: 100 replicas, kept for 60 s after the last alarm, then halved at most."""
    policy, memory = Panic(target_ongoing_requests=10), _Memory()
    assert decide(policy, memory, 0.0, 1000.0, 10) == 100
    assert decide(policy, memory, 30.0, 10.0, 100) == 100
    assert decide(policy, memory, 60.0, 10.0, 100) == 100
    assert decide(policy, memory, 61.0, 10.0, 100) == 50


def test_the_rates_of_change_are_limited():
    """At most ten times as many, at least half as many."""
    policy = Panic(target_ongoing_requests=1, scale_up_rate_max=10)
    assert decide(policy, _Memory(), 0.0, 10_000.0, 1) == 10
    assert decide(policy, _Memory(), 0.0, 0.0, 101) == 50


def test_a_delay_keeps_the_highest_count_of_its_window():
    """Down only when nothing higher was wanted for 120 s."""
    policy, memory = Panic(target_ongoing_requests=10, panic_threshold=100, scale_down_delay_s=120), _Memory()
    assert decide(policy, memory, 0.0, 100.0, 10) == 10
    assert decide(policy, memory, 61.0, 50.0, 10) == 10
    assert decide(policy, memory, 121.0, 50.0, 10) == 5


def say(policy: Panic, at_s: float, ongoing: float | None, replicas: int):
    seen = None if ongoing is None else traffic(at_s, ongoing=ongoing)
    return [each.action for each in policy.propose(observation(at_s, deployment(D, replicas, traffic=seen)))]


def test_one_first_seen_at_work_keeps_what_it_has_for_a_stable_window():
    """A restart of the policy takes nothing away; unknown traffic holds."""
    policy = Panic(target_ongoing_requests=10)
    assert say(policy, 0.0, 10.0, 4) == []
    assert say(policy, 60.0, 10.0, 4) == []
    assert say(policy, 61.0, None, 4) == [Hold(subject=D)]
    assert say(policy, 62.0, 10.0, 4) == [Scale(deployment=D, replicas=2)]


def test_impossible_parameters_are_refused():
    """By name."""
    with pytest.raises(ValueError, match="panic_threshold must be above 1"):
        Panic(panic_threshold=1.0)
    with pytest.raises(ValueError, match="target_ongoing_requests must be above 0"):
        Panic(target_ongoing_requests=0.0)
