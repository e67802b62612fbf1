"""What limits `joint`: the budget of replicas, the cluster's processors and accelerators, and the quotas of teams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from policies.observation import Deployment, Observation
from policies.scaling.allocation import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    budget: int | None
    quotas: Mapping[str, int]

    def of(self, seen: Observation, deployments: Sequence[Deployment]) -> tuple[Array, Array]:
        """([deployment, resource] what a replica takes, [resource] what there is for `deployments`; infinite where nothing limits)."""
        names = {each.name for each in deployments}
        others = [each for each in seen.deployments.values() if each.name not in names]
        columns = [np.ones(len(deployments))]
        capacity = [np.inf if self.budget is None else float(self.budget - _replicas(others))]
        for kind in ("cpus", "gpus"):
            columns.append(np.array([getattr(each.resources, kind) for each in deployments]))
            capacity.append(_left(seen, others, kind))
        for glob, quota in self.quotas.items():
            columns.append(np.array([float(fnmatchcase(each.name, glob)) for each in deployments]))
            capacity.append(float(quota - _replicas([each for each in others if fnmatchcase(each.name, glob)])))
        return np.stack(columns, axis=1), np.maximum(0.0, np.array(capacity))


def _replicas(deployments: Sequence[Deployment]) -> int:
    return sum(each.replicas_wanted for each in deployments)


def _left(seen: Observation, others: Sequence[Deployment], kind: str) -> float:
    """Of all that the cluster has, what is not taken by other deployments. What a training takes counts as left: serving goes first."""
    if seen.capacity.total is None:
        return float("inf")
    taken = sum(getattr(each.resources, kind) * each.replicas_wanted for each in others)
    return float(getattr(seen.capacity.total, kind) - taken)
