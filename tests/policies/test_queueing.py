"""Numbers from textbooks, and an exact solution computed here for M/D/c."""

import math

import numpy as np
import pytest
from scipy.stats import poisson

from policies import queueing


@pytest.mark.parametrize(
    ("servers", "offered", "blocked"),
    [(1, 1.0, 0.5), (2, 1.0, 0.2), (5, 3.0, 0.11005), (10, 10.0, 0.21458), (30, 20.0, 0.00846)],
)
def test_erlang_b_is_that_of_the_tables(servers, offered, blocked):
    """Erlang's loss tables."""
    assert queueing.erlang_b_table(servers, offered)[servers] == pytest.approx(blocked, abs=5e-5)


@pytest.mark.parametrize(
    ("servers", "offered", "waits"),
    [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (10, 8.0, 0.4092), (11, 10.0, 0.6821), (14, 10.0, 0.1741)],
)
def test_erlang_c_is_that_of_the_tables(servers, offered, waits):
    """The textbook's M/M/2, and the call centre of 10 erlangs with 11 and 14 agents."""
    assert float(queueing.erlang_c(servers, offered)) == pytest.approx(waits, abs=5e-5)


def test_where_the_load_is_too_much_everybody_waits_for_ever():
    """And 0 servers serve nobody."""
    assert queueing.erlang_c([0, 1, 2], 2.0).tolist() == [1.0, 1.0, 1.0]
    assert queueing.mmc_wait_mean([1, 2], 4.0, 0.5).tolist() == [math.inf, math.inf]
    assert queueing.mmc_wait_quantile(2, 4.0, 0.5, 0.99) == math.inf


def test_one_server_waits_as_pollaczek_and_khinchine_say():
    """M/M/1: rho s / (1 - rho); M/D/1 half of it; M/G/1 (1 + v) / 2 of it, whichever way it is computed."""
    rate, service = 8.0, 0.1
    mm1 = 0.8 * service / 0.2
    assert queueing.mmc_wait_mean(1, rate, service) == pytest.approx(mm1)
    assert queueing.mdc_wait_mean(1, rate, service) == pytest.approx(mm1 / 2)
    for scv in (0.0, 0.3, 1.0, 2.5):
        assert queueing.ggc_wait_mean(1, rate, service, 1.0, scv) == pytest.approx((1 + scv) / 2 * mm1)
        assert queueing.mgc_wait_mean(1, rate, service, scv) == pytest.approx((1 + scv) / 2 * mm1)


def test_the_wait_quantile_of_one_server_is_that_of_its_exponential_tail():
    """M/M/1: P(W > t) = rho exp(-(mu - lambda) t)."""
    wait = float(queueing.mmc_wait_quantile(1, 8.0, 0.1, 0.99))
    assert 0.8 * math.exp(-2.0 * wait) == pytest.approx(0.01)
    assert queueing.mmc_wait_quantile(50, 8.0, 0.1, 0.99) == 0.0
    assert queueing.mdc_wait_quantile(1, 8.0, 0.1, 0.99) == pytest.approx(wait / 2)


def exact_mdc_wait(servers: int, offered: float) -> float:
    """Mean wait in service times: Crommelin's chain, the number in the system one service time later."""
    size = 400
    arrivals = poisson.pmf(np.arange(size), offered)
    chain = np.zeros((size, size))
    for n in range(size):
        left = max(0, n - servers)
        chain[n, left:] = arrivals[: size - left]
    state = np.full(size, 1 / size)
    for _ in range(4000):
        state = state @ chain
        state /= state.sum()
    return float(np.maximum(0, np.arange(size) - servers) @ state) / offered


@pytest.mark.parametrize(("servers", "busy"), [(2, 0.7), (3, 0.8), (3, 0.9), (6, 0.85)])
def test_the_approximation_of_constant_service_is_within_three_percent(servers, busy):
    """Cosmetatos beside the exact M/D/c."""
    approximate = float(queueing.mdc_wait_mean(servers, busy * servers, 1.0))
    assert approximate == pytest.approx(exact_mdc_wait(servers, busy * servers), rel=0.03)


def test_two_moments_lie_between_constant_and_exponential_service():
    """And meet them at 0 and 1."""
    constant, exponential = queueing.mdc_wait_mean(4, 3.2, 1.0), queueing.mmc_wait_mean(4, 3.2, 1.0)
    between = queueing.mgc_wait_mean(4, 3.2, 1.0, [0.0, 0.2, 0.6, 1.0])
    assert between[0] == pytest.approx(constant)
    assert between[-1] == pytest.approx(exponential)
    assert (np.diff(between) > 0).all()


def test_an_overloaded_model_still_gains_by_one_more_replica():
    """Rate 30/s of 0.18 s are 5.4 erlangs: latency falls with every server, also from 1 to 5, and stays finite."""
    latency = queueing.relaxed_latency(np.arange(1, 12), 30.0, 0.18)
    assert np.isfinite(latency).all()
    assert (np.diff(latency) < 0).all() or (np.diff(latency)[:-3] < 0).all()
    assert latency[-1] == pytest.approx(0.18, abs=0.05)


def test_the_relaxation_scales_the_latency_at_the_highest_believable_load():
    """Twice the load of 0.95 is twice its latency; below it is the steady state."""
    at_limit = float(queueing.relaxed_latency(1, 9.5, 0.1))
    assert queueing.relaxed_latency(1, 19.0, 0.1) == pytest.approx(2 * at_limit)
    steady = 0.1 + queueing.mdc_wait_quantile(1, 5.0, 0.1, 0.99)
    assert queueing.relaxed_latency(1, 5.0, 0.1) == pytest.approx(float(steady))
    assert queueing.relaxed_latency(0, [0.0, 1.0], 0.1).tolist() == [0.1, math.inf]


def test_models_and_counts_broadcast():
    """[counts, 1] against [models] is a table."""
    table = queueing.relaxed_latency(np.arange(1, 6)[:, None], np.array([1.0, 10.0, 30.0]), 0.18)
    assert table.shape == (5, 3)
    assert table[2, 1] == pytest.approx(float(queueing.relaxed_latency(3, 10.0, 0.18)))


def test_the_highest_load_within_a_latency_is_just_within():
    """A service of 0.18 s within 0.72 s; a service as long as the SLO bears no wait at all."""
    load = queueing.utilisation_within(0.72, 0.18, servers=3)
    below, above = (0.18 + queueing.mdc_wait_quantile(3, x * 3 / 0.18, 0.18, 0.99) for x in (load, load + 0.002))
    assert below <= 0.72 < above
    assert queueing.utilisation_within(0.1, 0.2) == 0.0
