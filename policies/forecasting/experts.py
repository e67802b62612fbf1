"""Experts: simple point forecasts of many series at once. They say no uncertainty; the mixture measures it from their errors.

A history is an array [steps, series], oldest first, with NaN where a value is not known; a forecast is [horizon, series], NaN
where an expert has nothing to say.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from policies.parameters import positive

Array = NDArray[np.float64]
Columns = NDArray[np.int64]


class Expert(Protocol):
    """One way to forecast. It is shown every step once, and may be asked at any time."""

    def learn(self, values: Array) -> None:
        """One more step, [series]; NaN where it is not known."""
        ...

    def forecast(self, history: Array, horizon: int) -> Array:
        """The `horizon` steps after `history`, whose last step may be one that is still under way and was not learned yet."""
        ...

    def select(self, columns: Columns) -> None:
        """From now on the series are these of the old ones; -1 is a new one."""
        ...


def select_last_axis(array: Array, columns: Columns, fill: float = np.nan) -> Array:
    """`array[..., columns]`, with `fill` for -1."""
    if array.shape[-1] == 0:
        return np.full((*array.shape[:-1], len(columns)), fill)
    return np.where(columns < 0, fill, array[..., np.maximum(columns, 0)])


class _Stateless:
    """For experts that need nothing but the history."""

    def learn(self, values: Array) -> None:
        del values

    def select(self, columns: Columns) -> None:
        del columns


class LastValue(_Stateless):
    """All will be as it is."""

    def forecast(self, history: Array, horizon: int) -> Array:
        return np.tile(_last_known(history), (horizon, 1))


@dataclass
class MovingAverage(_Stateless):
    """All will be as it was on average over the last `steps`."""

    steps: int = 5

    def __post_init__(self) -> None:
        positive(steps=self.steps)

    def forecast(self, history: Array, horizon: int) -> Array:
        recent = history[-self.steps :]
        known = np.isfinite(recent)
        with np.errstate(invalid="ignore"):
            mean = np.where(known, recent, 0.0).sum(axis=0) / known.sum(axis=0)
        return np.tile(mean, (horizon, 1))


@dataclass
class SeasonalNaive(_Stateless):
    """As it was `season_steps` ago, on average over up to `seasons` seasons."""

    season_steps: int
    seasons: int = 1

    def __post_init__(self) -> None:
        positive(season_steps=self.season_steps, seasons=self.seasons)

    def forecast(self, history: Array, horizon: int) -> Array:
        return _seasonal(history, horizon, self.season_steps, self.seasons)


@dataclass
class SeasonalLevel(_Stateless):
    """The shape of the season before at the level of now: seasonal naive times (last `level_steps` / the same a season ago)."""

    season_steps: int
    seasons: int = 1
    level_steps: int = 10

    def __post_init__(self) -> None:
        positive(season_steps=self.season_steps, seasons=self.seasons, level_steps=self.level_steps)

    def forecast(self, history: Array, horizon: int) -> Array:
        steps = min(self.level_steps, len(history))
        before = _seasonal(history[: len(history) - steps], steps, self.season_steps, self.seasons)
        recent = history[len(history) - steps :]
        both = np.isfinite(before) & np.isfinite(recent)
        with np.errstate(invalid="ignore", divide="ignore"):
            level = np.where(both, recent, 0.0).sum(axis=0) / np.where(both, before, 0.0).sum(axis=0)
        # A level of a few times the season before says that the season does not help; then its shape does not either.
        level = np.where(np.isfinite(level), np.clip(level, 0.25, 4.0), 1.0)
        return _seasonal(history, horizon, self.season_steps, self.seasons) * level


def _last_known(history: Array) -> Array:
    """The newest finite value of each series, NaN where there is none."""
    known = np.isfinite(history)
    newest = len(history) - 1 - np.argmax(known[::-1], axis=0)
    picked = np.take_along_axis(history, newest[None], axis=0)[0]
    return np.where(known.any(axis=0), picked, np.nan)


def _seasonal(history: Array, horizon: int, season: int, seasons: int) -> Array:
    total, count = np.zeros((horizon, history.shape[1])), np.zeros((horizon, history.shape[1]))
    for back in range(1, seasons + 1):
        at = len(history) - back * season + np.arange(horizon)
        inside = (at >= 0) & (at < len(history))
        if inside.any():
            values = history[at[inside]]
            known = np.isfinite(values)
            total[inside] += np.where(known, values, 0.0)
            count[inside] += known
    with np.errstate(invalid="ignore"):
        return total / count
