"""A real Serve keeps the contract that the scripted world keeps."""

import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from agent.testing import WorldChecks
from ray_cluster.testing import Managed, manage, wait_until

pytestmark = pytest.mark.ray
NUMBERS = count()
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

    @pytest.fixture
    def world(self, cluster, tmp_path: Path) -> World:
        managed = manage(f"w{next(NUMBERS)}", cluster.http, cluster.local.dashboard_url, tmp_path)
        made = World(managed, next(EPOCHS))
        wait_until(lambda: len(made.sensor.observe(time.time()).deployments[made.deployment].running) == 2)
        return made
