"""The ports, played by the engine: a world in which the unchanged agent lives.

Requests go through one kernel per deployment; everything rarer is an event. A managed model has a champion's deployment, and a
challenger's while a rollout runs. What is done to the world is told to those who watch (`Deed`), so that rules can be checked.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.order import Order
from agent.ports import JournalUnavailable, Refused
from policies.action import (
    Action,
    Alert,
    Promote,
    Quarantine,
    Restart,
    Retrain,
    RollBack,
    Scale,
    SetTraffic,
    StartRollout,
    StopTraining,
)
from policies.observation import (
    Arm,
    Capacity,
    Controls,
    Deployment,
    DeploymentStatus,
    JobState,
    Model,
    Moments,
    Observation,
    Quarantined,
    Replica,
    ReplicaState,
    Resources,
    Traffic,
)
from simulators.cluster import Cluster
from simulators.deployment import Lifecycle, SimDeployment, SimReplica, slowed
from simulators.engine import Engine
from simulators.learning import Learning, SimModel
from simulators.request_counters import Bin, Counters
from simulators.requests import RequestKernel
from simulators.telemetry import Telemetry

SERVER = "ModelServer"
CHALLENGER = "-challenger"
TABLE_LIFE_S = 30.0
"""Challengers get traffic for so long after the agent last renewed it, as with the traffic tables of a real cluster."""
STARTS_TRIED = 3
"""After so many failed starts in a row a challenger counts as one that can not serve, as with Serve."""
_NOTHING = np.empty(0)

Live = dict[float, tuple[int, int]]
"""Begin of a minute -> (requests that callers sent to a challenger, requests with the shadow's copies)."""


class Source(Protocol):
    """Arrivals of one stream: all that were not given yet and come before `until_s`, in seconds, ascending."""

    def until(self, until_s: float) -> NDArray[np.float64]: ...


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a scenario says of one model. `kernel` makes the request kernel of one slot from a seed."""

    name: str
    kernel: Callable[[np.random.SeedSequence], RequestKernel]
    source: Source
    lifecycle: Lifecycle
    replicas: int = 1
    min_replicas: int = 1
    max_replicas: int | None = None
    resources: Resources = field(default_factory=lambda: Resources(cpus=1.0))
    max_ongoing_requests: int = 5
    slo_latency_s: float | None = None
    learning: Learning | None = None
    marks: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None
    """Service seconds that come with each request, where the service takes them."""

    @property
    def deployment(self) -> str:
        return f"{self.name}/{SERVER}"


@dataclass(frozen=True, kw_only=True)
class Deed:
    """Something that an order did to the world, at the moment when it took effect."""

    at_s: float
    order: Order
    effect: str


@dataclass
class Served:
    """The parts of one model while the simulation runs."""

    spec: ModelSpec
    champion: SimDeployment
    stream: np.random.Generator
    challenger: SimDeployment | None = None
    model: SimModel | None = None
    share: float = 0.0
    shadow: float = 0.0
    answered: int = 0
    """Rows that the champion's deployment has answered, as last counted."""
    answered_beside: int = 0
    """Rows that the running challenger has answered to callers, as last counted."""
    lost_challenger_bins: list[Bin] = field(default_factory=list)
    live: Live = field(default_factory=dict)
    """Of the running challenger."""
    retiring: list[tuple[SimDeployment, Live]] = field(default_factory=list)
    """Challengers whose rollout is over and whose replicas still drain."""
    challengers_born: int = 0
    challengers_s: float = 0.0
    """Replica-seconds of the challengers that are gone."""

    def slots(self) -> Iterator[SimDeployment]:
        """All deployments that there are, those that drain too."""
        yield self.champion
        if self.challenger is not None:
            yield self.challenger
        for each, _ in self.retiring:
            yield each

    def replica_s(self) -> float:
        return self.challengers_s + sum(each.replica_s() for each in self.slots())


class SimulatedWorld:
    """Sensor, Actuator, Trainer and Notifier in one, in simulated time.

    Switches for faults: `lies` (takes orders and does nothing), `slow_s` (orders take effect so much later); see `control`, `delay`.
    Traffic goes to challengers only for `table_life_s` after the last `renew`.
    """

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
        self.engine = engine
        self.cluster = cluster
        self.telemetry = telemetry or Telemetry()
        self.controls = controls
        self.lies = False
        self.slow_s = 0.0
        self.network_delay_s = 0.0
        self.controlled = True
        self.slower_starts = 1.0
        self.renewed_s = 0.0
        self.observed_s = 0.0
        self.knows_capacity = knows_capacity
        self.table_life_s = table_life_s
        self._controls = Controls()
        self._told_last: dict[str, Model] = {}
        self.alerts: list[tuple[float, Alert]] = []
        self.deeds: list[Deed] = []
        self.watchers: list[Callable[[Deed], None]] = []
        self.due: list[str] = []
        self.scaling: list[tuple[float, str, int]] = []
        self._seed = seed
        self._seeds = 0
        self._done: set[str] = set()
        self._epoch = 0
        self.training_nodes: dict[str, str] = {}
        """Model -> the node that its training holds a place on."""
        self.served: dict[str, Served] = {}
        self.deployments: dict[str, SimDeployment] = {}
        for spec in models:
            self._add(spec)

    # -- setting up ----------------------------------------------------------------------------------------------

    def _child(self) -> np.random.SeedSequence:
        """A seed of its own for each cause, in the order of asking."""
        self._seeds += 1
        return np.random.SeedSequence(entropy=self._seed.entropy, spawn_key=(*self._seed.spawn_key, self._seeds))

    def _add(self, spec: ModelSpec) -> None:
        champion = self._deployment(spec, spec.deployment)
        stream = np.random.default_rng(self._child())
        served = Served(spec=spec, champion=champion, stream=stream)
        if spec.learning is not None:
            served.model = SimModel(spec.name, spec.learning, np.random.default_rng(self._child()))
            champion.version = "1"
        self.served[spec.name] = served
        champion.catch_up = lambda: self._advance(served)  # type: ignore[method-assign]
        self._run_at_once(champion, spec.replicas)

    def _deployment(self, spec: ModelSpec, name: str) -> SimDeployment:
        made = SimDeployment(
            name=name,
            kernel=spec.kernel(self._child()),
            engine=self.engine,
            cluster=self.cluster,
            resources=spec.resources,
            lifecycle=slowed(spec.lifecycle, self.slower_starts),
            stream=np.random.default_rng(self._child()),
            controlled=self.controlled,
        )
        made.kernel.network_delay_s = self.network_delay_s
        self.deployments[name] = made
        return made

    def everything(self) -> Iterator[SimDeployment]:
        """All deployments, also those whose rollout is over and that drain."""
        for served in self.served.values():
            yield from served.slots()

    # -- what faults switch --------------------------------------------------------------------------------------

    def control(self, there: bool) -> None:
        """The controller goes away or comes back; it then does what was wanted meanwhile."""
        self.controlled = there
        for deployment in list(self.everything()):
            deployment.controlled = there
            deployment.reconcile()

    def delay(self, seconds: float) -> None:
        """Every answer takes so much longer from now on."""
        self.catch_up()
        self.network_delay_s = seconds
        for deployment in self.everything():
            deployment.kernel.network_delay_s = seconds

    def slow_starts(self, factor: float) -> None:
        """Cold starts take `factor` times as long from now on."""
        self.slower_starts = factor
        for served in self.served.values():
            for deployment in served.slots():
                deployment.lifecycle = slowed(served.spec.lifecycle, factor)

    def renew(self, at_s: float) -> None:
        """The agent lives: challengers keep their traffic."""
        self.renewed_s = at_s

    @staticmethod
    def _run_at_once(deployment: SimDeployment, replicas: int) -> None:
        """The replicas with which a scenario begins run from its first moment."""
        deployment.wanted = replicas
        for _ in range(replicas):
            deployment.begin_running()

    # -- requests ------------------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Let all requests come up to now."""
        for served in self.served.values():
            self._advance(served)

    def _advance(self, served: Served) -> None:
        now_s = self.engine.now_s
        if served.champion.kernel.now_s >= now_s:
            return
        arrivals = served.spec.source.until(now_s)
        marks = served.spec.marks(arrivals) if served.spec.marks is not None else None
        for retiring, _ in served.retiring:
            retiring.kernel.advance(_NOTHING, now_s)
        if served.challenger is None:
            served.champion.kernel.advance(arrivals, now_s, marks)
            return
        # Two numbers for each request, whatever the pieces in which requests come: how a run is cut changes nothing.
        drawn = served.stream.random((len(arrivals), 2))
        fresh = arrivals <= self.renewed_s + self.table_life_s
        theirs = (drawn[:, 0] < served.share) & fresh
        copied = ~theirs & (drawn[:, 1] < served.shadow) & fresh
        beside = theirs | copied
        served.champion.kernel.advance(arrivals[~theirs], now_s, marks[~theirs] if marks is not None else None)
        served.challenger.kernel.advance(arrivals[beside], now_s, marks[beside] if marks is not None else None)
        self._count_live(served, arrivals[theirs], arrivals[copied])

    @staticmethod
    def _count_live(served: Served, live: NDArray[np.float64], copies: NDArray[np.float64]) -> None:
        for minute in np.unique(np.floor(np.concatenate([live, copies]) / 60.0) * 60.0):
            was = served.live.get(float(minute), (0, 0))
            sent = int(np.sum((live >= minute) & (live < minute + 60)))
            more = int(np.sum((copies >= minute) & (copies < minute + 60)))
            served.live[float(minute)] = (was[0] + sent, was[1] + sent + more)

    # -- Sensor --------------------------------------------------------------------------------------------------

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
            self._learn(served, counters, at_s)
            for deployment in self._slots(served):
                seen[deployment.name] = self._seen(served, deployment, at_s)
                if seen[deployment.name].traffic is None:
                    problems.append(f"{deployment.name}: no traffic is known")
        due, self.due = tuple(self.due), []
        models = {
            name: self._model_seen(each.model, at_s) for name, each in self.served.items() if each.model is not None
        }
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

    def _learn(self, served: Served, counters: Mapping[str, Counters], at_s: float) -> None:
        """Tell the model what was answered since the last look, and its rollout what each arm did."""
        model = served.model
        if model is None:
            return
        completed = counters[served.champion.name].completed
        rows, served.answered = completed - served.answered, completed
        if served.challenger is not None:
            live, sent = _sums(served.live)
            beside = round(counters[served.challenger.name].completed * live / sent) if sent else 0
            rows += max(0, beside - served.answered_beside)
            served.answered_beside = max(beside, served.answered_beside)
        if served.challenger is not None and model.rollout is not None:
            self._ready(served)
            before = {name: self.telemetry.before(name) for name in counters}
            arms = [_arm(before[each.name], counters[each.name]) for each in self._slots(served)]
            model.watched(at_s, *arms)
        if rows:
            model.answered(rows, at_s)

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
        traffic, by_replica = self.telemetry.read(deployment.name, at_s)
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

    # -- Actuator, Trainer, Notifier -----------------------------------------------------------------------------

    def start(self, order: Order) -> None:
        """See `agent.ports.Actuator.start` and `agent.ports.Trainer.start`."""
        if order.epoch < self._epoch:
            raise Refused(f"epoch {order.epoch} is over; epoch {self._epoch} acts")
        self._known(order.action)
        self._epoch = order.epoch
        if order.key in self._done:
            return
        self._done.add(order.key)
        if self.lies:
            return
        if self.slow_s > 0:
            name = f"order {order.number} takes effect late"
            self.engine.after(self.slow_s, name, lambda: self._do_late(order))
        else:
            self._do(order)

    def _do_late(self, order: Order) -> None:
        """Whoever sent it has long gone on: what can not be done by now is not, and its deadline tells."""
        with suppress(Refused):
            self._do(order)

    def notify(self, alert: Alert) -> None:
        """See `agent.ports.Notifier.notify`."""
        self.alerts.append((self.engine.now_s, alert))

    def _known(self, action: Action) -> None:
        match action:
            case Scale(deployment=name) | Restart(deployment=name):
                if name not in self.deployments:
                    raise Refused(f"there is no deployment {name!r}")
            case Alert():
                return
            case _:
                name = getattr(action, "model", "")
                if name not in self.served or self.served[name].model is None:
                    raise Refused(f"model {name!r} is not managed")

    def _do(self, order: Order) -> None:
        action = order.action
        match action:
            case Scale():
                self._told(order, f"{action.deployment} wants {action.replicas}")
                self.scale(action.deployment, action.replicas)
            case Restart():
                self._told(order, f"{action.replica} is replaced")
                self.deployments[action.deployment].restart(action.replica)
            case Retrain():
                self._retrain(action, order)
            case StopTraining():
                self._told(order, f"the training of {action.model} stops")
                self._end_training(self.served[action.model], None, JobState.STOPPED)
            case StartRollout() | SetTraffic() | Promote() | RollBack():
                self._rollout(action, order)
            case Quarantine():
                self._told(order, f"rows of {action.model} are set aside")
                model = self._model(action.model)
                fresh = Quarantined(since_s=action.since_s, until_s=action.until_s)
                model.quarantined = (*model.quarantined, fresh)
            case other:
                raise Refused(f"this world does not know how to {other.kind}")

    def scale(self, name: str, replicas: int) -> None:
        """Somebody, an order or a foreign hand, sets a replica count."""
        self.scaling.append((self.engine.now_s, name, replicas))
        deployment = self.deployments[name]
        deployment.catch_up()
        deployment.scale(replicas)

    def _told(self, order: Order, effect: str) -> None:
        deed = Deed(at_s=self.engine.now_s, order=order, effect=effect)
        self.deeds.append(deed)
        for watch in self.watchers:
            watch(deed)

    def _model(self, name: str) -> SimModel:
        model = self.served[name].model
        assert model is not None  # noqa: S101 - `_known` has looked
        return model

    # -- trainings -----------------------------------------------------------------------------------------------

    def _retrain(self, action: Retrain, order: Order) -> None:
        served, model = self.served[action.model], self._model(action.model)
        if model.job is not None and model.job.state is JobState.RUNNING:
            raise Refused(f"training {model.job.id} of {action.model} still runs")
        need = model.learning.job_resources
        node = self.cluster.take(need)
        if node is None:
            raise Refused(
                f"no node has {need.cpus:g} CPUs and {need.gpus:g} GPUs free for a training of {action.model}"
            )
        self._told(order, f"a training of {action.model} begins")
        took_s = model.train(order.key, self.engine.now_s, action.since_s, action.rows_max)
        self.training_nodes[action.model] = node
        name = f"the training of {action.model} ends"
        self.engine.after(took_s, name, lambda: self._end_training(served, order.key, JobState.SUCCEEDED))

    def _end_training(self, served: Served, job: str | None, state: JobState, message: str = "") -> None:
        model = served.model
        assert model is not None  # noqa: S101 - only a managed model trains
        if model.job is None or model.job.state is not JobState.RUNNING or job not in (None, model.job.id):
            return
        node = self.training_nodes.pop(served.spec.name)
        if self.cluster.nodes[node].alive:
            self.cluster.give_back(node, model.learning.job_resources)
        if state is JobState.SUCCEEDED and model.registry_away:
            state, message = JobState.FAILED, "its version could not be registered: the registry is away"
        model.end_training(self.engine.now_s, state, message)

    def fail_trainings_on(self, node: str) -> None:
        """The node is gone, and the trainings on it have failed."""
        for name in [name for name, place in self.training_nodes.items() if place == node]:
            self._end_training(self.served[name], None, JobState.FAILED, f"its node {node} was lost")

    # -- rollouts ------------------------------------------------------------------------------------------------

    def _rollout(self, action: StartRollout | SetTraffic | Promote | RollBack, order: Order) -> None:
        served, model = self.served[action.model], self._model(action.model)
        self._advance(served)
        self._possible(action, served, model)
        match action:
            case StartRollout():
                self._told(order, f"version {action.version} of {action.model} runs beside the champion")
                self._start_rollout(served, model, action)
            case SetTraffic():
                self._told(order, f"version {action.version} of {action.model} answers {action.share:g}")
                served.share, served.shadow = action.share, action.shadow
                model.set_rollout(share=action.share, shadow=action.shadow, stage_since_s=self.engine.now_s)
            case Promote():
                name = f"version {action.version} of {action.model} is the champion"
                self.engine.after(model.learning.swap_s, name, lambda: self._promote(served, action, order))
            case RollBack():
                self._told(order, f"version {action.version} of {action.model} serves nobody")
                if model.rollout is not None and model.rollout.version == action.version:
                    self._end_rollout(served)
                model.roll_back(action.version, action.to, self.engine.now_s)
                self._serve(served, model.champion.number)

    def _possible(
        self, action: StartRollout | SetTraffic | Promote | RollBack, served: Served, model: SimModel
    ) -> None:
        """Raises Refused for what a real cluster would refuse too, before anything is changed."""
        if isinstance(action, SetTraffic | Promote):
            if model.rollout is None or model.rollout.version != action.version:
                raise Refused(f"version {action.version} of {action.model} is in no rollout")
        elif isinstance(action, StartRollout) and served.challenger is not None:
            raise Refused(f"a rollout of {action.model} runs already")
        if isinstance(action, SetTraffic):
            return
        if model.registry_away:
            raise Refused(f"the registry of {action.model} can not be reached")
        number, digest = (
            (action.to, action.to_digest) if isinstance(action, RollBack) else (action.version, action.digest)
        )
        if number not in model.versions:
            raise Refused(f"there is no version {number} of {action.model}")
        if model.versions[number].version.digest != digest:
            raise Refused(f"the files of version {number} of {action.model} are not those that were ordered")

    def _start_rollout(self, served: Served, model: SimModel, action: StartRollout) -> None:
        model.begin_rollout(action.version, self.engine.now_s)
        challenger = self._deployment(served.spec, f"{served.spec.name}{CHALLENGER}/{SERVER}")
        challenger.kernel.advance(_NOTHING, self.engine.now_s)
        challenger.version = action.version
        challenger.born = served.challengers_born
        challenger.catch_up = lambda: self._advance(served)  # type: ignore[method-assign]
        challenger.fails_to_start = lambda replica: model.versions[action.version].crashes
        served.challenger, served.share, served.shadow = challenger, 0.0, action.shadow
        served.live, served.answered_beside = {}, 0
        model.set_rollout(shadow=action.shadow)
        challenger.scale(1)

    def _promote(self, served: Served, action: Promote, order: Order) -> None:
        model = self._model(action.model)
        if model.rollout is None or model.rollout.version != action.version:
            return
        self._advance(served)
        self._told(order, f"version {action.version} of {action.model} is the champion")
        model.promote(action.version, self.engine.now_s)
        self._end_rollout(served)
        self._serve(served, action.version)

    @staticmethod
    def _serve(served: Served, version: str) -> None:
        """Every replica of the champion serves `version`, in place."""
        served.champion.version = version
        for replica in served.champion.replicas.values():
            replica.version = version

    def _end_rollout(self, served: Served) -> None:
        """Weight to zero first, then drain, then the challenger is gone."""
        challenger = served.challenger
        if challenger is None:
            return
        served.share = served.shadow = 0.0
        served.challengers_born = challenger.born
        served.challenger = None
        retiring = (challenger, served.live)
        served.retiring.append(retiring)
        del self.deployments[challenger.name]
        self.telemetry.forget(challenger.name)
        challenger.removed = True
        challenger.hold_no_warm()
        # It is played on until the last of its requests is answered.
        challenger.emptied = lambda: self._retire(served, retiring)
        challenger.scale(0)
        if not challenger.replicas:
            self._retire(served, retiring)

    @staticmethod
    def _retire(served: Served, retiring: tuple[SimDeployment, Live]) -> None:
        """Its last replica is gone, and so is the deployment."""
        if any(each is retiring for each in served.retiring):
            served.retiring = [each for each in served.retiring if each is not retiring]
            served.challengers_s += retiring[0].replica_s()
            served.lost_challenger_bins += _live_bins(*retiring, final=True)

    # -- what became of the requests -----------------------------------------------------------------------------

    def closed_bins(self, name: str, *, final: bool = False) -> tuple[list[Bin], list[Bin]]:
        """(the champion's minutes, the challenger's with the callers' own requests only) that were closed since the last time."""
        served = self.served[name]
        champion = served.champion.kernel.closed_bins(final=final)
        theirs, served.lost_challenger_bins = served.lost_challenger_bins, []
        if served.challenger is not None:
            theirs += _live_bins(served.challenger, served.live, final=final)
        for challenger, live in served.retiring if final else ():
            theirs += _live_bins(challenger, live, final=final)
        return champion, theirs


def _live_bins(challenger: SimDeployment, counted: Live, *, final: bool) -> list[Bin]:
    """A challenger's minutes without the shadow's copies, which are taken to fare as the others do."""
    found = []
    for each in challenger.kernel.closed_bins(final=final):
        live, sent = counted.get(each.begin_s, (0, 0))
        if live and sent:
            part = live / sent
            counts = {name: round(getattr(each, name) * part) for name in _COUNTS}
            found.append(replace(each, **counts))
    return found


_COUNTS = ("arrived", "completed", "late", "dropped", "failed", "timed_out", "unfinished")


def _sums(live: Live) -> tuple[int, int]:
    return sum(a for a, _ in live.values()), sum(b for _, b in live.values())


def _arm(before: Counters | None, now: Counters) -> Arm:
    """What one deployment answered between two snapshots."""
    completed = now.completed - (before.completed if before else 0)
    ended = now.ended - (before.ended if before else 0)
    latency_s = now.latency_sum_s - (before.latency_sum_s if before else 0.0)
    if completed == 0:
        return Arm(requests=ended, errors=ended)
    mean = latency_s / completed
    # A latency spreads about as wide as it is long; only its order of magnitude matters to a confidence sequence.
    return Arm(
        requests=ended,
        errors=ended - completed,
        latency=Moments(n=completed, mean=mean, variance=mean * mean),
    )
