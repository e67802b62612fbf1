"""The checks themselves can fail: for each of them a policy that breaks just that rule."""

import pytest

from policies.action import Alert, Evidence, Hold, Promote, Proposal, Restart, Scale
from policies.idle import Idle
from policies.testing import PolicyChecks

WHY = (Evidence(name="x", value=1.0),)
CALLS: list[int] = []


class Breaks(Idle):
    """Proposes what `act` gives for each deployment."""

    def act(self, name, seen):
        return []

    def propose(self, seen):
        return [Proposal(action=each, because=WHY) for name in seen.deployments for each in self.act(name, seen)]


class Random(Breaks):
    def act(self, name, seen):
        CALLS.append(1)
        return [Hold(subject=str(len(CALLS)))]


class Global(Breaks):
    """State that does not travel with the object."""

    count = 0

    def __init__(self):
        self.here = [0]

    def __getstate__(self):
        return {"here": [0]}

    def act(self, name, seen):
        self.here[0] += 1
        return [Alert(subject=name, text=str(self.here[0]))]


class Ordered(Breaks):
    """The first deployment in the mapping gets its way."""

    def propose(self, seen):
        return [Proposal(action=Hold(subject=name), because=WHY) for name in list(seen.deployments)[:1]]


class Writes(Breaks):
    def act(self, name, seen):
        seen.models.pop("m1", None)
        return []


class Raises(Breaks):
    def propose(self, seen):
        raise KeyError("m1")


class ActsOnNothing(Breaks):
    def propose(self, seen):
        return [Proposal(action=Restart(deployment="a", replica="b"), because=WHY)]


class ScalesBlind(Breaks):
    def act(self, name, seen):
        return [Scale(deployment=name, replicas=max(2, seen.deployments[name].min_replicas))]


class PromotesBlind(Breaks):
    def act(self, name, seen):
        return [Promote(model=name, version="1", digest="x")]


class Greedy(Breaks):
    def act(self, name, seen):
        return [Scale(deployment=name, replicas=99)]


class Silent(Breaks):
    def propose(self, seen):
        return [Proposal(action=Hold(subject=name), because=()) for name in seen.deployments]


class Vague(Breaks):
    def propose(self, seen):
        return [Proposal(action=Hold(subject=name), because=(Evidence(name="x"),)) for name in seen.deployments]


class Contradicts(Breaks):
    def act(self, name, seen):
        return [Restart(deployment=name, replica="a"), Restart(deployment=name, replica="b")]


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Random, "test_the_same_observations_give_the_same_proposals"),
        (Global, "test_a_pickled_policy_goes_on_as_if_nothing_had_happened"),
        (Ordered, "test_the_order_of_names_does_not_matter"),
        (Writes, "test_what_was_seen_is_not_changed"),
        (ActsOnNothing, "test_nothing_seen_is_nothing_done"),
        (ScalesBlind, "test_the_unknown_scales_and_promotes_nothing"),
        (PromotesBlind, "test_the_unknown_scales_and_promotes_nothing"),
        (Greedy, "test_replica_counts_stay_inside_the_bounds_of_the_deployment"),
        (Silent, "test_every_proposal_says_why"),
        (Vague, "test_every_proposal_says_why"),
        (Contradicts, "test_one_target_is_asked_one_thing"),
        (object, "test_it_is_a_policy"),
    ],
)
def test_a_policy_that_breaks_a_rule_fails_its_check(broken, check):
    """And the same check passes for the policy that wants nothing."""

    def checks(make):
        return getattr(type("Checks", (PolicyChecks,), {"make": lambda self: make()})(), check)

    with pytest.raises(AssertionError):
        checks(broken)()
    checks(Idle)()


def test_a_policy_that_scales_by_the_hour_may_say_so():
    """It needs no traffic; bounds and everything else hold for it too."""
    checks = type("Checks", (PolicyChecks,), {"make": lambda self: ScalesBlind(), "scales_by_traffic": False})()
    checks.test_the_unknown_scales_and_promotes_nothing()
    blind = type("Checks", (PolicyChecks,), {"make": lambda self: PromotesBlind(), "scales_by_traffic": False})()
    with pytest.raises(AssertionError):
        blind.test_the_unknown_scales_and_promotes_nothing()


def test_a_policy_that_raises_fails():
    """Whatever it was shown."""
    broken = type("Checks", (PolicyChecks,), {"make": lambda self: Raises()})()
    with pytest.raises(KeyError):
        broken.test_nothing_seen_is_nothing_done()


def test_make_must_be_given():
    """The error says how."""
    with pytest.raises(NotImplementedError, match="give make"):
        PolicyChecks().make()
