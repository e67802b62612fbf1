"""The agent's own figures, as Prometheus metrics through Ray's endpoints."""

from collections.abc import Iterable

from ray.util.metrics import Counter, Gauge

from agent.core import Decision
from agent.settings import BudgetSettings
from policies.action import Evidence, target
from policies.observation import JobState, Observation


class Figures:
    """Counts decisions and shows gates, lag and budget. Names begin with `ray_homeostat_` once exported."""

    def __init__(self) -> None:
        gate = ("gate", "target")
        self._orders = Counter("homeostat_orders", "Orders issued", tag_keys=("action", "policy"))
        self._outcomes = Counter("homeostat_outcomes", "Orders ended", tag_keys=("status",))
        self._vetoes = Counter("homeostat_vetoes", "Proposals that a rule kept back", tag_keys=("rule",))
        self._holds = Counter("homeostat_holds", "Times that a policy held", tag_keys=("policy",))
        self._gate_value = Gauge("homeostat_gate_value", "Value of the newest evidence", tag_keys=gate)
        self._gate_threshold = Gauge("homeostat_gate_threshold", "What it was held against", tag_keys=gate)
        self._lag = Gauge("homeostat_loop_lag_seconds", "How late the last tick began")
        self._tick = Gauge("homeostat_tick_seconds", "How long the last tick took")
        self._halted = Gauge("homeostat_halted", "1 while the journal is away and nothing is done")
        self._problems = Gauge("homeostat_parts_away", "Parts of the world that could not be read")
        self._left = Gauge("homeostat_budget_left", "What the budget still allows", tag_keys=("resource",))

    def tick(self, decision: Decision, *, lag_s: float, took_s: float, halted: bool = False) -> None:
        """One tick: what was decided, and on which evidence. Whatever a gate is asked for, its value stands beside its threshold."""
        self._lag.set(lag_s)
        self._tick.set(took_s)
        self._halted.set(float(halted))
        for order in decision.orders:
            self._orders.inc(1, {"action": order.action.kind, "policy": order.policy})
            self._gates(order.because, target(order.action)[1])
        for outcome in decision.outcomes:
            self._outcomes.inc(1, {"status": outcome.status.value})
        for veto in decision.vetoes:
            self._vetoes.inc(1, {"rule": veto.rule})
            gate = Evidence(name=veto.rule, value=veto.value, threshold=veto.threshold)
            self._gates((*veto.proposal.because, gate), target(veto.proposal.action)[1])
        for hold in decision.holds:
            self._holds.inc(1, {"policy": hold.policy})
            self._gates(hold.because, target(hold.action)[1])

    def _gates(self, because: Iterable[Evidence], name: str) -> None:
        for evidence in because:
            tags = {"gate": evidence.name, "target": name}
            if evidence.value is not None:
                self._gate_value.set(evidence.value, tags)
            if evidence.threshold is not None:
                self._gate_threshold.set(evidence.threshold, tags)

    def seen(self, seen: Observation, budget: BudgetSettings) -> None:
        """What could not be seen, and how much of the budget is left."""
        self._problems.set(len(seen.problems))
        for resource, left in budget_left(seen, budget).items():
            self._left.set(left, {"resource": resource})


def budget_left(seen: Observation, budget: BudgetSettings) -> dict[str, float]:
    """What is left by resource, of those that the budget limits; below zero where somebody else has overdrawn it."""
    rows = seen.deployments.values()
    jobs = [m.training.resources for m in seen.models.values() if m.training and m.training.state is JobState.RUNNING]
    used = {
        "replicas": float(sum(row.replicas_wanted for row in rows)),
        "cpus": sum(row.replicas_wanted * row.resources.cpus for row in rows) + sum(job.cpus for job in jobs),
        "gpus": sum(row.replicas_wanted * row.resources.gpus for row in rows) + sum(job.gpus for job in jobs),
    }
    limits = {"replicas": budget.replicas, "cpus": budget.cpus, "gpus": budget.gpus}
    return {name: limit - used[name] for name, limit in limits.items() if limit is not None}
