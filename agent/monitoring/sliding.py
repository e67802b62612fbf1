"""Traffic of each replica over a sliding window of time."""

import math
from collections import deque

import numpy as np

from agent.monitoring.rows import Answered
from policies.observation import Traffic, known

REQUESTS_KEPT = 100_000
"""Of one replica at most, the newest, where nobody asks for its traffic."""

AHEAD_MAX_S = 30.0
"""What was answered later than so long after now was answered before the clock was set back, or by a machine whose clock is wrong."""


class SlidingTraffic:
    """Keeps the requests of the last `window_s` seconds by replica."""

    def __init__(self, window_s: float = 10.0) -> None:
        self._window_s = window_s
        self._by_replica: dict[str, deque[Answered]] = {}

    def add(self, answered: Answered) -> None:
        self._by_replica.setdefault(answered.replica, deque(maxlen=REQUESTS_KEPT)).append(answered)

    def traffic(self, at_s: float) -> dict[str, Traffic]:
        """What each replica answered in the window that ends at `at_s`; a replica without requests in it is left out."""
        found = {}
        for replica, answers in list(self._by_replica.items()):
            while answers and not self._counts(answers[0], at_s):
                answers.popleft()
            newest = [each for each in answers if self._counts(each, at_s)]
            if newest:
                found[replica] = self._of(newest, at_s)
            else:
                del self._by_replica[replica]
        return found

    def _counts(self, answered: Answered, at_s: float) -> bool:
        return at_s - self._window_s < answered.at_s <= at_s + AHEAD_MAX_S

    def _of(self, answers: list[Answered], at_s: float) -> Traffic:
        latencies = np.array([answer.latency_s for answer in answers if answer.latency_s is not None])
        # What a request without a known latency took is unknown, and so is how many were in the system.
        whole = len(latencies) == len(answers)
        p50, p95, p99 = np.quantile(latencies, [0.5, 0.95, 0.99]) if len(latencies) else [math.nan] * 3
        return Traffic(
            measured_at_s=at_s,
            window_s=self._window_s,
            requests=len(answers),
            errors=sum(not answer.ok for answer in answers),
            # Little's law: L = (sum of times in the system) / window
            ongoing=known(float(latencies.sum()) / self._window_s) if whole else None,
            latency_mean_s=known(float(latencies.mean())) if len(latencies) else None,
            latency_p50_s=known(float(p50)),
            latency_p95_s=known(float(p95)),
            latency_p99_s=known(float(p99)),
        )
