"""How the comparison of scaling policies is judged."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.scaling import front, mean_ranks
from benchmarks.scaling_worlds import LEFT_OUT, SCALING, SCENARIOS, SHIPPED, World
from simulators.scenario import load


def row(policy: str, violation_rate: float, replica_hours: float, lost_utility: float = 0.0) -> dict[str, Any]:
    return {
        "policy": policy, "violation_rate": violation_rate, "replica_hours": replica_hours, "lost_utility": lost_utility, "hours": 1.0,
    }  # fmt: skip


def test_the_front_is_who_is_not_beaten_in_both() -> None:
    """One with as many violations and more replica-hours is dominated; two that are equal both stay."""
    rows = [row("dear", 0.0, 9.0), row("cheap", 0.5, 2.0), row("beaten", 0.5, 3.0), row("same", 0.5, 2.0)]

    assert front(rows) == ["dear", "cheap", "same"]


def test_ranks_are_by_cost_and_equal_costs_share_theirs() -> None:
    """At a price of 0.1 two replica-hours cost as much as a fifth of an hour without use."""
    rows = [row("a", 0.0, 2.0), row("b", 0.2, 0.0, 0.2), row("c", 1.0, 1.0, 1.0)]

    assert mean_ranks({"one": rows, "two": rows[:1]}, 0.1) == {"a": 1.25, "b": 1.5, "c": 3.0}


@pytest.mark.parametrize("name", SHIPPED)
def test_only_the_scaling_policy_of_a_scenario_is_replaced(name: str) -> None:
    """What heals, rolls out and retrains stays, before the one that scales."""
    scenario = load(SCENARIOS / f"{name}.scenario.yaml")
    kept = [each for each in scenario.settings.policies if each.use not in SCALING]

    played = World(scenario).under("joint").settings.policies

    assert [*played[:-1]] == kept
    assert played[-1].use == "joint"


def test_no_scenario_is_forgotten() -> None:
    """Every shipped scenario is played or is said to be left out, and why."""
    names = {path.name.removesuffix(".scenario.yaml") for path in Path(SCENARIOS).glob("*.scenario.yaml")}

    assert {name for name in names if name not in SHIPPED and name not in LEFT_OUT} == set()
