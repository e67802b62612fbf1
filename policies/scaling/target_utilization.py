"""TargetUtilization: as many replicas as keep each of them busy for a given part of the time.

The rule is that of the Kubernetes Horizontal Pod Autoscaler (ratio, tolerance, stabilisation windows), with the load taken from
requests in the system rather than from CPU. It looks at the present only; it forecasts nothing.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.action import Evidence, Hold, Proposal, Scale
from policies.observation import Deployment, Observation, ReplicaState
from policies.parameters import at_least, at_most, not_negative, part, positive, share
from policies.scaling.awakening import Awakening, at_most_one_each
from policies.scaling.load import clamp, ongoing


@dataclass(slots=True)
class _Memory:
    """What is remembered of one deployment."""

    recommended: list[tuple[float, int]] = field(default_factory=list)
    """(at_s, replicas) of the longer window, oldest first."""
    starting_since_s: float | None = None
    awakening: Awakening = field(default_factory=Awakening)


@dataclass(kw_only=True, eq=False)
class TargetUtilization:
    """Keep each replica busy for the part `target` of what it can do, `concurrency` requests at once.

    At every tick, for each deployment that an external scaler may scale:

    1. Traffic missing or older than `stale_after_s`: hold, and recommend nothing.
    2. utilization = requests in the system / (replicas wanted * `concurrency`); replicas that are still starting count, as
       they are on their way.
    3. Within `tolerance` (a ratio) of `target`: recommend what is wanted now. Else recommend
       ceil(requests in the system / (`target` * `concurrency`)), inside the bounds of the deployment.
    4. Up to the lowest recommendation of the last `up_window_s`, down to the highest of the last `down_window_s`: a short
       burst adds nothing, a short lull takes nothing. A window that has not been seen whole counts what is wanted now.
    5. While replicas start, a scale-up holds, as the queue that it saw may be gone with them; at most for `start_patience_s`.
    6. A window that reaches back to when no replica ran recommends no more than what is wanted: see `Awakening`.
    """

    target: float = 0.7
    concurrency: float = 1.0
    """Requests that one replica can work on at once: its threads, or its cores, for most models one."""
    tolerance: float = 0.1
    up_window_s: float = 15.0
    down_window_s: float = 300.0
    start_patience_s: float = 60.0
    stale_after_s: float = 60.0
    _deployments: dict[str, _Memory] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        part(target=self.target)
        at_least(0.01, target=self.target)
        positive(concurrency=self.concurrency, stale_after_s=self.stale_after_s)
        at_most(10_000, concurrency=self.concurrency)
        share(tolerance=self.tolerance)
        not_negative(up_window_s=self.up_window_s, down_window_s=self.down_window_s)
        not_negative(start_patience_s=self.start_patience_s)

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        scalable = [seen.deployments[name] for name in sorted(seen.deployments) if seen.deployments[name].scalable]
        self._deployments = {each.name: self._deployments.get(each.name, _Memory()) for each in scalable}
        wishes = (self._one(each, self._deployments[each.name], seen.at_s) for each in scalable)
        return [each for each in wishes if each is not None]

    def _one(self, deployment: Deployment, memory: _Memory, at_s: float) -> Proposal | None:
        memory.awakening.see(deployment, at_s)
        starting = sum(each.state is ReplicaState.STARTING for each in deployment.replicas)
        if starting == 0:
            memory.starting_since_s = None
        elif memory.starting_since_s is None:
            memory.starting_since_s = at_s
        requests = ongoing(deployment, at_s, self.stale_after_s)
        if isinstance(requests, Evidence):
            memory.recommended.clear()
            return Proposal(action=Hold(subject=deployment.name), because=(requests,))
        recommended = self._recommend(
            deployment, at_most_one_each(requests, deployment, self.target * self.concurrency)
        )
        clouded = memory.awakening.clouded(deployment) if recommended > deployment.replicas_wanted else None
        if clouded is not None:
            return Proposal(action=Hold(subject=deployment.name), because=(clouded,))
        replicas = self._stabilised(deployment, memory, recommended, at_s)
        if replicas == deployment.replicas_wanted:
            return None
        because = (self._shown(deployment, requests),)
        waited_s = at_s - (memory.starting_since_s if memory.starting_since_s is not None else -math.inf)
        if replicas > deployment.replicas_wanted and waited_s < self.start_patience_s:
            note = f"{starting} replicas are starting"
            patient = Evidence(name="starting_s", value=waited_s, threshold=self.start_patience_s, note=note)
            return Proposal(action=Hold(subject=deployment.name), because=(patient, *because))
        return Proposal(action=Scale(deployment=deployment.name, replicas=replicas), because=because)

    def _recommend(self, deployment: Deployment, requests: float) -> int:
        wanted = deployment.replicas_wanted
        if wanted > 0 and abs(self._utilization(wanted, requests) / self.target - 1) <= self.tolerance:
            return clamp(deployment, wanted)
        # Rounding before the ceiling keeps 2.0000000000000004 from becoming three replicas.
        return clamp(deployment, math.ceil(round(requests / (self.target * self.concurrency), 9)))

    def _stabilised(self, deployment: Deployment, memory: _Memory, recommended: int, at_s: float) -> int:
        """The recommendation that has stood for its whole window; what is wanted now where none has."""
        wanted, seen = clamp(deployment, deployment.replicas_wanted), memory.recommended
        longest_s = max(self.up_window_s, self.down_window_s)
        seen.append((at_s, recommended))
        while len(seen) > 1 and seen[1][0] <= at_s - longest_s:
            del seen[0]
        up, down = (
            self._within(seen, wanted, at_s, self.up_window_s),
            self._within(seen, wanted, at_s, self.down_window_s),
        )
        return max(wanted, min(up)) if recommended > wanted else min(wanted, max(down))

    def _within(self, seen: list[tuple[float, int]], wanted: int, at_s: float, window_s: float) -> list[int]:
        """What was recommended in the window; where it reaches back before the first of them, also what is wanted now."""
        unseen = [wanted] if seen[0][0] > at_s - window_s else []
        return unseen + [replicas for then_s, replicas in seen if then_s >= at_s - window_s]

    def _utilization(self, replicas: int, requests: float) -> float:
        return requests / (replicas * self.concurrency)

    def _shown(self, deployment: Deployment, requests: float) -> Evidence:
        wanted, running = deployment.replicas_wanted, len(deployment.running)
        note = f"{requests:.3g} requests in {wanted} replicas, {running} of them running"
        value = self._utilization(wanted, requests) if wanted else None
        return Evidence(name="utilization", value=value, threshold=self.target, note=note)
