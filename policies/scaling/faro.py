"""FaroSum and FaroFairSum: the best published joint policies, as their paper describes them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from policies.action import Evidence, Hold, Proposal, Scale
from policies.forecasting.experts import Array
from policies.forecasting.mixture import Mixture
from policies.forecasting.rates import RateForecast
from policies.forecasting.recipes import experts
from policies.observation import Deployment, Observation
from policies.parameters import inside_unit, latency, not_negative, positive
from policies.queueing import relaxed_latency
from policies.scaling.allocation import Counts, Problem, allocate, allocate_fairly
from policies.scaling.budget import within
from policies.scaling.load import readable
from policies.scaling.one_more import OneMore
from policies.scaling.service_time import ServiceTime


@dataclass(frozen=True, slots=True)
class _Job:
    """What is known of one deployment at a decision."""

    deployment: Deployment
    rates_rps: Array
    """[step, level]"""
    service_s: float
    slo_s: float


@dataclass(kw_only=True, eq=False)
class FaroSum:
    """Every five minutes the vector of counts with the highest sum of utilities over the next seven minutes.

    Jeon et al., "A House United Within Itself: SLO-Awareness for On-Premises Containerized ML Inference Clusters via Faro"
    (EuroSys 2025):

    1. Utility of a minute is min(1, SLO / p99), with the p99 of M/D/c taken as half the wait of M/M/c plus the service time, and
       relaxed above a load of 0.95; mean over the quantiles of the forecast (its "probabilistic prediction").
    2. A job that grows has its present count for the first `start_s` of the window.
    3. A replica that adds less than `gain_min` is given back ("shrinking").
    4. Between decisions one more after `late_after_s` above the SLO ("hybrid").
    5. First after `first_after_s`, then every `decide_every_s`; `budget` is never passed.

    Where the paper relaxes counts to real numbers and calls COBYLA, this searches whole numbers (`policies.scaling.allocation`).
    A job of which too little is known keeps its count.
    """

    budget: int
    service_s: float | None = None
    """Seconds a request keeps a replica busy; None: it is learned from traffic."""
    slo_latency_s: float | None = None
    """For deployments that have no SLO of their own."""
    quantile: float = 0.99
    decide_every_s: float = 300.0
    first_after_s: float = 60.0
    horizon_steps: int = 7
    start_s: float = 65.0
    late_after_s: float = 30.0
    gain_min: float = 1e-4
    season_steps: int | None = None
    """The length of a season, in minutes, where there is one."""
    past: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Rates (requests/s) of the minutes before the start by deployment, oldest first, where they are known."""
    stale_after_s: float = 60.0
    _rates: RateForecast = field(init=False, repr=False)
    _services: dict[str, ServiceTime] = field(default_factory=dict, init=False, repr=False)
    _one_more: OneMore = field(init=False, repr=False)
    _due_s: float | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        positive(budget=self.budget, service_s=self.service_s)
        latency(slo_latency_s=self.slo_latency_s)
        positive(decide_every_s=self.decide_every_s, horizon_steps=self.horizon_steps, stale_after_s=self.stale_after_s)
        not_negative(first_after_s=self.first_after_s, start_s=self.start_s, late_after_s=self.late_after_s)
        not_negative(gain_min=self.gain_min)
        inside_unit(quantile=self.quantile)
        known, steps = experts(self.horizon_steps, self.season_steps)
        self._rates = RateForecast(mixture=Mixture(known, horizon=self.horizon_steps, history_steps=steps))
        self._rates.recall(self.past)
        self._one_more = OneMore(self.late_after_s, self.slo_latency_s, self.stale_after_s)

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        scalable = [seen.deployments[name] for name in sorted(seen.deployments) if seen.deployments[name].scalable]
        self._rates.see(seen, scalable)
        self._services = {each.name: self._services.get(each.name) or ServiceTime() for each in scalable}
        for each in scalable:
            self._services[each.name].see(each, "p99")
        late = self._one_more.see(scalable, seen.at_s)
        if self._due_s is None:
            self._due_s = seen.at_s + self.first_after_s
        if seen.at_s < self._due_s:
            return within(self.budget, late, seen)
        self._due_s = seen.at_s + self.decide_every_s
        return self._decide(seen, scalable)

    def _decide(self, seen: Observation, scalable: Sequence[Deployment]) -> list[Proposal]:
        rates = self._rates.quantiles()[1:]
        jobs, held = [], []
        for n, deployment in enumerate(scalable):
            job = self._job(deployment, rates[:, :, n], seen.at_s)
            if job is None:
                why = Evidence(
                    name="forecast", note="traffic is missing or stale, or rate, service or SLO are not known"
                )
                held.append(Proposal(action=Hold(subject=deployment.name), because=(why,)))
            else:
                jobs.append(job)
        if not jobs:
            return held
        others = sum(each.replicas_wanted for each in seen.deployments.values())
        room = self.budget - others + sum(job.deployment.replicas_wanted for job in jobs)
        utilities = [self._utilities(job, room) for job in jobs]
        counts = self._choose(self._problem(jobs, utilities, room), utilities)
        pairs = zip(jobs, utilities, counts.tolist(), strict=True)
        return held + [self._wish(job, each, n) for job, each, n in pairs if n != job.deployment.replicas_wanted]

    def _job(self, deployment: Deployment, rates_rps: Array, at_s: float) -> _Job | None:
        seen = readable(deployment.traffic, at_s, self.stale_after_s)
        learned = self._services[deployment.name].known
        slo_s = deployment.slo_latency_s if deployment.slo_latency_s is not None else self.slo_latency_s
        service_s = self.service_s if self.service_s is not None else (learned.busy_s if learned else None)
        if isinstance(seen, Evidence) or slo_s is None or service_s is None or not np.isfinite(rates_rps).all():
            return None
        return _Job(deployment, rates_rps, service_s, slo_s)

    def _utilities(self, job: _Job, room: int) -> Array:
        """Mean utility over the window of wanting each count from 0 on."""
        now = job.deployment.replicas_wanted
        most = max(now, _upper(job.deployment, room))
        counts = np.arange(1, most + 1)[:, None, None]
        latency = relaxed_latency(counts, job.rates_rps, job.service_s, quantile=self.quantile)
        each = np.zeros((most + 1, len(job.rates_rps)))
        each[1:] = np.minimum(1.0, job.slo_s / latency).mean(axis=2)
        absent = np.clip(self.start_s / self._rates.step_s - np.arange(len(job.rates_rps)), 0.0, 1.0)
        grown = np.arange(most + 1)[:, None] > now
        return np.asarray(np.where(grown, absent * each[now] + (1.0 - absent) * each, each).mean(axis=1))

    def _problem(self, jobs: Sequence[_Job], utilities: Sequence[Array], room: int) -> Problem:
        lower = np.array([max(1, job.deployment.min_replicas) for job in jobs])
        upper = np.array([_upper(job.deployment, room) for job in jobs])
        return Problem(
            values=utilities,
            lower=lower,
            upper=np.maximum(lower, upper),
            charges=np.ones((len(jobs), 1)),
            capacity=np.array([float(room)]),
            gain_min=self.gain_min,
        )

    def _choose(self, problem: Problem, utilities: Sequence[Array]) -> Counts:
        del utilities
        return allocate(problem)

    def _wish(self, job: _Job, utilities: Array, replicas: int) -> Proposal:
        now = job.deployment.replicas_wanted
        because = (
            Evidence(name="rate_predicted_rps", value=float(np.median(job.rates_rps)), note="median over the window"),
            Evidence(
                name="utility", value=float(utilities[replicas]), threshold=float(utilities[now]), note="then and now"
            ),
        )
        return Proposal(action=Scale(deployment=job.deployment.name, replicas=replicas), because=because)


class FaroFairSum(FaroSum):
    """As `FaroSum`, but it maximises the sum of utilities plus models * (smallest - largest utility + 1)."""

    def _choose(self, problem: Problem, utilities: Sequence[Array]) -> Counts:
        return allocate_fairly(problem, utilities, float(len(utilities)))


def _upper(deployment: Deployment, room: int) -> int:
    return room if deployment.max_replicas is None else min(room, deployment.max_replicas)
