"""The host of the agent, without a cluster: its pace, the steps of its clock, and the daily report."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.assembly import assemble
from agent.clock import AgentClock, Border
from agent.journal.life import begin
from agent.journal.record import Kind
from agent.journal.store import SqlJournal
from agent.schedules import Schedules
from agent.settings import Settings
from agent.testing import RecordingNotifier, ScriptedWorld
from policies.observation import Observation
from ray_cluster import host, life
from ray_cluster.host import AgentHost
from ray_cluster.life import Life

SETTINGS = Settings.model_validate(
    {"tick_s": 0.01, "schedules": {"report": "0 3 * * *"}, "policies": [{"use": "idle"}]}
)
BEFORE_THREE_S = 1_764_385_190.0
"""2025-11-29 02:59:50 UTC."""


class Quiet:
    """No cluster to export figures from."""

    def tick(self, *_: Any, **__: Any) -> None: ...

    def seen(self, *_: Any) -> None: ...


class Due(ScriptedWorld):
    schedules: Schedules

    def observe(self, at_s: float) -> Observation:
        return Observation(at_s=at_s, due=self.schedules.due(at_s))


class Machine:
    """Its two clocks, which the host reads in a thread of its own: both as they are at one moment."""

    def __init__(self) -> None:
        self.shows = self._read = (BEFORE_THREE_S, 100.0)

    def wall(self) -> float:
        self._read = self.shows
        return self._read[0]

    def steady(self) -> float:
        return self._read[1]

    def pass_(self, seconds: float, set_by: float = 0.0) -> None:
        self.shows = (self.shows[0] + seconds + set_by, self.shows[1] + seconds)


def a_life(journal: SqlJournal, notifier: RecordingNotifier, machine: Machine) -> Life:
    clock = AgentClock(machine.wall, machine.steady)
    world = Due()
    world.schedules = Schedules(SETTINGS.schedules, {"report": BEFORE_THREE_S})
    border = Border(clock, sensor=world, actuator=world, trainer=world)
    agent = assemble(
        SETTINGS, sensor=border, actuator=border.actuator, trainer=border.trainer, notifier=notifier, journal=journal,
        beginning=begin(journal, SETTINGS, clock.now()),
    )  # fmt: skip
    still: Any = SimpleNamespace(renew=lambda at_s: None, look=lambda at_s, frozen: None)
    return Life(clock, agent, still, still, journal)


async def until(claim: Any) -> None:
    """Waits until `claim()` is true; fails after 20 s."""
    deadline_s = time.monotonic() + 20.0
    while not claim():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.01)


def test_an_agent_goes_on_over_a_step_of_the_clock_and_writes_its_report_when_it_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set back by an hour, it ticks on and tells people once; at three by the new time the report is written, once."""
    monkeypatch.chdir(tmp_path)
    notifier, machine = RecordingNotifier(), Machine()
    journal = SqlJournal(f"sqlite:///{tmp_path}/journal.db")
    monkeypatch.setattr(host, "Figures", Quiet)
    monkeypatch.setattr(host, "_notifier", lambda variables: notifier)
    monkeypatch.setattr(life, "begun", lambda *_, **__: a_life(journal, notifier, machine))
    actor = AgentHost.__ray_metadata__.modified_class  # type: ignore[attr-defined]
    seen: list[int] = []

    async def play() -> None:
        agent = actor(SETTINGS.model_dump(mode="json"), "http://127.0.0.1:8265", str(tmp_path))
        await until(lambda: agent._ticks >= 2)
        machine.pass_(5.0, set_by=-3600.0)
        seen.append(agent._ticks)
        await until(lambda: agent._ticks >= seen[0] + 3)
        assert not (tmp_path / "reports").exists()
        machine.pass_(3600.0 + 10.0)
        await until(lambda: list((tmp_path / "reports").glob("*.md")))
        ticks = agent._ticks
        await until(lambda: agent._ticks >= ticks + 2)
        await agent.stop()

    asyncio.run(play())
    assert [alert.subject for alert in notifier.alerts] == ["clock"]
    assert [file.name for file in (tmp_path / "reports").glob("*.md")] == ["2025-11-29.md"]
    moments = [entry.at_s for entry in journal.entries(kinds=(Kind.OBSERVED,))]
    assert moments == sorted(moments)
    notes = [entry.payload["note"] for entry in journal.entries(kinds=(Kind.NOTE,))]
    assert notes == ["clock_step", "schedules_taken"]


@pytest.mark.parametrize("ends", [SystemExit, GeneratorExit, asyncio.CancelledError, RuntimeError])
def test_nothing_that_a_part_raises_ends_the_ticks_and_people_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: type[BaseException]
) -> None:
    """A sensor that raises at every look, with other words each time; the agent waits, and goes on when it is well again."""
    monkeypatch.chdir(tmp_path)
    notifier, machine = RecordingNotifier(), Machine()
    journal = SqlJournal(f"sqlite:///{tmp_path}/journal.db")
    monkeypatch.setattr(host, "Figures", Quiet)
    monkeypatch.setattr(host, "_notifier", lambda variables: notifier)
    lived = a_life(journal, notifier, machine)
    monkeypatch.setattr(life, "begun", lambda *_, **__: lived)
    observe, looks, well = lived.agent._sensor.observe, [0], [False]

    def look(at_s: float) -> Observation:
        looks[0] += 1
        if not well[0]:
            raise ends(f"look {looks[0]} at postgresql://agent:secret@db/{looks[0]}")
        return observe(at_s)

    monkeypatch.setattr(lived.agent, "_sensor", SimpleNamespace(observe=look))
    actor = AgentHost.__ray_metadata__.modified_class  # type: ignore[attr-defined]

    async def play() -> None:
        agent = actor(SETTINGS.model_dump(mode="json"), "http://127.0.0.1:8265", str(tmp_path))
        await until(lambda: looks[0] >= 5)
        assert "a tick that does not fail" in agent._waiting
        assert "secret" not in agent._waiting
        well[0] = True
        await until(lambda: agent._ticks >= 2)
        assert agent._waiting == ""
        await agent.stop()

    asyncio.run(play())
    assert [alert.subject for alert in notifier.alerts] == [SETTINGS.name]
    assert ends.__name__ in notifier.alerts[0].text
    assert "secret" not in notifier.alerts[0].text
