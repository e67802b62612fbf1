"""Staged and the replicas: what a challenger can carry, and a champion whose replicas do not run."""

from dataclasses import replace

import pytest

from policies.action import RollBack, Scale, SetTraffic, StartRollout
from policies.observation import Deployment, DeploymentStatus, Model, ReplicaState
from policies.rollout.room import Room
from policies.rollout.staged import Staged
from policies.testing import comparison, deployment, model, observation, replica, rollout, version

V1, V2 = version("1"), version("2", 10.0)
BACK = RollBack(model="m", version="2", to="1", to_digest="sha-1")


def slots(champions: int, challengers: int | None = None) -> tuple[Deployment, ...]:
    champion = deployment("m/server", champions, model="m", slot="champion")
    if challengers is None:
        return (champion,)
    return (champion, deployment("m-challenger/server", challengers, model="m", slot="challenger"))


def say(policy: Staged, at_s: float, *things: Deployment | Model):
    return [each.action for each in policy.propose(observation(at_s, *things))]


def running(at_s: float, share: float = 0.0) -> Model:
    return model(candidates=(V2,), rollout=rollout("2", share=share, comparison=comparison(at_s)))


def test_a_challenger_alone_gets_as_many_copies_as_each_replica_of_the_champion_gets_requests():
    """One beside four: a quarter of the rows. All of them would fill its queue, and the queue would be held against its version."""
    assert say(Staged(), 0.0, model(candidates=(V2,)), *slots(4)) == [
        StartRollout(model="m", version="2", digest="sha-2", shadow=0.25)
    ]


def test_a_step_waits_until_enough_challengers_run_to_carry_it():
    """Half of the keys of four replicas need two; before they run the share stays, and then they take no more than their part."""
    policy = Staged(steps=(0.5,))
    assert say(policy, 100.0, running(100.0), *slots(4, 1)) == [Scale(deployment="m-challenger/server", replicas=2)]
    assert say(policy, 110.0, running(110.0), *slots(4, 2)) == [
        SetTraffic(model="m", version="2", share=0.5, shadow=0.0)
    ]


def test_a_challenger_that_may_not_be_scaled_gets_the_step_as_it_is():
    """Nobody could ever fulfil the wish; its gates judge what comes of it."""
    champion, challenger = slots(4, 1)
    (action,) = say(Staged(steps=(0.5,)), 100.0, running(100.0), champion, replace(challenger, scalable=False))
    assert isinstance(action, SetTraffic)


@pytest.mark.parametrize(
    ("champions", "challengers", "share", "shadow"),
    [(3, 1, 0.0, 0.33), (2, 2, 0.0, 1.0), (4, 2, 0.1, 0.44), (4, 2, 0.5, 0.0), (0, 1, 0.0, 1.0), (4, 1, 0.5, 0.0)],
)
def test_copies_and_keys_together_give_a_challenger_no_more_than_a_champion_has(champions, challengers, share, shadow):
    """share + shadow * (1 - share) <= challengers / champions, in whole hundredths; without champions nothing is known."""
    assert Room(champions=champions).copies(1.0, share, challengers) == shadow


# -- a new champion that does not run ----------------------------------------------------------------------------


def crashing(healthy: int = 0, status: DeploymentStatus = DeploymentStatus.UNHEALTHY) -> Deployment:
    states = [ReplicaState.RUNNING] * healthy + [ReplicaState.STARTING] * (4 - healthy)
    replicas = tuple(replica(f"r{n}", state=state) for n, state in enumerate(states))
    return deployment("m/server", replicas, model="m", slot="champion", status=status)


def promoted(at_s: float = 0.0) -> Model:
    return model(champion=V2, previous=V1, champion_since_s=at_s)


def test_a_new_champion_whose_replicas_crash_is_taken_back_after_its_patience():
    """A story along the clock: promoted at 0, down from 300 on, at 350 not yet, at 360 back to the version before."""
    policy = Staged(crashing_s=60.0)
    assert say(policy, 290.0, promoted(), *slots(4)) == []
    assert say(policy, 300.0, promoted(), crashing()) == []
    assert say(policy, 350.0, promoted(), crashing()) == []
    assert say(policy, 360.0, promoted(), crashing()) == [BACK]


@pytest.mark.parametrize(
    ("seen", "since_s"),
    [
        (crashing(healthy=2), 0.0),
        (crashing(status=DeploymentStatus.UPDATING), 0.0),
        (crashing(), -4000.0),
    ],
    ids=["half of its replicas run, as after the loss of a node", "it is being updated", "it was promoted long ago"],
)
def test_other_troubles_are_not_held_against_the_version(seen, since_s):
    """Only what fails to run, as a whole, and soon after the promotion."""
    policy = Staged(crashing_s=0.0)
    assert say(policy, 10.0, promoted(since_s), seen) == []


def test_replicas_that_were_down_before_the_promotion_say_nothing_of_it():
    """They have not run under the version before either."""
    policy = Staged(crashing_s=60.0)
    assert say(policy, 0.0, model(previous=V1), crashing()) == []
    assert say(policy, 100.0, promoted(50.0), crashing()) == []


def test_a_moment_in_which_it_runs_starts_the_patience_anew():
    """Down, up, down again: a crash now and then is Serve's to mend."""
    policy = Staged(crashing_s=60.0)
    for at_s, seen in ((0.0, crashing()), (50.0, slots(4)[0]), (55.0, crashing()), (110.0, crashing())):
        assert say(policy, at_s, promoted(), seen) == []
    assert say(policy, 115.0, promoted(), crashing()) == [BACK]


def test_without_a_version_to_go_back_to_it_leaves_the_champion():
    """A first version that crashes is for people."""
    policy = Staged(crashing_s=0.0)
    assert say(policy, 10.0, model(champion=V2, champion_since_s=0.0), crashing()) == []
