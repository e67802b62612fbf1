import pytest

from policies.observation import ReplicaState
from policies.scaling.service_time import ServiceTime
from policies.testing import deployment, replica, traffic


def see(service: ServiceTime, at_s: float, replicas: int = 2, **fields) -> None:
    service.see(deployment("a", replicas, traffic=traffic(at_s, **fields)), "p99")


def test_before_traffic_nothing_is_known():
    """No constant stands in for it."""
    assert ServiceTime().known is None


def test_where_nobody_waits_latency_is_service():
    """Mostly late, sometimes calm: the calm counts, in mean and tail."""
    service = ServiceTime()
    for n in range(100):
        late = 1.0 if n % 4 else 0.0
        see(service, 10.0 * n, latency_mean_s=0.16 + late, latency_p99_s=0.26 + 2 * late)
    known = service.known
    assert (known.busy_s, known.mean_s, known.tail_s) == pytest.approx((0.16, 0.16, 0.26))


def test_where_all_are_late_throughput_tells():
    """Two replicas answer 780 in 60 s: 0.154 s each, though every request takes 3 s."""
    service = ServiceTime()
    for n in range(20):
        see(service, 10.0 * n, requests=780, latency_mean_s=3.0, latency_p99_s=4.0)
    known = service.known
    assert known.busy_s == pytest.approx(2 * 60 / 780)
    assert known.tail_s == pytest.approx(known.busy_s)


def test_a_replica_that_does_several_at_once_is_busy_for_less_than_the_latency():
    """400 in 60 s on one replica at 0.6 s each: four at once, 0.15 s each."""
    service = ServiceTime()
    for n in range(20):
        see(service, 10.0 * n, replicas=1, requests=400, latency_mean_s=0.25, latency_p99_s=0.3)
    assert service.known.busy_s == pytest.approx(0.15)
    assert service.known.mean_s == pytest.approx(0.25)


def test_refused_requests_and_counts_that_change_teach_nothing_wrong():
    """What was refused looks fast; while replicas start nobody knows how many worked."""
    service = ServiceTime()
    see(service, 0.0, requests=600, errors=300, latency_mean_s=0.001)
    each = (replica("r1"), replica("r2", state=ReplicaState.STARTING))
    service.see(deployment("a", each, traffic=traffic(10.0, requests=6000, latency_mean_s=None)), "p99")
    assert service.known.busy_s == pytest.approx(2 * 60 / 300)
