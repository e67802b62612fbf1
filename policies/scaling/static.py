"""Static: a split that somebody chose, or that history was best served by. It looks at nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from policies.action import Evidence, Hold, Proposal, Scale
from policies.observation import Observation
from policies.queueing import relaxed_latency
from policies.scaling.allocation import Problem, allocate
from policies.scaling.load import clamp


@dataclass(kw_only=True, eq=False)
class Static:
    """`replicas` by deployment (a name, or a glob; the first that matches counts), inside the bounds of the deployment.

    A deployment that nothing matches holds. `fitted` chooses the split from history.
    """

    replicas: Mapping[str, int]

    def __post_init__(self) -> None:
        for name, count in self.replicas.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 0:
                raise ValueError(f"replicas[{name!r}] must be a whole number, 0 or more, got {count!r}")

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        proposals = []
        for name in sorted(seen.deployments):
            deployment = seen.deployments[name]
            if not deployment.scalable:
                continue
            count = next((n for glob, n in self.replicas.items() if fnmatchcase(name, glob)), None)
            if count is None:
                why = Evidence(name="replicas", note="no count is given for this deployment")
                proposals.append(Proposal(action=Hold(subject=name), because=(why,)))
            elif clamp(deployment, count) != deployment.replicas_wanted:
                why = Evidence(name="replicas", value=float(count), note="given")
                scale = Scale(deployment=name, replicas=clamp(deployment, count))
                proposals.append(Proposal(action=scale, because=(why,)))
        return proposals


def fitted(
    past: Mapping[str, Sequence[float]], *, budget: int, service_s: float, slo_latency_s: float, quantile: float = 0.99
) -> Static:
    """The split of `budget` with the highest mean utility, min(1, SLO / latency), over the rates (requests/s) of `past` steps.

    At least one replica each. Steps that are not known (NaN) do not count. Raises ValueError where the budget is smaller than
    the number of deployments.
    """
    if budget < len(past):
        raise ValueError(f"budget must be at least one replica for each of {len(past)} deployments, got {budget}")
    counts = np.arange(1, budget + 1)[:, None]
    values = []
    for rates in past.values():
        known = np.asarray(rates, dtype=np.float64)
        latency = relaxed_latency(counts, known[np.isfinite(known)], service_s, quantile=quantile)
        values.append(np.concatenate([[0.0], np.minimum(1.0, slo_latency_s / latency).mean(axis=1)]))
    size = len(past)
    problem = Problem(
        values=values,
        lower=np.ones(size, dtype=np.int64),
        upper=np.full(size, budget),
        charges=np.ones((size, 1)),
        capacity=np.array([float(budget)]),
    )
    return Static(replicas=dict(zip(past, allocate(problem).tolist(), strict=True)))
