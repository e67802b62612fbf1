"""Rules of people: what they have stopped stands still, and what they have allowed is done once.

What people said is read from the journal here, apart from the agent, which may misread it. No order is exempt because it was decided
earlier: it is the moment at which it is sent that counts, for the first time, after an approval or in a later life of the agent.
"""

from collections.abc import Mapping
from typing import Any

from agent.calendar import FreezeCalendar
from agent.codec import from_json
from agent.guards import autonomy
from agent.journal.record import Entry, Kind
from agent.order import Autonomy, Order, Status
from policies.action import Action, RollBack
from simulators.rule import JournalRule, Look


class _Switch(JournalRule):
    """Follows two words of people, of which one switches on what the other switches off."""

    ON, OFF = frozenset[str](), frozenset[str]()

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.on = False

    def entry(self, entry: Entry) -> str | None:
        if entry.kind == Kind.CONTROL:
            word = entry.payload["word"]
            self.on = word in self.ON or (self.on and word not in self.OFF)
        return None


class NeverWhileFrozen(_Switch):
    """Nothing is sent while people, or the calendar, have frozen changes, but for two rollbacks: one that takes an open canary from the
    callers, and one that a person has asked for by hand.

    The exceptions are of what is done, never of when it was decided.
    """

    ON, OFF = frozenset({"freeze"}), frozenset({"unfreeze"})

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._calendar = FreezeCalendar(look.settings.guards.freeze_windows)
        self._asked: set[str] = set()
        """Models of which a person has asked for a rollback that has not come yet."""
        self._rolls_back: dict[int, str] = {}

    def entry(self, entry: Entry) -> str | None:
        payload = entry.payload
        if entry.kind == Kind.CONTROL and payload["word"] == "rollback":
            self._asked.add(payload["model"])
        elif entry.kind == Kind.INTENT and payload["action"]["kind"] == "roll_back":
            self._rolls_back[payload["number"]] = payload["action"]["model"]
        elif entry.kind == Kind.OUTCOME and payload["status"] == Status.SUCCEEDED:
            self._asked.discard(self._rolls_back.get(payload["number"], ""))
        return super().entry(entry)

    def sent(self, order: Order) -> str | None:
        self.read()
        stopped = self.on or self._calendar.reason(self.look.clock_s()) is not None
        by_hand = isinstance(order.action, RollBack) and order.action.model in self._asked
        if not stopped or by_hand or self._ends_a_canary(order.action):
            return None
        return f"order {order.number} ({order.action.kind}) is sent while changes are frozen"

    def _ends_a_canary(self, action: Action) -> bool:
        served = self.look.world.served.get(action.model) if isinstance(action, RollBack) else None
        rollout = served.model.rollout if served is not None and served.model is not None else None
        return isinstance(action, RollBack) and rollout is not None and rollout.version == action.version


class NeverWhileKilled(_Switch):
    """Nothing is intended or sent between a kill and the word that lets the agent go on; there is no exception."""

    ON, OFF = frozenset({"kill"}), frozenset({"start", "resume"})

    def entry(self, entry: Entry) -> str | None:
        super().entry(entry)
        if self.on and entry.kind == Kind.INTENT:
            return f"order {entry.payload['number']} is intended while the agent is stopped"
        return None

    def sent(self, order: Order) -> str | None:
        told = self.read()
        return told or (f"order {order.number} is sent while the agent is stopped" if self.on else None)


class ApprovalsAreHonouredOnce(JournalRule):
    """What needs an approval is intended after one only, once in a life of the agent, and never after a person said no.

    An approval counts for the order that people could see waiting when they gave it. A later life may go on with what an earlier one began.
    """

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._waiting: set[int] = set()
        self._approved: set[int] = set()
        self._denied: set[int] = set()
        self._honoured: dict[int, tuple[str, int]] = {}
        """Number -> (key of the order, life of the agent in which it was intended last)."""

    def entry(self, entry: Entry) -> str | None:
        if entry.kind == Kind.DECIDED:
            self._waiting |= {each["number"] for each in entry.payload["awaiting"]}
        elif entry.kind == Kind.CONTROL:
            self._hear(entry.payload)
        elif entry.kind == Kind.INTENT:
            return self._intended(entry.payload)
        return None

    def _hear(self, said: Mapping[str, Any]) -> None:
        answered = {"approve": self._approved, "deny": self._denied}.get(said["word"])
        if answered is not None and said["number"] in self._waiting:
            answered.add(said["number"])

    def _intended(self, order: Mapping[str, Any]) -> str | None:
        number, key, epoch = order["number"], order["key"], order["epoch"]
        action: Action = from_json(Action, order["action"])  # type: ignore[arg-type]
        if autonomy(action, self.look.settings.autonomy) is not Autonomy.APPROVE:
            return None
        before = self._honoured.get(number)
        self._honoured[number] = key, epoch
        if number not in self._approved or (before is None and number in self._denied):
            return f"order {number} needs an approval and has none"
        again = before is not None and (before[0] != key or before[1] >= epoch)
        return f"the approval of order {number} is honoured a second time" if again else None


RULES_OF_PEOPLE = (NeverWhileFrozen, NeverWhileKilled, ApprovalsAreHonouredOnce)
