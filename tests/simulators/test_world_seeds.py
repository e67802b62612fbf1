"""Same seed, same journal: in whatever process, beside whatever else, however the run is cut. Each cause has a stream of its own."""

from pathlib import Path

import pytest

from simulators.batch import Batch
from simulators.engine import Priority
from simulators.plan import Task
from simulators.run import Result, Simulation
from simulators.scenario import Scenario, parse_scenario

TEXT = """
name: chance everywhere
duration_s: 900
tick_s: 10
cluster:
  nodes:
    - {name: cpu, count: 2, cpus: 8}
    - {name: spot, count: 2, cpus: 4, spot: true, preemptions_per_hour: 6, preemption_notice_s: 60, back_after_s: 120}
lifecycle:
  cold_start: {kind: lognormal, scale_s: 10, shape: 0.5}
  start_failure_p: 0.2
models:
  fraud:
    traffic: [{kind: bursts, rates_rps: [10, 40], stays_s: [60, 30]}]
    service: {kind: lognormal, scale_s: 0.1, shape: 0.5}
    replicas: 3
    max_replicas: 8
    slo_latency_s: 0.5
    learning:
      label_delay_s: 60
      window_rows: 500
      rows_needed: 1000
      trial_s: 20
      changes: [{kind: harmful, at_s: 300, harm: 0.3}]
  search:
    traffic: [{kind: steady, rate_rps: %(search_rps)s}]
    service: {kind: exponential, mean_s: 0.1}
    replicas: 2
    slo_latency_s: 0.5
faults:
  - {kind: replica_crash, at_s: 400, model: fraud}
  - {kind: slow_replica, at_s: 500, for_s: 200, model: fraud, factor: 5}
policies:
  - {use: replace_unhealthy}
  - {use: staged, stage_min_s: 20, min_rows: 100}
  - {use: on_drift, min_rows: 100, settle_s: 60}
  - {use: target_utilization, down_window_s: 60, targets: ["fraud*"]}
"""


def scenario(search_rps: float = 10.0) -> Scenario:
    return parse_scenario(TEXT % {"search_rps": search_rps}, "chance", Path())


def played(seed: int = 1) -> tuple[str, int]:
    """The head of the journal and the number of requests."""
    result = Simulation(scenario(), seed).run()
    return result.journal_sha256, result.requests


def play(search_rps: float = 10.0) -> Result:
    return Simulation(scenario(search_rps), 1).run()


@pytest.fixture(scope="module")
def here() -> tuple[str, int]:
    return played()


def test_the_same_seed_gives_the_same_journal(here):
    """A second run in one process shares nothing with the first."""
    assert played() == here


def test_other_processes_and_how_many_there_are_change_nothing(here):
    """Two seeds by two fresh interpreters, whose hashes of strings are salted anew, against one by one in this one; chance differs."""
    alone = [here[0], played(2)[0]]
    assert alone[0] != alone[1]
    beside = Batch([Task(scenario=scenario(), seed=seed) for seed in (1, 2)], jobs=2).play()
    assert [each.told["journal_sha256"] for each in beside] == alone


def test_how_the_run_is_cut_changes_nothing(here):
    """Requests that are let come up to odd moments between the events, and an engine that is stopped and goes on."""
    simulation = Simulation(scenario(), 1)
    for n in range(1, 180):
        simulation.engine.at(n * 4.7123, "somebody looks", simulation.world.catch_up, Priority.WORLD)
    for until_s in (0.1, 333.33, 334.0, 777.0):
        simulation.engine.run(until_s, simulation.checkers.look)
    result = simulation.run()
    assert (result.journal_sha256, result.requests) == here


def test_whether_the_rules_are_watched_changes_nothing(here):
    """Checkers look and touch nothing."""
    assert Simulation(scenario(), 1, checked=False).run().journal_sha256 == here[0]


def test_another_models_traffic_shifts_no_chance_of_the_rest():
    """What fraud's callers, replicas, labels, faults and nodes draw does not depend on how many search something."""
    calm, busy = play(), play(search_rps=19.0)
    assert calm.journal_sha256 != busy.journal_sha256
    assert calm.minutes["search"] != busy.minutes["search"]
    assert calm.minutes["fraud"] == busy.minutes["fraud"]
    assert calm.measures["models"]["fraud"] == busy.measures["models"]["fraud"]
    assert calm.faults == busy.faults
