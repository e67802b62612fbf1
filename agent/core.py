"""The core: what was seen goes in, what shall be done comes out. No I/O, no clock, no chance; picklable; changed by its methods only.

Feeding the same observations (and the same refusals between them) to a fresh core gives the same decisions, byte for byte.
"""

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent.approvals import LEVELS, Approvals, pauses_s
from agent.arbiter import Choice, Veto, choose
from agent.back_off import BackOff
from agent.codec import canonical, to_json
from agent.guards import PASSES, Calendar, Context, Record, autonomy, veto
from agent.inverse import inverse
from agent.ledger import TrainingCost
from agent.order import Autonomy, Order, Outcome, Status
from agent.proposals import Asked, ask
from agent.repeats import Repeats, again
from agent.settings import AutonomySettings, BudgetSettings, DeadlineSettings, GuardSettings
from agent.verification import outcome, under_way
from agent.versions import Versions
from policies.action import Action, Alert, Hold, Proposal, Restart, Retrain, Scale, Target, target
from policies.observation import Observation
from policies.policy import Policy

NO_MARKS: Mapping[Alert, Hashable] = {}
REPLACED = "another order took its place"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """What the agent would do if it were allowed to."""

    proposal: Proposal
    autonomy: Autonomy


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """All that came of one observation."""

    at_s: float
    outcomes: tuple[Outcome, ...] = ()
    """Orders that ended."""
    orders: tuple[Order, ...] = ()
    """Orders to start now, in this order."""
    awaiting: tuple[Order, ...] = ()
    """Orders that wait for a person's approval."""
    vetoes: tuple[Veto, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    holds: tuple[Proposal, ...] = ()
    alerts: tuple[Alert, ...] = ()
    first_seen: tuple[tuple[str, str, str], ...] = ()
    """(model, version, digest) of versions that were never seen before: what their files are from now on, whoever looks again."""
    news: bool = False
    """Whether vetoes, suggestions, holds, alerts or waiting orders differ from those of the decision before."""
    faults: tuple[tuple[Hashable, Alert], ...] = field(default=(), compare=False)
    """What policies raised or proposed amiss now, told in `alerts` or not, each with what stays the same of it. Not written down."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a core is made of besides policies."""

    autonomy: AutonomySettings = field(default_factory=AutonomySettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    guards: GuardSettings = field(default_factory=GuardSettings)
    deadlines: DeadlineSettings = field(default_factory=DeadlineSettings)
    training_cost: Mapping[str, TrainingCost] = field(default_factory=dict)


class Core:
    """Decides. `policies` are (name, policy) in order of priority; `epoch` is this life of the agent.

    `open_orders` are those that an earlier life left without an outcome. They keep their keys and numbers and get the new epoch. Whether
    the world has done them, nobody knows: they stay open, judged by what is seen, and are sent again when arbiter and guards have nothing
    against it, unless the world shows them under way. `awaiting` are orders that waited for a person then, and still do.

    `remembered` are orders of earlier lives that count against cool-downs and budgets, `back_off` says which had failed, and `versions` is
    what there was to know of versions: an agent that is restarted does not get a new allowance, and is not shown other files under an old
    number.
    """

    def __init__(
        self,
        policies: Sequence[tuple[str, Policy]],
        rules: Rules,
        calendar: Calendar,
        *,
        epoch: int = 1,
        next_number: int = 1,
        key_prefix: str = "",
        open_orders: Iterable[Order] = (),
        awaiting: Iterable[Order] = (),
        remembered: Iterable[Order] = (),
        versions: Versions | None = None,
        back_off: BackOff | None = None,
    ) -> None:
        self._policies = tuple(policies)
        self._rules = rules
        self._calendar = calendar
        self._epoch = epoch
        self._next_number = next_number
        self._key_prefix = key_prefix
        self._record = Record(
            versions=versions or Versions(),
            back_off=back_off or BackOff(),
            cool_down_s=rules.guards.cool_down_s,
        )
        for order in remembered:
            self._record.remember(order)
        self._open: dict[Target, Order] = {}
        for order in open_orders:
            self._open_order(replace(order, epoch=epoch))
        self._to_resume = {order.number for order in self._open.values()}
        """Orders of an earlier life that were not sent in this one."""
        self._approvals = Approvals(rules.autonomy, pauses_s(self._policies))
        for order in awaiting:
            self._approvals.waiting[target(order.action)] = replace(order, epoch=epoch)
        self._refused: dict[int, str] = {}
        self._repeats = Repeats()
        self._said: frozenset[tuple[str, ...]] = frozenset()

    @property
    def open_orders(self) -> tuple[Order, ...]:
        return tuple(self._open.values())

    @property
    def awaiting(self) -> tuple[Order, ...]:
        """Orders that wait for a person's approval."""
        return tuple(self._approvals.waiting.values())

    def relive(self, seen: Observation) -> None:
        """Show the policies what an earlier life saw, so that they remember it. They are not heard, and no alert is sent again."""
        if not seen.controls.killed:
            asked = self._ask(seen)
            self._unsaid(asked.alerts, seen.at_s, asked.marks)

    def refused(self, number: int, reason: str) -> None:
        """The world did not start order `number`. Its outcome comes with the next decision."""
        self._refused[number] = reason

    def step(self, seen: Observation) -> Decision:
        """What follows from `seen`. Never raises for what a policy does: a policy that raises becomes an alert."""
        told = self._record.see(seen)
        outcomes = self._close(seen)
        if seen.controls.killed:
            outcomes += self._supersede_all(seen.at_s, "the kill switch is on")
            return self._decision(seen, outcomes=outcomes, alerts=self._unsaid(told, seen.at_s))
        asked = self._ask(seen)
        outcomes += self._approvals.hear(asked, seen)
        acting, suggestions = self._by_autonomy(asked.proposals, seen)
        choice = self._choose(acting, seen)
        self._approvals.hear_arbiter(choice.passed_over)
        again, given_up = self._send(choice, seen)
        orders, superseded = self._issue(choice.chosen, seen)
        waits = tuple(veto for _, veto in choice.kept_back if veto.rule in PASSES)
        return self._decision(
            seen,
            outcomes=(*outcomes, *given_up, *superseded),
            orders=(*again, *orders),
            vetoes=(*waits, *choice.passed_over),
            suggestions=suggestions,
            holds=tuple(p for p in asked.proposals if isinstance(p.action, Hold)),
            alerts=self._unsaid((*told, *asked.alerts), seen.at_s, asked.marks),
            faults=tuple((mark, alert) for alert, mark in asked.marks.items()),
        )

    def _ask(self, seen: Observation) -> Asked:
        return ask(self._policies, self._record.versions.shown(seen))

    def _close(self, seen: Observation) -> tuple[Outcome, ...]:
        outcomes: list[Outcome] = []
        for order in list(self._open.values()):
            reason = self._refused.pop(order.number, None)
            ended = (
                Outcome(number=order.number, status=Status.FAILED, at_s=seen.at_s, detail=f"refused: {reason}")
                if reason is not None
                else outcome(order, seen)
            )
            if ended is not None:
                outcomes.append(self._drop(order, ended))
        self._refused.clear()
        return tuple(outcomes)

    def _drop(self, order: Order, ended: Outcome) -> Outcome:
        """`order` is in flight no more: it has `ended`."""
        del self._open[target(order.action)]
        self._record.end(order, ended)
        return ended

    def _supersede_all(self, at_s: float, reason: str) -> tuple[Outcome, ...]:
        opened = [self._drop(order, _superseded(order, at_s, reason)) for order in list(self._open.values())]
        waited = [_superseded(order, at_s, reason) for order in self._approvals.waiting.values()]
        self._approvals.waiting.clear()
        return (*opened, *waited)

    def _by_autonomy(
        self, proposals: Iterable[Proposal], seen: Observation
    ) -> tuple[list[Proposal], tuple[Suggestion, ...]]:
        """What may be acted upon (perhaps after approval), and what is only said. Said once per target, the first wins."""
        acting: list[Proposal] = []
        suggestions: dict[Target, Suggestion] = {}
        for proposal in proposals:
            if isinstance(proposal.action, Hold):
                continue
            level = autonomy(proposal.action, self._rules.autonomy)
            if level in LEVELS:
                acting.append(proposal)
            elif level is not Autonomy.OFF and veto(proposal, self._context(seen)) is None:
                suggestions.setdefault(target(proposal.action), Suggestion(proposal=proposal, autonomy=level))
        return acting, tuple(suggestions.values())

    def _choose(self, proposals: Iterable[Proposal], seen: Observation) -> Choice:
        """One judgement over all that could be sent now: what is resumed, what was approved, and what is proposed."""
        for order in [each for each in self._open.values() if each.number in self._to_resume]:
            if under_way(order, seen):
                self._to_resume.discard(order.number)
        resumed = (order for order in self._open.values() if order.number in self._to_resume)
        return choose(
            proposals,
            seen,
            self._open,
            self._rules.budget,
            self._rules.training_cost,
            permission=_Guarded(self._context(seen), self._rules.autonomy),
            standing=(*resumed, *self._approvals.let_go(seen, self._open)),
        )

    def _send(self, choice: Choice, seen: Observation) -> tuple[tuple[Order, ...], tuple[Outcome, ...]]:
        """Standing orders that go out, and the ends of those that never will. One whose objection passes stays as it is."""
        orders: list[Order] = []
        outcomes: list[Outcome] = []
        for order in choice.sent:
            if order.number in self._to_resume:
                self._to_resume.discard(order.number)
                orders.append(order)
                continue
            del self._approvals.waiting[target(order.action)]
            outcomes += self._replaced(order.action, seen.at_s)
            orders.append(self._open_order(self._dated(order, seen.at_s)))
        for order, objection in choice.kept_back:
            if objection.rule in PASSES:
                continue
            if order.number in self._to_resume:
                outcomes.append(self._drop(order, _superseded(order, seen.at_s, f"not sent again: {objection.reason}")))
            else:
                del self._approvals.waiting[target(order.action)]
                outcomes.append(_superseded(order, seen.at_s, f"approved too late: {objection.reason}"))
        return tuple(orders), tuple(outcomes)

    def _issue(self, chosen: Iterable[Proposal], seen: Observation) -> tuple[tuple[Order, ...], tuple[Outcome, ...]]:
        orders: list[Order] = []
        superseded: list[Outcome] = []
        for proposal in chosen:
            asks = autonomy(proposal.action, self._rules.autonomy) is Autonomy.APPROVE
            if asks and self._approvals.keeps(proposal, seen):
                continue
            if self._approvals.takes_back(proposal.action):
                continue
            waiting = self._approvals.waiting.pop(target(proposal.action), None)
            superseded += [_superseded(waiting, seen.at_s, REPLACED)] if waiting else []
            if asks:
                self._approvals.wait(self._order(proposal, seen))
                continue
            superseded += self._replaced(proposal.action, seen.at_s)
            orders.append(self._open_order(self._order(proposal, seen)))
        return tuple(orders), tuple(superseded)

    def _replaced(self, action: Action, at_s: float) -> list[Outcome]:
        """The end of the order in flight whose place `action` takes, where there is one."""
        old = self._open.get(target(action))
        if old is None:
            return []
        return [self._drop(old, _superseded(old, at_s, REPLACED))]

    def _order(self, proposal: Proposal, seen: Observation) -> Order:
        number = self._next_number
        self._next_number += 1
        digest = hashlib.sha256(canonical(to_json(proposal.action))).hexdigest()[:12]
        return Order(
            number=number,
            epoch=self._epoch,
            key=f"{self._key_prefix}{number}-{digest}",
            action=proposal.action,
            because=proposal.because,
            policy=proposal.policy,
            issued_at_s=seen.at_s,
            deadline_s=seen.at_s + self._time_allowed_s(proposal.action),
            inverse=inverse(proposal.action, seen),
        )

    def _dated(self, order: Order, at_s: float) -> Order:
        """`order` as issued at `at_s`: the time that it waited for approval does not count."""
        return replace(order, issued_at_s=at_s, deadline_s=at_s + self._time_allowed_s(order.action))

    def _open_order(self, order: Order) -> Order:
        self._open[target(order.action)] = order
        self._record.issue(order)
        return order

    def _time_allowed_s(self, action: Action) -> float:
        deadlines = self._rules.deadlines
        match action:
            case Scale():
                return deadlines.scale_s
            case Restart():
                return deadlines.restart_s
            case Retrain():
                return deadlines.retrain_s
            case _:
                return deadlines.rollout_s

    def _context(self, seen: Observation) -> Context:
        return Context(
            seen=seen,
            open_orders=self._open,
            record=self._record,
            settings=self._rules.guards,
            budget=self._rules.budget,
            calendar=self._calendar,
        )

    def _unsaid(
        self, alerts: Iterable[Alert], at_s: float, marks: Mapping[Alert, Hashable] = NO_MARKS
    ) -> tuple[Alert, ...]:
        """Those of `alerts` that were not sent within the hour. One about a fault, which has a mark, tells how often it was meanwhile."""
        fresh: list[Alert] = []
        for alert in alerts:
            untold = self._repeats.hear(marks.get(alert, (alert.subject, alert.text)), at_s)
            if untold is not None:
                fresh.append(replace(alert, text=again(alert.text, untold)) if alert in marks else alert)
        return tuple(fresh)

    def _decision(
        self,
        seen: Observation,
        *,
        outcomes: tuple[Outcome, ...] = (),
        orders: tuple[Order, ...] = (),
        vetoes: tuple[Veto, ...] = (),
        suggestions: tuple[Suggestion, ...] = (),
        holds: tuple[Proposal, ...] = (),
        alerts: tuple[Alert, ...] = (),
        faults: tuple[tuple[Hashable, Alert], ...] = (),
    ) -> Decision:
        awaiting = tuple(self._approvals.waiting.values())
        said = frozenset(
            [
                *((v.rule, *_mark(v.proposal)) for v in vetoes),
                *((s.autonomy.value, *_mark(s.proposal)) for s in suggestions),
                *(_mark(hold) for hold in holds),
                *(("awaiting", str(order.number)) for order in awaiting),
            ]
        )
        news = said != self._said or bool(alerts)
        self._said = said
        return Decision(
            at_s=seen.at_s,
            outcomes=outcomes,
            orders=orders,
            awaiting=awaiting,
            vetoes=vetoes,
            suggestions=suggestions,
            holds=holds,
            alerts=alerts,
            first_seen=self._record.versions.new,
            news=news,
            faults=faults,
        )


@dataclass(frozen=True, slots=True)
class _Guarded:
    """The guards, as the arbiter asks them."""

    context: Context
    settings: AutonomySettings

    def objection(self, proposal: Proposal, chosen: int) -> Veto | None:
        return veto(proposal, replace(self.context, chosen=chosen))

    def objection_to(self, order: Order, chosen: int) -> Veto | None:
        level = autonomy(order.action, self.settings)
        if level not in LEVELS:
            return Veto(proposal=order.proposal, rule="autonomy", reason=f"the settings say {level.value}")
        context = replace(self.context, chosen=chosen)
        if context.open_orders.get(target(order.action)) is order:  # it was counted when it was issued
            context = replace(context, record=context.record.without(order))
        return veto(order.proposal, context)

    def passes(self, objection: Veto) -> bool:
        return objection.rule in PASSES

    def at_once(self, proposal: Proposal) -> bool:
        return autonomy(proposal.action, self.settings) is Autonomy.ACT


def _mark(proposal: Proposal) -> tuple[str, ...]:
    """What makes two sayings the same although the numbers in their evidence have moved on."""
    reasons = tuple(evidence.name for evidence in proposal.because) if isinstance(proposal.action, Hold) else ()
    return (proposal.policy, repr(proposal.action), *reasons)


def _superseded(order: Order, at_s: float, detail: str) -> Outcome:
    return Outcome(number=order.number, status=Status.SUPERSEDED, at_s=at_s, detail=detail)
