"""Nodes, and what fits where. Serving and training share them; nothing is moved to make room, so capacity can lie in fragments.

A quota bounds what some models may hold together, however much is free, as a quota of a Kubernetes namespace does. A replica or a job
goes to the fullest node that it fits on (best fit), as Ray's packing of small requests does; ties go to the first node.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from policies.observation import Capacity, Resources

EPSILON = 1e-9
HOUR_S = 3600.0


@dataclass(kw_only=True)
class Node:
    """A machine. `spot` nodes can be taken away; `draining` ones take nothing new."""

    name: str
    cpus: float
    gpus: float = 0.0
    price_per_hour: float = 0.0
    spot: bool = False
    alive: bool = True
    draining: bool = False
    used_cpus: float = 0.0
    used_gpus: float = 0.0
    slowness: float = 1.0
    """How much longer work takes on it, because something else is busy there."""
    alive_s: float = 0.0
    """Seconds that it was paid for until `since_s`."""
    since_s: float = 0.0

    def fits(self, need: Resources) -> bool:
        return (
            self.alive
            and not self.draining
            and need.cpus <= self.cpus - self.used_cpus + EPSILON
            and need.gpus <= self.gpus - self.used_gpus + EPSILON
        )

    def paid_s(self, now_s: float) -> float:
        return self.alive_s + (now_s - self.since_s if self.alive else 0.0)


@dataclass(frozen=True, kw_only=True)
class Quota:
    """The models whose names fit one of the globs `models` hold at most so much together; None: no bound."""

    models: tuple[str, ...] = ("*",)
    cpus: float | None = None
    gpus: float | None = None

    def covers(self, owner: str) -> bool:
        return any(fnmatchcase(owner, glob) for glob in self.models)

    def allows(self, held: Resources) -> bool:
        """Whether `held` is within it."""
        limits = ((self.cpus, held.cpus), (self.gpus, held.gpus))
        return all(limit is None or value <= limit + EPSILON for limit, value in limits)


@dataclass
class Cluster:
    """All nodes, by name in the order in which they were given."""

    nodes: dict[str, Node] = field(default_factory=dict)
    quotas: tuple[Quota, ...] = ()
    _held: dict[tuple[str, str], Resources] = field(default_factory=lambda: defaultdict(Resources))
    """(model, node) -> what is reserved."""

    @classmethod
    def of(cls, nodes: Iterable[Node], quotas: Iterable[Quota] = ()) -> "Cluster":
        return cls({node.name: node for node in nodes}, tuple(quotas))

    def fits(self, need: Resources, owner: str = "") -> bool:
        """Whether `take` would find a place."""
        return self.granted(need, owner) and any(node.fits(need) for node in self.nodes.values())

    def granted(self, need: Resources, owner: str) -> bool:
        """Whether no quota stands against `need` more for the model `owner`."""
        return all(quota.allows(_sum(self.held_under(quota), need)) for quota in self.quotas if quota.covers(owner))

    def held_under(self, quota: Quota) -> Resources:
        """What the models of `quota` hold together."""
        held = Resources()
        for (owner, _), each in self._held.items():
            held = _sum(held, each) if quota.covers(owner) else held
        return held

    def take(self, need: Resources, owner: str = "") -> str | None:
        """Reserve `need` on one node for the model `owner`; the node's name, or None where it fits nowhere or is not granted."""
        fitting = [node for node in self.nodes.values() if node.fits(need)]
        if not fitting or not self.granted(need, owner):
            return None
        chosen = min(fitting, key=lambda node: (node.gpus - node.used_gpus, node.cpus - node.used_cpus))
        chosen.used_cpus += need.cpus
        chosen.used_gpus += need.gpus
        self._held[owner, chosen.name] = _sum(self._held[owner, chosen.name], need)
        return chosen.name

    def give_back(self, name: str, need: Resources, owner: str = "") -> None:
        """Free what `take` reserved; what was on a node that is gone is free already."""
        node = self.nodes[name]
        if not node.alive:
            return
        self._held[owner, name] = _sum(self._held[owner, name], need, -1.0)
        node.used_cpus = max(0.0, node.used_cpus - need.cpus)
        node.used_gpus = max(0.0, node.used_gpus - need.gpus)

    def lose(self, name: str, now_s: float) -> None:
        """The node is gone, with all that ran on it."""
        node = self.nodes[name]
        if node.alive:
            node.alive_s += now_s - node.since_s
        node.alive, node.draining = False, False
        node.used_cpus = node.used_gpus = 0.0
        for held in [held for held in self._held if held[1] == name]:
            del self._held[held]

    def restore(self, name: str, now_s: float) -> None:
        """The node is back, empty."""
        node = self.nodes[name]
        if not node.alive:
            node.alive, node.since_s = True, now_s

    def capacity(self) -> Capacity:
        """What the living nodes have, and what is free of it. What is free in fragments counts as free, as in Ray."""
        cpus = gpus = free_cpus = free_gpus = 0.0
        for node in self.nodes.values():
            if node.alive:
                cpus, gpus = cpus + node.cpus, gpus + node.gpus
                free_cpus += node.cpus - node.used_cpus
                free_gpus += node.gpus - node.used_gpus
        return Capacity(
            total=Resources(cpus=cpus, gpus=gpus),
            free=Resources(cpus=max(0.0, round(free_cpus, 6)), gpus=max(0.0, round(free_gpus, 6))),
        )

    def cost(self, now_s: float) -> float:
        """What all nodes have cost until now, in the currency of their prices."""
        return sum(node.price_per_hour * node.paid_s(now_s) / HOUR_S for node in self.nodes.values())


def _sum(a: Resources, b: Resources, times: float = 1.0) -> Resources:
    """a + b * times, never below zero."""
    return Resources(cpus=max(0.0, a.cpus + times * b.cpus), gpus=max(0.0, a.gpus + times * b.gpus))
