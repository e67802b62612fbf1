"""A scenario that breaks a rule is shrunk to what it takes to break it, within the time that is given."""

from pathlib import Path

import pytest

from simulators.checkers import BrokenRule
from simulators.deployment import SimDeployment
from simulators.run import Simulation
from simulators.scenario import Scenario, parse_scenario
from simulators.shrinking import NothingBreaks, shrink
from simulators.writing import to_yaml

TEXT = """
name: a great deal happens
why: Most of it has nothing to do with what breaks.
duration_s: 3600
warm_up_s: 300
cluster: {nodes: [{name: big, count: 4, cpus: 16}, {name: small, count: 3, cpus: 4}]}
models:
  guilty:
    traffic: [{kind: steady, rate_rps: 64}, {kind: ramp, from_rps: 0, to_rps: 8, begin_s: 0, end_s: 900}]
    service: {kind: constant, seconds: 0.1}
    replicas: 12
    slo_latency_s: 1
  innocent:
    traffic: [{kind: steady, rate_rps: 5}]
    service: {kind: constant, seconds: 0.1}
    slo_latency_s: 1
faults:
  - {kind: telemetry_lost, at_s: 100, for_s: 60}
  - {kind: foreign_scale, at_s: 600, model: guilty, replicas: 10}
  - {kind: network_delay, at_s: 2000, for_s: 60}
policies: [{use: idle}, {use: replace_unhealthy}]
expect: [failed == 0]
"""


def scenario() -> Scenario:
    return parse_scenario(TEXT, "great", Path())


def needs(played: list[Scenario], replicas: int = 5):
    """Breaks where the foreign hand strikes a model of at least so many replicas; a stand-in for a run, which takes no time."""

    def breaks(candidate, seed, progress):
        played.append(candidate)
        told = candidate.settings
        struck = [each for each in told.faults if each.kind == "foreign_scale" and each.at_s <= told.duration_s]
        enough = [each for each in struck if told.models[each.model].replicas >= replicas]
        return ("SomeRule", enough[0].at_s) if enough else None

    return breaks


def test_what_is_left_is_what_it_takes():
    """One model of five replicas with next to no traffic, one fault, no policy, one node, and the seconds until it breaks."""
    played: list[Scenario] = []
    smallest = shrink(scenario(), 9, breaks=needs(played)).settings
    assert smallest.seed == 9
    assert smallest.duration_s == 600
    assert [each.kind for each in smallest.faults] == ["foreign_scale"]
    assert list(smallest.models) == ["guilty"]
    assert smallest.models["guilty"].replicas == 5
    assert len(smallest.models["guilty"].traffic) == 1
    assert smallest.policies == smallest.expect == ()
    assert sum(kind.count for kind in smallest.cluster.nodes) == 1
    assert len(played) < 200


def test_what_is_left_is_a_scenario_file():
    """Written and read again it is the same."""
    smallest = shrink(scenario(), 9, breaks=needs([]))
    assert parse_scenario(to_yaml(smallest.settings), "again", Path()).settings == smallest.settings
    assert parse_scenario(to_yaml(scenario().settings), "again", Path()).settings == scenario().settings


def test_it_ends_when_the_time_is_used_up_and_gives_what_it_has():
    """A second for each run and ten seconds: ten runs, and something smaller that still breaks."""
    now_s, played = [0.0], []
    breaks = needs(played)

    def slow(candidate, seed, progress):
        now_s[0] += 1.0
        progress(0.0)
        return breaks(candidate, seed, progress)

    smallest = shrink(scenario(), 9, limit_s=10.0, clock=lambda: now_s[0], breaks=slow).settings
    assert len(played) < 10
    assert smallest.duration_s == 600
    assert list(smallest.models) != []


def test_without_time_the_scenario_is_left_as_it_is():
    """Nobody knows what breaks it."""
    assert shrink(scenario(), 9, limit_s=0.0, clock=lambda: 5.0, breaks=needs([])) == scenario()


def test_another_rule_is_another_fault():
    """What breaks something else on the way to smaller is not taken for the same."""

    def breaks(candidate, seed, progress):
        return ("TheRule" if len(candidate.settings.faults) >= 2 else "Another", 600.0)

    assert len(shrink(scenario(), 9, breaks=breaks).settings.faults) == 2


def test_a_scenario_that_breaks_nothing_is_refused():
    """With its name and its seed."""
    with pytest.raises(NothingBreaks, match="a great deal happens breaks no rule from seed 9"):
        shrink(scenario(), 9, breaks=lambda candidate, seed, progress: None)


def test_a_real_fault_of_the_world_is_shrunk_and_still_breaks(monkeypatch: pytest.MonkeyPatch):
    """A world that loses what a stopped replica holds: the shrunk scenario breaks the same rule, and is far smaller."""

    def stop(self, replica):
        self.catch_up()
        if replica.number in self.kernel.replicas():
            self.kernel.remove_replica(replica.number, lose=True)
        self._release(replica, warm=False)

    monkeypatch.setattr(SimDeployment, "stop", stop)
    smallest = shrink(scenario(), 1, limit_s=20.0)
    with pytest.raises(BrokenRule) as broken:
        Simulation(smallest, smallest.settings.seed).run()
    assert broken.value.rule == "NothingLostByUs"
    assert [each.kind for each in smallest.settings.faults] == ["foreign_scale"]
