"""Quantiles from a sketch: close, mergeable, and honest about what never came."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.compilation import compiled
from simulators.sketch import COARSE, COARSE_BITS, FINE, FINE_BITS, HIGHEST_S, LOWEST_S, bucket, quantiles, sketch_of

SIZES = [(FINE, FINE_BITS, 1 / 256), (COARSE, COARSE_BITS, 1 / 32)]


@pytest.mark.parametrize(("length", "precision", "error"), SIZES)
def test_a_quantile_is_off_by_at_most_one_bucket(length: int, precision: int, error: float) -> None:
    """0.4 % in a fine sketch, 3.2 % in a coarse one, over the whole range."""
    for latency_s in np.geomspace(LOWEST_S, HIGHEST_S * 0.999, 500):
        (seen,) = quantiles(sketch_of(np.full(3, latency_s), length), (0.5,))
        assert abs(seen - latency_s) / latency_s <= error


@pytest.mark.parametrize(("length", "precision", "error"), SIZES)
@given(latency_s=st.floats(min_value=0, max_value=1e6))
def test_compiled_and_array_insertion_agree(length: int, precision: int, error: float, latency_s: float) -> None:
    """The bits of the float lead to the bucket in whose edges the latency lies."""
    place = bucket.py_func(latency_s, precision)  # type: ignore[attr-defined]
    assert int(np.flatnonzero(sketch_of(np.array([latency_s]), length))[0]) == place


def test_quantiles_of_a_smooth_law_are_interpolated() -> None:
    """A hundred thousand exponential latencies: p50, p95 and p99 within 0.2 % of the sample's own."""
    sample = np.random.default_rng(5).exponential(0.2, 100_000)
    wanted = (0.5, 0.95, 0.99)
    assert quantiles(sketch_of(sample), wanted) == pytest.approx(np.quantile(sample, wanted), rel=2e-3)


def test_merging_is_adding() -> None:
    """The sketch of two samples together is the sum of theirs."""
    one, two = np.random.default_rng(6).exponential(0.1, (2, 1000))
    assert np.array_equal(sketch_of(np.concatenate([one, two])), sketch_of(one) + sketch_of(two))


def test_what_never_came_is_later_than_all_else() -> None:
    """Two lost of a hundred: p95 is finite, p99 is not; of nothing at all, nothing is known."""
    p95, p99 = quantiles(sketch_of(np.full(98, 0.1)), (0.95, 0.99), infinite=2)
    assert math.isfinite(p95)
    assert p99 == math.inf
    assert quantiles(sketch_of(np.empty(0)), (0.5,), infinite=3) == (math.inf,)
    assert math.isnan(quantiles(sketch_of(np.empty(0)), (0.5,))[0])


def test_bad_questions_are_refused() -> None:
    """A quantile beyond 1 and an array that is no sketch."""
    with pytest.raises(ValueError, match=r"must be in 0\.\.1"):
        quantiles(sketch_of(np.ones(1)), (1.5,))
    with pytest.raises(ValueError, match="buckets"):
        quantiles(np.zeros(7, np.int64), (0.5,))


def test_compiled_functions_stay_callable() -> None:
    """A compiled function keeps the Python text that it was made of, which the tests above use."""
    assert callable(compiled(lambda x: x).py_func)  # type: ignore[attr-defined]
