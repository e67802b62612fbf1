"""From many proposals to at most one per target, within one capacity ledger.

1. The first proposal for a target wins: policies are asked in order of priority. Two things are exempt. A rollback goes before any step of
   a rollout, whoever wants it, and where it may not be done no step goes in its place. And what a guard keeps back holds no place: the next
   proposal for the target is heard.
2. A target with an order in flight takes no other, with two exceptions. A rollback replaces any step of a rollout, because safety
   does not wait. A scale-up replaces a scale to fewer replicas, because capacity that is needed does not wait for less of it.
3. Orders that were decided before and are to be sent now (resumed, or approved) stand before all proposals, but for one that replaces
   them. The guards are asked again, and they are sent whole or not at all: what was decided, or approved, is not changed any more.
4. What a guard vetoes neither takes nor gives capacity. What the world was told already is no order.
5. What gives capacity back goes before what takes it, but the one that takes waits until the world shows what was given: a scale-down
   may be refused, or never come.
6. Serving goes before training: a scale-up that does not fit is trimmed to what does, and a training that runs is stopped for the rest,
   unless others are giving it back. A training begins with as many trials at a time as are left to it, at least one.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agent.ledger import Charge, Ledger, TrainingCost
from agent.order import Order
from agent.settings import BudgetSettings
from agent.verification import changes_nothing
from policies.action import (
    Action,
    Evidence,
    Proposal,
    Retrain,
    RollBack,
    Scale,
    StartRollout,
    StopTraining,
    Target,
    target,
)
from policies.observation import Deployment, JobState, Observation, Resources

ARBITER = "arbiter"
"""Who wants what no policy has asked for."""
TRIMMED = "trimmed_to_budget"
"""The evidence of a scale-up that got less than it wanted: `value` was wanted, `threshold` is what it got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Veto:
    """A proposal that will not be done, which rule says so, and its value beside what would have been allowed."""

    proposal: Proposal
    rule: str
    reason: str
    value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    chosen: tuple[Proposal, ...]
    passed_over: tuple[Veto, ...]
    sent: tuple[Order, ...] = ()
    """Standing orders that may be sent now."""
    kept_back: tuple[tuple[Order, Veto], ...] = ()
    """Standing orders that may not, and why."""


class Permission(Protocol):
    """What the guards say, asked before any capacity is moved."""

    def objection(self, proposal: Proposal, chosen: int) -> Veto | None:
        """Why `proposal` may not be done after `chosen` others of the same decision; None where it may."""
        ...

    def objection_to(self, order: Order, chosen: int) -> Veto | None:
        """Why `order`, which was decided before, may not be sent now."""
        ...

    def passes(self, objection: Veto) -> bool:
        """Whether `objection` passes by itself, so that an order can wait for that."""
        ...

    def at_once(self, proposal: Proposal) -> bool:
        """Whether it would be done now, rather than after a person's approval."""
        ...


def choose(
    proposals: Iterable[Proposal],
    seen: Observation,
    open_orders: Mapping[Target, Order],
    budget: BudgetSettings,
    training_cost: Mapping[str, TrainingCost],
    *,
    permission: Permission,
    standing: Sequence[Order] = (),
) -> Choice:
    """What may be done at this moment of all that was proposed, and why the rest may not.

    `proposals` come in order of priority; `training_cost` says what a training of each model would take. Of the `standing` orders those
    that are resumed are among `open_orders`, too; those that are approved are not.
    """
    stands = {target(order.action): order for order in standing}
    taken = {**open_orders, **stands}
    queues, passed_over = _queues(proposals, taken)
    # What only asks for a person's approval takes no other's place yet, but nothing goes forward beside the wish for a rollback.
    heard = [queue[0] for queue in queues.values() if _is_news(queue[0], taken, seen)]
    outdone = {target(p.action) for p in heard if permission.at_once(p) or isinstance(p.action, RollBack)}
    ledger = Ledger(seen, budget, _in_flight(open_orders, stands, outdone), training_cost)
    judged = [(order, open_orders.get(key) is order) for key, order in stands.items() if key not in outdone]
    sent, kept_back, fresh = _judge_standing(judged, seen, ledger, training_cost, permission)
    chosen: list[Proposal] = []
    objections: list[Veto] = []
    while queues:
        kept: set[Target] = set()
        for proposal in sorted(heard, key=lambda p: _precedence(p, seen)):
            objection = permission.objection(proposal, fresh + len(chosen))
            kept |= {target(proposal.action)} if objection else set()
            fitted = objection or _fit(proposal, seen, ledger, training_cost, at_once=permission.at_once(proposal))
            if isinstance(fitted, Veto):
                objections.append(fitted)
            else:
                chosen.append(fitted)
        passed_over += _not_heard(queues, kept)
        queues = _next_in(queues, kept)
        heard = [queue[0] for queue in queues.values() if _is_news(queue[0], taken, seen)]
    under_way = {**open_orders, **{target(order.action): order for order in sent}}
    for stop in _stop_training_for(objections, chosen, seen, under_way, ledger):
        objection = permission.objection(stop, fresh + len(chosen))
        if objection is None:
            chosen.append(stop)
        else:
            objections.append(objection)
    return Choice(chosen=tuple(chosen), passed_over=(*passed_over, *objections), sent=sent, kept_back=kept_back)


def _in_flight(
    open_orders: Mapping[Target, Order], stands: Mapping[Target, Order], outdone: Collection[Target]
) -> Iterator[Order]:
    """Orders whose capacity is spent already: all that are open but those that are still to be judged."""
    for key, order in open_orders.items():
        if stands.get(key) is not order or key in outdone:
            yield order


def _judge_standing(
    standing: Iterable[tuple[Order, bool]],
    seen: Observation,
    ledger: Ledger,
    training_cost: Mapping[str, TrainingCost],
    permission: Permission,
) -> tuple[tuple[Order, ...], tuple[tuple[Order, Veto], ...], int]:
    """Which of `standing`, orders and whether they are resumed, may be sent now, which not, and how many of those sent are not resumed.

    What stays open is charged: it may have been done.
    """
    sent: list[Order] = []
    kept_back: list[tuple[Order, Veto]] = []
    fresh = 0
    for order, resumed in standing:
        charge, _ = ledger.due(order, seen, training_cost)
        proposal = order.proposal
        objection = permission.objection_to(order, fresh) or _does_not_fit(proposal, charge, ledger)
        if objection is None or (resumed and permission.passes(objection)):
            ledger.charge(order, seen, training_cost)
        if objection is None:
            sent.append(order)
            fresh += not resumed
        else:
            kept_back.append((order, objection))
    return tuple(sent), tuple(kept_back), fresh


Queues = Mapping[Target, Sequence[Proposal]]
"""What is wanted of each target, in the order in which it is heard."""


def _queues(proposals: Iterable[Proposal], taken: Mapping[Target, Order]) -> tuple[Queues, list[Veto]]:
    """What may be heard beside the orders that are `taken`, and vetoes on the rest."""
    queues: dict[Target, list[Proposal]] = {}
    passed_over: list[Veto] = []
    for proposal in proposals:
        order = taken.get(target(proposal.action))
        if order is None or replaces(proposal.action, order.action):
            queues.setdefault(target(proposal.action), []).append(proposal)
        elif order.action != proposal.action:  # wanting again what is under way is agreement, not news
            reason = f"order {order.number} is in flight"
            passed_over.append(Veto(proposal=proposal, rule="in_flight", reason=reason))
    return {
        key: sorted(queue, key=lambda p: not isinstance(p.action, RollBack)) for key, queue in queues.items()
    }, passed_over


def _is_news(proposal: Proposal, taken: Mapping[Target, Order], seen: Observation) -> bool:
    """Wanting what the world was told already is agreement, too; it still is the wish that was heard first."""
    return target(proposal.action) in taken or not changes_nothing(proposal.action, seen)


def _not_heard(queues: Queues, kept: Collection[Target]) -> Iterator[Veto]:
    """Vetoes on what stood behind another proposal that held the place."""
    for key, (first, *others) in queues.items():
        why = "wants a rollback" if isinstance(first.action, RollBack) else "was heard first"
        for each in others:
            if each.action != first.action and not (key in kept and _may_follow(each, first)):
                yield Veto(proposal=each, rule="one_per_target", reason=f"{first.policy} {why}")


def _next_in(queues: Queues, kept: Collection[Target]) -> Queues:
    """What is heard in the place of what a guard has kept back."""
    left = {
        key: [each for each in others if _may_follow(each, first)]
        for key, (first, *others) in queues.items()
        if key in kept
    }
    return {key: queue for key, queue in left.items() if queue}


def _may_follow(each: Proposal, first: Proposal) -> bool:
    """Whether `each` is heard where `first` was kept back: nothing goes forward in the place of a rollback."""
    back = isinstance(first.action, RollBack) and not isinstance(each.action, RollBack)
    return each.action != first.action and not back


def replaces(wanted: Action, under_way: Action) -> bool:
    """Whether `wanted` takes the place of `under_way`, an action on the same target, before that has ended."""
    if isinstance(wanted, RollBack):
        return not isinstance(under_way, RollBack)
    return isinstance(wanted, Scale) and isinstance(under_way, Scale) and wanted.replicas > under_way.replicas


def _precedence(proposal: Proposal, seen: Observation) -> int:
    action = proposal.action
    if isinstance(action, RollBack | StopTraining):
        return 0
    if isinstance(action, Scale):
        deployment = seen.deployments.get(action.deployment)
        down = deployment is not None and action.replicas < deployment.replicas_wanted
        return 1 if down else 3
    return 4 if isinstance(action, Retrain) else 2


def _fit(
    proposal: Proposal,
    seen: Observation,
    ledger: Ledger,
    training_cost: Mapping[str, TrainingCost],
    *,
    at_once: bool,
) -> Proposal | Veto:
    match proposal.action:
        case Scale() as scale:
            deployment = seen.deployments.get(scale.deployment)
            if deployment is None:
                return _unknown(proposal, scale.deployment)
            return _fit_scale(proposal, scale, deployment, ledger, at_once=at_once)
        case StartRollout() as start:
            owner = next(
                (d for d in seen.deployments.values() if d.model == start.model and d.slot == "champion"), None
            )
            resources = owner.resources if owner else Resources()
            return _fit_whole(proposal, Charge.of(resources, 1), ledger)
        case Retrain() as retrain:
            return _fit_training(proposal, retrain, training_cost.get(retrain.model, TrainingCost()), ledger)
        case _:
            return proposal


def _fit_scale(
    proposal: Proposal, scale: Scale, deployment: Deployment, ledger: Ledger, *, at_once: bool
) -> Proposal | Veto:
    more = scale.replicas - deployment.replicas_wanted
    each = Charge.of(deployment.resources, 1)
    if more <= 0:
        if at_once:
            ledger.give(Charge.of(deployment.resources, -more))
        return proposal
    if not ledger.known:
        return Veto(proposal=proposal, rule="capacity", reason="neither the cluster's capacity nor a budget is known")
    charged = ledger.under_way(deployment)  # by the order that this one would replace
    fits = ledger.fits(each, more - charged)
    if fits == 0 and ledger.in_pieces(each):
        reason = "no node has room for another replica"
        return Veto(proposal=proposal, rule="budget", reason=reason, value=more - charged, threshold=0.0)
    if fits == 0:
        name = _scarce(each, ledger)
        reason = f"no {name} left for another replica"
        return Veto(proposal=proposal, rule="budget", reason=reason, value=more - charged, threshold=ledger.left[name])
    ledger.take(Charge.of(deployment.resources, fits))
    if charged + fits == more:
        return proposal
    allowed = deployment.replicas_wanted + charged + fits
    trimmed = Evidence(name=TRIMMED, value=float(scale.replicas), threshold=float(allowed))
    return replace(proposal, action=replace(scale, replicas=allowed), because=(*proposal.because, trimmed))


def _fit_training(proposal: Proposal, retrain: Retrain, cost: TrainingCost, ledger: Ledger) -> Proposal | Veto:
    one = replace(retrain, concurrent_trials=1)
    fits = ledger.fits(cost.of(one), cost.trials) if ledger.known else 0
    if fits == cost.trials:
        return _fit_whole(proposal, cost.of(retrain), ledger)
    fitted = replace(retrain, concurrent_trials=max(1, fits))
    fewer = Evidence(name="fewer_trials_at_once", value=float(cost.trials), threshold=float(fits))
    return _fit_whole(replace(proposal, action=fitted, because=(*proposal.because, fewer)), cost.of(fitted), ledger)


def _fit_whole(proposal: Proposal, charge: Charge, ledger: Ledger) -> Proposal | Veto:
    objection = _does_not_fit(proposal, charge, ledger)
    if objection is not None:
        return objection
    ledger.take(charge)
    return proposal


def _does_not_fit(proposal: Proposal, charge: Charge, ledger: Ledger) -> Veto | None:
    if charge == Charge():
        return None
    if not ledger.known:
        return Veto(proposal=proposal, rule="capacity", reason="neither the cluster's capacity nor a budget is known")
    if ledger.fits(charge, 1) == 1:
        return None
    if ledger.in_pieces(charge):
        reason = "no node has room for it, although there is enough in all"
        return Veto(proposal=proposal, rule="budget", reason=reason, value=float(charge.pieces), threshold=0.0)
    name = _scarce(charge, ledger)
    need = getattr(charge, name)
    return Veto(
        proposal=proposal, rule="budget", reason=f"not enough {name} left", value=need, threshold=ledger.left[name]
    )


def _scarce(charge: Charge, ledger: Ledger) -> str:
    """The resource of which the smallest part of `charge` is left."""
    needed = {name: left / getattr(charge, name) for name, left in ledger.left.items() if getattr(charge, name) > 0}
    return min(needed, key=lambda name: needed[name])


def _unknown(proposal: Proposal, name: str) -> Veto:
    return Veto(proposal=proposal, rule="unknown_target", reason=f"there is no deployment {name!r}")


def _stop_training_for(
    passed_over: Sequence[Veto],
    chosen: Sequence[Proposal],
    seen: Observation,
    open_orders: Mapping[Target, Order],
    ledger: Ledger,
) -> tuple[Proposal, ...]:
    """Stop one running training where serving could not have what it wants, and is given no more back than it gets already."""
    short = next((name for name, missing in _short(passed_over, chosen, seen) if not ledger.awaits(missing)), None)
    if short is None:
        return ()
    for name, model in seen.models.items():
        under_way = open_orders.get(("training", name))
        stopping = under_way is not None and isinstance(under_way.action, StopTraining)
        if model.training and model.training.state is JobState.RUNNING and not stopping:
            because = Evidence(name="serving_before_training", note=f"{short} needs the capacity")
            return (Proposal(action=StopTraining(model=name), because=(because,), policy=ARBITER),)
    return ()


def _short(passed_over: Iterable[Veto], chosen: Iterable[Proposal], seen: Observation) -> Iterator[tuple[str, Charge]]:
    """Deployments that do not get what they want, and what they miss."""
    for veto in passed_over:
        action = veto.proposal.action
        if veto.rule == "budget" and isinstance(action, Scale) and veto.value is not None:
            yield action.deployment, _replicas(action.deployment, veto.value, seen)
    for proposal in chosen:
        for each in proposal.because:
            if each.name == TRIMMED and isinstance(proposal.action, Scale):
                missing = (each.value or 0.0) - (each.threshold or 0.0)
                yield proposal.action.deployment, _replicas(proposal.action.deployment, missing, seen)


def _replicas(deployment: str, missing: float, seen: Observation) -> Charge:
    return Charge.of(seen.deployments[deployment].resources, int(missing))
