"""The civil clock of a simulated world, which a fault may set: what it shows, and the ports as those see them who go by it.

The engine's own time is never set. While nobody sets the civil clock either, it shows the engine's time and nothing is changed on its way.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.clock import moved
from agent.order import Order
from policies.observation import Observation


class CivilWorld:
    """Sensor, Actuator and Trainer of `world` by its civil clock; `now_s` is the engine's time."""

    def __init__(self, world: Any, now_s: Callable[[], float]) -> None:
        self._world = world
        self._now_s = now_s
        self._set_at_s: list[float] = []
        self._off_s = [0.0]
        """By how much the clock was off the engine's time: from the beginning, and from each moment at which it was set."""

    def set_by(self, seconds: float) -> None:
        """Somebody sets the clock, forward or back."""
        self._set_at_s.append(self._now_s())
        self._off_s.append(self._off_s[-1] + seconds)

    def shows_s(self) -> float:
        """What the clock shows now."""
        return self._now_s() + self._off_s[-1]

    def observe(self, at_s: float) -> Observation:
        """See `agent.ports.Sensor.observe`."""
        seen: Observation = self._world.observe(self._now_s())
        return replace(moved(seen, self._showed_s), at_s=at_s) if self._set_at_s else seen

    def start(self, order: Order) -> None:
        """See `agent.ports.Actuator.start` and `agent.ports.Trainer.start`."""
        self._world.start(moved(order, self._at_s) if self._set_at_s else order)

    def _showed_s(self, engine_s: float) -> float:
        """What the clock showed at that moment of the engine."""
        return engine_s + self._off_s[bisect_right(self._set_at_s, engine_s)]

    def _at_s(self, civil_s: float) -> float:
        """When the clock last showed that."""
        now_s = self._now_s()
        for off_s, since_s in zip(reversed(self._off_s), [*reversed(self._set_at_s), 0.0], strict=True):
            if since_s <= civil_s - off_s <= now_s:
                return civil_s - off_s
        return civil_s - self._off_s[-1]
