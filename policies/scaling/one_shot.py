"""OneShot: the whole step at once, in proportion to how late requests are."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from policies.action import Evidence, Hold, Proposal, Scale
from policies.observation import Deployment, Observation
from policies.parameters import latency, not_negative, positive, share
from policies.scaling.budget import within
from policies.scaling.lateness import Statistic, lateness, measured_over_s, starting
from policies.scaling.load import clamp
from policies.scaling.streak import Streak


@dataclass(slots=True)
class _Memory:
    streak: Streak = field(default_factory=Streak)
    recommended: list[tuple[float, int]] = field(default_factory=list)
    """(at_s, replicas) of the longer window, oldest first."""


@dataclass(kw_only=True, eq=False)
class OneShot:
    """desired = ceil(replicas * latency / SLO), the formula of the Kubernetes Horizontal Pod Autoscaler with latency as metric.

    At every tick, for each deployment that an external scaler may scale:

    1. Latency missing or older than `stale_after_s`, or no SLO: hold, and forget what was wanted before.
    2. Within `tolerance` (a ratio) of the SLO: what is wanted now.
    3. `rule: sustained` (Faro, EuroSys 2025, "Oneshot"): desired, once the latency has been above the SLO for `up_after_s`
       in a row, or at or below for `down_after_s`; see `Streak` for how it counts.
       `rule: stabilised` (Kubernetes): up to the lowest desired count of the last `up_after_s`, down to the highest of the last
       `down_after_s`; with delays of 0 and 300 that is Kubernetes' default.
    4. No scale-up while replicas start, for the lateness seen is older than they are.
    5. Inside the bounds of the deployment, and `budget` replicas for all together, first come (by name) first served.
    """

    budget: int | None = None
    rule: Literal["sustained", "stabilised"] = "sustained"
    tolerance: float = 0.0
    up_after_s: float = 30.0
    down_after_s: float = 600.0
    statistic: Statistic = "mean"
    slo_latency_s: float | None = None
    """For deployments that have no SLO of their own."""
    stale_after_s: float = 60.0
    _deployments: dict[str, _Memory] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        positive(budget=self.budget, stale_after_s=self.stale_after_s)
        latency(slo_latency_s=self.slo_latency_s)
        share(tolerance=self.tolerance)
        not_negative(up_after_s=self.up_after_s, down_after_s=self.down_after_s)

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        scalable = [seen.deployments[name] for name in sorted(seen.deployments) if seen.deployments[name].scalable]
        self._deployments = {each.name: self._deployments.get(each.name, _Memory()) for each in scalable}
        wishes = (self._one(each, seen.at_s) for each in scalable)
        return within(self.budget, [each for each in wishes if each is not None], seen)

    def _one(self, deployment: Deployment, at_s: float) -> Proposal | None:
        late = lateness(deployment, at_s, self.stale_after_s, self.statistic, self.slo_latency_s)
        if isinstance(late, Evidence):
            self._deployments[deployment.name] = _Memory(streak=Streak(looked_s=at_s))
            return Proposal(action=Hold(subject=deployment.name), because=(late,))
        replicas = clamp(deployment, self._decided(deployment, late, at_s))
        if replicas == deployment.replicas_wanted or (replicas > deployment.replicas_wanted and starting(deployment)):
            return None
        note = f"{self.statistic} latency over SLO with {deployment.replicas_wanted} replicas"
        why = Evidence(name="lateness", value=late, threshold=1.0, note=note)
        return Proposal(action=Scale(deployment=deployment.name, replicas=replicas), because=(why,))

    def _decided(self, deployment: Deployment, late: float, at_s: float) -> int:
        memory, now = self._deployments[deployment.name], deployment.replicas_wanted
        desired = now if abs(late - 1.0) <= self.tolerance else max(1, math.ceil(round(max(1, now) * late, 9)))
        if self.rule == "stabilised":
            return self._stabilised(memory.recommended, now, desired, at_s)
        direction = (late > 1.0 + self.tolerance) - (late <= 1.0 - self.tolerance)
        delay_s = self.up_after_s if direction > 0 else self.down_after_s
        lasted = memory.streak.lasted(direction, at_s, delay_s, measured_over_s(deployment))
        return desired if lasted else now

    def _stabilised(self, recommended: list[tuple[float, int]], now: int, desired: int, at_s: float) -> int:
        if not recommended:
            # What ran before the first look counts as recommended, so that a start takes nothing away.
            recommended.append((at_s, now))
        recommended.append((at_s, desired))
        oldest_s = at_s - max(self.up_after_s, self.down_after_s)
        recommended[:] = [each for each in recommended if each[0] >= oldest_s]
        up = min([count for then_s, count in recommended if then_s >= at_s - self.up_after_s] + [desired])
        down = max(count for then_s, count in recommended if then_s >= at_s - self.down_after_s)
        return up if now < up else min(now, down)
