"""What the request kernel remembers: records in preallocated arrays, so that compiled code can change them in place.

No behaviour is here. A request in the system has a slot in `requests`; slots are used again. A replica has a row in `replicas`.
Times are absolute simulated seconds. Lists run through the slots (`next`, `previous`), so no queue has a size of its own.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulators.sketch import COARSE, FINE


def _numbers(count: int) -> tuple[np.int64, ...]:
    """0, 1, ... of one plain type: numba compiles a function anew for each literal that it is called with."""
    return tuple(map(np.int64, range(count)))


POWER_OF_TWO, ROUND_ROBIN, SHARED_QUEUE, LEAST_LOADED = _numbers(4)
ROUTINGS = ("power_of_two", "round_robin", "shared_queue", "least_loaded")

# where a request is
VACANT, IN_ROUTER, IN_QUEUE, AT_REPLICA, IN_SERVICE, ANSWERED, ROUTED_BACK, BACKING_OFF = _numbers(8)
# what became of it
ANSWER, DROP, FAILURE, TIMEOUT = _numbers(4)
# what a replica does
ABSENT, ACTIVE, DRAINING, GONE = _numbers(4)
# fixed lists; the queue of the replica in row r is list REPLICA_LISTS + r
WAITING, ROUTER, BACKOFF, DEADLINES, REPLICA_LISTS = _numbers(5)
# services, and streams of chance in the order in which they are spawned from the kernel's seed
MODEL, PROXY, OVERHEAD = _numbers(3)
SERVICE_STREAM, ROUTING_STREAM, ROUTER_STREAM, OVERHEAD_STREAM, ERROR_STREAM = _numbers(5)

NOBODY = np.int64(-1)
"""No slot, no task, no replica, where one is handed to a function."""

TASKS = 50
"""The most routing tasks that Ray Serve 2.60 runs at a time (RequestRouter.max_num_routing_tasks_cap)."""

COUNTED = ("arrived", "sent", "completed", "dropped", "failed", "timed_out", "late")

STATE = np.dtype(
    [(name, "i8") for name in COUNTED]
    + [
        (name, "i8")
        for name in ("held", "free", "scheduled", "gone", "candidates", "turn", "tasks", "unrouted", "first_bin")
    ]
    + [("bounced", "i8"), ("next_bounced_s", "f8"), ("refused_until_s", "f8")]
    + [(name, "f8") for name in ("latency_sum_s", "lost_latency_sum_s", "waiting_area", "held_area", "area_at_s")]
    + [
        (name, "f8")
        for name in ("now_s", "next_timer_s", "router_free_s", "router_next_s", "next_batch_s", "next_task_s")
    ]
    + [(name, "i8") for name in ("routing", "held_max", "concurrency", "waiting_max", "batch_max", "retries", "routed")]
    + [(name, "i8") for name in ("slots", "rows", "ring", "table_size")]
    + [
        (f"{name}_at", "i8")
        for name in ("requests", "free_slots", "due", "due_slots", "lists", "replicas", "candidate_rows")
    ]
    + [(f"{name}_at", "i8") for name in ("replica_sketches", "routing_tasks", "bins", "bin_sketches", "sketch")]
    + [(f"{name}_at", "i8") for name in ("services", "table", "streams")]
    + [
        (name, "f8")
        for name in ("batch_wait_s", "batch_growth", "timeout_s", "backoff_s", "slo_s", "bin_s", "network_delay_s")
    ]
    + [("probe_s", "f8"), ("refusal_s", "f8")]
)
"""The deployment as a whole: counts since the start, counts now, clocks, and last its settings.

`free` and `scheduled` count vacant slots and entries of the calendar; `unrouted` is the first waiting request that no routing task
looks after, `bounced` counts those that are on their way back to the queue; `*_area` are integrals over time up to `area_at_s`.
"""

REPLICA = np.dtype(
    [(name, "i8") for name in ("id", "phase", "held", "seen", "serving", "completed", "errors")]
    + [(name, "f8") for name in ("latency_sum_s", "held_area", "area_at_s", "slowness", "error_rate", "batch_due_s")]
)
REQUEST = np.dtype(
    [(name, "f8") for name in ("first_s", "sent_s", "held_s", "due_s", "mark_s", "left_s")]
    + [(name, "i8") for name in ("bin", "replica", "task", "tries")]
    + [(name, "i4") for name in ("next", "previous", "newer", "older", "place", "outcome", "abandoned", "leads")],
)
"""`first_s` arrived, `sent_s` this attempt was sent, `held_s` a replica took it,
`due_s` the router is done, the backoff is over or, in the queue, it is back from a replica that refused it,
`mark_s` its own service time (negative: drawn), `left_s` work left on a hung replica; `leads` its batch; `abandoned` by its client."""

LIST = np.dtype([("head", "i8"), ("tail", "i8"), ("length", "i8")])
TASK = np.dtype([("request", "i8"), ("failures", "i8"), ("wake_s", "f8")])
"""One of Serve's routing tasks, and how often it has found no place for the request that it looks after."""
BIN = np.dtype([(name, "i8") for name in ("open", "arrived", "completed", "late", "dropped", "failed", "timed_out")])


State: TypeAlias = Any
"""One record of `STATE` inside compiled code, always called `k`; NumPy's stubs know no attributes of records."""


class Station(NamedTuple):
    """All arrays of one deployment. `state` has one record; `due` and `due_slots` are the calendar, a binary heap."""

    state: NDArray[np.void]
    requests: NDArray[np.void]
    free_slots: NDArray[np.int64]
    due: NDArray[np.float64]
    due_slots: NDArray[np.int64]
    lists: NDArray[np.void]
    replicas: NDArray[np.void]
    candidate_rows: NDArray[np.int64]
    replica_sketches: NDArray[np.int64]
    routing_tasks: NDArray[np.void]
    bins: NDArray[np.void]
    bin_sketches: NDArray[np.int32]
    sketch: NDArray[np.int64]
    services: NDArray[np.void]
    table: NDArray[np.float64]
    streams: NDArray[np.void]


def empty_lists(count: int) -> NDArray[np.void]:
    lists = np.zeros(count, LIST)
    lists["head"] = lists["tail"] = -1
    return lists


def vacant(
    *,
    services: NDArray[np.void],
    table: NDArray[np.float64],
    streams: NDArray[np.void],
    slots: int,
    rows: int,
    bins: int,
) -> Station:
    """A station without replicas at time 0; its settings are still to be filled in. `bins` is a power of two."""
    state = np.zeros(1, STATE)
    state["free"], state["unrouted"] = slots, -1
    for clock in ("next_timer_s", "router_next_s", "next_batch_s", "next_task_s", "next_bounced_s"):
        state[clock] = np.inf
    tasks = np.zeros(TASKS, TASK)
    tasks["request"], tasks["wake_s"] = -1, np.inf
    return Station(
        state=state,
        requests=np.zeros(slots, REQUEST),
        free_slots=np.arange(slots)[::-1].copy(),
        due=np.zeros(slots),
        due_slots=np.zeros(slots, np.int64),
        lists=empty_lists(REPLICA_LISTS + rows),
        replicas=np.zeros(rows, REPLICA),
        candidate_rows=np.zeros(rows, np.int64),
        replica_sketches=np.zeros((rows, COARSE), np.int64),
        routing_tasks=tasks,
        bins=np.zeros(bins, BIN),
        bin_sketches=np.zeros((bins, FINE), np.int32),
        sketch=np.zeros(FINE, np.int64),
        services=services,
        table=table,
        streams=streams,
    )


def _longer(array: NDArray[np.void], length: int) -> NDArray[np.void]:
    grown = np.zeros((length, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown


def with_more_slots(station: Station) -> Station:
    """Room for twice as many requests in the system."""
    old, new = len(station.requests), 2 * len(station.requests)
    vacancies = int(station.state["free"][0])
    free = np.zeros(new, np.int64)
    free[:vacancies] = station.free_slots[:vacancies]
    free[vacancies : vacancies + old] = np.arange(old, new)[::-1]
    station.state["free"] += old
    grown = {name: _longer(getattr(station, name), new) for name in ("requests", "due", "due_slots")}
    return station._replace(free_slots=free, **grown)


def with_more_rows(station: Station) -> Station:
    """Room for twice as many replicas."""
    rows = 2 * len(station.replicas)
    grown = {name: _longer(getattr(station, name), rows) for name in ("replicas", "candidate_rows", "replica_sketches")}
    return station._replace(lists=np.concatenate([station.lists, empty_lists(rows // 2)]), **grown)


def with_more_bins(station: Station, wanted: int) -> Station:
    """A ring of at least `wanted` open bins; bin b lies at b modulo its length, which stays a power of two."""
    old, new = len(station.bins), 1 << (wanted - 1).bit_length()
    first = int(station.state["first_bin"][0])
    numbers = np.arange(first, first + old)
    bins, sketches = np.zeros(new, BIN), np.zeros((new, FINE), np.int32)
    bins[numbers % new] = station.bins[numbers % old]
    sketches[numbers % new] = station.bin_sketches[numbers % old]
    return station._replace(bins=bins, bin_sketches=sketches)
