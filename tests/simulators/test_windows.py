"""Quantiles of a window are those of a sketch of the window alone."""

import numpy as np
import pytest

from simulators.sketch import quantiles, sketch_of
from simulators.windows import window_quantiles

ASKED = (0.5, 0.95, 0.99)


def test_a_window_has_the_quantiles_of_what_came_in_it() -> None:
    """What was counted before it does not matter."""
    drawn = np.random.default_rng(1)
    before, within = drawn.lognormal(-2.0, 0.5, 4000), drawn.lognormal(0.0, 1.0, 3000)
    old = sketch_of(before)
    new = old + sketch_of(within)
    assert window_quantiles(new, old, ASKED) == pytest.approx(quantiles(sketch_of(within), ASKED))


def test_an_empty_window_knows_nothing() -> None:
    """No number is made up for it."""
    old = sketch_of(np.array([0.1, 0.2]))
    assert all(np.isnan(window_quantiles(old, old, ASKED)))
