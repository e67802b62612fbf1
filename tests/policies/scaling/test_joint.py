"""Joint, played against a toy of a fleet: requests wait as in M/D/c, at most 50 of them, and replicas start after a while."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.action import Alert, Hold, Proposal, Scale
from policies.observation import Capacity, Deployment, JobState, Observation, ReplicaState, Resources, TrainingJob
from policies.scaling.joint import Joint
from policies.testing import PolicyChecks, deployment, model, observation, replica, traffic

SERVICE_S = 0.15
TICK_S = 10.0


class TestJoint(PolicyChecks):
    def make(self) -> Joint:
        return Joint(budget=12, slo_latency_s=0.2)


class TestJointFair(PolicyChecks):
    def make(self) -> Joint:
        return Joint(budget=12, slo_latency_s=0.2, objective="fair", worth="request", quotas={"a*": 6})


@dataclass
class Fleet:
    """Deployments by name with their rate over time; `fields` of a deployment by name."""

    rates: dict[str, Callable[[float], float]]
    counts: dict[str, int]
    start_s: float = 30.0
    fields: dict[str, dict] = field(default_factory=dict)
    born_s: dict[str, list[float]] = field(default_factory=dict)
    queued: dict[str, float] = field(default_factory=dict)
    tail_s: dict[tuple[str, float], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.born_s = {name: [-math.inf] * count for name, count in self.counts.items()}

    def see(self, at_s: float, **more) -> Observation:
        things = (self._deployment(name, at_s) for name in self.rates)
        return replace(observation(at_s, *things), **more)

    def _deployment(self, name: str, at_s: float) -> Deployment:
        ready = [at_s >= born_s + self.start_s for born_s in self.born_s[name]]
        replicas = tuple(
            replica(f"{name}{n}", state=ReplicaState.RUNNING if up else ReplicaState.STARTING, node="n1")
            for n, up in enumerate(ready)
        )
        rate, capacity = self.rates[name](at_s), sum(ready) / SERVICE_S
        queued = min(50.0, max(0.0, self.queued.get(name, 0.0) + (rate - capacity) * TICK_S))
        self.queued[name] = queued
        load = min(0.95, rate / capacity) if capacity else 0.0
        waits_s = 0.5 * load ** (math.sqrt(2 * sum(ready) + 2) - 1) / (capacity * (1 - load)) if load else 0.0
        latency_s = SERVICE_S + waits_s + (queued / capacity if capacity else 0.0)
        answered = round(30 * min(rate, capacity))
        refused = round(30 * (rate - capacity)) if queued >= 50.0 else 0
        seen = traffic(
            at_s, answered + refused, window_s=30.0, errors=refused, queued=queued, ongoing=rate * latency_s,
            latency_mean_s=latency_s if answered else None,
            latency_p99_s=latency_s + 4 * waits_s if answered else None,
        )  # fmt: skip
        self.tail_s[name, at_s] = latency_s + 4 * waits_s
        plain = {"slo_latency_s": 0.72, "traffic": seen, "replicas_wanted": len(replicas)}
        return deployment(name, replicas, **(plain | self.fields.get(name, {})))

    def do(self, proposals: list[Proposal], at_s: float) -> None:
        for each in proposals:
            if isinstance(each.action, Scale):
                born = self.born_s[each.action.deployment]
                more = each.action.replicas - len(born)
                self.born_s[each.action.deployment] = [*born, *[at_s] * more] if more > 0 else born[:more]

    @property
    def now(self) -> dict[str, int]:
        return {name: len(born) for name, born in self.born_s.items()}


def play(policy: Joint, fleet: Fleet, until_s: float, from_s: float = 0.0, **more) -> dict[float, list[Proposal]]:
    """What was proposed at each tick; it is done at once."""
    told = {}
    for n in range(int((until_s - from_s) / TICK_S) + 1):
        at_s = from_s + n * TICK_S
        told[at_s] = list(policy.propose(fleet.see(at_s, **more)))
        fleet.do(told[at_s], at_s)
    return told


def steady(rate: float) -> Callable[[float], float]:
    return lambda at_s: rate


def step(before: float, after: float, when_s: float) -> Callable[[float], float]:
    return lambda at_s: before if at_s < when_s else after


def test_everybody_gets_what_the_load_needs():
    """0.75 and 3 erlangs within 8 replicas: both meet their SLO, and the larger load has the more."""
    fleet = Fleet({"a": steady(5.0), "b": steady(20.0)}, {"a": 1, "b": 1})
    play(Joint(budget=8), fleet, 600.0)
    assert fleet.now["a"] in (2, 3)
    assert fleet.now["b"] in (4, 5, 6)


def test_replicas_follow_a_load_that_moves_to_another():
    """The budget is used up; what one no longer needs the other gets, and never more than the budget is wanted."""
    fleet = Fleet({"a": step(20.0, 3.0, 900.0), "b": step(3.0, 20.0, 900.0)}, {"a": 1, "b": 1})
    policy = Joint(budget=7)
    play(policy, fleet, 890.0)
    before = fleet.now
    play(policy, fleet, 1800.0, from_s=900.0)
    assert before["a"] >= 4
    assert before["b"] <= 3
    assert fleet.now["b"] >= 4
    assert fleet.now["a"] <= 3


@settings(max_examples=15, deadline=None)
@given(rates=st.lists(st.floats(0.5, 40.0), min_size=2, max_size=4), budget=st.integers(4, 14))
def test_the_budget_is_kept_and_everybody_keeps_one(rates, budget):
    """Whatever the loads: at no tick more is wanted in all than there is, and nobody is left with nothing."""
    fleet = Fleet({f"d{n}": steady(rate) for n, rate in enumerate(rates)}, {f"d{n}": 1 for n in range(len(rates))})
    policy = Joint(budget=budget)
    for at_s in range(0, 240, 10):
        fleet.do(list(policy.propose(fleet.see(float(at_s)))), float(at_s))
        assert sum(fleet.now.values()) <= budget
        assert min(fleet.now.values()) >= 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"traffic": None}, "there is no traffic to read"),
        ({"traffic": traffic(-120.0)}, "the traffic is stale"),
        ({"slo_latency_s": None}, "it has no latency objective"),
        ({"traffic": traffic(10.0, 0, latency_mean_s=None)}, "no request has shown yet how long one takes"),
    ],
)
def test_who_is_not_known_keeps_what_it_has(fields, reason):
    """With the reason, and beside others who are decided for."""
    fleet = Fleet({"a": steady(20.0), "b": steady(20.0)}, {"a": 1, "b": 1}, fields={"a": fields})
    told = [each for proposals in play(Joint(budget=8), fleet, 30.0).values() for each in proposals]
    held = {each.action.subject: each.because[0].note for each in told if isinstance(each.action, Hold)}
    assert held["a"] == reason
    assert {each.action.deployment for each in told if isinstance(each.action, Scale)} == {"b"}


def test_what_is_needed_while_it_starts_is_not_taken_away():
    """From the first order until its replicas run, nobody who starts is scaled down, whatever the load does."""
    fleet = Fleet({"a": step(30.0, 1.0, 20.0), "b": steady(3.0)}, {"a": 1, "b": 1}, start_s=60.0)
    policy = Joint(budget=8, give_back_after_s=0.0)
    told = play(policy, fleet, 70.0)
    ordered_s = next(at_s for at_s, each in told.items() if each)
    while_starting = [p.action for at_s, each in told.items() if ordered_s < at_s < ordered_s + 60.0 for p in each]
    assert not [each for each in while_starting if isinstance(each, Scale) and each.deployment == "a"]


@pytest.mark.parametrize("raised", [True, False])
def test_whether_those_who_start_may_be_given_more(raised):
    """The load goes on growing while the first replicas start, for two minutes: more is asked for, or waited for, as told."""
    fleet = Fleet({"a": lambda at_s: 10.0 + at_s / 4.0}, {"a": 2}, start_s=120.0)
    told = play(Joint(budget=12, raise_while_starting=raised), fleet, 110.0)
    asked = [p.action.replicas for each in told.values() for p in each if isinstance(p.action, Scale)]
    assert asked == sorted(asked)
    assert (len(asked) > 1) == raised


def test_who_becomes_late_is_seen_before_the_next_decision():
    """Decisions are five minutes apart; a load that doubles in between is answered within two ticks."""
    fleet = Fleet({"a": step(5.0, 25.0, 100.0), "b": steady(2.0)}, {"a": 2, "b": 1})
    told = play(Joint(budget=8, decide_every_s=300.0), fleet, 140.0)
    assert [p.action for at_s in (100.0, 110.0, 120.0) for p in told[at_s] if isinstance(p.action, Scale)]


@pytest.mark.parametrize(("budget", "moved"), [(12, True), (8, False)])
def test_who_is_late_is_not_made_to_wait_for_what_is_spare(budget, moved):
    """Where a move costs more than it can bring, one who is late still gets what nobody has, and not what another has."""
    fleet = Fleet({"a": step(5.0, 15.0, 200.0), "b": steady(25.0)}, {"a": 2, "b": 6})
    play(Joint(budget=budget, move_loss=5.0), fleet, 300.0)
    assert (fleet.now["a"] > 2) == moved


def test_more_requests_than_were_thought_possible_are_seen_before_the_next_decision():
    """Nobody is late yet, since four replicas carry three times the load; the forecast is another all the same."""
    fleet = Fleet({"a": step(5.0, 15.0, 400.0)}, {"a": 4})
    policy = Joint(budget=8, decide_every_s=300.0)
    play(policy, fleet, 390.0)
    before = policy.explanations["a"].rate_high_rps
    play(policy, fleet, 420.0, from_s=400.0)
    assert before < 15.0 <= policy.explanations["a"].rate_high_rps


def test_what_nobody_needs_is_given_back_after_a_while():
    """The load falls for good: what it needed goes back, but only after `give_back_after_s`."""
    fleet = Fleet({"a": step(25.0, 2.0, 600.0)}, {"a": 1})
    policy = Joint(budget=8, give_back_after_s=300.0)
    play(policy, fleet, 590.0)
    needed = fleet.now["a"]
    play(policy, fleet, 880.0, from_s=600.0)
    assert fleet.now["a"] == needed
    play(policy, fleet, 2400.0, from_s=890.0)
    assert fleet.now["a"] < needed


@pytest.mark.parametrize(("cold_start_max_s", "asleep"), [(60.0, True), (5.0, False)])
def test_nobody_sleeps_who_would_wake_up_too_slowly(cold_start_max_s, asleep):
    """Without requests for long enough a deployment may go to nothing, if a cold start is short; a request wakes it up."""
    awake = step(5.0, 0.0, 300.0)
    fleet = Fleet({"a": lambda at_s: awake(at_s) + (5.0 if at_s >= 2400.0 else 0.0)}, {"a": 1})
    fleet.fields["a"] = {"min_replicas": 0}
    policy = Joint(budget=4, cold_start_max_s=cold_start_max_s, give_back_after_s=60.0)
    play(policy, fleet, 590.0)
    assert fleet.now["a"] >= 1
    play(policy, fleet, 2390.0, from_s=600.0)
    assert (fleet.now["a"] == 0) == asleep
    play(policy, fleet, 2500.0, from_s=2400.0)
    assert fleet.now["a"] >= 1


def test_a_team_stays_within_its_quota():
    """Two of one team want more than its quota; the third takes what is left."""
    rates = {"red/a": steady(20.0), "red/b": steady(20.0), "blue/c": steady(20.0)}
    fleet = Fleet(rates, dict.fromkeys(rates, 1))
    play(Joint(budget=14, quotas={"red/*": 5}), fleet, 600.0)
    assert fleet.now["red/a"] + fleet.now["red/b"] == 5
    assert fleet.now["blue/c"] >= 4


def test_replicas_of_different_sizes_share_the_accelerators():
    """Half a GPU each for one, a whole one for the other: together never more than the cluster has."""
    fleet = Fleet({"half": steady(30.0), "whole": steady(12.0)}, {"half": 1, "whole": 1})
    fleet.fields = {"half": {"resources": Resources(gpus=0.5)}, "whole": {"resources": Resources(gpus=1.0)}}
    capacity = Capacity(total=Resources(cpus=64, gpus=6), free=Resources(cpus=64, gpus=6))
    play(Joint(), fleet, 600.0, capacity=capacity)
    assert 5.0 <= 0.5 * fleet.now["half"] + fleet.now["whole"] <= 6.0
    assert fleet.now["half"] > fleet.now["whole"]


def test_what_a_training_holds_counts_as_there_for_serving():
    """Four GPUs, three of them in a training: serving asks for what it needs, and the ledger stops the training for it."""
    fleet = Fleet({"a": steady(20.0)}, {"a": 1}, fields={"a": {"resources": Resources(gpus=1.0)}})
    job = TrainingJob(id="t", state=JobState.RUNNING, started_at_s=0.0, resources=Resources(gpus=3.0))
    capacity = Capacity(total=Resources(cpus=64, gpus=4), free=Resources(cpus=64, gpus=0))
    play(Joint(), fleet, 300.0, capacity=capacity, models={"m": model("m", training=job)})
    assert fleet.now["a"] == 4


def test_where_there_is_too_little_the_weight_decides():
    """Two equal loads, enough for one: the one that is worth more is served."""
    counts = {}
    for heavy in ("a", "b"):
        fleet = Fleet({"a": steady(20.0), "b": steady(20.0)}, {"a": 1, "b": 1})
        play(Joint(budget=6, weights={heavy: 5.0}), fleet, 600.0)
        counts[heavy] = fleet.now
    assert counts == {"a": {"a": 5, "b": 1}, "b": {"a": 1, "b": 5}}


def test_it_explains_those_that_it_moves_and_those_that_it_leaves():
    """For each the forecast, what one more and one fewer would change, and what stopped it there."""
    fleet = Fleet({"a": steady(5.0), "b": steady(20.0)}, {"a": 1, "b": 1})
    policy = Joint(budget=8)
    told = play(policy, fleet, 600.0)
    assert policy.explanations.keys() == {"a", "b"}
    why = policy.explanations["b"]
    assert why.rate_median_rps == pytest.approx(20.0, rel=0.1)
    assert why.one_fewer < 0.0
    assert why.stopped_by == "one more would add less than the 0.0005 that it must, or than the move costs"
    moved = [p for each in told.values() for p in each if isinstance(p.action, Scale)]
    named = {"rate_forecast_rps", "service_s", "value", "one_more", "one_fewer"}
    assert all(named <= {each.name for each in p.because} | {"one_more", "one_fewer"} for p in moved)


def test_people_are_told_of_an_slo_that_will_be_missed():
    """A load that climbs towards what the budget can bear: the alert comes while the SLO still holds."""
    fleet = Fleet({"a": lambda at_s: 3.0 + at_s / 100.0}, {"a": 2})
    told = play(Joint(budget=2, horizon_s=420.0), fleet, 1500.0)
    alerts = [at_s for at_s, each in told.items() for p in each if isinstance(p.action, Alert)]
    assert alerts
    assert fleet.rates["a"](alerts[0]) * SERVICE_S < 2.0
    assert fleet.tail_s["a", alerts[0]] < 0.72
    assert "will miss its SLO in" in next(p.action.text for p in told[alerts[0]] if isinstance(p.action, Alert))


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"slo_quantile": 0.9}, "slo_quantile must be one of 0.5, 0.95, 0.99, got 0.9"),
        ({"later_s": 500.0}, r"later_s must be below horizon_s \(420.0\), got 500.0"),
        ({"budget": 0}, "budget must be above 0, got 0"),
        ({"weights": {"a": -1.0}}, r"weights\[a\] must be 0 or more, got -1.0"),
    ],
)
def test_what_makes_no_sense_is_refused(parameters, told):
    """With the parameter, what was expected and what was given."""
    with pytest.raises(ValueError, match=told):
        Joint(**parameters)


def test_a_large_fleet_is_decided_on_a_grid_and_stays_within_its_budget():
    """Sixty deployments of up to fifty replicas: too many to try all counts, and still within what there is."""
    rates = {f"d{n:02d}": steady(20.0 + 5.0 * n) for n in range(60)}
    fleet = Fleet(rates, dict.fromkeys(rates, 4))
    play(Joint(budget=2200), fleet, 60.0)
    assert 1500 <= sum(fleet.now.values()) <= 2200
    assert all(fleet.now[name] * 1.0 > rate(0.0) * SERVICE_S for name, rate in rates.items())
