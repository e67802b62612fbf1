import pytest

from policies.observation import ReplicaState
from policies.scaling.explained_service import ExplainedService
from policies.testing import deployment, replica, traffic


def see(service: ExplainedService, at_s: float, replicas: int = 2, **fields) -> None:
    service.see(deployment("a", replicas, traffic=traffic(at_s, **fields)), "p99")


def test_before_traffic_nothing_is_known():
    """No constant stands in for it."""
    assert ExplainedService().known is None


def test_where_nobody_waits_latency_is_service():
    """Mostly late for another reason than load, sometimes calm: the calm counts, in mean and tail."""
    service = ExplainedService()
    for n in range(100):
        late = 1.0 if n % 4 else 0.0
        see(service, 60.0 * n, requests=60, latency_mean_s=0.16 + late, latency_p99_s=0.26 + 2 * late)
    assert service.known.busy_s == pytest.approx(0.16, rel=0.01)
    assert service.known.tail_s == pytest.approx(0.26, rel=0.05)


def test_waiting_is_taken_off_the_latency():
    """Two replicas at 10 requests/s: what is left after Sakasegawa's mean wait is the service."""
    service = ExplainedService()
    for n in range(20):
        see(service, 60.0 * n, requests=600, latency_mean_s=0.25, latency_p99_s=0.9)
    busy_s = service.known.busy_s
    load = 10.0 * busy_s / 2
    waited_s = 0.5 * load ** (6**0.5 - 1) * busy_s / (2 * (1 - load))
    assert busy_s + waited_s == pytest.approx(0.25)
    assert busy_s < service.known.tail_s < 0.9


def test_where_all_are_late_throughput_tells():
    """Two replicas answer 780 in 60 s: 0.154 s each, though every request takes 3 s."""
    service = ExplainedService()
    for n in range(20):
        see(service, 60.0 * n, requests=780, latency_mean_s=3.0, latency_p99_s=4.0)
    assert service.known.busy_s == pytest.approx(2 * 60 / 780)


def test_a_window_in_which_replicas_left_is_no_bound():
    """What three replicas answered is not what two can: the first windows after a change are left out."""
    service = ExplainedService()
    see(service, 0.0, replicas=3, requests=1100, latency_mean_s=3.0)
    see(service, 10.0, replicas=2, requests=1000, latency_mean_s=3.0)
    see(service, 80.0, replicas=2, requests=700, latency_mean_s=3.0)
    assert service.known.busy_s == pytest.approx(3 * 60 / 1100)


def test_refused_requests_and_counts_that_change_teach_nothing_wrong():
    """What was refused looks fast; while replicas start nobody knows how many worked."""
    service = ExplainedService()
    see(service, 0.0, requests=600, errors=300, latency_mean_s=0.001)
    each = (replica("r1"), replica("r2", state=ReplicaState.STARTING))
    service.see(deployment("a", each, traffic=traffic(60.0, requests=6000, latency_mean_s=None)), "p99")
    assert service.known.busy_s == pytest.approx(2 * 60 / 300)


def test_while_requests_wait_throughput_is_the_service_also_where_it_grew():
    """Long at 0.15 s; then two replicas with a queue answer 40 in 30 s, so 1.5 s each. When the queue is gone, that is forgotten."""
    service = ExplainedService()
    for n in range(20):
        see(service, 60.0 * n, requests=60, latency_mean_s=0.15, latency_p99_s=0.2, queued=0.0)
    see(service, 1200.0, requests=40, window_s=30.0, latency_mean_s=9.0, queued=60.0)
    see(service, 1230.0, requests=40, window_s=30.0, latency_mean_s=9.0, queued=60.0)
    assert service.known.busy_s == pytest.approx(1.5)
    see(service, 1400.0, requests=60, latency_mean_s=0.15, latency_p99_s=0.2, queued=0.0)
    assert service.known.busy_s == pytest.approx(0.15, rel=0.02)


def test_a_queue_alone_is_enough_to_know_a_capacity():
    """Too few answers for a bound, and no latency that a load explains: what replicas answer while others wait is known all the same."""
    service = ExplainedService()
    see(service, 0.0, requests=20, window_s=30.0, latency_mean_s=40.0, queued=100.0)
    assert service.known.busy_s == pytest.approx(2 * 30 / 20)


def test_a_wait_for_a_cold_start_is_no_service():
    """None ran, a request waited for twenty seconds; the window after it is not believed, the ones after that are."""
    service = ExplainedService()
    service.see(deployment("a", 0, traffic=traffic(0.0, window_s=30.0, requests=0, latency_mean_s=None)), "p99")
    for at_s in (30.0, 45.0, 60.0):
        see(service, at_s, replicas=1, window_s=30.0, requests=1, latency_mean_s=21.0, latency_p99_s=21.0)
        assert service.known is None
    see(service, 120.0, replicas=1, window_s=30.0, requests=1, latency_mean_s=1.0, latency_p99_s=1.0)
    assert service.known.busy_s == pytest.approx(1.0, rel=0.05)
