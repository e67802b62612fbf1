"""The public protocol for many models under one budget of replicas (Faro, EuroSys 2025), on our simulator.

python -m benchmarks.faro [--policies a,b|all] [--budgets 36,32,16] [--seeds 24,32,40,42,62] [--jobs N] [--json FILE]

Mechanics and published figures are those of the paper's own simulator: ten models, six hours, requests by recorded counts per minute. Needs
the recorded counts under HOMEOSTAT_DATA (traces/01_faro_bench_10jobs_6h_permin.csv.gz of beomyeol/faro).
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from rich.console import Console
from rich.progress import track
from rich.table import Table

from simulators.run import Simulation
from simulators.scenario import Scenario
from simulators.settings import ScenarioSettings

TRACE = "traces/01_faro_bench_10jobs_6h_permin.csv.gz"
JOBS = tuple(f"job{n}" for n in range(10))
BUDGETS = (36, 32, 16)
SEEDS = (24, 32, 40, 42, 62)
SLO_S = 0.72
TOLD_S = 0.18
"""What the published policies are told that a request takes."""
MINUTES = 360
PUBLISHED = {
    "fair_share": {36: (2.08, 0.1629), 32: (2.08, 0.1629), 16: (9.22, 0.9100)},
    "one_shot": {36: (3.87, 0.3217), 32: (4.37, 0.3693), 16: (8.05, 0.7738)},
    "aiad": {36: (1.39, 0.0719), 32: (1.71, 0.0953), 16: (8.15, 0.7781)},
    "mark": {36: (0.64, 0.0350), 32: (1.77, 0.1421), 16: (7.43, 0.6964)},
    "faro_sum": {36: (0.37, 0.0136), 32: (0.91, 0.0514), 16: (6.01, 0.5732)},
    "faro_fair_sum": {36: (0.37, 0.0133), 32: (0.78, 0.0314), 16: (7.85, 0.7453)},
}
"""policy -> budget -> (lost utility, violation rate), means over five seeds of the paper's simulator."""


@dataclass(frozen=True)
class Contender:
    """A policy of the table, as a scenario names it."""

    use: str
    parameters: dict[str, Any]


def contenders(budget: int) -> dict[str, Contender]:
    """Every policy of the table at `budget`, by the name of its row."""
    plain: dict[str, dict[str, Any]] = {
        "idle": {},
        "fair_share": {"budget": budget},
        "aiad": {"budget": budget},
        "one_shot": {"budget": budget},
        "mark": {"budget": budget, "service_s": TOLD_S, "utilization": SLO_S},
        "faro_sum": {"budget": budget, "service_s": TOLD_S},
        "faro_fair_sum": {"budget": budget, "service_s": TOLD_S},
        "joint": {"budget": budget},
    }
    return {name: Contender(name, parameters) for name, parameters in plain.items()}


def scenario(contender: Contender | None, budget: int, jobs: Sequence[str] = JOBS) -> Scenario:
    """The protocol's day. Without a contender nobody decides anything."""
    fair = contender is not None and contender.use == "fair_share"
    settings = {
        "name": f"faro {contender.use if contender else 'alone'} {budget}",
        "duration_s": MINUTES * 60.0,
        "tick_s": 10.0,
        "first_tick_s": 0.0,
        "cluster": {"nodes": [{"name": "cpu", "count": 1, "cpus": budget}]},
        "lifecycle": {
            "cold_start": {"kind": "constant", "seconds": 35.0}, "warm_start_s": 3.0, "warm_s": 30.0, "warm_look_s": 5.0,
            "stop_s": 3.0, "drains_in_place": False, "capacity_retry_s": 5.0,
        },
        "telemetry": {"window_s": 30.0, "mean_latency_counts_lost": True, "by_replica": False},
        "models": {job: _model(job, max(1, budget // len(jobs)) if fair else 1) for job in jobs},
        "budget": {"replicas": budget, "cluster_makes_room": True, "orders_per_minute": 10_000},
        "policies": [{"use": contender.use, **contender.parameters}] if contender else [],
    }  # fmt: skip
    data = Path(os.environ.get("HOMEOSTAT_DATA", "."))
    return Scenario(ScenarioSettings.model_validate(settings), data, "benchmarks/faro.py")


def _model(job: str, replicas: int) -> dict[str, Any]:
    return {
        "traffic": [{"kind": "trace", "path": TRACE, "column": job, "gaps": "exponential_gaps"}],
        "service": {"kind": "lognormal", "shift_s": 0.0793, "scale_s": 0.0686, "shape": 0.4225},
        "router": {"kind": "lognormal", "shift_s": 0.003485, "scale_s": 0.000988, "shape": 0.4808},
        "routing": "round_robin",
        "max_ongoing_requests": 4,
        "max_queued_requests": 50,
        "dispatcher_holds": 1,
        "replicas": replicas,
        "slo_latency_s": SLO_S,
    }  # fmt: skip


def play(policy: str, budget: int, seed: int) -> dict[str, Any]:
    """One day under one policy from one seed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    began = time.perf_counter()
    result = Simulation(scenario(contenders(budget)[policy], budget), seed).run()
    found = result.measures
    return {
        "policy": policy, "budget": budget, "seed": seed, "lost_utility": found["lost_utility"],
        "violation_rate": found["slo_violation_rate"], "dropped": found["dropped"],
        "replicas_mean": found["replicas_mean"], "requests": result.requests, "wall_s": time.perf_counter() - began,
        "journal_sha256": result.journal_sha256,
    }  # fmt: skip


def summary(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each policy and budget, over its seeds."""
    grouped: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        grouped[run["policy"], run["budget"]].append(run)
    rows = []
    for (policy, budget), found in grouped.items():
        published = PUBLISHED.get(policy, {}).get(budget, (None, None))
        mean = {
            name: float(np.mean([run[name] for run in found]))
            for name in ("lost_utility", "violation_rate", "dropped", "replicas_mean", "requests", "wall_s")
        }
        spread = float(np.std([run["lost_utility"] for run in found], ddof=1)) if len(found) > 1 else 0.0
        rows.append(
            {
                "policy": policy, "budget": budget, "seeds": [run["seed"] for run in found], **mean,
                "lost_utility_sd": spread, "published_lost_utility": published[0],
                "published_violation_rate": published[1],
            }
        )  # fmt: skip
    return rows


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", default="fair_share,aiad,one_shot,mark")
    parser.add_argument("--budgets", type=_numbers, default=list(BUDGETS))
    parser.add_argument("--seeds", type=_numbers, default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not (Path(os.environ.get("HOMEOSTAT_DATA", ".")) / TRACE).is_file():
        sys.exit(f"{TRACE} is not under HOMEOSTAT_DATA; it is in the repository beomyeol/faro")
    known = contenders(1)
    names = list(known) if arguments.policies == "all" else arguments.policies.split(",")
    if unknown := [name for name in names if name not in known]:
        parser.error(f"unknown policies {', '.join(unknown)}; expected some of {', '.join(known)}")
    days = [(name, budget, seed) for budget in arguments.budgets for name in names for seed in arguments.seeds]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        work = [pool.submit(partial(play, *day)) for day in days]
        runs = [each.result() for each in track(work, "playing days", console=Console(stderr=True))]
    rows = summary(runs)
    _tell(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows}, indent=2))


def _tell(rows: Sequence[dict[str, Any]]) -> None:
    heads = (
        "policy",
        "budget",
        "lost utility",
        "sd",
        "published",
        "violations",
        "published",
        "dropped",
        "replicas",
        "wall s",
    )
    table = Table(*heads, title="ten models, six hours, one budget of replicas")
    for row in sorted(rows, key=lambda row: (-row["budget"], row["lost_utility"])):
        theirs = [row["published_lost_utility"], row["published_violation_rate"]]
        shown = [f"{each:g}" if each is not None else "" for each in theirs]
        table.add_row(
            row["policy"], str(row["budget"]), f"{row['lost_utility']:.3f}", f"{row['lost_utility_sd']:.3f}", shown[0],
            f"{row['violation_rate']:.4f}", shown[1], f"{row['dropped']:.0f}", f"{row['replicas_mean']:.1f}",
            f"{row['wall_s']:.1f}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
