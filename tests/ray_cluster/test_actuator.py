"""What the actuator does to a traffic table and to applications, on a keeper and a Serve that are played: no Ray."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from agent.order import Order
from agent.ports import Refused
from agent.settings import Settings
from agent.traffic import TrafficTable
from policies.action import Action, Promote, RollBack, SetTraffic, StartRollout
from ray_cluster import actuator as actuators
from ray_cluster.actuator import ClusterActuator
from ray_cluster.table import ReplicaNote, TableSeen

SETTINGS = Settings.model_validate({"models": {"m": {}}})
ALONE = TrafficTable(model="m", epoch=1, revision=1, champion="1", champion_digest="one")
CANARY = replace(ALONE, challenger="2", challenger_digest="two", share=0.5, revision=2)
ROUTER = {"request_router_config": {"request_router_kwargs": {"model": "m"}}}


@dataclass
class Cluster:
    """One model "m" with two champion replicas that follow the table, but for versions that they can not load."""

    table: TrafficTable | None = CANARY
    unloadable: dict[str, str] = field(default_factory=dict)
    """Why no replica can load a version."""
    recovers: int = 0
    """After so many failed attempts they can."""
    puts: list[TrafficTable] = field(default_factory=list)
    registry: list[Any] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    deployed: list[str] = field(default_factory=list)
    theirs: bool = False
    """Whether the challenger's application is somebody else's."""
    failed: list[str] = field(default_factory=list)
    """Why orders failed, as it stands in the log."""
    now_s: float = 0.0
    serves: str = "1"
    error: str | None = None

    def details(self) -> dict[str, Any]:
        def row(deployment: str) -> dict[str, Any]:
            replicas = [{"replica_id": name, "state": "RUNNING"} for name in ("a", "b")]
            return {
                "status": "RUNNING",
                "deployments": {deployment: {"deployment_config": ROUTER, "replicas": replicas}},
            }

        return {
            "applications": {"m": row("ModelServer"), "m-challenger": row("Theirs" if self.theirs else "ModelServer")}
        }

    def put(self, table: TrafficTable) -> None:
        self.table = table
        self.puts.append(table)
        self._follow()

    def _follow(self) -> None:
        wanted = self.table.champion
        self.error = self.unloadable.get(wanted) if wanted != self.serves else None
        if self.error is not None and self.recovers:
            self.recovers -= 1
            if not self.recovers:
                self.unloadable.clear()
        elif self.error is None:
            self.serves = wanted

    def seen(self) -> TableSeen:
        self._follow()
        note = ReplicaNote(
            slot="champion", revision=self.table.revision, version=self.serves, at_s=self.now_s, error=self.error
        )
        return TableSeen(table=self.table, notes={"a": note, "b": note})

    def error_logged(self, event: str, *, reason: str, **more: Any) -> None:
        self.failed.append(reason)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def noted(self, what: str) -> Callable[..., None]:
        return lambda model, version, **more: self.registry.append((what, version))


class Remote:
    """A method of an actor that answers at once."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.remote = method


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()

    class Keeper:
        get = Remote(lambda: made.table)
        put = Remote(made.put)
        seen = Remote(made.seen)

    class Clock:
        monotonic = staticmethod(lambda: made.now_s)
        time = staticmethod(lambda: 1000.0 + made.now_s)
        sleep = staticmethod(made.sleep)

    monkeypatch.setattr(actuators, "keeper", lambda model: Keeper)
    monkeypatch.setattr(actuators, "time", Clock)
    quiet = {"info": lambda event, **more: None, "error": made.error_logged}
    monkeypatch.setattr(actuators, "log", SimpleNamespace(**quiet))
    monkeypatch.setattr(actuators.ray, "get", lambda value, timeout: value)
    monkeypatch.setattr(actuators.serve, "delete", made.deleted.append)
    monkeypatch.setattr(actuators, "deploy", lambda *args, **more: made.deployed.append(args[2]) or "m-challenger")
    monkeypatch.setattr(actuators, "admit", refused_below_3)
    return made


def refused_below_3(name: str, epoch: int, holder: str) -> None:
    if epoch < 3:
        raise Refused(f"epoch {epoch} is over")


@pytest.fixture
def do(cluster: Cluster) -> Iterator[Callable[[Action], list[str]]]:
    """Start one order after the other, each to its end; the reasons of those that failed."""

    registry = SimpleNamespace(**{each: cluster.noted(each) for each in ("promote", "reject", "challenge")})
    made = ClusterActuator(SETTINGS, rest=cluster, registry=registry, epoch=3)
    number = iter(range(1, 100))

    def start(action: Action, epoch: int = 3) -> list[str]:
        n = next(number)
        order = Order(
            number=n, epoch=epoch, key=str(n), action=action, because=(), policy="p", issued_at_s=0.0, deadline_s=99.0
        )  # fmt: skip
        cluster.failed.clear()
        made.start(order)
        done = threading.Event()
        made._workers["m"].submit(done.set)
        assert done.wait(30)
        return list(cluster.failed)

    yield start
    made.close()


PROMOTE = Promote(model="m", version="2", digest="two")


def settled(table: TrafficTable) -> dict[str, Any]:
    """What is not counted up."""
    fields = ("champion", "champion_digest", "challenger", "share", "before", "failed")
    return {name: getattr(table, name) for name in fields if getattr(table, name)}


def test_a_promotion_ends_with_one_champion_and_nothing_beside_it(cluster: Cluster, do: Callable[..., Any]) -> None:
    """While it is under way the table names the champion before, for a replica that can not load the new one."""
    assert do(PROMOTE) == []
    assert [settled(table) for table in cluster.puts] == [
        {"champion": "2", "champion_digest": "two", "challenger": "2", "share": 0.5, "before": "1"},
        {"champion": "2", "champion_digest": "two"},
    ]
    assert (cluster.registry, cluster.deleted) == ([("promote", "2")], ["m-challenger"])


def test_a_version_that_no_replica_can_load_goes_out_of_the_table_again(
    cluster: Cluster, do: Callable[..., Any]
) -> None:
    """Whoever starts later would load it, too, and die; the rollout is seen to have failed, and why."""
    cluster.unloadable = {"2": "DigestMismatch: other files"}
    why = "replica a can not load version 2: DigestMismatch: other files"
    assert do(PROMOTE) == [f"_NotLoaded: {why}"]
    assert settled(cluster.table) == {
        "champion": "1", "champion_digest": "one", "challenger": "2", "share": 0.5, "failed": why,
    }  # fmt: skip
    assert (cluster.serves, cluster.registry, cluster.deleted) == ("1", [], [])
    assert cluster.now_s < actuators.SWAP_TIMEOUT_S / 2


def test_a_version_that_loads_at_the_second_attempt_is_promoted(cluster: Cluster, do: Callable[..., Any]) -> None:
    """The registry was away for a moment."""
    cluster.unloadable, cluster.recovers = {"2": "RegistryUnavailable: away"}, 20
    assert do(PROMOTE) == []
    assert (cluster.serves, cluster.registry) == ("2", [("promote", "2")])


def test_replicas_that_do_not_follow_in_time_bring_the_champion_back(
    cluster: Cluster, do: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They say nothing, neither that they serve it nor that they can not."""
    monkeypatch.setattr(cluster, "_follow", lambda: None)
    why = "not every replica of m serves version 2 after 90 s"
    assert do(PROMOTE) == [f"TimeoutError: {why}"]
    assert settled(cluster.table) | {"failed": why} == settled(cluster.table)
    assert cluster.table.champion == "1"


def test_a_rollback_to_a_version_that_can_not_be_loaded_leaves_what_serves(
    cluster: Cluster, do: Callable[..., Any]
) -> None:
    """A worse champion serves better than none."""
    cluster.table, cluster.serves = replace(ALONE, champion="2", champion_digest="two"), "2"
    cluster.unloadable = {"1": "OSError: gone"}
    assert do(RollBack(model="m", version="2", to="1", to_digest="one")) == [
        "_NotLoaded: replica a can not load version 1: OSError: gone"
    ]
    assert (cluster.table.champion, cluster.serves, cluster.registry) == ("2", "2", [])


def test_after_a_failed_promotion_the_rollback_and_the_next_rollout_begin_clean(
    cluster: Cluster, do: Callable[..., Any]
) -> None:
    """The reason belongs to its rollout."""
    cluster.unloadable = {"2": "DigestMismatch: other files"}
    do(PROMOTE)
    assert do(RollBack(model="m", version="2", to="1", to_digest="one")) == []
    assert settled(cluster.table) == {"champion": "1", "champion_digest": "one"}
    assert cluster.registry == [("reject", "2")]
    assert do(StartRollout(model="m", version="3", digest="three", shadow=1.0)) == []
    assert settled(cluster.table) == {"champion": "1", "champion_digest": "one", "challenger": "3"}
    assert cluster.table.shadow == 1.0


def test_an_application_of_somebody_else_is_neither_replaced_nor_deleted(
    cluster: Cluster, do: Callable[..., Any]
) -> None:
    """It has the name that our challenger would have."""
    cluster.theirs = True
    reasons = do(StartRollout(model="m", version="3", digest="three", shadow=1.0))
    assert reasons == ["RuntimeError: an application 'm-challenger' runs that is not of model m; it is left alone"]
    assert (cluster.deployed, cluster.puts) == ([], [])
    assert do(RollBack(model="m", version="2", to="1", to_digest="one")) == []
    assert (cluster.deleted, cluster.table.challenger) == ([], None)


def test_an_order_of_a_lower_epoch_changes_nothing(cluster: Cluster, do: Callable[..., Any]) -> None:
    """It is refused before anything begins."""
    with pytest.raises(Refused, match="epoch 2 is over"):
        do(PROMOTE, epoch=2)
    assert cluster.puts == []


def test_a_share_is_changed_only_for_the_challenger_that_it_is_for(cluster: Cluster, do: Callable[..., Any]) -> None:
    """An order that comes late must not give its share to the next one."""
    do(SetTraffic(model="m", version="1", share=0.9, shadow=0.0))
    assert cluster.puts == []
    do(SetTraffic(model="m", version="2", share=0.9, shadow=0.1))
    assert (cluster.table.share, cluster.table.shadow) == (0.9, 0.1)
