"""How long `joint` takes to decide for a whole fleet, on one core.

python -m benchmarks.allocation [--json FILE]

Fleets of 10 to 1,000 models with ten replicas each under one budget, every model with a load of its own that changes. Half a simulated hour
is seen first, so that forecasts, service times and everything else that a decision looks at is there; then decisions are timed.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from policies.observation import Capacity, Deployment, Observation, Resources
from policies.scaling.joint import Joint
from policies.testing import deployment, observation, traffic

MODELS = (10, 30, 100, 300, 1000)
REPLICAS = 10
SERVICE_S = 0.15
WARM_UP_TICKS = 90
DECISIONS = 15
TICK_S = 20.0


def fleet(models: int, tick: int, stream: np.random.Generator, loads: np.ndarray) -> Observation:
    """One look at all models; their loads wander."""
    loads *= np.exp(stream.normal(0.0, 0.02, models))
    np.clip(loads, 0.3, 0.9, out=loads)
    at_s = tick * TICK_S
    capacity = Capacity(total=Resources(cpus=models * REPLICAS * 1.1), free=Resources(cpus=models * REPLICAS * 0.1))
    return observation(at_s, *_deployments(at_s, loads), capacity=capacity)


def _deployments(at_s: float, loads: np.ndarray) -> Iterator[Deployment]:
    for n, load in enumerate(loads.tolist()):
        rate = load * REPLICAS / SERVICE_S
        waits_s = 0.2 * SERVICE_S * load**4
        seen = traffic(
            at_s,
            round(30 * rate),
            window_s=30.0,
            latency_mean_s=SERVICE_S + waits_s,
            latency_p99_s=2 * SERVICE_S + 3 * waits_s,
            queued=load,
            ongoing=rate * (SERVICE_S + waits_s),
        )
        yield deployment(f"model{n:04d}", REPLICAS, slo_latency_s=0.72, traffic=seen)


def measure(models: int) -> dict[str, Any]:
    """One size of fleet."""
    stream = np.random.default_rng(models)
    loads = stream.uniform(0.3, 0.9, models)
    policy = Joint(budget=models * REPLICAS)
    took_ms = []
    for tick in track(range(WARM_UP_TICKS + DECISIONS), f"{models} models", console=Console(stderr=True)):
        seen = fleet(models, tick, stream, loads)
        began = time.perf_counter()
        list(policy.propose(seen))
        took_ms.append((time.perf_counter() - began) * 1000.0)
    decided = took_ms[WARM_UP_TICKS:]
    return {
        "models": models,
        "replicas": models * REPLICAS,
        "decide_ms_p50": float(np.median(decided)),
        "decide_ms_max": float(np.max(decided)),
        "explained": len(policy.explanations),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    sizes = [measure(models) for models in MODELS]
    table = Table(
        "models", "replicas", "decision, median ms", "worst ms", "per model, us", title="one decision of joint"
    )
    for size in sizes:
        each_us = size["decide_ms_p50"] / size["models"] * 1000.0
        ms = (f"{size['decide_ms_p50']:.1f}", f"{size['decide_ms_max']:.1f}", f"{each_us:.0f}")
        table.add_row(str(size["models"]), str(size["replicas"]), *ms)
    Console().print(table)
    if given.json:
        given.json.write_text(json.dumps({"sizes": sizes}, indent=2))


if __name__ == "__main__":
    main()
