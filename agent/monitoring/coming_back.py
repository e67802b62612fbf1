"""Whether a signal has come back to what it was before an alarm.

1. While there is no alarm, the mean and the spread of blocks of values are remembered; at an alarm those behind the change are left out.
2. From the alarm on, the newest 5, 10, 20, ... blocks are held against that. The signal is back where their mean is nearer to what was
   before than the tolerance, by more than chance explains: a third of the shift that alarmed, or a quarter of a deviation if that is less.
3. Chance is judged by the spread of block means, since neighbouring values are alike. A small shift takes more rows to be taken back.
"""

import math
from collections import deque
from operator import mul

from agent.monitoring.moments import Welford

BLOCK = 100
BLOCKS_LEAST = 5
BLOCKS_KEPT = 320
"""32,000 values: enough to tell that a shift by a twentieth of a deviation is over."""
Z = 3.0
LEAST_DEVIATIONS = 0.05
"""A difference of less is none that anybody would act on."""


class _Blocks:
    """Mean and variance of each of the newest blocks of values."""

    def __init__(self) -> None:
        self._open: list[float] = []
        self.means: deque[float] = deque(maxlen=BLOCKS_KEPT)
        self.variances: deque[float] = deque(maxlen=BLOCKS_KEPT)

    def add(self, value: float) -> bool:
        """Whether a block is full now."""
        values = self._open
        values.append(value)
        if len(values) < BLOCK:
            return False
        first = values[0]  # taken off, so that a large level hides no small spread
        offsets = [each - first for each in values]
        mean = sum(offsets) / BLOCK
        self.means.append(first + mean)
        self.variances.append(max(0.0, sum(map(mul, offsets, offsets)) - BLOCK * mean**2) / (BLOCK - 1))
        values.clear()
        return True


class Before(_Blocks):
    """What a signal is like while nothing is wrong with it."""

    @property
    def newest(self) -> float | None:
        """Mean of the last values that are in no full block yet, or else of the last block."""
        if self._open:
            return math.fsum(self._open) / len(self._open)
        return self.means[-1] if self.means else None

    @property
    def mean(self) -> float | None:
        """None where too few values came to say."""
        return _mean(list(self.means))

    def alarmed(self, newest_rows: int = 0) -> "Away":
        """An alarm came; the newest `newest_rows` values, and at least the last block, are of the new times already."""
        left_out = max(1, math.ceil(newest_rows / BLOCK))
        kept = max(1, len(self.means) - left_out)
        return Away(list(self.means)[:kept], list(self.variances)[:kept])


class Away:
    """From an alarm on until the signal is back."""

    def __init__(self, means: list[float], variances: list[float]) -> None:
        self._before = _mean(means)
        spread = math.fsum(variances) / max(1, len(variances))
        self._deviation = math.sqrt(spread + (_variance(means) if len(means) > 1 else 0.0))
        self._shift = 0.0
        self._since = _Blocks()
        self._all = Welford()

    def back(self, value: float, *, falls_count: bool) -> bool:
        """Whether the signal has come back with this value. With `falls_count` being further down is as good as being back."""
        if not self._since.add(value) or self._before is None:
            return False
        means = list(self._since.means)
        variances = list(self._since.variances)
        self._all.add(means[-1])
        if self._all.n >= BLOCKS_LEAST:
            self._shift = max(self._shift, abs(self._all.mean - self._before))
        size = BLOCKS_LEAST
        while size <= len(means):
            if self._near(means[-size:], variances[-size:], falls_count=falls_count):
                return True
            size *= 2
        return False

    def _near(self, means: list[float], variances: list[float], *, falls_count: bool) -> bool:
        assert self._before is not None  # noqa: S101 - asked by `back`
        away = math.fsum(means) / len(means) - self._before
        within = math.fsum(variances) / len(variances) / (BLOCK * len(means))
        error = math.sqrt(max(within, _variance(means) / len(means)))
        tolerance = max(LEAST_DEVIATIONS * self._deviation, min(self._shift / 3, self._deviation / 4))
        rounding = 1e-9 * (abs(self._before) + self._shift)
        return (away if falls_count else abs(away)) + Z * error <= tolerance + rounding


def _mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _variance(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((each - mean) ** 2 for each in values) / max(1, len(values) - 1)
