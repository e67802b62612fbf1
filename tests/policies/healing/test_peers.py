import pytest

from policies.healing.peers import Limits, answered, failing, slower
from policies.testing import replica, traffic

LIMITS = Limits(slow_factor=3.0, slow_factor_lone=6.0, slow_floor_s=0.05, error_factor=5.0, error_floor=0.1)


def p50(*latencies_s: float | None):
    return {f"r{n}": traffic(latency_p50_s=each, latency_mean_s=None) for n, each in enumerate(latencies_s)}


@pytest.mark.parametrize(
    ("own_s", "peers_s", "far_slower"),
    [
        (0.31, (0.1, 0.1), True),
        (0.29, (0.1, 0.1), False),
        (0.31, (0.1, 0.1, 9.0), True),  # one terrible peer does not move the median
        (0.04, (0.01, 0.01), False),  # four times as slow, yet within the floor
        (0.07, (0.01, 0.01), True),
        (0.31, (0.1,), False),  # one peer may itself be the odd one
        (0.61, (0.1,), True),
        (9.0, (), False),
        (None, (0.1, 0.1), False),
    ],
)
def test_slow_is_far_above_the_median_of_the_peers(own_s, peers_s, far_slower):
    """By a factor and by a floor, stricter beside one peer."""
    one = traffic(latency_p50_s=own_s, latency_mean_s=None)
    assert (slower(one, p50(*peers_s), LIMITS) is not None) is far_slower


def test_means_are_compared_where_a_median_is_missing():
    """Like with like: never a median with a mean."""
    own, other = traffic(latency_p50_s=None, latency_mean_s=1.0), traffic(latency_p50_s=9.0, latency_mean_s=0.1)
    why = slower(own, {"a": other, "b": other}, LIMITS)
    assert why is not None
    assert (why.name, why.value, why.threshold, why.n) == ("latency_mean_s", 1.0, pytest.approx(0.3), 600)


@pytest.mark.parametrize(
    ("errors", "peer_errors", "far_more"),
    [(60, 0, True), (59, 0, False), (300, 60, True), (299, 60, False)],
)
def test_failing_is_far_above_the_peers_error_rate(errors, peer_errors, far_more):
    """Five times as often as the peers together, and ten points more."""
    peers = {"a": traffic(errors=peer_errors), "b": traffic(errors=peer_errors)}
    assert (failing(traffic(errors=errors), peers, LIMITS) is not None) is far_more


def test_error_rates_without_requests_are_unknown():
    """Nothing answered is no error rate of zero."""
    idle = traffic(requests=0)
    assert failing(idle, {"a": traffic()}, LIMITS) is None
    assert failing(traffic(errors=600), {"a": idle}, LIMITS) is None


@pytest.mark.parametrize("seen", [None, traffic(-61.0), traffic(0.0, 19)], ids=["none", "stale", "few"])
def test_missing_stale_and_thin_traffic_is_no_evidence(seen):
    """I do not know is a value."""
    assert answered(replica(traffic=seen), 0.0, min_requests=20, stale_after_s=60.0) is None
