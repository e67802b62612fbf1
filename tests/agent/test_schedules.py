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
from policies.observation import Capacity, JobState, Observation, Resources, TrainingJob
from policies.testing import model, observation, rollout

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


@pytest.mark.parametrize("days", [1, 365])
def test_a_clock_that_was_far_ahead_for_ten_minutes_keeps_no_schedule_back_for_as_long(days: int) -> None:
    """Taken once by the wrong clock, which counts for the coming night; the night after is another one."""
    schedules = Schedules(NIGHTLY, {"nightly": at(1)})
    assert schedules.due(at(2)) == ()
    assert schedules.due(at(2) + days * 24 * HOUR_S) == ("nightly",)
    assert [schedules.due(civil_s) for civil_s in (at(2.2), at(3.1), at(26.9))] == [(), (), ()]
    assert [schedules.due(civil_s) for civil_s in (at(27), at(28), at(51))] == [("nightly",), (), ("nightly",)]


def test_a_clock_that_is_set_back_by_a_day_stops_no_hourly_schedule() -> None:
    """The hours are shown again, and pass: the coming one is the one that was taken."""
    schedules = Schedules({"hourly": "0 * * * *"}, {"hourly": at(11.5, day=2)})
    assert schedules.due(at(12, day=2)) == ("hourly",)
    assert [schedules.due(at(hour)) for hour in (12.5, 13, 14, 15)] == [(), (), ("hourly",), ("hourly",)]


@pytest.mark.parametrize("ahead_s", [HOUR_S, 24 * HOUR_S, 365 * 24 * HOUR_S])
def test_a_clock_that_was_ahead_in_the_life_before_takes_no_schedule_twice_and_loses_none(ahead_s: float) -> None:
    """Taken just after three by a clock that is set back before the agent is restarted."""
    journal = MemoryJournal()
    assert life(journal, NIGHTLY, at(1), at(2.5) + ahead_s) == [(), ("nightly",)]
    assert life(journal, NIGHTLY, at(2.6), at(3.1), at(27.1)) == [(), (), ("nightly",)]


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


SCHEDULED = Settings.model_validate(
    {
        "autonomy": {"default": "act"},
        "schedules": NIGHTLY,
        "policies": [{"use": "scheduled", "schedule": "nightly", "expires_s": 36 * HOUR_S}],
        "budget": {"retrainings_per_day": 5},
    }
)


class Nights:
    """Two models, of which one can be kept back by a rollout; a training that was ordered has succeeded, and is forgotten at ten."""

    def __init__(self) -> None:
        self.blocked = {"b"}
        self.ordered: list[tuple[float, str]] = []
        self.due: tuple[str, ...] = ()

    def observe(self, at_s: float) -> Observation:
        started_s = {name: begun_s for begun_s, name in self.ordered if at_s < at(10) or begun_s > at(10)}
        models = [
            model(
                name,
                rollout=rollout() if name in self.blocked else None,
                training=TrainingJob(id="1", state=JobState.SUCCEEDED, started_at_s=started_s[name]) if name in started_s else None,
            )
            for name in ("a", "b")
        ]  # fmt: skip
        due, self.due = self.due, ()
        room = Capacity(total=Resources(cpus=64.0), free=Resources(cpus=64.0))
        return observation(at_s, *models, due=due, capacity=room)

    def start(self, order: Any) -> None:
        self.ordered.append((order.issued_at_s, order.action.model))


def lives_on(journal: MemoryJournal, world: Any, *moments: float) -> None:
    beginning = begin(journal, SCHEDULED, moments[0])
    agent = assemble(
        SCHEDULED, sensor=world, actuator=world, trainer=world, notifier=RecordingNotifier(), journal=journal, beginning=beginning
    )  # fmt: skip
    for at_s in moments:
        agent.tick(at_s)


@pytest.mark.parametrize("restarts", [1, 3])
def test_a_schedule_that_was_taken_and_kept_back_is_owed_over_restarts(restarts: int) -> None:
    """Due at three while `b` is rolled out, which lasts for longer than `warm_start_s`: `b` is trained then, and `a`, which was, is not."""
    journal, world = MemoryJournal(), Nights()
    world.due = ("nightly",)
    lives_on(journal, world, at(3), at(3.01), at(3.02))
    for n in range(restarts):
        lives_on(journal, world, at(6.0 + n), at(6.01 + n))
    assert world.ordered == [(at(3), "a")]
    world.blocked.clear()
    lives_on(journal, world, at(11), at(11.01), at(11.02))
    assert world.ordered == [(at(3), "a"), (at(11), "b")]
    lives_on(journal, world, at(14), at(14.01))
    assert len(world.ordered) == 2
    assert replay(journal.kept).identical


def test_what_is_owed_expires_as_in_one_life() -> None:
    """The policy's own time counts from when it was due, however many lives lie between."""
    journal, world = MemoryJournal(), Nights()
    world.due = ("nightly",)
    lives_on(journal, world, at(3), at(3.01))
    world.blocked.clear()
    lives_on(journal, world, at(3.0 + 36.1), at(3.0 + 36.2))
    assert [name for _, name in world.ordered] == ["a"]
    assert replay(journal.kept).identical
