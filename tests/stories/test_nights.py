"""Nights on call, as sentences along the clock: the whole agent over a scripted world."""

from dataclasses import replace
from typing import Any

from agent.assembly import assemble
from agent.loop import Agent
from agent.settings import Settings
from agent.testing import MemoryJournal, RecordingNotifier, ScriptedWorld
from policies.observation import Capacity, Controls, JobState, Model, Resources, Traffic, TrainingJob


def night(world: ScriptedWorld, **settings: Any) -> tuple[Agent, MemoryJournal]:
    journal = MemoryJournal()
    chosen = Settings.model_validate({"autonomy": {"default": "act"}} | settings)
    ports = {"sensor": world, "actuator": world, "trainer": world}
    return assemble(chosen, **ports, notifier=RecordingNotifier(), journal=journal), journal


def pass_time(agent: Agent, world: ScriptedWorld, until_s: float, **traffic: Any) -> None:
    """Tick once a second; every replica gets its share of `traffic`."""
    while world.at_s < until_s:
        at_s = world.at_s + 1.0
        world.give_traffic("app/model", **({"measured_at_s": at_s} | traffic))
        agent.tick(at_s)


def orders(journal: MemoryJournal, kind: str) -> list[dict[str, Any]]:
    return [intent["action"] for intent in journal.of_kind("intent") if intent["action"]["kind"] == kind]


SCALING = {"policies": [{"use": "target_utilization", "target": 0.5, "up_window_s": 5, "down_window_s": 20}]}


def test_a_burst_adds_replicas_and_its_end_removes_them() -> None:
    """Two replicas at rest, more for the burst, two again after it."""
    world = ScriptedWorld.with_deployment("app/model", 2, min_replicas=2, max_replicas=6)
    agent, journal = night(world, **SCALING)
    pass_time(agent, world, 20, ongoing=0.8)
    assert orders(journal, "scale") == []
    pass_time(agent, world, 60, ongoing=2.0)
    assert len(world.deployments["app/model"].running) == 4
    pass_time(agent, world, 120, ongoing=0.8)
    assert len(world.deployments["app/model"].running) == 2


def test_a_slow_replica_is_replaced_once() -> None:
    """One far slower than its peers goes, the new one stays, and nothing else is touched."""
    world = ScriptedWorld.with_deployment("app/model", 3)
    policy = {"use": "replace_unhealthy", "patience_s": 10, "settle_s": 10, "min_requests": 5, "stale_after_s": 30}
    agent, journal = night(world, policies=[policy])
    slow = world.deployments["app/model"].replicas[0].id
    for at_s in range(1, 90):
        rows = []
        for each in world.deployments["app/model"].replicas:
            latency_s = 1.5 if each.id == slow else 0.05
            traffic = Traffic(
                measured_at_s=float(at_s),
                window_s=10.0,
                requests=100,
                latency_mean_s=latency_s,
                latency_p50_s=latency_s,
            )
            rows.append(replace(each, traffic=traffic))
        world.deployments["app/model"] = replace(world.deployments["app/model"], replicas=tuple(rows))
        agent.tick(float(at_s))
    assert [action["replica"] for action in orders(journal, "restart")] == [slow]
    assert [outcome["status"] for outcome in journal.of_kind("outcome")] == ["succeeded"]


def test_approval_is_asked_given_and_acted_upon() -> None:
    """Nothing happens before a person says yes; then it happens once."""
    world = ScriptedWorld.with_deployment("app/model", 2, max_replicas=6)
    agent, journal = night(world, autonomy={"scale": "approve"}, **SCALING)
    pass_time(agent, world, 30, ongoing=2.0)
    waiting = journal.of_kind("decided")[-1]["awaiting"]
    assert (len(world.effects), [order["action"]["kind"] for order in waiting]) == (0, ["scale"])
    world.controls = Controls(approved=(waiting[0]["number"],))
    pass_time(agent, world, 60, ongoing=2.0)
    assert len(world.effects) == 1
    assert len(world.deployments["app/model"].running) == waiting[0]["action"]["replicas"]


def test_a_freeze_keeps_its_hands_still_and_the_thaw_lets_go() -> None:
    """While it is frozen the veto is on record; after it the same want is an order."""
    world = ScriptedWorld.with_deployment("app/model", 2, max_replicas=6)
    world.controls = Controls(frozen=True)
    agent, journal = night(world, **SCALING)
    pass_time(agent, world, 30, ongoing=2.0)
    assert world.effects == []
    assert {veto["rule"] for entry in journal.of_kind("decided") for veto in entry["vetoes"]} == {"freeze"}
    world.controls = Controls()
    pass_time(agent, world, 60, ongoing=2.0)
    assert len(world.effects) == 1


def test_serving_takes_its_capacity_back_from_training() -> None:
    """A scale-up that does not fit stops the training, and then fits."""
    world = ScriptedWorld.with_deployment("app/model", 2, max_replicas=4, resources=Resources(cpus=1.0))
    job = TrainingJob(id="j", state=JobState.RUNNING, started_at_s=0.0, resources=Resources(cpus=2.0))
    world.models["m"] = Model(name="m", managed=True, training=job)
    world.capacity = Capacity(total=Resources(cpus=4.0), free=Resources(cpus=0.0))
    agent, journal = night(world, **SCALING)
    pass_time(agent, world, 10, ongoing=2.0)
    assert orders(journal, "stop_training") == [{"kind": "stop_training", "model": "m"}]
    world.capacity = Capacity(total=Resources(cpus=4.0), free=Resources(cpus=2.0))
    pass_time(agent, world, 30, ongoing=2.0)
    assert len(world.deployments["app/model"].running) == 4
