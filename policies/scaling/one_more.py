"""OneMore: the fast reaction between two decisions of a slow policy."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from policies.action import Evidence, Proposal, Scale
from policies.observation import Deployment
from policies.scaling.lateness import lateness, starting
from policies.scaling.load import clamp
from policies.scaling.queue_length import Delay


@dataclass
class OneMore:
    """One more replica where the mean latency has been above the SLO for `late_after_s` in a row and none is starting.

    What is not known is not late; it holds by saying nothing, since the policy around it says why it holds.
    """

    late_after_s: float
    slo_latency_s: float | None
    stale_after_s: float
    _delays: dict[str, Delay] = field(default_factory=dict)

    def see(self, deployments: Sequence[Deployment], at_s: float) -> list[Proposal]:
        self._delays = {each.name: self._delays.get(each.name, Delay()) for each in deployments}
        wishes = (self._one(each, at_s) for each in deployments)
        return [each for each in wishes if each is not None]

    def _one(self, deployment: Deployment, at_s: float) -> Proposal | None:
        late = lateness(deployment, at_s, self.stale_after_s, "mean", self.slo_latency_s)
        above = not isinstance(late, Evidence) and late > 1.0
        if not self._delays[deployment.name].passed(int(above), at_s, self.late_after_s) or isinstance(late, Evidence):
            return None
        replicas = clamp(deployment, deployment.replicas_wanted + 1)
        if starting(deployment) or replicas <= deployment.replicas_wanted:
            return None
        why = Evidence(
            name="lateness", value=late, threshold=1.0, window_s=self.late_after_s, note="one more, being late"
        )
        return Proposal(action=Scale(deployment=deployment.name, replicas=replicas), because=(why,))
