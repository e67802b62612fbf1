"""What an arm of a rollout shows of its latencies."""

import numpy as np
import pytest

from policies.observation import Arm
from simulators.arms import arm_between
from tests.simulators.counted import counters


def test_moments_and_quantiles_of_an_arm_are_those_of_its_requests() -> None:
    """Not those of another shape with the same mean: a gate that asks how sure it may be needs the true spread."""
    drawn = np.random.default_rng(0)
    early, late = drawn.exponential(1.0, 500), 0.02 * np.exp(0.3 * drawn.normal(size=4000))
    before = counters(10.0, 500, failed=3, latencies_s=early)
    after = counters(20.0, 4500, failed=10, latencies_s=np.concatenate([early, late]))
    arm = arm_between(before, after)
    assert (arm.requests, arm.errors, arm.latency.n) == (4007, 7, 4000)
    assert arm.latency.mean == pytest.approx(late.mean(), rel=1e-9)
    assert arm.latency.variance == pytest.approx(late.var(ddof=1), rel=0.01)
    assert (arm.latency_p95_s, arm.latency_p99_s) == pytest.approx(np.quantile(late, [0.95, 0.99]), rel=0.01)


def test_an_arm_that_answered_nothing_says_nothing_of_latency() -> None:
    """Failures alone are requests and errors."""
    assert arm_between(counters(1.0, 5), counters(2.0, 5, failed=2)) == Arm(requests=2, errors=2)
