"""What breaks, and how it mends: each kind of fault does what it says, from when it says until when it says."""

from pathlib import Path
from typing import Any, get_args

import pytest

from agent.journal.record import Kind
from policies.observation import Deployment, ReplicaState
from simulators.faults import BEGINNINGS
from simulators.run import Simulation
from simulators.scenario import parse_scenario
from simulators.settings import FaultKind

D = "fraud/ModelServer"
TEXT = """
name: something breaks
duration_s: 2000
tick_s: 10
cluster: {nodes: [{count: 2, cpus: 6}]}
lifecycle: {cold_start: {kind: constant, seconds: 10}}
models:
  fraud:
    traffic: [{kind: steady, rate_rps: 20}]
    service: {kind: constant, seconds: 0.1}
    replicas: 4
    slo_latency_s: 1
    learning: {label_delay_s: 60, trial_s: 10}
policies: [{use: %(use)s}]
faults: [%(faults)s]
"""


def broken(*faults: str, use: str = "idle") -> Simulation:
    made = parse_scenario(TEXT % {"faults": ", ".join(faults), "use": use}, "broken", Path())
    return Simulation(made, 1, checked=False)


def seen(simulation: Simulation, at_s: float) -> Deployment:
    """The deployment as a sensor sees it once the run has come to `at_s`."""
    simulation.engine.run(at_s)
    return simulation.world.observe(at_s).deployments[D]


def completed(simulation: Simulation) -> Any:
    simulation.world.catch_up()
    return simulation.world.served["fraud"].champion.kernel.snapshot()


def test_every_kind_of_the_schema_can_be_played():
    """No kind without a beginning, and none that nobody can write."""
    assert set(BEGINNINGS) == set(get_args(FaultKind))


def test_a_crash_loses_what_the_replica_held_and_the_controller_replaces_it():
    """Three at once, four again ten seconds and a little later; nobody else loses a request."""
    simulation = broken("{kind: replica_crash, at_s: 100}")
    assert len(seen(simulation, 100.5).running) == 3
    assert len(seen(simulation, 112.0).running) == 4
    assert completed(simulation).failed <= 5


def test_a_crash_loop_goes_on_until_it_is_over():
    """Nothing comes up before, and then all does."""
    simulation = broken("{kind: crash_loop, at_s: 100, for_s: 300, replicas: 4}")
    assert len(seen(simulation, 390.0).running) == 0
    assert "failed to start" in seen(simulation, 395.0).message
    assert len(seen(simulation, 415.0).running) == 4


def test_a_slow_replica_is_slow_until_it_is_over():
    """Ten times as slow: beside its peers in the telemetry, and like them afterwards."""
    simulation = broken("{kind: slow_replica, at_s: 100, for_s: 200}")
    during, after = seen(simulation, 200.0), seen(simulation, 400.0)
    slowest_s = [max(r.traffic.latency_mean_s or 0.0 for r in each.running) for each in (during, after)]
    assert slowest_s[0] > 0.9
    assert slowest_s[1] < 0.4


def test_a_hung_replica_is_replaced_once_its_health_check_has_noticed():
    """It answers nothing meanwhile."""
    simulation = broken("{kind: hang, at_s: 100, noticed_after_s: 30}")
    before = {each.id for each in seen(simulation, 99.0).running}
    assert {each.id for each in seen(simulation, 125.0).running} == before
    assert len(before - {each.id for each in seen(simulation, 145.0).running}) == 1


def test_a_lost_node_takes_its_replicas_and_comes_back_empty():
    """Those of the other node stay; the lost ones are placed there as far as there is room."""
    simulation = broken("{kind: node_loss, at_s: 100, for_s: 200, node: node-1}")
    assert {each.node for each in seen(simulation, 99.0).running} == {"node-1"}
    assert {each.node for each in seen(simulation, 120.0).running} == {"node-2"}
    assert simulation.world.cluster.capacity().total.cpus == 6.0
    seen(simulation, 301.0)
    assert simulation.world.cluster.capacity().total.cpus == 12.0


def test_a_preempted_node_is_left_in_time_and_nothing_is_lost():
    """With notice: replicas are somewhere else before it goes."""
    simulation = broken("{kind: spot_preemption, at_s: 100, seconds: 60, for_s: 200, node: node-1}")
    assert {each.node for each in seen(simulation, 125.0).running} == {"node-2"}
    assert simulation.world.cluster.nodes["node-1"].alive
    seen(simulation, 161.0)
    assert not simulation.world.cluster.nodes["node-1"].alive
    seen(simulation, 361.0)
    assert simulation.world.cluster.nodes["node-1"].alive
    assert completed(simulation).failed == 0


def test_a_noisy_neighbour_slows_what_is_on_its_node_and_what_comes_there():
    """The young replica as much as the old ones; all are well when it is over."""
    simulation = broken(
        "{kind: noisy_neighbour, at_s: 100, for_s: 300, factor: 5}",
        "{kind: foreign_scale, at_s: 150, model: fraud, replicas: 5}",
    )
    during, after = seen(simulation, 300.0), seen(simulation, 600.0)
    assert len(during.running) == 5
    assert all((each.traffic.latency_mean_s or 0.0) >= 0.5 for each in during.running)
    assert all((each.traffic.latency_mean_s or 0.0) < 0.3 for each in after.running)


def test_a_network_delay_is_added_to_every_answer_until_it_is_over():
    """Half a second more for the callers."""
    simulation = broken("{kind: network_delay, at_s: 100, for_s: 200, seconds: 0.5}")
    latencies = [seen(simulation, at_s).traffic.latency_p50_s for at_s in (90.0, 250.0, 500.0)]
    assert latencies[1] - latencies[0] == pytest.approx(0.5, abs=0.05)
    assert latencies[2] - latencies[0] == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("kind", ["telemetry_lost", "telemetry_duplicated"])
def test_telemetry_that_stands_still_shows_its_age(kind):
    """The same numbers with the same time, so that whoever reads them can tell that they are old."""
    simulation = broken(f"{{kind: {kind}, at_s: 100, for_s: 200}}", use="target_utilization")
    stamps = [seen(simulation, at_s).traffic.measured_at_s for at_s in (95.0, 200.0, 290.0, 320.0)]
    assert stamps[0] <= stamps[1] == stamps[2] <= 100.0
    assert stamps[3] > 300.0


def test_telemetry_that_is_no_number_is_unknown():
    """None, not NaN, and known again afterwards."""
    simulation = broken("{kind: telemetry_nan, at_s: 100, for_s: 100}")
    unknown, known = seen(simulation, 150.0).traffic, seen(simulation, 250.0).traffic
    assert (unknown.ongoing, unknown.latency_p95_s) == (None, None)
    assert known.latency_p95_s > 0


def test_late_telemetry_is_of_before():
    """A minute late: nothing newer than that is seen."""
    simulation = broken("{kind: telemetry_late, at_s: 100, for_s: 500, seconds: 60}", use="target_utilization")
    assert seen(simulation, 400.0).traffic.measured_at_s <= 340.0


def test_a_probe_without_latencies_still_counts():
    """NaN is what it sends; None is what is seen, and requests are as many as ever."""
    simulation = broken("{kind: latency_nan, at_s: 100, for_s: 100}")
    during, after = seen(simulation, 150.0), seen(simulation, 250.0)
    assert (during.traffic.latency_mean_s, during.traffic.latency_p99_s) == (None, None)
    assert {each.traffic.latency_mean_s for each in during.running} == {None}
    assert during.traffic.requests > 500
    assert during.traffic.ongoing > 0
    assert after.traffic.latency_p99_s > 0


def test_gauges_that_are_no_number_leave_the_rest_known():
    """Queued and ongoing are unknown, latencies and counts are not."""
    simulation = broken("{kind: gauges_nan, at_s: 100, for_s: 100}")
    during, after = seen(simulation, 150.0), seen(simulation, 250.0)
    assert (during.traffic.ongoing, during.traffic.queued) == (None, None)
    assert {each.traffic.ongoing for each in during.running} == {None}
    assert during.traffic.latency_p95_s > 0
    assert after.traffic.ongoing > 0


def test_gauges_that_are_stuck_say_what_they_said_while_all_else_moves():
    """The load doubles meanwhile, and nobody sees it in them until they move again."""
    simulation = broken("{kind: gauges_stuck, at_s: 100, for_s: 300}", use="target_utilization, target: 0.99")
    before = seen(simulation, 99.0).traffic
    stuck = [seen(simulation, at_s).traffic for at_s in (200.0, 300.0, 390.0)]
    assert {each.ongoing for each in stuck} == {simulation.world.telemetry._stuck[D][0].ongoing}
    assert stuck[0].measured_at_s < stuck[1].measured_at_s
    assert before is not None
    assert seen(simulation, 500.0).traffic.ongoing != stuck[0].ongoing


def test_what_runs_on_a_silent_node_is_not_known_and_the_node_is_named():
    """Half of the replicas can not be read, so that their sum is none; those of the other node are known one by one."""
    simulation = broken(
        "{kind: foreign_scale, at_s: 10, model: fraud, replicas: 8}",
        "{kind: metrics_silent, at_s: 100, for_s: 100, node: node-1}",
    )
    during = seen(simulation, 150.0)
    assert during.traffic is None
    assert {each.node: each.traffic is None for each in during.running} == {"node-1": True, "node-2": False}
    problems = simulation.world.observe(150.0).problems
    assert [each for each in problems if "node-1" in each] == ["node-1: its metrics can not be read"]
    assert seen(simulation, 250.0).traffic is not None
    assert simulation.world.observe(250.0).problems == ()


def test_wild_labels_teach_nothing_and_stop_nobody():
    """Each is 1e150: refused at the door, so that what is seen can be written, and the agent goes on to the end."""
    simulation, well = broken("{kind: labels_wild, at_s: 500, for_s: 300}"), broken()
    assert labelled(well, 1500.0) - labelled(simulation, 1500.0) == pytest.approx(6000, rel=0.1)
    simulation.engine.run(2000.0)
    observed = [entry.at_s for entry in simulation.journal.entries() if entry.kind == Kind.OBSERVED]
    assert observed[-1] == 2000.0


def labelled(simulation: Simulation, at_s: float) -> int:
    simulation.engine.run(at_s)
    return simulation.world.observe(at_s).models["fraud"].report.labelled_rows


def test_labels_that_are_away_come_when_it_is_over():
    """They waited."""
    simulation, well = broken("{kind: labels_away, at_s: 500, for_s: 300}"), broken()
    assert labelled(simulation, 490.0) == labelled(simulation, 790.0)
    assert labelled(simulation, 900.0) == labelled(well, 900.0)


def test_labels_that_are_lost_never_come():
    """Five minutes of twenty rows a second are missing for good."""
    simulation, well = broken("{kind: labels_lost, at_s: 500, for_s: 300}"), broken()
    assert labelled(well, 1500.0) - labelled(simulation, 1500.0) == pytest.approx(6000, rel=0.1)


def test_labels_that_are_late_come_later():
    """Two minutes more than the minute that they always take."""
    simulation, well = broken("{kind: labels_late, at_s: 500, for_s: 1000, seconds: 120}"), broken()
    assert labelled(well, 1000.0) - labelled(simulation, 1000.0) == pytest.approx(2400, rel=0.1)
    assert labelled(simulation, 1900.0) == labelled(well, 1900.0)


def test_a_registry_that_is_away_shows_no_champion_and_says_so():
    """Unknown is None, and named."""
    simulation = broken("{kind: registry_away, at_s: 100, for_s: 100}")
    simulation.engine.run(150.0)
    found = simulation.world.observe(150.0)
    assert found.models["fraud"].champion is None
    assert any("registry" in each for each in found.problems)
    simulation.engine.run(250.0)
    assert simulation.world.observe(250.0).models["fraud"].champion is not None


def test_while_the_controller_is_away_nothing_is_started_and_then_all_that_was_wanted():
    """A scale and a crash, both made good afterwards."""
    simulation = broken(
        "{kind: controller_away, at_s: 100, for_s: 200}",
        "{kind: replica_crash, at_s: 150}",
        "{kind: foreign_scale, at_s: 160, model: fraud, replicas: 6}",
    )
    assert [len(seen(simulation, 290.0).running), seen(simulation, 290.0).replicas_wanted] == [3, 6]
    assert len(seen(simulation, 311.0).running) == 6


def test_a_killed_agent_begins_a_new_life_from_its_journal():
    """A higher epoch, and no entry between its death and its next life."""
    simulation = broken("{kind: agent_killed, at_s: 105, for_s: 100}")
    simulation.engine.run(400.0)
    lives = [entry for entry in simulation.journal.kept if entry.kind == Kind.STARTED]
    assert [(entry.at_s, entry.payload["epoch"]) for entry in lives] == [(10.0, 1), (210.0, 2)]


def test_while_the_journal_is_away_nothing_is_written_and_nothing_done():
    """And people are told."""
    simulation = broken("{kind: journal_away, at_s: 105, for_s: 100}", use="target_utilization")
    simulation.engine.run(199.0)
    assert all(entry.at_s < 105.0 for entry in simulation.journal.kept)
    assert any(alert.subject == "journal" for _, alert in simulation.world.alerts)


def ordered_s(simulation: Simulation) -> list[float]:
    return [entry.at_s for entry in simulation.journal.kept if entry.kind == Kind.INTENT]


def test_a_lying_actuator_takes_orders_and_does_nothing():
    """Without a word; it is seen by what does not happen."""
    simulation = broken("{kind: actuator_lies, at_s: 0, for_s: 1000}", use="target_utilization, target: 0.4")
    assert seen(simulation, 950.0).replicas_wanted == 4
    assert ordered_s(simulation)
    assert simulation.world.scaling == []


def test_a_slow_actuator_does_it_late():
    """A hundred seconds after the order."""
    simulation = broken(
        "{kind: actuator_slow, at_s: 0, for_s: 1000, seconds: 100}", use="target_utilization, target: 0.4"
    )
    simulation.engine.run(950.0)
    assert simulation.world.scaling[0][0] == ordered_s(simulation)[0] + 100.0


def test_cold_starts_are_slow_in_a_storm():
    """Six times ten seconds."""
    simulation = broken(
        "{kind: cold_start_storm, at_s: 100, for_s: 300, factor: 6}",
        "{kind: foreign_scale, at_s: 150, model: fraud, replicas: 5}",
    )
    states = {each.state for each in seen(simulation, 205.0).replicas}
    assert states == {ReplicaState.RUNNING, ReplicaState.STARTING}
    assert len(seen(simulation, 211.0).running) == 5


def wanted(simulation: Simulation) -> list[tuple[float, dict[str, Any]]]:
    """What was ordered, and when, to the tenth of a second."""
    simulation.engine.run(2000.0)
    intents = [entry for entry in simulation.journal.kept if entry.kind == Kind.INTENT]
    return [(round(entry.at_s, 1), entry.payload["action"]) for entry in intents]


@pytest.mark.parametrize("kind", ["clock_set_back", "clock_set_forward"])
@pytest.mark.parametrize("use", ["target_utilization, target: 0.3", "replace_unhealthy"])
def test_an_agent_whose_clock_is_set_orders_what_it_would_have_ordered_and_when(kind: str, use: str) -> None:
    """By an hour, while it scales and heals: nothing freezes, goes deaf, or is allowed once more; people are told once each way."""
    breaks = (
        "{kind: slow_replica, at_s: 600, factor: 20}",
        "{kind: foreign_scale, at_s: 900, model: fraud, replicas: 2}",
    )
    untouched = broken(*breaks, use=use)
    clock_set = broken(*breaks, f"{{kind: {kind}, at_s: 615, for_s: 400, seconds: 3600}}", use=use)
    assert wanted(untouched)
    assert wanted(clock_set) == wanted(untouched)
    assert [alert.text.split(" by ")[0] for _, alert in clock_set.world.alerts if alert.subject == "clock"] == [
        f"the clock of the agent's machine was set {way}"
        for way in (("back", "forward") if kind == "clock_set_back" else ("forward", "back"))
    ]
    notes = [entry.payload for entry in clock_set.journal.kept if entry.kind == Kind.NOTE]
    assert [note["note"] for note in notes] == ["first_seen", "clock_step", "clock_step"]
    moments = [entry.at_s for entry in clock_set.journal.kept]
    assert moments == sorted(moments)
