"""Champion and challenger side by side: what each arm did since the rollout began."""

from collections import deque

import numpy as np

from agent.monitoring.moments import Welford
from policies.observation import Arm, Comparison, known

LATENCIES_KEPT = 2000
"""Quantiles are of the newest so many rows of an arm."""


class ArmStatistics:
    """Grows with every row of one version."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.loss = Welford()
        self.latency = Welford()
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)

    def answered(self, latency_s: float | None, *, ok: bool) -> None:
        self.requests += 1
        self.errors += not ok
        if latency_s is not None:
            self.latency.add(latency_s)
            self._latencies.append(latency_s)

    def arm(self) -> Arm:
        p95, p99 = np.quantile(self._latencies, [0.95, 0.99]) if self._latencies else (None, None)
        return Arm(
            requests=self.requests,
            errors=self.errors,
            loss=self.loss.moments(),
            latency=self.latency.moments(),
            latency_p95_s=known(None if p95 is None else float(p95)),
            latency_p99_s=known(None if p99 is None else float(p99)),
        )


class ComparisonStatistics:
    """Both arms, the paired differences of loss on rows that both have answered, and what the challenger knows."""

    def __init__(self) -> None:
        self.paired = Welford()
        self.over_constant = Welford()
        self.covariance = Welford()
        self._predictions = Welford()
        self.next_stage()

    def next_stage(self) -> None:
        """Count the arms anew, since another share is another load; go on with the rows, since a row is a row."""
        self.champion = ArmStatistics()
        self.challenger = ArmStatistics()

    def challenger_knew(
        self, prediction: float, label: float, *, loss: float, constant: float, constant_loss: float
    ) -> None:
        """One labelled row of the challenger, beside a model that says `constant`, the mean of the labels so far, whatever the row."""
        self.over_constant.add(loss - constant_loss)
        if self._predictions.n:
            self.covariance.add((prediction - self._predictions.mean) * (label - constant))
        self._predictions.add(prediction)

    def comparison(self, at_s: float) -> Comparison:
        return Comparison(
            measured_at_s=at_s,
            champion=self.champion.arm(),
            challenger=self.challenger.arm(),
            paired_loss=self.paired.moments(),
            loss_over_constant=self.over_constant.moments(),
            covariance=self.covariance.moments(),
        )
