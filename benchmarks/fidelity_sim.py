"""The simulated side of `benchmarks.fidelity`: the same requests, in the simulator that knows no more than the calibration says."""

import csv
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fidelity_load import Request
from simulators.engine import Priority
from simulators.run import Simulation
from simulators.scenario import Scenario
from simulators.settings import ScenarioSettings

LOOK_S = 0.1
AFTER_S = 90.0
"""So long after the last request everybody has been answered."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One application under one load, which lasts `duration_s`; `deeds` are faults of a scenario."""

    name: str
    requests: Sequence[Request]
    replicas: int
    max_ongoing: int
    duration_s: float
    slo_s: float
    deeds: Sequence[Mapping[str, Any]] = ()
    saturated: bool = False


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one world made of a case. `events` are (moment, running replicas as the controller tells it) whenever that changes."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    throughput_rps: float
    violation_rate: float
    failed: int
    events: Sequence[tuple[float, int]]


def simulated(
    case: Case, calibration: Mapping[str, Any], service: Mapping[str, Any], seeds: Sequence[int]
) -> list[Side]:
    """`case` once for each seed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requests.csv"
        with file.open("w", newline="", encoding="ascii") as text:
            writer = csv.writer(text)
            writer.writerow(["t_s", "prompt_tokens", "output_tokens"])
            writer.writerows([repr(each.due_s), 0, each.tokens] for each in case.requests)
        scenario = Scenario(settings=_settings(case, calibration, service, file), folder=file.parent)
        return [_run(case, scenario, seed) for seed in seeds]


def _settings(case: Case, calibration: Mapping[str, Any], service: Mapping[str, Any], trace: Path) -> ScenarioSettings:
    return ScenarioSettings.model_validate(
        {
            "name": case.name,
            "duration_s": case.duration_s + AFTER_S,
            "cluster": {"nodes": [{"count": 1, "cpus": 16.0}]},
            "lifecycle": calibration["lifecycle"],
            "models": {
                "model": {
                    **calibration["model"],
                    "service": service,
                    "traffic": [{"kind": "trace", "path": str(trace)}],
                    "replicas": case.replicas,
                    "slo_latency_s": case.slo_s,
                    "routing": "power_of_two",
                    "max_ongoing_requests": case.max_ongoing,
                    "concurrency": case.max_ongoing,
                }
            },
            "faults": list(case.deeds),
        }
    )


def _run(case: Case, scenario: Scenario, seed: int) -> Side:
    simulation = Simulation(scenario, seed, checked=False)
    champion = simulation.world.served["model"].champion
    events = [(0.0, case.replicas)]

    def look() -> None:
        # As Serve's controller tells it on the real side: a dead replica runs until it is missed, and then another is begun.
        missed_later = max(0, champion.wanted - len(champion.live))
        if (told := len(champion.running) + missed_later) != events[-1][1]:
            events.append((simulation.engine.now_s, told))

    simulation.engine.every(LOOK_S, "a look at the replicas", look, Priority.END, first_s=LOOK_S)
    counts = _Counts(simulation, case.duration_s)
    found = simulation.run().measures["models"]["model"]
    return Side(
        **{f"p{n}_ms": found[f"p{n}_s"] * 1e3 for n in (50, 95, 99)},
        throughput_rps=counts.completed / case.duration_s,
        violation_rate=counts.late(),
        failed=found["failed"],
        events=events,
    )


class _Counts:
    """How many answers there were when the load ended, and how many were late or bad in all."""

    def __init__(self, simulation: Simulation, at_s: float) -> None:
        self._kernel = simulation.world.served["model"].champion.kernel
        self._catch_up = simulation.world.catch_up
        self.completed = 0
        simulation.engine.at(at_s, "the load ends", self._count, Priority.END)

    def _count(self) -> None:
        self._catch_up()
        self.completed = self._kernel.snapshot().completed

    def late(self) -> float:
        now = self._kernel.snapshot()
        return (now.arrived - now.completed + now.late) / max(1, now.arrived)


def middle(sides: Sequence[Side]) -> Side:
    """The median of each figure over runs or plays; the replicas' moments of the first run with the commonest course of counts."""
    figures = {
        name: float(np.median([getattr(each, name) for each in sides]))
        for name in ("p50_ms", "p95_ms", "p99_ms", "throughput_rps", "violation_rate", "failed")
    }
    courses = [tuple(count for _, count in each.events) for each in sides]
    usual = max(set(courses), key=courses.count)
    alike = [each.events for each, course in zip(sides, courses, strict=True) if course == usual]
    moments = np.median([[at_s for at_s, _ in events] for events in alike], axis=0)
    return Side(
        **{**figures, "failed": round(figures["failed"])}, events=list(zip(moments.tolist(), usual, strict=True))
    )
