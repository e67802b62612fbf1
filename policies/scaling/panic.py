"""Panic: the rule of Knative's Pod Autoscaler, with a stable window and a short one that may only add."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.action import Evidence, Hold, Proposal, Scale
from policies.observation import Deployment, Observation
from policies.parameters import at_least, at_most, not_negative, positive
from policies.scaling.awakening import Awakening, at_most_one_each
from policies.scaling.budget import within
from policies.scaling.load import clamp, ongoing


@dataclass(slots=True)
class _Memory:
    """What is remembered of one deployment."""

    samples: list[tuple[float, float]] = field(default_factory=list)
    """(at_s, requests in the system) of the stable window, oldest first."""
    panic_since_s: float | None = None
    """When the threshold was last passed, while it panics."""
    panic_replicas: int = 0
    delayed: list[tuple[float, int]] = field(default_factory=list)
    """(at_s, decided) of the last `scale_down_delay_s`."""
    awakening: Awakening = field(default_factory=Awakening)


@dataclass(frozen=True, slots=True)
class _Wish:
    replicas: int
    stable: float
    panic: float
    panics: bool


@dataclass(kw_only=True, eq=False)
class Panic:
    """Keep `target_ongoing_requests` requests, queued and running, per replica, on average over `stable_window_s`.

    At every tick, for each deployment that an external scaler may scale (`pkg/autoscaler/scaling/autoscaler.go` of Knative
    Serving; its defaults, except the target, which there is 70):

    1. Traffic missing, older than `stale_after_s`, or of a window that reaches back to when no replica ran (see `Awakening`): hold.
    2. wanted = ceil(average of the stable window / target), and the same for the last `panic_window_s`; each at most
       `scale_up_rate_max` times the running replicas, at least the running replicas / `scale_down_rate_max`.
    3. It panics when the panic window wants `panic_threshold` times the running replicas, and until that has not been so for
       a whole stable window. While it panics the count is the highest that either window wanted: it never falls.
    4. It falls to the highest count of the last `scale_down_delay_s` only.
    5. A deployment that is first seen with more than one replica begins in panic, so that a restart takes nothing away.
    6. Inside the bounds of the deployment, and `budget` replicas for all together, first come (by name) first served.
    """

    target_ongoing_requests: float = 0.7
    budget: int | None = None
    stable_window_s: float = 60.0
    panic_window_s: float = 6.0
    panic_threshold: float = 2.0
    scale_up_rate_max: float = 1000.0
    scale_down_rate_max: float = 2.0
    scale_down_delay_s: float = 0.0
    stale_after_s: float = 60.0
    _deployments: dict[str, _Memory] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        positive(target_ongoing_requests=self.target_ongoing_requests, budget=self.budget)
        at_least(0.01, target_ongoing_requests=self.target_ongoing_requests)
        at_most(10_000, target_ongoing_requests=self.target_ongoing_requests)
        positive(stable_window_s=self.stable_window_s, panic_window_s=self.panic_window_s)
        positive(stale_after_s=self.stale_after_s)
        not_negative(scale_down_delay_s=self.scale_down_delay_s)
        for name in ("panic_threshold", "scale_up_rate_max", "scale_down_rate_max"):
            if not getattr(self, name) > 1:
                raise ValueError(f"{name} must be above 1, got {getattr(self, name)}")

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        scalable = [seen.deployments[name] for name in sorted(seen.deployments) if seen.deployments[name].scalable]
        self._deployments = {e.name: self._deployments.get(e.name) or self._fresh(e, seen.at_s) for e in scalable}
        wishes = (self._one(each, seen.at_s) for each in scalable)
        return within(self.budget, [each for each in wishes if each is not None], seen)

    def _fresh(self, deployment: Deployment, at_s: float) -> _Memory:
        running = len(deployment.running)
        return _Memory(panic_since_s=at_s, panic_replicas=running) if running > 1 else _Memory()

    def _one(self, deployment: Deployment, at_s: float) -> Proposal | None:
        requests = ongoing(deployment, at_s, self.stale_after_s)
        if isinstance(requests, Evidence):
            return Proposal(action=Hold(subject=deployment.name), because=(requests,))
        memory = self._deployments[deployment.name]
        memory.awakening.see(deployment, at_s)
        clouded = memory.awakening.clouded(deployment)
        if clouded is not None:
            return Proposal(action=Hold(subject=deployment.name), because=(clouded,))
        requests = at_most_one_each(requests, deployment, self.target_ongoing_requests)
        wish = self.decide(len(deployment.running), requests, memory, at_s)
        replicas = clamp(deployment, wish.replicas)
        if replicas == deployment.replicas_wanted:
            return None
        note = "in panic: it only adds" if wish.panics else "stable"
        because = (
            Evidence(name="ongoing", value=wish.stable, window_s=self.stable_window_s, note=note),
            Evidence(name="ongoing", value=wish.panic, window_s=self.panic_window_s),
            Evidence(name="target_ongoing_requests", value=self.target_ongoing_requests),
        )
        return Proposal(action=Scale(deployment=deployment.name, replicas=replicas), because=because)

    def decide(self, running: int, requests: float, memory: _Memory, at_s: float) -> _Wish:
        """How many replicas Knative would want, before the bounds; `memory` is changed."""
        memory.samples = [each for each in memory.samples if each[0] > at_s - self.stable_window_s]
        memory.samples.append((at_s, requests))
        stable, panic = (
            self._average(memory, at_s, self.stable_window_s),
            self._average(memory, at_s, self.panic_window_s),
        )
        ready = max(1, running)
        panics = self._panics(memory, math.ceil(panic / self.target_ongoing_requests) / ready, at_s)
        replicas = self._limited(stable, ready)
        if panics:
            memory.panic_replicas = max(memory.panic_replicas, replicas, self._limited(panic, ready))
            replicas = memory.panic_replicas
        memory.delayed = [each for each in memory.delayed if each[0] >= at_s - self.scale_down_delay_s]
        memory.delayed.append((at_s, replicas))
        return _Wish(max(count for _, count in memory.delayed), stable, panic, panics)

    def _average(self, memory: _Memory, at_s: float, window_s: float) -> float:
        inside = [value for then_s, value in memory.samples if then_s > at_s - window_s]
        return sum(inside) / len(inside)

    def _limited(self, requests: float, ready: int) -> int:
        most, least = math.ceil(self.scale_up_rate_max * ready), math.floor(ready / self.scale_down_rate_max)
        return min(max(math.ceil(requests / self.target_ongoing_requests), least), most)

    def _panics(self, memory: _Memory, ratio: float, at_s: float) -> bool:
        if ratio >= self.panic_threshold:
            memory.panic_since_s = at_s
        elif memory.panic_since_s is not None and memory.panic_since_s + self.stable_window_s < at_s:
            memory.panic_since_s, memory.panic_replicas = None, 0
        return memory.panic_since_s is not None
