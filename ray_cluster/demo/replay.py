"""The demo's client, in a process of its own: plays a stream over HTTP, open loop, and counts what came of every request.

Open loop: a request goes out when its time has come, however slow the answers are, and its latency counts from that time. It retries once
on a 5xx, a refused or a broken connection, as a production client would. Reads words on standard input, one JSON object a line
({"burst": {...}}, {"stop": true}), and tells once a second on standard output how it goes. What was answered to each row it writes
into a file at the end.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from ray_cluster.demo.pace import Batch, Pace
from ray_cluster.demo.rows import PlayedRows

TIMEOUT_S = 15.0
LABELS_EVERY_S = 0.25
GIVE_UP_WAITING_S = 20.0
FIRST_ERROR = 500


@dataclass(frozen=True, kw_only=True)
class ReplaySpec:
    """What to play and where to. `rows_file` is what `PlayedRows.save` wrote."""

    rows_file: str
    answers_file: str
    url: str
    requests_per_s: float
    rows_per_request: float
    slow_s: float


@dataclass
class Second:
    """What happened since the last report."""

    sent: int = 0
    failed: int = 0
    retried: int = 0
    slow: int = 0
    rows: int = 0
    latencies_s: list[float] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)


class Client:
    """Plays one stream. `play` returns when all rows were sent and answered, or it was told to stop."""

    def __init__(self, spec: ReplaySpec, rows: PlayedRows) -> None:
        self._spec = spec
        self._rows = rows
        self._pace = Pace(rows.at_s, rows.label_at_s, spec.requests_per_s, spec.rows_per_request)
        self._predictions = np.full(len(rows.at_s), np.nan)
        self._versions = np.zeros(len(rows.at_s), dtype=np.int32)
        self._second = Second()
        self._totals: Counter[str] = Counter()
        self._waiting_labels: list[int] = []
        self._running: set[asyncio.Task[None]] = set()
        self._position = 0
        self._stopped = False
        limits = httpx.Limits(max_connections=400, max_keepalive_connections=64)
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits)

    async def play(self) -> None:
        """Everything, from the first request to the file of answers."""
        words = asyncio.create_task(self._hear())
        reports = asyncio.create_task(self._report())
        labels = asyncio.create_task(self._send_labels())
        await self._send_rows()
        await self._settle()
        self._waiting_labels += self._pace.rest()
        labels.cancel()
        await self._post_labels()
        for task in (words, reports):
            task.cancel()
        self._save()
        self._tell(done=True)
        await self._http.aclose()

    async def _send_rows(self) -> None:
        began = time.monotonic()
        while not self._stopped and (batch := self._pace.next()) is not None:
            wait_s = began + batch.at_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._waiting_labels += batch.labels
            self._position = batch.last
            task = asyncio.create_task(self._ask(batch, due=began + batch.at_s))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _settle(self) -> None:
        if self._running:
            await asyncio.wait(set(self._running), timeout=GIVE_UP_WAITING_S)

    async def _ask(self, batch: Batch, due: float) -> None:
        sent_s = time.time()
        body = self._rows.body(batch.first, batch.last)
        answer, reason = await self._post(self._spec.url, body)
        latency_s = time.monotonic() - due
        self._second.sent += 1
        self._second.rows += batch.last - batch.first
        self._second.latencies_s.append(latency_s)
        self._second.slow += latency_s > self._spec.slow_s
        if answer is not None:
            reason = self._keep(batch, answer)
        if reason is not None:
            self._second.failed += 1
            self._second.failures.append({"at_s": sent_s, "ended_s": time.time(), "reason": reason})

    def _keep(self, batch: Batch, answer: Any) -> str | None:
        """Note the predictions; why the answer is none, where it is none."""
        given = answer.get("predictions", [])
        if len(given) != batch.last - batch.first:
            return f"{len(given)} predictions for {batch.last - batch.first} rows"
        missing = 0
        for row, one in enumerate(given, start=batch.first):
            version = one["version"]
            self._second.versions[version] += 1
            self._versions[row] = int(version)
            if one["prediction"] is None:
                missing += 1
            else:
                self._predictions[row] = one["prediction"]
        return f"{missing} rows were not predicted" if missing else None

    async def _post(self, url: str, body: bytes) -> tuple[Any | None, str | None]:
        """(answer, None), or (None, what was wrong) after one retry."""
        reason = ""
        for attempt in range(2):
            self._second.retried += attempt
            try:
                answer = await self._http.post(url, content=body, headers={"content-type": "application/json"})
            except httpx.TimeoutException:
                return None, f"no answer within {TIMEOUT_S:.0f} s"
            except httpx.TransportError as error:
                reason = f"{type(error).__name__}: {error}"
                continue
            if answer.status_code < FIRST_ERROR:
                return (answer.json(), None) if answer.is_success else (None, f"status {answer.status_code}")
            reason = f"status {answer.status_code}: {answer.text[:200]}"
        return None, reason

    async def _send_labels(self) -> None:
        while True:
            await asyncio.sleep(LABELS_EVERY_S)
            await self._post_labels()

    async def _post_labels(self) -> None:
        rows, self._waiting_labels = self._waiting_labels, []
        if not rows:
            return
        answer, reason = await self._post(f"{self._spec.url}/labels", self._rows.labels_body(rows))
        if answer is None:
            self._totals["labels_delayed"] += len(rows)
            self._waiting_labels = rows + self._waiting_labels
            print(f"labels: {reason}", file=sys.stderr)  # noqa: T201 - standard error is this process's log
        else:
            self._totals["labels"] += len(rows)

    async def _hear(self) -> None:
        words = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(words)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        while line := await words.readline():
            word = json.loads(line)
            if "burst" in word:
                self._pace.burst(**word["burst"])
            self._stopped = self._stopped or bool(word.get("stop"))
        self._stopped = True  # whoever started this process is gone

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._tell()

    def _tell(self, *, done: bool = False) -> None:
        second, self._second = self._second, Second()
        for name in ("sent", "failed", "retried", "slow", "rows"):
            self._totals[name] += getattr(second, name)
        p50_s, p99_s = np.quantile(second.latencies_s, [0.5, 0.99]) if second.latencies_s else (None, None)
        told = {
            "at_s": time.time(),
            "requests": second.sent,
            "p50_s": None if p50_s is None else float(p50_s),
            "p99_s": None if p99_s is None else float(p99_s),
            "versions": dict(second.versions),
            "position": self._position,
            "stream_at_s": float(self._rows.at_s[max(0, self._position - 1)]),
            "in_flight": len(self._running),
            "totals": dict(self._totals),
            "failures": second.failures,
            "done": done,
        }
        print(json.dumps(told), flush=True)  # noqa: T201 - standard output is how this process reports

    def _save(self) -> None:
        np.savez(self._spec.answers_file, predictions=self._predictions, versions=self._versions)


def main(spec_file: str) -> None:
    """Play what the file says."""
    spec = ReplaySpec(**json.loads(Path(spec_file).read_text()))
    asyncio.run(Client(spec, PlayedRows.load(spec.rows_file)).play())


def write_spec(spec: ReplaySpec, path: Path) -> None:
    path.write_text(json.dumps(asdict(spec)))


if __name__ == "__main__":
    main(sys.argv[1])
