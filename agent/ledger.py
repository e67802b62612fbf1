"""One ledger of capacity for serving and training.

A deployment is charged for the replicas that it wants, since those are what it will take; a training for all of its concurrent
trials. The limit is the budget, and where the cluster is smaller, what is in use plus what the cluster says is free.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from agent.settings import BudgetSettings
from policies.observation import JobState, Observation, Resources

EPSILON = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What something takes: replicas count against the budget of replicas only."""

    replicas: int = 0
    cpus: float = 0.0
    gpus: float = 0.0

    @staticmethod
    def of(resources: Resources, replicas: int) -> "Charge":
        return Charge(replicas=replicas, cpus=resources.cpus * replicas, gpus=resources.gpus * replicas)


class Ledger:
    """What may still be taken. Changed by `take` only."""

    def __init__(self, seen: Observation, budget: BudgetSettings) -> None:
        used = Charge()
        for deployment in seen.deployments.values():
            used = _sum(used, Charge.of(deployment.resources, deployment.replicas_wanted))
        for model in seen.models.values():
            if model.training and model.training.state is JobState.RUNNING:
                used = _sum(used, _without_replicas(model.training.resources))
        free = seen.capacity.free
        self.known = free is not None or budget.replicas is not None or budget.cpus is not None
        self._left = {
            "replicas": _left(budget.replicas, used.replicas, None),
            "cpus": _left(budget.cpus, used.cpus, free.cpus if free else None),
            "gpus": _left(budget.gpus, used.gpus, free.gpus if free else None),
        }

    @property
    def left(self) -> Mapping[str, float]:
        """What is left by resource; infinite where nothing limits it, never below zero."""
        return {name: max(0.0, value) for name, value in self._left.items()}

    def fits(self, each: Charge, wanted: int) -> int:
        """How many of `wanted` times `each` fit, from 0 to `wanted`."""
        times = float(wanted)
        for name, value in self._left.items():
            need = getattr(each, name)
            if need > 0 and math.isfinite(value):
                times = min(times, math.floor((value + EPSILON) / need))
        return max(0, int(times))

    def take(self, charge: Charge) -> None:
        """Charge it; a negative charge gives back."""
        for name in self._left:
            self._left[name] -= getattr(charge, name)


def _left(budget: float | None, used: float, free: float | None) -> float:
    by_budget = math.inf if budget is None else budget - used
    return by_budget if free is None else min(by_budget, free)


def _sum(a: Charge, b: Charge) -> Charge:
    return Charge(replicas=a.replicas + b.replicas, cpus=a.cpus + b.cpus, gpus=a.gpus + b.gpus)


def _without_replicas(resources: Resources) -> Charge:
    return Charge(cpus=resources.cpus, gpus=resources.gpus)
