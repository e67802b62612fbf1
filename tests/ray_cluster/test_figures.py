"""The agent's own figures: what was decided, each gate's value beside its threshold, the loop's lag, and what is left."""

from typing import Any

import pytest

from agent.arbiter import Veto
from agent.core import Decision
from agent.settings import BudgetSettings
from policies.action import Evidence, Hold, Proposal, Scale
from policies.observation import JobState, Resources, TrainingJob
from policies.testing import deployment, model, observation
from ray_cluster import figures
from ray_cluster.figures import Figures, budget_left


class Metric:
    """Keeps what was set or added, by name and tags, where Ray would export it."""

    shown: dict[tuple[str, ...], float]

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...] = ()) -> None:
        assert description
        self._name, self._keys = name.removeprefix("homeostat_"), tag_keys

    def _key(self, tags: dict[str, str] | None) -> tuple[str, ...]:
        assert set(tags or {}) == set(self._keys)
        return (self._name, *(tags or {}).values())

    def set(self, value: float, tags: dict[str, str] | None = None) -> None:
        Metric.shown[self._key(tags)] = value

    def inc(self, value: float, tags: dict[str, str] | None = None) -> None:
        Metric.shown[self._key(tags)] = Metric.shown.get(self._key(tags), 0.0) + value


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, ...], float]:
    Metric.shown = {}
    monkeypatch.setattr(figures, "Gauge", Metric)
    monkeypatch.setattr(figures, "Counter", Metric)
    return Metric.shown


def test_a_gate_shows_its_value_beside_its_threshold_whether_it_opened_or_not(shown: dict[Any, float]) -> None:
    """A veto's rule and a hold's evidence are gates as an order's are."""
    busy = Evidence(name="utilization", value=0.9, threshold=0.7)
    wish = Proposal(action=Scale(deployment="a/b", replicas=9), because=(busy,), policy="p")
    veto = Veto(proposal=wish, rule="budget", reason="no capacity left", value=9.0, threshold=4.0)
    waits = Proposal(
        action=Hold(subject="m"), because=(Evidence(name="rows", value=10.0, threshold=200.0),), policy="staged"
    )
    Figures().tick(Decision(at_s=1.0, vetoes=(veto,), holds=(waits,)), lag_s=0.2, took_s=0.1, halted=True)
    assert shown == {
        ("loop_lag_seconds",): 0.2, ("tick_seconds",): 0.1, ("halted",): 1.0, ("vetoes", "budget"): 1,
        ("gate_value", "utilization", "a/b"): 0.9, ("gate_threshold", "utilization", "a/b"): 0.7,
        ("gate_value", "budget", "a/b"): 9.0, ("gate_threshold", "budget", "a/b"): 4.0,
        ("holds", "staged"): 1, ("gate_value", "rows", "m"): 10.0, ("gate_threshold", "rows", "m"): 200.0,
    }  # fmt: skip


def test_what_is_left_is_the_budget_without_what_serving_and_training_hold() -> None:
    """Only what the budget limits is told."""
    job = TrainingJob(id="j", state=JobState.RUNNING, started_at_s=0.0, resources=Resources(cpus=2.0))
    seen = observation(0.0, deployment("a/b", replicas=3, resources=Resources(cpus=0.5)), model("m", training=job))
    assert budget_left(seen, BudgetSettings(replicas=4, cpus=3.0)) == {"replicas": 1.0, "cpus": -0.5}
