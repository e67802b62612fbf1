"""What a replica counts for policies in Serve's controller."""

import asyncio
import inspect

import pytest

from ray_cluster.serve_context import ERRORS, LATENCY, QUANTILES, REQUESTS
from ray_cluster.serve_stats import ServeStats


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_requests_errors_and_latencies_are_counted() -> None:
    """An exception is an error, is timed as well, and goes on to whoever called."""
    clock = Clock()
    stats = ServeStats(clock)
    for latency_s in (0.1, 0.3):
        with stats.request():
            clock.now_s += latency_s

    def refuses() -> None:
        with stats.request():
            clock.now_s += 0.2
            raise KeyError("features")

    with pytest.raises(KeyError):
        refuses()
    assert stats.read() == pytest.approx(
        {
            REQUESTS: 3.0, ERRORS: 1.0, LATENCY: 0.6, QUANTILES["latency_p50_s"]: 0.2,
            QUANTILES["latency_p95_s"]: 0.29, QUANTILES["latency_p99_s"]: 0.298,
        }
    )  # fmt: skip


def test_a_replica_that_was_not_asked_lately_has_counts_but_no_quantiles() -> None:
    """Old latencies say nothing of now; Serve takes only numbers, so what is not known is left out."""
    clock = Clock()
    stats = ServeStats(clock)
    assert stats.read() == {REQUESTS: 0.0, ERRORS: 0.0, LATENCY: 0.0}
    with stats.request():
        clock.now_s += 0.1
    clock.now_s += 31.0
    assert stats.read() == pytest.approx({REQUESTS: 1.0, ERRORS: 0.0, LATENCY: 0.1})


def test_the_two_lines_of_the_docs_make_what_serve_asks_for() -> None:
    """Serve awaits `record_autoscaling_stats()` and takes a dict of numbers."""

    class Ranker:
        def __init__(self) -> None:
            self.stats = ServeStats()

        async def record_autoscaling_stats(self) -> dict[str, float]:
            return self.stats.read()

    asked = Ranker().record_autoscaling_stats
    assert inspect.iscoroutinefunction(asked)
    assert all(isinstance(value, float) for value in asyncio.run(asked()).values())
