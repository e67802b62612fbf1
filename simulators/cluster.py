"""Nodes, and what fits where. Serving and training share them; nothing is moved to make room, so capacity can lie in fragments.

A replica or a job goes to the fullest node that it fits on (best fit), as Ray's packing of small requests does; ties go to the first node.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

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


@dataclass
class Cluster:
    """All nodes, by name in the order in which they were given."""

    nodes: dict[str, Node] = field(default_factory=dict)

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> "Cluster":
        return cls({node.name: node for node in nodes})

    def take(self, need: Resources) -> str | None:
        """Reserve `need` on one node; its name, or None where it fits on no node."""
        fitting = [node for node in self.nodes.values() if node.fits(need)]
        if not fitting:
            return None
        chosen = min(fitting, key=lambda node: (node.gpus - node.used_gpus, node.cpus - node.used_cpus))
        chosen.used_cpus += need.cpus
        chosen.used_gpus += need.gpus
        return chosen.name

    def give_back(self, name: str, need: Resources) -> None:
        """Free what `take` reserved."""
        node = self.nodes[name]
        node.used_cpus = max(0.0, node.used_cpus - need.cpus)
        node.used_gpus = max(0.0, node.used_gpus - need.gpus)

    def lose(self, name: str, now_s: float) -> None:
        """The node is gone, with all that ran on it."""
        node = self.nodes[name]
        if node.alive:
            node.alive_s += now_s - node.since_s
        node.alive, node.draining = False, False
        node.used_cpus = node.used_gpus = 0.0

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
