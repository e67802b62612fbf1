"""Notices: what of a decision people are told at once, beside the alerts of policies. Each thing once, and again when it changes. Pure.

1. A suggestion (autonomy `suggest`): what would be done, and why. One that is only observed is written down and told nobody.
2. An order that waits for approval, with the words that answer it; and once more when half of its time is over.
3. An order that failed or expired, and one that nobody answered in time, or that is not wanted any more.
4. A rollback of a champion that a freeze keeps back, with the words that let it through.

Several of one kind in a tick are one notice. Orders that are given, and those that succeed, tell nobody: `homeostat orders` lists them.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.arbiter import Veto
from agent.core import Decision, Suggestion
from agent.order import Autonomy, Order, Outcome, Status
from agent.repeats import REPEAT_S
from agent.units import day
from agent.words import action_words, one_line, order_words, reasons
from agent.writable import plain_or_none
from policies.action import Action, Alert, Proposal, RollBack, Target, target

SEVERITIES = ("info", "warning", "critical")
NAMED = 5
"""So many things one notice names; the others it counts."""
TOLD = (Status.FAILED, Status.EXPIRED, Status.DENIED, Status.WITHDRAWN)
"""Ends that people are told of; a denial only where no person gave it, since whoever said no knows."""
QUIET = (Status.DENIED, Status.WITHDRAWN)
"""Ends of what was never begun."""


@dataclass
class Notices:
    """Remembers what was told. `approval_expires_s` is how long an order waits for its answer."""

    approval_expires_s: float
    _suggested: dict[Target, tuple[Action, float]] = field(default_factory=dict)
    """What was last told of each target, and when it was last suggested."""
    _frozen_s: dict[Action, float] = field(default_factory=dict)
    """When a rollback was last kept back by a freeze."""
    _asked: set[int] = field(default_factory=set)
    _reminded: set[int] = field(default_factory=set)
    _orders: dict[int, Order] = field(default_factory=dict)
    """Orders whose end is still to come, by number."""

    def know(self, orders: Iterable[Order]) -> None:
        """Orders that are under way, so that their end can be told in words."""
        self._orders |= {order.number: order for order in orders}

    def resume(self, awaiting: Iterable[Order], suggested: Iterable[Action], until_s: float) -> None:
        """What an earlier life told, which was heard until `until_s`: what it tells again would be no news."""
        waiting = list(awaiting)
        self.know(waiting)
        self._asked = {order.number for order in waiting}
        self._reminded = {order.number for order in waiting if self._half_over(order, until_s)}
        self._suggested |= {target(action): (action, until_s) for action in suggested}

    def of(self, decision: Decision, denied: Collection[int] = (), clock_ahead_s: float = 0.0) -> tuple[Alert, ...]:
        """What is to be told of `decision`, each of which is seen once.

        `denied` are the orders that a person has said no to; people read times of the civil clock, which the agent's is ahead of.
        """
        self.know((*decision.orders, *decision.awaiting))
        ended = [each for each in decision.outcomes if each.status in TOLD and each.number not in denied]
        notices = [
            *_one([self._failure(outcome) for outcome in ended], "orders did not succeed"),
            *_one(
                [self._request(order, clock_ahead_s) for order in self._unasked(decision)], "orders wait for approval"
            ),
            *_one([_wish(each) for each in self._fresh(decision)], "suggestions"),
            *_one([_frozen(each) for each in self._newly_frozen(decision)], "rollbacks are kept back"),
        ]
        for outcome in decision.outcomes:
            self._orders.pop(outcome.number, None)
        return tuple(notices)

    def _unasked(self, decision: Decision) -> list[Order]:
        """Orders that people were not asked about, and those of which half the time is over and nobody was reminded."""
        half_over = {order.number for order in decision.awaiting if self._half_over(order, decision.at_s)}
        fresh = [
            order
            for order in decision.awaiting
            if order.number not in self._asked or order.number in half_over - self._reminded
        ]
        self._asked = {order.number for order in decision.awaiting}
        self._reminded = half_over
        return fresh

    def _half_over(self, order: Order, at_s: float) -> bool:
        return at_s - order.issued_at_s >= self.approval_expires_s / 2

    def _fresh(self, decision: Decision) -> list[Suggestion]:
        """Suggestions that differ from what was last told of their target. One that stayed away for an hour is told again."""
        fresh = []
        suggested = [each for each in decision.suggestions if each.autonomy is Autonomy.SUGGEST]
        for each in suggested:
            action = each.proposal.action
            if self._suggested.get(target(action), (None, 0.0))[0] != action:
                fresh.append(each)
            self._suggested[target(action)] = (action, decision.at_s)
        self._suggested = {key: told for key, told in self._suggested.items() if decision.at_s - told[1] < REPEAT_S}
        return fresh

    def _newly_frozen(self, decision: Decision) -> list[Veto]:
        """Vetoes of a freeze on rollbacks. One that stayed away for an hour is told again."""
        vetoes = [v for v in decision.vetoes if v.rule == "freeze" and isinstance(v.proposal.action, RollBack)]
        fresh = {v.proposal.action: v for v in vetoes if v.proposal.action not in self._frozen_s}
        self._frozen_s |= {veto.proposal.action: decision.at_s for veto in vetoes}
        self._frozen_s = {key: at_s for key, at_s in self._frozen_s.items() if decision.at_s - at_s < REPEAT_S}
        return list(fresh.values())

    def _request(self, order: Order, clock_ahead_s: float) -> Alert:
        answer = f"`homeostat approve {order.number}` or `homeostat deny {order.number}`"
        until = day(order.issued_at_s + self.approval_expires_s - clock_ahead_s)
        text = f"it wants to {_order(order)}. Answer with {answer} until {until}; no answer means no"
        still = "still " if order.number in self._reminded else ""
        return Alert(subject=f"order {order.number} {still}waits for approval", text=text, severity="warning")

    def _failure(self, outcome: Outcome) -> Alert:
        order = self._orders.get(outcome.number)
        what = f"{order_words(_plain(order))}: " if order else ""
        severity: Any = "info" if outcome.status in QUIET else "warning"
        text = one_line(f"{what}{outcome.detail or outcome.status}. `homeostat why {outcome.number}` tells more")
        return Alert(subject=f"order {outcome.number} {outcome.status}", text=text, severity=severity)


def _wish(suggestion: Suggestion) -> Alert:
    proposal = _plain(suggestion.proposal)
    words, why = action_words(proposal["action"]), reasons(proposal)
    text = f"it would {words}{f', because of {why}' if why else ''} (not done: its autonomy is suggest)"
    return Alert(subject=f"suggestion for {target(suggestion.proposal.action)[1]}", text=text, severity="info")


def _frozen(veto: Veto) -> Alert:
    proposal = _plain(veto.proposal)
    why = reasons(proposal)
    text = f"it would {action_words(proposal['action'])}{f', because of {why}' if why else ''}, but {veto.reason}"
    subject = f"rollback of {target(veto.proposal.action)[1]}"
    return Alert(subject=subject, text=one_line(text), severity="critical")


def _order(order: Order) -> str:
    plain = _plain(order)
    why = reasons(plain)
    return order_words(plain) + (f", because of {why}" if why else "")


def _plain(value: Order | Proposal) -> Any:
    """As the journal keeps it; what can not be written down is told without what it is."""
    return plain_or_none(value) or {"action": {}, "because": ()}


def _one(notices: Sequence[Alert], noun: str) -> tuple[Alert, ...]:
    """The notices of one kind as at most one; the gravest gives its severity."""
    if len(notices) <= 1:
        return tuple(notices)
    lines = [f"{each.subject}: {each.text}" for each in notices[:NAMED]]
    if len(notices) > NAMED:
        lines.append(f"and {len(notices) - NAMED} more")
    gravest = max(notices, key=lambda each: SEVERITIES.index(each.severity)).severity
    return (Alert(subject=f"{len(notices)} {noun}", text="\n".join(lines), severity=gravest),)
