"""What goes wrong with a policy in a run is told beside its result: which policy, what, since when and how often."""

from pathlib import Path
from typing import Any

import pytest

from policies.action import Proposal, Scale
from policies.observation import Observation
from simulators.run import Result, run
from simulators.scenario import parse_scenario

SCENARIO = """\
name: a policy of one's own
duration_s: 60
tick_s: 5
cluster: {nodes: [{count: 1, cpus: 4}]}
models:
  shop:
    traffic: [{kind: steady, rate_rps: 5}]
    service: {kind: constant, seconds: 0.05}
    slo_latency_s: 0.5
policies: [{use: "tests.simulators.test_policy_faults:%s"}]
"""
USE = "tests.simulators.test_policy_faults:"


class Raises:
    """Fails at every tick, each time in other words."""

    def __init__(self) -> None:
        self._asked = 0

    def propose(self, seen: Observation) -> Any:
        self._asked += 1
        raise ValueError(f"no figures, try {self._asked}")


class Once:
    """Fails at the second tick only."""

    def __init__(self) -> None:
        self._asked = 0

    def propose(self, seen: Observation) -> Any:
        self._asked += 1
        return [] if self._asked != 2 else 1 / 0


class Nothing:
    """Forgets to return a list."""

    def propose(self, seen: Observation) -> Any:
        return None


class One:
    """Returns a proposal where a list of them is expected."""

    def propose(self, seen: Observation) -> Any:
        return Proposal(action=Scale(deployment="shop/model", replicas=2), because=())


class Stray:
    """Wants to scale what there is not; more replicas at every tick."""

    def __init__(self) -> None:
        self._asked = 0

    def propose(self, seen: Observation) -> Any:
        self._asked += 1
        return [Proposal(action=Scale(deployment="shop", replicas=self._asked), because=())]


def played(name: str) -> Result:
    return run(parse_scenario(SCENARIO % name, "a.yaml", Path(), allowed=("tests",)))


OFTEN = "(12 times, from 0:00:05 to 0:01:00)"
CAUSES = {
    "Raises": f"policy {USE}Raises raised ValueError: no figures, try 1 {OFTEN}",
    "Once": f"policy {USE}Once raised ZeroDivisionError: division by zero (once, at 0:00:10)",
    "Nothing": f"policy {USE}Nothing returned NoneType; expected a list of proposals, which may be empty {OFTEN}",
    "One": f"policy {USE}One returned Proposal; expected a list of proposals, which may be empty {OFTEN}",
    "Stray": f"policy {USE}Stray wanted to scale: there is no deployment 'shop', but shop/ModelServer; "
    f"did you mean 'shop/ModelServer'? {OFTEN}",
}


@pytest.mark.parametrize(("name", "told"), CAUSES.items(), ids=CAUSES)
def test_the_notes_of_a_run_tell_what_went_wrong_with_a_policy(name: str, told: str) -> None:
    """One sentence for each cause, however often it came, and whatever figures were in its words."""
    result = played(name)
    assert result.notes == (told,)
    assert result.to_json()["notes"] == [told]
