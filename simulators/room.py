"""What of a scenario can never find a place: no node is large enough for it, or no quota allows it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.yaml_nodes import Fault, Keys
from policies.observation import Resources
from simulators.cluster import Cluster, Node, Quota
from simulators.settings import ClusterSettings, ScenarioSettings, SimModelSettings

EPSILON = 1e-9
UNITS = {"cpus": "CPUs", "gpus": "GPUs"}


def nodes_of(settings: ClusterSettings) -> list[Node]:
    """The nodes of a cluster, empty."""
    return [
        Node(
            name=f"{kind.name}-{n + 1}",
            cpus=kind.cpus,
            gpus=kind.gpus,
            price_per_hour=kind.price_per_hour,
            spot=kind.spot,
        )
        for kind in settings.nodes
        for n in range(kind.count)
    ]


def cluster_of(settings: ClusterSettings) -> Cluster:
    quotas = (Quota(models=each.models, cpus=each.cpus, gpus=each.gpus) for each in settings.quotas)
    return Cluster.of(nodes_of(settings), quotas)


def faults(settings: ScenarioSettings) -> Iterator[Fault]:
    """Replicas and trials that fit nowhere, and a beginning that does not fit as a whole."""
    cluster = cluster_of(settings.cluster)
    told = [fault for name, model in settings.models.items() for fault in _of_model(name, model, cluster)]
    yield from told or _beginning(settings, cluster)


@dataclass(frozen=True, kw_only=True)
class _Need:
    """What one replica or trial of a model takes, and the keys that say so."""

    what: str
    model: str
    resources: Resources
    keys: Mapping[str, Keys]


def _of_model(name: str, model: SimModelSettings, cluster: Cluster) -> Iterator[Fault]:
    keys, learning = ("models", name), model.learning
    replica = Resources(cpus=model.cpus, gpus=model.gpus)
    named = {kind: (*keys, kind) for kind in UNITS}
    yield from _never(_Need(what="a replica", model=name, resources=replica, keys=named), cluster)
    if learning is not None:
        trial = Resources(cpus=learning.trial_cpus, gpus=learning.trial_gpus)
        named = {kind: (*keys, "learning", f"trial_{kind}") for kind in UNITS}
        yield from _never(_Need(what="a trial", model=name, resources=trial, keys=named), cluster)


def _never(need: _Need, cluster: Cluster) -> Iterator[Fault]:
    told = [fault for kind in UNITS for fault in _too_large(need, kind, cluster)]
    yield from told
    if not told and not any(node.fits(need.resources) for node in cluster.nodes.values()):
        cpus, gpus = need.resources.cpus, need.resources.gpus
        yield (
            need.keys["cpus"],
            f"found {cpus:g}; {need.what} takes {cpus:g} CPUs and {gpus:g} GPUs, and no node has both",
        )


def _too_large(need: _Need, kind: str, cluster: Cluster) -> Iterator[Fault]:
    wanted, takes = getattr(need.resources, kind), f"{need.what} takes {getattr(need.resources, kind):g} {UNITS[kind]}"
    most, quota = max(getattr(node, kind) for node in cluster.nodes.values()), _quota(need.model, kind, cluster)
    if wanted > most + EPSILON:
        yield need.keys[kind], f"found {wanted:g}; {takes}, and the largest node has {most:g}"
    elif quota is not None and wanted > quota + EPSILON:
        yield need.keys[kind], f"found {wanted:g}; {takes}, and a quota allows {quota:g}"


def _quota(model: str, kind: str, cluster: Cluster) -> float | None:
    """The least that a quota allows the model."""
    limits = [getattr(quota, kind) for quota in cluster.quotas if quota.covers(model)]
    return min((limit for limit in limits if limit is not None), default=None)


def _beginning(settings: ScenarioSettings, cluster: Cluster) -> Iterator[Fault]:
    """The replicas that a scenario begins with, placed as it places them."""
    for kind, word in UNITS.items():
        there = sum(getattr(node, kind) for node in cluster.nodes.values())
        least = sum(model.replicas * getattr(model, kind) for model in settings.models.values())
        if least > there + EPSILON:
            yield (
                ("cluster", "nodes"),
                f"found {there:g} {word}; the replicas that the scenario begins with take {least:g}",
            )
            return
    for name, model in settings.models.items():
        need = Resources(cpus=model.cpus, gpus=model.gpus)
        placed = sum(cluster.take(need, name) is not None for _ in range(model.replicas))
        if placed < model.replicas:
            yield (
                ("models", name, "replicas"),
                f"found {model.replicas}; {placed} of them find a place on the nodes and within the quotas",
            )
