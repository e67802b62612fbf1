import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.observation import Moments
from policies.sequential import (
    Interval,
    difference_interval,
    mean_interval,
    mixture_scale,
    radius,
    rate_difference_interval,
    rate_interval,
    root_mean_square,
    samples_to_see,
    unseen_rate,
)

LOOKS = tuple(range(100, 6001, 100))


def running(sample: np.ndarray) -> Callable[[int], Moments]:
    """The moments of the first n samples, for any n, by running sums."""
    sums, squares = np.cumsum(sample), np.cumsum(sample**2)

    def moments(n: int) -> Moments:
        mean = float(sums[n - 1] / n)
        return Moments(n=n, mean=mean, variance=float(squares[n - 1] - n * mean**2) / (n - 1))

    return moments


def share(flags: list[bool]) -> float:
    return sum(flags) / len(flags)


def test_the_radius_is_that_of_the_paper():
    """Theorem 2.2 by hand for n = 1000, rho from t* = 500, alpha = 5 %."""
    rho2 = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 500
    by_hand = math.sqrt((2 * (1000 * rho2 + 1)) / (1000**2 * rho2) * math.log(math.sqrt(1000 * rho2 + 1) / 0.05))
    assert mixture_scale(0.05) ** 2 == pytest.approx(rho2)
    assert radius(1000, 1.0, 0.05) == pytest.approx(by_hand)
    assert radius(1000, 3.0, 0.05) == pytest.approx(3 * by_hand)


def test_the_radius_is_about_one_and_a_half_times_that_of_a_single_look():
    """The price of peeking, near the size at which it is tightest."""
    assert 1.3 < radius(500, 1.0, 0.05) / (1.96 / math.sqrt(500)) < 1.8


def test_before_the_burn_in_nothing_is_known():
    """A sequence that says nothing is unbounded, so it neither passes nor fails a gate."""
    thin, thick = Moments(n=99, mean=0.0, variance=1.0), Moments(n=1000, mean=0.0, variance=1.0)
    assert mean_interval(thin, 0.05) == difference_interval(thin, thick, 0.05) == Interval()
    assert difference_interval(thick, thin, 0.05) == Interval()
    assert not Interval().is_known
    assert mean_interval(thick, 0.05).is_known


@pytest.mark.parametrize("draw", ["normal", "exponential", "rare"])
def test_peeking_sixty_times_at_a_mean_alarms_at_most_alpha(draw):
    """Nothing is there; sixty looks at each of 1,000 streams leave the truth outside in at most 5 % of them."""
    rng = np.random.default_rng(1)
    missed = []
    for _ in range(1000):
        stream, truth = {
            "normal": lambda: (rng.normal(0, 1, LOOKS[-1]), 0.0),
            "exponential": lambda: (rng.exponential(1, LOOKS[-1]), 1.0),
            "rare": lambda: ((rng.random(LOOKS[-1]) < 0.1).astype(float), 0.1),
        }[draw]()
        moments = running(stream)
        bands = [mean_interval(moments(n), 0.05) for n in LOOKS]
        missed.append(any(not each.low <= truth <= each.high for each in bands))
    assert share(missed) <= 0.05


def test_peeking_at_a_difference_of_unequal_arms_alarms_at_most_alpha():
    """One arm gets a tenth of the requests, as in a canary."""
    rng = np.random.default_rng(2)
    missed = []
    for _ in range(600):
        large, small = running(rng.exponential(1, 20_000)), running(rng.exponential(1, 2_000))
        bands = [difference_interval(small(n // 10), large(n), 0.05) for n in range(1000, 20_001, 500)]
        missed.append(any(not each.low <= 0 <= each.high for each in bands))
    assert share(missed) <= 0.05


def test_peeking_at_a_rate_alarms_at_most_alpha():
    """Exact from the first sample on, for rare events too."""
    rng = np.random.default_rng(3)
    missed = []
    for p in np.repeat([0.001, 0.02, 0.3], 60):
        counts = np.cumsum(rng.random(1500) < p)
        looks = range(1, 1501, 20)
        bands = [rate_interval(int(counts[n - 1]), n, 0.05) for n in looks]
        missed.append(any(not each.low <= p <= each.high for each in bands))
    assert share(missed) <= 0.05


def test_ten_per_cent_more_latency_is_found_within_a_thousand_requests_per_arm():
    """Power: latencies with a deviation of a quarter of their mean; the median stop lies below 1,000."""
    rng = np.random.default_rng(4)
    stops = []
    for _ in range(100):
        champion, challenger = running(rng.gamma(16, 1 / 16, 4000)), running(rng.gamma(16, 1.1 / 16, 4000))
        stops.append(next(n for n in LOOKS if difference_interval(challenger(n), champion(n), 0.05).low > 0))
    assert np.median(stops) < 1000


def test_ten_per_cent_errors_are_found_within_six_hundred_requests():
    """Power: 1 % against 10 %, shown to be more than two points apart; exactness costs samples."""
    rng = np.random.default_rng(5)
    stops = []
    for _ in range(100):
        champion, challenger = np.cumsum(rng.random(4000) < 0.01), np.cumsum(rng.random(4000) < 0.1)
        looks = range(20, 4000, 20)
        found = (
            n
            for n in looks
            if rate_difference_interval((int(challenger[n - 1]), n), (int(champion[n - 1]), n), 0.05).low > 0.02
        )
        stops.append(next(found))
    assert np.median(stops) < 600


def test_a_factor_is_tested_on_its_own_scale():
    """first - 1.5 * second is below zero where first is not half again as large."""
    one, two = Moments(n=2000, mean=1.2, variance=0.04), Moments(n=2000, mean=1.0, variance=0.04)
    band = difference_interval(one, two, 0.05, factor=1.5)
    assert band.high < 0
    assert (band.low + band.high) / 2 == pytest.approx(1.2 - 1.5)


@given(n=st.integers(1, 5000), part=st.floats(0, 1), alpha=st.sampled_from([0.001, 0.01, 0.05, 0.2]))
def test_a_rate_interval_holds_the_observed_rate(n, part, alpha):
    """It is a proper interval inside [0, 1] around events / n, and mirrors itself."""
    events = round(part * n)
    band = rate_interval(events, n, alpha)
    mirror = rate_interval(n - events, n, alpha)
    assert 0 <= band.low <= events / n <= band.high <= 1
    assert mirror.low == pytest.approx(1 - band.high, abs=1e-6)


def test_no_trials_say_nothing_and_impossible_counts_are_refused():
    """Zero of zero is no zero."""
    assert rate_interval(0, 0, 0.05) == Interval(0.0, 1.0)
    with pytest.raises(ValueError, match=r"events must lie between 0 and n \(3\), got 4"):
        rate_interval(4, 3, 0.05)


def test_without_errors_the_bound_falls_as_the_sample_grows():
    """About 900 clean answers show a rate below one per cent at 2.5 %."""
    highs = [rate_interval(0, n, 0.025).high for n in (100, 300, 1100)]
    assert highs == sorted(highs, reverse=True)
    assert highs[-1] < 0.01


def test_a_sample_that_never_varied_has_no_interval_unless_it_is_said_what_it_may_hide():
    """Without any spread the spread is unknown; with a size the radius is that of values as frequent as nobody can exclude."""
    still = Moments(n=300, mean=0.1, variance=0.0)
    assert mean_interval(still, 0.05) == Interval()
    half = radius(300, math.sqrt(unseen_rate(300, 0.05)) * 2.0, 0.05)
    assert mean_interval(still, 0.05, unseen=2.0) == Interval(0.1 - half, 0.1 + half)


def test_what_was_not_seen_adds_to_the_variance_that_was():
    """n samples with deviation 0.3 and an unseen value of 1 have the radius of both together."""
    seen = Moments(n=500, mean=0.0, variance=0.09)
    half = radius(500, math.sqrt(0.09 + unseen_rate(500, 0.01)), 0.01)
    assert mean_interval(seen, 0.01, unseen=1.0) == Interval(-half, half)


def test_equal_arms_that_never_varied_are_as_uncertain_as_their_values_are_large():
    """200 latencies of exactly 0.1 s in each arm bound the difference, but not to nothing; of zeros alone nothing is known."""
    still, nothing = Moments(n=200, mean=0.1, variance=0.0), Moments(n=200, mean=0.0, variance=0.0)
    band = difference_interval(still, still, 0.05)
    deviation = math.sqrt(400 * 2 * unseen_rate(200, 0.05) * 0.1**2 / 200)
    assert band == Interval(-radius(400, deviation, 0.05, 1000), radius(400, deviation, 0.05, 1000))
    assert difference_interval(nothing, nothing, 0.05) == Interval()


@pytest.mark.parametrize(("rate", "alpha"), [(0.005, 1 / 120), (1 / 300, 0.05), (0.5, 0.5)])
def test_so_many_samples_show_an_event_but_for_alpha(rate, alpha):
    """The least n with (1 - rate)^n <= alpha."""
    n = samples_to_see(rate, alpha)
    assert (1 - rate) ** n <= alpha < (1 - rate) ** (n - 1)


def test_how_large_values_are_counts_their_mean_and_their_spread():
    """3 and 4 on two legs make 5; no sample is no size."""
    assert root_mean_square(Moments(n=10, mean=-3.0, variance=16.0)) == 5.0
    assert root_mean_square(Moments()) == 0.0
