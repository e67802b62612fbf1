"""How long is one tick of the whole agent, for 1 to 1,000 models of 10 replicas, and how long is it to be shown one again after a restart?

python -m benchmarks.tick [--json FILE]

Sense from memory, decide with four real policies, write to a journal on SQLite, hand orders to an actuator that records them.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import structlog
from rich.console import Console
from rich.table import Table

from agent.assembly import assemble
from agent.journal.life import begin
from agent.journal.store import SqlJournal
from agent.loop import Agent
from agent.settings import Settings
from agent.testing import RecordingActuator, RecordingNotifier
from policies.observation import Capacity, Observation, Resources
from policies.testing import deployment, model, replica, report, traffic

SIZES = (1, 10, 100, 1000)
TICKS = 20
TICK_S = 10.0
WARM_TICKS = 3
SETTINGS = Settings.model_validate(
    {
        "autonomy": {"default": "act"},
        "budget": {"orders_per_minute": 100_000, "replicas": 100_000},
        "policies": [
            {"use": "replace_unhealthy"},
            {"use": "staged"},
            {"use": "on_drift"},
            {"use": "target_utilization", "up_window_s": 0, "down_window_s": 0},
        ],
    }
)


class Memory:
    """A sensor that has all in memory; every tick one deployment in ten is busier, so that orders are given."""

    def __init__(self, models: int) -> None:
        self._deployments = [
            deployment(
                f"m{n}/ModelServer", tuple(replica(f"m{n}-r{i}") for i in range(10)), max_replicas=20, model=f"m{n}"
            )
            for n in range(models)
        ]
        self._models = {f"m{n}": model(f"m{n}") for n in range(models)}
        self._tick = 0

    def observe(self, at_s: float) -> Observation:
        self._tick += 1
        seen = {}
        for n, each in enumerate(self._deployments):
            busy = (n + self._tick) % 10 == 0
            answered = traffic(at_s, ongoing=9.0 if busy else 7.0)
            one = traffic(at_s, requests=60)
            rows = tuple(replace(r, traffic=one) for r in each.replicas)
            seen[each.name] = replace(each, traffic=answered, replicas=rows)
        told = report(at_s)
        models = {name: replace(each, report=told) for name, each in self._models.items()}
        room = Resources(cpus=1e6)
        return Observation(at_s=at_s, deployments=seen, models=models, capacity=Capacity(total=room, free=room))


def life(journal: SqlJournal, models: int, at_s: float) -> tuple[Agent, RecordingActuator]:
    """A new life of the agent, and what it hands its orders to."""
    recorder = RecordingActuator()
    agent = assemble(
        SETTINGS,
        sensor=Memory(models),
        actuator=recorder,
        trainer=recorder,
        notifier=RecordingNotifier(),
        journal=journal,
        beginning=begin(journal, SETTINGS, at_s),
    )
    return agent, recorder


def measure(models: int) -> dict[str, float]:
    """Milliseconds of a tick, median and 99th percentile, and of one that the next life is shown again, in the mean."""
    with tempfile.TemporaryDirectory() as folder:
        journal = SqlJournal(f"sqlite:///{folder}/journal.db")
        agent, recorder = life(journal, models, 0.0)
        took_ms = []
        for n in range(WARM_TICKS + TICKS):
            began = time.perf_counter()
            agent.tick(TICK_S * (n + 1))
            took_ms.append((time.perf_counter() - began) * 1e3)
        began = time.perf_counter()
        life(journal, models, TICK_S * len(took_ms))
        again_ms = (time.perf_counter() - began) * 1e3 / len(took_ms)
        journal.close()
    p50, p99 = np.quantile(took_ms[WARM_TICKS:], [0.5, 0.99])
    return {
        "n": models, "tick_ms_p50": float(p50), "tick_ms_p99": float(p99), "again_ms": again_ms, "orders": len(recorder.orders)
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rows = [measure(n) for n in SIZES]
    heads = ("models", "replicas", "tick p50, ms", "tick p99, ms", "shown again, ms", "orders")
    table = Table(*heads, title="one tick of the whole agent")
    for row in rows:
        cells = [row["n"], row["n"] * 10, row["tick_ms_p50"], row["tick_ms_p99"], row["again_ms"], row["orders"]]
        table.add_row(*(f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"models": rows}, indent=2))


if __name__ == "__main__":
    main()
