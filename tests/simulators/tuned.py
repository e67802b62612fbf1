"""A small problem of tuning, and workers that know what a run comes to without playing it."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from simulators.plan import Task
from simulators.tuning_problem import Problem, load

SCENARIO = """\
name: {name}
seed: 5
duration_s: 300
tick_s: 10
cluster: {{nodes: [{{count: 2, cpus: 8}}]}}
models:
  shop:
    traffic: [{{kind: steady, rate_rps: 20}}]
    service: {{kind: exponential, mean_s: 0.05}}
    replicas: 2
    max_replicas: 6
    slo_latency_s: 0.5
"""
SPACE = """\
name: small
policies:
  - {use: target_utilization, target: 0.9, down_window_s: 20}
parameters:
  policies[0].target: {low: 0.2, high: 0.95}
  target_utilization.down_window_s: {low: 10, high: 100, int: true}
scenarios: [tuned.scenario.yaml]
seeds: [1, 2, 3]
hold_out: {scenarios: [held_out.scenario.yaml], seeds: [1, 9]}
objectives:
  - measure: slo_violation_rate
  - measure: replica_hours
trials: 12
sampler: {kind: tpe, seed: 3, startup_trials: 4}
"""


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    """SPACE.yaml, with each `old` in it changed to `new`, and its scenarios."""
    for name in ("tuned", "held_out"):
        (folder / f"{name}.scenario.yaml").write_text(SCENARIO.format(name=name))
    text = SPACE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "SPACE.yaml").write_text(text)
    return folder / "SPACE.yaml"


def problem(folder: Path, *changes: tuple[str, str]) -> Problem:
    return load(written(folder, *changes))


class Died(BaseException):
    """As a kill: nothing in the code hears of it."""


def values_of(task: Task) -> list[float]:
    """A busier fleet is cheaper and later; seeds differ a little."""
    told = task.scenario.settings.policies[0].parameters
    late = told["target"] ** 4 * (1 + 0.1 * task.seed)
    hours = (1.2 - told["target"]) * (1 + told["down_window_s"] / 100) * (1 + 0.01 * task.seed)
    return [late, hours]


class Known:
    """Workers that answer at once by `values_of`, remember what they were asked, and die at the submit number `dies_at`."""

    count = 1

    def __init__(self, *, dies_at: int | None = None, fails: Callable[[Task], bool] = lambda task: False) -> None:
        self.asked: list[tuple[str, int]] = []
        self._dies_at = dies_at
        self._fails = fails

    def submit(self, work: Callable[..., Any], task: Task, measures: tuple[str, ...], folder: str) -> "Future[Any]":
        if len(self.asked) == self._dies_at:
            raise Died
        self.asked.append((task.scenario.name, task.seed))
        future: Future[Any] = Future()
        failed = self._fails(task)
        values = values_of(task)[: len(measures)]
        future.set_result({"values": None if failed else values, "why": "it broke" if failed else None})
        return future

    def close(self) -> None:
        pass
