"""Rates and latencies for policies inside Serve's controller: what a replica counts and tells as Serve's custom autoscaling statistics.

Two lines in a deployment of a user's own::

    class Ranker:
        def __init__(self) -> None:
            self.stats = ServeStats()

        async def record_autoscaling_stats(self) -> dict[str, float]:
            return self.stats.read()

        async def __call__(self, request: Request) -> Answer:
            with self.stats.request():
                ...
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ray_cluster.serve_context import ERRORS, LATENCY, QUANTILES, REQUESTS

KEPT = 500
"""Latencies of so many requests make the quantiles."""
WINDOW_S = 30.0
SHARES = {"latency_p50_s": 0.5, "latency_p95_s": 0.95, "latency_p99_s": 0.99}


class ServeStats:
    """Counts the requests of one replica. Threads may share it. A request costs about a microsecond."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._requests = 0
        self._errors = 0
        self._latency_s = 0.0
        self._recent: deque[tuple[float, float]] = deque(maxlen=KEPT)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Around the work on one request; an exception that leaves it is an error, and goes on."""
        began_s = self._clock()
        failed = True
        try:
            yield
            failed = False
        finally:
            now_s = self._clock()
            with self._lock:
                self._requests += 1
                self._errors += failed
                self._latency_s += now_s - began_s
                self._recent.append((now_s, now_s - began_s))

    def read(self) -> dict[str, float]:
        """What `record_autoscaling_stats` returns: counts since the start, and quantiles in seconds where there were requests lately."""
        with self._lock:
            counts = {REQUESTS: float(self._requests), ERRORS: float(self._errors), LATENCY: self._latency_s}
            recent = [latency_s for at_s, latency_s in self._recent if self._clock() - at_s <= WINDOW_S]
        if not recent:
            return counts
        return counts | {QUANTILES[each]: float(np.quantile(recent, share)) for each, share in SHARES.items()}
