"""Following the traffic table: whatever goes wrong once, the next table is heard."""

import asyncio
from types import SimpleNamespace

import pytest

from agent.traffic import TrafficTable
from ray_cluster import table
from ray_cluster.table import TableFollower


def numbered(revision: int) -> TrafficTable:
    return TrafficTable(model="m", epoch=1, revision=revision, champion="1", champion_digest="d")


def test_a_follower_that_could_not_take_one_table_hears_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that stopped following would route by an old table for ever, and nobody would see it."""
    monkeypatch.setattr(table, "RETRY_S", 0.0)
    tables = iter([numbered(1), numbered(2)])
    heard: list[int] = []

    async def wait(held: TrafficTable | None, timeout_s: float) -> TrafficTable:
        fresh = next(tables, None)
        if fresh is None:
            await asyncio.sleep(3600)
        return fresh

    async def changed(fresh: TrafficTable) -> None:
        heard.append(fresh.revision)
        if fresh.revision == 1:
            raise KeyError("a bug in whoever listens")

    async def follow() -> None:
        follower = TableFollower("m", changed)
        follower.keeper = SimpleNamespace(wait=SimpleNamespace(remote=wait))
        follower.start()
        for _ in range(100):
            await asyncio.sleep(0)
        follower.stop()

    asyncio.run(follow())
    assert heard == [1, 2]
