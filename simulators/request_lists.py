"""Lists of requests that run through their slots, and the calendar of what ends when. Nothing here knows what a list is for."""

from simulators.compilation import compiled
from simulators.request_memory import due_slots, due_times, list_at, request_at
from simulators.request_records import DEADLINES, State


@compiled
def append(k: State, which: int, slot: int) -> None:
    """At the end of list `which`."""
    ends = list_at(k, which)
    request = request_at(k, slot)
    request.next = -1
    request.previous = ends.tail
    if ends.tail >= 0:
        request_at(k, ends.tail).next = slot
    else:
        ends.head = slot
    ends.tail = slot
    ends.length += 1


@compiled
def prepend(k: State, which: int, slot: int) -> None:
    """At the beginning of list `which`."""
    ends = list_at(k, which)
    request = request_at(k, slot)
    request.previous = -1
    request.next = ends.head
    if ends.head >= 0:
        request_at(k, ends.head).previous = slot
    else:
        ends.tail = slot
    ends.head = slot
    ends.length += 1


@compiled
def unlink(k: State, which: int, slot: int) -> None:
    """Out of list `which`, from wherever it stands."""
    ends = list_at(k, which)
    request = request_at(k, slot)
    if request.previous >= 0:
        request_at(k, request.previous).next = request.next
    else:
        ends.head = request.next
    if request.next >= 0:
        request_at(k, request.next).previous = request.previous
    else:
        ends.tail = request.previous
    ends.length -= 1


@compiled
def pop(k: State, which: int) -> int:
    """The first of a list that is not empty."""
    slot = list_at(k, which).head
    unlink(k, which, slot)
    return slot


@compiled
def watch(k: State, slot: int) -> None:
    """Last in the order of deadlines: all have one time-out, so the order of sending is the order of deadlines."""
    ends = list_at(k, DEADLINES)
    request = request_at(k, slot)
    request.newer = -1
    request.older = ends.tail
    if ends.tail >= 0:
        request_at(k, ends.tail).newer = slot
    else:
        ends.head = slot
    ends.tail = slot


@compiled
def unwatch(k: State, slot: int) -> None:
    """No deadline any more."""
    ends = list_at(k, DEADLINES)
    request = request_at(k, slot)
    if request.older >= 0:
        request_at(k, request.older).newer = request.newer
    else:
        ends.head = request.newer
    if request.newer >= 0:
        request_at(k, request.newer).older = request.older
    else:
        ends.tail = request.older


@compiled
def schedule(k: State, slot: int, due_s: float) -> None:
    """Into the calendar."""
    i = k.scheduled
    k.scheduled = i + 1
    while i > 0:
        parent = (i - 1) >> 1
        if due_times(k)[parent] <= due_s:
            break
        due_times(k)[i] = due_times(k)[parent]
        due_slots(k)[i] = due_slots(k)[parent]
        i = parent
    due_times(k)[i] = due_s
    due_slots(k)[i] = slot


@compiled
def next_due(k: State) -> int:
    """Out of the calendar: what ends first. The calendar is not empty."""
    first = due_slots(k)[0]
    n = k.scheduled - 1
    k.scheduled = n
    due_s = due_times(k)[n]
    slot = due_slots(k)[n]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and due_times(k)[child + 1] < due_times(k)[child]:
            child += 1
        if due_s <= due_times(k)[child]:
            break
        due_times(k)[i] = due_times(k)[child]
        due_slots(k)[i] = due_slots(k)[child]
        i = child
    due_times(k)[i] = due_s
    due_slots(k)[i] = slot
    return first
