"""A plain queue, fast: one line, first come first served, c servers, nothing that breaks or gives up.

The waiting times follow from the moments at which the servers become free, without any event: a request begins at the later of
its arrival and the earliest of these (Kiefer and Wolfowitz, 1955). `waits` is that recursion; `SharedQueue` feeds it with drawn
service times and keeps a sketch, so that its memory does not grow. Everything richer is `simulators.requests`.
"""

import numpy as np
from numpy.typing import NDArray

from simulators.compilation import cached, compiled, fingerprint
from simulators.draws import streams
from simulators.service import Service, Tokens, draw, packed
from simulators.sketch import FINE, FINE_BITS, bucket

_VERSION = fingerprint("draws", "request_waiting", "service", "sketch")


@compiled
def _begin(free_s: NDArray[np.float64], arrival_s: float, work_s: float) -> float:
    """When the work begins. `free_s` is a binary heap: its first entry is replaced and sinks to its place."""
    begin_s = max(arrival_s, free_s[0])
    end_s = begin_s + work_s
    n = len(free_s)
    i = 0
    child = 1
    while child < n:
        if child + 1 < n and free_s[child + 1] < free_s[child]:
            child += 1
        if end_s <= free_s[child]:
            break
        free_s[i] = free_s[child]
        i = child
        child = 2 * i + 1
    free_s[i] = end_s
    return begin_s


@cached
def _waits(free_s, arrivals, services, out, version=_VERSION):  # type: ignore[no-untyped-def]
    for i in range(len(arrivals)):
        out[i] = _begin(free_s, arrivals[i], services[i]) - arrivals[i]
    return version


@cached
def _pass(free_s, arrivals, service, table, stream, sums, sketch, slo_s, version=_VERSION):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    for arrival_s in arrivals:
        work_s = draw(service[0], table, stream[0])
        wait_s = _begin(free_s, arrival_s, work_s) - arrival_s
        latency_s = wait_s + work_s
        sums[0] += 1
        sums[1] += latency_s
        sums[2] += latency_s > slo_s
        sums[3] += wait_s
        sketch[bucket(latency_s, FINE_BITS)] += 1
    return version


def waits(
    arrivals: NDArray[np.float64],
    services: NDArray[np.float64],
    servers: int,
    *,
    free_s: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """How long each request waits before its work begins, shape (requests,), for ascending arrivals.

    `free_s`, a heap of when the servers become free, is carried on from call to call where it is given.
    """
    if len(arrivals) != len(services):
        raise ValueError(f"{len(arrivals)} arrivals need as many service times, not {len(services)}")
    out = np.empty(len(arrivals))
    _waits(np.zeros(servers) if free_s is None else free_s, arrivals, services, out)
    return out


class SharedQueue:
    """`servers` servers behind one line, service times drawn; counts and a sketch of the latencies (wait and service)."""

    def __init__(self, *, service: Service, servers: int, slo_s: float = np.inf, seed: np.random.SeedSequence) -> None:
        if servers < 1:
            raise ValueError(f"servers must be >= 1, not {servers}")
        if isinstance(service, Tokens):
            raise ValueError("service times by tokens come with each request: use `waits`")
        self._free_s = np.zeros(servers)
        self._service, self._table = packed(service)
        self._stream = streams(seed)
        self._sums = np.zeros(4)
        self._slo_s = slo_s
        self.sketch = np.zeros(FINE, np.int64)

    def advance(self, arrivals: NDArray[np.float64]) -> None:
        """The next requests, at ascending times, not before those of the call before."""
        _pass(self._free_s, arrivals, self._service, self._table, self._stream, self._sums, self.sketch, self._slo_s)

    @property
    def served(self) -> int:
        return int(self._sums[0])

    @property
    def latency_sum_s(self) -> float:
        return float(self._sums[1])

    @property
    def late(self) -> int:
        return int(self._sums[2])

    @property
    def wait_sum_s(self) -> float:
        return float(self._sums[3])
