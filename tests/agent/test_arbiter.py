"""What may be done of all that is wanted: one thing per target, what is given back before what is taken, serving before training."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agent.arbiter import Choice, Veto, choose, replaces
from agent.assembly import build_core
from agent.core import Decision
from agent.ledger import TrainingCost
from agent.order import Order
from agent.settings import BudgetSettings, Settings
from policies.action import (
    Action,
    Evidence,
    Promote,
    Proposal,
    Restart,
    Retrain,
    RollBack,
    Scale,
    SetTraffic,
    StartRollout,
    StopTraining,
    target,
)
from policies.observation import Capacity, JobState, Resources, TrainingJob
from policies.testing import deployment, model, observation, report, rollout, symptom, version


def decided(cpus: float, *, gpus: float = 0.0, trial_gpus: float = 0.0) -> Decision:
    """An agent that wants to retrain, four trials of one CPU at a time, where so much is free."""
    training = {"recipes": ["logistic"], "concurrent_trials": 4, "trial_gpus": trial_gpus}
    settings = Settings.model_validate(
        {
            "autonomy": {"default": "act"},
            "models": {"m": {"training": training}},
            "policies": [{"use": "on_drift", "settle_s": 0, "min_rows": 10}],
        }
    )
    room = Capacity(total=Resources(cpus=8.0), free=Resources(cpus=cpus, gpus=gpus))
    drifted = model("m", report=report(100.0, symptom(since_s=1.0)))
    return build_core(settings).step(observation(100.0, deployment("m/ModelServer"), drifted, capacity=room))


def test_a_training_has_as_many_trials_at_a_time_as_are_left_to_it() -> None:
    """All four where there is room; else fewer, and the order says so."""
    whole, part = decided(4.0).orders[0], decided(2.5).orders[0]
    assert isinstance(whole.action, Retrain)
    assert isinstance(part.action, Retrain)
    assert (whole.action.concurrent_trials, part.action.concurrent_trials) == (None, 2)
    assert part.because[-1] == Evidence(name="fewer_trials_at_once", value=4.0, threshold=2.0)


def test_a_gpu_bounds_the_trials_as_a_cpu_does() -> None:
    """Half a GPU each, one free: two at a time."""
    order = decided(8.0, gpus=1.0, trial_gpus=0.5).orders[0]
    assert isinstance(order.action, Retrain)
    assert order.action.concurrent_trials == 2


def test_without_room_for_one_trial_nothing_is_trained() -> None:
    """The veto shows what one trial needs beside what is left."""
    decision = decided(0.5)
    assert decision.orders == ()
    assert [(v.rule, v.value, v.threshold) for v in decision.vetoes] == [("budget", 1.0, 0.5)]


# -- the arbiter itself


ROOM = Capacity(total=Resources(cpus=64.0, gpus=64.0), free=Resources(cpus=64.0, gpus=64.0))
BACK = RollBack(model="m", version="2", to="1", to_digest="sha-1")
CANARY = SetTraffic(model="m", version="2", share=0.5)
TRAINS = TrainingJob(id="j", state=JobState.RUNNING, started_at_s=0.0, resources=Resources(cpus=2.0))
SHADOW = StartRollout(model="m", version="2", digest="sha-2")


@dataclass
class Allows:
    """Objects to the actions in `never`, lets those in `asks` wait for a person, and remembers what it was asked with."""

    never: tuple[Action, ...] = ()
    passing: tuple[Action, ...] = ()
    asks: tuple[Action, ...] = ()
    asked: list[tuple[str, int]] = field(default_factory=list)

    def objection(self, proposal: Proposal, chosen: int) -> Veto | None:
        self.asked.append((proposal.action.kind, chosen))
        rule = "passes" if proposal.action in self.passing else "no"
        return Veto(proposal=proposal, rule=rule, reason="no") if proposal.action in self.never + self.passing else None

    def objection_to(self, order: Order, chosen: int) -> Veto | None:
        return self.objection(order.proposal, chosen)

    def passes(self, objection: Veto) -> bool:
        return objection.rule == "passes"

    def at_once(self, proposal: Proposal) -> bool:
        return proposal.action not in self.asks


def order(action: Action, number: int = 5) -> Order:
    return Order(
        number=number, epoch=1, key=str(number), action=action, because=(), policy="p", issued_at_s=0.0, deadline_s=60.0
    )  # fmt: skip


def chosen(
    *wishes: Action,
    here: Any = (),
    flight: Any = (),
    standing: Any = (),
    budget: BudgetSettings | None = None,
    permission: Allows | None = None,
    costs: Any = None,
) -> Choice:
    """What is chosen of `wishes`, each by a policy of its own, while orders are in `flight` or `standing`."""
    return choose(
        [Proposal(action=wish, because=(), policy=f"p{n}") for n, wish in enumerate(wishes)],
        observation(1.0, *here, capacity=ROOM),
        {target(each.action): each for each in flight},
        budget or BudgetSettings(replicas=10),
        costs or {},
        permission=permission or Allows(),
        standing=standing,
    )


def done(choice: Choice) -> list[Action]:
    return [each.action for each in choice.chosen]


def kept_back(choice: Choice) -> list[tuple[str, str, float | None, float | None]]:
    return [(veto.rule, veto.reason, veto.value, veto.threshold) for veto in choice.passed_over]


def scale(name: str, replicas: int) -> Scale:
    return Scale(deployment=f"{name}/{name}", replicas=replicas)


def served(name: str, replicas: int = 2, **fields: Any) -> Any:
    return deployment(f"{name}/{name}", replicas=replicas, **fields)


A, B = served("a"), served("b")


def test_the_first_wish_for_a_target_wins_and_the_same_again_is_agreement() -> None:
    """What differs is told who was heard; a wish for what is there already is heard first, too."""
    choice = chosen(scale("a", 3), scale("a", 3), scale("a", 4), scale("b", 2), scale("b", 5), here=(A, B))
    assert done(choice) == [scale("a", 3)]
    assert kept_back(choice) == [
        ("one_per_target", "p0 was heard first", None, None),
        ("one_per_target", "p3 was heard first", None, None),
    ]


PROMOTE = Promote(model="m", version="2", digest="sha-2")


def canaried() -> Any:
    return model("m", candidates=(version("2"),), rollout=rollout("2"))


@pytest.mark.parametrize("never", [(), (PROMOTE,)], ids=["allowed", "kept back"])
def test_a_rollback_goes_before_the_steps_of_earlier_policies(never: tuple[Action, ...]) -> None:
    """Safety does not wait for who was heard first, whether or not a guard would have kept the step back."""
    choice = chosen(PROMOTE, CANARY, BACK, here=(canaried(),), permission=Allows(never=never))
    assert done(choice) == [BACK]
    assert kept_back(choice) == [("one_per_target", "p2 wants a rollback", None, None)] * 2


def test_nothing_goes_forward_in_the_place_of_a_rollback_that_is_kept_back() -> None:
    """Another rollback may."""
    other = replace(BACK, to="0")
    choice = chosen(PROMOTE, BACK, here=(canaried(),), permission=Allows(never=(BACK,)))
    assert done(choice) == []
    assert kept_back(choice) == [("one_per_target", "p1 wants a rollback", None, None), ("no", "no", None, None)]
    assert done(chosen(PROMOTE, BACK, other, here=(canaried(),), permission=Allows(never=(BACK,)))) == [other]


def test_what_a_guard_keeps_back_holds_no_place() -> None:
    """The next proposal for the target is heard, and the next; the same wish again is no other one, and is asked about once."""
    sick = Restart(deployment="a/a", replica="r1")
    permission = Allows(never=(sick, scale("a", 9)))
    choice = chosen(sick, scale("a", 9), scale("a", 3), scale("a", 4), sick, here=(A,), permission=permission)
    assert done(choice) == [scale("a", 3)]
    assert kept_back(choice) == [
        ("one_per_target", "p2 was heard first", None, None),
        ("no", "no", None, None),
        ("no", "no", None, None),
    ]
    assert permission.asked == [("restart", 0), ("scale", 0), ("scale", 0)]


def test_what_does_not_fit_holds_its_place() -> None:
    """The first policy wants more and gets it when there is room; fewer is not what it wants instead."""
    choice = chosen(scale("a", 4), scale("a", 1), here=(A,), budget=BudgetSettings(replicas=2))
    assert done(choice) == []
    assert [veto.rule for veto in choice.passed_over] == ["one_per_target", "budget"]


@pytest.mark.parametrize(
    ("under_way", "wanted", "replaced"),
    [
        (scale("a", 3), scale("a", 4), True),
        (scale("a", 3), scale("a", 2), False),
        (scale("a", 1), scale("a", 2), True),
        (Restart(deployment="a/a", replica="r1"), scale("a", 4), False),
        (scale("a", 3), Restart(deployment="a/a", replica="r1"), False),
        (CANARY, BACK, True),
        (SHADOW, BACK, True),
        (Promote(model="m", version="2", digest="sha-2"), BACK, True),
        (BACK, replace(BACK, to="0"), False),
        (BACK, CANARY, False),
        (Retrain(model="m"), StopTraining(model="m"), False),
    ],
    ids=repr,
)
def test_an_order_in_flight_gives_way_to_a_rollback_and_to_more_replicas(
    under_way: Action, wanted: Action, replaced: bool
) -> None:
    """Everything else is told which order is in flight."""
    canary = model("m", candidates=(version("2"),), rollout=rollout("2"), training=TRAINS)
    choice = chosen(wanted, here=(A, canary), flight=[order(under_way)])
    assert replaces(wanted, under_way) is replaced
    assert done(choice) == ([wanted] if replaced else [])
    assert kept_back(choice) == ([] if replaced else [("in_flight", "order 5 is in flight", None, None)])


def test_wanting_again_what_is_under_way_is_agreement() -> None:
    """Neither an order nor a veto."""
    choice = chosen(scale("a", 3), here=(A,), flight=[order(scale("a", 3))])
    assert (done(choice), kept_back(choice)) == ([], [])


def test_what_makes_safe_and_gives_back_goes_before_what_takes() -> None:
    """Rollbacks and ends of trainings, scale-downs, steps, scale-ups, trainings; each is asked with how many came before."""
    wishes = (Retrain(model="n"), scale("b", 3), CANARY2, scale("a", 1), StopTraining(model="o"), BACK)
    here = (
        A,
        B,
        model("m", candidates=(version("2"),), rollout=rollout("2")),
        model("n"),
        model("o", training=TRAINS),
        model("q", candidates=(version("2"),), rollout=rollout("2")),
    )
    permission = Allows()
    choice = chosen(*wishes, here=here, permission=permission, budget=BudgetSettings(replicas=20, cpus=60.0))
    assert done(choice) == [StopTraining(model="o"), BACK, scale("a", 1), CANARY2, scale("b", 3), Retrain(model="n")]
    assert permission.asked == [
        (kind, n) for n, kind in enumerate(["stop_training", "roll_back", "scale", "set_traffic", "scale", "retrain"])
    ]


CANARY2 = SetTraffic(model="q", version="2", share=0.5)


def test_what_a_guard_keeps_back_takes_nothing() -> None:
    """The next one has the capacity."""
    budget = BudgetSettings(replicas=6)
    choice = chosen(scale("a", 4), scale("b", 4), here=(A, B), budget=budget, permission=Allows(never=(scale("a", 4),)))
    assert done(choice) == [scale("b", 4)]
    assert kept_back(choice) == [("no", "no", None, None)]


@pytest.mark.parametrize(
    ("budget", "resources", "told"),
    [
        (BudgetSettings(replicas=2), Resources(cpus=1.0), ("budget", "no replicas left for another replica", 3, 0)),
        (BudgetSettings(cpus=3.0), Resources(cpus=1.5), ("budget", "no cpus left for another replica", 3, 0.0)),
        (BudgetSettings(cpus=9.0, gpus=1.4), Resources(cpus=1.0, gpus=0.5), ("budget", "no gpus left for another replica", 3, 0.4)),
        (BudgetSettings(replicas=3, gpus=1.4), Resources(cpus=1.0, gpus=0.5), ("budget", "no gpus left for another replica", 3, 0.4)),
    ],
)  # fmt: skip
def test_a_scale_up_that_does_not_fit_names_what_is_short(
    budget: BudgetSettings, resources: Resources, told: Any
) -> None:
    """How many were wanted more, beside what is left of the scarcest."""
    choice = chosen(scale("a", 5), here=(served("a", resources=resources),), budget=budget)
    assert done(choice) == []
    assert [(r, why, v, pytest.approx(t)) for r, why, v, t in kept_back(choice)] == [told]


def test_a_scale_up_gets_what_is_left() -> None:
    """And says how many it wanted; one that replaces a smaller one keeps what that has been charged."""
    choice = chosen(scale("a", 9), here=(A, B), budget=BudgetSettings(replicas=7))
    assert done(choice) == [scale("a", 5)]
    assert choice.chosen[0].because == (Evidence(name="trimmed_to_budget", value=9.0, threshold=5.0),)
    more = chosen(scale("a", 9), here=(A, B), budget=BudgetSettings(replicas=7), flight=[order(scale("a", 4))])
    assert done(more) == [scale("a", 5)]
    full = chosen(scale("a", 9), here=(A, B), budget=BudgetSettings(replicas=6), flight=[order(scale("a", 4))])
    assert (done(full), kept_back(full)) == ([], [("budget", "no replicas left for another replica", 5, 0)])


def test_without_a_known_capacity_nothing_is_taken_and_what_is_given_back_is() -> None:
    """I do not know is not yes, but fewer is always possible."""
    wishes = (scale("a", 3), scale("b", 1), SHADOW, Retrain(model="n"))
    proposals = [Proposal(action=wish, because=()) for wish in wishes]
    blind = observation(1.0, A, B, served("c", model="m", slot="champion"), model("m"), model("n"))
    choice = choose(proposals, blind, {}, BudgetSettings(), {}, permission=Allows())
    assert done(choice) == [scale("b", 1)]
    reason = "neither the cluster's capacity nor a budget is known"
    assert kept_back(choice) == [("capacity", reason, None, None)] * 3


def test_a_challenger_takes_a_replica_of_its_champions_size() -> None:
    """Whole or not at all; of another model's size it knows nothing."""
    big = served("c", 1, model="m", slot="champion", resources=Resources(cpus=3.0))
    other = served("d", 1, model="n", slot="champion", resources=Resources(cpus=1.0))
    fits = chosen(SHADOW, here=(other, big, model("m")), budget=BudgetSettings(cpus=7.0))
    assert done(fits) == [SHADOW]
    short = chosen(SHADOW, here=(other, big, model("m")), budget=BudgetSettings(cpus=6.5))
    assert (done(short), kept_back(short)) == ([], [("budget", "not enough cpus left", 3.0, 2.5)])


def test_a_wish_for_a_deployment_that_is_not_there_is_told() -> None:
    """By its name."""
    choice = chosen(scale("z", 3))
    assert (done(choice), kept_back(choice)) == ([], [("unknown_target", "there is no deployment 'z/z'", None, None)])


# -- vetoes, whole


def wish(action: Action, policy: str = "p0", **fields: Any) -> Proposal:
    return Proposal(action=action, because=(), policy=policy, **fields)


def test_what_is_passed_over_is_told_with_what_stands_in_its_way() -> None:
    """First what an order in flight keeps out, then what was heard later, then what a guard keeps back: each with its proposal."""
    never = (scale("b", 9), scale("c", 9))
    choice = chosen(
        scale("a", 1), *never, scale("b", 3), scale("c", 3), scale("d", 3), scale("d", 4), here=(A, B, served("c"), served("d")),
        flight=[order(scale("a", 3))], permission=Allows(never=never), budget=BudgetSettings(replicas=20),
    )  # fmt: skip
    assert done(choice) == [scale("d", 3), scale("b", 3), scale("c", 3)]
    assert choice.passed_over == (
        Veto(proposal=wish(scale("a", 1)), rule="in_flight", reason="order 5 is in flight"),
        Veto(proposal=wish(scale("d", 4), "p6"), rule="one_per_target", reason="p5 was heard first"),
        Veto(proposal=wish(never[0], "p1"), rule="no", reason="no"),
        Veto(proposal=wish(never[1], "p2"), rule="no", reason="no"),
    )


def test_without_a_known_capacity_each_is_told_so() -> None:
    """A training is refused as the smallest that it could have been."""
    champion = served("c", 1, model="m", slot="champion")
    proposals = [wish(scale("a", 3)), wish(SHADOW), wish(Retrain(model="n"))]
    blind = observation(1.0, A, champion, model("m"), model("n"))
    choice = choose(proposals, blind, {}, BudgetSettings(), {}, permission=Allows())
    smallest = replace(Retrain(model="n"), concurrent_trials=1)
    fewer = Evidence(name="fewer_trials_at_once", value=1.0, threshold=0.0)
    reason = "neither the cluster's capacity nor a budget is known"
    assert choice.chosen == ()
    assert choice.passed_over == (
        Veto(proposal=wish(SHADOW), rule="capacity", reason=reason),
        Veto(proposal=wish(scale("a", 3)), rule="capacity", reason=reason),
        Veto(proposal=replace(wish(smallest), because=(fewer,)), rule="capacity", reason=reason),
    )


BIG = Resources(cpus=4.0, gpus=0.5)


@pytest.mark.parametrize(
    ("action", "budget", "nodes", "told"),
    [
        (scale("z", 3), BudgetSettings(), None, ("unknown_target", "there is no deployment 'z/z'", None, None)),
        (scale("c", 3), BudgetSettings(replicas=9, cpus=6.0, gpus=0.9), None, ("budget", "no cpus left for another replica", 2, 2.0)),
        (scale("c", 3), BudgetSettings(), 3.0, ("budget", "no node has room for another replica", 2, 0.0)),
        (SHADOW, BudgetSettings(replicas=9, cpus=6.0, gpus=0.9), None, ("budget", "not enough cpus left", 4.0, 2.0)),
        (SHADOW, BudgetSettings(), 3.0, ("budget", "no node has room for it, although there is enough in all", 1.0, 0.0)),
    ],
    ids=["not there", "too little for a replica", "no node for a replica", "too little", "no node"],
)  # fmt: skip
def test_what_does_not_fit_is_told_beside_what_is_left(
    action: Action, budget: BudgetSettings, nodes: float | None, told: tuple[str, str, float | None, float | None]
) -> None:
    """Of what is scarcest beside what it takes: half of the CPUs are missing, and a fifth of the accelerators."""
    free = None if nodes is None else tuple((f"n{n}", Resources(cpus=nodes, gpus=8.0)) for n in range(8))
    here = observation(
        1.0, served("c", 1, model="m", slot="champion", resources=BIG), model("m"), capacity=replace(ROOM, free_by_node=free)
    )  # fmt: skip
    choice = choose([wish(action)], here, {}, budget, {}, permission=Allows())
    rule, reason, value, threshold = told
    assert choice.chosen == ()
    assert choice.passed_over == (
        Veto(proposal=wish(action), rule=rule, reason=reason, value=value, threshold=pytest.approx(threshold)),
    )


def test_a_training_for_which_no_node_is_large_enough_is_told_as_one_trial() -> None:
    """Two of its trials at a time were wanted, and none has room."""
    nodes = (("n1", Resources(cpus=3.0)), ("n2", Resources(cpus=3.0)))
    room = Capacity(total=Resources(cpus=6.0), free=Resources(cpus=6.0), free_by_node=nodes)
    cost = TrainingCost(trial=Resources(cpus=4.0), trials=2)
    retrain = wish(Retrain(model="m"))
    choice = choose(
        [retrain], observation(1.0, model(), capacity=room), {}, BudgetSettings(), {"m": cost}, permission=Allows()
    )
    fewer = Evidence(name="fewer_trials_at_once", value=2.0, threshold=0.0)
    smallest = replace(retrain, action=replace(retrain.action, concurrent_trials=1), because=(fewer,))
    reason = "no node has room for it, although there is enough in all"
    assert choice.passed_over == (Veto(proposal=smallest, rule="budget", reason=reason, value=1.0, threshold=0.0),)


def test_a_rollout_of_a_model_that_nothing_serves_takes_a_replica_of_no_known_size() -> None:
    """It is one replica all the same."""
    assert done(chosen(SHADOW, here=(A, model("m")), budget=BudgetSettings(replicas=3))) == [SHADOW]
    told = [("budget", "not enough replicas left", 1, 0)]
    assert kept_back(chosen(SHADOW, here=(A, model("m")), budget=BudgetSettings(replicas=2))) == told


def test_back_to_the_count_that_is_there_is_no_scale_down() -> None:
    """It takes the place of one, and goes after the steps of rollouts as any scale-up."""
    canary = model("q", candidates=(version("2"),), rollout=rollout("2"))
    choice = chosen(scale("a", 2), CANARY2, here=(A, canary), flight=[order(scale("a", 1))])
    assert done(choice) == [CANARY2, scale("a", 2)]


def test_a_training_in_flight_is_charged_by_what_its_model_costs() -> None:
    """Eight of ten CPUs before the world shows it; what nobody priced takes one."""
    here = (served("a", resources=Resources(cpus=1.0)), model("m"))
    cost = TrainingCost(trial=Resources(cpus=4.0), trials=2)
    flight = [order(Retrain(model="m"))]
    priced = chosen(scale("a", 9), here=here, flight=flight, budget=BudgetSettings(cpus=11.0), costs={"m": cost})
    assert done(priced) == [scale("a", 3)]
    assert done(chosen(scale("a", 9), here=here, flight=flight, budget=BudgetSettings(cpus=9.0))) == [scale("a", 8)]


# -- serving before training


@pytest.mark.parametrize(
    ("wish", "budget", "flight", "stops"),
    [
        (scale("a", 4), BudgetSettings(replicas=2), (), True),
        (scale("a", 4), BudgetSettings(replicas=3), (), True),
        (scale("a", 4), BudgetSettings(replicas=4), (), False),
        (scale("a", 1), BudgetSettings(replicas=2), (), False),
        (scale("a", 4), BudgetSettings(replicas=2), (StopTraining(model="m"),), False),
        (scale("a", 4), BudgetSettings(replicas=2), (Retrain(model="m"),), True),
    ],
)
def test_a_training_is_stopped_where_serving_is_short(
    wish: Action, budget: BudgetSettings, flight: tuple[Action, ...], stops: bool
) -> None:
    """Whether it got nothing or too little; once."""
    choice = chosen(wish, here=(A, model("m", training=TRAINS)), budget=budget, flight=[order(each) for each in flight])
    stop = [each for each in choice.chosen if isinstance(each.action, StopTraining)]
    because = (Evidence(name="serving_before_training", note="a/a needs the capacity"),)
    assert stop == ([Proposal(action=StopTraining(model="m"), because=because, policy="arbiter")] if stops else [])


def test_only_one_training_that_runs_is_stopped_and_a_guard_may_keep_it() -> None:
    """The first that runs; the guard is asked after all the others."""
    ended = model("k", training=replace(TRAINS, state=JobState.SUCCEEDED))
    here = (A, ended, model("l"), model("m", training=TRAINS), model("n", training=TRAINS))
    assert done(chosen(scale("a", 4), here=here, budget=BudgetSettings(replicas=3))) == [
        scale("a", 3),
        StopTraining(model="m"),
    ]
    permission = Allows(never=(StopTraining(model="m"),))
    kept = chosen(scale("a", 4), here=here, budget=BudgetSettings(replicas=3), permission=permission)
    assert (done(kept), kept_back(kept)) == ([scale("a", 3)], [("no", "no", None, None)])
    assert permission.asked == [("scale", 0), ("stop_training", 1)]


@pytest.mark.parametrize(
    ("down", "stops"),
    [(0, False), (1, True)],
    ids=["enough is given back", "not enough"],
)
def test_no_training_is_stopped_for_what_serving_gives_back_itself(down: int, stops: bool) -> None:
    """The one that takes waits for the one that gives; a training ends for the rest only."""
    here = (A, served("b", 2, min_replicas=0), model("m", training=TRAINS))
    choice = chosen(scale("b", down), scale("a", 4), here=here, budget=BudgetSettings(replicas=4))
    assert done(choice) == [scale("b", down), *([StopTraining(model="m")] if stops else [])]
    in_flight = chosen(scale("a", 4), here=here, flight=[order(scale("b", down))], budget=BudgetSettings(replicas=4))
    assert done(in_flight) == ([StopTraining(model="m")] if stops else [])
    waits = chosen(
        scale("b", down), scale("a", 4), here=here, budget=BudgetSettings(replicas=4),
        permission=Allows(asks=(scale("b", down),)),
    )  # fmt: skip
    assert StopTraining(model="m") in done(waits), "what a person may still refuse is not given back"


def test_no_training_is_stopped_for_the_rest_of_a_scale_up_that_is_given_back() -> None:
    """One of two replicas fits, and the other is coming: only what is missing counts."""
    here = (A, served("b", 2), model("m", training=TRAINS))
    choice = chosen(scale("b", 1), scale("a", 4), here=here, budget=BudgetSettings(replicas=5))
    assert done(choice) == [scale("b", 1), scale("a", 3)]


@pytest.mark.parametrize("figures", ["of a guard's veto", "of a reason"])
def test_no_training_is_stopped_for_figures_that_are_no_missing_replicas(figures: str) -> None:
    """A guard tells what it counted, and a policy what it measured."""
    here = observation(1.0, A, model("m", training=TRAINS), capacity=ROOM)
    up = replace(wish(scale("a", 4)), because=(Evidence(name="load", value=9.0, threshold=1.0),))
    refuses = Counts() if figures == "of a guard's veto" else Allows()
    choice = choose([up], here, {}, BudgetSettings(replicas=9), {}, permission=refuses)
    veto = Veto(proposal=up, rule="orders_per_minute", reason="no", value=30, threshold=30)
    assert (choice.chosen, choice.passed_over) == (((), (veto,)) if figures == "of a guard's veto" else ((up,), ()))


class Counts(Allows):
    """Objects to everything, with figures."""

    def objection(self, proposal: Proposal, chosen: int) -> Veto | None:
        return Veto(proposal=proposal, rule="orders_per_minute", reason="no", value=30, threshold=30)


# -- standing orders


def test_standing_orders_go_first_whole_or_not_at_all() -> None:
    """An approved one that does not fit is kept back, with what is short; the next one may."""
    big, small = order(scale("a", 7), 1), order(scale("b", 3), 2)
    choice = chosen(scale("c", 9), here=(A, B, served("c")), standing=(big, small), budget=BudgetSettings(replicas=8))
    assert choice.sent == (small,)
    short = Veto(proposal=big.proposal, rule="budget", reason="not enough replicas left", value=5, threshold=2)
    assert choice.kept_back == ((big, short),)
    assert done(choice) == [scale("c", 3)]


def test_approved_orders_count_among_those_of_the_decision_and_resumed_ones_do_not() -> None:
    """The guards have counted what is resumed."""
    resumed, approved = order(scale("a", 3), 1), order(scale("b", 3), 2)
    permission = Allows()
    here = (A, B, served("c"))
    choice = chosen(
        scale("c", 3), here=here, standing=(resumed, approved), flight=(resumed,), permission=permission
    )  # fmt: skip
    assert choice.sent == (resumed, approved)
    assert permission.asked == [("scale", 0), ("scale", 0), ("scale", 1)]
    permission = Allows()
    approved_too = order(scale("d", 3), 3)
    choice = chosen(
        scale("c", 3), here=(*here, served("d")), standing=(approved, approved_too, resumed), flight=(resumed,),
        permission=permission, budget=BudgetSettings(replicas=20),
    )  # fmt: skip
    assert choice.sent == (approved, approved_too, resumed)
    assert permission.asked == [("scale", 0), ("scale", 1), ("scale", 2), ("scale", 2)]


@pytest.mark.parametrize(("passes", "left"), [(True, 5), (False, 9)])
def test_a_resumed_order_that_waits_is_charged_and_one_that_ends_is_not(passes: bool, left: int) -> None:
    """It may have been done."""
    resumed = order(scale("a", 6), 1)
    permission = Allows(passing=(resumed.action,)) if passes else Allows(never=(resumed.action,))
    choice = chosen(
        scale("b", 9), here=(A, B), standing=(resumed,), flight=(resumed,), permission=permission,
        budget=BudgetSettings(replicas=11),
    )  # fmt: skip
    assert (choice.sent, [each.number for each, _ in choice.kept_back]) == ((), [1])
    assert done(choice) == [scale("b", left)]


def test_an_approved_order_that_waits_is_not_charged() -> None:
    """Nothing was begun."""
    approved = order(scale("a", 6), 1)
    choice = chosen(
        scale("b", 9), here=(A, B), standing=(approved,), permission=Allows(passing=(approved.action,)),
        budget=BudgetSettings(replicas=11),
    )  # fmt: skip
    assert done(choice) == [scale("b", 9)]


@pytest.mark.parametrize(
    ("to", "budget", "goes"),
    [
        (8, BudgetSettings(replicas=8), True),
        (9, BudgetSettings(replicas=8), False),
        (8, BudgetSettings(cpus=8.0), True),
    ],
)
def test_an_approved_scale_up_is_charged_for_what_it_adds_to_the_order_that_it_replaces(
    to: int, budget: BudgetSettings, goes: bool
) -> None:
    """Two run, five are under way: eight take three more, and what is left for others is what eight leave."""
    under_way, approved = order(scale("a", 5), 1), order(scale("a", to), 2)
    choice = chosen(here=(A,), standing=(approved,), flight=(under_way,), budget=budget)
    assert choice.sent == ((approved,) if goes else ())
    assert [(each.number, veto.rule, veto.value, veto.threshold) for each, veto in choice.kept_back] == (
        [] if goes else [(2, "budget", 4, 3)]
    )
    shared = chosen(
        scale("b", 9), here=(A, B), standing=(approved,), flight=(under_way,), budget=BudgetSettings(replicas=12)
    )  # fmt: skip
    assert (shared.sent, done(shared)) == ((approved,), [scale("b", 12 - to)])


def test_a_scale_up_that_replaces_an_order_on_nodes_without_room_says_how_many_more_were_missing() -> None:
    """Those that the order under way will bring are not missing: the whole of the veto."""
    nodes = (("n1", Resources(cpus=3.0)), ("n2", Resources(cpus=3.0)))
    here = observation(
        1.0,
        served("a", 2, resources=Resources(cpus=2.0)),
        capacity=Capacity(total=Resources(cpus=64.0), free=Resources(cpus=6.0), free_by_node=nodes),
    )
    wish = Proposal(action=scale("a", 7), because=(), policy="p0")
    under_way = {("deployment", "a/a"): order(scale("a", 4))}
    choice = choose([wish], here, under_way, BudgetSettings(replicas=20), {}, permission=Allows())
    reason = "no node has room for another replica"
    assert choice.chosen == ()
    assert choice.passed_over == (Veto(proposal=wish, rule="budget", reason=reason, value=3, threshold=0.0),)


def test_a_standing_order_is_not_sent_beside_what_replaces_it() -> None:
    """A rollback, also one that only asks; more replicas only where they are ordered at once."""
    step, up = order(CANARY, 1), order(scale("a", 3), 2)
    canary = model("m", candidates=(version("2"),), rollout=rollout("2"))
    here = (A, canary)
    back = chosen(BACK, here=here, standing=(step,), flight=(step,))
    assert (back.sent, back.kept_back, done(back)) == ((), (), [BACK])
    asks = chosen(BACK, here=here, standing=(step,), flight=(step,), permission=Allows(asks=(BACK,)))
    assert (asks.sent, done(asks)) == ((), [BACK])
    more = chosen(scale("a", 5), here=here, standing=(up,), flight=(up,))
    assert (more.sent, done(more)) == ((), [scale("a", 5)])
    later = chosen(scale("a", 5), here=here, standing=(up,), flight=(up,), permission=Allows(asks=(scale("a", 5),)))
    assert (later.sent, done(later)) == ((up,), [scale("a", 5)])


def test_no_training_is_stopped_twice() -> None:
    """An approved end of it is one."""
    stop = order(StopTraining(model="m"), 1)
    choice = chosen(
        scale("a", 4), here=(A, model("m", training=TRAINS)), standing=(stop,), budget=BudgetSettings(replicas=2)
    )  # fmt: skip
    assert (choice.sent, done(choice)) == ((stop,), [])
