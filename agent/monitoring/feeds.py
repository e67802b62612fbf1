"""What a detector is fed instead of the bare values of a signal, where it is not made for those.

Each learns from the first LEARNED values, holds them back meanwhile, and then hands on all.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from statistics import median, quantiles, stdev
from typing import Protocol

LEARNED = 200
CLIP = 5.0
NORMAL_QUARTILES = 1.349
"""Upper less lower quartile of a normal distribution, in standard deviations."""


class Feed(Protocol):
    learning: bool
    """Whether it still learns what to feed."""

    def learn(self, value: float) -> Sequence[float]:
        """Learn from `value`: nothing is fed yet, and with the last one that it learns from all of them are."""
        ...

    def of(self, value: float) -> float:
        """What the detector is fed for `value`."""
        ...

    def unfed(self, mean: float) -> float | None:
        """A mean of what was fed, in units of the signal; None where that says nothing."""
        ...


class Learned(ABC):
    """A feed that learns from the first LEARNED values."""

    def __init__(self) -> None:
        self.learning = True
        self._held: list[float] = []

    def learn(self, value: float) -> Sequence[float]:
        self._held.append(value)
        if len(self._held) < LEARNED:
            return ()
        held, self._held, self.learning = self._held, [], False
        self._settle(held)
        return [self.of(each) for each in held]

    @abstractmethod
    def _settle(self, held: list[float]) -> None:
        """Decide, from the first values."""

    @abstractmethod
    def of(self, value: float) -> float: ...


class Scaled(Learned):
    """Values as deviations from the median, in units of the spread, cut at CLIP.

    River's bounds are made for values of about one unit. Without this a feature in thousandths is never seen to change, and one with a
    heavy tail (incomes, durations) changes all the time. With `unless_part`, values that are all within [0, 1] are left as they are.
    """

    def __init__(self, *, unless_part: bool = False) -> None:
        super().__init__()
        self._unless_part = unless_part
        self._middle, self._unit, self._clip = 0.0, 1.0, math.inf

    def _settle(self, held: list[float]) -> None:
        if not (self._unless_part and all(0.0 <= each <= 1.0 for each in held)):
            self._middle, self._unit, self._clip = median(held), _spread(held), CLIP

    def of(self, value: float) -> float:
        scaled, clip = (value - self._middle) / self._unit, self._clip
        return clip if scaled > clip else -clip if scaled < -clip else scaled

    def unfed(self, mean: float) -> float | None:
        return self._middle + self._unit * mean


class Errors(Learned):
    """1 for what is wrong and 0 for what is right, of losses.

    Wrong is a loss above `wrong_above`; where that is not given, above what four in five of the first losses are not.
    """

    def __init__(self, wrong_above: float | None) -> None:
        super().__init__()
        self.learning = wrong_above is None
        self._wrong_above = 0.0 if wrong_above is None else wrong_above

    def _settle(self, held: list[float]) -> None:
        self._wrong_above = 0.5 if set(held) <= {0.0, 1.0} else quantiles(held, n=5)[-1]

    def of(self, value: float) -> float:
        return 1.0 if value > self._wrong_above else 0.0

    def unfed(self, mean: float) -> float | None:
        return None


def _spread(values: list[float]) -> float:
    """In standard deviations of a normal distribution, whatever the tails; of a constant so little that any change is one."""
    lower, _, upper = quantiles(values, n=4)
    spread = (upper - lower) / NORMAL_QUARTILES or stdev(values)
    return max(spread, 1e-9 * abs(values[0]), 1e-12)
