"""Schedules: each is taken once for all that fell due since it was taken last, also while no agent ran."""

from datetime import UTC, datetime
from typing import Any

import pytest

from agent.assembly import assemble
from agent.journal.life import begin
from agent.journal.memory import MemoryJournal
from agent.journal.record import Kind
from agent.journal.replay import replay
from agent.schedules import Schedules, taken
from agent.settings import Settings
from agent.testing import RecordingNotifier
from policies.observation import Observation
from policies.testing import observation

NIGHTLY = {"nightly": "0 3 * * *"}
HOUR_S = 3600.0


def at(hour: float, day: int = 1) -> float:
    return datetime(2026, 3, day, tzinfo=UTC).timestamp() + hour * HOUR_S


def test_a_schedule_is_due_once_however_late_it_is_looked_at() -> None:
    """At three, and again at three of the next day; two nights that were slept through are one."""
    schedules = Schedules(NIGHTLY, {"nightly": at(2)})
    looks = [
        (at(2.9), ()),
        (at(3), ("nightly",)),
        (at(3), ()),
        (at(26.9), ()),
        (at(27), ("nightly",)),
        (at(80), ("nightly",)),
    ]
    assert [(civil_s, schedules.due(civil_s)) for civil_s, _ in looks] == looks


def test_a_clock_that_is_set_back_takes_no_schedule_twice_and_one_set_forward_loses_none() -> None:
    """Taken at three, back to two: the three o'clock that comes again is the same night's."""
    schedules = Schedules(NIGHTLY, {"nightly": at(2)})
    assert schedules.due(at(3.01)) == ("nightly",)
    assert [schedules.due(civil_s) for civil_s in (at(2.01), at(3.0), at(3.02))] == [(), (), ()]
    assert schedules.due(at(28)) == ("nightly",)


class Due:
    """A sensor that shows what fell due."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    def observe(self, at_s: float) -> Observation:
        return observation(at_s, due=self._schedules.due(at_s))

    def start(self, order: Any) -> None:
        raise AssertionError("nothing may be started")


def life(journal: MemoryJournal, expressions: dict[str, str], *moments: float) -> list[tuple[str, ...]]:
    """What is due at each of `moments` in a life that begins with the first."""
    settings = Settings.model_validate({"schedules": expressions, "policies": [{"use": "idle"}]})
    sensor: Any = Due(Schedules(expressions, taken(journal, expressions, moments[0])))
    beginning = begin(journal, settings, moments[0])
    agent = assemble(
        settings, sensor=sensor, actuator=sensor, trainer=sensor, notifier=RecordingNotifier(), journal=journal, beginning=beginning
    )  # fmt: skip
    due = []
    for at_s in moments:
        agent.tick(at_s)
        assert agent.last_seen is not None
        due.append(agent.last_seen.due)
    return due


def test_what_falls_due_while_no_agent_runs_is_done_late_and_once() -> None:
    """Down from two to five: the night's retraining is due with the first look after it, and by no later life again."""
    journal = MemoryJournal()
    assert life(journal, NIGHTLY, at(1), at(2)) == [(), ()]
    assert life(journal, NIGHTLY, at(5), at(6)) == [("nightly",), ()]
    assert life(journal, NIGHTLY, at(7), at(8)) == [(), ()]
    assert life(journal, NIGHTLY, at(30)) == [("nightly",)]
    assert [entry.payload for entry in journal.kept if entry.kind == Kind.NOTE] == [
        {"note": "schedules_taken", "names": ["nightly"], "civil_s": at(5)},
        {"note": "schedules_taken", "names": ["nightly"], "civil_s": at(30)},
    ]
    assert replay(journal.kept).identical


@pytest.mark.parametrize("before", [{}, {"nightly": "0 4 * * *"}, {"other": "0 3 * * *"}])
def test_a_schedule_that_is_new_counts_from_now_on(before: dict[str, str]) -> None:
    """Nobody had asked for it last night; a changed one is new, too."""
    journal = MemoryJournal()
    life(journal, before, at(1), at(2))
    assert life(journal, NIGHTLY, at(5), at(27)) == [(), ("nightly",)]
