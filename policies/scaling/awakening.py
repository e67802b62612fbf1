"""Windows of traffic that reach back to when no replica ran: what was in the system then waited for the start, not for want of replicas."""

import math
from dataclasses import dataclass, field

from policies.action import Evidence
from policies.observation import Deployment


@dataclass(slots=True)
class Awakening:
    """Since when one deployment has replicas that run, after it had none. One that runs when it is first seen has always run."""

    _since_s: float | None = field(default=None)
    _seen: bool = field(default=False)

    def see(self, deployment: Deployment, at_s: float) -> None:
        """Take in what runs now."""
        if not deployment.running:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = at_s if self._seen else -math.inf
        self._seen = True

    def clouded(self, deployment: Deployment) -> Evidence | None:
        """Why its traffic says nothing of how many replicas it takes, where some run; None where it does."""
        traffic = deployment.traffic
        if traffic is None or self._since_s is None or traffic.measured_at_s - traffic.window_s >= self._since_s:
            return None
        note = "the window reaches back over the cold start"
        return Evidence(name="traffic", window_s=traffic.window_s, note=note)


def at_most_one_each(requests: float, deployment: Deployment, target: float) -> float:
    """`requests` in the system of which, while none is answered, each is worth a replica at most: they wait for the first start."""
    return requests if deployment.running else requests * min(1.0, target)
