"""The load of `benchmarks.fidelity`: open loop, by an absolute schedule, from a process of its own. Knows no Ray.

A request is due when the schedule says so, whatever became of those before it, and its latency counts from then. How late the client
itself was is kept apart: a case in which it was too late is not measurable.
"""

import asyncio
import gc
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
import numpy as np

TIMEOUT_S = 60.0
SHORTEST, MEDIAN_ABOVE, SHAPE = 60, 80.0, 0.5
"""Tokens of a request: SHORTEST + a lognormal number. At 1 ms each 151 ms on average, 60 ms at least, 95 % under 243 ms."""


@dataclass(frozen=True, slots=True)
class Request:
    application: str
    due_s: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """`latency_s` from when it was due; `served_s` as its replica measured it, NaN where there was no good answer."""

    request: Request
    lag_s: float
    latency_s: float
    served_s: float

    @property
    def ok(self) -> bool:
        return not math.isnan(self.served_s)


def poisson(application: str, pieces: Sequence[tuple[float, float]], seed: int) -> list[Request]:
    """Requests of one application, in order; `pieces` are (duration_s, rate_rps) one after the other."""
    drawn = np.random.default_rng([seed, *application.encode()])
    due_s: list[float] = []
    began_s = 0.0
    for duration_s, rate_rps in pieces:
        count = drawn.poisson(rate_rps * duration_s)
        due_s += (began_s + np.sort(drawn.uniform(0.0, duration_s, count))).tolist()
        began_s += duration_s
    tokens = SHORTEST + drawn.lognormal(np.log(MEDIAN_ABOVE), SHAPE, len(due_s)).astype(int)
    return [Request(application, at_s, int(n)) for at_s, n in zip(due_s, tokens, strict=True)]


def play(http_url: str, requests: Sequence[Request], begin_at_s: float) -> list[Answer]:
    """Send every request at `begin_at_s` (Unix time) and its due time; all answers. For a process of its own."""
    gc.disable()
    return asyncio.run(_play(http_url, sorted(requests, key=lambda each: each.due_s), begin_at_s))


async def _play(http_url: str, requests: Sequence[Request], begin_at_s: float) -> list[Answer]:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(TIMEOUT_S)) as http:
        began = time.perf_counter() + begin_at_s - time.time()
        tasks = []
        for each in requests:
            await asyncio.sleep(max(0.0, began + each.due_s - time.perf_counter()))
            tasks.append(asyncio.create_task(_ask(http, f"{http_url}/{each.application}", each, began + each.due_s)))
        return list(await asyncio.gather(*tasks))


async def _ask(http: aiohttp.ClientSession, url: str, request: Request, due: float) -> Answer:
    lag_s = time.perf_counter() - due
    served_s = float("nan")
    try:
        async with http.get(url, params={"tokens": request.tokens}) as answer:
            text = await answer.text()
            if answer.status == HTTPStatus.OK:
                served_s = float(text)
    except (aiohttp.ClientError, TimeoutError):
        pass
    return Answer(request, lag_s, time.perf_counter() - due, served_s)


@dataclass
class Machine:
    """What share of the processors' time was idle or taken by other guests, between two looks at /proc/stat."""

    before: tuple[int, ...] = ()

    def begin(self) -> "Machine":
        self.before = _jiffies()
        return self

    def shares(self) -> Mapping[str, float]:
        spent = [now - then for now, then in zip(_jiffies(), self.before, strict=True)]
        whole = max(1, sum(spent))
        return {"idle": round((spent[3] + spent[4]) / whole, 3), "steal": round(spent[7] / whole, 3)}


def _jiffies() -> tuple[int, ...]:
    """user, nice, system, idle, iowait, irq, softirq, steal, all processors together."""
    with open("/proc/stat", encoding="ascii") as file:
        return tuple(int(each) for each in file.readline().split()[1:9])
