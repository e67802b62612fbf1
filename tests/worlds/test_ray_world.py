"""A real Serve keeps the contract that the scripted world keeps."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count

import pytest

from agent.testing import WorldChecks
from policies.action import Scale
from ray_cluster.testing import Managed, manage, wait_until

pytestmark = pytest.mark.ray
EPOCHS = count(10, 10)


@dataclass
class World:
    managed: Managed
    first_epoch: int

    @property
    def sensor(self):
        return self.managed.sensor

    @property
    def actuator(self):
        return self.managed.actuator

    @property
    def deployment(self) -> str:
        return self.managed.deployment

    def now(self) -> float:
        return time.time()

    def epoch(self) -> int:
        return self.first_epoch

    def advance(self, seconds: float) -> None:
        """The one world whose time can not be stepped."""
        time.sleep(seconds)


class TestRayWorld(WorldChecks):
    SETTLES_S = 60.0

    @pytest.fixture(scope="class")
    def managed(self, session_cluster, tmp_path_factory) -> Iterator[Managed]:
        folder = tmp_path_factory.mktemp("world")
        with closing(manage("world", session_cluster.http, session_cluster.local.dashboard_url, folder)) as made:
            yield made

    @pytest.fixture
    def world(self, managed: Managed) -> World:
        """Each check begins with an epoch of its own and two running replicas, whatever the one before it left."""
        made = World(managed, next(EPOCHS))
        made.managed.do(Scale(deployment=made.deployment, replicas=2), epoch=made.epoch())
        wait_until(lambda: len(made.sensor.observe(time.time()).deployments[made.deployment].running) == 2)
        return made
