"""What breaks, when. Every fault says how it begins and, where it mends by itself, how it ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from simulators.deployment import SimDeployment, SimReplica
from simulators.engine import Act, Engine, Priority
from simulators.mishaps import about, acting
from simulators.served import Served
from simulators.settings import FaultSettings
from simulators.world import SimulatedWorld


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What faults may touch besides the world: the agent's life, and its journal."""

    world: SimulatedWorld
    engine: Engine
    stream: Callable[[FaultSettings], np.random.Generator]
    """Chance for one fault: what another fault draws shifts nothing."""
    kill_agent: Callable[[float], None]
    journal_away: Callable[[bool], None]
    set_clock: Callable[[float], None]
    """Forward, or back, by so many seconds."""


def schedule(faults: Sequence[FaultSettings], stage: Stage) -> None:
    """Put every fault, and its end, into the engine's queue."""
    for index, fault in enumerate(faults):
        keys = ("faults", index)
        with about(*keys):
            begin, end = BEGINNINGS[fault.kind](fault, stage)
        stage.engine.at(fault.at_s, f"fault: {fault.kind}", acting(begin, *keys), Priority.FAULT)
        if end is not None and fault.for_s is not None:
            over_s, name = fault.at_s + fault.for_s, f"{fault.kind} is over"
            stage.engine.at(over_s, name, acting(end, *keys), Priority.FAULT)


Ends = tuple[Act, Act | None]


def champion(fault: FaultSettings, stage: Stage) -> SimDeployment:
    """The deployment that a fault is about: its model's, or the first."""
    name = fault.model or next(iter(stage.world.served))
    return stage.world.served[name].champion


def victims(fault: FaultSettings, stage: Stage) -> list[SimReplica]:
    """As many running replicas as the fault hits, drawn by lot."""
    running = champion(fault, stage).running
    count = min(fault.replicas, len(running))
    if count == 0:
        return []
    return [running[n] for n in sorted(stage.stream(fault).choice(len(running), count, replace=False))]


def _crash(fault: FaultSettings, stage: Stage) -> Ends:
    def begin() -> None:
        deployment = champion(fault, stage)
        for replica in victims(fault, stage):
            deployment.crash(replica)

    return begin, None


def _crash_loop(fault: FaultSettings, stage: Stage) -> Ends:
    """Replicas die, and new ones do not come up until it is over; of one version only, where the fault names one."""
    if fault.version is not None:
        return _bad_version(str(fault.version), fault, stage)

    def begin() -> None:
        deployment = champion(fault, stage)
        deployment.fails_to_start = lambda replica: True
        for replica in victims(fault, stage):
            deployment.crash(replica)

    def end() -> None:
        _let_start(champion(fault, stage))

    return begin, end


def _bad_version(version: str, fault: FaultSettings, stage: Stage) -> Ends:
    """Replicas that serve `version` die a while after it became the champion, as by a leak that a canary is too short to show."""
    deployment = champion(fault, stage)

    def crash() -> None:
        for replica in [each for each in deployment.running if each.version == version]:
            deployment.crash(replica)

    def serves(served: Served) -> None:
        if served.champion is deployment and served.champion.version == version:
            stage.engine.after(fault.seconds, f"version {version} runs out of memory", crash, Priority.FAULT)

    def begin() -> None:
        deployment.fails_to_start = lambda replica: replica.version == version
        stage.world.serves.append(serves)

    def end() -> None:
        stage.world.serves.remove(serves)
        _let_start(deployment)

    return begin, end


def _let_start(deployment: SimDeployment) -> None:
    deployment.fails_to_start = lambda replica: False
    deployment.message = ""


def _slow(fault: FaultSettings, stage: Stage) -> Ends:
    return _pace(fault, stage, fault.factor)


def _hang(fault: FaultSettings, stage: Stage) -> Ends:
    return _pace(fault, stage, float("inf"))


def _pace(fault: FaultSettings, stage: Stage, slowness: float) -> Ends:
    hit: list[SimReplica] = []

    def begin() -> None:
        deployment = champion(fault, stage)
        for replica in victims(fault, stage):
            deployment.slow(replica, slowness)
            hit.append(replica)
            if fault.noticed_after_s is not None:
                name = f"a health check finds {replica.id}"
                stage.engine.after(fault.noticed_after_s, name, lambda r=replica: deployment.crash(r))  # type: ignore[misc]

    def end() -> None:
        for replica in hit:
            champion(fault, stage).slow(replica, 1.0)

    return begin, end


def node_of(fault: FaultSettings, stage: Stage) -> str:
    """The node that a fault is about, or the first."""
    return fault.node or next(iter(stage.world.cluster.nodes))


def _noise(fault: FaultSettings, stage: Stage) -> Ends:
    node = node_of(fault, stage)
    return lambda: stage.world.crowd(node, fault.factor), lambda: stage.world.crowd(node, 1.0)


def _preemption(fault: FaultSettings, stage: Stage) -> Ends:
    node, world = node_of(fault, stage), stage.world

    def begin() -> None:
        warn(world, node)
        name = f"{node} is preempted"
        stage.engine.after(fault.seconds, name, lambda: lose_node(world, node), Priority.FAULT)
        if fault.for_s is not None:
            back_s, name = fault.seconds + fault.for_s, f"{node} is back"
            stage.engine.after(back_s, name, lambda: world.cluster.restore(node, stage.engine.now_s), Priority.FAULT)

    return begin, None


def warn(world: SimulatedWorld, node: str) -> None:
    """The node will be taken away: what runs on it moves to others, and nothing new comes to it."""
    world.cluster.nodes[node].draining = True
    for deployment in list(world.everything()):
        deployment.hold_no_warm(node)
        for replica in [each for each in deployment.live if each.node == node]:
            deployment.move(replica.id)


def _node_loss(fault: FaultSettings, stage: Stage) -> Ends:
    cluster, name = stage.world.cluster, node_of(fault, stage)

    def begin() -> None:
        lose_node(stage.world, name)

    def end() -> None:
        cluster.restore(name, stage.engine.now_s)

    return begin, end


def lose_node(world: SimulatedWorld, name: str) -> None:
    """The node dies with all that ran on it, trainings too."""
    for deployment in list(world.everything()):
        deployment.count()
        deployment.warm = [kept for kept in deployment.warm if kept.node != name]
        for replica in list(deployment.replicas.values()):
            if replica.node == name:
                replica.node = None  # its place is gone with the node
                deployment.crash(replica)
    world.fail_trainings_on(name)
    world.cluster.lose(name, world.engine.now_s)


def _network(fault: FaultSettings, stage: Stage) -> Ends:
    return lambda: stage.world.delay(fault.seconds), lambda: stage.world.delay(0.0)


def _telemetry(name: str) -> Callable[[FaultSettings, Stage], Ends]:
    def made(fault: FaultSettings, stage: Stage) -> Ends:
        telemetry = stage.world.telemetry
        return lambda: setattr(telemetry, name, True), lambda: setattr(telemetry, name, False)

    return made


def _late(fault: FaultSettings, stage: Stage) -> Ends:
    telemetry = stage.world.telemetry
    before_s = telemetry.lag_s
    return lambda: setattr(telemetry, "lag_s", fault.seconds), lambda: setattr(telemetry, "lag_s", before_s)


def _stuck(fault: FaultSettings, stage: Stage) -> Ends:
    return stage.world.telemetry.stick, stage.world.telemetry.let_go


def _silent(fault: FaultSettings, stage: Stage) -> Ends:
    """Nobody can read the metrics of what runs on the node."""
    node, telemetry = node_of(fault, stage), stage.world.telemetry
    return lambda: telemetry.silent.add(node), lambda: telemetry.silent.discard(node)


def _of_models(name: str, during: Callable[[FaultSettings], object], after: object) -> Callable[..., Ends]:
    """A switch of the managed models that the fault is about: of one, or of all."""

    def made(fault: FaultSettings, stage: Stage) -> Ends:
        def put(value: object) -> None:
            for served in stage.world.served.values():
                if served.model is not None and fault.model in (None, served.spec.name):
                    setattr(served.model, name, value)

        return lambda: put(during(fault)), lambda: put(after)

    return made


def _journal(fault: FaultSettings, stage: Stage) -> Ends:
    return lambda: stage.journal_away(True), lambda: stage.journal_away(False)


def _controller(fault: FaultSettings, stage: Stage) -> Ends:
    return lambda: stage.world.control(False), lambda: stage.world.control(True)


def _agent(fault: FaultSettings, stage: Stage) -> Ends:
    return lambda: stage.kill_agent(fault.for_s or 0.0), None


def _clock(fault: FaultSettings, stage: Stage) -> Ends:
    """Somebody sets the clock of the machine; where it ends, sets it right again."""
    return lambda: stage.set_clock(fault.seconds), lambda: stage.set_clock(-fault.seconds)


def _clock_back(fault: FaultSettings, stage: Stage) -> Ends:
    return lambda: stage.set_clock(-fault.seconds), lambda: stage.set_clock(fault.seconds)


def _lies(fault: FaultSettings, stage: Stage) -> Ends:
    world = stage.world
    return lambda: setattr(world, "lies", True), lambda: setattr(world, "lies", False)


def _slow_actuator(fault: FaultSettings, stage: Stage) -> Ends:
    world = stage.world
    return lambda: setattr(world, "slow_s", fault.seconds), lambda: setattr(world, "slow_s", 0.0)


def _foreign(fault: FaultSettings, stage: Stage) -> Ends:
    return lambda: stage.world.scale_by_hand(champion(fault, stage).name, fault.replicas), None


def _storm(fault: FaultSettings, stage: Stage) -> Ends:
    """Cold starts take `factor` times as long."""
    return lambda: stage.world.slow_starts(fault.factor), lambda: stage.world.slow_starts(1.0)


BEGINNINGS: dict[str, Callable[[FaultSettings, Stage], Ends]] = {
    "replica_crash": _crash,
    "crash_loop": _crash_loop,
    "slow_replica": _slow,
    "hang": _hang,
    "node_loss": _node_loss,
    "noisy_neighbour": _noise,
    "spot_preemption": _preemption,
    "network_delay": _network,
    "telemetry_lost": _telemetry("lost"),
    "telemetry_duplicated": _telemetry("duplicated"),
    "telemetry_nan": _telemetry("nan"),
    "telemetry_late": _late,
    "latency_nan": _telemetry("latency_nan"),
    "gauges_nan": _telemetry("gauges_nan"),
    "gauges_stuck": _stuck,
    "metrics_silent": _silent,
    "labels_away": _of_models("labels_away", lambda fault: True, after=False),
    "labels_late": _of_models("labels_late_s", lambda fault: fault.seconds, after=0.0),
    "labels_lost": _of_models("labels_lost", lambda fault: True, after=False),
    "labels_wild": _of_models("labels_wild", lambda fault: True, after=False),
    "registry_away": _of_models("registry_away", lambda fault: True, after=False),
    "journal_away": _journal,
    "controller_away": _controller,
    "agent_killed": _agent,
    "clock_set_back": _clock_back,
    "clock_set_forward": _clock,
    "actuator_lies": _lies,
    "actuator_slow": _slow_actuator,
    "foreign_scale": _foreign,
    "cold_start_storm": _storm,
}
