"""The loop: written first, then done; nothing done that could not be written."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from agent.assembly import assemble, rules
from agent.calendar import FreezeCalendar
from agent.containment import PartEnded
from agent.core import Core
from agent.journal.life import Beginning, begin, started
from agent.journal.record import verify
from agent.journal.replay import replay
from agent.loop import Agent
from agent.ports import JournalUnavailable, Refused
from agent.settings import AutonomySettings, Settings
from agent.testing import MemoryJournal, RecordingNotifier, ScriptedWorld
from policies.action import Evidence, Proposal, Scale
from policies.observation import Observation

SETTINGS = Settings.model_validate(
    {
        "autonomy": {"default": "act"},
        "policies": [{"use": "target_utilization", "target": 0.5, "up_window_s": 0, "down_window_s": 0}],
    }
)


def agent_over(world: ScriptedWorld, journal: MemoryJournal, notifier: Any = None) -> Agent:
    journal.append([("started", 0.0, started(Beginning(epoch=1, next_number=1, open_orders=()), SETTINGS))])
    return assemble(
        SETTINGS, sensor=world, actuator=world, trainer=world, notifier=notifier or RecordingNotifier(), journal=journal
    )


def busy_world() -> ScriptedWorld:
    world = ScriptedWorld.with_deployment("app/model", 2)
    world.give_traffic("app/model", ongoing=2.0, latency_mean_s=0.2)
    return world


def ticked(agent: Agent, world: ScriptedWorld, until_s: int, ongoing: float) -> None:
    for at_s in range(1, until_s):
        world.give_traffic("app/model", ongoing=ongoing, measured_at_s=float(at_s))
        agent.tick(float(at_s))


def test_an_intent_is_in_the_journal_before_its_effect() -> None:
    """At the moment of the effect the intent is already there."""
    world, journal = busy_world(), MemoryJournal()
    written: list[bool] = []
    world.record = lambda key: written.append(key in {intent["key"] for intent in journal.of_kind("intent")})
    ticked(agent_over(world, journal), world, 10, ongoing=2.0)
    assert written == [True]


def test_while_the_journal_is_away_nothing_is_done_and_people_are_told_once() -> None:
    """And when it is back the record has no gap, the stale order was given up, and the want is an order again."""
    world, journal, notifier = busy_world(), MemoryJournal(), RecordingNotifier()
    agent = agent_over(world, journal, notifier)
    journal.away = True
    ticked(agent, world, 5, ongoing=2.0)
    assert world.effects == []
    assert [alert.subject for alert in notifier.alerts] == ["journal"]
    journal.away = False
    for at_s in (5.0, 6.0, 7.0):
        world.give_traffic("app/model", ongoing=2.0, measured_at_s=at_s)
        agent.tick(at_s)
    assert [r["number"] for r in journal.of_kind("refused")] == [1]
    assert next((o["number"], o["status"]) for o in journal.of_kind("outcome")) == (1, "failed")
    assert len(world.effects) == 1
    assert verify(journal.kept).ok
    assert replay(journal.kept).identical


def test_what_people_must_know_is_told_although_it_can_not_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that can be read and not written: the tick's alerts are sent at once, not an hour later, and are on record afterwards."""

    class Raises:
        def propose(self, seen: Observation) -> list[Proposal]:
            raise RuntimeError("always the same")

    world, journal, notifier = busy_world(), MemoryJournal(), RecordingNotifier()
    agent = agent_over(world, journal, notifier)
    agent.core = Core([("raises", Raises())], rules(SETTINGS), FreezeCalendar())
    append = journal.append

    def full(*_: Any, **__: Any) -> None:
        raise JournalUnavailable("the disk is full")

    monkeypatch.setattr(journal, "append", full)
    ticked(agent, world, 3, ongoing=2.0)
    assert [alert.subject for alert in notifier.alerts] == ["journal", "raises"]
    monkeypatch.setattr(journal, "append", append)
    ticked(agent, world, 3, ongoing=2.0)
    assert [alert.subject for alert in notifier.alerts] == ["journal", "raises", "journal"]
    assert [alert["subject"] for decided in journal.of_kind("decided") for alert in decided["alerts"]] == ["raises"]


def test_a_journal_that_can_not_be_read_halts_the_agent_and_its_return_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What people want stands in the journal: unread, a freeze may be in it. The pager hears of both, once each."""
    world, journal, notifier = busy_world(), MemoryJournal(), RecordingNotifier()
    agent = agent_over(world, journal, notifier)
    observe = world.observe

    def read(at_s: float) -> Observation:
        journal.entries()
        return observe(at_s)

    monkeypatch.setattr(world, "observe", read)
    journal.away = True
    ticked(agent, world, 5, ongoing=2.0)
    assert (world.effects, agent.halted) == ([], "the journal is away")
    journal.away = False
    ticked(agent, world, 3, ongoing=0.1)
    assert [(alert.subject, alert.severity) for alert in notifier.alerts] == [
        ("journal", "critical"),
        ("journal", "info"),
    ]
    assert agent.halted is None


def test_evidence_that_is_no_number_is_written_as_unknown() -> None:
    """A policy of a user's own may divide by zero; its proposal can still be written down, and replays."""

    class Divides:
        def propose(self, seen: Observation) -> list[Proposal]:
            because = (Evidence(name="rate", value=float("nan"), threshold=float("inf")),)
            return [Proposal(action=Scale(deployment="app/model", replicas=3), because=because)]

    world, journal = busy_world(), MemoryJournal()
    agent = agent_over(world, journal)
    agent.core = Core([("divides", Divides())], rules(SETTINGS), FreezeCalendar())
    agent.tick(1.0)
    assert [intent["because"][0]["value"] for intent in journal.of_kind("intent")] == [None]


def test_a_refusal_is_written_down_and_replays() -> None:
    """The world's word is part of the record, because the core was told."""
    world, journal = busy_world(), MemoryJournal()
    world.refuses = True
    ticked(agent_over(world, journal), world, 4, ongoing=2.0)
    assert journal.of_kind("refused")[0] == {"number": 1, "reason": "the world refuses, as the test wants it"}
    assert replay(journal.kept).identical


def test_a_world_that_lies_is_found_out_at_the_deadline() -> None:
    """It took the order and did nothing; the record says expired, not done."""
    world, journal = busy_world(), MemoryJournal()
    world.lies = True
    ticked(agent_over(world, journal), world, 125, ongoing=2.0)
    assert [o["status"] for o in journal.of_kind("outcome")] == ["expired"]


def test_a_replay_finds_a_decision_that_does_not_follow() -> None:
    """One changed order is enough."""
    world, journal = busy_world(), MemoryJournal()
    ticked(agent_over(world, journal), world, 10, ongoing=2.0)
    intent = next(entry for entry in journal.kept if entry.kind == "intent")
    intent.payload["action"]["replicas"] = 7  # type: ignore[index]
    result = replay(journal.kept)
    assert not result.identical
    assert not verify(journal.kept).ok


def test_day_one_is_safe() -> None:
    """With the settings that come with it, the agent suggests and does nothing."""
    world, journal = busy_world(), MemoryJournal()
    quiet = SETTINGS.model_copy(update={"autonomy": AutonomySettings()})
    agent = assemble(quiet, sensor=world, actuator=world, trainer=world, notifier=RecordingNotifier(), journal=journal)
    ticked(agent, world, 10, ongoing=2.0)
    assert world.effects == []
    assert journal.of_kind("decided")[-1]["suggestions"][0]["proposal"]["action"]["kind"] == "scale"


@pytest.mark.parametrize(
    ("autonomy", "subjects"),
    [
        ("observe", []),
        ("suggest", ["suggestion for app/model"]),
        ("approve", ["order 1 waits for approval"]),
        ("act", []),
    ],
)
def test_people_are_told_of_what_the_agent_would_do_or_asks_for(autonomy: str, subjects: list[str]) -> None:
    """Once, however many ticks it lasts; what is only observed is written down, what is done is listed."""
    settings = SETTINGS.model_copy(update={"autonomy": AutonomySettings.model_validate({"default": autonomy})})
    world, journal, notifier = busy_world(), MemoryJournal(), RecordingNotifier()
    agent = assemble(settings, sensor=world, actuator=world, trainer=world, notifier=notifier, journal=journal)
    ticked(agent, world, 8, ongoing=2.0)
    assert [alert.subject for alert in notifier.alerts] == subjects
    assert bool(journal.of_kind("decided")) == (autonomy != "act")


def test_an_order_that_comes_to_nothing_is_told() -> None:
    """The world refuses it; people hear of it, and where to read on."""
    world, journal, notifier = busy_world(), MemoryJournal(), RecordingNotifier()
    agent = agent_over(world, journal, notifier)

    def refuse(order: Any) -> None:
        raise Refused("Serve says no")

    world.start = refuse
    ticked(agent, world, 3, ongoing=2.0)
    assert [alert.subject for alert in notifier.alerts] == ["order 1 failed"]
    assert "Serve says no" in notifier.alerts[0].text


def test_a_problem_that_lasts_is_told_and_written_and_a_replay_passes_over_it() -> None:
    """A note beside the decisions: it changes none of them."""
    world, journal, notifier = busy_world(), MemoryJournal(), RecordingNotifier()
    agent = agent_over(world, journal, notifier)
    observe = world.observe
    world.observe = lambda at_s: replace(observe(at_s), problems=("metrics: can not be read, MetricsAway: x",))  # type: ignore[method-assign]
    for at_s in (1.0, 31.0, 61.0, 91.0):
        agent.tick(at_s)
    text = "for 60 s: metrics: can not be read, MetricsAway: x"
    assert [alert.text for alert in notifier.alerts if alert.subject == "metrics"] == [text]
    assert [note["alert"]["text"] for note in journal.of_kind("note")] == [text]
    assert replay(journal.kept).identical


def test_what_is_done_beside_the_orders_is_written_down_first_or_not_done() -> None:
    """Whether it could be written is the answer."""
    journal = MemoryJournal()
    agent = agent_over(busy_world(), journal)
    assert agent.note({"note": "upkeep", "model": "m"}, 1.0)
    journal.away = True
    assert not agent.note({"note": "upkeep", "model": "n"}, 2.0)
    assert journal.of_kind("note") == [{"note": "upkeep", "model": "m"}]


@pytest.mark.parametrize("autonomy", ["suggest", "approve"])
def test_a_new_life_tells_nobody_again_what_still_stands(autonomy: str) -> None:
    """A suggestion, a question and a problem that lasts are told once, over a restart; the end of the problem is told as well."""
    settings = SETTINGS.model_copy(update={"autonomy": AutonomySettings.model_validate({"default": autonomy})})
    world, journal, notifier = busy_world(), MemoryJournal(), RecordingNotifier()
    observe, away = world.observe, ["metrics: away"]
    world.observe = lambda at_s: replace(observe(at_s), problems=tuple(away))  # type: ignore[method-assign]

    def live(moments: range) -> None:
        agent = assemble(
            settings, sensor=world, actuator=world, trainer=world, notifier=notifier, journal=journal,
            beginning=begin(journal, settings, float(moments[0])),
        )  # fmt: skip
        for at_s in moments:
            world.give_traffic("app/model", ongoing=2.0, latency_mean_s=0.2, measured_at_s=float(at_s))
            agent.tick(float(at_s))

    live(range(1, 100, 10))
    told = [alert.subject for alert in notifier.alerts]
    asked = "suggestion for app/model" if autonomy == "suggest" else "order 1 waits for approval"
    assert told == [asked, "metrics"]
    live(range(101, 200, 10))
    assert [alert.subject for alert in notifier.alerts] == told
    away.clear()
    live(range(201, 230, 10))
    assert [(alert.subject, alert.severity) for alert in notifier.alerts[len(told) :]] == [("metrics", "info")]
    assert replay(journal.kept).identical


ENDS: list[type[BaseException]] = [SystemExit, GeneratorExit, asyncio.CancelledError, BaseException]


@pytest.mark.parametrize("ends", ENDS)
def test_no_actuator_ends_the_agent(ends: type[BaseException]) -> None:
    """What it raises is the end of its order, as any other fault of a world is."""
    world, journal, notifier = busy_world(), MemoryJournal(), RecordingNotifier()
    agent = agent_over(world, journal, notifier)

    def start(order: Any) -> None:
        raise ends("out")

    world.start = start  # type: ignore[method-assign]
    ticked(agent, world, 3, ongoing=2.0)
    assert [row["reason"] for row in journal.of_kind("refused")][:1] == [f"PartEnded: it raised {ends.__name__}: out"]
    assert [alert.subject for alert in notifier.alerts][:1] == ["order 1 failed"]


@pytest.mark.parametrize("ends", [*ENDS, RuntimeError])
def test_no_notifier_ends_the_agent(ends: type[BaseException]) -> None:
    """People are told nothing by it; everything else goes on and is written down."""

    class Ends:
        def notify(self, alert: Any) -> None:
            raise ends

    world, journal = busy_world(), MemoryJournal()
    settings = SETTINGS.model_copy(update={"autonomy": AutonomySettings.model_validate({"default": "approve"})})
    agent = assemble(settings, sensor=world, actuator=world, trainer=world, notifier=Ends(), journal=journal)
    ticked(agent, world, 4, ongoing=2.0)
    assert len(journal.of_kind("observed")) == 3
    assert [order["number"] for order in journal.of_kind("decided")[-1]["awaiting"]] == [1]


@pytest.mark.parametrize("ends", ENDS)
def test_no_sensor_ends_the_agent(ends: type[BaseException]) -> None:
    """The tick fails, which whoever keeps the time can pass over; the next one is as good as ever."""
    world, journal = busy_world(), MemoryJournal()
    agent = agent_over(world, journal)
    observe = world.observe

    def look(at_s: float) -> Observation:
        if at_s == 1.0:
            raise ends
        return observe(at_s)

    world.observe = look  # type: ignore[method-assign]
    with pytest.raises(PartEnded, match=f"it raised {ends.__name__}"):
        agent.tick(1.0)
    agent.tick(2.0)
    assert len(journal.of_kind("observed")) == 1


def test_a_person_ends_the_agent_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a sensor and in an actuator comes through."""
    for part in ("observe", "start"):
        world = busy_world()
        agent = agent_over(world, MemoryJournal())

        def interrupted(*_: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(world, part, interrupted)
        with pytest.raises(KeyboardInterrupt):
            ticked(agent, world, 4, ongoing=2.0)
