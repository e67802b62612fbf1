"""The sensor: one Observation from Serve, Prometheus, tables, shards, the registry, training jobs, and what people said.

Every part is read with a time-out and beside the others. A part that is away is missing from the observation and named in `problems`; what
would be taken for nothing if it were missing (deployments, a training, a quarantine, a rollout) is shown as it was last known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ray

from agent.application_names import application_name
from agent.settings import DeploymentSettings, Settings
from policies.observation import (
    Capacity,
    Comparison,
    Controls,
    Deployment,
    DeploymentStatus,
    Model,
    Observation,
    Quarantined,
    Report,
    Resources,
    Rollout,
    Traffic,
    TrainingJob,
)
from ray_cluster import names
from ray_cluster.capacity import read_capacity, read_groups
from ray_cluster.prometheus import ServeMetrics
from ray_cluster.quarantine import quarantined
from ray_cluster.reads import Reads
from ray_cluster.registry import MlflowRegistry, RegistryView
from ray_cluster.serve_rest import ServeRest
from ray_cluster.table import TableSeen, keeper
from ray_cluster.training import TuneTrainer
from ray_cluster.translate import deployments, foreign, unread, with_probe, with_traffic
from ray_cluster.waiting import Waiting, doubt, with_waiting

READ_TIMEOUT_S = 3.0
Seen = tuple[Report, Comparison | None, Mapping[str, Traffic]]


@dataclass(frozen=True)
class ModelParts:
    """What was read of one managed model, None for what is away."""

    view: RegistryView | None
    seen: TableSeen | None
    monitored: Seen | None
    training: TrainingJob | None
    quarantined: tuple[Quarantined, ...]
    unread: tuple[str, ...]
    """Which of the last two are what was last known."""


@dataclass(frozen=True)
class Wanted:
    """A deployment that the settings name: its bounds, and the model and slot that it serves, if any."""

    bounds: DeploymentSettings
    model: str | None = None
    slot: str | None = None


@dataclass(frozen=True)
class Loads:
    """What was read of requests: by Prometheus from replicas and routers, and by probes."""

    traffic: Mapping[tuple[str, str], Traffic]
    waiting: Mapping[str, Waiting]
    models: Mapping[str, ModelParts]
    probed: Mapping[str, Seen | None]


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
        parts = 4 + 5 * len(settings.models) + len(settings.deployments)
        self._reads = Reads(parts, READ_TIMEOUT_S * 2)
        self._wanted = _wanted(settings)
        self._stage: dict[str, tuple[tuple[str, float], float, float]] = {}
        self._tables: dict[str, TableSeen] = {}
        self._jobs: dict[str, TrainingJob | None] = {}
        self._set_aside: dict[str, tuple[Quarantined, ...]] = {}
        self._served: dict[str, Deployment] = {}

    def observe(self, at_s: float) -> Observation:
        """All that can be seen at `at_s`. Raises only where the journal can not say what people want: then nothing may be done."""
        controls = self._controls(at_s)
        problems: list[str] = []
        probes = {n: d.probe for n, d in self._settings.deployments.items() if d.probe is not None}
        self._begin(probes, at_s)
        described = self._reads.result("Serve", problems)
        groups = self._reads.result("placement groups", problems) or {}
        traffic, waiting = self._reads.result("metrics", problems) or ({}, {})
        problems += [f"metrics: can not be read from {each}" for each in self._metrics.away]
        models_read = {name: self._parts(name, problems) for name in self._settings.models}
        probed: dict[str, Seen | None] = {
            name: self._reads.result(f"deployment {name}: its probe", problems) for name in probes
        }
        loads = Loads(traffic, waiting, models_read, probed)
        served = self._serving(described, groups, problems)
        if described is not None:
            served = {name: _loaded(each, loads, problems) for name, each in served.items()}
        found = {name: self._with_versions(each, models_read) for name, each in served.items()}
        models = {name: self._model(name, read, found, at_s) for name, read in models_read.items()}
        return Observation(
            at_s=at_s,
            deployments=found,
            models={**models, **self._probed_models(probed)},
            capacity=self._reads.result("capacity", problems) or Capacity(),
            controls=controls,
            due=() if controls.killed else self._due(at_s),  # what falls due then is done when it may be
            problems=tuple(problems),
        )

    def _begin(self, probes: Mapping[str, str], at_s: float) -> None:
        """Start every read."""
        reads = self._reads
        reads.round()
        reads.begin("Serve", self._rest.details)
        reads.begin("placement groups", read_groups)
        reads.begin("metrics", lambda: self._metrics.read(at_s))
        reads.begin("capacity", read_capacity)
        for name in self._settings.models:
            reads.begin(f"model {name}: its registry", partial(self._registry.view, name))
            reads.begin(f"model {name}: its traffic table", partial(_ask_keeper, name))
            reads.begin(f"model {name}: its monitor shard", partial(_ask_shard, name, at_s))
            reads.begin(f"model {name}: its training", partial(self._trainer.job, name))
            reads.begin(f"model {name}: its quarantine", partial(quarantined, name))
        for name, probe in probes.items():
            reads.begin(f"deployment {name}: its probe", partial(_ask_shard, probe, at_s))

    def _parts(self, name: str, problems: list[str]) -> ModelParts:
        away: list[str] = []
        view = self._reads.result(f"model {name}: its registry", problems)
        seen = self._reads.result(f"model {name}: its traffic table", problems)
        monitored = self._reads.result(f"model {name}: its monitor shard", problems)
        job = self._reads.result(f"model {name}: its training", problems, self._jobs.get(name), away)
        aside = self._reads.result(f"model {name}: its quarantine", problems, self._set_aside.get(name, ()), away)
        if seen is not None:
            self._tables[name] = seen
        self._jobs[name], self._set_aside[name] = job, aside
        unread = tuple(
            part for part, text in (("training", "training"), ("quarantined", "quarantine"))
            if f"model {name}: its {text}" in away
        )  # fmt: skip
        return ModelParts(view, seen, monitored, job, aside, unread)

    def _serving(
        self, described: Mapping[str, Any] | None, groups: Mapping[str, Resources], problems: list[str]
    ) -> dict[str, Deployment]:
        """The deployments that the settings name, with their bounds. While Serve can not be read they are as they were, without load."""
        if described is None:
            gone = {"status": DeploymentStatus.UNKNOWN, "traffic": None}
            return {
                name: replace(each, **gone, replicas=tuple(replace(one, traffic=None) for one in each.replicas))
                for name, each in self._served.items()
            }
        strangers = self._strangers(described, problems)
        all_of_serve = deployments(described, groups)
        for name in self._settings.deployments:
            if name not in all_of_serve:
                problems.append(f"deployment {name}: Serve has none of this name")
        self._served = {
            name: _bounded(all_of_serve[name], wanted)
            for name, wanted in self._wanted.items()
            if name in all_of_serve and name.partition("/")[0] not in strangers
        }
        return self._served

    def _strangers(self, described: Mapping[str, Any], problems: list[str]) -> set[str]:
        """Applications that have a managed model's name and are somebody else's: they are neither ours to scale nor to replace."""
        found = set()
        for name, model in self._settings.models.items():
            for suffix in ("", names.CHALLENGER_SUFFIX):
                application = application_name(name, model) + suffix
                row = described.get("applications", {}).get(application)
                if row is not None and foreign(row, name):
                    problems.append(
                        f"model {name}: application {application!r} was not deployed by this agent, and is left alone; "
                        f"rename it, or name another for the model (models.{name}.application)"
                    )
                    found.add(application)
        return found

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
            training=parts.training,
            quarantined=parts.quarantined,
            unread=parts.unread,
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
            failed=table.failed or _failure(challenger),
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


def _wanted(settings: Settings) -> dict[str, Wanted]:
    """All deployments that the settings name, those of managed models too, by "application/deployment"."""
    wanted = {name: Wanted(each) for name, each in settings.deployments.items()}
    for name, model in settings.models.items():
        champion = application_name(name, model)
        for slot, application in (("champion", champion), ("challenger", champion + names.CHALLENGER_SUFFIX)):
            wanted[f"{application}/{names.SERVER_DEPLOYMENT}"] = Wanted(model.deployment, name, slot)
    return wanted


def _bounded(deployment: Deployment, wanted: Wanted) -> Deployment:
    return replace(
        deployment,
        min_replicas=wanted.bounds.min_replicas,
        max_replicas=wanted.bounds.max_replicas,
        slo_latency_s=wanted.bounds.slo_latency_s,
        model=wanted.model,
        slot=wanted.slot,
    )


def _loaded(deployment: Deployment, loads: Loads, problems: list[str]) -> Deployment:
    """With what it answers: from Prometheus, where a probe reports fresher and finer from there, and what waits in the routers."""
    name = deployment.name
    made = with_traffic(deployment, {replica: row for (of, replica), row in loads.traffic.items() if of == name})
    parts = loads.models.get(deployment.model or "")
    monitored = parts.monitored if parts is not None and deployment.slot == "champion" else loads.probed.get(name)
    if monitored is not None and monitored[2]:
        made = with_probe(made, monitored[2])
    waits = loads.waiting.get(name)
    why = _why_unknown(made, waits) if loads.traffic else None
    if why is not None:
        problems.append(f"deployment {name}: its load is not known, {why}")
    return with_waiting(made, waits)


def _why_unknown(deployment: Deployment, waits: Waiting | None) -> str | None:
    """Why the load of `deployment` is not known although metrics were read; None where it is."""
    rows = [each.traffic for each in deployment.running if each.traffic is not None]
    missing = unread(deployment, max((row.measured_at_s for row in rows), default=0.0))
    if missing and deployment.traffic is None:
        return f"{len(missing)} of its {len(deployment.running)} replicas can not be read"
    if deployment.traffic is not None and deployment.traffic.load_unknown:
        return "the requests in its replicas stand still"
    return None if waits is None else doubt(deployment, waits)
