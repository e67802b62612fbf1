"""A recording as a scenario: near to what it was made of, whole as a file, and honest about what it does not know."""

from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from agent.settings import Settings
from policies.observation import Capacity, Resources
from policies.testing import deployment, observation, replica, traffic
from simulators.quiet import silenced
from simulators.recorded.recording import Recording, read
from simulators.recorded.scenario import Recorded, recorded
from simulators.run import run
from simulators.scenario import Scenario


def of(recording: Recording) -> Recorded:
    return recorded(recording, source="homeostat.db", trace_name="trace.csv.gz")


@pytest.fixture(scope="module")
def again(life: Any, tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """The scenario of the journal of a simulation."""
    return of(read(life.entries)).loaded(tmp_path_factory.mktemp("again"))


def test_simulate_record_simulate_comes_back_to_where_it_began(life: Any, again: Scenario) -> None:
    """Requests to 1 in 100, replica-hours to 10 %, violations to one point, over three seeds of the recording."""
    with silenced():
        found = [run(again, seed=seed).measures for seed in (1, 2, 3)]
    was = life.result.measures
    assert was["slo_violation_rate"] > 0.01
    assert fmean(each["requests"] for each in found) == pytest.approx(was["requests"], rel=0.01)
    assert fmean(each["replica_hours"] for each in found) == pytest.approx(was["replica_hours"], rel=0.1)
    assert fmean(each["slo_violation_rate"] for each in found) == pytest.approx(was["slo_violation_rate"], abs=0.01)


def test_arrivals_come_back_minute_by_minute(life: Any, again: Scenario) -> None:
    """Each minute to a tenth, or to three standard deviations of what chance alone does."""
    with silenced():
        minutes = run(again, seed=1).minutes["shop"]
    pairs = [(a.arrived, b.arrived) for a, b in zip(life.result.minutes["shop"], minutes, strict=True)]
    assert [(a, b) for a, b in pairs if abs(a - b) > max(0.1 * a, 3 * a**0.5)] == []


def test_what_the_simulation_was_made_of_is_found_again(again: Scenario) -> None:
    """Service time to 5 %, cold start to 20 %, bounds, objective, cluster, policy and the crash."""
    settings = again.settings
    shop: Any = settings.models["shop"]
    mean_s = 0.01 + 0.09 * 2.718281828 ** (0.3**2 / 2)
    assert shop.service.scale_s * 2.718281828 ** (shop.service.shape**2 / 2) == pytest.approx(mean_s, rel=0.05)
    assert fmean(shop.lifecycle.cold_start.seconds) == pytest.approx(15.3, rel=0.2)
    assert (shop.replicas, shop.min_replicas, shop.max_replicas, shop.concurrency) == (3, 2, 10, 1)
    assert (shop.slo_latency_s, shop.max_ongoing_requests, shop.cpus) == (0.4, 6, 1.0)
    assert [(node.count, node.cpus) for node in settings.cluster.nodes] == [(2, 8.0)]
    assert (settings.duration_s, settings.tick_s, settings.telemetry.window_s) == (1800.0, 10.0, 30.0)
    assert (settings.budget.replicas, settings.policies[0].use) == (10, "target_utilization")
    assert [(fault.kind, fault.model, round(fault.at_s, -1)) for fault in settings.faults] == [
        ("replica_crash", "shop", 1400.0)
    ]


def poor(**fields: Any) -> Recording:
    """Two looks at a deployment of which little is known."""
    plain: dict[str, Any] = {"traffic": None, "max_replicas": None, "resources": Resources(cpus=0.5)}
    seen = [
        observation(at_s, deployment("app/m", **(plain | {"traffic": traffic(at_s, 50, window_s=10.0)} | fields)))
        for at_s in (10.0, 20.0)
    ]
    return Recording(settings=Settings(tick_s=10.0, name="poor"), seen=seen)


def test_what_is_not_known_stands_at_a_default_and_a_comment_says_so(tmp_path: Path) -> None:
    """It loads all the same, so that a person can fill in the rest."""
    found = of(poor(traffic=traffic(10.0, 50, window_s=10.0, latency_mean_s=None, latency_p50_s=None)))
    parts = [
        "# No latency was measured. This is a guess",
        "# No objective was set.",
        "# max_ongoing_requests was not seen: Serve's default of 5 stands.",
        "# No replica was seen to start: the default of 10 s stands.",
        "# The cluster's capacity was not seen",
        "# Note: queues of app/m were not measured: what was answered stands for what came.",
        "# Note: autonomy was 'suggest'",
    ]
    assert [part for part in parts if part not in found.text] == []
    settings = found.loaded(tmp_path).settings
    assert (settings.models["app"].slo_latency_s, [each.use for each in settings.policies]) == (1.0, ["idle"])


def test_what_others_use_of_a_cluster_is_left_out(tmp_path: Path) -> None:
    """64 CPUs, of which 5 are free and our two replicas take 1: there are 6 for us."""
    seen = [
        replace(each, capacity=Capacity(total=Resources(cpus=64.0), free=Resources(cpus=5.0))) for each in poor().seen
    ]
    settings = of(replace(poor(), seen=seen)).loaded(tmp_path).settings
    assert [(node.count, node.cpus) for node in settings.cluster.nodes] == [(1, 6.0)]


def test_people_models_and_silent_deployments_are_named_as_left_out() -> None:
    """A reader must know what the scenario does not play."""
    silent = deployment("app/quiet", (replica("q"),))
    seen = [replace(each, deployments={**each.deployments, "app/quiet": silent}) for each in poor().seen]
    found = of(replace(poor(), seen=seen, said=[(15.0, {"word": "freeze"}), (16.0, {"word": "start"})]))
    assert "left out, for no traffic of it was seen: app/quiet" in found.notes
    assert any(note.startswith("people said freeze meanwhile") for note in found.notes)
