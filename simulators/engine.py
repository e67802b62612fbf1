"""The clock and the queue of rare events: starts, stops, faults, jobs that end, ticks. Requests are not events here.

Events of one moment happen in the order of their priority, then in the order in which they were scheduled, so that one seed gives one
course of events.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

Act = Callable[[], None]


class Priority(IntEnum):
    """What comes first within one moment: the world changes, then it is looked at."""

    FAULT = 0
    WORLD = 1
    TICK = 2
    END = 3


@dataclass(order=True, slots=True)
class Event:
    """One thing that will happen. `name` is for people: it stands in the trail that leads to a broken rule."""

    at_s: float
    priority: int
    number: int
    name: str = field(compare=False)
    act: Act = field(compare=False)
    cancelled: bool = field(default=False, compare=False)


class Engine:
    """Simulated seconds, and what falls due in them."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.happened = 0
        self._queue: list[Event] = []
        self._scheduled = 0

    def at(self, at_s: float, name: str, act: Act, priority: Priority = Priority.WORLD) -> Event:
        """Let `act` happen at `at_s`; a moment that is over means now. The event can be cancelled by its flag."""
        self._scheduled += 1
        event = Event(max(at_s, self.now_s), int(priority), self._scheduled, name, act)
        heapq.heappush(self._queue, event)
        return event

    def after(self, seconds: float, name: str, act: Act, priority: Priority = Priority.WORLD) -> Event:
        return self.at(self.now_s + seconds, name, act, priority)

    def every(self, seconds: float, name: str, act: Act, priority: Priority, *, first_s: float) -> None:
        """Let `act` happen at `first_s` and every `seconds` after it, without drift."""
        count = 0

        def again() -> None:
            nonlocal count
            act()
            count += 1
            self.at(first_s + count * seconds, name, again, priority)

        self.at(first_s, name, again, priority)

    def run(self, until_s: float, watch: Callable[[Event], None] | None = None) -> None:
        """Let everything happen that falls due before or at `until_s`; `watch` is called after each event."""
        while self._queue and self._queue[0].at_s <= until_s:
            event = heapq.heappop(self._queue)
            if event.cancelled:
                continue
            self.now_s = event.at_s
            event.act()
            self.happened += 1
            if watch is not None:
                watch(event)
        self.now_s = max(self.now_s, until_s)
