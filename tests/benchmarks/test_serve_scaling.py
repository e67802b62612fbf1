"""What the agent of the comparison on Serve remembers of the load that it will meet."""

import numpy as np
import pytest

from benchmarks.serve_scaling import APPLICATIONS, MINUTE_S, PAST_ROUNDS, past, phases, with_past


def test_the_past_is_of_whole_rounds_at_the_rates_of_the_load() -> None:
    """Steps cover all rounds; each application's mean rate is that of the load, within what chance does to so many requests."""
    load = phases(40.0)
    counts = past(load, step_s=5.0)
    assert {name: len(row) for name, row in counts.items()} == {
        f"{each}/Model": PAST_ROUNDS * 32 for each in APPLICATIONS
    }
    expected = sum(sum(phase.rates_rps.values()) * phase.duration_s for phase in load) * PAST_ROUNDS
    assert sum(map(sum, counts.values())) == pytest.approx(expected, rel=0.1)


def test_a_paced_policy_remembers_in_its_own_time() -> None:
    """With a factor of 12 five of our seconds are its minute, so that a rate is requests of five seconds over sixty of its own."""
    policy = {"use": "paced", "factor": 12, "policy": {"use": "joint", "budget": 9}}
    told = with_past(policy, phases(40.0))
    rates = {name: np.array(row) * MINUTE_S for name, row in told["policy"]["past"].items()}
    assert {name: row.round(3).tolist() for name, row in rates.items()} == past(phases(40.0), step_s=5.0)
    assert policy["policy"] == {"use": "joint", "budget": 9}
