"""What must always hold, looked at after every event. A run that breaks a rule stops, with the events that led there.

Orders (when they are sent) and deeds (what an order does to the world, when it takes effect) are told to all rules; after every event they
look at the world; at the end they look back. The rules themselves are in `simulators.rules_of_serving`, `rules_of_learning`,
`rules_of_orders` and `rules_of_people`.
"""

from collections import deque
from collections.abc import Callable, Iterable

from agent.journal.memory import MemoryJournal
from agent.order import Order
from agent.settings import Settings
from simulators.engine import Event
from simulators.rule import Rule
from simulators.rules_of_learning import RULES_OF_LEARNING
from simulators.rules_of_orders import RULES_OF_ORDERS
from simulators.rules_of_people import RULES_OF_PEOPLE
from simulators.rules_of_serving import RULES_OF_SERVING
from simulators.served import Deed
from simulators.world import SimulatedWorld

TRAIL = 40
"""So many events are told before the one that broke a rule."""
RULES: tuple[type[Rule], ...] = (*RULES_OF_SERVING, *RULES_OF_LEARNING, *RULES_OF_ORDERS, *RULES_OF_PEOPLE)


class BrokenRule(AssertionError):
    """A rule was broken: which, how, when, from which seed, and what happened before."""

    def __init__(self, rule: str, told: str, *, at_s: float, seed: int, trail: Iterable[str]) -> None:
        self.rule, self.told, self.at_s, self.seed, self.trail = rule, told, at_s, seed, tuple(trail)
        events = "\n  ".join(self.trail)
        super().__init__(f"{rule}: {told}\nat {at_s:.3f} s, seed {seed}; the last events were\n  {events}")


class Checkers:
    """All rules over one run."""

    def __init__(
        self,
        world: SimulatedWorld,
        journal: MemoryJournal,
        settings: Settings,
        *,
        seed: int,
        clock_s: Callable[[], float],
    ) -> None:
        self.world, self.journal, self.settings, self.clock_s = world, journal, settings, clock_s
        self._seed = seed
        self._trail: deque[tuple[float, str]] = deque(maxlen=TRAIL)
        self._found: BrokenRule | None = None
        rules = [rule(self) for rule in RULES]
        # Most rules look at deeds or at the end only; an event asks none of those.
        self._of_events = [rule for rule in rules if type(rule).event is not Rule.event]
        self._of_orders = [rule for rule in rules if type(rule).sent is not Rule.sent]
        self._of_deeds = [rule for rule in rules if type(rule).deed is not Rule.deed]
        self._of_the_end = [rule for rule in rules if type(rule).end is not Rule.end]

    def attend(self) -> None:
        """Hear of every order and every deed from now on."""
        self.world.hearers.append(self._sent)
        self.world.watchers.append(self._deed)

    def look(self, event: Event) -> None:
        """After an event. Raises BrokenRule."""
        self._trail.append((event.at_s, event.name))
        self._stop()
        for rule in self._of_events:
            told = rule.event(event)
            if told is not None:
                self._broken(rule, told)
        self._stop()

    def at_the_end(self, at_s: float) -> None:
        """Raises BrokenRule."""
        for rule in self._of_the_end:
            told = rule.end(at_s)
            if told is not None:
                self._broken(rule, told)
        self._stop()

    def _sent(self, order: Order) -> None:
        """Raises nothing: whoever acts takes an exception for a refusal of the world, and goes on."""
        self._trail.append((self.world.engine.now_s, f"order {order.number} is sent"))
        for rule in self._of_orders:
            told = rule.sent(order)
            if told is not None:
                self._broken(rule, told)

    def _deed(self, deed: Deed) -> None:
        """Raises nothing, as `_sent`."""
        self._trail.append((deed.at_s, f"order {deed.order.number}: {deed.effect}"))
        for rule in self._of_deeds:
            told = rule.deed(deed)
            if told is not None:
                self._broken(rule, told)

    def _broken(self, rule: Rule, told: str) -> None:
        """The first that breaks is the one that is told."""
        trail = [f"{at_s:.3f} s  {name}" for at_s, name in self._trail]
        at_s = self.world.engine.now_s
        self._found = self._found or BrokenRule(type(rule).__name__, told, at_s=at_s, seed=self._seed, trail=trail)

    def _stop(self) -> None:
        if self._found is not None:
            raise self._found
