"""QueueLength: Ray Serve's own autoscaling rule, with Serve's parameter names.

It gives what `ray.serve.autoscaling_policy.replica_queue_length_autoscaling_policy` of Ray 2.60 gives, with Serve's factors,
delays and bounds around it, and is tested against them on the same inputs. It differs in two things: where Serve counts missing
metrics as no traffic, this holds; and requests that waited for the first replica to start are no reason for a second one.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.action import Evidence, Hold, Proposal, Scale
from policies.observation import Deployment, Observation
from policies.parameters import at_least, at_most, not_negative, positive
from policies.scaling.awakening import Awakening
from policies.scaling.load import clamp, ongoing

ELAPSED_EPSILON_S = 1e-6
"""Serve's tolerance: a difference of two large times may fall just short of the delay that has passed."""


@dataclass(slots=True)
class Delay:
    """How long one and the same direction has been wanted. `direction` is 1 for more, -1 for fewer, 0 for neither."""

    direction: int = 0
    since_s: float = 0.0

    def passed(self, direction: int, at_s: float, delay_s: float) -> bool:
        """Whether `direction` has been wanted for `delay_s`, in which case it starts anew."""
        if direction != self.direction:
            self.direction, self.since_s = direction, at_s
        if direction == 0 or at_s - self.since_s + ELAPSED_EPSILON_S < delay_s:
            return False
        self.direction = 0
        return True


@dataclass(kw_only=True, eq=False)
class QueueLength:
    """Keep `target_ongoing_requests` requests, queued and running, in each replica.

    At every tick, for each deployment that an external scaler may scale:

    1. Traffic missing or older than `stale_after_s`: hold, and forget what was wanted before.
    2. No replica runs and requests wait: `upscaling_factor` replicas (rounded up) at once, without delay.
    3. desired = ongoing requests / `target_ongoing_requests`.
    4. Only part of the way: running + factor * (desired - running), rounded up, with `upscaling_factor` or
       `downscaling_factor`; a downscale that rounding would stop takes one replica.
    5. More must be wanted for `upscale_delay_s` in a row, fewer for `downscale_delay_s`; from one to none takes
       `downscale_to_zero_delay_s` where given, and none is reached from one only.
    6. A window that reaches back to when no replica ran is no reason for more (see `Awakening`).
    7. The result is cut to `min_replicas` and `max_replicas`, and to the bounds of the deployment.
    """

    target_ongoing_requests: float = 2.0
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    downscale_to_zero_delay_s: float | None = None
    min_replicas: int = 0
    max_replicas: int | None = None
    stale_after_s: float = 60.0
    _delays: dict[str, Delay] = field(default_factory=dict, init=False, repr=False)
    _awakenings: dict[str, Awakening] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        positive(target_ongoing_requests=self.target_ongoing_requests, stale_after_s=self.stale_after_s)
        at_least(0.01, target_ongoing_requests=self.target_ongoing_requests)
        at_most(10_000, target_ongoing_requests=self.target_ongoing_requests)
        positive(upscaling_factor=self.upscaling_factor, downscaling_factor=self.downscaling_factor)
        not_negative(upscale_delay_s=self.upscale_delay_s, downscale_delay_s=self.downscale_delay_s)
        not_negative(downscale_to_zero_delay_s=self.downscale_to_zero_delay_s, min_replicas=self.min_replicas)
        if self.max_replicas is not None and self.max_replicas < max(1, self.min_replicas):
            raise ValueError(f"max_replicas must be at least 1 and at least min_replicas, got {self.max_replicas}")

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        scalable = [seen.deployments[name] for name in sorted(seen.deployments) if seen.deployments[name].scalable]
        self._delays = {each.name: self._delays.get(each.name, Delay()) for each in scalable}
        self._awakenings = {each.name: self._awakenings.get(each.name, Awakening()) for each in scalable}
        wishes = (self._one(each, seen.at_s) for each in scalable)
        return [each for each in wishes if each is not None]

    def _one(self, deployment: Deployment, at_s: float) -> Proposal | None:
        self._awakenings[deployment.name].see(deployment, at_s)
        requests = ongoing(deployment, at_s, self.stale_after_s)
        if isinstance(requests, Evidence):
            self._delays[deployment.name] = Delay()
            return Proposal(action=Hold(subject=deployment.name), because=(requests,))
        running, wanted = len(deployment.running), deployment.replicas_wanted
        decided = self.decide(running, wanted, requests, self._delays[deployment.name], at_s)
        replicas = clamp(deployment, self._bound(decided))
        clouded = self._awakenings[deployment.name].clouded(deployment) if replicas > wanted else None
        if clouded is not None:
            return Proposal(action=Hold(subject=deployment.name), because=(clouded,))
        if replicas == wanted:
            return None
        per_replica = requests / running if running else requests
        note = f"{requests:.3g} ongoing requests in {running} running replicas"
        why = Evidence(name="ongoing_per_replica", value=per_replica, threshold=self.target_ongoing_requests, note=note)
        return Proposal(action=Scale(deployment=deployment.name, replicas=replicas), because=(why,))

    def decide(self, running: int, wanted: int, requests: float, delay: Delay, at_s: float) -> int:
        """How many replicas Serve would want, before its bounds; `delay` is changed as Serve changes its policy state."""
        if running == 0:
            if requests > 0:
                return max(math.ceil(self.upscaling_factor), wanted)
            if wanted > 0:
                return wanted
        desired = self._part_of_the_way(running, requests / self.target_ongoing_requests)
        return self._delayed(max(0, desired), wanted, delay, at_s)

    def _part_of_the_way(self, running: int, desired: float) -> int:
        if running == 0:
            return math.ceil(desired)
        change = desired - running
        scaled = math.ceil(running + (self.upscaling_factor if change > 0 else self.downscaling_factor) * change)
        return scaled - 1 if scaled == running and math.ceil(desired) < running else scaled

    def _delayed(self, desired: int, wanted: int, delay: Delay, at_s: float) -> int:
        direction = (desired > wanted) - (desired < wanted)
        delay_s = self.upscale_delay_s
        if direction < 0:
            to_zero_s = self.downscale_to_zero_delay_s
            delay_s = to_zero_s if wanted == 1 and to_zero_s is not None else self.downscale_delay_s
            desired = desired if wanted == 1 else max(1, desired)
        return desired if delay.passed(direction, at_s, delay_s) else wanted

    def _bound(self, replicas: int) -> int:
        upper = replicas if self.max_replicas is None else min(self.max_replicas, replicas)
        return max(self.min_replicas, upper)
