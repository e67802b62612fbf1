import pytest

from policies.action import Hold, Scale
from policies.scaling.faro import FaroFairSum, FaroSum
from policies.scaling.mark import Mark
from policies.testing import PolicyChecks, deployment, observation, traffic


class TestFaroSum(PolicyChecks):
    def make(self) -> FaroSum:
        return FaroSum(budget=12, slo_latency_s=0.2, decide_every_s=60.0)


class TestFaroFairSum(PolicyChecks):
    def make(self) -> FaroFairSum:
        return FaroFairSum(budget=12, slo_latency_s=0.2, decide_every_s=60.0)


class TestMark(PolicyChecks):
    def make(self) -> Mark:
        return Mark(budget=12, slo_latency_s=0.2, decide_every_s=60.0)


def fleet(at_s: float, rates: dict[str, float], counts: dict[str, int], late: float = 0.18):
    things = (
        deployment(
            name,
            counts[name],
            slo_latency_s=0.72,
            traffic=traffic(at_s, round(30 * rate), window_s=30.0, latency_mean_s=late),
        )
        for name, rate in rates.items()
    )
    return observation(at_s, *things)


def play(policy, until_s: float, rates: dict[str, float], counts: dict[str, int]):
    """What is decided at each tick of ten seconds; what is wanted is done at once."""
    decided = {}
    for tick in range(0, int(until_s) + 1, 10):
        actions = [each.action for each in policy.propose(fleet(float(tick), rates, counts))]
        decided[tick] = actions
        counts |= {each.deployment: each.replicas for each in actions if isinstance(each, Scale)}
    return decided


RATES = {"a": 5.0, "b": 20.0}


@pytest.mark.parametrize("make", [FaroSum, FaroFairSum])
def test_it_decides_after_a_minute_and_then_every_five(make):
    """0.9 and 3.6 erlangs within 8 replicas; nothing moves in between while nobody is late."""
    counts = {"a": 1, "b": 1}
    decided = play(make(budget=8, service_s=0.18), 650.0, RATES, counts)
    assert next(tick for tick, actions in decided.items() if actions) == 60
    assert all(tick in (60, 360) for tick, actions in decided.items() if actions)
    assert counts["a"] in (2, 3)
    assert counts["b"] in (5, 6)
    assert sum(counts.values()) <= 8


def test_what_adds_nothing_is_given_back():
    """A budget of 40 for 0.9 erlangs: a handful is wanted."""
    counts = {"a": 20}
    play(FaroSum(budget=40, service_s=0.18), 60.0, {"a": 5.0}, counts)
    assert counts["a"] < 8


def test_where_all_can_not_be_served_sum_starves_one_and_fair_sum_shares():
    """Two of 3.6 erlangs, budget 6: the sum serves one of them, fairness makes them equal."""
    rates = {"a": 20.0, "b": 20.0}
    summed, shared = {"a": 3, "b": 3}, {"a": 5, "b": 1}
    play(FaroSum(budget=6, service_s=0.18), 60.0, rates, summed)
    play(FaroFairSum(budget=6, service_s=0.18), 60.0, rates, shared)
    assert sorted(summed.values()) == [1, 5]
    assert sorted(shared.values()) == [3, 3]


def test_in_between_one_more_for_whom_is_late():
    """After thirty seconds above the SLO, within the budget."""
    policy = FaroSum(budget=3, service_s=0.18, first_after_s=600.0)
    seen = [
        [e.action for e in policy.propose(fleet(float(t), {"a": 5.0}, {"a": 1}, late=2.0))] for t in (0, 10, 20, 30)
    ]
    assert seen == [[], [], [], [Scale(deployment="a", replicas=2)]]


@pytest.mark.parametrize("policy", [FaroSum(budget=8), Mark(budget=8)])
def test_what_is_not_known_keeps_its_count(policy):
    """No traffic at a decision."""
    for at_s in (0.0, 60.0):
        proposals = list(policy.propose(observation(at_s, deployment("a", 2, slo_latency_s=0.72))))
    assert [each.action for each in proposals] == [Hold(subject="a")]


def test_mark_plans_for_the_highest_rate():
    """ceil(20/s * 0.18 s / 0.8) = 5, and 5/s are 2; at 60 s and then every five minutes."""
    counts = {"a": 1, "b": 1}
    decided = play(Mark(service_s=0.18), 400.0, RATES, counts)
    assert decided[60] == [Scale(deployment="a", replicas=2), Scale(deployment="b", replicas=5)]
    assert all(tick in (60, 360) for tick, actions in decided.items() if actions)


def test_mark_learns_the_service_time_where_none_is_given():
    """From latency where nobody waits."""
    counts = {"a": 4}
    play(Mark(), 60.0, {"a": 20.0}, counts)
    assert counts == {"a": 5}
