"""The checkers can fail: each rule finds the fault that was planted for it, and says nothing where there is none."""

import importlib.util
import sys
from pathlib import Path

import pytest

from simulators.checkers import RULES, BrokenRule
from simulators.run import Simulation

_FILE = Path(__file__).with_name("planted.py")
_SPEC = importlib.util.spec_from_file_location("planted_faults", _FILE)
planted = importlib.util.module_from_spec(_SPEC)
sys.modules["planted_faults"] = planted
_SPEC.loader.exec_module(planted)
PLANTED = planted.PLANTED


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found_by_its_rule(fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """By that one first, with the seed, the moment and the events that led there."""
    fault.wish(monkeypatch)
    fault.plant(monkeypatch)
    with pytest.raises(BrokenRule) as broken:
        Simulation(fault.scenario(), seed=1).run()
    assert broken.value.rule == fault.rule
    assert broken.value.seed == 1
    assert 0.0 <= broken.value.at_s <= fault.scenario().settings.duration_s
    assert broken.value.trail


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_without_the_fault_the_same_wishes_break_no_rule(fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is the fault that was found, not the scenario."""
    fault.wish(monkeypatch)
    Simulation(fault.scenario(), seed=1).run()


def test_every_rule_is_known_to_be_able_to_fail() -> None:
    """A rule that no planted fault breaks would be a comfort without worth."""
    assert {rule.__name__ for rule in RULES} == {fault.rule for fault in PLANTED}
    assert len(PLANTED) >= 12
