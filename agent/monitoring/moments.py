"""Mean and variance of a stream in constant memory. Welford, Technometrics 4 (1962)."""

import math
from dataclasses import dataclass

from policies.observation import Moments


@dataclass(slots=True)
class Welford:
    """Numerically stable, whatever the offset of the values."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.n += 1
        delta = value - self.mean
        self.mean += delta / self.n
        self.squares += delta * (value - self.mean)

    @property
    def variance(self) -> float:
        return self.squares / (self.n - 1) if self.n > 1 else 0.0

    def moments(self) -> Moments:
        """No evidence at all where the sums have left what a number can hold."""
        if not math.isfinite(self.mean) or not math.isfinite(self.variance):
            return Moments()
        return Moments(n=self.n, mean=self.mean, variance=self.variance)
