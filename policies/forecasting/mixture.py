"""Mixture: quantile forecasts of many series from several experts, weighed by how well each has lately done.

It knows nothing of replicas or clocks: a step is whatever its caller says it is.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from policies.forecasting.experts import Array, Columns, Expert, select_last_axis
from policies.forecasting.pinball import pinball_loss
from policies.parameters import inside_unit, positive

LEVELS = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
THIN = 8
"""Errors of an expert at a distance, below which the prior spread still counts."""


@dataclass
class Mixture:
    """Quantiles `levels` of the next `horizon` steps.

    At each step, for every series and every distance h:

    1. Each expert's error is what came minus what it said h steps ago; the last `window` errors are kept.
    2. Its quantile forecast is its point forecast plus the quantiles of these errors: split conformal prediction (Vovk et al.,
       "Algorithmic Learning in a Random World", 2005), on a sliding window since traffic is not exchangeable. With fewer than
       `THIN` errors the normal quantiles of `prior_spread` times the forecast are mixed in.
    3. Experts weigh exp(-`sharpness` * loss / smallest loss), with the pinball loss of their quantiles averaged with `memory`
       (Cesa-Bianchi and Lugosi, "Prediction, Learning, and Games", 2006: exponentially weighted forecasters).
    4. The mixture's quantiles are the weighted means of the experts' quantiles, in order, and not below 0.
    5. They are moved by offsets that track coverage: up by `calibration` * scale * level after a miss above, down after a hit
       (Angelopoulos, Candes and Tibshirani, "Conformal PID Control", 2023), so that in the long run a part `level` lies below.
    """

    experts: Sequence[Expert]
    horizon: int = 7
    levels: tuple[float, ...] = LEVELS
    window: int = 90
    history_steps: int = 90
    """How many steps experts may look back: at least a season, where one looks for seasons."""
    memory: float = 0.97
    sharpness: float = 6.0
    calibration: float = 0.02
    prior_spread: float = 0.2
    _history: Array = field(init=False, repr=False)
    _said: deque[tuple[Array, Array]] = field(init=False, repr=False)
    """For the last `horizon` steps, newest first: points [expert, horizon, series] and mixed quantiles [horizon, level, series]."""
    _errors: Array = field(init=False, repr=False)
    """[window, expert, horizon, series], newest at the index that comes before `_next`."""
    _sorted: Array = field(init=False, repr=False)
    _quantiles: Array = field(init=False, repr=False)
    """Of the errors, times `_trust`, [expert, horizon, level, series]."""
    _trust: Array = field(init=False, repr=False)
    """How much the errors say by themselves, 0 to 1, [expert, horizon, series]."""
    _next: int = field(default=0, init=False, repr=False)
    _losses: Array = field(init=False, repr=False)
    """[expert, horizon, series]"""
    _offsets: Array = field(init=False, repr=False)
    """[horizon, level, series]"""

    def __post_init__(self) -> None:
        positive(horizon=self.horizon, window=self.window, history_steps=self.history_steps, sharpness=self.sharpness)
        inside_unit(memory=self.memory, **{f"levels[{n}]": each for n, each in enumerate(self.levels)})
        if not self.experts:
            raise ValueError("experts must name at least one expert")
        count = len(self.experts)
        self._history = np.zeros((0, 0))
        self._said = deque(maxlen=self.horizon)
        self._errors = np.zeros((self.window, count, self.horizon, 0))
        self._sorted = self._errors.copy()
        self._quantiles = np.zeros((count, self.horizon, len(self.levels), 0))
        self._trust = np.zeros((count, self.horizon, 0))
        self._losses = np.zeros((count, self.horizon, 0))
        self._offsets = np.zeros((self.horizon, len(self.levels), 0))

    @property
    def series(self) -> int:
        return int(self._history.shape[1])

    @property
    def steps(self) -> int:
        """How many steps it still remembers."""
        return len(self._history)

    @property
    def highest(self) -> Array:
        """The highest value that it remembers, [series], NaN where there is none."""
        return np.asarray(np.fmax.reduce(self._history, axis=0)) if len(self._history) else np.full(self.series, np.nan)

    def select(self, columns: Columns) -> None:
        """From now on the series are these of the old ones; -1 is a new one."""
        self._history = select_last_axis(self._history, columns)
        self._errors = select_last_axis(self._errors, columns)
        self._quantiles = select_last_axis(self._quantiles, columns, 0.0)
        self._trust = select_last_axis(self._trust, columns, 0.0)
        self._sorted = select_last_axis(self._sorted, columns)
        self._losses = select_last_axis(self._losses, columns)
        self._offsets = select_last_axis(self._offsets, columns, 0.0)
        said = ((select_last_axis(a, columns), select_last_axis(b, columns)) for a, b in self._said)
        self._said = deque(said, maxlen=self.horizon)
        for expert in self.experts:
            expert.select(columns)

    def learn(self, values: Array) -> None:
        """One more step, [series]; NaN where it is not known."""
        values = np.where(np.isfinite(values), values, np.nan)
        self._judge(values)
        self._history = np.concatenate([self._history[-(self.history_steps - 1) :], values[None]])
        for expert in self.experts:
            expert.learn(values)
        points = self._points(self._history)
        self._said.appendleft((points, self._mix(points)))

    def forecast(self, now: Array | None = None) -> Array:
        """[horizon, level, series], NaN where nothing is known.

        `now`, [series], is what the step under way looks like so far (NaN: not known); then the forecast begins after it.
        """
        if now is None:
            return self._said[0][1] if self._said else self._unknown()
        history = np.concatenate([self._history[-(self.history_steps - 1) :], now[None]])
        return self._mix(self._points(history))

    @property
    def weights(self) -> Array:
        """[expert, horizon, series], each sum over experts 1."""
        with np.errstate(invalid="ignore", divide="ignore"):
            best = np.fmin.reduce(self._losses, axis=0)
            ratio = np.where(best > 0, self._losses / best - 1.0, np.where(self._losses > 0, np.inf, 0.0))
            raw = np.exp(-self.sharpness * np.where(np.isfinite(self._losses), ratio, 0.0))
        return np.asarray(raw / raw.sum(axis=0))

    def _unknown(self) -> Array:
        return np.full((self.horizon, len(self.levels), self.series), np.nan)

    def _points(self, history: Array) -> Array:
        return np.stack([expert.forecast(history, self.horizon) for expert in self.experts])

    def _spread(self, points: Array) -> Array:
        """Quantiles of the errors, [expert, horizon, level, series]."""
        thin = (1.0 - self._trust)[:, :, None] * (self.prior_spread * np.abs(points))[:, :, None]
        return np.asarray(self._quantiles + thin * np.array([_normal(level) for level in self.levels])[:, None])

    def _measure(self) -> None:
        """Quantiles of the errors so far, times how much they are trusted; once a step, as sorting is what costs."""
        self._sorted = np.sort(self._errors, axis=0)
        count = np.isfinite(self._sorted).sum(axis=0)
        self._trust = np.minimum(1.0, count / THIN)
        for n, level in enumerate(self.levels):
            # The conformal rank: one more than the errors seen, so that thin evidence gives wider quantiles.
            rank = np.clip(np.ceil(level * (count + 1)) - 1, 0, np.maximum(count - 1, 0)).astype(np.int64)
            seen = np.take_along_axis(self._sorted, rank[None], axis=0)[0]
            self._quantiles[:, :, n] = self._trust * np.nan_to_num(seen)

    def _mix(self, points: Array) -> Array:
        return self._combine(points[:, :, None] + self._spread(points), self.weights) + 0.0

    def _combine(self, quantiles: Array, weights: Array) -> Array:
        share = weights[:, :, None] * np.isfinite(quantiles)
        with np.errstate(invalid="ignore"):
            mixed = (np.nan_to_num(quantiles) * share).sum(axis=0) / share.sum(axis=0)
        return np.asarray(np.maximum(np.sort(mixed + self._offsets, axis=1), 0.0))

    def _judge(self, values: Array) -> None:
        """Errors, losses and offsets from what was said of this step."""
        if not self._said:
            return
        told = np.full(self._errors.shape[1:], np.nan)
        for ahead, (points, mixed) in enumerate(self._said):
            told[:, ahead] = points[:, ahead]
            self._track(ahead, values, mixed[ahead])
        levels = np.asarray(self.levels)[:, None]
        loss = pinball_loss(values, told[:, :, None] + self._spread(told), levels).mean(axis=2)
        old = self._losses
        blended = np.where(np.isfinite(old), self.memory * old + (1 - self.memory) * loss, loss)
        self._losses = np.where(np.isfinite(loss), blended, old)
        errors = values - told
        self._errors[self._next % self.window] = errors
        self._next += 1
        self._measure()

    def _track(self, ahead: int, values: Array, mixed: Array) -> None:
        levels = np.asarray(self.levels)[:, None]
        offsets = self._offsets[ahead]
        # The width of the errors, not of what was said: offsets must not feed on themselves.
        width = np.nan_to_num(np.fmin.reduce(self._quartiles(ahead), axis=0))
        with np.errstate(invalid="ignore"):
            step = self.calibration * width * (levels - (values <= mixed))
        self._offsets[ahead] = np.clip(
            offsets + np.where(np.isfinite(mixed) & np.isfinite(values), step, 0.0), -width, width
        )

    def _quartiles(self, ahead: int) -> Array:
        """Distance of the quartiles of the errors, [expert, series]."""
        errors = self._sorted[:, :, ahead]
        count = np.isfinite(errors).sum(axis=0)
        low, high = (
            np.take_along_axis(errors, np.maximum(0, count * part // 4 - (part == 3))[None], axis=0)[0]
            for part in (1, 3)
        )
        return np.asarray(high - low)


def _normal(level: float) -> float:
    return NormalDist().inv_cdf(level)
