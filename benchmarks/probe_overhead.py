"""What does the probe cost a request?

python -m benchmarks.probe_overhead [--blocks N] [--json FILE]

One deployment twice on a local Ray, with and without the probe; the time of its one line inside the replica, and the throughput of a
closed loop over HTTP, measured in alternating blocks of one run, since these machines are noisy.
"""

import argparse
import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

CLIENTS = 8
BLOCK_S = 4.0
WARM_S = 2.0
WITH, WITHOUT = "probed", "plain"


def deployments() -> dict[str, Any]:
    """The same do-nothing model, with the one line and without it."""
    from ray import serve  # noqa: PLC0415 - the environment comes first
    from starlette.requests import Request  # noqa: PLC0415

    from ray_cluster.probe import Probe  # noqa: PLC0415

    @serve.deployment(ray_actor_options={"num_cpus": 0.1}, max_ongoing_requests=50)
    class Model:
        def __init__(self, probed: bool) -> None:
            self.probe = Probe("bench") if probed else None
            self.took_s: list[float] = []
            self.served = 0

        async def __call__(self, request: Request) -> dict[str, float]:
            features = await request.json()
            prediction = 0.5
            if self.probe is not None:
                self.served += 1
                began = time.perf_counter()
                self.probe.record(key=str(self.served), features=features, prediction=prediction)
                self.took_s.append(time.perf_counter() - began)
            return {"prediction": prediction}

        def took(self) -> tuple[list[float], int]:
            """Seconds of each call of the probe, and the rows that it dropped."""
            return self.took_s, self.probe.dropped if self.probe is not None else 0

    return {name: serve.run(Model.bind(name == WITH), name=name, route_prefix=f"/{name}") for name in (WITH, WITHOUT)}


async def block(url: str, seconds: float) -> float:
    """Requests per second of CLIENTS callers, each asking again as soon as it is answered."""
    answered = 0
    began = time.perf_counter()

    async def caller(http: httpx.AsyncClient) -> None:
        nonlocal answered
        while time.perf_counter() - began < seconds:
            answer = await http.post(url, json={"a": 1.0, "b": 2.0, "c": 3.0})
            answer.raise_for_status()
            answered += 1

    async with httpx.AsyncClient(timeout=30.0) as http:
        await asyncio.gather(*(caller(http) for _ in range(CLIENTS)))
    return answered / (time.perf_counter() - began)


def measure(http_url: str, blocks: int) -> dict[str, float]:
    """Blocks in the order A B B A, so that a machine that gets slower or faster favours neither."""
    handles = deployments()
    rates: dict[str, list[float]] = {WITH: [], WITHOUT: []}
    for name in rates:
        asyncio.run(block(f"{http_url}/{name}", WARM_S))
    for n in track(range(blocks), "measuring"):
        for name in (WITH, WITHOUT) if n % 2 == 0 else (WITHOUT, WITH):
            rates[name].append(asyncio.run(block(f"{http_url}/{name}", BLOCK_S)))
    took_s, dropped = handles[WITH].took.remote().result(timeout_s=30)
    ratios = np.array(rates[WITH]) / np.array(rates[WITHOUT])
    low, high = np.quantile(np.random.default_rng(0).choice(ratios, (2000, len(ratios))).mean(axis=1), [0.025, 0.975])
    return {
        "added_us_p50": float(np.median(took_s) * 1e6), "added_us_p99": float(np.quantile(took_s, 0.99) * 1e6),
        "throughput_ratio": float(np.median(ratios)), "throughput_ratio_low": float(low),
        "throughput_ratio_high": float(high), "with_rps": float(np.median(rates[WITH])),
        "without_rps": float(np.median(rates[WITHOUT])), "requests": len(took_s), "dropped": dropped,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    from ray_cluster.local import LocalRay  # noqa: PLC0415

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    local = LocalRay.start(num_cpus=4, http_port=port)
    try:
        found = measure(local.http_url, arguments.blocks)
    finally:
        local.stop()
    table = Table("figure", "value", title="what the probe costs a request")
    for name, value in found.items():
        table.add_row(name, f"{value:.3f}" if isinstance(value, float) else str(value))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
