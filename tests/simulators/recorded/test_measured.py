"""What observations tell of a run: late answers from quantiles, replicas over time."""

import math

import pytest

from policies.testing import deployment, traffic
from simulators.recorded.measured import late_share, measured, together

QUANTILES = {"latency_p50_s": 0.1, "latency_p95_s": 0.2, "latency_p99_s": 0.4}


@pytest.mark.parametrize(
    ("slo_s", "share"),
    [(0.1, 0.5), (0.2, 0.05), (0.4, 0.01), (0.05, 0.75), (math.sqrt(0.1 * 0.2), math.sqrt(0.5 * 0.05)), (0.8, 0.002)],
    ids=["at p50", "at p95", "at p99", "below p50", "between p50 and p95", "beyond p99"],
)
def test_the_late_share_runs_through_the_quantiles(slo_s: float, share: float) -> None:
    """Exact at each of them, straight in logarithms between and beyond."""
    assert late_share(traffic(requests=100, **QUANTILES), slo_s) == pytest.approx(share)


def test_what_failed_is_late_too() -> None:
    """A tenth failed; of the rest a twentieth took too long."""
    assert late_share(traffic(requests=100, errors=10, **QUANTILES), 0.2) == pytest.approx(0.1 + 0.9 * 0.05)


def test_without_quantiles_lateness_is_not_known() -> None:
    """Not known is not zero; nor is an empty window on time."""
    assert late_share(traffic(requests=100, latency_p50_s=None), 0.2) is None
    assert late_share(traffic(requests=0, **QUANTILES), 0.2) is None


def test_replicas_are_averaged_over_time_and_windows_counted_once() -> None:
    """Two replicas for 10 s, four for 30 s; three looks at windows of 60 s hold one whole window each 60 s."""
    rows = [
        (0.0, deployment(replicas=2, traffic=traffic(60.0, 600, latency_mean_s=0.1))),
        (10.0, deployment(replicas=4, traffic=traffic(70.0, 650, latency_mean_s=0.1))),
        (40.0, deployment(replicas=1, traffic=traffic(120.0, 200, latency_mean_s=0.5))),
    ]
    found = measured(rows, None)
    assert (found.requests, found.latency_mean_s, found.violation_rate) == (800, pytest.approx(0.2), None)
    assert (found.replicas_mean, found.replicas_max) == (3.5, 4)
    both = together({"a": found, "b": found})
    assert (both.requests, both.latency_mean_s, both.replicas_mean) == (1600, pytest.approx(0.2), 7.0)
