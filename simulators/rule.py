"""What a rule is: one class with one sentence, told of every deed and every event of a run, and silent where it is kept."""

from typing import Protocol

from agent.journal.memory import MemoryJournal
from agent.settings import Settings
from simulators.engine import Event
from simulators.served import Deed
from simulators.world import SimulatedWorld


class Look(Protocol):
    """What a rule may look at."""

    world: SimulatedWorld
    journal: MemoryJournal
    settings: Settings


class Rule:
    """Nothing to say about anything; each rule overrides what it looks at. A returned text says how it is broken.

    `event` is asked after every event, so it must cost next to nothing: no snapshots of kernels, no copies.
    """

    def __init__(self, look: Look) -> None:
        self.look = look

    def deed(self, deed: Deed) -> str | None:
        """An order is about to take effect; the world is as it was before."""
        return None

    def event(self, event: Event) -> str | None:
        """Something has happened."""
        return None

    def end(self, at_s: float) -> str | None:
        """The run is over."""
        return None
