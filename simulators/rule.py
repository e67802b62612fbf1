"""What a rule is: one class with one sentence, told of every order, every deed and every event of a run, and silent where it is kept."""

from collections.abc import Callable
from typing import Protocol

from agent.journal.memory import MemoryJournal
from agent.journal.record import Entry
from agent.order import Order
from agent.settings import Settings
from simulators.engine import Event
from simulators.served import Deed
from simulators.world import SimulatedWorld


class Look(Protocol):
    """What a rule may look at."""

    world: SimulatedWorld
    journal: MemoryJournal
    settings: Settings
    clock_s: Callable[[], float]
    """What the civil clock shows, by which calendars go."""


class Rule:
    """Nothing to say about anything; each rule overrides what it looks at. A returned text says how it is broken.

    `event` is asked after every event, so it must cost next to nothing: no snapshots of kernels, no copies.
    """

    def __init__(self, look: Look) -> None:
        self.look = look

    def sent(self, order: Order) -> str | None:
        """The agent sends `order`, for the first time or anew; the world has made nothing of it yet."""
        return None

    def deed(self, deed: Deed) -> str | None:
        """An order is about to take effect; the world is as it was before."""
        return None

    def event(self, event: Event) -> str | None:
        """Something has happened."""
        return None

    def end(self, at_s: float) -> str | None:
        """The run is over."""
        return None


class JournalRule(Rule):
    """Reads every entry of the journal once, in order, after the event that wrote it, or as soon as `read` is called."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._read = 0

    def event(self, event: Event) -> str | None:
        return self.read()

    def read(self) -> str | None:
        """Take in what was written since; how an entry breaks the rule."""
        kept = self.look.journal.kept
        while self._read < len(kept):
            self._read += 1
            told = self.entry(kept[self._read - 1])
            if told is not None:
                return told
        return None

    def entry(self, entry: Entry) -> str | None:
        """What the rule says to one entry."""
        raise NotImplementedError
