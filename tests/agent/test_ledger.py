"""What limits a scale-up: the budget, and what is free now, unless the cluster makes room."""

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from agent.assembly import build_core
from agent.ledger import Charge, Ledger, TrainingCost, still_to_come
from agent.order import Order
from agent.settings import BudgetSettings, Settings
from policies.action import Action, Promote, Retrain, Scale, StartRollout
from policies.observation import Capacity, JobState, ReplicaState, Resources, TrainingJob
from policies.testing import deployment, model, observation, replica


def ordered(**budget: object) -> list[Action]:
    """The orders of an agent that wants four replicas where two run and no CPU is free."""
    settings = Settings.model_validate(
        {
            "autonomy": {"default": "act"},
            "budget": budget,
            "policies": [{"use": "static", "replicas": {"*": 4}}],
        }
    )
    full = Capacity(total=Resources(cpus=2.0), free=Resources(cpus=0.0))
    decision = build_core(settings).step(observation(0.0, deployment("m/ModelServer", 2), capacity=full))
    return [order.action for order in decision.orders]


@pytest.mark.parametrize(
    ("budget", "replicas"),
    [({"replicas": 3}, None), ({"replicas": 3, "cluster_makes_room": True}, 3), ({"cluster_makes_room": True}, None)],
)
def test_where_the_cluster_makes_room_only_the_budget_limits(budget, replicas):
    """Nothing is free: no order, or one up to the budget, whose place is on its way; without a budget there is no limit to trust."""
    assert ordered(**budget) == ([] if replicas is None else [Scale(deployment="m/ModelServer", replicas=replicas)])


# -- the ledger itself


def order(action: Action) -> Order:
    return Order(
        number=1, epoch=1, key="1", action=action, because=(), policy="p", issued_at_s=0.0, deadline_s=60.0
    )  # fmt: skip


def ledger(
    *things: Any, budget: BudgetSettings | None = None, orders: Any = (), free: Any = None, **costs: Any
) -> Ledger:
    seen = observation(1.0, *things, capacity=Capacity(free=free))
    return Ledger(seen, budget or BudgetSettings(replicas=10, cpus=20.0, gpus=4.0), map(order, orders), costs)


BIG = Resources(cpus=2.0, gpus=0.5)
TRAINS = TrainingJob(id="j", state=JobState.RUNNING, started_at_s=0.0, resources=Resources(cpus=3.0, gpus=1.0))


@pytest.mark.parametrize(
    ("things", "orders", "left"),
    [
        ((), (), (10, 20.0, 4.0)),
        ((deployment(replicas=2, resources=BIG),), (), (8, 16.0, 3.0)),
        ((deployment(replicas=1, replicas_wanted=3, resources=BIG),), (), (7, 14.0, 2.5)),
        ((model(training=TRAINS),), (), (10, 17.0, 3.0)),
        ((model(training=replace(TRAINS, state=JobState.FAILED)),), (), (10, 20.0, 4.0)),
        ((deployment(replicas=12, resources=BIG),), (), (0, 0.0, 0.0)),
        ((deployment(resources=BIG),), (Scale(deployment="app/model", replicas=5),), (5, 10.0, 1.5)),
        ((deployment(resources=BIG),), (Scale(deployment="app/model", replicas=1),), (8, 16.0, 3.0)),
        ((deployment(resources=BIG),), (Scale(deployment="b/b", replicas=5),), (8, 16.0, 3.0)),
        ((model(),), (Retrain(model="m"),), (10, 12.0, 0.0)),
        ((model(),), (Retrain(model="m", concurrent_trials=1),), (10, 16.0, 2.0)),
        ((model(),), (Retrain(model="n"),), (10, 20.0, 4.0)),
        ((model(training=TRAINS),), (Retrain(model="m"),), (10, 17.0, 3.0)),
        (
            (model(), deployment(resources=BIG, model="m", slot="champion")),
            (StartRollout(model="m", version="2", digest="d"),),
            (7, 14.0, 2.5),
        ),
        (
            (
                deployment(resources=BIG, model="m", slot="champion"),
                deployment("c/c", 1, resources=BIG, model="m", slot="challenger"),
            ),
            (StartRollout(model="m", version="2", digest="d"),),
            (7, 14.0, 2.5),
        ),
        ((deployment(resources=BIG, model="n", slot="champion"),), (StartRollout(model="m", version="2", digest="d"),), (8, 16.0, 3.0)),
        ((), (Promote(model="m", version="2", digest="d"),), (10, 20.0, 4.0)),
    ],
)  # fmt: skip
def test_what_is_left_is_the_budget_less_what_is_wanted_and_on_its_way(
    things: tuple[Any, ...], orders: tuple[Action, ...], left: tuple[float, float, float]
) -> None:
    """Replicas, CPUs, GPUs; never below nothing."""
    cost = TrainingCost(trial=Resources(cpus=4.0, gpus=2.0), trials=2)
    found = ledger(*things, orders=orders, m=cost)
    assert found.left == dict(zip(("replicas", "cpus", "gpus"), left, strict=True))


def test_a_training_that_nobody_priced_takes_one_cpu() -> None:
    """One trial of one CPU."""
    assert ledger(model(), orders=(Retrain(model="m"),)).left == {"replicas": 10, "cpus": 19.0, "gpus": 4.0}


@pytest.mark.parametrize(
    ("budget", "free", "known", "left"),
    [
        (BudgetSettings(), None, False, (inf, inf, inf)),
        (BudgetSettings(replicas=9), None, True, (7, inf, inf)),
        (BudgetSettings(cpus=9.0), None, True, (inf, 7.0, inf)),
        (BudgetSettings(gpus=1.0), None, False, (inf, inf, 1.0)),
        (BudgetSettings(), Resources(cpus=5.0, gpus=2.0), True, (inf, 5.0, 2.0)),
        (BudgetSettings(cpus=9.0), Resources(cpus=5.0, gpus=2.0), True, (inf, 5.0, 2.0)),
        (BudgetSettings(cpus=6.0), Resources(cpus=5.0, gpus=2.0), True, (inf, 4.0, 2.0)),
        (BudgetSettings(cluster_makes_room=True), Resources(cpus=5.0), False, (inf, inf, inf)),
    ],
)
def test_the_smaller_of_budget_and_free_capacity_limits(
    budget: BudgetSettings, free: Any, known: bool, left: tuple[float, float, float]
) -> None:
    """Two replicas of one CPU run."""
    found = ledger(deployment(), budget=budget, free=free)
    assert (found.known, tuple(found.left.values())) == (known, left)


@pytest.mark.parametrize(
    ("each", "wanted", "times"),
    [
        (Charge(replicas=1, cpus=1.0), 3, 3),
        (Charge(replicas=1, cpus=1.0), 30, 10),
        (Charge(replicas=1, cpus=6.0), 30, 3),
        (Charge(replicas=1, cpus=1.0, gpus=4.0), 30, 1),
        (Charge(replicas=1, gpus=4.1), 30, 0),
        (Charge(cpus=0.1), 200, 200),
        (Charge(), 5, 5),
        (Charge(replicas=1), 0, 0),
        (Charge(replicas=1), -3, 0),
    ],
)
def test_as_many_fit_as_the_scarcest_allows(each: Charge, wanted: int, times: int) -> None:
    """And never more than are wanted; a tenth of a CPU is not lost to rounding."""
    assert ledger().fits(each, wanted) == times


def test_what_is_taken_is_gone_and_what_will_be_given_back_is_not_there_yet() -> None:
    """It can be awaited, once."""
    found = ledger(deployment(replicas=9, resources=BIG), orders=(Scale(deployment="app/model", replicas=7),))
    assert found.left == {"replicas": 1, "cpus": 2.0, "gpus": 0.0}
    found.take(Charge(replicas=1, cpus=2.0))
    assert found.fits(Charge(replicas=1), 1) == 0
    assert not found.awaits(Charge(replicas=3))
    assert found.awaits(Charge(replicas=1, cpus=2.0))
    assert found.awaits(Charge(replicas=1, cpus=2.0))
    assert not found.awaits(Charge(replicas=1, cpus=2.0))
    found.give(Charge(replicas=1, cpus=2.0))
    assert not found.awaits(Charge(gpus=1.0))
    assert found.awaits(Charge(replicas=1, cpus=2.0))
    assert found.left == {"replicas": 0, "cpus": 0.0, "gpus": 0.0}


def test_replicas_under_way_are_those_of_the_order_that_a_larger_one_would_replace() -> None:
    """As far as the world does not show them."""
    two = deployment()
    found = ledger(two, orders=(Scale(deployment="app/model", replicas=5),))
    assert (found.under_way(two), found.under_way(deployment("b/b"))) == (3, 0)
    assert ledger(two, orders=(Scale(deployment="app/model", replicas=1),)).under_way(two) == 0


@pytest.mark.parametrize(
    ("first", "second", "takes", "under_way", "left"),
    [(5, 8, 3, 6, 2), (3, 5, 2, 3, 5), (8, 5, 0, 6, 2), (1, 5, 3, 3, 5), (5, 1, 0, 3, 5)],
    ids=["more", "more by two", "fewer", "up instead of down", "down instead of up"],
)
def test_an_order_beside_another_for_the_same_count_takes_what_it_adds(
    first: int, second: int, takes: int, under_way: int, left: int
) -> None:
    """Two of ten run; never less than nothing, and both are known to be under way."""
    two = deployment(resources=BIG)
    orders = tuple(Scale(deployment="app/model", replicas=replicas) for replicas in (first, second))
    found = ledger(two, orders=orders[:1])
    back = Charge.of(BIG, max(0, 2 - second))
    assert found.due(order(orders[1]), observation(1.0, two), {}) == (Charge.of(BIG, takes), back)
    both = ledger(two, orders=orders)
    assert (both.under_way(two), both.left["replicas"]) == (under_way, left)


@pytest.mark.parametrize(
    ("action", "things", "takes", "gives"),
    [
        (Scale(deployment="app/model", replicas=5), (deployment(resources=BIG),), Charge.of(BIG, 3), Charge()),
        (Scale(deployment="app/model", replicas=2), (deployment(resources=BIG),), Charge(), Charge()),
        (Scale(deployment="app/model", replicas=0), (deployment(resources=BIG),), Charge(), Charge.of(BIG, 2)),
        (Scale(deployment="b/b", replicas=5), (deployment(resources=BIG),), Charge(), Charge()),
        (Retrain(model="m"), (model(),), Charge(cpus=2.0, gpus=0.5), Charge()),
        (Retrain(model="m"), (model(training=TRAINS),), Charge(), Charge()),
        (Promote(model="m", version="2", digest="d"), (model(),), Charge(), Charge()),
    ],
    ids=repr,
)
def test_what_is_still_to_come_is_what_the_world_does_not_show(
    action: Action, things: tuple[Any, ...], takes: Charge, gives: Charge
) -> None:
    """It takes or it gives back, never both."""
    costs = {"m": TrainingCost(trial=BIG, trials=1)}
    assert still_to_come(order(action), observation(1.0, *things), costs) == (takes, gives)


def test_what_several_give_back_adds_up() -> None:
    """Two that go make room for one that takes as much as both."""
    found = ledger(deployment(replicas=10))
    for _ in range(2):
        found.give(Charge(replicas=1, cpus=1.0))
    assert found.awaits(Charge(replicas=2, cpus=2.0))
    assert not found.awaits(Charge(replicas=1))


def test_what_is_left_already_need_not_be_given_back() -> None:
    """Nor is anything needed of what is overdrawn, where none of it is taken."""
    found = ledger(deployment(resources=BIG), budget=BudgetSettings(replicas=9, cpus=9.0, gpus=0.5))
    assert found.awaits(Charge(replicas=1, cpus=2.0))
    assert not found.awaits(Charge(gpus=0.1))


def test_a_charge_and_a_cost_multiply() -> None:
    """By replicas, and by trials at a time."""
    assert Charge.of(BIG, 3) == Charge(replicas=3, cpus=6.0, gpus=1.5)
    cost = TrainingCost(trial=BIG, trials=4)
    assert cost.of(Retrain(model="m")) == Charge(cpus=8.0, gpus=2.0)
    assert cost.of(Retrain(model="m", concurrent_trials=3)) == Charge(cpus=6.0, gpus=1.5)


STARTS = {"state": ReplicaState.STARTING}


@pytest.mark.parametrize(
    ("replicas", "wanted", "left"),
    [
        ((replica("r1"), replica("r2")), 2, 4),
        ((replica("r1"), replica("r2"), replica("r3", **STARTS), replica("r4", **STARTS)), 4, 2),
        ((replica("r1"), replica("r2"), replica("r3", node="n1", **STARTS), replica("r4", **STARTS)), 4, 3),
        ((replica("r1"), replica("r2")), 5, 1),
        ((replica("r1"), replica("r2")), 9, 0),
        ((replica("r1"), replica("r2"), replica("r3", state=ReplicaState.STOPPING)), 2, 4),
        ((replica("r1"), replica("r2"), replica("r3", **STARTS)), 2, 4),
    ],
    ids=["all run", "two start", "one has its place", "three are to come", "more than is free", "stops", "not wanted"],
)
def test_what_is_free_is_not_free_for_others_while_replicas_that_are_wanted_have_no_place_yet(
    replicas: Any, wanted: int, left: int
) -> None:
    """The world shows the wish and still shows as free what it will take; a replica that starts on a node has taken its part."""
    here = deployment("a/a", replicas, replicas_wanted=wanted)
    for name in ("cpus", "gpus"):
        found = ledger(
            replace(here, resources=Resources(**{name: 1.0})), free=Resources(**{name: 4.0}), budget=BudgetSettings()
        )
        assert found.fits(Charge.of(Resources(**{name: 1.0}), 1), 9) == left
        assert found.left[name] == left


def test_a_replica_that_has_room_on_no_node_takes_nothing_of_what_is_free() -> None:
    """It waits, and what is smaller may go; one that has room takes it on its node."""
    nodes = (("n1", Resources(cpus=2.0)), ("n2", Resources(cpus=2.0)))
    room = Capacity(free=Resources(cpus=4.0), free_by_node=nodes)
    small = Charge.of(Resources(cpus=1.0), 1)
    for size, left in ((3.0, 4), (2.0, 2)):
        waits = deployment("a/a", (replica("r1", **STARTS),), resources=Resources(cpus=size))
        found = Ledger(observation(1.0, waits, capacity=room), BudgetSettings())
        assert (found.fits(small, 9), found.left["cpus"]) == (left, left)
    both = deployment("a/a", (replica("r1", **STARTS), replica("r2", **STARTS)), resources=Resources(cpus=1.0))
    assert (
        Ledger(observation(1.0, both, capacity=room), BudgetSettings()).fits(Charge.of(Resources(cpus=2.0), 1), 9) == 1
    )


def test_where_the_cluster_makes_room_what_starts_takes_nothing_of_what_is_free() -> None:
    """Nothing that is free is a limit there; nor is anything of a budget taken twice."""
    here = deployment("a/a", (replica("r1", **STARTS), replica("r2", **STARTS)))
    budget = BudgetSettings(replicas=5, cluster_makes_room=True)
    found = ledger(here, free=Resources(cpus=1.0), budget=budget)
    assert (found.fits(Charge.of(Resources(cpus=1.0), 1), 9), found.left["replicas"]) == (3, 3)
    bounded = ledger(here, free=Resources(cpus=9.0), budget=BudgetSettings(cpus=4.0))
    assert bounded.left["cpus"] == 2.0
