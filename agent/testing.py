"""For tests of agents and worlds: a scripted world, recorders, and WorldChecks, the contract that every world must keep."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from agent.journal.memory import MemoryJournal
from agent.order import Order
from agent.ports import Refused
from agent.writable import plain_or_none
from policies.action import Alert, Restart, Retrain, Scale, StopTraining
from policies.observation import (
    Capacity,
    Controls,
    Deployment,
    DeploymentStatus,
    JobState,
    Model,
    Observation,
    Replica,
    ReplicaState,
    Resources,
    Traffic,
    TrainingJob,
)

__all__ = ["MemoryJournal", "RecordingActuator", "RecordingNotifier", "ScriptedWorld", "WorldChecks"]

START_S = 3.0
TRAINING_S = 30.0


class RecordingActuator:
    """Takes every order and does nothing; `orders` are those that it was sent."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def start(self, order: Order) -> None:
        self.orders.append(order)


class RecordingNotifier:
    """Keeps the alerts that people would have read."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def notify(self, alert: Alert) -> None:
        self.alerts.append(alert)


@dataclass
class ScriptedWorld:
    """A small deterministic world in memory: deployments whose replicas take START_S to start, and trainings that take TRAINING_S.

    It keeps its own time, which `advance` moves. Switches: `refuses` answers every order with Refused; `lies` takes orders and does
    nothing. `effects` are the keys of all that was done, in order; a key is never done twice.
    """

    deployments: dict[str, Deployment] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    capacity: Capacity = field(default_factory=Capacity)
    controls: Controls = field(default_factory=Controls)
    at_s: float = 0.0
    refuses: bool = False
    lies: bool = False
    effects: list[str] = field(default_factory=list)
    record: Callable[[str], None] = lambda key: None
    _due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    _highest_epoch: int = 0
    _born: int = 0

    @classmethod
    def with_deployment(cls, name: str = "app/model", replicas: int = 2, **fields: Any) -> "ScriptedWorld":
        """A world of one deployment that runs `replicas` replicas."""
        world = cls()
        world.deployments[name] = Deployment(
            name=name,
            status=DeploymentStatus.HEALTHY,
            replicas_wanted=replicas,
            replicas=tuple(world._replica(ReplicaState.RUNNING) for _ in range(replicas)),
            **fields,
        )
        world.capacity = Capacity(total=Resources(cpus=100.0), free=Resources(cpus=100.0))
        return world

    def observe(self, at_s: float) -> Observation:
        """Everything as it is now; `at_s` is the agent's time, and this world's too."""
        self.advance(at_s - self.at_s)
        return Observation(
            at_s=at_s,
            deployments=dict(self.deployments),
            models=dict(self.models),
            capacity=self.capacity,
            controls=self.controls,
        )

    def advance(self, seconds: float) -> None:
        """Let time pass, and what falls due in it happen."""
        self.at_s += max(0.0, seconds)
        ready = [act for due_s, act in self._due if due_s <= self.at_s]
        self._due = [(due_s, act) for due_s, act in self._due if due_s > self.at_s]
        for act in ready:
            act()

    def start(self, order: Order) -> None:
        """See `agent.ports.Actuator.start` and `agent.ports.Trainer.start`."""
        if self.refuses:
            raise Refused("the world refuses, as the test wants it")
        if order.epoch < self._highest_epoch:
            raise Refused(f"epoch {order.epoch} is over; {self._highest_epoch} acts")
        self._highest_epoch = order.epoch
        if order.key in self.effects:
            return
        self._do(order)
        self.effects.append(order.key)
        self.record(order.key)

    def notify(self, alert: Alert) -> None:
        """Alerts change nothing here."""

    def give_traffic(self, name: str, **fields: Any) -> None:
        """Say what a deployment answers from now on; fields as of Traffic."""
        plain: dict[str, Any] = {"measured_at_s": self.at_s, "window_s": 10.0, "requests": 100}
        traffic = Traffic(**(plain | fields))
        self.deployments[name] = replace(self.deployments[name], traffic=traffic)

    def _do(self, order: Order) -> None:
        match order.action:
            case Scale(deployment=name) | Restart(deployment=name) if name not in self.deployments:
                raise Refused(f"there is no deployment {name!r}")
            case Scale() as scale:
                self._later(lambda: self._scale(scale))
            case Restart() as restart:
                self._later(lambda: self._restart(restart))
            case Retrain(model=name) | StopTraining(model=name) if name not in self.models:
                raise Refused(f"there is no model {name!r}")
            case Retrain(model=name):
                self._train(name, order)
            case StopTraining(model=name):
                self._end_training(name, JobState.STOPPED)
            case _:
                raise Refused(f"this world does not know how to {order.action.kind}")

    def _later(self, act: Callable[[], None], seconds: float = 0.0) -> None:
        if not self.lies:
            self._due.append((self.at_s + seconds, act))

    def _scale(self, action: Scale) -> None:
        deployment = self.deployments[action.deployment]
        kept = deployment.replicas[: action.replicas]
        fresh = tuple(self._replica(ReplicaState.STARTING) for _ in range(action.replicas - len(kept)))
        self.deployments[action.deployment] = replace(
            deployment, replicas_wanted=action.replicas, replicas=kept + fresh
        )
        for each in fresh:
            self._later(lambda each=each: self._run(action.deployment, each.id), START_S)  # type: ignore[misc]

    def _restart(self, action: Restart) -> None:
        deployment = self.deployments[action.deployment]
        fresh = self._replica(ReplicaState.STARTING)
        replicas = tuple(fresh if each.id == action.replica else each for each in deployment.replicas)
        self.deployments[action.deployment] = replace(deployment, replicas=replicas)
        self._later(lambda: self._run(action.deployment, fresh.id), START_S)

    def _run(self, name: str, replica: str) -> None:
        deployment = self.deployments[name]
        replicas = tuple(
            replace(each, state=ReplicaState.RUNNING) if each.id == replica else each for each in deployment.replicas
        )
        self.deployments[name] = replace(deployment, replicas=replicas)

    def _train(self, name: str, order: Order) -> None:
        job = TrainingJob(id=order.key, state=JobState.RUNNING, started_at_s=self.at_s, trials_wanted=4)
        self.models[name] = replace(self.models[name], training=job)
        self._later(lambda: self._end_training(name, JobState.SUCCEEDED), TRAINING_S)

    def _end_training(self, name: str, state: JobState) -> None:
        job = self.models[name].training
        if job is not None and job.state is JobState.RUNNING:
            ended = replace(job, state=state, finished_at_s=self.at_s)
            self.models[name] = replace(self.models[name], training=ended)

    def _replica(self, state: ReplicaState) -> Replica:
        self._born += 1
        return Replica(id=f"replica-{self._born}", state=state, started_at_s=self.at_s)


class WorldChecks:
    """The contract of a world. A subclass gives a fixture `world` with sensor, actuator, deployment and `advance(seconds)`.

    `world.deployment` names a scalable deployment of two running replicas; the largest number asked for is three.
    """

    SETTLES_S = 30.0
    CLOCKS_DIFFER_S = 1.0

    def _order(self, number: int, action: Any, *, epoch: int = 1, key: str | None = None, at_s: float = 0.0) -> Order:
        return Order(
            number=number,
            epoch=epoch,
            key=key or f"check-{number}",
            action=action,
            because=(),
            policy="checks",
            issued_at_s=at_s,
            deadline_s=at_s + 60.0,
        )

    def _seen(self, world: Any) -> Deployment:
        seen = world.sensor.observe(world.now())
        found: Deployment = seen.deployments[world.deployment]
        return found

    def _settle(self, world: Any, done: Callable[[Deployment], bool]) -> list[Deployment]:
        """Everything that was seen of the deployment until `done`, which must come within SETTLES_S."""
        history = [self._seen(world)]
        waited_s = 0.0
        while not done(history[-1]):
            assert waited_s < self.SETTLES_S, f"not seen within {self.SETTLES_S} s: {history[-1]}"  # noqa: S101
            world.advance(0.5)
            waited_s += 0.5
            history.append(self._seen(world))
        return history

    def test_an_observation_carries_the_moment_it_was_asked_for(self, world: Any) -> None:
        """The sensor has no clock of its own."""
        at_s = world.now()
        assert world.sensor.observe(at_s).at_s == at_s  # noqa: S101

    def test_what_is_seen_can_be_written_down(self, world: Any) -> None:
        """Every number in it is finite, and every text one of UTF-8: what is not known is None."""
        assert plain_or_none(world.sensor.observe(world.now())) is not None  # noqa: S101

    def test_nothing_is_seen_of_the_future(self, world: Any) -> None:
        """No replica began and no traffic was measured after it was looked at, but for what clocks differ by."""
        world.advance(1.0)
        seen = self._seen(world)
        looked_s = world.now()
        began_s = [each.started_at_s for each in seen.replicas if each.started_at_s is not None]
        traffic = (seen.traffic, *(each.traffic for each in seen.replicas))
        measured_s = [each.measured_at_s for each in traffic if each is not None]
        assert max([*began_s, *measured_s], default=looked_s) <= looked_s + self.CLOCKS_DIFFER_S  # noqa: S101

    def test_a_scale_is_reached_and_never_goes_below_the_smaller_count(self, world: Any) -> None:
        """Up to three and back to two: never fewer than two run."""
        epoch = world.epoch()
        world.actuator.start(self._order(1, Scale(deployment=world.deployment, replicas=3), epoch=epoch))
        up = self._settle(world, lambda d: d.replicas_wanted == 3 and len(d.running) == 3)
        world.actuator.start(self._order(2, Scale(deployment=world.deployment, replicas=2), epoch=epoch))
        down = self._settle(world, lambda d: d.replicas_wanted == 2 and len(d.replicas) == 2)
        assert min(len(each.running) for each in up + down) >= 2  # noqa: S101

    def test_the_same_key_twice_is_done_once(self, world: Any) -> None:
        """A key that was done is not done again, though the world has moved on since."""
        epoch = world.epoch()
        first = self._order(3, Scale(deployment=world.deployment, replicas=3), epoch=epoch, key="once")
        world.actuator.start(first)
        self._settle(world, lambda d: len(d.running) == 3)
        world.actuator.start(self._order(4, Scale(deployment=world.deployment, replicas=2), epoch=epoch))
        self._settle(world, lambda d: d.replicas_wanted == 2 and len(d.replicas) == 2)
        world.actuator.start(first)
        world.advance(1.0)
        assert self._seen(world).replicas_wanted == 2  # noqa: S101

    def test_an_unknown_deployment_is_refused_and_nothing_changes(self, world: Any) -> None:
        """Refused says why; the deployments stay as they were."""
        before = self._seen(world).replicas_wanted
        try:
            world.actuator.start(self._order(5, Scale(deployment="no/such", replicas=3), epoch=world.epoch()))
        except Refused as refusal:
            assert "no/such" in str(refusal)  # noqa: S101, PT017
        else:
            raise AssertionError("an order for an unknown deployment was accepted")
        assert self._seen(world).replicas_wanted == before  # noqa: S101

    def test_an_order_of_an_epoch_that_is_over_is_refused(self, world: Any) -> None:
        """An agent that was replaced can do no harm any more."""
        epoch = world.epoch()
        world.actuator.start(self._order(6, Scale(deployment=world.deployment, replicas=2), epoch=epoch + 1))
        try:
            world.actuator.start(self._order(7, Scale(deployment=world.deployment, replicas=3), epoch=epoch))
        except Refused as refusal:
            assert "epoch" in str(refusal)  # noqa: S101, PT017
        else:
            raise AssertionError("an order of an epoch that is over was accepted")

    def test_a_restart_replaces_the_replica_and_no_other(self, world: Any) -> None:
        """Its id goes away, the others stay, and the count comes back."""
        before = {each.id for each in self._seen(world).running}
        victim = sorted(before)[0]
        world.actuator.start(
            self._order(8, Restart(deployment=world.deployment, replica=victim), epoch=world.epoch() + 1)
        )
        after = self._settle(
            world, lambda d: victim not in {each.id for each in d.replicas} and len(d.running) == len(before)
        )
        assert before - {victim} <= {each.id for each in after[-1].running}  # noqa: S101
