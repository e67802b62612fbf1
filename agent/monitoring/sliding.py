"""Traffic of each replica over a sliding window of time."""

from collections import deque

import numpy as np

from agent.monitoring.rows import Answered
from policies.observation import Traffic


class SlidingTraffic:
    """Keeps the requests of the last `window_s` seconds by replica."""

    def __init__(self, window_s: float = 10.0) -> None:
        self._window_s = window_s
        self._by_replica: dict[str, deque[Answered]] = {}

    def add(self, answered: Answered) -> None:
        self._by_replica.setdefault(answered.replica, deque()).append(answered)

    def traffic(self, at_s: float) -> dict[str, Traffic]:
        """What each replica answered in the window that ends at `at_s`; a replica without requests in it is left out."""
        found = {}
        for replica, answers in list(self._by_replica.items()):
            while answers and answers[0].at_s <= at_s - self._window_s:
                answers.popleft()
            if answers:
                found[replica] = self._of(list(answers), at_s)
            else:
                del self._by_replica[replica]
        return found

    def _of(self, answers: list[Answered], at_s: float) -> Traffic:
        latencies = np.array([answer.latency_s for answer in answers])
        p50, p95, p99 = (float(q) for q in np.quantile(latencies, [0.5, 0.95, 0.99]))
        return Traffic(
            measured_at_s=at_s,
            window_s=self._window_s,
            requests=len(answers),
            errors=sum(not answer.ok for answer in answers),
            ongoing=float(latencies.sum()) / self._window_s,  # Little's law: L = (sum of times in the system) / window
            latency_mean_s=float(latencies.mean()),
            latency_p50_s=p50,
            latency_p95_s=p95,
            latency_p99_s=p99,
        )
