"""From many proposals to at most one per target, within one capacity ledger.

1. The first proposal for a target wins: policies are asked in order of priority.
2. A target with an order in flight takes no other, with two exceptions. A rollback replaces any step of a rollout, because safety
   does not wait. A scale-up replaces a scale to fewer replicas, because capacity that is needed does not wait for less of it.
3. What a guard vetoes neither takes nor gives capacity.
4. What gives capacity back goes before what takes it, and its capacity may be used in the same decision, where it is done at once and
   does not wait for a person.
5. Serving goes before training: a scale-up that does not fit is trimmed to what does, and a training that runs is stopped for the rest.
   A training begins with as many trials at a time as are left to it, at least one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agent.ledger import Charge, Ledger, TrainingCost
from agent.order import Order
from agent.settings import BudgetSettings
from policies.action import (
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


class Permission(Protocol):
    """What the guards say, asked before any capacity is moved."""

    def objection(self, proposal: Proposal, chosen: int) -> Veto | None:
        """Why `proposal` may not be done after `chosen` others of the same decision; None where it may."""
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
) -> Choice:
    """What may be done at this moment of all that was proposed, and why the rest may not.

    `proposals` come in order of priority; `training_cost` says what a training of each model would take.
    """
    winners, passed_over = _one_per_target(proposals, seen, open_orders)
    ledger = Ledger(seen, budget, open_orders.values(), training_cost)
    chosen: list[Proposal] = []
    for proposal in sorted(winners, key=lambda p: _precedence(p, seen)):
        objection = permission.objection(proposal, len(chosen))
        fitted = objection or _fit(proposal, seen, ledger, training_cost, at_once=permission.at_once(proposal))
        if isinstance(fitted, Veto):
            passed_over.append(fitted)
        else:
            chosen.append(fitted)
    for stop in _stop_training_for(passed_over, chosen, seen, open_orders):
        objection = permission.objection(stop, len(chosen))
        if objection is None:
            chosen.append(stop)
        else:
            passed_over.append(objection)
    return Choice(chosen=tuple(chosen), passed_over=tuple(passed_over))


def _one_per_target(
    proposals: Iterable[Proposal], seen: Observation, open_orders: Mapping[Target, Order]
) -> tuple[list[Proposal], list[Veto]]:
    winners: dict[Target, Proposal] = {}
    passed_over: list[Veto] = []
    for proposal in proposals:
        key = target(proposal.action)
        if key in winners:
            if winners[key].action != proposal.action:
                reason = f"{winners[key].policy} was heard first"
                passed_over.append(Veto(proposal=proposal, rule="one_per_target", reason=reason))
        elif key in open_orders and not _replaces(proposal, open_orders[key]):
            # Wanting again what is under way is agreement, not news.
            if open_orders[key].action != proposal.action:
                reason = f"order {open_orders[key].number} is in flight"
                passed_over.append(Veto(proposal=proposal, rule="in_flight", reason=reason))
        else:
            winners[key] = proposal
    return list(winners.values()), passed_over


def _replaces(proposal: Proposal, order: Order) -> bool:
    wanted, under_way = proposal.action, order.action
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
            ledger.take(Charge.of(deployment.resources, more))
        return proposal
    if not ledger.known:
        return Veto(proposal=proposal, rule="capacity", reason="neither the cluster's capacity nor a budget is known")
    charged = ledger.under_way(deployment)  # by the order that this one would replace
    fits = ledger.fits(each, more - charged)
    if fits == 0:
        left = ledger.left["replicas"] if ledger.left["replicas"] < 1 else ledger.left["cpus"]
        return Veto(proposal=proposal, rule="budget", reason="no capacity left", value=more - charged, threshold=left)
    ledger.take(Charge.of(deployment.resources, fits))
    if charged + fits == more:
        return proposal
    allowed = deployment.replicas_wanted + charged + fits
    trimmed = Evidence(name="trimmed_to_budget", value=float(scale.replicas), threshold=float(allowed))
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
    if not ledger.known:
        return Veto(proposal=proposal, rule="capacity", reason="neither the cluster's capacity nor a budget is known")
    if ledger.fits(charge, 1) == 0:
        need, left = (
            (charge.replicas, "replicas") if ledger.left["replicas"] < charge.replicas else (charge.cpus, "cpus")
        )
        return Veto(
            proposal=proposal, rule="budget", reason=f"not enough {left} left", value=need, threshold=ledger.left[left]
        )
    ledger.take(charge)
    return proposal


def _unknown(proposal: Proposal, name: str) -> Veto:
    return Veto(proposal=proposal, rule="unknown_target", reason=f"there is no deployment {name!r}")


def _stop_training_for(
    passed_over: Sequence[Veto],
    chosen: Sequence[Proposal],
    seen: Observation,
    open_orders: Mapping[Target, Order],
) -> tuple[Proposal, ...]:
    """Stop one running training where serving could not have what it wants."""
    refused = [v.proposal for v in passed_over if v.rule == "budget" and isinstance(v.proposal.action, Scale)]
    trimmed = [p for p in chosen if any(e.name == "trimmed_to_budget" for e in p.because)]
    short = (*refused, *trimmed)
    if not short:
        return ()
    for name, model in seen.models.items():
        under_way = open_orders.get(("training", name))
        stopping = under_way is not None and isinstance(under_way.action, StopTraining)
        if model.training and model.training.state is JobState.RUNNING and not stopping:
            because = Evidence(name="serving_before_training", note=f"{target(short[0].action)[1]} needs the capacity")
            return (Proposal(action=StopTraining(model=name), because=(because,), policy="arbiter"),)
    return ()
