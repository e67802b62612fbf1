import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

from policies.action import Scale
from policies.registry import ENTRY_POINT_GROUP
from policies.scaling.joint import Joint
from policies.testing import deployment, observation, traffic
from simulators.oracle import Oracle

ROOT = Path(__file__).parents[2]
FUTURE = {"a": [5.0] * 10 + [30.0] * 10}


def asked_for(policy: Joint) -> list[int]:
    """What a deployment of two replicas of 0.15 s at 5 requests/s is told in the first nine minutes; nothing is done."""
    asked = []
    for tick in range(54):
        at_s = 10.0 * tick
        seen = traffic(at_s, 150, window_s=30.0, latency_mean_s=0.16, latency_p99_s=0.3, ongoing=0.8, queued=0.0)
        told = policy.propose(observation(at_s, deployment("a", 2, slo_latency_s=0.72, traffic=seen)))
        asked += [each.action.replicas for each in told if isinstance(each.action, Scale)]
    return asked


def test_it_prepares_for_what_nobody_else_can_know():
    """The load is six times as high from the tenth minute on: the oracle asks for replicas before, `joint` sees no reason to."""
    assert max(asked_for(Oracle(budget=10, future=FUTURE))) >= 5
    assert asked_for(Joint(budget=10)) == []


def test_it_is_offered_by_name() -> None:
    """As a package of others offers its policies, since what decides knows no simulator."""
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][ENTRY_POINT_GROUP]
    assert {name: EntryPoint(name, path, ENTRY_POINT_GROUP).load() for name, path in offered.items()} == {
        "oracle": Oracle
    }
