"""The agent's host in a cluster where nothing answers but the key-value store: it ticks, says what is away, and makes nothing unsaid."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.journal.controls import said
from agent.journal.record import Kind
from agent.journal.store import SqlJournal
from agent.settings import Settings
from agent.testing import RecordingNotifier
from policies.observation import Version
from ray_cluster import actuator, host, kv, life, sensor
from ray_cluster.managed import Missing

NOTHING_LISTENS = "http://127.0.0.1:1"
ALL = Missing(champion=Version(number="3", digest="d", created_at_s=0.0), parts=("shard", "table", "application"))


def away(*given: Any, **more: Any) -> Any:
    raise OSError("nothing answers")


async def never(every_s: float, tick: Any) -> None:
    """Ticks come from the test."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were made; each look finds everything missing."""
    names: list[str] = []
    held: dict[str, bytes] = {}
    monkeypatch.setattr(kv, "get", held.get)
    monkeypatch.setattr(kv, "create", lambda key, value: key not in held and held.update({key: value}) is None)
    monkeypatch.setattr(kv, "keys", lambda prefix: tuple(key for key in held if key.startswith(prefix)))
    for where, what in ((actuator, "keeper"), (sensor, "_ask_keeper"), (sensor, "_ask_shard")):
        monkeypatch.setattr(where, what, away)
    for what in ("read_capacity", "read_groups"):
        monkeypatch.setattr(sensor, what, away)
    monkeypatch.setattr(life, "metrics_addresses", away)
    monkeypatch.setattr(host, "every", never)
    monkeypatch.setattr(host, "configure", lambda: None)
    monkeypatch.setattr(life, "missing", lambda *given: ALL)
    monkeypatch.setattr(life, "make", lambda settings, name, *rest: names.append(name))
    return names


def ticked(folder: Path, words: list[dict[str, Any]]) -> tuple[SqlJournal, RecordingNotifier]:
    """Three ticks of a host, after people said `words`."""
    journal = SqlJournal(f"sqlite:///{folder}/journal.db")
    journal.append([(Kind.CONTROL, 0.0, word) for word in words])
    settings = Settings.model_validate(
        {
            "models": {"m": {}},
            "journal": {"url": f"sqlite:///{folder}/journal.db"},
            "registry": {"tracking_uri": f"sqlite:///{folder}/mlflow.db"},
            "data_log": {"url": f"{folder}/data"},
        }
    )
    notifier = RecordingNotifier()

    async def play() -> None:
        actor = host.AgentHost.__ray_metadata__.modified_class
        running = actor(settings.model_dump(mode="json"), NOTHING_LISTENS, str(folder))
        running._notifier = notifier
        for _ in range(3):
            await asyncio.to_thread(running._tick_once, 0.0)
            for future in running._life.upkeep._looks.values():
                future.exception(timeout=10)
        await running.stop()

    asyncio.run(play())
    return journal, notifier


def test_a_host_ticks_in_a_cluster_where_nothing_answers(tmp_path: Path, made: list[str]) -> None:
    """Every part is named; what shall be made is in the journal first."""
    journal, _ = ticked(tmp_path, [])
    problems = journal.last(Kind.OBSERVED).payload["problems"]
    assert {each.partition(":")[0] for each in problems} == {
        "Serve", "placement groups", "metrics", "capacity", "model m",
    }  # fmt: skip
    assert [entry.payload["makes"] for entry in journal.entries(kinds=(Kind.NOTE,))] == [list(ALL.parts)]
    assert made == ["m"]


@pytest.mark.parametrize(
    ("word", "told"),
    [("freeze", ["shard, table, application would be made, but a person has frozen all changes"]), ("kill", [])],
)
def test_nothing_is_made_while_people_have_stopped_it(
    tmp_path: Path, made: list[str], word: Any, told: list[str]
) -> None:
    """Frozen, it looks and tells; killed, it does not even look."""
    journal, notifier = ticked(tmp_path, [said(word, by="ann")])
    assert [alert.text.partition("again: ")[2] for alert in notifier.alerts if alert.subject == "m"] == told
    assert ([*journal.entries(kinds=(Kind.NOTE,))], made) == ([], [])
