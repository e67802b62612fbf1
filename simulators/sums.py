"""Means over many rows at once, in constant memory: the newest batches, and moments that grow by a whole batch."""

from collections import deque

from policies.observation import Moments


class Batches:
    """The mean over the newest `rows_max` rows, told in batches."""

    def __init__(self, rows_max: int) -> None:
        self._rows_max = rows_max
        self._batches: deque[tuple[int, float]] = deque()
        self._total = 0.0
        self.rows = 0

    def add(self, rows: int, mean: float) -> None:
        """A batch; the oldest go as soon as the others are enough."""
        self._batches.append((rows, mean * rows))
        self.rows += rows
        self._total += mean * rows
        while self.rows - self._batches[0][0] >= self._rows_max:
            old, total = self._batches.popleft()
            self.rows -= old
            self._total -= total

    @property
    def full(self) -> bool:
        return self.rows >= self._rows_max

    @property
    def mean(self) -> float:
        """0 where there is no row."""
        return self._total / self.rows if self.rows else 0.0


def pooled(found: Moments, n: int, mean: float, deviation: float) -> Moments:
    """`found` with `n` more samples of `mean` and standard deviation `deviation`.

    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
    """
    if n <= 0:
        return found
    total = found.n + n
    shift = mean - found.mean
    within = found.variance * max(0, found.n - 1) + deviation * deviation * (n - 1)
    squares = within + shift * shift * found.n * n / total
    return Moments(n=total, mean=found.mean + shift * n / total, variance=squares / (total - 1) if total > 1 else 0.0)
