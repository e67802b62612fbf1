"""Flapping: replicas that are added, taken away and added again. It is measured per deployment, and makes the next move dearer."""

from collections import deque
from dataclasses import dataclass, field

from policies.parameters import positive

BORNE = 2
"""So many turns within the window are what traffic does to anybody."""


@dataclass(kw_only=True)
class Flapping:
    """Turns of direction within the last `window_s`."""

    window_s: float = 600.0
    _turns_s: deque[float] = field(default_factory=deque, init=False, repr=False)
    _wanted: int | None = field(default=None, init=False, repr=False)
    _direction: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        positive(window_s=self.window_s)

    def see(self, wanted: int, at_s: float) -> None:
        """Take in how many replicas are wanted now, whoever wants them."""
        if self._wanted is not None and wanted != self._wanted:
            direction = 1 if wanted > self._wanted else -1
            if direction == -self._direction:
                self._turns_s.append(at_s)
            self._direction = direction
        self._wanted = wanted
        while self._turns_s and at_s - self._turns_s[0] > self.window_s:
            self._turns_s.popleft()

    @property
    def turns(self) -> int:
        return len(self._turns_s)

    @property
    def damping(self) -> float:
        """By what a move must be better than it otherwise would: 1 while calm, and twice as much with every turn too many."""
        return float(2 ** max(0, self.turns - BORNE))
