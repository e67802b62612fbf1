"""A run of the simulator, kept as a real run would be: a journal in SQLite."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.journal.record import Entry
from agent.journal.store import SqlJournal
from simulators.quiet import silenced
from simulators.run import Result, Simulation
from simulators.scenario import parse_scenario

SCENARIO = """\
name: a busy half hour
seed: 3
duration_s: 1800
tick_s: 10
cluster: {nodes: [{name: cpu, count: 2, cpus: 8}]}
lifecycle: {cold_start: {kind: lognormal, scale_s: 15, shape: 0.2}, stop_s: 2}
models:
  shop:
    traffic: [{kind: flash_crowd, base_rps: 12, peak_rps: 40, at_s: 600, rise_s: 60, hold_s: 300, fall_s: 200}]
    service: {kind: lognormal, scale_s: 0.09, shape: 0.3, shift_s: 0.01}
    replicas: 3
    min_replicas: 2
    max_replicas: 10
    slo_latency_s: 0.4
    max_ongoing_requests: 6
faults: [{at_s: 1400, kind: replica_crash, model: shop}]
budget: {replicas: 10}
policies: [{use: target_utilization, target: 0.6, up_window_s: 20, down_window_s: 120}]
"""


@dataclass(frozen=True)
class Life:
    """What really happened, as far as a test is concerned, and its journal."""

    result: Result
    journal: Path
    entries: list[Entry]


def lived(text: str, folder: Path) -> tuple[Result, list[Entry]]:
    """A run of the scenario `text`, and all that its agents wrote down."""
    entries: list[Entry] = []
    scenario = parse_scenario(text, "life", folder)
    with silenced():
        result = Simulation(scenario, scenario.settings.seed, tell=entries.append).run()
    return result, entries


@pytest.fixture(scope="session")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    folder = tmp_path_factory.mktemp("life")
    file = folder / "homeostat.db"
    result, entries = lived(SCENARIO, folder)
    kept = SqlJournal(f"sqlite:///{file}")
    kept.append([(each.kind, each.at_s, each.payload) for each in entries])
    kept.close()
    return Life(result=result, journal=file, entries=entries)


@pytest.fixture(scope="session")
def two_lives(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    """The same half hour with an agent that dies in the rise of the crowd and is back after a minute."""
    killed = SCENARIO.replace("faults: [", "faults: [{at_s: 625, kind: agent_killed, for_s: 60}, ")
    return lived(killed, tmp_path_factory.mktemp("two_lives"))[1]
