"""The client of the demo, a process of its own: plays the stream over HTTP, and posts labels when they are known.

Reads commands as JSON lines from standard input ({"burst": true}, {"rows_per_s": 100.0, "until": 5000}), writes one JSON line a second to
standard output, and at the end the predictions that it was given to PREDICTIONS. The stream stands still at row `until`, and while too
many of its requests wait for their answers: a slow machine makes the stream slow, not late. A request is tried once more after a 5xx or a
broken connection, as production clients do.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd

SLOW_S = 0.5
TIMEOUT_S = 30.0
WAITING_MAX = 16
"""While so many of its requests have no answer yet the stream stands still: two seconds of them."""
BURST_CALLERS = 20
"""In a burst so many callers ask again as soon as they are answered: a load that a slow machine and a fast one feel alike."""
BURST_ROWS = 8
BURST_PAUSE_S = 0.005
FAILURES_KEPT = 1000


@dataclass
class Tally:
    """What happened so far, and in the current second."""

    sent: int = 0
    failed: int = 0
    retried: int = 0
    slow: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    second_sent: int = 0

    def line(self, at_s: float, row: int, stream_at_s: float) -> dict[str, Any]:
        """The figures of the second that ends now, which begins anew."""
        p50, p95 = np.quantile(self.latencies, [0.5, 0.95]) if self.latencies else (None, None)
        line = {
            "at_s": at_s, "row": row, "stream_at_s": stream_at_s, "sent": self.sent, "failed": self.failed,
            "retried": self.retried, "slow": self.slow, "rate_rps": self.second_sent, "p50_s": p50, "p95_s": p95,
            "versions": dict(self.versions), "failures": self.failures,
        }  # fmt: skip
        self.second_sent, self.latencies, self.versions, self.failures = 0, [], Counter(), []
        return line


class Client:
    """Plays `frame` in `requests_per_s` requests a second, as many rows in each as the pace wants that it was told."""

    def __init__(self, url: str, frame: pd.DataFrame, columns: list[str], *, requests_per_s: float) -> None:
        self._url = url
        self._frame = frame
        self._every_s = 1.0 / requests_per_s
        self._tally = Tally()
        self._burst = False
        self._rows_per_s = 0.0
        self._until = 0
        self._played = 0.0
        """Rows that are due by now, with the part of the next one."""
        self._row = 0
        self._waiting = 0
        # JSON has no NaN: a value that is missing is null on the wire.
        self._records = frame[columns].astype(object).where(frame[columns].notna(), None).to_dict(orient="records")
        self._keys = frame["key"].tolist()
        self._at_s = frame["at_s"].to_numpy()
        known = frame["label"].notna().to_numpy()
        order = np.argsort(frame["label_at_s"].to_numpy()[known], kind="stable")
        self._label_at_s = frame["label_at_s"].to_numpy()[known][order]
        self._labels = list(
            zip(frame["key"][known].to_numpy()[order], frame["label"][known].to_numpy()[order], strict=True)
        )
        self._labelled = 0
        self._untold: list[dict[str, Any]] = []
        self.predictions = np.full(len(frame), np.nan)
        self._index = {key: i for i, key in enumerate(self._keys)}

    async def play(self) -> None:
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        async with httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits) as http:
            began = time.monotonic()
            tasks: set[asyncio.Task[None]] = set()
            said, number, bursting, looked = began, 0, False, began
            self._say()  # whoever listens knows that it has begun
            while self._row < len(self._keys):
                now = time.monotonic()
                self._advance(now - looked)
                looked = now
                upto = int(self._played)
                self._spawn(tasks, self._play_rows(http, self._row, upto))
                self._row = upto
                if self._burst and not bursting:
                    for caller in range(BURST_CALLERS):
                        self._spawn(tasks, self._storm(http, f"#{number}.{caller}"))
                bursting = self._burst
                self._spawn(tasks, self._tell(http))
                if time.monotonic() - said >= 1.0:
                    said = time.monotonic()
                    self._say()
                number += 1
                await asyncio.sleep(max(0.0, began + number * self._every_s - time.monotonic()))
            self._burst = False
            if tasks:
                await asyncio.wait(tasks, timeout=TIMEOUT_S * 2)
            await self._tell(http)
            self._say()

    async def listen(self) -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            told = json.loads(line)
            self._burst = bool(told.get("burst", self._burst))
            self._rows_per_s = float(told.get("rows_per_s", self._rows_per_s))
            self._until = min(len(self._keys), int(told.get("until", self._until)))

    def _advance(self, passed_s: float) -> None:
        """The rows that are due after `passed_s` more, as far as the stream may go by now. What was missed is not made up for."""
        if self._waiting < WAITING_MAX:
            due = self._played + self._rows_per_s * min(passed_s, 2.0 * self._every_s)
            self._played = max(self._played, min(float(self._until), due))

    @staticmethod
    def _spawn(tasks: set[asyncio.Task[None]], work: Any) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _play_rows(self, http: httpx.AsyncClient, start: int, end: int) -> None:
        self._waiting += 1
        try:
            await self._ask(http, start, end)
        finally:
            self._waiting -= 1

    async def _storm(self, http: httpx.AsyncClient, caller: str) -> None:
        asked = 0
        while self._burst:
            start = max(0, self._row - BURST_ROWS)
            await self._ask(http, start, start + BURST_ROWS, again=f"{caller}.{asked}")
            asked += 1
            await asyncio.sleep(BURST_PAUSE_S)

    async def _ask(self, http: httpx.AsyncClient, start: int, end: int, again: str = "") -> None:
        """Ask for rows [start, end). `again` makes keys of their own for questions that are asked once more."""
        if end <= start:
            return
        rows = [{"key": self._keys[i] + again, "features": self._records[i]} for i in range(start, end)]
        self._tally.sent += 1
        self._tally.second_sent += 1
        began = time.monotonic()
        answer = await self._post(http, "/", {"rows": rows})
        took_s = time.monotonic() - began
        self._tally.latencies.append(took_s)
        self._tally.slow += took_s > SLOW_S
        if answer is None:
            return
        for predicted in answer["predictions"]:
            self._tally.versions[predicted["version"]] += 1
            if not again and predicted["prediction"] is not None:
                self.predictions[self._index[predicted["key"]]] = predicted["prediction"]

    async def _post(
        self, http: httpx.AsyncClient, path: str, body: dict[str, Any], *, counted: bool = True
    ) -> dict[str, Any] | None:
        """The answer, after one retry at most; None where both tries failed."""
        began_s = time.time()
        reason = ""
        for attempt in range(2):
            try:
                answer = await http.post(self._url + path, json=body)
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    answer.raise_for_status()
                    good: dict[str, Any] = answer.json()
                    return good
                reason = f"{answer.status_code} {answer.text[:120]}"
            except httpx.HTTPError as error:
                reason = f"{type(error).__name__}: {error}"
            self._tally.retried += attempt == 0 and counted
        if not counted:
            return None
        self._tally.failed += 1
        if len(self._tally.failures) < FAILURES_KEPT:
            self._tally.failures.append({"at_s": began_s, "ended_s": time.time(), "reason": reason})
        return None

    async def _tell(self, http: httpx.AsyncClient) -> None:
        """Post the labels that are known by now, in the stream's time."""
        now_s = self._at_s[min(self._row, len(self._at_s) - 1)]
        upto = int(np.searchsorted(self._label_at_s, now_s, side="right"))
        batch, self._labelled = self._labels[self._labelled : upto], upto
        self._untold += [{"key": key, "label": float(label)} for key, label in batch]
        if self._untold:
            telling, self._untold = self._untold, []
            if await self._post(http, "/labels", {"labels": telling}, counted=False) is None:
                self._untold = telling + self._untold  # a label is told until somebody took it

    def _say(self) -> None:
        line = self._tally.line(time.time(), self._row, float(self._at_s[min(self._row, len(self._at_s) - 1)]))
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


async def _main(config: dict[str, Any]) -> None:
    frame = pd.read_parquet(config["frame"])
    client = Client(config["url"], frame, config["columns"], requests_per_s=config["requests_per_s"])
    listening = asyncio.create_task(client.listen())
    await client.play()
    listening.cancel()
    pd.DataFrame({"key": frame["key"], "prediction": client.predictions}).to_parquet(config["predictions"])


if __name__ == "__main__":
    asyncio.run(_main(json.loads(Path(sys.argv[1]).read_text())))
