"""The simulated world between its ports: places of trainings, lives of replicas, orders that are refused, requests that are counted."""

from pathlib import Path
from typing import Any

import pytest

from agent.order import Order
from agent.ports import Refused
from policies.action import Action, Retrain, Scale
from policies.observation import JobState, ReplicaState
from simulators.run import Simulation
from simulators.scenario import parse_scenario

D = "fraud/ModelServer"
TEXT = """
name: a small world
duration_s: 1000
cluster:
  nodes: [{count: 2, cpus: 3}]
  quotas: [{models: ["fraud"], cpus: %(quota)s}]
lifecycle: {cold_start: {kind: constant, seconds: 10}, warm_s: %(warm_s)s, warm_start_s: 1}
models:
  fraud:
    traffic: [{kind: steady, rate_rps: 20}]
    service: {kind: constant, seconds: 0.1}
    replicas: 2
    slo_latency_s: 1
    learning: {trial_s: 50, trials: 2}
faults: [%(faults)s]
policies: [{use: idle}]
"""


def world(*faults: str, quota: float = 6, warm_s: float = 0.0, checked: bool = False) -> Simulation:
    text = TEXT % {"quota": quota, "warm_s": warm_s, "faults": ", ".join(faults)}
    return Simulation(parse_scenario(text, "small", Path()), 1, checked=checked)


def give(simulation: Simulation, number: int, action: Action, **fields: Any) -> None:
    at_s = simulation.engine.now_s
    plain: dict[str, Any] = {"epoch": 1, "key": f"key-{number}", "because": (), "policy": "test"}
    order = Order(number=number, action=action, issued_at_s=at_s, deadline_s=at_s + 60, **(plain | fields))
    simulation.world.start(order)


def states(simulation: Simulation, at_s: float) -> list[ReplicaState]:
    simulation.engine.run(at_s)
    return [each.state for each in simulation.world.deployments[D].replicas.values()]


def test_trials_find_a_place_each_on_whatever_node():
    """Two CPUs of the first node serve; one trial fits beside them, the other goes to the second node."""
    simulation = world()
    give(simulation, 1, Retrain(model="fraud"))
    assert simulation.world.training_nodes == {"fraud": ("node-1", "node-2")}
    simulation.engine.run(300.0)
    assert simulation.world.training_nodes == {}
    assert simulation.world.cluster.capacity().free.cpus == 4.0


def test_a_training_that_finds_no_place_for_all_its_trials_takes_none():
    """Under a quota of three CPUs one trial would fit, and two are wanted."""
    simulation = world(quota=3)
    with pytest.raises(Refused, match="no 2 CPUs"):
        give(simulation, 1, Retrain(model="fraud"))
    assert simulation.world.cluster.capacity().free.cpus == 4.0
    give(simulation, 2, Retrain(model="fraud", concurrent_trials=1))
    assert simulation.world.training_nodes == {"fraud": ("node-1",)}


def test_a_lost_node_ends_the_training_that_had_a_trial_on_it():
    """Failed, with the reason, and the place on the other node is free again."""
    simulation = world("{kind: node_loss, at_s: 20, node: node-2}")
    give(simulation, 1, Retrain(model="fraud"))
    simulation.engine.run(21.0)
    job = simulation.world.served["fraud"].model.job
    assert (job.state, job.message) == (JobState.FAILED, "its node node-2 was lost")
    assert simulation.world.cluster.capacity().free.cpus == 1.0


def test_an_order_that_was_refused_may_be_sent_again():
    """Its key counts as done only once it is."""
    simulation = world(quota=2)
    with pytest.raises(Refused):
        give(simulation, 1, Retrain(model="fraud"))
    simulation.world.cluster.quotas = ()
    give(simulation, 1, Retrain(model="fraud"))
    assert simulation.world.served["fraud"].model.job.state is JobState.RUNNING


def test_a_replica_that_a_quota_stands_against_waits_for_its_place():
    """Three of four run; the fourth starts when the quota allows it."""
    simulation = world(quota=3)
    give(simulation, 1, Scale(deployment=D, replicas=4))
    assert sorted(states(simulation, 100.0)) == [*[ReplicaState.RUNNING] * 3, ReplicaState.STARTING]
    simulation.world.cluster.quotas = ()
    assert states(simulation, 120.0) == [ReplicaState.RUNNING] * 4


def test_a_warm_replica_is_back_at_once_and_a_cold_one_is_not():
    """Down and up again within its minute: one second instead of ten."""
    running = []
    for warm_s in (0.0, 60.0):
        simulation = world(warm_s=warm_s)
        give(simulation, 1, Scale(deployment=D, replicas=1))
        simulation.engine.run(20.0)
        give(simulation, 2, Scale(deployment=D, replicas=2))
        running.append(len([each for each in states(simulation, 22.0) if each is ReplicaState.RUNNING]))
    assert running == [1, 2]


def test_a_draining_replica_answers_what_it_holds_and_gets_nothing_new():
    """Nothing is lost when half of the fleet goes under traffic, and every request is counted somewhere."""
    simulation = world()
    simulation.engine.run(100.0)
    give(simulation, 1, Scale(deployment=D, replicas=1))
    assert ReplicaState.STOPPING in states(simulation, 100.0)
    simulation.engine.run(300.0)
    served = simulation.world.served["fraud"]
    served.champion.catch_up()
    counted = served.champion.kernel.snapshot()
    assert (counted.failed, counted.dropped) == (0, 0)
    assert counted.arrived == served.offered


def test_requests_whose_failure_is_heard_of_late_died_with_their_replica_all_the_same():
    """A crash while answers take long on their way: the rules do not hold it against the agent."""
    simulation = world(
        "{kind: network_delay, at_s: 100, for_s: 200, seconds: 3}",
        "{kind: replica_crash, at_s: 150, replicas: 2}",
        checked=True,
    )
    assert simulation.run().measures["failed"] >= 1
