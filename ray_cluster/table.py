"""The traffic table of a model on a cluster: one keeper, and a follower in every replica.

The keeper is a detached actor without CPU. Replicas long-poll it, so that a change reaches all of them in some tens of milliseconds,
and tell it which revision they hold. It keeps the table in the cluster's key-value store, so that it survives its own death. A follower
goes on with the last good table while the keeper is away; the table's own time to live bounds how long a canary can stay open without
an agent.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import ray
import structlog
from ray.exceptions import RayError

from agent.codec import from_json, to_json
from agent.logs import configure
from agent.ports import Refused
from agent.traffic import TrafficTable
from ray_cluster import kv, names

log = structlog.get_logger()
NOTE_FORGOTTEN_S = 600.0
POLL_S = 10.0
ANSWER_S = 20.0
"""A keeper that says nothing for so long beyond POLL_S is looked for anew."""
RETRY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class ReplicaNote:
    """What a replica last told the keeper: which revision it holds, which version it serves, and what went wrong, if anything."""

    slot: str
    revision: int
    version: str
    at_s: float
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class TableSeen:
    table: TrafficTable | None = None
    notes: dict[str, ReplicaNote] = field(default_factory=dict)


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=3, max_concurrency=200)
class TableKeeper:
    """Holds the traffic table of one model."""

    def __init__(self, model: str) -> None:
        self._key = f"table:{model}"
        raw = kv.get(self._key)
        self._table = from_json(TrafficTable, json.loads(raw)) if raw else None
        configure()
        self._notes: dict[str, ReplicaNote] = {}
        self._heard_s: dict[str, float] = {}
        """When each replica was heard last, by a clock that nobody can set."""
        self._changed = asyncio.Condition()

    async def put(self, table: TrafficTable) -> None:
        """Replace the table. Raises Refused for a lower epoch, or for a revision that is not higher within one epoch."""
        held = self._table
        if held is not None and (table.epoch, table.revision) == (held.epoch, held.revision) and table == held:
            return
        if held is not None and (table.epoch < held.epoch or table.revision <= held.revision):
            raise Refused(
                f"the table is at epoch {held.epoch}, revision {held.revision}; refused epoch {table.epoch}, revision {table.revision}"
            )
        await self._hold(table)

    async def renew(self, expires_at_s: float, epoch: int) -> None:
        """Put off the end of the table's life; an agent of a lower epoch can not."""
        if self._table is not None and self._table.challenger is not None and epoch >= self._table.epoch:
            await self._hold(replace(self._table, expires_at_s=expires_at_s, epoch=epoch), renewed=True)

    async def get(self) -> TrafficTable | None:
        return self._table

    async def wait(self, held: TrafficTable | None, timeout_s: float) -> TrafficTable | None:
        """The table, as soon as it differs from `held`, or after `timeout_s`."""
        async with self._changed:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(lambda: self._table != held), timeout_s)
        return self._table

    async def acknowledge(self, slot: str, replica: str, revision: int, version: str, error: str | None = None) -> None:
        """A replica says what it holds."""
        note = ReplicaNote(slot=slot, revision=revision, version=version, at_s=time.time(), error=error)
        now_s = time.monotonic()
        self._heard_s = {k: v for k, v in self._heard_s.items() if now_s - v < NOTE_FORGOTTEN_S} | {replica: now_s}
        self._notes = {k: v for k, v in {**self._notes, replica: note}.items() if k in self._heard_s}

    async def seen(self) -> TableSeen:
        return TableSeen(table=self._table, notes=dict(self._notes))

    async def _hold(self, table: TrafficTable, *, renewed: bool = False) -> None:
        raw = json.dumps(to_json(table)).encode()
        async with self._changed:
            try:
                await asyncio.to_thread(kv.put, self._key, raw)
            except Exception as error:  # whoever put it hears of it; a canary must not end because the store is away
                if not renewed:
                    raise
                log.error("table_not_kept", model=table.model, reason=f"{type(error).__name__}: {error}")
            self._table = table
            self._changed.notify_all()


def keeper(model: str) -> Any:
    """The keeper of `model`'s table, made if there is none."""
    return TableKeeper.options(  # type: ignore[attr-defined]
        name=names.table_actor(model), namespace=names.NAMESPACE, lifetime="detached", get_if_exists=True
    ).remote(model)


class TableFollower:
    """Holds the newest table that a replica could get, and calls `changed` with each that differs. Runs inside an event loop."""

    def __init__(
        self,
        model: str,
        changed: Callable[[TrafficTable], Awaitable[None]],
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall, self._steady = wall, steady
        self._civil_ahead_s = wall() - steady()
        self._model = model
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self.table: TrafficTable | None = None
        self.keeper: Any = None

    def now_s(self) -> float:
        """Civil time as it has gone on since the table came: a clock that is set meanwhile makes no table live longer or shorter."""
        return self._steady() + self._civil_ahead_s

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._follow())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _follow(self) -> None:
        while True:
            try:
                if self.keeper is None:
                    self.keeper = await asyncio.to_thread(keeper, self._model)
                table = await asyncio.wait_for(self.keeper.wait.remote(self.table, POLL_S), POLL_S + ANSWER_S)
                if table is not None and table != self.table:
                    self._civil_ahead_s = self._wall() - self._steady()
                    self.table = table
                    await self._changed(table)
            except (RayError, ValueError, TimeoutError) as error:
                log.info("table_keeper_away", model=self._model, reason=type(error).__name__)
                self.keeper = None
                await asyncio.sleep(RETRY_S)
            except Exception:  # whoever stopped following would keep an old table for ever
                log.exception("table_not_followed", model=self._model)
                await asyncio.sleep(RETRY_S)
