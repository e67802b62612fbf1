"""The request kernel: every request of one deployment, exactly, between the rare events of its world.

A `RequestKernel` knows arrivals, routing, bounded queues, service, batches, retries, time-outs and what replicas do to them. It knows
no cluster, no clock of its own and no agent: its world calls `advance` up to the next rare event (a scale, a fault, a tick), changes
what the event changes, and goes on. Memory grows with the requests in the system at one time, not with those that have passed.

How a request goes: client -> router (if any) -> queue of the deployment -> replica -> overhead and network delay -> router
(if any) -> client. A client whose request was dropped, failed or timed out sends it again after its backoff, `retries` times at most.
Times are simulated seconds and `advance` must not go back. One seed gives one course of events, however it is cut into calls.
"""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulators.compilation import cached, fingerprint
from simulators.draws import streams
from simulators.replicas import emptied, set_slowness
from simulators.request_counters import Bin, Counters, ReplicaCounters, bin_of
from simulators.request_flow import evict, observe, play, rearranged
from simulators.request_memory import bind
from simulators.request_records import (
    ABSENT,
    ACTIVE,
    COUNTED,
    DRAINING,
    GONE,
    ROUTINGS,
    SHARED_QUEUE,
    WAITING,
    Station,
    vacant,
    with_more_bins,
    with_more_rows,
    with_more_slots,
)
from simulators.service import Service, Tokens, packed

Routing = Literal["power_of_two", "round_robin", "shared_queue", "least_loaded"]

_VERSION = fingerprint(
    "draws",
    "replicas",
    "request_flow",
    "request_lists",
    "request_memory",
    "request_outcomes",
    "request_records",
    "request_routing",
    "requests",
    "service",
    "sketch",
)
_PLAYED, _ADDED, _DRAINED, _CRASHED, _HANDED_BACK, _SLOWED = range(6)
_FIRST_SLOTS, _FIRST_ROWS, _FIRST_BINS = 256, 8, 8
_WHOLE = (*COUNTED, "queued", "ongoing")
_SECONDS = ("at_s", "latency_sum_s", "lost_latency_sum_s", "queued_integral", "ongoing_integral")
_NONE = np.empty(0)
_UNBOUNDED = 2**62


@cached
def _run(state, arrivals, marks, begin, until_s, what, row, value, version=_VERSION):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Everything up to `until_s`, or one change now. Both are made of the same functions, so they are compiled as one, once."""
    k = state[0]
    if what == _PLAYED:
        return play(k, arrivals, marks, begin, until_s)
    t = k.now_s
    if what == _SLOWED:
        set_slowness(k, row, value, t)
        return 0
    if what == _DRAINED:
        emptied(k, row)
    elif what != _ADDED:
        evict(k, row, what == _CRASHED, t)
    rearranged(k, t)
    return 0


@cached
def _observe(state, rows, whole, seconds, each, each_s, version=_VERSION):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    observe(state[0], rows, whole, seconds, each, each_s)


class RequestKernel:
    """One deployment.

    service                 how long a replica works on one request; `Tokens` takes the time that comes with each request
    routing                 see `simulators.request_routing`; with "shared_queue" a replica takes a request only to serve it at once
    max_ongoing_requests    the most that one replica holds, in service and before it
    concurrency             the most (or batches) that one replica serves at a time; 1 is a model that computes, as many
                            as it holds is a model that waits for an accelerator
    max_queued_requests     a request that finds more than so many waiting (besides what the dispatcher holds) is dropped;
                            -1: none is. Serve's own `max_queued_requests=n` drops what finds n waiting, which is n - 1 here
    probe_s                 how long a router waits to hear from full replicas how much they hold, with "power_of_two"
    refusal_s               how long a request is away that a full replica refuses, one after the other; None: as long as `probe_s`
    dispatcher_holds        so many more are held between queue and replicas
    router                  one sequential server that handles each request once on its way in and once on its way out
    overhead                added to each answer on its way out, without queueing: Serve's proxy
    batch_max, batch_wait_s, batch_growth   a free replica waits so long for so many; the time is that of one request
                            (given times: of the longest) * (1 + batch_growth * (size - 1))
    timeout_s               a client's patience for one attempt, None: endless. Work that has begun is finished unseen
    retries, retry_backoff_s    how often a client sends again what was dropped, failed or timed out, and after what pause
    slo_s                   an answer is late when its latency is greater
    seed                    five streams are spawned from it: service, routing, router, overhead, errors
    bin_s, bin_sketches     width of the bins of `closed_bins`, and whether each keeps its sketch (26 kB)
    """

    def __init__(
        self,
        *,
        service: Service,
        routing: Routing = "power_of_two",
        max_ongoing_requests: int = 5,
        concurrency: int = 1,
        max_queued_requests: int = -1,
        dispatcher_holds: int = 0,
        probe_s: float = 0.0,
        refusal_s: float | None = None,
        router: Service | None = None,
        overhead: Service | None = None,
        batch_max: int = 1,
        batch_wait_s: float = 0.0,
        batch_growth: float = 0.0,
        timeout_s: float | None = None,
        retries: int = 0,
        retry_backoff_s: float = 0.0,
        slo_s: float = math.inf,
        seed: np.random.SeedSequence,
        bin_s: float = 60.0,
        bin_sketches: bool = False,
    ) -> None:
        _check_counts(
            max_ongoing_requests=(max_ongoing_requests, 1),
            concurrency=(concurrency, 1),
            batch_max=(batch_max, 1),
            max_queued_requests=(max_queued_requests, -1),
            dispatcher_holds=(dispatcher_holds, 0),
            retries=(retries, 0),
        )
        chosen = _place_of(routing)
        self._hold(_empty(seed, service, router, overhead))
        self._set(
            routing=chosen,
            concurrency=concurrency,
            held_max=_held_max(chosen, max_ongoing_requests, concurrency * batch_max),
            waiting_max=max_queued_requests + dispatcher_holds if max_queued_requests >= 0 else _UNBOUNDED,
            batch_max=batch_max,
            retries=retries,
            routed=router is not None,
        )
        self._set_seconds(
            batch_wait_s=batch_wait_s,
            batch_growth=batch_growth,
            timeout_s=math.inf if timeout_s is None else timeout_s,
            backoff_s=retry_backoff_s,
            slo_s=slo_s,
            bin_s=bin_s,
            probe_s=probe_s,
            refusal_s=probe_s if refusal_s is None else refusal_s,
        )
        self._marked = isinstance(service, Tokens)
        self._shuffled = chosen == ROUTINGS.index("round_robin")
        self._bin_sketches = bin_sketches
        self._begin(seed)

    def _begin(self, seed: np.random.SeedSequence) -> None:
        """Without replicas, and with nothing to tell."""
        # the order in which round robin goes about is chance too, but drawn between calls
        self._order = np.random.default_rng(seed.spawn(1)[0])
        self._rows: dict[int, int] = {}
        self._drained: list[int] = []
        self._closed: list[Bin] = []
        self._reach_s = 0.0

    # -- replicas ------------------------------------------------------------------------------------------------

    def add_replica(self, id: int) -> None:  # noqa: A002 - the word of the domain
        """A replica that is ready now. ValueError when there is one of this id."""
        if id in self._rows:
            raise ValueError(f"there is a replica {id} already")
        free = np.flatnonzero(self._k.replicas["phase"] == ABSENT)
        if len(free) == 0:
            free = np.array([len(self._k.replicas)])
            self._hold(with_more_rows(self._k))
        row = int(free[0])
        fresh = self._k.replicas[row : row + 1]
        fresh[:] = np.zeros(1, fresh.dtype)
        fresh["id"], fresh["phase"], fresh["slowness"], fresh["batch_due_s"] = id, ACTIVE, 1.0, math.inf
        fresh["area_at_s"] = self.now_s
        self._k.replica_sketches[row] = 0
        self._rows[id] = row
        self._rearrange(_ADDED, row)

    def drain_replica(self, id: int) -> None:  # noqa: A002
        """No new requests; what it holds is finished, and then it is gone, as `drained` tells. KeyError: no such replica."""
        row = self._rows[id]
        if self._k.replicas[row]["phase"] == ACTIVE:
            self._k.replicas[row]["phase"] = DRAINING
            self._rearrange(_DRAINED, row)

    def remove_replica(self, id: int, *, lose: bool = True) -> None:  # noqa: A002
        """A crash: what it held fails, or (lose=False) waits again, first in the queue. KeyError: no such replica."""
        row = self._rows.pop(id)
        self._k.replicas[row]["phase"] = GONE
        self._rearrange(_CRASHED if lose else _HANDED_BACK, row)
        self._k.replicas[row]["phase"] = ABSENT

    def set_speed(self, id: int, factor: float) -> None:  # noqa: A002
        """Service times are multiplied by `factor` from now on, work under way included; inf: it takes and never answers."""
        if not factor > 0:
            raise ValueError(f"factor must be > 0, not {factor!r}")
        self._change(_SLOWED, self._rows[id], float(factor))

    def set_error_rate(self, id: int, p: float) -> None:  # noqa: A002
        """A share of the replica's answers are errors: the request has failed."""
        if not 0 <= p <= 1:
            raise ValueError(f"p must be in 0..1, not {p!r}")
        self._k.replicas["error_rate"][self._rows[id]] = p

    def drained(self) -> list[int]:
        """Replicas that have finished draining since this was last asked; they are gone."""
        if self._k.state["gone"][0]:
            self._collect()
        told, self._drained = self._drained, []
        return told

    def replicas(self) -> list[int]:
        """Ids of the replicas that are ready or draining, in ascending order."""
        self._collect()
        return sorted(self._rows)

    # -- time ----------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return float(self._k.state["now_s"][0])

    @property
    def network_delay_s(self) -> float:
        """Added to every answer from now on."""
        return float(self._k.state["network_delay_s"][0])

    @network_delay_s.setter
    def network_delay_s(self, seconds: float) -> None:
        self._set_seconds(network_delay_s=seconds)

    def advance(self, arrivals: NDArray[np.float64], until_s: float, marks: NDArray[np.float64] | None = None) -> None:
        """Everything that happens up to `until_s`.

        `arrivals` are the times of all requests from now until before `until_s`, ascending. `marks` are their service times in seconds
        (at speed 1) where these come with the request. ValueError: out of order, out of range, or marks missing.
        """
        self._check(arrivals, self.now_s, until_s, marks)
        given = _NONE if marks is None else np.ascontiguousarray(marks, dtype=np.float64)
        times = np.ascontiguousarray(arrivals, dtype=np.float64)
        begin, stop_s = 0, -math.inf
        while stop_s < until_s:
            stop_s = self._reach(until_s)
            end = len(times) if stop_s == until_s else int(np.searchsorted(times, stop_s))
            while (begin := _run(self._k.state, times[:end], given, begin, stop_s, _PLAYED, 0, 0.0)) >= 0:
                self._hold(with_more_slots(self._k))
            begin = end

    # -- what was seen -------------------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Requests that wait in the queue of the deployment now; as in a snapshot, without its cost."""
        return int(self._k.lists["length"][WAITING])

    def snapshot(self) -> Counters:
        """All counts from the start until now. The arrays in it are copies."""
        k = self._k
        rows = self._alive()
        whole, seconds = np.empty(len(COUNTED) + 2, np.int64), np.empty(5)
        each, each_s = np.empty((4, len(rows)), np.int64), np.empty((2, len(rows)))
        _observe(k.state, rows, whole, seconds, each, each_s)
        return Counters(
            **dict(zip(_WHOLE, whole.tolist(), strict=True)),
            **dict(zip(_SECONDS, seconds.tolist(), strict=True)),
            sketch=k.sketch.copy(),
            replicas=ReplicaCounters(
                ids=each[0],
                ongoing=each[1],
                completed=each[2],
                errors=each[3],
                latency_sum_s=each_s[0],
                ongoing_integral=each_s[1],
                sketches=k.replica_sketches[rows],
            ),
        )

    def closed_bins(self, *, final: bool = False) -> list[Bin]:
        """Bins of first arrival that can change no more, in order of time, each given once.

        `final` gives all others too: what is still in the system counts as `unfinished` and as infinitely late.
        """
        self._close(final=final)
        given, self._closed = self._closed, []
        return given

    # -- inside --------------------------------------------------------------------------------------------------

    def _hold(self, station: Station) -> None:
        self._k = station
        bind(station)

    def _set(self, **settings: int) -> None:
        for name, value in settings.items():
            self._k.state[name] = value

    def _set_seconds(self, **settings: float) -> None:
        for name, value in settings.items():
            if math.isnan(value) or value < 0 or (value == 0 and name in ("bin_s", "timeout_s")):
                raise ValueError(
                    f"{name} must be a number {'> 0' if name in ('bin_s', 'timeout_s') else '>= 0'}, not {value!r}"
                )
            self._k.state[name] = value

    def _rearrange(self, what: int, row: int) -> None:
        """The set of replicas that take requests has changed."""
        rows = np.array([r for r in self._rows.values() if self._k.replicas["phase"][r] == ACTIVE], np.int64)
        if self._shuffled:
            rows = self._order.permutation(rows)
        self._k.candidate_rows[: len(rows)] = rows
        self._set(candidates=len(rows), turn=0)
        self._change(what, row, 0.0)

    def _change(self, what: int, row: int, value: float) -> None:
        _run(self._k.state, _NONE, _NONE, 0, 0.0, what, row, value)

    def _alive(self) -> NDArray[np.int64]:
        """Rows of the replicas that are ready or draining."""
        if self._k.state["gone"][0]:
            self._collect()
        return np.fromiter(self._rows.values(), np.int64, len(self._rows))

    def _collect(self) -> None:
        for id_, row in list(self._rows.items()):
            if self._k.replicas["phase"][row] == GONE:
                del self._rows[id_]
                self._drained.append(id_)
                self._k.replicas["phase"][row] = ABSENT
        self._set(gone=0)

    def _check(
        self, arrivals: NDArray[np.float64], now_s: float, until_s: float, marks: NDArray[np.float64] | None
    ) -> None:
        if not now_s <= until_s < math.inf:
            raise ValueError(f"until_s must be a time from {now_s} on, not {until_s!r}")
        if len(arrivals) and not now_s <= arrivals[0] <= arrivals[-1] < until_s:
            raise ValueError(
                f"arrivals must ascend within {now_s} <= t < {until_s}, not {arrivals[0]} .. {arrivals[-1]}"
            )
        if self._marked and marks is None and len(arrivals):
            raise ValueError("this service takes its times from the marks of the requests, and there are none")
        if marks is not None and marks.shape != arrivals.shape:
            raise ValueError(f"{len(arrivals)} arrivals need as many marks, not an array of shape {marks.shape}")

    def _reach(self, until_s: float) -> float:
        """How far the ring of bins reaches, at most `until_s`. It grows only when more than half of it is still open."""
        if until_s < self._reach_s:
            return until_s
        self._close(final=False)
        width = float(self._k.state["bin_s"][0])
        first, ring = int(self._k.state["first_bin"][0]), len(self._k.bins)
        if self.now_s / width - first > ring / 2:
            self._hold(with_more_bins(self._k, 2 * ring))
            ring *= 2
        # one bin is left over, so that no rounding of a time near the end leads beyond the ring
        self._reach_s = (first + ring - 1) * width
        return min(until_s, self._reach_s)

    def _close(self, *, final: bool) -> None:
        k = self._k
        number, width = int(k.state["first_bin"][0]), float(k.state["bin_s"][0])
        end = self.now_s / width
        while number < end if final else number + 1 <= end:
            place = number & (len(k.bins) - 1)
            if k.bins["open"][place] and not final:
                break
            self._closed.append(
                bin_of(number * width, k.bins[place], k.bin_sketches[place], sketches=self._bin_sketches)
            )
            k.bins[place : place + 1] = np.zeros(1, k.bins.dtype)
            k.bin_sketches[place] = 0
            number += 1
        k.state["first_bin"] = number
        if final:
            self._reach_s = 0.0


def _empty(seed: np.random.SeedSequence, *services: Service | None) -> Station:
    """A station that takes so long at its replicas, in its router and on the way out, with five streams of chance out of `seed`."""
    records, table = packed(*services)
    return vacant(
        services=records,
        table=table,
        streams=streams(*seed.spawn(5)),
        slots=_FIRST_SLOTS,
        rows=_FIRST_ROWS,
        bins=_FIRST_BINS,
    )


def _place_of(routing: str) -> int:
    if routing not in ROUTINGS:
        raise ValueError(f"routing must be one of {', '.join(ROUTINGS)}, not {routing!r}")
    return ROUTINGS.index(routing)


def _held_max(routing: int, ongoing_max: int, served_max: int) -> int:
    """From a shared queue a replica takes no more than it serves at once."""
    return min(served_max, ongoing_max) if routing == SHARED_QUEUE else ongoing_max


def _check_counts(**counts: tuple[Any, int]) -> None:
    for name, (value, least) in counts.items():
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number >= {least}, not {value!r}")


__all__ = ["Bin", "Counters", "ReplicaCounters", "RequestKernel", "Routing", "Station"]
