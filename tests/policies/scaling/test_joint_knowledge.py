"""What `joint` has learned of a queue is unlearned when it is proved wrong."""

import math

import numpy as np
import pytest

from policies.scaling.joint_knowledge import Job, Knowledge
from policies.testing import deployment, observation, traffic


def knowledge() -> Knowledge:
    return Knowledge(
        statistic="p99", quantile=0.99, variability=0.5, slo_latency_s=1.0, stale_after_s=60.0, start_s=30.0,
        handover_s=15.0, idle_before_zero_s=300.0, cold_start_max_s=60.0,
    )  # fmt: skip


def backlog_max(known: Knowledge, at_s: float, *, queued: float, errors: int) -> float:
    """How many may wait before some are refused, as is believed after such a minute."""
    seen = traffic(at_s, requests=600, errors=errors, queued=queued, latency_p99_s=0.06)
    each = deployment("a", 2, traffic=seen)
    known.see(observation(at_s, each), [each])
    jobs, _ = known.jobs(observation(at_s, each), [each], np.full((7, 3, 1), 10.0))
    assert isinstance(jobs[0], Job)
    return jobs[0].backlog_max


@pytest.mark.parametrize("queued", [3.0, 4.0])
def test_as_many_that_wait_without_an_error_prove_that_the_queue_was_not_full(queued: float) -> None:
    """One crash beside three that waited looks like a queue of three, until three or more wait and nothing is refused."""
    known = knowledge()
    assert backlog_max(known, 0.0, queued=0.0, errors=0) == math.inf
    assert backlog_max(known, 60.0, queued=3.0, errors=1) == 3.0
    assert backlog_max(known, 120.0, queued=2.0, errors=0) == 3.0
    assert backlog_max(known, 180.0, queued=queued, errors=0) == math.inf


def test_a_queue_that_goes_on_refusing_stays_known() -> None:
    """The most that ever waited beside errors."""
    known = knowledge()
    backlog_max(known, 0.0, queued=0.0, errors=0)
    assert backlog_max(known, 60.0, queued=40.0, errors=9) == 40.0
    assert backlog_max(known, 120.0, queued=48.0, errors=9) == 48.0
    assert backlog_max(known, 180.0, queued=45.0, errors=9) == 48.0
