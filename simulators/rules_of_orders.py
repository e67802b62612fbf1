"""Rules of orders: written before they are done, done once, one at a time, by the agent that lives, and judged."""

from agent.codec import from_json
from agent.journal.record import Entry, Kind
from agent.order import Order
from policies.action import Action, Retrain, RollBack, Scale, Target, target
from simulators.rule import JournalRule, Look, Rule
from simulators.served import Deed

DAY_S = 86_400.0


class IntentBeforeEffect(Rule):
    """Every effect has an intent in the journal before it; no effect is done twice."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._done: set[str] = set()
        self._intended: set[str] = set()
        self._read = 0

    def deed(self, deed: Deed) -> str | None:
        key, number = deed.order.key, deed.order.number
        if key in self._done:
            return f"order {number} is done a second time"
        self._done.add(key)
        for entry in self.look.journal.kept[self._read :]:
            self._read += 1
            if entry.kind == Kind.INTENT:
                self._intended.add(entry.payload["key"])
        return None if key in self._intended else f"order {number} takes effect and is in no intent"


class OneOrderPerTarget(JournalRule):
    """At most one order is in flight per target, as the journal tells."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._open: dict[int, Target] = {}

    def entry(self, entry: Entry) -> str | None:
        if entry.kind == Kind.OUTCOME:
            self._open.pop(entry.payload["number"], None)
        elif entry.kind == Kind.INTENT:
            action: Action = from_json(Action, entry.payload["action"])  # type: ignore[arg-type]
            return self._begin(entry.payload["number"], target(action))
        return None

    def _begin(self, number: int, aim: Target) -> str | None:
        others = [each for each, theirs in self._open.items() if theirs == aim and each != number]
        self._open[number] = aim
        return f"order {number} and order {others[0]} are both in flight for {' '.join(aim)}" if others else None


class OutcomeForEveryOrder(Rule):
    """Every order has an outcome, but for those that may still come true when the agent last looked."""

    def end(self, at_s: float) -> str | None:
        journal = self.look.journal
        looked = None if journal.away else journal.last(Kind.OBSERVED)
        if looked is None:
            return None
        ended = {each["number"] for each in journal.of_kind(Kind.OUTCOME)}
        late = sorted(
            {
                each["number"]
                for each in journal.of_kind(Kind.INTENT)
                if each["number"] not in ended and each["deadline_s"] < looked.at_s - self.look.settings.tick_s
            }
        )
        return f"orders {late} have no outcome after their deadline" if late else None


class NoIntentAfterItsOutcome(JournalRule):
    """An order that has ended is over: it is intended no more, in this life of the agent or a later one."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._ended: dict[int, str] = {}

    def entry(self, entry: Entry) -> str | None:
        if entry.kind == Kind.OUTCOME:
            self._ended[entry.payload["number"]] = entry.payload["status"]
        elif entry.kind == Kind.INTENT and (status := self._ended.get(entry.payload["number"])) is not None:
            return f"order {entry.payload['number']} is intended again, and has {status} before"
        return None


class NoOldEpoch(Rule):
    """An order of an earlier life of the agent begins nothing once a later one has acted.

    What was sent before may still take effect late.
    """

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._highest = 0
        self._old: set[tuple[str, int]] = set()
        """(key, epoch) of the orders that were sent too late."""

    def sent(self, order: Order) -> str | None:
        if order.epoch < self._highest:
            self._old.add((order.key, order.epoch))
        return None

    def deed(self, deed: Deed) -> str | None:
        order = deed.order
        old = (order.key, order.epoch) in self._old
        self._highest = max(self._highest, order.epoch)
        return f"order {order.number} is of epoch {order.epoch}, {self._highest} acts" if old else None


class NeverTooManyOrders(Rule):
    """No more orders are sent in a minute than people allow, whatever the agent's clock shows; rollbacks never wait."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._sent_s: dict[str, float] = {}

    def sent(self, order: Order) -> str | None:
        now_s = self.look.world.engine.now_s
        self._sent_s = {key: at_s for key, at_s in self._sent_s.items() if now_s - at_s < 60.0}
        self._sent_s[order.key] = now_s
        limit = self.look.settings.budget.orders_per_minute
        too_many = len(self._sent_s) > limit and not isinstance(order.action, RollBack)
        return f"{len(self._sent_s)} orders within a minute, {limit} are allowed" if too_many else None


class NeverTooManyTrainings(Rule):
    """No more trainings are begun within 24 hours than people allow, whatever the agent's clock shows."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._sent_s: dict[str, float] = {}

    def sent(self, order: Order) -> str | None:
        limit = self.look.settings.budget.retrainings_per_day
        if limit is None or not isinstance(order.action, Retrain):
            return None
        now_s = self.look.world.engine.now_s
        self._sent_s = {key: at_s for key, at_s in self._sent_s.items() if now_s - at_s < DAY_S}
        self._sent_s.setdefault(order.key, now_s)
        count = len(self._sent_s)
        return f"{count} trainings are begun within a day, {limit} are allowed" if count > limit else None


class ForeignChangesAreRespected(Rule):
    """A replica count that somebody else has set is left alone for as long as people were promised, once the agent has seen it."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._ordered: dict[str, int] = {}
        self._sent_s: dict[str, float] = {}

    def sent(self, order: Order) -> str | None:
        self._sent_s.setdefault(order.key, self.look.world.engine.now_s)
        return None

    def deed(self, deed: Deed) -> str | None:
        action = deed.order.action
        if not isinstance(action, Scale):
            return None
        last = self._ordered.get(action.deployment)
        self._ordered[action.deployment] = action.replicas
        respected_s, sent_s = self.look.settings.guards.foreign_change_respected_s, self._sent_s[deed.order.key]
        for at_s, name, replicas in self.look.world.foreign:
            seen = at_s < sent_s < at_s + respected_s
            if name == action.deployment and seen and replicas != last:
                return f"{name} was set to {replicas} by somebody else at {at_s:g} s, and order {deed.order.number} overwrites it"
        return None


RULES_OF_ORDERS: tuple[type[Rule], ...] = (
    IntentBeforeEffect,
    OneOrderPerTarget,
    OutcomeForEveryOrder,
    NoIntentAfterItsOutcome,
    NoOldEpoch,
    NeverTooManyOrders,
    NeverTooManyTrainings,
    ForeignChangesAreRespected,
)
