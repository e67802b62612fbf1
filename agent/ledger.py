"""One ledger of capacity for serving and training.

A deployment is charged for the replicas that it wants, since those are what it will take; a training for all of its concurrent
trials. What an order in flight will take is charged before the world shows it, so that nothing is spent twice; what it will give back
is there when the world shows it, since it may still be refused. The limit is the budget, and where the cluster is smaller, what is in
use plus what the cluster says is free, unless it makes room by itself; what it says is free is not, as far as replicas that are wanted have
no place yet and find one there. Where the nodes are known, each replica and each trial must fit on
one of them, also in memory and in resources that the cluster's owner has named.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agent.order import Order
from agent.settings import BudgetSettings
from policies.action import Retrain, Scale, StartRollout
from policies.observation import Capacity, Deployment, JobState, Observation, ReplicaState, Resources
from policies.places import Places

EPSILON = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What something takes: replicas count against the budget of replicas only."""

    replicas: int = 0
    cpus: float = 0.0
    gpus: float = 0.0
    piece: Resources = field(default=Resources(), compare=False)
    """What must lie on one node; there are `pieces` of it."""
    pieces: int = field(default=0, compare=False)

    @staticmethod
    def of(resources: Resources, replicas: int) -> "Charge":
        return Charge(
            replicas=replicas,
            cpus=resources.cpus * replicas,
            gpus=resources.gpus * replicas,
            piece=resources,
            pieces=replicas,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCost:
    """What a training takes: `trials` at a time, each of them `trial`."""

    trial: Resources = field(default_factory=lambda: Resources(cpus=1.0))
    trials: int = 1

    def of(self, action: Retrain) -> Charge:
        """What `action` takes, with as many trials at a time as it names, or else all."""
        times = action.concurrent_trials or self.trials
        return replace(Charge.of(self.trial, times), replicas=0)


class Ledger:
    """What may still be taken. Changed by `take` and `give` only."""

    def __init__(
        self,
        seen: Observation,
        budget: BudgetSettings,
        open_orders: Iterable[Order] = (),
        training_cost: Mapping[str, TrainingCost] | None = None,
    ) -> None:
        used = Charge()
        for deployment in seen.deployments.values():
            used = _sum(used, Charge.of(deployment.resources, deployment.replicas_wanted))
        for model in seen.models.values():
            if model.training and model.training.state is JobState.RUNNING:
                used = _sum(used, _without_replicas(model.training.resources))
        free = None if budget.cluster_makes_room else seen.capacity.free
        self.known = free is not None or budget.replicas is not None or budget.cpus is not None
        self._places = Places(Capacity() if budget.cluster_makes_room else seen.capacity)
        waiting = self._placed(seen)
        self._left = {
            "replicas": _left(budget.replicas, used.replicas, None),
            "cpus": _left(budget.cpus, used.cpus, free.cpus - waiting.cpus if free else None),
            "gpus": _left(budget.gpus, used.gpus, free.gpus - waiting.gpus if free else None),
        }
        self._coming = dict.fromkeys(self._left, 0.0)
        self._under_way: dict[str, int] = {}
        for order in open_orders:
            self.charge(order, seen, training_cost or {})

    def _placed(self, seen: Observation) -> Charge:
        """What the replicas of `seen` that have no place yet will take of what is free, each on a node that has room for it."""
        waiting = Charge()
        for deployment in seen.deployments.values():
            count = int(min(_without_place(deployment), self._places.fits(deployment.resources)))
            self._places.take(deployment.resources, count)
            waiting = _sum(waiting, Charge.of(deployment.resources, count))
        return waiting

    @property
    def left(self) -> Mapping[str, float]:
        """What is left by resource; infinite where nothing limits it, never below zero."""
        return {name: max(0.0, value) for name, value in self._left.items()}

    def under_way(self, deployment: Deployment) -> int:
        """Replicas that an order in flight will add and that the world does not show yet."""
        return self._under_way.get(deployment.name, 0)

    def charge(self, order: Order, seen: Observation, training_cost: Mapping[str, TrainingCost]) -> None:
        """Take what `order` will take, and expect what it will give back."""
        more, coming = self.due(order, seen, training_cost)
        if isinstance(order.action, Scale):
            name = order.action.deployment
            self._under_way[name] = self._under_way.get(name, 0) + more.replicas
        self.take(more)
        self.give(coming)

    def due(self, order: Order, seen: Observation, training_cost: Mapping[str, TrainingCost]) -> tuple[Charge, Charge]:
        """What `order` will take beside what was charged for one that it would replace, and what it will give back."""
        more, coming = still_to_come(order, seen, training_cost)
        if isinstance(order.action, Scale) and (charged := self._under_way.get(order.action.deployment, 0)) > 0:
            return Charge.of(more.piece, max(0, more.replicas - charged)), coming
        return more, coming

    def fits(self, each: Charge, wanted: int) -> int:
        """How many of `wanted` times `each` fit, from 0 to `wanted`."""
        times = min(float(self._fit_in_all(each, wanted)), self._places.fits(each.piece) // max(1, each.pieces))
        return int(times)

    def in_pieces(self, each: Charge) -> bool:
        """Whether there is enough for `each` in all, but no node, or too few of them, has room for its pieces."""
        return self._fit_in_all(each, 1) == 1 and self.fits(each, 1) == 0

    def _fit_in_all(self, each: Charge, wanted: int) -> int:
        times = float(wanted)
        for name, value in self._left.items():
            need = getattr(each, name)
            if need > 0 and math.isfinite(value):
                times = min(times, math.floor((value + EPSILON) / need))
        return max(0, int(times))

    def take(self, charge: Charge) -> None:
        for name in self._left:
            self._left[name] -= getattr(charge, name)
        self._places.take(charge.piece, charge.pieces)

    def give(self, charge: Charge) -> None:
        """So much will be given back. It can be spent when it is seen, not before."""
        for name in self._coming:
            self._coming[name] += getattr(charge, name)

    def awaits(self, charge: Charge) -> bool:
        """Whether what is given back will do for `charge`; it then counts as meant for that."""
        need = {name: getattr(charge, name) for name in self._left if getattr(charge, name) > 0}
        enough = all(self._left[name] + self._coming[name] + EPSILON >= value for name, value in need.items())
        # On which node it will be given back is not known; where nothing is, waiting brings no room on any.
        enough = enough and (not self.in_pieces(charge) or any(self._coming[name] > 0 for name in need))
        if enough:
            for name, value in need.items():
                self._coming[name] -= value
        return enough


def still_to_come(order: Order, seen: Observation, training_cost: Mapping[str, TrainingCost]) -> tuple[Charge, Charge]:
    """What `order` will take and what it will give back, as far as the world does not show it yet."""
    match order.action:
        case Scale(deployment=name, replicas=replicas) if name in seen.deployments:
            deployment = seen.deployments[name]
            more = replicas - deployment.replicas_wanted
            return Charge.of(deployment.resources, max(0, more)), Charge.of(deployment.resources, max(0, -more))
        case Retrain(model=name) as retrain if name in seen.models and not _training(seen, name):
            return training_cost.get(name, TrainingCost()).of(retrain), Charge()
        case StartRollout(model=name):
            slots = {d.slot: d for d in seen.deployments.values() if d.model == name}
            takes = Charge.of(slots["champion"].resources, 1) if slots.keys() == {"champion"} else Charge()
            return takes, Charge()
        case _:
            return Charge(), Charge()


def _without_place(deployment: Deployment) -> int:
    """Replicas that are wanted, and of which none is seen to run, or to start on a node."""
    placed = sum(
        each.state is ReplicaState.RUNNING or (each.state is ReplicaState.STARTING and each.node is not None)
        for each in deployment.replicas
    )
    return max(0, deployment.replicas_wanted - placed)


def _training(seen: Observation, model: str) -> bool:
    job = seen.models[model].training
    return job is not None and job.state is JobState.RUNNING


def _left(budget: float | None, used: float, free: float | None) -> float:
    by_budget = math.inf if budget is None else budget - used
    return by_budget if free is None else min(by_budget, free)


def _sum(a: Charge, b: Charge) -> Charge:
    return Charge(replicas=a.replicas + b.replicas, cpus=a.cpus + b.cpus, gpus=a.gpus + b.gpus)


def _without_replicas(resources: Resources) -> Charge:
    return Charge(cpus=resources.cpus, gpus=resources.gpus)
