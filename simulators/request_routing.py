"""Which replica a waiting request goes to. Compiled functions.

Power of two choices is played as Ray Serve 2.60 does it (`PowerOfTwoChoicesRequestRouter`, one router whose cache of queue lengths
is right): routing tasks, at most two for each replica and 50 in all, each draw two replicas and give the first waiting request to the
shorter one that has a place. A task that finds none asks the two for their queue lengths, which takes `probe_s`, and tries again: twice at
once (Serve looks at the replicas on the router's own node first, and those count as such here) and then after 25 ms, 50, 100 and so on up
to 500 ms. Nothing wakes it when a place becomes free, so a freed place can stay empty for a while, which is what Serve does.
What a task gives away in one go it chooses by queue lengths from before (Serve counts a request only when its caller wakes up). With
a long queue it so hands a place out more than once; replicas refuse what they have no place for, one request after the other, and each
is back in its old place in the queue `refusal_s` later, without a task. The tasks, by then with later requests, wait longer and longer:
under overload Serve's routers lose throughput.
The other ways leave no place empty while a request waits.
"""

import numpy as np

from simulators.compilation import compiled
from simulators.draws import below
from simulators.replicas import take, tally
from simulators.request_lists import append, pop, unlink
from simulators.request_memory import candidate_rows, list_at, replica_at, request_at, stream_at, task_at
from simulators.request_outcomes import respond
from simulators.request_records import (
    DROP,
    IN_QUEUE,
    LEAST_LOADED,
    NOBODY,
    POWER_OF_TWO,
    ROUTING_STREAM,
    TASKS,
    WAITING,
    State,
)

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.025, 0.5
"""RAY_SERVE_ROUTER_RETRY_INITIAL_BACKOFF_S, ..._MAX_BACKOFF_S; the multiplier is 2."""
_LONGEST_AFTER = 5
AT_ONCE = 2
"""So many failures of a task are followed by another attempt without a wait."""
_NO = np.bool_(False)


@compiled
def next_in_turn(k: State) -> int:
    """Round robin over the replicas that have a place; -1 when none has."""
    position = k.turn
    for _ in range(k.candidates):
        row = candidate_rows(k)[position]
        position += 1
        if position == k.candidates:
            position = 0
        if replica_at(k, row).held < k.held_max:
            k.turn = position
            return row
    return -1


@compiled
def least_loaded(k: State) -> int:
    """The replica that holds least, ties in turn; -1 when none has a place."""
    chosen = -1
    least = k.held_max
    position = k.turn
    for _ in range(k.candidates):
        row = candidate_rows(k)[position]
        position += 1
        if position == k.candidates:
            position = 0
        if replica_at(k, row).held < least:
            least = replica_at(k, row).held
            chosen = row
            k.turn = position
    return chosen


@compiled
def look(k: State) -> None:
    """What a router knows from here on of the queues of the replicas."""
    for position in range(k.candidates):
        replica = replica_at(k, candidate_rows(k)[position])
        replica.seen = replica.held


@compiled
def shorter_of_two(k: State, as_seen: bool) -> int:
    """Two different replicas at random, the first of equals; -1 when neither has a place, or `as_seen` had one."""
    n = k.candidates
    if n == 0:
        return -1
    first = candidate_rows(k)[below(stream_at(k, ROUTING_STREAM), n)] if n > 1 else candidate_rows(k)[0]
    second = first
    if n > 1:
        # a draw among the other n - 1: those behind the first one move up by one place
        i = below(stream_at(k, ROUTING_STREAM), n - 1)
        second = candidate_rows(k)[i] if candidate_rows(k)[i] != first else candidate_rows(k)[n - 1]
    return shorter(k, first, second, as_seen)


@compiled
def shorter(k: State, first: int, second: int, as_seen: bool) -> int:
    """The one of these two that holds less."""
    one = replica_at(k, first).seen if as_seen else replica_at(k, first).held
    other = replica_at(k, second).seen if as_seen else replica_at(k, second).held
    if min(one, other) >= k.held_max:
        return -1
    return second if other < one else first


@compiled
def leave_queue(k: State, slot: int, t: float) -> None:
    """Out of the waiting list, and away from the routing task that looked after it."""
    tally(k, t)
    if k.unrouted == slot:
        k.unrouted = unrouted_from(k, np.int64(request_at(k, slot).next), t)
    if request_at(k, slot).due_s > t:
        k.bounced -= 1
    unlink(k, WAITING, slot)
    drop_task(k, slot)


@compiled
def drop_task(k: State, slot: int) -> None:
    """No task looks after this request any more."""
    task = request_at(k, slot).task
    if task >= 0:
        task_at(k, task).request = -1
        task_at(k, task).wake_s = float("inf")
        request_at(k, slot).task = -1
        k.tasks -= 1


@compiled
def unrouted_from(k: State, slot: int, t: float) -> int:
    """The first waiting request, from this one on, that has no routing task and is not on its way back."""
    while slot >= 0 and (request_at(k, slot).task >= 0 or request_at(k, slot).due_s > t):
        slot = request_at(k, slot).next
    return slot


@compiled
def dispatch(k: State, t: float) -> None:
    """Hand out waiting requests, first come first served, while a replica has a place."""
    while list_at(k, WAITING).length > 0:
        row = least_loaded(k) if k.routing == LEAST_LOADED else next_in_turn(k)
        if row < 0:
            return
        tally(k, t)
        slot = pop(k, WAITING)
        take(k, slot, row, t)


@compiled
def adopt(k: State, task: int, t: float) -> None:
    """A routing task begins to look after the first request that has none."""
    slot = k.unrouted
    request_at(k, slot).task = task
    k.unrouted = unrouted_from(k, slot, t)
    task_at(k, task).request = slot
    task_at(k, task).failures = 0
    task_at(k, task).wake_s = t
    k.tasks += 1


@compiled
def task_limit(k: State) -> int:
    return min(list_at(k, WAITING).length - k.bounced, TASKS, 2 * k.candidates)


@compiled
def start_tasks(k: State, t: float) -> None:
    """As many routing tasks as Serve would have."""
    while k.tasks < task_limit(k) and k.unrouted >= 0:
        for task in range(TASKS):
            if task_at(k, task).request < 0:
                adopt(k, task, t)
                break


@compiled
def back_off(k: State, task: int, t: float, asked_s: float) -> None:
    """The first attempts are followed by another at once, later ones by a growing wait; asking replicas takes its time in either case."""
    this = task_at(k, task)
    if k.candidates == 0:
        this.wake_s = float("inf")
        return
    this.wake_s = t + asked_s
    if this.failures >= AT_ONCE:
        waited = min(this.failures - AT_ONCE, _LONGEST_AFTER)
        this.wake_s += min(FIRST_BACKOFF_S * (1 << waited), LONGEST_BACKOFF_S)
    this.failures += 1


@compiled
def hand_out(k: State, slot: int, row: int, t: float) -> None:
    """A request goes to a replica, which takes it or, where it has no place, refuses it."""
    if replica_at(k, row).held < k.held_max:
        leave_queue(k, slot, t)
        take(k, slot, row, t)
        return
    drop_task(k, slot)
    k.refused_until_s = max(t, k.refused_until_s) + k.refusal_s
    request_at(k, slot).due_s = k.refused_until_s
    k.bounced += 1
    k.next_bounced_s = min(k.next_bounced_s, k.refused_until_s)
    k.next_timer_s = min(k.next_timer_s, k.next_bounced_s)
    if k.unrouted == slot:
        k.unrouted = unrouted_from(k, slot, t)


@compiled
def first_here(k: State, t: float) -> int:
    """The first waiting request that is not on its way back; -1: there is none."""
    slot = list_at(k, WAITING).head
    while slot >= 0 and request_at(k, slot).due_s > t:
        slot = request_at(k, slot).next
    return slot


@compiled
def come_back(k: State, t: float) -> None:
    """Refused requests are in the queue again, in their old places, and the first of them is the next to get a task."""
    k.bounced = 0
    k.next_bounced_s = float("inf")
    slot = list_at(k, WAITING).head
    while slot >= 0:
        if request_at(k, slot).due_s > t:
            k.bounced += 1
            k.next_bounced_s = min(k.next_bounced_s, request_at(k, slot).due_s)
        slot = request_at(k, slot).next
    k.unrouted = unrouted_from(k, list_at(k, WAITING).head, t)
    run_tasks(k, t)


@compiled
def route(k: State, task: int, t: float) -> None:
    """What one task does in one go. It serves the first in the queue, whoever that is, until its own has been served.

    1. A task ends with its request when there are as many tasks as requests; those whose requests it gave away still count as tasks.
    2. Else it goes on with the next request, and by the same view of the replicas.
    3. After an attempt for another's request it goes on as after a failure, but asks nobody.
    """
    tasks = k.tasks
    going_on = _NO
    while True:
        row = shorter_of_two(k, going_on)
        if row < 0:
            back_off(k, task, t, k.probe_s)
            return
        if not going_on:
            look(k)
            going_on = True
        slot = first_here(k, t)
        own = request_at(k, slot).task == task
        hand_out(k, slot, row, t)
        if own:
            if tasks > task_limit(k) or k.unrouted < 0:
                return
            adopt(k, task, t)
            continue
        back_off(k, task, t, 0.0)
        if task_at(k, task).wake_s > t:
            return


@compiled
def run_tasks(k: State, t: float) -> None:
    """Every attempt that is due, and when the next one is."""
    while True:
        start_tasks(k, t)
        first = NOBODY
        next_s = float("inf")
        for task in range(TASKS):
            if task_at(k, task).request >= 0 and task_at(k, task).wake_s < next_s:
                next_s = task_at(k, task).wake_s
                first = task
        if first < 0 or next_s > t:
            break
        route(k, first, t)
    k.next_task_s = next_s
    k.next_timer_s = min(k.next_timer_s, next_s)


@compiled
def wake_tasks(k: State) -> None:
    """Tasks that found no replica at all hear that there is one."""
    for task in range(TASKS):
        if task_at(k, task).request >= 0 and task_at(k, task).wake_s == float("inf"):
            task_at(k, task).wake_s = k.now_s


@compiled
def wait(k: State, slot: int, t: float) -> None:
    """Join the queue of the deployment."""
    tally(k, t)
    append(k, WAITING, slot)
    request_at(k, slot).place = IN_QUEUE
    request_at(k, slot).task = -1
    request_at(k, slot).due_s = t
    if k.unrouted < 0:
        k.unrouted = slot


@compiled
def enter(k: State, slot: int, t: float) -> None:
    """A request comes to the deployment: a replica takes it, or it waits, or it is dropped."""
    waiting = list_at(k, WAITING).length
    if waiting == 0:
        if k.routing == POWER_OF_TWO:
            row = shorter_of_two(k, _NO)
        elif k.routing == LEAST_LOADED:
            row = least_loaded(k)
        else:
            row = next_in_turn(k)
        if row >= 0:
            request_at(k, slot).task = -1
            take(k, slot, row, t)
            return
    if waiting > k.waiting_max:
        respond(k, slot, t, DROP)
        return
    wait(k, slot, t)
    if k.routing == POWER_OF_TWO:
        start_tasks(k, t)
        task = request_at(k, slot).task
        if waiting == 0 and task >= 0:
            back_off(k, task, t, k.probe_s)  # its first attempt was the one above
        run_tasks(k, t)
