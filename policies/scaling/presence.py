"""How many replicas serve, step by step, under a plan: what runs, what is still starting, and what a plan would start or stop."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """One deployment's replicas now, and how long further ones take."""

    running: int
    remaining_s: tuple[float, ...]
    """Seconds until each replica that starts now will run, soonest first."""
    up_s: float
    """Seconds from having a place to running."""
    wait_s: float
    """Seconds of waiting for a place where none is free."""
    free: float
    """Further replicas for which a place is free at once."""

    @property
    def live(self) -> int:
        return self.running + len(self.remaining_s)

    def serving(self, first: Array, then: Array, switch_s: float, ends_s: Floats) -> Array:
        """[t, k] replicas that serve in the steps that end at `ends_s`, where `first`, [k], are wanted from now and `then` from `switch_s`.

        What is taken away is gone at once, those that do not run yet first; what is added comes up after its time.
        """
        step_s = float(ends_s[0])
        kept = self._held(np.minimum(first, then), ends_s, step_s)
        later = kept + self._added(np.maximum(0.0, then - first), switch_s, ends_s, step_s)
        return np.asarray(np.where((ends_s <= switch_s)[:, None], self._held(first, ends_s, step_s), later))

    def _held(self, counts: Array, ends_s: Floats, step_s: float) -> Array:
        total = np.broadcast_to(np.minimum(counts, self.running), (len(ends_s), len(counts))).copy()
        for n, remaining_s in enumerate(self.remaining_s):
            total += _up(remaining_s, ends_s, step_s) * (counts > self.running + n)
        return total + self._added(np.maximum(0.0, counts - self.live), 0.0, ends_s, step_s)

    def _added(self, more: Array, from_s: float, ends_s: Floats, step_s: float) -> Array:
        at_once = np.minimum(more, self.free)
        quick = _up(from_s + self.up_s, ends_s, step_s) * at_once
        return np.asarray(quick + _up(from_s + self.up_s + self.wait_s, ends_s, step_s) * (more - at_once))


def _up(ready_s: float, ends_s: Floats, step_s: float) -> Array:
    """[t, 1] the part of each step in which a replica runs that is ready at `ready_s`."""
    return np.asarray(np.clip((ends_s - ready_s) / step_s, 0.0, 1.0)[:, None])
