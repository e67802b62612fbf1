"""Why `joint` wants what it wants: the forecast, what one replica more and one fewer would change, and what stopped it there."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from policies.action import Evidence
from policies.forecasting.experts import Array
from policies.scaling.allocation import EPSILON
from policies.scaling.joint_knowledge import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`one_more` and `one_fewer` are changes of the objective (mean utility of one model, less what moving and keeping cost);
    None at a bound.
    """

    replicas: int
    rate_low_rps: float
    rate_median_rps: float
    rate_high_rps: float
    value: float
    value_here: float
    one_more: float | None
    one_fewer: float | None
    stopped_by: str

    def evidence(self, job: Job) -> Iterator[Evidence]:
        """The same as evidence of a proposal."""
        spread = f"{self.rate_low_rps:.3g} to {self.rate_high_rps:.3g} over the horizon"
        yield Evidence(name="rate_forecast_rps", value=self.rate_median_rps, note=spread)
        yield Evidence(name="service_s", value=job.service_s, note="learned from traffic")
        yield Evidence(
            name="value", value=self.value, threshold=self.value_here, note="with these replicas, and with those of now"
        )
        if self.one_more is not None:
            yield Evidence(name="one_more", value=self.one_more, note=self.stopped_by)
        if self.one_fewer is not None:
            yield Evidence(name="one_fewer", value=self.one_fewer, note="what one fewer would change")
        if job.damping > 1.0:
            yield Evidence(
                name="flapping", value=float(job.turns), note=f"moves must bring {job.damping:g} times as much"
            )


def explained(job: Job, rates_rps: Array, values: Array, replicas: int, replica_cost: float) -> Explanation:
    """Of one deployment that shall have `replicas`: `rates_rps` is [minute, level], `values` what each count from 0 on is worth."""
    return Explanation(
        replicas=replicas,
        rate_low_rps=float(rates_rps[:, 0].min()),
        rate_median_rps=float(np.median(rates_rps)),
        rate_high_rps=float(rates_rps[:, -1].max()),
        value=float(values[min(replicas, len(values) - 1)]),
        value_here=float(values[min(job.wanted, len(values) - 1)]),
        one_more=_change(values, replicas, replicas + 1),
        one_fewer=_change(values, replicas, replicas - 1),
        stopped_by=_stopped_by(job, _change(values, replicas, replicas + 1), replicas, replica_cost),
    )


def _change(values: Array, here: int, there: int) -> float | None:
    return float(values[there] - values[here]) if max(here, there) < len(values) and there >= 0 else None


def _stopped_by(job: Job, gain: float | None, replicas: int, replica_cost: float) -> str:
    if job.moving:
        return "replicas are starting, and are waited for"
    if job.upper is not None and replicas >= job.upper:
        return "it may have no more replicas"
    if gain is None:
        return "more replicas would find nothing to do"
    if gain <= EPSILON:
        return f"one more would add less than the {replica_cost:g} that it must, or than the move costs"
    return "one more is worth more elsewhere, or nothing is left to give"
