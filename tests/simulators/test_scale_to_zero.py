"""A model that is asked once in twenty minutes: one replica wakes up for each request, and goes again."""

from pathlib import Path

import pytest

from simulators.quiet import silenced
from simulators.run import run
from simulators.scenario import parse_scenario

TEXT = """
name: asked every twenty minutes
duration_s: 7200
tick_s: 10
cluster: {nodes: [{count: 1, cpus: 8, gpus: 2}]}
models:
  rare:
    traffic: [{kind: trace, path: rare.csv}]
    service: {kind: constant, seconds: 1.0}
    replicas: 1
    min_replicas: 0
    max_replicas: 2
    gpus: 1
    slo_latency_s: 60
lifecycle: {cold_start: {kind: constant, seconds: 20}}
policies: [%s]
"""
POLICIES = (
    "{use: target_utilization}",
    "{use: target_utilization, up_window_s: 0, down_window_s: 60}",
    "{use: panic}",
    "{use: queue_length, target_ongoing_requests: 0.5, upscale_delay_s: 0, downscale_delay_s: 60}",
    "{use: joint}",
)


@pytest.mark.parametrize("policy", POLICIES)
def test_one_replica_wakes_up_and_goes_again(policy: str, tmp_path: Path) -> None:
    """Never two, no request late, a pair of orders for each request at most, and no more than a third of the time awake."""
    counts = "".join(f"{minute},{int(minute % 20 == 5)}\n" for minute in range(120))
    (tmp_path / "rare.csv").write_text(f"minute,rare\n{counts}")
    with silenced():
        measures = run(parse_scenario(TEXT % policy, "rare", tmp_path)).measures
    rare = measures["models"]["rare"]
    assert (measures["requests"], rare["slo_violation_rate"], rare["replicas_max"]) == (6, 0.0, 1)
    assert 8 <= measures["scale_orders"] <= 13
    assert measures["replica_hours"] <= 2 * 0.7
