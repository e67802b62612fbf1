"""Quantiles of a window are those of a sketch of the window alone."""

import numpy as np
import pytest

from simulators.sketch import quantiles, sketch_of
from simulators.windows import fine_quantiles, window_quantiles

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


@pytest.mark.parametrize("infinite", [0, 5, 300, 5000])
def test_the_quick_quantiles_of_a_sketch_are_its_quantiles(infinite: int) -> None:
    """Also where some, or most, requests never ended, and where none did."""
    counts = sketch_of(np.random.default_rng(2).lognormal(-2.0, 0.5, 4000)).astype(np.int32)
    assert fine_quantiles(counts, ASKED, infinite=infinite) == quantiles(counts, ASKED, infinite=infinite)
    nothing = np.zeros_like(counts)
    told = fine_quantiles(nothing, ASKED, infinite=infinite)
    assert np.array_equal(told, quantiles(nothing, ASKED, infinite=infinite), equal_nan=True)
