"""What breaks, when. Every fault says how it begins and, where it mends by itself, how it ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from simulators.deployment import SimDeployment, SimReplica
from simulators.engine import Act, Engine, Priority
from simulators.settings import FaultSettings
from simulators.world import SimulatedWorld


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What faults may touch besides the world: the agent's life, and its journal."""

    world: SimulatedWorld
    engine: Engine
    stream: np.random.Generator
    kill_agent: Callable[[float], None]
    journal_away: Callable[[bool], None]


def schedule(faults: Sequence[FaultSettings], stage: Stage) -> None:
    """Put every fault, and its end, into the engine's queue."""
    for fault in faults:
        begin, end = BEGINNINGS[fault.kind](fault, stage)
        stage.engine.at(fault.at_s, f"fault: {fault.kind}", begin, Priority.FAULT)
        if end is not None and fault.for_s is not None:
            stage.engine.at(fault.at_s + fault.for_s, f"{fault.kind} is over", end, Priority.FAULT)


Ends = tuple[Act, Act | None]


def champion(fault: FaultSettings, stage: Stage) -> SimDeployment:
    """The deployment that a fault is about: its model's, or the first."""
    name = fault.model or next(iter(stage.world.served))
    return stage.world.served[name].champion


def victims(fault: FaultSettings, stage: Stage) -> list[SimReplica]:
    """As many running replicas as the fault hits, drawn by lot."""
    running = champion(fault, stage).running
    count = min(fault.replicas, len(running))
    return [running[n] for n in sorted(stage.stream.choice(len(running), count, replace=False))] if count else []


def _crash(fault: FaultSettings, stage: Stage) -> Ends:
    def begin() -> None:
        deployment = champion(fault, stage)
        for replica in victims(fault, stage):
            deployment.crash(replica)

    return begin, None


def _crash_loop(fault: FaultSettings, stage: Stage) -> Ends:
    """Replicas die, and new ones do not come up until it is over."""

    def begin() -> None:
        deployment = champion(fault, stage)
        deployment.fails_to_start = lambda replica: True
        for replica in victims(fault, stage):
            deployment.crash(replica)

    def end() -> None:
        deployment = champion(fault, stage)
        deployment.fails_to_start = lambda replica: False
        deployment.message = ""

    return begin, end


def _slow(fault: FaultSettings, stage: Stage) -> Ends:
    return _speed(fault, stage, fault.factor)


def _hang(fault: FaultSettings, stage: Stage) -> Ends:
    return _speed(fault, stage, float("inf"))


def _speed(fault: FaultSettings, stage: Stage, factor: float) -> Ends:
    hit: list[SimReplica] = []

    def begin() -> None:
        deployment = champion(fault, stage)
        deployment.catch_up()
        for replica in victims(fault, stage):
            deployment.kernel.set_speed(replica.number, factor)
            hit.append(replica)
            if fault.noticed_after_s is not None:
                name = f"a health check finds {replica.id}"
                stage.engine.after(fault.noticed_after_s, name, lambda r=replica: deployment.crash(r))  # type: ignore[misc]

    def end() -> None:
        deployment = champion(fault, stage)
        deployment.catch_up()
        for replica in hit:
            if replica.number in deployment.kernel.replicas():
                deployment.kernel.set_speed(replica.number, 1.0)

    return begin, end


def _node_loss(fault: FaultSettings, stage: Stage) -> Ends:
    cluster = stage.world.cluster
    name = fault.node or next(iter(cluster.nodes))

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


def _model_switch(name: str) -> Callable[[FaultSettings, Stage], Ends]:
    def made(fault: FaultSettings, stage: Stage) -> Ends:
        def put(away: bool) -> None:
            for served in stage.world.served.values():
                if served.model is not None and fault.model in (None, served.spec.name):
                    setattr(served.model, name, away)

        return lambda: put(True), lambda: put(False)

    return made


def _journal(fault: FaultSettings, stage: Stage) -> Ends:
    return lambda: stage.journal_away(True), lambda: stage.journal_away(False)


def _controller(fault: FaultSettings, stage: Stage) -> Ends:
    return lambda: stage.world.control(False), lambda: stage.world.control(True)


def _agent(fault: FaultSettings, stage: Stage) -> Ends:
    return lambda: stage.kill_agent(fault.for_s or 0.0), None


def _lies(fault: FaultSettings, stage: Stage) -> Ends:
    world = stage.world
    return lambda: setattr(world, "lies", True), lambda: setattr(world, "lies", False)


def _slow_actuator(fault: FaultSettings, stage: Stage) -> Ends:
    world = stage.world
    return lambda: setattr(world, "slow_s", fault.seconds), lambda: setattr(world, "slow_s", 0.0)


def _foreign(fault: FaultSettings, stage: Stage) -> Ends:
    return lambda: stage.world.scale(champion(fault, stage).name, fault.replicas), None


def _storm(fault: FaultSettings, stage: Stage) -> Ends:
    """Cold starts take `factor` times as long."""
    return lambda: stage.world.slow_starts(fault.factor), lambda: stage.world.slow_starts(1.0)


BEGINNINGS: dict[str, Callable[[FaultSettings, Stage], Ends]] = {
    "replica_crash": _crash,
    "crash_loop": _crash_loop,
    "slow_replica": _slow,
    "hang": _hang,
    "node_loss": _node_loss,
    "network_delay": _network,
    "telemetry_lost": _telemetry("lost"),
    "telemetry_duplicated": _telemetry("duplicated"),
    "telemetry_nan": _telemetry("nan"),
    "telemetry_late": _late,
    "labels_away": _model_switch("labels_away"),
    "registry_away": _model_switch("registry_away"),
    "journal_away": _journal,
    "controller_away": _controller,
    "agent_killed": _agent,
    "actuator_lies": _lies,
    "actuator_slow": _slow_actuator,
    "foreign_scale": _foreign,
    "cold_start_storm": _storm,
}
