"""One replica at work: it takes a request, serves it alone, beside others or in a batch, and answers. Compiled functions.

Work that has begun is finished, even when its client has given up or the replica is draining; only a crash ends it.
"""

import numpy as np

from simulators.compilation import compiled
from simulators.request_lists import append, pop, schedule, unlink
from simulators.request_memory import (
    due_slots,
    due_times,
    list_at,
    replica_at,
    request_at,
    service_at,
    sketch_of_replica,
    stream_at,
    table_of,
)
from simulators.request_outcomes import chance, respond, vacate
from simulators.request_records import (
    ANSWER,
    AT_REPLICA,
    DRAINING,
    FAILURE,
    GONE,
    IN_SERVICE,
    MODEL,
    REPLICA_LISTS,
    SERVICE_STREAM,
    WAITING,
    State,
)
from simulators.service import draw
from simulators.sketch import COARSE_BITS, bucket

ONE_MORE, ONE_LESS, _ALONE = np.int64(1), np.int64(-1), np.int64(1)


@compiled
def tally(k: State, t: float) -> None:
    """Bring the integrals of the deployment up to t, before a count changes."""
    passed_s = t - k.area_at_s
    k.waiting_area += list_at(k, WAITING).length * passed_s
    k.held_area += k.held * passed_s
    k.area_at_s = t


@compiled
def hold(k: State, row: int, t: float, change: int) -> None:
    """The replica holds one more, or one less."""
    tally(k, t)
    k.held += change
    replica = replica_at(k, row)
    replica.held_area += replica.held * (t - replica.area_at_s)
    replica.area_at_s = t
    replica.held += change


@compiled
def begin(k: State, leader: int, row: int, t: float, size: int, mark_s: float) -> None:  # noqa: PLR0917 - compiled code takes no keywords
    """Start the work for `leader` and the rest of its batch. Without a mark the time is drawn."""
    replica = replica_at(k, row)
    replica.serving += 1
    work_s = mark_s if mark_s >= 0 else draw(service_at(k, MODEL), table_of(k), stream_at(k, SERVICE_STREAM))
    work_s *= 1.0 + k.batch_growth * (size - 1)
    request = request_at(k, leader)
    request.leads = 1
    if replica.slowness < float("inf"):
        schedule(k, leader, t + work_s * replica.slowness)
    else:
        request.left_s = work_s


@compiled
def begin_batch(k: State, row: int, t: float, size: int) -> None:
    """Take the `size` longest waiting at the replica. Given service times: the batch takes as long as its longest."""
    leader = pop(k, REPLICA_LISTS + row)
    last = leader
    longest_s = request_at(k, leader).mark_s
    request_at(k, leader).place = IN_SERVICE
    for _ in range(size - 1):
        slot = pop(k, REPLICA_LISTS + row)
        request_at(k, slot).place = IN_SERVICE
        request_at(k, slot).leads = 0
        longest_s = max(longest_s, request_at(k, slot).mark_s)
        request_at(k, last).next = slot
        last = slot
    request_at(k, last).next = -1
    begin(k, leader, row, t, size, longest_s)


@compiled
def serve_next(k: State, row: int, t: float) -> None:
    """Begin what can be begun: a batch when it is full or its wait is over."""
    replica = replica_at(k, row)
    queue = list_at(k, REPLICA_LISTS + row)
    while replica.serving < k.concurrency and queue.length > 0:
        if queue.length >= k.batch_max or t >= replica.batch_due_s:
            replica.batch_due_s = float("inf")
            begin_batch(k, row, t, min(queue.length, k.batch_max))
            continue
        if replica.batch_due_s < float("inf"):
            return
        replica.batch_due_s = t + k.batch_wait_s
        if k.batch_wait_s > 0:
            k.next_batch_s = min(k.next_batch_s, replica.batch_due_s)
            k.next_timer_s = min(k.next_timer_s, replica.batch_due_s)


@compiled
def take(k: State, slot: int, row: int, t: float) -> None:
    """A request is handed to a replica that has a place for it."""
    request = request_at(k, slot)
    hold(k, row, t, ONE_MORE)
    request.replica = row
    request.held_s = t
    if k.batch_max == 1 and replica_at(k, row).serving < k.concurrency:
        request.place = IN_SERVICE
        request.next = -1
        begin(k, slot, row, t, _ALONE, request.mark_s)
        return
    request.place = AT_REPLICA
    append(k, REPLICA_LISTS + row, slot)
    if k.batch_max > 1:
        serve_next(k, row, t)


@compiled
def emptied(k: State, row: int) -> None:
    """A draining replica that holds nothing is gone."""
    replica = replica_at(k, row)
    if replica.phase == DRAINING and replica.held == 0:
        replica.phase = GONE
        k.gone += 1


@compiled
def answer(k: State, slot: int, row: int, t: float) -> None:
    """One request of a finished batch leaves the replica."""
    replica = replica_at(k, row)
    hold(k, row, t, ONE_LESS)
    latency_s = t - request_at(k, slot).held_s
    replica.completed += 1
    replica.latency_sum_s += latency_s
    sketch_of_replica(k, row)[bucket(latency_s, COARSE_BITS)] += 1
    outcome = ANSWER
    if chance(k, replica.error_rate):
        replica.errors += 1
        outcome = FAILURE
    if request_at(k, slot).abandoned:
        vacate(k, slot)
    else:
        respond(k, slot, t, outcome)


@compiled
def finish(k: State, leader: int, t: float) -> None:
    """The replica is done with a request, or with a batch."""
    row = request_at(k, leader).replica
    replica_at(k, row).serving -= 1
    slot = leader
    while slot >= 0:
        following = request_at(k, slot).next
        answer(k, slot, row, t)
        slot = following
    serve_next(k, row, t)
    emptied(k, row)


@compiled
def take_back(k: State, slot: int, t: float) -> None:
    """A request whose work has not begun leaves the replica that holds it."""
    row = request_at(k, slot).replica
    unlink(k, REPLICA_LISTS + row, slot)
    hold(k, row, t, ONE_LESS)
    emptied(k, row)


@compiled
def start_due_batches(k: State, t: float) -> None:
    """Begin the batches whose wait is over, and find out when the next one is."""
    k.next_batch_s = float("inf")
    for row in range(k.rows):
        replica = replica_at(k, row)
        if replica.batch_due_s <= t:
            serve_next(k, row, t)
            if replica.batch_due_s <= t:
                replica.batch_due_s = float("inf")
        k.next_batch_s = min(k.next_batch_s, replica.batch_due_s)


@compiled
def unschedule(k: State, row: int) -> None:
    """Take all work of a replica out of the calendar; each leader keeps what was left of it in `due_s`, as an absolute time."""
    slots = due_slots(k)[: k.scheduled].copy()
    times = due_times(k)[: k.scheduled].copy()
    k.scheduled = 0
    for i in range(len(slots)):
        request = request_at(k, slots[i])
        if request.place == IN_SERVICE and request.replica == row:
            request.due_s = times[i]
        else:
            schedule(k, slots[i], times[i])


@compiled
def set_slowness(k: State, row: int, slowness: float, t: float) -> None:
    """Work under way goes on at the new speed; on a hung replica (infinite) it stands still until the speed is finite again."""
    before = replica_at(k, row).slowness
    if before < float("inf"):
        unschedule(k, row)
    replica_at(k, row).slowness = slowness
    for slot in range(k.slots):
        request = request_at(k, slot)
        if request.place != IN_SERVICE or request.replica != row or request.leads == 0:
            continue
        if before < float("inf"):
            request.left_s = (request.due_s - t) / before
        if slowness < float("inf"):
            schedule(k, slot, t + request.left_s * slowness)


@compiled
def held_by(k: State, row: int) -> np.ndarray:
    """The slots of what a replica holds, in the order in which it took them."""
    slots = np.empty(replica_at(k, row).held, np.int64)
    n = 0
    for slot in range(k.slots):
        request = request_at(k, slot)
        if request.replica == row and request.place in (IN_SERVICE, AT_REPLICA):
            place = n
            while place > 0 and request_at(k, slots[place - 1]).held_s > request.held_s:
                slots[place] = slots[place - 1]
                place -= 1
            slots[place] = slot
            n += 1
    return slots
