"""Where compiled code finds the arrays of a station: by addresses in its state record. The one place that deals in pointers.

Handing the arrays themselves from function to function costs seven words and a reference count for each array at each call,
thirty times the work of an event, and minutes of compilation. So the state of a deployment carries the addresses of its arrays
(`bind`), and compiled functions take that one record, always called `k`. The arrays stay alive and in place for as long as their
`Station` is held, which the kernel does.
An index is not checked: every caller below holds a slot, a row or a list that it got from here.
"""

from typing import Any

import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from simulators.compilation import compiled
from simulators.draws import STREAM
from simulators.request_records import BIN, LIST, REPLICA, REQUEST, TASK, Station
from simulators.service import SERVICE
from simulators.sketch import COARSE, FINE

ADDRESSED = (
    "requests",
    "free_slots",
    "due",
    "due_slots",
    "lists",
    "replicas",
    "candidate_rows",
    "replica_sketches",
    "routing_tasks",
    "bins",
    "bin_sketches",
    "sketch",
    "services",
    "table",
    "streams",
)


def bind(station: Station) -> None:
    """Tell the state where its arrays are, and how long. Again after each of them that was replaced."""
    for name in ADDRESSED:
        station.state[f"{name}_at"] = getattr(station, name).ctypes.data
    station.state["slots"] = len(station.requests)
    station.state["rows"] = len(station.replicas)
    station.state["ring"] = len(station.bins)
    station.state["table_size"] = len(station.table)


@intrinsic
def _record(typing_context: Any, address: Any, index: Any, dtype: Any) -> Any:
    """The record with this index in an array of records at this address."""
    record = dtype.dtype

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        size = context.get_constant(types.int64, record.size)
        position = builder.add(arguments[0], builder.mul(arguments[1], size))
        return builder.inttoptr(position, context.get_value_type(record))

    return record(types.int64, types.int64, dtype), generate


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


@compiled
def request_at(k: Any, slot: int) -> Any:
    return _record(k.requests_at, np.int64(slot), REQUEST)


@compiled
def list_at(k: Any, which: int) -> Any:
    return _record(k.lists_at, np.int64(which), LIST)


@compiled
def replica_at(k: Any, row: int) -> Any:
    return _record(k.replicas_at, np.int64(row), REPLICA)


@compiled
def task_at(k: Any, task: int) -> Any:
    return _record(k.routing_tasks_at, np.int64(task), TASK)


@compiled
def bin_at(k: Any, place: int) -> Any:
    return _record(k.bins_at, np.int64(place), BIN)


@compiled
def service_at(k: Any, which: int) -> Any:
    return _record(k.services_at, np.int64(which), SERVICE)


@compiled
def stream_at(k: Any, which: int) -> Any:
    return _record(k.streams_at, np.int64(which), STREAM)


@compiled
def free_slots(k: Any) -> Any:
    return carray(_pointer(k.free_slots_at), (k.slots,), np.int64)


@compiled
def due_times(k: Any) -> Any:
    return carray(_pointer(k.due_at), (k.slots,), np.float64)


@compiled
def due_slots(k: Any) -> Any:
    return carray(_pointer(k.due_slots_at), (k.slots,), np.int64)


@compiled
def candidate_rows(k: Any) -> Any:
    return carray(_pointer(k.candidate_rows_at), (k.rows,), np.int64)


@compiled
def table_of(k: Any) -> Any:
    return carray(_pointer(k.table_at), (k.table_size,), np.float64)


@compiled
def sketch_of_all(k: Any) -> Any:
    return carray(_pointer(k.sketch_at), (FINE,), np.int64)


@compiled
def sketch_of_bin(k: Any, place: int) -> Any:
    return carray(_pointer(k.bin_sketches_at + place * FINE * 4), (FINE,), np.int32)


@compiled
def sketch_of_replica(k: Any, row: int) -> Any:
    return carray(_pointer(k.replica_sketches_at + row * COARSE * 8), (COARSE,), np.int64)
