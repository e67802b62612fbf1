"""From the traffic of many deployments to their arrival rates step by step, and to quantiles of the steps to come."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from policies.forecasting.experts import Array, Columns
from policies.forecasting.mixture import Mixture
from policies.observation import Deployment, Observation, Traffic
from policies.parameters import positive

SURPRISE = 4.0
"""So many standard deviations of a count of independent arrivals are no chance."""
GROWTH_PART = 1.0 / 6.0
"""Growth is seen over at least such a part of a window, since less holds more chance than arrivals."""
GAP_STEPS = 30
"""A silence of more steps than this is learned as so many unknown steps, no more."""


@dataclass(frozen=True, slots=True)
class _Newest:
    """The newest traffic of one deployment, and an earlier one to see its growth by."""

    measured_s: float = -math.inf
    window_s: float = math.nan
    rate_rps: float = math.nan
    before: tuple[float, float] | None = None
    """(measured_at_s, rate) at least the part `GROWTH_PART` of the window earlier."""

    def followed_by(self, new: Traffic, rate_rps: float) -> "_Newest":
        long_ago = new.measured_at_s - self.measured_s >= GROWTH_PART * new.window_s
        before = (self.measured_s, self.rate_rps) if long_ago and math.isfinite(self.measured_s) else self.before
        return _Newest(new.measured_at_s, new.window_s, rate_rps, before)

    def rising_to(self, from_rps: float) -> float:
        """The rate of the newest part, where what left the window came at `from_rps`; at least that of the whole window.

        A window that moves on by d takes in what came in d and loses what came a window ago: its count changes by the difference.
        """
        if self.before is None or not 0.0 < self.measured_s - self.before[0] < self.window_s:
            return self.rate_rps
        growth = (self.rate_rps - self.before[1]) * self.window_s / (self.measured_s - self.before[0])
        return max(self.rate_rps, from_rps + growth)


@dataclass(kw_only=True)
class RateForecast:
    """Quantiles of the arrival rate (requests/s) of every deployment over the next steps of `step_s`.

    1. Traffic belongs to the step in which the middle of its window lies. The part of the window that reaches back into the
       step before is taken out at that step's rate, so that a step is known before it is over.
    2. A step's rate is the mean over its traffic, weighed by how much of each window lies inside. A step without traffic is
       unknown: never 0. Where looks are rarer than steps, a window that holds the middle of a step tells its rate.
    3. Deployments may come and go; who comes starts without history.
    4. Where the newest traffic is more than chance lets the step under way be (`SURPRISE`), that step is at the rate of the newest traffic,
       or at what its newest part must have been for the whole window to grow so much, if that is more.
       Where that is also more than was ever seen, what is forecast after it is moved up as far: it is believed to stay.
    5. With `nowcast` it always is, where that traffic is no older than a step. It follows a sudden change at once, and chance as well:
       for windows that are as long as a step, or not much shorter.
    """

    mixture: Mixture
    step_s: float = 60.0
    nowcast: bool = False
    _names: tuple[str, ...] = field(default=(), init=False, repr=False)
    _step: int | None = field(default=None, init=False, repr=False)
    _sum: Array = field(default_factory=lambda: np.zeros(0), init=False, repr=False)
    _weight: Array = field(default_factory=lambda: np.zeros(0), init=False, repr=False)
    _before: Array = field(default_factory=lambda: np.zeros(0), init=False, repr=False)
    """The rate of the step before, as it was learned."""
    _measured_s: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    _newest: dict[str, _Newest] = field(default_factory=dict, init=False, repr=False)
    _seen_s: float = field(default=-math.inf, init=False, repr=False)

    def __post_init__(self) -> None:
        positive(step_s=self.step_s)

    @property
    def names(self) -> tuple[str, ...]:
        """The deployments of the last observation, in the order of the forecasts' last axis."""
        return self._names

    def recall(self, past: Mapping[str, Sequence[float]]) -> None:
        """Learn the rates of past steps, oldest first, as if they had been seen just before the first observation."""
        names = tuple(sorted(past))
        self._follow(names)
        steps = max((len(values) for values in past.values()), default=0)
        padded = np.full((steps, len(names)), np.nan)
        for n, name in enumerate(names):
            padded[steps - len(past[name]) :, n] = past[name]
        for values in padded:
            self.mixture.learn(values)
        if steps:
            self._before = padded[-1]

    def see(self, seen: Observation, deployments: Sequence[Deployment]) -> None:
        """Take in the traffic of `deployments` at `seen.at_s`."""
        self._follow(tuple(each.name for each in deployments))
        self._seen_s = seen.at_s
        for each in deployments:
            new = each.traffic
            if (
                new is not None
                and new.arrival_rps is not None
                and new.measured_at_s > self._newest_of(each.name).measured_s
            ):
                self._newest[each.name] = self._newest_of(each.name).followed_by(new, new.arrival_rps)
        now = math.floor(seen.at_s / self.step_s)
        if self._step is None:
            self._step = now
        # At the end of a step its last traffic arrives, so it is taken in before the step is closed.
        early = self._take(deployments, range(self._step, self._step + 1))
        if now > self._step:
            self._close(now)
            self._take([each for each in deployments if each.name not in early], range(now, now + 1))

    def quantiles(self) -> Array:
        """[1 + horizon, level, deployment]: the step under way, then those after it; NaN where nothing is known."""
        learned, now = self.mixture.forecast(), self.now
        known = np.isfinite(now)
        unknown_now = np.concatenate([learned, learned[-1:]])
        if not known.any():
            return unknown_now
        ahead = self.mixture.forecast(now)
        # Nobody who has only known other times can tell how this one ends: what was never seen is believed to stay.
        unheard = self.surprising(np.fmax(learned[0, -1], self.mixture.highest)) & known
        ahead = np.where(unheard, ahead + np.maximum(0.0, now - ahead[:, [len(self.mixture.levels) // 2]]), ahead)
        known_now = np.concatenate([np.broadcast_to(now, (1, *ahead.shape[1:])), ahead])
        return np.where(known, known_now, unknown_now)

    @property
    def now(self) -> Array:
        """The rate of the step under way, [deployment], NaN where not yet known."""
        mean, fresh = self._mean(), self._fresh()
        ahead = self.mixture.forecast()[0]
        middle = np.where(np.isfinite(mean), mean, ahead[len(ahead) // 2])
        newest = zip(self._names, middle.tolist(), strict=True)
        rising = np.array([self._newest_of(name).rising_to(rate_rps) for name, rate_rps in newest])
        calm = np.where(np.isfinite(fresh), fresh, mean) if self.nowcast else mean
        return np.where(self.surprising(middle), rising, calm)

    def surprising(self, rates_rps: Array) -> NDArray[np.bool_]:
        """Whether the newest traffic is more than `rates_rps` and chance account for, [deployment]; not where either is unknown."""
        windows_s = np.array([self._newest_of(name).window_s for name in self._names])
        with np.errstate(invalid="ignore"):
            least = rates_rps + SURPRISE * np.sqrt(np.maximum(rates_rps, 1.0 / windows_s) / windows_s)
            return np.asarray(self._fresh() > least)

    def _fresh(self) -> Array:
        """The rate of the newest traffic, [deployment], NaN where that is older than a step."""
        oldest_s = self._seen_s - self.step_s
        newest = (self._newest_of(name) for name in self._names)
        return np.array([each.rate_rps if each.measured_s >= oldest_s else math.nan for each in newest])

    def _newest_of(self, name: str) -> _Newest:
        return self._newest.get(name, _Newest())

    def _mean(self) -> Array:
        """What has been seen of the step under way, [deployment]."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self._sum / self._weight)

    def _follow(self, names: tuple[str, ...]) -> None:
        if names == self._names and self.mixture.series == len(names):
            return
        place = {name: n for n, name in enumerate(self._names)}
        columns = np.array([place.get(name, -1) for name in names], dtype=np.int64)
        self.mixture.select(columns)
        self._sum, self._weight = _picked(self._sum, columns, 0.0), _picked(self._weight, columns, 0.0)
        self._before = _picked(self._before, columns, math.nan)
        self._names = names
        self._measured_s = {name: at_s for name, at_s in self._measured_s.items() if name in set(names)}
        self._newest = {name: newest for name, newest in self._newest.items() if name in set(names)}

    def _take(self, deployments: Sequence[Deployment], steps: range) -> set[str]:
        taken = set()
        place = {name: n for n, name in enumerate(self._names)}
        for each in deployments:
            seen = each.traffic
            if (
                seen is None
                or seen.arrival_rps is None
                or seen.measured_at_s <= self._measured_s.get(each.name, -math.inf)
            ):
                continue
            step = math.floor((seen.measured_at_s - seen.window_s / 2) / self.step_s)
            if step in steps:
                self._add(place[each.name], seen.arrival_rps, seen.measured_at_s, seen.window_s, step)
                self._measured_s[each.name] = seen.measured_at_s
                taken.add(each.name)
        return taken

    def _add(self, n: int, rate_rps: float, measured_s: float, window_s: float, step: int) -> None:
        inside_s = min(measured_s, (step + 1) * self.step_s) - max(measured_s - window_s, step * self.step_s)
        share = min(1.0, inside_s / window_s)
        before = self._before[n]
        if measured_s - window_s < step * self.step_s and math.isfinite(before):
            early = (step * self.step_s - (measured_s - window_s)) / window_s
            rate_rps = max(0.0, rate_rps - early * before) / (1.0 - early)
        self._sum[n] += share * rate_rps
        self._weight[n] += share

    def _close(self, now: int) -> None:
        assert self._step is not None  # noqa: S101 (see calls it after the first observation only)
        mean, learned = self._mean(), self._covered(self._step)
        learned = np.where(np.isfinite(mean), mean, learned)
        self.mixture.learn(learned)
        for step in range(max(self._step + 1, now - GAP_STEPS), now):
            learned = self._covered(step)
            self.mixture.learn(learned)
        self._before, self._step = learned, now
        self._sum, self._weight = np.zeros(len(self._names)), np.zeros(len(self._names))

    def _covered(self, step: int) -> Array:
        """The rate of the newest traffic where its window holds the middle of `step`, [deployment]; for looks that are rarer than steps."""
        middle_s = (step + 0.5) * self.step_s
        newest = (self._newest_of(name) for name in self._names)
        return np.array([
            each.rate_rps if each.measured_s - each.window_s <= middle_s <= each.measured_s else math.nan for each in newest
        ])  # fmt: skip


def _picked(array: Array, columns: Columns, fill: float) -> Array:
    if array.size == 0:
        return np.full(len(columns), fill)
    return np.where(columns < 0, fill, array[np.maximum(columns, 0)])
