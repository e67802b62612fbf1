from dataclasses import replace

import pytest

from policies.action import Alert, Hold, Restart
from policies.healing.replace_unhealthy import ReplaceUnhealthy
from policies.observation import Deployment, DeploymentStatus, Replica, ReplicaState
from policies.testing import PolicyChecks, deployment, observation, replica, traffic

D = "app/model"
HOLD = Hold(subject=D)


class TestReplaceUnhealthy(PolicyChecks):
    def make(self) -> ReplaceUnhealthy:
        return ReplaceUnhealthy()


def restart(replica: str) -> Restart:
    return Restart(deployment=D, replica=replica)


def say(policy: ReplaceUnhealthy, at_s: float, *replicas: Replica, **fields):
    return [each.action for each in policy.propose(observation(at_s, deployment(D, replicas, **fields)))]


def working(at_s: float, id: str, p50_s: float = 0.05, **fields) -> Replica:  # noqa: A002
    return replica(id, traffic=traffic(at_s, 100, latency_p50_s=p50_s, errors=fields.pop("errors", 0)), **fields)


def fleet(at_s: float, *p50_s: float) -> list[Replica]:
    return [working(at_s, f"r{n}", each) for n, each in enumerate(p50_s, 1)]


def told(action) -> tuple[str, str]:
    assert isinstance(action, Alert)
    return action.severity, action.text


def test_a_healthy_fleet_is_left_alone():
    """Some slower, some faster, nothing to do."""
    assert say(ReplaceUnhealthy(), 0.0, *fleet(0.0, 0.05, 0.06, 0.09)) == []


def test_a_slow_replica_is_restarted_after_the_patience():
    """A story along the clock: slow at 0, at 29 not yet, at 30 restarted; a good moment clears the suspicion."""
    policy = ReplaceUnhealthy(patience_s=30.0)
    assert say(policy, 0.0, *fleet(0.0, 0.05, 0.05, 1.0)) == []
    assert say(policy, 29.0, *fleet(29.0, 0.05, 0.05, 1.0)) == []
    assert say(policy, 30.0, *fleet(30.0, 0.05, 0.05, 1.0)) == [restart("r3")]
    assert say(policy, 31.0, *fleet(31.0, 0.05, 0.05, 0.05)) == []
    assert say(policy, 35.0, *fleet(35.0, 0.05, 0.05, 1.0)) == []


def test_the_restart_shows_what_was_compared():
    """Its latency beside the bound, and how long."""
    policy = ReplaceUnhealthy(patience_s=0.0)
    (proposal,) = policy.propose(observation(0.0, deployment(D, tuple(fleet(0.0, 0.05, 0.05, 1.0)))))
    assert [(each.name, each.value, each.threshold, each.n) for each in proposal.because] == [
        ("latency_p50_s", 1.0, pytest.approx(0.15), 100),
        ("odd_for_s", 0.0, 0.0, None),
    ]


def test_a_tick_without_evidence_neither_clears_a_suspicion_nor_acts_on_it():
    """A slow replica gets few requests; a window with too few of them says nothing."""
    policy = ReplaceUnhealthy(patience_s=30.0)
    good = [working(0.0, "r1"), working(0.0, "r2")]
    say(policy, 0.0, *good, working(0.0, "r3", 1.0))
    assert say(policy, 40.0, *good, replica("r3", traffic=traffic(40.0, 4))) == []
    assert say(policy, 50.0, *fleet(50.0, 0.05, 0.05, 1.0)) == [restart("r3")]


def test_a_replica_that_fails_far_more_often_than_its_peers_is_restarted():
    """Errors are judged as latency is."""
    failing = [working(0.0, "r1"), working(0.0, "r2"), working(0.0, "r3", errors=50)]
    assert say(ReplaceUnhealthy(patience_s=0.0), 0.0, *failing) == [restart("r3")]


def test_only_the_worst_is_restarted_and_the_next_waits_until_it_is_replaced():
    """One restart per deployment at a time."""
    policy = ReplaceUnhealthy(patience_s=0.0)
    assert say(policy, 0.0, *fleet(0.0, 0.05, 0.05, 0.05, 1.0, 2.0)) == [restart("r5")]
    rest = fleet(10.0, 0.05, 0.05, 0.05, 1.0)
    assert say(policy, 10.0, *rest, replica("r6", state=ReplicaState.STARTING)) == [HOLD]
    assert say(policy, 20.0, *fleet(20.0, 0.05, 0.05, 0.05, 1.0), working(20.0, "r6")) == [restart("r4")]


def test_a_replica_that_comes_back_to_a_slow_node_is_not_restarted_again_but_told_of():
    """Its node makes it slow: restarts would go on for as long as the node is busy. One that was there before has its one chance."""
    policy = ReplaceUnhealthy(patience_s=0.0, settle_s=0.0)
    old = [working(0.0, f"r{n}", 0.05, node="a", started_at_s=0.0) for n in (1, 2, 3)]

    def seen(at_s: float, *slow: Replica):
        return say(
            policy, at_s, *(replace(each, traffic=traffic(at_s, 100, latency_p50_s=0.05)) for each in old), *slow
        )

    slow = [
        working(100.0, "r4", 1.0, node="b", started_at_s=0.0),
        working(100.0, "r5", 0.9, node="b", started_at_s=0.0),
    ]
    assert seen(100.0, *slow) == [restart("r4")]
    back = working(200.0, "r6", 1.0, node="b", started_at_s=150.0)
    first, second = seen(200.0, back, working(200.0, "r5", 0.9, node="b", started_at_s=0.0))
    assert told(first) == ("critical", f"{D}: node b makes its replicas slow")
    assert second == restart("r5")
    assert seen(210.0, working(210.0, "r6", 1.0, node="b", started_at_s=150.0)) == []
    late = 100.0 + policy.node_memory_s
    assert seen(late, working(late, "r6", 1.0, node="b", started_at_s=150.0)) == [restart("r6")]


def test_a_young_replica_is_not_judged():
    """First requests are slow."""
    policy = ReplaceUnhealthy(patience_s=0.0, settle_s=60.0)
    old = [working(100.0, "r1"), working(100.0, "r2")]
    assert say(policy, 100.0, *old, working(100.0, "r3", 1.0, started_at_s=41.0)) == []
    assert say(policy, 101.0, *old, working(100.0, "r3", 1.0, started_at_s=41.0)) == [restart("r3")]


@pytest.mark.parametrize(
    "replicas",
    [
        (working(0.0, "r1", 9.0),),
        (working(0.0, "r1", 9.0), replica("r2")),
        (working(0.0, "r1", 9.0), replica("r2", traffic=traffic(-600.0))),
    ],
    ids=["alone", "no traffic", "stale"],
)
def test_without_peers_to_compare_with_it_holds(replicas):
    """And says how many have evidence."""
    (proposal,) = ReplaceUnhealthy(patience_s=0.0).propose(observation(0.0, deployment(D, replicas)))
    assert proposal.action == HOLD
    assert (proposal.because[0].name, proposal.because[0].value, proposal.because[0].threshold) == (
        "replicas_with_evidence",
        1,
        2,
    )


def test_a_deployment_scaled_to_zero_is_no_reason_to_hold():
    """There is nothing to compare, and nothing to do."""
    assert say(ReplaceUnhealthy(), 0.0) == []


# what Serve heals


def test_a_replica_that_fails_its_checks_for_long_is_restarted():
    """Only where Serve has not begun to replace it."""
    policy = ReplaceUnhealthy(unhealthy_for_s=30.0)
    ill = working(0.0, "r3", healthy=False)
    good = [working(0.0, "r1"), working(0.0, "r2")]
    assert say(policy, 0.0, *good, ill) == []
    assert say(policy, 29.0, *good, ill) == []
    assert say(policy, 30.0, *good, ill) == [restart("r3")]


def test_a_failing_replica_that_serve_is_replacing_is_told_and_not_restarted():
    """No double action; told once."""
    policy = ReplaceUnhealthy(unhealthy_for_s=0.0)
    seen = [working(0.0, "r1"), working(0.0, "r2"), working(0.0, "r3", healthy=False)]
    new = replica("r4", state=ReplicaState.STARTING)
    (alert,) = say(policy, 0.0, *seen, new, replicas_wanted=3)
    assert told(alert) == ("info", "app/model: replica r3 fails its checks, and Serve replaces it")
    assert say(policy, 5.0, *seen, new, replicas_wanted=3) == []


def test_a_dead_replica_is_told_of():
    """It ran, and is gone, and no fewer are wanted."""
    policy = ReplaceUnhealthy()
    say(policy, 0.0, *fleet(0.0, 0.05, 0.05, 0.05))
    (alert,) = say(policy, 5.0, *fleet(5.0, 0.05, 0.05), replica("r4", state=ReplicaState.STARTING), replicas_wanted=3)
    assert told(alert) == ("info", "app/model: replica r3 died, and Serve replaces it")
    assert say(policy, 10.0, *fleet(10.0, 0.05, 0.05), replicas_wanted=3) == []


@pytest.mark.parametrize(
    "fields",
    [{"replicas_wanted": 2}, {"replicas_wanted": 3, "status": DeploymentStatus.UPDATING}],
    ids=["scaled", "updated"],
)
def test_a_replica_that_was_meant_to_go_is_no_news(fields):
    """A scale-down and an update take replicas away too."""
    policy = ReplaceUnhealthy()
    say(policy, 0.0, *fleet(0.0, 0.05, 0.05, 0.05))
    assert say(policy, 5.0, *fleet(5.0, 0.05, 0.05), **fields) == []


def test_a_replica_that_it_had_restarted_is_no_news():
    """Its own doing."""
    policy = ReplaceUnhealthy(patience_s=0.0)
    assert say(policy, 0.0, *fleet(0.0, 0.05, 0.05, 1.0)) == [restart("r3")]
    assert say(policy, 5.0, *fleet(5.0, 0.05, 0.05), replicas_wanted=3) == []


# what no restart cures


def test_a_failed_deployment_is_told_once_with_its_message():
    """Old replicas may go on serving; a person must look."""
    policy = ReplaceUnhealthy()
    failed = deployment(
        D, tuple(fleet(0.0, 0.05, 0.05)), status=DeploymentStatus.DEPLOY_FAILED, message="ImportError: x"
    )
    (proposal,) = policy.propose(observation(0.0, failed))
    assert told(proposal.action) == ("critical", "app/model: its deployment failed")
    assert proposal.because[0].note == "ImportError: x"
    assert list(policy.propose(observation(5.0, failed))) == []
    say(policy, 10.0, *fleet(10.0, 0.05, 0.05))
    assert len(list(policy.propose(observation(15.0, failed)))) == 1


def test_a_deployment_short_of_replicas_for_long_is_told():
    """HEALTHY is no proof: what counts is how many run against how many are wanted."""
    policy = ReplaceUnhealthy(stuck_for_s=300.0)

    def short(at_s: float) -> Deployment:
        return deployment(D, tuple(fleet(at_s, 0.05, 0.05)), replicas_wanted=3)

    assert list(policy.propose(observation(0.0, short(0.0)))) == []
    assert list(policy.propose(observation(299.0, short(299.0)))) == []
    (proposal,) = policy.propose(observation(300.0, short(300.0)))
    assert told(proposal.action) == ("critical", "app/model: it has been short of replicas for over 300 s")
    assert (proposal.because[0].value, proposal.because[0].note) == (300.0, "2 of 3 replicas are healthy")
    assert list(policy.propose(observation(305.0, short(305.0)))) == []


def test_a_deployment_that_is_whole_again_starts_the_clock_anew():
    """Short for 200 s twice is not short for 400 s."""
    policy = ReplaceUnhealthy(stuck_for_s=300.0)
    say(policy, 0.0, *fleet(0.0, 0.05, 0.05), replicas_wanted=3)
    say(policy, 200.0, *fleet(200.0, 0.05, 0.05), replicas_wanted=2)
    assert say(policy, 210.0, *fleet(210.0, 0.05, 0.05), replicas_wanted=3) == []
    assert say(policy, 400.0, *fleet(400.0, 0.05, 0.05), replicas_wanted=3) == []


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"slow_factor": 1.0}, "slow_factor must be above 1"), ({"patience_s": -1.0}, "patience_s must be 0 or more")],
)
def test_impossible_parameters_are_refused(parameters, message):
    """By name."""
    with pytest.raises(ValueError, match=message):
        ReplaceUnhealthy(**parameters)
