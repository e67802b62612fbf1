"""Requests that waited for a cold start say nothing of how many replicas they take once one runs."""

from collections.abc import Callable

import pytest

from policies.action import Hold, Scale
from policies.observation import ReplicaState
from policies.policy import Policy
from policies.scaling.panic import Panic
from policies.scaling.queue_length import QueueLength
from policies.scaling.target_utilization import TargetUtilization
from policies.testing import deployment, observation, replica, traffic

D = "app/model"
WINDOW_S = 30.0
POLICIES: dict[str, Callable[[], Policy]] = {
    "target_utilization": lambda: TargetUtilization(up_window_s=0.0, down_window_s=60.0),
    "target_utilization without patience": lambda: TargetUtilization(
        up_window_s=0.0, down_window_s=60.0, start_patience_s=0.0
    ),
    "panic": Panic,
    "queue_length": lambda: QueueLength(target_ongoing_requests=0.5, upscale_delay_s=0.0, downscale_delay_s=60.0),
}


def say(policy: Policy, at_s: float, ongoing: float, *, running: int = 0, starting: int = 0) -> list:
    """What it wants where so many requests were in the system on average over the last WINDOW_S."""
    each = tuple(replica(f"r{n}") for n in range(running))
    each += tuple(replica(f"s{n}", state=ReplicaState.STARTING) for n in range(starting))
    seen = traffic(at_s, ongoing=ongoing, window_s=WINDOW_S, requests=0)
    plain = {"min_replicas": 0, "max_replicas": 20, "traffic": seen, "replicas_wanted": running + starting}
    return [proposal.action for proposal in policy.propose(observation(at_s, deployment(D, each, **plain)))]


def woken(policy: Policy) -> Policy:
    """Asleep, asked once at 10 s, and a replica that runs at 30 s."""
    assert say(policy, 0.0, 0.0) == []
    assert say(policy, 10.0, 0.3) == [Scale(deployment=D, replicas=1)]
    return policy


@pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)
def test_a_request_that_waits_for_the_first_replica_wants_no_second(make: Callable[[], Policy]) -> None:
    """While it starts, and while the window reaches back to then: at most a hold, with the reason."""
    policy = woken(make())
    for at_s, ongoing, running in ((20.0, 0.66, 0), (30.0, 0.97, 1), (40.0, 0.7, 1), (50.0, 0.35, 1), (60.0, 0.03, 1)):
        assert not [
            each
            for each in say(policy, at_s, ongoing, running=running, starting=1 - running)
            if isinstance(each, Scale)
        ]


@pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)
def test_why_it_holds_is_said(make: Callable[[], Policy]) -> None:
    """Until a whole window has passed since the first replica runs."""
    policy = woken(make())
    assert say(policy, 30.0, 3.0, running=1) == [Hold(subject=D)]
    assert say(policy, 50.0, 3.0, running=1) == [Hold(subject=D)]
    (wanted,) = say(policy, 60.0, 3.0, running=1)
    assert wanted.replicas > 1


@pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)
def test_a_crowd_that_waits_for_the_first_replica_gets_more_than_one(make: Callable[[], Policy]) -> None:
    """Whoever waits while nobody runs is counted; serve's own rule then asks for one and grows from there."""
    policy = make()
    say(policy, 0.0, 0.0)
    first = say(policy, 10.0, 12.0)
    wanted = 1 if isinstance(policy, QueueLength) else 12
    assert first[0].replicas >= wanted


@pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)
def test_a_deployment_that_always_ran_waits_for_no_window(make: Callable[[], Policy]) -> None:
    """A policy that is new sees no awakening in what runs already."""
    assert [each for each in say(make(), 0.0, 3.0, running=1) if isinstance(each, Scale)]
