"""Traffic by the moments of requests: of the window, and of no other time, whatever was done to the clock that showed them."""

from agent.monitoring.rows import Answered
from agent.monitoring.sliding import SlidingTraffic


def answered(at_s: float) -> Answered:
    return Answered(replica="r", version="1", at_s=at_s, latency_s=0.1, ok=True)


def test_requests_from_before_a_clock_was_set_back_are_not_counted_as_new() -> None:
    """A hundred in the hour that the clock shows again; of the ten since, ten are counted."""
    window = SlidingTraffic(10.0)
    for n in range(100):
        window.add(answered(7200.0 + n))
    assert window.traffic(7299.0)["r"].requests == 10
    for n in range(10):
        window.add(answered(3600.0 + n))
    assert window.traffic(3609.0)["r"].requests == 10


def test_a_replica_whose_clock_is_a_little_ahead_is_counted() -> None:
    """Clocks of one cluster differ by less than some seconds; one that differs by minutes says nothing that is known."""
    window = SlidingTraffic(10.0)
    for n in range(5):
        window.add(answered(100.0 + n))
    assert window.traffic(100.0)["r"].requests == 5
    window.add(answered(400.0))
    assert window.traffic(104.0)["r"].requests == 5
