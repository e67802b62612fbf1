"""When a place on a node is free again: replicas that move between deployments, as the clock goes."""

import numpy as np
import pytest

from policies.observation import Resources
from simulators.cluster import Cluster, Node
from simulators.deployment import Lifecycle, SimDeployment
from simulators.engine import Engine, Priority
from simulators.requests import RequestKernel
from simulators.service import Constant
from simulators.staging import Drawn

STEP_S = 0.25


class Town:
    """Two deployments on one node of two CPUs: `a` has both places, `b` wants one of them at 10 s."""

    def __init__(self, **steps: object) -> None:
        self.engine = Engine()
        self.cluster = Cluster.of([Node(name="n", cpus=2.0)])
        life = Lifecycle(cold_start=Drawn(Constant(35.0)), **steps)
        self.a, self.b = (self._deployment(name, life) for name in "ab")
        self.a.wanted = 2
        self.a.begin_running()
        self.a.begin_running()

    def _deployment(self, name: str, life: Lifecycle) -> SimDeployment:
        kernel = RequestKernel(service=Constant(1.0), seed=np.random.SeedSequence(1), slo_s=1.0)
        return SimDeployment(
            name=name, kernel=kernel, engine=self.engine, cluster=self.cluster, resources=Resources(cpus=1.0),
            lifecycle=life, stream=np.random.default_rng(1),
        )  # fmt: skip

    def moved_after_s(self) -> float:
        """Seconds from the decision until the replica runs in `b`."""
        found: list[float] = []

        def look() -> None:
            if self.b.running and not found:
                found.append(self.engine.now_s - 10.0)

        def move() -> None:
            self.a.scale(1)
            self.b.scale(1)

        self.engine.at(10.0, "move", move, Priority.TICK)
        self.engine.every(STEP_S, "look", look, Priority.END, first_s=STEP_S)
        self.engine.run(200.0)
        return found[0]


@pytest.mark.parametrize(
    ("steps", "seconds"),
    [
        ({"drains_in_place": False}, 35.0),
        ({"drains_in_place": False, "warm_s": 30.0}, 65.0),
        ({"stop_s": 3.0}, 40.0),
        ({"stop_s": 3.0, "warm_s": 30.0}, 70.0),
    ],
)
def test_a_place_is_free_once_its_replica_has_left_and_nothing_keeps_it_warm(steps, seconds):
    """Looked for every 5 s, then a cold start of 35 s; told to stop, or stopped after draining, and then perhaps 30 s warm."""
    assert Town(**steps).moved_after_s() == pytest.approx(seconds, abs=STEP_S)


def test_its_own_warm_place_is_taken_back_at_once():
    """One fewer, then one more within the 30 s: 3 s instead of a cold start."""
    town = Town(drains_in_place=False, warm_s=30.0, warm_start_s=3.0)
    town.engine.at(10.0, "down", lambda: town.a.scale(1), Priority.TICK)
    town.engine.at(20.0, "up", lambda: town.a.scale(2), Priority.TICK)
    town.engine.run(22.9)
    assert len(town.a.running) == 1
    town.engine.run(23.1)
    assert len(town.a.running) == 2
