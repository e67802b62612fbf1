"""How long a request keeps a replica busy, learned also where replicas are never calm: waiting is explained and taken off.

`policies.scaling.service_time` takes the latency of calm windows as it is, which needs no model of waiting and no calm model either.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.observation import Deployment, Traffic
from policies.parameters import inside_unit, positive
from policies.scaling.service_time import Service

BUSY_MAX = 0.97
"""Above this utilisation a steady state says nothing of the service."""
ANSWERED_MIN = 100
"""Requests that a window must have answered for its throughput to be more than luck."""
BISECTIONS = 30
FULL_S = 90.0
"""What replicas answer while requests wait for them is believed for so long."""
FULL_ANSWERED_MIN = 10


@dataclass(kw_only=True)
class ExplainedService:
    """One deployment's service time from its last `window` windows of traffic, each answered by an unchanged number of replicas.

    1. Latency is service and waiting, and how long one waits follows from rate, replicas and service. So of every window that is
       neither overloaded nor has errors, the service is found that explains its mean latency; the low quantile `floor` of these counts,
       since latency has other causes that only add to it. Ongoing requests over rate stand in for a latency that is missing.
    2. No replica is busy more than all of the time. So the time of all running replicas over the requests that they answered is an
       upper bound, tight while all are late, and the only word where a replica works on several requests at once.
    3. While at least two requests wait for each replica none is idle, so that the same ratio over the last `FULL_S` is what a request takes
       now, also where that is more than it used to be: a slow neighbour, a longer prompt.
    4. The tail where nobody waits is what is left of the measured tail without the wait, the two taken as independent; the
       same quantile of it counts.

    Waiting is that of M/M/c times `variability`, (ca² + cs²) / 2, which is 0.5 for a service that hardly varies. The probability of
    waiting is that of Sakasegawa, "An approximation formula L_q = a p^b / (1 - p)", Annals of the Institute of Statistical Mathematics
    29 (1977).
    """

    window: int = 240
    floor: float = 0.25
    variability: float = 0.5
    quantile: float = 0.99
    _busy_s: deque[float] = field(init=False, repr=False)
    _tail_s: deque[float] = field(init=False, repr=False)
    _bound_s: float = field(default=math.inf, init=False, repr=False)
    _full: deque[tuple[float, float, int]] = field(default_factory=deque, init=False, repr=False)
    """(when, replica-seconds, answered requests) of windows in which requests waited all the time."""
    _measured_s: float = field(default=-math.inf, init=False, repr=False)
    _running: int | None = field(default=None, init=False, repr=False)
    _since_s: float = field(default=-math.inf, init=False, repr=False)
    """Since when that number of replicas runs."""
    _woke_s: float = field(default=-math.inf, init=False, repr=False)
    """When the first of them ran after none did."""

    def __post_init__(self) -> None:
        positive(window=self.window, variability=self.variability)
        inside_unit(floor=self.floor, quantile=self.quantile)
        self._busy_s, self._tail_s = deque(maxlen=self.window), deque(maxlen=self.window)

    def see(self, deployment: Deployment, statistic: str) -> None:
        """Take in new traffic; `statistic` ("p99") names the latency that the SLO is about."""
        seen = deployment.traffic
        if seen is None or seen.measured_at_s <= self._measured_s:
            return
        self._measured_s = seen.measured_at_s
        answered = seen.requests - seen.errors
        running = self._unchanged(deployment, seen)
        while self._full and self._full[0][0] < seen.measured_at_s - FULL_S:
            self._full.popleft()
        if answered <= 0 or seen.window_s <= 0 or not running:
            return
        if answered >= FULL_ANSWERED_MIN and (seen.queued or 0.0) >= 2 * running:
            self._full.append((seen.measured_at_s, running * seen.window_s, answered))
        if answered >= ANSWERED_MIN:
            self._bound_s = min(self._bound_s, running * seen.window_s / answered)
        latency_s = seen.latency_mean_s
        if latency_s is None and seen.ongoing:
            latency_s = seen.ongoing * seen.window_s / answered
        # What was refused looks fast and would make the mean too small; what came before the first replica ran has waited for its start.
        slept = latency_s is not None and seen.measured_at_s - seen.window_s - latency_s < self._woke_s
        if latency_s is not None and not seen.errors and not slept:
            self._explain(latency_s, getattr(seen, f"latency_{statistic}_s", None), answered / seen.window_s, running)

    def _unchanged(self, deployment: Deployment, seen: Traffic) -> int:
        """How many replicas answered all of the window; 0 where that changed within it."""
        running = len(deployment.running)
        if running != self._running:
            first = self._running is None
            self._woke_s = seen.measured_at_s if self._running == 0 else self._woke_s
            self._running, self._since_s = running, -math.inf if first else seen.measured_at_s
        settled = running == deployment.replicas_wanted == len(deployment.replicas)
        return running if settled and seen.measured_at_s - seen.window_s >= self._since_s else 0

    def _explain(self, latency_s: float, tail_s: float | None, rate_rps: float, servers: int) -> None:
        most_s = BUSY_MAX * servers / rate_rps
        if latency_s > most_s and self._wait_s(most_s, rate_rps, servers)[0] + most_s < latency_s:
            return
        low, high = 0.0, min(latency_s, most_s)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            above = middle + self._wait_s(middle, rate_rps, servers)[0] > latency_s
            low, high = (low, middle) if above else (middle, high)
        self._busy_s.append(low)
        if tail_s is not None:
            excess_s = max(0.0, tail_s - low) ** 2 - self._wait_s(low, rate_rps, servers)[1] ** 2
            self._tail_s.append(low + math.sqrt(max(0.0, excess_s)))

    def _wait_s(self, busy_s: float, rate_rps: float, servers: int) -> tuple[float, float]:
        """(mean wait, wait at the quantile)."""
        load = rate_rps * busy_s / servers
        if load <= 0:
            return 0.0, 0.0
        waits = load ** (math.sqrt(2.0 * (servers + 1)) - 1.0)
        conditional_s = self.variability * busy_s / (servers * (1.0 - min(load, BUSY_MAX)))
        return waits * conditional_s, conditional_s * max(0.0, math.log(waits / (1.0 - self.quantile)))

    @property
    def known(self) -> Service | None:
        """What is known so far; None before any traffic."""
        explained, tail = self._low(self._busy_s), self._low(self._tail_s)
        busy_s = min(explained if explained is not None else math.inf, self._bound_s)
        if self._full:
            full_s = sum(each[1] for each in self._full) / sum(each[2] for each in self._full)
            busy_s = max(busy_s, full_s) if math.isfinite(busy_s) else full_s
        if not math.isfinite(busy_s):
            return None
        return Service(busy_s=busy_s, mean_s=busy_s, tail_s=max(busy_s, tail if tail is not None else busy_s))

    def _low(self, values: Iterable[float]) -> float | None:
        found = sorted(values)
        return found[int(self.floor * (len(found) - 1))] if found else None
