"""The scripted world keeps the contract that the real one keeps."""

from dataclasses import dataclass, field

import pytest

from agent.testing import ScriptedWorld, WorldChecks


@dataclass
class World:
    scripted: ScriptedWorld = field(default_factory=lambda: ScriptedWorld.with_deployment("app/model", 2))
    deployment: str = "app/model"

    @property
    def sensor(self) -> ScriptedWorld:
        return self.scripted

    @property
    def actuator(self) -> ScriptedWorld:
        return self.scripted

    def now(self) -> float:
        return self.scripted.at_s

    def epoch(self) -> int:
        return 1

    def advance(self, seconds: float) -> None:
        self.scripted.advance(seconds)


class TestScriptedWorld(WorldChecks):
    @pytest.fixture
    def world(self) -> World:
        return World()
