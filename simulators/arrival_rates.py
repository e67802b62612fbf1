"""How the rate of requests changes over time: steady, ramp, step, flash crowd, diurnal, weekly, or any function.

A rate tells its value and an upper bound of it, no more; what arrives is drawn in `simulators.arrivals`. Rates are in requests per second,
times in simulated seconds, and t = 0 is midnight on a Monday where days matter.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]

DAY_S = 86_400.0
_NOT_NEGATIVE = "must be a finite number >= 0"


class Rate(Protocol):
    """A rate over time."""

    def at(self, t_s: Times) -> Times:
        """The rate at each of these moments."""
        ...

    def most(self, begin_s: float, end_s: float) -> float:
        """No rate between the two moments is above this."""
        ...


def _fine(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} {_NOT_NEGATIVE}, not {value!r}")


@dataclass(frozen=True, slots=True)
class Steady:
    """Always the same."""

    rps: float

    def __post_init__(self) -> None:
        _fine(rps=self.rps)

    def at(self, t_s: Times) -> Times:
        return np.full(len(t_s), self.rps)

    def most(self, begin_s: float, end_s: float) -> float:
        return self.rps


@dataclass(frozen=True, slots=True)
class Pieces:
    """Straight lines between points, level before the first and after the last. Two points at one time are a jump."""

    times_s: tuple[float, ...]
    rps: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.times_s or len(self.times_s) != len(self.rps):
            raise ValueError("times_s and rps must be of one length, at least 1")
        if any(a > b for a, b in pairwise(self.times_s)):
            raise ValueError(f"times_s must not descend: {self.times_s}")
        for value in self.rps:
            _fine(rps=value)

    def at(self, t_s: Times) -> Times:
        return np.interp(t_s, self.times_s, self.rps)

    def most(self, begin_s: float, end_s: float) -> float:
        inside = [r for t, r in zip(self.times_s, self.rps, strict=True) if begin_s <= t <= end_s]
        return float(max(*np.interp([begin_s, end_s], self.times_s, self.rps), *inside))


@dataclass(frozen=True, slots=True)
class Wave:
    """mean_rps * (1 + swing * cos) with its peak at `peak_s` in each period: a day, by default, busiest at two in the afternoon."""

    mean_rps: float
    swing: float
    peak_s: float = 14 * 3600.0
    period_s: float = DAY_S

    def __post_init__(self) -> None:
        _fine(mean_rps=self.mean_rps, swing=self.swing, peak_s=self.peak_s)
        if self.swing > 1 or not self.period_s > 0:
            raise ValueError(f"swing must be in 0..1 and period_s > 0, not {self.swing!r} and {self.period_s!r}")

    def at(self, t_s: Times) -> Times:
        return self.mean_rps * (1 + self.swing * np.cos(2 * np.pi * (t_s - self.peak_s) / self.period_s))

    def most(self, begin_s: float, end_s: float) -> float:
        periods = math.ceil((begin_s - self.peak_s) / self.period_s)
        if self.peak_s + periods * self.period_s <= end_s:
            return self.mean_rps * (1 + self.swing)
        return float(np.max(self.at(np.array([begin_s, end_s]))))


@dataclass(frozen=True, slots=True)
class Weekly:
    """A daily rate, times a factor for each day of the week from Monday on."""

    day: Rate
    factors: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.factors) != 7:
            raise ValueError(f"factors must be seven, one for each day from Monday on, not {len(self.factors)}")
        for value in self.factors:
            _fine(factors=value)

    def at(self, t_s: Times) -> Times:
        weekday = (np.asarray(t_s) // DAY_S).astype(np.int64) % 7
        return self.day.at(t_s) * np.array(self.factors)[weekday]

    def most(self, begin_s: float, end_s: float) -> float:
        first, last = int(begin_s // DAY_S), int(end_s // DAY_S)
        days = range(first, min(last, first + 6) + 1)
        return self.day.most(begin_s, end_s) * max(self.factors[day % 7] for day in days)


@dataclass(frozen=True, slots=True)
class Function:
    """Any function of an array of times, nowhere above `most_rps`."""

    call: Callable[[Times], Times]
    most_rps: float

    def __post_init__(self) -> None:
        _fine(most_rps=self.most_rps)

    def at(self, t_s: Times) -> Times:
        return self.call(t_s)

    def most(self, begin_s: float, end_s: float) -> float:
        return self.most_rps


@dataclass(frozen=True, slots=True)
class Scaled:
    """Another rate, `factor` times as high and `stretch` times as slow."""

    rate: Rate
    factor: float = 1.0
    stretch: float = 1.0

    def __post_init__(self) -> None:
        _fine(factor=self.factor, stretch=self.stretch)
        if self.stretch == 0:
            raise ValueError("stretch must be > 0")

    def at(self, t_s: Times) -> Times:
        return self.factor * self.rate.at(t_s / self.stretch)

    def most(self, begin_s: float, end_s: float) -> float:
        return self.factor * self.rate.most(begin_s / self.stretch, end_s / self.stretch)


def ramp(from_rps: float, to_rps: float, begin_s: float, end_s: float) -> Pieces:
    """A straight line from one rate to another."""
    return Pieces((begin_s, end_s), (from_rps, to_rps))


def step(before_rps: float, after_rps: float, at_s: float) -> Pieces:
    """A jump."""
    return Pieces((at_s, at_s), (before_rps, after_rps))


def flash_crowd(
    base_rps: float, peak_rps: float, at_s: float, *, rise_s: float = 10.0, hold_s: float = 60.0, fall_s: float = 300.0
) -> Pieces:
    """A sudden crowd that stays for a while and then disperses."""
    times = (at_s, at_s + rise_s, at_s + rise_s + hold_s, at_s + rise_s + hold_s + fall_s)
    return Pieces(times, (base_rps, peak_rps, peak_rps, base_rps))
