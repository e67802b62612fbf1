"""What broke, as far as observations tell: each fault is found where it was, and what we did ourselves is none."""

from dataclasses import replace
from typing import Any

import pytest

from agent.settings import Settings
from policies.observation import Capacity, Deployment, Observation, ReplicaState, Resources
from policies.testing import deployment, observation, replica, traffic
from simulators.recorded.faults import faults
from simulators.recorded.recording import Gap, Recording
from simulators.recorded.replicas import Death, lives

MODELS = {"app/model": "app"}


def of(*ids: str, starting: tuple[str, ...] = (), stopping: tuple[str, ...] = (), **fields: Any) -> Deployment:
    """Replicas that run, start and stop; as many wanted as run or start."""
    states = [(ids, ReplicaState.RUNNING), (starting, ReplicaState.STARTING), (stopping, ReplicaState.STOPPING)]
    each = tuple(replica(name, state=state) for names, state in states for name in names)
    plain = {"replicas_wanted": len(ids) + len(starting), "traffic": traffic()}
    return deployment("app/model", each, **(plain | fields))


def recording(*seen: Observation, **fields: Any) -> Recording:
    return Recording(settings=Settings(tick_s=10.0), seen=seen, **fields)


def looks(*rows: Deployment, **fields: Any) -> Recording:
    """One look every 10 s."""
    return recording(*(observation(10.0 * n, each) for n, each in enumerate(rows)), **fields)


def order(at_s: float, **action: Any) -> tuple[float, dict[str, Any]]:
    return at_s, {"number": 1, "action": {"deployment": "app/model", **action}}


def scaled(at_s: float, replicas: int) -> tuple[float, dict[str, Any]]:
    return order(at_s, kind="scale", replicas=replicas)


def restarted(at_s: float, name: str) -> tuple[float, dict[str, Any]]:
    return order(at_s, kind="restart", replica=name)


def test_a_replica_that_is_gone_unasked_has_died() -> None:
    """Between the two looks; how many died together is told."""
    found = faults(looks(of("a", "b", "c"), of("a", starting=("d", "e"))), MODELS).found
    assert found == ({"at_s": 5.0, "kind": "replica_crash", "model": "app", "replicas": 2},)


@pytest.mark.parametrize(
    "seen",
    [
        looks(of("a", "b"), of("a"), intents=[scaled(0.0, 1)]),
        looks(of("a", "b"), of("a", stopping=("b",)), of("a"), intents=[scaled(0.0, 1)]),
        looks(of("a", "b"), of("a", starting=("c",)), intents=[restarted(0.0, "b")]),
        looks(of("a", starting=("b",)), of("a", starting=("c",))),
    ],
    ids=["scaled down at once", "drained", "restarted by an order", "never ran"],
)
def test_what_was_asked_for_is_no_fault(seen: Recording) -> None:
    """A scale-down, a restart; and what never ran served nobody."""
    assert faults(seen, MODELS).found == ()


def test_starts_and_stops_are_timed_to_within_a_tick() -> None:
    """Ordered at the look at 10, seen to start at 20, to run at 40; told to go by 50, seen stopping at 60, gone at 70."""
    rows = [of("a"), of("a"), of("a", starting=("b",)), of("a", starting=("b",)), of("a", "b"), of("a", "b")]
    rows += [of("a", stopping=("b",)), of("a")]
    found = lives([(10.0 * n, each) for n, each in enumerate(rows)])
    assert (found.starts_s, found.stops_s, found.deaths) == ((25.0,), (10.0,), ())


def test_what_happens_while_nobody_looks_is_not_known() -> None:
    """All new after an hour may be anything."""
    found = lives([(0.0, of("a", "b")), (3600.0, of("c", "d")), (3610.0, of("c", replicas_wanted=2))], gap_s=60.0)
    assert found.deaths == (Death(at_s=3605.0, replicas=1),)


def test_a_count_that_nobody_of_us_ordered_is_a_foreign_hand() -> None:
    """The second change is ours, one look before it shows."""
    rows = looks(of("a"), of("a", starting=("b",)), of("a", "b", starting=("c",)), intents=[scaled(10.0, 3)])
    found = faults(rows, MODELS).found
    assert found == ({"at_s": 10.0, "kind": "foreign_scale", "model": "app", "replicas": 2},)


def test_blindness_counts_from_three_looks_on() -> None:
    """And only after something was seen at all: before the first window there is nothing to lose."""
    seeing, blind = of("a"), of("a", traffic=None)
    found = faults(looks(blind, seeing, blind, seeing, blind, blind, blind, seeing), MODELS).found
    assert found == ({"at_s": 40.0, "kind": "telemetry_lost", "for_s": 30.0},)


@pytest.mark.parametrize(("starts_s", "kind"), [([90.0], "agent_killed"), ([], "journal_away")])
def test_an_agent_that_was_away_died_or_could_not_write(starts_s: list[float], kind: str) -> None:
    """A new life at the end of a gap tells the two apart."""
    gap = Gap(begin_s=0.0, end_s=100.0)
    seen = recording(observation(0.0, of("a")), observation(100.0, of("a")), gaps=[gap], starts_s=starts_s)
    assert faults(seen, MODELS).found == ({"at_s": 0.0, "kind": kind, "for_s": 100.0},)


def test_a_restart_without_a_gap_is_a_short_death() -> None:
    """The first start is no fault: somebody has to begin."""
    seen = looks(of("a"), of("a"), of("a"), starts_s=[-1.0, 15.0])
    assert faults(seen, MODELS).found == ({"at_s": 15.0, "kind": "agent_killed"},)


def test_replicas_that_die_with_a_part_of_the_cluster_were_on_a_node() -> None:
    """One fault, not two; it lasts until the cluster is as large as before."""

    def at(n: int, cpus: float, row: Deployment) -> Observation:
        return observation(10.0 * n, row, capacity=Capacity(total=Resources(cpus=cpus)))

    full, fallen = of("a", "b", "c"), of("a", starting=("d", "e"))
    seen = [at(0, 24.0, full), at(1, 16.0, fallen), at(2, 16.0, fallen), at(3, 24.0, of("a", "d", "e"))]
    found = faults(recording(*seen), MODELS)
    assert found.found == ({"at_s": 5.0, "kind": "node_loss", "for_s": 25.0},)
    given_back = [at(0, 24.0, full), at(1, 16.0, full)]
    assert faults(recording(*given_back), MODELS).found == ()


def slow(*, times: float) -> Deployment:
    """Three replicas, the first so many times as slow as the others."""
    paces = {"a": 0.1 * times, "b": 0.1, "c": 0.1}
    each = tuple(
        replica(name, traffic=traffic(0.0, 100, latency_mean_s=pace_s, latency_p50_s=None))
        for name, pace_s in paces.items()
    )
    return deployment("app/model", each, traffic=traffic())


def test_a_replica_that_is_slow_beside_its_peers_is_grey() -> None:
    """How much slower is told. One that stays so until it is replaced would not have mended; two slow looks are chance."""
    gone = replace(slow(times=1.0), replicas=slow(times=1.0).replicas[1:], replicas_wanted=2)
    found = faults(looks(*[slow(times=8.0)] * 4, gone, intents=[restarted(30.0, "a")]), MODELS).found
    assert [each for each in found if each["kind"] == "slow_replica"] == [
        {"at_s": 0.0, "kind": "slow_replica", "model": "app", "factor": 8.0}
    ]
    mended = faults(looks(*[slow(times=8.0)] * 4, *[slow(times=1.0)] * 9), MODELS).found
    assert mended == ({"at_s": 0.0, "kind": "slow_replica", "model": "app", "factor": 8.0, "for_s": 30.0},)
    assert faults(looks(*[slow(times=8.0)] * 2, *[slow(times=1.0)] * 9), MODELS).found == ()


def test_slow_replicas_of_one_node_have_a_noisy_neighbour() -> None:
    """One fault of the node, not one for each replica; where nodes are not known, each is slow alone."""
    paces = {"a": 0.4, "b": 0.6, "c": 0.1, "d": 0.1, "e": 0.1}
    crowded = tuple(
        replica(
            name,
            node="east" if name in "ab" else "west",
            traffic=traffic(0.0, 100, latency_mean_s=pace_s, latency_p50_s=None),
        )
        for name, pace_s in paces.items()
    )
    rows = looks(*[deployment("app/model", crowded, traffic=traffic())] * 4)
    expected = {"at_s": 0.0, "kind": "noisy_neighbour", "node": "node-1", "factor": 5.0, "for_s": 30.0}
    assert faults(rows, MODELS, {"east": "node-1", "west": "node-2"}).found == (expected,)
    assert [each["kind"] for each in faults(rows, MODELS).found] == ["slow_replica", "slow_replica"]
