"""Following the traffic table: whatever goes wrong once, the next table is heard."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from agent.ports import Refused
from agent.traffic import TrafficTable, live
from ray_cluster import kv, table
from ray_cluster.table import ReplicaNote, TableFollower, TableKeeper, TableSeen


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


def test_a_follower_whose_keeper_hangs_looks_for_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is gone says nothing, not even that."""
    monkeypatch.setattr(table, "RETRY_S", 0.0)
    monkeypatch.setattr(table, "POLL_S", 0.0)
    monkeypatch.setattr(table, "ANSWER_S", 0.01)
    heard: list[int] = []

    async def hangs(held: TrafficTable | None, timeout_s: float) -> TrafficTable:
        await asyncio.sleep(3600)
        return numbered(1)

    async def answers(held: TrafficTable | None, timeout_s: float) -> TrafficTable:
        return numbered(2)

    async def changed(fresh: TrafficTable) -> None:
        heard.append(fresh.revision)

    monkeypatch.setattr(table, "keeper", lambda model: SimpleNamespace(wait=SimpleNamespace(remote=answers)))

    async def follow() -> None:
        follower = TableFollower("m", changed)
        follower.keeper = SimpleNamespace(wait=SimpleNamespace(remote=hangs))
        follower.start()
        async with asyncio.timeout(30):
            while not heard:
                await asyncio.sleep(0)
        follower.stop()

    asyncio.run(follow())
    assert heard == [2]


class Kept:
    """The key-value store of a keeper, which may be away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: dict[str, bytes] = {}
        self.away = False
        monkeypatch.setattr(kv, "get", self.rows.get)
        monkeypatch.setattr(kv, "put", self.put)

    def put(self, key: str, value: bytes) -> None:
        if self.away:
            raise OSError("the store is away")
        self.rows[key] = value

    def keeper(self) -> Any:
        """One more life of the keeper."""
        return TableKeeper.__ray_metadata__.modified_class("m")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    return Kept(monkeypatch)


def test_a_keeper_takes_higher_revisions_and_epochs_only_and_outlives_its_death(kept: Kept) -> None:
    """The same table again is no news; an agent that was replaced changes nothing."""

    async def play() -> None:
        keeper = kept.keeper()
        await keeper.put(numbered(2))
        await keeper.put(numbered(2))
        for late in (numbered(1), replace(numbered(3), epoch=0), replace(numbered(2), champion="9")):
            with pytest.raises(Refused, match="the table is at epoch 1, revision 2"):
                await keeper.put(late)
        assert await kept.keeper().get() == numbered(2)

    asyncio.run(play())


def test_a_table_that_can_not_be_kept_is_not_put_but_a_canary_is_renewed(kept: Kept) -> None:
    """Who puts one hears of it; the store being away is no reason to end a canary that an agent watches."""
    canary = replace(numbered(1), challenger="2", challenger_digest="e", expires_at_s=5.0)

    async def play() -> None:
        keeper = kept.keeper()
        await keeper.put(canary)
        kept.away = True
        with pytest.raises(OSError, match="the store is away"):
            await keeper.put(replace(canary, revision=2))
        assert await keeper.get() == canary
        await keeper.renew(9.0, epoch=0)
        assert await keeper.get() == canary
        await keeper.renew(9.0, epoch=3)
        assert await keeper.get() == replace(canary, expires_at_s=9.0, epoch=3)

    asyncio.run(play())


def test_a_keeper_answers_a_change_at_once_and_remembers_what_replicas_said(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For ten minutes: those that are gone say nothing more."""
    now_s = [0.0]
    for clock in ("time", "monotonic"):
        monkeypatch.setattr(table.time, clock, lambda: now_s[0])

    async def play() -> None:
        keeper = kept.keeper()
        assert await keeper.wait(None, 0.0) is None
        waiting = asyncio.create_task(keeper.wait(None, 3600.0))
        await asyncio.sleep(0)
        await keeper.put(numbered(1))
        assert await waiting == numbered(1)
        await keeper.acknowledge("champion", "a", 1, "1")
        now_s[0] = 700.0
        await keeper.acknowledge("champion", "b", 1, "1", "OSError: gone")
        note = ReplicaNote(slot="champion", revision=1, version="1", at_s=700.0, error="OSError: gone")
        assert await keeper.seen() == TableSeen(table=numbered(1), notes={"b": note})

    asyncio.run(play())
