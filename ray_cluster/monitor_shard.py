"""Monitor shard: the detectors of one model, in an actor near the rows. Also keeps the data log.

It learns who is champion and challenger from the traffic table, so that a shard that was restarted finds out by itself.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
import structlog

from agent.logs import configure
from agent.monitoring.model_monitor import ModelMonitor
from agent.monitoring.rows import Answered, Labelled, Served
from agent.settings import DriftSettings
from agent.traffic import TrafficTable
from policies.imports import Packages
from policies.observation import Comparison, Report, Traffic
from ray_cluster import kv, names
from ray_cluster.datalog import DataLog
from ray_cluster.table import TableFollower

log = structlog.get_logger()
SOURCES_KEPT = 10_000
WAITING_MAX = 500_000
"""Rows kept in memory while the data log can not be written; the oldest go first, counted."""
UNLOGGED = "row or label was given up, since the data log could not be written for long"


@ray.remote(num_cpus=0, max_restarts=-1, max_concurrency=50)
class MonitorShard:
    """Takes in what probes send, and answers the sensor."""

    def __init__(
        self,
        model: str,
        drift: DriftSettings,
        data_url: str | None,
        flush_s: float,
        follow: bool,
        *,
        allowed: Packages = (),
    ) -> None:
        configure()
        self._model = model
        self._drift = _kept(model) or drift
        self._monitor = ModelMonitor(self._drift, allowed)
        self._log = DataLog(data_url, model) if data_url is not None else None
        self._settling = asyncio.Lock()
        self._dropped = 0
        self._refused: Counter[str] = Counter()
        self._unlogged = 0
        self._taken: OrderedDict[str, int] = OrderedDict()
        loop = asyncio.get_running_loop()
        self._flusher = loop.create_task(self._flush(flush_s)) if self._log is not None else None
        self._follower = TableFollower(model, self._heard)
        if follow:
            self._follower.start()

    async def rows(
        self,
        batch: Sequence[Served],
        answered: Sequence[Answered] = (),
        dropped: int = 0,
        labels: Sequence[Labelled] = (),
        *,
        refused: Mapping[str, int] | None = None,
        source: str = "",
        number: int = 0,
    ) -> None:
        """Rows, requests and labels as a probe sends them; `dropped` is how many rows it could not keep, `refused` what it did not send.

        A batch that was taken is not taken again: its probe had given up waiting for the answer. `number` counts up within `source`.
        """
        if source and number <= self._taken.get(source, 0):
            return
        self._dropped += dropped
        self._refused.update(refused or {})
        self._monitor.now(time.time())
        self._monitor.answered(answered)
        taken = self._monitor.rows(batch)
        if self._log is not None:
            self._log.rows(taken)
        await self.labels(labels)
        if source:
            self._taken[source] = number
            self._taken.move_to_end(source)
            if len(self._taken) > SOURCES_KEPT:
                self._taken.popitem(last=False)

    async def labels(self, batch: Sequence[Labelled]) -> None:
        self._monitor.now(time.time())
        taken = self._monitor.labels(batch)
        if self._log is not None:
            self._log.labels(taken)

    async def settle(self, drift: DriftSettings, allowed: Packages = ()) -> bool:
        """Watch as `drift` says from now on; whether that is another way than before. Then all that is watched begins anew.

        It is kept on the cluster: Ray would start a shard that died with what it was first told.
        """
        async with self._settling:  # one after the other, or the one that is kept is not the one that is watched
            if drift == self._drift:
                return False
            # In a thread, and with a time-out: a store that is silent must not keep the sensor waiting.
            await asyncio.to_thread(kv.put, _kv_key(self._model), drift.model_dump_json().encode())
            self._refused.update(self._monitor.refused)
            self._drift, self._monitor = drift, ModelMonitor(drift, allowed)
        if self._follower.table is not None:
            await self._heard(self._follower.table)
        log.info("monitors_begin_anew", model=self._model, reason="the configuration says another drift")
        return True

    async def report(self, at_s: float) -> Report:
        return self._report(at_s)

    def _report(self, at_s: float) -> Report:
        """What the monitors say, with what was lost before it reached them and after."""
        found = self._monitor.report(at_s)
        refused = Counter(found.refused) + self._refused
        if self._log is not None:
            refused += self._log.refused
        if self._unlogged:
            refused[UNLOGGED] = self._unlogged
        return replace(found, dropped_rows=self._dropped, refused=dict(sorted(refused.items())))

    async def seen(self, at_s: float) -> tuple[Report, Comparison | None, Mapping[str, Traffic]]:
        """All that the sensor asks for, in one call."""
        return self._report(at_s), self._monitor.comparison(at_s), self._monitor.traffic(at_s)

    async def counts(self) -> dict[str, int]:
        """What was dropped, rejected, unknown or duplicate, for whoever looks after the monitors."""
        monitor = self._monitor
        return {
            "dropped_rows": self._dropped,
            "unlogged_rows": self._unlogged,
            "rejected_rows": monitor.rejected_rows,
            "unknown_labels": monitor.unknown_labels,
            "duplicate_labels": monitor.duplicate_labels,
            "forgotten_rows": monitor.forgotten_rows,
        }

    async def flush(self) -> None:
        """Write the data log now, in a thread: a store that is slow must not keep the sensor waiting."""
        if self._log is not None:
            await asyncio.to_thread(self._log.flush)

    async def _heard(self, table: TrafficTable) -> None:
        self._monitor.reset(table.champion)
        self._monitor.stage(table.challenger, table.share)

    async def _flush(self, flush_s: float) -> None:
        while True:
            await asyncio.sleep(flush_s)
            try:
                await self.flush()
            except Exception as error:  # what waits is written with the next flush; the monitors do not depend on it
                lost = self._log.drop_oldest(WAITING_MAX) if self._log is not None else 0
                self._unlogged += lost
                log.error("data_log_away", model=self._model, reason=f"{type(error).__name__}: {error}", lost=lost)


def _kept(model: str) -> DriftSettings | None:
    """What the shard of `model` was told last, where that is not what it was first told.

    None too where the store does not say so in time: a shard that raised would never be made again, and the next look at what must run
    tells this one what to watch.
    """
    try:
        raw = kv.get(_kv_key(model))
        return DriftSettings.model_validate_json(raw) if raw else None
    except Exception as error:  # the store is away, or it was written by another version of this package
        log.warning("kept_drift_unreadable", model=model, reason=str(error))
        return None


def _kv_key(model: str) -> str:
    return f"drift:{model}"


def ensure_shard(
    model: str,
    drift: DriftSettings,
    *,
    data_url: str | None = None,
    flush_s: float = 5.0,
    follow: bool = True,
    allowed: Packages = (),
) -> Any:
    """The shard of `model`, made if there is none. `follow` where the model has a traffic table (level L2).

    `allowed` are the packages whose detectors may be named by import path.
    """
    return MonitorShard.options(  # type: ignore[attr-defined]
        name=names.shard_actor(model), namespace=names.NAMESPACE, lifetime="detached", get_if_exists=True
    ).remote(model, drift, data_url, flush_s, follow, allowed=allowed)


def label(model: str, key: str, truth: float) -> None:
    """Tell the shard of `model` the truth about one row, from anywhere on the cluster. Raises ValueError where there is no shard."""
    shard = ray.get_actor(names.shard_actor(model), names.NAMESPACE)
    shard.labels.remote([Labelled(key=key, at_s=time.time(), label=truth)])
