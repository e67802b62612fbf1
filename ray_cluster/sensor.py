"""The sensor: one Observation from Serve, Prometheus, tables, shards, the registry, training jobs, and what people said.

Every part is read with a time-out and beside the others. A part that is away is missing from the observation and named in `problems`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import ray
import structlog

from agent.settings import Settings
from policies.observation import (
    Capacity,
    Comparison,
    Controls,
    Deployment,
    DeploymentStatus,
    Model,
    Observation,
    Report,
    Resources,
    Rollout,
    Traffic,
)
from ray_cluster import names
from ray_cluster.managed import application_name
from ray_cluster.prometheus import ServeMetrics
from ray_cluster.quarantine import quarantined
from ray_cluster.reads import Reads
from ray_cluster.registry import MlflowRegistry, RegistryView
from ray_cluster.serve_rest import ServeRest
from ray_cluster.table import TableSeen, keeper
from ray_cluster.training import TuneTrainer
from ray_cluster.translate import deployments, with_traffic
from ray_cluster.waiting import Waiting, with_waiting

log = structlog.get_logger()
T = TypeVar("T")
READ_TIMEOUT_S = 3.0
Seen = tuple[Report, Comparison | None, Mapping[str, Traffic]]


@dataclass(frozen=True)
class ModelParts:
    """What was read of one managed model, None for what is away."""

    view: RegistryView | None
    seen: TableSeen | None
    monitored: Seen | None


class ClusterSensor:
    """Reads the cluster that this process is connected to."""

    def __init__(
        self,
        settings: Settings,
        *,
        rest: ServeRest,
        metrics: ServeMetrics,
        registry: MlflowRegistry,
        trainer: TuneTrainer,
        controls: Callable[[float], Controls],
        due: Callable[[float], tuple[str, ...]] = lambda at_s: (),
    ) -> None:
        self._settings = settings
        self._rest = rest
        self._metrics = metrics
        self._registry = registry
        self._trainer = trainer
        self._controls = controls
        self._due = due
        parts = 3 + 3 * len(settings.models) + len(settings.deployments)
        self._reads = Reads(parts, READ_TIMEOUT_S * 2)
        self._stage: dict[str, tuple[tuple[str, float], float, float]] = {}
        self._tables: dict[str, TableSeen] = {}

    def observe(self, at_s: float) -> Observation:
        """All that can be seen at `at_s`. Raises only where the journal can not say what people want: then nothing may be done."""
        controls = self._controls(at_s)
        problems: list[str] = []
        probes = {n: d.probe for n, d in self._settings.deployments.items() if d.probe is not None}
        self._begin(probes, at_s)
        described = self._reads.result("Serve", problems) or {}
        traffic, waiting = self._reads.result("metrics", problems) or ({}, {})
        models_read = {name: self._parts(name, problems) for name in self._settings.models}
        probed: dict[str, Seen | None] = {
            name: self._reads.result(f"deployment {name}: its probe", problems) for name in probes
        }
        found = self._found(deployments(described), traffic, waiting)
        found = self._monitored(found, models_read, probed)
        models = {name: self._model(name, read, found, at_s) for name, read in models_read.items()}
        return Observation(
            at_s=at_s,
            deployments=found,
            models={**models, **self._probed_models(probed)},
            capacity=self._reads.result("capacity", problems) or Capacity(),
            controls=controls,
            due=self._due(at_s),
            problems=tuple(problems),
        )

    def _begin(self, probes: Mapping[str, str], at_s: float) -> None:
        """Start every read."""
        reads = self._reads
        reads.round()
        reads.begin("Serve", self._rest.details)
        reads.begin("metrics", lambda: self._metrics.read(at_s))
        reads.begin("capacity", _capacity)
        for name in self._settings.models:
            reads.begin(f"model {name}: its registry", partial(self._registry.view, name))
            reads.begin(f"model {name}: its traffic table", partial(_ask_keeper, name))
            reads.begin(f"model {name}: its monitor shard", partial(_ask_shard, name, at_s))
        for name, probe in probes.items():
            reads.begin(f"deployment {name}: its probe", partial(_ask_shard, probe, at_s))

    def _parts(self, name: str, problems: list[str]) -> ModelParts:
        parts = ModelParts(
            view=self._reads.result(f"model {name}: its registry", problems),
            seen=self._reads.result(f"model {name}: its traffic table", problems),
            monitored=self._reads.result(f"model {name}: its monitor shard", problems),
        )
        if parts.seen is not None:
            self._tables[name] = parts.seen
        return parts

    def _found(
        self,
        all_of_serve: dict[str, Deployment],
        traffic: Mapping[tuple[str, str], Traffic],
        waiting: Mapping[str, Waiting],
    ) -> dict[str, Deployment]:
        """The deployments that the settings name, with their bounds and what Prometheus says of them."""
        wanted: dict[str, tuple[Any, str | None, str | None]] = {
            name: (settings, None, None) for name, settings in self._settings.deployments.items()
        }
        for name, model in self._settings.models.items():
            application = application_name(name, model)
            champion, challenger = application, application + names.CHALLENGER_SUFFIX
            wanted[f"{champion}/{names.SERVER_DEPLOYMENT}"] = (model.deployment, name, "champion")
            wanted[f"{challenger}/{names.SERVER_DEPLOYMENT}"] = (model.deployment, name, "challenger")
        found = {}
        for name, (bounds, model_name, slot) in wanted.items():
            if name not in all_of_serve:
                continue
            by_replica = {replica: row for (deployment, replica), row in traffic.items() if deployment == name}
            deployment = with_waiting(with_traffic(all_of_serve[name], by_replica), waiting.get(name))
            found[name] = replace(
                deployment,
                min_replicas=bounds.min_replicas,
                max_replicas=bounds.max_replicas,
                slo_latency_s=bounds.slo_latency_s,
                model=model_name,
                slot=slot,
            )
        return found

    def _monitored(
        self,
        found: dict[str, Deployment],
        models: Mapping[str, ModelParts],
        probed: Mapping[str, Seen | None],
    ) -> dict[str, Deployment]:
        """Where a probe reports, its traffic is fresher and finer than Prometheus'."""
        shards = dict(probed)
        for name, parts in models.items():
            application = application_name(name, self._settings.models[name])
            shards[f"{application}/{names.SERVER_DEPLOYMENT}"] = parts.monitored
        for name, monitored in shards.items():
            if monitored is not None and name in found and monitored[2]:
                found[name] = with_traffic(found[name], monitored[2])
        return {name: self._with_versions(each, models) for name, each in found.items()}

    @staticmethod
    def _with_versions(deployment: Deployment, models: Mapping[str, ModelParts]) -> Deployment:
        parts = models.get(deployment.model or "")
        if parts is None or parts.seen is None:
            return deployment
        notes = parts.seen.notes
        replicas = tuple(
            replace(each, version=notes[each.id].version) if each.id in notes else each for each in deployment.replicas
        )
        return replace(deployment, replicas=replicas)

    def _model(self, name: str, parts: ModelParts, found: Mapping[str, Deployment], at_s: float) -> Model:
        view = parts.view or RegistryView()
        return Model(
            name=name,
            champion=view.champion,
            previous=view.previous,
            candidates=view.candidates,
            champion_since_s=view.champion_since_s,
            report=parts.monitored[0] if parts.monitored else None,
            rollout=self._rollout(name, parts, found, at_s),
            training=_quietly(lambda: self._trainer.job(name)),
            quarantined=_quietly(lambda: quarantined(name)) or (),
            managed=self._settings.models[name].training is not None,
        )

    def _rollout(self, name: str, parts: ModelParts, found: Mapping[str, Deployment], at_s: float) -> Rollout | None:
        # A table that can not be read does not end a rollout: the last one is shown, as one that nothing is known of.
        last = parts.seen or self._tables.get(name)
        table = last.table if last else None
        if table is None or table.challenger is None:
            self._stage.pop(name, None)
            return None
        started_s, since_s = self._stage_times(name, (table.challenger, table.share), at_s)
        application = application_name(name, self._settings.models[name])
        champion = found.get(f"{application}/{names.SERVER_DEPLOYMENT}")
        challenger = found.get(f"{application}{names.CHALLENGER_SUFFIX}/{names.SERVER_DEPLOYMENT}")
        notes = parts.seen.notes if parts.seen else {}
        held = champion is not None and all(
            each.id in notes and notes[each.id].revision >= table.revision for each in champion.running
        )
        return Rollout(
            version=table.challenger,
            started_at_s=started_s,
            stage_since_s=since_s,
            share=table.share,
            shadow=table.shadow,
            ready=bool(held and challenger is not None and challenger.running),
            failed=_failure(challenger),
            comparison=parts.monitored[1] if parts.monitored and parts.seen else None,
        )

    def _stage_times(self, name: str, stage: tuple[str, float], at_s: float) -> tuple[float, float]:
        """(when the rollout began, when its current share began), as this process has seen it."""
        known = self._stage.get(name)
        if known is None or known[0][0] != stage[0]:
            self._stage[name] = (stage, at_s, at_s)
        elif known[0] != stage:
            self._stage[name] = (stage, known[1], at_s)
        return self._stage[name][1], self._stage[name][2]

    def _probed_models(self, probed: Mapping[str, Seen | None]) -> dict[str, Model]:
        """Models that only a probe reports of (level L1)."""
        found = {}
        for name, monitored in probed.items():
            probe = self._settings.deployments[name].probe
            if monitored is not None and probe is not None:
                found[probe] = Model(name=probe, report=monitored[0])
        return found


def _failure(challenger: Deployment | None) -> str | None:
    if challenger is None:
        return None
    if challenger.status is DeploymentStatus.DEPLOY_FAILED:
        return challenger.message or "its deployment failed"
    if challenger.status is DeploymentStatus.UNHEALTHY and not challenger.running:
        return challenger.message or "its replicas do not come up"
    return None


def _ask_keeper(name: str) -> TableSeen:
    seen: TableSeen = ray.get(keeper(name).seen.remote(), timeout=READ_TIMEOUT_S)
    return seen


def _ask_shard(name: str, at_s: float) -> Seen:
    shard = ray.get_actor(names.shard_actor(name), names.NAMESPACE)
    seen: Seen = ray.get(shard.seen.remote(at_s), timeout=READ_TIMEOUT_S)
    return seen


def _capacity() -> Capacity:
    return Capacity(total=_resources(ray.cluster_resources()), free=_resources(ray.available_resources()))


def _resources(row: Mapping[str, float]) -> Resources:
    return Resources(
        cpus=float(row.get("CPU", 0.0)), gpus=float(row.get("GPU", 0.0)), memory_bytes=int(row.get("memory", 0))
    )


def _quietly(read: Callable[[], T]) -> T | None:
    """None for a part that is away: what else is there must still be seen."""
    try:
        return read()
    except Exception as error:
        log.debug("part_away", reason=f"{type(error).__name__}: {error}")
        return None
