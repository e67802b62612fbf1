import pytest

from policies.action import Hold, Scale
from policies.scaling.static import Static, fitted
from policies.testing import PolicyChecks, deployment, observation


class TestStatic(PolicyChecks):
    scales_by_traffic = False

    def make(self) -> Static:
        return Static(replicas={"busy/*": 4, "ill/model": 2})


def test_the_first_glob_that_matches_counts_and_nothing_holds():
    """Bounds of the deployment win."""
    policy = Static(replicas={"a": 3, "*/m": 9})
    things = (deployment("a", 1), deployment("b/m", 1, max_replicas=5), deployment("c", 1), deployment("d/m", 9))
    assert [each.action for each in policy.propose(observation(0.0, *things))] == [
        Scale(deployment="a", replicas=3),
        Scale(deployment="b/m", replicas=5),
        Hold(subject="c"),
    ]


def test_history_gives_more_to_whom_more_asks():
    """Two at 5/s and one at 25/s of 0.18 s: 0.9, 0.9 and 4.5 erlangs, in 12 replicas."""
    past = {"a": [5.0] * 10, "b": [5.0] * 10, "c": [25.0, float("nan"), 25.0]}
    split = fitted(past, budget=11, service_s=0.18, slo_latency_s=0.72).replicas
    assert split["a"] == split["b"] == 2
    assert split["c"] in (6, 7)


def test_what_can_not_be_is_refused():
    """A budget below one each, and half a replica."""
    with pytest.raises(ValueError, match="budget must be at least one"):
        fitted({"a": [1.0], "b": [1.0]}, budget=1, service_s=0.1, slo_latency_s=1.0)
    with pytest.raises(ValueError, match=r"replicas\['a'\] must be a whole number"):
        Static(replicas={"a": 1.5})
