import pytest

from policies.action import Hold, Scale
from policies.scaling.one_shot import OneShot
from policies.testing import PolicyChecks, deployment, observation, traffic

D = "app/model"


class TestOneShot(PolicyChecks):
    def make(self) -> OneShot:
        return OneShot(slo_latency_s=0.04, rule="stabilised")


class TestOneShotSustained(PolicyChecks):
    def make(self) -> OneShot:
        return OneShot(slo_latency_s=0.04)


def say(policy: OneShot, at_s: float, late: float, replicas: int = 2, **fields):
    plain = {"slo_latency_s": 1.0, "traffic": traffic(at_s, latency_mean_s=late)}
    return [each.action for each in policy.propose(observation(at_s, deployment(D, replicas, **(plain | fields))))]


def scale(replicas: int) -> list[Scale]:
    return [Scale(deployment=D, replicas=replicas)]


def test_sustained_takes_the_whole_step_once_the_delay_has_passed():
    """Three times too late: three times the replicas after 30 s; a tenth of the SLO: one of six after 600 s."""
    policy = OneShot()
    assert say(policy, 0.0, 2.0) == []
    assert say(policy, 30.0, 3.0) == scale(6)
    assert say(policy, 40.0, 0.1, 6) == []
    assert say(policy, 629.0, 0.1, 6) == []
    assert say(policy, 630.0, 0.1, 6) == scale(1)


@pytest.mark.parametrize(
    ("now", "late", "desired"),
    [(4, 1.5, 6), (4, 1.09, 4), (4, 0.91, 4), (4, 1.2, 5), (3, 1 / 3, 1), (10, 0.5, 5)],
)
def test_the_formula_is_kubernetes_own(now, late, desired):
    """ceil(current * metric / target) outside a tolerance of a tenth."""
    policy = OneShot(rule="stabilised", tolerance=0.1, up_after_s=0.0, down_after_s=0.0)
    assert say(policy, 0.0, 1.0, now) == []
    assert say(policy, 1.0, late, now) == ([] if desired == now else scale(desired))


def test_stabilised_goes_down_to_the_highest_and_up_to_the_lowest_of_its_window():
    """A story along the clock: Kubernetes' five minutes down, and a minute up."""
    policy = OneShot(rule="stabilised", up_after_s=60.0, down_after_s=300.0)
    assert say(policy, 0.0, 0.5, 8) == []
    assert say(policy, 100.0, 0.75, 8) == []
    assert say(policy, 301.0, 0.25, 8) == scale(6)
    assert say(policy, 401.0, 0.25, 8) == scale(2)
    assert say(policy, 500.0, 2.0, 2) == scale(4)
    assert say(policy, 530.0, 4.0, 2) == scale(4)
    assert say(policy, 561.0, 4.0, 2) == scale(8)


def test_nobody_asked_is_not_late_and_a_missing_slo_holds():
    """Zero requests have no latency and need no replica; without an SLO there is no judging."""
    idle = traffic(700.0, 0, latency_mean_s=None)
    policy = OneShot(down_after_s=0.0)
    assert say(policy, 700.0, 0.0, 4, traffic=idle) == scale(1)
    assert say(policy, 700.0, 0.0, 4, slo_latency_s=None) == [Hold(subject=D)]


def test_the_budget_trims():
    """Eight wanted, five there."""
    assert say(OneShot(up_after_s=0.0, budget=5), 0.0, 4.0) == scale(5)
    assert say(OneShot(up_after_s=0.0, budget=2), 0.0, 4.0) == [Hold(subject=D)]
