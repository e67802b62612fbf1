"""The rule beside Serve's own function, which is called as it is, without a cluster."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policies.action import Hold, Scale
from policies.scaling.queue_length import Delay, QueueLength
from policies.testing import PolicyChecks, deployment, observation, replica, traffic

D = "app/model"


class TestQueueLength(PolicyChecks):
    def make(self) -> QueueLength:
        return QueueLength(upscale_delay_s=30.0, downscale_delay_s=60.0)


@pytest.fixture(scope="module")
def serve():
    """Serve's default policy with its factors and delays around it, as its controller calls it: (context) -> (count, state)."""
    policy = pytest.importorskip("ray.serve.autoscaling_policy", reason="Ray Serve is not installed")
    return policy._apply_autoscaling_config(policy.replica_queue_length_autoscaling_policy)


class ServesController:
    """What the controller does around the policy: it keeps the state, rounds and applies the bounds."""

    def __init__(self, serve, config) -> None:
        self.serve, self.config, self.state = serve, config, {}

    def decide(self, running: int, wanted: int, requests: float) -> int:
        from ray.serve.config import AutoscalingContext

        lower, upper = self.config.min_replicas, self.config.max_replicas
        context = AutoscalingContext(
            deployment_id=None,
            deployment_name="model",
            app_name="app",
            current_num_replicas=running,
            target_num_replicas=wanted,
            running_replicas=[],
            total_num_requests=requests,
            total_queued_requests=0.0,
            aggregated_metrics=None,
            raw_metrics=None,
            capacity_adjusted_min_replicas=lower,
            capacity_adjusted_max_replicas=upper,
            policy_state=dict(self.state),
            last_scale_up_time=None,
            last_scale_down_time=None,
            current_time=None,
            config=self.config,
        )
        decided, self.state = self.serve(context)
        return max(lower, min(upper, decided))


FACTORS = st.one_of(st.sampled_from([0.1, 0.25, 0.5, 1.0, 1.5, 2.0]), st.floats(0.01, 5.0))
DELAYS = st.sampled_from([0.0, 0.5, 5.0, 30.0])
MOMENTS = st.tuples(
    st.sampled_from([0.1, 1.0, 5.0, 7.3, 31.0]),  # seconds since the moment before
    st.integers(0, 12),  # running replicas, whatever was wanted
    st.one_of(st.just(0.0), st.integers(0, 60).map(float), st.floats(0, 200)),  # ongoing requests
    st.booleans(),  # whether what was decided has been done
)


@settings(max_examples=400, deadline=None)
@given(
    target=st.one_of(st.sampled_from([0.5, 1.0, 2.0, 5.0]), st.floats(0.1, 50)),
    factors=st.tuples(FACTORS, FACTORS),
    delays=st.tuples(DELAYS, DELAYS, st.none() | DELAYS),
    bounds=st.tuples(st.integers(0, 4), st.integers(4, 20)),
    moments=st.lists(MOMENTS, min_size=1, max_size=12),
    wanted=st.integers(0, 12),
)
@example(  # half a second in steps of a tenth falls short of half a second
    target=2.0,
    factors=(1.0, 1.0),
    delays=(0.5, 0.5, None),
    bounds=(0, 20),
    moments=[(0.1, 2, 20.0, True)] * 8,
    wanted=2,
)
def test_it_decides_as_serve_does(serve, *, target, factors, delays, bounds, moments, wanted):
    """Whole histories with every parameter: the same count at every moment."""
    from ray.serve import autoscaling_policy
    from ray.serve.config import AutoscalingConfig

    parameters = {
        "target_ongoing_requests": target,
        "upscaling_factor": factors[0],
        "downscaling_factor": factors[1],
        "upscale_delay_s": delays[0],
        "downscale_delay_s": delays[1],
        "downscale_to_zero_delay_s": delays[2],
        "min_replicas": bounds[0],
        "max_replicas": bounds[1],
    }
    theirs = ServesController(serve, AutoscalingConfig(**parameters))
    ours, delay, at_s = QueueLength(**parameters), Delay(), 1_700_000_000.0
    for pause_s, running, requests, done in moments:
        at_s += pause_s
        with pytest.MonkeyPatch.context() as clock:
            clock.setattr(autoscaling_policy.time, "time", lambda at_s=at_s: at_s)
            expected = theirs.decide(running, wanted, requests)
        assert ours._bound(ours.decide(running, wanted, requests, delay, at_s)) == expected
        wanted = expected if done else wanted


def say(policy: QueueLength, at_s: float, replicas: int, ongoing: float | None, **fields):
    seen = None if ongoing is None else traffic(at_s, ongoing=ongoing)
    plain = {"min_replicas": 1, "max_replicas": 10, "traffic": seen}
    return [each.action for each in policy.propose(observation(at_s, deployment(D, replicas, **(plain | fields))))]


def scale(replicas: int) -> list[Scale]:
    return [Scale(deployment=D, replicas=replicas)]


def test_the_delays_are_counted_from_the_first_wish():
    """A story along the clock: more after 30 s, fewer after 600 s, and a pause in between starts over."""
    policy = QueueLength()
    assert say(policy, 0.0, 2, 20.0) == []
    assert say(policy, 29.0, 2, 20.0) == []
    assert say(policy, 30.0, 2, 20.0) == scale(10)
    assert say(policy, 40.0, 10, 4.0) == []
    assert say(policy, 639.0, 10, 4.0) == []
    assert say(policy, 640.0, 10, 4.0) == scale(2)
    assert say(policy, 650.0, 2, 20.0) == []
    assert say(policy, 660.0, 2, 4.0) == []
    assert say(policy, 690.0, 2, 20.0) == []


@pytest.mark.parametrize(
    "missing",
    [None, traffic(-61.0, ongoing=20.0), traffic(0.0, latency_mean_s=None), traffic(0.0, window_s=0.0)],
    ids=["none", "stale", "no latency", "no window"],
)
def test_unknown_traffic_holds_and_starts_the_delay_anew(missing):
    """Where Serve sees no requests, we see nothing."""
    policy = QueueLength(upscale_delay_s=30.0)
    assert say(policy, -10.0, 2, 20.0) == []
    assert say(policy, 0.0, 2, None, traffic=missing) == [Hold(subject=D)]
    assert say(policy, 25.0, 2, 20.0) == []


def test_rate_and_latency_will_do():
    """Little's law: 10 requests/s of 0.05 s are half a request; none at all are none."""
    policy = QueueLength(downscale_delay_s=0.0)
    assert say(policy, 0.0, 4, None, traffic=traffic(0.0)) == scale(1)
    idle = traffic(0.0, 0, latency_mean_s=None)
    assert say(policy, 0.0, 4, None, traffic=idle) == scale(1)


def test_the_bounds_of_the_deployment_win():
    """People's bounds over the policy's own; a count outside them is brought back."""
    policy = QueueLength(upscale_delay_s=0.0, downscale_delay_s=0.0, max_replicas=20, min_replicas=3)
    assert say(policy, 0.0, 2, 100.0, max_replicas=5) == scale(5)
    assert say(policy, 0.0, 2, 100.0, max_replicas=None) == scale(20)
    assert say(policy, 0.0, 5, 0.0) == scale(3)
    assert say(policy, 0.0, 5, 0.0, max_replicas=2) == scale(2)


def test_a_request_at_zero_replicas_starts_one_at_once():
    """No delay: someone waits."""
    policy = QueueLength(upscaling_factor=1.5)
    assert say(policy, 0.0, 0, 1.0, min_replicas=0) == scale(2)
    assert say(policy, 0.0, 0, 0.0, min_replicas=0) == []


def test_what_no_scaler_may_touch_is_left_alone():
    """A deployment without the flag is not ours."""
    assert say(QueueLength(upscale_delay_s=0.0), 0.0, 2, 100.0, scalable=False) == []


def test_the_evidence_is_the_load_beside_its_target():
    """With what it was computed from."""
    seen = deployment(D, (replica("r1"), replica("r2")), traffic=traffic(0.0, ongoing=20.0))
    (proposal,) = QueueLength(upscale_delay_s=0.0).propose(observation(0.0, seen))
    (why,) = proposal.because
    assert (why.value, why.threshold, why.note) == (10.0, 2.0, "20 ongoing requests in 2 running replicas")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"target_ongoing_requests": 0.0}, "target_ongoing_requests must be above 0"),
        ({"upscale_delay_s": -1.0}, "upscale_delay_s must be 0 or more"),
        ({"min_replicas": 3, "max_replicas": 2}, "max_replicas must be at least"),
    ],
)
def test_impossible_parameters_are_refused(parameters, message):
    """By name."""
    with pytest.raises(ValueError, match=message):
        QueueLength(**parameters)
