"""How many requests a deployment has in it, or why that is not known."""

from policies.action import Evidence
from policies.observation import Deployment, Traffic


def readable(seen: Traffic | None, at_s: float, stale_after_s: float) -> Traffic | Evidence:
    """`seen` where it says something of the load now; else the evidence says why not."""
    if seen is None:
        return Evidence(name="traffic", note="there is no traffic to read")
    age_s = at_s - seen.measured_at_s
    if age_s > stale_after_s:
        return Evidence(name="traffic_age_s", value=age_s, threshold=stale_after_s, note="the traffic is stale")
    if seen.load_unknown:
        return Evidence(name="traffic", note="nothing of the load is known")
    return seen


def ongoing(deployment: Deployment, at_s: float, stale_after_s: float) -> float | Evidence:
    """Requests in the system, queued and running, on average; where that is not known the evidence says why.

    Where only rate and mean latency were measured it is their product: Little, "A proof for the queuing formula L = lambda W"
    (1961). The latency must then count the time in the queue.
    """
    seen = readable(deployment.traffic, at_s, stale_after_s)
    if isinstance(seen, Evidence):
        return seen
    if seen.ongoing is not None:
        return seen.ongoing
    if seen.requests == 0 and seen.window_s > 0:
        return 0.0
    if seen.rate_rps is None or seen.latency_mean_s is None:
        return Evidence(name="ongoing", note="neither ongoing requests nor rate and latency are known")
    return seen.rate_rps * seen.latency_mean_s


def clamp(deployment: Deployment, replicas: int) -> int:
    """`replicas` inside the bounds that people set for the deployment."""
    upper = replicas if deployment.max_replicas is None else min(replicas, deployment.max_replicas)
    return max(upper, deployment.min_replicas)
