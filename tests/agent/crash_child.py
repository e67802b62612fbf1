"""The process that the crash test kills: an agent over a world whose state lives in files, so that it survives the process.

Arguments: journal URL, folder of the world, first moment of the world's clock.
"""

import json
import logging
import os
import sys
from pathlib import Path

import structlog

from agent.assembly import assemble
from agent.journal.life import begin
from agent.journal.store import SqlJournal
from agent.order import Order
from agent.settings import Settings
from agent.testing import RecordingNotifier
from policies.action import Scale
from policies.observation import (
    Capacity,
    Deployment,
    DeploymentStatus,
    Observation,
    Replica,
    ReplicaState,
    Resources,
    Traffic,
)

SETTINGS = Settings.model_validate(
    {
        "autonomy": {"default": "act"},
        "policies": [
            {"use": "target_utilization", "target": 0.5, "up_window_s": 0, "down_window_s": 0, "tolerance": 0.0}
        ],
        "deadlines": {"scale_s": 5},
        "budget": {"orders_per_minute": 100000},
    }
)


class FileWorld:
    """One deployment; its replica count is the last line of `effects.jsonl`, and a key in that file is never done again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "effects.jsonl"
        self._path.touch()

    def effects(self) -> list[dict]:
        lines = self._path.read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def observe(self, at_s: float) -> Observation:
        done = self.effects()
        count = done[-1]["replicas"] if done else 2
        ongoing = 1.0 + (int(at_s) * 7 % 5) * 0.5
        deployment = Deployment(
            name="app/model",
            status=DeploymentStatus.HEALTHY,
            replicas_wanted=count,
            replicas=tuple(Replica(id=f"r{n}", state=ReplicaState.RUNNING) for n in range(count)),
            traffic=Traffic(measured_at_s=at_s, window_s=10.0, requests=100, ongoing=ongoing, latency_mean_s=0.1),
        )
        room = Resources(cpus=64.0)
        return Observation(at_s=at_s, deployments={"app/model": deployment}, capacity=Capacity(total=room, free=room))

    def start(self, order: Order) -> None:
        if any(effect["key"] == order.key for effect in self.effects()):
            return
        assert isinstance(order.action, Scale)
        line = json.dumps({"key": order.key, "epoch": order.epoch, "replicas": order.action.replicas}) + "\n"
        with self._path.open("a") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # stdout is for "ready"
    journal = SqlJournal(sys.argv[1])
    world = FileWorld(Path(sys.argv[2]))
    clock_s = float(sys.argv[3])
    beginning = begin(journal, SETTINGS, clock_s)
    agent = assemble(
        SETTINGS,
        sensor=world,
        actuator=world,
        trainer=world,
        notifier=RecordingNotifier(),
        journal=journal,
        beginning=beginning,
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        clock_s += 1.0
        agent.tick(clock_s)


if __name__ == "__main__":
    main()
