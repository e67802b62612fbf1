"""Mark: replicas for the highest rate that is predicted, now and then, and one more in between where requests are late."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from policies.action import Evidence, Hold, Proposal, Scale
from policies.forecasting.mixture import Mixture
from policies.forecasting.rates import RateForecast
from policies.forecasting.recipes import experts
from policies.observation import Deployment, Observation
from policies.parameters import inside_unit, latency, not_negative, positive
from policies.scaling.budget import within
from policies.scaling.load import clamp, readable
from policies.scaling.one_more import OneMore
from policies.scaling.service_time import ServiceTime


@dataclass(kw_only=True, eq=False)
class Mark:
    """ceil(highest predicted rate * service time / `utilization`), as MArk, Cocktail and Barista plan.

    Zhang et al., "MArk" (USENIX ATC 2019); in the form in which Faro (EuroSys 2025) compares itself with them:

    1. First after `first_after_s`, then at every whole `decide_every_s` since the first look, each deployment gets that many for the
       highest of the next `horizon_steps` predicted rates (the median of the forecast).
    2. In between, one more after `late_after_s` in a row above the SLO, in mean latency.
    3. Inside the bounds of the deployment, and `budget` replicas for all together, first come (by name) first served.
    4. What is not known (no traffic, no service time, no forecast) holds.
    """

    budget: int | None = None
    service_s: float | None = None
    """Seconds a request keeps a replica busy; None: it is learned from traffic."""
    utilization: float = 0.8
    decide_every_s: float = 300.0
    first_after_s: float = 60.0
    horizon_steps: int = 7
    late_after_s: float = 30.0
    slo_latency_s: float | None = None
    """For deployments that have no SLO of their own."""
    season_steps: int | None = None
    """The length of a season, in minutes, where there is one."""
    past: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Rates (requests/s) of the minutes before the start by deployment, oldest first, where they are known."""
    stale_after_s: float = 60.0
    _rates: RateForecast = field(init=False, repr=False)
    _services: dict[str, ServiceTime] = field(default_factory=dict, init=False, repr=False)
    _one_more: OneMore = field(init=False, repr=False)
    _began_s: float | None = field(default=None, init=False, repr=False)
    _due_s: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        positive(budget=self.budget, service_s=self.service_s, decide_every_s=self.decide_every_s)
        positive(stale_after_s=self.stale_after_s, horizon_steps=self.horizon_steps)
        latency(slo_latency_s=self.slo_latency_s)
        not_negative(first_after_s=self.first_after_s, late_after_s=self.late_after_s)
        inside_unit(utilization=self.utilization)
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
        if not self._due(seen.at_s):
            return within(self.budget, late, seen)
        self._one_more.forget(seen.at_s)
        rates = self._rates.quantiles()[:, len(self._rates.mixture.levels) // 2].max(axis=0)
        wishes = (self._plan(each, rate, seen.at_s) for each, rate in zip(scalable, rates.tolist(), strict=True))
        return within(self.budget, [each for each in wishes if each is not None], seen)

    def _due(self, at_s: float) -> bool:
        if self._began_s is None:
            self._began_s, self._due_s = at_s, at_s + self.first_after_s
        if at_s < self._due_s:
            return False
        whole = (at_s - self._began_s) // self.decide_every_s + 1.0
        self._due_s = self._began_s + whole * self.decide_every_s
        return True

    def _plan(self, deployment: Deployment, rate_rps: float, at_s: float) -> Proposal | None:
        service_s, seen = self._service_s(deployment), readable(deployment.traffic, at_s, self.stale_after_s)
        if isinstance(seen, Evidence) or service_s is None or not np.isfinite(rate_rps):
            why = Evidence(
                name="forecast", note="traffic is missing or stale, or neither its rate nor its service is known"
            )
            return Proposal(action=Hold(subject=deployment.name), because=(why,))
        # Rounding before the ceiling keeps 2.0000000000000004 from becoming three replicas.
        replicas = clamp(deployment, max(1, math.ceil(round(rate_rps * service_s / self.utilization, 9))))
        if replicas == deployment.replicas_wanted:
            return None
        because = (
            Evidence(name="rate_predicted_rps", value=rate_rps, window_s=self.horizon_steps * self._rates.step_s),
            Evidence(name="service_s", value=service_s),
            Evidence(name="utilization", threshold=self.utilization, value=rate_rps * service_s / max(1, replicas)),
        )
        return Proposal(action=Scale(deployment=deployment.name, replicas=replicas), because=because)

    def _service_s(self, deployment: Deployment) -> float | None:
        if self.service_s is not None:
            return self.service_s
        learned = self._services[deployment.name].known
        return learned.busy_s if learned else None
