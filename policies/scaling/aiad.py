"""Aiad: one more where requests are late, one fewer where they have long not been."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.action import Evidence, Hold, Proposal, Scale
from policies.observation import Deployment, Observation
from policies.parameters import latency, not_negative, positive
from policies.scaling.budget import within
from policies.scaling.lateness import Statistic, lateness, measured_over_s, starting
from policies.scaling.load import clamp
from policies.scaling.streak import Streak


@dataclass(kw_only=True, eq=False)
class Aiad:
    """Additive increase, additive decrease on latency against the SLO, as in INFaaS (Romero et al., USENIX ATC 2021).

    At every tick, for each deployment that an external scaler may scale:

    1. Latency missing or older than `stale_after_s`, or no SLO: hold, and count from anew.
    2. Above the SLO for `up_after_s` in a row: one more replica, unless one is still starting. Then it counts from anew.
    3. At or below the SLO for `down_after_s` in a row: one fewer. Then it counts from anew. See `Streak` for how it counts.
    4. Inside the bounds of the deployment, and `budget` replicas for all together, first come (by name) first served.

    Delays and statistic (the mean) are those with which Faro (EuroSys 2025) compares itself.
    """

    budget: int | None = None
    up_after_s: float = 30.0
    down_after_s: float = 600.0
    statistic: Statistic = "mean"
    slo_latency_s: float | None = None
    """For deployments that have no SLO of their own."""
    stale_after_s: float = 60.0
    _streaks: dict[str, Streak] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        positive(budget=self.budget, stale_after_s=self.stale_after_s)
        latency(slo_latency_s=self.slo_latency_s)
        not_negative(up_after_s=self.up_after_s, down_after_s=self.down_after_s)

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        scalable = [seen.deployments[name] for name in sorted(seen.deployments) if seen.deployments[name].scalable]
        self._streaks = {each.name: self._streaks.get(each.name, Streak()) for each in scalable}
        wishes = (self._one(each, seen.at_s) for each in scalable)
        return within(self.budget, [each for each in wishes if each is not None], seen)

    def _one(self, deployment: Deployment, at_s: float) -> Proposal | None:
        late = lateness(deployment, at_s, self.stale_after_s, self.statistic, self.slo_latency_s)
        streak = self._streaks[deployment.name]
        if isinstance(late, Evidence):
            streak.forget(at_s)
            return Proposal(action=Hold(subject=deployment.name), because=(late,))
        direction = 1 if late > 1.0 else -1
        delay_s = self.up_after_s if direction > 0 else self.down_after_s
        if not streak.lasted(direction, at_s, delay_s, measured_over_s(deployment)) or (
            direction > 0 and starting(deployment)
        ):
            return None
        replicas = clamp(deployment, max(1, deployment.replicas_wanted + direction))
        if replicas == deployment.replicas_wanted:
            return None
        note = f"{self.statistic} latency over SLO, {'above' if direction > 0 else 'at or below'} it all the time"
        why = Evidence(name="lateness", value=late, threshold=1.0, window_s=delay_s, note=note)
        return Proposal(action=Scale(deployment=deployment.name, replicas=replicas), because=(why,))
