"""Which replica a waiting request goes to. Compiled functions.

Power of two choices is played as Ray Serve 2.60 does it (`PowerOfTwoChoicesRequestRouter`, one router whose cache of queue lengths
is right): routing tasks, at most two for each replica and 50 in all, each draw two replicas and give the first waiting request to the
shorter one that has a place. A task that finds none tries again at once and then after 25 ms, 50, 100 and so on up to 500 ms;
nothing wakes it when a place becomes free. So a freed place can stay empty for a while, which is what Serve does. The delay of
asking a replica for its queue length is not modelled.
The other ways leave no place empty while a request waits.
"""

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
    POWER_OF_TWO,
    ROUTING_STREAM,
    TASKS,
    WAITING,
    State,
)

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.025, 0.5
"""RAY_SERVE_ROUTER_RETRY_INITIAL_BACKOFF_S, ..._MAX_BACKOFF_S; the multiplier is 2."""
_LONGEST_AFTER = 5


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
def shorter_of_two(k: State) -> int:
    """Two different replicas at random, the first of equals; -1 when neither has a place."""
    n = k.candidates
    if n == 0:
        return -1
    first = candidate_rows(k)[below(stream_at(k, ROUTING_STREAM), n)] if n > 1 else candidate_rows(k)[0]
    second = first
    if n > 1:
        # a draw among the other n - 1: those behind the first one move up by one place
        i = below(stream_at(k, ROUTING_STREAM), n - 1)
        second = candidate_rows(k)[i] if candidate_rows(k)[i] != first else candidate_rows(k)[n - 1]
    chosen = second if replica_at(k, second).held < replica_at(k, first).held else first
    return chosen if replica_at(k, chosen).held < k.held_max else -1


@compiled
def leave_queue(k: State, slot: int, t: float) -> None:
    """Out of the waiting list, and away from the routing task that looked after it."""
    tally(k, t)
    if k.unrouted == slot:
        k.unrouted = unrouted_after(k, slot)
    unlink(k, WAITING, slot)
    task = request_at(k, slot).task
    if task >= 0:
        task_at(k, task).request = -1
        task_at(k, task).wake_s = float("inf")
        request_at(k, slot).task = -1
        k.tasks -= 1


@compiled
def unrouted_after(k: State, slot: int) -> int:
    """The next waiting request without a routing task."""
    following = request_at(k, slot).next
    while following >= 0 and request_at(k, following).task >= 0:
        following = request_at(k, following).next
    return following


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
    k.unrouted = unrouted_after(k, slot)
    request_at(k, slot).task = task
    task_at(k, task).request = slot
    task_at(k, task).attempt = -1
    task_at(k, task).wake_s = t


@compiled
def task_limit(k: State) -> int:
    return min(list_at(k, WAITING).length, TASKS, 2 * k.candidates)


@compiled
def start_tasks(k: State, t: float) -> None:
    """As many routing tasks as Serve would have."""
    while k.tasks < task_limit(k) and k.unrouted >= 0:
        for task in range(TASKS):
            if task_at(k, task).request < 0:
                k.tasks += 1
                adopt(k, task, t)
                break


@compiled
def back_off(k: State, task: int, t: float) -> None:
    """The first failure is tried again at once, later ones after a growing wait."""
    this = task_at(k, task)
    if k.candidates == 0:
        this.wake_s = float("inf")
    elif this.attempt < 0:
        this.wake_s = t
        this.attempt = 0
    else:
        this.wake_s = t + min(FIRST_BACKOFF_S * (1 << min(this.attempt, _LONGEST_AFTER)), LONGEST_BACKOFF_S)
        this.attempt += 1


@compiled
def try_to_route(k: State, task: int, t: float) -> None:
    """One attempt of one routing task. It serves the first in the queue, whoever that is, and goes on for its own."""
    row = shorter_of_two(k)
    if row < 0:
        back_off(k, task, t)
        return
    slot = list_at(k, WAITING).head
    own = request_at(k, slot).task == task
    leave_queue(k, slot, t)
    take(k, slot, row, t)
    if not own:
        back_off(k, task, t)
    elif k.tasks < task_limit(k) and k.unrouted >= 0:
        k.tasks += 1
        adopt(k, task, t)


@compiled
def run_tasks(k: State, t: float) -> None:
    """Every attempt that is due, and when the next one is."""
    while True:
        start_tasks(k, t)
        first = -1
        next_s = float("inf")
        for task in range(TASKS):
            if task_at(k, task).request >= 0 and task_at(k, task).wake_s < next_s:
                next_s = task_at(k, task).wake_s
                first = task
        if first < 0 or next_s > t:
            break
        try_to_route(k, first, t)
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
    if k.unrouted < 0:
        k.unrouted = slot


@compiled
def enter(k: State, slot: int, t: float) -> None:
    """A request comes to the deployment: a replica takes it, or it waits, or it is dropped."""
    waiting = list_at(k, WAITING).length
    if waiting == 0:
        if k.routing == POWER_OF_TWO:
            row = shorter_of_two(k)
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
            task_at(k, task).attempt = 0  # its first attempt was the one above
        run_tasks(k, t)
