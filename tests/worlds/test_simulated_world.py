"""The simulated world keeps the contract that the scripted and the real one keep."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.testing import WorldChecks
from simulators.run import Simulation
from simulators.scenario import parse_scenario
from simulators.world import SimulatedWorld

SCENARIO = """
name: a world under traffic
duration_s: 1000
cluster: {nodes: [{count: 2, cpus: 4}]}
lifecycle: {cold_start: {kind: constant, seconds: 3}, stop_s: 1}
models:
  fraud:
    traffic: [{kind: steady, rate_rps: 20}]
    service: {kind: constant, seconds: 0.05}
    replicas: 2
    slo_latency_s: 0.5
"""


HOSTILE = """
faults:
  - {kind: %s, at_s: 0, for_s: 1000}
"""


def simulation(faults: str = "") -> Simulation:
    # Unchecked, since orders of the checks stand in no journal.
    return Simulation(parse_scenario(SCENARIO + faults, "world", Path()), seed=1, checked=False)


@dataclass
class World:
    """Simulated time is stepped by letting the engine run; nobody but the checks gives orders."""

    simulation: Simulation = field(default_factory=simulation)
    deployment: str = "fraud/ModelServer"

    @property
    def sensor(self) -> SimulatedWorld:
        return self.simulation.world

    @property
    def actuator(self) -> SimulatedWorld:
        return self.simulation.world

    def now(self) -> float:
        return self.simulation.engine.now_s

    def epoch(self) -> int:
        return 1

    def advance(self, seconds: float) -> None:
        self.simulation.engine.run(self.now() + seconds)


class TestSimulatedWorld(WorldChecks):
    @pytest.fixture
    def world(self) -> World:
        return World()

    def test_requests_survive_what_the_checks_do(self, world: World) -> None:
        """Up, down and a restart under traffic: every request is answered."""
        self.test_a_scale_is_reached_and_never_goes_below_the_smaller_count(world)
        self.test_a_restart_replaces_the_replica_and_no_other(world)
        world.advance(30.0)
        served = world.simulation.world.served["fraud"]
        served.champion.catch_up()
        seen = served.champion.kernel.snapshot()
        assert (seen.failed, seen.dropped, seen.timed_out) == (0, 0, 0)
        assert seen.arrived == served.offered > 500


@pytest.mark.parametrize(
    "world", ["latency_nan", "gauges_nan", "gauges_stuck", "metrics_silent", "telemetry_nan"], indirect=True
)
class TestSimulatedWorldOfHostileValues(WorldChecks):
    """What is measured may be nothing, no number, or stand still: orders are done all the same, and all that is seen can be written."""

    @pytest.fixture
    def world(self, request: pytest.FixtureRequest) -> World:
        made = World(simulation(HOSTILE % request.param))
        made.advance(5.0)
        return made
