import math
import pickle

import numpy as np
import pytest

from policies.forecasting.experts import LastValue, MovingAverage, SeasonalNaive
from policies.forecasting.mixture import Mixture
from policies.forecasting.pinball import pinball_loss


def learned(mixture: Mixture, series: np.ndarray) -> Mixture:
    mixture.select(np.full(series.shape[1], -1))
    for values in series:
        mixture.learn(values)
    return mixture


def test_pinball_is_that_of_the_definition():
    """Too low by 2 at 0.9 costs 1.8, too high by 2 costs 0.2."""
    assert pinball_loss([5.0, 1.0], 3.0, 0.9).tolist() == pytest.approx([1.8, 0.2])


def test_the_expert_that_is_right_gets_the_weight_series_by_series():
    """A saw belongs to the season, noise around a level to the average."""
    noise = np.random.default_rng(5).normal(100.0, 10.0, 200)
    series = np.stack([np.tile([10.0, 20.0, 30.0, 40.0], 50), noise], axis=1)
    mixture = learned(Mixture([LastValue(), MovingAverage(12), SeasonalNaive(4)], horizon=2), series)
    assert mixture.weights[:, 0, 0].argmax() == 2
    assert mixture.weights[2, 0, 0] > 0.95
    assert mixture.weights[:, 0, 1].argmax() == 1
    assert np.allclose(mixture.weights.sum(axis=0), 1.0)


def test_its_intervals_hold_what_they_promise():
    """On gamma noise around a level that moves, each quantile covers its share within five in a hundred."""
    generator = np.random.default_rng(7)
    level = 50.0 * np.exp(np.cumsum(generator.normal(0.0, 0.02, 1500)))
    series = (level * generator.gamma(20.0, 1 / 20.0, 1500))[:, None]
    mixture = Mixture([LastValue(), MovingAverage(5), MovingAverage(12)], horizon=3)
    mixture.select(np.array([-1]))
    below, count = np.zeros((3, len(mixture.levels))), 0
    said: list[np.ndarray] = []
    for values in series:
        if len(said) > 200:
            below += np.stack([values <= said[-1 - h][h, :, 0] for h in range(3)])
            count += 1
        mixture.learn(values)
        said.append(mixture.forecast())
    assert np.abs(below / count - np.array(mixture.levels)).max() < 0.05


def test_quantiles_are_in_order_and_never_negative():
    """Also for traffic that is mostly nothing."""
    generator = np.random.default_rng(9)
    series = generator.poisson(0.3, (150, 3)).astype(float)
    ahead = learned(Mixture([LastValue(), MovingAverage(5)], horizon=4), series).forecast()
    assert (np.diff(ahead, axis=1) >= 0).all()
    assert (ahead >= 0).all()


def test_before_any_error_is_known_the_prior_speaks():
    """One value: the median is that value, and the quantiles are as wide as was asked."""
    mixture = learned(Mixture([LastValue()], horizon=2, prior_spread=0.2), np.array([[100.0]]))
    ahead = mixture.forecast()[0, :, 0]
    assert ahead[3] == pytest.approx(100.0)
    assert ahead[-1] == pytest.approx(100.0 + 1.645 * 20.0, abs=0.1)


def test_what_is_not_known_is_not_learned():
    """Gaps are neither zero nor an error; nothing known is NaN."""
    series = np.full((40, 2), 10.0)
    series[10:20, 0] = math.nan
    series[:, 1] = math.nan
    ahead = learned(Mixture([LastValue(), MovingAverage(3)], horizon=2), series).forecast()
    assert ahead[:, 3, 0] == pytest.approx([10.0, 10.0])
    assert np.isnan(ahead[:, :, 1]).all()


def test_a_step_under_way_moves_the_forecast():
    """After 10 for long, 30 now: the next step's median is nearer to 30."""
    mixture = learned(Mixture([LastValue()], horizon=2), np.full((30, 1), 10.0))
    assert mixture.forecast()[0, 3, 0] == pytest.approx(10.0)
    assert mixture.forecast(np.array([30.0]))[0, 3, 0] == pytest.approx(30.0)


def test_series_come_and_go_with_what_was_learned_of_them():
    """Reordered, dropped, new; and pickled in between."""
    generator = np.random.default_rng(3)
    series = generator.normal(100.0, 10.0, (60, 3))
    mixture = learned(Mixture([LastValue(), MovingAverage(5)], horizon=2), series)
    before = mixture.forecast()
    mixture = pickle.loads(pickle.dumps(mixture))  # noqa: S301 (our own bytes)
    mixture.select(np.array([2, -1, 0]))
    after = mixture.forecast()
    assert np.allclose(after[..., [0, 2]], before[..., [2, 0]])
    assert np.isnan(after[..., 1]).all()


def test_impossible_parameters_are_refused():
    """By name."""
    with pytest.raises(ValueError, match="experts must name"):
        Mixture([])
    with pytest.raises(ValueError, match=r"levels\[1\]"):
        Mixture([LastValue()], levels=(0.5, 1.0))
