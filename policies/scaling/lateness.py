"""How late a deployment is: its latency over its SLO. It knows nothing of replicas."""

from typing import Literal

from policies.action import Evidence
from policies.observation import Deployment, ReplicaState
from policies.scaling.load import readable

Statistic = Literal["mean", "p50", "p95", "p99"]


def lateness(
    deployment: Deployment, at_s: float, stale_after_s: float, statistic: Statistic, slo_latency_s: float | None
) -> float | Evidence:
    """Latency / SLO, 0 where nobody asked; where it is not known the evidence says why.

    The SLO is the deployment's own, else `slo_latency_s`.
    """
    slo_s = deployment.slo_latency_s if deployment.slo_latency_s is not None else slo_latency_s
    if slo_s is None:
        return Evidence(name="slo_latency_s", note="no SLO is given for this deployment")
    seen = readable(deployment.traffic, at_s, stale_after_s)
    if isinstance(seen, Evidence):
        return seen
    latency_s: float | None = getattr(seen, f"latency_{statistic}_s")
    if latency_s is not None:
        return latency_s / slo_s
    if seen.requests == 0 and not seen.ongoing:
        return 0.0
    return Evidence(name=f"latency_{statistic}_s", note="the latency is not known")


def measured_over_s(deployment: Deployment) -> float:
    """The window that the latency was measured over; 0 where there is no traffic to read."""
    return deployment.traffic.window_s if deployment.traffic is not None else 0.0


def starting(deployment: Deployment) -> int:
    """How many replicas are on their way."""
    return sum(each.state is ReplicaState.STARTING for each in deployment.replicas)
