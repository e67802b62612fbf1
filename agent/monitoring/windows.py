"""Detectors that compare the last window with a reference. They have River's interface (`update`, `drift_detected`).

The reference is the first window after a start; it never moves, so that a slow change is found as surely as a sudden one. A test is
made once per half window; the alarm goes when `recover` tests in a row were passed.
"""

import math
import re
from collections import Counter, deque
from itertools import chain, pairwise
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincc, gammaln, ndtr, stdtrit

from agent.monitoring.moments import Welford
from agent.monitoring.values import number

CHANCE = 3.4e-6
"""As rare as 4.5 deviations of a normal, and that twice in a row."""
ROWS_LEAST = 30
"""Of a window, where rows are left out since they come in runs."""
FEW = 100
TIME = re.compile(r"\d{4}-\d\d-\d\d")


class WindowTest:
    """What all of them share: the windows, the rhythm of the tests, and the alarm that must be earned and lost.

    Subclasses say how a value is kept (`keep`) and what the distance of the window from the reference is (`distance`). An alarm speaks
    of the last `reach` values at most: those of the first window that failed.
    """

    def __init__(self, *, window: int = 2000, threshold: float, confirm: int = 2, recover: int = 4) -> None:
        self.threshold = threshold
        self.value: float | None = None
        self.drift_detected = False
        self.reach = window + (confirm - 1) * (window // 2)
        self._window = window
        self._every = window // 2
        self._confirm = confirm
        self._recover = recover
        self._reference: list[Any] = []
        self._filling = True
        self._recent: deque[Any] = deque(maxlen=window)
        self._since_test = 0
        self._failed = 0
        self._passed = 0

    def update(self, value: Any) -> None:
        """Take in one value; what `keep` gives None for is not counted."""
        kept = self.keep(value)
        if kept is None:
            return
        if self._filling:
            self._reference.append(kept)
            self._filling = len(self._reference) < self._window
            return
        self._recent.append(kept)
        self._since_test += 1
        if self._since_test >= self._every and len(self._recent) == self._window:
            self._since_test = 0
            self._judge()

    def _judge(self) -> None:
        self.value = self.distance(self._reference, self._recent)
        if self.value > self.threshold:
            self._failed, self._passed = self._failed + 1, 0
        else:
            self._failed, self._passed = 0, self._passed + 1
        if self._failed >= self._confirm:
            self.drift_detected = True
        elif self._passed >= self._recover:
            self.drift_detected = False

    def keep(self, value: Any) -> Any:
        raise NotImplementedError

    def distance(self, reference: list[Any], recent: deque[Any]) -> float:
        raise NotImplementedError


class WindowMean(WindowTest):
    """Alarm when the mean rose by more than `threshold` times the reference's mean, and by more than chance explains.

    Rows of one stream are correlated, so chance is judged on means of blocks of `block` rows, by Welch's t over the two samples of
    block means (Biometrika 34, 1947). Its bound is as rare as `z` deviations of a normal: the fewer blocks, the further out.
    """

    def __init__(
        self, *, window: int = 2000, threshold: float = 0.05, z: float = 4.0, block: int = 200, confirm: int = 1
    ) -> None:
        super().__init__(window=window, threshold=threshold, confirm=confirm)
        self._chance = float(ndtr(-z))
        self._block = block

    def keep(self, value: Any) -> float | None:
        found = value if type(value) is float else number(value)
        return found if found is not None and math.isfinite(found) else None

    def distance(self, reference: list[Any], recent: deque[Any]) -> float:
        before, after = self._blocks(reference), self._blocks(list(recent))
        rise = after.mean - before.mean
        if rise <= self._by_chance(before.variance / before.n, after.variance / after.n, before.n, after.n):
            return 0.0
        return rise / abs(before.mean) if before.mean else math.inf

    def _by_chance(self, before: float, after: float, blocks_before: int, blocks_after: int) -> float:
        """How far two means lie apart by chance, given their variances and the blocks that each is of."""
        both = before + after
        if both == 0 or min(blocks_before, blocks_after) < 2:
            return 0.0
        freedom = both**2 / (before**2 / (blocks_before - 1) + after**2 / (blocks_after - 1))
        return -float(stdtrit(freedom, self._chance)) * math.sqrt(both)

    def _blocks(self, values: list[float]) -> Welford:
        means = Welford()
        block = min(self._block, max(1, len(values) // 5))
        for start in range(0, len(values) - block + 1, block):
            means.add(sum(values[start : start + block]) / block)
        return means


class PopulationStability(WindowTest):
    """Population stability index of categories: sum of (p - q) ln(p / q) over the categories of either window.

    Above .25 is by long custom called a major shift (Siddiqi, Credit Risk Scorecards, 2006), where categories are few and rows are many.
    Two samples of one distribution over C categories have an index of about (C - 1) (1/n + 1/m). So

    1. the index that chance alone gives these very categories is taken off first;
    2. what is left counts only where the chi-square statistic of the two samples is larger than a permutation of the rows makes it
       (by its exact mean and variance: Dawson, Biometrika 41, 1954, as a gamma distribution, with probability CHANCE);
    3. where equal values come in runs, every so many-th row is taken, so that what is left is as good as independent;
    4. a time of day or date is one category, since it never comes again.
    """

    def __init__(self, *, window: int = 2000, threshold: float = 0.25, confirm: int = 2) -> None:
        super().__init__(window=window, threshold=threshold, confirm=confirm)

    def keep(self, value: Any) -> str | None:
        if value is None:
            return None
        category = str(value)
        return "a time" if category[4:5] == "-" and TIME.match(category) else category

    def distance(self, reference: list[Any], recent: deque[Any]) -> float:
        apart = _apart(reference, recent)
        before, after = Counter(reference[::apart]), Counter(list(recent)[::apart])
        names = sorted(before.keys() | after.keys())
        counts = np.array([[before[name] for name in names], [after[name] for name in names]], dtype=float)
        if len(names) < 2 or _is_chance(counts):
            return 0.0
        return max(0.0, _index(counts) - _index_by_chance(counts))


def _apart(reference: list[Any], recent: deque[Any]) -> int:
    """How far two rows must lie apart to be as good as independent, from how often neighbours are equal."""
    both = (reference, list(recent))
    equal = sum(first == second for values in both for first, second in pairwise(values))
    size = sum(map(len, both))
    by_chance = sum(count * (count - 1) for count in Counter(chain(*both)).values()) / (size * (size - 1))
    alike = (equal / (size - 2) - by_chance) / (1.0 - by_chance) if by_chance < 1.0 else 0.0
    return max(1, min(round((1 + alike) / (1 - alike)) if alike < 1.0 else size, size // (2 * ROWS_LEAST)))


def _index(counts: npt.NDArray[np.float64]) -> float:
    # Half a row for an empty cell keeps the logarithm finite without hiding a new category.
    p, q = np.maximum(counts, 0.5) / counts.sum(axis=1, keepdims=True)
    return float(np.sum((q - p) * np.log(q / p)))


def _is_chance(counts: npt.NDArray[np.float64]) -> bool:
    """Whether rows that are dealt to two samples at random look so different more often than CHANCE."""
    totals, (n, m) = counts.sum(axis=0), counts.sum(axis=1)
    rows, categories = n + m, counts.shape[1]
    statistic = rows**2 / (n * m) * float(np.sum((counts[0] - n * totals / rows) ** 2 / totals))
    mean = rows * (categories - 1) / (rows - 1)
    free, uneven = (rows - 2) / (rows - 1), (rows / n + rows / m - 4) / (rows - 2)
    free_c = (categories - 1) * (rows - categories) / (rows - 1)
    uneven_c = (float(np.sum(rows / totals)) - categories**2) / (rows - 2)
    variance = 2 * rows / (rows - 3) * (free - uneven) * (free_c - uneven_c) + rows**2 / (rows - 1) * uneven * uneven_c
    if variance <= 1e-9 * mean:  # all rows differ: nothing can be told
        return True
    return bool(gammaincc(mean**2 / variance, statistic * mean / variance) > CHANCE)


def _index_by_chance(counts: npt.NDArray[np.float64]) -> float:
    """The mean of the index where each category's rows fall to either sample by chance."""
    totals, (n, m) = counts.sum(axis=0), counts.sum(axis=1)
    expected = 0.0
    for total, times in zip(*np.unique(totals, return_counts=True), strict=True):
        if total > FEW:
            expected += times * (1 - total / (n + m)) * (1 / n + 1 / m)
            continue
        a = np.arange(total + 1)
        chances = np.exp(gammaln(total + 1) - gammaln(a + 1) - gammaln(total - a + 1)) * (n / (n + m)) ** a
        chances *= (m / (n + m)) ** (total - a)
        p, q = np.maximum(a, 0.5) / n, np.maximum(total - a, 0.5) / m
        expected += times * float(np.sum(chances * (q - p) * np.log(q / p)))
    return expected


class MissingRate(WindowTest):
    """Alarm when values are missing far more often, and more than chance explains (z > 4).

    Far more often is a rise of the share by `threshold`, whatever it was; less is enough where few were missing before: `growth` times
    the share of before, though never below `least`. By default 10 % missing is far more often from 17.5 % on, and none from 5 % on.
    """

    def __init__(
        self,
        *,
        window: int = 2000,
        threshold: float = 0.3,
        growth: float = 0.75,
        least: float = 0.05,
        confirm: int = 2,
    ) -> None:
        super().__init__(window=window, threshold=threshold, confirm=confirm)
        self._most = threshold
        self._growth = growth
        self._least = least

    def keep(self, value: Any) -> int:
        if type(value) is float:
            return 0 if -math.inf < value < math.inf else 1
        return 1 if value is None or (isinstance(value, float) and not math.isfinite(value)) else 0

    def distance(self, reference: list[Any], recent: deque[Any]) -> float:
        p, q = sum(reference) / len(reference), sum(recent) / len(recent)
        self.threshold = min(self._most, max(self._least, self._growth * p))
        pooled = (sum(reference) + sum(recent)) / (len(reference) + len(recent))
        spread = math.sqrt(pooled * (1 - pooled) * (1 / len(reference) + 1 / len(recent)))
        return q - p if q - p > 4 * spread else 0.0


class ScaleChange(WindowTest):
    """Alarm when numbers are of another order of magnitude: the units of a feature were changed on the way.

    The scale of a window is the median of the absolute values that are not 0; the distance is how many times larger or smaller it is
    than that of the reference, as a logarithm to base 10; 1.7 is fifty times. Not for features that count up, such as a date or a
    running number, and therefore in no default set.
    """

    def __init__(self, *, window: int = 2000, threshold: float = 1.7, confirm: int = 1) -> None:
        super().__init__(window=window, threshold=threshold, confirm=confirm)

    def keep(self, value: Any) -> float | None:
        return abs(float(value)) if isinstance(value, int | float) and math.isfinite(value) and value else None

    def distance(self, reference: list[Any], recent: deque[Any]) -> float:
        return abs(math.log10(median(recent) / median(reference)))
