"""What the sensor makes of what it reads: every part that is away is named, and nothing of it counts as nothing. Without Ray."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agent.settings import Settings
from agent.traffic import TrafficTable
from policies.observation import (
    Capacity,
    Controls,
    Deployment,
    DeploymentStatus,
    JobState,
    Observation,
    Quarantined,
    Report,
    Resources,
    Traffic,
    TrainingJob,
)
from ray_cluster import sensor as sensors
from ray_cluster.registry import RegistryView
from ray_cluster.sensor import ClusterSensor
from ray_cluster.table import ReplicaNote, TableSeen
from ray_cluster.translate import nothing_known
from ray_cluster.waiting import Waiting

SETTINGS = Settings.model_validate(
    {
        "deployments": {"shop/Ranker": {"max_replicas": 8, "slo_latency_s": 0.5, "probe": "ranker"}},
        "models": {"fraud": {"deployment": {"min_replicas": 2}}},
    }
)
HOUR = Quarantined(since_s=0.0, until_s=3600.0)
JOB = TrainingJob(id="j", state=JobState.RUNNING, started_at_s=1.0)
TABLE = TrafficTable(
    model="fraud", epoch=1, revision=3, champion="1", champion_digest="d", challenger="2", challenger_digest="e"
)
FREE = Capacity(total=Resources(cpus=8.0), free=Resources(cpus=4.0), free_by_node=(("n", Resources(cpus=4.0)),))


def described(*names: str, **config: Any) -> dict[str, Any]:
    """An application with one deployment of two replicas, as Serve's details describe it."""
    (application, deployment, *rest) = names
    return {
        application: {
            "external_scaler_enabled": True,
            "deployments": {
                deployment: {
                    "status": "HEALTHY",
                    "target_num_replicas": 2,
                    "required_resources": {"CPU": 1},
                    "deployment_config": config,
                    "replicas": [
                        {"replica_id": replica, "state": "RUNNING", "start_time_s": -100.0}
                        for replica in rest or ("a", "b")
                    ],
                }
            },
        }
    }


def ours(model: str) -> dict[str, Any]:
    router = {"request_router_class": "ray_cluster.router:CondemningRouter", "request_router_kwargs": {"model": model}}
    return {"request_router_config": router}


def row(at_s: float, requests: int = 50) -> Traffic:
    return Traffic(measured_at_s=at_s, window_s=10.0, requests=requests, ongoing=1.0, latency_mean_s=0.1)


@dataclass
class World:
    """All that a sensor asks. What is an exception is raised."""

    serve: Any = field(
        default_factory=lambda: {
            "applications": described("shop", "Ranker") | described("fraud", "ModelServer", "c", "d", **ours("fraud"))
        }
    )
    groups: Any = field(default_factory=dict)
    traffic: Any = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    away: tuple[str, ...] = ()
    capacity: Any = FREE
    view: Any = field(default_factory=RegistryView)
    table: Any = field(default_factory=lambda: TableSeen(table=None))
    monitored: Any = field(default_factory=lambda: {"fraud": None, "ranker": None})
    job: Any = None
    quarantined: Any = ()

    def details(self) -> Any:
        return given(self.serve)

    def read(self, at_s: float) -> tuple[Any, Mapping[str, Waiting]]:
        return given(self.traffic), self.waiting


def given(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


@pytest.fixture
def world() -> World:
    made = World()
    steady = {("shop/Ranker", name): row(10.0) for name in ("a", "b")}
    made.traffic = steady | {("fraud/ModelServer", name): row(10.0) for name in ("c", "d")}
    report = Report(measured_at_s=10.0)
    made.monitored = {"fraud": (report, None, {}), "ranker": (report, None, {})}
    return made


@pytest.fixture
def look(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Observation]:
    """Observe `world` at 10 s."""

    class Part:
        def __init__(self, **asked: Callable[..., Any]) -> None:
            self.__dict__.update(asked)

    monkeypatch.setattr(sensors, "_ask_keeper", lambda name: given(world.table))
    monkeypatch.setattr(sensors, "_ask_shard", lambda name, at_s: given(world.monitored[name]))
    monkeypatch.setattr(sensors, "read_capacity", lambda: given(world.capacity))
    monkeypatch.setattr(sensors, "read_groups", lambda: given(world.groups))
    monkeypatch.setattr(sensors, "quarantined", lambda name: given(world.quarantined))
    parts: dict[str, Any] = {
        "rest": world,
        "metrics": world,
        "registry": Part(view=lambda name: given(world.view)),
        "trainer": Part(job=lambda name: given(world.job)),
        "controls": lambda at_s: Controls(),
    }
    made = ClusterSensor(SETTINGS, **parts)
    return lambda: made.observe(10.0)


def test_all_that_is_there_is_seen_with_its_bounds_and_its_load(look: Callable[[], Observation]) -> None:
    """And nothing is a problem."""
    seen = look()
    assert seen.problems == ()
    ranker, server = seen.deployments["shop/Ranker"], seen.deployments["fraud/ModelServer"]
    assert (ranker.min_replicas, ranker.max_replicas, ranker.slo_latency_s, ranker.model) == (1, 8, 0.5, None)
    assert (server.min_replicas, server.model, server.slot) == (2, "fraud", "champion")
    assert [each.traffic and each.traffic.requests for each in (ranker, server)] == [100, 100]
    assert (seen.capacity, seen.models["fraud"].unread) == (FREE, ())


AWAY = OSError("away")


def spoil(world: World, part: str) -> None:
    """One part of it can not be read any more."""
    if part == "probe":
        world.monitored = {**world.monitored, "ranker": AWAY}
    elif part == "shard":
        world.monitored = {**world.monitored, "fraud": AWAY}
    else:
        setattr(world, part, AWAY)


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("serve", "Serve"),
        ("groups", "placement groups"),
        ("traffic", "metrics"),
        ("capacity", "capacity"),
        ("view", "model fraud: its registry"),
        ("table", "model fraud: its traffic table"),
        ("shard", "model fraud: its monitor shard"),
        ("job", "model fraud: its training"),
        ("quarantined", "model fraud: its quarantine"),
        ("probe", "deployment shop/Ranker: its probe"),
    ],
)
def test_a_part_that_is_away_is_named(look: Callable[[], Observation], world: World, part: str, named: str) -> None:
    """Once, with its reason, and nothing else is said of it."""
    spoil(world, part)
    assert look().problems == (f"{named}: can not be read, OSError: away",)


def test_a_training_and_a_quarantine_that_can_not_be_read_stay_as_they_were(
    look: Callable[[], Observation], world: World
) -> None:
    """None would say that no training runs and that all rows may be trained on."""
    world.job, world.quarantined = JOB, (HOUR,)
    assert look().models["fraud"].unread == ()
    world.job = world.quarantined = AWAY
    model = look().models["fraud"]
    assert (model.training, model.quarantined, model.unread) == (JOB, (HOUR,), ("training", "quarantined"))


def test_what_was_never_read_is_said_to_be_unread(look: Callable[[], Observation], world: World) -> None:
    """Not to be none."""
    world.job = AWAY
    model = look().models["fraud"]
    assert (model.training, model.unread) == (None, ("training",))


def test_while_serve_can_not_be_read_its_deployments_stay_without_load(
    look: Callable[[], Observation], world: World
) -> None:
    """They still take what they took; whether they are healthy, and what is asked of them, is not known."""
    before = look().deployments
    world.serve = AWAY
    after = look().deployments
    assert after.keys() == before.keys()
    for name, each in after.items():
        replicas = tuple(replace(one, traffic=None) for one in before[name].replicas)
        unknown = {"status": DeploymentStatus.UNKNOWN, "traffic": None, "replicas": replicas}
        assert each == replace(before[name], **unknown)


def test_a_rollout_stays_while_its_table_can_not_be_read(look: Callable[[], Observation], world: World) -> None:
    """As one that nothing is known of: neither ready nor compared."""
    world.serve["applications"] |= described("fraud-challenger", "ModelServer", "e", **ours("fraud"))
    notes = {name: ReplicaNote(slot="champion", revision=3, version="1", at_s=1.0) for name in ("c", "d")}
    world.table = TableSeen(table=TABLE, notes=notes)
    shown = look()
    assert (shown.models["fraud"].rollout.version, shown.models["fraud"].rollout.ready) == ("2", True)
    assert [one.version for one in shown.deployments["fraud/ModelServer"].replicas] == ["1", "1"]
    world.table = AWAY
    rollout = look().models["fraud"].rollout
    assert (rollout.version, rollout.ready, rollout.comparison) == ("2", False, None)


def test_an_endpoint_that_does_not_answer_is_named_and_so_is_the_load_that_is_not_known(
    look: Callable[[], Observation], world: World
) -> None:
    """Whose replicas they are, and how many of them."""
    del world.traffic[("shop/Ranker", "b")]
    world.away = ("10.0.0.2:8080: timed out",)
    seen = look()
    assert seen.problems == (
        "metrics: can not be read from 10.0.0.2:8080: timed out",
        "deployment shop/Ranker: its load is not known, 1 of its 2 replicas can not be read",
    )
    assert seen.deployments["shop/Ranker"].traffic is None


def test_a_queue_that_is_not_believed_is_told(look: Callable[[], Observation], world: World) -> None:
    """With what is wrong about it."""
    world.traffic = {key: replace(each, ongoing=0.0) for key, each in world.traffic.items()}
    stuck = Waiting(measured_at_s=10.0, window_s=10.0, queued=42.0, queued_least=42.0)
    world.waiting = {"shop/Ranker": stuck}
    seen = look()
    assert seen.deployments["shop/Ranker"].traffic == nothing_known(10.0)
    assert seen.problems == (
        "deployment shop/Ranker: its load is not known, its routers report 42 requests that wait all the time, "
        "although its replicas have room for them",
    )


def test_requests_that_stand_still_are_told(look: Callable[[], Observation], world: World) -> None:
    """Nothing is answered, and nobody knows what is in the replicas."""
    world.traffic[("shop/Ranker", "a")] = replace(row(10.0, 0), ongoing=None)
    world.traffic[("shop/Ranker", "b")] = row(10.0, 0)
    assert look().problems == (
        "deployment shop/Ranker: its load is not known, the requests in its replicas stand still",
    )


def test_what_a_probe_does_not_report_stands_as_prometheus_has_it(
    look: Callable[[], Observation], world: World
) -> None:
    """A probe is silent of a replica that nobody asks; what waits in the routers is added to both."""
    world.monitored["ranker"] = (Report(measured_at_s=10.0), None, {"a": row(10.0, 70)})
    world.waiting = {"shop/Ranker": Waiting(measured_at_s=10.0, window_s=10.0, queued=6.0, queued_least=0.0)}
    seen = look().deployments["shop/Ranker"].traffic
    assert (seen.requests, seen.ongoing, seen.queued) == (120, 8.0, 6.0)


def test_a_deployment_that_serve_does_not_have_is_named(look: Callable[[], Observation], world: World) -> None:
    """Whoever wrote its name wrong would wait for ever to see it scaled."""
    del world.serve["applications"]["shop"]
    assert look().problems == ("deployment shop/Ranker: Serve has none of this name",)


@pytest.mark.parametrize(
    "application",
    [described("fraud", "ModelServer", "c", "d", **ours("another")), described("fraud", "Theirs")],
    ids=["another model's server", "another deployment"],
)
def test_an_application_of_somebody_else_under_a_models_name_is_named_and_not_taken_for_the_models(
    look: Callable[[], Observation], world: World, application: dict[str, Any]
) -> None:
    """Else one would be scaled for the other's load."""
    world.serve["applications"] |= application
    seen = look()
    assert "fraud/ModelServer" not in seen.deployments
    assert seen.problems == (
        "model fraud: application 'fraud' was not deployed by this agent, and is left alone; rename it, or name another "
        "for the model (models.fraud.application)",
    )


def test_an_application_of_which_no_deployment_is_known_yet_may_be_ours(
    look: Callable[[], Observation], world: World
) -> None:
    """While it is being deployed Serve lists none."""
    world.serve["applications"]["fraud"] = {"status": "DEPLOYING", "deployments": {}}
    assert look().problems == ()


def test_what_a_placement_group_reserves_is_what_a_replica_takes(look: Callable[[], Observation], world: World) -> None:
    """Where Serve's details do not say it, Ray does."""
    whole = Resources(cpus=1.0, gpus=4.0, spread=True)
    world.groups = {"shop/Ranker": whole}
    seen: Deployment = look().deployments["shop/Ranker"]
    assert seen.resources == whole
