"""Shares, promotions, rollbacks and scaling on a real Serve, under steady load: what callers see of them is nothing."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray import serve

from agent.settings import Settings
from agent.traffic import TrafficTable
from policies.action import Promote, Restart, RollBack, Scale, SetTraffic, StartRollout
from ray_cluster import names
from ray_cluster.actuator import ClusterActuator
from ray_cluster.table import keeper
from ray_cluster.testing import Load, Managed, manage, wait_until

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def served(session_cluster, tmp_path_factory) -> Iterator[Managed]:
    folder = tmp_path_factory.mktemp("served")
    with closing(manage("served", session_cluster.http, session_cluster.local.dashboard_url, folder)) as made:
        yield made


@pytest.fixture
def managed(served: Managed) -> Iterator[Managed]:
    """Version 1 serves alone, before and after; no order outlives its test."""
    served.epoch += 1
    with closing(actuator(served, served.settings)) as served.actuator:
        yield served
        first = served.registry.digest(served.model, "1")
        served.do(RollBack(model=served.model, version="2", to="1", to_digest=first))
        wait_until(lambda: (m := served.seen().models[served.model]).rollout is None and m.champion.number == "1")
        wait_until(lambda: running(served) == 2)


def actuator(managed: Managed, settings: Settings) -> ClusterActuator:
    return ClusterActuator(settings, rest=managed.rest, registry=managed.registry, epoch=managed.epoch)


def start_rollout(managed: Managed, version: str = "2") -> str:
    digest = managed.registry.digest(managed.model, version)
    managed.do(StartRollout(model=managed.model, version=version, digest=digest, shadow=1.0))
    wait_until(lambda: (r := managed.seen().models[managed.model].rollout) is not None and r.ready)
    return digest


def share(managed: Managed, part: float) -> None:
    managed.do(SetTraffic(model=managed.model, version="2", share=part, shadow=0.0))
    wait_until(lambda: (r := managed.seen().models[managed.model].rollout) is not None and r.share == part and r.ready)


def running(managed: Managed) -> int:
    row = managed.seen().deployments[managed.deployment]
    return len(row.running) if len(row.replicas) == row.replicas_wanted else -1


def test_no_request_fails_through_all_that_an_agent_does(managed: Managed) -> None:
    """Shadow, canary, promotion, rollback, up and down: zero failed requests, and a shift is everywhere within half a second."""
    load = Load(managed.url).start()
    try:
        digest = start_rollout(managed)
        share(managed, 0.5)
        managed.do(SetTraffic(model=managed.model, version="2", share=1.0, shadow=0.0))
        ordered_s = time.time()
        time.sleep(2.0)
        late = [at_s - ordered_s for at_s, version in load.answers if version == "1" and at_s > ordered_s]
        assert max(late, default=0.0) <= 0.5
        managed.do(Promote(model=managed.model, version="2", digest=digest))
        wait_until(lambda: (m := managed.seen().models[managed.model]).champion.number == "2" and m.rollout is None)
        managed.do(Scale(deployment=managed.deployment, replicas=3))
        wait_until(lambda: running(managed) == 3)
        managed.do(Scale(deployment=managed.deployment, replicas=2))
        wait_until(lambda: running(managed) == 2)
        first = managed.registry.digest(managed.model, "1")
        managed.do(RollBack(model=managed.model, version="2", to="1", to_digest=first))
        wait_until(lambda: managed.seen().models[managed.model].champion.number == "1")
        back_s = time.time()
        time.sleep(1.0)
    finally:
        load.stop()
    assert load.failures == []
    assert set(load.versions(back_s)) == {"1"}
    assert len(load.answers) > 100


def test_a_canary_ends_by_itself_when_nobody_renews_it(managed: Managed) -> None:
    """The table's time to live gives every key back to the champion, without an agent."""
    start_rollout(managed)
    held = ray.get(keeper(managed.model).get.remote())
    expires_s = time.time() + 2.0
    ray.get(
        keeper(managed.model).put.remote(replace(held, revision=held.revision + 1, share=1.0, expires_at_s=expires_s))
    )
    load = Load(managed.url).start()
    try:
        wait_until(lambda: load.versions(0.0)["2"])
        time.sleep(max(0.0, expires_s - time.time()) + 2.0)
    finally:
        load.stop()
    assert load.failures == []
    assert set(load.versions(expires_s + 0.5)) == {"1"}


def test_a_version_that_champions_can_not_load_costs_no_replica(managed: Managed) -> None:
    """It loaded in the challenger, then its files were exchanged: the table goes back, and who starts then or later serves version 1."""
    digest = start_rollout(managed)
    file = next(
        path
        for path in Path(managed.settings.registry.artifact_location).rglob("fitted.pkl")
        if hashlib.sha256(path.read_bytes()).hexdigest() == digest
    )
    kept = file.read_bytes()
    load = Load(managed.url).start()
    try:
        file.write_bytes(b"other files")
        managed.do(Promote(model=managed.model, version="2", digest=digest))
        wait_until(lambda: ray.get(keeper(managed.model).get.remote()).champion == "2")
        managed.do(Scale(deployment=managed.deployment, replicas=3))
        wait_until(lambda: running(managed) == 3)
        rollout = wait_until(lambda: (r := managed.seen().models[managed.model].rollout) and r.failed and r)
        managed.do(Scale(deployment=managed.deployment, replicas=4))
        wait_until(lambda: running(managed) == 4)
        back_s = time.time()
        time.sleep(1.0)
    finally:
        load.stop()
        file.write_bytes(kept)
        managed.do(Scale(deployment=managed.deployment, replicas=2))
    assert "can not load version 2: DigestMismatch" in rollout.failed
    table = ray.get(keeper(managed.model).get.remote())
    assert (table.champion, table.before) == ("1", None)
    assert load.failures == []
    assert set(load.versions(back_s)) == {"1"}


def test_the_dead_cost_nobody_an_answer(managed: Managed) -> None:
    """Keeper, shard and the challenger's only replica are killed in the middle of a canary; callers see nothing of it."""
    start_rollout(managed)
    share(managed, 0.5)
    load = Load(managed.url).start()
    try:
        before = ray.get(keeper(managed.model).get.remote())
        ray.kill(keeper(managed.model), no_restart=False)
        ray.kill(ray.get_actor(names.shard_actor(managed.model), names.NAMESPACE), no_restart=False)
        row = managed.sensor.observe(time.time()).deployments[f"{managed.challenger}/ModelServer"]
        actor = f"SERVE_REPLICA::{managed.challenger}#ModelServer#{row.replicas[0].id}"
        ray.kill(ray.get_actor(actor, "serve"), no_restart=False)
        time.sleep(3.0)
        after = wait_until(lambda: _table(managed))
    finally:
        load.stop()
    assert load.failures == []
    assert replace(after, expires_at_s=None) == replace(before, expires_at_s=None)
    assert wait_until(lambda: managed.seen().models[managed.model].report)


def _failed(managed: Managed) -> str | None:
    rollout = managed.seen().models[managed.model].rollout
    return rollout.failed if rollout is not None else None


def _table(managed: Managed) -> TrafficTable | None:
    try:
        return ray.get(keeper(managed.model).get.remote())
    except ray.exceptions.RayError:  # it is being restarted
        return None


def test_a_version_whose_files_were_changed_is_not_served(managed: Managed) -> None:
    """The digest is checked before anything is loaded: the old champion serves on, and the keeper holds the reason."""
    managed.do(Promote(model=managed.model, version="2", digest="0" * 64))
    notes = wait_until(
        lambda: [n for n in ray.get(keeper(managed.model).seen.remote()).notes.values() if n.error is not None]
    )
    assert all("DigestMismatch" in note.error and note.version == "1" for note in notes)
    load = Load(managed.url).start()
    time.sleep(1.0)
    load.stop()
    held = _table(managed)
    first = managed.registry.digest(managed.model, "1")
    back = replace(held, revision=held.revision + 1, champion="1", champion_digest=first)
    ray.get(keeper(managed.model).put.remote(back))
    assert (load.failures, set(load.versions(0.0))) == ([], {"1"})


def test_a_challenger_that_can_not_be_loaded_is_a_failed_rollout_and_costs_nobody_an_answer(managed: Managed) -> None:
    """The rollout says why; a rollback ends it, and the champion has answered everything meanwhile."""
    load = Load(managed.url, rate_rps=10.0).start()
    try:
        managed.do(StartRollout(model=managed.model, version="2", digest="0" * 64, shadow=1.0))
        # Serve tries three times, and each try starts a process.
        failed = wait_until(lambda: _failed(managed), timeout_s=400.0)
        first = managed.registry.digest(managed.model, "1")
        managed.do(RollBack(model=managed.model, version="2", to="1", to_digest=first))
        wait_until(lambda: managed.seen().models[managed.model].rollout is None)
    finally:
        load.stop()
    assert "DigestMismatch" in failed
    assert (load.failures, set(load.versions(0.0))) == ([], {"1"})


def test_a_challenger_that_finds_no_room_keeps_neither_rollback_nor_healing_waiting(managed: Managed) -> None:
    """Its replica waits for a machine that nobody has; what is ordered after it is done at once."""
    model = managed.settings.models[managed.model]
    huge = model.model_copy(update={"server": model.server.model_copy(update={"replica_cpus": 1000.0})})
    settings = managed.settings.model_copy(update={"models": {managed.model: huge}, "tick_s": 60.0})
    managed.epoch += 1
    with closing(actuator(managed, settings)) as patient:
        digest = managed.registry.digest(managed.model, "2")
        patient.start(managed.order(StartRollout(model=managed.model, version="2", digest=digest, shadow=1.0)))
        wait_until(lambda: managed.challenger in serve.status().applications)
        victim = managed.seen().deployments[managed.deployment].running[0].id
        patient.start(managed.order(Restart(deployment=managed.deployment, replica=victim)))
        wait_until(lambda: victim in _table(managed).condemned, timeout_s=10.0)
        before_s = time.time()
        patient.renew(before_s)
        wait_until(lambda: _table(managed).expires_at_s >= before_s + 180.0, timeout_s=10.0)
        first = managed.registry.digest(managed.model, "1")
        patient.start(managed.order(RollBack(model=managed.model, version="2", to="1", to_digest=first)))
        wait_until(lambda: _table(managed).challenger is None, timeout_s=10.0)
        wait_until(lambda: managed.challenger not in serve.status().applications, timeout_s=30.0)
    managed.epoch += 1
    managed.actuator = actuator(managed, managed.settings)
