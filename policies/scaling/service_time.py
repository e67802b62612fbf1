"""How long a request keeps a replica busy, learned from traffic. It never uses a constant: before traffic it says nothing."""

import math
from collections import deque
from dataclasses import dataclass, field

from policies.observation import Deployment
from policies.parameters import inside_unit, positive

CALM = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """`busy_s` is what a request takes of a replica's time; `mean_s` and `tail_s` what it takes its caller where nobody waits."""

    busy_s: float
    mean_s: float
    tail_s: float


@dataclass(kw_only=True)
class ServiceTime:
    """One deployment's service time from its last `window` windows of traffic.

    1. Where nobody waits, latency is service. So the low quantile `floor` of mean latencies is the service time, whatever
       the load was at other times; ongoing requests over rate stand in for a latency that is missing (Little's law).
    2. No replica is busy more than all of the time. So the time of all running replicas over the requests they answered is an
       upper bound, tight while all are late. The low quantile `floor` of it is taken as well, and the smaller of the two counts:
       also where a replica works on several requests at once.
    3. The latency at the SLO's quantile where nobody waits is the same quantile of the measured latencies at that quantile.
    """

    window: int = 240
    floor: float = 0.1
    _latency_s: deque[float] = field(init=False, repr=False)
    _bound_s: deque[float] = field(init=False, repr=False)
    _tail_s: deque[float] = field(init=False, repr=False)
    _measured_s: float = field(default=-math.inf, init=False, repr=False)

    def __post_init__(self) -> None:
        positive(window=self.window)
        inside_unit(floor=self.floor)
        self._latency_s, self._bound_s, self._tail_s = (deque(maxlen=self.window) for _ in range(3))

    def see(self, deployment: Deployment, statistic: str) -> None:
        """Take in new traffic; `statistic` ("p99") names the latency that the SLO is about."""
        seen = deployment.traffic
        if seen is None or seen.measured_at_s <= self._measured_s:
            return
        self._measured_s = seen.measured_at_s
        answered = seen.requests - seen.errors
        if answered <= 0 or seen.window_s <= 0:
            return
        settled = len(deployment.running) == deployment.replicas_wanted == len(deployment.replicas)
        if settled and deployment.running:
            self._bound_s.append(len(deployment.running) * seen.window_s / answered)
        if seen.errors:
            # What was refused looks fast and would make the mean too small.
            return
        if seen.latency_mean_s is not None:
            self._latency_s.append(seen.latency_mean_s)
        elif seen.ongoing:
            self._latency_s.append(seen.ongoing * seen.window_s / answered)
        tail = getattr(seen, f"latency_{statistic}_s", None)
        if tail is not None:
            self._tail_s.append(tail)

    @property
    def known(self) -> Service | None:
        """What is known so far; None before any traffic."""
        latency, bound, tail = (self._low(each) for each in (self._latency_s, self._bound_s, self._tail_s))
        both = [each for each in (latency, bound) if each is not None]
        if not both:
            return None
        busy = min(both)
        # A latency of many times what replicas can be busy is one with waiting, however low it is among its kind.
        calm = latency is not None and (bound is None or latency <= CALM * bound)
        mean = latency if latency is not None and calm else busy
        return Service(busy_s=busy, mean_s=mean, tail_s=max(mean, tail) if tail is not None and calm else mean)

    def _low(self, values: deque[float]) -> float | None:
        return sorted(values)[int(self.floor * (len(values) - 1))] if values else None
