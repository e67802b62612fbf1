"""How fast is the simulator, on one core and after compilation?

python -m benchmarks.simulator_speed [--requests N] [--simpy-minutes M] [--json FILE]

The day of the public protocol (`benchmarks.faro_protocol`) at three replicas for each of ten models: with a policy that wants nothing
and no agent; with the whole agent ticking every 10 s and its journal kept; and its first minutes in SimPy (`benchmarks.simpy_model`).
Then a plain shared queue, the memory of 10^8 requests, and the second start of `homeostat sim run` on a small scenario. Each figure is
measured in a process of its own that is bound to one core; figures per CPU second stand beside those per wall second, since others
may use the machine. Needs the recorded counts under HOMEOSTAT_DATA.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import simpy_model
from benchmarks.faro_protocol import TRACE, contenders, missing, scenario
from simulators.request_waiting import SharedQueue
from simulators.run import Simulation
from simulators.scenario import Scenario
from simulators.service import Exponential
from simulators.settings import ScenarioSettings

BUDGET, REPLICAS, SEED = 32, 3, 24
QUEUE_SERVERS, QUEUE_LOAD, QUEUE_BLOCK = 4, 0.8, 1_000_000
MIB = 1024.0
TARGETS = {
    "kernel_requests_per_s": 2e6,
    "agent_requests_per_s": 5e5,
    "queue_requests_per_s": 1e7,
    "simpy_requests_per_s": None,
    "ratio": 100.0,
    "peak_rss_mib": 500.0,
    "warm_start_s": 3.0,
}
AT_MOST = ("peak_rss_mib", "warm_start_s")
SMALL = """\
name: a small scenario
duration_s: 600
cluster: {nodes: [{name: cpu, count: 1, cpus: 8}]}
models:
  shop:
    traffic: [{kind: steady, rate_rps: 20}]
    service: {kind: exponential, mean_s: 0.05}
    slo_latency_s: 0.5
policies: [{use: target_utilization}]
expect: [slo_violation_rate < 0.5]
"""


@dataclass(frozen=True, slots=True)
class Speed:
    """So many requests in so much time, and what the process took at most."""

    requests: int
    wall_s: float
    cpu_s: float
    peak_rss_mib: float

    @property
    def per_wall_s(self) -> float:
        return self.requests / self.wall_s

    @property
    def per_cpu_s(self) -> float:
        return self.requests / self.cpu_s


def timed(work: Callable[[], int]) -> Speed:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    requests = work()
    took_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return Speed(requests, *took_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB)


def day(policy: str | None) -> Speed:
    """The whole day, after some minutes of it that compile what is not compiled."""
    contender = None if policy is None else contenders(BUDGET)[policy]
    given = scenario(contender, BUDGET, replicas=REPLICAS)
    Simulation(given, SEED + 1).engine.run(200.0)
    simulation = Simulation(given, SEED, checked=False)
    return timed(lambda: simulation.run().requests)


def in_simpy(minutes: float) -> Speed:
    """The first minutes of the day: the same arrivals, in SimPy."""
    until_s = 60.0 * minutes
    simulation = Simulation(scenario(None, BUDGET, replicas=REPLICAS), SEED)
    arrivals = [served.spec.source.until(until_s).tolist() for served in simulation.world.served.values()]
    simpy_model.play([each[:100] for each in arrivals], REPLICAS, until_s)
    return timed(lambda: sum(len(job.latencies_s) for job in simpy_model.play(arrivals, REPLICAS, until_s)))


def shared_queue(requests: int) -> Speed:
    """Poisson arrivals, exponential services, drawn on the way."""
    random = np.random.default_rng(SEED)
    queue = SharedQueue(service=Exponential(1.0), servers=QUEUE_SERVERS, seed=np.random.SeedSequence(SEED))

    def pass_through(count: int) -> int:
        at_s = 0.0
        for begin in range(0, count, QUEUE_BLOCK):
            gaps = random.standard_exponential(min(QUEUE_BLOCK, count - begin)) / (QUEUE_SERVERS * QUEUE_LOAD)
            arrivals = at_s + np.cumsum(gaps)
            at_s = float(arrivals[-1])
            queue.advance(arrivals)
        return count

    first = SharedQueue(service=Exponential(1.0), servers=QUEUE_SERVERS, seed=np.random.SeedSequence(SEED))
    first.advance(np.arange(10.0))
    return timed(lambda: pass_through(requests))


def many(requests: int) -> Speed:
    """One model under `requests` requests in a day, without an agent."""
    rate_rps = requests / 86_400.0
    settings = {
        "name": "many requests",
        "duration_s": 86_400.0,
        "cluster": {"nodes": [{"name": "cpu", "count": 1, "cpus": 16}]},
        "models": {
            "busy": {
                "traffic": [{"kind": "steady", "rate_rps": rate_rps}],
                "service": {"kind": "exponential", "mean_s": 8 * 0.8 / rate_rps},
                "replicas": 8,
                "max_queued_requests": 100,
                "slo_latency_s": 0.1,
            }
        },
    }
    simulation = Simulation(Scenario(ScenarioSettings.model_validate(settings), Path(), "many"), SEED, checked=False)
    return timed(lambda: simulation.run().requests)


def warm_start_s() -> float:
    """Seconds of the second start of the command, from start to exit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.scenario.yaml"
        path.write_text(SMALL)
        command = [str(Path(sys.executable).parent / "homeostat"), "sim", "run", str(path)]
        for _ in range(2):
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own command
            took_s = time.perf_counter() - began
    return took_s


def alone(work: Callable[..., Speed], *given: Any) -> Speed:
    """Measured in a fresh process on one core, so that neither memory nor threads of another measurement count."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_on_one_core) as pool:
        return pool.submit(work, *given).result()


def _on_one_core() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000_000, help="requests whose memory is measured")
    parser.add_argument("--simpy-minutes", type=float, default=10.0, help="how much of the day SimPy plays")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if gone := missing(TRACE):
        sys.exit(gone)
    speeds = {
        "kernel": alone(day, None),
        "agent": alone(day, "idle"),
        "queue": alone(shared_queue, 20_000_000),
        "simpy": alone(in_simpy, given.simpy_minutes),
        "many": alone(many, given.requests),
    }
    found = _figures(speeds, warm_start_s())
    _tell(found, speeds)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))
    return 0 if all(_held(name, found[name]) for name in TARGETS) else 1


def _figures(speeds: dict[str, Speed], start_s: float) -> dict[str, Any]:
    rates = {f"{name}_requests_per_s": speed.per_wall_s for name, speed in speeds.items() if name != "many"}
    cpu = {f"{name}_requests_per_cpu_s": speed.per_cpu_s for name, speed in speeds.items()}
    kernel, slow = speeds["kernel"], speeds["simpy"]
    return {
        **rates,
        "ratio": kernel.per_wall_s / slow.per_wall_s,
        "peak_rss_mib": speeds["many"].peak_rss_mib,
        "warm_start_s": start_s,
        **cpu,
        "ratio_of_cpu_s": kernel.per_cpu_s / slow.per_cpu_s,
        "peak_rss_requests": speeds["many"].requests,
    }


def _held(name: str, value: float) -> bool:
    target = TARGETS[name]
    return target is None or (value <= target if name in AT_MOST else value >= target)


def _tell(found: dict[str, Any], speeds: dict[str, Speed]) -> None:
    table = Table(
        "figure", "value", "wanted", "held", "by CPU time", box=box.SIMPLE_HEAD, title="the simulator on one core"
    )
    by_cpu = {f"{name}_requests_per_s": speed.per_cpu_s for name, speed in speeds.items()}
    by_cpu["ratio"] = found["ratio_of_cpu_s"]
    for name, target in TARGETS.items():
        wanted = "" if target is None else f"{'<=' if name in AT_MOST else '>='} {target:,.0f}"
        held = "" if target is None else ("yes" if _held(name, found[name]) else "NO")
        beside = f"{by_cpu[name]:,.0f}" if name in by_cpu else ""
        table.add_row(name, f"{found[name]:,.{2 if name == 'warm_start_s' else 0}f}", wanted, held, beside)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
