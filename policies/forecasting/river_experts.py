"""River's time-series models behind guards: one NaN ruins them for good, and before one season they raise or explode."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from river import time_series

from policies.forecasting.experts import Array, Columns
from policies.parameters import inside_unit, positive

BLOWN_UP = 10.0
"""A forecast of more than so many times the largest value ever seen is nonsense, and the model is begun again."""


@dataclass
class _Guarded:
    """One River model per series.

    1. A value that is not known is replaced by the last known one, or left out where there is none.
    2. Nothing is asked before `warm_steps` values; until then it has nothing to say.
    3. A forecast that raises, is not finite or is beyond `BLOWN_UP` is no forecast; the model begins again.
    4. Forecasts are not negative.
    """

    warm_steps: int
    _prototype: Any
    _models: list[Any] = field(default_factory=list)
    _seen: list[int] = field(default_factory=list)
    _last: list[float] = field(default_factory=list)
    _largest: list[float] = field(default_factory=list)

    def select(self, columns: Columns) -> None:
        self._models = [copy.deepcopy(self._prototype) if c < 0 else self._models[c] for c in columns]
        self._seen = [0 if c < 0 else self._seen[c] for c in columns]
        self._last = [math.nan if c < 0 else self._last[c] for c in columns]
        self._largest = [0.0 if c < 0 else self._largest[c] for c in columns]

    def learn(self, values: Array) -> None:
        for n, value in enumerate(values.tolist()):
            known = value if math.isfinite(value) else self._last[n]
            if not math.isfinite(known):
                continue
            self._last[n], self._largest[n] = known, max(self._largest[n], abs(known))
            self._seen[n] += 1
            try:
                self._models[n].learn_one(known)
            except (ArithmeticError, ValueError, IndexError):
                self._begin_again(n)

    def forecast(self, history: Array, horizon: int) -> Array:
        ahead = np.full((horizon, len(self._models)), np.nan)
        for n, seen in enumerate(self._seen):
            if seen >= self.warm_steps:
                ahead[:, n] = self._one(n, horizon)
        return ahead

    def _one(self, n: int, horizon: int) -> Array:
        try:
            values = np.asarray(self._models[n].forecast(horizon=horizon), dtype=np.float64)
        except (ArithmeticError, ValueError, IndexError):
            values = np.full(horizon, np.nan)
        if values.shape == (horizon,) and np.isfinite(values).all() and values.max() <= BLOWN_UP * self._largest[n]:
            return np.maximum(values, 0.0)
        self._begin_again(n)
        return np.full(horizon, np.nan)

    def _begin_again(self, n: int) -> None:
        self._models[n], self._seen[n] = copy.deepcopy(self._prototype), 0


class HoltWinters(_Guarded):
    """Triple exponential smoothing with an additive trend and, where `season_steps` is given, an additive season."""

    def __init__(
        self, season_steps: int | None = None, level: float = 0.4, trend: float = 0.01, season: float = 0.3
    ) -> None:
        positive(season_steps=season_steps)
        inside_unit(level=level, trend=trend, season=season)
        seasonality = season_steps or 0
        gamma = season if seasonality else None
        model = time_series.HoltWinters(alpha=level, beta=trend, gamma=gamma, seasonality=seasonality)
        super().__init__(warm_steps=2 * max(1, seasonality) + 2, _prototype=model)


class Snarimax(_Guarded):
    """Autoregression with moving averages, `lags` of each, and one seasonal lag where `season_steps` is given."""

    def __init__(self, season_steps: int | None = None, lags: int = 4) -> None:
        positive(season_steps=season_steps, lags=lags)
        seasonal = {"m": season_steps, "sp": 1} if season_steps else {}
        model = time_series.SNARIMAX(p=lags, d=0, q=lags, **seasonal)
        super().__init__(warm_steps=4 * lags + (season_steps or 0), _prototype=model)
