"""What a low-load run says of a deployment, as a part of a scenario."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from ray_cluster.calibration import LEAST_ANSWERS, Measured, ThinEvidence, by_tokens, calibrated, written
from simulators.settings import LifecycleSettings, SimModelSettings

TOKENS = np.linspace(60.0, 260.0, 101)
MEASURED = Measured(
    tokens=TOKENS,
    served_s=0.001 * TOKENS + 0.002,
    latency_s=0.001 * TOKENS + 0.002 + 0.007,
    handle_overhead_s=[0.003, 0.004, 0.005],
    probe_s=[0.002, 0.002, 0.009],
    cold_start_s=[2.4, 2.0],
    stop_s=[0.7, 0.8, 0.9],
    noticed_s=[0.2, 0.6],
)


def test_what_holds_a_place_is_service_and_the_rest_overhead() -> None:
    """Of 7 ms beside the service a call by handle has 4: these hold the replica's place, and a refusal takes them; 3 ms do neither."""
    found = calibrated(MEASURED)["model"]
    assert (found["service"]["seconds"][0], found["service"]["seconds"][-1]) == pytest.approx((0.066, 0.266))
    assert found["overhead"]["seconds"] == pytest.approx([0.003] * 11)
    assert (found["probe_s"], found["refusal_s"]) == (0.002, 0.004)


def test_a_line_through_the_tokens_is_found_again() -> None:
    """1 ms for each token; 2 ms in the replica and 4 ms on the way hold the place beside."""
    assert by_tokens(MEASURED) == {
        "kind": "tokens",
        "prompt_token_s": 0.0,
        "output_token_s": pytest.approx(0.001),
        "constant_s": pytest.approx(0.006),
    }


def test_replicas_come_go_and_are_missed_as_they_were_seen_to() -> None:
    """Cold starts as they were; a stop without the half second that the simulator's look takes; the mean time to notice a death."""
    assert calibrated(MEASURED)["lifecycle"] == {
        "cold_start": {"kind": "empirical", "seconds": [2.0, 2.4]},
        "stop_s": pytest.approx(0.3),
        "restart_after_s": pytest.approx(0.4),
    }


def test_a_calibration_is_a_part_of_a_scenario() -> None:
    """The YAML is read back by the simulator's own settings; one start is enough to be a distribution."""
    read = yaml.safe_load(written(calibrated(replace(MEASURED, cold_start_s=[2.0]))))
    SimModelSettings.model_validate(
        {**read["model"], "traffic": [{"kind": "steady", "rate_rps": 1.0}], "slo_latency_s": 0.4}
    )
    LifecycleSettings.model_validate(read["lifecycle"])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (dict.fromkeys(("tokens", "served_s", "latency_s"), TOKENS[: LEAST_ANSWERS - 1]), "30 answers"),
        ({"stop_s": []}, "needs stop_s"),
        ({"probe_s": [0.001, float("nan")]}, "probe_s holds a value"),
        ({"tokens": TOKENS[:-1]}, "of one length"),
    ],
)
def test_thin_or_broken_measurements_calibrate_nothing(change: dict[str, object], text: str) -> None:
    """No default is put in the place of what was not measured."""
    with pytest.raises(ValueError, match=text):
        calibrated(replace(MEASURED, **change))


def test_a_line_needs_different_tokens() -> None:
    """All requests alike say nothing of what a token costs."""
    with pytest.raises(ThinEvidence, match="same number of tokens"):
        by_tokens(replace(MEASURED, tokens=np.full(101, 100.0)))
