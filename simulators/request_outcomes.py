"""What becomes of a request: answered, dropped, failed, timed out, or sent again; and the counts of it.

A request is counted once, by its first arrival and its last outcome, however often its client sent it.
"""

import numpy as np

from simulators.compilation import compiled
from simulators.draws import uniform
from simulators.request_lists import append, schedule, unwatch
from simulators.request_memory import (
    bin_at,
    free_slots,
    list_at,
    request_at,
    service_at,
    sketch_of_all,
    sketch_of_bin,
    stream_at,
    table_of,
)
from simulators.request_records import (
    ANSWER,
    ANSWERED,
    BACKING_OFF,
    BACKOFF,
    DROP,
    ERROR_STREAM,
    FAILURE,
    OVERHEAD,
    OVERHEAD_STREAM,
    PROXY,
    ROUTED_BACK,
    ROUTER,
    ROUTER_STREAM,
    TIMEOUT,
    VACANT,
    State,
)
from simulators.service import NOTHING, draw
from simulators.sketch import FINE_BITS, bucket


@compiled
def vacate(k: State, slot: int) -> None:
    """The slot can be used again."""
    request_at(k, slot).place = VACANT
    free_slots(k)[k.free] = slot
    k.free += 1


@compiled
def occupy(k: State) -> int:
    """A vacant slot; the caller has seen that there is one."""
    k.free -= 1
    return free_slots(k)[k.free]


@compiled
def book(k: State, slot: int, t: float, outcome: int) -> None:
    """Count the last outcome of a request."""
    request = request_at(k, slot)
    latency_s = t - request.first_s
    place = request.bin & (k.ring - 1)
    minute = bin_at(k, place)
    minute.open -= 1
    if outcome == ANSWER:
        k.completed += 1
        minute.completed += 1
        k.latency_sum_s += latency_s
        if latency_s > k.slo_s:
            k.late += 1
            minute.late += 1
        where = bucket(latency_s, FINE_BITS)
        sketch_of_all(k)[where] += 1
        sketch_of_bin(k, place)[where] += 1
        return
    k.lost_latency_sum_s += latency_s
    if outcome == DROP:
        k.dropped += 1
        minute.dropped += 1
    elif outcome == FAILURE:
        k.failed += 1
        minute.failed += 1
    else:
        k.timed_out += 1
        minute.timed_out += 1


@compiled
def postpone(k: State, slot: int, t: float) -> None:
    """The client will send it again after its backoff."""
    request = request_at(k, slot)
    request.tries += 1
    request.place = BACKING_OFF
    request.due_s = t + k.backoff_s
    append(k, BACKOFF, slot)
    k.next_timer_s = min(k.next_timer_s, request.due_s)


@compiled
def settle(k: State, slot: int, t: float, outcome: int) -> None:
    """The client hears of an outcome: it is counted, or the request is sent again."""
    request = request_at(k, slot)
    if k.timeout_s < float("inf"):
        unwatch(k, slot)
    if outcome != ANSWER and request.tries < k.retries:
        postpone(k, slot, t)
        return
    book(k, slot, t, outcome)
    vacate(k, slot)


@compiled
def time_out(k: State, slot: int, t: float) -> None:
    """The client gives up on a request whose work cannot be taken back: what is left of it goes on unseen, in its slot."""
    request = request_at(k, slot)
    unwatch(k, slot)
    request.abandoned = 1
    if request.tries >= k.retries:
        book(k, slot, t, TIMEOUT)
        return
    again = occupy(k)
    request_at(k, again).first_s = request.first_s
    request_at(k, again).mark_s = request.mark_s
    request_at(k, again).bin = request.bin
    request_at(k, again).tries = request.tries
    postpone(k, again, t)


@compiled
def join_router(k: State, slot: int, t: float, place: int) -> None:
    """The router is one server and first come, first served, so it is known at once when it will be done."""
    request = request_at(k, slot)
    request.place = place
    begin_s = max(t, k.router_free_s)
    request.due_s = begin_s + draw(service_at(k, PROXY), table_of(k), stream_at(k, ROUTER_STREAM))
    k.router_free_s = request.due_s
    if list_at(k, ROUTER).length == 0:
        k.router_next_s = request.due_s
    append(k, ROUTER, slot)


@compiled
def go_back(k: State, slot: int, t: float) -> None:
    """The answer leaves by the router, where there is one."""
    if k.routed:
        join_router(k, slot, t, ROUTED_BACK)
    elif request_at(k, slot).abandoned:
        vacate(k, slot)
    else:
        settle(k, slot, t, np.int64(request_at(k, slot).outcome))


@compiled
def respond(k: State, slot: int, t: float, outcome: int) -> None:
    """An answer, good or bad, begins its way back to the client."""
    request = request_at(k, slot)
    request.outcome = outcome
    delay_s = k.network_delay_s
    if service_at(k, OVERHEAD).kind != NOTHING:
        delay_s += draw(service_at(k, OVERHEAD), table_of(k), stream_at(k, OVERHEAD_STREAM))
    if delay_s > 0:
        request.place = ANSWERED
        schedule(k, slot, t + delay_s)
    else:
        go_back(k, slot, t)


@compiled
def chance(k: State, probability: float) -> bool:
    """Whether an error strikes; nothing is drawn where none can."""
    return probability > 0 and uniform(stream_at(k, ERROR_STREAM)) < probability
