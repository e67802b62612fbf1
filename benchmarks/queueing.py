"""Is the simulator exact? Mean wait and 99th percentile of the time in the system of M/M/c, M/D/c and M/G/1 against theory.

python -m benchmarks.queueing [--requests N] [--json FILE]

All cases go through the fast path of a plain queue, those marked "events" through the event kernel. A simulation of n requests has a
standard error, estimated by batch means; a case holds when it is within 1 % (mean) or 2 % (p99) of theory or within three of these.
Where hardly any request waits (64 servers at half load: 4 in 10^7) batches cannot tell, and the error of a mean wait is at least that
of counting the requests that wait.
"""

import argparse
import json
import math
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.queueing_theory import Answer, lognormal_single, markov, steady_service
from simulators.request_waiting import SharedQueue
from simulators.requests import RequestKernel
from simulators.service import Constant, Exponential, Lognormal, Service
from simulators.sketch import FINE, quantiles

SERVERS, LOADS = (1, 4, 16, 64), (0.5, 0.8, 0.95)
SHARE = 0.99
BATCHES = 40
FARO = Lognormal(0.0686, 0.4225, 0.0793)
TOLERANCES = {"mean wait": 0.01, "p99 sojourn": 0.02}


@dataclass(frozen=True, slots=True)
class Case:
    """One queue, and what theory says of it."""

    name: str
    service: Service
    servers: int
    load: float
    theory: Callable[[], Answer]
    events: bool = False

    @property
    def rate_rps(self) -> float:
        return self.load * self.servers / self.service.mean_s


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch of requests showed."""

    requests: int
    wait_sum_s: float
    sketch: np.ndarray

    @property
    def measures(self) -> tuple[float, float]:
        return self.wait_sum_s / self.requests, quantiles(self.sketch, (SHARE,))[0]


class Plain:
    """The fast path."""

    def __init__(self, case: Case, seed: np.random.SeedSequence) -> None:
        self._queue = SharedQueue(service=case.service, servers=case.servers, seed=seed)

    def seen(self, arrivals: np.ndarray) -> tuple[int, float, np.ndarray]:
        self._queue.advance(arrivals)
        return self._queue.served, self._queue.wait_sum_s, self._queue.sketch.copy()


class Events:
    """The event kernel. The sum of waits is the integral of the queue's length."""

    def __init__(self, case: Case, seed: np.random.SeedSequence) -> None:
        self._kernel = RequestKernel(
            service=case.service, routing="shared_queue", max_ongoing_requests=1, seed=seed, bin_s=1e12
        )
        for replica in range(case.servers):
            self._kernel.add_replica(replica)

    def seen(self, arrivals: np.ndarray) -> tuple[int, float, np.ndarray]:
        self._kernel.advance(arrivals, float(np.nextafter(arrivals[-1], np.inf)))
        now = self._kernel.snapshot()
        return now.completed, now.queued_integral, now.sketch.astype(np.int64)


def cases() -> list[Case]:
    listed = [
        Case(f"M/M/{c} load {load}", Exponential(1.0), c, load, lambda c=c, r=load: markov(c, r, SHARE))  # type: ignore[misc]
        for c in SERVERS
        for load in LOADS
    ]
    listed += [
        Case(f"M/D/{c} load {load}", Constant(1.0), c, load, lambda c=c, r=load: steady_service(c, r, SHARE))  # type: ignore[misc]
        for c in SERVERS
        for load in LOADS
    ]
    for load in LOADS:
        listed.append(Case(f"M/G/1 load {load}", FARO, 1, load, lambda r=load: lognormal_single(FARO, r, SHARE)))  # type: ignore[misc]
    chosen = {"M/M/4 load 0.8", "M/D/16 load 0.8", "M/G/1 load 0.8"}
    return listed + [
        Case(f"{each.name}, events", each.service, each.servers, each.load, each.theory, events=True)
        for each in listed
        if each.name in chosen
    ]


def batches(case: Case, requests: int, seed: int) -> list[Batch]:
    """The requests in equal batches, after one more that only fills the queue."""
    arrival_seed, service_seed = np.random.SeedSequence([seed, zlib.crc32(case.name.encode())]).spawn(2)
    random = np.random.default_rng(arrival_seed)
    queue = Events(case, service_seed) if case.events else Plain(case, service_seed)
    size = requests // BATCHES
    before: tuple[int, float, np.ndarray] = (0, 0.0, np.zeros(FINE, np.int64))
    found, at_s = [], 0.0
    for batch in range(BATCHES + 1):
        arrivals = at_s + np.cumsum(random.standard_exponential(size)) / case.rate_rps
        at_s = float(arrivals[-1])
        now = queue.seen(arrivals)
        if batch > 0:
            found.append(Batch(now[0] - before[0], now[1] - before[1], now[2] - before[2]))
        before = now
    return found


def rows(case: Case, requests: int, seed: int) -> list[dict[str, object]]:
    """One row for the mean wait, one for the 99th percentile of the time in the system."""
    begin_s = time.perf_counter()
    parts = batches(case, requests, seed)
    whole = Batch(sum(b.requests for b in parts), sum(b.wait_sum_s for b in parts), sum(b.sketch for b in parts))
    wall_s = time.perf_counter() - begin_s
    spread = np.std([part.measures for part in parts], axis=0, ddof=1) / np.sqrt(len(parts))
    answer = case.theory()
    told = []
    for place, (measure, tolerance) in enumerate(TOLERANCES.items()):
        theory, simulated = (answer.mean_wait_s, answer.sojourn_s)[place], whole.measures[place]
        error, standard_error = abs(simulated - theory) / theory, float(spread[place]) / theory
        if place == 0:
            standard_error = max(standard_error, 1 / math.sqrt(whole.requests * answer.waiting_share))
        told.append(
            {
                "name": f"{case.name}: {measure}",
                "theory": theory,
                "simulated": simulated,
                "error": error,
                "standard_error": standard_error,
                "held": bool(error <= max(tolerance, 3 * standard_error)),
                "requests": whole.requests,
                "wall_s": wall_s,
            }
        )
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.requests < 100 * BATCHES:
        parser.error(f"--requests must be at least {100 * BATCHES}, so that each of {BATCHES} batches means something")
    table = Table(
        "case", "theory s", "simulated s", "error %", "standard error %", "held", title="Queues against theory"
    )
    found = [row for case in cases() for row in rows(case, given.requests, given.seed)]
    for row in found:
        numbers = [f"{row['theory']:.6g}", f"{row['simulated']:.6g}"]
        shares = [f"{100 * float(str(row[name])):.3f}" for name in ("error", "standard_error")]
        table.add_row(str(row["name"]), *numbers, *shares, "yes" if row["held"] else "NO")
    Console().print(table)
    if given.json:
        given.json.write_text(json.dumps({"requests": given.requests, "seed": given.seed, "cases": found}, indent=1))
    return 0 if all(row["held"] for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
