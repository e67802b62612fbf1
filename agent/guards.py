"""Guards: what may not be done now, and why. They veto with a reason and never invent an action."""

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from agent.arbiter import Veto
from agent.back_off import BackOff, pause_s
from agent.foreign import ForeignChanges
from agent.order import Autonomy, Order, Outcome
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
    {
        "freeze",
        "orders_per_minute",
        "cool_down",
        "back_off",
        "min_healthy",
        "blast_radius",
        "unknown_target",
        "unread",
        "capacity",
    }
)
"""Rules whose objection passes by itself, with time or with what can be seen: an order that was decided before waits for that."""


class Calendar(Protocol):
    """When nothing may be changed; see `agent.calendar`."""

    def reason(self, at_s: float) -> str | None: ...


def counted_s(kind: str, cool_down_s: Mapping[Any, float]) -> float:
    """For how long the moment of the last order of `kind` counts against the next one on its target, in seconds."""
    return max(cool_down_s.get(kind, 0.0), PROMOTION_RETRY_S if kind == "promote" else 0.0)


@dataclass
class Record:
    """What guards remember: when orders were issued, which failed, and what there is to know of versions and of other people's changes."""

    issued_s: list[float] = field(default_factory=list)
    """Moments of the orders of the last minute, in order."""
    retrained_s: list[float] = field(default_factory=list)
    """Moments of the retrainings of the last day, in order."""
    last_s: dict[tuple[str, Target], float] = field(default_factory=dict)
    """When an order of a kind was last issued on a target, as long as that counts."""
    versions: Versions = field(default_factory=Versions)
    foreign: ForeignChanges = field(default_factory=ForeignChanges)
    back_off: BackOff = field(default_factory=BackOff)
    cool_down_s: Mapping[Any, float] = field(default_factory=dict)
    """By kind of order; see `counted_s`."""
    left_out: Order | None = None
    """An order that is in all of these, and does not count for now."""

    def see(self, seen: Observation) -> tuple[Alert, ...]:
        """Take in what is new and forget what is too old to matter. Alerts about what somebody else has changed."""
        self.issued_s = [at_s for at_s in self.issued_s if seen.at_s - at_s < MINUTE_S]
        self.retrained_s = [at_s for at_s in self.retrained_s if seen.at_s - at_s < DAY_S]
        self.last_s = {
            key: at_s for key, at_s in self.last_s.items() if seen.at_s - at_s < counted_s(key[0], self.cool_down_s)
        }
        self.back_off.forget(seen.at_s)
        return (*self.foreign.see(seen), *self.versions.see(seen))

    def without(self, order: Order) -> "Record":
        """The same but for `order`, which must not stand in its own way when it is sent again. Nothing is copied."""
        return replace(self, left_out=order)

    def orders_of_the_minute(self) -> int:
        return len(self.issued_s) - self._left_out_of(self.issued_s)

    def retrainings_of_the_day(self) -> int:
        own = isinstance(self.left_out.action, Retrain) if self.left_out is not None else False
        return len(self.retrained_s) - (self._left_out_of(self.retrained_s) if own else 0)

    def last_of(self, action: Action) -> float | None:
        """When an order of its kind was last issued on its target; None where that is too long ago to count, or never was."""
        key = (action.kind, target(action))
        last_s, own = self.last_s.get(key), self.left_out
        if own is not None and (own.action.kind, target(own.action), own.issued_at_s) == (*key, last_s):
            return None
        return last_s

    def _left_out_of(self, moments: Sequence[float]) -> int:
        """How many of `moments` are those of the order that is left out: one or none."""
        if self.left_out is None:
            return 0
        at = bisect_left(moments, self.left_out.issued_at_s)
        return int(at < len(moments) and moments[at] == self.left_out.issued_at_s)

    def remember(self, order: Order) -> None:
        """An order that was issued, in this life or an earlier one."""
        insort(self.issued_s, order.issued_at_s)
        self.last_s[(order.action.kind, target(order.action))] = order.issued_at_s
        if isinstance(order.action, Retrain):
            insort(self.retrained_s, order.issued_at_s)

    def issue(self, order: Order) -> None:
        """An order that this life issues or goes on with."""
        self.remember(order)
        self.versions.issue(order.action)
        if isinstance(order.action, Scale):
            self.foreign.order(order.action.deployment, order.action.replicas)

    def end(self, order: Order, outcome: Outcome) -> None:
        """How an order ended that was issued."""
        self.versions.end(order.action, outcome.status, outcome.detail)
        self.back_off.end(order, outcome)


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
    action, seen = proposal.action, context.seen
    if _takes_a_canary_back(action, seen) or _asked_by_hand(action, seen):
        return None
    reason = "a person has frozen all changes" if seen.controls.frozen else context.calendar.reason(seen.civil_s)
    if reason and isinstance(action, RollBack):
        reason += f"; `homeostat rollback {action.model}` takes version {action.version} back all the same"
    return Veto(proposal=proposal, rule="freeze", reason=reason) if reason else None


def _asked_by_hand(action: Action, seen: Observation) -> bool:
    """Who asks for one rollback by name means that, whatever holds for changes in general."""
    return isinstance(action, RollBack) and action.model in seen.controls.rollbacks


def _takes_a_canary_back(action: Action, seen: Observation) -> bool:
    """A freeze keeps things as they are. An open canary is no such thing: as long as it is bad, users get its answers."""
    model = seen.models.get(action.model) if isinstance(action, RollBack) else None
    rollout = model.rollout if model is not None else None
    return isinstance(action, RollBack) and rollout is not None and rollout.version == action.version


def _orders_per_minute(proposal: Proposal, context: Context) -> Veto | None:
    count, limit = context.record.orders_of_the_minute() + context.chosen, context.budget.orders_per_minute
    # A rollback is what makes things safe again; it is never the one that has to wait.
    if count < limit or isinstance(proposal.action, RollBack):
        return None
    reason = "as many orders as allowed in the last minute"
    return Veto(proposal=proposal, rule="orders_per_minute", reason=reason, value=count, threshold=limit)


def _cool_down(proposal: Proposal, context: Context) -> Veto | None:
    action = proposal.action
    limit_s = {str(kind): seconds for kind, seconds in context.settings.cool_down_s.items()}.get(action.kind)
    last_s = context.record.last_of(action)
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
    limit, count = context.budget.retrainings_per_day, context.record.retrainings_of_the_day()
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
    last_s = context.record.last_of(action)
    if last_s is None or context.seen.at_s - last_s >= PROMOTION_RETRY_S:
        return None
    passed_s = context.seen.at_s - last_s
    reason = "it has just failed"
    return Veto(proposal=proposal, rule="failed_before", reason=reason, value=passed_s, threshold=PROMOTION_RETRY_S)


def _failed_just_now(proposal: Proposal, context: Context) -> Veto | None:
    seen = context.seen
    failures = context.record.back_off.failures(proposal.action, seen)
    if failures is None:
        return None
    limit_s, passed_s = pause_s(proposal.action, failures.times), seen.at_s - failures.last_s
    if passed_s >= limit_s:
        return None
    until = datetime.fromtimestamp(failures.last_s + limit_s - seen.clock_ahead_s, tz=UTC)
    reason = f"it failed {failures.times} times in a row ({failures.reason}), and is not tried again before {until:%H:%M:%S} UTC"
    return Veto(proposal=proposal, rule="back_off", reason=reason, value=passed_s, threshold=limit_s)


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
    _failed_just_now,
    _orders_per_minute,  # last, so that the count is of orders that would have been issued
)
