"""The service time from a journal: from calm windows, waits taken off, and several requests at a time told from one."""

import math
from typing import Any

import pytest

from policies.observation import Deployment, Traffic
from policies.testing import deployment, traffic
from simulators.recorded.service import estimate


def window(
    at_s: float, requests: int, latency_s: float, *, replicas: int = 2, shape: float = 0.0, **fields: Any
) -> Any:
    """A minute of lognormal latencies with this mean."""
    p50_s = latency_s * math.exp(-(shape**2) / 2)
    quantiles = {
        "latency_p50_s": p50_s,
        "latency_p95_s": p50_s * math.exp(1.6449 * shape),
        "latency_p99_s": p50_s * math.exp(2.3263 * shape),
    }
    seen = traffic(at_s, requests, **({"latency_mean_s": latency_s} | quantiles | fields))
    return seen, deployment(replicas=replicas, traffic=seen, max_ongoing_requests=8)


def rows(*many: tuple[Traffic, Deployment]) -> list[tuple[Traffic, Deployment]]:
    return list(many)


def test_calm_windows_count_and_busy_ones_do_not() -> None:
    """At night 0.1 s, at noon 0.3 s with a queue: the service time is 0.1 s, its spread that of the night."""
    night = [window(60.0 * n, 60, 0.1, shape=0.4) for n in range(1, 40)]
    noon = [window(60.0 * n, 1080, 0.3, shape=1.0) for n in range(40, 80)]
    found = estimate([*night, *noon])
    assert found is not None
    assert (found.mean_s, found.shape) == (pytest.approx(0.1, rel=0.01), pytest.approx(0.4, rel=0.03))
    assert (found.concurrency, found.utilisation_max < 0.1) == (1, True)


def test_where_it_was_never_calm_a_queues_wait_is_taken_off() -> None:
    """Two replicas 50 % busy by 0.1 s of exponential service, of which a quarter and more is waited on top."""
    wait_s = 0.1 * (0.5**2 + 0.5**6 + 0.5**14)
    found = estimate([window(60.0 * n, 600, 0.1 + wait_s, latency_p50_s=None) for n in range(1, 20)])
    assert found is not None
    assert found.mean_s == pytest.approx(0.1, rel=0.01)
    assert found.utilisation_max == pytest.approx(0.5, rel=0.01)


def test_a_replica_that_answers_more_than_fit_one_after_the_other_works_on_several() -> None:
    """40 requests/s of 0.2 s on two replicas are four in each, at a latency that has not grown."""
    found = estimate([window(60.0 * n, 60 + 300 * (n % 9), 0.2, shape=0.1) for n in range(1, 40)])
    assert found is not None
    assert (found.concurrency, found.mean_s) == (4, pytest.approx(0.2, rel=0.02))


def test_errors_and_changes_of_the_fleet_teach_nothing() -> None:
    """What was refused looks fast, and what a starting replica does is not known."""
    good = [window(60.0 * n, 60, 0.1) for n in range(1, 10)]
    bad = [window(60.0 * n, 60, 0.01, errors=5) for n in range(10, 20)]
    unsettled = [
        (seen, deployment(replicas=2, replicas_wanted=3, traffic=seen)) for seen, _ in rows(window(1e3, 60, 0.02))
    ]
    found = estimate([*good, *bad, *unsettled])
    assert found is not None
    assert (found.mean_s, found.requests) == (pytest.approx(0.1, rel=0.01), 540)


def test_a_backlog_that_many_replicas_work_off_is_not_calm() -> None:
    """After a crash six replicas answer little and late; the service time is that of all the other minutes."""
    usual = [window(60.0 * n, 600, 0.05) for n in range(1, 40)]
    backlog = [window(60.0 * n, 300, 3.0, replicas=6) for n in range(40, 45)]
    found = estimate([*usual, *backlog])
    assert found is not None
    assert (found.mean_s, found.concurrency) == (pytest.approx(0.05, rel=0.15), 1)


def test_without_latencies_nothing_is_known() -> None:
    """Not even from how much was answered: that is a bound."""
    assert estimate([window(60.0, 60, 0.1, latency_mean_s=None)]) is None
    assert estimate([]) is None
