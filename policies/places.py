"""How many pieces fit on the nodes of a cluster: a replica or a trial lies on one node. Pure.

What is free in all may be free in parts of which none is large enough: two nodes with two accelerators each have no room for a replica that
takes three.
"""

import math
from collections import defaultdict

from policies.observation import Capacity, Resources

EPSILON = 1e-9


class Places:
    """What is free on each node, less what was taken of it. Where that was not read, everything fits."""

    def __init__(self, capacity: Capacity) -> None:
        nodes = capacity.free_by_node
        self._free = None if nodes is None else [_amounts(free) for _, free in nodes]

    def fits(self, piece: Resources) -> float:
        """How many of `piece` fit; infinite where nodes are not known, or it takes nothing."""
        need = _amounts(piece)
        if self._free is None or not need:
            return math.inf
        if piece.spread:
            return _times(_in_all(self._free), need)
        return float(sum(_times(free, need) for free in self._free))

    def take(self, piece: Resources, count: int) -> None:
        """Place `count` of `piece`, each where it leaves the least room for another of its kind: what is large stays for what is large.

        What does not fit is placed nowhere.
        """
        need = _amounts(piece)
        if self._free is None or not need:
            return
        if piece.spread:
            _take_anywhere(self._free, {name: amount * count for name, amount in need.items()})
            return
        for _ in range(count):
            roomy = [free for free in self._free if _times(free, need) >= 1]
            if not roomy:
                return
            tightest = min(roomy, key=lambda free: _times(free, need))
            for name, amount in need.items():
                tightest[name] -= amount


def _amounts(resources: Resources) -> dict[str, float]:
    """By name, what is not zero."""
    named = {"cpus": resources.cpus, "gpus": resources.gpus, "memory_bytes": float(resources.memory_bytes)}
    return {name: amount for name, amount in (named | dict(resources.custom)).items() if amount > 0}


def _times(free: dict[str, float], need: dict[str, float]) -> int:
    return min(math.floor((free.get(name, 0.0) + EPSILON) / amount) for name, amount in need.items())


def _in_all(nodes: list[dict[str, float]]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for free in nodes:
        for name, amount in free.items():
            total[name] += amount
    return total


def _take_anywhere(nodes: list[dict[str, float]], need: dict[str, float]) -> None:
    for name, amount in need.items():
        left = amount
        for free in nodes:
            here = min(left, free.get(name, 0.0))
            free[name] = free.get(name, 0.0) - here
            left -= here
