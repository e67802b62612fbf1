"""Faults of a file that have nothing to do with one another are told at once; what depends on a wrong thing is told after it."""

from pathlib import Path

import pytest

from agent.settings_file import SettingsError, parse
from simulators.scenario import ScenarioError, parse_scenario

CONFIGURATION = """\
tick_s: soon
models:
  m1:
    drift:
      monitors:
        - {kind: error_drift, use: adwin, parameters: {delta: 7}}
        - {kind: error_drift, use: adwim}
  'm2:v1': {}
schedules: {nightly: often}
policies:
  - {use: idle, speed: 3}
  - {use: joynt}
  - {use: target_utilization, target: 70}
"""
SCENARIO = """\
name: two models
duration_s: 60
cluster: {nodes: [{count: 1, cpus: 4}]}
models:
  m1:
    traffic: [{kind: stedy, rate_rps: 5}]
    service: {kind: constant, seconds: 0.05}
    slo_latency_s: 0.5
  m2:
    traffic: [{kind: steady, rate_rps: 5}]
    service: {kind: constant, seconds: 0.05}
    slo_latency_s: 0.5
policies: [{use: joynt}, {use: target_utilization, target: 70}]
expect: [models.m2.p95 < 1, models.m1.p95_s < 1, violation < 1]
"""


def places(error: ValueError) -> list[str]:
    return [line.split(": ")[1] for line in str(error).splitlines()]


def test_faults_of_policies_monitors_names_and_values_are_told_at_once() -> None:
    """In the order of their lines, whether a type, a range or a name is wrong."""
    with pytest.raises(SettingsError) as error:
        parse(CONFIGURATION, "f", {})
    assert places(error.value) == [
        "tick_s",
        "models.m1.drift.monitors[0].parameters.delta",
        "models.m1.drift.monitors[1]",
        "models.m2:v1",
        "schedules.nightly",
        "policies[0].speed",
        "policies[1]",
        "policies[2].target",
    ]


def test_a_wrong_model_hides_no_fault_of_another_model_of_a_policy_or_of_a_condition() -> None:
    """A condition on the wrong model itself is right, and nothing is said of it."""
    with pytest.raises(ScenarioError) as error:
        parse_scenario(SCENARIO, "f", Path())
    assert places(error.value) == [
        "models.m1.traffic[0].kind",
        "policies[0]",
        "policies[1].target",
        "expect[0]",
        "expect[2]",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("schedules: 3\npolicies: [{use: scheduled, schedule: nightly}]\n", ["schedules"]),
        ("deployments: {a/b: {min_replicas: x}}\nbudget: {replicas: 0}\n", ["deployments.a/b.min_replicas"]),
        ("policies: 3\n", ["policies"]),
        ("policies: [3, {use: joynt}]\n", ["policies[0]", "policies[1]"]),
    ],
)
def test_what_depends_on_a_wrong_thing_is_not_called_wrong_with_it(text: str, told: list[str]) -> None:
    """A schedule may be there when the schedules can be read."""
    with pytest.raises(SettingsError) as error:
        parse(text, "f", {})
    assert places(error.value) == told


def test_what_is_null_is_told_beside_what_can_not_be() -> None:
    """Neither hides the other."""
    with pytest.raises(SettingsError) as error:
        parse("budget: {replicas: null}\npolicies: [{use: joynt}]\n", "f", {})
    assert places(error.value) == ["budget.replicas", "policies[0]"]
