"""The request kernel and a model of the same mechanics in SimPy, on the same arrivals, say the same."""

import numpy as np
import pytest

from benchmarks.faro_protocol import ROUTER, SERVICE
from benchmarks.simpy_model import HELD, QUEUED, play
from simulators.requests import RequestKernel
from simulators.service import Constant, Lognormal

REQUESTS = 12_000


def law(told: dict[str, object]) -> Lognormal:
    return Lognormal(told["scale_s"], told["shape"], told["shift_s"])


def arrivals(load: float, replicas: int) -> np.ndarray:
    gaps = np.random.default_rng(3).standard_exponential(REQUESTS)
    return np.cumsum(gaps) * law(SERVICE).mean_s / (load * replicas)


def both(load: float, replicas: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """(share dropped, mean latency of the answered) of the kernel and of SimPy."""
    times = arrivals(load, replicas)
    until_s = float(times[-1]) + 100.0
    kernel = RequestKernel(
        service=law(SERVICE), router=law(ROUTER), routing="round_robin", max_ongoing_requests=HELD,
        max_queued_requests=QUEUED, dispatcher_holds=1, seed=np.random.SeedSequence(5),
    )  # fmt: skip
    for number in range(replicas):
        kernel.add_replica(number)
    kernel.advance(times, until_s)
    ours = kernel.snapshot()
    theirs = np.array(play([times.tolist()], replicas, until_s)[0].latencies_s)
    answered = theirs[np.isfinite(theirs)]
    assert ours.ended == len(theirs) == REQUESTS
    mine = ours.dropped / REQUESTS, ours.latency_sum_s / ours.completed
    return mine, (1 - len(answered) / REQUESTS, float(answered.mean()))


@pytest.mark.parametrize(("load", "replicas"), [(0.7, 3), (0.9, 2)])
def test_below_saturation_nobody_is_dropped_and_the_mean_latency_is_the_same(load, replicas):
    """Within 8 %, as two streams of service times differ at this length."""
    (our_drops, our_mean_s), (their_drops, their_mean_s) = both(load, replicas)
    assert our_drops == their_drops == 0
    assert our_mean_s == pytest.approx(their_mean_s, rel=0.08)


@pytest.mark.parametrize(("load", "replicas"), [(1.5, 2), (5.0, 1)])
def test_above_saturation_as_many_are_dropped_and_the_others_wait_as_long(load, replicas):
    """The queue is full all the time: both are nearly fixed."""
    (our_drops, our_mean_s), (their_drops, their_mean_s) = both(load, replicas)
    assert our_drops == pytest.approx(their_drops, abs=0.01)
    assert our_mean_s == pytest.approx(their_mean_s, rel=0.02)


def test_what_waits_can_be_read_without_a_snapshot():
    """One replica that holds one request, and seven that wait."""
    kernel = RequestKernel(
        service=Constant(10.0), routing="round_robin", max_ongoing_requests=1, seed=np.random.SeedSequence(1)
    )
    kernel.add_replica(1)
    kernel.advance(np.linspace(0.0, 0.5, 8), 1.0)
    assert kernel.queued == kernel.snapshot().queued == 7
