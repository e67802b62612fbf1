"""The course of events in one deployment: what happens next, until when, and what rare events change. Compiled functions.

At one moment, answers come first, then the router, then timers (sent again, timed out, batches, routing tasks), then arrivals.
The order does not depend on where a run is cut into blocks.
"""

import numpy as np
from numpy.typing import NDArray

from simulators.compilation import compiled
from simulators.replicas import ONE_LESS, finish, held_by, hold, start_due_batches, take_back, tally, unschedule
from simulators.request_lists import next_due, pop, prepend, unlink, watch
from simulators.request_memory import bin_at, due_times, list_at, replica_at, request_at
from simulators.request_outcomes import go_back, join_router, occupy, respond, settle, time_out, vacate
from simulators.request_records import (
    AT_REPLICA,
    BACKOFF,
    DEADLINES,
    FAILURE,
    IN_QUEUE,
    IN_ROUTER,
    IN_SERVICE,
    POWER_OF_TWO,
    REPLICA_LISTS,
    ROUTER,
    TIMEOUT,
    WAITING,
    State,
)
from simulators.request_routing import come_back, dispatch, enter, leave_queue, run_tasks, wake_tasks


@compiled
def send(k: State, slot: int, t: float) -> None:
    """A client sends a request, for the first time or again."""
    request = request_at(k, slot)
    k.sent += 1
    request.sent_s = t
    request.abandoned = 0
    if k.timeout_s < float("inf"):
        watch(k, slot)
        k.next_timer_s = min(k.next_timer_s, t + k.timeout_s)
    if k.routed:
        join_router(k, slot, t, IN_ROUTER)
    else:
        enter(k, slot, t)


@compiled
def arrive(k: State, t: float, mark_s: float) -> None:
    """A request that was never here before."""
    slot = occupy(k)
    request = request_at(k, slot)
    request.first_s = t
    request.mark_s = mark_s
    request.tries = 0
    request.bin = np.int64(t / k.bin_s)
    k.arrived += 1
    minute = bin_at(k, request.bin & (k.ring - 1))
    minute.arrived += 1
    minute.open += 1
    send(k, slot, t)


@compiled
def pass_router(k: State) -> None:
    """The router is done with the first in its queue."""
    slot = pop(k, ROUTER)
    request = request_at(k, slot)
    t = request.due_s
    head = list_at(k, ROUTER).head
    k.router_next_s = request_at(k, head).due_s if head >= 0 else float("inf")
    if request.abandoned:
        vacate(k, slot)
    elif request.place == IN_ROUTER:
        enter(k, slot, t)
    else:
        settle(k, slot, t, np.int64(request.outcome))


@compiled
def pull(k: State, t: float) -> None:
    """A place may have become free; Serve's tasks do not hear of it."""
    if list_at(k, WAITING).length > 0 and k.routing != POWER_OF_TWO:
        dispatch(k, t)


@compiled
def end_due(k: State) -> None:
    """The first entry of the calendar: a replica is done, or an answer reaches the client's side of the network."""
    t = due_times(k)[0]
    slot = next_due(k)
    if request_at(k, slot).place == IN_SERVICE:
        finish(k, slot, t)
        pull(k, t)
    elif request_at(k, slot).abandoned:
        vacate(k, slot)
    else:
        go_back(k, slot, t)


@compiled
def give_up(k: State, slot: int, t: float) -> None:
    """A client's patience ends. What has not begun is taken back, what has begun goes on unseen."""
    place = request_at(k, slot).place
    if place == IN_QUEUE:
        leave_queue(k, slot, t)
        settle(k, slot, t, TIMEOUT)
    elif place == AT_REPLICA:
        take_back(k, slot, t)
        settle(k, slot, t, TIMEOUT)
        pull(k, t)
    else:
        time_out(k, slot, t)
    if k.routing == POWER_OF_TWO:
        run_tasks(k, t)


@compiled
def next_timer(k: State) -> float:
    """When the first of the timers rings."""
    at_s = min(k.next_batch_s, k.next_task_s, k.next_bounced_s)
    waiting = list_at(k, BACKOFF).head
    if waiting >= 0:
        at_s = min(at_s, request_at(k, waiting).due_s)
    oldest = list_at(k, DEADLINES).head
    if oldest >= 0:
        at_s = min(at_s, request_at(k, oldest).sent_s + k.timeout_s)
    return at_s


@compiled
def ring(k: State) -> None:
    """One timer that is due; or none, when what it was set for has gone: then only the clock is set anew."""
    t = k.next_timer_s
    again = list_at(k, BACKOFF).head
    oldest = list_at(k, DEADLINES).head
    if again >= 0 and request_at(k, again).due_s <= t:
        unlink(k, BACKOFF, again)
        send(k, again, t)
    elif oldest >= 0 and request_at(k, oldest).sent_s + k.timeout_s <= t:
        give_up(k, oldest, t)
    elif k.next_batch_s <= t:
        start_due_batches(k, t)
    elif k.next_bounced_s <= t:
        come_back(k, t)
    elif k.next_task_s <= t:
        run_tasks(k, t)
    k.next_timer_s = next_timer(k)


@compiled
def play(k: State, arrivals: NDArray[np.float64], marks: NDArray[np.float64], begin: int, until_s: float) -> int:
    """Everything up to `until_s`, from arrival `begin` on. Returns the arrival that waits for a vacant slot, or -1 when done."""
    i = begin
    n = len(arrivals)
    while True:
        if k.free == 0:
            return i
        due_s = due_times(k)[0] if k.scheduled > 0 else float("inf")
        arrival_s = arrivals[i] if i < n else float("inf")
        other_s = min(k.router_next_s, k.next_timer_s)
        if due_s <= other_s and due_s <= arrival_s:
            if due_s > until_s:
                break
            end_due(k)
        elif other_s <= arrival_s:
            if other_s > until_s:
                break
            if k.router_next_s <= k.next_timer_s:
                pass_router(k)
            else:
                ring(k)
        elif i < n:
            arrive(k, arrival_s, marks[i] if len(marks) > 0 else -1.0)
            i += 1
        else:
            break
    k.now_s = until_s
    return -1


@compiled
def evict(k: State, row: int, lose: bool, t: float) -> None:
    """A replica dies: what it held fails, or goes back to the head of the queue in its old order."""
    unschedule(k, row)
    slots = held_by(k, row)
    for i in range(len(slots) - 1, -1, -1):
        hold(k, row, t, ONE_LESS)
        if not lose and not request_at(k, slots[i]).abandoned:
            tally(k, t)
            prepend(k, WAITING, slots[i])
            request_at(k, slots[i]).place = IN_QUEUE
            request_at(k, slots[i]).task = -1
            request_at(k, slots[i]).due_s = t
            k.unrouted = slots[i]
    for slot in slots:
        if request_at(k, slot).abandoned:
            vacate(k, slot)
        elif lose:
            respond(k, slot, t, FAILURE)
    ends = list_at(k, REPLICA_LISTS + row)
    ends.head = -1
    ends.tail = -1
    ends.length = 0
    replica_at(k, row).serving = 0
    replica_at(k, row).batch_due_s = float("inf")


@compiled
def rearranged(k: State, t: float) -> None:
    """The set of replicas has changed: whoever waits looks again."""
    if k.routing != POWER_OF_TWO:
        pull(k, t)
        return
    if k.candidates > 0:
        wake_tasks(k)
    run_tasks(k, t)


@compiled
def observe(  # noqa: PLR0917 - compiled code takes no keywords
    k: State,
    rows: NDArray[np.int64],
    whole: NDArray[np.int64],
    seconds: NDArray[np.float64],
    each: NDArray[np.int64],
    each_s: NDArray[np.float64],
) -> None:
    """Copy the counts of the deployment and of the replicas in these rows; integrals run up to now. Nothing is changed."""
    queued = list_at(k, WAITING).length
    counts = (k.arrived, k.sent, k.completed, k.dropped, k.failed, k.timed_out, k.late, queued, k.held)
    for i in range(len(counts)):
        whole[i] = counts[i]
    since_s = k.now_s - k.area_at_s
    seconds[0] = k.now_s
    seconds[1] = k.latency_sum_s
    seconds[2] = k.lost_latency_sum_s
    seconds[3] = k.waiting_area + queued * since_s
    seconds[4] = k.held_area + k.held * since_s
    for i in range(len(rows)):
        replica = replica_at(k, rows[i])
        each[0, i] = replica.id
        each[1, i] = replica.held
        each[2, i] = replica.completed
        each[3, i] = replica.errors
        each_s[0, i] = replica.latency_sum_s
        each_s[1, i] = replica.held_area + replica.held * (k.now_s - replica.area_at_s)
