"""The core: what was seen goes in, what shall be done comes out. No I/O, no clock, no chance; picklable; changed by its methods only.

Feeding the same observations (and the same refusals between them) to a fresh core gives the same decisions, byte for byte.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent.arbiter import Veto, choose
from agent.codec import canonical, to_json
from agent.guards import Calendar, Context, Record, autonomy, veto
from agent.inverse import inverse
from agent.ledger import TrainingCost
from agent.order import Autonomy, Order, Outcome, Status
from agent.settings import AutonomySettings, BudgetSettings, DeadlineSettings, GuardSettings
from agent.verification import outcome
from policies.action import Action, Alert, Hold, Proposal, Restart, Retrain, Scale, Target, target
from policies.observation import Observation, known
from policies.policy import Policy

ALERT_REPEAT_S = 3600.0
"""The same alert is not sent again for so long."""


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
    news: bool = False
    """Whether vetoes, suggestions, holds, alerts or waiting orders differ from those of the decision before."""


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

    `open_orders` are those that an earlier life left without an outcome: they keep their keys and numbers, get the new epoch, and are
    the first orders of the first decision, since a world that has done them already will not do them again. `remembered` are orders
    of earlier lives that count against cool-downs and budgets, and `digests` (model, version, digest) those of versions they touched:
    an agent that is restarted does not get a new allowance, and is not shown other files under an old number.
    """

    def __init__(
        self,
        policies: Sequence[tuple[str, Policy]],
        rules: Rules,
        calendar: Calendar,
        *,
        epoch: int = 1,
        next_number: int = 1,
        open_orders: Iterable[Order] = (),
        remembered: Iterable[Order] = (),
        digests: Iterable[tuple[str, str, str]] = (),
    ) -> None:
        self._policies = tuple(policies)
        self._rules = rules
        self._calendar = calendar
        self._epoch = epoch
        self._next_number = next_number
        self._record = Record(digests={(model, version): digest for model, version, digest in digests})
        for order in remembered:
            self._record.remember(order)
        self._resumed = tuple(replace(order, epoch=epoch) for order in open_orders)
        for order in self._resumed:
            self._record.issue(order)
        self._open: dict[Target, Order] = {target(order.action): order for order in self._resumed}
        self._awaiting: dict[Target, Order] = {}
        self._refused: dict[int, str] = {}
        self._alerted_s: dict[tuple[str, str], float] = {}
        self._said: frozenset[tuple[str, ...]] = frozenset()

    @property
    def open_orders(self) -> tuple[Order, ...]:
        return tuple(self._open.values())

    def relive(self, seen: Observation) -> None:
        """Show the policies what an earlier life saw, so that they remember it. They are not heard, and no alert is sent again."""
        if not seen.controls.killed:
            _, alerts = self._ask(seen)
            self._unsaid(alerts, seen.at_s)

    def refused(self, number: int, reason: str) -> None:
        """The world did not start order `number`. Its outcome comes with the next decision."""
        self._refused[number] = reason

    def step(self, seen: Observation) -> Decision:
        """What follows from `seen`. Never raises for what a policy does: a policy that raises becomes an alert."""
        self._record.see(seen)
        foreign = self._record.foreign.see(seen)
        outcomes = self._close(seen)
        if seen.controls.killed:
            outcomes += self._supersede_all(seen.at_s, "the kill switch is on")
            return self._decision(seen, outcomes=outcomes, alerts=self._unsaid(foreign, seen.at_s))
        resumed, self._resumed = self._resumed, ()
        still_open = tuple(order for order in resumed if order.number in {o.number for o in self._open.values()})
        approved, answered = self._answer_approvals(seen)
        proposals, alerts = self._ask(seen)
        acting, suggestions = self._by_autonomy(proposals, seen)
        permission = _Guarded(self._context(seen), self._rules.autonomy)
        choice = choose(acting, seen, self._open, self._rules.budget, self._rules.training_cost, permission=permission)
        orders, superseded = self._issue(choice.chosen, seen)
        return self._decision(
            seen,
            outcomes=(*outcomes, *answered, *superseded),
            orders=(*still_open, *approved, *orders),
            vetoes=choice.passed_over,
            suggestions=suggestions,
            holds=tuple(p for p in proposals if isinstance(p.action, Hold)),
            alerts=self._unsaid((*foreign, *alerts), seen.at_s),
        )

    def _close(self, seen: Observation) -> tuple[Outcome, ...]:
        outcomes: list[Outcome] = []
        for key, order in list(self._open.items()):
            reason = self._refused.pop(order.number, None)
            ended = (
                Outcome(number=order.number, status=Status.FAILED, at_s=seen.at_s, detail=f"refused: {reason}")
                if reason is not None
                else outcome(order, seen)
            )
            if ended is not None:
                outcomes.append(ended)
                del self._open[key]
        self._refused.clear()
        return tuple(outcomes)

    def _supersede_all(self, at_s: float, reason: str) -> tuple[Outcome, ...]:
        orders = (*self._open.values(), *self._awaiting.values())
        self._open.clear()
        self._awaiting.clear()
        self._resumed = ()
        return tuple(_superseded(order, at_s, reason) for order in orders)

    def _answer_approvals(self, seen: Observation) -> tuple[tuple[Order, ...], tuple[Outcome, ...]]:
        """Orders that a person let go, and the ends of those that nobody will."""
        orders: list[Order] = []
        outcomes: list[Outcome] = []
        for key, order in list(self._awaiting.items()):
            expired = seen.at_s - order.issued_at_s >= self._rules.autonomy.approval_expires_s
            if order.number in seen.controls.denied or expired:
                detail = "nobody approved it in time" if expired else "a person said no"
                outcomes.append(Outcome(number=order.number, status=Status.DENIED, at_s=seen.at_s, detail=detail))
                del self._awaiting[key]
            elif order.number in seen.controls.approved and key not in self._open:
                del self._awaiting[key]
                proposal = Proposal(action=order.action, because=order.because, policy=order.policy)
                objection = veto(proposal, self._context(seen))
                if objection is None:
                    orders.append(self._open_order(self._dated(order, seen.at_s)))
                else:
                    detail = f"approved too late: {objection.reason}"
                    outcomes.append(_superseded(order, seen.at_s, detail))
        return tuple(orders), tuple(outcomes)

    def _ask(self, seen: Observation) -> tuple[list[Proposal], list[Alert]]:
        """Every policy's proposals in order of priority, alerts apart; a policy that raises loses its own, not the others'."""
        proposals: list[Proposal] = []
        alerts: list[Alert] = []
        for name, policy in self._policies:
            try:
                wanted = [_named(proposal, name) for proposal in policy.propose(seen)]
            except Exception as error:  # a policy is a user's code: whatever it raises must not stop the others
                text = f"policy {name} raised {type(error).__name__}: {error}"
                alerts.append(Alert(subject=name, text=text, severity="critical"))
                continue
            for proposal in wanted:
                if isinstance(proposal.action, Alert):
                    alerts.append(proposal.action)
                else:
                    proposals.append(proposal)
        return proposals, alerts

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
            if level in {Autonomy.APPROVE, Autonomy.ACT}:
                acting.append(proposal)
            elif level is not Autonomy.OFF and veto(proposal, self._context(seen)) is None:
                suggestions.setdefault(target(proposal.action), Suggestion(proposal=proposal, autonomy=level))
        return acting, tuple(suggestions.values())

    def _issue(self, chosen: Iterable[Proposal], seen: Observation) -> tuple[tuple[Order, ...], tuple[Outcome, ...]]:
        orders: list[Order] = []
        superseded: list[Outcome] = []
        for proposal in chosen:
            key = target(proposal.action)
            waiting = self._awaiting.get(key)
            if autonomy(proposal.action, self._rules.autonomy) is Autonomy.APPROVE:
                if waiting is None or waiting.action != proposal.action:
                    superseded += self._drop(self._awaiting, key, seen.at_s)
                    self._awaiting[key] = self._order(proposal, seen)
                continue
            superseded += self._drop(self._awaiting, key, seen.at_s)
            superseded += self._drop(self._open, key, seen.at_s)
            orders.append(self._open_order(self._order(proposal, seen)))
        return tuple(orders), tuple(superseded)

    @staticmethod
    def _drop(orders: dict[Target, Order], key: Target, at_s: float) -> list[Outcome]:
        old = orders.pop(key, None)
        return [_superseded(old, at_s, "another order took its place")] if old else []

    def _order(self, proposal: Proposal, seen: Observation) -> Order:
        number = self._next_number
        self._next_number += 1
        digest = hashlib.sha256(canonical(to_json(proposal.action))).hexdigest()[:12]
        return Order(
            number=number,
            epoch=self._epoch,
            key=f"{number}-{digest}",
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

    def _unsaid(self, alerts: Iterable[Alert], at_s: float) -> tuple[Alert, ...]:
        fresh: list[Alert] = []
        for alert in alerts:
            key = (alert.subject, alert.text)
            if at_s - self._alerted_s.get(key, -ALERT_REPEAT_S) >= ALERT_REPEAT_S:
                self._alerted_s[key] = at_s
                fresh.append(alert)
        self._alerted_s = {key: said_s for key, said_s in self._alerted_s.items() if at_s - said_s < ALERT_REPEAT_S}
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
    ) -> Decision:
        awaiting = tuple(self._awaiting.values())
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
            news=news,
        )


@dataclass(frozen=True, slots=True)
class _Guarded:
    """The guards, as the arbiter asks them."""

    context: Context
    settings: AutonomySettings

    def objection(self, proposal: Proposal, chosen: int) -> Veto | None:
        return veto(proposal, replace(self.context, chosen=chosen))

    def at_once(self, proposal: Proposal) -> bool:
        return autonomy(proposal.action, self.settings) is Autonomy.ACT


def _named(proposal: Proposal, policy: str) -> Proposal:
    """With the policy's name, and evidence that can be written down: what is no finite number is not known."""
    because = tuple(
        evidence
        if known(evidence.value) == evidence.value and known(evidence.threshold) == evidence.threshold
        else replace(evidence, value=known(evidence.value), threshold=known(evidence.threshold))
        for evidence in proposal.because
    )
    return replace(proposal, policy=proposal.policy or policy, because=because)


def _mark(proposal: Proposal) -> tuple[str, ...]:
    """What makes two sayings the same although the numbers in their evidence have moved on."""
    reasons = tuple(evidence.name for evidence in proposal.because) if isinstance(proposal.action, Hold) else ()
    return (proposal.policy, repr(proposal.action), *reasons)


def _superseded(order: Order, at_s: float, detail: str) -> Outcome:
    return Outcome(number=order.number, status=Status.SUPERSEDED, at_s=at_s, detail=detail)
