"""Arrivals from what was answered: exact where windows overlap, whole where queues grow, straight where nobody looked."""

import numpy as np
import pytest

from policies.observation import Traffic
from policies.testing import deployment, traffic
from simulators.recorded.traffic import arrivals, bin_of, fresh


def windows(counts: list[int], *, width: int, slot_s: float = 10.0, **fields: float) -> list[Traffic]:
    """A look after every slot, at the last `width` slots, or as many as there were."""
    found = []
    for end in range(1, len(counts) + 1):
        begin = max(0, end - width)
        found.append(traffic(end * slot_s, sum(counts[begin:end]), window_s=(end - begin) * slot_s, **fields))
    return found


CROWD = [200] * 12 + [700] * 6 + [250] * 12


def test_windows_that_overlap_tell_the_slots_apart() -> None:
    """Looks at the last 30 s every 10 s give back what each 10 s held, a flash crowd included, to within a few in a hundred."""
    found = arrivals(windows(CROWD, width=3), origin_s=0.0, end_s=300.0, bin_s=10.0)
    assert int(found.counts.sum()) == pytest.approx(sum(CROWD), rel=1e-3)
    assert np.abs(found.counts - np.array(CROWD)).max() <= 15


def test_windows_end_to_end_are_their_own_bins() -> None:
    """Nothing is smoothed away: each count is within one in a hundred of what was measured."""
    found = arrivals(windows(CROWD, width=1), origin_s=0.0, end_s=300.0, bin_s=10.0)
    assert np.abs(found.counts - np.array(CROWD)).max() <= 7


@pytest.mark.parametrize("bin_s", [7.0, 10.0, 60.0, 1000.0])
def test_no_bin_width_loses_a_request(bin_s: float) -> None:
    """The sum over bins is the sum over slots, to one in a thousand."""
    found = arrivals(windows(CROWD, width=3), origin_s=0.0, end_s=300.0, bin_s=bin_s)
    assert int(found.counts.sum()) == pytest.approx(sum(CROWD), rel=1e-3)


def test_a_queue_that_grows_holds_arrivals_that_nobody_has_answered() -> None:
    """100 are answered in 10 s whatever comes, and the queue grows by 50 in each: 150 come, a queue's end apart."""
    answered = [traffic(10.0 * n, 100, window_s=10.0, ongoing=50.0 * n - 25.0) for n in range(1, 31)]
    found = arrivals(answered, origin_s=0.0, end_s=300.0, bin_s=10.0)
    assert (found.answered_only, found.counts[2:-2].tolist()) == (False, [150] * 26)


def test_without_queues_what_was_answered_counts_and_that_is_said() -> None:
    """Not known is not zero."""
    found = arrivals(windows([100] * 30, width=1), origin_s=0.0, end_s=300.0, bin_s=10.0)
    assert (found.answered_only, found.counts.tolist()) == (True, [100] * 30)


def test_where_nobody_looked_the_rate_runs_straight() -> None:
    """From 10 requests/s before a gap of a minute to 20 after it."""
    before = windows([100] * 10, width=1)
    after = [traffic(170.0 + 10.0 * n, 200, window_s=10.0) for n in range(10)]
    found = arrivals(before + after, origin_s=0.0, end_s=260.0, bin_s=10.0).counts
    gap = found[10:16]
    assert np.all(np.diff(gap) > 0)
    assert int(gap.sum()) == pytest.approx(6 * 150, rel=0.05)


def test_before_and_after_all_windows_the_nearest_rate_stays() -> None:
    """A scenario begins a tick before the first look."""
    seen = [traffic(20.0 + 10.0 * n, 100, window_s=10.0) for n in range(1, 11)]
    assert arrivals(seen, origin_s=0.0, end_s=140.0, bin_s=20.0).counts.tolist() == [200] * 7


def test_ticks_that_come_late_make_no_noise() -> None:
    """Looks jitter by a few tenths of a second; the steady rate stays steady to a few in a hundred."""
    jitter = np.random.default_rng(5).uniform(-0.2, 0.2, 200)
    seen = [traffic(10.0 * n + jitter[n], 600, window_s=30.0 + jitter[n] - jitter[n - 3]) for n in range(3, 200)]
    found = arrivals(seen, origin_s=0.0, end_s=1990.0, bin_s=10.0).counts
    assert np.abs(found - 200).max() <= 10


def test_a_measurement_that_is_shown_twice_counts_once() -> None:
    """A sensor whose metrics are late shows the old ones again."""
    shown = [deployment(traffic=traffic(at_s)) for at_s in (60.0, 60.0, 120.0, 60.0)]
    found = fresh([(10.0 * n, each) for n, each in enumerate(shown)])
    assert [seen.measured_at_s for seen, _ in found] == [60.0, 120.0]


@pytest.mark.parametrize(
    ("width", "slot_s", "expected_s"),
    [(1, 10.0, 10.0), (3, 10.0, 10.0), (6, 5.0, 10.0), (2, 30.0, 30.0), (1, 5.0, 5.0), (1, 60.0, 60.0)],
)
def test_bins_are_as_fine_as_was_measured(width: int, slot_s: float, expected_s: float) -> None:
    """As windows are, or as looks are where windows overlap, but not finer than Serve's counters then."""
    assert bin_of(windows([10] * 40, width=width, slot_s=slot_s)) == expected_s
