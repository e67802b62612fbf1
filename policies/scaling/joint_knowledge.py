"""What `joint` knows of each deployment, learned by looking: service, starts, backlog, lateness, flapping."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from policies.action import Evidence, Hold, Proposal
from policies.forecasting.experts import Array
from policies.observation import Deployment, Observation, Traffic
from policies.scaling.explained_service import ExplainedService
from policies.scaling.flapping import Flapping
from policies.scaling.load import readable
from policies.scaling.start_time import StartTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One deployment at a decision. `place` is where it stands on the last axis of the forecasts."""

    deployment: Deployment
    place: int
    service_s: float
    tail_s: float
    slo_s: float
    up_s: float
    wait_s: float
    remaining_s: tuple[float, ...]
    backlog: float
    backlog_max: float
    damping: float
    lower: int
    turns: int = 0
    late: bool = False
    """Whether its newest traffic misses the SLO."""

    @property
    def name(self) -> str:
        return self.deployment.name

    @property
    def wanted(self) -> int:
        return self.deployment.replicas_wanted

    @property
    def upper(self) -> int | None:
        return self.deployment.max_replicas

    @property
    def may_sleep(self) -> bool:
        """Whether it may go to no replicas, or be left there: see `Knowledge._lower`."""
        return self.lower == 0

    @property
    def moving(self) -> bool:
        """Whether replicas start, or have yet to: what is needed while it starts is not taken away again."""
        return len(self.deployment.running) < self.wanted


@dataclass
class _Learned:
    service: ExplainedService
    starts: StartTime = field(default_factory=StartTime)
    flapping: Flapping = field(default_factory=Flapping)
    backlog_max: float = np.inf
    late: bool = False
    asked_s: float | None = None
    """When a request was last seen, or the deployment first."""

    def learn_of_the_queue(self, traffic: Traffic) -> None:
        """Errors beside a queue may mean that it is full; as many that wait without any error prove that it was something else."""
        queued = traffic.queued or 0.0
        if traffic.errors and queued:
            known = self.backlog_max if np.isfinite(self.backlog_max) else 0.0
            self.backlog_max = max(known, queued)
        elif queued >= self.backlog_max:
            self.backlog_max = np.inf


@dataclass(kw_only=True)
class Knowledge:
    """Of all deployments; see `Joint` for what the fields mean."""

    statistic: str
    quantile: float
    variability: float
    slo_latency_s: float | None
    stale_after_s: float
    start_s: float
    handover_s: float
    idle_before_zero_s: float
    cold_start_max_s: float
    _learned: dict[str, _Learned] = field(default_factory=dict)

    def see(self, seen: Observation, deployments: Sequence[Deployment]) -> bool:
        """Take in one look. True where a deployment has just become late and nothing starts for it."""
        self._learned = {each.name: self._learned.get(each.name) or self._new() for each in deployments}
        became_late = [self._see(self._learned[each.name], each, seen.at_s) for each in deployments]
        return any(became_late)

    def _new(self) -> _Learned:
        return _Learned(ExplainedService(quantile=self.quantile, variability=self.variability))

    def _see(self, learned: _Learned, deployment: Deployment, at_s: float) -> bool:
        learned.service.see(deployment, self.statistic)
        learned.starts.see(deployment, at_s)
        learned.flapping.see(deployment.replicas_wanted, at_s)
        traffic = deployment.traffic
        # While nothing is known of its traffic, somebody may be asking.
        unknown = traffic is None or traffic.load_unknown
        if learned.asked_s is None or unknown or (traffic is not None and (traffic.requests or traffic.ongoing)):
            learned.asked_s = at_s
        if traffic is None:
            return False
        learned.learn_of_the_queue(traffic)
        latency_s, slo_s = getattr(traffic, f"latency_{self.statistic}_s"), self._slo_s(deployment)
        was, learned.late = learned.late, latency_s is not None and slo_s is not None and latency_s > slo_s
        return learned.late and not was and len(deployment.running) >= deployment.replicas_wanted

    def _slo_s(self, deployment: Deployment) -> float | None:
        return deployment.slo_latency_s if deployment.slo_latency_s is not None else self.slo_latency_s

    def jobs(
        self, seen: Observation, deployments: Sequence[Deployment], rates_rps: Array
    ) -> tuple[list[Job], list[Proposal]]:
        """(those of which enough is known, a `Hold` with the reason for the others)."""
        jobs: list[Job] = []
        held: list[Proposal] = []
        for place, deployment in enumerate(deployments):
            found = self._job(deployment, place, rates_rps[:, :, place], seen.at_s)
            if isinstance(found, Job):
                jobs.append(found)
            else:
                held.append(Proposal(action=Hold(subject=deployment.name), because=(found,)))
        return jobs, held

    def _job(self, deployment: Deployment, place: int, rates_rps: Array, at_s: float) -> Job | Evidence:
        learned, traffic = self._learned[deployment.name], readable(deployment.traffic, at_s, self.stale_after_s)
        service, slo_s = learned.service.known, self._slo_s(deployment)
        if isinstance(traffic, Evidence):
            return traffic
        if slo_s is None:
            return Evidence(name="slo_latency_s", note="it has no latency objective")
        if service is None:
            return Evidence(name="service_s", note="no request has shown yet how long one takes")
        if not np.isfinite(rates_rps).all():
            return Evidence(name="rate_rps", note="too little traffic was seen for a forecast")
        up_s, wait_s = self._start_times(learned)
        next_up_s = max(up_s, learned.starts.slowest_so_far_s(at_s))
        return Job(
            deployment=deployment,
            place=place,
            service_s=service.busy_s,
            tail_s=service.tail_s,
            slo_s=slo_s,
            up_s=next_up_s,
            wait_s=wait_s,
            remaining_s=tuple(learned.starts.remaining_s(at_s, up_s, wait_s)),
            # One request in the dispatcher's hand waits for nobody.
            backlog=max(0.0, (traffic.queued or 0.0) - 1.0),
            backlog_max=learned.backlog_max,
            damping=learned.flapping.damping,
            turns=learned.flapping.turns,
            late=learned.late,
            lower=self._lower(learned, deployment, up_s, at_s),
        )

    def _start_times(self, learned: _Learned) -> tuple[float, float]:
        starts = learned.starts
        up_s = starts.up_s if starts.up_s is not None else self.start_s
        return up_s, starts.wait_s if starts.wait_s is not None else self.handover_s

    def _lower(self, learned: _Learned, deployment: Deployment, up_s: float, at_s: float) -> int:
        """At least one, unless nobody asks, nobody has for long, and a cold start is short."""
        quiet_s = at_s - learned.asked_s if learned.asked_s is not None else 0.0
        sleeps = deployment.min_replicas == 0 and quiet_s >= self.idle_before_zero_s and up_s <= self.cold_start_max_s
        return 0 if sleeps else max(1, deployment.min_replicas)
