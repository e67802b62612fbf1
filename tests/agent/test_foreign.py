"""Counts that somebody else has set are told and left alone for a while."""

from agent.assembly import build_core
from agent.core import Core
from agent.foreign import ForeignChange, ForeignChanges
from agent.settings import Settings
from policies.action import Alert, Evidence, Proposal, Scale
from policies.observation import Capacity, Observation, Resources
from policies.testing import deployment, observation

ROOMY = Capacity(total=Resources(cpus=64.0), free=Resources(cpus=64.0))


class Wants:
    """Wants `replicas` of app/model, wherever there are more or fewer."""

    def __init__(self, replicas: int) -> None:
        self.replicas = replicas

    def propose(self, seen: Observation) -> list[Proposal]:
        if seen.deployments["app/model"].replicas_wanted == self.replicas:
            return []
        action = Scale(deployment="app/model", replicas=self.replicas)
        return [Proposal(action=action, because=(Evidence(name="test"),))]


def core_with(policy: object) -> Core:
    core = build_core(Settings.model_validate({"autonomy": {"default": "act"}}))
    core._policies = (("wants", policy),)
    return core


def seen(at_s: float, replicas: int) -> Observation:
    return observation(at_s, deployment(replicas=replicas), capacity=ROOMY)


def test_a_count_that_we_did_not_ask_for_is_told() -> None:
    """Which deployment, from what to what; once, not at every tick."""
    core = core_with(Wants(2))
    said = [core.step(seen(float(at_s), count)).alerts for at_s, count in enumerate([2, 5, 5])]
    text = "somebody else set app/model from 2 to 5 replicas"
    assert said == [(), (Alert(subject="app/model", text=text),), ()]


def test_a_count_that_somebody_else_set_is_respected_for_a_while() -> None:
    """Vetoed with the reason until the time is over; then the policy is heard again."""
    core = core_with(Wants(2))
    core.step(seen(0.0, 2))
    held = core.step(seen(1.0, 5))
    assert (held.orders, [veto.rule for veto in held.vetoes]) == ((), ["foreign_change"])
    assert core.step(seen(60.9, 5)).orders == ()
    assert [order.action for order in core.step(seen(61.0, 5)).orders] == [Scale(deployment="app/model", replicas=2)]


def test_a_count_that_we_asked_for_is_ours_however_late_it_comes() -> None:
    """An order that has run past its deadline may still come true; nobody else did it."""
    core = core_with(Wants(4))
    core.step(seen(0.0, 2))
    core.step(seen(120.0, 2))
    late = core.step(seen(125.0, 4))
    assert late.alerts == ()


def test_a_challenger_comes_and_goes_without_a_word() -> None:
    """The replicas of a rollout are the rollout's own affair."""
    core = build_core(Settings.model_validate({"autonomy": {"default": "act"}}))
    for at_s, count in enumerate([1, 3]):
        row = deployment(name="app-challenger/model", replicas=count, slot="challenger")
        assert core.step(observation(float(at_s), row, capacity=ROOMY)).alerts == ()


def test_a_deployment_that_comes_back_is_another_one() -> None:
    """Nothing is held against the count that it comes back with, and no count that was asked for before is expected of it."""
    changes = ForeignChanges()
    changes.see(seen(0.0, 2))
    changes.order("app/model", 7)
    changes.see(seen(1.0, 3))
    changes.order("app/model", 4)
    assert changes.see(observation(2.0)) == ()
    assert changes == ForeignChanges()
    assert changes.see(seen(3.0, 5)) == ()
    told = Alert(subject="app/model", text="somebody else set app/model from 5 to 4 replicas")
    assert changes.see(seen(4.0, 4)) == (told,)
    change = ForeignChange(deployment="app/model", before=5, after=4, at_s=4.0)
    assert changes == ForeignChanges(accepted={"app/model": 4}, latest={"app/model": change})
    changes.see(observation(5.0))
    assert changes == ForeignChanges()


def test_an_order_that_somebody_else_overrode_is_expected_no_more() -> None:
    """Seven were asked for and somebody set three: if there are seven one day, that is not what the agent asked for."""
    changes = ForeignChanges()
    changes.see(seen(0.0, 2))
    changes.order("app/model", 7)
    told = [changes.see(seen(at_s, count)) for at_s, count in ((1.0, 3), (2.0, 7))]
    assert [[alert.text for alert in each] for each in told] == [
        ["somebody else set app/model from 2 to 3 replicas"],
        ["somebody else set app/model from 3 to 7 replicas"],
    ]
