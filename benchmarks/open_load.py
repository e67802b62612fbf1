"""Open-loop load with an absolute schedule: who is slow is not asked more gently.

A request is due when the schedule says so, whatever became of those before it, and its latency counts from when it was due. How late this
process itself was is kept apart, so that a busy client is not taken for a slow service.
"""

import asyncio
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx
import numpy as np

TIMEOUT_S = 30.0
GRAIN_S = 0.25
"""While rates move they are taken as steady for so long."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Requests per second by application, for `duration_s`; reached within its first `moving_s`, evenly, from those before."""

    duration_s: float
    rates_rps: Mapping[str, float]
    moving_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One request. All times in seconds since the start; `latency_s` from when it was due; not `ok` also where nobody answered."""

    application: str
    due_s: float
    lag_s: float
    latency_s: float
    ok: bool


def schedule(phases: Sequence[Phase], seed: int) -> list[tuple[float, str]]:
    """(due_s, application), in order: a Poisson process per application, one random stream for each."""
    names = sorted({name for phase in phases for name in phase.rates_rps})
    due: list[tuple[float, str]] = []
    for name, stream in zip(names, np.random.SeedSequence(seed).spawn(len(names)), strict=True):
        drawn = np.random.default_rng(stream)
        for begin_s, end_s, rate_rps in _steady(phases, name):
            count = drawn.poisson(rate_rps * (end_s - begin_s))
            due += [(at_s, name) for at_s in drawn.uniform(begin_s, end_s, count).tolist()]
    return sorted(due)


def _steady(phases: Sequence[Phase], name: str) -> Iterator[tuple[float, float, float]]:
    """(begin_s, end_s, rate_rps): the rate of one application in pieces in which it is as good as steady."""
    began_s = 0.0
    before_rps = phases[0].rates_rps.get(name, 0.0)
    for phase in phases:
        rate_rps = phase.rates_rps.get(name, 0.0)
        pieces = math.ceil(phase.moving_s / GRAIN_S)
        for n in range(pieces):
            middle_rps = before_rps + (rate_rps - before_rps) * (n + 0.5) / pieces
            grain_s = phase.moving_s / pieces
            yield began_s + n * grain_s, began_s + (n + 1) * grain_s, middle_rps
        yield began_s + phase.moving_s, began_s + phase.duration_s, rate_rps
        began_s += phase.duration_s
        before_rps = rate_rps


async def ask(urls: Mapping[str, str], due: Sequence[tuple[float, str]]) -> list[Answer]:
    """Send every request when it is due; all answers, in order of what was due."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits) as http:
        began = time.perf_counter()

        async def one(due_s: float, name: str) -> Answer:
            lag_s = time.perf_counter() - began - due_s
            try:
                ok = (await http.get(urls[name])).status_code == httpx.codes.OK
            except httpx.HTTPError:
                ok = False
            return Answer(name, due_s, lag_s, time.perf_counter() - began - due_s, ok)

        tasks = []
        for due_s, name in due:
            await asyncio.sleep(max(0.0, due_s - (time.perf_counter() - began)))
            tasks.append(asyncio.create_task(one(due_s, name)))
        return list(await asyncio.gather(*tasks))
