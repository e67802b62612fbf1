"""All that may be asked of a world, on one screen. Worlds implement these; nothing else of them is known here."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from agent.order import Order
from policies.action import Alert
from policies.observation import Observation


class Refused(Exception):
    """A world will not do an order, and says why: lower epoch, unknown target, not scalable, bad digest. Nothing was changed."""


class JournalUnavailable(Exception):
    """The record can not be written or read. Whoever sees this does nothing else."""


class Sensor(Protocol):
    def observe(self, at_s: float) -> Observation:
        """Everything that can be seen at `at_s`.

        Never raises for a part that is away: that part is None or missing, and named in `problems`.
        """
        ...


class Actuator(Protocol):
    def start(self, order: Order) -> None:
        """Start `order` and return at once; what became of it is seen in later observations.

        The same `key` sent twice is done once. Raises Refused for an epoch lower than one seen before, for an unknown target, and for
        what the world can not do at all.
        """
        ...


class Trainer(Protocol):
    def start(self, order: Order) -> None:
        """Start or stop a training (`Retrain`, `StopTraining`) and return at once. Idempotent and refusing as `Actuator.start`."""
        ...


class Notifier(Protocol):
    def notify(self, alert: Alert) -> None:
        """Tell people. Best effort: never raises, never blocks for longer than a local hand-over."""
        ...


class Journal(Protocol):
    """The record: append only, hash-chained. See `agent.journal.record` for Entry and the kinds."""

    def append(self, entries: Iterable[tuple[str, float, Mapping[str, Any]]], *, durable: bool = False) -> None:
        """Write (kind, at_s, payload) in order, all or none; `durable` waits until they would survive a power cut.

        Raises JournalUnavailable: then nothing was written, or it is not known; whoever gives the same entries again, first of all
        and in the same order, has them written once.
        """
        ...
