"""What each expert says of series whose future is known."""

import math
import pickle

import numpy as np
import pytest

from policies.forecasting.autoregression import Autoregression
from policies.forecasting.experts import LastValue, MovingAverage, SeasonalLevel, SeasonalNaive
from policies.forecasting.river_experts import HoltWinters, Snarimax

NEW = np.array([-1, -1])


def taught(expert, history):
    expert.select(np.full(history.shape[1], -1))
    for values in history:
        expert.learn(values)
    return expert


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


def test_the_last_known_value_goes_on():
    """A gap at the end does not hide it; nothing known is nothing said."""
    history = np.array([[1.0, math.nan], [3.0, math.nan], [math.nan, math.nan]])
    assert LastValue().forecast(history, 2).tolist()[0][0] == 3.0
    assert np.isnan(LastValue().forecast(history, 2)[:, 1]).all()


def test_the_average_leaves_out_what_is_not_known():
    """(2 + 6) / 2 of the last three."""
    assert MovingAverage(steps=3).forecast(column(100, 2, math.nan, 6), 2).tolist() == [[4.0], [4.0]]


def test_a_season_comes_again():
    """Two seasons of four steps, averaged; before a whole season it says nothing."""
    history = column(1, 2, 3, 4, 3, 4, 5, 6)
    assert SeasonalNaive(4).forecast(history, 4).ravel().tolist() == [3, 4, 5, 6]
    assert SeasonalNaive(4, seasons=2).forecast(history, 4).ravel().tolist() == [2, 3, 4, 5]
    assert np.isnan(SeasonalNaive(9).forecast(history, 1)).all()


def test_the_shape_of_a_season_comes_at_the_level_of_today():
    """Twice as much as a season ago stays twice as much."""
    history = column(1, 2, 3, 4, 2, 4)
    assert SeasonalLevel(4, level_steps=2).forecast(history, 2).ravel().tolist() == [6, 8]


def test_autoregression_learns_a_rhythm_that_no_average_sees():
    """Every third step is high: three steps ahead are within a tenth after 200 steps; series do not mix."""
    steps = np.arange(240)
    history = np.stack([10.0 + 10.0 * (steps % 3 == 0), 500.0 + 0.0 * steps], axis=1)
    ahead = taught(Autoregression(horizon=3, lags=6), history).forecast(history, 3)
    assert ahead[:, 0] == pytest.approx([20.0, 10.0, 10.0], rel=0.1)
    assert ahead[:, 1] == pytest.approx([500.0] * 3, rel=0.01)


def test_autoregression_stays_silent_over_a_gap_and_learns_on_after_it():
    """A lag that is not known is no forecast, and poisons nothing."""
    history = column(*([10.0, 20.0] * 30))
    history[40] = math.nan
    expert = taught(Autoregression(horizon=2, lags=4), history)
    assert np.isnan(expert.forecast(history[:42], 2)).all()
    assert expert.forecast(history, 2).ravel() == pytest.approx([10.0, 20.0], rel=0.15)


@pytest.mark.parametrize("make", [lambda: HoltWinters(4), Snarimax, HoltWinters])
def test_river_is_guarded(make):
    """Nothing before it is warm, no exception, and one NaN does not ruin what follows."""
    wave = np.tile([10.0, 20.0, 30.0, 20.0], 30)[:, None]
    expert = make()
    expert.select(np.array([-1]))
    assert np.isnan(expert.forecast(wave[:1], 3)).all()
    for n, value in enumerate(wave):
        expert.learn(np.array([math.nan]) if n in (0, 50) else value)
        assert not (expert.forecast(wave, 3) < 0).any()
    assert np.isfinite(expert.forecast(wave, 3)).all()
    assert (expert.forecast(wave, 3) < 100).all()


def test_a_model_of_river_that_blows_up_begins_again():
    """A forecast beyond ten times all that was ever seen is no forecast."""
    expert = Snarimax(lags=2)
    expert.select(np.array([-1]))
    for value in [1.0] * 20 + [1e12] + [1.0] * 40:
        expert.learn(np.array([value]))
        ahead = expert.forecast(np.zeros((1, 1)), 5)
        assert np.isnan(ahead).all() or (ahead <= 1e13).all()


@pytest.mark.parametrize("make", [Autoregression, lambda: HoltWinters(4), Snarimax])
def test_series_may_be_reordered_and_added(make):
    """What was learned goes with its series; a new one begins with nothing."""
    wave = np.stack([np.tile([10.0, 20.0, 30.0, 20.0], 30), np.full(120, 7.0)], axis=1)
    one, other = taught(make(), wave), taught(make(), wave)
    other.select(np.array([1, -1, 0]))
    before, after = one.forecast(wave, 3), other.forecast(wave[:, [1, 0, 0]], 3)
    assert np.allclose(after[:, [2, 0]], before)
    moved = pickle.loads(pickle.dumps(one))  # noqa: S301 (our own bytes)
    assert np.allclose(moved.forecast(wave, 3), before)
