"""Guards: what may not be done now, and why. They veto with a reason and never invent an action."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from agent.arbiter import Veto
from agent.foreign import ForeignChanges
from agent.order import Autonomy, Order
from agent.settings import AutonomySettings, BudgetSettings, GuardSettings
from agent.versions import PROMOTION_TRIES, Versions, versions_of
from policies.action import (
    Action,
    Alert,
    Hold,
    Promote,
    Proposal,
    Restart,
    Retrain,
    RollBack,
    Scale,
    StartRollout,
    Target,
    target,
)
from policies.observation import Deployment, JobState, Observation

DAY_S = 86_400.0
MINUTE_S = 60.0
PROMOTION_RETRY_S = 300.0
"""A promotion that the world refused is not tried again sooner: a registry that is away for minutes must not use up its tries."""
PASSES = frozenset(
    {"freeze", "orders_per_minute", "cool_down", "min_healthy", "blast_radius", "unknown_target", "unread", "capacity"}
)
"""Rules whose objection passes by itself, with time or with what can be seen: an order that was decided before waits for that."""


class Calendar(Protocol):
    """When nothing may be changed; see `agent.calendar`."""

    def reason(self, at_s: float) -> str | None: ...


@dataclass
class Record:
    """What guards remember: when orders were issued, and what there is to know of versions and of other people's changes."""

    issued_s: list[float] = field(default_factory=list)
    """Moments of the orders of the last minute."""
    retrained_s: list[float] = field(default_factory=list)
    """Moments of the retrainings of the last day."""
    last_s: dict[tuple[str, Target], float] = field(default_factory=dict)
    """When an order of a kind was last issued on a target."""
    versions: Versions = field(default_factory=Versions)
    foreign: ForeignChanges = field(default_factory=ForeignChanges)

    def see(self, seen: Observation) -> tuple[Alert, ...]:
        """Take in what is new and forget what is too old to matter. Alerts about what somebody else has changed."""
        self.issued_s = [at_s for at_s in self.issued_s if seen.at_s - at_s < MINUTE_S]
        self.retrained_s = [at_s for at_s in self.retrained_s if seen.at_s - at_s < DAY_S]
        return (*self.foreign.see(seen), *self.versions.see(seen))

    def without(self, order: Order) -> "Record":
        """The same but for `order`, which must not stand in its own way when it is sent again."""
        kind = (order.action.kind, target(order.action))
        return replace(
            self,
            issued_s=_less(self.issued_s, order.issued_at_s),
            retrained_s=_less(self.retrained_s, order.issued_at_s)
            if isinstance(order.action, Retrain)
            else self.retrained_s,
            last_s={each: at_s for each, at_s in self.last_s.items() if (each, at_s) != (kind, order.issued_at_s)},
        )

    def remember(self, order: Order) -> None:
        """An order that was issued, in this life or an earlier one."""
        self.issued_s.append(order.issued_at_s)
        self.last_s[(order.action.kind, target(order.action))] = order.issued_at_s
        if isinstance(order.action, Retrain):
            self.retrained_s.append(order.issued_at_s)

    def issue(self, order: Order) -> None:
        """An order that this life issues or goes on with."""
        self.remember(order)
        self.versions.issue(order.action)
        if isinstance(order.action, Scale):
            self.foreign.order(order.action.deployment, order.action.replicas)


def _less(moments: Sequence[float], moment: float) -> list[float]:
    """`moments` without one that is `moment`."""
    found = list(moments)
    if moment in found:
        found.remove(moment)
    return found


@dataclass(frozen=True, kw_only=True)
class Context:
    """All that a guard may look at."""

    seen: Observation
    open_orders: Mapping[Target, Order]
    record: Record
    settings: GuardSettings
    budget: BudgetSettings
    calendar: Calendar
    chosen: int = 0
    """Orders that this decision has come to before the one that is asked about."""


Guard = Callable[[Proposal, Context], Veto | None]


def autonomy(action: Action, settings: AutonomySettings) -> Autonomy:
    """How far the agent may go with `action`. Alerts are always sent and holds change nothing."""
    if isinstance(action, Alert | Hold):
        return Autonomy.ACT
    chosen: Autonomy | None = getattr(settings, action.kind)
    return settings.default if chosen is None else chosen


def veto(proposal: Proposal, context: Context) -> Veto | None:
    """The first objection to `proposal`, or None."""
    for guard in GUARDS:
        objection = guard(proposal, context)
        if objection is not None:
            return objection
    return None


def _frozen(proposal: Proposal, context: Context) -> Veto | None:
    if _takes_a_canary_back(proposal.action, context.seen):
        return None
    if context.seen.controls.frozen:
        return Veto(proposal=proposal, rule="freeze", reason="a person has frozen all changes")
    reason = context.calendar.reason(context.seen.civil_s)
    return Veto(proposal=proposal, rule="freeze", reason=reason) if reason else None


def _takes_a_canary_back(action: Action, seen: Observation) -> bool:
    """A freeze keeps things as they are. An open canary is no such thing: as long as it is bad, users get its answers."""
    model = seen.models.get(action.model) if isinstance(action, RollBack) else None
    rollout = model.rollout if model is not None else None
    return isinstance(action, RollBack) and rollout is not None and rollout.version == action.version


def _orders_per_minute(proposal: Proposal, context: Context) -> Veto | None:
    count, limit = len(context.record.issued_s) + context.chosen, context.budget.orders_per_minute
    # A rollback is what makes things safe again; it is never the one that has to wait.
    if count < limit or isinstance(proposal.action, RollBack):
        return None
    reason = "as many orders as allowed in the last minute"
    return Veto(proposal=proposal, rule="orders_per_minute", reason=reason, value=count, threshold=limit)


def _cool_down(proposal: Proposal, context: Context) -> Veto | None:
    action = proposal.action
    limit_s = {str(kind): seconds for kind, seconds in context.settings.cool_down_s.items()}.get(action.kind)
    last_s = context.record.last_s.get((action.kind, target(action)))
    if limit_s is None or last_s is None or context.seen.at_s - last_s >= limit_s:
        return None
    passed_s = context.seen.at_s - last_s
    return Veto(
        proposal=proposal, rule="cool_down", reason="too soon after the last", value=passed_s, threshold=limit_s
    )


def _scale_bounds(proposal: Proposal, context: Context) -> Veto | None:
    action = proposal.action
    if not isinstance(action, Scale):
        return None
    deployment = context.seen.deployments.get(action.deployment)
    if deployment is None:
        return Veto(proposal=proposal, rule="unknown_target", reason=f"there is no deployment {action.deployment!r}")
    if not deployment.scalable:
        reason = "its application lacks external_scaler_enabled: true"
        return Veto(proposal=proposal, rule="not_scalable", reason=reason)
    if action.replicas < deployment.min_replicas:
        reason = "fewer than the minimum of replicas"
        return _bound(proposal, reason, action.replicas, deployment.min_replicas)
    if deployment.max_replicas is not None and action.replicas > deployment.max_replicas:
        return _bound(proposal, "more than the maximum of replicas", action.replicas, deployment.max_replicas)
    return None


def _somebody_else_set_it(proposal: Proposal, context: Context) -> Veto | None:
    action = proposal.action
    change = context.record.foreign.latest.get(action.deployment) if isinstance(action, Scale) else None
    limit_s = context.settings.foreign_change_respected_s
    passed_s = context.seen.at_s - change.at_s if change is not None else limit_s
    if change is None or passed_s >= limit_s:
        return None
    reason = f"somebody else set it from {change.before} to {change.after} replicas just now"
    return Veto(proposal=proposal, rule="foreign_change", reason=reason, value=passed_s, threshold=limit_s)


def _bound(proposal: Proposal, reason: str, value: int, threshold: int) -> Veto:
    return Veto(proposal=proposal, rule="bounds", reason=reason, value=value, threshold=threshold)


def _restart_safely(proposal: Proposal, context: Context) -> Veto | None:
    action = proposal.action
    if not isinstance(action, Restart):
        return None
    deployment = context.seen.deployments.get(action.deployment)
    if deployment is None or all(replica.id != action.replica for replica in deployment.replicas):
        return Veto(proposal=proposal, rule="unknown_target", reason=f"there is no replica {action.replica!r}")
    return _min_healthy(proposal, action, deployment) or _blast_radius(proposal, action, deployment, context)


def _min_healthy(proposal: Proposal, action: Restart, deployment: Deployment) -> Veto | None:
    healthy = {replica.id for replica in deployment.healthy}
    left = len(healthy - {action.replica})
    # Taking away what does not serve makes nothing worse.
    if action.replica not in healthy or left >= deployment.min_replicas:
        return None
    reason = "would leave fewer healthy replicas than the minimum"
    return Veto(proposal=proposal, rule="min_healthy", reason=reason, value=left, threshold=deployment.min_replicas)


def _blast_radius(proposal: Proposal, action: Restart, deployment: Deployment, context: Context) -> Veto | None:
    missing = sum(1 for replica in deployment.running if replica.healthy is False and replica.id != action.replica)
    touched = missing + max(0, deployment.replicas_wanted - len(deployment.running)) + 1
    allowed = max(1.0, context.settings.blast_radius * max(deployment.replicas_wanted, 1))
    if touched <= allowed or touched == 1:
        return None
    reason = "too many of its replicas would be away at once"
    return Veto(proposal=proposal, rule="blast_radius", reason=reason, value=touched, threshold=allowed)


def _enough_evidence(proposal: Proposal, context: Context) -> Veto | None:
    action = proposal.action
    if not isinstance(action, Promote):
        return None
    model = context.seen.models.get(action.model)
    rollout = model.rollout if model else None
    if rollout is None or rollout.version != action.version:
        return Veto(proposal=proposal, rule="evidence", reason="the version is not in a rollout")
    comparison = rollout.comparison
    rows = max(comparison.paired_loss.n, comparison.challenger.loss.n) if comparison else 0
    if rows >= context.settings.promotion_min_rows:
        return None
    limit = context.settings.promotion_min_rows
    return Veto(proposal=proposal, rule="evidence", reason="too few labelled rows", value=rows, threshold=limit)


def _retraining_allowed(proposal: Proposal, context: Context) -> Veto | None:
    action = proposal.action
    if not isinstance(action, Retrain):
        return None
    limit, count = context.budget.retrainings_per_day, len(context.record.retrained_s)
    if limit is not None and count >= limit:
        reason = "as many retrainings as allowed in a day"
        return Veto(proposal=proposal, rule="retrainings_per_day", reason=reason, value=count, threshold=limit)
    model = context.seen.models.get(action.model)
    if model is None or not model.managed:
        return Veto(proposal=proposal, rule="not_managed", reason="no recipe is given for this model")
    if model.unread:
        reason = f"not known now: {', '.join(model.unread)}"  # a job may be running, or rows be set aside
        return Veto(proposal=proposal, rule="unread", reason=reason)
    if model.training is not None and model.training.state is JobState.RUNNING:
        return Veto(proposal=proposal, rule="training_runs", reason=f"training {model.training.id} runs")
    since_s, until_s = action.since_s, context.seen.at_s
    spoilt = since_s is not None and any(q.since_s <= since_s and q.until_s >= until_s for q in model.quarantined)
    return Veto(proposal=proposal, rule="quarantine", reason="all of its rows are quarantined") if spoilt else None


def _digest_unchanged(proposal: Proposal, context: Context) -> Veto | None:
    action = proposal.action
    match action:
        case StartRollout() | Promote():
            number, digest = action.version, action.digest
        case RollBack():
            number, digest = action.to, action.to_digest
        case _:
            return None
    ends_a_rollout = _takes_a_canary_back(action, context.seen)
    if ends_a_rollout and isinstance(action, RollBack) and _changes_no_champion(action, context.seen):
        return None
    first = context.record.versions.digests.get((action.model, number))
    if first is None:
        return Veto(proposal=proposal, rule="digest", reason=f"version {number} was never seen in the registry")
    model = context.seen.models.get(action.model)
    now = {first, *(each.digest for each in versions_of(model) if each.number == number)} if model else {first}
    if now == {digest}:
        return None
    reason = f"the files of version {number} are not those that were first seen"
    return Veto(proposal=proposal, rule="digest", reason=reason)


def _changes_no_champion(action: RollBack, seen: Observation) -> bool:
    """Whether what serves stays what serves: its replicas keep what they have loaded, whatever its files are now."""
    model = seen.models.get(action.model)
    return model is not None and model.champion is not None and model.champion.number == action.to


def _never_back_to_bad(proposal: Proposal, context: Context) -> Veto | None:
    action = proposal.action
    if not isinstance(action, RollBack) or (action.model, action.to) not in context.record.versions.rejected:
        return None
    # To end a rollout changes no champion, whatever was thought of it once.
    if _changes_no_champion(action, context.seen):
        return None
    return Veto(
        proposal=proposal, rule="judged_bad", reason=f"version {action.to} was judged bad and taken back before"
    )


def _promotion_tried(proposal: Proposal, context: Context) -> Veto | None:
    action = proposal.action
    tries = context.record.versions.failed.get((action.model, action.version), 0) if isinstance(action, Promote) else 0
    if tries == 0:
        return None
    if tries >= PROMOTION_TRIES:
        reason = "it has failed as often as a promotion is tried"
        return Veto(proposal=proposal, rule="failed_before", reason=reason, value=tries, threshold=PROMOTION_TRIES)
    passed_s = context.seen.at_s - context.record.last_s.get((action.kind, target(action)), -PROMOTION_RETRY_S)
    if passed_s >= PROMOTION_RETRY_S:
        return None
    reason = "it has just failed"
    return Veto(proposal=proposal, rule="failed_before", reason=reason, value=passed_s, threshold=PROMOTION_RETRY_S)


GUARDS: Sequence[Guard] = (
    _frozen,  # first, because a person said so
    _digest_unchanged,  # nothing that was tampered with goes any further
    _never_back_to_bad,
    _promotion_tried,
    _scale_bounds,
    _somebody_else_set_it,
    _restart_safely,
    _enough_evidence,
    _retraining_allowed,
    _cool_down,
    _orders_per_minute,  # last, so that the count is of orders that would have been issued
)
