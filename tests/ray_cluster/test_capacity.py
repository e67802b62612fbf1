"""What a cluster has and what replicas reserve, from what Ray says of it."""

from dataclasses import replace

import pytest

from policies.observation import Capacity, Resources
from ray_cluster.capacity import bundles, capacity, groups, resources
from ray_cluster.translate import deployments

GPU = {"GPU": 1.0}
FOUR = [{"CPU": 1.0, "GPU": 1.0, "memory": 100}, GPU, GPU, {"GPU": 1.0, "TPU": 2.0}]
WHOLE = Resources(cpus=1.0, gpus=4.0, memory_bytes=100, custom=(("TPU", 2.0),))


def test_resources_of_a_users_own_are_kept_and_those_of_ray_itself_are_not() -> None:
    """As a node of Ray 2.60 lists them beside a placement group."""
    node = {
        "CPU": 9.0, "GPU": 2.0, "memory": 21064330240.0, "object_store_memory": 399778190.0, "node:127.0.0.1": 1.0,
        "node:__internal_head__": 0.999, "bundle_group_0_4ba8027c": 999.999, "GPU_group_1_4ba8027c": 1.0,
        "accelerator_type:T4": 1.0, "train": 3.0, "TPU": 0.0,
    }  # fmt: skip
    assert resources(node) == Resources(cpus=9.0, gpus=2.0, memory_bytes=21064330240, custom=(("train", 3.0),))
    assert resources({}) == Resources()


def test_capacity_is_known_in_all_and_on_each_node() -> None:
    """Two nodes with two GPUs each have no room for what takes three."""
    total = {"b": {"CPU": 4.0, "GPU": 2.0}, "a": {"CPU": 8.0, "GPU": 2.0}}
    free = {"b": {"CPU": 1.0, "GPU": 2.0}, "a": {"CPU": 2.0}}
    assert capacity(total, free) == Capacity(
        total=Resources(cpus=12.0, gpus=4.0),
        free=Resources(cpus=3.0, gpus=2.0),
        free_by_node=(("a", Resources(cpus=2.0)), ("b", Resources(cpus=1.0, gpus=2.0))),
    )


@pytest.mark.parametrize(
    ("rows", "strategy", "expected"),
    [
        (FOUR, "STRICT_PACK", WHOLE),
        (FOUR, "PACK", replace(WHOLE, spread=True)),
        (FOUR, None, replace(WHOLE, spread=True)),
        ([GPU], "SPREAD", Resources(gpus=1.0)),
        ([], "PACK", None),
        (None, None, None),
    ],
)
def test_a_placement_group_takes_the_sum_of_its_bundles(
    rows: list[dict[str, float]] | None, strategy: str | None, expected: Resources | None
) -> None:
    """On one node where it is packed strictly, or has one bundle only."""
    assert bundles(rows, strategy) == expected


def test_the_groups_of_replicas_are_found_by_their_names() -> None:
    """Those of trials, of others, and those that are gone are not."""
    name = "SERVE_REPLICA::llm#Server#9e6gm4oy"
    row = {"name": name, "bundles": {0: {"CPU": 1.0}, 1: GPU}, "strategy": "STRICT_PACK", "state": "CREATED"}
    table = {
        "1": row,
        "2": row | {"name": "__tune_j"},
        "3": row | {"name": "SERVE_REPLICA::old#Server#x", "state": "REMOVED"},
        "4": row | {"name": "SERVE_REPLICA::bare#Server#x", "bundles": {}},
        "5": row | {"name": None},
    }
    assert groups(table) == {"llm/Server": Resources(cpus=1.0, gpus=1.0)}


@pytest.mark.parametrize("place", ["details", "file", "group"])
def test_a_replica_takes_its_bundles_wherever_they_are_said(place: str) -> None:
    """`required_resources` are those of its actor alone. Serve 2.60 says the bundles of an application from a file only."""
    reserved = {"placement_group_bundles": FOUR, "placement_group_strategy": "STRICT_PACK"}
    row = {"required_resources": {"CPU": 1.0}, "deployment_config": reserved if place == "details" else {}}
    application = {"deployments": {"Server": row}}
    if place == "file":
        application["deployed_app_config"] = {"deployments": [{"name": "Server", **reserved}]}
    known = {"llm/Server": WHOLE} if place == "group" else None
    server = deployments({"applications": {"llm": application}}, known)["llm/Server"]
    assert server.resources == WHOLE
