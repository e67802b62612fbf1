import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.action import Hold, Scale
from policies.observation import ReplicaState
from policies.scaling.target_utilization import TargetUtilization
from policies.testing import PolicyChecks, deployment, observation, replica, traffic

D = "app/model"
HOLD = [Hold(subject=D)]


class TestTargetUtilization(PolicyChecks):
    def make(self) -> TargetUtilization:
        return TargetUtilization()


def prompt(**parameters) -> TargetUtilization:
    """One that acts at once."""
    return TargetUtilization(**({"target": 0.5, "up_window_s": 0.0, "down_window_s": 0.0} | parameters))


def say(policy: TargetUtilization, at_s: float, replicas, ongoing: float | None, **fields):
    seen = None if ongoing is None else traffic(at_s, ongoing=ongoing)
    plain = {"min_replicas": 1, "max_replicas": 20, "traffic": seen}
    return [each.action for each in policy.propose(observation(at_s, deployment(D, replicas, **(plain | fields))))]


def scale(replicas: int) -> list[Scale]:
    return [Scale(deployment=D, replicas=replicas)]


@pytest.mark.parametrize(
    ("replicas", "ongoing", "wanted"),
    [
        (2, 4.0, scale(8)),
        (2, 1.0, []),
        (2, 1.09, []),  # a tenth above the target is tolerated
        (2, 1.11, scale(3)),
        (10, 4.6, []),
        (10, 4.4, scale(9)),
        (8, 0.0, scale(1)),
        (2, 1000.0, scale(20)),
        (0, 0.4, scale(1)),
    ],
)
def test_replicas_are_the_load_over_the_target(replicas, ongoing, wanted):
    """Half a request per replica is the target; bounds and tolerance apply."""
    assert say(prompt(), 0.0, replicas, ongoing, min_replicas=0 if replicas == 0 else 1) == wanted


def test_a_replica_that_works_on_several_requests_counts_for_several():
    """Concurrency scales the target."""
    assert say(prompt(concurrency=4.0), 0.0, 2, 16.0) == scale(8)


def test_a_burst_shorter_than_the_window_adds_nothing():
    """A story along the clock: up to the lowest recommendation of the last 15 s."""
    policy = prompt(up_window_s=15.0)
    assert say(policy, 0.0, 2, 4.0) == []
    assert say(policy, 10.0, 2, 8.0) == []
    assert say(policy, 15.0, 2, 8.0) == scale(8)
    assert say(policy, 26.0, 2, 8.0) == scale(16)
    assert say(policy, 30.0, 2, 1.0) == []
    assert say(policy, 40.0, 2, 8.0) == []


def test_a_lull_shorter_than_the_window_takes_nothing():
    """Down to the highest recommendation of the last 300 s."""
    policy = prompt(down_window_s=300.0)
    assert say(policy, 0.0, 10, 1.0) == []
    assert say(policy, 100.0, 10, 2.0) == []
    assert say(policy, 299.0, 10, 1.0) == []
    assert say(policy, 300.0, 10, 1.0) == scale(4)
    assert say(policy, 401.0, 10, 1.0) == scale(2)


@pytest.mark.parametrize("missing", [None, traffic(-61.0, ongoing=9.0)], ids=["none", "stale"])
def test_unknown_traffic_holds_and_forgets(missing):
    """Neither up nor down on what is not known, and the windows start anew."""
    policy = prompt(up_window_s=15.0)
    say(policy, -20.0, 2, 4.0)
    assert say(policy, 0.0, 2, None, traffic=missing) == HOLD
    assert say(policy, 10.0, 2, 4.0) == []
    assert say(policy, 25.0, 2, 4.0) == scale(8)


def test_a_scale_up_waits_for_replicas_that_are_starting():
    """They were asked for because of the queue that is seen now; after a minute they are no excuse."""
    policy = prompt(start_patience_s=60.0)
    half = (replica("r1"), replica("r2", state=ReplicaState.STARTING))
    assert say(policy, 0.0, half, 4.0) == HOLD
    assert say(policy, 59.0, half, 4.0) == HOLD
    assert say(policy, 60.0, half, 4.0) == scale(8)
    assert say(policy, 61.0, 2, 4.0) == scale(8)
    assert say(policy, 62.0, half, 4.0) == HOLD


def test_a_scale_down_does_not_wait_for_starting_replicas():
    """What is not needed need not start."""
    assert say(prompt(), 0.0, (replica("r1"), replica("r2", state=ReplicaState.STARTING)), 0.1) == scale(1)


def test_a_count_outside_the_bounds_is_brought_back():
    """People's bounds changed."""
    assert say(prompt(down_window_s=300.0), 0.0, 10, 5.0, max_replicas=6) == scale(6)
    assert say(prompt(up_window_s=300.0), 0.0, 1, 0.5, min_replicas=3) == scale(3)


def test_what_no_scaler_may_touch_is_left_alone():
    """A deployment without the flag is not ours."""
    assert say(prompt(), 0.0, 2, 100.0, scalable=False) == []


def test_the_evidence_is_the_utilization_beside_its_target():
    """With what it was computed from; at zero replicas there is none."""
    seen = deployment(D, 2, traffic=traffic(0.0, ongoing=4.0))
    (proposal,) = prompt().propose(observation(0.0, seen))
    (why,) = proposal.because
    assert (why.value, why.threshold, why.note) == (2.0, 0.5, "4 requests in 2 replicas, 2 of them running")
    (proposal,) = prompt().propose(
        observation(0.0, deployment(D, 0, min_replicas=0, traffic=traffic(0.0, ongoing=4.0)))
    )
    assert proposal.because[0].value is None


@given(loads=st.lists(st.floats(0, 1e4), min_size=1, max_size=30), low=st.integers(0, 5), more=st.integers(0, 10))
def test_it_stays_inside_its_bounds_and_settles(loads, low, more):
    """Whatever the load; and once it is constant, one step is enough, after the window of a minute that follows a start from none."""
    policy, replicas, window = prompt(), low, 0 if low else 7
    for tick, load in enumerate([*loads, *[loads[-1]] * (2 + window)]):
        for action in say(policy, 10.0 * tick, replicas, load, min_replicas=low, max_replicas=low + more):
            if low == 0 and action == HOLD[0]:
                continue
            assert isinstance(action, Scale)
            assert low <= action.replicas <= low + more
            assert tick <= len(loads) + window
            replicas = action.replicas


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"target": 0.0}, "target must be above 0"), ({"up_window_s": -1.0}, "up_window_s must be 0 or more")],
)
def test_impossible_parameters_are_refused(parameters, message):
    """By name."""
    with pytest.raises(ValueError, match=message):
        TargetUtilization(**parameters)
