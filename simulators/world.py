"""The ports, played by the engine: a world in which the unchanged agent lives.

Requests go through one kernel per deployment; everything rarer is an event. A managed model has a champion's deployment, and a
challenger's while a rollout runs. What is done to the world is told to those who watch (`Deed`), so that rules can be checked.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from agent.order import Order
from agent.ports import Refused
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
from policies.observation import JobState, Quarantined
from simulators.deployment import SimDeployment
from simulators.learning import SimModel
from simulators.served import SERVER, Deed, Live, Served, live_bins
from simulators.sight import Sight

CHALLENGER = "-challenger"
_NOTHING = np.empty(0)


class SimulatedWorld(Sight):
    """Sensor, Actuator, Trainer and Notifier in one, in simulated time.

    Switches for faults: `lies` (takes orders and does nothing), `slow_s` (orders take effect so much later); see `control`, `delay`,
    `crowd`, `slow_starts`.
    """

    def __init__(self, **parts: Any) -> None:
        """See `simulators.sight.Sight`."""
        super().__init__(**parts)
        self.lies = False
        self.slow_s = 0.0
        self.alerts: list[tuple[float, Alert]] = []
        self.deeds: list[Deed] = []
        self.watchers: list[Callable[[Deed], None]] = []
        self.hearers: list[Callable[[Order], None]] = []
        """Told of every order that comes in, before anything is made of it, also where it is refused or was done already."""
        self.scaling: list[tuple[float, str, int]] = []
        """Every replica count that was set: when, of which deployment, and to what."""
        self.foreign: list[tuple[float, str, int]] = []
        """Those of them that a foreign hand changed."""
        self.training_nodes: dict[str, tuple[str, ...]] = {}
        """Model -> the nodes that its training holds a place on, one for each trial at a time."""
        self._done: set[str] = set()
        self._epoch = 0

    # -- Actuator, Trainer, Notifier -----------------------------------------------------------------------------

    def start(self, order: Order) -> None:
        """See `agent.ports.Actuator.start` and `agent.ports.Trainer.start`."""
        for hear in self.hearers:
            hear(order)
        if order.epoch < self._epoch:
            raise Refused(f"epoch {order.epoch} is over; epoch {self._epoch} acts")
        self._known(order.action)
        self._epoch = order.epoch
        if order.key in self._done:
            return
        if self.lies:
            pass
        elif self.slow_s > 0:
            name = f"order {order.number} takes effect late"
            self.engine.after(self.slow_s, name, lambda: self._do_late(order))
        else:
            self._do(order)
        self._done.add(order.key)

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

    def scale_by_hand(self, name: str, replicas: int) -> None:
        """Somebody who is not the agent sets a replica count."""
        if self.deployments[name].wanted != replicas:
            self.foreign.append((self.engine.now_s, name, replicas))
        self.scale(name, replicas)

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
        places = self._places(model, action.concurrent_trials or model.learning.concurrent_trials)
        if not places:
            need = model.learning.job_resources(action.concurrent_trials)
            raise Refused(
                f"there are no {need.cpus:g} CPUs and {need.gpus:g} GPUs free for a training of {action.model}"
            )
        self._told(order, f"a training of {action.model} begins")
        took_s = model.train(order.key, self.engine.now_s, action.since_s, action.rows_max, action.concurrent_trials)
        self.training_nodes[action.model] = places
        name = f"the training of {action.model} ends"
        self.engine.after(took_s, name, lambda: self._end_training(served, order.key, JobState.SUCCEEDED))

    def _places(self, model: SimModel, trials: int) -> tuple[str, ...]:
        """A place for each of `trials` at a time, anywhere; nothing is taken where not all find one."""
        need, places = model.learning.trial_resources, []
        for _ in range(trials):
            node = self.cluster.take(need, model.name)
            if node is None:
                for taken in places:
                    self.cluster.give_back(taken, need, model.name)
                return ()
            places.append(node)
        return tuple(places)

    def _end_training(self, served: Served, job: str | None, state: JobState, message: str = "") -> None:
        model = served.model
        assert model is not None  # noqa: S101 - only a managed model trains
        if model.job is None or model.job.state is not JobState.RUNNING or job not in (None, model.job.id):
            return
        for node in self.training_nodes.pop(served.spec.name):
            self.cluster.give_back(node, model.learning.trial_resources, served.spec.name)
        if state is JobState.SUCCEEDED and model.registry_away:
            state, message = JobState.FAILED, "its version could not be registered: the registry is away"
        model.end_training(self.engine.now_s, state, message)

    def fail_trainings_on(self, node: str) -> None:
        """The node is gone, and the trainings on it have failed."""
        for name in [name for name, places in self.training_nodes.items() if node in places]:
            self._end_training(self.served[name], None, JobState.FAILED, f"its node {node} was lost")

    # -- rollouts ------------------------------------------------------------------------------------------------

    def _rollout(self, action: StartRollout | SetTraffic | Promote | RollBack, order: Order) -> None:
        served, model = self.served[action.model], self._model(action.model)
        self.look(served)
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
        served.live = {}
        model.set_rollout(shadow=action.shadow)
        challenger.scale(1)

    def _promote(self, served: Served, action: Promote, order: Order) -> None:
        model = self._model(action.model)
        if model.rollout is None or model.rollout.version != action.version:
            return
        self.look(served)
        self._told(order, f"version {action.version} of {action.model} is the champion")
        model.promote(action.version, self.engine.now_s)
        self._end_rollout(served)
        self._serve(served, action.version)

    def _serve(self, served: Served, version: str) -> None:
        """Every replica of the champion serves `version`, in place."""
        served.champion.version = version
        for replica in served.champion.replicas.values():
            replica.version = version
        for watch in self.serves:
            watch(served)

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
            served.challengers_arrived += retiring[0].kernel.snapshot().arrived
            served.lost_challenger_bins += live_bins(*retiring, final=True)
