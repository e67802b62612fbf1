"""What can never find a place is refused before a run, with the key that is wrong and the figures that do not fit."""

from pathlib import Path

import pytest

from simulators.scenario import ScenarioError, parse_scenario

TEXT = """\
name: too large
duration_s: 600
cluster: {nodes: [%(nodes)s]%(quotas)s}
models:
  stand:
    traffic: [{kind: steady, rate_rps: 5}]
    service: {kind: constant, seconds: 0.1}
    slo_latency_s: 1
    replicas: %(replicas)s
    cpus: %(cpus)s
    gpus: %(gpus)s
    learning: {trial_cpus: %(trial_cpus)s, trial_gpus: %(trial_gpus)s}
"""
PLAIN = {
    "nodes": "{name: pod, count: 3, cpus: 2}, {name: big, count: 1, cpus: 1, gpus: 1}",
    "quotas": "", "replicas": 1, "cpus": 1, "gpus": 0, "trial_cpus": 1, "trial_gpus": 0,
}  # fmt: skip
NEVER = {
    "a replica of three CPUs on nodes of two": (
        {"cpus": 3},
        "10: models.stand.cpus: found 3; a replica takes 3 CPUs, and the largest node has 2",
    ),
    "a replica of two GPUs on nodes of one": (
        {"gpus": 2},
        "11: models.stand.gpus: found 2; a replica takes 2 GPUs, and the largest node has 1",
    ),
    "a GPU where there is none": (
        {"gpus": 1, "nodes": "{count: 3, cpus: 2}"},
        "11: models.stand.gpus: found 1; a replica takes 1 GPUs, and the largest node has 0",
    ),
    "CPUs on one node and the GPU on another": (
        {"cpus": 2, "gpus": 1},
        "10: models.stand.cpus: found 2; a replica takes 2 CPUs and 1 GPUs, and no node has both",
    ),
    "a trial of four CPUs": (
        {"trial_cpus": 4},
        "12: models.stand.learning.trial_cpus: found 4; a trial takes 4 CPUs, and the largest node has 2",
    ),
    "a trial of two GPUs": (
        {"trial_gpus": 2},
        "12: models.stand.learning.trial_gpus: found 2; a trial takes 2 GPUs, and the largest node has 1",
    ),
    "a replica that a quota forbids": (
        {"cpus": 2, "quotas": ", quotas: [{models: ['st*'], cpus: 1.5}]"},
        "10: models.stand.cpus: found 2; a replica takes 2 CPUs, and a quota allows 1.5",
    ),
    "a trial that a quota forbids": (
        {"trial_cpus": 2, "quotas": ", quotas: [{models: ['st*'], cpus: 1.5}]"},
        "12: models.stand.learning.trial_cpus: found 2; a trial takes 2 CPUs, and a quota allows 1.5",
    ),
    "more at the beginning than all nodes have": (
        {"cpus": 2, "replicas": 4},
        "3: cluster.nodes: found 7 CPUs; the replicas that the scenario begins with take 8",
    ),
    "more GPUs at the beginning than all nodes have": (
        {"gpus": 1, "replicas": 2},
        "3: cluster.nodes: found 1 GPUs; the replicas that the scenario begins with take 2",
    ),
    "a beginning that fits in sum but on no nodes": (
        {"cpus": 1.5, "replicas": 4},
        "9: models.stand.replicas: found 4; 3 of them find a place on the nodes and within the quotas",
    ),
    "a beginning that a quota forbids": (
        {"replicas": 3, "quotas": ", quotas: [{cpus: 2}]"},
        "9: models.stand.replicas: found 3; 2 of them find a place on the nodes and within the quotas",
    ),
}


@pytest.mark.parametrize(("changed", "told"), NEVER.values(), ids=NEVER)
def test_what_can_never_be_placed_is_refused(changed: dict[str, object], told: str) -> None:
    """One line, for the one thing that is wrong."""
    with pytest.raises(ScenarioError) as error:
        parse_scenario(TEXT % (PLAIN | changed), "a.yaml", Path())
    assert str(error.value) == f"a.yaml:{told}"


def test_what_fits_just_so_is_taken() -> None:
    """A replica and a trial as large as the largest node, and a quota as large as the beginning."""
    exact = {"cpus": 2, "trial_cpus": 2, "replicas": 3, "quotas": ", quotas: [{cpus: 6}]"}
    assert parse_scenario(TEXT % (PLAIN | exact), "a.yaml", Path()).settings.models["stand"].replicas == 3
