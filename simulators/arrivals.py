"""When requests arrive: seeded sources that hand out times of arrival, each once and in order.

A source draws in windows of its own, large enough to be cheap and independent of how it is asked, so the same seed gives the same
arrivals whatever the block. It knows no deployment. Rates are in `simulators.arrival_rates`, files in `simulators.arrival_traces`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from simulators.arrival_rates import Rate, Times

Within = Literal["poisson", "exponential_gaps"]

_NONE = np.empty(0)
_REQUESTS_PER_WINDOW = 20_000
_WINDOW_S = (10.0, 600.0)


class Source(Protocol):
    """Where requests come from."""

    def until(self, t_s: float) -> Times:
        """All arrivals before `t_s` that were not given yet, ascending; shape (requests,). Time does not go back."""
        ...


class _Windows(ABC):
    """Hands out what is drawn window by window. What falls behind the end of its window waits for its turn."""

    def __init__(self) -> None:
        self._drawn_s = 0.0
        self._waiting = _NONE
        self._given = 0

    @abstractmethod
    def _draw(self, begin_s: float) -> tuple[Times, float]:
        """The arrivals of the window from `begin_s` on, ascending and none before it, and where it ends (inf: all were drawn)."""

    def until(self, t_s: float) -> Times:
        while self._drawn_s < t_s:
            times, end_s = self._draw(self._drawn_s)
            left = self._waiting[self._given :]
            # a window may spill over: sort only when two overlap, and then by merging runs
            overlap = len(left) > 0 and len(times) > 0 and left[-1] > times[0]
            joined = np.concatenate([left, times])
            self._waiting = np.sort(joined, kind="stable") if overlap else joined
            self._given = 0
            self._drawn_s = end_s
        end = self._given + int(np.searchsorted(self._waiting[self._given :], t_s))
        given = self._waiting[self._given : end]
        self._given = end
        return given


class Poisson(_Windows):
    """A Poisson process of any rate, by thinning (Lewis and Shedler, 1979) under the bound of each window."""

    def __init__(self, rate: Rate, *, seed: np.random.SeedSequence) -> None:
        super().__init__()
        self._rate = rate
        self._random = np.random.default_rng(seed)

    def _draw(self, begin_s: float) -> tuple[Times, float]:
        width_s = _WINDOW_S[1]
        while (most := self._rate.most(begin_s, begin_s + width_s)) * width_s > _REQUESTS_PER_WINDOW:
            if width_s <= _WINDOW_S[0]:
                break
            width_s = max(width_s / 4, _WINDOW_S[0])
        if most == 0:
            return _NONE, begin_s + width_s
        times = begin_s + np.sort(self._random.random(self._random.poisson(most * width_s))) * width_s
        rates = self._rate.at(times)
        if np.any(rates < most):
            times = times[self._random.random(len(times)) * most < rates]
        return times, begin_s + width_s


class Bursts(_Windows):
    """A Markov-modulated Poisson process: it stays in a state for an exponential time, then goes to any other with equal chance."""

    def __init__(self, rps: Sequence[float], stay_s: Sequence[float], *, seed: np.random.SeedSequence) -> None:
        super().__init__()
        if len(rps) != len(stay_s) or len(rps) < 2 or min(rps) < 0 or min(stay_s) <= 0:
            raise ValueError(f"bursts need two states or more, rates >= 0 and stays > 0, not {rps} and {stay_s}")
        self._rps, self._stay_s = tuple(rps), tuple(stay_s)
        self._random = np.random.default_rng(seed)
        self._state = int(self._random.integers(len(rps)))

    def _draw(self, begin_s: float) -> tuple[Times, float]:
        width_s = self._random.exponential(self._stay_s[self._state])
        count = self._random.poisson(self._rps[self._state] * width_s)
        times = begin_s + np.sort(self._random.random(count)) * width_s
        other = int(self._random.integers(len(self._rps) - 1))
        self._state = other + (other >= self._state)
        return times, begin_s + width_s


class CountReplay(_Windows):
    """So many requests in each bin, as a trace counted them.

    "poisson": spread as a Poisson process would have spread that many. "exponential_gaps": the first at the beginning of the bin, the
    others after independent exponential gaps of mean bin / count; all are sent, so they may spill over into later bins (the
    load generator of Faro's published simulator). `scale` multiplies counts (a fraction is rounded up with its own chance),
    `stretch` the width of the bins.
    """

    def __init__(
        self,
        counts: NDArray[np.integer],
        *,
        bin_s: float,
        seed: np.random.SeedSequence,
        within: Within = "poisson",
        scale: float = 1.0,
        stretch: float = 1.0,
    ) -> None:
        super().__init__()
        _check_replay(scale, stretch)
        if counts.ndim != 1 or (len(counts) and counts.min() < 0):
            raise ValueError("counts must be one row of whole numbers >= 0")
        if within not in ("poisson", "exponential_gaps"):
            raise ValueError(f'within must be "poisson" or "exponential_gaps", not {within!r}')
        self._random = np.random.default_rng(seed)
        self._counts = _rounded(counts * scale, self._random)
        self._bin_s = bin_s * stretch
        self._gaps = within == "exponential_gaps"
        self._next = 0

    def _draw(self, begin_s: float) -> tuple[Times, float]:
        if self._next >= len(self._counts):
            return _NONE, math.inf
        first, total = self._next, 0
        while self._next < len(self._counts) and (total == 0 or total < _REQUESTS_PER_WINDOW):
            total += int(self._counts[self._next])
            self._next += 1
        counts = self._counts[first : self._next]
        starts = np.repeat(np.arange(first, self._next) * self._bin_s, counts)
        times = starts + (self._gap_sums(counts) if self._gaps else self._random.random(total) * self._bin_s)
        return np.sort(times), self._next * self._bin_s

    def _gap_sums(self, counts: NDArray[np.int64]) -> Times:
        """Times since the start of each bin: sums of its gaps, the first of them zero."""
        some = counts[counts > 0]
        gaps = self._random.standard_exponential(int(counts.sum())) * np.repeat(self._bin_s / some, some)
        heads = np.cumsum(some) - some
        gaps[heads] = 0.0
        sums = np.cumsum(gaps)
        return sums - np.repeat(sums[heads], some)


class StampReplay:
    """Requests at recorded times, with what else was recorded of each (`columns`, shape (requests, columns)).

    `scale` sends each request that many times (a fraction by chance); copies lie anywhere before the next one. `stretch` slows down.
    """

    def __init__(
        self,
        times_s: Times,
        *,
        columns: NDArray[np.float64] | None = None,
        scale: float = 1.0,
        stretch: float = 1.0,
        seed: np.random.SeedSequence,
    ) -> None:
        _check_replay(scale, stretch)
        if np.any(np.diff(times_s) < 0) or (len(times_s) and not 0 <= times_s[0] <= times_s[-1] < math.inf):
            raise ValueError("times_s must be finite, >= 0 and not descend")
        if columns is not None and (columns.ndim != 2 or len(columns) != len(times_s)):
            raise ValueError(f"columns must have a row for each of {len(times_s)} requests, not shape {columns.shape}")
        random = np.random.default_rng(seed)
        copies = _rounded(np.full(len(times_s), scale), random)
        rows = np.repeat(np.arange(len(times_s)), copies)
        times = times_s[rows] * stretch
        if scale > 1:
            gaps = np.diff(times_s, append=times_s[-1:])[rows] * stretch
            again = np.diff(rows, prepend=-1) == 0
            times = times + np.where(again, random.random(len(rows)), 0.0) * gaps
        order = np.argsort(times, kind="stable")
        self._times = times[order]
        self._columns = np.empty((len(rows), 0)) if columns is None else columns[rows[order]]
        self._given = 0

    def until(self, t_s: float) -> Times:
        return self.rows_until(t_s)[0]

    def rows_until(self, t_s: float) -> tuple[Times, NDArray[np.float64]]:
        """As `until`, and the columns of the same requests."""
        begin = self._given
        self._given = max(begin, int(np.searchsorted(self._times, t_s)))
        return self._times[begin : self._given], self._columns[begin : self._given]


class Superposed:
    """Several sources together."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources

    def until(self, t_s: float) -> Times:
        given = [each.until(t_s) for each in self._sources]
        if len(given) == 1:
            return given[0]
        return np.sort(np.concatenate([_NONE, *given]), kind="stable")


def _check_replay(scale: float, stretch: float) -> None:
    if not (math.isfinite(scale) and scale >= 0 and math.isfinite(stretch) and stretch > 0):
        raise ValueError(f"scale must be >= 0 and stretch > 0, both finite, not {scale!r} and {stretch!r}")


def _rounded(expected: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    """Whole numbers with these means; nothing is drawn where they are whole already."""
    whole = np.floor(expected)
    part = expected - whole
    if np.any(part > 0):
        whole += random.random(len(expected)) < part
    return whole.astype(np.int64)
