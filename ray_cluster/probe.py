"""Probe: one line in any deployment. Answers first; what it was told travels in batches, off the path of the request.

`record` appends to a bounded buffer and returns: no lock is waited for, no exception reaches the request. When the buffer is full, or the
shard is away for long, rows are dropped and counted, the oldest first. A batch has a number and is sent until the shard has taken it; the
shard takes each number once, so that a row counts once although an answer was lost or late.
"""

import math
import threading
import time
import uuid
from collections import Counter as Counts
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
import structlog
from ray.exceptions import RayError, RayTaskError
from ray.util.metrics import Counter

from agent.monitoring.intake import FEATURES, NAMES_CARRIED, OVERFLOWED, Intake
from agent.monitoring.rows import Answered, Labelled, Served
from ray_cluster import names

log = structlog.get_logger()
FLUSH_S = 0.25
SEND_TIMEOUT_S = 5.0
RETRY_S = 0.5
BUFFER_ROWS = 20_000


@dataclass(frozen=True)
class _Batch:
    """What is on its way to the shard."""

    number: int
    rows: list[Served]
    answers: list[Answered]
    labels: list[Labelled]
    overflowed: int
    refused: dict[str, int]
    """What was not sent, or not as it came, by reason."""


class Probe:
    """Tells the monitor shard of `model` what a replica answered.

    `buffer_rows` bounds what waits: rows and requests alike. `make_shard` is for models that no agent has set a shard up for (level L1).
    """

    def __init__(
        self,
        model: str,
        *,
        version: str = "",
        replica: str | None = None,
        buffer_rows: int = BUFFER_ROWS,
        flush_s: float = FLUSH_S,
        make_shard: bool = True,
    ) -> None:
        self.model = model
        self._version = version
        self._replica = replica or _replica_id()
        self._rows: deque[Served] = deque(maxlen=buffer_rows)
        self._answers: deque[Answered] = deque(maxlen=buffer_rows)
        self._labels: deque[Labelled] = deque(maxlen=buffer_rows)
        self._intake = Intake(NAMES_CARRIED, first_rows=math.inf)
        self._elsewhere: Counts[str] = Counts()
        self._told: Counts[str] = Counts()
        self._source = uuid.uuid4().hex
        self._batches = 0
        self._under_way: _Batch | None = None
        self._recorded = 0
        self._taken = 0
        self.sent = 0
        self.dropped = 0
        self.refused = 0
        """Calls of `record` with features that are no mapping."""
        self._make_shard = make_shard
        self._shard: Any = None
        self._flush_s = flush_s
        self._closed = threading.Event()
        self._until_s = 0.0
        self._thread = threading.Thread(target=self._run, name=f"probe-{model}", daemon=True)
        self._thread.start()

    def record(
        self,
        *,
        key: str,
        features: Mapping[str, Any],
        prediction: float | None,
        latency_s: float | None = 0.0,
        version: str | None = None,
    ) -> None:
        """One row as it was answered, in a request of its own. Under a microsecond or two; never raises, never waits.

        What is no mapping of features is dropped and counted in `refused`; what else can not be taken in is dropped before it is sent,
        and the monitors tell how much of it there was, and why.
        """
        now_s = time.time()
        served = version if version is not None else self._version
        try:
            row = Served(key, now_s, dict(features), prediction, latency_s, served, self._replica)
        except Exception:  # the request has its answer; a mistake in telling of it must not cost it
            self.refused += 1
            return
        self.rows_answered([row], Answered(self._replica, served, now_s, latency_s, prediction is not None))

    def rows_answered(self, rows: list[Served], request: Answered | None = None) -> None:
        """Rows of one request, and the request. For servers that batch."""
        self._recorded += len(rows)
        self._rows.extend(rows)
        if request is not None:
            self._answers.append(request)

    def label(self, key: str, truth: float) -> None:
        """The truth about the row `key`, whenever it is known. Never raises; what is no number is counted by the monitors."""
        if len(self._labels) == self._labels.maxlen:
            self._elsewhere[OVERFLOWED] += 1
        self._labels.append(Labelled(key, time.time(), truth))

    def refuse(self, reason: str) -> None:
        """Something was refused before it became a row or a label; the monitors count it."""
        self._elsewhere[reason] += 1

    def close(self, timeout_s: float = 30.0) -> None:
        """Send what waits and stop; give up after `timeout_s`."""
        self._until_s = time.monotonic() + timeout_s
        self._closed.set()
        self._thread.join(timeout=timeout_s + SEND_TIMEOUT_S)

    def _run(self) -> None:
        tags = {"model": self.model}
        sent = Counter("homeostat_probe_rows_sent", "Rows that probes sent", tag_keys=("model",))
        lost = Counter("homeostat_probe_rows_dropped", "Rows that probes dropped", tag_keys=("model",))
        while not self._closed.wait(self._flush_s):
            before = (self.sent, self.dropped)
            self._flush()
            for counter, count in ((sent, self.sent - before[0]), (lost, self.dropped - before[1])):
                if count:
                    counter.inc(count, tags)
        self._flush()
        while (self._under_way or self._rows or self._labels) and time.monotonic() < self._until_s:
            time.sleep(RETRY_S)
            self._flush()

    def _flush(self) -> None:
        batch = self._under_way = self._under_way or self._next()
        if batch is None:
            return
        try:
            taking = self._find().rows.remote(
                batch.rows, batch.answers, batch.overflowed, batch.labels,
                refused=batch.refused, source=self._source, number=batch.number,
            )  # fmt: skip
            ray.get(taking, timeout=SEND_TIMEOUT_S)
        except RayTaskError as error:
            self._give_up(batch, str(error.cause))
        except (RayError, ValueError, TimeoutError) as error:
            self._shard = None
            log.info("monitor_shard_away", model=self.model, reason=type(error).__name__)
        except Exception as error:  # such as features that can not be pickled: this thread has to live on
            self._give_up(batch, f"{type(error).__name__}: {error}")
        else:
            self.sent += len(batch.rows)
            self._under_way = None

    def _give_up(self, batch: _Batch, reason: str) -> None:
        """Sent again it would fail again, and all that waits behind it would be lost."""
        self.dropped += len(batch.rows)
        self._under_way = None
        log.error("rows_refused", model=self.model, rows=len(batch.rows), reason=reason)

    def _next(self) -> _Batch | None:
        """All that waits, and how many rows the buffer could not keep; None where there is nothing."""
        rows, answers, labels = _drain(self._rows), _drain(self._answers), _drain(self._labels)
        recorded = self._recorded
        overflowed = max(0, recorded - self._taken - len(rows) - len(self._rows))
        self._taken = recorded - len(self._rows)
        self.dropped += overflowed
        sound = [row for each in rows if (row := self._intake.row(each)) is not None]
        self.dropped += len(rows) - len(sound)
        answers = [answer for each in answers if (answer := self._intake.answer(each)) is not None]
        labels = [label for each in labels if (label := self._intake.label(each)) is not None]
        refused = self._newly_refused()
        if not (sound or answers or labels or refused or overflowed):
            return None
        self._batches += 1
        return _Batch(self._batches, sound, answers, labels, overflowed, refused)

    def _newly_refused(self) -> dict[str, int]:
        now = self._intake.refused + self._elsewhere + Counts({FEATURES: self.refused})
        new = now - self._told
        self._told = now
        return dict(new)

    def _find(self) -> Any:
        if self._shard is None:
            if self._make_shard:
                # Detectors are heavy to import, and most replicas find a shard that an agent has made.
                from agent.settings import DriftSettings  # noqa: PLC0415
                from ray_cluster.monitor_shard import ensure_shard  # noqa: PLC0415

                self._shard = ensure_shard(self.model, DriftSettings(), follow=False)
            else:
                self._shard = ray.get_actor(names.shard_actor(self.model), names.NAMESPACE)
        return self._shard


def _drain(buffer: deque[Any]) -> list[Any]:
    """Everything in `buffer` now; what other threads append meanwhile stays for the next time."""
    return [buffer.popleft() for _ in range(len(buffer))]


def _replica_id() -> str:
    from ray import serve  # noqa: PLC0415 - only a replica has one

    try:
        return str(serve.get_replica_context().replica_id.unique_id)
    except serve.exceptions.RayServeException:
        return ray.get_runtime_context().get_worker_id()[:12]
