"""What the cluster has and what is free of it, in all and on each node, in our words. Pure but for the reading functions at its end.

A replica, a trial and a bundle lie on one node: what is free in all may be free in pieces that are too small.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from policies.observation import Capacity, Resources

OWN = {"CPU", "GPU", "memory", "object_store_memory"}
"""Named by fields of their own, or not asked for by anybody."""
INTERNAL = ("node:", "bundle_group_", "accelerator_type:")
STRICT_PACK = "STRICT_PACK"
SERVE_PREFIX = "SERVE_REPLICA::"


def resources(row: Mapping[str, Any]) -> Resources:
    """Ray's names to ours. Resources of a user's own (`TPU`, `train`) are `custom`, without what Ray adds for itself."""
    custom = {
        name: float(amount)
        for name, amount in row.items()
        if name not in OWN and not name.startswith(INTERNAL) and "_group_" not in name and amount
    }
    return Resources(
        cpus=float(row.get("CPU") or 0.0),
        gpus=float(row.get("GPU") or 0.0),
        memory_bytes=int(row.get("memory") or 0),
        custom=tuple(sorted(custom.items())),
    )


def bundles(rows: Any, strategy: Any) -> Resources | None:
    """What a placement group reserves, as Serve or Ray describes it; None where there is none."""
    each = [dict(row) for row in rows or ()]
    if not each:
        return None
    names = {name for row in each for name in row}
    total = resources({name: sum(float(row.get(name) or 0.0) for row in each) for name in names})
    return replace(total, spread=len(each) > 1 and str(strategy) != STRICT_PACK)


def groups(table: Mapping[str, Mapping[str, Any]]) -> dict[str, Resources]:
    """By "application/deployment", from Ray's table of placement groups; Serve names those of its replicas as their actors."""
    found = {}
    for row in table.values():
        name = str(row.get("name") or "")
        if name.startswith(SERVE_PREFIX) and name.count("#") == 2 and row.get("state") != "REMOVED":
            application, deployment, _ = name.removeprefix(SERVE_PREFIX).split("#")
            made = bundles(row.get("bundles", {}).values(), row.get("strategy"))
            if made is not None:
                found[f"{application}/{deployment}"] = made
    return found


def capacity(total: Mapping[str, Mapping[str, float]], free: Mapping[str, Mapping[str, float]]) -> Capacity:
    """From what each node has and what is free of it, by node. A node that does not say what is free has nothing that is known."""
    return Capacity(
        total=resources(_summed(total)),
        free=resources(_summed(free)),
        free_by_node=tuple((node, resources(free[node])) for node in sorted(free)),
    )


def _summed(rows: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    names = {name for row in rows.values() for name in row}
    return {name: sum(row.get(name, 0.0) for row in rows.values()) for name in names}


def read_capacity() -> Capacity:
    """Of the cluster that this process is connected to."""
    from ray._private.state import available_resources_per_node, total_resources_per_node  # noqa: PLC0415

    return capacity(total_resources_per_node(), available_resources_per_node())


def read_groups() -> dict[str, Resources]:
    """What Serve's replicas reserve: its details do not say it of applications that were deployed from code."""
    from ray.util import placement_group_table  # noqa: PLC0415

    return groups(placement_group_table())
