"""Where an agent's new life begins: a new epoch, and the orders that the last one left open."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agent.codec import from_json, to_json
from agent.journal.record import Entry, Kind
from agent.order import Order
from agent.ports import Journal
from agent.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Beginning:
    epoch: int
    next_number: int
    open_orders: tuple[Order, ...]


class Lived(Journal, Protocol):
    """A journal that knows epochs and can be read."""

    def begin(self, at_s: float) -> int: ...

    def entries(self, *, since_seq: int = 0, kinds: Sequence[Kind] | None = None) -> Iterator[Entry]: ...


def begin(journal: Lived, settings: Settings, at_s: float) -> Beginning:
    """Take the next epoch and write down what this life starts from. Raises JournalUnavailable."""
    epoch = journal.begin(at_s)
    open_orders: dict[int, Order] = {}
    highest = 0
    for entry in journal.entries(kinds=(Kind.INTENT, Kind.OUTCOME, Kind.DECIDED)):
        if entry.kind == Kind.INTENT:
            order = from_json(Order, entry.payload)
            open_orders[order.number] = order
            highest = max(highest, order.number)
        elif entry.kind == Kind.OUTCOME:
            open_orders.pop(entry.payload["number"], None)
        else:
            highest = max([highest, *(waiting["number"] for waiting in entry.payload["awaiting"])])
    beginning = Beginning(epoch=epoch, next_number=highest + 1, open_orders=tuple(open_orders.values()))
    journal.append([(Kind.STARTED, at_s, started(beginning, settings))], durable=True)
    return beginning


def started(beginning: Beginning, settings: Settings) -> dict[str, Any]:
    """The payload from which a replay builds the same core again."""
    return {**to_json(beginning), "settings": settings.model_dump(mode="json")}
