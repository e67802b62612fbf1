"""Rules of orders: written before they are done, done once, one at a time, by the agent that lives, and judged."""

from agent.calendar import FreezeCalendar
from agent.codec import from_json
from agent.journal.record import Kind
from policies.action import Action, RollBack, Scale, Target, target
from simulators.engine import Event
from simulators.rule import Look, Rule
from simulators.served import Deed


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


class OneOrderPerTarget(Rule):
    """At most one order is in flight per target, as the journal tells."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._read = 0
        self._open: dict[int, Target] = {}

    def event(self, event: Event) -> str | None:
        kept = self.look.journal.kept
        if self._read == len(kept):
            return None
        for entry in kept[self._read :]:
            self._read += 1
            if entry.kind == Kind.OUTCOME:
                self._open.pop(entry.payload["number"], None)
            elif entry.kind == Kind.INTENT:
                action: Action = from_json(Action, entry.payload["action"])  # type: ignore[arg-type]
                told = self._begin(entry.payload["number"], target(action))
                if told is not None:
                    return told
        return None

    def _begin(self, number: int, aim: Target) -> str | None:
        others = [each for each, theirs in self._open.items() if theirs == aim and each != number]
        self._open[number] = aim
        return f"order {number} and order {others[0]} are both in flight for {' '.join(aim)}" if others else None


class OutcomeForEveryOrder(Rule):
    """Every order has an outcome, but for those that may still come true when the agent last looked."""

    def end(self, at_s: float) -> str | None:
        journal = self.look.journal
        ended = {each["number"] for each in journal.of_kind(Kind.OUTCOME)}
        looked_s = self.look.world.observed_s - self.look.settings.tick_s
        late = sorted(
            {
                each["number"]
                for each in journal.of_kind(Kind.INTENT)
                if each["number"] not in ended and each["deadline_s"] < looked_s
            }
        )
        return f"orders {late} have no outcome after their deadline" if late and not journal.away else None


class NeverWhileFrozen(Rule):
    """Nothing is begun while people, or the calendar, have frozen changes or stopped the agent."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._calendar = FreezeCalendar(look.settings.guards.freeze_windows)

    def deed(self, deed: Deed) -> str | None:
        if deed.order.issued_at_s < deed.at_s:  # it was begun before, and takes effect late or anew
            return None
        controls = self.look.world.controls(deed.at_s)
        stopped = controls.frozen or controls.killed or self._calendar.reason(deed.at_s)
        return f"order {deed.order.number} takes effect while changes are stopped" if stopped else None


class NoOldEpoch(Rule):
    """An order of an earlier life of the agent begins nothing once a later one has acted."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._highest = 0

    def deed(self, deed: Deed) -> str | None:
        begun = deed.order.issued_at_s >= deed.at_s
        old = begun and deed.order.epoch < self._highest
        self._highest = max(self._highest, deed.order.epoch)
        return f"order {deed.order.number} is of epoch {deed.order.epoch}, {self._highest} acts" if old else None


class NeverTooManyOrders(Rule):
    """No more orders a minute than people allow; rollbacks never wait."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._issued_s: dict[str, float] = {}

    def deed(self, deed: Deed) -> str | None:
        order = deed.order
        self._issued_s = {key: at_s for key, at_s in self._issued_s.items() if order.issued_at_s - at_s < 60.0}
        self._issued_s[order.key] = order.issued_at_s
        limit = self.look.settings.budget.orders_per_minute
        too_many = len(self._issued_s) > limit and not isinstance(order.action, RollBack)
        return f"{len(self._issued_s)} orders within a minute, {limit} are allowed" if too_many else None


class ForeignChangesAreRespected(Rule):
    """A replica count that somebody else has set is left alone for as long as people were promised, once the agent has seen it."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._ordered: dict[str, int] = {}

    def deed(self, deed: Deed) -> str | None:
        action = deed.order.action
        if not isinstance(action, Scale):
            return None
        last = self._ordered.get(action.deployment)
        self._ordered[action.deployment] = action.replicas
        respected_s = self.look.settings.guards.foreign_change_respected_s
        for at_s, name, replicas in self.look.world.foreign:
            seen = at_s < deed.order.issued_at_s < at_s + respected_s
            if name == action.deployment and seen and replicas != last:
                return f"{name} was set to {replicas} by somebody else at {at_s:g} s, and order {deed.order.number} overwrites it"
        return None


RULES_OF_ORDERS: tuple[type[Rule], ...] = (
    IntentBeforeEffect,
    OneOrderPerTarget,
    OutcomeForEveryOrder,
    NeverWhileFrozen,
    NoOldEpoch,
    NeverTooManyOrders,
    ForeignChangesAreRespected,
)
