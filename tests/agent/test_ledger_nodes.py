"""What must lie on one node: a replica, a trial, and what is said where none is large enough."""

from dataclasses import replace
from typing import Any

import pytest

from agent.arbiter import choose
from agent.ledger import Charge, Ledger, TrainingCost
from agent.settings import BudgetSettings
from policies.action import Action, Proposal, Retrain, Scale, StartRollout
from policies.observation import Capacity, JobState, Resources, TrainingJob
from policies.testing import deployment, model, observation


def free_on(*nodes: Resources) -> Capacity:
    """Nodes with so much free on each."""
    total = Resources(cpus=64.0, gpus=8.0)
    free = Resources(cpus=sum(node.cpus for node in nodes), gpus=sum(node.gpus for node in nodes))
    return Capacity(total=total, free=free, free_by_node=tuple((f"n{n}", node) for n, node in enumerate(nodes)))


PAIR = free_on(Resources(cpus=8.0, gpus=2.0, memory_bytes=100), Resources(cpus=8.0, gpus=2.0))


@pytest.mark.parametrize(
    ("piece", "fits"),
    [
        (Resources(cpus=1.0, gpus=1.0), 4),
        (Resources(cpus=1.0, gpus=3.0), 0),
        (Resources(cpus=1.0, gpus=3.0, spread=True), 1),
        (Resources(cpus=1.0, memory_bytes=60), 1),
        (Resources(cpus=1.0, custom=(("TPU", 1.0),)), 0),
        (Resources(cpus=5.0), 2),
    ],
)
def test_a_replica_must_fit_on_one_node(piece: Resources, fits: int) -> None:
    """What is free in all may be free in parts that are too small; memory and named resources count there, too."""
    ledger = Ledger(observation(0.0, capacity=PAIR), BudgetSettings())
    assert ledger.fits(Charge.of(piece, 1), 10) == fits
    assert ledger.in_pieces(Charge.of(piece, 1)) == (fits == 0)
    ledger.take(Charge.of(piece, fits))
    assert ledger.fits(Charge.of(piece, 1), 10) == 0


def test_all_trials_at_once_fit_where_each_has_a_node() -> None:
    """Four accelerators on two nodes: two trials of two, or four of one."""
    for gpus, trials in ((2.0, 2), (1.0, 4), (3.0, 0)):
        ledger = Ledger(observation(0.0, capacity=PAIR), BudgetSettings())
        cost = TrainingCost(trial=Resources(cpus=1.0, gpus=gpus), trials=trials or 1)
        assert ledger.fits(cost.of(Retrain(model="m")), 1) == (1 if trials else 0)
        assert ledger.fits(replace(cost, trials=5).of(Retrain(model="m")), 1) == 0


def test_a_cluster_that_makes_room_makes_nodes_too() -> None:
    """Only the budget limits."""
    ledger = Ledger(observation(0.0, capacity=PAIR), BudgetSettings(replicas=9, cluster_makes_room=True))
    assert ledger.fits(Charge.of(Resources(cpus=1.0, gpus=3.0), 1), 10) == 9


def test_room_on_a_node_comes_only_with_something_that_is_given_back() -> None:
    """Enough in all is no room for one that must lie on one node; on which node the rest comes back, nobody knows."""
    large = Charge.of(Resources(cpus=1.0, gpus=3.0), 1)
    ledger = Ledger(observation(0.0, capacity=PAIR), BudgetSettings())
    assert (ledger.in_pieces(large), ledger.awaits(large)) == (True, False)
    ledger.give(Charge(gpus=1.0))
    assert (ledger.awaits(large), ledger.awaits(large)) == (True, False)
    elsewhere = Ledger(observation(0.0, capacity=PAIR), BudgetSettings())
    elsewhere.give(Charge(replicas=1))
    assert not elsewhere.awaits(replace(large, replicas=0))


class Free:
    """Guards that say nothing."""

    def objection(self, proposal: Proposal, chosen: int) -> None:
        return None

    def at_once(self, proposal: Proposal) -> bool:
        return True


def refused(action: Action, *things: Any, cost: TrainingCost | None = None) -> list[tuple[str, float | None]]:
    wish = Proposal(action=action, because=(), policy="p")
    seen = observation(0.0, *things, capacity=PAIR)
    found = choose([wish], seen, {}, BudgetSettings(), {"m": cost or TrainingCost()}, permission=Free())
    stops = [(each.action.kind, None) for each in found.chosen if each.action != action]
    return [(veto.reason, veto.value) for veto in found.passed_over] + stops


def test_a_refusal_says_that_no_node_is_large_enough() -> None:
    """Not that there are too few processors, of which there are plenty; a training that holds a node is stopped for a replica."""
    large = Resources(cpus=1.0, gpus=3.0)
    server = deployment("m/Server", 1, resources=large, model="m", slot="champion")
    busy = model("m", training=TrainingJob(id="j", state=JobState.RUNNING, started_at_s=0.0))
    in_all = "no node has room for it, although there is enough in all"
    scale = Scale(deployment="m/Server", replicas=3)
    assert refused(scale, server, model("m")) == [("no node has room for another replica", 2)]
    assert refused(scale, server, busy) == [("no node has room for another replica", 2), ("stop_training", None)]
    assert refused(Retrain(model="m"), model("m"), cost=TrainingCost(trial=large, trials=2)) == [(in_all, 1.0)]
    assert refused(StartRollout(model="m", version="2", digest="d"), server, model("m")) == [(in_all, 1.0)]
