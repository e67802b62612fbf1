"""Autoregression: each step ahead is a weighted sum of the last steps, with weights learned online by ridge regression."""

from dataclasses import dataclass, field

import numpy as np

from policies.forecasting.experts import Array, Columns, select_last_axis
from policies.parameters import inside_unit, positive


@dataclass
class Autoregression:
    """Direct forecasts: for every step ahead its own weights on the last `lags` steps, so that errors do not build up.

    Least squares over the past, an observation counting `memory` times less with every step, shrunk by `ridge` towards the
    last value (Hoerl and Kennard, "Ridge Regression", Technometrics 1970). Values are divided by the running mean of the series,
    so that one `ridge` fits all. A forecast stays between 0 and twice the largest of the lags.
    """

    horizon: int = 7
    lags: int = 6
    memory: float = 0.998
    ridge: float = 3.0
    _moments: Array = field(init=False, repr=False)
    """Sum of x xᵀ, [lags, lags, series]."""
    _targets: Array = field(init=False, repr=False)
    """Sum of x (y - last value), [horizon, lags, series]."""
    _recent: Array = field(init=False, repr=False)
    """The last lags + horizon steps, [steps, series], newest last."""

    def __post_init__(self) -> None:
        positive(horizon=self.horizon, lags=self.lags, ridge=self.ridge)
        inside_unit(memory=self.memory)
        self._moments = np.zeros((self.lags, self.lags, 0))
        self._targets = np.zeros((self.horizon, self.lags, 0))
        self._recent = np.zeros((self.lags + self.horizon, 0))

    def select(self, columns: Columns) -> None:
        self._moments = select_last_axis(self._moments, columns, 0.0)
        self._targets = select_last_axis(self._targets, columns, 0.0)
        self._recent = select_last_axis(self._recent, columns)

    def learn(self, values: Array) -> None:
        self._recent = np.concatenate([self._recent[1:], values[None]])
        newest = len(self._recent) - 1
        for ahead in range(1, self.horizon + 1):
            x, scale = self._features(self._recent[: newest - ahead + 1])
            with np.errstate(invalid="ignore"):
                change = self._recent[newest] / scale - x[-1]
            good = np.isfinite(change) & np.isfinite(x).all(axis=0)
            x, change = np.where(good, x, 0.0), np.where(good, np.clip(change, -3.0, 3.0), 0.0)
            self._targets[ahead - 1] = self.memory * self._targets[ahead - 1] + x * change
            if ahead == 1:
                self._moments = self.memory * self._moments + x[:, None] * x[None, :]

    def forecast(self, history: Array, horizon: int) -> Array:
        x, scale = self._features(history)
        penalty = self.ridge * np.eye(self.lags)[:, :, None]
        moments = np.moveaxis(self._moments + penalty, -1, 0)
        weights = np.linalg.solve(moments, np.moveaxis(self._targets, -1, 0).swapaxes(1, 2))
        change = np.einsum("jlh,lj->hj", weights, np.nan_to_num(x))
        with np.errstate(invalid="ignore"):
            ahead = np.clip((x[-1] + change) * scale, 0.0, 2.0 * np.max(x * scale, axis=0))
        last = ahead[np.minimum(np.arange(horizon), self.horizon - 1)]
        return np.where(np.isfinite(x).all(axis=0), last, np.nan)

    def _features(self, history: Array) -> tuple[Array, Array]:
        """The last `lags` steps over their mean, oldest first, and that mean."""
        if len(history) < self.lags:
            missing = np.full((self.lags - len(history), history.shape[1]), np.nan)
            history = np.concatenate([missing, history])
        lags = history[-self.lags :]
        scale = np.maximum(np.mean(lags, axis=0), 1e-9)
        return lags / scale, scale
