import pytest

from policies.action import Hold, Scale
from policies.observation import ReplicaState
from policies.scaling.aiad import Aiad
from policies.testing import PolicyChecks, deployment, observation, replica, traffic

D = "app/model"


class TestAiad(PolicyChecks):
    def make(self) -> Aiad:
        return Aiad(slo_latency_s=0.04)


def say(policy: Aiad, at_s: float, latency_s: float | None, replicas: int = 2, **fields):
    seen = None if latency_s is None else traffic(at_s, latency_mean_s=latency_s)
    plain = {"slo_latency_s": 0.72, "traffic": seen, "max_replicas": 4}
    return [each.action for each in policy.propose(observation(at_s, deployment(D, replicas, **(plain | fields))))]


def scale(replicas: int) -> list[Scale]:
    return [Scale(deployment=D, replicas=replicas)]


def test_one_more_after_thirty_seconds_and_one_fewer_after_ten_minutes():
    """A story along the clock; a step begins the count anew, and a look counts for the time since the look before it."""
    policy = Aiad()
    assert say(policy, 0.0, 0.8) == []
    assert say(policy, 29.0, 0.8) == []
    assert say(policy, 30.0, 0.8) == scale(3)
    assert say(policy, 40.0, 0.8, 3) == []
    assert say(policy, 59.0, 0.8, 3) == []
    assert say(policy, 60.0, 0.8, 3) == scale(4)
    assert say(policy, 70.0, 0.72, 4) == []
    assert say(policy, 659.0, 0.1, 4) == []
    assert say(policy, 660.0, 0.1, 4) == scale(3)


def test_bounds_stop_it():
    """Neither over max_replicas nor under min_replicas, and never the last replica."""
    policy = Aiad(up_after_s=0.0, down_after_s=0.0)
    assert say(policy, 0.0, 9.0, 4) == []
    assert say(policy, 1.0, 0.1, 1) == []
    assert say(policy, 2.0, 0.1, 1, min_replicas=0) == []


def test_one_that_starts_is_waited_for():
    """The lateness that is seen is older than the replica that was added for it."""
    each = (replica("r1"), replica("r2", state=ReplicaState.STARTING))
    assert say(Aiad(up_after_s=0.0), 0.0, 9.0, each) == []


@pytest.mark.parametrize("fields", [{"traffic": None}, {"slo_latency_s": None}, {"traffic": traffic(-61.0)}])
def test_what_is_not_known_holds_and_counts_from_anew(fields):
    """No traffic, no SLO, stale traffic."""
    policy = Aiad()
    assert say(policy, -20.0, 9.0) == []
    assert say(policy, 0.0, 9.0, **fields) == [Hold(subject=D)]
    assert say(policy, 20.0, 9.0) == []
    assert say(policy, 50.0, 9.0) == scale(3)


def test_the_budget_goes_to_the_first_by_name_and_to_what_was_given_back():
    """Five replicas: `a` may have the one that `c` gives back, `b` holds."""
    policy = Aiad(budget=5, up_after_s=0.0, down_after_s=0.0)
    late, early = traffic(0.0, latency_mean_s=9.0), traffic(0.0, latency_mean_s=0.1)
    things = (
        deployment("a", 1, slo_latency_s=1.0, traffic=late),
        deployment("b", 1, slo_latency_s=1.0, traffic=late),
        deployment("c", 3, slo_latency_s=1.0, traffic=early),
    )
    actions = [each.action for each in policy.propose(observation(0.0, *things))]
    assert actions == [Scale(deployment="a", replicas=2), Hold(subject="b"), Scale(deployment="c", replicas=2)]
