"""OneMore: the fast reaction between two decisions of a slow policy."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from policies.action import Evidence, Proposal, Scale
from policies.observation import Deployment
from policies.scaling.lateness import lateness, measured_over_s, starting
from policies.scaling.load import clamp
from policies.scaling.streak import Streak


@dataclass
class OneMore:
    """One more replica where the mean latency has been above the SLO for `late_after_s` in a row and none is starting.

    It counts (see `Streak`) only while none is starting, and from anew after a decision of the policy that it stands in for. What
    is not known is not late; it holds by saying nothing, since the policy around it says why it holds.
    """

    late_after_s: float
    slo_latency_s: float | None
    stale_after_s: float
    _streaks: dict[str, Streak] = field(default_factory=dict)

    def see(self, deployments: Sequence[Deployment], at_s: float) -> list[Proposal]:
        self._streaks = {each.name: self._streaks.get(each.name, Streak()) for each in deployments}
        wishes = (self._one(each, at_s) for each in deployments)
        return [each for each in wishes if each is not None]

    def forget(self, at_s: float) -> None:
        """All has just been decided anew."""
        for each in self._streaks.values():
            each.forget(at_s)

    def _one(self, deployment: Deployment, at_s: float) -> Proposal | None:
        late = lateness(deployment, at_s, self.stale_after_s, "mean", self.slo_latency_s)
        streak = self._streaks[deployment.name]
        if isinstance(late, Evidence) or starting(deployment):
            streak.forget(at_s)
            return None
        if not streak.lasted(int(late > 1.0), at_s, self.late_after_s, measured_over_s(deployment)):
            return None
        replicas = clamp(deployment, deployment.replicas_wanted + 1)
        if replicas <= deployment.replicas_wanted:
            return None
        why = Evidence(
            name="lateness", value=late, threshold=1.0, window_s=self.late_after_s, note="one more, being late"
        )
        return Proposal(action=Scale(deployment=deployment.name, replicas=replicas), because=(why,))
