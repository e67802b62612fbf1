"""Paced: a policy that was made for minutes, at work on seconds, or on hours.

A wrapper like those of `policies.wrappers`: it is shown the same world in another unit of time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from policies.action import Evidence, Proposal
from policies.observation import Deployment, Observation, Replica, Traffic
from policies.parameters import positive
from policies.policy import Policy


@dataclass(kw_only=True, eq=False)
class Paced:
    """Shows its policy a world in which a second is as long as `factor` seconds.

    Times, windows, latencies and SLOs are that much longer, and rates lower, so that nothing but the unit of time is another:
    with a factor of 12 a policy that learns from minutes and looks minutes ahead learns from 5 seconds and looks as many ahead.
    For where replicas come up within seconds, and metrics are as fresh. Its parameters are in its own time. Evidence is told in
    ours, by the unit that stands last in its name. Models, their rollouts and trainings are shown as they are.
    """

    policy: Policy
    factor: float

    def __post_init__(self) -> None:
        positive(factor=self.factor)

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        shown = {name: self._deployment(each) for name, each in seen.deployments.items()}
        proposals = self.policy.propose(replace(seen, at_s=seen.at_s * self.factor, deployments=shown))
        return [replace(each, because=tuple(map(self._told, each.because))) for each in proposals]

    def _deployment(self, deployment: Deployment) -> Deployment:
        return replace(
            deployment,
            slo_latency_s=self._longer(deployment.slo_latency_s),
            traffic=self._traffic(deployment.traffic),
            replicas=tuple(map(self._replica, deployment.replicas)),
        )

    def _replica(self, replica: Replica) -> Replica:
        started_s = self._longer(replica.started_at_s)
        return replace(replica, started_at_s=started_s, traffic=self._traffic(replica.traffic))

    def _traffic(self, seen: Traffic | None) -> Traffic | None:
        if seen is None:
            return None
        return replace(
            seen,
            measured_at_s=seen.measured_at_s * self.factor,
            window_s=seen.window_s * self.factor,
            latency_mean_s=self._longer(seen.latency_mean_s),
            latency_p50_s=self._longer(seen.latency_p50_s),
            latency_p95_s=self._longer(seen.latency_p95_s),
            latency_p99_s=self._longer(seen.latency_p99_s),
        )

    def _longer(self, seconds: float | None) -> float | None:
        return None if seconds is None else seconds * self.factor

    def _told(self, evidence: Evidence) -> Evidence:
        unit = 1.0
        if evidence.name.endswith("_s"):
            unit = 1.0 / self.factor
        elif evidence.name.endswith("_rps"):
            unit = self.factor
        return replace(
            evidence,
            value=None if evidence.value is None else evidence.value * unit,
            threshold=None if evidence.threshold is None else evidence.threshold * unit,
            window_s=None if evidence.window_s is None else evidence.window_s / self.factor,
        )
