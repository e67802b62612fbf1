import pytest

from policies.action import Scale
from policies.scaling.fair_share import FairShare
from policies.testing import PolicyChecks, deployment, observation


class TestFairShare(PolicyChecks):
    scales_by_traffic = False

    def make(self) -> FairShare:
        return FairShare(budget=12)


def test_everyone_gets_the_same_and_the_rest_stays_unused():
    """32 replicas for three: ten each; who has ten already is left alone, so is who may not be scaled."""
    things = (deployment("a", 1), deployment("b", 10), deployment("c", 14), deployment("d", 1, scalable=False))
    actions = [each.action for each in FairShare(budget=32).propose(observation(0.0, *things))]
    assert actions == [Scale(deployment="a", replicas=10), Scale(deployment="c", replicas=10)]


def test_a_budget_of_nothing_is_refused():
    """By name."""
    with pytest.raises(ValueError, match="budget must be above 0"):
        FairShare(budget=0)
