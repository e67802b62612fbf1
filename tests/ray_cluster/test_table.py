"""Following the traffic table: whatever goes wrong once, the next table is heard."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from agent.traffic import TrafficTable, live
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


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_a_clock_that_is_set_makes_a_canary_live_neither_longer_nor_shorter(step_s: float) -> None:
    """Its agent is dead: half a minute after the last table it is over, by what has passed; a table that comes goes by the new time."""
    clock = SimpleNamespace(wall_s=10_000.0, steady_s=5.0)
    canary = replace(numbered(1), challenger="2", share=0.5)
    tables = iter([replace(canary, expires_at_s=10_030.0), replace(canary, revision=2, expires_at_s=10_060.0 + step_s)])

    async def wait(held: TrafficTable | None, timeout_s: float) -> TrafficTable:
        return next(tables)

    async def changed(fresh: TrafficTable) -> None:
        raise asyncio.CancelledError  # one table at a time

    follower = TableFollower("m", changed, wall=lambda: clock.wall_s, steady=lambda: clock.steady_s)
    follower.keeper = SimpleNamespace(wait=SimpleNamespace(remote=wait))

    def after(passed_s: float) -> bool:
        clock.wall_s += passed_s
        clock.steady_s += passed_s
        assert follower.table is not None
        return live(follower.table, follower.now_s())

    def hears() -> None:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(follower._follow())

    hears()
    assert after(10.0)
    clock.wall_s += step_s
    assert after(10.0)
    assert not after(11.0)
    hears()
    assert after(28.0)
    assert not after(2.0)
