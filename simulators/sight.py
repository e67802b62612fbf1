"""What the agent can see of the simulated world: the Sensor, played by counters, telemetry and models."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from agent.ports import JournalUnavailable
from policies.observation import (
    Capacity,
    Controls,
    Deployment,
    DeploymentStatus,
    Model,
    Observation,
    Replica,
    ReplicaState,
    Traffic,
)
from simulators.cluster import Cluster
from simulators.deployment import SimDeployment, SimReplica
from simulators.engine import Engine
from simulators.learning import SimModel
from simulators.served import ModelSpec, Served
from simulators.serving import TABLE_LIFE_S, Serving
from simulators.telemetry import Answer, Telemetry

STARTS_TRIED = 3
"""After so many failed starts in a row a challenger counts as one that can not serve, as with Serve."""


class Sight(Serving):
    """Sensor. `controls` says what people want; `due` are the schedules that fell due since the last look."""

    def __init__(
        self,
        *,
        engine: Engine,
        cluster: Cluster,
        models: Iterable[ModelSpec],
        seed: np.random.SeedSequence,
        telemetry: Telemetry | None = None,
        controls: Callable[[float], Controls] = lambda at_s: Controls(),
        knows_capacity: bool = True,
        table_life_s: float = TABLE_LIFE_S,
    ) -> None:
        super().__init__(engine=engine, cluster=cluster, models=models, seed=seed, table_life_s=table_life_s)
        self.telemetry = telemetry or Telemetry()
        self.controls = controls
        self.knows_capacity = knows_capacity
        self.observed_s = 0.0
        self.due: list[str] = []
        self._controls = Controls()
        self._told_last: dict[str, Model] = {}

    def observe(self, at_s: float) -> Observation:
        """See `agent.ports.Sensor.observe`."""
        self.catch_up()
        self.observed_s = at_s
        problems: list[str] = []
        seen: dict[str, Deployment] = {}
        for served in self.served.values():
            counters = {each.name: each.kernel.snapshot() for each in self._slots(served)}
            for deployment in self._slots(served):
                self.telemetry.see(deployment.name, counters[deployment.name])
            self._ready(served)
            for deployment in self._slots(served):
                seen[deployment.name] = self._seen(served, deployment, at_s)
                if seen[deployment.name].traffic is None:
                    problems.append(f"{deployment.name}: no traffic is known")
        due, self.due = tuple(self.due), []
        models = {
            name: self._model_seen(each.model, at_s) for name, each in self.served.items() if each.model is not None
        }
        problems += [f"{node}: its metrics can not be read" for node in sorted(self.telemetry.silent)]
        problems += [f"model {n}: its registry can not be read" for n, m in models.items() if m.champion is None]
        return Observation(
            at_s=at_s,
            deployments=seen,
            models=models,
            capacity=self.cluster.capacity() if self.knows_capacity else Capacity(),
            controls=self._controls_at(at_s, problems),
            due=due,
            problems=tuple(problems),
        )

    def _controls_at(self, at_s: float, problems: list[str]) -> Controls:
        """What people said; where it can not be read, what they were last known to have said."""
        try:
            self._controls = self.controls(at_s)
        except JournalUnavailable as error:
            problems.append(f"the controls can not be read: {error}")
        return self._controls

    def _model_seen(self, model: SimModel, at_s: float) -> Model:
        """The model as it can be seen: while telemetry is lost, with the reports and comparisons of before."""
        seen = model.seen(at_s)
        if self.telemetry.lost:
            last = self._told_last.get(model.name)
            report = last.report if last is not None else None
            rollout = seen.rollout
            if rollout is not None:
                same = last.rollout if last is not None and last.rollout is not None else None
                known = same.comparison if same is not None and same.version == rollout.version else None
                rollout = replace(rollout, comparison=known)
            return replace(seen, report=report, rollout=rollout)
        self._told_last[model.name] = seen
        return seen

    @staticmethod
    def _slots(served: Served) -> tuple[SimDeployment, ...]:
        return (served.champion,) if served.challenger is None else (served.champion, served.challenger)

    def _ready(self, served: Served) -> None:
        challenger, model = served.challenger, served.model
        if challenger is None or model is None or model.rollout is None:
            return
        if challenger.failed_starts >= STARTS_TRIED:
            model.set_rollout(failed=challenger.message)
        elif challenger.running and not model.rollout.ready:
            model.set_rollout(ready=True)

    def _seen(self, served: Served, deployment: SimDeployment, at_s: float) -> Deployment:
        spec = served.spec
        traffic, by_replica = self._read(deployment, at_s)
        replicas = tuple(self._replica(each, by_replica) for each in deployment.replicas.values())
        running = len(deployment.running)
        settled = running == deployment.wanted and len(replicas) == running
        status = DeploymentStatus.HEALTHY if settled else DeploymentStatus.UPDATING
        if deployment.message and running < deployment.wanted:
            status = DeploymentStatus.UNHEALTHY
        slot = None
        if served.model is not None:
            slot = "champion" if deployment is served.champion else "challenger"
        return Deployment(
            name=deployment.name,
            status=status,
            replicas_wanted=deployment.wanted,
            replicas=replicas,
            min_replicas=spec.min_replicas,
            max_replicas=spec.max_replicas,
            max_ongoing_requests=spec.max_ongoing_requests,
            slo_latency_s=spec.slo_latency_s,
            resources=spec.resources,
            traffic=traffic,
            model=spec.name if served.model is not None else None,
            slot=slot,
            message=deployment.message,
        )

    def _read(self, deployment: SimDeployment, at_s: float) -> Answer:
        """Its traffic; a sum of which a part can not be read is not known."""
        traffic, by_replica = self.telemetry.read(deployment.name, at_s)
        silent = self.telemetry.silent
        if not silent:
            return traffic, by_replica
        unread = {each.number for each in deployment.replicas.values() if each.node in silent}
        kept = {number: each for number, each in by_replica.items() if number not in unread}
        return (None if unread else traffic), kept

    @staticmethod
    def _replica(each: SimReplica, by_replica: Mapping[int, Traffic]) -> Replica:
        return Replica(
            id=each.id,
            state=each.state,
            healthy=each.healthy if each.state is ReplicaState.RUNNING else None,
            started_at_s=each.since_s,
            node=each.node,
            version=each.version,
            traffic=by_replica.get(each.number),
        )
