"""People speak at their moments, as with the commands: what they say stands in the agent's journal, and it does what they say."""

from pathlib import Path
from typing import Any

import pytest

from agent.journal.record import Kind
from simulators.run import Simulation
from simulators.scenario import ScenarioError, parse_scenario

TEXT = """
name: somebody speaks
duration_s: 1200
tick_s: 10
cluster: {nodes: [{count: 2, cpus: 8}]}
lifecycle: {cold_start: {kind: constant, seconds: 10}}
models:
  fraud: &model
    traffic: [{kind: step, before_rps: 5, after_rps: 40, at_s: 200}]
    service: {kind: constant, seconds: 0.1}
    replicas: 2
    max_replicas: 8
    slo_latency_s: 1
  spam: *model
policies: [{use: target_utilization, up_window_s: 20}]
autonomy: {default: %(autonomy)s}
faults: [%(faults)s]
people: [%(people)s]
"""


def spoken(*people: str, autonomy: str = "act", faults: str = "") -> Simulation:
    text = TEXT % {"people": ", ".join(people), "autonomy": autonomy, "faults": faults}
    return Simulation(parse_scenario(text, "people.yaml", Path()), 1)


def words(simulation: Simulation) -> list[tuple[float, str, Any]]:
    """(when, word, number of an order or name of a model) of all that was said."""
    entries = [entry for entry in simulation.journal.kept if entry.kind == Kind.CONTROL]
    return [(e.at_s, e.payload["word"], e.payload["number"] or e.payload["model"]) for e in entries]


def ordered_s(simulation: Simulation, model: str | None = None) -> list[float]:
    entries = [entry for entry in simulation.journal.kept if entry.kind == Kind.INTENT]
    return [e.at_s for e in entries if model is None or e.payload["action"]["deployment"].startswith(model)]


def test_a_freeze_holds_from_when_it_is_said_until_it_is_taken_back():
    """The load comes in between: the first order is of the tick of the second word."""
    simulation = spoken("{at_s: 150, says: freeze}", "{at_s: 600, says: unfreeze}")
    simulation.run()
    assert words(simulation) == [(150.0, "freeze", None), (600.0, "unfreeze", None)]
    assert ordered_s(simulation)[0] == 600.0


def test_a_killed_agent_goes_on_only_when_it_is_told_to():
    """As with a freeze, but for everything."""
    simulation = spoken("{at_s: 150, says: kill}", "{at_s: 600, says: resume}")
    simulation.run()
    assert [word for _, word, _ in words(simulation)] == ["kill", "resume"]
    assert min(ordered_s(simulation)) >= 600.0


def test_an_answer_goes_to_what_waits_and_to_what_the_person_cares_for():
    """Both models wait for the same; the order of one is approved, that of the other denied."""
    simulation = spoken(
        "{at_s: 300, says: approve, model: fraud, action: scale}",
        "{at_s: 300, says: deny, model: spam}",
        autonomy="approve",
    )
    simulation.run()
    (_, yes, approved), (_, no, denied) = words(simulation)
    assert (yes, no, approved != denied) == ("approve", "deny", True)
    assert ordered_s(simulation, "fraud") == [300.0]
    assert ordered_s(simulation, "spam") == []
    ended = {each["number"]: each["status"] for each in simulation.journal.of_kind(Kind.OUTCOME)}
    assert ended[denied] == "denied"


def test_who_finds_nothing_that_waits_says_nothing():
    """Before the load there is nothing to answer; another kind of action is not what they care for."""
    simulation = spoken("{at_s: 100, says: approve}", "{at_s: 300, says: approve, action: restart}", autonomy="approve")
    simulation.run()
    assert words(simulation) == []


def test_who_keeps_looking_answers_what_comes_until_they_go():
    """Every half minute from the beginning, for five minutes: the orders of 220 s and after are answered at 240, none after 300."""
    simulation = spoken("{at_s: 0, says: approve, every_s: 30, for_s: 300}", autonomy="approve")
    simulation.run()
    said_s = [at_s for at_s, _, _ in words(simulation)]
    assert said_s
    assert {at_s % 30 for at_s in said_s} == {0.0}
    assert 240.0 <= min(said_s) <= max(said_s) <= 300.0


def test_a_word_that_the_journal_does_not_take_is_said_again():
    """It is away from 140 to 215 s; the freeze of 150 s stands in it at 240."""
    simulation = spoken(
        "{at_s: 150, says: freeze}",
        faults="{kind: journal_away, at_s: 140, for_s: 75}",
    )
    simulation.run()
    assert words(simulation) == [(240.0, "freeze", None)]


@pytest.mark.parametrize(
    ("person", "told"),
    [
        (
            "{at_s: 5, says: shout}",
            "people[0].says: found 'shout'; expected one of freeze, unfreeze, kill, resume, approve, deny or rollback",
        ),
        ("{at_s: 5, says: rollback, model: fraud}", "people[0].model: found 'fraud'; expected a model with `learning`"),
        ("{at_s: 5, says: rollback}", "people[0].model: found None; expected a model with `learning`"),
        ("{at_s: 5, says: approve, model: frad}", "people[0].model: found 'frad'; expected one of fraud, spam"),
        ("{at_s: 5, says: freeze, every_s: 9}", "people[0].every_s: found with `says: freeze`; expected with approve"),
        ("{at_s: -5, says: freeze}", "people[0].at_s: found -5; expected at least 0"),
    ],
)
def test_what_nobody_can_say_is_an_error_with_its_place(person, told):
    """File, line and key, before anything is played."""
    with pytest.raises(ScenarioError) as error:
        spoken(person)
    line = next(n for n, text in enumerate(TEXT.splitlines(), start=1) if text.startswith("people:"))
    assert f"people.yaml:{line}: {told}" in str(error.value)


def test_a_champion_is_taken_back_by_hand_while_changes_are_frozen() -> None:
    """Somebody freezes changes, and then asks for the version before by name: that is done and nothing else, and no rule objects."""
    path = Path(__file__).parents[2] / "scenarios" / "a_rollback_is_asked_for_by_hand.scenario.yaml"
    text = path.read_text(encoding="utf-8").replace("people:\n", "people:\n  - {at_s: 8990, says: freeze}\n")
    simulation = Simulation(parse_scenario(text, path.name, path.parent), 44)
    simulation.run()
    orders = [e for e in simulation.journal.kept if e.kind == Kind.INTENT and e.at_s >= 8990.0]
    assert [(e.payload["action"]["kind"], e.at_s) for e in orders] == [("roll_back", 9000.0)]
